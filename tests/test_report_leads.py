"""The report of every kind of lead and of a canal that changes; the field is a closed form, so that nothing is solved."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from test_report import Page
from test_study import point_sources

import epidura as ep
from epidura import figures
from epidura.report import render
from epidura.result import Result, used_numbers

FIBRES = [{"kind": "dorsal-column", "count": 12}, {"kind": "dorsal-root", "count": 6}]
BURST = {"kind": "burst", "pulses": 1}
CASES: dict[str, dict[str, Any]] = {
    "paddle": {"anatomy": {"kind": "parametric", "vertebra": "T9"}, "leads": [{"model": "coveredge-32", "tip_vertebra": "T8"}],
               "contacts": {11: -1, 12: 0.5, 19: 0.5}},
    "spine": {"anatomy": {"kind": "parametric", "vertebra": "T9", "extent": "spine"},
              "leads": [{"model": "octrode", "tip_vertebra": "T8", "lateral": "-1.5 mm", "angle": "2 deg", "implanted": "90 day"},
                        {"model": "quattrode", "tip_vertebra": "T9", "lateral": "2 mm", "encapsulation": "0 mm"}],
              "contacts": {4: -1, 10: 1}},
    "drg": {"anatomy": {"kind": "parametric", "vertebra": "T12"},
            "leads": [{"model": "slimtip-drg", "side": "left", "tip_vertebra": "T12", "tip_offset": "6 mm"}], "contacts": {2: -1, 3: 1}},
}


def made(name: str) -> Result:
    one = CASES[name]
    case = ep.read({"title": name, "anatomy": one["anatomy"], "leads": one["leads"], "fibres": FIBRES,
                    "programs": [{"name": "p", "waveform": BURST, "contacts": one["contacts"], "amplitude": "2 mA"}]})
    canal = ep.build_canal(case.anatomy, case.leads, accuracy="fast")
    field = point_sources(canal)
    recruitment = ep.recruit(field, case.fibres, case.programs, case.rules, ep.Engine(tolerance=0.1))
    return Result(case, canal, field, recruitment, warnings=canal.warnings, numbers=used_numbers(case, canal))


@pytest.fixture(scope="module", params=CASES)
def result(request) -> Result:
    return made(request.param)


@pytest.fixture(scope="module")
def page(result) -> Page:
    return Page(render(result))


def traces(figure: Any) -> list[dict[str, Any]]:
    return json.loads(figure.to_json())["data"]


def test_every_contact_and_lead_has_its_row(result, page):
    assert page.stack == []
    cells = ["".join(text.split()) for text in page.text["td"]]
    for contact in result.canal.contacts:
        assert str(contact.number) in cells
    for shaft, lead in zip(result.canal.shafts, result.case.leads, strict=True):
        assert shaft.name in page.words
        unverified = [n for n in (*lead.shape().numbers, *lead.layer().numbers) if n.unverified]
        assert unverified
        for number in unverified:
            assert number.name.removesuffix(f" of {lead.shape().name}") in page.words
    for warning in result.warnings:
        assert warning in page.words


def test_columns_of_a_paddle_are_apart(result, page):
    headings = page.text["h3"]
    if result.case.title == "paddle":
        assert [h for h in headings if h.startswith("lead")] == [
            "lead 1, 3.0 mm left of its middle", "lead 1, 1.0 mm left of its middle", "lead 1, 1.0 mm right of its middle",
            "lead 1, 3.0 mm right of its middle"]
        # 7 of 8 contacts of each column have a next one
        assert page.words.count(" Ω") == 32 + 28
    else:
        assert [h for h in headings if h.startswith("lead")] == [f"lead {i + 1}" for i in range(len(result.case.leads))]


def test_the_view_shows_each_contact_where_it_is(result):
    shown = traces(figures.canal_3d(result, 0))
    for contact in result.canal.contacts:
        (trace,) = [t for t in shown if re.fullmatch(rf"contact {contact.number}( \(.*\))?", t.get("name", ""))]
        shaft = result.canal.shafts[contact.lead]
        x, y, z = (decoded(trace[axis]) * 1e-3 for axis in "xyz")
        assert (z.min(), z.max()) == pytest.approx((contact.z0, contact.z1), abs=1e-6)
        off = np.column_stack([x, y]) - shaft.centre(z)
        across = off @ [np.cos(shaft.turn), np.sin(shaft.turn)]
        if contact.left is None:
            assert np.hypot(*off.T) == pytest.approx(1.03 * shaft.radius, rel=1e-6)
        else:
            assert (across.min(), across.max()) == pytest.approx((1.03 * contact.left, 1.03 * contact.right), abs=1e-6)
            assert (off @ [-np.sin(shaft.turn), np.cos(shaft.turn)] > 0.9 * shaft.radius).all(), "on the face towards the dura"
        share = result.case.programs[0].contacts.get(contact.number, 0.0)
        assert trace["color"] == (figures.CATHODE if share < 0 else figures.ANODE if share > 0 else figures.IDLE)
    layers = [t for t in shown if t.get("name") == "encapsulation"]
    assert len(layers) == sum(shaft.encapsulation > 0 for shaft in result.canal.shafts)
    tissues = {t["name"] for t in shown} & {"disc", "ligament", "foramen"}
    assert tissues == ({"disc", "ligament", "foramen"} if result.canal.way is not None else set())


def decoded(values: Any) -> np.ndarray:
    """Plotly writes arrays as base64."""
    import base64

    if isinstance(values, dict):
        return np.frombuffer(base64.b64decode(values["bdata"]), dtype=values["dtype"]).astype(float)
    return np.asarray(values, float)


def test_sections_are_there_where_they_differ(result, page):
    figure = figures.sections(result)
    if result.canal.course is None:
        assert figure is None
        assert "Cross-sections along" not in render(result)
        return
    assert figure is not None
    outlines = [t for t in traces(figure) if t.get("name") == "white matter"]
    widths = [np.ptp(decoded(t["x"])) for t in outlines]
    assert len(widths) == 5
    assert widths[0] > widths[-1] + 0.1, "the thoracic cord widens downwards"
    assert "change along the spine" in page.words


def test_a_paddle_in_the_section_shows_which_columns_are_active():
    shown = traces(figures.axial(made("paddle"), 0))
    faces = [t for t in shown if (t.get("hovertemplate") or "").startswith("contacts ")]
    assert [t["line"]["color"] for t in faces] == [figures.IDLE, figures.CATHODE, figures.ANODE, figures.IDLE]
