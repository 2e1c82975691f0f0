"""A network of neurons of the dorsal horn: many copies of it at once, each neuron in one vector lane.

A neuron is an unbranched cable with channels; synapses sit at one place of it. Neurons talk only by action potentials that arrive at least
``LEAST_DELAY`` later, so within such a stretch each is on its own: the kernel follows one lot of neurons through the stretch with
everything in cache, then the action potentials are handed on. Lots hold neurons of one kind, of whatever copy they are.

Units: mV, ms, um, uS, nA, nF, mM. Gates and voltages are stepped as the published model does (docs/gate.md): voltages by backward
Euler, then the gates by the exact exponential at the new voltage. ``network_reference`` is the plain version that checks this one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from epidura.numerics import horn

if TYPE_CHECKING:
    from epidura.numerics import network_kernel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CHANNELS = ("na", "kdri", "na-hh2", "k-hh2", "nap", "cal", "kca", "caan")
"""Names of the channels that a neuron may have."""

OF_CALCIUM = ("cal", "kca", "caan")
"""Those that need a pool wherever they are."""


@dataclass(frozen=True)
class Channel:
    """A channel along a contiguous stretch of compartments.

    Attributes:
        name: one of ``CHANNELS``.
        first: compartment where it begins.
        conductance: (k,) uS at full opening; of ``cal`` the permeability times the area, cm/s um2.
        reversal: (k,) mV; unused by ``cal``, which follows the constant-field equation.
    """

    name: str
    first: int
    conductance: Floats
    reversal: Floats


@dataclass(frozen=True)
class Pool:
    """Calcium below the membrane of a contiguous stretch of compartments.

    Attributes:
        first: compartment where it begins.
        decay: (k,) ms.
        area: (k,) um2.
    """

    first: int
    decay: Floats
    area: Floats


@dataclass(frozen=True)
class Receptor:
    """A kind of synapse: two exponentials whose peak is the weight.

    Attributes:
        name: as connections refer to it.
        rise, decay: ms.
        reversal: mV.
        blocked: whether magnesium blocks it as it does NMDA receptors.
        calcium: share of its current that enters the calcium pool.
    """

    name: str
    rise: float
    decay: float
    reversal: float
    blocked: bool = False
    calcium: float = 0.0


@dataclass(frozen=True)
class Neuron:
    """A kind of neuron: an unbranched cable of n compartments.

    Attributes:
        name: of the kind.
        capacitance: (n,) nF.
        axial: (n - 1,) uS between the middles of neighbouring compartments.
        leak: (n,) uS.
        leak_reversal: mV.
        channels: any number.
        pool: calcium, where a channel or receptor needs it.
        receptors: that connections may address.
        site: compartment of the synapses.
        sends: compartment whose upward crossing of ``fires`` starts the action potential that others receive.
        records: compartment whose crossings are counted, and whose voltage is recorded.
        starts: mV, everywhere at time 0.
        fires: mV.
    """

    name: str
    capacitance: Floats
    axial: Floats
    leak: Floats
    leak_reversal: float
    channels: tuple[Channel, ...]
    pool: Pool | None
    receptors: tuple[Receptor, ...]
    site: int
    sends: int
    records: int
    starts: float = -65.0
    fires: float = -30.0


@dataclass(frozen=True)
class Connections:
    """Synapses, one per row.

    Attributes:
        source: (c,) fibre, or neuron of the network.
        target: (c,) neuron.
        receptor: (c,) index into the receptors of the target's kind.
        weight: (c,) uS at the peak.
        delay: (c,) ms from the source's action potential to the synapse. Between neurons at least ``LEAST_DELAY``.
        terminal: (c,) index of the presynaptic inhibition that scales each event, as it is when the fibre fires; -1 for none.
    """

    source: Ints
    target: Ints
    receptor: Ints
    weight: Floats
    delay: Floats
    terminal: Ints


@dataclass(frozen=True)
class Presynaptic:
    """Inhibition of the terminals of fibres by neurons: each event is scaled by 1 / (1 + s), s the sum of the events of its sources,
    as two exponentials with the peak ``weight`` each.

    Attributes:
        source: (k,) neuron.
        terminal: (k,) index that ``Connections.terminal`` refers to.
        weight: (k,) dimensionless.
        delay: (k,) ms.
        rise, decay: (terminals,) ms.
    """

    source: Ints
    terminal: Ints
    weight: Floats
    delay: Floats
    rise: Floats
    decay: Floats


@dataclass(frozen=True)
class Depression:
    """How an event of a connection is weakened by the ones before it from the same fibre.

    Resources R recover towards 1 with ``recovery`` and each event uses the share ``use`` of them; an event's factor is R before it.
    With ``use`` 1 it is 1 - exp(-gap / recovery).

    Attributes:
        use: (fibres,) 0 to 1.
        recovery: (fibres,) ms.
    """

    use: Floats
    recovery: Floats


@dataclass(frozen=True)
class Network:
    """Neurons and what connects them.

    Attributes:
        kinds: kinds of neuron.
        kind: (n,) of each neuron.
        fibres: number of afferent fibres.
        afferent: from fibres to neurons.
        links: from neurons to neurons.
        depression: of the afferent events.
        presynaptic: of fibres' terminals, if any.
    """

    kinds: tuple[Neuron, ...]
    kind: Ints
    fibres: int
    afferent: Connections
    links: Connections
    depression: Depression | None = None
    presynaptic: Presynaptic | None = None


@dataclass(frozen=True)
class Member:
    """One copy of the network in a batch.

    Attributes:
        times: (e,) ms at which fibres fire, in order within each fibre.
        fibre: (e,) which one.
        afferent: (c,) factor of each afferent connection; 1 if None.
        links: (c,) factor of each link; 1 if None.
        current: (n,) nA into the recording compartment of each neuron, from ``current_from`` until ``current_until``; none if None.
        current_from, current_until: ms.
    """

    times: Floats
    fibre: Ints
    afferent: Floats | None = None
    links: Floats | None = None
    current: Floats | None = None
    current_from: float = 0.0
    current_until: float = np.inf


@dataclass(frozen=True)
class Spikes:
    """What a batch gives.

    Attributes:
        times: per member and neuron, ms.
        traces: (members, neurons, rows) mV at the recording compartments, every ``every`` steps; empty if not asked for.
        trace_times: (rows,) ms.
        failed: (members,) ms at which a member became unstable, nan where it did not; it counts from there on as silent.
    """

    times: tuple[tuple[Floats, ...], ...]
    traces: Floats = field(default_factory=lambda: np.empty((0, 0, 0)))
    trace_times: Floats = field(default_factory=lambda: np.empty(0))
    failed: Floats = field(default_factory=lambda: np.empty(0))


LEAST_DELAY = 1.0
"""ms between an action potential and its arrival at another neuron, at least."""

MOST_RATE = 1000.0
"""Action potentials per second that a neuron is expected to make at most."""


def simulate(network: Network, members: Sequence[Member], duration: float, dt: float, threads: int = 1, every: int = 0,
             published: bool = False, progress: Callable[[float], None] | None = None) -> Spikes:
    """What every neuron of every copy of the network does.

    Args:
        network: the same for all.
        members: its copies, with their inputs. Results do not depend on who else is in the batch.
        duration: ms.
        dt: ms; at most half of ``LEAST_DELAY``.
        threads: on which the batch is spread.
        every: steps between two voltages that are recorded; none if 0.
        published: gates of ``kdri`` from the table of the published code instead of exactly.
        progress: called with a share from 0 to 1.

    Raises:
        ValueError: a step that cannot be, delays between neurons below ``LEAST_DELAY``, unknown channels or ones of calcium without
            a pool, fibres that do not exist, times out of order.
    """
    from epidura.numerics import network_kernel as kernel

    _check(network, members, duration, dt)
    parts = [range(k, min(k + kernel.LANES, len(members))) for k in range(0, len(members), kernel.LANES)]
    total = round(duration / dt)
    tables, knots = horn.tables(dt), horn.published_tables(dt) if published else np.empty((2, 0, 2))
    cables = tuple(_cable(kind, dt) for kind in network.kinds)
    delays = np.concatenate([network.links.delay, network.presynaptic.delay if network.presynaptic else np.empty(0)])
    block = int(np.floor((delays.min() if delays.size else LEAST_DELAY) / dt + 1e-9))
    longest = max([*delays, *network.afferent.delay, 0.0])
    slots = block + int(np.ceil(longest / dt)) + 2
    units = _units(network)
    done = 0

    def work(part: range) -> tuple[list[tuple[Floats, ...]], Floats, Floats]:
        own = [members[m] for m in part]
        states, rings, currents, traces = _room(network, cables, units, own, slots, total, every)
        given = _input(network, own)
        times = np.empty((len(own), len(network.kind), int(MOST_RATE * duration * 1e-3) + 16))
        counts, failed = np.zeros(times.shape[:2], np.int64), np.full(len(own), np.nan)
        afferent = _wires(network, network.afferent, network.fibres, [m.afferent for m in own])
        links = _wires(network, network.links, len(network.kind), [m.links for m in own])
        for cable, state in zip(cables, states, strict=True):
            room = (kernel.ROWS * cable.n + 2 * cable.rises.size) * kernel.LANES
            for lot in range(state.size // room):
                kernel.channels(cable, state[lot * room : (lot + 1) * room], tables, knots, dt, False)
        kernel.follow(cables, states, rings, currents, tables, knots, dt, total, block, slots, units, afferent, links, given,
                      _terminals(network, dt), times, counts, failed, traces, every)
        if counts.max(initial=0) > times.shape[2]:
            raise ValueError(f"a neuron fires more than {MOST_RATE:g} times a second")
        spikes = [tuple(times[m, i, : counts[m, i]].copy() for i in range(len(network.kind))) for m in range(len(own))]
        return spikes, failed, _unpacked(traces, units, len(own), len(network.kind))

    found = []
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for result in pool.map(work, parts):
            found.append(result)
            done += 1
            if progress is not None:
                progress(done / len(parts))
    return Spikes(tuple(times for spikes, _, _ in found for times in spikes), np.concatenate([trace for _, _, trace in found]),
                  (every * dt) * np.arange(total // every + 1, dtype=float) if every else np.empty(0),
                  np.concatenate([failed for _, failed, _ in found]))


def _check(network: Network, members: Sequence[Member], duration: float, dt: float) -> None:
    if not 0 < dt <= LEAST_DELAY / 2:
        raise ValueError(f"the step is {dt:g} ms; allowed: above 0, up to {LEAST_DELAY / 2:g} ms")
    if not duration >= dt:
        raise ValueError(f"the duration is {duration:g} ms; allowed: from one step of {dt:g} ms on")
    if not len(members):
        raise ValueError("the batch has no members")
    slow = [network.links.delay] + ([network.presynaptic.delay] if network.presynaptic else [])
    if any((delay < LEAST_DELAY).any() for delay in slow):
        raise ValueError(f"neurons are connected with a delay below {LEAST_DELAY:g} ms")
    if (network.afferent.delay < 0).any():
        raise ValueError("a fibre is connected with a negative delay")
    for kind in network.kinds:
        for channel in kind.channels:
            if channel.name not in CHANNELS:
                raise ValueError(f"{kind.name}: no channel {channel.name}; there are {', '.join(CHANNELS)}")
            first, last = (0, 0) if kind.pool is None else (kind.pool.first, kind.pool.first + len(kind.pool.decay))
            if channel.name in OF_CALCIUM and not first <= channel.first <= channel.first + len(channel.conductance) <= last:
                raise ValueError(f"{kind.name}: {channel.name} where there is no calcium pool")
    for m, member in enumerate(members):
        times, fibre = np.asarray(member.times), np.asarray(member.fibre)
        if times.shape != fibre.shape:
            raise ValueError(f"member {m}: {times.size} times, {fibre.size} fibres")
        if times.size and not (np.isfinite(times).all() and times.min() >= 0):
            raise ValueError(f"member {m}: times that are negative or no numbers")
        if fibre.size and not (fibre.min() >= 0 and fibre.max() < network.fibres):
            raise ValueError(f"member {m}: fibre {fibre.max()}; there are {network.fibres}")
        order = np.argsort(fibre, kind="stable")
        if ((np.diff(times[order]) < 0) & (np.diff(fibre[order]) == 0)).any():
            raise ValueError(f"member {m}: times of a fibre that are out of order")


def _cable(neuron: Neuron, dt: float) -> network_kernel.Cable:
    from epidura.numerics import network_kernel as kernel

    n = len(neuron.capacitance)
    axial = np.concatenate([[0.0], neuron.axial, [0.0]])
    first, last = np.zeros(len(CHANNELS), np.int64), np.zeros(len(CHANNELS), np.int64)
    g, e = np.zeros((len(CHANNELS), n)), np.zeros((len(CHANNELS), n))
    for channel in neuron.channels:
        k = CHANNELS.index(channel.name)
        first[k], last[k] = channel.first, channel.first + len(channel.conductance)
        g[k, first[k] : last[k]], e[k, first[k] : last[k]] = channel.conductance, channel.reversal
    forgets, gains, pool = np.zeros(n), np.zeros(n), (0, 0)
    if neuron.pool is not None:
        pool = neuron.pool.first, neuron.pool.first + len(neuron.pool.decay)
        forgets[slice(*pool)] = dt / neuron.pool.decay
        # 1e4 / (2 F 0.1 um) mM per ms and mA/cm2; 1e2 over the area in um2 makes mA/cm2 of nA
        gains[slice(*pool)] = dt * 1e4 / (2.0 * horn.FARADAY * horn.SHELL) * 1e2 / neuron.pool.area
    receptors = neuron.receptors
    return kernel.Cable(
        n, min(max(n // 2, 1), n - 1) if n > 1 else 0, neuron.site, neuron.sends, neuron.records, neuron.fires,
        neuron.capacitance / dt + axial[:-1] + axial[1:], axial, np.asarray(neuron.leak, float), neuron.leak * neuron.leak_reversal,
        first, last, np.unique([0, n, *first, *last, *pool]), g.ravel(), e.ravel(), *pool, forgets, gains,
        np.exp([-dt / r.rise for r in receptors]), np.exp([-dt / r.decay for r in receptors]), np.array([float(r.reversal) for r in receptors]),
        np.array([r.blocked for r in receptors], np.bool_), np.array([float(r.calcium) for r in receptors]))


def peak(rise: float, decay: float) -> float:
    """What the difference of the two exponentials is multiplied by, so that it peaks at 1."""
    at = decay * rise / (decay - rise) * np.log(decay / rise)
    return float(1.0 / (np.exp(-at / decay) - np.exp(-at / rise)))


def _units(network: Network) -> network_kernel.Units:
    from epidura.numerics import network_kernel as kernel

    kind = np.asarray(network.kind, np.int64)
    cells = np.bincount(kind, minlength=len(network.kinds))
    neuron, rank = np.full((len(cells), max(cells.max(), 1)), -1, np.int64), np.zeros(len(kind), np.int64)
    for k in range(len(cells)):
        own = np.flatnonzero(kind == k)
        neuron[k, : own.size], rank[own] = own, np.arange(own.size)
    return kernel.Units(kind, rank, cells.astype(np.int64), neuron)


def _wires(network: Network, connections: Connections, sources: int, factors: Sequence[Floats | None]) -> network_kernel.Wires:
    from epidura.numerics import network_kernel as kernel

    order = np.argsort(connections.source, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(connections.source, minlength=sources))]).astype(np.int64)
    receptors = [network.kinds[network.kind[t]].receptors[r] for t, r in zip(connections.target, connections.receptor, strict=True)]
    weight = np.array([w * peak(r.rise, r.decay) for w, r in zip(connections.weight, receptors, strict=True)], float)
    factor = np.ones((len(factors), len(order)))
    for m, given in enumerate(factors):
        if given is not None:
            factor[m] = np.asarray(given, float)[order]
    return kernel.Wires(start, connections.target[order].astype(np.int64), connections.receptor[order].astype(np.int64),
                        weight[order] if weight.size else weight, connections.delay[order].astype(float),
                        connections.terminal[order].astype(np.int64), factor)


def _terminals(network: Network, dt: float) -> network_kernel.Terminals:
    from epidura.numerics import network_kernel as kernel

    some = network.presynaptic
    if some is None:
        return kernel.Terminals(np.zeros(len(network.kind) + 1, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0))
    order = np.argsort(some.source, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(some.source, minlength=len(network.kind)))]).astype(np.int64)
    weight = np.array([w * peak(some.rise[t], some.decay[t]) for w, t in zip(some.weight, some.terminal, strict=True)])
    return kernel.Terminals(start, some.terminal[order].astype(np.int64), weight[order], some.delay[order].astype(float),
                            np.exp(-dt / some.rise), np.exp(-dt / some.decay))


def _input(network: Network, members: Sequence[Member]) -> network_kernel.Input:
    from epidura.numerics import network_kernel as kernel

    times, fibres, factors = [], [], []
    for member in members:
        time, fibre = np.asarray(member.times, float), np.asarray(member.fibre, np.int64)
        factor = weakened(time, fibre, network.depression) if network.depression is not None else np.ones(time.size)
        order = np.argsort(time, kind="stable")
        times.append(time[order])
        fibres.append(fibre[order])
        factors.append(factor[order])
    start = np.concatenate([[0], np.cumsum([t.size for t in times])]).astype(np.int64)
    return kernel.Input(start, np.concatenate(times), np.concatenate(fibres), np.concatenate(factors))


def weakened(times: Floats, fibre: Ints, depression: Depression) -> Floats:
    """(e,) factor of each event by the ones before it from the same fibre, see ``Depression``."""
    from epidura.numerics import network_kernel as kernel

    result, order = np.empty(times.size), np.lexsort((times, fibre))
    result[order] = kernel.resources(times[order], fibre[order], np.asarray(depression.use, float), np.asarray(depression.recovery, float))
    return result


def _room(network: Network, cables: Sequence[network_kernel.Cable], units: network_kernel.Units, members: Sequence[Member], slots: int, total: int,
          every: int) -> tuple[tuple[Any, ...], tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]:
    """States at rest, what arrives, currents and traces, per kind."""
    from epidura.numerics import network_kernel as kernel
    from epidura.numerics.simd import aligned, zeros

    states, rings, currents, traces = [], [], [], []
    with_current = any(member.current is not None for member in members)
    for k, (cable, neuron) in enumerate(zip(cables, network.kinds, strict=True)):
        lots = -(-int(units.cells[k]) * len(members) // kernel.LANES)
        one = np.zeros((kernel.ROWS * cable.n + 2 * cable.rises.size, kernel.LANES))
        one[: kernel.ROWS * cable.n] = np.repeat(_start(neuron), kernel.LANES).reshape(-1, kernel.LANES)
        states.append(aligned(np.tile(one.ravel(), lots)))
        rings.append(zeros(lots * slots * cable.rises.size * kernel.LANES, np.float64))
        traces.append(np.full((lots, (total // every + 1) * kernel.LANES if every else 0), neuron.starts))
        current = np.zeros((lots, 3, kernel.LANES))
        if with_current:
            for m, member in enumerate(members):
                if member.current is not None:
                    for rank in range(int(units.cells[k])):
                        lot, lane = divmod(m * int(units.cells[k]) + rank, kernel.LANES)
                        current[lot, :, lane] = member.current[units.neuron[k, rank]], member.current_from, member.current_until
        currents.append(current.ravel() if with_current else np.zeros(0))
    return tuple(states), tuple(rings), tuple(currents), tuple(traces)


def _start(neuron: Neuron) -> Floats:
    """(ROWS n,) state of one neuron at time 0: every gate at its steady value."""
    from epidura.numerics import network_kernel as kernel

    n = len(neuron.capacitance)
    rows = np.zeros((kernel.ROWS, n))
    rows[kernel.V] = neuron.starts
    rows[kernel.NA_M : kernel.CAL_M + 1] = horn.steady(np.array([neuron.starts]))[0]
    rows[kernel.CALCIUM] = horn.INSIDE
    for row, half in ((kernel.KCA_M, 1e-3), (kernel.CAAN_M, 5e-4)):
        r = (horn.INSIDE / half) ** 2
        rows[row] = r / (1.0 + r)
    return rows.ravel()


def _unpacked(traces: Sequence[Floats], units: network_kernel.Units, members: int, neurons: int) -> Floats:
    """(members, neurons, rows) of what stands per kind, lot and lane."""
    from epidura.numerics import network_kernel as kernel

    rows = traces[0].shape[1] // kernel.LANES
    result = np.empty((members, neurons, rows))
    for m in range(members):
        for i in range(neurons):
            lot, lane = divmod(m * int(units.cells[units.kind[i]]) + int(units.rank[i]), kernel.LANES)
            result[m, i] = traces[units.kind[i]][lot].reshape(rows, kernel.LANES)[:, lane]
    return result
