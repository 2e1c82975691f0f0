"""The record of a clinic: what a face calls to write events and to read patients.

```
record = Record.open("clinic.sqlite")
done = record.commit("nurse-7", patient, [events.Diary(on=date(2026, 5, 3), worst=7, average=5)], request="phone-12:2026-05-03")
record.state(patient)["stage"]
```

A commit is all or nothing and is acknowledged after it is on the disk. Commits that arrive while another is written share its disk write.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Executable, bindparam, delete, func, select, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError

from epidura.clinic import events, pathway
from epidura.clinic.events import Corrected, Erased, Event
from epidura.clinic.pathway import Happened, State
from epidura.clinic.store import log, schema
from epidura.clinic.store.engine import WRITE, BadStore, check, connect, migrate, private, url_of
from epidura.clinic.store.line import BATCH, Line
from epidura.clinic.store.log import Draft, Stored, Verified
from epidura.clinic.store.vault import Vault, make_key, opened, read_key, sealed
from epidura.errors import BadInput, Failed
from epidura.recipe import kind_of

CLINIC = ""
"""Stands for the clinic where an event is about no patient."""


class Conflict(BadInput):
    """Somebody else changed the record in between; nothing was written."""


class Unknown(BadInput):
    """No such patient or event."""


class Repeated(BadInput):
    """An idempotency key that came with something else before."""


class Full(Failed):
    """The disk took nothing more; nothing of the commit was written."""


@dataclass(frozen=True)
class Committed:
    """What a commit did.

    Attributes:
        patient: whose record.
        version: of the last event.
        revision: that the next writer names as seen.
        events: as stored.
        state: after them.
        repeated: whether this request had been written before and nothing was done now.
    """

    patient: str
    version: int
    revision: int
    events: tuple[Stored, ...]
    state: State
    repeated: bool = False


@dataclass
class _Job:
    actor: str
    patient: str
    events: Sequence[Event]
    seen: int | None = None
    request: str | None = None
    fingerprint: str = ""
    result: Committed | None = None
    error: BaseException | None = None


class _Batch:
    """Commits that are written together: what they rest on, and what they add up to; ``flush`` writes it in few statements.

    A commit that is refused has left nothing here, so that none needs a savepoint, and what a statement costs is shared by all.

    Args:
        connection: one that writes, in a transaction; holds the end of the chain from here on.
    """

    def __init__(self, connection: Connection, vault: Vault):
        self.connection, self.vault, self.end = connection, vault, log.hold(connection)
        self._states: dict[str, str | None] = {}
        self._keys: dict[str, bytes] = {}
        self._came: set[str] = set()
        self._stored: list[Stored] = []
        self._made: dict[str, bytes] = {}
        self._rows: dict[str, dict[str, Any]] = {}
        self._days: dict[tuple[str, str], dict[str, Any]] = {}
        self._corrected: set[str] = set()

    def look(self, jobs: Sequence[_Job]) -> None:
        """Read at once what some commits rest on: states and keys of their patients, and whether a request came before."""
        patients, requests = list({job.patient for job in jobs}), [job.request for job in jobs if job.request is not None]
        lists = [patients, requests] if self.connection.dialect.name != "sqlite" else [json.dumps(patients), json.dumps(requests)]
        self._states |= {patient: self._states.get(patient) for patient in patients}
        for name, state, wrapped in self.connection.execute(_LOOK[self.connection.dialect.name], {"patients": lists[0], "requests": lists[1]}):
            if state is None:
                self._came.add(name)
            else:
                self._states[name] = state
                if wrapped is not None:
                    self._keys[name] = bytes(wrapped)

    def came(self, request: str) -> bool:
        """Whether a request was written before, or is written now."""
        return request in self._came

    def state(self, patient: str) -> State:
        """Of a patient after what came before in this batch; the caller's own."""
        text = self._states[patient]
        return pathway.blank() if text is None else dict(json.loads(text))

    def seal(self, patient: str, values: Mapping[str, Any], made: dict[str, bytes]) -> str:
        """As ``Vault.seal``; a key that has to be made goes to ``made``, and is kept with the commit."""
        wrapped = made.get(patient) or self._keys.get(patient) or self.vault.wrapped(self.connection, patient)
        if wrapped is None:
            wrapped = made[patient] = self.vault.make(patient)
        return sealed(self.vault.unwrapped(patient, wrapped), patient, values)

    def take(self, job: _Job, drafts: Sequence[Draft], state: State, made: Mapping[str, bytes], moment: datetime) -> tuple[Stored, ...]:
        """Put a commit behind those that came before."""
        stored, self.end = log.follow_up(self.end, drafts, moment)
        self._stored += stored
        self._made |= made
        self._keys |= made
        self._rows[job.patient] = row = state_row(job.patient, state)
        self._states[job.patient] = row["state"]
        if job.request is not None:
            self._came.add(job.request)
        for each in stored:
            if each.kind == "diary.recorded":
                self._days[each.patient, each.day] = diary_row(each.patient, each.version, each.day, each.content)
            elif each.kind == "record.corrected":
                self._corrected.add(each.patient)
        return tuple(stored)

    def flush(self) -> None:
        """Write what was taken. Does nothing the second time."""
        if not self._stored:
            return
        self.vault.keep(self.connection, self._made)
        states, days = list(self._rows.values()), [row for (patient, _), row in self._days.items() if patient not in self._corrected]
        if self.connection.dialect.name == "sqlite":
            log.write(self.connection, self._stored)
            write_states(self.connection, states)
            write_days(self.connection, days)
        else:  # one message to the server
            self.connection.execute(_at_once(), {
                "events": _listed([vars(each) for each in self._stored]), "states": _listed(states), "days": _listed(days),
                "to": self.end.seq, "last": self.end.hash, "now": self.end.recorded})
        for patient in self._corrected:
            self.connection.execute(delete(schema.diary).where(schema.diary.c.patient == patient))
            write_days(self.connection, diary_rows(patient, [_happened(each) for each in log.read(self.connection, patient)]))
        for kept in (self._stored, self._made, self._rows, self._days, self._corrected):
            kept.clear()


