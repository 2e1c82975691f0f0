"""Laws that hold for every geometry: reciprocity, conservation, superposition; and the fast solver against SuperLU."""

from __future__ import annotations

import field_models as models
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from epidura.numerics.ldlt import LANES, Factor, plan
from epidura.numerics.locate import SpineSampler
from epidura.numerics.section import Loop, Section, circle, mesh_section
from epidura.numerics.spine import axis_matrices
from epidura.numerics.sweep import Solution, axial_modes, solve_contacts, solve_sources, spline_coefficients, sweep

MM = 1e-3
TRANSVERSE = [0.083, 1.7, 0.03, 0.04, 0.02]
LONGITUDINAL = [0.6, 1.7, 0.03, 0.04, 0.02]
BANDS = [(0, -5, -2), (0, -1, 2), (0, 3, 6), (1, -4, -1), (1, 0.5, 3.5)]  # ring, z0, z1 in mm: two leads, staggered


def small_section() -> Section:
    """Cord, CSF, dura, fat and bone, two leads of unlike radius in the fat; coarse."""
    loops = [
        Loop(circle(0, 0, 40 * MM, 100), 4, -1, 12 * MM),
        Loop(circle(0, 0, 11 * MM, 100), 3, 4, 2 * MM),
        Loop(circle(0, 0, 7.3 * MM, 100), 2, 3, 1 * MM),
        Loop(circle(0, 0, 7 * MM, 100), 1, 2, 1 * MM),
        Loop(circle(0, 0, 5 * MM, 100), 0, 1, 1.5 * MM),
        Loop(circle(-2 * MM, -8.7 * MM, 0.65 * MM, 100), -1, 3, 0.4 * MM),
        Loop(circle(2 * MM, -8.9 * MM, 0.5 * MM, 100)[::-1], -1, 3, 0.4 * MM),
    ]
    return mesh_section(loops, [2 * MM, 1.5 * MM, 1 * MM, 1 * MM, 12 * MM])


@pytest.fixture(scope="session")
def section() -> Section:
    return small_section()


@pytest.fixture(scope="session")
def z() -> NDArray[np.float64]:
    return models.axis([e * MM for band in BANDS for e in band[1:]], 50 * MM, 0.3 * MM, 1.5 * MM, 0.8)


@pytest.fixture(scope="session")
def solution(section: Section, z: NDArray[np.float64]) -> Solution:
    return solve_contacts(section, z, TRANSVERSE, LONGITUDINAL, [(r, a * MM, b * MM) for r, a, b in BANDS])


def test_impedance_is_reciprocal_and_positive(solution: Solution) -> None:
    gap = np.abs(solution.impedance - solution.impedance.T).max() / np.abs(solution.impedance).max()
    assert gap < 1e-9
    assert (solution.impedance > 0).all()  # return at the boundary
    assert (np.linalg.eigvalsh(0.5 * (solution.impedance + solution.impedance.T)) > 0).all()


def test_current_is_conserved(solution: Solution) -> None:
    totals = np.array([[c.sum() for c in contact] for contact in solution.currents])
    np.testing.assert_allclose(totals, np.eye(len(BANDS)), atol=1e-6)  # net current of each contact, unit and floating
    np.testing.assert_allclose(solution.modal.outflow(), 1.0, rtol=1e-6)  # through the boundary


def test_conservation_check_catches_a_lost_contact(section: Section, z: NDArray[np.float64], solution: Solution) -> None:
    rhs = nodal_loads(solution, z, section)
    for along, ring in solution.nodes[1:2]:
        rhs[:, along[:1][:, None], ring] = 0.0
    assert np.abs(solve_sources(section, z, TRANSVERSE, LONGITUDINAL, rhs).outflow() - 1.0).max() > 1e-6


def test_contacts_are_equipotential(solution: Solution) -> None:
    potential = solution.modal.potential()
    for c, (along, ring) in enumerate(solution.nodes):
        on = potential[:, along[:, None], ring]
        want = solution.impedance[c][:, None, None]
        assert np.abs(on - want).max() < 1e-9 * np.abs(solution.impedance).max()


def test_fast_solver_agrees_with_superlu(section: Section, z: NDArray[np.float64], solution: Solution) -> None:
    bands = [(r, a * MM, b * MM) for r, a, b in BANDS]
    reference = solve_contacts(section, z, TRANSVERSE, LONGITUDINAL, bands, solver="splu")
    np.testing.assert_allclose(solution.impedance, reference.impedance, rtol=1e-9)
    assert np.abs(solution.modal.values - reference.modal.values).max() < 1e-9 * np.abs(reference.modal.values).max()


