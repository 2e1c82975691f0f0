"""The workbench itself: static files, the two pages, and who sees which room."""

from __future__ import annotations

import gzip
import hashlib
import json
import mimetypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from epidura.api.security import PUBLIC
from epidura.api.service import Service

TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html", ".json": "application/json",
         ".webmanifest": "application/manifest+json", ".png": "image/png"}

PAGES = {"/": "index.html", "/diary": "diary.html"}
"""Address -> file of ``web/``."""

AT_ROOT = {"/diary-worker.js": "diary-worker.js"}
"""A service worker serves no page above its own address."""

DIARY = ("/diary", "/web/diary", "/web/lib/api.js", "/web/lib/dom.js", "/web/style.css", "/web/icon.svg")
"""Beginnings of the addresses that a phone keeps, so that the diary opens without a connection."""

POLICY = ("default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; worker-src 'self'; frame-ancestors 'none'; "
          "base-uri 'none'; form-action 'self'; object-src 'none'")
"""Content-security-policy of the pages: scripts only from files of this server. Charts set styles of elements."""


@dataclass(frozen=True)
class File:
    """A static file, ready to send.

    Attributes:
        content, packed: as it is and compressed.
        mark: ETag.
        kind: media type.
    """

    content: bytes
    packed: bytes
    mark: str
    kind: str


@cache
def static() -> dict[str, File]:
    """Address -> file: everything under ``web/`` but the pages, and Plotly from its own package."""
    folder = Path(str(files("epidura") / "web"))
    found = {f"/web/{path.relative_to(folder).as_posix()}": _read(path) for path in sorted(folder.rglob("*"))
             if path.is_file() and path.suffix in TYPES and path.name not in {*PAGES.values(), *AT_ROOT.values()}}
    pages = {address: _read(folder / name) for address, name in PAGES.items() if (folder / name).is_file()}
    kept = {address: file.mark for address, file in (found | pages).items() if address.startswith(DIARY)}
    for address, name in AT_ROOT.items():
        # the worker begins with the list of what it keeps and the hash of each: a browser takes a worker that differs by a byte as a new one
        pages[address] = _file(f"const FILES = {json.dumps(kept, indent=1)};\n".encode() + (folder / name).read_bytes(), Path(name))
    plotly = find_spec("plotly")
    if plotly is not None and plotly.origin is not None:
        found["/web/plotly.min.js"] = _read(Path(plotly.origin).parent / "package_data" / "plotly.min.js")
    return found | pages


def _read(path: Path) -> File:
    return _file(path.read_bytes(), path)


def _file(content: bytes, path: Path) -> File:
    kind = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if kind.startswith("text/") or kind.endswith(("json", "xml")):
        kind += "; charset=utf-8"
    return File(content, gzip.compress(content, 6, mtime=0), f'"{hashlib.sha256(content).hexdigest()[:24]}"', kind)


RULES: dict[tuple[str, str], frozenset[str]] = {("GET", address): PUBLIC for address in static()}


def routes(service: Service) -> APIRouter:
    """Of files; each has a route of its own, so that nothing outside the list can be asked for."""
    api = APIRouter(include_in_schema=False)

    def sender(file: File) -> Callable[[Request], Response]:
        def send(request: Request) -> Response:
            headers = {"etag": file.mark, "cache-control": "no-cache", "vary": "accept-encoding"}
            if file.kind.startswith("text/html"):
                headers["content-security-policy"] = POLICY
            if file.mark in request.headers.get("if-none-match", ""):
                return Response(status_code=304, headers=headers)
            if "gzip" in request.headers.get("accept-encoding", ""):
                return Response(file.packed, media_type=file.kind, headers=headers | {"content-encoding": "gzip"})
            return Response(file.content, media_type=file.kind, headers=headers)

        return send

    for address, file in static().items():
        api.add_api_route(address, sender(file), methods=["GET"])
    return api
