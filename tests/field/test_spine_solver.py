"""Contacts in spines that vary along z: against direct solutions, and laws that hold for every one."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import spine_models as models
from numpy.typing import NDArray

from epidura.numerics import coarse, iteration, ldlt, levels, lines, locate, spine
from epidura.numerics.iteration import Solved, Touch, solve_touches
from epidura.numerics.levels import Levels
from epidura.numerics.locate import SpineSampler, spline_along
from epidura.numerics.spine import Operator, Spine, Way
from epidura.numerics.sweep import solve_contacts

Floats = NDArray[np.float64]
MM = models.MM
EVERYTHING = ("discs", "tip", "moving", "bent")
KINDS = [(), ("discs",), ("tip",), ("moving",), EVERYTHING]
TIGHT = 1e-12


@cache
def model(*kinds: str, halves: bool = False, level: int = 0) -> models.Model:
    return models.duct(*kinds, halves=halves, level=level)


@cache
def solved(*kinds: str, halves: bool = False, level: int = 0) -> Solved:
    m = model(*kinds, halves=halves, level=level)
    return solve_touches(m.spine, m.z, m.touches, TIGHT)


def inner(x: Solved) -> Floats:
    """As the operator takes it: (rows, contacts, padded)."""
    out = x.operator.zeros(x.values.shape[1])
    out[:, :, : x.values.shape[2]] = x.values
    return out


def conducting(operator: Operator) -> NDArray[np.bool_]:
    """(rows,) that are not within the lead."""
    section = operator.spine.section
    rows = operator.layout.row[np.unique(section.triangles[section.labels != models.LEAD])]
    return np.isin(np.arange(operator.layout.size), rows)


# ---------------------------------------------------------------- against direct solutions


def test_uniform_section_is_that_of_the_direct_solver() -> None:
    m = models.lead_model()
    section, z = m.spine.section, m.z
    got = solve_touches(m.spine, z, m.touches, 1e-10)
    want = solve_contacts(section, z, m.spine.transverse[0], m.spine.longitudinal[0], [(0, t.z0, t.z1) for t in m.touches])
    np.testing.assert_allclose(got.impedance, want.impedance, rtol=1e-9)
    v = want.modal.potential().transpose(2, 1, 0)
    assert np.abs(got.at_nodes() - v).max() < 1e-9 * np.abs(v).max()
    for part, current in zip(got.currents, want.currents, strict=True):
        band = part[:, np.abs(part).sum(axis=(0, 2)) > 0].transpose(2, 1, 0)
        # both name the nodes of the ring in the same order
        assert np.abs(band - current).max() < 1e-8 * np.abs(current).max()
    assert got.iterations <= 18  # measured 15


@pytest.mark.parametrize("halves", [False, True])
@pytest.mark.parametrize("kinds", KINDS)
def test_sparse_direct_solver_agrees(kinds: tuple[str, ...], halves: bool) -> None:
    x = solved(*kinds, halves=halves)
    values, impedance = models.solve_directly(x.operator, model(*kinds, halves=halves).mask(x.operator))
    np.testing.assert_allclose(x.impedance, impedance, rtol=1e-10)
    there = conducting(x.operator)
    assert np.abs(x.values - values)[there].max() < 1e-9 * np.abs(values).max()


@pytest.mark.parametrize("kinds", [("discs", "tip"), ("moving", "tip")])
def test_bounds_above_see_a_fault(kinds: tuple[str, ...]) -> None:
    """One per cent more disc, or slopes one per cent too small, is far outside the bounds."""
    x, m = solved(*kinds), model(*kinds)
    change = {"transverse": m.spine.transverse.copy(), "longitudinal": m.spine.longitudinal.copy()}
    if "discs" in kinds:
        for sigma in change.values():
            sigma[sigma == models.DISC] *= 1.01
    else:
        assert m.spine.slopes is not None
        change = {"slopes": 0.99 * m.spine.slopes}
    other = solve_touches(replace(m.spine, **change), m.z, m.touches, TIGHT)
    assert np.abs(other.impedance / x.impedance - 1).max() > 1e-6


@pytest.mark.parametrize("kinds", [("tip",), EVERYTHING])
def test_a_guess_is_corrected_to_the_solution(kinds: tuple[str, ...]) -> None:
    """Whatever the guess, the corrections get smaller, and a small one leaves a small error; the solution itself is left alone."""
    m, x = model(*kinds), solved(*kinds)
    rng = np.random.default_rng(2)
    nodes = x.at_nodes()
    there = np.zeros(len(nodes), dtype=bool)
    there[x.operator.layout.node[conducting(x.operator)]] = True

    def off(got: Solved) -> float:
        return float(np.abs(got.at_nodes() - nodes)[there].max() / np.abs(nodes).max())

    sizes: list[float] = []
    rough = nodes * (1.0 + 0.3 * rng.normal(size=(1, len(m.z), 1)))
    got = solve_touches(m.spine, m.z, m.touches, 1e-9, start=lambda: rough, watch=lambda words, _: sizes.append(_size(words)))
    sizes = [size for size in sizes if size > 0]
    assert len(sizes) == got.iterations
    assert all(b < 0.7 * a for a, b in pairwise(sizes))
    assert off(got) < 1e-7
    np.testing.assert_allclose(got.impedance, x.impedance, rtol=1e-10)
    quick = solve_touches(m.spine, m.z, m.touches, 5e-2, start=lambda: rough)
    assert quick.residual < 5e-2
    assert 1e-6 < off(quick) < 5e-2
    at_once = solve_touches(m.spine, m.z, m.touches, 1e-6, start=lambda: nodes)
    assert at_once.iterations == 1
    assert off(at_once) < 1e-9
    with pytest.raises(iteration.NotConverged, match=r"corrections reached .* in 2 steps") as stopped:
        solve_touches(m.spine, m.z, m.touches, 1e-9, limit=2, start=lambda: rough)
    assert stopped.value.steps == 2
    assert stopped.value.residual == pytest.approx(sizes[1], rel=0.5)  # words round to one digit


def _size(words: str) -> float:
    """Of a correction, where the words are about one."""
    return float(words.split("correction ")[1].split()[0]) if "correction" in words else 0.0


# ---------------------------------------------------------------- laws


@pytest.mark.parametrize("tolerance", [1e-4, TIGHT])
@pytest.mark.parametrize("kinds", KINDS)
def test_reciprocity_and_energy_hold_at_any_tolerance(kinds: tuple[str, ...], tolerance: float) -> None:
    m = model(*kinds, halves=True)
    x = solve_touches(m.spine, m.z, m.touches, tolerance)
    scale = np.abs(x.impedance).max()
    assert np.abs(x.impedance - x.impedance.T).max() < 1e-9 * scale
    v = inner(x)
    np.testing.assert_allclose(spine.gram(v, x.operator.apply(v)), x.impedance, atol=1e-9 * scale)
    assert (np.linalg.eigvalsh(x.impedance) > 0).all()
    assert (x.impedance > 0).all()
    assert (np.diag(x.impedance) > (x.impedance - np.diag(np.diag(x.impedance))).max(axis=1)).all()


@pytest.mark.parametrize("kinds", KINDS)
def test_current_is_conserved(kinds: tuple[str, ...]) -> None:
    """1 A out of one contact, none out of the others, none appears or is lost in the tissue or in the insulator."""
    x, m = solved(*kinds, halves=True), model(*kinds, halves=True)
    count = len(m.touches)
    np.testing.assert_allclose([part.sum(axis=(0, 1)) for part in x.currents], np.eye(count), atol=1e-9)
    flow = x.operator.apply(inner(x))[:, :, 1 : len(m.z) - 1]
    layout = x.operator.layout
    for touch, part in zip(m.touches, x.currents, strict=True):
        on = (m.z >= touch.z0 - 1e-12) & (m.z <= touch.z1 + 1e-12)
        assert not part[:, ~on].any()
        flow[layout.row[touch.nodes]] -= part[:, 1:-1].transpose(0, 2, 1)
    assert np.abs(flow).max() < 1e-9
    potential = x.at_nodes()
    for c, touch in enumerate(m.touches):
        on = np.flatnonzero((m.z >= touch.z0 - 1e-12) & (m.z <= touch.z1 + 1e-12))
        np.testing.assert_allclose(potential[touch.nodes][:, on], np.broadcast_to(x.impedance[c], (len(touch.nodes), len(on), count)), rtol=1e-12)
    assert not potential[m.spine.section.boundary].any()
    assert not potential[:, [0, -1]].any()


def test_mirrored_spine_has_the_mirrored_field() -> None:
    m = model("discs", "tip", "moving", "bent", halves=True)
    mirror = models.mirrored(m)
    want, got = solved("discs", "tip", "moving", "bent", halves=True), solve_touches(mirror.spine, m.z, m.touches, TIGHT)
    np.testing.assert_allclose(got.impedance, want.impedance, rtol=1e-9)
    there = conducting(want.operator)
    node = want.operator.layout.node[there]
    scale = np.abs(want.values).max()
    assert np.abs(got.at_nodes()[node] - want.at_nodes()[node]).max() < 1e-9 * scale
    assert np.abs(want.impedance[0, 0] / want.impedance[1, 1] - 1) > 1e-3  # the model itself is lopsided


def test_number_of_threads_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    m = model(*EVERYTHING)
    want = solved(*EVERYTHING)
    for count in (1, 5):
        for part in (ldlt, spine, coarse, levels, lines, locate):
            monkeypatch.setattr(part, "threads", lambda count=count: count)
        got = solve_touches(m.spine, m.z, m.touches, TIGHT)
        np.testing.assert_allclose(got.impedance, want.impedance, rtol=1e-11)
        there = conducting(got.operator)
        assert np.abs(got.values - want.values)[there].max() < 1e-10 * np.abs(want.values).max()


def test_many_contacts_are_solved_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eighteen contacts, three around the ring at six heights: 16 and then 2 give what all at once give."""
    m = model("discs", "tip")
    z = models.models.with_middles(np.linspace(-8, 8, 17) * MM)
    ring = m.touches[0].nodes
    x = m.spine.section.points[ring, 0] / MM
    sides = [ring[x > 0.5], ring[x < -0.5], ring[np.abs(x) < 0.5]]
    touches = [Touch(side, low * MM, (low + 1) * MM) for low in (-7, -5, -3, -1, 1, 3) for side in sides]
    found = []
    for size in (16, 18):
        monkeypatch.setattr(iteration, "BLOCK", size)
        got = solve_touches(m.spine, z, touches, 1e-10)
        np.testing.assert_allclose([part.sum(axis=(0, 1)) for part in got.currents], np.eye(18), atol=1e-8)
        found.append(got)
    turns, together = found
    np.testing.assert_allclose(turns.impedance, together.impedance, rtol=1e-8)
    np.testing.assert_allclose(turns.impedance, turns.impedance.T, rtol=1e-8)
    there = conducting(turns.operator)
    assert np.abs(turns.values - together.values)[there].max() < 1e-8 * np.abs(turns.values).max()


