"""Fibres and pictures of a canal that changes along the spine: inside the cord and the sac at every height, true lengths on a bend."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from epidura import anatomy, fibre, lead
from epidura.anatomy.base import Stretch
from epidura.anatomy.parametric import area
from epidura.canal import MARGIN, build_canal
from epidura.errors import BadInput
from epidura.fibre.course import along, arc, follow
from epidura.placement import inside, place, span
from epidura.product import Canal, Cord, Course, Fibres, LeadField
from epidura.program import Program
from epidura.recipe import read_recipe
from epidura.recruitment import Engine, place_fibres, recruit
from epidura.shape import WITHIN, outline_at, wall_of

TIPS = {"C5": "C4", "T9": "T8", "T11": "T10", "L1": "T12"}


def population(kind: str, count: int) -> fibre.Population:
    return fibre.family.read({"kind": kind, "count": count})


def recipe(vertebra: str) -> Any:
    return anatomy.family.read({"kind": "parametric", "vertebra": vertebra, "extent": "spine"})


@pytest.fixture(scope="module", params=TIPS)
def spine(request) -> tuple[Canal, Stretch, Fibres]:
    """A canal, its stretch with exact outlines, and 400 + 96 fibres in it."""
    leads = [lead.family.read({"model": "octrode", "tip_vertebra": TIPS[request.param], "lateral": "-1 mm"})]
    canal = build_canal(recipe(request.param), leads, accuracy="fast")
    low, high = span(recipe(request.param), leads)
    stretch = recipe(request.param).stretch(low - MARGIN, high + MARGIN)
    return canal, place(stretch, leads).stretch, place_fibres(canal, [population("dorsal-column", 400), population("dorsal-root", 96)])


def at_height(paths: list[np.ndarray], z: float) -> np.ndarray:
    """(p, 2) where the paths that have got there cross a height."""
    return np.array([[np.interp(z, path[:, 2], path[:, i]) for i in (0, 1)] for path in paths if path[0, 2] <= z])


def test_fibres_stay_in_the_cord_and_in_the_sac_at_every_height(spine):
    canal, stretch, fibres = spine
    column = fibres.population == "dorsal-column"
    columns, roots = ([path for path, mine in zip(fibres.paths, which, strict=True) if mine] for which in (column, ~column))
    seen = 0
    for z, level in zip(stretch.z, stretch.levels, strict=True):
        in_cord, in_sac = at_height(columns, z), at_height(roots, z)
        if len(in_cord):
            assert (inside(level.outlines["cord"], *in_cord.T) > 0).all(), z
            seen += 1
        if len(in_sac):
            assert (inside(level.outlines["dura-inner"], *in_sac.T) > 0.1e-3).all(), z
            for shaft in canal.shafts:
                assert (np.hypot(*(in_sac - shaft.centre(np.array([z]))[0]).T) > shaft.radius).all()
    assert seen > 10


def test_paths_keep_what_the_engine_needs_of_them(spine):
    canal, _, fibres = spine
    straight = replace(canal, course=None)
    before = place_fibres(straight, [population("dorsal-column", 400), population("dorsal-root", 96)])
    np.testing.assert_array_equal(fibres.diameter, before.diameter)
    for old, new in zip(before.paths, fibres.paths, strict=True):
        assert (np.diff(new[:, 2]) > 0).all()
        assert new[0, 2] == old[0, 2]
        assert new[-1, 2] >= max(old[-1, 2], canal.course.z[-1])
        np.testing.assert_array_equal(new[-1, :2], new[-2, :2])  # along z
        # at the level a fibre is where it was put
        if old[0, 2] <= 0:
            np.testing.assert_allclose(at_height([new], 0.0), at_height([old], 0.0), atol=1e-9)
        # following the cord hardly makes a fibre longer: the steepest cord widens by 1 mm in 15
        low, high = old[0, 2], old[-1, 2]
        lengths = [np.diff(np.interp((low, high), path[:, 2], arc(path)))[0] for path in (old, new)]
        assert lengths[1] == pytest.approx(lengths[0], rel=0.02)


def test_nothing_changes_where_the_canal_does_not():
    canal = build_canal(anatomy.family.read({"kind": "parametric", "vertebra": "T9"}), [lead.family.read({"model": "octrode", "tip_vertebra": "T8"})],
                        accuracy="fast")
    assert canal.course is None
    one = population("dorsal-column", 20)
    placed = one.place(canal.cord, -40e-3, 40e-3).paths
    assert all(a is b for a, b in zip(follow(None, canal.cord, None, placed), placed, strict=True))
    still = Course(np.array([-60e-3, 0.0, 60e-3]), np.zeros((3, 2)), np.ones((3, 2)), np.zeros(3))
    for old, new in zip(placed, follow(still, canal.cord, None, placed), strict=True):
        np.testing.assert_allclose(new[:, :2], np.broadcast_to(old[0, :2], (len(new), 2)), rtol=0, atol=1e-15)


def test_a_fibre_follows_centre_width_and_depth():
    cord = recipe("T9").level().cord
    course = Course(np.array([-50e-3, 0.0, 50e-3]), np.array([[1e-3, 0.0], [0.0, 0.0], [0.0, -2e-3]]),
                    np.array([[2.0, 1.0], [1.0, 1.0], [1.0, 0.5]]), np.zeros(3))
    path, = follow(course, cord, None, [np.array([[1e-3, -2e-3, -50e-3], [1e-3, -2e-3, 40e-3]])])
    np.testing.assert_allclose(path[0], [3e-3, -2e-3, -50e-3])
    np.testing.assert_allclose(at_height([path], 50e-3)[0], [1e-3, -3e-3])
    np.testing.assert_allclose(at_height([path], 25e-3)[0], [1e-3, -2.5e-3])
    np.testing.assert_allclose(path[-1, :2], [1e-3, -3e-3])
    assert path[-1, 2] > 50e-3


@pytest.mark.parametrize("curvature", [1 / 0.2, -1 / 0.2])
def test_lengths_on_a_bend_are_real_ones(curvature):
    """A fibre 3 mm dorsal of the axis of a kyphosis of 200 mm radius is 1.5 % longer than the axis."""
    course = Course(np.array([-60e-3, 60e-3]), np.zeros((2, 2)), np.ones((2, 2)), np.full(2, curvature))
    for y in (-3e-3, 0.0, 2e-3):
        path = np.array([[0.0, y, -50e-3], [0.0, y, 50e-3]])
        longer = 1.0 - y * curvature
        assert arc(path, course)[-1] == pytest.approx(0.1 * longer, rel=1e-12)
        nodes = along(path, np.arange(0.0, 0.15, 1e-3), course)  # goes on beyond the path
        np.testing.assert_allclose(np.diff(nodes[:, 2]), 1e-3 / longer, rtol=1e-9)
    assert arc(path)[-1] == pytest.approx(0.1, rel=1e-12)


def test_the_bend_may_change_along_a_path():
    """Against fine quadrature of (1 - y b(z)) dz."""
    z = np.linspace(-60e-3, 60e-3, 7)
    course = Course(z, np.zeros((7, 2)), np.ones((7, 2)), 5.0 * np.sin(z / 20e-3))
    path = np.column_stack([np.zeros(7), np.linspace(-4e-3, -2e-3, 7), z])
    fine = np.linspace(-60e-3, 60e-3, 200_001)
    slope = 2e-3 / 120e-3
    speed = np.hypot(1.0 - np.interp(fine, z, path[:, 1]) * np.interp(fine, z, course.bend), slope)
    assert arc(path, course)[-1] == pytest.approx(np.trapezoid(speed, fine), rel=1e-6)


def test_nodes_of_a_run_are_apart_by_real_internodes():
    canal = build_canal(anatomy.family.read({"kind": "parametric", "vertebra": "T9"}), [lead.family.read({"model": "octrode", "tip_vertebra": "T8"})],
                        accuracy="fast")
    asked: list[np.ndarray] = []

    def sample(points: np.ndarray) -> np.ndarray:
        asked.append(points)
        return 1.0 / (np.pi * np.linalg.norm(points[None] - np.array([[0.0, canal.shafts[0].y, (c.z0 + c.z1) / 2] for c in canal.contacts])[:, None],
                                             axis=2))

    bipole = read_recipe(Program, {"name": "p", "waveform": {"kind": "burst"}, "contacts": {4: -1, 5: 1}})
    for bend in (0.0, 5.0):
        course = Course(np.array([-200e-3, 200e-3]), np.zeros((2, 2)), np.ones((2, 2)), np.full(2, bend))
        bent = replace(canal, course=course)
        recruit(LeadField(tuple(range(1, 9)), np.eye(8), sample, bent), population("dorsal-column", 1), bipole, engine=Engine(tolerance=0.1))
    straight, bent_one = asked[0], asked[1]
    count = min(len(straight), len(bent_one)) - 1
    y = straight[0, 1]
    assert y < -2e-3
    np.testing.assert_allclose(np.diff(bent_one[:, 2])[:count] * (1 - 5.0 * y), np.diff(straight[:, 2])[:count], rtol=1e-9)


@pytest.mark.parametrize("kind", ["dorsal-column", "dorsal-root"])
def test_a_cord_off_the_origin_has_the_same_fibres_there(kind):
    cord = recipe("T10").level().cord
    shift = np.array([0.7e-3, -0.4e-3])
    moved: dict[str, Any] = {name: getattr(cord, name) + shift for name in ("dorsal_column", "grey_matter", "dura_inner")}
    there: Cord = replace(cord, centre=(0.7e-3, -0.4e-3), **moved)
    one, other = (population(kind, 60).place(c, -40e-3, 40e-3) for c in (cord, there))
    for name in ("segment", "side"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in ("diameter", "depth", "weight"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name), rtol=1e-6)
    for a, b in zip(one.paths, other.paths, strict=True):
        np.testing.assert_allclose(b[:, :2] - shift, a[:, :2], atol=1e-9)
        np.testing.assert_allclose(b[:, 2], a[:, 2], atol=1e-12)


def test_outlines_of_the_mesh_are_those_of_the_anatomy(spine):
    canal, stretch, _ = spine
    for name in WITHIN:
        loops = outline_at(canal, name, stretch.z)
        assert loops.shape[0] == len(stretch.z)
        for loop, level in zip(loops, stretch.levels, strict=True):
            if name == "grey-matter" and any("grey matter keeps" in warning for warning in canal.warnings):
                # towards the conus the mesh cannot follow the horns all the way, and says so: 21 % of the area at L1
                assert area(loop) == pytest.approx(area(level.outlines[name]), rel=0.25)
                continue
            # the horns of the grey matter are thin against the edges of the coarsest mesh
            assert area(loop) == pytest.approx(area(level.outlines[name]), rel=0.03 if name == "grey-matter" else 0.01)
            assert np.abs(inside(level.outlines[name], *loop.T)).max() < 0.2e-3
    with pytest.raises(BadInput, match="outline: there is no such outline; got 'bulk'"):
        outline_at(canal, "bulk", stretch.z)


def test_the_wall_is_told_apart_where_the_anatomy_does(spine):
    canal, stretch, _ = spine
    loop = outline_at(canal, "canal", np.zeros(1))[0]
    middle = 0.5 * (loop[:, 1].min() + loop[:, 1].max())
    wanted = {(getattr(wall, sector), sector) for wall in stretch.walls for sector in ("ventral", "lateral", "dorsal")}
    found = set()
    for tissue, low, high, nodes in wall_of(canal):
        x, y = loop[nodes].mean(axis=0)
        sector = "ventral" if abs(x) < 1e-3 and y > middle else "dorsal" if abs(x) < 1e-3 else "lateral"
        found.add((tissue, sector))
        # bone just beyond both ends
        for z, there in ((low - 1e-6, False), (0.5 * (low + high), True), (high + 1e-6, False)):
            wall = next((w for w in stretch.walls if w.z0 < z < w.z1), None)
            assert ((wall is not None) and getattr(wall, sector) == tissue) == there, (tissue, sector, z)
    assert found == {(tissue, sector) for tissue, sector in wanted if tissue != "bone"}
    assert found >= {("disc", "ventral"), ("foramen", "lateral"), ("ligament", "dorsal")}
