"""``epidura bench``: the table comes and the figures are written whole. Nothing is asserted about time."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from tiny_case import epidura, refused

from epidura.bench import fibre
from epidura.errors import BadInput

AGAINST = ("x", "%", "/min", "GFLOP/s")  # units of figures that compare or count; they must be positive


@pytest.fixture(scope="module")
def quick(tmp_path_factory) -> tuple[str, dict[str, Any]]:
    """What ``bench fibre --quick`` printed and wrote."""
    folder = tmp_path_factory.mktemp("bench")
    done = epidura("bench", "fibre", "--quick", "--json", "deep/er/bench.json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in (folder / "deep" / "er").iterdir()] == ["bench.json"]
    return done.stdout, json.loads((folder / "deep" / "er" / "bench.json").read_text("utf-8"))


def test_json_is_whole(quick):
    written = quick[1]
    assert written["what"] == "epidura bench fibre"
    assert set(written) == {"what", "date", "machine", "versions", "rows"}
    assert set(written["versions"]) == {"python", "epidura", "numpy", "numba", "llvmlite"}
    assert written["machine"]["processor"]
    assert written["machine"]["cores"] >= 1
    for row in written["rows"]:
        assert list(row) == ["name", "value", "unit", "ratio", "floor", "goal", "note"]
        assert row["name"]
        assert row["unit"]
    assert len({row["name"] for row in written["rows"]}) == len(written["rows"])


def test_figures_are_finite_and_positive(quick):
    rows = quick[1]["rows"]
    assert {row["unit"] for row in rows} >= {"x", "/min", "ms"}
    for row in rows:
        if row["value"] is None:
            assert row["note"].startswith("not ")
        else:
            assert math.isfinite(row["value"])
            assert row["value"] > 0 or row["unit"] not in AGAINST
        for bound in ("floor", "goal"):
            assert row[bound] is None or row[bound] > 0
    measured = [row["name"] for row in rows if row["value"] is not None]
    for start in ("simulation against NEURON, backward-euler, float32", "simulation against NEURON, backward-euler, float64", "thresholds per minute",
                  "simulation to 0.1 %"):
        assert any(name.startswith(start) for name in measured)


def test_no_peer_is_claimed_that_did_not_run(quick):
    for row in quick[1]["rows"]:
        if row["unit"] == "x" and "NEURON" in row["name"]:
            assert "NEURON did not run here" in row["note"]


def test_table(quick):
    text = quick[0]
    for word in ("measured", "floor", "goal", "2,000 x", "250,000 /min", "bench.json"):
        assert word in text


def test_bench_alone_lists_what_there_is(here, tmp_path):
    done = here("bench")
    assert done.returncode == 0
    assert "fibre" in done.stdout
    assert "engine" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_targets_that_cannot_be_written_are_refused_at_once(here, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    refused(here("bench", "fibre", "--json", "folder"), "folder: this is a folder")
    refused(here("bench", "fibre", "--json", "file/bench.json"), "file/bench.json: no file can be made here")
    assert (tmp_path / "file").read_text() == "x"


def test_an_earlier_file_stays_when_the_new_one_fails(tmp_path):
    target = tmp_path / "bench.json"
    fibre.save([fibre.Row("a", 1.0, "x")], target)
    before = target.read_text("utf-8")
    with pytest.raises(ValueError, match="JSON compliant"):
        fibre.save([fibre.Row("a", math.nan, "x")], target)
    assert target.read_text("utf-8") == before
    assert [path.name for path in tmp_path.iterdir()] == ["bench.json"]
    with pytest.raises(BadInput):
        fibre.save([], tmp_path)


def test_fibres_of_the_population_differ_and_come_again():
    first, second = fibre.population(6), fibre.population(6)
    assert (first == second).all()
    assert len({row.tobytes() for row in first}) == 6
    assert first.shape == (6, 11 * (fibre.NODES - 1) + 1)
    assert (first < 0).all()
    assert not (first == fibre.population(6, seed=2)).any()
