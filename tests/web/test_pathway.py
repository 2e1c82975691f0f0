"""The room of the pathway: one patient from referral to explant by hand, a server that dies, two people on one record, a page to print."""

from __future__ import annotations

import re

import hands
from desk import PASSWORDS, Desk, accessible, login, shot
from playwright.sync_api import Browser, Page, expect


def api(page: Page, role: str) -> dict[str, str]:
    """Headers of somebody who is in by the REST interface of this page's browser."""
    told = page.request.post("/api/v1/login", data={"login": role, "password": PASSWORDS[role]}).json()
    return {"X-CSRF-Token": told["csrf"]}


def days(first: int, last: int, pain: float) -> dict[str, dict[str, float | str]]:
    return {hands.ago(day): {"average": pain, "worst": pain + 1, "least": pain - 1, "sleep": 6, "medication": 0.5, "slot": "A"}
            for day in range(first, last - 1, -1)}


def test_one_patient_from_referral_to_explant(desk: Desk, browser: Browser, page: Page) -> None:
    login(page, "physician", "pathway")
    expect(page.get_by_text("Nobody is in the record yet.")).to_be_visible()
    patient = hands.refer(page)
    accessible(page)
    section = page.get_by_role("main")
    expect(section.get_by_text("Record the assessment")).to_be_visible()
    hands.assess(page)
    accessible(page)
    hands.sign(page)
    hands.select(page)

    hands.section(page, "Overview")  # a lead needs what is missing, said in words, with the way to mend it
    expect(section.get_by_text("no consent to the trial")).to_be_visible()
    expect(section.get_by_role("link", name="record a consent", exact=True)).to_be_visible()
    hands.prepare(page)

    # the server dies while a form is open: nothing of it is lost, and what is sent meanwhile arrives once
    form = hands.begin(page, "Procedure", "Record a lead")
    hands.enter(form, Placed_on=hands.ago(30), Model="octrode", Vertebra_at_the_tip="T8", Serial_number="L-2026-17", Lot="LOT-7")
    desk.kill()
    section.get_by_role("button", name="Write", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="Offline")).to_be_visible()
    expect(section.get_by_text("Waiting for the server")).to_be_visible()
    expect(section.get_by_text(re.compile(r"^Lead placed of"))).to_be_visible()
    hands.note(page, "written while the server was away")
    expect(section.get_by_text("Note of")).to_be_visible()
    form = hands.begin(page, "Procedure", "Record a consent")
    hands.enter(form, Version_of_the_text="4.0")
    desk.start()
    expect(page.get_by_text("The server is back.")).to_be_visible()
    page.reload()  # and a half-filled form is still there
    expect(page.get_by_label("Version of the text")).to_have_value("4.0")
    page.get_by_role("button", name="Cancel").click()
    hands.section(page, "Overview")
    expect(section.get_by_text("written while the server was away")).to_have_count(1)
    hands.section(page, "Trial")
    expect(section.get_by_role("cell", name="L-2026-17")).to_have_count(1)

    hands.program(page)
    hands.trial(page)
    hands.phone(desk, browser, hands.diary_link(page), patient, days(30, 24, 3))
    hands.end_trial(page)
    expect(section.get_by_text("specificity 8 %")).to_be_visible()
    expect(section.get_by_role("img", name=re.compile("Diary of the trial.* 7 days.*Programs: A from"))).to_be_visible()
    expect(section.locator(".beside")).to_have_text(re.compile("62.5.%.*65.%"))
    accessible(page)
    shot(page, "pathway-trial-desktop")
    hands.judge(page)
    hands.prepare(page, "implant", 20)
    hands.generator(page)
    hands.discharge(page)
    hands.visit(page)
    hands.complication(page)
    expect(section.get_by_text("swab, antibiotics")).to_be_visible()

    page.get_by_role("link", name="Summary to print").click()
    expect(section.get_by_text("G-5500")).to_be_visible()
    printed = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1
    shot(page, "pathway-summary-desktop")
    page.get_by_role("link", name="Back to the record").click()

    hands.explant(page)
    expect(page.get_by_role("listitem").filter(has_text="explanted")).to_have_attribute("aria-current", "step")
    hands.section(page, "Overview")
    accessible(page)
    shot(page, "pathway-overview-desktop")


