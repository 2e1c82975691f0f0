"""A study whose workers or driver are killed with signal 9: the same bits as one that was left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import kill_cohort
import pytest

from epidura import cohort

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signal 9")

PATIENTS = 8


def start(folder: Path, log: Path, workers: int, resume: bool = False, pause: float = 0.0) -> subprocess.Popen[str]:
    log.mkdir(exist_ok=True)
    script = str(Path(kill_cohort.__file__))
    given = json.dumps({"patients": PATIENTS, "folder": str(folder), "workers": workers, "resume": resume})
    environment = {**os.environ, "KILL_LOG": str(log), "KILL_PAUSE": str(pause)}
    return subprocess.Popen([sys.executable, script, given], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(driver: subprocess.Popen[str]) -> int:
    _, said = driver.communicate(timeout=300)
    if driver.returncode > 0:
        pytest.fail(said)
    return driver.returncode


def wait_for(log: Path, what: str, driver: subprocess.Popen[str]) -> int:
    """The process that computes such a task."""
    end = time.monotonic() + 240
    while time.monotonic() < end:
        if driver.poll() is not None:
            pytest.fail(f"the driver ended: {driver.communicate()[1]}")
        for file in log.glob(f"{what}-*"):
            return int(file.name.rsplit("-", 1)[1])
        time.sleep(0.02)
    raise TimeoutError(what)


def bits(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in cohort.FILES}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process, never killed."""
    folder = tmp_path_factory.mktemp("alone")
    assert ended(start(folder / "study", folder / "log", 1)) == 0
    return folder / "study"


def results(folder: Path) -> dict[str, bytes]:
    """Single results by name, without the journal of failures."""
    files = [path for path in (folder / cohort.TASKS).rglob("*") if path.is_file() and not path.name.startswith(("failures", "."))]
    return {path.name: path.read_bytes() for path in files}


@pytest.mark.slow
def test_two_workers_one_of_which_is_killed_give_the_same_bits(alone, tmp_path):
    driver = start(tmp_path / "study", tmp_path / "log", 2, pause=0.5)
    killed = wait_for(tmp_path / "log", "batch-4", driver)
    assert killed != driver.pid
    os.kill(killed, signal.SIGKILL)
    assert ended(driver) == 0
    assert len(list((tmp_path / "log").glob("batch-4-*"))) == 2  # another process had to do it again
    assert results(tmp_path / "study") == results(alone)
    assert bits(tmp_path / "study") == bits(alone)


def test_a_killed_driver_goes_on_and_gives_the_same_bits(alone, tmp_path):
    driver = start(tmp_path / "study", tmp_path / "log", 1, pause=0.3)
    wait_for(tmp_path / "log", "batch-2", driver)
    driver.kill()
    assert ended(driver) == -signal.SIGKILL
    there = results(tmp_path / "study")
    assert 0 < len(there) < len(results(alone))
    assert not (tmp_path / "study" / "report.html").exists()
    assert ended(start(tmp_path / "study", tmp_path / "again", 1, resume=True)) == 0
    assert not list((tmp_path / "again").glob("node-*"))
    assert not list((tmp_path / "again").glob("batch-0-*"))
    assert results(tmp_path / "study") == results(alone)
    assert bits(tmp_path / "study") == bits(alone)
