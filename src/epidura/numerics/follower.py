"""The nodes of a section carried smoothly along with some whose displacement is given, as the outlines and leads of a canal.

First a Laplace problem on the mesh, stiffer in small triangles, so that they keep their shape and large ones give way. Where that squeezes
a triangle too hard, as in a thin horn of the grey matter or between a lead and the dura, nodes beside it give way one after the other.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import splu

from epidura.numerics.section import Section
from epidura.numerics.spine import QUADRATURE, SLOPES, WEIGHTS, integrals, pattern

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SQUEEZED, ELASTIC = 0.35, 0.005
"""Share of its size that a triangle should keep everywhere when it moves, and the weight of strains beside what it lacks of that."""

SWEEPS, SETTLED = 100, 3e-3
"""How often nodes give way at most, and the strain of a side below which nothing more is said about it."""

_TRIES, _HALVINGS = 6, 8  # of Newton's method for one node, and of its step


class Follower:
    """Moves the nodes of a section smoothly with those whose displacement is given.

    Args:
        fixed: (n,) nodes whose displacement is given; the outermost loop among them.
    """

    def __init__(self, section: Section, fixed: NDArray[np.bool_]):
        self.section, self.fixed = section, fixed
        self.sizes = _sizes(section, section.points)
        n, m = len(section.points), len(section.triangles)
        corners = section.points[section.triangles[:, :3]]
        a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        stiff = 2.0 / np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
        indptr, indices, entry = pattern(section.triangles, n)
        values, _ = integrals(replace(section, labels=np.arange(m)), section.points, stiff, stiff, entry, len(indices))
        free = csr_array((values, indices, indptr), shape=(n, n))[~fixed]
        self.factor = splu(free[:, ~fixed].tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
        self.given = free[:, fixed]
        # (6 m,) corners of all triangles by the node that they are
        around = section.triangles.reshape(-1)
        self.around = np.argsort(around, kind="stable")
        self.begin = np.concatenate([[0], np.cumsum(np.bincount(around, minlength=n))])

    def shrinkage(self, points: Floats) -> Floats:
        """As the function, of the section."""
        return np.asarray((_sizes(self.section, points) / self.sizes).min(axis=1))

    def follow(self, moved: Floats) -> None:
        """Fill in the displacements (s, n, 2) of the other nodes, m, in place."""
        self._carry(moved)
        for s in range(len(moved)):
            start = self.section.points + moved[s]
            squeezed = self.shrinkage(start) < SQUEEZED
            if not squeezed.any():
                continue
            points, awake, free = start.copy(), np.zeros(len(start), dtype=bool), ~self.fixed
            awake[self.section.triangles[squeezed]] = True
            for _ in range(SWEEPS):
                _give_way(points, start, self.section.points, self.section.triangles, free, self.begin, self.around, self.sizes, *SLOPES, WEIGHTS,
                          awake)
                if not awake.any():
                    break
            # given displacements stay as they are, to the last digit
            moved[s, free] = (points - self.section.points)[free]

    def _carry(self, moved: Floats) -> None:
        """As ``follow``, by the Laplace problem alone."""
        given = moved[:, self.fixed].transpose(1, 0, 2).reshape(int(self.fixed.sum()), -1)
        solved = self.factor.solve(-(self.given @ given))
        moved[:, ~self.fixed] = solved.reshape(len(solved), len(moved), 2).transpose(1, 0, 2)


def shrinkage(section: Section, points: Floats) -> Floats:
    """(m,) of each triangle the smallest size of its map at the quadrature points, relative to what it was; negative: turned over."""
    # a share that is no number stays
    return np.asarray((_sizes(section, points) / _sizes(section, section.points)).min(axis=1))


def _sizes(section: Section, points: Floats) -> Floats:
    """(m, q) determinants of the maps of the triangles at the quadrature points."""
    out = np.empty((len(section.triangles), len(QUADRATURE)))
    _determinants(points, section.triangles, *SLOPES, out)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _determinants(points: Floats, triangles: Ints, by_b: Floats, by_c: Floats, out: Floats) -> None:
    for t in range(len(triangles)):
        for q in range(len(by_b)):
            xb, yb, xc, yc = _map(points, triangles[t], by_b[q], by_c[q])
            out[t, q] = xb * yc - yb * xc


@njit(cache=True, nogil=True, error_model="numpy")
def _map(points: Floats, triangle: Ints, by_b: Floats, by_c: Floats) -> tuple[float, float, float, float]:
    """Slopes of x and y by b, and by c, at one point of a triangle."""
    xb = yb = xc = yc = 0.0
    for i in range(6):
        x, y = points[triangle[i], 0], points[triangle[i], 1]
        xb += by_b[i] * x
        yb += by_b[i] * y
        xc += by_c[i] * x
        yc += by_c[i] * y
    return xb, yb, xc, yc


@njit(cache=True, nogil=True, error_model="numpy")
def _give_way(
    points: Floats, start: Floats, home: Floats, triangles: Ints, free: NDArray[np.bool_], begin: Ints, around: Ints, sizes: Floats,
    by_b: Floats, by_c: Floats, weights: Floats, awake: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Each free node that is ``awake`` goes to where its triangles lack least of ``SQUEEZED`` and the sides beside it are strained least by what they
    moved since ``start``; a corner takes the free middles of its sides half the way along. Nodes beside one that moved wake up.

    The size at a point of a triangle is linear in such a displacement: it changes the map by a matrix of rank one. So the squares of what is
    lacked are convex in it, and Newton's method with shorter steps finds the least.
    """
    most = 0
    for v in range(len(free)):
        most = max(most, begin[v + 1] - begin[v])
    share = np.empty((most * len(weights), 3))
    for v in range(len(free)):
        called = awake[v] and free[v]
        awake[v] = False
        if not called:
            continue
        count = 0
        stiff = pull_x = pull_y = 0.0
        for p in range(begin[v], begin[v + 1]):
            t, own = around[p] // 6, around[p] % 6
            before, after = 3 + (own + 2) % 3, 3 + own
            for q in range(len(weights)):
                xb, yb, xc, yc = _map(points, triangles[t], by_b[q], by_c[q])
                b, c = by_b[q, own], by_c[q, own]
                if own < 3:
                    for middle in (before, after):
                        if free[triangles[t, middle]]:
                            b += 0.5 * by_b[q, middle]
                            c += 0.5 * by_c[q, middle]
                share[count, 0] = (xb * yc - yb * xc) / sizes[t, q]
                share[count, 1] = (b * yc - c * yb) / sizes[t, q]
                share[count, 2] = (c * xb - b * xc) / sizes[t, q]
                count += 1
            if own < 3:
                for k in (1, 2):
                    other = triangles[t, (own + k) % 3]
                    w = ELASTIC / _squared(home, v, other)
                    stiff += w
                    pull_x += w * (points[other, 0] - start[other, 0] - points[v, 0] + start[v, 0])
                    pull_y += w * (points[other, 1] - start[other, 1] - points[v, 1] + start[v, 1])
            else:
                for end in (triangles[t, own - 3], triangles[t, (own - 2) % 3]):
                    w = 0.5 * ELASTIC / _squared(home, v, end)  # two halves in a row are half as stiff as one
                    stiff += w
                    pull_x += w * (points[end, 0] - start[end, 0] - points[v, 0] + start[v, 0])
                    pull_y += w * (points[end, 1] - start[end, 1] - points[v, 1] + start[v, 1])
        x, y = _least(share[:count], weights, stiff, pull_x, pull_y)
        points[v, 0] += x
        points[v, 1] += y
        wakes = (x * x + y * y) * stiff > SETTLED * SETTLED * ELASTIC
        for p in range(begin[v], begin[v + 1]):
            t, own = around[p] // 6, around[p] % 6
            if own < 3:
                for middle in (3 + (own + 2) % 3, 3 + own):
                    node = triangles[t, middle]
                    if free[node]:  # met in both triangles of its side
                        points[node, 0] += 0.25 * x
                        points[node, 1] += 0.25 * y
            if wakes:
                for i in range(6):
                    if triangles[t, i] != v:
                        awake[triangles[t, i]] = True


