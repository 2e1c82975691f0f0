"""The runner of tasks, with real processes that are really killed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import kill_tasks as work
import psutil
import pytest
import yaml

from epidura import tasks as runner
from epidura.errors import BadInput, Failed
from epidura.tasks import Outcome, Task, failures, run_tasks

HERE = Path(__file__).parent
COUNT = 24


def sums(folder: Path) -> dict[str, str]:
    """Hash of every file in a folder, by path."""
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.rglob("*") if file.is_file()}


def wait_for(what: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "this did not happen in time"
        time.sleep(0.02)


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), str(Path(runner.__file__).parents[1])])}


@contextmanager
def driver(**chosen: object) -> Iterator[subprocess.Popen[str]]:
    """A driver in a process of its own; it is gone at the end, and so are its workers."""
    process = subprocess.Popen([sys.executable, str(HERE / "kill_tasks.py"), json.dumps(chosen)], env=environment(), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def finished(process: subprocess.Popen[str]) -> dict[str, list[str]]:
    out, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints
    return json.loads(out)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    outcome = run_tasks(work.numbers(COUNT), folder)
    assert len(outcome.done) == COUNT
    assert not outcome.reused
    assert not outcome.failed
    found = sums(folder)
    assert len(found) == COUNT  # nothing but results is left
    return found


# ---- in this process


def test_a_result_stands_under_its_key(tmp_path):
    one = Task("ab12cd34", work.number, {"n": 5}, ".txt")
    other = Task("ab12cd35", "kill_tasks:write", {"n": 5}, into="path")
    outcome = run_tasks([one, other, one], tmp_path / "new" / "folder")
    assert outcome == Outcome(("ab12cd34", "ab12cd35"), (), {})
    path = tmp_path / "new" / "folder" / "ab" / "ab12cd34.txt"
    assert one.path(tmp_path / "new" / "folder") == path
    assert path.read_bytes() == path.with_name("ab12cd35").read_bytes() == work.number(5)
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_what_is_there_is_kept_unless_asked_otherwise(tmp_path):
    tasks = work.numbers(6)
    run_tasks(tasks[:4], tmp_path)
    kept = tasks[1].path(tmp_path)
    before = kept.stat().st_mtime_ns
    outcome = run_tasks(tasks, tmp_path)
    assert outcome.reused == tuple(task.key for task in tasks[:4])
    assert outcome.done == tuple(task.key for task in tasks[4:])
    assert kept.stat().st_mtime_ns == before
    kept.write_bytes(b"something else")
    again = run_tasks(tasks, tmp_path, resume=False)
    assert len(again.done) == 6
    assert kept.read_bytes() == work.number(1)


def test_a_result_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """fsync of the whole content first, then the rename, and never an open file under the final name."""
    seen: list[tuple[str, bytes]] = []
    task = Task("ab12cd34", work.number, {"n": 5})
    sync, replace = os.fsync, os.replace

    def watched_sync(handle: int) -> None:
        seen.append(("sync", next(tmp_path.rglob(".part-*")).read_bytes()))
        assert not task.path(tmp_path).exists()
        sync(handle)

    def watched_replace(part: Path, target: Path) -> None:
        assert Path(part).parent == Path(target).parent
        seen.append(("replace", Path(part).read_bytes()))
        replace(part, target)

    monkeypatch.setattr(os, "fsync", watched_sync)
    monkeypatch.setattr(os, "replace", watched_replace)
    run_tasks([task], tmp_path)
    assert seen == [("sync", work.number(5)), ("replace", work.number(5))]


def complaints() -> list[Task]:
    kinds = [Task(work.key("complain", what), work.complain, {"what": what}) for what in ("input", "leave", "text", "odd")]
    return [*kinds, Task(work.key("nothing"), work.nothing, into="path"), Task(work.key("lambda"), work.number, {"n": lambda: 3})]


EXPECTED = ("patient.age: is too young; got 7; allowed: 18 and more", "SystemExit: 3",
            "function: returned something else; got 'str'; allowed: bytes", "Awkward: {'what': 'odd'}",
            "function: has not written the file it was given, or returned None; allowed: bytes, or a file", "its arguments cannot be pickled: ")


def test_a_task_that_fails_is_recorded_and_stops_nothing(tmp_path):
    tasks = [*complaints(), *work.numbers(2)]
    outcome = run_tasks(tasks, tmp_path)
    assert len(outcome.done) == 2
    assert list(outcome.failed) == [task.key for task in complaints()]
    for words, expected in zip(outcome.failed.values(), EXPECTED, strict=True):
        assert words.startswith(expected)
    assert failures(tmp_path) == outcome.failed
    records = [json.loads(line) for line in (tmp_path / runner.JOURNAL).read_text().splitlines()]
    assert "in complain\n    raise BadInput" in records[0]["trace"]
    assert len(sums(tmp_path)) == 3  # two results and the journal: nothing half-written


def test_what_failed_is_tried_again_and_the_journal_survives_a_cut(tmp_path):
    tasks = complaints()[:2]
    run_tasks(tasks, tmp_path)
    journal = tmp_path / runner.JOURNAL
    journal.write_bytes(journal.read_bytes() + b'{"key": "abc')  # a driver was killed while it wrote
    assert list(failures(tmp_path)) == [task.key for task in tasks]
    again = run_tasks([*tasks, complaints()[2]], tmp_path)
    assert len(again.failed) == 3
    assert failures(tmp_path) == again.failed
    assert len(journal.read_text().splitlines()) == 6
    assert failures(tmp_path / "nowhere") == {}


def test_progress_never_falls(tmp_path):
    told: list[tuple[str, float]] = []
    run_tasks([*work.numbers(10), *complaints()[:2]], tmp_path, progress=lambda words, share: told.append((words, share)))
    shares = [share for _, share in told]
    assert shares == pytest.approx([i / 12 for i in range(13)])
    assert told[0][0] == "0 of 12 tasks"
    assert told[-1] == ("12 of 12 tasks, 2 failed", 1.0)
    told.clear()
    run_tasks(work.numbers(10), tmp_path, progress=lambda words, share: told.append((words, share)))
    assert told == [("10 of 10 tasks", 1.0)]
    assert run_tasks([], tmp_path) == Outcome((), (), {})


def test_ten_thousand_tasks():
    """All of them are there, and a second run finds them; in memory where that can be, or the disk would take most of the time."""
    tasks = [Task(work.key("many", n), work.number, {"n": n}) for n in range(10_000)]
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        assert len(run_tasks(tasks, folder).done) == 10_000
        assert run_tasks(tasks, folder).reused == tuple(task.key for task in tasks)
        assert tasks[1234].path(folder).read_bytes() == work.number(1234)


def test_left_overs_of_the_dead_are_removed_and_those_of_the_living_stay(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    key, shelf, here = "ab12cd34", tmp_path / "ab", runner._place()
    shelf.mkdir()
    dead = [shelf / f".part-{here}-{gone.pid}-00000000-{key}-0.txt", tmp_path / f".run-{here}-{gone.pid}-00000000",
            shelf / f".part-far-1-00000000-{key}-0.txt"]
    living = [shelf / f".part-{here}-{os.getpid()}-00000000-{key}-0.txt", shelf / f".part-far-{gone.pid}-00000000-{key}-1.txt",
              shelf / f".part-0123456789ab-{gone.pid}-00000000-{key}-1.txt"]
    other = [shelf / ".hidden", tmp_path / f"part-{here}-{gone.pid}-00000000"]
    for file in (*dead, *living, *other):
        file.write_bytes(b"half of a re")
    folder = tmp_path / f".work-{here}-{gone.pid}-00000000"
    (folder / "inside").mkdir(parents=True)
    os.utime(dead[2], (0, 0))
    outcome = run_tasks([Task(key, work.number, {"n": 5}, ".txt")], tmp_path)
    assert outcome.done == (key,)  # none of the halves was taken for the result
    assert Task(key, work.number, suffix=".txt").path(tmp_path).read_bytes() == work.number(5)
    assert not [file for file in (*dead, folder) if file.exists()]
    assert all(file.exists() for file in (*living, *other))


def test_a_writer_whose_file_was_taken_for_a_left_over_loses_nothing(tmp_path):
    run = runner._Run(str(tmp_path), "far-1-00000000", True, 0)
    (tmp_path / f".run-{run.name}").touch()
    parcel = runner._parcel(Task("ab12cd34", "kill_tasks:unlink_parts", {"shelf": str(tmp_path / "ab")}))
    assert runner.attempt(run, parcel).state == "done"
    assert (tmp_path / "ab" / "ab12cd34").read_bytes() == b"there"


@pytest.mark.parametrize(("given", "message"), [
    ({"workers": 0}, "workers: is not a number that can be used; got 0; allowed: a whole number from 1"),
    ({"retries": -1}, "retries: is not a number that can be used; got -1; allowed: a whole number from 0"),
    ({"threads_per_task": 1.5}, "threads_per_task: is not a number that can be used; got 1.5; allowed: a whole number from 1"),
    ({"cluster": "host"}, "cluster: is not the address of a scheduler; got 'host'; allowed: such as tcp://host:8786"),
    ({"cluster": "tcp://host:1", "workers": 2}, "workers: a cluster has its own workers; got 2; allowed: workers or cluster, not both"),
])
def test_arguments_that_cannot_be(tmp_path, given, message):
    with pytest.raises(BadInput) as refused:
        run_tasks(work.numbers(2), tmp_path, **given)
    assert str(refused.value) == message


def test_tasks_that_cannot_be(tmp_path):
    with pytest.raises(BadInput, match=r"^key: cannot be the key of a task; got '../../etc/passwd'; allowed: 8 to 128 digits 0-9 and a-f; use"):
        Task("../../etc/passwd", work.number)
    with pytest.raises(BadInput, match=r"^suffix: cannot end the name of a file; got '/a'"):
        Task("ab12cd34", work.number, suffix="/a")
    with pytest.raises(BadInput, match=r"^into: the path is given by the runner"):
        Task("ab12cd34", work.number, {"path": 1}, into="path")
    with pytest.raises(BadInput, match=r"^function: cannot be imported by another process; got .*lambda.*; allowed: module:name; move it"):
        Task("ab12cd34", lambda: b"")
    with pytest.raises(BadInput, match=r"^function: is not the name of a function; got 'os.system'; allowed: module:name"):
        Task("ab12cd34", "os.system")
    with pytest.raises(BadInput, match=r"^function: cannot be imported: module 'kill_tasks' has no attribute 'nobody'; got 'kill_tasks:nobody'"):
        run_tasks([Task("ab12cd34", "kill_tasks:nobody")], tmp_path)
    with pytest.raises(BadInput, match=r"^tasks\[1\]: has the key of an earlier task and another suffix; got 'ab12cd34.b'; allowed: ab12cd34.a"):
        run_tasks([Task("ab12cd34", work.number, {"n": 1}, ".a"), Task("ab12cd34", work.number, {"n": 1}, ".b")], tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=r"file: cannot be written to: File exists; allowed: a folder that can be written to"):
        run_tasks(work.numbers(2), tmp_path / "file")


def test_without_dask(tmp_path, monkeypatch):
    for name in ("dask", "distributed"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BadInput) as refused:
        run_tasks(work.numbers(2), tmp_path, cluster="tcp://host:1")
    assert str(refused.value) == "cluster: needs Dask, which is not installed; got 'tcp://host:1'; pip install 'epidura[cluster]'"
    assert sums(tmp_path) == {}
    assert len(run_tasks(work.numbers(2), tmp_path, workers=2).done) == 2  # workers of this machine need none


def test_nobody_answers(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(runner, "ANSWER", 0.5)
    with pytest.raises(BadInput, match=r"^cluster: no scheduler answers: .*; got 'tcp://127.0.0.1:9'; start one with: dask scheduler"):
        run_tasks(work.numbers(2), tmp_path, cluster="tcp://127.0.0.1:9")


# ---- workers on this machine


def test_workers_that_die_and_tasks_that_kill(tmp_path, undisturbed):
    """One run has it all: a worker killed from outside, three tasks that always kill theirs, one that does once, errors, threads."""
    folder, log = tmp_path / "results", tmp_path / "log"
    log.mkdir()
    killers = [Task(work.key("die", how), work.die, {"how": how, "log": str(log)}) for how in ("kill", "segfault")]
    killers.append(Task(work.key("trap"), work.number, {"n": work.Trap(str(log))}))
    once = Task(work.key("once"), work.die_at_first, {"flag": str(tmp_path / "flag")})
    threads = Task(work.key("threads"), work.threads)
    numbers = work.numbers(COUNT, pause=0.1, log=str(log))
    before, shares, killed = dict(os.environ), [], []

    def progress(words: str, share: float) -> None:
        shares.append(share)
        if share > 0.2 and not killed:
            running = max((file for file in log.glob("*-*") if file.name[0].isdigit()), key=lambda file: file.stat().st_mtime_ns)
            killed.append(int(running.name.split("-")[0]))
            os.kill(killed[0], signal.SIGKILL)

    tasks = [*numbers, threads, *killers, once, *complaints()]
    outcome = run_tasks(tasks, folder, workers=2, retries=1, threads_per_task=2, progress=progress)
    assert dict(os.environ) == before
    assert killed
    assert not psutil.pid_exists(killed[0])
    assert list(outcome.done) == [task.key for task in (*numbers, threads, once)]
    assert list(outcome.failed) == [task.key for task in (*killers, *complaints())]
    for task in killers:
        assert outcome.failed[task.key] == "the process that computed it died in each of 2 attempts: a crash, a kill, or too much memory"
    assert len(list(log.glob("died-*"))) == 2 * len(killers)  # as often as allowed, not more
    for task, expected in zip(complaints(), EXPECTED, strict=True):
        assert outcome.failed[task.key].startswith(expected)
    assert failures(folder) == outcome.failed
    assert json.loads(threads.path(folder).read_bytes()) == ["2", "2", "2", "2", 2]
    assert once.path(folder).read_bytes() == b"second attempt"
    found = sums(folder)
    assert found.items() >= undisturbed.items()
    assert len(found) == COUNT + 3  # the two others and the journal: no half-written file, no folder of a worker
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


def test_a_killed_driver_and_two_that_finish_its_work(tmp_path, undisturbed):
    folder, log = tmp_path / "results", tmp_path / "log"
    log.mkdir()
    slow, fast = ({"count": COUNT, "pause": pause, "log": str(log)} for pause in (0.3, 0.05))
    with driver(numbers=slow, run={"folder": str(folder), "workers": 2}) as process:
        wait_for(lambda: len(list(folder.rglob("[0-9a-f]*.txt"))) >= 6)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    kept = {name: value for name, value in sums(folder).items() if Path(name).name[0] != "."}
    assert 6 <= len(kept) < COUNT
    assert kept.items() <= undisturbed.items()
    assert [file for file in folder.rglob(".*") if file.name.startswith((".part", ".run", ".work"))]  # what the dead have left
    with driver(numbers=fast, run={"folder": str(folder)}) as first, driver(numbers=fast, run={"folder": str(folder)}) as second:
        told = [finished(first), finished(second)]
    assert sums(folder) == undisturbed
    for one in told:
        assert not one["failed"]
        assert len(one["reused"]) >= len(kept)
        assert len(one["reused"]) + len(one["done"]) == COUNT


def test_a_script_needs_no_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import sys\nimport kill_tasks\nfrom epidura.tasks import run_tasks\nprint('read')\n"
                      "run_tasks(kill_tasks.numbers(2), sys.argv[1], workers=2)\n")
    done = subprocess.run([sys.executable, str(script), str(tmp_path / "results")], env=environment(), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "read\n", "")
    assert len(sums(tmp_path / "results")) == 2


# ---- a scheduler elsewhere


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Address of a scheduler with workers, each in a process of its own, as on a real cluster."""
    file = folder / "scheduler.json"
    common = {"env": environment() | {"OMP_NUM_THREADS": "1"}, "cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m", "dask"]
    scheduler = subprocess.Popen([*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--dashboard-address", "127.0.0.1:0",
                                  "--scheduler-file", str(file)], **common)
    started = [scheduler]
    try:
        wait_for(file.exists)
        wait_for(lambda: file.read_text().strip().endswith("}"))
        started.append(subprocess.Popen([*dask, "worker", "--scheduler-file", str(file), "--nworkers", str(workers), "--nthreads", "1",
                                         "--no-dashboard", "--host", "127.0.0.1", "--local-directory", str(folder)], **common))
        yield json.loads(file.read_text())["address"], scheduler
    finally:
        family = [one for process in started if psutil.pid_exists(process.pid) for one in psutil.Process(process.pid).children(recursive=True)]
        for process in reversed(started):
            process.terminate()
        _, stubborn = psutil.wait_procs([psutil.Process(process.pid) for process in started if process.poll() is None] + family, timeout=15)
        for one in stubborn:
            one.kill()
        for process in started:
            process.wait()


