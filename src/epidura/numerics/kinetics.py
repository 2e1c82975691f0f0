"""The channels of a node, for the vector lanes of the fibre kernel.

A membrane is a named tuple of numbers; its type picks the channels when the kernel is compiled. Three functions each:
``settled`` (gates at steady state), ``advance`` (gates after one of the time steps at v) and ``conductance`` (sum of the
conductances and of conductance times reversal). v is relative to rest in mV, rates and conductances over capacitance are
in 1/ms.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,call-arg,var-annotated"
from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numba as nb
import numpy as np
from numba.extending import overload

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


GATES = {Mrg: ("m", "p", "h", "s"), Sundt: ("m", "h", "n", "l")}
"""Names of the gates of each membrane, in the order of the state."""

BASE = {Mrg: (75 / 1024, 13 / 64, 159 / 256, 11 / 256), Sundt: (3 / 256, 15 / 16, 5 / 1024, 31 / 64)}
"""The state holds each gate less this: near rest what is left is small, and float32 keeps more of its digits. Any value is
right; these are near rest and exact in float32."""

_M, _P, _H, _S = BASE[Mrg]
_SM, _SH, _SN, _SL = BASE[Sundt]


TABLES = 8  # m, p, h: share of the way to go from base, and of the gate; s: opening and closing rate times the step
RANGE = (-150.0, 74.0)  # mV, of all but the closing of s, which is steep and elsewhere 0 or constant
STEEP = (-105.0, -65.0)
LONGEST = 0.05  # ms: above it s moves by more than its series allows
# a little inside, so that rounding finds no piece before the first or after the last
_LOW, _HIGH, _STEEP_LOW, _STEEP_HIGH = RANGE[0] + 1e-3, RANGE[1] - 1e-3, STEEP[0] + 1e-3, STEEP[1] - 1e-3


def mrg_tables(membrane: Mrg, precision: str) -> MrgTables:
    """``Mrg`` with tables for its steps. A step of 5 us is off by 1.1e-7 at most in float32, in float64 by 1.1e-11, of s by 1.1e-9; gates go to 1."""
    kept = [value for name, value in membrane._asdict().items() if name in MrgTables._fields]
    pieces = PIECES[8 * np.dtype(precision).itemsize]
    places = [place for low, high in (RANGE, STEEP) for place in (pieces / (high - low), (membrane.rest - low) * pieces / (high - low) - 0.5)]
    return MrgTables(*kept, *places, _mrg_table(membrane.q_m, membrane.q_h, membrane.q_s, tuple(map(float, membrane.steps)), precision))


def rates(q, v):
    """(4, n) opening and closing rates of m, p, h, s at (n,) mV, 1/ms; McIntyre, Richardson and Grill (2002).

    What the tables are made of. ``cable_reference`` has its own, so that it can tell when these are wrong.
    """
    def linear(x):
        small = np.abs(x) < 1e-7
        return np.where(small, 1.0 + x / 2, x / -np.expm1(-np.where(small, 1.0, x)))

    def sigmoid(x):
        return 1.0 / (1.0 + np.exp(-x))

    opening = (q[0] * 1.86 * 10.3 * linear((v + 21.4) / 10.3), q[0] * 0.01 * 10.2 * linear((v + 27.0) / 10.2),
               q[1] * 0.062 * 11.0 * linear(-(v + 114.0) / 11.0), q[2] * 0.3 * sigmoid((v + 53.0) / 5.0))
    closing = (q[0] * 0.086 * 9.16 * linear(-(v + 25.7) / 9.16), q[0] * 0.00025 * 10.0 * linear(-(v + 34.0) / 10.0),
               q[1] * 2.3 * sigmoid((v + 31.8) / 13.4), q[2] * 0.03 * sigmoid(v + 90.0))
    return np.array(opening), np.array(closing)


@lru_cache(maxsize=64)
def _mrg_table(q_m, q_h, q_s, steps, precision):
    q, base, result = (q_m, q_h, q_s), np.array(BASE[Mrg])[:, None], []
    bits = 8 * np.dtype(precision).itemsize
    size = PIECES[bits], POLYNOMIAL[bits]
    for dt in steps:
        def moves(v, dt=dt):
            opening, closing = rates(q, v)
            total = opening + closing
            grow = -np.expm1(-dt * total)
            paired = np.stack([(opening / total - base) * grow, grow], axis=1)[:3].reshape(6, -1)
            return np.concatenate([paired, dt * opening[3:]])

        result.append(np.concatenate([fit(moves, RANGE, *size), fit(lambda v, dt=dt: dt * rates(q, v)[1][3:], STEEP, *size)]))
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


@overload(settled, jit_options=_OPTIONS)
def _settled(membrane, v):
    if _of(membrane, Sundt):

        def sundt(membrane, v):
            am, am_d, bm, bm_d, ah, bh, bh_d, an, bn, al, bl = sundt_rates(membrane, v)
            return (am * bm_d / (am * bm_d + bm * am_d) - _SM, ah * bh_d / (ah * bh_d + bh) - _SH, an / (an + bn) - _SN, al / (al + bl) - _SL)

        return sundt
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
    if not _of(membrane, Mrg, MrgTables):
        return None

    def mrg(membrane, gates):
        m, p, h, s = gates[0] + _M, gates[1] + _P, gates[2] + _H, gates[3] + _S
        sodium = m * m * m * h * membrane.g_naf + p * p * p * membrane.g_nap
        potassium = s * membrane.g_k
        return sodium + potassium + membrane.g_l, sodium * membrane.e_na + potassium * membrane.e_k + membrane.g_l * membrane.e_l

    return mrg
