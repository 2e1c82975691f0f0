"""The rooms Clinic and People, on a clinic of fictional patients."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta

import pytest
from desk import PASSWORDS, Desk, accessible, login, shot, staff
from playwright.sync_api import Browser, Page, expect

from epidura.clinic import views
from epidura.clinic.record import Record, pseudonym
from epidura.clinic.synthetic import RECALLED, populate


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A server on a record that has lived for a year."""
    desk = Desk(tmp_path_factory.mktemp("desk"), staffed=True)
    record = Record.create(desk.folder / "clinic.sqlite")
    populate(record, patients=60, years=1, seed=1)
    staff(record, "administrator", "physician", "nurse")
    record.close()
    desk.start()
    try:
        yield desk
    finally:
        desk.stop()


@pytest.fixture
def record(desk: Desk) -> Iterator[Record]:
    """The same record, looked at from beside the server."""
    record = Record.open(desk.folder / "clinic.sqlite")
    yield record
    record.close()


def test_who_is_where_who_is_late_and_how_people_do(record: Record, page: Page) -> None:
    found = views.overview(record, date.today())
    login(page, "nurse", "clinic")
    expect(page.get_by_text(f"{found.patients} patients on record")).to_be_visible()
    for stage, count in found.stages.items():
        expect(page.get_by_role("button", name=f"{stage}: {count}", exact=True)).to_be_visible()
    stage = "trial running"
    page.get_by_role("button", name=re.compile(f"^{stage}")).click()
    for each in record.patients(stage):
        link = page.get_by_role("list").get_by_role("link", name=each["pseudonym"])
        expect(link).to_have_attribute("href", f"#/pathway/{each['id']}")
    late = page.get_by_role("region", name="who is late")
    assert found.late
    for each in found.late[:12]:
        expect(late.get_by_role("row").filter(has_text=each.pseudonym).filter(has_text=each.alarm).first).to_be_visible()
    with page.expect_download() as taken:
        page.get_by_role("button", name="CSV of late.csv").click()
    rows = taken.value.path().read_text().splitlines()
    assert rows[0] == "what,patient,details,since,days"
    assert len(rows) == 1 + len(found.late)
    accessible(page)
    shot(page, "clinic-today")
    page.get_by_role("link", name="Outcomes").click()
    table = page.get_by_role("region", name="pain at the visits")
    one = found.outcomes[0]
    assert one.responder50.percent is not None
    expect(table.get_by_role("row").filter(has_text=re.compile("^1 month"))).to_contain_text(
        f"{one.responder50.percent:.0f} % ({one.responder50.low:.0f} to {one.responder50.high:.0f} %), {one.responder50.k} of {one.responder50.n}")
    few = found.outcomes[1]
    assert few.responder50.percent is None  # too few for a percentage: none is shown
    expect(table.get_by_role("row").filter(has_text=re.compile("^3 months"))).not_to_contain_text("%")
    expect(page.locator(".js-plotly-plot")).to_have_count(3)
    page.get_by_text("Published figures beside it").first.click()
    expect(page.get_by_role("region", name="published figures: outcomes").get_by_role("row")).to_have_count(
        1 + sum(len(each.published) for each in found.outcomes))
    if any(each.unverified for outcome in found.outcomes for each in outcome.published):
        page.get_by_role("region", name="published figures: outcomes").get_by_role("button", name=re.compile("^unverified")).first.click()
        expect(page.get_by_text("This rests on numbers that nobody has checked").first).to_be_visible()
        page.keyboard.press("Escape")
    accessible(page)
    shot(page, "clinic-outcomes")


@pytest.mark.slow
def test_safety_notice_finds_the_patients(record: Record, page: Page) -> None:
    lots = {patient: state["generator"]["lot"] for patient, state in record.states() if (state.get("generator") or {}).get("lot")}
    lot = RECALLED if RECALLED in lots.values() else next(iter(lots.values()))
    concerned = [patient for patient, each in lots.items() if each == lot]
    model = record.state(concerned[0])["generator"]["model"]
    login(page, "nurse", "clinic/recalls")
    page.get_by_label("Manufacturer").fill("Nobody Inc.")
    page.get_by_label("Day of the notice").fill("2026-05-01")
    page.get_by_label("What to do").fill("tell the patient")
    page.get_by_label("Where the notice can be read").fill("letter of the maker")
    page.get_by_label("Ranges of serial numbers").fill("AB200 to AB100")
    page.get_by_role("button", name="Find the patients").click()
    expect(page.get_by_text("not a range of serial numbers")).to_be_visible()
    page.get_by_label("Ranges of serial numbers").fill("")
    page.get_by_role("button", name="Find the patients").click()
    expect(page.get_by_text("No part on record is of this notice")).to_be_visible()
    from epidura.tables import table

    page.get_by_label("Manufacturer").fill(next(row["manufacturer"] for row in table("generators") if row["model"] == model))
    page.get_by_label("Lots").fill(lot)
    page.get_by_label("Number of the notice").fill("TEST-FSN-9")
    page.reload()  # what was typed in is kept
    expect(page.get_by_label("Lots")).to_have_value(lot)
    page.get_by_role("button", name="Find the patients").click()
    row = page.get_by_role("region", name="patients of the notice").get_by_role("row").filter(has_text=pseudonym(concerned[0]))
    expect(row).to_contain_text("affected")
    accessible(page)
    shot(page, "clinic-recalls")
    row.get_by_role("button", name="Note in record").click()
    expect(row.get_by_text("noted", exact=True)).to_be_visible()
    kept = record.state(concerned[0])["recalls"]
    assert any(each["notice"] == "TEST-FSN-9" and each["part"] == "generator" and each["state"] == "affected" for each in kept.values())


