"""The levels of the preconditioner, each against dense algebra on a duct of a few hundred unknowns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import spine_models as models
from numpy.typing import NDArray

from epidura.numerics import coarse, levels
from epidura.numerics.coarse import Coarse, functions
from epidura.numerics.iteration import Touch, _mask, solve_touches
from epidura.numerics.levels import Levels, linear
from epidura.numerics.lines import Lines
from epidura.numerics.spine import Layout, Operator, gram

Floats = NDArray[np.float64]
MM = models.MM
EVERYTHING = ("discs", "tip", "moving", "bent")
KINDS = [(), ("discs",), ("tip",), ("moving",), EVERYTHING]
CASES = [(kinds, halves) for kinds in KINDS for halves in (False, True)]


def made(kinds: Sequence[str], halves: bool) -> tuple[Operator, NDArray[np.bool_]]:
    m = models.duct(*kinds, halves=halves)
    operator = m.operator()
    return operator, m.mask(operator)


def inner(operator: Operator, x: Floats) -> Floats:
    """(unknowns of the assembled matrix, k)."""
    return np.ascontiguousarray(x[:, :, 1 : len(operator.z) - 1].transpose(0, 2, 1)).reshape(-1, x.shape[1])


def spread(operator: Operator, x: Floats) -> Floats:
    out = operator.zeros(x.shape[1])
    out[:, :, 1 : len(operator.z) - 1] = x.reshape(operator.layout.size, -1, x.shape[1]).transpose(0, 2, 1)
    return out


def conducting(operator: Operator) -> NDArray[np.bool_]:
    """(rows, inner nz) where a node has any conductor about it."""
    return np.asarray(operator.matrix().diagonal().reshape(operator.layout.size, -1) > 1e-12)


def loads(operator: Operator, mask: NDArray[np.bool_], seed: int = 3) -> Floats:
    """Anywhere in the conductor, any of a contact's at its first node."""
    out = operator.zeros(4)
    inside = conducting(operator)
    out[:, :, 1 : len(operator.z) - 1] = (np.random.default_rng(seed).normal(size=(*inside.shape, 4)) * inside[:, :, None]).transpose(0, 2, 1)
    first = operator.layout.size - mask.shape[1]
    for one in mask:
        node, z = np.nonzero(one)
        out[first + node, :, z] = 0.0
        out[first + node[0], :, z[0]] = 1.0 + np.arange(4)
    return out


def guess(operator: Operator, mask: NDArray[np.bool_], seed: int = 5) -> Floats:
    """Anything that is constant on contacts."""
    out = operator.zeros(4)
    out[:, :, 1 : len(operator.z) - 1] = np.random.default_rng(seed).normal(size=(operator.layout.size, 4, len(operator.z) - 2))
    first = operator.layout.size - mask.shape[1]
    for one in mask:
        node, z = np.nonzero(one)
        out[first + node, :, z] = out[first + node[0], :, z[0]]
    return out


def swept(operator: Operator, mask: NDArray[np.bool_], x: Floats, load: Floats, backward: bool) -> Floats:
    """What a sweep should give, densely: lines one after the other, then contacts, or all in reverse."""
    matrix = operator.matrix().toarray()
    size, n = operator.layout.size, len(operator.z) - 2
    place = np.arange(size * n).reshape(size, n)
    first = size - mask.shape[1]
    touched = np.zeros((size, n), dtype=bool)
    touched[first:] = mask.any(axis=0)[:, 1 : n + 1]
    moving = conducting(operator) & ~touched
    v, b = inner(operator, x), inner(operator, load)

    def contacts() -> None:
        left = b - matrix @ v
        for one in mask:
            node, z = np.nonzero(one)
            own = place[first + node, z - 1]
            v[own] += left[own].sum(axis=0) / matrix[np.ix_(own, own)].sum()

    if backward:
        contacts()
    for row in range(size)[:: -1 if backward else 1]:
        own = place[row][moving[row]]
        if len(own):
            v[own] += np.linalg.solve(matrix[np.ix_(own, own)], b[own] - matrix[own] @ v)
    if not backward:
        contacts()
    return spread(operator, v)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(("kinds", "halves"), CASES)
