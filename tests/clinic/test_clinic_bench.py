"""``epidura bench clinic``: everything runs, and what it fills is a whole record."""

from __future__ import annotations

from epidura.bench import clinic
from epidura.clinic.store.projection import differences


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
