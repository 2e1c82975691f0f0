"""Meshing of a cross-section: nested polygons in, quadratic triangles out.

The triangles are made by Netgen (LGPL) and have straight sides. Netgen works in millimetres here,
because its tolerances suit numbers near one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_CORNER, _SHARP = np.deg2rad(25.0), np.deg2rad(65.0)  # turns that may be, and that surely are, corners


@dataclass(frozen=True)
class Loop:
    """A closed polygon that separates two regions.

    Attributes:
        points: (k, 2) m, closed, first != last, any orientation.
        inside: label of the region just inside, -1 for a hole, which is not meshed; or one label per edge of ``points``.
        outside: label of the region just outside, -1 for nothing (outermost loop); or one label per edge.
        size: wanted edge length along the loop, m.
        keep: use the points exactly as they are; otherwise the loop is resampled by arc length, and a
            smooth loop is scaled so that the area inside stays what it was. Labels per edge need it.
        ring: whether its nodes are wanted; those of a hole always are.
    """

    points: Floats
    inside: int | Sequence[int]
    outside: int | Sequence[int]
    size: float
    keep: bool = False
    ring: bool = False

    def sides(self) -> tuple[Ints, Ints]:
        """Labels inside and outside of every edge."""
        count = len(self.points)
        return tuple(np.broadcast_to(np.asarray(label, dtype=np.int64), count) for label in (self.inside, self.outside))  # type: ignore[return-value]


@dataclass(frozen=True)
class Cut:
    """A straight border between two regions, from a point of one loop to a point of another.

    Attributes:
        start, end: (2,) m, points of loops that are kept as they are.
        left, right: labels on both sides, seen from start to end.
    """

    start: Floats
    end: Floats
    left: int
    right: int


@dataclass(frozen=True)
class Section:
    """A meshed cross-section of quadratic triangles with straight sides.

    Attributes:
        points: (n, 2) m, corners and midside nodes.
        triangles: (m, 6) three corners counter-clockwise, then the middles of the edges 01, 12, 20.
        labels: (m,) region of each triangle.
        boundary: (b,) nodes on the outermost loop.
        rings: for each hole or ring, in the order of the loops, its nodes in order of angle.
    """

    points: Floats
    triangles: Ints
    labels: Ints
    boundary: Ints
    rings: tuple[Ints, ...]


def mesh_section(loops: Sequence[Loop], sizes: Sequence[float], grading: float = 0.3, cuts: Sequence[Cut] = ()) -> Section:
    """Mesh nested regions; the same input gives the same mesh.

    Args:
        loops: one outermost loop (outside = -1) and any number within it, not touching each other.
        sizes: largest edge in the region of each label, m.
        grading: how fast edges grow away from small ones, 0 (slow) to 1.
        cuts: straight borders between loops.

    Raises:
        ValueError: loops that do not describe a section, or that Netgen cannot mesh.
    """
    sides = [loop.sides() for loop in loops]
    outer = [i for i, (_, outside) in enumerate(sides) if (outside < 0).any()]
    if len(outer) != 1:
        raise ValueError(f"a section needs exactly one outermost loop (outside = -1), got {len(outer)}")
    for i, (inside, outside) in enumerate(sides):
        if max(inside.max(), outside.max()) >= len(sizes):
            raise ValueError(f"loop {i} names region {max(inside.max(), outside.max())}, but there are {len(sizes)} sizes")
    outlines = [_outline(loop, i) for i, loop in enumerate(loops)]
    corners, triangles, labels = _netgen(loops, outlines, sizes, grading, cuts)
    points, quadratic = _quadratic(corners, triangles)
    holes = [i for i, (inside, _) in enumerate(sides) if (inside < 0).any()]
    circuits = _circuits(points, quadratic)
    wanted = [i for i, loop in enumerate(loops) if loop.ring or i in holes]
    rings = tuple(
        _by_angle(_circuit_of(circuits, points, outlines[i], i) if i in holes else on_outline(points, outlines[i]), points) for i in wanted
    )
    boundary = _circuit_of(circuits, points, outlines[outer[0]], outer[0])
    return Section(points, quadratic, labels, np.sort(boundary), rings)


def plane_shapes(barycentric: Floats) -> Floats:
    """Quadratic shape functions of a triangle at barycentric coordinates (..., 3): (..., 6), in the order of its nodes."""
    a, b, c = np.moveaxis(barycentric, -1, 0)
    return np.stack([a * (2 * a - 1), b * (2 * b - 1), c * (2 * c - 1), 4 * a * b, 4 * b * c, 4 * c * a], axis=-1)


def on_outline(points: Floats, outline: Floats) -> Ints:
    """Which of (n, 2) points lie on a closed polygon."""
    a, b = outline, np.roll(outline, -1, axis=0)
    size = float(np.hypot(*(b - a).T).max())
    near = np.flatnonzero(np.all((points > outline.min(axis=0) - 1e-6 * size) & (points < outline.max(axis=0) + 1e-6 * size), axis=1))
    to = points[near][:, None] - a
    along = b - a
    share = np.clip((to * along).sum(axis=2) / (along * along).sum(axis=1), 0.0, 1.0)
    away = np.hypot(*np.moveaxis(to - share[:, :, None] * along, 2, 0)).min(axis=1)
    return near[away < 1e-6 * size]


def circle(x: float, y: float, radius: float, count: int) -> Floats:
    """A circle about (x, y) as a polygon of ``count`` points, (count, 2) in the unit of the arguments."""
    angle = 2.0 * np.pi * np.arange(count) / count
    return np.column_stack((x + radius * np.cos(angle), y + radius * np.sin(angle)))


def area(points: Floats) -> float:
    """Signed area of a closed polygon, positive when counter-clockwise."""
    x, y = points.T
    return 0.5 * float(np.dot(x, np.roll(y, -1)) - np.dot(np.roll(x, -1), y))


def _outline(loop: Loop, index: int) -> Floats:
    points = np.ascontiguousarray(loop.points, dtype=float)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
        raise ValueError(f"loop {index} must be at least three finite points (k, 2), got shape {points.shape}")
    if area(points) < 0:
        points = points[::-1]
    return points if loop.keep else resample(points, loop.size)


def resample(points: Floats, size: float) -> Floats:
    """Points of a counter-clockwise polygon at equal steps of arc length of about ``size``; corners are kept.

    A loop without corners is a smooth curve: there the inscribed polygon is scaled about its centre to the area of
    the original, so that a layer or a lead keeps its mean radius.
    """
    edge = np.roll(points, -1, axis=0) - points
    length = np.hypot(*edge.T)
    if not (length > 0).all():
        raise ValueError("a loop holds the same point twice in a row")
    heading = np.arctan2(edge[:, 1], edge[:, 0])
    turn = np.angle(np.exp(1j * (heading - np.roll(heading, 1))))
    turn = np.abs(turn)
    # a coarse circle turns at every vertex: a blunt turn is a corner only if it stands out from the others
    corners = np.flatnonzero((turn > _SHARP) | ((turn > _CORNER) & (turn > 3.0 * np.median(turn))))
    along = np.concatenate(([0.0], np.cumsum(length)))
    total = along[-1]
    closed = np.vstack((points, points[:1]))
    stops = along[corners] if len(corners) else np.zeros(1)
    ends = np.append(stops[1:], stops[0] + total)
    least = 8 if len(corners) == 0 else 1
    pieces = []
    for start, end in zip(stops, ends, strict=True):
        count = max(least, round((end - start) / size))
        pieces.append(start + (end - start) * np.arange(count) / count)
    at = np.concatenate(pieces) % total
    out = np.column_stack([np.interp(at, along, closed[:, axis]) for axis in (0, 1)])
    if len(out) < 3:
        return points
    if len(corners) == 0:
        middle = out.mean(axis=0)
        out = middle + (out - middle) * np.sqrt(area(points) / area(out))
    return out


def _netgen(
    loops: Sequence[Loop], outlines: Sequence[Floats], sizes: Sequence[float], grading: float, cuts: Sequence[Cut]
) -> tuple[Floats, Ints, Ints]:
    """Linear triangles: corners (n, 2) m, triangles (m, 3) counter-clockwise, labels (m,)."""
    import netgen.meshing  # slow to import, hence here
    from netgen.geom2d import SplineGeometry

    netgen.meshing.SetMessageImportance(0)  # otherwise it writes to the standard output
    geometry = SplineGeometry()
    known: dict[tuple[float, float], int] = {}
    for i, (loop, outline) in enumerate(zip(loops, outlines, strict=True)):
        ids = [geometry.AppendPoint(*point) for point in 1e3 * outline]
        known.update({(float(x), float(y)): k for (x, y), k in zip(outline, ids, strict=True)})
        inside, outside = loop.sides()
        alike = bool((inside == inside[0]).all() and (outside == outside[0]).all())
        if not alike and (not loop.keep or area(np.asarray(loop.points)) < 0):
            raise ValueError(f"loop {i} has labels per edge: it must be kept as it is and run counter-clockwise")
        for k, (a, b) in enumerate(zip(ids, ids[1:] + ids[:1], strict=True)):
            at = 0 if alike else k
            geometry.Append(["line", a, b], leftdomain=int(inside[at]) + 1, rightdomain=int(outside[at]) + 1)
    for cut in cuts:
        ends = [(float(x), float(y)) for x, y in (cut.start, cut.end)]
        if not all(end in known for end in ends):
            raise ValueError("a cut must begin and end at points of loops")
        geometry.Append(["line", known[ends[0]], known[ends[1]]], leftdomain=cut.left + 1, rightdomain=cut.right + 1)
    for label, size in enumerate(sizes):
        geometry.SetDomainMaxH(label + 1, 1e3 * size)
    try:
        mesh = geometry.GenerateMesh(maxh=1e3 * max(sizes), grading=grading, quad_dominated=False)
    except Exception as error:
        raise ValueError(f"the cross-section could not be meshed; its outlines may touch or cross ({error})") from error
    table = mesh.Elements2D().NumPy()
    if len(table) == 0:
        raise ValueError("the cross-section could not be meshed; its outlines may touch or cross")
    triangles = np.asarray(table["nodes"], dtype=np.int64)[:, :3] - 1
    corners = 1e-3 * np.asarray(mesh.Coordinates(), dtype=float)[:, :2]
    labels = np.asarray(table["index"], dtype=np.int64) - 1
    used, triangles = np.unique(triangles, return_inverse=True)
    corners, triangles = corners[used], triangles.reshape(-1, 3).astype(np.int64)
    a, b, c = (corners[triangles[:, i]] for i in range(3))
    twice = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    triangles[twice < 0] = triangles[twice < 0][:, [0, 2, 1]]
    wanted = area(outlines[next(i for i, loop in enumerate(loops) if (loop.sides()[1] < 0).any())])
    wanted -= sum(area(o) for loop, o in zip(loops, outlines, strict=True) if (loop.sides()[0] < 0).any())
    if abs(0.5 * np.abs(twice).sum() - wanted) > 1e-6 * wanted:
        raise ValueError("the cross-section could not be meshed: its triangles do not fill it; its outlines may cross")
    return corners, triangles, labels


def _quadratic(corners: Floats, triangles: Ints) -> tuple[Floats, Ints]:
    """Middles of the edges added as nodes: points (n, 2), triangles (m, 6)."""
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    unique, index = np.unique(edges, axis=0, return_inverse=True)
    middles = 0.5 * (corners[unique[:, 0]] + corners[unique[:, 1]])
    sides = len(corners) + index.reshape(3, -1).T
    return np.vstack((corners, middles)), np.hstack((triangles, sides)).astype(np.int64)


def _circuits(points: Floats, triangles: Ints) -> list[Ints]:
    """Nodes of every closed chain of edges that belong to one triangle only."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    sides = np.concatenate([triangles[:, [0, 3, 1]], triangles[:, [1, 4, 2]], triangles[:, [2, 5, 0]]])
    _, index, count = np.unique(sides[:, 1], return_index=True, return_counts=True)
    free = sides[index[count == 1]]
    a = np.concatenate((free[:, 0], free[:, 1]))
    b = np.concatenate((free[:, 1], free[:, 2]))
    _, part = connected_components(coo_array((np.ones(len(a)), (a, b)), shape=(len(points),) * 2), directed=False)
    nodes = np.unique(free)
    return [nodes[part[nodes] == p] for p in np.unique(part[nodes])]


def _circuit_of(circuits: list[Ints], points: Floats, outline: Floats, index: int) -> Ints:
    """The chain that runs through the first point of a loop."""
    gaps = [float(np.hypot(*(points[c] - outline[0]).T).min()) for c in circuits]
    best = int(np.argmin(gaps))
    if gaps[best] > 1e-6 * float(np.hypot(*(outline[1] - outline[0]))):
        raise ValueError(f"the mesh has no boundary along loop {index}")
    return circuits[best]


def _by_angle(nodes: Ints, points: Floats) -> Ints:
    x, y = (points[nodes] - points[nodes].mean(axis=0)).T
    return nodes[np.argsort(np.arctan2(y, x) % (2.0 * np.pi), kind="stable")]
