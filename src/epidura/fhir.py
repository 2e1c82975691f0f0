"""The clinic's record as FHIR R4, and back.

    fhir.bundle(record, patient)          one patient, as a Bundle
    fhir.load(record, actor, bundle)      a Bundle into the record: ``Loaded`` with the patient's id and an OperationOutcome

Every event becomes the resources that are natural for it (a diary day: Observations; a lead: Device and Procedure) and one Provenance: who, when,
which hash, and the event itself as JSON in an extension. So nothing is lost where FHIR has no place for it. The resources say nothing that the
events do not say: ``load`` writes them anew from the events and refuses a Bundle in which they differ. A Bundle of somebody else has no such
Provenance; it is read as far as it maps, and what does not map is listed in the OperationOutcome.

Codes are rows of data/fhir_codes.csv: of LOINC, SNOMED CT and CPT only where code and meaning were read somewhere, else of our own code systems.
Models are those of R4B in fhir.resources; the resources used here are the same in R4 4.0.1. docs/fhir.md has the table.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import Any

from pydantic import ValidationError

from epidura.clinic import events, instruments
from epidura.clinic.pathway import Refused
from epidura.clinic.record import Record, Unknown, new_id, pseudonym
from epidura.errors import BadInput, EpiduraError
from epidura.patient import SIDES
from epidura.program import Program
from epidura.recipe import kind_of
from epidura.tables import table

Resource = dict[str, Any]

BASE = "urn:epidura:fhir:"
"""Begins every address of ours. An informal URN: the project owns no domain, and an address under somebody else's would be a lie."""

PROFILE = BASE + "StructureDefinition:stimulation-program"
EVENT, HASH, VERSION, SEALED, CONTACT, TRAIN = (BASE + "StructureDefinition:" + name for name in (
    "event", "event-hash", "event-version", "event-sealed", "contact-number", "train-number"))
PSEUDONYM = BASE + "pseudonym"
HEAD = BASE + "head"
"""System of a Bundle's identifier: hash of the patient's last event."""

SYSTEMS = {"concept": "what Epidura records", "event": "kinds of events", "indication": "indications", "area": "areas of the body",
           "complication": "complications", "criterion": "what makes an event serious", "salvage": "steps before an explant",
           "instrument": "instruments"}
"""Code systems of our own: last part of the address, and what they hold."""

ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
UCUM = "http://unitsofmeasure.org"
TERMS = "http://terminology.hl7.org/CodeSystem/"
VERIFIED = ("read",)


# codes

def system(name: str) -> str:
    """Address of a code system of ours."""
    return f"{BASE}CodeSystem:{name}"


@cache
def _codings(concept: str) -> tuple[tuple[tuple[str, str], ...], ...]:
    rows = [row for row in table("fhir_codes") if row["concept"] == concept]
    if not rows:
        raise BadInput("concept", "no row in data/fhir_codes.csv", got=concept)
    out = []
    for row in rows:
        whose = system("concept") if row["system"] == "own" else row["system"]
        out.append(tuple((key, value) for key, value in (("system", whose), ("code", row["code"]), ("display", row["display"])) if value))
    return tuple(out)


def concept(name: str, text: str = "") -> Resource:
    """A CodeableConcept of a concept of data/fhir_codes.csv: verified codes first, then our own."""
    codings = [dict(pairs) for pairs in _codings(name)]
    return _some({"coding": codings, "text": _text(text) or codings[-1]["display"]})


def _own(name: str, code: str, display: str = "", text: str = "") -> Resource:
    return _some({"coding": [_some({"system": system(name), "code": _code(code), "display": _text(display)})], "text": _text(text)})


def _terms(name: str, code: str) -> Resource:
    return {"coding": [{"system": TERMS + name, "code": code}]}


@cache
def _names(which: str, key: str, name: str) -> dict[str, str]:
    return {row[key]: row[name] for row in table(which)}


def code_system(name: str) -> Resource:
    """A code system of ours as a CodeSystem resource, from the tables that hold its concepts."""
    found: list[tuple[str, str]]
    if name == "concept":
        found = [(row["code"], row["display"]) for row in table("fhir_codes") if row["system"] == "own"]
    elif name == "event":
        found = [(kind, (each.__doc__ or "").split("\n")[0].rstrip(".")) for kind, each in events.kinds().items()]
    elif name == "instrument":
        found = [(kind, member.title) for kind, member in instruments.family.members.items()]
    elif name == "complication":
        found = [(_code(f"{row['kind']}:{row['subkind']}" if row["subkind"] else row["kind"]), row["name"]) for row in table("complications")]
        found += [(kind, kind) for kind in dict.fromkeys(table("complications").column("kind")) if kind not in dict(found)]
    elif name == "area":
        found = list(_areas().items())
    else:
        which, key, words = {"indication": ("indications", "indication", "name"), "criterion": ("seriousness", "criterion", "words"),
                             "salvage": ("salvage", "step", "name")}[name]
        found = list(_names(which, key, words).items())
    return {"resourceType": "CodeSystem", "id": f"epidura-{name}", "url": system(name), "name": f"Epidura{name.capitalize()}",
            "title": f"Epidura: {SYSTEMS[name]}", "status": "draft", "experimental": True, "content": "complete", "caseSensitive": True,
            "description": f"Own codes of Epidura for {SYSTEMS[name]}: where no code of a published system was verified, or beside it.",
            "count": len(found), "concept": [_some({"code": code, "display": _text(display)}) for code, display in found]}


# values

def _some(value: Mapping[str, Any]) -> Resource:
    """Without what is empty: FHIR knows no empty text, list or object."""
    return {key: each for key, each in value.items() if each is not None and each != "" and each != [] and each != {}}


def _text(value: object) -> str:
    """Text that FHIR takes: without control characters, not only blanks."""
    words = "".join(c if c in "\t\r\n" or c.isprintable() else " " for c in str(value) if not 0xD800 <= ord(c) <= 0xDFFF)
    return words.strip()


def _code(value: object) -> str:
    return re.sub(r"\s+", "-", _text(value))


def _quantity(value: float, unit: str, code: str | None = None) -> Resource:
    return {"value": value, "unit": unit, "system": UCUM, "code": code or unit}


def _note(*words: object) -> list[Resource]:
    return [{"text": text} for text in map(_text, words) if text]


def _extension(url: str, kind: str, value: Any) -> Resource:
    return {"url": url, f"value{kind}": value}


def fhir_id(patient: str) -> str:
    """Id of the Patient resource: that of the record.

    Raises:
        BadInput: an id that FHIR does not take, or one that leaves no room for those of the resources.
    """
    if not re.fullmatch(r"[A-Za-z0-9-]{1,32}", patient):
        raise BadInput("patient", "FHIR takes no such id", got=patient, allowed="up to 32 letters, digits and hyphens")
    return patient


def whose(identifier: str) -> str:
    """Patient of a resource of ours, from the resource's id."""
    return identifier.split(".")[0]


# events -> resources

@dataclass
class _Told:
    """An event that counts: as it happened or as it was corrected."""

    version: int
    kind: str
    on: str
    body: dict[str, Any]
    sealed: bool = False


