"""Long work behind a page: started, watched, cancelled, collected.

A job belongs to the person who started it. A new one in the same slot cancels the one before: the latest wins. Jobs are kept in memory; after a
restart of the server a page asks for its work again, and what was already computed lies in the cache.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from epidura.errors import BadInput, Failed

log = logging.getLogger("epidura.api")

Progress = Callable[[str, float], None]
Work = Callable[[Progress], Any]

KEPT = 900.0
"""Seconds that the result of a job is kept after its end."""
MOST = 200
"""Jobs that are kept at once, ended ones included. Choice of this project."""


class Cancelled(Exception):
    """Raised inside a job's work where it reports progress after somebody cancelled it."""


@dataclass
class Job:
    """One piece of work.

    Attributes:
        id: unguessable.
        owner: who started it.
        slot: what it is for; empty: nothing replaces it.
        state: waiting, running, done, failed or cancelled.
        words, share: how far it is, a sentence and 0 to 1.
        result: what the work returned.
        error: what it was refused with; of a defect of ours the server's log says more.
    """

    id: str
    owner: str
    slot: str
    state: str = "waiting"
    words: str = ""
    share: float = 0.0
    result: Any = None
    error: BadInput | Failed | Exception | None = None
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    def seconds(self) -> float:
        """Since it was started, or that it took."""
        return (time.monotonic() if self.ended is None else self.ended) - self.began


class Jobs:
    """All jobs of a server.

    Args:
        workers: that run at once; others wait.
    """

    def __init__(self, workers: int = 2):
        self._pool, self._lock = ThreadPoolExecutor(workers, thread_name_prefix="epidura-job"), threading.Lock()
        self._jobs: dict[str, Job] = {}

    def start(self, owner: str, work: Work, slot: str = "") -> Job:
        """Start work; an unfinished job of the same owner and slot is cancelled.

        Args:
            work: called with ``progress(words, share)``, which raises ``Cancelled`` when the job shall end.

        Raises:
            Failed: too many jobs are unfinished.
        """
        with self._lock:
            self._forget()
            if sum(not job.over for job in self._jobs.values()) >= MOST:
                raise Failed("jobs: too much is waiting to be computed; cancel something or try again later")
            for other in self._jobs.values():
                if slot and other.owner == owner and other.slot == slot and not other.over:
                    self._cancel(other)
            job = Job(secrets.token_urlsafe(12), owner, slot)
            self._jobs[job.id] = job
        self._pool.submit(self._run, job, work)
        return job

    def get(self, owner: str, name: str) -> Job | None:
        """A job of this owner, or None."""
        with self._lock:
            job = self._jobs.get(name)
        return job if job is not None and job.owner == owner else None

    def cancel(self, job: Job) -> None:
        """Ask a job to end; one that waits ends at once, one that runs where it next reports progress."""
        with self._lock:
            self._cancel(job)

    def close(self) -> None:
        """Cancel everything and start nothing more."""
        with self._lock:
            for job in self._jobs.values():
                if not job.over:
                    self._cancel(job)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _cancel(self, job: Job) -> None:
        job.stop.set()
        if job.state == "waiting":
            self._end(job, "cancelled")

    def _run(self, job: Job, work: Work) -> None:
        with self._lock:
            if job.over:
                return
            job.state = "running"

        def progress(words: str, share: float) -> None:
            if job.stop.is_set():
                raise Cancelled
            job.words, job.share = words, min(max(float(share), 0.0), 1.0)

        try:
            result = work(progress)
            progress(job.words, 1.0)
        except Cancelled:
            self._end(job, "cancelled")
        except (BadInput, Failed) as error:
            job.error = error
            self._end(job, "failed")
        except Exception as error:
            log.exception("job", exc_info=error)
            job.error = error
            self._end(job, "failed")
        else:
            job.result = result
            self._end(job, "done")

    @staticmethod
    def _end(job: Job, state: str) -> None:
        job.ended = time.monotonic()
        job.state = state

    def _forget(self) -> None:
        now = time.monotonic()
        old = [name for name, job in self._jobs.items() if job.ended is not None and now - job.ended > KEPT]
        ended = sorted((job for job in self._jobs.values() if job.over), key=lambda job: job.ended or 0.0)
        for name in {*old, *(job.id for job in ended[:max(0, len(self._jobs) - MOST)])}:
            self._jobs.pop(name, None)
