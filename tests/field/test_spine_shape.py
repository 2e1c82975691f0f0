"""Matrices of a section that is carried along z: the product, the physics under the map, axes, sections with cuts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import spine_models as models
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.sparse import csr_array

from epidura.numerics import follower
from epidura.numerics import spine as module
from epidura.numerics.follower import Follower, shrinkage
from epidura.numerics.section import Cut, Loop, Section, circle, mesh_section
from epidura.numerics.spine import Layout, Operator, Spine, Way, banded, between, graded_axis, hats, plane_matrices

Floats = NDArray[np.float64]
MM = models.MM
KINDS = [(), ("discs",), ("discs", "tip"), ("moving",), ("bent",), ("discs", "tip", "moving", "bent")]


def random(operator: Operator, k: int = 3) -> Floats:
    x = operator.zeros(k)
    x[:, :, 1 : len(operator.z) - 1] = np.random.default_rng(5).normal(size=(len(x), k, len(operator.z) - 2))
    return x


def flat(operator: Operator, x: Floats) -> Floats:
    """(rows, k, padded) as columns of the assembled matrix."""
    return x[:, :, 1 : len(operator.z) - 1].transpose(0, 2, 1).reshape(-1, x.shape[1])


# ---------------------------------------------------------------- the product


@pytest.mark.parametrize("kinds", KINDS)
def test_product_is_that_of_the_matrix(kinds: tuple[str, ...]) -> None:
    operator = models.duct(*kinds).operator()
    assert len(operator.parts) > (1 if kinds else 0)
    x, matrix = random(operator), operator.matrix()
    got, want = operator.apply(x), matrix @ flat(operator, x)
    scale = np.abs(want).max()
    np.testing.assert_allclose(flat(operator, got), want, atol=2e-14 * scale)
    assert np.abs(got[:, :, [0, *range(len(operator.z) - 1, operator.padded)]]).max() == 0.0  # both ends are grounded
    assert np.abs(matrix - matrix.T).max() < 1e-14 * np.abs(matrix).max()


@pytest.mark.parametrize("kinds", KINDS)
def test_matrix_is_positive(kinds: tuple[str, ...]) -> None:
    operator = models.duct(*kinds).operator()
    matrix = operator.matrix()
    conducts = np.flatnonzero(matrix.diagonal() > 0)
    assert (len(conducts) < matrix.shape[0]) == ("tip" in kinds)
    assert abs(matrix).sum() == abs(matrix[conducts][:, conducts]).sum()  # nothing reaches into the insulator
    pivots = np.diag(np.linalg.cholesky(matrix[conducts][:, conducts].toarray()))  # fails unless positive
    assert pivots.min() > 1e-4 * pivots.max()


def test_what_is_before_and_after_the_rows_is_all_but_the_lines() -> None:
    operator = models.duct("discs", "moving").operator()
    before, after = operator.triangles()
    matrix, n = operator.matrix().toarray(), len(operator.z) - 2
    x, load = random(operator, 4), random(operator, 4)[::-1].copy()

    def flat(v: Floats) -> Floats:
        return np.ascontiguousarray(v[:, :, 1 : n + 1].transpose(0, 2, 1)).reshape(-1, 4)

    row = np.repeat(np.arange(operator.layout.size), n)
    for packed, there in ((before, row[:, None] > row), (after, row[:, None] < row)):
        got = operator.run(packed, x, np.full_like(x, np.nan), load, -1.0)
        np.testing.assert_allclose(flat(got), flat(load) - (matrix * there) @ flat(x), atol=1e-12 * np.abs(matrix).max())


def test_product_does_not_feel_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    operator = models.duct("discs", "moving").operator()
    x = random(operator)
    want = operator.apply(x)
    for count in (1, 3):
        monkeypatch.setattr(module, "threads", lambda count=count: count)
        np.testing.assert_array_equal(operator.apply(x), want)
        np.testing.assert_allclose(module.gram(x, want), np.einsum("rkz,rmz->km", x, want), rtol=1e-11)


def test_long_gaps_and_long_axes() -> None:
    """A label that is there at both ends only: two windows of one part, on an axis of more than a few groups of lanes."""
    section = models.duct_section(0)
    z = models.models.with_middles(np.linspace(-20, 20, 41) * MM)
    sigma = np.tile(models.TRANSVERSE, (3, 1))
    sigma[1, models.LEAD] = 0.0
    operator = Operator(Spine(section, sigma, 2 * sigma, np.array([-15, 16]) * MM), Layout(section, section.rings[0]), z)
    x = random(operator)
    np.testing.assert_allclose(flat(operator, operator.apply(x)), operator.matrix() @ flat(operator, x), atol=1e-14)


def test_groups_and_anisotropy() -> None:
    """Conductivities are where they belong: the sum of quadratic forms of single regions and stretches."""
    operator = models.duct("discs", "tip").operator()
    spine, layout, z = operator.spine, operator.layout, operator.z
    x = random(operator, 1)[:, 0, : len(z)]
    total = 0.0
    for row in range(len(spine.transverse)):
        k, m, _ = plane_matrices(layout, spine.section, spine.section.points, spine.transverse[row], spine.longitudinal[row])
        share = np.repeat((operator.interval == row)[:, None], 2, axis=1).astype(float)
        owner = np.repeat(np.arange(layout.size), np.diff(layout.indptr))
        for plane, along in ((k, banded(z, share)[0]), (m, banded(z, share)[1])):
            product = np.zeros_like(x)
            for d in range(5):
                at = np.arange(max(0, 2 - d), len(z) - max(0, d - 2))
                product[:, at] += along[at, d] * x[:, at + d - 2]
            total += float((plane * (x[owner] * product[layout.indices]).sum(axis=1)).sum())
    assert np.vdot(x, operator.apply(random(operator, 1))[:, 0, : len(z)]) == pytest.approx(total, rel=1e-12)


def test_weights_of_stations_add_up() -> None:
    weights = np.sum([hat for _, hat in hats(np.array([0.0, 1.0, 3.0]), np.linspace(-1, 4, 11))], axis=0)
    np.testing.assert_allclose(weights, 1.0, atol=1e-14)


# ---------------------------------------------------------------- the physics does not see the map


@pytest.mark.parametrize("name", models.SHAPES)
def test_energy_of_a_known_function(name: str) -> None:
    e = np.array([models.energy_error(models.SHAPES[name], cells) for cells in (10, 20, 40)])
    order = np.log2(e[:-1] / e[1:])
    assert e[1] < 2e-3
    assert e[2] < 2e-4
    assert ((order > 3.0) & (order < 6.0)).all()  # theory: 4, twice that of the gradient


@pytest.mark.parametrize(
    ("name", "fault"),
    [("oblique", "no slopes"), ("swaying", "no slopes"), ("dilated", "no slopes"), ("twisted", "slopes turned"), ("twisted", "no slopes"),
     ("bent", "no bend"), ("bent", "bend turned"), ("bent and twisted", "slopes turned")],
)  # fmt: skip
def test_energy_sees_a_fault(name: str, fault: str) -> None:
    assert models.energy_error(models.SHAPES[name], 20, fault) > 2e-3


@pytest.mark.parametrize("name", models.SHAPES)
def test_point_source_outside_a_block(name: str) -> None:
    """Harmonic in physical space, so it solves the mapped problem: to 2e-5 on elements of 0.8 mm; every fault shows."""
    shape = models.SHAPES[name]
    assert models.harmonic_error(shape, 12) < 5e-5
    faults = {"straight": [], "bent": ["no bend", "bend turned"], "bent and twisted": ["no slopes", "slopes turned", "no bend", "bend turned"]}
    for fault in faults.get(name, ["no slopes", "slopes turned"]):
        assert models.harmonic_error(shape, 12, fault) > 1e-3


def test_matrix_stays_positive_beyond_the_centre_of_the_bend() -> None:
    """Where 1 - y bend is not positive, planes at different z would cross: the length along z is bounded there instead."""
    section = models.block(4)
    layout = Layout(section, np.empty(0, dtype=np.int64))
    sigma = np.ones((1, 1))
    operator = Operator(Spine(section, sigma, sigma, bend=np.array([150.0])), layout, np.linspace(-1, 1, 5) * MM)
    (part,) = operator.parts
    assert part.diagonal()[:, 0].min() > 0
    assert np.linalg.eigvalsh(operator.matrix().toarray()).min() > 0


# ---------------------------------------------------------------- how sections move


def test_way_is_a_cubic_spline_at_rest_beyond_its_ends() -> None:
    z = np.array([-4.0, -1.0, 2.0, 3.0, 7.0]) * MM
    positions = np.random.default_rng(6).normal(size=(5, 3, 2))
    way = Way(z, positions, np.array([0.0, 3, 4, 3, 0]))
    want = CubicSpline(z, positions, bc_type="clamped")
    at = np.linspace(-3.9, 6.9, 23) * MM
    np.testing.assert_allclose(way.at(at)[0], want(at), atol=1e-11)
    np.testing.assert_allclose(way.at(at)[1], want(at, 1), rtol=1e-9, atol=1e-8)
    np.testing.assert_allclose(way.at(z)[0], positions, atol=1e-12)
    for end, index in ((z[0], 0), (z[-1], -1)):
        for beyond in (0.0, np.sign(end) * 0.1):
            there, slope = way.at(np.array([end + beyond]))
            np.testing.assert_allclose(there[0], positions[index], atol=1e-12)
            np.testing.assert_allclose(slope, 0.0, atol=1e-8)
    np.testing.assert_allclose(way.bend_at(np.array([-9, -2.5, 2.5, 9]) * MM), [0, 1.5, 3.5, 0])
    assert (Way(z, positions).bend_at(at) == 0).all()


def test_nodes_follow_smoothly() -> None:
    """Linear displacements are followed exactly where triangles are alike; the lead takes its surroundings along without a fold."""
    section = models.block(6)
    fixed = np.isin(np.arange(len(section.points)), section.boundary)
    shear = np.array([[[0.1, 0.02], [-0.03, 0.05]], [[0.0, 0.2], [0.1, 0.0]]])
    moved = section.points @ shear
    want = moved.copy()
    moved[:, ~fixed] = 7.0
    Follower(section, fixed).follow(moved)
    np.testing.assert_allclose(moved, want, atol=1e-12)

    section = models.lead_section(False)
    fixed = np.isin(np.arange(len(section.points)), [*section.boundary, *section.rings[0]])
    moved = np.zeros((1, len(section.points), 2))
    moved[0, section.rings[0]] = [1.5 * MM, 0.0]
    Follower(section, fixed).follow(moved)
    assert np.abs(moved[0, :, 0]).max() <= 1.5001 * MM
    layout = Layout(section, np.empty(0, dtype=np.int64))
    plane_matrices(layout, section, section.points + moved[0], models.TRANSVERSE, models.LONGITUDINAL)  # no triangle turned over


def test_small_triangles_give_way_less() -> None:
    """Displacements solve the Laplace problem whose stiffness is one over the area of the triangles."""
    section = models.lead_section(False)
    n, m = len(section.points), len(section.triangles)
    fixed = np.isin(np.arange(n), [*section.boundary, *section.rings[0]])
    corners = section.points[section.triangles[:, :3]]
    stiff = 1.0 / np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1]))
    moved = np.where(fixed[:, None], np.random.default_rng(7).normal(size=(2, n, 2)), np.nan)
    given = moved.copy()
    Follower(section, fixed)._carry(moved)
    indptr, indices, entry = module.pattern(section.triangles, n)
    values, _ = module.integrals(replace(section, labels=np.arange(m)), section.points, stiff, stiff, entry, len(indices))
    left = csr_array((values, indices, indptr), shape=(n, n)) @ moved.transpose(1, 0, 2).reshape(n, 4)
    assert np.abs(left[~fixed]).max() < 1e-10 * np.abs(left).max()
    np.testing.assert_array_equal(moved[:, fixed], given[:, fixed])


def pushed(share: float) -> tuple[Section, Follower, Floats]:
    """A section whose lead is carried towards its outer rim, a share of the way, and the displacements that are given."""
    section = models.lead_section(False)
    fixed = np.isin(np.arange(len(section.points)), [*section.boundary, *section.rings[0]])
    ring, rim = section.points[section.rings[0]], section.points[section.boundary]
    room = np.abs(rim[:, 0]).max() - ring[:, 0].max()
    moved = np.zeros((1, len(section.points), 2))
    moved[0, section.rings[0], 0] = share * room
    return section, Follower(section, fixed), moved


def energy(section: Section, free: NDArray[np.bool_], start: Floats, points: Floats) -> float:
    """What triangles lack of the wanted size, squared, and how their sides were strained and bent."""
    t = section.triangles
    lack = follower.SQUEEZED - follower._sizes(section, points) / follower._sizes(section, section.points)
    total = float((np.clip(lack, 0.0, None) ** 2 @ module.WEIGHTS).sum())
    gone = points - start
    for i in range(3):
        a, b, middle = t[:, i], t[:, (i + 1) % 3], t[:, 3 + i]
        length = ((section.points[a] - section.points[b]) ** 2).sum(axis=1)
        total += follower.ELASTIC * float((((gone[a] - gone[b]) ** 2).sum(axis=1) / length)[free[a] | free[b]].sum())
        bent = gone[middle] - 0.5 * (gone[a] + gone[b])
        total += 4.0 * follower.ELASTIC * float(((bent**2).sum(axis=1) / length)[free[middle]].sum())
    return total


def test_squeezed_triangles_get_room() -> None:
    """Where the Laplace problem alone folds the mesh, it does not fold; the given nodes stay where they are given."""
    section, follows, moved = pushed(0.8)
    alone = moved.copy()
    follows._carry(alone)
    before = follows.shrinkage(section.points + alone[0]).min()
    given = moved[:, follows.fixed].copy()
    follows.follow(moved)
    after = follows.shrinkage(section.points + moved[0]).min()
    assert before < 0.5 * after
    assert after > 0.15
    np.testing.assert_array_equal(moved[:, follows.fixed], given)


def test_what_is_not_squeezed_stays() -> None:
    section, follows, moved = pushed(0.2)
    alone = moved.copy()
    follows._carry(alone)
    assert follows.shrinkage(section.points + alone[0]).min() > follower.SQUEEZED
    follows.follow(moved)
    np.testing.assert_array_equal(moved, alone)


def test_room_is_made_by_little_strain() -> None:
    """It is a minimum: the slope of the energy by every free node is next to nothing of what it was, and along the way there it is the least."""
    section, follows, moved = pushed(0.7)
    alone = moved.copy()
    follows._carry(alone)
    follows.follow(moved)
    start, found, free = section.points + alone[0], section.points + moved[0], ~follows.fixed

    def of(x: Floats) -> float:
        points = start.copy()
        points[free] += MM * x.reshape(-1, 2)
        return energy(section, free, start, points)

    at_start, here = of(np.zeros(2 * int(free.sum()))), energy(section, free, start, found)
    assert here < 0.5 * at_start
    x = ((found - start)[free] / MM).reshape(-1)

    def slopes(at: Floats) -> Floats:
        h, out = 1e-6, np.empty(len(at))
        for i in range(len(at)):
            step = np.zeros(len(at))
            step[i] = h
            out[i] = (of(at + step) - of(at - step)) / (2 * h)
        return out

    assert np.linalg.norm(slopes(x)) < 0.05 * np.linalg.norm(slopes(0 * x))
    shares = [of(k * x) for k in (0.0, 0.5, 0.9, 1.0, 1.1, 1.5)]
    assert np.argmin(shares) == 3


def test_room_grows_smoothly_with_what_is_given() -> None:
    """A little more of a displacement moves every node a little more: nothing jumps from station to station."""
    steps = np.linspace(0.3, 0.7, 41)
    _, follows, moved = pushed(1.0)
    many = moved * steps[:, None, None]
    follows.follow(many)
    jumps = np.abs(np.diff(many, axis=0)).max(axis=(1, 2))
    room = np.abs(moved).max() * (steps[1] - steps[0])
    assert jumps.max() < 3.0 * room


def test_shrinkage_is_the_least_share_of_a_triangle() -> None:
    """An affine map multiplies every size by its determinant; a bent side is seen at its worst point of the rule; turned over is negative."""
    section = models.block(4)
    shear = np.array([[0.6, 0.2], [-0.1, 0.5]])
    np.testing.assert_allclose(shrinkage(section, section.points @ shear), np.linalg.det(shear), rtol=1e-9)
    np.testing.assert_allclose(shrinkage(section, section.points * [-1.0, 1.0]), -1.0, rtol=1e-9)
    points, triangle = section.points.copy(), section.triangles[0]
    points[triangle[3]] += 0.1 * (points[triangle[2]] - points[triangle[3]])
    found = shrinkage(section, points)
    b, c = (np.einsum("qi,id->qd", slope, points[triangle]) for slope in module.SLOPES)
    b0, c0 = (np.einsum("qi,id->qd", slope, section.points[triangle]) for slope in module.SLOPES)
    share = (b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0]) / (b0[:, 0] * c0[:, 1] - b0[:, 1] * c0[:, 0])
    assert np.ptp(share) > 0.1
    np.testing.assert_allclose(found[0], share.min(), rtol=1e-12)
    away = ~np.isin(section.triangles, triangle[3]).any(axis=1)
    np.testing.assert_allclose(found[away], 1.0, rtol=1e-12)


def test_what_does_not_conduct_must_not_be_turned_over() -> None:
    """Triangles without conductivity add nothing, and yet they are looked at."""
    section = models.block(4)
    section = replace(section, labels=(np.arange(len(section.labels)) % 3 == 0).astype(np.int64))
    layout = Layout(section, np.empty(0, dtype=np.int64))
    parts = [plane_matrices(layout, section, section.points, sigma, sigma)[:2] for sigma in (np.array([1.0, 0.0]), np.array([0.0, 2.0]))]
    whole = plane_matrices(layout, section, section.points, np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    for one, other, both in zip(*parts, whole[:2], strict=True):
        np.testing.assert_allclose(one + other, both, rtol=1e-12, atol=1e-12 * np.abs(both).max())
    with pytest.raises(ValueError, match="turns a triangle over"):
        plane_matrices(layout, section, section.points * [-1.0, 1.0], np.zeros(2), np.zeros(2))


# ---------------------------------------------------------------- the axis


STOPS, SIZES = np.array([5.0, -3.0, 0.0, 0.7]) * MM, np.array([0.5, 0.3, 0.2, 0.2]) * MM


def test_elements_give_what_is_between_their_nodes() -> None:
    """Quadratics on each element exactly, kinks at its ends too; the end's value beyond the axis."""
    z = np.array([0.0, 0.5, 1.0, 1.25, 1.5, 2.75, 4.0])
    at = np.array([-1.0, 0.0, 0.3, 1.0, 1.2, 1.5, 3.9, 4.0, 9.0])

    def kinked(x: Floats) -> Floats:
        return np.where(x < 1.0, 1 + x - 2 * x**2, np.where(x < 1.5, (x - 1) ** 2, 0.25 + 3 * (x - 1.5)))

    want = kinked(np.clip(at, 0.0, 4.0))
    got = between(z, at) @ kinked(z)
    # the value at 1.0 belongs to both elements, and these two do not meet there
    np.testing.assert_allclose(got[[0, 1, 4, 5, 6, 7, 8]], want[[0, 1, 4, 5, 6, 7, 8]], atol=1e-14)
    np.testing.assert_allclose(between(z, z).toarray(), np.eye(len(z)), atol=1e-14)


