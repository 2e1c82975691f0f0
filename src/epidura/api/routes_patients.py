"""Patients: their pathway, their diary, and what follows from both."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field, WithJsonSchema
from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import HTMLResponse

from epidura.api.errors import Fault
from epidura.api.routes_people import Body
from epidura.api.security import PHYSICIANS_KINDS, V1, Caller, Who
from epidura.api.service import AfterId, AfterNumber, IfMatch, Key, Limit, PatientId, Service, etag, page, request_key, seen
from epidura.clinic import events, pathway, verdict
from epidura.clinic.complications import Complication
from epidura.clinic.pathway import PATIENTS_OWN, STAGES, Stage, State
from epidura.clinic.procedure import shipped
from epidura.clinic.record import Committed, Repeated, Unknown, new_id, pseudonym
from epidura.clinic.selection import Assessment, Findings, Signature, assess, signoff_page
from epidura.clinic.store import schema
from epidura.errors import BadInput
from epidura.recipe import read_recipe

MOST_EVENTS, MOST_DAYS = 50, 200
"""Events of a request, and days of a diary that are sent at once."""

Written = Annotated[dict[str, Any], WithJsonSchema({
    "type": "object", "required": ["kind", "on"], "description": "an event of `epidura.clinic.events`",
    "properties": {"kind": {"type": "string", "enum": list(events.kinds())}, "on": {"type": "string", "format": "date"},
                   "why": {"type": "string"}}})]
DayPath = Annotated[date, Path(description="day of the diary")]


class NewEvents(Body):
    """Events of one patient, in order: all of them are written or none."""

    events: list[Written] = Field(min_length=1, max_length=MOST_EVENTS)


class DiaryDay(Body):
    """The answers of a day; ``epidura.clinic.events.Diary`` says what they mean."""

    worst: float | None = Field(None, ge=0, le=10)
    average: float | None = Field(None, ge=0, le=10)
    least: float | None = Field(None, ge=0, le=10)
    sleep: float | None = Field(None, ge=0, le=10)
    activity: float | None = Field(None, ge=0, le=10)
    medication: float | None = Field(None, ge=0, le=10)
    tingling: list[str] = Field([], max_length=100)
    stimulation_hours: float | None = Field(None, ge=0, le=24)
    slot: str = Field("", max_length=200)
    note: str = Field("", max_length=20_000)


class KeptDay(Body):
    """A day that a phone kept while it was offline, under a key of its own."""

    key: str = Field(min_length=8, max_length=100, pattern=r"^[A-Za-z0-9._:\-]+$")
    day: date
    answers: DiaryDay


class Kept(Body):
    """Days that were kept."""

    entries: list[KeptDay] = Field(min_length=1, max_length=MOST_DAYS)


def routes(service: Service) -> APIRouter:
    """Of patients."""
    api, record = APIRouter(prefix=V1, tags=["patients"]), service.record

    @api.get("/patients")
    def patients(who: Who, stage: Stage | None = None, after: AfterId = "", limit: Limit = 100) -> dict[str, Any]:
        """Patients in the order of their ids, without names."""
        return page(record.patients(stage, after, limit), limit, "id")

    @api.post("/patients", status_code=201)
    def register(body: NewEvents, who: Who, key: Key, request: Request, response: Response) -> dict[str, Any]:
        """A patient enters the record: `patient.registered`, and what may follow it."""
        what = _events(body.events)
        if not isinstance(what[0], events.Registered):
            raise Fault(422, "events[0].kind", "the first event of a patient is patient.registered", got=body.events[0].get("kind"))
        _may(service, who, "", what)
        _unlocked(service, who, "", what)
        marked = request_key(who.person.id, "new", key)

        def registered(new: str = "") -> str:
            """Who was registered under this key before."""
            with record.engine.connect() as connection:
                return connection.execute(select(schema.event.c.patient).where(schema.event.c.request == marked)).scalar() or new

        request.state.patient = patient = registered(new_id())
        try:
            done = record.commit(who.person.id, patient, what, request=marked)
        except Repeated:
            if registered() == patient:
                raise
            request.state.patient = patient = registered()  # the same request came twice at once
            done = record.commit(who.person.id, patient, what, request=marked)
        response.headers["Location"] = f"{V1}/patients/{patient}"
        return _done(done, response)

    @api.get("/patients/{patient}")
    def state(patient: PatientId, who: Who, response: Response) -> dict[str, Any]:
        """What a patient's events add up to. The ETag is the revision that the next writer names."""
        found = record.state(patient)
        response.headers["ETag"] = etag(found["revision"])
        return {"id": patient, "pseudonym": pseudonym(patient), "state": found}

    @api.get("/patients/{patient}/identity")
    def identity(patient: PatientId, who: Who) -> dict[str, Any]:
        """Who a patient is; null after an erasure."""
        return {"id": patient, "identity": record.identity(patient)}

    @api.get("/patients/{patient}/timeline")
    def timeline(patient: PatientId, who: Who, after: AfterNumber = 0, limit: Limit = 100) -> dict[str, Any]:
        """Events of a patient, oldest first."""
        record.state(patient)
        return page(record.timeline(patient, after, limit), limit, "version")

    @api.post("/patients/{patient}/events", status_code=201)
    def write(patient: PatientId, body: NewEvents, who: Who, key: Key, response: Response, if_match: IfMatch = None) -> dict[str, Any]:
        """Append events. If-Match is needed for all but diary days and questionnaires."""
        record.state(patient)
        what = _events(body.events)
        if if_match is None and any(each.kind not in PATIENTS_OWN for each in what):
            raise Fault(428, "If-Match", "say which revision you have seen", hint="send the ETag of the patient back")
        _may(service, who, patient, what)
        _unlocked(service, who, patient, what)
        done = record.commit(who.person.id, patient, what, seen=None if if_match is None else seen(if_match),
                             request=request_key(who.person.id, patient, key))
        return _done(done, response)

    @api.get("/patients/{patient}/next")
    def next_kinds(patient: PatientId, who: Who, kind: Annotated[str | None, Query(max_length=40)] = None) -> dict[str, Any]:
        """Kinds of events that the stage allows; with `kind`, what that one lacks as far as it hangs on the patient's state alone."""
        found = record.state(patient)
        allowed = [each for each in events.kinds() if each in pathway.next_kinds(found) or not staged(each)]
        told: dict[str, Any] = {"stage": found["stage"], "kinds": [each for each in allowed if each not in ("patient.registered", "patient.erased")]}
        if kind is not None:
            if kind not in events.kinds():
                raise Fault(422, "kind", "there is no event of this kind", got=kind, allowed=", ".join(events.kinds()))
            told["missing"] = list(lacking(found, kind, service.today()))
        return told

    @api.get("/patients/{patient}/checklist")
    def checklist(patient: PatientId, who: Who, jurisdiction: Annotated[str | None, Query(max_length=60)] = None,
                  needed: Literal["trial", "implant"] = "trial") -> dict[str, Any]:
        """The findings of the last assessment beside the rule of a jurisdiction: words, no score."""
        found = _assessment(record.state(patient, unsealed=True), jurisdiction)
        return {"assessment": found.model_dump(mode="json"), "key": found.key(), "advice": list(found.advice(needed))}

    @api.get("/patients/{patient}/sign-off", response_class=HTMLResponse)
    def sign_off(patient: PatientId, who: Who) -> HTMLResponse:
        """The checklist and the signatures as a page to print."""
        found = record.state(patient, unsealed=True)
        assessed = _assessment(found, None)
        html = signoff_page(assessed, _signatures(found, assessed), person=pseudonym(patient))
        styles = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()}'"
                          for css in re.findall(r"<style>(.*?)</style>", html, re.DOTALL))
        policy = f"default-src 'none'; style-src {styles}; frame-ancestors 'none'; base-uri 'none'"
        return HTMLResponse(html, headers={"Content-Security-Policy": policy})

    @api.get("/patients/{patient}/verdict")
    def trial_verdict(patient: PatientId, who: Who, rule: Annotated[str | None, Query(max_length=60)] = None) -> dict[str, Any]:
        """The diary of the trial stage against a rule, with what is known of the rule's specificity."""
        found = record.state(patient)
        trial = pathway.trial_of(found, record.diary(patient))
        if trial is None:
            raise Unknown("trial", "no trial stage has begun", hint="trial.begun")
        return asdict(verdict.judge(trial, rule or found["trial"]["rule"]))

    @api.get("/patients/{patient}/visits")
    def visits(patient: PatientId, who: Who) -> dict[str, Any]:
        """Visits after the implant: done, due, overdue, later."""
        return {"items": [asdict(each) for each in due_visits(record.state(patient), service.today())]}

    @api.get("/patients/{patient}/complications")
    def complications(patient: PatientId, who: Who) -> dict[str, Any]:
        """Complications, what is open of each, and what is usually done."""
        kept: Mapping[str, Any] = record.state(patient).get("complications", {})
        items = []
        for name, each in kept.items():
            one = Complication.model_validate(each)
            items.append({"name": name, "complication": each, "serious": one.serious, "effect_of_device": one.effect_of_device,
                          "classification": one.classification(), "open": list(one.open()), "usual_actions": list(one.usual_actions())})
        return {"items": items}

    @api.get("/patients/{patient}/diary")
    def diary(patient: PatientId, who: Who, first: date | None = None, last: date | None = None) -> dict[str, Any]:
        """Days of the diary that count."""
        record.state(patient)
        days = record.diary(patient, first.isoformat() if first else "", last.isoformat() if last else "9999")
        return {"items": [{name: value for name, value in day.items() if name != "patient"} for day in days]}

    @api.put("/patients/{patient}/diary/{day}")
    def write_day(patient: PatientId, day: DayPath, body: DiaryDay, who: Who, key: Key) -> dict[str, Any]:
        """Write a day of one's own diary; a later entry replaces an earlier one."""
        done = record.commit(who.person.id, patient, [_day(day, body)], request=request_key(who.person.id, patient, key))
        return {"day": day, "version": done.version, "repeated": done.repeated}

    @api.post("/patients/{patient}/diary/sync")
    def sync(patient: PatientId, body: Kept, who: Who) -> dict[str, Any]:
        """Send what was kept offline. Each day stands or falls alone, and is written once however often it is sent."""
        told = []
        for each in body.entries:
            try:
                done = record.commit(who.person.id, patient, [_day(each.day, each.answers)], request=request_key(who.person.id, patient, each.key))
                told.append({"key": each.key, "day": each.day, "state": "repeated" if done.repeated else "written", "problem": "", "hint": ""})
            except BadInput as error:
                told.append({"key": each.key, "day": each.day, "state": "refused", "problem": f"{error.where}: {error.problem}".lstrip(": "),
                             "hint": error.hint})
        return {"entries": told}

    @api.post("/patients/{patient}/diary-links", status_code=201)
    def make_link(patient: PatientId, who: Who) -> dict[str, Any]:
        """A link that opens this patient's diary once. What follows the # never reaches a server's log."""
        found = record.state(patient)
        if found.get("erased") or found.get("died"):
            raise Fault(409, "patient", "no diary is kept for this patient any more")
        token, expires = service.people.link(patient, who.person.id)
        return {"path": f"/diary#{token}", "link": token, "expires": expires}

    @api.delete("/patients/{patient}/diary-links", status_code=204)
    def drop_links(patient: PatientId, who: Who) -> Response:
        """Take links back and end the sessions that came from them."""
        record.state(patient)
        service.people.revoke(patient)
        return Response(status_code=204)

    return api


