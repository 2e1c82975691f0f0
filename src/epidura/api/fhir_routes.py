"""The record as a FHIR R4 server: reading, searching by patient, everything of a patient, import of a Bundle.

``router`` needs no more of the rest of the service than who calls; ``routes`` and ``RULES`` are what the application takes it by. Whatever goes
wrong in here is answered with an OperationOutcome.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Annotated, Any, Protocol
from urllib.parse import urlencode

from fastapi import APIRouter, Body, Depends, Request
from fastapi import Path as InPath
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from epidura import fhir
from epidura.clinic.pathway import Refused
from epidura.clinic.record import Conflict, Record, Repeated, Unknown
from epidura.errors import BadInput, EpiduraError

PREFIX = "/api/fhir"
READS, IMPORTS = frozenset({"physician", "nurse"}), frozenset({"administrator", "physician"})

RULES: dict[tuple[str, str], frozenset[str]] = {
    ("GET", f"{PREFIX}/metadata"): frozenset({"public"}),
    ("POST", PREFIX): IMPORTS,
    ("GET", f"{PREFIX}/Patient"): READS,
    ("GET", f"{PREFIX}/Patient/{{patient}}"): READS,
    ("GET", f"{PREFIX}/Patient/{{patient}}/{{operation}}"): READS,
    ("GET", f"{PREFIX}/{{kind}}"): READS,
    ("GET", f"{PREFIX}/{{kind}}/{{identifier}}"): READS,
}
"""(method, path) -> roles."""

MOST, USUAL = 100, 50
"""Patients, or resources of one patient, on a page."""


class Caller(Protocol):
    """Who asks."""

    @property
    def person(self) -> Any: ...

    @property
    def role(self) -> str: ...


class FhirJson(JSONResponse):
    """What FHIR calls JSON."""

    media_type = "application/fhir+json"


Id = Annotated[str, InPath(pattern=r"^[A-Za-z0-9\-.]{1,64}$", description="of the resource")]
PatientId = Annotated[str, InPath(pattern=r"^[A-Za-z0-9\-]{1,32}$", description="of the patient")]
Kind = Annotated[str, InPath(pattern=r"^[A-Za-z]{1,40}$", description="type of resource")]


def routes(service: Any) -> APIRouter:
    """Routes for the application, whose gate has looked at session and role before."""
    return router(service.record, import_module("epidura.api.security").caller, prefix=PREFIX)


def router(record: Record, caller: Callable[..., Any], prefix: str = "") -> APIRouter:
    """Routes over a record.

    Args:
        caller: dependency that gives who asks, with ``person`` and ``role``; it refuses whoever is not logged in.
        prefix: of the paths.
    """
    asks = Depends(caller)  # a default, since a name of this function is nothing that an annotation can say
    api = APIRouter(prefix=prefix, tags=["fhir"], default_response_class=FhirJson)

    async def answered(request: Request, roles: frozenset[str], who: Caller, make: Callable[[], fhir.Resource], status: int = 200) -> Response:
        if who.role not in roles:
            return _refused(403, "forbidden", f"this is not for your role; allowed: {', '.join(sorted(roles))}")
        request.state.fhir = str(request.base_url).rstrip("/") + prefix
        try:
            return FhirJson(await run_in_threadpool(make), status_code=status)
        except EpiduraError as error:
            return FhirJson(fhir.operation_outcome(error), status_code=_status(error))

    @api.get("/metadata")
    async def metadata() -> Any:
        """What this server can do."""
        return FhirJson(fhir.capability_statement())

    @api.post("" if prefix else "/")
    async def post(request: Request, body: Annotated[dict[str, Any], Body()], who: Any = asks) -> Any:
        """Import a Bundle of one patient, all or nothing. Answers with what was written and what was not."""
        def make() -> fhir.Resource:
            done = fhir.load(record, _name(who), body)
            request.state.patient = done.patient
            return {"resourceType": "Bundle", "type": "transaction-response",
                    "entry": [{"response": {"status": "200 OK" if done.repeated else "201 Created", "location": f"Patient/{done.patient}",
                                            "outcome": done.outcome}}]}

        return await answered(request, IMPORTS, who, make)

    @api.get("/Patient")
    async def patients(request: Request, who: Any = asks) -> Any:
        """Patients by ``_id`` or ``identifier`` (the pseudonym, or a number of the hospital), or all of them, page by page (``_count``)."""
        return await answered(request, READS, who, lambda: _patients(record, request))

    @api.get("/Patient/{patient}")
    async def patient(request: Request, patient: PatientId, who: Any = asks) -> Any:
        """A patient."""
        request.state.patient = patient
        return await answered(request, READS, who, lambda: _resources(record, patient)[0])

    @api.get("/Patient/{patient}/{operation}")
    async def everything(request: Request, patient: PatientId, operation: Annotated[str, InPath(pattern=r"^\$?[a-z\-]{1,40}$")],
                         who: Any = asks) -> Any:
        """``$everything`` of a patient: all resources."""
        request.state.patient = patient
        if operation != "$everything":
            return _refused(404, "not-supported", "there is no such operation; allowed: $everything")
        return await answered(request, READS, who, lambda: _set(request, _resources(record, patient)))

    @api.get("/{kind}")
    async def search(request: Request, kind: Kind, who: Any = asks) -> Any:
        """Resources of one type and one patient (``patient`` or ``subject``), or one (``_id``)."""
        return await answered(request, READS, who, lambda: _search(record, request, kind))

    @api.get("/{kind}/{identifier}")
    async def read(request: Request, kind: Kind, identifier: Id, who: Any = asks) -> Any:
        """A resource."""
        def make() -> fhir.Resource:
            published = [each for each in fhir.published().values() if (each["resourceType"], each["id"]) == (kind, identifier)]
            if published:
                return published[0]
            request.state.patient = fhir.whose(identifier)
            return _one(record, kind, identifier)

        return await answered(request, READS, who, make)

    return api


def _name(who: Caller) -> str:
    """Of who asks, for the record."""
    return str(getattr(who.person, "id", who.person))


def _refused(status: int, code: str, words: str) -> Response:
    return FhirJson(fhir.outcome([("error", code, words, "")]), status_code=status)


def _status(error: EpiduraError) -> int:
    for kind, status in ((Unknown, 404), (Refused, 409), (Conflict, 409), (Repeated, 409), (BadInput, 400)):
        if isinstance(error, kind):
            return status
    return 503


def _resources(record: Record, patient: str) -> list[fhir.Resource]:
    timeline = record.timeline(patient)
    if not timeline:
        raise Unknown("patient", "no such patient", got=patient)
    return fhir.resources(patient, timeline)


def _one(record: Record, kind: str, identifier: str) -> fhir.Resource:
    found = [each for each in _resources(record, fhir.whose(identifier)) if (each["resourceType"], each["id"]) == (kind, identifier)]
    if not found:
        raise Unknown(kind, "no such resource", got=identifier)
    return found[0]


def _query(request: Request, allowed: Iterable[str]) -> dict[str, str]:
    """Parameters of a search; one that is not known is refused, since to pass over it would find too much."""
    names = (*allowed, "_count", "_after", "_format", "_total")
    given = dict(request.query_params)
    for name in given:
        if name not in names:
            raise BadInput(name, "no such search parameter here", allowed=", ".join(names))
    return given


def _count(given: Mapping[str, str]) -> int:
    text = given.get("_count", str(USUAL))
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or int(text) < 1:
        raise BadInput("_count", "not a number of resources", got=text[:20], allowed=f"1 to {MOST}")
    return min(int(text), MOST)


def _set(request: Request, found: Iterable[fhir.Resource], following: str = "", total: int | None = None) -> fhir.Resource:
    """A Bundle of what was found."""
    link = [{"relation": "self", "url": str(request.url)}]
    if following:
        link.append({"relation": "next", "url": f"{str(request.url).split('?')[0]}?{following}"})
    entries = [{"fullUrl": f"{request.state.fhir}/{each['resourceType']}/{each['id']}", "resource": each, "search": {"mode": "match"}}
               for each in found]
    made: fhir.Resource = {"resourceType": "Bundle", "type": "searchset", "link": link, "total": len(entries) if total is None else total}
    return {**made, "entry": entries} if entries else made


def _patients(record: Record, request: Request) -> fhir.Resource:
    given = _query(request, ("_id", "identifier"))
    if "_id" in given:
        try:
            request.state.patient = given["_id"]
            return _set(request, [_resources(record, given["_id"])[0]])
        except Unknown:
            return _set(request, [])
    wanted, count = given.get("identifier"), _count(given)
    if wanted is not None:
        return _set(request, _identified(record, wanted))
    page = record.patients(after=given.get("_after", ""), limit=count)
    more = {**given, "_after": page[-1]["id"]} if len(page) == count else {}
    return _set(request, [_resources(record, each["id"])[0] for each in page], urlencode(more), sum(record.counts().values()))


def _identified(record: Record, wanted: str) -> list[fhir.Resource]:
    """Patients with an identifier, written as ``value`` or ``system|value``."""
    system, _, value = wanted.rpartition("|")
    found, after = [], ""
    while page := record.patients(after=after):
        for each in page:
            if value.startswith("P-") and each["pseudonym"] != value:
                continue  # a pseudonym stands in the list; everything else has to be opened
            patient = _resources(record, each["id"])[0]
            if any(one["value"] == value and (not system or one["system"] == system) for one in patient["identifier"]):
                found.append(patient)
        after = page[-1]["id"]
    return found


def _search(record: Record, request: Request, kind: str) -> fhir.Resource:
    if kind not in fhir.TYPES:
        raise Unknown("type", "no such type of resource here", got=kind)
    given = _query(request, ("_id", "patient", "subject"))
    if "_id" in given:
        try:
            request.state.patient = fhir.whose(given["_id"])
            return _set(request, [_one(record, kind, given["_id"])])
        except Unknown:
            return _set(request, [])
    whose = given.get("patient") or given.get("subject") or ""
    patient = whose.removeprefix("Patient/")
    if not patient:
        raise BadInput("patient", "a search needs a patient", hint=f"{kind}?patient=...")
    request.state.patient = patient
    found = [each for each in _resources(record, patient) if each["resourceType"] == kind]
    after, count = given.get("_after", "0"), _count(given)
    if not after.isascii() or not after.isdecimal() or len(after) > 9:
        raise BadInput("_after", "not a place in the list", got=after[:20])
    last = int(after) + count
    return _set(request, found[int(after):last], urlencode({**given, "_after": last}) if last < len(found) else "", len(found))
