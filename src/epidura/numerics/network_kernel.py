"""The inner loops of the network: one lot of neurons through a stretch, and the events between the stretches.

All arrays are flat; the ``k``-th group of lanes is ``load(array, k)``. Row ``r`` of compartment ``i`` of a lot is group ``r n + i`` of its
state; the rows are named below. What the numbers mean stands in ``network``.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,call-arg,var-annotated"
from __future__ import annotations

from typing import Any, NamedTuple

import numba as nb
import numpy as np

from epidura.numerics import horn
from epidura.numerics.simd import PIECES, apart, exp, fill, interval, lanes_at_least, larger, load, piecewise, smaller, spread, store, together

LANES = 8
# rows of the state: voltage, gates, calcium, sums of the conductances and of conductance times reversal, calcium current
V, NA_M, NA_H, KDRI_N, KDRI_H, HH_M, HH_H, HH_N, NAP_M, NAP_H, CAL_M, KCA_M, CAAN_M, CALCIUM, G, GE, ICA = range(17)
ROWS = 17
NA, KDRI, NA_HH2, K_HH2, NAP, CAL, KCA, CAAN = range(8)  # as in ``network.CHANNELS``
LIMIT = 500.0  # mV: beyond it a neuron is unstable

_SCALE = PIECES[32] / (horn.RANGE[1] - horn.RANGE[0])
_OFFSET = -horn.RANGE[0] * _SCALE - 0.5
_LOW, _HIGH = horn.RANGE[0] + 1e-3, horn.RANGE[1] - 1e-3  # a little inside, so that rounding finds no piece before the first or after the last
_FIELD = 2 * len(horn.GATES)  # place of ``constant_field`` in the tables
# 1e-3 p 2 F c with c in mM = 1e-6 mol/cm3 is mA/cm2 for p in cm/s; 1e-2 times an area in um2 makes nA of it
_CAL = 1e-2 * 1e-3 * 2.0 * horn.FARADAY
_PUBLISHED_LOW, _PUBLISHED_STEP = horn.PUBLISHED[0], (horn.PUBLISHED[1] - horn.PUBLISHED[0]) / horn.PUBLISHED[2]
_PUBLISHED_LAST = horn.PUBLISHED[2]
_INSIDE, _OUTSIDE, _STEEP, _Q_CALCIUM = horn.INSIDE, horn.OUTSIDE, horn.VALENCE_STEEP, horn.Q_CALCIUM_GATES
_INLINE: Any = {"nogil": True, "error_model": "numpy", "forceinline": True}


class Cable(NamedTuple):
    """A kind of neuron as the kernel has it.

    Attributes:
        n, site, sends, records, fires: as in ``network.Neuron``.
        middle: compartment where the eliminations from both ends meet.
        base: (n,) uS: capacitance over the step and axial conductances, which do not change.
        axial: (n + 1,) uS: between compartment i - 1 and i, 0 at the ends.
        leak, leak_e: (n,) uS, and times the reversal.
        first, last: (8,) compartments of each channel; none where equal.
        bounds: of the stretches in which the channels are the same.
        g, e: (8, n) flat: conductance in uS (``cal``: permeability times area) and reversal, mV.
        pool_first, pool_last: compartments with calcium.
        pool_forgets: (n,) step over decay.
        pool_gains: (n,) mM of a step with 1 nA inwards.
        rises, decays: (receptors,) what is left after a step.
        receptor_e, blocked, calcium: (receptors,).
    """

    n: int
    middle: int
    site: int
    sends: int
    records: int
    fires: float
    base: Any
    axial: Any
    leak: Any
    leak_e: Any
    first: Any
    last: Any
    bounds: Any
    g: Any
    e: Any
    pool_first: int
    pool_last: int
    pool_forgets: Any
    pool_gains: Any
    rises: Any
    decays: Any
    receptor_e: Any
    blocked: Any
    calcium: Any


@nb.njit(**_INLINE)
def _advance(state, one, two, table, gate, piece, x):
    """Gate at two places after a step, stored and given back. They may be the same place."""
    a, a_two = apart(piecewise(table, 2 * gate, piece, x))
    b, b_two = apart(piecewise(table, 2 * gate + 1, piece, x))
    first, second = load(state, one), load(state, two)
    first = first + (a - b * first)
    second = second + (a_two - b_two * second)
    store(state, one, first)
    store(state, two, second)
    return first, second


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _published(n, state, first, last, knots):
    """The gates of ``kdri`` with value and share interpolated between the knots of the published table."""
    for i in range(first, last):
        for lane in range(LANES):
            y = (state[i * LANES + lane] - _PUBLISHED_LOW) / _PUBLISHED_STEP
            y = min(max(y, 0.0), _PUBLISHED_LAST - 1e-9)
            k = int(y)
            rest = y - k
            for gate in range(2):
                value = knots[gate, k, 0] + rest * (knots[gate, k + 1, 0] - knots[gate, k, 0])
                share = knots[gate, k, 1] + rest * (knots[gate, k + 1, 1] - knots[gate, k, 1])
                at = ((KDRI_N + gate) * n + i) * LANES + lane
                state[at] += share * (value - state[at])


@nb.njit(**_INLINE)
def _gate(state, one, two, table, gate, piece, x, moves):
    """Gate at two places: after a step, or as it is."""
    if moves:
        return _advance(state, one, two, table, gate, piece, x)
    return load(state, one), load(state, two)


@nb.njit(**_INLINE)
def _summed(cable, channel, i, j, open_i, open_j, g, g_j, ge, ge_j):
    """Conductances and their products with the reversal at two compartments, with those of one more channel."""
    at, at_j = channel * cable.n + i, channel * cable.n + j
    own, own_j = open_i * spread(cable.g, at), open_j * spread(cable.g, at_j)
    return g + own, g_j + own_j, ge + own * spread(cable.e, at), ge_j + own_j * spread(cable.e, at_j)


@nb.njit(nogil=True, cache=True, error_model="numpy")
def channels(cable, state, table, knots, dt, moves):
    """Gates after a step at the new voltage, calcium, and the conductances of the coming step.

    Args:
        moves: whether gates and calcium move; False sums the conductances up only.
    """
    n = cable.n
    by_knots = knots.size > 0
    if by_knots and moves:
        _published(n, state, cable.first[KDRI], cable.last[KDRI], knots)
    for part in range(cable.bounds.size - 1):
        first, last = cable.bounds[part], cable.bounds[part + 1]
        na, kdri = cable.first[NA] <= first < cable.last[NA], cable.first[KDRI] <= first < cable.last[KDRI]
        na_hh2, k_hh2 = cable.first[NA_HH2] <= first < cable.last[NA_HH2], cable.first[K_HH2] <= first < cable.last[K_HH2]
        nap, pool = cable.first[NAP] <= first < cable.last[NAP], cable.pool_first <= first < cable.pool_last
        kca, caan = cable.first[KCA] <= first < cable.last[KCA], cable.first[CAAN] <= first < cable.last[CAAN]
        cal = cable.first[CAL] <= first < cable.last[CAL]
        for i in range(first, last, 2):
            j = min(i + 1, last - 1)
            v, v_j = load(state, i), load(state, j)
            piece, x = interval(smaller(larger(together(v, v_j), _LOW), _HIGH), _SCALE, _OFFSET)
            g, g_j = spread(cable.leak, i), spread(cable.leak, j)
            ge, ge_j = spread(cable.leak_e, i), spread(cable.leak_e, j)
            if kdri:
                moved = moves and not by_knots
                o, o_j = _gate(state, KDRI_N * n + i, KDRI_N * n + j, table, 2, piece, x, moved)
                h, h_j = _gate(state, KDRI_H * n + i, KDRI_H * n + j, table, 3, piece, x, moved)
                o, o_j = o * o, o_j * o_j
                g, g_j, ge, ge_j = _summed(cable, KDRI, i, j, o * o * h, o_j * o_j * h_j, g, g_j, ge, ge_j)
            if na:
                m, m_j = _gate(state, NA_M * n + i, NA_M * n + j, table, 0, piece, x, moves)
                h, h_j = _gate(state, NA_H * n + i, NA_H * n + j, table, 1, piece, x, moves)
                g, g_j, ge, ge_j = _summed(cable, NA, i, j, m * m * m * h, m_j * m_j * m_j * h_j, g, g_j, ge, ge_j)
            if na_hh2:
                m, m_j = _gate(state, HH_M * n + i, HH_M * n + j, table, 4, piece, x, moves)
                h, h_j = _gate(state, HH_H * n + i, HH_H * n + j, table, 5, piece, x, moves)
                g, g_j, ge, ge_j = _summed(cable, NA_HH2, i, j, m * m * m * h, m_j * m_j * m_j * h_j, g, g_j, ge, ge_j)
            if k_hh2:
                o, o_j = _gate(state, HH_N * n + i, HH_N * n + j, table, 6, piece, x, moves)
                o, o_j = o * o, o_j * o_j
                g, g_j, ge, ge_j = _summed(cable, K_HH2, i, j, o * o, o_j * o_j, g, g_j, ge, ge_j)
            if nap:
                m, m_j = _gate(state, NAP_M * n + i, NAP_M * n + j, table, 7, piece, x, moves)
                h, h_j = _gate(state, NAP_H * n + i, NAP_H * n + j, table, 8, piece, x, moves)
                g, g_j, ge, ge_j = _summed(cable, NAP, i, j, m * h, m_j * h_j, g, g_j, ge, ge_j)
            store(state, G * n + i, g)
            store(state, G * n + j, g_j)
            store(state, GE * n + i, ge)
            store(state, GE * n + j, ge_j)
            if pool:
                m, m_j, field, field_j, slope, slope_j = g, g, g, g, g, g  # what the branch below sets
                if cal:
                    m, m_j = _gate(state, CAL_M * n + i, CAL_M * n + j, table, 9, piece, x, moves)
                    field, field_j = apart(piecewise(table, _FIELD, piece, x))
                    slope, slope_j = apart(piecewise(table, _FIELD + 1, piece, x))
                _calcium(cable, state, i, dt, moves, kca, caan, cal, m, field, slope)
                if j > i:
                    _calcium(cable, state, j, dt, moves, kca, caan, cal, m_j, field_j, slope_j)


@nb.njit(**_INLINE)
def _conducts(state, n, i, g, e):
    store(state, G * n + i, load(state, G * n + i) + g)
    store(state, GE * n + i, load(state, GE * n + i) + g * e)


@nb.njit(**_INLINE)
def _calcium(cable, state, i, dt, moves, kca, caan, cal, m, field, slope):
    """Gates of calcium see it as it was before the step, as published; the current sees it after."""
    n = cable.n
    calcium = load(state, CALCIUM * n + i)
    if moves:
        if kca:
            r = calcium * 1e3
            r = r * r
            one = r + 1.0
            # 1 / tau = 0.03 (1 + r) q, at most 10 per ms; implicit
            rate = smaller(one * (0.03 * _Q_CALCIUM), 10.0) * dt
            store(state, KCA_M * n + i, (load(state, KCA_M * n + i) * one + rate * r) / (one * (1.0 + rate)))
        if caan:
            r = calcium * 2e3
            r = r * r
            one = r + 1.0
            rate = smaller(one * (0.002 / 40.0 * _Q_CALCIUM), 10.0) * dt
            store(state, CAAN_M * n + i, (load(state, CAAN_M * n + i) * one + rate * r) / (one * (1.0 + rate)))
        inwards = larger(0.0 - load(state, ICA * n + i), 0.0) * spread(cable.pool_gains, i)
        calcium = calcium + (inwards + (_INSIDE - calcium) * spread(cable.pool_forgets, i))
        store(state, CALCIUM * n + i, calcium)
    current = fill(state, 0.0)
    if cal:
        v = load(state, i)
        size = m * m * (-_CAL * spread(cable.g, CAL * n + i))
        current = size * (field * _OUTSIDE - calcium * (field + v * _STEEP))
        steep = size * (slope * _OUTSIDE - calcium * (slope + _STEEP))
        store(state, G * n + i, load(state, G * n + i) + steep)
        store(state, GE * n + i, load(state, GE * n + i) + (steep * v - current))
    store(state, ICA * n + i, current)
    if kca:
        opened = load(state, KCA_M * n + i)
        _conducts(state, n, i, opened * opened * opened * spread(cable.g, KCA * n + i), spread(cable.e, KCA * n + i))
    if caan:
        opened = load(state, CAAN_M * n + i)
        _conducts(state, n, i, opened * opened * spread(cable.g, CAAN * n + i), spread(cable.e, CAAN * n + i))


@nb.njit(nogil=True, cache=True, error_model="numpy")
def advance(cable, state, table, knots, dt, ring, slots, slot, inject, steps, sent, counted, before, trace, every, step):
    """One lot through ``steps`` steps.

    Args:
        state: of the lot; behind its rows the two exponentials of each receptor.
        ring: (slots, receptors) what arrives in each of the coming steps, uS; emptied as it is used.
        slot: of the first step.
        inject: (steps,) nA, or empty.
        sent, counted: (steps,) bit masks of the lanes that fire, at the sending and at the recording place; written.
        before: (2,) the same after the step before; kept up.
        trace, every, step: voltage at the recording place after every so many steps, counted from ``step``; none if ``every`` is 0.

    Returns:
        bit mask of the lanes that are stable.
    """
    n, receptors = cable.n, cable.rises.size
    middle, site, synapses = cable.middle, cable.site, ROWS * n
    for s in range(steps):
        at = (slot + s) % slots * receptors
        v = load(state, site)
        conducted, driven, calcium = fill(state, 0.0), fill(state, 0.0), fill(state, 0.0)
        unblocked, steep = fill(state, 1.0), fill(state, 0.0)
        for r in range(receptors):
            arrives = load(ring, at + r)
            store(ring, at + r, fill(state, 0.0))
            slow, fast = load(state, synapses + 2 * r) + arrives, load(state, synapses + 2 * r + 1) + arrives
            g, e = slow - fast, cable.receptor_e[r]
            if cable.blocked[r]:
                unblocked = 1.0 / (1.0 + exp(larger(v, -200.0) * -0.062) * (1.0 / 3.57))
                steep = g * unblocked * (1.0 - unblocked) * 0.062 * (v - e)
                g = g * unblocked
                conducted = conducted + steep
                driven = driven + steep * v
            conducted = conducted + g
            driven = driven + g * e
            if cable.calcium[r] > 0.0:
                calcium = calcium + g * (v - e) * cable.calcium[r]
            store(state, synapses + 2 * r, slow * cable.decays[r])
            store(state, synapses + 2 * r + 1, fast * cable.rises[r])
        store(state, G * n + site, load(state, G * n + site) + conducted)
        store(state, GE * n + site, load(state, GE * n + site) + driven)
        if cable.pool_first <= site < cable.pool_last:
            store(state, ICA * n + site, load(state, ICA * n + site) + calcium)
        if inject.size > 0:
            store(state, GE * n + cable.records, load(state, GE * n + cable.records) + load(inject, s))
        # the change of the voltage: elimination from both ends, which meet in the middle, so that two chains run side by side; what the
        # way back needs stands in the place of the sums
        v_left, v_right = load(state, 0), load(state, n - 1)
        flow_left, flow_right = fill(state, 0.0), fill(state, 0.0)
        factor_left, change_left = fill(state, 0.0), fill(state, 0.0)
        factor_right, change_right = fill(state, 0.0), fill(state, 0.0)
        longer = max(middle, n - 1 - middle)
        for k in range(longer):
            if k < middle:
                i = k
                following = load(state, i + 1)
                flow = (following - v_left) * spread(cable.axial, i + 1)
                rhs = load(state, GE * n + i) - load(state, G * n + i) * v_left + (flow - flow_left)
                pivot = 1.0 / (load(state, G * n + i) + spread(cable.base, i) - factor_left * spread(cable.axial, i))
                change_left = (rhs + change_left * spread(cable.axial, i)) * pivot
                factor_left = pivot * spread(cable.axial, i + 1)
                store(state, G * n + i, factor_left)
                store(state, GE * n + i, change_left)
                flow_left, v_left = flow, following
            if k < n - 1 - middle:
                j = n - 1 - k
                following = load(state, j - 1)
                flow = (following - v_right) * spread(cable.axial, j)
                rhs = load(state, GE * n + j) - load(state, G * n + j) * v_right + (flow - flow_right)
                pivot = 1.0 / (load(state, G * n + j) + spread(cable.base, j) - factor_right * spread(cable.axial, j + 1))
                change_right = (rhs + change_right * spread(cable.axial, j + 1)) * pivot
                factor_right = pivot * spread(cable.axial, j)
                store(state, G * n + j, factor_right)
                store(state, GE * n + j, change_right)
                flow_right, v_right = flow, following
        i = middle
        v = load(state, i)
        rhs = load(state, GE * n + i) - load(state, G * n + i) * v - flow_left - flow_right
        rhs = rhs + change_left * spread(cable.axial, i) + change_right * spread(cable.axial, i + 1)
        pivot = load(state, G * n + i) + spread(cable.base, i) - factor_left * spread(cable.axial, i) - factor_right * spread(cable.axial, i + 1)
        change = rhs / pivot
        store(state, i, v + change)
        left, right = change, change
        for k in range(1, longer + 1):
            if middle - k >= 0:
                i = middle - k
                left = load(state, GE * n + i) + load(state, G * n + i) * left
                store(state, i, load(state, i) + left)
            if middle + k < n:
                j = middle + k
                right = load(state, GE * n + j) + load(state, G * n + j) * right
                store(state, j, load(state, j) + right)
        now_sends = lanes_at_least(load(state, cable.sends), cable.fires)
        now_records = lanes_at_least(load(state, cable.records), cable.fires)
        sent[s], counted[s] = now_sends & ~before[0], now_records & ~before[1]
        before[0], before[1] = now_sends, now_records
        channels(cable, state, table, knots, dt, True)
        if every > 0 and (step + s + 1) % every == 0:
            store(trace, (step + s + 1) // every, load(state, cable.records))
    size = load(state, cable.records)
    return lanes_at_least(size, -LIMIT) & lanes_at_least(0.0 - size, -LIMIT)


class Wires(NamedTuple):
    """Connections by their source: those of source i are ``start[i]`` to ``start[i + 1]``.

    Attributes:
        start: (sources + 1,).
        target, receptor, weight, delay, terminal: as in ``network.Connections``, with weights that include the receptor's peak.
        factor: (members, connections).
    """

    start: Any
    target: Any
    receptor: Any
    weight: Any
    delay: Any
    terminal: Any
    factor: Any


class Units(NamedTuple):
    """Where the neurons of all members are.

    Attributes:
        kind: (neurons,) of each neuron.
        rank: (neurons,) its number among those of its kind.
        cells: (kinds,) how many of each kind a member has.
        neuron: (kinds, most) the neuron of each rank.
    """

    kind: Any
    rank: Any
    cells: Any
    neuron: Any


class Input(NamedTuple):
    """Action potentials of the fibres, by member and time.

    Attributes:
        start: (members + 1,).
        time: ms.
        fibre, factor: what it is weakened by.
    """

    start: Any
    time: Any
    fibre: Any
    factor: Any


class Terminals(NamedTuple):
    """Presynaptic inhibition: from neuron i the rows ``start[i]`` to ``start[i + 1]``.

    Attributes:
        start: (neurons + 1,).
        terminal, weight, delay: of each row.
        rises, decays: (terminals,) what is left after a step.
    """

    start: Any
    terminal: Any
    weight: Any
    delay: Any
    rises: Any
    decays: Any


@nb.njit(nogil=True, error_model="numpy")
def _arrival(time, dt):
    """Step before which an event takes effect: the one that begins nearest to it."""
    return int(np.ceil(time / dt - 0.5 - 1e-9))


@nb.njit(nogil=True, cache=True, error_model="numpy")
def follow(cables, states, rings, currents, tables, knots, dt, total, block, slots, units, afferent, links, given, terminals, times, counts, failed,
           traces, every):
    """A part of the batch from beginning to end.

    Args:
        states: per kind: its lots one behind the other.
        rings: per kind (lots, slots, receptors): what arrives.
        currents: per kind (lots, 3): nA into the recording compartment, from and until when, ms; or empty.
        total, block: steps, and steps that are taken before action potentials are handed on.
        times, counts: (members, neurons, most) and (members, neurons): action potentials, ms; written. Those beyond ``most`` are counted only.
        failed: (members,) ms; written.
        traces: per kind (lots, rows), or empty.
    """
    members, _, most = times.shape
    count = terminals.rises.size
    level = np.zeros((members, count, block))
    inhibits = np.zeros((members, count, 2))
    coming = np.zeros((members, count, slots))
    at = given.start[:-1].copy()
    sent, counted = np.zeros(block, np.int64), np.zeros(block, np.int64)
    befores = [np.zeros((rings[k].size // (slots * max(cables[k].rises.size, 1) * LANES), 2), np.int64) for k in range(len(cables))]
    inject = np.zeros(0)
    for begin in range(0, total, block):
        steps = min(block, total - begin)
        for m in range(members):
            for t in range(count):
                slow, fast = inhibits[m, t]
                for s in range(steps):
                    place = (begin + s) % slots
                    slow, fast = slow + coming[m, t, place], fast + coming[m, t, place]
                    coming[m, t, place] = 0.0
                    level[m, t, s] = slow - fast
                    slow, fast = slow * terminals.decays[t], fast * terminals.rises[t]
                inhibits[m, t, 0], inhibits[m, t, 1] = slow, fast
            while at[m] < given.start[m + 1] and _arrival(given.time[at[m]], dt) < begin + steps:
                time, fibre, factor = given.time[at[m]], given.fibre[at[m]], given.factor[at[m]]
                for c in range(afferent.start[fibre], afferent.start[fibre + 1]):
                    size = afferent.weight[c] * afferent.factor[m, c] * factor
                    if afferent.terminal[c] >= 0:
                        size /= 1.0 + level[m, afferent.terminal[c], _arrival(time, dt) - begin]
                    _push(rings, cables, units, slots, m, afferent.target[c], afferent.receptor[c], size, _arrival(time + afferent.delay[c], dt))
                at[m] += 1
        for k in range(len(cables)):
            cable = cables[k]
            room, row = (ROWS * cable.n + 2 * cable.rises.size) * LANES, slots * cable.rises.size * LANES
            for lot in range(befores[k].shape[0]):
                if currents[k].size > 0:
                    inject = _current(currents[k], lot, begin, steps, dt)
                trace = traces[k][lot]
                stable = advance(cable, states[k][lot * room : (lot + 1) * room], tables, knots, dt, rings[k][lot * row : (lot + 1) * row], slots,
                                 begin % slots, inject, steps, sent, counted, befores[k][lot], trace, every, begin)
                for lane in range(LANES):
                    unit = lot * LANES + lane
                    m = unit // units.cells[k]
                    if m >= members:
                        break
                    neuron = units.neuron[k, unit % units.cells[k]]
                    if failed[m] <= begin * dt:
                        continue  # silent since then
                    if not stable >> lane & 1:
                        failed[m] = (begin + steps) * dt
                    for s in range(steps):
                        if counted[s] >> lane & 1:
                            if counts[m, neuron] < most:
                                times[m, neuron, counts[m, neuron]] = (begin + s + 1) * dt
                            counts[m, neuron] += 1
                        if sent[s] >> lane & 1:
                            fires = (begin + s + 1) * dt
                            for c in range(links.start[neuron], links.start[neuron + 1]):
                                _push(rings, cables, units, slots, m, links.target[c], links.receptor[c], links.weight[c] * links.factor[m, c],
                                      _arrival(fires + links.delay[c], dt))
                            for c in range(terminals.start[neuron], terminals.start[neuron + 1]):
                                coming[m, terminals.terminal[c], _arrival(fires + terminals.delay[c], dt) % slots] += terminals.weight[c]


@nb.njit(nogil=True, error_model="numpy")
def _push(rings, cables, units, slots, member, neuron, receptor, size, step):
    kind = units.kind[neuron]
    unit = member * units.cells[kind] + units.rank[neuron]
    lot, lane = unit // LANES, unit % LANES
    receptors = cables[kind].rises.size
    rings[kind][((lot * slots + step % slots) * receptors + receptor) * LANES + lane] += size


@nb.njit(nogil=True, error_model="numpy")
def _current(current, lot, begin, steps, dt):
    """(steps,) nA of a lot: what is on in the middle of each step."""
    result = np.zeros(steps * LANES)
    for s in range(steps):
        middle = (begin + s + 0.5) * dt
        for lane in range(LANES):
            if current[(lot * 3 + 1) * LANES + lane] <= middle < current[(lot * 3 + 2) * LANES + lane]:
                result[s * LANES + lane] = current[lot * 3 * LANES + lane]
    return result


@nb.njit(nogil=True, cache=True, error_model="numpy")
def resources(times, fibre, use, recovery):
    """(e,) what each event finds of its fibre's resources; events by fibre and time. See ``network.Depression``."""
    left = np.ones(times.size)
    for k in range(1, times.size):
        if fibre[k] == fibre[k - 1]:
            left[k] = 1.0 - (1.0 - left[k - 1] * (1.0 - use[fibre[k]])) * np.exp(-(times[k] - times[k - 1]) / recovery[fibre[k]])
    return left
