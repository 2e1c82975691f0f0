"""A waveform given point by point."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from epidura.errors import BadCase
from epidura.units import Frequency, Time, format_quantity
from epidura.waveform.base import Course, Waveform


class Sampled(Waveform):
    """Piecewise constant: each value holds from its time to the next; the last value is 0.

    Attributes:
        frequency: how often the whole is repeated.
        times: start of each value, the first one 0.
        values: relative to the amplitude, at most 1 either way; the first one that is not 0 is positive (cathodic at a cathode).
    """

    kind: Literal["sampled"] = "sampled"
    frequency: Frequency = Field(50.0, gt=0)
    times: tuple[Time, ...] = Field(min_length=2)
    values: tuple[float, ...] = Field(min_length=2)

    paraesthesia: ClassVar[bool] = True
    usual_amplitude: ClassVar[float] = 1.2

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.times) != len(self.values):
            raise BadCase("values", "times and values differ in number", got=f"{len(self.values)} values",
                          allowed=f"{len(self.times)}, one per time")
        if self.times[0] != 0.0:
            raise BadCase("times[0]", "the first time is not 0", got=format_quantity(self.times[0], "time"))
        late = [i for i in range(1, len(self.times)) if self.times[i] <= self.times[i - 1]]
        if late:
            raise BadCase(f"times[{late[0]}]", "times do not increase", got=format_quantity(self.times[late[0]], "time"))
        if self.values[-1] != 0.0:
            raise BadCase(f"values[{len(self.values) - 1}]", "the last value is not 0", got=self.values[-1],
                          allowed="0, so that the waveform ends")
        if not any(self.values):
            raise BadCase("values", "all values are 0", hint="a waveform needs at least one phase")
        first = next(i for i, value in enumerate(self.values) if value)
        if self.values[first] < 0:
            raise BadCase(f"values[{first}]", "the first phase is not positive", got=self.values[first], allowed="above 0",
                          hint="turn all signs around, and those of the contacts with them")
        # what is compared with the range of a generator is the amplitude: no phase may exceed it
        largest = max(range(len(self.values)), key=lambda i: abs(self.values[i]))
        if abs(self.values[largest]) > 1:
            raise BadCase(f"values[{largest}]", "more than the whole amplitude", got=self.values[largest], allowed="-1 to 1",
                          hint=f"divide all values by {abs(self.values[largest]):g} and raise the amplitude as much")
        self.pulse_fits(self.times[-1], self.period, "the waveform")
        return self

    def pulse(self) -> Course:
        return Course(np.array(self.times), np.array(self.values))

    def words(self) -> str:
        return f"sampled, {len(self.values)} phases in {format_quantity(self.times[-1], 'time', 'us')}, " \
               f"{format_quantity(self.frequency, 'frequency')}"


def read_course(rows: list[dict[str, str]], where: str) -> Course:
    """A course from rows with ``time_us`` and ``value``, signs as written (cathodic negative).

    Raises:
        BadCase: a missing column, something that is no finite number, times that do not increase from 0, a
            first phase that is not negative, or a last value other than 0.
    """
    if not rows or not {"time_us", "value"} <= rows[0].keys():
        raise BadCase(where, "columns are missing", got=", ".join(rows[0]) if rows else "no rows",
                      allowed="a header time_us,value and one row per phase")
    numbers = np.empty((len(rows), 2))
    for i, row in enumerate(rows):
        for j, column in enumerate(("time_us", "value")):
            try:
                numbers[i, j] = float(row[column])
            except (TypeError, ValueError):
                numbers[i, j] = np.nan
            if not np.isfinite(numbers[i, j]):
                raise BadCase(f"{where}, line {i + 2}", f"{column} is not a finite number", got=str(row[column]))
    times, values = numbers.T
    late = np.flatnonzero(np.diff(times) <= 0)
    if times[0] != 0 or late.size:
        line = int(late[0]) + 3 if times[0] == 0 else 2
        raise BadCase(f"{where}, line {line}", "times start at 0 and increase", got=f"{times[line - 2]:g} us")
    if values[-1] != 0:
        raise BadCase(f"{where}, line {len(rows) + 1}", "the last value is not 0", got=f"{values[-1]:g}",
                      allowed="0, so that the waveform ends")
    phases = values[values != 0]
    if not phases.size or phases[0] > 0:
        raise BadCase(where, "the first phase is not negative", got=f"{phases[0]:g}" if phases.size else "only zeros",
                      allowed="a cathodic (negative) first phase", hint="turn the signs around")
    return Course(times * 1e-6, values)
