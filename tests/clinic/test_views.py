"""The clinic view: by hand on states made for it; small numbers without percentages; run charts; Kaplan-Meier; tables."""

from __future__ import annotations

import csv
import json
import math
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epidura import eq5d
from epidura.clinic import events, page, verdict, views
from epidura.clinic.record import Record, new_id
from epidura.errors import BadInput
from epidura.stages import kaplan_meier
from epidura.tables import EVIDENCE, table

TODAY = date(2026, 11, 20)


def one(stage="follow-up", implanted="2025-01-10", **more):
    """A state as events add up to it."""
    return {"stage": stage, "since": implanted or "2026-01-01", "version": 9, "revision": 9, "dates": {},
            **({"implanted": implanted} if implanted else {}), "trial": {
                "begun": "2024-11-01", "ended": "2024-11-08", "days": 7, "succeeded": True, "baseline_nrs": 8.0}} | more


def seen(states):
    return views.summarise([(f"{k:032x}", state) for k, state in enumerate(states)], TODAY)


def visits(**by_name):
    return {name.replace("_", "-"): [{"on": on, "nrs": nrs}] for name, (on, nrs) in by_name.items()}


def test_every_row_of_the_tables_has_evidence_and_source():
    for name in ("clinic_benchmarks", "clinic_demo"):
        for row in table(name):
            assert row["evidence"] in EVIDENCE
            assert row["source"]


def test_an_empty_clinic_is_shown():
    found = seen([])
    assert (found.patients, found.late, found.trial_to_implant.n, found.explants.n) == (0, (), 0, 0)
    assert page.overview_page(found).startswith("<!doctype html>")


def test_who_is_late_and_who_is_due():
    kept = {name: [{"on": "2025-12-20", "nrs": 3.0}] for name in ("month-12",)}
    found = seen([
        one(implanted="2025-01-10"),                                        # nobody came: the last visit that is over
        one(implanted="2025-01-10", visits=kept),                           # an earlier one was missed, a later one kept
        one(implanted="2026-10-20", visits={"wound": [{"on": "2026-11-02"}], "programming": [{"on": "2026-11-06"}]}),  # month 1 opens today
        one("trial running", None, trial={"begun": "2026-11-01", "days": 7, "baseline_nrs": 7}),
        one("trial running", None, trial={"begun": "2026-11-15", "days": 7, "baseline_nrs": 7}),
        one("explanted", "2025-01-10", explant={"on": "2025-02-01", "reason": "wish", "after": "implant"}),
        one(implanted="2025-01-10", died="2025-02-01"),
        one(implanted="2025-01-10", visits=kept, recalls={name: {"on": "2026-11-10", "state": state, "notice": name, "part": "generator"}
                                                          for name, state in (("N", "affected"), ("M", "checked"))})])
    told = [(int(each.patient, 16), each.alarm, each.days) for each in found.late]
    closes = next(visit.closes for visit in verdict.due(date(2025, 1, 10), {}, TODAY) if visit.visit == "month-12")
    assert told == [(0, "visit overdue", (TODAY - closes).days), (3, "trial too long", 12), (3, "diary missing", 19),
                    (4, "diary missing", 5), (7, "recall open", 10)]
    assert [(int(each.patient, 16), each.visit, each.opens) for each in found.due] == [(2, "1 month", "2026-11-20")]


def test_nothing_is_due_or_late_once_the_device_is_out():
    """The pathway may begin again, with a new referral: the schedule of the device that is out does not go on with it."""
    out = {"on": "2026-11-20", "reason": "infection", "after": "implant"}
    early = {"wound": [{"on": "2026-11-02"}], "programming": [{"on": "2026-11-06"}]}
    low = visits(month_1=("2025-02-10", 3), month_12=("2026-01-10", 7.5), unplanned=("2026-02-10", 7.5))
    states = [("2026-10-20", early, ["1 month"], []),              # a visit whose days had come before the explant
              ("2025-01-10", {}, [], ["visit overdue"]), ("2025-01-10", low, [], ["effect lost"])]
    for implanted, kept, due, late in states:
        there = seen([one(implanted=implanted, visits=kept)])
        assert ([each.visit for each in there.due], [each.alarm for each in there.late]) == (due, late)
        for stage in ("explanted", "referred", "selected"):
            gone = seen([one(stage, implanted, visits=kept, explant=out)])
            assert (gone.due, gone.late) == ((), ()), stage
    new = seen([one(implanted="2026-10-20", visits=early, explant=out | {"on": "2026-05-01"})])
    assert [each.visit for each in new.due] == ["1 month"]         # of the next system


