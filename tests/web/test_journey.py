"""From an empty install to a patient who was planned, programmed, tried, implanted and explanted, as the hands of four people do it.

Pictures of every room in each size and theme are kept (``desk.SHOTS``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import hands
import pytest
from desk import PASSWORDS, Desk, accessible, login, shot
from playwright.sync_api import Browser, BrowserContext, Page, expect


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A server where nobody has been before."""
    desk = Desk(tmp_path_factory.mktemp("journey")).start()
    yield desk
    desk.stop()


TRIAL = {"average": 3, "worst": 4, "least": 2, "sleep": 6, "medication": 0.5, "slot": "A"}
"""A day with stimulation, of a pain of 8 without."""


def empty_install(desk: Desk, page: Page) -> None:
    """The first administrator, who adds the others and goes."""
    page.goto(desk.setup)
    hands.enter(page, Name="Ada Administrator", Login="administrator")
    page.get_by_label("Password").fill(PASSWORDS["administrator"])
    page.get_by_role("button", name="Make").click()
    page.get_by_role("link", name="Log in").click()
    login(page, "administrator", "people")
    for role, name in (("physician", "Pat Physician"), ("nurse", "Nina Nurse")):
        hands.enter(page, Name=name, Login=role)
        page.get_by_label("Role").select_option(role)
        page.get_by_label("First password").fill(PASSWORDS[role])
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_role("row").filter(has_text=name)).to_contain_text("may come in")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


def plan(page: Page) -> None:
    """A level for the pain, and the field of the lead there."""
    expect(page.get_by_text("Hurts: low back, axial, left whole leg.")).to_be_visible()
    page.get_by_role("button", name="Take it: leg, radicular (tonic)").click()
    expect(page.get_by_text("left of the midline").first).to_be_visible()
    page.get_by_label("Accuracy").select_option("fast")
    page.get_by_role("button", name="Compute the field").click()
    expect(page.get_by_role("figure", name=re.compile("axial slice"))).to_be_visible(timeout=90_000)


def program(page: Page) -> None:
    """Contacts and amplitude, until it is felt; a comparison."""
    page.get_by_role("navigation", name="rooms").get_by_role("link", name="Program", exact=True).click()
    exact = page.get_by_role("main").get_by_text("exact", exact=True)
    expect(exact).to_be_visible(timeout=90_000)
    first = page.get_by_role("img", name=re.compile("Body map")).get_attribute("aria-label")
    slider = page.get_by_role("slider", name="amplitude")
    slider.press("End")
    expect(page.get_by_role("img", name=re.compile("Body map"))).not_to_have_attribute("aria-label", first or "")
    expect(page.get_by_role("img", name=re.compile(r"Body map. Felt: (?!nothing)"))).to_be_visible()
    slider.press("Home")
    expect(page.get_by_role("img", name=re.compile("Body map. Felt: nothing"))).to_be_visible()
    contact = page.get_by_role("button", name=re.compile(r"^contact 6"))
    contact.click()
    expect(contact).to_have_attribute("aria-label", re.compile("cathode"))
    expect(exact).to_be_visible(timeout=60_000)
    page.get_by_role("button", name=re.compile("^Undo")).click()
    expect(contact).to_have_attribute("aria-label", re.compile("off"))


def diary(desk: Desk, browser: Browser, address: str, patient: str) -> None:
    """The patient fills in a day on the phone; the days of the trial, which are past, are sent as the page sends what it kept."""
    context = desk.context(browser, "phone", has_touch=True, locale="en-GB")
    page = context.new_page()
    page.goto(address)
    for question, answer in (("Worst pain", "4"), ("Average pain", "3"), ("Sleep", "7")):
        page.get_by_role("group", name=question).locator("label", has_text=re.compile(f"^{answer}$")).tap()
    page.get_by_role("button", name="Save today").tap()
    expect(page.get_by_text("Your clinic has it.").first).to_be_visible()
    sign = page.request.get("/api/v1/me").json()["csrf"]
    answer = page.request.post(f"/api/v1/patients/{patient}/diary/sync", headers={"X-CSRF-Token": sign}, data={"entries": [
        {"key": f"phone-{hands.ago(day)}", "day": hands.ago(day), "answers": TRIAL} for day in range(30, 23, -1)]})
    assert {each["state"] for each in answer.json()["entries"]} == {"written"}, answer.text()
    context.close()


def back_and_forth(page: Page) -> None:
    """The program of the record goes into the workbench, and comes back with another pulse width."""
    hands.section(page, "Trial")
    page.get_by_role("button", name="Open in the workbench").click()
    expect(page.get_by_role("main").get_by_text("exact", exact=True)).to_be_visible(timeout=120_000)
    expect(page.get_by_role("button", name=re.compile("^contact 3"))).to_have_attribute("aria-label", re.compile("cathode"))
    page.get_by_label("Pulse width", exact=True).fill("250")
    page.get_by_label("Pulse width", exact=True).press("Tab")
    page.get_by_role("button", name="Save to the patient's record").click()
    form = page.get_by_role("dialog")
    hands.enter(form, Day=hands.ago(29), Slot_on_the_device="A", Perception_felt_at="3.3", Amplitude_left_with_the_patient="4")
    form.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Program A is on the record.")).to_be_visible()


def walk(desk: Desk, browser: Browser, kept: BrowserContext, patient: str) -> None:
    """Every room in every size and theme: nothing overflows, and axe-core has nothing serious to say."""
    state = kept.storage_state()
    for size, dark in (("desktop", False), ("laptop", True), ("phone", True)):
        context = desk.context(browser, size, dark, storage_state=state)
        page = context.new_page()
        for room in ("plan", "program", "gate", "pathway", f"pathway/{patient}", "clinic", "cohorts"):
            page.goto(f"/#/{room}")
            expect(page.get_by_role("main")).not_to_have_text("…")
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"], f"{room} {size}"  # type: ignore[index]
            accessible(page)
            shot(page, f"{room.split('/')[0]}{'-patient' if '/' in room else ''}-{size}-{'dark' if dark else 'light'}")
        context.close()


def test_from_an_empty_install_to_explant(desk: Desk, browser: Browser, page: Page) -> None:
    empty_install(desk, page)
    login(page, "physician", "plan")
    plan(page)
    program(page)

    page.get_by_role("navigation", name="rooms").get_by_role("link", name="Pathway").click()
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
    back_and_forth(page)
    page.goto(f"/#/pathway/{patient}")
    diary(desk, browser, hands.diary_link(page), patient)
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
    walk(desk, browser, page.context, patient)
