"""Capacitors, contacts and tissue: closed forms, numerical integration, and laws that hold for every network."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from epidura.numerics import course as courses
from epidura.numerics.discharge import Network, Phase, Record

Floats = NDArray[np.float64]
INF = np.inf


def network(seed: int = 0, e: int = 4, bare: int = 0) -> Network:
    """A network with a positive definite tissue; the last ``bare`` electrodes have no capacitor."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(e, e))
    capacity = rng.uniform(2e-6, 20e-6, e)
    capacity[e - bare :] = INF
    return Network(300 * np.eye(e) + 30 * a @ a.T, capacity, rng.uniform(0, 50, e))


def joined(n: Network, duration: float) -> Phase:
    e = len(n.capacity)
    return Phase(duration, held=tuple(range(e)), voltage=np.zeros(e))


def total(record: Record, values: Floats) -> float:
    return float((values * np.diff(record.edges)).sum())


def test_two_contacts_discharge_as_a_resistor_and_a_capacitor() -> None:
    """I = 5 mA for 300 us every 20 ms into R = 1000 ohm through two capacitors of 10 uF: tau = R C / 2, settled."""
    n = Network(np.array([[600.0, 100.0], [100.0, 600.0]]), np.full(2, 10e-6), np.zeros(2))
    current, width, period = 5e-3, 300e-6, 20e-3
    phases = [Phase(width, current=np.array([-current, current])), joined(n, period - width)]
    start, added = n.settled(phases)
    record = n.run(phases, start)
    tau, rest = 1000 * 5e-6, period - width
    after = current * width / (1 - np.exp(-rest / tau))  # charge at the end of the pulse when it comes again and again
    t = record.edges[1:] - width
    np.testing.assert_allclose((start + record.charge[1:])[:, 1], after * np.exp(-t / tau), rtol=1e-12)
    assert start[1] == pytest.approx(after * np.exp(-rest / tau), rel=1e-12)
    assert not added.any()
    # pieces stand for an exponential: their currents are its exact means
    exact = -np.diff(after * np.exp(-t / tau)) / np.diff(t)
    np.testing.assert_allclose(-record.current[1:, 1], exact, rtol=1e-12)
    # the voltage at the start of the pulse: the load and what is left on both capacitors
    assert record.terminals[0, 0, 1] - record.terminals[0, 0, 0] == pytest.approx(5.0 + 2 * start[1] / 10e-6)


def test_a_fibre_is_shown_a_decay_without_edges() -> None:
    """5 mA, 300 us, 1000 ohm and 5 uF: its pieces lie within 1 % of where the exponential begins, those for energies within 6 %."""
    n = Network(np.array([[600.0, 100.0], [100.0, 600.0]]), np.full(2, 10e-6), np.zeros(2))
    phases, tau = [Phase(300e-6, current=np.array([-5e-3, 5e-3])), joined(n, 19.7e-3)], 5e-3
    finely, coarsely = (n.run(phases, finely=finely) for finely in (True, False))
    at = np.linspace(300e-6, 20e-3, 5000, endpoint=False)
    exact = -300e-6 / tau * np.exp(-(at - 300e-6) / tau)
    off = []
    for record in (finely, coarsely):
        held = record.current[np.searchsorted(record.edges, at, side="right") - 1, 1] / 5e-3
        off.append(float(np.abs(held / exact[0] - exact / exact[0]).max()))
        assert record.charge[-1] == pytest.approx(finely.charge[-1], rel=1e-12)
    assert off[0] < 0.01
    assert off[1] > 0.05
    assert np.abs(np.diff(finely.current[1:, 1])).max() < courses.EDGE * np.abs(finely.current[1:, 1]).max()


