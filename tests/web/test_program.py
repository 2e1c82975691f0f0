"""The room Program, with a person's hands: contacts, amplitude, type of stimulation, generator, comparison, files, the record."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from desk import Desk, accessible, login, shot
from playwright.sync_api import Browser, Locator, Page, expect

from epidura.canal import build_canal
from epidura.case import read
from epidura.field import solve_field
from epidura.recruitment import recruit
from epidura.result import Result
from epidura.study import cache_folder

EXACT = re.compile("^exact")
FEW = "48"


@pytest.fixture(scope="module")
def room(desk: Desk, browser: Browser) -> Page:
    """The demo's tonic program alone, with few fibres so that nobody waits; the tests go on from each other."""
    context = desk.context(browser)
    page = context.new_page()
    login(page, "physician", "program")
    page.get_by_role("tab", name="burst").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_text("Trains, sources, turns, ramp, limits").click()
    page.get_by_label("Simulated fibres of the dorsal columns").fill(FEW)
    page.keyboard.press("Tab")
    exact(page)
    page.get_by_text("Trains, sources, turns, ramp, limits").click()
    return page


def exact(page: Page) -> None:
    """Until the thresholds are those of a run."""
    expect(page.locator("main .state").get_by_text(EXACT)).to_be_visible(timeout=60_000)


def card(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True)


def amplitude(page: Page, level: float) -> None:
    page.get_by_label("amplitude in mA").fill(str(level))
    page.keyboard.press("Enter")


def test_coverage_is_what_a_run_says_at_every_amplitude(desk: Desk, room: Page) -> None:
    case = read((files("epidura") / "data" / "demo.yaml").read_text("utf-8"))
    case = case.but(programs=[case.programs[0].model_dump(mode="json")],
                    fibres=[one.but(count=int(FEW)).model_dump(mode="json") if one.kind == "dorsal-column" else one.model_dump(mode="json")
                            for one in case.fibres])
    lead_field = solve_field(build_canal(case.anatomy, case.leads), cache=cache_folder())
    result = Result(case, lead_field.canal, lead_field, recruit(lead_field, case.fibres, case.programs, case.rules))
    assert case.patient is not None
    pain = case.patient.pain.dermatomes().keys()
    discomfort = float(result.recruitment.discomfort_threshold[0]) * 1e3
    seen = set()
    for share in (0.3, 0.8, 1.0, 1.2):
        level = round(share * discomfort, 2)
        amplitude(room, level)
        hit = len(result.felt(0, level * 1e-3) & pain)
        expect(card(room, "Amplitude and coverage")).to_contain_text(f"({hit} of {len(pain)})")
        seen.add(hit)
    assert len(seen) > 2
    expect(room.locator(".marker.discomfort")).to_contain_text(f"{discomfort:.3g}")
    # hatched is where it hurts, and not the dermatomes that it stands for: those of the low back reach down both legs
    hatched = card(room, "Amplitude and coverage").locator("[data-view] .pain.on")
    assert {one.get_attribute("data-area") for one in hatched.all()} == {"left-low-back", "right-low-back", "left-leg"}
    accessible(room)
    shot(room, "program-desktop")
    assert not desk.complaints


def test_slider_by_keyboard_and_back(room: Page) -> None:
    slider = room.get_by_role("slider", name="amplitude")
    slider.focus()
    room.keyboard.press("Home")
    expect(card(room, "Amplitude and coverage")).to_contain_text("below perception")
    room.keyboard.press("End")
    expect(card(room, "Amplitude and coverage")).to_contain_text("uncomfortable")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("milliampere, uncomfortable"))
    expect(room.get_by_role("img", name=re.compile("dorsal columns: [1-9]"))).to_be_visible()
    exact(room)  # the answer to the new amplitude has drawn the marks anew; the keys still go to the slider
    expect(slider).to_be_focused()
    most = float(slider.input_value())
    room.keyboard.press("ArrowLeft")
    expect(slider).to_have_value(f"{most - 0.01:.2f}")
    room.get_by_label("Set as").select_option("usual")
    expect(card(room, "Amplitude and coverage")).to_contain_text("felt")


def written(room: Page) -> dict[str, Any]:
    """The program, as a file has it."""
    with room.expect_download() as download:
        room.get_by_role("button", name="Save as file").click()
    found: dict[str, Any] = json.loads(Path(download.value.path()).read_text("utf-8"))["programs"][0]
    return found


