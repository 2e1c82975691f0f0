"""The double cable written out plainly, to check the fast kernel: every compartment of the fibre is an unknown.

Nothing is eliminated: each step solves one banded system for the intracellular and the periaxonal potentials of all
compartments, in absolute mV, with the channels as they were at the start of the step; then the gates follow the new
voltage. That is NEURON's fixed step (backward Euler, ``secondorder = 0``) with its mechanisms for McIntyre, Richardson and
Grill (2002). The first and the last node are passive and have no axial path. Fibres with channels under the myelin have those, too (their rates are
those of ``kinetics``; NEURON's own are in ``benchmarks/membranes.py``). Slow; only tests use it.

Units: mV, ms, nA, uS, nF inside; V/A, A and s at the door.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded

from epidura.numerics.cable import ActiveCable, Cable
from epidura.numerics.kinetics import Mrg, Sensory, sensory_rates

Floats = NDArray[np.float64]

REST = -80.0  # mV, reversal of every passive membrane
PERIOD = 11  # compartments from one node to the next
PASSIVE = 0.05  # 1/ms, conductance over capacitance of the end nodes; nothing depends on it
SETTLE, SETTLE_DT = 40, 5.0  # steps and ms of rest before the stimulus


def rates(v: Floats, q: tuple[float, float, float]) -> tuple[Floats, Floats]:
    """Opening and closing rates (4, n) of the gates m, p, h, s at v (n,) mV, 1/ms."""

    def linoid(x: Floats) -> Floats:
        small = np.abs(x) < 1e-7
        return np.where(small, 1.0 + x / 2, x / -np.expm1(-np.where(small, 1.0, x)))

    def sigmoid(x: Floats) -> Floats:
        return np.asarray(1.0 / (1.0 + np.exp(-x)))

    fast, inactivation, slow = q
    opening = (fast * 1.86 * 10.3 * linoid((v + 21.4) / 10.3), fast * 0.01 * 10.2 * linoid((v + 27.0) / 10.2),
               inactivation * 0.062 * 11.0 * linoid(-(v + 114.0) / 11.0), slow * 0.3 * sigmoid((v + 53.0) / 5.0))
    closing = (fast * 0.086 * 9.16 * linoid(-(v + 25.7) / 9.16), fast * 0.00025 * 10.0 * linoid(-(v + 34.0) / 10.0),
               inactivation * 2.3 * sigmoid((v + 31.8) / 13.4), slow * 0.03 * sigmoid(v + 90.0))
    return np.array(opening), np.array(closing)


def _q(membrane: Mrg | Sensory) -> tuple[float, float, float]:
    return membrane.q_m, membrane.q_h, membrane.q_s


class _Fibre:
    """State and matrices of one fibre: v (C,) across the axolemma, w (C,) across the myelin, gates (4, nodes)."""

    membrane: Any

    def __init__(self, cable: Cable, nodes: int):
        self.membrane, self.size = cable.membrane, PERIOD * (nodes - 1) + 1
        self.node = np.arange(0, self.size, PERIOD)
        inside = np.setdiff1d(np.arange(self.size), self.node)
        self.c, self.g, self.c_myelin, self.g_myelin = np.zeros((4, self.size))
        for target, values in ((self.c, cable.c_axolemma), (self.g, cable.g_axolemma), (self.c_myelin, cable.c_myelin),
                               (self.g_myelin, cable.g_myelin)):
            target[inside] = np.tile(values[0], nodes - 1)
        self.c[self.node] = cable.c_node[0]
        self.axial, self.periaxonal = np.tile(cable.g_axial[0], nodes - 1), np.tile(cable.g_periaxonal[0], nodes - 1)
        self.axial[[0, -1]] = 0.0
        self.v, self.w = np.full(self.size, REST), np.zeros(self.size)
        self.gates = self.follow(np.inf)

    def follow(self, dt: float) -> Floats:
        """Gates dt ms on."""
        opening, closing = rates(self.v[self.node], _q(self.membrane))
        target = opening / (opening + closing)
        return np.asarray(target if np.isinf(dt) else target + (self.gates - target) * np.exp(-dt * (opening + closing)))

    def nodal(self) -> tuple[Floats, Floats]:
        """(nodes,) conductance over capacitance, and the same times reversal relative to rest."""
        own, (m, p, h, s) = self.membrane, self.gates
        sodium, potassium = own.g_naf * m**3 * h + own.g_nap * p**3, own.g_k * s
        return sodium + potassium + own.g_l, sodium * own.e_na + potassium * own.e_k + own.g_l * own.e_l

    def between(self) -> tuple[Floats, Floats]:
        """(C,) conductance of the axolemma between the nodes in uS, and the same times reversal in mV."""
        return self.g.copy(), self.g * REST

    def step(self, outside: Floats, dt: float) -> None:
        """Advance by dt ms with the outside potentials (C,) in mV held."""
        g, pull = self.between()
        channels, current = self.nodal()
        channels[[0, -1]], current[[0, -1]] = PASSIVE, 0.0
        g[self.node] = channels * self.c[self.node]
        pull[self.node] = (current + channels * REST) * self.c[self.node]
        membrane, myelin, start = g + self.c / dt, self.g_myelin + self.c_myelin / dt, pull + self.c / dt * self.v
        # unknowns: inner and periaxonal potential of the first compartment, of the second, ...; upper bands for solveh_banded
        bands, right = np.zeros((3, 2 * self.size)), np.zeros(2 * self.size)
        for along, first in ((self.axial, 0), (self.periaxonal, 1)):
            bands[2, first::2] = np.append(along, 0.0) + np.append(0.0, along)
            bands[0, first + 2 :: 2] = -along
        bands[2, ::2] += membrane
        bands[2, 1::2] += membrane + myelin
        bands[1, 1::2] = -membrane
        right[::2], right[1::2] = start, -start + myelin * outside + self.c_myelin / dt * self.w
        # the periaxonal space of a node is the outside itself: known, so it moves to the right-hand side
        known, e = 2 * self.node + 1, outside[self.node]
        right[known - 1] += membrane[self.node] * e
        right[known[:-1] + 2] += self.periaxonal[::PERIOD] * e[:-1]
        right[known[1:] - 2] += self.periaxonal[PERIOD - 1 :: PERIOD] * e[1:]
        bands[0, known[1:]] = bands[0, known[:-1] + 2] = bands[1, known] = 0.0
        bands[2, known], right[known] = 1.0, e
        found = solveh_banded(bands, right)
        # in a node only the part of c dv/dt that sees w = 0 is left
        self.v, self.w = found[::2] - found[1::2], found[1::2] - outside
        self.gates = self.follow(dt)


class _Sensory(_Fibre):
    """The same with channels under the myelin: gates m, p, h, s, n, q of every compartment, (6, C)."""

    def follow(self, dt: float) -> Floats:
        opening, closing = sensory_rates(_q(self.membrane), self.v)
        target = opening / (opening + closing)
        return np.asarray(target if np.isinf(dt) else target + (self.gates - target) * np.exp(-dt * (opening + closing)))

    def nodal(self) -> tuple[Floats, Floats]:
        own, (m, p, h, s, n, _) = self.membrane, self.gates[:, self.node]
        sodium, potassium = own.g_naf * m**3 * h + own.g_nap * p**3, own.g_s * s + own.g_n * n**4
        return sodium + potassium + own.g_l, sodium * own.e_na + potassium * own.e_k + own.g_l * own.e_l

    def between(self) -> tuple[Floats, Floats]:
        own, (_, _, _, s, n, q) = self.membrane, self.gates
        beside = np.isin(np.arange(self.size) % PERIOD, (1, PERIOD - 1))
        potassium = own.under_s * s + np.where(beside, own.mysa_n, own.under_n) * n**4
        inward, leak = own.under_q * q, np.where(beside, own.mysa_l, own.under_l)
        total = potassium + inward + leak
        current = potassium * own.e_k + inward * own.e_q + leak * own.under_e_l
        return total * self.c, (current + total * REST) * self.c


def run(cable: Cable, nodes: int, outside: Floats, samples: Floats, dt: float, amplitude: float, steps: int) -> Floats:
    """Voltage across the membrane of every node after each step.

    Args:
        cable: of one fibre (f = 1).
        nodes: number of nodes N.
        outside: (11 (N - 1) + 1,) V/A; a constant on top of all changes nothing.
        samples: course, one value per step, 0 after its end.
        dt: s.
        amplitude: A.
        steps: how many.

    Returns:
        (steps, N) mV.
    """
    fibre = _Sensory(cable, nodes) if isinstance(cable, ActiveCable) else _Fibre(cable, nodes)
    for _ in range(SETTLE):
        fibre.step(np.zeros(fibre.size), SETTLE_DT)
    course = np.zeros(steps)
    course[: len(samples)] = samples[:steps]
    result = np.empty((steps, nodes))
    for k in range(steps):
        fibre.step(1e3 * amplitude * course[k] * outside, 1e3 * dt)
        result[k] = fibre.v[fibre.node]
    return result
