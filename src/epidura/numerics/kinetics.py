"""The channels of a node, for the vector lanes of the fibre kernel.

A membrane is a named tuple of numbers; its type picks the channels when the kernel is compiled. Three functions each:
``settled`` (gates at steady state), ``advance`` (gates after one of the time steps at v) and ``conductance`` (sum of the
conductances and of conductance times reversal). v is relative to rest in mV, rates and conductances over capacitance are
in 1/ms. A membrane with channels under the myelin has the same three for them, ``..._under``.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,call-arg,var-annotated"
from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numba as nb
import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from epidura.numerics.simd import PIECES, POLYNOMIAL, aligned, exp, expm1, fit, interval, larger, piecewise, smaller

_OPTIONS: Any = {"nogil": True, "error_model": "numpy", "forceinline": True}
SERIES = 0.0101  # ms: up to this step the slow gates of a myelinated node move by dt (alpha + beta) < 0.3


class Mrg(NamedTuple):
    """The node of McIntyre, Richardson and Grill (2002): gates m, p (persistent sodium), h, s (slow potassium).

    Attributes:
        g_naf, g_nap, g_k, g_l: conductance over capacitance, 1/ms.
        e_na, e_k, e_l: reversal potentials relative to rest, mV.
        q_m, q_h, q_s: temperature factors of m and p, of h, of s.
        rest: mV.
        steps: (steps,) ms that ``advance`` can make.
    """

    g_naf: float
    g_nap: float
    g_k: float
    g_l: float
    e_na: float
    e_k: float
    e_l: float
    q_m: float
    q_h: float
    q_s: float
    rest: float
    steps: Any


class MrgTables(NamedTuple):
    """The same with its gates as polynomials in pieces of v, one set for every step: for processors with AVX-512.

    Attributes:
        scale, offset, steep_scale, steep_offset: of v in the pieces of the tables.
        table: (steps, TABLES, terms, pieces) flat, see ``mrg_tables``.
        the others: as in ``Mrg``.
    """

    g_naf: float
    g_nap: float
    g_k: float
    g_l: float
    e_na: float
    e_k: float
    e_l: float
    rest: float
    scale: float
    offset: float
    steep_scale: float
    steep_offset: float
    table: Any


class Sundt(NamedTuple):
    """The unmyelinated axon of Sundt, Gamper and Jaffe (2015): gates m, h (sodium), n, l (potassium).

    Attributes:
        g_na, g_k, g_l: conductance over capacitance, 1/ms.
        e_na, e_k, e_l: reversal potentials relative to rest, mV.
        q: temperature factor of all rates.
        steep: F / (R T), 1/mV.
        rest: mV.
        steps: (steps,) ms that ``advance`` can make.
    """

    g_na: float
    g_k: float
    g_l: float
    e_na: float
    e_k: float
    e_l: float
    q: float
    steep: float
    rest: float
    steps: Any


class Sensory(NamedTuple):
    """The sensory fibre of Gaines et al. (2018): gates m, p, h, s, n (fast potassium) at the node; s, n, q (slow inward current) under the myelin.

    Attributes:
        g_naf, g_nap, g_s, g_n, g_l: conductance over capacitance of the node, 1/ms.
        e_na, e_k, e_q, e_l: reversal potentials relative to rest, mV.
        under_s, under_q: conductance over capacitance under the myelin, 1/ms.
        mysa_n, mysa_l, under_n, under_l: the same in a MYSA and in the others.
        under_e_l: reversal of the leak under the myelin relative to rest, mV.
        q_m, q_h, q_s: temperature factors of m and p, of h, of s, n and q.
        rest: mV.
        steps: (steps,) ms that ``advance`` can make.
    """

    g_naf: float
    g_nap: float
    g_s: float
    g_n: float
    g_l: float
    e_na: float
    e_k: float
    e_q: float
    e_l: float
    under_s: float
    under_q: float
    mysa_n: float
    mysa_l: float
    under_n: float
    under_l: float
    under_e_l: float
    q_m: float
    q_h: float
    q_s: float
    rest: float
    steps: Any


class SensoryTables(NamedTuple):
    """The same with its gates as polynomials in pieces of v; attributes as in ``Sensory`` and ``MrgTables``."""

    g_naf: float
    g_nap: float
    g_s: float
    g_n: float
    g_l: float
    e_na: float
    e_k: float
    e_q: float
    e_l: float
    under_s: float
    under_q: float
    mysa_n: float
    mysa_l: float
    under_n: float
    under_l: float
    under_e_l: float
    q_s: float
    rest: float
    steps: Any
    scale: float
    offset: float
    steep_scale: float
    steep_offset: float
    table: Any


GATES = {Mrg: ("m", "p", "h", "s"), Sundt: ("m", "h", "n", "l"), Sensory: ("m", "p", "h", "s", "n")}
"""Names of the gates of each membrane, in the order of the state."""

BASE = {Mrg: (75 / 1024, 13 / 64, 159 / 256, 11 / 256), Sundt: (3 / 256, 15 / 16, 5 / 1024, 31 / 64),
        Sensory: (17 / 256, 51 / 256, 89 / 128, 11 / 256, 23 / 256)}
"""The state holds each gate less this: near rest what is left is small, and float32 keeps more of its digits. Any value is
right; these are near rest and exact in float32."""

_M, _P, _H, _S = BASE[Mrg]
_SM, _SH, _SN, _SL = BASE[Sundt]
_GM, _GP, _GH, _GS, _GN = BASE[Sensory]
_GQ = 23 / 256
UNDER = ("s", "n", "q")
"""Gates under the myelin of ``Sensory``."""


TABLES = 8  # m, p, h: share of the way to go from base, and of the gate; s: opening and closing rate times the step
RANGE = (-150.0, 74.0)  # mV, of all but the closing of s, which is steep and elsewhere 0 or constant
STEEP = (-105.0, -65.0)
LONGEST = 0.05  # ms: above it s moves by more than its series allows
# a little inside, so that rounding finds no piece before the first or after the last
_LOW, _HIGH, _STEEP_LOW, _STEEP_HIGH = RANGE[0] + 1e-3, RANGE[1] - 1e-3, STEEP[0] + 1e-3, STEEP[1] - 1e-3


def tabled(membrane: Any, precision: str) -> Any:
    """A membrane with tables for its steps, where there are any for it and they hold for steps as long as these; else the same."""
    kinds: dict[type, Any] = {Mrg: mrg_tables, Sensory: sensory_tables}
    return kinds[type(membrane)](membrane, precision) if type(membrane) in kinds and membrane.steps.max() <= LONGEST else membrane


def mrg_tables(membrane: Mrg, precision: str) -> MrgTables:
    """``Mrg`` with tables for its steps. A step of 5 us is off by 1.1e-7 at most in float32, in float64 by 1.1e-11, of s by 1.1e-9; gates go to 1."""
    kept = [value for name, value in membrane._asdict().items() if name in MrgTables._fields]
    return MrgTables(*kept, *_places(membrane.rest, precision), _mrg_table(*_warm_and_steps(membrane), precision))


def sensory_tables(membrane: Sensory, precision: str) -> SensoryTables:
    """The same of ``Sensory``. A step of 5 us is off by 1.3e-7 at most in float32, of q by 7.6e-7; in float64 by 1.2e-10, of s 1e-9, of q 1.3e-8."""
    kept = [value for name, value in membrane._asdict().items() if name in SensoryTables._fields]
    return SensoryTables(*kept, *_places(membrane.rest, precision), _sensory_table(*_warm_and_steps(membrane), precision))


def _places(rest, precision):
    """Scale and offset of v relative to rest in the pieces of the tables over ``RANGE`` and over ``STEEP``."""
    pieces = PIECES[8 * np.dtype(precision).itemsize]
    return [place for low, high in (RANGE, STEEP) for place in (pieces / (high - low), (rest - low) * pieces / (high - low) - 0.5)]


def _warm_and_steps(membrane):
    return membrane.q_m, membrane.q_h, membrane.q_s, tuple(map(float, membrane.steps))


def _linear(x):
    small = np.abs(x) < 1e-7
    return np.where(small, 1.0 + x / 2, x / -np.expm1(-np.where(small, 1.0, x)))


def _sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def sensory_rates(q: tuple[float, float, float], v: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(6, n) opening and closing rates of m, p, h, s, n, q at (n,) mV, 1/ms; Gaines et al. (2018), read in ModelDB 243841."""
    linear, sigmoid = _linear, _sigmoid
    opening = (q[0] * 1.77753 * 10.3 * linear((v + 20.1795) / 10.3), q[0] * 0.00957 * 10.2 * linear((v + 26.852) / 10.2),
               q[1] * 0.075286 * 8.391 * linear(-(v + 112.7124) / 8.391), q[2] * 0.3 * sigmoid((v + 53.0) / 5.0),
               q[2] * 0.0462 * 1.1 * linear((v + 83.2) / 1.1), q[2] * 0.00522 * np.exp(-(v + 94.2) / 12.2))
    closing = (q[0] * 0.0823 * 9.16 * linear(-(v + 25.4746) / 9.16), q[0] * 0.0002401 * 10.0 * linear(-(v + 33.8333) / 10.0),
               q[1] * 2.8083 * sigmoid((v + 30.5435) / 10.2263), q[2] * 0.03 * sigmoid(v + 90.0),
               q[2] * 0.0824 * 10.5 * linear(-(v + 66.0) / 10.5), q[2] * 0.00522 * np.exp((v + 94.2) / 12.2))
    return np.array(opening), np.array(closing)


