"""What the room Gate and outlook shows, without a browser: it says what the products of the chain say, and work can be cancelled."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clinic.api_clinic import Browser, Clinic, wrong
from outcome.kill_cohort import _solve
from tiny_case import SHORT_GATE, tiny

from epidura import case as cases
from epidura import desk_gate, workbench
from epidura.api.jobs import Cancelled
from epidura.canal import build_canal
from epidura.desk_gate import for_patient, look, quick_case, two_stages
from epidura.errors import BadInput
from epidura.reach import reaches
from epidura.result import Result


@pytest.fixture(scope="module")
def case() -> cases.Case:
    written = {**tiny("gate", value={**SHORT_GATE, "frequencies": ["20 Hz"]}), "outcome": {"samples": 400}}
    written["programs"].append({**written["programs"][0], "name": "weak", "amplitude": "60 % of perception"})
    return cases.read(written)


BURST = {"name": "burst", "contacts": {4: -1, 5: 1}, "waveform": {
    "kind": "burst", "frequency": "40 Hz", "intra_frequency": "500 Hz", "pulses": 5, "pulse_width": "1000 us"}}
"""A program whose therapy no trial was fitted to."""


@pytest.fixture(scope="module")
def looked(case: cases.Case) -> Iterator[tuple[Result, dict[str, Any], list[tuple[str, float]]]]:
    """The result, what is told of it, and the progress on the way."""
    ran, said = [], []
    before = desk_gate.run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desk_gate, "run", lambda *some, **more: ran.append(before(*some, **more)) or ran[-1])
        told = look(case, _solve(build_canal(case.anatomy, case.leads, accuracy="fast")), progress=lambda words, share: said.append((words, share)))
    return ran[0], told, said


def test_firing_is_that_of_the_product(looked) -> None:
    result, told, _ = looked
    found, gate = result.transmission, told["gate"]
    one, cell = gate["programs"][0], gate["projection"][0]
    assert [each["name"] for each in gate["places"]] == list(found.place.values)
    np.testing.assert_allclose(one["rate"][cell]["mean"], found.rate.sel(cell=cell).isel(program=0).mean("seed").values, rtol=1e-3)
    np.testing.assert_allclose(one["inhibition_percent"], found.inhibition.isel(program=0).values, rtol=1e-3)
    np.testing.assert_allclose(one["amplitude_mA"], 1e3 * found.sweep_amplitude.values[0], rtol=1e-3)
    assert "fallen" in one["closing"] or "does not fall" in one["closing"]


def test_firing_in_time_has_the_same_mean(looked) -> None:
    found = looked[0].transmission
    since = found.piece.values >= found.attrs["counted_from"] - 1e-9
    assert 0 < since.sum() < since.size
    for whole, pieces in ((found.rate.sel(cell=found.projection.values).rename(cell="projection"), found.rate_in_time),
                          (found.rate_off.sel(cell=found.projection.values).rename(cell="projection"), found.rate_in_time_off)):
        np.testing.assert_allclose(pieces.isel(piece=since).mean("piece").transpose(*whole.dims).values, whole.values, rtol=1e-9)


def test_pain_is_that_of_the_product_in_the_words_of_the_report(looked) -> None:
    result, told, _ = looked
    found, one = result.outcome, told["outcome"]["programs"][0]
    np.testing.assert_allclose(one["pain"], found.pain.values[0], rtol=1e-3)
    np.testing.assert_allclose(one["responder50_percent"], 100 * found.responder50.values[0], rtol=1e-3)
    assert "about" in one["words"]
    assert sum(each["percent"] for each in one["drivers"]) > 30
    words = {each["head"]: each["words"] for each in told["patient_words"][0]}
    assert f"about {round(100 * float(found.responder50.isel(program=0).sel(month=12)))} would have" in words["The chance that it helps"]
    assert f"About {round(told['stages'][0]['passes']['middle'])} of 100 people pass" in words["First a trial"]
    assert "strong" in words["How sure this is"]
    assert "No study of" not in words["How sure this is"]
    unfitted = replace(result, outcome=result.outcome.assign_attrs(therapy=["burst", "tonic"]))
    assert "No study of burst stimulation" in for_patient(unfitted, 0, told["stages"][0])[-1]["words"]


def test_everything_is_json_and_unverified_numbers_are_told(looked) -> None:
    result, told, said = looked
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert len(told["unverified"]) == len({n for n in result.numbers if n.unverified}) > 0
    assert {each["evidence"] for each in told["unverified"]} <= {"recall", "judgement"}
    shares = [share for _, share in said]
    assert shares == sorted(shares)
    assert shares[0] >= 0
    assert shares[-1] <= 1
    assert {"pain gate", "the two stages"} <= {words for words, _ in said}


def test_two_stages_hang_together_and_agree_with_the_law(looked) -> None:
    result, told, _ = looked
    one = told["stages"][0]
    for key in ("middle", "low", "high"):
        assert one["implanted"][key] <= one["passes"][key] <= 100
    for event in one["events"]:
        middle = [each["middle"] for each in event["by_year"]]
        assert middle == sorted(middle)
    stays = [each["middle"] for each in one["stays"]]
    assert stays == sorted(stays, reverse=True)
    assert stays[0] <= one["implanted"]["high"]
    # the law and the people that are drawn one by one are the same model
    assert one["passes"]["middle"] == pytest.approx(100 * float(result.outcome.trial_success[0]), abs=8)
    case = result.case
    burst = case.but(programs=[BURST]).programs[0]
    other = two_stages(case.patient, burst, reaches(result)[0], worlds=12, people=50)
    assert (other["worlds"], other["people"]) == (12, 50)
    assert other["passes"]["high"] - other["passes"]["low"] > 1  # the worlds differ


def test_a_quick_look_is_the_same_case_with_less(case) -> None:
    less = quick_case(case)
    assert less.gate.seeds == 2
    assert not less.gate.frequencies
    assert less.gate.levels == SHORT_GATE["levels"]
    assert less.but(fibres=[one.model_dump(mode="json") for one in case.fibres], gate=case.gate.model_dump(mode="json")) == case
    off = quick_case(case.but(gate={"seeds": 0}))
    assert off.gate.seeds == 0


def test_work_ends_where_it_is_cancelled(case) -> None:
    def progress(words: str, share: float) -> None:
        if share > 0.2:
            raise Cancelled

    with pytest.raises(Cancelled):
        look(case, _solve(build_canal(case.anatomy, case.leads, accuracy="fast")), quick=True, progress=progress)


def test_a_case_without_a_patient_says_what_is_missing(case) -> None:
    written = case.model_dump(mode="json")
    del written["patient"]
    with pytest.raises(BadInput, match="nobody whose pain"):
        look(cases.read(written), _solve(build_canal(case.anatomy, case.leads, accuracy="fast")))


def test_over_rest_a_result_is_kept(case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from epidura.api import routes_gate

    ran = []
    monkeypatch.setattr(workbench, "solve_field", lambda canal, **_: _solve(canal))
    monkeypatch.setattr(routes_gate, "look", lambda case, field, quick, progress: ran.append(quick) or progress("on", 0.5) or {"quick": quick})
    clinic = Clinic(tmp_path)
    nurse, written = clinic.browser("nurse"), case.model_dump(mode="json")
    assert [finished(nurse, nurse.post("/gate/look", {"case": written, "quick": quick}).json()) for quick in (True, False, True)] == [
        {"quick": True}, {"quick": False}, {"quick": True}]
    assert ran == [True, False]
    del written["patient"]
    assert wrong(nurse.post("/gate/look", {"case": written}), 422)["where"] == "patient"
    assert nurse.post("/gate/look", {"case": {**written, "programs": []}}).status_code == 422
    assert clinic.browser("administrator").post("/gate/look", {"case": written}).status_code == 403


def finished(browser: Browser, job: dict[str, Any]) -> Any:
    until = time.monotonic() + 60
    while job["state"] not in ("done", "failed", "cancelled") and time.monotonic() < until:
        time.sleep(0.02)
        job = browser.get(f"/jobs/{job['id']}").json()
    assert job["state"] == "done", job
    return browser.get(f"/jobs/{job['id']}/result").json()
