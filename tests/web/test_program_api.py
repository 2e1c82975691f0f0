"""What the room Program asks the server for."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "clinic"))

from api_clinic import Browser, Clinic, wrong
from tiny_case import tiny

from epidura.case import read

CASE = read(tiny()).model_dump(mode="json")


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Clinic:
    return Clinic(tmp_path_factory.mktemp("program"))


@pytest.fixture(scope="module")
def physician(clinic: Clinic) -> Browser:
    return clinic.browser("physician")


def ended(browser: Browser, answer: Any) -> Any:
    """The result of a job, once it is there."""
    assert answer.status_code == 200, answer.text
    name = answer.json()["id"]
    for _ in range(600):
        now = browser.get(f"/jobs/{name}").json()
        if now["state"] not in ("waiting", "running"):
            assert now["state"] == "done", now
            return browser.get(f"/jobs/{name}/result").json()
        time.sleep(0.05)
    raise AssertionError("it took too long")


def test_field_first_then_answers_at_once(physician: Browser) -> None:
    asked = {"case": CASE, "program": 0}
    assert physician.post("/program/recruit", asked).json() == {"ready": False}
    assert physician.post("/program/figures", {**asked, "amplitudes": [2.0]}).json() == {"ready": False}
    exact = ended(physician, physician.post("/program/recruit/exact", asked))
    assert exact["quality"] == "exact"
    assert len(exact["trains"][0]["thresholds_mA"]) == len(exact["fibres"]["x_mm"]) == 36
    again = physician.post("/program/recruit", {**asked, "have": exact["key"]}).json()
    assert again["quality"] == "exact"
    assert "fibres" not in again
    assert again["trains"] == exact["trains"]
    figures = physician.post("/program/figures", {**asked, "amplitudes": [2.0]}).json()["figures"]
    assert figures["charge_per_phase_uC"] == pytest.approx(0.6)
    assert wrong(physician.post("/program/recruit", {**asked, "program": 7}), 422)["where"] == "program"
    uneven = {**CASE["programs"][0], "contacts": {"3": 0.8, "4": -1, "5": 0.2}}
    three, one = (physician.post("/program/recruit", {**asked, "case": {**CASE, "programs": [{**uneven, **more}]}}).json()["trains"][0]
                  for more in ({}, {"sources": "single", "amplitude": "3 V"}))
    # what a voltage would have to overcome is known before the sources are changed
    assert three["ohm"] > 1.05 * three["held_ohm"]
    assert three["held_ohm"] == one["held_ohm"] == pytest.approx(one["ohm"], abs=1e-3)
    assert one["amplitude_mA"] == pytest.approx(3e3 / one["held_ohm"])
    broken = {**CASE, "programs": [{**CASE["programs"][0], "contacts": {"4": -1}}]}
    assert "balance" in wrong(physician.post("/program/recruit", {**asked, "case": broken}), 422)["problem"]


def test_files_go_out_and_come_back(physician: Browser) -> None:
    text = physician.post("/program/write", {"case": CASE}).json()["text"]
    other = {**CASE, "programs": [{**CASE["programs"][0], "name": "other", "contacts": {"1": -1, "2": 1}}]}
    back = physician.post("/program/open", {"case": other, "text": text}).json()
    assert back["case"]["programs"] == CASE["programs"]
    assert not back["other_leads"]
    assert "program file" in wrong(physician.post("/program/open", {"case": CASE, "text": "title: x"}), 422)["problem"]
    assert wrong(physician.post("/program/open", {"case": CASE, "text": "{[" }), 422)["where"] == "file"
    assert wrong(physician.post("/program/open", {"case": CASE, "text": text.replace('"4"', '"40"')}), 422)["where"] == "programs[0].contacts.40"


def test_a_program_goes_to_the_record_with_what_was_felt_alone(clinic: Clinic, physician: Browser) -> None:
    ended(physician, physician.post("/program/recruit/exact", {"case": CASE, "program": 0}))
    asked = {"case": CASE, "program": 0, "on": "2026-06-01", "slot": "A", "perception_mA": 2.1}
    programmed, linked = physician.post("/program/event", asked).json()["events"]
    assert programmed["kind"] == "program.set"
    assert programmed["perception_mA"] == 2.1
    assert "discomfort_mA" not in programmed
    assert linked["kind"] == "case.linked"
    assert linked["predicted"]["perception_mA"] > 0
    assert read(linked["case"]["text"]).programs[0].name == "tonic"
    # searched, but not as far as this amplitude: no estimate stands in a record
    far = {**CASE, "programs": [{**CASE["programs"][0], "amplitude": "55 mA"}]}
    _, linked = physician.post("/program/event", {**asked, "case": far}).json()["events"]
    assert not linked.get("predicted")
    wrong(clinic.browser("researcher").post("/program/event", asked), 403)


def test_lists_and_leads(physician: Browser) -> None:
    assert any(each["kind"] == "burst" for each in physician.get("/program/types").json()["items"])
    assert all(each["battery"] for each in physician.get("/program/generators").json()["items"])
    assert [each["number"] for each in physician.post("/program/leads", {"case": CASE}).json()["leads"][0]["contacts"]] == list(range(1, 9))
    wrong(physician.post("/program/compare", {"case": CASE, "programs": [0, 0, 0, 0, 0]}), 422)
