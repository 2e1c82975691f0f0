"""Attacks: each is tried, and each is refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from api_clinic import SECRETS, V1, Browser, Clinic, password, wrong
from sqlalchemy.exc import OperationalError

from epidura.api.limits import Limits, checked_json
from epidura.api.oidc import Oidc
from epidura.clinic.people import LOGIN_FAILURES
from epidura.clinic.record import Full, Record
from epidura.errors import BadInput

KEY = {"Idempotency-Key": "a-key-of-eight"}


@pytest.fixture
def clinic(tmp_path: Path) -> Clinic:
    return Clinic(tmp_path)


# coming in without being somebody

@pytest.mark.parametrize("headers", [
    {}, {"Cookie": "epidura="}, {"Cookie": "epidura=x"}, {"Authorization": "Bearer "}, {"Authorization": "Bearer x"}, {"Authorization": "Basic YTpi"},
    {"Authorization": "Bearer ' OR 1=1 --"}, {"Cookie": "epidura=null; epidura=undefined"}, {"X-Forwarded-For": "127.0.0.1", "X-Role": "physician"}])
def test_nobody_gets_in_by_a_made_up_session(clinic: Clinic, headers: dict[str, str]) -> None:
    patient = clinic.patient()
    assert wrong(Browser(clinic, "127.0.0.1").get(f"/patients/{patient}", headers=headers), 401)["where"] == "session"


def test_the_stored_hash_of_a_token_opens_nothing(clinic: Clinic) -> None:
    """Who read the database cannot come in with what is in it."""
    session = clinic.people.login("nurse", password("nurse"))
    assert wrong(Browser(clinic, "10.0.0.1").get("/me", headers={"Authorization": f"Bearer {session.key}"}), 401)


@pytest.mark.parametrize("path", ["/api/v1/patients/", "/api/v1//patients", "/api/v1/./patients", "/api/v1/login/../patients", "/API/V1/patients",
                                  "/api/v1/patients;x=1", "/api/v1/patients%00", "/api/v1/patients%2f..", "/docs", "/redoc", "/openapi.json"])
def test_no_spelling_of_a_path_goes_around_the_gate(clinic: Clinic, path: str) -> None:
    clinic.patient()
    answer = Browser(clinic, "10.0.0.1").get(f"/{path}")
    assert answer.status_code in (400, 401, 404), answer.text
    assert "pseudonym" not in answer.text
    for method in ("HEAD", "TRACE", "OPTIONS", "PATCH", "GETX"):
        assert Browser(clinic, "10.0.0.1").ask(method, "/patients").status_code == 405


# somebody else's session

def test_a_session_is_new_after_each_login(clinic: Clinic) -> None:
    """Fixation: a token that was planted is worth nothing after the login, nor is the one before."""
    browser = Browser(clinic, "10.0.0.1")
    browser.cookies["epidura"] = "planted-by-an-attacker-000000000000000000"
    browser.login("nurse", password("nurse"))
    assert browser.cookies["epidura"] != "planted-by-an-attacker-000000000000000000"
    first = dict(browser.cookies)
    browser.login("nurse", password("nurse"))
    assert browser.cookies != first
    assert wrong(Browser(clinic, "10.0.0.1").get("/me", headers={"Cookie": f"epidura={first['epidura']}"}), 401)
    assert browser.get("/me").status_code == 200
    token = browser.cookies["epidura"]
    assert browser.post("/logout").status_code == 204
    assert wrong(Browser(clinic, "10.0.0.1").get("/me", headers={"Cookie": f"epidura={token}"}), 401)


@pytest.mark.parametrize("secure", [False, True])
def test_cookies_and_headers(tmp_path: Path, secure: bool) -> None:
    clinic = Clinic(tmp_path, secure=secure)
    answer = Browser(clinic, "10.0.0.1").login("nurse", password("nurse"))
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/" in cookie
    assert ("Secure" in cookie, cookie.startswith("__Host-")) == (secure, secure)
    for each in (answer, Browser(clinic, "10.0.0.1").get("//"), Browser(clinic, "10.0.0.1").get("/nothing")):
        policy = each.headers["content-security-policy"]
        assert policy.startswith("default-src 'self'; ")
        assert "frame-ancestors 'none'" in policy
        assert "script-src" not in policy  # default-src holds
        assert "unsafe-eval" not in policy
        assert each.headers["x-content-type-options"] == "nosniff"
        assert each.headers["referrer-policy"] == "same-origin"  # with "no-referrer" a browser sends forms with a null origin
        assert each.headers["cache-control"] == ("no-cache" if each.headers["content-type"].startswith("text/html") else "no-store")
        assert ("strict-transport-security" in each.headers) == secure


def test_a_page_of_another_site_changes_nothing(clinic: Clinic) -> None:
    """CSRF: the browser sends the cookie along, but not the sign; nor does a form pass for JSON."""
    patient, browser = clinic.patient(), clinic.browser("nurse")
    cookie = {"Cookie": f"epidura={browser.cookies['epidura']}"}
    stranger = Browser(clinic, "10.0.0.1")
    path = f"/patients/{patient}/diary-links"
    assert wrong(stranger.post(path, headers=cookie), 403)["where"] == "x-csrf-token"
    for sign in ("", "x", clinic.browser("nurse").csrf):
        assert wrong(stranger.post(path, headers=cookie | {"X-CSRF-Token": sign}), 403)["where"] == "x-csrf-token"
    own = cookie | {"X-CSRF-Token": browser.csrf}
    for origin in ("https://evil.example", "null", "http://clinic.evil.example", "http://clinic:81"):
        assert wrong(stranger.post(path, headers=own | {"Origin": origin}), 403)["where"] == "origin"
    assert wrong(stranger.post(path, headers=own | {"Sec-Fetch-Site": "cross-site"}), 403)["where"] == "origin"
    assert stranger.post(path, headers=own | {"Origin": "http://clinic"}).status_code == 201
    form = {"content": b'{"login": "nurse", "password": "x"}', "headers": {"Content-Type": "text/plain"}}
    assert wrong(stranger.ask("POST", "/login", **form), 415)["where"] == "content-type"
    login = {"login": "nurse", "password": password("nurse")}
    assert wrong(stranger.post("/login", login, headers={"Origin": "https://evil.example"}), 403)  # nobody is logged in as somebody else
    assert stranger.get("/me", headers=cookie).status_code == 200  # reading needs no sign


def test_each_changing_route_asks_for_the_sign(clinic: Clinic) -> None:
    from epidura.api.security import PUBLIC, RULES

    for (method, path), roles in RULES.items():
        if method == "GET" or roles == PUBLIC:
            continue
        browser = clinic.browser(sorted(roles)[0], clinic.patient() if sorted(roles)[0] == "patient" else "")
        browser.csrf = ""
        short = re.sub(r"\{\w+\}", "0" * 32, path.removeprefix(V1))
        assert wrong(browser.ask(method, short, {}), 403)["where"] == "x-csrf-token", (method, path)


def test_a_token_is_for_programs_and_sets_no_cookie(clinic: Clinic) -> None:
    patient = clinic.patient()
    told = Browser(clinic, "10.0.0.1").login("nurse", password("nurse"), keep="token")
    assert "set-cookie" not in told.headers
    bearer = {"Authorization": f"Bearer {told.json()['token']}"}
    assert Browser(clinic, "10.0.0.1").post(f"/patients/{patient}/diary-links", headers=bearer).status_code == 201


# guessing

def test_guessing_is_stopped(either: Clinic) -> None:
    guesser = Browser(either, "10.0.0.66")
    for _ in range(LOGIN_FAILURES):
        assert wrong(guesser.login("nurse", "wrong"), 401)
    locked = guesser.login("nurse", password("nurse"))
    assert wrong(locked, 429)["got"] is None
    assert int(locked.headers["retry-after"]) > 60
    assert wrong(either.browser().login("nurse", password("nurse")), 429)  # from another address, too
    for _ in range(LOGIN_FAILURES):
        wrong(guesser.login("nobody", "wrong"), 401)
    assert wrong(guesser.login("nobody", "wrong"), 429)  # a lock does not tell who exists


def test_links_and_confirmations_cannot_be_guessed_without_end(tmp_path: Path) -> None:
    clinic = Clinic(tmp_path, Limits(rate=1, burst=10))
    guesser = Browser(clinic, "10.0.0.66")
    told = [guesser.post("/diary-login", {"link": f"{number:043d}"}).status_code for number in range(20)]
    assert set(told) == {401, 429}
    assert told.count(401) <= 12
    made_up = [guesser.get("/me", headers={"Authorization": f"Bearer {number}"}).status_code for number in range(20)]
    assert 429 in made_up  # another token each time is no way around it
    other = Browser(clinic, "10.0.0.67").post("/diary-login", {"link": "0" * 43})
    assert other.status_code == 401


def test_a_session_has_a_rate_of_its_own(tmp_path: Path) -> None:
    """A ward behind one address is not slowed down by one of its browsers."""
    clinic = Clinic(tmp_path, Limits(rate=1, burst=10))
    first, second = clinic.browser("nurse"), clinic.browser("physician")
    told = [first.get("/me") for _ in range(20)]
    assert {each.status_code for each in told} == {200, 429}
    assert int(told[-1].headers["retry-after"]) >= 1
    assert wrong(told[-1], 429)
    assert second.get("/me").status_code == 200


# somebody else's patient

def test_a_patient_reaches_no_other_patient(clinic: Clinic) -> None:
    """Of a foreign patient, an unknown one and an erased one, the answers are the same."""
    own, foreign = clinic.patient(), clinic.patient("Foreignquux")
    phone = clinic.browser("patient", own)
    for method, path, body in (("GET", "diary", None), ("PUT", "diary/2026-05-01", {"worst": 1}),
                               ("POST", "diary/sync", {"entries": [{"key": "kept-offline", "day": "2026-05-01", "answers": {"worst": 1}}]})):
        told = [wrong(phone.ask(method, f"/patients/{patient}/{path}", body, headers=KEY), 404) for patient in (foreign, "0" * 32)]
        for each in told:
            each.pop("got")
        assert told[0] == told[1]
        assert phone.ask(method, f"/patients/{own}/{path}", body, headers=KEY).status_code == 200
    assert clinic.record.diary(foreign) == clinic.record.diary(foreign, last="2026-02-01")
    assert [row["status"] for row in clinic.seen(patient=foreign)] == [404, 404, 404]  # who tried is written down


def test_a_job_is_of_who_started_it(clinic: Clinic) -> None:
    """Its number, should somebody learn it, opens it for nobody else: neither how far it is nor what came out, and nobody else stops it."""
    job = clinic.app.state.service.jobs.start(clinic.ids["physician"], lambda progress: {"found": SECRETS["note"]})
    addresses = [("GET", f"/jobs/{job.id}"), ("GET", f"/jobs/{job.id}/events"), ("GET", f"/jobs/{job.id}/result"), ("DELETE", f"/jobs/{job.id}")]
    for role in ("nurse", "researcher"):
        browser = clinic.browser(role)
        for method, path in addresses:
            answer = browser.ask(method, path)
            wrong(answer, 404)
            assert SECRETS["note"] not in answer.text
    physician = clinic.browser("physician")
    while physician.get(f"/jobs/{job.id}").json()["state"] in ("waiting", "running"):
        pass
    assert SECRETS["note"] in physician.get(f"/jobs/{job.id}/result").text


# what is sent

BAD = ["' OR '1'='1", "1; DROP TABLE event; --", '"; DELETE FROM access; --', "%' UNION SELECT password FROM person --", "$(id)", "{{7*7}}",
       "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "../../../../etc/passwd", "..\\..\\x", "\u202e\u2028", "a" * 5000]


@pytest.mark.parametrize("words", BAD)
def test_injection(clinic: Clinic, words: str) -> None:
    """In every place that takes text: refused, or kept as text; never a query, a page or a path."""
    patient, nurse, administrator = clinic.patient(), clinic.browser("nurse"), clinic.browser("administrator")
    before = clinic.record.verify().events
    kept = nurse.post(f"/patients/{patient}/events", {"events": [{"kind": "note.added", "on": "2026-05-01", "text": words}]},
                      headers=KEY | {"If-Match": '"3"'})
    assert kept.status_code == 201
    answers = [kept, nurse.get("/patients", params={"stage": words}), nurse.get("/patients", params={"after": words}),
               nurse.get(f"/patients/{patient}/checklist", params={"jurisdiction": words}),
               nurse.get(f"/patients/{patient}/next", params={"kind": words}),
               administrator.get("/access", params={"person": words}), nurse.get("/instruments/odi/form", params={"language": words}),
               administrator.post("/people", {"name": words, "login": words, "role": "nurse", "password": words}),
               Browser(clinic, "10.0.0.4").login(words, words), nurse.post("/patients", {"events": [{"kind": words}]}, headers=KEY),
               nurse.get(f"/patients/{patient}/timeline", headers={"If-Match": words.encode()}),  # type: ignore[dict-item]
               nurse.post("/recalls/affected", {"recalls": [{"manufacturer": words, "on": "2026-01-01", "action": words, "source": words}]}),
               nurse.post("/anticoagulants/plan", {"drugs": [words], "procedure": "2026-06-10T09:00:00"}), nurse.get(f"/{words}")]
    for answer in answers:
        assert answer.status_code < 500, answer.text
        assert answer.headers["content-type"] == "application/json"
        assert "<" not in answer.text
        assert "root:" not in answer.text
    assert nurse.get(f"/patients/{patient}/timeline").json()["items"][-1]["body"]["text"] == words
    assert clinic.record.verify().breaks == ()
    assert clinic.record.verify().events == before + 1
    page = Browser(clinic, "127.0.0.1").get("//setup", params={"token": words}).text
    assert "<script>" not in page
    assert "<img" not in page


@pytest.mark.parametrize(("body", "status"), [
    (b"{", 400), (b"", 422), (b"null", 422), (b"[]", 422), (b"\xff\xfe", 400), (b'{"login": NaN}', 400), (b'{"login": 1e999}', 400),
    (b'{"login": "a", "login": "b"}', 400), (b'{"login": "\\ud800", "password": "x"}', 400), (b'{"login": "a\\u0000", "password": "x"}', 400),
    (b'{"login": ' + b"9" * 5000 + b"}", 400), (b"[" * 100_000, 400), (b'{"a":' * 40 + b"1" + b"}" * 40, 400),
    (b'{"login": 99999999999999999999}', 400), (b"[" + b"1," * 60_000 + b"1]", 413), (b'{"login": "' + b"x" * 1_000_001 + b'"}', 413),
    (b'{"login": "a", "password": "x", "admin": true}', 422), (b'{"login": {"$ne": ""}, "password": "x"}', 422)])
def test_malformed_and_oversized_bodies(clinic: Clinic, body: bytes, status: int) -> None:
    answer = Browser(clinic, "10.0.0.1").ask("POST", "/login", content=body, headers={"Content-Type": "application/json"})
    error = wrong(answer, status)
    assert len(answer.content) < 2000
    assert error["got"] is None or len(str(error["got"])) <= 200


def test_a_body_that_lies_about_its_length(clinic: Clinic) -> None:
    """Sent in pieces without a length, or with one that is no number."""
    async def pieces() -> Any:
        for _ in range(20):
            yield b"x" * 100_000

    browser = Browser(clinic, "10.0.0.1")
    assert wrong(browser.ask("POST", "/login", content=pieces(), headers={"Content-Type": "application/json"}), 413)
    for length in ("-1", "1e3", "9" * 30, ""):
        assert wrong(browser.ask("POST", "/login", content=b"{}", headers={"Content-Type": "application/json", "Content-Length": length}), 413)


def test_brackets_within_text_do_not_count() -> None:
    checked_json(json.dumps({"text": '"[{' * 100 + "\\"}).encode(), Limits(depth=2))


def test_passwords_are_not_said_back(clinic: Clinic) -> None:
    secret = "hunter2-hunter2-hunter2" * 20
    for path, body in (("/login", {"login": "nurse", "password": secret}), ("/login", {"login": "nurse", "password": [secret]}),
                       ("/diary-login", {"link": secret}), ("/login", {"login": "nurse", "password": "short-secret-7"})):
        answer = Browser(clinic, "10.0.0.1").post(path, body)
        assert answer.status_code in (401, 422)
        assert "hunter2" not in answer.text
        assert "short-secret-7" not in answer.text


@pytest.mark.parametrize("host", ["evil.example", "clinic.evil.example", "", "127.0.0.1.evil.example", "[::1", "clinic@evil.example"])
def test_other_names_of_the_server_are_refused(clinic: Clinic, host: str) -> None:
    """A page cannot reach a server on loopback by a name that it made point there."""
    assert wrong(Browser(clinic, "10.0.0.1").get("/me", headers={"Host": host}), 400)["where"] == "host"


@pytest.mark.parametrize(("kind", "language"), [
    ("..%2f..%2fkey", "en"), ("odi", "..%2f..%2fclinic"), ("odi", "en%2f..%2f..%2fx"), ("odi", "../../x"), ("odi", "en.json"), ("odi", "."),
    ("odi", "..."), ("odi", "%00"),
    ("..", "en"), ("odi", "en\\..\\x"), ("anticoagulants", "jsonl"), ("ODI", "en"), ("odi", "EN"), ("odi", "e" * 300)])
def test_uploads_stay_in_their_folder(clinic: Clinic, tmp_path: Path, kind: str, language: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if not path.name.startswith("clinic.sqlite")}
    administrator = clinic.browser("administrator")
    text = {"instrument": "odi", "version": "2.1a", "language": "en", "items": {}}
    answer = administrator.put(f"/instruments/{kind}/text/{language}", text)
    assert answer.status_code in (400, 404, 405, 422), answer.text
    read = clinic.browser("nurse").get(f"/instruments/{kind}/form", params={"language": language})
    assert read.status_code in (200, 400, 404, 422)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if not path.name.startswith("clinic.sqlite")} == before


# what goes wrong inside

def test_a_defect_says_nothing(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError(f"{SECRETS['family']} in /secret/path")

    monkeypatch.setattr(clinic.record, "state", broken)
    error = wrong(clinic.browser("nurse").get(f"/patients/{'0' * 32}"), 500)
    assert SECRETS["family"] not in str(error)
    assert "secret" not in str(error)
    assert clinic.seen()[-1]["status"] == 500


def test_a_full_disk(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    patient, nurse = clinic.patient(), clinic.browser("nurse")

    def full(*_: object, **__: object) -> None:
        raise Full("store: /secret/path is full")

    monkeypatch.setattr(clinic.record, "commit", full)
    body = {"events": [{"kind": "note.added", "on": "2026-05-01", "text": "x"}]}
    answer = nurse.post(f"/patients/{patient}/events", body, headers=KEY | {"If-Match": '"3"'})
    assert "disk is full" in wrong(answer, 507)["problem"]
    assert "/secret" not in answer.text


def test_nothing_goes_out_that_was_not_written_down(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its row in the access log an answer with data is withheld."""
    patient, nurse = clinic.patient(), clinic.browser("nurse")

    def broken(*_: object) -> None:
        raise OperationalError("insert", {}, Exception("disk"))

    monkeypatch.setattr(clinic.people, "saw", broken)
    answer = nurse.get(f"/patients/{patient}/identity")
    assert wrong(answer, 500)
    assert SECRETS["family"] not in answer.text


