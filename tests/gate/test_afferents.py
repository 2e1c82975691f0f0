"""What enters the dorsal horn: the reference trains to the microsecond, laws of trains, and what the fibre engine sends in."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gate_models import FIBRES, products, small_wiring
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_case import TINY

import epidura as ep
from epidura.afferents import (
    Conduction,
    Recruited,
    Trains,
    background,
    continued,
    driven,
    hypothesis_inputs,
    hypothesis_numbers,
    ideal,
    read_trains,
    recruited,
    single_pulses,
    velocity,
    volleys,
)
from epidura.errors import BadInput
from epidura.firing import fire
from epidura.pain_state import Activity, PainState, preset
from epidura.product import Canal, LeadField
from epidura.program import Program
from epidura.recipe import read_recipe
from epidura.recruitment import recruit

DATA = Path(__file__).parent / "data"
MICROSECOND = 1e-6
EXACT = Conduction.model_construct(jitter=0.0, refractory=0.0, collaterals=False, half_rate=126.0, slope=4.0)


def program(frequency: str = "50 Hz", kind: str = "tonic", **more: Any) -> Program:
    shape = {"shape": "symmetric"} if kind == "tonic" else {}
    waveform = {"kind": kind, "frequency": frequency, "pulse_width": "200 us" if kind == "tonic" else "30 us", **shape}
    made: Program = read_recipe(Program, {"name": "p", "waveform": waveform, "contacts": {4: -1, 5: 1}, **more})
    return made


@pytest.fixture(scope="module")
def canal() -> Canal:
    case = ep.read(TINY)
    return ep.build_canal(case.anatomy, case.leads, accuracy="fast")


class TestReference:
    """reference/gate: trains that the circuit's own reference runs were given."""

    def test_background_of_seed_1_is_the_reference_to_the_microsecond(self):
        reference = read_trains(DATA / "afferents_seed1.csv", 75, 6.0)
        made = background(FIBRES, 1, 6.0, surround=True)
        assert made.fibre.tolist() == reference.fibre.tolist()
        assert np.abs(made.times - reference.times).max() < 1e-9

    def test_the_surround_is_drawn_but_silent_unless_asked_for(self):
        reference = read_trains(DATA / "afferents_seed1.csv", 75, 6.0).each()
        made = background(FIBRES, 1, 6.0).each()
        for k in range(75):
            assert made[k].tolist() == ([] if 30 <= k < 45 else reference[k].tolist())

    def test_a_longer_run_begins_with_the_shorter_one(self):
        short, long = background(FIBRES, 1, 6.0), background(FIBRES, 1, 90.0)
        for a, b in zip(short.each(), long.each(), strict=True):
            assert b[b < 6.0].tolist() == a.tolist()
        assert (long.rate(80.0)[:15] > 4).all()  # beyond the intervals that are drawn at once

    def test_wind_up_latencies(self):
        with (DATA / "windup_latencies.csv").open() as file:
            latency = {int(row["fibre_index"]): float(row["latency_ms"]) for row in csv.DictReader(file)}
        made = volleys(FIBRES, 16.0).each()
        for k, train in enumerate(made):
            expected = 1.0 + np.arange(15) + latency[k] / 1e3 if k in latency else []
            assert train == pytest.approx(expected, abs=1e-9)
        assert len(latency) == 60

    def test_inhibition_by_a_fibres_has_a_second_pulse_without_c(self):
        made = volleys(FIBRES, 41.0, protocol="a-inhibition").each()
        assert [len(made[k]) for k in (0, 15, 30, 45)] == [40, 40, 0, 20]
        assert np.diff(made[0][:2]) == pytest.approx([0.15], abs=1e-9)
        assert np.diff(made[45]) == pytest.approx(2.0, abs=1e-9)

    def test_single_pulses_are_25_in_the_surround_alone(self):
        made = single_pulses(FIBRES)
        assert {k for k, train in enumerate(made.each()) if train.size} == set(range(30, 45))
        assert made.each()[30] == pytest.approx(5.1 + np.arange(25), abs=1e-12)

    @pytest.mark.parametrize("frequency", [3.0, 7.0, 50.0, 128.0, 1000.0])
    def test_ideal_pulses_are_the_published_rounding(self, frequency):
        k = np.arange(10_000)
        expected = np.round(2000 + k * 1000 / frequency, 3)
        expected = expected[expected < 6000] / 1e3
        made = ideal(FIBRES, frequency, 6.0).each()
        assert [train.tolist() for train in made[:15]] == [expected.tolist()] * 15
        assert [train.tolist() for train in made[30:45]] == [expected.tolist()] * 15
        assert all(train.size == 0 for train in (*made[15:30], *made[45:]))


