"""What must hold of the fibre engine whatever NEURON says: agreement with the plain cable, independence, bounds, refusals."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba as nb
import numpy as np
import pytest
from numpy.typing import NDArray

from epidura.axon import Axon
from epidura.axon.mrg import Mrg
from epidura.axon.mrg_interpolated import MrgInterpolated
from epidura.errors import BadInput
from epidura.numerics import cable, guessing, kinetics, simd
from epidura.numerics import cable_reference as reference
from epidura.numerics.cable import Engine
from epidura.single_fibre import Trial, point_source
from epidura.waveform import Course

Floats = NDArray[np.float64]

UM = 1e-6
PRECISIONS = ("float32", "float64")
SCHEMES = ("second-order", "backward-euler")
BIPHASIC = Course.of((100e-6, 1.0), (50e-6, 0.0), (100e-6, -0.6))
MODELS: dict[str, Axon] = {"mrg": Mrg(), "mrg-interpolated": MrgInterpolated()}


def one(diameter: float, nodes: int, distance: float = 1e-3, model: str = "mrg", scheme: str = "backward-euler",
        course: Course = BIPHASIC) -> Trial:
    return Trial(model, diameter * UM, distance, course, 0.2, 0.35, None, 5e-6, scheme, nodes)


def engine(trials: list[Trial], precision: str = "float64") -> Engine:
    """Of trials that share all but diameter and distance."""
    first = trials[0]
    return first.axon().engine(np.array([each.diameter for each in trials]), first.node_count(),
                               np.stack([each.potentials() for each in trials]), first.samples(), first.dt, first.scheme, precision)


def mixed(count: int, scheme: str = "second-order") -> list[Trial]:
    """Fibres of many diameters and distances, in no order."""
    random = np.random.default_rng(7)
    return [one(d, 31, r, "mrg-interpolated", scheme) for d, r in zip(random.uniform(4, 15, count), random.uniform(5e-4, 4e-3, count), strict=True)]


@pytest.mark.parametrize(("model", "diameter", "nodes", "distance", "amplitude", "fires"), [
    ("mrg", 8.7, 51, 1e-3, 1.0e-4, False), ("mrg", 8.7, 51, 1e-3, 2.5e-4, True), ("mrg", 16.0, 21, 5e-4, 1.5e-4, True),
    ("mrg", 8.7, 21, 1e-3, -1.0e-4, False), ("mrg", 1.0, 9, 5e-4, 3e-4, False), ("mrg", 2.0, 5, 5e-4, 4e-4, False),
    ("mrg-interpolated", 3.3, 15, 5e-4, 5e-4, True), ("mrg-interpolated", 11.1, 31, 2e-3, 1.2e-3, True)])
def test_kernel_is_the_plain_cable(model: str, diameter: float, nodes: int, distance: float, amplitude: float, fires: bool) -> None:
    own, steps = one(diameter, nodes, distance, model), 400
    found = engine([own]).traces(np.array([amplitude]), steps * own.dt, range(nodes))[0, ..., 0]
    plain = reference.run(own.axon().cable(np.array([own.diameter])), nodes, own.potentials(), own.samples(), own.dt, amplitude, steps)
    assert bool(plain.max() > 0.0) == fires
    assert np.abs(found - plain).max() < 1e-6


@pytest.mark.parametrize("dt", [1e-6, 10e-6, 25e-6])
def test_kernel_is_the_plain_cable_at_other_steps(dt: float) -> None:
    own = Trial("mrg", 12.8 * UM, 1e-3, BIPHASIC, 0.2, 0.2, None, dt, "backward-euler", 21)
    found = engine([own]).traces(np.array([1.5e-4]), 300 * dt, range(21))[0, ..., 0]
    plain = reference.run(own.axon().cable(np.array([own.diameter])), 21, own.potentials(), own.samples(), dt, 1.5e-4, 300)
    assert np.abs(found - plain).max() < 1e-6


def test_second_order_goes_to_the_plain_cable() -> None:
    # two first-order runs extrapolated, against one second-order run, before the action potential steepens
    own = one(8.7, 21, scheme="second-order")
    found = engine([own]).traces(np.array([1.0e-4]), 100e-6, range(21))[0, :, :, 0]
    runs = []
    for parts in (10, 20):
        fine = Trial(own.model, own.diameter, own.distance, own.course, own.sigma, own.sigma_long, None, own.dt / parts, "backward-euler", 21)
        runs.append(reference.run(own.axon().cable(np.array([own.diameter])), 21, own.potentials(), fine.samples(), fine.dt, 1.0e-4,
                                  20 * parts)[parts - 1 :: parts])
    assert np.abs(found - (2 * runs[1] - runs[0]))[10:].max() < 0.05


def test_a_constant_outside_changes_nothing() -> None:
    own = one(8.7, 21)
    cable, given = own.axon().cable(np.array([own.diameter])), (own.samples(), own.dt, 2e-4, 60)
    plain = reference.run(cable, 21, own.potentials(), *given)
    assert np.abs(reference.run(cable, 21, own.potentials() + 100.0, *given) - plain).max() < 1e-6
    far = own.axon().engine(np.array([own.diameter]), 21, own.potentials()[None] + 100.0, own.samples(), own.dt, own.scheme, "float32")
    near = engine([own], "float32")
    assert np.abs(far.traces(np.array([2e-4]), 300e-6, range(21)) - near.traces(np.array([2e-4]), 300e-6, range(21)))[..., 0].max() < 1e-2


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_fibre_does_not_see_its_neighbours(precision: str, scheme: str) -> None:
    trials = mixed(37, scheme)
    whole = engine(trials, precision).thresholds(1e-3, 1.0, 2)
    assert np.isfinite(whole).all()
    assert np.unique(whole[0]).size == 37
    for threads in (1, 3):
        assert np.array_equal(engine(trials, precision).thresholds(1e-3, 1.0, threads), whole)
    order = np.random.default_rng(3).permutation(37)
    assert np.array_equal(engine([trials[k] for k in order], precision).thresholds(1e-3, 1.0, 2), whole[:, order])
    for k in (0, 5, 36):
        assert np.array_equal(engine([trials[k]], precision).thresholds(1e-3, 1.0, 1)[:, 0], whole[:, k])
    beside = engine(trials, precision).traces(whole[2], 1e-3, [3, 15])
    # a thin fibre makes the group remember modes that this one need not: rounding, magnified by the action potential
    alone = engine([trials[36]], precision).traces(whole[2, 36:], 1e-3, [3, 15])[0]
    assert np.abs(alone - beside[36]).max() < (1e-2 if precision == "float32" else 1e-6)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_both_precisions_give_the_same_thresholds(scheme: str) -> None:
    trials = mixed(64, scheme)
    single, double = (engine(trials, precision).thresholds(1e-5, 1.0, 2)[0] for precision in PRECISIONS)
    assert np.abs(single / double - 1).max() < 2e-4


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("node", [10, 11, 20])
def test_rest_stays_at_rest(precision: str, node: int) -> None:
    trials = [one(8.7, 41), one(5.7, 41), one(16.0, 41)]
    found = engine(trials, precision).traces(np.zeros(3), 3e-3, [node])[:, :, 0]
    assert found[0, -1, 0] == pytest.approx(-79.96, abs=0.005)
    assert np.abs(found - found[:, :1]).max() < 2e-3
    assert (found[..., 1:] > 0).all()
    assert (found[..., 1:] < 1).all()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_tiny_amplitudes_answer_in_proportion(scheme: str) -> None:
    own, nodes = engine([one(8.7, 21, scheme=scheme)]), range(21)
    rest = own.traces(np.zeros(1), 500e-6, nodes)[..., 0]
    small, double, turned, large = (own.traces(np.array([a]), 500e-6, nodes)[..., 0] - rest for a in (1e-8, 2e-8, -1e-8, 1e-6))
    size = np.abs(small).max()
    assert size > 1e-4
    assert np.abs(double - 2 * small).max() < 1e-3 * size
    assert np.abs(turned + small).max() < 1e-3 * size
    # what is not in proportion grows with the square
    bend = np.abs(large - 100 * small).max()
    assert 1e-4 * size < bend < 0.1 * 100 * size


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("tolerance", [0.02, 1e-3])
def test_the_bracket_is_what_it_says(precision: str, scheme: str, tolerance: float) -> None:
    own = engine([one(d, 31, r, scheme=scheme) for d in (5.7, 8.7, 14.0) for r in (5e-4, 1e-3, 3e-3)], precision)
    middle, below, above = own.thresholds(tolerance, 1.0, 2)
    assert ((below <= middle) & (middle <= above)).all()
    assert (above / below - 1 <= tolerance * (1 + 1e-12)).all()
    quiet, firing = (own.traces(edge, own.steps * own.dt * 1e-3, [own.detect])[:, :, 0, 0].max(axis=1) for edge in (below, above))
    assert (quiet < cable.FIRES).all()
    assert (firing >= cable.FIRES).all()


def test_nothing_fires_up_to_the_ceiling() -> None:
    own = engine([one(8.7, 31), one(8.7, 31, 4e-3), one(14.0, 31)])
    limit = float(own.thresholds(1e-3, 1.0, 1)[0, 0]) * 1.5
    found = own.thresholds(1e-3, limit, 1)
    assert np.isfinite(found[:, [0, 2]]).all()
    assert found[:, 1].tolist() == [np.inf, limit, np.inf]
    own = Mrg().engine(np.array([8.7 * UM]), 31, np.zeros((1, 331)), np.ones(20), 5e-6)
    assert own.thresholds(1e-3, 1.0, 1)[0, 0] == np.inf


@pytest.mark.parametrize("off", [-1.0, -0.1, 0.0, 0.1, 0.7])
@pytest.mark.parametrize("spread", [None, 0.0, 0.3])
def test_a_guess_only_saves_runs(off: float, spread: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    own = engine(mixed(16), "float64")
    plain = own.thresholds(1e-3, 1.0, 2)
    guesses = np.log(plain[0]) + off
    monkeypatch.setattr(guessing.Learner, "guess", lambda self, features: (guesses[: len(features)], spread))
    assert np.array_equal(own.thresholds(1e-3, 1.0, 1), plain)


def test_what_was_found_guesses_the_rest() -> None:
    own, learner = engine(mixed(192), "float32"), guessing.Learner.of(100e-6)
    own.thresholds(1e-3, 1.0, 1, learner)
    assert learner.model is not None
    assert learner.model[1] < 0.02


def test_how_uneven_the_neighbours_are_tells_where_between_two_nodes_the_source_lies() -> None:
    own, learners = engine(mixed(320), "float32"), []
    away = np.random.default_rng(8).integers(-5, 6, 320)
    own.potentials = np.stack([np.roll(each, by, axis=1) for each, by in zip(own.potentials, away, strict=True)])
    for learner in (guessing.Learner.of(100e-6), Even.of(100e-6)):
        own.thresholds(2e-3, 1.0, 1, learner)
        assert learner.model is not None
        learners.append(learner)
    told, untold = (learner.model[1] for learner in learners)  # type: ignore[index]
    print(f"spread {told:.4f} against {untold:.4f}")
    assert told < 0.6 * untold


class Even(guessing.Learner):
    """One that doesn't look at it."""

    @staticmethod
    def of(seconds: float) -> guessing.Learner:
        return Even(seconds * 1e3)

    def _shape(self, features: Floats) -> Floats:
        return super()._shape(features * np.where(np.arange(features.shape[1]) % 4 == 3, 0.0, 1.0))


