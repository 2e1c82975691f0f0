"""Virtual patients: people drawn around a case, and what its programs reach in each of them.

    people = [person(case, seed=1, index=i) for i in range(2000)]
    nodes = plan(case)
    surrogate = Surrogate(nodes, compute(nodes))
    found = [surrogate.reach(one) for one in people]

A person is a pure function of the case, the seed of the cohort and the number of the person. Every quantity is drawn from a stream of its own
name, so that a new one changes none of the others. The full chain of one person takes many seconds; the surrogate runs it at some nodes and
goes between them. How far it is off is measured by ``surrogate_error``.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from epidura.anatomy import population
from epidura.anatomy.parametric import RANGES, Parametric
from epidura.case import Case, read
from epidura.errors import BadInput
from epidura.generator import generator
from epidura.patient import split_side
from epidura.placement import span
from epidura.programming import (
    NodeMap,
    at_node,
    from_text,
    to_text,
)
from epidura.reach import HALF, RANKED, Place, Reach, assemble, crossing, left, reaches
from epidura.recruitment import Engine, cumulative_threshold, resolve_amplitude
from epidura.result import Result
from epidura.study import run
from epidura.tables import Number, table
from epidura.transmission import places_of
from epidura.units import SI

Floats = NDArray[np.float64]
Progress = Callable[[str, float], None]


# --- people ---


@dataclass(frozen=True)
class Person:
    """A virtual patient.

    Attributes:
        seed, index: of the cohort, and which of it.
        case: what would be run for this person.
        expectation: share of the population that expects less of the therapy, 0 to 1.
        adherence: share of the population that uses it less, 0 to 1.
        lateral: how far the lead lies to the right of where it was aimed at, beside the cord, m.
        tip: how far its tip lies above where it was aimed at, m.
        migration: how far it has moved caudally since, m; 0 where no trial was asked for.
    """

    seed: int
    index: int
    case: Case
    expectation: float
    adherence: float
    lateral: float
    tip: float
    migration: float = 0.0


def person(case: Case, seed: int, index: int, migrated: bool = False, anew: bool = False) -> Person:
    """One virtual patient around a case; the same for the same case, seed and index, whoever else is in the cohort.

    Drawn are the sizes of a parametric anatomy that the case leaves open (``anatomy.population``, at the vertebra of the case), where the lead
    lies (data/placement_spread.csv), the painful areas where the table has patterns of the indication, expectation and adherence. A lead beside
    the midline is aimed at the side of the pain: at the midline where it is on both.

    Args:
        case: of the average person, with the lead where it is aimed at.
        seed: of the cohort, not negative.
        index: of the person, not negative.
        migrated: with the movement of the lead during a trial (``moved``).
        anew: with the leads placed a second time, as for the definitive stage after trial leads that were removed; all else stays.

    Raises:
        BadInput: a negative seed or index.
        BadGeometry: the lead does not fit into this person.
    """
    for name, number in (("seed", seed), ("index", index)):
        if number < 0:
            raise BadInput(name, "is not negative", got=number, allowed="0 or more")
    migration = 0.0
    if migrated:
        migration = migration_of(seed, index, anew)
        case = moved(case, migration)
    areas = _areas(case, seed, index)
    cord = _normal(_share(seed, index, "cord shift"), 0.0, _number("cord shift").value)
    again = " again" if anew else ""
    aside = _normal(_share(seed, index, f"lead lateral{again}"), 0.0, _number("lead lateral").value)
    lateral, tip = 1e-3 * (aside - cord), 1e-3 * _normal(_share(seed, index, f"lead tip{again}"), 0.0, _number("lead tip").value)
    angle = np.deg2rad(_normal(_share(seed, index, f"lead angle{again}"), 0.0, _number("lead angle").value))
    along = getattr(case.anatomy, "extent", "vertebra") == "spine"
    aimed, most = _aimed(case, areas), 1e-3 * _number("largest lateral").value
    leads = []
    for lead in case.leads:
        place: dict[str, Any] = {"tip_offset": SI(round(lead.tip_offset + tip, 6))}
        if not lead.beside:
            furthest = max(most, abs(lead.lateral))
            place["lateral"] = SI(round(float(np.clip(aimed * lead.lateral + lateral, -furthest, furthest)), 6))
            if along:
                place["angle"] = SI(round(lead.angle + float(angle), 6))
        leads.append(lead.but(**place))
    changes: dict[str, Any] = {"leads": leads, "anatomy": _anatomy(case, seed, index)}
    if case.patient is not None:
        changes["patient"] = case.patient.but(pain={"areas": areas, "nrs": case.patient.pain.nrs})
    return Person(seed, index, case.but(**changes), _share(seed, index, "expectation"), _share(seed, index, "adherence"), lateral, tip, migration)


def migration_of(seed: int, index: int, anew: bool = False) -> float:
    """How far the leads of a person lie more caudal once they have moved, m; those that were placed anew move another way."""
    share = _share(seed, index, "migration again" if anew else "migration")
    return _normal(share, _number("trial migration").value, _number("trial migration spread").value) * 1e-3


def moved(case: Case, caudal: float) -> Case:
    """The case with all leads moved ``caudal`` m down the spine. A canal of one cross-section becomes that of the vertebra at which the middle of
    the contacts now lies; sizes that the case gives are kept.

    Raises:
        BadGeometry: the lead leaves the spine that is known.
    """
    leads = [lead.but(tip_offset=SI(round(lead.tip_offset - caudal, 6))) for lead in case.leads]
    changed: Case = case.but(leads=leads)
    if not isinstance(case.anatomy, Parametric) or case.anatomy.extent != "vertebra":
        return changed
    before, after = (0.5 * sum(span(case.anatomy, of.leads)) for of in (case, changed))
    spans = case.anatomy.level().cord.vertebrae
    own = next(one for one in spans if one.name == case.anatomy.vertebra)
    # a lead that was aimed off the middle of its vertebra keeps that place in the next one
    target = own.middle + (after - before)
    here = min(spans, key=lambda one: abs(one.middle - target))
    known = table("vertebrae").column("vertebra")
    if here.name not in known:
        raise BadInput("migration", "the lead leaves the vertebrae that are known", got=f"{caudal * 1e3:.1f} mm caudal, to {here.name}",
                       allowed=f"{known[0]} to {known[-1]}")
    return cast(Case, changed.but(anatomy=case.anatomy.but(vertebra=here.name)))


def _share(seed: int, index: int, name: str) -> float:
    """A number from 0 to 1 that hangs on nothing but these three."""
    return float(np.random.default_rng([seed, index, *name.encode()]).random())


def _normal(share: float, mean: float, deviation: float) -> float:
    """Value below which ``share`` of a normal distribution lies that is cut off where those of sizes are."""
    return population._truncated_normal(share, mean, deviation, -np.inf, np.inf)


@cache
def _number(quantity: str) -> Number:
    rows = table("placement_spread")
    return rows.number(quantity, "value", rows.row(quantity=quantity)["unit"], quantity=quantity)


def _anatomy(case: Case, seed: int, index: int) -> Any:
    if not isinstance(case.anatomy, Parametric):
        return case.anatomy
    given = {name: value for name, value in case.anatomy.model_dump(mode="json").items() if value is not None}
    return population._person(given, {name: _share(seed, index, name) for name in population.DRAWN})


def patterns(case: Case) -> tuple[tuple[tuple[str, ...], float], ...]:
    """(areas, share) of the patterns of pain of the indication; that of the case alone where the table has none, nothing without a patient."""
    if case.patient is None:
        return ()
    rows = [row for row in table("placement_spread") if row["quantity"] == "pain pattern" and row["indication"] == case.patient.indication]
    return tuple((tuple(row["areas"].split()), float(row["value"])) for row in rows) or ((case.patient.pain.areas, 1.0),)


def _areas(case: Case, seed: int, index: int) -> tuple[str, ...]:
    known = patterns(case)
    if not known:
        return ()
    ends = np.cumsum([share for _, share in known])
    return known[min(int(np.searchsorted(ends, _share(seed, index, "pain") * ends[-1], side="right")), len(known) - 1)][0]


def _side(areas: Iterable[str]) -> int:
    """-1 where pain is on the left only or more, 1 on the right, 0 on both."""
    sides = [split_side(area)[0] for area in areas]
    one = {side[0] for side in sides if len(side) == 1}
    return 0 if len(one) != 1 else -1 if one == {"left"} else 1


def _aimed(case: Case, areas: tuple[str, ...]) -> float:
    """What multiplies the lateral place of the leads: -1 where the pain is on the other side than in the case. One lead is aimed at the midline
    where pain is on both sides; several stay as they are."""
    planned = 0 if case.patient is None else _side(case.patient.pain.areas)
    if planned == 0:
        return 1.0
    here = _side(areas)
    return (0.0 if len(case.leads) == 1 else 1.0) if here == 0 else float(planned * here)


# --- nodes ---


MINOR = ("cord_width", "cord_depth", "dura")
"""Inputs whose effect is taken as added to the others': every node changes one of them alone. Two have none: the depth of the bony canal, which
moves no threshold by 0.5 %, and the place of the tip, which changes nothing but which roots are near, without any trend."""

CSF, LATERAL = 4, (-1.0, -1 / 3, 0.0, 1 / 3, 1.0)
"""Nodes along the two inputs that matter most, which are taken together: how many of the dorsal fluid, and where across the spine, as shares of
the furthest that a lead may lie from the midline."""

WIDE = 2.5
"""Standard deviations at which the nodes of the sizes end; what lies beyond is as there."""

LEVELS = np.geomspace(1e-4, 1.0, 37)
"""Shares of the large fibres of a dermatome whose threshold amplitudes are kept."""

UNREACHED = 2.0
"""Thresholds that are not reached stand at this many times the ceiling of the search, so that a line can go there."""

SWEPT = 16
"""Amplitudes at which the gate is looked at where it is run."""


@dataclass(frozen=True)
class Node:
    """One full run.

    Attributes:
        key: hash of the case: the same key, the same result.
        case: what is run.
        at: input to value, m.
    """

    key: str
    case: Case
    at: Mapping[str, float]


@dataclass(frozen=True)
class Nodes:
    """The runs that a surrogate stands on.

    Attributes:
        case: around which the people are drawn.
        plan: nodes, those of the grid first, dorsal fluid by lateral place.
        csf, lateral: (c,), (l,) m, of the grid.
        centre: of every input, m.
    """

    case: Case
    plan: tuple[Node, ...]
    csf: Floats
    lateral: Floats
    centre: Mapping[str, float]

    @property
    def tasks(self) -> list[tuple[str, Case]]:
        """(key, case) to be run in any order, each once; what is kept of a result is ``outcome(result)``."""
        return [(node.key, node.case) for node in self.plan]


def plan(case: Case, csf: int = CSF, lateral: Sequence[float] = LATERAL, share: float = 1.0, minor: Sequence[str] = MINOR) -> Nodes:
    """The runs for people around a case.

    Args:
        case: with one cross-section for a canal and leads behind the dural sac.
        csf: how many nodes along the dorsal fluid.
        lateral: where nodes are across the spine, rising, as shares of the furthest that a lead may lie from the midline.
        share: of the fibres of the case that are simulated at the nodes.
        minor: which of ``MINOR`` have nodes of their own.

    Raises:
        BadInput: a canal, lead or program that the surrogate does not serve; too few nodes; a share that is none.
    """
    anatomy = _serves(case)
    for name, count in (("csf", csf), ("lateral", len(lateral))):
        if count < 2:
            raise BadInput(name, "a line has two ends", got=count, allowed="2 or more nodes")
    if (np.diff(lateral) <= 0).any():
        raise BadInput("lateral", "the nodes do not rise", got=", ".join(f"{place:g}" for place in lateral))
    if not 0 < share <= 1:
        raise BadInput("share", "is not a share of the fibres", got=share, allowed="above 0, up to 1")
    unknown = sorted(set(minor) - set(MINOR))
    if unknown:
        raise BadInput("minor", "there is no such input", got=unknown[0], allowed=", ".join(MINOR))
    sizes = {name: _range(anatomy, name) for name in population.DRAWN if getattr(anatomy, name) is None}
    fixed = {name: getattr(anatomy, name) for name in population.DRAWN if name not in sizes}
    centre = {**{name: middle for name, (_, middle, _) in sizes.items()}, **fixed, "lateral": 0.0}
    base = _base(case, share)
    fluid = np.linspace(sizes["dorsal_csf"][0], sizes["dorsal_csf"][2], csf) if "dorsal_csf" in sizes else np.array([fixed["dorsal_csf"]])
    across = np.round(1e-3 * _number("largest lateral").value * np.array(lateral), 6)
    made = [_node(base, {**centre, "dorsal_csf": float(a), "lateral": float(b)}) for a in fluid for b in across]
    for name in minor:
        made += [_node(base, {**centre, name: end}) for end in ((sizes[name][0], sizes[name][2]) if name in sizes else ())]
    # the gate hangs on the shares of the fibres alone, which a few places of the lead and the cord cover
    gated = {(a, b) for a in (_nearest(fluid, centre["dorsal_csf"]), float(fluid[0]))
             for b in (_nearest(across, 0.0), _nearest(across, _middle(case)))}
    kept = tuple(node if k < len(fluid) * len(across) and (node.at["dorsal_csf"], node.at["lateral"]) in gated else _without_gate(node)
                 for k, node in enumerate(made))
    return Nodes(case, kept, fluid, across, centre)


def _serves(case: Case) -> Parametric:
    """The anatomy of a case, if the surrogate serves it."""
    anatomy = case.anatomy
    if not isinstance(anatomy, Parametric) or anatomy.extent != "vertebra":
        raise BadInput("anatomy", "the surrogate does not serve it", got=getattr(anatomy, "kind", "") + " " + getattr(anatomy, "extent", ""),
                       allowed="parametric, with extent: vertebra", hint="run the full chain for every person")
    for i, lead in enumerate(case.leads):
        if lead.beside:
            raise BadInput(f"leads[{i}]", "the surrogate does not serve a lead beside the dural sac", got=lead.shape().name,
                           allowed="leads behind it")
    for i, program in enumerate(case.programs):
        if len(program.trains) > 1:
            raise BadInput(f"programs[{i}].interleaved", "the surrogate serves programs of one train", got=f"{len(program.trains)} trains",
                           allowed="one", hint="run the full chain for every person")
    return anatomy


def _range(anatomy: Parametric, name: str) -> tuple[float, float, float]:
    """(low, middle, high) of a size at the vertebra, m: where the nodes of it end and meet."""
    spread = population._spread(anatomy.vertebra, name)
    if spread is None:
        mean = float(table("vertebrae").row(vertebra=anatomy.vertebra)[population.DRAWN[name][0]]) * 1e-3
        return mean, mean, mean
    low, high = RANGES[name]
    if name == "canal_depth":
        low = anatomy.least_canal_depth()
    mean, deviation = spread
    ends = [float(round(min(max(mean + z * deviation, low), high), 6)) for z in (-WIDE, 0.0, WIDE)]
    return ends[0], ends[1], ends[2]


def _base(case: Case, share: float) -> Case:
    """The case as it is run at the nodes: fewer fibres, pain wherever anyone has it, of the gate what is needed."""
    changes: dict[str, Any] = {"fibres": [one.but(count=max(1, round(share * one.count))) for one in case.fibres]}
    if case.patient is not None:
        areas = tuple(dict.fromkeys(area for of, _ in patterns(case) for area in of))
        changes["patient"] = case.patient.but(pain={"areas": areas, "nrs": case.patient.pain.nrs})
    if case.gate.seeds:
        changes["gate"] = case.gate.but(places=200, volleys=0, frequencies=[], levels=SWEPT)
    return cast(Case, case.but(**changes))


def _node(base: Case, at: Mapping[str, float]) -> Node:
    sizes = {name: SI(at[name]) for name in population.DRAWN}
    middle = _middle(base)
    leads = [lead.but(lateral=SI(round(at["lateral"] + lead.lateral - middle, 6))) for lead in base.leads]
    case = base.but(anatomy=base.anatomy.but(**sizes), leads=leads)
    return Node(case.key(), case, dict(at))


def _middle(case: Case) -> float:
    """The middle of all leads, m from the midline."""
    return float(np.mean([lead.lateral for lead in case.leads]))


def _without_gate(node: Node) -> Node:
    case = node.case.but(gate={"seeds": 0}, firing={"fibres": 0})
    return Node(case.key(), case, node.at)


def _nearest(values: Floats, value: float) -> float:
    return float(values[np.abs(values - value).argmin()])


# --- what is kept of a run ---


@dataclass(frozen=True)
class Outcome:
    """What the surrogate needs of one run. Logarithms are of A; p programs, d dermatomes, 2 sides.

    Attributes:
        dermatomes: (d,) names.
        felt: (p, d, 2) log of the amplitude from which each is felt.
        curve: (p, d, 2, levels) log of the amplitude at which each of ``LEVELS`` of its large fibres fires.
        discomfort: (p,) log of the discomfort threshold.
        amplitude: (p,) log of the programmed amplitude.
        weight: (d, 2) real large fibres.
        hypotheses: (h,) names; none where the gate was not run.
        shares: (p, places, 2) of the fibres of a place and of its neighbours that fire as programmed.
        inhibition: (p, places, h) 0 to 1, mean over projection neurons.
        swept: (p, sweep, 2) the same shares at other amplitudes, at the place where the program recruits most.
        kept: (p, sweep) share of firing that is left there, without a hypothesis.
        tried: the combinations of ``programming.at_node`` as text; none where they were not mapped.
        column: (k, d, 2) log of the amplitude from which each dermatome is felt with each kind of them.
        steps: (c,) log of the discomfort threshold of each.
        life: (p, 2) least and most years that the battery of the generator lasts; nan where that is not known.
    """

    dermatomes: NDArray[np.str_]
    felt: Floats
    curve: Floats
    discomfort: Floats
    amplitude: Floats
    weight: Floats
    hypotheses: NDArray[np.str_]
    shares: Floats
    inhibition: Floats
    swept: Floats
    kept: Floats
    tried: NDArray[np.str_] = field(default_factory=lambda: np.array([], str))
    column: Floats = field(default_factory=lambda: np.zeros((0, 0, 2)))
    steps: Floats = field(default_factory=lambda: np.zeros(0))
    life: Floats = field(default_factory=lambda: np.zeros((0, 2)))

    def save(self, path: str | Path) -> None:
        """As an npz file, under another name first."""
        target = Path(path)
        part = target.with_name(f".{target.stem}.part.npz")
        np.savez_compressed(part, **{one.name: getattr(self, one.name) for one in fields(self)})
        part.replace(target)

    @classmethod
    def load(cls, path: str | Path) -> Outcome:
        """From an npz file."""
        with np.load(path, allow_pickle=False) as found:
            return cls(**{one.name: found[one.name] for one in fields(cls) if one.name in found})

    @cached_property
    def vector(self) -> Floats:
        """All that goes along lines between nodes, one after the other."""
        return np.concatenate([self.felt.ravel(), self.curve.ravel(), self.discomfort, self.amplitude, np.log(self.weight + 1e-9).ravel(),
                               self.column.ravel(), self.steps])


SIDES = ("left", "right")


def outcome(result: Result, ceiling: float = Engine.ceiling, tried: NodeMap | None = None) -> Outcome:
    """What the surrogate needs of a result.

    Args:
        result: of one node.
        ceiling: up to which thresholds were sought, A.
        tried: its map, for programming sessions (``mapping``).
    """
    found = result.recruitment
    column = found.fibre_population.values == "dorsal-column"
    names = np.array([str(name) for name in found.dermatome.values])
    place = {(d, s): column & (found.segment.values == d) & (found.side.values == s) for d in names for s in SIDES}
    weight = found.weight.values
    threshold = found.threshold.values
    total = np.array([[weight[place[d, s]].sum() for s in SIDES] for d in names])
    curve = np.array([[[[cumulative_threshold(row[place[d, s]], weight[place[d, s]], level * weight[place[d, s]].sum()) for level in LEVELS]
                        if place[d, s].any() else [np.inf] * len(LEVELS) for s in SIDES] for d in names] for row in threshold])
    programs, gate = len(threshold), result.transmission
    empty = np.zeros((programs, 0, 2)), np.zeros((programs, 0, 0)), np.zeros((programs, 0, 2)), np.zeros((programs, 0))
    shares, blocked, swept, kept = empty if gate is None else _dose(found, gate, place)

    def log(values: Floats) -> Floats:
        return np.asarray(np.log(np.minimum(np.nan_to_num(values, nan=np.inf), UNREACHED * ceiling)))

    plain = Outcome(names, log(found.dermatome_threshold.values), log(curve), log(found.discomfort_threshold.values),
                    log(found.programmed_amplitude.values), total,
                    np.array([] if gate is None else [str(name) for name in gate.hypothesis.values], str), shares, blocked, swept, kept,
                    life=_lives(result))
    if tried is None:
        return plain
    return replace(plain, tried=np.array([to_text(tried.tried)]), column=log(tried.column), steps=log(tried.discomfort))


def _lives(result: Result) -> Floats:
    """(p, 2) years that the battery lasts with each program at its amplitude (``battery.power``); nan without a generator, where its capacity is not
    known or it is recharged, and where a program has no amplitude."""
    case, found = result.case, np.full((len(result.case.programs), 2), np.nan)
    if case.generator is not None:
        made = generator(case.generator)
        for i, (program, delivery) in enumerate(zip(case.programs, result.deliveries, strict=True)):
            if delivery is not None and (life := made.power(delivery, program).life_years) is not None:
                found[i] = life
    return found


def mapping(result: Result, engine: Engine | None = None) -> NodeMap | None:
    """The map of a node; None without fibres of the dorsal columns, of which nothing is felt."""
    if not any(population.kind == "dorsal-column" for population in result.case.fibres):
        return None
    return at_node(result.lead_field, result.case, engine)


def _dose(found: xr.Dataset, gate: xr.Dataset, place: Mapping[Place, NDArray[np.bool_]]) -> tuple[Floats, Floats, Floats, Floats]:
    """``shares``, ``inhibition``, ``swept`` and ``kept`` of ``Outcome``; nan for a program whose amplitude is not known."""
    weight, order = found.weight.values, [d for d, s in place if s == SIDES[0]]
    places = list(zip(gate.dermatome.values.tolist(), gate.body_side.values.tolist(), strict=True))

    def at(row: int, where: Place, amplitude: float) -> tuple[float, float]:
        fires = found.threshold.values[row] <= amplitude
        return tuple(float(weight[of & fires].sum() / max(weight[of].sum(), 1e-30)) for of in _around(place, order, where))  # type: ignore[return-value]

    programs, levels = gate.sizes["program"], gate.sizes["level"]
    shares = np.full((programs, len(places), 2), np.nan)
    swept, kept = np.full((programs, levels, 2), np.nan), np.full((programs, levels), np.nan)
    for i in range(programs):
        if int(gate.main_place[i]) < 0:
            continue
        shares[i] = [at(i, where, float(found.programmed_amplitude[i])) for where in places]
        if levels:
            swept[i] = [at(i, places[int(gate.main_place[i])], float(level)) for level in gate.sweep_amplitude.values[i]]
            kept[i] = left(gate, i)[1]
    blocked = 0.01 * gate.inhibition.mean("projection").transpose("program", "place", "hypothesis").values
    return shares, blocked, swept, kept


def _around(place: Mapping[Place, NDArray[np.bool_]], order: Sequence[str], where: Place) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Fibres of a place, and of the segments above and below it on its side."""
    none = np.zeros_like(next(iter(place.values())))
    own, around = place.get(where, none), none
    for name in _neighbours(order, where[0]):
        around = around | place[name, where[1]]
    return own, around