@njit(cache=True, nogil=True, error_model="numpy")
def _squared(home: Floats, a: int, b: int) -> float:
    x, y = home[a, 0] - home[b, 0], home[a, 1] - home[b, 1]
    return x * x + y * y


@njit(cache=True, nogil=True, error_model="numpy")
def _energy(share: Floats, weights: Floats, stiff: float, pull_x: float, pull_y: float, x: float, y: float) -> float:
    """Of a displacement of a node: what its triangles lack, and the strain of the sides beside it; a constant is left out."""
    total = stiff * (x * x + y * y) - 2.0 * (pull_x * x + pull_y * y)
    for j in range(len(share)):
        lacks = SQUEEZED - (share[j, 0] + share[j, 1] * x + share[j, 2] * y)
        if lacks > 0.0:
            total += weights[j % len(weights)] * lacks * lacks
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _least(share: Floats, weights: Floats, stiff: float, pull_x: float, pull_y: float) -> tuple[float, float]:
    """The displacement of least energy.

    Args:
        share: (points, 3) of its size at each point of the triangles beside the node, and how that grows with its x and y, 1/m.
        stiff, pull_x, pull_y: of the strains.
    """
    x = y = 0.0
    now = _energy(share, weights, stiff, pull_x, pull_y, x, y)
    for _ in range(_TRIES):
        xx, xy, yy = stiff, 0.0, stiff
        fx, fy = pull_x - stiff * x, pull_y - stiff * y
        for j in range(len(share)):
            lacks = SQUEEZED - (share[j, 0] + share[j, 1] * x + share[j, 2] * y)
            if lacks > 0.0:
                w = weights[j % len(weights)]
                xx += w * share[j, 1] * share[j, 1]
                xy += w * share[j, 1] * share[j, 2]
                yy += w * share[j, 2] * share[j, 2]
                fx += w * lacks * share[j, 1]
                fy += w * lacks * share[j, 2]
        det = xx * yy - xy * xy
        dx, dy = (yy * fx - xy * fy) / det, (xx * fy - xy * fx) / det
        then = now
        for _ in range(_HALVINGS):
            then = _energy(share, weights, stiff, pull_x, pull_y, x + dx, y + dy)
            if then < now:
                break
            dx *= 0.5
            dy *= 0.5
        if not then < now:
            break
        x += dx
        y += dy
        if now - then < 1e-6 * abs(now):
            break
        now = then
    return x, y