def rates(q, v):
    """(4, n) opening and closing rates of m, p, h, s at (n,) mV, 1/ms; McIntyre, Richardson and Grill (2002).

    What the tables are made of. ``cable_reference`` has its own, so that it can tell when these are wrong.
    """
    linear, sigmoid = _linear, _sigmoid
    opening = (q[0] * 1.86 * 10.3 * linear((v + 21.4) / 10.3), q[0] * 0.01 * 10.2 * linear((v + 27.0) / 10.2),
               q[1] * 0.062 * 11.0 * linear(-(v + 114.0) / 11.0), q[2] * 0.3 * sigmoid((v + 53.0) / 5.0))
    closing = (q[0] * 0.086 * 9.16 * linear(-(v + 25.7) / 9.16), q[0] * 0.00025 * 10.0 * linear(-(v + 34.0) / 10.0),
               q[1] * 2.3 * sigmoid((v + 31.8) / 13.4), q[2] * 0.03 * sigmoid(v + 90.0))
    return np.array(opening), np.array(closing)


def _exact(rates_at, base, dt):
    """A function of (n,) mV: for each of the gates share of the way to go from base, and of the gate, one after the other; (2 gates, n)."""
    def moves(v):
        opening, closing = rates_at(v)
        total = opening + closing
        grow = -np.expm1(-dt * total)
        return np.stack([(opening / total - base) * grow, grow], axis=1).reshape(2 * len(total), -1)

    return moves


