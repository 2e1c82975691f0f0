"""The diary on a phone: a day by tapping, without a connection, through a killed server, with old links and other people's links."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from desk import CHROMIUM, PASSWORDS, SIZES, Desk, accessible, login, shot
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect
from playwright.sync_api import Error as PlaywrightError


class Nurse:
    """Looks at records and makes links, by the REST interface."""

    def __init__(self, desk: Desk):
        self.api = httpx.Client(base_url=f"{desk.url}/api/v1", timeout=30)
        told = self.api.post("/login", json={"login": "nurse", "password": PASSWORDS["nurse"], "keep": "token"}).json()
        self.api.headers["Authorization"] = f"Bearer {told['token']}"

    def patient(self, family: str) -> str:
        answer = self.api.post("/patients", headers={"Idempotency-Key": f"register-{family}"}, json={"events": [
            {"kind": "patient.registered", "on": "2026-01-05", "birth_year": 1960,
             "identity": {"family_name": family, "given_name": "Ida", "birth_date": "1960-02-03"}},
            {"kind": "referral.received", "on": "2026-01-06", "indication": "failed-back-surgery", "nrs": 7}]})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def link(self, patient: str) -> str:
        return str(self.api.post(f"/patients/{patient}/diary-links").json()["path"])

    def end(self, patient: str) -> None:
        assert self.api.delete(f"/patients/{patient}/diary-links").status_code == 204

    def days(self, patient: str) -> dict[str, dict[str, Any]]:
        items = self.api.get(f"/patients/{patient}/diary").json()["items"]
        return {day["day"]: {key: value for key, value in day.items() if key not in ("day", "version") and value not in (None, [])}
                for day in items}

    def written(self, patient: str) -> int:
        """Diary events, those that a later one replaced included."""
        return sum(each["kind"] == "diary.recorded" for each in self.api.get(f"/patients/{patient}/timeline").json()["items"])


@pytest.fixture(scope="module")
def nurse(desk: Desk) -> Iterator[Nurse]:
    nurse = Nurse(desk)
    yield nurse
    nurse.api.close()


@pytest.fixture
def phone(desk: Desk, browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Phones; their pages must not complain."""
    desk.complaints.clear()
    made: list[BrowserContext] = []

    def new(**more: Any) -> BrowserContext:
        made.append(desk.context(browser, "phone", has_touch=True, locale="en-GB", **more))
        return made[-1]

    yield new
    for each in made:
        each.close()
    assert not desk.complaints, desk.complaints


def tap(page: Page, question: str, answer: str) -> None:
    page.get_by_role("group", name=question).locator("label", has_text=re.compile(f"^{re.escape(answer)}$")).tap()


def save(page: Page, words: str) -> None:
    page.get_by_role("button", name=re.compile("^Save")).tap()
    expect(page.get_by_role("heading", name="Saved")).to_be_visible()
    expect(page.get_by_text(words).first).to_be_visible()


def installed(page: Page) -> None:
    """Wait until the phone has the files."""
    page.evaluate("navigator.serviceWorker.ready.then((found) => found.active.state === 'activated' || "
                  "new Promise((done) => found.active.addEventListener('statechange', done)))")


SENT, KEPT = "Your clinic has it.", "It is kept on this phone and will be sent"
TODAY = date.today().isoformat()
YESTERDAY = (date.today() - timedelta(days=1)).isoformat()


def opened(page: Page, link: str) -> None:
    page.goto(link)
    expect(page.get_by_role("button", name="Save today")).to_be_visible()
    expect(page.get_by_role("radio", name="Front")).to_be_attached()


