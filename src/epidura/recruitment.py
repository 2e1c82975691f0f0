"""Which fibres fire, at which amplitude, and what is felt.

``recruit`` puts each fibre of the populations into the lead field, searches the lowest amplitude at which
it fires for each program, and reads perception, discomfort and coverage off the thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from epidura import axon
from epidura.axon import Axon
from epidura.delivery import Electronics, patterns, volts_per_ampere
from epidura.fibre import Population
from epidura.fibre.base import fact
from epidura.fibre.course import along, arc, follow
from epidura.numerics.blas import OneThread
from epidura.numerics.guessing import Guide, Learner
from epidura.product import Canal, Fibres, LeadField, declare
from epidura.program import CASE, Program, rows
from epidura.recipe import Recipe
from epidura.shape import outline_at
from epidura.tables import Number
from epidura.waveform import Course
from epidura.waveform.base import Pulses

Floats = NDArray[np.float64]
Progress = Callable[[str, float], None]

REACH = 15e-3
"""For thresholds fibres are simulated this far beyond the outermost contacts of the program, m, and go on as if the potential were straight beyond:
docs/fibre.md has what more would change."""

PLACED = 25e-3
"""Fibres are laid this far beyond the outermost contacts of the leads, m. So far, too, are they simulated where the case is a cathode, since the
potential of an anode excites by its far slopes, and to follow action potentials."""

RUNGS = np.array([*range(25, 65, 8), *range(65, 129, 16), *range(129, 257, 32), *range(257, 2050, 64)])
"""Numbers of nodes are rounded up to these, so that many fibres share one batch. Fibres are prolonged along the
spine for it, which changes nothing where the field is."""

CHUNK = 64
"""Fibres that one thread takes at a time."""

LOT = 16
"""Fibres that the vector unit takes together in single precision."""

LONG = 5e-3
"""From courses of this many s on, guesses that know all sizes are worth a lot of each group by itself, which has to be made ready apart."""

PULSE_WIDTHS = np.array([50, 100, 150, 210, 300, 450, 600, 1000]) * 1e-6
STEPS = 61
DERMATOME_SIDES = ("left", "right")


_RULES = {"felt_fibres": ("felt fibres", "perception"), "discomfort_share": ("discomfort share", "discomfort"),
          "discomfort_ratio": ("discomfort ratio", "discomfort")}


def _rule(name: str) -> float:
    return fact(*_RULES[name]).value


class Rules(Recipe):
    """From which firing on something is felt, or uncomfortable (data/fibre_rules.csv).

    Attributes:
        felt_fibres: expected number of firing dorsal-column fibres of one dermatome and side from which on
            it is felt. The perception threshold is where the first dermatome is felt.
        discomfort_share: share of the fibres of one dorsal root from which on stimulation is
            uncomfortable. The discomfort threshold is where the first root gets there.
        discomfort_ratio: discomfort threshold over perception threshold where no dorsal-root fibres are
            simulated.
    """

    felt_fibres: float = Field(default_factory=lambda: _rule("felt_fibres"), gt=0)
    discomfort_share: float = Field(default_factory=lambda: _rule("discomfort_share"), gt=0, le=1)
    discomfort_ratio: float = Field(default_factory=lambda: _rule("discomfort_ratio"), ge=1)

    def numbers(self) -> tuple[Number, ...]:
        """The sources of the rules that were left at their defaults."""
        default = Rules()
        return tuple(fact(quantity, population) for name, (quantity, population) in _RULES.items()
                     if getattr(self, name) == getattr(default, name))


@dataclass(frozen=True)
class Engine:
    """How the fibres are computed; changes the result by less than the stated bounds only.

    Attributes:
        dt: time step, s. 5 us of the second-order scheme is within 0.15 % of dt -> 0.
        scheme: ``second-order`` or ``backward-euler`` (NEURON's own).
        precision: ``float32`` or ``float64``.
        tolerance: relative width of the threshold bracket; the threshold is its geometric middle, so within 0.5 %.
        ceiling: thresholds above this many A are reported as infinite.
        threads: of the kernel.
        device: ``cpu`` or ``cuda``.
    """

    dt: float = 5e-6
    scheme: Literal["second-order", "backward-euler"] = "second-order"
    precision: Literal["float32", "float64"] = "float32"
    tolerance: float = 0.0095
    ceiling: float = 60e-3
    threads: int = 2
    device: Literal["cpu", "cuda"] = "cpu"


def merge(parts: Sequence[Fibres]) -> Fibres:
    """Several populations as one, in order."""
    def arrays(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts])
    names = ("population", "diameter", "segment", "side", "phase", "depth", "weight")
    return Fibres(**{name: arrays(name) for name in names},
                  paths=tuple(path for part in parts for path in part.paths),
                  numbers=tuple(number for part in parts for number in part.numbers))


def place_fibres(canal: Canal, populations: Sequence[Population]) -> Fibres:
    """All populations, over the stretch that the leads can reach; along a spine that changes they follow the cord."""
    contacts = canal.contacts
    z0, z1 = min(c.z0 for c in contacts) - PLACED, max(c.z1 for c in contacts) + PLACED
    placed = merge([population.place(canal.cord, z0, z1) for population in populations])
    if canal.course is None:
        return placed
    dura = outline_at(canal, "dura-inner", canal.course.z)
    sac = np.stack([dura.min(axis=1), dura.max(axis=1)], axis=1)
    return replace(placed, paths=follow(canal.course, canal.cord, sac, placed.paths))


@dataclass(frozen=True)
class Group:
    """Fibres of one population and one number of nodes, and the potential along them in one program.

    ``potentials`` is (fibres, patterns, compartments) in V per ampere of amplitude.
    """

    model: Axon
    members: NDArray[np.intp]
    nodes: int
    diameter: Floats
    potentials: Floats
    population: str = ""

    def thresholds(self, courses: Sequence[Course], engine: Engine, chosen: NDArray[np.intp], learner: Learner) -> Floats:
        """(3, chosen) threshold and bracket, A."""
        samples = np.stack([c.step_means(engine.dt) if engine.scheme == "second-order" else c.at_step_starts(engine.dt) for c in courses])
        return self.model.thresholds(self.diameter[chosen], self.nodes, self.potentials[chosen], samples, dt=engine.dt,
                                     scheme=engine.scheme, precision=engine.precision, tolerance=engine.tolerance,
                                     ceiling=engine.ceiling, threads=1, learner=learner, device=engine.device, onwards=True, together=True)


@dataclass(frozen=True)
class Task:
    """A search: some fibres, given by their indices, of a program's groups with the course of each pattern.

    ``learners`` may know that course: one for each population, since roots bend and columns do not; new ones are put in where they are missing.
    ``expected`` are (fibres,) thresholds in A as far as somebody can guess them: fibres with like ones are searched together, so that those beyond a
    low ceiling cost one run. With ``again`` the last search that the learners took part in was of the same potentials. Neither changes a result
    where a fibre has one edge of firing (docs/fibre.md).
    """

    groups: Sequence[Group]
    courses: Sequence[Course]
    shortest: float
    wanted: NDArray[np.bool_]
    words: str
    learners: dict[str, Guide] | None = None
    expected: Floats | None = None
    again: bool = False


def search(tasks: Sequence[Task], engine: Engine, progress: Progress) -> list[Floats]:
    """(3, fibres) threshold and bracket of each task, A; nan for fibres that were not wanted."""
    results = [np.full((3, task.wanted.size), np.nan) for task in tasks]
    parts = []
    for task, result in zip(tasks, results, strict=True):
        learners = {} if task.learners is None else task.learners
        for learner in () if task.again else learners.values():
            learner.begin()
        for group in task.groups:
            learner = learners.setdefault(group.population, Guide.of(task.shortest))
            chosen = np.flatnonzero(task.wanted[group.members])
            if task.expected is not None:
                chosen = chosen[np.argsort(task.expected[group.members[chosen]], kind="stable")]
            spread = np.zeros(chosen.size, bool)
            if task.courses[0].end > LONG and chosen.size:
                spread[np.unique(np.linspace(0, chosen.size - 1, LOT).round().astype(int))] = True
            for some in (chosen[spread], chosen[~spread]):
                parts += [(task, result, learner, group, some[k : k + CHUNK]) for k in range(0, some.size, CHUNK)]
    # of long courses a lot of each group first, for the guesses, cheap ones before dear ones, which are guessed by them; then the dearest, so that no
    # thread is left with a long one at the end
    parts.sort(key=lambda part: (part[4].size > LOT, (1 if part[4].size <= LOT else -1) * part[0].courses[0].end * part[3].nodes * part[4].size))

    def work(part: tuple[Task, Floats, Learner, Group, NDArray[np.intp]]) -> None:
        task, result, learner, group, chosen = part
        result[:, group.members[chosen]] = group.thresholds(task.courses, engine, chosen, learner)

    with OneThread(), ThreadPoolExecutor(max(1, engine.threads)) as pool:
        for done, (part, _) in enumerate(zip(parts, pool.map(work, parts), strict=True)):
            progress(part[0].words, done / len(parts))
    return results


def recruit(lead_field: LeadField, populations: Sequence[Population] | Population, programs: Sequence[Program] | Program,
            rules: Rules | None = None, engine: Engine | None = None, progress: Progress | None = None,
            electronics: Electronics | None = None) -> xr.Dataset:
    """Thresholds of every fibre for every program, and what follows from them.

    Each train of a program with several has a row of its own (``program.rows``): its pulses alone decide its thresholds.

    Args:
        lead_field: of the canal with its leads.
        populations: one or several.
        programs: one or several.
        rules: when something is felt or uncomfortable.
        engine: numerical settings.
        progress: called with a sentence and a share from 0 to 1.
        electronics: of the generator, which passive recharge and shared sources depend on.

    Returns:
        the product ``recruitment`` (see ``product.DECLARED``).

    Raises:
        BadCase: a program names a contact that the leads do not have.
    """
    populations = [populations] if isinstance(populations, Population) else list(populations)
    programs = [row for one in ([programs] if isinstance(programs, Program) else programs) for row in rows(one)]
    rules, engine, progress = rules or Rules(), engine or Engine(), progress or (lambda words, share: None)
    fibres = place_fibres(lead_field.canal, populations)
    models = {population.kind: axon.family.read({"kind": population.axon}) for population in populations}
    seen = [patterns(program, lead_field, electronics, f"programs[{p}].") for p, program in enumerate(programs)]
    groups = [list(grouped(lead_field, fibres, models, program.contacts, mixing)) for program, (mixing, _) in zip(programs, seen, strict=True)]
    everyone = np.ones(len(fibres.diameter), bool)
    tasks = [Task(groups[p], seen[p][1], program.waveform.pulse().shortest, everyone, f"fibres, program {program.name}")
             for p, program in enumerate(programs)]
    found = np.stack(search(tasks, engine, progress), axis=1)
    nodes = np.empty(found.shape[1:], int)
    for p, of_program in enumerate(groups):
        for group in of_program:
            nodes[p, group.members] = group.nodes
    ohm = np.array([volts_per_ampere(program, lead_field, electronics) for program in programs])
    return assemble(fibres, nodes, programs, found, rules, _strength_duration(groups, fibres, programs, found, rules, engine, progress), ohm)


def map_thresholds(lead_field: LeadField, populations: Sequence[Population], programs: Sequence[Program], rules: Rules | None = None,
                   engine: Engine | None = None, electronics: Electronics | None = None) -> tuple[list[str], Floats, Floats]:
    """What ``recruit`` says of feeling alone, for many combinations of contacts in one field: (d,) dermatomes, (p, d, 2) amplitudes in A from which
    each is felt on each side, and (p,) discomfort thresholds in A. The numbers are those of ``recruit``; no row for a further train.

    Args:
        lead_field, populations, programs, rules, engine, electronics: as in ``recruit``; without dorsal roots discomfort stands at its ratio.
    """
    rules, engine = rules or Rules(), engine or Engine()
    fibres = place_fibres(lead_field.canal, populations)
    models = {population.kind: axon.family.read({"kind": population.axon}) for population in populations}
    everyone, tasks = np.ones(len(fibres.diameter), bool), []
    for p, program in enumerate(programs):
        mixing, courses = patterns(program, lead_field, electronics, f"programs[{p}].")
        groups = list(grouped(lead_field, fibres, models, program.contacts, mixing))
        tasks.append(Task(groups, courses, program.waveform.pulse().shortest, everyone, program.name))
    found = [result[0] for result in search(tasks, engine, lambda words, share: None)]
    names = dermatomes_of(fibres)
    felt = np.array([felt_from(fibres, each, rules, names) for each in found]).reshape(len(programs), len(names), 2)
    low = felt.reshape(len(programs), -1).min(axis=1, initial=np.inf)
    return names, felt, np.array([discomfort_of(fibres, each, float(p), rules) for each, p in zip(found, low, strict=True)])


def dermatomes_of(fibres: Fibres) -> list[str]:
    """Dermatomes of the dorsal columns, rostral first."""
    names = dict.fromkeys(fibres.segment[fibres.population == "dorsal-column"])
    return sorted(names, key=lambda name: ("CTLS".index(name[0]), int(name[1:])))


@dataclass(frozen=True)
class Nodes:
    """Which nodes of each fibre a program takes, counted from the start of its path.

    Attributes:
        first: (f,) number of the first one.
        count: (f,) how many.
        internode: (f,) m.
    """

    first: NDArray[np.int64]
    count: NDArray[np.int64]
    internode: Floats

    def start(self, fibres: Fibres) -> Floats:
        """(f,) of the first node along its path, m."""
        return np.asarray((self.first + fibres.phase) * self.internode)


def nodes_of(lead_field: LeadField, fibres: Fibres, models: Mapping[str, Axon], driven: Mapping[int, float], reach: float | None = None) -> Nodes:
    """The nodes from ``reach`` m (or what a threshold needs) below the contacts with a fraction other than 0 in ``driven`` to as far above them,
    prolonged to one of ``RUNGS``."""
    if reach is None:
        reach = max(REACH, PLACED) if driven.get(CASE, 0.0) < 0.0 else REACH
    active = [c for c in lead_field.canal.contacts if driven.get(c.number, 0.0) != 0.0]
    low, high = min(c.z0 for c in active) - reach, max(c.z1 for c in active) + reach
    internode = np.empty(len(fibres.diameter))
    for kind, model in models.items():
        of_kind = fibres.population == kind
        internode[of_kind] = model.internode(fibres.diameter[of_kind])
    course = lead_field.canal.course
    # paths climb from their first to their last point
    begin, end = np.array([np.interp((low, high), path[:, 2], arc(path, course)) for path in fibres.paths]).T
    first = np.maximum(np.floor(begin / internode - fibres.phase), 0.0).astype(np.int64)
    nodes = np.ceil((end - (first + fibres.phase) * internode) / internode) + 1
    return Nodes(first, RUNGS[np.minimum(np.searchsorted(RUNGS, nodes), RUNGS.size - 1)], internode)


def grouped(lead_field: LeadField, fibres: Fibres, models: Mapping[str, Axon], driven: Mapping[int, float], mixing: Floats,
            known: Callable[[NDArray[np.intp], Nodes, Floats], Floats] | None = None, reach: float | None = None) -> Iterator[Group]:
    """Fibres that go through the kernel together, over the stretch that the contacts with a fraction other than 0 in ``driven`` can excite.

    Where the nodes lie does not depend on the program: the nodes of a fibre are counted from the start of its path, and
    a program takes those from ``reach`` m (or what a threshold needs) below its contacts to as far above them.

    Args:
        known: gives (members, patterns, compartments) V/A of some fibres along their nodes, mixed, where each contact was sampled before.
    """
    taken = nodes_of(lead_field, fibres, models, driven, reach)
    start, course = taken.start(fibres), lead_field.canal.course
    for kind, model in models.items():
        of_kind = fibres.population == kind
        for count in np.unique(taken.count[of_kind]):
            members = np.flatnonzero(of_kind & (taken.count == count))
            if known is not None:
                potentials = known(members, taken, mixing)
            else:
                at = model.compartments(fibres.diameter[members], int(count)) + start[members, None]
                points = np.stack([along(fibres.paths[i], s, course) for i, s in zip(members, at, strict=True)])
                per_contact = lead_field.sample(points.reshape(-1, 3)).reshape(-1, *at.shape)
                potentials = np.moveaxis(np.tensordot(mixing, per_contact, axes=1), 0, 1)
            yield Group(model, members, int(count), fibres.diameter[members], potentials, kind)


def cumulative_threshold(thresholds: Floats, weights: Floats, needed: float) -> float:
    """Lowest amplitude at which fibres of total weight ``needed`` fire; inf if they never do."""
    order = np.argsort(thresholds)
    reached = np.cumsum(weights[order]) >= needed * (1 - 1e-12)
    return float(thresholds[order][np.argmax(reached)]) if reached.any() else float("inf")


def share_threshold(thresholds: Floats, weights: Floats, share: float) -> float:
    """Amplitude at which a share of the fibres fires, as a quantile of few samples: each fibre stands for the shares
    around its own rank, with straight lines between; inf if that many never fire."""
    order = np.argsort(thresholds)
    rank = (np.cumsum(weights[order]) - 0.5 * weights[order]) / weights.sum()
    reached = np.isfinite(thresholds[order])
    if not reached.any() or share > rank[reached][-1]:
        return float("inf")
    return float(np.interp(share, rank[reached], thresholds[order][reached]))


def felt_from(fibres: Fibres, thresholds: Floats, rules: Rules, names: Sequence[str]) -> Floats:
    """(dermatomes, sides) amplitude from which each is felt, A."""
    column = fibres.population == "dorsal-column"
    result = np.full((len(names), 2), np.inf)
    for i, name in enumerate(names):
        for j, side in enumerate(DERMATOME_SIDES):
            here = column & (fibres.segment == name) & (fibres.side == side)
            if here.any():
                result[i, j] = cumulative_threshold(thresholds[here], fibres.weight[here], rules.felt_fibres)
    return result


def discomfort_of(fibres: Fibres, thresholds: Floats, perception: float, rules: Rules) -> float:
    """Amplitude at which the first root has its share of fibres firing, A."""
    root = fibres.population == "dorsal-root"
    if not root.any():
        return perception * rules.discomfort_ratio
    each = [(fibres.segment == s) & (fibres.side == side) & root for s in np.unique(fibres.segment[root])
            for side in DERMATOME_SIDES]
    return min(share_threshold(thresholds[r], fibres.weight[r], rules.discomfort_share) for r in each if r.any())


def resolve_amplitude(program: Program, perception: float, discomfort: float, ohm: float = np.nan) -> float:
    """The amplitude that a program runs at, A, ``ohm`` being its V per A; nan where it hangs on a perception threshold that is not reached."""
    if program.amplitude.current is not None:
        return float(program.amplitude.current)
    if program.amplitude.voltage is not None:
        return float(program.amplitude.voltage / ohm)
    if not np.isfinite(perception):
        return float("nan")
    if program.amplitude.of_perception is not None:
        return float(program.amplitude.of_perception * perception)
    usual = program.waveform.usual_amplitude * perception
    if program.waveform.paraesthesia and np.isfinite(discomfort):
        return float(min(usual, max(perception, 0.5 * (perception + discomfort))))
    return float(usual)


NEAR = (1.1, 1.3, 2.0, 5.0, np.inf)
"""Factors of the perception threshold up to which fibres are simulated at other pulse widths, one after the other."""


def _strength_duration(groups: Sequence[Sequence[Group]], fibres: Fibres, programs: Sequence[Program], found: Floats, rules: Rules,
                       engine: Engine, progress: Progress) -> Floats:
    """(programs, pulse widths) perception threshold, A; nan for waveforms that are not single pulses with a recharge of their own.

    Only fibres that can decide it are simulated: those within a factor of the perception threshold at the program's own
    width. The factor is enough if no fibre beyond it could come down to the new perception threshold even with the
    largest gain seen; else it is raised.
    """
    result = np.full((len(programs), len(PULSE_WIDTHS)), np.nan)
    column = fibres.population == "dorsal-column"
    names = sorted(set(fibres.segment[column]))
    for p, program in enumerate(programs):
        own = found[0, p]
        perception = felt_from(fibres, own, rules, names).min(initial=np.inf)
        pulse = program.waveform
        if not isinstance(pulse, Pulses) or pulse.carrier or pulse.passive or program.sources != "independent" or not np.isfinite(perception):
            continue
        at_width = np.full((len(PULSE_WIDTHS), own.size), np.inf)
        left, known = list(range(len(PULSE_WIDTHS))), np.zeros(own.size, bool)
        for factor in NEAR:
            near = column & (own <= factor * perception) & np.isfinite(own)
            courses = [_with_width(pulse, PULSE_WIDTHS[w]) for w in left]
            tasks = [Task(groups[p], (course,), course.shortest, near & ~known, f"strength and duration, program {program.name}")
                     for course in courses]
            for w, thresholds in zip(left, search(tasks, engine, progress), strict=True):
                at_width[w, near & ~known] = thresholds[0, near & ~known]
                result[p, w] = felt_from(fibres, at_width[w], rules, names).min(initial=np.inf)
            known = near
            # a fibre beyond the factor would need a larger gain than any seen to come down to the new threshold
            left = [w for w in left if factor * perception * (at_width[w, known] / own[known]).min() < result[p, w]]
            if not left:
                break
    return result


def _with_width(waveform: Pulses, width: float) -> Course:
    """One pulse of another width, whether or not it fits its rate."""
    return waveform.model_copy(update={"pulse_width": width}).pulse()


def fit_weiss(widths: Floats, thresholds: Floats) -> tuple[float, float]:
    """Rheobase (A) and chronaxie (s) of Weiss's law I = rheobase (1 + chronaxie / width).

    A straight line through charge against width, each point weighted by its own charge so that short and
    long pulses count alike. Weiss 1901. Lapicque's law gives half the chronaxie on the same thresholds (docs/validation.md).
    """
    charge = widths * thresholds
    slope, intercept = np.polyfit(widths, charge, 1, w=1.0 / charge)
    return float(slope), float(intercept / slope)


def assemble(fibres: Fibres, nodes: NDArray[np.int_], programs: Sequence[Program], found: Floats, rules: Rules,
             strength: Floats, ohm: Floats) -> xr.Dataset:
    """Everything that follows from the thresholds, as the declared dataset."""
    names = dermatomes_of(fibres)
    kinds = list(dict.fromkeys(fibres.population))
    dermatome = np.stack([felt_from(fibres, found[0, p], rules, names) for p in range(len(programs))])
    perception = dermatome.reshape(len(programs), -1).min(axis=1, initial=np.inf)
    discomfort = np.array([discomfort_of(fibres, found[0, p], perception[p], rules) for p in range(len(programs))])
    programmed = np.array([resolve_amplitude(*each) for each in zip(programs, perception, discomfort, ohm, strict=True)])
    top = np.nanmax([1.6 * perception, 1.15 * discomfort, 1.1 * programmed], axis=0)
    top = np.where(np.isfinite(top), top, np.where(np.isfinite(perception), 2 * perception, 20e-3))
    amplitude = np.linspace(0.0, 1.0, STEPS) * top[:, None]
    fires = found[0][:, :, None] <= amplitude[:, None, :]
    weights = [fibres.weight * (fibres.population == kind) for kind in kinds]
    firing = np.stack([np.einsum("pfs,f->ps", fires, weight) for weight in weights], axis=1)
    fitted = np.array([fit_weiss(PULSE_WIDTHS, row) if np.isfinite(row).all() else (np.nan, np.nan) for row in strength])
    # where a fibre crosses the level; one that enters the cord above it, where it ascends
    where = np.array([[np.interp(0.0, path[:, 2], path[:, i]) if kind == "dorsal-column" else path[-1, i] for i in (0, 1)]
                      for kind, path in zip(fibres.population, fibres.paths, strict=True)])
    return declare(
        "recruitment",
        {
            "threshold": found[0], "threshold_lower": found[1], "threshold_upper": found[2],
            "perception_threshold": perception, "discomfort_threshold": discomfort, "programmed_amplitude": programmed,
            "dermatome_threshold": dermatome, "amplitude": amplitude, "firing_fibres": firing,
            "firing_share": firing / np.array([weight.sum() for weight in weights])[None, :, None],
            "felt": dermatome[..., None] <= amplitude[:, None, None, :],
            "strength_duration": strength, "rheobase": fitted[:, 0], "chronaxie": fitted[:, 1], "nodes": nodes,
        },
        {
            "program": [program.name for program in programs], "population": kinds, "dermatome": names,
            "body_side": list(DERMATOME_SIDES), "pulse_width": PULSE_WIDTHS,
            "fibre_population": fibres.population, "segment": fibres.segment, "side": fibres.side,
            "diameter": fibres.diameter, "x": where[:, 0], "y": where[:, 1], "depth": fibres.depth,
            "weight": fibres.weight,
        },
    )