class TestIdeal:
    @pytest.mark.parametrize(("target", "share", "expected"), [
        ("local", 1.0, [*range(15)]), ("surround", 0.2, [30, 31, 32]), ("both", 0.4, [*range(6), *range(30, 36)]), ("both", 0.0, [])])
    def test_the_first_share_of_a_target_is_driven(self, target, share, expected):
        assert driven(FIBRES, share, target) == expected
        made = ideal(FIBRES, 50.0, 3.0, target=target, share=share)
        assert np.unique(made.fibre).tolist() == expected

    def test_burst_has_five_pulses_at_500_hz_in_each_packet(self):
        made = ideal(FIBRES, 40.0, 3.0, pattern="burst").each()[0]
        assert made[:6] == pytest.approx([2.0, 2.002, 2.004, 2.006, 2.008, 2.025])
        assert made.size == 200

    def test_asynchronous_trains_keep_the_mean_rate_and_share_no_times(self):
        made = ideal(FIBRES, 50.0, 42.0, pattern="asynchronous", seed=3)
        rates = made.rate(2.0)[driven(FIBRES, 1.0, "both")]
        assert rates.mean() == pytest.approx(50.0, rel=0.01)
        gaps = np.diff(made.each()[0])
        assert gaps.std() / gaps.mean() == pytest.approx(0.5, abs=0.03)
        assert np.intersect1d(made.each()[0], made.each()[1]).size < 10
        assert made.times.min() >= 2.0

    def test_no_frequency_no_pulse(self):
        assert ideal(FIBRES, 0.0, 6.0).times.size == 0


GRID = st.lists(st.lists(st.integers(0, 2_000_000), max_size=40), min_size=1, max_size=5)


def of(rows: list[list[int]]) -> Trains:
    return Trains.of([np.sort(np.array(row, float)) * MICROSECOND for row in rows], 2.0)


