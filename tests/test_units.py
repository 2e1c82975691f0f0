"""Text with units in, SI floats inside, the same text meaning the same number."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epidura.errors import BadUnit
from epidura.units import KINDS, format_quantity, parse


def test_the_same_quantity_in_other_units_is_the_same_float():
    assert parse("210 us", "time") == parse("0.21 ms", "time") == parse("0.00021 s", "time") == 0.00021
    assert parse("0.1 mm", "length") == parse("100 um", "length")
    assert parse("10kHz", "frequency") == 10_000.0
    assert parse("-1 mm", "length") == -1e-3
    assert parse("1e2 µs", "time") == 1e-4


@pytest.mark.parametrize(("text", "words"), [
    (50, "a bare number has no unit; got 50; allowed: a frequency in Hz or kHz, such as '50 Hz'; write '50 Hz'"),
    ("50", "a bare number has no unit; got '50'"),
    ("fifty Hz", "no number in this frequency; got 'fifty Hz'"),
    ("50 us", "the unit 'us' is not a unit of frequency"),
    ("50 furlong", "the unit 'furlong' is not a unit of frequency"),
    ("50 $%", "the unit '$%' is not a unit of frequency"),
    ("nan Hz", "not a finite number"),
    ("inf Hz", "not a finite number"),
    ("", "no number"),
    (True, "not a frequency"),
    (None, "not a frequency"),
    ([1], "not a frequency"),
])
def test_what_is_refused_says_what_is_allowed(text, words):
    with pytest.raises(BadUnit) as failure:
        parse(text, "frequency", "programs[0].waveform.frequency")
    assert words in str(failure.value)
    assert str(failure.value).startswith("programs[0].waveform.frequency: ")


@given(st.sampled_from(sorted(KINDS)), st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12))
def test_written_and_read_back_is_the_same_float(kind, value):
    assert parse(format_quantity(value, kind), kind) == value or math.isclose(value, 0.0)
