"""Sparse LDLᵀ of many matrices K + λ M at once: one ordering, eight λ in the lanes of a vector register.

All matrices share one pattern, are symmetric and positive definite, and need no pivoting. Columns with nearly the
same rows are kept together as dense panels (supernodes). The unknowns named ``last`` are eliminated last, so that the
trailing block of the factor is the Schur complement on them and its inverse is the block of the inverse of K + λ M.
"""

# ``load`` and the like are typed by Numba, not by mypy.
# mypy: disable-error-code="call-arg,var-annotated,no-any-return"
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from epidura.numerics.simd import fill, load, store

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LANES = 8
_WIDEST = 24  # columns of a panel
_PADDING = 0.25  # share of explicit zeros that a panel may hold


@dataclass(frozen=True)
class Plan:
    """Ordering and structure of the factor for one pattern.

    Attributes:
        order: (n,) unknown at each place of the elimination order.
        column: (s + 1,) first column of each panel.
        row_start, rows: rows of each panel, its own columns first.
        panel_start: (s + 1,) where each panel begins in the factor, in groups of lanes.
        update_start, updates: for each panel the (panel, first row, last row + 1) that change it.
        entry_start, entry_row, entry_column, entry: lower entries of the matrix by panel, and where their values stand.
        last: how many unknowns are eliminated last.
    """

    order: Ints
    column: Ints
    row_start: Ints
    rows: Ints
    panel_start: Ints
    update_start: Ints
    updates: Ints
    entry_start: Ints
    entry_row: Ints
    entry_column: Ints
    entry: Ints
    last: int

    @property
    def size(self) -> int:
        return len(self.order)

    @property
    def groups(self) -> int:
        """Entries of the factor of one matrix, explicit zeros included."""
        return int(self.panel_start[-1])


def plan(indptr: Ints, indices: Ints, last: Ints) -> Plan:
    """Plan the factorisation of a symmetric pattern in compressed columns (both triangles, with diagonal).

    Args:
        indptr, indices: pattern of the n unknowns.
        last: unknowns to eliminate last, in this order.
    """
    n = len(indptr) - 1
    first = np.setdiff1d(np.arange(n), last)
    order = np.concatenate((first[minimum_degree(indptr, indices, first)], last)).astype(np.int64)
    place = np.empty(n, dtype=np.int64)
    place[order] = np.arange(n)
    columns = np.repeat(np.arange(n), np.diff(indptr))
    row, column = place[indices], place[columns]
    lower = np.flatnonzero(row >= column)
    lower = lower[np.lexsort((row[lower], column[lower]))]
    row, column = row[lower], column[lower]
    starts = np.searchsorted(column, np.arange(n + 1)).astype(np.int64)
    parent, count = _elimination_tree(starts, row)
    panel_first = _panels(parent, count, n - len(last))
    row_start, rows = _panel_rows(panel_first, starts, row, parent)
    widths = np.diff(panel_first)
    panel_start = np.concatenate(([0], np.cumsum(widths * np.diff(row_start)))).astype(np.int64)
    owner = np.repeat(np.arange(len(widths)), widths)
    update_start, updates = _updates(panel_first, row_start, rows, owner)
    entry_start = starts[panel_first]
    entry = lower.astype(np.int64)
    return Plan(
        order, panel_first, row_start, rows, panel_start, update_start, updates, entry_start, row, column, entry, len(last)
    )  # fmt: skip


