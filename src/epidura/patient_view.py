"""What the page of one patient shows, put together from the record: no number is made here that the record's own modules do not make.

    view(record, patient, date.today())   # everything but who wrote it
    schema_of("trial.begun")              # of a form, with the words of the event's own description
    lists()                               # names that forms choose from
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import date, timedelta
from functools import cache
from typing import Any

from epidura import compare
from epidura import generator as generators
from epidura.clinic import complications, events, instruments, pathway, procedure, selection, verdict, views
from epidura.clinic.pathway import STAGES, State
from epidura.clinic.record import Record, pseudonym
from epidura.errors import BadInput
from epidura.stages import QUANTITIES
from epidura.tables import UNVERIFIED, table
from epidura.waveform import family as waveforms

STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("referred", ("referred",)), ("assessed", ("assessed", "optimise first", "not suitable")), ("selected", ("selected",)),
    ("trial lead", ("provisional implant",)), ("trial", ("trial running",)), ("trial ended", ("trial ended",)),
    ("trial judged", ("trial succeeded", "trial failed")), ("implant", ("definitive implant",)), ("follow-up", ("follow-up", "revised")),
    ("explanted", ("explanted",)))
"""Steps of the pathway as a row of words, each with the stages that it stands for."""


# forms

@cache
def schema_of(kind: str) -> dict[str, Any]:
    """JSON schema of an event; each field that the description of its class explains has that explanation.

    Raises:
        BadInput: no such kind.
    """
    if kind not in events.kinds():
        raise BadInput("kind", "there is no event of this kind", got=kind, allowed=", ".join(events.kinds()))
    schema = events.kinds()[kind].model_json_schema()
    for part in (schema, *schema.get("$defs", {}).values()):
        explain(part)
    return schema


def explain(part: dict[str, Any]) -> None:
    """Move what ``Attributes:`` says in a description to the fields it is about."""
    head, _, tail = part.get("description", "").partition("\n\nAttributes:\n")
    if head:
        part["description"] = plain(head)
    found: list[tuple[list[str], str]] = []
    for line in tail.split("\n"):
        named = re.match(r"    ([a-z_A-Z]+(?:, [a-z_A-Z]+)*): (.*)", line)
        if named:
            found.append((named[1].split(", "), named[2]))
        elif found and line.strip():
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
    for names, text in found:
        for name in names:
            if name in part.get("properties", {}):
                part["properties"][name].setdefault("description", plain(text))


def plain(text: str) -> str:
    """Without the marks of code, on one line."""
    return " ".join(text.replace("``", "").split())


@cache
def lists() -> dict[str, list[dict[str, Any]]]:
    """Name of a list -> its entries, each with ``id`` and ``name``; ``unverified`` where its source could not be read."""
    def of(name: str, key: str, words: str, *more: str, **which: str) -> list[dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for row in table(name):
            if row[key] and all(row[column] == value for column, value in which.items()):
                found.setdefault(row[key], {"id": row[key], "name": row[words] or row[key], **{column: row[column] for column in more},
                                            **_evidence(row)})
        return list(found.values())

    def questions(group: str) -> list[dict[str, Any]]:
        return [{**each, "id": each["id"].removeprefix(f"{group}-"), "name": each["name"].removeprefix("Free of ").rstrip("?")}
                for each in of("selection_criteria", "id", "question", group=group)]

    schedule = [{"id": row["visit"], "name": row["name"]} for row in table("follow_up") if row["schedule"] == "routine"]
    return {
        "indications": of("indications", "indication", "name", "words"),
        "jurisdictions": [{"id": key, "name": name} for key, name in selection.jurisdictions().items()],
        "rules": [{"id": name, "name": f"{name}: {_limits(name)}"} for name in dict.fromkeys(table("stage_rules").column("rule"))],
        "levels": [{"id": level, "name": level} for level in procedure.LEVELS],
        "targets": [{"id": row["pain_target"], "name": row["pain_target"], "levels": row["vertebral_level_of_active_cathode"],
                     "where": row["lateral_position"], **_evidence(row)} for row in table("lead_levels")],
        "psychosocial": questions("psychosocial"), "contraindications": questions("contraindication"),
        "screens": of("neuropathic_screens", "screen", "name", "low", "high"),
        "risks": [{"id": kind, "name": words} for kind, words in procedure.risks_to_name().items()],
        "measures": of("infection_bundle", "id", "measure", "phase", "note"),
        "substances": [{"id": name, "name": name} for name in procedure.SUBSTANCES],
        "drugs": [{"id": each.drug, "name": each.drug, "class": each.kind} for each in procedure.drugs()],
        "complications": [{"id": one.kind, "name": one.kind.replace("-", " ")} for one in {one.kind: one for one in complications.kinds()}.values()],
        "subkinds": [{"id": one.subkind, "of": one.kind, "name": one.name, "definition": one.definition, "actions": one.usual_actions,
                      "unverified": one.evidence in UNVERIFIED} for one in complications.kinds()],
        "severities": of("severities", "severity", "words"), "criteria": of("seriousness", "criterion", "words"),
        "leads": [{"id": row["id"], "name": f"{row['manufacturer']} {row['model']}", "manufacturer": row["manufacturer"],
                   "contacts": row["contacts"]} for row in table("leads") if row["id"]],
        "generators": [{"id": name, "name": f"{_maker(name)} {name}", "manufacturer": _maker(name)} for name in generators.names()],
        "visits": [*schedule, {"id": "unplanned", "name": "unplanned"}],
        "salvage": of("salvage", "step", "name", "what"),
        "instruments": [{"id": kind, "name": instruments.family.read({"kind": kind}).title} for kind in instruments.family.members],
        "waveforms": [{"id": kind, "name": (member.__doc__ or kind).splitlines()[0]} for kind, member in waveforms.members.items()],
        "stages": [{"id": stage, "name": stage} for stage in STAGES],
    }


def _evidence(row: Mapping[str, str]) -> dict[str, Any]:
    evidence = row.get("evidence", "")
    return {"evidence": evidence, "source": row.get("source", ""), "unverified": evidence in UNVERIFIED}


def _limits(name: str) -> str:
    lines = [f"{row['quantity']} {QUANTITIES[row['quantity']][0]} {row['value']}{'' if row['unit'] == '1' else ' ' + row['unit']}"
             for row in table("stage_rules") if row["rule"] == name]
    return ", ".join(lines)


def _maker(model: str) -> str:
    return str(next(iter(generators.generator(model).rows))["manufacturer"])


# the timeline

def _said(*parts: Any) -> str:
    return ", ".join(str(part) for part in parts if part not in (None, "", [], (), {}))


def _percent(value: Any) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


def _areas(names: Iterable[str]) -> str:
    return ", ".join(name.replace("left-", "left ").replace("right-", "right ").replace("-", " ") for name in names)


def _part(what: str, body: Mapping[str, Any]) -> str:
    return _said(what, body.get("model"), f"serial {body['serial']}" if body.get("serial") else "", f"lot {body['lot']}" if body.get("lot") else "")


def _train(program: Mapping[str, Any]) -> str:
    """Of a program as its file says it: contacts, amplitude and waveform."""
    contacts = program.get("contacts", {})
    cathodes = [str(key) for key, value in contacts.items() if value < 0]
    anodes = ["case" if str(key) in ("0", "case") else str(key) for key, value in contacts.items() if value > 0]
    wave = program.get("waveform", {})
    amplitude = program.get("amplitude")
    return _said(str(wave.get("kind", "")).replace("-", " "), wave.get("frequency"), wave.get("pulse_width"), f"{'+'.join(cathodes)} cathode",
                 f"{'+'.join(anodes)} anode", amplitude if isinstance(amplitude, str) else "")


@cache
def _title(kind: str) -> str:
    return str(instruments.family.read({"kind": kind}).title) if kind in instruments.family.members else kind


def _visit(visit: str) -> str:
    return next((row["name"] for row in table("follow_up") if row["visit"] == visit), visit.replace("-", " "))


_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "patient.registered": lambda b: _said("entered the record", b.get("sex"), f"born {b['birth_year']}" if b.get("birth_year") else ""),
    "patient.identified": lambda b: "identity corrected or completed",
    "patient.erased": lambda b: _said("identity erased on request", b.get("authority")),
    "patient.died": lambda b: _said("died", f"related to the system: {b.get('related', 'unknown')}"),
    "referral.received": lambda b: _said(b.get("indication", "").replace("-", " "), _areas(b.get("pain_areas", ())),
                                         "" if b.get("nrs") is None else f"pain {b['nrs']:g} of 10", b.get("referrer"), b.get("question")),
    "assessment.recorded": lambda b: _said(f"rule {b.get('jurisdiction', 'unspecified')}", f"{len(b.get('findings', {}))} findings"),
    "team.signed": lambda b: _said(b["member"]["name"], b["member"]["role"], "agrees" if b["member"].get("agrees") else "does not agree",
                                   b["member"].get("reason")),
    "selection.decided": lambda b: _said(b["decision"].replace("-", " "), *b.get("to_do", ()),
                                         f"despite {', '.join(b['despite'])}" if b.get("despite") else ""),
    "consent.recorded": lambda b: _said(f"to the {b['consent']['stage']}", f"explained by {b['consent']['explained_by']}",
                                        f"taken back on {b['consent']['withdrawn_on']}" if b["consent"].get("withdrawn_on") else
                                        f"signed on {b['consent']['signed_on']}" if b["consent"].get("signed_on") else "not signed yet"),
    "procedure.planned": lambda b: _said(f"the {b['stage']}", f"cathode at {b['planning']['target_level']}" if b.get("planning", {}).get(
        "target_level") else "", "drugs on clotting: " + (", ".join(b["drugs"]) or "none") if b.get("drugs") is not None else "",
        (b.get("anaesthesia") or {}).get("kind")),
    "infection.checked": lambda b: _said(f"before the {b['stage']}", f"{len(b.get('bundle', {}).get('ticks', {}))} measures answered"),
    "lead.implanted": lambda b: _said(_part(f"lead {b['lead']}", b), f"tip at {b['level']}", b.get("side"), f"stage {b['stage']}"),
    "lead.removed": lambda b: _said(f"lead {b['lead']}", b.get("outcome")),
    "lead.moved": lambda b: _said(f"lead {b['lead']}", f"{b['how']} to {b['level']}", f"{b['distance_mm']:g} mm" if b.get("distance_mm") else ""),
    "trial.begun": lambda b: _said(f"rule {b.get('rule', 'relief-50')}", f"{b.get('days', 7)} days planned",
                                   f"pain before {b['baseline_nrs']:g} of 10"),
    "program.set": lambda b: _said(f"program {b['slot']}", _train((b.get("program", {}).get("programs") or [{}])[0]),
                                   f"set to {b['set_mA']:g} mA" if b.get("set_mA") is not None else "",
                                   f"{b['charge']['charge_per_phase_uC']:.3g} \N{MICRO SIGN}C a phase" if "charge_per_phase_uC" in b.get(
                                       "charge", {}) else "",
                                   f"felt in {_areas(b['covered'])}" if b.get("covered") else ""),
    "program.removed": lambda b: f"program {b['slot']}",
    "case.linked": lambda b: _said(f"program {b['slot']} simulated", b.get("case", {}).get("title")),
    "diary.recorded": lambda b: _said(*(f"{name} pain {b[name]:g}" for name in ("worst", "average", "least") if b.get(name) is not None),
                                      b.get("note")),
    "instrument.answered": lambda b: _said(_title(b["instrument"]["kind"]), b.get("moment", "baseline"),
                                           *(f"{name} {value:g}" for name, value in b.get("score", {}).items())),
    "trial.ended": lambda b: _said(f"reported relief {_percent(b['reported_relief'])}" if b.get("reported_relief") is not None else "",
                                   f"early: {b['early']}" if b.get("early") else "as planned"),
    "trial.judged": lambda b: _said("succeeded" if b["succeeded"] else "did not succeed",
                                    "" if b.get("rule_says") is None else f"the rule says {'passed' if b['rule_says'] else 'not passed'}"),
    "generator.implanted": lambda b: _said(_part("generator", b), b["site"].replace("-", " "), b.get("side"), b.get("stay", "day case")),
    "generator.removed": lambda b: _said("exchanged" if b.get("replaced") else "taken out", b.get("reason", "other")),
    "patient.discharged": lambda b: _said("went home", "after a night" if b.get("overnight") else "the same day"),
    "visit.recorded": lambda b: _said(_visit(b["visit"]), f"pain {b['nrs']:g} of 10" if b.get("nrs") is not None else "",
                                      f"reported relief {_percent(b['reported_relief'])}" if b.get("reported_relief") is not None else "",
                                      f"battery {_percent(b['battery'])}" if b.get("battery") is not None else "", b.get("note")),
    "complication.recorded": lambda b: _said(b["name"], b["complication"]["kind"].replace("-", " "), b["complication"].get("subkind"),
                                             b["complication"].get("severity"), f"outcome {b['complication'].get('outcome', 'unknown')}"),
    "revision.recorded": lambda b: ", ".join(b.get("what", ())),
    "salvage.tried": lambda b: _said(b["name"], b["step"]["state"], b["step"].get("result")),
    "device.recalled": lambda b: _said(b["notice"], b["part"], b.get("state", "affected")),
    "system.explanted": lambda b: _said(b["reason"], "complete" if b.get("complete", True) else "not complete"),
    "note.added": lambda b: str(b["text"]),
    "record.corrected": lambda b: f"entry {b['version']} {'replaced' if b.get('instead') is not None else 'struck out'}",
}


def words(kind: str, body: Mapping[str, Any]) -> str:
    """An event in one line; what cannot be said (sealed after an erasure) is left out."""
    try:
        found = _WORDS[kind](body)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return ""
    return found


def timeline(record: Record, patient: str, after: int = 0) -> list[dict[str, Any]]:
    """Events, oldest first, in words; what was corrected stays and says by which entry. Days of the diary are left out: there are many."""
    whole = record.timeline(patient)
    instead = {each["body"].get("version"): each for each in whole if each["kind"] == "record.corrected"}
    found = []
    for each in whole:
        if each["version"] <= after or each["kind"] == "diary.recorded":
            continue
        correction = instead.get(each["version"])
        found.append({name: each[name] for name in ("version", "kind", "on", "recorded", "actor", "body")} | {
            "words": words(each["kind"], each["body"]), "why": each["body"].get("why", ""), "sealed": each["sealed"],
            "corrected": None if correction is None else {
                "version": correction["version"], "on": correction["on"], "actor": correction["actor"], "why": correction["body"].get("why", ""),
                "words": words(each["kind"], correction["body"]["instead"]) if correction["body"].get("instead") else "",
                "instead": correction["body"].get("instead")}})
    return found


# programs over time

def programs(told: Sequence[Mapping[str, Any]], state: State, today: date) -> list[dict[str, Any]]:
    """When which program was on the device: ``slot, first, last`` (days, the last one included; None while it is there), in words."""
    found: list[dict[str, Any]] = []
    here: dict[str, dict[str, Any]] = {}

    def end(slot: str, on: str) -> None:
        one = here.pop(slot, None)
        if one is not None:
            one["last"] = max(one["first"], (date.fromisoformat(on) - timedelta(days=1)).isoformat())

    for each in sorted(told, key=lambda one: (one["on"], one["version"])):
        body = each["body"]
        if each["kind"] == "program.set":
            end(body["slot"], each["on"])
            file = body.get("program", {})
            here[body["slot"]] = {"slot": body["slot"], "version": each["version"], "first": each["on"], "last": None,
                                  "words": _train((file.get("programs") or [{}])[0]), "title": file.get("title", ""), "program": file,
                                  **{name: body.get(name) for name in ("perception_mA", "discomfort_mA", "set_mA")},
                                  "covered": list(body.get("covered", ()))}
            found.append(here[body["slot"]])
        elif each["kind"] == "program.removed":
            end(body["slot"], each["on"])
        elif each["kind"] in ("system.explanted", "referral.received"):
            for slot in list(here):
                end(slot, each["on"])
    return found


# the whole page

def view(record: Record, patient: str, today: date) -> dict[str, Any]:
    """Everything that the page of a patient shows, but names of staff and what hangs on who asks.

    Raises:
        Unknown: no such patient.
    """
    state = record.state(patient, unsealed=True)
    told, days = views.told(record, patient, unsealed=True), record.diary(patient)
    identity = record.identity(patient)
    return {"id": patient, "pseudonym": pseudonym(patient), "revision": state["revision"], "today": today.isoformat(), "stage": state["stage"],
            "name": _name(identity), "identity": identity, "state": state, "steps": steps(state), "timeline": timeline(record, patient),
            "checklist": _checklist(state), "ready": {stage: _ready(state, stage, today) for stage in ("trial", "implant")},
            "diary": [{name: value for name, value in day.items() if name not in ("patient", "version")} for day in days],
            "programs": programs(told, state, today), "verdict": _verdict(state, days), "alert": alert(state), "salvage": _salvage(state),
            "complications": _complications(state), "scores": _scores(told), "trends": views.trends(record, patient),
            "compared": _compared(record, patient, told, state)}


def _name(identity: Mapping[str, Any] | None) -> str:
    return "" if identity is None else f"{identity['given_name']} {identity['family_name']}"


def steps(state: State) -> list[dict[str, Any]]:
    """The pathway as a row of words: ``name``, the stage's own words, day, and ``done``, ``now`` or ``ahead``."""
    stage, dates = state["stage"], state.get("dates", {})
    here = next((k for k, (_, stages) in enumerate(STEPS) if stage in stages), -1)
    found = []
    for k, (name, stages) in enumerate(STEPS):
        known = [one for one in stages if one in dates]
        last = stage if k == here else known[-1] if known else ""
        ended = state["stage"] == "explanted" or k <= here
        found.append({"name": name, "stage": last if ended else "", "on": dates.get(last, "") if ended else "",
                      "state": "now" if k == here else "done" if ended and last else "passed over" if k < here else "ahead"})
    return found


