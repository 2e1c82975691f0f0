"""Gates of the pathway: nothing of the last course is lost from sight or counts for the next one, and what was not asked bars."""

from __future__ import annotations

from datetime import timedelta

import pytest
from clinic_course import START, checked, course, planned, write

from epidura.clinic import events as ev
from epidura.clinic import pathway
from epidura.clinic.selection import Findings


def test_a_failed_trial_ends_with_nothing_in_place_and_a_new_course_owes_nothing_to_it(record):
    """A new referral or assessment would lose a lead from sight that is still there; a whole explant is one way to take it out."""
    def failed(explant: bool) -> str:
        end = [*course()[:15], ev.Judged(on=START + timedelta(days=19), succeeded=False)]
        patient = write(record, end)
        later = START + timedelta(days=30)
        again = ev.Assessed(on=later, findings=Findings(indication="failed-back-surgery"))
        for each in (ev.Referred(on=later, indication="crps"), again):
            with pytest.raises(pathway.Refused, match="there is lead left: record its removal first"):
                record.commit("n", patient, [each])
        record.commit("n", patient, [ev.Explanted(on=later, reason="wish") if explant else ev.LeadOut(on=later, lead="left")])
        assert not pathway.implanted_leads(record.state(patient))
        if not explant:
            with pytest.raises(pathway.Refused, match="no lead is in place"):
                record.commit("n", patient, [ev.Explanted(on=later, reason="wish")])
        record.commit("n", patient, [again])
        return patient

    assert record.state(failed(explant=True))["explant"]["after"] == "trial"
    patient = failed(explant=False)
    day = START + timedelta(days=31)
    record.commit("n", patient, [course(day)[3], course(day)[4], course(day)[5]])
    with pytest.raises(pathway.Refused) as refused:  # consent, plan and bundle of the first trial stage do not count
        record.commit("n", patient, [ev.LeadIn(on=START + timedelta(days=40), stage="trial", lead="right", model="octrode", level="T9")])
    assert [words.split(":")[0] for words in refused.value.missing] == [
        "consent", "no plan of the trial procedure (procedure.planned)",
        "no bundle against infection was ticked for the trial procedure (infection.checked)"]


def test_each_operation_has_its_own_plan_and_bundle(record):
    """Somebody may take a drug on clotting by the time a battery is empty: the plan of the first operation says nothing of it."""
    patient = write(record, course()[:22])
    later = START + timedelta(days=900)
    exchange = [ev.GeneratorOut(on=later, replaced=True, reason="battery"), ev.GeneratorIn(on=later, model="proclaim-xr-5", site="abdomen")]
    with pytest.raises(pathway.Refused) as refused:
        record.commit("n", patient, exchange)
    assert len(refused.value.missing) == 2
    assert all("operation of 2024-01-24: " in words for words in refused.value.missing)
    with pytest.raises(pathway.Refused, match="the plan of the implant procedure is of") as refused:
        record.commit("n", patient, [checked("implant", later), *exchange])
    assert len(refused.value.missing) == 1
    lead = ev.LeadIn(on=later, stage="implant", lead="right", model="octrode", level="T9")  # on the same day: the same operation
    record.commit("n", patient, [planned("implant", later), checked("implant", later), *exchange, lead])


def test_the_log_of_programs_has_the_charge_of_a_phase(record):
    """4 mA through one contact for 300 us is 1.2 uC; a figure that came with the event stays."""
    patient = write(record, course()[:10])
    one = {"name": "A", "waveform": {"kind": "tonic", "frequency": "50 Hz", "pulse_width": "300 us"}, "contacts": {"3": -1, "4": 0.5, "5": 0.5}}
    other = {"waveform": {"kind": "tonic", "frequency": "30 Hz", "pulse_width": "500 us"}, "contacts": {"1": -1, "case": 1}, "amplitude": "5 mA"}

    def charge(program: dict, **more) -> dict:
        record.commit("n", patient, [ev.Programmed.model_validate({
            "on": START + timedelta(days=10), "slot": "A", "program": {"format": "epidura-program/1", "title": "A", "programs": [program]}, **more})])
        return record.timeline(patient)[-1]["body"].get("charge", {})

    assert charge({**one, "amplitude": "4 mA"}) == {"charge_per_phase_uC": pytest.approx(1.2)}
    assert charge({**one, "amplitude": "4 mA"}, set_mA=2.0) == {"charge_per_phase_uC": pytest.approx(0.6)}  # what was left with the patient
    assert charge({**one, "amplitude": "50 % of perception"}, perception_mA=3.0) == {"charge_per_phase_uC": pytest.approx(0.45)}
    assert charge({**one, "amplitude": "4 mA", "interleaved": [other]}) == {"charge_per_phase_uC": pytest.approx(2.5)}
    assert charge({**one, "amplitude": "3 V", "sources": "single"}) == charge({**one, "amplitude": "50 % of perception"}) == {}
    assert charge({**one, "amplitude": "4 mA"}, charge={"charge_per_phase_uC": 1.19, "battery_years": 7.5}) == {
        "charge_per_phase_uC": 1.19, "battery_years": 7.5}


def test_nobody_is_selected_with_a_contraindication_that_was_not_asked_about(record):
    """What was not answered is missing and never normal; the team may set it aside by its name."""
    patient = write(record, course()[:5])
    chosen = course()[5]
    unasked = tuple(name for name in chosen.despite if name.startswith("contraindication-"))
    assert "contraindication-active-infection" in unasked
    with pytest.raises(pathway.Refused) as refused:
        record.commit("n", patient, [chosen.model_copy(update={"despite": tuple(name for name in chosen.despite if name not in unasked)})])
    assert len(refused.value.missing) == len(unasked)
    assert all(words.startswith("not answered: ") for words in refused.value.missing)
    record.commit("n", patient, [chosen])