@dataclass
class _Writer:
    """Resources of one patient, in the making."""

    patient: str
    resources: list[Resource] = field(default_factory=list)
    now: _Told | None = None
    made: list[str] = field(default_factory=list)
    leads: dict[str, Resource] = field(default_factory=dict)
    generator: Resource | None = None
    trial: Resource | None = None
    condition: str = ""
    visit: str = ""

    @property
    def event(self) -> _Told:
        assert self.now is not None
        return self.now

    @property
    def subject(self) -> Resource:
        return {"reference": f"Patient/{self.patient}"}

    def add(self, kind: str, suffix: str, **fields: Any) -> Resource:
        """One resource of the event that is told now."""
        made = {"resourceType": kind, "id": f"{self.patient}.{self.event.version}.{suffix}", **_some(fields)}
        self.resources.append(made)
        self.made.append(f"{kind}/{made['id']}")
        return made

    def observe(self, suffix: str, code: Resource, value: Any = None, unit: str = "", **more: Any) -> str:
        """An Observation; a number is a quantity with its unit."""
        fields: dict[str, Any] = {}
        if isinstance(value, bool):
            fields["valueBoolean"] = value
        elif isinstance(value, int | float):
            fields["valueQuantity"] = _quantity(value, unit or "1")
        elif isinstance(value, str):
            fields["valueString"] = _text(value)
        elif value:
            fields["valueCodeableConcept"] = value
        if not any(fields.values()) and "valueBoolean" not in fields and "valueQuantity" not in fields and not more.get("component"):
            fields = {"dataAbsentReason": _terms("data-absent-reason", "masked" if self.event.sealed else "unknown")}
        category = more.pop("category", "survey")
        encounter = {"encounter": {"reference": self.visit}} if self.visit else {}
        return _reference(self.add("Observation", suffix, status="final", category=[_terms("observation-category", category)], code=code,
                                   subject=self.subject, effectiveDateTime=self.event.on, **encounter, **fields, **more))

    def procedure(self, suffix: str, code: Resource, **more: Any) -> Resource:
        reason = [{"reference": self.condition}] if self.condition else []
        return self.add("Procedure", suffix, **{"status": "completed", "code": code, "subject": self.subject, "performedDateTime": self.event.on,
                                                "reasonReference": reason, **more})

    def device(self, suffix: str, kind: str) -> Resource:
        body = self.event.body
        udi = _text(body.get("udi", ""))
        name = _text(body.get("lead") or body["model"])
        return self.add("Device", suffix, status="active", udiCarrier=[{"carrierHRF": udi}] if udi else [],
                        manufacturer=_text(body.get("manufacturer", "")), modelNumber=_text(body["model"]), lotNumber=_text(body.get("lot", "")),
                        serialNumber=_text(body.get("serial", "")), type=concept(kind), patient=self.subject,
                        deviceName=[{"name": name, "type": "user-friendly-name"}] if name else [])


def _reference(resource: Resource) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def _component(name: str, value: Any, unit: str = "", code: Resource | None = None, extension: Sequence[Resource] = ()) -> Resource:
    kind: Resource = {}
    if isinstance(value, bool):
        kind = {"valueBoolean": value}
    elif isinstance(value, int | float):
        kind = {"valueQuantity": _quantity(value, unit or "1")}
    elif isinstance(value, str):
        kind = {"valueString": _text(value)} if _text(value) else {}
    elif value:
        kind = {"valueCodeableConcept": value}
    if not kind:
        return {}
    return _some({"extension": list(extension), "code": code or concept(name), **kind})


def _components(each: Iterable[Resource]) -> list[Resource]:
    return [one for one in each if one]


@cache
def _areas() -> dict[str, str]:
    """Areas of the body in words, whole and of one side."""
    whole = _names("pain_areas", "id", "name")
    return {**whole, **{f"{side}-{area}": f"{words}, {side}" for side in SIDES for area, words in whole.items()}}


def _area(name: str) -> Resource:
    return _own("area", name, _areas().get(name, ""))


def _indication(name: str) -> Resource:
    return _own("indication", name, _names("indications", "indication", "name").get(name, ""))


def _referred(w: _Writer) -> None:
    body = w.event.body
    condition = w.add("Condition", "condition", clinicalStatus=_terms("condition-clinical", "active"),
                      category=[_terms("condition-category", "problem-list-item")], code=_indication(body["indication"]),
                      bodySite=[_area(each) for each in body.get("pain_areas", ())], subject=w.subject, recordedDate=w.event.on)
    w.condition = _reference(condition)
    referrer = _text(body.get("referrer", ""))
    w.add("ServiceRequest", "referral", status="active", intent="order", code=concept("referral"), subject=w.subject, authoredOn=w.event.on,
          requester={"display": referrer} if referrer else {}, reasonReference=[{"reference": w.condition}], note=_note(body.get("question", "")))
    if body.get("nrs") is not None:
        w.observe("pain", concept("pain-now"), body["nrs"], "{score}")


def _assessed(w: _Writer) -> None:
    found = body = w.event.body["findings"]
    parts = [_component("jurisdiction", w.event.body.get("jurisdiction", "unspecified")), _component("age", found.get("age"), "a"),
             _component("indication", _indication(found["indication"]) if found.get("indication") else None, code=concept("referral")),
             _component("neuropathic", found.get("neuropathic")), _component("pain-now", found.get("pain_nrs"), "{score}"),
             _component("pain-vas", found.get("pain_vas"), "mm"), _component("pain-location", found.get("location", ""))]
    parts += [_component("screen", score, "{score}", concept("screen", f"screen: {name}")) for name, score in found.get("screens", {}).items()]
    for what in ("psychosocial", "contraindications"):
        of = what.removesuffix("s")
        parts += [_component(of, str(said), code=concept(of, f"{of}: {name}")) for name, said in body.get(what, {}).items()]
    parts += [_component("treatment-tried", ", ".join(str(one[key]) for key in ("kind", "what", "effect") if one.get(key)))
              for one in found.get("tried", ())]
    w.observe("assessment", concept("assessment"), component=_components(parts), category="exam")


def _signed(w: _Writer) -> None:
    member = w.event.body["member"]
    w.observe("signature", concept("team-signature"), member["agrees"], performer=[{"display": _text(f"{member['name']}, {member['role']}") or "?"}],
              note=_note(member.get("reason", "")), category="exam")


def _selected(w: _Writer) -> None:
    body = w.event.body
    status = {"selected": "active", "optimise-first": "on-hold", "not-suitable": "revoked"}[body["decision"]]
    steps = [{"detail": {"status": "not-started", "description": _text(each)}} for each in body.get("to_do", ()) if _text(each)]
    w.add("CarePlan", "selection", status=status, intent="plan", category=[concept("selection", body["decision"])], title="spinal cord stimulation",
          subject=w.subject, created=w.event.on, addresses=[{"reference": w.condition}] if w.condition else [], activity=steps,
          note=_note(*(f"set aside: {each}" for each in body.get("despite", ()))))


def _consented(w: _Writer) -> None:
    consent = w.event.body["consent"]
    withdrawn, signed = consent.get("withdrawn_on"), consent.get("signed_on")
    w.add("Consent", "consent", status="inactive" if withdrawn else "active" if signed else "proposed", scope=_terms("consentscope", "treatment"),
          category=[concept(f"consent-{consent['stage']}")], patient=w.subject, dateTime=withdrawn or signed or consent["explained_on"],
          performer=[w.subject] if signed else [], policyRule={"text": _text(f"text {consent['text_version']} ({consent['language']})")},
          provision={"type": "deny" if withdrawn else "permit", "code": [concept(f"consent-{consent['stage']}")]})


