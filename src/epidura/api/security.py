"""Who may call what, and the gate that every request passes.

``RULES`` is the one table: a method and a path, and the roles that may. The gate lets nothing through that is not in it, whatever the application
behind would answer. ``tests/clinic/test_api_roles.py`` walks over it with every role; docs/api.md prints it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from epidura.api.errors import Fault, of_fault, of_input, unexpected
from epidura.api.limits import Limits, Rate, checked_json, plain
from epidura.clinic.people import ROLES, NotIn, People, Person, Session, same
from epidura.errors import BadInput, Failed

V1 = "/api/v1"
COOKIE, SAFE_COOKIE = "epidura", "__Host-epidura"
CSRF = "x-csrf-token"
FORM = "application/x-www-form-urlencoded"

PUBLIC: frozenset[str] = frozenset({"public"})
TEAM = frozenset({"physician", "nurse"})
PHYSICIAN = frozenset({"physician"})
READERS = frozenset({"physician", "nurse", "researcher"})
RESEARCHER = frozenset({"researcher"})
ADMINISTRATOR = frozenset({"administrator"})
PATIENT = frozenset({"patient"})
STAFF = frozenset(ROLES) - PATIENT
EVERYBODY = frozenset(ROLES)

RULES: dict[tuple[str, str], frozenset[str]] = {
    ("GET", "/setup"): PUBLIC,
    ("POST", "/setup"): PUBLIC,
    ("GET", f"{V1}/openapi.json"): PUBLIC,
    ("POST", f"{V1}/login"): PUBLIC,
    ("POST", f"{V1}/diary-login"): PUBLIC,
    ("GET", f"{V1}/oidc/start"): PUBLIC,
    ("GET", f"{V1}/oidc/callback"): PUBLIC,
    ("GET", f"{V1}/me"): EVERYBODY,
    ("POST", f"{V1}/logout"): EVERYBODY,
    ("PUT", f"{V1}/me/password"): STAFF,
    ("GET", f"{V1}/people"): ADMINISTRATOR,
    ("POST", f"{V1}/people"): ADMINISTRATOR,
    ("POST", f"{V1}/people/{{person}}/deactivate"): ADMINISTRATOR,
    ("PUT", f"{V1}/people/{{person}}/password"): ADMINISTRATOR,
    ("PUT", f"{V1}/people/{{person}}/role"): ADMINISTRATOR,
    ("GET", f"{V1}/access"): ADMINISTRATOR,
    ("GET", f"{V1}/verify"): ADMINISTRATOR,
    ("POST", f"{V1}/patients/{{patient}}/erase"): ADMINISTRATOR,
    ("GET", f"{V1}/patients"): TEAM,
    ("POST", f"{V1}/patients"): TEAM,
    ("GET", f"{V1}/patients/{{patient}}"): TEAM,
    ("GET", f"{V1}/patients/{{patient}}/identity"): TEAM,
    ("GET", f"{V1}/patients/{{patient}}/timeline"): TEAM,
    ("POST", f"{V1}/patients/{{patient}}/events"): TEAM,
    ("GET", f"{V1}/patients/{{patient}}/next"): TEAM,
    ("GET", f"{V1}/patients/{{patient}}/checklist"): TEAM,
    ("GET", f"{V1}/patients/{{patient}}/sign-off"): TEAM,
    ("GET", f"{V1}/patients/{{patient}}/verdict"): TEAM,
    ("GET", f"{V1}/patients/{{patient}}/visits"): TEAM,
    ("GET", f"{V1}/patients/{{patient}}/complications"): TEAM,
    ("GET", f"{V1}/patients/{{patient}}/diary"): TEAM | PATIENT,
    ("PUT", f"{V1}/patients/{{patient}}/diary/{{day}}"): PATIENT,
    ("POST", f"{V1}/patients/{{patient}}/diary/sync"): PATIENT,
    ("POST", f"{V1}/patients/{{patient}}/diary-links"): TEAM,
    ("DELETE", f"{V1}/patients/{{patient}}/diary-links"): TEAM,
    ("POST", f"{V1}/recalls/affected"): TEAM,
    ("GET", f"{V1}/clinic/overview"): TEAM,
    ("GET", f"{V1}/anticoagulants"): TEAM,
    ("PUT", f"{V1}/anticoagulants/{{drug}}"): PHYSICIAN,
    ("POST", f"{V1}/anticoagulants/{{drug}}/sign"): PHYSICIAN,
    ("POST", f"{V1}/anticoagulants/plan"): TEAM,
    ("GET", f"{V1}/instruments"): STAFF,
    ("GET", f"{V1}/instruments/{{kind}}/form"): TEAM,
    ("POST", f"{V1}/instruments/{{kind}}/score"): READERS,
    ("PUT", f"{V1}/instruments/{{kind}}/text/{{language}}"): ADMINISTRATOR,
    ("GET", f"{V1}/research/patients"): RESEARCHER,
    ("GET", f"{V1}/research/patients/{{pseudonym}}/timeline"): RESEARCHER,
    ("GET", f"{V1}/research/fields"): RESEARCHER,
    ("GET", f"{V1}/jurisdictions"): READERS,
    ("GET", f"{V1}/indications"): READERS,
    ("GET", f"{V1}/areas"): READERS | PATIENT,
    ("GET", f"{V1}/leads"): READERS,
    ("GET", f"{V1}/generators"): READERS,
    ("GET", f"{V1}/waveforms"): READERS,
    ("POST", f"{V1}/program/check"): READERS,
}
"""(method, path) -> roles."""

ROOMS: dict[str, frozenset[str]] = {
    "plan": READERS,
    "program": READERS,
    "gate": READERS,
    "pathway": TEAM,
    "clinic": TEAM,
    "cohorts": frozenset({"physician", "researcher"}),
    "research": RESEARCHER,
    "people": ADMINISTRATOR,
    "diary": PATIENT,
}
"""Rooms of the workbench -> who finds them. What a room asks for is held against ``RULES`` in any case."""

PHYSICIANS_KINDS = frozenset({"selection.decided", "trial.judged"})
"""Events that a physician alone writes or corrects: the two decisions of the pathway. Choice of this project."""

UNLOGGED = frozenset({"", "/", "/diary", "/diary-worker.js", "/setup", f"{V1}/openapi.json"})
"""Addresses without anybody's data; empty: no address of the table."""

