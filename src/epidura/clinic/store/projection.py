"""Making the projections anew from the events."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, delete, select, text

from epidura.clinic import record as records
from epidura.clinic.pathway import Happened, State, blank, fold, replay
from epidura.clinic.store import log
from epidura.clinic.store.schema import diary, event, patient

CHUNK = 20_000


def rebuild(connection: Connection) -> int:
    """Throw the projections away and fold every event again; corrected patients are replayed at the end.

    Returns:
        Events read.
    """
    connection.execute(delete(diary))
    connection.execute(delete(patient))
    states: dict[str, State] = {}
    corrected: set[str] = set()
    days: list[dict[str, Any]] = []
    count = 0
    decode = json.loads
    rows = connection.execution_options(yield_per=CHUNK).execute(
        select(event.c.patient, event.c.version, event.c.kind, event.c.day, event.c.body).where(event.c.patient != "").order_by(event.c.seq))
    for batch in rows.partitions(CHUNK):
        count += len(batch)
        for whose, version, kind, day, body in batch:
            content = decode(body)
            state = states.get(whose)
            if state is None:
                state = states[whose] = blank()
            fold(state, Happened(version, kind, day, content))
            if kind == "diary.recorded":
                days.append(records.diary_row(whose, version, day, content))
            elif kind == "record.corrected":
                corrected.add(whose)
        if len(days) >= CHUNK:
            _days(connection, days)
            days = []
    _days(connection, days)
    for whose in corrected:
        told = [records._happened(each) for each in log.read(connection, whose)]
        states[whose] = replay(told)
        connection.execute(delete(diary).where(diary.c.patient == whose))
        _days(connection, records.diary_rows(whose, told))
    if states:
        connection.execute(patient.insert(), [records.state_row(whose, state) for whose, state in states.items()])
    return count


def _days(connection: Connection, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    if connection.dialect.name != "sqlite":
        last = {(row["patient"], row["day"]): row for row in rows}  # PostgreSQL takes a row twice in one statement for an error
        records.write_days(connection, list(last.values()))
        return
    names = [column.name for column in diary.c]
    sql = f"INSERT OR REPLACE INTO diary ({', '.join(names)}) VALUES ({', '.join(':' + name for name in names)})"
    connection.execute(text(sql), rows)