def _neighbours(order: Sequence[str], dermatome: str) -> list[str]:
    """The dermatomes whose fibres are the surround of one, as in ``afferents``."""
    if dermatome not in order:
        return []
    k = order.index(dermatome)
    reach = int(float(table("collaterals").row(quantity="neighbouring segments")["value"]))
    return [name for name in order[max(0, k - reach) : k + reach + 1] if name != dermatome]


def compute(nodes: Nodes, folder: str | Path | None = None, progress: Progress | None = None, engine: Engine | None = None) -> dict[str, Outcome]:
    """Run every node, one after the other; those that lie in the folder are not run again.

    Args:
        nodes: to run.
        folder: where what is kept of each is stored, by key.
        progress: called with a sentence and a share from 0 to 1.
        engine: numerical settings of the fibres.
    """
    progress = progress or (lambda words, share: None)
    found: dict[str, Outcome] = {}
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
    for k, (key, case) in enumerate(nodes.tasks):
        progress(f"node {k + 1} of {len(nodes.plan)}", k / len(nodes.plan))
        path = None if folder is None else Path(folder) / f"{key}.npz"
        if path is not None and path.exists():
            found[key] = Outcome.load(path)
        elif key not in found:
            result = run(case, check_field=False, engine=engine)
            found[key] = outcome(result, (engine or Engine()).ceiling, mapping(result, engine))
            if path is not None:
                found[key].save(path)
    return found


