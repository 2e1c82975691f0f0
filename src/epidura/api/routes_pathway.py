"""The room of the pathway: who is in the record, the whole page of one patient, and the schemas of its forms."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi import Path as InPath
from pydantic import Field

from epidura import compare, patient_view
from epidura.api.errors import Fault
from epidura.api.jobs import Progress
from epidura.api.routes_bench import told, written
from epidura.api.routes_patients import due_visits, lacking, staged
from epidura.api.routes_people import Body
from epidura.api.security import PHYSICIANS_KINDS, READERS, TEAM, V1, Who
from epidura.api.service import AfterId, PatientId, Service
from epidura.clinic import events, pathway
from epidura.clinic.pathway import Stage
from epidura.clinic.people import NotIn
from epidura.errors import nearest

LOOKED_AT = 2000
"""Patients that a search looks at in one request; the answer says where the next one goes on."""

RULES: dict[tuple[str, str], frozenset[str]] = {
    ("GET", f"{V1}/pathway/patients"): TEAM,
    ("GET", f"{V1}/pathway/lists"): TEAM,
    ("GET", f"{V1}/event-kinds"): READERS,
    ("GET", f"{V1}/event-kinds/{{kind}}/schema"): READERS,
    ("GET", f"{V1}/patients/{{patient}}/pathway"): TEAM,
    ("GET", f"{V1}/patients/{{patient}}/case"): TEAM,
    ("POST", f"{V1}/patients/{{patient}}/simulation"): TEAM,
}

BY_HAND = frozenset({"patient.registered", "patient.erased", "record.corrected"})
"""Kinds that have a form of their own somewhere else."""


class Slot(Body):
    """A program of the device."""

    slot: str = Field(min_length=1, max_length=200)


def routes(service: Service) -> APIRouter:
    """Of the pathway."""
    api, record = APIRouter(prefix=V1, tags=["patients"]), service.record

    @api.get("/pathway/patients")
    def patients(who: Who, stage: Stage | None = None, words: Annotated[str, Query(max_length=100)] = "", after: AfterId = "",
                 limit: Annotated[int, Query(ge=1, le=50)] = 25) -> dict[str, Any]:
        """A page of patients with their names, in the order of their ids; ``words``: of the name, a number or the pseudonym.

        Whose names were read stands in the access log, one row for each.
        """
        asked, today = words.casefold().split(), service.today()
        found: list[dict[str, Any]] = []
        last, looked = after, 0
        while len(found) < limit and looked < LOOKED_AT:
            part = record.patients(stage, last, min(50 if asked else limit - len(found), LOOKED_AT - looked))
            if not part:
                last = ""
                break
            for each in part:
                last, looked = each["id"], looked + 1
                identity = record.identity(each["id"])
                name = "" if identity is None else f"{identity['family_name']}, {identity['given_name']}"
                numbers = [] if identity is None else list((identity.get("identifiers") or {}).values())
                text = " ".join([name, each["pseudonym"], *numbers]).casefold()
                if not all(word in text for word in asked):
                    continue
                state = record.state(each["id"])
                visits = due_visits(state, today)
                found.append({**{key: each[key] for key in ("id", "pseudonym", "stage", "since", "indication")}, "name": name,
                              "birth_date": None if identity is None else identity["birth_date"], "died": state.get("died"),
                              "erased": state.get("erased"), "due": [one.name for one in visits if one.state == "due"],
                              "overdue": [one.name for one in visits if one.state == "overdue"]})
                if len(found) == limit:
                    break
        service.people.saw_each(who.person.id, who.role, who.address, "GET", f"{V1}/pathway/patients", [each["id"] for each in found])
        return {"items": found, "next": last or None, "counts": record.counts()}

    @api.get("/pathway/lists")
    def lists(who: Who) -> dict[str, Any]:
        """Names that the forms choose from."""
        return patient_view.lists()

    @api.get("/event-kinds")
    def kinds(who: Who) -> dict[str, Any]:
        """Kinds of events, what each is, and the schema of each: a page that has them opens its forms while the server is away."""
        return {"items": [{"kind": kind, "what": (schema := patient_view.schema_of(kind)).get("description", ""), "schema": schema}
                          for kind in events.kinds()]}

    @api.get("/event-kinds/{kind}/schema")
    def schema(kind: Annotated[str, InPath(max_length=40, examples=["trial.begun"])], who: Who) -> dict[str, Any]:
        """JSON schema of an event, for a form."""
        if kind not in events.kinds():
            raise Fault(404, "kind", "there is no event of this kind", got=kind, allowed=", ".join(events.kinds()),
                        hint=nearest(kind, events.kinds()))
        return patient_view.schema_of(kind)

    @api.get("/patients/{patient}/pathway")
    def whole(patient: PatientId, who: Who) -> dict[str, Any]:
        """All that the page of a patient shows."""
        found = patient_view.view(record, patient, service.today())
        state = found["state"]
        allowed = [kind for kind in events.kinds() if kind not in BY_HAND and (kind in pathway.next_kinds(state) or not staged(kind))]
        names = _Names(service)
        for each in found["timeline"]:
            each["who"] = names(each["actor"])
            if each["corrected"]:
                each["corrected"]["who"] = names(each["corrected"]["actor"])
        found["next"] = [{"kind": kind, "missing": list(lacking(state, kind, service.today())),
                          "physician": kind in PHYSICIANS_KINDS} for kind in allowed]
        found["visits"] = [asdict(each) for each in due_visits(state, service.today())]
        return found

    @api.get("/patients/{patient}/case")
    def case_of(patient: PatientId, who: Who, slot: Annotated[str, Query(min_length=1, max_length=200)]) -> dict[str, Any]:
        """A program of the patient as a case to simulate; what is on record, and what had to be assumed."""
        draft = compare.case_of(record, patient, slot)
        return {"case": written(draft.case), "known": list(draft.known), "assumed": list(draft.assumed)}

    @api.post("/patients/{patient}/simulation", status_code=202)
    def simulate(patient: PatientId, body: Slot, who: Who) -> dict[str, Any]:
        """Simulate a program of the patient as it is set, and keep what is predicted beside what was felt (`case.linked`); long work."""
        compare.case_of(record, patient, body.slot)  # refused now, not later
        actor = who.person.id

        def work(progress: Progress) -> dict[str, Any]:
            done = compare.simulate(record, actor, patient, body.slot, progress=progress, check_field=False)
            return {"version": done.version, "revision": done.revision}

        return told(service.jobs.start(actor, work, f"simulation {patient}"))

    return api


class _Names:
    """Who wrote an event, in words, each looked up once."""

    def __init__(self, service: Service):
        self.service = service
        self.found: dict[str, str] = {}

    def __call__(self, actor: str) -> str:
        if actor not in self.found:
            try:
                person = self.service.people.get(actor)
                self.found[actor] = "the patient" if person.role == "patient" else person.name
            except NotIn:
                self.found[actor] = actor
        return self.found[actor]
