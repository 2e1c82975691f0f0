"""What was computed for single fibres, kept for when they come again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from threading import Lock

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Shelf:
    """Rows of numbers by key; the one that was asked for longest ago is given up first.

    Args:
        most: rows that are kept.
    """

    def __init__(self, most: int):
        self.most = most
        self._lock = Lock()
        self._kept: OrderedDict[Hashable, Floats] = OrderedDict()

    def rows(self, keys: Sequence[Hashable], make: Callable[[NDArray[np.intp]], Floats]) -> Floats:
        """(keys, k) the row of each key, those that are missing made together: ``make`` takes their places and gives a row for each."""
        with self._lock:
            found = [self._kept.get(key) for key in keys]
        missing = np.array([i for i, row in enumerate(found) if row is None], np.intp)
        if missing.size:
            for i, row in zip(missing.tolist(), make(missing), strict=True):
                found[i] = row.copy()  # a view would keep all of them
        with self._lock:
            for key, row in zip(keys, found, strict=True):
                assert row is not None
                self._kept[key] = row
                self._kept.move_to_end(key)
            while len(self._kept) > self.most:
                self._kept.popitem(last=False)
        return np.stack(found)  # type: ignore[arg-type]
