"""The application: routes behind the gate."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI

from epidura.api import errors, oidc, routes_clinic, routes_pages, routes_patients, routes_people, routes_research, routes_rules
from epidura.api.errors import ErrorBody, SafeJson
from epidura.api.security import RULES, V1, Gate, Policy, require_complete
from epidura.api.service import Service
from epidura.clinic.holds import Holds
from epidura.clinic.people import People
from epidura.clinic.record import Record

MORE: tuple[str, ...] = ("epidura.api.fhir_routes", "epidura.api.routes_web", "epidura.api.routes_bench", "epidura.api.routes_plan",
                         "epidura.api.routes_program", "epidura.api.routes_gate", "epidura.api.routes_cohorts", "epidura.api.routes_pathway",
                         "epidura.api.routes_rooms")
"""Modules with ``routes(service)``, ``RULES`` and, where they take files, ``UPLOADS``; they are taken along where they are there."""


def create_app(record: Record, people: People, *, policy: Policy | None = None, beside: Path | None = None, connect: Any = None,
               overview: Callable[[Record, date], Any] | None = None) -> FastAPI:
    """REST over a record.

    Args:
        record: of the clinic.
        people: who may.
        policy: hosts, cookies, limits; loopback names and http by default.
        beside: folder for the table of drugs on clotting and for uploaded texts; without it both are refused.
        connect: an ``epidura.api.oidc.Oidc``.
        overview: view of the clinic; that of ``epidura.clinic.views`` where it is there.

    Raises:
        Failed: a route without an entry in the table of roles.
    """
    policy = policy or Policy()
    service = Service(record, people, policy, Holds(beside / "anticoagulants.jsonl") if beside else None, beside / "texts" if beside else None,
                      overview or _overview(), connect, folder=beside)
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.jobs.close()

    app = FastAPI(title="Epidura", version=_version(), summary="The record of a clinic for spinal cord stimulation", docs_url=None, redoc_url=None,
                  openapi_url=f"{V1}/openapi.json", default_response_class=SafeJson, redirect_slashes=False, description=ABOUT, lifespan=lifespan,
                  responses={"4XX": {"model": ErrorBody, "description": "refused; the error says what is wrong"},
                             "5XX": {"model": ErrorBody, "description": "this server, or its disk, failed"}})
    errors.install(app)
    rules, uploads = dict(RULES if policy.rules is None else policy.rules), dict(policy.uploads)
    parts: list[APIRouter] = [module.routes(service) for module in (
        routes_people, routes_patients, routes_rules, routes_research, routes_clinic, oidc, routes_pages)]
    for name in MORE:
        found = _optional(name)
        if found is not None:
            parts.append(found.routes(service))
            rules |= found.RULES
            uploads |= getattr(found, "UPLOADS", {})
    for part in parts:
        app.include_router(part)
    app.state.service, app.state.rules = service, rules
    require_complete(rules, app, *parts)
    app.add_middleware(Gate, people=people, policy=Policy(policy.hosts, policy.secure, policy.limits, rules, uploads))
    return app


def _optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name != name:
            raise
        return None


def _overview() -> Callable[[Record, date], Any] | None:
    return getattr(_optional("epidura.clinic.views"), "overview", None)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("epidura")
    except PackageNotFoundError:
        return "0"


ABOUT = """Research and education software, not a medical device.

Log in with `POST /api/v1/login`. A browser keeps the session in a cookie and sends the `csrf` value back in `X-CSRF-Token` with everything that
changes something; a program asks for `keep: token` and sends it as a bearer. A patient's ETag goes back in `If-Match`, and every change has an
`Idempotency-Key`. Whatever goes wrong has one shape: `error` with where, problem, got, allowed, hint, missing.
"""
