"""Leads that move: when, what they then reach once they are programmed anew, and who needs an operation.

A lead that has moved reaches the pain with other contacts (``virtual.Surrogate.sessions``). If a session wins back enough of what was reached, the
patient goes on with that; if not, a lead of the definitive stage is put back by a revision, and one of the trial stage stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epidura.product import Floats

Flags = NDArray[np.bool_]

SHARE, KEEP = "migration of implanted leads", "share of the reach that reprogramming has to win back"
"""Rows of data/stages.csv."""


@dataclass(frozen=True)
class Moved:
    """What leads reach once they have moved and a session was held.

    Attributes:
        reach: (n,) of the leads of the definitive stage, in the unit of ``reach`` of ``stages.simulate``.
        tried_reach: (n,) of those of the trial stage; as ``reach`` if left out, and the same where the leads stay.
    """

    reach: ArrayLike
    tried_reach: ArrayLike | None = None


@dataclass(frozen=True)
class Move:
    """The movement of the leads of each patient.

    Attributes:
        when: (n,) months; inf: never.
        revised: (n,) whether a revision follows.
        dose: (n,) factor on the neural effect from then on.
    """

    when: Floats
    revised: Flags
    dose: Floats


def move(u: Floats, start: Floats, moved: Floats, practice: Mapping[str, float]) -> Move:
    """When leads move and what follows.

    Args:
        u: (n, 2) uniform numbers.
        start: (n,) reach before.
        moved: (n,) reach after a session at the new place.
        practice: numbers of ``stages.rates``.
    """
    when = np.where(u[:, 0] < practice[SHARE] / 100, 12 * u[:, 1], np.inf)
    revised = np.isfinite(when) & (moved < practice[KEEP] * start - 1e-9)
    return Move(when, revised, np.where(revised, start, moved))


def with_revision(revisions: Floats, one: Move) -> Floats:
    """(n, k) times of revisions, of which that for a moved lead takes the place of the first: the fitted rate counts them all."""
    own = revisions.copy()
    own[:, 0] = np.where(one.revised, one.when, own[:, 0])
    return np.asarray(np.sort(own, axis=1))
