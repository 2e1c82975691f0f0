"""The pathway of a patient: which event may follow which, and the state that events add up to.

``fold`` is a plain function of a state and one more event, fast enough to rebuild millions; ``refusals`` says what is missing before an
event may happen. Both know an event as the store keeps it: kind, day and open body, never a name or a free word, so that a state can be
rebuilt without any patient's key.

    referred -> assessed -> (not suitable | optimise first | selected) -> provisional implant -> trial running -> trial ended
        -> (trial failed: leads removed | trial succeeded) -> definitive implant -> follow-up -> (revised | explanted)

An explant can happen at any time after an implant. It closes the system's life, not the patient's record: the pathway may begin again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from epidura.clinic import verdict
from epidura.clinic.procedure import Consent, consent_checks
from epidura.clinic.selection import Findings, assess
from epidura.errors import BadInput

Stage = Literal["registered", "referred", "assessed", "not suitable", "optimise first", "selected", "provisional implant", "trial running",
                "trial ended", "trial failed", "trial succeeded", "definitive implant", "follow-up", "revised", "explanted"]

STAGES: tuple[Stage, ...] = ("registered", "referred", "assessed", "not suitable", "optimise first", "selected", "provisional implant",
                             "trial running", "trial ended", "trial failed", "trial succeeded", "definitive implant", "follow-up", "revised",
                             "explanted")

IMPLANTED: tuple[Stage, ...] = ("definitive implant", "follow-up", "revised")
ON_TRIAL: tuple[Stage, ...] = ("provisional implant", "trial running", "trial ended", "trial succeeded")
CLOSED: tuple[Stage, ...] = ("trial failed", "explanted", "not suitable", "optimise first")

State = dict[str, Any]
"""JSON-able: ``stage``, ``version``, ``revision`` and what the events below put into it."""

PATIENTS_OWN = frozenset({"diary.recorded", "instrument.answered"})
"""Kinds that a patient writes alone: they do not count as a change that another writer has to see first."""


class Refused(BadInput):
    """An event that cannot happen now.

    Attributes:
        missing: what is missing, one sentence each.
    """

    missing: tuple[str, ...] = ()


@dataclass(slots=True)
class Happened:
    """An event as the store keeps it, without its sealed fields."""

    version: int
    kind: str
    on: str
    body: Mapping[str, Any]


def blank() -> State:
    """Before the first event."""
    return {"stage": "", "version": 0, "revision": 0}


def fold(state: State, event: Happened) -> State:
    """The state after one more event; ``state`` itself is changed and returned.

    A correction cannot be folded into what it corrects: the store replays the patient (``replay``) when it meets one.
    """
    state["version"] = event.version
    if event.kind not in PATIENTS_OWN:
        state["revision"] = event.version
    step = _FOLDS.get(event.kind)
    if step is not None:
        step(state, event)
    return state


def replay(events: Iterable[Happened], checked: bool = False) -> State:
    """The state of one patient from all events, corrections taken into account.

    Args:
        events: in order.
        checked: refuse where the corrected record could not have happened.

    Raises:
        Refused: what the first impossible event lacks.
    """
    told = list(events)
    instead = {event.body["version"]: event for event in told if event.kind == "record.corrected"}
    state = blank()
    for event in told:
        correction = instead.get(event.version)
        if correction is not None:
            right = correction.body.get("open")
            if right is None:
                state["version"] = event.version
                continue
            event = Happened(event.version, event.kind, right.get("on", event.on), right)
        if checked and event.kind != "record.corrected":
            lacks = refusals(state, event.kind, event.body, event.on)
            if lacks:
                raise refuse(f"event {event.version} ({event.kind})", state, lacks, "the record after the correction could not have happened")
        state = fold(state, event)
    return state


def refuse(where: str, state: State, lacks: tuple[str, ...], problem: str = "this cannot happen now") -> Refused:
    """The error that says what is missing."""
    error = Refused(where, f"{problem}: {'; '.join(lacks)}", got=f"stage {state['stage'] or 'not in the record'}")
    error.missing = lacks
    return error


def refusals(state: State, kind: str, body: Mapping[str, Any], on: str) -> tuple[str, ...]:
    """What is missing before an event may happen; empty if it may.

    Args:
        state: now.
        kind, body, on: the event's kind, open body and day (ISO).
    """
    if kind == "patient.registered":
        return ("this patient is in the record already",) if state["stage"] else ()
    if not state["stage"]:
        return ("the patient is not registered",)
    if state.get("erased"):
        return ("the patient was erased from the record on request; nothing more can be written",)
    lacks: list[str] = []
    allowed = _FROM.get(kind)
    if allowed is not None and state["stage"] not in allowed:
        lacks.append(f"the stage is {state['stage']}; {kind} can follow {', '.join(allowed)}")
    need = _NEEDS.get(kind)
    if need is not None:
        lacks += need(state, body, on)
    if state.get("died") and kind not in ("record.corrected", "note.added", "complication.recorded", "instrument.answered") and on > state["died"]:
        lacks.append(f"the patient died on {state['died']}")
    return tuple(lacks)


def next_kinds(state: State) -> tuple[str, ...]:
    """Kinds of events whose stage would allow them now; what else they need ``refusals`` says of each."""
    if not state["stage"]:
        return ("patient.registered",)
    return tuple(kind for kind, stages in _FROM.items() if state["stage"] in stages)


def implanted_leads(state: State) -> dict[str, Any]:
    """Name -> lead, of those that are in the body."""
    return {name: lead for name, lead in state.get("leads", {}).items() if lead.get("out") is None}


def trial_of(state: State, diary: Iterable[Mapping[str, Any]]) -> verdict.Trial | None:
    """The trial stage as ``verdict.judge`` takes it; None before one began.

    Args:
        state: of the patient.
        diary: days as stored, ``day`` (ISO) and the answers.
    """
    trial = state.get("trial")
    if not trial:
        return None
    asked = ("worst", "average", "least", "activity", "sleep", "medication")
    days = [{"day": each["day"], **{name: each.get(name) for name in asked}} for each in diary]
    begun, ended = trial["begun"], trial.get("ended") or "9999-12-31"
    before = [each for each in days if each["day"] < begun]
    if not before:
        eve = (date.fromisoformat(begun) - timedelta(days=1)).isoformat()  # the diary may have the day on which the trial begins
        baseline = {"day": eve, "average": trial["baseline_nrs"], "activity": trial.get("baseline_activity"),
                    "medication": trial.get("baseline_medication")}
        before = [baseline]
    during = [each for each in days if begun <= each["day"] <= ended]
    return verdict.Trial(before=tuple(verdict.DiaryDay(**each) for each in before), during=tuple(verdict.DiaryDay(**each) for each in during),
                         days=trial.get("days"), reported_relief=trial.get("reported_relief"), index_before=trial.get("index_before"),
                         index_during=trial.get("index_during"))


# which stages an event can follow; a kind that is not here can happen at any stage

_BEFORE_TRIAL: tuple[Stage, ...] = ("referred", "assessed", "not suitable", "optimise first", "selected")
_AFRESH: tuple[Stage, ...] = ("trial failed", "explanted")
_FROM: dict[str, tuple[Stage, ...]] = {
    "referral.received": ("registered", "not suitable", "optimise first", *_AFRESH),
    "assessment.recorded": (*_BEFORE_TRIAL, *_AFRESH),
    "team.signed": ("assessed", "optimise first", "not suitable", "selected", "trial ended", "trial succeeded"),
    "selection.decided": ("assessed", "optimise first", "not suitable", "selected"),
    "procedure.planned": ("selected", "provisional implant", "trial running", "trial ended", "trial succeeded", *IMPLANTED),
    "infection.checked": ("selected", *ON_TRIAL, *IMPLANTED),
    "lead.implanted": ("selected", "provisional implant", "trial succeeded", *IMPLANTED),
    "lead.removed": (*ON_TRIAL, "trial failed", *IMPLANTED, "explanted"),
    "lead.moved": (*ON_TRIAL, *IMPLANTED),
    "trial.begun": ("provisional implant",),
    "program.set": (*ON_TRIAL, *IMPLANTED),
    "program.removed": (*ON_TRIAL, *IMPLANTED),
    "trial.ended": ("trial running",),
    "trial.judged": ("trial ended",),
    "generator.implanted": ("trial succeeded", *IMPLANTED),
    "generator.removed": IMPLANTED,
    "patient.discharged": (*ON_TRIAL, "trial failed", *IMPLANTED, "explanted"),
    "visit.recorded": (*ON_TRIAL, "trial failed", *IMPLANTED, "explanted"),
    "revision.recorded": IMPLANTED,
    "salvage.tried": IMPLANTED,
    "system.explanted": (*ON_TRIAL, "trial failed", *IMPLANTED),
}


# what an event needs besides its stage

def _lead_needs(state: State, body: Mapping[str, Any], on: str) -> list[str]:
    stage, lacks = body["stage"], []
    if body["lead"] in implanted_leads(state):
        lacks.append(f"a lead named {body['lead']} is in place: remove it first or give this one another name")
    if stage == "trial" and state["stage"] not in ("selected", "provisional implant"):
        lacks.append(f"a lead of the trial stage needs a patient who was selected; the stage is {state['stage']}")
    if stage == "implant" and state["stage"] in ("selected", "provisional implant"):
        lacks.append("a lead of the definitive stage needs a trial that succeeded; a lead of the trial stage has stage trial")
    return lacks + _procedure_needs(state, stage, on)


def _generator_needs(state: State, body: Mapping[str, Any], on: str) -> list[str]:
    lacks = [] if implanted_leads(state) else ["no lead is in place"]
    if state.get("generator") and state["generator"].get("out") is None:
        lacks.append("a generator is in place: record its removal first")
    return lacks + _procedure_needs(state, "implant", on)


def _procedure_needs(state: State, stage: str, on: str) -> list[str]:
    """Consent, plan and bundle of a procedure. A plan and a bundle are of one operation; what is put in on the same day is one."""
    parts = [lead for lead in state.get("leads", {}).values() if lead.get("stage") == stage]
    parts += [state["generator"]] if stage == "implant" and state.get("generator") else []
    before = max((part["on"] for part in parts if part["on"] < on), default="")
    lacks = []
    consents = [Consent.model_validate(each) for each in state.get("consents", ())]
    lacks += [f"consent: {check.words}" for check in consent_checks(consents, "trial" if stage == "trial" else "implant", date.fromisoformat(on))
              if check.state in ("missing", "refused")]
    plan = state.get("plans", {}).get(stage)
    if plan is None:
        lacks.append(f"no plan of the {stage} procedure (procedure.planned)")
    elif plan["on"] <= before:
        lacks.append(f"the plan of the {stage} procedure is of the operation of {before}: ask about drugs and allergies again (procedure.planned)")
    else:
        if plan.get("drugs") is None:
            lacks.append("the plan does not say which drugs on clotting are taken (an empty list says none)")
        lacks += [f"the plan holds no dates for {drug}: a clinician fills and signs its row of the clinic's table first"
                  for drug in plan.get("drugs") or () if drug not in plan.get("hold", {})]
        if not plan.get("allergies"):
            lacks.append("the plan does not say whether there are allergies")
    bundle = state.get("bundles", {}).get(stage)
    if bundle is None:
        lacks.append(f"no bundle against infection was ticked for the {stage} procedure (infection.checked)")
    elif bundle["on"] <= before:
        lacks.append(f"the bundle against infection is of the {stage} operation of {before}: tick that of this one (infection.checked)")
    return lacks


def _select_needs(state: State, body: Mapping[str, Any], on: str) -> list[str]:
    if body["decision"] != "selected":
        return []
    found = state.get("assessment")
    if found is None:
        return ["no assessment was recorded"]
    lacks = []
    checklist = assess(Findings.model_validate(found["findings"]), found["jurisdiction"])
    aside = set(body.get("despite", ()))
    lacks += [f"{item.why} ({item.id}); {item.to_do}" for item in checklist.barriers() if item.id not in aside]
    lacks += [f"not answered: {item.why} ({item.id}); {item.to_do}" for item in checklist.missing()
              if item.weight == "hard" and item.id not in aside]
    signatures = state.get("signatures", {})
    if checklist.team == "demanded" and len(signatures) < 2:
        lacks.append(f"{checklist.name} demands a multidisciplinary team; {len(signatures)} signed, two or more are needed (team.signed)")
    lacks += [f"{each['role']} {each['name']} does not agree: {each.get('reason', '')}" for each in signatures.values() if not each["agrees"]
              if "team" not in aside]
    return lacks


def _begin_needs(state: State, body: Mapping[str, Any], on: str) -> list[str]:
    lacks = [] if implanted_leads(state) else ["no lead is in place"]
    return lacks if state.get("programs") else [*lacks, "no program is set (program.set)"]


def _judge_needs(state: State, body: Mapping[str, Any], on: str) -> list[str]:
    return [] if state.get("trial", {}).get("ended") else ["the trial has not ended (trial.ended)"]


def _lead_known(state: State, body: Mapping[str, Any], on: str) -> list[str]:
    here = implanted_leads(state)
    return [] if body["lead"] in here else [f"no lead named {body['lead']} is in place; there is {', '.join(here) or 'none'}"]


def _program_needs(state: State, body: Mapping[str, Any], on: str) -> list[str]:
    return [] if implanted_leads(state) else ["no lead is in place"]


def _slot_known(state: State, body: Mapping[str, Any], on: str) -> list[str]:
    slots = state.get("programs", {})
    return [] if body["slot"] in slots else [f"no program named {body['slot']} is set; there is {', '.join(slots) or 'none'}"]


def _generator_known(state: State, body: Mapping[str, Any], on: str) -> list[str]:
    now = state.get("generator")
    return [] if now and now.get("out") is None else ["no generator is in place"]


def _part_known(state: State, body: Mapping[str, Any], on: str) -> list[str]:
    parts = [*state.get("leads", {}), *(["generator"] if state.get("generator") else [])]
    return [] if body["part"] in parts else [f"no {body['part']} is on record; there is {', '.join(parts) or 'none'}"]


def _explant_needs(state: State, body: Mapping[str, Any], on: str) -> list[str]:
    if state["stage"] == "trial failed" and not implanted_leads(state):
        return ["no lead is in place"]
    if body["reason"] != "loss of effect" or state["stage"] not in IMPLANTED:
        return []
    steps = {name: verdict.Step.model_validate(each) for name, each in state.get("salvage", {}).items()}
    return [f"before an explant for loss of effect: {name} was neither tried nor found impossible (salvage.tried)"
            for name in verdict.open_before_explant(steps)]


def _afresh_needs(state: State, body: Mapping[str, Any], on: str) -> list[str]:
    """Of a new course: what is left in the body of the last one would be lost from sight."""
    if state["stage"] not in _AFRESH:
        return []
    left = [f"lead {name}" for name in implanted_leads(state)]
    return [f"a new course begins when nothing of the last one is in place; there is {', '.join(left)}: record its removal first"] if left else []


def _death_needs(state: State, body: Mapping[str, Any], on: str) -> list[str]:
    return ["the death is recorded already; correct it instead"] if state.get("died") else []


_NEEDS: dict[str, Callable[[State, Mapping[str, Any], str], list[str]]] = {
    "lead.implanted": _lead_needs, "generator.implanted": _generator_needs, "selection.decided": _select_needs, "trial.begun": _begin_needs,
    "trial.judged": _judge_needs, "lead.removed": _lead_known, "lead.moved": _lead_known, "program.set": _program_needs,
    "program.removed": _slot_known, "case.linked": _slot_known, "generator.removed": _generator_known, "system.explanted": _explant_needs,
    "referral.received": _afresh_needs, "assessment.recorded": _afresh_needs, "patient.died": _death_needs, "device.recalled": _part_known}


# what an event does

def _stage(name: Stage) -> Callable[[State, Happened], None]:
    def step(state: State, event: Happened) -> None:
        _enter(state, name, event.on)
    return step


def _enter(state: State, name: Stage, on: str) -> None:
    state["stage"] = name
    state["since"] = on
    state.setdefault("dates", {})[name] = on


def _registered(state: State, event: Happened) -> None:
    _enter(state, "registered", event.on)
    state.update({name: event.body.get(name) for name in ("birth_year", "sex", "language") if name in event.body})


def _identified(state: State, event: Happened) -> None:
    state.update({name: event.body[name] for name in ("birth_year", "sex", "language") if name in event.body})


def _course(state: State) -> None:
    """A new course; what was stays in the events."""
    for name in ("trial", "assessment", "signatures", "plans", "bundles", "programs", "salvage", "generator", "leads", "consents"):
        state.pop(name, None)


def _referred(state: State, event: Happened) -> None:
    _course(state)
    _enter(state, "referred", event.on)
    state["indication"] = event.body["indication"]
    state["pain_areas"] = list(event.body.get("pain_areas", ()))
    state["referral_nrs"] = event.body.get("nrs")


def _assessed(state: State, event: Happened) -> None:
    if state["stage"] in _AFRESH:
        _course(state)  # a consent, a plan or a bundle of the last course is none of this one
    if state["stage"] not in ("selected",):
        _enter(state, "assessed", event.on)
    findings = event.body["findings"]
    state["assessment"] = {"on": event.on, "jurisdiction": event.body.get("jurisdiction", "unspecified"), "findings": findings}
    state["signatures"] = {}  # those who signed had another assessment before them
    if findings.get("indication"):
        state["indication"] = findings["indication"]


def _signed(state: State, event: Happened) -> None:
    member = event.body["member"]
    state.setdefault("signatures", {})[member["name"]] = {**member, "on": event.on}


def _selected(state: State, event: Happened) -> None:
    _enter(state, {"selected": "selected", "optimise-first": "optimise first", "not-suitable": "not suitable"}[event.body["decision"]],  # type: ignore[arg-type]
           event.on)
    state["to_do"] = list(event.body.get("to_do", ()))


def _consented(state: State, event: Happened) -> None:
    state.setdefault("consents", []).append(event.body["consent"])


def _planned(state: State, event: Happened) -> None:
    state.setdefault("plans", {})[event.body["stage"]] = {"on": event.on, **{key: value for key, value in event.body.items() if key != "stage"}}


def _checked(state: State, event: Happened) -> None:
    state.setdefault("bundles", {})[event.body["stage"]] = {"on": event.on, "ticks": event.body["bundle"].get("ticks", {})}


def _lead_in(state: State, event: Happened) -> None:
    body = event.body
    state.setdefault("leads", {})[body["lead"]] = {"on": event.on, **{key: value for key, value in body.items() if key not in ("lead", "on")}}
    if body["stage"] == "trial" and state["stage"] == "selected":
        _enter(state, "provisional implant", event.on)


def _lead_out(state: State, event: Happened) -> None:
    state["leads"][event.body["lead"]]["out"] = event.on


def _lead_moved(state: State, event: Happened) -> None:
    state["leads"][event.body["lead"]]["level"] = event.body["level"]


def _begun(state: State, event: Happened) -> None:
    _enter(state, "trial running", event.on)
    state["trial"] = {"begun": event.on, "rule": "relief-50", "days": 7, **{key: value for key, value in event.body.items() if key != "on"}}


def _ended(state: State, event: Happened) -> None:
    _enter(state, "trial ended", event.on)
    state["trial"].update(ended=event.on, **{key: value for key, value in event.body.items() if key != "on"})


def _judged(state: State, event: Happened) -> None:
    _enter(state, "trial succeeded" if event.body["succeeded"] else "trial failed", event.on)
    state["trial"].update(succeeded=event.body["succeeded"], rule_says=event.body.get("rule_says"))


def _programmed(state: State, event: Happened) -> None:
    state.setdefault("programs", {})[event.body["slot"]] = {"version": event.version, "on": event.on, **{
        key: value for key, value in event.body.items() if key in ("perception_mA", "discomfort_mA", "set_mA", "covered")}}


def _unprogrammed(state: State, event: Happened) -> None:
    state.get("programs", {}).pop(event.body["slot"], None)


def _generator_in(state: State, event: Happened) -> None:
    if state["stage"] == "trial succeeded":
        _enter(state, "definitive implant", event.on)
        state["implanted"] = event.on
        state.setdefault("visits", {})
    state["generator"] = {"stay": "day case", **event.body, "on": event.on}
    state["generators"] = state.get("generators", 0) + 1


def _generator_out(state: State, event: Happened) -> None:
    state["generator"]["out"] = event.on


def _discharged(state: State, event: Happened) -> None:
    state["discharged"] = event.on


def _visited(state: State, event: Happened) -> None:
    if state["stage"] == "definitive implant":
        _enter(state, "follow-up", event.on)
    seen = {key: value for key, value in event.body.items() if key in ("nrs", "reported_relief", "index", "battery")}
    state.setdefault("visits", {}).setdefault(event.body["visit"], []).append({"on": event.on, **seen})


def _complicated(state: State, event: Happened) -> None:
    state.setdefault("complications", {})[event.body["name"]] = event.body["complication"]


def _revised(state: State, event: Happened) -> None:
    _enter(state, "revised", event.on)
    state["revisions"] = state.get("revisions", 0) + 1


def _salvaged(state: State, event: Happened) -> None:
    state.setdefault("salvage", {})[event.body["name"]] = event.body["step"]


def _recalled(state: State, event: Happened) -> None:
    body = event.body
    state.setdefault("recalls", {})[f"{body['notice']} {body['part']}"] = {"on": event.on, "state": "affected", **body}


def _explanted(state: State, event: Happened) -> None:
    was = state["stage"]
    _enter(state, "explanted", event.on)
    state["explant"] = {"on": event.on, "reason": event.body["reason"], "after": "implant" if was in IMPLANTED else "trial"}
    for lead in state.get("leads", {}).values():
        lead.setdefault("out", event.on)
    if state.get("generator"):
        state["generator"].setdefault("out", event.on)
    state["programs"] = {}


def _died(state: State, event: Happened) -> None:
    state["died"] = event.on


def _erased(state: State, event: Happened) -> None:
    state["erased"] = event.on


def _diary(state: State, event: Happened) -> None:
    diary = state.setdefault("diary", {"first": event.on, "last": event.on, "entries": 0})
    diary["entries"] += 1
    if event.on > diary["last"]:
        diary["last"] = event.on
    if event.on < diary["first"]:
        diary["first"] = event.on


def _answered(state: State, event: Happened) -> None:
    state.setdefault("instruments", {}).setdefault(event.body["instrument"]["kind"], []).append(event.version)


_FOLDS: dict[str, Callable[[State, Happened], None]] = {
    "patient.registered": _registered, "patient.identified": _identified, "patient.died": _died, "patient.erased": _erased,
    "referral.received": _referred,
    "assessment.recorded": _assessed, "team.signed": _signed, "selection.decided": _selected, "consent.recorded": _consented,
    "procedure.planned": _planned, "infection.checked": _checked, "lead.implanted": _lead_in, "lead.removed": _lead_out,
    "lead.moved": _lead_moved, "trial.begun": _begun, "trial.ended": _ended, "trial.judged": _judged, "program.set": _programmed,
    "program.removed": _unprogrammed, "generator.implanted": _generator_in, "generator.removed": _generator_out,
    "patient.discharged": _discharged, "visit.recorded": _visited, "complication.recorded": _complicated, "revision.recorded": _revised,
    "salvage.tried": _salvaged, "device.recalled": _recalled, "system.explanted": _explanted,
    "diary.recorded": _diary, "instrument.answered": _answered}