def test_a_diary_that_stopped_and_a_trial_that_nobody_judged_are_alarms():
    def trial(**more):
        return one("trial running", None, trial={"begun": "2026-11-14", "days": 14, "baseline_nrs": 7}, **more)

    ended = {"begun": "2026-11-06", "days": 7, "baseline_nrs": 7}
    found = seen([
        trial(diary={"first": "2026-11-14", "last": "2026-11-17", "entries": 4}),
        trial(diary={"first": "2026-11-14", "last": "2026-11-18", "entries": 5}),
        trial(diary={"first": "2026-09-17", "last": "2026-10-18", "entries": 9}),  # of the time before the trial
        one("trial ended", None, trial=ended | {"ended": "2026-11-19"}), one("trial ended", None, trial=ended | {"ended": "2026-11-20"}),
        one("trial succeeded", None, trial=ended | {"ended": "2026-11-13", "succeeded": True})])
    assert [(int(each.patient, 16), each.alarm, each.since, each.days) for each in found.late] == [
        (2, "diary missing", "2026-11-14", 6), (0, "diary missing", "2026-11-17", 3), (3, "decision waiting", "2026-11-19", 1)]


def test_loss_of_effect_is_an_alarm_with_the_open_steps():
    low = visits(month_1=("2025-02-10", 3), month_12=("2026-01-10", 7.5), unplanned=("2026-02-10", 7.5))
    found = seen([one(visits=low), one(visits=low, salvage={"reprogram": {"state": "done", "on": "2026-02-11", "by": "N", "result": "none"}}),
                  one(visits=visits(month_1=("2025-02-10", 3), month_12=("2026-01-10", 3)))])
    words = {int(each.patient, 16): each.words for each in found.late if each.alarm == "effect lost"}
    assert set(words) == {0, 1}
    assert "reprogram" in words[0]
    assert "reprogram" not in words[1]
    assert words[1].startswith("low relief since 2026-01-10")


def test_outcomes_by_hand_and_small_numbers_without_percentages():
    few = seen([one(visits=visits(month_1=("2025-02-10", 4.0))) for _ in range(9)])
    assert few.outcomes[0].responder50 == views.Share(9, 9, None, None, None)
    assert few.outcomes[0].change is None
    assert "too few" in str(few.outcomes[0].responder50)
    states = [one(visits=visits(month_1=("2025-02-10", nrs))) for nrs in (4.0,) * 6 + (5.6,) * 3 + (8.0,) * 3]
    states += [one("explanted", explant={"on": "2025-01-20", "reason": "infection", "after": "implant"})]  # not seen: no responder of all
    found = seen(states).outcomes[0]
    assert (found.expected, found.seen) == (13, 12)
    assert (found.responder50.k, found.responder30.k, found.responder50_of_all.n) == (6, 9, 13)
    change = np.array([-4.0] * 6 + [-2.4] * 3 + [0.0] * 3)
    assert found.change == pytest.approx(change.mean())
    assert found.change_high - found.change == pytest.approx(2.200985 * change.std(ddof=1) / math.sqrt(12), rel=1e-6)  # t of 11 degrees of freedom
    assert found.responder50.low == pytest.approx(25.378, abs=0.01)  # Wilson for 6 of 12, from its formula by hand
    assert [each.value for each in found.published if "change" in each.words] == [-2.62]


