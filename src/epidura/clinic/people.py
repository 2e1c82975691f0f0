"""People who log in: passwords, sessions, lockout, one-time links to a diary, and who looked at what.

A session's token is 256 random bits that only the browser holds; the store has its SHA-256. Times are kept as ``store.log.stamp`` writes them.
The clock may go backwards: what counts is the latest moment that this record has seen, and time that passes goes on from there, so that
nothing that ran out comes to life again (``Moments``).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, Engine, bindparam, delete, func, select, update
from sqlalchemy.exc import IntegrityError

from epidura.clinic import events
from epidura.clinic.store import schema
from epidura.clinic.store.engine import WRITE
from epidura.clinic.store.line import Line
from epidura.clinic.store.log import stamp
from epidura.errors import BadInput

Role = Literal["physician", "nurse", "researcher", "patient", "administrator"]
ROLES: tuple[Role, ...] = get_args(Role)
STAFF: tuple[Role, ...] = ("physician", "nurse", "researcher", "administrator")
"""Roles that a person is given by name; a patient comes in through a link."""

SHORTEST, LONGEST = 15, 200
"""Characters of a password. NIST SP 800-63B-4 (2025), 3.1.1.2, asks for 15 where a password is all there is; more than 200 only cost time."""

WINDOW = timedelta(minutes=15)
LOGIN_FAILURES, ADDRESS_FAILURES = 5, 30
"""Failed logins in ``WINDOW`` before a login, or an address, has to wait. Choices of this project: five are enough for a person who mistypes and
let a guesser have 480 a day; thirty leave a ward behind one address in peace."""

IDLE, WHOLE = timedelta(minutes=30), timedelta(hours=12)
"""Of a session of staff: without a request, and at most. A shift, and a screen that was left alone. Choices of this project."""

DIARY_SESSION = timedelta(days=21)
"""Of a patient's session. A trial stage lasts a week by default (``events.TrialBegun``); a phone may be offline for all of it and for a week of
extension, and needs a week more to send what it holds. It opens nothing but one diary. Choice of this project."""

LINK, SETUP = timedelta(hours=48), timedelta(hours=1)
"""A link to a diary waits for the patient to come home; that of the first start is used at once. Choices of this project."""

TOUCH = timedelta(seconds=30)
"""How often a session's last use is written down; less than ``IDLE`` by far."""

AT_ONCE = 2
"""Passwords that are hashed at the same time: each takes 64 MiB, and a flood of logins must not take all memory."""

FIRST = "setup"
"""Stands for the maker of the link of the first start."""


class NotIn(BadInput):
    """A login that failed, a session or a link that does not hold. Says nothing about which part was wrong."""


class Locked(BadInput):
    """Too many failures.

    Attributes:
        seconds: to wait.
    """

    seconds: int = 0


@dataclass(frozen=True)
class Person:
    """Somebody who logs in.

    Attributes:
        id: random, 32 hexadecimal digits.
        name, login: as shown, and as typed.
        role: one.
        patient: of the role patient: whose diary.
        active: False after the person left.
        subject: of OpenID Connect, issuer and subject.
    """

    id: str
    name: str
    login: str
    role: Role
    patient: str | None
    active: bool
    subject: str | None = None


@dataclass(frozen=True)
class Session:
    """Who is in.

    Attributes:
        person: whose it is.
        csrf: that a page sends back in a header with whatever changes something.
        expires: at the latest.
        token: only where the session was just made.
        key: SHA-256 of the token, as stored.
    """

    person: Person
    csrf: str
    expires: str
    key: str
    token: str = ""


