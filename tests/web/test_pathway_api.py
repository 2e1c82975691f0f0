"""The room of the pathway without a browser: its page, its lists, the schemas of its forms, who may."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from clinic.api_clinic import SECRETS, Clinic, wrong

from epidura import compare, patient_view
from epidura.clinic import events as E
from epidura.clinic import synthetic
from epidura.clinic.pathway import STAGES
from epidura.clinic.record import Committed, Record, pseudonym


@pytest.fixture
def clinic(tmp_path: Path) -> Iterator[Clinic]:
    clinic = Clinic(tmp_path)
    yield clinic
    clinic.record.close()


def test_every_kind_has_words_and_a_schema_that_explains_itself() -> None:
    assert set(patient_view._WORDS) == set(E.kinds())
    for kind in E.kinds():
        schema = patient_view.schema_of(kind)
        assert schema["properties"]["kind"]["const"] == kind
        assert "Attributes" not in json.dumps(schema), kind
    assert patient_view.schema_of("trial.begun")["properties"]["baseline_nrs"]["description"] == "average pain before, NRS."
    assert patient_view.schema_of("visit.recorded")["properties"]["battery"]["description"] == "of full, a fraction."


def test_lists_name_what_the_record_takes() -> None:
    lists = patient_view.lists()
    E.read({"kind": "assessment.recorded", "on": "2026-05-01", "findings": {
        "psychosocial": {each["id"]: "none" for each in lists["psychosocial"]},
        "contraindications": {each["id"]: "no" for each in lists["contraindications"]},
        "screens": {each["id"]: each["low"] for each in lists["screens"]}, "indication": lists["indications"][0]["id"]}})
    for each in lists["subkinds"]:
        E.read({"kind": "complication.recorded", "on": "2026-05-01", "name": "x", "complication": {
            "kind": each["of"], "subkind": each["id"], "stage": "trial", "onset": "2026-05-01", "description": "x"}})
    for each in lists["rules"]:
        assert E.read({"kind": "trial.begun", "on": "2026-05-01", "baseline_nrs": 7, "rule": each["id"]}).rule == each["id"]
    assert all(each["name"] for entries in lists.values() for each in entries if entries is not lists["subkinds"])


def test_the_page_of_a_patient_says_who_wrote_and_keeps_what_was_corrected(clinic: Clinic) -> None:
    patient, nurse = clinic.patient(), clinic.browser("nurse")
    clinic.record.commit(clinic.ids["physician"], patient, [E.read({
        "kind": "record.corrected", "on": "2026-05-01", "version": 2, "why": "misheard",
        "instead": {"on": "2026-01-03", "indication": "crps", "nrs": 6}})])
    found = nurse.get(f"/patients/{patient}/pathway").json()
    assert found["name"] == f"{SECRETS['given']} {SECRETS['family']}"
    referral = next(each for each in found["timeline"] if each["kind"] == "referral.received")
    assert referral["words"].startswith("failed back surgery, low back, pain 7 of 10")
    correction = referral["corrected"]
    assert (correction["who"], correction["why"], correction["words"]) == ("A physician", "misheard", "crps, pain 6 of 10")
    assert found["state"]["indication"] == "crps"
    assert "diary.recorded" not in {each["kind"] for each in found["timeline"]}
    assert [day["average"] for day in found["diary"]] == [6]
    kinds = {each["kind"]: each for each in found["next"]}
    assert kinds["referral.received" if "referral.received" in kinds else "assessment.recorded"]["missing"] == []
    assert "selection.decided" not in kinds
    assert not {"patient.registered", "patient.erased", "record.corrected"} & set(kinds)
    assert [each["name"] for each in found["steps"] if each["state"] == "now"] == ["referred"]


def test_a_decision_is_marked_as_a_physicians_with_what_it_lacks(clinic: Clinic) -> None:
    patient = clinic.patient()
    clinic.record.commit("x", patient, [E.read({"kind": "assessment.recorded", "on": "2026-05-01", "findings": {"age": 60}})])
    found = clinic.browser("nurse").get(f"/patients/{patient}/pathway").json()
    decision = next(each for each in found["next"] if each["kind"] == "selection.decided")
    assert decision["physician"] is True
    assert decision["missing"]
    assert {item["state"] for item in found["checklist"]["items"]} >= {"missing"}


def test_patients_are_found_by_name_and_every_name_read_is_written_down(clinic: Clinic) -> None:
    first, second = clinic.patient(), clinic.patient("Othername")
    nurse = clinic.browser("nurse")
    found = nurse.get("/pathway/patients?words=othern").json()
    assert [each["id"] for each in found["items"]] == [second]
    assert found["next"] is None
    assert {row["patient"] for row in clinic.seen() if row["route"].endswith("/pathway/patients")} == {second, ""}
    assert [each["id"] for each in nurse.get(f"/pathway/patients?words={pseudonym(first)}").json()["items"]] == [first]
    one = nurse.get("/pathway/patients?limit=1").json()
    rest = nurse.get(f"/pathway/patients?limit=1&after={one['next']}").json()
    assert {each["id"] for each in one["items"] + rest["items"]} == {first, second}
    assert nurse.get("/pathway/patients?words=nobody").json()["items"] == []
    assert nurse.get("/pathway/patients?stage=explanted").json()["items"] == []


@pytest.mark.parametrize("role", ["researcher", "administrator", "patient"])
def test_names_are_for_those_who_treat(clinic: Clinic, role: str) -> None:
    patient = clinic.patient()
    browser = clinic.browser(role, patient)
    for path in ("/pathway/patients", f"/patients/{patient}/pathway", f"/patients/{patient}/case?slot=A"):
        answer = browser.get(path)
        wrong(answer, 403)
        assert SECRETS["family"] not in answer.text


def test_after_an_erasure_the_page_has_no_name_and_no_free_word(clinic: Clinic) -> None:
    patient = clinic.patient()
    clinic.record.erase("x", patient, "GDPR Art. 17", "request")
    answer = clinic.browser("nurse").get(f"/patients/{patient}/pathway")
    assert answer.json()["name"] == ""
    for secret in SECRETS.values():
        assert secret not in answer.text


def test_a_kind_or_a_program_that_is_not_there_is_said(clinic: Clinic) -> None:
    patient, nurse = clinic.patient(), clinic.browser("nurse")
    assert "visit.recorded" in wrong(nurse.get("/event-kinds/visit.record/schema"), 404)["hint"]
    assert wrong(nurse.get(f"/patients/{patient}/case?slot=A"), 422)["where"] == "slot"


@pytest.fixture(scope="module")
def living(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    """A clinic with somebody at every stage."""
    clinic = Clinic(tmp_path_factory.mktemp("living"))
    synthetic.populate(clinic.record, patients=60, years=1)
    yield clinic
    clinic.record.close()


def test_everybody_has_a_page_at_every_stage(living: Clinic) -> None:
    seen = set()
    for each in living.record.patients(limit=200):
        found = patient_view.view(living.record, each["id"], living.clock.at.date())
        seen.add(found["stage"])
        assert sum(step["state"] == "now" for step in found["steps"]) == (found["stage"] != "registered"), found["stage"]
        assert all(one["words"] for one in found["timeline"] if not one["sealed"])
        if found["state"].get("trial"):
            assert "specificity 8 %" in found["verdict"]["caveat"]["words"]
        if found["state"].get("programs"):
            assert [one["slot"] for one in found["programs"] if one["last"] is None] == list(found["state"]["programs"])
    assert set(STAGES) - seen <= {"revised", "explanted"}  # which take more than this year


def test_a_program_opens_as_a_case_and_its_simulation_stands_beside_what_was_felt(living: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    patient = next(one for one, state in living.record.states() if state.get("programs") and state["stage"] == "follow-up")
    nurse = living.browser("nurse")
    draft = nurse.get(f"/patients/{patient}/case?slot=A").json()
    assert draft["case"]["programs"]
    assert any("parametric default" in words for words in draft["assumed"])
    assert wrong(nurse.post(f"/patients/{patient}/simulation", {"slot": "Z"}), 422)["where"] == "slot"

    def simulate(record: Record, actor: str, patient: str, slot: str, **run: object) -> Committed:
        """What it predicts is tested in tests/clinic/test_compare.py; here nothing is computed."""
        case = compare.case_of(record, patient, slot)
        return record.commit(actor, patient, [E.Linked.model_validate({"on": record.clock().date(), "slot": slot, "case": {"text": case.text},
                                                                        "predicted": {"perception_mA": 2.5}, "why": "assumed: the canal"})])

    monkeypatch.setattr(compare, "simulate", simulate)
    job = nurse.post(f"/patients/{patient}/simulation", {"slot": "A"})
    assert job.status_code == 202
    while (now := nurse.get(f"/jobs/{job.json()['id']}").json())["state"] in ("waiting", "running"):
        pass
    assert now["state"] == "done", now
    found = nurse.get(f"/patients/{patient}/pathway").json()
    line = next(each for each in found["compared"]["A"]["lines"] if each["quantity"] == "perception_mA")
    assert line["predicted"] == 2.5
    assert line["observed"] == found["state"]["programs"]["A"]["perception_mA"]
    assert found["compared"]["A"]["assumed"] == ["the canal"]
    assert found["timeline"][-1]["who"] == "A nurse"


def test_programs_end_where_the_next_begins() -> None:
    def told(version: int, kind: str, on: str, **body: object) -> dict[str, object]:
        return {"version": version, "kind": kind, "on": on, "body": body}

    found = patient_view.programs([
        told(1, "program.set", "2026-05-01", slot="A", set_mA=3.0), told(2, "program.set", "2026-05-03", slot="B"),
        told(3, "program.set", "2026-05-06", slot="A"), told(4, "program.removed", "2026-05-08", slot="B")], {}, date(2026, 5, 9))
    assert [(each["slot"], each["first"], each["last"]) for each in found] == [
        ("A", "2026-05-01", "2026-05-05"), ("B", "2026-05-03", "2026-05-07"), ("A", "2026-05-06", None)]
