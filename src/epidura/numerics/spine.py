"""A cross-section swept along z whose shape and conductivities vary on the way: matrices and their product.

The mesh of ``section`` is carried along z by a map: node i of the plane stands at ``positions[s, i]`` at station s. In
the coordinates (node, z) the equation div(σ grad V) = 0 reads

    ∫ σ_t h ∇u·∇v + σ_z / h (u_z - X'·∇u)(v_z - X'·∇v),

where X' is the slope of the node's path and h = 1 - y bend the length along z of a curved spine relative to its axis (within half
the radius of the bend; bounded beyond).
Between stations the plane integrals are interpolated linearly, so the matrix is a short sum of Kronecker products

    Σ_parts  K ⊗ M1 + M ⊗ K1 - C ⊗ D1ᵀ - Cᵀ ⊗ D1

with plane matrices K = ∫ σ_t h ∇·∇ + σ_z/h (X'·∇)(X'·∇), M = ∫ σ_z/h, C = ∫ σ_z/h v (X'·∇u) of one station and one group
of regions, and banded matrices along z weighted with the station's share and the group's conductivity there. It stays
symmetric and positive semidefinite. Where nothing changes along z one part does. Units: metres, S/m, ampere, volt.
"""

# Vectors of lanes are typed by Numba, not by mypy.
# mypy: disable-error-code="call-arg,no-any-return,var-annotated"
from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline
from scipy.sparse import csr_array, diags_array, kron

from epidura.numerics import simd
from epidura.numerics.ldlt import Plan, plan, threads
from epidura.numerics.section import Section
from epidura.numerics.simd import fill, load_at, store_at

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Packed = tuple[Ints, Ints, Ints, Floats]
"""Where each row begins and ends (parts, rows), columns and entries (entries, 4), as in ``Part``, of all parts one after the other."""

Along = tuple[Ints, Floats, NDArray[np.bool_]]
"""Windows of z in which parts have matrices along z, those matrices, and which parts slope; as ``Operator._windows`` says."""

LANES = 8
GUARD = 8
"""Zeros before and behind a window of z, so that bands can reach beyond it."""

# twelve points, exact to degree 6 (Dunavant 1985)
_POINTS, _WEIGHTS = [], []
for _a, _w in ((0.249286745170910, 0.116786275726379), (0.063089014491502, 0.050844906370207)):
    for _turn in range(3):
        _POINTS.append(np.roll([1 - 2 * _a, _a, _a], _turn))
        _WEIGHTS.append(_w)
for _turn in range(3):
    for _order in ((0.053145049844817, 0.310352451033784, 0.636502499121399), (0.310352451033784, 0.053145049844817, 0.636502499121399)):
        _POINTS.append(np.roll(_order, _turn))
        _WEIGHTS.append(0.082851075618374)
QUADRATURE, WEIGHTS = np.array(_POINTS), np.array(_WEIGHTS)

_A, _B, _C = QUADRATURE.T
SLOPES = (np.column_stack([1 - 4 * _A, 4 * _B - 1, 0 * _A, 4 * (_A - _B), 4 * _C, -4 * _C]),
          np.column_stack([1 - 4 * _A, 0 * _A, 4 * _C - 1, -4 * _B, 4 * _B, 4 * (_A - _C)]))  # of the shape functions by b and c


