"""Pulses in time: on the clock, at their rate, never two at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from epidura.errors import BadCase
from epidura.program import Program, rows
from epidura.recipe import read_recipe
from epidura.schedule import cycle_of, impulses, level_at


def wave(frequency: float, width: float = 200.0, shape: str = "symmetric") -> dict[str, Any]:
    return {"kind": "tonic", "frequency": f"{frequency} Hz", "pulse_width": f"{width} us", "shape": shape}


def program(*waves: dict[str, Any], **more: Any) -> Program:
    trains = [{"waveform": w, "contacts": {2 * i + 1: -1, 2 * i + 2: 1}} for i, w in enumerate(waves)]
    made: Program = read_recipe(Program, {"name": "p", **trains[0], "interleaved": trains[1:], "amplitude": "2 mA", **more})
    return made


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(2, 300), st.floats(20, 400)), min_size=2, max_size=4))
def test_interleaved_trains_never_overlap_and_keep_their_rates(kinds: list[tuple[float, float]]) -> None:
    made = program(*(wave(f, w) for f, w in kinds))
    assume(sum(f * 2 * w * 1e-6 for f, w in kinds) < 0.5)
    try:
        found = list(impulses(made, 1.0))
    except BadCase:
        assume(False)
    starts, ends = np.array([(i.time, i.end) for i in found]).T
    assert (starts[1:] >= ends[:-1] - 1e-9).all()
    for k, (f, _) in enumerate(kinds):
        own = np.array([i.time for i in found if i.train == k])
        assert abs(own.size - f) <= 2
        # none strays from its due time by more than the other pulses last
        due = own[0] + np.arange(own.size) / f
        assert np.abs(own - due).max() < sum(2 * w * 1e-6 for j, (_, w) in enumerate(kinds)) + 2e-6


def test_times_lie_on_the_clock_and_do_not_drift() -> None:
    times = np.array([i.time for i in impulses(program(wave(300)), 100.0)])
    assert times.size == 30_000
    assert np.abs(times - np.arange(30_000) / 300).max() <= 0.5001e-6
    np.testing.assert_allclose(times * 1e6, np.round(times * 1e6), atol=1e-4)


def test_common_period() -> None:
    assert cycle_of(program(wave(50))) == pytest.approx(20e-3)
    assert cycle_of(program(wave(50), wave(300, 100))) == pytest.approx(20e-3)
    assert cycle_of(program(wave(40), wave(60))) == pytest.approx(50e-3)
    assert cycle_of(program(wave(40.123), wave(60))) == 0.2  # no short one


def test_trains_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BadCase, match=r"interleaved: the trains do not fit between each other; got 'pulses that take 120% of the time'"):
        list(impulses(program(wave(1000, 300), wave(1000, 300)), 1.0))


def test_cycles_and_ramps() -> None:
    made = program(wave(100), cycle={"on": "2 s", "off": "3 s"}, ramp_up="1 s")
    found = list(impulses(made, 12.0))
    times = np.array([i.time for i in found])
    assert (np.mod(times, 5.0) < 2.0).all()
    assert times.size == 600  # 0 to 2, 5 to 7 and 10 to 12 s
    factor = {round(i.time, 3): i.factor for i in found}
    assert factor[5.5] == pytest.approx(0.5)
    assert factor[6.5] == 1.0
    assert level_at(made, 2.5) is None
    later = list(impulses(made, 1.0, start=5.0))
    assert [i.time for i in later] == [i.time for i in found if 5 <= i.time < 6]


def test_a_closed_loop_asks_before_every_pulse() -> None:
    made = read_recipe(Program, {"name": "loop", "waveform": {"kind": "closed-loop"}, "contacts": {1: -1, 2: 1}, "amplitude": "3 mA"})
    asked = []

    def controller(number: int, time: float) -> float:
        asked.append((number, time))
        return 1.0 + 0.1 * number

    found = list(impulses(made, 0.1, controller))
    assert [i.factor for i in found] == pytest.approx([1.0, 1.1, 1.2, 1.3, 1.4])
    assert asked == [(k, pytest.approx(0.02 * k)) for k in range(5)]


def test_rows_are_the_trains_one_by_one() -> None:
    made = program(wave(50), wave(300, 100))
    assert [(row.name, row.waveform.frequency, dict(row.contacts)) for row in rows(made)] == [
        ("p", 50.0, {1: -1.0, 2: 1.0}), ("p, train 2", 300.0, {3: -1.0, 4: 1.0})]
    assert rows(rows(made)[1]) == (rows(made)[1],)


@pytest.mark.parametrize(("change", "words"), [
    ({"amplitude": "3 mA", "most": "2 mA"}, "amplitude: above the most that the program allows; got '3 mA'; allowed: up to 2 mA"),
    ({"cycle": {"on": "1 s", "off": "1 s"}, "ramp_up": "2 s"}, "ramp_up: is longer than stimulation is on"),
    ({"cycle": {"on": "0 s", "off": "1 s"}}, "cycle.on: "),
    ({"amplitude": "3 V"}, "amplitude: a voltage needs one source for all contacts"),
    ({"interleaved": [{"waveform": {"kind": "tonic"}, "contacts": {1: -1}}]}, r"interleaved\[0\].contacts: the net current does not balance"),
])
def test_what_a_program_refuses(change: dict[str, Any], words: str) -> None:
    with pytest.raises(BadCase, match=words):
        program(wave(50), **change)