# --- between the nodes ---


NEIGHBOURS = 6
"""Measured points of the gate that are weighed for one in between."""

SMALL = 1e-3
"""Shares of fibres far below this count as alike where points of the gate are compared, shares far above it by their ratio."""


@dataclass(frozen=True)
class Dose:
    """What the gate does at given shares of driven fibres, from points at which it was run.

    Attributes:
        shares: (n, 2) of the fibres of a place and of its neighbours.
        values: (n, ...) what was found there.
    """

    shares: Floats
    values: Floats

    @classmethod
    def of(cls, shares: Floats, values: Floats) -> Dose:
        """From measured points; those that have no value are left out, the mean is taken of those with the same shares."""
        known = np.isfinite(shares).all(axis=1) & np.isfinite(values.reshape(len(values), -1)).all(axis=1)
        shares, values = shares[known], values[known]
        unique, which = np.unique(shares, axis=0, return_inverse=True)
        which = which.reshape(-1)
        return cls(unique, np.array([values[which == k].mean(axis=0) for k in range(len(unique))]))

    def __call__(self, shares: Floats) -> Floats:
        """(k, ...) values at (k, 2) shares: of the nearest points, weighed by the inverse square of their distance; exact at a point."""
        if not len(self.shares):
            return np.full((len(shares), *self.values.shape[1:]), np.nan)
        own, asked = np.log1p(self.shares / SMALL), np.log1p(shares / SMALL)
        distance = np.hypot(*(asked[:, None, :] - own[None, :, :]).transpose(2, 0, 1))
        near = np.argsort(distance, axis=1, kind="stable")[:, :NEIGHBOURS]
        rest = np.take_along_axis(distance, near, axis=1)
        weight = np.where(rest[:, :1] < 1e-9, rest < 1e-9, 1.0 / np.maximum(rest, 1e-9) ** 2)
        weight = weight / weight.sum(axis=1, keepdims=True)
        return np.asarray(np.einsum("kn,kn...->k...", weight, self.values[near]))