def _checklist(state: State) -> dict[str, Any] | None:
    kept = state.get("assessment")
    if kept is None:
        return None
    found = selection.assess(selection.Findings.model_validate(kept["findings"]), kept["jurisdiction"])
    return {"on": kept["on"], "name": found.name, "caveat": found.caveat, "team": found.team, "source": found.source,
            "items": [{**item.model_dump(mode="json"), "unverified": item.unverified} for item in found.items],
            "advice": list(found.advice("trial")), "barriers": [item.id for item in found.barriers()]}


def _ready(state: State, stage: Any, today: date) -> list[dict[str, Any]]:
    """What stands before a procedure: site and level, consent, drugs on clotting, bundle, anaesthesia, allergies."""
    plan = state.get("plans", {}).get(stage) or {}
    found = [*procedure.Planning.model_validate(plan.get("planning", {})).checks(stage),
             *procedure.consent_checks([procedure.Consent.model_validate(each) for each in state.get("consents", ())], stage, today)]
    if plan.get("drugs") is None:
        found.append(procedure.Check("clotting", "clotting", "missing", "not asked which drugs on clotting the patient takes"))
    elif not plan["drugs"]:
        found.append(procedure.Check("clotting", "clotting", "ok", "takes no drug on clotting"))
    else:
        hold = plan.get("hold", {})
        found += [procedure.Check("clotting", "clotting", "ok" if drug in hold else "refused", f"{drug}: {hold.get(drug, 'no dates are planned')}")
                  for drug in plan["drugs"]]
    found += (procedure.Anaesthesia.model_validate(plan["anaesthesia"]).checks() if plan.get("anaesthesia")
              else [procedure.Check("anaesthesia", "anaesthesia", "missing", "not planned")])
    found += procedure.Allergies.model_validate(plan.get("allergies") or {}).checks((plan.get("anaesthesia") or {}).get("drugs", ()))
    found += procedure.InfectionBundle.model_validate({"ticks": (state.get("bundles", {}).get(stage) or {}).get("ticks", {})}).checks()
    return [{**asdict(each), "unverified": each.evidence in UNVERIFIED} for each in found]


