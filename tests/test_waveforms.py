"""Courses in time: charge, sampling, and one contract for every kind that is registered."""

import numpy as np
import pytest
from hypothesis import given
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
        assert course.values[0] == 1.0
        assert course.values[-1] == 0.0

    def test_is_charge_balanced_by_default(self, kind):
        course = make(kind).unit()
        assert abs(course.charge) < 1e-12 * np.sum(np.abs(course.values[:-1]) * np.diff(course.times)) + 1e-18

    def test_ends_before_it_is_repeated(self, kind):
        waveform = make(kind)
        assert waveform.unit().end <= max(waveform.period, getattr(waveform, "train", 0.0)) * (1 + 1e-9)

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


def test_a_burst_has_five_pulses_and_one_recharge():
    course = make("burst").unit()
    assert (course.values == 1).sum() == 5
    assert (course.values < 0).sum() == 1


@given(st.floats(1e-6, 2e-3), st.floats(0, 1e-3), st.floats(1, 20))
def test_every_tonic_pulse_balances(width, gap, ratio):
    from epidura.units import SI

    waveform = family.members["tonic"](frequency=SI(10.0), pulse_width=SI(width), interphase_gap=SI(gap), recharge_ratio=ratio)
    assert abs(waveform.unit().charge) < 1e-9 * width


def test_course_of_skips_empty_phases():
    assert Course.of((1.0, 1.0), (0.0, 0.0), (1.0, -1.0)).values.tolist() == [1.0, -1.0, 0.0]


@pytest.mark.parametrize(("value", "words"), [
    ({"kind": "tonik"}, "kind: there is no waveform of this kind; got 'tonik'; allowed: burst, high-frequency, sampled, tonic; "
                        "did you mean 'tonic'?"),
    ({}, "kind: this waveform has no kind"),
    ("tonic", "a waveform is a mapping with kind"),
    ({"kind": "tonic", "freqency": "50 Hz"}, "freqency: unknown key; got '50 Hz'; allowed: kind, frequency"),
    ({"kind": "tonic", "frequency": "0 Hz"}, "frequency: input should be greater than 0"),
    ({"kind": "tonic", "pulse_width": "30 ms"}, "a pulse with its recharge lasts longer than its period"),
    ({"kind": "tonic", "shape": "round"}, "shape: there is no such choice; got 'round'; allowed: monophasic, symmetric, asymmetric"),
    ({"kind": "sampled", "times": ["0 us", "10 us"], "values": [1, 1]}, "values[1]: the last value is not 0"),
    ({"kind": "sampled", "times": ["0 us", "10 us", "5 us"], "values": [1, 1, 0]}, "times[2]: times do not increase"),
    ({"kind": "sampled", "times": ["0 us", "10 us"], "values": [float("nan"), 0]}, "values[0]: input should be a finite number"),
])
def test_what_is_refused(value, words):
    with pytest.raises(BadInput) as failure:
        family.read(value)
    assert words in str(failure.value)
