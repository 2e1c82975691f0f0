"""``epidura bench clinic``: everything runs, and what it fills is a whole record."""

from __future__ import annotations

import time

import pytest

from epidura.bench import clinic
from epidura.clinic.people import People
from epidura.clinic.record import Record, new_id
from epidura.clinic.store.projection import differences
from epidura.errors import Failed


def test_what_the_bench_fills_is_a_record(record):
    ids = clinic.fill(record, 20, 400)
    assert record.verify().breaks == ()
    assert record.verify().events == 400
    with record.engine.connect() as connection:
        assert differences(connection) == ()
    found = clinic.load(clinic.through_record(record), ids, 3, 0.3)
    assert record.verify().events == 400 + found.count
    assert 0 < found.median <= found.p95 <= found.worst


def test_every_figure_is_measured(postgres):
    rows = clinic.measure(quick=True, postgres=postgres())
    assert {row.name.split(":")[0] for row in rows} == {"SQLite", "PostgreSQL"}
    assert all(row.value is not None and row.value > 0 for row in rows)
    assert len(rows) == 22


def test_phones_write_through_a_server(tmp_path):
    where = str(tmp_path / "clinic.sqlite")
    record = Record.create(where)
    ids = clinic.fill(record, 20, 60)
    tokens = clinic.phones(record, ids[:6])
    with clinic.served(where, tmp_path / "clinic.key") as (host, port), clinic.through_rest(host, port, tokens) as write:
        waits = []
        for number in range(10):
            begin = time.perf_counter()
            write(ids[0], number)
            waits.append(time.perf_counter() - begin)
        # an answer in two parts on a socket that collects what is short (Nagle) waits 40 ms for the other side's delayed acknowledgement, each time
        assert min(waits) < 0.04
        with clinic.through_rest(host, port, tokens) as another:  # with keys of its own
            found = clinic.load(another, list(tokens), 3, 0.5)
        with pytest.raises(Failed, match="answered with 401"), clinic.through_rest(host, port, {ids[7]: "made up"}) as wrong:
            wrong(ids[7], 0)
    assert found.count >= 3
    assert record.verify().events == 60 + 10 + found.count
    assert record.verify().breaks == ()
    rows = People(record.engine).seen(limit=100_000)
    assert [row["status"] for row in rows].count(200) == 10 + found.count
    assert {row["role"] for row in rows if row["status"] == 200} == {"patient"}
    record.close()


def test_a_server_that_does_not_start_says_why(tmp_path):
    with pytest.raises(Failed, match="no such folder"), clinic.served(str(tmp_path / new_id() / "clinic.sqlite"), tmp_path / "clinic.key"):
        pass
