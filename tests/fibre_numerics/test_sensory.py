"""Fibres with channels under the myelin: against NEURON 9.0.2 (``data/sensory_*.csv``, made by ``data/make_sensory.py``), against the plain cable,
and against the fast kernel where both are linear."""

from __future__ import annotations

import csv
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba as nb
import numpy as np
import pytest
from numpy.typing import NDArray

from epidura.axon.gaines_sensory import GainesSensory
from epidura.axon.mrg_interpolated import MrgInterpolated
from epidura.bench import neuron_peer, sensory_peer
from epidura.errors import BadInput
from epidura.numerics import active, active_kernel, cable, kinetics, simd
from epidura.numerics import cable_reference as reference
from epidura.numerics.cable import ActiveCable, Engine
from epidura.single_fibre import point_source
from epidura.waveform import Course

Floats = NDArray[np.float64]
Row = dict[str, str]

UM, DT = 1e-6, 5e-6
MODEL = GainesSensory()
PRECISIONS = ("float32", "float64")
SCHEMES = ("second-order", "backward-euler")
TONIC = Course.of((100e-6, 1.0))
BIPHASIC = Course.of((100e-6, 1.0), (50e-6, 0.0), (100e-6, -0.6))


def rows(name: str) -> list[Row]:
    with (Path(__file__).parent / "data" / f"sensory_{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def field(diameter: float, nodes: int, distance: float = 1e-3, shift: float = 0.0) -> Floats:
    """(compartments,) V per ampere of cathodic amplitude beside the fibre, ``shift`` internodes from its middle."""
    d = np.array([diameter])
    along = MODEL.compartments(d, nodes)[0]
    return np.asarray(-point_source(distance, along - float(MODEL.internode(d)[0]) * ((nodes - 1) / 2 + shift), 0.2, 0.2))


def engine(diameter: Any, potentials: Any, course: Course = TONIC, scheme: str = "backward-euler", precision: str = "float64", dt: float = DT,
           **more: Any) -> Engine:
    potentials = np.atleast_2d(potentials)
    samples = course.step_means(dt) if scheme == "second-order" else course.at_step_starts(dt)
    nodes = (potentials.shape[-1] - 1) // MODEL.per_node + 1
    return MODEL.engine(np.atleast_1d(np.asarray(diameter, float)), nodes, potentials, samples, dt, scheme, precision, **more)


def given(row: Row) -> tuple[float, Floats, Course]:
    """Diameter in m, potentials and course of a row of the thresholds."""
    diameter, nodes = float(row["diameter_um"]) * UM, int(row["nodes"])
    pieces = [piece.split(":") for piece in row["course_us"].split()]
    return diameter, field(diameter, nodes, float(row["distance_mm"]) * 1e-3, float(row["shift"])), \
        Course.of(*((float(us) * 1e-6, float(value)) for us, value in pieces * int(row["repeats"])))


# NEURON.


@pytest.mark.parametrize("precision", PRECISIONS)
def test_thresholds_lie_in_the_brackets_of_neuron(precision: str) -> None:
    assert len(rows("thresholds")) == 15  # single pulses, a 10 kHz train, a burst, 1 kHz
    for row in rows("thresholds"):
        found = 1e3 * engine(*given(row), precision=precision).thresholds(1e-5, 1.0, 1)[0, 0]
        assert float(row["silent_mA"]) * (1 - 2e-5) < found < float(row["firing_mA"]) * (1 + 2e-5), row


def test_the_action_potential_is_that_of_neuron() -> None:
    known = rows("trace")
    volts = np.array([[float(row["node_15_mV"]), float(row["node_24_mV"])] for row in known])
    at = np.array([round(float(row["time_us"]) / 5) - 1 for row in known])
    assert volts.max() > 20.0
    for precision, near in (("float64", 1e-4), ("float32", 1e-2)):
        own = engine(10 * UM, field(10 * UM, 31), precision=precision)
        found = own.traces(np.array([float(known[0]["amplitude_mA"]) * 1e-3]), 3e-3, [15, 24])[0, at, :, 0]
        assert np.abs(found - volts).max() < near  # measured 2e-5 and 2e-3


def test_conduction_velocity_is_that_of_neuron() -> None:
    for row in rows("velocity"):
        diameter = float(row["diameter_um"]) * UM
        own = engine(diameter, field(diameter, 51, shift=-24.0))
        times = own.spikes(np.array([1e-3]), 4e-3, [20, 40], 1, 1)[0, :, 0]
        speed = 20 * float(MODEL.internode(np.array([diameter]))[0]) / (times[1] - times[0])
        assert speed == pytest.approx(float(row["velocity_m_per_s"]), rel=1e-5)


def test_the_files_would_show_a_hundredth_of_a_channel_under_the_myelin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparisons see every conductance and reversal: a change of one in a hundred moves the trace by far more than they allow."""
    known, real = rows("trace"), MODEL.cable(np.array([10 * UM])).membrane
    at = np.array([round(float(row["time_us"]) / 5) - 1 for row in known])
    volts = np.array([float(row["node_24_mV"]) for row in known])
    numbers = [name for name in real._fields if name[:2] in ("g_", "e_", "un", "my") and getattr(real, name) != 0.0]
    assert len(numbers) == 16
    for name in numbers:
        changed = real._replace(**{name: 1.01 * getattr(real, name)})
        monkeypatch.setattr("epidura.axon.gaines_sensory._membrane", lambda changed=changed: changed)
        own = engine(10 * UM, field(10 * UM, 31))
        found = own.traces(np.array([float(known[0]["amplitude_mA"]) * 1e-3]), 3e-3, [24])[0, at, 0, 0]
        assert np.abs(found - volts).max() > 2e-3, name


REASON = neuron_peer.available()


@pytest.mark.skipif(REASON is not None, reason=str(REASON))
@pytest.mark.parametrize(("diameter", "nodes", "distance", "shift", "course"), [
    (6.5, 25, 7e-4, 0.4, BIPHASIC), (14.0, 21, 1.5e-3, -0.7, Course.of((210e-6, 1.0)))])
def test_traces_and_thresholds_are_those_of_neuron_live(diameter: float, nodes: int, distance: float, shift: float, course: Course) -> None:
    outside = field(diameter * UM, nodes, distance, shift)
    own, seen = engine(diameter * UM, outside, course), [nodes // 2, nodes - 4]
    found = own.thresholds(1e-5, 1.0, 1)[0, 0]
    with closing(sensory_peer.sensory_fibre(MODEL.morphology(np.array([diameter * UM])), nodes)) as fibre:
        below, above = fibre.threshold(outside, course.at_step_starts(DT), DT, found)
        assert below * (1 - 2e-5) < found < above * (1 + 2e-5)
        for amplitude in (0.8 * found, 1.1 * found):
            known = fibre.run(outside, course.at_step_starts(DT), DT, amplitude, 2e-3, seen)
            assert np.abs(own.traces(np.array([amplitude]), 2e-3, seen)[0, ..., 0] - known).max() < 1e-4


# The plain cable.


@pytest.mark.parametrize(("diameter", "nodes", "distance", "shift", "amplitude", "fires"), [
    (9.0, 15, 6e-4, 0.2, 5e-5, False), (9.0, 15, 6e-4, 0.2, 1e-4, True), (5.7, 9, 4e-4, -0.4, 2e-4, True), (16.0, 11, 1e-3, 0.0, -2e-4, True),
    (12.0, 5, 1e-3, 0.5, 3e-4, True)])
def test_kernel_is_the_plain_cable(diameter: float, nodes: int, distance: float, shift: float, amplitude: float, fires: bool) -> None:
    outside, steps = field(diameter * UM, nodes, distance, shift), 300
    plain = reference.run(MODEL.cable(np.array([diameter * UM])), nodes, outside, BIPHASIC.at_step_starts(DT), DT, amplitude, steps)
    assert bool(plain.max() > 0.0) == fires
    for precision, near in (("float64", 1e-5), ("float32", 1e-2)):
        own = engine(diameter * UM, outside, BIPHASIC, precision=precision)
        assert np.abs(own.traces(np.array([amplitude]), steps * DT, range(nodes))[0, ..., 0] - plain)[:, 1:-1].max() < near


def test_second_order_goes_to_the_limit_of_small_steps() -> None:
    """5 us: within 0.06 % of thresholds and 0.3 % of the velocity; half the step: half of that at most."""
    diameter = np.array([6.0, 8.7, 12.8, 15.0]) * UM
    outside = np.stack([field(d, 51, 2e-3, -25.0) for d in diameter])
    for width in (60e-6, 200e-6, 500e-6):
        course, found = Course.of((width, 1.0)), {}
        for dt in (0.5e-6, 2.5e-6, 5e-6):
            found[dt] = engine(diameter, outside, course, "second-order", dt=dt).thresholds(1e-5, 1.0, 2)[0]
        assert np.abs(found[5e-6] / found[0.5e-6] - 1).max() < 6e-4
        assert np.abs(found[2.5e-6] / found[0.5e-6] - 1).max() < 3e-4
    speed = {}
    for dt in (0.5e-6, 2.5e-6, 5e-6):
        times = engine(diameter, outside, scheme="second-order", dt=dt).spikes(np.full(4, 3e-3), 4e-3, [25, 45], 1, 1)[:, :, 0]
        speed[dt] = 1.0 / (times[:, 1] - times[:, 0])
    assert np.abs(speed[5e-6] / speed[0.5e-6] - 1).max() < 3e-3
    assert np.abs(speed[2.5e-6] / speed[0.5e-6] - 1).max() < 1.3e-3


# The fast kernel, where both are linear.


def linear_pair(diameter: Floats) -> tuple[ActiveCable, cable.Cable]:
    """The same fibres for both kernels, with channels that do not move: leaks alone."""
    own, leak, mysa, other = MODEL.cable(diameter), 3.0, 0.8, 0.3  # 1/ms
    silent = own.membrane._replace(g_naf=0.0, g_nap=0.0, g_s=0.0, g_n=0.0, g_l=leak, under_s=0.0, under_q=0.0, mysa_n=0.0, under_n=0.0,
                                   mysa_l=mysa, under_l=other)
    motor = MrgInterpolated().cable(diameter).membrane._replace(g_naf=0.0, g_nap=0.0, g_k=0.0, g_l=leak)
    sides = own.c_axolemma * np.array([mysa, *[other] * 8, mysa])
    same = {name: getattr(own, name) for name in cable.Cable.__dataclass_fields__ if name not in ("membrane", "g_axolemma")}
    # both are at rest where no leak drives them
    return (replace(own, membrane=silent._replace(e_l=0.0, under_e_l=0.0), g_axolemma=sides),
            cable.Cable(**same, g_axolemma=sides, membrane=motor._replace(e_l=0.0)))


@pytest.mark.parametrize("ends", ["cut", "onwards", "sealed"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_linear_fibres_are_those_of_the_fast_kernel(scheme: str, ends: str) -> None:
    """Both ways of one equation: modes that are eliminated, and every compartment stepped. Two patterns, an injection, ends of three kinds."""
    diameter, nodes = np.array([6.0, 9.5, 15.0]) * UM, 13
    second = scheme == "second-order"
    courses = [course.step_means(DT) if second else course.at_step_starts(DT) for course in (BIPHASIC, Course.of((30e-6, 0.0), (200e-6, 1.0)))]
    samples = np.zeros((2, max(map(len, courses))))
    for row, course in zip(samples, courses, strict=True):
        row[: len(course)] = course
    outside = np.stack([[field(d, nodes, 1e-3, 2.3), field(d, nodes, 7e-4, -4.2)] for d in diameter])
    injection = np.array([6, 3, 8]), np.repeat([2e-9, -1e-9, 0.0], 20)
    found = [Engine(own, nodes, outside, samples, DT, second, "float64", ends == "sealed", injection, ends == "onwards")
             .traces(np.array([1e-3, 2e-3, -1e-3]), 1e-3, range(nodes))[..., 0] for own in linear_pair(diameter)]
    away = np.abs(found[1] + 80.0).max()
    assert away > 10.0
    # backward Euler: the same steps; second order: each to its own limit, exponential or two stages
    assert np.abs(found[0] - found[1]).max() < (1e-4 if scheme == "backward-euler" else 3e-3 * away)


def test_a_straight_potential_drives_no_node_of_a_fibre_that_goes_on() -> None:
    along = MODEL.compartments(np.array([10 * UM]), 21)[0]
    straight, rest = (engine(10 * UM, volts, scheme="second-order", onwards=True).traces(np.array([1e-3]), 1e-3, range(1, 20))[0, :, :, 0]
                      for volts in (4e3 * along, 0 * along))
    cut = engine(10 * UM, 4e3 * along, scheme="second-order").traces(np.array([1e-3]), 1e-3, range(1, 20))[0, :, :, 0]
    # the internodes at both ends are driven, their nodes by hundredths of a mV
    assert np.abs(straight - rest)[:, 3:-3].max() < 2e-3
    assert np.abs(cut - rest).max() > 0.1


# Fibres by themselves and together.


def mixed(count: int) -> tuple[Floats, Floats]:
    """(f,) diameters and (f, compartments) potentials in no order."""
    random = np.random.default_rng(5)
    diameter = random.uniform(5.8, 15.8, count) * UM
    return diameter, np.stack([field(d, 31, r, s) for d, r, s in zip(diameter, random.uniform(5e-4, 4e-3, count), random.uniform(-0.5, 0.5, count),
                                                                     strict=True)])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_fibre_does_not_see_its_neighbours(precision: str, scheme: str) -> None:
    diameter, outside = mixed(37)
    whole = engine(diameter, outside, BIPHASIC, scheme, precision).thresholds(1e-3, 1.0, 2)
    assert np.unique(whole[0]).size > 34
    order = np.random.default_rng(3).permutation(37)
    assert np.array_equal(engine(diameter[order], outside[order], BIPHASIC, scheme, precision).thresholds(1e-3, 1.0, 1), whole[:, order])
    for k in (0, 36):
        assert np.array_equal(engine(diameter[k], outside[k], BIPHASIC, scheme, precision).thresholds(1e-3, 1.0, 1)[:, 0], whole[:, k])
    fired = engine(diameter, outside, BIPHASIC, scheme, precision).fires(whole[1:].T, 2)
    assert (fired == [False, True]).all()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_both_precisions_give_the_same_thresholds(scheme: str) -> None:
    diameter, outside = mixed(32)
    single, double = (engine(diameter, outside, BIPHASIC, scheme, precision).thresholds(1e-5, 1.0, 2)[0] for precision in PRECISIONS)
    assert np.abs(single / double - 1).max() < 2e-4


def test_rest_is_that_of_neuron_and_stays() -> None:
    diameter, outside = mixed(3)
    found = engine(diameter, outside, scheme="second-order", precision="float32").traces(np.zeros(3), 3e-3, [15])[:, :, 0]
    assert found[:, 0, 0] == pytest.approx(np.full(3, -77.76), abs=0.1)
    assert np.abs(found - found[:, :1]).max() < 2e-3
    # 200 ms of rest leave 2 % of the slow inward current on its way: it moves no threshold
    longer = engine(diameter, outside, scheme="second-order")
    settled = longer.thresholds(1e-5, 1.0, 1)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(active, "REST_STEPS", 400)
        patch.setattr(active, "_KNOWN_REST", active.Shelf(8))
        assert longer.thresholds(1e-5, 1.0, 1)[0] == pytest.approx(settled, rel=1e-3)


@pytest.mark.parametrize("course", [Course.of((20e-6, 1.0)), Course.of((1e-3, 1.0)), BIPHASIC,
                                    Course.of((300e-6, 1.0), *((100e-6, -0.12 * 0.93**k) for k in range(40)))])
def test_no_threshold_depends_on_when_a_run_stops(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of cathodes, anodes and both: with the early stop and without any."""
    diameter, outside = mixed(48)
    outside *= np.random.default_rng(8).choice([1.0, -1.0, 0.4], (48, 1))
    found = engine(diameter, outside, course, "second-order", "float32").thresholds(4e-3, 1.0, 2)
    monkeypatch.setitem(cable.QUIET, kinetics.Sensory, -1e9)
    assert np.array_equal(engine(diameter, outside, course, "second-order", "float32").thresholds(4e-3, 1.0, 2), found)


def test_a_train_fires_once_a_pulse_and_recovers() -> None:
    train = Course.of((200e-6, 1.0)).repeated(5, 10e-3)
    own = engine(10 * UM, field(10 * UM, 31), train, "second-order", "float32")
    lowest = float(own.thresholds(1e-3, 1.0, 1)[2, 0])
    times = own.spikes(np.array([1.5 * lowest]), 50e-3, [15, 27], 9, 1)[0]
    assert np.isfinite(times).sum(axis=1).tolist() == [5, 5]
    assert np.diff(times[:, :5], axis=1) == pytest.approx(np.full((2, 4), 10e-3), abs=2e-4)


# Currents.


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_current_is_lost(scheme: str, ends: bool) -> None:
    own = engine(8.7 * UM, field(8.7 * UM, 15), BIPHASIC, scheme, sealed=ends)
    current = own.currents(np.array([2.5e-4]), 1e-3, None, 1)[0]
    assert current.shape == (200, 155)
    assert np.abs(current).max() > 1e-10
    assert np.abs(current.sum(axis=1)).max() < 1e-6 * np.abs(current).max()
    weights = np.random.default_rng(2).normal(size=(1, 2, 155))
    evoked = own.currents(np.array([2.5e-4]), 1e-3, weights, 1)[0]
    assert np.abs(evoked - current @ weights[0].T).max() < 1e-12 * np.abs(evoked).max()


def test_the_current_of_a_node_charges_it_and_goes_through_its_channels() -> None:
    """Exactly for backward Euler, whose channels are those before the step; so what is between the nodes is right, too."""
    own, node = engine(8.7 * UM, field(8.7 * UM, 15), BIPHASIC), 9
    amplitude = np.array([2.5e-4])
    current = own.currents(amplitude, 1.5e-3, None, 1)[0, :, 11 * node]
    trace = own.traces(amplitude, 1.5e-3, [node])[0, :, 0]
    volts, (m, p, h, s, n) = trace[1:, 0], trace[:-1, 1:].T
    channels, size = own.cable.membrane, float(own.cable.c_node[0])
    assert isinstance(channels, kinetics.Sensory)
    sodium, potassium = channels.g_naf * m**3 * h + channels.g_nap * p**3, channels.g_s * s + channels.g_n * n**4
    v = volts - channels.rest
    through = sodium * (v - channels.e_na) + potassium * (v - channels.e_k) + channels.g_l * (v - channels.e_l)
    wanted = 1e-9 * size * (np.diff(trace[:, 0]) / (1e3 * DT) + through)
    assert volts.max() > 0.0
    assert np.abs(current[1:] - wanted).max() < 1e-5 * np.abs(current).max()


# Gates.


@nb.njit
def _gates(membrane, v, gates, under, out):  # type: ignore[no-untyped-def]
    node = (simd.load(gates, 0), simd.load(gates, 1), simd.load(gates, 2), simd.load(gates, 3), simd.load(gates, 4))
    found = kinetics.advance(membrane, node, simd.load(v, 0), 0)
    simd.store(out, 0, found[0])
    simd.store(out, 1, found[1])
    simd.store(out, 2, found[2])
    simd.store(out, 3, found[3])
    simd.store(out, 4, found[4])
    below = kinetics.advance_under(membrane, (simd.load(under, 0), simd.load(under, 1), simd.load(under, 2)), simd.load(v, 0), 0)
    simd.store(out, 5, below[0])
    simd.store(out, 6, below[1])
    simd.store(out, 7, below[2])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("tables", "dt"), [(False, 0.005), (False, 0.05), (False, 5.0), (True, 0.005), (True, 0.02), (True, 0.05)])