def test_a_sweep_solves_lines_and_contacts_in_turn(kinds: tuple[str, ...], halves: bool, backward: bool) -> None:
    operator, mask = made(kinds, halves)
    x, load = guess(operator, mask), loads(operator, mask)
    want = swept(operator, mask, x, load, backward)
    Lines(operator, mask).smooth(x, load, backward)
    np.testing.assert_allclose(x, want, atol=1e-9 * np.abs(want).max())


@pytest.mark.parametrize(("kinds", "halves"), CASES)
def test_the_first_sweep_is_the_same_for_half_the_work(kinds: tuple[str, ...], halves: bool) -> None:
    """And so is what it leaves of the load, but where nothing conducts and on the nodes of a contact, which count in sum."""
    operator, mask = made(kinds, halves)
    smoother, load = Lines(operator, mask), loads(operator, mask)
    want = operator.zeros(4)
    smoother.smooth(want, load)
    x, left = np.full_like(want, np.nan), np.full_like(want, np.nan)
    smoother.start(x, load, left)
    np.testing.assert_allclose(x, want, atol=1e-12 * np.abs(want).max())
    rest = operator.residual(want, load, np.empty_like(want))
    np.testing.assert_allclose(inner(operator, left), inner(operator, rest), atol=1e-9 * np.abs(load).max())


@pytest.mark.parametrize(("kinds", "halves"), CASES)
def test_linear_functions_have_the_same_energy_on_both_levels(kinds: tuple[str, ...], halves: bool) -> None:
    operator, mask = made(kinds, halves)
    middle, up, down, kept = linear(operator, mask)
    x = middle.zeros(4)
    x[:, :, 1 : len(operator.z) - 1] = np.random.default_rng(1).normal(size=(middle.layout.size, 4, len(operator.z) - 2))
    y = levels._product(up, x, operator.zeros(4))
    own, above = gram(x, middle.apply(x)), gram(y, operator.apply(y))
    np.testing.assert_allclose(own, above, atol=1e-12 * np.abs(own).max())
    load = operator.apply(y)
    np.testing.assert_allclose(gram(levels._product(down, load, middle.zeros(4)), x), gram(load, y), atol=1e-12 * np.abs(own).max())
    # the function of a coordinate is linear, bent sides apart: values at the nodes are those of the plane
    layout, section = operator.layout, operator.spine.section
    plane = middle.zeros(1)
    plane[:, 0] = section.points[middle.layout.node, :1] / MM
    seen = levels._product(up, plane, operator.zeros(1))[:, 0, 1] - section.points[layout.node, 0] / MM
    grounded = np.isin(section.triangles, section.boundary).any(axis=1)
    away = layout.row[np.setdiff1d(section.triangles[~grounded], np.concatenate([section.triangles[grounded].ravel(), section.rings[0]]))]
    assert len(away) > 10
    assert np.abs(seen[away]).max() < 1e-12
    first = layout.size - layout.plan.last
    assert np.array_equal(layout.node[first:][kept], middle.layout.node[middle.layout.size - middle.layout.plan.last :])


def space(operator: Operator, mask: NDArray[np.bool_], plane: Floats, own: Sequence[int], rest: NDArray[np.bool_]) -> Floats:
    """(inner unknowns, dimension) a basis of what ``Coarse`` solves in, contacts last."""
    n = len(operator.z) - 2
    first = operator.layout.size - mask.shape[1]
    free = ~rest[1:-1]
    together = []
    for one, function in zip(mask, own, strict=True):
        node, z = np.nonzero(one)
        z = np.unique(z) - 1
        free[np.ix_(z, np.flatnonzero(plane[first + np.unique(node)].any(axis=0)))] = False
        together.append(np.outer(plane[:, function], np.isin(np.arange(n), z)).ravel())
    single = [np.outer(plane[:, i], np.arange(n) == z).ravel() for z, i in np.argwhere(free)]
    return np.array([*single, *together]).T


