"""Before the procedure: no date without a signature, missing is said, and nothing is ok by silence."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epidura.clinic import procedure as pr
from epidura.errors import BadInput
from epidura.recipe import read_recipe
from epidura.tables import EVIDENCE, table

AT = datetime(2026, 3, 20, 9, 0)
ON = date(2026, 3, 1)
WHO = {"name": "Dr. A. Example", "role": "consultant anaesthetist", "registration": "0000000"}
NAMES = [one.drug for one in pr.drugs()]


def hold(name: str = "warfarin", **more) -> pr.Hold:
    """Made-up times: nobody reads a hold time out of a test."""
    return pr.Hold(**{"drug": name, "stop_before": "31 h", "restart_after": "17 h", "source_read": "made up for a test", "tests": "test T"} | more)


def signed(name: str = "warfarin", on: date = date(2026, 2, 1), review_by: date = date(2027, 2, 1), **more) -> pr.AnticoagulantTable:
    return pr.shipped().fill(hold(name, **more)).sign(name, **WHO, on=on, review_by=review_by)


def one_line(rows: pr.AnticoagulantTable, name: str = "warfarin", procedure: datetime = AT, on: date | datetime = ON) -> pr.HoldLine:
    (line,) = pr.plan([name], procedure, rows, on)
    return line


@pytest.mark.parametrize("name", ["anticoagulants", "infection_bundle", "antibiotic_timing"])
def test_every_row_has_evidence_and_source(name):
    for row in table(name):
        assert row["evidence"] in EVIDENCE, row
        assert row["source"], row


# drugs on clotting

def test_no_hold_time_is_shipped():
    text = (files("epidura") / "data" / "anticoagulants.csv").read_text("utf-8")
    assert set(table("anticoagulants").rows[0]) == {"drug", "class", "guideline", "evidence", "source", "doi_or_url", "note"}
    assert not re.search(r"\b\d+(-\d+)? ?(h|d|hours|days|half-lives)\b", text)
    assert pr.shipped().rows == pr.shipped().signatures == ()
    assert {"warfarin", "apixaban", "clopidogrel", "aspirin, secondary prevention", "LMWH therapeutic"} <= set(NAMES)
    assert all(one.doi_or_url.startswith("10.") for one in pr.drugs())


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_row_gives_no_date_and_says_what_to_read(name):
    line = one_line(pr.shipped(), name)
    assert (line.state, line.last_dose, line.restart) == ("empty", None, None)
    assert "10.1097/AAP.0000000000000700" in line.to_do


def test_a_signed_row_gives_both_dates_with_the_signature():
    line = one_line(signed())
    assert line.last_dose == AT - timedelta(hours=31)
    assert line.restart == AT + timedelta(hours=17)
    assert line.tests == "test T"
    assert "Dr. A. Example, consultant anaesthetist, 0000000, 2026-02-01" in line.signed


@pytest.mark.parametrize(("rows", "state"), [
    (pr.shipped().fill(hold()), "unsigned"), (signed().fill(hold(stop_before="32 h")), "changed"), (signed().fill(hold(tests="")), "changed"),
    (signed(on=date(2026, 3, 2)), "future"), (signed(review_by=date(2026, 3, 19)), "expired"), (signed("apixaban"), "empty"),
])
def test_any_other_row_gives_no_date(rows, state):
    line = one_line(rows)
    assert (line.state, line.last_dose, line.restart, line.signed) == (state, None, None, "")
    assert line.to_do


def test_a_changed_row_opens_again_with_a_new_signature_only():
    changed = signed().fill(hold(stop_before="32 h"))
    again = changed.sign("warfarin", **WHO, on=date(2026, 2, 10), review_by=date(2027, 2, 1))
    assert one_line(again).last_dose == AT - timedelta(hours=32)
    assert one_line(signed().fill(hold())).state == "planned"  # the same words again are what was signed


@given(st.sampled_from(NAMES), st.sampled_from(NAMES), st.integers(0, 2000), st.dates(date(2025, 1, 1), date(2028, 1, 1)), st.booleans(),
       st.booleans())
def test_a_date_needs_a_valid_signature_of_that_very_row(filled, taken, hours, on, signs, changes):
    rows = pr.shipped().fill(hold(filled, stop_before=f"{hours + 1} h"))
    if signs:
        rows = rows.sign(filled, **WHO, on=on, review_by=on + timedelta(days=365))
    if changes:
        rows = rows.fill(hold(filled, stop_before=f"{hours + 2} h"))
    line = one_line(rows, taken)
    valid = signs and not changes and filled == taken and on <= ON and on + timedelta(days=365) >= AT.date()
    assert (line.state == "planned") == valid
    assert (line.last_dose is not None) == (line.restart is not None) == valid


def test_a_signature_names_somebody_and_an_empty_row_cannot_be_signed():
    for field in WHO:
        with pytest.raises(BadInput, match="named clinician"):
            read_recipe(pr.RowSignature, {"drug": "warfarin", "row": "x", "on": "2026-02-01", "review_by": "2027-02-01", **WHO, field: " "})
    with pytest.raises(BadInput, match="fill it first"):
        pr.shipped().sign("warfarin", **WHO, on=ON, review_by=date(2027, 1, 1))
    with pytest.raises(BadInput, match="after 2026-03-01"):
        read_recipe(pr.RowSignature, {"drug": "warfarin", "row": "x", "on": ON, "review_by": ON, **WHO})


def test_warnings_of_a_plan():
    late = one_line(signed(), on=date(2026, 3, 20))
    assert any("already have been taken" in words for words in late.warnings)
    assert not any("already" in words for words in one_line(signed(), on=date(2026, 3, 19)).warnings)
    assert any("look at the hour" in words for words in one_line(signed(), on=date(2026, 3, 19)).warnings)
    assert len(one_line(signed(), on=date(2026, 3, 18)).warnings) == 1
    assert any("already" in words for words in one_line(signed(), on=datetime(2026, 3, 19, 3, 0)).warnings)
    goes_on = one_line(signed(stop_before="0 h"))
    assert (goes_on.state, goes_on.last_dose) == ("planned", None)
    assert any("goes on" in words for words in goes_on.warnings)
    two = pr.plan(["warfarin", "aspirin, primary prevention"], AT, signed(), ON)
    assert all(any("several drugs" in words for words in line.warnings) for line in two)
    assert any("poor kidney" in words for words in one_line(signed(conditions="poor kidney")).warnings)


def test_an_unknown_drug_is_refused_with_the_nearest():
    line = one_line(signed(), "warfarine")
    assert line.state == "unknown"
    assert line.last_dose is None
    assert "warfarin" in line.to_do
    with pytest.raises(BadInput, match="after the procedure"):
        pr.plan(["warfarin"], AT, signed(), date(2026, 3, 21))


@pytest.mark.parametrize("bad", [{"stop_before": 31}, {"stop_before": "-1 h"}, {"source_read": ""}, {"drug": "water"}])
def test_bad_rows_are_refused(bad):
    with pytest.raises(BadInput):
        read_recipe(pr.Hold, {"drug": "warfarin", "stop_before": "31 h", "restart_after": "17 h", "source_read": "made up", **bad})


def test_the_table_round_trips_with_its_signatures():
    again = read_recipe(pr.AnticoagulantTable, signed().model_dump(mode="json"))
    assert again == signed()
    assert one_line(again).state == "planned"


# infection bundle

def test_bundle_by_phase_and_by_tick():
    rows = table("infection_bundle")
    assert [one.group for one in pr.InfectionBundle().checks()] == rows.column("phase")
    assert set(rows.column("phase")) == set(pr.PHASES)
    assert {one.state for one in pr.InfectionBundle().checks()} == {"missing"}
    done = pr.InfectionBundle(ticks={"clip": pr.Tick(state="done", by="N", on=ON), "skin": pr.Tick(state="not done", note="allergy"),
                                     "mrsa-screen": pr.Tick(state="not applicable", note="other country")})
    states = {one.id: one.state for one in done.checks()}
    assert (states["clip"], states["skin"], states["mrsa-screen"], states["dressing"]) == ("ok", "warning", "not applicable", "missing")
    assert [one.id for one in done.checks("post-op")] == ["dressing", "stop-antibiotic"]
    for bad in ({"state": "done"}, {"state": "done", "by": "N"}, {"state": "not done"}, {"state": "not applicable"}):
        with pytest.raises(BadInput):
            read_recipe(pr.Tick, bad)
    with pytest.raises(BadInput, match="clip"):
        read_recipe(pr.InfectionBundle, {"ticks": {"clips": {"state": "not done", "note": "x"}}})
    with pytest.raises(BadInput, match="pre-op"):
        done.checks("preop")


@pytest.mark.parametrize(("drug", "minutes", "state"), [
    ("cefazolin", 29, "warning"), ("cefazolin", 30, "ok"), ("cefazolin", 60, "ok"), ("cefazolin", 61, "warning"), ("cefazolin", -5, "warning"),
    ("Vancomycin", 60, "warning"), ("vancomycin", 120, "ok"), ("vancomycin", 200, "warning"),
])
def test_timing_of_the_antibiotic(drug, minutes, state):
    found = pr.antibiotic_timing(drug, AT - timedelta(minutes=minutes), AT)
    assert found.state == state
    assert found.source
    assert "min before the incision" in found.words


def test_timing_that_is_not_known():
    assert pr.antibiotic_timing("cefazolin", None, AT).state == "missing"
    assert "the drug" in pr.antibiotic_timing(" ", AT, AT).words
    with pytest.raises(BadInput, match="zone"):
        pr.antibiotic_timing("cefazolin", AT.astimezone(), AT)


# consent

def consent(stage="trial", **more) -> pr.Consent:
    return pr.Consent(**{"stage": stage, "text_version": "3", "language": "en", "risks": tuple(pr.risks_to_name()), "explained_by": "Dr. B",
                         "role": "surgeon", "explained_on": date(2026, 2, 1), "signed_on": date(2026, 2, 2), "alternatives": True,
                         "reversibility": True} | more)


def states(consents: list[pr.Consent], stage="trial") -> list[str]:
    return [one.state for one in pr.consent_checks(consents, stage, ON)]


def test_consent_to_the_trial_is_none_to_the_implant():
    assert states([consent()]) == ["ok"]
    assert states([consent()], "implant") == ["refused"]
    assert states([]) == ["refused"]
    assert states([consent(signed_on=None)]) == ["refused"]
    assert states([consent(withdrawn_on=date(2026, 2, 20))]) == ["refused"]
    assert states([consent(withdrawn_on=date(2026, 3, 2))]) == ["ok"]
    assert states([consent(), consent(explained_on=date(2026, 2, 10), signed_on=None)]) == ["refused"]


def test_consent_names_every_risk_that_the_table_marks():
    assert {"infection", "haematoma", "migration", "fracture", "dural-puncture", "pocket-pain", "neurological"} <= set(pr.risks_to_name())
    for kind in pr.risks_to_name():
        found = pr.consent_checks([consent(risks=tuple(set(pr.risks_to_name()) - {kind}))], "trial", ON)
        assert [one.state for one in found] == ["ok", "missing"]
        assert pr.risks_to_name()[kind] in found[1].words
    assert states([consent(alternatives=False, reversibility=False)]) == ["ok", "missing", "missing"]
    with pytest.raises(BadInput, match="infection"):
        read_recipe(pr.Consent, consent().model_dump(mode="json") | {"risks": ["infections"]})
    with pytest.raises(BadInput, match="2026-02-01 or later"):
        read_recipe(pr.Consent, consent().model_dump(mode="json") | {"signed_on": "2026-01-01"})


# allergies, anaesthesia, planning

def test_allergies_are_asked_about_and_meet_the_plan():
    none = pr.Allergies(answers=dict.fromkeys(pr.SUBSTANCES, "no"))
    assert [one.state for one in none.checks()] == ["ok"]
    assert [one.state for one in pr.Allergies().checks()] == ["missing"]
    latex = none.but(answers={**none.answers, "latex": "yes"}, reactions={"cefazolin": "rash"})
    assert [one.state for one in latex.checks(["Cefazolin 2 g"])] == ["warning", "refused"]
    assert [one.state for one in latex.checks(["lidocaine"])] == ["warning"]


def test_anaesthesia():
    assert [one.state for one in pr.Anaesthesia(kind="local", by="Dr. C").checks()] == ["ok"]
    assert [one.id for one in pr.Anaesthesia(kind="general", fasting=True, by="Dr. C").checks()] == ["feedback"]
    sedated = pr.Anaesthesia(kind="local with sedation").checks()
    assert [(one.id, one.state) for one in sedated] == [("anaesthesia", "missing"), ("fasting", "missing")]


def test_levels():
    assert pr.levels_in("T8-T9 (T7-T10)") == ("T7", "T8", "T9", "T10")
    assert pr.levels_in("conus T11-L1, or sacral S2-S4") == ("T11", "T12", "L1", "S2", "S3", "S4")
    assert pr.levels_in("") == ()
    assert any(row["pain_target"] == "low back axial (tonic)" for row in pr.levels_for("low back"))
    whole = {"target": "low back axial (tonic)", "target_level": "T8", "entry_level": "L1", "side": "midline", "leads": 2, "imaging": "MRI"}
    assert [one.state for one in pr.Planning(**whole).checks("trial")] == ["ok"]
    assert [one.state for one in pr.Planning(**whole).checks("implant")] == ["missing", "ok"]
    assert [one.state for one in pr.Planning(**whole | {"target_level": "C5"}).checks("trial")] == ["warning"]
    assert [one.id for one in pr.Planning(**whole | {"entry_level": "T8"}).checks("trial")] == ["level", "entry"]
    assert "entry level" in pr.Planning().checks("trial")[0].words
    for bad in ({"target_level": "T13"}, {"target": "back"}):
        with pytest.raises(BadInput):
            read_recipe(pr.Planning, bad)


def test_every_published_level_can_be_read():
    for row in table("lead_levels"):
        text = row["vertebral_level_of_active_cathode"]
        assert not text or pr.levels_in(text), row


def test_a_case_is_linked_by_its_text_and_digest():
    link = pr.CaseLink(text="title: A\n")
    assert len(link.digest) == 64
    assert read_recipe(pr.CaseLink, link.model_dump(mode="json")) == link
    with pytest.raises(BadInput, match="the case was changed"):
        read_recipe(pr.CaseLink, {"text": "title: B\n", "digest": link.digest})


def test_ready_lists_all_and_is_ok_only_when_all_is():
    empty = pr.ready(pr.Preparation(), "trial", AT, pr.shipped(), ON)
    assert "ok" not in {one.state for one in empty}
    whole = pr.Preparation(
        planning=pr.Planning(target_level="T8", entry_level="L1", side="midline", leads=1, imaging="MRI"), consents=(consent(),),
        bundle=pr.InfectionBundle(ticks={row["id"]: pr.Tick(state="done", by="N", on=ON) for row in table("infection_bundle")}),
        allergies=pr.Allergies(answers=dict.fromkeys(pr.SUBSTANCES, "no")), anaesthesia=pr.Anaesthesia(kind="local", by="Dr. C"), takes=("warfarin",),
        antibiotic="cefazolin")
    assert {one.state for one in pr.ready(whole, "trial", AT, signed(), ON)} == {"ok"}
    locked = [one for one in pr.ready(whole, "trial", AT, pr.shipped(), ON) if one.state != "ok"]
    assert [(one.id, one.state) for one in locked] == [("clotting", "refused")]
    assert not re.search(r"\d{4}-\d\d-\d\d", locked[0].words)
    assert "refused" in {one.state for one in pr.ready(whole, "implant", AT, signed(), ON)}
    assert {one.state for one in pr.ready(whole.but(takes=[]), "trial", AT, pr.shipped(), ON)} == {"ok"}