def test_trial_to_implant_counts_trials_that_are_over():
    states = [one() for _ in range(9)] + [one("trial failed", None) for _ in range(3)] + [one("trial succeeded", None), one("trial running", None)]
    found = seen(states)
    assert (found.trial_to_implant.k, found.trial_to_implant.n, found.trials_waiting) == (9, 12, 1)
    hayek = next(each for each in found.trial_published if "2007 to 2013" in each.name)
    assert hayek.value == pytest.approx(100 * 234 / 345)


def infection(onset):
    return {"i": {"kind": "infection", "subkind": "superficial", "stage": "follow-up", "onset": onset}}


def test_infections_of_the_first_year_of_those_who_had_a_year():
    states = [one(complications=infection("2025-03-01")), one(complications=infection("2026-03-01")), *[one() for _ in range(10)],
              one(implanted="2026-06-01", complications=infection("2026-06-20"))]
    found = seen(states)
    assert (found.infection.k, found.infection.n) == (1, 12)
    assert (found.run_chart.points[0].quarter, found.run_chart.points[0].k, found.run_chart.points[0].n) == ("2025 Q1", 1, 12)
    assert (found.run_chart.points[5].quarter, found.run_chart.points[5].k) == ("2026 Q2", 1)
    assert found.run_chart.unit == "count"  # quarters with nobody
    assert found.run_chart.points[-1].open
    assert not found.run_chart.points[0].open


def chart(values):
    return views.run_chart([views.Point(f"q{k}", 0, 20, value, False) for k, value in enumerate(values)], "%")


def test_run_chart_rules():
    assert not chart([1, 3, 1, 3, 1, 3, 1, 3, 1, 3]).signals
    assert chart([1, 1.1, 1, 1.2, 1, 1.1, 5, 6, 5, 6, 5, 6]).signals[0].startswith("shift: 6")
    assert not chart([1, 1.1, 1, 1.2, 1, 5, 6, 5, 6, 5]).signals  # five on a side are no shift
    assert chart([1, 5, 1, 5, 1, 2, 3, 4, 5, 1, 5]).signals[0].startswith("trend: 5")
    assert chart([1, 5, 1, 5, 1, 2, 3, 4, 4, 4, 5, 1]).signals == chart([1, 5, 1, 5, 1, 2, 3, 4, 5, 1]).signals
    assert "fewer than 10 points" in chart([1, 1, 1, 5, 6, 7, 8, 9, 10]).words
    assert not chart([1, 1, 1, 5, 6, 7, 8, 9, 10]).signals
    assert chart([0] * 20).signals == ()  # all on the median
    assert chart([1, 3, 1, 3, 2, 2, 2, 2, 2, 2, 2, 3]).signals == ()  # points on the median are on no side
    assert chart([5, 5, 5, 2, 5, 5, 5, 1, 2, 1, 1, 2, 1]).signals[0].startswith("shift: 6")  # and do not break a run


@given(st.lists(st.tuples(st.floats(0.1, 60), st.booleans()), min_size=12, max_size=60))
def test_greenwood_share_is_that_of_kaplan_and_meier(people):
    event = [month if gone else float("nan") for month, gone in people]
    times, share = kaplan_meier(event, [month for month, _ in people])
    at = views.at_month(12, np.array(event), np.array([month for month, _ in people]))
    if at["share"] is not None:
        before = share[times <= 12]
        assert at["share"] == pytest.approx(100 * (before[-1] if len(before) else 1.0))
        if at["low"] is not None:
            assert 0 <= at["low"] <= at["share"] <= at["high"] <= 100


def test_greenwood_interval_by_hand():
    at = views.at_month(12, np.array([3.0, 6.0] + [np.nan] * 18), np.full(20, 24.0))
    # variance of Greenwood 1/(20 x 19) + 1/(19 x 18) = 0.0055556; log-log: 0.9 ** exp(+-1.96 sqrt(0.0055556) / |ln 0.9|)
    assert (at["share"], at["at_risk"]) == (pytest.approx(90), 18)
    assert at["low"] == pytest.approx(65.60, abs=0.01)
    assert at["high"] == pytest.approx(97.40, abs=0.01)