@pytest.mark.parametrize(("kinds", "halves"), CASES)
def test_coarsest_level_finds_the_best_of_its_space(kinds: tuple[str, ...], halves: bool) -> None:
    operator, mask = made(kinds, halves)
    plane, own, rest = functions(operator, mask, Lines(operator, mask).dead)
    load = loads(operator, mask)
    basis, matrix = space(operator, mask, plane, own, rest), operator.matrix()
    want = basis @ np.linalg.solve(basis.T @ (matrix @ basis), basis.T @ inner(operator, load))
    x = operator.zeros(4)
    x += 1.0
    Coarse(operator, plane, mask, own, rest).correct(x, load)
    np.testing.assert_allclose(inner(operator, x) - 1.0, want, atol=1e-8 * np.abs(want).max())
    first = operator.layout.size - mask.shape[1]
    for one in mask:  # what it adds is constant on contacts
        node, z = np.nonzero(one)
        assert np.ptp(x[first + node, :, z], axis=0).max() < 1e-12 * np.abs(x).max()


def test_contacts_of_different_width_at_different_heights() -> None:
    """Some nodes of one contact belong to another one elsewhere: each function rests where the other contact is."""
    m = models.duct("discs", "tip")
    ring = m.touches[0].nodes
    x = m.spine.section.points[ring, 0] / MM
    touches = [Touch(ring[x > -0.5], -4 * MM, -2 * MM), Touch(ring[x < 0.5], 0.0, 2 * MM)]
    operator = m.operator()
    mask = _mask(operator.layout, m.z, operator.padded, touches)
    plane, own, rest = functions(operator, mask, Lines(operator, mask).dead)
    load = loads(operator, mask)
    basis, matrix = space(operator, mask, plane, own, rest), operator.matrix()
    want = basis @ np.linalg.solve(basis.T @ (matrix @ basis), basis.T @ inner(operator, load))
    got = operator.zeros(4)
    Coarse(operator, plane, mask, own, rest).correct(got, load)
    np.testing.assert_allclose(inner(operator, got), want, atol=1e-8 * np.abs(want).max())
    found = solve_touches(m.spine, m.z, touches, 1e-12)
    _, impedance = models.solve_directly(operator, mask)
    np.testing.assert_allclose(found.impedance, impedance, rtol=1e-10)


@pytest.mark.parametrize("halves", [False, True])
def test_functions_are_constant_on_contacts(halves: bool) -> None:
    operator, mask = made(EVERYTHING, halves)
    plane, own, rest = functions(operator, mask, Lines(operator, mask).dead)
    first = operator.layout.size - mask.shape[1]
    assert len(set(own)) == (2 if halves else 1)
    for one, function in zip(mask, own, strict=True):
        rows = first + np.flatnonzero(one.any(axis=1))
        np.testing.assert_array_equal(plane[rows, function], 1.0)
        np.testing.assert_array_equal(np.delete(plane[rows], function, axis=1), 0.0)
    assert plane.shape[1] < operator.layout.size / 3
    assert rest.any()
    assert not rest.all(axis=0).any()
    assert np.linalg.matrix_rank(plane) == plane.shape[1]


