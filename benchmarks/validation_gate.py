"""What the published and the population gate do beside facts from animals: rows of data/validation.csv, A1 to A15.

Bounds were written before these comparisons were first run; nothing is tuned to them. Stimulation drives all large fibres of the
patch, local and surround, as a lead over the dorsal columns does, unless a line says otherwise. Inputs are made as for the reference
data of the published gate: gamma intervals, surround fibres silent but for stimulation. Fibres follow
every pulse, except where collaterals fail (data/collaterals.csv).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from epidura.afferents import Conduction, Target, Trains, background, ideal, volleys
from epidura.circuit import Circuit, Wiring
from epidura.circuit.dorsal_horn import ADDITIONS, DorsalHorn
from epidura.circuit.zhang_2014 import Zhang2014
from epidura.numerics.network import Member, simulate
from epidura.slow_states import slow

Floats = NDArray[np.float64]

BEGINS, COUNTED, ENDS = 1.0, 2.0, 5.0  # s: of stimulation, of counting, of a run
VOLLEYS, SEEDS = 10, (1, 2)
FREQUENCIES = (10.0, 15.0, 20.0, 30.0, 50.0, 60.0, 80.0, 100.0, 150.0, 200.0, 1000.0)
FEW = (20.0, 50.0, 100.0, 200.0, 1000.0)
SHARES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8)
INTENSITIES = (0.02, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Run:
    """One condition.

    Attributes:
        frequency: Hz of the pulses, 0 for none.
        target: which large fibres are driven.
        share: of them, 0 to 1.
        asynchronous: each fibre by itself instead of all with every pulse.
        fails: whether fast trains fail to enter the collaterals.
        gaba_a: factor of the GABA-A synapses.
        painful: volleys of a painful stimulus once a second instead of a background.
        seeds: one copy of the circuit with trains of its own for each.
    """

    frequency: float = 0.0
    target: Target = "both"
    share: float = 1.0
    asynchronous: bool = False
    fails: bool = False
    gaba_a: float = 1.0
    painful: bool = False
    seeds: tuple[int, ...] = SEEDS

    @property
    def ends(self) -> float:
        """s."""
        return VOLLEYS + 1.0 if self.painful else ENDS

    def member(self, wiring: Wiring, seed: int) -> Member:
        """The trains of all fibres."""
        fibres = wiring.fibres
        own = volleys(fibres, self.ends, seed, count=VOLLEYS) if self.painful else background(fibres, seed, self.ends)
        trains = own.merged(ideal(fibres, self.frequency, self.ends, target=self.target, share=self.share, seed=seed,
                                  pattern="asynchronous" if self.asynchronous else "tonic", onset=0.0 if self.painful else BEGINS))
        if self.fails:
            trains = self._entering(wiring, trains, seed)
        net = wiring.network
        names = [net.kinds[net.kind[t]].receptors[r].name for t, r in zip(net.links.target, net.links.receptor, strict=True)]
        return Member(1e3 * trains.times, trains.fibre, links=np.where(np.array(names) == "gaba-a", self.gaba_a, 1.0))

    @staticmethod
    def _entering(wiring: Wiring, trains: Trains, seed: int) -> Trains:
        large, way = [k for fibre in wiring.fibres if fibre.target for k in fibre.members], Conduction()
        return trains.limited(way.refractory, large).invading(np.random.default_rng([seed, 4]), way.half_rate, way.slope, large)


@dataclass
class Gate:
    """A circuit and what it did under every condition.

    Attributes:
        circuit: which.
        done: spike times by condition and seed.
    """

    circuit: Circuit
    done: dict[Run, list[tuple[Floats, ...]]] = field(default_factory=dict)

    @cached_property
    def wiring(self) -> Wiring:
        return self.circuit.wiring()

    def run(self, runs: list[Run]) -> None:
        """All conditions that were not yet run, in batches of equal duration."""
        new = [run for run in dict.fromkeys(runs) if run not in self.done]
        for ends in sorted({run.ends for run in new}):
            some = [run for run in new if run.ends == ends]
            members = [run.member(self.wiring, seed) for run in some for seed in run.seeds]
            spikes = simulate(self.wiring.network, members, 1e3 * ends, 1e3 * self.circuit.dt)
            if np.isfinite(spikes.failed).any():
                raise RuntimeError(f"{self.circuit.kind}: a copy became unstable")
            times = iter(spikes.times)
            self.done.update({run: [next(times) for _ in run.seeds] for run in some})

    def cells(self, name: str) -> list[int]:
        return [i for i, cell in enumerate(self.wiring.cells) if cell == name]

    def rate(self, run: Run, cell: str = "WDR") -> float:
        """Spikes/s per neuron, mean over neurons and seeds."""
        self.run([run])
        counts = [((times[i] > 1e3 * COUNTED) & (times[i] <= 1e3 * ENDS)).sum() for times in self.done[run] for i in self.cells(cell)]
        return float(np.mean(counts)) / (ENDS - COUNTED)

    def responses(self, run: Run, cell: str = "WDR") -> Floats:
        """(volleys,) spikes per neuron from 100 to 1000 ms after each painful stimulus: its C-component."""
        self.run([run])
        begins = 1000.0 * np.arange(1, VOLLEYS + 1)[:, None]
        return np.mean([((times[i] > begins + 100) & (times[i] <= begins + 1000)).sum(1) for times in self.done[run] for i in self.cells(cell)], 0)


REST = Run()
PULSE = Run(1.0, "surround", seeds=tuple(range(1, 9)))


def pain(frequency: float = 0.0, share: float = 1.0, fails: bool = False) -> Run:
    """Repeated painful stimuli, with stimulation of both kinds of large fibres."""
    return Run(frequency, share=share, fails=fails, painful=True)


def everything() -> list[Run]:
    """All conditions, so that they run as few batches."""
    targets: tuple[Target, ...] = ("both", "surround")
    return [REST, PULSE, *(Run(f, target) for f in FREQUENCIES for target in targets), *(Run(f, fails=True) for f in FEW),
            *(Run(50.0, target, share) for share in SHARES for target in targets), *(Run(f, asynchronous=True) for f in (50.0, 100.0)),
            Run(gaba_a=0.0), Run(50.0, gaba_a=0.0), pain(), pain(50.0), pain(1000.0), pain(50.0, fails=True), pain(1000.0, fails=True),
            *(pain(50.0, share) for share in INTENSITIES)]


Judged = tuple[str, str, str, str, bool | None]
"""id, what, expected, computed, whether it is good."""


def of_wind_up(gate: Gate) -> Iterator[Judged]:
    """A1 and A4: painful stimuli once a second."""
    none, at_50 = gate.responses(pain()), gate.responses(pain(50.0))
    for fails in (False, True):
        how = ", collaterals that fail" if fails else ""
        change = [100 * (gate.responses(pain(f, fails=fails)).sum() / none.sum() - 1) for f in (50.0, 1000.0)]
        yield "A1", f"C-component of repeated painful stimuli, 50 Hz{how}", "-35 % (-5 to -65, 2 SE)", f"{change[0]:+.0f} %", -65 <= change[0] <= -5
        yield ("A1", f"C-component of repeated painful stimuli, 1 kHz{how}", "no significant change: within 30 %", f"{change[1]:+.0f} %",
               abs(change[1]) <= 30)
    rest, less = gate.rate(REST), gate.rate(Run(50.0))
    yield "A4", "activity without a stimulus, 50 Hz", "reduced", f"{rest:.0f} to {less:.0f} spikes/s", less < 0.9 * rest
    grows = [response[-3:].mean() - response[0] for response in (none, at_50)]
    yield ("A4", "wind-up: last three responses less the first, without stimulation and at 50 Hz", "abolished: a quarter at most",
           f"{grows[0]:.1f}, {grows[1]:.1f} spikes", grows[0] > 0 and grows[1] <= 0.25 * grows[0])


def of_amplitude(gate: Gate) -> Iterator[Judged]:
    """A5 and A7: what a share of the large fibres does."""
    none = gate.responses(pain()).sum()
    change = [100 * (gate.responses(pain(50.0, share)).sum() / none - 1) for share in INTENSITIES]
    text = ", ".join(f"{c:+.0f}" for c in change) + " %"
    yield "A5", "C-component, 50 Hz, the first 2 % of large fibres", "no inhibition: within 10 %", f"{change[0]:+.0f} %", abs(change[0]) <= 10
    yield "A5", "C-component, 50 Hz, half of the large fibres", "inhibition: 20 % or more", f"{change[2]:+.0f} %", change[2] <= -20
    yield ("A5", "C-component, 50 Hz, 2, 25, 50, 75, 100 % of large fibres", "falls with every step", text,
           all(b <= a + 5 for a, b in pairwise(change)))
    rest = gate.rate(REST)
    shares = (*SHARES, 1.0)
    rates = [gate.rate(Run(50.0, share=share)) for share in shares]
    best = int(np.argmin(rates))
    yield ("A7", "share of large fibres that inhibits most, 50 Hz", "below all of them (80 % of sensory threshold)",
           f"{100 * shares[best]:.0f} %: {rates[best]:.0f}; all: {rates[-1]:.0f}; rest: {rest:.0f} spikes/s", rates[best] <= rates[-1] - 0.05 * rest)
    by_frequency = [gate.rate(Run(f)) for f in FREQUENCIES]
    yield ("A7", "frequency that inhibits most", "below 200 Hz", f"{FREQUENCIES[int(np.argmin(by_frequency))]:.0f} Hz",
           FREQUENCIES[int(np.argmin(by_frequency))] < 200)
    blocked = [gate.rate(Run(f, gaba_a=0.0)) for f in (0.0, 50.0)]
    inhibition = 100 * (1 - rates[-1] / rest), 100 * (1 - blocked[1] / blocked[0])
    yield ("A7", "inhibition at 50 Hz, intact and with GABA-A blocked (bicuculline)", "smaller by 20 points or more",
           f"{inhibition[0]:.0f}, {inhibition[1]:.0f} %", inhibition[1] <= inhibition[0] - 20)
    surround = np.array([100 * (1 - gate.rate(Run(50.0, "surround", share)) / rest) for share in shares])
    most = surround.max()
    graded = [f"{100 * shares[int(np.argmax(surround >= part * most))]:.0f} %" for part in (0.5, 0.9)]
    yield ("-", "amplitude grades inhibition: share of surround fibres for half and for 90 % of the most that they inhibit, 50 Hz",
           "published gate: at most 20 % for all of it", ", ".join(graded), None)


def of_single_pulses(gate: Gate) -> Iterator[Judged]:
    """A6: one pulse to the surround every second."""
    gate.run([PULSE])
    pulses = 1e3 * np.arange(BEGINS, ENDS - 0.5, 1.0)[:, None]
    bins = np.arange(-100.0, 400.0, 10.0)
    every = np.concatenate([(times[i][None, :] - pulses).ravel() for times in gate.done[PULSE] for i in gate.cells("WDR")])
    histogram = np.histogram(every, np.append(bins, 400.0))[0]
    before = histogram[bins < 0].mean()
    low = np.flatnonzero((histogram < 0.5 * before) & (bins >= 0))
    runs = np.split(low, np.flatnonzero(np.diff(low) > 1) + 1) if low.size else [low]
    lasts = 10 * max(len(one) for one in runs)
    yield "A6", "a single pulse to the surround: time below half of the rate before it", "50 to 150 ms", f"{lasts} ms", 50 <= lasts <= 150


def of_frequency(gate: Gate) -> Iterator[Judged]:
    """A10, A11 and how the rate depends on frequency."""
    rest = gate.rate(REST)
    pairs = [(gate.rate(Run(f)), gate.rate(Run(f, asynchronous=True))) for f in (50.0, 100.0)]
    yield ("A10", "synchronous and asynchronous firing, 50 Hz; 100 Hz", "asynchronous inhibits as well",
           "; ".join(f"{a:.0f}, {b:.0f}" for a, b in pairs) + f" spikes/s (rest {rest:.0f})", all(b <= a + 0.05 * rest for a, b in pairs))
    fast = Run(1000.0)
    following = gate.rate(fast, "SG") / 1000
    yield ("A11", "pulses that local inhibitory neurons follow, 1 kHz", "collaterals do not follow: below half", f"{100 * following:.0f} %",
           following < 0.5)
    yield ("A11", "projection neurons, 1 kHz", "not excited: at most the rate at rest", f"{gate.rate(fast):.0f} (rest {rest:.0f}) spikes/s",
           gate.rate(fast) <= rest)
    slower = gate.rate(Run(1000.0, fails=True))
    yield ("A11", "projection neurons, 1 kHz, collaterals that fail", "not excited: at most the rate at rest",
           f"{slower:.0f} (rest {rest:.0f}) spikes/s", slower <= rest)
    both = [gate.rate(Run(f)) for f in FREQUENCIES]
    around = [gate.rate(Run(f, "surround")) for f in FREQUENCIES]
    best = int(np.argmin(both))
    text = f"rest {rest:.0f}; " + ", ".join(f"{f:.0f} Hz {r:.0f}" for f, r in zip(FREQUENCIES, both, strict=True))
    yield ("-", "rate against frequency, all large fibres", "published gate: lowest at 15 to 60 Hz, -60 to -70 %, above rest from 80-100 Hz", text,
           15 <= FREQUENCIES[best] <= 60 and both[-1] > both[best])
    failing = ", ".join(f"{f:.0f} Hz {gate.rate(Run(f, fails=True)):.0f}" for f in FEW)
    yield "-", "rate against frequency, all large fibres, collaterals that fail", "not known", failing, None
    text = ", ".join(f"{f:.0f} Hz {r:.0f}" for f, r in zip(FREQUENCIES, around, strict=True))
    yield ("-", "rate against frequency, surround fibres alone", "published gate: falls to 0 at 20 Hz and stays", text,
           all(b <= a + 0.05 * rest for a, b in pairwise([rest, *around])) and around[-1] < 0.1 * rest)


def of_minutes() -> Iterator[Judged]:
    """A4 and A15: what the slow states say."""
    minutes = slow([(0.0, np.inf)], "tonic", np.array([15.0, 30.0, 60.0, 90.0]) * 60)
    yield "A4", "effect of tonic stimulation after 15 min, lower bound", "there within 15 min", f"{100 * minutes.low[0]:.0f} %", minutes.low[0] > 0.9
    yield "A15", "effect of tonic stimulation after 30 min, lower bound", "near normal", f"{100 * minutes.low[1]:.0f} %", minutes.low[1] > 0.9
    fall = 100 * (1 - minutes.factor[3] / minutes.factor[2])
    yield "A15", "effect of tonic stimulation, 90 min against 60 min", "significantly lower", f"{fall:.1f} % lower", fall > 5


JUDGED: tuple[Callable[[Gate], Iterator[Judged]], ...] = (of_wind_up, of_amplitude, of_single_pulses, of_frequency)

GATES: tuple[Circuit, ...] = (Zhang2014(), DorsalHorn())
ALONE = (REST, Run(50.0, "surround"), *(Run(f) for f in (50.0, 100.0, 1000.0)), Run(gaba_a=0.0), Run(50.0, gaba_a=0.0))
"""Conditions under which each addition is looked at by itself."""


def of_gate(gate: Gate) -> list[Judged]:
    """Every comparison of one circuit."""
    gate.run(everything())
    return [line for part in JUDGED for line in part(gate)]


def of_additions(gates: list[Gate]) -> str:
    """Table of what each addition to the published gate does by itself, and of both gates."""
    off = dict.fromkeys(ADDITIONS, False)
    core, whole = gates
    some = [("none: the published gate", core), *((name.replace("_", " "), Gate(DorsalHorn(**(off | {name: True})))) for name in ADDITIONS),
            ("all: the population gate", whole)]
    names = ("rest", "50 Hz, surround alone", "50 Hz", "100 Hz", "1 kHz", "rest, GABA-A blocked", "50 Hz, GABA-A blocked")
    text = [f"| addition | cells | {' | '.join(names)} |", "|---|---|" + "---|" * len(names)]
    for name, gate in some:
        gate.run(list(ALONE))
        for cell in dict.fromkeys(gate.wiring.cells):
            first = name if cell == gate.wiring.cells[0] else ""
            text.append(f"| {first} | {cell} | {' | '.join(f'{gate.rate(run, cell):.0f}' for run in ALONE)} |")
    return "\n".join(text)
