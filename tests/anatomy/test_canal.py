"""Leads in the canal, and the mesh around them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from epidura import anatomy, lead
from epidura.anatomy.parametric import area, ellipse
from epidura.canal import RING, TRIES, build_canal, graded, place_leads
from epidura.errors import BadGeometry
from epidura.fibre.dorsal_column import in_polygon
from epidura.numerics import section as meshing
from epidura.placement import inside as _inside
from epidura.product import Canal, Shaft

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
ORDER = ("grey-matter", "white-matter", "csf", "dura", "epidural-fat", "bone", "bulk", "encapsulation")


def parametric(vertebra: str = "T9", **more: Any) -> Any:
    return anatomy.family.read({"kind": "parametric", "vertebra": vertebra, **more})


def octrode(tip: str = "T8", **more: Any) -> Any:
    return lead.family.read({"model": "octrode", "tip_vertebra": tip, **more})


def gap(canal: Canal, shaft: Shaft, outline: str) -> float:
    """Distance of a lead's encapsulation to an outline, m."""
    return abs(_inside(canal.outlines[outline], shaft.x, shaft.y)) - shaft.radius - shaft.encapsulation


def areas(canal: Canal) -> np.ndarray:
    """Area of every label of the mesh at z = 0, m2; sides may be parabolas."""
    section: Any = canal.section
    points = section.points if canal.way is None else canal.way.at(np.zeros(1))[0][0]  # type: ignore[attr-defined]

    def cross(i: int, j: int) -> np.ndarray:
        (ax, ay), (bx, by) = points[section.triangles[:, i]].T, points[section.triangles[:, j]].T
        return ax * by - ay * bx

    size = sum(4 * cross(i, m) + 4 * cross(m, j) - cross(i, j) for i, m, j in ((0, 3, 1), (1, 4, 2), (2, 5, 0))) / 6
    assert (size > 0).all()
    return np.bincount(section.labels, weights=size, minlength=len(canal.tissues))


def same_shafts(one: Canal, shafts: tuple[Shaft, ...]) -> bool:
    """Whether leads are at the same place, arrays included."""
    return all(replace(a, course=None) == replace(b, course=None) and np.array_equal(a.course, b.course)  # type: ignore[arg-type]
               for a, b in zip(one.shafts, shafts, strict=True))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples(path: Path) -> None:
    case = yaml.safe_load(path.read_text(encoding="utf-8"))
    recipe, leads = anatomy.family.read(case["anatomy"]), [lead.family.read(one) for one in case["leads"]]
    canal = build_canal(recipe, leads)
    assert same_shafts(canal, place_leads(recipe, leads))
    assert canal.vertebra == case["anatomy"]["vertebra"]
    assert [c.number for c in canal.contacts] == list(range(1, len(canal.contacts) + 1))
    along = case["anatomy"].get("extent") == "spine"
    names = [tissue.name for tissue in canal.tissues]
    bulk = names.index("bulk")
    # leads end at their tips: encapsulation and lead are there at z = 0 where the lead is
    beside = [name for shaft in canal.shafts for name in (("encapsulation", "insulation") if shaft.z_tip > 0 > (shaft.z_end or -1) else
                                                          ("epidural-fat", "epidural-fat"))]
    assert names[:5] == list(ORDER[:5])
    assert len(names[5:bulk]) == (3 if along else 1)
    assert names[bulk + 1 : bulk + 1 + len(beside)] == beside
    assert set(names[bulk + 1 + len(beside) :]) == {"bulk"}
    section: Any = canal.section
    assert 2_500 < len(section.points) < 9_000
    assert len(section.rings) == len(leads)
    for shaft, ring in zip(canal.shafts, section.rings, strict=True):
        around = section.points[ring] - 0.5 * (section.points[ring].min(axis=0) + section.points[ring].max(axis=0))
        if shaft.half_width is None:
            assert np.hypot(*around.T) == pytest.approx(shaft.radius, rel=0.005)
            assert len(ring) == 2 * RING
        else:
            assert np.ptp(around, axis=0) == pytest.approx([2 * shaft.half_width, 2 * shaft.radius], rel=0.005)
        if canal.way is None and shaft.half_width is None:
            assert gap(canal, shaft, "dura-outer") == pytest.approx(0.05e-3, abs=1e-6)
            assert gap(canal, shaft, "canal") >= 0.1e-3 - 1e-7
    assert min(c.z0 for c in canal.contacts) < 0 < max(c.z1 for c in canal.contacts)
    used = {number.table for number in canal.numbers}
    assert used >= {"vertebrae.csv", "cord_by_segment.csv", "canal_facts.csv", "tissue_sets.csv", "leads.csv"}
    assert ("paddles.csv" in used) == any(shaft.half_width is not None for shaft in canal.shafts)
    assert ("junctions.csv" in used) == along
    assert len(set(canal.numbers)) == len(canal.numbers)
    # labels cover what the outlines enclose
    found = areas(canal)
    enclosed = [area(outline) for name, outline in canal.outlines.items() if name != "bulk"]
    wanted = np.diff(enclosed, prepend=0.0)
    by_outline = np.array([*found[:4], found[4] + found[bulk + 1 : bulk + 1 + len(beside)].sum(), found[5:bulk].sum()])
    # chords cut corners of the thin horns of the grey matter
    assert by_outline[0] == pytest.approx(wanted[0], rel=0.01)
    assert by_outline[1:] == pytest.approx(wanted[1:], rel=0.003)
    for i, shaft in enumerate(canal.shafts):
        thick, bare = (rounded_slab(shaft, more) for more in (shaft.encapsulation, 0.0))
        label = bulk + 1 + 2 * i
        assert found[label + 1] == pytest.approx(bare, rel=0.01)
        assert found[label] == pytest.approx(thick - bare, rel=0.05)


