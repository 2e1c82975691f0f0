"""Multigrid in place of an iteration that stalls: the same answer, the note, the words, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spine_models as models

from epidura import field as module
from epidura.bench.field import ellipses
from epidura.errors import Failed
from epidura.field import solve_field, solver_warnings
from epidura.numerics import iteration, multigrid
from epidura.numerics.iteration import NotConverged, solve_touches
from epidura.numerics.multigrid import linear_matrix, solve_multigrid
from epidura.product import Canal

MM = models.MM
TIGHT = 1e-10


@pytest.fixture(scope="module")
def canal() -> Canal:
    """Bone and discs in turn, a tip, a lead that runs 10 degrees obliquely; two contacts on a coarse mesh."""
    return ellipses(7.0, contacts=2)


STALLED: list[NotConverged] = []
"""How the first method stalled in ``canal``; it need not be set up again for every test."""


def stall(monkeypatch: pytest.MonkeyPatch, steps: int = 2) -> None:
    """The first method gets too few steps, in ``canal``."""
    def few(spine: Any, z: Any, touches: Any, tolerance: float, **_: object) -> None:
        if not STALLED:
            with pytest.raises(NotConverged) as caught:
                solve_touches(spine, z, touches, tolerance, steps)
            STALLED.append(caught.value)
        raise STALLED[0]

    monkeypatch.setattr(module, "solve_touches", few)


@cache
def duct(*kinds: str) -> models.Model:
    return models.duct(*kinds, halves=True)


@pytest.mark.parametrize("kinds", [(), ("discs",), ("tip",), ("discs", "tip", "moving", "bent")])
def test_it_is_the_answer_of_the_first_method(kinds: tuple[str, ...]) -> None:
    m = duct(*kinds)
    want, got = (solve(m.spine, m.z, m.touches, TIGHT) for solve in (solve_touches, solve_multigrid))
    np.testing.assert_allclose(got.impedance, want.impedance, rtol=1e-9)
    there = linear_matrix(got.operator, m.mask(got.operator))[1] >= 0  # in the lead V is anything
    apart = np.abs(got.values - want.values).transpose(0, 2, 1)[:, 1:-1][there]
    assert apart.max() < 1e-8 * np.abs(want.values).max()
    for one, other in zip(got.currents, want.currents, strict=True):
        assert np.abs(one - other).max() < 1e-7 * np.abs(other).max()
    np.testing.assert_allclose([part.sum(axis=(0, 1)) for part in got.currents], np.eye(len(m.touches)), atol=1e-8)
    assert got.residual < TIGHT
    assert got.iterations <= 30
    wrong = solve_multigrid(replace(m.spine, transverse=1.001 * m.spine.transverse), m.z, m.touches, 1e-6)
    assert np.abs(wrong.impedance / want.impedance - 1).max() > 1e-5  # the bounds see a thousandth of a conductivity


def test_reciprocity_holds_at_any_tolerance() -> None:
    m = duct("discs", "tip", "moving", "bent")
    got = solve_multigrid(m.spine, m.z, m.touches, 1e-3)
    want = solve_touches(m.spine, m.z, m.touches, TIGHT)
    np.testing.assert_allclose(got.impedance, got.impedance.T, rtol=1e-12)
    assert np.abs(got.impedance / want.impedance - 1).max() < 1e-4  # the square of the tolerance, times the condition


def test_linear_matrix_knows_the_tissue() -> None:
    """Symmetric, positive, close to the quadratic one in energy: that of a smooth field within a few per cent; a contact is one unknown."""
    m = models.lead_model("discs", "tip")
    operator = m.operator()
    mask = m.mask(operator)
    matrix, number = linear_matrix(operator, mask)
    assert abs(matrix - matrix.T).max() <= 1e-12 * abs(matrix).max()
    assert matrix.diagonal().min() > 0
    x, y = operator.spine.section.points[operator.layout.node].T / MM
    smooth = np.cos(x / 9 + 0.3) * np.cos(y / 11) * np.ones((operator.layout.size, len(m.z))).T
    smooth = (smooth * np.exp(-((m.z[:, None] / MM / 20) ** 2))).T
    u = np.zeros(matrix.shape[0])
    u[number[number >= 0]] = smooth[:, 1:-1][number >= 0]
    full = operator.zeros(1)
    full[:, 0, 1 : len(m.z) - 1] = np.where(number >= 0, u[np.maximum(number, 0)], 0.0)
    linear, quadratic = u @ (matrix @ u), float(np.sum(full * operator.apply(full)))
    assert linear / quadratic == pytest.approx(1.0, abs=0.25)
    for c, band in enumerate(mask):
        assert (number[-mask.shape[1] :][band[:, 1 : len(m.z) - 1]] == c).all()


@pytest.mark.slow
def test_a_field_that_stalls_is_solved_by_multigrid(canal: Canal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(module.TOLERANCE, canal.accuracy, 1e-6)
    want = solve_field(canal)
    assert want.notes["fallback"] == 0.0
    assert solver_warnings(want) == ()
    stall(monkeypatch)
    got = solve_field(canal, tmp_path)
    assert got.notes["fallback"] == 1.0
    np.testing.assert_allclose(got.impedance, want.impedance, rtol=1e-6)
    h = np.linspace(-20, 20, 81) * MM
    path = np.column_stack([0 * h, 0 * h - 2.3 * MM, h])
    v, second = (np.abs(d(got) - d(want)).max() / np.abs(d(want)).max() for d in (
        lambda f: f.sample(path), lambda f: np.diff(f.sample(path)[:, ::2], 2, axis=1)))  # fmt: skip
    assert v < 1e-5
    assert second < 1e-4
    (words,) = solver_warnings(got)
    assert f"stalled at a residual of {got.notes['stalled_at']:.1e} after 2 steps" in words
    assert f"multigrid reached 1e-06 in {got.notes['iterations']:.0f} iterations" in words
    assert got.notes["stalled_at"] > 1e-6
    again = solve_field(canal, tmp_path)  # a kept field still says so
    assert again.notes["cached"] == 1.0
    assert solver_warnings(again) == (words,)


@pytest.mark.slow
def test_it_fails_only_when_both_fail(canal: Canal, monkeypatch: pytest.MonkeyPatch) -> None:
    stall(monkeypatch)
    monkeypatch.setattr(multigrid, "LIMIT", 3)
    with pytest.raises(Failed, match=r"field: conjugate gradients reached .* in 2 steps; multigrid instead: multigrid reached .* in 3 steps"):
        solve_field(canal)


def test_what_does_not_fit_in_memory_is_refused(canal: Canal, monkeypatch: pytest.MonkeyPatch) -> None:
    stall(monkeypatch)
    monkeypatch.setattr(multigrid, "available", lambda: 1e7)
    with pytest.raises(Failed, match=r"in 2 steps; multigrid instead: multigrid needs about .* GB of memory, 0.0 GB are free; a coarser accuracy"):
        solve_field(canal)


def test_memory_is_known_here() -> None:
    assert 1e8 < multigrid.available() < 1e15


def test_other_complaints_are_not_taken_for_a_stall(canal: Canal, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ValueError("two contacts share a node")

    monkeypatch.setattr(module, "solve_touches", refuse)
    monkeypatch.setattr(module, "solve_multigrid", lambda *_, **__: pytest.fail("multigrid was asked"))
    with pytest.raises(Failed, match="field: two contacts share a node"):
        solve_field(canal)


def test_the_steps_are_told() -> None:
    m = duct("discs")
    with pytest.raises(NotConverged) as caught:
        solve_touches(m.spine, m.z, m.touches, limit=2)
    assert caught.value.steps == 2
    assert caught.value.residual > 1e-8
    assert iteration.NotConverged is multigrid.NotConverged
