"""Least privilege: every address as every role, for an own and for a foreign patient."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
from api_clinic import SECRETS, V1, Clinic, wrong
from fastapi import APIRouter

from epidura.api import app as application
from epidura.api import create_app, routes_web
from epidura.api.security import EVERYBODY, PHYSICIANS_KINDS, PUBLIC, RULES, Table
from epidura.clinic import events as E
from epidura.clinic.people import ROLES
from epidura.clinic.record import pseudonym
from epidura.errors import Failed

KEY = {"Idempotency-Key": "a-key-of-eight"}
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/patients"): {"events": [{"kind": "note.added", "on": "2026-05-01", "text": "x"}]},
    ("POST", "/patients/{patient}/events"): {"events": [{"kind": "note.added", "on": "2026-05-01", "text": "x"}]},
    ("PUT", "/patients/{patient}/diary/{day}"): {"worst": 4},
    ("POST", "/patients/{patient}/diary/sync"): {"entries": [{"key": "kept-offline-1", "day": "2026-05-02", "answers": {"worst": 4}}]},
    ("POST", "/instruments/{kind}/score"): {"answers": {"1": 3}},
}
"""Bodies that are read; where there is none, an empty one is refused after the role was looked at."""


def every() -> dict[tuple[str, str], frozenset[str]]:
    """The tables of all modules but those of FHIR, which has tests of its own, and of static files."""
    found = dict(RULES)
    for name in application.MORE:
        if not name.endswith(("fhir_routes", "routes_web")):
            found |= importlib.import_module(name).RULES
    return found


def filled(path: str, clinic: Clinic, patient: str) -> str:
    names = {"patient": patient, "person": clinic.ids["nurse"], "pseudonym": pseudonym(patient), "kind": "odi", "language": "en", "drug": "warfarin",
             "day": "2026-05-01", "job": "A" * 16}
    return re.sub(r"\{(\w+)\}", lambda match: names.get(match[1], "0" * 32), path)


@pytest.mark.parametrize("role", ["", *ROLES])
def test_every_route_as_every_role(tmp_path: Path, role: str) -> None:
    """A role gets in where the table says so and nowhere else; each refusal and each access is written down."""
    clinic = Clinic(tmp_path)
    own, other = clinic.patient(), clinic.patient("Foreignquux")
    for (method, path), roles in sorted(every().items()):
        if not path.startswith(V1) or path in (f"{V1}/openapi.json", f"{V1}/logout"):
            continue
        short = path.removeprefix(V1)
        for patient in (own, other) if "{patient}" in path else (own,):
            browser = clinic.browser(role, own)
            before = len(clinic.seen())
            body = BODIES.get((method, short), {}) if method in ("POST", "PUT") else None
            answer = browser.ask(method, filled(short, clinic, patient), body, headers=KEY | {"If-Match": '"3"'})
            what = f"{role or 'nobody'} {method} {short}: {answer.status_code} {answer.text[:200]}"
            if roles == PUBLIC:
                assert answer.status_code not in (403, 500), what
                continue
            if not role:
                assert answer.status_code == 401, what
            elif role not in roles:
                assert answer.status_code == 403, what
                assert wrong(answer, 403)["where"] == "role"
            elif role == "patient" and patient == other:
                assert answer.status_code == 404, what
                assert SECRETS["family"] not in answer.text
                assert wrong(answer, 404)["problem"] == "no such patient"
            else:
                assert answer.status_code < 500, what
                if answer.status_code in (401, 403):
                    raise AssertionError(what)
            *named, row = clinic.seen()[before:]
            assert {each["patient"] for each in named} == ({own, other} if short == "/pathway/patients" and role in roles else set()), what
            assert (row["route"], row["method"], row["status"], row["role"]) == (path, method, answer.status_code, role)
            if "{patient}" in path:
                assert row["patient"] == patient
            assert bool(row["person"]) == bool(role)
    state = clinic.record.state(other)
    if role in ("patient", "researcher", "administrator", ""):
        assert state["version"] in (4, 5)  # the administrator's empty erasure was refused; nothing else may write
        assert clinic.record.identity(other) is not None


def test_a_patient_does_nothing_but_the_own_diary() -> None:
    """The addresses of a patient, one by one: a new one has to be added here on purpose."""
    assert {f"{method} {path.removeprefix(V1)}" for (method, path), roles in RULES.items() if "patient" in roles} == {
        "GET /me", "POST /logout", "GET /areas", "GET /patients/{patient}/diary", "PUT /patients/{patient}/diary/{day}",
        "POST /patients/{patient}/diary/sync"}


def test_names_are_for_those_who_treat() -> None:
    for (_, path), roles in RULES.items():
        if "{patient}" in path and "diary" not in path and not path.endswith("/erase"):
            assert roles <= {"physician", "nurse"}, path


def test_researchers_get_no_name_no_identifier_and_no_free_word(tmp_path: Path) -> None:
    clinic = Clinic(tmp_path)
    patient = clinic.patient()
    clinic.record.commit("seed", patient, [
        E.Assessed.model_validate({"on": "2026-02-01", "findings": {}}),
        E.Signed.model_validate({"on": "2026-02-02", "member": {"name": SECRETS["member"], "role": "psychologist", "agrees": False,
                                                                "reason": SECRETS["note"]}}),
        E.Complicated.model_validate({"on": "2026-02-03", "name": SECRETS["note"], "complication": {
            "kind": "infection", "stage": "trial", "onset": "2026-02-03", "description": SECRETS["note"], "devices": [SECRETS["serial"]]}}),
        E.Answered.model_validate({"on": "2026-02-03", "instrument": {"kind": "peg"}, "answers": {"pain": 5, "enjoyment": 6, "activity": 7}}),
        E.Corrected(on="2026-02-04", version=4, why=SECRETS["why"], instead={"on": "2026-01-06", "worst": 9, "note": SECRETS["note"]})])
    browser = clinic.browser("researcher")
    texts = []
    for (method, path), roles in RULES.items():
        if "researcher" not in roles or method != "GET" or path == f"{V1}/me":
            continue
        answer = browser.get(filled(path.removeprefix(V1), clinic, patient))
        assert answer.status_code == 200, answer.text
        texts.append(answer.text)
    whole = "\n".join(texts)
    for word in (*SECRETS.values(), patient, "1961-02-03", "2026-01-02", "2026-01-06", clinic.ids["nurse"], "seed"):
        assert word not in whole, word
    timeline = browser.get(f"/research/patients/{pseudonym(patient)}/timeline").json()
    by_kind = {each["kind"]: each for each in timeline["items"]}
    assert by_kind["patient.registered"]["fields"] == {"sex": "female", "birth_decade": 1960}
    assert by_kind["diary.recorded"]["fields"] == {"worst": 9.0}
    assert by_kind["diary.recorded"]["day"] == 4  # of the correction
    assert by_kind["complication.recorded"]["fields"]["kind"] == "infection"
    assert by_kind["instrument.answered"]["fields"]["instrument"] == "peg"
    assert "record.corrected" not in by_kind
    assert set(by_kind["note.added"]["fields"]) == set()
    assert clinic.seen(patient=patient)[-1]["role"] == "researcher"  # the row says whom the pseudonym is of


def test_decisions_are_a_physicians(tmp_path: Path) -> None:
    clinic = Clinic(tmp_path)
    patient = clinic.patient()
    clinic.record.commit("seed", patient, [E.Assessed.model_validate({"on": "2026-02-01", "findings": {}})])
    body = {"events": [{"kind": "selection.decided", "on": "2026-02-02", "decision": "optimise-first"}]}
    refused = clinic.browser("nurse").post(f"/patients/{patient}/events", body, headers=KEY | {"If-Match": '"5"'})
    assert wrong(refused, 403)["got"] == "selection.decided"
    done = clinic.browser("physician").post(f"/patients/{patient}/events", body, headers=KEY | {"If-Match": '"5"'})
    assert done.status_code == 201, done.text
    strike = {"events": [{"kind": "record.corrected", "on": "2026-02-03", "version": done.json()["version"], "why": "typo"}]}
    other = {"Idempotency-Key": "another-key", "If-Match": '"6"'}
    assert wrong(clinic.browser("nurse").post(f"/patients/{patient}/events", strike, headers=other), 403)
    assert clinic.browser("physician").post(f"/patients/{patient}/events", strike, headers=other).status_code == 201
    assert set(E.kinds()) >= PHYSICIANS_KINDS


def test_a_route_without_an_entry_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clinic = Clinic(tmp_path)
    real = application.routes_clinic.routes

    def more(service: Any) -> APIRouter:
        api = real(service)

        @api.get("/secret")
        def secret() -> dict[str, str]:
            return {}

        return api

    monkeypatch.setattr(application.routes_clinic, "routes", more)
    with pytest.raises(Failed, match="GET /api/v1/secret"):
        create_app(clinic.record, clinic.people)


def test_an_entry_without_a_role_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clinic = Clinic(tmp_path)
    monkeypatch.setitem(RULES, ("GET", f"{V1}/me"), frozenset())
    with pytest.raises(Failed, match="GET /api/v1/me"):
        create_app(clinic.record, clinic.people)
    monkeypatch.setitem(RULES, ("GET", f"{V1}/me"), frozenset({"doctor"}))
    with pytest.raises(Failed, match="GET /api/v1/me"):
        create_app(clinic.record, clinic.people)


def test_every_entry_has_its_route(tmp_path: Path) -> None:
    """No entry is left of a route that is gone, and the gate and the application read a path alike."""
    clinic = Clinic(tmp_path)
    there = {(method.upper(), path) for path, methods in clinic.app.openapi()["paths"].items() for method in methods}
    hidden = {("GET", "/setup"), ("POST", "/setup"), ("GET", f"{V1}/openapi.json"), *(("GET", address) for address in routes_web.static())}
    assert there | hidden == set(clinic.app.state.rules)
    table = Table(RULES)
    for method, path in RULES:
        assert table.find(method, filled(path, clinic, "0" * 32))[0] == path
    assert all(roles <= EVERYBODY or roles == PUBLIC for roles in RULES.values())


def test_the_table_of_the_docs_is_this_one() -> None:
    """docs/api.md prints ``RULES`` and those of the workbench; made with ``python tests/clinic/test_api_roles.py``."""
    text = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    assert printed() in text


def printed() -> str:
    """The table of roles for the docs."""
    lines = ["| address | physician | nurse | researcher | patient | administrator |", "|---|---|---|---|---|---|"]
    for (method, path), roles in every().items():
        cells = ["public"] * 5 if roles == PUBLIC else ["own" if role == "patient" and "{patient}" in path else "yes" if role in roles else ""
                                                        for role in ROLES]
        if roles != PUBLIC:
            cells = [cell if role in roles else "" for cell, role in zip(cells, ROLES, strict=True)]
        lines.append(f"| `{method} {path.removeprefix(V1) or '/'}` | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(printed())
