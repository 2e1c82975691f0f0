"""Contacts in a spine that varies along z: conjugate gradients on all contacts at once, preconditioned by a cycle over levels (``levels``).

The search directions of all contacts form one block. At the end the solution of each contact is replaced by the best one in the span of
all of them (Galerkin), so that reciprocity and the energy identity hold to rounding whatever the tolerance. Where a good guess is known, it is
corrected on the second level in place of that, which is a third as dear, and smoothed on the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epidura.numerics.blas import OneThread
from epidura.numerics.ldlt import threads
from epidura.numerics.levels import Levels
from epidura.numerics.section import Section
from epidura.numerics.spine import Layout, Operator, Spine, combine, gram

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Watch = Callable[[str, float], None]
"""Told in words what is done now and which share of the whole is done, 0 to 1; may raise to end the work."""

ASSEMBLED, PREPARED, SOLVED = 0.03, 0.15, 0.97
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
    spine: Spine, z: Floats, touches: Sequence[Touch], tolerance: float = 1e-8, limit: int = 100, watch: Watch | None = None,
    start: Callable[[], Floats] | None = None,
) -> Solved:  # fmt: skip
    """Potentials and impedances of equipotential contacts, 1 A out of one at a time, the others floating.

    Args:
        z: (nz,) nodes of the quadratic axis; stations and contact edges are ends of elements.
        tolerance: of the residual, relative, in the norm of the preconditioner.
        watch: called before each part and after each step of the conjugate gradients; what it raises ends the work.
        start: gives (nodes of the section, nz, contacts) V/A, a guess that need not be constant on contacts; None: nothing is known. With one, the
            tolerance is of the last correction, relative, in the norm of the energy; what is left is about as large on the first level.

    Raises:
        NotConverged: no convergence in ``limit`` steps.
        ValueError: contacts that are not on the mesh.
    """
    say: Watch = watch or silent
    say("assembling the matrix", 0.0)
    operator, mask = problem(spine, z, touches)
    say("preparing the iteration", ASSEMBLED)
    with ThreadPoolExecutor(1) as beside:
        guessed = None if start is None else beside.submit(_guess, operator, mask, start)
        precondition = Levels(operator, mask, lambda share: say("preparing the iteration", ASSEMBLED + (PREPARED - ASSEMBLED) * share))
        guess = None if guessed is None else guessed.result()
    count = len(touches)
    iterations, residual = 0, 0.0
    blocks = [list(range(low, min(low + BLOCK, count))) for low in range(0, count, BLOCK)]
    found = []
    for i, some in enumerate(blocks):
        def step(number: int, left: float, i: int = i) -> None:
            # the residual falls by about the same factor in every step
            share = (i + min(max(np.log(left) / np.log(tolerance), 0.0), 1.0)) / len(blocks)
            what = "conjugate gradients, step {}: residual" if guess is None else "step {}: correction"
            say(f"{what.format(number)} {left:.0e} of {tolerance:.0e}", PREPARED + (SOLVED - PREPARED) * share)

        if guess is None:
            x, steps, left = _conjugate(operator, precondition, mask, some, tolerance, limit, None if watch is None else step)
        else:
            x, steps, left = _corrected(operator, precondition, mask, some, guess[:, some], tolerance, limit, None if watch is None else step)
        found.append(x[:, : len(some), : len(z)])
        iterations, residual = max(iterations, steps), max(residual, left)
    say("putting the contacts together", SOLVED)
    del precondition, x
    values = found[0] if len(found) == 1 else np.concatenate(found, axis=1)
    del found
    return galerkin(operator, mask, touches, values, iterations, residual)


def _guess(operator: Operator, mask: NDArray[np.bool_], start: Callable[[], Floats]) -> Floats:
    """(rows, contacts, nz) what is known at the nodes, constant on contacts and nothing at the ends of the axis."""
    layout = operator.layout
    out = np.ascontiguousarray(start()[layout.node].transpose(0, 2, 1))
    out[:, :, [0, -1]] = 0.0
    first = layout.size - mask.shape[1]
    for one in mask:
        node, z = np.nonzero(one)
        out[first + node, :, z] = out[first + node, :, z].mean(axis=0)
    return out


def silent(words: str, share: float) -> None:
    """Nobody watches."""


def problem(spine: Spine, z: Floats, touches: Sequence[Touch]) -> tuple[Operator, NDArray[np.bool_]]:
    """The matrix, and (contacts, r, padded) which of its last rows and z belong to each contact."""
    used = np.unique(spine.section.labels)
    nowhere = used[~(spine.transverse[:, used] > 0).any(axis=0)]
    if len(nowhere):
        raise ValueError(f"regions {nowhere} conduct nowhere; make them holes")
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

    def mixed(low: int) -> None:
        values[low : low + 512] = np.matmul(mix.T, values[low : low + 512])

    with OneThread(), ThreadPoolExecutor(threads()) as pool:
        list(pool.map(mixed, range(0, layout.size, 512)))
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


@dataclass(frozen=True)
class _Loads:
    """Where the contacts ``some`` are, and 1 A out of each of them.

    Attributes:
        places: of every contact, the rows and z of its nodes.
        x, load: (rows, k, padded) nothing, and the loads.
    """

    places: list[tuple[Ints, Ints]]
    x: Floats
    load: Floats

    @classmethod
    def of(cls, operator: Operator, mask: NDArray[np.bool_], some: Sequence[int]) -> _Loads:
        first = operator.layout.size - mask.shape[1]
        places = [(first + rows, z) for rows, z in (np.nonzero(one) for one in mask)]
        k = -(-len(some) // 4) * 4  # kernels take four right-hand sides at a time
        x, load = operator.zeros(k), operator.zeros(k)
        for column, c in enumerate(some):
            rows, z = places[c]
            load[rows[0], column, z[0]] = 1.0
        return cls(places, x, load)

    def merge(self, r: Floats) -> None:
        """A contact is one unknown: its load stands at its first node."""
        for rows, z in self.places:
            total = r[rows, :, z].sum(axis=0)
            r[rows, :, z] = 0.0
            r[rows[0], :, z[0]] = total

    def levels(self, x: Floats, some: Sequence[int]) -> Floats:
        """Potential of each contact in its own solution."""
        return np.array([x[self.places[c][0][0], column, self.places[c][1][0]] for column, c in enumerate(some)])


def _conjugate(
    operator: Operator, precondition: Levels, mask: NDArray[np.bool_], some: Sequence[int], tolerance: float, limit: int,
    step_done: Callable[[int, float], None] | None = None,
) -> tuple[Floats, int, float]:  # fmt: skip
    """Block conjugate gradients for 1 A out of each of the contacts ``some``: solutions, steps, relative residual."""
    loads = _Loads.of(operator, mask, some)
    x, r, k, used = loads.x, loads.load, loads.x.shape[1], len(some)
    p, q, s, room = (operator.zeros(k) for _ in range(4))
    start = np.diag(gram(r, precondition(r, p, room)))[:used].copy()
    steps, left = 0, 1.0
    while left >= tolerance and steps < limit:
        operator.apply(p, out=q)
        energy = gram(p, q)[:used, :used]
        inverse = np.linalg.pinv(0.5 * (energy + energy.T), rcond=1e-13, hermitian=True)
        step = np.zeros((k, k))
        step[:used, :used] = inverse @ gram(p, r)[:used, :used]
        combine(p, step, x)
        combine(q, step, r, -1.0)
        loads.merge(r)
        steps += 1
        left = float(np.sqrt(np.maximum(np.diag(gram(r, precondition(r, s, room)))[:used], 0.0) / start).max())
        if step_done is not None:
            step_done(steps, left)
        back = np.zeros((k, k))
        back[:used, :used] = inverse @ gram(q, s)[:used, :used]
        combine(p, back, s, -1.0)
        p, s = s, p
    if left >= tolerance:
        raise NotConverged(f"conjugate gradients reached {left:.1e} of {tolerance:.1e} in {limit} steps", left, limit)
    return x, steps, left


def _corrected(
    operator: Operator, levels: Levels, mask: NDArray[np.bool_], some: Sequence[int], known: Floats, tolerance: float, limit: int,
    step_done: Callable[[int, float], None] | None = None,
) -> tuple[Floats, int, float]:  # fmt: skip
    """A guess, corrected on the second level by the best mixture of all contacts' cycles there and smoothed on the first, in turns, the
    correction last: solutions, steps, size of the last correction.

    Both lower the energy whatever the guess. A step costs two thirds of one of conjugate gradients: it has no use for the first half of their
    smoothing, because what a moved lead changes is smooth but at borders of the wall.

    Args:
        known: (rows, contacts, nz) the guess; constant on contacts.
    """
    loads = _Loads.of(operator, mask, some)
    x, r, used = loads.x, np.empty_like(loads.x), len(some)
    x[:, :used, : known.shape[2]] = known
    steps, left = 0, np.inf
    while True:
        operator.residual(x, loads.load, r)
        loads.merge(r)
        size = levels.correct(x, r)[:used]
        steps += 1
        # the energy of a solution is the potential of its contact; of a bad guess that may be nothing yet
        left = float(np.sqrt(np.maximum(size, 0.0) / np.maximum(loads.levels(x, some), np.finfo(float).tiny)).max())
        if step_done is not None:
            step_done(steps, left)
        if left < tolerance:
            return x, steps, left
        if steps == limit:
            raise NotConverged(f"corrections reached {left:.1e} of {tolerance:.1e} in {limit} steps", left, limit)
        levels.fine.smooth(x, loads.load, backward=True)
