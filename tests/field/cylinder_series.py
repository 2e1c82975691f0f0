"""Exact potential of a point source in concentric cylinders, V = 0 on the outermost one and at z = ±half_length.

Sum over cosines along z and around the axis; each term is a radial Green function from modified Bessel functions.
Logarithms and ratios of these keep high orders from overflowing. Lengths in mm, S/m: V is in volt per mA.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import ive, kve

Floats = NDArray[np.float64]
Radial = Callable[[float], tuple[Floats, Floats]]  # radius -> logarithm of the solution, σ times its logarithmic derivative


def _bessel(orders: int, x: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """log I, (log I)', log K, (log K)' of the orders 0 ... orders - 1 at x, each (orders, len(x))."""
    order = np.arange(orders)[:, None]
    up, over = np.empty((orders, len(x))), np.empty((orders, len(x)))  # I[m+1] / I[m] downward, K[m+1] / K[m] upward
    start = max(orders, int(x.max())) + 80
    ratio = x / (2.0 * (start + 1))
    for m in range(start - 1, -1, -1):
        ratio = 1.0 / (2.0 * (m + 1) / x + ratio)
        if m < orders:
            up[m] = ratio
    over[0] = kve(1, x) / kve(0, x)
    for m in range(1, orders):
        over[m] = 2.0 * m / x + 1.0 / over[m - 1]
    zero = np.zeros((1, len(x)))
    log_i = np.log(ive(0, x)) + x + np.vstack((zero, np.cumsum(np.log(up[:-1]), axis=0)))
    log_k = np.log(kve(0, x)) - x + np.vstack((zero, np.cumsum(np.log(over[:-1]), axis=0)))
    return log_i, up + order / x, log_k, order / x - over


def potential(
    r: float, angles: Sequence[float], z: Floats, transverse: Sequence[float], longitudinal: Sequence[float],
    radii: Sequence[float], half_length: float, source: float = 8.0,
) -> Floats:  # fmt: skip
    """V/mA at radius r, (angles in degrees, z), of a source at (``source``, 0, 0); layers from the axis outwards."""
    near, far = max(min(r, source), 1e-3), max(r, source)
    orders = 1 if r == 0 else int(np.log(1e-13) / np.log(near / far)) + 6
    wave = (2 * np.arange(int(30 / (far - near) * half_length / np.pi) + 2) + 1) * np.pi / (2 * half_length)
    edges = [0.0, *radii]

    def layer(index: int, edge: float, known: Floats | None, outward: bool) -> Radial:
        """The solution within a layer that has the flow ratio ``known`` at ``edge``, or is regular at 0 or zero at the end."""
        scale = np.sqrt(longitudinal[index] / transverse[index]) * wave

        def at(radius: float) -> tuple[Floats, Floats, Floats, Floats]:
            """Growing and falling function; those that the marching direction makes grow come first."""
            log_i, d_i, log_k, d_k = _bessel(orders, scale * radius)
            return (log_i, d_i * scale, log_k, d_k * scale) if outward else (log_k, d_k * scale, log_i, d_i * scale)

        log_a = log_b = share = np.zeros(1)
        if edge > 0:
            log_a, d_a, log_b, d_b = at(edge)
            share = -np.ones_like(log_a) if known is None else (d_a - known / transverse[index]) / (known / transverse[index] - d_b)

        def solution(radius: float) -> tuple[Floats, Floats]:
            log_1, d_1, log_2, d_2 = at(radius)
            part = share * np.exp(log_2 - log_b + log_a - log_1) if edge > 0 else np.zeros(1)
            return log_1 + np.log1p(part), transverse[index] * (d_1 + d_2 * part) / (1 + part)

        return solution

    home = next(i for i, (low, high) in enumerate(pairwise(edges)) if low < source < high)
    inside: dict[int, Radial] = {}
    flow: Floats | None = None
    for i in range(home + 1):
        inside[i] = layer(i, edges[i], flow, outward=True)
        flow = inside[i](min(edges[i + 1], source))[1]
    inner, flow = flow, None
    outside: dict[int, Radial] = {}
    for i in range(len(radii) - 1, home - 1, -1):
        outside[i] = layer(i, edges[i + 1], flow, outward=False)
        flow = outside[i](max(edges[i], source))[1]
    assert inner is not None
    assert flow is not None
    place = max(0, next(i for i, high in enumerate(radii) if r <= high))
    path = [*range(place, home), home] if r < source else [*range(place, home, -1), home]
    log_ratio, here = np.zeros(1), max(r, 1e-9)
    for i in path:
        side = inside if r < source else outside
        end = source if i == home else edges[i + 1] if r < source else edges[i]
        log_ratio = log_ratio + side[i](here)[0] - side[i](end)[0]
        here = end
    order = np.arange(orders)
    green = np.exp(log_ratio) / (source * (inner - flow)) * np.where(order == 0, 1.0, 2.0)[:, None] / (2 * np.pi * half_length)
    out: Floats = np.cos(np.outer(np.deg2rad(angles), order)) @ green @ np.cos(np.outer(wave, z))
    return out
