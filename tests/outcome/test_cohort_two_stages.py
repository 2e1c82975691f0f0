"""Cohorts whose leads are programmed, placed anew and moved, whose battery is that of a generator, and that are paid for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kill_cohort
import numpy as np
import pytest
from kill_cohort import small

from epidura import cohort, cohort_costs, cohort_page, cohort_reach, cohort_summary, virtual
from epidura import costs as ct
from epidura import stages as sg
from epidura.errors import BadInput
from epidura.virtual_sessions import Programmer

pq = pytest.importorskip("pyarrow.parquet")

PATIENTS = 24
PRICES = {"trial stage": 100.0, "rechargeable system": 1000.0, "primary-cell system": 700.0, "implantation": 200.0, "generator replacement": 500.0,
          "revision": 50.0, "infection": 30.0, "explant": 20.0, "follow-up": 10.0, "medical management": 400.0}
ARMS = [{"name": "tried first", "program": "tonic", "procedure": {"duration": "7 days"}},
        {"name": "implanted directly", "program": "tonic", "procedure": {"skip": True}},
        {"name": "tunnelled", "program": "tonic", "procedure": {"technique": "tunnelled"}},
        {"name": "usual care", "program": "usual-care"}]
COSTS = {"currency": "token", "prices": PRICES, "discount": 0.0, "thresholds": [1000.0]}
CASE = {**small()["case"], "anatomy": {"kind": "parametric", "vertebra": "T9"}}
BALANCED = {**CASE, "programs": [{"name": "tonic", "contacts": {4: -1, 5: 1},
                                    "waveform": {"kind": "tonic", "frequency": "50 Hz", "pulse_width": "300 us"}}]}
LINES = {"csf": 2, "lateral": [-1, 1], "minor": [], "compared": 0}


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in kill_cohort.NAMES:
            patch.setattr(cohort, name, getattr(kill_cohort, name))
        yield


@pytest.fixture(scope="module")
def study() -> cohort.Study:
    return cohort.read_study(small(case=CASE, arms=ARMS, costs=COSTS, batch=12, surrogate={"csf": 2, "lateral": [-1, 1], "minor": [], "compared": 0}))


@pytest.fixture(scope="module")
def made(study, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cohort") / "study"
    cohort.run_study(study, PATIENTS, folder)
    return folder


@pytest.fixture(scope="module")
def rows(made) -> list[dict[str, Any]]:
    return pq.read_table(made / "patients.parquet").to_pylist()


@pytest.fixture(scope="module")
def summary(made) -> dict[str, Any]:
    return json.loads((made / "study.json").read_text())


def arm(rows, name: str, column: str, replicate: int = 0) -> list[Any]:
    return [row[column] for row in rows if row["arm"] == name and row["replicate"] == replicate]


# --- sessions and places ---


def test_people_are_programmed_one_by_one(rows, summary):
    chosen = arm(rows, "tried first", "contacts")
    assert all(re.fullmatch(r"\d-\d\+|\d\+\d-\d\+", words) for words in chosen)
    everywhere = [row["contacts"] for row in rows if row["contacts"]]
    assert len(set(everywhere)) > 1  # some are programmed otherwise than others
    assert set(arm(rows, "tried first", "combinations_tried")) == {13}
    covered, written = (np.array(arm(rows, "tried first", name)) for name in ("coverage", "as_written_coverage"))
    assert covered.mean() > written.mean()
    told = summary["arms"][0]["programming"]
    assert told["by"] == "session"
    assert told["coverage"] == pytest.approx(covered.mean(), abs=1e-3)
    assert told["coverage_as_written"] == pytest.approx(written.mean(), abs=1e-3)
    assert told["changed"] == pytest.approx(np.mean([words != "4-5+" for words in chosen]), abs=1e-3)


def test_leads_of_the_definitive_stage_are_placed_anew_unless_they_stay(rows, study):
    for k in range(4):
        first, anew = cohort_reach.persons(study.around, study.seed, k)
        assert arm(rows, "tried first", "lateral")[k] == anew.lateral
        assert arm(rows, "implanted directly", "lateral")[k] == anew.lateral
        assert arm(rows, "tunnelled", "lateral")[k] == first.lateral
        assert first.lateral != anew.lateral
    # the same leads with and without a trial stage, and other ones while it lasts
    assert arm(rows, "tried first", "reach_factor") == arm(rows, "implanted directly", "reach_factor")
    assert arm(rows, "tried first", "tried_reach_factor") == arm(rows, "tunnelled", "reach_factor")
    assert arm(rows, "tunnelled", "tried_reach_factor") == arm(rows, "tunnelled", "reach_factor")
    assert arm(rows, "tried first", "tried_reach_factor") != arm(rows, "tried first", "reach_factor")


def test_what_is_reached_is_that_of_the_session(rows, study, made):
    made_of = Programmer(cohort.surrogate(study, made / cohort.TASKS))
    for k in range(4):
        _, anew = cohort_reach.persons(study.around, study.seed, k)
        ((session, reach),) = made_of.hold(anew)
        assert arm(rows, "tried first", "contacts")[k] == session.best.combination.words
        assert arm(rows, "tried first", "coverage")[k] == reach.coverage
        ((_, moved),) = made_of.hold(anew, virtual.migration_of(study.seed, k, anew=True))
        treated = study.treatments[0]
        draw = sg.cohort(study.seed, [k]).uniform("reach", 3)
        spot = cohort_reach.Spot(moved, "", 1, 0.0)
        assert arm(rows, "tried first", "moved_reach_factor")[k] == pytest.approx(float(cohort._factor(spot, draw, treated, True)[0]))


def test_moved_leads_are_revised_where_too_little_is_won_back(rows):
    moved = [row for row in rows if row["migration"] is not None]
    assert moved
    for row in moved:
        assert row["implanted"]
        assert row["migration"] < 12
    for row in rows:
        if row["migration_revised"]:
            assert row["moved_reach_factor"] < 0.95 * row["reach_factor"]
            assert row["revisions"] >= 1


def test_programs_can_keep_their_contacts(tmp_path):
    one = cohort.read_study(small(case=CASE, arms=ARMS[:1], programming="as-written", replicates=1,
                                  surrogate={"csf": 2, "lateral": [-1, 1], "minor": [], "compared": 0}))
    cohort.run_study(one, 3, tmp_path / "study")
    table = pq.read_table(tmp_path / "study" / "patients.parquet").to_pylist()
    assert {row["contacts"] for row in table} == {"4-5+"}
    assert {row["combinations_tried"] for row in table} == {1}
    assert all(row["coverage"] == row["as_written_coverage"] for row in table)


@pytest.mark.slow
def test_a_session_by_the_full_chain_of_every_person(tmp_path):
    one = cohort.read_study(small(surrogate={"by": "full-chain"}, replicates=1))
    cohort.run_study(one, 1, tmp_path / "study")
    (row, _) = pq.read_table(tmp_path / "study" / "patients.parquet").to_pylist()
    with kill_cohort.quick():
        (spot,) = cohort_reach.by_chain(cohort_reach.persons(one.around, one.seed, 0)[1].case)
    assert (row["contacts"], row["coverage"], row["perception"]) == (spot.contacts, spot.reach.coverage, spot.reach.perception)
    assert row["combinations_tried"] == 13
    assert row["coverage"] >= row["as_written_coverage"] - 0.05 - 1e-9
    assert row["moved_reach_factor"] == row["reach_factor"]  # its leads do not move


def test_spots_survive_a_file():
    with kill_cohort.quick():
        spots = cohort_reach.by_chain(cohort.read_study(small()).around)
    (again,) = cohort_reach.from_text(cohort_reach.to_text(spots))
    assert again.contacts == spots[0].contacts
    assert again.reach.coverage == spots[0].reach.coverage


# --- what the trial stage is worth ---


class Once:
    """In place of a random drawing of the patients: each of them once."""

    def __init__(self, seed: list[int]):
        del seed

    def integers(self, patients: int, size: int) -> Any:
        return np.arange(patients)[:size]


def test_the_worth_of_a_trial_stage_by_hand(study, monkeypatch):
    relief = np.zeros((4, 6, 1, 3))
    relief[0, [0, 1], 0, 1] = relief[1, [0, 1, 2, 3], 0, 1] = relief[3, [0], 0, 1] = 0.5  # six people after six months
    relief[..., 2] = 1.0  # a year is not asked for
    passed = np.zeros((4, 6, 1), bool)
    passed[0, [0, 1, 4]] = passed[1] = True
    monkeypatch.setattr(np.random, "default_rng", Once)
    (one, tunnelled) = cohort_summary._trial_value(study, {"relief": relief, "passed": passed, "tried": passed | (np.arange(4) == 0)[:, None, None],
                                                           "explant": np.full((4, 6, 1), np.nan)})
    assert (one["arm"], one["without"], one["months"]) == ("tried first", "implanted directly", 6.0)
    told = {name: one[name]["median"] for name in cohort_summary.VALUE}
    assert told == pytest.approx({"sensitivity": 2 / 4, "specificity": 1 / 2, "positive_predictive": 2 / 3, "implanted": 3 / 6, "missed": 2 / 6,
                                  "spared": 1 / 6, "gain": 1 / 6, "gain_without": 3 / 6}, abs=1e-5)
    assert (one["number_needed_to_try"]["median"], one["number_needed_to_implant"]["median"]) == (6.0, 2.0)
    assert tunnelled["arm"] == "tunnelled"
    assert tunnelled["number_needed_to_try"]["median"] is None  # nobody passes: less than usual care
    assert tunnelled["positive_predictive"]["median"] is None


def test_the_report_holds_it_beside_what_was_published(made, summary):
    page = (made / "report.html").read_text(encoding="utf-8")
    assert [one["arm"] for one in summary["trial_value"]] == ["tried first", "tunnelled"]
    for words in ("What the trial stage is worth", "TRIAL-STIM, published", "8\u00a0% <small>(1 to 25)</small>"):
        assert words in page


# --- battery ---


@pytest.mark.slow
def test_the_life_of_a_battery_is_that_of_the_generator(tmp_path):
    study = cohort.read_study(small(case={**BALANCED, "generator": "prime-advanced"}, arms=ARMS[:1], replicates=1, surrogate=LINES))
    (treated,) = study.treatments
    assert treated.procedure.rechargeable is False  # the generator says so
    cohort.run_study(study, 8, tmp_path / "study")
    made = Programmer(cohort.surrogate(study, tmp_path / "study" / cohort.TASKS))
    (life,) = made.battery_lives()
    lived = [row["battery_life"] for row in pq.read_table(tmp_path / "study" / "patients.parquet").to_pylist()]
    if life is None:  # its capacity is not in the table
        assert all(3 <= years <= 10 for years in lived)
    else:
        assert all(life[0] <= years <= life[1] for years in lived)


@pytest.mark.slow
def test_a_primary_cell_lasts_as_battery_says():
    from epidura.generator import generator, names
    from epidura.study import run

    known = [name for name in names() if generator(name).battery == "primary" and (generator(name).capacity or any(
        one.quantity == "life at" and one.complete for one in generator(name).statements))]
    assert known, "no primary cell with a capacity or a complete statement"
    found = {}
    with kill_cohort.quick():
        for name in known[:2]:
            study = cohort.read_study(small(case={**BALANCED, "generator": name}, arms=ARMS[:1], surrogate=LINES))
            made = Programmer(virtual.Surrogate(study.nodes, virtual.compute(study.nodes)))
            ((low, high),) = made.battery_lives()
            node = min(study.nodes.plan, key=lambda node: sum(abs(node.at[k] - v) for k, v in {**study.nodes.centre, "lateral": -1e-3}.items()))
            result = run(node.case, check_field=False)
            assert (low, high) == generator(name).power(result.deliveries[0], node.case.programs[0]).life_years
            found[name] = cohort._with_life(study.treatments[0], made.battery_lives()).procedure.battery_life
            assert found[name] == pytest.approx((low * cohort.YEAR, high * cohort.YEAR))
            # a study that says how long it lasts is believed
            said = {**ARMS[0], "procedure": {"battery_life": ["4 years", "5 years"]}}
            own = cohort.read_study(small(case={**BALANCED, "generator": name}, arms=[said]))
            assert cohort._with_life(own.treatments[0], made.battery_lives()) == own.treatments[0]


def test_without_a_capacity_the_published_range_holds(study):
    assert cohort._with_life(study.treatments[0], ()) == study.treatments[0]
    assert cohort._with_life(study.treatments[0], (None,)) == study.treatments[0]
    assert any("No generator is named" in words for words in cohort_summary._notes(study, 100, {"spread": "0"}))


def test_a_generator_that_is_not_what_the_procedure_says():
    with pytest.raises(BadInput) as failure:
        cohort.read_study(small(case={**BALANCED, "generator": "prime-advanced"}, arms=[{**ARMS[0], "procedure": {"rechargeable": True}}]))
    assert "arms[0].procedure.rechargeable: the generator of the case, prime-advanced, says otherwise; got True; allowed: false" in str(failure.value)


# --- costs ---


def test_the_bill_of_every_patient_by_hand(rows):
    for row in rows:
        assert row["cost of implantation"] == 200 * row["implanted"]
        assert row["cost of rechargeable system"] == 1000 * row["implanted"]
        assert row["cost of trial stage"] == 100 * row["tried"]
        assert row["cost of revision"] == 50 * row["revisions"]
        assert row["cost of explant"] == (20 if row["explant"] is not None else 0)
        years = min(row["explant"] or 12.0, 12.0) / 12 if row["implanted"] else 0.0
        assert row["cost of follow-up"] == pytest.approx(10 * years)
        assert row["cost"] == pytest.approx(sum(row[name] for name in cohort_costs.PARTS))
        assert row["cost of primary-cell system"] == 0


def test_qalys_are_the_area_under_the_index(rows, made):
    visits = pq.read_table(made / "visits.parquet").to_pylist()
    index = {(v["arm"], v["patient"], v["replicate"], v["month"]): v["index"] for v in visits}
    for row in rows[:30]:
        at = [row["index_before"], *(index[row["arm"], row["patient"], row["replicate"], month] for month in (1.0, 6.0, 12.0))]
        assert row["qaly"] == pytest.approx(np.trapezoid(at, [0, 1 / 12, 0.5, 1]), abs=1e-6)


def test_one_arm_against_another_by_hand(rows, summary):
    told = {(one["new"], one["old"]): one for one in summary["costs"]["comparisons"]}
    assert set(told) == {("tried first", "usual care"), ("implanted directly", "usual care"), ("tunnelled", "usual care"),
                         ("tried first", "implanted directly"), ("tunnelled", "implanted directly")}
    assert told["tried first", "implanted directly"]["why"] == "trial stage"
    for (new, old), one in told.items():
        cost, qaly = (np.array([row[name] for row in rows if row["arm"] == new]) - np.array([row[name] for row in rows if row["arm"] == old])
                      for name in ("cost", "qaly"))
        assert one["cost"]["mean"] == pytest.approx(cost.mean(), abs=0.02)
        assert one["qaly"]["mean"] == pytest.approx(qaly.mean(), abs=2e-5)
        assert one["cost"]["interval_95"][0] <= one["cost"]["mean"] <= one["cost"]["interval_95"][1]
        assert sum(one["shares"].values()) == pytest.approx(1, abs=1e-3)
        if one["ratio"] is not None:
            assert one["ratio"] == pytest.approx(cost.mean() / qaly.mean(), rel=2e-3)
        assert (one["ratio"] is None) == (one["verdict"] in ("dominant", "dominated", "no difference"))


def test_a_comparison_by_hand():
    # two arms, 4 patients, 2 replicates: 300 more and 0.1 QALYs more for each, so 3000 for a QALY whoever is drawn
    cost, qaly = np.zeros((2, 4, 2)), np.zeros((2, 4, 2))
    cost[0], qaly[0] = 300.0, 0.1
    own = cohort_costs.Costs(currency="token", prices=PRICES, thresholds=(2999.0, 3001.0))
    (one,) = cohort_costs.compare(own, cost, qaly, [(0, 1, "against")], ["a", "b"], 1, 25)
    assert one["ratio"] == pytest.approx(3000)
    assert one["interval_95"] == pytest.approx([3000, 3000])
    assert one["acceptable"] == [[2999.0, 0.0], [3001.0, 1.0]]
    assert one["shares"]["costs more and gains"] == 1.0
    # half of the patients gain 0.2 and half lose 0.2, each at 300: what is drawn decides
    qaly[0, :2], qaly[0, 2:] = 0.2, -0.2
    (one,) = cohort_costs.compare(own, cost, qaly, [(0, 1, "against")], ["a", "b"], 1, 400)
    assert one["interval_95"] is None
    # of 4 drawn, more than two from the first half: (4 + 1) / 16
    assert one["shares"]["costs more and gains"] == pytest.approx(5 / 16, abs=0.06)
    assert one["shares"]["dominated"] == pytest.approx(11 / 16, abs=0.06)


def test_replicates_are_told_in_the_interval():
    cost, qaly = np.zeros((2, 4, 2)), np.zeros((2, 4, 2))
    cost[0, :, 0], cost[0, :, 1] = 100.0, 300.0
    (one,) = cohort_costs.compare(cohort_costs.Costs(currency="token", prices=PRICES), cost, qaly, [(0, 1, "against")], ["a", "b"], 1, 25)
    assert one["cost"] == {"mean": 200.0, "interval_95": [100.0, 300.0]}


def test_the_report_shows_money(made, summary):
    page = (made / "report.html").read_text(encoding="utf-8")
    for words in ("Cost and QALYs", "Cost-effectiveness plane", 'id="plane"', "cost, token a patient", "tried first against implanted directly",
                  "trial stage first against implanting directly", "combinations tried", "the study"):
        assert words in page
    assert page == cohort_page.render(summary)
    figure = cohort_page.plane(summary["costs"])
    one = summary["costs"]["comparisons"][0]
    assert list(figure.data[1].x) == [one["qaly"]["mean"]]
    assert list(figure.data[1].y) == [one["cost"]["mean"]]
    line = figure.data[-1]
    assert line.y[1] / line.x[1] == pytest.approx(1000)


def test_without_costs_nothing_is_counted(tmp_path):
    found = cohort.run_study(cohort.read_study(small()), 2, tmp_path / "study")
    assert found["costs"] is None
    assert "cost" not in pq.read_table(tmp_path / "study" / "patients.parquet").column_names
    assert "Cost and QALYs" not in (tmp_path / "study" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("changes", "words"), [
    ({"costs": {}}, "costs.prices: no price was found for these, so they have to be given; got 'no trial stage, implantation"),
    ({"costs": {"prices": {"beer": 3.0}}}, "costs.prices: there is no such item; got 'beer'"),
    ({"costs": {"prices": {"explant": -1.0}}}, "costs.prices.explant: not an amount"),
    ({"costs": {**COSTS, "against": "nobody"}}, "costs.against: there is no such arm; got 'nobody'; allowed: tried first, implanted directly"),
    ({"costs": {**COSTS, "discount": 1.5}}, "costs.discount"),
    ({"costs": {**COSTS, "thresholds": [-1.0]}}, "costs.thresholds: not what a QALY is worth"),
    ({"costs": COSTS, "arms": ARMS[:1]}, "costs: nothing to compare with; got 'the arm tried first'"),
])
def test_costs_that_cannot_be(changes, words):
    with pytest.raises(BadInput) as failure:
        cohort.read_study(small(**{"arms": ARMS, **changes}))
    assert words in str(failure.value)


def test_what_is_missing_is_named_with_what_is_known():
    with pytest.raises(BadInput) as failure:
        cohort.read_study(small(arms=ARMS, costs={}))
    assert "at least 1950 GBP" in str(failure.value)
    assert "rechargeable system" not in str(failure.value).split("allowed")[0]  # that one was found
    assert ct.prices("GBP").values["rechargeable system"] == 16648