@pytest.mark.parametrize(("kinds", "halves"), CASES)
def test_a_cycle_is_symmetric_positive_and_constant_on_contacts(kinds: tuple[str, ...], halves: bool) -> None:
    """vᵀ B u = uᵀ B v and uᵀ B u > 0: what conjugate gradients need."""
    operator, mask = made(kinds, halves)
    cycle, load = Levels(operator, mask), loads(operator, mask)
    x = cycle(load)
    product = gram(load, x)
    assert np.abs(product - product.T).max() < 1e-9 * np.abs(product).max()
    assert (np.linalg.eigvalsh(0.5 * (product + product.T)) > 0).all()
    first = operator.layout.size - mask.shape[1]
    for one in mask:
        node, z = np.nonzero(one)
        assert np.ptp(x[first + node, :, z], axis=0).max() < 1e-12 * np.abs(x).max()
    out, room = np.full_like(load, np.nan), np.full_like(load, np.nan)
    np.testing.assert_array_equal(cycle(load, out, room)[:, :, : len(operator.z)], x[:, :, : len(operator.z)])


@pytest.mark.parametrize("without", ["coarsest level", "second level"])
def test_every_level_saves_steps_and_changes_no_result(without: str, monkeypatch: pytest.MonkeyPatch) -> None:
    m = models.lead_model("discs", "tip", "oblique", tip=14.0, bone=2.0)
    want = solve_touches(m.spine, m.z, m.touches, 1e-7)
    if without == "coarsest level":
        monkeypatch.setattr(coarse.Coarse, "correct", lambda self, x, left: None)
    else:
        monkeypatch.setattr(levels.Levels, "second", lambda self, load: np.zeros_like(load))
    got = solve_touches(m.spine, m.z, m.touches, 1e-7, limit=400)
    assert got.iterations > 1.3 * want.iterations
    np.testing.assert_allclose(got.impedance, want.impedance, rtol=1e-9)


def test_layout_of_corners_only() -> None:
    section = models.duct_section(0)
    layout = Layout(section, np.empty(0, dtype=np.int64), linear=True)
    assert np.array_equal(np.sort(layout.node), np.setdiff1d(section.triangles[:, :3], section.boundary))
    assert layout.entry.shape == (len(section.triangles), 9)


@pytest.mark.slow
def test_iterations_do_not_grow_with_the_mesh() -> None:
    """Full rings of bone and disc, 32 to 1, and a lead that leans, on meshes of bone from 5 to 1 mm."""
    counts = []
    for bone in (5.0, 2.0, 1.0):
        m = models.lead_model("discs", "tip", "oblique", tip=14.0, bone=bone)
        counts.append(solve_touches(m.spine, m.z, m.touches, 1e-7).iterations)
    assert max(counts) <= min(counts) + 3


@pytest.mark.parametrize(("kinds", "halves"), CASES)
def test_a_correction_is_the_best_mixture_of_the_second_level_s_cycles(kinds: Sequence[str], halves: bool) -> None:
    """It lowers the energy by what it says, and no other mixture lowers it more."""
    operator, mask = made(kinds, halves)
    precondition, load, x = Levels(operator, mask), loads(operator, mask), guess(operator, mask)
    places = [(operator.layout.size - mask.shape[1] + rows, z) for rows, z in (np.nonzero(one) for one in mask)]

    def left(at: Floats) -> Floats:
        r = load - operator.apply(at)
        for rows, z in places:
            r[rows[0], :, z[0]], r[rows[1:], :, z[1:]] = r[rows, :, z].sum(axis=0), 0.0
        return r

    def energy(at: Floats) -> Floats:
        return np.asarray(np.diag(gram(at, operator.apply(at)) - 2.0 * gram(at, load)))

    r, before = left(x), energy(x)
    after = x.copy()
    size = precondition.correct(after, r)
    assert (size > 0).all()
    np.testing.assert_allclose(before - energy(after), size, rtol=1e-7)
    directions = np.zeros_like(x)
    levels._product(precondition._up, precondition.second(levels._product(precondition._down, r, precondition.middle.zeros(4))), directions)
    gain = gram(directions, left(after))  # nothing is left in the directions that were mixed
    assert np.abs(gain).max() < 1e-7 * np.abs(gram(directions, r)).max()