def test_axis_has_its_stops_and_sizes() -> None:
    growth, coarse = 0.5, 1.5 * MM
    z = graded_axis(STOPS, SIZES, (-400 * MM, 300 * MM), coarse, growth, 10 * MM, 0.4)
    ends, length = z[::2], np.diff(z[::2])
    assert (np.diff(z) > 0).all()
    assert len(z) % 2 == 1
    np.testing.assert_allclose(z[1::2], 0.5 * (ends[1:] + ends[:-1]), atol=1e-15)
    assert (z[0], z[-1]) == (-0.4, 0.3)
    for stop in STOPS:
        assert np.abs(ends - stop).min() < 1e-12
    for stop, size in zip(STOPS, SIZES, strict=True):
        at = int(np.abs(ends - stop).argmin())
        assert max(length[at - 1], length[at]) < 1.4 * size
    middle = 0.5 * (ends[1:] + ends[:-1])
    wanted = np.minimum((SIZES + growth * np.abs(middle[:, None] - STOPS)).min(axis=1), coarse)
    beyond = np.maximum(np.maximum(-3 * MM - middle, middle - 5 * MM) - 10 * MM, 0.0)
    ratio = length / (wanted + 0.4 * beyond)
    assert ratio.max() < 1.25
    assert ratio[beyond == 0].min() > 0.5
    assert length.max() > 20 * coarse  # far ends are coarse


