"""Wash-in, wash-out and habituation against closed forms, a fine integration, and the sources of their constants."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epidura.errors import BadInput
from epidura.slow_states import Constants, _effect, slow, slow_states
from epidura.tables import table
from epidura.waveform import family

MINUTE, DAY, YEAR = 60.0, 86400.0, 365.25 * 86400.0


def stretches(gaps: list[float]) -> list[tuple[float, float]]:
    times = np.cumsum(gaps)
    return [(float(a), float(b)) for a, b in zip(times[0::2], times[1::2], strict=False)]


def test_rise_and_fall_are_the_published_exponentials() -> None:
    at = np.array([0.0, 1.0, 5.0, 10.0, 11.0, 20.0]) * MINUTE
    got = slow([(0.0, 10 * MINUTE)], "tonic", at)
    in_, out = 0.31 / MINUTE, 0.29 / MINUTE
    full = 1 - np.exp(-in_ * 10 * MINUTE)
    expected = [0.0, 1 - np.exp(-0.31), 1 - np.exp(-0.31 * 5), full, full * np.exp(-0.29), full * np.exp(-0.29 * 10)]
    assert got.factor == pytest.approx(expected, abs=1e-4)  # habituation takes less than 1e-5 in 20 minutes
    assert out < in_


def test_habituation_is_lost_over_years_and_comes_back() -> None:
    years = np.array([2.0, 5.0, 10.0])
    got = slow([(0.0, np.inf)], "tonic", years * YEAR)
    assert got.factor == pytest.approx(1 - 0.221 * (1 - np.exp(-years / 3.32)), abs=1e-6)
    assert 1 - got.factor[[0, 2]] == pytest.approx([0.10, 0.21], abs=0.002), "explants for loss of analgesia at 2 and 10 years"
    rested = slow([(0.0, 5 * YEAR), (5 * YEAR + 60 * DAY, np.inf)], "tonic", [5 * YEAR - 1, 5 * YEAR + 60 * DAY + 60 * MINUTE])
    assert rested.habituation[1] == pytest.approx(rested.habituation[0] * np.exp(-2.0), rel=1e-3)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(1.0, 3000.0), min_size=2, max_size=7), st.sampled_from(["tonic", "burst", "high-frequency", "sine"]))
def test_any_course_is_what_small_steps_give(gaps: list[float], kind: str) -> None:
    on = stretches(gaps)
    c = replace(slow_states(kind).usual, habituating=900.0, recovering=500.0)
    times = np.arange(0.0, sum(gaps) + 100, 0.5)
    edges = np.array([t for stretch in on for t in stretch])
    got = _effect(edges, times, c)[0]
    w = h = 0.0
    for k, t in enumerate(times[:-1]):
        assert got[k] == pytest.approx(w * (1 - c.depth * h), abs=6e-3)
        s = any(a <= t + 0.25 < b for a, b in on)
        w += 0.5 * ((1 - w) / c.wash_in if s else -w / c.wash_out)
        h += 0.5 * ((1 - h) / c.habituating if s else -h / c.recovering)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(1.0, 3e7), min_size=2, max_size=9), st.sampled_from(sorted(family.members)), st.data())
def test_the_interval_holds_for_all_constants_within_their_ranges(gaps: list[float], kind: str, data: st.DataObject) -> None:
    on = stretches(gaps)
    times = np.linspace(0.0, 1.2 * sum(gaps), 60)
    got = slow(on, kind, times)
    assert (got.low <= got.factor + 1e-12).all()
    assert (got.factor <= got.high + 1e-12).all()
    assert (got.low >= 0).all()
    assert (got.high <= 1).all()
    states = slow_states(kind)
    values = [data.draw(st.floats(*sorted((getattr(states.least, f), getattr(states.most, f)))))
              for f in ("wash_in", "wash_out", "habituating", "recovering", "depth")]
    edges = np.array([t for stretch in on for t in stretch])
    other = _effect(edges, times, Constants(*values))[0]
    assert (other >= got.low - 1e-9).all()
    assert (other <= got.high + 1e-9).all()


def test_a_long_cycle_settles_at_its_closed_form_mean() -> None:
    c = replace(slow_states("burst").usual, depth=0.0)
    on, off = 30.0, 360.0
    edges = np.array([t for k in range(200) for t in (k * (on + off), k * (on + off) + on)])
    times = np.linspace(190 * (on + off), 191 * (on + off), 20001)
    got = np.trapezoid(_effect(edges, times, c)[0], times) / (on + off)
    a, b = np.exp(-on / c.wash_in), np.exp(-off / c.wash_out)
    top = (1 - a) / (1 - a * b)
    mean = (on - c.wash_in * (top - top * b) + c.wash_out * (top - top * b)) / (on + off)
    assert got == pytest.approx(mean, rel=1e-4)


def test_what_the_sources_say_of_minutes() -> None:
    assert slow([(0.0, np.inf)], "tonic", [15 * MINUTE, 30 * MINUTE]).low.min() > 0.9, "rats: within 15 (A4) and 30 minutes (A15)"
    fast = slow([(0.0, np.inf)], "fast-acting", [11.2 * MINUTE])
    assert fast.factor == pytest.approx([0.95], abs=0.005)
    slow_one = slow([(0.0, np.inf)], "high-frequency", [60 * MINUTE, 7 * DAY])
    assert slow_one.high[0] < 0.5
    assert slow_one.low[1] > 0.9


def test_every_type_has_constants_that_say_what_they_rest_on() -> None:
    for kind in family.members:
        states = slow_states(kind)
        assert len(states.numbers) == 5
        assert all(number.source for number in states.numbers)
        assert states.least.wash_in > states.usual.wash_in > states.most.wash_in
    assert slow_states("tonic").kind == slow_states("closed-loop").kind == "tonic"
    assert slow_states("high-density").kind == "other"
    assert not any(n.unverified for n in slow_states("tonic").numbers[:2])
    assert all(n.unverified for n in slow_states("high-frequency").numbers[:2])
    assert {row["kind"] for row in table("horn_slow")} - {"any", "other"} <= set(family.members)


@pytest.mark.parametrize(("on", "times", "where"), [
    ([(-1.0, 2.0)], [0.0], r"on\[0\]: begins before 0; got '-1 s'"),
    ([(0.0, 5.0), (4.0, 6.0)], [0.0], r"on\[1\]: begins before the one before it has ended; got '4 s'; allowed: 5 s or later"),
    ([(3.0, 3.0)], [0.0], r"on\[0\]: ends before it begins; got '3 s'"),
    ([(0.0, float("nan"))], [0.0], r"on\[0\]: ends before it begins"),
    ([(0.0, 1.0)], [-2.0], "times: a time before the start; got '-2 s'"),
])
def test_bad_courses_are_refused(on: list[tuple[float, float]], times: list[float], where: str) -> None:
    with pytest.raises(BadInput, match=where):
        slow(on, "tonic", times)


def test_without_stimulation_there_is_no_effect() -> None:
    assert not slow([], "tonic", [0.0, 100.0]).factor.any()
