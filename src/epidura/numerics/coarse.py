"""The coarsest level: some hundred functions of the plane, each times any function of z, solved directly.

The functions are those of smoothed aggregation (Vaněk, Mandel and Brezina 1996, doi:10.1007/BF02238511): nodes that are strongly coupled in the
average over z form an aggregate, and its indicator is smoothed. The nodes of a contact are an aggregate by themselves, and where the contact
is, its function stands for its one potential. What is left is a chain of blocks, one for every element of the axis, and a border of
one unknown for every contact.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.linalg import cholesky
from scipy.linalg.lapack import dtrtri
from scipy.sparse import csr_array

from epidura.numerics.blas import OneThread
from epidura.numerics.ldlt import threads
from epidura.numerics.spine import Operator, Part

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STRONG = 0.08
"""Couplings that bind an aggregate, relative to the geometric mean of both diagonal entries."""

DAMPING, SMOOTHINGS = 2 / 3, 2
"""Of the steps of Jacobi's method that smooth the indicators of the aggregates."""

FADE = 10e-3
"""Distance from the contacts at which the average over z counts half, m."""


class Coarse:
    """The operator on the span of some functions of the plane times any function of z, contacts held at one potential each.

    Args:
        operator: the matrix.
        functions: (rows, m) of the plane. On the nodes of a contact one is 1 and is its own, others are 0, but for those of contacts at
            other heights.
        mask: (contacts, r, padded) which of the last r rows and z belong to each contact.
        own: of each contact, its function.
        rest: (nz, m) where functions rest besides.
    """

    def __init__(self, operator: Operator, functions: Floats, mask: NDArray[np.bool_], own: Sequence[int], rest: NDArray[np.bool_]):
        self.operator, self.functions, self._transposed = operator, functions, np.ascontiguousarray(functions.T)
        m, nz = functions.shape[1], len(operator.z)
        blocks = self._blocks()  # [d, z]: node z + d against node z
        first = operator.layout.size - mask.shape[1]
        # unknowns of the contacts, and what may not move where they are
        self._at: list[Ints] = []
        held = rest.copy()
        held[[0, -1]] = True
        for one, function in zip(mask, own, strict=True):
            node, z = np.nonzero(one)
            z = np.unique(z)
            self._at.append(z * m + function)
            held[np.ix_(z, np.flatnonzero(functions[first + np.unique(node)].any(axis=0)))] = True
        border = np.zeros((nz, m, len(mask)))
        for c, at in enumerate(self._at):
            there, which = at // m, int(at[0] % m)
            for d in range(3):
                up, down = there[there + d < nz], there[there >= d]
                np.add.at(border[:, :, c], up + d, blocks[d, up, :, which])
                if d:
                    np.add.at(border[:, :, c], down - d, blocks[d, down - d, which, :])
        corner = np.array([border.reshape(nz * m, -1)[at].sum(axis=0) for at in self._at])
        border[held] = 0.0
        self._held, self._border = held, border.reshape(nz * m, -1)
        for d in range(3):
            later = np.zeros_like(held)
            later[: nz - d] = held[d:]
            blocks[d] *= ~(held[:, None, :] | later[:, :, None])  # columns of node z, rows of node z + d
        still = np.nonzero(held)
        blocks[0, still[0], still[1], still[1]] = 1.0
        with OneThread():
            self._chain(blocks)
            self._spread = self._solve(self._border)
        self._capacity = np.linalg.inv(corner - self._border.T @ self._spread)

    def _blocks(self) -> Floats:
        """(3, nz, m, m) of the chain: node z + d against node z."""
        o, m = self.operator, self.functions.shape[1]
        nz = len(o.z)
        with OneThread(), ThreadPoolExecutor(threads()) as pool:
            planes = np.array(list(pool.map(self._plane, o.parts)))  # (parts, 4, m, m): K, M, C, Cᵀ
        weight, at = [], []
        for i, part in enumerate(o.parts):
            span, (mass, stiffness, mixed) = part.near(o.z)
            for d in range(3):
                low = np.arange(len(mass) - d)
                high = low + d
                # C ⊗ D1ᵀ + Cᵀ ⊗ D1 at (high, low): D1[low, high] and D1[high, low]
                values = np.stack([mass[high, 2 - d], stiffness[high, 2 - d], -mixed[low, 2 + d], -mixed[high, 2 - d]])
                kept = np.arange(4 if part.sloped else 2)
                weight.append(values[kept].ravel())
                at.append(np.stack(np.broadcast_arrays(d * nz + span.start + low, (4 * i + kept)[:, None])).reshape(2, -1))
        rows, columns = np.concatenate(at, axis=1)
        mix = csr_array((np.concatenate(weight), (rows, columns)), shape=(3 * nz, 4 * len(planes)))
        out, flat, count = np.empty((3 * nz, m * m)), planes.reshape(-1, m * m), 2 * threads()
        bounds = np.linspace(0, len(out), count + 1).astype(int)

        def some(i: int) -> None:
            out[bounds[i] : bounds[i + 1]] = mix[bounds[i] : bounds[i + 1]] @ flat

        with ThreadPoolExecutor(threads()) as pool:
            list(pool.map(some, range(count)))
        return out.reshape(3, nz, m, m)

    def _plane(self, part: Part) -> Floats:
        """(4, m, m) Φᵀ K Φ, Φᵀ M Φ, Φᵀ C Φ and its transpose."""
        m = self.functions.shape[1]
        rows = np.flatnonzero(np.diff(part.pointers))
        products = np.zeros((3, len(rows), m))
        _multiply(rows, part.pointers, part.columns, part.entries, self.functions, products, part.sloped)
        k, mass, c = (self._transposed[:, rows] @ product for product in products)
        return np.stack([k, mass, c, c.T])

    def _chain(self, blocks: Floats) -> None:
        """Factorise: two nodes of the axis, an end and the middle above it, form a link; L = [inverse, below]."""
        _, nz, m, _ = blocks.shape
        links = (nz - 1) // 2  # the last end is held and left out
        self._inverse = np.zeros((links, 2 * m, 2 * m))
        self._below = np.zeros((links, m, 2 * m))  # the next end against this link
        own = np.empty((2 * m, 2 * m))
        for i in range(links):
            end, middle = 2 * i, 2 * i + 1
            own[:m, :m], own[m:, :m], own[m:, m:] = blocks[0, end], blocks[1, end], blocks[0, middle]
            if i:
                own[:m, :m] -= self._below[i - 1] @ self._below[i - 1].T
            lower = cholesky(own, lower=True, check_finite=False)
            self._inverse[i] = dtrtri(lower, lower=1)[0]
            self._below[i] = np.hstack([blocks[2, end], blocks[1, middle]]) @ self._inverse[i].T

    def _solve(self, load: Floats) -> Floats:
        """Loads (nz m, k) of the chain alone."""
        links, m = len(self._inverse), self._below.shape[1]
        y = load[: 2 * m * links].reshape(links, 2 * m, -1).copy()
        for i in range(links):
            if i:
                y[i, :m] -= self._below[i - 1] @ y[i - 1]
            y[i] = self._inverse[i] @ y[i]
        for i in range(links - 1, -1, -1):
            if i < links - 1:
                y[i] -= self._below[i].T @ y[i + 1, :m]
            y[i] = self._inverse[i].T @ y[i]
        out = np.zeros_like(load)
        out[: 2 * m * links] = y.reshape(2 * m * links, -1)
        return out

    def correct(self, x: Floats, left: Floats) -> None:
        """Add to x (rows, k, padded) the best of the space for what is ``left`` of the load; in place."""
        o, m = self.operator, self.functions.shape[1]
        rows, k, padded = left.shape
        nz = len(o.z)
        load = (self._transposed @ left.reshape(rows, k * padded)).reshape(m, k, padded)[:, :, :nz].transpose(2, 0, 1).reshape(nz * m, k)
        of_contacts = np.array([load[at].sum(axis=0) for at in self._at])
        load[self._held.ravel()] = 0.0
        y = self._solve(load)
        level = self._capacity @ (of_contacts - self._border.T @ y)
        y -= self._spread @ level
        for at, potential in zip(self._at, level, strict=True):
            y[at] = potential
        weights = np.zeros((m, k, padded))
        weights[:, :, :nz] = y.reshape(nz, m, k).transpose(1, 2, 0)
        flat, mix = x.reshape(rows, k * padded), weights.reshape(m, k * padded)
        for low in range(0, rows, 512):
            flat[low : low + 512] += self.functions[low : low + 512] @ mix


