"""Rates of the channels of dorsal-horn neurons, and tables of them for the vector lanes.

Published forms (Zhang, Janik and Grill 2014 and the models they name), v in mV, rates in 1/ms at 36 degC. One source of formulas for the
tables only: ``network_reference`` has its own, so that it can tell when these are wrong.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"
from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from epidura.numerics.simd import PIECES, POLYNOMIAL, aligned, fit

GATES = ("na m", "na h", "kdri n", "kdri h", "na-hh2 m", "na-hh2 h", "k-hh2 n", "nap m", "nap h", "cal m")
"""Gates that follow the voltage, in the order of the tables."""

RANGE = (-100.0, 60.0)
"""mV of the tables; beyond it gates take the value at the end."""

PUBLISHED = (-160.0, 100.0, 200)
"""mV of the table from which the published code takes the gates of ``kdri``, and its intervals."""

FARADAY, GAS, KELVIN = 96480.0, 8.314, 36.0 + 273.16
OUTSIDE = 2.0  # mM of calcium outside
INSIDE = 5e-5  # mM of calcium inside at rest
SHELL = 0.1  # um below the membrane that calcium fills
VALENCE_STEEP = 0.002 * FARADAY / (GAS * KELVIN)  # 1/mV
Q = 3.0**1.3
Q_CA = 3.0**1.25
Q_CALCIUM_GATES = 3.0**1.4


def linoid(x, y):
    """x / (exp(x / y) - 1), y where x is 0."""
    z = np.asarray(x, float) / y
    small = np.abs(z) < 1e-6
    return np.where(small, y * (1.0 - z / 2), x / np.expm1(np.where(small, 1.0, z)))


def steady(v: Any) -> tuple[Any, Any]:
    """((10, n) steady values, (10, n) rates 1/tau in 1/ms) of ``GATES`` at (n,) mV."""
    v = np.asarray(v, float)
    u = v + 55.0
    pairs = [
        (0.182 * Q * linoid(-v - 28, 9), 0.124 * Q * linoid(v + 28, 9)),
        (Q * (0.061 * linoid(-v - 35, 3) + 0.0166), 0.0018 * Q * linoid(v + 71, 18)),
        (0.035 * Q * linoid(-v - 15, 9), 0.014 * Q * np.exp((12 - v) / 46)),
        (0.0083 * Q * (1 / (np.exp((v + 20) / 10) + 1) + 1), 0.0083 * Q / (np.exp(-(v + 20) / 10) + 1)),
        (0.32 * linoid(13 - u, 4), 0.28 * linoid(u - 40, 5)),
        (0.128 * np.exp((12 - u) / 18), 4 / (1 + np.exp((35 - u) / 5))),
        (0.032 * linoid(15 - u, 5), 0.5 * np.exp((10 - u) / 40)),
        (0.32 * linoid(11 - u, 4), 0.28 * linoid(u - 42, 5)),
        (0.128 * np.exp((12 - u) / 18), 4 / (1 + np.exp(0.5 * (35 - u) / 5))),
    ]
    opening, closing = (np.array(side) for side in zip(*pairs, strict=True))
    rate = opening + closing
    value = opening / rate
    value[1] = 1 / (1 + np.exp((v + 64) / 9))
    cal = Q_CA * (1.6 / (1 + np.exp(-0.072 * (v - 5))) + 0.02 * linoid(v - 1.31, 5.36))
    return np.vstack([value, 1 / (1 + np.exp(-(v + 10) / 10))]), np.vstack([rate, cal])


def constant_field(v):
    """(2, n): w / (e^w - 1) with w = 2 F v / (R T), and its slope per mV; the calcium current is made of them."""
    w = VALENCE_STEEP * np.asarray(v, float)
    small = np.abs(w) < 1e-4
    safe = np.where(small, 1.0, w)
    e = np.expm1(safe)
    value = np.where(small, 1.0 - w / 2 + w * w / 12, safe / e)
    slope = np.where(small, -0.5 + w / 6, (e - safe * (e + 1.0)) / (e * e))
    return np.array([value, VALENCE_STEEP * slope])


@lru_cache(maxsize=16)
def tables(dt):
    """Flat tables of (functions, terms, pieces), highest power first: of each gate the way to go A and the share B of the step
    x + A - B x, in the order of ``GATES``; then ``constant_field``.

    In float32: what it loses is less than what the pieces do, and a vector holds twice as many. Off by up to 2e-5 of the largest share of a
    gate, 1e-6 of most.

    Args:
        dt: ms.
    """
    def functions(v):
        value, rate = steady(v)
        share = -np.expm1(-dt * rate)
        return np.concatenate([np.stack([value * share, share], axis=1).reshape(2 * len(GATES), -1), constant_field(v)])

    return aligned(fit(functions, RANGE, PIECES[32], POLYNOMIAL[32]).astype(np.float32))


@lru_cache(maxsize=16)
def published_tables(dt):
    """(2 gates, intervals + 1, 2) A and B of ``kdri`` at the knots of the published table, for linear interpolation of value and share.

    The published code interpolates the steady value and the share; so do users of this: [gate, knot, (value, share)].
    """
    low, high, count = PUBLISHED
    value, rate = steady(np.linspace(low, high, count + 1))
    return np.ascontiguousarray(np.stack([value[2:4], -np.expm1(-dt * rate[2:4])], axis=-1))