def test_axis_of_one_stop_and_of_stops_given_twice() -> None:
    one = graded_axis(np.array([0.0]), np.array([MM]), (-0.1, 0.1), 2 * MM, 0.5, MM, 0.3)
    twice = graded_axis(np.zeros(2), np.full(2, MM), (-0.1, 0.1), 2 * MM, 0.5, MM, 0.3)
    np.testing.assert_array_equal(one, twice)
    np.testing.assert_allclose(one, -one[::-1], atol=1e-12)


@pytest.mark.parametrize("ends", [(-3 * MM, 0.1), (-0.1, 5 * MM), (0.1, 0.2)])
def test_stops_lie_between_the_ends(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="must lie between the ends"):
        graded_axis(STOPS, SIZES, ends, MM, 0.5, MM, 0.3)


# ---------------------------------------------------------------- sections with borders across


ANGLES = 2 * np.pi * np.arange(24) / 24
INNER, OUTER = (r * MM * np.column_stack((np.cos(ANGLES), np.sin(ANGLES))) for r in (4.0, 8.0))
FIRST, LAST = 2, 9  # the sector's corners


def sector(loop: Floats) -> list[int]:
    """Label of every edge: 2 in the sector, else 1."""
    return [2 if FIRST <= k < LAST else 1 for k in range(len(loop))]


