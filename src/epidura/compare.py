"""The link between a patient's real program and a case, both ways.

    draft = case_of(record, patient, "A")            # the case, and what had to be filled in
    simulate(record, "nurse-7", patient, "A")        # runs it and keeps what it predicts as an event
    compare(record, patient, "A")                    # observed beside predicted
    program_from_case(case, "tonic", on=today)       # a simulated program, to be tried

A case needs more than a record holds: the canal of a person is not measured by a clinic. What is filled in is said, each time; a difference
between observed and predicted is as much of that as of the program.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from epidura import study
from epidura.case import Case, read, to_text
from epidura.clinic import events, views
from epidura.clinic.pathway import State, implanted_leads
from epidura.clinic.procedure import CaseLink
from epidura.clinic.record import Committed, Record
from epidura.errors import BadInput, nearest
from epidura.lead.base import KIND_OF_TYPE
from epidura.patient import Pain, indications
from epidura.program_file import FORMAT, ProgramFile
from epidura.quality_of_life import relief
from epidura.result import Result
from epidura.tables import table

USUAL_LEAD = "octrode"
"""Taken where a record names a lead that data/leads.csv does not know."""
BESIDE, APART = 1.0, 2.5
"""Off the midline, mm: one lead that is recorded as left or right, and each of several; the record has no distances."""


def vertebrae() -> tuple[str, ...]:
    """Those that a canal can be made of, from the head down."""
    return tuple(table("vertebrae").column("vertebra"))


@dataclass(frozen=True)
class Draft:
    """A case made of a record.

    Attributes:
        case: to be run.
        text: the case as YAML.
        known: what came from the record.
        assumed: what did not, and what was taken instead.
    """

    case: Case
    text: str
    known: tuple[str, ...]
    assumed: tuple[str, ...]


def case_of(record: Record, patient: str, slot: str, *, more: Mapping[str, Any] | None = None) -> Draft:
    """The case of a patient's program as it is now.

    Args:
        slot: of the program.
        more: keys of the case that replace what is made here, such as an anatomy from the patient's own images; of each it is said.

    Raises:
        BadInput: no such program or no lead in place, or contacts that the leads do not have.
        Unknown: no such patient.
    """
    state = record.state(patient)
    program, on = _program(record, patient, state, slot)
    known, assumed = [f"program {slot}, as it was set on {on}"], list[str]()
    leads = program.leads and [lead.model_dump(mode="json") for lead in program.leads]
    if leads:
        known.append("leads as the program file says")
    else:
        leads = _leads(state, record.clock().date(), known, assumed)
    level = _level(state, leads, known, assumed)
    made: dict[str, Any] = {
        "title": f"Program {slot} of a patient", "anatomy": {"kind": "parametric", "vertebra": level}, "leads": leads,
        "programs": [program.programs[0].model_dump(mode="json", exclude_none=True)]}
    assumed.append(f"the canal is the parametric default at {level}: the patient's own was not measured")
    if person := _person(record, patient, state, known, assumed):
        made["patient"] = person
    if program.generator:
        made["generator"] = program.generator
        known.append(f"generator {program.generator}")
    for key, value in (more or {}).items():
        made[key] = value
        assumed = [words for words in assumed if not (key == "anatomy" and words.startswith("the canal is"))]
        known.append(f"{key}: given by the caller")
    case = read(made)
    return Draft(case, to_text(case), tuple(known), tuple(assumed))


def _program(record: Record, patient: str, state: State, slot: str) -> tuple[ProgramFile, str]:
    """The program in a slot, corrections taken into account, and the day it was set."""
    slots = state.get("programs", {})
    if slot not in slots:
        raise BadInput("slot", "no such program is set", got=slot, allowed=", ".join(slots) or "none", hint=nearest(slot, slots))
    each = next(one for one in views.told(record, patient, unsealed=True) if one["version"] == slots[slot]["version"])
    return ProgramFile.model_validate(each["body"]["program"]), str(each["on"])


def _leads(state: State, today: date, known: list[str], assumed: list[str]) -> list[dict[str, Any]]:
    there = implanted_leads(state)
    if not there:
        raise BadInput("leads", "no lead is in place", hint="a program of a patient without leads cannot be simulated")
    models = {row["id"]: row["type"] for row in table("leads") if row["id"]}
    sides = [lead.get("side", "midline") for lead in there.values()]
    single = {"left": -BESIDE, "right": BESIDE, "midline": 0.0}
    lateral = ([single[sides[0]]] if len(sides) == 1 else [APART * {"left": -1, "right": 1, "midline": 0}[side] for side in sides]
               if len(set(sides)) == len(sides) else [APART * (2 * k / (len(sides) - 1) - 1) for k in range(len(sides))])
    found = []
    for (name, lead), side, x in zip(there.items(), sides, lateral, strict=True):
        model = lead["model"]
        if models.get(model) not in KIND_OF_TYPE:
            assumed.append(f"lead {name}: {model} is not in data/leads.csv; {USUAL_LEAD} was taken")
            model = USUAL_LEAD
        if lead["level"] not in vertebrae():
            raise BadInput(f"leads.{name}.level", "not a vertebra that a canal can be made of", got=lead["level"],
                           allowed=f"{vertebrae()[0]} to {vertebrae()[-1]}", hint="correct the event, or hand in leads")
        days = (today - date.fromisoformat(lead["on"])).days
        found.append({"kind": KIND_OF_TYPE[models[model]], "model": model, "tip_vertebra": lead["level"], "lateral": f"{x:g} mm",
                      "implanted": f"{days} day"})
        known.append(f"lead {name}: {lead['model']}, tip at {lead['level']}, {side}, in place for {days} days")
    assumed.append(f"how far the leads are from the midline ({', '.join(one['lateral'] for one in found)}), that they lie straight and next to the "
                   "dura, and that the tips are at the middle of the vertebra")
    return found


def _level(state: State, leads: list[dict[str, Any]], known: list[str], assumed: list[str]) -> str:
    """Vertebra of the canal: where the cathode is planned, or one below the tip of the first lead."""
    names = vertebrae()
    tip = names.index(leads[0]["tip_vertebra"])
    for stage in ("implant", "trial"):
        planned = (state.get("plans", {}).get(stage) or {}).get("planning", {}).get("target_level")
        if planned in names and 0 <= names.index(planned) - tip <= 2:
            known.append(f"level {planned}, as planned")
            return str(planned)
    level = names[min(tip + 1, len(names) - 1)]
    assumed.append(f"the level of the canal: {level}, one below the tip")
    return level


def _person(record: Record, patient: str, state: State, known: list[str], assumed: list[str]) -> dict[str, Any] | None:
    areas = state.get("pain_areas") or []
    nrs = (state.get("trial") or {}).get("baseline_nrs", state.get("referral_nrs"))
    if not areas or nrs is None:
        lacks = [word for word, missing in (("painful areas", not areas), ("pain before", nrs is None)) if missing]
        assumed.append(f"no patient in the case: {' and '.join(lacks)} not on record, so coverage and relief are not predicted")
        return None
    found: dict[str, Any] = {"pain": {"areas": list(areas), "nrs": nrs}}
    known.append(f"pain {nrs:g} of 10 in {', '.join(areas)}")
    if state.get("indication") in indications():
        found["indication"] = state["indication"]
        known.append(f"indication {state['indication']}")
    elif state.get("indication"):
        assumed.append(f"no indication: cases know none called {state['indication']}")
    if state.get("birth_year"):
        found["age"] = record.clock().year - int(state["birth_year"])
        known.append("age, to a year")
    return found


# simulating

def predictions(result: Result) -> dict[str, float]:
    """What a run says that a clinic can observe: thresholds and amplitude in mA, share of the painful dermatomes that is covered, and relief
    after 1, 3 and 12 months as ``relief_1_low``, ``relief_1``, ``relief_1_high`` (5, 50 and 95 % of people like this one)."""
    first = result.summary()["programs"][0]
    found = {name: first[key] for name, key in (("perception_mA", "perception_threshold_mA"), ("discomfort_mA", "discomfort_threshold_mA"),
                                                 ("amplitude_mA", "amplitude_mA"), ("covered", "pain_covered")) if first[key] is not None}
    if result.outcome is not None and result.case.patient and result.outcome.attrs["therapy"][0]:
        start = result.case.patient.pain.nrs
        at = result.outcome.isel(program=0)
        for month in (1.0, 3.0, 12.0):
            if start > 0 and month in at.month.values:
                pain = at.pain.sel(month=month)
                for name, quantile in (("_low", 0.95), ("", 0.5), ("_high", 0.05)):  # much pain is little relief
                    found[f"relief_{month:g}{name}"] = round(float(relief(start, float(pain.sel(quantile=quantile)))), 4)
    return found


def simulate(record: Record, actor: str, patient: str, slot: str, *, on: date | None = None, more: Mapping[str, Any] | None = None,
             **run: Any) -> Committed:
    """Run the case of a program, and keep it with what it predicts as an event ``case.linked``.

    Args:
        actor: who asks.
        slot: of the program.
        on: day of the event; today if left out.
        more: as in ``case_of``.
        run: arguments of ``study.run``.
    """
    draft = case_of(record, patient, slot, more=more)
    result = study.run(draft.case, **run)
    linked = events.Linked(on=on or record.clock().date(), slot=slot, case=CaseLink(title=draft.case.title, text=draft.text),
                           predicted=predictions(result), why="\n".join(f"assumed: {words}" for words in draft.assumed))
    return record.commit(actor, patient, [linked])


# comparing

@dataclass(frozen=True)
class Line:
    """One figure.

    Attributes:
        quantity, unit: what.
        observed, predicted: None if not known.
        low, high: of the prediction; None without.
        difference: predicted less observed.
        words: where the observation is from, and what keeps the two from being compared.
    """

    quantity: str
    unit: str
    observed: float | None
    predicted: float | None
    low: float | None
    high: float | None
    difference: float | None
    words: str


@dataclass(frozen=True)
class Comparison:
    """Observed beside predicted for a program.

    Attributes:
        slot: of the program.
        linked: day on which it was simulated, and ``current``: whether the program is still the one that was simulated.
        lines: figures.
        assumed: what the case had to assume.
    """

    slot: str
    linked: str
    current: bool
    lines: tuple[Line, ...]
    assumed: tuple[str, ...]


def compare(record: Record, patient: str, slot: str) -> Comparison:
    """What was felt beside what the last simulation of this program predicted.

    Raises:
        BadInput: the program was not simulated, or is not set any more.
        Unknown: no such patient.
    """
    state = record.state(patient)
    whole = views.told(record, patient, unsealed=True)
    links = [each for each in whole if each["kind"] == "case.linked" and each["body"]["slot"] == slot]
    if not links:
        raise BadInput("slot", "this program was not simulated yet", got=slot, hint="simulate() runs it")
    last = links[-1]
    program, set_on = _program(record, patient, state, slot)
    simulated = read(last["body"]["case"]["text"])
    observed = state["programs"][slot]
    predicted = last["body"].get("predicted", {})
    lines = [_line(name, unit, observed.get(name), predicted, f"as felt on {set_on}")
             for name, unit in (("perception_mA", "mA"), ("discomfort_mA", "mA"))]
    lines.append(_line("amplitude_mA", "mA", observed.get("set_mA"), predicted, f"as set on {set_on}"))
    lines.append(_line("covered", "1", _covered(simulated, observed.get("covered") or ()), predicted,
                       "share of the painful dermatomes in the areas that tingle; areas are coarser than dermatomes"))
    for month in (1, 3, 12):
        felt = _relief(state, month)
        lines.append(_line(f"relief_{month}", "1", felt, predicted, f"calculated from the pain at the visit after {month} "
                           f"month{'' if month == 1 else 's'}; the prediction is of people like this one, from the start of the stimulation"))
    why = next((each["body"].get("why", "") for each in record.timeline(patient, after=last["version"] - 1, limit=1)), "")
    return Comparison(slot, last["on"], simulated.programs[0] == program.programs[0], tuple(lines),
                      tuple(words.removeprefix("assumed: ") for words in str(why).split("\n") if words.startswith("assumed: ")))


def _line(name: str, unit: str, observed: float | None, predicted: Mapping[str, float], words: str) -> Line:
    said = predicted.get(name)
    apart = None if observed is None or said is None else round(said - observed, 4)
    lacks = [word for word, value in (("observed", observed), ("predicted", said)) if value is None]
    return Line(name, unit, observed, said, predicted.get(f"{name}_low"), predicted.get(f"{name}_high"), apart,
                f"not {' and not '.join(lacks)}" if lacks else words)


def _covered(case: Case, tingling: tuple[str, ...] | list[str]) -> float | None:
    """Share of the painful dermatomes that lie in areas that tingle."""
    if case.patient is None or not tingling:
        return None
    hurts, felt = case.patient.pain.dermatomes(), Pain(areas=tuple(tingling), nrs=0).dermatomes()
    return len(hurts.keys() & felt.keys()) / len(hurts) if hurts else None


def _relief(state: State, month: int) -> float | None:
    start = (state.get("trial") or {}).get("baseline_nrs") or state.get("referral_nrs")
    seen = next((each["nrs"] for each in state.get("visits", {}).get(f"month-{month}", ()) if each.get("nrs") is not None), None)
    return None if not start or seen is None else round(float(relief(start, seen)), 4)


# from a case to the clinic

def program_from_case(case: Case, name: str, *, on: date, slot: str = "") -> events.Programmed:
    """A simulated program as the event that a nurse would write when it is set: thresholds are empty, for they are felt, not computed.

    Args:
        case: with the program.
        name: of the program in it.
        on: day on which it is set.
        slot: on the device; the program's name if left out.

    Raises:
        BadInput: no such program.
    """
    names = [program.name for program in case.programs]
    if name not in names:
        raise BadInput("name", "the case has no such program", got=name, allowed=", ".join(names), hint=nearest(name, names))
    file = ProgramFile(format=FORMAT, title=case.title, about="from a simulated case: nothing of it was felt yet", leads=case.leads,
                       generator=case.generator, programs=(case.programs[names.index(name)],))
    return events.Programmed(on=on, slot=slot or name, program=file)
