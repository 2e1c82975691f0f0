"""Processes on this machine that compute what they are given, one thing at a time each.

    with Workers(2, load="epidura.cohort") as workers:
        workers.give("a", "epidura.tasks:attempt", run, parcel)
        name, found = workers.next()

The modules in ``load`` are imported once, in a process that does nothing else; the workers are forks of it. So they begin at once, share their
memory, and one that died is soon replaced. Fork copies no thread but the one that calls it: that process has no other. Where there is no fork, each
worker is a process that imports for itself. Nothing of the script that asks for workers is read by them, so it needs no guard.

A worker whose driver dies ends at once, whatever it does. It listens on a socket or pipe that nobody else holds, so there is no port.
"""

from __future__ import annotations

import importlib
import os
import pickle
import queue
import signal
import socket
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any, Self

from epidura.errors import Failed

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS")
"""What linear algebra and numba read when they are imported."""

FORKS = hasattr(os, "fork") and hasattr(socket, "send_fds") and sys.platform != "darwin"
"""Whether workers are forks; libraries of macOS do not survive it."""

STARTS = 5
"""How many processes in a row, for each that is wanted, may die before they could say that they have begun."""

GRACE = 1.0
"""s. How long a worker may take to end that has been told to."""

_HEAD = struct.Struct("!Q")


@dataclass
class _Worker:
    """A process, as the driver sees it.

    Attributes:
        to, of: what is written to and read from it.
        tell_end: lets it know that there is no more.
        kill: ends it, whatever it does; only while it lives.
        wait: for an end that has come.
        holds: name of what it computes; None: nothing.
        process: its number, once it has said that it is there.
    """

    to: IO[bytes]
    of: IO[bytes]
    tell_end: Callable[[], None]
    kill: Callable[[], None]
    wait: Callable[[], object]
    holds: str | None = None
    process: int = 0
    listener: threading.Thread | None = field(default=None, repr=False)


