"""What enters the dorsal horn: when each fibre of a circuit fires.

    touch = background(wiring.fibres, seed=1, duration=6.0)
    trains = touch.merged(ideal(wiring.fibres, 50.0, 6.0))

``ideal`` gives every driven fibre every pulse, as the published circuit was driven. ``recruited`` takes from the fibre engine which fibres
fire at an amplitude and when, brings the action potentials to the segment, and asks of each whether it enters the collateral.
``hypothesis_inputs`` adds what a hypothesis of a sub-perception therapy claims. Everything here is in s; docs/gate-inputs.md says what is assumed.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from epidura import axon as models
from epidura.bundle import travelling_wave
from epidura.circuit import Fibre, Wiring
from epidura.errors import BadInput, nearest
from epidura.firing import steady
from epidura.pain_state import PainState, fact, fibre_class
from epidura.product import Canal
from epidura.program import CASE, Program, rows
from epidura.recipe import Recipe
from epidura.schedule import impulses
from epidura.tables import Number, table
from epidura.units import Frequency, Time
from epidura.waveform.base import SNAP

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Target = Literal["surround", "local", "both"]
Pattern = Literal["tonic", "burst", "asynchronous"]
Hypothesis = Literal["none", "asynchronous-fibres", "direct-interneuron"]

ONSET = 2.0
"""Stimulation begins so long after the background, s; rates are counted from then on."""

LEAD_IN = 2.0
"""The background begins so long before time 0, s, so that it is steady there."""

DRAWN = 600
"""Intervals that are drawn of each fibre at once: part of the law that makes the background, since the next fibre's follow in the stream."""

CLOCK = 1e-6
"""Trains that are made here lie on this grid, s."""

TICK = 1e-12
"""Rounding of times, s."""


