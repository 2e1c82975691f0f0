"""Rows that are kept by key."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epidura.numerics.shelf import Shelf


def test_only_what_is_missing_is_made_and_what_was_asked_for_longest_ago_goes_first() -> None:
    made: list[list[int]] = []
    keys = ["a", "b", "c", "d"]

    def make(of: list[str], missing: NDArray[np.intp]) -> NDArray[np.float64]:
        made.append([keys.index(of[i]) for i in missing])
        return np.array([[10.0 * keys.index(of[i]), 1.0] for i in missing])

    shelf = Shelf(3)

    def ask(of: list[str]) -> list[float]:
        rows = shelf.rows(of, lambda missing: make(of, missing))
        assert rows.shape == (len(of), 2)
        return rows[:, 0].tolist()

    assert ask(["b", "a"]) == [10.0, 0.0]
    assert ask(["a", "c", "b"]) == [0.0, 20.0, 10.0]
    assert ask(["a", "d"]) == [0.0, 30.0]  # c is older than a now
    assert ask(["b", "c"]) == [10.0, 20.0]
    assert made == [[1, 0], [2], [3], [2]]
    assert ask(["a", "a"]) == [0.0, 0.0]
