"""Requests made up from the OpenAPI description, for every address and as every role: whatever is sent, the server does not fail."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from api_clinic import V1, Clinic, password
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from epidura.api.security import PUBLIC
from epidura.clinic import events as E
from epidura.clinic.people import ROLES

EXAMPLES = int(os.environ.get("EPIDURA_SCHEMA_EXAMPLES", "2"))
"""Of right and of wrong requests each, for an address that the role may call; more by hand."""
QUIET = settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, phases=(Phase.generate,),
                 suppress_health_check=list(HealthCheck))
WORKS = {200, 201, 204, 303}


def entered(clinic: Clinic, role: str, patient: str) -> str:
    """A token of somebody with this role."""
    if role == "patient":
        return clinic.people.exchange(clinic.people.link(patient, clinic.ids["nurse"])[0]).token
    return clinic.people.login(role, password(role)).token


def sent(clinic: Clinic, case: Any, role: str, patient: str, real: bool) -> tuple[int, str]:
    """Send a made-up request; with ``real``, about a patient who is there and as somebody who saw the last revision."""
    headers = dict(case.headers or {})
    if role:
        headers["Authorization"] = f"Bearer {entered(clinic, role, patient)}"
    if real:
        for name in ("patient", "pseudonym"):
            if case.path_parameters and name in case.path_parameters:
                case.path_parameters[name] = patient if name == "patient" else clinic.record.patients()[0]["pseudonym"]
        if case.operation.method == "post" and case.path_parameters:
            headers["If-Match"] = f'"{clinic.record.state(patient)["revision"]}"'
    answer = case.call(headers=headers, timeout=120)  # its own ten seconds say more of a busy machine than of the server
    assert answer.status_code < 500, f"{case.operation.label} as {role or 'nobody'}: {answer.status_code} {answer.text}\n{case.as_curl_command()}"
    if answer.status_code >= 400:
        fhir = case.operation.path.startswith("/api/fhir") and "fhir+json" in str(answer.headers["content-type"])
        assert set(answer.json()) == ({"resourceType", "issue"} if fhir else {"error"}), answer.text
    return answer.status_code, case.operation.label


@pytest.mark.parametrize("role", ["", *ROLES])
def test_no_request_makes_the_server_fail(tmp_path: Path, role: str) -> None:
    clinic = Clinic(tmp_path)
    patient = clinic.patient()
    clinic.record.commit("seed", patient, [
        E.Assessed.model_validate({"on": "2026-02-01", "findings": {"indication": "failed-back-surgery"}}),
        E.Signed.model_validate({"on": "2026-02-02", "member": {"name": "Ann", "role": "psychologist", "agrees": True}}),
        E.Complicated.model_validate({"on": "2026-02-03", "name": "one", "complication": {
            "kind": "infection", "stage": "trial", "onset": "2026-02-03"}})])
    schema = schemathesis.openapi.from_asgi(f"{V1}/openapi.json", clinic.app)
    statuses: dict[str, set[int]] = {}
    for found in schema.get_all_operations():
        operation = found.ok()
        roles = clinic.app.state.rules[operation.method.upper(), operation.path]
        open_to = roles == PUBLIC or role in roles
        modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE) if open_to else (GenerationMode.POSITIVE,)
        for mode in modes:
            try:
                strategy = operation.as_strategy(generation_mode=mode)
            except Exception:  # an address that takes nothing has no wrong request
                if mode is not GenerationMode.NEGATIVE:
                    raise
                continue

            @settings(QUIET, max_examples=EXAMPLES if open_to else 1)
            @given(case=strategy, real=st.booleans())
            def ask(case: Any, real: bool) -> None:
                status, label = sent(clinic, case, role, patient, real)
                statuses.setdefault(label, set()).add(status)

            try:
                ask()
            except Exception as nothing:
                if type(nothing).__name__ != "Unsatisfiable" or mode is not GenerationMode.NEGATIVE:
                    raise
    assert len(statuses) == sum(len(methods) for methods in clinic.app.openapi()["paths"].values())
    for label, seen in statuses.items():
        method, path = label.split(" ", 1)
        roles = clinic.app.state.rules[method, path]
        if roles != PUBLIC and role not in roles:
            assert seen <= {401, 403}, (label, seen)
    if role in ("physician", "nurse"):
        assert sum(bool(seen & WORKS) for seen in statuses.values()) >= 15, statuses
    assert clinic.record.verify().breaks == ()