@dataclass(frozen=True)
class Trains:
    """When the fibres of one copy of a circuit fire.

    Attributes:
        times: (e,) s, sorted by fibre and then by time.
        fibre: (e,) which one.
        fibres: how many there are.
        duration: s.

    Raises:
        BadInput: a time that is negative, not a number, beyond the duration or out of order; a fibre that does not exist.
    """

    times: Floats
    fibre: Ints
    fibres: int
    duration: float

    def __post_init__(self) -> None:
        times, fibre = np.asarray(self.times, float), np.asarray(self.fibre, np.int64)
        object.__setattr__(self, "times", times)
        object.__setattr__(self, "fibre", fibre)
        if times.ndim != 1 or times.shape != fibre.shape:
            raise BadInput("trains", "not one fibre for every time", got=f"{times.shape} times and {fibre.shape} fibres")
        if not 0 < self.duration < np.inf:
            raise BadInput("trains.duration", "not a duration", got=f"{self.duration:g} s", allowed="above 0 s")
        span = f"0 s to {self.duration:g} s"
        for wrong, problem, allowed in (
            ((fibre < 0) | (fibre >= self.fibres), "there is no such fibre", f"0 to {self.fibres - 1}"),
            (~np.isfinite(times), "not a time", span),
            (times < 0, "a fibre fires before the start", span),
            (times > self.duration, "a fibre fires after the end", span),
        ):
            if wrong.any():
                k = int(np.argmax(wrong))
                raise BadInput(f"trains.times[{k}]", problem, got=f"{times[k]:g} s in fibre {fibre[k]}", allowed=allowed)
        step, same = np.diff(times), np.diff(fibre)
        if (same < 0).any():
            k = int(np.argmax(same < 0))
            raise BadInput(f"trains.fibre[{k + 1}]", "fibres out of order", got=f"{fibre[k + 1]} after {fibre[k]} at {times[k + 1]:g} s",
                           allowed="rising numbers of fibres", hint="Trains.of takes one array for each fibre")
        late = (same == 0) & (step < 0)
        if late.any():
            k = int(np.argmax(late))
            raise BadInput(f"trains.times[{k + 1}]", "spike train out of order", allowed="rising times in each fibre",
                           got=f"{times[k + 1]:g} s after {times[k]:g} s in fibre {fibre[k]}")

    @classmethod
    def of(cls, trains: Sequence[Floats], duration: float) -> Trains:
        """From the times of each fibre, s."""
        times = [np.asarray(train, float) for train in trains]
        return cls(np.concatenate([*times, np.empty(0)]), np.repeat(np.arange(len(times)), [train.size for train in times]), len(times), duration)

    @classmethod
    def silent(cls, fibres: int, duration: float) -> Trains:
        """No fibre fires."""
        return cls(np.empty(0), np.empty(0, np.int64), fibres, duration)

    def each(self) -> list[Floats]:
        """The times of every fibre, s."""
        return np.split(self.times, np.searchsorted(self.fibre, np.arange(1, self.fibres))) if self.fibres else []

    def rate(self, start: float = 0.0) -> Floats:
        """(fibres,) action potentials per second from ``start`` to the end."""
        return np.bincount(self.fibre[self.times >= start], minlength=self.fibres) / (self.duration - start)

    def merged(self, other: Trains) -> Trains:
        """All action potentials of both, sorted; none is taken out, however close they are.

        Raises:
            BadInput: another number of fibres or another duration.
        """
        if (self.fibres, self.duration) != (other.fibres, other.duration):
            raise BadInput("trains", "of another circuit or duration", got=f"{other.fibres} fibres, {other.duration:g} s",
                           allowed=f"{self.fibres} fibres, {self.duration:g} s")
        return self._sorted(np.concatenate([self.times, other.times]), np.concatenate([self.fibre, other.fibre]))

    def _sorted(self, times: Floats, fibre: Ints) -> Trains:
        """Events in any order, without those after the end."""
        inside = times <= self.duration
        times, fibre = times[inside], fibre[inside]
        order = np.lexsort((times, fibre))
        return Trains(times[order], fibre[order], self.fibres, self.duration)

    def limited(self, refractory: float, among: Sequence[int] | None = None) -> Trains:
        """Without the action potentials that come less than ``refractory`` s after the last one that was kept of the fibre; fibres not
        ``among`` these keep all (None: all are among them)."""
        chosen = set(range(self.fibres) if among is None else among)
        return Trains.of([_kept(train, refractory) if k in chosen else train for k, train in enumerate(self.each())], self.duration)

    def jittered(self, rng: np.random.Generator, deviation: float) -> Trains:
        """Each action potential moved by a normal deviate, s; what would come before 0 is mirrored, what would come after the end is left out."""
        return self._sorted(np.abs(self.times + rng.normal(0.0, deviation, self.times.size)), self.fibre)

    def delayed(self, latency: Floats) -> Trains:
        """Each fibre later by its own of (fibres,) latencies, s; what would come after the end is left out.

        Raises:
            BadInput: not one for each fibre, or one that is negative or not finite.
        """
        latency = np.asarray(latency, float)
        if latency.shape != (self.fibres,):
            raise BadInput("latency", "not one for each fibre", got=latency.size, allowed=str(self.fibres))
        wrong = ~((latency >= 0) & np.isfinite(latency))
        if wrong.any():
            k = int(np.argmax(wrong))
            raise BadInput(f"latency[{k}]", "not a latency", got=f"{latency[k]:g} s", allowed="0 s or more")
        return self._sorted(self.times + latency[self.fibre], self.fibre)

    def invading(self, rng: np.random.Generator, half_rate: float, slope: float, among: Sequence[int]) -> Trains:
        """Those action potentials that enter the collateral into the dorsal horn; fibres not ``among`` these keep all.

        One that comes g s after the last one that entered does so with the chance 1 / (1 + (1 / (g half_rate))^slope), so that a slow train
        passes whole and of a fast one little more than ``half_rate`` enters, with irregular gaps. The first always enters.
        """
        chosen = set(among)
        return Trains.of([_entering(train, rng, half_rate, slope) if k in chosen else train for k, train in enumerate(self.each())], self.duration)


def _kept(train: Floats, refractory: float) -> Floats:
    if train.size < 2 or np.diff(train).min() >= refractory - TICK:
        return train
    last, kept = -np.inf, np.zeros(train.size, bool)
    for k, t in enumerate(train.tolist()):
        if t - last >= refractory - TICK:
            last, kept[k] = t, True
    return train[kept]


def _entering(train: Floats, rng: np.random.Generator, half_rate: float, slope: float) -> Floats:
    last, kept, draw = -np.inf, np.zeros(train.size, bool), rng.random(train.size).tolist()
    for k, t in enumerate(train.tolist()):
        rate = 1.0 / max((t - last) * half_rate, 1e-6)
        if draw[k] * (1.0 + rate**slope) < 1.0:
            last, kept[k] = t, True
    return train[kept]


