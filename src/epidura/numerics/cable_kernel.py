"""The inner loop of the fibre engine: one step of many myelinated fibres, one fibre per vector lane.

Per step: a scalar tridiagonal system over the nodes (the internodes are eliminated), twenty scalar recursions per
internode, four gates per node. Units: mV, ms, 1/ms; voltages are relative to rest E = -80 mV and to the local outside
potential. All arrays are flat; the ``k``-th group of lanes is ``load(array, k)``. Who computes the coefficients, and
why they are what they are: ``cable.py``.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,call-arg,var-annotated"
from __future__ import annotations

import numba as nb
import numpy as np

from epidura.numerics.simd import exp, expm1, fill, lanes_at_least, larger, load, smaller, store

MODES = 20  # per internode: 10 even, then 10 odd
SUMS, ALL_SUMS = 15, 21  # where the parts of the diagonal begin in ``sums``, and its size
REST = -80.0  # mV
FIRES = -30.0  # mV, crossed upwards
SERIES = 0.0101  # ms: up to this step p, h and s move by dt (alpha + beta) < 0.3
QUIET = -70.0  # mV, below it at every node nothing will fire any more


@nb.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _linoid(x):
    """(x', 1 - exp(-x')): the rate x / (1 - exp(-x)) as numerator and denominator; x = 0 gives 1."""
    x = x + 1e-12
    return x, 0.0 - expm1(0.0 - x)


@nb.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _towards(x, a, da, b, db, dt, series):
    """Gate after dt at rates alpha = a/da, beta = b/db: the exact exponential, with one division.

    series: whether dt (alpha + beta) is so small that 1 - exp may be a polynomial (6e-8 of it at 0.28).
    """
    a, b = a * db, b * da
    total, both = a + b, da * db
    share = 1.0 / (total * both)
    z = total * total * share * dt
    grow = z
    if series:
        grow = z * (1.0 - z * (1 / 2 - z * (1 / 6 - z * (1 / 24 - z * (1 / 120 - z * (1 / 720))))))
    else:
        grow = 0.0 - expm1(0.0 - smaller(z, 80.0))
    return x + (a * both * share - x) * grow


@nb.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def rates(v, q):
    """Numerators and denominators of the eight rates at v in mV (McIntyre, Richardson and Grill 2002), 1/ms.

    q: temperature factors of m and p, of h, and of s.
    """
    v = smaller(larger(v, -150.0), 150.0)
    x, am_d = _linoid((v + 21.4) * (1 / 10.3))
    am = x * (q[0] * 1.86 * 10.3)
    x, bm_d = _linoid((v + 25.7) * (-1 / 9.16))
    bm = x * (q[0] * 0.086 * 9.16)
    x, ap_d = _linoid((v + 27.0) * (1 / 10.2))
    ap = x * (q[0] * 0.01 * 10.2)
    x, bp_d = _linoid((v + 34.0) * (-1 / 10.0))
    bp = x * (q[0] * 0.00025 * 10.0)
    x, ah_d = _linoid((v + 114.0) * (-1 / 11.0))
    ah = x * (q[1] * 0.062 * 11.0)
    bh_d = exp((v + 31.8) * (-1 / 13.4)) + 1.0
    as_d = exp((v + 53.0) * (-1 / 5.0)) + 1.0
    # held between e^-20 and e^20, where the rate does not change any more, so that products stay in range
    bs_d = exp(larger(smaller((v + 90.0) * -1.0, 20.0), -20.0)) + 1.0
    return am, am_d, bm, bm_d, ap, ap_d, bp, bp_d, ah, ah_d, q[1] * 2.3, bh_d, q[2] * 0.3, as_d, q[2] * 0.03, bs_d


@nb.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _advance_gates(m, p, h, s, v, q, dt):
    """m, p, h and s after dt at voltage v (relative to rest)."""
    am, am_d, bm, bm_d, ap, ap_d, bp, bp_d, ah, ah_d, bh, bh_d, a_s, as_d, b_s, bs_d = rates(v + REST, q)
    slow = dt <= SERIES
    m = _towards(m, am, am_d, bm, bm_d, dt, False)
    p = _towards(p, ap, ap_d, bp, bp_d, dt, slow)
    h = _towards(h, ah, ah_d, bh, bh_d, dt, slow)
    return m, p, h, _towards(s, a_s, as_d, b_s, bs_d, dt, slow)


@nb.njit(nogil=True, cache=True, error_model="numpy")
def run(nodes, state, work, modes, sums, drive, amplitude, plan, membrane, q, theta, detect, stop, rows, record):
    """Step fibres until every lane has fired, fallen silent, or the time is over.

    In groups of lanes; ``modes``, ``sums`` and ``drive`` hold one table per step length, one after the other:

    Args:
        nodes: number of nodes; the first and the last are passive and stay at rest.
        state: V, m, p, h, s (nodes each), then a of each internode (MODES each), then what each internode gives to its
            left and its right node in the coming step (2 each). Changed in place.
        work: 2 per node.
        modes: (type, mode, 4): E - 1 (E itself would lose the slow modes in float32), k0, k1, f of the recursion,
            for the left end, the middle and the right end.
        sums: (type, 5): coupling to own node, to the other node, memory of old V even and odd, axial conductance;
            then for the first, the middle and the last live node the part of the diagonal and of the old voltage's
            factor that does not change in time (2 each; their large terms cancel, so they come ready made).
        drive: per ampere of amplitude: of each node, then of each mode of each internode.
        amplitude: one group.
        plan: of the steps, plain arrays: table (steps + 1,), step lengths in ms per table, stimulus relative to the
            amplitude (steps,), how far the gates move after each step in ms (steps,), the share of the last change of V
            that is added to V for it (steps,), row of the record (steps,) or -1, and the step from which a quiet fibre is done.
        membrane: conductances over capacitance in 1/ms and reversals relative to rest:
            g_naf, g_nap, g_k, g_l, e_na, e_k, e_l.
        q: temperature factors of m and p, of h, of s.
        theta: 1 backward Euler, 1/2 trapezoidal nodes.
        detect: node that must fire.
        stop: whether to stop when all lanes are decided.
        rows: nodes to record.
        record: (recorded steps, rows, 5): V, m, p, h, s; empty without rows.

    Returns:
        bit mask of the lanes that fired, and the steps made.
    """
    table, lengths, course, gate_dt, slope, row_of, quiet_from = plan
    lanes = 64 // state.itemsize
    everyone = (1 << lanes) - 1
    fired = 0
    alpha = 5 * nodes
    give = alpha + (nodes - 1) * MODES
    amp = load(amplitude, 0)
    g_naf, g_nap, g_k, g_l, e_na, e_k, e_l = membrane
    old_share = 1.0 - theta
    for step in range(course.size):
        on = course[step] != 0.0
        push = amp * course[step]
        per_dt = 1.0 / lengths[table[step]]
        modes_at = table[step] * 12 * MODES
        sums_at = table[step] * ALL_SUMS
        drive_at = table[step] * (nodes + (nodes - 1) * MODES)
        next_modes, next_sums = table[step + 1] * 12 * MODES, table[step + 1] * ALL_SUMS
        bend, gates_by = slope[step], gate_dt[step]
        # forward elimination over the nodes that are not passive
        c_before = fill(state, 0.0)
        d_before = fill(state, 0.0)
        off_before = fill(state, 0.0)
        for i in range(1, nodes - 1):
            place = sums_at + SUMS + (0 if i == 1 else 4 if i == nodes - 2 else 2)
            other = sums_at + (11 if i == nodes - 2 else 6)
            v = load(state, i)
            m = load(state, nodes + i)
            p = load(state, 2 * nodes + i)
            s = load(state, 4 * nodes + i)
            sodium = m * m * m * load(state, 3 * nodes + i) * g_naf + p * p * p * g_nap
            potassium = s * g_k
            leak = sodium + potassium + g_l
            rhs = v * (per_dt - leak * old_share - load(sums, place + 1)) + sodium * e_na + potassium * e_k + g_l * e_l
            rhs = rhs + load(state, give + 2 * i - 1) + load(state, give + 2 * i)
            if on:
                rhs = rhs + push * load(drive, drive_at + i)
            off = 0.0 - load(sums, other)
            pivot = 1.0 / (leak * theta + per_dt + load(sums, place) - off_before * c_before)
            c_before = off * pivot
            d_before = (rhs - off_before * d_before) * pivot
            off_before = off
            store(work, 2 * i, c_before)
            store(work, 2 * i + 1, d_before)
        # back substitution; each internode follows as soon as both its nodes are known
        v_right = fill(state, 0.0)
        old_right = fill(state, 0.0)
        highest = fill(state, -1e9)
        for i in range(nodes - 2, -1, -1):
            old = load(state, i)
            v = old
            if i > 0:
                v = load(work, 2 * i + 1) - load(work, 2 * i) * v_right
                store(state, i, v)
                highest = larger(highest, v)
                m, p, h, s = _advance_gates(load(state, nodes + i), load(state, 2 * nodes + i), load(state, 3 * nodes + i),
                                            load(state, 4 * nodes + i), v + (v - old) * bend, q, gates_by)
                store(state, nodes + i, m)
                store(state, 2 * nodes + i, p)
                store(state, 3 * nodes + i, h)
                store(state, 4 * nodes + i, s)
            kind = 0 if i == 0 else 2 if i == nodes - 2 else 1
            even, odd = v + v_right, v - v_right
            even_old, odd_old = old + old_right, old - old_right
            even_sum = even * load(sums, next_sums + 5 * kind + 2)
            odd_sum = odd * load(sums, next_sums + 5 * kind + 3)
            a_at, c_at, f_at, q_at = alpha + i * MODES, modes_at + 4 * kind * MODES, next_modes + 4 * kind * MODES + 3, drive_at + nodes + i * MODES
            for j in range(MODES // 2):
                a = load(state, a_at + j)
                step_a = a * load(modes, c_at + 4 * j) + even_old * load(modes, c_at + 4 * j + 1) + even * load(modes, c_at + 4 * j + 2)
                if on:
                    step_a = step_a + push * load(drive, q_at + j)
                a = a + step_a
                store(state, a_at + j, a)
                even_sum = even_sum + a * load(modes, f_at + 4 * j)
            for j in range(MODES // 2, MODES):
                a = load(state, a_at + j)
                step_a = a * load(modes, c_at + 4 * j) + odd_old * load(modes, c_at + 4 * j + 1) + odd * load(modes, c_at + 4 * j + 2)
                if on:
                    step_a = step_a + push * load(drive, q_at + j)
                a = a + step_a
                store(state, a_at + j, a)
                odd_sum = odd_sum + a * load(modes, f_at + 4 * j)
            store(state, give + 2 * i, even_sum + odd_sum)
            store(state, give + 2 * i + 1, even_sum - odd_sum)
            v_right, old_right = v, old
        for k in range(rows.size if row_of[step] >= 0 else 0):
            for field in range(5):
                store(record, (row_of[step] * rows.size + k) * 5 + field, load(state, field * nodes + rows[k]))
        fired |= lanes_at_least(load(state, detect), FIRES - REST)
        if stop:
            if step >= quiet_from and fired | (everyone & ~lanes_at_least(highest, QUIET - REST)) == everyone:
                return fired, step + 1
            if fired == everyone:
                return fired, step + 1
    return fired, course.size


@nb.njit(nogil=True, cache=True, error_model="numpy")
def settle_gates(state, nodes, q):
    """Put every gate at its steady value at rest."""
    am, am_d, bm, bm_d, ap, ap_d, bp, bp_d, ah, ah_d, bh, bh_d, a_s, as_d, b_s, bs_d = rates(fill(state, REST), q)
    for i in range(nodes):
        store(state, nodes + i, am * bm_d / (am * bm_d + bm * am_d))
        store(state, 2 * nodes + i, ap * bp_d / (ap * bp_d + bp * ap_d))
        store(state, 3 * nodes + i, ah * bh_d / (ah * bh_d + ah_d * bh))
        store(state, 4 * nodes + i, bs_d * a_s / (bs_d * a_s + as_d * b_s))


@nb.njit(nogil=True, cache=True, error_model="numpy")
def search(nodes, rest, modes, sums, drive, start, plan, membrane, q, theta, detect, tolerance, ceiling, growth):
    """Lowest amplitude at which each lane fires: up from below until it fires, then halving in the logarithm.

    Each lane's amplitudes depend on that lane alone, so a result does not depend on its neighbours.

    Args:
        rest: state to start every run from.
        start: (lanes,) first amplitude, A.
        tolerance: relative width of the final bracket.
        growth: factor from one amplitude to the next until a lane fires.
        ceiling: A; a lane that does not fire there has the bracket (ceiling, inf).
        the others: as in ``run``.

    Returns:
        (lanes,) below, (lanes,) above, and the runs made.
    """
    lanes = start.size
    below, above = np.zeros(lanes), np.full(lanes, np.inf)
    amplitude, done = np.minimum(start, ceiling), np.zeros(lanes, np.bool_)
    state, work = np.empty_like(rest), np.empty(2 * nodes * lanes, rest.dtype)
    amp, nothing, record = np.empty(lanes, rest.dtype), np.empty(0, np.int64), np.empty(0, rest.dtype)
    runs = 0
    while not done.all():
        state[:] = rest
        for k in range(lanes):
            amp[k] = 0.0 if done[k] else amplitude[k]
        fired, _ = run(nodes, state, work, modes, sums, drive, amp, plan, membrane, q, theta, detect, True, nothing, record)
        runs += 1
        for k in range(lanes):
            if done[k]:
                continue
            if (fired >> k) & 1:
                above[k] = amplitude[k]
            else:
                below[k] = amplitude[k]
            if above[k] == np.inf:
                done[k] = below[k] >= ceiling
                amplitude[k] = min(growth * amplitude[k], ceiling)
            elif below[k] == 0.0:
                amplitude[k] = amplitude[k] / growth
                done[k] = amplitude[k] < 1e-12
            else:
                done[k] = above[k] <= below[k] * (1.0 + tolerance)
                amplitude[k] = np.sqrt(below[k] * above[k])
    return below, above, runs
