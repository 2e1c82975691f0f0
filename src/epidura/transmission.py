"""The pain gate: what stimulation does to the firing of the neurons that pass pain on.

    found = transmit(circuit, gate, recruitment, firing, programs, canal, patient)

Spike trains of the fibres that a program recruits enter a circuit of the dorsal horn together with painful input. The same circuit with the
same input and without stimulation is what it is compared with, copy by copy, so that what differs is due to stimulation alone. What comes out
is firing, not pain: the step to what a person reports is another layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, field_validator

from epidura import afferents, pain_state
from epidura.afferents import Conduction, Hypothesis, Target, Trains
from epidura.circuit import Circuit, Wiring
from epidura.errors import BadInput
from epidura.numerics.network import Member, Spikes, simulate
from epidura.pain_state import PainState
from epidura.patient import Patient
from epidura.product import Canal, declare
from epidura.program import Program, rows
from epidura.recipe import Recipe
from epidura.slow_states import slow, slow_states
from epidura.tables import Number
from epidura.units import Frequency, Time

Floats = NDArray[np.float64]
Progress = Callable[[str, float], None]

SURE = 0.9
"""Of the intervals over seeds."""

STEPS_A_PULSE = 4
"""Shortest time between two pulses, in steps of the simulation."""

C_COMPONENT = (0.1, 1.0)
"""What of the answer to a volley counts as that of C fibres, s after it."""

MOMENTS = (600.0, 3600.0, 86400.0, 30 * 86400.0, 365.25 * 86400.0, 5 * 365.25 * 86400.0)
"""s after switching on for good, at which the slow states are told: ten minutes, an hour, a day, a month, a year, five years."""

BIN = 0.1
"""Length of the pieces in which firing is told in time, s."""

WORDS = {"none": "nothing beyond the fibres that fire", "asynchronous-fibres": "irregular firing of large fibres below perception",
         "direct-interneuron": "inhibitory neurons driven by the field"}
"""What each hypothesis adds, in words."""


class Gate(Recipe):
    """How the gate is run; what the circuit is stands in ``circuit``.

    Attributes:
        pain: pain state, a name of data/pain_states.csv; that of the patient's indication if None.
        seeds: copies of the circuit, each with input of its own; intervals are over them. 0: the gate is not run.
        settle: time before stimulation begins, and once more before firing is counted.
        duration: over which firing is counted.
        places: at most so many painful dermatomes and sides; the others between them are left out.
        volleys: one a second into all fibres of the nerve, for the C component and wind-up; 0: none.
        levels: amplitudes from half of the programmed one upwards at which the gate is looked at; 0: none.
        frequencies: at which tonic programs are looked at besides their own, and the circuit with every large fibre driven.
        hypotheses: of therapies below perception, all side by side.
    """

    pain: str | None = None
    seeds: int = Field(3, ge=0, le=1000)
    settle: Time = Field(0.5, gt=0, le=60)
    duration: Time = Field(2.0, gt=0, le=600)
    places: int = Field(6, ge=1, le=200)
    volleys: int = Field(8, ge=0, le=100)
    levels: int = Field(8, ge=0, le=50)
    frequencies: tuple[Frequency, ...] = (5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
    hypotheses: tuple[Hypothesis, ...] = get_args(Hypothesis)
    conduction: Conduction = Field(default_factory=Conduction)

    @field_validator("pain")
    @classmethod
    def _known(cls, pain: str | None) -> str | None:
        if pain is not None:
            pain_state.preset(pain)
        return pain

    @field_validator("frequencies")
    @classmethod
    def _positive(cls, frequencies: tuple[float, ...]) -> tuple[float, ...]:
        for i, frequency in enumerate(frequencies):
            if not 0 < frequency < np.inf:
                raise BadInput(f"[{i}]", "not a frequency", got=f"{frequency:g} Hz", allowed="above 0 Hz")
        return frequencies

    def preset(self, patient: Patient | None) -> pain_state.Preset:
        """The pain state that the circuit is in."""
        return pain_state.preset(self.pain) if self.pain else pain_state.of_indication(patient.indication if patient else None)


@dataclass(frozen=True)
class Copy:
    """One copy of a circuit with its input.

    Attributes:
        trains: of all fibres.
        current: (neurons,) nA from ``since`` s on; None: none.
        since: s.
    """

    trains: Trains
    current: Floats | None = None
    since: float = 0.0


@dataclass(frozen=True)
class Fired:
    """When the neurons of some copies fired.

    Attributes:
        wiring: the circuit.
        spikes: ms, per copy and neuron.
        duration: s.
    """

    wiring: Wiring
    spikes: Spikes
    duration: float

    @cached_property
    def cells(self) -> tuple[str, ...]:
        """The populations, each once."""
        return tuple(dict.fromkeys(self.wiring.cells))

    def rate(self, since: float) -> Floats:
        """(copies, populations) action potentials per second and neuron after ``since`` s; nan in copies that became unstable."""
        found = np.array([[np.mean([np.sum(train > 1e3 * since) for train, of in zip(copy, self.wiring.cells, strict=True) if of == name])
                           for name in self.cells] for copy in self.spikes.times])
        found = found.reshape(len(self.spikes.times), len(self.cells)) / (self.duration - since)
        found[np.isfinite(self.spikes.failed)] = np.nan
        return found

    def within(self, copy: int, name: str, spans: Sequence[tuple[float, float]]) -> Floats:
        """(spans,) action potentials per neuron of a population after the first and up to the second time of each span, s."""
        trains = [train for train, of in zip(self.spikes.times[copy], self.wiring.cells, strict=True) if of == name]
        return np.array([np.mean([np.sum((train > 1e3 * a) & (train <= 1e3 * b)) for train in trains]) for a, b in spans])

    @property
    def failures(self) -> tuple[str, ...]:
        """A sentence for each copy that became unstable."""
        return tuple(f"copy {k} of the circuit became unstable at {at:.6g} ms and is left out: its voltage left the range of a neuron"
                     for k, at in enumerate(self.spikes.failed) if np.isfinite(at))


def play(circuit: Circuit, wiring: Wiring, copies: Sequence[Copy], links: Floats | None, duration: float, threads: int = 2,
         published: bool = False, progress: Callable[[float], None] | None = None) -> Fired:
    """What the neurons of a circuit do with the given input.

    Args:
        circuit: for its time step.
        wiring: of the circuit, as the pain state leaves it.
        copies: with their input.
        links: (links,) factor of each link of the pain state; 1 if None.
        duration: s.
        threads: to use.
        published: gates of inhibitory neurons from the table of the published code.
        progress: called with a share from 0 to 1.

    Raises:
        BadInput: fibres that fire more often than the step resolves.
    """
    for copy in copies:
        gap = np.diff(copy.trains.times)[np.diff(copy.trains.fibre) == 0]
        if gap.size and copy.trains.rate().max(initial=0.0) * STEPS_A_PULSE * circuit.dt > 1 + 1e-9:
            raise BadInput("frequency", "fibres fire more often than the time step resolves", got=f"{copy.trains.rate().max():g} Hz",
                           allowed=f"up to {1 / (STEPS_A_PULSE * circuit.dt):g} Hz at a step of {circuit.dt * 1e6:g} us")
    members = [Member(1e3 * copy.trains.times, copy.trains.fibre, None, links, copy.current, 1e3 * copy.since) for copy in copies]
    spikes = simulate(wiring.network, members, 1e3 * duration, 1e3 * circuit.dt, threads=threads, published=published, progress=progress)
    return Fired(wiring, spikes, duration)


def sweep(circuit: Circuit, frequencies: Sequence[float], target: Target | str, inhibition: str, seeds: Sequence[int], *, duration: float = 6.0,
          onset: float = afferents.ONSET, share: float = 1.0, pattern: afferents.Pattern | str = "tonic", pain: str = "nociception",
          published: bool = False, threads: int = 2) -> list[dict[str, Any]]:
    """The gate against frequency, every driven fibre following every pulse: how the published circuit was driven.

    Args:
        circuit: with its time step.
        frequencies: of stimulation, Hz; 0 is none.
        target: ``surround`` fibres, ``local`` ones of the receptive field, or ``both``.
        inhibition: ``intact``, ``gaba0.5``, ``gaba0`` or ``gly0``, on top of the pain state's.
        seeds: one copy of the circuit for each.
        duration, onset: s; stimulation begins at the onset and firing is counted from it to the end.
        share: of the fibres of each target that are driven.
        pattern: of the pulses.
        pain: pain state.
        published: as in ``play``.
        threads: to use.

    Returns:
        a row per frequency with every input, mean and standard deviation over the seeds of every population's rate, Hz.

    Raises:
        BadInput: no seeds, frequencies that are none or beyond what the step resolves, an unknown target, pattern, state or inhibition.
    """
    if not len(seeds):
        raise BadInput("seeds", "there is none", got="0", allowed="at least one", hint="each seed is one copy of the circuit with input of its own")
    if not len(frequencies):
        raise BadInput("frequency", "there is none", allowed="at least one, 0 for no stimulation")
    if not 0 <= onset < duration:
        raise BadInput("duration", "stimulation does not begin within it", got=f"{duration:g} s", allowed=f"above {onset:g} s")
    highest = 1.0 / (STEPS_A_PULSE * circuit.dt)
    for frequency in frequencies:
        if not 0 <= frequency <= highest * (1 + 1e-9):
            raise BadInput("frequency", "not one that the time step resolves", got=f"{frequency:g} Hz",
                           allowed=f"0 to {highest:g} Hz at a step of {circuit.dt * 1e6:g} us", hint="a shorter step resolves more")
    gaba, glycine = pain_state.inhibition(inhibition)
    state = pain_state.preset(pain).state
    state = state.but(gaba=state.gaba * gaba, glycine=state.glycine * glycine)
    wiring = state.rewired(circuit.wiring())
    copies = [Copy(afferents.background(wiring.fibres, seed, duration, state).merged(
        afferents.ideal(wiring.fibres, frequency, duration, target=target, share=share, pattern=pattern, onset=onset, seed=seed)))
        for frequency in frequencies for seed in seeds]
    fired = play(circuit, wiring, copies, state.links(wiring), duration, threads, published)
    rates = fired.rate(onset).reshape(len(frequencies), len(seeds), -1)
    failures = np.isfinite(fired.spikes.failed).reshape(len(frequencies), len(seeds))
    found = []
    for frequency, of_seeds, failed in zip(frequencies, rates, failures, strict=True):
        row: dict[str, Any] = {"circuit": circuit.kind, "frequency_hz": float(frequency), "target": target, "inhibition": inhibition, "pain": pain,
                               "pattern": pattern, "share": share, "seeds": [int(seed) for seed in seeds], "dt_us": circuit.dt * 1e6,
                               "duration_s": duration, "onset_s": onset, "published_table": published}
        for name, values in zip(fired.cells, of_seeds.T, strict=True):
            kept = values[np.isfinite(values)]
            row[f"{name.lower()}_hz"] = float(kept.mean()) if kept.size else None
            row[f"{name.lower()}_hz_sd"] = float(kept.std(ddof=1)) if kept.size > 1 else None
            row[f"{name.lower()}_hz_by_seed"] = [None if np.isnan(value) else float(value) for value in values]
        row["failed"] = [f"seed {seed}: became unstable" for seed, wrong in zip(seeds, failed, strict=True) if wrong]
        found.append(row)
    return found


@dataclass(frozen=True)
class Place:
    """A painful dermatome on one side.

    Attributes:
        dermatome, side: such as ``L5``, ``left``.
        served: whether fibres of it that a lead could reach were simulated.
    """

    dermatome: str
    side: str
    served: bool

    @property
    def name(self) -> str:
        return f"{self.side} {self.dermatome}"


def places_of(recruitment: xr.Dataset, patient: Patient | None, most: int) -> tuple[tuple[Place, ...], str]:
    """Where the gate is looked at, and what was left out: painful dermatomes, or all that were simulated where no pain is known."""
    column = recruitment.fibre_population.values == "dorsal-column"
    served = set(zip(recruitment.segment.values[column].tolist(), recruitment.side.values[column].tolist(), strict=True))
    order = {place: (place[1], "CTLS".index(place[0][0]), int(place[0][1:])) for place in served}
    wanted = list(patient.pain.dermatomes()) if patient else sorted(served, key=order.__getitem__)
    if len(wanted) <= most:
        return tuple(Place(d, s, (d, s) in served) for d, s in wanted), ""
    kept = [wanted[round(k)] for k in np.linspace(0, len(wanted) - 1, most)]
    return (tuple(Place(d, s, (d, s) in served) for d, s in kept),
            f"the gate was looked at in {most} of {len(wanted)} painful dermatomes and sides")


@dataclass(frozen=True)
class _Runs:
    """What all runs of one case share."""

    circuit: Circuit
    gate: Gate
    wiring: Wiring
    state: PainState
    recruitment: xr.Dataset
    canal: Canal
    axon: str

    @property
    def onset(self) -> float:
        return float(self.gate.settle)

    @property
    def since(self) -> float:
        """From when on firing is counted, s."""
        return float(2 * self.gate.settle)

    @property
    def end(self) -> float:
        return self.since + float(self.gate.duration)

    @property
    def seeds(self) -> range:
        return range(1, self.gate.seeds + 1)

    def background(self, seed: int, state: PainState | None = None) -> Trains:
        return afferents.background(self.wiring.fibres, seed, self.end, state or self.state)

    def volleys(self, seed: int) -> Trains:
        return afferents.volleys(self.wiring.fibres, self.wound, seed, count=self.gate.volleys, first=self.since)

    @property
    def wound(self) -> float:
        """Length of a run with volleys, s."""
        return self.since + self.gate.volleys

    def stimulated(self, program: Program, firing: xr.Dataset, place: Place, seed: int, hypothesis: Hypothesis, background: Trains,
                   amplitude: Sequence[float] | None = None) -> tuple[Copy, afferents.Recruited | None]:
        """A copy with what a program sends into a place."""
        duration = background.duration
        arrived = None
        trains = background
        if place.served:
            arrived = afferents.recruited(firing, self.recruitment, program, self.canal, self.wiring.fibres, place.dermatome, place.side, seed,
                                          duration, amplitude=amplitude, background=background, conduction=self.gate.conduction,
                                          onset=self.onset, axon=self.axon)
            trains = arrived.trains
        more, current = afferents.hypothesis_inputs(hypothesis, program, self.wiring, seed, duration, self.onset)
        return Copy(trains if more is None else trains.merged(more), current, self.onset), arrived

    def at_frequency(self, frequency: float, share: dict[str, float], seed: int) -> Copy:
        """A copy in which the recruited share of the fibres gets pulses at another frequency."""
        background, rng = self.background(seed), np.random.default_rng([seed, 7])
        fibres = self.wiring.fibres
        trains = Trains.silent(background.fibres, self.end)
        targets: tuple[Target, Target] = ("local", "surround")
        for target in targets:
            trains = trains.merged(afferents.ideal(fibres, frequency, self.end, target=target, share=share[target], onset=self.onset))
        return Copy(self.gate.conduction.arriving(trains, background, fibres, rng))


def transmit(circuit: Circuit, gate: Gate, recruitment: xr.Dataset, firing: Sequence[xr.Dataset | None], programs: Sequence[Program],
             canal: Canal, patient: Patient | None = None, axon: str = "mrg-interpolated", threads: int = 2,
             progress: Progress | None = None) -> xr.Dataset:
    """What each program does to the transmission of pain.

    Args:
        circuit: of the dorsal horn.
        gate: how it is run.
        recruitment, firing: products of the fibres; None for a program whose amplitude is not known: its rates are nan.
        programs: as run.
        canal: of the leads.
        patient: for the painful dermatomes and the pain state.
        axon: model of the dorsal-column fibres, for their conduction velocity.
        threads: to use.
        progress: called with a sentence and a share from 0 to 1.

    Returns:
        the product ``transmission`` (see ``product.DECLARED``).

    Raises:
        BadInput: a gate without seeds, trains that the step does not resolve.
    """
    if gate.seeds < 1:
        raise BadInput("gate.seeds", "there is none", got=gate.seeds, allowed="at least one")
    progress = progress or (lambda words, share: None)
    preset = gate.preset(patient)
    state = preset.state
    wiring = state.rewired(circuit.wiring())
    runs = _Runs(circuit, gate, wiring, state, recruitment, canal, axon)
    places, left_out = places_of(recruitment, patient, gate.places)
    touch = state.but(adelta=state.adelta.but(rate="0 Hz"), c=state.c.but(rate="0 Hz"))
    known = [i for i, one in enumerate(firing) if one is not None and np.isfinite(_levels(recruitment, programs[i])).all()]

    # every copy of every question in one batch: (question, ...) to the copies of its seeds
    asked: dict[tuple[Any, ...], list[Copy]] = {("off",): [Copy(runs.background(seed)) for seed in runs.seeds],
                                                ("touch", "off"): [Copy(runs.background(seed, touch)) for seed in runs.seeds]}
    arrivals: dict[tuple[int, int], list[afferents.Recruited]] = {}
    for i in known:
        one = firing[i]
        assert one is not None
        for p, place in enumerate(places):
            for h in gate.hypotheses:
                made = [runs.stimulated(programs[i], one, place, seed, h, runs.background(seed)) for seed in runs.seeds]
                asked["on", i, p, h] = [copy for copy, _ in made]
                arrivals[i, p] = [found for _, found in made if found is not None]
    mains = {i: _main(i, places, arrivals) for i in known}
    level_shares: dict[tuple[int, int], list[float]] = {}
    sweeps = {i: _amplitudes(recruitment, programs[i], places[mains[i]], gate.levels) for i in known}
    for i in known:
        one, place = firing[i], places[mains[i]]
        assert one is not None
        for h in gate.hypotheses:
            asked["touch", i, h] = [runs.stimulated(programs[i], one, place, seed, h, runs.background(seed, touch))[0] for seed in runs.seeds]
        for k, factor in enumerate(sweeps[i]):
            level = (factor * _levels(recruitment, programs[i])).tolist()
            made = [runs.stimulated(programs[i], one, place, seed, "none", runs.background(seed), level) for seed in runs.seeds]
            asked["level", i, k] = [copy for copy, _ in made]
            level_shares[i, k] = [found.share["local"] for _, found in made if found is not None]
        if _tonic(programs[i]) and arrivals.get((i, mains[i])):
            for k, frequency in enumerate(gate.frequencies):
                asked["frequency", i, k] = [runs.at_frequency(frequency, found.share, seed)
                                            for seed, found in zip(runs.seeds, arrivals[i, mains[i]], strict=True)]
    for k, frequency in enumerate(gate.frequencies):
        asked["every", k] = [runs.at_frequency(frequency, {"local": 1.0, "surround": 1.0}, seed) for seed in runs.seeds]
    fired, order = _play(runs, asked, runs.end, threads, lambda share: progress("pain gate", 0.7 * share))
    wound: Fired | None = None
    wound_order: dict[tuple[Any, ...], range] = {}
    if gate.volleys:
        winding: dict[tuple[Any, ...], list[Copy]] = {("off",): [Copy(runs.volleys(seed)) for seed in runs.seeds]}
        for i in known:
            one = firing[i]
            assert one is not None
            for h in gate.hypotheses:
                winding["on", i, h] = [runs.stimulated(programs[i], one, places[mains[i]], seed, h, runs.volleys(seed))[0] for seed in runs.seeds]
        wound, wound_order = _play(runs, winding, runs.wound, threads, lambda share: progress("pain gate", 0.7 + 0.3 * share))
    return _product(runs, preset, places, left_out, programs, known, arrivals, mains, sweeps, level_shares, fired, order, wound, wound_order)


def _play(runs: _Runs, asked: dict[tuple[Any, ...], list[Copy]], duration: float, threads: int,
          progress: Callable[[float], None]) -> tuple[Fired, dict[tuple[Any, ...], range]]:
    """All questions in one batch, and where the copies of each are in it. Copies with the same input are run once."""
    copies: list[Copy] = []
    order: dict[tuple[Any, ...], Any] = {}
    known: dict[tuple[bytes, bytes, bytes], int] = {}
    for name, own in asked.items():
        at = []
        for copy in own:
            print_of = (copy.trains.times.tobytes(), copy.trains.fibre.tobytes(), b"" if copy.current is None else copy.current.tobytes())
            if print_of not in known:
                known[print_of] = len(copies)
                copies.append(copy)
            at.append(known[print_of])
        order[name] = at
    return play(runs.circuit, runs.wiring, copies, runs.state.links(runs.wiring), duration, threads, progress=progress), order


def _levels(recruitment: xr.Dataset, program: Program) -> Floats:
    """(trains,) A that a program runs at."""
    return np.asarray(recruitment.programmed_amplitude.sel(program=[row.name for row in rows(program)]).values, float)


def _amplitudes(recruitment: xr.Dataset, program: Program, place: Place, count: int) -> Floats:
    """(count,) factors of the programmed amplitude in even ratios, from half of it to where half of the fibres of a place fire, to the
    amplitude of discomfort or half above the programmed one, whichever is highest; at most ten times the programmed one."""
    if not count:
        return np.empty(0)
    names, levels = [row.name for row in rows(program)], _levels(recruitment, program)
    at = recruitment.sel(program=names)
    own = (at.fibre_population.values == "dorsal-column") & (at.segment.values == place.dermatome) & (at.side.values == place.side)
    factor, weight = np.min(at.threshold.values[:, own] / levels[:, None], axis=0), at.weight.values[own]
    order = np.argsort(factor)
    reached = np.cumsum(weight[order]) >= 0.5 * weight.sum()
    half = float(factor[order][np.argmax(reached)]) if own.any() else 1.5
    discomfort = float(np.min(at.discomfort_threshold.values / levels))
    highest = max(1.5, *(one for one in (half, discomfort) if np.isfinite(one)))
    return np.geomspace(0.5, min(highest, 10.0), count)


def _tonic(program: Program) -> bool:
    return len(program.trains) == 1 and program.waveform.kind == "tonic"


def _main(i: int, places: Sequence[Place], arrivals: dict[tuple[int, int], list[afferents.Recruited]]) -> int:
    """The place where a program recruits most of the fibres of the receptive field."""
    def share(p: int) -> float:
        return max((found.share.get("local", 0.0) for found in arrivals.get((i, p), [])), default=-1.0)

    return max(range(len(places)), key=share)


def _interval(values: Floats) -> tuple[float, float, float]:
    """(mean, low, high) of values over seeds: the interval of the mean by Student's distribution; nan bounds for one value."""
    kept = values[np.isfinite(values)]
    if kept.size < 2:
        return (float(kept[0]) if kept.size else np.nan), np.nan, np.nan
    from scipy.stats import t as student  # takes long to import

    half = float(student.ppf(0.5 + SURE / 2, kept.size - 1)) * float(kept.std(ddof=1)) / np.sqrt(kept.size)
    return float(kept.mean()), float(kept.mean()) - half, float(kept.mean()) + half