def _verdict(state: State, days: list[dict[str, Any]]) -> dict[str, Any] | None:
    trial = pathway.trial_of(state, days)
    if trial is None:
        return None
    found = asdict(verdict.judge(trial, state["trial"]["rule"]))
    found["lines"] = [{**line, "unverified": line["evidence"] in UNVERIFIED} for line in found["lines"]]
    return found


def alert(state: State) -> dict[str, Any] | None:
    """Whether the effect was lost, from the pain at the visits since the implant; None before one, or without pain from before."""
    baseline = (state.get("trial") or {}).get("baseline_nrs") or state.get("referral_nrs")
    if "implanted" not in state or not baseline:
        return None
    pain = {each["on"]: each["nrs"] for seen in state.get("visits", {}).values() for each in seen
            if each.get("nrs") is not None and each["on"] >= state["implanted"]}
    found = verdict.loss_of_effect([verdict.Seen(on=date.fromisoformat(on), nrs=nrs) for on, nrs in pain.items()], baseline)
    return {"state": found.state, "since": found.since, "words": found.words, "rule": found.rule, "evidence": found.evidence,
            "unverified": found.evidence in UNVERIFIED}


def _salvage(state: State) -> list[dict[str, Any]]:
    done = {name: verdict.Step.model_validate(each) for name, each in state.get("salvage", {}).items()}
    return [{"step": each.step, "name": each.name, "what": each.what, "done": None if each.done is None else each.done.model_dump(mode="json"),
             "source": each.source, "evidence": each.evidence, "unverified": each.evidence in UNVERIFIED}
            for each in verdict.salvage_checklist(done)]


