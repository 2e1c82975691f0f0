"""The FHIR server: roles, searches, import, and a client that is not ours against a real server."""

from __future__ import annotations

import json
import socket
import threading
import time
import warnings
from types import SimpleNamespace

import fhir_people as people
import pytest
import uvicorn
from fastapi import FastAPI, Header, HTTPException
from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import OperationOutcome, ResourceNotFound

from epidura import fhir
from epidura.api import fhir_routes
from epidura.api.fhir_routes import RULES, router
from epidura.clinic.record import Record, new_id, pseudonym

with warnings.catch_warnings():  # it would rather have httpx2
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

COURSE = people.course()


@pytest.fixture
def record(tmp_path) -> Record:
    made = Record.create(tmp_path / "clinic.sqlite")
    yield made
    made.close()


@pytest.fixture
def patient(record) -> str:
    name = new_id()
    record.commit("nurse-1", name, COURSE)
    return name


def caller(authorization: str = Header("")) -> SimpleNamespace:
    """Who asks says its role; a stand-in for sessions."""
    role = authorization.removeprefix("Bearer ")
    if not role:
        raise HTTPException(401)
    return SimpleNamespace(person=SimpleNamespace(id=f"{role}-1"), role=role, patient=None)


@pytest.fixture
def app(record) -> FastAPI:
    made = FastAPI()
    made.include_router(router(record, caller, prefix="/api/fhir"))
    return made


@pytest.fixture
def client(app) -> TestClient:
    return TestClient(app, headers={"Authorization": "Bearer physician"})


