"""Firing in time: what one fibre must do, what programs are on the time grid, and that lots change nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tiny_case import TINY

import epidura as ep
from epidura import axon
from epidura.delivery import Electronics, deliver, volts_per_ampere
from epidura.errors import BadInput
from epidura.firing import Firing, choose, fire, stimulus, summary, traced, usual_duration
from epidura.product import Canal, LeadField
from epidura.program import Program
from epidura.recipe import read_recipe
from epidura.recruitment import PLACED, Engine, grouped, place_fibres, recruit
from epidura.schedule import impulses

FINE = Engine(precision="float64")


def program(waveform: dict[str, Any], contacts: Any = None, **more: Any) -> Program:
    made: Program = read_recipe(Program, {"name": "p", "waveform": waveform, "contacts": contacts or {4: -1, 5: 1}, **more})
    return made


def tonic(frequency: str = "50 Hz", **more: Any) -> dict[str, Any]:
    return {"kind": "tonic", "frequency": frequency, "pulse_width": "200 us", "shape": "symmetric", **more}


@pytest.fixture(scope="module")
def fibres() -> Any:
    (population,) = ep.read({**TINY, "fibres": {"kind": "dorsal-column", "count": 40}}).fibres
    return population


@pytest.fixture(scope="module")
def field() -> LeadField:
    """Point sources in an infinite medium at the contacts of an octrode."""
    case = ep.read(TINY)
    canal: Canal = ep.build_canal(case.anatomy, case.leads, accuracy="fast")
    places = np.array([[shaft.x, shaft.y, (c.z0 + c.z1) / 2] for shaft in canal.shafts for c in shaft.contacts])

    def sample(points: np.ndarray) -> np.ndarray:
        return 1.0 / (np.pi * np.linalg.norm(points[None] - places[:, None], axis=2))

    apart = np.abs(np.subtract.outer(places[:, 2], places[:, 2]))
    return LeadField(tuple(c.number for c in canal.contacts), 300.0 * np.eye(len(places)) + 200.0 / (1.0 + apart / 5e-3), sample, canal)


def thresholds(field: LeadField, fibres: Any, one: Program, electronics: Electronics | None = None) -> np.ndarray:
    return recruit(field, fibres, one, electronics=electronics).threshold.values[0]


class TestOneFibre:
    def test_a_tonic_train_far_above_threshold_fires_once_a_pulse_at_its_latency(self, field, fibres):
        """The latency is that of one pulse alone, from the engine itself."""
        one = program(tonic())
        lowest = thresholds(field, fibres, one)
        k = int(np.argmin(lowest))
        found = fire(field, fibres, one, 2 * lowest[k], duration=0.2, engine=FINE, chosen=np.array([k]))
        assert found.spike_count.values.tolist() == [10]
        assert found.rate.values == pytest.approx(50)
        assert found.answered.values.tolist() == [1.0]
        placed = place_fibres(field.canal, [fibres])
        model = axon.family.read({"kind": fibres.axon})
        (group,) = [g for g in grouped(field, placed, {fibres.kind: model}, one.contacts, one.drive(field.contacts)[None], reach=PLACED)
                    if k in g.members]
        at = list(group.members).index(k)
        engine = model.engine(group.diameter[[at]], group.nodes, group.potentials[[at]], one.waveform.pulse().step_means(5e-6)[None], 5e-6,
                              precision="float64", onwards=True)
        alone = engine.spikes(np.array([2 * lowest[k]]), 10e-3, [engine.detect], 4, 1)[0, 0]
        assert np.isfinite(alone).sum() == 1
        assert float(found.spike_time[0, 0]) == pytest.approx(alone[0], abs=1e-6)  # a train has coarser steps after its edges than one pulse
        since = found.spike_time.values[0] - 0.02 * np.arange(10)
        assert since == pytest.approx(alone[0], abs=25e-6)  # what is left of the one before slows it a little
        assert found.latency.item() == pytest.approx(np.median(since), abs=1e-9)
        assert found.vector_strength.item() > 0.9999
        assert 0 < float(found.initiation_time[0, 0]) < alone[0]
        assert found.spike_pulse.values[0].tolist() == list(range(10))

    def test_below_threshold_nothing_fires(self, field, fibres):
        one = program(tonic())
        lowest = thresholds(field, fibres, one).min()
        found = fire(field, fibres, one, 0.97 * lowest, duration=50e-3)
        assert not found.spike_count.values.any()
        assert not found.rate.values.any()
        assert np.isnan(found.latency.values).all()
        told = summary(found)
        assert (told["fire"], told["rate_Hz"], told["rate_range_Hz"], told["together"]) == (0, None, None, None)

    @pytest.mark.parametrize("k", [2, 3])
    def test_in_a_burst_pulse_k_fires_first_between_the_thresholds_of_k_and_one_pulse_less(self, field, fibres, k):
        """Pulses that follow each other fast add up: the threshold falls from pulse to pulse."""
        def packet(pulses: int) -> Program:
            return program({"kind": "burst", "frequency": "20 Hz", "intra_frequency": "5 kHz", "pulse_width": "150 us", "pulses": pulses})

        bare = Electronics(capacitor=1e6)  # so large that joining the contacts moves nothing
        some = fibres.but(count=4)
        of_k, of_fewer = (thresholds(field, some, packet(n), bare) for n in (k, k - 1))
        assert (of_k < 0.97 * of_fewer).all()
        for j in range(2):
            level = float(np.sqrt(of_k[j] * of_fewer[j]))
            found = fire(field, some, packet(5), level, duration=40e-3, electronics=bare, chosen=np.array([j]))
            assert found.first_pulse.item() == k
            assert found.pulse_number.values[found.spike_pulse.values[0, 0]] == k

    def test_the_passive_recharge_of_a_packet_can_fire_where_its_pulses_do_not(self, field, fibres):
        """A packet through 4 uF comes back in about a millisecond, stronger than its pulses; through a large capacitor it does not."""
        one, some, small = program({"kind": "burst"}), fibres.but(count=4), Electronics(capacitor=4e-6)
        lowest, bare = thresholds(field, some, one, small), thresholds(field, some, one, Electronics(capacitor=1e6))
        assert (lowest < 0.7 * bare).all()
        k = int(np.argmin(lowest))
        found = fire(field, some, one, 1.05 * lowest[k], electronics=small, chosen=np.array([k]))
        assert found.first_pulse.item() == 5
        assert float(found.initiation_time[0, 0]) > one.waveform.pulse().end

    def test_a_kilohertz_train_fires_at_the_onset_goes_on_and_blocks(self, field, fibres):
        one = program({"kind": "high-frequency"})
        lowest = thresholds(field, fibres, one)
        k = int(np.argmin(lowest))
        just = fire(field, fibres, one, 1.3 * lowest[k], chosen=np.array([k]))
        assert float(just.duration) == 50e-3
        assert 100 < just.rate.item() < 1000
        assert just.vector_strength.item() < 0.7  # not in the rhythm of the carrier
        assert np.isnan(just.blocked.values).all()
        far = fire(field, fibres, one, 2 * lowest[k], chosen=np.array([k]))
        assert far.onset_rate.item() > 0
        assert far.rate.item() == 0
        assert far.blocked.values.tolist() == [1.0]

    def test_a_fibre_that_fell_silent_by_itself_is_not_blocked(self, field, fibres):
        """The train is switched off before the fibre is asked."""
        one = program({"kind": "high-frequency"}, cycle={"on": "15 ms", "off": "1 s"})
        lowest = thresholds(field, fibres, program({"kind": "high-frequency"}))
        k = int(np.argmin(lowest))
        found = fire(field, fibres, one, 1.3 * lowest[k], chosen=np.array([k]))
        assert found.spike_count.values[0] > 0
        assert found.blocked.values.tolist() == [0.0]


def currents(seen: Any) -> np.ndarray:
    """(steps, contacts) A into tissue."""
    return seen.level * seen.samples.T @ seen.mixing


class TestTheTimeGrid:
    def test_interleaved_trains_add(self, field):
        """The course of both is the sum of the courses of each, every pulse where the schedule puts it."""
        two = program(tonic("50 Hz"), interleaved=[{"waveform": tonic("70 Hz", pulse_width="90 us"), "contacts": {1: -1, 2: 1}}])
        levels, dt = (1e-3, 2e-3), 5e-6
        seen = stimulus(two, field, levels, 0.1)
        sums = np.zeros((20000, 8))
        for impulse in impulses(two, 0.1):
            train = two.trains[impulse.train]
            course = train.waveform.pulse()
            t = impulse.time + np.concatenate([course.times])
            # charge that has flowed at every step of the grid
            flowed = np.interp(dt * np.arange(20001), t, np.concatenate([[0.0], np.cumsum(course.values[:-1] * np.diff(course.times))]))
            sums += np.diff(flowed)[:, None] / dt * levels[impulse.train] * train.drive(field.contacts)
        assert currents(seen) == pytest.approx(sums, abs=1e-9)
        assert len(seen.pulse) == len(list(impulses(two, 0.1)))

    def test_trains_that_meet_on_a_fibre_both_fire_it(self, field, fibres):
        """Far enough apart in time, the action potentials of two trains are those of each alone."""
        one, other = tonic("20 Hz"), {"waveform": tonic("10 Hz"), "contacts": {3: -1, 4: 1}}
        two = program(one, interleaved=[other])
        lowest = recruit(field, fibres, two).threshold.values
        k = int(np.argmin(lowest.max(axis=0)))
        level = (1.4 * lowest[:, k]).tolist()
        both = fire(field, fibres, two, level, duration=0.2, chosen=np.array([k]))
        each = [fire(field, fibres, two.alone(i), level[i], duration=0.2, chosen=np.array([k])) for i in (0, 1)]
        assert [e.spike_count.item() for e in each] == [4, 2]
        # the second train always comes right after the first one, into its refractory time
        assert both.spike_count.item() == 4
        apart = program(one, interleaved=[{**other, "waveform": tonic("27 Hz")}])
        answered = fire(field, fibres, apart, level, duration=0.2, chosen=np.array([k]))
        assert answered.spike_count.item() == 4 + 5  # of six pulses of the second train the first is refractory
        assert set(answered.pulse_train.values[answered.spike_pulse.values[0]]) == {0, 1}

    @pytest.mark.parametrize("waveform", [{"kind": "burst"}, tonic("100 Hz", shape="passive"), {"kind": "high-density"}, {"kind": "high-frequency"}])
    def test_a_whole_number_of_periods_keeps_the_charge(self, field, waveform):
        one = program(waveform, contacts={3: 0.4, 4: -1, 5: 0.6})
        periods = 4
        flow = currents(stimulus(one, field, 1e-3, periods * one.waveform.period))
        assert np.abs(flow).max() > 0.9e-3
        assert np.abs(flow.sum(axis=0)).max() < 1e-6 * np.abs(flow).sum(axis=0).max()

    def test_passive_recharge_is_that_of_the_electrodes(self, field):
        one = program({"kind": "burst"}, contacts={3: 0.4, 4: -1, 5: 0.6})
        cycle = deliver(one, field, [1e-3], finely=True)
        flow = currents(stimulus(one, field, 1e-3, 2 * one.waveform.period))
        at = [list(field.contacts).index(n) for n in cycle.contacts]
        charge = 5e-6 * np.cumsum(flow[:5000, at], axis=0)
        exact = np.stack([np.interp(5e-6 * np.arange(1, 5001), cycle.record.edges, q) for q in cycle.record.charge.T], axis=1)
        assert charge == pytest.approx(exact, abs=1e-5 * np.abs(exact).max())
        assert flow[5000:] == pytest.approx(flow[:5000], abs=1e-9)  # the second period is as the first

    def test_turns_ramps_and_a_closed_loop_count(self, field):
        one = program(tonic("100 Hz"), cycle={"on": "50 ms", "off": "30 ms"}, ramp_up="20 ms")
        seen = stimulus(one, field, 1e-3, 0.13)
        flow = np.abs(currents(seen)[:, 3])
        assert not flow[10000:16000].any()  # off from 50 to 80 ms
        peaks = [float(flow[round(t / 5e-6) : round(t / 5e-6) + 40].max()) for t in (0.0, 0.01, 0.02, 0.04, 0.08, 0.09, 0.1)]
        assert peaks == pytest.approx([0, 0.5e-3, 1e-3, 1e-3, 0, 0.5e-3, 1e-3], abs=1e-9)
        steered = stimulus(program(tonic("100 Hz")), field, 1e-3, 0.03, controller=lambda number, time: 1.0 + number)
        peaks = [float(np.abs(currents(steered)[2000 * k : 2000 * (k + 1), 3]).max()) for k in range(3)]
        assert peaks == pytest.approx([1e-3, 2e-3, 3e-3])

    def test_an_amplitude_in_volts_is_scaled_to_its_current(self, field):
        one = program(tonic(shape="passive"), sources="single", amplitude="1 V")
        small = Electronics(capacitor=4e-6)  # empty again after every period
        flow = currents(stimulus(one, field, 1.5e-3, 0.02, electronics=small))
        # 1.5 mA at the start, falling as the capacitors of both contacts charge through the tissue
        tau = volts_per_ampere(one, field) * small.capacitor / 2
        assert 5e-6 * flow[:40, 3].sum() == pytest.approx(-1.5e-3 * tau * (1 - np.exp(-200e-6 / tau)), rel=1e-6)

    def test_equal_pulses_are_equal_to_the_bit(self, field):
        """The engine knows equal stretches again by their bits; else every one would be made ready anew."""
        seen = stimulus(program({"kind": "high-frequency"}), field, 1e-3, 50e-3)
        per_pulse = seen.samples.reshape(500, 20)
        assert (per_pulse == per_pulse[0]).all()


class TestLots:
    def test_neither_lots_nor_threads_change_a_result(self, field, fibres):
        one = program({"kind": "burst", "pulses": 3, "recharge": "active"})
        level = 1.3 * float(np.median(thresholds(field, fibres, one)))
        whole = fire(field, fibres, one, level, duration=60e-3, engine=Engine(threads=2))
        assert 0 < (whole.spike_count.values > 0).sum() < 40
        again = fire(field, fibres, one, level, duration=60e-3, engine=Engine(threads=1))
        assert whole.identical(again)
        few = np.array([31, 2, 17])
        part = fire(field, fibres, one, level, duration=60e-3, chosen=few)
        assert part.fibre_index.values.tolist() == few.tolist()
        for name in ("spike_count", "rate", "latency", "first_pulse", "answered", "diameter", "weight"):
            np.testing.assert_array_equal(part[name].values, whole[name].values[few])

    def test_no_more_fibres_are_held_together_than_the_vector_unit_takes(self, field, fibres, monkeypatch):
        sizes = []
        kind = type(axon.family.read({"kind": fibres.axon}))
        made = kind.engine

        def engine(self: Any, diameter: np.ndarray, *more: Any, **named: Any) -> Any:
            sizes.append(len(diameter))
            return made(self, diameter, *more, **named)

        monkeypatch.setattr(kind, "engine", engine)
        fire(field, fibres, program(tonic()), 1e-3, duration=20e-3)
        assert sum(sizes) == 40
        assert max(sizes) <= 16

    def test_seconds_pass(self, field, fibres):
        one = program(tonic("5 Hz"))
        lowest = thresholds(field, fibres, one)
        k = int(np.argmin(lowest))
        found = fire(field, fibres, one, 1.5 * lowest[k], duration=3.0, chosen=np.array([k]))
        assert found.spike_count.item() == 15
        assert found.rate.item() == pytest.approx(5)


def test_fibres_that_fire_together_are_told_from_those_that_do_not(field, fibres):
    one = program(tonic())
    lowest = thresholds(field, fibres, one)
    few = np.argsort(lowest)[:12]
    alike = fire(field, fibres, one, 1.6 * lowest[few].max(), duration=0.1, chosen=few)
    assert (alike.spike_count.values == 5).all()
    assert float(alike.synchrony) > 0.99
    assert alike.together.values == pytest.approx(np.ones(5))
    told = summary(alike)
    assert (told["fire"], told["followed"], told["rate_Hz"], told["first_pulse"]) == (12, 12, pytest.approx(50), 1.0)
    assert told["real_fibres"] == pytest.approx(float(alike.weight.sum()))
    carrier = program({"kind": "high-frequency"})
    mixed = fire(field, fibres, carrier, 1.5 * float(np.median(thresholds(field, fibres, carrier))))
    assert float(mixed.synchrony) < 0.8


def test_an_action_potential_is_followed_back_to_where_it_began():
    """From the last node down, as long as the node below had it just before."""
    nan = np.nan
    times = np.array([[1.3, nan, nan], [1.2, nan, nan], [1.1, 5.0, nan], [1.2, 5.1, nan], [1.3, 5.2, 9.0]]) * 1e-3
    assert traced(times, times[-1]) == pytest.approx([1.1e-3, 5.0e-3, 9.0e-3])


def test_strata_stand_for_all_that_are_near():
    threshold, weight = np.array([np.linspace(1, 4, 31), np.linspace(2, 1, 31)]), np.arange(31.0)
    chosen, each = choose(threshold, weight, np.array([1.0, 0.8]), 6)
    near = (threshold / np.array([[1.0], [0.8]])).min(axis=0) <= 1.5
    assert near[chosen].all()
    assert len(set(chosen)) == 6
    assert each.sum() == pytest.approx(weight[near].sum())
    everyone, own = choose(threshold, weight, np.array([1.0, 0.8]), 100)
    assert sorted(everyone) == np.flatnonzero(near).tolist()
    assert own == pytest.approx(weight[everyone])
    assert choose(threshold, weight, np.array([0.1, 0.1]), 6)[0].size == 0


def test_no_fibres_give_an_empty_product(field, fibres):
    found = fire(field, fibres, program(tonic()), 1e-3, duration=20e-3, chosen=np.empty(0, int))
    assert found.sizes["fibre"] == 0
    assert summary(found)["followed"] == 0


def test_a_type_is_shown_for_as_long_as_it_takes():
    assert usual_duration(program(tonic())) == pytest.approx(0.2)
    assert usual_duration(program({"kind": "burst"})) == pytest.approx(0.1)
    assert usual_duration(program({"kind": "high-frequency"})) == pytest.approx(0.05)
    assert usual_duration(program(tonic("2 Hz"))) == pytest.approx(0.5)


REFUSED = [
    ({"amplitude": [1e-3, 1e-3]}, r"amplitude: not one for every train; got 2; allowed: 1"),
    ({"amplitude": np.nan}, "amplitude: not a positive current; got 'nan A'"),
    ({"amplitude": -1e-3}, "amplitude: not a positive current; got '-0.001 A'"),
    ({"duration": 0.0}, "duration: not a time that can be followed; got '0 s'; allowed: above 0 s, up to 60 s"),
    ({"duration": 61.0}, "duration: not a time that can be followed"),
    ({"engine": Engine(dt=300e-6)}, "engine.dt: the step is longer than the shortest phase of the program; got '300 us'; allowed: up to 200 us"),
    ({"chosen": np.array([40])}, "chosen: there is no such fibre; got 40; allowed: 0 to 39"),
]


@pytest.mark.parametrize(("wrong", "words"), REFUSED, ids=lambda value: next(iter(value)) if isinstance(value, dict) else "")
def test_what_cannot_be_is_refused(field, fibres, wrong, words):
    with pytest.raises(BadInput, match=words):
        fire(field, fibres, program(tonic()), **{"amplitude": 1e-3, "duration": 20e-3, **wrong})


def test_the_option_of_a_case():
    assert ep.read(TINY).firing == Firing()
    assert "firing" not in ep.read(TINY).model_dump(mode="json")
    for off in (False, "off"):
        case = ep.read({**TINY, "firing": off})
        assert case.firing.fibres == 0
        assert ep.read(case.model_dump(mode="json")) == case
    assert ep.read({**TINY, "firing": {"duration": "1 s"}}).firing.duration == 1.0
    with pytest.raises(BadInput, match=r"firing\.duration"):
        ep.read({**TINY, "firing": {"duration": "2 min"}})
