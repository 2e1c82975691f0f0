"""The room Plan: recolouring cord and dura, scenes while a lead is dragged, slices."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from desk import CHROMIUM, Desk, login
from playwright.sync_api import Page, Response, expect, sync_playwright

TIMES, PAUSE = 30, 700
"""Changes of the amplitude, and ms between two of them."""

ASKED = 150.0
"""ms, the most that recolouring 20 000 points may take."""

RECOLOUR = """async (value) => {
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const slider = [...document.querySelectorAll('label')].find((one) => one.textContent === 'Amplitude, slider').parentNode.querySelector('input');
  const gl = document.querySelector('space-view canvas').getContext('webgl2'), wide = gl.drawingBufferWidth, row = new Uint8Array(4 * wide);
  await frame();
  const from = performance.now();
  slider.value = value; slider.dispatchEvent(new Event('input', { bubbles: true }));
  do { // a canvas has pixels only in the frame in which it was drawn; reading them waits until they are there
    await frame();
    gl.readPixels(0, gl.drawingBufferHeight >> 1, wide, 1, gl.RGBA, gl.UNSIGNED_BYTE, row);
  } while (row.every((one) => !one));
  await frame(); // on the screen
  return performance.now() - from;
}"""

LONG = {"model": "nevro-widest", "tip_vertebra": "T7", "lateral": "-1 mm"}
"""A long lead: cord and dura are drawn with more than 20 000 points."""


def measure() -> list[tuple[str, float, str]]:
    """Rows (what, value, unit)."""
    desk = Desk.with_people(Path(tempfile.mkdtemp())).start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[
                "--no-sandbox", "--disable-gpu", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"])
            context = desk.context(browser)
            page = context.new_page()
            login(page, "physician", "plan")
            found = [*_colour(page), *_server(page)]
            browser.close()
            return found
    finally:
        desk.stop()


def _colour(page: Page) -> list[tuple[str, float, str]]:
    sizes: list[int] = []
    page.on("response", lambda answer: sizes.append(_coloured(answer)) if answer.url.endswith("/plan/surface") else None)
    expect(page.get_by_role("slider", name="lead 1")).to_be_visible()
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump(_case(), file, indent=1)
        file.flush()
        page.get_by_label("case file to open").set_input_files(file.name)
        expect(page.get_by_label("Title of this case")).to_have_value("Long lead", timeout=60_000)  # the browser reads the file when it comes to it
    page.get_by_label("Accuracy").select_option("fast")
    start = time.perf_counter()
    page.get_by_role("button", name="Compute the field").click()
    expect(page.get_by_role("figure", name="axial slice")).to_be_visible(timeout=300_000)
    first = time.perf_counter() - start
    page.wait_for_timeout(3000)
    canvas = page.locator("space-view canvas")
    before = canvas.screenshot()
    # up and down within a range of colours, as a hand on the slider does
    spent = np.array([_once(page, round(1.5 - 0.1 * (i % 7), 1)) for i in range(TIMES)])
    if canvas.screenshot() == before:
        raise RuntimeError("the surfaces kept their colours")
    cleared = np.array([_once(page, value) for value in (2.0, 4.0, 8.0, 16.0)])
    return [("points of cord and dura", sizes[-1], ""), ("field from the button to the slices, coarse mesh", first, "s"),
            (f"amplitude to recoloured surfaces, median of {TIMES}", float(np.median(spent)), "ms"),
            (f"the same as a share of the {ASKED:.0f} ms that are asked", float(np.median(spent)) / ASKED, ""),
            ("the same, p95", float(np.percentile(spent, 95)), "ms"),
            ("the same where the range of colours changes, too, median of 4", float(np.median(cleared)), "ms")]


def _coloured(answer: Response) -> int:
    """Points whose colour follows the field."""
    return sum(one["points"] for one in json.loads(answer.headers["x-epidura"])["surfaces"])


def _once(page: Page, amplitude: float) -> float:
    """ms; slices, which follow when the hand rests, are drawn before the next one."""
    page.wait_for_timeout(PAUSE)
    return float(page.evaluate(RECOLOUR, amplitude))


def _case() -> dict[str, Any]:
    return {"title": "Long lead", "anatomy": {"kind": "parametric", "vertebra": "T9"}, "leads": [LONG],
            "programs": [{"name": "tonic", "waveform": {"kind": "tonic", "frequency": "50 Hz", "pulse_width": "300 us"}, "contacts": {4: -1, 5: 1}}]}


def _server(page: Page) -> list[tuple[str, float, str]]:
    """Answers as the page gets them."""
    ask = """async ([path, body]) => { const { floats } = await import('/web/lib/api.js'); const from = performance.now();
        await floats('POST', path, { body }); return performance.now() - from; }"""
    rows = []
    case = json.loads(json.dumps(_case()))
    spine = {**case, "anatomy": {**case["anatomy"], "extent": "spine"}}
    for what, path, body in (("leads while one is dragged", "/plan/scene", {"case": case, "tissues": False}),
                             ("leads while one is dragged, canal along the spine", "/plan/scene", {"case": spine, "tissues": False}),
                             ("scene with its tissues", "/plan/scene", {"case": case}),
                             ("field on the points of cord and dura", "/plan/surface", {"case": case, "accuracy": "fast"}),
                             ("axial slice", "/plan/slice", {"case": case, "accuracy": "fast", "plane": "axial", "at": 1}),
                             ("sagittal slice", "/plan/slice", {"case": case, "accuracy": "fast", "plane": "sagittal", "at": 0})):
        spent = np.array([page.evaluate(ask, [path, body]) for _ in range(12)])
        rows += [(f"{what}, median of 12", float(np.median(spent)), "ms"), (f"{what}, p95", float(np.percentile(spent, 95)), "ms")]
    return rows
