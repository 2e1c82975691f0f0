"""Gauss-Seidel in lines along z: what each node of the plane has along the spine is solved exactly, one node after the other.

Elements are much shorter along z at the edges of contacts than in the plane and much longer far away, so points would not do. A contact
is one unknown and takes its turn after the lines; on its nodes lines are held, as they are where nothing conducts.
"""

# Vectors of lanes are typed by Numba, not by mypy.
# mypy: disable-error-code="call-arg,no-any-return,var-annotated"
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit
from numpy.typing import NDArray

from epidura.numerics.ldlt import threads
from epidura.numerics.simd import load_at, store_at
from epidura.numerics.spine import GUARD, LANES, Operator, Packed, _row

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_HELD = 1e30  # a pivot so large that nothing moves
_DEAD = 1e-13  # share of the largest of a line below which a diagonal entry conducts nothing


class Lines:
    """A smoother of an operator, and its mirror image: together they are symmetric.

    Args:
        operator: the matrix.
        mask: (contacts, r, padded) which of the last r rows and z belong to each contact.

    Attributes:
        dead: (rows, nz) where nothing conducts.
    """

    def __init__(self, operator: Operator, mask: NDArray[np.bool_]):
        self.operator = operator
        rows, nz = operator.layout.size, len(operator.z)
        band = np.zeros((rows, nz, 3))  # the diagonal and the two above it
        self._first = rows - mask.shape[1]
        self._contacts = [np.nonzero(one) for one in mask]
        for part in operator.parts:
            span, (mass, stiffness, mixed) = part.near(operator.z)
            turned = np.zeros_like(mixed)  # D1ᵀ
            for d in range(5):
                at = np.arange(max(0, 2 - d), min(len(mixed), len(mixed) + 2 - d))
                turned[at, d] = mixed[at + d - 2, 4 - d]
            axial = np.stack([mass, stiffness, -mixed - turned])
            _add_lines(part.pointers, part.columns, part.entries, np.ascontiguousarray(axial[:, :, 2:]), span.start, band)
        diagonal = band[:, :, 0]
        self.dead = np.array(diagonal <= _DEAD * diagonal.max(axis=1, keepdims=True), dtype=np.bool_)
        held = self.dead.copy()
        held[self._first :] |= np.asarray(mask.any(axis=0))[:, :nz]
        band[:, :, 0][held] = _HELD
        for d in (1, 2):
            band[:, :, d][held] = 0.0
            band[:, :-d, d][held[:, d:]] = 0.0
        self._factor = _factor_lines(band)
        self._before, self._after = operator.triangles()
        # what flows out of a contact at 1 V, all else at 0 V
        self._conductance = []
        only = operator.zeros(1)
        for node, z in self._contacts:
            only[self._first + node, 0, z] = 1.0
            self._conductance.append(float(self._rings(only)[node, 0, z].sum()))
            only[self._first + node, 0, z] = 0.0

    def smooth(self, x: Floats, load: Floats, backward: bool = False) -> None:
        """One sweep on A x = load, in place: lines, then contacts, or all of it in reverse; right-hand sides are shared out to threads."""
        if backward:
            self._level(x, load)
        self._sweep(self.operator.packed, x, load, backward)
        if not backward:
            self._level(x, load)

    def start(self, x: Floats, load: Floats, left: Floats | None = None) -> None:
        """The first sweep forward, from nothing: x and, if wanted, what is ``left`` of the load.

        Half of the work: what comes after a line is still nothing when it is solved, and only that changes its balance later.
        """
        x[:] = 0.0
        self._sweep(self._before, x, load, False)
        self._level(x, load)
        if left is None:
            return
        self.operator.run(self._after, x, left, sign=-1.0)
        # on rings not even their own lines are in balance: contacts came later
        left[self._first :] = self._rings(x, load, sign=-1.0)

    def _sweep(self, packed: Packed, x: Floats, load: Floats, backward: bool) -> None:
        o, k = self.operator, x.shape[1]
        count = min(threads(), k)
        edges = np.linspace(0, k, count + 1).astype(int)

        def some(i: int) -> None:
            _sweep_lines(*packed, *o.along, x.reshape(-1), load.reshape(-1), self._factor, k, o.padded, int(edges[i]),
                         int(edges[i + 1]), backward)

        with ThreadPoolExecutor(count) as pool:
            list(pool.map(some, range(count)))

    def _level(self, x: Floats, load: Floats) -> None:
        """The potential of each contact, such that what flows out of it is its load; contacts do not touch each other."""
        left = self._rings(x, load, sign=-1.0)
        for (node, z), conductance in zip(self._contacts, self._conductance, strict=True):
            x[self._first + node, :, z] += left[node, :, z].sum(axis=0) / conductance

    def _rings(self, x: Floats, load: Floats | None = None, sign: float = 1.0) -> Floats:
        """load + sign A x on the rings' rows."""
        o = self.operator
        return o.run(o.packed, x, o.zeros_of(len(x) - self._first, x.shape[1]), load, sign, self._first)