# the first start

def test_the_first_administrator_is_made_once_and_from_here(tmp_path: Path) -> None:
    clinic = Clinic(tmp_path)
    empty = Record.create(tmp_path / "empty.sqlite")
    clinic.people.engine = empty.engine
    clinic.people._writer = empty._writer
    token = clinic.people.first()
    form = {"token": token, "name": "<b>Root</b>", "login": "root", "password": "five words that all differ"}
    kind = {"Content-Type": "application/x-www-form-urlencoded"}

    def send(address: str, **changes: str) -> httpx.Response:
        return Browser(clinic, address).ask("POST", "//setup", data=form | changes, headers=kind)

    assert wrong(send("10.0.0.1"), 403)["where"] == "address"
    assert wrong(Browser(clinic, "10.0.0.1").get(f"//setup?token={token}"), 403)
    assert token in Browser(clinic, "127.0.0.1").get(f"//setup?token={token}").text
    assert send("127.0.0.1", token="x").status_code == 422
    short = send("127.0.0.1", password="short")
    assert short.status_code == 422
    assert "another length" in short.text
    made = send("127.0.0.1")
    assert made.status_code == 201
    assert "<b>" not in made.text
    assert send("127.0.0.1", login="second").status_code == 422
    assert Browser(clinic, "127.0.0.1").login("root", form["password"]).status_code == 200
    empty.close()


