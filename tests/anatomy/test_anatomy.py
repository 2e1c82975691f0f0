"""One level of the canal: outlines, cord, tissues."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from epidura import anatomy
from epidura.anatomy.base import OUTLINES, TISSUES, WALL_TISSUES, Level
from epidura.anatomy.parametric import area
from epidura.errors import BadGeometry, BadInput
from epidura.fibre.dorsal_column import in_polygon
from epidura.recipe import Recipe
from epidura.tables import table

VERTEBRAE = [f"C{i}" for i in range(2, 8)] + [f"T{i}" for i in range(1, 13)] + ["L1"]


def recipe(vertebra: str = "T9", **more: Any) -> Any:
    return anatomy.family.read({"kind": "parametric", "vertebra": vertebra, **more})


def level(vertebra: str = "T9", **more: Any) -> Level:
    return recipe(vertebra, **more).level()


def extent(outline: np.ndarray) -> tuple[float, float]:
    width, depth = np.ptp(outline, axis=0) * 1e3
    return float(width), float(depth)


def dorsal_gap(inner: np.ndarray, outer: np.ndarray) -> float:
    return float(inner[:, 1].min() - outer[:, 1].min()) * 1e3


@pytest.mark.parametrize("vertebra", VERTEBRAE)
@pytest.mark.parametrize("tissues", ["low-dura", "high-dura"])
def test_every_level_is_nested_and_complete(vertebra: str, tissues: str) -> None:
    one = level(vertebra, tissues=tissues)
    assert tuple(one.outlines) == OUTLINES
    assert tuple(one.tissues) == (*TISSUES, *WALL_TISSUES[1:])
    for inner, outer in pairwise(OUTLINES):
        assert in_polygon(one.outlines[inner], one.outlines[outer]).all(), (inner, outer)
        assert not in_polygon(one.outlines[outer], one.outlines[inner]).any(), (inner, outer)
        assert area(one.outlines[inner]) > 0
    assert not one.warnings, "the table's own canal needs no mending"
    assert all(number.value > 0 for number in one.numbers)


@pytest.mark.parametrize("vertebra", VERTEBRAE)
def test_the_table_is_drawn(vertebra: str) -> None:
    row, one = table("vertebrae").row(vertebra=vertebra), level(vertebra)
    drawn = one.outlines
    sac_depth = sum(float(row[c]) for c in ("dcsf_mm", "cord_ap_mm", "vcsf_mm"))
    assert extent(drawn["cord"]) == pytest.approx((float(row["cord_rl_mm"]), float(row["cord_ap_mm"])), rel=1e-4)
    assert extent(drawn["dura-inner"]) == pytest.approx((float(row["sac_rl_mm"]), sac_depth), rel=1e-4)
    assert extent(drawn["canal"]) == pytest.approx((float(row["canal_width_mm"]), float(row["canal_depth_mm"])), rel=1e-4)
    assert dorsal_gap(drawn["cord"], drawn["dura-inner"]) == pytest.approx(float(row["dcsf_mm"]), abs=1e-3)
    assert dorsal_gap(drawn["dura-inner"], drawn["dura-outer"]) == pytest.approx(float(row["dura_mm"]), abs=1e-3)
    assert dorsal_gap(drawn["dura-outer"], drawn["canal"]) == pytest.approx(float(row["dorsal_epidural_mm"]), abs=1e-3)
    column = one.cord.dorsal_column
    assert extent(column) == pytest.approx((float(row["dc_width_mm"]), float(row["dc_depth_mm"])), rel=1e-3)
    assert column[:, 1].min() * 1e3 == pytest.approx(-0.5 * float(row["cord_ap_mm"]), rel=1e-3)


@pytest.mark.parametrize("vertebra", VERTEBRAE)
def test_grey_matter_and_dorsal_columns(vertebra: str) -> None:
    one = level(vertebra)
    grey, cord, column = one.outlines["grey-matter"], one.outlines["cord"], one.cord.dorsal_column
    fraction = float(table("vertebrae").row(vertebra=vertebra)["gm_fraction"])
    assert area(grey) / area(cord) == pytest.approx(fraction, rel=0.01)
    assert one.cord.grey_matter is grey
    # symmetric: every mirrored point is a point
    mirrored = grey * [-1.0, 1.0]
    assert np.abs(grey[:, None] - mirrored[None]).max(axis=2).min(axis=1).max() < 1e-9
    assert in_polygon(column, cord).all()
    assert not in_polygon(column, grey).any()
    assert not in_polygon(grey, column).any()
    # the commissure closes the columns ventrally, the horns lie beside them
    at_midline = grey[np.abs(grey[:, 0]) < 1e-12, 1]
    assert at_midline.min() > column[:, 1].max()
    assert (grey[grey[:, 1] < at_midline.min() - 1e-4][:, 0] != 0).all()
    assert not self_crossing(grey)


def self_crossing(loop: np.ndarray) -> bool:
    """Whether two edges that are not neighbours cross; brute force."""
    a, b = loop, np.roll(loop, -1, axis=0)

    def side(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> np.ndarray:
        return np.sign((q[..., 0] - p[..., 0]) * (r[..., 1] - p[..., 1]) - (q[..., 1] - p[..., 1]) * (r[..., 0] - p[..., 0]))

    a1, b1, a2, b2 = a[:, None], b[:, None], a[None], b[None]
    crossing = (side(a1, b1, a2) * side(a1, b1, b2) < 0) & (side(a2, b2, a1) * side(a2, b2, b1) < 0)
    return bool(crossing.any())


def test_self_crossing_sees_a_bow_tie() -> None:
    assert self_crossing(np.array([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]))


@pytest.mark.parametrize("vertebra", VERTEBRAE)
def test_segments_and_vertebrae(vertebra: str) -> None:
    cord = level(vertebra).cord
    for spans, names in ((cord.segments, table("cord_by_segment").column("segment")), (cord.vertebrae, VERTEBRAE)):
        assert [span.name for span in spans] == names
        assert all(span.z1 > span.z0 for span in spans)
        assert [a.z0 for a in spans[:-1]] == pytest.approx([b.z1 for b in spans[1:]])
    here = next(span for span in cord.vertebrae if span.name == vertebra)
    assert here.middle == pytest.approx(0.0, abs=1e-12)
    assert (here.z1 - here.z0) * 1e3 == pytest.approx(float(table("vertebrae").row(vertebra=vertebra)["pitch_mm"]))
    at = next(span for span in cord.segments if span.z0 <= 0 < span.z1)
    assert at.name == cord.level
    assert cord.level in table("vertebrae").row(vertebra=vertebra)["segments"].split("/")


def test_every_segment_lies_in_its_vertebra() -> None:
    cord = level("T9").cord
    vertebrae = {span.name: span for span in cord.vertebrae}
    for span in cord.segments:
        owner = table("cord_by_segment").row(segment=span.name)["vertebra_mid"]
        if owner in vertebrae:
            assert vertebrae[owner].z0 <= span.middle <= vertebrae[owner].z1


def test_levels_go_down_with_the_vertebrae() -> None:
    order = table("cord_by_segment").column("segment")
    at = [order.index(level(v).cord.level) for v in VERTEBRAE]
    assert at == sorted(at)
    assert level("T9").cord.level in ("T10", "T11")


def test_segment_shift_moves_the_cord_up() -> None:
    plain, shifted = level("T9").cord, level("T9", segment_shift=1).cord
    order = [span.name for span in plain.segments]
    assert order.index(shifted.level) == order.index(plain.level) + 1
    at = next(span for span in shifted.segments if span.z0 <= 0 < span.z1)
    assert at.name == shifted.level
    assert shifted.segments[0].z0 > plain.segments[0].z0
    assert shifted.vertebrae == plain.vertebrae
    with pytest.raises(BadInput, match=r"segment_shift.*5.*"):
        recipe("T9", segment_shift=5)


def test_a_shift_beyond_the_cord_says_what_is_left() -> None:
    with pytest.raises(BadGeometry, match=r"segment_shift: the cord has no segment there; got 3; allowed: -27 to 2 at L1"):
        level("L1", segment_shift=3)


def test_entry_zone_is_the_lateral_edge_of_the_dorsal_columns() -> None:
    for vertebra in VERTEBRAE:
        cord = level(vertebra).cord
        entry = np.array([cord.half_width * np.sin(cord.entry_angle), -cord.half_depth * np.cos(cord.entry_angle)])
        corner = cord.dorsal_column[cord.dorsal_column[:, 0].argmax()]
        assert np.abs(entry - corner).max() < 2e-6


@pytest.mark.parametrize(("name", "inner", "outer"), [("dorsal_csf", "cord", "dura-inner"), ("dura", "dura-inner", "dura-outer"),
                                                      ("dorsal_epidural", "dura-outer", "canal")])
def test_overrides_change_their_gap_only(name: str, inner: str, outer: str) -> None:
    plain, other = level("T9"), level("T9", **{name: "0.8 mm"})
    for a, b in (("cord", "dura-inner"), ("dura-inner", "dura-outer"), ("dura-outer", "canal")):
        want = 0.8 if (a, b) == (inner, outer) else dorsal_gap(plain.outlines[a], plain.outlines[b])
        assert dorsal_gap(other.outlines[a], other.outlines[b]) == pytest.approx(want, abs=1e-3)
    for a, b in pairwise(OUTLINES):
        assert in_polygon(other.outlines[a], other.outlines[b]).all()
    assert other.fixed_wall == (name == "dorsal_epidural")


def test_the_cord_moves_in_a_sac_that_keeps_its_size() -> None:
    plain, moved = level("T9").outlines, level("T9", dorsal_csf="6 mm").outlines
    assert extent(moved["dura-inner"]) == pytest.approx(extent(plain["dura-inner"]))
    deep = level("T9", dorsal_csf="9 mm")
    assert any("sac was made 2.30 mm deeper" in warning for warning in deep.warnings)
    assert any("canal was made" in warning and "deeper" in warning for warning in deep.warnings)
    assert in_polygon(deep.outlines["cord"], deep.outlines["dura-inner"]).all()


def test_a_larger_cord_keeps_its_inner_proportions() -> None:
    plain, large = level("T9"), level("T9", cord_width="9.444 mm", cord_depth="7.536 mm")
    assert large.cord.dorsal_column == pytest.approx(plain.cord.dorsal_column * 1.2, rel=1e-6, abs=1e-9)
    assert area(large.outlines["grey-matter"]) == pytest.approx(1.44 * area(plain.outlines["grey-matter"]), rel=0.01)
    wide = level("T9", cord_width="13.5 mm")
    assert any("sac was made" in warning and "wider" in warning for warning in wide.warnings)
    assert in_polygon(wide.outlines["cord"], wide.outlines["dura-inner"]).all()


def test_tissue_sets_differ_where_the_models_differ() -> None:
    low, high = level(tissues="low-dura").tissues, level(tissues="high-dura").tissues
    assert (low["dura"].transverse, high["dura"].transverse) == (0.03, 0.6)
    assert (low["epidural-fat"].transverse, high["epidural-fat"].transverse) == (0.04, 0.25)
    assert (low["white-matter"].transverse, low["white-matter"].longitudinal) == (0.083, 0.6)
    known = {(r["model"], r["tissue"]): r for r in table("conductivity")}
    for row in table("tissue_sets"):
        model, tissue = row["notes"].split("; ")[0].removeprefix("conductivity.csv: ").split(", ")
        source = known[model, tissue]
        assert row["transverse"] == (source["sigma_transverse"] or source["sigma_S_per_m"])
        assert row["longitudinal"] == (source["sigma_longitudinal"] or source["sigma_S_per_m"])
        assert (row["evidence"], row["source"]) == (source["evidence"], source["source"])


def test_numbers_carry_their_evidence() -> None:
    numbers = {number.name: number for number in level("T9").numbers}
    assert numbers["dorsal CSF at T9"].value == 4.1
    assert numbers["canal width at T9"].evidence == "recall"
    assert numbers["bone thickness"].unverified
    assert "dorsal CSF at T9" in {n.name for n in level("T9", dorsal_csf="3 mm").numbers}


@pytest.mark.parametrize(("keys", "message"), [
    ({"vertebra": "T13"}, r"vertebra: there is no such vertebra; got 'T13'; allowed: C2 to L1; did you mean 'T3'\?"),
    ({"vertebra": "t9"}, r"got 't9'; allowed: C2 to L1; did you mean 'T9'"),
    ({"vertebra": "T9", "tissues": "wet"}, r"tissues: there is no such choice; got 'wet'; allowed: low-dura, high-dura"),
    ({"vertebra": "T9", "dorsal_csf": 3}, r"dorsal_csf: a bare number has no unit; got 3; .*write '3 mm'"),
    ({"vertebra": "T9", "dorsal_csf": "-1 mm"}, r"dorsal_csf: not a possible length here; got '-1 mm'; allowed: 0.3 to 15 mm"),
    ({"vertebra": "T9", "cord_width": "3 ms"}, r"cord_width: the unit 'ms' is not a unit of length"),
    ({"vertebra": "T9", "dura_thickness": "1 mm"}, r"dura_thickness: unknown key"),
])
def test_bad_anatomies_say_what_to_do(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        anatomy.family.read({"kind": "parametric", **keys})


def test_text_and_back() -> None:
    one: Recipe = recipe("T9", dorsal_csf="3.2 mm", cord_width=None)
    text = one.model_dump(mode="json")
    assert text["dorsal_csf"] == "3.2 mm"
    assert text["cord_width"] is None
    assert anatomy.family.read(text) == one
    assert one.but(dorsal_csf="2 mm").dorsal_csf == 0.002
    assert one.key() != one.but(dorsal_csf="2 mm").key()
    properties = type(one).model_json_schema()["properties"]
    assert properties["dorsal_csf"]["x-kind"] == "length"


def test_widening_moves_the_dorsal_wall_and_nothing_else() -> None:
    plain = level("T9")
    wide = plain.widened(1e-3)
    for name in ("canal", "bone"):
        moved = plain.outlines[name] - wide.outlines[name]
        assert moved[:, 0] == pytest.approx(0.0)
        assert moved[:, 1].max() == pytest.approx(1e-3)
        assert moved[plain.outlines[name][:, 1] > 0, 1].max() < 0.15e-3
    assert all(wide.outlines[name] is plain.outlines[name] for name in OUTLINES if name not in ("canal", "bone"))
    assert in_polygon(wide.outlines["canal"], wide.outlines["bone"]).all()