def _tables_of(main, steep, precision):
    """(tables, terms, pieces) of functions over ``RANGE`` and of others over ``STEEP``."""
    bits = 8 * np.dtype(precision).itemsize
    size = PIECES[bits], POLYNOMIAL[bits]
    return np.concatenate([fit(main, RANGE, *size), fit(steep, STEEP, *size)])


@lru_cache(maxsize=64)
def _mrg_table(q_m, q_h, q_s, steps, precision):
    q, base, result = (q_m, q_h, q_s), np.array(BASE[Mrg])[:3, None], []
    for dt in steps:
        moves = _exact(lambda v: [rate[:3] for rate in rates(q, v)], base, dt)
        result.append(_tables_of(lambda v, dt=dt, moves=moves: np.concatenate([moves(v), dt * rates(q, v)[0][3:]]),
                                 lambda v, dt=dt: dt * rates(q, v)[1][3:], precision))
    return aligned(np.stack(result).astype(precision))


SENSORY_TABLES = 12  # m, p, h, q: share of the way to go from base, and of the gate; opening of s and closing of n; steep: closing of s, opening of n


@lru_cache(maxsize=64)
def _sensory_table(q_m, q_h, q_s, steps, precision):
    q, base, result, exact = (q_m, q_h, q_s), np.array([*BASE[Sensory][:3], _GQ])[:, None], [], [0, 1, 2, 5]
    for dt in steps:
        moves = _exact(lambda v: [rate[exact] for rate in sensory_rates(q, v)], base, dt)

        def slow(v, dt, kinds):
            opening, closing = sensory_rates(q, v)
            return dt * np.stack([(opening if kind == "opens" else closing)[gate] for gate, kind in kinds])

        result.append(_tables_of(lambda v, dt=dt, moves=moves: np.concatenate([moves(v), slow(v, dt, ((3, "opens"), (4, "closes")))]),
                                 lambda v, dt=dt: slow(v, dt, ((3, "closes"), (4, "opens"))), precision))
    return aligned(np.stack(result).astype(precision))


