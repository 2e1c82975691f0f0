"""A small circuit and small products that the tests of the gate's input share."""

from __future__ import annotations

import numpy as np
import xarray as xr

from epidura.circuit import Fibre, Wiring
from epidura.numerics.network import Connections, Network, Neuron, Receptor
from epidura.product import declare

FIBRES = (Fibre("Abeta local", 0, 15, "local"), Fibre("Adelta", 15, 15, painful=True), Fibre("Abeta surround", 30, 15, "surround"),
          Fibre("C", 45, 30, painful=True))
"""Numbered as in the published circuit."""


def small_wiring() -> Wiring:
    """EX and WDR excited by C fibres, one inhibitory cell with a link of each kind."""
    receptors = (Receptor("NMDA", 2, 100, 0, blocked=True), Receptor("AMPA", 0.1, 5, 0), Receptor("GABA-A", 0.1, 20, -70))
    one = np.ones(1)
    cell = Neuron("cell", one, np.empty(0), one, -65.0, (), None, receptors, 0, 0, 0)
    c, local = np.arange(45, 75), np.arange(15)
    source = np.concatenate([c, c, c, local])
    target = np.repeat([0, 0, 1, 2], [30, 30, 30, 15])
    receptor = np.repeat([0, 1, 0, 1], [30, 30, 30, 15])
    weight = np.repeat([4e-3, 8e-3, 4.5e-7, 1e-3], [30, 30, 30, 15])
    terminal = np.repeat([-1, -1, -1, 3], [30, 30, 30, 15])
    afferent = Connections(source, target, receptor, weight, np.full(source.size, 0.25), terminal)
    links = Connections(np.array([2, 2, 0]), np.array([1, 0, 1]), np.array([2, 2, 1]), np.full(3, 5e-3), np.ones(3), np.full(3, -1))
    network = Network((cell,), np.zeros(3, np.int64), 75, afferent, links)
    return Wiring(network, FIBRES, ("EX", "WDR", "SG"), ("WDR",), ("gaba", "glycine", ""))


SEGMENTS = ("L4", "L5", "S1")


def products(threshold: np.ndarray, weight: np.ndarray, followed: np.ndarray, level: float, *, period: float = 0.02, duration: float = 0.2,
             late: float = 1e-3, free: bool = False, seed: int = 0) -> tuple[xr.Dataset, xr.Dataset]:
    """``firing`` and ``recruitment`` of fibres (f,) that serve ``SEGMENTS`` in turn, left side; those at ``level`` answer every pulse ``late`` s
    after it, or wherever they like in the cycle if ``free``."""
    f = threshold.size
    segment = np.array(SEGMENTS)[np.arange(f) % 3]
    diameter = np.linspace(9e-6, 12e-6, f)
    pulses = np.arange(round(duration / period)) * period
    rng = np.random.default_rng(seed)
    fires = threshold[followed] <= level
    began = np.where(fires[:, None], pulses + (period * rng.random((followed.size, pulses.size)) if free else late), np.nan)
    count = np.isfinite(began).sum(axis=1)
    nothing = np.full(followed.size, np.nan)
    firing = declare("firing", {
        "spike_time": began + 1e-3, "initiation_time": began, "spike_pulse": np.where(np.isfinite(began), np.arange(pulses.size), -1),
        "spike_count": count, "rate": count / duration, "onset_rate": count / duration, "latency": np.where(fires, late + 1e-3, np.nan),
        "first_pulse": fires.astype(int), "answered": fires.astype(float), "vector_strength": np.where(fires, 0.1 if free else 1.0, np.nan),
        "blocked": nothing, "together": np.ones(pulses.size), "synchrony": np.array(1.0), "pulse_time": pulses,
        "pulse_train": np.zeros(pulses.size, int), "pulse_packet": np.arange(pulses.size), "pulse_number": np.ones(pulses.size, int),
        "duration": np.array(duration), "cycle": np.array(period),
    }, {
        "fibre_index": followed, "fibre_population": np.full(followed.size, "dorsal-column"), "segment": segment[followed],
        "side": np.full(followed.size, "left"), "diameter": diameter[followed], "depth": np.zeros(followed.size), "weight": weight[followed],
    }, program="p", level=level)
    recruitment = declare("recruitment", {"threshold": threshold[None], "programmed_amplitude": np.array([level])}, {
        "program": ["p"], "fibre_population": np.full(f, "dorsal-column"), "segment": segment, "side": np.full(f, "left"), "diameter": diameter,
        "depth": np.zeros(f), "weight": weight, "x": np.zeros(f), "y": np.zeros(f),
    })
    return firing, recruitment
