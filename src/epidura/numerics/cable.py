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
linear drive within the step, trapezoidal nodes, gates staggered by half a step).

Units: um, mV, ms, nA, uS, nF; potentials come in as V/A, amplitudes as A.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PER_INTERNODE = 10  # compartments between two nodes
MODES = 20
REST_STEPS, REST_DT = 40, 5.0  # rest: this many backward Euler steps of this many ms, as in NEURON
GROWTH, GUESSED_GROWTH = 1.35, 1.1  # of the amplitude until a fibre fires
WAIT_QUIET, WAIT_MOST = 1.5, 8.0  # ms after the last edge

# After an edge of the course the nodes charge within a microsecond or two, which trapezoidal steps of some microseconds do
# not follow (they ring: 0.5 to 1.6 % of the threshold of a 60 us pulse at 5 us). So the steps after an edge are divided into parts.
EDGE_PARTS = (16, 8, 4, 4, 3, 3, 2, 2, 2, 2, 2, 2)
# In a long train of edges the errors of both signs cancel: at 10 kHz and 5 us these give 0.07 % and run 2.6 times as fast.
TRAIN, TRAIN_PARTS = 20, (6, 3, 2)
EDGE = 0.02  # change between steps, relative to the largest value, from which it is an edge


@dataclass(frozen=True)
class Membrane:
    """The active membrane of a node.

    Attributes:
        g_naf, g_nap, g_k, g_l: conductance over capacitance, 1/ms.
        e_na, e_k, e_l: reversal potentials relative to rest, mV.
        q: temperature factors of m and p, of h, of s.
    """

    g_naf: float
    g_nap: float
    g_k: float
    g_l: float
    e_na: float
    e_k: float
    e_l: float
    q: tuple[float, float, float]

    def constants(self) -> tuple[float, ...]:
        """In the order of the kernel."""
        return self.g_naf, self.g_nap, self.g_k, self.g_l, self.e_na, self.e_k, self.e_l


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
    membrane: Membrane


