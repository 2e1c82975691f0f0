"""The mesh of a canal carried along to another place of its leads: what it then is, and where a new one is made instead."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from epidura import anatomy, lead
from epidura import canal as module
from epidura.anatomy import Anatomy
from epidura.canal import build_canal, touching
from epidura.errors import BadGeometry
from epidura.field import field_key
from epidura.lead import Lead
from epidura.numerics.follower import shrinkage
from epidura.numerics.section import Section
from epidura.numerics.spine import Way
from epidura.placement import inside
from epidura.product import Canal, Shaft

Floats = NDArray[np.float64]


def spine(**more: Any) -> Anatomy:
    return anatomy.family.read({"kind": "parametric", "vertebra": "T9", "extent": "spine", **more})


OBLIQUE = {"lateral": "4 mm", "angle": "8 deg"}


def uniform() -> Anatomy:
    return spine(extent="vertebra")


def one(model: str = "octrode", **more: Any) -> list[Lead]:
    return [lead.family.read({"model": model, "tip_vertebra": "T8", **more})]


def two(left: str, right: str, **more: Any) -> list[Lead]:
    return [*one(lateral=left), *one(lateral=right, **more)]


def beside(**more: Any) -> list[Lead]:
    return one("slimtip-drg", tip_vertebra="T11", side="left", **more)


BEFORE = {"straight": one(), "oblique": one(lateral="4 mm", angle="8 deg"), "two": two("-2 mm", "2 mm"), "paddle": one("penta"),
          "beside": beside(), "uniform": one(), "uniform oblique": one(angle="3 deg", lateral="1 mm")}
MOVES = {
    "up": ("straight", one(tip_offset="2 mm")),
    "far up": ("straight", one(tip_offset="20 mm")),
    "aside": ("straight", one(lateral="3 mm", tip_offset="-3 mm")),
    "leaning": ("straight", one(angle="4 deg")),
    "to oblique": ("straight", one(lateral="4 mm", angle="8 deg")),
    "oblique up": ("oblique", one(lateral="4 mm", angle="8 deg", tip_offset="2 mm")),
    "less oblique": ("oblique", one(lateral="3 mm", angle="5 deg")),
    "mirrored": ("oblique", one(lateral="-4 mm", angle="-8 deg")),
    "two": ("two", two("-2.5 mm", "3 mm", tip_offset="-3 mm")),
    "paddle": ("paddle", one("penta", tip_offset="2 mm")),
    "beside": ("beside", beside(tip_offset="3 mm")),
    "uniform oblique": ("uniform oblique", one(angle="2 deg", lateral="-0.5 mm", tip_offset="-1 mm")),
    "uniform to oblique": ("uniform", one(angle="2 deg")),
}


def place(name: str) -> Anatomy:
    return uniform() if name.startswith("uniform") else spine(vertebra="T11") if name == "beside" else spine()


@cache
def before(name: str) -> Canal:
    return build_canal(place(name), BEFORE[name], "fast")


@cache
def moved(move: str) -> tuple[Canal, Canal, Canal]:
    """Where it was, carried from there, and new."""
    name, leads = MOVES[move]
    return before(name), build_canal(place(name), leads, "fast", near=before(name)), build_canal(place(name), leads, "fast")


def stations(canal: Canal) -> tuple[Floats, Floats]:
    """Heights (s,) and positions (s, n, 2) of the nodes."""
    assert isinstance(canal.way, Way)
    return canal.way.z, canal.way.at(canal.way.z)[0]


def section(canal: Canal) -> Section:
    assert isinstance(canal.section, Section)
    return canal.section


def mesh(canal: Canal) -> module._Mesh:
    assert isinstance(canal.mesh, module._Mesh)
    return canal.mesh


def nodes(canal: Canal, kind: str) -> NDArray[np.int64]:
    return next(found for name, found in mesh(canal).loops if name == kind)


def same_ways(a: Canal, b: Canal) -> bool:
    return isinstance(a.way, Way) and isinstance(b.way, Way) and np.array_equal(a.way.z, b.way.z) and bool(
        np.abs(a.way.coefficients - b.way.coefficients).max() < 1e-9)


def same_shafts(a: Canal, b: Canal) -> bool:
    return all(replace(x, course=None) == replace(y, course=None) and np.array_equal(x.course, y.course)  # type: ignore[arg-type]
               for x, y in zip(a.shafts, b.shafts, strict=True))


# ---------------------------------------------------------------- what is carried


@pytest.mark.parametrize("name", BEFORE)
def test_nothing_changes_where_leads_stay(name: str) -> None:
    old = before(name)
    new = build_canal(place(name), BEFORE[name], "fast", near=old)
    assert new.section is old.section
    assert (new.way is None and old.way is None) or same_ways(new, old)
    assert new.warnings == old.warnings
    assert field_key(new) == field_key(old)


@pytest.mark.parametrize("move", MOVES)
def test_the_mesh_is_the_same_and_all_else_is_new(move: str) -> None:
    old, new, fresh = moved(move)
    assert new.section is old.section
    assert fresh.section is not old.section
    assert same_shafts(new, fresh)
    assert not same_shafts(new, old)
    np.testing.assert_array_equal(new.edges, fresh.edges)
    for name in ("tissues", "along", "numbers", "warnings", "vertebra", "accuracy"):
        assert getattr(new, name) == getattr(fresh, name)
    for name, outline in fresh.outlines.items():
        np.testing.assert_array_equal(new.outlines[name], outline)
    np.testing.assert_array_equal(stations(new)[0], stations(fresh)[0])
    assert (new.course is None) == (fresh.course is None)
    assert len({field_key(canal) for canal in (old, new, fresh)}) == 3


@pytest.mark.parametrize("move", MOVES)
def test_leads_are_where_they_are_now(move: str) -> None:
    _, new, fresh = moved(move)
    z, points = stations(new)
    for i, (shaft, ring) in enumerate(zip(fresh.shafts, section(new).rings, strict=True)):
        there = np.full(len(z), True) if shaft.z_end is None else (z > shaft.z_end) & (z < shaft.z_tip)
        if move == "beside":  # above its tip it gives way
            there &= z < shaft.z_tip
        assert there.sum() > 4
        arm = points[there][:, ring] - shaft.centre(z[there])[:, None]
        own = section(new).points[ring] - mesh(new).centres[i]
        if shaft.half_width is None:
            np.testing.assert_allclose(np.hypot(*own.T), shaft.radius, atol=1e-9)
            np.testing.assert_allclose(np.hypot(arm[..., 0], arm[..., 1]), shaft.radius, atol=1e-9)
            around = np.mod(np.diff(np.arctan2(arm[..., 1], arm[..., 0]), axis=1), 2 * np.pi)
            assert around.max() < 0.5  # in their order, all around
        else:
            np.testing.assert_allclose(arm, np.broadcast_to(own, arm.shape), atol=1e-9)
            for contact in shaft.contacts:
                np.testing.assert_array_equal(touching(shaft, arm[0], contact.left, contact.right), touching(shaft, own, contact.left, contact.right))


@pytest.mark.parametrize("move", MOVES)
def test_outlines_are_kept(move: str) -> None:
    """Nodes of an outline lie on it at every station, as near as those of a new mesh, and in their order."""
    name, leads = MOVES[move]
    _, new, fresh = moved(move)
    stretch = module._placed(place(name), leads).stretch
    for outline in ("cord", "dura-inner", "dura-outer", "canal"):
        away = {}
        for canal in (new, fresh):
            z, points = stations(canal)
            levels = stretch.levels * len(z) if len(stretch.levels) == 1 else stretch.levels
            on = nodes(canal, outline)
            away[canal is new] = max(np.abs(inside(level.outlines[outline], *points[s, on].T)).max() for s, level in enumerate(levels))
        assert away[True] < 2 * away[False] + 1e-12
        assert np.abs(inside(levels[0].outlines[outline], *section(new).points[nodes(new, outline)].T)).max() > 1e-5 or name.startswith("uniform")
        own = section(new).points[nodes(new, outline)]
        order = nodes(new, outline)[np.argsort(np.arctan2(*(own - own.mean(axis=0)).T))]
        for at in stations(new)[1]:
            assert np.hypot(*np.diff(at[order], axis=0).T).max() < 3e-3


def worst(canal: Canal) -> tuple[float, float]:
    """Least share of its size that a triangle keeps, at the stations and half way between them."""
    if canal.way is None:
        return 1.0, 1.0
    z, points = stations(canal)
    assert isinstance(canal.way, Way)
    between = canal.way.at(0.5 * (z[1:] + z[:-1]))[0]
    at, half_way = (min(float(shrinkage(section(canal), found).min()) for found in group) for group in (points, between))
    return at, half_way


@pytest.mark.parametrize("move", MOVES)
def test_no_triangle_turns_over(move: str) -> None:
    old, new, _ = moved(move)
    assert mesh(old).least == pytest.approx(worst(old), abs=1e-6)
    for now, then in zip(worst(new), worst(old), strict=True):
        assert now >= max(0.5 * then, 0.1) - 1e-6


def test_the_gap_to_the_dura_keeps_its_triangles() -> None:
    """The node of the dura that was nearest to the lead still is, give or take a side of the mesh."""
    old, new, _ = moved("aside")
    dura = nodes(old, "dura-outer")
    nearest = dura[np.hypot(*(section(old).points[dura] - mesh(old).centres[0]).T).argmin()]
    z, points = stations(new)
    for s, centre in enumerate(new.shafts[0].centre(z)):
        assert np.hypot(*(points[s, nearest] - centre)) < np.hypot(*(points[s, dura] - centre).T).min() + 0.05e-3


def test_a_lead_turns_the_short_way_around(monkeypatch: pytest.MonkeyPatch) -> None:
    """Towards a dura that is straight to the left: from just above to just below."""
    old = before("straight")
    meshed = module._Meshed(module._placed(spine(), MOVES["aside"][1]), 2.0, True, mesh(old))
    walls = [level.outlines["canal"] for level in meshed.levels] + [mesh(old).outlines["canal"]]

    def towards(outline: Floats, point: Floats) -> float:
        if any(outline is wall for wall in walls):
            return 0.0
        return 3.1 if np.array_equal(point, mesh(old).centres[0]) else -3.1

    monkeypatch.setattr(module, "_towards", towards)
    own = mesh(old).centres[0] + 0.7e-3 * np.array([[-1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    arm = meshed._turned(0, own) - meshed._centres(meshed.shafts[0])[:, None]
    turn = np.mod(np.arctan2(arm[..., 1], arm[..., 0]), 2 * np.pi) - [np.pi, 0.5 * np.pi, 0.0]
    np.testing.assert_allclose(turn, np.broadcast_to(np.array([1.0, 0.5, 0.0]) * (2 * np.pi - 6.2), turn.shape), atol=3e-3)


def test_carried_twice_is_carried_once() -> None:
    leads = one(lateral="1 mm", tip_offset="-3 mm", angle="2 deg")
    once = build_canal(spine(), leads, "fast", near=before("straight"))
    twice = build_canal(spine(), leads, "fast", near=moved("aside")[1])
    back = build_canal(spine(), BEFORE["straight"], "fast", near=twice)
    assert once.section is twice.section is back.section is before("straight").section
    assert same_ways(once, twice)
    assert not same_ways(once, moved("aside")[1])
    assert same_ways(back, before("straight"))
    assert mesh(twice).least == mesh(before("straight")).least


def test_a_canal_read_back_can_be_carried() -> None:
    old = pickle.loads(pickle.dumps(before("straight")))
    new = build_canal(spine(), MOVES["up"][1], "fast", near=old)
    assert new.section is old.section
    assert new.section is not before("straight").section
    assert same_ways(new, moved("up")[1])
    assert "mesh" not in repr(replace(old, section=None, way=None))


def test_a_uniform_canal_is_carried_along_itself() -> None:
    old = before("uniform")
    new = build_canal(uniform(), one(tip_offset="3 mm"), "fast", near=old)
    assert new.section is old.section
    assert new.way is None
    assert new.shafts[0].z_tip - old.shafts[0].z_tip == pytest.approx(3e-3)
    np.testing.assert_allclose(new.edges, old.edges + 3e-3)


# ---------------------------------------------------------------- where a new mesh is made


REFUSED: dict[str, tuple[str, Anatomy, list[Lead], dict[str, Any]]] = {
    "accuracy": ("straight", spine(), one(tip_offset="1 mm"), {"accuracy": "standard"}),
    "tips": ("straight", spine(), one(tip_offset="1 mm"), {"tips": False}),
    "number of leads": ("two", spine(), one(lateral="2 mm"), {}),
    "one more lead": ("straight", spine(), [*one(), *one(lateral="3 mm")], {}),
    "another model": ("straight", spine(), one("linear-st"), {}),
    "a paddle": ("straight", spine(), one("penta"), {}),
    "encapsulation": ("straight", spine(), one(encapsulation="0.2 mm"), {}),
    "no encapsulation": ("straight", spine(), one(encapsulation="0 mm"), {}),
    "turned paddle": ("paddle", spine(), one("penta", lateral="0.5 mm"), {}),
    "walls": ("straight", uniform(), one(), {}),
    "aside in a uniform canal": ("uniform", uniform(), one(lateral="1 mm"), {}),
    "other outlines in a uniform canal": ("uniform", spine(extent="vertebra", dorsal_csf="5 mm"), one(), {}),
    "squeezed": ("two", spine(), two("-3.5 mm", "-1 mm"), {}),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_new_mesh_is_made(why: str) -> None:
    name, where, leads, more = REFUSED[why]
    settings = {"accuracy": "fast", **more}
    fresh = build_canal(where, leads, **settings)
    new = build_canal(where, leads, **settings, near=before(name))
    assert new.section is not before(name).section
    assert mesh(new).section is new.section
    np.testing.assert_array_equal(section(new).points, section(fresh).points)
    assert new.way is fresh.way is None or same_ways(new, fresh)
    assert new.warnings == fresh.warnings
    assert same_shafts(new, fresh)


def _first(shaft: Shaft, **change: Any) -> Shaft:
    return replace(shaft, contacts=(replace(shaft.contacts[0], **change), *shaft.contacts[1:]))


@pytest.mark.parametrize("what", ["radius", "half_width", "encapsulation", "turn", "name", "z_end", "fewer", "area", "left", "right", "height"])
def test_leads_are_alike_or_not(what: str) -> None:
    (paddle,) = before("paddle").shafts
    first = paddle.contacts[0]
    assert paddle.half_width is not None
    assert first.left is not None
    assert first.right is not None
    other = {
        "radius": replace(paddle, radius=paddle.radius * 1.01),
        "half_width": replace(paddle, half_width=paddle.half_width * 1.01),
        "encapsulation": replace(paddle, encapsulation=paddle.encapsulation * 1.01),
        "turn": replace(paddle, turn=paddle.turn + 0.01),
        "name": replace(paddle, name="another"),
        "z_end": replace(paddle, z_end=None),
        "fewer": replace(paddle, contacts=paddle.contacts[1:]),
        "area": _first(paddle, area=first.area * 1.01),
        "left": _first(paddle, left=first.left * 1.01),
        "right": _first(paddle, right=None),
        "height": _first(paddle, z1=first.z1 + 0.1e-3),
    }
    assert not module._alike([paddle], [other[what]])
    assert module._alike([paddle], [replace(paddle, x=1e-3, y=0.0, course=None, z_tip=paddle.z_tip + 1e-3, contacts=tuple(
        replace(contact, z0=contact.z0 + 1e-3, z1=contact.z1 + 1e-3) for contact in paddle.contacts))])


def test_how_much_a_mesh_may_be_squeezed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of what was kept where it was made, and what counts as sound if it was sound there."""
    old, leads = before("straight"), MOVES["up"][1]
    at, between = worst(moved("up")[1])
    monkeypatch.setattr(module, "LEAST", 0.0)

    def carried(stations: float, half_way: float) -> bool:
        near = replace(old, mesh=replace(mesh(old), least=(stations, half_way)))
        return module._carried(placed, "fast", True, near) is not None

    placed = module._placed(spine(), leads)
    assert carried(1.98 * at, 1.98 * between)
    assert not carried(2.02 * at, between)
    assert not carried(at, 2.02 * between)
    monkeypatch.setattr(module, "LEAST", 1.1 * max(at, between))
    assert carried(1.09 * max(at, between), 0.0)
    assert not carried(1.11 * max(at, between), 0.0)