def test_a_day_is_a_dozen_taps_with_large_targets(nurse: Nurse, phone: Callable[..., BrowserContext]) -> None:
    patient = nurse.patient("Tapperman")
    page = phone().new_page()
    opened(page, nurse.link(patient))
    assert page.url.endswith("/diary")  # the link is out of the address bar
    assert page.context.new_cdp_session(page).send("Page.getAppManifest")["errors"] == []
    taps = [("Worst pain", "7"), ("Average pain", "5"), ("Least pain", "6"), ("Sleep", "4"), ("What I could do", "3"), ("Painkillers", "Half more"),
            ("Hours with the stimulator on", "12")]
    for question, answer in taps:
        tap(page, question, answer)
    # above the average: that went along, and it was said
    expect(page.get_by_text("Average pain cannot be below least pain, so it was set to 6, too.")).to_be_visible()
    page.get_by_role("checkbox", name="left foot").first.tap()
    page.get_by_role("checkbox", name="right thigh").first.tap()
    small = page.evaluate("""[...document.querySelectorAll(
        '#diary button, #diary .cells label, #diary .pair label, #diary summary, #diary input[type=date]')]
        .filter((node) => node.checkVisibility()).map((node) => [node.textContent, node.getBoundingClientRect()])
        .filter(([, box]) => box.height < 48 || box.width < 48).map(([words, box]) => `${words} ${box.width} x ${box.height}`)""")
    assert small == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    accessible(page)
    shot(page, "diary-form-light")
    save(page, SENT)
    accessible(page)
    shot(page, "diary-saved-light")
    assert len(taps) + 3 <= 12
    day = {"worst": 7, "average": 6, "least": 6, "sleep": 4, "activity": 3, "medication": 1.5, "stimulation_hours": 12,
           "tingling": ["left-foot", "right-thigh"]}
    assert nurse.days(patient) == {TODAY: day}
    page = phone(dark=True).new_page()  # a second phone sees what the first one sent
    opened(page, nurse.link(patient))
    expect(page.get_by_text("You filled this day in before")).to_be_visible()
    expect(page.get_by_role("group", name="Worst pain").get_by_role("radio", name="7 of 10")).to_be_checked()
    tap(page, "Worst pain", "8")
    tap(page, "Sleep", "4")  # once more: taken back
    accessible(page)
    shot(page, "diary-form-dark")
    save(page, SENT)
    shot(page, "diary-saved-dark")
    assert nurse.days(patient) == {TODAY: {name: value for name, value in day.items() if name != "sleep"} | {"worst": 8}}
    assert nurse.written(patient) == 2


def test_without_a_connection_nothing_is_lost_and_nothing_comes_twice(nurse: Nurse, phone: Callable[..., BrowserContext]) -> None:
    patient = nurse.patient("Tunnelby")
    context = phone()
    page = context.new_page()
    page.goto(nurse.link(patient))
    expect(page.get_by_role("button", name="Save today")).to_be_visible()
    expect(page.get_by_role("radio", name="Front")).to_be_attached()
    installed(page)
    context.set_offline(True)
    page.close()
    page = context.new_page()
    page.goto("/diary")
    expect(page.get_by_text("No connection")).to_be_visible()
    tap(page, "Worst pain", "4")
    page.get_by_label("Note").fill("stairs twice")
    page.close()  # half-filled
    page = context.new_page()
    page.goto("/diary")
    expect(page.get_by_label("Note")).to_have_value("stairs twice")
    page.get_by_role("checkbox", name="left foot").first.tap()  # the figure is on the phone, too
    save(page, KEPT)
    page.get_by_role("button", name="Change this day").tap()
    tap(page, "Worst pain", "6")
    save(page, KEPT)
    expect(page.get_by_text("1 day kept on this phone, will be sent")).to_be_visible()
    accessible(page)
    shot(page, "diary-offline")
    page.close()
    assert nurse.days(patient) == {}
    context.set_offline(False)
    page = context.new_page()
    page.goto("/diary")
    expect(page.get_by_text("All sent")).to_be_visible()
    assert nurse.days(patient) == {TODAY: {"worst": 6, "tingling": ["left-foot"]}}
    assert nurse.written(patient) == 2
    page.reload()
    expect(page.get_by_text("All sent")).to_be_visible()
    assert nurse.written(patient) == 2


