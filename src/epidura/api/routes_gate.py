"""The room "Gate and outlook": the chain on the draft, as work that can be watched and cancelled."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from epidura.api.jobs import Progress
from epidura.api.routes_bench import CaseBody, case_of, told
from epidura.api.security import READERS, V1, Who
from epidura.api.service import Service
from epidura.desk_gate import look, ready

RULES: dict[tuple[str, str], frozenset[str]] = {("POST", f"{V1}/gate/look"): READERS}


class LookBody(CaseBody):
    """A case, and how closely to look."""

    quick: bool = False


def routes(service: Service) -> APIRouter:
    """Of the room."""
    api, bench = APIRouter(prefix=V1, tags=["workbench"]), service.bench

    @api.post("/gate/look")
    def start(body: LookBody, who: Who) -> dict[str, Any]:
        """Run the chain on a case: firing in the gate, pain and quality of life, the two stages. A case looked at before is answered at once."""
        case = case_of(body.case)
        ready(case)

        def work(progress: Progress) -> Any:
            progress("electric field", 0.0)
            return bench.keep("gate", f"{'quick' if body.quick else 'full'} {case.key()}",
                              lambda: look(case, bench.lead_field(case, watch=progress), body.quick, progress))

        return told(service.jobs.start(who.session.person.id, work, "gate"))

    return api