@dataclass(frozen=True)
class _Modes:
    """Modes of one kind of internode: (f, 20) decay in 1/ms and drive, and the shapes (f, 20 unknowns, 20 modes).

    ``beta`` already carries the axial conductance and, squared, the division by the capacitance of the node.
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
    """Twenty modes of the first or the last internode, driven by its one live node."""
    values, shape = _eigen(*_matrices(cable, left, not left))
    at, axial = (PER_INTERNODE - 1, cable.g_axial[:, -1:]) if left else (0, cable.g_axial[:, :1])
    beta = axial * shape[:, at, :]
    if left:
        # the kernel takes the odd places with a minus sign at a right node: turn their sign here
        turn = np.where(np.arange(MODES) < MODES // 2, 1.0, -1.0)
        return _Modes(values, beta, shape * turn)
    return _Modes(values, beta, shape)


@dataclass(frozen=True)
class _Recursion:
    """Coefficients of a mode over one step; every array (f, 20).

    a+ - a = decay a + k0 S + k1 S+ + q, and the mean over the step (what the node sees) = f a + h0 S + h1 S+ + qa.
    q and qa are per unit of beta delta.
    """

    decay: Floats
    k0: Floats
    k1: Floats
    q: Floats
    f: Floats
    h0: Floats
    h1: Floats
    qa: Floats


def _recursion(decay: Floats, b2: Floats, dt: float, second_order: bool) -> _Recursion:
    if not second_order:
        shrink = 1.0 / (1.0 + decay * dt)
        none = np.zeros_like(decay)
        return _Recursion(-decay * dt * shrink, none, b2 * dt * shrink, dt * shrink, shrink, none, b2 * dt * shrink, dt * shrink)
    z = decay * dt
    shrink, mean = np.exp(-z), -np.expm1(-z) / z
    k0 = b2 / decay * (mean - shrink)
    k1 = b2 / decay * (1.0 - mean)
    q = -np.expm1(-z) / decay
    return _Recursion(np.expm1(-z), k0, k1, q, mean, b2 / (2 * decay) - k0 / z, b2 / (2 * decay) - k1 / z, 1.0 / decay - q / z)


@dataclass(frozen=True)
class _Tables:
    """What the kernel reads for one dt and scheme, per fibre.

    modes (f, 3, 20, 4), sums (f, 3, 5), diagonal (f, 3, 2), and the step responses q, qa (f, 3, 20) of a unit drive.
    """

    modes: Floats
    sums: Floats
    diagonal: Floats
    q: Floats
    qa: Floats

    def all_sums(self) -> Floats:
        """(f, 21) sums and diagonal in the order of the kernel."""
        f = self.sums.shape[0]
        return np.concatenate([self.sums.reshape(f, -1), self.diagonal.reshape(f, -1)], axis=1)


def _tables(cable: Cable, kinds: Sequence[_Modes], dt: float, second_order: bool) -> _Tables:
    half = MODES // 2
    modes, sums, q, qa = [], [], [], []
    for kind in kinds:
        r = _recursion(kind.decay, kind.beta**2 / cable.c_node[:, None], dt, second_order)
        modes.append(np.stack([r.decay, r.k0, r.k1, r.f], axis=-1))
        own, other = r.h1[:, :half].sum(axis=1), r.h1[:, half:].sum(axis=1)
        axial = cable.g_axial[:, 0] / cable.c_node
        sums.append(np.stack([own + other, own - other, r.h0[:, :half].sum(axis=1), r.h0[:, half:].sum(axis=1), axial], axis=-1))
        q.append(r.q)
        qa.append(r.qa)
    theta = 0.5 if second_order else 1.0
    own, axial = (np.stack([each[:, k] for each in sums], axis=1) for k in (0, 4))
    # the internodes on both sides of the first, of a middle and of the last live node
    own, axial = (a[:, [0, 1, 1]] + a[:, [1, 1, 2]] for a in (own, axial))
    diagonal = np.stack([theta * axial - own, (1.0 - theta) * axial], axis=-1)
    return _Tables(np.stack(modes, 1), np.stack(sums, 1), diagonal, np.stack(q, 1), np.stack(qa, 1))



def _drives(cable: Cable, kinds: Sequence[_Modes], tables: Sequence[_Tables], nodes: int, outside: Floats) -> list[Floats]:
    """For each table (f, nodes + 20 (nodes - 1)): drive of each node, then of each mode, per unit of ``outside`` (f, C) in mV."""
    f, n = cable.c_node.size, PER_INTERNODE
    steps = np.diff(outside, axis=1).reshape(f, nodes - 1, n + 1)
    flow_axial, flow_outer = steps * cable.g_axial[:, None, :], steps * cable.g_periaxonal[:, None, :]
    flow_axial[:, 0, 0] = flow_axial[:, -1, -1] = 0.0  # the passive end nodes have no axial path
    force = np.concatenate([np.diff(flow_axial, axis=2), np.diff(flow_outer, axis=2)], axis=2)
    node = np.zeros((f, nodes))
    node[:, 1:-1] = (flow_axial[:, 1:, 0] - flow_axial[:, :-1, -1]) / cable.c_node[:, None]
    places = (slice(0, 1), slice(1, nodes - 2), slice(nodes - 2, nodes - 1))
    modal = np.concatenate([(force[:, place] @ kind.shape) * (kind.beta / cable.c_node[:, None])[:, None, :]
                            for place, kind in zip(places, kinds, strict=True)], axis=1)
    which = np.r_[0, np.ones(nodes - 3, int), 2]
    found = []
    for table in tables:
        seen = modal * table.qa[:, which]
        even, odd = seen[..., : MODES // 2].sum(axis=2), seen[..., MODES // 2 :].sum(axis=2)
        at_nodes = node.copy()
        at_nodes[:, :-1] += even + odd
        at_nodes[:, 1:] += even - odd
        at_nodes[:, [0, -1]] = 0.0
        found.append(np.concatenate([at_nodes, (modal * table.q[:, which]).reshape(f, -1)], axis=1))
    return found


def _start(potentials: Floats, samples: Floats, dt: float) -> Floats:
    """(f,) amplitudes in A from which the search goes up: near and mostly below the threshold.

    A fibre needs a second difference of the outside potential between nodes of some 8 mV for a long pulse, and more
    for a short one; a fifth to a third of that is a start. The threshold itself does not depend on it.
    """
    at_nodes = potentials[:, :: PER_INTERNODE + 1] * 1e3
    bend = np.abs(np.diff(at_nodes, 2, axis=1)).max(axis=1)
    later = np.flatnonzero(_edges(np.append(samples, 0.0))[1:])
    first = (later[0] + 1 if later.size else samples.size) * dt
    return np.asarray(1.75 * (1.0 + 0.15 / first) / np.maximum(bend * np.abs(samples).max(), 1e-9))


@dataclass(frozen=True)
class _Plan:
    """The steps of a run, in the order of the kernel's ``plan``."""

    table: NDArray[np.int64]
    lengths: Floats
    course: Floats
    gate_dt: Floats
    slope: Floats
    row_of: NDArray[np.int64]
    quiet_from: int

    def tuple(self) -> tuple[object, ...]:
        return tuple(getattr(self, f.name) for f in fields(self))