class TestOperations:
    @given(GRID, st.integers(0, 50))
    @settings(deadline=None, max_examples=60)
    def test_a_union_loses_nothing_and_is_sorted(self, rows, extra):
        one = of(rows)
        other = of([[extra * 1000] for _ in rows])
        both = one.merged(other)
        assert sorted(zip(both.fibre.tolist(), both.times.tolist(), strict=True)) == list(
            zip(both.fibre.tolist(), both.times.tolist(), strict=True))
        assert both.times.size == one.times.size + other.times.size
        assert both.merged(Trains.silent(len(rows), 2.0)).times.tolist() == both.times.tolist()

    @given(GRID, st.floats(0, 0.2))
    @settings(deadline=None, max_examples=60)
    def test_refractoriness_leaves_gaps_keeps_the_first_and_what_it_can(self, rows, refractory):
        before, after = of(rows), of(rows).limited(refractory)
        for a, b in zip(before.each(), after.each(), strict=True):
            assert set(b) <= set(a)
            assert (np.diff(b) >= refractory - 1e-9).all()
            assert b[:1].tolist() == a[:1].tolist()
            for dropped in a[~np.isin(a, b)]:  # each was too early after one that was kept
                assert dropped - b[b <= dropped].max() < refractory
        assert after.limited(refractory).times.tolist() == after.times.tolist()

    @given(GRID, st.lists(st.floats(0, 3), min_size=5, max_size=5))
    @settings(deadline=None, max_examples=60)
    def test_a_latency_moves_each_fibre_by_its_own(self, rows, latencies):
        trains = of(rows)
        late = np.array(latencies[: trains.fibres])
        for a, b, own in zip(trains.each(), trains.delayed(late).each(), late, strict=True):
            assert b.tolist() == [t for t in (a + own).tolist() if t <= 2.0]

    @given(GRID, st.floats(1e-6, 0.01))
    @settings(deadline=None, max_examples=60)
    def test_jitter_stays_in_order_and_in_the_run(self, rows, deviation):
        trains = of(rows)
        moved = trains.jittered(np.random.default_rng(1), deviation)
        inside = np.array([((train > 0) & (train < 2.0 - 8 * deviation)).sum() for train in trains.each()])
        assert (np.bincount(moved.fibre, minlength=moved.fibres) >= inside).all()  # valid by its constructor
        assert trains.jittered(np.random.default_rng(1), 0.0).times.tolist() == trains.times.tolist()

    def test_jitter_has_its_standard_deviation(self):
        trains = Trains.of([np.linspace(0.1, 0.9, 20_000)], 1.0)
        moved = np.concatenate(trains.jittered(np.random.default_rng(2), 5e-6).each())
        assert (moved - trains.times).std() == pytest.approx(5e-6, rel=0.02)

    @given(GRID)
    @settings(deadline=None, max_examples=60)
    def test_collaterals_only_take_out_and_never_the_first(self, rows):
        trains = of(rows)
        entered = trains.invading(np.random.default_rng(1), 126.0, 4.0, range(0, trains.fibres, 2))
        for k, (a, b) in enumerate(zip(trains.each(), entered.each(), strict=True)):
            assert set(b) <= set(a)
            assert b[:1].tolist() == a[:1].tolist()
            if k % 2:
                assert b.tolist() == a.tolist()

    @pytest.mark.parametrize(("rate", "lowest", "highest"), [(10.0, 1.0, 1.0), (40.0, 0.98, 1.0), (126.0, 0.5, 0.75), (1000.0, 0.05, 0.25)])
    def test_collaterals_pass_slow_trains_and_fail_fast_ones(self, rate, lowest, highest):
        train = Trains.of([np.arange(0, 20, 1 / rate)], 20.0)
        share = train.invading(np.random.default_rng(5), 126.0, 4.0, [0]).times.size / train.times.size
        assert lowest <= share <= highest

    def test_what_enters_grows_with_the_rate_but_levels_off(self):
        entered = [Trains.of([np.arange(0, 20, 1 / rate)], 20.0).invading(np.random.default_rng(5), 126.0, 4.0, [0]).rate()[0]
                   for rate in (20, 50, 100, 1000, 5000)]
        assert entered[:2] == pytest.approx([20, 50], rel=0.03)
        assert entered[2] < 90
        assert entered[4] < 3 * 126


