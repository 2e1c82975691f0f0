"""The clinic as a whole."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from epidura.api.security import V1, Who
from epidura.api.service import Service


def routes(service: Service) -> APIRouter:
    """Of the clinic; empty where no view of it was given (``Service.overview``)."""
    api, overview = APIRouter(prefix=V1, tags=["clinic"]), service.overview
    if overview is None:
        return api

    @api.get("/clinic/overview")
    def whole(who: Who) -> Any:
        """Who is where, who is late, and the outcomes of the clinic."""
        return overview(service.record, service.today())

    return api