# OpenID Connect

class Issuer:
    """One that answers as it is told."""

    def __init__(self) -> None:
        from joserfc.jwk import RSAKey

        self.key = RSAKey.generate_key(2048, {"kid": "1"})
        self.claims: dict[str, Any] = {}
        self.signed_by, self.algorithm = self.key, "RS256"
        self.sent: dict[str, list[str]] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        from joserfc import jwt

        if request.url.path.endswith("/.well-known/openid-configuration"):
            return httpx.Response(200, json={"issuer": "https://issuer", "authorization_endpoint": "https://issuer/auth",
                                             "token_endpoint": "https://issuer/token", "jwks_uri": "https://issuer/keys"})
        if request.url.path == "/keys":
            return httpx.Response(200, json={"keys": [self.key.as_dict(private=False)]})
        self.sent = parse_qs(request.content.decode())
        token = jwt.encode({"alg": self.algorithm, "kid": "1"}, self.claims, self.signed_by, algorithms=[self.algorithm])
        return httpx.Response(200, json={"id_token": token, "access_token": "x", "token_type": "Bearer"})


@pytest.fixture
def vouched(tmp_path: Path) -> Iterator[tuple[Clinic, Issuer]]:
    issuer = Issuer()
    clinic = Clinic(tmp_path)
    client = Oidc("https://issuer", "epidura", "s3cret", "http://clinic/api/v1/oidc/callback", clinic.clock, httpx.MockTransport(issuer))
    clinic.more = {"connect": client}
    clinic.app = Clinic(_folder(tmp_path / "two"), more=clinic.more).app
    service = clinic.app.state.service
    clinic.record, clinic.people = service.record, service.people
    clinic.people.add("Vera", "vera", "nurse", subject="https://issuer 17")
    yield clinic, issuer
    client._http.close()


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _trip(clinic: Clinic, issuer: Issuer, browser: Browser, **changes: Any) -> httpx.Response:
    """To the issuer and back."""
    start = browser.get("/oidc/start")
    assert start.status_code == 303
    asked = {key: value[0] for key, value in parse_qs(urlsplit(start.headers["location"]).query).items()}
    assert asked["code_challenge_method"] == "S256"
    now = int(clinic.clock().timestamp())
    issuer.claims = {"iss": "https://issuer", "aud": "epidura", "sub": "17", "exp": now + 300, "iat": now, "nonce": asked["nonce"]} | changes
    issuer.claims = {key: value for key, value in issuer.claims.items() if value is not None}
    return browser.get("/oidc/callback", params={"state": asked["state"], "code": "c"})


