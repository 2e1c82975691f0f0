"""The chain of events: appending, reading, verifying.

Each event's hash covers the hash before it, so that whoever knows the last hash knows whether anything before it was changed, taken out or
put in. Who appends holds the ``head`` row to the end of the transaction: numbers have no gaps, and time does not run backwards in them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from epidura.clinic.store.schema import event, head

START = "0" * 64
"""What the first event calls the hash before it."""


@dataclass(frozen=True)
class Draft:
    """An event that is to be appended: ``body`` is JSON text as it will be kept."""

    patient: str
    version: int
    kind: str
    day: str
    actor: str
    body: str
    request: str | None = None


@dataclass(frozen=True)
class Stored:
    """An event of the chain.

    Attributes:
        seq: its place in the record, from 1.
        patient, version: whose, and its place among this patient's.
        kind, day: what happened, and on which day (ISO).
        recorded: when it was written down, UTC (ISO).
        actor: who wrote it.
        request: idempotency key of whoever asked.
        body: JSON text; ``sealed`` in it opens with the patient's key.
        previous, hash: of the event before, and of this one.
    """

    seq: int
    patient: str
    version: int
    kind: str
    day: str
    recorded: str
    actor: str
    request: str | None
    body: str
    previous: str
    hash: str

    @property
    def content(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


COLUMNS = (event.c.seq, event.c.patient, event.c.version, event.c.kind, event.c.day, event.c.recorded, event.c.actor, event.c.request,
           event.c.body, event.c.previous, event.c.hash)


@dataclass(frozen=True)
class End:
    """Of the chain: number, hash and time of its last event."""

    seq: int
    hash: str
    recorded: str


_HEAD = select(head.c.seq, head.c.hash, head.c.recorded).where(head.c.id == 1).with_for_update()
_APPEND = event.insert()
_MOVE = update(head).where(head.c.id == 1).values(seq=bindparam("to"), hash=bindparam("last"), recorded=bindparam("now"))
# made once: making a statement takes longer than SQLite takes to run it


def digest(previous: str, seq: int, patient: str, version: int, kind: str, day: str, recorded: str, actor: str, request: str | None,
           body: str) -> str:
    """SHA-256 of an event and of the hash before it."""
    text = json.dumps([previous, seq, patient, version, kind, day, recorded, actor, request, body], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def stamp(moment: datetime) -> str:
    """UTC with microseconds; texts sort as times do."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def hold(connection: Connection) -> End:
    """Take the end of the chain before anything is read, so that what is read holds until the commit; one writer at a time.

    SQLite has its lock from the start of the transaction.
    """
    row = connection.execute(_HEAD).one()
    return End(int(row.seq), str(row.hash), str(row.recorded))


def follow_up(end: End, drafts: Iterable[Draft], moment: datetime) -> tuple[list[Stored], End]:
    """Events as they will stand in the chain, and its end after them; writes nothing.

    Args:
        moment: the clock. Where it is behind the last event, that event's time is kept: order never contradicts time.
    """
    seq, last, recorded = end.seq, end.hash, max(stamp(moment), end.recorded)
    stored = []
    for draft in drafts:
        seq += 1
        own = digest(last, seq, draft.patient, draft.version, draft.kind, draft.day, recorded, draft.actor, draft.request, draft.body)
        stored.append(Stored(seq, draft.patient, draft.version, draft.kind, draft.day, recorded, draft.actor, draft.request, draft.body, last, own))
        last = own
    return stored, End(seq, last, recorded) if stored else end


def write(connection: Connection, stored: Sequence[Stored]) -> None:
    """Put events at the end of the chain, which is held and which they follow."""
    if stored:
        last = stored[-1]
        connection.execute(_APPEND, [vars(each) for each in stored])
        connection.execute(_MOVE, {"to": last.seq, "last": last.hash, "now": last.recorded})


def append(connection: Connection, drafts: Iterable[Draft], moment: datetime) -> list[Stored]:
    """Append events, in order.

    Args:
        connection: one that writes, in a transaction.
        drafts: what to append.
        moment: the clock, as of ``follow_up``.
    """
    stored, _ = follow_up(hold(connection), drafts, moment)
    write(connection, stored)
    return stored


def read(connection: Connection, patient: str | None = None, after: int = 0, limit: int | None = None) -> Iterator[Stored]:
    """Events in order.

    Args:
        patient: of one patient, by version; None: of all, by number.
        after: version, or number, after which to begin.
        limit: at most so many.
    """
    query = select(*COLUMNS)
    if patient is None:
        query = query.where(event.c.seq > after).order_by(event.c.seq)
    else:
        query = query.where(event.c.patient == patient, event.c.version > after).order_by(event.c.version)
    if limit is not None:
        query = query.limit(limit)
    # of the statement and not of the connection, which would then write through cursors on the server too; closed by whoever stops early
    with connection.execute(query, execution_options={"yield_per": 5000} if patient is None else {}) as rows:
        for row in rows:
            yield Stored(*row)


@dataclass(frozen=True)
class Verified:
    """What a look at the whole chain found.

    Attributes:
        events: how many.
        head: hash of the last one, to be kept elsewhere (``anchor``).
        breaks: number of an event and what is wrong with it; empty if the chain is whole.
    """

    events: int
    head: str
    breaks: tuple[tuple[int, str], ...]


def verify(connection: Connection, anchors: Mapping[int, str] | None = None) -> Verified:
    """Follow the chain from its start.

    Args:
        anchors: number -> hash as noted elsewhere at an earlier time. Without any, somebody who can rewrite the whole file can rewrite
            the whole chain.
    """
    found = follow(read(connection), anchors)
    row = connection.execute(select(head.c.seq, head.c.hash).where(head.c.id == 1)).one()
    if (row.seq, row.hash) == (found.events, found.head):
        return found
    wrong = (found.events + 1, f"the record says it ends at event {row.seq}, the chain ends at {found.events}")
    return Verified(found.events, found.head, (*found.breaks, wrong))


def follow(events: Iterable[Stored], anchors: Mapping[int, str] | None = None) -> Verified:
    """Follow a chain, wherever it is kept; as ``verify``."""
    breaks: list[tuple[int, str]] = []
    last, seq, when, versions = START, 0, "", dict[str, int]()
    noted = dict(anchors or {})
    for each in events:
        if each.seq != seq + 1:
            breaks.append((each.seq, f"events {seq + 1} to {each.seq - 1} are missing"))
        if each.previous != last:
            breaks.append((each.seq, "does not follow the event before it"))
        if each.hash != digest(each.previous, each.seq, each.patient, each.version, each.kind, each.day, each.recorded, each.actor, each.request,
                               each.body):
            breaks.append((each.seq, "was changed"))
        if each.recorded < when:
            breaks.append((each.seq, "was recorded before the event before it"))
        if each.version != versions.get(each.patient, 0) + 1:
            breaks.append((each.seq, f"version {each.version} of its patient follows {versions.get(each.patient, 0)}"))
        if each.seq in noted and noted.pop(each.seq) != each.hash:
            breaks.append((each.seq, "is not the one that was noted elsewhere"))
        last, seq, when, versions[each.patient] = each.hash, each.seq, each.recorded, each.version
    breaks += [(number, "was noted elsewhere and is not there") for number in noted]
    return Verified(seq, last, tuple(breaks))