class Surrogate:
    """What programs reach in any person around a case, from the runs at the nodes.

    Args:
        nodes: that were run.
        results: key to what is kept of each.

    Raises:
        BadInput: a node without a result, or nodes in which different dermatomes pass the lead.
    """

    def __init__(self, nodes: Nodes, results: Mapping[str, Outcome]):
        missing = [key for key, _ in nodes.tasks if key not in results]
        if missing:
            raise BadInput("results", f"{len(missing)} of {len(nodes.plan)} nodes have no result", got=missing[0], hint="compute them first")
        self.nodes = nodes
        found = [results[node.key] for node in nodes.plan]
        self.shape = found[0]
        for node, one in zip(nodes.plan, found, strict=True):
            if one.felt.shape != self.shape.felt.shape or (one.dermatomes != self.shape.dermatomes).any():
                raise BadInput("results", "not the same dermatomes or programs at all nodes", got=node.key)
        count = len(nodes.csf) * len(nodes.lateral)
        grid = np.array([one.vector for one in found[:count]]).reshape(len(nodes.csf), len(nodes.lateral), -1)
        self._across = PchipInterpolator(nodes.lateral, grid, axis=1)
        self._corrections: dict[str, tuple[Floats, Floats]] = {}
        for name in MINOR:
            ends = sorted((node.at[name], one.vector) for node, one in zip(nodes.plan[count:], found[count:], strict=True)
                          if abs(node.at[name] - nodes.centre[name]) > 1e-9)
            if ends:
                middle = self._grid(nodes.centre["dorsal_csf"], nodes.centre["lateral"])
                places = [(nodes.centre[name], np.zeros_like(middle)), *((at, vector - middle) for at, vector in ends)]
                places.sort(key=lambda place: place[0])
                self._corrections[name] = np.array([at for at, _ in places]), np.array([by for _, by in places])
        self.lives = [one.life for one in found]
        self.tried = from_text(str(self.shape.tried[0])) if self.shape.tried.size else ()
        gated = [one for one in found if one.hypotheses.size]
        self.hypotheses = [str(name) for name in gated[0].hypotheses] if gated else []
        programs = len(self.shape.discomfort)
        self._blocked = [Dose.of(np.concatenate([one.shares[i] for one in gated]), np.concatenate([one.inhibition[i] for one in gated]))
                         for i in range(programs)] if gated else []
        self._kept = [self._firing(gated, i) for i in range(programs)] if gated else []
        pairs = [(str(d), s) for d in self.shape.dermatomes for s in SIDES]
        self._served = xr.Dataset(coords={"fibre_population": ("fibre", ["dorsal-column"] * len(pairs)), "segment": ("fibre", [d for d, _ in pairs]),
                                          "side": ("fibre", [s for _, s in pairs])})

    def _firing(self, gated: Sequence[Outcome], i: int) -> Dose:
        """What is left of firing without a hypothesis, from the sweeps and from the places as programmed."""
        plain = self.hypotheses.index("none") if "none" in self.hypotheses else None
        shares, kept = [one.swept[i] for one in gated], [one.kept[i] for one in gated]
        if plain is not None:
            shares += [one.shares[i] for one in gated]
            kept += [1.0 - one.inhibition[i][:, plain] for one in gated]
        return Dose.of(np.concatenate(shares), np.concatenate(kept))

    def _grid(self, csf: float, lateral: float) -> Floats:
        nodes = self.nodes
        along = self._across(np.clip(lateral, nodes.lateral[0], nodes.lateral[-1]))
        if len(nodes.csf) == 1:
            return np.asarray(along[0])
        return np.asarray(PchipInterpolator(nodes.csf, along, axis=0)(np.clip(csf, nodes.csf[0], nodes.csf[-1])))

    def vector(self, at: Mapping[str, float]) -> Floats:
        """``Outcome.vector`` at any inputs: on the grid of the two that matter most, plus what each of the others adds at its centre."""
        found = self._grid(at["dorsal_csf"], at["lateral"])
        for name, (places, by) in self._corrections.items():
            x = float(np.clip(at[name], places[0], places[-1]))
            k = int(np.clip(np.searchsorted(places, x) - 1, 0, len(places) - 2))
            share = (x - places[k]) / (places[k + 1] - places[k])
            found = found + (1 - share) * by[k] + share * by[k + 1]
        return found

    def inputs(self, one: Person) -> dict[str, float]:
        """The inputs of a person, m.

        Raises:
            BadInput: someone else's anatomy, leads or programs.
        """
        ours, theirs = self.nodes.case, one.case
        own, here = _serves(ours).vertebra, _serves(theirs).vertebra
        if here != own:
            raise BadInput("anatomy.vertebra", "the nodes are those of another vertebra", got=here, allowed=own,
                           hint="plan and run nodes of the case as moved")
        if theirs.programs != ours.programs:
            raise BadInput("programs", "not those of the nodes", got=", ".join(program.name for program in theirs.programs),
                           allowed=", ".join(program.name for program in ours.programs))
        if [lead.shape().name for lead in theirs.leads] != [lead.shape().name for lead in ours.leads]:
            raise BadInput("leads", "not those of the nodes", got=theirs.leads[0].shape().name, allowed=ours.leads[0].shape().name)
        sizes = {name: getattr(theirs.anatomy, name) for name in population.DRAWN}
        return {**{name: self.nodes.centre[name] if size is None else float(size) for name, size in sizes.items()}, "lateral": _middle(theirs)}

    def reach(self, one: Person) -> tuple[Reach, ...]:
        """What each program reaches in a person; as ``reach.reaches`` of the full chain, up to the error of the surrogate."""
        felt, curve, discomfort, amplitude, weight = self._parts(self.vector(self.inputs(one)))
        return tuple(self._program(one, i, felt[i], curve[i], float(discomfort[i]), float(amplitude[i]), weight)
                     for i in range(len(self.nodes.case.programs)))

    def _parts(self, vector: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Felt, curve, discomfort and amplitude in A and weights; thresholds above the ceiling are inf."""
        shape, found, start = self.shape, [], 0
        for like in (shape.felt, shape.curve, shape.discomfort, shape.amplitude, shape.weight):
            part = np.exp(vector[start : start + like.size]).reshape(like.shape)
            start += like.size
            found.append(part)
        ceiling = Engine.ceiling
        felt, curve, discomfort, amplitude = (np.where(part > ceiling, np.inf, part) for part in found[:4])
        return felt, np.maximum.accumulate(curve, axis=-1), discomfort, amplitude, found[4]

    def _program(self, one: Person, i: int, felt: Floats, curve: Floats, discomfort: float, amplitude: float, weight: Floats) -> Reach:
        program, names = one.case.programs[i], [str(name) for name in self.shape.dermatomes]
        perception = float(felt.min())
        if program.amplitude.voltage is None:
            amplitude = resolve_amplitude(program, perception, discomfort)
        elif not np.isfinite(amplitude):
            amplitude = float("nan")
        pain = set(one.case.patient.pain.dermatomes()) if one.case.patient else None
        places = [(d, s) for d in names for s in SIDES]

        def reached(level: float) -> set[Place]:
            found = np.isfinite(felt.ravel()) & (felt.ravel() <= level)
            return {place for place, is_felt in zip(places, found, strict=True) if is_felt}

        known = bool(np.isfinite(amplitude))
        share, blocked, closes = float("nan"), dict.fromkeys(self.hypotheses, float("nan")), float("nan")
        if known:
            fires = shares_at(curve, np.array([amplitude]))[0]
            own = np.array([pain is None or place in pain for place in places]).reshape(len(names), 2)
            share = float((fires * weight)[own].sum() / weight[own].sum()) if own.any() else 0.0
            if self._blocked:
                blocked, closes = self._gate(one, i, curve, weight, amplitude, discomfort, fires)
        array = [np.array([value]) for value in (perception, discomfort, amplitude)]
        return assemble(program.name, pain, reached(amplitude) if known else set(), reached(discomfort), array[0], array[1], array[2], share,
                        blocked, closes)

    def _gate(self, one: Person, i: int, curve: Floats, weight: Floats, amplitude: float, discomfort: float,
              fires: Floats) -> tuple[dict[str, float], float]:
        """Inhibition per hypothesis, mean over the painful places, and the closing amplitude where most is recruited."""
        names = [str(name) for name in self.shape.dermatomes]
        most = one.case.gate.places
        places = [(place.dermatome, place.side) for place in places_of(self._served, one.case.patient, most)[0]]

        def pair(fires: Floats, place: Place) -> Floats:
            """(..., 2) shares of the fibres of a place and of its neighbours, from those of all places."""
            side, around = SIDES.index(place[1]), [names.index(name) for name in _neighbours(names, place[0])]
            own = fires[..., names.index(place[0]), side] if place[0] in names else np.zeros(fires.shape[:-2])
            driven = np.ascontiguousarray((fires * weight)[..., around, side]).sum(axis=-1)
            return np.stack([own, driven / weight[around, side].sum() if around else np.zeros_like(own)], axis=-1)

        shares = np.array([pair(fires, place) for place in places])
        served = np.array([d in names for d, _ in places])
        blocked = self._blocked[i](shares) * served[:, None]
        inhibition = {name: float(value) for name, value in zip(self.hypotheses, blocked.mean(axis=0), strict=True)}
        if not served.any():
            return inhibition, float("inf")
        main = places[int(np.where(served, shares[:, 0], -1.0).argmax())]
        half = curve[names.index(main[0]), SIDES.index(main[1])][int(np.searchsorted(LEVELS, HALF))] / amplitude
        highest = max(1.5, *(value for value in (half, discomfort / amplitude) if np.isfinite(value)), 1.5)
        factor = np.geomspace(0.5, min(highest, 10.0), 4 * SWEPT)
        return inhibition, crossing(factor, self._kept[i](pair(shares_at(curve, factor * amplitude), main)))


def shares_at(curve: Floats, amplitude: Floats) -> Floats:
    """(k, ...) share of the fibres of each place that fire at (k,) amplitudes in A: on straight lines between ``LEVELS`` over the logarithm of the
    amplitude, 0 below the first of them.

    Args:
        curve: (..., levels) A, not falling along the levels.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        line, level = np.log(curve), np.log(amplitude)
        at = level.reshape(-1, *(1 for _ in curve.shape[:-1]))
        count = np.stack([np.searchsorted(one, level, side="right") for one in line.reshape(-1, len(LEVELS))], axis=-1).reshape(-1, *curve.shape[:-1])
        k = np.clip(count, 1, len(LEVELS) - 1)
        low, high = (np.take_along_axis(np.broadcast_to(line, (len(level), *line.shape)), of[..., None], axis=-1)[..., 0] for of in (k - 1, k))
        between = LEVELS[k - 1] + (LEVELS[k] - LEVELS[k - 1]) * (at - low) / (high - low)
    found = np.where(np.isfinite(high) & (high > low), between, LEVELS[k - 1])
    return np.where(count == 0, 0.0, np.where(count == len(LEVELS), 1.0, found))


def reach_of(nodes: Nodes, results: Mapping[str, Outcome], one: Person) -> tuple[Reach, ...]:
    """What each program reaches in one person; ``Surrogate`` is quicker for many."""
    return Surrogate(nodes, results).reach(one)


# --- how good it is, and the population ---


COMPARED = ("perception", "discomfort", "coverage", "recruited", "inhibition", "closing")


@dataclass(frozen=True)
class Compared:
    """One program in one person, by the full chain and by the surrogate."""

    index: int
    full: Reach
    surrogate: Reach


def surrogate_error(surrogate: Surrogate, people: Sequence[Person], folder: str | Path | None = None, progress: Progress | None = None,
                    engine: Engine | None = None) -> list[Compared]:
    """The surrogate beside the full chain, of people that stand at no node; a run a person.

    Args:
        surrogate: to judge.
        people: to run.
        folder: where the runs are kept, by the key of the case; those that lie there are not run again.
        progress: called with a sentence and a share from 0 to 1.
        engine: numerical settings of the fibres.
    """
    progress = progress or (lambda words, share: None)
    found = []
    for k, one in enumerate(people):
        progress(f"person {k + 1} of {len(people)}", k / len(people))
        found += [Compared(one.index, a, b) for a, b in zip(_full(one, folder, engine), surrogate.reach(one), strict=True)]
    return found


def _full(one: Person, folder: str | Path | None, engine: Engine | None = None) -> tuple[Reach, ...]:
    """What the full chain says of a person, from the folder where it was asked before."""
    path = None if folder is None else Path(folder) / f"{one.case.key()}.json"
    if path is not None and path.exists():
        return tuple(Reach(**each) for each in json.loads(path.read_text(encoding="utf-8")))
    found = reaches(run(one.case, check_field=False, engine=engine))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps([asdict(each) for each in found]), encoding="utf-8")
        part.replace(path)
    return found


