"""Percutaneous leads: thin cylinders with ring contacts, pushed up the canal through a needle."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from epidura.errors import BadCase, nearest
from epidura.lead.base import Lead, LeadShape
from epidura.tables import table

TYPE = "percutaneous"


def models() -> list[str]:
    """Names of the percutaneous leads of data/leads.csv."""
    return [row["id"] for row in table("leads") if row["id"] and row["type"] == TYPE]


class Percutaneous(Lead):
    """A percutaneous lead of a known make.

    Attributes:
        model: its name in data/leads.csv (column id), such as octrode.
    """

    kind: Literal["percutaneous"] = "percutaneous"
    model: str

    @field_validator("model", mode="before")
    @classmethod
    def _known(cls, value: object) -> object:
        known = models()
        if not isinstance(value, str):
            raise BadCase("", "there is no lead of this model", got=value if isinstance(value, int) else str(value)[:60], allowed=", ".join(known))
        if value in known:
            return value
        others = {row["id"]: row["type"] for row in table("leads") if row["id"]}
        if value in others:
            raise BadCase("", f"{others[value]} leads are not available yet", got=value, allowed=", ".join(known))
        raise BadCase("", "there is no lead of this model", got=value, allowed=", ".join(known),
                      hint=nearest(value.lower(), known))

    def shape(self) -> LeadShape:
        leads, facts = table("leads"), table("canal_facts")
        row = leads.row(id=self.model)
        name = f"{row['manufacturer']} {row['model']}"
        count, length, pitch, diameter = (
            leads.number(f"{what} of {name}", column, unit, id=self.model)
            for what, column, unit in (("contacts", "contacts", "1"), ("contact length", "contact_length_mm", "mm"),
                                       ("contact pitch", "pitch_mm", "mm"), ("diameter", "diameter_or_size_mm", "mm")))
        tip = facts.number("tip to first contact", "value", "mm", quantity="tip to first contact")
        starts = [tip.value + i * pitch.value for i in range(int(count.value))]
        return LeadShape(name, 0.5e-3 * diameter.value, tuple((s * 1e-3, (s + length.value) * 1e-3) for s in starts),
                         (count, length, pitch, diameter, tip))
