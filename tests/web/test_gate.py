"""Gate and outlook as a person uses it: compute, look on while the server goes away, choose, read to the patient."""

from __future__ import annotations

import re
from typing import Any

import pytest
from desk import SIZES, Desk, accessible, login, shot
from playwright.sync_api import Page, expect
from tiny_case import SHORT_GATE, tiny

from epidura import case as cases


def begins_with(page: Page, **changes: Any) -> None:
    """The server offers a case to begin with that is computed in seconds."""
    written = {**tiny("gate", value={**SHORT_GATE, "seeds": 3}), "outcome": {"samples": 400}, **changes}
    if changes.get("patient", "") is None:
        del written["patient"]
    else:
        written["programs"].append({**written["programs"][0], "name": "weak", "amplitude": "60 % of perception"})
    page.route("**/api/v1/case/start", lambda route: route.fulfill(json={"case": cases.read(written).model_dump(mode="json")}))


@pytest.fixture(autouse=True)
def _no_waiting_for_slow_machines(page: Page) -> None:
    expect.set_options(timeout=60_000)


def test_from_the_draft_to_words_for_the_patient(desk: Desk, page: Page) -> None:
    begins_with(page)
    login(page, "nurse", "gate")
    page.get_by_role("button", name="Compute").click()
    expect(page.get_by_role("progressbar", name="quick look")).to_be_visible()
    accessible(page)
    # the server dies while it computes: the page says so, and goes on when it is back
    desk.kill()
    expect(page.get_by_role("alert").filter(has_text="Offline")).to_be_visible()
    desk.start()
    expect(page.get_by_role("heading", name="The two stages, of 100 people like this one")).to_be_visible()
    expect(page.get_by_text("Now the full computation")).to_have_count(0)
    expect(page.get_by_text("Quick look.")).to_have_count(0)
    # claims side by side, at the place that is chosen
    expect(page.locator("figure").filter(has_text="irregular firing of large fibres")).to_be_visible()
    expect(page.get_by_role("figure", name=re.compile("Firing of WDR neurons in time at left .*driven by the field"))).to_be_visible()
    page.get_by_label("Painful dermatome", exact=True).select_option(label="left S1")
    expect(page.get_by_role("heading", name="The gate at left S1")).to_be_visible()
    accessible(page)
    # what a number rests on explains itself
    page.get_by_role("button", name=re.compile("unverified: grade of the evidence")).click()
    expect(page.get_by_text("a judgement of this project").first).to_be_visible()
    page.keyboard.press("Escape")
    # the other program, by keyboard
    page.get_by_role("radio", name="tonic").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name="weak")).to_be_visible()
    expect(page.get_by_text("(below perception)")).to_be_visible()
    # computed before: answered at once, without the quick look staying
    page.get_by_role("button", name="Compute").click()
    expect(page.get_by_text("Now the full computation")).to_have_count(0)
    # to the patient, on a phone and on paper
    page.get_by_text("for the patient").click()
    expect(page.get_by_role("heading", name="The chance that it helps")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Of 100 people after a year: [0-9]+ have lost half"))).to_be_visible()
    page.set_viewport_size(SIZES["phone"])
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    accessible(page)
    shot(page, "gate-patient-phone")
    page.emulate_media(media="print")
    expect(page.get_by_role("button", name="Print")).to_be_hidden()
    expect(page.get_by_role("heading", name="Your pain")).to_be_visible()
    page.emulate_media(media="screen")
    page.get_by_text("for the team").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shot(page, "gate-team-phone")


@pytest.mark.slow
def test_computing_can_be_cancelled(page: Page) -> None:
    begins_with(page, leads=[{"model": "octrode", "tip_vertebra": "T8", "lateral": "1 mm"}])  # a field that is not there yet
    login(page, "physician", "gate")
    page.get_by_role("button", name="Compute").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelled.")).to_be_visible()
    expect(page.get_by_role("button", name="Compute")).to_be_enabled()


def test_a_draft_without_a_patient_says_what_is_missing(page: Page) -> None:
    begins_with(page, patient=None)
    login(page, "physician", "gate")
    expect(page.get_by_text("Missing: where it hurts")).to_be_visible()
    expect(page.get_by_role("button", name="Compute")).to_be_disabled()
    expect(page.get_by_role("link", name="Say it in Plan")).to_have_attribute("href", "#/plan")
    accessible(page)
