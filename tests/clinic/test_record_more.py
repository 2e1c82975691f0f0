"""Of the record: several patients in one write, areas of one side, and devices that a notice is about."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from epidura.clinic import events
from epidura.clinic.pathway import Happened, Refused, blank, fold
from epidura.clinic.record import Record, Unknown, new_id
from epidura.errors import BadInput

DAY = date(2026, 1, 5)


@pytest.fixture
def record(tmp_path):
    made = Record.create(tmp_path / "clinic.sqlite", clock=lambda: datetime(2026, 1, 6, 9, tzinfo=UTC))
    yield made
    made.close()


def registered(name: str = "Muster") -> events.Registered:
    return events.Registered(on=DAY, identity=events.Identity(family_name=name, given_name="Eva", birth_date=date(1960, 2, 3)), birth_year=1960)


def test_one_write_of_several_patients_is_all_or_nothing(record):
    one, other = new_id(), new_id()
    referred = events.Referred(on=DAY, indication="crps")
    done = record.commit_all([("import", one, [registered(), referred]), ("import", other, [registered("Beispiel")])])
    assert [each.version for each in done] == [2, 1]
    third = new_id()
    with pytest.raises(Refused, match="not registered"):
        record.commit_all([("import", third, [registered()]), ("import", new_id(), [events.Referred(on=DAY, indication="crps")])])
    with pytest.raises(Unknown):
        record.state(third)
    verified = record.verify()
    assert (verified.events, verified.breaks) == (3, ())
    with pytest.raises(BadInput, match="erasure"):
        record.commit_all([("import", one, [events.Erased(on=DAY, authority="court")])])


def test_an_area_may_be_of_one_side():
    assert events.Referred(on=DAY, indication="crps", pain_areas=("left-leg", "low-back")).pain_areas == ("left-leg", "low-back")
    with pytest.raises(BadInput, match="did you mean 'left-leg'"):
        events.read({"kind": "referral.received", "on": "2026-01-05", "indication": "crps", "pain_areas": ["leftt-leg"]})


def test_a_notice_is_about_a_device_that_is_on_record(record):
    patient = new_id()
    record.commit("nurse", patient, [registered()])
    with pytest.raises(Refused, match="no generator is on record"):
        record.commit("nurse", patient, [events.Recalled(on=DAY, notice="FSN 1", part="generator")])
    state = fold({**blank(), "stage": "follow-up", "generator": {"model": "senza"}},
                 Happened(1, "device.recalled", "2026-01-05", {"notice": "FSN 1", "part": "generator"}))
    state = fold(state, Happened(2, "device.recalled", "2026-01-09", {"notice": "FSN 1", "part": "generator", "state": "checked"}))
    assert [each["state"] for each in state["recalls"].values()] == ["checked"]