def _planned(w: _Writer) -> None:
    body = w.event.body
    plan, stage = body.get("planning", {}), body["stage"]
    steps = [f"{key.replace('_', ' ')}: {value}" for key, value in plan.items() if key != "case" and value is not None]
    if body.get("drugs") is not None:
        steps += [f"drug on clotting: {drug}: {body.get('hold', {}).get(drug, 'no dates yet')}" for drug in body["drugs"]] or ["no drugs on clotting"]
    if body.get("anaesthesia"):
        steps.append(f"anaesthesia: {body['anaesthesia']['kind']}")
    steps += [f"allergy, {name}: {said}" for name, said in ((body.get("allergies") or {}).get("answers") or {}).items()]
    w.add("CarePlan", "plan", status="active", intent="plan", category=[concept("procedure-plan", stage)], title=f"plan of the {stage} procedure",
          subject=w.subject, created=w.event.on, addresses=[{"reference": w.condition}] if w.condition else [],
          activity=[{"detail": {"status": "scheduled", "description": _text(each)}} for each in steps if _text(each)])
    wanted = ["lead"] * int(plan.get("leads") or 1) + (["generator"] if stage == "implant" else [])
    for number, what in enumerate(wanted, 1):
        w.add("DeviceRequest", f"request-{number}", status="active", intent="plan", codeCodeableConcept=concept(what), subject=w.subject,
              authoredOn=w.event.on, reasonReference=[{"reference": w.condition}] if w.condition else [])


def _sheet(w: _Writer, name: str, answers: Mapping[str, Mapping[str, Any]], **more: Any) -> Resource:
    items = [_some({"linkId": _text(key) or "?", "answer": [dict(answer)] if answer else []}) for key, answer in answers.items()]
    return w.add("QuestionnaireResponse", "answers", questionnaire=f"{BASE}Questionnaire:{name}", status="completed", subject=w.subject,
                 authored=w.event.on, item=items, **more)


def _checked(w: _Writer) -> None:
    body = w.event.body
    _sheet(w, f"infection-bundle-{body['stage']}", {key: {"valueString": tick["state"]} for key, tick in body["bundle"].get("ticks", {}).items()})


def _lead_in(w: _Writer) -> None:
    body = w.event.body
    device = w.leads[body["lead"]] = w.device("device", "lead")
    reference = {"reference": _reference(device)}
    side = "" if body.get("side", "midline") == "midline" else f", {body['side']}"
    w.procedure("procedure", concept(f"lead-{body.get('technique', 'percutaneous').replace(' ', '-')}"), usedReference=[reference],
                focalDevice=[{"manipulated": reference}], bodySite=[{"text": _text(f"tip at {body['level']}{side}")}],
                note=_note(f"entry {body['entry']}" if body.get("entry") else "", f"stage: {body['stage']}"))


def _out(device: Resource | None) -> list[Resource]:
    if device is None:
        return []
    device["status"] = "inactive"
    return [{"manipulated": {"reference": _reference(device)}}]


def _lead_out(w: _Writer) -> None:
    body = w.event.body
    w.procedure("procedure", concept("lead-removal"), focalDevice=_out(w.leads.get(body["lead"])),
                outcome={"text": _text(body.get("outcome", "complete"))})


def _lead_moved(w: _Writer) -> None:
    body = w.event.body
    lead = w.leads.get(body["lead"])
    w.observe("place", concept("lead-place"), body["level"], category="imaging", device={"reference": _reference(lead)} if lead else {},
              component=_components([_component("lead-distance", body.get("distance_mm"), "mm")]), note=_note(body["how"]))


def _recalled(w: _Writer) -> None:
    body = w.event.body
    part = w.generator if body["part"] == "generator" else w.leads.get(body["part"])
    w.observe("recall", concept("device-recall", body["notice"]), body.get("state", "affected"),
              device={"reference": _reference(part)} if part else {}, note=_note(f"notice {body['notice']}"))


def _trial_begun(w: _Writer) -> None:
    body = w.event.body
    w.trial = w.add("CarePlan", "trial", status="active", intent="plan", category=[concept("trial-stage")], title="provisional stage",
                    subject=w.subject, period={"start": w.event.on}, note=_note(f"rule {body.get('rule', 'relief-50')}, {body.get('days', 7)} days"))
    w.observe("pain", concept("pain-average"), body["baseline_nrs"], "{score}")
    _numbers(w, {"activity": body.get("baseline_activity"), "medication": body.get("baseline_medication"),
                 "eq-5d-5l-index": body.get("index_before")})


def _numbers(w: _Writer, found: Mapping[str, float | None]) -> None:
    for name, value in found.items():
        if value is not None:
            w.observe(name, concept(name), value, UNITS.get(name, "1"))


UNITS = {"pain-average": "{score}", "pain-worst": "{score}", "pain-least": "{score}", "pain-now": "{score}", "sleep": "{score}",
         "activity": "{score}", "stimulation-hours": "h"}


def _trial_ended(w: _Writer) -> None:
    body = w.event.body
    if w.trial is not None:
        w.trial["status"], w.trial["period"] = "completed", {"start": w.trial["period"]["start"], "end": w.event.on}
    _numbers(w, {"relief-reported": body.get("reported_relief"), "eq-5d-5l-index": body.get("index_during")})


def _judged(w: _Writer) -> None:
    rule = w.event.body.get("rule_says")
    w.observe("decision", concept("trial-decision"), w.event.body["succeeded"], category="exam",
              note=_note("" if rule is None else f"the rule says {'yes' if rule else 'no'}"))


def _programmed(w: _Writer) -> None:
    body = w.event.body
    program = Program.model_validate(body["program"]["programs"][0])
    parts = []
    for number, train in enumerate(program.trains, 1):
        of = [_extension(TRAIN, "PositiveInt", number)]
        written = train.waveform.model_dump(mode="json")
        width = getattr(train.waveform, "pulse_width", None)
        parts.append(_component("waveform", {"text": _text(written["kind"])}, extension=of))
        parts.append(_component("frequency", float(train.waveform.frequency), "Hz", extension=of))
        parts.append(_component("pulse-width", round(width * 1e6, 9), "us", extension=of) if isinstance(width, float) else {})
        current, voltage, share = train.amplitude.current, train.amplitude.voltage, train.amplitude.of_perception
        if current is not None:
            parts.append(_component("amplitude", round(current * 1e3, 9), "mA", extension=of))
        elif voltage is not None:
            parts.append(_component("amplitude", voltage, "V", extension=of))
        else:
            words = "usual for the waveform" if share is None else f"{share:g} of the perception threshold"
            parts.append(_component("amplitude", words, extension=of))
        parts += [_component("contact", fraction, "1", extension=[_extension(CONTACT, "UnsignedInt", contact), *of])
                  for contact, fraction in train.contacts.items()]
    if program.cycle is not None:
        parts += [_component("cycle-on", program.cycle.on, "s"), _component("cycle-off", program.cycle.off, "s")]
    parts += [_component("ramp-up", program.ramp_up, "s") if program.ramp_up else {}, _component("sources", program.sources),
              _component("most", round(program.most * 1e3, 9), "mA") if program.most is not None else {}]
    parts += [_component(name, body.get(key), "mA") for name, key in (("perception", "perception_mA"), ("discomfort", "discomfort_mA"),
                                                                     ("set-amplitude", "set_mA"))]
    parts += [_component("impedance", float(value), "Ohm", extension=[_extension(CONTACT, "UnsignedInt", int(contact))])
              for contact, value in body.get("impedances_ohm", {}).items()]
    parts += [_component("covered", _area(each)) for each in body.get("covered", ())]
    parts += [_component("charge-figure", value, _unit(name), concept("charge-figure", name)) for name, value in body.get("charge", {}).items()]
    devices = [{"reference": _reference(each)} for each in w.leads.values() if each["status"] == "active"]
    device = {"reference": _reference(w.generator)} if w.generator and w.generator["status"] == "active" else devices[0] if devices else {}
    w.observe("program", concept("stimulation-program", body["slot"]), component=_components(parts), category="therapy", meta={"profile": [PROFILE]},
              focus=devices, device=device, note=_note(body["program"].get("title", ""), program.words()))


