"""Writers who are made to wait in line, so that one of them does the work of all."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from epidura.clinic.store.line import Line


def together(line: Line, threads: Sequence[threading.Thread]) -> None:
    """Start threads that each put a job in line, in this order; the first one does all jobs once the last one waits."""
    assert not line._led
    line._led = True  # as if somebody were writing: all of them wait in line
    for number, each in enumerate(threads):
        each.start()
        while len(line._waiting) <= number:
            time.sleep(0.001)
    line._waiting[0].woken.set()
    for each in threads:
        each.join(timeout=60)