@dataclass(frozen=True)
class Spine:
    """A section, its way along z and its conductivities.

    Attributes:
        section: mesh of the plane; its own points are those of a reference place.
        transverse, longitudinal: (e + 1, labels) S/m below, between and above the ``edges``; 0 where nothing conducts.
        edges: (e,) rising, m: where conductivities change.
        z: (s,) rising, m: stations of the shape; as at the first and the last one beyond them.
        positions: (s, n, 2) nodes of the plane at the stations, m; None: they stay where the section has them.
        slopes: (s, n, 2) derivative of the positions along z; None with ``positions`` None.
        bend: (s,) curvature of the spine in the sagittal plane, 1/m, + concave towards larger y; None: straight.
    """

    section: Section
    transverse: Floats
    longitudinal: Floats
    edges: Floats = field(default_factory=lambda: np.zeros(0))
    z: Floats = field(default_factory=lambda: np.zeros(1))
    positions: Floats | None = None
    slopes: Floats | None = None
    bend: Floats | None = None

    def __post_init__(self) -> None:
        labels = int(self.section.labels.max()) + 1
        if not len(self.z) or not (np.diff(self.z) > 0).all() or not (np.diff(self.edges) > 0).all():
            raise ValueError("stations, at least one, and edges must rise")
        for sigma in (self.transverse, self.longitudinal):
            if sigma.ndim != 2 or len(sigma) != len(self.edges) + 1 or sigma.shape[1] < labels or not (sigma >= 0).all():
                raise ValueError(f"{len(self.edges)} edges and {labels} regions need conductivities (edges + 1, regions) that are not negative, "
                                 f"got shape {sigma.shape}")
        for array in (self.positions, self.slopes):
            if array is not None and array.shape != (len(self.z), len(self.section.points), 2):
                raise ValueError(f"positions and slopes must have the shape ({len(self.z)}, {len(self.section.points)}, 2), got {array.shape}")
        if (self.positions is None) != (self.slopes is None):
            raise ValueError("positions and slopes come together")

    @property
    def groups(self) -> list[NDArray[np.bool_]]:
        """(labels,) masks of regions whose conductivities change along z in one way: first those that do not change."""
        change = (np.ptp(self.transverse, axis=0) > 0) | (np.ptp(self.longitudinal, axis=0) > 0)
        return [~change, *(np.arange(len(change)) == label for label in np.flatnonzero(change))]

    def profile(self, label: int) -> tuple[float, float, Floats]:
        """Of a region: largest transverse and longitudinal conductivity, S/m, and (e + 1,) what share of them is there."""
        st, sl = self.transverse[:, label], self.longitudinal[:, label]
        top = int(st.argmax())
        if not st[top] > 0:
            raise ValueError(f"region {label} conducts nowhere; make it a hole")
        share = st / st[top]
        if np.abs(sl - share * sl[top]).max() > 1e-9 * sl[top]:
            raise ValueError(f"both conductivities of region {label} must change along z by the same factor")
        return float(st[top]), float(sl[top]), share


def graded_axis(stops: Floats, sizes: Floats, ends: tuple[float, float], coarse: float, growth: float, reach: float, far_growth: float) -> Floats:
    """Nodes of a quadratic axis, element ends and middles in turn, with element ends at all stops.

    Elements are as long as the smallest of size + growth x distance over the stops, at most ``coarse``; farther than ``reach``
    beyond the first and last stop they grow by ``far_growth`` per distance from there on.

    Args:
        stops: (c,) m, any order.
        sizes: (c,) length of the elements at each stop, m.
        ends: first and last node, m.
    """
    order = np.argsort(stops, kind="stable")
    stops, sizes = np.asarray(stops, dtype=float)[order], np.asarray(sizes, dtype=float)[order]
    if not ends[0] < stops[0] or not stops[-1] < ends[1]:
        raise ValueError(f"the stops, {stops[0]} to {stops[-1]} m, must lie between the ends {ends} m")

    def wanted(x: Floats) -> Floats:
        near = (sizes + growth * np.abs(x[:, None] - stops)).min(axis=1)
        beyond = np.maximum(np.maximum(stops[0] - x, x - stops[-1]) - reach, 0.0)
        return np.asarray(np.minimum(near, coarse) + far_growth * beyond)

    knots = np.concatenate([[ends[0]], np.unique(np.round(stops, 12)), [ends[1]]])
    out = [knots[:1]]
    for low, high in pairwise(knots):
        if low == ends[0] or high == ends[1]:  # far ends: fine near the stops
            away = np.concatenate(([0.0], np.geomspace(1e-5, high - low, 3000)))
            x = high - away[::-1] if low == ends[0] else low + away
        else:
            x = np.linspace(low, high, 400)
        rate = 1.0 / wanted(x)
        number = np.concatenate(([0.0], np.cumsum(np.diff(x) * 0.5 * (rate[1:] + rate[:-1]))))
        count = max(1, int(np.ceil(number[-1] - 0.1)))
        out.append(np.interp(np.arange(1, count + 1) * number[-1] / count, number, x))
        out[-1][-1] = high
    element = np.concatenate(out)
    z = np.empty(2 * len(element) - 1)
    z[::2], z[1::2] = element, 0.5 * (element[1:] + element[:-1])
    return z


def between(z: Floats, at: Floats) -> csr_array:
    """(p, nz) matrix of the quadratic elements of an axis: from values at its nodes to those at heights, at its ends beyond them.

    Args:
        z: (nz,) nodes, element ends and middles in turn, m.
        at: (p,) heights, m.
    """
    ends = z[::2]
    element = np.clip(np.searchsorted(ends, at, side="right") - 1, 0, len(ends) - 2)
    t = np.clip((at - ends[element]) / (ends[element + 1] - ends[element]), 0.0, 1.0)
    shapes = np.stack([(1 - t) * (1 - 2 * t), 4 * t * (1 - t), t * (2 * t - 1)], axis=1)
    rows, columns = np.repeat(np.arange(len(at)), 3), (2 * element[:, None] + np.arange(3)).ravel()
    return csr_array((shapes.ravel(), (rows, columns)), shape=(len(at), len(z)))


