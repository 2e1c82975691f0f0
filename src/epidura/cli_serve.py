"""``epidura serve``: the workbench in the browser and the record of a clinic over REST, on this machine unless told otherwise."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
import threading
import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from epidura.errors import BadInput

out = Console()

NAMES = ("localhost", "127.0.0.1", "::1")

BACKLOG = 2048
"""Connections that wait until the server takes them, as its own default."""


def serve(
    store: Annotated[str | None, typer.Option(envvar="EPIDURA_CLINIC", help="SQLite file or address of a PostgreSQL database; in your data folder "
                                                                            "if left out.")] = None,
    key_file: Annotated[Path | None, typer.Option("--key", envvar="EPIDURA_CLINIC_KEY", help="File of the clinic's key; beside the SQLite file if "
                                                                                            "left out.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="To listen on; 0: any that is free.")] = 8765,
    host: Annotated[str, typer.Option(help="Address to listen on; another than loopback needs --allow-remote.")] = "127.0.0.1",
    allow_remote: Annotated[bool, typer.Option("--allow-remote", help="Listen to other machines. Give --tls-cert, or a proxy with TLS.")] = False,
    allow_host: Annotated[list[str] | None, typer.Option(help="A name under which browsers ask for this server; several are possible.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key, PEM.")] = None,
    behind_proxy: Annotated[bool, typer.Option("--behind-proxy", help="A proxy on this machine does TLS and says who asks.")] = False,
    oidc: Annotated[Path | None, typer.Option(help="OpenID Connect, YAML: issuer, client_id, client_secret, redirect.")] = None,
    show: Annotated[bool | None, typer.Option("--open/--no-open", help="Open the page in the browser of this machine; if left out, where a person "
                                                                       "sits at the terminal.")] = None,
) -> None:
    """Open the workbench, and the record of a clinic over REST. Makes a record in your data folder if there is none.

    The first start prints a link with which the first administrator is made.

    The password of an encrypted SQLite file is read from EPIDURA_CLINIC_PASSWORD.
    """
    loopback = _loopback(host)
    if not loopback and not allow_remote:
        raise BadInput("--host", "this address can be reached from other machines", got=host, allowed="127.0.0.1 or localhost",
                       hint="add --allow-remote, and --tls-cert with --tls-key or a proxy with TLS: without it passwords travel in the open")
    if (tls_cert is None) != (tls_key is None):
        raise BadInput("--tls-cert", "certificate and key belong together", hint="give --tls-cert and --tls-key")
    for option, path in (("--tls-cert", tls_cert), ("--tls-key", tls_key), ("--oidc", oidc)):
        if path is not None and not path.is_file():
            raise BadInput(option, "no such file", got=str(path))
    _serve(store, key_file, host, port, tuple(allow_host or ()), (tls_cert, tls_key), behind_proxy, oidc,
           sys.stdout.isatty() if show is None else show)


def _serve(store: str | None, key_file: Path | None, host: str, port: int, names: tuple[str, ...], tls: tuple[Path | None, Path | None],
           behind_proxy: bool, oidc: Path | None, show: bool) -> None:
    import uvicorn

    from epidura.api import create_app
    from epidura.api.security import Policy
    from epidura.clinic.people import People
    from epidura.clinic.record import Record, key_path
    from epidura.clinic.store.engine import default_store

    where = store or str(default_store())
    key = key_path(where, key_file)
    record = Record.create(where, key_file, os.environ.get("EPIDURA_CLINIC_PASSWORD", ""))
    try:
        people = People(record.engine, record.clock)
        secure = tls[0] is not None or behind_proxy
        own = (*NAMES, *(() if host in NAMES or host in ("0.0.0.0", "::") else (host,)), *names)
        app = create_app(record, people, policy=Policy(hosts=own, secure=secure), beside=key.resolve().parent, connect=_oidc(oidc))
        listener = _listen(host, port)
        address = _address(listener, secure and not behind_proxy)
        out.print(f"record: {_plain(where)}\nEpidura listens on {address}", markup=False, highlight=False, soft_wrap=True)
        if not _loopback(host) and not secure:
            out.print("warning: no TLS: passwords and records travel in the open; give --tls-cert and --tls-key, or a proxy with TLS", markup=False,
                      soft_wrap=True)
        page = address
        if not people.anybody():
            page = f"{address}setup?token={people.first()}"
            out.print(f"nobody can log in yet: make the first administrator within an hour, on this machine:\n{page}", markup=False, highlight=False,
                      soft_wrap=True)
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, proxy_headers=behind_proxy,
                                forwarded_allow_ips="127.0.0.1", ssl_certfile=tls[0], ssl_keyfile=tls[1], h11_max_incomplete_event_size=32_768,
                                timeout_keep_alive=15, limit_concurrency=500)
        if show:
            # the socket takes connections already, so the page waits for the server and is not refused
            threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        record.close()


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named: asyncio then sends at once what is short (TCP_NODELAY)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)  # who comes before the server is ready waits for it, and is not refused
    except OSError as failure:
        listener.close()
        raise BadInput("--port", f"cannot listen: {failure.strerror or failure}", got=f"{host}:{port}", hint="another --port; 0 takes any") from None
    return listener


def _address(listener: socket.socket, tls: bool) -> str:
    name, port = listener.getsockname()[:2]
    shown = f"[{name}]" if ":" in name else name
    return f"http{'s' if tls else ''}://{shown}:{port}/"


def _plain(where: str) -> str:
    """The record's address without a password."""
    from epidura.clinic.store.engine import url_of

    return url_of(where).render_as_string(hide_password=True) if "://" in where else where


def _oidc(path: Path | None) -> object:
    if path is None:
        return None
    from epidura.api.oidc import Oidc
    from epidura.clinic.events import now
    from epidura.recipe import Recipe, load, read_recipe

    class Settings(Recipe):
        issuer: str
        client_id: str
        client_secret: str
        redirect: str

    found: Settings = read_recipe(Settings, load(path, "settings of OpenID Connect", Settings))
    return Oidc(found.issuer, found.client_id, found.client_secret, found.redirect, now)