@pytest.mark.parametrize(("kinds", "most"), [(("tip",), 11), (("discs", "tip"), 11), (("discs", "tip", "oblique"), 12)])
def test_iterations(kinds: tuple[str, ...], most: int) -> None:
    """Full rings of bone and disc, 32 to 1, are the worst case; measured 9, 9 and 10."""
    m = models.lead_model(*kinds, tip=14.0, bone=2.0)
    got = solve_touches(m.spine, m.z, m.touches, 1e-7)
    assert got.residual < 1e-7
    assert got.iterations <= most


# ---------------------------------------------------------------- physics


def test_tissue_that_moves_within_a_uniform_medium_changes_nothing() -> None:
    """Contacts and the outermost loop rest, what is between them sways by 1 mm: the same field, at the same points of space."""
    section = models.lead_section(True)
    sigma = np.ones((1, 6)) * 0.3
    still = models.lead_model()
    at = np.linspace(-20, 20, 21) * MM
    z = np.unique(np.concatenate([still.z[::2], at]))
    z = models.models.with_middles(z[np.append(True, np.diff(z) > 1e-9)])
    x, y = section.points.T
    near = np.hypot(x - models.WHERE[0] * MM, y - models.WHERE[1] * MM) - 0.65 * MM
    free = np.clip(near / (3 * MM), 0, 1) * np.clip((30 * MM - np.hypot(x, y)) / (15 * MM), 0, 1)
    free = free**2 * (3 - 2 * free)
    way = Way(at, section.points + (np.sin(at / (5 * MM))[:, None] * free)[:, :, None] * np.array([1.0, 0.6]) * MM)
    positions, slopes = way.at(at)
    h = np.linspace(-15, 15, 61) * MM
    path = np.column_stack((0 * h + MM, 0 * h - 3 * MM, h))
    found = []
    for spine_, way_ in (
        (Spine(section, sigma, sigma), None),
        (Spine(section, sigma, sigma, z=at, positions=positions, slopes=slopes), way),
        (Spine(section, sigma, sigma, z=at, positions=positions, slopes=0 * slopes), way),
    ):
        got = solve_touches(spine_, z, still.touches, 1e-7)
        sample = SpineSampler(section, way_, *spline_along(z, got.at_nodes(), np.float64))
        found.append((got.impedance, sample(path), models.second(sample, path)))
    gaps = [[float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(case, found[0], strict=True)] for case in found[1:]]
    assert gaps[0][0] < 0.003
    assert gaps[0][1] < 0.01
    assert gaps[1][1] > 0.02  # slopes forgotten