@njit(cache=True, nogil=True, error_model="numpy")
def _add_lines(pointers: Ints, columns: Ints, entries: Floats, axial: Floats, first: int, band: Floats) -> None:
    """Add what a part has on the lines to (rows, nz, 3)."""
    for i in range(len(pointers) - 1):
        for p in range(pointers[i], pointers[i + 1]):
            if columns[p] == i:
                k, m, c = entries[p, 0], entries[p, 1], entries[p, 2]
                for z in range(axial.shape[1]):
                    for d in range(3):
                        band[i, first + z, d] += k * axial[0, z, d] + m * axial[1, z, d] + c * axial[2, z, d]


@njit(cache=True, nogil=True, error_model="numpy")
def _factor_lines(band: Floats) -> Floats:
    """LDLᵀ of matrices of two bands on the inner nodes: pivots inverted, then the entries of L one and two below."""
    count, nz, _ = band.shape
    out = np.zeros((count, nz, 3))
    for i in range(count):
        for z in range(1, nz - 1):
            pivot = band[i, z, 0]
            one = band[i, z, 1] if z < nz - 2 else 0.0
            two = band[i, z, 2] if z < nz - 3 else 0.0
            if z > 1:
                before = out[i, z - 1, 1] / out[i, z - 1, 0]  # L D
                pivot -= out[i, z - 1, 1] * before
                one -= out[i, z - 1, 2] * before
            if z > 2:
                pivot -= out[i, z - 2, 2] * out[i, z - 2, 2] / out[i, z - 2, 0]
            out[i, z, 0] = 1.0 / pivot
            out[i, z, 1] = one / pivot
            out[i, z, 2] = two / pivot
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _sweep_lines(
    begin: Ints, end: Ints, indices: Ints, entries: Floats, slabs: Ints, bands: Floats, sloped: NDArray[np.bool_],
    x: Floats, load: Floats, factor: Floats, k: int, padded: int, first: int, last: int, backward: bool,
) -> None:  # fmt: skip
    widest = 0
    for s in range(len(slabs)):
        widest = max(widest, slabs[s, 2])
    room = widest + 2 * GUARD
    many = last - first
    work, left = np.zeros(4 * room), np.zeros(many * padded)
    count, nz = factor.shape[0], factor.shape[1]
    for at in range(count):
        i = count - 1 - at if backward else at
        for c in range(many):
            base, to = (i * k + first + c) * padded, c * padded
            for g in range(0, padded, LANES):
                store_at(left, to + g, load_at(load, base + g))
            _row(i, first + c, begin, end, indices, entries, slabs, bands, sloped, x, left, to, k, padded, -1.0, work, room)
        # solve the lines of all right-hand sides side by side: each of them alone would wait for itself
        for z in range(2, nz - 1):
            one, two = factor[i, z - 1, 1], factor[i, z - 2, 2]
            for c in range(many):
                a = c * padded + z
                left[a] -= one * left[a - 1] + two * left[a - 2]
        for z in range(nz - 2, 0, -1):
            pivot, one, two = factor[i, z, 0], factor[i, z, 1], factor[i, z, 2]
            if z == nz - 2:
                one = two = 0.0
            elif z == nz - 3:
                two = 0.0
            for c in range(many):
                a = c * padded + z
                left[a] = pivot * left[a] - one * left[a + 1] - two * left[a + 2]
        for c in range(many):
            base, to = (i * k + first + c) * padded, c * padded
            left[to] = 0.0  # both ends are grounded
            for z in range(nz - 1, padded):
                left[to + z] = 0.0
            for g in range(0, padded, LANES):
                store_at(x, base + g, load_at(x, base + g) + load_at(left, to + g))
