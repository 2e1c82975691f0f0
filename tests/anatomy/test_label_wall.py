"""The wall of the canal from bone and fat of a label map: phantoms whose border and tissues are known."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from label_phantoms import BONE, CSF, DISC, FAT, HALF_SAC, OPEN, PITCH, SHIFT, SPACING, TABLE, canal, course, radius, save, vertebral, within

from epidura import anatomy
from epidura.anatomy import contours
from epidura.anatomy.base import OUTLINES, SECTORS, Stretch
from epidura.anatomy.label_wall import TISSUE, BonyWall, bony_wall
from epidura.anatomy.spine import openings
from epidura.canal import _sectors, build_canal
from epidura.errors import BadGeometry
from epidura.field import solve_field
from epidura.lead import family as leads

NO_DISC = {key: value for key, value in TABLE.items() if key != "disc"}
MODEL = anatomy.family.read({"kind": "parametric", "vertebra": "T9"}).level()


@pytest.fixture(scope="module")
def phantom() -> tuple[np.ndarray, np.ndarray]:
    return vertebral()


@pytest.fixture(scope="module")
def person(phantom: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Any:
    return recipe(save(tmp_path_factory.mktemp("maps") / "bony.nii.gz", *phantom))


def recipe(file: str, **more: Any) -> Any:
    keys = {"vertebra": "T9", "labels": TABLE, "z0": "100 mm", **more}
    return anatomy.family.read({"kind": "labels", "file": file, **{key: value for key, value in keys.items() if value is not None}})


def heights(phantom: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """(s,) mm, of the slices."""
    ids, affine = phantom
    return affine[2, 3] + np.arange(ids.shape[2]) * SPACING[2] - 100


def off(stretch: Stretch) -> np.ndarray:
    """(s, k) mm by which the border of the canal lies outside the true one, at every station."""
    origin = course(0.0) + np.array([0.0, 0.2])  # of the stretch: the middle of the cord at z = 0
    found = []
    for z, level in zip(stretch.z * 1e3, stretch.levels, strict=True):
        x, y = (level.outlines["canal"] * 1e3 - (course(z) - origin + SHIFT)).T
        found.append(np.hypot(x, y) - radius(canal(z), np.arctan2(y, x)))
    return np.array(found)


def pieces(stretch: Stretch, sector: str) -> list[tuple[float, float]]:
    """Where a sector of the wall is not bone, mm, rising; all of it of the one tissue it can be."""
    found: list[list[float]] = []
    for wall in stretch.walls:
        if getattr(wall, sector) == "bone":
            continue
        assert getattr(wall, sector) == TISSUE[sector]
        if found and found[-1][1] == wall.z0:
            found[-1][1] = wall.z1
        else:
            found.append([wall.z0, wall.z1])
    return [(low * 1e3, high * 1e3) for low, high in found]


def true_pieces(sector: str, low: float, high: float) -> list[tuple[float, float]]:
    ends = [(OPEN[sector][0] + k * PITCH, OPEN[sector][1] + k * PITCH) for k in range(-3, 4)]
    return [(max(a, low), min(b, high)) for a, b in ends if a < high and b > low]


def check_nested(stretch: Stretch) -> None:
    for level in stretch.levels:
        for inner, outer in pairwise(OUTLINES):
            assert contours.clearance(level.outlines[inner], level.outlines[outer]).min() > 0.09e-3, (inner, outer)
        assert contours.simple(level.outlines["canal"], 2)


# ------------------------------------------------------------------------------------------------ what is there is found


def test_the_border_of_the_canal_is_that_of_the_bone(person: Any) -> None:
    """In openings too, where the fat runs out of the foramina: within a voxel of 0.5 mm, on average within a tenth of one."""
    drawn = person.stretch(-35e-3, 35e-3)
    assert np.abs(off(drawn)).max() < 0.35
    assert np.abs(off(drawn).mean(axis=1)).max() < 0.05
    check_nested(drawn)


def test_the_wall_is_what_the_labels_say(person: Any) -> None:
    """Edges within a slice of 1.5 mm: a voxel says where the middle of a slice lies."""
    drawn = person.stretch(-35e-3, 35e-3)
    for sector in SECTORS:
        assert np.array(pieces(drawn, sector)) == pytest.approx(np.array(true_pieces(sector, -35, 35)), abs=0.76), sector
    assert not any("does not show" in one or "across the disc" in one for one in drawn.level.warnings)
    said = " | ".join(drawn.level.warnings)
    assert "canal: its border is the inner side of the bone, which 56 of 56 slices show" in said
    assert "bone: only its inner side is used; it is as thick as in the parametric model at T9" in said
    assert "epidural space" not in said
    numbers = {number.name for number in drawn.level.numbers}
    assert {"width of the canal at T9 in the label map", "ventral sector", "transverse conductivity of disc (high-dura)"} <= numbers
    assert not any(name.startswith(("canal width", "height of")) for name in numbers)


def test_one_level_has_no_walls_and_the_same_border(person: Any) -> None:
    assert person.stretch(0.0, 0.0).walls == ()
    assert person.level().outlines["canal"] == pytest.approx(person.stretch(-9e-3, 9e-3).level.outlines["canal"], abs=1e-12)


@pytest.mark.parametrize("without", ["disc", "fat", "both"])
def test_openings_need_no_labels_of_what_fills_them(phantom: Any, tmp_path: Path, without: str) -> None:
    ids = phantom[0].copy()
    table = dict(TABLE)
    for name, key, number in (("disc", "disc", DISC), ("fat", "epidural-fat", FAT)):
        if without in (name, "both"):
            ids[ids == number] = 0
            del table[key]
    drawn = recipe(save(tmp_path / "map.nii", ids, phantom[1]), labels=table).stretch(-35e-3, 35e-3)
    assert np.abs(off(drawn)).max() < 0.35
    for sector in SECTORS:
        assert np.array(pieces(drawn, sector)) == pytest.approx(np.array(true_pieces(sector, -35, 35)), abs=0.76), sector


def test_axes_and_tilt_of_the_header(phantom: Any, person: Any, tmp_path: Path) -> None:
    same = person.stretch(-20e-3, 20e-3)
    other = recipe(save(tmp_path / "a.nii", *phantom, "PIL", "micron")).stretch(-20e-3, 20e-3)
    cos, sin = np.cos(np.radians(8)), np.sin(np.radians(8))
    turn = np.array([[1, 0, 0, 0], [0, cos, -sin, 0], [0, sin, cos, 0], [0, 0, 0, 1]])
    tilted = recipe(save(tmp_path / "b.nii", phantom[0], turn @ phantom[1], "LSA"), z0=None)
    straight = recipe(person.file, z0=None).stretch(-20e-3, 20e-3)
    for one, reference in ((other, same), (tilted.stretch(-20e-3, 20e-3), straight)):
        for mine, theirs in zip(one.levels, reference.levels, strict=True):
            assert mine.outlines["canal"] == pytest.approx(theirs.outlines["canal"], abs=1e-8)
        assert [(wall.ventral, wall.lateral, wall.dorsal) for wall in one.walls] == [
            (wall.ventral, wall.lateral, wall.dorsal) for wall in reference.walls]
        assert [wall.z0 for wall in one.walls] == pytest.approx([wall.z0 for wall in reference.walls], abs=1e-8)
    assert any("tilted by 8.0 degrees" in one for one in tilted.level().warnings)


def test_fat_without_bone_ends_at_the_wall(phantom: Any, tmp_path: Path) -> None:
    """The outer border of the fat is the wall, and the wall is bone all along, as the warnings say."""
    ids, affine = vertebral()
    ids[ids >= BONE] = 0
    z = heights(phantom)
    for k in range(ids.shape[2]):  # no fat in the foramina: nothing would say where the canal ends
        middle = course(z[k]) + SHIFT
        x, y = np.meshgrid(*(affine[i, 3] + np.arange(ids.shape[i]) * SPACING[i] - at for i, at in ((0, 5 + middle[0]), (1, -30 + middle[1]))),
                           indexing="ij")
        ids[:, :, k][(ids[:, :, k] == FAT) & (np.hypot(x, y) > radius(canal(z[k]), np.arctan2(y, x)))] = 0
    table = {key: TABLE[key] for key in ("cord", "csf", "epidural-fat")}
    drawn = recipe(save(tmp_path / "map.nii", ids, affine), labels=table).stretch(-35e-3, 35e-3)
    assert np.abs(off(drawn)).max() < 0.35
    assert drawn.walls == ()
    assert any("bone: not in the map" in one for one in drawn.level.warnings)


def test_discs_without_bone_are_discs_and_nothing_else(phantom: Any, tmp_path: Path) -> None:
    ids = np.where(phantom[0] == BONE, 0, phantom[0])
    table = {key: TABLE[key] for key in ("cord", "csf", "disc")}
    ids[ids == FAT] = 0
    drawn = recipe(save(tmp_path / "map.nii", ids, phantom[1]), labels=table).stretch(-35e-3, 35e-3)
    assert np.array(pieces(drawn, "ventral")) == pytest.approx(np.array(true_pieces("ventral", -35, 35)), abs=0.76)
    assert pieces(drawn, "lateral") == pieces(drawn, "dorsal") == []
    assert any("epidural space and wall of the canal: not in the map" in one for one in drawn.level.warnings)


# ------------------------------------------------------------------------------------------------ what is not is filled in


def test_bone_on_part_of_the_slices(phantom: Any, tmp_path: Path) -> None:
    """Above it is the person's, below it is the model's: border and tissues."""
    ids = phantom[0].copy()
    z = heights(phantom)
    ids[:, :, z < 0] = np.where(ids[:, :, z < 0] >= FAT, 0, ids[:, :, z < 0])
    ids[ids == FAT] = 0
    table = {key: TABLE[key] for key in ("cord", "csf", "bone", "disc")}
    drawn = recipe(save(tmp_path / "map.nii", ids, phantom[1]), labels=table).stretch(-35e-3, 35e-3)
    above = drawn.z > 4e-3
    assert np.abs(off(drawn)[above]).max() < 0.35
    below = [level for here, level in zip(drawn.z, drawn.levels, strict=True) if here < -15e-3]
    for level in below:
        expected = contours.shell(level.outlines["dura-outer"], MODEL.outlines["dura-outer"], MODEL.outlines["canal"])
        assert contours.radius_at(level.outlines["canal"], contours.middle_and_half(expected)[0], np.linspace(-3, 3, 50)) == pytest.approx(
            contours.radius_at(expected, contours.middle_and_half(expected)[0], np.linspace(-3, 3, 50)), abs=0.25e-3)
    assert np.abs(off(drawn)[drawn.z < -15e-3]).max() > 0.5, "the model is another canal than this one"
    tabled = {sector: [(one.z0 * 1e3, one.z1 * 1e3) for one in openings(drawn.level.cord.vertebrae) if one.sector == sector] for sector in SECTORS}
    for sector in SECTORS:
        mine = pieces(drawn, sector)
        low = [piece for piece in mine if piece[1] < -1]
        expected = [(max(a, -35), b) for a, b in reversed(tabled[sector]) if -35 < b < -1]
        assert np.array(low) == pytest.approx(np.array(expected), abs=0.31), sector
        high = [piece for piece in mine if piece[0] > 1]
        assert np.array(high) == pytest.approx(np.array([piece for piece in true_pieces(sector, -35, 35) if piece[0] > 1]), abs=0.76), sector
        said = f"the map does not show the {sector} wall of the canal from z = -35.00 to "
        assert any(said + "0.00 mm" in one or said + "-0.00 mm" in one for one in drawn.level.warnings), sector
    assert any(one.startswith("canal: 28 of 56 slices show nothing of its wall") for one in drawn.level.warnings)
    assert any(number.name.startswith("height of disc T9/T10") for number in drawn.level.numbers)


def test_missing_slices_are_bridged(phantom: Any, tmp_path: Path) -> None:
    ids = phantom[0].copy()
    z = heights(phantom)
    gone = (z > 1) & (z < 4)
    ids[:, :, gone] = np.where(ids[:, :, gone] >= FAT, 0, ids[:, :, gone])
    drawn = recipe(save(tmp_path / "map.nii", ids, phantom[1])).stretch(-20e-3, 20e-3)
    assert np.abs(off(drawn)).max() < 0.35
    for sector in SECTORS:
        assert any(f"the map does not show the {sector} wall of the canal from z = 1.50 to 4.50 mm" in one for one in drawn.level.warnings), sector


def test_laminae_alone_say_nothing_of_the_other_sides(phantom: Any, tmp_path: Path) -> None:
    """A map with dorsal bone only: the border is the person's there, and discs and foramina are those of the tables."""
    ids, affine = phantom[0].copy(), phantom[1]
    z = heights(phantom)
    for k in range(ids.shape[2]):
        middle = course(z[k]) + SHIFT
        x, y = np.meshgrid(*(affine[i, 3] + np.arange(ids.shape[i]) * SPACING[i] - at for i, at in ((0, 5 + middle[0]), (1, -30 + middle[1]))),
                           indexing="ij")
        ids[:, :, k][(ids[:, :, k] >= FAT) & ((np.abs(np.arctan2(x, y)) < np.pi - 1.13) | (ids[:, :, k] == FAT))] = 0
    drawn = recipe(save(tmp_path / "map.nii", ids, affine), labels={key: TABLE[key] for key in ("cord", "csf", "bone")}).stretch(-35e-3, 35e-3)
    assert np.array(pieces(drawn, "dorsal")) == pytest.approx(np.array(true_pieces("dorsal", -35, 35)), abs=0.76)
    tabled = [(one.z0 * 1e3, one.z1 * 1e3) for one in openings(drawn.level.cord.vertebrae) if one.sector == "ventral"]
    assert np.array(pieces(drawn, "ventral")) == pytest.approx(np.array([piece for piece in reversed(tabled) if abs(piece[0]) < 35]), abs=0.31)
    for sector in ("ventral", "lateral"):
        assert any(f"the map does not show the {sector} wall of the canal from z = -35.00 to 35.00 mm" in one for one in drawn.level.warnings)
    dorsal = drawn.levels[0].outlines["canal"][:, 1].argmin()
    assert np.abs(off(drawn)[:, dorsal - 40:dorsal + 40]).max() < 0.35


