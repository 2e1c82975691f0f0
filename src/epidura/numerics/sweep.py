"""Finite elements on a cross-section swept along z, solved directly (Kronecker form, fast diagonalisation).

div(σ grad V) = 0 with σ constant along z, quadratic elements in the plane (p, mesh of ``section``) and along z.
The matrix is K2 ⊗ M1 + M2 ⊗ K1 with K2 = ∫ σ_t ∇u·∇v and M2 = ∫ σ_z u v in the plane and K1, M1 along z. With
K1 φ = λ M1 φ it falls apart into one plane problem K2 + λ M2 per mode. V = 0 on the outermost loop and both ends.
Contacts are equipotential bands on the rims of holes (leads); rims are insulating elsewhere.
Units: metres, S/m, ampere, volt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline
from scipy.linalg import cho_factor, cho_solve, eigh

from epidura.numerics.device import Device
from epidura.numerics.ldlt import LANES, Factor, Plan, plan, threads
from epidura.numerics.modes_cuda import Modes
from epidura.numerics.section import Section
from epidura.numerics.spine import axis_matrices, integrals, pattern

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

@dataclass(frozen=True)
class Sweep:
    """Matrices and modes of one swept section.

    Attributes:
        section, z: mesh, nz odd.
        transverse, longitudinal: S/m by label.
        indptr, indices, stiffness, mass: K2 and M2 on all nodes of the plane, one pattern, compressed columns.
        eigenvalues: (modes,) λ in 1/m2.
        shapes: (nz, modes) φ with φᵀ M1 φ = 1, zero at both ends.
        free: nodes of the plane that are not on the outermost loop.
    """

    section: Section
    z: Floats
    transverse: Floats
    longitudinal: Floats
    indptr: Ints
    indices: Ints
    stiffness: Floats
    mass: Floats
    eigenvalues: Floats
    shapes: Floats
    free: Ints

    @property
    def unknowns(self) -> int:
        return len(self.free) * len(self.eigenvalues)


def sweep(section: Section, z: Floats, transverse: Sequence[float] | Floats, longitudinal: Sequence[float] | Floats) -> Sweep:
    """Assemble a swept section.

    Raises:
        ValueError: conductivities that are not positive or do not fit the labels, or an axis that does not rise.
    """
    st, sz = np.asarray(transverse, dtype=float), np.asarray(longitudinal, dtype=float)
    z = np.asarray(z, dtype=float)
    labels = int(section.labels.max()) + 1
    if len(st) < labels or len(sz) < labels or not ((st > 0).all() and (sz > 0).all()):
        raise ValueError(f"{labels} regions need as many positive conductivities in each direction, got {st} and {sz}")
    if len(z) % 2 == 0 or len(z) < 3 or not (np.diff(z) > 0).all():
        raise ValueError(f"an axis needs an odd number of rising nodes, got {len(z)}")
    n = len(section.points)
    indptr, indices, entry = pattern(section.triangles, n)
    stiffness, mass = integrals(section, section.points, st, sz, entry, len(indices))
    k1, m1 = axis_matrices(z)
    eigenvalues, inner = axial_modes(k1[1:-1, 1:-1], m1[1:-1, 1:-1])
    shapes = np.zeros((len(z), len(eigenvalues)))
    shapes[1:-1] = inner
    free = np.setdiff1d(np.arange(n), section.boundary)
    return Sweep(section, z, st, sz, indptr, indices, stiffness, mass, eigenvalues, shapes, free)


def axial_modes(k1: Floats, m1: Floats) -> tuple[Floats, Floats]:
    """Eigenvalues (n,), rising, and columns V (n, n) with V' M1 V = 1 and V' K1 V diagonal.

    Elements of 0.1 mm and of 2 m on one axis spread the eigenvalues over eleven decades, and ``eigh`` is good to the rounding of the
    largest: the lowest modes, which carry the current away, would be wrong in the sixth digit. So those below the middle (of the
    logarithm) come from the problem turned round, in which they are the largest.
    """
    high, upper = eigh(k1, m1)
    low, lower = eigh(m1, k1)
    low, lower = 1 / low[::-1], lower[:, ::-1]
    count = int(np.searchsorted(low, np.sqrt(low[0] * high[-1])))
    return (np.concatenate([low[:count], high[count:]]),
            np.concatenate([lower[:, :count] * np.sqrt(low[:count]), upper[:, count:]], axis=1))


@dataclass(frozen=True)
class Modal:
    """Potentials of k right-hand sides by axial mode.

    Attributes:
        sweep: where they live.
        values: (modes, n2, k) V/A.
    """

    sweep: Sweep
    values: Floats

    def potential(self) -> Floats:
        """At every node, (k, nz, n2)."""
        modes, n, k = self.values.shape
        out = self.sweep.shapes @ self.values.reshape(modes, -1)
        return np.ascontiguousarray(np.moveaxis(out.reshape(-1, n, k), 2, 0))

    def outflow(self) -> Floats:
        """Current through the outermost loop and the ends, from the reactions of the grounded nodes, (k,) A."""
        s = self.sweep
        n = len(s.section.points)
        ground = np.zeros(n, dtype=bool)
        ground[s.section.boundary] = True
        columns = np.repeat(np.arange(n), np.diff(s.indptr))
        k1, m1 = axis_matrices(s.z)

        def rows(data: Floats, which: NDArray[np.bool_]) -> Floats:
            """Sum of the rows ``which`` of a plane matrix."""
            out: Floats = np.bincount(columns, weights=data * which[s.indices], minlength=n).astype(float)
            return out

        ends = k1[0] + k1[-1], m1[0] + m1[-1]
        out = np.zeros(self.values.shape[2])
        for plane, along in (
            (rows(s.stiffness, ground), m1.sum(axis=0)),  # side, all z; the rows of K1 add up to nothing
            (rows(s.stiffness, ~ground), ends[1]),
            (rows(s.mass, ~ground), ends[0]),
        ):
            out -= np.einsum("j,n,jnk->k", along @ s.shapes, plane, self.values, optimize=True)
        return out


@dataclass(frozen=True)
class Solution:
    """Contacts solved.

    Attributes:
        modal: potential of each contact at +1 A, the other contacts floating.
        impedance: (c, c) ohm.
        currents: by contact the nodal currents (c, its axial nodes, its ring nodes), A, of every unit solution.
        nodes: by contact (axial nodes, ring nodes).
        iterations: of the conjugate gradients on the contact currents.
        spread: largest departure of a contact from its potential, relative.
    """

    modal: Modal
    impedance: Floats
    currents: tuple[Floats, ...]
    nodes: tuple[tuple[Ints, Ints], ...]
    iterations: int
    spread: float


def solve_contacts(
    section: Section,
    z: Floats,
    transverse: Sequence[float] | Floats,
    longitudinal: Sequence[float] | Floats,
    contacts: Sequence[tuple[int, float, float]],
    solver: str = "ldlt",
    device: Device | None = None,
    watch: Callable[[str, float], None] | None = None,
) -> Solution:
    """Potentials and impedances of equipotential contacts, 1 A out of one at a time.

    Args:
        contacts: (index of the ring, z0, z1) in m; z0 and z1 must be nodes of the axis.
        solver: ``ldlt`` (batched, threads) or ``splu`` (SuperLU, the reference).
        device: a graphics processor for the modes of ``ldlt``, see ``modes_cuda``.
        watch: told in words what is done now and which share of the whole is done, before each part; may raise to end the work.

    Raises:
        ValueError: a contact whose edges are not on the axis or whose ring does not exist.
        MemoryError: the device has too little.
    """
    def say(words: str, share: float) -> None:
        if watch is not None:
            watch(words, share)

    say("modes along the spine", 0.0)
    system = sweep(section, z, transverse, longitudinal)
    bands = [_band(section, system.z, contact) for contact in contacts]
    used = sorted({ring for ring, _, _ in contacts})
    ring_nodes = np.concatenate([section.rings[r] for r in used])
    offset = dict(zip(used, np.concatenate(([0], np.cumsum([len(section.rings[r]) for r in used])))[:-1], strict=True))
    spans = [slice(int(offset[r]), int(offset[r]) + len(section.rings[r])) for r, _, _ in contacts]
    plane = _solver(system, ring_nodes, solver, device)
    say("factorising the modes", 0.1)
    block = plane.ring_blocks()
    say("currents of the contacts", 0.5)
    currents, impedance, iterations, spread = _contact_currents(system, block, [b[0] for b in bands], spans)
    loads = np.zeros((len(system.eigenvalues), len(ring_nodes), len(contacts)))
    for (along, _), span, current in zip(bands, spans, currents, strict=True):
        loads[:, span] += np.einsum("aj,car->jrc", system.shapes[along], current, optimize=True)
    say("potentials of the modes", 0.6)
    modal = Modal(system, plane.solve_ring(loads))
    return Solution(modal, impedance, tuple(currents), tuple(bands), iterations, spread)


def solve_sources(
    section: Section,
    z: Floats,
    transverse: Sequence[float] | Floats,
    longitudinal: Sequence[float] | Floats,
    rhs: Floats,
    solver: str = "ldlt",
    device: Device | None = None,
) -> Modal:
    """Potentials of general nodal loads.

    Args:
        rhs: (k, nz, n2) A, ∫ f v for every node; loads of grounded nodes are ignored.
        solver, device: as in ``solve_contacts``.
    """
    system = sweep(section, z, transverse, longitudinal)
    if rhs.ndim != 3 or rhs.shape[1:] != (len(z), len(section.points)):
        raise ValueError(f"loads must have the shape (k, {len(z)}, {len(section.points)}), got {rhs.shape}")
    loads = np.einsum("zj,kzn->jnk", system.shapes, rhs, optimize=True)
    return Modal(system, _solver(system, np.empty(0, dtype=np.int64), solver, device).solve(loads))


def _band(section: Section, z: Floats, contact: tuple[int, float, float]) -> tuple[Ints, Ints]:
    ring, z0, z1 = contact
    if not 0 <= ring < len(section.rings):
        raise ValueError(f"contact on ring {ring}, but the section has {len(section.rings)} rings")
    low, high = int(np.argmin(np.abs(z - z0))), int(np.argmin(np.abs(z - z1)))
    if abs(z[low] - z0) > 1e-9 or abs(z[high] - z1) > 1e-9 or high <= low or low % 2 or high % 2:
        raise ValueError(f"the edges of a contact, z = {z0} and {z1} m, must be ends of elements of the axis")
    return np.arange(low, high + 1), section.rings[ring]


class _Plane:
    """Plane problems of all modes; subclasses differ in the factorisation."""

    def __init__(self, system: Sweep, ring: Ints):
        from scipy.sparse import csc_array

        self.system, self.ring = system, ring
        n = len(system.section.points)
        place = np.full(n, -1)
        place[system.free] = np.arange(len(system.free))
        # numbers stand for the entries, so that one cut serves both matrices
        numbered = csc_array((np.arange(len(system.indices), dtype=float) + 1, system.indices, system.indptr), shape=(n, n))
        cut = numbered[system.free][:, system.free].tocsc()
        cut.sort_indices()
        entries = cut.data.astype(np.int64) - 1
        self.indptr, self.indices = cut.indptr.astype(np.int64), cut.indices.astype(np.int64)
        self.stiffness, self.mass = system.stiffness[entries], system.mass[entries]
        self.ring_places = place[ring]
        if (self.ring_places < 0).any():
            raise ValueError("a ring touches the outermost loop")

    def ring_blocks(self) -> Floats:
        """Block of the inverse on the ring nodes for every mode, (modes, r, r)."""
        raise NotImplementedError

    def solve_ring(self, loads: Floats) -> Floats:
        """Loads (modes, r, k) on ring nodes -> values (modes, n2, k)."""
        raise NotImplementedError

    def solve(self, loads: Floats) -> Floats:
        """Loads (modes, n2, k) -> values (modes, n2, k)."""
        raise NotImplementedError


class _Reference(_Plane):
    """SuperLU, mode by mode."""

    def _factors(self) -> Iterator[tuple[int, object]]:
        from scipy.sparse import csc_array
        from scipy.sparse.linalg import splu

        for j, value in enumerate(self.system.eigenvalues):
            matrix = csc_array((self.stiffness + value * self.mass, self.indices, self.indptr))
            yield j, splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})

    def ring_blocks(self) -> Floats:
        out = np.empty((len(self.system.eigenvalues), len(self.ring), len(self.ring)))
        unit = np.zeros((len(self.system.free), len(self.ring)))
        unit[self.ring_places, np.arange(len(self.ring))] = 1.0
        for j, lu in self._factors():
            out[j] = lu.solve(unit)[self.ring_places]  # type: ignore[attr-defined]
        return out

    def solve_ring(self, loads: Floats) -> Floats:
        full = np.zeros((len(loads), len(self.system.section.points), loads.shape[2]))
        full[:, self.ring] = loads
        return self.solve(full)

    def solve(self, loads: Floats) -> Floats:
        out = np.zeros_like(loads)
        for j, lu in self._factors():
            out[j, self.system.free] = lu.solve(loads[j, self.system.free])  # type: ignore[attr-defined]
        return out


class _Batched(_Plane):
    """Eight modes at a time, the batches shared out to threads."""

    def __init__(self, system: Sweep, ring: Ints):
        super().__init__(system, ring)
        self.plan: Plan = plan(self.indptr, self.indices, self.ring_places)
        modes = len(system.eigenvalues)
        self.batches = [np.minimum(np.arange(j, j + LANES), modes - 1) for j in range(0, modes, LANES)]

    def _share(self, work: object) -> None:
        count = max(1, min(threads(), 8, len(self.batches)))

        def some(start: int) -> None:
            factor = Factor(self.plan)
            for modes in self.batches[start::count]:
                factor.factorise(self.stiffness, self.mass, np.ascontiguousarray(self.system.eigenvalues[modes]))
                work(factor, modes)  # type: ignore[operator]

        with ThreadPoolExecutor(count) as pool:
            list(pool.map(some, range(count)))

    def ring_blocks(self) -> Floats:
        out = np.empty((len(self.system.eigenvalues), len(self.ring), len(self.ring)))

        def work(factor: Factor, modes: Ints) -> None:
            out[modes] = factor.last_block()

        self._share(work)
        return out

    def solve_ring(self, loads: Floats) -> Floats:
        full = np.zeros((len(loads), len(self.system.section.points), loads.shape[2]))

        def work(factor: Factor, modes: Ints) -> None:
            rhs = np.zeros((len(self.system.free), loads.shape[2], LANES))
            rhs[self.ring_places] = np.moveaxis(loads[modes], 0, 2)
            full[modes[:, None], self.system.free] = np.moveaxis(factor.solve(rhs, only_last=True), 2, 0)

        self._share(work)
        return full

    def solve(self, loads: Floats) -> Floats:
        out = np.zeros_like(loads)

        def work(factor: Factor, modes: Ints) -> None:
            rhs = np.ascontiguousarray(np.moveaxis(loads[modes[:, None], self.system.free], 0, 2))
            out[modes[:, None], self.system.free] = np.moveaxis(factor.solve(rhs), 2, 0)

        self._share(work)
        return out


class _OnDevice(_Plane):
    """All modes on a graphics processor."""

    def __init__(self, system: Sweep, ring: Ints, device: Device):
        super().__init__(system, ring)
        planned = plan(self.indptr, self.indices, self.ring_places)
        self.modes = Modes(planned, self.stiffness, self.mass, system.eigenvalues, device)
        self.nodes = np.full(len(system.section.points), -1)  # place of each in the elimination order
        self.nodes[system.free[planned.order]] = np.arange(planned.size)

    def ring_blocks(self) -> Floats:
        return self.modes.last_block()

    def solve_ring(self, loads: Floats) -> Floats:
        return self.modes.solve(loads, self.nodes[self.ring], self.nodes)

    def solve(self, loads: Floats) -> Floats:
        return self.modes.solve(loads, self.nodes, self.nodes)


def _solver(system: Sweep, ring: Ints, name: str, device: Device | None) -> _Plane:
    if name not in ("ldlt", "splu"):
        raise ValueError(f"solver {name!r}; allowed: ldlt, splu")
    if name == "splu":
        return _Reference(system, ring)
    return _Batched(system, ring) if device is None else _OnDevice(system, ring, device)


def _contact_currents(
    system: Sweep, block: Floats, bands: Sequence[Ints], spans: Sequence[slice], tolerance: float = 1e-13, limit: int = 200
) -> tuple[list[Floats], Floats, int, float]:
    """Nodal currents that hold each contact at one potential, 1 A out of one contact at a time.

    The Green matrix G of the contact nodes is Σ φφᵀ ⊗ H. It is applied mode by mode and never formed; conjugate
    gradients with the inverses of the single contacts as preconditioner solve G X = 1 on one contact.
    """
    along = np.unique(np.concatenate(bands))
    shapes = np.ascontiguousarray(system.shapes[along])
    rows = [np.searchsorted(along, band) for band in bands]
    sizes = [len(band) * (span.stop - span.start) for band, span in zip(bands, spans, strict=True)]
    starts = np.concatenate(([0], np.cumsum(sizes)))
    count, rings = len(bands), block.shape[1]
    parts = [slice(int(a), int(b)) for a, b in pairwise(starts)]

    def green(x: Floats) -> Floats:
        many = x.shape[1]
        grid = np.zeros((len(along), rings, many))
        for row, span, part in zip(rows, spans, parts, strict=True):
            grid[row, span] += x[part].reshape(len(row), -1, many)
        modal = block @ (shapes.T @ grid.reshape(len(along), -1)).reshape(-1, rings, many)
        back = (shapes @ modal.reshape(len(modal), -1)).reshape(grid.shape)
        return np.concatenate([back[row, span].reshape(-1, many) for row, span in zip(rows, spans, strict=True)])

    # contacts of one shape on one ring have nearly the same inverse (the ends of the axis are far): one serves all
    alike: dict[tuple[object, ...], list[int]] = {}
    for c, (band, span) in enumerate(zip(bands, spans, strict=True)):
        alike.setdefault((span.start, *np.round(system.z[band] - system.z[band[0]], 9)), []).append(c)
    groups = []
    for members in alike.values():
        row, span = rows[members[0]], spans[members[0]]
        products = (shapes[row][:, None, :] * shapes[row][None, :, :]).reshape(len(row) ** 2, -1)
        wide = span.stop - span.start
        cells = (products @ block[:, span, span].reshape(len(block), -1)).reshape(len(row), len(row), wide, wide)
        own = cells.transpose(0, 2, 1, 3).reshape(len(row) * wide, -1)
        groups.append((members, cho_factor(own, lower=True, overwrite_a=True, check_finite=False)))

    def precondition(r: Floats) -> Floats:
        out = np.empty_like(r)
        for members, factor in groups:
            solved = cho_solve(factor, np.hstack([r[parts[c]] for c in members]), overwrite_b=True, check_finite=False)
            for c, part in zip(members, np.hsplit(solved, len(members)), strict=True):
                out[parts[c]] = part
        return out

    rhs = np.zeros((starts[-1], count))
    for c, part in enumerate(parts):
        rhs[part, c] = 1.0
    x = precondition(rhs)
    r = rhs - green(x)
    p = s = precondition(r)
    rho = np.einsum("ic,ic->c", r, s)
    iterations = 0
    while np.abs(r).max() > tolerance and iterations < limit:
        q = green(p)
        step = rho / np.maximum(np.einsum("ic,ic->c", p, q), 1e-300)
        x = x + step * p
        r = r - step * q
        s = precondition(r)
        new = np.einsum("ic,ic->c", r, s)
        p = s + (new / np.maximum(rho, 1e-300)) * p
        rho = new
        iterations += 1
    capacity = np.array([x[part].sum(axis=0) for part in parts])
    impedance = np.linalg.inv(capacity)
    unit = x @ impedance
    level = green(unit)
    spread = max(float(np.abs(level[part] - level[part].mean(axis=0)).max()) for part in parts) / float(np.abs(impedance).max())
    if not spread < 1e-8:
        raise ValueError(f"the contacts did not become equipotential (departure {spread:.1e} after {iterations} steps)")
    currents = [np.ascontiguousarray(unit[part].T.reshape(count, len(row), -1)) for part, row in zip(parts, rows, strict=True)]
    return currents, impedance, iterations, spread


def spline_coefficients(modal: Modal, dtype: type = np.float32) -> tuple[Floats, NDArray[np.floating]]:
    """Knots and coefficients (n2, nz, k) of quintic splines along z through the nodes.

    float32 rounds V by 6e-8: second differences at 1 mm are about 3 % of V where they matter, so they keep five digits.
    """
    s = modal.sweep
    unit = make_interp_spline(s.z, np.eye(len(s.z)), k=5)
    to_coefficients = unit.c @ s.shapes
    modes, n, k = modal.values.shape
    out: NDArray[np.floating] = np.empty((n, len(s.z), k), dtype=dtype)
    for low in range(0, n, 1000):
        part = to_coefficients @ modal.values[:, low : low + 1000].reshape(modes, -1)
        out[low : low + 1000] = part.reshape(len(s.z), -1, k).transpose(1, 0, 2)
    return np.asarray(unit.t, dtype=float), out
