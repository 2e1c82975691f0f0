"""Leads for the dorsal root ganglion: thin cylinders with ring contacts at the side of the dural sac."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from epidura.errors import BadCase
from epidura.lead.base import Lead, LeadShape, known_model, ring_shape

TYPE = "DRG"


class Drg(Lead):
    """A lead at the dorsal root ganglion, modelled along the spine in the lateral epidural space beside the dural sac.

    A real one turns out through the foramen over the ganglion. With the tip at the middle of a vertebra the contacts reach
    down past its lower end, where the foramen is; ``tip_offset`` shifts them.

    Attributes:
        model: its name in data/leads.csv (column id), such as slimtip-drg.
        side: of the patient. It decides where the lead lies; ``lateral`` and ``angle`` stay 0.
    """

    kind: Literal["drg"] = "drg"
    model: str
    side: Literal["left", "right"]

    @field_validator("model", mode="before")
    @classmethod
    def _known(cls, value: object) -> object:
        return known_model(value, TYPE)

    @field_validator("lateral", "angle")
    @classmethod
    def _straight(cls, value: float) -> float:
        if value != 0.0:
            raise BadCase("", "a DRG lead lies straight beside the dural sac", allowed="0", hint="leave it out and say side")
        return value

    @property
    def beside(self) -> int:
        return 1 if self.side == "right" else -1

    def shape(self) -> LeadShape:
        return ring_shape(self.model, ("it is modelled along the spine beside the dural sac and does not turn out through the foramen",))
