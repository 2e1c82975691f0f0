"""When fibres fire: the action potentials of a program in time.

``fire`` puts the whole course of a program, all trains together with their turns and ramps, on the time grid of the fibre engine and
follows some fibres through it. Thresholds say whether one pulse or packet makes a fibre fire (``recruitment``); here it is the sequence
that counts: the second pulse of a burst that fires where the first does not, the answer to the onset of a kilohertz train and what is
left of it later, two trains that meet on one fibre.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from epidura import axon
from epidura.bundle import INJECTED
from epidura.delivery import Electronics, deliver, separated, volts_per_ampere
from epidura.errors import BadInput
from epidura.fibre import Population
from epidura.product import Fibres, LeadField, declare
from epidura.program import Program
from epidura.recipe import Recipe
from epidura.recruitment import PLACED, Engine, Group, Progress, grouped, place_fibres
from epidura.schedule import Controller, Impulse, cycle_of, impulses
from epidura.units import Time
from epidura.waveform import Course
from epidura.waveform.base import SNAP

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ONSET = 10e-3
"""The answer to the onset is what comes earlier than this, s; steady firing is counted in whole cycles after it."""

TOGETHER = 1e-3
"""Fibres that begin to fire within this time of a pulse fire together, s; also the bin in which fibres are compared."""

LONGEST = 60.0
"""s; longer courses are refused."""

HOP = 0.5e-3
"""Longest time from one node to the next, s: an action potential that was not at the node before within it began here."""

RATE, SPARE = 1500, 16
"""Action potentials per second that a node is expected to make at most, and as many more are kept."""

TEST_LEFT = 20e-3
"""How long before the end, s, a fibre that fell silent is asked whether it still conducts (half of the duration if that is shorter)."""
TEST_NODE, TEST_WIDTH = 2, 1e-4

CARRIER = 1e-3
"""Single pulses that follow each other faster than this, s, may block."""


REACH = 1.5
"""Times the amplitude of a train, up to which the threshold of a fibre may lie that is followed."""


class Firing(Recipe):
    """How much of the firing in time a run of a case follows.

    Attributes:
        fibres: at most so many of each program, those near its amplitude; 0: none.
        duration: from switching on; without one, what shows the type of stimulation (``usual_duration``).
    """

    fibres: int = Field(48, ge=0)
    duration: Time | None = Field(None, gt=0, le=LONGEST)


@dataclass(frozen=True)
class Stimulus:
    """A program on a time grid.

    Attributes:
        mixing: (p, contacts) current into tissue of each pattern.
        samples: (p, steps) of each pattern, relative to ``level``.
        level: A.
        impulses: pulses and packets in it.
        pulse: (k,) start of every pulse, those inside packets one by one, s.
        packet, number: (k,) which of the ``impulses`` it is in, and its number there, from 1 on.
    """

    mixing: Floats
    samples: Floats
    level: float
    impulses: tuple[Impulse, ...]
    pulse: Floats
    packet: Ints
    number: Ints


def stimulus(program: Program, lead_field: LeadField, amplitude: Sequence[float] | float, duration: float, engine: Engine | None = None,
             electronics: Electronics | None = None, controller: Controller | None = None, where: str = "") -> Stimulus:
    """What the fibres see of a program from switching on to ``duration`` s.

    Every pulse brings the currents of a program that has run for long (``delivery.deliver``), times its factor of the ramp and the controller.
    Passive recharge ends when the next pulse of any train begins.

    Args:
        amplitude: A of each train.

    Raises:
        BadInput: a duration that is none, amplitudes that are no positive currents or not one per train.
        BadCase: contacts that do not exist, trains that do not fit.
    """
    engine, electronics = engine or Engine(), electronics or Electronics()
    levels = _levels(program, amplitude, where)
    if not 0 < duration <= LONGEST:
        raise BadInput("duration", "not a time that can be followed", got=f"{duration:g} s", allowed=f"above 0 s, up to {LONGEST:g} s")
    shortest = min(train.waveform.pulse().shortest for train in program.trains)
    if engine.dt > shortest * (1 + 1e-9):
        raise BadInput("engine.dt", "the step is longer than the shortest phase of the program", got=f"{engine.dt * 1e6:g} us",
                       allowed=f"up to {shortest * 1e6:g} us")
    found = tuple(impulses(program, duration, controller))
    if not found:
        raise BadInput("duration", "no pulse begins within it", got=f"{duration:g} s", allowed="longer")
    rows, pieces = zip(*(_response(program.alone(i), lead_field, electronics) for i in range(len(program.trains))), strict=True)
    first = np.cumsum([0, *(len(row) for row in rows)])
    level, steps = max(levels), round(np.ceil(duration / engine.dt - 1e-6))
    samples = np.zeros((first[-1], steps))
    known: dict[tuple[int, int, int], Floats] = {}
    for impulse, following in zip(found, (*found[1:], None), strict=True):
        train = program.trains[impulse.train]
        start = int(impulse.time / engine.dt + 1e-6)
        late = round((impulse.time - start * engine.dt) / SNAP)
        until = round(train.waveform.period / SNAP) if following is None else min(round((following.time - impulse.time) / SNAP),
                                                                                  round(train.waveform.period / SNAP))
        key = impulse.train, late, until if train.waveform.passive else 0
        if key not in known:
            known[key] = _on_grid(pieces[impulse.train], late * SNAP, until * SNAP if train.waveform.passive else np.inf, engine)
        own = known[key][:, : max(0, steps - start)]
        factor = impulse.factor * levels[impulse.train] / level
        samples[first[impulse.train] : first[impulse.train + 1], start : start + own.shape[1]] += factor * own
    begins = [_starts(train.waveform.pulse()) for train in program.trains]
    pulse = [(impulse.time + t, k, n) for k, impulse in enumerate(found) for n, t in enumerate(begins[impulse.train], 1)
             if impulse.time + t < duration]
    time, packet, number = zip(*pulse, strict=True)
    return Stimulus(np.concatenate(rows), samples, level, found, np.array(time), np.array(packet), np.array(number))


def _levels(program: Program, amplitude: Sequence[float] | float, where: str) -> list[float]:
    levels = [float(a) for a in np.atleast_1d(np.asarray(amplitude, float))]
    if len(levels) != len(program.trains):
        raise BadInput(f"{where}amplitude", "not one for every train", got=len(levels), allowed=str(len(program.trains)))
    for level in levels:
        if not 0 < level < np.inf:
            raise BadInput(f"{where}amplitude", "not a positive current", got=f"{level:g} A", allowed="above 0 A",
                           hint="a share of a perception threshold that is not reached has no current")
    return levels


def _response(program: Program, lead_field: LeadField, electronics: Electronics) -> tuple[Floats, tuple[Course, ...]]:
    """Patterns (p, contacts) and as many courses of one pulse with its recharge, per ampere of a program of one train."""
    given = program.amplitude.voltage is not None
    one = deliver(program, lead_field, [1.0], electronics, finely=True)  # per A, or per V
    scale = volts_per_ampere(program, lead_field, electronics) if given else 1.0
    return separated(one.record, one.contacts, lead_field, scale)


def _on_grid(courses: Sequence[Course], late: float, until: float, engine: Engine) -> Floats:
    """(p, steps) of courses that begin ``late`` s after a step, cut off ``until`` s after their start."""
    rows = []
    for course in courses:
        inside = course.times < until - SNAP
        times, values = course.times[inside], course.values[inside]
        if not inside.all():
            times, values = np.append(times, until), np.append(values, 0.0)
        if late > 0:
            times, values = np.append(0.0, times + late), np.append(0.0, values)
        shifted = Course(times, values)
        rows.append(shifted.step_means(engine.dt) if engine.scheme == "second-order" else shifted.at_step_starts(engine.dt))
    # what rounding leaves would make every pulse another one to the engine, which knows equal stretches again by their bits
    return np.asarray(np.round(np.stack(rows), 12), np.float64)


def _starts(course: Course) -> Floats:
    """Where the pulses of a packet begin, s: each phase of the first sign after another one."""
    on = course.values > 0
    return np.asarray(course.times[on & ~np.append(False, on[:-1])], float)


def fire(lead_field: LeadField, populations: Sequence[Population] | Population, program: Program, amplitude: Sequence[float] | float,
         duration: float | None = None, engine: Engine | None = None, electronics: Electronics | None = None,
         controller: Controller | None = None, chosen: NDArray[np.intp] | None = None, weight: Floats | None = None,
         progress: Progress | None = None, where: str = "") -> xr.Dataset:
    """When each fibre fires at its upper end, and what that is like.

    Args:
        lead_field: of the canal with its leads.
        populations: one or several, placed as ``recruit`` does.
        program: with all its trains.
        amplitude: A of each train; one number where there is one.
        duration: from switching on, s; ``usual_duration`` if None.
        engine: numerical settings.
        electronics: of the generator.
        controller: of a closed loop.
        chosen: (f,) which of the placed fibres; all if None.
        weight: (f,) real fibres that each of these stands for; as placed if None.
        progress: called with a sentence and a share from 0 to 1.
        where: path of the program in a case, for errors.

    Returns:
        the product ``firing`` (see ``product.DECLARED``). Memory grows with the course and with what is fired, not with the fibres: they are
        followed in lots of the vector unit's size, whose grouping changes no result.

    Raises:
        BadInput: amplitudes, a duration or a choice of fibres that cannot be.
        BadCase: contacts that do not exist, trains that do not fit.
    """
    populations = [populations] if isinstance(populations, Population) else list(populations)
    engine, progress = engine or Engine(), progress or (lambda words, share: None)
    duration = usual_duration(program) if duration is None else duration
    placed = place_fibres(lead_field.canal, populations)
    chosen = np.arange(len(placed.diameter)) if chosen is None else np.asarray(chosen, np.intp)
    if chosen.size and not (chosen.min() >= 0 and chosen.max() < len(placed.diameter)):
        raise BadInput("chosen", "there is no such fibre", got=int(chosen.max()), allowed=f"0 to {len(placed.diameter) - 1}")
    fibres = _some(placed, chosen)
    if weight is not None:
        fibres = replace(fibres, weight=np.asarray(weight, float))
    seen = stimulus(program, lead_field, amplitude, duration, engine, electronics, controller, where)
    models = {population.kind: axon.family.read({"kind": population.axon}) for population in populations}
    driven = {n: 1.0 for train in program.trains for n, share in train.contacts.items() if share != 0}
    parts = [(group, np.arange(k, min(k + _lanes(engine), group.members.size)))
             for group in (grouped(lead_field, fibres, models, driven, seen.mixing, reach=PLACED) if chosen.size else ())
             for k in range(0, group.members.size, _lanes(engine))]
    most = SPARE + min(int(RATE * duration), 3 * len(seen.pulse))
    arrived: list[Floats] = [np.empty(0)] * chosen.size
    began: list[Floats] = [np.empty(0)] * chosen.size
    blocked = np.full(chosen.size, np.nan)
    may_block = any(train.waveform.period <= CARRIER for train in program.trains)
    cycle = cycle_of(program)

    def work(part: tuple[Group, NDArray[np.intp]]) -> None:
        group, own = part
        made = group.model.engine(group.diameter[own], group.nodes, group.potentials[own], seen.samples, engine.dt, engine.scheme, engine.precision,
                                  onwards=True)
        nodes = range(made.detect + 1)
        times = made.spikes(np.full(own.size, seen.level), duration, nodes, most, 1)
        for place, of_nodes in zip(group.members[own], times, strict=True):
            arrived[place] = of_nodes[-1][np.isfinite(of_nodes[-1])]
            began[place] = traced(of_nodes, arrived[place])
        silent = [k for k, place in zip(own, group.members[own], strict=True) if may_block and _fell_silent(arrived[place], duration)]
        if silent:
            blocked[group.members[silent]] = _blocked(group, np.array(silent), seen, duration, engine)

    with ThreadPoolExecutor(max(1, engine.threads)) as pool:
        for done, _ in enumerate(pool.map(work, parts)):
            progress(f"firing, program {program.name}", done / len(parts))
    return _product(program, fibres, chosen, seen, arrived, began, blocked, duration, cycle)


def usual_duration(program: Program) -> float:
    """How long the type of a program takes to show itself, s: 50 ms of a carrier, else ten pulses or four packets of the slowest train, at
    most 200 ms, and no less than is needed for one of every train."""
    slowest = max(train.waveform.period for train in program.trains)
    if slowest <= CARRIER:
        return 50e-3
    several = 4 if max(len(_starts(train.waveform.pulse())) for train in program.trains) > 1 else 10
    return float(max(min(several * slowest, 0.2), 50e-3, slowest))


def choose(threshold: Floats, weight: Floats, amplitude: Floats, most: int, reach: float = REACH) -> tuple[NDArray[np.intp], Floats]:
    """Some fibres that stand for all that are near firing, and how many real ones each stands for.

    Args:
        threshold: (trains, f) A.
        weight: (f,) real fibres that each simulated one stands for.
        amplitude: (trains,) A.
        most: fibres to choose; those with a threshold up to ``reach`` times the amplitude of a train are ranked by it and divided into as
            many strata of equal count, and the middle one of each is taken.
    """
    with np.errstate(invalid="ignore"):
        ratio = np.min(threshold / np.asarray(amplitude, float)[:, None], axis=0)
    near = np.flatnonzero(ratio <= reach)
    order = near[np.argsort(ratio[near], kind="stable")]
    strata = [part for part in np.array_split(order, min(most, order.size) or 1) if part.size]
    return np.array([part[part.size // 2] for part in strata], np.intp), np.array([weight[part].sum() for part in strata])


def summary(firing: xr.Dataset) -> dict[str, Any]:
    """The main figures of the product ``firing`` as plain values; medians are over real fibres, of those that fire."""
    fires = firing.spike_count.values > 0
    weight = firing.weight.values[fires]
    asked = np.isfinite(firing.blocked.values)
    share = weight.sum() / max(float(firing.weight.values.sum()), 1e-300)
    steady = firing.pulse_time.values >= min(ONSET, float(firing.duration) / 2)

    def middle(name: str, scale: float = 1.0) -> float | None:
        values = firing[name].values[fires]
        good = np.isfinite(values)
        return _weighted_median(values[good], weight[good]) * scale if good.any() else None

    return {
        "duration_ms": float(firing.duration) * 1e3, "followed": int(fires.size), "fire": int(fires.sum()), "real_fibres": float(weight.sum()),
        "rate_Hz": middle("rate"), "rate_range_Hz": [float(f(firing.rate.values[fires])) for f in (np.min, np.max)] if fires.any() else None,
        "onset_rate_Hz": middle("onset_rate"), "latency_ms": middle("latency", 1e3), "answered": middle("answered"),
        "vector_strength": middle("vector_strength"), "synchrony": None if np.isnan(firing.synchrony) else float(firing.synchrony),
        "together": float(firing.together.values[steady].mean() / share) if fires.any() and steady.any() else None,
        "first_pulse": middle("first_pulse"), "blocked": int(np.nansum(firing.blocked.values)) if asked.any() else None, "asked": int(asked.sum()),
    }


def _weighted_median(values: Floats, weight: Floats) -> float:
    order = np.argsort(values)
    return float(values[order][np.searchsorted(np.cumsum(weight[order]), 0.5 * weight.sum())])


def traced(times: Floats, arrived: Floats) -> Floats:
    """Where each action potential began, in time: followed from the last of the nodes (n, k) down, as long as it came from the node below."""
    now = arrived.copy()
    going = np.ones(now.size, bool)
    for earlier in times[-2::-1]:
        known = earlier[np.isfinite(earlier)]
        if not going.any() or not known.size:
            break
        before = known[np.maximum(np.searchsorted(known, now, side="left") - 1, 0)]
        going &= (before < now) & (now - before <= HOP)
        now = np.where(going, before, now)
    return now


def _some(fibres: Fibres, chosen: NDArray[np.intp]) -> Fibres:
    arrays = {name: getattr(fibres, name)[chosen] for name in ("population", "diameter", "segment", "side", "phase", "depth", "weight")}
    return replace(fibres, paths=tuple(fibres.paths[i] for i in chosen), **arrays)


def _lanes(engine: Engine) -> int:
    """Fibres that the vector unit takes together."""
    return 16 if engine.precision == "float32" else 8


def _test_time(duration: float) -> float:
    return duration - min(TEST_LEFT, 0.5 * duration)


def _fell_silent(arrived: Floats, duration: float) -> bool:
    """Whether a fibre fired, but no longer when it would be tested."""
    return bool(arrived.size) and arrived[-1] < _test_time(duration)


def _blocked(group: Group, own: NDArray[np.intp], seen: Stimulus, duration: float, engine: Engine) -> Floats:
    """(own,) 1 where an action potential that is started at the lower end does not arrive, 0 where it does."""
    start = _test_time(duration)
    course = Course(np.array([0.0, start, start + TEST_WIDTH]), np.array([0.0, INJECTED, 0.0])).step_means(engine.dt)
    made = group.model.engine(group.diameter[own], group.nodes, group.potentials[own], seen.samples, engine.dt, engine.scheme, engine.precision,
                              injection=(np.full(own.size, TEST_NODE), course), onwards=True)
    times = made.spikes(np.full(own.size, seen.level), duration, [made.detect], SPARE + int(RATE * duration), 1)
    return np.asarray(~(times[:, 0] > start).any(axis=1), float)


def _padded(rows: Sequence[Floats], fill: float = np.nan) -> Floats:
    out = np.full((len(rows), max((len(row) for row in rows), default=0)), fill)
    for place, row in zip(out, rows, strict=True):
        place[: len(row)] = row
    return out


def _product(program: Program, fibres: Fibres, chosen: NDArray[np.intp], seen: Stimulus, arrived: Sequence[Floats], began: Sequence[Floats],
             blocked: Floats, duration: float, cycle: float) -> xr.Dataset:
    """The declared dataset of what was found."""
    packets = np.array([impulse.time for impulse in seen.impulses])
    period = np.array([program.trains[impulse.train].waveform.period for impulse in seen.impulses])
    which = [np.searchsorted(seen.pulse, times + SNAP, side="right") - 1 for times in began]
    latency = np.array([np.median(a - seen.pulse[w]) if a.size else np.nan for a, w in zip(arrived, which, strict=True)])
    spans = [steady(late, duration, cycle) for late in latency]
    # counted by the pulse that each belongs to, so that the edges of the stretch cut none off
    inside = [(seen.pulse[w] > low - SNAP) & (seen.pulse[w] < high - SNAP) for w, (low, high) in zip(which, spans, strict=True)]
    weight = fibres.weight / max(fibres.weight.sum(), 1e-300)
    together = np.zeros(len(seen.pulse))
    for share, times in zip(weight, began, strict=True):
        after = np.append(times, np.inf)[np.searchsorted(times, seen.pulse - SNAP)]
        together += share * (after < seen.pulse + TOGETHER)
    per_packet = [np.bincount(seen.packet[w], minlength=len(packets)) > 0 for w in which]
    # a packet late in the course may be answered after its end: count those that had the time
    due = [packets + (0.0 if np.isnan(late) else late) < duration for late in latency]
    return declare(
        "firing",
        {
            "spike_time": _padded(arrived), "initiation_time": _padded(began),
            "spike_pulse": _padded([w.astype(float) for w in which], -1.0).astype(int),
            "spike_count": np.array([a.size for a in arrived], int),
            "rate": np.array([i.sum() / (high - low) for i, (low, high) in zip(inside, spans, strict=True)]),
            "onset_rate": np.array([(a < min(ONSET, duration) + (0.0 if np.isnan(late) else late)).sum() / min(ONSET, duration)
                                    for a, late in zip(arrived, latency, strict=True)]),
            "latency": latency,
            "first_pulse": np.array([seen.number[w[0]] if w.size else 0 for w in which], int),
            "answered": np.array([one[d].mean() if d.any() else 0.0 for one, d in zip(per_packet, due, strict=True)]),
            "vector_strength": np.array([_vector_strength((a[i] - packets[seen.packet[w[i]]]) / period[seen.packet[w[i]]])
                                         for a, w, i in zip(arrived, which, inside, strict=True)]),
            "blocked": blocked,
            "together": together, "synchrony": np.array(_synchrony(began, weight, duration)),
            "pulse_time": seen.pulse, "pulse_train": np.array([seen.impulses[k].train for k in seen.packet]), "pulse_packet": seen.packet,
            "pulse_number": seen.number, "duration": np.array(duration), "cycle": np.array(cycle),
        },
        {
            "fibre_index": chosen, "fibre_population": fibres.population, "segment": fibres.segment, "side": fibres.side,
            "diameter": fibres.diameter, "depth": fibres.depth, "weight": fibres.weight,
        },
        program=program.name, level=seen.level,
    )


def steady(latency: float, duration: float, cycle: float) -> tuple[float, float]:
    """From and to, in the time of the stimulus: whole cycles after the onset, as many as were seen to their end at the upper end of the fibre;
    where there is none all of it."""
    low = cycle * np.ceil(ONSET / cycle - 1e-9)
    high = cycle * np.floor((duration - (0.0 if np.isnan(latency) else latency)) / cycle + 1e-9)
    return (float(low), float(high)) if high > low else (0.0, duration)


def _vector_strength(cycles: Floats) -> float:
    """Length of the mean of exp(2 pi i cycles): 1, always in the same phase; nan without an action potential."""
    return float(np.abs(np.exp(2j * np.pi * cycles).mean())) if cycles.size else np.nan


def _synchrony(began: Sequence[Floats], weight: Floats, duration: float) -> float:
    """How alike the fibres that fire are: sqrt(variance of their mean / mean of their variances) in bins of ``TOGETHER``.

    1: all the same; 1 / sqrt(n) for n equal fibres that know nothing of each other; nan for fewer than two. Golomb and Rinzel 1994,
    Physica D 72:259, there of voltages.
    """
    firing = [k for k, times in enumerate(began) if times.size]
    if len(firing) < 2:
        return float("nan")
    bins = max(1, round(duration / TOGETHER))
    counts = np.stack([np.bincount(np.minimum((began[k] / TOGETHER).astype(int), bins - 1), minlength=bins) for k in firing]).astype(float)
    each = float(np.average(counts.var(axis=1), weights=weight[firing]))
    return float(np.sqrt(np.average(counts, axis=0, weights=weight[firing]).var() / each)) if each > 0 else float("nan")
