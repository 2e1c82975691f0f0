"""Potentials at any points of a swept section: quadratic in the plane, quintic splines along z.

Along a path at rest in the section, as fibres of a uniform canal are, the potential is a quintic spline, four times continuously
differentiable. Where the section moves along z, its nodes move on cubic splines, so that second differences along a path that
moves with the tissue stay smooth. A path that crosses triangles in the plane meets a kink at every side, of the size of
the jump of the gradient between quadratic triangles.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline
from scipy.spatial import cKDTree

from epidura.numerics.blas import OneThread
from epidura.numerics.ldlt import threads
from epidura.numerics.section import Section
from epidura.numerics.spine import Way

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def spline_along(z: Floats, values: NDArray[np.floating], dtype: type = np.float32) -> tuple[Floats, NDArray[np.floating]]:
    """Knots and coefficients (n, nz, k) of quintic splines through values (n, nz, k) at the nodes of an axis.

    float32 rounds V by 6e-8: second differences at 1 mm are about 3 % of V where they matter, so they keep five digits.
    """
    unit = make_interp_spline(z, np.eye(len(z)), k=5)
    out: NDArray[np.floating] = np.empty(values.shape, dtype=dtype)

    def some(low: int) -> None:
        out[low : low + 500] = np.matmul(unit.c, values[low : low + 500])

    with OneThread(), ThreadPoolExecutor(threads()) as pool:
        list(pool.map(some, range(0, len(values), 500)))
    return np.asarray(unit.t, dtype=float), out


class SpineSampler:
    """Values at points of a section that may move along z.

    Args:
        section: mesh.
        way: how its nodes move; None: not.
        knots, coefficients: of the splines of the values, as ``spline_along`` gives them.
        hollow: (label, z0, z1): regions that are no conductor from z0 to z1, where nothing may be asked.
    """

    def __init__(
        self, section: Section, way: Way | None, knots: Floats, coefficients: NDArray[np.floating],
        hollow: Sequence[tuple[int, float, float]] = (),
    ):  # fmt: skip
        self.section, self.way, self.knots, self.coefficients = section, way, knots, coefficients
        self._beside = neighbours(section.triangles)
        self._tree = cKDTree(section.points[section.triangles[:, :3]].mean(axis=1))
        labels = int(section.labels.max()) + 1
        self._hollow = np.full((labels, 2), [np.inf, -np.inf])
        for label, z0, z1 in hollow:
            self._hollow[label] = z0, z1
        middles = 0.5 * (section.points[section.triangles[:, [0, 1, 2]]] + section.points[section.triangles[:, [1, 2, 0]]])
        self._bent = way is not None or bool(np.abs(middles - section.points[section.triangles[:, 3:]]).max() > 1e-12)
        if way is None:
            self._ways, self._places = np.zeros(0), np.ascontiguousarray(section.points[None])
        else:
            self._ways, self._places = way.knots, way.coefficients

    def __call__(self, points: Floats, lenient: bool = False) -> Floats:
        """Values (k, p) at points (p, 3).

        Args:
            lenient: NaN for points outside instead of an error.

        Raises:
            ValueError: a point that is not in the mesh, in an insulator, or beyond the ends.
        """
        points = np.ascontiguousarray(points, dtype=float)
        if points.ndim != 2 or points.shape[1] != 3:
            raise ValueError(f"points must have the shape (p, 3), got {points.shape}")
        out = np.empty((len(points), self.coefficients.shape[2]))
        pieces = np.array_split(np.arange(len(points)), max(1, min(threads(), len(points) // 256)))

        def some(piece: Ints) -> int:
            if not len(piece):
                return -1
            low, high = int(piece[0]), int(piece[-1]) + 1
            first = int(self._tree.query(points[low, :2])[1]) if np.isfinite(points[low, :2]).all() else 0
            found = _sample(
                points[low:high], first, self.section.triangles, self.section.labels, self._beside, self._hollow, self._ways, self._places,
                self.knots, self.coefficients, out[low:high], lenient, self._bent,
            )  # fmt: skip
            return low + found if found >= 0 else -1

        with ThreadPoolExecutor(len(pieces)) as pool:
            outside = [i for i in pool.map(some, pieces) if i >= 0]
        if outside:
            x, y, z = points[outside[0]]
            where = "beyond the ends of" if not self.knots[0] <= z <= self.knots[-1] else "outside"
            raise ValueError(f"point {outside[0]} at ({x:.6g}, {y:.6g}, {z:.6g}) m lies {where} the mesh")
        return np.ascontiguousarray(out.T)


def neighbours(triangles: Ints) -> Ints:
    """(m, 3) the triangle across the side opposite to each corner, -1 for none."""
    count = len(triangles)
    sides = np.sort(np.concatenate([triangles[:, [1, 2]], triangles[:, [2, 0]], triangles[:, [0, 1]]]), axis=1)
    order = np.lexsort(sides.T)
    same = (sides[order[1:]] == sides[order[:-1]]).all(axis=1)
    out = np.full(3 * count, -1, dtype=np.int64)
    a, b = order[:-1][same], order[1:][same]
    out[a], out[b] = b % count, a % count
    return np.ascontiguousarray(out.reshape(3, count).T)


@njit(cache=True, nogil=True, error_model="numpy")
def _basis(knots: Floats, degree: int, z: float, piece: int, basis: Floats) -> None:
    """Cox and de Boor: the ``degree`` + 1 splines that are not zero on a piece."""
    basis[0] = 1.0
    for d in range(1, degree + 1):
        saved = 0.0
        for r in range(d):
            left, right = knots[piece + r + 1 - d], knots[piece + r + 1]
            term = basis[r] / (right - left)
            basis[r] = saved + (right - z) * term
            saved = (z - left) * term
        basis[d] = saved


@njit(cache=True, nogil=True, error_model="numpy")
def _sample(
    points: Floats, first: int, triangles: Ints, labels: Ints, beside: Ints, hollow: Floats, ways: Floats, places: Floats,
    knots: Floats, coefficients: NDArray[np.floating], out: Floats, lenient: bool, bent: bool,
) -> int:  # fmt: skip
    """Fill ``out``; the first point outside the mesh, or -1."""
    slack = 1e-9
    moving = len(ways) > 0
    pieces = len(knots) - 6
    corner = np.empty((6, 2))
    shape, basis, share, slope = np.empty(6), np.empty(6), np.empty(4), np.empty((6, 2))
    triangle = first
    height, low = np.nan, 0
    for p in range(len(points)):
        x, y, z = points[p, 0], points[p, 1], points[p, 2]
        found = z >= knots[0] and z <= knots[-1]
        if found and moving and z != height:
            at = min(max(z, ways[3]), ways[-4])
            low = min(max(np.searchsorted(ways, at, side="right") - 1, 3), len(ways) - 5)
            _basis(ways, 3, at, low, share)
        height = z
        if found:
            found = False
            came, steps, searched = -1, 0, 0
            a = b = c = 0.0
            while True:
                for i in range(6):
                    node = triangles[triangle, i]
                    if moving:
                        corner[i, 0] = corner[i, 1] = 0.0
                        for s in range(4):
                            corner[i, 0] += share[s] * places[low - 3 + s, node, 0]
                            corner[i, 1] += share[s] * places[low - 3 + s, node, 1]
                    else:
                        corner[i, 0], corner[i, 1] = places[0, node, 0], places[0, node, 1]
                x1, y1 = corner[1, 0] - corner[0, 0], corner[1, 1] - corner[0, 1]
                x2, y2 = corner[2, 0] - corner[0, 0], corner[2, 1] - corner[0, 1]
                area = x1 * y2 - x2 * y1
                b = ((x - corner[0, 0]) * y2 - (y - corner[0, 1]) * x2) / area
                c = ((y - corner[0, 1]) * x1 - (x - corner[0, 0]) * y1) / area
                if bent and b > -0.5 and c > -0.5 and b + c < 1.5:
                    # sides are bent: Newton's method on the quadratic map
                    for _ in range(6):
                        a = 1.0 - b - c
                        shape[0], shape[1], shape[2] = a * (2 * a - 1), b * (2 * b - 1), c * (2 * c - 1)
                        shape[3], shape[4], shape[5] = 4 * a * b, 4 * b * c, 4 * c * a
                        fx, fy = -x, -y
                        for i in range(6):
                            fx += shape[i] * corner[i, 0]
                            fy += shape[i] * corner[i, 1]
                        xb = xc = yb = yc = 0.0
                        slope[0, 0], slope[1, 0], slope[2, 0] = 1 - 4 * a, 4 * b - 1, 0.0
                        slope[3, 0], slope[4, 0], slope[5, 0] = 4 * (a - b), 4 * c, -4 * c
                        slope[0, 1], slope[1, 1], slope[2, 1] = 1 - 4 * a, 0.0, 4 * c - 1
                        slope[3, 1], slope[4, 1], slope[5, 1] = -4 * b, 4 * b, 4 * (a - c)
                        for i in range(6):
                            xb += slope[i, 0] * corner[i, 0]
                            yb += slope[i, 0] * corner[i, 1]
                            xc += slope[i, 1] * corner[i, 0]
                            yc += slope[i, 1] * corner[i, 1]
                        size = xb * yc - xc * yb
                        db, dc = (fx * yc - fy * xc) / size, (fy * xb - fx * yb) / size
                        b -= db
                        c -= dc
                        if abs(db) + abs(dc) < 1e-13:
                            break
                a = 1.0 - b - c
                if a >= -slack and b >= -slack and c >= -slack:
                    found = True
                    break
                # over the side that the point is farthest beyond; not back, and not out of the mesh
                go, worst = -1, -slack
                for i in range(3):
                    value = a if i == 0 else b if i == 1 else c
                    if value < worst and beside[triangle, i] >= 0 and beside[triangle, i] != came:
                        go, worst = beside[triangle, i], value
                steps += 1
                if searched == 0 and go >= 0 and steps < 200:
                    came = triangle
                    triangle = go
                    continue
                # a walk that ends at a hole: all triangles in turn
                triangle = searched
                searched += 1
                if searched > len(triangles):
                    break
            if not found:
                triangle = 0
        if found:
            label = labels[triangle]
            found = not (z >= hollow[label, 0] and z <= hollow[label, 1])
        if not found:
            if not lenient:
                return p
            for k in range(out.shape[1]):
                out[p, k] = np.nan
            continue
        shape[0], shape[1], shape[2] = a * (2 * a - 1), b * (2 * b - 1), c * (2 * c - 1)
        shape[3], shape[4], shape[5] = 4 * a * b, 4 * b * c, 4 * c * a
        i = min(max(np.searchsorted(knots, z, side="right") - 1, 5), pieces - 1)
        _basis(knots, 5, z, i, basis)
        for k in range(out.shape[1]):
            out[p, k] = 0.0
        for m in range(6):
            node = triangles[triangle, m]
            for q in range(6):
                weight = shape[m] * basis[q]
                for k in range(out.shape[1]):
                    out[p, k] += weight * coefficients[node, i - 5 + q, k]
    return -1
