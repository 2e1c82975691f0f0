"""Fibres of the dorsal columns: the ones that paraesthesia is made of."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.optimize import brentq
from scipy.spatial import cKDTree

from epidura.fibre.base import Population, fact
from epidura.product import Cord, Fibres
from epidura.tables import Number

Floats = NDArray[np.float64]

_FACTS = ("superficial depth", "large fibres", "large fibres per width", "large share", "large diameter",
          "largest diameter", "smallest simulated", "lateral gain", "deepest simulated")


CANDIDATES = 10_000
SHALLOW, DEEP, THICK = 0.1e-3, 0.03, 1.5
"""Where simulated fibres are put: their density falls with the depth SHALLOW (m) from 1 + DEEP to DEEP, and grows towards
thick fibres with the power THICK. Weights undo both, so the choice decides how well few fibres resolve a threshold, not what it is."""


class DorsalColumn(Population):
    """Thick myelinated fibres that run along both dorsal columns.

    Every segment and side gets the same number of simulated fibres, more of them superficial and thick than there are
    in nature; each carries the number of real fibres that it stands for (``weight``), so that the few thick superficial
    fibres that decide the perception threshold are resolved by a few hundred simulated ones.

    Somatotopy: every cord segment from the level downwards sends an equal slice of fibres, the most caudal
    one at the midline, each next one lateral to it (data/fibres.csv, order in the dorsal columns).
    Diameters: lognormal through two counts of Feirabend 2002 (0.5 % above 10.7 um; the thickest one). The
    density of the superficial 0.3 mm is taken to hold down to the deepest simulated fibre.
    """

    kind: Literal["dorsal-column"] = "dorsal-column"
    count: int = Field(400, ge=1, le=1_000_000)

    def numbers(self) -> tuple[Number, ...]:
        return tuple(fact(name, self.kind) for name in _FACTS)

    def place(self, cord: Cord, z0: float, z1: float) -> Fibres:
        rng = self.rng()
        law = DiameterLaw()
        places, area = self._candidates(cord, rng)
        below = below_level(cord)
        slices = _slices(cord, places, len(below))
        depths = depth_below_surface(cord, places)
        chosen, stands_for = _systematic(_importance(depths, slices), np.lexsort((depths, slices)), self.count, rng)
        points = places[chosen]
        lateral = _laterality(cord, points)
        depth = depths[chosen]
        # the golden ratio spreads diameters evenly over every run of neighbours, here over every slice
        even = (rng.random() + np.arange(self.count) * (np.sqrt(5) - 1) / 2) % 1.0
        share = 1.0 - (1.0 - even) ** THICK
        per_share = THICK * (1.0 - even) ** (THICK - 1.0)
        diameter = law.thinnest + share * (law.thickest - law.thinnest)
        weight = law.per_area * area * stands_for * law.density(diameter) * (law.thickest - law.thinnest) * per_share
        gain = fact("lateral gain", self.kind).value
        counted = depths <= fact("superficial depth", self.kind).value * 1e-3
        pivot = law.pivot(gain, _laterality(cord, places[counted]))
        return Fibres(
            population=np.full(self.count, self.kind),
            diameter=diameter * (1.0 + gain * (lateral - pivot)),
            segment=np.array(below)[len(below) - 1 - np.floor(lateral * len(below)).astype(int)],
            side=np.where(points[:, 0] > cord.centre[0], "right", "left"),
            paths=tuple(np.array([[a, b, z0], [a, b, z1]]) for a, b in points),
            phase=rng.random(self.count),
            depth=depth,
            weight=weight,
            numbers=self.numbers(),
        )

    def _candidates(self, cord: Cord, rng: np.random.Generator) -> tuple[Floats, float]:
        """(n, 2) places spread evenly over the superficial dorsal columns, many more than are simulated, and their area in m2."""
        from scipy.stats import qmc  # takes long to import

        deepest = fact("deepest simulated", self.kind).value * 1e-3
        low, high = cord.dorsal_column.min(axis=0), cord.dorsal_column.max(axis=0)
        draw = qmc.Halton(2, rng=rng).random(max(CANDIDATES, 8 * self.count))
        points = low + draw * (high - low)
        inside = in_polygon(points, cord.dorsal_column) & (depth_below_surface(cord, points) <= deepest)
        return points[inside], float(np.prod(high - low)) * float(inside.mean())


def _laterality(cord: Cord, points: Floats) -> Floats:
    """(n,) 0 at the midline to 1 at the lateral border of the dorsal columns."""
    x, y = (points - cord.centre).T
    return np.clip(np.abs(x) / half_width_at(cord.dorsal_column - cord.centre, y), 0.0, 1.0 - 1e-12)


def _slices(cord: Cord, points: Floats, segments: int) -> NDArray[np.int64]:
    """(n,) number of the slice, one per segment and side, that a place belongs to."""
    return np.floor(_laterality(cord, points) * segments).astype(np.int64) * 2 + (points[:, 0] > cord.centre[0])


def _importance(depths: Floats, slices: NDArray[np.int64]) -> Floats:
    """(n,) chance of each place to be chosen, sum 1: the same for every slice, falling with depth within it."""
    chance = np.exp(-depths / SHALLOW) + DEEP
    per_slice = np.bincount(slices, chance)
    return np.asarray(chance / per_slice[slices] / np.count_nonzero(per_slice))


def _systematic(chance: Floats, order: NDArray[np.intp], count: int, rng: np.random.Generator) -> tuple[NDArray[np.intp], Floats]:
    """(count,) places chosen in even steps through the chances in this order, and the share of all places each stands for."""
    steps = (np.arange(count) + rng.random()) / count
    chosen = order[np.minimum(np.searchsorted(np.cumsum(chance[order]), steps), chance.size - 1)]
    return chosen, 1.0 / (chance.size * chance[chosen] * count)


class DiameterLaw:
    """Lognormal of the fibre diameters through the two counts of Feirabend 2002.

    Attributes:
        thinnest, thickest: bounds of the simulated diameters, m.
        per_area: myelinated fibres per m2.
    """

    def __init__(self) -> None:
        from scipy.stats import norm  # takes long to import

        large, share, count = (fact(name, "dorsal-column").value for name in
                               ("large diameter", "large share", "large fibres"))
        thickest, width, depth = (fact(name, "dorsal-column").value for name in
                                  ("largest diameter", "large fibres per width", "superficial depth"))
        total = count / share
        z_large, z_thickest = norm.isf(share), norm.isf(1.0 / total)
        self.sigma = float(np.log(thickest / large) / (z_thickest - z_large))
        self.median = float(large * 1e-6 * np.exp(-z_large * self.sigma))
        self.thinnest = fact("smallest simulated", "dorsal-column").value * 1e-6
        self.thickest = thickest * 1e-6
        self.large, self.share = large * 1e-6, share
        self.per_area = total / (count / width * 1e-3 * depth * 1e-3)

    def pivot(self, gain: float, lateral: Floats) -> float:
        """Laterality at which the gain changes nothing: the one that leaves the counted share of large fibres as it was.

        Args:
            gain: growth of the diameter from the midline to the lateral border, relative.
            lateral: (n,) laterality, 0 to 1, of places in the counted zone.
        """
        if gain == 0.0 or lateral.size == 0:
            return 0.5

        from scipy.stats import norm

        def excess(pivot: float) -> float:
            bound = self.large / (1.0 + gain * (lateral - pivot))
            return float(norm.sf(np.log(bound / self.median) / self.sigma).mean()) - self.share

        return float(brentq(excess, -1.0, 2.0))

    def density(self, diameter: Floats) -> Floats:
        """Share of the fibres per metre of diameter; (n,) 1/m."""
        from scipy.stats import norm

        return np.asarray(norm.pdf(np.log(diameter / self.median) / self.sigma) / (self.sigma * diameter))


def below_level(cord: Cord) -> list[str]:
    """The cord segments whose fibres pass the level: the level's own and all below, rostral first."""
    names = [span.name for span in cord.segments]
    return names[names.index(cord.level):]