def test_a_map_that_is_cut_off_beside_the_canal(phantom: Any, tmp_path: Path) -> None:
    """What lies outside the field of view is not taken for an opening."""
    ids, affine = phantom
    last = int(np.flatnonzero((ids == CSF).any(axis=(0, 2))).max())
    drawn = recipe(save(tmp_path / "map.nii", ids[:, :last + 3], affine)).stretch(-20e-3, 20e-3)
    assert any("the map does not show the ventral wall of the canal" in one for one in drawn.level.warnings)
    assert np.array(pieces(drawn, "dorsal")) == pytest.approx(np.array(true_pieces("dorsal", -20, 20)), abs=0.76)


def test_bone_labelled_across_a_disc(phantom: Any, tmp_path: Path) -> None:
    """The levels change at -12 and 12 mm; with bone there, a disc of the table is put there, and only if levels are given."""
    ids = np.where(phantom[0] == DISC, BONE, phantom[0])
    levels = np.zeros((4, 4, 81), np.uint8)
    levels[1, 2, 52], levels[1, 2, 28] = 9, 10
    affine = np.diag([3.0, 3.0, 1.0, 1.0])
    affine[:3, 3] = 0, -35, 60
    where = save(tmp_path / "levels.nii", levels, affine)
    file = save(tmp_path / "map.nii", ids, phantom[1])
    drawn = recipe(file, labels=NO_DISC, levels_file=where, vertebrae={"T8/T9": 9, "T9/T10": 10}, z0=None).stretch(-20e-3, 20e-3)
    heights = [0.5 * (one.z1 - one.z0) * 1e3 for one in openings(MODEL.cord.vertebrae) if one.sector == "ventral"]
    names = [span.name for span in MODEL.cord.vertebrae]
    half = [heights[names.index(name)] for name in ("T9", "T8")]
    assert np.array(pieces(drawn, "ventral")) == pytest.approx(np.array([(-12 - half[0], -12 + half[0]), (12 - half[1], 12 + half[1])]), abs=0.31)
    assert any("labelled across the disc where the levels change at z = 12.00 mm, -12.00 mm" in one for one in drawn.level.warnings)
    assert pieces(recipe(file, labels=NO_DISC).stretch(-20e-3, 20e-3), "ventral") == []


