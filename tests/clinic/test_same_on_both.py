"""What is read of a record is the same whichever database it is on, and goes from one to the other as FHIR."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import fhir_people as people

from epidura import fhir
from epidura.clinic import research, sheets, views
from epidura.clinic.record import Record, new_id

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)


def test_views_tables_research_and_fhir_are_the_same_on_both_databases(postgres, tmp_path):
    patient = new_id()
    light = Record.create(tmp_path / "a.sqlite", clock=lambda: NOW)
    heavy = Record.create(postgres(), tmp_path / "b.key", clock=lambda: NOW)
    for record in (light, heavy):
        record.commit("nurse-1", patient, people.course())
    first, second = (views.overview(record, NOW.date()).as_dict() for record in (light, heavy))
    assert first == second
    assert first["explants"]["explants"] == 1
    assert views.tables(light) == views.tables(heavy)
    assert views.trends(light, patient) == views.trends(heavy, patient)
    written = [sheets.export(record, tmp_path / name, "csv", NOW.date()) for name, record in (("light", light), ("heavy", heavy))]
    assert all(path.read_bytes() == written[1][name].read_bytes() for name, path in written[0].items())
    told = [research.export(record, tmp_path / f"{name} research", dates="relative") for name, record in (("light", light), ("heavy", heavy))]
    assert told[0].rows == told[1].rows
    assert told[0].people == 1

    other = Record.create(tmp_path / "c.sqlite", clock=lambda: NOW)
    done = fhir.load(other, "importer", json.loads(json.dumps(fhir.bundle(heavy, patient))))
    assert done.patient == patient
    assert [(each["kind"], each["on"], each["body"]) for each in other.timeline(patient)] == [
        (each["kind"], each["on"], each["body"]) for each in heavy.timeline(patient)]
    for record in (light, heavy, other):
        assert record.verify().breaks == ()
        record.close()