def _unit(name: str) -> str:
    """Unit that a name such as ``charge_per_phase_uC`` ends with, where it is one of UCUM."""
    return {"uC": "uC", "nC": "nC", "mA": "mA", "V": "V", "mW": "mW", "h": "h", "years": "a"}.get(name.rsplit("_", 1)[-1], "1")


def _unprogrammed(w: _Writer) -> None:
    w.observe("program", concept("program-removal"), w.event.body["slot"], category="therapy")


def _linked(w: _Writer) -> None:
    body = w.event.body
    w.observe("simulation", concept("simulation"), body["case"].get("title") or body["slot"], category="procedure",
              component=_components(_component("predicted", value, _unit(name), concept("predicted", name))
                                    for name, value in body.get("predicted", {}).items()))


DAY = {"worst": "pain-worst", "average": "pain-average", "least": "pain-least", "sleep": "sleep", "activity": "activity", "medication": "medication",
       "stimulation_hours": "stimulation-hours"}
"""Answers of the diary, and their concepts."""


def _diary(w: _Writer) -> None:
    body = w.event.body
    _numbers(w, {code: body.get(name) for name, code in DAY.items()})
    for number, area in enumerate(body.get("tingling", ()), 1):
        w.observe(f"tingling-{number}", concept("tingling"), _area(area))
    if _text(body.get("note", "")):
        w.observe("note", concept("note"), body["note"])


SCORES = {("nrs", "pain"): "pain-now", ("vas", "pain"): "pain-vas", ("phq-9", "total"): "phq-9-total", ("gad-7", "total"): "gad-7-total",
          ("eq-5d-5l", "index"): "eq-5d-5l-index", ("eq-5d-5l", "EQ VAS"): "eq-5d-5l-vas", ("odi", "total"): "odi-total",
          ("reported-relief", "relief"): "relief-reported"}
"""Instrument and value of its score: concept."""


def _answered(w: _Writer) -> None:
    body = w.event.body
    kind = body["instrument"]["kind"]
    sheet = _reference(_sheet(w, kind, {key: {} if value is None else {"valueDecimal": value} for key, value in body["answers"].items()},
                              source=w.subject if body.get("by", "patient") == "patient" else {}))
    score = body if "score" in body else _scored(body)
    for number, (name, value) in enumerate(sorted(score.get("score", {}).items()), 1):
        code = concept(SCORES[kind, name]) if (kind, name) in SCORES else concept("score", f"{kind}: {name}")
        w.observe(f"score-{number}", code, value, "{score}", derivedFrom=[{"reference": sheet}])
    for number, words in enumerate(score.get("alerts", ()), 1):
        w.observe(f"alert-{number}", concept("instrument-alert"), words, derivedFrom=[{"reference": sheet}])


def _scored(body: Mapping[str, Any]) -> dict[str, Any]:
    """Score and alerts as the record computes them when it writes the event."""
    score = instruments.family.read(body["instrument"]).score(body["answers"])
    return {"score": {value.name: value.number for value in score.values if value.number is not None}, "alerts": list(score.alerts)}


def _generator_in(w: _Writer) -> None:
    body = w.event.body
    w.generator = w.device("device", "generator")
    reference = {"reference": _reference(w.generator)}
    w.procedure("procedure", concept("generator-implant"), usedReference=[reference], focalDevice=[{"manipulated": reference}],
                bodySite=[{"text": _text(f"{body['site']} {body.get('side', '')}")}], note=_note(f"stay: {body.get('stay', 'day case')}"))


def _generator_out(w: _Writer) -> None:
    w.procedure("procedure", concept("generator-removal"), focalDevice=_out(w.generator),
                reasonCode=[{"text": w.event.body.get("reason", "other")}])


def _discharged(w: _Writer) -> None:
    w.add("Encounter", "discharge", status="finished", type=[concept("discharge")], subject=w.subject, period={"end": w.event.on},
          **{"class": {"system": TERMS + "v3-ActCode", "code": "IMP" if w.event.body.get("overnight") else "AMB"}})


def _visited(w: _Writer) -> None:
    body = w.event.body
    w.visit = _reference(w.add("Encounter", "visit", status="finished", type=[concept("visit", body["visit"])], subject=w.subject,
                               period={"start": w.event.on, "end": w.event.on}, **{"class": {"system": TERMS + "v3-ActCode", "code": "AMB"}}))
    _numbers(w, {"pain-now": body.get("nrs"), "relief-reported": body.get("reported_relief"), "eq-5d-5l-index": body.get("index"),
                 "battery": body.get("battery")})
    if _text(body.get("note", "")):
        w.observe("note", concept("note"), body["note"])


OUTCOMES = {"recovered": "resolved", "recovering": "recovering", "not recovered": "ongoing", "recovered with sequelae": "resolvedWithSequelae",
            "fatal": "fatal", "unknown": "unknown"}


def _complicated(w: _Writer) -> None:
    body = w.event.body
    found = body["complication"]
    code = f"{found['kind']}:{found['subkind']}" if found.get("subkind") else found["kind"]
    names = {(row["kind"], row["subkind"]): row["name"] for row in table("complications")}
    criteria = found.get("criteria")
    devices = [each for each in (*w.leads.values(), w.generator) if each and each.get("serialNumber") in found.get("devices", ())]
    w.add("AdverseEvent", "event", actuality="actual", identifier={"system": BASE + "complication", "value": _text(body["name"]) or "?"},
          event=_own("complication", code, names.get((found["kind"], found.get("subkind", "")), ""), found.get("description", "")), subject=w.subject,
          date=found["onset"], recordedDate=found.get("reported") or w.event.on,
          seriousness={} if criteria is None else {**_terms("adverse-event-seriousness", "serious" if criteria else "non-serious"),
                                                   **_some({"text": ", ".join(criteria)})},
          severity=_terms("adverse-event-severity", found["severity"]) if found.get("severity") else {},
          outcome=_terms("adverse-event-outcome", OUTCOMES[found.get("outcome", "unknown")]),
          suspectEntity=[{"instance": {"reference": _reference(each)}} for each in devices])


def _revised(w: _Writer) -> None:
    w.procedure("procedure", concept("revision", ", ".join(w.event.body["what"])))


def _salvaged(w: _Writer) -> None:
    step = w.event.body["step"]
    w.procedure("procedure", concept("salvage", w.event.body["name"]), status="completed" if step["state"] == "done" else "not-done",
                performedDateTime=step["on"], performer=[{"actor": {"display": _text(step["by"]) or "?"}}], note=_note(step["result"]))


def _explanted(w: _Writer) -> None:
    body = w.event.body
    devices = [each for lead in (*w.leads.values(), w.generator) if lead and lead["status"] == "active" for each in _out(lead)]
    w.procedure("procedure", concept("explant"), focalDevice=devices, reasonCode=[{"text": body["reason"]}],
                outcome={"text": "complete" if body.get("complete", True) else "not complete"})


def _noted(w: _Writer) -> None:
    w.observe("note", concept("note"), w.event.body.get("text", ""))


_WRITES: dict[str, Callable[[_Writer], None]] = {
    "referral.received": _referred, "assessment.recorded": _assessed, "team.signed": _signed, "selection.decided": _selected,
    "consent.recorded": _consented, "procedure.planned": _planned, "infection.checked": _checked, "lead.implanted": _lead_in,
    "lead.removed": _lead_out, "lead.moved": _lead_moved, "trial.begun": _trial_begun, "trial.ended": _trial_ended, "trial.judged": _judged,
    "program.set": _programmed, "program.removed": _unprogrammed, "case.linked": _linked, "diary.recorded": _diary,
    "instrument.answered": _answered, "generator.implanted": _generator_in, "generator.removed": _generator_out,
    "patient.discharged": _discharged, "visit.recorded": _visited, "complication.recorded": _complicated, "revision.recorded": _revised,
    "salvage.tried": _salvaged, "system.explanted": _explanted, "note.added": _noted,
    "device.recalled": _recalled}
