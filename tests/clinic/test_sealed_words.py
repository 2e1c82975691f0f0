"""Free words inside of an event are kept under the patient's key, and come back whole."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from epidura.clinic import events
from epidura.clinic.record import Record, new_id

DAY = "2026-01-04"
SAID = "only the patient would say this"
TOLD = {
    "assessment.recorded": {"findings": {"indication": "crps", "location": SAID, "tried": [{"kind": "drug", "what": SAID, "note": SAID}],
                                         "team": [{"name": "Dr A", "role": "physician", "agrees": False, "reason": SAID}]}},
    "team.signed": {"member": {"name": "Dr A", "role": "physician", "agrees": False, "reason": SAID}},
    "consent.recorded": {"consent": {"stage": "trial", "text_version": "1", "language": "en", "explained_by": "Dr A", "role": "physician",
                                     "explained_on": DAY, "questions": SAID}},
    "procedure.planned": {"stage": "trial", "planning": {"imaging": SAID, "case": {"title": SAID, "text": SAID}},
                          "allergies": {"answers": {"latex": "yes"}, "reactions": {"latex": SAID}}},
    "complication.recorded": {"name": "infection 1", "complication": {"kind": "infection", "stage": "trial", "onset": DAY, "description": SAID,
                                                                      "actions": [{"on": DAY, "what": SAID}]}},
    "salvage.tried": {"name": "reprogram", "step": {"state": "done", "on": DAY, "by": "nurse", "result": SAID}},
    "case.linked": {"slot": "a", "case": {"title": SAID, "text": SAID}},
    "note.added": {"text": SAID},
}


@pytest.mark.parametrize("kind", TOLD)
def test_words_are_sealed_and_come_back(kind: str) -> None:
    event = events.read({"kind": kind, "on": DAY, "why": SAID, **TOLD[kind]})
    body, sealed = events.split(event)
    assert SAID not in json.dumps(body)
    whole = events.join(body, sealed)
    assert events.read({"kind": kind, "on": DAY, **whole}) == event
    assert json.dumps(whole).count(SAID) == json.dumps(TOLD[kind]).count(SAID) + 1


def test_nothing_said_is_left_after_an_erasure(tmp_path: Path) -> None:
    record = Record.create(tmp_path / "clinic.sqlite")
    patient = new_id()
    who = events.Identity(family_name="Muster", given_name="Eva", birth_date=date(1960, 2, 3))
    record.commit("n1", patient, [events.Registered(on=date(2026, 1, 2), identity=who, birth_year=1960),
                                  events.Referred(on=date(2026, 1, 3), indication="crps", question=SAID),
                                  events.read({"kind": "assessment.recorded", "on": DAY, **TOLD["assessment.recorded"]})])
    told = record.timeline(patient)[-1]["body"]
    assert told["findings"]["tried"][0]["what"] == SAID
    fixed = {"kind": "assessment.recorded", "on": DAY, "findings": {"indication": "crps", "location": SAID}}
    record.commit("n1", patient, [events.Corrected(on=date(2026, 1, 5), version=3, why="typo", instead=fixed)])
    assert record.timeline(patient)[-1]["body"]["instead"]["findings"]["location"] == SAID
    assert SAID not in json.dumps(record.state(patient))
    assert record.state(patient, unsealed=True)["assessment"]["findings"]["location"] == SAID
    record.erase("admin", patient, "GDPR 17", "on request")
    assert SAID not in json.dumps(record.timeline(patient))
    assert events.HIDDEN in json.dumps(record.timeline(patient))
    assert record.verify().breaks == ()
    record.close()
    assert not any(SAID.encode() in file.read_bytes() for file in tmp_path.iterdir())
