"""What the diary and the room People ask for besides what others need too."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import select

from epidura.api.security import ADMINISTRATOR, PATIENT, V1, Who
from epidura.api.service import Limit, PatientId, Service
from epidura.clinic.store import schema

RULES: dict[tuple[str, str], frozenset[str]] = {
    ("GET", f"{V1}/patients/{{patient}}/diary/choices"): PATIENT,
    ("GET", f"{V1}/access/latest"): ADMINISTRATOR,
}

Somebody = Annotated[str | None, Query(pattern="^[0-9a-f]{32}$")]


def routes(service: Service) -> APIRouter:
    """Of rooms that are small."""
    api, record = APIRouter(prefix=V1, tags=["workbench"]), service.record

    @api.get("/patients/{patient}/diary/choices")
    def choices(patient: PatientId, who: Who) -> dict[str, Any]:
        """What a patient chooses from in the diary: the slots of the programs that are set now."""
        return {"slots": list(record.state(patient).get("programs", {}))}

    @api.get("/access/latest")
    def latest(who: Who, patient: Somebody = None, person: Somebody = None, refused: bool = False,
               before: Annotated[int, Query(ge=1, le=2**53, description="`next` of the page before")] = 2**53, limit: Limit = 50) -> dict[str, Any]:
        """Who looked at what, the latest first; ``refused``: only what was refused."""
        table = schema.access
        query = select(table).where(table.c.id < before).order_by(table.c.id.desc()).limit(limit)
        if patient is not None:
            query = query.where(table.c.patient == patient)
        if person is not None:
            query = query.where(table.c.person == person)
        if refused:
            query = query.where(table.c.status >= 400)
        with record.engine.connect() as connection:
            items = [dict(row._mapping) for row in connection.execute(query)]
        return {"items": items, "next": items[-1]["id"] if len(items) == limit else None}

    return api