@pytest.mark.parametrize("bare", [0, 1, 2])
@pytest.mark.parametrize("volts", [0.0, 2.0])
def test_held_terminals_against_small_steps(bare: int, volts: float) -> None:
    n = network(3, 4, bare)
    rng = np.random.default_rng(1)
    charge, voltage = rng.normal(size=4) * 2e-6, volts * np.array([1.0, 0.0, 1.0, 0.0])
    charge[4 - bare :] = 0.0
    record = n.run([Phase(6e-3, held=(0, 1, 2, 3), voltage=voltage)], charge)
    # i from Kirchhoff's laws written out again, classical Runge-Kutta
    whole = np.zeros((5, 5))
    whole[:4, :4], whole[:4, 4], whole[4, :4] = n.series, -1.0, 1.0

    def flow(q: Floats) -> Floats:
        return np.linalg.solve(whole, np.append(voltage - q / n.capacity, 0.0))[:4]

    q, steps = charge.copy(), 6000
    dt = 6e-3 / steps
    heat = 0.0
    for _ in range(steps):
        a = flow(q)
        b = flow(q + 0.5 * dt * a)
        c = flow(q + 0.5 * dt * b)
        d = flow(q + dt * c)
        heat += dt / 6 * sum(w * float(i @ n.series @ i) for w, i in ((1, a), (2, b), (2, c), (1, d)))
        q = q + dt / 6 * (a + 2 * b + 2 * c + d)
    np.testing.assert_allclose(charge + record.charge[-1], q, atol=1e-9 * np.abs(charge).max())
    assert total(record, record.loss) == pytest.approx(heat, rel=1e-5)
    assert np.abs(record.current.sum(axis=1)).max() < 1e-12
    spread = record.terminals[:, :, None, :] - record.terminals[:, :, :, None]
    np.testing.assert_allclose(spread, np.broadcast_to(voltage[None, :] - voltage[:, None], spread.shape), atol=1e-9)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(2, 6), st.integers(0, 1))
def test_energy_is_kept(seed: int, e: int, bare: int) -> None:
    """What the generator gives is heat, or stands on the capacitors."""
    n = network(seed, e, bare)
    rng = np.random.default_rng(seed + 1)
    current = rng.normal(size=e) * 1e-3
    current -= current.mean()
    phases = [Phase(2e-4, current=current), Phase(1e-4), Phase(3e-4, held=tuple(range(e)), voltage=rng.normal(size=e)), joined(n, 5e-3)]
    start = np.where(np.isinf(n.capacity), 0.0, rng.normal(size=e) * 1e-7)
    record = n.run(phases, start)
    end = start + record.charge[-1]
    stored = 0.5 * ((end**2 - start**2) / n.capacity).sum()
    assert total(record, record.power) == pytest.approx(total(record, record.loss) + stored, rel=1e-9, abs=1e-15)
    assert (record.loss >= 0).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
def test_currents_scale_with_the_amplitude(seed: int, factor: float) -> None:
    n = network(seed)
    current = np.array([1e-3, -2e-3, 0.5e-3, 0.5e-3])
    found = []
    for scale in (1.0, factor):
        phases = [Phase(5e-4, current=scale * current), joined(n, 4e-3)]
        start, _ = n.settled(phases)
        found.append((start, n.run(phases, start)))
    np.testing.assert_allclose(found[1][0], factor * found[0][0], rtol=1e-6, atol=1e-12 * factor * 1e-6)
    np.testing.assert_allclose(found[1][1].current, factor * found[0][1].current, rtol=1e-6, atol=1e-9 * factor * 1e-3)


def test_a_settled_cycle_ends_as_it_began() -> None:
    n = network(5, 5, 1)
    current = np.array([-1.0, 0.4, 0.3, 0.3, 0.0]) * 4e-3
    phases = [Phase(1e-3, current=current), Phase(1e-3), Phase(3e-3, held=(0, 1, 2), voltage=np.zeros(3)), joined(n, 1e-3)]
    start, added = n.settled(phases)
    record = n.run(phases, start)
    assert not added.any()
    np.testing.assert_allclose(record.charge[-1][:4], 0.0, atol=1e-9 * np.abs(record.charge).max())


def test_charge_that_nothing_takes_back_is_said() -> None:
    n = network(6)
    current = np.array([-1e-3, 1e-3, 0.0, 0.0])
    start, added = n.settled([Phase(1e-4, current=current), Phase(1e-3)])
    np.testing.assert_allclose(added, current * 1e-4)
    assert np.abs(start).max() < 1e-12  # there is no steady state; the first cycle is taken
    _, added = n.settled([Phase(1e-4, current=current), Phase(1e-4, current=-current), Phase(1e-3)])
    assert not added.any()


def test_electrodes_without_anything_between_them_are_refused() -> None:
    with pytest.raises(ValueError, match="no resistance between"):
        Network(np.zeros((2, 2)), np.full(2, 1e-6), np.zeros(2)).run([Phase(1e-3, held=(0, 1), voltage=np.zeros(2))])
    with pytest.raises(ValueError, match="2 electrodes with impedances of shape"):
        Network(np.eye(3), np.full(2, 1e-6), np.zeros(2))
