"""The inner loops for fibres with channels under the myelin: nothing is eliminated, every compartment is stepped.

As in ``cable_kernel`` the voltage is split into V = W + A U; here V is the voltage across the axolemma of every compartment. The unknowns of a
compartment are that voltage u and the periaxonal potential y, both relative to what they are at rest and y to the outside beside it; the
intracellular potential is x = u + y. The two balances are that of the axon and the sum of both, which has no current through the axolemma:

    C_a du/dt = -I(u) + axial(x),        C_m dy/dt = -g_m y + axial(x) + periaxonal(y)

With these, no term of the large axolemma is subtracted from itself, so that float32 will do (docs/fibre.md). A step solves one system along the
fibre, blocks of two by two, for the change of u and y: over half a step and then twice as far, which is the trapezoidal step; the linear response
sees the edges and takes two stages that forget what is fast.

Groups of lanes of the state, C = 11 (N - 1) + 1 compartments of N nodes: u of each, y of each (0 at nodes), five gates of each node, three of each
compartment of each internode, then of each node by how much the first gate leads and by how much it moved last.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,call-arg,var-annotated"
from __future__ import annotations

from typing import Any, NamedTuple

import numba as nb
import numpy as np
from numba.extending import overload

from epidura.numerics import cable_kernel as shared
from epidura.numerics.cable_kernel import CALM_MOST, CALM_QUIET, CALM_RISE, LEAD, fire, gates_of, put_gates, write_crossings, write_gates
from epidura.numerics.kinetics import advance, advance_under, conductance, conductance_under, settled, settled_under
from epidura.numerics.simd import fill, lanes_at_least, larger, load, smaller, store

PER = 10  # compartments between two nodes
PERIOD, UNDER_GATES = PER + 1, 3
# Where what a compartment is begins in ``chain``: axial and periaxonal conductances between neighbours, capacitance of the axolemma and of the
# myelin, conductance of the myelin, capacitance of the node
AXIAL, PERIAXONAL, AXOLEMMA, MYELIN, LEAK, NODE, CHAIN = 0, 11, 22, 32, 42, 52, 53
# Groups of each compartment in ``work``: the change of u and of y; of the inverse of its block ux, uy, xy, yy (of a node the inverse first); the
# change without its right neighbours; what drives u, what drives the sum of both balances, and the conductance of the axolemma
WORK, INVERSE, PART, CURRENT, BOTH, CONDUCTANCE = 11, 2, 6, 8, 9, 10
GAMMA = 1.0 - np.sqrt(0.5)  # share of a step of the linear response that each of its two stages is implicit over: fast modes die out at once
ONWARDS = (1.0 - GAMMA) / GAMMA  # of the first stage's change, where the second begins
_INSIDE: Any = {"nogil": True, "error_model": "numpy", "forceinline": True}


class ActiveLanes(NamedTuple):
    """The arrays of one group of fibres; see ``cable_kernel.Lanes``.

    ``chain``: what the compartments of an internode are, uS and nF, (CHAIN). ``spans``: (tables,) ms, length of the linear response's steps.
    ``drive``: (pattern, 2, compartments) nA into the axon, and the sum of that and of what goes into the periaxonal space.
    """

    rest: Any
    state: Any
    work: Any
    chain: Any
    spans: Any
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


@nb.njit(**_INSIDE)
def _pivot(m, left, axial, outer_left, outer, myelin, ixx, ixy, iyy):
    """Inverse of a compartment's block once those before it are eliminated.

    Args:
        m: conductance and capacitance per step of the axolemma; ``myelin`` the same of the myelin.
        left, outer_left: axial and periaxonal conductance to the left; ``axial``, ``outer`` sum of both sides.
        ixx, ixy, iyy: inverse of the block before, between intracellular (x) and periaxonal (y) changes.

    Returns:
        uu of the inverse, then ux, uy, xx, xy, yy: x stands for the sum of u and y.
    """
    a = axial - left * left * ixx
    b = 0.0 - left * outer_left * ixy
    c = outer - outer_left * outer_left * iyy
    lower = myelin + c
    share = 1.0 / (m * (lower + a + b + b) + a * lower - b * b)
    uu, uy, yy = (lower + a + b + b) * share, 0.0 - (a + b) * share, (m + a) * share
    return uu, (lower + b) * share, uy, (m + lower) * share, (m - b) * share, yy


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _solve(net, state, work, chain, per_dt):
    """Change of u and y of every compartment in an implicit step of 1 / ``per_dt`` ms, from what ``_channels`` or ``_held`` put into ``work``."""
    nodes, zero, one_node = net.nodes, fill(state, 0.0), load(chain, NODE)
    width = PERIOD * (nodes - 1) + 1
    ixx, ixy, iyy, flow, part_x, part_y = zero, zero, zero, zero, zero, zero
    for i in range(nodes):
        at = i * PERIOD
        w, left, right = at * WORK, zero, zero
        if i > 0 and net.first <= i <= net.last:
            left = load(chain, AXIAL + PER)
        if i < nodes - 1 and net.first <= i <= net.last:
            right = load(chain, AXIAL)
        v = load(state, at)
        out = zero
        if i < nodes - 1:
            out = right * (load(state, at + 1) + load(state, width + at + 1) - v)
        if net.first <= i <= net.last:
            g = load(work, w + CONDUCTANCE)
            share = 1.0 / (g + one_node * per_dt + left + right - left * left * ixx)
            part_x = (load(work, w + CURRENT) - g * v + out - flow + left * part_x) * share
            store(work, w + INVERSE, share)
            store(work, w + PART, part_x)
            ixx = share
        else:
            part_x, ixx = zero, zero
        if i == nodes - 1:
            break
        ixy, iyy, part_y, y = zero, zero, zero, zero
        flow = out
        for k in range(PER):
            place = at + 1 + k
            w = place * WORK
            side = right if k == 0 else load(chain, AXIAL + k)
            next_side = load(chain, AXIAL + k + 1)
            if k == PER - 1 and i + 1 > net.last:
                next_side = zero
            outer, next_outer = load(chain, PERIAXONAL + k), load(chain, PERIAXONAL + k + 1)
            u, y_here = load(state, place), load(state, width + place)
            next_y = load(state, width + place + 1)  # 0 at a node
            next_flow = next_side * (load(state, place + 1) + next_y - u - y_here)
            g, arrives, leak = load(work, w + CONDUCTANCE), next_flow - flow + side * part_x, load(chain, LEAK + k)
            rhs_u = arrives + load(work, w + CURRENT) - g * u
            rhs_y = arrives + next_outer * (next_y - y_here) - outer * (y_here - y) - leak * y_here + outer * part_y + load(work, w + BOTH)
            uu, ux, uy, ixx, ixy, iyy = _pivot(load(chain, AXOLEMMA + k) * per_dt + g, side, side + next_side, outer, outer + next_outer,
                                               load(chain, MYELIN + k) * per_dt + leak, ixx, ixy, iyy)
            part_u = uu * rhs_u + uy * rhs_y
            part_y = uy * rhs_u + iyy * rhs_y
            part_x = part_u + part_y
            store(work, w + INVERSE, ux)
            store(work, w + INVERSE + 1, uy)
            store(work, w + INVERSE + 2, ixy)
            store(work, w + INVERSE + 3, iyy)
            store(work, w + PART, part_u)
            store(work, w + PART + 1, part_y)
            flow, y = next_flow, y_here
    change_x = zero
    for i in range(nodes - 1, -1, -1):
        w, change = i * PERIOD * WORK, zero
        if net.first <= i <= net.last:
            change = load(work, w + PART)
            if i < nodes - 1:
                change = change + load(work, w + INVERSE) * load(chain, AXIAL) * change_x
        store(work, w, change)
        store(work, w + 1, zero)
        if i == 0:
            break
        change_x, change_y = change, zero
        for k in range(PER - 1, -1, -1):
            w = ((i - 1) * PERIOD + 1 + k) * WORK
            along = change_x * load(chain, AXIAL + k + 1)
            if k == PER - 1 and i > net.last:
                along = zero
            beside = change_y * load(chain, PERIAXONAL + k + 1)
            change_u = load(work, w + PART) + load(work, w + INVERSE) * along + load(work, w + INVERSE + 1) * beside
            change_y = load(work, w + PART + 1) + load(work, w + INVERSE + 2) * along + load(work, w + INVERSE + 3) * beside
            change_x = change_u + change_y
            store(work, w, change_u)
            store(work, w + 1, change_y)


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _held(net, chain, work, drive, push, row):
    """Conductance of every compartment as at rest, and what a row of ``push`` drives into it."""
    width, one_node = PERIOD * (net.nodes - 1) + 1, load(chain, NODE)
    for place in range(width):
        k, w = place % PERIOD - 1, place * WORK
        g = one_node * net.rest_leak
        if k >= 0:
            g = load(chain, AXOLEMMA + k) * net.rest_under[0 if k == 0 or k == PER - 1 else 1]
        into, both = g * 0.0, g * 0.0
        for p in range(push.shape[1]):
            if push[row, p] != 0.0:
                into = into + load(drive, 2 * p * width + place) * push[row, p]
                both = both + load(drive, (2 * p + 1) * width + place) * push[row, p]
        store(work, w + CONDUCTANCE, g)
        store(work, w + CURRENT, into)
        store(work, w + BOTH, both)


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _channels(net, membrane, state, work, chain, amp, part, driven, rows, fixed, step):
    """Conductance of every compartment in a step of W, and the current that does not hang on W; arguments as of ``run``."""
    nodes, zero, has_fixed = net.nodes, fill(state, 0.0), fixed.size > 0
    width = PERIOD * (nodes - 1) + 1
    gates_at = 2 * width
    under_at = gates_at + net.gates * nodes
    lead = under_at + UNDER_GATES * PER * (nodes - 1)
    for i in range(nodes):
        for k in range(-1, PER if i < nodes - 1 else 0):
            place = i * PERIOD + 1 + k
            if k < 0:
                gates = gates_of(membrane, state, gates_at, nodes, i)
                if net.theta != 1.0:
                    gates = (gates[0] + load(state, lead + i), gates[1], gates[2], gates[3], gates[4])
                g, current = conductance(membrane, gates)
                size, held = load(chain, NODE), net.rest_leak
            else:
                at, mysa = under_at + UNDER_GATES * (i * PER + k), k == 0 or k == PER - 1
                g, current = conductance_under(membrane, (load(state, at), load(state, at + 1), load(state, at + 2)), mysa)
                size, held = load(chain, AXOLEMMA + k), net.rest_under[0 if mysa else 1]
            if driven:
                u = amp * load(rows, part.mean[step] * width + place)
                if has_fixed:
                    u = u + load(fixed, part.mean[step] * width + place)
                current = current - (g - held) * u
            store(work, place * WORK + CONDUCTANCE, g * size)
            store(work, place * WORK + CURRENT, current * size)
            store(work, place * WORK + BOTH, zero)


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _go(width, state, work, share):
    """Add a share of the change in ``work`` to the u and y of every compartment."""
    for place in range(width):
        store(state, place, load(state, place) + load(work, place * WORK) * share)
        store(state, width + place, load(state, width + place) + load(work, place * WORK + 1) * share)


@nb.njit(nogil=True, cache=True, error_model="numpy")
def passive(net, chain, spans, state, work, drive, table, push_row, push, fine, kept):
    """Linear response to a stimulus of amplitude 1, in fine steps; arguments as of ``cable_kernel.passive``.

    Args:
        state: U of each compartment across the axolemma, then y of each.
        spans: (tables,) ms.
        fine: (fine + 1, compartments) U across the axolemma at all fine points.
        kept: (steps, compartments) intracellular potential of U after each step, or empty.
    """
    width = PERIOD * (net.nodes - 1) + 1
    for place in range(width):
        store(fine, place, load(state, place))
    for step in range(table.size - 1):
        row, span = push_row[step], spans[table[step]]
        if step == 0 or row != push_row[step - 1]:
            _held(net, chain, work, drive, push, row)
        if net.theta != 1.0:
            span = span * GAMMA
            _solve(net, state, work, chain, 1.0 / span)
            _go(width, state, work, ONWARDS)
        _solve(net, state, work, chain, 1.0 / span)
        _go(width, state, work, 1.0)
        for place in range(width):
            store(fine, (step + 1) * width + place, load(state, place))
        if kept.size > 0 and (step + 2 == table.size or push_row[step + 1] != row):
            for place in range(width):
                store(kept, row * width + place, load(state, place) + load(state, width + place))


@nb.njit(nogil=True, cache=True, error_model="numpy")
def run(net, membrane, lanes, amplitude, steps, level, first_by, part, driven, rows, fixed, kept, fixed_kept, fired, may_fire, stop, side, watch,
        first_row, every, time):
    """Steps of W of one level, all of them driven or none; arguments and result as of ``cable_kernel.run``."""
    state, work, chain, marks = lanes.state, lanes.work, lanes.chain, lanes.marks
    nodes, dt, first_order = net.nodes, net.step[level], net.theta == 1.0
    width = PERIOD * (nodes - 1) + 1
    gates_at = 2 * width
    under_at = gates_at + net.gates * nodes
    lead = under_at + UNDER_GATES * PER * (nodes - 1)
    moved, share = lead + nodes, 1.0 if first_order else 2.0
    count = 64 // state.itemsize
    everyone = (1 << count) - 1
    amp, zero = load(amplitude, 0), fill(state, 0.0)
    quiet, calm = net.quiet, everyone
    if stop == 3:
        quiet, calm = CALM_QUIET * quiet, everyone & ~lanes_at_least(amp * load(lanes.strongest, 0) * (CALM_RISE * net.left), CALM_MOST)
    has_fixed = fixed.size > 0
    at_once = net.by[level]
    # The gates follow V in the pass that finds it; before the first step they catch up in a pass of their own.
    for step in range(-1, steps):
        onwards = step + 1 < steps
        if step >= 0:
            _channels(net, membrane, state, work, chain, amp, part, driven, rows, fixed, step)
            _solve(net, state, work, chain, share / dt)
        highest, lowest = fill(state, -1e9), fill(state, 1e9)
        for i in range(nodes - 1, -1, -1):
            at = i * PERIOD
            if net.first <= i <= net.last:
                v = load(state, at)
                if step >= 0:
                    v = v + load(work, at * WORK) * share
                    store(state, at, v)
                    seen = v
                    if stop == 3:
                        seen = v + amp * load(rows, part.end[step] * width + at)
                        if has_fixed:
                            seen = seen + load(fixed, part.end[step] * width + at)
                    highest, lowest = larger(highest, seen), smaller(lowest, seen)
                if onwards:
                    gates = gates_of(membrane, state, gates_at, nodes, i)
                    before, by = gates[0], at_once if step >= 0 else first_by
                    for piece in range(part.gate[step + 1], part.gate[step + 2]) if driven else range(1):
                        seen = v
                        if driven:
                            seen = v + amp * load(rows, part.gate_row[piece] * width + at)
                            if has_fixed:
                                seen = seen + load(fixed, part.gate_row[piece] * width + at)
                            by = part.gate_by[piece] if piece > 0 else first_by
                        gates = advance(membrane, gates, seen, by)
                    if not first_order:
                        moves = gates[0] - before
                        ahead = moves - load(state, moved + i)
                        if step < 0 or (driven and part.gate[step + 2] - part.gate[step + 1] > 1):
                            ahead = zero
                        store(state, lead + i, ahead * LEAD)
                        store(state, moved + i, moves)
                    put_gates(membrane, state, gates_at, nodes, i, gates)
            if i == 0:
                break
            for k in range(PER):
                place = at - PERIOD + 1 + k
                u = load(state, place)
                if step >= 0:
                    u = u + load(work, place * WORK) * share
                    store(state, place, u)
                    store(state, width + place, load(state, width + place) + load(work, place * WORK + 1) * share)
                if not onwards:
                    continue
                at_gates, by = under_at + UNDER_GATES * ((i - 1) * PER + k), at_once if step >= 0 else first_by
                under = (load(state, at_gates), load(state, at_gates + 1), load(state, at_gates + 2))
                for piece in range(part.gate[step + 1], part.gate[step + 2]) if driven else range(1):
                    seen = u
                    if driven:
                        seen = u + amp * load(rows, part.gate_row[piece] * width + place)
                        if has_fixed:
                            seen = seen + load(fixed, part.gate_row[piece] * width + place)
                        by = part.gate_by[piece] if piece > 0 else first_by
                    under = advance_under(membrane, under, seen, by)
                store(state, at_gates, under[0])
                store(state, at_gates + 1, under[1])
                store(state, at_gates + 2, under[2])
        if step < 0:
            continue
        store(marks, side, larger(load(marks, side), highest))
        row = part.end[step] * net.width if driven else -1
        if may_fire[0] <= step * dt < may_fire[1]:
            fired = fire(state, rows, fixed, marks, net.detect * net.apart, row, amp, net.fires, fired, time + (step + 1) * dt)
        if watch.nodes.size > 0 and (step + 1) % every == 0:
            write_gates(membrane, state, rows, fixed, net.apart, gates_at, nodes, watch.nodes, row, amp, not onwards, at_once, watch.record,
                        first_row + step // every)
        if watch.spiking.size > 0:
            write_crossings(state, rows, fixed, net.apart, watch.spiking, row, amp, net.fires, watch.before, watch.now, watch.times, watch.counts,
                            time + step * dt, dt)
        if watch.whole.size > 0 and (step + 1) % every == 0:
            at = (first_row + step // every) * width
            for place in range(width):
                x = load(state, place) + load(state, width + place)
                if driven:
                    x = x + amp * load(kept, step * width + place)
                    if has_fixed:
                        x = x + load(fixed_kept, step * width + place)
                store(watch.whole, at + place, x)
        if stop > 0 and fired == everyone:
            return fired, True
        if stop >= 2 and fired | (calm & lanes_at_least(lowest, net.low) & ~lanes_at_least(highest, quiet)) == everyone:
            return fired, True
    return fired, False


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _fold(width, state, response, amplitude):
    """W += amplitude U, of u and y alike."""
    for place in range(2 * width):
        store(state, place, load(state, place) + amplitude * load(response, place))


@nb.njit(nogil=True, cache=True, error_model="numpy")
def settle_gates(net, membrane, state):
    """Put every gate at its steady value at rest."""
    gates_at = 2 * (PERIOD * (net.nodes - 1) + 1)
    for i in range(net.nodes):
        put_gates(membrane, state, gates_at, net.nodes, i, settled(membrane, fill(state, 0.0)))
    at = gates_at + net.gates * net.nodes
    for place in range(PER * (net.nodes - 1)):
        under = settled_under(membrane, fill(state, 0.0))
        for k in range(UNDER_GATES):
            store(state, at + UNDER_GATES * place + k, under[k])


@nb.njit(nogil=True, cache=True, error_model="numpy")
def catch_up(net, membrane, state):
    """Bring the gates, which stand behind V, up to it."""
    gates_at = 2 * (PERIOD * (net.nodes - 1) + 1)
    for i in range(net.nodes):
        gates = gates_of(membrane, state, gates_at, net.nodes, i)
        put_gates(membrane, state, gates_at, net.nodes, i, advance(membrane, gates, load(state, i * PERIOD), net.lag[0]))
    under_at = gates_at + net.gates * net.nodes
    for place in range(PER * (net.nodes - 1)):
        at = under_at + UNDER_GATES * place
        seen = load(state, place // PER * PERIOD + 1 + place % PER)
        under = advance_under(membrane, (load(state, at), load(state, at + 1), load(state, at + 2)), seen, net.lag[0])
        for k in range(UNDER_GATES):
            store(state, at + k, under[k])


@nb.njit(nogil=True, cache=True, error_model="numpy")
def under_at_rest(membrane):
    """(2,) conductance over capacitance under the myelin at rest, 1/ms: in a MYSA, and elsewhere."""
    place, value = np.zeros(8), np.zeros(16)
    under = settled_under(membrane, load(place, 0))
    store(value, 0, conductance_under(membrane, under, True)[0])
    store(value, 1, conductance_under(membrane, under, False)[0])
    return value[::8].copy()


def _active(lanes):
    return getattr(lanes, "instance_class", None) is ActiveLanes


@overload(shared.through, jit_options=_INSIDE)
def _through(net, membrane, lanes, amplitude, steps, level, first_by, part, driven, rows, fixed, kept, fixed_kept, fired, may_fire, stop, side,
             watch, first_row, every, time):
    def active(net, membrane, lanes, amplitude, steps, level, first_by, part, driven, rows, fixed, kept, fixed_kept, fired, may_fire, stop, side,
               watch, first_row, every, time):
        return run(net, membrane, lanes, amplitude, steps, level, first_by, part, driven, rows, fixed, kept, fixed_kept, fired, may_fire, stop, side,
                   watch, first_row, every, time)

    return active if _active(lanes) else None


@overload(shared.switch, jit_options=_INSIDE)
def _switched(net, lanes, level, to):
    return (lambda net, lanes, level, to: None) if _active(lanes) else None


@overload(shared.fold, jit_options=_INSIDE)
def _folded(net, lanes, level, response, amplitude):
    return (lambda net, lanes, level, response, amplitude: _fold(net.width, lanes.state, response, amplitude)) if _active(lanes) else None


@overload(shared.prepare, jit_options=_INSIDE)
def _prepared(net, lanes):
    return (lambda net, lanes: None) if _active(lanes) else None


@overload(shared.linear, jit_options=_INSIDE)
def _linear(net, lanes, response, drive, given, table, push_row, push, kept):
    def active(net, lanes, response, drive, given, table, push_row, push, kept):
        passive(net, lanes.chain, lanes.spans, response, lanes.work, drive, table, push_row, push, lanes.fine, kept)

    return active if _active(lanes) else None


@overload(shared.carried_along, jit_options=_INSIDE)
def _carried_along(lanes):
    return (lambda lanes: (lanes.rest, lanes.chain, lanes.strongest, lanes.response, lanes.fixed_response)) if _active(lanes) else None


@overload(shared.sources_of, jit_options=_INSIDE)
def _sources_of(lanes):
    return (lambda lanes: (lanes.drive, lanes.fixed_drive)) if _active(lanes) else None
