"""What a smoother of columns and an average over z both leave behind: functions smooth in the plane, where the matrix departs from the average.

There are few of them. With the plane matrix K of the average and the largest departure D of the diagonal along z, they are the
eigenvectors φ of K φ = λ D φ with the smallest λ: cheap for the average, costly where tissue or shape changes. Each times
any function of z spans the coarse space W; Wᵀ A W is a band matrix of one block a node of the axis and is factorised directly.
Conjugate gradients whose directions are kept A-orthogonal to W need not find what is in it (deflation; Nicolaides 1987 SIAM J Numer Anal
24:355, 10.1137/0724027).
"""

# Vectors of lanes are typed by Numba, not by mypy.
# mypy: disable-error-code="call-arg,no-any-return,var-annotated"
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.linalg import cho_solve_banded, cholesky_banded
from scipy.sparse import csr_array
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh, splu

from epidura.numerics.ldlt import threads
from epidura.numerics.spine import Operator, Part

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

COUNT = 64
"""Functions of the plane at most: 40, 80 and 160 left 14, 12 and 10 of 20 iterations in a spine with a lead that leans."""

LOOSE = 1e-2  # relative accuracy of the eigenvalues: the space need only be near theirs


class Coarse:
    """The coarse space of an operator.

    Args:
        functions: (rows, m) of the plane, zero on rows that contacts hold.
    """

    def __init__(self, operator: Operator, functions: Floats):
        self.operator, self.functions = operator, functions
        self.count = functions.shape[1]
        self._factor = cholesky_banded(self._band(), overwrite_ab=True, lower=True, check_finite=False)

    def _band(self) -> Floats:
        """Wᵀ A W, lower form of LAPACK, unknowns by node of the axis, then function; both ends of the axis are left out."""
        o, m = self.operator, self.count
        n = len(o.z) - 2
        blocks = np.zeros((3, n, m, m))  # [d, z]: node z + d against node z
        with ThreadPoolExecutor(threads()) as pool:
            planes = list(pool.map(self._plane, o.parts))
        for part, (k, mass_plane, cross) in zip(o.parts, planes, strict=True):
            span, (mass, stiffness, mixed) = part.near(o.z)
            first = span.start
            for d in range(3):
                at = np.arange(max(0, 1 - first), min(len(mass), n + 1 - first) - d)  # without the ends
                row = at + d
                blocks[d, at + first - 1] += mass[row, 2 - d, None, None] * k + stiffness[row, 2 - d, None, None] * mass_plane
                if part.sloped:  # C ⊗ D1ᵀ + Cᵀ ⊗ D1 at (row, at): D1[at, row] and D1[row, at]
                    blocks[d, at + first - 1] -= mixed[at, 2 + d, None, None] * cross + mixed[row, 2 - d, None, None] * cross.T
        band = np.zeros((3 * m, n * m))
        column = np.arange(n) * m
        for d in range(3):
            for i in range(m):
                for j in range(m):
                    if d * m + i - j >= 0:
                        band[d * m + i - j, column + j] = blocks[d, :, i, j]
        return band

    def _plane(self, part: Part) -> tuple[Floats, Floats, Floats]:
        """Φᵀ K Φ, Φᵀ M Φ and Φᵀ C Φ of a part."""
        rows = np.flatnonzero(np.diff(part.pointers))
        products = np.zeros((3, len(rows), self.count))
        _multiply(rows, part.pointers, part.columns, part.entries, self.functions, products, part.sloped)
        k, m, c = (self.functions[rows].T @ product for product in products)
        return k, m, c

    def project(self, s: Floats, product: Floats) -> None:
        """Take out of s (rows, k, padded) its part in the coarse space, in place; ``product`` is A s."""
        o, m = self.operator, self.count
        rows, k, padded = s.shape
        n = len(o.z) - 2
        load = (self.functions.T @ product.reshape(rows, k * padded)).reshape(m, k, padded)[:, :, 1 : n + 1]
        found = cho_solve_banded((self._factor, True), load.transpose(2, 0, 1).reshape(n * m, k), overwrite_b=True, check_finite=False)
        weights = np.zeros((m, k, padded))
        weights[:, :, 1 : n + 1] = found.reshape(n, m, k).transpose(1, 2, 0)
        flat, mix = s.reshape(rows, k * padded), weights.reshape(m, k * padded)
        for low in range(0, rows, 512):
            flat[low : low + 512] -= self.functions[low : low + 512] @ mix


def functions(operator: Operator, average: Floats, departure: Floats, held: NDArray[np.bool_], most: int = COUNT) -> Floats:
    """(rows, m) functions of the plane for ``Coarse``.

    Args:
        average: plane stiffness of the average over z, on the layout's pattern.
        departure: (rows,) largest departure of the diagonal from it along z.
        held: (rows,) where the functions vanish: on contacts, and where nothing conducts for part of the way.
    """
    layout = operator.layout
    matrix = csr_array((average, layout.indices, layout.indptr), shape=(layout.size, layout.size))
    free = np.flatnonzero(~held)
    there = np.flatnonzero(departure[free] > 0)
    m = min(most, len(there) // 4)
    if m == 0:
        return np.zeros((layout.size, 0))
    root = np.sqrt(departure[free[there]])
    solve = splu(matrix[free][:, free].tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}, diag_pivot_thresh=0.0).solve
    load = np.zeros(len(free))

    def inverse(v: Floats) -> Floats:
        load[there] = root * v
        return root * solve(load)[there]

    # largest 1 / λ of √D K⁻¹ √D; the start is fixed, so that a run can be repeated
    try:
        _, vectors = eigsh(LinearOperator((len(there),) * 2, matvec=inverse, dtype=float), k=m, v0=np.ones(len(there)), tol=LOOSE)
    except ArpackNoConvergence as some:
        vectors = some.eigenvectors  # fewer functions only cost iterations
    loads = np.zeros((len(free), vectors.shape[1]))
    loads[there] = root[:, None] * vectors
    out = np.zeros((layout.size, vectors.shape[1]))
    out[free] = solve(loads)
    return out / np.sqrt((out * (matrix @ out)).sum(axis=0))


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