def _events(written: list[dict[str, Any]]) -> list[Any]:
    found = []
    for number, each in enumerate(written):
        try:
            found.append(events.read(each))
        except BadInput as error:
            raise error.at(f"events[{number}]") from None
    return found


def _may(service: Service, who: Caller, patient: str, what: list[Any]) -> None:
    """The two decisions of the pathway are a physician's, and so is their correction."""
    if who.role == "physician":
        return
    kinds = {each.kind for each in what}
    for each in what:
        if isinstance(each, events.Corrected):
            kinds |= {wrong["kind"] for wrong in service.record.timeline(patient, each.version - 1, 1, unsealed=False)} if patient else set()
    if barred := sorted(kinds & PHYSICIANS_KINDS):
        raise Fault(403, "role", "this is a decision of a physician", got=barred[0], allowed="physician")


def _unlocked(service: Service, who: Caller, patient: str, what: list[Any]) -> None:
    """Dates of a drug on clotting come from a row of the clinic's table that a named clinician has signed; without one nobody plans them.

    A drug that the table does not list has no row to sign: its dates are a physician's. A correction is asked for what it changes.

    Raises:
        Refused: a row is locked.
    """
    rows, today, lacks = service.holds.table() if service.holds else shipped(), service.today(), list[str]()
    for each in what:
        held: Mapping[str, Any] = each.hold if isinstance(each, events.Planned) else {}
        if isinstance(each, events.Corrected) and each.instead and isinstance(each.instead.get("hold"), Mapping):
            wrong = service.record.timeline(patient, each.version - 1, 1, unsealed=False) if patient else []
            before = wrong[0]["body"].get("hold", {}) if wrong else {}
            held = {name: words for name, words in each.instead["hold"].items() if before.get(name) != words}
        for name in held:
            try:
                state = rows.state(name, today)
            except BadInput as unknown:
                if who.role != "physician":
                    lacks.append(f"{name} is not in the clinic's table of drugs on clotting: a physician plans its dates"
                                 + (f" ({unknown.hint})" if unknown.hint else ""))
                continue
            if state != "signed":
                lacks.append(f"no dates for {name} before a named clinician has signed its row of the clinic's table (the row is {state})")
    if lacks:
        raise pathway.refuse("procedure.planned", service.record.state(patient) if patient else pathway.blank(), tuple(lacks))


