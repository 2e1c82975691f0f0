"""Writers of one process in line: who comes first writes for all who wait by then, so that they share a transaction and its wait for the disk."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from epidura.errors import Failed

BATCH = 64
"""Jobs that share a disk write at most."""

Job = TypeVar("Job")


@dataclass
class _Place(Generic[Job]):
    job: Job
    woken: threading.Event = field(default_factory=threading.Event)
    done: bool = False
    stopped: bool = False


class Line(Generic[Job]):
    """Jobs in the order in which they came.

    Args:
        work: does some jobs together, and notes in each what became of it; raises only what stops the process.
    """

    def __init__(self, work: Callable[[list[Job]], None]):
        self._work = work
        self._waiting: deque[_Place[Job]] = deque()
        self._lock, self._led = threading.Lock(), False

    def do(self, job: Job) -> None:
        """Have a job done; it is when this returns. Whoever did some hands on to the next in line.

        Raises:
            Failed: who did it was stopped.
        """
        place = _Place(job)
        with self._lock:
            self._waiting.append(place)
            first, self._led = not self._led, True
        if not first:
            place.woken.wait()
        if not place.done:  # at the head of the line
            with self._lock:
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            whole = False
            try:
                self._work([each.job for each in batch])
                whole = True
            finally:
                for each in batch:
                    each.done, each.stopped = True, not whole
                    each.woken.set()
                with self._lock:
                    if self._waiting:
                        self._waiting[0].woken.set()
                    else:
                        self._led = False
        if place.stopped:
            raise Failed("store: the writer was stopped, nothing was written; try again")