def test_a_row_of_the_table_is_locked_until_a_physician_signs_it(desk: Desk, browser: Browser, page: Page) -> None:
    login(page, "physician", "clinic/drugs")
    row = page.get_by_role("row").filter(has_text="warfarin")
    expect(row).to_contain_text("locked: nobody has filled it in")
    page.get_by_role("button", name="Fill in warfarin").click()
    page.get_by_label("Stop before the procedure").fill("soon")
    page.get_by_label("Restart after the procedure").fill("24 h")
    page.get_by_label("What you read").fill("fictional guideline, page 1")
    page.get_by_role("dialog").get_by_role("button", name="Fill in").click()
    expect(page.get_by_role("dialog").get_by_role("alert").filter(has_text="stop_before")).to_be_visible()
    page.get_by_label("Stop before the procedure").fill("5 d")
    accessible(page)
    page.get_by_role("dialog").get_by_role("button", name="Fill in").click()
    expect(row).to_contain_text("locked: nobody has signed it")
    expect(row).to_contain_text("5 days")
    page.get_by_role("button", name="Sign warfarin").click()
    page.get_by_label("Profession").fill("anaesthetist")
    page.get_by_label("Registration number").fill("REG-1")
    page.get_by_label("Review by").fill((date.today() + timedelta(days=200)).isoformat())
    page.get_by_role("dialog").get_by_role("button", name="Sign").click()
    expect(row).to_contain_text("holds")
    expect(row).to_contain_text("Pat Physician, anaesthetist")
    expect(page.get_by_text("1 of 32 rows are signed")).to_be_visible()
    page.get_by_role("button", name="Change warfarin").click()
    expect(page.get_by_label("Stop before the procedure")).to_have_value("120 h")
    page.get_by_label("Stop before the procedure").fill("6 d")
    page.get_by_role("dialog").get_by_role("button", name="Fill in").click()
    expect(row).to_contain_text("locked: changed after it was signed")
    accessible(page)
    shot(page, "clinic-drugs")
    nurse = desk.context(browser).new_page()
    login(nurse, "nurse", "clinic/drugs")
    expect(nurse.get_by_role("row").filter(has_text="warfarin")).to_contain_text("6 days")
    expect(nurse.get_by_role("button", name=re.compile("warfarin"))).to_have_count(0)
    nurse.context.close()


def test_people_come_and_go(desk: Desk, browser: Browser, page: Page) -> None:
    login(page, "administrator", "people")
    page.get_by_label("Name").fill("Nora Newcomer")
    page.get_by_label("Login").fill("nora")
    page.get_by_label("First password").fill("short")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("15 to 200 characters; four or more words")).to_be_visible()
    accessible(page)
    first, second = "walnut ferry 31 lantern", "copper sleigh 88 meadow"
    page.get_by_label("First password").fill(first)
    page.get_by_role("button", name="Add", exact=True).click()
    row = page.get_by_role("row").filter(has_text="Nora Newcomer")
    expect(row).to_contain_text("may come in")
    shot(page, "people")
    other = desk.context(browser).new_page()
    other.goto("/#/clinic")
    other.get_by_label("Login").fill("nora")
    other.get_by_label("Password").fill(first)
    other.get_by_role("button", name="Log in").click()
    other.get_by_role("button", name="Password").click()
    other.get_by_label("Password as it is").fill("not this one at all")
    other.get_by_label("New password", exact=True).fill(second)
    other.get_by_label("New password once more").fill(second)
    other.get_by_role("button", name="Change it").click()
    expect(other.get_by_text("login or password is wrong")).to_be_visible()
    expect(other.get_by_role("heading", name="Your session ended")).to_have_count(0)
    other.get_by_label("Password as it is").fill(first)
    accessible(other)
    other.get_by_role("button", name="Change it").click()
    expect(other.get_by_text("Your password was changed")).to_be_visible()
    other.get_by_label("Login").fill("nora")
    other.get_by_label("Password").fill(second)
    other.get_by_role("button", name="Log in").click()
    expect(other.get_by_role("heading", name="Clinic")).to_be_visible()
    page.get_by_role("button", name="Deactivate Nora Newcomer").click()
    page.get_by_role("dialog").get_by_role("button", name="Deactivate").click()
    expect(row).to_contain_text("left")
    other.reload()
    expect(other.get_by_label("Login")).to_be_visible()  # the session is over
    other.context.close()
    page.get_by_role("button", name="Deactivate Ada Administrator").click()
    page.get_by_role("dialog").get_by_role("button", name="Deactivate").click()
    expect(page.get_by_text("the last administrator cannot be deactivated")).to_be_visible()