def test_solution_satisfies_the_kronecker_system(section: Section, z: NDArray[np.float64], solution: Solution) -> None:
    from scipy.sparse import csc_array

    s = sweep(section, z, TRANSVERSE, LONGITUDINAL)
    shape = (len(section.points),) * 2
    k2, m2 = (csc_array((d, s.indices, s.indptr), shape=shape) for d in (s.stiffness, s.mass))
    k1, m1 = axis_matrices(z)
    for potential, load in zip(solution.modal.potential(), nodal_loads(solution, z, section), strict=True):
        residual = m1 @ (k2 @ potential.T).T + k1 @ (m2 @ potential.T).T - load
        assert np.abs(residual[1:-1][:, s.free]).max() < 1e-9 * np.abs(load).max()


def test_axial_modes_are_good_to_the_lowest() -> None:
    # a contact's edge and a body of 20 m on one axis: K1 and M1 are diagonal to 1e-9 of each pair of eigenvalues
    sizes = np.concatenate([np.geomspace(2.0, 1e-4, 60), np.geomspace(1e-4, 2.0, 60)])
    z = np.concatenate([[0.0], np.cumsum(np.repeat(0.5 * sizes, 2))])
    k1, m1 = (each[1:-1, 1:-1] for each in axis_matrices(z))
    values, shapes = axial_modes(k1, m1)
    assert (np.diff(values) > 0).all()
    assert values[-1] / values[0] > 1e10
    assert values[0] == pytest.approx((np.pi / z[-1]) ** 2, rel=1e-3)
    np.testing.assert_allclose(shapes.T @ m1 @ shapes, np.eye(len(values)), atol=1e-9)
    scale = np.sqrt(np.outer(values, values))
    np.testing.assert_allclose(shapes.T @ k1 @ shapes / scale, np.eye(len(values)), atol=1e-9)


def test_matrices_of_the_axis_are_those_of_quadratic_elements() -> None:
    h = 0.7 * MM
    stiffness, mass = axis_matrices(np.array([0.0, 0.5 * h, h]))
    np.testing.assert_allclose(stiffness, np.array([[7.0, -8, 1], [-8, 16, -8], [1, -8, 7]]) / (3 * h), rtol=1e-12)
    np.testing.assert_allclose(mass, np.array([[4.0, 2, -1], [2, 16, 2], [-1, 2, 4]]) * h / 30, rtol=1e-12)


def nodal_loads(solution: Solution, z: NDArray[np.float64], section: Section) -> NDArray[np.float64]:
    rhs = np.zeros((len(BANDS), len(z), len(section.points)))
    for (along, ring), current in zip(solution.nodes, solution.currents, strict=True):
        rhs[:, along[:, None], ring] += current
    return rhs


@settings(max_examples=5, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=len(BANDS), max_size=len(BANDS)))
def test_contact_currents_superpose(mix: list[float]) -> None:
    """The field of mixed currents, solved as one load, is the mix of the unit fields."""
    section, z, solution = _shared()
    weights = np.array(mix)
    load = np.tensordot(weights, nodal_loads(solution, z, section), axes=1)[None]
    whole = solve_sources(section, z, TRANSVERSE, LONGITUDINAL, load).values[:, :, 0]
    parts = solution.modal.values @ weights
    assert np.abs(whole - parts).max() <= 1e-9 * np.abs(solution.modal.values).max()


@settings(max_examples=5, deadline=None)
@given(st.floats(-3, 3), st.floats(-3, 3), st.integers(0, 2**32 - 1))
def test_sources_superpose(a: float, b: float, seed: int) -> None:
    section, z, _ = _shared()
    loads = np.random.default_rng(seed).normal(size=(2, len(z), len(section.points)))
    both = np.concatenate((loads, a * loads[:1] + b * loads[1:]))
    first, second, mixed = np.moveaxis(solve_sources(section, z, TRANSVERSE, LONGITUDINAL, both).values, 2, 0)
    assert np.abs(a * first + b * second - mixed).max() <= 1e-9 * (np.abs(first).max() + np.abs(second).max())


_MEMORY: list[tuple[Section, NDArray[np.float64], Solution]] = []


def _shared() -> tuple[Section, NDArray[np.float64], Solution]:
    """As the fixtures; hypothesis does not mix with them."""
    if not _MEMORY:
        section = small_section()
        z = models.axis([e * MM for band in BANDS for e in band[1:]], 50 * MM, 0.3 * MM, 1.5 * MM, 0.8)
        bands = [(r, a * MM, b * MM) for r, a, b in BANDS]
        _MEMORY.append((section, z, solve_contacts(section, z, TRANSVERSE, LONGITUDINAL, bands)))
    return _MEMORY[0]


