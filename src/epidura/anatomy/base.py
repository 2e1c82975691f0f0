"""What every source of anatomy has in common: it gives one level of the spinal canal."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from epidura.product import Cord, Tissue
from epidura.recipe import Recipe
from epidura.tables import Number

Floats = NDArray[np.float64]

OUTLINES = ("grey-matter", "cord", "dura-inner", "dura-outer", "canal", "bone", "bulk")
"""Outlines of a level, each inside the next."""

TISSUES = ("grey-matter", "white-matter", "csf", "dura", "epidural-fat", "bone", "bulk", "encapsulation")
"""Tissues in the order of the labels of the mesh: what each outline encloses, then what grows around a lead."""


@dataclass(frozen=True)
class Level:
    """The spinal canal at one vertebra, without leads.

    Attributes:
        vertebra: at whose middle z = 0.
        outlines: closed loops by name (``OUTLINES``), (k, 2) m, counter-clockwise, first != last, finely sampled.
        cord: what fibres need to know.
        tissues: by name (``TISSUES``).
        fixed_wall: whether the person gave the dorsal epidural space, so that it must not be widened.
        numbers: every number that shaped it.
        warnings: what a reader should know.
    """

    vertebra: str
    outlines: dict[str, Floats]
    cord: Cord
    tissues: dict[str, Tissue]
    fixed_wall: bool
    numbers: tuple[Number, ...]
    warnings: tuple[str, ...] = ()

    def widened(self, by: float) -> Level:
        """The same level with the dorsal wall of the canal ``by`` m further dorsal; the bone goes along.

        The shift fades out towards the widest part of the canal, so that the side walls stay.
        """
        canal = self.outlines["canal"]
        dorsal, middle = canal[:, 1].min(), canal[canal[:, 0].argmax(), 1]

        def shifted(loop: Floats) -> Floats:
            share = np.clip((middle - loop[:, 1]) / (middle - dorsal), 0.0, 1.0)
            return np.column_stack([loop[:, 0], loop[:, 1] - by * share])

        return replace(self, outlines={**self.outlines, "canal": shifted(canal), "bone": shifted(self.outlines["bone"])})


class Anatomy(Recipe):
    """A source of anatomy: a recipe that gives one level of the spinal canal."""

    @abstractmethod
    def level(self) -> Level:
        """Outlines, tissues and cord at the level of the active contacts.

        Raises:
            BadGeometry: outlines that cannot lie inside each other.
        """