def _edges(course: Floats) -> NDArray[np.bool_]:
    """(steps,) whether the course jumps at the start of a step."""
    return np.abs(np.diff(course, prepend=0.0)) > EDGE * np.abs(course).max(initial=0.0)


def _parts(samples: Floats) -> tuple[int, ...]:
    """Into how many parts the steps after an edge of this course are divided."""
    return TRAIN_PARTS if _edges(samples).sum() > TRAIN else EDGE_PARTS


def _divisions(samples: Floats, divide: bool) -> NDArray[np.int64]:
    """Into how many parts steps are divided, one table each, whole steps first."""
    return np.unique((1, *_parts(samples))) if divide else np.ones(1, np.int64)


def _plan(samples: Floats, dt: float, steps: int, quiet_from: int, divide: bool) -> _Plan:
    """Steps of ``dt`` ms, or parts of them after the edges of the course."""
    course = np.zeros(steps)
    course[: min(samples.size, steps)] = samples[:steps]
    edge = _edges(course) if divide else np.zeros(steps, bool)
    parts = np.ones(steps, int)
    after_edge = _parts(samples)
    for k in reversed(range(len(after_edge))):
        parts[k:][edge[: steps - k]] = after_edge[k]
    known = _divisions(samples, divide)
    lengths = dt / known
    table = np.repeat(np.searchsorted(known, parts), parts)
    last = np.cumsum(parts) - 1
    row_of = np.full(table.size, -1)
    row_of[last] = np.arange(steps)
    table = np.append(table, 0)
    now, after = lengths[table[:-1]], lengths[table[1:]]
    kink = np.zeros(table.size - 1, bool)
    kink[last[:-1]] = edge[1:]
    # The gates stand half a step ahead of V and move to half a step ahead of the next V. Where both steps are equal, V in
    # between is its mean; else the part before and the part after V lean on its last slope, which an edge ahead cuts off.
    slope = (np.where(kink, 0.0, after**2) - now**2) / (4 * now * (now + after))
    gate_dt = 0.5 * (now + after)
    if not divide:
        slope[:] = 0.0
    return _Plan(table, lengths, np.repeat(course, parts), gate_dt, slope, row_of, int(last[quiet_from]) if quiet_from < steps else table.size)