def cut_section() -> Section:
    loops = [
        Loop(circle(0, 0, 12 * MM, 24), 3, -1, 3 * MM, keep=True),
        Loop(OUTER, sector(OUTER), 3, 2 * MM, keep=True),
        Loop(INNER, 0, sector(INNER), 1 * MM, keep=True),
        Loop(circle(0.5 * MM, 0, 1 * MM, 12), 4, 0, 0.6 * MM, keep=True, ring=True),
    ]
    cuts = [Cut(INNER[FIRST], OUTER[FIRST], 2, 1), Cut(INNER[LAST], OUTER[LAST], 1, 2)]
    return mesh_section(loops, [2 * MM, 2 * MM, 2 * MM, 3 * MM, 1 * MM], cuts=cuts)


def test_sectors_have_their_areas_and_labels() -> None:
    section = cut_section()
    corners = section.points[section.triangles[:, :3]]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    size = 0.5 * (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    assert (size > 0).all()
    wedge = 0.5 * np.sin(2 * np.pi / 24) * MM**2  # of one edge of a polygon of radius 1 mm
    lead = 6 * np.sin(2 * np.pi / 12) * MM**2
    areas = [size[section.labels == label].sum() for label in range(5)]
    np.testing.assert_allclose(areas, [24 * 16 * wedge - lead, 17 * 48 * wedge, 7 * 48 * wedge, 24 * 80 * wedge, lead], rtol=1e-9)
    middle = corners.mean(axis=1)
    angle = np.arctan2(middle[:, 1], middle[:, 0])
    ring = np.isin(section.labels, [1, 2])
    within = (angle > ANGLES[FIRST]) & (angle < ANGLES[LAST])
    np.testing.assert_array_equal(section.labels[ring] == 2, within[ring])


def test_ring_of_a_meshed_interior() -> None:
    section = cut_section()
    (ring,) = section.rings
    away = section.points[ring] - [0.5 * MM, 0.0]
    angle = np.arctan2(away[:, 1], away[:, 0]) % (2 * np.pi)
    step = np.mod(np.diff(angle, append=angle[0]), 2 * np.pi)
    np.testing.assert_allclose(step, 2 * np.pi / 24, rtol=1e-9)  # twelve points and the middles between them, once around
    np.testing.assert_allclose(np.sort(np.hypot(*away.T))[12:], MM, rtol=1e-9)
    on = np.isin(np.arange(len(section.points)), ring)
    assert set(section.labels[on[section.triangles].sum(axis=1) >= 3]) == {0, 4}  # triangles on both sides of it


@pytest.mark.parametrize(
    ("loop", "cuts", "says"),
    [
        (Loop(INNER, 0, sector(INNER), MM, keep=True), [Cut(INNER[0] * 1.01, OUTER[0], 2, 1)], "begin and end at points of loops"),
        (Loop(INNER, 0, sector(INNER), MM), [], "kept as it is and run counter-clockwise"),
        (Loop(INNER[::-1], 0, sector(INNER), MM, keep=True), [], "kept as it is and run counter-clockwise"),
        (Loop(INNER, 0, [7] * 24, MM, keep=True), [], "names region 7"),
    ],
)
def test_bad_cuts_are_refused(loop: Loop, cuts: list[Cut], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        mesh_section([Loop(OUTER, 1, -1, 2 * MM, keep=True), loop], [MM] * 3, cuts=cuts)


# ---------------------------------------------------------------- what is refused


def test_bad_spines_are_refused() -> None:
    good = models.duct("discs", "moving").spine
    n = len(good.section.points)
    for change, says in [
        ({"z": good.z[::-1]}, "must rise"),
        ({"z": np.zeros(0)}, "at least one"),
        ({"edges": good.edges[::-1]}, "must rise"),
        ({"transverse": good.transverse[:2]}, "2 edges and 5 regions|2 edges and 6 regions"),
        ({"longitudinal": -good.longitudinal}, "not negative"),
        ({"longitudinal": np.where(good.longitudinal > 1, np.nan, good.longitudinal)}, "not negative"),
        ({"positions": good.positions[:, :5]}, rf"shape \({len(good.z)}, {n}, 2\)"),
        ({"slopes": good.slopes[1:]}, rf"shape \({len(good.z)}, {n}, 2\)"),
        ({"slopes": None}, "come together"),
    ]:
        with pytest.raises(ValueError, match=says):
            replace(good, **change)


def test_axis_must_hold_stations_and_edges() -> None:
    for kinds in (("discs",), ("moving",)):
        model = models.duct(*kinds)
        with pytest.raises(ValueError, match="every station and edge must be an end of an element"):
            replace(model, z=model.z + 0.3 * MM).operator()


def test_map_that_folds_is_named() -> None:
    model = models.duct("moving")
    assert model.spine.positions is not None
    positions = model.spine.positions.copy()
    positions[2, :, 0] *= -1
    with pytest.raises(ValueError, match=r"turns a triangle over, near \(.*\) mm at z = -2.00 mm"):
        replace(model, spine=replace(model.spine, positions=positions)).operator()


def test_both_conductivities_change_alike() -> None:
    spine = models.duct("discs").spine
    other = spine.longitudinal.copy()
    other[1, models.BONE] *= 1.01
    with pytest.raises(ValueError, match="by the same factor"):
        replace(spine, longitudinal=other).profile(models.BONE)
    none = spine.transverse.copy()
    none[:, models.FAT] = 0.0
    with pytest.raises(ValueError, match="conducts nowhere"):
        replace(spine, transverse=none).profile(models.FAT)


def test_ring_on_the_outermost_loop_is_refused() -> None:
    section = models.duct_section(0)
    with pytest.raises(ValueError, match="ring touches the outermost loop"):
        Layout(section, section.boundary[:3])
