"""What every lead has in common."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from epidura.recipe import Recipe
from epidura.tables import Number
from epidura.units import Length


@dataclass(frozen=True)
class LeadShape:
    """A cylindrical lead by itself, tip at 0.

    Attributes:
        name: for a person.
        radius: m.
        contacts: (start, end) distances from the tip in m, tip first.
        numbers: the numbers it was taken from.
    """

    name: str
    radius: float
    contacts: tuple[tuple[float, float], ...]
    numbers: tuple[Number, ...]


class Lead(Recipe):
    """A lead and where it lies.

    Attributes:
        tip_vertebra: vertebra at whose middle the tip lies.
        tip_offset: tip above (+) or below (-) that middle.
        lateral: offset of the lead's centre from the midline, + to the patient's right.
        depth: gap between the dura and the surface of the lead with its encapsulation.
        encapsulation: thickness of the tissue layer that grows around the lead.
    """

    tip_vertebra: str
    tip_offset: Length = 0.0
    lateral: Length = 0.0
    depth: Length = 0.05e-3
    encapsulation: Length = 0.1e-3

    @abstractmethod
    def shape(self) -> LeadShape:
        """The lead by itself."""
