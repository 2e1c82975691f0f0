"""Seeded faults in the circuit, its rates and its events: each must move action potentials away from NEURON's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import gate_reference as gate
import numpy as np
import pytest
from test_zhang_oracle import spike_times

from epidura.numerics import horn, network
from epidura.numerics.network import Member, Network, Neuron, Receptor

Patch = pytest.MonkeyPatch
DURATION, LONG = 500.0, 1000.0  # ms; synapses that act over seconds need the longer one
CONDITIONS = ("none", "none_surrbg")
WITHIN = 0.2  # ms, of NEURON's action potentials


def apart(times: tuple[Any, ...], condition: str, duration: float = DURATION) -> float:
    """ms between a member's action potentials and NEURON's, of the cell that is furthest away; inf if there are more or fewer."""
    worst = 0.0
    for cell, own in zip(gate.CELLS, times, strict=True):
        known = spike_times(condition, cell)
        known = known[known <= duration]
        worst = max(worst, np.abs(own - known).max(initial=0.0) if len(own) == len(known) else np.inf)
    return float(worst)


def worst(changed: Network) -> float:
    """The same over both conditions, of a circuit that may be wrong."""
    found = network.simulate(changed, [gate.condition(name, duration=DURATION) for name in CONDITIONS], DURATION, 0.0125, 2, published=True)
    return max(apart(times, name) for times, name in zip(found.times, CONDITIONS, strict=True))


def test_without_a_fault_all_is_as_in_neuron() -> None:
    assert worst(gate.network()) < 0.03


# Synapses: all at once, a member for each


def pathways() -> dict[tuple[str, str, str], tuple[bool, Any]]:
    """(from, to, receptor): whether they come from fibres, and which connections they are."""
    net = gate.network()
    made: dict[tuple[str, str, str], tuple[bool, list[int]]] = {}
    fibres = ["Abeta local"] * 15 + ["Adelta"] * 15 + ["Abeta surround"] * 15 + ["C"] * 30
    for afferent, wires, names in ((True, net.afferent, fibres), (False, net.links, gate.CELLS)):
        for k, (source, target, receptor) in enumerate(zip(wires.source, wires.target, wires.receptor, strict=True)):
            key = names[source], gate.CELLS[target], net.kinds[net.kind[target]].receptors[receptor].name
            made.setdefault(key, (afferent, []))[1].append(k)
    return made


def test_every_missing_synapse_is_seen() -> None:
    net, members, conditions = gate.network(), [], []
    assert len(pathways()) == 17
    for path, (afferent, which) in pathways().items():
        # only with its background does the surround do anything
        conditions.append("none_surrbg" if "SURR" in path else "none")
        good = gate.condition(conditions[-1], duration=LONG)
        factors = np.ones(len(net.afferent.source if afferent else net.links.source))
        factors[which] = 0.0
        members.append(Member(good.times, good.fibre, factors if afferent else None, None if afferent else factors))
    found = network.simulate(net, members, LONG, 0.0125, 2, published=True)
    for path, times, condition in zip(pathways(), found.times, conditions, strict=True):
        seen = apart(times, condition, LONG)
        print(path, seen)
        assert seen > WITHIN, path


# The cells


def kinds(change: Callable[[Neuron], Neuron]) -> Network:
    return replace(gate.network(), kinds=tuple(change(kind) for kind in gate.network().kinds))


def channel(name: str, change: Callable[[Any], dict[str, Any]]) -> Network:
    return kinds(lambda kind: replace(kind, channels=tuple(replace(c, **change(c)) if c.name == name else c for c in kind.channels)))


def receptor(name: str, change: Callable[[Receptor], dict[str, Any]]) -> Network:
    return kinds(lambda kind: replace(kind, receptors=tuple(replace(r, **change(r)) if r.name == name else r for r in kind.receptors)))


def pool(change: Callable[[Any], dict[str, Any]]) -> Network:
    return kinds(lambda kind: kind if kind.pool is None else replace(kind, pool=replace(kind.pool, **change(kind.pool))))


def delayed(of: str, ms: float) -> Network:
    wires = getattr(gate.network(), of)
    return replace(gate.network(), **{of: replace(wires, delay=wires.delay + ms)})


NETWORKS: dict[str, Callable[[], Network]] = {
    "reversal of GABA-A flipped": lambda: receptor("gaba-a", lambda r: {"reversal": -r.reversal}),
    "reversal of glycine flipped": lambda: receptor("glycine", lambda r: {"reversal": -r.reversal}),
    "reversal of GABA-A -75 mV": lambda: receptor("gaba-a", lambda r: {"reversal": -75.0}),
    "reversal of sodium -60 mV": lambda: channel("na", lambda c: {"reversal": -c.reversal}),
    "reversal of potassium of the hillock -70 mV": lambda: channel("k-hh2", lambda c: {"reversal": np.full(len(c.reversal), -70.0)}),
    "reversal of the calcium-activated cation channel -20 mV": lambda: channel("caan", lambda c: {"reversal": c.reversal - 20.0}),
    "no persistent sodium": lambda: channel("nap", lambda c: {"conductance": 0 * c.conductance}),
    "no calcium channel": lambda: channel("cal", lambda c: {"conductance": 0 * c.conductance}),
    "permeability in S/cm2": lambda: channel("cal", lambda c: {"conductance": 1e-2 * c.conductance}),
    "calcium-activated potassium doubled": lambda: channel("kca", lambda c: {"conductance": 2 * c.conductance}),
    "sodium a tenth less": lambda: channel("na-hh2", lambda c: {"conductance": 0.9 * c.conductance}),
    "magnesium does not block": lambda: receptor("nmda", lambda r: {"blocked": False}),
    "decay of GABA-A that of glycine": lambda: receptor("gaba-a", lambda r: {"decay": 10.0}),
    "no calcium through synapses": lambda: receptor("nmda", lambda r: {"calcium": 0.0}),
    "calcium a thousandth: M for mM": lambda: pool(lambda p: {"area": 1e3 * p.area}),
    "calcium tenfold": lambda: pool(lambda p: {"area": 0.1 * p.area}),
    "calcium halved: valence forgotten": lambda: pool(lambda p: {"area": 2.0 * p.area}),
    "pool of the soma like that of the dendrite": lambda: pool(lambda p: {"decay": np.full(len(p.decay), 2.0)}),
    "delay of cells 2 ms": lambda: delayed("links", 1.0),
    "delay of fibres 1 ms": lambda: delayed("afferent", 1.0),
    "axial resistance doubled": lambda: kinds(lambda kind: replace(kind, axial=0.5 * kind.axial)),
    "capacitance a tenth more": lambda: kinds(lambda kind: replace(kind, capacitance=1.1 * kind.capacitance)),
    "axon of the projection cell leaks": lambda: kinds(
        lambda kind: replace(kind, leak=np.where(kind.leak == 0, 1e-2 * 4.2e-5 * 1e5 * kind.capacitance, kind.leak))),
    "synapses at the next compartment": lambda: kinds(lambda kind: replace(kind, site=kind.site + 1)),
    "starts at -70 mV": lambda: kinds(lambda kind: replace(kind, starts=-70.0)),
    "fires at +30 mV": lambda: kinds(lambda kind: replace(kind, fires=30.0)),
}


@pytest.mark.parametrize("fault", NETWORKS)
def test_a_wrong_circuit_is_seen(fault: str) -> None:
    seen = worst(NETWORKS[fault]())
    print(f"{fault}: {seen:.3f} ms")
    assert seen > WITHIN


# The rates and the events


@pytest.fixture
def rates(monkeypatch: Patch) -> Iterator[Patch]:
    """Patches of ``horn`` that the kept tables do not outlive."""
    with monkeypatch.context() as patch:
        horn.tables.cache_clear()
        horn.published_tables.cache_clear()
        yield patch
    horn.tables.cache_clear()
    horn.published_tables.cache_clear()


def _gate(index: int, value: Callable[[Any], Any] = lambda x: x, rate: Callable[[Any], Any] = lambda x: x,
          shift: float = 0.0) -> Callable[[Patch], None]:
    def fault(patch: Patch) -> None:
        real = horn.steady

        def wrong(v: Any) -> Any:
            values, speeds = real(v)
            others = real(np.asarray(v) + shift)
            values[index], speeds[index] = value(others[0][index]), rate(others[1][index])
            return values, speeds

        patch.setattr(horn, "steady", wrong)

    return fault


def _pool_factor(factor: float) -> Callable[[Patch], None]:
    def fault(patch: Patch) -> None:
        real = network._cable

        def wrong(neuron: Neuron, dt: float) -> Any:
            cable = real(neuron, dt)
            return cable._replace(pool_gains=factor * cable.pool_gains)

        patch.setattr(network, "_cable", wrong)

    return fault


def _swapped(index: int, other: int) -> Callable[[Patch], None]:
    def fault(patch: Patch) -> None:
        real = horn.steady

        def wrong(v: Any) -> Any:
            values, speeds = real(v)
            order = np.arange(len(values))
            order[[index, other]] = other, index
            return values[order], speeds[order]

        patch.setattr(horn, "steady", wrong)

    return fault


def _no_depression(patch: Patch) -> None:
    # a hundredfold stronger one: what is there is trivial
    patch.setattr(network, "weakened", lambda times, fibre, depression: np.full(len(times), 0.99))


RATES: dict[str, Callable[[Patch], None]] = {
    "temperature factor of sodium forgotten": _gate(0, rate=lambda x: x / 3.0**1.3),
    "steady value of sodium's h from its rates": _gate(1, shift=-11.0),
    "KDRI n 1 mV off": _gate(2, shift=1.0),
    "KDRI h always open": _gate(3, value=lambda x: 0 * x + 1.0),
    "m of HH2 from v - 55": _gate(4, shift=-2.0),
    "closing of HH2 twice as fast": _gate(5, rate=lambda x: 2 * x),
    "n of HH2 a tenth faster": _gate(6, rate=lambda x: 1.1 * x),
    "h of persistent sodium that of HH2": _gate(8, shift=3.0),
    "m of the calcium channel 5 mV off": _gate(9, shift=5.0),
    "m and h of HH2 swapped": _swapped(4, 5),
    "weights without the peak": lambda patch: patch.setattr(network, "peak", lambda rise, decay: 1.0),
    "events a hundredth too weak": _no_depression,
    "calcium a thousandfold: uA for mA": _pool_factor(1e3),
    "area in cm2 for um2": _pool_factor(1e-8),
}


@pytest.mark.parametrize("fault", RATES)
def test_a_wrong_rate_is_seen(fault: str, rates: Patch) -> None:
    RATES[fault](rates)
    seen = worst(gate.network())
    print(f"{fault}: {seen:.3f} ms")
    assert seen > WITHIN


def test_the_exact_rates_are_told_from_the_published_table() -> None:
    found = network.simulate(gate.network(), [gate.condition("none", duration=DURATION)], DURATION, 0.0125)
    assert apart(found.times[0], "none") > WITHIN
