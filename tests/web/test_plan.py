"""The room Plan as a physician's hands use it."""

from __future__ import annotations

import operator
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from desk import Desk, accessible, login, shot
from phantom import phantom
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect


def lead(page: Page, number: int = 1) -> Locator:
    return page.get_by_role("slider", name=re.compile(f"^lead {number},"))


def plan(page: Page) -> None:
    login(page, "physician", "plan")
    expect(lead(page)).to_be_visible()


def in_space(page: Page) -> Locator:
    return page.get_by_role("figure", name=re.compile("^Spinal canal"))


def pixels(page: Page) -> bytes:
    """The canal in space as it is on the screen, without what is written over it."""
    expect(page.locator("space-view")).to_have_attribute("smooth", "")  # the finer picture that follows each change
    style = "space-view .stage > :not(canvas) { visibility: hidden } canvas { outline: none !important }"
    return in_space(page).locator("canvas").screenshot(style=style)


def becomes(page: Page, good: Callable[[bytes], bool], seconds: float = 10) -> bytes:
    """The picture once it is as it should be; it is drawn with the next frame."""
    until = time.monotonic() + seconds
    while not good(seen := pixels(page)):
        assert time.monotonic() < until, "the picture is not as it should be"
    return seen


def enter(field: Locator, value: str) -> None:
    field.fill(value)
    field.press("Tab")


def test_from_pain_to_a_lead_at_its_level_that_is_moved(page: Page) -> None:
    plan(page)
    page.get_by_label("Title of this case").fill("Pain of the right leg")
    for area in ("low back, axial", "whole leg"):
        for side in ("left", "right"):
            if (box := page.get_by_role("checkbox", name=f"{side} {area}", exact=True)).is_hidden():
                page.get_by_text("List of areas").click()
            box.set_checked(False)
    expect(page.get_by_text("Nothing hurts yet")).to_be_visible()
    # on the body, by keyboard: a dermatome, then which of its areas
    region = page.get_by_role("checkbox", name=re.compile("^right L5"))
    region.first.focus()
    region.first.press("Enter")
    page.get_by_role("button", name="right whole leg").click()
    expect(page.get_by_text("Hurts: right whole leg.")).to_be_visible()
    enter(page.get_by_label("Pain now"), "7.5")
    page.get_by_role("button", name="Take it: leg, radicular (tonic)").click()
    expect(page.get_by_label("Off the midline", exact=True)).to_have_value("2")
    expect(lead(page)).to_have_attribute("aria-valuetext", re.compile(r"2\smm right of the midline"))
    mark = page.get_by_role("button", name=re.compile("unverified: dimensions"))
    mark.click()
    expect(page.get_by_text("This rests on numbers that nobody has checked").locator("visible=true")).to_be_visible()
    page.keyboard.press("Escape")
    accessible(page)
    # a lead is dragged, moved by keys, refused and brought back
    page.get_by_label("Start from an example").select_option(label="Failed back surgery, back and left leg")
    lateral = page.get_by_label("Off the midline", exact=True)
    expect(lead(page)).to_have_attribute("aria-valuetext", re.compile(r"1\smm left of the midline"))
    box = lead(page).bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 9, y - 20, steps=6)
    expect(page.get_by_text(re.compile(r"Lead 1: tip .*\smm above"))).to_be_visible()
    page.mouse.up()
    expect(lateral).not_to_have_value("-1")
    moved = float(lateral.input_value())
    assert -0.8 < moved < 3
    page.get_by_role("button", name="Undo: move lead 1").click()
    expect(lateral).to_have_value("-1")
    lead(page).press("ArrowLeft")
    expect(lateral).to_have_value("-1.5")
    lead(page).press("Shift+ArrowUp")
    expect(page.get_by_label("… and above it")).to_have_value("5")
    page.get_by_role("heading", name="Canal and leads").click()
    page.keyboard.press("Control+z")
    expect(page.get_by_label("… and above it")).to_have_value("0")
    page.keyboard.press("Control+Shift+z")
    expect(page.get_by_label("… and above it")).to_have_value("5")
    # what cannot be is said at its field, with what is allowed, and a drag there springs back
    enter(page.get_by_label("Gap to the dura"), "-1")
    wrong = page.get_by_label("Gap to the dura")
    expect(wrong).to_have_attribute("aria-invalid", "true")
    expect(page.locator(".problem").filter(has_text="allowed: at least")).to_be_visible()
    enter(wrong, "0.05")
    expect(wrong).not_to_have_attribute("aria-invalid", "true")
    enter(lateral, "-4")
    expect(lead(page)).to_have_attribute("aria-valuetext", re.compile(r"4\smm left of the midline"))
    for _ in range(10):
        lead(page).press("ArrowLeft")
    expect(page.get_by_text("stays where it last could be")).to_be_visible()
    assert -9 < float(lateral.input_value()) <= -4
    # a second lead; contacts of programs follow
    page.get_by_role("button", name="Add a lead").click()
    expect(lead(page, 2)).to_be_visible()
    page.get_by_role("button", name="Remove lead 1").click()
    expect(lead(page, 2)).to_have_count(0)
    expect(page.get_by_text("used contacts that are gone").first).to_be_visible()


