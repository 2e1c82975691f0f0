"""A small clinic behind its REST interface, asked in this process: no network, no port."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from argon2 import PasswordHasher

from epidura.api import create_app
from epidura.api.limits import Limits
from epidura.api.security import Policy
from epidura.clinic import events as E
from epidura.clinic.people import People
from epidura.clinic.record import Record, new_id

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""Hashes that take no time: how strong the real ones are is argon2-cffi's default, which one test looks at."""
V1 = "/api/v1"
START = datetime(2026, 6, 1, 8, tzinfo=UTC)
SECRETS = {"family": "Zquuxmann", "given": "Wilhelmxine", "note": "sisterofthemayor", "phone": "0555019283", "referrer": "Dr Quillfeather",
           "serial": "SN-77-31415", "member": "Prof Brackenridge", "why": "becausexyzzy"}
"""Words that must not reach a researcher."""


def password(role: str) -> str:
    return f"correct horse battery {role[:2]}"


@dataclass
class Clock:
    """A clock that is set by hand; ``ticks`` is the one that nobody sets."""

    at: datetime = START
    passed: float = 0.0

    def __call__(self) -> datetime:
        return self.at

    def ticks(self) -> float:
        return self.passed

    def go(self, **much: float) -> None:
        self.at += timedelta(**much)
        self.passed += timedelta(**much).total_seconds()


@cache
def empty_record() -> dict[str, bytes]:
    """Files of a record as it is made, which takes longer than to copy them."""
    with TemporaryDirectory() as folder:
        Record.create(Path(folder) / "clinic.sqlite").close()
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


@dataclass
class Clinic:
    """A record, its people and its application; ``where`` is an address of PostgreSQL, or empty."""

    folder: Path
    limits: Limits = field(default_factory=lambda: Limits(rate=1e6, burst=10**6))
    secure: bool = False
    more: dict[str, Any] = field(default_factory=dict)
    where: str = ""

    def __post_init__(self) -> None:
        self.clock = Clock()
        if self.where:
            self.record = Record.create(self.where, self.folder / "clinic.key", clock=self.clock)
        else:
            for name, content in empty_record().items():
                (self.folder / name).write_bytes(content)
            self.record = Record.open(self.folder / "clinic.sqlite", clock=self.clock)
        self.people = People(self.record.engine, self.clock, QUICK, self.clock.ticks)
        self.app = create_app(self.record, self.people, policy=Policy(("clinic", "testserver"), self.secure, self.limits), beside=self.folder,
                              overview=lambda record, today: {"today": today, "counts": record.counts()}, **self.more)
        self.ids = {role: self.people.add(f"A {role}", role, role, password(role)).id
                    for role in ("physician", "nurse", "researcher", "administrator")}

    def browser(self, role: str = "", patient: str = "", address: str = "10.0.0.7", raw: bool = False) -> Browser:
        """Somebody's browser; logged in where a role is named."""
        browser = Browser(self, address)
        if role == "patient":
            told = browser.post("/diary-login", {"link": self.people.link(patient, self.ids["nurse"])[0]}).json()
            browser.csrf = told["csrf"]
        elif role:
            browser.login(role, password(role))
        return browser

    def patient(self, family: str = SECRETS["family"]) -> str:
        """Somebody who was referred; every field that could say who it is has a word of its own."""
        patient = new_id()
        self.record.commit("seed", patient, [
            E.Registered(on=date(2026, 1, 2), birth_year=1961, sex="female", why=SECRETS["why"], identity=E.Identity(
                family_name=family, given_name=SECRETS["given"], birth_date=date(1961, 2, 3), phone=SECRETS["phone"])),
            E.Referred(on=date(2026, 1, 3), indication="failed-back-surgery", pain_areas=("low-back",) if "low-back" in E.areas() else (),
                       nrs=7, referrer=SECRETS["referrer"], question=SECRETS["note"]),
            E.Noted(on=date(2026, 1, 4), text=SECRETS["note"]),
            E.Diary(on=date(2026, 1, 5), worst=8, average=6, note=SECRETS["note"])])
        return patient

    def seen(self, **which: Any) -> list[dict[str, Any]]:
        """Rows of the access log."""
        return self.people.seen(limit=10_000, **which)


class Browser:
    """Keeps cookies and the csrf value, as a page does."""

    def __init__(self, clinic: Clinic, address: str):
        self.clinic, self.address, self.csrf = clinic, address, ""
        self.cookies: dict[str, str] = {}

    def login(self, login: str, password: str, **more: Any) -> httpx.Response:
        answer = self.post("/login", {"login": login, "password": password, **more})
        if answer.status_code == 200:
            self.csrf = answer.json().get("csrf", "")
        return answer

    def ask(self, method: str, path: str, json: Any = None, *, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        """One request; a path that begins with ``//`` is of the server, others of the interface."""
        sent = {"X-CSRF-Token": self.csrf} if self.csrf else {}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent |= headers or {}
        if json is not None:
            more["json"] = json
        url = path[1:] if path.startswith("//") else V1 + path
        scheme = "https" if self.clinic.secure else "http"

        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.clinic.app, client=(self.address, 5000), raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=f"{scheme}://clinic") as client:
                return await client.request(method, url, headers={key: value for key, value in sent.items() if value is not None}, **more)

        answer = asyncio.run(once())
        for name, value in answer.cookies.items():
            self.cookies[name] = value
        for gone in answer.headers.get_list("set-cookie"):
            if "Max-Age=0" in gone:
                self.cookies.pop(gone.split("=")[0], None)
        return answer

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.ask("GET", path, **more)

    def post(self, path: str, json: Any = None, **more: Any) -> httpx.Response:
        return self.ask("POST", path, json, **more)

    def put(self, path: str, json: Any = None, **more: Any) -> httpx.Response:
        return self.ask("PUT", path, json, **more)


def wrong(answer: httpx.Response, status: int) -> dict[str, Any]:
    """What an answer complains of; it has the one shape."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"status", "where", "problem", "got", "allowed", "hint", "missing"}
    assert body["error"]["status"] == status
    assert body["error"]["problem"]
    assert "Traceback" not in answer.text
    assert "<" not in answer.text
    return dict(body["error"])
