"""``epidura bench field``: the table comes and the figures are written whole. Nothing is asserted about time."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from host_device import host
from tiny_case import epidura, refused

from epidura.bench import field
from epidura.bench.fibre import Row
from epidura.numerics import device as devices


@pytest.fixture(scope="module")
def quick(tmp_path_factory) -> tuple[str, dict[str, Any]]:
    """What ``bench field --quick`` printed and wrote."""
    folder = tmp_path_factory.mktemp("bench")
    done = epidura("bench", "field", "--quick", "--json", "deep/bench.json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in (folder / "deep").iterdir()] == ["bench.json"]
    return done.stdout, json.loads((folder / "deep" / "bench.json").read_text("utf-8"))


def test_json_is_whole(quick):
    written = quick[1]
    assert written["what"] == "epidura bench field"
    assert set(written) == {"what", "date", "machine", "versions", "rows"}
    assert set(written["versions"]) >= {"python", "epidura", "numpy", "scipy", "numba", "netgen-mesher"}
    for row in written["rows"]:
        assert list(row) == ["name", "value", "unit", "ratio", "floor", "goal", "note"]
        assert row["name"]
    assert len({row["name"] for row in written["rows"]}) == len(written["rows"])


def test_figures_are_finite(quick):
    rows = {row["name"]: row for row in quick[1]["rows"]}
    for row in rows.values():
        if row["value"] is None:
            assert row["note"].startswith("not ")
        else:
            assert math.isfinite(row["value"])
            assert row["value"] > 0 or row["name"].startswith("growth")
    measured = [name for name, row in rows.items() if row["value"] is not None]
    for word in ("direct", "iterations", "peak memory", "growth", "point source", "potentials at"):
        assert any(word in name for name in measured)


def test_no_peer_runs_in_quick_mode(quick):
    assert not any("NGSolve" in row["name"] or "PyAMG" in row["name"] for row in quick[1]["rows"])


def test_table(quick):
    for word in ("measured", "floor", "goal", "1.5 s", "bench.json"):
        assert word in quick[0]


def test_a_target_that_cannot_be_written_is_refused_at_once(here, tmp_path):
    (tmp_path / "folder").mkdir()
    refused(here("bench", "field", "--json", "folder"), "folder: this is a folder")


def test_an_earlier_file_stays_when_the_new_one_fails(tmp_path):
    target = tmp_path / "bench.json"
    field.save([Row("a", 1.0, "x")], target)
    before = target.read_text("utf-8")
    with pytest.raises(ValueError, match="JSON compliant"):
        field.save([Row("a", math.nan, "x")], target)
    assert target.read_text("utf-8") == before


def test_a_graphics_processor_has_a_row_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "available", lambda: "there is none")
    assert field.gpu_rows(True) == []
    mine = host(tmp_path)
    monkeypatch.setattr(devices, "available", lambda: None)
    monkeypatch.setattr(devices, "current", lambda: mine)
    (row,) = field.gpu_rows(True)
    assert "graphics processor" in row.name
    assert row.value is not None
    assert row.value > 0
    assert [name for name, _ in mine.launches] == 2 * ["factorise", "solve", "solve"]


def test_growth_is_the_exponent():
    runs = [{"unknowns": n, "cpu": 3 * n**1.2, "wall": n**0.9, "iterations": 9.0} for n in (1e5, 4e5, 1e6)]
    assert field._exponent(runs, "cpu") == pytest.approx(1.2)
    assert field._growth("x", runs).value == pytest.approx(1.2)


def test_current_of_the_ball_is_where_it_should_be():
    section, z, loads = field._source(*field.OURS[0])
    points = section.points
    assert loads.sum() == pytest.approx(1.0)
    # linear functions are in the space: their moments are those of a ball about the source
    assert np.einsum("kzn,n->", loads, points[:, 0]) == pytest.approx(8e-3, rel=1e-12)
    assert np.einsum("kzn,n->", loads, points[:, 1]) == pytest.approx(0.0, abs=1e-12)
    assert np.einsum("kzn,z->", loads, z) == pytest.approx(0.0, abs=1e-12)
    # and so are squares along z: the ball of density (1 - s²)³ has a mean of s² of 3/11, a third of it along each axis
    assert np.einsum("kzn,z->", loads, z**2) == pytest.approx(0.6e-3**2 / 11, rel=1e-10)


def test_paths_lie_in_the_dorsal_columns_and_come_again():
    canal = field.ellipses(5.0, varies=False)
    first = field.paths(canal, 3, 5)
    assert first.shape == (3, 5, 3)
    assert (first == field.paths(canal, 3, 5)).all()
    low, high = canal.cord.dorsal_column.min(axis=0), canal.cord.dorsal_column.max(axis=0)
    assert ((first[:, :, :2] >= low) & (first[:, :, :2] <= high)).all()
