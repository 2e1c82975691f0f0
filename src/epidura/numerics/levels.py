"""Three levels for contacts in a spine that varies along z: quadratic elements, linear ones, some hundred functions of the plane.

Only the plane is coarsened; the axis, and with it every edge of a contact, stays as it is on all levels, and every level has the tissue
and the shape that are there at each height. The linear functions on the corners of the triangles are quadratic ones too, so the
matrix of the second level is the first one's on part of its space (Galerkin), and so is the third's. Each level but the last is
smoothed in lines along z (``lines``), the last is solved (``coarse``). One cycle down and up is symmetric.
"""

# Vectors of lanes are typed by Numba, not by mypy.
# mypy: disable-error-code="call-arg,no-any-return,var-annotated"
from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from epidura.numerics.coarse import Coarse, functions
from epidura.numerics.ldlt import threads
from epidura.numerics.lines import Lines
from epidura.numerics.simd import fill, load_at, store_at
from epidura.numerics.spine import LANES, Layout, Operator, Part, combine, gram

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SWEEPS = 2
"""Sweeps of the second level before and after the third: it costs a fifth of the first."""

Triples = tuple[Ints, Ints, Floats]
"""Pointers, columns and entries of a sparse matrix by rows."""


class Levels:
    """The preconditioner.

    Args:
        operator: the matrix.
        mask: (contacts, r, padded) which of the last r rows and z belong to each contact.
        watch: told the share that is prepared; may raise to end the work.
    """

    def __init__(self, operator: Operator, mask: NDArray[np.bool_], watch: Callable[[float], None] | None = None):
        say = watch or (lambda share: None)
        say(0.0)
        with ThreadPoolExecutor(1) as beside:
            fine = beside.submit(Lines, operator, mask)
            self.middle, self._up, self._down, kept = linear(operator, mask)
            inner = mask[:, kept]
            self.linear = Lines(self.middle, inner)
            say(0.3)
            found, own, rest = functions(self.middle, inner, self.linear.dead)
            self.coarse = Coarse(self.middle, found, inner, own, rest)
            self.fine = fine.result()

    def __call__(self, load: Floats, out: Floats | None = None, room: Floats | None = None) -> Floats:
        """Loads (rows, k, padded) -> approximate potentials, constant on every contact.

        Args:
            out, room: arrays of this shape, for the result and to work in: fresh memory costs as much as a product.
        """
        out = np.empty_like(load) if out is None else out
        room = np.empty_like(load) if room is None else room
        self.fine.start(out, load, room)
        below = self.second(_product(self._down, room, self.middle.zeros(load.shape[1])))
        _product(self._up, below, out)
        self.fine.smooth(out, load, backward=True)
        return out

    def second(self, load: Floats) -> Floats:
        """The cycle from the second level on."""
        x = np.empty_like(load)
        self.linear.start(x, load)
        for _ in range(SWEEPS - 1):
            self.linear.smooth(x, load)
        self.coarse.correct(x, self.middle.residual(x, load, np.empty_like(load)))
        for _ in range(SWEEPS):
            self.linear.smooth(x, load, backward=True)
        return x

    def correct(self, x: Floats, left: Floats) -> Floats:
        """Add to x the best mixture of one cycle for each right-hand side from the second level on, for what is ``left`` of the loads; by how much
        that lowers the energy of each, (k,)."""
        load = _product(self._down, left, self.middle.zeros(left.shape[1]))
        y = self.second(load)
        energy = gram(y, self.middle.apply(y))
        gain = gram(y, load)
        mix = np.linalg.pinv(0.5 * (energy + energy.T), rcond=1e-13, hermitian=True) @ gain
        best = np.zeros_like(y)
        combine(y, mix, best)
        _product(self._up, best, x)
        return np.einsum("ij,ij->j", mix, gain)