WATCHED = frozenset({f"{V1}/cohorts", f"{V1}/cohorts/{{study}}", f"{V1}/jobs/{{job}}"})
"""What a page looks at again and again while something is computed, and that holds no patient's data: a study is of virtual patients, and of a job
there is how far it is. Looks that follow each other are one row of the access log, that of the first."""

WATCH_GAP = timedelta(minutes=1)
"""A look after so long a pause is a row again; the page looks each second, or each five. Choice of this project."""

MOST_WATCHED = 4096
"""Watchers that are remembered at once; beyond it more is written, not less. Choice of this project."""

STATIC = "/web/"
"""Under it lie files that are the same for everybody: no session is looked up for them, and nothing is logged."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        person, role: who.
        patient: of the role patient: whose diary.
        session: as it is.
        address: where from.
    """

    person: Person
    role: str
    patient: str | None
    session: Session
    address: str


def caller(request: Request) -> Caller:
    """Of a request that passed the gate."""
    found = request.scope.get("state", {}).get("caller")
    if not isinstance(found, Caller):
        raise Fault(401, "session", "nobody is logged in", hint="log in")
    return found


Who = Annotated[Caller, Depends(caller)]


class Table:
    """``RULES`` as paths that can be looked up.

    Args:
        rules: (method, path) -> roles.
    """

    def __init__(self, rules: Mapping[tuple[str, str], frozenset[str]]):
        self.rules = dict(rules)
        self._fixed: dict[str, str] = {}
        self._open: list[tuple[re.Pattern[str], str]] = []
        for path in dict.fromkeys(path for _, path in rules):
            if "{" in path:
                self._open.append((re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)), path))
            else:
                self._fixed[path] = path

    def find(self, method: str, path: str) -> tuple[str, dict[str, str], frozenset[str]]:
        """The path of the table, what stands for its names, and the roles.

        Raises:
            Fault: 404 or 405.
        """
        found: list[tuple[str, dict[str, str]]] = [(self._fixed[path], {})] if path in self._fixed else []
        found += [(template, match.groupdict()) for pattern, template in self._open if (match := pattern.fullmatch(path))]
        for template, names in found:
            if (method, template) in self.rules:
                return template, names, self.rules[method, template]
        if found:
            methods = ", ".join(sorted(each for each, template in self.rules if template == found[0][0]))
            raise Fault(405, "route", "this cannot be done here", got=method, allowed=methods, headers={"Allow": methods})
        raise Fault(404, "route", "there is nothing here", hint=f"{V1}/openapi.json lists what there is")


