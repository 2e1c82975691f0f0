"""One Chromium and one server for the tests of a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

NEEDED = os.environ.get("EPIDURA_NEEDS_CHROMIUM") == "1"

try:
    from desk import CHROMIUM, Desk
    from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
except ImportError:
    if NEEDED:
        raise
    collect_ignore_glob = ["test_*.py"]
else:
    if CHROMIUM is None:
        if NEEDED:
            raise RuntimeError("EPIDURA_NEEDS_CHROMIUM=1, but there is no chromium")
        collect_ignore_glob = ["test_*.py"]

    @pytest.fixture(scope="module")
    def browser() -> Iterator[Browser]:
        """A Chromium for each file: while Playwright runs, no other test of this process can have an event loop of its own."""
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[
                "--no-sandbox", "--disable-gpu", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"])
            yield browser
            browser.close()

    @pytest.fixture(scope="module")
    def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
        """A running server with an administrator, a physician, a nurse and a researcher."""
        desk = Desk.with_people(tmp_path_factory.mktemp("desk")).start()
        try:
            yield desk
        finally:
            desk.stop()

    @pytest.fixture
    def context(desk: Desk, browser: Browser) -> Iterator[BrowserContext]:
        """A desktop browser that has never been here; the page must not complain in its console."""
        desk.complaints.clear()
        context = desk.context(browser)
        yield context
        context.close()
        assert not desk.complaints, desk.complaints

    @pytest.fixture
    def page(context: BrowserContext) -> Page:
        return context.new_page()

    @pytest.fixture
    def shots() -> Path:
        from desk import SHOTS

        return SHOTS
