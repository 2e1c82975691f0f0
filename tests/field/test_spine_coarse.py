"""The coarse space of functions that are smooth in the plane: its matrix, its projection, and what it is for."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import spine_models as models
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse import csr_array
from scipy.sparse.linalg import ArpackNoConvergence

from epidura.numerics import coarse, schwarz
from epidura.numerics.coarse import Coarse, functions
from epidura.numerics.schwarz import solve_touches
from epidura.numerics.spine import Operator, plane_matrices

Floats = NDArray[np.float64]
KINDS = [(), ("discs",), ("moving",), ("bent",), ("discs", "moving", "bent")]


def space(operator: Operator, m: int = 5) -> Coarse:
    return Coarse(operator, np.random.default_rng(2).normal(size=(operator.layout.size, m)))


def spread(operator: Operator, plane: Floats) -> Floats:
    """(rows x z, m x z) the basis on the columns of the assembled matrix, ordered by z, then function."""
    n = len(operator.z) - 2
    return np.einsum("rm,zw->rzwm", plane, np.eye(n)).reshape(len(plane) * n, -1)


@pytest.mark.parametrize("kinds", KINDS)
def test_projection_leaves_nothing_of_the_space(kinds: tuple[str, ...]) -> None:
    operator = models.duct(*kinds).operator()
    made = space(operator)
    basis, matrix, n = spread(operator, made.functions), operator.matrix(), len(operator.z) - 2
    x = operator.zeros(4)
    x[:, :, 1 : n + 1] = np.random.default_rng(3).normal(size=(len(x), 4, n))

    def flat(v: Floats) -> Floats:
        return np.ascontiguousarray(v[:, :, 1 : n + 1].transpose(0, 2, 1)).reshape(-1, 4)

    before = flat(x).copy()
    made.project(x, operator.apply(x))
    want = before - basis @ np.linalg.solve(basis.T @ (matrix @ basis), basis.T @ (matrix @ before))
    np.testing.assert_allclose(flat(x), want, atol=1e-9 * np.abs(want).max())
    again = x.copy()
    made.project(again, operator.apply(again))
    np.testing.assert_allclose(again, x, atol=1e-9 * np.abs(want).max())
    assert np.abs(x[:, :, [0, *range(n + 1, operator.padded)]]).max() == 0.0


def test_functions_are_the_smooth_ones_where_the_matrix_departs() -> None:
    operator = models.duct("discs").operator()
    layout, section = operator.layout, operator.spine.section
    k, _, _ = plane_matrices(layout, section, section.points, operator.spine.transverse[0], operator.spine.longitudinal[0])
    rng = np.random.default_rng(1)
    departure = np.where(rng.random(layout.size) < 0.5, rng.random(layout.size), 0.0)
    held = rng.random(layout.size) < 0.1
    got = functions(operator, k, departure, held, most=6)
    assert got.shape == (layout.size, 6)
    assert np.abs(got[held]).max() == 0.0
    free = np.flatnonzero(~held)
    matrix = csr_array((k, layout.indices, layout.indptr), shape=(layout.size,) * 2).toarray()[np.ix_(free, free)]
    exact, vectors = eigh(np.diag(departure[free]), matrix)
    best = vectors[:, -6:]
    # the angle between both spaces, in the energy of the plane
    overlap = np.linalg.svd(best.T @ matrix @ got[free] / np.sqrt(np.einsum("im,ij,jm->m", got[free], matrix, got[free])), compute_uv=False)
    gap = exact[-6] / exact[-7]
    assert gap > 1.01
    assert overlap.min() > 0.99
    np.testing.assert_allclose(got, functions(operator, k, departure, held, most=6), atol=1e-12)


def test_no_departure_no_space() -> None:
    operator = models.duct().operator()
    section = operator.spine.section
    k, _, _ = plane_matrices(operator.layout, section, section.points, operator.spine.transverse[0], operator.spine.longitudinal[0])
    none = np.zeros(operator.layout.size)
    assert functions(operator, k, none, none > 0).shape == (operator.layout.size, 0)


@pytest.mark.slow
def test_it_saves_iterations_and_changes_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    m = models.lead_model("discs", "tip", "oblique", tip=14.0, bone=2.0)
    with_it = solve_touches(m.spine, m.z, m.touches, 1e-8)
    monkeypatch.setattr(schwarz, "functions", partial(coarse.functions, most=0))
    without = solve_touches(m.spine, m.z, m.touches, 1e-8)
    assert with_it.iterations < 0.7 * without.iterations  # 17 against 28
    np.testing.assert_allclose(with_it.impedance, without.impedance, rtol=1e-9)
    assert np.abs(with_it.values - without.values).max() < 1e-6 * np.abs(without.values).max()


@pytest.mark.parametrize("found", [0, 2])
def test_functions_that_were_not_found_only_cost_iterations(monkeypatch: pytest.MonkeyPatch, found: int) -> None:
    exact = coarse.eigsh

    def stalls(*args: object, **more: object) -> None:
        values, vectors = exact(*args, **more)
        raise ArpackNoConvergence("stalled", values[:found], vectors[:, :found])

    m = models.lead_model("discs", "tip", tip=14.0, bone=2.0)
    monkeypatch.setattr(coarse, "eigsh", stalls)
    few = solve_touches(m.spine, m.z, m.touches, 1e-6)
    monkeypatch.setattr(coarse, "eigsh", exact)
    all_of_them = solve_touches(m.spine, m.z, m.touches, 1e-6)
    assert few.iterations > all_of_them.iterations
    np.testing.assert_allclose(few.impedance, all_of_them.impedance, rtol=1e-9)