class Engine:
    """Fibres of one number of nodes with their potentials, ready to be run at any amplitude.

    Args:
        cable: (f) fibres.
        nodes: number of nodes N >= 5 of each.
        potentials: (f, 11 (N - 1) + 1) V per ampere of amplitude, node first, then the ten compartments.
        samples: (steps,) course on the time grid, relative to the amplitude.
        dt: s.
        second_order: scheme; backward Euler without.
        precision: float32 or float64.

    Raises:
        ValueError: shapes that do not fit, no samples, or numbers that are not finite.
    """

    def __init__(self, cable: Cable, nodes: int, potentials: Floats, samples: Floats, dt: float, second_order: bool = True,
                 precision: str = "float32"):
        f = cable.c_node.size
        if nodes < 5:
            raise ValueError(f"a fibre of {nodes} nodes; the ends need at least 5")
        if potentials.shape != (f, (PER_INTERNODE + 1) * (nodes - 1) + 1):
            raise ValueError(f"potentials of shape {potentials.shape} for {f} fibres of {nodes} nodes")
        if np.size(samples) == 0 or not 0 < dt < np.inf:
            raise ValueError(f"{np.size(samples)} samples of the course, {dt} s apart")
        if not (np.isfinite(potentials).all() and np.isfinite(samples).all()):
            raise ValueError("a potential or a sample of the course is not finite")
        self.cable, self.nodes, self.potentials, self.samples = cable, nodes, potentials, np.asarray(samples, float)
        self.dt, self.second_order, self.dtype = dt * 1e3, second_order, np.dtype(precision)
        self.lanes = 64 // self.dtype.itemsize
        self.quiet_from = self.samples.size + int(np.ceil(WAIT_QUIET / self.dt))
        self.steps = self.samples.size + int(np.ceil(WAIT_MOST / self.dt))
        self.detect = int(0.9 * (nodes - 1))

    @cached_property
    def start(self) -> Floats:
        """(f,) first amplitude of the search, A."""
        return _start(self.potentials, self.samples, self.dt)

    def thresholds(self, tolerance: float, ceiling: float, threads: int, guess: Floats | None = None) -> Floats:
        """(3, f) threshold, and the bracket below and above, A; inf where nothing fires up to the ceiling.

        ``guess`` (f,) saves runs where the threshold is known to some 10 %.
        """
        from epidura.numerics import cable_kernel as kernel

        if not (0 < tolerance < np.inf and 0 < ceiling < np.inf):
            raise ValueError(f"a tolerance of {tolerance} and a ceiling of {ceiling} A; both must be positive")
        first = self.start if guess is None else np.where(np.isfinite(guess) & (guess > 0), 0.95 * guess, self.start)
        growth = GROWTH if guess is None else GUESSED_GROWTH
        order = np.argsort(first, kind="stable")
        found = np.empty((3, order.size))
        plan = _plan(self.samples, self.dt, self.steps, self.quiet_from, self.second_order).tuple()

        def work(members: NDArray[np.intp]) -> None:
            lot = _Lot(self, members)
            below, above, _ = kernel.search(self.nodes, lot.state, lot.modes, lot.sums, lot.drive, first[lot.members], plan,
                                            *lot.shared, self.detect, tolerance, ceiling, growth)
            with np.errstate(invalid="ignore"):
                result = np.stack([np.sqrt(below * above), below, above])
            found[:, members] = result[:, : members.size]

        lots = [order[k : k + self.lanes] for k in range(0, order.size, self.lanes)]
        # the slowest kinds last would leave a thread idle: they are even enough not to matter
        with ThreadPoolExecutor(max(1, threads)) as pool:
            list(pool.map(work, lots))
        return found

    def traces(self, amplitude: Floats, duration: float, rows: Sequence[int]) -> Floats:
        """(f, steps, rows, 5) V in mV and the gates m, p, h, s after each step, for ``duration`` s."""
        from epidura.numerics import cable_kernel as kernel

        steps, at = round(duration * 1e3 / self.dt), np.asarray(rows, np.int64)
        result = np.empty((self.cable.c_node.size, steps, at.size, 5))
        plan = _plan(self.samples, self.dt, steps, steps, self.second_order).tuple()
        for k in range(0, result.shape[0], self.lanes):
            members = np.arange(k, min(k + self.lanes, result.shape[0]))
            lot = _Lot(self, members)
            record = np.empty(steps * at.size * 5 * self.lanes, self.dtype)
            kernel.run(self.nodes, lot.state, lot.work, lot.modes, lot.sums, lot.drive, amplitude[lot.members].astype(self.dtype),
                       plan, *lot.shared, self.detect, False, at, record)
            result[members] = np.moveaxis(record.reshape(steps, at.size, 5, self.lanes), -1, 0)[: members.size]
        result[..., 0] += kernel.REST
        return result


