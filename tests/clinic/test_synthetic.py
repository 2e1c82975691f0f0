"""The synthetic clinic: whole, reproducible, in every stage, and plainly fictional."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from epidura.clinic import synthetic, views
from epidura.clinic.pathway import STAGES
from epidura.clinic.record import Record
from epidura.errors import BadInput

END = date(2026, 11, 20)
NOW = datetime(2026, 11, 20, 20, tzinfo=UTC)


def made(folder, name="demo", **more) -> tuple[Record, synthetic.Populated]:
    record = Record.create(folder / f"{name}.sqlite", clock=lambda: NOW)
    return record, synthetic.populate(record, **{"patients": 90, "years": 3, "seed": 1} | more)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    record, done = made(tmp_path_factory.mktemp("clinic"))
    yield record, done
    record.close()


def test_everybody_is_somewhere_and_no_stage_is_empty(clinic):
    record, done = clinic
    assert set(done.stages) == set(STAGES)
    assert sum(done.stages.values()) == done.patients == 90
    assert done.last == END
    assert record.clock() == NOW  # as it was


def test_the_chain_is_whole_and_the_states_are_what_the_events_add_up_to(clinic):
    record, done = clinic
    verified = record.verify()
    assert (verified.events, verified.breaks) == (done.events, ())
    before = dict(record.states())
    assert record.rebuild() == done.events
    assert dict(record.states()) == before


def test_it_happened_over_the_years_and_was_written_down_on_the_day(clinic):
    record, _ = clinic
    for patient, _ in list(record.states())[::9]:
        for each in record.timeline(patient):
            assert each["recorded"][:10] >= each["on"]
            assert each["recorded"] <= NOW.isoformat()[:19] + "Z"
            if each["kind"] != "patient.erased":
                assert each["recorded"][:10] == each["on"], each


def test_there_is_a_bit_of_everything(clinic):
    record, done = clinic
    kinds = {each["kind"] for patient, _ in record.states() for each in record.timeline(patient, unsealed=False)}
    assert kinds >= {"diary.recorded", "instrument.answered", "complication.recorded", "revision.recorded", "system.explanted", "record.corrected",
                     "device.recalled", "patient.erased", "salvage.tried", "lead.moved", "generator.implanted"}
    assert record.identity(done.erased) is None
    seen = views.overview(record, END)
    assert {each.alarm for each in seen.late} >= {"visit overdue", "trial too long", "recall open"}
    assert seen.due


def test_names_are_plainly_fictional(clinic):
    record, done = clinic
    for patient, _ in record.states():
        who = record.identity(patient)
        if patient != done.erased:
            assert who["family_name"].split("-")[0] in synthetic.FAMILY
            assert who["email"].endswith("@example.org")


def test_answers_go_with_the_pain(clinic):
    record, _ = clinic
    better, worse = [], []
    for _, state in record.states():
        baseline = (state.get("trial") or {}).get("baseline_nrs")
        seen = state.get("visits", {}).get("month-6", [{}])[0]
        if baseline and seen.get("nrs") is not None:
            (better if seen["nrs"] <= baseline / 2 else worse).append(seen["index"])
    assert len(better) > 5
    assert len(worse) > 5
    assert sum(better) / len(better) > sum(worse) / len(worse) + 0.05


@pytest.mark.slow
def test_the_same_seed_writes_the_same_events_and_another_one_others(tmp_path):
    def plain(record):
        return [(each["version"], each["kind"], each["on"], each["recorded"], each["body"]) for patient, _ in record.states()
                for each in record.timeline(patient)]

    first, _ = made(tmp_path, "first", patients=60, years=1)
    again, _ = made(tmp_path, "again", patients=60, years=1)
    other, _ = made(tmp_path, "other", patients=60, years=1, seed=2)
    assert plain(first) == plain(again) != plain(other)
    for record in (first, again, other):
        record.close()


def test_real_patients_are_never_mixed_with_fictional_ones(clinic):
    record, _ = clinic
    with pytest.raises(BadInput, match="patients in this record"):
        synthetic.populate(record)


@pytest.mark.parametrize(("more", "words"), [({"patients": 5}, "patients"), ({"years": 0}, "years"), ({"end": date(2027, 1, 1)}, "future")])
def test_bad_input(tmp_path, more, words):
    record = Record.create(tmp_path / "empty.sqlite", clock=lambda: NOW)
    with pytest.raises(BadInput, match=words):
        synthetic.populate(record, **more)
    record.close()