def test_a_cluster_whose_driver_worker_and_scheduler_are_killed(tmp_path, undisturbed):
    pytest.importorskip("distributed")
    folder, log = tmp_path / "results", tmp_path / "log"
    log.mkdir()
    slow, fast = ({"count": COUNT, "pause": pause, "log": str(log)} for pause in (0.4, 0.1))
    killer = Task(work.key("die"), work.die, {"how": "exit", "log": str(log)})
    with cluster(tmp_path, workers=2) as (address, scheduler):
        with driver(numbers=slow, run={"folder": str(folder), "cluster": address}) as process:
            wait_for(lambda: len(list(folder.rglob("[0-9a-f]*.txt"))) >= 5)
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert 5 <= len(list(folder.rglob("[0-9a-f]*.txt"))) < COUNT
        killed: list[int] = []

        def kill_a_worker(words: str, share: float) -> None:
            if share > 0.5 and not killed:
                running = max(log.glob("[0-9]*"), key=lambda file: file.stat().st_mtime_ns)
                killed.append(int(running.name.split("-")[0]))
                os.kill(killed[0], signal.SIGKILL)

        outcome = run_tasks([*work.numbers(**fast)[:-4], killer], folder, cluster=address, retries=1, progress=kill_a_worker)
        assert killed
        assert len(outcome.reused) >= 5
        assert len(outcome.reused) + len(outcome.done) == COUNT - 4
        assert list(outcome.failed) == [killer.key]
        assert len(list(log.glob("died-*"))) == 2

        def kill_the_scheduler(words: str, share: float) -> None:
            if share > (COUNT - 4) / COUNT:
                scheduler.kill()

        with pytest.raises(Failed, match=r"^the scheduler was lost, .*; what is done is kept: run again with resume$"):
            run_tasks(work.numbers(**slow), folder, cluster=address, progress=kill_the_scheduler)
    outcome = run_tasks(work.numbers(COUNT), folder)
    assert len(outcome.reused) > COUNT - 4
    found = sums(folder)
    assert found.pop(runner.JOURNAL)
    # left-overs of another machine's processes may be alive, and stay for a while
    assert {name: value for name, value in found.items() if not Path(name).name.startswith((".run-far-", ".part-far-"))} == undisturbed


