"""Percutaneous leads: thin cylinders with ring contacts, pushed up the canal through a needle."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from epidura.lead.base import Lead, LeadShape, known_model, ring_shape
from epidura.lead.base import models as models_of

TYPE = "percutaneous"


def models() -> list[str]:
    """Names of the percutaneous leads of data/leads.csv."""
    return models_of(TYPE)


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
        return known_model(value, TYPE)

    def shape(self) -> LeadShape:
        return ring_shape(self.model)