@nb.njit(**_OPTIONS)
def linoid(x):
    """(x', 1 - exp(-x')): the rate x / (1 - exp(-x)) as numerator and denominator; x = 0 gives 1."""
    x = x + 1e-12
    return x, 0.0 - expm1(0.0 - x)


@nb.njit(**_OPTIONS)
def towards(x, base, a, da, b, db, dt, series):
    """Gate less base after dt at rates alpha = a/da, beta = b/db: the exact exponential, with one division.

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
    return x + (a * both * share - base - x) * grow


@nb.njit(**_OPTIONS)
def mrg_rates(membrane, v):
    """Numerators and denominators of the eight rates of m, p, h, s at v relative to rest, 1/ms."""
    rest = membrane.rest
    v = smaller(larger(v, -150.0 - rest), 150.0 - rest)
    x, am_d = linoid((v + (rest + 21.4)) * (1 / 10.3))
    am = x * (membrane.q_m * (1.86 * 10.3))
    x, bm_d = linoid((v + (rest + 25.7)) * (-1 / 9.16))
    bm = x * (membrane.q_m * (0.086 * 9.16))
    x, ap_d = linoid((v + (rest + 27.0)) * (1 / 10.2))
    ap = x * (membrane.q_m * (0.01 * 10.2))
    x, bp_d = linoid((v + (rest + 34.0)) * (-1 / 10.0))
    bp = x * (membrane.q_m * (0.00025 * 10.0))
    x, ah_d = linoid((v + (rest + 114.0)) * (-1 / 11.0))
    ah = x * (membrane.q_h * (0.062 * 11.0))
    bh_d = exp((v + (rest + 31.8)) * (-1 / 13.4)) + 1.0
    as_d = exp((v + (rest + 53.0)) * (-1 / 5.0)) + 1.0
    # held between e^-20 and e^20, where the rate does not change any more, so that products stay in range
    bs_d = exp(larger(smaller((v + (rest + 90.0)) * -1.0, 20.0), -20.0)) + 1.0
    return am, am_d, bm, bm_d, ap, ap_d, bp, bp_d, ah, ah_d, membrane.q_h * 2.3, bh_d, membrane.q_s * 0.3, as_d, membrane.q_s * 0.03, bs_d


@nb.njit(**_OPTIONS)
def sundt_rates(membrane, v):
    """Numerators and denominators of the eight rates of m, h, n, l at v relative to rest, 1/ms."""
    rest, q, steep = membrane.rest, membrane.q, membrane.steep
    v = smaller(larger(v, -150.0 - rest), 150.0 - rest)
    x, am_d = linoid((v + (rest + 45.9)) * (1 / 4.0))
    am = x * (q * (0.32 * 4.0))
    x, bm_d = linoid((v + (rest + 18.9)) * (-1 / 5.0))
    bm = x * (q * (0.28 * 5.0))
    ah = exp((v + (rest + 54.0)) * (-1 / 18.0)) * (q * 0.128)
    bh_d = exp((v + (rest + 31.0)) * (-1 / 5.0)) + 1.0
    an = exp((v + (rest + 32.0)) * (2.0 * steep)) * (q * 0.03)
    bn = exp((v + (rest + 32.0)) * (-3.0 * steep)) * (q * 0.03)
    al = exp((v + (rest + 61.0)) * (-2.0 * steep)) * (q * 0.001)
    return am, am_d, bm, bm_d, ah, q * 4.0, bh_d, an, bn, al, q * 0.001


@nb.njit(**_OPTIONS)
def sensory_potassium_rates(membrane, v):
    """Numerators and denominators of the four rates of s and n at v relative to rest, 1/ms."""
    rest, q = membrane.rest, membrane.q_s
    v = smaller(larger(v, -150.0 - rest), 150.0 - rest)
    as_d = exp((v + (rest + 53.0)) * (-1 / 5.0)) + 1.0
    bs_d = exp(larger(smaller((v + (rest + 90.0)) * -1.0, 20.0), -20.0)) + 1.0
    # beyond e^20 the rate is the straight line to rounding
    z = (v + (rest + 83.2)) * (1 / 1.1)
    x, an_d = linoid(larger(smaller(z, 20.0), -20.0))
    an = (x + larger(z - 20.0, 0.0) * an_d) * (q * (0.0462 * 1.1))
    x, bn_d = linoid((v + (rest + 66.0)) * (-1 / 10.5))
    return q * 0.3, as_d, q * 0.03, bs_d, an, an_d, x * (q * (0.0824 * 10.5)), bn_d


@nb.njit(**_OPTIONS)
def sensory_inward_rates(membrane, v):
    """The two rates of q, 1/ms."""
    rest = membrane.rest
    z = (smaller(larger(v, -150.0 - rest), 150.0 - rest) + (rest + 94.2)) * (1 / 12.2)
    return exp(0.0 - z) * (membrane.q_s * 0.00522), exp(z) * (membrane.q_s * 0.00522)


@nb.njit(**_OPTIONS)
def sensory_sodium_rates(membrane, v):
    """Numerators and denominators of the six rates of m, p, h, 1/ms."""
    rest = membrane.rest
    v = smaller(larger(v, -150.0 - rest), 150.0 - rest)
    x, am_d = linoid((v + (rest + 20.1795)) * (1 / 10.3))
    am = x * (membrane.q_m * (1.77753 * 10.3))
    x, bm_d = linoid((v + (rest + 25.4746)) * (-1 / 9.16))
    bm = x * (membrane.q_m * (0.0823 * 9.16))
    x, ap_d = linoid((v + (rest + 26.852)) * (1 / 10.2))
    ap = x * (membrane.q_m * (0.00957 * 10.2))
    x, bp_d = linoid((v + (rest + 33.8333)) * (-1 / 10.0))
    bp = x * (membrane.q_m * (0.0002401 * 10.0))
    x, ah_d = linoid((v + (rest + 112.7124)) * (-1 / 8.391))
    ah = x * (membrane.q_h * (0.075286 * 8.391))
    bh_d = exp((v + (rest + 30.5435)) * (-1 / 10.2263)) + 1.0
    return am, am_d, bm, bm_d, ap, ap_d, bp, bp_d, ah, ah_d, membrane.q_h * 2.8083, bh_d


@nb.njit(**_OPTIONS)
def _pieces_at(membrane, v):
    """Pieces of the tables and places in them at v, over ``RANGE`` and over ``STEEP``."""
    piece, x = interval(smaller(larger(v, _LOW - membrane.rest), _HIGH - membrane.rest), membrane.scale, membrane.offset)
    steep = smaller(larger(v, _STEEP_LOW - membrane.rest), _STEEP_HIGH - membrane.rest)
    steep_piece, steep_x = interval(steep, membrane.steep_scale, membrane.steep_offset)
    return piece, x, steep_piece, steep_x


@nb.njit(**_OPTIONS)
def _slow(gate, base, opens, closes):
    """A gate less base after a step in which it opens and closes by so much, which is little."""
    z = opens + closes
    return gate + (opens - z * (gate + base)) * (1.0 - z * (1 / 2 - z * (1 / 6 - z * (1 / 24 - z * (1 / 120)))))


@nb.njit(**_OPTIONS)
def _tabled_potassium(membrane, s, n, v, which, piece, x, steep_piece, steep_x):
    """s and n of ``SensoryTables`` after a step."""
    table, at = membrane.table, which * SENSORY_TABLES
    # above the steep range n opens along a straight line
    more = larger(v - (_STEEP_HIGH - membrane.rest), 0.0) * (membrane.q_s * 0.0462 * membrane.steps[which])
    opens = piecewise(table, at + 11, steep_piece, steep_x) + more
    return (_slow(s, _GS, piecewise(table, at + 8, piece, x), piecewise(table, at + 10, steep_piece, steep_x)),
            _slow(n, _GN, opens, piecewise(table, at + 9, piece, x)))


def settled_under(membrane, v):
    """Gates under the myelin at their steady value at v."""
    raise NotImplementedError


def advance_under(membrane, gates, v, which):
    """Gates under the myelin after the ``which``-th step at v."""
    raise NotImplementedError


def conductance_under(membrane, gates, mysa):
    """(sum of g, sum of g E) under the myelin, in a MYSA or elsewhere."""
    raise NotImplementedError


@overload(settled_under, jit_options=_OPTIONS)
def _settled_under(membrane, v):
    if not _of(membrane, Sensory):
        return None

    def sensory(membrane, v):
        a_s, as_d, b_s, bs_d, an, an_d, bn, bn_d = sensory_potassium_rates(membrane, v)
        aq, bq = sensory_inward_rates(membrane, v)
        return bs_d * a_s / (bs_d * a_s + as_d * b_s) - _GS, an * bn_d / (an * bn_d + bn * an_d) - _GN, aq / (aq + bq) - _GQ

    return sensory


@overload(advance_under, jit_options=_OPTIONS)
def _advance_under(membrane, gates, v, which):
    if _of(membrane, Sensory):

        def sensory(membrane, gates, v, which):
            a_s, as_d, b_s, bs_d, an, an_d, bn, bn_d = sensory_potassium_rates(membrane, v)
            aq, bq = sensory_inward_rates(membrane, v)
            dt = membrane.steps[which]
            slow = dt <= SERIES
            return (towards(gates[0], _GS, a_s, as_d, b_s, bs_d, dt, slow), towards(gates[1], _GN, an, an_d, bn, bn_d, dt, slow),
                    towards(gates[2], _GQ, aq, 1.0, bq, 1.0, dt, False))

        return sensory
    if _of(membrane, SensoryTables):

        def tabled(membrane, gates, v, which):
            piece, x, steep_piece, steep_x = _pieces_at(membrane, v)
            s, n = _tabled_potassium(membrane, gates[0], gates[1], v, which, piece, x, steep_piece, steep_x)
            table, at = membrane.table, which * SENSORY_TABLES
            return s, n, gates[2] + (piecewise(table, at + 6, piece, x) - piecewise(table, at + 7, piece, x) * gates[2])

        return tabled
    return None


@overload(conductance_under, jit_options=_OPTIONS)
def _conductance_under(membrane, gates, mysa):
    if not _of(membrane, Sensory, SensoryTables):
        return None

    def sensory(membrane, gates, mysa):
        fast, leak = (membrane.mysa_n, membrane.mysa_l) if mysa else (membrane.under_n, membrane.under_l)
        n = gates[1] + _GN
        potassium, inward = (gates[0] + _GS) * membrane.under_s + n * n * n * n * fast, (gates[2] + _GQ) * membrane.under_q
        return potassium + inward + leak, potassium * membrane.e_k + inward * membrane.e_q + leak * membrane.under_e_l

    return sensory


def settled(membrane, v):
    """Gates at their steady value at v."""
    raise NotImplementedError


def advance(membrane, gates, v, which):
    """Gates after the ``which``-th step at v."""
    raise NotImplementedError


def conductance(membrane, gates):
    """(sum of g, sum of g E)."""
    raise NotImplementedError


def _of(membrane, *kinds):
    return getattr(membrane, "instance_class", None) in kinds


def gate_count(membrane):
    """How many gates a node has, by Numba's type of a membrane."""
    kind = membrane.instance_class
    return len(GATES[{MrgTables: Mrg, SensoryTables: Sensory}.get(kind, kind)])


