"""Fibres of the dorsal roots near the leads: the ones that make stimulation uncomfortable."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from epidura.fibre.base import Population, fact, stratified
from epidura.product import Cord, Fibres, Span
from epidura.tables import Number

Floats = NDArray[np.float64]

_FACTS = ("smallest diameter", "largest diameter", "entry depth", "entry turn", "longest intradural course")

MARGIN = 15e-3
"""Roots that enter nearer than this to the end of the stretch are left out: no lead reaches them. m"""

FORAMEN_ANGLE = np.deg2rad(75.0)
"""Where a root leaves the dural sac, seen from the centre, from straight dorsal. A judgement: lateral,
slightly dorsal; the field there is weak and the choice decides nothing."""


class DorsalRoot(Population):
    """Thick fibres of every dorsal root that enters near the leads.

    A fibre comes from the foramen, runs obliquely upwards through the cerebrospinal fluid to its place in
    the entry zone, bends into the cord and ascends beside the dorsal horn. Entry places are spread over the
    length of the segment, diameters evenly between the thinnest touch afferents and the thickest root fibre.
    """

    kind: Literal["dorsal-root"] = "dorsal-root"
    count: int = Field(96, ge=1, le=1_000_000)

    def numbers(self) -> tuple[Number, ...]:
        return tuple(fact(name, self.kind) for name in _FACTS)

    def place(self, cord: Cord, z0: float, z1: float) -> Fibres:
        rng = self.rng()
        near = [s for s in cord.segments if z0 + MARGIN < s.middle < z1 - MARGIN]
        near = near or [next(s for s in cord.segments if s.name == cord.level)]
        roots = [(segment, side) for segment in near for side in ("left", "right")]
        which = np.arange(self.count) % len(roots)
        low, high = (fact(f"{size} diameter", self.kind).value * 1e-6 for size in ("smallest", "largest"))
        share, along = np.empty(self.count), np.empty(self.count)
        for root in range(len(roots)):
            # stratified within each root, so that every root has thin and thick fibres over its whole length
            members = which == root
            share[members] = stratified(rng, int(members.sum()))
            along[members] = stratified(rng, int(members.sum()))
        entries = [roots[i][0].z0 + a * (roots[i][0].z1 - roots[i][0].z0) for i, a in zip(which, along, strict=True)]
        paths = tuple(root_path(cord, *roots[i], z_entry, z1) for i, z_entry in zip(which, entries, strict=True))
        return Fibres(
            population=np.full(self.count, self.kind),
            diameter=low + share * (high - low),
            segment=np.array([roots[i][0].name for i in which]),
            side=np.array([roots[i][1] for i in which]),
            paths=paths,
            phase=rng.random(self.count),
            depth=np.full(self.count, fact("entry depth", self.kind).value * 1e-3),
            weight=np.ones(self.count),
            numbers=self.numbers(),
        )


def root_path(cord: Cord, segment: Span, side: str, z_entry: float, z_top: float) -> Floats:
    """(k, 3) m polyline of a root fibre, peripheral end first.

    Args:
        cord: the cord.
        segment: whose root it is.
        side: left or right.
        z_entry: where it meets the cord, m.
        z_top: where the ascending branch ends, m (at least 20 mm above the entry).
    """
    sign = 1.0 if side == "right" else -1.0
    turn = fact("entry turn", "dorsal-root").value * 1e-3
    start = _foramen(cord, segment, sign, z_entry)
    centre, angle = np.append(cord.centre, 0.0), cord.entry_angle
    entry = centre + np.array([sign * cord.half_width * np.sin(angle), -cord.half_depth * np.cos(angle), z_entry])
    inwards = (centre - entry) / np.array([cord.half_width**2, cord.half_depth**2, np.inf])
    inside = entry + fact("entry depth", "dorsal-root").value * 1e-3 * inwards / np.linalg.norm(inwards)
    inside[2] += turn
    before = entry + (start - entry) * turn / np.linalg.norm(start - entry)
    after = inside + np.array([0.0, 0.0, turn])
    top = np.array([inside[0], inside[1], max(z_top, after[2] + 20e-3)])
    t = np.linspace(0.0, 1.0, 24)[:, None]
    # a cubic Bezier through the entry zone: leaves along the root, arrives along the cord
    bend = (1 - t) ** 3 * before + 3 * (1 - t) ** 2 * t * entry + 3 * (1 - t) * t**2 * inside + t**3 * after
    return np.vstack([start, bend, top])


def _foramen(cord: Cord, segment: Span, sign: float, z_entry: float) -> Floats:
    """Where the root of a side (+1 right, -1 left) leaves the dural sac, or where the simulated course begins; (3,) m."""
    longest = fact("longest intradural course", "dorsal-root").value * 1e-3
    spans = {span.name: span for span in cord.vertebrae}
    if segment.name == "C8":
        exit_z = spans["T1"].z1 if "T1" in spans else z_entry
    elif segment.name.startswith("C"):
        exit_z = spans[segment.name].z1 if segment.name in spans else z_entry
    else:
        exit_z = spans[segment.name].z0 if segment.name in spans else -np.inf
    # a root never climbs to its foramen here, and none is followed further than the field of a lead reaches
    z = float(np.clip(exit_z, z_entry - longest, z_entry - 2e-3))
    centre = 0.5 * (cord.dura_inner.min(axis=0) + cord.dura_inner.max(axis=0))
    half = 0.5 * (cord.dura_inner.max(axis=0) - cord.dura_inner.min(axis=0)) * 0.94
    return np.array([centre[0] + sign * half[0] * np.sin(FORAMEN_ANGLE), centre[1] - half[1] * np.cos(FORAMEN_ANGLE), z])
