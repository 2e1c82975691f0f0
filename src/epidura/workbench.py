"""What the page of the workbench asks for again and again, kept in memory: canals, fields, fibres.

    bench = Bench()
    bench.lead_field(case)          # solved, or read from the cache on disk
    bench.lead_field(case)          # at once

The page changes programs a hundred times for one position of the leads, and programs never reach the field.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from epidura.canal import build_canal
from epidura.case import Case
from epidura.field import solve_field
from epidura.numerics.iteration import Watch
from epidura.product import Canal, LeadField
from epidura.study import cache_folder

MOST = 4
"""Products of one kind that are kept; a field of a canal that varies along the spine takes up to 200 MB. Choice of this project."""


MESHED = 0.05
"""Share of the time of a field that its mesh takes, for who watches: measured, a round figure."""


def case_key(case: Case, *parts: str) -> str:
    """Hexadecimal digest of what some parts of a case say, such as ``anatomy`` and ``leads``."""
    written = case.model_dump(mode="json")
    return hashlib.sha256(json.dumps([written.get(part) for part in parts], sort_keys=True).encode()).hexdigest()


class Bench:
    """Products by what they depend on; the longest unused ones are let go.

    Args:
        most: of one kind.
        disk: keep fields on disk, too.
    """

    def __init__(self, most: int = MOST, disk: bool = True):
        self.most, self.disk, self._lock = most, disk, threading.Lock()
        self._kept: dict[str, OrderedDict[str, Any]] = {}
        self._making: dict[tuple[str, str], threading.Lock] = {}

    def keep(self, kind: str, key: str, make: Callable[[], Any]) -> Any:
        """What stands under a key, made if it does not; whoever asks while it is made waits for it."""
        with self._lock:
            shelf = self._kept.setdefault(kind, OrderedDict())
            if key in shelf:
                shelf.move_to_end(key)
                return shelf[key]
            making = self._making.setdefault((kind, key), threading.Lock())
        with making:
            with self._lock:
                if key in shelf:
                    return shelf[key]
            made = make()
            with self._lock:
                shelf[key] = made
                while len(shelf) > self.most:
                    shelf.popitem(last=False)
                self._making.pop((kind, key), None)
        return made

    def has(self, kind: str, key: str) -> bool:
        """Whether something is kept under a key."""
        with self._lock:
            return key in self._kept.get(kind, ())

    def field_ready(self, case: Case, accuracy: str = "standard") -> bool:
        """Whether the lead field of a case is at hand without solving or reading anything."""
        return self.has("field", f"{accuracy} {case_key(case, 'anatomy', 'leads')}")

    def canal(self, case: Case, accuracy: str = "standard") -> Canal:
        """The canal of a case with its leads, meshed.

        Raises:
            BadInput: as ``build_canal``.
        """
        found: Canal = self.keep("canal", f"{accuracy} {case_key(case, 'anatomy', 'leads')}",
                                 lambda: build_canal(case.anatomy, case.leads, accuracy=accuracy))
        return found

    def lead_field(self, case: Case, accuracy: str = "standard", watch: Watch | None = None) -> LeadField:
        """The lead field of a case.

        Args:
            watch: told in words what is done and which share of it; what it raises ends the work, and nothing is kept.

        Raises:
            BadInput: as ``build_canal`` and ``solve_field``.
        """
        def make() -> LeadField:
            if watch is not None:
                watch("meshing the canal", 0.0)
            canal = self.canal(case, accuracy)
            return solve_field(canal, cache=cache_folder() if self.disk else None,
                               watch=None if watch is None else lambda words, share: watch(words, MESHED + (1 - MESHED) * share))

        found: LeadField = self.keep("field", f"{accuracy} {case_key(case, 'anatomy', 'leads')}", make)
        return found
