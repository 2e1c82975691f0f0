"""Who watches a solve hears of every part of it, and can end it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import spine_models as models
from test_field_solve import canal  # noqa: F401 - a fixture

from epidura.field import solve_field
from epidura.numerics.iteration import solve_touches
from epidura.numerics.multigrid import solve_multigrid
from epidura.product import Canal


class Enough(Exception):
    pass


def after(words: str) -> tuple[list[tuple[str, float]], object]:
    """A watch that has enough once it hears these words, and what it heard."""
    heard: list[tuple[str, float]] = []

    def watch(said: str, share: float) -> None:
        heard.append((said, share))
        if words and words in said:
            raise Enough

    return heard, watch


@pytest.mark.parametrize("solve", [solve_touches, solve_multigrid])
def test_an_iteration_tells_each_step_and_changes_nothing(solve) -> None:
    m = models.lead_model("tip")
    heard, watch = after("")
    got, want = solve(m.spine, m.z, m.touches, 1e-6, watch=watch), solve(m.spine, m.z, m.touches, 1e-6)
    np.testing.assert_array_equal(got.values, want.values)
    assert sum(", step " in words for words, _ in heard) == got.iterations > 2
    shares = [share for _, share in heard]
    assert shares[0] == 0.0
    assert shares[-1] < 1.0
    assert sorted(share for words, share in heard if "step" in words) == [share for words, share in heard if "step" in words]


@pytest.mark.parametrize(("solve", "words"), [(solve_touches, "preparing"), (solve_touches, "step 2"), (solve_multigrid, "step 2")])
def test_what_a_watch_raises_ends_an_iteration(solve, words) -> None:
    m = models.lead_model("tip")
    heard, watch = after(words)
    with pytest.raises(Enough):
        solve(m.spine, m.z, m.touches, 1e-6, watch=watch)
    assert words in heard[-1][0]


def test_a_cancelled_field_leaves_nothing_in_the_cache(canal: Canal, tmp_path: Path) -> None:  # noqa: F811
    heard, watch = after("potentials of the modes")
    with pytest.raises(Enough):
        solve_field(canal, tmp_path, watch=watch)
    assert [share for _, share in heard] == sorted(share for _, share in heard)
    assert not list(tmp_path.rglob("*"))
    solve_field(canal, tmp_path)
    heard, watch = after("")
    assert solve_field(canal, tmp_path, watch=watch).notes["cached"] == 1.0
    assert not heard  # what is read is not watched
