"""What the routes share."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from fastapi import Header, Query
from fastapi import Path as InPath

from epidura.api.errors import Fault
from epidura.api.jobs import Jobs
from epidura.api.security import Policy
from epidura.clinic.holds import Holds
from epidura.clinic.people import People
from epidura.clinic.record import Record
from epidura.workbench import Bench


@dataclass(frozen=True)
class Service:
    """A record and what stands beside it.

    Attributes:
        record, people: the clinic.
        policy: of the gate.
        holds: table of drugs on clotting; None: no folder was given.
        texts: folder of the uploaded texts of instruments; None: no folder was given.
        overview: page of the clinic, of ``epidura.clinic.views`` where it is there.
        oidc: an OpenID Connect client, or None.
        bench: products that the workbench asks for again and again.
        jobs: long work behind its pages.
        folder: for studies and uploaded maps; None: no folder was given.
    """

    record: Record
    people: People
    policy: Policy
    holds: Holds | None = None
    texts: Path | None = None
    overview: Callable[[Record, date], Any] | None = None
    oidc: Any = None
    bench: Bench = field(default_factory=Bench)
    jobs: Jobs = field(default_factory=Jobs)
    folder: Path | None = None

    def today(self) -> date:
        return self.record.clock().date()

    def table(self) -> Holds:
        if self.holds is None:
            raise Fault(409, "anticoagulants", "this server was given no folder for the clinic's table", hint="epidura serve has one")
        return self.holds


PatientId = Annotated[str, InPath(pattern="^[0-9a-f]{32}$", description="of the patient", examples=["0" * 32])]
Limit = Annotated[int, Query(ge=1, le=200, description="at most so many")]
AfterNumber = Annotated[int, Query(ge=0, le=2**53, description="`next` of the page before")]
AfterId = Annotated[str, Query(max_length=32, pattern="^[0-9a-f]*$", description="`next` of the page before")]
Key = Annotated[str, Header(alias="Idempotency-Key", min_length=8, max_length=100, pattern=r"^[A-Za-z0-9._:\-]+$",
                            description="a new one for each change; the same one for a repetition")]
IfMatch = Annotated[str | None, Header(alias="If-Match", max_length=40, description="ETag of the patient as it was read")]


def page(items: list[dict[str, Any]], limit: int, key: str) -> dict[str, Any]:
    """A page and where the next one begins; null after the last."""
    return {"items": items, "next": items[-1][key] if len(items) == limit else None}


def request_key(person: str, patient: str, key: str) -> str:
    """The key under which the record keeps a request: those of two people, or for two patients, never meet."""
    return hashlib.sha256(f"{person}\n{patient}\n{key}".encode()).hexdigest()


def etag(revision: int) -> str:
    return f'"{revision}"'


def seen(if_match: str) -> int:
    """The revision that an If-Match names.

    Raises:
        Fault: 400.
    """
    match = re.fullmatch(r'"([0-9]{1,15})"', if_match.strip(), re.ASCII)
    if match is None:
        raise Fault(400, "If-Match", "this is no ETag of a patient", got=if_match, allowed='"12", as it was read')
    return int(match[1])
