"""A stretch of a long fibre: its ends are no ends of the fibre, and a search may stop before the recharge is over."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from epidura.axon import Axon
from epidura.axon.mrg_interpolated import MrgInterpolated
from epidura.axon.sundt import Sundt
from epidura.numerics import course as courses
from epidura.numerics.cable import Engine
from epidura.single_fibre import point_source
from epidura.waveform import Course

Floats = NDArray[np.float64]

UM = 1e-6
DT = 5e-6
TONIC = Course.of((300e-6, -1.0), (3e-3, 0.1))  # cathodic, then a tenth for ten times as long
SHORT = Course.of((60e-6, -1.0), (600e-6, 0.1))


def stretch(model: Axon, diameter: float, nodes: int, sources: list[tuple[float, float]], distance: float = 3e-3) -> Floats:
    """(compartments,) V/A beside point sources at (places from the middle node in m, share of the current)."""
    along = model.compartments(np.array([diameter]), nodes)[0]
    along = along - along[len(along) // 2]
    return np.asarray(sum(share * point_source(distance, along - at, 0.2, 0.2) for at, share in sources))


def engine(model: Axon, diameter: float, nodes: int, potentials: Floats, course: Course = TONIC, onwards: bool = True) -> Engine:
    return model.engine(np.array([diameter]), nodes, potentials[None], course.step_means(DT), DT, onwards=onwards)


def threshold(own: Engine) -> float:
    return float(own.thresholds(0.001, 0.5, 1)[0, 0])


@pytest.mark.parametrize(("model", "diameter", "nodes"), [(MrgInterpolated(), 10 * UM, 31), (MrgInterpolated(), 4 * UM, 21), (Sundt(), 1 * UM, 200)])
def test_a_straight_potential_drives_no_node_of_a_fibre_that_goes_on(model: Axon, diameter: float, nodes: int) -> None:
    along = model.compartments(np.array([diameter]), nodes)[0]
    amplitude, rows = np.array([1e-3]), list(range(1, nodes - 1))
    straight = 4e3 * along  # 4 V/m and mA
    on, cut = (engine(model, diameter, nodes, straight, onwards=onwards).traces(amplitude, 1e-3, rows)[0, :, :, 0] for onwards in (True, False))
    at_rest = engine(model, diameter, nodes, 0 * straight).traces(amplitude, 1e-3, rows)[0, :, :, 0]
    assert np.abs(on - at_rest).max() < 2e-3  # mV
    assert np.abs(cut - at_rest).max() > 0.1


@pytest.mark.parametrize("share", [1.0, -1.0])
def test_the_threshold_of_a_stretch_is_that_of_the_long_fibre(share: float) -> None:
    """Of an anode above all: it excites where its potential bends upwards, some millimetres aside, and a cut end earlier than that."""
    model, diameter = MrgInterpolated(), 10 * UM
    long, short = (engine(model, diameter, nodes, stretch(model, diameter, nodes, [(0.0, share)])) for nodes in (141, 25))
    cut = engine(model, diameter, 25, stretch(model, diameter, 25, [(0.0, share)]), onwards=False)
    assert threshold(short) == pytest.approx(threshold(long), rel=0.003 if share > 0 else 0.015)
    if share < 0:  # which the pulse makes an anode
        assert threshold(cut) < 0.9 * threshold(long)


def test_what_comes_in_at_one_end_leaves_at_the_other() -> None:
    model, nodes = MrgInterpolated(), 21
    along = model.compartments(np.array([10 * UM]), nodes)[0]
    for onwards in (True, False):
        own = engine(model, 10 * UM, nodes, 4e3 * along, onwards=onwards)
        out = own.currents(np.array([1e-3]), 5e-4, None, 1)[0]
        assert np.abs(out.sum(axis=1)).max() < 1e-9 * np.abs(out).max()


# the end of a search


@given(st.lists(st.tuples(st.integers(1, 40), st.floats(-1, 1).map(lambda x: round(x, 2))), min_size=1, max_size=6))
def test_calm_is_what_never_grows_turns_or_is_loud(phases: list[tuple[int, float]]) -> None:
    course = np.repeat([value for _, value in phases], [length for length, _ in phases])
    first, largest = courses.calm_from(course[None], np.empty((0, 0))), np.abs(course).max()
    after = course[first:]
    assert (np.abs(after) <= courses.CALM * largest + 1e-12).all()
    assert (np.diff(np.abs(after)) <= 1e-9 * largest).all()
    assert not ((after > 0).any() and (after < 0).any() and (after[1:] * after[:-1] < 0).any())
    if first:  # and no earlier
        before = np.abs(course[first - 1])
        loud = before > courses.CALM * largest
        grown = first >= 2 and (before > np.abs(course[first - 2]) + 1e-9 * largest or course[first - 1] * course[first - 2] < 0)
        assert loud or grown


def test_what_is_injected_is_not_calm() -> None:
    fixed = np.concatenate([np.zeros(50), np.full(10, 1e-6)])
    assert courses.calm_from(np.ones((1, 5)), fixed[None]) == 60


def test_a_plan_may_stop_within_its_recharge() -> None:
    samples = TONIC.step_means(DT)[None]
    calm = courses.calm_from(samples, np.empty((0, 0))) + 50
    assert calm == 61 + 50
    plan = courses.plan(samples, np.empty((0, 0)), DT * 1e3, 1500, 710, True, calm)
    driven = plan.blocks.part >= 0
    assert (plan.blocks.stop[driven] == np.where(plan.blocks.first_row[driven] >= calm, 3, 1)).all()
    late = driven & (plan.blocks.first_row >= calm)
    assert late.sum() > 10
    assert plan.blocks.first_row[late][0] == calm
    assert ((plan.blocks.steps // plan.blocks.every)[late] <= courses.CALM_LONGEST).all()


SOURCES = st.lists(st.tuples(st.floats(-12e-3, 12e-3), st.sampled_from([-1.0, -0.7, -0.3, 0.3, 0.7, 1.0])), min_size=1, max_size=3)


@settings(max_examples=25, deadline=None)
@given(SOURCES, st.floats(4, 14), st.sampled_from([TONIC, SHORT]))
def test_no_threshold_depends_on_when_a_search_stops(sources: list[tuple[float, float]], diameter: float, course: Course) -> None:
    """Though a recharge excites by itself under a strong anode, later than the pulse: then it is not calm."""
    model = MrgInterpolated()
    own = engine(model, diameter * UM, 33, stretch(model, diameter * UM, 33, sources), course)
    stops = own.thresholds(0.0095, 60e-3, 1)
    own = engine(model, diameter * UM, 33, stretch(model, diameter * UM, 33, sources), course)
    own.calm_from = None
    goes_on = own.thresholds(0.0095, 60e-3, 1)
    # stretches of a recharge are joined elsewhere: by rounding a fibre may fall to the neighbour on the grid
    assert np.allclose(np.log(stops[0]), np.log(goes_on[0]), atol=0.0097, rtol=0, equal_nan=True)


def two_patterns(share: float, together: bool) -> Engine:
    """Two cathodes that discharge each at its own speed: most of it straight down, the difference growing and turning round."""
    model, nodes = MrgInterpolated(), 33
    both = np.stack([stretch(model, 9 * UM, nodes, [(at, -1.0)]) for at in (-8e-3, 8e-3)])
    main = TONIC.step_means(DT)
    late = np.arange(60, main.size) * DT * 1e3
    beside = np.concatenate([np.zeros(60), share * np.sin(2.0 * late) * np.exp(-late)])
    return Engine(model.cable(np.array([9 * UM])), nodes, np.stack([both.sum(axis=0), both[0] - both[1]])[None], np.stack([main, beside]), DT,
                  onwards=True, together=together)


def test_what_is_left_counts_all_patterns_by_what_they_do_to_the_fibre() -> None:
    own = engine(MrgInterpolated(), 9 * UM, 33, stretch(MrgInterpolated(), 9 * UM, 33, [(0.0, -1.0)]))
    assert own._left() == pytest.approx([0.1])
    faint = two_patterns(0.015, True)
    assert faint.calm_from == 61 + 50
    assert two_patterns(0.015, False).calm_from > 500
    assert 0.1 < float(faint._left()[0]) < 0.13
    assert two_patterns(0.15, True).calm_from > 61 + 50 + 40  # too large to grow unseen
    twice = two_patterns(0.015, True)
    twice.potentials = twice.potentials * np.array([1.0, 5.0])[:, None]
    assert float(twice._left()[0]) > float(faint._left()[0]) + 0.02


@pytest.mark.parametrize("share", [0.005, 0.019, 0.08])
def test_several_patterns_may_stop_and_threshold_stays(share: float) -> None:
    found = threshold(two_patterns(share, True))
    goes_on = two_patterns(share, True)
    goes_on.calm_from = None
    apart = threshold(two_patterns(share, False))
    for other in (threshold(goes_on), apart):
        assert np.log(found) == pytest.approx(np.log(other), abs=0.0097)


def far_anode() -> Engine:
    model = MrgInterpolated()
    return engine(model, 6 * UM, 61, stretch(model, 6 * UM, 61, [(0.0, -1.0)], 8e-3), SHORT)


def test_a_fibre_that_the_recharge_excites_is_found() -> None:
    """The pulse hyperpolarises it, and a tenth of the current for ten times as long fires it, when it has been silent for a while."""
    found = threshold(far_anode())
    goes_on = far_anode()
    goes_on.calm_from = None
    assert found == threshold(goes_on)
    assert far_anode().fires(np.array([[0.98 * found, 1.02 * found]]), 1)[0].tolist() == [False, True]


def test_a_bound_that_lets_recharges_pass_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = threshold(far_anode())
    monkeypatch.setattr(Engine, "_left", lambda self: np.zeros(1))  # as if nothing were left
    assert threshold(far_anode()) > 1.2 * right
