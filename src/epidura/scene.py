"""What is seen of a canal with its leads: surfaces, an outline from behind, and slices of the field.

``scene`` needs placed leads only, no mesh and no field, so that a lead can be dragged. Surfaces are triangles over points; what a field
is at these points is asked once per position of the leads (``on_points``), so that a program is a weighted sum of contacts.
Lengths are in m, as everywhere; x right, y anterior, z superior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epidura.anatomy import Anatomy
from epidura.anatomy.base import SECTOR_ANGLES, Level, Stretch
from epidura.canal import MARGIN
from epidura.errors import BadInput
from epidura.export import STEP
from epidura.lead import Lead
from epidura.placement import Placed, place, span
from epidura.product import Canal, Floats, LeadField, Shaft
from epidura.shape import outline_at

Ints = NDArray[np.int32]

AROUND = 96
"""Points around the cord, the dura and the wall of the canal."""

STEP_Z = 1e-3
"""Distance of rings of points along the spine, m: 20 000 points on cord and dura over 104 mm."""

BEYOND = 12e-3
"""How far the picture reaches beyond the contacts and tips along the spine, m."""

SIDES = 24
"""Points around a lead."""

SLICES = {"axial": (0.2e-3, 0.2e-3), "sagittal": (0.25e-3, 0.5e-3)}
"""Distance of the points of a slice, m: across and dorsoventral, dorsoventral and along the spine."""

LINES = ("cord", "grey-matter", "dura-inner", "dura-outer", "canal")
"""Outlines that are drawn on slices."""


@dataclass(frozen=True)
class Surface:
    """Triangles.

    Attributes:
        name: cord, dura, a tissue of the wall, ``lead 1``, ``contact 4``.
        points: (n, 3) m.
        triangles: (t, 3) rows of ``points``.
    """

    name: str
    points: Floats
    triangles: Ints


@dataclass(frozen=True)
class Scene:
    """Leads in their canal, to be drawn.

    Attributes:
        surfaces: cord, dura, wall of the canal by tissue (its dorsal half left out, so that leads are seen), then leads and contacts.
        z: (s,) rising heights, m.
        edges: by outline (cord, dura, canal), (s, 2) leftmost and rightmost x, m.
        low, high: heights between which the picture lies, m.
        placed: the leads.
    """

    surfaces: tuple[Surface, ...]
    z: Floats
    edges: dict[str, Floats]
    low: float
    high: float
    placed: Placed


def scene(anatomy: Anatomy, leads: Sequence[Lead], tissues: bool = True) -> Scene:
    """Surfaces of leads in their canal.

    Args:
        tissues: without, leads and contacts alone, for a lead that moves.

    Raises:
        BadGeometry: as ``place_leads``.
    """
    low, high = span(anatomy, leads)
    placed = place(anatomy.stretch(low - MARGIN, high + MARGIN), leads)
    low, high = low - BEYOND, high + BEYOND
    z = np.linspace(low, high, int(np.ceil((high - low) / STEP_Z)) + 1)
    rings = {name: _rings(placed.stretch, name, z) for name in ("cord", "dura-outer", "canal")}
    surfaces: list[Surface] = []
    if tissues:
        surfaces += [_tube("cord", rings["cord"], z), _tube("dura", rings["dura-outer"], z), *_wall(placed.stretch, rings["canal"], z)]
    for shaft in placed.shafts:
        surfaces += _lead(shaft, low)
    edges = {name.removesuffix("-outer"): np.column_stack([ring[..., 0].min(axis=1), ring[..., 0].max(axis=1)]) for name, ring in rings.items()}
    return Scene(tuple(surfaces), z, edges, low, high, placed)


def _rings(stretch: Stretch, name: str, z: Floats) -> Floats:
    """(s, AROUND, 2) an outline at heights z, m."""
    outlines = [_thinned(level, name) for level in stretch.levels]
    if len(outlines) == 1:
        return np.broadcast_to(outlines[0], (len(z), *outlines[0].shape))
    stack = np.stack(outlines)
    at = np.clip(np.searchsorted(stretch.z, z, side="right") - 1, 0, len(stretch.z) - 2)
    share = np.clip((z - stretch.z[at]) / (stretch.z[at + 1] - stretch.z[at]), 0.0, 1.0)[:, None, None]
    return np.asarray(stack[at] + share * (stack[at + 1] - stack[at]))


def _thinned(level: Level, name: str) -> Floats:
    outline = level.outlines[name]
    return outline[np.arange(AROUND) * len(outline) // AROUND]


def _tube(name: str, rings: Floats, z: Floats) -> Surface:
    """A closed outline swept along z."""
    count, around = rings.shape[:2]
    points = np.concatenate([rings, np.broadcast_to(z[:, None, None], (count, around, 1))], axis=2).reshape(-1, 3)
    return Surface(name, points, _quads(count, around).reshape(-1, 3))


def _quads(count: int, around: int) -> Ints:
    """(count - 1, around, 2, 3) triangles between ``count`` rings of ``around`` points, outside seen counter-clockwise."""
    i, j = np.meshgrid(np.arange(count - 1), np.arange(around), indexing="ij")
    a, b = i * around + j, i * around + (j + 1) % around
    c, d = a + around, b + around
    return np.stack([np.stack([a, b, d], axis=-1), np.stack([a, d, c], axis=-1)], axis=2).astype(np.int32)


def _wall(stretch: Stretch, rings: Floats, z: Floats) -> list[Surface]:
    """The wall of the canal, its ventral half, by what it consists of."""
    whole = _tube("wall", rings, z)
    quads = _quads(*rings.shape[:2])
    middle = 0.5 * (rings.min(axis=1) + rings.max(axis=1))
    arm = 0.5 * (rings + np.roll(rings, -1, axis=1)) - middle[:, None]  # to the middle of each side
    seen = arm[:-1, :, 1] > 0
    angle = np.abs(np.arctan2(arm[:-1, :, 0], arm[:-1, :, 1]))  # from straight ventral
    sector = np.where(angle < SECTOR_ANGLES["ventral"], 0, np.where(angle > np.pi - SECTOR_ANGLES["dorsal"], 2, 1))
    tissue = np.full(seen.shape, "bone", dtype=object)
    between = 0.5 * (z[:-1] + z[1:])
    for wall in stretch.walls:
        here = ((between > wall.z0) & (between < wall.z1))[:, None]
        for k, name in enumerate((wall.ventral, wall.lateral, wall.dorsal)):
            tissue[here & (sector == k)] = name
    out = []
    for name in ("bone", "disc", "ligament", "foramen"):
        triangles = quads[seen & (tissue == name)].reshape(-1, 3)
        if len(triangles):
            used, inverse = np.unique(triangles, return_inverse=True)
            out.append(Surface(name, whole.points[used], inverse.reshape(-1, 3).astype(np.int32)))
    return out


def _lead(shaft: Shaft, low: float) -> list[Surface]:
    """The lead from its tip down to ``low`` or its end, then its contacts by number."""
    bottom = max(low, shaft.z_end) if shaft.z_end is not None else low
    out = [_rod(f"lead {shaft.lead + 1}", shaft, bottom, shaft.z_tip, 1.0)]
    for contact in shaft.contacts:
        name = f"contact {contact.number}"
        if contact.left is None or contact.right is None or shaft.half_width is None:
            out.append(_rod(name, shaft, contact.z0, contact.z1, 1.06))
        else:
            out.append(_plate(name, shaft, contact.left, contact.right, contact.z0, contact.z1))
    return out


def _rim(shaft: Shaft, grown: float) -> Floats:
    """(SIDES, 2) around a cross-section, counter-clockwise, m from its centre."""
    angle = np.arange(SIDES) * (2 * np.pi / SIDES)
    circle = shaft.radius * grown * np.column_stack([np.cos(angle), np.sin(angle)])
    if shaft.half_width is None:
        return circle
    circle[:, 0] += np.where(np.cos(angle) > 0, 1.0, -1.0) * (shaft.half_width - shaft.radius)
    cos, sin = np.cos(shaft.turn), np.sin(shaft.turn)
    return np.asarray(circle @ np.array([[cos, sin], [-sin, cos]]))


def _rod(name: str, shaft: Shaft, z0: float, z1: float, grown: float) -> Surface:
    """A stretch of a lead with flat ends."""
    z = np.array([z0, z1]) if shaft.parallel else np.linspace(z0, z1, max(2, int(np.ceil((z1 - z0) / 2e-3)) + 1))
    centre, rim = shaft.centre(z), _rim(shaft, grown)
    tube = _tube(name, centre[:, None] + rim, z)
    ends = np.column_stack([centre[[0, -1]], z[[0, -1]]])
    n, ring = len(tube.points), np.arange(SIDES)
    after = (ring + 1) % SIDES
    top = n - SIDES
    caps = np.concatenate([np.column_stack([np.full(SIDES, n), after, ring]), np.column_stack([np.full(SIDES, n + 1), top + ring, top + after])])
    return Surface(name, np.vstack([tube.points, ends]), np.vstack([tube.triangles, caps]).astype(np.int32))


def _plate(name: str, shaft: Shaft, left: float, right: float, z0: float, z1: float) -> Surface:
    """A contact on the face of a paddle towards the dura, a hair above it."""
    across = np.array([np.cos(shaft.turn), np.sin(shaft.turn)])
    out = np.array([-across[1], across[0]]) * shaft.radius * 1.06
    z = np.array([z0, z0, z1, z1])
    flat = shaft.centre(z) + np.array([left, right, left, right])[:, None] * across + out
    return Surface(name, np.column_stack([flat, z]), np.array([[0, 1, 3], [0, 3, 2]], dtype=np.int32))


# ------------------------------------------------------------------------------------------------------------ the field on it


def on_points(lead_field: LeadField, points: Floats) -> NDArray[np.float32]:
    """(contacts, n) V/A at points (n, 3) m; NaN in a lead and outside of the model."""
    # sorted by height a field is sampled fastest
    order = np.lexsort((points[:, 2], points[:, 1], points[:, 0]))
    out = np.empty((len(lead_field.contacts), len(points)), dtype=np.float32)
    out[:, order] = lead_field.sample_or_nan(points[order])
    return out


@dataclass(frozen=True)
class Slice:
    """A plane through a field, for +1 A into tissue at one contact.

    Attributes:
        plane: axial or sagittal.
        at: its height (axial) or its x (sagittal), m.
        across: (n,) x (axial) or y (sagittal), m.
        up: (m,) y (axial) or z (sagittal), m.
        potential: (contacts, m, n) V/A; NaN in a lead and outside of the canal.
        second: (contacts, m, n) V/A/m2, second difference along z over ``export.STEP``.
        lines: outlines cut by the plane: name and polyline (k, 2) m of across and up.
    """

    plane: str
    at: float
    across: Floats
    up: Floats
    potential: NDArray[np.float32]
    second: NDArray[np.float32]
    lines: tuple[tuple[str, Floats], ...]


def cut(lead_field: LeadField, plane: str, at: float) -> Slice:
    """A slice of the canal: across the spine at a height, or along it at a distance ``at`` (m) to the right of the midline.

    Raises:
        BadInput: another plane, or one that misses the canal or lies beyond the contacts.
    """
    canal = lead_field.canal
    if plane not in SLICES:
        raise BadInput("plane", "there is no such plane", got=plane, allowed=", ".join(SLICES))
    low = min(contact.z0 for contact in canal.contacts) - BEYOND
    high = max(contact.z1 for contact in canal.contacts) + BEYOND
    wall = canal.outlines["canal"]
    first, last = (low, high) if plane == "axial" else (0.95 * float(wall[:, 0].min()), 0.95 * float(wall[:, 0].max()))
    if not first <= at <= last:
        raise BadInput("at", "the plane misses the contacts" if plane == "axial" else "the plane misses the canal", got=f"{at * 1e3:.1f} mm",
                       allowed=f"{first * 1e3:.1f} to {last * 1e3:.1f} mm")
    if plane == "axial":
        lines = [(name, _closed(outline_at(canal, name, np.array([at]))[0])) for name in LINES]
        lines += [(f"lead {shaft.lead + 1}", _closed(shaft.centre(np.array([at]))[0] + _rim(shaft, 1.0))) for shaft in canal.shafts
                  if at < shaft.z_tip and (shaft.z_end is None or at > shaft.z_end)]
        box = dict(lines)["canal"]
    else:
        z = np.linspace(low, high, int(np.ceil((high - low) / STEP_Z)) + 1)
        lines = [part for name in LINES for part in _crossings(name, outline_at(canal, name, z), z, at)]
        lines += [part for shaft in canal.shafts for part in _rod_lines(shaft, low, at)]
        box = np.concatenate([line for name, line in lines if name == "canal"])
        box = np.array([[box[:, 0].min(), low], [box[:, 0].max(), high]])
    pitch = SLICES[plane]
    across, up = (_axis(float(box[:, k].min()), float(box[:, k].max()), pitch[k]) for k in (0, 1))
    u, v = np.meshgrid(across, up)
    flat = np.full(u.size, at)
    points = np.column_stack([u.ravel(), v.ravel(), flat] if plane == "axial" else [flat, u.ravel(), v.ravel()])
    lift = np.array([0.0, 0.0, STEP])
    below, here, above = (on_points(lead_field, points + k * lift).reshape(-1, len(up), len(across)) for k in (-1, 0, 1))
    return Slice(plane, at, across, up, here, ((above - 2 * here + below) / STEP**2).astype(np.float32), tuple(lines))


def _axis(low: float, high: float, pitch: float) -> Floats:
    return np.linspace(low, high, int(np.ceil((high - low) / pitch)) + 1)


def _closed(outline: Floats) -> Floats:
    return np.vstack([outline, outline[:1]])


def _crossings(name: str, outlines: Floats, z: Floats, x: float) -> list[tuple[str, Floats]]:
    """Where a plane x cuts outlines (s, k, 2) at heights z: the dorsal and the ventral line, (y, z), in pieces where it misses."""
    ends = np.full((2, len(z)), np.nan)
    for i, outline in enumerate(outlines):
        before, after = outline, np.roll(outline, -1, axis=0)
        cuts = (before[:, 0] <= x) != (after[:, 0] <= x)
        if cuts.any():
            a, b = before[cuts], after[cuts]
            y = a[:, 1] + (x - a[:, 0]) / (b[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
            ends[:, i] = y.min(), y.max()
    there = np.isfinite(ends[0])
    borders = np.flatnonzero(np.diff(np.concatenate([[False], there, [False]]).astype(int)))
    pieces = [slice(int(a), int(b)) for a, b in zip(borders[::2], borders[1::2], strict=True)]
    return [(name, np.column_stack([end[piece], z[piece]])) for end in ends for piece in pieces]


def _rod_lines(shaft: Shaft, low: float, x: float) -> list[tuple[str, Floats]]:
    """Where a plane x cuts a lead and its contacts, as closed lines (y, z)."""
    bottom = max(low, shaft.z_end) if shaft.z_end is not None else low

    def part(name: str, z0: float, z1: float) -> list[tuple[str, Floats]]:
        z = np.array([z0, z1]) if shaft.parallel else np.linspace(z0, z1, max(2, int((z1 - z0) / STEP_Z)))
        centre, rim = shaft.centre(z), _rim(shaft, 1.0)
        crossed = _crossings(name, centre[:, None] + rim, z, x)
        if len(crossed) != 2:
            return []
        (_, back), (_, front) = crossed
        return [(name, _closed(np.vstack([back, front[::-1]])))]

    found = part(f"lead {shaft.lead + 1}", bottom, shaft.z_tip)
    for contact in shaft.contacts:
        if contact.left is None or contact.right is None:
            found += part(f"contact {contact.number}", contact.z0, contact.z1)
    return found


def heights_of(canal: Canal) -> tuple[float, float]:
    """Heights between which slices may lie, m."""
    return min(contact.z0 for contact in canal.contacts) - BEYOND, max(contact.z1 for contact in canal.contacts) + BEYOND
