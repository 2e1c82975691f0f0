"""The network written out plainly, to check the fast kernel: one copy of it, all compartments of all neurons in one banded system.

No tables of rates, no lots, no blocks: every step adds what arrives, evaluates each current and its slope at the voltage of the start, solves
for the new voltages, looks for crossings, then moves gates and calcium. Formulas of the rates are written a second time here, and slopes of the
currents that are not straight in the voltage (calcium, NMDA) are differences. That is NEURON's fixed step with the published mechanisms (Zhang,
Janik and Grill 2014; docs/gate.md). Slow; only tests use it.

Units as in ``network``: mV, ms, um, uS, nA, nF, mM.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_banded

from epidura.numerics.network import CHANNELS, Connections, Member, Network, Spikes

Floats = NDArray[np.float64]

F, R, T = 96480.0, 8.314, 309.16  # C/mol, J/(mol K), K at 36 degC
CA_OUT, CA_REST, SHELL = 2.0, 5e-5, 0.1  # mM, mM, um
UNSTABLE = 500.0  # mV
NUDGE = 1e-3  # mV, for slopes
OPEN = {"na": 3, "kdri": 4, "na-hh2": 3, "k-hh2": 4, "nap": 1, "cal": 2, "kca": 3, "caan": 2}
"""Power of the opening gate."""
SHUTS = ("na", "kdri", "na-hh2", "nap")
"""Channels with a closing gate."""


def over(x: Any, y: float) -> Any:
    """x / (exp(x / y) - 1)."""
    x = np.where(np.abs(x) < 1e-9, 1e-9, x)
    return x / (np.exp(x / y) - 1.0)


def sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


def gates(name: str, v: Any) -> list[tuple[Any, Any]]:
    """Steady value and time constant in ms of the gates of a channel that follow the voltage: the opening one, then the closing one."""
    q = 3.0**1.3
    if name == "na":
        a, b = 0.182 * q * over(-v - 28.0, 9.0), 0.124 * q * over(v + 28.0, 9.0)
        closing = 1.0 / (q * (0.061 * over(-v - 35.0, 3.0) + 0.0166) + 0.0018 * q * over(v + 71.0, 18.0))
        return [(a / (a + b), 1.0 / (a + b)), (sigmoid(-(v + 64.0) / 9.0), closing)]
    if name == "kdri":
        pairs = [(0.035 * q * over(-v - 15.0, 9.0), 0.014 * q * np.exp((12.0 - v) / 46.0)),
                 (0.0083 * q * (sigmoid(-(v + 20.0) / 10.0) + 1.0), 0.0083 * q * sigmoid((v + 20.0) / 10.0))]
    elif name == "na-hh2":
        pairs = [(0.32 * over(-v - 42.0, 4.0), 0.28 * over(v + 15.0, 5.0)), (0.128 * np.exp((-43.0 - v) / 18.0), 4.0 * sigmoid((v + 20.0) / 5.0))]
    elif name == "k-hh2":
        pairs = [(0.032 * over(-v - 40.0, 5.0), 0.5 * np.exp((-45.0 - v) / 40.0))]
    elif name == "nap":
        pairs = [(0.32 * over(-v - 44.0, 4.0), 0.28 * over(v + 13.0, 5.0)), (0.128 * np.exp((-43.0 - v) / 18.0), 4.0 * sigmoid((v + 20.0) / 10.0))]
    else:  # cal
        x = 1.31 - v
        rate = (1.6 * sigmoid(0.072 * (v - 5.0)) + 0.02 * over(-x, 5.36)) * 3.0**1.25
        return [(sigmoid((v + 10.0) / 10.0), 1.0 / rate)]
    return [(a / (a + b), 1.0 / (a + b)) for a, b in pairs]


def of_calcium(name: str, calcium: Any) -> tuple[Any, Any]:
    """Steady value and time constant in ms of the gate of a channel that follows calcium in mM."""
    half, slowest = (1e-3, 1.0 / (0.03 * 3.0**1.4)) if name == "kca" else (5e-4, 40.0 / (0.002 * 3.0**1.4))
    r = (calcium / half) ** 2
    return r / (1.0 + r), np.maximum(0.1, slowest / (1.0 + r))


def calcium_current(v: Any, calcium: Any) -> Any:
    """mA/cm2 of a permeability of 1 cm/s, all open."""
    w = 2e-3 * v * F / (R * T)
    w = np.where(np.abs(w) < 1e-9, 1e-9, w)
    return -1e-3 * 2.0 * F * (CA_OUT - calcium * np.exp(w)) * w / (np.exp(w) - 1.0)


def block(v: Any) -> Any:
    """Share of NMDA receptors that 1 mM of magnesium leaves open."""
    return 1.0 / (1.0 + np.exp(-0.062 * v) / 3.57)


def largest(rise: float, decay: float) -> float:
    """Of exp(-t/decay) - exp(-t/rise)."""
    t = math.log(decay / rise) / (1.0 / rise - 1.0 / decay)
    return math.exp(-t / decay) - math.exp(-t / rise)


def before_step(time: float, dt: float) -> int:
    """The step whose beginning is nearest to a time; of two, the earlier one."""
    whole = math.floor(time / dt + 1e-9)
    return whole + (time / dt - whole > 0.5 + 1e-9)


def depressed(network: Network, member: Member) -> Floats:
    """(e,) factor of each event."""
    result, left, last = np.ones(len(member.times)), np.ones(network.fibres), np.full(network.fibres, -np.inf)
    if network.depression is None:
        return result
    for k in np.argsort(member.times, kind="stable"):
        f, t = member.fibre[k], member.times[k]
        left[f] = 1.0 - (1.0 - left[f]) * np.exp(-(t - last[f]) / network.depression.recovery[f])
        result[k], last[f] = left[f], t
        left[f] *= 1.0 - network.depression.use[f]
    return result


class _Cells:
    """Compartments of all neurons behind each other: matrices, channels and state."""

    def __init__(self, network: Network, published: bool):
        kinds = [network.kinds[k] for k in network.kind]
        self.first = np.cumsum([0, *(len(kind.leak) for kind in kinds)])
        n = self.first[-1]
        self.c, self.leak = np.concatenate([k.capacitance for k in kinds]), np.concatenate([k.leak for k in kinds])
        self.e_leak = np.concatenate([np.full(len(k.leak), k.leak_reversal) for k in kinds])
        # no axial path from one neuron to the next
        self.axial = np.concatenate([np.append(k.axial, 0.0) for k in kinds])
        self.v = np.concatenate([np.full(len(k.leak), k.starts) for k in kinds])
        self.calcium, self.decay, self.area = np.full(n, CA_REST), np.full(n, np.inf), np.full(n, np.inf)
        self.into_pool = np.zeros(n)  # nA of calcium at the start of the step
        self.at: dict[str, Any] = {}
        self.g: dict[str, Floats] = {}
        self.e: dict[str, Floats] = {}
        for name in CHANNELS:
            found = [(first + c.first, c) for first, kind in zip(self.first, kinds, strict=False) for c in kind.channels if c.name == name]
            self.at[name] = np.concatenate([np.zeros(0, int), *(i + np.arange(len(c.conductance)) for i, c in found)])
            self.g[name] = np.concatenate([np.zeros(0), *(c.conductance for _, c in found)])
            self.e[name] = np.concatenate([np.zeros(0), *(c.reversal for _, c in found)])
        for first, kind in zip(self.first, kinds, strict=False):
            if kind.pool is not None:
                place = slice(first + kind.pool.first, first + kind.pool.first + len(kind.pool.decay))
                self.decay[place], self.area[place] = kind.pool.decay, kind.pool.area
        self.knots = np.linspace(-160.0, 100.0, 201) if published else None
        self.state = {name: [of_calcium(name, self.calcium[at])[0]] if name in ("kca", "caan") else [s for s, _ in gates(name, self.v[at])]
                      for name, at in self.at.items()}

    def currents(self) -> tuple[Floats, Floats]:
        """(n,) nA outwards through leak and channels, and its slope in uS."""
        current, slope = self.leak * (self.v - self.e_leak), self.leak.copy()
        self.into_pool = np.zeros(len(self.v))
        for name, at in self.at.items():
            v, g = self.v[at], self.g[name] * self.state[name][0] ** OPEN[name]
            if name in SHUTS:
                g = g * self.state[name][1]
            if name == "cal":
                # 1 mA/cm2 on 1 um2 is 1e-2 nA
                now, then = (1e-2 * g * calcium_current(u, self.calcium[at]) for u in (v, v + NUDGE))
                current[at] += now
                slope[at] += (then - now) / NUDGE
                self.into_pool[at] -= now
            else:
                current[at] += g * (v - self.e[name])
                slope[at] += g
        return current, slope

    def move(self, dt: float) -> None:
        """Gates and calcium at the new voltage."""
        for name, at in self.at.items():
            v, state = self.v[at], self.state[name]
            if name in ("kca", "caan"):
                steady, tau = of_calcium(name, self.calcium[at])
                state[0] = (state[0] + dt / tau * steady) / (1.0 + dt / tau)
            elif name == "kdri" and self.knots is not None:
                # as published: value and share of the way from straight lines between the knots
                for k, (values, taus) in enumerate(gates(name, self.knots)):
                    share = np.interp(v, self.knots, 1.0 - np.exp(-dt / taus))
                    state[k] = state[k] + share * (np.interp(v, self.knots, values) - state[k])
            else:
                for k, (value, tau) in enumerate(gates(name, v)):
                    state[k] = value + (state[k] - value) * np.exp(-dt / tau)
        # 1 nA on 1 um2 is 1e2 mA/cm2
        inwards = np.maximum(0.0, 1e4 * 1e2 * self.into_pool / self.area / (2.0 * F * SHELL))
        self.calcium = self.calcium + dt * (inwards + (CA_REST - self.calcium) / self.decay)


def simulate(network: Network, member: Member, duration: float, dt: float, every: int = 0, published: bool = False) -> Spikes:
    """What every neuron of one copy of the network does; arguments and result as in ``network.simulate`` with that one member.

    It ends where the member becomes unstable.
    """
    cells = _Cells(network, published)
    kinds = [network.kinds[k] for k in network.kind]
    neurons, steps = range(len(kinds)), round(duration / dt)
    site, sends, records = (cells.first[:-1] + [getattr(kind, name) for kind in kinds] for name in ("site", "sends", "records"))
    fires = np.array([kind.fires for kind in kinds])
    current = np.zeros(len(kinds)) if member.current is None else np.asarray(member.current, float)
    bands = np.zeros((3, len(cells.v)))
    bands[0, 1:] = bands[2, :-1] = -cells.axial[:-1]
    outwards = cells.axial + np.append(0.0, cells.axial[:-1])
    slow, fast = ([np.zeros(len(kind.receptors)) for kind in kinds] for _ in range(2))
    events: dict[int, list[tuple[int, int, float]]] = defaultdict(list)  # by step: neuron, receptor, uS
    arriving: dict[int, list[tuple[int, float, float]]] = defaultdict(list)  # by step: fibre, ms, factor
    inhibited: dict[int, list[tuple[int, float]]] = defaultdict(list)  # by terminal: from which step, size
    for time, fibre, factor in zip(member.times, member.fibre, depressed(network, member), strict=True):
        arriving[before_step(time, dt)].append((int(fibre), time, factor))

    def send(wires: Connections, factors: Floats | None, source: int, time: float, step: int, factor: float = 1.0) -> None:
        for c in np.flatnonzero(wires.source == source):
            receptor = kinds[wires.target[c]].receptors[wires.receptor[c]]
            peak = factor * wires.weight[c] / largest(receptor.rise, receptor.decay) * (1.0 if factors is None else factors[c])
            if wires.terminal[c] >= 0:
                # as the terminal is when the fibre fires
                peak /= 1.0 + inhibition(wires.terminal[c], step)
            events[before_step(time + wires.delay[c], dt)].append((wires.target[c], wires.receptor[c], peak))

    def inhibition(terminal: int, step: int) -> float:
        assert network.presynaptic is not None
        rise, decay = network.presynaptic.rise[terminal], network.presynaptic.decay[terminal]
        waited = [((step - begin) * dt, size) for begin, size in inhibited[terminal] if begin <= step]
        return sum(size * (math.exp(-t / decay) - math.exp(-t / rise)) for t, size in waited)

    times: list[list[float]] = [[] for _ in neurons]
    traces, failed = [cells.v[records]], np.nan
    above_sends, above_records = np.zeros(len(kinds), bool), np.zeros(len(kinds), bool)
    for step in range(steps):
        for fibre, time, factor in arriving.pop(step, ()):
            send(network.afferent, member.afferent, fibre, time, step, factor)
        for target, receptor, peak in events.pop(step, ()):
            slow[target][receptor] += peak
            fast[target][receptor] += peak
        out, slope = cells.currents()
        for i, kind in enumerate(kinds):
            for r, receptor in enumerate(kind.receptors):
                g, v = slow[i][r] - fast[i][r], cells.v[site[i]]
                now, then = (g * (block(u) if receptor.blocked else 1.0) * (u - receptor.reversal) for u in (v, v + NUDGE))
                out[site[i]] += now
                slope[site[i]] += (then - now) / NUDGE
                cells.into_pool[site[i]] -= receptor.calcium * now
                slow[i][r] *= math.exp(-dt / receptor.decay)
                fast[i][r] *= math.exp(-dt / receptor.rise)
        if member.current_from <= (step + 0.5) * dt < member.current_until:
            out[records] -= current
        along = np.append(np.diff(cells.v) * cells.axial[:-1], 0.0)
        bands[1] = cells.c / dt + slope + outwards
        cells.v = cells.v + solve_banded((1, 1), bands, along - np.append(0.0, along[:-1]) - out, check_finite=False)
        if not (np.abs(cells.v[records]) <= UNSTABLE).all():
            failed = (step + 1) * dt
            break
        now_sends, now_records = cells.v[sends] >= fires, cells.v[records] >= fires
        for i in neurons:
            if now_records[i] and not above_records[i]:
                times[i].append((step + 1) * dt)
            if not now_sends[i] or above_sends[i]:
                continue
            send(network.links, member.links, i, (step + 1) * dt, step)
            if network.presynaptic is not None:
                for c in np.flatnonzero(network.presynaptic.source == i):
                    t = network.presynaptic.terminal[c]
                    size = network.presynaptic.weight[c] / largest(network.presynaptic.rise[t], network.presynaptic.decay[t])
                    inhibited[t].append((before_step((step + 1) * dt + network.presynaptic.delay[c], dt), size))
        above_sends, above_records = now_sends, now_records
        cells.move(dt)
        if every and (step + 1) % every == 0:
            traces.append(cells.v[records])
    recorded, at = np.empty((1, len(kinds), 0)), np.empty(0)
    if every:
        recorded, at = np.array(traces).T[None], every * dt * np.arange(len(traces), dtype=float)
    return Spikes((tuple(np.array(own) for own in times),), recorded, at, np.array([failed]))
