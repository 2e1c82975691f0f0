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
"""Tissues that every level has: what each outline encloses, then what grows around a lead."""

WALL_TISSUES = ("bone", "disc", "ligament", "foramen")
"""What a sector of the wall of the canal (between the outlines canal and bone) may consist of."""

SECTORS = ("ventral", "lateral", "dorsal")
"""Sectors of the wall of the canal; the lateral one is on both sides."""

SECTOR_ANGLES = {"ventral": 0.87, "dorsal": 1.13}
"""Half angles of sectors, rad: the ventral one about +y, the dorsal one about -y, the lateral ones between them.

Seen from the middle of the outline canal, half way between its lowest and its highest x and y. They are the
rows "ventral sector" and "dorsal sector" of data/canal_facts.csv, by judgement.
"""


@dataclass(frozen=True)
class Level:
    """The spinal canal at one vertebra, without leads.

    Attributes:
        vertebra: at whose middle z = 0.
        outlines: closed loops by name (``OUTLINES``), (k, 2) m, counter-clockwise, first != last, finely sampled.
        cord: what fibres need to know.
        tissues: by name (``TISSUES``, and what of ``WALL_TISSUES`` the walls of a stretch may need).
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


@dataclass(frozen=True)
class Wall:
    """What the wall of the canal consists of between two heights, by sector (``SECTORS``): names of ``WALL_TISSUES``."""

    z0: float
    z1: float
    ventral: str = "bone"
    lateral: str = "bone"
    dorsal: str = "bone"


@dataclass(frozen=True)
class Stretch:
    """The spinal canal along the spine, without leads.

    Point k of an outline is the same place of the tissue at every station, so that outlines between stations are
    interpolated point by point. A stretch of one station is the same everywhere along the spine.

    Attributes:
        z: (s,) rising, m; the canal beyond the first and the last station is as at them.
        levels: one per station; outlines and cord in coordinates of the body (x right, y anterior), at that height.
        walls: from caudal to rostral, not overlapping; bone everywhere else.
        bend: (s,) curvature of the spine in the sagittal plane, 1/m; + is concave ventrally (kyphosis). Coordinates are
            those of the straightened spine.
        origin: index of the station at z = 0, whose level is the one that a case names; it carries the numbers and the
            warnings of the whole stretch.
    """

    z: Floats
    levels: tuple[Level, ...]
    walls: tuple[Wall, ...] = ()
    bend: Floats | None = None
    origin: int = 0

    @property
    def level(self) -> Level:
        """The level that the case names."""
        return self.levels[self.origin]

    @property
    def uniform(self) -> bool:
        """Whether it is the same everywhere along the spine."""
        return len(self.z) == 1 and not self.walls and self.bend is None


class Anatomy(Recipe):
    """A source of anatomy: a recipe that gives one level of the spinal canal, or a stretch of it."""

    def stretch(self, z0: float, z1: float) -> Stretch:
        """The canal from ``z0`` to ``z1`` (m, z = 0 at the middle of the named vertebra); here the level everywhere.

        Raises:
            BadGeometry: outlines that cannot lie inside each other, or a stretch that is not covered.
        """
        del z0, z1
        return Stretch(np.zeros(1), (self.level(),))

    @abstractmethod
    def level(self) -> Level:
        """Outlines, tissues and cord at the level of the active contacts.

        Raises:
            BadGeometry: outlines that cannot lie inside each other.
        """
