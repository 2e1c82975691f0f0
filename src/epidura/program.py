"""A program of the generator: which contacts, what course in time, how much."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from epidura import waveform
from epidura.errors import BadCase
from epidura.recipe import Recipe
from epidura.units import SI, Current, Time, format_quantity, parse

if TYPE_CHECKING:
    from epidura.waveform import Waveform as AnyWaveform
else:
    AnyWaveform = waveform.family.field

CASE = 0
"""The number that stands for the generator's case, the far return, among contact numbers."""

BALANCE = 1e-6
"""Fractions whose sum is further from 0 than this do not balance."""


@dataclass(frozen=True)
class Amplitude:
    """How much: a current, a multiple of the perception threshold, or what is usual for the waveform.

    Attributes:
        current: A, or None.
        of_perception: multiple of the perception threshold, or None.
        voltage: V between cathodes and anodes of a generator that controls voltage, or None.
    """

    current: float | None = None
    of_perception: float | None = None
    voltage: float | None = None

    def __str__(self) -> str:
        if self.current is not None:
            return format_quantity(self.current, "current", "mA")
        if self.voltage is not None:
            return format_quantity(self.voltage, "voltage", "V")
        if self.of_perception is None:
            return "auto"
        percent = f"{100 * self.of_perception:.12g}"
        # what percent cannot say to the last digit is written as a plain number
        return f"{percent} % of perception" if float(percent) / 100 == self.of_perception else f"{self.of_perception!r} of perception"


def _amplitude(value: object) -> Amplitude:
    if isinstance(value, Amplitude):
        return value
    if isinstance(value, SI):
        return Amplitude(current=value.si)
    if isinstance(value, str) and value.strip() == "auto":
        return Amplitude()
    if isinstance(value, str) and value.strip().endswith("of perception"):
        share = value.strip().removesuffix("of perception").strip()
        try:
            number = float(share.removesuffix("%")) / (100 if share.endswith("%") else 1)
        except ValueError:
            number = math.nan
        if not 0 < number <= 100:
            raise BadCase("", "no share of the perception threshold", got=value,
                          allowed="'60 % of perception', above 0 %")
        return Amplitude(of_perception=number)
    if isinstance(value, str) and value.strip().endswith("V"):
        voltage = parse(value, "voltage")
        if voltage <= 0:
            raise BadCase("", "an amplitude is a positive voltage", got=value, allowed="above 0 V; polarity comes from the signs of the contacts")
        return Amplitude(voltage=voltage)
    current = parse(value, "current")
    if current <= 0:
        raise BadCase("", "an amplitude is a positive current", got=value,
                      allowed="above 0 mA; polarity comes from the signs of the contacts")
    return Amplitude(current=current)


AmplitudeField = Annotated[
    Any,
    BeforeValidator(_amplitude),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["auto", "4.5 mA", "60 % of perception", "3.2 V"]}),
]


def _contacts(value: object) -> dict[int, float]:
    """Contact number (``case`` becomes 0) to fraction of the amplitude."""
    if not isinstance(value, dict) or not value:
        raise BadCase("", "contacts are a mapping from number to fraction", got=str(value)[:60],
                      allowed="{3: -1, 5: +1} or {3: -1, case: +1}")
    fractions: dict[int, float] = {}
    for key, fraction in value.items():
        text = str(key)
        if key != "case" and (not (text.isascii() and text.isdecimal()) or int(text) == CASE):
            raise BadCase(text, "not a contact", got=text, allowed="a number from 1, or case")
        number = CASE if key == "case" else int(text)
        if number in fractions:
            raise BadCase(text, "a contact given twice", got=text, hint="keep one")
        if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not math.isfinite(fraction):
            raise BadCase(str(key), "not a fraction of the amplitude", got=fraction, allowed="-1 to 1")
        if abs(fraction) > 1 + BALANCE:
            raise BadCase(str(key), "more than the whole amplitude", got=fraction, allowed="-1 to 1")
        fractions[number] = float(fraction)
    return dict(sorted(fractions.items()))


ContactsField = Annotated[
    dict[int, float],
    BeforeValidator(_contacts),
    PlainSerializer(lambda value: {str(k) if k else "case": v for k, v in value.items()}, return_type=dict),
    WithJsonSchema({"type": "object", "examples": [{"3": -1, "5": 1}, {"3": -1, "case": 1}]}),
]


