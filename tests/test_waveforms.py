"""Courses in time: charge, sampling, and one contract for every kind that is registered."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from epidura.errors import BadInput
from epidura.waveform import Course, family

EXAMPLES = {"sampled": {"times": ["0 us", "100 us", "300 us"], "values": [1, -0.5, 0]}}


def make(kind, **fields):
    return family.read({"kind": kind, **EXAMPLES.get(kind, {}), **fields})


@pytest.mark.parametrize("kind", family.members)
class TestContract:
    """Holds for every kind, so a new file is tested when it arrives."""

    def test_starts_with_a_positive_first_phase_and_ends_at_zero(self, kind):
        course = make(kind).unit()
        assert course.times[0] == 0.0
        assert (np.diff(course.times) > 0).all()
        assert 0 < course.values[0] <= 1.0
        assert np.abs(course.values).max() == pytest.approx(1.0, abs=0.01)  # a piece of a sine has its mean
        assert course.values[-1] == 0.0

    def test_is_charge_balanced_by_default(self, kind):
        if make(kind).passive:
            return  # the load decides; see test_delivery
        course = make(kind).unit()
        assert abs(course.charge) < 1e-12 * np.sum(np.abs(course.values[:-1]) * np.diff(course.times)) + 1e-18

    def test_ends_before_it_is_repeated(self, kind):
        waveform = make(kind)
        longest = max(waveform.period, getattr(waveform, "train", 0.0), getattr(waveform, "carrier", 0.0))
        assert waveform.unit().end <= longest * (1 + 1e-9)
        assert waveform.pulse().end <= waveform.period * (1 + 1e-9)

    def test_step_means_keep_the_charge(self, kind):
        course = make(kind).unit()
        for dt in (5e-6, 7e-6):
            assert course.step_means(dt).sum() * dt == pytest.approx(course.charge, abs=1e-15)

    def test_text_and_back(self, kind):
        waveform = make(kind)
        again = family.read(waveform.model_dump(mode="json"))
        assert again == waveform
        assert again.key() == waveform.key()

    def test_words_carry_units(self, kind):
        assert "Hz" in make(kind).words()


def test_a_pulse_is_on_for_its_width_in_steps():
    samples = make("tonic", pulse_width="60 us", shape="monophasic").unit().at_step_starts(5e-6)
    assert samples.tolist() == [1.0] * 12


def test_symmetric_with_a_gap():
    course = make("tonic", pulse_width="60 us", shape="symmetric", interphase_gap="100 us").unit()
    assert course.times.tolist() == pytest.approx([0, 60e-6, 160e-6, 220e-6])
    assert course.values.tolist() == [1, 0, -1, 0]


def test_ten_kilohertz_is_30_30_40():
    course = make("high-frequency").unit()
    assert course.times[:4].tolist() == pytest.approx([0, 30e-6, 60e-6, 100e-6])
    assert course.end == pytest.approx(10e-3 - 40e-6)


def test_a_burst_has_five_pulses_and_the_load_recharges_it():
    burst = make("burst")
    assert burst.passive
    assert burst.unit().values.tolist() == [1, 0] * 5
    assert burst.unit().end == pytest.approx(9e-3)
    active = make("burst", recharge="active", pulse_width="800 us")
    assert not active.passive
    assert active.unit().values.tolist() == [1, -1, 0] * 5


def test_a_burst_recharges_every_pulse_after_its_gap():
    burst = make("burst", recharge="active", pulse_width="250 us", interphase_gap="100 us", pulses=3)
    np.testing.assert_allclose(burst.pulse().phases(), ([(250e-6, 1.0), (100e-6, 0.0), (250e-6, -1.0), (1400e-6, 0.0)] * 3)[:-1], atol=1e-15)
    assert "active recharge after 100 us" in burst.words()
    close = make("burst", recharge="active", pulse_width="950 us", interphase_gap="100 us", intra_frequency="500 Hz")
    assert [value for _, value in close.pulse().phases()] == [1.0, 0.0, -1.0] * 5  # no silence is left between pulses
    with pytest.raises(BadInput, match="a pulse inside the burst lasts longer than its period"):
        make("burst", recharge="active", interphase_gap="1 us")


def test_a_ramp_rises_in_steps_to_its_full_height():
    course = make("ramp", rise="160 us", hold="100 us", fall="0 us", recharge="none").pulse()
    assert np.diff(course.times)[:16] == pytest.approx(10e-6)
    assert course.values[:17] == pytest.approx([*(np.arange(16) + 0.5) / 16, 1.0])
    assert course.charge == pytest.approx(180e-6)  # half the rise and the hold


def test_pieces_of_a_sine_hold_its_charge():
    course = make("sine", frequency="1 kHz").pulse()
    edges = np.linspace(0, 1e-3, 33)
    exact = (1 - np.cos(2 * np.pi * edges * 1e3)) / (2 * np.pi * 1e3)
    assert np.cumsum(course.values[:-1] * np.diff(course.times)) == pytest.approx(exact[1:], abs=1e-12)


def test_high_density_is_simulated_as_a_train():
    assert (make("high-density").unit().values == 1).sum() == 10
    assert make("high-density").usual_amplitude == 0.65


@given(st.floats(1e-6, 2e-3), st.floats(0, 1e-3), st.floats(1, 20))
@example(0.001953125, 1e-9, 1.0)  # a gap that is no longer than the tolerance of edges
def test_every_tonic_pulse_balances(width, gap, ratio):
    from epidura.units import SI

    waveform = family.members["tonic"](frequency=SI(10.0), pulse_width=SI(width), interphase_gap=SI(gap), recharge_ratio=ratio)
    assert abs(waveform.unit().charge) < 1e-9 * width


def test_course_of_skips_empty_phases():
    assert Course.of((1.0, 1.0), (0.0, 0.0), (1.0, -1.0)).values.tolist() == [1.0, -1.0, 0.0]


@pytest.mark.parametrize(("value", "words"), [
    ({"kind": "tonik"}, "kind: there is no waveform of this kind; got 'tonik'; "
     "allowed: burst, closed-loop, dorsal-root-ganglion, fast-acting, high-density, high-frequency, ramp, sampled, sine, tonic; "
                        "did you mean 'tonic'?"),
    ({}, "kind: this waveform has no kind"),
    ("tonic", "a waveform is a mapping with kind"),
    ({"kind": "tonic", "freqency": "50 Hz"}, "freqency: unknown key; got '50 Hz'; allowed: kind, frequency"),
    ({"kind": "tonic", "frequency": "0 Hz"}, "frequency: out of range"),
    ({"kind": "tonic", "pulse_width": "30 ms"}, "a pulse with its recharge lasts longer than its period"),
    ({"kind": "tonic", "shape": "round"}, "shape: there is no such choice; got 'round'; allowed: monophasic, symmetric, asymmetric"),
    ({"kind": "sampled", "times": ["0 us", "10 us"], "values": [1, 1]}, "values[1]: the last value is not 0"),
    ({"kind": "sampled", "times": ["0 us", "10 us", "5 us"], "values": [1, 1, 0]}, "times[2]: times do not increase"),
    ({"kind": "sampled", "times": ["0 us", "10 us", "20 us"], "values": [5, -5, 0]},
     "values[0]: more than the whole amplitude; got 5.0; allowed: -1 to 1; divide all values by 5 and raise the amplitude as much"),
    ({"kind": "sampled", "times": ["0 us", "10 us", "20 us", "30 us"], "values": [0, -1, 1, 0]},
     "values[1]: the first phase is not positive; got -1.0; allowed: above 0; turn all signs around"),
    ({"kind": "sampled", "times": ["0 us", "10 us"], "values": [float("nan"), 0]}, "values[0]: input should be a finite number"),
])
def test_what_is_refused(value, words):
    with pytest.raises(BadInput) as failure:
        family.read(value)
    assert words in str(failure.value)