def rounded_slab(shaft: Shaft, more: float) -> float:
    """Area of a lead that is ``more`` m thicker all around, m2."""
    flat = 0.0 if shaft.half_width is None else shaft.half_width - shaft.radius
    return float(np.pi * (shaft.radius + more) ** 2 + 4 * flat * (shaft.radius + more))


@pytest.mark.parametrize("vertebra", ["C2", "C7", "T5", "T12", "L1"])
def test_every_region_of_the_spine_meshes(vertebra: str) -> None:
    canal = build_canal(parametric(vertebra), [octrode(vertebra)])
    grey, cord = areas(canal)[0], areas(canal)[:2].sum()
    assert grey / cord == pytest.approx(area(canal.outlines["grey-matter"]) / area(canal.outlines["cord"]), rel=0.01)


def test_triangles_lie_in_their_tissue() -> None:
    canal = build_canal(parametric(), [octrode()])
    section: Any = canal.section
    centres = section.points[section.triangles[:, :3]].mean(axis=1)
    for name in ("csf", "bone"):
        inner, outer = {"csf": ("cord", "dura-inner"), "bone": ("canal", "bone")}[name]
        inside = in_polygon(centres, canal.outlines[outer]) & ~in_polygon(centres, canal.outlines[inner])
        assert np.mean(inside == (section.labels == ORDER.index(name))) > 0.998


def test_the_mesh_is_fine_where_it_matters() -> None:
    canal = build_canal(parametric(), [octrode()])
    section: Any = canal.section
    corners = section.points[section.triangles[:, :3]]
    edge = np.hypot(*(corners - np.roll(corners, 1, axis=1)).transpose(2, 0, 1)).max(axis=1)
    centre = corners.mean(axis=1)
    # longest sides of quadratic triangles, whose nodes are half as far apart; tests/field measures what this costs
    assert np.median(edge[in_polygon(centre, canal.cord.dorsal_column)]) < 0.6e-3
    near = np.hypot(centre[:, 0] - canal.shafts[0].x, centre[:, 1] - canal.shafts[0].y) < 1.2e-3
    assert edge[near].max() < 0.7e-3
    assert edge[section.labels == ORDER.index("bulk")].max() > 5e-3


