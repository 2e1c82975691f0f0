"""Lead models by themselves, and the tissue that grows around them."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from epidura import lead
from epidura.errors import BadInput
from epidura.lead import models
from epidura.lead.base import DAY, LeadShape, encapsulation
from epidura.tables import table
from epidura.units import SI

ROWS = {row["id"]: row for row in table("leads") if row["id"]}
RINGS = [name for name, row in ROWS.items() if row["type"] != "paddle"]
PADDLES = [name for name, row in ROWS.items() if row["type"] == "paddle"]


def read(model: str, **more: Any) -> Any:
    side = {"side": "left"} if ROWS.get(model, {}).get("type") == "DRG" else {}
    return lead.family.read({"model": model, "tip_vertebra": "T8", **side, **more})


def test_names_are_unique_and_cover_the_usable_rows() -> None:
    named = [row["id"] for row in table("leads") if row["id"]]
    assert len(named) == len(set(named)) == 26
    nameless = [row for row in table("leads") if not row["id"]]
    assert all(not row["edge_spacing_mm"] for row in nameless), "a row with every size has a name"
    assert models() == named
    assert {"octrode", "linear-st", "pisces-quad", "infinion-16", "evoke-12c"} <= set(models("percutaneous"))
    assert table("paddles").column("model") == models("paddle") == ["specify-5-6-5", "penta", "coveredge-32", "resume-ii"]


@pytest.mark.parametrize("model", RINGS)
def test_rings(model: str) -> None:
    row, shape = ROWS[model], read(model).shape()
    contacts = np.array([(pad.start, pad.end) for pad in shape.contacts]) * 1e3
    assert len(contacts) == int(row["contacts"])
    assert np.diff(contacts, axis=1) == pytest.approx(float(row["contact_length_mm"]))
    assert np.diff(contacts[:, 0]) == pytest.approx(float(row["pitch_mm"]))
    assert contacts[1:, 0] - contacts[:-1, 1] == pytest.approx(float(row["edge_spacing_mm"])), "pitch = length + spacing"
    assert shape.radius * 2e3 == pytest.approx(float(row["diameter_or_size_mm"]))
    assert shape.half_width == shape.radius
    assert shape.length is None
    assert all(pad.left is None and pad.right is None for pad in shape.contacts)
    area = np.pi * float(row["diameter_or_size_mm"]) * float(row["contact_length_mm"]) * 1e-6
    assert [shape.area(pad) for pad in shape.contacts] == pytest.approx([area] * len(contacts))
    assert contacts[0, 0] > 0, "the tip insulates"
    assert row["model"] in shape.name
    assert {number.table for number in shape.numbers} == {"leads.csv", "canal_facts.csv"}


@pytest.mark.parametrize(("model", "columns"), [
    ("specify-5-6-5", [5, 6, 5]), ("penta", [4] * 5), ("coveredge-32", [8] * 4), ("resume-ii", [4])])
def test_paddles(model: str, columns: list[int]) -> None:
    row, shape = ROWS[model], read(model).shape()
    plan = table("paddles").row(model=model)
    assert len(shape.contacts) == sum(columns) == int(row["contacts"])
    assert len(columns) == int(row["columns"])
    boxes = np.array([(pad.start, pad.end, pad.left, pad.right) for pad in shape.contacts]) * 1e3
    first = np.cumsum([0, *columns[:-1]])
    for at, count in zip(first, columns, strict=True):
        column = boxes[at:at + count]
        assert np.diff(column[:, 0]) == pytest.approx(float(row["pitch_mm"])), "the tip first"
        assert np.ptp(column[:, 2]) == 0
        # every column has its middle at the middle of the array
        assert 0.5 * (column[0, 0] + column[-1, 1]) == pytest.approx(0.5 * (boxes[:, 0].min() + boxes[:, 1].max()))
    assert np.diff(boxes[first, 2]) == pytest.approx(float(plan["column_pitch_mm"])), "from left to right"
    # left and right are mirror images
    assert sorted(map(tuple, np.round(boxes, 9))) == sorted(map(tuple, np.round(boxes[:, [0, 1, 3, 2]] * [1, 1, -1, -1], 9)))
    # inside the flat face of the paddle
    flat = shape.half_width - shape.radius
    assert np.abs(boxes[:, 2:]).max() * 1e-3 <= flat + 1e-12
    assert boxes[:, 0].min() > 0
    assert shape.length is not None
    assert boxes[:, 1].max() * 1e-3 < shape.length
    assert 2e3 * shape.radius == pytest.approx(float(plan["thickness_mm"]))
    assert 2e3 * shape.half_width == pytest.approx(float(plan["width_mm"]))
    for a, b in combinations(boxes, 2):
        assert a[1] < b[0] or b[1] < a[0] or a[3] < b[2] or b[3] < a[2], "no two overlap"


def test_a_disc_keeps_its_area_and_says_so() -> None:
    shape: LeadShape = read("resume-ii").shape()
    assert [shape.area(pad) * 1e6 for pad in shape.contacts] == pytest.approx([np.pi * 2**2] * 4)
    assert any("squares of equal area" in note for note in shape.notes)
    assert read("specify-5-6-5").shape().area(read("specify-5-6-5").shape().contacts[0]) == pytest.approx(6e-6)


@pytest.mark.parametrize("model", PADDLES)
def test_unverified_sizes_of_paddles_are_shown(model: str) -> None:
    numbers = {number.name.split(" of ")[0]: number for number in read(model).shape().numbers}
    assert {"contact width", "column pitch", "paddle width", "paddle thickness", "paddle length", "tip to first contact"} <= set(numbers)
    assert numbers["contact width"].unverified
    assert numbers["paddle width"].unverified == (model != "penta"), "the width of the Penta was read"


@pytest.mark.parametrize("model", list(ROWS))
def test_a_model_stands_for_its_kind(model: str) -> None:
    one = read(model)
    assert one.kind == {"percutaneous": "percutaneous", "paddle": "paddle", "DRG": "drg"}[ROWS[model]["type"]]
    assert one == lead.family.read({"kind": one.kind, **{k: v for k, v in one.model_dump(mode="json").items() if k != "kind"}})
    assert one.key() == lead.family.read(one.model_dump(mode="json")).key()


@pytest.mark.parametrize(("given", "message"), [
    ({"model": "octrod"}, r"model: there is no lead of this model; got 'octrod'; .*did you mean 'octrode'"),
    ({"model": "Octrode"}, r"did you mean 'octrode'"),
    ({"model": "specify-565"}, r"did you mean 'specify-5-6-5'"),
    ({"model": "penta", "kind": "percutaneous"},
     r"model: this is a paddle lead, not a percutaneous lead; got 'penta'; allowed: .*octrode.*; write kind: paddle, or leave kind out"),
    ({"model": "octrode", "kind": "paddle"}, r"model: this is a percutaneous lead, not a paddle lead; .*allowed: specify-5-6-5, penta"),
    ({"model": 8}, r"model: there is no lead of this model; got 8"),
    ({"model": ""}, r"there is no lead of this model"),
    ({"model": ["octrode"]}, r"there is no lead of this model"),
    ({"model": "slimtip-drg"}, r"side: this key is missing"),
    ({"model": "slimtip-drg", "side": "middle"}, r"side: there is no such choice; got 'middle'; allowed: left, right"),
    ({"model": "slimtip-drg", "side": "left", "lateral": "3 mm"}, r"lateral: a DRG lead lies straight beside the dural sac; allowed: 0"),
    ({"model": "slimtip-drg", "side": "left", "angle": "3 deg"}, r"angle: a DRG lead lies straight"),
    ({"model": "octrode", "angle": 3}, r"angle: a bare number has no unit; .*write '3 deg'"),
    ({"model": "octrode", "implanted": 90}, r"implanted: a bare number has no unit; got 90; .*day, week, month or year"),
    ({"model": "octrode", "implanted": "3 mm"}, r"implanted: .*not a unit of time.*such as '90 day'"),
    ({"model": "octrode", "implanted": "-1 day"}, r"implanted: a lead that is not implanted yet; got '-1 day'"),
    ({"model": "octrode", "encapsulation": 0.1}, r"encapsulation: a bare number has no unit"),
])
def test_bad_leads(given: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        lead.family.read({"tip_vertebra": "T8", **given})


def test_units_of_lead_fields() -> None:
    one = read("octrode", angle="-12 deg", implanted="3 month", encapsulation="200 um")
    assert one.angle == pytest.approx(np.deg2rad(-12))
    assert one.implanted == pytest.approx(3 * 365.25 / 12 * DAY)
    text = one.model_dump(mode="json")
    assert text["encapsulation"] == "0.2 mm"
    assert text["implanted"].endswith(" day")
    assert lead.family.read(text) == one
    assert read("octrode", implanted=SI(7 * DAY)).implanted == 7 * DAY


def test_encapsulation_follows_the_table() -> None:
    for row in table("encapsulation"):
        layer = encapsulation(float(row["days"]) * DAY)
        assert layer.thickness * 1e3 == pytest.approx(float(row["thickness_mm"]))
        assert layer.conductivity == pytest.approx(float(row["conductivity"]))
        assert layer.numbers
    days = np.linspace(0, 400, 801)
    layers = [encapsulation(day * DAY) for day in days]
    assert (np.diff([layer.thickness for layer in layers]) >= 0).all(), "it grows"
    assert (np.diff([layer.conductivity or 0.0 for layer in layers]) <= 0).all(), "and conducts worse"
    assert layers[-1].thickness == layers[400].thickness, "up to a plateau"
    half = encapsulation(3.5 * DAY)
    assert half.thickness == pytest.approx(0.075e-3)
    assert encapsulation(90 * DAY).conductivity == pytest.approx(1 / 6.27, rel=0.01), "Grill & Mortimer 1994: 627 ohm cm"


def test_a_given_thickness_wins_over_the_table() -> None:
    plain, grown = read("octrode").layer(), read("octrode", implanted="90 day").layer()
    assert (plain.thickness, plain.conductivity, plain.numbers) == (0.1e-3, None, ())
    assert (grown.thickness, grown.conductivity) == (pytest.approx(0.3e-3), pytest.approx(0.16))
    given = read("octrode", implanted="90 day", encapsulation="0.5 mm").layer()
    assert (given.thickness, given.conductivity) == (0.5e-3, grown.conductivity)
    assert all("conductivity" in number.name for number in given.numbers)
    assert read("octrode", encapsulation="0 mm").layer().thickness == 0
