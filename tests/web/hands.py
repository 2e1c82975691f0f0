"""What a person's hands do in the room of the pathway, step by step; each step is a form of the page."""

from __future__ import annotations

import re
from datetime import date, timedelta

from playwright.sync_api import Locator, Page, expect

TODAY = date.today()


def ago(days: int) -> str:
    """A day as a date field takes it."""
    return (TODAY - timedelta(days=days)).isoformat()


# fields

def enter(scope: Page | Locator, **words: str) -> None:
    """Type into fields by their labels; an underscore stands for a space."""
    for label, value in words.items():
        scope.get_by_label(label.replace("_", " "), exact=True).fill(value)


def take(scope: Page | Locator, **choices: str) -> None:
    """Choose in lists by their labels."""
    for label, option in choices.items():
        scope.get_by_label(label.replace("_", " "), exact=True).select_option(label=option)


def choose(scope: Page | Locator, group: str, option: str) -> None:
    """One of a few choices side by side."""
    scope.get_by_role("group", name=group, exact=True).get_by_text(option, exact=True).click()


def write(page: Page, verb: str = "Write") -> None:
    """Send the form, and see that it was taken."""
    page.get_by_role("main").get_by_role("button", name=verb, exact=True).click()
    said = page.get_by_role("status").filter(has_text=re.compile("written|is in the record"))
    expect(said).to_be_visible()
    said.get_by_role("button", name="dismiss").click()


def section(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="sections").get_by_role("link", name=name).click()


def begin(page: Page, where: str, act: str) -> Locator:
    """Open a form from a section of the patient's page."""
    section(page, where)
    page.get_by_role("main").get_by_role("link", name=act, exact=True).click()
    form = page.get_by_role("form", name=act)
    expect(form).to_be_visible()
    return form


def identity_of(page: Page) -> str:
    """Of the patient who is open."""
    found = re.search(r"#/pathway/([0-9a-f]{32})", page.url)
    assert found is not None, page.url
    return found[1]


# the pathway

def refer(page: Page, given: str = "Ines", family: str = "Journeywoman", on: int = 60) -> str:
    """Enter a patient with a referral; gives the id."""
    page.get_by_role("link", name="Refer a patient").click()
    form = page.get_by_role("form", name="Refer a patient")
    enter(form, Given_name=given, Family_name=family, Date_of_birth="1961-02-03", Referred_on=ago(on), Average_pain="8",
          Referred_by="Dr Miller", Question="Can stimulation help?")
    take(form, Sex="female", Indication="failed back surgery", Area="low back, axial")
    form.get_by_role("button", name="Mark").click()
    take(form, Area="whole leg", Side="left")
    form.get_by_role("button", name="Mark").click()
    expect(form.get_by_role("listitem").filter(has_text="left whole leg")).to_be_visible()
    write(page, "Refer")
    expect(page.get_by_role("heading", name=f"{given} {family}")).to_be_visible()
    return identity_of(page)


TREATMENTS = (("drug", "pregabalin"), ("physiotherapy", "course of physiotherapy"), ("block", "nerve root block"),
              ("surgery", "discectomy L4/5"), ("psychology", "pain programme"))
TEAM = (("Dr Ada Ames", "pain physician"), ("Bo Berg", "psychologist"))


def assess(page: Page, on: int = 50) -> None:
    form = begin(page, "Selection", "Record the assessment")
    enter(form, Assessed_on=ago(on), Pain_since="2019-05-01")
    take(form, Rule_to_hold_it_against="NICE TA159 (United Kingdom)")
    form.get_by_label("Does the spine's anatomy speak against a lead?").select_option("no")
    form.get_by_label("Do tests have to be adapted to a disability or language?").select_option("no")
    choose(form, "Neuropathic component found on examination", "yes")
    for kind, what in TREATMENTS:
        form.get_by_role("button", name="Add a treatment").click()
        row = form.get_by_role("group", name="Treatments so far").locator(".form-row").last
        take(row, Kind_of_treatment=kind, Effect_on_the_pain="partial")
        enter(row, What=what, From="2021-03-01")
    for name, role in TEAM:
        form.get_by_role("button", name="Add a member").click()
        row = form.get_by_role("group", name="Team").locator(".form-row").last
        enter(row, Name=name, Profession=role)
        choose(row, "Experienced in stimulation", "yes")
        choose(row, "Agrees with a trial", "yes")
    enter(form, DN4="6")
    form.get_by_role("button", name="All others: none").click()
    form.get_by_role("button", name="All others: no", exact=True).click()
    write(page)
    expect(page.get_by_text("nothing speaks against a trial")).to_be_visible()


def sign(page: Page, on: int = 49) -> None:
    """Both members of the team."""
    for name, role in TEAM:
        form = begin(page, "Selection", "Sign for the team")
        enter(form, Signed_on=ago(on), Name=name, Profession=role)
        choose(form, "Agrees with a trial", "yes")
        write(page)


def select(page: Page, on: int = 48) -> None:
    form = begin(page, "Selection", "Decide on selection")
    enter(form, Decided_on=ago(on))
    choose(form, "Decision", "selected")
    write(page)


