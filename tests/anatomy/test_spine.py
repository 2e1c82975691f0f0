"""The canal along the spine, postures, curves and populations."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.stats import truncnorm

from epidura import anatomy
from epidura.anatomy import sample
from epidura.anatomy.base import OUTLINES, SECTOR_ANGLES, SECTORS, TISSUES, WALL_TISSUES, Level, Stretch
from epidura.anatomy.parametric import RANGES, area
from epidura.anatomy.spine import SLIVER, STEP
from epidura.errors import BadGeometry, BadInput
from epidura.fibre.dorsal_column import in_polygon
from epidura.tables import table

VERTEBRAE = table("vertebrae").column("vertebra")
COLUMNS = {"cord_rl_mm": ("cord", 0), "cord_ap_mm": ("cord", 1), "sac_rl_mm": ("dura-inner", 0), "canal_width_mm": ("canal", 0),
           "canal_depth_mm": ("canal", 1)}
CASES: dict[str, dict[str, Any]] = {
    "average": {}, "prone": {"posture": "prone"}, "little fluid": {"dorsal_csf": "2 mm"}, "much fluid": {"dorsal_csf": "6.5 mm"},
    "large cord": {"cord_width": "10 mm", "cord_depth": "7.5 mm"}, "thick dura": {"dura": "0.6 mm", "dorsal_epidural": "3 mm"},
    "shallow canal": {"canal_depth": "13 mm"},
}


def recipe(vertebra: str = "T9", **more: Any) -> Any:
    return anatomy.family.read({"kind": "parametric", "vertebra": vertebra, **more})


@cache
def whole(case: str = "average", vertebra: str = "T9") -> Stretch:
    """From above C2 to below L1."""
    one = recipe(vertebra, extent="spine", **CASES[case])
    spans = one.level().cord.vertebrae
    return one.stretch(spans[-1].z0, spans[0].z1)


def at(stretch: Stretch, vertebra: str) -> Level:
    """The level at the middle of a vertebra."""
    middle = next(span.middle for span in stretch.level.cord.vertebrae if span.name == vertebra)
    return stretch.levels[int(np.abs(stretch.z - middle).argmin())]


def dorsal_gap(level: Level, inner: str, outer: str) -> float:
    return float(level.outlines[inner][:, 1].min() - level.outlines[outer][:, 1].min()) * 1e3


def value(vertebra: str, column: str, source: str = "vertebrae") -> float:
    return float(table(source).row(vertebra=vertebra)[column])


def test_one_vertebra_is_the_same_everywhere() -> None:
    stretch = recipe().stretch(-0.1, 0.1)
    assert stretch.uniform
    assert stretch.level.vertebra == "T9"


@pytest.mark.parametrize(("z0", "z1"), [(-0.06, 0.08), (0.02, 0.05), (-0.05, -0.01), (0.0, 0.0), (-1e-5, 0.0133)])
def test_stations_cover_the_stretch(z0: float, z1: float) -> None:
    stretch = recipe(extent="spine").stretch(z0, z1)
    assert not stretch.uniform or (z0, z1) == (0.0, 0.0)
    assert stretch.z[stretch.origin] == 0.0
    assert stretch.z[0] == pytest.approx(min(z0, 0.0), abs=0.11e-3)
    assert stretch.z[-1] == pytest.approx(max(z1, 0.0), abs=0.11e-3)
    if len(stretch.z) > 1:
        assert np.diff(stretch.z).min() > 0.05e-3
        assert np.diff(stretch.z).max() <= STEP * 1.03, "but for the ends that were left out"
    assert len(stretch.levels) == len(stretch.z)


@pytest.mark.parametrize("vertebra", ["C2", "C7", "T9", "L1"])
def test_the_named_level_is_that_of_the_vertebra(vertebra: str) -> None:
    one = recipe(vertebra, dorsal_csf="3 mm", dura="0.4 mm", cord_width="8.8 mm", canal_depth="18 mm")
    plain, along = one.level(), one.but(extent="spine").stretch(-0.02, 0.02).level
    for name in OUTLINES:
        assert along.outlines[name] == pytest.approx(plain.outlines[name], abs=1e-12)
    assert along.cord.level == plain.cord.level
    assert along.cord.segments == plain.cord.segments
    assert dorsal_gap(along, "cord", "dura-inner") == pytest.approx(3.0, abs=1e-6)
    assert np.ptp(along.outlines["canal"][:, 1]) == pytest.approx(18e-3)


@pytest.mark.parametrize("vertebra", VERTEBRAE)
def test_the_tables_hold_at_the_middle_of_every_vertebra(vertebra: str) -> None:
    level = at(whole(), vertebra)
    for column, (name, axis) in COLUMNS.items():
        assert np.ptp(level.outlines[name][:, axis]) * 1e3 == pytest.approx(value(vertebra, column), rel=1e-4), column
    assert dorsal_gap(level, "cord", "dura-inner") == pytest.approx(value(vertebra, "dcsf_mm"), abs=1e-6)
    assert dorsal_gap(level, "dura-outer", "canal") == pytest.approx(value(vertebra, "dorsal_epidural_mm"), abs=1e-6)
    assert area(level.outlines["grey-matter"]) / area(level.outlines["cord"]) == pytest.approx(value(vertebra, "gm_fraction"), rel=1e-3)
    assert np.ptp(level.cord.dorsal_column, axis=0) * 1e3 == pytest.approx(
        [value(vertebra, "dc_width_mm"), value(vertebra, "dc_depth_mm")], rel=1e-3)


def test_between_vertebrae_nothing_is_wider_or_narrower_than_beside() -> None:
    stretch = whole()
    middles = [span.middle for span in reversed(stretch.level.cord.vertebrae)]
    for name, axis in COLUMNS.values():
        size = np.array([np.ptp(level.outlines[name][:, axis]) for level in stretch.levels])
        for a, b in pairwise(middles):
            ends = size[[np.abs(stretch.z - z).argmin() for z in (a, b)]]
            between = size[(stretch.z >= a) & (stretch.z <= b)]
            assert between.min() >= ends.min() - 1e-9
            assert between.max() <= ends.max() + 1e-9


@pytest.mark.parametrize("case", CASES)
def test_points_stay_what_they_are_along_the_spine(case: str) -> None:
    stretch = whole(case)
    # linear courses would turn by 0.09 at vertebrae; an outline that begins to push the next one has a kink, too
    largest_turn = 0.06 if case in ("average", "prone") else 0.1
    for name in (*OUTLINES, "dorsal column"):
        loops = np.array([level.outlines.get(name, level.cord.dorsal_column) for level in stretch.levels])
        slopes = np.diff(loops, axis=0) / np.diff(stretch.z)[:, None, None]
        assert np.hypot(slopes[..., 0], slopes[..., 1]).max() < 0.15, name
        turns = np.diff(slopes, axis=0)
        assert np.hypot(turns[..., 0], turns[..., 1]).max() < largest_turn, name


def test_points_of_the_grey_matter_keep_their_anatomy() -> None:
    grey = np.array([level.outlines["grey-matter"] for level in whole().levels])
    columns = [level.cord.dorsal_column for level in whole().levels]
    half = grey.shape[1] // 2
    assert np.abs(grey[:, [0, half], 0]).max() == 0.0, "dorsal and ventral midline"
    assert len(np.unique(np.argmin(grey[:, :half, 1], axis=1))) == 1, "tip of the dorsal horn"
    assert len(np.unique(np.argmax(grey[:, :half, 1], axis=1))) == 1, "tip of the ventral horn"
    for one, column in zip(grey, columns, strict=True):
        assert one[0, 1] - column[:, 1].max() == pytest.approx(0.05e-3, abs=1e-9), "the commissure closes the columns"


def test_every_station_is_mirror_symmetric() -> None:
    for level in whole("prone").levels[::7]:
        for name in OUTLINES:
            loop = level.outlines[name]
            k = np.arange(len(loop))
            mirror = -k if name == "grey-matter" else len(loop) // 2 - k
            assert loop[mirror % len(loop)] * [-1.0, 1.0] == pytest.approx(loop, abs=1e-12), name


def clearance(inner: np.ndarray, outer: np.ndarray) -> float:
    """Least distance of the points of ``inner`` to a convex ``outer`` along rays from the middle of the cord, + inside; m."""
    along = np.roll(outer, -1, axis=0) - outer
    turns = along[:, 0] * np.roll(along, -1, axis=0)[:, 1] - along[:, 1] * np.roll(along, -1, axis=0)[:, 0]
    assert turns.min() > -1e-15, "not convex"
    angle, radius = np.arctan2(outer[:, 1], outer[:, 0]), np.hypot(*outer.T)
    at_point = np.interp(np.arctan2(inner[:, 1], inner[:, 0]), angle[np.argsort(angle)], radius[np.argsort(angle)], period=2 * np.pi)
    return float((at_point - np.hypot(*inner.T)).min())


def test_clearance_sees_outlines_that_cross() -> None:
    level = recipe().level().outlines
    assert clearance(level["cord"], level["dura-inner"]) > 0.3e-3
    assert clearance(level["cord"] + [0.0, 3e-3], level["dura-inner"]) < 0


@pytest.mark.parametrize("case", CASES)
def test_outlines_lie_inside_each_other_at_every_station(case: str) -> None:
    least = {"cord": 50e-6, "dura-inner": 290e-6, "dura-outer": 200e-6, "canal": 50e-6, "bone": 1e-3, "bulk": 1e-3}
    for level in whole(case).levels:
        for inner, outer in pairwise(OUTLINES):
            assert clearance(level.outlines[inner], level.outlines[outer]) > least[outer], (inner, outer)


def test_grey_matter_and_dorsal_columns_lie_beside_each_other_at_every_station() -> None:
    for level in whole().levels[::4]:
        assert not in_polygon(level.cord.dorsal_column, level.outlines["grey-matter"]).any()
        assert not in_polygon(level.outlines["grey-matter"], level.cord.dorsal_column).any()


def test_the_cord_is_in_the_middle_at_every_station() -> None:
    for level in whole("much fluid").levels:
        cord = level.outlines["cord"]
        assert np.abs(cord.max(axis=0) + cord.min(axis=0)).max() < 1e-12
        assert level.cord.centre == (0.0, 0.0)


def test_what_was_given_changes_the_other_levels_too() -> None:
    plain = whole()
    for vertebra in ("C4", "T3", "T12"):
        fluid, cord, dura = (at(whole(case), vertebra) for case in ("little fluid", "large cord", "thick dura"))
        shifted = max(value(vertebra, "dcsf_mm") + 2.0 - value("T9", "dcsf_mm"), 0.3)
        assert dorsal_gap(fluid, "cord", "dura-inner") == pytest.approx(shifted, abs=1e-6)
        assert cord.cord.half_width / at(plain, vertebra).cord.half_width == pytest.approx(10 / value("T9", "cord_rl_mm"))
        assert cord.cord.half_depth / at(plain, vertebra).cord.half_depth == pytest.approx(7.5 / value("T9", "cord_ap_mm"))
        assert dorsal_gap(dura, "dura-inner", "dura-outer") == pytest.approx(value(vertebra, "dura_mm") * 2, abs=1e-4)
        assert dorsal_gap(dura, "dura-outer", "canal") == pytest.approx(value(vertebra, "dorsal_epidural_mm") * 2, abs=1e-4)


def test_warnings_are_said_once_with_their_range() -> None:
    stretch = whole("much fluid")
    others = [level for i, level in enumerate(stretch.levels) if i != stretch.origin]
    assert not any(level.warnings or level.numbers for level in others)
    (deeper,) = [warning for warning in stretch.level.warnings if "sac was made" in warning]
    assert "up to 1.48 mm deeper than on average from T3 to T7" in deeper
    assert any("canal was made up to" in warning for warning in stretch.level.warnings)
    little = whole("little fluid").level.warnings
    assert any("up to 0.40 mm less dorsal" in warning and "from C2 to C6" in warning for warning in little)
    shallow = whole("shallow canal").level.warnings
    assert any("deeper than canal_depth, so that the dura fits in" in warning for warning in shallow)


def test_the_average_spine_needs_no_mending() -> None:
    assert whole().level.warnings == ("the tables end at L1: the canal stays the same over 16.50 mm below its middle",
                                      "the tables end at C2: the canal stays the same over 7.75 mm above its middle")
    assert not recipe(extent="spine").stretch(-0.07, 0.07).level.warnings


def test_beyond_the_tables_nothing_changes() -> None:
    stretch = recipe("L1", extent="spine").stretch(-0.1, 0.0)
    assert all(np.array_equal(level.outlines[name], stretch.level.outlines[name]) for level in stretch.levels for name in OUTLINES)
    assert stretch.level.warnings == ("the tables end at L1: the canal stays the same over 100.00 mm below its middle",)


def test_numbers_are_those_that_shaped_the_stretch() -> None:
    numbers = {number.name: number for number in recipe(extent="spine").stretch(-0.03, 0.03).level.numbers}
    assert {"dorsal CSF at T8", "dorsal CSF at T10", "height of disc T9/T10", "ventral sector",
            "transverse conductivity of disc (high-dura)"} <= set(numbers)
    assert "dorsal CSF at C4" not in numbers
    assert numbers["height of disc T9/T10"].evidence == "read"
    assert numbers["height of ligament T9/T10"].unverified
    assert not any("disc" in number.name or "sector" in number.name for number in recipe().level().numbers)


def test_a_stretch_goes_upwards() -> None:
    with pytest.raises(BadGeometry, match=r"anatomy: a stretch of the spine goes upwards; got '50 to -50 mm'"):
        recipe(extent="spine").stretch(0.05, -0.05)


# what lies between the vertebrae

@pytest.fixture(scope="module")
def spine() -> Stretch:
    return whole()


def test_walls_rise_and_do_not_overlap(spine: Stretch) -> None:
    assert len(spine.walls) > 60
    assert all(wall.z0 < wall.z1 for wall in spine.walls)
    assert all(a.z1 <= b.z0 for a, b in pairwise(spine.walls))
    assert min(wall.z1 - wall.z0 for wall in spine.walls) >= SLIVER, "no slivers"
    assert spine.walls[0].z0 >= spine.z[0]
    assert spine.walls[-1].z1 <= spine.z[-1]
    assert all({wall.ventral, wall.lateral, wall.dorsal} != {"bone"} for wall in spine.walls)
    assert all(getattr(wall, sector) in WALL_TISSUES for wall in spine.walls for sector in SECTORS)


@pytest.mark.parametrize(("sector", "tissue"), [("ventral", "disc"), ("lateral", "foramen"), ("dorsal", "ligament")])
def test_heights_of_the_walls_are_those_of_the_table(spine: Stretch, sector: str, tissue: str) -> None:
    bottoms = {span.name: span.z0 for span in spine.level.cord.vertebrae}
    rows = [row for row in table("junctions") if row["sector"] == sector]
    assert [row["upper"] for row in rows] == VERTEBRAE
    pieces = [(wall.z0, wall.z1) for wall in spine.walls if getattr(wall, sector) != "bone"]
    assert all(getattr(wall, sector) in ("bone", tissue) for wall in spine.walls)
    allowed = 1e-9 if sector == "ventral" else SLIVER
    for row in rows[:-1]:  # the last one is cut by the end of the stretch
        middle, half = bottoms[row["upper"]] + float(row["above_mm"]) * 1e-3, float(row["height_mm"]) * 0.5e-3
        own = [(a, b) for a, b in pieces if abs(0.5 * (a + b) - middle) < half]
        assert own[0][0] == pytest.approx(middle - half, abs=allowed), row["upper"]
        assert own[-1][1] == pytest.approx(middle + half, abs=allowed), row["upper"]
        assert all(a[1] == b[0] for a, b in pairwise(own)), "without a hole"


def test_vertebra_and_disc_alternate(spine: Stretch) -> None:
    """At the middle of every vertebra there is bone, where two vertebrae meet a disc."""
    def ventral(z: float) -> str:
        return next((wall.ventral for wall in spine.walls if wall.z0 <= z <= wall.z1), "bone")

    for span in spine.level.cord.vertebrae[:-1]:
        assert ventral(span.middle) == "bone"
        assert ventral(span.z0) == "disc"
    assert next(wall for wall in spine.walls if wall.z0 <= spine.level.cord.vertebrae[7].z0 < wall.z1).lateral == "foramen"


def test_walls_are_cut_to_the_stretch() -> None:
    cut = recipe(extent="spine").stretch(-0.0145, 0.0).walls
    assert cut[0].z0 == -0.0145
    assert (cut[0].ventral, cut[0].lateral, cut[0].dorsal) == ("disc", "foramen", "bone")
    assert not recipe(extent="spine").stretch(0.0, 0.002).walls


@pytest.mark.parametrize("tissues", ["low-dura", "high-dura"])
def test_every_level_knows_the_tissues_of_the_walls(tissues: str) -> None:
    level = recipe(tissues=tissues).level()
    assert set(level.tissues) == {*TISSUES, *WALL_TISSUES}
    assert level.tissues["foramen"].transverse == level.tissues["epidural-fat"].transverse
    assert level.tissues["bone"].transverse < level.tissues["ligament"].transverse < level.tissues["disc"].transverse


def test_sectors_are_those_of_the_table() -> None:
    facts = {name: float(table("canal_facts").row(quantity=f"{name} sector")["value"]) for name in SECTOR_ANGLES}
    assert facts == SECTOR_ANGLES
    assert sum(SECTOR_ANGLES.values()) < np.pi, "a lateral sector is left"


# posture

@pytest.mark.parametrize(("vertebra", "more"), [("T11", 2.2), ("T12", 3.4)])
@pytest.mark.parametrize("extent", ["vertebra", "spine"])
def test_prone_adds_the_measured_fluid(vertebra: str, more: float, extent: str) -> None:
    supine, prone = (recipe(vertebra, extent=extent, posture=posture).stretch(-0.01, 0.01).level for posture in ("supine", "prone"))
    assert dorsal_gap(prone, "cord", "dura-inner") - dorsal_gap(supine, "cord", "dura-inner") == pytest.approx(more, abs=1e-6)
    for name in ("dura-inner", "canal"):
        assert np.ptp(prone.outlines[name], axis=0) == pytest.approx(np.ptp(supine.outlines[name], axis=0)), "the sac keeps its size"
    assert np.array_equal(prone.outlines["cord"], supine.outlines["cord"])
    assert any(n.name == f"shift of the cord from supine to prone at {vertebra}" and n.evidence == "read" for n in prone.numbers)
    assert not any("standing" in warning for warning in prone.warnings)


@pytest.mark.parametrize("vertebra", VERTEBRAE)
def test_postures_order_the_dorsal_fluid(vertebra: str) -> None:
    gaps = [dorsal_gap(recipe(vertebra, posture=posture).level(), "cord", "dura-inner") for posture in ("supine", "standing", "prone")]
    shift = value(vertebra, "prone_mm", "posture")
    assert np.diff(gaps) == pytest.approx([0.5 * shift, 0.5 * shift], abs=1e-6)


def test_postures_that_are_guessed_say_so() -> None:
    assert not recipe("T11", posture="prone").level().warnings
    (guess,) = recipe("T9", posture="prone").level().warnings
    assert guess == ("prone: how far the cord moves from supine to prone was measured at T11 and T12 only; 1.47 mm was taken here")
    assert "no measurement" in recipe("T11", posture="standing").level().warnings[0]
    assert sum("measured at T11 and T12 only; up to 3.40 mm" in warning for warning in whole("prone").level.warnings) == 1


def test_the_ventral_wall_of_the_sac_stops_the_cord() -> None:
    one = recipe("T11", posture="prone", dorsal_csf="6 mm").level()
    inside, cord = one.outlines["dura-inner"], one.outlines["cord"]
    assert (inside[:, 1].max() - cord[:, 1].max()) * 1e3 == pytest.approx(0.3, abs=1e-6)
    assert one.warnings == ("prone: the cord moves 0.49 mm less ventrally than at an average T11, because there the sac ends",)


# curve

def test_the_curve_has_the_angles_of_its_regions() -> None:
    one = recipe(extent="spine", curve="physiological")
    spans = {span.name: span for span in one.level().cord.vertebrae}
    stretch = one.stretch(spans["L1"].z0 - 0.02, spans["C2"].z1 + 0.02)
    bend = stretch.bend
    assert bend is not None
    for row in table("curvature"):
        z = np.linspace(spans[row["lower"]].z0, spans[row["upper"]].z1, 2001)
        angle = np.degrees(np.trapezoid(np.interp(z, stretch.z, bend), z))
        assert angle == pytest.approx(float(row["angle_deg"]), abs=0.15), row["region"]
    assert stretch.z[bend.argmax()] == pytest.approx(spans["T6"].middle, abs=spans["T6"].z1 - spans["T6"].z0), "apex"
    assert bend[0] == bend[-1] == 0.0
    assert np.abs(np.diff(bend)).max() < 0.7, "smooth: the largest curvature is 5.5 per metre"
    assert any(number.name == "thoracic kyphosis T1 to T10" for number in stretch.level.numbers)
    assert whole().bend is None


@pytest.mark.parametrize(("keys", "message"), [
    ({"curve": "physiological"}, r"curve: one cross-section has no curve; got 'physiological'; allowed: straight; write extent: spine"),
    ({"posture": "sitting"}, r"posture: there is no such choice; got 'sitting'; allowed: supine, prone, standing"),
    ({"extent": "spinal"}, r"extent: there is no such choice; got 'spinal'; .*did you mean 'spine'"),
    ({"canal_depth": "40 mm"}, r"canal_depth: not a possible length here; got '40 mm'; allowed: 8 to 30 mm"),
])
def test_bad_spines_say_what_to_do(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        recipe(**keys)


def test_text_and_back() -> None:
    one = recipe(extent="spine", posture="prone", curve="physiological", canal_depth="16.5 mm")
    assert anatomy.family.read(one.model_dump(mode="json")) == one
    assert len({one.key(), one.but(posture="supine").key(), one.but(curve="straight").key(), recipe().key()}) == 4


# populations

def test_the_same_seed_gives_the_same_people() -> None:
    people = sample("T9", 12, 5, extent="spine")
    assert people == sample("T9", 12, 5, extent="spine")
    assert people[:4] == sample("T9", 4, 5, extent="spine")
    assert people != sample("T9", 12, 6, extent="spine")
    assert len({person.key() for person in people}) == 12
    assert sample("T9", 0, 5) == []
    assert all(anatomy.family.read(person.model_dump(mode="json")) == person for person in people)


@pytest.mark.parametrize("vertebra", ["T9", "L1"])
@pytest.mark.parametrize(("name", "mean", "sd"), [("dorsal_csf", "dcsf_mm", "dcsf_sd"), ("cord_width", "cord_rl_mm", "cord_rl_sd"),
                                                  ("cord_depth", "cord_ap_mm", "cord_ap_sd"), ("dura", "dura_mm", 0.122)])
def test_samples_have_the_spread_of_the_table(vertebra: str, name: str, mean: str, sd: str | float) -> None:
    drawn = np.array([getattr(person, name) for person in people(vertebra)]) * 1e3
    centre, spread = value(vertebra, mean), sd if isinstance(sd, float) else value(vertebra, sd)
    low, high = (np.clip((limit * 1e3 - centre) / spread, -3, 3) for limit in RANGES[name])
    wanted = truncnorm(low, high, loc=centre, scale=spread)
    n = len(drawn)
    assert drawn.mean() == pytest.approx(wanted.mean(), abs=4 * wanted.std() / np.sqrt(n))
    assert drawn.std() == pytest.approx(wanted.std(), rel=4 / np.sqrt(2 * n))
    assert drawn.min() >= RANGES[name][0] * 1e3
    assert np.abs(drawn - centre).max() <= 3 * spread + 1e-3


@cache
def people(vertebra: str) -> tuple[Any, ...]:
    return tuple(sample(vertebra, 500, 20))


def test_sizes_are_drawn_independently() -> None:
    sizes = np.array([[getattr(person, name) for name in ("dorsal_csf", "cord_width", "cord_depth", "dura")] for person in people("T9")])
    between = np.corrcoef(sizes.T)[np.triu_indices(4, 1)]
    assert np.abs(between).max() < 4 / np.sqrt(len(sizes))


def test_canals_hold_their_dura() -> None:
    for person in people("T9")[:40]:
        assert person.canal_depth >= person.least_canal_depth() - 1e-6
        assert not any("deeper" in warning and "canal" in warning for warning in person.level().warnings)
    assert sample("C2", 3, 1)[0].canal_depth is None, "the table has no spread there"


def test_what_is_given_is_not_drawn() -> None:
    free, fixed = sample("T9", 3, 1), sample("T9", 3, 1, cord_width="8 mm", posture="prone")
    assert all(person.cord_width == 0.008 and person.posture == "prone" for person in fixed)
    assert [person.dorsal_csf for person in free] == [person.dorsal_csf for person in fixed], "the other draws stay"


@pytest.mark.parametrize("vertebra", VERTEBRAE)
def test_every_person_can_be_built(vertebra: str) -> None:
    for person in sample(vertebra, 12, 3, posture="prone"):
        level = person.level()
        for inner, outer in pairwise(OUTLINES):
            assert in_polygon(level.outlines[inner], level.outlines[outer]).all(), (person, inner)


@pytest.mark.parametrize(("arguments", "message"), [
    (("T99", 3, 1), r"vertebra: there is no such vertebra; got 'T99'"),
    (("T9", -1, 1), r"count: a number of people or a seed is not negative; got -1; allowed: 0 or more"),
    (("T9", 3, -1), r"seed: a number of people or a seed"),
])
def test_bad_samples_say_what_to_do(arguments: tuple[str, int, int], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        sample(*arguments)
    with pytest.raises(BadInput, match=r"height: unknown key"):
        sample("T9", 1, 1, height="1.8 m")
