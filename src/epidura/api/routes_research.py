"""What a researcher sees: pseudonyms, days since the first event, and fields that are numbers or choices from a list.

Fields are let through one by one. What is not listed stays out: free words, names of people, serial numbers, dates, identifiers.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from sqlalchemy import select
from starlette.requests import Request

from epidura.api.security import V1, Who
from epidura.api.service import AfterNumber, Limit, Service, page
from epidura.clinic.pathway import STAGES, Stage
from epidura.clinic.record import Unknown
from epidura.clinic.store import schema

OPEN: dict[str, tuple[str, ...]] = {
    "patient.registered": ("sex",),
    "patient.died": ("related",),
    "referral.received": ("indication", "pain_areas", "nrs"),
    "assessment.recorded": (),
    "team.signed": (),
    "selection.decided": ("decision",),
    "procedure.planned": ("stage",),
    "infection.checked": ("stage",),
    "lead.implanted": ("stage", "technique", "side"),
    "lead.removed": ("outcome",),
    "lead.moved": ("how", "distance_mm"),
    "trial.begun": ("rule", "days", "baseline_nrs", "baseline_activity", "baseline_medication", "index_before"),
    "program.set": ("perception_mA", "discomfort_mA", "set_mA", "covered"),
    "diary.recorded": ("worst", "average", "least", "sleep", "activity", "medication", "tingling", "stimulation_hours"),
    "instrument.answered": ("by", "score"),
    "trial.ended": ("reported_relief", "index_during", "early"),
    "trial.judged": ("succeeded", "rule_says"),
    "generator.implanted": ("site", "side", "rechargeable", "stay"),
    "generator.removed": ("replaced", "reason"),
    "patient.discharged": ("overnight",),
    "visit.recorded": ("nrs", "reported_relief", "index", "battery"),
    "revision.recorded": ("what",),
    "system.explanted": ("reason", "complete"),
}
"""Kind -> fields that leave the clinic. A kind that is not here leaves as its name and day alone."""

COMPLICATION = ("kind", "subkind", "severity", "outcome", "device", "procedure", "anticipated", "deficiency")
"""Of ``complication.recorded``: its choices from lists."""

ADDED = {"patient.registered": ("birth_decade",), "instrument.answered": ("instrument",)}
"""Kind -> fields that are made of others which stay."""

LEFT_OUT = (
    {"what": "names, dates of birth, addresses, phones, identifiers of people",
     "why": "they say who somebody is; of the year of birth the decade is told"},
    {"what": "calendar days", "why": "a day can be found again elsewhere; what is told is the number of days since a patient's first event"},
    {"what": "free words: notes, reasons, questions, descriptions", "why": "anybody may be named in them"},
    {"what": "serial numbers, lots, models and names of leads, generators and programs", "why": "they lead to a person through an implant register"},
    {"what": "people of the team, and who wrote what", "why": "they are persons, too"},
    {"what": "answers to single questions of instruments", "why": "the score is told; texts of instruments belong to others"},
    {"what": "events that were struck out, and what was corrected", "why": "what counts is what was put right"})
"""What a researcher does not see, and why, for the page."""

Pseudonym = Annotated[str, Path(pattern="^P-[0-9A-F]{10}$", examples=["P-0123456789"])]


def routes(service: Service) -> APIRouter:
    """Of research."""
    api, record = APIRouter(prefix=V1, tags=["research"]), service.record

    @api.get("/research/patients")
    def patients(who: Who, stage: Stage | None = None, after: Annotated[str, Query(max_length=12, pattern="^(P-[0-9A-F]{10})?$")] = "",
                 limit: Limit = 100) -> dict[str, Any]:
        """Patients by pseudonym, with stage and indication."""
        table = schema.patient
        query = select(table.c.pseudonym, table.c.stage, table.c.indication).where(table.c.pseudonym > after).order_by(table.c.pseudonym).limit(limit)
        if stage is not None:
            query = query.where(table.c.stage == stage)
        with record.engine.connect() as connection:
            return page([dict(row._mapping) for row in connection.execute(query)], limit, "pseudonym") | {"stages": list(STAGES)}

    @api.get("/research/patients/{pseudonym}/timeline")
    def timeline(pseudonym: Pseudonym, who: Who, request: Request, after: AfterNumber = 0, limit: Limit = 100) -> dict[str, Any]:
        """Events of a patient: kind, days since the first one, and the fields that are let through. Corrected events are as corrected."""
        with record.engine.connect() as connection:
            patient = connection.execute(select(schema.patient.c.id).where(schema.patient.c.pseudonym == pseudonym)).scalar()
        if patient is None:
            raise Unknown("pseudonym", "no such patient", got=pseudonym)
        request.state.patient = str(patient)
        told = record.timeline(str(patient), unsealed=False)
        start = date.fromisoformat(told[0]["on"])
        items = [each for each in (_shown(event, start) for event in _corrected(told)) if each["version"] > after]
        return {"pseudonym": pseudonym} | page(items[:limit], limit, "version")

    @api.get("/research/fields")
    def fields(who: Who) -> dict[str, Any]:
        """What leaves the clinic, field by field, and what does not and why."""
        kinds = [{"kind": kind, "fields": sorted({*names, *ADDED.get(kind, ())})} for kind, names in OPEN.items()]
        return {"kinds": [*kinds, {"kind": "complication.recorded", "fields": sorted(COMPLICATION)}], "left_out": list(LEFT_OUT)}

    return api


def _corrected(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events as they count: corrected ones replaced, those struck out and the corrections themselves left out."""
    instead = {each["body"]["version"]: each["body"].get("open") for each in told if each["kind"] == "record.corrected"}
    found = []
    for each in told:
        if each["kind"] == "record.corrected" or instead.get(each["version"], each) is None:
            continue
        right = instead.get(each["version"])
        found.append(each if right is None else {**each, "body": right, "on": right.get("on", each["on"])})
    return found


def _shown(event: Mapping[str, Any], start: date) -> dict[str, Any]:
    kind, body = str(event["kind"]), event["body"]
    fields = {name: body[name] for name in OPEN.get(kind, ()) if name in body}
    if kind == "patient.registered" and body.get("birth_year"):
        fields["birth_decade"] = body["birth_year"] // 10 * 10
    if kind == "complication.recorded":
        inner = body.get("complication", {})
        fields = {name: inner[name] for name in COMPLICATION if name in inner}
    if kind == "instrument.answered":
        fields["instrument"] = body.get("instrument", {}).get("kind", "")
    return {"version": event["version"], "kind": kind, "day": (date.fromisoformat(event["on"]) - start).days, "fields": fields}