@overload(settled, jit_options=_OPTIONS)
def _settled(membrane, v):
    if _of(membrane, Sundt):

        def sundt(membrane, v):
            am, am_d, bm, bm_d, ah, bh, bh_d, an, bn, al, bl = sundt_rates(membrane, v)
            return (am * bm_d / (am * bm_d + bm * am_d) - _SM, ah * bh_d / (ah * bh_d + bh) - _SH, an / (an + bn) - _SN, al / (al + bl) - _SL)

        return sundt
    if _of(membrane, Sensory):

        def sensory(membrane, v):
            am, am_d, bm, bm_d, ap, ap_d, bp, bp_d, ah, ah_d, bh, bh_d = sensory_sodium_rates(membrane, v)
            a_s, as_d, b_s, bs_d, an, an_d, bn, bn_d = sensory_potassium_rates(membrane, v)
            return (am * bm_d / (am * bm_d + bm * am_d) - _GM, ap * bp_d / (ap * bp_d + bp * ap_d) - _GP,
                    ah * bh_d / (ah * bh_d + ah_d * bh) - _GH, bs_d * a_s / (bs_d * a_s + as_d * b_s) - _GS,
                    an * bn_d / (an * bn_d + bn * an_d) - _GN)

        return sensory
    if not _of(membrane, Mrg):
        return None

    def mrg(membrane, v):
        am, am_d, bm, bm_d, ap, ap_d, bp, bp_d, ah, ah_d, bh, bh_d, a_s, as_d, b_s, bs_d = mrg_rates(membrane, v)
        return (am * bm_d / (am * bm_d + bm * am_d) - _M, ap * bp_d / (ap * bp_d + bp * ap_d) - _P,
                ah * bh_d / (ah * bh_d + ah_d * bh) - _H, bs_d * a_s / (bs_d * a_s + as_d * b_s) - _S)

    return mrg