def read_trains(path: str | Path, fibres: int, duration: float) -> Trains:
    """Trains from a CSV file with the columns ``fibre_index`` and ``t_ms``; fibres may alternate, each one's times rise.

    Raises:
        BadInput: no such file or column, a cell that is no number, or trains that cannot be.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(str(path), "no such file")
    times, fibre = [], []
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.DictReader(file)
        missing = [name for name in ("fibre_index", "t_ms") if name not in (lines.fieldnames or ())]
        if missing:
            raise BadInput(path.name, f"no column {', '.join(missing)}", got=", ".join(lines.fieldnames or ()), allowed="fibre_index, t_ms")
        for line in lines:
            try:
                fibre.append(int(line["fibre_index"]))
                times.append(float(line["t_ms"]))
            except (TypeError, ValueError):
                raise BadInput(f"{path.name}, line {lines.line_num}", "not a fibre and a time", got=f"{line['fibre_index']}, {line['t_ms']}",
                               allowed="a whole number and ms") from None
    which = np.array(fibre, np.int64)
    order = np.argsort(which, kind="stable")
    try:
        return Trains(np.array(times, float)[order] / 1e3, which[order], fibres, duration)
    except BadInput as failure:
        raise BadInput(path.name, failure.problem, got=failure.got, allowed=failure.allowed) from None


def _seed(seed: object) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise BadInput("seed", "trains cannot be drawn without one", got="none" if seed is None else str(seed), allowed="a whole number from 0",
                       hint="give --seeds" if seed is None else "")
    return int(seed)


def _count(fibres: Sequence[Fibre]) -> int:
    return max((group.first + group.count for group in fibres), default=0)


def _on_clock(times: Floats) -> Floats:
    """s, on whole microseconds, as three decimals of ms."""
    return np.asarray(np.round(1e3 * times, 3) / 1e3, float)


def background(fibres: Sequence[Fibre], seed: int, duration: float, state: PainState | None = None, surround: bool = False) -> Trains:
    """What fibres do without stimulation: independent gamma trains, the published background by default.

    ``DRAWN`` intervals are drawn for one fibre after the other from ``default_rng(seed)``, from ``LEAD_IN`` s before time 0 on. All classes
    are drawn, whether they fire or not, so that silencing one changes nothing in others; what a long run needs beyond comes from a stream of
    its own. Where a share of a class fires, a permutation from another stream says which.

    Args:
        state: rates, variations and shares; ``PainState()`` if None.
        surround: whether fibres of the surround fire too. The published runs leave them out: they alone silence the WDR cell of that circuit.

    Raises:
        BadInput: no seed, or fibres of a class without rates.
    """
    state, rng, trains = state or PainState(), np.random.default_rng(_seed(seed)), [np.empty(0)] * _count(fibres)
    for group in fibres:
        activity, usual = state.activity(group.name), fact("rate", fibre_class(group.name)).value
        shape, mean = 1.0 / activity.variation**2, 1e3 / (activity.rate or usual)
        fires = np.random.default_rng([seed, group.first]).permutation(group.count) < int(activity.share * group.count + 0.5)
        wanted = activity.rate > 0 and (surround or group.target != "surround")
        for k, fires_here in zip(group.members, fires, strict=True):
            t = np.cumsum(rng.gamma(shape, mean / shape, DRAWN)) - 1e3 * LEAD_IN
            more = np.random.default_rng([seed, k, 1])
            while wanted and t[-1] < 1e3 * duration:
                t = np.concatenate([t, t[-1] + np.cumsum(more.gamma(shape, mean / shape, DRAWN))])
            t = np.round(t, 3)
            if wanted and fires_here:
                trains[k] = t[(t > 0) & (t < 1e3 * duration)] / 1e3
    return Trains.of(trains, duration)


def volleys(fibres: Sequence[Fibre], duration: float, seed: int = 3, protocol: Literal["wind-up", "a-inhibition"] = "wind-up",
            count: int = 20, first: float = 1.0, interval: float | None = None) -> Trains:
    """Synchronous volleys of a nerve: one action potential of every fibre for each pulse, at a latency that is the fibre's own.

    Latencies are drawn once from ``default_rng(seed)``, class after class, normal (data/afferents.csv) and at least 0.5 ms; fibres of the
    surround stay silent.

    Args:
        protocol: ``wind-up``, pulses to all fibres; ``a-inhibition``, pulses to all, each followed 150 ms later by one to A fibres only.
        count: of the volleys.
        first: time of the first pulse, s.
        interval: between pulses, s; 1 s in wind-up and 2 s else if None.
    """
    rng, trains = np.random.default_rng(_seed(seed)), [np.empty(0)] * _count(fibres)
    interval = interval or {"wind-up": 1.0, "a-inhibition": 2.0}[protocol]
    pulses = first + interval * np.arange(count)
    for group in fibres:
        if group.target == "surround":
            continue
        name = fibre_class(group.name)
        law = table("afferents").row(quantity=f"{protocol} latency", fibres=name)
        latency = np.round(np.maximum(rng.normal(float(law["value"]), float(law["range"].removeprefix("+-")), group.count), 0.5), 3) / 1e3
        own = np.sort(np.concatenate([pulses, pulses + 0.15])) if protocol == "a-inhibition" and name != "C" else pulses
        for k, late in zip(group.members, latency, strict=True):
            t = _on_clock(own + late)
            trains[k] = t[t < duration]
    return Trains.of(trains, duration)


def single_pulses(fibres: Sequence[Fibre], duration: float = 30.0, first: float = 5.1, interval: float = 1.0, count: int = 25,
                  target: Target = "surround") -> Trains:
    """Pulses far apart to all fibres of a target, identical in all: what the inhibition by one pulse is seen with."""
    pulses = _on_clock(np.asarray(first + interval * np.arange(count), float))
    return _driven(fibres, pulses[pulses < duration], duration, 1.0, target)


def _driven(fibres: Sequence[Fibre], pulses: Floats, duration: float, share: float, target: Target | str) -> Trains:
    trains = [np.empty(0)] * _count(fibres)
    for k in driven(fibres, share, target):
        trains[k] = pulses
    return Trains.of(trains, duration)


def driven(fibres: Sequence[Fibre], share: float, target: Target | str) -> list[int]:
    """Numbers of the first ``share`` of the fibres of a target.

    Raises:
        BadInput: no such target, or a share that is none.
    """
    if target not in get_args(Target):
        raise BadInput("target", "there is no such target", got=str(target), allowed=", ".join(get_args(Target)),
                       hint=nearest(str(target), get_args(Target)))
    if not 0 <= share <= 1:
        raise BadInput("share", "not a share of the fibres", got=f"{share:g}", allowed="0 to 1")
    return [k for group in fibres if group.target and target in (group.target, "both") for k in group.members[: int(share * group.count + 0.5)]]


def ideal(fibres: Sequence[Fibre], frequency: float, duration: float, *, target: Target | str = "both", share: float = 1.0,
          pattern: Pattern | str = "tonic", onset: float = ONSET, seed: int | None = None, pulses: int = 5, intra_frequency: float = 500.0) -> Trains:
    """Stimulation that every driven fibre follows, without latency.

    Args:
        frequency: pulses, or packets of ``burst``, per second; 0: none.
        target: ``local`` fibres, those of the ``surround``, or both.
        share: of the fibres of each target that are driven, the first ones.
        pattern: ``tonic``, identical pulses; ``burst``, packets of ``pulses`` at ``intra_frequency``; ``asynchronous``, each fibre on its own at
            the mean rate ``frequency`` with gamma intervals (data/hypotheses.csv), which needs a seed.
        onset: s.

    Raises:
        BadInput: a frequency, share, target or pattern that does not exist, packets that overlap, or no seed where one is needed.
    """
    if not 0 <= frequency < np.inf:
        raise BadInput("frequency", "not a frequency", got=f"{frequency:g} Hz", allowed="0 Hz or more")
    if pattern not in get_args(Pattern):
        raise BadInput("pattern", "there is no such pattern", got=str(pattern), allowed=", ".join(get_args(Pattern)),
                       hint=nearest(str(pattern), get_args(Pattern)))
    chosen = driven(fibres, share, target)
    if frequency == 0:
        return Trains.silent(_count(fibres), duration)
    if pattern == "asynchronous":
        return _independent(chosen, frequency, _hypothesis("asynchronous-fibres", "variation").value, _count(fibres), duration, onset, _seed(seed))
    count = max(0, int(np.ceil((duration - onset) * frequency)) + 1)
    begins = 1e3 * onset + np.arange(count) * 1e3 / frequency  # ms, as the published trains were rounded
    if pattern == "burst":
        if (pulses - 1) / intra_frequency >= 1.0 / frequency:
            raise BadInput("frequency", "packets overlap", got=f"{frequency:g} Hz", allowed=f"below {intra_frequency / max(pulses - 1, 1):g} Hz")
        begins = (begins[:, None] + np.arange(pulses) * 1e3 / intra_frequency).ravel()
    times = np.round(begins, 3) / 1e3
    return _driven(fibres, times[times < duration - TICK], duration, share, target)


def _independent(chosen: Sequence[int], rate: float, variation: float, fibres: int, duration: float, onset: float, seed: int) -> Trains:
    """Gamma trains from ``onset`` on, each from a stream of its own; drawn from ``LEAD_IN`` s earlier so that they do not begin together."""
    trains, shape = [np.empty(0)] * fibres, 1.0 / variation**2
    for k in chosen:
        rng, t = np.random.default_rng([seed, k, 2]), np.array([onset - LEAD_IN])
        while t[-1] < duration:
            t = np.concatenate([t, t[-1] + np.cumsum(rng.gamma(shape, 1.0 / (rate * shape), 256))])
        t = _on_clock(t)
        trains[k] = t[(t >= onset) & (t < duration)]
    return Trains.of(trains, duration)


def _collateral(quantity: str) -> Number:
    rows_ = table("collaterals")
    return rows_.number(f"{quantity} (collaterals)", "value", rows_.row(quantity=quantity)["unit"], quantity=quantity)


def _hypothesis(name: str, quantity: str) -> Number:
    rows_ = table("hypotheses")
    return rows_.number(f"{quantity} ({name})", "value", rows_.row(hypothesis=name, quantity=quantity)["unit"], hypothesis=name, quantity=quantity)


class Conduction(Recipe):
    """What happens to an action potential between the lead and the dorsal horn (data/afferents.csv, data/collaterals.csv).

    Attributes:
        jitter: standard deviation of its time of arrival.
        refractory: a fibre does not fire again within it.
        collaterals: whether action potentials may fail to enter the collateral into the dorsal horn; that fast trains do is known, at which
            rate is a judgement.
        half_rate: at which half of them enter (``Trains.invading``).
        slope: how sharply entering falls with the rate.
    """

    jitter: Time = Field(default_factory=lambda: fact("jitter", "Abeta").value * 1e-3, ge=0)
    refractory: Time = Field(default_factory=lambda: fact("refractory period", "Abeta").value * 1e-3, ge=0)
    collaterals: bool = True
    half_rate: Frequency = Field(default_factory=lambda: _collateral("half rate").value, gt=0)
    slope: float = Field(default_factory=lambda: _collateral("slope").value, gt=0)

    def arriving(self, driven: Trains, background: Trains | None, fibres: Sequence[Fibre], rng: np.random.Generator) -> Trains:
        """What enters the dorsal horn of action potentials that a lead drives, and of the background that shares large fibres with them."""
        trains = driven.jittered(rng, self.jitter)
        if background is not None:
            trains = trains.merged(background)
        large = [k for group in fibres if group.target for k in group.members]
        trains = trains.limited(self.refractory, large)
        return trains.invading(rng, self.half_rate, self.slope, large) if self.collaterals else trains

    def numbers(self) -> tuple[Number, ...]:
        """The sources of what was left at its default and is used."""
        default = Conduction()
        own = {"jitter": fact("jitter", "Abeta"), "refractory": fact("refractory period", "Abeta"),
               **({"half_rate": _collateral("half rate"), "slope": _collateral("slope")} if self.collaterals else {})}
        return tuple(number for name, number in own.items() if getattr(self, name) == getattr(default, name))


@dataclass(frozen=True)
class Recruited:
    """What the fibre engine sends into one segment.

    Attributes:
        trains: at the segment, of all fibres of the circuit.
        share: of the real fibres of each target, the share that fires at the amplitude.
        driven: how many of the circuit's fibres stand for them.
        stands_for: (fibres,) number of the simulated fibre that each fibre of the circuit is; -1 where it is none.
        latency: (fibres,) time from its beginning to the segment, s, of the first train; nan where nothing arrives.
        notes: what a reader should know.
    """

    trains: Trains
    share: dict[str, float]
    driven: dict[str, int]
    stands_for: Ints
    latency: Floats
    notes: tuple[str, ...] = ()


def recruited(firing: xr.Dataset, recruitment: xr.Dataset, program: Program, canal: Canal, fibres: Sequence[Fibre], dermatome: str, side: str,
              seed: int, duration: float, *, amplitude: Sequence[float] | float | None = None, background: Trains | None = None,
              conduction: Conduction | None = None, onset: float = ONSET, axon: str = "mrg-interpolated") -> Recruited:
    """What a program's fibres send into the dorsal horn of one dermatome and side.

    The fibres of the dermatome itself in the dorsal column are the ``local`` ones of the circuit, those of the segments above and below are
    its ``surround``. A fibre fires if its threshold is not above the amplitude of a train. The circuit's fibres stand for them in even steps of
    real fibres ranked by threshold, so that their driven share is the recruited one to 1 / count. Each takes its own train from ``firing``, or
    at another amplitude, or if it was not followed, that of the firing fibre nearest to it in threshold over amplitude; where none that
    fires was followed, one action potential for every pulse or packet.

    A train is continued by repeating its whole cycles after the answer to the onset, and begins anew with every turn of a program that is
    switched on and off. Where a fibre is not locked to the pulses every repetition is turned by a random part of itself. Then: the way from the
    contacts to the segment at the velocity of the fibre's diameter, jitter, refractoriness, collaterals.

    Args:
        firing: product, of this program.
        recruitment: product, of the same fibres.
        program: with the contacts from which action potentials come: its cathodes.
        canal: of the leads.
        fibres: of the circuit.
        dermatome, side: such as ``L5``, ``left``.
        seed: of the stratified choice, of jitter, of turning and of collaterals.
        duration: s.
        amplitude: A of each train; as programmed if None.
        background: of the circuit's fibres, joined before refractoriness and collaterals, which both share.
        conduction: settings.
        onset: s.
        axon: model whose conduction velocity is taken.

    Raises:
        BadInput: a seed, dermatome, side, program or amplitude that cannot be.
    """
    seed, conduction = _seed(seed), conduction or Conduction()
    notes: list[str] = []
    names = [row.name for row in rows(program)]
    known = [str(name) for name in recruitment.program.values]
    if str(firing.attrs.get("program")) != program.name or not set(names) <= set(known):
        raise BadInput("program", "not the one whose fibres were followed", got=program.name, allowed=str(firing.attrs.get("program")))
    which = [known.index(name) for name in names]
    programmed = recruitment.programmed_amplitude.values[which]
    level = programmed if amplitude is None else np.broadcast_to(np.asarray(amplitude, float), len(which))
    if not ((level > 0) & np.isfinite(level)).all():
        raise BadInput("amplitude", "not a positive current", got=", ".join(f"{a:g} A" for a in level), allowed="above 0 A",
                       hint="a share of a perception threshold that is not reached has no current")
    ratio = np.min(recruitment.threshold.values[which] / level[:, None], axis=0)
    scale = float(firing.attrs["level"]) / float(level.max())
    followed = np.asarray(firing.fibre_index.values, np.int64)
    at_firing = ratio[followed] / scale
    fires_there = at_firing <= 1.0
    same = abs(scale - 1.0) < 1e-6
    beyond = int(((firing.spike_count.values > 0) & ~fires_there).sum())
    if beyond:
        notes.append(f"{beyond} of {followed.size} followed fibres fire in the train with a threshold above the amplitude; left out")
    places = _segments(recruitment, canal, dermatome, side, notes)
    rng = np.random.default_rng([seed, 3])
    trains: list[Floats] = [np.empty(0)] * _count(fibres)
    stands_for, latency = np.full(len(trains), -1), np.full(len(trains), np.nan)
    shares: dict[str, float] = {}
    counts: dict[str, int] = {}
    ways = _ways(program, canal, dermatome)
    period = program.cycle.on if program.cycle is not None else duration - onset
    turns = np.arange(0.0, duration - onset, program.cycle.on + program.cycle.off) if program.cycle is not None else np.zeros(1)
    pulses = [] if fires_there.any() else [(one.time, one.train) for one in impulses(program, duration - onset)]
    begins, of_train = np.array([time for time, _ in pulses]), np.array([train for _, train in pulses], np.intp)
    for group in fibres:
        if not group.target:
            continue
        members = np.flatnonzero(places[group.target])
        chosen, share = _strata(ratio[members], recruitment.weight.values[members], group.count, rng)
        shares[group.target], counts[group.target] = share, 0
        for k, own in zip(group.members, members[chosen], strict=True):
            stands_for[k] = own
            if ratio[own] > 1.0:
                continue
            counts[group.target] += 1
            way = ways / velocity(axon, float(recruitment.diameter.values[own]))
            latency[k] = way[0]
            if not fires_there.any():
                fires = recruitment.threshold.values[which, own] <= level
                answered = fires[of_train]
                trains[k] = _on_clock(onset + (begins[answered] + way[of_train[answered]]))
                continue
            itself = np.flatnonzero(followed == own) if same else np.empty(0, np.int64)
            nearest_one = int(np.argmin(np.where(fires_there, np.abs(np.log(at_firing / ratio[own])), np.inf)))
            place = int(itself[0]) if itself.size else nearest_one
            trains[k] = _on_clock(onset + np.concatenate([turn + continued(firing, place, period, way, rng) for turn in turns]))
    if any(counts.values()) and not fires_there.any():
        notes.append("no fibre was followed in time that fires at this amplitude; those that fire answer every pulse or packet once")
    made = Trains.of([np.sort(train[(train >= 0) & (train < duration)]) for train in trains], duration)
    return Recruited(conduction.arriving(made, background, fibres, rng), shares, counts, stands_for, latency, tuple(notes))


def _segments(recruitment: xr.Dataset, canal: Canal, dermatome: str, side: str, notes: list[str]) -> dict[str, NDArray[np.bool_]]:
    """(simulated fibres,) which are of the dermatome, and which of its neighbours."""
    column = (recruitment.fibre_population.values == "dorsal-column") & (recruitment.side.values == side)
    segment = recruitment.segment.values
    present = [span.name for span in canal.cord.segments if (column & (segment == span.name)).any()]
    if side not in ("left", "right"):
        raise BadInput("side", "there is no such side", got=side, allowed="left, right")
    if dermatome not in present:
        raise BadInput("dermatome", "no simulated fibre of the dorsal columns serves it", got=dermatome, allowed=", ".join(present),
                       hint="fibres of a dermatome pass a lead only if it lies at or above their segment")
    order = [span.name for span in canal.cord.segments]
    at, reach = order.index(dermatome), int(_collateral("neighbouring segments").value)
    neighbours = [name for name in order[max(0, at - reach) : at + reach + 1] if name != dermatome]
    missing = [name for name in neighbours if name not in present]
    if missing:
        notes.append(f"the surround of {dermatome} has no simulated fibres of {', '.join(missing)}")
    return {"local": column & (segment == dermatome), "surround": column & np.isin(segment, neighbours)}


def _strata(ratio: Floats, weight: Floats, count: int, rng: np.random.Generator) -> tuple[NDArray[np.intp], float]:
    """(count,) fibres in even steps of weight, by rising threshold over amplitude, and the share of weight that fires."""
    if not ratio.size:
        return np.empty(0, np.intp), 0.0
    order = np.argsort(ratio, kind="stable")
    reached = np.cumsum(weight[order]) / weight.sum()
    steps = (np.arange(count) + rng.random()) / count
    return order[np.minimum(np.searchsorted(reached, steps), order.size - 1)], float(weight[ratio <= 1.0].sum() / weight.sum())


def _ways(program: Program, canal: Canal, dermatome: str) -> Floats:
    """(trains,) distance along the spine from the middle of a train's cathodes to the middle of the segment, m."""
    (target,) = [span.middle for span in canal.cord.segments if span.name == dermatome]
    place = {contact.number: 0.5 * (contact.z0 + contact.z1) for contact in canal.contacts}
    out = []
    for train in program.trains:
        inside = {n: share for n, share in train.contacts.items() if n != CASE and share != 0}
        cathodes = {n: -share for n, share in inside.items() if share < 0} or inside
        out.append(abs(sum(share * place[n] for n, share in cathodes.items()) / sum(cathodes.values()) - target))
    return np.array(out)