def test_gates_follow_the_published_rates(precision: str, tables: bool, dt: float) -> None:
    """Also exactly where a rate is 0/0."""
    if tables and not simd.permutes():
        pytest.skip("this processor has no AVX-512, which the tables need")
    lanes, own = 64 // np.dtype(precision).itemsize, MODEL.cable(np.array([8.7 * UM])).membrane._replace(steps=np.array([dt]))
    holes = np.array([-20.1795, -25.4746, -26.852, -33.8333, -112.7124, -83.2, -66.0]) + 80.0
    tried = np.concatenate([np.linspace(-65.0, 140.0, 1001), holes]).astype(precision)
    tried = np.append(tried, np.repeat(tried[-1:], -tried.size % lanes))
    start = np.array([0.3, 0.2, 0.6, 0.1, 0.15, 0.1, 0.15, 0.25])
    base = np.array([*kinetics.BASE[kinetics.Sensory], kinetics._GS, kinetics._GN, kinetics._GQ])
    limit = {"float32": 5e-6, "float64": 2e-6 * max(1.0, dt / 0.02)}[precision] if tables else {"float32": 4e-6, "float64": 1e-7}[precision]
    gates, worst = (start - base).repeat(lanes).astype(precision), np.zeros(8)
    for v in tried.reshape(-1, lanes):
        out = np.empty(8 * lanes, precision)
        _gates(kinetics.sensory_tables(own, precision) if tables else own, v, gates[: 5 * lanes], gates[5 * lanes :], out)
        opening, closing = (rate[[0, 1, 2, 3, 4, 3, 4, 5]] for rate in kinetics.sensory_rates((own.q_m, own.q_h, own.q_s), v.astype(float) - 80.0))
        target = opening / (opening + closing)
        exact = target + (start[:, None] - target) * np.exp(-dt * (opening + closing))
        assert np.isfinite(out).all(), v
        worst = np.maximum(worst, np.abs(out.reshape(8, lanes) + base[:, None] - exact).max(axis=1))
    assert worst.max() < limit, worst