# ------------------------------------------------------------------------------------------------ contradictions


def intruding(phantom: Any, by: float, low: float, high: float) -> np.ndarray:
    """Ids with dorsal bone ``by`` mm inside the dural sac from ``low`` to ``high`` mm; by 0 it touches the fluid."""
    ids, affine = phantom[0].copy(), phantom[1]
    for k, z in enumerate(heights(phantom)):
        if low < z < high:
            x, y = np.meshgrid(*(affine[i, 3] + np.arange(ids.shape[i]) * SPACING[i] - at for i, at in (
                (0, 5 + course(z)[0]), (1, -30 + course(z)[1]))), indexing="ij")
            bone = (np.abs(x) < 3.5) & (y < 0) & (y > -9) & ~within(x, y, (HALF_SAC[0] - by, HALF_SAC[1] - by))
            ids[:, :, k][bone] = BONE
    return ids


def test_bone_that_touches_the_fluid(phantom: Any, tmp_path: Path) -> None:
    """Dura and the least fat find their room, and the result says so."""
    drawn = recipe(save(tmp_path / "map.nii", intruding(phantom, 0.0, -40, 40), phantom[1])).stretch(-20e-3, 20e-3)
    check_nested(drawn)
    said = next(one for one in drawn.level.warnings if one.startswith("the outline canal was pushed outwards by up to 0."))
    assert "so that dura-outer lies at least 0.10 mm inside it" in said
    for level in drawn.levels:
        middle = contours.middle_and_half(level.outlines["dura-outer"])[0]
        dura, wall = (contours.radius_at(level.outlines[name], middle, np.array([-0.5 * np.pi]))[0] for name in ("dura-outer", "canal"))
        assert 0.09e-3 < wall - dura < 0.4e-3, "without this bone it would be 2.2 mm"
    assert not any("bone reaches into" in one for one in drawn.level.warnings)


