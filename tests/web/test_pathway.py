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


def test_pain_is_drawn_where_it_is_and_not_where_its_segments_reach(page: Page) -> None:
    login(page, "nurse", "pathway")
    headers = {"X-CSRF-Token": page.request.get("/api/v1/me").json()["csrf"], "Idempotency-Key": "somebody-with-a-back"}
    answer = page.request.post("/api/v1/patients", headers=headers, data={"events": [
        {"kind": "patient.registered", "on": hands.ago(2), "birth_year": 1961,
         "identity": {"family_name": "Backache", "given_name": "Bea", "birth_date": "1961-02-03"}},
        {"kind": "referral.received", "on": hands.ago(1), "indication": "non-surgical-back", "pain_areas": ["low-back"]}]})
    assert answer.ok, answer.text()
    page.goto(f"/#/pathway/{answer.headers['location'].rsplit('/', 1)[1]}")
    where = page.get_by_role("region", name="Patient", exact=True).locator("body-map")
    expect(where.get_by_role("img", name=re.compile("Painful: left low back, axial; right low back, axial"))).to_be_visible()
    for view, count in (("front", 0), ("back", 2)):  # its dermatomes are L1 to S1, and no leg hurts
        hatched = where.locator(f'[data-view="{view}"] .pain.on')
        expect(hatched).to_have_count(count)
        assert all(one.get_attribute("data-area") in ("left-low-back", "right-low-back") for one in hatched.all())
    expect(where).to_contain_text("where it hurts")
    # the form marks areas the same way
    timeline = page.get_by_role("region", name="Timeline")
    timeline.get_by_role("link", name=re.compile("Correct Referral")).click()
    marks = page.get_by_role("group", name="Where it hurts")
    marks.get_by_text("or point at it on the body").click()
    marks.get_by_role("checkbox", name=re.compile("^left S1")).first.press("Enter")
    marks.get_by_role("button", name="left foot").click()
    marked = {one.get_attribute("data-area") for one in marks.locator("[data-view] .picked.on").all()}
    assert marked == {"left-low-back", "right-low-back", "left-foot"}


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