def test_the_same_canal_gives_the_same_mesh() -> None:
    a, b = (build_canal(parametric(), [octrode()]).section for _ in range(2))
    assert np.array_equal(a.points, b.points)  # type: ignore[attr-defined]


def test_contacts_lie_where_the_tip_says() -> None:
    (shaft,) = place_leads(parametric("T9"), [octrode("T8", lateral="-1 mm", tip_offset="-2 mm")])
    up = {span.name: span for span in parametric("T9").level().cord.vertebrae}["T8"].middle
    assert up == pytest.approx(0.5 * (26.5 + 27.0) * 1e-3)
    assert shaft.z_tip == pytest.approx(up - 2e-3)
    assert shaft.x == -1e-3
    first, second = shaft.contacts[:2]
    assert first.z1 == pytest.approx(shaft.z_tip - 1e-3)
    assert first.z1 - first.z0 == pytest.approx(3e-3)
    assert first.z0 - second.z0 == pytest.approx(7e-3)
    assert first.area == pytest.approx(np.pi * 1.4e-3 * 3e-3)
    assert shaft.y < parametric("T9").level().outlines["dura-outer"][:, 1].min(), "dorsal of the sac"


def test_numbers_run_on_from_lead_to_lead() -> None:
    shafts = place_leads(parametric("T10"), [octrode("T9", lateral="-2 mm"), octrode("T9", lateral="2 mm")])
    assert [c.number for c in shafts[1].contacts] == list(range(9, 17))
    assert {c.lead for c in shafts[1].contacts} == {1}
    assert shafts[0].y == pytest.approx(shafts[1].y, abs=1e-9), "mirror images"


def test_a_narrow_space_is_widened_and_says_by_how_much() -> None:
    plain = parametric().level().outlines
    canal = build_canal(parametric(), [octrode()])
    (warning,) = canal.warnings
    by = float(re.search(r"widened by ([\d.]+) mm", warning).group(1)) * 1e-3  # type: ignore[union-attr]
    # 1.4 lead + 2 x 0.1 encapsulation + 0.05 to the dura + 0.1 to the wall - 1.5 of space
    assert by == pytest.approx(0.25e-3, abs=0.01e-3)
    assert plain["canal"][:, 1].min() - canal.outlines["canal"][:, 1].min() == pytest.approx(by, abs=0.01e-3)
    thin = lead.family.read({"model": "linear-st", "tip_vertebra": "T8", "encapsulation": "0 mm"})  # 1.3 mm: there is room
    assert not build_canal(parametric(), [thin]).warnings


def test_a_given_space_is_never_widened() -> None:
    with pytest.raises(BadGeometry, match=r"leads\[0\]: the lead lies 0\.65 mm inside the wall of the canal; "
                                          r"got '1\.60 mm thick .*make dorsal_epidural larger"):
        place_leads(parametric(dorsal_epidural="1 mm"), [octrode()])
    canal = build_canal(parametric(dorsal_epidural="3 mm"), [octrode()])
    assert not any("epidural" in warning for warning in canal.warnings)