class _Lot:
    """The arrays of one group of lanes, at rest. Empty lanes repeat the last fibre."""

    def __init__(self, engine: Engine, members: NDArray[np.intp]):
        self.members = np.concatenate([members, np.repeat(members[-1:], engine.lanes - members.size)])
        part = _part(engine.cable, self.members)
        kinds = (_end(part, True), _middle(part), _end(part, False))
        # with the parts of steps after an edge come tables of their own
        tables = [_tables(part, kinds, dt, engine.second_order) for dt in engine.dt / _divisions(engine.samples, engine.second_order)]
        nodes, dtype, lanes = engine.nodes, engine.dtype, engine.lanes
        outside = engine.potentials[self.members] * 1e3
        self.modes = np.concatenate([_in_lanes(table.modes, dtype) for table in tables])
        self.sums = np.concatenate([_in_lanes(table.all_sums(), dtype) for table in tables])
        self.drive = np.concatenate([_in_lanes(drive, dtype) for drive in _drives(part, kinds, tables, nodes, outside)])
        self.work = np.empty(2 * nodes * lanes, dtype)
        membrane = engine.cable.membrane
        self.shared = (membrane.constants(), membrane.q, 0.5 if engine.second_order else 1.0)
        self.state = self._rest(engine, part, kinds)
        first_table = int(_plan(engine.samples, engine.dt, 1, 1, engine.second_order).table[0])
        self._hand_over(nodes, lanes, tables[first_table])

    def _rest(self, engine: Engine, part: Cable, kinds: Sequence[_Modes]) -> NDArray[np.floating]:
        """The state after long steps without stimulus."""
        from epidura.numerics import cable_kernel as kernel

        nodes, lanes, dtype = engine.nodes, engine.lanes, engine.dtype
        slow = _tables(part, kinds, REST_DT, False)
        state = np.zeros((5 * nodes + (nodes - 1) * (MODES + 2)) * lanes, dtype)
        kernel.settle_gates(state, nodes, self.shared[1])
        plan = _plan(np.empty(0), REST_DT, REST_STEPS, REST_STEPS, False).tuple()
        kernel.run(nodes, state, self.work, _in_lanes(slow.modes, dtype), _in_lanes(slow.all_sums(), dtype), self.drive, np.zeros(lanes, dtype),
                   plan, *self.shared[:2], 1.0, engine.detect, False, np.empty(0, np.int64), np.empty(0, dtype))
        return state

    def _hand_over(self, nodes: int, lanes: int, tables: _Tables) -> None:
        """What each internode gives its nodes in the first step, with the coefficients of the run."""
        voltage = self.state[: nodes * lanes].reshape(nodes, lanes)
        alpha = self.state[5 * nodes * lanes :][: (nodes - 1) * MODES * lanes].reshape(nodes - 1, MODES, lanes)
        kind = np.ones(nodes - 1, int)
        kind[0], kind[-1] = 0, 2
        share = np.moveaxis(tables.modes[..., 3], 0, -1)[kind]  # (internodes, 20, lanes)
        memory = np.moveaxis(tables.sums, 0, -1)[kind]  # (internodes, 5, lanes)
        each = share * alpha
        even = each[:, : MODES // 2].sum(axis=1) + memory[:, 2] * (voltage[:-1] + voltage[1:])
        odd = each[:, MODES // 2 :].sum(axis=1) + memory[:, 3] * (voltage[:-1] - voltage[1:])
        self.state[(5 * nodes + (nodes - 1) * MODES) * lanes :] = np.stack([even + odd, even - odd], axis=1).ravel()


def _in_lanes(values: Floats, dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
    """(fibres, ...) as groups of lanes one after the other, flat."""
    return np.ascontiguousarray(values.reshape(values.shape[0], -1).T, dtype=dtype).ravel()


def _part(cable: Cable, members: NDArray[np.intp]) -> Cable:
    """Some of the fibres."""
    return Cable(**{f.name: getattr(cable, f.name)[members] for f in fields(cable) if f.name != "membrane"}, membrane=cable.membrane)
