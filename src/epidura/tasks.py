"""Many independent tasks, of which nothing that is finished gets lost.

A task is a function, its arguments and a key, the hash of what decides its result. The result is a file,
``folder/ab/abcd…suffix``, which the task itself writes under another name, flushes to the disk and renames: it is whole or
not there. Only keys and words travel back to the driver, so that a killed worker, a task that kills its worker and a killed
driver cost at most what was being computed; the next run computes exactly the files that are missing.

The file that an attempt writes into carries the run, the key and the number of the attempt, and is opened before the task
starts. An attempt whose process died leaves it behind, and the next attempt, in whichever process, finds the number taken:
that is how deaths are counted, without the scheduler, and without blaming tasks that only waited in a process that died.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import os
import pickle
import queue
import re
import secrets
import shutil
import socket
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from epidura.errors import BadInput, EpiduraError, Failed
from epidura.workers import Workers

Progress = Callable[[str, float], None]

JOURNAL = "failures.jsonl"
"""Name of the file, in the folder of the results, that failures are added to."""

STALE = 7 * 24 * 3600.0
"""s. Age from which a left-over is removed where nobody can tell whether its process lives: it ran on another machine."""

ANSWER = 30.0
"""s. How long a scheduler is waited for."""

SPARE = 5
"""How often more than ``retries`` a task is given to another process of this machine, if none lives long enough to begin it."""

WORDS, TRACE = 2_000, 20_000
"""Most characters that are kept of a failure and of where it happened."""

_KEY = re.compile(r"[0-9a-f]{8,128}")
_SUFFIX = re.compile(r"(\.[0-9A-Za-z_-]+){0,3}")
_LEFT_OVER = re.compile(r"\.(?:part|run|work)-(far|[0-9a-f]{12})-([0-9]+)-[0-9a-f]{8}(?:-.*)?")


@dataclass(frozen=True)
class Task:
    """One result that is wanted.

    Args:
        key: hash of all that decides the result, in small hexadecimal digits; two tasks with the same key are the same task.
        function: ``module:name``, or a function that can be imported from the module it is written in.
        arguments: passed by name; anything that can be pickled.
        suffix: of the file, such as ``.parquet``.
        into: name of the argument that takes the path of an empty file, which the function then writes; where it is empty, the
            function returns the content of the file as bytes.

    Raises:
        BadInput: a key or suffix that cannot be part of a file's name, or a function that cannot be imported by name.
    """

    key: str
    function: str | Callable[..., Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    suffix: str = ""
    into: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.key, str) or not _KEY.fullmatch(self.key):
            raise BadInput("key", "cannot be the key of a task", got=self.key, allowed="8 to 128 digits 0-9 and a-f",
                           hint="use the hash of what decides the result")
        if not _SUFFIX.fullmatch(self.suffix) or len(self.suffix) > 32:
            raise BadInput("suffix", "cannot end the name of a file", got=self.suffix, allowed="such as .parquet, at most 32 characters")
        if self.into in self.arguments:
            raise BadInput("into", "the path is given by the runner, not among the arguments", got=self.into)
        self.address()

    def address(self) -> str:
        """The function as ``module:name``."""
        if isinstance(self.function, str):
            if not all(part.isidentifier() for part in re.split(r"[.:]", self.function)) or self.function.count(":") != 1:
                raise BadInput("function", "is not the name of a function", got=self.function, allowed="module:name")
            return self.function
        module, name = getattr(self.function, "__module__", None), getattr(self.function, "__qualname__", "")
        if module in (None, "__main__") or not name or "<" in name:
            raise BadInput("function", "cannot be imported by another process", got=repr(self.function), allowed="module:name",
                           hint="move it to the top level of a module that is not the started script")
        return f"{module}:{name}"

    def path(self, folder: str | Path) -> Path:
        """Where the result stands."""
        return Path(folder) / self.key[:2] / f"{self.key}{self.suffix}"


@dataclass(frozen=True)
class Outcome:
    """What became of the tasks; keys in the order of the tasks.

    Attributes:
        done: results that are there now and were not when the run started.
        reused: results that were there already.
        failed: what happened, by key.
    """

    done: tuple[str, ...]
    reused: tuple[str, ...]
    failed: Mapping[str, str]


class _Run(NamedTuple):
    """What all attempts of a run share."""

    folder: str
    name: str
    resume: bool
    retries: int


class _Parcel(NamedTuple):
    """A task as it travels to a worker."""

    key: str
    function: str
    arguments: bytes
    suffix: str
    into: str


class _Report(NamedTuple):
    """What travels back; ``state`` is done, failed or apart (the worker does not see the folder)."""

    state: str
    words: str = ""
    trace: str = ""


def run_tasks(tasks: Sequence[Task], folder: str | Path, workers: int | Workers = 1, cluster: str | None = None, resume: bool = True,
              retries: int = 2, progress: Progress | None = None, threads_per_task: int = 1) -> Outcome:
    """Compute the results that are missing; the files do not depend on workers, order, retries or interruptions.

    A task that raises is recorded, in the outcome and in the folder's journal, and does not stop others. A task that is running when
    its worker dies is started again, at most ``retries`` times, and then recorded. With one worker and no cluster, tasks run in this
    process, one after the other: then one that ends its process ends this one.

    Args:
        tasks: what is wanted. May make its tasks when asked, so that not all arguments are in memory.
        folder: of the results. On a cluster, driver and workers must see it under the same path.
        workers: processes on this machine, each with one task at a time; or those that are there already.
        cluster: address of a running Dask scheduler, such as ``tcp://host:8786``; needs the extra ``cluster``.
        resume: keep results that are there; otherwise they are computed again, and replaced one by one.
        retries: of a task whose worker died.
        progress: called with a sentence and a share from 0 to 1 that never falls, while no worker waits for its next task.
        threads_per_task: of numba and linear algebra in each of several workers that are started here; elsewhere the environment decides.

    Raises:
        BadInput: an argument; a function that cannot be imported; a missing extra; no scheduler; workers without the folder.
        Failed: the scheduler was lost, or no worker process starts. What is done is kept.
    """
    _check(workers, cluster, retries, threads_per_task)
    home = _home(folder)
    clean(home)
    order, missing = _plan(tasks, home, resume)
    tally = _Tally(home, order, len(missing), progress or (lambda words, share: None))
    if not missing:
        return tally.outcome()
    run = _Run(str(home), mark_of("far" if cluster is not None else _place()), resume, retries)
    mark = home / f".run-{run.name}"
    mark.touch()
    over = cluster is None
    try:
        if cluster is not None:
            with _client(cluster) as client:
                _spread(tasks, missing, run, tally, client, mark)
        elif workers == 1:
            touched = time.monotonic()
            for i in missing:
                if time.monotonic() - touched > 5.0:
                    mark.touch()  # young: nobody takes it for a left-over
                    touched = time.monotonic()
                parcel = _parcel(tasks[i])
                tally.add(tasks[i].key, parcel if isinstance(parcel, _Report) else attempt(run, parcel))
        elif isinstance(workers, Workers):
            _share(tasks, missing, run, tally, workers, mark)
        else:
            modules = sorted({tasks[i].address().partition(":")[0] for i in missing})
            with Workers(min(workers, len(missing)), threads_per_task, modules) as started:
                _share(tasks, missing, run, tally, started, mark)
        over = True
    finally:
        mark.unlink(missing_ok=True)
        if over:  # no attempt of this run is alive; on an interrupted cluster some may be
            for part in [entry.path for shelf in _shelves(home) for entry in os.scandir(shelf) if entry.name.startswith(f".part-{run.name}-")]:
                Path(part).unlink(missing_ok=True)
    return tally.outcome()


def failures(folder: str | Path) -> dict[str, str]:
    """What happened last, by key, to tasks that failed in any run of a folder; some may have been done since."""
    found: dict[str, str] = {}
    with suppress(FileNotFoundError), (Path(folder) / JOURNAL).open(encoding="utf-8", errors="replace") as file:
        for line in file:
            with suppress(ValueError, KeyError, TypeError):  # a line that a killed driver has not finished
                record = json.loads(line)
                found[str(record["key"])] = str(record["what"])
    return found


def attempt(run: _Run, parcel: _Parcel) -> _Report:
    """One attempt of a task, in the process that computes it; also what a Dask worker is given."""
    task = Task(parcel.key, parcel.function, suffix=parcel.suffix)
    target = task.path(run.folder)
    try:
        if not Path(run.folder, f".run-{run.name}").exists():
            return _Report("apart", socket.gethostname())
        if run.resume and target.is_file():
            return _Report("done")  # another driver was faster, or it died before it could tell
        target.parent.mkdir(exist_ok=True)
        parts = _parts(task, run)
        part = next((part for part in parts if _taken(part)), None)
        if part is None:  # the parts stay: this process may die, too, before the driver has asked it
            return _Report("failed", f"the process that computed it died in each of {len(parts)} attempts: a crash, a kill, or too much memory")
        try:
            given = {parcel.into: part} if parcel.into else {}
            content = resolve(parcel.function)(**pickle.loads(parcel.arguments), **given)
            _store(part, target, None if parcel.into else content)
        finally:
            part.unlink(missing_ok=True)
    except (Exception, SystemExit) as failure:
        words = str(failure) if isinstance(failure, EpiduraError) else f"{type(failure).__name__}: {failure}"
        return _Report("failed", words[:WORDS], traceback.format_exc()[-TRACE:])
    return _Report("done")


def resolve(function: str) -> Callable[..., Any]:
    """The function that ``module:name`` stands for.

    Raises:
        BadInput: there is no such module or function.
    """
    module, _, name = function.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as failure:
        raise BadInput("function", f"cannot be imported: {failure}", got=function, allowed="module:name") from None
    if not callable(found):
        raise BadInput("function", "is not a function", got=function)
    return found


def _parts(task: Task, run: _Run) -> list[Path]:
    """What the attempts of a task write into."""
    target = task.path(run.folder)
    return [target.parent / f".part-{run.name}-{task.key}-{i}{task.suffix}" for i in range(run.retries + 1)]


def _taken(part: Path) -> bool:
    """Whether this attempt is now ours: not where an earlier one has left its file."""
    try:
        part.open("xb").close()
    except FileExistsError:
        return False
    return True


def _store(part: Path, target: Path, content: object) -> None:
    """Put a result in its place: the content, or where that is None what was written into the part.

    Raises:
        BadInput: nothing was written, or something that is not bytes was returned.
    """
    if content is None:
        if not part.is_file() or not part.stat().st_size:
            raise BadInput("function", "has not written the file it was given, or returned None", allowed="bytes, or a file")
    elif not isinstance(content, bytes):
        raise BadInput("function", "returned something else", got=type(content).__name__, allowed="bytes")
    with part.open("r+b" if content is None else "wb") as file:  # made anew if another driver took it for a left-over
        if content is not None:
            file.write(content)
            file.flush()
        os.fsync(file.fileno())
    os.replace(part, target)


class _Tally:
    """What has become of the tasks so far."""

    def __init__(self, home: Path, order: Sequence[str], missing: int, progress: Progress):
        self.home, self.order, self.left, self.progress = home, order, missing, progress
        self.done: set[str] = set()
        self.failed: dict[str, str] = {}
        self.tell()

    def add(self, key: str, report: _Report) -> None:
        """One task is settled."""
        if report.state == "done":
            self.done.add(key)
        elif report.state == "failed":
            self.failed[key] = report.words
            _note(self.home, {"key": key, "when": datetime.now(UTC).isoformat(timespec="seconds"), "what": report.words, "trace": report.trace})
        self.left -= 1
        self.tell()

    def tell(self, words: str = "") -> None:
        total = len(self.order)
        failed = f", {len(self.failed)} failed" if self.failed else ""
        self.progress(words or f"{total - self.left} of {total} tasks{failed}", 1.0 - self.left / max(total, 1))

    def outcome(self) -> Outcome:
        kept = tuple(key for key in self.order if key not in self.done and key not in self.failed)
        return Outcome(tuple(key for key in self.order if key in self.done), kept,
                       {key: self.failed[key] for key in self.order if key in self.failed})


def _note(home: Path, record: dict[str, str]) -> None:
    """Add a line to the journal in one piece, after the end of one that was cut off."""
    path = home / JOURNAL
    line = json.dumps(record) + "\n"
    with suppress(OSError), path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            line = "\n" + line
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def _check(workers: int | Workers, cluster: str | None, retries: int, threads: int) -> None:
    count = workers.count if isinstance(workers, Workers) else workers
    for name, value, least in (("workers", count, 1), ("retries", retries, 0), ("threads_per_task", threads, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise BadInput(name, "is not a number that can be used", got=value, allowed=f"a whole number from {least}")
    if cluster is not None and not re.fullmatch(r"[a-z]+://\S+", cluster):
        raise BadInput("cluster", "is not the address of a scheduler", got=cluster, allowed="such as tcp://host:8786")
    if cluster is not None and workers != 1:
        raise BadInput("workers", "a cluster has its own workers", got=count, allowed="workers or cluster, not both")


def _home(folder: str | Path) -> Path:
    """The folder of the results, made and tried."""
    home = Path(folder).absolute()
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as failure:
        raise BadInput(str(folder), f"cannot be written to: {failure.strerror}", allowed="a folder that can be written to") from None
    return home


def _plan(tasks: Sequence[Task], home: Path, resume: bool) -> tuple[tuple[str, ...], list[int]]:
    """Keys in order, and the places of the tasks whose results are missing.

    Raises:
        BadInput: a function that cannot be imported, or one key with two suffixes.
    """
    there = {entry.name for shelf in _shelves(home) for entry in os.scandir(shelf) if entry.is_file()} if resume else set()
    names: dict[str, str] = {}
    missing, functions = [], set()
    for i, task in enumerate(tasks):
        name = f"{task.key}{task.suffix}"
        if task.key in names:
            if names[task.key] != name:
                raise BadInput(f"tasks[{i}]", "has the key of an earlier task and another suffix", got=name, allowed=names[task.key])
            continue
        names[task.key] = name
        if name not in there:
            missing.append(i)
            functions.add(task.address())
    for function in sorted(functions):
        resolve(function)
    return tuple(names), missing


def _shelves(home: Path) -> list[Path]:
    return [home / entry.name for entry in os.scandir(home) if re.fullmatch("[0-9a-f]{2}", entry.name) and entry.is_dir()]


def _parcel(task: Task) -> _Parcel | _Report:
    """The task as it travels; a report where its arguments cannot be pickled."""
    try:
        arguments = pickle.dumps(dict(task.arguments))
    except Exception as failure:  # whatever an argument's own code raises
        return _Report("failed", f"its arguments cannot be pickled: {type(failure).__name__}: {failure}"[:WORDS])
    return _Parcel(task.key, task.address(), arguments, task.suffix, task.into)


def _place() -> str:
    """Where process numbers mean the same: this machine since it was started, this container."""
    known = socket.gethostname()
    with suppress(OSError):
        known += Path("/proc/sys/kernel/random/boot_id").read_text() + os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(known.encode()).hexdigest()[:12]


def mark_of(place: str = "") -> str:
    """What ``.part-`` is followed by in the names of what this process may leave behind: ``clean`` removes it when the process is gone."""
    return f"{place or _place()}-{os.getpid()}-{secrets.token_hex(4)}"


def clean(home: Path) -> None:
    """Remove what drivers and writers that no longer live have left. Results are never touched."""
    here = _place()
    for entry in [entry for folder in (home, *_shelves(home)) for entry in os.scandir(folder)]:
        named = _LEFT_OVER.fullmatch(entry.name)
        if not named:
            continue
        with suppress(FileNotFoundError):  # another driver was faster
            if named[1] == here and os.name == "posix":
                left = not _lives(int(named[2]))
            else:
                left = time.time() - entry.stat(follow_symlinks=False).st_mtime > STALE
            if left and entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            elif left:
                os.unlink(entry.path)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # somebody else's; no number of a process here
        return True
    return True


def _share(tasks: Sequence[Task], missing: list[int], run: _Run, tally: _Tally, workers: Workers, mark: Path) -> None:
    """Keep processes of this machine supplied until every task is settled.

    A task whose process dies is given again, and whether it still runs is decided by ``attempt``.
    """
    ahead, again, deaths = iter(missing), deque[int](), dict[int, int]()
    flying, settled, touched = 0, deque[tuple[str, _Report]](), time.monotonic()
    while True:
        while workers.idle:
            i = again.popleft() if again else next(ahead, None)
            if i is None:
                break
            parcel = _parcel(tasks[i])
            if isinstance(parcel, _Report):
                settled.append((tasks[i].key, parcel))
            else:
                workers.give(str(i), "epidura.tasks:attempt", run, parcel)
                flying += 1
        while settled:  # all workers have something to do
            tally.add(*settled.popleft())
        if time.monotonic() - touched > 5.0:
            mark.touch()
            touched = time.monotonic()
        if not flying:
            return
        if (answer := workers.next(timeout=1.0)) is None:
            continue
        flying -= 1
        i, report = int(answer[0]), answer[1]
        if report is None and run.resume and tasks[i].path(run.folder).is_file():
            report = _Report("done")  # it died before it could tell
        if report is None:
            deaths[i] = deaths.get(i, 0) + 1
            if deaths[i] <= run.retries + SPARE:
                again.append(i)
                continue
            report = _Report("failed", f"{deaths[i]} processes that should have computed it died before they could start it")
        settled.append((tasks[i].key, report))


def _spread(tasks: Sequence[Task], missing: list[int], run: _Run, tally: _Tally, client: Any, mark: Path) -> None:
    """Keep the workers of a Dask client supplied until every task is settled.

    Few tasks are with the scheduler at a time, so that memory does not grow with their number. A task that the scheduler gives up
    may only have waited in processes that died: it is handed in again, and whether it runs is decided by ``attempt``.
    """
    from distributed import CancelledError, KilledWorker

    ahead, again, strikes = iter(missing), deque[int](), dict[int, int]()
    settled: queue.SimpleQueue[str] = queue.SimpleQueue()
    flying: dict[str, tuple[Any, int]] = {}
    window, looked = 32, -1e9
    while True:
        now = time.monotonic()
        if now - looked > 5.0:
            with suppress(OSError):  # if the scheduler is lost, its futures say so
                threads = sum(client.nthreads().values())
                window, looked = max(32, 4 * threads), now
                mark.touch()
                if not threads:
                    tally.tell("waiting for workers")
        while len(flying) < window:
            i = next(ahead, None)
            if i is None:
                if not again:
                    break
                i = again.popleft()
            task = tasks[i]
            parcel = _parcel(task)
            if isinstance(parcel, _Report):
                tally.add(task.key, parcel)
                continue
            future = client.submit(attempt, run, parcel, key=f"{run.name}-{task.key}-{strikes.get(i, 0)}", pure=False)
            flying[future.key] = (future, i)
            future.add_done_callback(lambda future: settled.put(future.key))
        if not flying:
            return
        try:
            future, i = flying.pop(settled.get(timeout=1.0))
        except queue.Empty:
            continue
        key = tasks[i].key
        try:
            # a worker may die before it can be asked; what is on the disk needs no asking
            report = _Report("done") if run.resume and tasks[i].path(run.folder).is_file() else future.result(timeout=2.0)
        except TimeoutError:  # it did die, and the task is run again
            flying[future.key] = (future, i)
            future.add_done_callback(lambda future: settled.put(future.key))
            continue
        except KilledWorker as killed:
            strikes[i] = strikes.get(i, 0) + 1
            if strikes[i] <= max(run.retries, 3):
                again.append(i)
                continue
            report = _Report("failed", f"workers died before they could start it: {killed}"[:WORDS])
        except (CancelledError, OSError):
            raise Failed("the scheduler was lost, or has cancelled tasks; what is done is kept: run again with resume") from None
        except Exception as failure:  # it did not even start: the worker lacks Epidura, or has another version
            report = _Report("failed", f"the worker could not start it: {type(failure).__name__}: {failure}"[:WORDS])
        future.release()  # or it would be computed again if the worker that keeps the report dies
        if report.state == "apart":
            raise BadInput("folder", f"the worker on {report.words} does not see it", got=run.folder, allowed="one folder that all machines share",
                           hint="mount it under the same path everywhere")
        tally.add(key, report)


@contextmanager
def _client(cluster: str) -> Iterator[Any]:
    """A Dask client of a running scheduler.

    Raises:
        BadInput: Dask is not installed, or no scheduler answers.
    """
    try:
        from distributed import Client
    except ImportError:
        raise BadInput("cluster", "needs Dask, which is not installed", got=cluster, hint="pip install 'epidura[cluster]'") from None
    with _silent("distributed.client"):  # a lost scheduler is an error, said once
        try:
            client = Client(cluster, timeout=ANSWER, set_as_default=False)
        except (OSError, ValueError) as failure:  # ValueError: a scheme or port that does not exist
            raise BadInput("cluster", f"no scheduler answers: {failure}", got=cluster, hint="start one with: dask scheduler") from None
        with client:
            yield client


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """A logger that says nothing."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
