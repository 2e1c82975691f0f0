"""The wall of the canal from the bone of a label map: where the epidural fat ends, and where the wall is bone.

From inside the dural sac rays go out in every slice. Where a ray meets bone, the canal ends there. Where it meets none (disc,
foramen, ligament), the border is carried over from the bone above and below, then from that beside; where nothing is near, it is
as far from the dura as in the parametric model. All of this is done with the difference to the model, which changes little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from epidura.anatomy.base import SECTOR_ANGLES, SECTORS
from epidura.anatomy.contours import BLUR, middle_and_half, radius_at, round_outline, shell
from epidura.anatomy.parametric import area
from epidura.anatomy.spine import Opening, openings
from epidura.product import Span

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

RAYS = 240
"""Directions in which the wall is looked for."""

WINDOW = 15e-3
"""Half of the stretch, m, in which bone in the same direction says where the wall is to be expected."""

BEHIND = 3e-3
"""Bone further out than expected by this, m, lies behind an opening: a facet joint behind a foramen, half as far as the ring of
the wall is thick."""

FARTHEST = 6e-3
"""Bone further out than the wall of the model by this, m, is no wall of the canal: a rib, or bone behind a wall that is not labelled."""

LONGEST = 20e-3
"""Openings longer than this along the spine, m, are bone without labels: the longest foramen of data/junctions.csv has 17.5 mm."""

SHORTEST = 2e-3
"""Openings and bridges of bone shorter than this along the spine, m, are jitter of the labels."""

BESIDE = np.pi / 4
"""How far bone says where the wall beside it is, rad; narrower gaps are bridged from one side to the other."""

FADING = 10e-3
"""Length along the spine, m, over which the wall goes from the last bone to the model's distance from the dura."""

LEAST_SEEN = 0.05
"""Share of the directions in which a slice must show the wall to be drawn from its labels."""

TISSUE = {"ventral": "disc", "lateral": "foramen", "dorsal": "ligament"}
"""What an opening in the bone of a sector is."""


@dataclass(frozen=True)
class BonyWall:
    """What the bone of a map says about the wall.

    Attributes:
        z: (s,) heights of the slices, m.
        outlines: (s, k, 2) m, borders of the canal in the plane of the map.
        areas: (s,) m2.
        seen: (s,) share of the directions in which the slice itself shows bone or disc at the canal.
        own: (s,) whether the border comes from labels, of this slice or of those around it, and not from the model.
        bone: share of bone in the wall by sector, (s,) each; NaN where the slice does not show the sector.
        disc: (s,) share of labelled disc in the ventral sector.
        inside: (s,) how far bone reaches into what it should surround, m.
    """

    z: Floats
    outlines: Floats
    areas: Floats
    seen: Floats
    own: Mask
    bone: dict[str, Floats]
    disc: Floats
    inside: Floats

    @property
    def draws(self) -> bool:
        """Whether there is enough bone at the canal to take its border from."""
        return int((self.seen >= LEAST_SEEN).sum()) >= 3

    def openings(self, sector: str) -> tuple[list[Opening], list[tuple[float, float]]]:
        """Where the sector is not bone, and from where to where the labels do not say (m); both rising."""
        share = self.bone[sector]
        state = np.where(np.isfinite(share), np.where(share > 0.5, 1, 0), -1)
        for kind in (0, 1):  # first openings, then bridges of bone
            for first, last in _runs(state == kind):
                beside = {int(state[k]) for k in (first - 1, last + 1) if 0 <= k < len(state)}
                low, high = self._ends(share, first, last)
                if high - low < SHORTEST and beside == {1 - kind}:
                    state[first:last + 1] = 1 - kind
        found, unknown = [], []
        bony = (state == 1).any()
        for first, last in _runs(state != 1):
            low, high = self._ends(share, first, last)
            if (state[first:last + 1] == -1).all() or high - low > LONGEST or not bony:
                unknown.append((low, high))
                continue
            for a, b in _runs(state[first:last + 1] == 0):
                found.append(Opening(*self._ends(share, first + a, first + b), sector, TISSUE[sector]))
            for a, b in _runs(state[first:last + 1] == -1):
                unknown.append(self._ends(share, first + a, first + b))
        return found, unknown

    def discs(self) -> list[Opening]:
        """Where the ventral sector is labelled disc."""
        return [Opening(*self._ends(self.disc, first, last), "ventral", "disc") for first, last in _runs(self.disc > 0.5)]

    def _ends(self, share: Floats, first: int, last: int) -> tuple[float, float]:
        """Ends of the run of slices, m: where the share passes a half, or half way to the next slice; at the last one of the map there."""
        def end(k: int, beyond: int) -> float:
            if not 0 <= beyond < len(self.z):
                return float(self.z[k])
            a, b = share[k] - 0.5, share[beyond] - 0.5
            part = a / (a - b) if np.isfinite(a) and np.isfinite(b) and a * b < 0 else 0.5
            return float(self.z[k] + part * (self.z[beyond] - self.z[k]))
        return end(first, first - 1), end(last, last + 1)


