"""Contacts in a spine that varies along z: conjugate gradients on all contacts at once, preconditioned by a Schwarz method.

The preconditioner is symmetric and multiplicative, of two kinds of solvers. Columns: the line along z of a node of the plane is
solved exactly, one node after the other (Gauss-Seidel), wherever the matrix departs from its average over z by more than
``UNLIKE``: where tissue changes, where shape changes, where a lead runs obliquely. The whole: the section with the average over z of
shape and conductivity, by fast diagonalisation, the contacts held at one potential each. The columns come first and, in reverse
order, last. The regions follow from the matrix; none is picked by hand.

The search directions of all contacts form one block. At the end the solution of each contact is replaced by the best one in the span of
all of them (Galerkin), so that reciprocity and the energy identity hold to rounding whatever the tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epidura.numerics.coarse import Coarse, functions
from epidura.numerics.modal import Bands, Modes
from epidura.numerics.section import Section
from epidura.numerics.spine import Columns, Layout, Operator, Spine, axis_matrices, combine, gram, hats, plane_matrices

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

UNLIKE = 1.3
"""Rows whose stiffness is so many times that of the average, or less than that share of it, are smoothed."""

SLIGHT = 0.05
"""Rows whose stiffness departs from the average by less than this share do not shape the coarse space."""

FADE = 10e-3
"""Distance from the contacts at which the average over z counts half, m."""

Watch = Callable[[str, float], None]
"""Told in words what is done now and which share of the whole is done, 0 to 1; may raise to end the work."""

ASSEMBLED, PREPARED, SOLVED = 0.01, 0.5, 0.97
"""Shares of the time of a solve up to the end of its parts, for who watches: measured, in round figures."""

BLOCK = 16
"""Contacts solved together; more are solved in turns, to bound the memory."""


class NotConverged(ValueError):
    """An iteration that did not reach its tolerance: the relative residual it reached, in so many steps."""

    def __init__(self, words: str, residual: float, steps: int):
        super().__init__(words)
        self.residual, self.steps = residual, steps


@dataclass(frozen=True)
class Touch:
    """A contact: ring nodes ``nodes`` (of the section) between the axis nodes z0 and z1, m."""

    nodes: Ints
    z0: float
    z1: float


@dataclass(frozen=True)
class Solved:
    """Potentials of the contacts.

    Attributes:
        values: (rows, contacts, nz) V/A at the free nodes of the plane, rows as in ``layout``.
        impedance: (c, c) ohm.
        operator: what was solved.
        iterations: of the conjugate gradients (the most of any block).
        residual: relative, in the norm of the preconditioner.
        touches: the contacts.
        currents: by contact (nodes, nz, contacts) A: current out of each of its nodes, for every unit solution.
    """

    values: Floats
    impedance: Floats
    operator: Operator
    iterations: int
    residual: float
    touches: tuple[Touch, ...]
    currents: tuple[Floats, ...]

    def at_nodes(self) -> Floats:
        """(nodes of the section, nz, contacts) V/A, zero on the outermost loop."""
        layout = self.operator.layout
        out = np.zeros((len(layout.row), len(self.operator.z), self.values.shape[1]))
        out[layout.node] = self.values.transpose(0, 2, 1)
        return out


def solve_touches(
    spine: Spine, z: Floats, touches: Sequence[Touch], tolerance: float = 1e-8, limit: int = 100, watch: Watch | None = None
) -> Solved:
    """Potentials and impedances of equipotential contacts, 1 A out of one at a time, the others floating.

    Args:
        z: (nz,) nodes of the quadratic axis; stations and contact edges are ends of elements.
        tolerance: of the residual, relative, in the norm of the preconditioner.
        watch: called before each part and after each step of the conjugate gradients; what it raises ends the work.

    Raises:
        NotConverged: conjugate gradients that do not converge in ``limit`` steps.
        ValueError: contacts that are not on the mesh.
    """
    say: Watch = watch or silent
    say("assembling the matrix", 0.0)
    operator, mask = problem(spine, z, touches)
    say("preparing the iteration", ASSEMBLED)
    first, final = min(t.z0 for t in touches), max(t.z1 for t in touches)

    def factorised(share: float) -> None:
        say("factorising the modes along the spine", ASSEMBLED + 0.9 * (PREPARED - ASSEMBLED) * share)

    precondition = Schwarz(operator, Bands(mask), (first, final), None if watch is None else factorised)
    count = len(touches)
    iterations, residual = 0, 0.0
    blocks = [list(range(low, min(low + BLOCK, count))) for low in range(0, count, BLOCK)]
    found = []
    for i, some in enumerate(blocks):
        def step(number: int, left: float, i: int = i) -> None:
            # the residual falls by about the same factor in every step
            share = (i + min(max(np.log(left) / np.log(tolerance), 0.0), 1.0)) / len(blocks)
            say(f"conjugate gradients, step {number}: residual {left:.0e} of {tolerance:.0e}", PREPARED + (SOLVED - PREPARED) * share)

        x, steps, left = _conjugate(operator, precondition, mask, some, tolerance, limit, None if watch is None else step)
        found.append(x[:, : len(some), : len(z)])
        iterations, residual = max(iterations, steps), max(residual, left)
    say("putting the contacts together", SOLVED)
    del precondition, x
    values = found[0] if len(found) == 1 else np.concatenate(found, axis=1)
    del found
    return galerkin(operator, mask, touches, values, iterations, residual)


def silent(words: str, share: float) -> None:
    """Nobody watches."""


def problem(spine: Spine, z: Floats, touches: Sequence[Touch]) -> tuple[Operator, NDArray[np.bool_]]:
    """The matrix, and (contacts, r, padded) which of its last rows and z belong to each contact."""
    ring = np.unique(np.concatenate([t.nodes for t in touches]))
    layout = Layout(spine.section, _whole_rings(spine.section, ring))
    operator = Operator(spine, layout, z)
    return operator, _mask(layout, z, operator.padded, touches)


def galerkin(operator: Operator, mask: NDArray[np.bool_], touches: Sequence[Touch], values: Floats, iterations: int, residual: float) -> Solved:
    """The mixture X W⁻¹ L of all solutions, with the energies W = Xᵀ A X and the levels L = bᵀ X of the contacts: reciprocity is exact.

    Args:
        values: (rows, contacts, nz) X, constant on every contact; mixed in place.
    """
    layout, z, count = operator.layout, operator.z, len(touches)
    energy = np.empty((count, count))
    flows = [np.zeros((len(t.nodes), len(z), count)) for t in touches]
    for low in range(0, count, BLOCK):
        some = list(range(low, min(low + BLOCK, count)))
        padded = operator.zeros(-(-len(some) // 4) * 4)
        padded[:, : len(some), : len(z)] = values[:, some]
        product = operator.apply(padded)[:, : len(some), : len(z)]
        energy[:, some] = gram(values, product)
        for t, part in zip(touches, flows, strict=True):
            inside = (z >= t.z0 - 1e-12) & (z <= t.z1 + 1e-12)
            part[:, inside, some[0] : some[-1] + 1] = product[layout.row[t.nodes]].transpose(0, 2, 1)[:, inside]
    first_row = layout.size - mask.shape[1]
    level = np.array([values[first_row + p, :, at] for p, at in (np.argwhere(m)[0] for m in mask)])
    mix = np.linalg.solve(0.5 * (energy + energy.T), level.T)
    for low in range(0, layout.size, 512):
        values[low : low + 512] = np.matmul(mix.T, values[low : low + 512])
    currents = tuple(part @ mix for part in flows)
    impedance = level @ mix
    return Solved(values, 0.5 * (impedance + impedance.T), operator, iterations, residual, tuple(touches), currents)


def _whole_rings(section: Section, nodes: Ints) -> Ints:
    """All nodes of the rings that hold any of ``nodes``."""
    used = [ring for ring in section.rings if np.isin(ring, nodes).any()]
    if not np.isin(nodes, np.concatenate(used) if used else np.empty(0, dtype=np.int64)).all():
        raise ValueError("a contact has nodes that are not on a ring")
    return np.concatenate(used)


def _mask(layout: Layout, z: Floats, padded: int, touches: Sequence[Touch]) -> NDArray[np.bool_]:
    """(contacts, r, padded) which of the last rows and z belong to each contact."""
    rings = layout.plan.last
    mask = np.zeros((len(touches), rings, padded), dtype=bool)
    for c, touch in enumerate(touches):
        low, high = int(np.argmin(np.abs(z - touch.z0))), int(np.argmin(np.abs(z - touch.z1)))
        if abs(z[low] - touch.z0) > 1e-9 or abs(z[high] - touch.z1) > 1e-9 or high <= low or low % 2 or high % 2:
            raise ValueError(f"the edges of a contact, z = {touch.z0} and {touch.z1} m, must be ends of elements of the axis")
        mask[c, (layout.row[touch.nodes] - (layout.size - rings))[:, None], np.arange(low, high + 1)] = True
    if mask.sum(axis=0).max() > 1:
        raise ValueError("two contacts share a node")
    return mask


class Schwarz:
    """The preconditioner.

    Args:
        operator: the matrix.
        bands: contacts.
        focus: stretch of z around which the average is taken, m.
        watch: told the share of the modes that is factorised, from several threads; may raise to end the work.
    """

    def __init__(self, operator: Operator, bands: Bands | None, focus: tuple[float, float], watch: Callable[[float], None] | None = None):
        self.operator = operator
        spine, layout = operator.spine, operator.layout
        ends = operator.z[::2]
        length = np.diff(ends)
        middle = 0.5 * (ends[1:] + ends[:-1])
        near = 1.0 / (1.0 + (np.clip(np.maximum(focus[0] - middle, middle - focus[1]), 0.0, None) / FADE) ** 2)
        weight = near * length / (near * length).sum()
        transverse, longitudinal = (_average(sigma[operator.interval], weight) for sigma in (spine.transverse, spine.longitudinal))
        # how much each station of the shape counts
        share = np.array([(hat.mean(axis=1) * weight).sum() for _, hat in hats(spine.z, ends)])
        points = spine.section.points if spine.positions is None else np.tensordot(share, spine.positions, axes=1)
        bend = 0.0 if spine.bend is None else float(share @ spine.bend)
        k, m, _ = plane_matrices(layout, spine.section, points, transverse, longitudinal, None, bend)
        stiffness, mass = axis_matrices(operator.z)
        self.whole = Modes(layout.plan, k, m, stiffness, mass, operator.padded, bands, watch)
        self.mask = None if bands is None else bands.mask
        held, lowest, highest = self._along(near > 0.1)
        own = k[np.repeat(np.arange(layout.size), np.diff(layout.indptr)) == layout.indices]
        rows = np.flatnonzero(((highest > UNLIKE * own) | (lowest < own / UNLIKE)) & ~held)
        self.columns = Columns(operator, rows) if len(rows) else None
        departure = np.maximum(highest - own, own - lowest)
        found = functions(operator, k, np.where(departure > SLIGHT * own, departure, 0.0), held)
        self.coarse = Coarse(operator, found) if found.shape[1] else None

    def _along(self, counted: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], Floats, Floats]:
        """Rows of contacts or of what conducts for part of the way only; the least and the largest stiffness of each row along z."""
        operator = self.operator
        layout, section = operator.layout, operator.spine.section
        here = np.zeros((layout.size, int(counted.sum())))
        for part in operator.parts:
            weight = part.weight.mean(axis=1)[counted]
            there = np.flatnonzero(weight)
            if len(there):
                here[:, there] += part.diagonal()[:, :1] * weight[there]
        held = np.arange(layout.size) >= layout.size - layout.plan.last
        dead = (operator.spine.transverse == 0).any(axis=0)[section.labels]
        inside = layout.row[np.unique(section.triangles[dead])]
        held[inside[inside >= 0]] = True
        return held, here.min(axis=1), here.max(axis=1)

    def __call__(self, residual: Floats, out: Floats | None = None, room: Floats | None = None) -> Floats:
        """Loads (rows, k, padded) -> approximate potentials, constant on every contact.

        Args:
            out, room: arrays of this shape, for the result and to work in: fresh memory costs as much as a product.
        """
        out = np.empty_like(residual) if out is None else out
        if self.columns is None:
            out[:] = self.whole.solve(residual)
            return self._level(out)
        room = np.empty_like(residual) if room is None else room
        out[:] = 0.0
        self.columns.sweep(out, residual)
        self.columns.residual(out, residual, room)
        out += self.whole.solve(room)
        self._level(out)
        self.columns.sweep(out, residual, backward=True)
        return out

    def _level(self, x: Floats) -> Floats:
        """Contacts made exactly equipotential: single precision leaves them so to seven digits only."""
        if self.mask is not None:
            first_row = len(x) - self.mask.shape[1]
            for band in self.mask:
                node, z = np.nonzero(band)
                x[first_row + node, :, z] = x[first_row + node[0], :, z[0]]
        return x


def _average(sigma: Floats, weight: Floats) -> Floats:
    """(labels,) mean of (elements, labels) over what conducts."""
    there = sigma > 0
    share = (there * weight[:, None]).sum(axis=0)
    if not (share > 0).all():
        raise ValueError(f"regions {np.flatnonzero(share == 0)} conduct nowhere; make them holes")
    return np.asarray((sigma * weight[:, None]).sum(axis=0) / share)


def _conjugate(
    operator: Operator, precondition: Schwarz, mask: NDArray[np.bool_], some: Sequence[int], tolerance: float, limit: int,
    step_done: Callable[[int, float], None] | None = None,
) -> tuple[Floats, int, float]:
    """Block conjugate gradients for 1 A out of each of the contacts ``some``: solutions, steps, relative residual."""
    k = -(-len(some) // 4) * 4  # kernels take four right-hand sides at a time
    x, r = operator.zeros(k), operator.zeros(k)
    first_row = operator.layout.size - mask.shape[1]
    ring, at = [np.nonzero(m) for m in mask], [np.argwhere(m)[0] for m in mask]
    for column, c in enumerate(some):
        r[first_row + at[c][0], column, at[c][1]] = 1.0

    def merge() -> None:
        """A contact is one unknown: its load stands at its first node."""
        for (node, z), (p, first) in zip(ring, at, strict=True):
            total = r[first_row + node, :, z].sum(axis=0)
            r[first_row + node, :, z] = 0.0
            r[first_row + p, :, first] = total

    used = len(some)
    p, q, s, room = (operator.zeros(k) for _ in range(4))

    def direction() -> Floats:
        """The preconditioned residual, outside of the coarse space, in s."""
        precondition(r, s, room)
        if precondition.coarse is not None:
            operator.apply(s, out=room)
            precondition.coarse.project(s, room)
        return s

    start = np.diag(gram(r, direction()))[:used].copy()
    steps, left = 0, 1.0
    p, s = s, p
    while steps < limit:
        operator.apply(p, out=q)
        energy = gram(p, q)[:used, :used]
        inverse = np.linalg.pinv(0.5 * (energy + energy.T), rcond=1e-13, hermitian=True)
        step = np.zeros((k, k))
        step[:used, :used] = inverse @ gram(p, r)[:used, :used]
        combine(p, step, x)
        combine(q, step, r, -1.0)
        merge()
        steps += 1
        left = float(np.sqrt(np.maximum(np.diag(gram(r, direction()))[:used], 0.0) / start).max())
        if step_done is not None:
            step_done(steps, left)
        if left < tolerance:
            break
        back = np.zeros((k, k))
        back[:used, :used] = inverse @ gram(q, s)[:used, :used]
        combine(p, back, s, -1.0)
        p, s = s, p
    else:
        raise NotConverged(f"conjugate gradients reached {left:.1e} of {tolerance:.1e} in {limit} steps", left, limit)
    return x, steps, left