def test_bone_a_little_inside_the_fluid_is_mended_and_said(phantom: Any, tmp_path: Path) -> None:
    drawn = recipe(save(tmp_path / "map.nii", intruding(phantom, 1.5, -8, -1), phantom[1])).stretch(-20e-3, 20e-3)
    check_nested(drawn)
    said = " | ".join(drawn.level.warnings)
    assert "in 4 of 56 slices bone reaches into the dural sac, by up to 1." in said
    assert "the dural sac was kept" in said


def test_bone_deep_in_the_fluid_is_refused_where_it_is_used(phantom: Any, tmp_path: Path) -> None:
    person = recipe(save(tmp_path / "map.nii", intruding(phantom, 2.2, -8, -4), phantom[1]))
    with pytest.raises(BadGeometry, match=r"anatomy.labels.bone: at z = -[4567].* mm bone lies inside the dural sac; got '[12].* mm deep'; "
                                          r"allowed: up to 1.50 mm, which is mended; .*bone must surround the canal"):
        person.stretch(-20e-3, 20e-3)
    check_nested(person.stretch(0.0, 20e-3))


def test_bone_far_from_the_canal_is_not_its_wall(phantom: Any, tmp_path: Path) -> None:
    ids = np.where(phantom[0] >= BONE, 0, phantom[0])
    ids[:3] = BONE
    drawn = recipe(save(tmp_path / "map.nii", ids, phantom[1]), labels=NO_DISC).stretch(-20e-3, 20e-3)
    assert any("bone lies at the canal in 0 slices only; the border of the canal was not taken from it" in one for one in drawn.level.warnings)
    tabled = [(one.z0 * 1e3, one.z1 * 1e3) for one in openings(drawn.level.cord.vertebrae) if one.sector == "ventral"]
    assert np.array(pieces(drawn, "ventral")) == pytest.approx(np.array([p for p in reversed(tabled) if abs(p[0]) < 20]), abs=0.31)


