"""``epidura bench gate``: every row comes, and no peer is claimed that did not run. Nothing is asserted about time."""

from __future__ import annotations

import json
import math

import pytest

from epidura.bench import gate


@pytest.fixture(scope="module")
def rows() -> list[gate.Row]:
    return gate.measure(quick=True)


def test_figures_are_finite_and_positive(rows: list[gate.Row]) -> None:
    assert len({row.name for row in rows}) == len(rows) == 8
    for row in rows:
        if row.value is None:
            assert row.note.startswith("not measured")
        else:
            assert math.isfinite(row.value)
            assert row.value > 0


def test_floors_are_those_of_the_project(rows: list[gate.Row]) -> None:
    assert [row.floor for row in rows if row.floor is not None] == [0.3, 0.04, 30.0, 5.0, 300.0]
    assert [row.goal for row in rows if row.goal is not None] == [0.015]


def test_no_neuron_is_claimed_that_did_not_run(rows: list[gate.Row]) -> None:
    for row in rows:
        if row.unit == "x" and "NEURON" in row.name:
            assert "NEURON did not run here" in row.note


def test_inputs_differ_and_come_again() -> None:
    network, first = gate.members(gate.Zhang2014(), 3, 0.3)
    assert network.fibres == 75
    assert all((a.times == b.times).all() for a, b in zip(first, gate.members(gate.Zhang2014(), 3, 0.3)[1], strict=True))
    assert len({member.times.tobytes() for member in first}) == 3


def test_file_is_whole(rows: list[gate.Row], tmp_path) -> None:
    gate.save(rows, tmp_path / "bench.json")
    written = json.loads((tmp_path / "bench.json").read_text("utf-8"))
    assert written["what"] == "epidura bench gate"
    assert len(written["rows"]) == 8