"""Kinds with resources of their own; the others say something of the Patient, or of another event, and have a Provenance alone."""


def _counts(timeline: Sequence[Mapping[str, Any]]) -> dict[int, _Told | None]:
    """Version -> what counts of it; None where it was struck out."""
    told: dict[int, _Told | None] = {each["version"]: _Told(each["version"], each["kind"], each["on"], each["body"], each["sealed"])
                                     for each in timeline}
    for each in timeline:
        if each["kind"] != "record.corrected":
            continue
        old, right = told.get(each["body"]["version"]), each["body"].get("instead") or each["body"].get("open")
        if right is None or old is None:
            told[each["body"]["version"]] = None
        else:
            body = {key: value for key, value in right.items() if key not in ("on", "kind")}
            told[old.version] = _Told(old.version, old.kind, right.get("on", old.on), body, each["sealed"])
    return told


def _patient(patient: str, told: Iterable[_Told | None]) -> Resource:
    """The Patient resource."""
    events_ = [each for each in told if each is not None]
    first = next((each for each in events_ if each.kind == "patient.registered"), None)
    identity = next((each.body["identity"] for each in reversed(events_) if "identity" in each.body), None)
    died = next((each.on for each in reversed(events_) if each.kind == "patient.died"), None)
    sex = first.body.get("sex", "unknown") if first else "unknown"
    made: dict[str, Any] = {"resourceType": "Patient", "id": fhir_id(patient),
                            "identifier": [{"use": "secondary", "system": PSEUDONYM, "value": pseudonym(patient)}], "gender": sex}
    masked = {"extension": [_extension(ABSENT, "Code", "masked")]}
    if identity is None:
        made |= {"name": [masked], "birthDate": str(first.body["birth_year"]) if first else None}
    else:
        family, given = _text(identity["family_name"]), _text(identity["given_name"])
        made["identifier"] += [_some({"system": key if re.match(r"^(https?|urn):\S+$", key) else f"{BASE}identifier:{_code(key) or 'other'}",
                                      "value": _text(value)}) for key, value in identity.get("identifiers", {}).items() if _text(value)]
        made |= {"name": [_some({"use": "official", "family": family, "given": [given] if given else []})] if family or given else [masked],
                 "telecom": [{"system": kind, "value": _text(identity[name])} for kind, name in (("phone", "phone"), ("email", "email"))
                             if _text(identity.get(name, ""))],
                 "birthDate": identity["birth_date"], "address": [{"text": text} for text in [_text(identity.get("address", ""))] if text],
                 "contact": [{"name": {"text": text}} for text in [_text(identity.get("contact", ""))] if text]}
    return _some({**made, "deceasedDateTime": died})


def resources(patient: str, timeline: Sequence[Mapping[str, Any]]) -> list[Resource]:
    """All resources of a patient, with relative references; a plain function of the events.

    Args:
        patient: id.
        timeline: all of the patient's events as ``Record.timeline`` gives them.
    """
    told = _counts(timeline)
    writer = _Writer(fhir_id(patient))
    writer.resources.append(_patient(patient, told.values()))
    for each in timeline:
        now = told[each["version"]]
        writer.made, writer.visit = [], ""
        if now is not None and now.kind in _WRITES:
            writer.now = now
            _WRITES[now.kind](writer)
        writer.resources.append(_provenance(patient, each, writer.made))
    return writer.resources


def _provenance(patient: str, each: Mapping[str, Any], made: Sequence[str]) -> Resource:
    body = {key: value for key, value in each["body"].items() if key not in ("score", "alerts")}
    extension = [_extension(EVENT, "String", json.dumps(body)), _extension(HASH, "String", each["hash"]),
                 _extension(VERSION, "PositiveInt", each["version"])]
    if each["sealed"]:
        extension.append(_extension(SEALED, "Boolean", True))
    why = _text(each["body"].get("why", ""))
    return _some({"resourceType": "Provenance", "id": f"{patient}.{each['version']}.provenance", "extension": extension,
                  "target": [{"reference": one} for one in made or [f"Patient/{patient}"]], "occurredDateTime": each["on"],
                  "recorded": each["recorded"],
                  "reason": [{"text": why}] if why else [], "activity": _own("event", each["kind"]),
                  "agent": [{"who": {"display": _text(each["actor"]) or "?"}}]})


# resources -> a bundle

def bundle(record: Record, patient: str, kind: str = "collection", unsealed: bool = True) -> Resource:
    """One patient as a Bundle.

    Args:
        kind: ``collection``, or ``transaction`` to be posted to a FHIR server.
        unsealed: with who the patient is and with free words; False gives a pseudonym in their place.

    Raises:
        Unknown: no such patient.
        BadInput: another kind, or an id that FHIR does not take.
    """
    if kind not in ("collection", "transaction"):
        raise BadInput("kind", "no such kind of bundle here", got=kind, allowed="collection, transaction")
    timeline = record.timeline(patient, unsealed=unsealed)
    if not timeline:
        raise Unknown("patient", "no such patient", got=patient)
    made = _absolute(resources(patient, timeline))
    entries = []
    for full, resource in made:
        entry: Resource = {"fullUrl": full, "resource": resource}
        if kind == "transaction":
            entry["request"] = {"method": "PUT", "url": _reference(resource)}
        entries.append(entry)
    return checked({"resourceType": "Bundle", "identifier": {"system": HEAD, "value": timeline[-1]["hash"]}, "type": kind,
                    "timestamp": timeline[-1]["recorded"], "entry": entries})


def bundles(record: Record, unsealed: bool = True) -> Iterator[Resource]:
    """Every patient as a Bundle, in the order of ids."""
    after = ""
    while page := record.patients(after=after):
        for each in page:
            yield bundle(record, each["id"], unsealed=unsealed)
        after = page[-1]["id"]


def _full(reference: str) -> str:
    """Address of a resource within a Bundle, the same each time."""
    return uuid.uuid5(uuid.NAMESPACE_URL, BASE + reference).urn


def _absolute(made: Iterable[Resource]) -> list[tuple[str, Resource]]:
    """Each with its full address, and references by these."""
    return [(_full(_reference(each)), _refer(each, _full)) for each in made]


