"""What every lead has in common: where it lies, and the tissue that grows around it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated

import numpy as np
from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from epidura.errors import BadCase, BadUnit, nearest
from epidura.recipe import Recipe
from epidura.tables import Number, table
from epidura.units import SI, Angle, Length, format_quantity, parse

DAY = 86400.0
"""s."""

USUAL_LAYER = 0.1e-3
"""Thickness of the encapsulation when a case says nothing of it, m."""

KIND_OF_TYPE = {"percutaneous": "percutaneous", "paddle": "paddle", "DRG": "drg"}
"""Kind of a lead by the column type of data/leads.csv."""


@dataclass(frozen=True)
class Pad:
    """A contact of a lead by itself.

    Attributes:
        start, end: distances from the tip along the lead, m.
        left, right: lateral range on the face towards the dura, m from the middle of the lead, + to the patient's
            right; None for a ring that goes all around.
    """

    start: float
    end: float
    left: float | None = None
    right: float | None = None


@dataclass(frozen=True)
class LeadShape:
    """A lead by itself, tip at 0: a cylinder, or a paddle whose cross-section is a slab with round sides.

    Attributes:
        name: for a person.
        radius: of the cylinder, or half the thickness of the paddle, m.
        half_width: half the width, m; equal to ``radius`` for a cylinder.
        contacts: in the order of their numbers: column by column from left to right, the tip first in each column.
        numbers: the numbers it was taken from.
        length: from the tip to the end of a lead that ends inside the canal (a paddle), m; None: it runs on caudally.
        notes: how it was simplified.
    """

    name: str
    radius: float
    half_width: float
    contacts: tuple[Pad, ...]
    numbers: tuple[Number, ...]
    length: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def reach(self) -> float:
        """Distance from the tip to the caudal end of the last contact, m."""
        return max(pad.end for pad in self.contacts)

    def area(self, pad: Pad) -> float:
        """Area of the surface of a contact, m2."""
        around = 2 * np.pi * self.radius if pad.left is None or pad.right is None else pad.right - pad.left
        return float(around * (pad.end - pad.start))


@dataclass(frozen=True)
class Layer:
    """The encapsulation of a lead.

    Attributes:
        thickness: m; 0 for none.
        conductivity: S/m; None: that of the tissue set.
        numbers: the numbers it was taken from.
    """

    thickness: float
    conductivity: float | None = None
    numbers: tuple[Number, ...] = ()


def _length(value: object) -> float | None:
    return None if value is None else value.si if isinstance(value, SI) else parse(value, "length")


def _since(value: object) -> float | None:
    if value is None or isinstance(value, SI):
        return None if value is None else value.si
    allowed = "a time in day, week, month or year, such as '90 day'"
    try:
        time = parse(value, "time")
    except BadUnit as failure:
        # the hint of a time kind is about microseconds
        raise BadUnit("", failure.problem, got=failure.got, allowed=allowed) from None
    if time < 0:
        raise BadCase("", "a lead that is not implanted yet", got=str(value), allowed=allowed)
    return time


OptionalLength = Annotated[
    float | None,
    BeforeValidator(_length),
    PlainSerializer(lambda value: None if value is None else format_quantity(value, "length"), return_type=str | None),
    WithJsonSchema({"type": "string", "format": "quantity", "x-kind": "length", "x-units": ["mm", "um", "m", "cm"], "examples": ["0.1 mm"]}),
]

Since = Annotated[
    float | None,
    BeforeValidator(_since),
    PlainSerializer(lambda value: None if value is None else format_quantity(value, "time", "day"), return_type=str | None),
    WithJsonSchema({"type": "string", "format": "quantity", "x-kind": "time", "x-units": ["day", "week", "month", "year"],
                    "examples": ["90 day"]}),
]


class Lead(Recipe):
    """A lead and where it lies.

    Attributes:
        tip_vertebra: vertebra at whose middle the tip lies.
        tip_offset: tip above (+) or below (-) that middle.
        lateral: offset of the tip's centre from the midline, + to the patient's right.
        angle: lean in the coronal plane: with + the tip leans towards the patient's right, so that the lead moves to the
            left on its way down, x(z) = lateral + tan(angle) (z - z_tip). It may cross the midline.
        depth: gap between the dura and the surface of the lead with its encapsulation.
        encapsulation: thickness of the tissue layer that grows around the lead; left out, it follows from ``implanted``, and
            without that either it is ``USUAL_LAYER``.
        implanted: time since the lead was implanted, from which data/encapsulation.csv gives thickness and conductivity of
            the layer. A thickness that is given wins over the one of the table; the conductivity still comes from it.
    """

    tip_vertebra: str
    tip_offset: Length = 0.0
    lateral: Length = 0.0
    angle: Angle = 0.0
    depth: Length = 0.05e-3
    encapsulation: OptionalLength = None
    implanted: Since = None

    @property
    def beside(self) -> int:
        """Where it lies: 0 dorsal of the dural sac, -1 on its left side, 1 on its right side."""
        return 0

    @abstractmethod
    def shape(self) -> LeadShape:
        """The lead by itself."""

    def layer(self) -> Layer:
        """The encapsulation around it."""
        grown = Layer(USUAL_LAYER) if self.implanted is None else encapsulation(self.implanted)
        if self.encapsulation is None:
            return grown
        kept = tuple(number for number in grown.numbers if number.name.startswith("conductivity"))
        return replace(grown, thickness=self.encapsulation, numbers=kept)


def encapsulation(since: float) -> Layer:
    """Thickness and conductivity of the encapsulation ``since`` s after the implantation.

    Both change linearly in time between the rows of data/encapsulation.csv and stay as in the last row thereafter. The
    layer thickens and conducts worse while fibroblasts and collagen replace the loose inflamed tissue of the first days.
    """
    rows = table("encapsulation")
    days = [float(day) for day in rows.column("days")]
    at = since / DAY
    # the two rows around, or the last one alone
    nearby = next(((i, i + 1) for i, (early, late) in enumerate(pairwise(days)) if early <= at < late), (len(days) - 1,))
    what = (("thickness", "thickness_mm", "mm", "thickness_evidence"), ("conductivity", "conductivity", "S/m", "conductivity_evidence"))
    used = [[rows.number(f"{name} of the encapsulation after {days[i]:g} days", column, unit, evidence, days=rows.column("days")[i])
             for i in nearby] for name, column, unit, evidence in what]
    thickness, conductivity = (float(np.interp(at, [days[i] for i in nearby], [number.value for number in numbers])) for numbers in used)
    return Layer(thickness * 1e-3, conductivity, (*used[0], *used[1]))


def models(type_: str = "") -> list[str]:
    """Names of the leads of data/leads.csv, all or those of one type: percutaneous, paddle or DRG."""
    return [row["id"] for row in table("leads") if row["id"] and type_ in ("", row["type"])]


def known_model(value: object, type_: str) -> object:
    """``value``, if it names a lead of this type.

    Raises:
        BadCase: there is no such lead, or it is of another type.
    """
    known = models(type_)
    if not isinstance(value, str):
        raise BadCase("", "there is no lead of this model", got=value if isinstance(value, int) else str(value)[:60], allowed=", ".join(known))
    if value in known:
        return value
    if value in models():
        other = table("leads").row(id=value)["type"]
        raise BadCase("", f"this is a {other} lead, not a {type_} lead", got=value, allowed=", ".join(known),
                      hint=f"write kind: {KIND_OF_TYPE[other]}, or leave kind out")
    near = nearest(value.lower(), known) or nearest(value.lower(), models())
    raise BadCase("", "there is no lead of this model", got=value, allowed=", ".join(known), hint=near)


def ring_shape(model: str, notes: tuple[str, ...] = ()) -> LeadShape:
    """A cylinder with ring contacts as data/leads.csv describes it."""
    leads, facts = table("leads"), table("canal_facts")
    row = leads.row(id=model)
    name = f"{row['manufacturer']} {row['model']}"
    count, length, pitch, diameter = (
        leads.number(f"{what} of {name}", column, unit, id=model)
        for what, column, unit in (("contacts", "contacts", "1"), ("contact length", "contact_length_mm", "mm"),
                                   ("contact pitch", "pitch_mm", "mm"), ("diameter", "diameter_or_size_mm", "mm")))
    tip = facts.number("tip to first contact", "value", "mm", quantity="tip to first contact")
    starts = [tip.value + i * pitch.value for i in range(int(count.value))]
    radius = 0.5e-3 * diameter.value
    return LeadShape(name, radius, radius, tuple(Pad(start * 1e-3, (start + length.value) * 1e-3) for start in starts),
                     (count, length, pitch, diameter, tip), notes=notes)
