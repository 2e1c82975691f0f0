"""Making the projections anew from the events, and comparing them with what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, delete, select

from epidura.clinic import record as records
from epidura.clinic.pathway import Happened, State, blank, fold, replay
from epidura.clinic.store import log
from epidura.clinic.store.schema import diary, event, patient

CHUNK, DAYS = 20_000, 200_000
STREAM = {"yield_per": CHUNK}
"""Of a statement and not of the connection: psycopg would then write through cursors on the server too, and cannot."""

Days = Callable[[list[dict[str, Any]]], None]


def rebuild(connection: Connection) -> int:
    """Throw the projections away and fold every event again; corrected patients are replayed at the end.

    Returns:
        Events read.
    """
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA cache_size = -131072")  # 128 MiB: pages of the days are met again and again
    connection.execute(delete(diary))
    connection.execute(delete(patient))
    count, states = _folded(connection, lambda rows: _days(connection, rows))
    if states:
        connection.execute(patient.insert(), [records.state_row(whose, state) for whose, state in states.items()])
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA cache_size = -2000")  # SQLite's own
    return count


def differences(connection: Connection) -> tuple[str, ...]:
    """Patients whose kept state, or days, are not what the events add up to."""
    told: dict[tuple[str, str], dict[str, Any]] = {}

    def days(rows: list[dict[str, Any]]) -> None:
        told.update({(row["patient"], row["day"]): row for row in rows})

    _, states = _folded(connection, days)
    wrong = set()
    for row in connection.execute(select(patient)):
        state = states.pop(row.id, None)
        if state is None or dict(row._mapping) | {"state": json.loads(row.state)} != records.state_row(row.id, state) | {"state": state}:
            wrong.add(row.id)
    for row in connection.execute(select(diary), execution_options=STREAM):
        if told.pop((row.patient, row.day), None) != dict(row._mapping):
            wrong.add(row.patient)
    return tuple(sorted(wrong | set(states) | {whose for whose, _ in told}))


def _folded(connection: Connection, take: Days) -> tuple[int, dict[str, State]]:
    """Every event folded: how many, and the states; days of the diary go to ``take`` in the order in which they count."""
    states: dict[str, State] = {}
    corrected: set[str] = set()
    rows = [row[0] for row in connection.execute(select(event.c.patient).where(event.c.kind == "record.corrected").distinct())]
    corrected.update(rows)  # what comes after a correction may rest on the right event and not on the wrong one
    days: list[dict[str, Any]] = []
    count, decode, day_row = 0, json.loads, records.diary_row
    query = select(event.c.patient, event.c.version, event.c.kind, event.c.day, event.c.body).where(event.c.patient != "").order_by(event.c.seq)
    with connection.execute(query, execution_options=STREAM) as read:
        for batch in read.partitions(CHUNK):
            count += len(batch)
            for whose, version, kind, day, body in batch:
                if whose in corrected:
                    continue
                content = decode(body)
                state = states.get(whose)
                if state is None:
                    state = states[whose] = blank()
                fold(state, Happened(version, kind, day, content))
                if kind == "diary.recorded":
                    days.append(day_row(whose, version, day, content))
            if len(days) >= DAYS:
                take(days)
                days = []
    take(days)
    for whose in corrected:
        told = [records._happened(each) for each in log.read(connection, whose)]
        states[whose] = replay(told)
        take(records.diary_rows(whose, told))
    return count, states


def _days(connection: Connection, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    if connection.dialect.name != "sqlite":
        last = {(row["patient"], row["day"]): row for row in rows}  # PostgreSQL takes a row twice in one statement for an error
        records.write_days(connection, list(last.values()))
        return
    names = [column.name for column in diary.c]
    values = [tuple(row.values()) for row in sorted(rows, key=itemgetter("patient"))]  # neighbours in the file; keeps the order of each one's
    connection.exec_driver_sql(f"INSERT OR REPLACE INTO diary ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", values)
