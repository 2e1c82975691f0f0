"""A field that starts from the one where the leads were before, on the mesh that was carried along."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from epidura import canal as canals
from epidura import field as fields
from epidura.anatomy.parametric import Parametric
from epidura.canal import build_canal
from epidura.field import solve_field
from epidura.lead.percutaneous import Percutaneous
from epidura.product import Canal, LeadField


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(canals.ACCURACY, "fast", 4.0)


def at(offset: str, near: Canal | None = None, extent: str = "spine", model: str = "quattrode") -> Canal:
    anatomy = Parametric.model_validate({"vertebra": "T9", "extent": extent})
    return build_canal(anatomy, [Percutaneous.model_validate({"model": model, "tip_vertebra": "T8", "tip_offset": offset})], "fast", near=near)


@cache
def before() -> LeadField:
    return solve_field(at("0 mm"))


def paths(canal: Canal) -> np.ndarray:
    """(10, 60, 3) m in the dorsal columns."""
    corners = canal.cord.dorsal_column
    middle = corners.mean(axis=0)
    plane = middle + 0.8 * (corners[:10] - middle)
    z = np.arange(-30, 30) * 1e-3
    return np.concatenate([np.repeat(plane[:, None], 60, axis=1), np.broadcast_to(z[:, None], (len(plane), 60, 1))], axis=2)


def apart(one: LeadField, other: LeadField) -> tuple[float, float]:
    """Largest difference of V and of its 1 mm second difference, relative to the largest value of a contact."""
    points = paths(one.canal)
    a, b = (each.sample(points.reshape(-1, 3)).reshape(len(each.contacts), *points.shape[:2]) for each in (one, other))
    c, d = np.diff(a, 2, axis=2), np.diff(b, 2, axis=2)
    return tuple(float((np.abs(p - q).max(axis=(1, 2)) / np.abs(p).max(axis=(1, 2))).max()) for p, q in ((a, b), (c, d)))  # type: ignore[return-value]


@pytest.mark.parametrize("shift", ["3 mm", pytest.param("-12 mm", marks=pytest.mark.slow)])
def test_it_is_the_field_in_fewer_steps(shift: str, tmp_path: Path) -> None:
    canal = at(shift, before().canal)
    assert canal.section is before().canal.section
    full = solve_field(canal)
    got = solve_field(canal, tmp_path, near=before())
    assert got.notes["carried"] == 1.0
    assert full.notes["carried"] == 0.0
    assert got.notes["iterations"] <= 2
    potential, second = apart(full, got)
    assert potential < 4e-3
    assert second < 1.2e-2
    assert apart(full, before())[0] > 5e-2  # the bounds see where the lead was
    np.testing.assert_allclose(got.impedance, full.impedance, atol=1e-3 * full.impedance.max())
    np.testing.assert_allclose(got.impedance, got.impedance.T, rtol=1e-12)
    assert not list(tmp_path.rglob("*.npy"))  # it depends on where the lead was: not kept


def test_the_end_of_the_corrections_decides_how_near_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    canal = at("3 mm", before().canal)
    full = solve_field(canal)
    found = []
    for end in (5e-2, 1e-3):
        monkeypatch.setitem(fields.NEARBY, "fast", end)
        found.append(apart(full, solve_field(canal, near=before())))
    for rough, fine in zip(*found, strict=True):
        assert fine < 0.2 * rough
    assert found[1][0] < 3e-4
    assert found[1][1] < 1e-3


def test_what_is_carried_is_what_its_elements_have() -> None:
    """The same nodes and heights relative to the lead: the values that were solved for, also beside the edges of contacts."""
    near = before()
    z = fields.axis_of(near.canal)
    same = fields._carried(near.canal, near, z)
    moved = fields._carried(at("3 mm", near.canal), near, z + 3e-3)
    np.testing.assert_allclose(moved, same, atol=1e-9 * np.abs(same).max())
    halves = 0.5 * (z[1:] + z[:-1])
    between = fields._carried(near.canal, near, halves)
    ends = np.maximum(np.abs(same[:, 1:]), np.abs(same[:, :-1])).max(axis=0)
    assert (np.abs(between).max(axis=0) <= 1.13 * ends + 1e-12).all()  # a quadratic through three values overshoots by an eighth at most


def test_a_mesh_of_its_own_is_solved_from_nothing_and_kept(tmp_path: Path) -> None:
    fresh = at("3 mm")
    assert fresh.section is not before().canal.section
    got = solve_field(fresh, tmp_path, near=before())
    assert got.notes["carried"] == 0.0
    assert list(tmp_path.rglob("*.npy"))
    # with the leads where they were the field nearby would do, but that is not what was kept
    same = replace(got, canal=fresh)
    again = solve_field(fresh, tmp_path, near=same)
    assert again.notes["cached"] == 0.0
    assert again.notes["iterations"] == 1.0
    np.testing.assert_allclose(again.impedance, got.impedance, rtol=1e-6)


def test_a_canal_that_is_solved_directly_does_not_start_from_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    anatomy = Parametric.model_validate({"vertebra": "T9", "extent": "vertebra"})
    lead = Percutaneous.model_validate({"model": "quattrode", "tip_vertebra": "T9"})
    one = build_canal(anatomy, [lead], "fast", tips=False)
    first = solve_field(one)
    again = solve_field(build_canal(anatomy, [lead], "fast", tips=False, near=one), near=first)
    np.testing.assert_array_equal(again.impedance, first.impedance)


def test_heights_are_rounded_to_ends_of_elements() -> None:
    """The middle of an element may be nearer to a border of the wall than its end; there was no matrix then."""
    z = np.array([0.0, 0.05, 0.1, 0.55, 1.0])
    assert fields._on(z, 0.04) == 0.0
    assert fields._on(z, 0.06) == 0.1
    assert fields._on(z, 0.54) == 0.1
