"""``epidura bench clinic``: how fast the clinic's record is on this machine, on SQLite and on a PostgreSQL if one is given. Figures, no limits.

The record holds days of the diary of fictional patients without names, each event with its right hash, written past ``Record.commit``
(``fill``). Then clients write days, read timelines, and the projections are made anew. With ``rest``, phones write days through a server of its
own process, too (``served``). Times are by the clock, since the disk is what is waited for: other work on the machine falsifies them.
"""

from __future__ import annotations

import json
import os
import random
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from http.client import HTTPConnection
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import update

from epidura.bench.fibre import Row, versions
from epidura.bench.fibre import save as _save
from epidura.clinic import events as ev
from epidura.clinic.people import People
from epidura.clinic.record import Record, new_id
from epidura.clinic.store import log, schema
from epidura.clinic.store.backup import backup
from epidura.clinic.store.engine import WRITE
from epidura.errors import Failed

Progress = Callable[[str, float], None]
Write = Callable[[str, int], object]
"""Writes a day of a patient's diary: patient, number of the day. Through ``Record`` here; through REST where a server is measured."""

PATIENTS, EVENTS = 10_000, 2_000_000
CLIENTS = (1, 8, 20)
PHONES = 100
"""Patients with a session where writes go through REST: so many that nobody meets the rate of one session (``api.limits``)."""
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


def phones(record: Record, ids: list[str]) -> dict[str, str]:
    """Patient -> token of a session that opens this diary, as a link gives it."""
    people = People(record.engine, record.clock)
    return {patient: people.exchange(people.link(patient, "bench")[0]).token for patient in ids}


@contextmanager
def served(where: str, key: Path) -> Iterator[tuple[str, int]]:
    """``epidura serve`` of a record, on loopback in a process of its own: host and port.

    Raises:
        Failed: it did not start; with what it said.
    """
    own = {name: value for name, value in os.environ.items() if name != "EPIDURA_CLINIC_PASSWORD"}
    command = [sys.executable, "-c", "from epidura.cli import main; main()", "serve", "--store", where, "--key", str(key), "--port", "0"]
    process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=own | {"PYTHONUNBUFFERED": "1"})
    assert process.stdout is not None
    rest: threading.Thread | None = None
    try:
        said = ""
        while "listens on http://" not in said:
            line = process.stdout.readline()
            if not line:
                raise Failed(f"bench: the server did not start: {said.strip()[-500:]}")
            said += line
        host, port = said.split("listens on http://")[1].strip().strip("/").rsplit(":", 1)
        rest = threading.Thread(target=process.stdout.read)  # what else it says must not fill the pipe
        rest.start()
        for _ in range(300):  # its address is known before it answers
            try:
                socket.create_connection((host, int(port)), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield host, int(port)
    finally:
        process.terminate()
        process.wait(timeout=30)
        if rest is not None:
            rest.join()
        process.stdout.close()


@contextmanager
def through_rest(host: str, port: int, tokens: Mapping[str, str]) -> Iterator[Write]:
    """A client that is a patient's page: one request for each day, each thread with a connection that stays open."""
    mark, own, made = new_id()[:8], threading.local(), list[HTTPConnection]()
    body = json.dumps({"average": 4, "worst": 6, "sleep": 5, "stimulation_hours": 20})

    def write(patient: str, number: int) -> object:
        if not hasattr(own, "connection"):
            own.connection = HTTPConnection(host, port, timeout=60)
            made.append(own.connection)
        day = START + timedelta(days=2000 + number % 300)
        own.connection.request("PUT", f"/api/v1/patients/{patient}/diary/{day}", body,
                               {"Authorization": f"Bearer {tokens[patient]}", "Content-Type": "application/json",
                                "Idempotency-Key": f"{mark}:{patient}:{number}"})
        answer = own.connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise Failed(f"bench: a diary day was answered with {answer.status}: {said[:200].decode(errors='replace')}")
        return said

    try:
        yield write
    finally:
        for connection in made:
            connection.close()


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


def measure(quick: bool = False, postgres: str = "", patients: int = PATIENTS, events: int = EVENTS, rest: bool = False,
            progress: Progress = lambda words, share: None) -> list[Row]:
    """Every row of the table.

    Args:
        quick: few events and seconds; to see that everything runs.
        postgres: address of an empty database, which is filled; none is measured if it is left out.
        patients, events: of the record that is filled.
        rest: write through a server, too.
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
                seconds = 0.5 if quick else SECONDS
                ids = _fill(record, database, patients, events, rows, progress)
                rows += _writes(database, through_record(record), ids, seconds, progress)
                if rest:
                    rows += _rest(record, where, folder / f"{database}.key", database, ids, seconds, progress)
                rows += _of(record, database, ids, patients, events, folder, progress)
            finally:
                record.close()
    return rows


def _fill(record: Record, database: str, patients: int, events: int, rows: list[Row], progress: Progress) -> list[str]:
    progress(f"{database}: {events:,} events of {patients:,} patients", 0.1)
    begin = time.perf_counter()
    ids = fill(record, patients, events)
    size = f"{events:,} events of {patients:,} patients"
    rows.append(Row(f"{database}: filled", time.perf_counter() - begin, "s", size, note="past Record.commit; projections included"))
    return ids


def _writes(name: str, write: Write, ids: list[str], seconds: float, progress: Progress,
            note: str = "by the clock; diary days with an idempotency key through Record.commit, threads of one process, synced to the disk "
                        "before the answer") -> list[Row]:
    rows = []
    for clients in CLIENTS:
        progress(f"{name}: {clients} clients", 0.4)
        found = load(write, ids, clients, seconds)
        rows.append(Row(f"{name}: diary writes, {clients} client(s)", found.rate, "a second", f"{found.count:,} writes", WRITES, None, note))
        rows.append(Row(f"{name}: a write's 95th percentile, {clients} client(s)", found.p95, "ms",
                        f"median {found.median:.3g}, worst {found.worst:.3g} ms", P95_MS, None, "the lower the better"))
    return rows


def _rest(record: Record, where: str, key: Path, database: str, ids: list[str], seconds: float, progress: Progress) -> list[Row]:
    """Writes of phones through a server. Each is two that wait for the disk: the day, and the row of the access log."""
    tokens = phones(record, ids[:PHONES])
    with served(where, key) as (host, port), through_rest(host, port, tokens) as write:
        return _writes(f"{database}, REST", write, list(tokens), seconds, progress,
                       "by the clock; diary days through 'epidura serve' on loopback, bearer tokens of patients, clients and server on this machine")


def _of(record: Record, database: str, ids: list[str], patients: int, events: int, folder: Path, progress: Progress) -> list[Row]:
    """What one who reads waits for, and what is done at night."""
    rows = []
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
