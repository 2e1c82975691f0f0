"""One thread for the linear algebra of small matrices: its own threads wait for each other longer than they compute, and threads that already fill
the processor then wait for them too."""

from __future__ import annotations

from functools import cache
from threading import Lock
from types import TracebackType
from typing import Any

from threadpoolctl import ThreadpoolController


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()  # looks through all libraries that are loaded, once


class OneThread:
    """While anybody is inside, BLAS has one thread. The limit is the process's, so that the last one out takes it away, whoever came first."""

    _lock, _inside, _limit = Lock(), 0, None

    def __enter__(self) -> None:
        of: Any = OneThread
        with of._lock:
            if of._inside == 0:
                of._limit = _controller().limit(limits=1, user_api="blas")
            of._inside += 1

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None) -> None:
        of: Any = OneThread
        with of._lock:
            of._inside -= 1
            if of._inside == 0:
                of._limit.restore_original_limits()