class Way:
    """How the nodes of a section move along z: cubic splines through the stations, at rest beyond them.

    Args:
        z: (s,) stations, rising, at least two, m.
        positions: (s, n, 2) m.
        bend: (s,) curvature of the spine, 1/m; None: straight.
    """

    def __init__(self, z: Floats, positions: Floats, bend: Floats | None = None):
        spline = make_interp_spline(z, positions.reshape(len(z), -1), k=3, bc_type="clamped")
        self.z, self.knots = z, np.asarray(spline.t, dtype=float)
        self.coefficients: Floats = np.ascontiguousarray(spline.c.reshape(len(spline.c), -1, 2))
        self._spline, self._slope, self._shape = spline, spline.derivative(), positions.shape[1:]
        self.bend = bend

    def at(self, z: Floats) -> tuple[Floats, Floats]:
        """Positions (len(z), n, 2) in m and their slopes."""
        inside = np.clip(z, self.z[0], self.z[-1])
        moving = ((z > self.z[0]) & (z < self.z[-1]))[:, None]
        return self._spline(inside).reshape(-1, *self._shape), (self._slope(inside) * moving).reshape(-1, *self._shape)

    def bend_at(self, z: Floats) -> Floats:
        """(len(z),) curvature, 1/m."""
        return np.zeros(len(z)) if self.bend is None else np.interp(z, self.z, self.bend)


class Layout:
    """Numbers of the unknowns: nodes of the plane off the outermost loop in the order of elimination, ``last`` at the end.

    Args:
        last: nodes that come last, in this order.
        linear: only the corners of the triangles have unknowns.

    Attributes:
        plan: of the factorisation of a plane matrix.
        node: (n,) node of the section of each row.
        row: (nodes,) row of each node of the section, -1 on the outermost loop.
        indptr, indices: pattern of a plane matrix by rows.
        entry: (m, 36), linear (m, 9), where the products of the shape functions of a triangle go; the last place collects what is grounded.
        twin: (entries,) place of the mirrored entry.
    """

    def __init__(self, section: Section, last: Ints, linear: bool = False):
        count = len(section.points)
        triangles = section.triangles[:, :3] if linear else section.triangles
        free = np.setdiff1d(np.unique(triangles) if linear else np.arange(count), section.boundary)
        place = np.full(count, -1)
        place[free] = np.arange(len(free))
        if len(last) and (place[last] < 0).any():
            raise ValueError("a ring touches the outermost loop")
        indptr, indices, _ = pattern(place[triangles], len(free))
        first = plan(indptr, indices, place[last])
        self.size = len(free)
        self.node: Ints = free[first.order]
        self.row: Ints = np.full(count, -1)
        self.row[self.node] = np.arange(self.size)
        self.indptr, self.indices, self.entry = pattern(self.row[triangles], self.size)
        rows = np.repeat(np.arange(self.size), np.diff(self.indptr))
        self.twin: Ints = np.lexsort((rows, self.indices)).astype(np.int64)
        # rows are numbered in the order of elimination from here on: the plan's entries are looked up anew
        back = np.empty(self.size, dtype=np.int64)
        back[first.order] = np.arange(self.size)
        key = back[indices] * self.size + back[np.repeat(np.arange(self.size), np.diff(indptr))]
        there = rows * self.size + self.indices
        self.plan: Plan = replace(first, entry=np.searchsorted(there, key)[first.entry], order=np.arange(self.size))