def velocity(axon: str, diameter: float) -> float:
    """Conduction velocity of a fibre, m/s: that of the fibre engine, on straight lines between whole micrometres of diameter (m).

    The model's own bounds are taken for diameters just beyond them.
    """
    model = models.family.read({"kind": axon})
    low, high = np.floor(1e6 * diameter), np.ceil(1e6 * diameter)
    ends = [float(model.fit(np.array([um * 1e-6]))[0]) for um in (low, high)]
    return float(np.interp(diameter, ends, [_velocity(axon, end) for end in ends])) if ends[1] > ends[0] else _velocity(axon, ends[0])


@cache
def _velocity(axon: str, diameter: float) -> float:
    return float(travelling_wave(axon, diameter, precision="float32").velocity[0])


def continued(firing: xr.Dataset, place: int, duration: float, way: Floats, rng: np.random.Generator) -> Floats:
    """When the action potentials of one followed fibre arrive, s after switching on: those of all pulses that begin within ``duration``.

    Those that answer pulses of the onset come once, those of the whole cycles after it (all where none was seen whole) again and again, every
    repetition turned by a random part of itself where the vector strength is below ``locked`` of data/afferents.csv.

    Args:
        firing: product.
        place: of the fibre in it.
        duration: s.
        way: (trains,) conduction time from where a train's action potentials begin, s.
        rng: of the turning.
    """
    pulse = firing.spike_pulse.values[place]
    began = firing.initiation_time.values[place]
    seen = np.isfinite(began) & (pulse >= 0)
    pulse, began = pulse[seen].astype(int), began[seen]
    # the whole cycles after the onset in which ``firing`` counts the rate of a fibre
    low, high = steady(float(firing.latency.values[place]), float(firing.duration), float(firing.cycle))
    length, strength = high - low, float(firing.vector_strength.values[place])
    at = firing.pulse_time.values[pulse]
    arrived = began + np.asarray(way)[firing.pulse_train.values[pulse].astype(int)]
    once, again = at < min(low - SNAP, duration), (at > low - SNAP) & (at < high - SNAP)
    free = np.isfinite(strength) and strength < fact("locked", "Abeta").value
    found = [arrived[once]]
    for start in np.arange(low, duration, length):
        since, answer = at[again] - low, arrived[again] - low
        if free:
            since = answer = (answer + length * rng.random()) % length
        found.append((start + answer)[start + since < duration - SNAP])
    return np.sort(np.concatenate(found))