def test_openid_connect(vouched: tuple[Clinic, Issuer]) -> None:
    clinic, issuer = vouched
    browser = Browser(clinic, "10.0.0.1")
    assert _trip(clinic, issuer, browser).status_code == 200
    assert browser.get("/me").json()["person"]["name"] == "Vera"
    assert len(issuer.sent["code_verifier"][0]) >= 43


@pytest.mark.parametrize("changes", [{"iss": "https://evil"}, {"aud": "other"}, {"sub": None}, {"nonce": "other"}, {"nonce": None}, {"exp": 1},
                                     {"sub": "18"}])
def test_openid_connect_with_a_wrong_token(vouched: tuple[Clinic, Issuer], changes: dict[str, Any]) -> None:
    clinic, issuer = vouched
    browser = Browser(clinic, "10.0.0.1")
    assert wrong(_trip(clinic, issuer, browser, **changes), 401)
    assert wrong(browser.get("/me"), 401)


def test_openid_connect_with_another_key_or_trip(vouched: tuple[Clinic, Issuer]) -> None:
    from joserfc.jwk import OctKey, RSAKey

    clinic, issuer = vouched
    issuer.signed_by = RSAKey.generate_key(2048, {"kid": "1"})
    assert wrong(_trip(clinic, issuer, Browser(clinic, "10.0.0.1")), 401)["where"] == "code"
    issuer.signed_by, issuer.algorithm = OctKey.import_key("s3cret-s3cret-s3cret-s3cret-s3cret"), "HS256"
    assert wrong(_trip(clinic, issuer, Browser(clinic, "10.0.0.1")), 401)["where"] == "code"
    issuer.signed_by, issuer.algorithm = issuer.key, "RS256"
    browser = Browser(clinic, "10.0.0.1")
    state = parse_qs(urlsplit(browser.get("/oidc/start").headers["location"]).query)["state"][0]
    other = Browser(clinic, "10.0.0.1").get("/oidc/callback", params={"state": state, "code": "c"})
    assert wrong(other, 401)["where"] == "state"  # begun in another browser
    assert wrong(browser.get("/oidc/callback", params={"state": state, "code": "c"}), 401)["where"] == "state"  # it ended with that
    assert wrong(browser.get("/oidc/callback"), 401)["where"] == "state"


