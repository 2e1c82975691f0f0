"""Many myelinated fibres at once: the double cable with its internodes eliminated exactly.

An internode is linear and does not change in time. With x and y the intracellular and periaxonal potentials of its
ten compartments, both relative to the outside potential e beside them (x also to rest E),

    C d/dt (x, y) + G (x, y) = b_L V_L + b_R V_R + D(t),     D = differences of e between neighbours, weighted

with C and G symmetric, C positive definite. Mirror symmetry splits it into ten even and ten odd modes of
G phi = lambda C phi, each driven by S = V_L + V_R or V_L - V_R:

    da/dt = -lambda a + beta^2 S + beta delta(t),     current into the node = sum of even a +- sum of odd a

where beta is the mode's value at the node times the axial conductance. What is left per step is a scalar tridiagonal
system over the nodes. The end internodes, sealed towards the passive first and last node, have no mirror symmetry; their
twenty modes fill the same twenty places (the other node held at 0 makes S the same up to its sign).

Two schemes: backward Euler, the same numbers as NEURON's fixed step, and a second-order one (exact exponential modes with
linear drive within the step, trapezoidal nodes, gates staggered by half a step). docs/fibre.md has the mathematics.

Units: um, mV, ms, nA, uS, nF; potentials come in as V/A, amplitudes as A.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from epidura.numerics import course as courses
from epidura.numerics import kinetics, simd
from epidura.numerics.guessing import Learner
from epidura.numerics.kinetics import BASE, GATES, Mrg
from epidura.numerics.shelf import Shelf

if TYPE_CHECKING:
    from epidura.numerics import cable_cuda

Floats = NDArray[np.float64]

PER_INTERNODE = 10  # compartments between two nodes
MODES, HALF, KINDS = 20, 10, 3
REST_STEPS, REST_DT = 40, 5.0  # rest: this many backward Euler steps of this many ms, as in NEURON
TABLES = True  # gates from tables where the processor permits
BATCHES, FEWEST, MOST = 4, 64, 512  # of fibres made ready together: some for each thread, so that none waits at the end
FIRST_ON_DEVICE, ON_DEVICE = 256, 8192  # the same on a graphics processor
ROOM = 2**27  # bytes for the linear responses of a group of fibres
_KNOWN_MODES, _KNOWN_REST = Shelf(2048), Shelf(2048)  # of fibres by what describes them, some 10 kB each: contacts change, fibres do not
PER_PART = ("response", "fixed_response", "kept", "fixed_kept")
TINY = 1e-30
ALWAYS = np.array([0.0, np.inf])
LOWEST = 1e-12  # A, where a search ends
CAREFUL, SPREADS = 1.25, 1.5  # first steps of a search: ratio while nothing is known, then in standard deviations of the guess
NOTED = 12  # runs of a search from which margins are learnt
UNDRIVEN, PAST = 0.01, 5  # share of the largest second difference, and nodes to go on, from which an action potential runs alone
WAIT_QUIET, WAIT_MOST = 0.25, {Mrg: 8.0, kinetics.Sundt: 40.0, kinetics.Sensory: 8.0}  # ms after the last edge
FIRES = -30.0  # mV
LOW, QUIET = -12.0, {Mrg: 10.0, kinetics.Sundt: 5.0, kinetics.Sensory: 10.0}  # mV from rest, between which nothing will fire any more
# A mode that forgets within a step needs no memory of its own: what it forgets slower than this is lost.
FORGOTTEN = {"float32": 12.0, "float64": 24.0}  # decay times step, second order: e^-12 = 6e-6 of 3 % of the current
SMALL = {"float32": 1e-5, "float64": 1e-8}  # share of the node's current that a mode remembers, backward Euler


@dataclass(frozen=True)
class Cable:
    """Electrical description of one internode period of (f) fibres; mirror-symmetric.

    Attributes:
        c_axolemma, g_axolemma: (f, 10) nF, uS.
        c_myelin, g_myelin: (f, 10) nF, uS.
        g_axial, g_periaxonal: (f, 11) uS between node, the ten compartments and the next node.
        c_node: (f,) nF.
        membrane: of the nodes.
    """

    c_axolemma: Floats
    g_axolemma: Floats
    c_myelin: Floats
    g_myelin: Floats
    g_axial: Floats
    g_periaxonal: Floats
    c_node: Floats
    membrane: Mrg


@dataclass(frozen=True)
class ActiveCable(Cable):
    """The same with channels under the myelin, as the membrane has them; ``g_axolemma`` is what they conduct at rest."""

    membrane: kinetics.Sensory  # type: ignore[assignment]


@dataclass(frozen=True)
class Segments:
    """Electrical description of (f) unmyelinated fibres: a single cable of equal segments, every one a live node.

    Attributes:
        c_node: (f,) nF.
        g_axial: (f,) uS from segment to segment.
        membrane: of the segments.
    """

    c_node: Floats
    g_axial: Floats
    membrane: kinetics.Sundt


_AnyCable = TypeVar("_AnyCable", bound=Cable | Segments)


@dataclass(frozen=True)
class _Modes:
    """Modes of one kind of internode: (f, 20) decay in 1/ms and drive, and the shapes (f, 20 unknowns, 20 modes).

    Ten even or ten odd ones each begin with the slowest. ``beta`` already carries the axial conductance and, squared, the
    division by the capacitance of the node.
    """

    decay: Floats
    beta: Floats
    shape: Floats


def _matrices(cable: Cable, seal_left: bool, seal_right: bool) -> tuple[Floats, Floats]:
    """C and G of an internode, (f, 20, 20): ten intracellular unknowns, then ten periaxonal ones."""
    f, n = cable.c_node.size, PER_INTERNODE
    capacity, conduct = np.zeros((f, 2 * n, 2 * n)), np.zeros((f, 2 * n, 2 * n))
    inner, outer = np.arange(n), np.arange(n, 2 * n)
    for matrix, axolemma, myelin in ((capacity, cable.c_axolemma, cable.c_myelin), (conduct, cable.g_axolemma, cable.g_myelin)):
        matrix[:, inner, inner] += axolemma
        matrix[:, inner, outer] -= axolemma
        matrix[:, outer, inner] -= axolemma
        matrix[:, outer, outer] += axolemma + myelin
    axial = cable.g_axial.copy()
    if seal_left:
        axial[:, 0] = 0.0
    if seal_right:
        axial[:, -1] = 0.0
    for along, places in ((axial, inner), (cable.g_periaxonal, outer)):
        conduct[:, places, places] += along[:, :-1] + along[:, 1:]
        conduct[:, places[:-1], places[1:]] -= along[:, 1:-1]
        conduct[:, places[1:], places[:-1]] -= along[:, 1:-1]
    return capacity, conduct


def _eigen(capacity: Floats, conduct: Floats) -> tuple[Floats, Floats]:
    """Values (f, k) and C-orthonormal vectors (f, k, k) of G phi = lambda C phi."""
    lower = np.linalg.inv(np.linalg.cholesky(capacity))
    values, vectors = np.linalg.eigh(lower @ conduct @ lower.transpose(0, 2, 1))
    return values, lower.transpose(0, 2, 1) @ vectors


def _middle(cable: Cable) -> _Modes:
    """Ten even modes, then ten odd ones."""
    capacity, conduct = _matrices(cable, False, False)
    half, n = PER_INTERNODE // 2, PER_INTERNODE
    found = []
    for sign in (1.0, -1.0):
        fold = np.zeros((2 * n, n))
        for k in range(half):
            for block in (0, 1):
                fold[block * n + k, block * half + k] = np.sqrt(0.5)
                fold[block * n + n - 1 - k, block * half + k] = sign * np.sqrt(0.5)
        values, vectors = _eigen(fold.T @ capacity @ fold, fold.T @ conduct @ fold)
        found.append((values, fold @ vectors))
    shape = np.concatenate([vectors for _, vectors in found], axis=2)
    beta = cable.g_axial[:, :1] * shape[:, 0, :]
    return _Modes(np.concatenate([values for values, _ in found], axis=1), beta, shape)


def _end(cable: Cable, left: bool) -> _Modes:
    """Twenty modes of the first or the last internode, driven by its one live node; dealt out to the even and odd places."""
    values, shape = _eigen(*_matrices(cable, left, not left))
    deal = np.r_[0:MODES:2, 1:MODES:2]
    values, shape = values[:, deal], shape[:, :, deal]
    at, axial = (PER_INTERNODE - 1, cable.g_axial[:, -1:]) if left else (0, cable.g_axial[:, :1])
    beta = axial * shape[:, at, :]
    if left:
        # the kernel takes the odd places with a minus sign at a right node: turn their sign here
        return _Modes(values, beta, shape * np.where(np.arange(MODES) < HALF, 1.0, -1.0))
    return _Modes(values, beta, shape)


@dataclass(frozen=True)
class _Recursion:
    """Coefficients of a mode over steps of several lengths; every array (d, f, 20).

    a+ - a = grow a + k0 S + k1 S+ + q, and the mean over the step (what the node sees) = f a + h0 S + h1 S+ + qa.
    q and qa are per unit of beta delta.
    """

    grow: Floats
    k0: Floats
    k1: Floats
    q: Floats
    f: Floats
    h0: Floats
    h1: Floats
    qa: Floats


def _recursion(decay: Floats, b2: Floats, dt: Floats, second_order: bool) -> _Recursion:
    """Of (f, 20) modes over (d, 1, 1) steps in ms."""
    if not second_order:
        shrink = 1.0 / (1.0 + decay * dt)
        none = np.zeros_like(shrink)
        return _Recursion(-decay * dt * shrink, none, b2 * dt * shrink, dt * shrink, shrink, none, b2 * dt * shrink, dt * shrink)
    z = decay * dt
    shrink, mean = np.exp(-z), -np.expm1(-z) / z
    k0 = b2 / decay * (mean - shrink)
    k1 = b2 / decay * (1.0 - mean)
    q = -np.expm1(-z) / decay
    return _Recursion(np.expm1(-z), k0, k1, q, mean, b2 / (2 * decay) - k0 / z, b2 / (2 * decay) - k1 / z, 1.0 / decay - q / z)


@dataclass(frozen=True)
class _Step:
    """All internodes and nodes over steps of several lengths: recursions of the three kinds of internode, and the internodes' part
    of the diagonal (d, f, 3) at the three kinds of node."""

    of: tuple[_Recursion, ...]
    diagonal: Floats

    def other(self, kind: int) -> Floats:
        """(d, f) coupling of a node to the one on the other side."""
        even, odd = _halves(self.of[kind].h1)
        return even - odd


def _halves(values: Floats) -> tuple[Floats, Floats]:
    """Sums over the even and over the odd modes."""
    return values[..., :HALF].sum(axis=-1), values[..., HALF:].sum(axis=-1)


class _Internodes:
    """The modes of the left end, the middle and the right end, and what a kernel needs of them.

    Args:
        cable: (f) fibres.
        sealed: whether the first and the last node are live; then the end internodes are like the others.
    """

    def __init__(self, cable: Cable, sealed: bool):
        self.cable, self.sealed, self.axial = cable, sealed, cable.g_axial[:, 0] / cable.c_node
        flat = _KNOWN_MODES.rows([(sealed, key) for key in _keys(cable)], lambda missing: self._flat(_part(cable, missing)))
        found = [_Modes(decay, beta, shape.reshape(-1, MODES, MODES)) for decay, beta, shape in
                 (np.split(kind, (MODES, 2 * MODES), axis=1) for kind in np.split(flat, 1 if sealed else KINDS, axis=1))]
        self.kinds: tuple[_Modes, ...] = tuple(found) if len(found) == KINDS else (found[0],) * KINDS

    def _flat(self, cable: Cable) -> Floats:
        """(f, numbers) all modes of some fibres."""
        kinds = (_middle(cable),) if self.sealed else (_end(cable, True), _middle(cable), _end(cable, False))
        return np.concatenate([part.reshape(cable.c_node.size, -1) for kind in kinds for part in (kind.decay, kind.beta, kind.shape)], axis=1)

    def step(self, dt: Floats, second_order: bool) -> _Step:
        """Over steps of (d,) ms."""
        of = tuple(_recursion(kind.decay, kind.beta**2 / self.cable.c_node[:, None], dt[:, None, None], second_order) for kind in self.kinds)
        theta = 0.5 if second_order else 1.0
        own = [sum(_halves(r.h1)) for r in of]
        beside = ((1,), (1, 1), (1,)) if self.sealed else ((0, 1), (1, 1), (1, 2))
        return _Step(of, np.stack([sum(theta * self.axial - own[k] for k in kinds) for kinds in beside], axis=-1))

    def kept(self, dt: Floats, second_order: bool, precision: str) -> NDArray[np.int64]:
        """(d, 3) how many modes of each parity keep a memory of their own over steps of (d,) ms."""
        result, steps, place = [], dt[:, None, None], np.arange(MODES) % HALF + 1
        for kind in self.kinds:
            weight = kind.beta**2 / kind.decay
            share = weight / weight.sum(axis=1, keepdims=True) / (1.0 + kind.decay * steps) ** 2
            keep = kind.decay * steps < FORGOTTEN[precision] if second_order else share > SMALL[precision]
            result.append((np.any(keep, axis=1) * place).max(axis=1))
        return np.stack(result, axis=1)

    def steps_of_w(self, step: _Step, kept: NDArray[np.int64], stride: int) -> tuple[Floats, Floats, Floats, Floats]:
        """Modes (d, f, 3, 2, stride, 2), sums (d, f, 18), full (d, f, 3, 20, 6) and static (d, f, 3, 2) of ``kernel.run`` and its change of level.

        A mode's state is a - k1 S over k = E k1 + k0, so that it grows by S each step and by nothing else. ``kept`` is (d, 3).
        """
        modes, sums, full, static = [], [], [], []
        for at, r in enumerate(step.of):
            k = (1.0 + r.grow) * r.k1 + r.k0
            share = r.f * k
            k = np.where(np.abs(k) < TINY, TINY, k)  # such a mode gives the node nothing
            lasting = np.arange(MODES) % HALF < kept[:, at, None, None]
            lost = np.where(lasting, 0.0, share / -r.grow)
            seen = np.stack(_halves(r.f * r.k1 + r.h0 + r.h1 + lost), axis=-1) - 0.5 * self.axial[:, None]
            sums.append(np.concatenate([step.other(at)[..., None], seen, -np.stack(_halves(lost / -r.grow), axis=-1)], axis=-1))
            both = np.where(lasting[..., None], np.stack([r.grow, share], axis=-1), 0.0)
            modes.append(both.reshape(*k.shape[:2], 2, HALF, 2)[..., :stride, :])
            full.append(np.stack([k, r.k0, r.k1, 1.0 / k, r.k1 / k, r.f], axis=-1))
            static.append(np.stack(_halves(r.h0 + r.h1), axis=-1) - 0.5 * self.axial[:, None])
        return np.stack(modes, axis=2), np.concatenate([*sums, step.diagonal], axis=-1), np.stack(full, axis=2), np.stack(static, axis=2)

    def steps_of_u(self, step: _Step, dt: Floats, leak: float, theta: float, kept: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
        """Modes (d, f, 3, 20, 6), sums (d, f, 18) and static (d, f, 3, 2, 2) of ``kernel.passive`` with ``leak`` 1/ms at the nodes, over (d,) ms."""
        modes, sums, static = [], [], []
        for at, r in enumerate(step.of):
            modes.append(np.stack([r.grow, r.k0, r.k1, r.f, r.q, r.qa], axis=-1))
            fast = np.where(np.arange(MODES) % HALF < kept[:, at, None, None], 0.0, r.f)
            given = np.stack([*_halves(fast * (r.k0 + r.k1)), *_halves(-fast * r.k0)], axis=-1)
            static.append(given.reshape(*given.shape[:-1], 2, 2).swapaxes(-2, -1))
            other, none = step.other(at), np.zeros(given.shape[:-1])
            sums.append(np.stack([other, *(half - 0.5 * self.axial for half in _halves(r.h0 + r.h1)), none, none], axis=-1))
        own = (1.0 / dt + theta * leak)[:, None, None] + step.diagonal
        return np.stack(modes, axis=2), np.concatenate([*sums, own], axis=-1), np.stack(static, axis=2)

    def drives(self, nodes: int, outside: Floats, which: NDArray[np.intp], onwards: bool = False) -> tuple[Floats, Floats]:
        """Drive of each node (f, nodes) and of each mode (f, nodes - 1, 20) per unit of ``outside`` (f, C) in mV.

        ``which`` (f,) of the cables each fibre is; ``onwards`` as in ``Engine``.
        """
        node, force = self.forces(nodes, outside, which, onwards)
        places = (slice(0, 1), slice(1, nodes - 2), slice(nodes - 2, nodes - 1))
        shapes = [kind.shape * (kind.beta / self.cable.c_node[:, None])[:, None, :] for kind in self.kinds]
        return node, np.concatenate([force[:, place] @ shape[which] for place, shape in zip(places, shapes, strict=True)], axis=1)

    def forces(self, nodes: int, outside: Floats, which: NDArray[np.intp], onwards: bool = False) -> tuple[Floats, Floats]:
        """Drive of each node (f, nodes) in mV/ms and current into each compartment (f, nodes - 1, 20) in nA, the ten intracellular ones first,
        per unit of ``outside`` as in ``drives``."""
        cable, n, f = self.cable, PER_INTERNODE, len(outside)
        differences = np.diff(outside, axis=1).reshape(f, nodes - 1, n + 1)
        flow_axial, flow_outer = differences * cable.g_axial[which, None, :], differences * cable.g_periaxonal[which, None, :]
        if not self.sealed:  # the passive end nodes have no axial path
            flow_axial[:, 0, 0], flow_axial[:, -1, -1] = self._through(outside, which) if onwards else (0.0, 0.0)
        force = np.concatenate([np.diff(flow_axial, axis=2), np.diff(flow_outer, axis=2)], axis=2)
        node = np.zeros((f, nodes))
        node[:, :-1] += flow_axial[:, :, 0]
        node[:, 1:] -= flow_axial[:, :, -1]
        node /= cable.c_node[which, None]
        if not self.sealed:
            node[:, [0, -1]] = 0.0
        return node, force

    def _through(self, outside: Floats, which: NDArray[np.intp]) -> tuple[Floats, Floats]:
        """(f,) axial current that the potential drives through the first and the last internode where the fibre goes on: what it falls by over all
        resistances in a row. The conductance beside a node alone would not do, since the axon is thinner there."""
        series, each = (1.0 / self.cable.g_axial[which]).sum(axis=1), PER_INTERNODE + 1
        return (outside[:, each] - outside[:, 0]) / series, (outside[:, -1] - outside[:, -1 - each]) / series


class _Axial(_Internodes):
    """As ``_Internodes`` for a fibre without any: between two nodes lies a conductance, and no mode remembers anything."""

    def __init__(self, cable: Segments):
        none = np.zeros((cable.c_node.size, MODES))
        self.sealed, self.axial = True, np.zeros(cable.c_node.size)
        self.kinds = (_Modes(none, none, np.empty(0)),) * KINDS
        self.flow = cable.g_axial / cable.c_node

    def step(self, dt: Floats, second_order: bool) -> _Step:
        """Over steps of (d,) ms. The conductance is an odd mode that follows S at once."""
        none, theta = np.zeros((dt.size, self.flow.size, MODES)), 0.5 if second_order else 1.0
        h0, h1 = none.copy(), none.copy()
        h0[..., HALF], h1[..., HALF] = -(1.0 - theta) * self.flow, -theta * self.flow
        r = _Recursion(none - 1.0, none, none, none, none, h0, h1, none)
        beside = theta * np.stack([self.flow, 2 * self.flow, self.flow], axis=-1)
        return _Step((r,) * KINDS, np.broadcast_to(beside, (dt.size, *beside.shape)))

    def kept(self, dt: Floats, second_order: bool, precision: str) -> NDArray[np.int64]:
        """(d, 3) none."""
        return np.zeros((dt.size, KINDS), np.int64)

    def drives(self, nodes: int, outside: Floats, which: NDArray[np.intp], onwards: bool = False) -> tuple[Floats, Floats]:
        """Drive of each node (f, nodes) per unit of ``outside`` (f, nodes) in mV, and none of modes."""
        flow = np.diff(outside, axis=1) * self.flow[which, None]
        first, last = (flow[:, :1], flow[:, -1:]) if onwards else (0.0, 0.0)
        return np.diff(flow, axis=1, prepend=first, append=last), np.zeros((len(outside), nodes - 1, MODES))


class Engine:
    """Fibres of one number of nodes with their potentials, ready to be run at any amplitude.

    Args:
        cable: (f) fibres.
        nodes: number of nodes N >= 5 of each.
        potentials: (f, patterns, 11 (N - 1) + 1) V per ampere of amplitude, node first, then the ten compartments; (f, patterns, N) for segments.
        samples: (patterns, steps) course of each pattern on the time grid, relative to the amplitude.
        dt: s.
        second_order: scheme; backward Euler without.
        precision: float32 or float64.
        sealed: whether the end nodes are live instead of passive.
        injection: (f,) node and (steps,) current into it in A, whatever the amplitude; or None.
        onwards: whether the fibres go on beyond their ends, where the potential is taken as straight, so that no end is driven; else they are cut
            there, and what the potential falls by drives the ends.
        together: whether the patterns are of one size, so that what is an edge or calm is judged by the largest course. Passive recharge brings
            patterns whose courses are some per cent of the others; each by itself has edges that are none. Else each is judged by itself.

    Raises:
        ValueError: shapes that do not fit, no samples, or numbers that are not finite.
    """

    def __init__(self, cable: Cable | Segments, nodes: int, potentials: Floats, samples: Floats, dt: float, second_order: bool = True,
                 precision: str = "float32", sealed: bool = False, injection: tuple[NDArray[np.int64], Floats] | None = None,
                 onwards: bool = False, together: bool = False):
        from epidura.numerics import cable_kernel as kernel

        f, self.per_node = cable.c_node.size, PER_INTERNODE + 1 if isinstance(cable, Cable) else 1
        width = self.per_node * (nodes - 1) + 1
        if nodes < 5:
            raise ValueError(f"a fibre of {nodes} nodes; the ends need at least 5")
        if potentials.ndim != 3 or potentials.shape[::2] != (f, width) or samples.ndim != 2 or len(samples) != potentials.shape[1]:
            raise ValueError(f"potentials of shape {potentials.shape} and courses of shape {samples.shape} for {f} fibres of {nodes} nodes")
        if samples.shape[1] == 0 or not 0 < dt < np.inf:
            raise ValueError(f"{samples.shape[1]} samples of the course, {dt} s apart")
        if not (np.isfinite(potentials).all() and np.isfinite(samples).all()):
            raise ValueError("a potential or a sample of the course is not finite")
        self.cable, self.nodes, self.potentials, self.samples = cable, nodes, potentials, samples
        if injection is not None and not (np.isfinite(injection[1]).all() and ((injection[0] >= 0) & (injection[0] < nodes)).all()):
            raise ValueError(f"an injection into a node outside 0 to {nodes - 1}, or a current that is not finite")
        self.dt, self.second_order, self.dtype, self.sealed = dt * 1e3, second_order, np.dtype(precision), sealed or self.per_node == 1
        self.lanes = 64 // self.dtype.itemsize
        self.injection, self.onwards, self.together = injection, onwards, together
        self.fixed = np.empty((0, 0)) if injection is None else injection[1][None] * 1e9
        busy = max(samples.shape[1], self.fixed.shape[1])
        self.quiet_from = busy + int(np.ceil(WAIT_QUIET / self.dt))
        # the bound of a calm recharge is known of this membrane only
        calm = courses.calm_from(samples, self.fixed, together) + int(np.ceil(WAIT_QUIET / self.dt))
        self.calm_from = calm if isinstance(cable.membrane, Mrg) else None
        self.steps = busy + int(np.ceil(WAIT_MOST[type(cable.membrane)] / self.dt))
        self.detect = int(0.9 * (nodes - 1))  # the node that must fire
        self.kernel = kernel

    def learner(self) -> Learner:
        """To be shared by engines of the same course."""
        jumps = np.flatnonzero(courses.edges(np.concatenate([self.samples, np.zeros((len(self.samples), 1))], axis=1)))
        return Learner((jumps[1] - jumps[0] if jumps.size > 1 else self.samples.shape[1]) * self.dt)

    @cached_property
    def plan(self) -> courses.Course:
        """Of a run that decides whether a fibre fires."""
        return self._plan(self.steps, self.quiet_from, self.calm_from, coarser=True)

    def _plan(self, steps: int, quiet_from: int, calm: int | None = None, coarser: bool = False) -> courses.Course:
        return courses.plan(self.samples, self.fixed, self.dt, steps, quiet_from, self.second_order, calm, coarser, self.together)

    def membrane(self, plan: courses.Course, precision: str) -> Any:
        """The membrane with the steps that its gates make; as tables where the processor is good at them."""
        own = self.cable.membrane._replace(steps=plan.gate_steps)
        return kinetics.tabled(own, precision) if TABLES and simd.permutes() else own

    def batch(self, members: NDArray[np.intp], plan: courses.Course, every_mode: bool = False) -> _Batch:
        """Some of the fibres made ready together; ``every_mode`` where currents are wanted."""
        if isinstance(self.cable, ActiveCable):
            from epidura.numerics.active import ActiveBatch

            return ActiveBatch(self, members, plan, every_mode)
        return _Batch(self, members, plan, every_mode)

    def net(self, kept: NDArray[np.int64], theta: float, lengths: Floats, plan: courses.Course,
            passive_kept: NDArray[np.int64] | None = None) -> Any:
        """What all fibres share, for the kernel; ``kept`` (levels, 3) and step in ms of each level, ``passive_kept`` (tables, 3)."""
        nodes, kernel, membrane = self.nodes, self.kernel, self.cable.membrane
        first, last = (0, nodes - 1) if self.sealed else (1, nodes - 2)
        kind, place = np.ones(nodes - 1, np.int64), np.ones(nodes, np.int64)
        place[first], place[last] = 0, 2
        if not self.sealed:
            kind[0], kind[-1] = 0, 2
        return kernel.Net(nodes, first, last, kind, place, kept, np.empty((0, KINDS), np.int64) if passive_kept is None else passive_kept,
                          int(kept.max()), lengths, theta, plan.by, plan.lag,
                          len(GATES[type(membrane)]), kernel.leak_at_rest(membrane),
                          FIRES - membrane.rest, LOW, QUIET[type(membrane)], self.detect, 1.0, nodes, 1, np.empty(0))

    def _lots(self, order: NDArray[np.intp], plan: courses.Course, threads: int, work: Callable[[_Batch, NDArray[np.intp], Any], None],
              every_mode: bool = False) -> None:
        """Run ``work(batch, members, lanes)`` for all fibres in groups of lanes, with the memory of some hundred fibres per thread."""
        size = min(max(-(-order.size // (BATCHES * max(1, threads))), FEWEST), MOST)

        def batch(first: int) -> None:
            made = self.batch(order[first : first + size], plan, every_mode)
            for members, lanes in made.lots():
                work(made, members, lanes)

        with ThreadPoolExecutor(max(1, threads)) as pool:
            list(pool.map(batch, range(0, order.size, size)))

    def thresholds(self, tolerance: float, ceiling: float, threads: int, learner: Learner | None = None,
                   device: cable_cuda.Device | None = None) -> Floats:
        """(3, f) threshold, and the bracket below and above, A; inf where nothing fires up to the ceiling.

        The brackets are neighbours on the grid (1 + tolerance)^k A, so they depend on nothing but the fibre and its
        potentials. ``learner`` goes on learning from call to call; ``device`` is a graphics processor to run on, see ``cable_cuda``.
        """
        if not (0 < tolerance < np.inf and 0 < ceiling < np.inf):
            raise ValueError(f"a tolerance of {tolerance} and a ceiling of {ceiling} A; both must be positive")
        learner, plan, unit = learner or self.learner(), self.plan, np.log1p(tolerance)
        highest, lowest = int(np.ceil(np.log(ceiling) / unit - 1e-9)), int(np.log(LOWEST) / unit)
        found, far, left = np.empty((3, self.cable.c_node.size)), self._far(), self._left()

        def guessed(features: Floats) -> tuple[Floats, float, bool, int]:
            """Where each threshold may be, in cells, how far off that is, whether nothing is known, and how far a search goes on at first."""
            guess, spread = learner.guess(features)
            guess = np.where(np.isfinite(guess), guess + (np.log(0.6) if spread is None else 0.0), np.log(ceiling))
            stride = max(1, round((np.log(CAREFUL) if spread is None else SPREADS * spread) / unit))
            return np.clip(guess / unit, lowest, highest), np.inf if spread is None else spread / unit, spread is None, stride

        def keep(members: NDArray[np.intp], features: Floats, below: NDArray[np.int64], above: NDArray[np.int64]) -> None:
            found[:, members] = bracket = _brackets(below, above, unit, lowest, highest, ceiling)[:, : members.size]
            learner.learn(features[: members.size], np.log(np.maximum(bracket[0], LOWEST)))

        def work(batch: _Batch, members: NDArray[np.intp], lanes: Any) -> None:
            own = np.append(members, np.full(self.lanes - members.size, members[-1]))
            features = np.column_stack([self.kernel.peaks(batch.net, lanes, plan.parts, plan.blocks), self.cable.c_node[own]])
            net = batch.net._replace(detect=int(far[members].max()), left=float(left[members].max()))
            shape, note = learner.margin.shape(features), np.full((NOTED, self.lanes, 4), np.nan)
            margins = self.kernel.Margins(*learner.margin.known(unit))
            below, above, _ = self.kernel.search(net, batch.membrane, lanes, plan.parts, plan.blocks, shape, margins, *guessed(features), unit,
                                                 lowest, highest, ALWAYS, self._watch(), note)
            keep(members, features, below, above)
            learner.margin.learn(shape[: members.size], note[:, : members.size], below, above, unit)

        if device is None:
            self._lots(np.arange(found.shape[1]), plan, threads, work)
            return found
        from epidura.numerics import cable_cuda

        # a small lot first: what it finds guesses the others
        for several in np.split(np.arange(found.shape[1]), range(FIRST_ON_DEVICE, found.shape[1], ON_DEVICE)):
            for fibres in cable_cuda.chunks(self.batch(several, plan), device, far[several]):
                own = several[fibres.members]
                features = np.column_stack([fibres.peaks, self.cable.c_node[own]])
                start, _, careful, stride = guessed(features)
                keep(own, features, *fibres.search(np.rint(start).astype(np.int64), stride, careful, unit, lowest, highest))
        return found

    def _far(self) -> NDArray[np.int64]:
        """(f,) node at which an action potential has left all that drives it, and will arrive at ``detect``."""
        if self.injection is not None:  # which may drive any node on the way
            return np.full(self.cable.c_node.size, self.detect)
        bend = (np.abs(self._bend()) * np.abs(self.samples).max(axis=1)[:, None]).sum(axis=1)
        driven = bend > UNDRIVEN * bend.max(axis=1, keepdims=True)
        last = bend.shape[1] - np.argmax(driven[:, ::-1], axis=1)
        return np.minimum(last + PAST, self.detect)

    def _bend(self) -> Floats:
        """(f, patterns, N - 2) second differences of the potentials at nodes 1 to N - 2."""
        return np.diff(self.potentials[:, :, :: self.per_node], 2, axis=2)

    def _left(self) -> Floats:
        """(f,) what drives each fibre at most once its course is calm, as a share of what drives it before: all patterns as if they fell together."""
        if self.calm_from is None:
            return np.zeros(self.cable.c_node.size)
        bend, size, calm = self._bend(), np.abs(self.samples), min(self.calm_from - int(np.ceil(WAIT_QUIET / self.dt)), self.samples.shape[1])
        before = np.abs(np.einsum("fpn,pt->ftn", bend, self.samples[:, np.argmax(size, axis=1)])).max(axis=(1, 2))
        after = np.abs(bend).max(axis=2) @ size[:, calm:].max(axis=1, initial=0.0)
        return np.asarray(np.minimum(after / np.maximum(before, TINY), 1.0))

    def _watch(self, nodes: Sequence[int] = (), rows: int = 0, spiking: Sequence[int] = (), most: int = 0, whole: int = 0,
               dtype: np.dtype[np.floating] | None = None) -> Any:
        """What a run writes down: ``rows`` of V and gates of ``nodes``, up to ``most`` crossings of each node ``spiking``,
        ``whole`` rows of all there is."""
        lanes, width = self.lanes, 1 + len(GATES[type(self.cable.membrane)])

        def room(count: int) -> Any:
            return simd.zeros(count * lanes, dtype or self.dtype)

        return self.kernel.Watch(
            np.array(nodes, np.int64), room(rows * len(nodes) * width), np.array(spiking, np.int64), room(len(spiking)), room(len(spiking)),
            np.full((lanes, len(spiking), most), np.nan), np.zeros((lanes, len(spiking)), np.int64),
            room(whole * self._whole))

    @property
    def _whole(self) -> int:
        """Numbers in a row of everything there is of a fibre."""
        active = isinstance(self.cable, ActiveCable)
        return self.per_node * (self.nodes - 1) + 1 if active else self.nodes + (self.nodes - 1) * MODES

    def traces(self, amplitude: Floats, duration: float, rows: Sequence[int]) -> Floats:
        """(f, steps, rows, 1 + gates) V in mV and the gates after each step, for ``duration`` s.

        The gates of the second-order scheme are half a step ahead of V.
        """
        steps, width = round(duration * 1e3 / self.dt), 1 + len(GATES[type(self.cable.membrane)])
        result = np.empty((self.cable.c_node.size, steps, len(rows), width))
        plan = self._plan(steps, steps)

        def work(batch: _Batch, members: NDArray[np.intp], lanes: Any) -> None:
            watch = self._watch(rows, steps)
            self._simulate(batch, lanes, amplitude[members], watch)
            result[members] = np.moveaxis(watch.record.reshape(steps, len(rows), width, self.lanes), -1, 0)[: members.size]

        self._lots(np.arange(result.shape[0]), plan, 1, work)
        return result + np.array([self.cable.membrane.rest, *BASE[type(self.cable.membrane)]])

    def fires(self, amplitude: Floats, threads: int) -> NDArray[np.bool_]:
        """(f, k) whether each fibre fires at each of (f, k) amplitudes in A, as ``thresholds`` decides it."""
        plan, result = self.plan, np.zeros(amplitude.shape, bool)
        far = self._far()

        def work(batch: _Batch, members: NDArray[np.intp], lanes: Any) -> None:
            watch, net = self._watch(), batch.net._replace(detect=int(far[members].max()))
            self.kernel.peaks(net, lanes, plan.parts, plan.blocks)
            for k in range(amplitude.shape[1]):
                fired = self._simulate(batch, lanes, amplitude[members, k], watch, stops=True, net=net)
                result[members, k] = fired >> np.arange(members.size) & 1

        self._lots(np.arange(len(amplitude)), plan, threads, work)
        return result

    def spikes(self, amplitude: Floats, duration: float, nodes: Sequence[int], most: int, threads: int) -> Floats:
        """(f, nodes, most) s, when V crosses -30 mV upwards, by straight lines between steps; nan where there are fewer.

        Args:
            amplitude: (f,) A.
            duration: s.
            nodes: where.
            most: action potentials of one node that are kept, the first ones.
        """
        steps = round(duration * 1e3 / self.dt)
        plan, result = self._plan(steps, steps), np.empty((self.cable.c_node.size, len(nodes), most))

        def work(batch: _Batch, members: NDArray[np.intp], lanes: Any) -> None:
            watch = self._watch(spiking=nodes, most=most)
            self._simulate(batch, lanes, amplitude[members], watch)
            result[members] = watch.times[: members.size] * 1e-3

        self._lots(np.arange(len(result)), plan, threads, work)
        return result

    def currents(self, amplitude: Floats, duration: float, weights: Floats | None, threads: int) -> Floats:
        """Current through the axolemma of every compartment out of the axon, after each step: (f, steps, C) A.

        It is the net current that arrives along the axon or is injected there, nodes and internodes alike.

        Args:
            amplitude: (f,) A.
            duration: s.
            weights: (f, K, C) to get (f, steps, K) weighted sums instead: the potentials per ampere of a recording contact give
                its evoked potential in V. Needs no more memory than one group of fibres.
        """
        steps, f = round(duration * 1e3 / self.dt), self.cable.c_node.size
        plan, size = self._plan(steps, steps), self.potentials.shape[2]
        result = np.empty((f, steps, size if weights is None else weights.shape[1]))

        def work(batch: _Batch, members: NDArray[np.intp], lanes: Any) -> None:
            watch = self._watch(whole=steps)
            self._simulate(batch, lanes, amplitude[members], watch)
            whole = np.moveaxis(watch.whole.reshape(steps, -1, self.lanes), -1, 0)[: members.size].astype(float)
            for k, state in zip(members, whole, strict=True):
                flow = batch.axolemma(int(np.searchsorted(batch.members, k)), k, state, float(amplitude[k]))
                result[k] = flow if weights is None else flow @ weights[k].T

        self._lots(np.arange(f), plan, threads, work, every_mode=True)
        return result

    def block_threshold(self, start: float, window: tuple[float, float], resolution: float, tolerance: float, ceiling: float) -> tuple[float, float]:
        """Highest amplitude below and lowest above which the action potential that is injected does not arrive, A.

        Blocked and open amplitudes may alternate, so one fibre is run at many amplitudes at once, from below, until the first
        that blocks; then the bracket is narrowed. (ceiling, inf) where nothing blocks, (nan, nan) where none arrives at ``start``.

        Args:
            start: A, lowest amplitude tried; an open one.
            window: s, from and to, within which an action potential at ``detect`` says that it is open.
            resolution: ratio between the amplitudes tried, less 1; a narrower blocked range may be missed.
            tolerance: relative width of the bracket.
            ceiling: A.
        """
        if not (0 < start <= ceiling < np.inf and 0 < resolution < np.inf and 0 < tolerance < np.inf and 0 <= window[0] < window[1] < np.inf):
            raise ValueError(f"start {start} A, ceiling {ceiling} A, resolution {resolution}, tolerance {tolerance}, window {window} s")
        low, high = start, np.inf
        if not self._arrives(np.full(self.lanes, start), window)[0]:
            return np.nan, np.nan
        while high == np.inf and low < ceiling:
            tried = np.minimum(low * (1.0 + resolution) ** np.arange(1, self.lanes + 1), ceiling)
            blocked = ~self._arrives(tried, window)
            if blocked.any():
                first = int(np.argmax(blocked))
                low, high = float(tried[first - 1]) if first else low, float(tried[first])
            else:
                low = float(tried[-1])
        while np.isfinite(high) and high > low * (1.0 + tolerance):
            tried = np.geomspace(low, high, self.lanes + 2)[1:-1]
            blocked = ~self._arrives(tried, window)
            first = int(np.argmax(blocked)) if blocked.any() else len(tried)
            edges = np.concatenate([[low], tried, [high]])
            low, high = float(edges[first]), float(edges[first + 1])
        return low, high

    def _arrives(self, amplitude: Floats, window: tuple[float, float]) -> NDArray[np.bool_]:
        """(k,) whether an action potential of the one fibre arrives in the window at each of (k <= lanes) amplitudes."""
        if self.cable.c_node.size != self.lanes:
            raise ValueError(f"{self.cable.c_node.size} fibres; to run one at many amplitudes takes {self.lanes} copies")
        steps, result = int(np.ceil(window[1] * 1e3 / self.dt)), np.zeros(self.lanes, bool)
        plan, between = self._plan(steps, steps), np.array(window) * 1e3

        def work(batch: _Batch, members: NDArray[np.intp], lanes: Any) -> None:
            fired = self._simulate(batch, lanes, amplitude[members], self._watch(), between)
            result[members] = fired >> np.arange(self.lanes) & 1

        self._lots(np.arange(self.lanes), plan, 1, work)
        return result

    def _simulate(self, batch: _Batch, lanes: Any, amplitude: Floats, watch: Any, between: Floats = ALWAYS, stops: bool = False,
                  net: Any = None) -> Any:
        """Bit mask of the lanes that fire between two times in ms; (members,) A, empty lanes rest."""
        filled = np.zeros(self.lanes, self.dtype)
        filled[: amplitude.size] = amplitude
        return self.kernel.simulate(net or batch.net, batch.membrane, lanes, batch.plan.parts, batch.plan.blocks, filled, between, stops, watch)


def _brackets(below: NDArray[np.int64], above: NDArray[np.int64], unit: float, lowest: int, highest: int, ceiling: float) -> Floats:
    """(3, n) A: middle, below and above of places on the grid exp(unit k)."""
    never = above == 1 << 60
    low = np.where(never, ceiling, np.where(below < lowest, 0.0, np.exp(unit * np.maximum(below, lowest))))
    high = np.where(never, np.inf, np.exp(unit * np.minimum(above, highest)))
    return np.stack([np.sqrt(low * high), low, high])


class _Batch:
    """Fibres made ready together: coefficients, drives and rest of all of them, dealt out to groups of lanes.

    The rest is found in float64 whatever the precision of the run: its rounding would shift the action potential.
    """

    rooms: ClassVar[int] = 1
    """Times ``ROOM`` that its linear responses may take."""

    def __init__(self, engine: Engine, members: NDArray[np.intp], plan: courses.Course, every_mode: bool = False):
        self.engine, self.members, self.plan = engine, members, plan
        nodes, second = engine.nodes, engine.second_order
        self.different, self.which = _different(_part(engine.cable, members))
        cable = self.different
        internodes = _Internodes(cable, engine.sealed) if isinstance(cable, Cable) else _Axial(cable)
        lengths, apart = engine.dt / np.array(plan.levels), engine.dt / np.array(plan.divisors)
        self.internodes, self.every_mode = internodes, every_mode
        kept, brief = (np.full((dt.size, KINDS), HALF) if every_mode else internodes.kept(dt, second, engine.dtype.name) for dt in (lengths, apart))
        # of the linear response the steps after an edge are backward Euler
        trapezoidal = second & (np.array(plan.divisors) != courses.DAMPED)
        brief[~trapezoidal] = HALF
        self.net = engine.net(kept, 0.5 if second else 1.0, lengths, plan, brief)
        self.membrane = engine.membrane(plan, engine.dtype.name)
        levels = internodes.steps_of_w(internodes.step(lengths, second), kept, self.net.stride)
        of_scheme = {exact: np.flatnonzero(trapezoidal == exact) for exact in (True, False)}
        found = [internodes.steps_of_u(internodes.step(apart[own], exact), apart[own], self.net.rest_leak, 0.5 if exact else 1.0, brief[own])
                 for exact, own in of_scheme.items() if own.size]
        in_order = np.argsort(np.concatenate([*of_scheme.values()]))
        tables = [np.concatenate(each)[in_order] for each in zip(*found, strict=True)]
        first = int(plan.blocks.level[0])
        # (numbers, different cables)
        self.of_cable = {"rest": self._rest(internodes, [level[first] for level in levels], first),
                         **{name: _last(level) for name, level in zip(("modes", "sums", "full", "static"), levels, strict=True)},
                         **{f"passive_{name}": _last(table) for name, table in zip(("modes", "sums", "static"), tables, strict=True)}}
        drives = [internodes.drives(nodes, one * 1e3, self.which, engine.onwards) for one in engine.potentials[members].swapaxes(0, 1)]
        fixed = [np.empty((members.size, 0))]
        if engine.injection is not None:
            fixed = [np.zeros((members.size, nodes)), np.zeros((members.size, (nodes - 1) * MODES))]
            fixed[0][np.arange(members.size), engine.injection[0][members]] = 1.0 / cable.c_node[self.which]
        # (numbers, fibres)
        self.of_fibre = {"drive": _last([part for drive in drives for part in drive]), "fixed_drive": _last(fixed)}
        self.has_fixed = engine.injection is not None

    def _sizes(self) -> dict[str, int]:
        """Groups of every array that is worked in."""
        nodes = self.net.nodes
        return {"state": self.of_cable["rest"].shape[0], "work": nodes, "response": 2 * nodes + (nodes - 1) * MODES,
                "fine": self.plan.fine * nodes,
                "given": len(self.plan.divisors) * self.engine.potentials.shape[1] * (nodes - 1) * 4,
                "fixed_given": self.has_fixed * len(self.plan.divisors) * (nodes - 1) * 4,
                "kept": self.every_mode * self.plan.longest * (nodes + (nodes - 1) * MODES)}

    def _lanes(self, arrays: dict[str, Any]) -> Any:
        """The arrays of one group of fibres."""
        return self.engine.kernel.Lanes(**arrays)

    def lots(self) -> Iterator[tuple[NDArray[np.intp], Any]]:
        """Members (up to lanes) of each group, and their arrays; empty lanes repeat the last fibre."""
        lanes, width, dtype, sizes = self.engine.lanes, self.net.width, self.engine.dtype, self._sizes()
        sizes |= {f"fixed_{name}": self.has_fixed * sizes[name] for name in ("response", "kept")}
        # the responses of all parts stay where they fit: a train has the same ones over and over
        parts, rows = len(self.plan.parts.carries), np.diff(self.plan.parts.at[:, 3]) - 1
        each = sum(sizes[name] for name in PER_PART) * parts + (1 + self.has_fixed) * rows.sum() * width
        slots = parts if each * lanes * dtype.itemsize <= self.rooms * ROOM else 1
        rows_at = width * np.concatenate([[0], np.cumsum(rows) if slots == parts else [rows.max()]])
        sizes |= {"rows": int(rows_at[-1]), "fixed_rows": int(self.has_fixed * rows_at[-1])}
        room = {name: simd.zeros((slots if name in PER_PART else 1) * size * lanes, dtype) for name, size in sizes.items()}
        slot = np.arange(parts) % slots
        of_cable, of_fibre = ({name: values.astype(dtype) for name, values in of.items()} for of in (self.of_cable, self.of_fibre))
        own = {name: simd.zeros(len(values) * lanes, dtype) for name, values in (of_cable | of_fibre).items()}
        for first in range(0, self.members.size, lanes):
            at = np.minimum(np.arange(first, first + lanes), self.members.size - 1)
            for of, which in ((of_cable, self.which[at]), (of_fibre, at)):
                for name, values in of.items():
                    np.take(values, which, axis=1, out=own[name].reshape(-1, lanes), mode="clip")
            nothing_yet = {"ready": np.zeros(1, np.int64), "resident": np.full(slots, -1), "strongest": np.full(lanes, np.inf, dtype)}
            yield self.members[first : first + lanes], self._lanes({**own, **room, **nothing_yet, "slot": slot, "rows_at": rows_at,
                                                                    "marks": simd.zeros(3 * lanes, dtype)})

    def axolemma(self, place: int, fibre: int, state: Floats, amplitude: float) -> Floats:
        """(steps, C) A out through the axolemma of one of the fibres, from (steps, nodes + modes) of ``Watch.whole``."""
        result, engine = self._along(place, fibre, state, amplitude), self.engine
        if engine.injection is not None:
            # what comes in there leaves there, or goes along the axon
            node, current = engine.injection[0][fibre], engine.injection[1][: len(state)]
            result[: current.size, node * engine.per_node] += current
        return result

    def _along(self, place: int, fibre: int, state: Floats, amplitude: float) -> Floats:
        """The same of the current that arrives along the axon."""
        engine, nodes, internodes, which = self.engine, self.net.nodes, self.internodes, int(self.which[place])
        voltage, modes = state[:, :nodes], state[:, nodes:].reshape(len(state), nodes - 1, MODES)
        outside = self._outside(fibre, len(state), amplitude)
        if isinstance(internodes, _Axial):
            flow = -np.diff(voltage + outside, axis=1) * internodes.flow[which] * engine.cable.c_node[fibre]
            return -np.diff(flow, axis=1, prepend=0.0, append=0.0) * 1e-9
        inside = np.empty((len(state), nodes - 1, PER_INTERNODE + 2))
        for kind in np.unique(self.net.kind):
            of, own = np.flatnonzero(self.net.kind == kind), internodes.kinds[kind]
            with np.errstate(divide="ignore"):
                per_current = np.where(own.beta[which] == 0.0, 0.0, internodes.cable.c_node[which] / own.beta[which])
            inside[:, of, 1:-1] = modes[:, of] @ (own.shape[which, :PER_INTERNODE] * per_current).T
        inside[:, :, 0], inside[:, :, -1] = voltage[:, :-1], voltage[:, 1:]
        return self._arriving(inside, outside, which)

    def _outside(self, fibre: int, steps: int, amplitude: float) -> Floats:
        """(steps, C) mV outside of one of the fibres."""
        engine = self.engine
        samples = np.zeros((len(engine.samples), steps))
        samples[:, : engine.samples.shape[1]] = engine.samples[:, :steps]
        return np.asarray(1e3 * amplitude * samples.T @ engine.potentials[fibre])

    def _arriving(self, inside: Floats, outside: Floats, which: int) -> Floats:
        """(steps, C) A that arrives along the axon, from (steps, internodes, 12) mV inside relative to (steps, C) outside."""
        engine, internodes, nodes = self.engine, self.internodes, self.net.nodes
        along = outside[:, :-1].reshape(len(outside), nodes - 1, PER_INTERNODE + 1)
        inside[:, :, :-1] += along
        inside[:, :, -1] += outside[:, PER_INTERNODE + 1 :: PER_INTERNODE + 1]
        flow = -np.diff(inside, axis=2) * internodes.cable.g_axial[which]
        if engine.onwards:  # what the potential drives comes in at one end and leaves at the other
            first, last = internodes._through(outside, np.array([which]))
            flow[:, 0, 0], flow[:, -1, -1] = -first, -last
        elif not engine.sealed:
            flow[:, 0, 0] = flow[:, -1, -1] = 0.0
        flow = flow.reshape(len(outside), -1)
        return -np.diff(flow, axis=1, prepend=0.0, append=0.0) * 1e-9

    def _rest(self, internodes: _Internodes, first_step: Sequence[Floats], level: int) -> Floats:
        """(state, cables) after long steps without stimulus, in the coefficients of the run's first level."""
        engine, every = self.engine, np.full((1, 3), HALF)
        nodes, f = engine.nodes, internodes.axial.size
        modes, sums, full = (part[0] for part in internodes.steps_of_w(internodes.step(np.array([REST_DT]), False), every, HALF)[:3])
        plan = courses.plan(np.zeros((1, 1)), np.empty((0, 0)), REST_DT, REST_STEPS, REST_STEPS, False)
        net, membrane = engine.net(every, 1.0, np.array([REST_DT]), plan), engine.membrane(plan, "float64")
        ahead, stride = (2 + net.gates) * nodes, self.net.stride
        own = engine.cable.membrane._replace(steps=())
        found = _KNOWN_REST.rows([(type(own), own, nodes, engine.sealed, key) for key in _keys(self.different)],
                                 lambda missing: self._settled(net, membrane, plan, modes[missing], sums[missing])).T
        voltage, memory = found[:nodes], found[ahead:].reshape(nodes - 1, 2, HALF, f)
        both = np.stack([voltage[:-1] + voltage[1:], voltage[:-1] - voltage[1:]], axis=1)[:, :, None]  # (internodes, 2, 1, cables)
        scaled, give = np.zeros((nodes - 1, 2, stride, f)), np.zeros((nodes, f))
        for kind in np.unique(net.kind):
            of = np.flatnonzero(net.kind == kind)
            slow, to = (np.moveaxis(values[:, kind].reshape(f, 2, HALF, -1), 0, -1) for values in (full, first_step[2]))  # (2, HALF, 6, cables)
            a = memory[of] * slow[:, :, 0] + both[of] * slow[:, :, 2]
            kept = int(self.net.kept[level, kind])
            scaled[of, :, :kept] = (a * to[:, :, 3] - both[of] * to[:, :, 4])[:, :, :kept]
            out = (to[:, :, 5] * a).sum(axis=2) + np.moveaxis(first_step[3][:, kind], 0, -1) * both[of, :, 0]
            give[of] += out[:, 0] + out[:, 1]
            give[of + 1] += out[:, 0] - out[:, 1]
        return np.concatenate([found[: ahead - nodes], give, scaled.reshape(-1, f), np.zeros((2 * nodes, f))])

    def _settled(self, net: Any, membrane: Any, plan: courses.Course, modes: Floats, sums: Floats) -> Floats:
        """(f, state) of some of the cables after the steps of ``plan``."""
        engine, nodes, f, width, empty = self.engine, self.engine.nodes, len(modes), 8, np.empty(0)
        found = np.empty(((2 + net.gates) * nodes + (nodes - 1) * MODES, f))
        for first in range(0, f, width):
            at = np.minimum(np.arange(first, first + width), f - 1)
            state = simd.zeros((found.shape[0] + 2 * nodes) * width, float)
            engine.kernel.settle_gates(net, membrane, state)
            lanes = engine.kernel.Lanes(
                rest=state, state=simd.aligned(state), work=simd.zeros(nodes * width, float),
                modes=simd.aligned(_last([modes[at]])), sums=simd.aligned(_last([sums[at]])),
                **dict.fromkeys(("full", "static", "passive_modes", "passive_sums", "passive_static", "drive", "fixed_drive", "given", "fixed_given",
                                 "response", "fixed_response", "fine", "rows", "fixed_rows", "kept", "fixed_kept"), empty),
                slot=np.zeros(1, np.int64), rows_at=np.zeros(2, np.int64), ready=np.ones(1, np.int64), resident=np.full(1, -1),
                strongest=np.full(width, np.inf), marks=simd.zeros(3 * width, float))
            nothing = engine._watch(dtype=np.dtype("float64"))
            engine.kernel.simulate(net, membrane, lanes, plan.parts, plan.blocks, np.zeros(width), np.zeros(2), False, nothing)
            engine.kernel.catch_up(net, membrane, lanes.state)
            found[:, at] = lanes.state.reshape(-1, width)[: found.shape[0]]
        return found.T


def _numbers(cable: Cable | Segments) -> Floats:
    """(f, numbers) everything that describes each of the cables but its membrane."""
    return np.concatenate([getattr(cable, f.name).reshape(cable.c_node.size, -1) for f in fields(cable) if f.name != "membrane"], axis=1)


def _keys(cable: Cable | Segments) -> list[bytes]:
    """The same of each, to look it up by."""
    return [row.tobytes() for row in _numbers(cable)]


def _different(cable: Cable | Segments) -> tuple[Cable | Segments, NDArray[np.intp]]:
    """The different ones among the cables, and which of them each is."""
    rows = _numbers(cable)
    _, first, which = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return _part(cable, first), which.reshape(-1)


def _last(values: Sequence[Floats] | Floats) -> Floats:
    """(fibres, ...) arrays one after the other as (numbers, fibres)."""
    return np.concatenate([each.reshape(each.shape[0], -1) for each in values], axis=1).T


def _part(cable: _AnyCable, members: NDArray[np.intp]) -> _AnyCable:
    """Some of the fibres."""
    return replace(cable, **{f.name: getattr(cable, f.name)[members] for f in fields(cable) if f.name != "membrane"})
