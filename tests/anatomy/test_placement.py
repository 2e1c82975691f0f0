"""Leads placed in canals that do or do not change along the spine."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from epidura import anatomy, lead
from epidura.anatomy.base import Level, Stretch
from epidura.errors import BadGeometry
from epidura.lead import models
from epidura.placement import BELOW, Placed, inside, place, span
from epidura.product import Shaft
from epidura.tables import table

GAP = 0.03e-3
SLACK = 3e-6
"""What the gap may be short of between the points and heights where it was taken, m."""


def test_distances_to_an_outline() -> None:
    """Of a rectangle with a notch, by hand: to sides, to corners, within the notch, a corner that stands twice."""
    notched = np.array([[0, 0], [4, 0], [4, 3], [3, 3], [3, 1], [2, 1], [2, 3], [2, 3], [0, 3]], float)
    found = {(1, 1.5): 1.0, (2.5, 2): -0.5, (2.5, 0.5): 0.5, (5, 4): -np.sqrt(2), (-1, 1): -1.0, (3.5, 2.9): 0.1, (2.5, 5): -np.hypot(0.5, 2)}
    for point, want in found.items():
        assert inside(notched, *point) == pytest.approx(want)
        assert inside(notched[::-1], *point) == pytest.approx(want)
    np.testing.assert_allclose(inside(notched, np.array([1.0, 2.5]), 1.5), [1.0, -0.5])
    turn = np.linspace(0, 2 * np.pi, 20000)[:-1]
    circle = 2.0 * np.column_stack([np.cos(turn), np.sin(turn)])
    x, y = np.random.default_rng(1).uniform(-3, 3, (2, 200))
    np.testing.assert_allclose(inside(circle, x, y), 2.0 - np.hypot(x, y), atol=1e-6)


def level(vertebra: str = "T9", **more: Any) -> Level:
    return anatomy.family.read({"kind": "parametric", "vertebra": vertebra, **more}).level()


def uniform(vertebra: str = "T9", **more: Any) -> Stretch:
    return Stretch(np.zeros(1), (level(vertebra, **more),))


def varying(vertebra: str = "T9", low: float = -0.12, high: float = 0.08, **more: Any) -> Stretch:
    """A canal whose sac lies 2 mm deeper at the lower end and whose width changes too."""
    middle = level(vertebra, **more)

    def moved(scale: float, back: float) -> Level:
        outlines = {name: np.column_stack([loop[:, 0] * scale, loop[:, 1] + back]) for name, loop in middle.outlines.items()}
        return replace(middle, outlines=outlines)

    z = np.array([low, -0.03, 0.0, 0.03, high])
    return Stretch(z, tuple(moved(s, b) for s, b in zip((0.97, 1.0, 1.0, 1.02, 1.05), (2e-3, 0.8e-3, 0.0, -0.3e-3, -0.2e-3), strict=True)),
                   origin=2)


def read(model: str = "octrode", tip: str = "T8", **more: Any) -> Any:
    return lead.family.read({"model": model, "tip_vertebra": tip, **more})


def outline(stretch: Stretch, name: str, z: float) -> np.ndarray:
    """An outline at a height, interpolated point by point."""
    loops = np.array([one.outlines[name] for one in stretch.levels])
    if len(loops) == 1:
        return loops[0]
    i = int(np.clip(np.searchsorted(stretch.z, z) - 1, 0, len(loops) - 2))
    share = np.clip((z - stretch.z[i]) / (stretch.z[i + 1] - stretch.z[i]), 0, 1)
    return loops[i] + share * (loops[i + 1] - loops[i])


def gaps(placed: Placed, shaft: Shaft, name: str, from_: float | None = None) -> np.ndarray:
    """Distance (+ outside of the dura, + inside of the wall) of the encapsulation to an outline along the lead, m."""
    low = (shaft.z_end if shaft.z_end is not None else min(c.z0 for c in shaft.contacts) - BELOW) if from_ is None else from_
    flat = 0.0 if shaft.half_width is None else shaft.half_width - shaft.radius
    along = np.linspace(-flat, flat, 201 if flat else 1)[:, None] * [np.cos(shaft.turn), np.sin(shaft.turn)]
    found = []
    for z in np.linspace(low, shaft.z_tip, 83):
        points = shaft.centre(np.array([z]))[0] + along
        sign = -1.0 if name == "dura-outer" else 1.0
        found.append((sign * inside(outline(placed.stretch, name, z), points[:, 0], points[:, 1])).min())
    return np.array(found) - shaft.radius - shaft.encapsulation


@pytest.mark.parametrize("canal", [uniform, varying])
@pytest.mark.parametrize("vertebra", ["C5", "T9", "T11"])
@pytest.mark.parametrize("model", models())
def test_every_lead_finds_a_place(model: str, vertebra: str, canal: Any) -> None:
    row = table("leads").row(id=model)
    one = read(model, vertebra, **({"side": "right"} if row["type"] == "DRG" else {}))
    stretch = canal(vertebra)
    placed = place(stretch, [one])
    (shaft,) = placed.shafts
    assert [c.number for c in shaft.contacts] == list(range(1, int(row["contacts"]) + 1))
    shape = one.shape()
    assert [c.area for c in shaft.contacts] == [shape.area(pad) for pad in shape.contacts]
    assert [c.z1 for c in shaft.contacts] == pytest.approx([shaft.z_tip - pad.start for pad in shape.contacts])
    assert shaft.half_width == (None if row["type"] != "paddle" else pytest.approx(shape.half_width))
    assert shaft.parallel == (canal is uniform)
    assert gaps(placed, shaft, "canal").min() >= GAP - SLACK
    dura = gaps(placed, shaft, "dura-outer")
    assert dura.min() >= GAP - SLACK
    if row["type"] == "percutaneous":
        assert dura == pytest.approx(one.depth, abs=SLACK), "it follows the dura"
    assert {number.table for number in placed.numbers} >= {"leads.csv", "canal_facts.csv"}


@pytest.mark.parametrize("canal", [uniform, varying])
@pytest.mark.parametrize(("angle", "lateral"), [(6, 1), (-6, 0), (10, 4), (3, -1)])
def test_a_leaning_lead(angle: float, lateral: float, canal: Any) -> None:
    placed = place(canal(), [read("linear-st", angle=f"{angle} deg", lateral=f"{lateral} mm")])
    (shaft,) = placed.shafts
    slope, straight = np.tan(np.deg2rad(angle)), read("linear-st").shape()
    z = np.array([shaft.contacts[-1].z0, shaft.z_tip])
    assert shaft.centre(z)[:, 0] == pytest.approx(lateral * 1e-3 + slope * (z - shaft.z_tip), abs=1e-12)
    # beyond its ends it leans no more; where the canal changes, its place keeps to the dura
    assert shaft.centre(np.array([shaft.z_tip + 0.01]))[0, 0] == pytest.approx(shaft.centre(np.array([shaft.z_tip]))[0, 0]), "constant above"
    low = min(c.z0 for c in shaft.contacts) - BELOW
    assert shaft.centre(np.array([low - 0.05]))[0, 0] == pytest.approx(shaft.centre(np.array([low]))[0, 0]), "constant below"
    for contact, pad in zip(shaft.contacts, straight.contacts, strict=True):
        assert contact.z1 - contact.z0 == pytest.approx((pad.end - pad.start) * np.cos(np.deg2rad(angle)))
        assert contact.z1 == pytest.approx(shaft.z_tip - pad.start * np.cos(np.deg2rad(angle)))
        assert contact.area == straight.area(pad)
    assert gaps(placed, shaft, "dura-outer") == pytest.approx(0.05e-3, abs=SLACK)
    assert gaps(placed, shaft, "canal").min() >= GAP - SLACK
    middle = 0.5 * (shaft.contacts[0].z1 + shaft.contacts[-1].z0)
    assert (shaft.x, shaft.y) == pytest.approx(tuple(shaft.centre(np.array([middle]))[0]), abs=1e-9)


@pytest.mark.parametrize("model", ["linear-st", "resume-ii"])
def test_a_mirrored_lead_has_a_mirrored_course(model: str) -> None:
    a, b = (place(varying(), [read(model, angle=f"{s * 4} deg", lateral=f"{s * 1.5} mm")]).shafts[0] for s in (1, -1))
    assert a.course is not None
    assert b.course is not None
    assert b.course == pytest.approx(a.course * [-1, 1, 1], abs=1e-8)
    assert b.turn == pytest.approx(-a.turn, abs=1e-6)


def test_a_paddle_is_rigid() -> None:
    placed = place(varying(), [read("coveredge-32", lateral="1 mm", angle="2 deg")])
    (shaft,) = placed.shafts
    assert shaft.course is not None
    x, y, z = shaft.course.T
    for values in (x, y):
        assert np.polyval(np.polyfit(z, values, 1), z) == pytest.approx(values, abs=1e-10)
    assert np.ptp(y) > 0.1e-3, "it tilts with the sac"
    assert shaft.z_end == pytest.approx(shaft.z_tip - 52e-3 * np.cos(np.deg2rad(2)))
    assert shaft.turn > 0, "right of the midline the right side lies deeper"
    assert gaps(placed, shaft, "dura-outer").min() >= GAP - SLACK
    assert any(re.search(r"widened by [\d.]+ mm .*laminotomy", warning) for warning in placed.warnings)
    pads = [(c.left, c.right) for c in shaft.contacts]
    assert all(left is not None and right is not None and right - left == pytest.approx(1e-3 / np.cos(np.deg2rad(2))) for left, right in pads)
    drawn = [(c.z1 - c.z0) * (c.right - c.left) for c in shaft.contacts if c.left is not None and c.right is not None]
    assert drawn == pytest.approx([c.area for c in shaft.contacts]), "an oblique cut keeps the area"


def test_the_canal_is_widened_everywhere_alike() -> None:
    before = varying()
    placed = place(before, [read("penta")])
    (warning,) = [w for w in placed.warnings if "widened" in w]
    by = float(re.search(r"widened by ([\d.]+) mm", warning).group(1)) * 1e-3  # type: ignore[union-attr]
    for a, b in zip(before.levels, placed.stretch.levels, strict=True):
        assert a.outlines["canal"][:, 1].min() - b.outlines["canal"][:, 1].min() == pytest.approx(by, abs=0.01e-3)
        assert np.array_equal(a.outlines["dura-outer"], b.outlines["dura-outer"])
    assert "largest laminotomy" in {number.name for number in placed.numbers}


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_drg_lead_lies_beside_the_sac(side: str) -> None:
    placed = place(varying("T11"), [read("slimtip-drg", "T11", side=side)])
    (shaft,) = placed.shafts
    assert np.sign(shaft.x) == (1 if side == "right" else -1)
    dura = level("T11").outlines["dura-outer"]
    assert abs(shaft.x) > 0.8 * dura[:, 0].max()
    assert gaps(placed, shaft, "dura-outer").min() >= 0.05e-3 - SLACK
    assert gaps(placed, shaft, "canal").min() >= GAP - SLACK
    assert any("does not turn out through the foramen" in warning for warning in placed.warnings)


def test_four_leads_and_their_span() -> None:
    leads = [read("linear-st", "T8", lateral="-2 mm"), read("linear-st", "T9", lateral="2 mm"),
             read("slimtip-drg", "T9", side="left", implanted="90 day"), read("slimtip-drg", "T9", side="right")]
    source = anatomy.family.read({"kind": "parametric", "vertebra": "T9"})
    placed = place(uniform(), leads)
    assert [c.number for shaft in placed.shafts for c in shaft.contacts] == list(range(1, 25))
    low, high = span(source, leads)
    assert high == max(shaft.z_tip for shaft in placed.shafts)
    assert low == pytest.approx(min(c.z0 for shaft in placed.shafts for c in shaft.contacts))
    assert [layer.conductivity for layer in placed.layers] == [None, None, pytest.approx(0.16), None]
    assert "encapsulation.csv" in {number.table for number in placed.numbers}
    low, _ = span(source, [read("penta", angle="3 deg")])
    assert low == pytest.approx(place(uniform(), [read("penta", angle="3 deg")]).shafts[0].z_end)


def test_paddles_may_follow_each_other() -> None:
    placed = place(uniform(), [read("resume-ii", "T7"), read("resume-ii", "T10")])
    assert placed.shafts[0].z_end > placed.shafts[1].z_tip  # type: ignore[operator]


@pytest.mark.parametrize(("canal", "leads", "message"), [
    (uniform, [{"angle": "40 deg"}], r"leads\[0\]\.angle: a lead too steep .*got '40\.0 deg'; allowed: -30\.0 deg to 30\.0 deg"),
    (uniform, [{"angle": "12 deg"}], r"leads\[0\]\.angle: the lead lies .* at T\d+ \(z = -\d+\.\d\d mm\); got '12\.0 deg, which leads to "
                                     r"-\d+\.\d\d mm lateral there'; allowed: angle 0\.0 deg to \d\.\d deg; lean less"),
    (varying, [{"lateral": "8 mm"}], r"leads\[0\]\.lateral: .* at T\d+ \(z = .*\); got '8\.00 mm'; allowed: -\d\.\d\d mm to \d\.\d\d mm"),
    (varying, [{"depth": "4 mm"}], r"leads\[0\]: the lead lies \d\.\d\d mm inside the wall of the canal at T\d+ \(z = .*make depth"),
    (uniform, [{"model": "penta", "depth": "4 mm"}], r"leads\[0\]: .*wall of the canal; got '11\.10 mm wide and 2\.00 mm thick .*make depth"),
    (uniform, [{"model": "linear-st", "lateral": "-2 mm", "angle": "-6 deg"}, {"model": "linear-st", "lateral": "2 mm", "angle": "6 deg"}],
     r"leads\[1\]: the lead lies \d\.\d\d mm inside leads\[0\] at T\d+ \(z = -?\d+\.\d\d mm\); got .*between their centres'; "
     r"allowed: at least 1\.\d\d mm .*change lateral or angle"),
    (uniform, [{"model": "penta"}, {"lateral": "2 mm"}], r"leads\[1\]: the lead lies .* inside leads\[0\]; got '-?\d+\.\d\d mm between their "
                                                         r"surfaces'; allowed: at least 0\.03 mm with their encapsulations; change lateral"),
    (varying, [{"tip": "T12", "model": "pisces-quad-plus"}],
     r"leads\[0\]\.tip_vertebra: the lead reaches beyond the stretch .*got '.* mm along the spine'; allowed: -120\.00 mm to 80\.00 mm; move the tip"),
    (uniform, [{"model": "slimtip-drg", "side": "left", "encapsulation": "2 mm"}],
     r"leads\[0\]: the lead lies \d\.\d\d mm inside the wall of the canal beside the dural sac; got .*allowed: at most \d\.\d\d mm thick there"),
])
def test_leads_that_cannot_be(canal: Any, leads: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(BadGeometry, match=message):
        place(canal(), [read(**one) for one in leads])


def test_an_angle_that_is_offered_fits() -> None:
    with pytest.raises(BadGeometry) as failure:
        place(uniform(), [read(angle="-15 deg", lateral="-1 mm")])
    offered = re.search(r"angle (-[\d.]+ deg) to 0\.0 deg", failure.value.allowed)
    assert offered, failure.value.allowed
    assert place(uniform(), [read(angle=offered.group(1), lateral="-1 mm")]).shafts


def test_a_given_space_is_not_widened_for_a_paddle() -> None:
    with pytest.raises(BadGeometry, match=r"make dorsal_epidural larger"):
        place(uniform(dorsal_epidural="2 mm"), [read("penta")])
    placed = place(uniform(dorsal_epidural="6 mm"), [read("penta")])
    assert not any("widened" in warning for warning in placed.warnings)


def test_distance_to_a_polygon() -> None:
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    x, y = np.random.default_rng(1).uniform(-2, 2, (2, 200))
    assert inside(circle, x, y) == pytest.approx(1 - np.hypot(x, y), abs=1e-4)
    assert inside(circle, 0.5, 0.0) == pytest.approx(0.5, abs=1e-4)
