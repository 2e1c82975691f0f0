"""Bundles of any fibres: each output against the plain cable, against NEURON, and against what must hold of it anyway."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray
from test_cable_oracle import Row, rows

import epidura as ep
from epidura import axon, bundle
from epidura.axon import Axon
from epidura.bundle import MOST, Bundle, Injection, excite, travelling_wave
from epidura.errors import BadInput
from epidura.numerics import cable
from epidura.numerics import cable_reference as reference
from epidura.numerics.cable import Cable
from epidura.numerics.cable_reference import PERIOD
from epidura.single_fibre import point_source
from epidura.waveform import Course

Floats = NDArray[np.float64]

UM, US, MS = 1e-6, 1e-6, 1e-3
PRECISIONS = ("float32", "float64")
SCHEMES = ("second-order", "backward-euler")
PULSE = Course.of((100 * US, 1.0))
BIPHASIC = Course.of((100 * US, 1.0), (50 * US, 0.0), (100 * US, -0.6))
LATE = Course.of((500 * US, 0.0), (100 * US, 1.0))
NEURON = {"scheme": "backward-euler", "precision": "float64"}
SPIKE = -30.0  # mV


def model(kind: str) -> Axon:
    return axon.family.read({"kind": kind})


def field(diameter: float, nodes: int, distance: float = 1e-3, at: float = 0.5, kind: str = "mrg") -> Floats:
    """(compartments,) V/A of a cathode in 0.2 S/m, beside a point that lies at this share of the fibre."""
    along = model(kind).compartments(np.array([diameter * UM]), nodes)[0]
    return -point_source(distance, along - at * along[-1], 0.2, 0.2)


def one(diameter: float = 8.7, nodes: int = 31, course: Course = PULSE, distance: float = 1e-3, kind: str = "mrg", **more: Any) -> Bundle:
    """A single fibre, at NEURON's step unless told."""
    return Bundle(kind, np.array([diameter * UM]), [field(diameter, nodes, distance, kind=kind)], course, **(NEURON | more))


@pytest.fixture
def every_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    """No mode is taken to follow at once: what is left is the mathematics and its rounding."""
    monkeypatch.setitem(cable.SMALL, "float64", 0.0)


class Plain(reference._Fibre):
    """The plain cable, with a current into a node: a leak whose reversal is moved."""

    def push(self, outside: Floats, dt: float, node: int = 0, current: float = 0.0) -> None:
        """Advance by dt s with the outside in V and a current in A."""
        own, e_l = self.membrane, np.full(self.node.size, self.membrane.e_l)
        e_l[node] += 1e9 * current / (own.g_l * self.c[self.node[node]])
        self.membrane = own._replace(e_l=e_l)
        self.step(1e3 * outside, 1e3 * dt)
        self.membrane = own

    def inside(self, outside: Floats) -> Floats:
        """(C,) V inside the axon."""
        return 1e-3 * (self.v + self.w) + outside

    def axolemma(self, outside: Floats) -> Floats:
        """(C,) A that arrive along the axon."""
        flow = -np.diff(self.inside(outside)) * self.axial * 1e-6
        return -np.diff(flow, prepend=0.0, append=0.0)


class Sealed(Plain):
    """Live end nodes: those inside of a fibre with an internode more at each end, cut off from it."""

    def __init__(self, cable: Cable, nodes: int):
        super().__init__(cable, nodes + 2)
        self.axial[:PERIOD] = self.axial[-PERIOD:] = 0.0