def test_killed_server_and_lost_answer(desk: Desk, nurse: Nurse, phone: Callable[..., BrowserContext]) -> None:
    lost: list[int] = []

    def lose(route: Route) -> None:
        if not lost:
            lost.append(route.fetch().status)  # the server has written it, then it dies, and the phone hears nothing
            desk.kill()
        route.abort()

    for again in range(3):  # seen three times: the phone was heard although its answer should be lost (the cause is not known); that shows nothing
        patient = nurse.patient(f"Crashfield{again}")
        context = phone()
        page = context.new_page()
        page.goto(nurse.link(patient))
        expect(page.get_by_role("button", name="Save today")).to_be_visible()
        installed(page)
        page.route("**/diary/sync", lose)
        tap(page, "Sleep", "8")
        save(page, KEPT)
        expect(page.get_by_text("No connection").or_(page.get_by_text("All sent"))).to_be_visible()
        if lost:
            break
        context.close()
    expect(page.get_by_text("No connection")).to_be_visible()
    assert lost == [200]
    page.unroute("**/diary/sync")
    page.get_by_role("button", name="yesterday: empty").tap()
    tap(page, "Worst pain", "9")
    save(page, KEPT)
    expect(page.get_by_text("2 days kept on this phone, will be sent")).to_be_visible()
    page.close()
    page = context.new_page()
    page.goto("/diary")  # from the phone itself
    expect(page.get_by_text("2 days kept on this phone, will be sent")).to_be_visible()
    desk.start()
    expect(page.get_by_text("All sent")).to_be_visible()
    assert nurse.days(patient) == {TODAY: {"sleep": 8}, YESTERDAY: {"worst": 9}}
    assert nurse.written(patient) == 2


@pytest.mark.slow
def test_phone_that_dies_after_it_said_kept(desk: Desk, browser: Browser, nurse: Nurse, tmp_path: Path) -> None:
    """The whole browser is killed, as by an empty battery, right after it said that the day is kept."""
    patient = nurse.patient("Batterson")
    folder = tmp_path / "phone"

    def switch_on() -> BrowserContext:
        return browser.browser_type.launch_persistent_context(
            folder, executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"], base_url=desk.url, viewport=SIZES["phone"], has_touch=True,
            locale="en-GB")

    context = switch_on()
    page = context.new_page()
    opened(page, nurse.link(patient))
    installed(page)
    context.set_offline(True)
    tap(page, "Worst pain", "9")
    save(page, KEPT)
    killed = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(folder).encode() in (process / "cmdline").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)
                killed += 1
    assert killed
    with suppress(PlaywrightError):
        context.close()
    context = switch_on()
    context.set_offline(True)
    page = context.new_page()
    page.goto("/diary")
    expect(page.get_by_text("1 day kept on this phone, will be sent")).to_be_visible()
    context.set_offline(False)
    page.goto("about:blank")
    page.goto(nurse.link(patient))  # the cookie may not have reached the disk
    expect(page.get_by_text("All sent")).to_be_visible()
    assert nurse.days(patient) == {TODAY: {"worst": 9}}
    assert nurse.written(patient) == 1
    context.close()


def test_ended_session_and_another_persons_link(nurse: Nurse, phone: Callable[..., BrowserContext]) -> None:
    ida, otto = nurse.patient("Firstling"), nurse.patient("Secondus")
    context = phone()
    page = context.new_page()
    used = nurse.link(ida)
    page.goto(used)
    expect(page.get_by_role("button", name="Save today")).to_be_visible()
    page.goto("about:blank")
    page.goto(used)  # once more: the phone has a session, so it just opens
    expect(page.get_by_text("Your diary is open on this phone anyway")).to_be_visible()
    nurse.end(ida)
    tap(page, "Worst pain", "3")
    save(page, "Ask your clinic for a new link")
    shot(page, "diary-ended")
    accessible(page)
    page.goto("about:blank")
    page.goto(nurse.link(otto))
    expect(page.get_by_role("dialog", name="Another person's diary is on this phone")).to_be_visible()
    accessible(page)
    shot(page, "diary-foreign")
    page.get_by_role("button", name="Keep it here").tap()
    expect(page.get_by_text("1 day of another diary: kept")).to_be_visible()
    tap(page, "Worst pain", "8")
    save(page, SENT)
    assert nurse.days(otto) == {TODAY: {"worst": 8}}
    assert nurse.days(ida) == {}
    page.goto("about:blank")
    page.goto(nurse.link(ida))
    expect(page.get_by_text("All sent")).to_be_visible()
    assert nurse.days(ida) == {TODAY: {"worst": 3}}
    assert nurse.written(otto) == 1
    fresh = phone().new_page()
    fresh.goto(used)
    expect(fresh.get_by_text("This link does not work any more")).to_be_visible()
    expect(fresh.get_by_text("Ask your clinic for a new link").first).to_be_visible()
    shot(fresh, "diary-old-link")


