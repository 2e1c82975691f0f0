"""Processes of this machine: that die, whose source dies, that do not start, that outlive nobody; as forks and without."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from epidura import workers as runner
from epidura.errors import Failed
from epidura.workers import Workers

HERE = Path(__file__).parent


@pytest.fixture(params=[pytest.param(True, marks=pytest.mark.skipif(not runner.FORKS, reason="no fork")), False], ids=["forks", "processes"])
def forks(request, monkeypatch) -> bool:
    monkeypatch.setattr(runner, "FORKS", request.param)
    return request.param


def gone(process: int, seconds: float = 15.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if psutil.Process(process).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def answers(workers: Workers, count: int) -> dict[str, object]:
    """What comes of so many calls; None: it died."""
    found: dict[str, object] = {}
    while len(found) < count:
        answer = workers.next(timeout=30)
        assert answer is not None, "nobody answers"
        found[answer[0]] = answer[1]
    return found


def test_two_work_at_once_with_what_was_loaded(forks):
    with Workers(2, threads=3, load="wave") as workers:
        assert workers.idle == 2
        workers.give("a", "os:getpid")
        workers.give("b", "os:getpid")
        assert workers.idle == 0
        first = answers(workers, 2)
        assert len({os.getpid(), *first.values()}) == 3
        workers.give("c", "os:getenv", "NUMBA_NUM_THREADS")
        workers.give("large", "builtins:len", b"x" * 3_000_000)
        assert answers(workers, 2) == {"c": "3", "large": 3_000_000}
        workers.give("d", "builtins:bytes", 2_000_000)
        assert answers(workers, 1) == {"d": bytes(2_000_000)}
    assert all(gone(process) for process in first.values())
    assert not psutil.Process().children(recursive=True)


def test_one_that_dies_is_told_of_and_replaced(forks):
    with Workers(1, load=["no_such_module", "json"]) as workers:
        workers.give("one", "os:_exit", 3)
        assert answers(workers, 1) == {"one": None}
        workers.give("two", "os:getpid")
        (process,) = answers(workers, 1).values()
        os.kill(process, signal.SIGKILL)  # while it computes nothing
        assert gone(process)
        assert workers.next(timeout=1.0) is None
        workers.give("three", "builtins:abs", -3)
        assert answers(workers, 1) == {"three": 3}


def test_what_cannot_be_called_ends_the_worker_and_what_tasks_print_is_no_result(forks, capfd):
    with Workers(1) as workers:
        workers.give("one", "json:nobody")
        assert answers(workers, 1) == {"one": None}
        workers.give("two", "os:system", f"{sys.executable} -c 'print(4)'")
        assert answers(workers, 1) == {"two": 0}
    told = capfd.readouterr()
    assert "module 'json' has no attribute 'nobody'" in told.err
    assert told.err.endswith("4\n")
    assert told.out == ""


@pytest.mark.skipif(not runner.FORKS, reason="no fork")
def test_the_source_of_the_forks_may_die():
    with Workers(1) as workers:
        workers.give("one", "os:getppid")
        (source,) = answers(workers, 1).values()
        os.kill(source, signal.SIGKILL)
        assert gone(source)
        workers.give("two", "os:_exit", 0)
        assert answers(workers, 1) == {"two": None}
        workers.give("three", "os:getppid")
        (other,) = answers(workers, 1).values()
        assert other not in (source, os.getpid())
    assert gone(other)


def test_none_that_starts_is_an_error(forks, tmp_path, monkeypatch):
    (tmp_path / "ends_at_once.py").write_text("import os\nos._exit(7)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with Workers(1, load="ends_at_once") as workers:
        for name in range(runner.STARTS - 1):
            workers.give(str(name), "os:getpid")
            assert workers.next(timeout=30) == (str(name), None)
        with pytest.raises(Failed, match=r"^no worker process starts: 5 in a row ended while they read ends_at_once$"):
            workers.next(timeout=30)


def test_one_that_does_not_listen_is_killed_at_the_end(forks, monkeypatch):
    monkeypatch.setattr(runner, "GRACE", 0.2)
    with Workers(1) as workers:
        workers.give("one", "os:getpid")
        (process,) = answers(workers, 1).values()
        os.kill(process, signal.SIGSTOP)
    assert gone(process)


def test_the_time_that_workers_take_counts(forks):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    with Workers(2) as workers:
        for name in "ab":
            workers.give(name, "builtins:sum", range(30_000_000))
        answers(workers, 2)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    start = time.process_time()
    sum(range(30_000_000))
    assert spent > time.process_time() - start


def test_nobody_outlives_the_driver(forks, tmp_path):
    script = tmp_path / "driver.py"
    script.write_text(f"import time\nfrom epidura import workers\nworkers.FORKS = {forks}\nwith workers.Workers(2) as two:\n"
                      "    two.give('a', 'os:getpid')\n    print(two.next()[1], flush=True)\n"
                      "    two.give('b', 'time:sleep', 60)\n    time.sleep(60)\n")
    driver = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True,
                              env=os.environ | {"PYTHONPATH": str(Path(runner.__file__).parents[1])})
    assert driver.stdout is not None
    driver.stdout.readline()
    family = psutil.Process(driver.pid).children(recursive=True)
    driver.kill()
    driver.communicate()
    assert len(family) >= 2
    assert all(gone(one.pid) for one in family)