def test_openid_connect_asks_for_tls_and_is_off_by_default(clinic: Clinic) -> None:
    with pytest.raises(BadInput, match="https"):
        Oidc("http://issuer", "a", "b", "c", clinic.clock)
    assert wrong(Browser(clinic, "10.0.0.1").get("/oidc/start"), 404)["where"] == "oidc"


# epidura serve

def _serve(folder: Path, *options: str) -> subprocess.Popen[str]:
    source = Path(__file__).parents[2] / "src"
    return subprocess.Popen([sys.executable, "-c", "from epidura.cli import main; main()", "serve", *options], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, env=os.environ | {"XDG_DATA_HOME": str(folder), "PYTHONPATH": str(source), "COLUMNS": "200",
                                                                        "PYTHONUNBUFFERED": "1", "BROWSER": f"{folder / 'browser'} %s"})


def test_serve(tmp_path: Path) -> None:
    """From nothing to an administrator who is logged in, over a real connection."""
    browser = tmp_path / "browser"  # of the person at this machine: writes down what it was asked to open
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path / "opened"}\n')
    browser.chmod(0o700)
    process = _serve(tmp_path, "--port", "0", "--open")
    try:
        assert process.stdout is not None
        said = ""
        while "/setup?token=" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        link = re.search(r"http://127\.0\.0\.1:\d+/setup\?token=\S+", said)
        assert link is not None
        base, token = link[0].split("setup?token=")
        form = {"token": token, "name": "Root", "login": "root", "password": "five words that all differ"}
        with httpx.Client(base_url=base) as client:
            for _ in range(100):
                try:
                    client.get("/")
                    break
                except httpx.ConnectError:
                    time.sleep(0.1)
            assert client.get(f"/setup?token={token}").status_code == 200
            opened = tmp_path / "opened"
            for _ in range(100):
                if opened.exists() and opened.read_text():
                    break
                time.sleep(0.1)
            assert opened.read_text().strip() == link[0]
            assert client.post("/setup", data=form).status_code == 201
            told = client.post(f"{V1}/login", json={"login": "root", "password": form["password"]})
            assert told.status_code == 200
            assert client.get(f"{V1}/me").json()["person"]["role"] == "administrator"
            assert client.get(f"{V1}/access").json()["items"][0]["address"] == "127.0.0.1"
            assert client.get(f"{V1}/me", headers={"Host": "evil.example"}).status_code == 400
            spoofed = client.get(f"{V1}/access", headers={"X-Forwarded-For": "203.0.113.9"})
            assert "203.0.113.9" not in spoofed.text
            assert "server" not in spoofed.headers
    finally:
        process.terminate()
        process.communicate(timeout=20)
    folder = tmp_path / "epidura"
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "clinic.sqlite").stat().st_mode & 0o077 == 0
    assert (folder / "clinic.key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("options", "words"), [
    (("--host", "0.0.0.0"), "--allow-remote"), (("--tls-cert", "x.pem"), "belong together"),
    (("--tls-cert", "x.pem", "--tls-key", "y.pem"), "no such file"), (("--store", "mysql://x/y"), "no such kind of database"),
    (("--store", "nowhere/clinic.sqlite"), "no such folder")])
def test_serve_refuses(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    process = _serve(tmp_path, *options)
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, words in said) == (2, True), said
    assert "Traceback" not in said


def test_a_session_outlives_no_clock(clinic: Clinic) -> None:
    """Through the interface: idle, then gone, also when the clock is set back."""
    browser = clinic.browser("nurse")
    clinic.clock.go(minutes=31)
    assert wrong(browser.get("/me"), 401)
    clinic.clock.at -= timedelta(minutes=31)
    assert wrong(browser.get("/me"), 401)