def test_two_people_on_one_record_and_a_correction(desk: Desk, browser: Browser, page: Page) -> None:
    login(page, "nurse", "pathway")
    patient = hands.refer(page, "Otto", "Twohands")
    hands.section(page, "Overview")
    page.get_by_text("Everything else that can be recorded").click()
    page.get_by_role("link", name="Write a note").click()
    page.get_by_label("Note", exact=True).fill("from the nurse")

    other = desk.context(browser).new_page()
    headers = api(other, "physician")
    note = {"kind": "note.added", "on": hands.ago(1), "text": "from the physician"}
    answer = other.request.post(f"/api/v1/patients/{patient}/events", headers=headers | {"If-Match": '"2"', "Idempotency-Key": "a-note-of-mine"},
                                data={"events": [note]})
    assert answer.ok, answer.text()

    page.get_by_role("button", name="Write", exact=True).click()
    told = page.get_by_role("dialog", name="Somebody else changed this record in between")
    expect(told.get_by_text("from the physician")).to_be_visible()
    expect(told.get_by_text("Pat Physician")).to_be_visible()
    accessible(page)
    told.get_by_role("button", name="Look first").click()
    expect(page.get_by_label("Note", exact=True)).to_have_value("from the nurse")
    hands.write(page)
    timeline = page.get_by_role("region", name="Timeline")
    expect(timeline.get_by_text("from the nurse")).to_be_visible()
    expect(timeline.get_by_text("from the physician")).to_be_visible()

    # what was written while the server could not be reached, and somebody else wrote too: it is said, and can be opened again
    page.context.set_offline(True)
    hands.note(page, "while away")
    expect(page.get_by_text("Waiting for the server")).to_be_visible()
    etag = other.request.get(f"/api/v1/patients/{patient}").headers["etag"]
    assert other.request.post(f"/api/v1/patients/{patient}/events", data={"events": [{**note, "text": "meanwhile"}]}, headers=headers | {
        "If-Match": etag, "Idempotency-Key": "a-second-note"}).ok
    page.context.set_offline(False)
    expect(page.get_by_role("main").get_by_text("Not written:")).to_be_visible()
    page.get_by_role("button", name="Open it again").click()
    expect(page.get_by_label("Note", exact=True)).to_have_value("while away")
    hands.write(page)
    expect(timeline.get_by_text("while away")).to_be_visible()
    expect(timeline.get_by_text("meanwhile")).to_be_visible()
    assert all("somebody else changed" in each for each in desk.complaints)
    desk.complaints.clear()

    # what the server refuses stands at its field; a correction leaves the old entry to be read
    timeline.get_by_role("link", name=re.compile("Correct Referral")).click()
    pain = page.get_by_label("Average pain")
    expect(pain).to_have_value("8")
    pain.fill("12")
    page.get_by_label("Why is it corrected?").fill("misheard")
    page.get_by_role("button", name="Correct", exact=True).click()
    expect(page.get_by_text("12 is outside 0 to 10 of 10")).to_be_visible()
    pain.fill("7")
    hands.write(page, "Correct")
    entry = page.get_by_role("region", name="Timeline").get_by_role("listitem").filter(has_text="misheard")
    expect(entry).to_contain_text(re.compile("pain 8 of 10.*corrected.*pain 7 of 10"))
    answer = other.request.get(f"/api/v1/patients/{patient}")
    assert answer.json()["state"]["referral_nrs"] == 7

    # a nurse does not decide on selection
    hands.section(page, "Selection")
    found = {"kind": "assessment.recorded", "on": hands.ago(1), "findings": {"age": 64}}
    assert other.request.post(f"/api/v1/patients/{patient}/events", data={"events": [found]}, headers=headers | {
        "If-Match": answer.headers["etag"], "Idempotency-Key": "an-assessment"}).ok
    hands.section(page, "Overview")
    expect(page.get_by_text("a physician decides this").first).to_be_visible()
    expect(page.get_by_role("button", name="Decide on selection")).to_be_disabled()
    other.context.close()


def test_drugs_on_clotting_are_locked_until_a_clinician_signs(desk: Desk, page: Page) -> None:
    login(page, "physician", "pathway")
    page.get_by_role("link", name="Twohands, Otto").click()
    patient = hands.identity_of(page)

    def plan() -> None:
        page.goto(f"/#/pathway/{patient}/record/procedure.planned")
        hands.choose(page, "Drugs on clotting", "these:")
        page.get_by_label("warfarin", exact=True).check()
        page.get_by_label("The procedure begins").fill(f"{hands.ago(-20)}T09:00")
        page.get_by_role("button", name="Work out the dates").click()

    plan()
    field = page.get_by_label("warfarin: last dose and restart")
    expect(page.get_by_text("locked: ").first).to_be_visible()
    expect(field).to_have_value("")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Show all").click()
    page.get_by_role("button", name="fill in warfarin").click()
    row = page.get_by_role("dialog", name="warfarin")
    hands.enter(row, Last_dose_before_the_procedure="120 h", Restart_after_the_procedure="24 h",
                Edition_and_page_that_were_read="fictional edition, page 1")
    row.get_by_role("button", name="Keep the row").click()
    expect(page.get_by_text("locked: unsigned")).to_be_visible()
    page.get_by_role("button", name="change or sign warfarin").click()
    hands.enter(row, Your_registration="R-1", Review_by=hands.ago(-300))
    accessible(page)
    row.get_by_role("button", name="Sign", exact=True).click()
    expect(page.get_by_role("row", name="warfarin").get_by_text("signed", exact=True)).to_be_visible()
    plan()
    expect(field).to_have_value(re.compile(f"last dose {hands.ago(-15)} 09:00; restart not before {hands.ago(-21)} 09:00"))


def test_everybody_is_found_by_name_on_a_phone_too(desk: Desk, browser: Browser) -> None:
    context = desk.context(browser, "phone", dark=True)
    page = context.new_page()
    login(page, "nurse", "pathway")
    page.get_by_label("Name, number or pseudonym").fill("twohands")
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("link", name="Twohands, Otto").click()
    expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    accessible(page)
    shot(page, "pathway-overview-phone")
    context.close()