@pytest.mark.slow
def test_access_log_chain_and_erasure(record: Record, page: Page) -> None:
    patient = next(patient for patient, state in record.states() if state["stage"] == "explanted" or state["stage"] == "follow-up")
    login(page, "administrator", "people/erase")
    page.get_by_label("Patient").fill(patient)
    page.get_by_label("Pseudonym, typed out").fill("P-WRONG")
    page.get_by_label("Authority").fill("fictional article 17")
    page.get_by_label("Reason").fill("asked in writing")
    page.get_by_label("Your password").fill("not the right one here")
    erase = page.get_by_role("button", name="Erase", exact=True)
    expect(erase).to_be_disabled()
    page.get_by_label("I understand").check()
    erase.click()
    expect(page.get_by_text("this is not the pseudonym of this patient")).to_be_visible()
    page.get_by_label("Pseudonym, typed out").fill(pseudonym(patient))
    erase.click()
    expect(page.get_by_text("login or password is wrong")).to_be_visible()
    assert record.identity(patient) is not None
    accessible(page)
    page.get_by_label("Your password").fill(PASSWORDS["administrator"])
    erase.click()
    expect(page.get_by_text(f"Who {pseudonym(patient)} is was erased")).to_be_visible()
    assert record.identity(patient) is None
    page.get_by_role("link", name="Who looked at what").click()
    page.get_by_label("Patient").fill(patient)
    page.get_by_label("Patient").press("Enter")
    page.get_by_label("only what was refused").check()
    log = page.get_by_role("region", name="access log")
    expect(log.get_by_role("row").filter(has_text="refused, 401")).to_have_count(1)
    expect(log.get_by_role("row").filter(has_text="refused, 422")).to_have_count(1)
    expect(log.get_by_role("row")).to_have_count(3)
    accessible(page)
    shot(page, "people-access")
    page.get_by_role("link", name="Is the record whole").click()
    page.get_by_role("button", name="Follow the chain").click()
    expect(page.get_by_text("The record is whole")).to_be_visible()
    found = record.verify()
    expect(page.get_by_text(found.head, exact=True)).to_be_visible()
    expect(page.get_by_text(f"{found.events:,}", exact=True)).to_be_visible()
    accessible(page)
    shot(page, "people-record")


@pytest.mark.slow
def test_a_patient_on_trial_tells_which_program_and_sees_the_days_before(desk: Desk, browser: Browser, record: Record, page: Page) -> None:
    patient, state = next((patient, state) for patient, state in record.states() if state["stage"] == "trial running" and state.get("programs"))
    login(page, "nurse", "clinic")
    csrf = page.request.get("/api/v1/me").json()["csrf"]
    link = page.request.post(f"/api/v1/patients/{patient}/diary-links", headers={"X-CSRF-Token": csrf}).json()["path"]
    slot, today = next(iter(state["programs"])), date.today()
    told = record.diary(patient, (today - timedelta(days=13)).isoformat(), today.isoformat())
    phone = desk.context(browser, "phone", has_touch=True, locale="en-GB").new_page()
    phone.goto(link)
    expect(phone.get_by_text(f"{len(told)} of the last 14 days are filled in.")).to_be_visible()
    earlier = today - timedelta(days=20)
    phone.get_by_label("Another day").fill(earlier.isoformat())
    expect(phone.get_by_role("button", name=re.compile("^Save .* " + f"{earlier:%B}"))).to_be_visible()
    phone.get_by_role("group", name="Program").get_by_text(slot, exact=True).tap()
    phone.get_by_role("group", name="Sleep").get_by_text("5", exact=True).tap()
    phone.get_by_role("button", name=re.compile("^Save")).tap()
    expect(phone.get_by_text("Your clinic has it.")).to_be_visible()
    shot(phone, "diary-on-trial")
    phone.context.close()
    (day,) = record.diary(patient, earlier.isoformat(), earlier.isoformat())
    assert (day["slot"], day["sleep"]) == (slot, 5)


def test_on_a_phone_nothing_sticks_out(desk: Desk, browser: Browser) -> None:
    for role, dark, rooms in (("nurse", True, ["clinic", "clinic/outcomes", "clinic/recalls", "clinic/drugs"]),
                              ("administrator", False, ["people", "people/access", "people/record", "people/erase"])):
        page = desk.context(browser, "phone", dark=dark).new_page()
        login(page, role, rooms[0])
        for room in rooms:
            page.goto(f"/#/{room}")
            expect(page.locator("main .card").first).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, room
            accessible(page)
            shot(page, f"{room.replace('/', '-')}-phone")
        page.context.close()
