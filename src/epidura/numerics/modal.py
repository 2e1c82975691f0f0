"""Fast diagonalisation as a preconditioner: K ⊗ M1 + M ⊗ K1 solved by axial modes, all factors kept in float32.

Contacts are held at one potential each exactly: unknowns of the rings that carry contacts are eliminated last in every
mode, so that what remains is a problem on the rings alone. It is solved either for the potentials of the insulated
nodes and of the contacts, or for the currents of the contacts' nodes, whichever is smaller.
"""

# Vectors of lanes are typed by Numba, not by mypy.
# mypy: disable-error-code="call-arg,no-any-return,var-annotated"
from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, eigh

from epidura.numerics import simd
from epidura.numerics.ldlt import Factor, Plan, threads
from epidura.numerics.simd import fill, load, load_at, store_at

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]

LANES = 16
_HALF = 8  # lanes of the float64 factorisation


@dataclass(frozen=True)
class Bands:
    """Contacts as nodes of the rings: (ring nodes, z) pairs.

    Attributes:
        mask: (contacts, r, nz) which nodes of the rings, numbered as the last rows of the plane, belong to each contact.
    """

    mask: NDArray[np.bool_]


class Modes:
    """(K ⊗ M1 + M ⊗ K1)⁻¹ on the nodes of a plan.

    Args:
        plan: of the plane matrices, rows in the order of elimination, ring nodes last.
        stiffness, mass: plane matrices on the plan's pattern.
        axial_stiffness, axial_mass: (nz, nz) dense, of the axis; both ends are grounded.
        padded: length of a vector along z.
        bands: contacts to be held at one potential; None: none.
        watch: told the share of the modes that is factorised, from several threads; may raise to end the work.
    """

    def __init__(
        self, plan: Plan, stiffness: Floats, mass: Floats, axial_stiffness: Floats, axial_mass: Floats, padded: int, bands: Bands | None = None,
        watch: Callable[[float], None] | None = None,
    ):
        self.plan = plan
        nz = len(axial_mass)
        eigenvalues, inner = eigh(axial_stiffness[1:-1, 1:-1], axial_mass[1:-1, 1:-1])
        self.count = len(eigenvalues)
        groups = -(-self.count // LANES)
        self.modes = LANES * (groups + 1 - groups % 2)  # odd: rows do not fall on the same lines of the cache
        self.batches = groups
        shapes = np.zeros((padded, self.modes))
        shapes[1 : nz - 1, : self.count] = inner
        weights = np.zeros_like(shapes)  # M1 φ, so that shapesᵀ weights = 1
        weights[1 : nz - 1, : self.count] = axial_mass[1:-1, 1:-1] @ inner
        self.eigenvalues, self.shapes, self.weights = eigenvalues, shapes, weights
        self.to_modes, self.to_z = shapes.astype(np.float32), np.ascontiguousarray(shapes.T.astype(np.float32))
        self.rings = plan.last
        self._panels = simd.zeros(self.batches * plan.groups * LANES, np.float32).reshape(self.batches, -1)
        self._inverse = simd.zeros(self.batches * plan.size * LANES, np.float32).reshape(self.batches, -1)  # of the pivots
        self._last_panel = int(np.searchsorted(plan.column, plan.size - plan.last))
        block = self._factorise(stiffness, mass, watch)
        self.surface: _Surface | None = None
        if bands is not None:
            self.surface = _surface(block, shapes[:, : self.count], weights[:, : self.count], bands)

    def _factorise(self, stiffness: Floats, mass: Floats, watch: Callable[[float], None] | None) -> Floats:
        """Factors of all modes; the Schur complements on the rings, (modes, r, r)."""
        p = self.plan
        block = np.empty((self.count, p.last, p.last))
        count = min(threads(), self.batches)

        def some(start: int) -> None:
            factor = Factor(p)
            for b in range(start, self.batches, count):
                if watch is not None:
                    watch(b / self.batches)
                for half in range(2):
                    modes = np.minimum(np.arange(b * LANES + half * _HALF, b * LANES + (half + 1) * _HALF), self.count - 1)
                    factor.factorise(stiffness, mass, np.ascontiguousarray(self.eigenvalues[modes]))
                    lanes = slice(half * _HALF, (half + 1) * _HALF)
                    self._panels[b].reshape(-1, LANES)[:, lanes] = factor.panels.reshape(-1, _HALF)
                    self._inverse[b].reshape(-1, LANES)[:, lanes] = 1.0 / factor.diagonal.reshape(-1, _HALF)
                    if p.last:
                        block[modes] = factor.last_complement()

        with ThreadPoolExecutor(count) as pool:
            list(pool.map(some, range(count)))
        return block

    def solve(self, residual: NDArray[np.floating]) -> Singles:
        """Loads (rows, k, padded), k a multiple of 4 -> potentials of the same shape, constant on every contact."""
        rows, k, padded = residual.shape
        if k % 4:
            raise ValueError(f"right-hand sides are taken by fours, got {k}")
        x: Singles = (residual.astype(np.float32, copy=False).reshape(rows * k, padded) @ self.to_modes).reshape(rows, k, self.modes)
        if self.surface is None:
            self._share(x, (_forward, _backward), len(self.plan.column) - 1)
        else:
            self._share(x, (_forward,), self._last_panel)
            x[rows - self.rings :, :, : self.count] = self.surface.solve(x[rows - self.rings :, :, : self.count])
            self._share(x, (_backward,), self._last_panel)
        out: Singles = (x.reshape(rows * k, self.modes) @ self.to_z).reshape(rows, k, padded)
        return out

    def _share(self, x: Singles, passes: tuple[Callable[..., None], ...], panels: int) -> None:
        """Run the passes over the first ``panels`` panels, on each batch of modes."""
        p = self.plan
        rows, k, _ = x.shape
        count = min(threads(), self.batches)

        def some(start: int) -> None:
            # the rows of x lie pages apart; in a copy of one batch they follow each other and stay in the cache
            near = simd.zeros(rows * k * LANES, np.float32).reshape(rows, k, LANES)
            for b in range(start, self.batches, count):
                lanes = slice(b * LANES, (b + 1) * LANES)
                near[:] = x[:, :, lanes]
                for work in passes:
                    work(p.column, p.row_start, p.rows, p.panel_start, self._panels[b], self._inverse[b], near.reshape(-1), k, panels)
                x[:, :, lanes] = near

        with ThreadPoolExecutor(count) as pool:
            list(pool.map(some, range(count)))


@dataclass(frozen=True)
class _Surface:
    """What remains on the rings.

    Attributes:
        solve: reduced loads (r, k, modes) -> potentials (r, k, modes).
        size: unknowns of the dense problem.
        kind: ``potentials`` or ``currents``.
    """

    solve: Callable[[Singles], Singles]
    size: int
    kind: str


def _surface(block: Floats, shapes: Floats, weights: Floats, bands: Bands) -> _Surface:
    """Choose the smaller dense problem."""
    mask = bands.mask
    held: NDArray[np.bool_] = np.asarray(mask.any(axis=0))  # (r, nz)
    inner = np.zeros(held.shape[1], dtype=bool)
    inner[np.abs(weights).max(axis=1) > 0] = True
    free = ~held & inner
    insulated, touched = int(free.sum()) + len(mask), int(held.sum())
    if insulated <= touched:
        return _potentials(block, weights, mask, free)
    return _currents(block, shapes, mask, held)


def _potentials(block: Floats, weights: Floats, mask: NDArray[np.bool_], free: NDArray[np.bool_]) -> _Surface:
    """Unknown: the insulated nodes and one potential per contact; the matrix is that of the rings, S = Σ ψψᵀ ⊗ S_j."""
    contacts, r, nz = mask.shape
    node, z = np.nonzero(free)
    n = len(node)
    # of a contact: t = sum of ψ over its z at each ring node, u = S_j t
    t = np.einsum("cpz,zj->cjp", mask.astype(float), weights, optimize=True)
    u = np.einsum("jpq,cjq->cjp", block, t, optimize=True)
    matrix = np.empty((n + contacts, n + contacts))
    matrix[:n, :n] = _pairs(node, z, block, weights)
    for c in range(contacts):
        matrix[:n, n + c] = (weights[z] * u[c][:, node].T).sum(axis=1)
        matrix[n + c, :n] = matrix[:n, n + c]
        matrix[n + c, n:] = np.einsum("djp,jp->d", t, u[c])
    factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
    single = np.ascontiguousarray(weights.T.astype(np.float32))
    back = weights.astype(np.float32)
    flat = mask.reshape(contacts, -1).astype(np.float32)

    def solve(load: Singles) -> Singles:
        k = load.shape[1]
        at_z = (load.reshape(r * k, -1) @ single).reshape(r, k, nz)
        rhs = np.empty((n + contacts, k))
        rhs[:n] = at_z[node, :, z]
        rhs[n:] = flat @ at_z.transpose(0, 2, 1).reshape(-1, k)
        y = cho_solve(factor, rhs, check_finite=False)
        value = np.zeros((r, nz, k), dtype=np.float32)
        value[node, z] = y[:n]
        value += (flat.T @ y[n:].astype(np.float32)).reshape(r, nz, k)
        out: Singles = (value.transpose(0, 2, 1).reshape(r * k, nz) @ back).reshape(r, k, -1)
        return out

    return _Surface(solve, n + contacts, "potentials")


def _pairs(node: Ints, z: Ints, block: Floats, shapes: Floats) -> Floats:
    """Σ_j φ[z_a, j] φ[z_b, j] B_j[p_a, p_b] for nodes (p, z) in the order of p, symmetric; block (modes, r, r)."""
    out = np.empty((len(node), len(node)))
    starts = np.flatnonzero(np.diff(node, prepend=-1))
    spans = [slice(int(a), int(b)) for a, b in zip(starts, [*starts[1:], len(node)], strict=True)]
    rows = [shapes[z[span]] for span in spans]
    for i, left in enumerate(spans):
        for j in range(i + 1):
            part = (rows[i] * block[:, node[left.start], node[spans[j].start]]) @ rows[j].T
            out[left, spans[j]] = part
            out[spans[j], left] = part.T
    return out


def _currents(block: Floats, shapes: Floats, mask: NDArray[np.bool_], held: NDArray[np.bool_]) -> _Surface:
    """Unknown: the currents of the contacts' nodes; the matrix is their Green matrix, G = Σ φφᵀ ⊗ S_j⁻¹."""
    _, r, nz = mask.shape
    inverse: Floats = np.asarray(np.linalg.inv(block), dtype=float)
    node, z = np.nonzero(held)
    n = len(node)
    matrix = _pairs(node, z, inverse, shapes)
    factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
    which = mask[:, node, z].astype(float).T  # (n, contacts)
    spread = cho_solve(factor, which, check_finite=False)
    capacity = np.linalg.inv(which.T @ spread)
    single = np.ascontiguousarray(shapes.T.astype(np.float32))
    back = shapes.astype(np.float32)
    green = inverse.astype(np.float32)

    def solve(load: Singles) -> Singles:
        k = load.shape[1]

        def ring(g: Singles) -> Singles:
            values: Singles = np.matmul(green, g.transpose(2, 0, 1)).transpose(1, 2, 0)
            return values

        free = ring(load)
        at_z = (np.ascontiguousarray(free).reshape(r * k, -1) @ single).reshape(r, k, nz)
        u = at_z[node, :, z].astype(float)  # (n, k)
        level = capacity @ (spread.T @ u)
        current = spread @ level - cho_solve(factor, u, check_finite=False)
        grid = np.zeros((r, nz, k), dtype=np.float32)
        grid[node, z] = current
        more = (grid.transpose(0, 2, 1).reshape(r * k, nz) @ back).reshape(r, k, -1)
        return free + ring(more)

    return _Surface(solve, n, "currents")


@njit(cache=True, nogil=True, error_model="numpy")
def _forward(
    column: Ints, row_start: Ints, rows: Ints, panel_start: Ints, panels: Singles, inverse: Singles,
    x: Singles, k: int, many: int,
) -> None:  # fmt: skip
    """x (rows, k, lanes) <- D⁻¹ L⁻¹ x on the rows of the first ``many`` panels; what they leave on the others is theirs."""
    stride = k * LANES
    for s in range(many):
        c0 = column[s]
        width, high = column[s + 1] - c0, row_start[s + 1] - row_start[s]
        base = panel_start[s]
        for c in range(0, k, 4):
            for q in range(1, high):
                top = min(q, width)
                to = rows[row_start[s] + q] * stride + c * LANES
                a, b, d, e = load_at(x, to), load_at(x, to + LANES), load_at(x, to + 2 * LANES), load_at(x, to + 3 * LANES)
                for t in range(top):
                    v = load(panels, base + q * width + t)
                    f = (c0 + t) * stride + c * LANES
                    a = a - v * load_at(x, f)
                    b = b - v * load_at(x, f + LANES)
                    d = d - v * load_at(x, f + 2 * LANES)
                    e = e - v * load_at(x, f + 3 * LANES)
                store_at(x, to, a)
                store_at(x, to + LANES, b)
                store_at(x, to + 2 * LANES, d)
                store_at(x, to + 3 * LANES, e)
        for t in range(width):
            v = load(inverse, c0 + t)
            for c in range(k):
                to = (c0 + t) * stride + c * LANES
                store_at(x, to, load_at(x, to) * v)


@njit(cache=True, nogil=True, error_model="numpy")
def _backward(
    column: Ints, row_start: Ints, rows: Ints, panel_start: Ints, panels: Singles, inverse: Singles,
    x: Singles, k: int, many: int,
) -> None:  # fmt: skip
    """x <- L⁻ᵀ x on the rows of the first ``many`` panels, the others given."""
    stride = k * LANES
    zero = fill(inverse, 0.0)
    for s in range(many - 1, -1, -1):
        c0 = column[s]
        width, high = column[s + 1] - c0, row_start[s + 1] - row_start[s]
        base = panel_start[s]
        for c in range(0, k, 4):
            for t in range(width - 1, -1, -1):
                to = (c0 + t) * stride + c * LANES
                a, b, d, e = zero, zero, zero, zero
                for q in range(t + 1, high):
                    v = load(panels, base + q * width + t)
                    f = rows[row_start[s] + q] * stride + c * LANES
                    a = a + v * load_at(x, f)
                    b = b + v * load_at(x, f + LANES)
                    d = d + v * load_at(x, f + 2 * LANES)
                    e = e + v * load_at(x, f + 3 * LANES)
                store_at(x, to, load_at(x, to) - a)
                store_at(x, to + LANES, load_at(x, to + LANES) - b)
                store_at(x, to + 2 * LANES, load_at(x, to + 2 * LANES) - d)
                store_at(x, to + 3 * LANES, load_at(x, to + 3 * LANES) - e)

