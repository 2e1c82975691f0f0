"""``epidura bench clinic``: how fast the clinic's record is on this machine, on SQLite and on a PostgreSQL if one is given. Figures, no limits.

The record holds days of the diary of fictional patients without names, each event with its right hash, written past ``Record.commit``
(``fill``). Then clients write days, read timelines, and the projections are made anew. Times are by the clock, since the disk is what is waited
for: other work on the machine falsifies them.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import update

from epidura.bench.fibre import Row, versions
from epidura.bench.fibre import save as _save
from epidura.clinic import events as ev
from epidura.clinic.record import Record, new_id
from epidura.clinic.store import log, schema
from epidura.clinic.store.backup import backup
from epidura.clinic.store.engine import WRITE

Progress = Callable[[str, float], None]
Write = Callable[[str, int], object]
"""Writes a day of a patient's diary: patient, number of the day. Through ``Record`` here; through REST where a server is measured."""

PATIENTS, EVENTS = 10_000, 2_000_000
CLIENTS = (1, 8, 20)
SECONDS = 10.0
WRITES, P95_MS, TIMELINE_MS, REBUILD = 200.0, 50.0, 30.0, 50_000.0
"""What the record must hold: writes a second, their 95th percentile, a timeline, events a second that are folded."""
START = date(2020, 1, 1)
CHUNK = 20_000
WHAT = "epidura bench clinic"


@dataclass(frozen=True)
class Load:
    """What clients found: writes a second, and percentiles of what one waits, ms."""

    rate: float
    median: float
    p95: float
    worst: float
    count: int


def fill(record: Record, patients: int, events: int) -> list[str]:
    """Patients with a diary in an empty record, and its projections; their ids.

    Args:
        events: of all patients together, at least two of each.
    """
    ids = [new_id() for _ in range(patients)]
    rows = _chain(ids, events, log.stamp(record.clock()))
    last: tuple[Any, ...] = ()
    with record.engine.execution_options(**{WRITE: True}).begin() as connection:
        raw: Any = connection.connection.dbapi_connection
        names = ", ".join(column.name for column in log.COLUMNS)
        if connection.dialect.name == "sqlite":
            assert isinstance(raw, sqlite3.Connection)
            raw.execute("PRAGMA cache_size = -524288")  # 512 MiB: patients take turns, so every page of their index is met again and again
            while batch := list(islice(rows, CHUNK)):
                raw.executemany(f"INSERT INTO event ({names}) VALUES ({', '.join('?' * len(log.COLUMNS))})", batch)
                last = batch[-1]
        else:
            with raw.cursor() as cursor, cursor.copy(f"COPY event ({names}) FROM STDIN") as copy:
                for last in rows:
                    copy.write_row(last)
        if connection.dialect.name == "sqlite":
            raw.execute("PRAGMA cache_size = -2000")
        connection.execute(update(schema.head).where(schema.head.c.id == 1).values(seq=last[0], hash=last[-1], recorded=last[5]))
    record.rebuild()
    return ids


