"""Numbers of data/*.csv that can be set or are only known between two ends: with their steps, in SI, with source and evidence."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import numpy as np

from epidura.product import Floats
from epidura.tables import EVIDENCE, Number

Interval = tuple[float, float]

SCALE = {"mA": Decimal("1e-3"), "uA": Decimal("1e-6"), "V": Decimal(1), "us": Decimal("1e-6"), "Hz": Decimal(1), "uC": Decimal("1e-6"),
         "1": Decimal(1), "1/year": Decimal(1), "mAh": Decimal("3.6"), "J": Decimal(1), "years": Decimal(1), "days": Decimal(1)}
"""SI units (of a capacity C or J) in one unit of the tables; years and days stay."""

SAME = 1e-9
"""Settings that differ by less, relatively, are the same."""

_PIECES = re.compile(r"[\d.]+ \w+ up to (?P<end>[\d.]+) (?P<unit>\w+), (?P<step>[\d.]+) (?P=unit) from")


def number_of(name: str, row: dict[str, str], file: str) -> Number:
    """A row as a number: its value, or the end of its range that it gives."""
    evidence = row["evidence"]
    assert evidence in EVIDENCE
    return Number(name, float(row["value"] or row["high"] or row["low"]), row["unit"], evidence, row["source"], "", f"{file}.csv")


def _si(text: str, unit: str) -> float:
    return float(Decimal(text) * SCALE[unit])


@dataclass(frozen=True)
class Range:
    """What can be set, SI.

    Attributes:
        low, high: ends; 0 and inf where they are not stated.
        step: between settings, from ``low`` on; None where it is not known.
        number: of the table: source and evidence, the end of the range in the unit of the table.
        coarse: (from, step) where steps become longer.
    """

    low: float
    high: float
    step: float | None
    number: Number
    coarse: Interval | None = None

    @classmethod
    def of(cls, row: dict[str, str], name: str, file: str = "generators", steps: dict[str, str] | None = None) -> Range:
        """From a row with low, value and high, and that of its steps."""
        low, high = row["low"] or row["value"] or "0", row["high"] or row["value"]
        step, coarse = None, None
        if steps is not None:
            step = _si(steps["value"] or steps["low"], steps["unit"])
            if pieces := _PIECES.match(steps["note"]):
                coarse = (_si(pieces["end"], pieces["unit"]), _si(pieces["step"], pieces["unit"]))
        return cls(_si(low, row["unit"]), _si(high, row["unit"]) if high else math.inf, step, number_of(name, row, file), coarse)

    @cached_property
    def settings(self) -> Floats | None:
        """(n,) all that can be set, where steps are known. Times are cut to whole microseconds: steps of 12.5 us are 12 and 13 us in turn."""
        if self.step is None:
            return None
        end, then = self.coarse or (self.high, self.step)
        parts = [self.low + self.step * np.arange(math.floor((end - self.low) / self.step + 1e-6) + 1),
                 end + then * np.arange(1, math.floor((self.high - end) / then + 1e-6) + 1)]
        every = np.concatenate(parts)
        if self.number.unit == "us":
            every = np.floor(every * 1e6 + 1e-6) * 1e-6
        return np.asarray(np.round(every, 12), float)

    def holds(self, value: float) -> bool:
        """Whether it can be set."""
        inside = self.low * (1 - SAME) <= value <= self.high * (1 + SAME)
        if not inside or self.settings is None:
            return inside
        return bool(np.abs(self.settings - value).min() <= SAME * abs(value))

    def below(self, value: float) -> float | None:
        """The largest setting that is not above a value."""
        if value < self.low * (1 - SAME):
            return None
        if self.settings is None:
            return min(value, self.high)
        return float(self.settings[self.settings <= value * (1 + SAME)].max())

    def nearest(self, value: float) -> float:
        """The setting nearest to a value, of two the lower one."""
        if self.settings is None:
            return min(max(value, self.low), self.high)
        return float(self.settings[np.argmin(np.abs(self.settings - value))])

    def text(self, value: float) -> str:
        """A value in the unit of the table."""
        unit = self.number.unit
        return f"{value / float(SCALE[unit]):.6g}" + ("" if unit == "1" else f" {unit}")

    def words(self) -> str:
        """The range for a person."""
        ends = f"{self.text(self.low)} to {self.text(self.high)}" if self.low and self.high < math.inf else \
            f"up to {self.text(self.high)}" if self.high < math.inf else f"from {self.text(self.low)}"
        if self.step is None:
            return ends
        coarse = f", above {self.text(self.coarse[0])} of {self.text(self.coarse[1])}" if self.coarse else ""
        return f"{ends} in steps of {self.text(self.step)}{coarse}"