def test_without_encapsulation_there_is_none() -> None:
    canal = build_canal(parametric(), [octrode(encapsulation="0 mm")])
    assert not any(tissue.name == "encapsulation" for tissue in canal.tissues)
    assert len(canal.section.rings) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(("leads", "message"), [
    ([{"depth": "-0.4 mm"}], r"leads\[0\]\.depth: the lead goes 0\.40 mm into the dura; .*at least 0\.03 mm"),
    ([{"depth": "0 mm"}], r"leads\[0\]\.depth: the lead touches the dura"),
    ([{"depth": "4 mm"}], r"leads\[0\]: the lead lies 4\.\d\d mm inside the wall of the canal; .*make depth or encapsulation"),
    ([{"encapsulation": "-0.1 mm"}], r"leads\[0\]\.encapsulation: .*0 mm, or at least 0\.03 mm"),
    ([{"lateral": "7 mm"}], r"leads\[0\]\.lateral: the lead lies 0\.1\d mm beside the dural sac, not dorsal of it; "
                            r"got .7\.00 mm.; allowed: -6\.\d\d mm to 6\.\d\d mm"),
    ([{"lateral": "-10 mm"}], r"leads\[0\]\.lateral: the lead lies 1\.\d\d mm inside the wall of the canal; got '-10\.00 mm'; "),
    ([{"encapsulation": "2.2 mm", "lateral": "6 mm"}], r"leads\[0\]: the lead lies \d\.\d\d mm inside the wall of the canal; "),
    ([{}, {"lateral": "1 mm"}], r"leads\[1\]: the lead lies 0\.6\d mm inside leads\[0\]; .*at least 1\.63 mm"),
    ([{}, {}], r"leads\[1\]: the lead lies 1\.60 mm inside leads\[0\]"),
    ([{}, {"lateral": "1.61 mm"}], r"leads\[1\]: the lead lies 0\.0\d mm too near to leads\[0\]"),
    ([{"tip_vertebra": "T88"}], r"leads\[0\]\.tip_vertebra: there is no such vertebra; got 'T88'; .*did you mean 'T8'"),
    ([{}, {"lateral": "3 mm", "tip_vertebra": "L4"}], r"leads\[1\]\.tip_vertebra: .*got 'L4'; allowed: C2 to L1"),
])
def test_leads_that_cannot_be(leads: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(BadGeometry, match=message):
        place_leads(parametric(), [octrode(**{"tip": one.pop("tip_vertebra", "T8"), **one}) for one in leads])


@pytest.mark.parametrize(("tip", "message"), [
    ("C4", r"leads\[0\]: the tip at C4 is \d+\.\d\d mm from T9, whose cross-section is modelled"),
    ("T11", r"leads\[0\]: the tip at T11 leaves every contact at least \d+\.\d\d mm off T9"),
])
def test_leads_that_miss_the_level_are_said(tip: str, message: str) -> None:
    assert any(re.search(message, warning) for warning in build_canal(parametric("T9"), [octrode(tip)]).warnings)


def test_the_lead_follows_the_dura_sideways() -> None:
    middle, = place_leads(parametric(dorsal_epidural="3 mm"), [octrode()])
    aside, = place_leads(parametric(dorsal_epidural="3 mm"), [octrode(lateral="3 mm")])
    assert aside.y > middle.y + 0.3e-3


def test_more_fluid_moves_the_lead_away_from_the_cord() -> None:
    near, far = (place_leads(parametric(dorsal_csf=d), [octrode()])[0].y for d in ("2 mm", "5 mm"))
    assert near - far == pytest.approx(3e-3, abs=1e-6)


def test_resampling_keeps_the_area_of_a_thin_ring() -> None:
    inner, outer = ellipse(6.5e-3, 6.6e-3, 0.0), ellipse(6.8e-3, 6.9e-3, 0.0)
    edges = np.where(inner[:, 1] < 0, 0.2e-3, 0.9e-3)
    a, b = graded(inner, edges), graded(outer, edges)
    assert len(a) < 130
    assert area(b) - area(a) == pytest.approx(area(outer) - area(inner), rel=0.01)
    length = np.hypot(*(np.roll(a, -1, axis=0) - a).T)
    dorsal = (a[:, 1] < -1e-3) & (np.roll(a[:, 1], -1) < -1e-3)
    assert length[dorsal] == pytest.approx(0.2e-3, rel=0.05)


THIN_GAPS = [  # people in whom Netgen fails between dura and lead with the edges that are wanted
    ({"dorsal_csf": "3.356 mm", "dura": "317 um", "cord_width": "7.935 mm", "cord_depth": "6.646 mm", "canal_depth": "18.504 mm"},
     {"tip_offset": "4.695 mm", "lateral": "2.466 mm", "angle": "-0.042272 rad"}),
    ({"dorsal_csf": "5.771 mm", "dura": "193 um", "cord_width": "7.566 mm", "cord_depth": "6.947 mm", "canal_depth": "16.654 mm"},
     {"tip_offset": "-2.87 mm", "lateral": "494 um", "angle": "-0.063444 rad"}),
    ({"dorsal_csf": "4.978 mm", "dura": "294 um", "cord_width": "8.134 mm", "cord_depth": "6.799 mm", "canal_depth": "17.029 mm",
      "posture": "standing"},
     {"tip_offset": "3.964 mm", "lateral": "1.664 mm", "angle": "-0.029297 rad"}),
]


@pytest.mark.parametrize(("sizes", "lies"), THIN_GAPS)
def test_a_thin_gap_beside_the_lead_is_meshed(sizes: dict[str, str], lies: dict[str, str]) -> None:
    canal = build_canal(parametric(extent="spine", **sizes), [octrode(**lies)], accuracy="fast")
    assert set(np.unique(canal.section.labels)) >= set(range(len(canal.tissues) - 1))  # type: ignore[attr-defined]


@pytest.mark.parametrize("failures", [0, 2, len(TRIES)])
def test_edges_become_shorter_until_the_mesher_succeeds(failures: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tried, own = list[float](), meshing.mesh_section

    def mesher(loops: Any, sizes: Any, **more: Any) -> Any:
        tried.append(sizes[0])
        if len(tried) <= failures:
            raise ValueError(f"failure {len(tried)}")
        return own(loops, sizes, **more)

    monkeypatch.setattr(meshing, "mesh_section", mesher)
    if failures < len(TRIES):
        canal = build_canal(parametric(), [octrode()])
        assert len(canal.section.triangles) > 1000  # type: ignore[attr-defined]
    else:
        with pytest.raises(BadGeometry, match=r"anatomy: the canal cannot be meshed: failure 1; change the lengths that were given"):
            build_canal(parametric(), [octrode()])
    assert np.array(tried) / tried[0] == pytest.approx([finer for finer, _ in TRIES[: failures + 1]])


NARROW = {  # canals that are too narrow for a lead beyond its ends, where there is none
    "paddle": ({"dorsal_csf": "2.764 mm", "dura": "396 um", "cord_width": "7.631 mm", "cord_depth": "6.13 mm", "canal_depth": "17.23 mm"},
               {"kind": "paddle", "model": "specify-5-6-5", "tip_vertebra": "T8", "tip_offset": "11.737 mm", "lateral": "-2.22 mm",
                "angle": "0.013904 rad"}),
    "beside the sac": ({"vertebra": "T12", "dorsal_csf": "2.743 mm", "dura": "313 um", "cord_width": "10.071 mm", "cord_depth": "6.866 mm",
                        "canal_depth": "18.428 mm"},
                       {"kind": "drg", "model": "slimtip-drg", "side": "right", "tip_vertebra": "T12", "tip_offset": "3.37 mm"}),
}


@pytest.mark.parametrize("which", NARROW)
def test_a_lead_gives_way_beyond_its_ends_only(which: str) -> None:
    sizes, lies = NARROW[which]
    canal = build_canal(parametric(extent="spine", **sizes), [lead.family.read(lies)], accuracy="fast")
    shaft, way = canal.shafts[0], canal.way
    ring = canal.section.rings[0]  # type: ignore[attr-defined]
    heights = np.array([shaft.z_tip - 5e-3, shaft.z_tip - 1e-4, shaft.z_tip + 26e-3])
    rim = way.at(heights)[0][:, ring]  # type: ignore[attr-defined]
    wide = np.linalg.norm(rim - rim.mean(axis=1, keepdims=True), axis=2).mean(axis=1)
    assert wide[1] == pytest.approx(wide[0], rel=2e-3)
    assert wide[2] == pytest.approx(0.5 * wide[0], rel=0.02)
