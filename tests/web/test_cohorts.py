"""Cohorts and Research as people use them: a study started, stopped, gone on with, opened; a timeline by pseudonym."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from desk import PASSWORDS, SIZES, Desk, accessible, login, shot
from outcome.kill_cohort import quick, small
from playwright.sync_api import BrowserContext, Page, expect

from epidura import cohort, desk_studies

pytest.importorskip("pyarrow.parquet")

TEXT = yaml.safe_dump(small(batch=20, title="Two nodes"), sort_keys=False)
DONE = "0123456789abcdef"


def done(folder: Path) -> None:
    """A study that somebody ran before, on quick fields."""
    home = folder / "studies" / DONE
    with quick():
        cohort.run_study(desk_studies.read(yaml.safe_dump(small(batch=40))), 40, home / "results")
    (home / "note.json").write_text(json.dumps({"id": DONE, "title": "Small study", "patients": 40, "workers": 1, "seed": 1, "owner": "gone",
                                                "name": "Somebody else", "begun": "2026-06-01T08:00:00+00:00"}))


def test_a_study_is_started_stopped_gone_on_with_and_lost_to_no_restart(desk: Desk, page: Page) -> None:
    login(page, "physician", "cohorts")
    expect(page.get_by_text("No study has been started")).to_be_visible()
    accessible(page)
    # what is wrong is said at its field
    page.get_by_label("Patients").fill("3")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_label("Patients")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_text("a whole number from 10 to 10,000")).to_be_visible()
    page.get_by_label("Patients").fill("10")
    text = page.get_by_label("STUDY.yaml")
    text.fill(TEXT.replace("program: tonic", "program: tonik"))
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_role("alert").filter(has_text="there is no such program in the case")).to_be_visible()
    expect(page.get_by_text("did you mean 'tonic'?")).to_be_visible()
    text.fill(TEXT)
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("The full chain is run 2 times first")).to_be_visible()
    # what was written is still there after a reload
    page.reload()
    expect(text).to_have_value(TEXT)
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("heading", name="Two nodes")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped. What is finished is kept")).to_be_visible()
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("progressbar", name="progress of the study")).to_be_visible()
    # the server is killed; the study is not
    desk.kill()
    expect(page.get_by_role("alert").filter(has_text="Offline")).to_be_visible()
    desk.start()
    expect(page.get_by_role("alert").filter(has_text="Offline")).to_have_count(0)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Go on")).to_be_visible()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("heading", name="A new study")).to_be_visible()
    expect(page.get_by_text("No study has been started")).to_be_visible()


@pytest.mark.slow
def test_a_study_is_opened_and_taken_along(desk: Desk, context: BrowserContext, page: Page) -> None:
    done(desk.folder)
    login(page, "researcher", "cohorts")
    page.get_by_role("link", name="Small study").click()
    expect(page.get_by_role("heading", name="Responders")).to_be_visible()
    expect(page.get_by_role("figure", name=re.compile("Kaplan-Meier.*tonic: taken out"))).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("relief below the rule"))).to_be_visible()
    expect(page.get_by_role("button", name="Remove")).to_have_count(0)  # somebody else's
    accessible(page)
    with context.expect_page() as new:
        page.get_by_role("link", name="Report").click()
    report = new.value
    expect(report.get_by_role("heading", name="Small study")).to_be_visible()
    expect(report.locator(".js-plotly-plot .main-svg").first).to_be_visible()  # its own scripts run
    assert report.evaluate("(async () => { try { await fetch('/api/v1/me'); return 'reached'; } catch { return 'refused'; } })()") == "refused"
    desk.complaints[:] = [each for each in desk.complaints if "/api/v1/me" not in each and "Content Security Policy" not in each]
    report.close()
    page.get_by_text("Download").click()
    with page.expect_download() as taken:
        page.get_by_role("link", name="visits, CSV").click()
    assert Path(taken.value.path()).read_text().startswith('"arm","patient","replicate","month"')
    page.set_viewport_size(SIZES["phone"])
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shot(page, "cohorts-phone")


def test_a_timeline_is_read_by_pseudonym(page: Page) -> None:
    answer = page.request.post("/api/v1/login", data={"login": "nurse", "password": PASSWORDS["nurse"], "keep": "token"}).json()
    made = page.request.post("/api/v1/patients", headers={"Authorization": f"Bearer {answer['token']}", "Idempotency-Key": "research-room-1"}, data={
        "events": [{"kind": "patient.registered", "on": "2026-02-01", "birth_year": 1961, "sex": "female", "identity": {
            "family_name": "Zquuxmann", "given_name": "Wilhelmxine", "birth_date": "1961-02-03"}}]})
    assert made.ok, made.text()
    page.context.clear_cookies()
    login(page, "researcher", "research")
    expect(page.get_by_text("1 of 1 patients")).to_be_visible()
    page.get_by_label("Find").fill("nobody")
    expect(page.get_by_text("0 of 1 patients")).to_be_visible()
    page.get_by_label("Find").fill("")
    page.get_by_role("link", name=re.compile("^P-")).click()
    expect(page.get_by_role("row", name=re.compile("patient registered.*1960s"))).to_be_visible()
    assert "Zquuxmann" not in page.content()
    expect(page.get_by_text("Serial numbers, lots, models")).to_be_visible()
    with page.expect_download() as taken:
        page.get_by_role("button", name="This timeline, CSV").click()
    rows = Path(taken.value.path()).read_text().splitlines()
    assert rows[0] == "pseudonym,day,event,fields"
    assert re.match(r'P-[0-9A-F]{10},0,patient.registered,"\{""sex"":""female""', rows[1])
    accessible(page)
