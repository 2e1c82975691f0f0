"""Fibres along a spine that changes: paths that follow the cord, and lengths along a bent spine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from epidura.product import Cord, Course

Floats = NDArray[np.float64]

END = 1e-3
"""Length of the last piece of a path beyond the end of the course, m."""


def follow(course: Course | None, cord: Cord, sac: Floats | None, paths: Sequence[Floats]) -> tuple[Floats, ...]:
    """Paths (k, 3) m that were placed at the level, as they run along the spine.

    In the cord a point keeps its place relative to the centre and to width and depth of the cord. Between cord and dura it
    keeps its share of the way: the displacements of cord and dura are mixed by the distances to both. Paths get points at every height
    of the course and go on along z behind its end, so that the last piece may be prolonged as before.

    Args:
        course: how the cord runs; None: nothing changes.
        cord: at the level.
        sac: (s, 2, 2) lowest and highest (x, y) of the inner face of the dura at the heights of the course, m; None: only
            the cord is followed.
        paths: rising in z.
    """
    if course is None:
        return tuple(paths)
    level = np.zeros(1)
    at_level = _at(course, course.centre, level)[0]
    half = np.array([cord.half_width, cord.half_depth])
    out = []
    for path in paths:
        top = max(path[-1, 2], course.z[-1] + END)
        inner = course.z[(course.z > path[0, 2]) & (course.z < top)]
        z = np.unique(np.concatenate([path[:, 2], inner, [top]]))
        placed = np.column_stack([np.interp(z, path[:, 2], path[:, i]) for i in (0, 1)])
        from_centre = placed - at_level
        moved = _at(course, course.centre, z) + from_centre * _at(course, course.scale, z)
        if sac is not None:
            middles, sizes = sac.mean(axis=1), sac[:, 1] - sac[:, 0]
            from_middle, size = placed - _at(course, middles, level), _at(course, sizes, level)
            off_cord = np.maximum(np.hypot(*(from_centre / half).T) - 1.0, 0.0)
            off_dura = np.maximum(1.0 - np.hypot(*(2 * from_middle / size).T), 1e-9)
            share = (off_cord / (off_cord + off_dura))[:, None]
            moved += share * (_at(course, middles, z) + from_middle * _at(course, sizes, z) / size - moved)
        out.append(np.column_stack([moved, z]))
    return tuple(out)


def arc(path: Floats, course: Course | None = None) -> Floats:
    """(k,) distance along a (k, 3) polyline, m; on a bent spine the real one.

    Coordinates are those of the straightened spine: dz at the height y of a spine of curvature b is (1 - y b) dz long.
    """
    step = np.diff(path, axis=0)
    if course is not None and course.bend.any():
        bend = np.interp(path[:, 2], course.z, course.bend)
        a, b = (1.0 - path[:, 1] * bend)[:-1], (1.0 - path[:, 1] * bend)[1:]
        half_way = 1.0 - 0.25 * (path[:-1, 1] + path[1:, 1]) * (bend[:-1] + bend[1:])
        step[:, 2] *= (a + 4.0 * half_way + b) / 6.0  # Simpson: y and bend are straight lines along a piece
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(step, axis=1))])


def along(path: Floats, s: Floats, course: Course | None = None) -> Floats:
    """(n, 3) points at real distances ``s`` along a polyline, prolonged beyond its last piece."""
    at = arc(path, course)
    points = np.stack([np.interp(s, at, path[:, axis]) for axis in range(3)], axis=1)
    beyond = np.maximum(s - at[-1], 0.0)[:, None]
    return np.asarray(points + beyond * (path[-1] - path[-2]) / (at[-1] - at[-2]))


def _at(course: Course, values: Floats, z: Floats) -> Floats:
    """(n, 2) from values (s, 2) at the heights of the course."""
    return np.column_stack([np.interp(z, course.z, values[:, i]) for i in (0, 1)])
