"""The two pages of a server without a workbench: what this is, and making the first administrator."""

from __future__ import annotations

from html import escape
from ipaddress import ip_address
from urllib.parse import parse_qs

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse

from epidura.api.errors import Fault
from epidura.api.security import V1
from epidura.api.service import Service
from epidura.errors import BadInput


def routes(service: Service) -> APIRouter:
    """Of pages."""
    pages = APIRouter(include_in_schema=False)

    @pages.get("/")
    def root() -> HTMLResponse:
        return _page("Epidura", f"<p>The record of a clinic for spinal cord stimulation. Research and education software, not a medical device.</p>"
                     f'<p>Programs talk to it under <code>{V1}</code>; <a href="{V1}/openapi.json">openapi.json</a> describes every address, '
                     "and docs/api.md of Epidura says how to log in.</p>")

    @pages.get("/setup")
    def asked(request: Request, token: str = "") -> HTMLResponse:
        _near(request)
        return _form(token, "")

    @pages.post("/setup")
    async def made(request: Request) -> HTMLResponse:
        _near(request)
        fields = parse_qs((await request.body()).decode(errors="replace"), max_num_fields=10)
        token, name, login, password = ((fields.get(key) or [""])[0].replace("\x00", "") for key in ("token", "name", "login", "password"))
        try:
            person = await run_in_threadpool(service.people.set_up, token, name, login, password)
        except BadInput as error:
            return _form(token, f"{error.where}: {error.problem}. {error.hint}", 422)
        return _page("Epidura", f"<p>{escape(person.name)} is the first administrator, and adds the others.</p>", 201)

    return pages


def _near(request: Request) -> None:
    """The first administrator is made from this machine."""
    try:
        near = ip_address(request.client.host if request.client else "").is_loopback
    except ValueError:
        near = False
    if not near:
        raise Fault(403, "address", "the first administrator is made from the machine of the server")


def _page(title: str, body: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
                        f"<title>{escape(title)}</title></head><body><main><h1>{escape(title)}</h1>{body}</main></body></html>\n", status)


def _form(token: str, problem: str, status: int = 200) -> HTMLResponse:
    said = f"<p role=alert>{escape(problem)}</p>" if problem else ""
    return _page("First administrator", f'{said}<form method="post" action="/setup"><input type="hidden" name="token" value="{escape(token)}">'
                 '<p><label>Name <input name="name" required maxlength="200"></label></p>'
                 '<p><label>Login <input name="login" required maxlength="100" autocomplete="username"></label></p>'
                 '<p><label>Password, 15 characters or more <input name="password" type="password" required minlength="15" maxlength="200" '
                 'autocomplete="new-password"></label></p><p><button>Make</button></p></form>', status)
