"""Coming in, the rooms of each role, and what every page keeps."""

from __future__ import annotations

import re

import pytest
from desk import PASSWORDS, Desk, accessible, login, shot
from playwright.sync_api import Browser, Page, expect


def test_first_page_is_small_and_says_once_what_this_is(desk: Desk, page: Page) -> None:
    page.goto("/")
    expect(page.get_by_text("not a medical device")).to_have_count(1)
    accessible(page)
    shot(page, "login-desktop")


def test_wrong_password_is_said_and_changes_nothing(page: Page) -> None:
    page.goto("/")
    page.get_by_label("Login").fill("nurse")
    page.get_by_label("Password").fill("not the password at all")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert").filter(has_text=re.compile("login|password", re.IGNORECASE))).to_be_visible()
    expect(page.get_by_role("navigation")).to_have_count(0)


@pytest.mark.parametrize(("role", "rooms"), [
    ("physician", ["Plan", "Program", "Gate and outlook", "Pathway", "Clinic", "Cohorts"]),
    ("nurse", ["Plan", "Program", "Gate and outlook", "Pathway", "Clinic"]),
    ("researcher", ["Plan", "Program", "Gate and outlook", "Cohorts", "Research"]),
    ("administrator", ["People"])])
def test_every_role_finds_its_rooms_alone(page: Page, role: str, rooms: list[str]) -> None:
    login(page, role, "people" if role == "administrator" else "research" if role == "researcher" else "pathway")
    assert page.get_by_role("navigation", name="rooms").get_by_role("link").all_inner_texts() == rooms
    page.goto("/#/people" if role != "administrator" else "/#/pathway")
    expect(page.get_by_role("heading", name="No such room")).to_be_visible()


def test_scripts_come_from_files_of_this_server_alone(desk: Desk, page: Page) -> None:
    answer = page.goto("/")
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "script-src" not in policy  # so default-src holds for scripts
    assert "unsafe-eval" not in policy
    blocked = page.evaluate("""() => new Promise((done) => {
        document.addEventListener('securitypolicyviolation', (event) => done(event.violatedDirective));
        const script = document.createElement('script'); script.textContent = 'window.broken = 1'; document.head.append(script);
        setTimeout(() => done(window.broken ? 'ran' : 'nothing'), 500); })""")
    assert blocked.startswith("script-src")
    assert any("inline script" in each for each in desk.complaints)
    desk.complaints.clear()


def test_cookie_cannot_be_read_by_a_script(page: Page) -> None:
    login(page, "nurse", "pathway")
    assert page.evaluate("document.cookie") == ""
    (cookie,) = page.context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    answer = page.request.post("/api/v1/case/check", data={"case": {}})
    assert answer.status == 403  # without the sign of the page


def test_keyboard_alone_comes_in_and_reaches_the_content(page: Page) -> None:
    page.goto("/")
    expect(page.get_by_label("Login")).to_be_focused()
    page.keyboard.type("nurse")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORDS["nurse"])
    page.keyboard.press("Enter")
    expect(page.get_by_role("navigation", name="rooms")).to_be_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_dark_and_light_can_be_chosen_and_stay(desk: Desk, browser: Browser) -> None:
    context = desk.context(browser, "phone", dark=True)
    page = context.new_page()
    login(page, "researcher", "research")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_label("colours of the page").select_option("light")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != light
    page.reload()
    expect(page.get_by_role("navigation", name="rooms")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == light
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()
