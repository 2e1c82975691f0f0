"""The search of thresholds: steps that grow away from edges, responses without fast modes, and guesses that only save runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from epidura.axon.mrg_interpolated import MrgInterpolated
from epidura.numerics import blas, cable, guessing
from epidura.numerics import cable_kernel as kernel
from epidura.numerics import course as courses
from epidura.numerics.cable import Engine
from epidura.single_fibre import point_source
from epidura.waveform import Course

Floats = NDArray[np.float64]

UM, DT, NODES = 1e-6, 5e-6, 31
TONIC = Course.of((300e-6, 1.0), (3e-3, -0.1))
BURST = Course.of(*[(1e-3, 1.0), (1e-3, 0.0)] * 4, (1e-3, 1.0), (4e-3, -0.6))
KILOHERTZ = Course.of(*[(30e-6, 1.0), (30e-6, -1.0), (40e-6, 0.0)] * 60)
SPACED = Course.of(*[(90e-6, 1.0), (90e-6, -1.0), (820e-6, 0.0)] * 4)
COURSES = {"tonic": TONIC, "burst": BURST, "kilohertz": KILOHERTZ, "spaced": SPACED}


def fibres(count: int, course: Course, precision: str = "float32", seed: int = 3) -> Engine:
    """Fibres of many diameters between a cathode and an anode at many distances, so that some fire below the one and some below the other."""
    random, model = np.random.default_rng(seed), MrgInterpolated()
    diameter = random.uniform(6.0, 14.0, count) * UM
    at = model.compartments(diameter, NODES)
    middle = at[:, [at.shape[1] // 2]] + random.uniform(-1e-3, 1e-3, (count, 1))
    near, far = random.uniform(1.5e-3, 4e-3, count), random.uniform(1.5e-3, 4e-3, count)
    volts = np.stack([point_source(b, z - c - 4e-3, 0.2, 0.2) - point_source(a, z - c + 4e-3, 0.2, 0.2)
                      for a, b, z, c in zip(near, far, at, middle, strict=True)])
    return model.engine(diameter, NODES, volts, course.step_means(DT)[None], DT, "second-order", precision, onwards=True)


@pytest.mark.parametrize("name", COURSES)
def test_steps_that_grow_move_thresholds_by_less_than_a_thousandth(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    grown = fibres(32, COURSES[name]).thresholds(2e-4, 1.0, 2)[0]
    monkeypatch.setattr(courses, "COARSER", ())
    courses._kept.cache_clear()
    # an edge of firing lies there with whole steps; a fibre may have several, a part of a per cent apart, in a burst
    fires = fibres(32, COURSES[name]).fires(grown[:, None] * [0.999, 1.001], 2)
    courses._kept.cache_clear()
    assert np.isfinite(grown).all()
    assert not fires[:, 0].any()
    assert fires[:, 1].all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 160), st.sampled_from([1.0, 0.0, -0.5])), min_size=1, max_size=6), st.integers(0, 400), st.booleans())
def test_a_plan_whose_steps_grow_takes_every_step_once(phases: list[tuple[int, float]], wait: int, recharge: bool) -> None:
    push = np.concatenate([np.full(steps, height) for steps, height in phases])[None]
    steps, calm = push.shape[1] + 600, push.shape[1] - 3 if recharge else None
    if not push.any():
        return
    of = courses.plan(push, np.empty((0, 0)), DT * 1e3, steps, push.shape[1] + wait, True, calm, True)
    blocks, lengths = of.blocks, np.array(of.levels)
    whole = blocks.steps / lengths[blocks.level]
    begin = np.concatenate([[0.0], np.cumsum(whole)])
    assert begin[-1] == steps
    assert blocks.time == pytest.approx(begin[:-1] * DT * 1e3)
    jumps = np.flatnonzero(courses.edges(np.concatenate([push, np.zeros((1, 600))], axis=1)))
    for a, b, level, part in zip(begin, begin[1:], blocks.level, blocks.part, strict=False):
        if lengths[level] < 1:
            # long ones: no edge inside, none shortly before, and whole numbers of them
            assert not ((jumps > a) & (jumps < b)).any()
            assert not ((jumps <= a) & (jumps > a - courses.COARSER[0][1] / (DT * 1e3))).any()
        if part >= 0:
            own = kernel._part_of.py_func(of.parts, part)
            there = np.concatenate([push[0], np.zeros(600)])[int(a) : int(b)]
            assert own.push[:, 0].mean() == pytest.approx(there.mean(), abs=1e-12)
            assert len(own.push) == blocks.steps[list(begin).index(a)]


def test_only_a_search_steps_further_than_it_writes_down() -> None:
    own = fibres(1, TONIC)
    assert min(own.plan.levels) < 1
    assert min(own._plan(100, 100).levels) == 1
    assert courses.plan(own.samples, np.empty((0, 0)), 0.01, 900, 700, True, None, True).levels[-1] >= 1
    first_order = MrgInterpolated().engine(np.array([8e-6]), NODES, np.zeros((1, 11 * (NODES - 1) + 1)), TONIC.at_step_starts(DT)[None], DT,
                                           "backward-euler")
    assert first_order.plan.levels == (1,)


def test_modes_that_forget_within_a_step_need_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    brief = fibres(16, BURST, "float64")
    batch = cable._Batch(brief, np.arange(16), brief.plan)
    assert batch.net.passive_kept.min() < cable.HALF
    found = brief.thresholds(1e-5, 1.0, 1)[0]
    monkeypatch.setitem(cable.FORGOTTEN, "float64", np.inf)
    whole = fibres(16, BURST, "float64")
    assert cable._Batch(whole, np.arange(16), whole.plan).net.passive_kept.min() == cable.HALF
    assert np.abs(np.log(found / whole.thresholds(1e-5, 1.0, 1)[0])).max() <= 1.01e-5


@pytest.mark.parametrize(("phases", "channels"), [(((1e-3, 1.0), (4e-3, -0.6)), 0.3), (((90e-6, 1.0), (90e-6, -1.0)), 0.1),
                                                    (((90e-6, -1.0), (90e-6, 0.8)), 0.1)])
def test_peaks_are_those_of_a_faint_stimulus_each_way(phases: tuple[tuple[float, float], ...], channels: float) -> None:
    own = fibres(16, Course.of(*phases), "float64")
    batch = cable._Batch(own, np.arange(16), own._plan(own.steps, own.steps))
    peaks = np.concatenate([kernel.peaks(batch.net, lanes, batch.plan.parts, batch.plan.blocks)[: members.size] for members, lanes in batch.lots()])
    faint, steps, first = 1e-7, own.samples.shape[1] + 12, round(phases[0][0] / DT)  # the drive goes on a little after the last edge
    linear = np.subtract(*(own.traces(np.full(16, amplitude), steps * DT, range(NODES))[..., 0] for amplitude in (faint, 0.0))) / faint
    for k, column in ((0, 0), (1, 4)):
        way = (np.arange(steps) >= first) == (k == 1)
        rises = np.diff(linear, axis=1, prepend=0.0) > 0.0
        # a faint stimulus moves the channels, too, which the linear response holds: the longer it is the more
        assert peaks[:, column] == pytest.approx(np.where(rises, linear, 0.0)[:, way].max(axis=(1, 2)), rel=channels)
        there = peaks[:, column + 1] < peaks[:, column]
        assert there.all()


class _Wrong:
    """Knows nothing right."""

    def __init__(self, spread: float, level: float):
        none = np.zeros((2, kernel.MARGIN))
        weights = np.zeros((2, kernel.MARGIN_TERMS))
        weights[:, 0] = level
        self.told = weights, none, none + 1.0, none - 1.0, none + 1.0, np.full(2, spread), np.full(2, 0.1)

    def known(self, unit: float) -> tuple[Floats, ...]:
        return self.told


@pytest.mark.parametrize("level", [-40.0, -1.0, 0.0, 0.7, 30.0])
@pytest.mark.parametrize("spread", [0.0, 0.3, 5.0])
@pytest.mark.parametrize("off", [-0.3, 0.0, 0.1])
def test_margins_and_guesses_only_save_runs(spread: float, level: float, off: float, monkeypatch: pytest.MonkeyPatch) -> None:
    own = fibres(16, TONIC)
    plain = own.thresholds(5e-3, 1.0, 1)
    wrong = _Wrong(spread, level)
    monkeypatch.setattr(guessing.Margin, "known", lambda self, unit: wrong.known(unit))
    monkeypatch.setattr(guessing.Learner, "guess", lambda self, features: (np.log(plain[0][: len(features)]) + off, 0.02))
    assert np.array_equal(own.thresholds(5e-3, 1.0, 1), plain)


def _runs(monkeypatch: pytest.MonkeyPatch, own: Engine, learner: guessing.Learner) -> int:
    """Runs of a search with the learner."""
    made: list[int] = []
    search = kernel.search

    def counted(*args: Any) -> Any:
        found = search(*args)
        made.append(found[2])
        return found

    monkeypatch.setattr(kernel, "search", counted)
    own.thresholds(5e-3, 1.0, 1, learner)
    monkeypatch.setattr(kernel, "search", search)
    return sum(made)


def test_what_runs_show_saves_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = fibres(16, KILOHERTZ).learner()
    fibres(96, KILOHERTZ, seed=4).thresholds(5e-3, 1.0, 1, learner)
    # thresholds are guessed badly, as those of fibres that bend are
    guess = guessing.Learner.guess
    rng = np.random.default_rng(5)
    monkeypatch.setattr(guessing.Learner, "guess", lambda self, features: (guess(self, features)[0] + rng.uniform(-0.2, 0.2, len(features)), 0.12))
    told = _runs(monkeypatch, fibres(96, KILOHERTZ), learner)
    learner.margin = guessing.Margin()
    monkeypatch.setattr(guessing.Margin, "learn", lambda *args: None)
    untold = _runs(monkeypatch, fibres(96, KILOHERTZ), learner)
    print(f"{told} runs against {untold}")
    assert told < 0.9 * untold


def test_a_margin_is_learnt() -> None:
    margin, rng, unit = guessing.Margin(), np.random.default_rng(6), np.log1p(0.01)
    shape = rng.uniform(0.0, 1.0, (64, 5))
    below = rng.integers(100, 200, 64)
    away = rng.integers(-20, 21, (6, 64))
    k = below + 0.5 - (away + 0.5)
    fired = (k > below).astype(float)
    first = np.log(20.0 * np.exp(-unit * (below + 0.5 - k)))  # nearer to firing, higher; sooner past it
    note = np.stack([k, fired, first, first], axis=-1)
    margin.learn(shape, note, below, below + 1, unit)
    weights, middle, scale, least, most, spread, _ = margin.known(unit)
    assert np.isfinite(spread).all()
    x = np.concatenate([shape[0, :4], [shape[0, 4] + unit * k[0, 0], first[0, 0], first[0, 0]]])
    side, terms = int(fired[0, 0]), np.empty(kernel.MARGIN_TERMS)
    told = kernel._margin(kernel.Margins(weights, middle, scale, least, most, spread, spread), side, x, terms)
    assert told == pytest.approx(below[0] + 0.5 - k[0, 0], abs=0.5)
    assert margin.known(2 * unit)[5] == pytest.approx(spread / 2)


def test_rough_searches_teach_no_margin() -> None:
    margin = guessing.Margin()
    margin.learn(np.zeros((4, 5)), np.zeros((3, 4, 4)), np.zeros(4, np.int64), np.ones(4, np.int64), 0.05)
    assert not margin.runs[0]
    assert np.isinf(margin.known(0.01)[5]).all()


def test_one_thread_of_linear_algebra_as_long_as_anybody_is_inside() -> None:
    def threads() -> set[int]:
        return {lib["num_threads"] for lib in blas._controller().info() if lib["user_api"] == "blas"}

    before = threads()
    outer, inner = blas.OneThread(), blas.OneThread()
    with outer:
        assert threads() == {1}
        inner.__enter__()
    assert threads() == {1}
    inner.__exit__(None, None, None)
    assert threads() == before
