"""Tasks for the tests of the runner, some of which end their process; as a script, a driver that can be killed."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

from epidura.errors import BadInput
from epidura.tasks import Task, run_tasks


def key(*parts: object) -> str:
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


def number(n: int, pause: float = 0.0, log: str = "") -> bytes:
    """Bytes that follow from a number; says in ``log`` which process computes."""
    if log:
        Path(log, f"{os.getpid()}-{n}").touch()
    time.sleep(pause)
    return hashlib.sha256(str(n).encode()).hexdigest().encode() * (1 + n % 7)


def write(path: Path, n: int, pause: float = 0.0) -> None:
    """The same bytes, written in two halves."""
    content = number(n)
    with path.open("wb") as file:
        file.write(content[:20])
        file.flush()
        time.sleep(pause)
        file.write(content[20:])


def die(how: str, log: str = "") -> bytes:
    if log:
        Path(log, f"died-{os.getpid()}").touch()  # never twice by one process
    if how == "exit":
        os._exit(3)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    ctypes.string_at(0)
    return b"still here"


def die_at_first(flag: str) -> bytes:
    if not Path(flag).exists():
        Path(flag).touch()
        os._exit(1)
    return b"second attempt"


def complain(what: str) -> bytes:
    if what == "input":
        raise BadInput("patient.age", "is too young", got=7, allowed="18 and more")
    if what == "leave":
        sys.exit(3)
    if what == "text":
        return "not bytes"  # type: ignore[return-value]
    raise Awkward({"what": what})


class Awkward(Exception):
    """An error that no other process can read."""

    def __reduce__(self) -> str:
        raise TypeError("cannot be pickled")


class Trap:
    """An argument that ends the process that unpacks it."""

    def __init__(self, log: str):
        self.log = log

    def __reduce__(self) -> tuple[object, ...]:
        return die, ("exit", self.log)


def unlink_parts(shelf: str) -> bytes:
    """What another driver does that takes this process for dead."""
    for file in Path(shelf).glob(".part-*"):
        file.unlink()
    return b"there"


def nothing(path: Path) -> None:
    pass


def threads() -> bytes:
    import numba

    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    return json.dumps([*(os.environ.get(name) for name in names), numba.get_num_threads()]).encode()


def numbers(count: int, pause: float = 0.0, log: str = "") -> list[Task]:
    """Half of them return bytes, half write a file; keys do not know of ``pause`` and ``log``, which do not change the result."""
    half = [Task(key("number", n), number, {"n": n, "pause": pause, "log": log}, ".txt") for n in range(0, count, 2)]
    other = [Task(key("write", n), write, {"n": n, "pause": pause}, ".txt", into="path") for n in range(1, count, 2)]
    return [task for pair in zip(half, other, strict=True) for task in pair]


if __name__ == "__main__":
    import kill_tasks  # the functions of a started script have no name in other processes

    chosen = json.loads(sys.argv[1])
    outcome = run_tasks(kill_tasks.numbers(**chosen["numbers"]), **chosen["run"])
    print(json.dumps({"done": outcome.done, "reused": outcome.reused, "failed": outcome.failed}))