def _complications(state: State) -> list[dict[str, Any]]:
    found = []
    for name, kept in state.get("complications", {}).items():
        one = complications.Complication.model_validate(kept)
        found.append({"name": name, "complication": kept, "serious": one.serious, "effect_of_device": one.effect_of_device,
                      "classification": one.classification(), "open": list(one.open()), "usual_actions": list(one.usual_actions())})
    return found


def _scores(told: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Questionnaires that were answered, oldest first, with the band that each score lies in."""
    found = []
    for each in told:
        if each["kind"] != "instrument.answered":
            continue
        instrument = instruments.family.read(each["body"]["instrument"])
        score = instrument.score(each["body"]["answers"])
        found.append({"on": each["on"], "version": each["version"], "instrument": instrument.kind, "title": score.title,
                      "moment": each["body"].get("moment", "baseline"), "missing": list(score.missing), "alerts": list(score.alerts),
                      "notes": list(score.notes), "values": [value.model_dump(mode="json") for value in score.values]})
    return found


def _compared(record: Record, patient: str, told: Sequence[Mapping[str, Any]], state: State) -> dict[str, Any]:
    """Program -> observed beside simulated, of those programs that are set and were simulated."""
    found = {}
    for slot in dict.fromkeys(each["body"]["slot"] for each in told if each["kind"] == "case.linked"):
        if slot in state.get("programs", {}):
            with suppress(BadInput):  # a case that cannot be read any more leaves the page without its table
                found[slot] = asdict(compare.compare(record, patient, slot))
    return found
