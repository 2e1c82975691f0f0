"""The population gate that grows out of the published one: receptive fields, populations, synapses with memory, a second path.

Every addition is a step from one wiring to the next, with a switch of its own; with all switches off the wiring is that of ``zhang-2014``.
Their numbers and sources are in data/horn_population.csv, what each changes in docs/gate-population.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from epidura.circuit.base import Circuit, Fibre, Wiring
from epidura.circuit.zhang_2014 import Zhang2014
from epidura.numerics.network import Connections, Depression, Presynaptic, Receptor, peak
from epidura.tables import Number, table

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

ADDITIONS = ("nociceptive_path", "populations", "gaba_b", "presynaptic", "depression")
"""In the order in which they are made."""

SIZES = {"SG": "local cells", "SURR": "surround cells", "EX": "excitatory cells", "WDR": "projection cells", "NS": "projection cells"}
GRADED = ("SG", "SURR")
"""Populations whose neurons have fields of different size: a stronger stimulus makes more of them fire."""

NOCICEPTIVE = "NS"


class DorsalHorn(Circuit):
    """The published four neurons as populations over a patch of skin, with what they leave out.

    Attributes:
        populations: several neurons of each kind with receptive fields of their own among five times as many fibres, so that amplitude
            grades inhibition. Total weights onto a neuron stay the published ones.
        depression: events of A fibres are weakened by those before them.
        gaba_b: GABA also opens slow potassium channels.
        presynaptic: inhibitory neurons weaken the terminals of the large fibres of their own field.
        nociceptive_path: projection neurons without touch input (NS), inhibited as the others are.
        seed: of where on the skin each fibre ends.
    """

    kind: Literal["dorsal-horn"] = "dorsal-horn"
    populations: bool = True
    depression: bool = True
    gaba_b: bool = True
    presynaptic: bool = True
    nociceptive_path: bool = True
    seed: int = Field(1, ge=0)

    def wiring(self) -> Wiring:
        made = Zhang2014().wiring()
        for name in ADDITIONS:
            if getattr(self, name):
                made = STEPS[name](made, self.seed)
        return made

    def numbers(self) -> tuple[Number, ...]:
        rows = table("horn_population")
        own = tuple(rows.number(f"{row['addition'].replace('_', ' ')}: {row['quantity']}", "value", row["unit"], addition=row["addition"],
                                quantity=row["quantity"]) for row in rows if getattr(self, row["addition"]))
        return (*Zhang2014().numbers(), *own)


def _value(addition: str, quantity: str) -> float:
    return float(table("horn_population").row(addition=addition, quantity=quantity)["value"])


def with_nociceptive(made: Wiring, seed: int = 0) -> Wiring:
    """A second projection neuron beside the wide-dynamic-range one: of its kind and with its synapses, save those of large fibres."""
    net, wdr = made.network, made.cells.index("WDR")
    large = [number for fibre in made.fibres if fibre.target for number in fibre.members]
    fibres = np.flatnonzero((net.afferent.target == wdr) & ~np.isin(net.afferent.source, large))
    links = np.flatnonzero(net.links.target == wdr)
    # from the neurons of large fibres it is inhibited by a share of what inhibits the other
    share = _value("nociceptive_path", "inhibition from large fibres")
    weaker = np.where([bool(made.inhibitory[k]) for k in links], share, 1.0)
    new = len(made.cells)
    own = replace(_picked(net.afferent, fibres), target=np.full(fibres.size, new))
    linked = replace(_picked(net.links, links), target=np.full(links.size, new), weight=net.links.weight[links] * weaker)
    network = replace(net, kind=np.append(net.kind, net.kind[wdr]), afferent=_joined(net.afferent, own), links=_joined(net.links, linked))
    return Wiring(network, made.fibres, (*made.cells, NOCICEPTIVE), (*made.projection, NOCICEPTIVE),
                  made.inhibitory + tuple(made.inhibitory[k] for k in links))


def populated(made: Wiring, seed: int) -> Wiring:
    """Every neuron as a population with receptive fields; weights between neurons are divided by the number of sources.

    The skin of a class of fibres is a ring, so that no neuron lies at an edge. A field is a stretch of it, the centres of a population lie
    evenly. Fibres are numbered without order on the skin: what decides at which amplitude one fires is its size and place in the cord.
    """
    net = made.network
    more = round(1.0 / _value("populations", "convergence"))
    copies = [round(_value("populations", SIZES[name])) for name in made.cells]
    first = np.concatenate([[0], np.cumsum(copies)])
    fibres, begins = [], 0
    for fibre in made.fibres:
        fibres.append(replace(fibre, first=begins, count=more * fibre.count))
        begins += more * fibre.count
    rng = np.random.default_rng(seed)
    places = [rng.permutation(fibre.count) for fibre in fibres]
    afferent = net.afferent
    rows: list[tuple[Ints, int, int]] = []  # (fibres of the field, copy, row of the core that the synapses are like)
    for k, (old, new, place) in enumerate(zip(made.fibres, fibres, places, strict=True)):
        alike = np.flatnonzero(np.isin(afferent.source, old.members))
        for cell, receptor in sorted({(int(afferent.target[i]), int(afferent.receptor[i])) for i in alike}):
            like = int(alike[(afferent.target[alike] == cell) & (afferent.receptor[alike] == receptor)][0])
            for copy, size in enumerate(_fields(made.cells[cell], copies[cell], old.count)):
                rows.append((new.first + _field(place, (copy + k / len(fibres)) / copies[cell], size), int(first[cell]) + copy, like))
    sizes = [len(field) for field, _, _ in rows]
    spread = replace(_picked(afferent, np.repeat([row for _, _, row in rows], sizes)), source=np.concatenate([field for field, _, _ in rows]),
                     target=np.repeat([copy for _, copy, _ in rows], sizes))
    pairs = [(k, a, b) for k in range(len(net.links.source)) for a in range(copies[net.links.source[k]]) for b in range(copies[net.links.target[k]])]
    which, a, b = (np.array(column) for column in zip(*pairs, strict=True))
    links = _picked(net.links, which)
    share = np.array(copies)[links.source]
    links = replace(links, source=first[links.source] + a, target=first[links.target] + b, weight=links.weight / share)
    depression = net.depression and Depression(*(np.concatenate([np.resize(values[f.first : f.first + f.count], more * f.count) for f in made.fibres])
                                                 for values in (net.depression.use, net.depression.recovery)))
    network = replace(net, kind=np.repeat(net.kind, copies), fibres=begins, afferent=spread, links=links, depression=depression)
    cells = tuple(name for name, count in zip(made.cells, copies, strict=True) for _ in range(count))
    return Wiring(network, tuple(fibres), cells, made.projection, tuple(made.inhibitory[k] for k in which))


def _fields(name: str, copies: int, fibres: int) -> Ints:
    """(copies,) number of fibres that reach each neuron of a population; their mean is that of the core."""
    if name not in GRADED:
        return np.full(copies, fibres)
    smallest = _value("populations", "smallest field")
    return np.round(fibres * np.linspace(smallest, 2.0 - smallest, copies)).astype(np.int64)


def _field(place: Ints, centre: float, size: int) -> Ints:
    """(size,) the fibres whose place on the ring is nearest to the centre (a share of the ring), in order."""
    apart = np.abs((place / len(place) - centre + 0.5) % 1.0 - 0.5)
    return np.sort(np.argsort(apart, kind="stable")[:size])


def with_gaba_b(made: Wiring, seed: int = 0) -> Wiring:
    """Beside every GABA-A synapse between neurons a slow one, whose mean at some rate of its source is a share of the other's peak."""
    net = made.network
    rise, decay, reversal, share, rate = (_value("gaba_b", quantity) for quantity in ("rise", "decay", "reversal", "share", "full rate"))
    slow = Receptor("gaba-b", rise, decay, reversal)
    # an event of peak 1 has the area peak (decay - rise) in ms
    event = share / (rate * 1e-3 * peak(rise, decay) * (decay - rise))
    kinds = tuple(replace(kind, receptors=(*kind.receptors, slow)) if _has(kind.receptors, "gaba-a") else kind for kind in net.kinds)
    beside = [k for k, (target, receptor) in enumerate(zip(net.links.target, net.links.receptor, strict=True))
              if net.kinds[net.kind[target]].receptors[receptor].name == "gaba-a"]
    own = _picked(net.links, np.array(beside))
    receptor = np.array([len(net.kinds[net.kind[target]].receptors) for target in own.target])
    own = replace(own, receptor=receptor, weight=own.weight * event)
    network = replace(net, kinds=kinds, links=_joined(net.links, own))
    return replace(made, network=network, inhibitory=made.inhibitory + tuple(made.inhibitory[k] for k in beside))


