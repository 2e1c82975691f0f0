"""``epidura bench gate``: how fast the gate is on this machine, beside NEURON where it is installed. Figures, no limits.

Seconds are CPU seconds for one second of a circuit, steps of 25 us, exact rates, full painful input and 50 Hz to all large fibres; the lower the
better. Building the circuit and its input is not counted, tables of rates are made before. The best of several, because the machine may
be busy.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

from epidura.afferents import background, ideal
from epidura.bench import neuron_peer
from epidura.bench.fibre import Row, best, versions
from epidura.bench.fibre import save as _save
from epidura.bench.neuron_gate import NeuronGate
from epidura.circuit import Circuit
from epidura.circuit.dorsal_horn import DorsalHorn
from epidura.circuit.zhang_2014 import Zhang2014
from epidura.numerics import network_reference
from epidura.numerics.network import Member, Network, simulate

Progress = Callable[[str, float], None]

DT, BATCH = 0.025, 64  # ms, circuits
NEURON_S = 1.2
"""s: NEURON 9 for a second of this circuit at 25 us without what the figures do not need, measured once, elsewhere; for machines without NEURON."""

FREQUENCIES, AMPLITUDES, SEEDS, SWEEP_S, ONSET_S = 20, 10, 5, 4.0, 0.5
"""A sweep: how many of each, and s of each circuit."""
WHAT = "epidura bench gate"


def measure(quick: bool = False, long: bool = False, progress: Progress = lambda words, share: None) -> list[Row]:
    """Every row of the table.

    Args:
        quick: short runs, no NEURON; to see that everything runs.
        long: the whole sweep instead of a part of it.
        progress: called with what comes next and the share that is done.
    """
    rows: list[Row] = []
    progress("one circuit, and 64 together", 0.0)
    times, duration = (1, 0.05) if quick else (5, 1.0)
    circuit = Zhang2014()
    scalar, batch = (seconds(circuit, count, duration, times) for count in (1, BATCH))
    rows += [Row("four neurons, one circuit", scalar, "s", "per simulated second", 0.3, None, "one core; CPU seconds, the lower the better"),
             Row(f"four neurons, {BATCH} circuits together", batch, "s", "per simulated second, each", 0.04, 0.015,
                 "one core; CPU seconds, the lower the better")]
    progress("NEURON", 0.2)
    rows += neuron_rows(scalar, batch, quick)
    progress("the network written out plainly", 0.4)
    plain = plain_seconds(duration / 20)
    rows.append(Row("plain NumPy against one circuit", plain / scalar, "x", f"{plain:.3g} against {scalar:.3g} s", note="network_reference"))
    progress("population gate", 0.5)
    many, few = DorsalHorn(), len(circuit.wiring().cells)
    cells, together = len(many.wiring().cells), 8 if quick else BATCH
    each = seconds(many, together, duration, min(times, 2)) / cells
    rows.append(Row("population gate against the four neurons, per neuron", each / (batch / few), "x",
                    f"{cells} neurons, {1e3 * each:.3g} ms a neuron and simulated second against {1e3 * batch / few:.3g}", 5.0, None,
                    f"{together} circuits together, one core; the lower the better"))
    progress("sweep", 0.7)
    rows.append(sweep_row(quick, long))
    return rows


def members(circuit: Circuit, count: int, duration: float) -> tuple[Network, list[Member]]:
    """A circuit and ``count`` inputs of ``duration`` s with seeds of their own, 50 Hz to all large fibres from a tenth on."""
    wiring = circuit.wiring()
    made = []
    for seed in range(1, count + 1):
        trains = background(wiring.fibres, seed, duration).merged(ideal(wiring.fibres, 50.0, duration, onset=0.1 * duration))
        made.append(Member(1e3 * trains.times, trains.fibre))
    return wiring.network, made


def seconds(circuit: Circuit, count: int, duration: float, times: int) -> float:
    """CPU seconds of one simulated second of a circuit, ``count`` of them together on one thread; the best of some runs of ``duration`` s."""
    network, batch = members(circuit, count, duration)
    simulate(network, batch[:1], 5.0, DT)  # tables of rates, and the kernel from the disk
    return best(lambda: simulate(network, batch, 1e3 * duration, DT), times) / (count * duration)


def plain_seconds(duration: float) -> float:
    """CPU seconds of one simulated second in plain NumPy."""
    network, batch = members(Zhang2014(), 1, duration)
    return best(lambda: network_reference.simulate(network, batch[0], 1e3 * duration, DT), 1) / duration


def neuron_rows(scalar: float, batch: float, quick: bool) -> list[Row]:
    """NEURON for the same circuit and input, and how many times longer it takes."""
    reason = neuron_peer.available()
    if quick or reason is not None:
        theirs, note = NEURON_S, f"against the stated {NEURON_S:g} s of NEURON on another machine: NEURON did not run here"
        first = Row("NEURON, the same circuit", None, "s", note=f"not measured: {reason or 'quick'}")
    else:
        _, (member,) = members(Zhang2014(), 1, 1.0)
        circuit = NeuronGate()
        try:
            theirs = min(circuit.run(member, 1000.0, DT)[1] for _ in range(3))
        finally:
            circuit.close()
        note = f"bare psolve, NEURON {version('neuron')}, this machine; its own mechanisms for this circuit, synapses lumped as ours"
        first = Row("NEURON, the same circuit", theirs, "s", "per simulated second", note=note)
    return [first, Row("one circuit against NEURON", theirs / scalar, "x", f"{scalar:.3g} against {theirs:.3g} s", note=note),
            Row(f"{BATCH} circuits against NEURON, each", theirs / batch, "x", f"{batch:.3g} against {theirs:.3g} s", 30.0, None, note)]


def sweep_row(quick: bool, long: bool) -> Row:
    """20 frequencies x 10 amplitudes x 5 seeds x 4 s on two threads, or a part of it taken as the whole."""
    total = FREQUENCIES * AMPLITUDES * SEEDS
    count, duration = (16, 0.05) if quick else (total if long else 2 * BATCH, SWEEP_S)
    wiring = Zhang2014().wiring()
    inputs = [(float(f), (a + 1) / AMPLITUDES, seed) for f in np.geomspace(2, 1000, FREQUENCIES) for a in range(AMPLITUDES)
              for seed in range(1, SEEDS + 1)]
    batch = []
    # evenly from all, so that a part has all frequencies and amplitudes
    for k in np.linspace(0, total - 1, count).astype(int):
        frequency, share, seed = inputs[k]
        pulses = ideal(wiring.fibres, frequency, duration, share=share, onset=min(ONSET_S, duration / 2))
        trains = background(wiring.fibres, seed, duration).merged(pulses)
        batch.append(Member(1e3 * trains.times, trains.fibre))
    simulate(wiring.network, batch[:1], 5.0, DT)
    cpu, wall = time.process_time(), time.perf_counter()
    simulate(wiring.network, batch, 1e3 * duration, DT, threads=2)
    scale = total * SWEEP_S / (count * duration)
    cpu, wall = scale * (time.process_time() - cpu), scale * (time.perf_counter() - wall)
    words = "all of it" if count == total and duration == SWEEP_S else f"from {count} circuits of {duration:g} s by proportion"
    return Row(f"sweep: {FREQUENCIES} frequencies x {AMPLITUDES} amplitudes x {SEEDS} seeds x {SWEEP_S:g} s, two threads", cpu / 2, "s",
               f"CPU seconds of each of two cores; {wall:,.0f} s by the clock", 300.0, None, f"{words}; the lower the better")


def used() -> dict[str, str]:
    """Versions of what was measured."""
    return {**versions(), **({"neuron": version("neuron")} if neuron_peer.available() is None else {})}


def save(rows: list[Row], path: str | Path) -> None:
    """As ``fibre.save``, of this bench."""
    _save(rows, path, WHAT, used())