def hypothesis_inputs(name: Hypothesis, program: Program, wiring: Wiring, seed: int, duration: float,
                      onset: float = ONSET) -> tuple[Trains | None, Floats | None]:
    """What a hypothesis of a therapy below perception adds to the input of a circuit; numbers are in data/hypotheses.csv.

    * ``none``: nothing. What the fibre engine finds is all there is: with fibres that do not fire, stimulation has no effect.
    * ``asynchronous-fibres``: claims that kilohertz pulses below perception make some large fibres fire irregularly, without synchrony and
      therefore without sensation (Sagalajev 2024, rats, pigs, one patient). A share of the fibres of both targets gets independent trains from
      the onset on. Only where a train's period is at most 1 ms. Against it: models of the human cord need far higher amplitudes to fire a
      large fibre at all (Lempka 2015), and single units of the rat fired mostly well above motor threshold (Crosby 2017).
    * ``direct-interneuron``: claims that 10 kHz below perception excites inhibitory interneurons directly (Lee 2020), but 1 and 5 kHz (Lee 2020) and
      bursts (Lee 2021) do not. Every neuron with an inhibitory link gets a current. Only from 7.07 kHz on. Against it: calcium imaging of slices
      shows activity that rises with frequency in all layers, not in inhibitory cells alone; and Sagalajev 2024 explains it by fibres.

    Args:
        name: of the hypothesis.
        program: any train of it may do.
        wiring: the circuit.
        seed: of the trains.
        duration: s.
        onset: s.

    Returns:
        trains to be merged, and (neurons,) current in nA, as ``numerics.network.Member.current`` takes it; None for what is not added.

    Raises:
        BadInput: there is no such hypothesis, or no seed.
    """
    if name not in get_args(Hypothesis):
        raise BadInput("hypothesis", "there is no such hypothesis", got=str(name), allowed=", ".join(get_args(Hypothesis)),
                       hint=nearest(str(name), get_args(Hypothesis)))
    seed, fastest = _seed(seed), min(train.waveform.period for train in program.trains)
    if name == "asynchronous-fibres" and fastest <= _hypothesis(name, "longest period").value * 1e-3 * (1 + 1e-9):
        chosen = driven(wiring.fibres, _hypothesis(name, "share").value, "both")
        return _independent(chosen, _hypothesis(name, "rate").value, _hypothesis(name, "variation").value, _count(wiring.fibres), duration, onset,
                            seed), None
    if name == "direct-interneuron" and 1.0 / fastest >= _hypothesis(name, "lowest frequency").value * 1e3:
        current = np.zeros(len(wiring.cells))
        current[wiring.network.links.source[np.array([kind != "" for kind in wiring.inhibitory], bool)]] = _hypothesis(name, "current").value
        return None, current
    return None, None


def hypothesis_numbers(name: Hypothesis) -> tuple[Number, ...]:
    """The numbers that a hypothesis stands on, with their sources."""
    return tuple(_hypothesis(name, row["quantity"]) for row in table("hypotheses") if row["hypothesis"] == name)