class TestErrors:
    @pytest.mark.parametrize(("times", "fibre", "words"), [
        ([0.1, -0.2], [0, 1], "trains.times[1]: a fibre fires before the start; got '-0.2 s in fibre 1'; allowed: 0 s to 1 s"),
        ([np.nan], [2], "trains.times[0]: not a time; got 'nan s in fibre 2'"),
        ([0.2, 0.1], [1, 1], "trains.times[1]: spike train out of order; got '0.1 s after 0.2 s in fibre 1'; allowed: rising times in each fibre"),
        ([0.2, 0.1], [1, 0], "trains.fibre[1]: fibres out of order; got '0 after 1 at 0.1 s'"),
        ([0.5], [3], "trains.times[0]: there is no such fibre; got '0.5 s in fibre 3'; allowed: 0 to 2"),
        ([1.5], [0], "trains.times[0]: a fibre fires after the end; got '1.5 s in fibre 0'"),
        ([0.5, 0.6], [0], "not one fibre for every time")])
    def test_trains_that_cannot_be_name_fibre_and_time(self, times, fibre, words):
        with pytest.raises(BadInput, match=re.escape(words)):
            Trains(np.array(times), np.array(fibre), 3, 1.0)

    @pytest.mark.parametrize("seed", [None, -1, 1.5, True])
    def test_trains_cannot_be_drawn_without_a_seed(self, seed):
        for make in (lambda: background(FIBRES, seed, 1.0), lambda: ideal(FIBRES, 50, 3, pattern="asynchronous", seed=seed),
                     lambda: volleys(FIBRES, 3.0, seed)):
            with pytest.raises(BadInput, match=r"seed: trains cannot be drawn without one.*allowed: a whole number from 0"):
                make()

    def test_trains_of_another_circuit_do_not_mix(self):
        with pytest.raises(BadInput, match=re.escape("trains: of another circuit or duration; got '2 fibres, 1 s'; allowed: 3 fibres, 1 s")):
            Trains.silent(3, 1.0).merged(Trains.silent(2, 1.0))

    @pytest.mark.parametrize(("change", "words"), [
        ({"target": "lokal"}, "target: there is no such target; got 'lokal'; allowed: surround, local, both; did you mean 'local'?"),
        ({"share": 1.2}, "share: not a share of the fibres; got '1.2'"), ({"pattern": "bursts"}, "did you mean 'burst'?"),
        ({"frequency": -1}, "frequency: not a frequency; got '-1 Hz'"), ({"frequency": 200, "pattern": "burst"}, "frequency: packets overlap")])
    def test_stimulation_that_cannot_be(self, change, words):
        with pytest.raises(BadInput, match=re.escape(words)):
            ideal(FIBRES, **{"frequency": 50, "duration": 3.0, **change})

    @pytest.mark.parametrize(("text", "words"), [
        ("fibre_index,t_ms\n0,5\n0,4\n", "a.csv: spike train out of order; got '0.004 s after 0.005 s in fibre 0'"),
        ("fibre_index,t_ms\n0,-5\n", "a.csv: a fibre fires before the start"), ("fibre_index,t_ms\n0,x\n", "a.csv, line 2: not a fibre and a time"),
        ("fibre_index,t_ms\n9,5\n", "a.csv: there is no such fibre"), ("fibre,t_ms\n", "a.csv: no column fibre_index")])
    def test_a_file_of_trains_is_refused_with_its_place(self, tmp_path, text, words):
        (tmp_path / "a.csv").write_text(text)
        with pytest.raises(BadInput, match=re.escape(words)):
            read_trains(tmp_path / "a.csv", 2, 1.0)

    def test_a_file_may_mix_fibres(self, tmp_path):
        (tmp_path / "a.csv").write_text("fibre_index,class,t_ms\n1,C,5\n0,C,7\n1,C,6\n")
        assert [train.tolist() for train in read_trains(tmp_path / "a.csv", 2, 1.0).each()] == [[0.007], [0.005, 0.006]]
        with pytest.raises(BadInput, match="no such file"):
            read_trains(tmp_path / "b.csv", 2, 1.0)


class TestState:
    def test_a_silenced_class_changes_nothing_in_others(self):
        healthy, touch = background(FIBRES, 4, 6.0).each(), background(FIBRES, 4, 6.0, preset("touch").state).each()
        assert [train.tolist() for train in touch[:15]] == [train.tolist() for train in healthy[:15]]
        assert sum(train.size for train in touch[15:]) == 0

    def test_a_share_of_a_class_fires_at_its_rate(self):
        state = PainState(c=Activity.model_construct(rate=5.0, variation=0.4, share=0.5))
        rates = background(FIBRES, 4, 40.0, state).rate()[45:]
        assert (rates > 0).sum() == 15
        assert rates[rates > 0].mean() == pytest.approx(5.0, rel=0.05)

    def test_published_rates_come_out(self):
        rates = background(FIBRES, 2, 40.0, surround=True).rate()
        for group, expected in zip(FIBRES, (8.92, 8.39, 8.92, 2.65), strict=True):
            assert rates[group.first : group.first + group.count].mean() == pytest.approx(expected, rel=0.04)