@pytest.mark.slow
def test_order_of_convergence_with_layers_that_move_and_change() -> None:
    """Square mesh and axis halved twice: differences of successive levels give the order, of V and of the 1 mm second difference.

    The impedance converges like h: the current density is singular at the edges of contacts.
    """
    h = np.linspace(-4, 4, 33) * MM
    path = np.column_stack((0 * h + MM, 0 * h - 3 * MM, h))
    found = []
    for level in range(3):
        m = models.duct("discs", "moving", level=level)
        got = solve_touches(m.spine, m.z, m.touches[:1], 1e-7)
        sample = SpineSampler(m.spine.section, m.way, *spline_along(m.z, got.at_nodes(), np.float64))
        found.append((sample(path), models.second(sample, path), got.impedance))
    coarse, fine = ([float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(one, two, strict=True)] for one, two in (found[:2], found[1:]))
    order = np.log2(np.array(coarse) / fine)
    assert fine[0] < 0.01  # level 1, of 1 mm, against level 2
    assert fine[1] < 0.05
    assert 2.0 < order[0] < 4.2
    assert 2.5 < order[1] < 6.0
    assert 0.6 < order[2] < 1.6


def solve_load(m: models.Model, load: Floats, tolerance: float = 1e-12) -> Floats:
    """Potentials (rows, 4, padded) of loads in the tissue, all contacts floating: plain conjugate gradients, one by one."""
    operator = m.operator()
    mask = m.mask(operator)
    precondition = Levels(operator, mask)
    first = len(load) - mask.shape[1]

    def merge(r: Floats) -> Floats:
        for band in mask:
            node, z = np.nonzero(band)
            total = r[first + node, :, z].sum(axis=0)
            r[first + node, :, z] = 0.0
            r[first + node[0], :, z[0]] = total
        return r

    x, r = operator.zeros(4), merge(load.copy())
    p = s = precondition(r)
    rho = start = np.einsum("rkz,rkz->k", r, s)
    for _ in range(200):
        q = operator.apply(p)
        step = rho / np.einsum("rkz,rkz->k", p, q)
        x += step[:, None] * p
        r = merge(r - step[:, None] * q)
        s = precondition(r)
        new = np.einsum("rkz,rkz->k", r, s)
        if (new < tolerance**2 * start).all():
            return x
        p = s + (new / rho)[:, None] * p
        rho = new
    raise AssertionError("no convergence")


