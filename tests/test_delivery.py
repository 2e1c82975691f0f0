"""What the electrodes see, over every type of stimulation."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epidura import program_file
from epidura.delivery import Delivery, Electronics, deliver, deliver_stretch, patterns, separated, volts_per_ampere
from epidura.errors import BadCase
from epidura.numerics import course as courses
from epidura.program import CASE, Program
from epidura.recipe import read_recipe
from epidura.schedule import impulses
from epidura.waveform import family

AREA = 12e-6
SAMPLED = {"times": ["0 us", "100 us", "300 us"], "values": [1, -0.5, 0]}


@cache
def field(count: int = 6) -> Any:
    """Contacts in a row in tissue: impedances that fall with the distance."""
    at = np.arange(count)
    impedance = 350.0 / (1.0 + 0.8 * np.abs(at[:, None] - at)) + 250.0 * np.eye(count)
    contacts = tuple(SimpleNamespace(number=k + 1, area=AREA) for k in range(count))
    return SimpleNamespace(contacts=tuple(range(1, count + 1)), impedance=impedance, canal=SimpleNamespace(contacts=contacts))


def program(waveform: Any = "tonic", contacts: Any = None, **more: Any) -> Program:
    given_wave = {"kind": waveform, **(SAMPLED if waveform == "sampled" else {})} if isinstance(waveform, str) else waveform
    made: Program = read_recipe(Program, {"name": "p", "waveform": given_wave, "contacts": contacts or {3: -1, 2: 0.5, 5: 0.5},
                                          "amplitude": "2 mA", **more})
    return made


def integral(d: Delivery, values: Any) -> Any:
    return (values.T * d.duration).sum(axis=-1)


def small_steps(made: Program, d: Delivery) -> tuple[float, float, Any]:
    """One cycle by the midpoint rule, 400 steps a phase: J from the sources, J of heat, (e,) C that have passed.

    Contacts are joined by the law of Kirchhoff alone: nothing of ``numerics.discharge`` is used but the charges with which the cycle begins.
    """
    numbers, e = d.contacts, len(d.contacts)
    at = [n - 1 for n in numbers if n != CASE]
    series, elastance = np.zeros((e, e)), np.array([0.0 if n == CASE else 1 / Electronics().capacitor for n in numbers])
    series[: len(at), : len(at)] = field(8).impedance[np.ix_(at, at)]
    begun, charge, source, heat = d.residual.copy(), np.zeros(e), 0.0, 0.0

    def held(places: list[int], volts: Any, dt: float, q: Any) -> Any:
        k = len(places)
        matrix = np.zeros((k + 1, k + 1))
        matrix[:k, :k] = series[np.ix_(places, places)] + np.diag(elastance[places]) * dt / 2
        matrix[:k, k], matrix[k, :k] = -1.0, 1.0
        current = np.zeros(e)
        current[places] = np.linalg.solve(matrix, np.append(volts - elastance[places] * q[places], 0.0))[:k]
        return current

    def go(duration: float, current: Any = None, places: Any = (), volts: Any = 0.0) -> None:
        nonlocal charge, source, heat
        dt = duration / 400
        for _ in range(400):
            i = np.zeros(e) if current is None else current
            if len(places):
                i = held(list(places), volts, dt, begun + charge)
            terminals = series @ i + elastance * (begun + charge + i * dt / 2)
            if current is not None:
                source += float(terminals @ i) * dt
            elif len(places):
                source += float(volts @ i[list(places)]) * dt
            heat += float(i @ series @ i) * dt
            charge = charge + i * dt

    def used(train: Any) -> list[int]:
        return [k for k, n in enumerate(numbers) if train.contacts.get(n, 0.0)]

    resting = sorted({k for train in made.trains if train.waveform.passive for k in used(train)})
    t = 0.0
    for impulse in impulses(made.model_copy(update={"cycle": None, "ramp_up": 0.0}), d.cycle - 1e-6):
        if impulse.time > t + 1e-9:
            go(impulse.time - t, places=resting, volts=np.zeros(len(resting)))
        train, level = made.trains[impulse.train], d.amplitude[impulse.train]
        fractions = np.array([train.contacts.get(n, 0.0) for n in numbers])
        for duration, value in train.waveform.pulse().phases():
            if value and train.amplitude.voltage is not None:
                go(duration, places=used(train), volts=level * value * (fractions[used(train)] > 0))
            else:
                go(duration, current=level * value * fractions)
        t = impulse.end
    if d.cycle > t + 1e-9:
        go(d.cycle - t, places=resting, volts=np.zeros(len(resting)))
    return source, heat, charge


def same_energy(made: Program) -> None:
    d = deliver(made, field(8))
    source, heat, charge = small_steps(made, d)
    assert d.energy == pytest.approx(source, rel=1e-4)
    assert d.heat == pytest.approx(heat, rel=1e-4)
    assert d.heat == pytest.approx(d.energy, rel=1e-6)  # over a cycle the capacitors keep nothing
    assert np.abs(charge).max() < 1e-4 * d.excursion.max()


PROGRAMS = sorted((Path(__file__).parents[1] / "examples" / "programs").glob("*.json"))


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
class TestEveryProgramOfTheExamples:
    """As clinicians program them: also what is no kind of waveform but bursts recharged after every pulse, several trains, turns, a voltage."""

    @staticmethod
    def read(path: Path) -> Program:
        (made,) = program_file.read(path).programs
        return made

    def test_charge_is_balanced(self, path: Path) -> None:
        d = deliver(self.read(path), field(8))
        assert not d.direct_current.any()
        assert np.abs(integral(d, d.record.current)).max() < 1e-9 * d.charge_per_phase.max()
        assert np.abs(d.record.current.sum(axis=1)).max() < 1e-12

    def test_energy_against_numerical_integration(self, path: Path) -> None:
        same_energy(self.read(path))

    def test_everything_scales_with_the_amplitude(self, path: Path) -> None:
        made = self.read(path)
        one = deliver(made, field(8))
        other = deliver(made, field(8), [1.7 * level for level in one.amplitude])
        np.testing.assert_allclose(other.record.current, 1.7 * one.record.current, rtol=1e-6, atol=1e-12)
        assert other.energy == pytest.approx(1.7**2 * one.energy, rel=1e-6)
        assert other.compliance == pytest.approx(1.7 * one.compliance, rel=1e-6)

    def test_pulses_never_overlap_and_nothing_is_driven_outside_them(self, path: Path) -> None:
        made = self.read(path).but(cycle={"on": "60 ms", "off": "30 ms"}, ramp_up="40 ms")
        due = list(impulses(made, 0.2))
        assert all(after.time >= before.end - 1e-9 for before, after in pairwise(due))
        assert {impulse.train for impulse in due} == set(range(len(made.trains)))
        assert all(impulse.time % 0.09 < 0.06 for impulse in due)
        d = deliver_stretch(made, field(8), duration=0.2)
        middle = 0.5 * (d.record.edges[1:] + d.record.edges[:-1])
        inside = np.array([[i.time < t < i.end for i in due] for t in middle])
        assert inside[d.driven].any(axis=1).all()
        which = np.array([due[k].train for k in inside[d.driven].argmax(axis=1)])
        assert (which == d.train[d.driven]).all()
        if not any(train.waveform.passive for train in made.trains):
            assert not d.record.current[~d.driven].any()


@pytest.mark.parametrize("kind", family.members)
class TestEveryType:
    def test_charge_is_balanced(self, kind: str) -> None:
        d = deliver(program(kind), field())
        assert not d.added.any()
        assert not d.direct_current.any()
        net = integral(d, d.record.current)
        assert np.abs(net).max() < 1e-9 * d.charge_per_phase.max()
        assert np.abs(d.record.current.sum(axis=1)).max() < 1e-12

    def test_nothing_is_driven_outside_the_pulses(self, kind: str) -> None:
        made = program(kind)
        d = deliver(made, field())
        assert d.record.edges[0] == 0.0
        assert d.record.edges[-1] == pytest.approx(made.waveform.period)
        assert d.duration[d.driven].sum() == pytest.approx(sum(t for t, v in made.waveform.pulse().phases() if v != 0), rel=1e-9)
        quiet = ~d.driven & (d.record.edges[:-1] < made.waveform.pulse().end - 1e-9)
        assert not d.record.current[quiet].any()
        if not made.waveform.passive:
            assert not d.record.current[~d.driven].any()

    def test_energy_against_numerical_integration(self, kind: str) -> None:
        same_energy(program(kind))

    @settings(deadline=None, max_examples=8)
    @given(factor=st.floats(0.01, 50))
    def test_everything_scales_with_the_amplitude(self, kind: str, factor: float) -> None:
        one, other = deliver(program(kind), field()), deliver(program(kind), field(), [2e-3 * factor])
        np.testing.assert_allclose(other.record.current, factor * one.record.current, rtol=1e-6, atol=1e-12 * factor)
        assert other.compliance == pytest.approx(factor * one.compliance, rel=1e-6)
        assert other.energy == pytest.approx(factor**2 * one.energy, rel=1e-6)
        assert other.shannon == pytest.approx(one.shannon + 2 * np.log10(factor), abs=1e-6)

    def test_fibres_see_what_the_electrodes_see(self, kind: str) -> None:
        made = program(kind)
        d = deliver(made, field(), [1.0])
        mixing, courses = patterns(made, field())
        edges = courses[0].times
        seen = sum(row[None] * course.values[:, None] for row, course in zip(mixing, courses, strict=True))
        # charges along one cycle, at all edges of both
        at = np.unique(np.concatenate([edges[edges <= d.cycle], d.record.edges[d.record.edges <= edges[-1]]]))
        ours = np.concatenate([np.zeros((1, len(mixing[0]))), np.cumsum(seen[:-1] * np.diff(edges)[:, None], axis=0)])
        for k, number in enumerate(d.contacts):
            want = np.interp(d.record.edges, d.record.edges, d.record.charge[:, k])
            got = np.interp(d.record.edges, edges, ours[:, number - 1])
            inside = d.record.edges <= min(edges[-1], d.cycle) + 1e-12
            np.testing.assert_allclose(got[inside], want[inside], atol=0.02 * np.abs(want).max())
            pulses = d.record.edges <= made.waveform.pulse().end + 1e-12
            np.testing.assert_allclose(got[pulses], want[pulses], atol=1e-9 * np.abs(want).max())
        assert at.size > 1


def test_the_worked_examples_of_the_limits() -> None:
    """evidence/electrical_limits.csv: charge, density and k of a cathode of 0.12 cm2 that carries all."""
    for kind, more, milliampere, charge, density, k in (
        ({"kind": "tonic", "pulse_width": "300 us"}, {}, 5, 1.5, 12.5, 1.27),
        ({"kind": "tonic", "pulse_width": "450 us"}, {}, 8, 3.6, 30.0, 2.03),
        ({"kind": "burst"}, {}, 2, 2.0, 16.67, 1.52),
        ({"kind": "high-frequency"}, {}, 3, 0.09, 0.75, -1.17),
        ({"kind": "high-density"}, {}, 3, 0.27, 2.25, -0.22),
    ):
        d = deliver(program(kind, {3: -1, 5: 1}, amplitude=f"{milliampere} mA", **more), field())
        assert d.charge_per_phase.max() * 1e6 == pytest.approx(charge)
        assert np.nanmax(d.charge_density) * 1e2 == pytest.approx(density, abs=0.005)
        assert d.shannon == pytest.approx(k, abs=0.005)


def test_doubling_the_frequency_doubles_the_power() -> None:
    powers = [(lambda d: d.energy / d.cycle)(deliver(program({"kind": "tonic", "frequency": f"{f} Hz"}), field())) for f in (40, 80)]
    assert powers[1] == pytest.approx(2 * powers[0], rel=1e-12)


def test_compliance_of_a_bipole_is_ohms_law() -> None:
    d = deliver(program("tonic", {3: -1, 5: 1}), field(), electronics=Electronics(capacitor=np.inf, resistance=10.0))
    z = field().impedance
    ohm = z[2, 2] + z[4, 4] - 2 * z[2, 4] + 20
    assert d.compliance == pytest.approx(2e-3 * ohm)
    assert volts_per_ampere(program("tonic", {3: -1, 5: 1}), field(), Electronics(np.inf, 10.0)) == pytest.approx(ohm)
    # a capacitor adds what it has been charged with at the end of the pulse
    with_one = deliver(program("tonic", {3: -1, 5: 1}), field(), electronics=Electronics(capacitor=5e-6, resistance=10.0))
    assert with_one.compliance == pytest.approx(2e-3 * ohm + 2 * 2e-3 * 300e-6 / 5e-6, rel=1e-9)


def test_the_case_as_anode() -> None:
    d = deliver(program("tonic", {3: -1, "case": 1}), field(), electronics=Electronics(np.inf))
    assert d.contacts == (3, 0)
    assert np.isnan(d.area[1])
    assert d.compliance == pytest.approx(2e-3 * field().impedance[2, 2])
    mixing, _ = patterns(program("tonic", {3: -1, "case": 1}), field())
    np.testing.assert_array_equal(mixing, [[0, 0, -1, 0, 0, 0]])


def test_one_source_lets_the_tissue_split_the_current() -> None:
    made = program("tonic", {2: -0.5, 3: -0.5, 6: 1}, sources="single")
    mixing, courses = patterns(made, field(), Electronics(np.inf))
    share = mixing[0]
    assert share[1] + share[2] == pytest.approx(-1)
    assert share[5] == pytest.approx(1)
    volts = field().impedance @ share
    assert volts[1] == pytest.approx(volts[2])  # both cathodes at one potential
    assert share[1] != pytest.approx(share[2])
    assert len(courses) == 1
    d = deliver(made, field(), electronics=Electronics(np.inf))
    np.testing.assert_allclose(d.record.current[0], 2e-3 * share[[1, 2, 5]])


def test_a_voltage_drives_what_the_load_takes_and_sags_with_the_capacitors() -> None:
    made = program({"kind": "tonic", "shape": "passive"}, {3: -1, 5: 1}, sources="single", amplitude="3 V")
    electronics = Electronics(capacitor=4e-6)
    ohm = volts_per_ampere(made, field(), electronics)
    d = deliver(made, field(), electronics=electronics)
    tau = ohm * 2e-6
    rest = 20e-3 - 300e-6
    # settled: q = V C (1 - a) / (1 - a b), with a and b what is left of a deviation after the pulse and after the rest
    a, b = np.exp(-300e-6 / tau), np.exp(-rest / tau)
    top = 3.0 * 2e-6 * (1 - a) / (1 - a * b)
    assert d.charge_per_phase[0] == pytest.approx(top - top * b, rel=1e-9)
    assert d.compliance == pytest.approx(3.0)
    _, courses = patterns(made, field(), electronics)
    assert courses[0].values[0] < 1.0  # mean of the first piece of a current that begins at 1 A and sags
    assert courses[0].values[0] > 0.9


def test_passive_recharge_of_three_contacts_needs_more_than_one_pattern() -> None:
    made = program({"kind": "tonic", "shape": "passive"}, {1: -1, 2: 0.8, 6: 0.2})
    mixing, courses = patterns(made, field(), Electronics(capacitor=2e-6))
    assert len(mixing) == len(courses) == 2
    np.testing.assert_allclose(mixing[0], [-1, 0.8, 0, 0, 0, 0.2])
    assert courses[0].values[0] == pytest.approx(1.0)
    assert courses[1].values[0] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("contacts", [{2: -0.5, 3: 0.5, 4: -0.5, 6: 0.5}, {1: -0.5, 2: -0.5, 3: 0.5, 4: 0.2, 5: 0.3}])
def test_nothing_flows_between_the_pulses_of_a_burst(contacts: Any) -> None:
    """What rounding leaves there would drive a fibre on: a search of several contacts took twice as long."""
    _, seen = patterns(program("burst", contacts), field())
    assert len(seen) > 1
    samples = np.stack([course.step_means(5e-6) for course in seen])
    ms = 5e-3 * np.arange(samples.shape[1])
    for k in range(4):
        assert not samples[:, (ms > 1 + 2 * k) & (ms < 2 + 2 * k - 0.01)].any()
        assert samples[0, (ms > 2 * k) & (ms < 1 + 2 * k - 0.01)] == pytest.approx(1.0)


@pytest.mark.parametrize("contacts", [{3: -1, 4: 1}, {3: -1, 2: 0.5, 5: 0.5}, {3: -1, "case": 1}])
def test_the_only_edges_of_a_passive_recharge_are_those_of_the_pulses(contacts: Any) -> None:
    """A staircase that a fibre answers to moved thresholds of bursts by up to a third."""
    made = program("burst", contacts)
    _, seen = patterns(made, field())
    samples = np.stack([course.step_means(5e-6) for course in seen])
    pulses = made.waveform.pulse().times
    assert 5e-6 * np.flatnonzero(courses.edges(samples)) == pytest.approx(pulses, abs=1e-9)


def test_interleaved_trains_share_one_cycle() -> None:
    base = {"kind": "tonic", "shape": "symmetric", "pulse_width": "150 us"}
    prime = {"waveform": {**base, "frequency": "300 Hz"}, "contacts": {4: -1, 5: 1}, "amplitude": "1 mA"}
    made = program(base, {1: -1, 2: 1}, interleaved=[prime])
    d = deliver(made, field())
    assert d.cycle == pytest.approx(20e-3)
    assert d.contacts == (1, 2, 4, 5)
    flows = np.abs(d.record.current) > 0
    assert not (flows[:, :2].any(axis=1) & flows[:, 2:].any(axis=1)).any()
    assert d.charge_per_phase == pytest.approx([0.3e-6, 0.3e-6, 0.15e-6, 0.15e-6])
    assert d.pulses_per_second == pytest.approx(350)


def test_charge_that_stays_is_reported() -> None:
    d = deliver(program({"kind": "tonic", "shape": "monophasic"}, {3: -1, 5: 1}), field())
    assert d.direct_current == pytest.approx([-2e-3 * 300e-6 * 50, 2e-3 * 300e-6 * 50])


@pytest.mark.parametrize(("made", "words"), [
    (lambda: program(amplitude="auto"), "programs.amplitude: is not known without the fibres; got 'auto'"),
    (lambda: program(contacts={9: -1, 2: 1}), "programs.contacts.9: there is no such contact; got 9; allowed: 1 to 6, or case"),
])
def test_what_is_refused(made: Any, words: str) -> None:
    with pytest.raises(BadCase) as failure:
        deliver(made(), field(), where="programs.")
    assert str(failure.value).startswith(words)


@pytest.mark.parametrize("own", [False, True])
def test_patterns_and_courses_add_up_to_the_currents(own: bool) -> None:
    """Three contacts discharge each at its own speed, so that one pattern is not enough; the case has no place among them."""
    d = deliver(program("burst", {2: 0.3, 3: -1, 5: 0.2, "case": 0.5}), field(), electronics=Electronics(4e-6))
    first = np.array([0.3, -1.0, 0.2, 0.5]) if own else None
    rows, courses = separated(d.record, d.contacts, field(), 2.0, first)
    current = np.zeros((len(d.duration), 6))
    current[:, [1, 2, 4]] = 2.0 * d.record.current[:, :3]
    assert len(rows) == len(courses) == 3
    assert all(np.array_equal(course.times, d.record.edges) for course in courses)
    np.testing.assert_allclose(np.stack([course.values[:-1] for course in courses], axis=1) @ rows, current, atol=1e-6 * np.abs(current).max())
    if own:
        np.testing.assert_array_equal(rows[0], [0, 0.3, -1, 0, 0.2, 0])
        assert np.abs(rows[1:] @ rows[0]).max() < 1e-6