@pytest.mark.slow
def test_refused_day_says_why_and_can_be_mended(nurse: Nurse, phone: Callable[..., BrowserContext]) -> None:
    patient = nurse.patient("Clockwell")
    context = phone()
    page = context.new_page()
    context.clock.set_fixed_time(f"{(date.today() + timedelta(days=4)).isoformat()}T12:00:00")  # a phone with a wrong clock
    page.goto(nurse.link(patient))
    tap(page, "Worst pain", "5")
    page.get_by_role("button", name=re.compile("^Save")).tap()
    expect(page.get_by_role("heading", name="Not accepted")).to_be_visible()
    expect(page.get_by_text("1 day not accepted")).to_be_visible()
    expect(page.get_by_text("a day in the future")).to_be_visible()
    shot(page, "diary-refused")
    page.close()
    context.clock.set_fixed_time(f"{TODAY}T12:00:00")
    page = context.new_page()
    page.goto("/diary")
    page.get_by_role("button", name="Look at it and mend it").tap()
    expect(page.get_by_role("group", name="Worst pain").get_by_role("radio", name="5 of 10")).to_be_checked()
    save(page, SENT)
    expect(page.get_by_role("heading", name="Not accepted")).to_have_count(0)
    assert nurse.days(patient) == {TODAY: {"worst": 5}}


def test_keyboard_alone_fills_in_a_day_and_staff_are_not_thrown_out(desk: Desk, browser: Browser, nurse: Nurse,
                                                                    phone: Callable[..., BrowserContext]) -> None:
    patient = nurse.patient("Keyes")
    page = phone().new_page()
    page.goto(nurse.link(patient))
    expect(page.get_by_role("button", name="Save today")).to_be_visible()
    page.get_by_role("group", name="Worst pain").get_by_role("radio", name="no answer").focus()
    page.keyboard.press("ArrowRight")  # goes round to 0
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("group", name="Worst pain").get_by_role("radio", name="1 of 10")).to_be_checked()
    page.get_by_role("checkbox", name="left neck").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect(page.get_by_text("Marked: left shoulder")).to_be_visible()
    page.get_by_role("button", name="Save today").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text(SENT)).to_be_visible()
    assert nurse.days(patient) == {TODAY: {"worst": 1, "tingling": ["left-shoulder"]}}
    staff = desk.context(browser).new_page()
    login(staff, "nurse", "clinic")
    link = nurse.link(patient)
    staff.goto(link)
    expect(staff.get_by_role("heading", name="This link is for a patient")).to_be_visible()
    staff.goto("/#/clinic")
    expect(staff.get_by_role("navigation", name="rooms")).to_be_visible()
    staff.context.close()


def test_phone_keeps_every_file_that_the_diary_is_made_of(desk: Desk) -> None:
    """What a script or a page asks for is in the worker's list with its hash, or it would be missing without a connection."""
    with httpx.Client(base_url=desk.url) as client:
        listed = json.loads(client.get("/diary-worker.js").text.partition("const FILES = ")[2].partition(";\n")[0])
        todo, seen = ["/diary"], set()
        while todo:
            address = todo.pop()
            if address in seen:
                continue
            seen.add(address)
            answer = client.get(address)
            assert answer.headers["etag"] == listed[address]
            text = answer.text if "image" not in answer.headers["content-type"] else ""
            asked = re.findall(r'(?:(?:from|import) |(?:href|src)=|"src": )"([^"]+)"', text)
            todo += [answer.url.join(each).path for each in asked]
    assert {"/web/diary.js", "/web/lib/api.js", "/web/diary/send.js", "/web/diary/icon-512.png"} <= seen
