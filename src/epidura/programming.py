"""The programming session: combinations of contacts are tried, what is felt is mapped, and one is chosen by rules.

    found = session(run(case), 0)          # with the fields and fibres of one person
    found.best.contacts, found.best.coverage, found.words

What is tried are the combinations that step along a lead: a cathode with the anode below it, and a guarded cathode. Of each the map says from which
amplitude every dermatome is felt and from which it is uncomfortable; the program then runs at its amplitude, ``auto`` or as it is written. Which is
kept stands in data/programming_rules.csv: rule after rule, those that are as good as the best stay, and the first of them is taken.

Virtual patients are programmed by ``virtual.Surrogate.sessions``, from maps at the nodes (``at_node``).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epidura.case import Case
from epidura.delivery import Electronics
from epidura.errors import BadTable
from epidura.generator import generator
from epidura.outcome import therapy_of
from epidura.product import Canal, Contact, LeadField
from epidura.program import CASE, Program
from epidura.reach import Place, assemble
from epidura.recruitment import DERMATOME_SIDES, Engine, map_thresholds, resolve_amplitude
from epidura.result import Result
from epidura.tables import EVIDENCE, Number, table

Floats = NDArray[np.float64]

KINDS = ("bipole", "guarded cathode", "as written")
"""Of combinations: a cathode with the anode caudal of it; a cathode between two anodes of half its current; that of the program."""

CRITERIA = ("comfortable", "coverage", "coverable", "spill", "usage range", "amplitude", "level")
"""What a rule can ask for. ``level``: distance of the cathode from the aim, mm."""

PULSE = {"kind": "tonic", "frequency": "50 Hz", "pulse_width": "300 us"}
"""The pulse that is felt while the nodes of virtual patients are mapped, where no program of the case is felt."""


@dataclass(frozen=True)
class Combination:
    """Contacts that are tried together.

    Attributes:
        contacts: number to fraction of the amplitude.
        kind: one of ``KINDS``.
        group: of contacts in one line: the lead, and the column of a paddle.
        height: of its cathodes, m above the middle of the vertebra of the case.
    """

    contacts: Mapping[int, float]
    kind: str
    group: int
    height: float

    @property
    def words(self) -> str:
        """Such as ``4-5+``, the cathodes with a minus."""
        return words_of(self.contacts)


def words_of(contacts: Mapping[int, float]) -> str:
    """Contacts as ``4-5+``, the cathodes with a minus."""
    return "".join(("case" if n == CASE else str(n)) + ("-" if f < 0 else "+") for n, f in sorted(contacts.items()) if f)


def combinations(canal: Canal) -> tuple[Combination, ...]:
    """Bipoles, then guarded cathodes, each from the tip downwards, lead by lead."""
    found: dict[str, list[Combination]] = {kind: [] for kind in KINDS[:2]}
    for group, line in enumerate(_lines(canal)):
        height = [_height([contact]) for contact in line]
        for a, b, z in zip(line, line[1:], height, strict=False):
            found[KINDS[0]].append(Combination({a.number: -1.0, b.number: 1.0}, KINDS[0], group, z))
        for a, b, c, z in zip(line, line[1:], line[2:], height[1:], strict=False):
            found[KINDS[1]].append(Combination({a.number: 0.5, b.number: -1.0, c.number: 0.5}, KINDS[1], group, z))
    return tuple(one for kind in KINDS[:2] for one in found[kind])


def written(canal: Canal, program: Program) -> Combination:
    """The combination of a program as it stands."""
    cathodes = [contact for contact in canal.contacts if program.contacts.get(contact.number, 0.0) < 0]
    lines = _lines(canal)
    group = next((g for g, line in enumerate(lines) if cathodes and cathodes[0] in line), 0)
    return Combination(dict(program.contacts), KINDS[2], group, _height(cathodes) if cathodes else 0.0)


def _lines(canal: Canal) -> list[list[Contact]]:
    """Contacts that lie behind each other, the most rostral first."""
    found: dict[tuple[int, float | None], list[Contact]] = {}
    for contact in canal.contacts:
        middle = None if contact.left is None or contact.right is None else round(0.5 * (contact.left + contact.right), 5)
        found.setdefault((contact.lead, middle), []).append(contact)
    return [sorted(line, key=lambda contact: -contact.z1) for line in found.values()]


def _height(contacts: Sequence[Contact]) -> float:
    return float(np.mean([0.5 * (contact.z0 + contact.z1) for contact in contacts]))


# --- one combination and one person ---


@dataclass(frozen=True)
class Tried:
    """What the map of one combination says; amplitudes in A.

    Attributes:
        combination: which.
        felt: (d, 2) from which amplitude each dermatome is felt, left and right; inf: never.
        perception, discomfort: thresholds.
        amplitude: that the program would run at; nan where it is not known.
        coverage, coverable, spill: shares as in ``reach.Reach``; nan without a person.
        usage_range: discomfort over perception; nan where nothing is felt.
    """

    combination: Combination
    felt: Floats
    perception: float
    discomfort: float
    amplitude: float
    coverage: float
    coverable: float
    spill: float
    usage_range: float

    @property
    def comfortable(self) -> bool:
        """Whether it can be set without discomfort."""
        return bool(np.isfinite(self.amplitude) and self.amplitude <= self.discomfort * (1 + 1e-9) and self.usage_range >= 1)


@dataclass(frozen=True)
class Session:
    """What was tried with one program, and what was kept.

    Attributes:
        program: its name.
        dermatomes: (d,) names, of ``Tried.felt``.
        tried: in the order in which they were.
        chosen: which of them.
        words: per rule, how many were left and which way it decided.
    """

    program: str
    dermatomes: tuple[str, ...]
    tried: tuple[Tried, ...]
    chosen: int
    words: tuple[str, ...]

    @property
    def best(self) -> Tried:
        return self.tried[self.chosen]

    def amplitudes(self, pain: Collection[Place], which: int | None = None) -> dict[Place, float]:
        """Painful (dermatome, side) to the amplitude in A from which it is felt; inf where it never is."""
        felt = self.tried[self.chosen if which is None else which].felt
        names = list(self.dermatomes)
        return {(d, s): float(felt[names.index(d), DERMATOME_SIDES.index(s)]) if d in names else float("inf") for d, s in sorted(pain)}


def mapped(program: Program, combination: Combination, names: Sequence[str], felt: Floats, discomfort: float,
           pain: Collection[Place] | None) -> Tried:
    """The map of one combination, read as a person would feel it.

    Args:
        program: whose amplitude it is set to.
        names: (d,) dermatomes.
        felt: (d, 2) A.
        discomfort: A.
        pain: painful (dermatome, side); None without a person.
    """
    perception = float(felt.min(initial=np.inf))
    amplitude = resolve_amplitude(program, perception, discomfort)
    places = [(d, s) for d in names for s in DERMATOME_SIDES]

    def reached(level: float) -> set[Place]:
        return {place for place, is_felt in zip(places, (np.isfinite(felt) & (felt <= level)).ravel(), strict=True) if is_felt}

    known = np.isfinite(amplitude)
    # a discomfort that is never reached does not make felt what never is
    one = assemble(program.name, pain, reached(amplitude) if known else set(), reached(discomfort), np.array([perception]), np.array([discomfort]),
                   np.array([amplitude]), float("nan"), {}, float("nan"))
    return Tried(combination, felt, perception, discomfort, float(amplitude), one.coverage, one.coverable, one.spill, one.usage_range)


# --- rules ---


@dataclass(frozen=True)
class Rule:
    """One row of data/programming_rules.csv.

    Attributes:
        criterion: of ``CRITERIA``.
        most: whether more is better.
        tolerance: how near to the best counts as as good: as it is, or a share of it.
        relative: whether the tolerance is a share.
        aim: of ``level``: vertebra, or two with a stroke between for the disc.
        vertebrae: at which the aim holds.
        number: the tolerance with its evidence.
    """

    criterion: str
    most: bool
    tolerance: float
    relative: bool
    aim: str
    vertebrae: tuple[str, ...]
    number: Number


def rules(program: Program) -> tuple[Rule, ...]:
    """Rules of a program, the first first: those of its therapy, else those of what is felt or of what is below perception.

    Raises:
        BadTable: a row that is no rule.
    """
    known = {row["therapy"] for row in table("programming_rules")}
    therapy = therapy_of(program)
    own = therapy if therapy in known else "felt" if program.waveform.paraesthesia and program.amplitude.of_perception is None else "below perception"
    found = []
    for row in sorted((row for row in table("programming_rules") if row["therapy"] == own), key=lambda row: int(row["order"])):
        if row["criterion"] not in CRITERIA or row["better"] not in ("most", "least") or row["evidence"] not in EVIDENCE:
            raise BadTable("data/programming_rules.csv", "a row that is no rule", got=f"{own} {row['order']}: {row['criterion']}, {row['better']}",
                           allowed=", ".join(CRITERIA))
        relative = row["unit"] == "%"
        value = float(row["tolerance"])
        found.append(Rule(row["criterion"], row["better"] == "most", 0.01 * value if relative else value, relative, row["aim"],
                          tuple(row["vertebrae"].split()), Number(f"{own}: {row['criterion']} ({row['better']}), tolerance", value, row["unit"],
                                                                  row["evidence"], row["source"], row["doi_or_url"], "programming_rules.csv")))
    return tuple(found)


def choose(tried: Sequence[Tried], chosen: Sequence[Rule], aim: Mapping[str, float] | None = None,
           shift: float = 0.0) -> tuple[int, tuple[str, ...]]:
    """The first of those that no rule puts aside, and in words what each rule did.

    Args:
        tried: one or more.
        chosen: rules in their order.
        aim: name of an aim to its height, m; where one is missing, the height of the program as written, the first that is tried so.
        shift: how much further up the leads lie than the heights of the combinations say, m.
    """
    left, words = list(range(len(tried))), list[str]()
    for rule in chosen:
        values = np.array([_value(tried[k], rule, tried, aim or {}, shift) for k in left])
        known = np.isfinite(values)
        if not known.any():
            words.append(f"{rule.criterion}: not known of any")
            continue
        sign = 1.0 if rule.most else -1.0
        best = (sign * values[known]).max()
        near = known & (sign * values >= best - (rule.tolerance * abs(best) if rule.relative else rule.tolerance) - 1e-12)
        words.append(f"{rule.criterion}: the {'most' if rule.most else 'least'} is {sign * best:.3g}; {int(near.sum())} of {len(left)} stay"
                     if len(left) > 1 else f"{rule.criterion}: {values[0]:.3g}")
        left = [k for k, stays in zip(left, near, strict=True) if stays]
    return left[0], tuple(words)


def _value(one: Tried, rule: Rule, tried: Sequence[Tried], aim: Mapping[str, float], shift: float) -> float:
    if rule.criterion == "level":
        as_written = next((other.combination.height for other in tried if other.combination.kind == KINDS[2]), tried[0].combination.height)
        return 1e3 * abs(one.combination.height + shift - aim[rule.aim] if rule.aim in aim else one.combination.height - as_written)
    if rule.criterion == "comfortable":
        return float(one.comfortable)
    if rule.criterion == "spill":
        return 1.0 if np.isnan(one.spill) else one.spill
    return float({"coverage": one.coverage, "coverable": one.coverable, "usage range": one.usage_range, "amplitude": one.amplitude}[rule.criterion])


def aims(case: Case, chosen: Iterable[Rule]) -> dict[str, float]:
    """Heights in m of the aims that hold at the vertebra of a case."""
    own = str(getattr(case.anatomy, "vertebra", ""))
    middle = {span.name: span.middle for span in case.anatomy.level().cord.vertebrae}
    return {rule.aim: float(np.mean([middle[name] for name in rule.aim.split("/")])) for rule in chosen if rule.aim and own in rule.vertebrae}


def held(program: Program) -> bool:
    """Whether a program keeps its contacts: it has several trains, or a voltage, whose current hangs on the contacts."""
    return len(program.trains) > 1 or program.amplitude.voltage is not None


# --- a session with the whole chain ---


def session(result: Result, i: int = 0, engine: Engine | None = None) -> Session:
    """Program ``i`` of a result with every combination of its leads, in the field and with the fibres of that result.

    Its waveform is what is felt, and its amplitude that of the case. The combination as written is tried first. A program that keeps its contacts
    (``held``) is mapped with them alone, by its first train.
    """
    case, program = result.case, result.case.programs[i]
    known = [written(result.canal, program)]
    if not held(program):
        known += [one for one in combinations(result.canal) if dict(one.contacts) != dict(program.contacts)]
    trains = [program.alone(0).model_copy(update={"contacts": dict(one.contacts)}) for one in known]
    names, felt, discomfort = map_thresholds(result.lead_field, case.fibres, trains, case.rules, engine, _electronics(case))
    pain = set(case.patient.pain.dermatomes()) if case.patient else None
    if held(program):
        amplitude = [float(result.recruitment.programmed_amplitude[row]) for row in result.rows_of(i)]
        one = mapped(trains[0].model_copy(update={"amplitude": _ampere(amplitude[0])}), known[0], names, felt[0], float(discomfort[0]), pain)
        return Session(program.name, tuple(names), (one,), 0, ("contacts kept",))
    tried = [mapped(program, one, names, f, float(d), pain) for one, f, d in zip(known, felt, discomfort, strict=True)]
    own = rules(program)
    chosen, words = choose(tried, own, aims(case, own))
    return Session(program.name, tuple(names), tuple(tried), chosen, words)


def _electronics(case: Case) -> Electronics | None:
    return None if case.generator is None else generator(case.generator).electronics()


def _ampere(value: float) -> Any:
    from epidura.program import Amplitude

    return Amplitude(current=value if np.isfinite(value) else None)


def programmed(result: Result, engine: Engine | None = None) -> tuple[Case, tuple[Session, ...]]:
    """The case with the contacts that a session chose for each program, and the sessions."""
    sessions = tuple(session(result, i, engine) for i in range(len(result.case.programs)))
    programs = [program if held(program) else program.but(contacts=_contacts(one.best.combination))
                for program, one in zip(result.case.programs, sessions, strict=True)]
    case: Case = result.case.but(programs=[program.model_dump(mode="json") for program in programs])
    return case, sessions


def _contacts(of: Combination) -> dict[str, float]:
    return {"case" if n == CASE else str(n): f for n, f in of.contacts.items()}


# --- maps at the nodes of virtual patients ---


@dataclass(frozen=True)
class NodeMap:
    """The map of one node, with a pulse that is felt. Where the canal has one cross-section, stepping along a lead changes nothing for the fibres of
    the columns, which is exact; so these are mapped once for each kind and line, and discomfort at every step.

    Attributes:
        tried: combinations, and what the programs of the case have beside these.
        column: (k, d, 2) A, by ``kinds``.
        discomfort: (c,) A, of every combination.
    """

    tried: tuple[Combination, ...]
    column: Floats
    discomfort: Floats

    @property
    def kinds(self) -> list[int]:
        """Per combination the row of ``column``."""
        return kinds(self.tried)


def kinds(tried: Sequence[Combination]) -> list[int]:
    """Per combination the number of its kind; those as written are a kind each."""
    seen: dict[object, int] = {}
    return [seen.setdefault((one.group, one.kind) if one.kind != KINDS[2] else tuple(sorted(one.contacts.items())), len(seen)) for one in tried]


def at_node(lead_field: LeadField, case: Case, engine: Engine | None = None) -> NodeMap:
    """The map of a node.

    Args:
        lead_field: of its canal.
        case: with its fibres; of its programs the first that is felt lends its pulse.
        engine: numerical settings of the fibres.
    """
    felt = next((program.waveform.model_dump(mode="json") for program in case.programs if program.waveform.paraesthesia), PULSE)
    canal = lead_field.canal
    tried = list(combinations(canal))
    for program in case.programs:
        if dict(program.contacts) not in [dict(one.contacts) for one in tried]:
            tried.append(written(canal, program))
    trains = [Program.model_validate({"name": one.words, "waveform": felt, "contacts": _contacts(one)}) for one in tried]
    # the middle one of each kind: the field of the end contacts is that of the end of the lead too
    which = kinds(tried)
    members = [[k for k, kind in enumerate(which) if kind == each] for each in range(max(which) + 1)]
    middle = [of[len(of) // 2] for of in members]
    columns = [population for population in case.fibres if population.kind == "dorsal-column"]
    others = [population for population in case.fibres if population.kind != "dorsal-column"]
    _, column, plain = map_thresholds(lead_field, columns, [trains[k] for k in middle], case.rules, engine, _electronics(case))
    if any(population.kind == "dorsal-root" for population in others):
        discomfort = map_thresholds(lead_field, others, trains, case.rules, engine, _electronics(case))[2]
    else:
        discomfort = plain[which]
    return NodeMap(tuple(tried), column, discomfort)


def to_text(tried: Sequence[Combination]) -> str:
    """Combinations as JSON, for a file."""
    return json.dumps([{"contacts": _contacts(one), "kind": one.kind, "group": one.group, "height": one.height} for one in tried])


def place_of(tried: Sequence[Combination], contacts: Mapping[int, float]) -> int:
    """Which of the combinations has these contacts."""
    return next(k for k, one in enumerate(tried) if dict(one.contacts) == dict(contacts))


def from_text(text: str) -> tuple[Combination, ...]:
    """As ``to_text`` wrote them."""
    return tuple(Combination({CASE if n == "case" else int(n): f for n, f in one["contacts"].items()}, one["kind"], one["group"], one["height"])
                 for one in json.loads(text))
