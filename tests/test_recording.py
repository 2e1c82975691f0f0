"""Recorded potentials: a sum over currents, weighted by the lead field."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from epidura.errors import BadInput
from epidura.product import LeadField
from epidura.recording import recorded

SIGMA = 0.3
CONTACTS = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 7e-3]])


def point_sources(points):
    return np.stack([1 / (4 * np.pi * SIGMA * np.linalg.norm(points - c, axis=1)) for c in CONTACTS])


FIELD = LeadField((1, 2), np.eye(2), point_sources, SimpleNamespace())  # type: ignore[arg-type]


@pytest.fixture
def sources() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.uniform(2e-3, 9e-3, (6, 3)), rng.normal(size=(6, 4)) * 1e-9


def test_it_is_the_sum_by_hand(sources):
    points, currents = sources
    found = recorded(FIELD, points, currents)
    assert found.shape == (2, 4)
    for c in range(2):
        for t in range(4):
            # the potential of point currents in an infinite medium at the contact, without reciprocity
            wanted = sum(currents[p, t] / (4 * np.pi * SIGMA * np.linalg.norm(CONTACTS[c] - points[p])) for p in range(6))
            assert found[c, t] == pytest.approx(wanted, rel=1e-12)


def test_it_is_linear_and_does_not_mix_times(sources):
    points, currents = sources
    other = currents[:, ::-1] ** 2 * 1e9
    both = recorded(FIELD, points, 2 * currents - 3 * other)
    assert both == pytest.approx(2 * recorded(FIELD, points, currents) - 3 * recorded(FIELD, points, other), rel=1e-12)
    assert recorded(FIELD, points, currents[:, [2]])[:, 0] == pytest.approx(recorded(FIELD, points, currents)[:, 2], rel=1e-14)
    assert recorded(FIELD, points, currents[:, :0]).shape == (2, 0)


def test_currents_that_balance_fall_off_faster_than_those_that_do_not():
    """A dipole and a single current, recorded from twice as far: an eighth to a quarter, and a half."""
    def at(r: float, currents: list[float]) -> float:
        points = np.array([[r, 0.0, 0.0], [r + 1e-4, 0.0, 0.0]])
        return float(recorded(FIELD, points, np.array(currents)[:, None] * 1e-9)[0, 0])

    assert at(20e-3, [1, 0]) / at(10e-3, [1, 0]) == pytest.approx(0.5)
    assert at(20e-3, [1, -1]) / at(10e-3, [1, -1]) == pytest.approx(0.25, rel=0.01)


@pytest.mark.parametrize(("points", "currents", "words"), [
    (np.ones((4, 2)), np.ones((4, 1)), r"points: are no points in space; got '\(4, 2\)'"),
    (np.ones(3), np.ones((3, 1)), "points"), (np.ones((4, 3)), np.ones((3, 5)), r"currents.*allowed: \(4, t\) in A"),
    (np.ones((4, 3)), np.ones(4), "currents"), (np.ones((4, 3)), np.full((4, 2), np.nan), "currents: are not finite"),
])
def test_arrays_that_do_not_fit_are_refused(points, currents, words):
    with pytest.raises(BadInput, match=words):
        recorded(FIELD, points, currents)
