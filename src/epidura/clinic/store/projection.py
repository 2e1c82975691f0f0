"""Making the projections anew from the events, and comparing them with what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, delete, func, select

from epidura.clinic import record as records
from epidura.clinic.pathway import Happened, State, blank, fold, replay
from epidura.clinic.store import log
from epidura.clinic.store.schema import diary, event, patient

CHUNK, DAYS = 20_000, 200_000
STREAM = {"yield_per": CHUNK}
"""Of a statement and not of the connection: psycopg would then write through cursors on the server too, and cannot."""

Days = Callable[[list[dict[str, Any]]], None]


def rebuild(connection: Connection) -> int:
    """Throw the projections away and make them anew; corrected patients are replayed at the end.

    Nearly all events are days of diaries. What they do to a state hangs on no other event, so the database itself sums them up and takes them
    apart; the others are folded one by one. ``differences`` folds all of them, and so checks this.

    Returns:
        Events read.
    """
    connection.execute(delete(diary))
    connection.execute(delete(patient))
    corrected = _corrected(connection)
    states: dict[str, State] = {}
    query = select(event.c.patient, event.c.version, event.c.kind, event.c.day, event.c.body).where(
        event.c.patient != "", event.c.kind != "diary.recorded").order_by(event.c.seq)
    with connection.execute(query, execution_options=STREAM) as read:
        for batch in read.partitions(CHUNK):
            for whose, version, kind, day, body in batch:
                if whose not in corrected:
                    _fold(states, whose, version, kind, day, json.loads(body))
    days = select(event.c.patient, func.max(event.c.version), func.min(event.c.day), func.max(event.c.day), func.count()).where(
        event.c.kind == "diary.recorded").group_by(event.c.patient)
    for whose, version, first, last, entries in connection.execute(days):
        if whose not in corrected:
            state = states[whose]
            state["version"] = max(version, state["version"])
            state["diary"] = {"first": first, "last": last, "entries": entries}
    connection.exec_driver_sql(_DAYS[connection.dialect.name])
    states |= _replayed(connection, corrected, lambda rows: _days(connection, rows))
    if states:
        connection.execute(patient.insert(), [records.state_row(whose, state) for whose, state in states.items()])
    return int(connection.execute(select(func.count()).select_from(event).where(event.c.patient != "")).scalar_one())


_NUMBERS = ("worst", "average", "least", "sleep", "activity", "medication", "stimulation_hours")
_COLUMNS = ", ".join(("patient", "day", "version", *_NUMBERS, "slot", "tingling"))
_WHICH = "kind = 'diary.recorded' AND patient NOT IN (SELECT patient FROM event WHERE kind = 'record.corrected')"
_DAYS = {
    "sqlite": f"INSERT OR REPLACE INTO diary ({_COLUMNS}) SELECT patient, day, version, "
              + ", ".join(f"json_extract(body, '$.{name}')" for name in (*_NUMBERS, "slot", "tingling"))
              + f" FROM event WHERE {_WHICH} ORDER BY patient, version",
    "postgresql": f"INSERT INTO diary ({_COLUMNS}) SELECT DISTINCT ON (patient, day) patient, day, version, "
                  + ", ".join(f"told.{name}" for name in (*_NUMBERS, "slot")) + ", told.tingling::text FROM event, "
                  "json_to_record(body::json) AS told(" + ", ".join(f"{name} float8" for name in _NUMBERS) + ", slot text, tingling json) "
                  f"WHERE {_WHICH} ORDER BY patient, day, version DESC"}
"""The days that count, of patients without a correction, from the bodies of their events; the last of a day counts."""


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
    corrected = _corrected(connection)
    days: list[dict[str, Any]] = []
    count = 0
    query = select(event.c.patient, event.c.version, event.c.kind, event.c.day, event.c.body).where(event.c.patient != "").order_by(event.c.seq)
    with connection.execute(query, execution_options=STREAM) as read:
        for batch in read.partitions(CHUNK):
            count += len(batch)
            for whose, version, kind, day, body in batch:
                if whose in corrected:
                    continue
                content = json.loads(body)
                _fold(states, whose, version, kind, day, content)
                if kind == "diary.recorded":
                    days.append(records.diary_row(whose, version, day, content))
            if len(days) >= DAYS:
                take(days)
                days = []
    take(days)
    return count, states | _replayed(connection, corrected, take)


def _fold(states: dict[str, State], whose: str, version: int, kind: str, day: str, content: dict[str, Any]) -> None:
    state = states.get(whose)
    if state is None:
        state = states[whose] = blank()
    fold(state, Happened(version, kind, day, content))


def _corrected(connection: Connection) -> set[str]:
    """Patients with a correction: what comes after it may rest on the right event and not on the wrong one, so they are replayed whole."""
    return {row[0] for row in connection.execute(select(event.c.patient).where(event.c.kind == "record.corrected").distinct())}


def _replayed(connection: Connection, corrected: set[str], take: Days) -> dict[str, State]:
    states = {}
    for whose in sorted(corrected):
        told = [records._happened(each) for each in log.read(connection, whose)]
        states[whose] = replay(told)
        take(records.diary_rows(whose, told))
    return states


def _days(connection: Connection, rows: list[dict[str, Any]]) -> None:
    last = {(row["patient"], row["day"]): row for row in rows}  # PostgreSQL takes a row twice in one statement for an error
    records.write_days(connection, list(last.values()))
