"""Closed polygons of the plane."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@njit(cache=True, nogil=True, error_model="numpy")
def signed_distance(outline: Floats, points: Floats) -> Floats:
    """Distance of points (m, 2) to a closed polygon (k, 2), in their unit; + inside and - outside."""
    out = np.empty(len(points))
    for i in range(len(points)):
        px, py = points[i, 0], points[i, 1]
        nearest, odd = np.inf, False
        ax, ay = outline[-1, 0], outline[-1, 1]
        for k in range(len(outline)):
            bx, by = outline[k, 0], outline[k, 1]
            along_x, along_y, to_x, to_y = bx - ax, by - ay, px - ax, py - ay
            length = along_x * along_x + along_y * along_y
            # corners may coincide
            share = min(max((to_x * along_x + to_y * along_y) / length, 0.0), 1.0) if length > 0.0 else 0.0
            x, y = to_x - share * along_x, to_y - share * along_y
            nearest = min(nearest, x * x + y * y)
            if (ay > py) != (by > py) and ax + (py - ay) * along_x / along_y > px:
                odd = not odd
            ax, ay = bx, by
        distance = np.sqrt(nearest)
        out[i] = distance if odd else -distance
    return out