@overload(advance, jit_options=_OPTIONS)
def _advance(membrane, gates, v, which):
    if _of(membrane, Mrg):

        def mrg(membrane, gates, v, which):
            am, am_d, bm, bm_d, ap, ap_d, bp, bp_d, ah, ah_d, bh, bh_d, a_s, as_d, b_s, bs_d = mrg_rates(membrane, v)
            m, p, h, s = gates
            dt = membrane.steps[which]
            slow = dt <= SERIES
            return (towards(m, _M, am, am_d, bm, bm_d, dt, False), towards(p, _P, ap, ap_d, bp, bp_d, dt, slow),
                    towards(h, _H, ah, ah_d, bh, bh_d, dt, slow), towards(s, _S, a_s, as_d, b_s, bs_d, dt, slow))

        return mrg
    if _of(membrane, MrgTables):

        def tabled(membrane, gates, v, which):
            m, p, h, s = gates
            table, at = membrane.table, which * TABLES
            piece, x = interval(smaller(larger(v, _LOW - membrane.rest), _HIGH - membrane.rest), membrane.scale, membrane.offset)
            m = m + (piecewise(table, at, piece, x) - piecewise(table, at + 1, piece, x) * m)
            p = p + (piecewise(table, at + 2, piece, x) - piecewise(table, at + 3, piece, x) * p)
            h = h + (piecewise(table, at + 4, piece, x) - piecewise(table, at + 5, piece, x) * h)
            opens = piecewise(table, at + 6, piece, x)
            steep = smaller(larger(v, _STEEP_LOW - membrane.rest), _STEEP_HIGH - membrane.rest)
            piece, x = interval(steep, membrane.steep_scale, membrane.steep_offset)
            z = opens + piecewise(table, at + 7, piece, x)
            return m, p, h, s + (opens - z * (s + _S)) * (1.0 - z * (0.5 - z * (1 / 6)))

        return tabled
    if _of(membrane, Sensory):

        def sensory(membrane, gates, v, which):
            am, am_d, bm, bm_d, ap, ap_d, bp, bp_d, ah, ah_d, bh, bh_d = sensory_sodium_rates(membrane, v)
            a_s, as_d, b_s, bs_d, an, an_d, bn, bn_d = sensory_potassium_rates(membrane, v)
            dt = membrane.steps[which]
            slow = dt <= SERIES
            return (towards(gates[0], _GM, am, am_d, bm, bm_d, dt, False), towards(gates[1], _GP, ap, ap_d, bp, bp_d, dt, slow),
                    towards(gates[2], _GH, ah, ah_d, bh, bh_d, dt, False), towards(gates[3], _GS, a_s, as_d, b_s, bs_d, dt, slow),
                    towards(gates[4], _GN, an, an_d, bn, bn_d, dt, slow))

        return sensory
    if _of(membrane, SensoryTables):

        def tabled_sensory(membrane, gates, v, which):
            m, p, h, s, n = gates
            table, at = membrane.table, which * SENSORY_TABLES
            piece, x, steep_piece, steep_x = _pieces_at(membrane, v)
            m = m + (piecewise(table, at, piece, x) - piecewise(table, at + 1, piece, x) * m)
            p = p + (piecewise(table, at + 2, piece, x) - piecewise(table, at + 3, piece, x) * p)
            h = h + (piecewise(table, at + 4, piece, x) - piecewise(table, at + 5, piece, x) * h)
            s, n = _tabled_potassium(membrane, s, n, v, which, piece, x, steep_piece, steep_x)
            return m, p, h, s, n

        return tabled_sensory
    if _of(membrane, Sundt):

        def sundt(membrane, gates, v, which):
            am, am_d, bm, bm_d, ah, bh, bh_d, an, bn, al, bl = sundt_rates(membrane, v)
            m, h, n, l = gates  # noqa: E741
            dt = membrane.steps[which]
            return (towards(m, _SM, am, am_d, bm, bm_d, dt, False), towards(h, _SH, ah, 1.0, bh, bh_d, dt, False),
                    towards(n, _SN, an, 1.0, bn, 1.0, dt, False), towards(l, _SL, al, 1.0, bl, 1.0, dt, False))

        return sundt
    return None