def error_table(found: Sequence[Compared], hypothesis: str = "none") -> str:
    """The errors of each program as a table in Markdown: median and largest, amplitudes in percent, shares as they are."""
    lines = ["| program | quantity | people | median error | largest error |", "|---|---|---|---|---|"]
    for name in dict.fromkeys(one.full.program for one in found):
        own = [one for one in found if one.full.program == name]
        for quantity in COMPARED:
            pairs = np.array([[_value(side, quantity, hypothesis) for side in (one.full, one.surrogate)] for one in own])
            both = np.isfinite(pairs).all(axis=1)
            relative = quantity in ("perception", "discomfort", "closing")
            gap = np.abs(np.log(pairs[both, 1] / pairs[both, 0])) * 100 if relative else np.abs(pairs[both, 1] - pairs[both, 0])
            unlike = int((np.isinf(pairs[:, 0]) != np.isinf(pairs[:, 1])).sum())
            words = [f"{value:.1f} %" if relative else f"{value:.4f}" for value in (np.median(gap), gap.max())] if gap.size else ["-", "-"]
            lines.append(f"| {name} | {quantity} | {both.sum()}{f' ({unlike} reached by one only)' if unlike else ''} | {words[0]} | {words[1]} |")
    return "\n".join(lines)


def _value(one: Reach, quantity: str, hypothesis: str = "none") -> float:
    return one.inhibition.get(hypothesis, float("nan")) if quantity == "inhibition" else float(getattr(one, quantity))


