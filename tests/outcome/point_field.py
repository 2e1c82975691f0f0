"""A field that costs nothing, for tests that do not ask where a field is from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from epidura import study
from epidura.product import Canal, LeadField


def solve(canal: Canal, cache: object = None, device: str = "cpu", **_: object) -> LeadField:
    """Point sources in an infinite medium of 0.25 S/m instead of a field of the canal."""
    places = np.array([[shaft.x, shaft.y, (c.z0 + c.z1) / 2] for shaft in canal.shafts for c in shaft.contacts])
    return LeadField(tuple(c.number for c in canal.contacts), 500.0 * np.eye(len(places)) + 100.0,
                     lambda points: 1 / (np.pi * np.linalg.norm(points[None] - places[:, None], axis=2)), canal)


@pytest.fixture(scope="module", autouse=True)
def quick_field() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "solve_field", solve)
        yield