def bony_wall(bone: Mask, disc: Mask, space: Mask | None, z: Floats, spacing: Floats, inner: Callable[[float], Floats], model_inner: Floats,
              model_canal: Floats) -> BonyWall:
    """Look for the wall in every slice.

    Args:
        bone, disc, space: (i, j, s) masks of the slices; ``space`` is what lies inside the wall where fat is labelled too.
        z: (s,) heights of the slices, rising, m.
        spacing: (2,) m per voxel.
        inner: outline at a height that the wall surrounds, m in the plane of the map.
        model_inner, model_canal: the same outline and that of the canal in the parametric model.
    """
    angle = np.asarray((np.arange(RAYS) + 0.5) * (2 * np.pi / RAYS) - np.pi, np.float64)
    count = len(z)
    shape = np.array(bone.shape[:2])
    expected, edge, around = (np.empty((count, RAYS)) for _ in range(3))
    hit, fat = np.full((count, RAYS), np.nan), np.full((count, RAYS), np.nan)
    is_disc = np.zeros((count, RAYS), dtype=bool)
    centres = np.empty((count, 2))
    for s, height in enumerate(z):
        core = inner(float(height))
        centre = centres[s] = middle_and_half(core)[0]
        expected[s] = radius_at(shell(core, model_inner, model_canal), centre, angle)
        around[s] = radius_at(core, centre, angle)
        edge[s] = _to_edge(centre, angle, (shape - 1) * spacing)
        reach = float(expected[s].max()) + FARTHEST
        hit[s], is_disc[s] = _first(bone[:, :, s], disc[:, :, s], centre, angle, spacing, reach)
        if space is not None:
            fat[s] = _last(space[:, :, s], centre, angle, spacing, reach)
    off = _accepted(z, hit - expected)
    hits = np.asarray(np.isfinite(off))
    labelled: Mask = np.asarray((bone | disc).any(axis=(0, 1)))
    inside = np.where(hits, around - hit, 0.0).max(axis=1, initial=0.0)
    off = np.maximum(off, around - expected)  # what reaches inside is mended or refused by whoever asked
    drawn, own = _filled(z, off, labelled, fat - expected, fat - around > max(spacing))
    outlines, areas, shares = [], [], {sector: np.full(count, np.nan) for sector in SECTORS}
    discs = np.zeros(count)
    unit = np.column_stack([np.cos(angle), np.sin(angle)])
    for s in range(count):
        radius = np.maximum(expected[s] + drawn[s], around[s])
        loop = centres[s] + radius[:, None] * unit
        outlines.append(round_outline(loop, 8 * float(max(spacing))))
        areas.append(area(loop))
        shown = edge[s] > radius + 0.5 * BEHIND
        for sector, here in _sectors(loop):
            if labelled[s] and shown[here].mean() > 0.5:
                shares[sector][s] = (hits[s] & ~is_disc[s])[here & shown].mean()
            if sector == "ventral":
                discs[s] = (hits[s] & is_disc[s])[here].mean()
    return BonyWall(z, np.array(outlines), np.array(areas), hits.mean(axis=1), own, shares, discs, inside)


