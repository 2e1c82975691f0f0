"""What the model of a battery says where a maker or a clinic states something that it was not made from.

Each row of the table in docs/validation.md is computed here from the tables of data/, and has to stand there as it is computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from epidura.battery import DAY, YEAR, Statement, drawn
from epidura.delivery import Electronics
from epidura.generator import generator
from epidura.tables import table

HOUR = 3600.0
MAH = 3.6
LOAD = "547 ohm"
TONIC = ("3.5-8.5", "100-500", "40-60")
"""mA, us and usual Hz of conventional stimulation, data/waveforms.csv."""


def fact(name: str, column: str = "value") -> float:
    return float(table("generator_facts").row(fact=name)[column])


def at(**settings: str) -> Statement:
    """A program into a resistance, with nothing stated."""
    row = {"quantity": "recharge at", "value": "1", "low": "", "high": "", "unit": "days", "evidence": "computed", "source": "none",
           "note": ";".join(f"{key}={value}" for key, value in settings.items())}
    return Statement.of(row, "test")


def least_and_most(every: list[tuple[float, float]]) -> tuple[float, float]:
    return min(low for low, _ in every), max(high for _, high in every)


def tonic(active: bool | None = None) -> tuple[float, float]:
    """A from the cell for conventional stimulation, from the weakest program with passive to the strongest with active recharge."""
    amplitude, width, rate = (text.split("-") for text in TONIC)
    ends = [at(amplitude=f"{a} mA", pulse_width=f"{w} us", frequency=f"{r} Hz", impedance=LOAD, recharge=kind)
            for a, w, r, kind in ((amplitude[0], width[0], rate[0], "passive"), (amplitude[1], width[1], rate[1], "active"))]
    return least_and_most([drawn(end, Electronics()) for end in ends])


def ten_kilohertz() -> tuple[float, float]:
    """A from the cell at the amplitudes of the manufacturer's trial."""
    trial = table("generator_facts").row(fact="amplitude of 10 kHz stimulation in the manufacturer's trial")
    return least_and_most([drawn(at(amplitude=f"{trial[end]} mA", pulse_width="30 us", frequency="10000 Hz", impedance=LOAD, recharge="active"),
                                 Electronics()) for end in ("low", "high")])


def eterna() -> Statement:
    (found,) = (s for s in generator("eterna").statements if s.complete)
    return found


def row(words: str, expected: str, low: float, high: float, unit: str, stated: tuple[float, float] | None, source: str, digits: int = 3) -> str:
    """Both are intervals: what is stated passes where they overlap; None: it names no settings, and is not judged."""
    verdict = "-" if stated is None else "pass" if low <= stated[1] and high >= stated[0] else "**fail**"
    return f"| {words} | {expected} | {low:.{digits}g} to {high:.{digits}g} {unit} | {verdict} | {source} |"


def rows() -> Iterator[str]:
    charging = fact("charging current") * 1e-3
    low, high = drawn(eterna(), Electronics())
    yield row("Eterna, nominal burst: 1 h of charging at 50 mA (another generator) lasts", "21 days or more", charging * HOUR / high / DAY,
              charging * HOUR / low / DAY, "days", (21, math.inf), "clinician's manual 32400, p. 19")
    low, high = ten_kilohertz()
    mean = "charging a day, 10 kHz on 100 % of the time"
    yield row("Senza, 10 kHz all the time: charging a day at 50 mA (another generator)", "33 to 55 min", low * DAY / charging / 60,
              high * DAY / charging / 60, "min", (fact(mean, "low"), fact(mean, "high")), "Provenzano 2022, which also gave the base current")
    low, high = tonic()
    month = YEAR / 12
    taken = fact("charging by patients, times a month") * fact("charging by patients, each time") * HOUR * charging / month
    yield row("Rechargeable generators, conventional stimulation: mean current from the cell",
              f"{taken * 1e3:.2f} mA: 5.2 charges a month of 2.3 h, at 50 mA (another generator)", low * 1e3, high * 1e3, "mA",
              None, "35 patients, Neuromodulation 2010;13:218")
    for model, words, days, source in (
            ("precision-spectra", "Precision Spectra, conventional stimulation: between charges, cell of 200 mAh (judgement)", 7,
             "release on Restore, 2005, of other makers' generators then"),
            ("restore", "Restore, conventional stimulation: between charges, cell of 300 mAh (memory)", 30, "release on Restore, 2005")):
        capacity = generator(model).capacity
        assert capacity is not None
        aged = 1 - fact("capacity that age takes from implantable lithium ion cells", "high")
        expected = f"about {days} days, settings not named"
        yield row(words, expected, capacity.low * aged / high / DAY, capacity.high / low / DAY, "days", None, source)
    capacity = generator("prime-advanced").capacity
    assert capacity is not None
    lasts = [charge / (current + charge * leak / YEAR) / YEAR for charge, current, leak in (
        (capacity.low, high, fact("self-discharge of lithium manganese dioxide cells")), (capacity.high, low, 0.0))]
    yield row("PrimeAdvanced, conventional stimulation: life, cell of 6.3 Ah (memory)", "3 to 7 years, settings not named", *lasts, "years",
              None, "manual, from memory")


def document() -> str:
    return (Path(__file__).parents[1] / "docs" / "validation.md").read_text(encoding="utf-8")


def test_the_settings_are_those_of_the_tables():
    known = table("waveforms").row(type="tonic (conventional)")
    assert (known["amplitude_mA"], known["pulse_width_us"]) == TONIC[:2]
    assert f"typ {TONIC[2]}" in known["frequency_hz"]
    assert f"{fact('bipolar lead impedance, lower thoracic'):g} ohm" == LOAD
    assert (files("epidura") / "data" / "generator_facts.csv").is_file()


def test_every_row_stands_in_the_table_as_it_is_computed():
    made = list(rows())
    for one in made:
        assert one in document(), one
    written = document().split("<!-- battery begins -->")[1].split("<!-- battery ends -->")[0]
    assert [line for line in written.splitlines() if line.startswith("|")][2:] == made


def test_drawn_by_hand():
    """1 mA, 200 us, 50 Hz into 5000 ohm: 5 V, above every cell."""
    low, high = drawn(at(amplitude="1 mA", pulse_width="200 us", frequency="50 Hz", impedance="5000 ohm", recharge="active"), Electronics())
    volts = 5 + 2 * 1e-3 * 200e-6 / Electronics().capacitor
    assert low == pytest.approx(6.04e-6 + 20e-6 * (5 + 1) / (0.85 * 4.3))
    assert high == pytest.approx(546e-6 + 20e-6 * (volts + 2) / (0.45 * 3.1))
    passive, _ = drawn(at(amplitude="1 mA", pulse_width="200 us", frequency="50 Hz", impedance="5000 ohm"), Electronics())
    assert passive - 6.04e-6 == pytest.approx((low - 6.04e-6) / 2)


def test_what_a_statement_says_does_not_move_what_the_model_says():
    """Eterna's own statement is only what its estimates are scaled from: the draw at its settings is not made from it."""
    one = eterna()
    other = Statement(one.quantity, 100 * one.low, one.high, one.settings, one.number, one.note)
    assert drawn(one, Electronics()) == drawn(other, Electronics())