def _refer(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {key: change(each) if key == "reference" and isinstance(each, str) else _refer(each, change) for key, each in value.items()}
    return [_refer(each, change) for each in value] if isinstance(value, list) else value


def checked(resource: object) -> Resource:
    """The resource, if it is one of FHIR.

    Raises:
        BadInput: with the path and what is wrong.
    """
    if not isinstance(resource, Mapping):
        raise BadInput("", "a FHIR resource is a JSON object", got=type(resource).__name__)
    from fhir.resources.R4B import get_fhir_model_class

    kind = resource.get("resourceType")
    try:
        model = get_fhir_model_class(kind) if isinstance(kind, str) else None
    except (KeyError, LookupError, ValueError):
        model = None
    if model is None:
        raise BadInput("resourceType", "no resource of FHIR R4", got=kind)
    try:
        model.model_validate(resource)
    except ValidationError as failure:
        error = failure.errors(include_url=False, include_input=False)[0]
        raise BadInput(".".join([str(kind), *map(str, error["loc"])]), _text(error["msg"]), allowed="FHIR R4") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as failure:
        raise BadInput(str(kind), f"not a resource of FHIR: {_text(failure)[:200]}", allowed="FHIR R4") from None
    return dict(resource)


# a bundle -> the record

@dataclass(frozen=True)
class Loaded:
    """What an import did.

    Attributes:
        patient: id in the record.
        events: how many were written.
        repeated: whether this Bundle had been imported before.
        outcome: OperationOutcome that names everything that was not taken.
    """

    patient: str
    events: int
    repeated: bool
    outcome: Resource


def load(record: Record, actor: str, value: object, foreign: bool = False) -> Loaded:
    """Write the patient of a Bundle into the record, all or nothing.

    Args:
        actor: who imports; who wrote first, and when, stays in the Bundle. The hash of the last event is the import's idempotency key.
        value: the Bundle, of one patient.
        foreign: read a Bundle of ours by its resources alone, as that of somebody else.

    Raises:
        BadInput: no Bundle, not one patient, or one of ours in which events are missing or resources say something else.
        Refused: events that the pathway does not allow, such as those of a patient who is there already.
    """
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, TypeError, RecursionError) as failure:  # half a letter, or no JSON
        raise BadInput("Bundle", f"not JSON: {_text(failure)[:100]}") from None
    given = checked(value)
    if given["resourceType"] != "Bundle":
        raise BadInput("resourceType", "an import takes a Bundle", got=given["resourceType"], allowed="Bundle")
    entries = [entry for entry in given.get("entry", []) if entry.get("resource")]
    patients = [entry["resource"] for entry in entries if entry["resource"]["resourceType"] == "Patient"]
    if len(patients) != 1:
        raise BadInput("entry", "a Bundle of one patient is needed", got=f"{len(patients)} Patient resources", allowed="1")
    of_us = [entry["resource"] for entry in entries
             if entry["resource"]["resourceType"] == "Provenance" and _ours(entry["resource"], EVENT) is not None]
    if of_us and not foreign:
        return _load_ours(record, actor, entries, patients[0], of_us)
    return _load_foreign(record, actor, given, entries, patients[0])


def _ours(resource: Mapping[str, Any], url: str) -> Any:
    """Value of an extension of ours, or None."""
    for each in resource.get("extension", ()):
        if each.get("url") == url:
            return next((value for key, value in each.items() if key.startswith("value")), None)
    return None


def _load_ours(record: Record, actor: str, entries: Sequence[Resource], who: Resource, of_us: Sequence[Resource]) -> Loaded:
    patient = str(who.get("id", ""))
    timeline = sorted((_told(each) for each in of_us), key=lambda each: int(each["version"]))
    versions = [each["version"] for each in timeline]
    if versions != list(range(1, len(versions) + 1)):
        raise BadInput("entry", "events of this patient are missing or doubled", got=", ".join(map(str, versions)), allowed=f"1 to {max(versions)}")
    if any(each["kind"] == "patient.erased" or each["sealed"] for each in timeline):
        raise BadInput("entry", "this Bundle does not say who the patient is: erased, or written under a pseudonym",
                       hint="a record is of somebody; keep the Bundle for research")
    places = {entry["fullUrl"]: _reference(entry["resource"]) for entry in entries if entry.get("fullUrl") and entry["resource"].get("id")}
    found: dict[str, Resource] = {}
    for number, entry in enumerate(entries):
        one = _refer(entry["resource"], lambda text: places.get(text, text))
        name = f"{one['resourceType']}/{one.get('id', '')}"
        found[f"{name} (entry {number})" if name in found else name] = one
    what = [_event(each) for each in timeline]
    wanted = {_reference(one): one for one in resources(patient, timeline)}
    wrong = sorted({name for name in wanted.keys() | found.keys() if _bare(wanted.get(name)) != _bare(found.get(name))})
    if wrong:
        raise BadInput("entry", "resources do not say what the events say", got=", ".join(wrong[:5]) + (" ..." if len(wrong) > 5 else ""),
                       hint="they were changed after the export; import it as foreign to take what the resources say")
    done = record.commit(actor, patient, what, request=f"fhir:{timeline[-1]['hash']}")
    return Loaded(done.patient, len(what), done.repeated, outcome([("information", "informational", f"{len(what)} events written", "")]))


def _bare(resource: Resource | None) -> Any:
    """A resource without what a server adds."""
    if resource is None:
        return None
    kept = {key: value for key, value in resource.items() if key not in ("meta", "text")}
    return json.dumps(kept, sort_keys=True), tuple((resource.get("meta") or {}).get("profile", ()))


def _told(resource: Resource) -> dict[str, Any]:
    """An event of a Provenance of ours, as ``Record.timeline`` gives it."""
    where = f"Provenance/{resource.get('id', '')}"
    text, version = _ours(resource, EVENT), _ours(resource, VERSION)
    try:
        body = json.loads(str(text))
        kind = resource["activity"]["coding"][0]["code"]
        actor = resource["agent"][0]["who"]["display"]
    except (ValueError, KeyError, IndexError, RecursionError) as failure:
        raise BadInput(where, f"its event cannot be read: {_text(failure)[:100]}") from None
    if (not isinstance(body, dict) or not isinstance(version, int) or kind not in events.kinds()
            or not re.fullmatch("[0-9a-f]{64}", str(_ours(resource, HASH)))):
        raise BadInput(where, "its event cannot be read", got=str(kind), allowed="a JSON object, a version, a kind and a hash")
    return {"version": version, "kind": kind, "on": resource.get("occurredDateTime", ""), "recorded": resource["recorded"], "actor": actor,
            "hash": _ours(resource, HASH), "sealed": bool(_ours(resource, SEALED)), "body": body}


def _event(each: Mapping[str, Any]) -> events.Event:
    body = dict(each["body"])
    if each["kind"] == "record.corrected" and isinstance(body.get("instead"), dict):
        body["instead"] = {key: value for key, value in body["instead"].items() if key not in ("score", "alerts")}
    try:
        event: events.Event = events.read({**body, "kind": each["kind"], "on": each["on"]})
    except BadInput as failure:
        raise failure.at(f"event {each['version']} ({each['kind']})") from None
    return event


@dataclass
class _Reader:
    """What was read of somebody else's Bundle."""

    found: list[events.Event] = field(default_factory=list)
    days: dict[str, dict[str, Any]] = field(default_factory=dict)
    issues: list[tuple[str, str, str, str]] = field(default_factory=list)

    def lost(self, where: str, why: str, code: str = "not-supported") -> None:
        self.issues.append(("warning", code, why, where))


def _load_foreign(record: Record, actor: str, given: Resource, entries: Sequence[Resource], who: Resource) -> Loaded:
    reader = _Reader()
    first = min((_day(each["resource"]) for each in entries if _day(each["resource"])), default=record.clock().date().isoformat())
    registered = _read_patient(who, first, reader)
    referral = None
    for number, entry in enumerate(entries):
        resource = entry["resource"]
        kind, where = resource["resourceType"], f"Bundle.entry[{number}].resource"
        try:
            if kind == "Condition":
                event = _read_condition(resource, where, reader, referral is None)
                referral = referral or event
            elif kind == "Observation":
                _read_observation(resource, where, reader)
            elif kind == "QuestionnaireResponse":
                _read_answers(resource, where, reader)
            elif kind != "Patient":
                reader.lost(where, f"{kind} of another system has no event here that its fields fill")
        except BadInput as failure:
            reader.lost(where, f"{kind} not taken: {failure}", "value")
    what: list[events.Event] = [registered, *([referral] if referral else [])]
    for day, answers in sorted(reader.days.items()):
        try:
            what.append(events.read({"kind": "diary.recorded", "on": day, **answers}))
        except BadInput as failure:
            reader.lost("Bundle", f"the diary of {day} was not taken: {failure}", "value")
    what += sorted(reader.found, key=lambda each: each.on)
    digest = hashlib.sha256(json.dumps([given.get("identifier"), given.get("entry")], sort_keys=True).encode()).hexdigest()
    request = f"fhir:foreign:{digest}"
    done = record.commit(actor, _earlier(record, request) or new_id(), what, request=request)
    reader.issues.append(("information", "informational", f"{len(what)} events written", ""))
    return Loaded(done.patient, len(what), done.repeated, outcome(reader.issues))