def tissues_along(wall: BonyWall, z0: float, z1: float, labelled: Mapping[str, object], levels: bool,
                  vertebrae: Sequence[Span]) -> tuple[list[Opening], list[str]]:
    """Openings of the wall from ``z0`` to ``z1`` (m): those of the map, and those of the tables where it says nothing; and what to say.

    Args:
        labelled: the table of labels.
        levels: whether the map says where the vertebrae are.
        vertebrae: at the heights of the map.
    """
    if "bone" not in labelled:
        return wall.discs(), []
    found, said, tabled = list[Opening](), list[str](), openings(vertebrae)
    for sector in SECTORS:
        own, unknown = wall.openings(sector)
        from_table = [one for one in tabled if one.sector == sector]
        found += own
        found += [replace(one, z0=max(one.z0, low), z1=min(one.z1, high)) for one in from_table for low, high in unknown
                  if max(one.z0, low) < min(one.z1, high)]
        here = [(max(low, z0), min(high, z1)) for low, high in unknown if max(low, z0) < min(high, z1)]
        if here:
            said.append(f"bone: the map does not show the {sector} wall of the canal from z = "
                        + " and from ".join(f"{low * 1e3:.2f} to {high * 1e3:.2f} mm" for low, high in here)
                        + "; its tissues there are those of the parametric spine")
        if sector == "ventral" and levels and "disc" not in labelled:
            taken = [*((one.z0, one.z1) for one in own), *unknown]
            added = [one for one in from_table if not any(low < one.z1 and one.z0 < high for low, high in taken)]
            found += added
            at = [f"{0.5e3 * (one.z0 + one.z1):.2f} mm" for one in added if z0 < one.z1 and one.z0 < z1]
            if at:
                said.append(f"bone: it is labelled across the disc where the levels change at z = {', '.join(at)}; "
                            "a disc as high as in the tables was put there")
    return found, said


def _sectors(loop: Floats) -> Iterator[tuple[str, Mask]]:
    """Which points of a border of the canal lie in which sector."""
    x, y = (loop - middle_and_half(loop)[0]).T
    away = np.abs(np.arctan2(x, y))  # from straight ventral
    ventral, dorsal = away < SECTOR_ANGLES["ventral"], away > np.pi - SECTOR_ANGLES["dorsal"]
    yield from zip(SECTORS, (ventral, ~ventral & ~dorsal, dorsal), strict=True)


