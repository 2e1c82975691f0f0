"""Text with units at the edge, plain SI floats inside. The only module that knows pint.

``parse("210 us", "time")`` gives ``0.00021``; decimals are exact, so ``210 us`` and ``0.21 ms``
are the same number and hence the same case. The annotated types below (``Time``, ``Length`` ...)
make a pydantic field that reads such text, refuses a bare number, holds an SI float, and writes
text again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from epidura.errors import BadUnit


@dataclass(frozen=True)
class Kind:
    """A kind of quantity: its SI unit, the units that it is written in, an example for messages."""

    name: str
    si: str
    written: tuple[str, ...]
    example: str


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("length", "m", ("mm", "um", "m", "cm"), "3 mm"),
        Kind("time", "s", ("us", "ms", "s"), "210 us"),
        Kind("frequency", "Hz", ("Hz", "kHz"), "50 Hz"),
        Kind("current", "A", ("mA", "uA", "A"), "4.5 mA"),
        Kind("voltage", "V", ("V", "mV"), "12 V"),
        Kind("conductivity", "S/m", ("S/m",), "0.2 S/m"),
        Kind("resistance", "ohm", ("ohm", "kohm"), "500 ohm"),
        Kind("capacitance", "F", ("uF", "F"), "10 uF"),
        Kind("angle", "rad", ("deg", "rad"), "10 deg"),
    )
}


@cache
def _registry() -> Any:
    import pint

    return pint.UnitRegistry(non_int_type=Decimal)


@cache
def _factor(unit: str, kind: str) -> Decimal | None:
    """How many SI units of ``kind`` one ``unit`` is; None if it is another kind of quantity."""
    registry = _registry()
    try:
        return Decimal(registry.Quantity(Decimal(1), unit).to(KINDS[kind].si).magnitude)
    except Exception:
        return None


def parse(text: object, kind: str, where: str = "") -> float:
    """The SI value of ``text``, a number with a unit of the given kind.

    Args:
        text: such as ``"210 us"`` or ``"-1 mm"``.
        kind: a key of ``KINDS``.
        where: path for the message.

    Raises:
        BadUnit: not a text, no number, no unit, a unit of another kind, or not finite.
    """
    expected = KINDS[kind]
    allowed = f"a {kind} in {' or '.join(expected.written)}, such as '{expected.example}'"
    if isinstance(text, bool) or not isinstance(text, str):
        is_number = isinstance(text, int | float) and not isinstance(text, bool)
        raise BadUnit(where, "a bare number has no unit" if is_number else f"not a {kind}", got=text,
                      allowed=allowed, hint=f"write '{text} {expected.written[0]}'" if is_number else "")
    number, unit = _split(text)
    if number is None:
        raise BadUnit(where, f"no number in this {kind}", got=text, allowed=allowed)
    if not unit:
        raise BadUnit(where, "a bare number has no unit", got=text, allowed=allowed,
                      hint=f"write '{text.strip()} {expected.written[0]}'")
    if not number.is_finite():
        raise BadUnit(where, "not a finite number", got=text, allowed=allowed)
    factor = _factor(unit, kind)
    if factor is None:
        raise BadUnit(where, f"the unit {unit!r} is not a unit of {kind}", got=text, allowed=allowed)
    return float(number * factor)


def _split(text: str) -> tuple[Decimal | None, str]:
    """The leading decimal number of a text and the rest, stripped."""
    stripped = text.strip().replace("µ", "u").replace("μ", "u").replace("Ω", "ohm")
    for end in range(len(stripped), 0, -1):
        try:
            return Decimal(stripped[:end].strip()), stripped[end:].strip()
        except InvalidOperation:
            continue
    return None, stripped


def format_quantity(value: float, kind: str, unit: str = "") -> str:
    """Text that ``parse`` reads back to the same float.

    ``unit`` chooses the unit; without it the unit that gives the shortest text is taken.
    """
    if not math.isfinite(value):
        return f"{value} {unit or KINDS[kind].written[0]}"
    exact = Decimal(repr(value))
    texts = []
    for candidate in [unit] if unit else KINDS[kind].written:
        factor = _factor(candidate, kind)
        assert factor is not None
        number = (exact / factor).normalize()
        texts.append(f"{number:f} {candidate}")
    return next((t for t in sorted(texts, key=len) if parse(t, kind) == value), f"{value!r} {KINDS[kind].si}")


def _quantity(kind: str) -> Any:
    expected = KINDS[kind]
    schema = {"type": "string", "format": "quantity", "x-kind": kind, "x-units": list(expected.written),
              "examples": [expected.example]}
    return Annotated[
        float,
        BeforeValidator(lambda value: value.si if isinstance(value, SI) else parse(value, kind)),
        PlainSerializer(lambda value: format_quantity(value, kind), return_type=str),
        WithJsonSchema(schema),
    ]


@dataclass(frozen=True)
class SI:
    """An SI number on its way into a recipe from Python, where a bare float would be refused."""

    si: float


Length = _quantity("length")
Time = _quantity("time")
Frequency = _quantity("frequency")
Current = _quantity("current")
Voltage = _quantity("voltage")
Conductivity = _quantity("conductivity")
Resistance = _quantity("resistance")
Capacitance = _quantity("capacitance")
Angle = _quantity("angle")
