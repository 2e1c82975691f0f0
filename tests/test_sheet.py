"""What the sheet of a program says, against closed forms; the line of a decay, and the page."""

from __future__ import annotations

import math

import numpy as np
import pytest
from test_delivery import field, program

from epidura.delivery import Electronics, deliver, volts_per_ampere
from epidura.errors import BadInput
from epidura.generator import generator
from epidura.program_page import page
from epidura.sheet import at_amplitude, current_course, examine, schedule_words, unknown_amplitudes

PASSIVE = {"kind": "tonic", "shape": "passive"}


def test_the_line_of_a_decay_is_an_exponential() -> None:
    made = program(PASSIVE, {3: -1, 5: 1})
    d = deliver(made, field(), electronics=Electronics(2e-6))
    tau = volts_per_ampere(made, field(), Electronics(2e-6)) * 1e-6
    time, current = current_course(d, 1)
    begin = 2e-3 * 300e-6 / tau
    resting = time > 300e-6 + 1e-9
    early = resting & (time < 300e-6 + tau)
    first = np.flatnonzero((np.abs(time - 300e-6) < 1e-12) & (current < 0))
    assert current[first] == pytest.approx([-begin], rel=0.01)
    np.testing.assert_allclose(current[early], -begin * np.exp(-(time[early] - 300e-6) / tau), rtol=0.01)
    np.testing.assert_allclose(current[time < 299e-6], 2e-3)
    assert (np.diff(time) >= 0).all()


def test_a_voltage_sags_to_its_end() -> None:
    made = program(PASSIVE, {3: -1, 5: 1}, sources="single", amplitude="3 V")
    d = deliver(made, field(), electronics=Electronics(4e-6))
    tau = volts_per_ampere(made, field(), Electronics(4e-6)) * 2e-6
    time, current = current_course(d, 1)
    pulse = current[(time <= 300e-6 + 1e-12) & (current > 0)]
    assert pulse[-1] / pulse[0] == pytest.approx(math.exp(-300e-6 / tau), rel=0.01)


def test_turns_count_in_the_mean_power() -> None:
    always = examine(program(PASSIVE), field()).summary()
    turns = examine(program(PASSIVE, cycle={"on": "10 s", "off": "30 s"}), field()).summary()
    assert turns["mean_power_uW"] == pytest.approx(always["mean_power_uW"] / 4, rel=1e-12)
    assert turns["energy_per_pulse_uJ"] == pytest.approx(always["energy_per_pulse_uJ"], rel=1e-12)


def test_the_limit_of_the_voltage() -> None:
    made = program("high-frequency", amplitude="2 mA")
    small = examine(made, field(), generator("senza")).summary()
    assert small["voltage_limit"]["limit_V"] == pytest.approx(16.2)
    assert not small["voltage_limit"]["above"]
    high = examine(at_amplitude(made, "14 mA"), field(), generator("senza")).summary()
    assert high["voltage_needed_V"] == pytest.approx(7 * small["voltage_needed_V"], rel=1e-9)
    assert high["voltage_limit"]["above"] == (high["voltage_needed_V"] > 16.2)
    assert examine(made, field()).summary()["voltage_limit"] is None
    assert examine(made, field(), generator("eterna")).summary()["voltage_limit"] is None


@pytest.mark.parametrize(("more", "words"), [
    ({"waveform": "high-frequency"}, ["a pulse or packet of 60 us every 100 us, contacts open in between", "always on"]),
    ({"waveform": "sine"}, ["a pulse or packet of 1 ms every 1 ms", "always on"]),
    ({"waveform": "burst", "cycle": {"on": "30 s", "off": "90 s"}, "ramp_up": "2 s", "most": "5 mA"},
     ["a pulse or packet of 9 ms every 25 ms, contacts joined in between", "in turns: 30 s on, 90 s off (0.25 of the time)",
      "amplitude rises over 2 s whenever it is switched on", "the patient can set at most 5 mA"]),
    ({"waveform": {"kind": "tonic", "shape": "symmetric", "frequency": "40 Hz"},
      "interleaved": [{"waveform": {"kind": "tonic", "shape": "passive", "frequency": "100 Hz"}, "contacts": {1: -1, 2: 1}}]},
     ["train 1: a pulse or packet of 600 us every 25 ms, contacts open in between",
      "train 2: a pulse or packet of 300 us every 10 ms, contacts joined in between",
      "2 trains run together and never overlap; all repeat after 50 ms", "always on"]),
])
def test_schedules_in_words(more: dict[str, object], words: list[str]) -> None:
    waveform = more.pop("waveform") if "waveform" in (more := dict(more)) else "tonic"
    assert list(schedule_words(program(waveform, **more))) == words


def test_amplitudes_that_are_not_known() -> None:
    train = {"waveform": {"kind": "tonic"}, "contacts": {1: -1, 2: 1}}
    made = program("tonic", amplitude="60 % of perception", interleaved=[train])
    assert unknown_amplitudes(made) == ["amplitude", "interleaved[0].amplitude"]
    assert unknown_amplitudes(at_amplitude(made, "2 mA")) == []
    with pytest.raises(BadInput, match="hangs on the perception threshold"):
        at_amplitude(made, "50 % of perception")


def test_the_page_says_what_it_shows_and_escapes() -> None:
    made = program(PASSIVE, cycle={"on": "10 s", "off": "30 s"}, name="<b>mine</b>")
    text = page("A & B", ["about 300 us", ""], [examine(made, field()), examine(program("sine"), field())])
    assert "<h1>A &amp; B</h1>" in text
    assert "<h2>&lt;b&gt;mine&lt;/b&gt;</h2>" in text
    assert "about 300 µs" in text
    assert text.count('id="program-') == 2
    assert text.count('id="turns-') == 1
    assert "its beginning" in text
    assert "not a medical device" in text