def functions(operator: Operator, mask: NDArray[np.bool_], dead: NDArray[np.bool_]) -> tuple[Floats, list[int], NDArray[np.bool_]]:
    """(rows, m) functions of the plane for ``Coarse``, of each contact its own, and (nz, m) where they rest.

    Args:
        mask: (contacts, r, padded) which of the last r rows and z belong to each contact.
        dead: (rows, nz) where nothing conducts: functions of nothing else rest there.
    """
    from pyamg.aggregation.aggregate import standard_aggregation  # loads for a quarter of a second
    from pyamg.strength import symmetric_strength_of_connection
    from scipy.sparse import csr_matrix

    size = operator.layout.size
    matrix = _average(operator, mask)
    first = size - mask.shape[1]
    rows = [first + np.flatnonzero(one.any(axis=1)) for one in mask]
    names = [one.tobytes() for one in rows]
    sets = dict(zip(names, rows, strict=True))
    held = np.zeros(size, dtype=bool)
    held[np.concatenate(rows)] = True
    free = np.flatnonzero(~held)
    core = np.zeros((size, 0))
    if len(free):
        found = standard_aggregation(symmetric_strength_of_connection(csr_matrix(matrix[free][:, free]), STRONG))[0]
        core = np.zeros((size, found.shape[1]))
        core[free] = found.toarray()
    core = np.hstack([core, np.zeros((size, len(sets)))])
    for i, one in enumerate(sets.values()):
        core[one, i - len(sets)] = 1.0
    out, diagonal = core.copy(), matrix.diagonal()
    for _ in range(SMOOTHINGS):
        out -= DAMPING * (matrix @ out) / np.where(diagonal > 0, diagonal, 1.0)[:, None]
        out[held] = core[held]
    rest = (core.T @ ~dead).T == 0
    return out, [core.shape[1] - len(sets) + list(sets).index(name) for name in names], rest


def _average(operator: Operator, mask: NDArray[np.bool_]) -> csr_array:
    """Plane stiffness, average over z around the contacts."""
    z, size = operator.z, operator.layout.size
    ends, there = z[::2], np.flatnonzero(mask.any(axis=(0, 1)))
    middle, length = 0.5 * (ends[1:] + ends[:-1]), np.diff(ends)
    away = np.clip(np.maximum(z[there[0]] - middle, middle - z[there[-1]]), 0.0, None)
    near = length / (1.0 + (away / FADE) ** 2)
    near /= near.sum()
    total = csr_array((size, size))
    for part in operator.parts:
        share = float(part.weight.mean(axis=1) @ near)
        total = total + share * csr_array((part.entries[:, 0], part.columns, part.pointers), shape=(size, size))
    return total.tocsr()


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _multiply(rows: Ints, pointers: Ints, columns: Ints, entries: Floats, f: Floats, out: Floats, steep: bool) -> None:
    m = f.shape[1]
    for at in range(len(rows)):
        for p in range(pointers[rows[at]], pointers[rows[at] + 1]):
            column = columns[p]
            for w in range(3 if steep else 2):
                v = entries[p, w]
                for i in range(m):
                    out[w, at, i] += v * f[column, i]