def _earlier(record: Record, request: str) -> str | None:
    """Patient that an import of the same Bundle made."""
    from sqlalchemy import select

    from epidura.clinic.store.schema import event

    with record.engine.connect() as connection:
        found = connection.execute(select(event.c.patient).where(event.c.request == request)).scalar()
    return None if found is None else str(found)


def _day(resource: Mapping[str, Any]) -> str:
    """Day of a resource, if it is whole."""
    for key in ("effectiveDateTime", "authored", "recordedDate", "onsetDateTime", "performedDateTime", "dateTime", "date", "recorded"):
        value = resource.get(key)
        if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d", value):
            return value[:10]
    return ""


def _read_patient(who: Resource, first: str, reader: _Reader) -> events.Event:
    name: Resource = next(iter(who.get("name", ())), {})
    birth = str(who.get("birthDate", ""))
    if not name.get("family") or not re.fullmatch(r"\d{4}-\d\d-\d\d", birth):
        raise BadInput("Patient", "no family name or no whole birth date", allowed="both",
                       got=f"{'a' if name.get('family') else 'no'} family name, birth date {birth!r}", hint="the record is of people who are known")
    telecom = {each.get("system"): each.get("value", "") for each in who.get("telecom", ())}
    identity: Resource = {"family_name": name["family"], "given_name": " ".join(name.get("given", ())) or "-", "birth_date": birth,
                          "identifiers": {each.get("system") or "other": each["value"] for each in who.get("identifier", ())
                                          if each.get("value") and each.get("system") != PSEUDONYM},
                          "phone": telecom.get("phone", ""), "email": telecom.get("email", "")}
    address: Resource = next(iter(who.get("address", ())), {})
    identity["address"] = address.get("text") or ", ".join([*address.get("line", ()), *(address[key] for key in ("postalCode", "city", "country")
                                                                                           if address.get(key))])
    for key in who:
        if key not in ("resourceType", "id", "meta", "text", "name", "birthDate", "telecom", "identifier", "address", "gender"):
            reader.lost(f"Patient.{key}", "no place in the record")
    event: events.Event = events.read({"kind": "patient.registered", "on": first, "identity": identity, "birth_year": int(birth[:4]),
                                       "sex": who.get("gender", "unknown")})
    return event