def test_a_voltage_is_set_shown_and_written_as_one(room: Page) -> None:
    own = card(room, "Amplitude and coverage")
    amplitude(room, 2)
    exact(room)
    assert written(room)["amplitude"] == "2 mA"
    room.get_by_label("Set as").select_option("voltage")
    field = room.get_by_label("amplitude in V")
    expect(own).to_contain_text("One source holds this voltage")
    expect(own).to_contain_text("2.00 mA as a pulse begins")
    expect(room.get_by_label("amplitude in mA")).to_have_count(0)
    exact(room)
    kept = written(room)
    assert (kept["amplitude"], kept["sources"]) == (f"{float(field.input_value()):g} V", "single")
    volts = float(field.input_value())
    assert 0.3 < volts < 4  # some hundred ohm
    field.fill("1.234")
    room.keyboard.press("Enter")
    exact(room)
    assert written(room)["amplitude"] == "1.234 V"
    expect(own.locator(".big")).to_have_text("1.234\u00a0V")
    expect(own).to_contain_text(f"{2 * 1.234 / volts:.2f} mA as a pulse begins")
    expect(own.locator(".marker.discomfort")).to_contain_text(re.compile(r"\d\sV"))
    # the slider goes on in volts
    slider = room.get_by_role("slider", name="amplitude")
    slider.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"^1\.2\d+ volt, "))
    exact(room)
    assert written(room)["amplitude"].endswith(" V")
    now = field.input_value()
    # what cannot be is said, and nothing is lost
    field.fill("0")
    room.keyboard.press("Enter")
    expect(room.get_by_text("An amplitude is above 0 V; polarity comes from the signs of the contacts.")).to_be_visible()
    expect(field).to_have_value(now)
    room.get_by_text("Trains, sources, turns, ramp, limits").click()
    sources = card(room, "Type of stimulation").get_by_label("Sources")
    sources.select_option("independent")
    expect(card(room, "Type of stimulation").get_by_role("alert").filter(has_text="a voltage needs one source for all contacts")).to_be_visible()
    expect(sources).to_have_value("single")
    room.get_by_text("Trains, sources, turns, ramp, limits").click()
    accessible(room)
    shot(room, "program-voltage")
    room.get_by_label("Set as").select_option("current")
    expect(room.get_by_label("amplitude in mA")).to_have_value(f"{2 * float(now) / volts:.2f}")
    exact(room)
    assert written(room)["amplitude"].endswith(" mA")
    for _ in range(4):
        room.get_by_role("button", name="Undo").click()
    expect(room.get_by_label("amplitude in mA")).to_have_value("2.00")
    exact(room)
    assert {"amplitude": "2 mA", "sources": "independent"}.items() <= written(room).items()
    room.get_by_label("Set as").select_option("usual")
    exact(room)


def test_a_voltage_before_anything_is_known_is_the_number_that_is_entered(desk: Desk, browser: Browser) -> None:
    context = desk.context(browser)
    page = context.new_page()
    page.route(re.compile("/program/recruit"), lambda route: route.abort())
    login(page, "nurse", "program")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    page.get_by_label("Set as").select_option("voltage")
    field = page.get_by_label("amplitude in V")
    expect(field).to_be_focused()
    expect(field).to_have_value("")
    assert written(page)["amplitude"] == "auto"
    expect(page.get_by_label("amplitude in mA")).to_be_visible()  # left without a number: it stays as it was
    page.get_by_label("Set as").select_option("voltage")
    field.fill("2.5")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Undo").and_(page.locator(":enabled")).wait_for()
    expect(field).to_have_value("2.5")
    assert {"amplitude": "2.5 V", "sources": "single"}.items() <= written(page).items()
    page.get_by_label("Set as").select_option("share")
    expect(page.get_by_text("No perception threshold is known")).to_be_visible()
    assert written(page)["amplitude"] == "2.5 V"
    expect(page.get_by_label("Set as")).to_have_value("voltage")
    context.close()


def test_contacts_click_through_and_balance(room: Page) -> None:
    contacts = card(room, "Contacts")
    three = contacts.get_by_role("button", name=re.compile("^contact 3:"))
    three.click()
    expect(three).to_have_accessible_name("contact 3: cathode")
    expect(contacts.get_by_label("share of contact 4")).to_have_value("50")
    exact(room)
    three.focus()
    room.keyboard.press("Space")
    expect(three).to_have_accessible_name("contact 3: anode")
    room.keyboard.press("Enter")
    expect(three).to_have_accessible_name("contact 3: off")
    five = contacts.get_by_role("button", name=re.compile("^contact 5:"))
    five.click()  # the only anode goes
    expect(contacts).to_contain_text("There is no anode yet")
    accessible(room)
    contacts.get_by_role("button", name="Case as anode").click()
    expect(contacts.get_by_role("button", name="case of the generator: anode")).to_be_visible()
    contacts.get_by_role("button", name=re.compile("^contact 2:")).click()
    share = contacts.get_by_label("share of contact 2")
    share.fill("30")
    room.keyboard.press("Tab")
    expect(contacts).to_contain_text("Each side has to carry 100 %")
    contacts.get_by_role("button", name="Balance").click()
    expect(share).to_have_value("37.5")
    exact(room)
    for _ in range(6):
        room.get_by_role("button", name="Undo").click()
    expect(contacts.get_by_role("button", name="contact 5: anode")).to_be_visible()
    exact(room)


@pytest.mark.slow
def test_generator_says_what_it_cannot_and_offers_the_nearest(room: Page) -> None:
    figures = card(room, "At the electrodes")
    expect(figures).to_contain_text("Shannon k")
    expect(figures).to_contain_text("µC/cm²")
    amplitude(room, 1.873)  # between its steps
    figures.get_by_label("Generator", exact=True).select_option("evoke")
    expect(figures).to_contain_text("evoke cannot deliver this")
    figures.get_by_role("button", name="Use the nearest").click()
    expect(figures).not_to_contain_text("cannot deliver", timeout=30_000)
    exact(room)
    accessible(room)