def in_polygon(points: Floats, polygon: Floats) -> NDArray[np.bool_]:
    """Whether each of (n, 2) points lies in a closed (k, 2) polygon, by counting crossings."""
    x, y = points[:, :1], points[:, 1:]
    x0, y0 = polygon.T
    x1, y1 = np.roll(polygon, -1, axis=0).T
    crosses = (y0 > y) != (y1 > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = x < x0 + (y - y0) * (x1 - x0) / (y1 - y0)
    return np.asarray((crosses & left).sum(axis=1) % 2 == 1)


def half_width_at(polygon: Floats, y: Floats) -> Floats:
    """Largest x of a closed (k, 2) polygon at each height ``y``; (n,) m."""
    x0, y0 = polygon.T
    x1, y1 = np.roll(polygon, -1, axis=0).T
    height = y[:, None]
    crosses = (y0 > height) != (y1 > height)
    with np.errstate(divide="ignore", invalid="ignore"):
        x = x0 + (height - y0) * (x1 - x0) / (y1 - y0)
    return np.asarray(np.where(crosses, x, -np.inf).max(axis=1))


def depth_below_surface(cord: Cord, points: Floats) -> Floats:
    """Distance of (n, 2) points to the surface of the cord ellipse; (n,) m."""
    angle = np.linspace(0.0, 2 * np.pi, 4001)[:-1]
    surface = np.column_stack([cord.half_width * np.cos(angle), cord.half_depth * np.sin(angle)])
    return np.asarray(cKDTree(surface).query(points - cord.centre)[0])
