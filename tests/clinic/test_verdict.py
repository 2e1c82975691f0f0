"""Verdict with its caveat, loss of effect, salvage, visits: rules as data and nothing judged that is missing."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epidura.clinic import verdict as vd
from epidura.clinic.pathway import trial_of
from epidura.errors import BadInput
from epidura.recipe import read_recipe
from epidura.stages import QUANTITIES, rule
from epidura.tables import EVIDENCE, table

FIRST = date(2026, 3, 1)
RULES = list(dict.fromkeys(table("stage_rules").column("rule")))


def days(start: date, pains: list[float | None], **more) -> tuple[vd.DiaryDay, ...]:
    return tuple(vd.DiaryDay(day=start + timedelta(days=k), average=pain, **more) for k, pain in enumerate(pains))


def trial(before=(8.0, 8.0, 8.0), during=(4.0, 3.0, 5.0), first: dict | None = None, then: dict | None = None, **more) -> vd.Trial:
    whole = {"activity": 4.0, "sleep": 4.0, "medication": 100.0}
    return vd.Trial(before=days(date(2026, 2, 20), list(before), **whole | (first or {})), during=days(FIRST, list(during), **whole | (then or {})),
                    **{"index_before": 0.4, "index_during": 0.6} | more)


@pytest.mark.parametrize("name", ["loss_rules", "salvage", "follow_up"])
def test_every_row_has_evidence_and_source(name):
    for row in table(name):
        assert row["evidence"] in EVIDENCE, row
        assert row["source"], row


# the verdict

@pytest.mark.parametrize("by", RULES)
def test_a_good_trial_meets_every_rule_and_an_empty_one_is_not_judged(by):
    good = vd.judge(trial(), by)
    assert good.passed is True
    assert good.words == f"meets the rule {by}"
    assert [one.quantity for one in good.lines] == list(rule(by))
    empty = vd.judge(vd.Trial(), by)
    assert empty.passed is None
    assert {one.state for one in empty.lines} == {"missing"}
    assert empty.words.startswith("cannot be judged")


@pytest.mark.parametrize("diary", [trial(), vd.Trial(), trial(during=(8.0,))])
def test_the_caveat_is_part_of_every_verdict(diary):
    said = vd.judge(diary).caveat
    assert said.sensitivity == (100.0, 78.0, 100.0)
    assert said.specificity == (8.0, 1.0, 25.0)
    assert "specificity 8 % (1 to 25)" in said.words
    assert "sensitivity 100 % (78 to 100)" in said.words
    assert said.doi_or_url


def test_quantities_by_hand():
    found = vd.quantities(trial(before=(8.0, 6.0), during=(3.0, None, 4.0), then={"medication": 50.0, "activity": 6.0}))
    assert found["baseline"] == 7.0
    assert found["relief"] == pytest.approx(0.5)
    assert found["medication"] == 0.5
    assert found["activity"] == 2.0
    assert found["sleep"] == 0.0
    assert found["index"] == pytest.approx(0.2)
    assert set(found) == set(QUANTITIES)
    none = vd.quantities(trial(first={"medication": 0.0}, then={"medication": 0.0}))
    assert none["medication"] == 1.0
    assert vd.quantities(trial(first={"medication": 0.0}))["medication"] == float("inf")
    assert vd.quantities(trial(before=(0.0,), during=(0.0,)))["relief"] is None


@pytest.mark.parametrize(("by", "change", "passed"), [
    ("relief-50", {"during": (4.0,)}, True), ("relief-50", {"during": (4.01,)}, False), ("expert-panel", {"then": {"medication": 101.0}}, False),
    ("expert-panel", {"then": {"activity": 3.0}}, True), ("expert-panel", {"then": {"activity": 2.9}}, False),
    ("nice", {"before": (4.9,), "during": (1.0,)}, False), ("nice", {"before": (5.0,), "during": (1.0,)}, True),
    ("four-domains", {"index_during": 0.39}, False), ("four-domains", {"index_during": None}, None),
    ("four-domains", {"index_during": None, "during": (8.0,)}, False), ("expert-panel", {"then": {"medication": None}}, None),
])
def test_limits_of_the_rules(by, change, passed):
    assert vd.judge(trial(**change), by).passed is passed


def test_words_say_what_failed_or_is_missing():
    assert "relief of mean average pain 0.25, at least 0.5 asked" in vd.judge(trial(during=(6.0,))).words
    assert "medication" in vd.judge(trial(then={"medication": None}), "expert-panel").words
    assert "limit not verified" in next(one.words for one in vd.judge(trial(), "expert-panel").lines if one.quantity == "activity")
    assert vd.judge(trial(), {"sleep": 0.0}).rule == "own limits"
    assert vd.judge(trial(), {"sleep": 0.1}).passed is False
    assert "on 2 of 7 days" in vd.judge(trial(during=(4.0, None, 4.0), days=7)).kept
    for bad in ("relief-60", {"pain": 1.0}, {}):
        with pytest.raises(BadInput):
            vd.judge(trial(), bad)


def test_reported_relief_stands_beside_calculated():
    both = vd.judge(trial(during=(4.0,), reported_relief=0.6))
    assert (both.calculated_relief, both.reported_relief) == (0.5, 0.6)
    assert "apart by +10 points" in both.agreement
    assert "outside" not in both.agreement
    assert "outside them" in vd.judge(trial(during=(8.0,), reported_relief=0.5)).agreement
    assert "reported relief is missing" in vd.judge(trial()).agreement
    assert vd.judge(trial(during=(8.0,), reported_relief=0.9)).passed is False  # what is reported does not pass a rule of calculated relief


@given(st.lists(st.floats(0.5, 10), min_size=1, max_size=9), st.lists(st.one_of(st.none(), st.floats(0, 10)), min_size=1, max_size=9),
       st.floats(0, 1))
def test_less_pain_never_fails_what_more_pain_passed(before, during, less):
    lower = [None if pain is None else pain * less for pain in during]
    one, other = (vd.judge(trial(before=tuple(before), during=tuple(pains))).passed for pains in (during, lower))
    assert (one is None) == (other is None)
    assert not one or other


@pytest.mark.parametrize(("change", "words"), [
    ({"during": [{"day": "2026-03-01"}, {"day": "2026-03-01"}]}, "written twice"),
    ({"before": [{"day": "2026-03-02"}], "during": [{"day": "2026-03-01"}]}, "later than one with it"),
    ({"during": [{"day": "2026-03-01", "least": 5, "worst": 4}]}, "mistyped"), ({"during": [{"day": "2026-03-01", "average": 11}]}, "average"),
])
def test_a_diary_that_cannot_be_is_refused(change, words):
    with pytest.raises(BadInput, match=words):
        read_recipe(vd.Trial, change)


# loss of effect and salvage

def seen(*relief: float, every: int = 30) -> list[vd.Seen]:
    return [vd.Seen(on=FIRST + timedelta(days=every * k), relief=value) for k, value in enumerate(relief)]


@pytest.mark.parametrize(("series", "state", "since"), [
    ([], "unknown", None), (seen(0.2, 0.1, 0.0), "never reached", None), (seen(0.49), "never reached", None), (seen(0.5, 0.4, 0.3), "kept", None),
    (seen(0.6, 0.2), "watch", 30), (seen(0.6, 0.2, 0.1), "lost", 30), (seen(0.6, 0.2, 0.1, every=13), "watch", 13),
    (seen(0.6, 0.2, 0.1, every=14), "lost", 14), (seen(0.6, 0.2, 0.1, 0.5), "kept", None), (seen(0.6, 0.2, 0.4, 0.1), "watch", 90),
    (seen(0.1, 0.6, 0.1, 0.1), "lost", 60), (list(reversed(seen(0.6, 0.2, 0.1))), "lost", 30),
])
def test_rule_of_loss(series, state, since):
    found = vd.loss_of_effect(series)
    assert found.state == state
    assert found.since == (None if since is None else FIRST + timedelta(days=since))
    assert bool(found.checklist) == (state == "lost")
    assert "rule lost-30 (judgement)" in found.words


def test_loss_from_pain_needs_a_baseline():
    series = [vd.Seen(on=one.on, nrs=8 * (1 - one.relief)) for one in seen(0.6, 0.2, 0.1)]
    assert vd.loss_of_effect(series, 8.0) == vd.loss_of_effect(seen(0.6, 0.2, 0.1))
    for bad in (None, 0.0, 11.0):
        with pytest.raises(BadInput, match="baseline"):
            vd.loss_of_effect(series, bad)
    with pytest.raises(BadInput, match="two records"):
        vd.loss_of_effect([*seen(0.6), *seen(0.5)])
    with pytest.raises(BadInput, match="lost-30"):
        vd.loss_of_effect([], by="lost")


def test_salvage_comes_before_an_explant():
    everything = table("salvage").column("step")
    assert everything == ["reprogram", "waveform", "holiday", "lead-check", "impedance"]
    assert len(vd.open_before_explant()) == 5
    step = vd.Step(state="not possible", on=FIRST, by="N", result="broken charger")
    assert len(vd.open_before_explant({"holiday": step})) == 4
    assert vd.open_before_explant(dict.fromkeys(everything, step)) == ()
    found = vd.loss_of_effect(seen(0.6, 0.2, 0.1), done={"holiday": step})
    assert [one.step for one in found.checklist if one.done] == ["holiday"]
    with pytest.raises(BadInput, match="impedance"):
        vd.salvage_checklist({"impedances": step})
    with pytest.raises(BadInput):
        read_recipe(vd.Step, {"state": "done", "on": "2026-03-01", "by": "N", "result": ""})


# visits

def states(today: date, done: dict[str, date] | None = None, **more) -> dict[str, str]:
    return {one.visit: one.state for one in vd.due(FIRST, done or {}, today, **more)}


def test_first_visits_by_hand():
    plan = {one.visit: (one.opens, one.closes) for one in vd.due(FIRST, {}, FIRST)}
    assert plan["wound"] == (date(2026, 3, 11), date(2026, 3, 15))
    assert plan["programming"] == (date(2026, 3, 15), date(2026, 3, 29))
    assert plan["month-1"][0] == date(2026, 4, 1)
    assert plan["month-12"][0] == date(2027, 3, 1)
    assert list(plan) == ["wound", "programming", "month-1", "month-3", "month-6", "month-12"]


@pytest.mark.parametrize(("today", "state"), [(date(2026, 3, 10), "later"), (date(2026, 3, 11), "due"), (date(2026, 3, 15), "due"),
                                              (date(2026, 3, 16), "overdue")])
def test_states_of_the_wound_check(today, state):
    assert states(today)["wound"] == state
    assert states(today, {"wound": FIRST})["wound"] == "done"


def test_visits_go_on_every_year_until_the_explant():
    assert list(states(date(2029, 3, 1)))[-3:] == ["year-2", "year-3", "year-4"]
    assert states(date(2029, 3, 1))["year-3"] == "due"
    assert states(date(2029, 3, 1))["year-4"] == "later"
    gone = states(date(2029, 3, 1), {"month-12": date(2027, 3, 5)}, until=date(2027, 4, 1))
    assert gone == {"month-12": "done"}  # those that were missed by then are not asked for any more
    assert list(states(date(2030, 1, 1), schedule="trial")) == [f"month-{m}" for m in (1, 3, 6, 9, 12, 18, 24)]


@given(st.dates(date(2000, 1, 1), date(2040, 1, 1)), st.integers(0, 4000))
def test_there_is_always_a_next_visit_and_windows_are_in_order(implanted, after):
    plan = vd.due(implanted, {}, implanted + timedelta(days=after))
    assert plan[-1].state == "later"
    assert all(one.opens <= one.closes for one in plan)
    assert [one.opens for one in plan] == sorted(one.opens for one in plan)
    assert len({one.visit for one in plan}) == len(plan)


def test_months_end_where_the_month_ends():
    assert vd.later(date(2026, 1, 31), 1) == date(2026, 2, 28)
    assert vd.later(date(2027, 12, 31), 2) == date(2028, 2, 29)


@pytest.mark.parametrize(("done", "more", "words"), [
    ({"wounds": FIRST}, {}, "did you mean 'wound'"), ({"wound": date(2026, 2, 1)}, {}, "2026-03-01 to"),
    ({"wound": date(2027, 1, 1)}, {}, "2026-03-01 to"),
    ({}, {"schedule": "weekly"}, "routine"),
])
def test_bad_visits_are_refused(done, more, words):
    with pytest.raises(BadInput, match=words):
        vd.due(FIRST, done, date(2026, 6, 1), **more)


def test_a_diary_that_has_the_first_day_of_the_trial_is_judged_beside_the_pain_that_was_asked_for():
    state = {"stage": "trial running", "trial": {"begun": "2026-03-01", "rule": "relief-50", "days": 3, "baseline_nrs": 8.0}}
    found = trial_of(state, [{"day": f"2026-03-0{k}", "average": 4.0} for k in (1, 2, 3)])
    assert (len(found.before), len(found.during)) == (1, 3)
    assert vd.judge(found).calculated_relief == pytest.approx(0.5)