# ---------------------------------------------------------------- the factorisation by itself


@settings(max_examples=20, deadline=None)
@given(st.integers(3, 60), st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_batched_factor_inverts(size: int, seed: int, last: int) -> None:
    from scipy.sparse import csc_array

    rng = np.random.default_rng(seed)
    pattern = np.triu(rng.random((size, size)) < 3.0 / size, 1)
    pattern = pattern | pattern.T | np.eye(size, dtype=bool)
    off = np.where(pattern, rng.normal(size=(size, size)), 0.0)
    k = np.tril(off, -1) + np.tril(off, -1).T
    k += np.diag(np.abs(k).sum(axis=0) + 1.0)
    m = np.diag(rng.random(size) + 0.5)
    structure = csc_array(pattern.astype(float))
    structure.sort_indices()
    columns = np.repeat(np.arange(size), np.diff(structure.indptr))
    chosen = rng.permutation(size)[:last]
    factor = Factor(plan(structure.indptr.astype(np.int64), structure.indices.astype(np.int64), chosen))
    values = rng.random(LANES) * 10
    factor.factorise(k[structure.indices, columns], m[structure.indices, columns], values)
    rhs = rng.normal(size=(size, 2, LANES))
    x, block = factor.solve(rhs), factor.last_block()
    only = np.zeros_like(rhs)
    only[chosen] = rhs[chosen]
    y = factor.solve(only, only_last=True)
    for lane, value in enumerate(values):
        matrix = k + value * m
        np.testing.assert_allclose(matrix @ x[:, :, lane], rhs[:, :, lane], atol=1e-10)
        np.testing.assert_allclose(matrix @ y[:, :, lane], only[:, :, lane], atol=1e-10)
        np.testing.assert_allclose(block[lane], np.linalg.inv(matrix)[np.ix_(chosen, chosen)], atol=1e-10)


# ---------------------------------------------------------------- mesh, axis, sampling


def test_section_is_what_was_asked_for(section: Section) -> None:
    corners = section.points[section.triangles[:, :3]]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    size = 0.5 * (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    assert (size > 0).all()  # counter-clockwise
    for label, want in [(0, 25.0), (1, 24.0), (2, 7.3**2 - 49), (3, 121 - 7.3**2 - 0.65**2 - 0.25)]:
        assert size[section.labels == label].sum() == pytest.approx(np.pi * want * MM**2, rel=2e-3)  # of 100 chords
    for side, (i, j) in enumerate([(0, 1), (1, 2), (2, 0)]):
        middle = 0.5 * (corners[:, i] + corners[:, j])
        np.testing.assert_allclose(section.points[section.triangles[:, 3 + side]], middle, atol=1e-15)
    for ring, (x, y, radius) in zip(section.rings, [(-2, -8.7, 0.65), (2, -8.9, 0.5)], strict=True):
        away = section.points[ring] / MM - [x, y]
        angle = np.unwrap(np.arctan2(away[:, 1], away[:, 0]))
        assert (np.diff(angle) > 0).all()
        np.testing.assert_allclose(np.hypot(*away.T), radius, rtol=0.06)
    assert np.hypot(*section.points[section.boundary].T).min() > 38 * MM


def test_same_loops_same_mesh(section: Section) -> None:
    again = small_section()
    np.testing.assert_array_equal(again.points, section.points)
    np.testing.assert_array_equal(again.triangles, section.triangles)


def test_corners_are_kept() -> None:
    square = np.array([[0, 0], [4, 0], [4, 4], [0, 4.0]]) * MM
    section = mesh_section([Loop(square, 0, -1, 1.3 * MM)], [1 * MM])
    for corner in square:
        assert np.hypot(*(section.points - corner).T).min() < 1e-9


@pytest.mark.parametrize("loops", [
    [Loop(circle(0, 0, 1, 20), 0, 0, 0.3)],
    [Loop(circle(0, 0, 1, 20), 0, -1, 0.3), Loop(circle(0, 0, 0.5, 20), 7, 0, 0.3)],
    [Loop(circle(0, 0, 1, 2), 0, -1, 0.3)],
])  # fmt: skip
def test_bad_loops_are_refused(loops: list[Loop]) -> None:
    with pytest.raises(ValueError, match=r"loop|section"):
        mesh_section(loops, [0.3, 0.3])


def test_crossing_loops_are_refused() -> None:
    loops = [Loop(circle(0, 0, 5, 60), 0, -1, 0.5), Loop(circle(0, 0, 1, 60), 1, 0, 0.3), Loop(circle(1, 0, 1, 60), 2, 0, 0.3)]
    with pytest.raises(ValueError, match="cross-section"):
        mesh_section(loops, [0.5, 0.3, 0.3])


def test_axis_holds_the_edges(z: NDArray[np.float64]) -> None:
    for edge in {e for band in BANDS for e in band[1:]}:
        assert np.abs(z[::2] - edge * MM).min() < 1e-12
    assert len(z) % 2 == 1
    assert (np.diff(z) > 0).all()
    np.testing.assert_allclose(z[1::2], 0.5 * (z[:-2:2] + z[2::2]))
    assert z[-1] == pytest.approx(56 * MM)
    assert z[0] == pytest.approx(-55 * MM)


@pytest.mark.parametrize("bands", [[(0, -5 * MM, -2.05 * MM)], [(5, -5 * MM, -2 * MM)], [(0, -2 * MM, -5 * MM)]])
def test_contact_off_the_axis_is_refused(section: Section, z: NDArray[np.float64], bands: list[tuple[int, float, float]]) -> None:
    with pytest.raises(ValueError, match="contact"):
        solve_contacts(section, z, TRANSVERSE, LONGITUDINAL, bands)


def test_sampling_is_exact_for_polynomials(section: Section, z: NDArray[np.float64]) -> None:
    from scipy.interpolate import make_interp_spline

    def f(x: NDArray[np.float64], y: NDArray[np.float64], h: NDArray[np.float64]) -> NDArray[np.float64]:
        return (1 + 300 * x - 2e4 * x * y + 5e4 * y * y) * (2 - 30 * h + 4e6 * h**5)

    nodal = f(section.points[:, :1], section.points[:, 1:], z[None])
    spline = make_interp_spline(z, nodal, k=5, axis=1)
    sample = SpineSampler(section, None, spline.t, np.ascontiguousarray(np.moveaxis(spline.c, 0, 1))[:, :, None])
    rng = np.random.default_rng(3)
    radius, angle = 35 * MM * np.sqrt(rng.random(4000)), 2 * np.pi * rng.random(4000)
    points = np.column_stack((radius * np.cos(angle), radius * np.sin(angle), rng.uniform(z[0], z[-1], 4000)))
    free = np.all([np.hypot(*(points[:, :2] - c).T) > 0.75 * MM for c in ([-2e-3, -8.7e-3], [2e-3, -8.9e-3])], axis=0)
    np.testing.assert_allclose(sample(points[free])[0], f(*points[free].T), rtol=1e-8, atol=1e-8)


def test_single_precision_keeps_second_differences(solution: Solution, section: Section) -> None:
    exact = SpineSampler(section, None, *spline_coefficients(solution.modal, np.float64))
    short = SpineSampler(section, None, *spline_coefficients(solution.modal))
    h = np.linspace(-20, 20, 81) * MM
    points = np.column_stack((np.zeros_like(h), np.full_like(h, -4 * MM), h))

    def second(s: SpineSampler) -> NDArray[np.float64]:
        shift = [0, 0, MM]
        return s(points + shift) - 2 * s(points) + s(points - shift)

    want = second(exact)
    assert np.abs(second(short) - want).max() < 1e-4 * np.abs(want).max()


def test_second_difference_does_not_feel_the_truncation(section: Section) -> None:
    edges = [-1.5 * MM, 1.5 * MM]
    got = []
    for half in (60 * MM, 250 * MM):
        z = models.axis(edges, half, 0.3 * MM, 1.0 * MM, 0.6)
        s = SpineSampler(section, None, *spline_coefficients(solve_contacts(section, z, TRANSVERSE, LONGITUDINAL, [(0, *edges)]).modal))
        h = np.arange(-20, 21) * MM
        got.append(np.diff(s(np.column_stack((0 * h, 0 * h - 4 * MM, h)))[0], 2))
    assert np.abs(got[0] - got[1]).max() < 0.01 * np.abs(got[1]).max()


def test_models_bump_is_a_unit_source(section: Section, z: NDArray[np.float64]) -> None:
    rhs = models.bump(section, z, (1 * MM, 0, 0), (2 * MM,) * 3)
    assert rhs.sum() == pytest.approx(1.0)
    along = rhs[0].sum(axis=1) @ z
    across = rhs[0].sum(axis=0) @ section.points
    np.testing.assert_allclose([*across, along], [1 * MM, 0, 0], atol=0.01 * MM)