def _chain(ids: list[str], events: int, recorded: str) -> Iterator[tuple[Any, ...]]:
    """Rows of the events: everybody is registered and referred, then all write a day in turn."""
    each = max(2, events // len(ids))
    first = ("patient.registered", json.dumps({"birth_year": 1960}, separators=(",", ":")))
    second = ("referral.received", json.dumps({"indication": "failed-back-surgery", "nrs": 8.0}, separators=(",", ":")))
    dice = random.Random(1)
    last, seq = log.START, 0
    for number in range(each):
        day = (START + timedelta(days=number)).isoformat()
        for patient in ids:
            seq += 1
            kind, body = first if number == 0 else second if number == 1 else ("diary.recorded", _body(dice))
            own = log.digest(last, seq, patient, number + 1, kind, day, recorded, "bench", None, body)
            yield seq, patient, number + 1, kind, day, recorded, "bench", None, body, last, own
            last = own


def _body(dice: random.Random) -> str:
    average = dice.randrange(2, 8)
    return f'{{"average":{average}.0,"medication":1.0,"sleep":{dice.randrange(10)}.0,"stimulation_hours":20.0,"worst":{average + 2}.0}}'


def load(write: Write, ids: list[str], clients: int, seconds: float) -> Load:
    """Clients that write without a pause, each days of patients of its own."""
    waits: list[list[float]] = [[] for _ in range(clients)]
    failed: list[BaseException] = []
    gate, end = threading.Barrier(clients + 1), [0.0]

    def client(number: int) -> None:
        own = ids[number::clients]
        gate.wait()
        try:
            k = 0
            while (begin := time.perf_counter()) < end[0]:
                write(own[k % len(own)], k // len(own))
                waits[number].append(time.perf_counter() - begin)
                k += 1
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for each in threads:
        each.start()
    begin = time.perf_counter()
    end[0] = begin + seconds
    gate.wait()
    for each in threads:
        each.join()
    spent = time.perf_counter() - begin
    if failed:
        raise failed[0]
    found = sorted(1000 * wait for some in waits for wait in some)
    return Load(len(found) / spent, statistics.median(found), found[int(0.95 * len(found))], found[-1], len(found))


def through_record(record: Record) -> Write:
    """A client at the level of ``Record``: with an idempotency key, as the phone's page sends."""
    mark = new_id()[:8]

    def write(patient: str, number: int) -> object:
        day = START + timedelta(days=2000 + number % 300)
        return record.commit("phone", patient, [ev.Diary(on=day, average=4, worst=6, sleep=5, stimulation_hours=20)],
                             request=f"{mark}:{patient}:{number}")
    return write


def timelines(record: Record, ids: list[str], count: int) -> list[float]:
    """ms that the whole timeline of one patient takes, for patients by chance."""
    dice = random.Random(2)
    found = []
    for _ in range(count):
        patient = dice.choice(ids)
        begin = time.perf_counter()
        record.timeline(patient)
        found.append(1000 * (time.perf_counter() - begin))
    return sorted(found)


def measure(quick: bool = False, postgres: str = "", patients: int = PATIENTS, events: int = EVENTS,
            progress: Progress = lambda words, share: None) -> list[Row]:
    """Every row of the table.

    Args:
        quick: few events and seconds; to see that everything runs.
        postgres: address of an empty database, which is filled; none is measured if it is left out.
        patients, events: of the record that is filled.
    """
    if quick:
        patients, events = 50, 2000
    rows = []
    with tempfile.TemporaryDirectory(prefix="epidura-bench-") as name:
        folder = Path(name)
        for database, where in (("SQLite", str(folder / "clinic.sqlite")), ("PostgreSQL", postgres)):
            if not where:
                rows.append(Row(database, None, "", note="not measured: no address was given (--postgres)"))
                continue
            record = Record.create(where, folder / f"{database}.key")
            try:
                rows += _of(record, database, patients, events, 0.5 if quick else SECONDS, folder, progress)
            finally:
                record.close()
    return rows


def _of(record: Record, database: str, patients: int, events: int, seconds: float, folder: Path, progress: Progress) -> list[Row]:
    progress(f"{database}: {events:,} events of {patients:,} patients", 0.1)
    begin = time.perf_counter()
    ids = fill(record, patients, events)
    size = f"{events:,} events of {patients:,} patients"
    rows = [Row(f"{database}: filled", time.perf_counter() - begin, "s", size, note="past Record.commit; projections included")]
    for clients in CLIENTS:
        progress(f"{database}: {clients} clients", 0.4)
        found = load(through_record(record), ids, clients, seconds)
        note = "by the clock; diary days with an idempotency key through Record.commit, threads of one process, synced to the disk before the answer"
        rows.append(Row(f"{database}: diary writes, {clients} client(s)", found.rate, "a second", f"{found.count:,} writes", WRITES, None, note))
        rows.append(Row(f"{database}: a write's 95th percentile, {clients} client(s)", found.p95, "ms",
                        f"median {found.median:.3g}, worst {found.worst:.3g} ms", P95_MS, None, "the lower the better"))
    progress(f"{database}: timelines", 0.7)
    waits = timelines(record, ids, 200)
    rows.append(Row(f"{database}: timeline, 95th percentile", waits[int(0.95 * len(waits))], "ms",
                    f"median {statistics.median(waits):.3g} ms, some {events // patients} events each", TIMELINE_MS, None, "the lower the better"))
    progress(f"{database}: projections", 0.8)
    begin, cpu = time.perf_counter(), time.process_time()
    count = record.rebuild()
    spent, cpu = time.perf_counter() - begin, time.process_time() - cpu
    rows.append(Row(f"{database}: projections made anew", count / spent, "events/s", f"{count:,} events in {spent:.3g} s, {cpu:.3g} CPU s",
                    REBUILD, None, "CPU seconds of this process; a server's are not counted"))
    progress(f"{database}: chain and backup", 0.9)
    begin = time.perf_counter()
    chain = record.verify()
    rows.append(Row(f"{database}: chain followed", chain.events / (time.perf_counter() - begin), "events/s",
                    "whole" if not chain.breaks else f"broken: {chain.breaks[0]}"))
    begin = time.perf_counter()
    kept = backup(record, folder / f"{database}.backup")
    rows.append(Row(f"{database}: backup, written and checked", time.perf_counter() - begin, "s",
                    f"{kept.path.stat().st_size / 1e6:.3g} MB, {kept.events:,} events"))
    return rows


def used() -> dict[str, str]:
    """Versions of what was measured, and how busy the machine was."""
    found = {"python": versions()["python"], "sqlite": sqlite3.sqlite_version,
             **{name: version(name) for name in ("epidura", "sqlalchemy", "cryptography")}}
    if sys.platform != "win32":
        found["load"] = " ".join(f"{each:.1f}" for each in os.getloadavg())
    return found


def save(rows: list[Row], path: str | Path) -> None:
    """As ``fibre.save``, of this bench."""
    _save(rows, path, WHAT, used())