THRESHOLD = np.linspace(1e-3, 4e-3, 300)
WEIGHT = 1.0 + np.arange(300) % 7


def run(canal: Canal, level: float = 2e-3, followed: int = 300, seed: int = 1, dermatome: str = "L5", duration: float = 6.0, amplitude: Any = None,
        conduction: Conduction | None = EXACT, one: Program | None = None, background: Trains | None = None, **more: Any) -> Recruited:
    chosen = np.unique(np.linspace(0, 299, followed).astype(int))
    firing, recruitment = products(THRESHOLD, WEIGHT, chosen, level, **more)
    return recruited(firing, recruitment, one or program(), canal, FIBRES, dermatome, "left", seed, duration, amplitude=amplitude,
                     conduction=conduction, background=background)


class TestRecruited:
    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize("level", [0.5e-3, 1.1e-3, 2e-3, 3.3e-3, 5e-3])
    def test_the_share_driven_is_the_recruited_share(self, canal, level, seed):
        found = run(canal, level, seed=seed)
        for target, members in (("local", np.arange(300) % 3 == 1), ("surround", np.arange(300) % 3 != 1)):
            share = WEIGHT[members & (level >= THRESHOLD)].sum() / WEIGHT[members].sum()
            assert found.share[target] == pytest.approx(share, abs=1e-12)
            assert abs(found.driven[target] - 15 * share) < 1.0
        assert (np.bincount(found.trains.fibre, minlength=75) > 0).sum() == sum(found.driven.values())

    def test_a_tonic_train_goes_on_at_its_rate_and_latency(self, canal):
        found = run(canal)
        entry = next(span.middle for span in canal.cord.segments if span.name == "L5")
        (at,) = [0.5 * (c.z0 + c.z1) for c in canal.contacts if c.number == 4]
        for k in range(found.driven["local"]):
            own = found.stands_for[k]
            late = abs(at - entry) / velocity("mrg-interpolated", np.linspace(9e-6, 12e-6, 300)[own])
            assert found.latency[k] == pytest.approx(late, rel=1e-9)
            assert 1e-3 < late < 6e-3
            assert found.trains.each()[k] == pytest.approx(2.0 + 0.02 * np.arange(200) + 1e-3 + late, abs=1e-6)

    def test_thicker_fibres_arrive_earlier_at_tens_of_metres_per_second(self):
        speeds = [velocity("mrg-interpolated", d) for d in (8e-6, 8.5e-6, 9e-6, 12e-6)]
        assert speeds == sorted(speeds)
        assert speeds[1] == pytest.approx((speeds[0] + speeds[2]) / 2)
        assert 35 < speeds[0] < speeds[3] < 75

    def test_fibres_not_followed_take_the_train_of_the_nearest(self, canal):
        every, few = run(canal, followed=300), run(canal, followed=20)
        assert few.stands_for.tolist() == every.stands_for.tolist()
        assert few.trains.times == pytest.approx(every.trains.times, abs=1e-6)  # all firing fibres answer alike, at their own latency

    def test_another_amplitude_recruits_by_threshold_over_amplitude(self, canal):
        low, high = run(canal, 2e-3, amplitude=1.5e-3), run(canal, 2e-3, amplitude=3e-3)
        for found, level in ((low, 1.5e-3), (high, 3e-3)):
            assert abs(found.driven["local"] - 15 * found.share["local"]) < 1.0
            assert found.share["local"] == pytest.approx((WEIGHT * (level >= THRESHOLD))[1::3].sum() / WEIGHT[1::3].sum())
        assert low.trains.times.size < high.trains.times.size

    def test_the_train_of_another_fibre_is_that_at_the_same_threshold_over_amplitude(self, canal):
        """Followed at 2 mA, where a fibre answers the later the nearer its threshold is; asked at 1.5 mA."""
        firing, recruitment = products(THRESHOLD, WEIGHT, np.arange(300), 2e-3)
        firing.initiation_time.values[:] = firing.initiation_time.values - 1e-3 + 5e-3 * THRESHOLD[:, None] / 2e-3
        found = recruited(firing, recruitment, program(), canal, FIBRES, "L5", "left", 1, 3.0, amplitude=1.5e-3, conduction=EXACT)
        assert found.driven["local"] > 1
        for k in range(found.driven["local"]):
            own = THRESHOLD[found.stands_for[k]] / 1.5e-3
            assert found.trains.each()[k][0] - 2.0 - found.latency[k] == pytest.approx(5e-3 * own, abs=3e-5)  # to half a step of thresholds

    def test_unlocked_answers_keep_their_rate_and_stay_unlocked(self, canal):
        found = run(canal, free=True, period=0.01, duration=62.0, seed=2)
        rates = found.trains.rate(2.0)[: found.driven["local"]]
        assert rates == pytest.approx(100.0, rel=0.02)
        times = found.trains.each()[0]
        assert abs(np.exp(2j * np.pi * times / 0.01).mean()) < 0.2
        assert np.unique(np.round((times - 2.0) % 0.19, 5)).size > 1000  # the 19 cycles that were seen are not simply repeated

    def test_the_onset_answer_comes_once(self):
        firing, _ = products(np.full(1, 1e-3), np.ones(1), np.zeros(1, int), 2e-3, period=0.002, duration=0.05)
        began = firing.initiation_time.values
        began[0, 5:] = np.where(np.arange(5, 25) % 2, began[0, 5:], np.nan)  # every pulse of the first 10 ms, then every other one
        times = continued(firing, 0, 1.0, np.zeros(1), np.random.default_rng(0))
        assert times[:5] == pytest.approx(1e-3 + 0.002 * np.arange(5))
        assert times.size == pytest.approx(5 + 0.99 * 10 / 0.038, abs=2)  # 10 in the 19 whole cycles that were seen to their end
        assert (times < 1.0 + 2e-3).all()

    @given(st.integers(0, 1000), st.sampled_from([0.005, 0.01, 0.02, 0.03]), st.booleans(), st.floats(0.3, 3.0))
    @settings(deadline=None, max_examples=30)
    def test_continuation_keeps_the_mean_rate(self, seed, period, free, duration):
        firing, _ = products(np.full(1, 1e-3), np.ones(1), np.zeros(1, int), 2e-3, period=period, free=free, seed=seed)
        times = continued(firing, 0, duration, np.zeros(1), np.random.default_rng(seed))
        assert times.size == pytest.approx(duration / period, abs=12 if free else 1)  # a turned stretch is cut at its end
        assert (np.diff(times) >= 0).all()

    def test_jitter_refractoriness_and_collaterals_act_and_can_be_switched_off(self, canal):
        plain = run(canal, period=0.002, duration=3.0)
        jittered = run(canal, period=0.002, duration=3.0, conduction=EXACT.model_copy(update={"jitter": 5e-6}))
        assert 0 < np.abs(jittered.trains.times - plain.trains.times).std() < 2e-5
        limited = run(canal, period=0.002, duration=3.0, conduction=EXACT.model_copy(update={"refractory": 3e-3}))
        assert (np.concatenate([np.diff(train) for train in limited.trains.each()]) >= 3e-3 - 1e-9).all()
        failing = run(canal, period=0.002, duration=3.0, conduction=EXACT.model_copy(update={"collaterals": True}))
        assert 0.2 < failing.trains.times.size / plain.trains.times.size < 0.5  # of 500/s
        assert failing.driven == plain.driven

    def test_background_shares_refractoriness_but_thin_fibres_keep_all(self, canal):
        resting = background(FIBRES, 1, 6.0, surround=True)
        found = run(canal, background=resting, conduction=Conduction())
        for k, (own, all_of_it) in enumerate(zip(resting.each(), found.trains.each(), strict=True)):
            if FIBRES[1].first <= k < FIBRES[2].first or k >= FIBRES[3].first:
                assert all_of_it.tolist() == own.tolist()
            else:
                assert (np.diff(all_of_it) >= 0.7e-3 - 1e-9).all()

    def test_the_same_seed_gives_the_same_trains(self, canal):
        one, same, other = (run(canal, conduction=Conduction(), seed=seed) for seed in (7, 7, 8))
        assert one.trains.times.tolist() == same.trains.times.tolist()
        assert one.trains.times.tolist() != other.trains.times.tolist()

    def test_turns_of_on_and_off_begin_anew(self, canal):
        found = run(canal, one=program(cycle={"on": "0.5 s", "off": "1 s"}))
        since = (found.trains.times - found.latency[found.trains.fibre] - 2.0) % 1.5
        assert since.max() < 0.5 + 1e-3
        assert found.trains.rate(2.0)[0] == pytest.approx(25 * 3 / 4)

    def test_a_missing_neighbour_is_named(self, canal):
        found = run(canal, dermatome="S1")
        assert found.notes == ("the surround of S1 has no simulated fibres of S2",)
        assert abs(found.driven["surround"] - 15 * found.share["surround"]) < 1

    @pytest.mark.parametrize(("change", "words"), [
        ({"dermatome": "C5"}, "dermatome: no simulated fibre of the dorsal columns serves it; got 'C5'; allowed: L4, L5, S1"),
        ({"amplitude": np.nan}, "amplitude: not a positive current"), ({"seed": None}, "seed: trains cannot be drawn without one"),
        ({"one": read_recipe(Program, {**program().model_dump(mode="json"), "name": "q"})}, "program: not the one whose fibres were followed")])
    def test_inputs_that_cannot_be(self, canal, change, words):
        with pytest.raises(BadInput, match=re.escape(words)):
            run(canal, **change)

    def test_fibres_that_fire_but_were_not_followed(self, canal):
        firing, recruitment = products(THRESHOLD, WEIGHT, np.array([299]), 2e-3)
        straight = Conduction(jitter="0 us", collaterals=False)
        found = recruited(firing, recruitment, program(), canal, FIBRES, "L5", "left", 1, 3.0, conduction=straight)
        driven = [k for k in range(15) if found.latency[k] > 0]
        assert len(driven) == found.driven["local"] > 0
        assert "no fibre was followed in time that fires at this amplitude" in found.notes[-1]
        for k in driven:  # 50 Hz from 2 s on, one answer to each pulse, later by the way to the segment
            own = found.trains.each()[k]
            np.testing.assert_allclose(own, 2.0 + found.latency[k] + 0.02 * np.arange(own.size), atol=2e-6)
            assert own.size == 50

    def test_from_the_fibre_engine_itself(self, canal):
        """Point sources in an infinite medium: what fires at 1.5 times perception reaches L5 once for every pulse."""
        places = np.array([[shaft.x, shaft.y, (c.z0 + c.z1) / 2] for shaft in canal.shafts for c in shaft.contacts])

        def sample(points: np.ndarray) -> np.ndarray:
            return 1.0 / (np.pi * np.linalg.norm(points[None] - places[:, None], axis=2))

        field = LeadField(tuple(c.number for c in canal.contacts), 300.0 * np.eye(len(places)), sample, canal)
        (population,) = ep.read({**TINY, "fibres": {"kind": "dorsal-column", "count": 120}}).fibres
        one = program()
        recruitment = recruit(field, population, one)
        segments = recruitment.segment.values[recruitment.threshold.values[0] < np.median(recruitment.threshold.values[0])]
        dermatome = next(name for name in ("L5", "L4", "L3", "S1") if name in segments)
        level = float(np.quantile(recruitment.threshold.values[0][(recruitment.segment == dermatome).values], 0.6))
        near = np.flatnonzero(recruitment.threshold.values[0] <= 1.2 * level)
        firing = fire(field, population, one, level, duration=0.1, chosen=near[:: max(1, near.size // 16)])
        side = str(recruitment.side.values[near][recruitment.segment.values[near] == dermatome][0])
        found = recruited(firing, recruitment, one, canal, FIBRES, dermatome, side, 1, 4.0, amplitude=level, conduction=EXACT)
        assert abs(found.driven["local"] - 15 * found.share["local"]) < 1
        assert found.driven["local"] > 0
        rates = found.trains.rate(2.0)[: found.driven["local"]]
        assert rates.max() == pytest.approx(50.0, abs=0.5)


class TestHypotheses:
    def test_none_adds_nothing(self):
        assert hypothesis_inputs("none", program("10 kHz", "high-frequency"), small_wiring(), 1, 4.0) == (None, None)

    def test_asynchronous_fibres_fire_without_synchrony_at_kilohertz_only(self):
        trains, current = hypothesis_inputs("asynchronous-fibres", program("1 kHz", "high-frequency"), small_wiring(), 1, 22.0)
        assert current is None
        assert trains is not None
        assert np.unique(trains.fibre).tolist() == [0, 1, 2, 30, 31, 32]
        assert trains.rate(2.0)[[0, 1, 2, 30, 31, 32]] == pytest.approx(30.0, rel=0.15)
        assert np.intersect1d(trains.each()[0], trains.each()[30]).size == 0
        assert hypothesis_inputs("asynchronous-fibres", program("50 Hz"), small_wiring(), 1, 4.0) == (None, None)

    @pytest.mark.parametrize("frequency", ["1 kHz", "5 kHz"])
    def test_interneurons_are_not_driven_at_1_or_5_khz(self, frequency):
        assert hypothesis_inputs("direct-interneuron", program(frequency, "high-frequency"), small_wiring(), 1, 4.0) == (None, None)

    def test_nor_by_bursts(self):
        burst = read_recipe(Program, {"name": "b", "waveform": {"kind": "burst"}, "contacts": {4: -1, 5: 1}})
        assert hypothesis_inputs("direct-interneuron", burst, small_wiring(), 1, 4.0) == (None, None)

    def test_inhibitory_cells_alone_get_a_current_at_10_khz(self):
        trains, current = hypothesis_inputs("direct-interneuron", program("10 kHz", "high-frequency"), small_wiring(), 1, 4.0)
        assert trains is None
        assert current is not None
        assert current.tolist() == [0.0, 0.0, 0.01]

    def test_an_unknown_one_is_refused_and_each_names_its_sources(self):
        with pytest.raises(BadInput, match="hypothesis: there is no such hypothesis; got 'nothing'; allowed: none, asynchronous-fibres, direct"):
            hypothesis_inputs("nothing", program(), small_wiring(), 1, 4.0)  # type: ignore[arg-type]
        for name in ("asynchronous-fibres", "direct-interneuron"):
            numbers = hypothesis_numbers(name)
            assert any(number.evidence == "read" for number in numbers)
            assert any(number.evidence == "judgement" for number in numbers)


def test_settings_of_conduction_say_where_they_come_from():
    assert {number.table for number in Conduction().numbers()} == {"afferents.csv", "collaterals.csv"}
    assert {number.name for number in Conduction(collaterals=False).numbers()} == {"jitter (Abeta)", "refractory period (Abeta)"}
    assert Conduction().jitter == pytest.approx(5e-6)
    assert Conduction().refractory == pytest.approx(0.7e-3)