def test_the_field_is_computed_cancelled_and_seen(page: Page) -> None:
    plan(page)
    page.get_by_label("Start from an example").select_option(label="Refractory angina")
    expect(lead(page)).to_have_attribute("aria-label", re.compile("Pisces"))
    page.get_by_role("button", name="Compute the field").click()
    expect(page.get_by_text(re.compile(r"\(\d+ %\)"))).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("The field was not computed.")).to_be_visible()
    page.get_by_label("Accuracy").select_option("fast")
    page.get_by_role("button", name="Compute the field").click()
    lead(page).press("ArrowUp")  # while it is computed: the field that comes is that of where the lead lies now
    chart = page.get_by_role("figure", name=re.compile("axial slice"))
    expect(chart).to_have_attribute("aria-label", re.compile(r"Potential of tonic at 1\smA, axial slice .*\smV"), timeout=60_000)
    expect(page.get_by_text("A preview")).to_be_visible()
    first = chart.get_attribute("aria-label")
    expect(in_space(page)).to_have_attribute("aria-label", re.compile(r"coloured by their potential, from −?-?[\d.]+\smV"))
    before = pixels(page)
    enter(page.get_by_label("Amplitude", exact=True), "1.3")  # within the range of colours
    becomes(page, partial(operator.ne, before))
    enter(page.get_by_label("Amplitude", exact=True), "4")
    expect(chart).to_have_attribute("aria-label", re.compile(r"at 4\smA"))
    low = [float(words.split("from ")[1].split()[0].replace(",", "")) for words in (first or "", chart.get_attribute("aria-label") or "")]
    assert low[1] == pytest.approx(4 * low[0], rel=0.01)  # fields superpose
    page.get_by_text("activating function", exact=True).click()
    expect(page.get_by_role("figure", name=re.compile("Activating function of tonic .* sagittal slice"))).to_be_visible()
    page.get_by_label("Current of").select_option(label="contact 1 alone, cathode")
    expect(chart).to_have_attribute("aria-label", re.compile("contact 1 alone"))
    page.get_by_label("Height of the axial slice").press("ArrowUp")
    accessible(page)
    shot(page, "plan-desktop")


def test_the_canal_is_turned_and_outlives_its_graphics(page: Page) -> None:
    plan(page)
    figure, canvas = in_space(page), page.get_by_role("application", name=re.compile("arrow keys turn"))
    expect(figure).to_have_attribute("aria-label", re.compile("seen from behind and the left"))
    canvas.focus()
    first = becomes(page, lambda seen: seen == pixels(page))
    for key in ("ArrowRight", "ArrowUp", "+", "Shift+ArrowLeft"):
        before = pixels(page)
        canvas.press(key)
        becomes(page, partial(operator.ne, before))
    canvas.press("0")
    becomes(page, partial(operator.eq, first))
    page.get_by_role("button", name="from the left").click()
    expect(figure).to_have_attribute("aria-label", re.compile("seen from the left"))
    page.get_by_role("checkbox", name="dura").uncheck()
    page.get_by_role("button", name="first view").click()
    becomes(page, partial(operator.ne, first))
    page.get_by_role("checkbox", name="dura").check()
    canvas.focus()
    becomes(page, partial(operator.eq, first))
    # the browser takes the graphics away, and gives them back
    canvas.evaluate("node => { window.taken = node.getContext('webgl2').getExtension('WEBGL_lose_context'); window.taken.loseContext(); }")
    expect(page.get_by_text("paused by the browser")).to_be_visible()
    page.evaluate("window.taken.restoreContext()")
    expect(page.get_by_text("paused by the browser")).to_be_hidden()
    becomes(page, partial(operator.eq, first))
    assert page.evaluate("typeof Plotly") == "undefined"  # no slice is drawn yet
    held = canvas.element_handle()
    page.get_by_role("link", name="Pathway").click()
    expect(figure).to_have_count(0)
    assert held is not None
    assert held.evaluate("node => node.getContext('webgl2').isContextLost()")


