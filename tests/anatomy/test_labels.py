"""Anatomy from label maps: phantoms whose sizes, places and sides are known."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from label_phantoms import save, within

from epidura import anatomy, case
from epidura.anatomy import contours
from epidura.anatomy.base import OUTLINES, TISSUES, Level
from epidura.anatomy.label_map import brief
from epidura.anatomy.parametric import area, ellipse
from epidura.errors import BadCase, BadGeometry, BadInput

WHITE, GREY, CSF, FAT, COLUMNS, DURA = 1, 2, 3, 4, 5, 6
TABLE = {"white-matter": WHITE, "grey-matter": GREY, "csf": CSF, "epidural-fat": FAT, "dorsal-columns": COLUMNS}
CORD, SAC, CANAL = (6.2, 4.1), (8.8, 6.4), (11.2, 8.4)
"""Half widths and depths, mm."""
SHIFT = {"sac": (0.3, 0.6), "canal": (0.1, -0.2)}
"""Middles from that of the cord, mm."""
SPACING = (0.4, 0.5, 3.0)
COUNT = 27


def centre(z: np.ndarray) -> np.ndarray:
    """(n, 2) mm, of the cord at heights in mm."""
    return np.column_stack([1.5 * np.sin(2 * np.pi * z / 120), 0.03 * z + 0.8 * np.cos(2 * np.pi * z / 150) - 0.8])


def butterfly(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Grey matter whose right ventral horn is larger than the left one."""
    horns = within(x, y, (1.7, 1.2), (1.9, 0.9), 30) | within(x, y, (1.1, 0.9), (-1.7, 0.9), -30)
    horns |= within(x, y, (0.7, 1.9), (2.1, -0.9), 25) | within(x, y, (0.7, 1.9), (-2.1, -0.9), -25)
    return horns | ((np.abs(x) < 1.9) & (np.abs(y - 0.4) < 0.6))


