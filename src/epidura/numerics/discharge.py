"""Contacts, the capacitors in front of them and the tissue between them: exact currents and voltages of a generator's phases.

Each electrode e has a capacitor C_e and a resistor r_e in series, the tissue is the matrix Z of volts per ampere. With q the charges that have
passed (+ into tissue) the generator's side of an electrode is at

    u = (Z + r) i + q / C,        i = dq/dt,        sum of i = 0.

While currents are given this is u itself. While electrodes are held V apart, or joined (V = 0), i = P (V - q / C), where P is (Z + r)^-1
with the common level taken out; i then decays along the eigenvectors of P / C, each mode with its own time constant. Nothing is
stepped. Units: ohm, F, s, A, V.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FIRST, GROWTH = 0.125, 1.25
"""Pieces of a decay: the first one in its shortest time constant, and how much longer each next one is."""

FINELY = 1 / 256, 1.005
"""The same where a fibre is shown the decay: no piece differs from the last one by as much as an edge, not even in the small difference between two
contacts that discharge each at its own speed."""


@dataclass(frozen=True)
class Phase:
    """What the generator does for some time.

    Attributes:
        duration: s.
        current: (electrodes,) A that are forced; None: terminals are held.
        held: electrodes whose terminals are held, by place; the others carry nothing.
        voltage: (held,) V of their terminals against each other; zeros: joined.
    """

    duration: float
    current: Floats | None = None
    held: tuple[int, ...] = ()
    voltage: Floats | None = None


@dataclass(frozen=True)
class Record:
    """What a run of phases did, in pieces.

    Attributes:
        edges: (k + 1,) s from the start.
        current: (k, e) mean current of each piece, + into tissue, A: their products with the durations are the exact charges.
        charge: (k + 1, e) that has passed since the start, on top of what was there, C.
        terminals: (k, 2, e) V at the generator's side of each electrode at the start and at the end of a piece; nan where it is left open.
        power: (k,) mean power that the generator puts into its terminals, W (negative: taken back).
        loss: (k,) mean power that becomes heat in tissue and series resistors, W.
        phase: (k,) index of the phase.
    """

    edges: Floats
    current: Floats
    charge: Floats
    terminals: Floats
    power: Floats
    loss: Floats
    phase: NDArray[np.int64]


class Network:
    """Electrodes with what is between them.

    Args:
        impedance: (e, e) ohm, of the tissue; a far return has a row and a column of zeros.
        capacity: (e,) F in series with each; inf: none.
        resistance: (e,) ohm in series with each, of wires and switches.

    Raises:
        ValueError: shapes that do not fit, or electrodes without any resistance between them.
    """

    def __init__(self, impedance: Floats, capacity: Floats, resistance: Floats):
        e = len(capacity)
        if impedance.shape != (e, e) or resistance.shape != (e,) or e < 2 or not (capacity > 0).all() or not (resistance >= 0).all():
            raise ValueError(f"{e} electrodes with impedances of shape {impedance.shape} and resistances of shape {resistance.shape}")
        self.capacity, self.series, self.elastance = capacity, impedance + np.diag(resistance), 1.0 / capacity
        self.part = cache(self._part)

    def _part(self, held: tuple[int, ...]) -> _Held:
        return _Held(self.series[np.ix_(held, held)], self.elastance[list(held)])

    def run(self, phases: Sequence[Phase], start: Floats | None = None, finely: bool = False) -> Record:
        """The phases one after the other, from the charges ``start`` (e,) on, 0 without; ``finely`` in pieces as fibres want them."""
        e = len(self.capacity)
        zero = np.zeros(e) if start is None else start
        edges, charge = [0.0], [np.zeros(e)]
        current, terminals, power, loss, place = [], [], [], [], []
        for index, phase in enumerate(phases):
            if not phase.duration > 0:
                continue
            q, t0 = charge[-1], edges[-1]
            if phase.current is not None:
                i = phase.current
                after = q + i * phase.duration
                ends = np.stack([self.series @ i + (zero + x) * self.elastance for x in (q, after)])
                edges.append(t0 + phase.duration)
                current.append(i)
                charge.append(after)
                terminals.append(np.where(i != 0, ends, np.nan))
                power.append(float(ends.mean(axis=0) @ i))
                loss.append(float(i @ self.series @ i))
                place.append(index)
                continue
            which = list(phase.held)
            part = self.part(phase.held) if which else None
            if part is None:
                edges.append(t0 + phase.duration)
                current.append(np.zeros(e))
                charge.append(q)
                terminals.append(np.full((2, e), np.nan))
                power.append(0.0)
                loss.append(0.0)
                place.append(index)
                continue
            assert phase.voltage is not None
            at = part.pieces(phase.duration, *(FINELY if finely else (FIRST, GROWTH)))
            passed, level, heat = part.follow((zero + q)[which], phase.voltage, at)
            for k in range(1, len(at)):
                after = q.copy()
                after[which] += passed[k]
                length = at[k] - at[k - 1]
                mean = (after - charge[-1]) / length
                ends = np.full((2, e), np.nan)
                ends[:, which] = level[k - 1 : k + 1, None] + phase.voltage
                edges.append(t0 + at[k])
                current.append(mean)
                charge.append(after)
                terminals.append(ends)
                power.append(float(phase.voltage @ mean[which]))
                loss.append(float(heat[k] - heat[k - 1]) / length)
                place.append(index)
        return Record(np.array(edges), np.array(current).reshape(-1, e), np.array(charge), np.array(terminals).reshape(-1, 2, e), np.array(power),
                      np.array(loss), np.array(place, dtype=np.int64))

    def settled(self, phases: Sequence[Phase]) -> tuple[Floats, Floats]:
        """Charges (e,) on the capacitors at the start of a cycle that repeats itself, and what (e,) is added in every cycle all the same, C.

        The second is not 0 where nothing takes a charge back: it grows until the generator cannot drive it any more.
        """
        e = len(self.capacity)

        def end(start: Floats) -> Floats:
            return start + self.run(phases, start).charge[-1]

        none = np.zeros(e)
        constant = end(none)
        with_one = np.flatnonzero(self.elastance > 0)  # only capacitors remember
        if not with_one.size:
            return none, constant
        unit = float(np.abs(constant).max()) or 1.0
        change = np.stack([(end(unit * np.eye(e)[k]) - constant)[with_one] / unit for k in with_one], axis=1)
        # what nothing discharges keeps its charge: there change is 1, and rounding must not be taken for a discharge
        u, size, v = np.linalg.svd(np.eye(with_one.size) - change)
        inverse = np.divide(1.0, size, out=np.zeros_like(size), where=size > 1e-9)
        found = v.T @ (inverse * (u.T @ constant[with_one]))
        start = none.copy()
        start[with_one] = found
        added = end(start) - start
        added[np.abs(added) < 1e-9 * unit] = 0.0
        return start, added


class _Held:
    """Electrodes whose terminals are held against each other: the modes along which their currents decay."""

    def __init__(self, series: Floats, elastance: Floats):
        e = len(elastance)
        # i and the common level v: series i - v 1 = drive, sum of i = 0
        whole = np.zeros((e + 1, e + 1))
        whole[:e, :e], whole[:e, e], whole[e, :e] = series, -1.0, 1.0
        if e < 2 or not np.linalg.cond(_scaled(whole)) < 1e12:
            raise ValueError("there is no resistance between electrodes that are joined")
        solved = np.linalg.inv(whole)
        self.series, self.elastance = series, elastance
        self.conductance, self.common = solved[:e, :e], solved[e, :e]
        self.root = np.sqrt(elastance)
        rates, self.shapes = np.linalg.eigh(self.root[:, None] * (0.5 * (self.conductance + self.conductance.T)) * self.root)
        self.rates = np.where(rates > 1e-12 * rates.max(initial=0.0), rates, 0.0)

    def pieces(self, duration: float, begin: float = FIRST, growth: float = GROWTH) -> Floats:
        """Edges from 0 to the duration, close together while the current changes fast; see ``FIRST``."""
        if not (self.rates > 0).any():
            return np.array([0.0, duration])
        first = begin / self.rates.max()
        count = max(1, int(np.ceil(np.log1p(duration / first * (growth - 1)) / np.log(growth))))
        at = np.cumsum(growth ** np.arange(count))
        return np.concatenate([[0.0], at / at[-1] * duration])

    def follow(self, charge: Floats, voltage: Floats, time: Floats) -> tuple[Floats, Floats, Floats]:
        """At ``time`` (t,) s: charges (t, e) that have passed, the common level (t,) V of the terminals, and (t,) J of heat so far."""
        begin = self.conductance @ (voltage - charge * self.elastance)
        a = self.shapes.T @ (self.root * begin)
        t = np.asarray(time, float)[:, None]
        safe = np.where(self.rates > 0, self.rates, 1.0)
        once = np.where(self.rates > 0, -np.expm1(-self.rates * t) / safe, t)
        twice = np.where(self.rates > 0, (t - once) / safe, 0.5 * t**2)
        # by how much the capacitors' voltages have risen, and the integral of it
        rise, area = ((weight * a) @ self.shapes.T * self.root for weight in (once, twice))
        passed = begin * t - area @ self.conductance.T
        # v of series i - v 1 = V - (q + passed) / C
        level = (voltage - charge * self.elastance - rise) @ self.common
        # what the terminals supply less what the capacitors keep
        kept = 0.5 * ((charge + passed) ** 2 - charge**2) @ self.elastance
        return passed, level, passed @ voltage - kept


def _scaled(whole: Floats) -> Floats:
    """The same system in units in which the largest resistance is 1."""
    top = np.abs(whole[:-1, :-1]).max()
    out = whole.copy()
    out[:-1, :-1] /= top if top > 0 else 1.0
    return out
