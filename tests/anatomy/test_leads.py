"""Lead models."""

from __future__ import annotations

import numpy as np
import pytest

from epidura import lead
from epidura.errors import BadInput
from epidura.lead.percutaneous import models
from epidura.tables import table


def test_names_are_unique_and_cover_the_usable_rows() -> None:
    named = [row["id"] for row in table("leads") if row["id"]]
    assert len(named) == len(set(named)) == 26
    nameless = [row for row in table("leads") if not row["id"]]
    assert all(not row["edge_spacing_mm"] for row in nameless), "a row with every size has a name"
    assert {"octrode", "linear-st", "pisces-quad", "infinion-16", "evoke-12c"} <= set(models())


@pytest.mark.parametrize("model", [row["id"] for row in table("leads") if row["id"] and row["type"] == "percutaneous"])
def test_shapes(model: str) -> None:
    row = table("leads").row(id=model)
    shape = lead.family.read({"model": model, "tip_vertebra": "T8"}).shape()
    contacts = np.array(shape.contacts) * 1e3
    assert len(contacts) == int(row["contacts"])
    assert np.diff(contacts, axis=1) == pytest.approx(float(row["contact_length_mm"]))
    assert np.diff(contacts[:, 0]) == pytest.approx(float(row["pitch_mm"]))
    assert contacts[1:, 0] - contacts[:-1, 1] == pytest.approx(float(row["edge_spacing_mm"])), "pitch = length + spacing"
    assert shape.radius * 2e3 == pytest.approx(float(row["diameter_or_size_mm"]))
    assert contacts[0, 0] > 0, "the tip insulates"
    assert row["model"] in shape.name
    assert {number.table for number in shape.numbers} == {"leads.csv", "canal_facts.csv"}


@pytest.mark.parametrize(("model", "message"), [
    ("octrod", r"model: there is no lead of this model; got 'octrod'; .*did you mean 'octrode'"),
    ("Octrode", r"did you mean 'octrode'"),
    ("specify-5-6-5", r"model: paddle leads are not available yet; got 'specify-5-6-5'; allowed: .*octrode"),
    ("slimtip-drg", r"model: DRG leads are not available yet"),
    (8, r"model: there is no lead of this model; got 8"),
    ("", r"there is no lead of this model"),
])
def test_bad_models(model: object, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        lead.family.read({"model": model, "tip_vertebra": "T8"})


def test_the_only_kind_may_be_left_out() -> None:
    short = lead.family.read({"model": "octrode", "tip_vertebra": "T8"})
    assert short == lead.family.read({"kind": "percutaneous", "model": "octrode", "tip_vertebra": "T8"})
