"""The outcome of one person."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from epidura import outcome_page
from epidura.case import read
from epidura.errors import BadCase
from epidura.evidence.posterior import posterior
from epidura.outcome import DRIVERS, MONTHS, PARTS, predict_outcome, reach_factor, therapy_of
from epidura.outlook import Outlook
from epidura.patient import Patient
from epidura.program import Program
from epidura.reach import Reach, reference
from epidura.recipe import read_recipe
from epidura.report import _figure, _table
from epidura.tables import table

PERSON = {"age": 54, "indication": "failed-back-surgery", "pain": {"areas": ["low-back"], "nrs": 8}}
FEW = Outlook(samples=4000)


def person(**changes: object) -> Patient:
    found: Patient = read_recipe(Patient, {**PERSON, **changes})
    return found


def program(name: str = "tonic", **waveform: object) -> Program:
    found: Program = read_recipe(Program, {"name": name, "contacts": {"4": -1, "5": 1},
                                           "waveform": waveform or {"kind": "tonic", "frequency": "50 Hz", "pulse_width": "300 us"}})
    return found


def reach(**changes: object) -> Reach:
    usual = {"program": "tonic", "felt": True, "coverage": 0.6, "coverable": 0.8, "spill": 0.1, "usage_range": 1.4, "margin": 0.8, "recruited": 0.01,
             "inhibition": {"none": 0.0}, "closing": 3.0, "amplitude": 2e-3, "perception": 1.5e-3, "discomfort": 2.2e-3}
    return Reach(**{**usual, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def found() -> xr.Dataset:
    return predict_outcome(person(), [program()], [reach()], FEW)


def test_pain_stays_on_its_scale_and_begins_with_that_of_today(found: xr.Dataset) -> None:
    assert (found.pain.values >= 0).all()
    assert (found.pain.values <= 10).all()
    assert (found.pain.isel(month=0) == 8).all()
    assert (found.pain.diff("quantile") >= 0).all()


def test_it_agrees_with_the_model_of_trials(found: xr.Dataset) -> None:
    """People of one baseline, reach factor 1 on average: the same shares as an arm whose baseline hardly spreads, over the same draws."""
    from epidura.evidence.model import Arm, Course

    known = posterior()
    rng = np.random.default_rng(0)
    context, neural = known.new(rng)
    arm = Arm("T", "x", "tonic", "", "open", False, "none", 8.0, 0.05, 5.0)
    shares = [float(Course.of([arm], known.draw(k), [(context[k], neural[k])]).seen(12.0).responders()[0]) for k in range(0, known.count, 2)]
    plain = predict_outcome(person(), [program()], [reach(coverage=float("nan"), inhibition={})], Outlook(samples=20_000))
    assert float(plain.responder50.sel(month=12)[0]) == pytest.approx(np.mean(shares), abs=0.025)


def test_parts_add_up_to_what_is_gone(found: xr.Dataset) -> None:
    parts = found.part.isel(program=0).sel(month=12)
    assert list(found.part_name.values) == list(PARTS)
    assert float(parts.sel(part_name="context")) > 0.5
    assert float(parts.sel(part_name="neural effect")) > 0.1
    assert 0 <= float(parts.sum()) <= 8


def test_nothing_reached_is_no_neural_effect_only_where_coverage_counts() -> None:
    whole = predict_outcome(person(), [program()], [reach(coverage=1.0)], FEW)
    none = predict_outcome(person(), [program()], [reach(coverage=0.0)], FEW)
    part = [float(one.part.sel(part_name="neural effect", month=12)[0]) for one in (whole, none)]
    assert part[1] < 0.75 * part[0]
    assert part[1] > 0  # for all that is known, coverage may mean nothing


def test_the_factor_is_one_for_the_average_virtual_patient() -> None:
    weights = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    shares, values = reference("tonic", "coverage")
    mean = float(np.trapezoid(values, shares))
    assert reach_factor(reach(coverage=mean, inhibition={}), weights, np.zeros(4), "tonic") == pytest.approx(1.0)
    assert reach_factor(reach(coverage=0.0, inhibition={}), weights, np.zeros(4), "tonic") == pytest.approx([1, 0, 1, 0])
    low, high = (reach_factor(reach(coverage=mean, inhibition={"none": x}), weights, np.zeros(4), "tonic") for x in (-1.0, 1.0))
    assert low == pytest.approx([1, 1, 0, 0])
    assert high == pytest.approx([1, 1, 2, 2])


def test_without_stimulation_pain_goes_its_natural_course(found: xr.Dataset) -> None:
    other = predict_outcome(person(), [program("burst", kind="burst", frequency="40 Hz", intra_frequency="500 Hz", pulses=5, pulse_width="1000 us")],
                            [reach(program="burst")], FEW)
    assert np.array_equal(found.pain_without.values, other.pain_without.values)
    assert float(found.pain_without.sel(month=12, quantile=0.5)) > float(found.pain.sel(month=12, quantile=0.5)[0]) + 1


def test_the_same_people_meet_every_program() -> None:
    both = predict_outcome(person(), [program("a"), program("b")], [reach(program="a"), reach(program="b")], FEW)
    assert np.array_equal(both.pain.values[0], both.pain.values[1])
    alone = predict_outcome(person(), [program("b")], [reach(program="b")], FEW)
    assert np.array_equal(both.pain.values[1], alone.pain.values[0])


def test_who_passes_the_trial_stage_does_better_later(found: xr.Dataset) -> None:
    assert 0.7 < float(found.trial_success[0]) < 1
    assert float(found.responder50_after_success.sel(month=12)[0]) > float(found.responder50_after_failure.sel(month=12)[0]) + 0.1


def test_drivers_are_shares_and_the_largest_is_a_person(found: xr.Dataset) -> None:
    shares = found.driver_share.values[0]
    assert list(found.driver.values) == list(DRIVERS)
    assert (shares >= 0).all()
    assert 0.3 < shares.sum() < 1.15
    assert shares[DRIVERS.index("loss of the effect")] < 0.2


def test_thin_evidence_is_wider_and_nothing_known_is_nothing_said() -> None:
    strong, low = (predict_outcome(person(indication=name), [program()], [reach()], FEW) for name in ("failed-back-surgery", "amputation"))
    assert low.attrs["grade"] == "low"
    assert any("evidence low" in note for note in low.attrs["notes"])
    assert float(low.driver_share.sel(driver="what trials leave open")[0]) > float(strong.driver_share.sel(driver="what trials leave open")[0])
    none = predict_outcome(person(indication="headache"), [program()], [reach()], FEW)
    assert none.sizes["program"] == 0
    assert "not epidural" in none.attrs["notes"][0]
    assert "not epidural" in outcome_page.section(none, _table, _figure)


@pytest.mark.parametrize("name", ["diabetic-neuropathy", "non-surgical-back"])
def test_what_no_fitted_trial_was_of_is_predicted_with_its_grade_and_wider(name: str) -> None:
    row = table("indications").row(indication=name)
    found = predict_outcome(person(indication=name), [program()], [reach()], FEW)
    assert found.sizes["program"] == 1
    assert found.attrs["grade"] == row["grade"]
    assert any(row["words"] in note and "drawn wider" in note for note in found.attrs["notes"])
    assert f"spread of the neural effect in {name} (log)" in [one.name for one in FEW.numbers(person(indication=name))]


def test_an_unknown_amplitude_predicts_nothing() -> None:
    both = predict_outcome(person(), [program("a"), program("b")], [reach(program="a"), reach(program="b", amplitude=float("nan"))], FEW)
    assert both.attrs["therapy"] == ["tonic", ""]
    assert np.isnan(both.pain.values[1]).all()
    assert [one.text for one in outcome_page.courses(both, [0]).layout.annotations] == ["a", "without stimulation"]


def test_therapies_go_by_the_waveform() -> None:
    assert therapy_of(program()) == "tonic"
    assert therapy_of(program("x", kind="high-frequency", frequency="10 kHz", pulse_width="30 us")) == "high-frequency"
    assert therapy_of(program("x", kind="high-frequency", frequency="5882 Hz", pulse_width="30 us")) == "kilohertz"
    tonic = {"kind": "tonic", "frequency": "50 Hz", "pulse_width": "200 us"}
    twice = read_recipe(Program, {"name": "x", "contacts": {"4": -1, "5": 1}, "waveform": tonic,
                                  "interleaved": [{"contacts": {"2": -1, "3": 1}, "waveform": tonic}]})
    assert therapy_of(twice) == "multiplexed"


@pytest.mark.parametrize(("outcome", "words"), [({"samples": 50}, "100 and more"), ({"country": "Spian"}, "Spain"), ({"sample": 500}, "samples")])
def test_bad_outlooks_say_what_is_allowed(outcome: dict[str, object], words: str) -> None:
    case = {"title": "x", "anatomy": {"kind": "parametric", "vertebra": "T9"}, "leads": [{"model": "octrode", "tip_vertebra": "T8"}],
            "programs": [{"name": "a", "contacts": {"4": -1, "5": 1}, "waveform": {"kind": "tonic", "frequency": "50 Hz", "pulse_width": "300 us"}}]}
    with pytest.raises(BadCase, match=words):
        read({**case, "outcome": outcome})
    assert read({**case, "outcome": False}).outcome.samples == 0


def test_the_page_says_it_in_words(found: xr.Dataset) -> None:
    words = outcome_page.in_words(found, 0)
    share = round(100 * float(found.responder50.sel(month=12)[0]))
    assert f"about {share} would have lost half" in words
    assert "No trial" not in words
    burst = program("x", kind="burst", frequency="40 Hz", intra_frequency="500 Hz", pulses=5, pulse_width="1000 us")
    assert "No trial of burst" in outcome_page.in_words(predict_outcome(person(), [burst], [reach()], FEW), 0)
    html = outcome_page.section(found, _table, _figure)
    for title in ("What may be expected with a stimulator", "The two stages", "fully reversible"):
        assert title in html
    assert len(MONTHS) - 2 == html.count("<tr><td>tonic</td><td>1 month") + html.count("<tr><td></td><td>")
