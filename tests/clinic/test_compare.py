"""A patient's program as a case and back: what is known, what is filled in and said, and observed beside predicted after a small real run."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from tiny_case import TINY

import epidura as ep
from epidura import compare
from epidura.clinic import events, synthetic
from epidura.clinic.record import Record
from epidura.errors import BadInput

NOW = datetime(2026, 11, 20, 20, tzinfo=UTC)
SMALL = {"fibres": TINY["fibres"], "gate": "off", "firing": "off", "outcome": {"samples": 200}}


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    record = Record.create(tmp_path_factory.mktemp("clinic") / "demo.sqlite", clock=lambda: NOW)
    synthetic.populate(record, patients=60, years=2)
    yield record
    record.close()


@pytest.fixture
def patient(clinic) -> str:
    """Somebody with tonic stimulation of the back by one lead, seen after a month."""
    return next(one for one, state in clinic.states() if state["stage"] == "follow-up" and state["indication"] == "failed-back-surgery"
                and "month-1" in state.get("visits", {}) and state["generator"]["manufacturer"] in ("Abbott", "Boston Scientific")
                and sum(lead.get("out") is None for lead in state["leads"].values()) == 1)


def test_what_is_known_comes_from_the_record_and_the_rest_is_said(clinic, patient):
    state = clinic.state(patient)
    draft = compare.case_of(clinic, patient, "A")
    assert ep.read(draft.text) == draft.case
    assert draft.case.patient.pain.areas == tuple(state["pain_areas"])
    assert draft.case.patient.indication == "failed-back-surgery"
    assert draft.case.anatomy.vertebra == "T9"
    there = [lead for lead in state["leads"].values() if lead.get("out") is None]
    assert [lead.model for lead in draft.case.leads] == [lead["model"] for lead in there]
    assert draft.case.leads[0].implanted == (NOW.date() - date.fromisoformat(there[0]["on"])).days * 86400
    said = " ".join(draft.assumed)
    assert "the canal is the parametric default at T9" in said
    assert "midline" in said
    assert "level T9, as planned" in draft.known


def test_what_the_caller_knows_better_is_taken(clinic, patient):
    draft = compare.case_of(clinic, patient, "A", more={"anatomy": {"kind": "parametric", "vertebra": "T9", "dorsal_csf": "3 mm"}})
    assert draft.case.anatomy.dorsal_csf == pytest.approx(3e-3)
    assert not any("the canal" in words for words in draft.assumed)
    assert "anatomy: given by the caller" in draft.known


@pytest.mark.parametrize("indication", ["diabetic-neuropathy", "non-surgical-back"])
def test_what_people_are_treated_for_goes_into_the_case(clinic, indication):
    patient = next(one for one, state in clinic.states() if state.get("indication") == indication and state.get("programs"))
    draft = compare.case_of(clinic, patient, "A")
    assert draft.case.patient.indication == indication
    assert f"indication {indication}" in draft.known


def test_an_indication_that_cases_do_not_know_is_said(clinic, monkeypatch):
    patient = next(one for one, state in clinic.states() if state.get("indication") == "diabetic-neuropathy" and state.get("programs"))
    monkeypatch.setattr(compare, "indications", lambda: ("crps",))  # as with a record of a newer table
    draft = compare.case_of(clinic, patient, "A")
    assert draft.case.patient.indication is None
    assert any("diabetic-neuropathy" in words for words in draft.assumed)


def test_no_lead_and_no_program_are_refused(clinic, patient):
    with pytest.raises(BadInput, match="no such program is set"):
        compare.case_of(clinic, patient, "Z")
    explanted = next(one for one, state in clinic.states() if state["stage"] == "trial failed" and state.get("programs"))
    with pytest.raises(BadInput, match="no lead is in place"):
        compare.case_of(clinic, explanted, "A")
    with pytest.raises(BadInput, match="not simulated yet"):
        compare.compare(clinic, patient, "A")


def test_a_run_is_kept_and_laid_beside_what_was_felt(clinic, patient, tmp_path, monkeypatch):
    monkeypatch.setenv("EPIDURA_CACHE", str(tmp_path))
    done = compare.simulate(clinic, "nurse", patient, "A", more=SMALL, accuracy="fast", check_field=False)
    assert [each.kind for each in done.events] == ["case.linked"]
    found = compare.compare(clinic, patient, "A")
    assert found.current
    lines = {line.quantity: line for line in found.lines}
    state = clinic.state(patient)
    assert lines["perception_mA"].observed == state["programs"]["A"]["perception_mA"]
    assert 0.1 < lines["perception_mA"].predicted < 60
    assert lines["perception_mA"].difference == pytest.approx(lines["perception_mA"].predicted - lines["perception_mA"].observed, abs=1e-4)
    assert lines["amplitude_mA"].difference == pytest.approx(0, abs=1e-3)  # what was set is what was simulated
    assert lines["relief_1"].low <= lines["relief_1"].predicted <= lines["relief_1"].high
    nrs = state["visits"]["month-1"][0]["nrs"]
    assert lines["relief_1"].observed == pytest.approx(1 - nrs / state["trial"]["baseline_nrs"], abs=1e-4)
    assert any("the canal is the parametric default" in words for words in found.assumed)

    other = compare.program_from_case(ep.read(TINY), "tonic", on=NOW.date(), slot="A")
    clinic.commit("nurse", patient, [other.but(perception_mA=3.0)])
    after = compare.compare(clinic, patient, "A")
    assert not after.current  # another program is set by now
    assert {line.quantity: line.observed for line in after.lines}["perception_mA"] == 3.0


def test_a_corrected_program_is_the_one_that_is_simulated(clinic):
    patient = next(one for one, state in clinic.states() if state["stage"] == "trial running" and "A" in state.get("programs", {}))
    version = clinic.state(patient)["programs"]["A"]["version"]
    right = compare.program_from_case(ep.read(TINY), "tonic", on=NOW.date(), slot="A").model_dump(mode="json", exclude_unset=True)
    right["program"]["leads"] = []
    right["on"] = next(each["on"] for each in clinic.timeline(patient) if each["version"] == version)
    clinic.commit("nurse", patient, [events.Corrected(on=NOW.date(), version=version, why="another program", instead=right)])
    assert compare.case_of(clinic, patient, "A").case.programs[0].name == "tonic"


def test_a_simulated_program_becomes_a_draft_for_a_trial():
    case = ep.read(TINY)
    made = compare.program_from_case(case, "tonic", on=date(2026, 11, 20))
    assert (made.slot, made.perception_mA, made.set_mA) == ("tonic", None, None)
    assert made.program.programs[0] == case.programs[0]
    assert made.program.leads == case.leads
    with pytest.raises(BadInput, match="did you mean 'tonic'"):
        compare.program_from_case(case, "tonik", on=date(2026, 11, 20))