class Moments:
    """A clock that does not go back.

    Args:
        clock: of the machine.
        latest: the latest moment seen so far, such as the largest in the record.
        ticks: s of a clock that nobody sets; while the other one is behind, time goes on by this one.
    """

    def __init__(self, clock: Callable[[], datetime], latest: datetime | None = None, ticks: Callable[[], float] = time.monotonic):
        self._clock, self._ticks, self._lock = clock, ticks, threading.Lock()
        self._latest, self._at = latest or clock(), ticks()

    def now(self) -> datetime:
        """The later of the machine's clock and of the latest moment plus what has passed since."""
        with self._lock:
            at = self._ticks()
            self._latest = max(self._clock().astimezone(UTC), self._latest + timedelta(seconds=max(at - self._at, 0.0)))
            self._at = at
            return self._latest


class People:
    """Who may use a record.

    Args:
        engine: of the record.
        clock: for tests.
        hasher: of passwords; argon2id with the defaults of argon2-cffi.
        ticks: for tests.
    """

    def __init__(self, engine: Engine, clock: Callable[[], datetime] = events.now, hasher: PasswordHasher | None = None,
                 ticks: Callable[[], float] = time.monotonic):
        self.engine, self._writer = engine, engine.execution_options(**{WRITE: True})
        self._hasher, self._hashing = hasher or PasswordHasher(), threading.BoundedSemaphore(AT_ONCE)
        self._nobody = self._hasher.hash(secrets.token_urlsafe())
        self._moments = Moments(clock, self._latest(), ticks)
        self._visits = Line(self._write_visits)

    def _latest(self) -> datetime | None:
        """The largest moment in the record."""
        with self.engine.connect() as connection:
            found = [connection.execute(select(query)).scalar() for query in (
                func.max(schema.head.c.recorded), func.max(schema.session.c.seen), func.max(schema.link.c.created), func.max(schema.link.c.used),
                func.max(schema.attempt.c.at))]
            found.append(connection.execute(select(schema.access.c.at).order_by(schema.access.c.id.desc()).limit(1)).scalar())
        known = [value for value in found if value]
        return datetime.strptime(max(known), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC) if known else None

    def now(self) -> datetime:
        """The moment that counts here: never before an earlier one."""
        return self._moments.now()

    # people

    def add(self, name: str, login: str, role: str, password: str = "", subject: str | None = None) -> Person:
        """A new person of the clinic.

        Args:
            name, login: as shown, and as typed.
            role: one of ``STAFF``.
            password: may be left out where the person comes in by OpenID Connect.
            subject: of OpenID Connect: ``issuer subject``.

        Raises:
            BadInput: unknown role, login that is taken, or a password that is too short.
        """
        if role not in STAFF:
            raise BadInput("role", "nobody is given this role", got=role, allowed=", ".join(STAFF), hint="a patient comes in through a link")
        if not name.strip() or len(name) > 200:
            raise BadInput("name", "a person has a name", got=len(name), allowed="1 to 200 characters")
        known = _login(login)
        if not password and not subject:
            raise BadInput("password", "neither a password nor a subject of OpenID Connect", hint="give one")
        hashed = self._hash(password, known) if password else ""
        person = Person(secrets.token_hex(16), name.strip(), known, role, None, True, subject)
        try:
            with self._writer.begin() as connection:
                self._insert(connection, person, hashed)
        except IntegrityError:
            raise BadInput("login", "this login or subject is taken", hint="choose another") from None
        return person

    def _insert(self, connection: Connection, person: Person, hashed: str) -> None:
        connection.execute(schema.person.insert().values(**vars(person), password=hashed, created=stamp(self.now())))

    def roll(self, after: str = "", limit: int = 100) -> list[Person]:
        """People in the order of their ids."""
        table = schema.person
        with self.engine.connect() as connection:
            rows = connection.execute(select(table).where(table.c.id > after).order_by(table.c.id).limit(limit))
            return [_person(row._mapping) for row in rows]

    def get(self, person: str) -> Person:
        """One person.

        Raises:
            NotIn: nobody has this id.
        """
        with self.engine.connect() as connection:
            row = connection.execute(select(schema.person).where(schema.person.c.id == person)).first()
        if row is None:
            raise NotIn("person", "there is no such person", got=person)
        return _person(row._mapping)

    def anybody(self) -> bool:
        """Whether somebody was ever added."""
        with self.engine.connect() as connection:
            return connection.execute(select(schema.person.c.id).where(schema.person.c.role != "patient").limit(1)).first() is not None

    def deactivate(self, person: str) -> None:
        """End all sessions of a person, who cannot log in any more. What was written stays under the name.

        Raises:
            NotIn: nobody has this id.
            BadInput: the last administrator.
        """
        self.get(person)
        with self._writer.begin() as connection:
            if _administrators(connection) == [person]:
                raise BadInput("person", "the last administrator cannot be deactivated", hint="add another one first")
            connection.execute(update(schema.person).where(schema.person.c.id == person).values(active=False))
            connection.execute(delete(schema.session).where(schema.session.c.person == person))

    def set_role(self, person: str, role: str, by: Person, address: str = "") -> Person:
        """Another role for a person, whose sessions end. Who gave it stands in the access log, with the role before; the same role changes nothing.

        Args:
            role: one of ``STAFF``.
            by: who gives it, from ``address``.

        Raises:
            NotIn: nobody has this id.
            BadInput: unknown role, a patient, or the last administrator.
        """
        if role not in STAFF:
            raise BadInput("role", "nobody is given this role", got=role, allowed=", ".join(STAFF), hint="a patient comes in through a link")
        table = schema.person
        with self._writer.begin() as connection:
            administrators = _administrators(connection)
            row = connection.execute(select(table).where(table.c.id == person).with_for_update()).first()
            if row is None:
                raise NotIn("person", "there is no such person", got=person)
            if row.role == "patient":
                raise BadInput("person", "a patient has no other role", hint="add the person with a login, as one of the staff")
            if row.role == role:
                return _person(row._mapping)
            if administrators == [person]:
                raise BadInput("person", "the last administrator cannot get another role", hint="add another one first")
            connection.execute(update(table).where(table.c.id == person).values(role=role))
            connection.execute(delete(schema.session).where(schema.session.c.person == person))
            connection.execute(schema.access.insert().values(at=stamp(self.now()), person=by.id, role=by.role, address=address[:64], method="ROLE",
                                                             route=f"{person}: {row.role} to {role}", patient="", status=200))
        return self.get(person)

    def set_password(self, person: str, password: str) -> None:
        """A new password; all sessions of the person end.

        Raises:
            NotIn: nobody has this id.
            BadInput: too short, or of a person who has no password, as patients.
        """
        found = self.get(person)
        if found.role == "patient":
            raise BadInput("person", "a patient has no password", hint="make a new link to the diary")
        hashed = self._hash(password, found.login)
        with self._writer.begin() as connection:
            connection.execute(update(schema.person).where(schema.person.c.id == person).values(password=hashed))
            connection.execute(delete(schema.session).where(schema.session.c.person == person))

    def _hash(self, password: str, login: str) -> str:
        if not SHORTEST <= len(password) <= LONGEST:
            raise BadInput("password", "a password of another length", got=f"{len(password)} characters",
                           allowed=f"{SHORTEST} to {LONGEST} characters", hint="four or more words that do not belong together")
        plain = password.casefold()
        if len(set(plain)) < 5 or (len(login) > 3 and login in plain):
            raise BadInput("password", "a password that is easily guessed", hint="more different characters, and not the login in it")
        with self._hashing:
            return self._hasher.hash(_spelt(password))

    def _holds(self, hashed: str, password: str) -> bool:
        """Whether a password is right; takes as long where there is none."""
        with self._hashing:
            try:
                self._hasher.verify(hashed or self._nobody, _spelt(password[:LONGEST + 1]))
            except (VerificationError, InvalidHashError):
                return False
        return bool(hashed)

    # coming in

    def login(self, login: str, password: str, address: str = "") -> Session:
        """A new session, with a new token.

        Raises:
            Locked: too many failures of this login or from this address.
            NotIn: unknown login, wrong password, or somebody who left; which of these is not said.
        """
        person = self._checked(login, password, address)
        return self._begin(person, WHOLE)

    def confirm(self, person: Person, password: str, address: str = "") -> None:
        """Ask somebody who is in for the password again, before what cannot be undone.

        Raises:
            Locked, NotIn: as ``login``.
        """
        if self._checked(person.login, password, address).id != person.id:
            raise NotIn("password", "login or password is wrong")

    def _checked(self, login: str, password: str, address: str) -> Person:
        try:
            known = _login(login)
        except BadInput:
            known = "-"
        attempt = self._attempt(known, address)
        with self.engine.connect() as connection:
            row = connection.execute(select(schema.person).where(schema.person.c.login == known)).first()
        right = self._holds(str(row.password) if row is not None and row.active else "", password)
        if row is None or not right:
            raise NotIn("password", "login or password is wrong")
        with self._writer.begin() as connection:
            connection.execute(delete(schema.attempt).where((schema.attempt.c.id == attempt) | (schema.attempt.c.login == known)))
            if self._hasher.check_needs_rehash(str(row.password)):
                with self._hashing:
                    again = self._hasher.hash(_spelt(password))
                connection.execute(update(schema.person).where(schema.person.c.id == row.id).values(password=again))
        return _person(row._mapping)

    def _attempt(self, login: str, address: str) -> int:
        """Write an attempt down before it is looked at, so that many at once are counted, too; taken back if it was right."""
        table, now = schema.attempt, self.now()
        since = stamp(now - WINDOW)
        with self._writer.begin() as connection:
            if connection.dialect.name != "sqlite":  # which has one writer anyway
                connection.exec_driver_sql("LOCK TABLE attempt IN SHARE ROW EXCLUSIVE MODE")
            connection.execute(delete(table).where(table.c.at < since))
            for column, value, most in ((table.c.login, login, LOGIN_FAILURES), (table.c.address, address, ADDRESS_FAILURES)):
                # the login counts for unknown ones as well, so that a lock does not tell who exists
                times = [str(at) for (at,) in connection.execute(select(table.c.at).where(column == value).order_by(table.c.at.desc()).limit(most))]
                if len(times) >= most:
                    error = Locked("login", "too many failed logins", allowed=f"{most} in {WINDOW.seconds // 60} minutes", hint="wait")
                    error.seconds = max(1, round((_read(times[-1]) + WINDOW - now).total_seconds()))
                    raise error
            key = connection.execute(table.insert().values(login=login, address=address[:64], at=stamp(now))).inserted_primary_key
        assert key is not None
        return int(key[0])

    def _begin(self, person: Person, whole: timedelta) -> Session:
        token, csrf, now = secrets.token_urlsafe(32), secrets.token_urlsafe(32), self.now()
        expires = stamp(now + whole)
        with self._writer.begin() as connection:
            connection.execute(delete(schema.session).where(schema.session.c.expires < stamp(now)))
            connection.execute(schema.session.insert().values(token=_digest(token), person=person.id, csrf=csrf, created=stamp(now), seen=stamp(now),
                                                              expires=expires))
        return Session(person, csrf, expires, _digest(token), token)

    def session(self, token: str) -> Session:
        """Who holds a token.

        Raises:
            NotIn: nobody, or it ran out.
        """
        table, key = schema.session, _digest(token)
        with self.engine.connect() as connection:
            row = connection.execute(_SESSION, {"key": key}).first()
            owner = None if row is None else connection.execute(_PERSON, {"whose": row.person}).first()
        if row is None or owner is None or not owner.active:
            raise NotIn("session", "nobody is logged in", hint="log in")
        person, now = _person(owner._mapping), stamp(self.now())
        idle = DIARY_SESSION if person.role == "patient" else IDLE
        if max(now, str(row.seen)) >= min(str(row.expires), stamp(_read(str(row.seen)) + idle)):
            self.logout(key)  # what ran out is gone, whatever the clock says tomorrow
            raise NotIn("session", "the session ran out", hint="log in again")
        if now > stamp(_read(str(row.seen)) + TOUCH):
            with self._writer.begin() as connection:
                connection.execute(update(table).where(table.c.token == key).values(seen=now))
        return Session(person, str(row.csrf), str(row.expires), key)

    def logout(self, key: str) -> None:
        """End a session, by ``Session.key``."""
        with self._writer.begin() as connection:
            connection.execute(delete(schema.session).where(schema.session.c.token == key))

    def by_subject(self, issuer: str, subject: str) -> Session:
        """A session for whom an OpenID Connect issuer vouches; nobody is added by that.

        Raises:
            NotIn: nobody here has this subject, or the person left.
        """
        table = schema.person
        with self.engine.connect() as connection:
            row = connection.execute(select(table).where(table.c.subject == f"{issuer} {subject}", table.c.active)).first()
        if row is None:
            raise NotIn("subject", "nobody of this clinic has this account", hint="an administrator adds the person first")
        return self._begin(_person(row._mapping), WHOLE)

    # one-time links

    def link(self, patient: str, by: str, lasts: timedelta = LINK) -> tuple[str, str]:
        """A token that opens one patient's diary once, and until when.

        Args:
            patient: whose; empty with ``by=FIRST``: the link of the first start.
            by: id of who makes it.
        """
        token, now = secrets.token_urlsafe(32), self.now()
        expires = stamp(now + lasts)
        with self._writer.begin() as connection:
            connection.execute(schema.link.insert().values(token=_digest(token), patient=patient, person=by, created=stamp(now), expires=expires))
        return token, expires

    def revoke(self, patient: str) -> None:
        """Take back the links to a patient's diary and end the sessions that came from them, as when a phone was lost."""
        with self._writer.begin() as connection:
            links = schema.link.c
            connection.execute(update(schema.link).where(links.patient == patient, links.used.is_(None)).values(used=stamp(self.now())))
            whose = select(schema.person.c.id).where(schema.person.c.patient == patient)
            connection.execute(delete(schema.session).where(schema.session.c.person.in_(whose)))

    def exchange(self, token: str) -> Session:
        """A session of the role patient for a link, which is used up by that.

        Raises:
            NotIn: no such link, used before, or run out.
        """
        table = schema.link
        with self._writer.begin() as connection:
            patient = self._use(connection, token, table.c.patient != "")
            row = connection.execute(select(schema.person).where(schema.person.c.patient == patient, schema.person.c.role == "patient")).first()
            if row is None:
                person = Person(secrets.token_hex(16), "diary", f"diary:{patient}", "patient", patient, True)
                self._insert(connection, person, "")
            else:
                person = _person(row._mapping)
        return self._begin(person, DIARY_SESSION)

    def _use(self, connection: Connection, token: str, whose: Any) -> str:
        table, now, key = schema.link, stamp(self.now()), _digest(token)
        used = connection.execute(update(table).where(table.c.token == key, table.c.used.is_(None), table.c.expires > now, whose).values(used=now))
        if used.rowcount != 1:
            raise NotIn("link", "this link does not hold: it was used, it ran out, or it never was", hint="ask the clinic for a new one")
        return str(connection.execute(select(table.c.patient).where(table.c.token == key)).scalar())

    def first(self) -> str:
        """The token with which the first administrator is made; earlier ones hold no more.

        Raises:
            BadInput: there are people.
        """
        if self.anybody():
            raise BadInput("setup", "there are people already", hint="an administrator adds others")
        with self._writer.begin() as connection:
            connection.execute(update(schema.link).where(schema.link.c.person == FIRST, schema.link.c.used.is_(None)).values(used=stamp(self.now())))
        return self.link("", FIRST, SETUP)[0]

    def set_up(self, token: str, name: str, login: str, password: str) -> Person:
        """Make the first administrator.

        Raises:
            NotIn: the token does not hold, or there are people.
            BadInput: as ``add``; the token can then be used again.
        """
        known = _login(login)
        if not name.strip() or len(name) > 200:
            raise BadInput("name", "a person has a name", got=len(name), allowed="1 to 200 characters")
        hashed = self._hash(password, known)
        person = Person(secrets.token_hex(16), name.strip(), known, "administrator", None, True)
        with self._writer.begin() as connection:
            self._use(connection, token, schema.link.c.person == FIRST)
            if connection.execute(select(schema.person.c.id).where(schema.person.c.role != "patient").limit(1)).first() is not None:
                raise NotIn("link", "there are people already", hint="log in")
            self._insert(connection, person, hashed)
        return person

    # who looked at what

    def saw(self, person: str, role: str, address: str, method: str, route: str, patient: str, status: int) -> None:
        """One row of the access log, which takes nothing back; on the disk when this returns. Rows that come together share the wait for it."""
        visit = _Visit({"person": person[:64], "role": role[:16], "address": address[:64], "method": method[:8], "route": route[:200],
                        "patient": patient[:32], "status": status})
        self._visits.do(visit)
        if visit.error is not None:
            raise visit.error

    def _write_visits(self, visits: list[_Visit]) -> None:
        try:
            with self._writer.begin() as connection:
                at = stamp(self.now())
                connection.execute(_VISIT, [{"at": at, **each.row} for each in visits])
        except Exception as error:
            if len(visits) == 1:
                visits[0].error = error
                return
            for each in visits:  # each stands or falls alone
                self._write_visits([each])

    def saw_each(self, person: str, role: str, address: str, method: str, route: str, patients: Sequence[str], status: int = 200) -> None:
        """A row for each of several patients who were seen at once, in one transaction."""
        if not patients:
            return
        shared = {"at": stamp(self.now()), "person": person[:64], "role": role[:16], "address": address[:64], "method": method[:8],
                  "route": route[:200], "status": status}
        with self._writer.begin() as connection:
            connection.execute(schema.access.insert(), [{**shared, "patient": patient[:32]} for patient in patients])

    def seen(self, patient: str | None = None, person: str | None = None, after: int = 0, limit: int = 100) -> list[dict[str, Any]]:
        """Rows of the access log after one, of a patient or by a person."""
        table = schema.access
        query = select(table).where(table.c.id > after).order_by(table.c.id).limit(limit)
        if patient is not None:
            query = query.where(table.c.patient == patient)
        if person is not None:
            query = query.where(table.c.person == person)
        with self.engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]