# ------------------------------------------------------------------------------------------------ the parts


def test_fat_in_openings_is_used_but_does_not_run_out() -> None:
    """Dorsally it ends before the bone would, at the right it runs out of the foramen; both in slices 4 to 6 of 11."""
    spacing = np.array([0.5e-3, 0.5e-3])
    x, y = np.meshgrid(*(np.arange(n) * 0.5 - 0.25 * n for n in (80, 80)), indexing="ij")
    away = np.arctan2(x, y)
    ring = (np.hypot(x, y) > 9) & (np.hypot(x, y) < 14)
    bone, space = np.repeat(ring[:, :, None], 11, axis=2), np.repeat((np.hypot(x, y) < 9)[:, :, None], 11, axis=2)
    foramen, flavum = np.abs(away - 1.4) < 0.4, np.abs(away) > 2.3
    bone[foramen | flavum, 4:7] = False
    space[foramen & (np.hypot(x, y) < 14), 4:7] = True
    space[flavum & (np.hypot(x, y) > 8), 4:7] = False
    core = 7e-3 * np.column_stack([np.cos(np.arange(720) * np.pi / 360), np.sin(np.arange(720) * np.pi / 360)])
    at = (np.array([80, 80]) * 0.25e-3)
    z = np.arange(11) * 2e-3
    wall = bony_wall(bone, np.zeros_like(bone), space, z, spacing, lambda _: core + at, core, core * 8.5 / 7)
    for s in range(11):
        found = contours.radius_at(wall.outlines[s] - at, np.zeros(2), np.array([0.5 * np.pi - 1.4, -0.5 * np.pi, 0.5 * np.pi])) * 1e3
        assert found == pytest.approx([9, 8 if 4 <= s <= 6 else 9, 9], abs=0.25), s
    assert wall.seen[:4] == pytest.approx(1.0)
    assert wall.bone["dorsal"][5] == pytest.approx(1 - 2 * (np.pi - 2.3) / (2 * 1.13), abs=0.05)


