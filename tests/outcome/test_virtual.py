"""Virtual patients: who is drawn, what stands at the nodes, and how far the surrogate is from the full chain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from point_field import quick_field  # noqa: F401
from tiny_case import TINY

import epidura as ep
from epidura import virtual
from epidura.errors import BadInput
from epidura.reach import Reach, reaches
from epidura.recruitment import Engine
from epidura.tables import table

PLAIN = {**TINY, "gate": "off", "firing": "off"}

MANY = 250
"""People whose draws are looked at together."""


LATERAL = (-1.0, 1.0)


@pytest.fixture(scope="module")
def case() -> ep.Case:
    return ep.read(PLAIN)


@pytest.fixture(scope="module")
def people(case) -> list[virtual.Person]:
    return [virtual.person(case, 5, i) for i in range(MANY)]


@pytest.fixture(scope="module")
def nodes(case) -> virtual.Nodes:
    return virtual.plan(case, csf=2, lateral=LATERAL, share=1.0, minor=("dura",))


@pytest.fixture(scope="module")
def results(nodes, tmp_path_factory) -> dict[str, virtual.Outcome]:
    return virtual.compute(nodes, tmp_path_factory.mktemp("nodes"))


@pytest.fixture(scope="module")
def surrogate(nodes, results) -> virtual.Surrogate:
    return virtual.Surrogate(nodes, results)


# --- people ---


def test_a_person_is_the_same_every_time_and_in_every_cohort(case):
    alone = virtual.person(case, 3, 7)
    cohort = [virtual.person(case, 3, i) for i in range(9)]
    assert alone == cohort[7]
    assert alone.case.key() == cohort[7].case.key()
    assert len({one.case.key() for one in cohort}) == 9
    assert virtual.person(case, 4, 7) != alone


def test_a_draw_hangs_on_its_name_alone(case, monkeypatch):
    before = virtual.person(case, 1, 0)
    drawn = virtual.population.DRAWN
    monkeypatch.setattr(virtual.population, "DRAWN", {"dorsal_csf": drawn["dorsal_csf"]})  # as if the others did not exist yet
    after = virtual.person(case, 1, 0)
    assert after.case.anatomy.dorsal_csf == before.case.anatomy.dorsal_csf
    assert after.case.anatomy.cord_width is None
    assert (after.lateral, after.tip, after.expectation, after.adherence) == (before.lateral, before.tip, before.expectation, before.adherence)


def test_sizes_that_the_case_gives_are_not_drawn(case):
    given = case.but(anatomy={"kind": "parametric", "vertebra": "T9", "dorsal_csf": "3 mm"})
    one, other = virtual.person(given, 1, 0), virtual.person(case, 1, 0)
    assert one.case.anatomy.dorsal_csf == 3e-3
    assert one.case.anatomy.cord_width == other.case.anatomy.cord_width


def test_moments_of_the_draws(people):
    row = table("vertebrae").row(vertebra="T9")
    for name, mean, spread in (("dorsal_csf", "dcsf_mm", "dcsf_sd"), ("cord_width", "cord_rl_mm", "cord_rl_sd")):
        values = np.array([getattr(one.case.anatomy, name) for one in people]) * 1e3
        deviation = float(row[spread])
        assert values.mean() == pytest.approx(float(row[mean]), abs=3 * deviation / np.sqrt(MANY))
        assert values.std() == pytest.approx(deviation, rel=0.15)
    expected = {"lateral": np.hypot(0.7, 1.0), "tip": 5.0}
    for name, deviation in expected.items():
        values = np.array([getattr(one, name) for one in people]) * 1e3
        assert values.mean() == pytest.approx(0, abs=3 * deviation / np.sqrt(MANY))
        assert values.std() == pytest.approx(deviation, rel=0.15)
    for name in ("expectation", "adherence"):
        values = np.array([getattr(one, name) for one in people])
        assert values.mean() == pytest.approx(0.5, abs=3 * np.sqrt(1 / 12 / MANY))
        assert ((values >= 0) & (values < 1)).all()
    # what is drawn does not hang together
    for a, b in (("expectation", "adherence"), ("lateral", "tip"), ("expectation", "lateral")):
        assert abs(np.corrcoef([getattr(one, a) for one in people], [getattr(one, b) for one in people])[0, 1]) < 0.2


def test_patterns_of_pain_come_as_often_as_the_table_says(case, people):
    seen = [one.case.patient.pain.areas for one in people]
    known = virtual.patterns(case)
    assert sum(share for _, share in known) == pytest.approx(1)
    for areas, share in known:
        assert seen.count(areas) / MANY == pytest.approx(share, abs=3.5 * np.sqrt(share * (1 - share) / MANY))
    other = case.but(patient={"indication": "amputation", "pain": {"areas": ["left-foot"], "nrs": 6}})
    assert virtual.person(other, 1, 0).case.patient.pain.areas == ("left-foot",)


def test_the_lead_is_aimed_at_the_side_of_the_pain(people):
    for one in people:
        side = {(): 0, ("left",): -1, ("right",): 1}.get(tuple(sorted({a.split("-")[0] for a in one.case.patient.pain.areas} & {"left", "right"})), 0)
        assert one.case.leads[0].lateral == pytest.approx(np.clip(1e-3 * side + one.lateral, -4.5e-3, 4.5e-3), abs=1e-6)
        assert one.case.leads[0].tip_offset == pytest.approx(one.tip, abs=1e-6)


def test_a_lead_leans_only_in_a_canal_that_is_modelled_along_the_spine(case):
    along = case.but(anatomy={"kind": "parametric", "vertebra": "T9", "extent": "spine"})
    assert virtual.person(case, 1, 0).case.leads[0].angle == 0
    angles = np.rad2deg([virtual.person(along, 1, i).case.leads[0].angle for i in range(40)])
    assert angles.std() == pytest.approx(2, rel=0.35)


def test_a_lead_that_moves_takes_the_canal_of_the_next_vertebra(case):
    assert virtual.moved(case, 0.0) == case
    near, far = virtual.moved(case, 5e-3), virtual.moved(case, 30e-3)
    assert (near.anatomy.vertebra, far.anatomy.vertebra) == ("T9", "T10")
    assert far.leads[0].tip_offset == pytest.approx(-30e-3)
    shifts = np.array([virtual.person(case, 2, i, migrated=True).migration for i in range(25)]) * 1e3
    assert shifts.mean() == pytest.approx(12.5, abs=3 * 18.2 / 5)
    assert shifts.std() == pytest.approx(18.2, rel=0.45)
    still, gone = virtual.person(case, 2, 1), virtual.person(case, 2, 1, migrated=True)
    assert (gone.lateral, gone.expectation) == (still.lateral, still.expectation)
    assert gone.case.leads[0].tip_offset == pytest.approx(still.case.leads[0].tip_offset - gone.migration, abs=2e-6)


@pytest.mark.parametrize(("seed", "index", "words"), [(-1, 0, "seed: is not negative; got -1"), (0, -2, "index: is not negative; got -2")])
def test_negative_numbers_are_refused(case, seed, index, words):
    with pytest.raises(BadInput, match=words):
        virtual.person(case, seed, index)


# --- nodes ---


def test_the_plan_is_a_list_of_keys_and_cases(nodes, case):
    tasks = nodes.tasks
    assert len(tasks) == 2 * 2 + 2
    assert len({key for key, _ in tasks}) == len(tasks)
    assert all(key == one.key() for key, one in tasks)
    assert [key for key, _ in virtual.plan(case, csf=2, lateral=LATERAL, share=1.0, minor=("dura",)).tasks] == [key for key, _ in tasks]


def test_the_gate_is_run_at_a_few_nodes_with_everyones_pain():
    plan = virtual.plan(ep.read(TINY), share=0.5)
    gated = [one for _, one in plan.tasks if one.gate.seeds]
    assert len(plan.tasks) == 26
    assert len(gated) == 4
    wanted = {place for areas, _ in virtual.patterns(plan.case) for place in plan.case.patient.pain.but(areas=areas).dermatomes()}
    assert set(gated[0].patient.pain.dermatomes()) == wanted
    assert [one.count for one in gated[0].fibres] == [12, 6]


def test_a_node_that_was_run_is_not_run_again(nodes, results, tmp_path, monkeypatch):
    for key, one in results.items():
        one.save(tmp_path / f"{key}.npz")
    monkeypatch.setattr(virtual, "run", None)
    again = virtual.compute(nodes, tmp_path)
    assert all((again[key].vector == one.vector).all() for key, one in results.items())


def test_exact_at_the_nodes(nodes, results, surrogate):
    for node in nodes.plan:
        assert surrogate.vector(node.at) == pytest.approx(results[node.key].vector, abs=1e-9)


def test_at_a_node_the_surrogate_is_the_full_chain(nodes, surrogate):
    node = nodes.plan[1]
    full = reaches(ep.run(node.case, check_field=False))[0]
    (quick,) = surrogate.reach(virtual.Person(0, 0, node.case, 0.5, 0.5, 0.0, 0.0))
    for name in ("perception", "discomfort", "amplitude", "coverage", "coverable", "spill", "usage_range", "margin"):
        assert getattr(quick, name) == pytest.approx(getattr(full, name), rel=1e-6), name
    assert quick.recruited == pytest.approx(full.recruited, rel=0.15)  # the curve is kept at some shares
    assert quick.inhibition == {}


def test_between_nodes_it_is_near_the_full_chain(case, surrogate, tmp_path):
    people = [virtual.person(case, 8, i) for i in range(2)]
    found = virtual.surrogate_error(surrogate, people, tmp_path)
    for one in found:
        assert one.surrogate.perception == pytest.approx(one.full.perception, rel=0.25)
        assert one.surrogate.perception != one.full.perception
    text = virtual.error_table(found)
    assert "| tonic | perception | 2 |" in text
    assert virtual.surrogate_error(surrogate, people, tmp_path)[0].full.perception == found[0].full.perception


def test_more_fluid_needs_more_current(case, nodes, surrogate):
    def at(size: str) -> Reach:
        one = case.but(anatomy={"kind": "parametric", "vertebra": "T9", "dorsal_csf": size})
        return surrogate.reach(virtual.Person(0, 0, one, 0.5, 0.5, 0.0, 0.0))[0]

    levels = [at(size).perception for size in ("2 mm", "3 mm", "4 mm", "5 mm")]
    assert (np.diff(levels) > 0).all()
    assert at("9 mm").perception == at("6.6 mm").perception  # as at the last node


def test_a_perception_that_is_reached_nowhere(nodes, results):
    far = {key: replace(one, felt=np.full_like(one.felt, np.log(virtual.UNREACHED * Engine.ceiling))) for key, one in results.items()}
    (found,) = virtual.reach_of(nodes, far, virtual.person(nodes.case, 1, 0))
    assert found.perception == np.inf
    assert not found.felt
    assert np.isnan([found.coverage, found.recruited, found.amplitude, found.closing]).all()


@pytest.mark.parametrize(("change", "words"), [
    ({"anatomy": {"kind": "parametric", "vertebra": "T9", "extent": "spine"}}, "anatomy: the surrogate does not serve it; got 'parametric spine'"),
    ({"programs": [{**TINY["programs"][0], "interleaved": [{k: v for k, v in TINY["programs"][0].items() if k != "name"}]}]},
     "programs[0].interleaved: the surrogate serves programs of one train; got '2 trains'"),
])
def test_what_the_surrogate_does_not_serve(change, words):
    with pytest.raises(BadInput) as failure:
        virtual.plan(ep.read({**PLAIN, **change}))
    assert words in str(failure.value)


@pytest.mark.parametrize(("given", "words"), [
    ({"csf": 1}, "csf: a line has two ends; got 1"), ({"lateral": (0.0, 0.5, 0.5)}, "lateral: the nodes do not rise; got '0, 0.5, 0.5'"),
    ({"share": 0.0}, "share: is not a share of the fibres; got 0.0"),
    ({"minor": ("tip",)}, "minor: there is no such input; got 'tip'; allowed: cord_width, cord_depth, dura"),
])
def test_a_plan_that_cannot_be(case, given, words):
    with pytest.raises(BadInput, match=words.replace(".", r"\.")):
        virtual.plan(case, **given)


def test_another_patient_or_a_missing_node_is_refused(case, nodes, results, surrogate):
    key = nodes.tasks[0][0]
    with pytest.raises(BadInput, match="results: 1 of 6 nodes have no result"):
        virtual.Surrogate(nodes, {name: one for name, one in results.items() if name != key})
    other = virtual.person(virtual.moved(case, 30e-3), 1, 0)
    with pytest.raises(BadInput, match=r"anatomy\.vertebra: the nodes are those of another vertebra; got 'T10'; allowed: T9"):
        surrogate.reach(other)
    with pytest.raises(BadInput, match="programs: not those of the nodes"):
        surrogate.reach(virtual.person(case.but(programs=[{**TINY["programs"][0], "name": "other"}]), 1, 0))


# --- gate ---


def test_a_dose_is_exact_at_its_points_and_within_their_range_between():
    rng = np.random.default_rng(1)
    shares, values = rng.random((20, 2)) ** 3, rng.random((20, 3))
    dose = virtual.Dose.of(shares, values)
    assert dose(shares) == pytest.approx(values)
    between = dose(rng.random((50, 2)) ** 3)
    assert between.min() >= values.min()
    assert between.max() <= values.max()
    twice = virtual.Dose.of(np.zeros((2, 2)), np.array([[0.0], [1.0]]))
    assert twice(np.zeros((1, 2))) == pytest.approx(0.5)
    assert np.isnan(virtual.Dose.of(np.full((2, 2), np.nan), np.zeros((2, 1)))(np.zeros((1, 2)))).all()


@pytest.fixture(scope="module")
def gated(nodes, results):
    """The tiny case as if the gate closed in step with the fibres that are driven."""
    case = nodes.case.but(gate={"seeds": 2}, firing={"fibres": 4})
    line = np.geomspace(1e-4, 1, 15)
    share, around = (each.ravel() for each in np.meshgrid(line, line))
    points = np.column_stack([share, around])[None]
    made = {key: replace(one, hypotheses=np.array(["none", "direct-interneuron"]), shares=points, swept=points,
                         inhibition=np.stack([share, 0.5 + 0 * share], axis=-1)[None],
                         kept=1 - np.minimum(1, 4 * share)[None]) for key, one in results.items()}
    return replace(nodes, case=case), made, case


def test_inhibition_and_closing_follow_the_fibres(gated):
    nodes, made, case = gated
    one = virtual.person(case, 1, 2)
    (found,) = virtual.Surrogate(nodes, made).reach(one)
    assert found.inhibition["direct-interneuron"] == pytest.approx(0.5)
    assert 0 < found.inhibition["none"] < 0.5
    assert found.inhibition["none"] < 10 * found.recruited
    assert 1 < found.closing < np.inf
    silent = {key: replace(each, kept=np.ones_like(each.kept), inhibition=np.zeros_like(each.inhibition)) for key, each in made.items()}
    (found,) = virtual.Surrogate(nodes, silent).reach(one)
    assert found.inhibition == {"none": 0.0, "direct-interneuron": 0.0}
    assert found.closing == np.inf


def test_quantiles_are_values_of_people(gated):
    nodes, made, case = gated
    surrogate = virtual.Surrogate(nodes, made)
    found = [surrogate.reach(virtual.person(case, 1, i)) for i in range(12)]
    rows = virtual.quantiles(found)
    assert {row["quantity"] for row in rows} == {"coverage", "coverable", "recruited", "inhibition", "closing"}
    assert len(rows) == 21 * 6
    own = sorted(each[0].coverage for each in found)
    kept = [float(row["value"]) for row in rows if row["quantity"] == "coverage"]
    assert kept[0] == pytest.approx(own[0], rel=1e-4)
    assert kept[-1] == pytest.approx(own[-1], rel=1e-4)
    assert all(np.isclose(kept_value, own, rtol=1e-4).any() for kept_value in kept)