def _codes(concepts: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for each in concepts:
        for coding in each.get("coding", ()):
            yield str(coding.get("system", "")), str(coding.get("code", ""))


def _read_condition(resource: Resource, where: str, reader: _Reader, wanted: bool) -> events.Event | None:
    indications = [code for whose_, code in _codes([resource.get("code", {})]) if whose_ == system("indication")]
    day = _day(resource)
    if not indications or not day:
        reader.lost(where, "this Condition is no indication of ours, or has no day: the codes of other systems were not verified")
        return None
    if not wanted:
        reader.lost(where, "a second indication; a referral has one")
        return None
    areas = [code for whose_, code in _codes(resource.get("bodySite", ())) if whose_ == system("area")]
    event: events.Event = events.read({"kind": "referral.received", "on": day, "indication": indications[0], "pain_areas": areas})
    return event


def _read_observation(resource: Resource, where: str, reader: _Reader) -> None:
    pairs = {(row["system"] if row["system"] != "own" else system("concept"), row["code"]): row["concept"] for row in table("fhir_codes")}
    pairs["http://loinc.org", "72514-3"] = "pain-average"
    names = [pairs[pair] for pair in _codes([resource.get("code", {})]) if pair in pairs]
    day, value = _day(resource), resource.get("valueQuantity", {}).get("value", resource.get("valueInteger"))
    if resource.get("status") in ("entered-in-error", "cancelled"):
        reader.lost(where, f"its status is {resource['status']}", "business-rule")
        return
    answer = next((key for key, name in DAY.items() if name in names), None)
    if answer is None and "pain-now" in names:
        answer = "average"
    if answer is None or value is None or not day:
        reader.lost(where, "this Observation is no answer of the diary, or has no number or no day")
    elif answer in reader.days.setdefault(day, {}):
        reader.lost(where, f"a second {answer} of {day}", "duplicate")
    else:
        reader.days[day][answer] = float(value)
    if not reader.days.get(day, {1: 1}):
        del reader.days[day]


def _read_answers(resource: Resource, where: str, reader: _Reader) -> None:
    kind = str(resource.get("questionnaire", "")).removeprefix(f"{BASE}Questionnaire:")
    day = _day(resource)
    if kind not in instruments.family.members or not day:
        reader.lost(where, "a questionnaire that is no instrument here, or without a day")
        return
    answers: dict[str, float | None] = {}
    for item in resource.get("item", ()):
        given: Resource = next(iter(item.get("answer", ())), {})
        number = given.get("valueDecimal", given.get("valueInteger"))
        answers[item["linkId"]] = None if number is None else float(number)
    reader.found.append(events.read({"kind": "instrument.answered", "on": day, "instrument": {"kind": kind}, "answers": answers}))


# answers of a server

def outcome(issues: Iterable[tuple[str, str, str, str]]) -> Resource:
    """OperationOutcome of issues: severity, code, words, place."""
    made = [_some({"severity": severity, "code": code, "diagnostics": _text(words), "expression": [where] if where else []})
            for severity, code, words, where in issues]
    return {"resourceType": "OperationOutcome", "issue": made or [{"severity": "information", "code": "informational", "diagnostics": "done"}]}


def operation_outcome(error: Exception) -> Resource:
    """What went wrong, as an OperationOutcome; of an error that is not ours it says nothing that might be secret."""
    if isinstance(error, Refused):
        return outcome([("error", "business-rule", words, "") for words in error.missing] or [("error", "business-rule", str(error), "")])
    if isinstance(error, Unknown):
        return outcome([("error", "not-found", str(error), "")])
    if isinstance(error, BadInput):
        return outcome([("error", "invalid", str(error), "")])
    if isinstance(error, EpiduraError):
        return outcome([("error", "exception", str(error), "")])
    return outcome([("fatal", "exception", "an error of the server", "")])


TYPES = ("Patient", "Condition", "ServiceRequest", "Procedure", "Device", "DeviceRequest", "Observation", "QuestionnaireResponse", "AdverseEvent",
         "CarePlan", "Consent", "Encounter", "Provenance")
"""Types of resources that a patient's record has."""


def capability_statement(address: str = "") -> Resource:
    """What the server can do.

    Args:
        address: of its root, if it is known.
    """
    types = [{"type": kind, "interaction": [{"code": "read"}, {"code": "search-type"}],
              "searchParam": [{"name": "_id", "type": "token"}, *([{"name": "identifier", "type": "token"}] if kind == "Patient" else
                                                                 [{"name": "patient", "type": "reference"}])],
              **({"operation": [{"name": "everything", "definition": "http://hl7.org/fhir/OperationDefinition/Patient-everything"}]}
                 if kind == "Patient" else {}),
              **({"supportedProfile": [PROFILE]} if kind == "Observation" else {})} for kind in TYPES]
    from importlib.metadata import version

    return _some({"resourceType": "CapabilityStatement", "id": "epidura", "status": "draft", "experimental": True, "date": "2026-11-27",
                  "kind": "instance",
                  "software": {"name": "Epidura", "version": version("epidura")},
                  "implementation": _some({"description": "record of a clinic for spinal cord stimulation; research and education", "url": address}),
                  "fhirVersion": "4.0.1", "format": ["json"],
                  "rest": [{"mode": "server", "resource": types, "interaction": [{"code": "transaction"}]}]})


# what is published

def structure_definitions() -> list[Resource]:
    """The profile of a stimulation program, and our extensions."""
    def extension(url: str, kind: str, words: str, context: str) -> Resource:
        name = url.rsplit(":", 1)[-1]
        return {"resourceType": "StructureDefinition", "id": f"epidura-{name}", "url": url,
                "name": "Epidura" + "".join(part.capitalize() for part in name.split("-")), "title": words, "status": "draft", "experimental": True,
                "fhirVersion": "4.0.1", "kind": "complex-type", "abstract": False, "context": [{"type": "element", "expression": context}],
                "type": "Extension", "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Extension", "derivation": "constraint",
                "differential": {"element": [
                    {"id": "Extension", "path": "Extension", "short": words},
                    {"id": "Extension.extension", "path": "Extension.extension", "max": "0"},
                    {"id": "Extension.url", "path": "Extension.url", "fixedUri": url},
                    {"id": "Extension.value[x]", "path": "Extension.value[x]", "min": 1, "type": [{"code": kind}]}]}}

    return [_program_profile(),
            extension(EVENT, "string", "the event as the record keeps it, JSON", "Provenance"),
            extension(HASH, "string", "hash of the event in the chain", "Provenance"),
            extension(VERSION, "positiveInt", "place of the event among the patient's", "Provenance"),
            extension(SEALED, "boolean", "names and free words of the event are left out", "Provenance"),
            extension(CONTACT, "unsignedInt", "number of the contact; 0 is the case of the generator", "Observation.component"),
            extension(TRAIN, "positiveInt", "number of the train of pulses, from 1", "Observation.component")]


def _program_profile() -> Resource:
    parts = (("waveform", 1, "*", "CodeableConcept", ""), ("frequency", 1, "*", "Quantity", "Hz"), ("pulse-width", 0, "*", "Quantity", "us"),
             ("amplitude", 1, "*", "", ""), ("contact", 2, "*", "Quantity", "1"), ("cycle-on", 0, "1", "Quantity", "s"),
             ("cycle-off", 0, "1", "Quantity", "s"), ("ramp-up", 0, "1", "Quantity", "s"), ("most", 0, "1", "Quantity", "mA"),
             ("sources", 0, "1", "string", ""),
             ("perception", 0, "1", "Quantity", "mA"), ("discomfort", 0, "1", "Quantity", "mA"), ("set-amplitude", 0, "1", "Quantity", "mA"),
             ("impedance", 0, "*", "Quantity", "Ohm"), ("covered", 0, "*", "CodeableConcept", ""), ("charge-figure", 0, "*", "Quantity", ""))
    top: list[Resource] = [
        {"id": "Observation", "path": "Observation", "short": "A program of a spinal cord stimulator, and what was felt and measured with it"},
        {"id": "Observation.code", "path": "Observation.code", "min": 1, "definition": "The text is the name of the program on the device."},
        {"id": "Observation.code.coding", "path": "Observation.code.coding", "min": 1, "max": "1"},
        {"id": "Observation.code.coding.system", "path": "Observation.code.coding.system", "min": 1, "fixedUri": system("concept")},
        {"id": "Observation.code.coding.code", "path": "Observation.code.coding.code", "min": 1, "fixedCode": "stimulation-program"},
        {"id": "Observation.subject", "path": "Observation.subject", "min": 1,
         "type": [{"code": "Reference", "targetProfile": ["http://hl7.org/fhir/StructureDefinition/Patient"]}]},
        {"id": "Observation.focus", "path": "Observation.focus", "short": "the leads"},
        {"id": "Observation.effective[x]", "path": "Observation.effective[x]", "min": 1, "type": [{"code": "dateTime"}]},
        {"id": "Observation.value[x]", "path": "Observation.value[x]", "max": "0"},
        {"id": "Observation.device", "path": "Observation.device", "short": "the generator, or a lead of the provisional stage"},
        {"id": "Observation.component", "path": "Observation.component", "min": 5,
         "slicing": {"discriminator": [{"type": "pattern", "path": "code"}], "rules": "open"}}]
    displays = {row["code"]: row["display"] for row in table("fhir_codes") if row["system"] == "own"}
    for name, least, most, kind, unit in parts:
        at = f"Observation.component:{name}"
        top.append({"id": at, "path": "Observation.component", "sliceName": name, "short": displays[name], "min": least, "max": most})
        top.append({"id": f"{at}.code", "path": "Observation.component.code", "min": 1,
                    "patternCodeableConcept": {"coding": [{"system": system("concept"), "code": name}]}})
        if kind:
            value: Resource = {"id": f"{at}.value[x]", "path": "Observation.component.value[x]", "min": 1, "type": [{"code": kind}]}
            if unit:
                value["patternQuantity"] = {"system": UCUM, "code": unit}
            top.append(value)
    return {"resourceType": "StructureDefinition", "id": "epidura-stimulation-program", "url": PROFILE, "name": "EpiduraStimulationProgram",
            "title": "Program of a spinal cord stimulator", "status": "draft", "experimental": True, "fhirVersion": "4.0.1", "kind": "resource",
            "description": "Contacts with polarity and fraction, amplitude, pulse width, frequency, kind of waveform, schedule, thresholds of "
                           "perception and discomfort, impedances. No published profile for this was found.",
            "abstract": False, "type": "Observation", "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Observation",
            "derivation": "constraint", "differential": {"element": top}}


def questionnaires() -> list[Resource]:
    """What a QuestionnaireResponse of ours answers: items by their keys. Texts stay with the instruments, since many are not free."""
    def sheet(name: str, title: str, items: Iterable[str], kind: str) -> Resource:
        return {"resourceType": "Questionnaire", "id": f"epidura-{name}", "url": f"{BASE}Questionnaire:{name}", "title": title, "status": "draft",
                "experimental": True, "item": [{"linkId": key, "type": kind} for key in items]}

    made = [sheet(kind, member.title, [item.key for item in instruments.family.read({"kind": kind}).every_item], "decimal")
            for kind, member in instruments.family.members.items()]
    measures = table("infection_bundle").column("id")
    return made + [sheet(f"infection-bundle-{stage}", f"measures against infection, {stage}", measures, "string") for stage in ("trial", "implant")]


def published() -> dict[str, Resource]:
    """File name -> resource, of all that data/fhir/ holds: code systems, profile and extensions, questionnaires, an example."""
    made = [*map(code_system, SYSTEMS), *structure_definitions(), *questionnaires(), _example()]
    return {f"{each['resourceType']}-{each['id']}.json": each for each in made}


def _example() -> Resource:
    """A made-up program."""
    program = {"name": "legs", "waveform": {"kind": "tonic", "frequency": "50 Hz", "pulse_width": "300 us"},
               "contacts": {"3": -1, "4": 0.5, "5": 0.5}, "amplitude": "4.2 mA", "cycle": {"on": "30 s", "off": "90 s"}}
    event = events.read({"kind": "program.set", "on": date(2026, 5, 4).isoformat(), "slot": "A", "perception_mA": 2.1, "discomfort_mA": 6.0,
                         "set_mA": 4.2, "impedances_ohm": {"3": 640, "4": 655, "5": 702}, "covered": ["leg"],
                         "program": {"format": "epidura-program/1", "title": "legs, 50 Hz", "programs": [program]}})
    body = event.model_dump(mode="json", exclude_unset=True, exclude={"kind", "on"})
    writer = _Writer("example", now=_Told(1, kind_of(type(event)), event.on.isoformat(), body))
    _programmed(writer)
    return writer.resources[0]
