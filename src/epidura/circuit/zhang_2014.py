"""The published gate: four neurons of one segment (Zhang, Janik and Grill 2014)."""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from epidura.circuit.base import Circuit, Fibre, Wiring
from epidura.numerics.network import Channel, Connections, Depression, Network, Neuron, Pool, Receptor
from epidura.tables import Number, table

Floats = NDArray[np.float64]
Row = tuple[int, int, int, float, float]

CELLS = {"SG": "inhibitory", "SURR": "inhibitory", "EX": "excitatory", "WDR": "wide-dynamic-range"}
"""Population of each neuron, and its kind in the tables."""

FIBRES = (Fibre("Abeta local", 0, 15, target="local"), Fibre("Adelta", 15, 15, painful=True), Fibre("Abeta surround", 30, 15, target="surround"),
          Fibre("C", 45, 30, painful=True))

RECOVERY = 0.1
"""ms in which a synapse of a fibre recovers from an event, which uses it up: present in the published model, and trivial."""

SECTIONS = ("dendrite", "soma", "hillock", "axon")


class Zhang2014(Circuit):
    """One wide-dynamic-range neuron (WDR), an excitatory one (EX), an inhibitory one of the receptive field (SG) and one of its surround (SURR)."""

    kind: Literal["zhang-2014"] = "zhang-2014"

    def wiring(self) -> Wiring:
        names = tuple(CELLS)
        kinds = tuple(dict.fromkeys(CELLS.values()))
        neurons = tuple(neuron(kind) for kind in kinds)
        afferent: list[Row] = []
        links: list[Row] = []
        inhibitory = []
        sources = {fibre.name: fibre.members for fibre in FIBRES}
        for row in table("gate_synapses"):
            target = names.index(row["to"])
            receptor = receptor_index(neurons[kinds.index(CELLS[row["to"]])], row["receptor"])
            weight, delay = float(row["weight_uS"]) * int(row["count"]), float(row["delay_ms"])
            if row["from"] in sources:
                afferent += [(fibre, target, receptor, weight, delay) for fibre in sources[row["from"]]]
            else:
                links.append((names.index(row["from"]), target, receptor, weight, delay))
                inhibitory.append(inhibits(row["receptor"]))
        count = FIBRES[-1].first + FIBRES[-1].count
        network = Network(neurons, np.array([kinds.index(CELLS[name]) for name in names]), count, connections(afferent),
                          connections(links), Depression(np.ones(count), np.full(count, RECOVERY)))
        return Wiring(network, FIBRES, names, ("WDR",), tuple(inhibitory))

    def numbers(self) -> tuple[Number, ...]:
        rows = table("gate_synapses")
        return tuple(rows.number(f"weight of {row['from']} to {row['to']}, {row['receptor']}", "weight_uS", "uS",
                                 **{"from": row["from"], "to": row["to"], "receptor": row["receptor"]}) for row in rows)


def inhibits(receptor: str) -> str:
    """What a link over this receptor counts as when inhibition is lost."""
    return {"gaba-a": "gaba", "gaba-b": "gaba", "glycine": "glycine"}.get(receptor, "")


def receptor_index(of: Neuron, name: str) -> int:
    """Where a kind of neuron has this receptor."""
    return [receptor.name for receptor in of.receptors].index(name)


def connections(rows: list[Row]) -> Connections:
    """(source, target, receptor, weight, delay) of each, without presynaptic inhibition."""
    source, target, receptor, weight, delay = zip(*rows, strict=True)
    return Connections(np.array(source), np.array(target), np.array(receptor), np.array(weight), np.array(delay), np.full(len(rows), -1))


@cache
def neuron(kind: str) -> Neuron:
    """A kind of neuron of the published model: dendrite from its far end, soma, hillock and axon as one cable."""
    sections = [row for name in SECTIONS for row in table("gate_sections") if (row["cell"], row["section"]) == (kind, name)]
    length, diameter, resistivity, leak, owner = [], [], [], [], []
    for row in sections:
        n = int(row["compartments"])
        middles = (np.arange(n) + 0.5) / n
        begins, ends = float(row["diameter_um"]), float(row["end_diameter_um"])
        length += [float(row["length_um"]) / n] * n
        diameter += list(begins + (ends - begins) * middles)
        resistivity += [float(row["axial_resistivity_ohm_cm"])] * n
        leak += [float(row["leak_S_per_cm2"])] * n
        owner += [row["section"]] * n
    dx, d = np.array(length), np.array(diameter)
    area = np.pi * d * dx
    # an ohm cm over a um is 1e-2 Mohm, the reciprocal of uS
    half = 1e-2 * np.array(resistivity) * (dx / 2) / (np.pi * d**2 / 4)
    span = {name: (owner.index(name), len(owner) - owner[::-1].index(name)) for name in dict.fromkeys(owner)}
    rows = [row for row in table("gate_channels") if row["cell"] == kind]
    names = dict.fromkeys(row["channel"] for row in rows)
    channels = tuple(_channel(name, [row for row in rows if row["channel"] == name], span, area) for name in names)
    pools = {row["section"]: float(row["decay_ms"]) for row in table("gate_pools") if row["cell"] == kind}
    pool = None
    if pools:
        first, last = min(span[name][0] for name in pools), max(span[name][1] for name in pools)
        pool = Pool(first, np.array([pools[owner[i]] for i in range(first, last)]), area[first:last])
    receptors = tuple(Receptor(row["receptor"], float(row["rise_ms"]), float(row["decay_ms"]), float(row["reversal_mV"]), row["blocked"] == "yes",
                               float(row["calcium_share"])) for row in table("gate_receptors") if row["cell"] == kind)
    soma, dendrite = span["soma"], span["dendrite"]
    # the dendrite's own middle, counted from the soma; a place between two compartments is the one further on
    site = dendrite[1] - 1 - (dendrite[1] - dendrite[0]) // 2
    # 1 uF/cm2 on 1 um2 is 1e-5 nF; 1 S/cm2 on it is 1e-2 uS
    return Neuron(kind, 1e-5 * area, 1 / (half[:-1] + half[1:]), 1e-2 * np.array(leak) * area, float(sections[0]["leak_reversal_mV"]), channels, pool,
                  receptors, site, soma[1] - 1, soma[0] + (soma[1] - soma[0]) // 2)


def _channel(name: str, rows: list[dict[str, str]], span: dict[str, tuple[int, int]], area: Floats) -> Channel:
    """One channel over neighbouring sections."""
    first, last = span[rows[0]["section"]][0], span[rows[-1]["section"]][1]
    conductance, reversal = np.zeros(last - first), np.zeros(last - first)
    for row in rows:
        own = slice(*(i - first for i in span[row["section"]]))
        absolute = slice(*span[row["section"]])
        # a permeability stays with its area in um2, see ``network.Channel``
        conductance[own] = float(row["conductance"]) * area[absolute] * (1.0 if row["unit"] == "cm/s" else 1e-2)
        reversal[own] = float(row["reversal_mV"])
    return Channel(name, first, conductance, reversal)