def _samples(mask: Mask, centre: Floats, angle: Floats, spacing: Floats, radius: Floats) -> Floats:
    """(a, r) share of a slightly blurred mask along rays."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    low = np.clip(np.floor((centre - radius[-1]) / spacing).astype(int) - 3, 0, None)
    high = np.ceil((centre + radius[-1]) / spacing).astype(int) + 4
    part = mask[low[0]:high[0], low[1]:high[1]].astype(float)
    if not part.size:
        return np.zeros((len(angle), len(radius)))
    at = [((centre[i] + np.outer(f(angle), radius)) / spacing[i]) - low[i] for i, f in enumerate((np.cos, np.sin))]
    # bone that the map cuts off goes on beyond its edge
    return np.asarray(map_coordinates(gaussian_filter(part, BLUR, mode="nearest"), at, order=1, mode="constant", cval=0.0))


def _first(bone: Mask, disc: Mask, centre: Floats, angle: Floats, spacing: Floats, reach: float) -> tuple[Floats, Mask]:
    """(a,) distance at which each ray enters bone or disc, m, NaN if it meets none; and whether that is disc."""
    radius = np.arange(0.0, reach, 0.25 * float(min(spacing)))
    both = bone | disc
    if not both.any():
        return np.full(len(angle), np.nan), np.zeros(len(angle), dtype=bool)
    share = _samples(both, centre, angle, spacing, radius)
    enters = (share[:, 1:] >= 0.5) & (share[:, :-1] < 0.5)
    rows, at = np.arange(len(angle)), enters.argmax(axis=1)
    low, high = share[rows, at], share[rows, at + 1]
    found = radius[at] + (0.5 - low) / np.where(high > low, high - low, 1.0) * radius[1]
    found[~enters.any(axis=1)] = np.nan
    found[share[:, 0] >= 0.5] = 0.0
    if not disc.any():
        return found, np.zeros(len(angle), dtype=bool)
    within = np.minimum(at + 1 + round(float(max(spacing)) / radius[1]), len(radius) - 1)
    of_disc = _samples(disc, centre, angle, spacing, radius)[rows, within]
    return found, of_disc > 0.5 * share[rows, within]


def _last(space: Mask, centre: Floats, angle: Floats, spacing: Floats, reach: float) -> Floats:
    """(a,) distance at which each ray leaves the space inside the wall, m, NaN where it does not start in it or the slice has none."""
    radius = np.arange(0.0, reach, 0.25 * float(min(spacing)))
    share = _samples(space, centre, angle, spacing, radius)
    leaves = share < 0.5
    at = leaves.argmax(axis=1)
    rows = np.arange(len(angle))
    before, after = share[rows, np.maximum(at - 1, 0)], share[rows, at]
    found = radius[at] - radius[1] * (0.5 - after) / np.where(before > after, before - after, 1.0)
    return np.where(leaves.any(axis=1) & (at > 0), found, np.nan)


def _to_edge(centre: Floats, angle: Floats, extent: Floats) -> Floats:
    """(a,) distance from a place in the map to its edge, m."""
    with np.errstate(divide="ignore"):
        ways = [np.where(step > 0, (size - start) / step, -start / step)
                for start, size, step in zip(centre, extent, (np.cos(angle), np.sin(angle)), strict=True)]
    return np.asarray(np.min(np.abs(ways), axis=0))


def _accepted(z: Floats, off: Floats) -> Floats:
    """Differences (s, a) of hits to the model, without the hits that lie behind an opening: those are NaN."""
    out = np.full_like(off, np.nan)
    off = np.where(off <= FARTHEST, off, np.nan)
    for s, height in enumerate(z):
        near = off[np.abs(z - height) <= WINDOW]
        known = np.isfinite(near).any(axis=0)
        usual = np.full(off.shape[1], np.nan)
        usual[known] = np.nanquantile(near[:, known], 0.25, axis=0, method="lower")
        here = off[s] <= usual + BEHIND
        out[s, here] = off[s, here]
    return out


def _filled(z: Floats, off: Floats, labelled: Mask, fat: Floats, has_fat: Mask) -> tuple[Floats, Mask]:
    """Differences (s, a) to the model everywhere: along the spine over openings, then fat, then beside, then fading to the model.

    And whether there was anything but the last of these in each slice.
    """
    drawn = off.copy()
    for a in range(off.shape[1]):
        known = np.flatnonzero(np.isfinite(off[:, a]))
        for i, j in pairwise(known):
            if j - i > 1 and z[j] - z[i] <= LONGEST:
                drawn[i:j, a] = np.interp(z[i:j], z[[i, j]], off[[i, j], a])
        if len(known):  # an opening that is cut off by the end of the map, or of its bone
            ends = np.where(np.arange(len(z)) < known[0], known[0], known[-1])
            held = labelled & np.isnan(drawn[:, a]) & (np.abs(z - z[ends]) <= LONGEST) & ((z < z[known[0]]) | (z > z[known[-1]]))
            drawn[held, a] = off[ends[held], a]
    # fat in an opening ends at the ligament, but does not run out of a foramen
    usable = np.isnan(off) & has_fat & np.isfinite(fat)
    drawn[usable] = np.fmin(drawn[usable], fat[usable])
    shows = np.isfinite(drawn).mean(axis=1) >= LEAST_SEEN
    for s in np.flatnonzero(shows):
        drawn[s] = _beside(drawn[s])
    at = np.flatnonzero(shows)
    for s in np.flatnonzero(~shows):
        drawn[s] = 0.0
        for near in (at[at < s][-1:], at[at > s][:1]):
            for k in near:
                gap = abs(z[s] - z[k])
                others = at[(at > s) if k < s else (at < s)]
                whole = np.abs(z[others] - z[k]).min() if len(others) else np.inf
                drawn[s] += drawn[k] * max(0.0, 1.0 - gap / min(FADING, whole))
    return drawn, shows


def _beside(row: Floats) -> Floats:
    """Differences (a,) around one slice; in narrow gaps straight from side to side, in wide ones fading away from both."""
    known = np.flatnonzero(np.isfinite(row))
    out = row.copy()
    step = 2 * np.pi / len(row)
    for i, j in zip(known, np.roll(known, -1), strict=True):
        gap = (j - i - 1) % len(row) + 1
        for k in range(1, gap):
            reach = min(BESIDE, gap * step)
            out[(i + k) % len(row)] = (row[i] * max(0.0, 1.0 - k * step / reach)
                                       + row[j] * max(0.0, 1.0 - (gap - k) * step / reach))
    return out


def _runs(flags: Sequence[bool] | Mask) -> list[tuple[int, int]]:
    """First and last index of every run of true."""
    found, at = [], 0
    for value, group in groupby(map(bool, flags)):
        length = len(list(group))
        if value:
            found.append((at, at + length - 1))
        at += length
    return found
