"""What the diary and the room People ask for, without a browser."""

from __future__ import annotations

import json
import socket
import sys
from datetime import date
from pathlib import Path

import pytest

from epidura import cli_serve
from epidura.api import routes_web
from epidura.clinic import events as E
from epidura.errors import BadInput

sys.path.insert(0, str(Path(__file__).parents[1] / "clinic"))  # the clinic that the tests of REST have
from api_clinic import Clinic, wrong


@pytest.fixture
def clinic(tmp_path: Path) -> Clinic:
    return Clinic(tmp_path)


def test_a_patient_chooses_among_the_programs_that_are_set(clinic: Clinic) -> None:
    from clinic_course import course, write

    patient = write(clinic.record, course(date(2026, 1, 1))[:12])  # to the beginning of the trial, with one program
    other = clinic.patient()
    phone = clinic.browser("patient", patient)
    assert phone.get(f"/patients/{patient}/diary/choices").json() == {"slots": ["A"]}
    wrong(phone.get(f"/patients/{other}/diary/choices"), 404)
    wrong(clinic.browser("nurse").get(f"/patients/{patient}/diary/choices"), 403)
    clinic.record.commit("nurse", patient, [E.Unprogrammed(on=date(2026, 1, 13), slot="A")])
    assert phone.get(f"/patients/{patient}/diary/choices").json() == {"slots": []}


def test_latest_accesses_come_first_and_in_pages(clinic: Clinic) -> None:
    patient = clinic.patient()
    nurse, administrator = clinic.browser("nurse"), clinic.browser("administrator")
    for _ in range(3):
        nurse.get(f"/patients/{patient}")
    wrong(nurse.get("/people"), 403)
    found = administrator.get("/access/latest?limit=2").json()
    assert [(each["route"], each["status"]) for each in found["items"]] == [("/api/v1/people", 403), ("/api/v1/patients/{patient}", 200)]
    more = administrator.get(f"/access/latest?limit=200&before={found['next']}").json()
    ids = [each["id"] for each in (*found["items"], *more["items"])]
    assert ids == sorted(ids, reverse=True)
    assert len(set(ids)) == len(ids)
    assert more["next"] is None
    mine = administrator.get(f"/access/latest?patient={patient}&person={clinic.ids['nurse']}").json()["items"]
    assert [each["status"] for each in mine] == [200] * 3
    assert [each["route"] for each in administrator.get("/access/latest?refused=true").json()["items"]] == ["/api/v1/people"]
    wrong(nurse.get("/access/latest"), 403)
    wrong(administrator.get("/access/latest?patient=nobody"), 422)


def test_worker_changes_with_every_file_that_it_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser takes a worker that differs by a byte as a new one: so every change of the diary reaches the phone."""
    import shutil

    web = tmp_path / "web"
    shutil.copytree(Path(routes_web.__file__).parents[1] / "web", web)
    monkeypatch.setattr(routes_web, "files", lambda _: tmp_path)
    monkeypatch.setattr(routes_web, "find_spec", lambda _: None)
    read = routes_web.static.__wrapped__
    before = read()["/diary-worker.js"]
    assert read()["/diary-worker.js"].mark == before.mark
    (web / "diary" / "words.js").write_text((web / "diary" / "words.js").read_text() + "\n")
    after = read()["/diary-worker.js"]
    assert after.mark != before.mark
    listed = json.loads(after.content.decode().partition("const FILES = ")[2].partition(";\n")[0])
    assert listed["/web/diary/words.js"] == read()["/web/diary/words.js"].mark
    (web / "rooms" / "clinic.js").write_text("")  # of the workbench: no business of a phone
    assert read()["/diary-worker.js"].mark == after.mark


def test_who_comes_before_the_server_is_ready_waits_and_is_not_refused() -> None:
    listener = cli_serve._listen("127.0.0.1", 0)
    try:
        socket.create_connection(listener.getsockname(), timeout=5).close()
        with pytest.raises(BadInput, match="cannot listen"):
            cli_serve._listen("127.0.0.1", listener.getsockname()[1])
    finally:
        listener.close()