class Record:
    """A clinic's record.

    Args:
        engine: of a record that was made (``create``) and is whole.
        vault: with the clinic's key.
        clock: for tests.
        erasures: file that ``erase`` notes patients in, for ``store.backup.restore``; None: none is kept.
    """

    def __init__(self, engine: Engine, vault: Vault, clock: Callable[[], datetime] = events.now, erasures: Path | None = None):
        self.engine, self.vault, self.clock, self.erasures = engine, vault, clock, erasures
        self._writer = engine.execution_options(**{WRITE: True})
        self._turn, self._line = threading.Lock(), Line(self._write)
        check(engine)

    @classmethod
    def create(cls, where: str | Path, key_file: Path | None = None, password: str = "", clock: Callable[[], datetime] = events.now) -> Record:
        """Make a record, or bring one to this version.

        Args:
            where: path of an SQLite file or address of a PostgreSQL database.
            key_file: of the clinic's key; made if it is not there. None: beside the SQLite file.
            password: encrypts an SQLite file at rest.
        """
        path = key_path(where, key_file)
        url = url_of(where)
        file = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
        if file is not None:
            if not file.parent.is_dir():
                raise BadInput("store", "no such folder", got=str(file.parent), hint="make it first")
            if not file.exists():
                file.touch(mode=0o600)
            private(file)
        engine = connect(where, key=password)
        try:
            migrate(engine)
            with engine.connect() as connection:
                used = connection.execute(select(schema.secret.c.patient).limit(1)).scalar() is not None
            if not path.exists() and used:
                read_key(path)  # says what is missing: a new key would open nothing of what is there
            key = read_key(path) if path.exists() else make_key(path)
            return cls(engine, Vault(key), clock, erasures_path(where, path))
        except BaseException:
            engine.dispose()
            raise

    @classmethod
    def open(cls, where: str | Path, key_file: Path | None = None, password: str = "", clock: Callable[[], datetime] = events.now) -> Record:
        """A record that is there.

        Raises:
            BadInput: no such file, or no key.
            BadStore: not a record, of another version, or without its triggers.
        """
        url = url_of(where)
        if url.get_backend_name() == "sqlite" and not Path(str(url.database)).is_file():
            raise BadInput("store", "no such record", got=str(url.database), hint="'epidura clinic init' makes one")
        path = key_path(where, key_file)
        vault, engine = Vault(read_key(path)), connect(where, key=password)
        try:
            return cls(engine, vault, clock, erasures_path(where, path))
        except BaseException:
            engine.dispose()
            raise

    def close(self) -> None:
        self.engine.dispose()

    # writing

    def commit(self, actor: str, patient: str, what: Sequence[Event], *, seen: int | None = None, request: str | None = None) -> Committed:
        """Append events of one patient: all of them or none.

        Args:
            actor: who writes.
            patient: whose; ``new_id()`` for one who is registered now.
            what: events, in order.
            seen: revision that the writer had before the eyes; refused if there is a later one.
            request: idempotency key: the same key with the same events is written once, however often it comes.

        Raises:
            Refused: an event that cannot happen now, with what is missing.
            Conflict: there is a later revision than ``seen``.
            Repeated: the key came before with other events.
            Unknown: no such patient.
            Full: the disk is full.
        """
        if not what:
            raise BadInput("events", "nothing to write", got="no event")
        if any(isinstance(each, Erased) for each in what):
            raise BadInput("kind", "an erasure is not written but done", hint="Record.erase")
        return self._do(_Job(actor, patient, what, seen, request, _fingerprint(patient, what) if request is not None else ""))

    def commit_all(self, what: Sequence[tuple[str, str, Sequence[Event]]]) -> list[Committed]:
        """Append events of several patients in one write: all of them or none, as when records are imported.

        Args:
            what: (actor, patient, events), in order.

        Raises:
            Refused: an event that cannot happen now, with what is missing.
            Full: the disk is full.
        """
        if any(isinstance(each, Erased) for _, _, events_ in what for each in events_):
            raise BadInput("kind", "an erasure is not written but done", hint="Record.erase")
        jobs, done = [_Job(*each) for each in what if each[2]], list[Committed]()
        try:
            with self._turn, self._writer.begin() as connection:
                batch = _Batch(connection, self.vault)
                for some in (jobs[k:k + BATCH] for k in range(0, len(jobs), BATCH)):
                    batch.look(some)
                    done += [self._one(batch, job) for job in some]
                    batch.flush()
            return done
        except DBAPIError as error:
            raise _disk(error) from error

    def _do(self, job: _Job) -> Committed:
        self._line.do(job)
        if job.error is not None:
            raise job.error
        assert job.result is not None
        return job.result

    def _write(self, jobs: list[_Job]) -> None:
        """Write some commits in one transaction; each stands or falls alone."""
        try:
            with self._turn, self._writer.begin() as connection:
                batch = _Batch(connection, self.vault)
                batch.look(jobs)
                for job in jobs:
                    job.result = job.error = None
                    try:
                        job.result = self._one(batch, job)
                    except DBAPIError:
                        raise
                    except Exception as error:
                        job.error = error
                batch.flush()
        except Exception as error:  # nothing of the batch is on the disk
            if len(jobs) > 1 and isinstance(error, IntegrityError | DataError):  # what the database does not take is of one
                for job in jobs:
                    self._write([job])
                return
            failure = Conflict("record", f"another writer was first: {error.orig}") if isinstance(error, IntegrityError) else _disk(error)
            for job in jobs:
                job.result, job.error = None, failure

    def _one(self, batch: _Batch, job: _Job) -> Committed:
        if job.request is not None and batch.came(job.request):
            batch.flush()
            return self._repeated(batch, job)
        if any(isinstance(each, Corrected) for each in job.events):  # looks at events as they are kept
            batch.flush()
        state = batch.state(job.patient)
        if job.seen is not None and job.seen != state["revision"]:
            raise Conflict("record", "somebody else changed this patient's record in between", got=f"revision {job.seen}",
                           allowed=f"revision {state['revision']}", hint="read it again, then write")
        drafts: list[Draft] = []
        made: dict[str, bytes] = {}
        for each in job.events:
            state = self._add(batch, job, each, state, drafts, made)
        stored = batch.take(job, drafts, state, made, self.clock())
        return Committed(job.patient, state["version"], state["revision"], stored, state)

    def _add(self, batch: _Batch, job: _Job, each: Event, state: State, drafts: list[Draft], made: dict[str, bytes]) -> State:
        kind, day = kind_of(type(each)), each.on.isoformat()
        today = self.clock().date()
        if (each.on - today).days > 1:  # a phone east of us is already in tomorrow
            raise BadInput("on", "a day in the future", got=day, allowed=f"{today.isoformat()} or before")
        body, hidden = self._body(batch.connection, job.patient, each, drafts)
        lacks = pathway.refusals(state, kind, body, day)
        if lacks:
            raise pathway.refuse(kind, state, lacks)
        if hidden:
            body["sealed"] = batch.seal(job.patient, hidden, made)
        if job.request is not None and not drafts:
            body["request"] = job.fingerprint
        version = state["version"] + 1
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        drafts.append(Draft(job.patient, version, kind, day, job.actor, text, job.request if not drafts else None))
        happened = Happened(version, kind, day, body)
        if isinstance(each, Corrected):
            earlier = [_happened(old) for old in log.read(batch.connection, job.patient)]
            pending = [Happened(draft.version, draft.kind, draft.day, json.loads(draft.body)) for draft in drafts]
            return pathway.replay([*earlier, *pending], checked=True)
        return pathway.fold(state, happened)

    def _body(self, connection: Connection, patient: str, each: Event, drafts: Sequence[Draft]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Open and sealed part of an event's body; ``drafts`` are written with it, and a correction may be of one of them."""
        body, sealed = events.split(each)
        if isinstance(each, events.Answered):
            score = each.score()
            body["score"] = {value.name: value.number for value in score.values if value.number is not None}
            if score.alerts:
                body["alerts"] = list(score.alerts)
        if isinstance(each, events.Programmed) and (charge := {**each.figures(), **each.charge}):
            body["charge"] = charge  # figures that came with it, such as those of a bench, are kept
        if isinstance(each, Corrected):
            wrong: Stored | Draft | None = next((draft for draft in drafts if draft.version == each.version), None)
            wrong = wrong or next(iter(log.read(connection, patient, after=each.version - 1, limit=1)), None)
            if wrong is None or wrong.version != each.version:
                raise Unknown("version", "this patient has no such event", got=str(each.version))
            if wrong.kind in ("record.corrected", "patient.erased", "patient.registered"):
                raise BadInput("version", f"{wrong.kind} cannot be corrected", got=str(each.version),
                               hint="correct the first event again, or write patient.identified for an identity")
            if each.instead is not None:
                right = events.read({**each.instead, "kind": wrong.kind} if "kind" not in each.instead else each.instead)
                if kind_of(type(right)) != wrong.kind:
                    raise BadInput("instead.kind", "a correction is of the same kind", got=kind_of(type(right)), allowed=wrong.kind)
                inner, hidden = self._body(connection, patient, right, drafts)
                body["open"] = {**inner, "on": right.on.isoformat()}
                sealed["instead"] = hidden
        return body, sealed

    def _repeated(self, batch: _Batch, job: _Job) -> Committed:
        first = Stored(*batch.connection.execute(_REQUEST, {"key": job.request}).one())
        if first.patient != job.patient or first.content.get("request") != job.fingerprint:
            raise Repeated("request", "this idempotency key came before with something else", got=job.request, hint="make a new key for each change")
        written = tuple(log.read(batch.connection, job.patient, after=first.version - 1, limit=len(job.events)))
        state = batch.state(job.patient)
        return Committed(job.patient, written[-1].version, state["revision"], written, state, repeated=True)

    def erase(self, actor: str, patient: str, authority: str, why: str) -> Committed:
        """Erase who a patient is, on lawful request: the key of names and free words is thrown away; the chain stays whole.

        What was measured stays under a pseudonym. A backup from before still holds the key; ``store.backup.restore`` throws it away again,
        from the list of erasures that is kept beside the record.

        Args:
            authority: on what the request rests.
            why: kept open, since nothing can be sealed for this patient any more; no names in it.
        """
        with self._turn, self._writer.begin() as connection:
            log.hold(connection)
            state = self._state(connection, patient)
            if not state["stage"]:
                raise Unknown("patient", "no such patient", got=patient)
            if state.get("erased"):
                raise BadInput("patient", "was erased before", got=state["erased"])
            if self.erasures is not None:
                note_erasure(self.erasures, patient)  # before the commit: an entry too many is mended by erasing again, one too few never
            moment = self.clock()
            day, version = moment.date().isoformat(), state["version"] + 1
            body = {"authority": authority, "why_open": why}
            stored = log.append(connection, [Draft(patient, version, "patient.erased", day, actor, json.dumps(body, sort_keys=True))], moment)
            self.vault.throw_away(connection, patient)
            state = pathway.fold(state, Happened(version, "patient.erased", day, body))
            write_states(connection, [state_row(patient, state)])
        self._scrub()
        return Committed(patient, version, state["revision"], tuple(stored), state)

    def _scrub(self) -> None:
        """The thrown-away key leaves the write-ahead file too (secure_delete has overwritten it in the pages)."""
        if self.engine.dialect.name == "sqlite":
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    # reading

    def state(self, patient: str, unsealed: bool = False) -> State:
        """What a patient's events add up to.

        Args:
            unsealed: with the free words that are kept under the patient's key, such as what an earlier treatment was; takes a look at all events.

        Raises:
            Unknown: no such patient.
        """
        if unsealed:
            told = [Happened(each["version"], each["kind"], each["on"], {"open": each["body"]["instead"], **each["body"]} if "instead" in each["body"]
                             else each["body"]) for each in self.timeline(patient)]
            state = pathway.replay(told)
        else:
            with self.engine.connect() as connection:
                state = self._state(connection, patient)
        if not state["stage"]:
            raise Unknown("patient", "no such patient", got=patient)
        return state

    def _state(self, connection: Connection, patient: str) -> State:
        text = connection.execute(_STATE, {"whose": patient}).scalar()
        return pathway.blank() if text is None else dict(json.loads(text))

    def timeline(self, patient: str, after: int = 0, limit: int | None = None, unsealed: bool = True) -> list[dict[str, Any]]:
        """A patient's events, oldest first, as mappings: ``version, kind, on, recorded, actor, hash`` and ``body``.

        Args:
            after: version to begin after.
            unsealed: with what is kept under the patient's key; False for those who may see pseudonyms only.
        """
        with self.engine.connect() as connection:
            stored = list(log.read(connection, patient, after, limit))
            key = self.vault.key(connection, patient) if unsealed and stored else None
        return [shown(each, key) for each in stored]

    def identity(self, patient: str) -> dict[str, Any] | None:
        """Who a patient is, of the latest event that says so; None after an erasure.

        Raises:
            Unknown: no such patient.
        """
        with self.engine.connect() as connection:
            rows = list(connection.execute(select(*log.COLUMNS).where(
                schema.event.c.patient == patient, schema.event.c.kind.in_(("patient.registered", "patient.identified", "record.corrected")))
                .order_by(schema.event.c.version)))
            key = self.vault.key(connection, patient)
        if not rows:
            raise Unknown("patient", "no such patient", got=patient)
        if key is None:
            return None
        named: dict[int, dict[str, Any] | None] = {}
        for row in rows:
            each = Stored(*row)
            body = shown(each, key)["body"]
            if each.kind == "record.corrected":
                if body["version"] in named:
                    named[body["version"]] = (body.get("instead") or {}).get("identity")
            else:
                named[each.version] = body.get("identity")
        return next((identity for identity in reversed(list(named.values())) if identity is not None), None)

    def diary(self, patient: str, first: str = "", last: str = "9999") -> list[dict[str, Any]]:
        """Days of the diary that count, in order."""
        table = schema.diary
        with self.engine.connect() as connection:
            rows = connection.execute(select(table).where(table.c.patient == patient, table.c.day.between(first, last)).order_by(table.c.day))
            return [{**row._mapping, "tingling": json.loads(row.tingling or "[]")} for row in rows]

    def patients(self, stage: str | None = None, after: str = "", limit: int = 100) -> list[dict[str, Any]]:
        """Patients in the order of their ids: ``id, pseudonym, stage, since, indication, version, revision``."""
        table = schema.patient
        columns = [column for column in table.c if column.name != "state"]
        query = select(*columns).where(table.c.id > after).order_by(table.c.id).limit(limit)
        if stage is not None:
            query = query.where(table.c.stage == stage)
        with self.engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    def states(self) -> Iterator[tuple[str, State]]:
        """Every patient's state."""
        table = schema.patient
        with self.engine.connect().execution_options(yield_per=500) as connection:
            for row in connection.execute(select(table.c.id, table.c.state).order_by(table.c.id)):
                yield row.id, json.loads(row.state)

    def counts(self) -> dict[str, int]:
        """Stage -> patients."""
        with self.engine.connect() as connection:
            rows = connection.execute(select(schema.patient.c.stage, func.count()).group_by(schema.patient.c.stage))
            return {str(stage): int(count) for stage, count in rows}

    def verify(self, anchors: Mapping[int, str] | None = None) -> Verified:
        """Follow the chain. Whether states are what the events add up to, ``store.projection.differences`` says."""
        with self.engine.connect() as connection:
            return log.verify(connection, anchors)

    def rebuild(self) -> int:
        """Make the projections anew from the events; how many events were read."""
        from epidura.clinic.store.projection import rebuild

        with self._turn, self._writer.begin() as connection:
            return rebuild(connection)


def new_id() -> str:
    """For a patient who is registered now."""
    return secrets.token_hex(16)


def pseudonym(patient: str) -> str:
    """Eight letters and digits that stand for a patient on lists."""
    return "P-" + hashlib.sha256(f"epidura pseudonym {patient}".encode()).hexdigest()[:10].upper()


def key_path(where: str | Path, key_file: Path | None) -> Path:
    """Where the clinic's key is."""
    if key_file is not None:
        return Path(key_file)
    url = url_of(where)
    if url.get_backend_name() == "sqlite" and url.database:
        return Path(url.database).with_suffix(".key")
    raise BadInput("key", "a record on PostgreSQL needs a file for the clinic's key", hint="--key FILE")


def erasures_path(where: str | Path, key_file: Path) -> Path:
    """Where the list of erasures is: beside the SQLite file, or beside the key of a record on PostgreSQL."""
    url = url_of(where)
    if url.get_backend_name() == "sqlite" and url.database:
        return Path(url.database + ".erased")
    return key_file.with_suffix(".erased")


def note_erasure(path: Path, patient: str) -> None:
    """Add a patient to the list of erasures; on the disk when this returns."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(handle, f"{patient}\n".encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def shown(stored: Stored, key: bytes | None) -> dict[str, Any]:
    """An event as a mapping; with a key, the sealed part is opened into the body."""
    body = stored.content
    sealed = body.pop("sealed", None)
    body.pop("request", None)
    hidden: Any = opened(key, stored.patient, sealed) if sealed and key is not None else None
    if hidden:
        instead = hidden.pop("instead", None)
        if stored.kind == "record.corrected" and "open" in body:
            body["instead"] = events.join(body.pop("open"), instead or {})
        body = events.join(body, hidden)
    return {"version": stored.version, "kind": stored.kind, "on": stored.day, "recorded": stored.recorded, "actor": stored.actor,
            "hash": stored.hash, "sealed": sealed is not None and hidden is None, "body": body}


def write_states(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Put states into the projection, one of each patient."""
    if rows:
        connection.execute(_upsert("patient", connection.dialect.name), rows)


def state_row(patient: str, state: State) -> dict[str, Any]:
    return {"id": patient, "pseudonym": pseudonym(patient), "version": state["version"], "revision": state["revision"], "stage": state["stage"],
            "since": state.get("since", ""), "indication": state.get("indication", ""),
            "state": json.dumps(state, ensure_ascii=False, separators=(",", ":"))}


def diary_row(patient: str, version: int, day: str, body: Mapping[str, Any]) -> dict[str, Any]:
    get = body.get
    return {"patient": patient, "day": day, "version": version, "worst": get("worst"), "average": get("average"), "least": get("least"),
            "sleep": get("sleep"), "activity": get("activity"), "medication": get("medication"), "stimulation_hours": get("stimulation_hours"),
            "slot": get("slot"), "tingling": _listed(body["tingling"]) if get("tingling") else None}


def _listed(values: Sequence[Any]) -> str:
    """As the bodies of events have it, from which the database takes it when it makes the days anew."""
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def diary_rows(patient: str, told: Sequence[Happened]) -> list[dict[str, Any]]:
    """Rows of all days that count, corrections taken into account."""
    instead = {each.body["version"]: each.body.get("open") for each in told if each.kind == "record.corrected"}
    days: dict[str, dict[str, Any]] = {}
    for each in told:
        if each.kind != "diary.recorded":
            continue
        body: Mapping[str, Any] | None = instead.get(each.version, each.body)
        if body is not None:
            day = str(body.get("on", each.on))
            days[day] = diary_row(patient, each.version, day, body)
    return list(days.values())


def write_days(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Put days into the projection; the last for a day counts."""
    if not rows:
        return
    connection.execute(_upsert("diary", connection.dialect.name), rows)


@cache
def _upsert(name: str, dialect: str) -> Executable:
    """Puts a row in, or in the place of the one with its key."""
    table = schema.metadata.tables[name]
    if dialect == "sqlite":
        from sqlalchemy.dialects.sqlite import insert
    else:
        from sqlalchemy.dialects.postgresql import insert  # type: ignore[assignment]
    statement = insert(table)
    kept = {column.name: statement.excluded[column.name] for column in table.c if not column.primary_key}
    return statement.on_conflict_do_update(index_elements=[column.name for column in table.primary_key], set_=kept)


@cache
def _at_once() -> Executable:
    """PostgreSQL: events, the end of the chain, states and days in one statement, each list of rows as JSON. Rows go in in the order of the list."""
    parts = []
    for name, rows in (("event", "events"), ("patient", "states"), ("diary", "days")):
        table = schema.metadata.tables[name]
        columns, keys = [column.name for column in table.c], [column.name for column in table.primary_key]
        change = "" if name == "event" else (f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET "
                                             + ", ".join(f"{column} = excluded.{column}" for column in columns if column not in keys))
        parts.append(f"INSERT INTO {name} ({', '.join(columns)}) SELECT {', '.join(columns)} "
                     f"FROM json_populate_recordset(CAST(NULL AS {name}), CAST(:{rows} AS json)){change}")
    return text(f"WITH told AS ({parts[0]}), moved AS (UPDATE head SET seq = :to, hash = :last, recorded = :now WHERE id = 1), "
                f"kept AS ({parts[1]}) {parts[2]}")


_STATE = select(schema.patient.c.state).where(schema.patient.c.id == bindparam("whose"))
_LOOK = {
    dialect: text(f"SELECT patient.id, patient.state, secret.wrapped FROM patient LEFT JOIN secret ON secret.patient = patient.id "
                  f"WHERE patient.id {some('patients')} UNION ALL SELECT request, NULL, NULL FROM event WHERE request {some('requests')}")
    for dialect, some in (("sqlite", "IN (SELECT value FROM json_each(:{}))".format), ("postgresql", "= ANY(:{})".format))}
"""One statement whatever the number of patients and requests, so that the database knows it already."""
_REQUEST = select(*log.COLUMNS).where(schema.event.c.request == bindparam("key"))
# made once: making a statement takes longer than SQLite takes to run it


def _happened(stored: Stored) -> Happened:
    return Happened(stored.version, stored.kind, stored.day, stored.content)


def _fingerprint(patient: str, what: Sequence[Event]) -> str:
    """Hash of what a request asked; the sealed part of an event is different each time it is sealed."""
    whole = [patient, [each.model_dump(mode="json") for each in what]]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:32]


def _disk(error: BaseException) -> BaseException:
    """What a database says of a full or locked disk, in words; anything else unchanged."""
    if isinstance(error, OperationalError | DBAPIError):
        words = str(error.orig).lower()
        if "full" in words or "no space" in words or "i/o error" in words:
            return Full(f"store: nothing was written, the disk is full or failed ({error.orig}); make room and write again")
        if "locked" in words or "busy" in words:
            return Failed(f"store: another writer holds the record for too long ({error.orig}); nothing was written, try again")
    return error


__all__ = ["BadStore", "Committed", "Conflict", "Full", "Record", "Repeated", "Unknown", "new_id"]
