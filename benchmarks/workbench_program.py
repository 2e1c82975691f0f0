"""The room Program in Chromium: slider to repainted coverage, change of contacts to a preview and to exact thresholds, first page.

``python -m benchmarks.workbench program`` prints it, with the load of the machine; figures, never limits.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from importlib.resources import files
from pathlib import Path

COLUMN, ROOT = 800, 200
"""Fibres: 1 000 together."""
MOVES = 60
CHANGES = ("3", "3", "6", "6", "5", "2")
"""Contacts that are clicked one after the other, each from off to cathode to anode to off: two to four are in use, as in most programs."""
MORE = ("1", "7", "8")
"""Then these, too, so that the whole lead is in use."""
TYPES: dict[str, dict[str, object]] = {
    "high density": {"kind": "high-density", "frequency": "1 kHz", "pulse_width": "90 us"},
    "burst, passive recharge": {"kind": "burst", "frequency": "40 Hz", "intra_frequency": "500 Hz", "pulses": 5, "pulse_width": "1 ms"},
    "burst, active recharge": {"kind": "burst", "frequency": "40 Hz", "intra_frequency": "500 Hz", "pulses": 4, "pulse_width": "1 ms",
                               "recharge": "active"},
    "10 kHz": {"kind": "high-frequency", "frequency": "10 kHz", "pulse_width": "30 us"}}
"""Other types whose contacts are clicked in the same way."""

SLIDES = """(moves) => new Promise((done) => {
    const slider = document.querySelector('.track input[type=range]'), top = Number(slider.max), found = [];
    const once = (k) => {
        if (k === moves) { done(found); return; }
        const now = document.querySelector('.track input[type=range]'), start = performance.now();
        now.value = (top * ((k * 37) % moves)) / moves;
        now.dispatchEvent(new Event('input', { bubbles: true }));
        // the room paints in the next frame; the frame after that begins when it is on the screen
        requestAnimationFrame(() => requestAnimationFrame(() => { found.push(performance.now() - start); setTimeout(() => once(k + 1), 30); }));
    };
    once(0);
})"""

CLICK = """(name) => new Promise((done) => {
    const main = document.querySelector('[data-quality]'), found = {};
    const start = performance.now();
    const seen = new MutationObserver(() => {
        const now = main.dataset.quality;
        if (now === 'preview' && found.preview === undefined) found.preview = performance.now() - start;
        if (now === 'exact') { found.exact = performance.now() - start; seen.disconnect(); done(found); }
    });
    main.dataset.quality = 'asked';
    seen.observe(main, { attributes: true, attributeFilter: ['data-quality'] });
    document.querySelector(`[data-contact="${name}"]`).click();
})"""


def measure() -> list[tuple[str, float, str]]:
    """(what, value, unit) of each measurement."""
    from desk import CHROMIUM, Desk, login
    from playwright.sync_api import sync_playwright

    from epidura.case import read

    case = read((files("epidura") / "data" / "demo.yaml").read_text("utf-8")).model_dump(mode="json")
    case["programs"] = case["programs"][:1]
    for one in case["fibres"]:
        one["count"] = COLUMN if one["kind"] == "dorsal-column" else ROOT
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        desk = Desk.with_people(Path(folder)).start()
        try:
            page = desk.context(browser).new_page()
            size: list[int] = []
            page.on("response", lambda answer: size.append(int(answer.headers.get("content-length", "0"))))
            login(page, "physician")
            key = page.evaluate("Object.keys(localStorage).find((name) => name.endsWith('.draft'))") or \
                f"epidura.{page.evaluate('fetch(`/api/v1/me`).then((a) => a.json())')['person']['id']}.draft"

            def draft(waveform: dict[str, object] | None = None) -> None:
                if waveform is not None:
                    case["programs"][0]["waveform"] = waveform
                page.evaluate("([key, value]) => localStorage.setItem(key, value)", [key, json.dumps({"case": case})])

            draft()
            size.clear()
            start = time.perf_counter()
            page.goto(f"{desk.url}/?first#/program")
            page.wait_for_selector("main .board")
            first = time.perf_counter() - start
            page.evaluate("import('/web/lib/charts.js').then((charts) => charts.plotly())")
            rows = [("first page, room Program drawn", 1e3 * first, "ms"), ("bytes of it, Plotly included", sum(size) / 1e6, "MB")]
            start = time.perf_counter()
            page.wait_for_selector('[data-quality="exact"]', timeout=300_000)
            rows.append((f"first exact thresholds of {COLUMN + ROOT} fibres, with the field", time.perf_counter() - start, "s"))
            slides = sorted(page.evaluate(SLIDES, MOVES))
            rows += [("slider to repainted coverage and slice, p50", statistics.median(slides), "ms"),
                     ("the same, p95", slides[int(0.95 * len(slides))], "ms")]
            page.reload()
            page.wait_for_selector('[data-quality="exact"]', timeout=300_000)
            found, whole = ([page.evaluate(CLICK, name) for name in names] for names in (CHANGES, MORE))
            previews = [one["preview"] for one in [*found, *whole] if "preview" in one]
            exact = [one["exact"] for one in found]
            rows += [("change of contacts to the preview, median", statistics.median(previews), "ms"), ("the same, largest", max(previews), "ms"),
                     ("change of contacts to exact thresholds, two to four in use, median", statistics.median(exact), "ms"),
                     ("the same, largest", max(exact), "ms"),
                     ("change of contacts to exact thresholds, five to seven in use, largest", max(one["exact"] for one in whole), "ms")]
            for name, waveform in TYPES.items():
                draft(waveform)
                page.reload()
                page.wait_for_selector('[data-quality="exact"]', timeout=300_000)
                found, whole = ([page.evaluate(CLICK, contact) for contact in contacts] for contacts in (CHANGES, MORE))
                exact = [one["exact"] for one in found]
                rows += [(f"{name}: to the preview, largest", max(one["preview"] for one in [*found, *whole] if "preview" in one), "ms"),
                         (f"{name}: to exact thresholds, two to four in use, median", statistics.median(exact), "ms"),
                         ("the same, largest", max(exact), "ms"),
                         (f"{name}: five to seven in use, largest", max(one["exact"] for one in whole), "ms")]
        finally:
            desk.stop()
            browser.close()
    return rows