class Factor:
    """Workspace of one thread: the factors of ``LANES`` matrices at a time.

    Attributes:
        panels, diagonal: L by panel and the pivots, lanes innermost.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        self.panels = np.empty(plan.groups * LANES)
        self.diagonal = np.empty(plan.size * LANES)
        tallest = int(np.diff(plan.row_start).max())
        self._scratch = np.empty((tallest * _WIDEST + _WIDEST) * LANES)
        self._position = np.empty(plan.size, dtype=np.int64)

    def factorise(self, stiffness: Floats, mass: Floats, eigenvalues: Floats) -> None:
        """Factorise K + λ M for ``LANES`` eigenvalues; ``stiffness`` and ``mass`` in the order of the pattern."""
        p = self.plan
        _factorise(
            p.column, p.row_start, p.rows, p.panel_start, p.update_start, p.updates,
            p.entry_start, p.entry_row, p.entry_column, p.entry,
            stiffness, mass, eigenvalues, self.panels, self.diagonal, self._scratch, self._position,
        )  # fmt: skip

    def last_block(self) -> Floats:
        """The block of the inverse on the last unknowns, (LANES, last, last)."""
        lower, pivots = self._last_factor()
        inverse = np.linalg.inv(lower)
        block: Floats = np.swapaxes(inverse, 1, 2) @ (inverse / pivots[:, :, None])
        return block

    def _last_factor(self) -> tuple[Floats, Floats]:
        """L (LANES, last, last) and the pivots (LANES, last) of the last unknowns."""
        p = self.plan
        lower = np.zeros((LANES, p.last, p.last))
        begin = p.size - p.last
        for s in range(int(np.searchsorted(p.column, begin)), len(p.column) - 1):
            c0, c1 = p.column[s], p.column[s + 1]
            rows = p.rows[p.row_start[s] : p.row_start[s + 1]] - begin
            values = self.panels[p.panel_start[s] * LANES : p.panel_start[s + 1] * LANES].reshape(len(rows), c1 - c0, LANES)
            lower[:, rows, c0 - begin : c1 - begin] = np.moveaxis(values, 2, 0)
        return np.tril(lower, -1) + np.eye(p.last), self.diagonal.reshape(p.size, LANES)[begin:].T

    def solve(self, rhs: Floats, only_last: bool = False) -> Floats:
        """Solve for right-hand sides (n, k, LANES) in the order of the unknowns; same shape.

        Args:
            only_last: promises that the right-hand sides vanish but on the last unknowns.
        """
        p = self.plan
        x = np.ascontiguousarray(rhs[p.order])
        first = int(np.searchsorted(p.column, p.size - p.last)) if only_last else 0
        _solve(p.column, p.row_start, p.rows, p.panel_start, self.panels, self.diagonal, x.reshape(-1), x.shape[1], first)
        out = np.empty_like(x)
        out[p.order] = x
        return out


def minimum_degree(indptr: Ints, indices: Ints, keep: Ints) -> Ints:
    """SuperLU's multiple minimum degree order of the unknowns ``keep``."""
    from scipy.sparse import csc_array
    from scipy.sparse.linalg import splu

    pattern = csc_array((np.ones(len(indices)), indices, indptr))[keep][:, keep].tocsc()
    pattern.setdiag(2.0 * np.diff(pattern.indptr))  # dominant, so that no pivoting disturbs the order
    lu = splu(pattern, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    return np.argsort(lu.perm_c).astype(np.int64)


@njit(cache=True)
def _elimination_tree(starts: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """Parent of each column, and how many rows it has below the diagonal (lower pattern by columns, sorted)."""
    n = len(starts) - 1
    # rows of the lower triangle by row
    length = np.zeros(n + 1, dtype=np.int64)
    for j in range(n):
        for p in range(starts[j], starts[j + 1]):
            if rows[p] > j:
                length[rows[p] + 1] += 1
    begin = np.cumsum(length)
    fillup = begin.copy()
    across = np.empty(begin[n], dtype=np.int64)
    for j in range(n):
        for p in range(starts[j], starts[j + 1]):
            if rows[p] > j:
                across[fillup[rows[p]]] = j
                fillup[rows[p]] += 1
    parent = np.full(n, -1, dtype=np.int64)
    mark = np.full(n, -1, dtype=np.int64)
    count = np.zeros(n, dtype=np.int64)
    for i in range(n):
        mark[i] = i
        for p in range(begin[i], begin[i + 1]):
            j = across[p]
            while mark[j] != i:
                if parent[j] == -1:
                    parent[j] = i
                count[j] += 1
                mark[j] = i
                j = parent[j]
    return parent, count


@njit(cache=True)
def _panels(parent: Ints, count: Ints, begin_last: int) -> Ints:
    """First column of each panel: chains of the tree, merged while few zeros come in."""
    n = len(parent)
    out = [0]
    filled = count[0] + 1
    for j in range(1, n):
        width = j - out[-1] + 1
        size = width * (width + 1) // 2 + width * count[j]
        small = size - filled - count[j] - 1 <= _PADDING * size
        if parent[j - 1] == j and width <= _WIDEST and small and j != begin_last:
            filled += count[j] + 1
        else:
            out.append(j)
            filled = count[j] + 1
    out.append(n)
    return np.array(out, dtype=np.int64)


@njit(cache=True)
def _panel_rows(first: Ints, starts: Ints, entries: Ints, parent: Ints) -> tuple[Ints, Ints]:
    """Rows of each panel: its columns, then everything that it or its children reach below, sorted."""
    panels = len(first) - 1
    n = len(parent)
    owner = np.empty(n, dtype=np.int64)
    for s in range(panels):
        owner[first[s] : first[s + 1]] = s
    child = np.full(panels, -1, dtype=np.int64)  # heads of the lists of children
    sibling = np.full(panels, -1, dtype=np.int64)
    mark = np.full(n, -1, dtype=np.int64)
    row_start = np.zeros(panels + 1, dtype=np.int64)
    rows = np.empty(16 * n, dtype=np.int64)
    used = 0
    for s in range(panels):
        if used + n > len(rows):
            longer = np.empty(2 * len(rows) + n, dtype=np.int64)
            longer[:used] = rows[:used]
            rows = longer
        c0, c1 = first[s], first[s + 1]
        for j in range(c0, c1):
            rows[used] = j
            used += 1
        below = used
        for j in range(c0, c1):
            for p in range(starts[j], starts[j + 1]):
                i = entries[p]
                if i >= c1 and mark[i] != s:
                    mark[i] = s
                    rows[used] = i
                    used += 1
        d = child[s]
        while d != -1:
            for p in range(row_start[d], row_start[d + 1]):
                i = rows[p]
                if i >= c1 and mark[i] != s:
                    mark[i] = s
                    rows[used] = i
                    used += 1
            d = sibling[d]
        rows[below:used] = np.sort(rows[below:used])
        row_start[s + 1] = used
        if used > below:
            up = owner[rows[below]]
            sibling[s] = child[up]
            child[up] = s
    return row_start, rows[:used].copy()


@njit(cache=True)
def _updates(first: Ints, row_start: Ints, rows: Ints, owner: Ints) -> tuple[Ints, Ints]:
    """For each panel the stretches of rows of earlier panels that fall on its columns."""
    panels = len(first) - 1
    length = np.zeros(panels + 1, dtype=np.int64)
    for sweep in range(2):
        if sweep == 1:
            begin = np.cumsum(length)
            place = begin.copy()
            out = np.empty((begin[panels], 3), dtype=np.int64)
        for d in range(panels):
            p = row_start[d] + first[d + 1] - first[d]
            while p < row_start[d + 1]:
                s = owner[rows[p]]
                q = p
                while q < row_start[d + 1] and rows[q] < first[s + 1]:
                    q += 1
                if sweep == 0:
                    length[s + 1] += 1
                else:
                    out[place[s], 0] = d
                    out[place[s], 1] = p - row_start[d]
                    out[place[s], 2] = q - row_start[d]
                    place[s] += 1
                p = q
    return begin, out


@njit(cache=True, nogil=True, error_model="numpy")
def _factorise(
    column: Ints, row_start: Ints, rows: Ints, panel_start: Ints, update_start: Ints, updates: Ints,
    entry_start: Ints, entry_row: Ints, entry_column: Ints, entry: Ints,
    stiffness: Floats, mass: Floats, eigenvalues: Floats, panels: Floats, diagonal: Floats, scratch: Floats, position: Ints,
) -> None:  # fmt: skip
    lam = load(eigenvalues, 0)
    zero = fill(panels, 0.0)
    for s in range(len(column) - 1):
        c0, c1 = column[s], column[s + 1]
        width, high = c1 - c0, row_start[s + 1] - row_start[s]
        base = panel_start[s]
        for r in range(high):
            position[rows[row_start[s] + r]] = base + r * width - c0
        for g in range(base, base + high * width):
            store(panels, g, zero)
        for e in range(entry_start[s], entry_start[s + 1]):
            store(panels, position[entry_row[e]] + entry_column[e], lam * mass[entry[e]] + stiffness[entry[e]])
        for u in range(update_start[s], update_start[s + 1]):
            d, p0, p1 = updates[u, 0], updates[u, 1], updates[u, 2]
            k0 = column[d]
            w = column[d + 1] - k0
            source, below, many = panel_start[d], row_start[d], row_start[d + 1] - row_start[d]
            for p in range(p0, p1):
                for k in range(w):
                    store(scratch, (p - p0) * w + k, load(panels, source + p * w + k) * load(diagonal, k0 + k))
            for q in range(p0, many):
                at = position[rows[below + q]]
                line = source + q * w
                top = min(q + 1, p1)
                p = p0
                while p + 4 <= top:
                    f = (p - p0) * w
                    a, b, c, e4 = zero, zero, zero, zero
                    for k in range(w):
                        x = load(panels, line + k)
                        a = a + x * load(scratch, f + k)
                        b = b + x * load(scratch, f + w + k)
                        c = c + x * load(scratch, f + 2 * w + k)
                        e4 = e4 + x * load(scratch, f + 3 * w + k)
                    g = at + rows[below + p]
                    store(panels, g, load(panels, g) - a)
                    g = at + rows[below + p + 1]
                    store(panels, g, load(panels, g) - b)
                    g = at + rows[below + p + 2]
                    store(panels, g, load(panels, g) - c)
                    g = at + rows[below + p + 3]
                    store(panels, g, load(panels, g) - e4)
                    p += 4
                while p < top:
                    f = (p - p0) * w
                    a = zero
                    for k in range(w):
                        a = a + load(panels, line + k) * load(scratch, f + k)
                    g = at + rows[below + p]
                    store(panels, g, load(panels, g) - a)
                    p += 1
        for t in range(width):
            pivot = load(panels, base + t * width + t)
            store(diagonal, c0 + t, pivot)
            for t2 in range(t + 1, width):
                store(scratch, t2, load(panels, base + t2 * width + t))
            for q in range(t + 1, high):
                line = base + q * width
                x = load(panels, line + t) / pivot
                store(panels, line + t, x)
                for t2 in range(t + 1, min(q + 1, width)):
                    store(panels, line + t2, load(panels, line + t2) - x * load(scratch, t2))


@njit(cache=True, nogil=True, error_model="numpy")
def _solve(
    column: Ints, row_start: Ints, rows: Ints, panel_start: Ints, panels: Floats, diagonal: Floats,
    x: Floats, many: int, first: int,
) -> None:  # fmt: skip
    for s in range(first, len(column) - 1):
        c0 = column[s]
        width, high = column[s + 1] - c0, row_start[s + 1] - row_start[s]
        for t in range(width):
            for q in range(t + 1, high):
                value = load(panels, panel_start[s] + q * width + t)
                to = rows[row_start[s] + q] * many
                for c in range(many):
                    store(x, to + c, load(x, to + c) - value * load(x, (c0 + t) * many + c))
    for j in range(column[first], len(diagonal) // LANES):
        for c in range(many):
            store(x, j * many + c, load(x, j * many + c) / load(diagonal, j))
    for s in range(len(column) - 2, -1, -1):
        c0 = column[s]
        width, high = column[s + 1] - c0, row_start[s + 1] - row_start[s]
        for t in range(width - 1, -1, -1):
            to = (c0 + t) * many
            for q in range(t + 1, high):
                value = load(panels, panel_start[s] + q * width + t)
                source = rows[row_start[s] + q] * many
                for c in range(many):
                    store(x, to + c, load(x, to + c) - value * load(x, source + c))


def threads() -> int:
    """Cores this process may use."""
    import os

    sched: Any = getattr(os, "sched_getaffinity", None)
    return len(sched(0)) if sched else os.cpu_count() or 1