def _done(done: Committed, response: Response) -> dict[str, Any]:
    response.headers["ETag"] = etag(done.revision)
    return {"id": done.patient, "pseudonym": pseudonym(done.patient), "version": done.version, "revision": done.revision,
            "stage": done.state["stage"], "repeated": done.repeated,
            "events": [{"version": each.version, "kind": each.kind, "on": each.day, "recorded": each.recorded, "hash": each.hash}
                       for each in done.events]}


def _day(day: date, answers: DiaryDay) -> Any:
    return read_recipe(events.Diary, {"on": day, **answers.model_dump(exclude_unset=True)})


def staged(kind: str) -> bool:
    """Whether the stage says if a kind may be."""
    return any(kind in pathway.next_kinds({"stage": stage}) for stage in STAGES) or kind == "patient.registered"


def lacking(state: State, kind: str, today: date) -> tuple[str, ...]:
    """What a kind lacks, of what does not hang on what the event itself says."""
    guess: dict[str, Any] = {"stage": "implant" if state["stage"] == "trial succeeded" or state["stage"] in pathway.IMPLANTED else "trial",
                             "lead": "", "slot": "", "part": "", "decision": "selected", "reason": "loss of effect"}
    lacks = pathway.refusals(state, kind, guess, today.isoformat())
    return tuple(each for each in lacks if not each.startswith(("no lead named ", "no program named ", "no  is on record")))


