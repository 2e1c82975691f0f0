"""A whole spine with discs and a lead that ends at its tip, solved here by NGSolve (LGPL, extra ``test``) and by us at ``standard`` sizes."""

from __future__ import annotations

from dataclasses import replace

import mesh_peer
import numpy as np
import peer_models as models
import pytest
from numpy.typing import NDArray
from test_spine_peer import CONTACTS, IMPEDANCE, POTENTIAL, SECOND, misfits, tables

from epidura.canal import ACCURACY, NEAR_LEAD, RING
from epidura.field import FINE

pytestmark = pytest.mark.slow

Floats = NDArray[np.float64]

SIZE = ACCURACY["standard"]
STANDARD = models.Sizes(SIZE, RING, SIZE * NEAR_LEAD / models.MM, SIZE * FINE / models.MM)
"""As ``canal`` and ``field`` mesh it at the accuracy ``standard``."""

LIVE = mesh_peer.Sizes(contact=0.9, edge=0.5, tissue=2.6, path=1.6, far=12.0, span=(-18.0, 24.0), growth=0.2)
ORDER, LEVELS, FACTOR, FIT = 3, 1, 0.2, (4.0, 8)
"""Cubic elements with one layer of small prisms at the edges of contacts; V along z is fitted as in ``make_ngsolve``."""

HEIGHTS = tables("straight", "iso").heights
PEER = mesh_peer.Spine()


@pytest.fixture(scope="module")
def live() -> tuple[Floats, Floats]:
    """NGSolve now: impedance (8, 8) kOhm; V/mA (contacts, paths, z)."""
    pytest.importorskip("ngsolve", reason="extra test or peers")
    mesh = mesh_peer.spine_mesh(PEER, LIVE, LEVELS, FACTOR, ORDER)
    solved = mesh_peer.solve_spine(PEER, mesh, ORDER)
    return solved.impedance, mesh_peer.smooth(mesh_peer.SAMPLES, solved.potential, HEIGHTS, *FIT)[CONTACTS]


@pytest.fixture(scope="module")
def ours() -> models.Answer:
    return models.solve(PEER, models.build(PEER, STANDARD), HEIGHTS)


def apart(impedance: Floats, potential: Floats, other: Floats, reference: Floats) -> tuple[float, float]:
    """Largest relative difference of impedances and of 1 mm second differences, those against the largest of each path."""
    second, want = mesh_peer.second_difference(potential), mesh_peer.second_difference(reference)
    return float(np.abs(impedance / other - 1).max()), float((np.abs(second - want).max(axis=-1) / np.abs(want).max(axis=-1)).max())


def test_standard_sizes_agree_with_ngsolve_here(live: tuple[Floats, Floats], ours: models.Answer) -> None:
    impedance, second = apart(ours.impedance, ours.potential[CONTACTS], *live)
    print(f"\nours against NGSolve: impedance {impedance:.2%}, second difference {second:.2%}")
    assert impedance < IMPEDANCE
    assert second < SECOND


def test_ngsolve_here_is_that_of_the_tables(live: tuple[Floats, Floats]) -> None:
    """What its coarse mesh here costs against its fine one in the tables: the error of the peer itself."""
    want = tables("straight", "iso")
    impedance, second = apart(*live, want.impedance, want.potential)
    print(f"\nNGSolve here against its tables: impedance {impedance:.2%}, second difference {second:.2%}")
    assert impedance < IMPEDANCE
    assert second < SECOND


@pytest.mark.parametrize("cord", ["iso", "aniso"])
def test_standard_sizes_agree_with_the_tables(ours: models.Answer, cord: str) -> None:
    spine = PEER if cord == "iso" else replace(PEER, sigma={**PEER.sigma, "cord": 0.083}, cord_along=0.6)
    found = misfits(ours if cord == "iso" else models.solve(spine, models.build(spine, STANDARD), HEIGHTS), tables("straight", cord))
    print(f"\nours against the tables, {cord}:", {name: round(value, 3) for name, value in found.items()})
    assert max(found["impedance"], found["between"], found["potential"], found["second"]) < 1.0, found


@pytest.mark.parametrize("fault", ["disc", "cord"])
def test_a_fault_is_seen_here(live: tuple[Floats, Floats], fault: str) -> None:
    """Half the conductivity of the discs, or an anisotropic cord, lies far outside the bound of the second difference or of V."""
    changed = {"disc": {"sigma": {**PEER.sigma, "disc": 0.5 * PEER.sigma["disc"]}},
               "cord": {"sigma": {**PEER.sigma, "cord": 0.083}, "cord_along": 0.6}}  # fmt: skip
    wrong = replace(PEER, **changed[fault])  # type: ignore[arg-type]
    got = models.solve(wrong, models.build(wrong, models.Sizes(2.0, 16, 0.34, 0.4)), HEIGHTS).potential[CONTACTS]
    second = apart(live[0], got, *live)[1]
    potential = float((np.abs(got - live[1]).max(axis=-1) / live[1].max(axis=-1)).max())
    print(f"\n{fault}: V {potential:.2%}, second difference {second:.2%}")
    assert second > 2 * SECOND or potential > 10 * POTENTIAL