def test_the_grey_matter_must_be_followed_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a mesh cannot follow it, it keeps part of its shape: no more of it than where the mesh was made."""
    where = spine(vertebra="T12")
    monkeypatch.setattr(module, "SOUND", 0.4)  # more than what meshes keep towards the conus
    old = build_canal(where, one(tip_vertebra="T12"), "fast")
    assert mesh(old).kept == 0.4
    leads = one(tip_vertebra="T12", tip_offset="1 mm")
    new = build_canal(where, leads, "fast", near=old)
    assert new.section is old.section
    assert any("keeps 40% of its shape" in warning for warning in new.warnings)
    near = replace(old, mesh=replace(mesh(old), kept=0.0))
    assert module._carried(module._placed(where, leads), "fast", True, near) is None


@pytest.mark.parametrize("accuracy", module.ACCURACY)
@pytest.mark.parametrize("vertebra", ["C5", "T9", "T10", "T12"])
def test_every_accuracy_is_of_the_same_anatomy(vertebra: str, accuracy: str) -> None:
    """The nodes of the grey matter lie at its outline at every station, also where horns grow or turn, and no triangle is squeezed much."""
    leads = one(tip_vertebra=vertebra, **({} if vertebra == "C5" else OBLIQUE))
    canal = build_canal(spine(vertebra=vertebra), leads, accuracy)
    assert mesh(canal).kept == 0.0
    assert not [warning for warning in canal.warnings if "shape" in warning]
    assert min(mesh(canal).least) > 0.12
    grey = nodes(canal, "grey-matter")

    def away(points: Floats, outline: Floats) -> float:
        return float(np.hypot(*(points[grey] - module._along(outline, module._nearest(outline, points[grey]))).T).max())

    z, points = stations(canal)
    levels = module._levels(module._placed(spine(vertebra=vertebra), leads).stretch, z)
    # corners are a little outside, so that the polygon has the area of the outline
    own = away(section(canal).points, mesh(canal).outlines["grey-matter"])
    assert own < 0.1e-3
    for at, level in zip(points, levels, strict=True):
        assert away(at, level.outlines["grey-matter"]) < own + 5e-6


def test_a_mesh_that_folds_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    old, whole = before("straight"), module._Meshed.way

    def folds(self: module._Meshed) -> object:
        if self.carried:
            raise BadGeometry("leads", "folded")
        return whole(self)

    monkeypatch.setattr(module._Meshed, "way", folds)
    assert build_canal(spine(), MOVES["up"][1], "fast", near=old).section is not old.section


def test_meshes_that_do_not_belong_to_the_canal() -> None:
    old, leads = before("straight"), MOVES["up"][1]
    fewer = {**mesh(old).outlines, "cord": mesh(old).outlines["cord"][::2]}
    assert module._Meshed(module._placed(spine(), leads), 2.0, True, mesh(old)).fits()
    assert not module._Meshed(module._placed(spine(), leads), 2.0, True, replace(mesh(old), outlines=fewer)).fits()
    for near in (replace(old, mesh=None), replace(old, section=before("oblique").section), replace(old, mesh=replace(mesh(old), outlines=fewer)),
                 replace(old, shafts=(replace(old.shafts[0], contacts=old.shafts[0].contacts[:3]),))):
        new = build_canal(spine(), leads, "fast", near=near)
        assert new.section is not near.section
        assert new.section is not old.section