def require_complete(rules: Mapping[tuple[str, str], frozenset[str]], *parts: FastAPI | APIRouter) -> None:
    """Refuse to start where a route has no entry, or an entry no role that exists.

    Args:
        rules: (method, path) -> roles.
        parts: the application, and what it includes. Their own lists are read: to describe every route takes a second at each start.

    Raises:
        Failed: says which.
    """
    there = {(method, route.path) for part in parts for route in part.routes for method in getattr(route, "methods", None) or ()
             if method != "HEAD" and hasattr(route, "path")}
    open_ends = sorted(f"{method} {path}" for method, path in there - set(rules))
    if open_ends:
        raise Failed(f"api: routes without an entry in the table of roles: {', '.join(open_ends)}")
    wrong = sorted(f"{method} {path}" for (method, path), roles in rules.items() if not roles or roles - EVERYBODY - PUBLIC)
    if wrong:
        raise Failed(f"api: entries with a role that does not exist: {', '.join(wrong)}")


@dataclass(frozen=True)
class Policy:
    """What the gate asks for.

    Attributes:
        hosts: names under which this server is asked for; ``*``: any.
        secure: cookies and headers for HTTPS.
        limits: of requests.
        rules: the table of roles.
        uploads: addresses that take a file instead of JSON -> most bytes of it.
    """

    hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "::1")
    secure: bool = False
    limits: Limits = field(default_factory=Limits)
    rules: Mapping[tuple[str, str], frozenset[str]] | None = None
    uploads: Mapping[str, int] = field(default_factory=dict)

    @property
    def cookie(self) -> str:
        return SAFE_COOKIE if self.secure else COOKIE

    def headers(self) -> dict[str, str]:
        """Of every answer."""
        found = {"content-security-policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'",
                 "x-content-type-options": "nosniff", "x-frame-options": "DENY", "referrer-policy": "same-origin",
                 "cross-origin-opener-policy": "same-origin", "cross-origin-resource-policy": "same-origin", "cache-control": "no-store"}
        return found | ({"strict-transport-security": "max-age=31536000"} if self.secure else {})


