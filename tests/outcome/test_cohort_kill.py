"""A study whose workers or driver are killed with signal 9: the same bits as one that was left alone."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import kill_cohort
import psutil
import pytest

import epidura
from epidura import cohort, cohort_study

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


# ---- the recipe for SLURM, by its own script; only what SLURM itself brings stands in

SRUN = """#!/bin/bash
[ "$1" = --kill-on-bad-exit=0 ] || exit 2
shift
trap 'kill $(jobs -p)' TERM
"$@" & "$@" &
wait; wait
"""
STUDY = """import os
import sys
from pathlib import Path
import kill_cohort
from epidura import cohort, cohort_study
kill_cohort.install()
Path(os.environ["KILL_LOG"], f"driver-{os.getpid()}").touch()
cohort.run_study(cohort_study.read_study(kill_cohort.small()), int(os.environ["PATIENTS"]), "study", cluster=sys.argv[1], resume=True)
"""


def recipe() -> str:
    """The batch script of docs/cluster.md."""
    found = re.search(r"## SLURM.*?```bash\n(.*?)```", (Path(__file__).parents[2] / "docs" / "cluster.md").read_text("utf-8"), re.DOTALL)
    assert found
    return found[1]


def site(home: Path) -> Path:
    """The folder that a job is submitted from, with what the recipe expects: an environment, ``study.py`` and its module, ``srun`` for two tasks."""
    for name, text in (("job.sh", recipe()), ("study.py", STUDY), ("bin/srun", SRUN),
                       ("epidura/bin/activate", f'export PATH="{Path(sys.executable).parent}:{home}/bin:$PATH"\n')):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    (home / "bin" / "srun").chmod(0o755)
    submitted = home / "submitted"
    submitted.mkdir()
    (home / "study.py").rename(submitted / "study.py")
    (submitted / "kill_cohort.py").symlink_to(kill_cohort.__file__)
    (submitted / "epidura").symlink_to(Path(epidura.__file__).parent)
    return submitted


@contextmanager
def submitted(home: Path, log: Path, pause: float = 0.0) -> Iterator[subprocess.Popen[str]]:
    """A job; nothing of it is alive at the end."""
    log.mkdir()
    environment = {**os.environ, "HOME": str(home), "SLURM_SUBMIT_DIR": str(home / "submitted"), "SLURM_JOB_ID": "7", "TMPDIR": str(home),
                   "KILL_LOG": str(log), "KILL_PAUSE": str(pause), "PATIENTS": str(PATIENTS)}
    job = subprocess.Popen(["bash", str(home / "job.sh")], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           start_new_session=True)
    try:
        yield job
    finally:
        end = time.monotonic() + 120  # a busy machine takes its time
        while (left := alive(job.pid)) and time.monotonic() < end:
            time.sleep(0.05)
        for one in left:
            one.kill()
        job.communicate()
    assert not left, "the recipe leaves processes behind"


def alive(session: int) -> list[psutil.Process]:
    """What still runs of a session; where nobody waits for orphans, the dead stay listed."""
    found = []
    for one in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getsid(one.pid) == session and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
    return found


@pytest.mark.slow
def test_a_job_by_the_recipe_for_slurm_whose_worker_and_driver_are_killed(alone, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    study, log, again = site(tmp_path) / "study", tmp_path / "log", tmp_path / "again"
    with submitted(tmp_path, log, pause=0.5) as job:
        killed, driver = wait_for(log, "batch", job), wait_for(log, "driver", job)
        before = set(log.glob("batch-*"))
        assert killed != driver
        os.kill(killed, signal.SIGKILL)
        end = time.monotonic() + 60
        while not (begun := set(log.glob("batch-*")) - before):  # others go on
            assert time.monotonic() < end
            time.sleep(0.01)
        os.kill(driver, signal.SIGKILL)
        assert job.wait(timeout=60) == 128 + signal.SIGKILL
    there = results(study)
    assert 2 <= len(there) < len(results(alone))  # both nodes
    assert str(killed) not in {file.name.rsplit("-", 1)[1] for file in begun}
    assert not (study / "report.html").exists()
    assert not list(study.parent.glob("scheduler-*"))

    again.mkdir()
    monkeypatch.setenv("KILL_LOG", str(again))
    for name in kill_cohort.NAMES:
        monkeypatch.setattr(cohort, name, getattr(kill_cohort, name))
    cohort.run_study(cohort_study.read_study(kill_cohort.small()), PATIENTS, study, resume=True)
    assert not list(again.glob("node-*"))
    assert list(again.glob("batch-*"))
    assert results(study) == results(alone)
    assert bits(study) == bits(alone)