def test_a_worker_that_does_not_see_the_folder(tmp_path):
    report = runner.attempt(runner._Run(str(tmp_path), "far-1-00000000", True, 0), runner._parcel(Task("ab12cd34", work.number, {"n": 1})))
    assert report.state == "apart"
    assert not list(tmp_path.iterdir())


# ---- the recipe for Kubernetes, as far as it can be read without one


def test_the_recipe_for_kubernetes_fits_together():
    pytest.importorskip("distributed")
    from distributed.cli import dask_scheduler, dask_worker

    page = (HERE.parents[1] / "docs" / "cluster.md").read_text("utf-8").split("## Kubernetes")[1]
    parts = list(yaml.safe_load_all(page.split("```yaml\n")[1].split("```")[0]))
    named = {(part["kind"], part["metadata"]["name"]): part["spec"] for part in parts}
    assert len(named) == len(parts) == 5
    service = named["Service", "epidura-scheduler"]
    (port,) = (one["port"] for one in service["ports"])
    commands = {}
    for (kind, name), spec in named.items():
        if kind not in ("Deployment", "Job"):
            continue
        pod = spec["template"]["spec"]
        if kind == "Deployment":
            assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
        assert all(("PersistentVolumeClaim", one["persistentVolumeClaim"]["claimName"]) in named for one in pod.get("volumes", ()))
        (container,) = pod["containers"]
        assert {one["name"] for one in container.get("volumeMounts", ())} <= {one["name"] for one in pod.get("volumes", ())}
        commands[name] = container["command"]
    assert named["Deployment", "epidura-scheduler"]["template"]["metadata"]["labels"] == service["selector"]
    scheduler, worker, driver = (commands[f"epidura-{name}"] for name in ("scheduler", "worker", "study"))
    # the programs read their options themselves: one that they do not have is an error
    assert scheduler[:2] == ["dask", "scheduler"]
    assert dask_scheduler.main.make_context("scheduler", scheduler[2:]).params["port"] == str(port)
    assert worker[:2] == ["dask", "worker"]
    given = dask_worker.main.make_context("worker", worker[2:]).params
    assert (given["scheduler"], given["nthreads"], given["memory_limit"]) == (f"tcp://epidura-scheduler:{port}", 1, "2GB")
    assert driver[-1] == f"tcp://epidura-scheduler:{port}"