class Gate:
    """Host, size, rate, session, CSRF, role, patient, JSON; then the application; and a row of the access log before the first byte goes out.

    Args:
        app: behind it.
        people: who may.
        policy: what is asked.
    """

    def __init__(self, app: ASGIApp, people: People, policy: Policy):
        self.app, self.people, self.policy = app, people, policy
        self.table, self.rate = Table(RULES if policy.rules is None else policy.rules), Rate(policy.limits)
        self._watched: dict[tuple[str, str, str], datetime] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await self.app(scope, receive, send)
            return
        visit = _Visit(self, scope, send)
        scope.setdefault("state", {})
        try:
            receive = await self._admit(visit, receive)
            await self.app(scope, receive, visit.send)
        except Exception as error:
            if visit.started:
                unexpected(error)
                return
            answer = (of_fault(error) if isinstance(error, Fault) else of_input(error) if isinstance(error, BadInput) else unexpected(error))
            visit.refused = True
            await answer(scope, receive, visit.send)

    async def _admit(self, visit: _Visit, receive: Receive) -> Receive:
        """Refuse, or give back the body that was looked at."""
        scope, headers = visit.scope, visit.headers
        path, method = str(scope["path"]), str(scope["method"])
        self._host(headers)
        plain(path + scope.get("query_string", b"").decode("latin1").replace("%00", "\x00"), "route")
        if path.startswith(STATIC) and method in SAFE_METHODS:
            visit.template = self.table.find(method, path)[0]
            return receive
        token, by_cookie = _token(headers, self.policy.cookie)
        if not token:
            self.rate.take(visit.address)
        visit.template, names, roles = self.table.find(method, path)
        visit.patient = names.get("patient", "")
        if method not in SAFE_METHODS:
            self._origin(headers)
        session = await self._session(visit, token)
        if roles != PUBLIC:
            if session is None:
                raise Fault(401, "session", "nobody is logged in", hint="log in")
            if by_cookie and method not in SAFE_METHODS and not same(headers.get(CSRF, ""), session.csrf):
                raise Fault(403, CSRF, "the page did not send back its sign", hint="send the csrf value of the login in this header")
            self._role(session.person, roles, visit.patient)
        if session is not None:
            scope["state"]["caller"] = Caller(session.person, session.person.role, session.person.patient, session, visit.address)
        return await self._body(headers, method, visit.template, receive)

    def _host(self, headers: Headers) -> None:
        host = headers.get("host", "")
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            name = ""
        if "*" not in self.policy.hosts and name not in self.policy.hosts:
            raise Fault(400, "host", "this server is not asked for under this name", hint="--allow-host adds a name")

    def _origin(self, headers: Headers) -> None:
        """A page of another site may not send anything that changes something, logins included."""
        origin = headers.get("origin")
        if origin is not None and (origin == "null" or urlsplit(origin).netloc.lower() != headers.get("host", "").lower()):
            raise Fault(403, "origin", "this comes from a page of another site")
        if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            raise Fault(403, "origin", "this comes from a page of another site")

    async def _session(self, visit: _Visit, token: str) -> Session | None:
        if not token:
            return None
        try:
            session = await run_sync(self.people.session, token)
        except NotIn:
            self.rate.take(visit.address)
            return None
        visit.session = session
        self.rate.take(session.key)
        return session

    @staticmethod
    def _role(person: Person, roles: frozenset[str], patient: str) -> None:
        if person.role not in roles:
            raise Fault(403, "role", "this is not for your role", got=person.role, allowed=", ".join(sorted(roles)))
        if person.role == "patient" and patient and patient != person.patient:
            raise Fault(404, "patient", "no such patient", got=patient)

    async def _body(self, headers: Headers, method: str, template: str, receive: Receive) -> Receive:
        """Read the body, no more than allowed, and look at it."""
        most = self.policy.uploads.get(template, self.policy.limits.body)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 18 or int(length) > most:
            raise Fault(413, "body", "too much at once", got=length, allowed=f"{most} bytes")
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Fault(400, "body", "the connection broke off")
            part = message.get("body", b"")
            size += len(part)
            if size > most:
                raise Fault(413, "body", "too much at once", allowed=f"{most} bytes")
            parts.append(part)
            more = message.get("more_body", False)
        body = b"".join(parts)
        if body and method not in SAFE_METHODS:
            kind = headers.get("content-type", "").split(";")[0].strip().lower()
            if template in self.policy.uploads:
                if kind != "application/octet-stream":
                    raise Fault(415, "content-type", "this is not a file", got=kind, allowed="application/octet-stream")
            elif kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
                await run_sync(checked_json, body, self.policy.limits)
            elif not (kind == FORM and template == "/setup"):
                raise Fault(415, "content-type", "this is not JSON", got=kind, allowed="application/json")
        given = False

        async def again() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        return again

    def log(self, visit: _Visit, status: int) -> None:
        """A row of the access log; of somebody who goes on watching the same thing the first look only."""
        if visit.session is None or status != 200 or visit.scope["method"] != "GET" or visit.template not in WATCHED:
            self._write(visit, status)
            return
        watch, now = (visit.session.key, visit.address, str(visit.scope["path"])), self.people.now()
        before = self._watched.pop(watch, None)
        if before is None or now - before > WATCH_GAP:
            self._write(visit, status)
        self._watched[watch] = now  # the one that was looked at last stands last
        while len(self._watched) > MOST_WATCHED:
            with suppress(KeyError, RuntimeError, StopIteration):  # another request was faster
                del self._watched[next(iter(self._watched))]

    def _write(self, visit: _Visit, status: int) -> None:
        person = visit.scope["state"].get("entered") or (visit.session.person if visit.session is not None else None)
        patient = visit.scope["state"].get("patient") or visit.patient
        self.people.saw("" if person is None else person.id, "" if person is None else person.role, visit.address, str(visit.scope["method"]),
                        visit.template, patient, status)


class _Visit:
    """One request on its way."""

    def __init__(self, gate: Gate, scope: Scope, send: Send):
        self.gate, self.scope, self._send = gate, scope, send
        self.headers = Headers(scope=scope)
        self.address = str((scope.get("client") or ("",))[0])
        self.template, self.patient = "", ""
        self.session: Session | None = None
        self.started = self.refused = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            status = int(message["status"])
            if self.template not in UNLOGGED and not self.template.startswith(STATIC) and status != 429:
                try:
                    await run_sync(self.gate.log, self, status)
                except Exception:
                    if not self.refused:
                        raise  # what was not written down does not go out
            self.started = True
            headers = MutableHeaders(scope=message)
            for name, value in self.gate.policy.headers().items():
                headers.setdefault(name, value)
            if "server" in headers:
                del headers["server"]
        await self._send(message)


def _token(headers: Headers, cookie: str) -> tuple[str, bool]:
    """The token of a session, and whether a browser sent it by itself."""
    given = headers.get("authorization", "")
    if given.lower().startswith("bearer "):
        return given[7:].strip()[:200], False
    for pair in headers.get("cookie", "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == cookie:
            return value[:200], True
    return "", False


def remember(policy: Policy, response: Any, session: Session, seconds: int) -> None:
    """Give a browser its session."""
    response.set_cookie(policy.cookie, session.token, max_age=seconds, path="/", secure=policy.secure, httponly=True, samesite="strict")


def forget(policy: Policy, response: Any) -> None:
    """Take it away."""
    response.delete_cookie(policy.cookie, path="/", secure=policy.secure, httponly=True, samesite="strict")
