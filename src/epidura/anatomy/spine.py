"""The spine along its length: where cross-sections stand, what the wall of the canal consists of, how the spine is bent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from epidura.anatomy.base import Wall
from epidura.product import Span
from epidura.tables import Number, table

Floats = NDArray[np.float64]

STEP = 4e-3
"""Largest distance between cross-sections, m."""

NEAR = 0.1e-3
"""An end of the stretch so near to another cross-section gets none of its own, m: slivers cost and tell nothing."""


SLIVER = 0.3e-3
"""Edges of discs, foramina and ligament nearer to each other than this are taken as one, m: heights are known far worse."""


def middles(vertebrae: Sequence[Span]) -> Floats:
    """Heights of the middles of the vertebrae, caudal first; m, 0 exactly at the named one."""
    return np.round([span.middle for span in reversed(vertebrae)], 9) + 0.0


def stations(z0: float, z1: float, vertebrae: Sequence[Span]) -> Floats:
    """Heights of the cross-sections from ``z0`` to ``z1``, rising, (s,) m: at most ``STEP`` apart.

    Among them are z = 0 (also where the stretch leaves it out) and the middle of every vertebra, where the tables hold.
    """
    knots = np.array([0.0, *(z for z in middles(vertebrae) if z0 < z < z1 and z != 0.0)])
    ends = [end for end in (z0, z1) if np.abs(knots - end).min() > NEAR]
    knots = np.sort(np.append(knots, ends))
    pieces = [np.linspace(a, b, int(np.ceil((b - a) / STEP - 1e-9)), endpoint=False) for a, b in pairwise(knots)]
    return np.concatenate([*pieces, knots[-1:]])


@dataclass(frozen=True)
class Opening:
    """Where one sector of the wall is not bone: from ``z0`` to ``z1`` (m), made of ``tissue``; ``numbers`` say so."""

    z0: float
    z1: float
    sector: str
    tissue: str
    numbers: tuple[Number, ...] = ()


def walls(z0: float, z1: float, vertebrae: Sequence[Span]) -> tuple[tuple[Wall, ...], tuple[Number, ...]]:
    """What lies between the vertebrae from ``z0`` to ``z1`` (m): discs, foramina and ligament (data/junctions.csv)."""
    return joined(z0, z1, openings(vertebrae))


def openings(vertebrae: Sequence[Span]) -> list[Opening]:
    """Discs, foramina and ligament between the vertebrae, as in the tables.

    Discs lie where two vertebrae meet in the chain of ``vertebrae`` and have the heights of the table.
    Nothing is known above C2 and below the disc L1/L2: bone.
    """
    bottom = {span.name: span.z0 for span in vertebrae}
    found = []
    for row in table("junctions"):
        keys = {"upper": row["upper"], "sector": row["sector"]}
        name = f"{row['tissue']} {row['upper']}/{row['lower']}"
        height = table("junctions").number(f"height of {name}", "height_mm", "mm", **keys)
        above = table("junctions").number(f"middle of {name} above that of the disc", "above_mm", "mm", "above_evidence", **keys)
        middle = bottom[row["upper"]] + above.value * 1e-3
        half = 0.5e-3 * height.value
        found.append(Opening(middle - half, middle + half, row["sector"], row["tissue"], (height, above)))
    return found


def joined(z0: float, z1: float, openings: Sequence[Opening]) -> tuple[tuple[Wall, ...], tuple[Number, ...]]:
    """The wall from ``z0`` to ``z1`` (m) with these openings, and the numbers of those that lie there.

    Openings of different sectors overlap along the spine, so each is cut wherever another one begins or ends; edges of all
    but the first may move by ``SLIVER``.
    """
    edges = [z0, z1]
    kept: list[Opening] = []
    numbers: list[Number] = []
    for one in openings:
        low, high = _snapped(max(one.z0, z0), edges), _snapped(min(one.z1, z1), edges)
        if low < high:
            edges += [low, high]
            kept.append(replace(one, z0=low, z1=high))
            numbers += one.numbers
    found = []
    for a, b in pairwise(sorted(set(edges))):
        here = {one.sector: one.tissue for one in kept if one.z0 <= a and b <= one.z1}
        if here:
            found.append(Wall(a, b, **here))
    return tuple(found), tuple(numbers)


def _snapped(z: float, edges: list[float]) -> float:
    """The edge that ``z`` is too near to, if any."""
    nearest = min(edges, key=lambda edge: abs(edge - z))
    return nearest if abs(nearest - z) < SLIVER else z


def bend(z: Floats, vertebrae: Sequence[Span]) -> tuple[Floats, tuple[Number, ...]]:
    """Curvature of the spine at heights ``z`` (s,) m from the angles of its regions (data/curvature.csv); (s,) 1/m, + kyphosis.

    In each region it rises from 0 at the ends to its apex half way as 1 - cos, so that its integral is the region's angle.
    Beyond the regions the spine is straight.
    """
    spans = {span.name: span for span in vertebrae}
    curvature = np.zeros(len(z))
    numbers = []
    for row in table("curvature"):
        angle = table("curvature").number(f"{row['region']} {row['upper']} to {row['lower']}", "angle_deg", "deg",
                                          region=row["region"])
        low, high = spans[row["lower"]].z0, spans[row["upper"]].z1
        share = np.clip((z - low) / (high - low), 0.0, 1.0)
        curvature += np.radians(angle.value) / (high - low) * (1.0 - np.cos(2 * np.pi * share))
        numbers.append(angle)
    return curvature, tuple(numbers)
