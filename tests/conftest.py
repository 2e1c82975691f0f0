"""What tests of several files share: lead fields that were solved once, and the command line in this process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from order import FIRST

from epidura import cli


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files of ``FIRST`` in that order, then the others as they were found."""
    tests = Path(__file__).parent
    places = {tests / name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(FIRST)))


@pytest.fixture(scope="session")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cache folder of the whole session, one for all processes of xdist; a field is written to another name and renamed."""
    if there := os.environ.get("EPIDURA_TEST_FIELDS"):
        return Path(there)
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "fields"


@pytest.fixture
def here(tmp_path: Path, fields: Path, monkeypatch: pytest.MonkeyPatch,
         capsys: pytest.CaptureFixture[str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command line in this process, in ``tmp_path``: much faster than a process each, which ``tiny_case.epidura`` is."""
    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("EPIDURA_CACHE", str(fields))
        monkeypatch.setattr("sys.argv", ["epidura", *map(str, arguments)])
        for console in (cli.out, cli.err):
            monkeypatch.setattr(console, "width", 200)
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, int(end.value.code or 0), said.out, said.err)
    return call