PERCENT = np.arange(0, 101, 5)


def quantiles(found: Sequence[Sequence[Reach]]) -> list[dict[str, str]]:
    """The rows of data/reach_reference.csv: each value is one that a person has, no line goes between two people.

    Args:
        found: per person, per program.
    """
    rows = []
    for of_program in zip(*found, strict=True):
        for quantity in RANKED:
            hypotheses = list(of_program[0].inhibition) if quantity == "inhibition" else [""]
            for hypothesis in hypotheses:
                values = np.array([_value(one, quantity, hypothesis) for one in of_program])
                values = values[~np.isnan(values)]
                if not values.size:
                    continue
                for percent, value in zip(PERCENT, np.quantile(values, PERCENT / 100, method="inverted_cdf"), strict=True):
                    rows.append({"program": of_program[0].program, "quantity": quantity, "hypothesis": hypothesis, "percent": str(percent),
                                 "value": f"{value + 0.0:.5g}", "unit": "1", "patients": str(values.size), "evidence": "computed",
                                 "source": "surrogate of the full chain, docs/virtual-patients.md"})
    return rows


def reference_nodes(share: float = 1.0) -> tuple[Nodes, Nodes]:
    """The nodes of data/reach_reference.csv: tonic and burst of the demo case, and 10 kHz. ``share`` of the fibres are simulated; half of them cost
    coverage (docs/virtual-patients.md)."""
    case = read((files("epidura") / "data" / "demo.yaml").read_text(encoding="utf-8"))
    third = {"name": "10 kHz", "waveform": {"kind": "high-frequency", "frequency": "10 kHz", "pulse_width": "30 us"}, "contacts": {4: -1, 5: 1}}
    return plan(case, share=share), plan(case.but(programs=[third]), share=share)