@pytest.mark.slow
def test_wrong_setting_is_said_and_not_taken(room: Page) -> None:
    kind = card(room, "Type of stimulation")
    kind.get_by_label("Frequency", exact=True).fill("9000")
    room.keyboard.press("Tab")
    expect(kind.get_by_role("alert").filter(has_text="lasts longer than its period")).to_contain_text("allowed")
    expect(kind.get_by_label("Frequency", exact=True)).not_to_have_value("9000")


def test_programs_side_by_side_and_a_type_that_is_not_felt(room: Page, tmp_path: Path) -> None:
    room.get_by_role("button", name="Duplicate").click()
    expect(room.get_by_role("tab", name="tonic 2", selected=True)).to_be_visible()
    room.get_by_label("Name of the program").fill("quiet")
    room.keyboard.press("Tab")
    expect(room.get_by_role("tab", name="quiet")).to_be_visible()
    card(room, "Type of stimulation").get_by_label("Type", exact=True).select_option("fast-acting")
    gate = card(room, "What the gate does instead")
    expect(gate).to_contain_text("nothing is meant to be felt")
    exact(room)
    expect(card(room, "Amplitude and coverage")).to_contain_text("below perception")
    compare = card(room, "Compare programs")
    compare.get_by_role("button", name="Compare 2 programs").click()
    expect(compare.get_by_role("heading", name="quiet")).to_be_visible(timeout=60_000)
    expect(compare).to_contain_text("Not meant to be felt")
    shot(room, "program-compare")
    accessible(room)
    with room.expect_download() as download:
        compare.get_by_role("button", name="Save the table (CSV)").click()
    lines = Path(download.value.path()).read_text("utf-8").splitlines()
    assert lines[0] == '"","tonic","quiet"'
    assert any(line.startswith('"perception"') and "mA" in line for line in lines)
    with room.expect_download() as download:
        room.get_by_role("button", name="Save as file").click()
    kept = json.loads(Path(download.value.path()).read_text("utf-8"))
    assert [each["name"] for each in kept["programs"]] == ["tonic", "quiet"]
    room.get_by_role("button", name="Delete").click()
    expect(room.get_by_role("tab", name="quiet")).to_have_count(0)
    file = tmp_path / "programs.json"
    file.write_text(json.dumps(kept), "utf-8")
    room.get_by_label("open a program file").set_input_files(file)
    expect(room.get_by_role("tab", name="quiet")).to_be_visible()


def test_server_goes_away_and_comes_back(desk: Desk, room: Page) -> None:
    room.get_by_role("tab", name="tonic").click()
    exact(room)
    desk.kill()
    contacts = card(room, "Contacts")
    contacts.get_by_role("button", name=re.compile("^contact 6:")).click()
    expect(room.get_by_text("Offline: the server cannot be reached")).to_be_visible()
    expect(contacts.get_by_role("button", name="contact 6: cathode")).to_be_visible()
    desk.start()
    expect(room.get_by_text("The server is back.")).to_be_visible()
    exact(room)
    expect(contacts.get_by_role("button", name="contact 6: cathode")).to_be_visible()
    desk.complaints.clear()


@pytest.mark.slow
def test_record_of_a_patient_says_what_it_lacks(desk: Desk, browser: Browser) -> None:
    context = desk.context(browser)
    page = context.new_page()
    login(page, "nurse", "program")
    told = page.request.get("/api/v1/me").json()
    heads = {"X-CSRF-Token": told["csrf"], "Idempotency-Key": "program-test-1"}
    answer = page.request.post("/api/v1/patients", headers=heads, data={"events": [
        {"kind": "patient.registered", "on": "2026-01-02", "birth_year": 1961,
         "identity": {"family_name": "Example", "given_name": "Eva", "birth_date": "1961-02-03"}},
        {"kind": "referral.received", "on": "2026-01-03", "indication": "failed-back-surgery", "pain_areas": ["low-back"]}]})
    assert answer.ok, answer.text()
    patient = answer.headers["location"].rsplit("/", 1)[1]
    case = page.request.get("/api/v1/case/start").json()["case"]
    # as the room Pathway opens a patient's program
    page.evaluate("([key, value]) => localStorage.setItem(key, value)",
                  [f"epidura.{told['person']['id']}.draft", json.dumps({"case": case, "patient": patient})])
    page.reload()
    page.get_by_role("button", name="Save to the patient's record").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Perception felt at").fill("2.1")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("lead")
    expect(dialog.get_by_label("Perception felt at")).to_have_value("2.1")
    accessible(page)
    context.close()


def test_phone_and_dark_stay_within_the_page(desk: Desk, browser: Browser) -> None:
    context = desk.context(browser, "phone", dark=True)
    page = context.new_page()
    login(page, "nurse", "program")
    expect(card(page, "Contacts").get_by_role("button", name="contact 4: cathode")).to_be_visible()
    expect(page.locator("body-map svg").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    accessible(page)
    shot(page, "program-phone")
    context.close()