def test_conductances_at_rest_are_those_of_the_cable() -> None:
    own = MODEL.cable(np.array([8.7 * UM, 12.0 * UM]))
    mysa, other = active_kernel.under_at_rest(own.membrane)
    wanted = own.c_axolemma * np.array([mysa, *[other] * 8, mysa])
    assert own.g_axolemma == pytest.approx(wanted, rel=1e-6)
    assert 2.0 < mysa / other < 20.0


# What cannot be.


@pytest.mark.parametrize("diameter", [5.6, 16.1, np.nan])
def test_diameters_that_were_not_published_are_refused(diameter: float) -> None:
    with pytest.raises(BadInput, match=r"diameter: the sensory fibre was not published.*5.7 to 16 um.*mrg-interpolated"):
        MODEL.engine(np.array([8.7, diameter]) * UM, 5, np.zeros((2, 45)), np.ones(3), DT)
    assert MODEL.fit(np.array([2.0, 8.7, 20.0]) * UM) == pytest.approx(np.array([5.7, 8.7, 16.0]) * UM)


def test_a_graphics_processor_is_not_asked() -> None:
    """There are no kernels for such fibres; they run here instead."""
    from epidura.numerics import cable_cuda

    assert "Sensory" in str(cable_cuda.unfit(MODEL.cable(np.array([8.7 * UM])).membrane, 21))
    one = [np.array([8.7 * UM]), 15, field(8.7 * UM, 15)[None], TONIC.step_means(DT)]
    found = [MODEL.thresholds(*one, dt=DT, device=device) for device in ("cpu", "cuda")]  # type: ignore[arg-type]
    assert np.array_equal(*found)


def test_every_number_says_where_it_is_from() -> None:
    names = [number.name for number in MODEL.numbers()]
    assert len(names) == 3
    assert all(number.source and number.evidence for number in MODEL.numbers())


@pytest.mark.slow
def test_thresholds_are_the_same_with_and_without_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    diameter, outside = mixed(16)
    for precision in PRECISIONS:
        tabled = engine(diameter, outside, BIPHASIC, "second-order", precision).thresholds(1e-4, 1.0, 2)[0]
        with monkeypatch.context() as patch:
            patch.setattr(cable, "TABLES", False)
            plain = engine(diameter, outside, BIPHASIC, "second-order", precision).thresholds(1e-4, 1.0, 2)[0]
        assert np.abs(np.log(plain / tabled)).max() < 1.5e-4
