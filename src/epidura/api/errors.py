"""One shape for everything that goes wrong.

    {"error": {"status", "where", "problem", "got", "allowed", "hint", "missing"}}

Never a stack trace, never a secret. Answers are JSON in which ``<``, ``>`` and ``&`` are written as escapes, so that nothing in them is HTML
wherever it is put.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from sqlalchemy.exc import DataError, IntegrityError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from epidura.clinic.pathway import Refused
from epidura.clinic.people import Locked, NotIn
from epidura.clinic.record import Conflict, Full, Repeated, Unknown
from epidura.errors import BadInput, Failed, join_path

log = logging.getLogger("epidura.api")

SECRET = ("password", "token", "link", "session", "key", "csrf")
"""Fields of which nothing is said back."""

LONGEST = 200
"""Characters of what was got that are said back."""


class Fault(Exception):
    """A refusal of the interface itself.

    Args:
        status: of HTTP.
        where, problem, allowed, hint: as in ``BadInput``.
        headers: of the answer.
    """

    def __init__(self, status: int, where: str, problem: str, *, got: object = None, allowed: str = "", hint: str = "",
                 headers: Mapping[str, str] | None = None):
        super().__init__(problem)
        self.status, self.where, self.problem, self.got, self.allowed, self.hint = status, where, problem, got, allowed, hint
        self.headers = dict(headers or {})


class Complaint(BaseModel):
    """What is wrong, in parts; those that say nothing are empty."""

    status: int
    where: str
    problem: str
    got: Any = None
    allowed: str = ""
    hint: str = ""
    missing: list[str] = []


class ErrorBody(BaseModel):
    """What every refusal looks like."""

    error: Complaint


class SafeJson(JSONResponse):
    """JSON without a letter that HTML knows."""

    def render(self, content: Any) -> bytes:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        for letter in "<>&\u2028\u2029":
            text = text.replace(letter, f"\\u{ord(letter):04x}")
        return text.encode()


def answer(status: int, where: str, problem: str, *, got: object = None, allowed: str = "", hint: str = "", missing: tuple[str, ...] = (),
           headers: Mapping[str, str] | None = None) -> SafeJson:
    """The answer that says what is wrong."""
    secret = any(part in where.lower() for part in SECRET)
    said = None if got is None or secret else got if isinstance(got, int | float) else _short(got)
    return SafeJson({"error": {"status": status, "where": where[:LONGEST], "problem": problem, "got": said, "allowed": allowed, "hint": hint,
                               "missing": list(missing)}}, status_code=status, headers=dict(headers or {}))


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= LONGEST else text[:LONGEST - 3] + "..."


_STATUS: tuple[tuple[type[BadInput], int], ...] = ((Refused, 409), (Conflict, 412), (Repeated, 422), (Unknown, 404), (Locked, 429), (NotIn, 401))


def of_input(error: BadInput) -> SafeJson:
    """What the record, or a rule, refuses."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 422)
    headers = {"Retry-After": str(error.seconds)} if isinstance(error, Locked) else {}
    return answer(status, error.where, error.problem, got=error.got, allowed=error.allowed, hint=error.hint, headers=headers,
                  missing=error.missing if isinstance(error, Refused) else ())


def of_validation(failure: RequestValidationError) -> SafeJson:
    """The first thing that does not fit the description."""
    error = min(failure.errors(), key=lambda each: each["type"] == "missing")
    path = ""
    for part in error["loc"][1:]:
        path = f"{path}[{part}]" if isinstance(part, int) else join_path(path, str(part))
    ours = error.get("ctx", {}).get("error")
    if isinstance(ours, BadInput):
        return of_input(ours.at(path))
    if error["type"] == "json_invalid":
        return answer(400, "body", "this is not JSON", hint="look for a missing quote or bracket")
    got = error.get("input") if error["type"] != "missing" and not isinstance(error.get("input"), dict | list) else None
    words = str(error["msg"]).removeprefix("Value error, ")
    return answer(422, path or str(error["loc"][0]), words[:1].lower() + words[1:], got=got)


def install(app: FastAPI) -> None:
    """Every failure of an application takes the one shape."""

    @app.exception_handler(Fault)
    async def _fault(_: Request, error: Fault) -> SafeJson:
        return of_fault(error)

    @app.exception_handler(BadInput)
    async def _input(_: Request, error: BadInput) -> SafeJson:
        return of_input(error)

    @app.exception_handler(RequestValidationError)
    async def _validation(_: Request, error: RequestValidationError) -> SafeJson:
        return of_validation(error)

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> SafeJson:
        return answer(error.status_code, "route", _WORDS.get(error.status_code, HTTPStatus(error.status_code).phrase.lower()), headers=error.headers,
                      allowed=(error.headers or {}).get("Allow", ""))

    @app.exception_handler(Full)
    async def _full(_: Request, error: Full) -> SafeJson:
        log.error("%s", error)
        return answer(507, "store", "nothing was written: the disk is full", hint="make room, then send it again")

    @app.exception_handler(Failed)
    async def _failed(_: Request, error: Failed) -> SafeJson:
        log.error("%s", error)
        return answer(503, "store", "this cannot be done now", hint="try again; the log of the server says why", headers={"Retry-After": "5"})

    @app.exception_handler(IntegrityError)
    async def _raced(_: Request, error: IntegrityError) -> SafeJson:
        return answer(409, "store", "somebody else was first", hint="read again, then write")

    @app.exception_handler(DataError)
    async def _data(_: Request, error: DataError) -> SafeJson:
        return answer(422, "body", "a value that the store cannot hold")


def of_fault(error: Fault) -> SafeJson:
    return answer(error.status, error.where, error.problem, got=error.got, allowed=error.allowed, hint=error.hint, headers=error.headers)


def unexpected(error: BaseException) -> SafeJson:
    """A defect of ours: said in the server's log, not to the caller."""
    log.exception("unexpected", exc_info=error)
    return answer(500, "server", "something went wrong that should not", hint="the log of the server says what; please report it")


_WORDS = {404: "there is nothing here", 405: "this cannot be done here", 400: "this request cannot be read"}
