"""The page on which the first administrator is made."""

from __future__ import annotations

from html import escape
from ipaddress import ip_address
from urllib.parse import parse_qs

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse

from epidura.api.errors import Fault
from epidura.api.service import Service
from epidura.errors import BadInput


def routes(service: Service) -> APIRouter:
    """Of pages."""
    pages = APIRouter(include_in_schema=False)

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
            return _form(token, f"{error.where}: {error.problem}. {error.hint}", name, login, 422)
        return _page("Epidura", f'<p>{escape(person.name)} is the first administrator, and adds the others.</p>'
                     '<p><a class="button" href="/">Log in</a></p>', 201)

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
                        f'<link rel="stylesheet" href="/web/style.css"><link rel="icon" href="/web/icon.svg">'
                        f'<title>{escape(title)}</title></head><body class="plain"><main class="card"><h1>{escape(title)}</h1>{body}</main></body>'
                        "</html>\n", status)


def _form(token: str, problem: str, name: str = "", login: str = "", status: int = 200) -> HTMLResponse:
    said = f'<p class="notice bad" role="alert">{escape(problem)}</p>' if problem else ""
    return _page("First administrator", f"""{said}<p class="help">Research and education software, not a medical device.</p>
<form method="post" action="/setup"><input type="hidden" name="token" value="{escape(token)}">
<div class="field"><label>Name <input name="name" required maxlength="200" value="{escape(name)}"></label></div>
<div class="field"><label>Login <input name="login" required maxlength="100" autocomplete="username" value="{escape(login)}"></label></div>
<div class="field"><label>Password, 15 characters or more
<input name="password" type="password" required minlength="15" maxlength="200" autocomplete="new-password"></label></div>
<p><button>Make</button></p></form>""", status)