class Train(Recipe):
    """Pulses on some contacts.

    Attributes:
        waveform: its course in time.
        contacts: fraction of the amplitude at each contact in the first phase; cathodes are negative, anodes
            positive, both sides add up to 1 and together to 0. ``case`` is the generator's case. ``Case`` says how
            contacts are numbered.
        amplitude: of the first phase.
    """

    waveform: AnyWaveform
    contacts: ContactsField
    amplitude: AmplitudeField = Amplitude()

    @model_validator(mode="after")
    def _balanced(self) -> Self:
        cathodes = sum(f for f in self.contacts.values() if f < 0)
        anodes = sum(f for f in self.contacts.values() if f > 0)
        if abs(cathodes + anodes) > BALANCE:
            raise BadCase("contacts", "the net current does not balance",
                          got=f"cathodes {cathodes:g}, anodes {anodes:+g}", allowed="a sum of 0",
                          hint=f"give the rest to the generator: case: {-(cathodes + anodes):+g}")
        if abs(cathodes + 1) > BALANCE:
            raise BadCase("contacts", "the cathodes do not carry the whole amplitude", got=f"{cathodes:g}",
                          allowed="cathodes that add up to -1 and anodes that add up to +1")
        return self

    def drive(self, contacts: Sequence[int], where: str = "") -> NDArray[np.float64]:
        """(contacts,) current into tissue at each contact per ampere of amplitude, in the first phase.

        Args:
            contacts: numbers of the contacts that there are, in order.
            where: path of the program in a case, for the error.

        Raises:
            BadCase: a contact that does not exist.
        """
        out = np.zeros(len(contacts))
        for number, fraction in self.contacts.items():
            if number == CASE:
                continue  # the far boundary takes what the contacts do not
            if number not in contacts:
                raise BadCase(f"{where}contacts.{number}", "there is no such contact", got=number,
                              allowed=f"{contacts[0]} to {contacts[-1]}, or case")
            out[list(contacts).index(number)] = fraction
        return out

    def words(self) -> str:
        """One line for a person: contacts with polarity."""
        def side(sign: int) -> str:
            chosen = [(n, f) for n, f in self.contacts.items() if f * sign > 0]
            return ", ".join(("case" if n == CASE else str(n)) + ("" if abs(f) == 1 else f" ({abs(f):.0%})")
                             for n, f in chosen)
        return f"cathode {side(-1)}; anode {side(+1)}"


class Cycle(Recipe):
    """Stimulation in turns with silence, as in microdosing.

    Attributes:
        on, off: length of each, s.
    """

    on: Time = Field(gt=0)
    off: Time = Field(gt=0)

    @property
    def share(self) -> float:
        """Of the time that stimulation is on."""
        return self.on / (self.on + self.off)


class Program(Train):
    """One program: a train of pulses, or several that run together.

    Attributes:
        name: what people call it.
        interleaved: more trains on the same leads. Their pulses never overlap: one that would has to wait (``schedule.impulses``).
            So are differential target multiplexed and other stacked programs written.
        sources: ``independent``, every contact has a current source and carries its fraction; ``single``, the contacts of one sign share
            one source, or one voltage, and the tissue decides how the current splits between them: fractions then count by their signs only.
        cycle: on and off in turns; without, always on.
        ramp_up: how long the amplitude takes from 0 to its value whenever stimulation is switched on.
        most: largest amplitude that the patient can set; none without.
    """

    name: str = Field(min_length=1)
    interleaved: tuple[Train, ...] = Field(default=(), max_length=15)
    sources: Literal["independent", "single"] = "independent"
    cycle: Cycle | None = None
    ramp_up: Time = Field(0.0, ge=0)
    most: Current | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.most is not None and self.amplitude.current is not None and self.amplitude.current > self.most * (1 + BALANCE):
            raise BadCase("amplitude", "above the most that the program allows", got=str(self.amplitude),
                          allowed=f"up to {format_quantity(self.most, 'current', 'mA')}")
        for i, train in enumerate(self.trains):
            if train.amplitude.voltage is not None and self.sources == "independent":
                raise BadCase("amplitude" if i == 0 else f"interleaved[{i - 1}].amplitude", "a voltage needs one source for all contacts",
                              got=str(train.amplitude), allowed="a current", hint="say sources: single")
        if self.cycle is not None and self.ramp_up > self.cycle.on:
            raise BadCase("ramp_up", "is longer than stimulation is on", got=format_quantity(self.ramp_up, "time"),
                          allowed=f"up to {format_quantity(self.cycle.on, 'time')}")
        return self

    @property
    def trains(self) -> tuple[Train, ...]:
        """All trains, the program's own first."""
        return (self, *self.interleaved)

    def alone(self, which: int) -> Program:
        """The program with one of its trains only, named after both where there are several."""
        if not self.interleaved:
            return self
        train = self.trains[which]
        name = self.name if which == 0 else f"{self.name}, train {which + 1}"
        return self.model_copy(update={"waveform": train.waveform, "contacts": train.contacts, "amplitude": train.amplitude, "interleaved": (),
                                       "name": name})


def rows(program: Program) -> tuple[Program, ...]:
    """A program as programs of one train each."""
    return tuple(program.alone(which) for which in range(len(program.trains)))