class Workers:
    """Processes on this machine, there until the end of the block.

    Args:
        count: how many.
        threads: of numba and linear algebra in each.
        load: modules that they import before anything else, while the driver goes on; or ``module:name``, which is then called.
    """

    def __init__(self, count: int, threads: int = 1, load: Sequence[str] | str = ()):
        self.count = count
        self._environment = {**os.environ, **dict.fromkeys(THREADS, str(threads))}
        self._load = (load,) if isinstance(load, str) else tuple(load)
        self._heard: queue.SimpleQueue[tuple[_Worker, bytes | None]] = queue.SimpleQueue()
        self._all: list[_Worker] = []
        self._deaths = 0
        self._source: tuple[subprocess.Popen[bytes], socket.socket] | None = None

    def __enter__(self) -> Self:
        try:
            self._all = [self._start() for _ in range(self.count)]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._all:
            with suppress(OSError):
                worker.tell_end()
        if not all(worker.process for worker in self._all):
            self._end_source(0.0)  # there is no need to read on
        for worker in self._all:
            _forget(worker)
        self._all = []
        self._end_source(GRACE)

    @property
    def idle(self) -> int:
        """How many compute nothing."""
        return sum(worker.holds is None for worker in self._all)

    def give(self, name: str, function: str, *arguments: object) -> None:
        """Let an idle worker call ``module:name``.

        Args:
            name: of what is computed, for ``next``.
            function: to call.
            arguments: that can be pickled, as can what it returns; it may not raise.
        """
        worker = min((one for one in self._all if one.holds is None), key=lambda one: not one.process)
        worker.holds = name
        content = pickle.dumps((function, arguments))
        with suppress(OSError):  # it has died, which its listener says
            worker.to.write(_HEAD.pack(len(content)) + content)
            worker.to.flush()

    def next(self, timeout: float | None = None) -> tuple[str, Any] | None:
        """What a worker has found, by the name under which it was given; None for one that died with it, which is replaced.

        Returns:
            nothing if nobody says anything for ``timeout`` s.

        Raises:
            Failed: no process comes into being.
        """
        while True:
            try:
                worker, content = self._heard.get(timeout=timeout)
            except queue.Empty:
                return None
            if content is None:
                self._replace(worker)
            elif not worker.process:
                worker.process, self._deaths = pickle.loads(content), 0
                continue
            held, worker.holds = worker.holds, None
            if held is not None:
                return held, None if content is None else pickle.loads(content)

    def _replace(self, worker: _Worker) -> None:
        self._all.remove(worker)
        _forget(worker)
        self._deaths += not worker.process
        if self._deaths >= STARTS * self.count:
            raise Failed(f"no worker process starts: {self._deaths} in a row ended while they read {', '.join(self._load) or 'Epidura'}")
        self._all.append(self._start())

    def _start(self) -> _Worker:
        worker = self._fork() if FORKS else self._spawn()
        worker.listener = threading.Thread(target=_listen, args=(worker, self._heard), name="listens to a worker", daemon=True)
        worker.listener.start()
        return worker

    def _fork(self) -> _Worker:
        """A worker from the process that has read everything."""
        near, far = socket.socketpair()
        with far:
            try:
                socket.send_fds(self._forking(), [b"+"], [far.fileno()])
            except OSError:  # that process is gone: another one. If this goes, too, so does the other end, which the listener finds
                self._end_source(0.0)
                with suppress(OSError):
                    socket.send_fds(self._forking(), [b"+"], [far.fileno()])

        def kill() -> None:
            if worker.process:
                os.kill(worker.process, signal.SIGKILL)

        with near:  # closed when both files are
            worker = _Worker(near.makefile("wb"), near.makefile("rb"), lambda: near.shutdown(socket.SHUT_WR), kill, lambda: None)
        return worker

    def _forking(self) -> socket.socket:
        """How the process is reached that has read everything; started if it is not there."""
        if self._source is None:
            ours, theirs = socket.socketpair()
            with theirs:
                self._source = subprocess.Popen(_command(f"bear({theirs.fileno()}, {self._load!r})"), env=self._environment,
                                                stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),)), ours
        return self._source[1]

    def _end_source(self, patience: float) -> None:
        """End the process that has read everything; the workers do not need it, but only it knows the time they took."""
        if self._source is not None:
            process, control = self._source
            control.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=patience)
            process.kill()
            process.wait()
            self._source = None

    def _spawn(self) -> _Worker:
        """A worker that reads everything for itself."""
        process = subprocess.Popen(_command(f"alone({self._load!r})"), env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        return _Worker(process.stdin, process.stdout, process.stdin.close, process.kill, process.wait)


def _command(call: str) -> list[str]:
    """A Python that finds the modules that this one finds."""
    return [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; from epidura import workers; workers.{call}"]


def _forget(worker: _Worker) -> None:
    """Close what belongs to a worker that has ended, or been told to; one that does not is killed."""
    if worker.listener is not None:
        worker.listener.join(timeout=GRACE)
        while worker.listener.is_alive():  # so the process is, and its number is its own
            worker.kill()
            worker.listener.join(timeout=GRACE)
    worker.wait()
    for end in (worker.to, worker.of):
        with suppress(OSError):
            end.close()


def _listen(worker: _Worker, heard: queue.SimpleQueue[tuple[_Worker, bytes | None]]) -> None:
    """Hand on what a worker says; None at its end."""
    while (content := _message(worker.of)) is not None:
        heard.put((worker, content))
    heard.put((worker, None))


def _message(source: IO[bytes]) -> bytes | None:
    """The next message; None at the end, also within one."""
    with suppress(OSError, ValueError):  # ValueError: closed on this side
        head = source.read(_HEAD.size)
        if len(head) == _HEAD.size:
            content = source.read(_HEAD.unpack(head)[0])
            if len(content) == _HEAD.unpack(head)[0]:
                return content
    return None


# --- in the processes ---


def bear(control: int, load: Sequence[str]) -> None:
    """The process whose forks are the workers: read what they need, then fork for every socket that the driver sends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides
    os.dup2(2, 1)  # what tasks print goes where errors go
    _read(load)
    signal.signal(signal.SIGCHLD, lambda *_: _bury(os.WNOHANG))
    with socket.socket(fileno=control) as calls:
        while True:
            said, ends, _, _ = socket.recv_fds(calls, 1, 1)
            if not said:
                _bury(0)
                os._exit(0)
            if os.fork() == 0:
                calls.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                with socket.socket(fileno=ends[0]) as driver:
                    _serve(driver.makefile("rb"), driver.makefile("wb"))
            os.close(ends[0])


def _bury(how: int) -> None:
    """Wait for forks that have ended, so that the time they took counts; for all, or with ``os.WNOHANG`` for those that have."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, how)[0]:
            pass


def alone(load: Sequence[str]) -> None:
    """A worker that is not a fork."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, target = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)  # as above
    _read(load)
    _serve(source, target)


def _read(load: Sequence[str]) -> None:
    for item in load:
        module, _, name = item.partition(":")
        with suppress(Exception):  # whoever calls a function of it learns why
            found = importlib.import_module(module)
            if name:
                getattr(found, name)()


def _serve(source: IO[bytes], target: IO[bytes]) -> None:
    """Compute until the driver has no more, or is gone; does not return."""
    given: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def listen() -> None:
        while (content := _message(source)) is not None:
            given.put(content)
        os._exit(0)

    def tell(content: bytes) -> None:
        target.write(_HEAD.pack(len(content)) + content)
        target.flush()

    try:
        tell(pickle.dumps(os.getpid()))
        threading.Thread(target=listen, daemon=True).start()
        while True:
            function, arguments = pickle.loads(given.get())
            module, _, name = function.partition(":")
            tell(pickle.dumps(getattr(importlib.import_module(module), name)(*arguments)))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)
