"""The reference data of ``data/`` and the inputs that made them (see its README), for the tests of the gate."""

from __future__ import annotations

import csv
import gzip
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epidura.circuit.zhang_2014 import Zhang2014
from epidura.numerics.network import Connections, Member, Network, Neuron, Spikes, simulate

Floats = NDArray[np.float64]
Trains = list[Floats]
"""ms of each of the 75 fibres."""

DATA = Path(__file__).parent / "data"
CELLS = ("SG", "SURR", "EX", "WDR")
LOCAL, ADELTA, SURROUND, C = range(15), range(15, 30), range(30, 45), range(45, 75)
RATES, SPREADS = (8.92, 8.39, 8.92, 2.65), (0.375, 0.319, 0.375, 0.399)
NONE: Floats = np.empty(0)


@cache
def rows(name: str) -> tuple[dict[str, str], ...]:
    """Lines of a file of ``data/``, by its name without an ending."""
    plain = DATA / f"{name}.csv"
    text = plain.read_text() if plain.exists() else gzip.decompress((DATA / f"{name}.csv.gz").read_bytes()).decode()
    return tuple(csv.DictReader(text.splitlines()))


def background(seed: int, duration: float, surround: bool = False) -> Trains:
    """Background of all fibres up to ``duration`` ms."""
    random = np.random.default_rng(seed)
    trains = []
    for fibres, rate, spread in zip((LOCAL, ADELTA, SURROUND, C), RATES, SPREADS, strict=True):
        mean, shape = 1000 / rate, 1 / spread**2
        for _ in fibres:
            times = np.round(np.cumsum(random.gamma(shape, mean / shape, 600)) - 2000, 3)
            silent = fibres is SURROUND and not surround
            trains.append(NONE if silent else times[(times > 0) & (times < duration)])
    return trains


def pulses(frequency: float, duration: float) -> Floats:
    """ms of stimulation that begins at 2 s."""
    if not frequency:
        return NONE
    times = np.round(2000 + np.arange(int(duration * frequency / 1000) + 1) * 1000 / frequency, 3)
    return times[times < duration]


def driven(trains: Trains, times: Floats, target: str) -> Trains:
    """With stimulation of ``surround``, ``local`` or ``both`` fibres."""
    fibres = {"surround": SURROUND, "local": LOCAL, "both": (*LOCAL, *SURROUND)}[target]
    return [np.sort(np.concatenate([own, times])) if k in fibres else own for k, own in enumerate(trains)]


def member(trains: Trains, links: Floats | None = None) -> Member:
    return Member(np.concatenate(trains), np.repeat(np.arange(len(trains)), [len(own) for own in trains]), links=links)


def condition(name: str, seed: int = 1, duration: float = 6000.0) -> Member:
    """One of the conditions of counts.csv."""
    trains = background(seed, duration, surround=name.endswith("_surrbg"))
    kind = name.removesuffix("_surrbg")
    return member(trains if kind == "none" else driven(trains, pulses(50, duration), kind.removesuffix("50")))


@cache
def network() -> Network:
    return Zhang2014().wiring().network


def links_without(*inhibition: str) -> Floats:
    """Factors of the links with ``gaba`` or ``glycine`` gone."""
    return np.array([float(kind not in inhibition) for kind in Zhang2014().wiring().inhibitory])


def isolated(kinds: tuple[Neuron, ...], afferent: list[tuple[int, int, int, float]] | None = None) -> Network:
    """One neuron of each kind, without links; afferents as (fibre, neuron, receptor, weight)."""
    fibre, target, receptor, weight = (np.array(column) for column in zip(*(afferent or [(0, 0, 0, 0.0)]), strict=True))
    number = len(fibre)
    none = np.empty(0, np.int64)
    return Network(kinds, np.arange(len(kinds)), number, Connections(fibre, target, receptor, weight, np.zeros(number), np.full(number, -1)),
                   Connections(none, none, none, np.empty(0), np.empty(0), none))


def counts(spikes: Spikes, m: int, start: float = 2000.0, end: float = 6000.0) -> list[int]:
    """Action potentials of each neuron of a member in (start, end] ms."""
    return [int(((own > start) & (own <= end)).sum()) for own in spikes.times[m]]


def run(members: list[Member], duration: float = 6000.0, dt: float = 0.0125, every: int = 0, published: bool = True) -> Spikes:
    return simulate(network(), members, duration, dt, 2, every, published)