def test_explants_of_an_earlier_system_and_of_the_trial_do_not_count():
    states = [one("explanted", "2025-01-10", explant={"on": "2025-07-10", "reason": "infection", "after": "implant"}),
              one(explant={"on": "2024-07-10", "reason": "infection", "after": "implant"}),
              one("explanted", None, explant={"on": "2024-07-10", "reason": "wish", "after": "trial"}), *[one() for _ in range(10)]]
    found = seen(states).explants
    assert (found.n, found.explants, found.reasons) == (12, 1, {"infection": 1})
    assert found.share == (pytest.approx(100 * 11 / 12, abs=0.01),)
    assert found.at[0]["at_risk"] == 11
    assert found.at[1]["share"] is None  # nobody is at risk at two years
    assert {each.value for each in found.published} >= {88.4, 17.8}


def test_overview_is_plain_values_and_quick_for_ten_thousand():
    states = [one(visits=visits(month_1=("2025-02-10", 3 + k % 5), month_12=("2026-01-10", 2 + k % 6))) for k in range(10_000)]
    found = seen(states)
    assert json.loads(json.dumps(found.as_dict()))["patients"] == 10_000
    text = page.overview_page(found)
    assert len(text) < 6_000_000


@pytest.fixture
def record(tmp_path):
    made = Record.create(tmp_path / "clinic.sqlite", clock=lambda: datetime(2026, 11, 20, 20, tzinfo=UTC))
    yield made
    made.close()


def patient(record, name="Muster"):
    made = new_id()
    record.commit("nurse", made, [
        events.Registered(on=date(2026, 1, 5), birth_year=1960, identity=events.Identity(
            family_name=name, given_name="Eva", birth_date=date(1960, 2, 3))),
        events.Referred(on=date(2026, 1, 6), indication="crps", nrs=8, question="Sealedquestion"),
        events.Answered(on=date(2026, 1, 7), instrument={"kind": "odi"}, answers={str(k): 2 for k in range(1, 11)}),
        events.Answered(on=date(2026, 1, 7), instrument={"kind": "eq-5d-5l"}, answers={**dict.fromkeys(eq5d.DIMENSIONS, 1), "vas": 80}),
        events.Complicated(on=date(2026, 1, 8), name="=cmd()", complication={
            "kind": "other", "description": "=1+1", "stage": "trial", "onset": "2026-01-08"}),
        *(events.Diary(on=date(2026, 2, 1) + timedelta(days=k), average=5 + k, note="Sealednote") for k in range(3))])
    return made


def test_trends_with_corrections(record):
    who = patient(record)
    answered = next(each["version"] for each in record.timeline(who) if each["kind"] == "instrument.answered")
    record.commit("nurse", who, [events.Corrected(on=date(2026, 2, 9), version=answered, why="form of another day", instead={
        "on": "2026-01-09", "instrument": {"kind": "odi"}, "answers": {str(k): 3 for k in range(1, 11)}})])
    found = views.trends(record, who)
    assert [(each["on"], each["value"]) for each in found["odi"]] == [("2026-01-09", 60.0)]
    assert [each["value"] for each in found["nrs"]] == [8.0, 5.0, 6.0, 7.0]
    assert found["eq5d"][0]["value"] == 1.0


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_tables_hold_no_name_and_nothing_sealed(record, tmp_path, format):
    who = patient(record, "Zebrafamily")
    written = views.export(record, tmp_path / "out", format)
    assert set(written) == {"patients", "events", "diary", "visits", "complications", "devices"}
    if format == "csv":
        with written["diary"].open() as file:
            assert [row["average"] for row in csv.DictReader(file)] == ["5.0", "6.0", "7.0"]
        with written["complications"].open() as file:
            (row,) = csv.DictReader(file)
        assert row["name"] == "'=cmd()"  # no formula
        text = b"".join(path.read_bytes() for path in written.values())
    else:
        import pyarrow.parquet as parquet

        text = json.dumps({name: parquet.read_table(path).to_pylist() for name, path in written.items()}).encode()
    assert who.encode() in text
    for word in (b"Zebrafamily", b"Sealed", b"1960-02-03"):
        assert word not in text
    with pytest.raises(BadInput, match="something here already"):
        views.export(record, tmp_path / "out", format)