def test_membrane_current_anywhere_is_seen_by_contacts_as_the_lead_field() -> None:
    """A current at a point of the cord lifts floating contacts by what 1 A out of them would lift that point: the sampled field."""
    m = model(*EVERYTHING, halves=True)
    x = solved(*EVERYTHING, halves=True)
    operator, layout = m.operator(), m.operator().layout
    assert m.way is not None
    sample = SpineSampler(m.spine.section, m.way, *spline_along(m.z, x.at_nodes(), np.float64))
    cord = np.setdiff1d(np.unique(m.spine.section.triangles[m.spine.section.labels == models.CORD]), m.spine.section.boundary)
    chosen = list(zip(cord[[3, 9, 14, 20]], (5, 8, 11, 14), strict=True))
    load = operator.zeros(4)
    for column, (node, at) in enumerate(chosen):
        load[layout.row[node], column, at] = 1.0
    found = solve_load(m, load)
    first = len(load) - len(layout.node[-layout.plan.last :])
    mask = m.mask(operator)
    points = np.array([[*m.way.at(m.z[[at]])[0][0, node], m.z[at]] for node, at in chosen])
    want = sample(points)
    for c, band in enumerate(mask):
        node, z = np.argwhere(band)[0]
        np.testing.assert_allclose(found[first + node, :, z], want[c], rtol=1e-8)
    moved = sample(points + np.array([0.2 * MM, 0, 0]))
    assert np.abs(moved / want - 1).max() > 1e-3  # the bound sees 0.2 mm


# ---------------------------------------------------------------- what is refused


def test_bad_contacts_are_refused() -> None:
    m = model("tip")
    ring = m.touches[0].nodes
    for touches, says in [
        ([Touch(ring, -4 * MM, -2.3 * MM)], "edges of a contact"),
        ([Touch(ring, -2 * MM, -4 * MM)], "edges of a contact"),
        ([Touch(ring, -4 * MM, -3 * MM)], "edges of a contact"),  # a middle node
        ([Touch(ring, -4 * MM, -2 * MM), Touch(ring, -2 * MM, 0.0)], "share a node"),
        ([Touch(np.array([0, 1]), -4 * MM, -2 * MM)], "not on a ring"),
    ]:
        with pytest.raises(ValueError, match=says):
            solve_touches(m.spine, m.z, touches)


def test_slow_iterations_are_refused() -> None:
    m = model(*EVERYTHING)
    with pytest.raises(ValueError, match=r"conjugate gradients reached .* of 1.0e-08 in 3 steps"):
        solve_touches(m.spine, m.z, m.touches, limit=3)


def test_region_that_conducts_nowhere_is_refused() -> None:
    m = model("tip")
    change = {name: np.where(np.arange(6) == models.LEAD, 0.0, getattr(m.spine, name)) for name in ("transverse", "longitudinal")}
    with pytest.raises(ValueError, match="conduct nowhere; make them holes"):
        solve_touches(replace(m.spine, **change), m.z, m.touches)