def columns(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (np.abs(x) < 0.45 - 0.45 * (y - 0.0)) & (y < -0.5) & within(x, y, CORD)


def section(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Ids at places relative to the cord, mm."""
    ids = np.zeros(x.shape, np.uint8)
    ids[within(x, y, CANAL, SHIFT["canal"])] = FAT
    ids[within(x, y, SAC, SHIFT["sac"])] = CSF
    ids[within(x, y, CORD)] = WHITE
    ids[columns(x, y)] = COLUMNS
    ids[butterfly(x, y)] = GREY
    return ids


def volume(spacing: tuple[float, float, float] = SPACING, count: int = COUNT) -> tuple[np.ndarray, np.ndarray]:
    """Ids in RAS order, and the affine in mm; the cord is at (20, -30, 100) mm at the middle slice."""
    shape = int(34 / spacing[0]), int(28 / spacing[1]), count
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [20 - spacing[0] * (shape[0] - 1) / 2 + 0.13, -30 - spacing[1] * (shape[1] - 1) / 2 - 0.11,
                     100 - spacing[2] * (count - 1) / 2]
    x, y, z = (affine[i, 3] + np.arange(shape[i]) * spacing[i] for i in range(3))
    ids = np.zeros(shape, np.uint8)
    for k, middle in enumerate(centre(z - 100)):
        ids[:, :, k] = section(*np.meshgrid(x - 20 - middle[0], y + 30 - middle[1], indexing="ij"))
    return ids, affine


@pytest.fixture(scope="module")
def phantom() -> tuple[np.ndarray, np.ndarray]:
    return volume()


@pytest.fixture(scope="module")
def file(phantom: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> str:
    return save(tmp_path_factory.mktemp("maps") / "person.nii.gz", *phantom)


def recipe(file: str, **more: Any) -> Any:
    keys = {"vertebra": "T9", "labels": TABLE, "z0": "100 mm", **more}
    return anatomy.family.read({"kind": "labels", "file": file, **{key: value for key, value in keys.items() if value is not None}})


@pytest.fixture(scope="module")
def person(file: str) -> Any:
    return recipe(file)


def halves(outline: np.ndarray) -> np.ndarray:
    return 0.5e3 * np.ptp(outline, axis=0)


def middle(outline: np.ndarray) -> np.ndarray:
    return 0.5e3 * (outline.max(axis=0) + outline.min(axis=0))


def check_nested(level: Level) -> None:
    assert tuple(level.outlines) == OUTLINES
    assert set(TISSUES) <= set(level.tissues)
    for inner, outer, gap in zip(OUTLINES, OUTLINES[1:], (0.1, 0.3, 0.1, 0.1, 1, 1), strict=False):
        assert contours.clearance(level.outlines[inner], level.outlines[outer]).min() * 1e3 > 0.99 * gap, (inner, outer)
    for name, outline in level.outlines.items():
        assert area(outline) > 0, name
        assert contours.simple(outline, 2), name
    column = level.cord.dorsal_column
    assert contours.contains(level.outlines["cord"], column).all()
    assert not contours.contains(level.outlines["grey-matter"], column).any()
    assert level.cord.grey_matter is level.outlines["grey-matter"]
    assert level.cord.dura_inner is level.outlines["dura-inner"]


# ------------------------------------------------------------------------------------------------ what is there is found


@pytest.mark.parametrize(("codes", "unit"), [("LPI", "mm"), ("LAS", "micron"), ("SRA", "meter"), ("PIL", "micron")])
def test_orientation_and_unit_change_nothing(phantom: Any, person: Any, tmp_path: Path, codes: str, unit: str) -> None:
    other, same = recipe(save(tmp_path / "map.nii", *phantom, codes, unit)).level(), person.level()
    for name in OUTLINES:
        assert other.outlines[name] == pytest.approx(same.outlines[name], abs=1e-8), name
    assert other.cord.dorsal_column == pytest.approx(same.cord.dorsal_column, abs=1e-8)


@pytest.mark.parametrize(("spacing", "bound"), [(SPACING, 0.2), ((0.2, 0.25, 3.0), 0.1)])
def test_sizes_places_and_sides(tmp_path: Path, spacing: tuple[float, float, float], bound: float) -> None:
    """To 0.4 voxels: nearly as far as the flat side of an ellipse can move without another voxel."""
    drawn = recipe(save(tmp_path / "map.nii", *volume(spacing))).stretch(-30e-3, 30e-3)
    assert drawn.z[drawn.origin] == 0.0
    assert drawn.z == pytest.approx(np.arange(-30, 31, 3) * 1e-3, abs=1e-8)
    assert drawn.level.cord.centre == pytest.approx((0, 0), abs=1e-12)
    for z, level in zip(drawn.z * 1e3, drawn.levels, strict=True):
        at = centre(np.array([z]))[0] - centre(np.zeros(1))[0]
        for name, half, shift in (("cord", CORD, (0, 0)), ("dura-inner", SAC, SHIFT["sac"]), ("canal", CANAL, SHIFT["canal"])):
            assert halves(level.outlines[name]) == pytest.approx(half, abs=bound), (z, name)
            assert middle(level.outlines[name]) == pytest.approx(at + shift, abs=bound), (z, name)
        assert np.array(level.cord.centre) * 1e3 == pytest.approx(at, abs=bound)
        assert (level.cord.half_width * 1e3, level.cord.half_depth * 1e3) == pytest.approx(CORD, abs=bound)
        grey = level.outlines["grey-matter"] * 1e3 - at
        right, left = grey[grey[:, 1] > 0.2][:, 0].max(), -grey[grey[:, 1] > 0.2][:, 0].min()
        assert right == pytest.approx(3.46, abs=bound), "the larger ventral horn is the right one"
        assert left == pytest.approx(2.72, abs=bound)
        assert grey[:, 1].min() == pytest.approx(-2.65, abs=2 * bound), "the dorsal horns point to low y, and are pointed"


def test_areas_are_those_of_the_voxels(phantom: Any, person: Any) -> None:
    ids, affine = phantom
    voxel = SPACING[0] * SPACING[1]
    drawn, grey = person.stretch(-36e-3, 36e-3), []
    for z, level in zip(drawn.z, drawn.levels, strict=True):
        k = round((z * 1e3 + 100 - affine[2, 3]) / SPACING[2])
        slice_ids, near = ids[:, :, k], ids[:, :, k - 1:k + 2]
        for name, held in (("cord", (WHITE, GREY, COLUMNS)), ("dura-inner", (WHITE, GREY, COLUMNS, CSF)), ("grey-matter", (GREY,))):
            counted = np.isin(near, held).sum(axis=(0, 1)) * voxel
            if name == "grey-matter":  # the count of the few grey voxels jumps by 3 % from slice to slice
                assert area(level.outlines[name]) * 1e6 == pytest.approx(counted.mean(), rel=0.03), z
                grey.append(area(level.outlines[name]) * 1e6 / counted.mean())
            else:
                assert area(level.outlines[name]) * 1e6 == pytest.approx(counted[1], rel=0.01), (z, name)
        assert area(level.outlines["cord"]) * 1e6 == pytest.approx(np.pi * CORD[0] * CORD[1], rel=0.005)
        assert area(level.cord.dorsal_column) * 1e6 == pytest.approx((slice_ids == COLUMNS).sum() * voxel, rel=0.06)
    assert np.mean(grey) == pytest.approx(1.0, abs=0.005)


@pytest.mark.parametrize(("spacing", "bound"), [(SPACING, 0.12), ((0.2, 0.25, 3.0), 0.07)])
def test_the_butterfly_is_the_one_of_the_map(tmp_path: Path, spacing: tuple[float, float, float], bound: float) -> None:
    """Little of its area lies elsewhere: half a voxel along its edge is 35 % of it, or 18 %."""
    person = recipe(save(tmp_path / "map.nii", *volume(spacing, 9)))
    x, y = (a.ravel() for a in np.meshgrid(np.arange(-6, 6, 0.05), np.arange(-4, 4, 0.05)))
    true = butterfly(x, y)
    drawn = contours.contains(person.level().outlines["grey-matter"], np.column_stack([x, y]) * 1e-3)
    assert (drawn != true).sum() / true.sum() < bound


def test_all_levels_are_nested(person: Any) -> None:
    for level in person.stretch(-36e-3, 36e-3).levels:
        check_nested(level)


def test_points_are_the_same_places_along_the_spine(person: Any) -> None:
    """Outlines half way between two stations, point by point, are those drawn there; second differences are small."""
    drawn = person.stretch(-36e-3, 36e-3)
    for name in OUTLINES:
        loops = np.array([level.outlines[name] for level in drawn.levels]) * 1e3
        assert np.abs(np.diff(loops, 2, axis=0)).max() < 0.2, name
        between = 0.5 * (loops[1:] + loops[:-1])
        areas = np.array([[area(one) for one in group] for group in (between, loops[1:], loops[:-1])])
        assert areas[0] == pytest.approx(0.5 * (areas[1] + areas[2]), rel=0.01), name
    grey = drawn.level.outlines["grey-matter"]
    assert abs(grey[0, 0] - grey[360, 0]) < 0.1e-3, "the midline, dorsal and ventral"
    assert grey[0, 1] < grey[360, 1]
    assert (grey[60:300, 0] > 0).all(), "first to the right"


def test_level_is_the_station_at_the_vertebra(person: Any) -> None:
    level, drawn = person.level(), person.stretch(-20e-3, 20e-3).level
    for name in OUTLINES:
        assert level.outlines[name] == pytest.approx(drawn.outlines[name], abs=1e-12)
    assert person.stretch(-20e-3, 20e-3).origin == 7
    assert not level.fixed_wall


def test_entry_zone_and_columns_come_from_the_labels(person: Any) -> None:
    cord = person.level().cord
    half = np.ptp(cord.dorsal_column[:, 0]) / 2
    assert half * 1e3 == pytest.approx(2.1, abs=0.25)
    assert cord.half_width * np.sin(cord.entry_angle) == pytest.approx(half)
    assert cord.dorsal_column[:, 1].min() * 1e3 == pytest.approx(-CORD[1], abs=0.25)


def test_numbers_say_what_was_measured(person: Any) -> None:
    numbers = {number.name: number for number in person.level().numbers}
    width = numbers["width of the cord at T9 in the label map"]
    assert width.value == pytest.approx(2 * CORD[0], abs=0.1)
    assert (width.unit, width.table) == ("mm", "person.nii.gz")
    assert person.digest in width.source
    assert not any(name.startswith(("cord width", "dorsal CSF", "canal width", "dorsal horn")) for name in numbers)
    assert "dura thickness at T9" in numbers


def test_fine_slices_are_thinned_and_thick_ones_kept(tmp_path: Path) -> None:
    fine = recipe(save(tmp_path / "fine.nii", *volume((0.5, 0.5, 0.8), 31))).stretch(-10e-3, 10e-3)
    assert np.diff(fine.z[1:-1]).min() == pytest.approx(2.4e-3, rel=1e-5)
    thick = recipe(save(tmp_path / "thick.nii", *volume((0.5, 0.5, 5.0), 9))).stretch(-20e-3, 20e-3)
    assert thick.z == pytest.approx(np.arange(-20, 21, 5) * 1e-3)
    few = recipe(save(tmp_path / "few.nii", *volume((0.5, 0.5, 5.0), 3))).stretch(-4e-3, 4e-3)
    assert halves(few.level.outlines["cord"]) == pytest.approx(CORD, abs=0.2)


def test_tilted_slices(phantom: Any, tmp_path: Path) -> None:
    def turned(degrees: float) -> np.ndarray:
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turn = np.array([[1, 0, 0, 0], [0, cos, -sin, 0], [0, sin, cos, 0], [0, 0, 0, 1]])
        return turn @ phantom[1]

    level = recipe(save(tmp_path / "a.nii", phantom[0], turned(10)), z0=None).level()
    assert any("tilted by 10.0 degrees" in one for one in level.warnings)
    assert halves(level.outlines["cord"]) == pytest.approx(CORD, abs=0.2)
    with pytest.raises(BadGeometry, match=r"turned away from those of the body; got '?25.0 degrees"):
        recipe(save(tmp_path / "b.nii", phantom[0], turned(25)), z0=None).level()


# ------------------------------------------------------------------------------------------------ what is not is filled in


@pytest.mark.parametrize("keys", [("white-matter", "grey-matter"), ("cord",), ("cord", "csf"), ("cord", "canal"), ("cord", "dura")])
def test_what_is_missing_is_filled_and_said(phantom: Any, tmp_path: Path, keys: tuple[str, ...]) -> None:
    ids = phantom[0].copy()
    table: dict[str, Any] = {"cord": WHITE} if "cord" in keys else {"white-matter": WHITE, "grey-matter": GREY}
    ids[ids == COLUMNS] = WHITE
    if "cord" in keys:
        ids[ids == GREY] = WHITE
    if "canal" in keys:
        ids[ids == CSF] = FAT
        table["canal"] = FAT
    elif "dura" in keys:
        ids[ids == FAT] = DURA
        table |= {"csf": CSF, "dura": DURA}
    else:
        ids[ids == FAT] = 0
        ids[ids == CSF] *= "csf" in keys
        table |= {"csf": CSF} if "csf" in keys else {}
    drawn = recipe(save(tmp_path / "map.nii", ids, phantom[1]), labels=table).stretch(-24e-3, 24e-3)
    said = " | ".join(drawn.level.warnings)
    for name, missing in (("grey matter", "grey-matter" not in table), ("dorsal columns", True), ("dura", "dura" not in keys),
                          ("cerebrospinal fluid", "csf" not in table), ("epidural space", "canal" not in keys), ("bone", True)):
        assert (f"{name}: not in the map" in said or f"{name} and wall of the canal: not in the map" in said) == missing, (name, said)
    for level in drawn.levels:
        check_nested(level)
        assert halves(level.outlines["cord"]) == pytest.approx(CORD, abs=0.25)
    if "grey-matter" not in table:
        average = anatomy.family.read({"kind": "parametric", "vertebra": "T9"}).level().outlines
        share = area(average["grey-matter"]) / area(average["cord"])
        assert area(drawn.level.outlines["grey-matter"]) / area(drawn.level.outlines["cord"]) == pytest.approx(share, rel=0.01)


def test_grey_matter_in_pieces_gives_way_to_the_butterfly(phantom: Any, tmp_path: Path) -> None:
    ids = phantom[0].copy()
    grey = np.argwhere(ids == GREY)
    for k in range(0, COUNT, 2):
        inside = grey[grey[:, 2] == k]
        cut = inside[np.abs(inside[:, 0] - np.median(inside[:, 0])) < 2]
        ids[tuple(cut.T)] = WHITE
    level = recipe(save(tmp_path / "map.nii", ids, phantom[1])).level()
    assert any("in 14 of 27 slices the grey matter is in pieces" in one for one in level.warnings)
    check_nested(level)


def test_small_overlaps_are_mended_and_large_ones_refused(phantom: Any, tmp_path: Path) -> None:
    ids, affine = phantom
    x = affine[0, 3] + np.arange(ids.shape[0]) * SPACING[0] - 20
    far = ids.copy()
    y = affine[1, 3] + np.arange(ids.shape[1]) * SPACING[1] + 30
    at = centre(affine[2, 3] + np.arange(COUNT) * SPACING[2] - 100)
    for k, (cx, cy) in enumerate(at):
        fluid = within(*np.meshgrid(x - cx, y - cy, indexing="ij"), (6.25, 4.2))
        far[:, :, k][(ids[:, :, k] == CSF) & ~fluid] = FAT
    level = recipe(save(tmp_path / "a.nii", far, affine)).level()
    assert any(one.startswith("the outline dura-inner was pushed outwards by up to 0.") for one in level.warnings)
    check_nested(level)
    wrong = np.where(ids >= CSF, np.where(ids == COLUMNS, WHITE, 0), ids).astype(np.uint8)
    wrong[:24] = CSF  # a block beside the cord, larger than the cord
    with pytest.raises(BadGeometry, match=r"anatomy.labels: at z = .* cord leaves dura-inner; .*each tissue must surround"):
        recipe(save(tmp_path / "b.nii", wrong, affine), labels={"white-matter": WHITE, "grey-matter": GREY, "csf": CSF}).level()


# ------------------------------------------------------------------------------------------------ heights


def test_vertebrae_from_a_file_of_levels(phantom: Any, file: str, tmp_path: Path) -> None:
    """The levels have another grid; T9 is 20 mm high from 110 to 130 mm, so its middle is 20 mm above the map's."""
    levels = np.zeros((4, 4, 81), np.uint8)
    z = np.arange(81) + 60.0
    for name, low, high in ((8, 131, 142), (9, 110.5, 129.5), (10, 88, 110), (11, 0, 87.5)):
        levels[:, :, (z >= low) & (z <= high)] = name
    affine = np.diag([3.0, 3.0, 1.0, 1.0])
    affine[:3, 3] = 15, -35, 60
    where = save(tmp_path / "levels.nii", levels, affine, "LPI")
    made = recipe(file, levels_file=where, vertebrae={"T8": 8, "T9": 9, "T10": 10, "T11": 11}, z0=None)
    level = made.level()
    spans = {span.name: span for span in level.cord.vertebrae}
    assert spans["T9"].middle == pytest.approx(0.0, abs=1e-4)
    assert spans["T10"].middle == pytest.approx(-21e-3, abs=3e-4)
    names = [span.name for span in level.cord.vertebrae]
    assert all(a.z0 == pytest.approx(b.z1) for a, b in pairwise(level.cord.vertebrae))
    assert names[0] == "C2"
    assert spans["T9"].z1 - spans["T9"].z0 == pytest.approx(20e-3, abs=1e-3)
    assert not any("labelled" in one for one in level.warnings)
    below = made.stretch(-25e-3, 10e-3)
    expected = centre(np.array([0.0]))[0] - centre(np.array([20.0]))[0]
    station = int(np.abs(below.z + 20e-3).argmin())
    assert np.array(below.levels[station].cord.centre) * 1e3 == pytest.approx(expected, abs=0.2)


def test_vertebrae_from_discs(phantom: Any, file: str, tmp_path: Path) -> None:
    discs = np.zeros((4, 4, 81), np.uint8)
    discs[1, 2, 50], discs[1, 2, 30] = 9, 10
    affine = np.diag([3.0, 3.0, 1.0, 1.0])
    affine[:3, 3] = 15, -35, 60
    made = recipe(file, levels_file=save(tmp_path / "discs.nii", discs, affine), vertebrae={"T8/T9": 9, "T9/T10": 10}, z0=None).level()
    span = next(span for span in made.cord.vertebrae if span.name == "T9")
    assert (span.z0, span.z1) == pytest.approx((-10e-3, 10e-3), abs=1e-5)
    with pytest.raises(BadCase, match=r"anatomy.vertebrae: T9/T10 and T8/T9 are not where they should be"):
        recipe(file, levels_file=str(tmp_path / "discs.nii"), vertebrae={"T8/T9": 10, "T9/T10": 9}, z0=None).level()
    other = recipe(file, levels_file=str(tmp_path / "discs.nii"), vertebrae={"T8/T9": 9}, z0=None).level()
    assert any("the middle of T9 is not labelled: it was placed as far from T8/T9" in one for one in other.warnings)


def test_without_heights_the_middle_is_taken_and_said(file: str) -> None:
    level = recipe(file, z0=None).level()
    assert any("was put at the middle of the map, z = 100.0 mm in the scanner" in one for one in level.warnings)
    assert level.outlines["cord"] == pytest.approx(recipe(file).level().outlines["cord"], abs=1e-9)


def test_beyond_the_map(person: Any) -> None:
    drawn = person.stretch(-60e-3, 36e-3)
    assert drawn.z[0] == pytest.approx(-39e-3)
    assert any("person.nii.gz ends at z = -39.00 mm; the canal goes on for 21.00 mm" in one for one in drawn.level.warnings)
    with pytest.raises(BadGeometry, match=r"anatomy.file: person.nii.gz does not reach so far; .*of which it shows -39.00 mm to 39.00 mm"):
        person.stretch(-120e-3, 10e-3)


# ------------------------------------------------------------------------------------------------ reading and keys


def test_key_follows_what_the_file_holds(phantom: Any, tmp_path: Path) -> None:
    path = tmp_path / "map.nii"
    first = recipe(save(path, *phantom))
    again = anatomy.family.read(first.model_dump(mode="json"))
    assert (again, again.key()) == (first, first.key())
    changed = phantom[0].copy()
    changed[40, 28, 3] = GREY
    save(path, changed, phantom[1])
    assert recipe(str(path)).key() != first.key()
    with pytest.raises(BadCase, match=r"anatomy.digest: .*map.nii is not what it was when the case was read"):
        first.level()
    assert first.but(vertebra="T8").digest == recipe(str(path)).digest
    path.unlink()
    kept = anatomy.family.read(first.model_dump(mode="json"))  # an old result can still be shown
    with pytest.raises(BadCase, match=r"anatomy.file: no such file"):
        kept.level()


def test_a_case_holds_it(file: str) -> None:
    text = {"title": "one", "anatomy": {"kind": "labels", "file": file, "vertebra": "T9", "labels": {**TABLE, "grey-matter": "2"}, "z0": "100 mm"},
            "leads": [{"model": "octrode", "tip_vertebra": "T8", "lateral": "0 mm"}],
            "programs": [{"name": "a", "waveform": {"kind": "tonic", "frequency": "50 Hz", "pulse_width": "300 us"}, "contacts": {3: -1, 4: 1}}]}
    one = case.read(text)
    assert one.anatomy.labels["grey-matter"] == (2,)
    assert case.read(case.to_text(one)) == one


def test_ids_as_text() -> None:
    made = anatomy.family.read({"kind": "labels", "file": "nowhere.nii", "digest": "0", "vertebra": "C5", "ignore": "7, 50:52",
                                "labels": {"white-matter": [1, "4:6"], "grey-matter": "32:47"}})
    assert made.labels == {"white-matter": (1, "4:6"), "grey-matter": ("32:47",)}
    assert made.ignore == (7, "50:52")
    assert brief({1, 2, 3, 7, 9, 10}) == "1:3, 7, 9:10"


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(("keys", "message"), [
    ({"labels": {"gray-matter": 2, "cord": 1}}, "labels.gray-matter: there is no such tissue; allowed: .*did you mean 'grey-matter'"),
    ({"labels": {"csf": 3}}, "labels: no label is the cord"),
    ({"labels": {"cord": 1, "dura": 6}}, "labels.dura: the dura without the fluid inside it"),
    ({"labels": {"cord": 1, "csf": "1:3"}}, "labels.csf: an id that is cord already; got 1"),
    ({"labels": {"cord": 0}}, "labels.cord: 0 is the background"),
    ({"labels": {"cord": "9:2"}}, "labels.cord: a range that ends before it starts"),
    ({"labels": {"cord": 1.5}}, "labels.cord: not an id of a label; got 1.5"),
    ({"labels": {"cord": True}}, "labels.cord: not an id of a label"),
    ({"vertebra": "T99"}, "vertebra: there is no such vertebra"),
    ({"vertebrae": {"T9/T11": 1}, "z0": None}, "vertebrae.T9/T11: not a disc between two neighbours"),
    ({"vertebrae": {"X9": 1}, "z0": None}, "vertebrae.X9: there is no such vertebra"),
    ({"vertebrae": {"T9": 1}}, "z0: given beside vertebrae"),
    ({"z0": "5 m"}, r"anatomy.z0: the cord in person.nii.gz does not reach this height; got '5000.0 mm'; allowed: 61.0 to 139.0 mm"),
    ({"z0": 5}, "z0: a bare number has no unit"),
    ({"file": "person.nii"}, "file: no such file; got '/.*person.nii'"),
    ({"file": "."}, "file: a folder"),
    ({"labels": {**TABLE, "bone": 12}}, "anatomy.labels.bone: no such id in person.nii.gz; got 12; allowed: 1:5"),
    ({"labels": {**TABLE, "bone": "12:20"}}, "anatomy.labels.bone: no such id in person.nii.gz; got '12:20'; allowed: 1:5"),
    ({"labels": {"white-matter": 1, "grey-matter": 2}}, "anatomy.labels: ids in person.nii.gz that are no tissue; got '3:5'"),
    ({"vertebrae": {"T9": 77}, "z0": None}, "anatomy.vertebrae.T9: no such id in person.nii.gz; got '77'; allowed: 1:5"),
])
def test_recipes_that_cannot_be(file: str, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        recipe(**{"file": file, **keys}).level()


def test_ids_left_out_on_purpose(file: str) -> None:
    level = recipe(file, labels={"white-matter": [1, 5], "grey-matter": 2}, ignore="3:4").level()
    assert any("cerebrospinal fluid: not in the map" in one for one in level.warnings)


def broken(path: Path, ids: np.ndarray, affine: np.ndarray, how: str) -> None:
    """A file with one thing wrong."""
    if how == "text":
        path.write_text("not an image")
        return
    if how == "soft":
        ids = ids * np.float32(0.5)
    elif how == "4-D":
        ids = np.stack([ids, ids], axis=-1)
    elif how == "empty":
        ids = np.zeros_like(ids)
        ids[:5, 0, 0] = range(1, 6)
    elif how == "gap":
        ids = ids.copy()
        ids[:, :, 10] = 0
    elif how == "two slices":
        ids = ids[:, :, 12:14]
    elif how == "sheared":
        affine = affine @ np.array([[1, 0.2, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    elif how == "microns":
        affine = np.diag([1e-3, 1e-3, 1e-3, 1]) @ affine
    image = nib.Nifti1Image(ids, affine)
    image.header.set_xyzt_units("mm")
    if how == "nowhere":
        image.set_sform(None, 0)
        image.set_qform(None, 0)
    nib.save(image, path)
    if how == "flat":
        data = bytearray(path.read_bytes())
        data[280:296] = bytes(16)  # srow_x of the header, which sform takes the x axis from
        path.write_bytes(bytes(data))
    if how == "short":
        path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize(("how", "message"), [
    ("text", "anatomy.file: not a NIfTI file"),
    ("soft", "anatomy.file: values that are not ids; .*a probability map must be thresholded first"),
    ("4-D", "anatomy.file: not one volume; got '85 x 56 x 27 x 2'"),
    ("nowhere", "anatomy.file: the header does not say where the voxels are"),
    ("flat", "anatomy.file: voxels without a size"),
    ("short", "anatomy.file: the file is not whole"),
    ("sheared", "anatomy.file: the axes of the map are sheared"),
    ("empty", "anatomy.file: too few slices of map.nii show the cord; got 0"),
    ("two slices", "anatomy.file: too few slices of map.nii show the cord; got 2"),
    ("gap", r"anatomy.file: slices without cord in map.nii; got '1 slices between z = -9.00 mm and -9.00 mm'"),
    ("microns", "anatomy.file: not the size of a spinal cord; .*look at the unit"),
])
def test_files_that_cannot_be_used(phantom: Any, tmp_path: Path, how: str, message: str) -> None:
    broken(tmp_path / "map.nii", *phantom, how)
    with pytest.raises(BadInput, match=message):
        recipe(str(tmp_path / "map.nii"), z0=None).stretch(-20e-3, 20e-3)


def test_a_gap_outside_the_stretch_does_not_matter(phantom: Any, tmp_path: Path) -> None:
    broken(tmp_path / "map.nii", *phantom, "gap")
    level = recipe(str(tmp_path / "map.nii")).stretch(-5e-3, 20e-3).level
    assert halves(level.outlines["cord"]) == pytest.approx(CORD, abs=0.2)


def test_a_vertebra_outside_the_map(phantom: Any, file: str, tmp_path: Path) -> None:
    discs = np.zeros((4, 4, 81), np.uint8)
    discs[1, 2, 50] = 9
    affine = np.diag([3.0, 3.0, 1.0, 1.0])
    affine[:3, 3] = 15, -35, 60
    where = save(tmp_path / "discs.nii", discs, affine)
    with pytest.raises(BadGeometry, match=r"anatomy.vertebra: person.nii.gz does not show the middle of T2"):
        recipe(file, levels_file=where, vertebrae={"T8/T9": 9}, z0=None, vertebra="T2").level()


def test_header_without_a_unit_is_taken_as_mm_and_said(phantom: Any, tmp_path: Path) -> None:
    level = recipe(save(tmp_path / "map.nii", *phantom, unit="unknown")).level()
    assert any("no unit of length; millimetres are assumed" in one for one in level.warnings)
    assert halves(level.outlines["cord"]) == pytest.approx(CORD, abs=0.2)


# ------------------------------------------------------------------------------------------------ curves


@pytest.mark.parametrize("half", [(6.0, 4.0), (4.0, 4.0), (3.0, 5.0)])
@pytest.mark.parametrize("voxel", [0.25, 0.5, 0.8])
def test_contours_are_finer_than_voxels(half: tuple[float, float], voxel: float) -> None:
    """Nowhere off by more than 0.4 of a voxel."""
    x, y = np.meshgrid(*(np.arange(40 * 0.8 / voxel) * voxel - 12.3 for _ in range(2)), indexing="ij")
    mask = within(x, y, half)
    outline = contours.round_outline(contours.contour(mask, np.array([voxel, voxel])), 8 * voxel) - 12.3
    true = ellipse(*half, 0.0)
    assert area(outline) == pytest.approx(mask.sum() * voxel**2, rel=6e-3)
    assert np.abs(contours.radius_at(outline, np.zeros(2), np.arctan2(*true.T[::-1])) - np.hypot(*true.T)).max() < 0.4 * voxel
    assert middle(outline * 1e-3) == pytest.approx((0, 0), abs=0.25 * voxel)


def test_polygons_that_cross_themselves() -> None:
    angle = np.linspace(0, 2 * np.pi, 300, endpoint=False)
    assert contours.simple(np.column_stack([np.cos(angle), np.sin(angle)]))
    assert not contours.simple(np.column_stack([np.cos(angle), np.sin(2 * angle)]))


def test_pushing_keeps_the_gap_and_little_else() -> None:
    outer, inner = ellipse(5e-3, 4e-3, 0.0), ellipse(3e-3, 3e-3, 0.9e-3)
    made, most = contours.pushed(outer, inner, 0.3e-3)
    assert contours.clearance(inner, made).min() > 0.299e-3
    assert 0.2e-3 < most < 0.3e-3
    assert made[made[:, 1] < 0] == pytest.approx(outer[made[:, 1] < 0], abs=1e-9)
    same, none = contours.pushed(outer, inner * 0.5, 0.3e-3)
    assert none == 0.0
    assert same is outer
