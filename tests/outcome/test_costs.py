"""Money and QALYs by hand, dominance, prices that have to be given, and ledgers against counts of what happened."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from outcome_people import ARM, P

from epidura import costs as ct
from epidura import stages as sg
from epidura.errors import BadInput
from epidura.tables import EVIDENCE, table

DOCS = Path(__file__).parents[2] / "docs" / "two-stages.md"
GIVEN = {"trial stage": 100.0, "rechargeable system": 1000.0, "primary-cell system": 700.0, "implantation": 200.0, "generator replacement": 500.0,
         "revision": 50.0, "infection": 30.0, "explant": 20.0, "follow-up": 10.0, "medical management": 400.0}
ALL = ct.prices("GBP", GIVEN)
WHO = sg.cohort(8, 2000)
HARSH = P | {"loss rate": 0.6, "other explants": 0.02, "revision rate": 0.8}


def lived(procedure=None, p=HARSH, who=WHO, **more) -> sg.Stages:
    return sg.simulate(procedure or sg.Procedure(therapy="tonic", rechargeable=False), who, p, ARM, **{"months": (6, 12, 60), **more})


def bill_of(cost, qaly, currency="GBP") -> ct.Bill:
    return ct.Bill(currency, np.asarray(cost, float), np.asarray(qaly, float), {})


# by hand

def test_qalys_by_hand():
    # 0.4 at the start, 0.6 from month 6 on, 2 years: half a year of 0.5 and 1.5 years of 0.6
    assert ct.qalys([0, 6, 24], [0.4, 0.6, 0.6], discount=0) == pytest.approx(0.5 * 0.5 + 1.5 * 0.6)
    # discounted at 10 %: 0.4 at 0, 0.6 / sqrt(1.1) at half a year, 0.6 / 1.21 at two years
    mid, end = 0.6 / 1.1**0.5, 0.6 / 1.1**2
    assert ct.qalys([0, 6, 24], [0.4, 0.6, 0.6], discount=0.1) == pytest.approx(0.5 * (0.4 + mid) / 2 + 1.5 * (mid + end) / 2)
    assert ct.qalys([0, 12], [[1.0, 1.0], [-0.2, -0.2]], discount=0).tolist() == [1.0, -0.2]
    assert ct.DISCOUNT == 0.035


def test_money_in_time_by_hand():
    np.testing.assert_allclose(ct.present([0, 12, 24, np.nan], 0.1), [1, 1 / 1.1, 1 / 1.21, 0])
    assert ct.present_years(24, 0) == 2
    # an even stream is worth what very many small payments are
    at = (np.arange(100_000) + 0.5) / 100_000 * 36
    assert ct.present_years(36, 0.035) == pytest.approx(ct.present(at, 0.035).mean() * 3, rel=1e-8)


def test_the_ledger_of_each_patient_by_hand():
    run = lived()
    d, found = run.data, ct.bill(run, ALL, discount=0)
    explant = d.explant.values
    years = np.fmin(explant, 60) / 12
    by_hand = 100 * d.tried.values + d.implanted.values * (900 + 10 * years) + np.where(np.isfinite(explant), 20, 0)
    by_hand = by_hand + 500 * np.isfinite(d.battery.values).sum(1) + 50 * np.isfinite(d.revision.values).sum(1)
    by_hand = by_hand + 30 * (np.isfinite(d.infection.values) & (d.explant_reason.values != "infection"))
    use = np.concatenate([np.ones((len(WHO), 1)), d.medication.values], 1)
    by_hand = by_hand + 400 * ((use[:, 0] + use[:, 1]) / 4 + (use[:, 1] + use[:, 2]) / 4 + 4 * (use[:, 2] + use[:, 3]) / 2)
    np.testing.assert_allclose(found.cost, by_hand, rtol=1e-12)
    np.testing.assert_allclose(sum(found.parts.values()), found.cost)
    for item in found.parts:
        assert found.parts[item].sum() > 0, item  # so that the equality above speaks of each
    index = np.concatenate([d.index_before.values[:, None], d.index.values], 1)
    np.testing.assert_allclose(found.qaly, ct.qalys([0, 6, 12, 60], index, 0))
    later = ct.bill(run, ALL, discount=0.1)
    assert (later.parts["explant"] <= found.parts["explant"]).all()
    np.testing.assert_allclose(later.parts["medical management"], 400 * ct.qalys([0, 6, 12, 60], use, 0.1))
    once = np.isfinite(explant)
    np.testing.assert_allclose(later.parts["explant"][once], 20 * 1.1 ** (-explant[once] / 12))


def test_what_happens_after_the_last_visit_is_not_counted():
    short, long = (ct.bill(lived(months=(6,), until=until), ALL) for until in (6, 120))
    np.testing.assert_array_equal(short.cost, long.cost)


def test_a_visit_at_the_start_takes_the_place_of_the_state_before():
    run = lived(months=(0, 12))
    np.testing.assert_allclose(ct.bill(run, ALL, discount=0).qaly, run.data.index.values.mean(1))
    with pytest.raises(BadInput, match="no visit after the start"):
        ct.bill(lived(months=(0,)), ALL)


# ratios

@pytest.mark.parametrize(("cost", "qaly", "verdict", "ratio"), [
    (1000, 0.1, "costs more and gains", 10_000), (-1000, -0.1, "saves and loses", 10_000), (-5, 0.1, "dominant", None), (0, 0.1, "dominant", None),
    (-5, 0, "dominant", None), (5, -0.1, "dominated", None), (5, 0, "dominated", None), (0, -0.1, "dominated", None), (0, 0, "no difference", None),
])
def test_dominance_has_no_ratio(cost, qaly, verdict, ratio):
    found = ct.cost_per_qaly(bill_of([cost, cost], [qaly, qaly]), bill_of([0, 0], [0, 0]), draws=10)
    assert found.verdict == verdict
    assert found.verdict in ct.VERDICTS
    assert found.shares()[verdict] == 1
    assert sum(found.shares().values()) == pytest.approx(1)
    if ratio is None:
        assert np.isnan(found.ratio)
        assert found.interval() is None
    else:
        assert found.ratio == pytest.approx(ratio)
        assert found.interval() == pytest.approx((ratio, ratio))


def test_intervals_over_draws_of_the_parameters_and_over_people():
    cost = np.array([[100.0, 300.0], [400.0, 400.0], [100.0, 100.0]])
    qaly = np.array([[0.1, 0.3], [0.1, 0.1], [0.2, 0.2]])
    found = ct.cost_per_qaly(bill_of(cost, qaly), bill_of(np.zeros((3, 2)), np.zeros((3, 2))))
    np.testing.assert_allclose(found.costs / found.qalys, [1000, 4000, 500])
    assert found.interval(1.0) == pytest.approx((500, 4000))
    assert found.ratio == pytest.approx(cost.mean() / qaly.mean())
    assert found.acceptable(999) == pytest.approx(1 / 3)
    assert found.acceptable(5000) == 1
    # people drawn again: the spread is the standard error of a mean
    rng = np.random.default_rng(3)
    people = bill_of(rng.normal(1000, 200, 500), rng.normal(0.2, 0.05, 500)), bill_of(np.zeros(500), np.zeros(500))
    again = ct.cost_per_qaly(*people, draws=4000)
    assert again.costs.std() == pytest.approx(people[0].cost.std() / np.sqrt(500), rel=0.1)
    low, high = again.interval()
    assert low < again.ratio < high
    assert np.array_equal(again.costs, ct.cost_per_qaly(*people, draws=4000).costs)
    mixed = ct.cost_per_qaly(bill_of(cost, qaly - 0.15), bill_of(np.zeros((3, 2)), np.zeros((3, 2))))
    assert mixed.interval() is None
    assert mixed.shares()["dominated"] > 0


def test_a_trial_stage_against_none_and_against_usual_care():
    procedure = sg.Procedure(therapy="tonic")
    bills = {name: ct.bill(lived(one, P), ALL) for name, one in
             (("trial", procedure), ("none", procedure.but(skip=True)), ("usual", sg.Procedure(therapy="usual-care")))}
    against_usual = ct.cost_per_qaly(bills["trial"], bills["usual"])
    assert against_usual.verdict == "costs more and gains"
    assert against_usual.acceptable(0) < 1e-9 < against_usual.acceptable(1e9)
    assert bills["none"].parts.keys() == bills["trial"].parts.keys() - {"trial stage"}
    free = ct.bill(lived(procedure, P), ct.prices("GBP", dict.fromkeys(GIVEN, 0.0)))
    assert (free.cost == 0).all()
    assert set(bills["usual"].parts) == {"medical management"}
    together = ct.stacked([bills["trial"], bills["trial"]])
    assert ct.cost_per_qaly(together, ct.stacked([bills["usual"]] * 2)).costs.shape == (2,)


# prices

def test_prices_of_the_table_and_those_that_have_to_be_given():
    for row in table("costs"):
        assert row["item"] in ct.ITEMS
        assert row["evidence"] in EVIDENCE
        assert row["evidence"] not in ("recall", "judgement")
        assert row["currency"]
        assert row["year"]
        assert row["doi_or_url"]
    known = ct.prices("GBP")
    assert dict(known.values) == {"rechargeable system": 16648.0}
    assert known.numbers[0].source.startswith("NICE MTG41")
    with pytest.raises(BadInput, match=r"prices: no price was found for these, so they have to be given; got 'no trial stage, implantation, .*"
                       r"allowed: amounts in GBP; trial stage: .*at least 1950 GBP .*medical management: .*5188 EUR"):
        ct.bill(lived(sg.Procedure(therapy="tonic")), known)
    assert not ALL.numbers  # all were given, none is from the table
    assert ct.prices("EUR").values == {"medical management": 5188.0}
    assert "rechargeable system" not in ct.needed(sg.Procedure(therapy="tonic", rechargeable=False))
    assert "trial stage" not in ct.needed(sg.Procedure(therapy="tonic", skip=True))
    for item in ct.ITEMS:
        assert item in DOCS.read_text()


@pytest.mark.parametrize(("call", "message"), [
    (lambda: ct.prices("GBP", {"explants": 3}), r"prices: there is no such item; got 'explants'; .*did you mean 'explant'\?"),
    (lambda: ct.prices("GBP", {"explant": -3}), r"prices.explant: not an amount; got '-3'; allowed: 0 or more GBP"),
    (lambda: ct.prices("GBP", {"explant": float("nan")}), r"prices.explant: not an amount"),
    (lambda: ct.qalys([0, 6], [1, 1], discount=-0.1), r"discount: not a rate of discount; got -0.1"),
    (lambda: ct.qalys([6], [1]), r"months: no stretch of time"),
    (lambda: ct.qalys([0, 6], [1, 1, 1]), r"index: not one for each time; got \(3,\)"),
    (lambda: ct.cost_per_qaly(bill_of([1], [1]), bill_of([1], [1], "EUR")), r"old.currency: another currency; got 'EUR'; allowed: GBP"),
    (lambda: ct.cost_per_qaly(bill_of([1], [1]), bill_of([1, 2], [1, 2])), r"old: not the same people"),
    (lambda: ct.cost_per_qaly(bill_of([1], [1]), bill_of([1], [1]), draws=0), r"draws: no draws"),
    (lambda: ct.stacked([]), r"bills: not of the same people in the same currency; got '0 bills'"),
    (lambda: dataclasses.replace(ct.cost_per_qaly(bill_of([1], [1]), bill_of([1], [1]))).acceptable(-1), r"threshold: not what a QALY is worth"),
])
def test_bad_input_is_refused(call, message):
    with pytest.raises(BadInput, match=message):
        call()