def prepare(page: Page, stage: str = "trial", on: int = 40) -> None:
    """Consent, plan and the bundle against infection."""
    form = begin(page, "Procedure", "Record a consent")
    enter(form, Recorded_on=ago(on), Explained_on=ago(on + 2), Signed_by_the_patient_on=ago(on), Version_of_the_text="3.1")
    for box in form.get_by_role("group", name="Risks that were named").get_by_role("checkbox").all():
        box.check()
    choose(form, "Other treatments were explained", "yes")
    choose(form, "That the system can be taken out again was explained", "yes")
    write(page)
    form = begin(page, "Procedure", "Plan the procedure")
    enter(form, Planned_on=ago(on), Leads="1", Responsible="Dr Gas")
    take(form, Where_the_pain_is="low back axial (tonic)", Vertebra_of_the_active_cathode="T9", Needle_enters_below="L1", Side_of_the_leads="midline")
    if stage == "implant":
        take(form, Site_of_the_generator="upper buttock")
    form.get_by_label("Imaging, and what it showed").fill("MRI: room for a lead")
    choose(form, "Drugs on clotting", "takes none")
    choose(form, "Kind", "local with sedation")
    choose(form, "Fasting is confirmed", "yes")
    form.get_by_role("button", name="All others: no", exact=True).click()
    write(page)
    form = begin(page, "Procedure", "Tick the bundle against infection")
    enter(form, On=ago(on), Done_on=ago(on))
    form.get_by_role("button", name="Everything else was done").click()
    write(page)


def note(page: Page, text: str) -> None:
    """Write a note; whether it was taken is for the caller to see."""
    section(page, "Overview")
    page.get_by_text("Everything else that can be recorded").click()
    page.get_by_role("link", name="Write a note").click()
    page.get_by_label("Note", exact=True).fill(text)
    page.get_by_role("button", name="Write", exact=True).click()


def lead(page: Page, on: int = 30, serial: str = "L-2026-17") -> None:
    form = begin(page, "Procedure", "Record a lead")
    enter(form, Placed_on=ago(on), Model="octrode", Vertebra_at_the_tip="T8", Serial_number=serial, Lot="LOT-7")
    write(page)


def program(page: Page, on: int = 30, slot: str = "A", amplitude: str = "4.2") -> None:
    form = begin(page, "Trial", "Set a program")
    enter(form, Set_on=ago(on), Name_of_the_program_on_the_device=slot, Frequency="50", Pulse_width="300", Cathodes="3", Anodes="5",
          Amplitude=amplitude, First_felt_at="3.1", Uncomfortable_at="6.4", Left_with_the_patient_at=amplitude)
    take(form, Area="whole leg", Side="left")
    form.get_by_role("button", name="Mark").click()
    write(page)


def trial(page: Page, on: int = 30) -> None:
    form = begin(page, "Trial", "Begin the trial")
    enter(form, Begins_on=ago(on), Planned_length="7", Average_pain_before="8")
    write(page)


def diary_link(page: Page) -> str:
    """A link as the patient gets it; gives its address."""
    section(page, "Overview")
    page.get_by_role("button", name="Make a link").click()
    return page.get_by_label("Link for the patient's phone").input_value()


def end_trial(page: Page, on: int = 23, relief: str = "65") -> None:
    form = begin(page, "Trial", "End the trial")
    enter(form, Ended_on=ago(on))
    form.get_by_label("Relief that the patient reports").fill(relief)
    write(page)


def judge(page: Page, on: int = 22) -> None:
    form = begin(page, "Trial", "Judge the trial")
    enter(form, Judged_on=ago(on))
    choose(form, "The trial", "succeeded")
    write(page)


def generator(page: Page, on: int = 18, serial: str = "G-5500") -> None:
    form = begin(page, "Implant", "Record the generator")
    enter(form, Placed_on=ago(on), Model="proclaim-xr-5", Serial_number=serial)
    choose(form, "Site", "upper buttock")
    write(page)


def discharge(page: Page, on: int = 18) -> None:
    form = begin(page, "Implant", "Discharge")
    enter(form, Went_home_on=ago(on))
    write(page)


def visit(page: Page, on: int = 6, pain: str = "3") -> None:
    form = begin(page, "Follow-up", "Record a visit")
    enter(form, Seen_on=ago(on), Average_pain=pain, Battery="90")
    write(page)


def complication(page: Page, on: int = 5) -> None:
    form = begin(page, "Complications", "Record a complication")
    enter(form, Recorded_on=ago(on), Name_within_this_record="pocket infection 1", Began_on=ago(on + 1))
    take(form, Kind="infection")
    form.get_by_label("More exactly").select_option("deep")
    choose(form, "What it led to", "these:")
    form.get_by_label("a stay in hospital").check()
    form.get_by_role("button", name="Add what was done").click()
    row = form.get_by_role("group", name="What was done", exact=True).locator(".form-row")
    enter(row, Day=ago(on), What="swab, antibiotics")
    write(page)


def explant(page: Page, on: int = 0) -> None:
    form = begin(page, "Explant", "Record the explant")
    enter(form, Taken_out_on=ago(on))
    take(form, Reason="infection")
    write(page)
