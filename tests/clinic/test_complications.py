"""Complications and their classes, published rates, and recalls that overlook nothing."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from epidura.clinic import complications as cp
from epidura.errors import BadInput
from epidura.recipe import read_recipe
from epidura.tables import EVIDENCE, table

DAY = date(2026, 3, 1)


def event(**more) -> cp.Complication:
    return cp.Complication(**{"kind": "infection", "subkind": "deep", "stage": "implant", "onset": DAY, "criteria": ("hospital",),
                              "device": "possible", "procedure": "probable", "anticipated": True} | more)


@pytest.mark.parametrize("name", ["complications", "severities", "seriousness", "safety_rates"])
def test_every_row_has_evidence_and_source(name):
    for row in table(name):
        assert row["evidence"] in EVIDENCE, row
        assert row["source"], row


def test_taxonomy_has_what_was_asked_for():
    known = {(one.kind, one.subkind) for one in cp.kinds()}
    assert {("infection", "superficial"), ("infection", "deep")} <= known
    assert {"haematoma", "migration", "fracture", "dural-puncture", "pocket-pain", "neurological"} <= {kind for kind, _ in known}
    assert len(known) == len(cp.kinds())
    assert all(one.definition and one.usual_actions for one in cp.kinds())


@pytest.mark.parametrize(("more", "words"), [
    ({}, "anticipated serious adverse device effect"), ({"anticipated": False}, "unanticipated serious adverse device effect"),
    ({"criteria": ()}, "adverse device effect"), ({"device": "not related", "procedure": "not related"}, "serious adverse event"),
    ({"device": "not related", "procedure": "not related", "criteria": ()}, "adverse event"),
    ({"anticipated": None}, "serious adverse device effect; whether anticipated is not known"),
    ({"criteria": ("death",), "outcome": "fatal"}, "anticipated serious adverse device effect"),
])
def test_classes_of_iso_14155(more, words):
    assert event(**more).classification() == words


def test_what_is_not_assessed_is_not_harmless():
    unknown = event(criteria=None)
    assert unknown.serious is None
    assert unknown.classification().startswith("not classified")
    assert "what it led to" in unknown.open()
    assert event(criteria=None, outcome="fatal").serious
    assert event(device="not related", procedure="not assessed").effect_of_device is None
    assert event(device="not assessed").effect_of_device
    whole = event(severity="severe", deficiency=False, actions=(cp.Action(on=DAY, what="explant"),), outcome="recovered")
    assert whole.open() == ()
    assert "subkind" in event(subkind="").open()
    assert "subkind" not in event(kind="pocket-pain", subkind="").open()
    assert len(event(subkind="").usual_actions()) == 2
    assert len(event().usual_actions()) == 1


@pytest.mark.parametrize(("change", "words"), [
    ({"kind": "infektion"}, "did you mean 'infection'"), ({"subkind": "cord"}, "superficial, deep"),
    ({"kind": "other", "subkind": ""}, "describe it"),
    ({"reported": "2026-02-01"}, "2026-03-01 or later"), ({"ended": "2026-02-01"}, "2026-03-01 or later"), ({"outcome": "fatal"}, "about death"),
    ({"criteria": ["death"]}, "about death"), ({"criteria": ["hospitals"]}, "hospital"), ({"severity": "bad"}, "mild, moderate, severe"),
])
def test_bad_events_are_refused(change, words):
    with pytest.raises(BadInput, match=words):
        read_recipe(cp.Complication, event().model_dump(mode="json") | change)


def test_round_trip():
    assert read_recipe(cp.Complication, event().model_dump(mode="json")) == event()


# rates

def test_wilson_is_the_interval_of_every_derived_row():
    derived = [one for one in cp.rates() if one.interval == "wilson 95 %"]
    assert len(derived) >= 15
    for one in derived:
        low, high = (100 * end for end in cp.wilson(one.k, one.n))
        assert one.rate == pytest.approx(100 * one.k / one.n, abs=0.0051)
        assert (low, high) == (pytest.approx(one.low, abs=0.0051), pytest.approx(one.high, abs=0.0051)), one


def test_wilson_of_a_hand_computation():
    z = stats.norm.ppf(0.975)
    centre, half = (3 + z**2 / 2) / (20 + z**2), z / (20 + z**2) * (3 * 17 / 20 + z**2 / 4) ** 0.5
    assert cp.wilson(3, 20) == pytest.approx((centre - half, centre + half), abs=1e-12)


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_mirrors(count):
    k, n = count
    low, high = cp.wilson(k, n)
    assert 0 <= low <= k / n <= high <= 1
    assert cp.wilson(n - k, n) == pytest.approx((1 - high, 1 - low), abs=1e-9)


@pytest.mark.parametrize(("k", "n"), [(1, 0), (-1, 5), (6, 5), (1.5, 5), (True, 5)])
def test_wilson_refuses_what_is_no_count(k, n):
    with pytest.raises(BadInput, match="whole numbers"):
        cp.wilson(k, n)
    with pytest.raises(BadInput, match="level"):
        cp.wilson(1, 5, 1.0)


def test_published_rates_are_found_by_event_kind_stage_and_source():
    (hoelzer,) = cp.published("infection (all SSI)", source="hoelzer")
    assert (hoelzer.k, hoelzer.n, hoelzer.rate) == (67, 2737, 2.45)
    assert "67/2737" in str(hoelzer)
    assert {one.kind for one in cp.published(kind="haematoma")} == {"haematoma"}
    assert all(one.stage == "trial" or one.stage == "both" for one in cp.published(stage="trial"))
    assert any(one.stage == "both" for one in cp.published(kind="dural-puncture", stage="trial"))
    assert any(one.stage == "implant (paddle)" for one in cp.published(stage="implant"))
    with pytest.raises(BadInput, match="infection"):
        cp.published("infektion")
    assert {one.kind for one in cp.rates()} - {""} <= {one.kind for one in cp.kinds()}


def test_own_count_beside_a_published_one():
    (row,) = cp.published("infection (all SSI)", source="hoelzer")
    assert "overlap" in cp.beside(3, 120, row).words[0]
    assert "above" in cp.beside(20, 120, row).words[0]
    assert "overlap" in cp.beside(10, 200, row).words[0]  # from 2.7 % on: above their low end, not above their high one
    assert "below" in cp.beside(0, 1000, row).words[0]
    assert cp.beside(3, 120, row).rate == pytest.approx(2.5)
    (ranged,) = cp.published("infection (all SSI)", source="ASRA")
    assert any("range over reports" in words for words in cp.beside(3, 120, ranged).words)
    (remembered,) = cp.published("seroma")
    assert any("from memory" in words for words in cp.beside(1, 100, remembered).words)
    (bare,) = cp.published("any complication", source="Turner")
    assert any("without an interval" in words for words in cp.beside(34, 100, bare).words)


# recalls

def recall(**more) -> cp.Recall:
    return cp.Recall(**{"manufacturer": "Maker", "models": ("M 100",), "on": DAY, "action": "impedance check", "source": "notice 1"} | more)


def device(**more) -> cp.Device:
    return cp.Device(**{"id": "d1", "manufacturer": "Maker", "model": "m-100", "serial": "NKX 000150", "lot": "L1"} | more)


@pytest.mark.parametrize(("notice", "part", "sure"), [
    (recall(), device(), True), (recall(models=()), device(model="other"), True), (recall(), device(model="M 200"), None),
    (recall(), device(model=""), False), (recall(), device(manufacturer="Other"), None), (recall(), device(manufacturer="Maker Medical Ltd"), True),
    (recall(serials=("nkx000150",)), device(), True), (recall(serials=("nkx000151",)), device(), None),
    (recall(serials=("nkx000150",)), device(serial=""), False), (recall(serials=("nkx000150",)), device(manufacturer="Other"), False),
    (recall(serials=("nkx000150",)), device(model="M 200"), False), (recall(serials=("nkx000151",), lots=("l1",)), device(), True),
    (recall(lots=("L2",)), device(), None), (recall(lots=("L2",)), device(lot=""), False),
    (recall(serial_ranges=(("NKX000100", "NKX000150"),)), device(), True), (recall(serial_ranges=(("NKX000100", "NKX000149"),)), device(), None),
    (recall(serial_ranges=(("NKX000100", "NKX000150"),)), device(model=""), False),
    (recall(serial_ranges=(("NKX000100", "NKX000150"),)), device(serial="150"), False),
    (recall(serial_ranges=(("NKX000100", "NKX000150"),)), device(serial=""), False),
])
def test_recalls_find_every_device_that_cannot_be_ruled_out(notice, part, sure):
    found = cp.affected([part], [notice])
    assert [one.sure for one in found] == ([] if sure is None else [sure])
    assert all(one.why for one in found)


def test_an_explanted_device_is_said_to_be():
    assert "explanted on 2026-03-01" in cp.affected([device(explanted=DAY)], [recall()])[0].why


@given(st.integers(0, 999), st.integers(0, 999), st.integers(0, 999))
def test_ranges_include_both_ends(a, b, own):
    first, last = sorted((a, b))
    notice = recall(serial_ranges=((f"AB{first:03}", f"AB{last:03}"),))
    assert bool(cp.affected([device(serial=f"ab-{own:03}")], [notice])) == (first <= own <= last)


@pytest.mark.parametrize("pair", [("B1", "A2"), ("A9", "A1"), ("A1", "A10"), ("", "")])
def test_a_range_that_is_none_is_refused(pair):
    with pytest.raises(BadInput, match="not a range"):
        read_recipe(cp.Recall, recall().model_dump(mode="json") | {"serial_ranges": [pair]})