def linear(operator: Operator, mask: NDArray[np.bool_]) -> tuple[Operator, Triples, Triples, Ints]:
    """The operator on linear functions of the plane; from its rows to those of the operator, the transpose, and which of the last rows it has.

    The linear function of a corner is 1 there and 1/2 in the middles of its sides. The middle of a side at the edge of a contact takes all of
    the corner that is on the contact, so that functions that are constant on its corners are so on all of it.
    """
    fine, section = operator.layout, operator.spine.section
    first = fine.size - fine.plan.last
    last = fine.node[first:]
    corners = np.unique(section.triangles[:, :3])
    kept = np.flatnonzero(np.isin(last, corners))
    layout = Layout(section, last[kept], linear=True)
    sides = np.concatenate([section.triangles[:, [3 + e, e, (e + 1) % 3]] for e in range(3)])
    sides = sides[np.unique(sides[:, 0], return_index=True)[1]]
    half = np.full((len(sides), 2), 0.5)
    for on in np.unique(mask.any(axis=2), axis=0):
        contact = np.zeros(len(section.points), dtype=bool)
        contact[last[on]] = True
        there = contact[sides[:, 0]]
        half[there] *= contact[sides[there, 1:]]
    total = half.sum(axis=1, keepdims=True)
    if not (total > 0).all():
        raise ValueError("a contact ends within a side of the mesh; its edges must be corners of triangles")
    half /= total
    rows = np.concatenate([fine.row[corners], fine.row[sides[:, 0]], fine.row[sides[:, 0]]])
    columns = np.concatenate([layout.row[corners], layout.row[sides[:, 1]], layout.row[sides[:, 2]]])
    values = np.concatenate([np.ones(len(corners)), half[:, 0], half[:, 1]])
    there = (rows >= 0) & (columns >= 0) & (values > 0)
    rows, columns, values = rows[there], columns[there], values[there]
    up, down = _triples(rows, columns, values, fine.size), _triples(columns, rows, values, layout.size)

    def part(own: Part) -> Part:
        entries = np.zeros((len(layout.indices), 4))
        _reduce(own.pointers, own.columns, own.entries, *up, layout.indptr, layout.indices, entries)
        used = np.flatnonzero(entries[:, :2].any(axis=1))
        return replace(own, pointers=np.searchsorted(used, layout.indptr), columns=layout.indices[used], entries=entries[used])

    with ThreadPoolExecutor(threads()) as pool:
        parts = list(pool.map(part, operator.parts))
    return Operator(operator.spine, layout, operator.z, parts, operator.along), up, down, kept


def _triples(rows: Ints, columns: Ints, values: Floats, size: int) -> Triples:
    order = np.lexsort((columns, rows))
    return np.searchsorted(rows[order], np.arange(size + 1)).astype(np.int64), columns[order], values[order]


@njit(cache=True, nogil=True, error_model="numpy")
def _reduce(
    pointers: Ints, columns: Ints, entries: Floats, start: Ints, to: Ints, weight: Floats, indptr: Ints, indices: Ints, out: Floats,
) -> None:  # fmt: skip
    """out += Pᵀ A P on the pattern of the coarser matrix; P by rows."""
    for i in range(len(pointers) - 1):
        for p in range(pointers[i], pointers[i + 1]):
            j = columns[p]
            for a in range(start[i], start[i + 1]):
                row = to[a]
                for b in range(start[j], start[j + 1]):
                    at = indptr[row]
                    while indices[at] != to[b]:
                        at += 1
                    w = weight[a] * weight[b]
                    for kind in range(4):
                        out[at, kind] += w * entries[p, kind]


def _product(matrix: Triples, x: Floats, out: Floats) -> Floats:
    """out += matrix x for vectors (rows, k, padded)."""
    count, length = threads(), x.shape[1] * x.shape[2]
    edges = np.linspace(0, len(out), count + 1).astype(int)

    def some(i: int) -> None:
        _add_rows(*matrix, x.reshape(-1), out.reshape(-1), int(edges[i]), int(edges[i + 1]), length)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(some, range(count)))
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _add_rows(pointers: Ints, columns: Ints, entries: Floats, x: Floats, out: Floats, first: int, last: int, length: int) -> None:
    for i in range(first, last):
        for p in range(pointers[i], pointers[i + 1]):
            weight = fill(x, entries[p])
            for g in range(0, length, LANES):
                store_at(out, i * length + g, load_at(out, i * length + g) + weight * load_at(x, columns[p] * length + g))