def test_without_webgl_the_rest_of_the_room_works(context: BrowserContext) -> None:
    context.add_init_script("HTMLCanvasElement.prototype.getContext = () => null;")
    page = context.new_page()
    plan(page)
    expect(page.get_by_text("This browser cannot draw in space")).to_be_visible()
    accessible(page)
    lead(page).press("ArrowLeft")
    expect(page.get_by_label("Off the midline", exact=True)).to_have_value("-1.5")


def test_a_map_from_mri_becomes_the_canal(page: Page, tmp_path: Path) -> None:
    plan(page)
    file = tmp_path / "anna.nii.gz"
    phantom(file)
    page.get_by_text("MRI label map").click()
    page.get_by_label("Label map, NIfTI").set_input_files(file)
    for number, tissue in ((1, "cord"), (2, "csf"), (3, "canal")):
        page.get_by_label(f"id {number} is").select_option(label=tissue)
    lead(page).press("ArrowRight")  # something else is changed meanwhile, and nothing that was said of the map is lost
    expect(page.get_by_label("Off the midline", exact=True)).to_have_value("-0.5")
    enter(page.get_by_label("Height of its middle in the image"), "0")
    page.get_by_role("button", name="Use this map").click()
    expect(page.get_by_text("in use")).to_be_visible()
    expect(page.get_by_text(re.compile("anna.nii.gz")).first).to_be_visible()
    expect(page.locator(".said li").filter(has_text="grey").first).to_be_visible()  # what was filled is said
    broken = tmp_path / "broken.nii"
    broken.write_bytes(b"no map")
    page.get_by_label("Label map, NIfTI").set_input_files(broken)
    expect(page.get_by_text("not a NIfTI file")).to_be_visible()
    accessible(page)


@pytest.mark.slow
def test_a_case_is_saved_opened_and_kept_when_the_server_goes(desk: Desk, page: Page, tmp_path: Path) -> None:
    plan(page)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Save").click()
    path = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(path)
    text = path.read_text()
    assert "tip_vertebra: T8" in text
    path.write_text(text.replace("title: Failed back surgery, back and left leg", "title: Mine").replace("lateral: -1 mm", "lateral: 1.25 mm"))
    page.get_by_label("case file to open").set_input_files(path)
    expect(page.get_by_label("Title of this case")).to_have_value("Mine")
    expect(page.get_by_label("Off the midline", exact=True)).to_have_value("1.25")
    path.write_text("title: [")
    page.get_by_label("case file to open").set_input_files(path)
    expect(page.get_by_text("not YAML")).to_be_visible()
    desk.kill()
    enter(page.get_by_label("Off the midline", exact=True), "-0.5")
    expect(page.get_by_text("Offline: the server cannot be reached")).to_be_visible()
    desk.start()
    expect(lead(page)).to_have_attribute("aria-valuetext", re.compile(r"0.5\smm left"))
    page.reload()
    expect(page.get_by_label("Off the midline", exact=True)).to_have_value("-0.5")


@pytest.mark.slow
def test_on_a_phone_nothing_is_wider_than_the_screen(desk: Desk, browser: Browser) -> None:
    context = desk.context(browser, "phone", dark=True)
    page = context.new_page()
    plan(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    accessible(page)
    shot(page, "plan-phone-dark")
    context.close()