@overload(conductance, jit_options=_OPTIONS)
def _conductance(membrane, gates):
    if _of(membrane, Sundt):

        def sundt(membrane, gates):
            m, h, n, l = gates[0] + _SM, gates[1] + _SH, gates[2] + _SN, gates[3] + _SL  # noqa: E741
            sodium, potassium = m * m * m * h * membrane.g_na, n * n * n * l * membrane.g_k
            return sodium + potassium + membrane.g_l, sodium * membrane.e_na + potassium * membrane.e_k + membrane.g_l * membrane.e_l

        return sundt
    if _of(membrane, Sensory, SensoryTables):

        def sensory(membrane, gates):
            m, p, h, n = gates[0] + _GM, gates[1] + _GP, gates[2] + _GH, gates[4] + _GN
            sodium = m * m * m * h * membrane.g_naf + p * p * p * membrane.g_nap
            potassium = (gates[3] + _GS) * membrane.g_s + n * n * n * n * membrane.g_n
            return sodium + potassium + membrane.g_l, sodium * membrane.e_na + potassium * membrane.e_k + membrane.g_l * membrane.e_l

        return sensory
    if not _of(membrane, Mrg, MrgTables):
        return None

    def mrg(membrane, gates):
        m, p, h, s = gates[0] + _M, gates[1] + _P, gates[2] + _H, gates[3] + _S
        sodium = m * m * m * h * membrane.g_naf + p * p * p * membrane.g_nap
        potassium = s * membrane.g_k
        return sodium + potassium + membrane.g_l, sodium * membrane.e_na + potassium * membrane.e_k + membrane.g_l * membrane.e_l

    return mrg