def test_what_was_never_seen_is_guessed_as_the_nearest_that_was() -> None:
    learner, rng = guessing.Learner.of(100e-6), np.random.default_rng(4)
    peak = rng.uniform(10.0, 50.0, 100)
    shape = rng.uniform((0.3, 0.05, 0.0, 0.5), (0.7, 0.3, 0.1, 2.0), (100, 4))
    features = np.column_stack([peak, shape[:, :3] * peak[:, None], shape[:, 3]])
    learner.learn(features, np.log(2.0 + shape[:, 0] ** 2 + shape[:, 1]) - np.log(peak))
    assert learner.model is not None
    outside = np.array([[20.0, 20.0 * 5.0, -20.0 * 9.0, 20.0 * 3.0, 40.0]])
    guess, _ = learner.guess(outside)
    assert 2.0 < 20.0 * np.exp(guess[0]) < 3.0


def _fibres(count: int, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    peak, shape = rng.uniform(10.0, 50.0, count), rng.uniform((0.3, 0.05, 0.0, 0.5), (0.7, 0.3, 0.1, 2.0), (count, 4))
    return np.column_stack([peak, shape[:, :3] * peak[:, None], shape[:, 3]])


def _law(features: Floats, level: float, slope: float) -> Floats:
    near, far = features[:, 1] / features[:, 0], features[:, 2] / features[:, 0]
    return np.asarray(np.log(level) + slope * near + near * far - np.log(features[:, 0]))


def test_a_guide_corrects_what_earlier_searches_say_from_the_first_lots_on() -> None:
    guide, plain, early, late = guessing.Guide.of(100e-6), guessing.Learner.of(100e-6), _fibres(200, 1), _fibres(64, 2)
    for learner in (guide, plain):
        learner.learn(early, _law(early, 2.0, 1.0))
    guide.begin()
    assert guide.guess(late)[0] == pytest.approx(_law(late, 2.0, 1.0), abs=0.01)
    for learner in (guide, plain):
        for lot in (slice(0, 16), slice(16, 32)):
            learner.learn(late[lot], _law(late[lot], 2.6, 1.4))
    truth = _law(late[32:], 2.6, 1.4)
    off, spread = guide.guess(late[32:])[0] - truth, guide.guess(late[32:])[1]
    assert np.abs(off).max() < 0.03
    assert spread is not None
    assert spread < 0.2
    assert np.abs(plain.guess(late[32:])[0] - truth).max() > 0.1


def test_a_guide_goes_by_its_own_search_where_earlier_ones_mislead() -> None:
    guide, early, late = guessing.Guide.of(100e-6), _fibres(200, 1), _fibres(200, 2)
    guide.learn(early, np.random.default_rng(3).normal(0.0, 0.5, 200))
    guide.begin()
    for first in range(0, 160, 16):
        guide.learn(late[first : first + 16], _law(late[first : first + 16], 2.0, 1.0))
    guess, spread = guide.guess(late[160:])
    assert guess == pytest.approx(_law(late[160:], 2.0, 1.0), abs=0.01)
    assert spread is not None
    assert spread < 0.02


def test_a_guide_without_a_past_is_a_learner() -> None:
    guide, learner, fibres = guessing.Guide.of(100e-6), guessing.Learner.of(100e-6), _fibres(96, 5)
    assert guide.guess(fibres)[1] is None
    for one in (guide, learner):
        one.learn(fibres, _law(fibres, 2.0, 1.0))
    assert np.array_equal(guide.guess(fibres)[0], learner.guess(fibres)[0])


def test_no_guess_without_depolarisation() -> None:
    guess, spread = guessing.Learner.of(100e-6).guess(np.zeros((3, 5)))
    assert spread is None
    assert not np.isfinite(guess).any()


def test_thresholds_of_the_model_are_those_of_its_engine() -> None:
    trials = mixed(5)
    first = trials[0]
    found = first.axon().thresholds(np.array([each.diameter for each in trials]), 31, np.stack([each.potentials() for each in trials]),
                                    first.samples(), dt=first.dt, tolerance=1e-3)
    assert np.array_equal(found, engine(trials, "float32").thresholds(1e-3, 1.0, 2))


def _good() -> dict[str, Any]:
    return {"diameter": np.array([8.7, 10.0]) * UM, "nodes": 21, "potentials": np.zeros((2, 221)), "samples": np.ones(20), "dt": 5e-6}


@pytest.mark.parametrize(("change", "words"), [
    ({"potentials": np.zeros((2, 220))}, r"fibres: .*shape \(2, 1, 220\).*for 2 fibres of 21 nodes"),
    ({"potentials": np.zeros((1, 221))}, "fibres: .*shape"),
    ({"potentials": np.full((2, 221), np.nan)}, "not finite"),
    ({"potentials": np.full((2, 221), np.inf)}, "not finite"),
    ({"samples": np.array([1.0, np.nan])}, "not finite"),
    ({"nodes": 4, "potentials": np.zeros((2, 34))}, "4 nodes"),
    ({"scheme": "crank-nicolson"}, "scheme: .*crank-nicolson.*backward-euler"),
    ({"precision": "float16"}, "precision: .*float16.*float32, float64"),
    ({"dt": 0.0}, "dt: .*above 0 s"), ({"dt": -5e-6}, "dt: "), ({"dt": np.nan}, "dt: "),
    ({"diameter": np.array([8.7, 9.0]) * UM}, "diameter: .*got '9 um'.*5.7, 7.3, 8.7.*8.7 um, or the model mrg-interpolated"),
    ({"diameter": np.array([8.7, np.nan]) * UM}, "diameter: .*nan"),
    ({"diameter": np.array([8.7, 10.0])}, "diameter: ")])
def test_what_cannot_be_run_is_refused(change: dict[str, Any], words: str) -> None:
    Mrg().engine(**_good())
    with pytest.raises(BadInput, match=words):
        Mrg().engine(**(_good() | change))


@pytest.mark.parametrize("diameter", [1.9, 16.1, 0.0, -5.0, np.nan, np.inf])
def test_interpolated_diameters_out_of_range_are_refused(diameter: float) -> None:
    with pytest.raises(BadInput, match=r"diameter: .*allowed: 2 to 16 um"):
        MrgInterpolated().engine(**(_good() | {"diameter": np.array([8.7, diameter]) * UM}))


def test_a_step_longer_than_a_phase_is_refused() -> None:
    with pytest.raises(BadInput, match=r"dt: .*up to 50 us"):
        Trial("mrg", 8.7 * UM, 1e-3, BIPHASIC, 0.2, 0.2, None, 60e-6).samples()


def test_point_source_falls_off_by_the_distance() -> None:
    assert point_source(1e-3, np.array([0.0]), 0.2, 0.2)[0] == pytest.approx(1 / (4 * np.pi * 0.2 * 1e-3))
    # along the fibre far away only sigma across counts
    assert point_source(0.0, np.array([2e-3]), 0.2, 0.6)[0] == pytest.approx(1 / (4 * np.pi * 0.2 * 2e-3))


@nb.njit
def _try_functions(x, y, out):  # type: ignore[no-untyped-def]
    a, b = simd.load(x, 1), simd.load(y, 1)
    simd.store(out, 0, simd.exp(a))
    simd.store(out, 1, simd.expm1(a))
    simd.store(out, 2, simd.larger(a, b))
    simd.store(out, 3, simd.smaller(a, b))
    simd.store(out, 4, simd.larger(simd.smaller(a, 1.5), -2.0))
    simd.store(out, 5, (a + b) * 3 - b / 2.0)
    simd.store(out, 6, 1.0 / (2.0 - a * 0.001))
    simd.store(out, 7, simd.fill(x, 0.1))
    return simd.lanes_at_least(a, b), simd.lanes_at_least(a, 0.25)


@nb.njit
def _rearrange(x, whose, out):  # type: ignore[no-untyped-def]
    for i in range(2):
        simd.store(out, i, simd.rearranged(x, i, whose))


@pytest.mark.parametrize("capable", [True, False])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_lanes_are_rearranged_wherever_they_come_from(precision: str, capable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if capable and not simd.permutes():
        pytest.skip("the processor cannot pick from registers")
    monkeypatch.setattr(simd, "permutes", lambda: capable)
    run = nb.njit(_rearrange.py_func)
    lanes, random = 64 // np.dtype(precision).itemsize, np.random.default_rng(4)
    for whose in (np.arange(lanes), np.full(lanes, lanes - 1), random.integers(0, lanes, lanes), np.repeat(np.arange(lanes // 2), 2)):
        x, out = random.normal(size=2 * lanes).astype(precision), np.zeros(2 * lanes, precision)
        run(x, whose, out)
        np.testing.assert_array_equal(out.reshape(2, lanes), x.reshape(2, lanes)[:, whose])


@nb.njit
def _gates(membrane, v, gates, out):  # type: ignore[no-untyped-def]
    found = kinetics.advance(membrane, (simd.load(gates, 0), simd.load(gates, 1), simd.load(gates, 2), simd.load(gates, 3)), simd.load(v, 0), 0)
    simd.store(out, 0, found[0])
    simd.store(out, 1, found[1])
    simd.store(out, 2, found[2])
    simd.store(out, 3, found[3])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_vector_functions_are_those_of_numpy(precision: str) -> None:
    lanes, eps, random = 64 // np.dtype(precision).itemsize, np.finfo(precision).eps, np.random.default_rng(1)
    for scale in (80.0, 5.0, 1.0, 1e-3, 1e-9, 0.0):
        x, y = (random.uniform(-scale, scale, 2 * lanes).astype(precision) for _ in range(2))
        out = np.full(9 * lanes, 7.0, precision)
        at_least, above = _try_functions(x, y, out)
        a, b = x[lanes:], y[lanes:]
        rows, exact = out.reshape(9, lanes), a.astype(float)
        room = eps * (4 + np.abs(exact))
        assert (np.abs(rows[0] / np.exp(exact) - 1) < room).all()
        assert (np.abs(rows[1] - np.expm1(exact)) <= room * np.abs(np.expm1(exact))).all() or scale > 0.3
        assert (np.abs(rows[1] - np.expm1(exact)) <= room * np.maximum(np.exp(exact), 1.0)).all()
        assert np.array_equal(rows[2], np.maximum(a, b))
        assert np.array_equal(rows[3], np.minimum(a, b))
        assert np.array_equal(rows[4], np.clip(a, -2.0, 1.5))
        assert np.allclose(rows[5], (exact + b) * 3 - b / 2.0, rtol=0, atol=16 * eps * max(scale, 1e-30))
        assert np.allclose(rows[6], 1.0 / (2.0 - exact * 0.001), rtol=4 * eps, atol=0)
        assert np.array_equal(rows[7], np.full(lanes, 0.1, precision))
        assert np.array_equal(rows[8], np.full(lanes, 7.0, precision))
        assert [bool(at_least >> k & 1) for k in range(lanes)] == (a >= b).tolist()
        assert [bool(above >> k & 1) for k in range(lanes)] == (a >= 0.25).tolist()
        assert at_least >> lanes == above >> lanes == 0


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("tables", "dt"), [(False, 0.005), (False, 0.0101), (False, 0.05), (False, 5.0), (True, 0.005), (True, 0.0101),
                                            (True, 0.05)])
def test_gates_follow_the_published_rates(precision: str, tables: bool, dt: float) -> None:
    """Also where a rate is 0/0: V one to three roundings beside and exactly at its singular voltage."""
    if tables and not simd.permutes():
        pytest.skip("this processor has no AVX-512, which the tables need")
    lanes, own = 64 // np.dtype(precision).itemsize, Mrg().cable(np.array([8.7 * UM])).membrane._replace(steps=np.array([dt]))
    holes = np.array([-21.4, -25.7, -27.0, -34.0, -114.0]) + 80.0
    values = [np.linspace(-65.0, 140.0, 1000).astype(precision)]
    for sign in (-1, 1):
        near = holes.astype(precision)
        for _ in range(4):
            values.append(near)
            near = np.nextafter(near, np.array(sign * np.inf, precision))
    tried = np.concatenate(values)
    tried = np.append(tried, np.repeat(tried[-1:], -tried.size % lanes))
    start, base = np.array([0.3, 0.2, 0.6, 0.1]), np.array(kinetics.BASE[kinetics.Mrg])
    limit = 2e-6 if precision == "float32" else 2e-6 * dt if tables else 1e-10  # the closing of s is held at e^20
    for v in tried.reshape(-1, lanes):
        out = np.empty(4 * lanes, precision)
        _gates(kinetics.mrg_tables(own, precision) if tables else own, v, np.repeat(start - base, lanes).astype(precision), out)
        opening, closing = reference.rates(v.astype(float) + reference.REST, (own.q_m, own.q_h, own.q_s))
        target = opening / (opening + closing)
        exact = target + (start[:, None] - target) * np.exp(-dt * (opening + closing))
        assert np.isfinite(out).all(), v
        worst = np.abs(out.reshape(4, lanes) + base[:, None] - exact).max()
        # the seventh-order series of the slow gates
        assert worst < max(limit, 1e-7 if dt < 0.02 and not tables else 0.0)


@pytest.mark.slow
def test_thresholds_are_the_same_with_and_without_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = mixed(20)
    found = [engine(trials, precision).thresholds(1e-4, 1.0, 2) for precision in PRECISIONS]
    monkeypatch.setattr(cable, "TABLES", False)
    for precision, tabled in zip(PRECISIONS, found, strict=True):
        # neighbours on the grid at most
        assert np.abs(engine(trials, precision).thresholds(1e-4, 1.0, 2)[0] / tabled[0] - 1).max() < 1.1e-4


@pytest.mark.slow
@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="reads x86 machine code")
def test_machine_code_is_packed(tmp_path: Path) -> None:
    program = r"""
import math, re
import llvmlite.binding as llvm, numba as nb, numpy as np
from epidura.axon.mrg import Mrg
from epidura.numerics import cable_kernel as kernel

@nb.njit
def plain(x):
    for k in range(x.size):
        x[k] = math.exp(x[k])

def report(function):
    for signature, text in function.inspect_asm().items():
        if "float32" not in str(signature) and function is not plain:
            continue
        lines = text.splitlines()
        patterns = (r"vfn?m(add|sub)\d+ps", r"v?mulps", r"vfn?m(add|sub)\d+ss", r"v?(mul|add|sub|div)ss", r"(movabs\w*\s+\$|call\w*\s+)\w*exp")
        print("RESULT", *[sum(bool(re.match(r"\s*" + pattern, line)) for line in lines) for pattern in patterns])

Mrg().thresholds(np.array([8.7e-6]), 5, np.zeros((1, 45)), np.ones(4), dt=5e-6, ceiling=1e-3)
report(kernel.run)
plain(np.ones(4, np.float32))
report(plain)
print("FMA", int(llvm.get_host_cpu_features().get("fma", False)))
"""
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}, capture_output=True, text=True,
                          timeout=300, check=True)
    *found, plain = [[int(word) for word in line.split()[1:]] for line in done.stdout.splitlines() if line.startswith("RESULT")]
    assert any(tmp_path.rglob("*.nbi"))  # it was compiled here
    assert plain[-1] > 0  # the pattern does find a call
    assert found
    for fused, multiplied, fused_single, single, exponentials in found:
        assert exponentials == 0
        assert fused_single + single < 6  # those of the time of a crossing
        assert multiplied > 5
        assert fused > 100 or "FMA 0" in done.stdout


@pytest.mark.parametrize(("name", "value"), [("tolerance", 0.0), ("tolerance", np.nan), ("ceiling", 0.0), ("ceiling", np.nan)])
def test_a_search_that_could_not_end_is_refused(name, value):
    trial = Trial("mrg", 8.7e-6, 1e-3, Course.of((100e-6, 1.0)), 0.2, 0.2, nodes=21)
    with pytest.raises(BadInput, match="must be positive"):
        trial.axon().thresholds(np.array([8.7e-6]), 21, trial.potentials()[None], trial.samples(), dt=5e-6, **{name: value})