def get(client: TestClient, path: str, status: int = 200, **headers: str) -> dict:
    answer = client.get(f"/api/fhir{path}", headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/fhir+json"
    return fhir.checked(answer.json())


def test_reading_and_searching(client, record, patient):
    assert get(client, "/metadata")["fhirVersion"] == "4.0.1"
    assert get(client, f"/Patient/{patient}")["name"][0]["family"] == "Exempla-Nova"
    everything = get(client, f"/Patient/{patient}/$everything")
    assert [entry["resource"] for entry in everything["entry"]] == fhir.resources(patient, record.timeline(patient))
    for kind in fhir.TYPES[1:]:
        found = get(client, f"/{kind}?patient={patient}&_count=100")
        wanted = [each for each in fhir.resources(patient, record.timeline(patient)) if each["resourceType"] == kind]
        assert [entry["resource"] for entry in found["entry"]] == wanted[:100]
        assert found["total"] == len(wanted)
        one = wanted[0]
        assert get(client, f"/{kind}/{one['id']}") == one
        assert get(client, f"/{kind}?_id={one['id']}")["entry"][0]["resource"] == one
    assert get(client, f"/Observation?subject=Patient/{patient}")["total"] > 50
    assert get(client, "/StructureDefinition/epidura-stimulation-program")["url"] == fhir.PROFILE


def test_pages_hold_everything_once(client, record, patient):
    for number in range(5):
        record.commit("n", f"p{number}", [people.registered()])
    for start, size in ((f"/Observation?patient={patient}&_count=7", 7), ("/Patient?_count=2", 2)):
        seen, url = [], start
        while url:
            page = get(client, url)
            assert len(page.get("entry", ())) <= size
            seen += [entry["resource"]["id"] for entry in page.get("entry", ())]
            url = next((link["url"].split("/api/fhir")[1] for link in page["link"] if link["relation"] == "next"), "")
        assert len(seen) == len(set(seen)) == page["total"]


def test_patients_by_identifier(client, patient):
    for wanted in (pseudonym(patient), f"{fhir.PSEUDONYM}|{pseudonym(patient)}"):
        assert [entry["resource"]["id"] for entry in get(client, f"/Patient?identifier={wanted}")["entry"]] == [patient]
    assert "entry" not in get(client, "/Patient?identifier=P-0000000000")
    assert "entry" not in get(client, "/Patient?identifier=nothing")
    assert get(client, f"/Patient?_id={patient}")["total"] == 1
    assert get(client, "/Patient?_id=nobody")["total"] == 0


@pytest.mark.parametrize(("path", "status"), [
    ("/Patient/nobody", 404), ("/Patient/nobody/$everything", 404), ("/Patient/nobody/$shoe", 404), ("/Observation?patient=nobody", 404),
    ("/Observation", 400), ("/Shoe?patient=x", 404), ("/Observation/nobody.1.pain", 404), ("/Patient?name=x", 400), ("/Patient?_count=0", 400),
    ("/Observation/a..b", 404), ("/Patient?_count=%C2%B2", 400)])
def test_errors_are_outcomes(client, path, status):
    assert get(client, path, status)["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize("role", ["physician", "nurse", "researcher", "patient", "administrator"])
def test_every_route_by_every_role(client, patient, record, role):
    paths = {"/Patient": "/Patient", "/Patient/{patient}": f"/Patient/{patient}", "/Patient/{patient}/{operation}": f"/Patient/{patient}/$everything",
             "/{kind}": f"/Device?patient={patient}", "/{kind}/{identifier}": f"/Device/{patient}.14.device", "/metadata": "/metadata"}
    for (method, path), roles in RULES.items():
        inner = path.removeprefix(fhir_routes.PREFIX)
        headers = {"Authorization": f"Bearer {role}"}
        answer = (client.get(f"/api/fhir{paths[inner]}", headers=headers) if method == "GET" else
                  client.post("/api/fhir", headers=headers, json=fhir.bundle(record, patient)))
        allowed = role in roles or "public" in roles
        assert (answer.status_code != 403) == allowed, (method, path)
        if not allowed:
            assert "Exempla" not in answer.text
            assert fhir.checked(answer.json())["resourceType"] == "OperationOutcome"
    routes = {(method, route.path) for route in router(record, caller, prefix="/api/fhir").routes for method in route.methods}
    assert routes == set(RULES)


def test_nobody_reads_without_a_session(app, patient):
    bare = TestClient(app)
    assert {bare.get(f"/api/fhir{path}").status_code for path in ("/Patient", f"/Patient/{patient}", f"/Device?patient={patient}")} == {401}
    assert bare.post("/api/fhir", json={}).status_code == 401


def test_import(client, patient, record, tmp_path):
    bundle = fhir.bundle(record, patient, "transaction")
    assert client.post("/api/fhir", json=bundle).status_code == 409  # is there already
    there = Record.create(tmp_path / "there.sqlite")
    app = FastAPI()
    app.include_router(router(there, caller))
    other = TestClient(app, headers={"Authorization": "Bearer administrator"})
    for status in ("201 Created", "200 OK"):
        answer = other.post("/", json=bundle, headers={"Content-Type": "application/fhir+json"})
        (entry,) = fhir.checked(answer.json())["entry"]
        assert (entry["response"]["status"], entry["response"]["location"]) == (status, f"Patient/{patient}")
    assert [each["body"] for each in there.timeline(patient)] == [each["body"] for each in record.timeline(patient)]
    assert {each["actor"] for each in there.timeline(patient)} == {"administrator-1"}
    for broken in ({}, {"resourceType": "Bundle", "type": "x" * 3}, {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": {}}]}):
        answer = other.post("/", json=broken)
        assert answer.status_code == 400, answer.text
        assert answer.json()["issue"][0]["severity"] == "error"
    there.close()


@pytest.fixture
def address(app) -> str:
    """A real server on a free port of loopback."""
    door = socket.socket()
    door.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started and time.monotonic() < until:
        time.sleep(0.02)
    assert server.started
    yield f"http://127.0.0.1:{door.getsockname()[1]}/api/fhir"
    server.should_exit = True
    thread.join(10)
    door.close()


def test_fhirpy_reads_searches_and_imports(address, record, patient):
    client = SyncFHIRClient(address, authorization="Bearer physician")
    found = client.reference("Patient", patient).to_resource()
    assert found["name"][0]["family"] == "Exempla-Nova"
    wanted = fhir.resources(patient, record.timeline(patient))
    observations = client.resources("Observation").search(patient=patient).limit(10).fetch_all()  # over all pages
    assert [json.loads(json.dumps(each)) for each in observations] == [each for each in wanted if each["resourceType"] == "Observation"]
    everything = client.execute(f"Patient/{patient}/$everything", method="get")
    assert len(everything["entry"]) == len(wanted)
    device = client.resources("Device").search(patient=patient).first()
    assert device["serialNumber"] == "S1"
    with pytest.raises(ResourceNotFound):
        client.reference("Patient", "nobody").to_resource()

    bundle = fhir.bundle(record, patient, "transaction")
    with pytest.raises(OperationOutcome, match="in the record already"):
        client.execute("", method="post", data=bundle)
    other = {"resourceType": "Bundle", "type": "collection", "entry": [
        {"resource": {"resourceType": "Patient", "name": [{"family": "Neu", "given": ["Eva"]}], "birthDate": "1980-01-02"}}]}
    (entry,) = client.execute("", method="post", data=other)["entry"]
    assert record.identity(entry["response"]["location"].removeprefix("Patient/"))["family_name"] == "Neu"
    with pytest.raises(Exception, match="not for your role"):
        SyncFHIRClient(address, authorization="Bearer researcher").resources("Patient").fetch()