def plain(own: Bundle, amplitude: float, steps: int, kind: type[Plain] = Plain) -> tuple[Floats, Floats]:
    """(steps, nodes) mV and (steps, compartments) A of the first fibre, each pattern with its course."""
    nodes, patterns = int(own.nodes[0]), own.patterns[0]
    electrical = own.model.cable(np.asarray(own.diameter)[:1])
    assert isinstance(electrical, Cable)
    fibre = kind(electrical, nodes)
    for _ in range(reference.SETTLE):
        fibre.step(np.zeros(fibre.size), reference.SETTLE_DT)
    courses = np.zeros((len(patterns), steps))
    courses[:, : own.samples.shape[1]] = own.samples[:, :steps]
    injected, node = np.zeros(steps), 0
    if own.injection:
        given = own.injection.course.at_step_starts(own.dt)[:steps]
        injected[: given.size], node = given, own.injection.node
    margin = (fibre.size - patterns.shape[1]) // 2
    volts, currents = np.empty((steps, nodes)), np.empty((steps, patterns.shape[1]))
    for k in range(steps):
        outside = np.pad(amplitude * courses[:, k] @ patterns, margin, mode="edge")
        fibre.push(outside, own.dt, node + margin // PERIOD, float(injected[k]))
        volts[k] = fibre.v[fibre.node][margin // PERIOD : margin // PERIOD + nodes]
        currents[k] = fibre.axolemma(outside)[margin : margin + patterns.shape[1]]
    return volts, currents


def traced(own: Bundle, amplitude: float, steps: int) -> Floats:
    """(steps, nodes) mV of the first fibre."""
    found = excite(own, ("trace",), amplitude=amplitude, nodes=range(int(own.nodes[0])), duration=steps * own.dt)
    assert found.voltage.attrs["units"] == "V"
    return found.voltage.values[0].T * 1e3


# One fibre does not see the others.


def ragged(**more: Any) -> Bundle:
    """Fibres of many diameters, distances and numbers of nodes, in no order."""
    random = np.random.default_rng(11)
    diameter = random.uniform(4, 15, 23).round(2)
    shapes = zip(diameter, random.choice([15, 21, 31, 45], 23), random.uniform(5e-4, 3e-3, 23), random.uniform(0.4, 0.6, 23), strict=True)
    return Bundle("mrg-interpolated", diameter * UM, [field(d, n, r, at, "mrg-interpolated") for d, n, r, at in shapes], BIPHASIC, **more)


def chosen(own: Bundle, which: Any) -> Bundle:
    """Some of the fibres, in this order."""
    return replace(own, diameter=np.asarray(own.diameter)[which], potentials=[own.potentials[k] for k in which])


def bracket(found: xr.Dataset) -> Floats:
    return np.stack([found[name].values for name in ("threshold", "threshold_lower", "threshold_upper")])


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_ragged_bundle_is_its_fibres(precision: str, scheme: str) -> None:
    own = ragged(scheme=scheme, precision=precision)
    assert set(own.nodes.tolist()) == {15, 21, 31, 45}
    whole = bracket(excite(own))
    assert np.isfinite(whole).all()
    assert np.unique(whole[0]).size == 23
    for threads in (1, 3):
        assert np.array_equal(bracket(excite(ragged(scheme=scheme, precision=precision, threads=threads))), whole)
    order = np.random.default_rng(5).permutation(23)
    assert np.array_equal(bracket(excite(chosen(own, order))), whole[:, order])
    for k in range(0, 23, 4):
        assert np.array_equal(bracket(excite(chosen(own, [k])))[:, 0], whole[:, k])


def test_every_output_of_a_ragged_bundle_is_that_of_its_fibres() -> None:
    own = ragged(**NEURON)
    weights = [np.random.default_rng(k).normal(size=(2, p.size)) for k, p in enumerate(own.potentials)]
    duration, amplitude = 1.5 * MS, 1.2 * excite(own).threshold.values

    def run(which: list[int]) -> xr.Dataset:
        fibres, high = chosen(own, which), amplitude[which]
        # for fires one column per fibre, for the rest one number per fibre
        firing = excite(fibres, ("fires",), amplitude=high[:, None] * [0.8, 0.9, 1.0])
        return firing.merge(excite(fibres, ("spikes", "trace", "current", "evoked", "velocity", "initiation", "threshold"), amplitude=high,
                                   nodes=[3, -3], duration=duration, weights=[weights[k] for k in which]))

    whole = run(list(range(23)))
    size = {"current": np.abs(np.nan_to_num(whole.current)).max(), "evoked": np.abs(whole.evoked.values).max()}
    assert whole.fires.values.tolist() == [[False, True, True]] * 23
    for k in (0, 7, 22):
        alone, there = run([k]), whole.isel(fibre=[k])
        assert alone.fires.values.tolist() == there.fires.values.tolist()
        for name in ("threshold", "initiation_node", "fires_at_end", "spike_count"):
            assert np.array_equal(alone[name].values, there[name].values), name
        # a thin fibre makes its group remember modes that another need not: rounding, magnified by the action potential
        for name, near in (("voltage", 5e-8), ("gates", 1e-6), ("initiation_time", 1e-9), ("current", 1e-6), ("evoked", 1e-6), ("spike_time", 1e-9)):
            values, wanted = alone[name].values, there[name].values
            if name == "current":
                assert np.isnan(wanted[..., values.shape[2] :]).all()
                wanted = wanted[..., : values.shape[2]]
            if name == "spike_time":
                wanted = wanted[..., : values.shape[2]]
            assert np.allclose(values, wanted, rtol=0, atol=near * size.get(name, 1.0), equal_nan=True), name
        assert alone.velocity.values == pytest.approx(there.velocity.values, rel=1e-5, nan_ok=True)


def test_potentials_may_come_from_a_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for a few fibres at a time, in any portions."""
    diameter, asked = np.linspace(5, 14, 20) * UM, []
    fields = np.stack([field(d / UM, 21, 1e-3, 0.5, "mrg-interpolated") for d in diameter])

    def given(which: NDArray[np.intp]) -> Floats:
        asked.append(which.size)
        return fields[which]

    listed = Bundle("mrg-interpolated", diameter, fields, PULSE, **NEURON)
    asking = Bundle("mrg-interpolated", diameter, given, PULSE, **NEURON, node_count=21)
    outputs = ("threshold", "velocity", "initiation", "spikes", "trace")
    more = {"nodes": [4, -4], "amplitude": 5e-4, "duration": 1 * MS}
    whole = excite(listed, outputs, **more)
    for chunk in (100, 20, 7):
        monkeypatch.setattr(bundle, "CHUNK", chunk)
        asked.clear()
        found = excite(asking, outputs, **more)
        assert max(asked) == min(chunk, 20)
        assert np.array_equal(bracket(found), bracket(whole))
        assert np.abs(found.voltage.values - whole.voltage.values).max() < 5e-8
        assert np.allclose(found.spike_time.values, whole.spike_time.values, rtol=0, atol=1e-9, equal_nan=True)
        assert np.allclose(found.velocity.values, whole.velocity.values, rtol=1e-5, equal_nan=True)
        assert found.initiation_node.values.tolist() == whole.initiation_node.values.tolist()
        assert np.array_equal(excite(asking, ("fires",), amplitude=whole.threshold_upper.values[:, None]).fires.values, np.ones((20, 1), bool))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_currents_of_many_fibres_are_those_of_each(precision: str) -> None:
    diameter = np.linspace(5, 14, 20)
    own = Bundle("mrg-interpolated", diameter * UM, [field(d, 21, kind="mrg-interpolated") for d in diameter], PULSE, precision=precision)
    whole = excite(own, ("current",), amplitude=5e-4, duration=1 * MS).current.values
    for k in (0, 7, 9, 17, 19):
        alone = excite(chosen(own, [k]), ("current",), amplitude=5e-4, duration=1 * MS).current.values[0]
        assert np.abs(whole[k] - alone).max() < 1e-3 * np.abs(alone).max()
        assert np.abs(whole[k].sum(axis=1)).max() < 1e-3 * np.abs(alone).max()


@pytest.mark.parametrize(("potentials", "count", "where", "got", "allowed"), [
    (lambda which: np.zeros((which.size, 221)), None, "node_count", "", "5 and more"),
    (lambda which: np.zeros((which.size, 221)), 4, "node_count", "4", "5 and more"),
    (lambda which: np.zeros((which.size, 221)), 31, "potentials", "221 compartments", "331"),
    (lambda which: np.zeros((which.size + 1, 221)), 21, "potentials", "3", "2"),
    (lambda which: np.zeros((which.size, 220)), 21, "potentials[0]", "(220,)", "11 (N - 1) + 1"),
    (lambda which: np.where(which[:, None] == 1, np.nan, np.zeros((which.size, 221))), 21, "potentials[1]", "nan", "finite")])
def test_what_a_function_cannot_give_is_refused(potentials: Any, count: int | None, where: str, got: str, allowed: str) -> None:
    with pytest.raises(BadInput) as found:
        excite(Bundle("mrg", np.full(2, 8.7 * UM), potentials, PULSE, node_count=count))
    refused(found, where, got, allowed)


def test_negative_nodes_count_from_each_end() -> None:
    own = chosen(ragged(**NEURON), [int(np.flatnonzero(ragged().nodes == n)[0]) for n in (15, 31)])
    found = excite(own, ("trace",), amplitude=2e-4, nodes=[-2], duration=0.5 * MS).voltage.values
    for k, last in enumerate((13, 29)):
        assert np.array_equal(excite(chosen(own, [k]), ("trace",), amplitude=2e-4, nodes=[last], duration=0.5 * MS).voltage.values[0], found[k])


# Against the plain cable.


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_field_in_two_parts_is_the_field(scheme: str) -> None:
    whole, share = field(8.7, 31), np.random.default_rng(2).uniform(-1, 2, 331)
    alone = Bundle("mrg", np.array([8.7 * UM]), [whole], BIPHASIC, scheme=scheme, precision="float64")
    parts = replace(alone, potentials=[np.stack([share * whole, (1 - share) * whole])], course=(BIPHASIC, BIPHASIC))
    assert np.abs(traced(parts, 2.5e-4, 300) - traced(alone, 2.5e-4, 300)).max() < 1e-6
    assert traced(alone, 2.5e-4, 300).max() > 0.0
    assert bracket(excite(parts, tolerance=1e-4)) == pytest.approx(bracket(excite(alone, tolerance=1e-4)), rel=1.01e-4)


@pytest.mark.usefixtures("every_mode")
@pytest.mark.parametrize(("diameter", "nodes", "kind", "amplitude"), [
    (8.7, 31, "mrg", 2.2e-4), (12.8, 21, "mrg", 1.2e-4), (5.0, 15, "mrg-interpolated", -3e-4),
    (3.0, 15, "mrg-small", 6e-4)])
def test_two_patterns_with_courses_of_their_own_are_the_plain_cable(diameter: float, nodes: int, kind: str, amplitude: float) -> None:
    patterns = np.stack([field(diameter, nodes, 1e-3, 0.4, kind), 0.8 * field(diameter, nodes, 7e-4, 0.7, kind)])
    own = Bundle(kind, np.array([diameter * UM]), [patterns], (BIPHASIC, LATE), **NEURON)
    found, wanted = traced(own, amplitude, 400), plain(own, amplitude, 400)[0]
    assert np.abs(found - wanted).max() < 1e-6
    # both patterns do something
    for silent in (0, 1):
        less = patterns.copy()
        less[silent] = 0.0
        assert np.abs(traced(Bundle(kind, np.array([diameter * UM]), [less], (BIPHASIC, LATE), **NEURON), amplitude, 400) - wanted).max() > 1.0


@pytest.mark.parametrize(("diameter", "nodes", "kind", "amplitude"), [
    (8.7, 31, "mrg", 2.2e-4), (12.8, 21, "mrg", 1.2e-4), (3.0, 15, "mrg-small", 6e-4)])
def test_modes_without_a_memory_change_little(diameter: float, nodes: int, kind: str, amplitude: float) -> None:
    own = one(diameter, nodes, BIPHASIC, 1e-3, kind)
    found, wanted = traced(own, amplitude, 300), plain(own, amplitude, 300)[0]
    assert wanted.max() > 0.0
    assert np.abs(found - wanted).max() < 3e-5  # mV, in the rise of the action potential


@pytest.mark.usefixtures("every_mode")
@pytest.mark.parametrize("ends", ["passive", "sealed"])
@pytest.mark.parametrize(("node", "current"), [(5, 2e-9), (1, -1e-9), (15, 4e-9)])
def test_an_injection_is_that_of_the_plain_cable(node: int, current: float, ends: str) -> None:
    course = Course.of((200 * US, 0.0), (100 * US, current), (100 * US, -0.5 * current))
    own = one(8.7, 21, BIPHASIC, ends=ends, injection=Injection(node, course))
    kind = Sealed if ends == "sealed" else Plain
    for amplitude in (0.0, 1e-4):
        found, wanted = traced(own, amplitude, 300), plain(own, amplitude, 300, kind)[0]
        assert np.abs(found - wanted).max() < 1e-6
        assert np.abs(found - traced(one(8.7, 21, BIPHASIC, ends=ends), amplitude, 300)).max() > 1.0


@pytest.mark.usefixtures("every_mode")
@pytest.mark.parametrize("node", [0, -1])
def test_an_injection_into_a_live_end_is_that_of_the_plain_cable(node: int) -> None:
    own = one(8.7, 21, ends="sealed", injection=Injection(node % 21, Course.of((100 * US, 2e-9))))
    found = traced(own, 0.0, 300)
    assert np.abs(found - plain(own, 0.0, 300, Sealed)[0]).max() < 1e-6
    assert found.max() > 0.0


def test_an_injection_does_not_grow_with_the_amplitude() -> None:
    own = one(8.7, 21, injection=Injection(5, Course.of((100 * US, 2e-9))))
    silent = Bundle("mrg", own.diameter, [np.zeros(221)], PULSE, **NEURON, injection=own.injection)
    alone = traced(silent, 0.0, 300)
    assert np.array_equal(traced(silent, 1.0, 300), alone)
    assert np.abs(traced(own, 0.0, 300) - alone).max() < 1e-9


@pytest.mark.usefixtures("every_mode")
@pytest.mark.parametrize(("diameter", "nodes", "kind", "amplitude", "at"), [
    (8.7, 21, "mrg", 2.5e-4, 0.5), (8.7, 21, "mrg", -4e-4, 0.0), (12.8, 9, "mrg", 1.5e-4, 0.1), (4.0, 15, "mrg-interpolated", 6e-4, 0.8)])
def test_sealed_ends_are_those_of_the_plain_cable(diameter: float, nodes: int, kind: str, amplitude: float, at: float) -> None:
    own = Bundle(kind, np.array([diameter * UM]), [field(diameter, nodes, 1e-3, at, kind)], BIPHASIC, ends="sealed", **NEURON)
    other = replace(own, ends="passive")
    found = traced(own, amplitude, 300)
    assert found.max() > 0.0
    assert np.abs(found - plain(own, amplitude, 300, Sealed)[0]).max() < 1e-6
    assert np.abs(found - traced(other, amplitude, 300))[:, 1:-1].max() > 0.1
    assert np.abs(traced(other, amplitude, 300)[:, 1:-1] - plain(other, amplitude, 300)[0][:, 1:-1]).max() < 1e-6


def test_myelinated_fibres_end_passively_unless_told() -> None:
    assert np.array_equal(traced(one(8.7, 21), 2e-4, 100), traced(one(8.7, 21, ends="passive"), 2e-4, 100))


# Spikes and firing.


def crossings(volts: Floats, dt: float, rest: float) -> Floats:
    """s at which (steps,) mV cross -30 mV upwards, by straight lines."""
    v = np.concatenate([[rest], volts])
    at = np.flatnonzero((v[:-1] < SPIKE) & (v[1:] >= SPIKE))
    return dt * (at + (SPIKE - v[at]) / (v[at + 1] - v[at]))


@pytest.mark.parametrize("kind", ["mrg", "sundt"])
def test_spikes_are_the_crossings_of_the_trace(kind: str) -> None:
    train = Course.of((100 * US, 1.0)).repeated(3, 3 * MS)
    own, nodes = (one(8.7, 31, train), [5, 15, -4]) if kind == "mrg" else (one(0.8, 101, train, 1e-4, "sundt"), [0, 50, 90])
    amplitude = 4e-4 if kind == "mrg" else 2e-4
    found = excite(own, ("spikes", "trace"), amplitude=amplitude, nodes=nodes, duration=12 * MS)
    assert found.spike_count.values.max() >= 3
    for k in range(3):
        volts = found.voltage.values[0, k] * 1e3
        wanted = crossings(volts, own.dt, float(volts[-1]))
        assert found.spike_count.values[0, k] == wanted.size
        assert found.spike_time.values[0, k, : wanted.size] == pytest.approx(wanted, abs=1e-9)
        assert np.isnan(found.spike_time.values[0, k, wanted.size :]).all()


def test_spikes_of_second_order_lie_within_the_steps_of_the_trace() -> None:
    own = one(8.7, 31, scheme="second-order")
    found = excite(own, ("spikes", "trace"), amplitude=2.5e-4, nodes=[25], duration=1 * MS)
    assert found.spike_time.values[0, 0] == pytest.approx(crossings(found.voltage.values[0, 0] * 1e3, own.dt, -80.0), abs=1e-9)


@pytest.mark.parametrize("most", [1, 2, 5])
def test_the_first_spikes_are_kept(most: int) -> None:
    own = one(8.7, 31, PULSE.repeated(4, 4 * MS))
    engine = next(iter(own.engines()))[1]
    every = engine.spikes(np.array([3e-4]), 17 * MS, [27], 8, 1)[0, 0]
    assert np.isfinite(every).sum() == 4
    found = engine.spikes(np.array([3e-4]), 17 * MS, [27], most, 1)[0, 0]
    assert found.size == most
    assert np.array_equal(found, every[:most], equal_nan=True)


def test_a_second_of_pulses_gives_a_spike_each() -> None:
    own = one(8.7, 51, Course.of((100 * US, 1.0)).repeated(100, 10 * MS), scheme="second-order", precision="float32")
    amplitude = 1.3 * float(excite(one(8.7, 51)).threshold[0])
    found = excite(own, ("spikes",), amplitude=amplitude, nodes=[45], duration=1.0)
    assert found.spike_count.values.tolist() == [[100]]
    assert np.diff(found.spike_time.values[0, 0]) == pytest.approx(np.full(99, 10 * MS), abs=0.05 * MS)
    assert MOST > 100


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_fires_agrees_with_the_brackets(precision: str, scheme: str) -> None:
    own = ragged(scheme=scheme, precision=precision)
    found = excite(own)
    edges = np.stack([0.5 * found.threshold, found.threshold_lower, found.threshold_upper, 1.5 * found.threshold], axis=1)
    fires = excite(own, ("fires",), amplitude=edges)
    assert fires.fires.dims == ("fibre", "amplitude_step")
    assert fires.fires.values.tolist() == [[False, False, True, True]] * 23
    assert np.array_equal(fires.amplitude.values, edges)
    # the same amplitudes for all
    common = np.array([1e-5, 1e-4, 1e-3])
    for k, fibre in enumerate(excite(own, ("fires",), amplitude=common).fires.values):
        clear = np.abs(common / found.threshold.values[k] - 1) > 1e-3
        assert fibre[clear & (common < 1e-2)].tolist() == (common > found.threshold.values[k])[clear].tolist()
    assert excite(own, ("fires",), amplitude=1e-5).fires.shape == (23, 1)


def test_a_fibre_that_never_fires_says_so_and_leaves_the_others() -> None:
    own = Bundle("mrg", np.full(3, 8.7 * UM), [field(8.7, 31), np.zeros(331), field(8.7, 31, 2e-3)], PULSE, **NEURON)
    found, alone = excite(own, ("threshold", "velocity", "initiation")), excite(chosen(own, [0, 2]))
    assert np.isinf(found.threshold.values).tolist() == [False, True, False]
    assert found.threshold_lower.values[1] == 1.0
    assert found.reason.values.tolist() == ["", "does not fire up to the ceiling of 1 A", ""]
    assert found.attrs["warnings"] == "1 of 3 fibres do not fire up to 1 A"
    assert np.array_equal(bracket(found)[:, [0, 2]], bracket(alone))
    assert np.isnan(found.velocity.values).tolist() == [False, True, False]
    assert found.initiation_node.values[1] == -1
    assert np.isnan(found.initiation_time.values[1])
    assert not found.fires_at_end.values[1]
    low = excite(own, ceiling=2e-5)
    assert np.isinf(low.threshold.values).all()
    assert set(low.reason.values.tolist()) == {"does not fire up to the ceiling of 2e-05 A"}


def test_both_precisions_give_neighbouring_thresholds() -> None:
    single, double = (excite(ragged(precision=precision), tolerance=1e-3).threshold.values for precision in PRECISIONS)
    assert np.abs(np.log(single / double)).max() < 1.01 * np.log1p(1e-3)
    assert (single == double).mean() > 0.7


def test_a_kilohertz_sine_can_be_run() -> None:
    edges = 5 * US * np.arange(1001)
    means = -np.diff(np.cos(2 * np.pi * 10e3 * edges)) / (2 * np.pi * 10e3 * 5 * US)
    sine = Course(edges, np.append(means, 0.0))
    found = [float(excite(one(8.7, 31, sine, scheme="second-order", dt=dt), tolerance=1e-4).threshold[0]) for dt in (5 * US, 2.5 * US)]
    assert np.isfinite(found).all()
    assert found[0] == pytest.approx(found[1], rel=1e-2)
    # a carrier of 50 us phases needs more than one pulse of 100 us, less than ten times as much
    assert 1 < found[0] / float(excite(one(8.7, 31)).threshold[0]) < 10


# Currents.


def ionic(own: Bundle, volts: Floats, gates: Floats) -> Floats:
    """(steps,) A through the channels of a live node at (steps,) mV with (steps, 4) gates."""
    electrical = own.model.cable(np.asarray(own.diameter)[:1])
    membrane, area = electrical.membrane, float(electrical.c_node[0])
    if own.model.per_node == 1:
        m, h, n, slow = gates.T
        sodium, potassium, leak = membrane.g_na * m**3 * h, membrane.g_k * n**3 * slow, membrane.g_l
    else:
        m, p, h, s = gates.T
        sodium, potassium, leak = membrane.g_naf * m**3 * h + membrane.g_nap * p**3, membrane.g_k * s, membrane.g_l
    total = sodium + potassium + leak
    through = total * (volts - membrane.rest) - sodium * membrane.e_na - potassium * membrane.e_k - leak * membrane.e_l
    return 1e-9 * area * through


@pytest.mark.parametrize(("kind", "diameter", "nodes", "distance"), [("mrg", 8.7, 21, 1e-3), ("mrg-small", 3.0, 15, 5e-4), ("sundt", 0.8, 101, 2e-4)])
def test_the_current_of_a_node_charges_it_and_goes_through_its_channels(kind: str, diameter: float, nodes: int, distance: float) -> None:
    """Exactly for backward Euler, whose channels are those before the step; while the stimulus is on and after it."""
    own, node = one(diameter, nodes, BIPHASIC, distance, kind), nodes // 2
    amplitude = 1.5 * float(excite(own).threshold[0])
    found = excite(own, ("current", "trace"), amplitude=amplitude, nodes=[node], duration=2 * MS)
    volts, gates, current = found.voltage.values[0, 0] * 1e3, found.gates.values[0, 0], found.current.values[0, :, own.model.per_node * node]
    assert volts.max() > 0.0
    capacity = 1e-9 * float(own.model.cable(own.diameter).c_node[0])  # F
    through = capacity * 1e-3 * np.diff(volts) / own.dt + ionic(own, volts[1:], gates[:-1])
    assert np.abs(current[1:] - through).max() < 1e-5 * np.abs(current).max()


def test_an_injected_current_leaves_through_the_axolemma() -> None:
    own = one(8.7, 21, injection=Injection(5, Course.of((100 * US, 2e-9))))
    current = excite(own, ("current",), amplitude=0.0, duration=0.2 * MS).current.values[0]
    assert current.sum(axis=1)[:20] == pytest.approx(np.full(20, 2e-9), rel=1e-6)
    assert np.abs(current.sum(axis=1)[20:]).max() < 1e-15


def test_the_current_of_a_node_by_second_order() -> None:
    own = one(8.7, 21, scheme="second-order", dt=1 * US)
    found = excite(own, ("current", "trace"), amplitude=2.5e-4, nodes=[16], duration=1.5 * MS)
    volts, gates, current = found.voltage.values[0, 0] * 1e3, found.gates.values[0, 0], found.current.values[0, :, 11 * 16]
    charging = 1e-9 * float(own.model.cable(own.diameter).c_node[0]) * 1e-3 * (volts[2:] - volts[:-2]) / (2 * own.dt)
    # gates are half a step ahead
    through = charging + ionic(own, volts[1:-1], 0.5 * (gates[:-2] + gates[1:-1]))
    late = np.arange(1, len(volts) - 1) * own.dt > 0.15 * MS
    assert np.abs(current).argmax() * own.dt > 0.15 * MS
    assert np.abs(current[1:-1] - through)[late].max() < 0.02 * np.abs(current).max()


@pytest.mark.parametrize("ends", ["passive", "sealed"])
@pytest.mark.parametrize(("precision", "near"), [("float64", 1e-6), ("float32", 1e-3)])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_current_is_lost(scheme: str, precision: str, near: float, ends: str) -> None:
    own = one(8.7, 21, BIPHASIC, scheme=scheme, precision=precision, ends=ends)
    current = excite(own, ("current",), amplitude=2.5e-4, duration=1.5 * MS).current.values[0]
    assert current.shape == (300, 221)
    assert np.abs(current.sum(axis=1)).max() < near * np.abs(current).max()
    assert (current[:, 0] == 0.0).all() == (ends == "passive")


@pytest.mark.parametrize(("ends", "kind"), [("passive", Plain), ("sealed", Sealed)])
@pytest.mark.parametrize(("diameter", "amplitude"), [(8.7, 2.5e-4), (8.7, -1e-4), (12.8, 1.5e-4)])
def test_currents_are_those_of_the_plain_cable(diameter: float, amplitude: float, ends: str, kind: type[Plain]) -> None:
    """In every compartment; from the first step on, so also while the stimulus is on."""
    patterns = np.stack([field(diameter, 15), 0.5 * field(diameter, 15, 7e-4, 0.7)])
    own = Bundle("mrg", np.array([diameter * UM]), [patterns], (BIPHASIC, LATE), ends=ends, **NEURON)
    found = excite(own, ("current",), amplitude=amplitude, duration=1 * MS).current.values[0]
    wanted = plain(own, amplitude, 200, kind)[1]
    assert np.abs(found - wanted).max() < 1e-6 * np.abs(wanted).max()
    for on in (slice(0, 20), slice(30, 50), slice(100, 120)):
        assert np.abs(found - wanted)[on].max() < 1e-6 * np.abs(wanted[on]).max()


def test_currents_of_second_order_are_those_of_the_plain_cable_in_small_steps() -> None:
    own, fine = one(8.7, 15, BIPHASIC, scheme="second-order"), one(8.7, 15, BIPHASIC, dt=0.25 * US)
    found = excite(own, ("current",), amplitude=1e-4, duration=0.25 * MS).current.values[0]
    wanted = plain(fine, 1e-4, 1000)[1][19::20]
    for on in (slice(1, 20), slice(21, 30), slice(31, 50)):
        assert np.abs(found - wanted)[on].max() < 0.02 * np.abs(wanted).max()


@pytest.mark.parametrize("kind", ["mrg", "sundt"])
def test_what_is_evoked_is_the_weighted_current(kind: str) -> None:
    own = ragged(**NEURON) if kind == "mrg" else one(0.8, 101, BIPHASIC, 2e-4, "sundt")
    own = chosen(own, range(min(5, len(own.diameter))))
    weights = [np.random.default_rng(k).normal(size=(3, p.size)) for k, p in enumerate(own.potentials)]
    found = excite(own, ("current", "evoked"), amplitude=4e-4, duration=1 * MS, weights=weights)
    assert found.evoked.dims == ("fibre", "recording", "time")
    for k, weight in enumerate(weights):
        exact = found.current.values[k, :, : weight.shape[1]] @ weight.T
        assert np.abs(exact).max() > 0.0
        assert np.abs(found.evoked.values[k].T - exact).max() <= 1e-12 * np.abs(exact).max()
    # one recording may be written without its axis
    single = excite(own, ("evoked",), amplitude=4e-4, duration=1 * MS, weights=[weight[0] for weight in weights])
    assert np.abs(single.evoked.values[:, 0] - found.evoked.values[:, 0]).max() <= 1e-12 * np.abs(found.evoked.values).max()


@pytest.mark.parametrize(("kind", "diameter"), [("mrg", 8.7), ("mrg", 12.8), ("mrg-interpolated", 6.3)])
def test_every_period_has_the_same_current_later(kind: str, diameter: float) -> None:
    here, next_one = (travelling_wave(kind, diameter * UM, dt=2 * US, nodes=nodes) for nodes in (41, 43))
    late = float(model(kind).internode(np.array([diameter * UM]))[0]) / float(here.velocity[0])
    time = here.time.values
    assert here.current.shape == (1, time.size, 11)
    node, other = here.current.values[0, :, 0], next_one.current.values[0, :, 0]
    assert np.abs(other).argmax() > np.abs(node).argmax()
    peak = np.abs(node).max()
    assert np.abs(np.interp(time - late, time, node) - other).max() < 0.02 * peak
    assert np.abs(node - other).max() > 0.2 * peak  # the shift is what makes them equal
    for k in range(1, 11):
        assert np.abs(np.interp(time - late, time, here.current.values[0, :, k]) - next_one.current.values[0, :, k]).max() < 0.02 * peak


def test_a_period_gives_back_the_charge_it_took() -> None:
    wave = travelling_wave("mrg", 8.7 * UM)
    current = wave.current.values[0]
    assert np.abs(current[:2]).max() < 1e-3 * np.abs(current).max()  # it comes from afar
    charge = current.sum() * 5 * US
    assert abs(charge) < 0.01 * np.abs(current).sum() * 5 * US
    assert float(wave.velocity[0]) == pytest.approx(float(excite(one(8.7, 51, scheme="second-order"), ("velocity",)).velocity[0]), rel=5e-3)


# Block.


def blocked(row: Row) -> Bundle:
    carrier = Course.of((30 * US, 1.0), (30 * US, -1.0), (40 * US, 0.0)).repeated(round(float(row["train_ms"]) * 10), 100 * US)
    start, width, height = float(row["test_pulse_t_ms"]) * MS, float(row["test_pulse_dur_ms"]) * MS, float(row["test_pulse_nA"]) * 1e-9
    test = Injection(int(row["test_pulse_node"]), Course.of((start, 0.0), (width, height)))
    return one(float(row["diameter_um"]), int(row["n_nodes"]), carrier, float(row["distance_um"]) * UM, dt=float(row["dt_us"]) * US, injection=test)


def window(row: Row) -> tuple[float, float]:
    low, high = row["window_ms"].split("-")
    return float(low) * MS, float(high) * MS


@pytest.mark.parametrize("diameter", ["5.7", "8.7", "12.8"])
def test_block_is_that_of_neuron(diameter: str) -> None:
    (row,) = rows("khz_block_thresholds", diameter_um=diameter)
    known = 1e-3 * np.array([float(row["block_sub_mA"]), float(row["block_supra_mA"])])
    found = excite(blocked(row), ("block",), amplitude=0.75 * known[0], window=window(row))
    low, high = float(found.block_lower[0]), float(found.block_upper[0])
    assert low < high < low * (1 + 1e-3)
    assert known[0] * (1 - 1e-2) < low
    assert high < known[1] * (1 + 1e-2)


def test_block_is_found_without_a_start() -> None:
    (row,) = rows("khz_block_thresholds", diameter_um="8.7")
    own = blocked(row)
    found = excite(own, ("block", "threshold"), window=window(row))
    low, high = float(found.block_lower[0]) * 1e3, float(found.block_upper[0]) * 1e3
    assert 0.97 * float(row["block_sub_mA"]) < low < high < 1.03 * float(row["block_supra_mA"])


def test_what_blocks_nothing_says_so() -> None:
    own = Bundle("mrg", np.array([8.7 * UM]), [np.zeros(221)], PULSE, **NEURON, injection=Injection(5, Course.of((1 * MS, 0.0), (100 * US, 5e-9))))
    found = excite(own, ("block",), amplitude=1e-4, window=(1 * MS, 4 * MS), ceiling=1e-3)
    assert (float(found.block_lower[0]), float(found.block_upper[0])) == (1e-3, np.inf)
    assert np.isinf(excite(own, ("block",), window=(1 * MS, 4 * MS), ceiling=1e-3).block_upper[0])


# Where it begins.


@pytest.mark.parametrize("scheme", SCHEMES)
def test_it_begins_under_the_electrode(scheme: str) -> None:
    places = (0.3, 0.5, 0.7)
    own = Bundle("mrg", np.full(3, 8.7 * UM), [field(8.7, 51, 1e-3, at) for at in places], PULSE, scheme=scheme, precision="float64")
    found = excite(own, ("initiation", "threshold"))
    assert np.abs(found.initiation_node.values - 50 * np.array(places)).max() <= 1
    assert not found.fires_at_end.any()
    assert found.attrs["warnings"] == ""
    assert (found.initiation_time.values > 0).all()
    assert (found.initiation_time.values < 1 * MS).all()
    # the fibre itself says no other: that node's first crossing is the first of all
    first = excite(own, ("spikes",), amplitude=1.05 * found.threshold.values, nodes=range(51)).spike_time.values[:, :, 0]
    assert np.nanmin(first, axis=1) == pytest.approx(found.initiation_time.values)


@pytest.mark.parametrize("ends", ["passive", "sealed"])
def test_firing_at_an_end_is_told(ends: str) -> None:
    first_live = field(8.7, 31, 1e-3, 1 / 30)
    along = np.linspace(0.0, 1.0, 331)  # V/A: a field longer than the fibre drives nothing but its ends
    own = Bundle("mrg", np.full(4, 8.7 * UM), [first_live, 40 * along, -40 * along, field(8.7, 31)], PULSE, ends=ends, **NEURON)
    found = excite(own, ("initiation",))
    assert found.fires_at_end.values.tolist() == [True, True, True, False]
    end = 0 if ends == "sealed" else 1
    assert np.abs(found.initiation_node.values - [1, end, 30 - end, 15]).max() <= 1
    assert found.attrs["warnings"] == "3 of 4 fibres fire first at their end: they are too short for this field"


# What cannot be asked.


def refused(found: pytest.ExceptionInfo[BadInput], where: str, got: str, allowed: str) -> None:
    assert found.value.where == where
    assert got in str(found.value.got)
    assert allowed in found.value.allowed
    for part in (where, got, allowed):
        assert part in str(found.value)


@pytest.mark.parametrize(("outputs", "more", "where", "got", "allowed"), [
    (("treshold",), {}, "outputs", "treshold", "threshold, fires"), (("threshold", "sparks"), {}, "outputs", "sparks", "spikes"),
    (("fires",), {}, "amplitude", "", "excite(..., amplitude=...)"), (("spikes",), {}, "nodes", "", "excite(..., nodes=...)"),
    (("trace",), {}, "nodes", "", "nodes="), (("evoked",), {}, "weights", "", "weights="), (("block",), {}, "window", "", "window="),
    (("block",), {"window": (0.0, 1e-3)}, "injection", "", "Injection(node, course)"),
    (("threshold",), {"tolerance": 0.0}, "tolerance", "0.0", ""), (("threshold",), {"tolerance": np.nan}, "tolerance", "nan", ""),
    (("threshold",), {"ceiling": -1.0}, "tolerance", "-1.0", ""), (("threshold",), {"ceiling": np.inf}, "tolerance", "inf", ""),
    (("fires",), {"amplitude": np.nan}, "amplitude", "nan", "finite A"), (("fires",), {"amplitude": [1e-4, np.inf]}, "amplitude", "inf", "finite"),
    (("trace",), {"amplitude": [1e-4] * 3, "nodes": [0]}, "amplitude", "(3,)", "(2,)"),
    (("trace",), {"amplitude": [[1e-4] * 2], "nodes": [0]}, "amplitude", "(1, 2)", "(2,)"),
    (("trace",), {"amplitude": 1e-4, "nodes": [21]}, "nodes", "21", "-21 to 20"),
    (("spikes",), {"amplitude": 1e-4, "nodes": [-22]}, "nodes", "-22", "-21 to 20"),
    (("evoked",), {"amplitude": 1e-4, "weights": [np.ones(221)]}, "weights", "1 for 2", "(recordings, compartments)"),
    (("evoked",), {"amplitude": 1e-4, "weights": [np.ones(221), np.ones(220)]}, "weights", "", "(recordings, compartments)")])
def test_what_cannot_be_asked_is_refused(outputs: tuple[str, ...], more: dict[str, Any], where: str, got: str, allowed: str) -> None:
    own = Bundle("mrg", np.full(2, 8.7 * UM), [field(8.7, 21)] * 2, PULSE)
    with pytest.raises(BadInput) as found:
        excite(own, outputs, **more)
    refused(found, where, got, allowed)


def test_the_nearest_output_is_named() -> None:
    with pytest.raises(BadInput, match="did you mean 'initiation'"):
        excite(one(), ("inititation",))


def _bad() -> Floats:
    result = field(8.7, 21)
    result[7] = np.nan
    return result


GOOD = field(8.7, 21)


@pytest.mark.parametrize(("change", "where", "got", "allowed"), [
    ({"potentials": [GOOD]}, "potentials", "1", "2"), ({"potentials": [GOOD, GOOD[:-1]]}, "potentials[1]", "(220,)", "11 (N - 1) + 1"),
    ({"potentials": [GOOD[:34], GOOD]}, "potentials[0]", "(34,)", "N at least 5"),
    ({"potentials": [np.stack([GOOD, GOOD]), GOOD]}, "potentials[0]", "(2, 221)", "1 patterns"),
    ({"potentials": [GOOD, _bad()]}, "potentials[1]", "nan", "finite V/A"),
    ({"potentials": [np.where(GOOD < -1, np.inf, GOOD), GOOD]}, "potentials[0]", "inf", "finite"),
    ({"course": (PULSE, PULSE)}, "potentials[0]", "(221,)", "2 patterns"), ({"diameter": np.array([8.7, 9.0]) * UM}, "diameter", "9 um", "8.7"),
    ({"axon": "mrg-interpolated", "diameter": np.array([8.7, 16.5]) * UM}, "diameter", "16.5 um", "2 to 16 um"),
    ({"axon": "mrg-small", "diameter": np.array([8.7, 0.9]) * UM}, "diameter", "0.9 um", "1.011 to 16 um"),
    ({"dt": 200 * US}, "dt", "200 us", "up to 100 us"), ({"injection": Injection(21, PULSE)}, "injection.node", "21", "0 to 20"),
    ({"injection": Injection(-1, PULSE)}, "injection.node", "-1", "0 to 20"), ({"ends": "open"}, "ends", "open", "passive, sealed"),
    ({"device": "tpu"}, "device", "tpu", "cpu, cuda"), ({"scheme": "crank-nicolson"}, "scheme", "crank-nicolson", "second-order, backward-euler"),
    ({"precision": "float16"}, "precision", "float16", "float32, float64")])
def test_what_cannot_be_run_is_refused(change: dict[str, Any], where: str, got: str, allowed: str) -> None:
    with pytest.raises(BadInput) as found:
        excite(Bundle(**({"axon": "mrg", "diameter": np.full(2, 8.7 * UM), "potentials": [GOOD, GOOD], "course": PULSE} | change)))
    refused(found, where, got, allowed)


TEST_PULSE = Injection(5, Course.of((1 * MS, 0.0), (100 * US, 5e-9)))


@pytest.mark.parametrize(("change", "outputs", "more"), [
    ({"dt": 0.0}, ("threshold",), {}), ({"dt": np.nan}, ("threshold",), {}), ({"course": ()}, ("threshold",), {}),
    *(({}, ("trace",), {"amplitude": 1e-4, "nodes": [10], "duration": duration}) for duration in (0.0, -1 * MS, np.nan, np.inf)),
    ({}, ("fires",), {"amplitude": np.ones((3, 2))}), ({}, ("fires",), {"amplitude": np.ones((2, 2, 2))}),
    ({}, ("evoked",), {"amplitude": 1e-4, "weights": [np.ones((2, 221)), np.ones((3, 221))]}),
    ({}, ("evoked",), {"amplitude": 1e-4, "weights": [np.full(221, np.nan)] * 2}), ({}, ("evoked",), {"amplitude": 1e-4, "weights": [1.0, 1.0]}),
    ({"injection": TEST_PULSE}, ("block",), {"amplitude": np.ones(3), "window": (1 * MS, 3 * MS)}),
    ({"injection": TEST_PULSE}, ("block",), {"amplitude": 1e-4, "window": (3 * MS, 1 * MS)}),
    ({"injection": TEST_PULSE}, ("block",), {"amplitude": 1e-4, "window": (np.nan, 3 * MS)}),
    ({"injection": Injection(5, Course.of((12 * US, 0.0), (1 * US, 5e-9)))}, ("trace",), {"amplitude": 1e-4, "nodes": [5]})])
def test_what_has_no_meaning_is_refused(change: dict[str, Any], outputs: tuple[str, ...], more: dict[str, Any]) -> None:
    own = Bundle(**({"axon": "mrg", "diameter": np.full(2, 8.7 * UM), "potentials": [GOOD, GOOD], "course": PULSE} | NEURON | change))
    with pytest.raises(BadInput):
        excite(own, outputs, **more)


def test_a_bundle_is_public() -> None:
    found = ep.excite(ep.Bundle("mrg", np.array([8.7 * UM]), [field(8.7, 31)], PULSE))
    assert found.attrs["product"] == "excitation"
    assert found.threshold.attrs["units"] == "A"
    assert float(found.threshold_lower[0]) <= float(found.threshold[0]) <= float(found.threshold_upper[0])