def test_short_jitter_and_long_gaps() -> None:
    """One slice of 1 mm is no opening; more than 20 mm is no opening either but bone without labels."""
    z = np.arange(60) * 1e-3
    share = np.ones(60)
    share[10] = 0.0
    share[15:22] = 0.0
    share[18] = 0.9
    share[30:55] = 0.2
    wall = BonyWall(z, np.zeros((60, 4, 2)), np.ones(60), share, np.ones(60, bool), {"dorsal": share}, np.zeros(60), np.zeros(60))
    found, unknown = wall.openings("dorsal")
    assert [(one.z0, one.z1) for one in found] == [pytest.approx((14.5e-3, 21.5e-3))]
    assert found[0].tissue == "ligament"
    assert unknown == [pytest.approx((29.625e-3, 54.375e-3))]
    cut = BonyWall(z, np.zeros((60, 4, 2)), np.ones(60), share, np.ones(60, bool), {"dorsal": np.where(z < 12.5e-3, np.nan, share)}, np.zeros(60),
                   np.zeros(60)).openings("dorsal")
    assert cut[1][0] == pytest.approx((0.0, 12.5e-3))
    assert [(one.z0, one.z1) for one in cut[0]] == [pytest.approx((14.5e-3, 21.5e-3))]


# ------------------------------------------------------------------------------------------------ the field


def test_sectors_are_seen_from_the_middle_of_the_canal() -> None:
    """A canal 5 mm off the midline of the cord has the sectors of one on it."""
    edges, outer = (MODEL.outlines[name][::12] for name in ("canal", "bone"))
    label = {f"wall-{sector}": i for i, sector in enumerate(SECTORS)}
    here, _ = _sectors(edges, outer, MODEL.outlines["canal"], label)
    aside = np.array([5e-3, 0.0])
    there, _ = _sectors(edges + aside, outer + aside, MODEL.outlines["canal"] + aside, label)
    assert there == here
    assert len(set(here["canal"])) == 3



def test_a_field_in_a_bony_canal(person: Any) -> None:
    """Bone, disc and foramen of the map stand in the mesh where they were found; the field obeys its laws, and knows of the openings."""
    lead = leads.read({"model": "pisces-quad-compact", "tip_vertebra": "T9", "lateral": "0 mm"})
    canal = build_canal(person, [lead], "fast")
    stretch = person.stretch(-35e-3, 35e-3)
    wall = next(one for one in stretch.walls if one.z0 > 0 and one.ventral == "disc")
    at = int(np.searchsorted(canal.edges, 0.5 * (wall.z0 + wall.z1)))
    assert {"bone", "disc", "ligament"} <= {tissue.name for tissue in canal.along[at]}
    assert any("its border is the inner side of the bone" in one for one in canal.warnings)
    field = solve_field(canal)
    impedance = np.asarray(field.impedance)
    assert np.isfinite(impedance).all()
    assert impedance == pytest.approx(impedance.T, rel=1e-6)
    assert (np.linalg.eigvalsh(impedance) > 0).all()