def pattern(triangles: Ints, size: int) -> tuple[Ints, Ints, Ints]:
    """Row pointers and columns of the plane matrix of the nodes >= 0, and where each pair of a triangle stands."""
    corners = triangles.shape[1]
    rows, columns = triangles[:, :, None].repeat(corners, axis=2), triangles[:, None, :].repeat(corners, axis=1)
    there = (rows >= 0) & (columns >= 0)
    key = np.where(there, rows * size + columns, -1).reshape(-1)
    unique, index = np.unique(key, return_inverse=True)
    grounded = int(unique[0] < 0)
    entry = index.reshape(-1, corners * corners) - grounded
    unique = unique[grounded:]
    entry[entry < 0] = len(unique)
    indptr = np.searchsorted(unique // size, np.arange(size + 1)).astype(np.int64)
    return indptr, (unique % size).astype(np.int64), np.ascontiguousarray(entry, dtype=np.int64)


def integrals(section: Section, points: Floats, transverse: Floats, longitudinal: Floats, entry: Ints, entries: int) -> tuple[Floats, Floats]:
    """K = ∫ σ_t ∇·∇ and M = ∫ σ_z of nodes that stand at ``points``, on a pattern of ``entries``; sides may be bent."""
    k, m = np.zeros(entries + 1), np.zeros(entries + 1)
    none = np.zeros((1, 2))
    if _assemble(points, section.triangles, section.labels, transverse, longitudinal, none, False, 0.0, entry, QUADRATURE, WEIGHTS, k, m, m) >= 0:
        raise ValueError("a triangle of the section is turned over")
    return k[:entries], m[:entries]


def plane_matrices(
    layout: Layout, section: Section, points: Floats, transverse: Floats, longitudinal: Floats,
    slopes: Floats | None = None, bend: float = 0.0,
) -> tuple[Floats, Floats, Floats | None]:  # fmt: skip
    """K, M and C of one station on the layout's pattern; C is None where nothing slopes.

    Raises:
        ValueError: a triangle that the map turns over.
    """
    size = len(layout.indices) + 1
    k, m, c = np.zeros(size), np.zeros(size), np.zeros(size)
    sloped = slopes is not None and bool(np.abs(slopes).max() > 1e-12)
    paths = slopes if slopes is not None and sloped else np.zeros((1, 2))
    worst = _assemble(
        points, section.triangles, section.labels, transverse, longitudinal, paths, sloped, bend,
        layout.entry, QUADRATURE, WEIGHTS, k, m, c,
    )  # fmt: skip
    if worst >= 0:
        x, y = points[section.triangles[worst, :3]].mean(axis=0)
        raise ValueError(f"the map turns a triangle over, near ({x * 1e3:.2f}, {y * 1e3:.2f}) mm")
    return k[:-1], m[:-1], c[:-1] if sloped else None


@njit(cache=True, nogil=True, error_model="numpy")
def _assemble(
    points: Floats, triangles: Ints, labels: Ints, transverse: Floats, longitudinal: Floats, slopes: Floats, sloped: bool, bend: float,
    entry: Ints, quadrature: Floats, weights: Floats, out_k: Floats, out_m: Floats, out_c: Floats,
) -> int:  # fmt: skip
    """Add all triangles; the first that is turned over, or -1."""
    value, gb, gc, gx, gy, along = np.empty(6), np.empty(6), np.empty(6), np.empty(6), np.empty(6), np.empty(6)
    for t in range(len(triangles)):
        st, sl = transverse[labels[t]], longitudinal[labels[t]]
        for q in range(len(weights)):
            a, b, c = quadrature[q, 0], quadrature[q, 1], quadrature[q, 2]
            value[0], value[1], value[2] = a * (2 * a - 1), b * (2 * b - 1), c * (2 * c - 1)
            value[3], value[4], value[5] = 4 * a * b, 4 * b * c, 4 * c * a
            gb[0], gb[1], gb[2], gb[3], gb[4], gb[5] = 1 - 4 * a, 4 * b - 1, 0.0, 4 * (a - b), 4 * c, -4 * c
            gc[0], gc[1], gc[2], gc[3], gc[4], gc[5] = 1 - 4 * a, 0.0, 4 * c - 1, -4 * b, 4 * b, 4 * (a - c)
            xb = xc = yb = yc = y = sx = sy = 0.0
            for i in range(6):
                node = triangles[t, i]
                xb += gb[i] * points[node, 0]
                xc += gc[i] * points[node, 0]
                yb += gb[i] * points[node, 1]
                yc += gc[i] * points[node, 1]
                y += value[i] * points[node, 1]
                if sloped:
                    sx += value[i] * slopes[node, 0]
                    sy += value[i] * slopes[node, 1]
            size = xb * yc - xc * yb
            if not size > 0.0:
                return t
            if st == 0.0 and sl == 0.0:
                continue
            # far beyond the centre of the bend there is no body; there h goes on to a positive constant
            h = 1.0 - bend * y
            if h < 0.5:
                h = 0.5 - 0.25 * (1.0 - np.exp((h - 0.5) / 0.25))
            elif h > 1.5:
                h = 1.5 + 0.25 * (1.0 - np.exp((1.5 - h) / 0.25))
            weight = 0.5 * weights[q] * size
            for i in range(6):
                gx[i] = (gb[i] * yc - gc[i] * yb) / size
                gy[i] = (gc[i] * xb - gb[i] * xc) / size
                along[i] = sx * gx[i] + sy * gy[i]
            wt, wl = weight * st * h, weight * sl / h
            for i in range(6):
                for j in range(6):
                    e = entry[t, 6 * i + j]
                    out_k[e] += wt * (gx[i] * gx[j] + gy[i] * gy[j])
                    out_m[e] += wl * value[i] * value[j]
                    if sloped:
                        out_k[e] += wl * along[i] * along[j]
                        out_c[e] += wl * value[i] * along[j]
    return -1


def banded(z: Floats, weight: Floats) -> Floats:
    """Mass, stiffness and slope matrices of the quadratic axis, weighted; (3, nz, 5), entry [i, d] for the pair (i, i + d - 2).

    The slope matrix holds ∫ w φ_i φ_j'.

    Args:
        weight: (elements, 2) weight at both ends of every element, linear between.
    """
    h = z[2::2] - z[:-2:2]
    local = (weight @ _ON_ELEMENT).reshape(len(h), 3, 3, 3)  # (elements, kind, a, b)
    local *= np.stack([0.5 * h, 2.0 / h, np.ones(len(h))], axis=1)[:, :, None, None]
    out = np.zeros((3, len(z), 5))
    for a in range(3):
        for b in range(3):
            out[:, a : a + 2 * len(h) : 2, b - a + 2] += local[:, :, a, b].T
    return out


def _on_element() -> Floats:
    """(2, 27) mass, stiffness and slope matrices (3, 3) of the element from -1 to 1, with a weight that falls, and with one that rises."""
    t, w = np.polynomial.legendre.leggauss(4)
    shape = np.stack([t * (t - 1) / 2, 1 - t * t, t * (t + 1) / 2])
    slope = np.stack([t - 0.5, -2 * t, t + 0.5])
    weights = 0.5 * np.stack([1 - t, 1 + t]) * w
    return np.stack([np.einsum("eq,aq,bq->eab", weights, one, other) for one, other in ((shape, shape), (slope, slope), (shape, slope))],
                    axis=1).reshape(2, 27)


_ON_ELEMENT = _on_element()


def dense(band: Floats) -> Floats:
    """(nz, nz) matrix of bands (nz, 5) as ``banded`` gives them."""
    nz = len(band)
    out = np.zeros((nz, nz))
    for d in range(5):
        at = np.arange(max(0, 2 - d), min(nz, nz + 2 - d))
        out[at, at + d - 2] = band[at, d]
    return out


def axis_matrices(z: Floats) -> tuple[Floats, Floats]:
    """Stiffness and mass of the quadratic axis, dense (nz, nz)."""
    mass, stiffness, _ = banded(z, np.ones((len(z) // 2, 2)))
    return dense(stiffness), dense(mass)


@dataclass(frozen=True)
class Part:
    """The plane matrices K, M and C of one station and one group of regions, and where along z they count.

    Attributes:
        station: of the shape.
        group: which of ``Spine.groups``.
        pointers: (rows + 1,) where each row begins; only entries that are not zero are kept.
        columns: (entries,) of the plane matrices.
        entries: (entries, 4) of K, M, C and Cᵀ.
        sloped: whether C is there.
        weight: (elements, 2) at both ends of every element of the axis.
    """

    station: int
    group: int
    pointers: Ints
    columns: Ints
    entries: Floats
    sloped: bool
    weight: Floats

    def diagonal(self) -> Floats:
        """(rows, 3) of K, M and C."""
        size = len(self.pointers) - 1
        own = np.flatnonzero(np.repeat(np.arange(size), np.diff(self.pointers)) == self.columns)
        out = np.zeros((size, 3))
        out[self.columns[own]] = self.entries[own, :3]
        return out

    def near(self, z: Floats) -> tuple[slice, Floats]:
        """The nodes of the axis z that the part reaches, and its mass, stiffness and slope matrices there (3, nodes, 5)."""
        there = np.flatnonzero(self.weight.any(axis=1))
        span = slice(2 * int(there[0]), 2 * int(there[-1]) + 3)
        return span, banded(z[span], self.weight[there[0] : there[-1] + 1])


class Operator:
    """The matrix of a spine on an axis; vectors have the shape (rows, k, padded nz) and vanish at both ends of the axis.

    Args:
        z: (nz,) nodes of a quadratic axis; stations and edges within it must be ends of elements.
        parts: if they are known already.
        along: their bands along z, in the same case.
    """

    def __init__(self, spine: Spine, layout: Layout, z: Floats, parts: list[Part] | None = None, along: Along | None = None):
        self.spine, self.layout, self.z = spine, layout, z
        self.padded = _padded(len(z))
        ends = z[::2]
        stops = np.clip(np.concatenate([spine.z if len(spine.z) > 1 else spine.edges, spine.edges]), z[0], z[-1])
        if len(stops) and np.abs(ends[np.abs(ends[:, None] - stops).argmin(axis=0)] - stops).max() > 1e-9:
            raise ValueError("every station and edge must be an end of an element of the axis")
        self.interval = np.searchsorted(spine.edges, 0.5 * (ends[1:] + ends[:-1]))  # (elements,) row of the conductivities
        self.parts = self._parts(hats(spine.z, ends)) if parts is None else parts
        self.packed = self._pack()
        _, _, columns, entries = self.packed
        # parts keep views of what is packed, no copies
        bounds = np.cumsum([0, *(len(part.columns) for part in self.parts)])
        self.parts = [replace(part, columns=columns[a:b], entries=entries[a:b]) for part, (a, b) in zip(self.parts, pairwise(bounds), strict=True)]
        self.along: Along = (*self._windows(), np.array([part.sloped for part in self.parts])) if along is None else along

    def _parts(self, hats: list[tuple[int, Floats]]) -> list[Part]:
        spine, wanted = self.spine, []
        for g, group in enumerate(spine.groups):
            if not group.any():
                continue
            if g == 0:
                st, sl, share = spine.transverse[0] * group, spine.longitudinal[0] * group, np.ones(len(spine.edges) + 1)
            else:
                label = int(np.flatnonzero(group)[0])
                top, along, share = spine.profile(label)
                st, sl = top * group, along * group
            for station, hat in hats:
                weight = hat * share[self.interval][:, None]
                if weight.any():
                    wanted.append((station, g, st, sl, weight))
        with ThreadPoolExecutor(threads()) as pool:
            return list(pool.map(lambda w: self._part(*w), wanted))

    def _part(self, s: int, group: int, transverse: Floats, longitudinal: Floats, weight: Floats) -> Part:
        spine, layout = self.spine, self.layout
        points = spine.section.points if spine.positions is None else spine.positions[s]
        slopes = None if spine.slopes is None else spine.slopes[s]
        bend = 0.0 if spine.bend is None else float(spine.bend[s])
        try:
            k, m, c = plane_matrices(layout, spine.section, points, transverse, longitudinal, slopes, bend)
        except ValueError as failure:
            raise ValueError(f"{failure} at z = {spine.z[s] * 1e3:.2f} mm") from None
        there = np.flatnonzero((k != 0) | (m != 0))
        entries = np.zeros((len(there), 4))
        entries[:, 0], entries[:, 1] = k[there], m[there]
        if c is not None:
            entries[:, 2], entries[:, 3] = c[there], c[layout.twin][there]
        return Part(s, group, np.searchsorted(there, layout.indptr), layout.indices[there], entries, c is not None, weight)

    def _pack(self) -> Packed:
        """All parts one after the other."""
        used = np.cumsum([0, *(len(part.columns) for part in self.parts)])
        pointers = np.array([start + part.pointers for start, part in zip(used[:-1], self.parts, strict=True)])
        begin, end = np.ascontiguousarray(pointers[:, :-1]), np.ascontiguousarray(pointers[:, 1:])
        return begin, end, np.concatenate([part.columns for part in self.parts]), np.concatenate([part.entries for part in self.parts])

    def triangles(self) -> tuple[Packed, Packed]:
        """What is packed of the columns before the row, and after it."""
        begin, end, columns, entries = self.packed
        before, after = _split(begin, end, columns)
        return (begin, before, columns, entries), (after, end, columns, entries)

    def _windows(self) -> tuple[Ints, Floats]:
        """Slabs (part, first z, width, where their bands start) and the bands, 20 per z: mass, stiffness, D1ᵀ, D1."""
        slabs, bands = [], []
        used = 0
        for i, part in enumerate(self.parts):
            there = np.flatnonzero(part.weight.any(axis=1))
            for run in np.split(there, np.flatnonzero(np.diff(there) > 4) + 1):
                weight = np.zeros_like(part.weight)
                weight[run] = part.weight[run]
                all_bands = banded(self.z, weight)
                first, final = 2 * int(run[0]), 2 * int(run[-1]) + 2
                begin = first // LANES * LANES
                width = -(-(final + 1 - begin) // LANES) * LANES
                room = np.zeros((4, 5, width))
                at = np.arange(max(first, 1), min(final, len(self.z) - 2) + 1)  # both ends of the axis are grounded
                for which, source in enumerate((0, 1, 2, 2)):
                    for d in range(5):
                        other = at + d - 2
                        fits = (other >= 1) & (other <= len(self.z) - 2)
                        rows, column = (other, 4 - d) if which == 2 else (at, d)  # D1ᵀ[a, b] = D1[b, a]
                        room[which, d, at[fits] - begin] = all_bands[source][rows[fits], column]
                slabs.append((i, begin, width, used))
                bands.append(room.reshape(-1))
                used += room.size
        return np.array(slabs, dtype=np.int64), simd.aligned(np.concatenate(bands))

    def zeros(self, k: int) -> Floats:
        return self.zeros_of(self.layout.size, k)

    def zeros_of(self, rows: int, k: int) -> Floats:
        """Vectors of some rows only."""
        shape = rows, k, self.padded
        return simd.zeros(math.prod(shape), float).reshape(shape)

    def apply(self, x: Floats, out: Floats | None = None) -> Floats:
        """The product with vectors (rows, k, padded nz)."""
        return self.run(self.packed, x, np.empty_like(x) if out is None else out)

    def residual(self, x: Floats, load: Floats, out: Floats) -> Floats:
        """out = load - A x."""
        return self.run(self.packed, x, out, load, -1.0)

    def run(self, packed: Packed, x: Floats, out: Floats, load: Floats | None = None, sign: float = 1.0, first: int = 0) -> Floats:
        """out = load + sign A x, with those entries of A that are ``packed``; no load is none.

        Args:
            first: of the rows that are wanted; ``out`` begins there.
        """
        count = threads()
        given = x if load is None else load

        def some(start: int) -> None:
            _apply(first, start, count, *packed, *self.along, x.reshape(-1), given.reshape(-1), load is not None, sign, out.reshape(-1),
                   x.shape[1], self.padded)

        with ThreadPoolExecutor(count) as pool:
            list(pool.map(some, range(count)))
        return out

    def matrix(self) -> csr_array:
        """The whole matrix, assembled, rows by plane node, then z without both ends: for AMG and tests."""
        size, nz = self.layout.size, len(self.z)

        def axial(band: Floats) -> csr_array:
            whole = diags_array([band[max(0, 2 - d) : nz - max(0, d - 2), d] for d in range(5)], offsets=[d - 2 for d in range(5)], shape=(nz, nz))
            return whole.tocsr()[1:-1, 1:-1]

        total = csr_array((size * (nz - 2),) * 2)
        for part in self.parts:
            mass, stiffness, mixed = (axial(b) for b in banded(self.z, part.weight))
            k, m, c = (csr_array((part.entries[:, which], part.columns, part.pointers), shape=(size, size)) for which in range(3))
            total = total + kron(k, mass) + kron(m, stiffness)
            if part.sloped:
                cross = kron(c, mixed.T)
                total = total - cross - cross.T
        return total.tocsr()


@njit(cache=True, nogil=True, error_model="numpy")
def _split(begin: Ints, end: Ints, columns: Ints) -> tuple[Ints, Ints]:
    """Of rows whose columns rise: where those before the row end, and where those after it begin."""
    before, after = np.empty_like(begin), np.empty_like(begin)
    for part in range(begin.shape[0]):
        for i in range(begin.shape[1]):
            at = begin[part, i]
            while at < end[part, i] and columns[at] < i:
                at += 1
            before[part, i] = at
            after[part, i] = at + 1 if at < end[part, i] and columns[at] == i else at
    return before, after


def hats(stations: Floats, ends: Floats) -> list[tuple[int, Floats]]:
    """(station, (elements, 2) its weight at both ends of every element); the weights of all stations sum to 1."""
    out = []
    for s in range(len(stations)):
        if len(stations) == 1:
            hat = np.ones(len(ends))
        else:
            peak = np.zeros(len(stations))
            peak[s] = 1.0
            hat = np.interp(ends, stations, peak)
            hat[np.abs(hat) < 1e-12] = 0.0
        out.append((s, np.column_stack((hat[:-1], hat[1:]))))
    return out


def _padded(count: int) -> int:
    """A number of groups of lanes that is odd: rows of a vector then do not fall on the same lines of the cache."""
    groups = -(-count // LANES)
    return LANES * (groups + 1 - groups % 2)


@njit(cache=True, nogil=True, error_model="numpy")
def _apply(
    first: int, start: int, count: int, begin: Ints, end: Ints, indices: Ints, entries: Floats, slabs: Ints, bands: Floats, sloped: NDArray[np.bool_],
    x: Floats, load: Floats, loaded: bool, sign: float, out: Floats, k: int, padded: int,
) -> None:  # fmt: skip
    """out = sign A x, to which the load is added if it is ``loaded``: from row ``first`` on every ``count``-th, the ``start``-th to begin with."""
    widest = 0
    for s in range(len(slabs)):
        widest = max(widest, slabs[s, 2])
    room = widest + 2 * GUARD
    work = np.zeros(4 * room)
    zero = fill(x, 0.0)
    for i in range(first + start, begin.shape[1], count):
        for c in range(k):
            base, to = (i * k + c) * padded, ((i - first) * k + c) * padded
            for g in range(0, padded, LANES):
                store_at(out, to + g, load_at(load, base + g) if loaded else zero)
            _row(i, c, begin, end, indices, entries, slabs, bands, sloped, x, out, to, k, padded, sign, work, room)


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def _row(
    i: int, c: int, begin: Ints, end: Ints, indices: Ints, entries: Floats, slabs: Ints, bands: Floats, sloped: NDArray[np.bool_],
    x: Floats, out: Floats, to: int, k: int, padded: int, sign: float, work: Floats, room: int,
) -> None:  # fmt: skip
    """Add sign times row i of the product for right-hand side c to ``out`` from ``to`` on."""
    zero = fill(x, 0.0)
    for s in range(len(slabs)):
        m, low, width, where = slabs[s, 0], slabs[s, 1], slabs[s, 2], slabs[s, 3]
        p0, p1 = begin[m, i], end[m, i]
        if p0 == p1:
            continue
        steep = sloped[m]
        for g in range(0, width, LANES):
            a, b, d, e = zero, zero, zero, zero
            if steep:
                for p in range(p0, p1):
                    v = load_at(x, (indices[p] * k + c) * padded + low + g)
                    a = a + v * entries[p, 0]
                    b = b + v * entries[p, 1]
                    d = d + v * entries[p, 2]
                    e = e + v * entries[p, 3]
                store_at(work, 2 * room + GUARD + g, d)
                store_at(work, 3 * room + GUARD + g, e)
            else:
                for p in range(p0, p1):
                    v = load_at(x, (indices[p] * k + c) * padded + low + g)
                    a = a + v * entries[p, 0]
                    b = b + v * entries[p, 1]
            store_at(work, GUARD + g, a)
            store_at(work, room + GUARD + g, b)
        for n in range(4):
            store_at(work, n * room + GUARD + width, zero)
        for g in range(0, width, LANES):
            y = zero
            for t in range(5):
                y = y + load_at(bands, where + t * width + g) * load_at(work, GUARD + g + t - 2)
                y = y + load_at(bands, where + (5 + t) * width + g) * load_at(work, room + GUARD + g + t - 2)
                if steep:
                    y = y - load_at(bands, where + (10 + t) * width + g) * load_at(work, 2 * room + GUARD + g + t - 2)
                    y = y - load_at(bands, where + (15 + t) * width + g) * load_at(work, 3 * room + GUARD + g + t - 2)
            store_at(out, to + low + g, load_at(out, to + low + g) + y * sign)


def gram(x: Floats, y: Floats) -> Floats:
    """xᵀ y of vectors (rows, k, padded nz), (k, k); x and y may have other numbers of right-hand sides."""
    count = threads()
    edges = np.linspace(0, len(x), count + 1).astype(int)
    with ThreadPoolExecutor(count) as pool:
        parts = pool.map(lambda i: np.matmul(x[edges[i] : edges[i + 1]], y[edges[i] : edges[i + 1]].transpose(0, 2, 1)).sum(axis=0), range(count))
    out: Floats = sum(parts)
    return out


def combine(x: Floats, weights: Floats, out: Floats, sign: float = 1.0) -> None:
    """out += sign x weights: right-hand sides of x (rows, k, padded nz) mixed by (k, m) and added to out (rows, m, padded nz)."""
    count = threads()
    edges = np.linspace(0, len(x), count + 1).astype(int)
    mix = np.ascontiguousarray(sign * weights)

    def some(i: int) -> None:
        _combine(x[edges[i] : edges[i + 1]].reshape(-1), mix, out[edges[i] : edges[i + 1]].reshape(-1), x.shape[2])

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(some, range(count)))


@njit(cache=True, nogil=True, error_model="numpy")
def _combine(x: Floats, mix: Floats, out: Floats, padded: int) -> None:
    k, m = mix.shape
    for row in range(len(x) // (k * padded)):
        for g in range(0, padded, LANES):
            for to in range(m):
                at = (row * m + to) * padded + g
                y = load_at(out, at)
                for c in range(k):
                    y = y + load_at(x, (row * k + c) * padded + g) * mix[c, to]
                store_at(out, at, y)