def _has(receptors: tuple[Receptor, ...], name: str) -> bool:
    return any(receptor.name == name for receptor in receptors)


def with_presynaptic(made: Wiring, seed: int = 0) -> Wiring:
    """Terminals of the large fibres are weakened by the inhibitory neurons that these fibres drive."""
    net = made.network
    terminal, sources, terminals = net.afferent.terminal.copy(), [], []
    for index, fibre in enumerate(_large(made)):
        own = np.isin(net.afferent.source, fibre.members)
        terminal[own] = index
        driven = [k for k in sorted({int(target) for target in net.afferent.target[own]}) if made.cells[k] in GRADED]
        sources += driven
        terminals += [index] * len(driven)
    counts = np.bincount(terminals)
    size, rise, decay, delay = (_value("presynaptic", quantity) for quantity in ("size", "rise", "decay", "delay"))
    inhibition = Presynaptic(np.array(sources), np.array(terminals), size / counts[terminals], np.full(len(sources), delay),
                             np.full(len(counts), rise), np.full(len(counts), decay))
    return replace(made, network=replace(net, afferent=replace(net.afferent, terminal=terminal), presynaptic=inhibition))


def with_depression(made: Wiring, seed: int = 0) -> Wiring:
    """Synapses of A fibres run down; those of C fibres stay as they are."""
    net = made.network
    use, recovery = (np.ones(net.fibres), np.full(net.fibres, 1e-9)) if net.depression is None else (
        net.depression.use.copy(), net.depression.recovery.copy())
    for fibre in made.fibres:
        if fibre.name.startswith("A"):
            members = slice(fibre.first, fibre.first + fibre.count)
            use[members], recovery[members] = _value("depression", "use"), _value("depression", "recovery")
    return replace(made, network=replace(net, depression=Depression(use, recovery)))


def _large(made: Wiring) -> Iterator[Fibre]:
    """Classes of fibres that a lead drives."""
    return (fibre for fibre in made.fibres if fibre.target)


def _picked(connections: Connections, rows: Ints) -> Connections:
    """Some rows, each as often as it is named."""
    return Connections(*(getattr(connections, column)[rows] for column in COLUMNS))


def _joined(one: Connections, other: Connections) -> Connections:
    return Connections(*(np.concatenate([getattr(one, column), getattr(other, column)]) for column in COLUMNS))


COLUMNS = ("source", "target", "receptor", "weight", "delay", "terminal")

STEPS: dict[str, Callable[[Wiring, int], Wiring]] = {
    "nociceptive_path": with_nociceptive, "populations": populated, "gaba_b": with_gaba_b, "presynaptic": with_presynaptic,
    "depression": with_depression,
}