def _assessment(state: State, jurisdiction: str | None) -> Assessment:
    found = state.get("assessment")
    if found is None:
        raise Unknown("assessment", "no assessment was recorded", hint="assessment.recorded")
    return assess(Findings.model_validate(found["findings"]), jurisdiction or found["jurisdiction"])


def _signatures(state: State, assessed: Assessment) -> list[Signature]:
    """Those given since the assessment; a later assessment takes them out of the state."""
    return [Signature(name=each["name"], role=each["role"], on=each["on"], agrees=each["agrees"], reason=each.get("reason", ""),
                      assessment=assessed.key()) for each in state.get("signatures", {}).values()]


def due_visits(state: State, today: date) -> tuple[verdict.Visit, ...]:
    """The routine schedule of a patient with an implant; empty without one. After an explant or a death, the visits that were kept."""
    if "implanted" not in state:
        return ()
    implanted = date.fromisoformat(state["implanted"])
    known = {each.visit for each in verdict.due(implanted, {}, max(today, implanted))}
    done = {visit: last for visit, seen_on in state.get("visits", {}).items()
            if visit in known and implanted <= (last := date.fromisoformat(seen_on[-1]["on"])) <= today}
    gone = state.get("explant", {})
    out = gone["on"] if gone.get("after") == "implant" and gone["on"] >= state["implanted"] else None  # or it was of an earlier system
    ends = (out, state.get("died"))
    return verdict.due(implanted, done, max(today, implanted), until=min((date.fromisoformat(end) for end in ends if end), default=None))
