"""The room "Cohorts": studies of virtual patients, started, watched, stopped, gone on with, opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Response
from fastapi import Path as InPath
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, StreamingResponse

from epidura.api.errors import Fault
from epidura.api.routes_bench import Written, case_of
from epidura.api.routes_people import Body
from epidura.api.security import V1, Who
from epidura.api.service import Service
from epidura.desk_studies import DOWNLOADS, PATIENTS, Busy, Studies, about, cores, examples, read

BOTH = frozenset({"physician", "researcher"})

RULES: dict[tuple[str, str], frozenset[str]] = {
    ("GET", f"{V1}/cohorts"): BOTH,
    ("POST", f"{V1}/cohorts"): BOTH,
    ("GET", f"{V1}/cohorts/examples"): BOTH,
    ("POST", f"{V1}/cohorts/check"): BOTH,
    ("GET", f"{V1}/cohorts/{{study}}"): BOTH,
    ("DELETE", f"{V1}/cohorts/{{study}}"): BOTH,
    ("POST", f"{V1}/cohorts/{{study}}/stop"): BOTH,
    ("POST", f"{V1}/cohorts/{{study}}/resume"): BOTH,
    ("GET", f"{V1}/cohorts/{{study}}/summary"): BOTH,
    ("GET", f"{V1}/cohorts/{{study}}/report"): BOTH,
    ("GET", f"{V1}/cohorts/{{study}}/files/{{file}}"): BOTH,
}

REPORT_POLICY = ("default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
                 "sandbox allow-scripts allow-downloads; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
"""Of the report, which is one file with its scripts in it: nothing from outside, and in a place of its own, so that its scripts reach neither the
cookies nor the interface of this server."""

StudyId = Annotated[str, InPath(pattern="^[0-9a-f]{16}$", description="of a study", examples=["0" * 16])]
FileName = Annotated[str, InPath(pattern="^(patients|visits)[.](parquet|csv)$|^study[.](yaml|json)$", description="of a table, or of the study",
                                 examples=["patients.parquet"])]
T = TypeVar("T")


class StudyBody(Body):
    """A study as its file says it; ``case``: whom it is drawn around in place of the case in it."""

    text: str = Field(min_length=1, max_length=200_000)
    case: Written | None = None
    seed: int | None = Field(None, ge=0, lt=2**53)


class StartBody(StudyBody):
    """A study, how many patients, and on how many processes."""

    patients: int = Field(ge=PATIENTS[0], le=PATIENTS[1])
    workers: int = Field(1, ge=1, le=1024)


def routes(service: Service) -> APIRouter:
    """Of the room."""
    api = APIRouter(prefix=V1, tags=["workbench"])
    desk = None if service.folder is None else Studies(service.folder / "studies")

    def studies() -> Studies:
        if desk is None:
            raise Fault(409, "cohorts", "this server was given no folder for studies", hint="epidura serve has one")
        return desk

    def tried(work: Callable[[], T]) -> T:
        try:
            return work()
        except KeyError:
            raise Fault(404, "study", "there is no such study, or it has no such result yet") from None
        except Busy as busy:
            raise Fault(409, "study", str(busy)) from None

    def own(study: str, who: Any) -> None:
        """Only who started a study ends it."""
        if tried(lambda: studies().note(study)).owner != who.session.person.id:
            raise Fault(403, "study", "somebody else started this study", hint="ask them")

    def shown(one: dict[str, Any], who: Any) -> dict[str, Any]:
        return {**{key: value for key, value in one.items() if key != "owner"}, "mine": one["owner"] == who.session.person.id}

    @api.get("/cohorts")
    def every(who: Who) -> dict[str, Any]:
        """All studies of this server, the newest first, and what can be asked for."""
        return {"studies": [shown(one, who) for one in studies().all()], "cores": cores(), "patients": list(PATIENTS)}

    @api.get("/cohorts/examples")
    def shipped(who: Who) -> dict[str, Any]:
        """Studies to begin with."""
        return {"examples": list(examples())}

    @api.post("/cohorts/check")
    def check(body: StudyBody, who: Who) -> dict[str, Any]:
        """Read a study without starting it: what it will do, or what is wrong where."""
        return about(read(body.text, case_of(body.case) if body.case else None, body.seed))

    @api.post("/cohorts", status_code=201)
    def start(body: StartBody, who: Who) -> dict[str, Any]:
        """Start a study."""
        study = read(body.text, case_of(body.case) if body.case else None, body.seed)
        person = who.session.person
        note = tried(lambda: studies().start(study, body.patients, body.workers, person.id, person.name))
        return shown(studies().told(note.id), who)

    @api.get("/cohorts/{study}")
    def told(study: StudyId, who: Who) -> dict[str, Any]:
        """How a study is doing."""
        return shown(tried(lambda: studies().told(study)), who)

    @api.post("/cohorts/{study}/stop")
    def stop(study: StudyId, who: Who) -> dict[str, Any]:
        """End a study; what is finished is kept, and it can be gone on with."""
        own(study, who)
        tried(lambda: studies().stop(study))
        return shown(studies().told(study), who)

    @api.post("/cohorts/{study}/resume")
    def resume(study: StudyId, who: Who) -> dict[str, Any]:
        """Go on with a study that was stopped, failed, or was interrupted."""
        own(study, who)
        tried(lambda: studies().resume(study, who.session.person.id))
        return shown(studies().told(study), who)

    @api.delete("/cohorts/{study}")
    def remove(study: StudyId, who: Who) -> dict[str, Any]:
        """Delete a study with all its results."""
        own(study, who)
        tried(lambda: studies().remove(study))
        return {"removed": study}

    @api.get("/cohorts/{study}/summary")
    def summary(study: StudyId, who: Who) -> dict[str, Any]:
        """What came out."""
        return tried(lambda: studies().summary(study))

    @api.get("/cohorts/{study}/report", response_class=FileResponse)
    def report(study: StudyId, who: Who) -> FileResponse:
        """The report, one page with everything in it."""
        return FileResponse(tried(lambda: studies().result(study, "report.html")), media_type="text/html; charset=utf-8",
                            headers={"content-security-policy": REPORT_POLICY})

    @api.get("/cohorts/{study}/files/{file}", response_class=Response)
    async def file(study: StudyId, file: FileName, who: Who) -> Response:
        """Tables as Parquet or CSV, the study, or the summary."""
        headers = {"content-disposition": f'attachment; filename="{study[:6]}-{file}"'}
        table, _, kind = file.partition(".")
        if kind == "csv":
            tried(lambda: studies().result(study, f"{table}.parquet"))
            return StreamingResponse(studies().csv(study, table), media_type="text/csv; charset=utf-8", headers=headers)
        path = await run_in_threadpool(tried, lambda: studies().result(study, file))
        return FileResponse(path, media_type=DOWNLOADS[file], headers=headers)

    return api