def inhibition(on: Floats, off: Floats) -> tuple[float, float, float]:
    """(mean, low, high) by how many percent firing falls: copy by copy, of copies that fire without stimulation; negative where it rises."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return _interval(np.where(off > 0, 100.0 * (1.0 - on / off), np.nan))


def _product(runs: _Runs, preset: pain_state.Preset, places: Sequence[Place], left_out: str, programs: Sequence[Program], known: Sequence[int],
             arrivals: dict[tuple[int, int], list[afferents.Recruited]], mains: dict[int, int], sweeps: dict[int, Floats],
             level_shares: dict[tuple[int, int], list[float]], fired: Fired, order: dict[tuple[Any, ...], Any],
             wound: Fired | None, wound_order: dict[tuple[Any, ...], Any]) -> xr.Dataset:
    gate, wiring, cells = runs.gate, runs.wiring, fired.cells
    rates = fired.rate(runs.since)  # (copies, populations)
    shape = len(programs), len(gate.hypotheses), len(places)
    leaving = [cells.index(name) for name in wiring.projection]
    seeds = gate.seeds

    def empty(*size: int) -> Floats:
        return np.full(size, np.nan)

    on, blocked = empty(*shape, len(cells), seeds), empty(*shape, len(leaving), 3)
    share, arriving = empty(shape[0], shape[2], 2), empty(shape[0], shape[2], 2)
    touch, touch_off = empty(*shape[:2], len(leaving), seeds), rates[order["touch", "off"]][:, leaving].T
    levels = max((len(factors) for factors in sweeps.values()), default=0)
    amplitude, at_level = empty(shape[0], levels), empty(shape[0], levels, len(leaving), seeds)
    at_frequency, every = empty(shape[0], len(gate.frequencies), len(leaving), seeds), empty(len(gate.frequencies), len(leaving), seeds)
    shares = empty(shape[0], levels)
    off = rates[order["off",]].T
    for i in known:
        for p in range(len(places)):
            for h, hypothesis in enumerate(gate.hypotheses):
                on[i, h, p] = rates[order["on", i, p, hypothesis]].T
                blocked[i, h, p] = [inhibition(on[i, h, p, cell], off[cell]) for cell in leaving]
            found = arrivals.get((i, p), [])
            for t, target in enumerate(("local", "surround")):
                members = [k for group in wiring.fibres if group.target == target for k in group.members]
                share[i, p, t] = np.mean([one.share[target] for one in found]) if found else 0.0
                if found:
                    arriving[i, p, t] = np.mean([one.trains.rate(runs.since)[members].mean() for one in found])
        for h, hypothesis in enumerate(gate.hypotheses):
            touch[i, h] = rates[order["touch", i, hypothesis]][:, leaving].T
        first = _levels(runs.recruitment, programs[i])[0]
        for k, factor in enumerate(sweeps[i]):
            amplitude[i, k] = factor * first
            at_level[i, k] = rates[order["level", i, k]][:, leaving].T
            shares[i, k] = np.mean(level_shares.get((i, k), [0.0]))
        for k in range(len(gate.frequencies)):
            if ("frequency", i, k) in order:
                at_frequency[i, k] = rates[order["frequency", i, k]][:, leaving].T
    for k in range(len(gate.frequencies)):
        every[k] = rates[order["every", k]][:, leaving].T
    variables: dict[str, Any] = {
        "rate": on,
        "rate_off": off,
        "inhibition": blocked[..., 0],
        "inhibition_lower": blocked[..., 1],
        "inhibition_upper": blocked[..., 2],
        "recruited_share": share,
        "arriving_rate": arriving,
        "touch_rate": touch,
        "touch_rate_off": touch_off,
        "main_place": np.array([mains.get(i, -1) for i in range(len(programs))]),
        "sweep_amplitude": amplitude,
        "rate_at_amplitude": at_level,
        "share_at_amplitude": shares,
        "rate_at_frequency": at_frequency,
        "rate_at_frequency_all": every,
        **_in_time(programs),
        **_rasters(runs, known, mains, fired, order, len(programs)),
        **_courses(runs, known, fired, order, *shape),
        **_winding(runs, known, wound, wound_order, len(programs)),
    }
    coordinates = {
        "program": [program.name for program in programs], "hypothesis": list(gate.hypotheses), "place": [place.name for place in places],
        "dermatome": [place.dermatome for place in places], "body_side": [place.side for place in places],
        "served": np.array([place.served for place in places], float),
        "cell": list(cells), "projection": [cells[k] for k in leaving], "seed": list(runs.seeds), "target": ["local", "surround"],
        "frequency": np.array(gate.frequencies, float), "population": list(wiring.cells),
        "moment": np.array(MOMENTS), "piece": _pieces(runs.end)[:-1],
    }
    notes = [note for found in arrivals.values() for one in found[:1] for note in one.notes]
    notes += [left_out] if left_out else []
    unserved = [place.name for place in places if not place.served]
    notes += [f"no simulated fibre of {', '.join(unserved)} passes the leads: stimulation does not reach its gate"] if unserved else []
    notes += [*fired.failures, *(wound.failures if wound is not None else ())]
    attributes = {"circuit": runs.circuit.kind, "pain_state": preset.name, "pain_known": preset.known, "pain_assumed": preset.assumed,
                  "notes": list(dict.fromkeys(notes)), "counted_from": runs.since, "duration": runs.end, "onset": runs.onset}
    return declare("transmission", variables, coordinates, **attributes)


def _in_time(programs: Sequence[Program]) -> dict[str, Any]:
    """What multiplies the inhibition by each program at ``MOMENTS`` after switching on: wash-in and habituation (``slow_states``)."""
    found = [slow([(0.0, np.inf)], program.waveform.kind, MOMENTS) for program in programs]
    return {f"slow_{name}": np.array([getattr(one, of) for one in found])
            for name, of in (("factor", "factor"), ("lower", "low"), ("upper", "high"))}


def _rasters(runs: _Runs, known: Sequence[int], mains: dict[int, int], fired: Fired, order: dict[tuple[Any, ...], Any],
             programs: int) -> dict[str, Any]:
    """Action potentials of the first seed, without stimulation (row 0) and with each program where it recruits most (rows 1 ...)."""
    copies = [order["off",][0], *(order["on", i, mains[i], runs.gate.hypotheses[0]][0] if i in known else -1 for i in range(programs))]
    trains = [[np.empty(0)] * len(runs.wiring.cells) if copy < 0 else list(fired.spikes.times[copy]) for copy in copies]
    most = max(train.size for of_copy in trains for train in of_copy)
    times = np.full((len(copies), len(runs.wiring.cells), most), np.nan)
    for k, of_copy in enumerate(trains):
        for n, train in enumerate(of_copy):
            times[k, n, : train.size] = 1e-3 * train
    return {"spike_time": times}


def _pieces(end: float) -> Floats:
    """(pieces + 1,) s: ends of equal pieces of a run, about ``BIN`` long."""
    return np.linspace(0.0, end, max(1, round(end / BIN)) + 1)


def _courses(runs: _Runs, known: Sequence[int], fired: Fired, order: dict[tuple[Any, ...], Any], programs: int, hypotheses: int,
             places: int) -> dict[str, Any]:
    """Firing of projection neurons in time, copy by copy."""
    ends, cells = _pieces(runs.end), runs.wiring.projection
    spans, width = list(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)), float(ends[1])
    on = np.full((programs, hypotheses, places, len(cells), len(spans), runs.gate.seeds), np.nan)

    def course(copy: int, name: str) -> Floats:
        return np.full(len(spans), np.nan) if np.isfinite(fired.spikes.failed[copy]) else fired.within(copy, name, spans) / width

    off = np.array([[course(copy, name) for copy in order["off",]] for name in cells]).transpose(0, 2, 1)
    for i in known:
        for p in range(places):
            for h, hypothesis in enumerate(runs.gate.hypotheses):
                for c, name in enumerate(cells):
                    on[i, h, p, c] = np.array([course(copy, name) for copy in order["on", i, p, hypothesis]]).T
    return {"rate_in_time": on, "rate_in_time_off": off}


def _winding(runs: _Runs, known: Sequence[int], wound: Fired | None, order: dict[tuple[Any, ...], Any], programs: int) -> dict[str, Any]:
    """Answers of C fibres to each volley."""
    gate, leaving = runs.gate, runs.wiring.projection
    on = np.full((programs, len(gate.hypotheses), len(leaving), gate.volleys, gate.seeds), np.nan)
    off = np.full((len(leaving), gate.volleys, gate.seeds), np.nan)
    less = np.full((programs, len(gate.hypotheses), len(leaving), 3), np.nan)
    if wound is not None:
        spans = [(runs.since + k + C_COMPONENT[0], runs.since + k + C_COMPONENT[1]) for k in range(gate.volleys)]
        for c, name in enumerate(leaving):
            off[c] = np.array([wound.within(copy, name, spans) for copy in order["off",]]).T
            for i in known:
                for h, hypothesis in enumerate(gate.hypotheses):
                    on[i, h, c] = np.array([wound.within(copy, name, spans) for copy in order["on", i, hypothesis]]).T
                    less[i, h, c] = inhibition(on[i, h, c].sum(0), off[c].sum(0))
    return {"c_component": on,
            "c_component_off": off,
            "c_inhibition": less[..., 0],
            "c_inhibition_lower": less[..., 1],
            "c_inhibition_upper": less[..., 2]}


def used_numbers(circuit: Circuit, gate: Gate, patient: Patient | None, programs: Sequence[Program]) -> tuple[Number, ...]:
    """Every number from the tables that the gate of a case uses."""
    numbers = [number for program in programs for number in slow_states(program.waveform.kind).numbers]
    numbers += [*circuit.numbers(), *gate.preset(patient).numbers(), *gate.conduction.numbers()]
    for hypothesis in gate.hypotheses:
        numbers += afferents.hypothesis_numbers(hypothesis)
    return tuple(dict.fromkeys(numbers))


def summary(found: xr.Dataset) -> dict[str, Any]:
    """The main figures as plain values, per program."""
    def value(x: Any) -> float | None:
        return None if np.isnan(float(x)) else round(float(x), 3)

    programs = []
    for name in found.program.values:
        one = found.sel(program=name)
        rows_of: list[dict[str, Any]] = []
        for h in found.hypothesis.values:
            for p, place in enumerate(found.place.values):
                at = one.sel(hypothesis=h).isel(place=p)
                rows_of.append({"hypothesis": str(h), "place": str(place), **{
                    str(cell): {"hz": value(at.rate.sel(cell=cell).mean()), "hz_without": value(found.rate_off.sel(cell=cell).mean()),
                                "inhibition_percent": value(at.inhibition.sel(projection=cell)),
                                "from": value(at.inhibition_lower.sel(projection=cell)), "to": value(at.inhibition_upper.sel(projection=cell))}
                    for cell in found.projection.values}})
        answers, touched = [], []
        for h in found.hypothesis.values:
            for cell in found.projection.values:
                at = one.sel(hypothesis=h, projection=cell)
                label = {"hypothesis": str(h), "cell": str(cell)}
                answers.append({**label, "inhibition_percent": value(at.c_inhibition), "from": value(at.c_inhibition_lower),
                                "to": value(at.c_inhibition_upper)})
                touched.append({**label, "hz": value(at.touch_rate.mean()), "hz_without": value(found.touch_rate_off.sel(projection=cell).mean())})
        programs.append({"name": str(name), "transmission": rows_of, "c_component": answers, "touch": touched})
    return {"circuit": found.attrs["circuit"], "pain_state": found.attrs["pain_state"], "programs": programs, "notes": found.attrs["notes"]}


__all__ = ["Copy", "Fired", "Gate", "Place", "inhibition", "play", "summary", "sweep", "transmit", "used_numbers"]
