"""The inner loops of the fibre engine: many fibres at once, one fibre per vector lane.

The voltage of a fibre is split into V = W + A U: U is its linear response to the stimulus of amplitude 1 with the
channels held as they are at rest, found once by ``passive``; W is what the channels add, stepped by ``run`` for every
amplitude A. So only ``passive`` sees the edges of the stimulus. Per step of W: four gates per node, a scalar tridiagonal
system over the nodes (the internodes are eliminated), and a recursion per internode for every mode that has a memory.
Fibres with channels under the myelin have ``Lanes`` of their own, and with them their own ways through a block, see ``active_kernel``.

Units: mV, ms, 1/ms; voltages are relative to rest and to the local outside potential. All arrays are flat; the
``k``-th group of lanes is ``load(array, k)``. Who computes the coefficients, and why they are what they are: ``cable.py``.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,call-arg,var-annotated"
from __future__ import annotations

from typing import Any, NamedTuple

import numba as nb
import numpy as np
from numba.extending import overload

from epidura.numerics.kinetics import advance, conductance, gate_count, settled
from epidura.numerics.simd import fill, lanes_at_least, larger, load, rearranged, smaller, store

MODES, HALF = 20, 10  # per internode: 10 even, then 10 odd
KINDS = 3  # of internodes: left end, middle, right end; of live nodes: first, middle, last
PASSIVE = 6  # per mode and table of the linear response: E - 1, k0, k1, f, q, qa
FULL = 6  # per mode and level: k, k0, k1, 1 / k, k1 / k, f
TINY = 1e-30
# The voltage of a trapezoidal step stands for the mean over the step by the mean of its ends, the channels stand by their middle: where both
# grow, the channels lag. The first gate, the fast one, therefore leads by this share of its second difference (docs/fibre.md).
LEAD = 0.25
# While what is left of a recharge drives a fibre yet, nothing will fire any more where every node is under this share of ``quiet`` and what is left
# will not depolarise any by this many mV, at most ``CALM_RISE`` times the largest linear response so far times the share of the course that is left.
# A long drive fires at 7 mV of linear response, and the response to a long phase is under 3 times that to the first 20 us (docs/fibre.md).
CALM_QUIET, CALM_RISE, CALM_MOST = 0.5, 3.0, 6.0
EVEN = 3  # steps of one length in a search before they grow: a guess is mostly within three neighbours, and a doubled step has to be halved again
DEALT = 2  # runs after which fibres that are left are dealt out to lanes that are free
AHEAD = 0.5  # standard deviations by which a search goes past a guess, to have both sides
FAINT = 0.05  # mV, under which one depolarisation is as good as another
MARGIN, MARGIN_TERMS = 7, 14  # what ``_margin`` goes by: four of the fibre, the linear response and two of the run; and its terms
SUMS = 18  # per table: 5 per kind of internode, then 1 per kind of node
_INSIDE: Any = {"nogil": True, "error_model": "numpy", "forceinline": True}


class Net(NamedTuple):
    """What all fibres of a batch share.

    Attributes:
        nodes: number of nodes.
        first, last: live nodes; those outside stay at rest.
        kind: (nodes - 1,) of each internode.
        place: (nodes,) of each node.
        kept: (levels, KINDS) modes of each parity with a memory that lasts for more than a step of that level.
        passive_kept: (tables, KINDS) the same for the steps of the linear response.
        stride: room for them, the largest of ``kept``.
        step: (levels,) ms.
        theta: 1 backward Euler, 1/2 trapezoidal nodes.
        by, lag: (levels,) which step of the membrane the gates make with each step, and to catch up with V after one.
        gates: how many a node has.
        rest_leak: 1/ms, conductance over capacitance of a node at rest.
        fires: mV relative to rest, crossed upwards.
        low, quiet: mV relative to rest, between which at every node nothing will fire any more.
        detect: node that must fire.
        left: share of what drove a fibre before that drives it at most where a run may stop while it is driven.
        width: groups of a row of U.
        apart: groups from one node to the next, in rows of U and in the state, which begins with W.
        rest_under: (2,) 1/ms, the same as ``rest_leak`` under the myelin, in a MYSA and elsewhere; empty where nothing is active there.
    """

    nodes: int
    first: int
    last: int
    kind: Any
    place: Any
    kept: Any
    passive_kept: Any
    stride: int
    step: Any
    theta: float
    by: Any
    lag: Any
    gates: int
    rest_leak: float
    fires: float
    low: float
    quiet: float
    detect: int
    left: float
    width: int
    apart: int
    rest_under: Any


class Part(NamedTuple):
    """A driven stretch of steps.

    Attributes:
        table: (fine + 1,) which table each fine step takes, and the step after the last one.
        push_row: (fine,) row of ``push``.
        push: (rows, patterns) course of each pattern.
        fixed: (rows, fixed patterns) course of what does not grow with the amplitude.
        start, index, weight: rows of U as weighted sums of fine points, compressed.
        mean: (steps,) row of U: its mean over each step.
        end: (steps,) row of U: after each step.
        gate: (steps + 1,) where the pieces of each step's gate update begin.
        gate_row, gate_by: (pieces,) row of U, and which step of the membrane; the first is the one of the block, see ``Blocks``.
        carries: whether U goes on from the part before, instead of from 0.
        folds: whether U is added to W at the end.
    """

    table: Any
    push_row: Any
    push: Any
    fixed: Any
    start: Any
    index: Any
    weight: Any
    mean: Any
    end: Any
    gate: Any
    gate_row: Any
    gate_by: Any
    carries: bool
    folds: bool


class Watch(NamedTuple):
    """What is written down during a run.

    Attributes:
        nodes: whose V and gates are recorded after each whole step.
        record: (rows, nodes, 1 + gates) flat; empty without nodes.
        spiking: nodes whose upward crossings are counted.
        before, now: (spiking) V after the last step and after this one, flat.
        times: (lanes, spiking, most) ms of the crossings.
        counts: (lanes, spiking).
        whole: (rows, nodes + modes) V and all modes after each whole step, flat, or empty.
    """

    nodes: Any
    record: Any
    spiking: Any
    before: Any
    now: Any
    times: Any
    counts: Any
    whole: Any


@nb.njit(nogil=True, cache=True, error_model="numpy")
def give_of_drive(net, modes, drive, given):
    """What the drive gives the nodes through the internodes in a step of each table per unit of push, into ``given`` (table, pattern, internode, 4):
    at once by the even and the odd modes, and in the step after it by those of them that forget within a step."""
    internodes, tables = net.nodes - 1, net.passive_kept.shape[0]
    patterns = drive.size // (64 // drive.itemsize) // (net.nodes + internodes * MODES)
    for t in range(tables):
        for p in range(patterns):
            for i in range(internodes):
                kind = net.kind[i]
                at = p * (net.nodes + internodes * MODES) + net.nodes + i * MODES
                coefficients = (t * KINDS + kind) * MODES * PASSIVE
                for parity in range(2):
                    now, then = fill(drive, 0.0), fill(drive, 0.0)
                    for j in range(HALF):
                        k = coefficients + (parity * HALF + j) * PASSIVE
                        pushed = load(drive, at + parity * HALF + j)
                        now = now + pushed * load(modes, k + 5)
                        if j >= net.passive_kept[t, kind]:
                            then = then + pushed * (load(modes, k + 4) * load(modes, k + 3))
                    store(given, ((t * patterns + p) * internodes + i) * 4 + parity, now)
                    store(given, ((t * patterns + p) * internodes + i) * 4 + 2 + parity, then)


@nb.njit(nogil=True, cache=True, error_model="numpy")
def passive(net, state, work, modes, sums, static, given, drive, table, push_row, push, fine, kept):
    """Linear response to a stimulus of amplitude 1, in fine steps.

    Args:
        state: U of each node, what the internodes give each node in the coming step, then all MODES of each internode.
        work: one per node.
        modes: (table, kind, mode, PASSIVE): E - 1 (E itself would lose the slow modes in float32), k0, k1, f, q, qa of the recursion.
        sums: (table, SUMS): per kind of internode the coupling of the change to the other node and what S (even, odd) gives,
            2 unused; then the diagonal at the three kinds of node. Solved for the change of U, as in ``run``.
        static: (table, kind, parity, 2): what S and its last change give through modes that forget within a step, see ``Net.passive_kept``.
        given: of ``give_of_drive``.
        drive: (pattern): of each node, then of each mode of each internode.
        table, push_row, push: as in ``Part``.
        fine: (fine + 1, nodes) U at all fine points; the first is the state at the start.
        kept: (steps, nodes + modes) U and all modes after each step, or empty.
    """
    nodes, patterns = net.nodes, push.shape[1]
    give, memory = nodes, 2 * nodes
    per_pattern = nodes + (nodes - 1) * MODES
    for i in range(nodes):
        store(fine, i, load(state, i))
    for step in range(table.size - 1):
        modes_at, sums_at = table[step] * KINDS * MODES * PASSIVE, table[step] * SUMS
        next_modes, next_sums = table[step + 1] * KINDS * MODES * PASSIVE, table[step + 1] * SUMS
        row = push_row[step]
        # a mode that forgets within a step is what drove it last; where steps change or end it is needed by itself
        briefly = table[step] == table[step + 1] and step + 2 < table.size and kept.size == 0
        for p in range(patterns):
            if push[row, p] == 0.0:
                continue
            for i in range(nodes - 1):
                at = ((table[step] * patterns + p) * (nodes - 1) + i) * 4
                even, odd = load(given, at), load(given, at + 1)
                store(state, give + i, load(state, give + i) + (even + odd) * push[row, p])
                store(state, give + i + 1, load(state, give + i + 1) + (even - odd) * push[row, p])
        before = fill(state, 0.0)
        off_before = fill(state, 0.0)
        for i in range(net.first, net.last + 1):
            rhs = load(state, give + i) - load(state, i) * net.rest_leak
            for p in range(patterns):
                if push[row, p] != 0.0:
                    rhs = rhs + load(drive, p * per_pattern + i) * push[row, p]
            off = fill(state, 0.0)
            if i < net.last:
                off = 0.0 - load(sums, sums_at + 5 * net.kind[i])
            upper = fill(state, 0.0)
            d = fill(state, 0.0)
            if i > net.first:
                upper = load(work, i - 1)
                d = before
            pivot = 1.0 / (load(sums, sums_at + 15 + net.place[i]) - off_before * upper)
            store(work, i, off * pivot)
            before = (rhs - off_before * d) * pivot
            store(state, give + i, before)
            off_before = off
        change_right, v_right, carried = fill(state, 0.0), fill(state, 0.0), fill(state, 0.0)
        if net.last == nodes - 1:
            change_right = load(state, give + nodes - 1)
            v_right = load(state, nodes - 1) + change_right
            store(state, nodes - 1, v_right)
        for i in range(nodes - 2, -1, -1):
            v = load(state, i)
            change = fill(state, 0.0)
            if i >= net.first:
                change = load(state, give + i)
                if i < net.last:
                    change = change - load(work, i) * change_right
                v = v + change
                store(state, i, v)
            kind = net.kind[i]
            sums_of = next_sums + 5 * kind
            total = fill(state, 0.0)
            turned = fill(state, 0.0)
            for parity in range(2):
                both, more = v + v_right, change + change_right
                if parity == 1:
                    both, more = v - v_right, change - change_right
                both_old = both - more
                out = both * load(sums, sums_of + 1 + parity)
                lasting = HALF
                if briefly:
                    lasting = net.passive_kept[table[step], kind]
                    fast = ((table[step] * KINDS + kind) * 2 + parity) * 2
                    out = out + both * load(static, fast) + more * load(static, fast + 1)
                    for p in range(patterns):
                        if push[row, p] != 0.0:
                            out = out + load(given, ((table[step] * patterns + p) * (nodes - 1) + i) * 4 + 2 + parity) * push[row, p]
                at = memory + i * MODES + parity * HALF
                coefficients = modes_at + (kind * MODES + parity * HALF) * PASSIVE
                share = next_modes + (kind * MODES + parity * HALF) * PASSIVE + 3
                q_at = nodes + i * MODES + parity * HALF
                for j in range(lasting):
                    a = load(state, at + j)
                    grow = a * load(modes, coefficients + PASSIVE * j) + both_old * load(modes, coefficients + PASSIVE * j + 1)
                    grow = grow + both * load(modes, coefficients + PASSIVE * j + 2)
                    for p in range(patterns):
                        if push[row, p] != 0.0:
                            grow = grow + load(drive, q_at + p * per_pattern + j) * load(modes, coefficients + PASSIVE * j + 4) * push[row, p]
                    a = a + grow
                    store(state, at + j, a)
                    out = out + a * load(modes, share + PASSIVE * j)
                total = total + out
                if parity == 0:
                    turned = out
                else:
                    turned = turned - out
            store(state, give + i + 1, carried + turned)
            carried = total
            v_right, change_right = v, change
        store(state, give, carried)
        for i in range(nodes):
            store(fine, (step + 1) * nodes + i, load(state, i))
        if kept.size > 0 and (step + 2 == table.size or push_row[step + 1] != row):
            for i in range(per_pattern):
                store(kept, row * per_pattern + i, load(state, i if i < nodes else i + nodes))


@nb.njit(nogil=True, cache=True, error_model="numpy")
def blend(width, start, index, weight, fine, rows):
    """Rows of U as weighted sums of its fine points."""
    for r in range(start.size - 1):
        for i in range(width):
            total = load(fine, index[start[r]] * width + i) * weight[start[r]]
            for k in range(start[r] + 1, start[r + 1]):
                total = total + load(fine, index[k] * width + i) * weight[k]
            store(rows, r * width + i, total)


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _fold(net, level, state, response, full, amplitude):
    """W += amplitude U, with everything that the coming steps of this level remember of it."""
    nodes = net.nodes
    give, memory = (1 + net.gates) * nodes, (2 + net.gates) * nodes
    for i in range(nodes):
        store(state, i, load(state, i) + amplitude * load(response, i))
        store(state, give + i, load(state, give + i) + amplitude * load(response, nodes + i))
    for i in range(nodes - 1):
        kind = net.kind[i]
        left, right = load(response, i), load(response, i + 1)
        for parity in range(2):
            both = left + right
            if parity == 1:
                both = left - right
            for j in range(net.kept[level, kind]):
                k = ((level * KINDS + kind) * MODES + parity * HALF + j) * FULL
                at = memory + (i * 2 + parity) * net.stride + j
                a = load(response, 2 * nodes + i * MODES + parity * HALF + j)
                store(state, at, load(state, at) + amplitude * (a * load(full, k + 3) - both * load(full, k + 4)))


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _switch(net, level, to, state, change, full, static):
    """The state in the coefficients of another level. ``change`` is that of W in the last step, for modes without a memory."""
    nodes = net.nodes
    give, memory = (1 + net.gates) * nodes, (2 + net.gates) * nodes
    # modes that have no memory in either level give the node what S and S before give through them: summed once
    brief = np.empty(KINDS * 4 * (64 // state.itemsize), state.dtype)
    for kind in range(KINDS):
        for parity in range(2):
            now, before = load(static, (to * KINDS + kind) * 2 + parity), fill(state, 0.0)
            for j in range(max(net.kept[level, kind], net.kept[to, kind]), HALF):
                k, k_to = ((level * KINDS + kind) * MODES + parity * HALF + j) * FULL, ((to * KINDS + kind) * MODES + parity * HALF + j) * FULL
                now = now + load(full, k + 2) * load(full, k_to + 5)
                before = before + load(full, k + 1) * load(full, k_to + 5)
            store(brief, (kind * 2 + parity) * 2, now)
            store(brief, (kind * 2 + parity) * 2 + 1, before)
    carried = fill(state, 0.0)
    for i in range(nodes - 2, -1, -1):
        kind = net.kind[i]
        total = fill(state, 0.0)
        turned = fill(state, 0.0)
        for parity in range(2):
            both, more = load(state, i) + load(state, i + 1), load(change, i) + load(change, i + 1)
            if parity == 1:
                both, more = load(state, i) - load(state, i + 1), load(change, i) - load(change, i + 1)
            before = both - more
            out = both * load(brief, (kind * 2 + parity) * 2) + before * load(brief, (kind * 2 + parity) * 2 + 1)
            for j in range(max(net.kept[level, kind], net.kept[to, kind])):
                k, k_to = ((level * KINDS + kind) * MODES + parity * HALF + j) * FULL, ((to * KINDS + kind) * MODES + parity * HALF + j) * FULL
                at = memory + (i * 2 + parity) * net.stride + j
                a = both * load(full, k + 2)
                if j < net.kept[level, kind]:
                    a = a + load(state, at) * load(full, k)
                else:
                    a = a + before * load(full, k + 1)
                if j < net.kept[to, kind]:
                    store(state, at, a * load(full, k_to + 3) - both * load(full, k_to + 4))
                out = out + a * load(full, k_to + 5)
            total = total + out
            if parity == 0:
                turned = out
            else:
                turned = turned - out
        store(state, give + i + 1, carried + turned)
        carried = total
    store(state, give, carried)


def gates_of(membrane, state, at, stride, i):
    """The gates of a node: its first stands in group ``at`` + i of the state, each further one ``stride`` groups on."""
    raise NotImplementedError


def put_gates(membrane, state, at, stride, i, gates):
    """Write them there."""
    raise NotImplementedError


@overload(gates_of, jit_options=_INSIDE)
def _gates_of(membrane, state, at, stride, i):
    if gate_count(membrane) == 5:
        return lambda membrane, state, at, stride, i: (
            load(state, at + i), load(state, at + stride + i), load(state, at + 2 * stride + i), load(state, at + 3 * stride + i),
            load(state, at + 4 * stride + i))
    return lambda membrane, state, at, stride, i: (
        load(state, at + i), load(state, at + stride + i), load(state, at + 2 * stride + i), load(state, at + 3 * stride + i))


@overload(put_gates, jit_options=_INSIDE)
def _put_gates(membrane, state, at, stride, i, gates):
    def four(membrane, state, at, stride, i, gates):
        store(state, at + i, gates[0])
        store(state, at + stride + i, gates[1])
        store(state, at + 2 * stride + i, gates[2])
        store(state, at + 3 * stride + i, gates[3])

    def five(membrane, state, at, stride, i, gates):
        store(state, at + i, gates[0])
        store(state, at + stride + i, gates[1])
        store(state, at + 2 * stride + i, gates[2])
        store(state, at + 3 * stride + i, gates[3])
        store(state, at + 4 * stride + i, gates[4])

    return five if gate_count(membrane) == 5 else four


# A tuple of arrays that is handed on costs two counts of references for each of them, every step; so these take what they need.


@nb.njit(**_INSIDE)
def voltage_after(state, rows, fixed, place, row, amp):
    """V of the group ``place`` of the state after a step whose U begins in group ``row`` of the rows, or is over where that is negative."""
    v = load(state, place)
    if row >= 0:
        v = v + amp * load(rows, row + place)
        if fixed.size > 0:
            v = v + load(fixed, row + place)
    return v


@nb.njit(nogil=True, cache=True, error_model="numpy")
def write_gates(membrane, state, rows, fixed, apart, gates_at, stride, watched, row, amp, late, by, record, at):
    """V and gates of the ``watched`` nodes after a step into row ``at`` of a record; ``late``: the gates stand behind V by the step ``by``."""
    for k in range(watched.size):
        v = voltage_after(state, rows, fixed, watched[k] * apart, row, amp)
        gates = gates_of(membrane, state, gates_at, stride, watched[k])
        if late:
            gates = advance(membrane, gates, v, by)
        place = (at * watched.size + k) * (1 + len(gates))
        store(record, place, v)
        put_gates(membrane, record, place + 1, 1, 0, gates)


@nb.njit(nogil=True, cache=True, error_model="numpy")
def write_crossings(state, rows, fixed, apart, spiking, row, amp, fires, before, now, times, counts, time, dt):
    """Times at which nodes cross ``fires`` upwards in a step that begins at ``time``, see ``Watch``."""
    count = 64 // state.itemsize
    for k in range(spiking.size):
        v = voltage_after(state, rows, fixed, spiking[k] * apart, row, amp)
        crossed = lanes_at_least(v, fires) & ~lanes_at_least(load(before, k), fires)
        store(now, k, v)
        for lane in range(count if crossed != 0 else 0):
            if (crossed >> lane) & 1:
                was, seen = before[k * count + lane], now[k * count + lane]
                if counts[lane, k] < times.shape[2]:
                    times[lane, k, counts[lane, k]] = time + (fires - was) / (seen - was) * dt
                counts[lane, k] += 1
        store(before, k, v)


@nb.njit(**_INSIDE)
def fire(state, rows, fixed, marks, place, row, amp, fires, fired, time):
    """Bit mask of the lanes that have fired, with those that do so now at ``place``; when is written into ``marks``."""
    new, count = lanes_at_least(voltage_after(state, rows, fixed, place, row, amp), fires) & ~fired, 64 // state.itemsize
    for lane in range(count if new != 0 else 0):
        if (new >> lane) & 1:
            marks[2 * count + lane] = time
    return fired | new


@nb.njit(nogil=True, cache=True, error_model="numpy")
def run(net, membrane, state, work, modes, sums, full, amplitude, steps, level, first_by, part, driven, rows, fixed, kept, fixed_kept, fired,
        may_fire, stop, strongest, marks, side, watch, first_row, every, time):
    """Steps of W of one level, all of them driven or none.

    Args:
        state: W of each node, each gate of each node, what the internodes give each node in the coming step, the
            kept modes of each internode, divided by their drive, then of each node by how much the first gate leads, and by how
            much it moved last.
        work: one per node; afterwards the last change of W.
        modes: (level, kind, parity, kept, 2): E - 1 and share F of each kept mode.
        sums: (level, SUMS): per kind of internode the coupling of the change to the other node, what S (even, odd) and its last
            change (even, odd) give; then the part of the diagonal that does not change in time at the three kinds of node.
            The step is solved for the change of W, so that the large terms of the fast modes, which nearly cancel, come ready made.
        full: coefficients of all modes, as in ``_switch``; only for ``watch.whole``, which needs every mode to be kept.
        amplitude: one group.
        steps, level: how many, and of which length.
        first_by: which step of the membrane the gates make first: to catch up with V where driven, else for the whole step.
        part, driven: where U comes from, and whether there is any.
        rows, fixed: of U, and of what does not grow with the amplitude; the latter may be empty.
        kept, fixed_kept: U and all its modes after each step of the part, for ``watch.whole``.
        fired: bit mask of the lanes that have fired.
        may_fire: (2,) ms from here between which it counts.
        stop: 0 no, 1 when all lanes have fired, 2 when all have fired or fallen silent, 3 the same while driven, by what is left of a recharge.
        strongest: largest linear response of any node until then, mV per ampere; one group.
        marks: as in ``Lanes``.
        side: which of the first two of ``marks``.
        watch: what to write down.
        first_row, every: row of the record that the block begins with, and steps per row.
        time: ms at the start.

    Returns:
        bit mask of the lanes that fired, and whether the run may stop.
    """
    nodes, dt, theta = net.nodes, net.step[level], net.theta
    give, memory, per_dt = (1 + net.gates) * nodes, (2 + net.gates) * nodes, 1.0 / dt
    modes_at, sums_at = level * KINDS * 4 * net.stride, level * SUMS
    count = 64 // state.itemsize
    everyone = (1 << count) - 1
    amp = load(amplitude, 0)
    quiet, calm = net.quiet, everyone
    if stop == 3:
        quiet, calm = CALM_QUIET * quiet, everyone & ~lanes_at_least(amp * load(strongest, 0) * (CALM_RISE * net.left), CALM_MOST)
    has_fixed = fixed.size > 0
    at_once = net.by[level]
    lead = memory + (nodes - 1) * 2 * net.stride
    moved = lead + nodes
    # The gates follow V in the pass that finds it; before the first step they catch up in a pass of their own.
    for step in range(-1, steps):
        onwards, by = step + 1 < steps, at_once if step >= 0 else first_by
        if step >= 0:
            c_before = fill(state, 0.0)
            d_before = fill(state, 0.0)
            off_before = fill(state, 0.0)
            for i in range(net.first, net.last + 1):
                w = load(state, i)
                gates = (load(state, nodes + i), load(state, 2 * nodes + i), load(state, 3 * nodes + i), load(state, 4 * nodes + i))
                if theta != 1.0:
                    gates = (gates[0] + load(state, lead + i), gates[1], gates[2], gates[3])
                g, pull = conductance(membrane, gates)
                rhs = pull - g * w + load(state, give + i)
                if driven:
                    u = amp * load(rows, part.mean[step] * nodes + i)
                    if has_fixed:
                        u = u + load(fixed, part.mean[step] * nodes + i)
                    rhs = rhs - (g - net.rest_leak) * u
                off = 0.0 - load(sums, sums_at + 5 * net.kind[min(i, nodes - 2)])
                pivot = 1.0 / (g * theta + per_dt + load(sums, sums_at + 15 + net.place[i]) - off_before * c_before)
                c_before = off * pivot
                d_before = (rhs - off_before * d_before) * pivot
                off_before = off
                store(work, i, c_before)
                store(state, give + i, d_before)
        # back substitution; each internode follows as soon as both its nodes are known
        change_right, v_right, carried = fill(state, 0.0), fill(state, 0.0), fill(state, 0.0)
        highest, lowest = fill(state, -1e9), fill(state, 1e9)
        for i in range(nodes - 1, -1, -1):
            v = load(state, i)
            change = fill(state, 0.0)
            if net.first <= i <= net.last:
                if step >= 0:
                    change = load(state, give + i) - load(work, i) * change_right
                    v = v + change
                    store(state, i, v)
                    seen = v
                    if stop == 3:
                        seen = v + amp * load(rows, part.end[step] * nodes + i)
                        if has_fixed:
                            seen = seen + load(fixed, part.end[step] * nodes + i)
                    highest, lowest = larger(highest, seen), smaller(lowest, seen)
                if onwards:
                    gates = (load(state, nodes + i), load(state, 2 * nodes + i), load(state, 3 * nodes + i), load(state, 4 * nodes + i))
                    for piece in range(part.gate[step + 1], part.gate[step + 2]) if driven else range(1):
                        seen = v
                        if driven:
                            seen = v + amp * load(rows, part.gate_row[piece] * nodes + i)
                            if has_fixed:
                                seen = seen + load(fixed, part.gate_row[piece] * nodes + i)
                            by = part.gate_by[piece] if piece > 0 else first_by
                        gates = advance(membrane, gates, seen, by)
                    if theta != 1.0:
                        moves = gates[0] - load(state, nodes + i)
                        ahead = moves - load(state, moved + i)
                        if step < 0 or (driven and part.gate[step + 2] - part.gate[step + 1] > 1):
                            ahead = fill(state, 0.0)
                        store(state, lead + i, ahead * LEAD)
                        store(state, moved + i, moves)
                    store(state, nodes + i, gates[0])
                    store(state, 2 * nodes + i, gates[1])
                    store(state, 3 * nodes + i, gates[2])
                    store(state, 4 * nodes + i, gates[3])
            if step < 0:
                continue
            store(work, i, change)
            if i < nodes - 1:
                kind = net.kind[i]
                even, odd, even_more, odd_more = v + v_right, v - v_right, change + change_right, change - change_right
                even_sum = even * load(sums, sums_at + 5 * kind + 1) + even_more * load(sums, sums_at + 5 * kind + 3)
                odd_sum = odd * load(sums, sums_at + 5 * kind + 2) + odd_more * load(sums, sums_at + 5 * kind + 4)
                even_old, odd_old = even - even_more, odd - odd_more
                at, k = memory + 2 * i * net.stride, modes_at + 4 * kind * net.stride
                for j in range(net.kept[level, kind]):
                    a = load(state, at + j)
                    a = a + (a * load(modes, k + 2 * j) + even_old)
                    store(state, at + j, a)
                    even_sum = even_sum + a * load(modes, k + 2 * j + 1)
                at, k = at + net.stride, k + 2 * net.stride
                for j in range(net.kept[level, kind]):
                    a = load(state, at + j)
                    a = a + (a * load(modes, k + 2 * j) + odd_old)
                    store(state, at + j, a)
                    odd_sum = odd_sum + a * load(modes, k + 2 * j + 1)
                store(state, give + i + 1, carried + (even_sum - odd_sum))
                carried = even_sum + odd_sum
            v_right, change_right = v, change
        if step < 0:
            continue
        store(state, give, carried)
        store(marks, side, larger(load(marks, side), highest))
        row = part.end[step] * net.width if driven else -1
        if may_fire[0] <= step * dt < may_fire[1]:
            fired = fire(state, rows, fixed, marks, net.detect * net.apart, row, amp, net.fires, fired, time + (step + 1) * dt)
        if watch.nodes.size > 0 and (step + 1) % every == 0:
            write_gates(membrane, state, rows, fixed, net.apart, nodes, nodes, watch.nodes, row, amp, not onwards, at_once, watch.record,
                        first_row + step // every)
        if watch.spiking.size > 0:
            write_crossings(state, rows, fixed, net.apart, watch.spiking, row, amp, net.fires, watch.before, watch.now, watch.times, watch.counts,
                            time + step * dt, dt)
        if watch.whole.size > 0 and (step + 1) % every == 0:
            per_row = nodes + (nodes - 1) * MODES
            at = (first_row + step // every) * per_row
            for i in range(nodes):
                v = load(state, i)
                if driven:
                    v = v + amp * load(kept, step * per_row + i)
                    if has_fixed:
                        v = v + load(fixed_kept, step * per_row + i)
                store(watch.whole, at + i, v)
            for i in range(nodes - 1):
                for j in range(MODES):
                    parity, k = j // HALF, ((level * KINDS + net.kind[i]) * MODES + j) * FULL
                    both = load(state, i) + load(state, i + 1)
                    if parity == 1:
                        both = load(state, i) - load(state, i + 1)
                    a = load(state, memory + (2 * i + parity) * net.stride + j % HALF) * load(full, k) + both * load(full, k + 2)
                    if driven:
                        a = a + amp * load(kept, step * per_row + nodes + i * MODES + j)
                        if has_fixed:
                            a = a + load(fixed_kept, step * per_row + nodes + i * MODES + j)
                    store(watch.whole, at + nodes + i * MODES + j, a)
        if stop > 0 and fired == everyone:
            return fired, True
        if stop >= 2 and fired | (calm & lanes_at_least(lowest, net.low) & ~lanes_at_least(highest, quiet)) == everyone:
            return fired, True
    return fired, False


class Parts(NamedTuple):
    """All driven parts one after the other; the fields are those of ``Part``, ``at`` says where each begins."""

    table: Any
    push_row: Any
    push: Any
    fixed: Any
    start: Any
    index: Any
    weight: Any
    mean: Any
    end: Any
    gate: Any
    gate_row: Any
    gate_by: Any
    carries: Any
    folds: Any
    at: Any


class Blocks(NamedTuple):
    """What a run goes through: (blocks,) steps, their level, part or -1, ``stop``, ``first_row``, ``every`` and ``first_by``
    of ``run``, and the time at the start in ms."""

    steps: Any
    level: Any
    part: Any
    stop: Any
    first_row: Any
    every: Any
    first_by: Any
    time: Any


class Lanes(NamedTuple):
    """The arrays of one group of fibres: at rest, in work, and the coefficients of ``run``, of the change of level and of ``passive``.

    The responses lie in slots: ``slot`` of each part, ``resident`` the part that each slot holds, or -1, and ``rows_at`` (slots + 1,) where the
    rows of each begin, in groups; ``ready`` says whether ``given`` is. ``kept`` is empty
    unless currents are wanted. ``strongest`` is found by ``peaks``, and infinite until then. ``marks`` says of the last run of each lane how
    near it came to firing: the highest W of any node in mV while the first course pushes its first way and the other way, or last did,
    and the time in ms at which it fired.
    """

    rest: Any
    state: Any
    work: Any
    modes: Any
    sums: Any
    full: Any
    static: Any
    passive_modes: Any
    passive_sums: Any
    passive_static: Any
    drive: Any
    fixed_drive: Any
    given: Any
    fixed_given: Any
    ready: Any
    response: Any
    fixed_response: Any
    fine: Any
    rows: Any
    fixed_rows: Any
    kept: Any
    fixed_kept: Any
    slot: Any
    rows_at: Any
    resident: Any
    strongest: Any
    marks: Any


# What a block of steps, a change of level and a linear response are hangs on what lies between the nodes: the type of ``lanes`` picks it when
# the kernel is compiled. Those of ``Lanes`` stand here, those of fibres with channels under the myelin in ``active_kernel``.


def through(net, membrane, lanes, amplitude, steps, level, first_by, part, driven, rows, fixed, kept, fixed_kept, fired, may_fire, stop, side,
            watch, first_row, every, time):
    """Steps of W of one level; arguments and result as of ``run``."""
    raise NotImplementedError


def switch(net, lanes, level, to):
    """The state as another level has it."""
    raise NotImplementedError


def fold(net, lanes, level, response, amplitude):
    """W += amplitude U."""
    raise NotImplementedError


def prepare(net, lanes):
    """What all linear responses of these lanes have in common, once."""
    raise NotImplementedError


def linear(net, lanes, response, drive, given, table, push_row, push, kept):
    """Linear response to a stimulus of amplitude 1 into ``lanes.fine``; arguments as of ``passive``."""
    raise NotImplementedError


def carried_along(lanes):
    """The arrays that belong to the fibre of a lane."""
    raise NotImplementedError


def sources_of(lanes):
    """Those from which linear responses are found."""
    raise NotImplementedError


def _modal(lanes):
    return getattr(lanes, "instance_class", None) is Lanes


@overload(through, jit_options=_INSIDE)
def _through(net, membrane, lanes, amplitude, steps, level, first_by, part, driven, rows, fixed, kept, fixed_kept, fired, may_fire, stop, side,
             watch, first_row, every, time):
    def modal(net, membrane, lanes, amplitude, steps, level, first_by, part, driven, rows, fixed, kept, fixed_kept, fired, may_fire, stop, side,
              watch, first_row, every, time):
        return run(net, membrane, lanes.state, lanes.work, lanes.modes, lanes.sums, lanes.full, amplitude, steps, level, first_by, part, driven, rows,
                   fixed, kept, fixed_kept, fired, may_fire, stop, lanes.strongest, lanes.marks, side, watch, first_row, every, time)

    return modal if _modal(lanes) else None


@overload(switch, jit_options=_INSIDE)
def _switched(net, lanes, level, to):
    def modal(net, lanes, level, to):
        _switch(net, level, to, lanes.state, lanes.work, lanes.full, lanes.static)

    return modal if _modal(lanes) else None


@overload(fold, jit_options=_INSIDE)
def _folded(net, lanes, level, response, amplitude):
    def modal(net, lanes, level, response, amplitude):
        _fold(net, level, lanes.state, response, lanes.full, amplitude)

    return modal if _modal(lanes) else None


@overload(prepare, jit_options=_INSIDE)
def _prepared(net, lanes):
    def modal(net, lanes):
        if lanes.ready[0] == 0:
            give_of_drive(net, lanes.passive_modes, lanes.drive, lanes.given)
            give_of_drive(net, lanes.passive_modes, lanes.fixed_drive, lanes.fixed_given)
            lanes.ready[0] = 1

    return modal if _modal(lanes) else None


@overload(linear, jit_options=_INSIDE)
def _linear(net, lanes, response, drive, given, table, push_row, push, kept):
    def modal(net, lanes, response, drive, given, table, push_row, push, kept):
        passive(net, response, lanes.work, lanes.passive_modes, lanes.passive_sums, lanes.passive_static, given, drive, table, push_row, push,
                lanes.fine, kept)

    return modal if _modal(lanes) else None


@overload(carried_along, jit_options=_INSIDE)
def _carried_along(lanes):
    def modal(lanes):
        return lanes.rest, lanes.modes, lanes.sums, lanes.full, lanes.static, lanes.strongest, lanes.response, lanes.fixed_response

    return modal if _modal(lanes) else None


@overload(sources_of, jit_options=_INSIDE)
def _sources_of(lanes):
    def modal(lanes):
        return lanes.passive_modes, lanes.passive_sums, lanes.passive_static, lanes.drive, lanes.fixed_drive

    return modal if _modal(lanes) else None


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _part_of(parts, k):
    a, b = parts.at[k], parts.at[k + 1]
    return Part(parts.table[a[0] : b[0]], parts.push_row[a[1] : b[1]], parts.push[a[2] : b[2]], parts.fixed[a[2] : b[2]],
                parts.start[a[3] : b[3]], parts.index[a[4] : b[4]], parts.weight[a[4] : b[4]], parts.mean[a[2] : b[2]], parts.end[a[2] : b[2]],
                parts.gate[a[5] : b[5]], parts.gate_row[a[6] : b[6]], parts.gate_by[a[6] : b[6]], parts.carries[k], parts.folds[k])


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _slot(array, slot, slots):
    """The part of an array that belongs to a slot."""
    size = array.size // slots
    return array[slot * size : (slot + 1) * size]


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _rows(lanes, array, slot):
    """The rows of a slot; none of an empty array."""
    count = 64 // array.itemsize
    return array[lanes.rows_at[slot] * count : lanes.rows_at[slot + 1] * count]


@nb.njit(nogil=True, cache=True, error_model="numpy")
def respond(net, lanes, part, k):
    """Bring the linear response of the k-th part into its slot, if it is not there."""
    slot, slots = lanes.slot[k], lanes.resident.size
    if lanes.resident[slot] == k:
        return
    prepare(net, lanes)
    for responses, drive, given, push, rows, kept in (
            (lanes.response, lanes.drive, lanes.given, part.push, lanes.rows, lanes.kept),
            (lanes.fixed_response, lanes.fixed_drive, lanes.fixed_given, part.fixed, lanes.fixed_rows, lanes.fixed_kept)):
        if rows.size == 0:
            continue
        response = _slot(responses, slot, slots)
        if not part.carries:
            response[:] = 0.0
        elif lanes.slot[k - 1] != slot:
            response[:] = _slot(responses, lanes.slot[k - 1], slots)
        linear(net, lanes, response, drive, given, part.table, part.push_row, push, _slot(kept, slot, slots))
        blend(net.width, part.start, part.index, part.weight, lanes.fine, _rows(lanes, rows, slot))
    lanes.resident[slot] = k


@nb.njit(nogil=True, cache=True, error_model="numpy")
def simulate(net, membrane, lanes, parts, blocks, amplitude, may_fire, stops, watch):
    """One run of a group of fibres from rest; arguments as in ``run``.

    Returns:
        bit mask of the lanes that fired.
    """
    lanes.state[:] = lanes.rest
    lanes.marks[:] = 0.0
    side, first_way = 0, 0.0
    for k in range(watch.spiking.size):
        store(watch.before, k, load(lanes.rest, watch.spiking[k] * net.apart))
    fired, window = np.int64(0), np.empty(2)  # a plain 0 would compile ``run`` twice
    amp, one = load(amplitude, 0), fill(amplitude, 1.0)
    for b in range(blocks.steps.size):
        driven, k, level = blocks.part[b] >= 0, max(blocks.part[b], 0), blocks.level[b]
        part = _part_of(parts, k)
        if driven:
            respond(net, lanes, part, k)
            if part.push[0, 0] != 0.0:
                first_way = part.push[0, 0] if first_way == 0.0 else first_way
                side = 0 if part.push[0, 0] * first_way > 0.0 else 1
        slot, slots = lanes.slot[k], lanes.resident.size
        window[0], window[1] = may_fire[0] - blocks.time[b], may_fire[1] - blocks.time[b]
        fired, over = through(net, membrane, lanes, amplitude, blocks.steps[b], level, blocks.first_by[b], part, driven,
                              _rows(lanes, lanes.rows, slot), _rows(lanes, lanes.fixed_rows, slot), _slot(lanes.kept, slot, slots),
                              _slot(lanes.fixed_kept, slot, slots), fired, window, blocks.stop[b] if stops else 0, side, watch,
                              blocks.first_row[b], blocks.every[b], blocks.time[b])
        if over:
            return fired
        after = blocks.level[min(b + 1, blocks.steps.size - 1)]
        if after != level:
            switch(net, lanes, level, after)
        if driven and part.folds:
            fold(net, lanes, after, _slot(lanes.response, slot, slots), amp)
            if lanes.fixed_rows.size > 0:
                fold(net, lanes, after, _slot(lanes.fixed_response, slot, slots), one)
    return fired


@nb.njit(nogil=True, cache=True, error_model="numpy")
def settle_gates(net, membrane, state):
    """Put every gate at its steady value at rest."""
    for i in range(net.nodes):
        put_gates(membrane, state, net.nodes, net.nodes, i, settled(membrane, fill(state, 0.0)))


@nb.njit(nogil=True, cache=True, error_model="numpy")
def catch_up(net, membrane, state):
    """Bring the gates, which stand behind V, up to it."""
    nodes = net.nodes
    for i in range(nodes):
        gates = gates_of(membrane, state, nodes, nodes, i)
        put_gates(membrane, state, nodes, nodes, i, advance(membrane, gates, load(state, i), net.lag[0]))


@nb.njit(nogil=True, cache=True, error_model="numpy")
def leak_at_rest(membrane):
    """Conductance over capacitance of a node at rest, 1/ms."""
    place, value = np.zeros(8), np.zeros(8)
    g, _ = conductance(membrane, settled(membrane, load(place, 0)))
    store(value, 0, g)
    return value[0]


@nb.njit(nogil=True, cache=True, error_model="numpy")
def peaks(net, lanes, parts, blocks):
    """(lanes, 8) highest linear depolarisation of a node in any driven stretch until it is calm, and at the same time the means of its neighbours and
    of theirs, and half the difference of its neighbours, mV per ampere; first while the first course pushes its first way, then where it rises while
    the course pushes the other way, or last did. ``strongest`` of the lanes is found, too."""
    count = 64 // lanes.rest.itemsize
    result, best = np.zeros((count, 8)), np.zeros(2 * count, lanes.rest.dtype)
    strongest, known = fill(lanes.rest, 0.0), np.zeros(parts.carries.size, np.bool_)
    side, first_way = 0, 0.0
    for b in range(blocks.part.size):
        if blocks.part[b] < 0 or known[blocks.part[b]]:
            continue
        if blocks.stop[b] == 3:
            break
        known[blocks.part[b]] = True
        part = _part_of(parts, blocks.part[b])
        respond(net, lanes, part, blocks.part[b])
        if part.push[0, 0] != 0.0:
            first_way = part.push[0, 0] if first_way == 0.0 else first_way
            side = 0 if part.push[0, 0] * first_way > 0.0 else 1
        rows = _rows(lanes, lanes.rows, lanes.slot[blocks.part[b]])
        for step in range(part.end.size):
            row, apart = part.end[step] * net.width * count, net.apart * count
            for i in range(net.first, net.last + 1):
                seen = load(rows, part.end[step] * net.width + i * net.apart)
                strongest = larger(strongest, larger(seen, 0.0 - seen))
                if lanes_at_least(seen - load(best, side), TINY) == 0:
                    continue
                for k in range(count):
                    u = rows[row + i * apart + k]
                    # what the first way has left behind is none of the other's: under that a node must rise
                    rises = side == 0 or (step > 0 and u > rows[part.end[step - 1] * net.width * count + i * apart + k])
                    if u > best[side * count + k] and rises:
                        result[k, 4 * side] = best[side * count + k] = u
                        for away in range(1, 3):
                            left, right = rows[row + max(i - away, net.first) * apart + k], rows[row + min(i + away, net.last) * apart + k]
                            result[k, 4 * side + away] = 0.5 * (left + right)
                            if away == 1:
                                result[k, 4 * side + 3] = 0.5 * abs(right - left)
    store(lanes.strongest, 0, strongest)
    return result


class Margins(NamedTuple):
    """How far a run was from a threshold, learnt from others: of lanes that did not fire, and of those that did.

    Attributes:
        weights: (2, MARGIN_TERMS) of the terms of ``_margin``.
        middle, scale: (2, MARGIN) by which what goes in is made of one size.
        least, most: (2, MARGIN) within which it is taken to lie.
        spread, share: (2,) standard deviation in cells beside the threshold, and what grows with the distance; infinite while nothing is known.
    """

    weights: Any
    middle: Any
    scale: Any
    least: Any
    most: Any
    spread: Any
    share: Any


@nb.njit(nogil=True, cache=True, error_model="numpy")
def margin_terms(x, out):
    """What a margin is linear in: one, each of (MARGIN,) numbers, and the products of the last three, which hang on the run."""
    out[0] = 1.0
    for i in range(MARGIN):
        out[1 + i] = x[i]
    k = 1 + MARGIN
    for i in range(MARGIN - 3, MARGIN):
        for j in range(i, MARGIN):
            out[k] = x[i] * x[j]
            k += 1


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _margin(margins, side, x, terms):
    """Cells from the amplitude of a run to the threshold; ``x`` is scaled in place."""
    for i in range(MARGIN):
        x[i] = (min(max(x[i], margins.least[side, i]), margins.most[side, i]) - margins.middle[side, i]) / margins.scale[side, i]
    margin_terms(x, terms)
    total = 0.0
    for i in range(MARGIN_TERMS):
        total += margins.weights[side, i] * terms[i]
    return total


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _shuffle(array, whose):
    """Into each lane what is in lane ``whose`` of it."""
    for i in range(array.size // whose.size):
        store(array, i, rearranged(array, i, whose))


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _deal(net, lanes, parts, whose):
    """Put the fibre of lane ``whose[k]`` into lane k, for all of them, with everything that the coming runs take."""
    slots = lanes.resident.size
    for array in carried_along(lanes):
        _shuffle(array, whose)
    for slot in range(slots):
        if lanes.resident[slot] >= 0:
            at, following = parts.at[lanes.resident[slot]], parts.at[lanes.resident[slot] + 1]
            for rows in (lanes.rows, lanes.fixed_rows):
                _shuffle(_rows(lanes, rows, slot)[: (following[3] - at[3] - 1) * net.width * whose.size], whose)
    missing = slots < lanes.slot.size
    for slot in range(slots):
        missing = missing or lanes.resident[slot] < 0
    if missing:  # responses will be found again
        for array in sources_of(lanes):
            _shuffle(array, whose)
        lanes.ready[0] = 0


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _next(low, high, told, sure, by, least, lowest, highest, tries, width):
    """Put the next k of one fibre into ``tries``: as many as there is room, inside of what is known."""
    room, never = tries.size, np.int64(1) << 60
    if low > -never and high < never and high - low - 1 <= room:
        for j in range(room):
            tries[j] = min(low + 1 + j, high - 1)
    elif low > -never and high < never and (sure == np.inf or 2 * (high - low) > width):
        # nothing to go by, or a guess that has not halved what is left, which is not believed twice
        for j in range(room):
            tries[j] = low + (high - low) * (j + 1) // (room + 1)
    elif sure < np.inf:
        first, last = max(low + 1, lowest), min(high - 1, highest)
        ahead = AHEAD * sure
        if room == 1:
            k = np.rint(told) if low > -never and high < never else np.floor(told + 0.5 + ahead) if low > -never else np.ceil(told - 0.5 - ahead)
            if low == -never:
                k = min(k, high - least)
            elif high == never:
                k = max(k, low + least)
            tries[0] = min(max(np.int64(k), first), last)
        else:
            apart = max(1.0, 2.0 * sure / room) * least
            for j in range(room):
                tries[j] = min(max(np.int64(np.rint(told + apart * (j - 0.5 * (room - 1)))), first), last)
    else:
        far = by
        for j in range(room):
            tries[j] = min(low + far, highest) if high == never else max(high - far, lowest)
            far *= 2


@nb.njit(nogil=True, cache=True, error_model="numpy")
def search(net, membrane, lanes, parts, blocks, shape, margins, start, off, careful, stride, unit, lowest, highest, may_fire, watch, note):
    """Lowest amplitude at which each lane fires, on the grid ``exp(unit k)`` A.

    A lane's result is a pair of neighbours on the grid between which it begins to fire. Where there is one such pair, as there is for single
    pulses, it does not depend on the neighbours of a fibre, nor on how good the guesses were (docs/fibre.md says where there are several).
    Every run says where it may be, see ``Margins``; the next one is made there, within what is known. Where nothing is known to go by it is
    found from one side in strides, then by halving. After ``DEALT`` runs the fibres that are left are dealt out to all lanes, so that some or
    all are tried at several amplitudes at once.

    Args:
        shape: (lanes, MARGIN - 2) of each fibre, and the logarithm of its linear response per ampere last.
        margins: learnt from other fibres.
        start: (lanes,) where the threshold is guessed to be, in cells.
        off: how far off that may be, in cells; infinite where nothing is known.
        stride: by how much k goes on while nothing is known on that side; unless ``careful`` doubled each time after ``EVEN`` of them.
        unit: logarithm of the ratio of neighbours.
        lowest, highest: k to search between; a lane that does not fire at the highest has the bracket (highest, inf).
        note: (runs, lanes, 4) written down of the first runs while every fibre has its lane: k, whether it fired, and two of ``marks``: the highest
            W, or the time.
        the others: as in ``run``.

    Returns:
        (lanes,) k below, (lanes,) k above, 2^60 where it never fires; and the runs made.
    """
    count, never = start.size, np.int64(1) << 60
    below, above = np.full(count, -never), np.full(count, never)
    done, told, sure = np.zeros(count, np.bool_), start.copy(), np.full(count, off)
    by, least, width = np.full(count, stride), np.ones(count, np.int64), np.full(count, never)
    at, whose, amp = np.empty(count, np.int64), np.arange(count), np.empty(count, lanes.rest.dtype)
    x, terms = np.empty(MARGIN), np.empty(MARGIN_TERMS)
    for k in range(count):
        at[k] = min(max(np.int64(np.rint(start[k])), lowest), highest)
    runs = 0
    while True:
        for k in range(count):
            amp[k] = 0.0 if done[whose[k]] else np.exp(unit * at[k])
        fired = simulate(net, membrane, lanes, parts, blocks, amp, may_fire, True, watch)
        for k in range(count):
            if done[whose[k]]:
                continue
            if (fired >> k) & 1:
                above[whose[k]] = min(above[whose[k]], at[k])
        for k in range(count):
            f = whose[k]
            if not done[f] and not (fired >> k) & 1 and at[k] < above[f]:
                below[f] = max(below[f], at[k])
        for f in range(count):
            if not below[f] < told[f] < above[f]:
                sure[f] = np.inf
        for k in range(count):
            f, side = whose[k], (fired >> k) & 1
            if done[f]:
                continue
            for i in range(MARGIN - 3):
                x[i] = shape[f, i]
            x[MARGIN - 3] = shape[f, MARGIN - 3] + unit * at[k]
            for i in range(2):
                mark = float(lanes.marks[(2 if side else i) * count + k])
                x[MARGIN - 2 + i] = mark if side and i else np.log(max(mark, FAINT))
            if runs < note.shape[0]:
                note[runs, k, 0], note[runs, k, 1], note[runs, k, 2], note[runs, k, 3] = at[k], side, x[MARGIN - 2], x[MARGIN - 1]
            if margins.spread[side] < np.inf:
                away = _margin(margins, side, x, terms)
                spread = np.hypot(margins.spread[side], margins.share[side] * away)
                if spread <= sure[f] and below[f] < at[k] + away < above[f]:
                    told[f], sure[f] = at[k] + away, spread
        left = 0
        for f in range(count):
            done[f] = done[f] or above[f] - below[f] == 1 or below[f] >= highest or above[f] <= lowest
            left += not done[f]
        runs += 1
        if left == 0:
            return below, above, runs
        if runs >= DEALT and left < count:
            new, k, more = np.empty(count, np.int64), 0, count % left
            for f in range(count):
                if not done[f]:
                    lane = 0
                    while whose[lane] != f:
                        lane += 1
                    for _ in range(count // left + (more > 0)):
                        new[k] = lane
                        k += 1
                    more -= 1
            if not np.array_equal(whose[new], whose):
                _deal(net, lanes, parts, new)
                whose = whose[new]
            note = note[:0]
        k = 0
        while k < count:
            f, first = whose[k], k
            while k < count and whose[k] == f:
                k += 1
            if not done[f]:
                _next(below[f], above[f], told[f], sure[f], by[f], least[f], lowest, highest, at[first:k], width[f])
                if below[f] > -never and above[f] < never:
                    width[f] = above[f] - below[f]
                if runs >= 2:
                    least[f] *= 2
                if not careful and runs >= EVEN:
                    by[f] *= 2
