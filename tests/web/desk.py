"""A server of its own and people's hands in a real Chromium."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from epidura.clinic.people import People
from epidura.clinic.record import Record

PASSWORDS = {role: f"tulip canoe 47 harbour {role[:2]}" for role in ("administrator", "physician", "nurse", "researcher")}
SIZES = {"desktop": {"width": 1440, "height": 900}, "laptop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
CHROMIUM = os.environ.get("EPIDURA_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SHOTS = Path(os.environ.get("EPIDURA_SHOTS", Path(__file__).parents[2] / "results" / "screenshots"))
"""Where screenshots are kept."""

expect.set_options(timeout=30_000)


@dataclass
class Desk:
    """``epidura serve`` as a process, on a record in a folder of its own.

    Attributes:
        folder: of the record.
        url: where it listens, without a slash at the end.
        setup: address that makes the first administrator; empty if there is one.
        staffed: whether the record has people, so that the server names no such address.
    """

    folder: Path
    url: str = ""
    setup: str = ""
    staffed: bool = False
    port: int = 0
    process: subprocess.Popen[str] | None = None
    complaints: list[str] = field(default_factory=list)

    def start(self) -> Desk:
        """Start, or start again on the same port."""
        command = [sys.executable, "-m", "epidura.cli", "serve", "--store", str(self.folder / "clinic.sqlite"), "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        env=os.environ | {"PYTHONUNBUFFERED": "1"})
        assert self.process.stdout is not None
        until = time.monotonic() + 60
        lines = []
        while time.monotonic() < until:
            line = self.process.stdout.readline()
            lines.append(line)
            if found := re.search(r"listens on (http://\S+)/", line):
                self.url = found[1]
                self.port = int(self.url.rsplit(":", 1)[1])
            if "nobody can log in yet" in line:
                self.setup = self.process.stdout.readline().strip()
                break
            if self.url and (self.setup or self.staffed):
                break
            if not line:
                self.stop()
                raise AssertionError("".join(lines))
        return self

    def kill(self) -> None:
        """As a power cut would."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)
        self._close()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        self._close()

    def _close(self) -> None:
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()

    def context(self, browser: Browser, size: str = "desktop", dark: bool = False, **more: Any) -> BrowserContext:
        """A browser's window and memory of its own; complaints of its pages are kept."""
        context = browser.new_context(viewport=SIZES[size], color_scheme="dark" if dark else "light", base_url=self.url, **more)
        context.on("console", self._heard)
        context.on("weberror", lambda error: self.complaints.append(f"uncaught: {error.error}"))
        return context

    def _heard(self, message: ConsoleMessage) -> None:
        # answers of the server that are no success are the business of a test; everything else a page complains of is a defect
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    @classmethod
    def with_people(cls, folder: Path) -> Desk:
        """With somebody of each role, who come in by their passwords. How they are made by hand is walked in test_journey.py and test_clinic.py."""
        for name, content in _staffed().items():
            (folder / name).write_bytes(content)
        return cls(folder, staffed=True)


def staff(record: Record, *roles: str) -> None:
    """People of these roles, whose login is the role."""
    people = People(record.engine, record.clock)
    for role in roles:
        people.add("Ada Administrator" if role == "administrator" else f"Pat {role.title()}", role, role, PASSWORDS[role])


@cache
def _staffed() -> dict[str, bytes]:
    """Files of a record with people: to make them takes seconds, as it should, and is done once a process."""
    with TemporaryDirectory() as folder:
        record = Record.create(Path(folder) / "clinic.sqlite")
        staff(record, *PASSWORDS)
        record.close()
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def login(page: Page, role: str, room: str = "") -> None:
    """Come in as a person does."""
    page.goto(f"/#/{room}" if room else "/")
    page.get_by_label("Login").fill(role)
    page.get_by_label("Password").fill(PASSWORDS[role])
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("navigation", name="rooms")).to_be_visible()


def shot(page: Page, name: str) -> None:
    """Keep a picture of the whole page."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


def accessible(page: Page) -> None:
    """No serious or critical violation that axe-core finds."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    bad = [f"{each['id']} ({each['impact']}): {each['help']}\n" + "\n".join(
        f"    {node['html'][:200]} {node['failureSummary'][:300]}" for node in each["nodes"][:4])
        for each in found if each["impact"] in ("serious", "critical")]
    assert not bad, "\n".join(bad)