def main(arguments: Sequence[str] | None = None, reach: Callable[[Surrogate, Person], Iterable[Reach]] = Surrogate.reach) -> None:
    """``reference``: the population of data/reach_reference.csv (``epidura.virtual_sessions`` makes the whole of it); ``error``: the surrogate beside
    the full chain. ``reach``: what goes into the reference of each person."""
    parser = argparse.ArgumentParser(prog="python -m epidura.virtual", description=main.__doc__)
    parser.add_argument("what", choices=("reference", "error"))
    parser.add_argument("--folder", type=Path, required=True, help="of the runs; those in it are not run again")
    parser.add_argument("--out", type=Path, default=Path("reach_reference.csv"), help="file of the reference")
    parser.add_argument("--patients", type=int, help="people: 400 of the reference, 16 of the error")
    parser.add_argument("--share", type=float, default=1.0, help="of the fibres that is simulated at the nodes")
    chosen = parser.parse_args(arguments)

    def say(words: str, share: float) -> None:
        print(f"{share:4.0%} {words}", flush=True)

    made = [Surrogate(nodes, compute(nodes, chosen.folder, say)) for nodes in reference_nodes(chosen.share)]
    if chosen.what == "error":
        for one in made:
            people = [person(one.nodes.case, TRIED, i) for i in range(chosen.patients or 16)]
            print(error_table(surrogate_error(one, people, chosen.folder, say)))
        return
    found = [[each for one in made for each in reach(one, person(one.nodes.case, COHORT, i))] for i in range(chosen.patients or 400)]
    rows = quantiles(found)
    with chosen.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


COHORT, TRIED = 1, 2
"""Seeds of the people of data/reach_reference.csv, and of those in whom the surrogate is tried."""


if __name__ == "__main__":
    main()