@dataclass
class _Visit:
    """A row of the access log that is to be written, and why it was not."""

    row: dict[str, Any]
    error: Exception | None = None


_VISIT = schema.access.insert()
_SESSION = select(schema.session).where(schema.session.c.token == bindparam("key"))
_PERSON = select(schema.person).where(schema.person.c.id == bindparam("whose"))
# of every request: made once


def _administrators(connection: Connection) -> list[str]:
    """Who administers; held to the end of the transaction, and first of all, so that two who remove each other come in turn."""
    table = schema.person
    found = connection.execute(select(table.c.id).where(table.c.role == "administrator", table.c.active).order_by(table.c.id).with_for_update())
    return [str(each.id) for each in found]


def same(given: str, right: str) -> bool:
    """Compare two secrets in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode(errors="replace"), right.encode())


def _person(row: Any) -> Person:
    return Person(row["id"], row["name"], row["login"], row["role"], row["patient"], bool(row["active"]), row["subject"])


def _login(login: str) -> str:
    known = unicodedata.normalize("NFKC", login).strip().casefold()
    if not 1 <= len(known) <= 100 or any(unicodedata.category(letter)[0] == "C" or letter.isspace() for letter in known):
        raise BadInput("login", "no login", got=len(login), allowed="1 to 100 characters without spaces")
    if known.startswith("diary:"):
        raise BadInput("login", "this login is kept for patients", hint="choose another")
    return known


def _spelt(password: str) -> bytes:
    """One spelling, however a keyboard composes a letter."""
    return unicodedata.normalize("NFC", password).encode(errors="replace")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _read(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
