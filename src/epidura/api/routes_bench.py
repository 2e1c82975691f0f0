"""What the rooms of the workbench share: cases as text and as JSON, the body map, and long work."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Annotated, Any

from fastapi import APIRouter, Response
from fastapi import Path as InPath
from pydantic import Field, WithJsonSchema
from starlette.responses import StreamingResponse

from epidura import bodymap, case, maps
from epidura.api.errors import Fault, of_input, unexpected
from epidura.api.jobs import Job
from epidura.api.routes_people import Body
from epidura.api.security import EVERYBODY, READERS, V1, Who
from epidura.api.service import Service
from epidura.case import Case
from epidura.errors import BadInput, Failed
from epidura.recipe import load
from epidura.tables import UNVERIFIED, table

RULES: dict[tuple[str, str], frozenset[str]] = {
    ("GET", f"{V1}/bodymap"): EVERYBODY,
    ("GET", f"{V1}/case/start"): READERS,
    ("POST", f"{V1}/case/check"): READERS,
    ("POST", f"{V1}/case/read"): READERS,
    ("POST", f"{V1}/case/write"): READERS,
    ("GET", f"{V1}/jobs/{{job}}"): READERS,
    ("GET", f"{V1}/jobs/{{job}}/events"): READERS,
    ("GET", f"{V1}/jobs/{{job}}/result"): READERS,
    ("DELETE", f"{V1}/jobs/{{job}}"): READERS,
}

TICK, LOOK = 0.1, 0.02
"""Seconds between two words on a job that a page watches, and between two looks at whether it is over."""

JobId = Annotated[str, InPath(pattern="^[A-Za-z0-9_-]{16}$", description="of a piece of work", examples=["A" * 16])]
Written = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "description": "a case as `epidura run` reads it, as JSON"})]


class CaseBody(Body):
    """A case, with the same keys and units as in its file."""

    case: Written


class TextBody(Body):
    """The text of a case file."""

    text: str = Field(min_length=1, max_length=200_000)


def case_of(written: dict[str, Any]) -> Case:
    """The case that a page sent; label maps are named as they were uploaded, and no other file is read.

    Raises:
        BadInput: with the path in the case.
    """
    return case.read(maps.opened(written))


def told(job: Job) -> dict[str, Any]:
    """How a job is doing, for a page."""
    said: dict[str, Any] = {"id": job.id, "state": job.state, "words": job.words, "share": round(job.share, 4), "seconds": round(job.seconds(), 2)}
    if job.error is not None:
        said["error"] = json.loads(bytes(_of_error(job.error).body))["error"]
    return said


def _of_error(error: Exception) -> Response:
    if isinstance(error, BadInput):
        return of_input(error)
    if isinstance(error, Failed):
        from epidura.api.errors import answer

        return answer(503, "computation", str(error), hint="another accuracy, or another position of the leads")
    return unexpected(error)


def routes(service: Service) -> APIRouter:
    """Of what rooms share."""
    api = APIRouter(prefix=V1, tags=["workbench"])

    def job_of(name: str, who: Any) -> Job:
        job = service.jobs.get(who.session.person.id, name)
        if job is None:
            raise Fault(404, "job", "there is no such work, or it ended long ago", hint="start it again; what was computed is kept")
        return job

    @api.get("/bodymap")
    def drawing(who: Who) -> dict[str, Any]:
        """The figure with its dermatomes, and the areas that pain and tingling are named by."""
        areas = [{"id": row["id"], "name": row["name"], "dermatomes": row["dermatomes"].split(), "evidence": row["evidence"],
                  "unverified": row["evidence"] in UNVERIFIED, "source": row["source"]} for row in table("pain_areas")]
        return {"views": bodymap.views(), "dermatomes": list(bodymap.DERMATOMES), "areas": areas}

    @api.get("/case/start")
    def start(who: Who) -> dict[str, Any]:
        """The case that a page begins with."""
        return {"case": written(case.read((files("epidura") / "data" / "demo.yaml").read_text("utf-8")))}

    @api.post("/case/check")
    def check(body: CaseBody, who: Who) -> dict[str, Any]:
        """Read a case without computing anything: complete, with its contacts and painful dermatomes, or what is wrong where."""
        found = case_of(body.case)
        first, leads = 1, []
        for one in found.leads:
            count = len(one.shape().contacts)
            leads.append({"first": first, "contacts": count})
            first += count
        pain = found.patient.pain.dermatomes() if found.patient else {}
        return {"case": written(found), "leads": leads, "pain": [{"dermatome": name, "side": side, "areas": list(areas)}
                                                                 for (name, side), areas in pain.items()]}

    @api.post("/case/read")
    def read(body: TextBody, who: Who) -> dict[str, Any]:
        """A case from the text of its file."""
        # a text of one line would be taken as the name of a file
        return {"case": written(case_of(load(body.text + "\n", "case", Case)))}

    @api.post("/case/write")
    def write(body: CaseBody, who: Who) -> dict[str, str]:
        """The text of a case file."""
        return {"text": case.text_of(written(case_of(body.case)))}

    @api.get("/jobs/{job}")
    def state(job: JobId, who: Who) -> dict[str, Any]:
        """How far a piece of work is."""
        return told(job_of(job, who))

    @api.get("/jobs/{job}/events", response_class=StreamingResponse)
    async def watch(job: JobId, who: Who) -> StreamingResponse:
        """The same, sent whenever it changes until the work ends (server-sent events)."""
        found = job_of(job, who)

        async def lines() -> AsyncIterator[str]:
            before = ""
            quiet = TICK
            while True:
                if found.over or quiet >= TICK:
                    over = found.over
                    now = json.dumps({key: value for key, value in told(found).items() if key != "seconds"}, ensure_ascii=False)
                    if over or now != before:
                        yield f"event: {'end' if over else 'progress'}\ndata: {json.dumps(told(found), ensure_ascii=False)}\n\n"
                        before, quiet = now, 0.0
                    if over:
                        return
                await asyncio.sleep(LOOK)
                quiet += LOOK
                if quiet > 10:
                    yield ": still there\n\n"
                    quiet = 0.0

        return StreamingResponse(lines(), media_type="text/event-stream")

    @api.get("/jobs/{job}/result")
    def result(job: JobId, who: Who) -> Any:
        """What a piece of work gave."""
        found = job_of(job, who)
        if found.error is not None:
            return _of_error(found.error)
        if found.state != "done":
            raise Fault(409, "job", "this work has no result", got=found.state, allowed="done", hint="wait for it, or start it again")
        return found.result

    @api.delete("/jobs/{job}")
    def cancel(job: JobId, who: Who) -> dict[str, Any]:
        """End a piece of work; what it has found so far stays in the cache."""
        found = job_of(job, who)
        service.jobs.cancel(found)
        return told(found)

    return api


def written(found: Case) -> dict[str, Any]:
    """A case as its file says it, label maps by the names of their uploads."""
    return maps.closed(found.model_dump(mode="json"))
