"""Programming sessions: what is tried, the map against the chain, rules by hand, and virtual patients against the whole chain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from point_field import quick_field  # noqa: F401
from tiny_case import TINY

import epidura as ep
from epidura import programming as pg
from epidura import study, virtual
from epidura import virtual_sessions as vs
from epidura.errors import BadInput, BadTable
from epidura.program import Program
from epidura.reach import reaches
from epidura.recruitment import map_thresholds
from epidura.tables import EVIDENCE, Table, table

SIZES = {"dorsal_csf": "4 mm", "cord_width": "7.9 mm", "cord_depth": "6.3 mm", "dura": "0.3 mm", "canal_depth": "15.7 mm"}
FIXED = {**TINY, "gate": "off", "firing": "off", "anatomy": {"kind": "parametric", "vertebra": "T9", **SIZES}}
"""Everybody has the same canal, everywhere along the spine."""
TEN = {"name": "10 kHz", "waveform": {"kind": "high-frequency", "frequency": "10 kHz", "pulse_width": "30 us"}, "contacts": {4: -1, 5: 1}}


@pytest.fixture(scope="module")
def case() -> ep.Case:
    return ep.read(FIXED)


@pytest.fixture(scope="module")
def result(case):
    return ep.run(case, check_field=False)


@pytest.fixture(scope="module")
def found(result) -> pg.Session:
    return pg.session(result)


@pytest.fixture(scope="module")
def surrogate(case) -> virtual.Surrogate:
    nodes = virtual.plan(case, csf=2, lateral=(-1.0, -2 / 9, 1.0), minor=())
    return virtual.Surrogate(nodes, virtual.compute(nodes))


@pytest.fixture(scope="module")
def programmer(surrogate) -> vs.Programmer:
    return vs.Programmer(surrogate)


def standing(case) -> virtual.Person:
    """Someone in whom the lead lies as planned, so at a node."""
    return virtual.Person(1, 0, case, 0.5, 0.5, 0.0, 0.0)


# --- what is tried ---


def test_combinations_step_along_a_lead(result):
    words = [one.words for one in pg.combinations(result.canal)]
    assert words == [f"{k}-{k + 1}+" for k in range(1, 8)] + [f"{k}+{k + 1}-{k + 2}+" for k in range(1, 7)]
    heights = [one.height for one in pg.combinations(result.canal)[:7]]
    assert np.diff(heights) == pytest.approx(np.full(6, -7e-3))  # 3 mm contacts, 4 mm between
    for one in pg.combinations(result.canal):
        assert sum(one.contacts.values()) == pytest.approx(0)
        assert sum(f for f in one.contacts.values() if f < 0) == pytest.approx(-1)


def test_columns_of_a_paddle_are_lines_of_their_own(case):
    two = case.but(leads=[{"model": "octrode", "tip_vertebra": "T8", "lateral": "-1.5 mm"}, {"model": "octrode", "tip_vertebra": "T8",
                                                                                           "lateral": "1.5 mm"}])
    canal = study.build_canal(two.anatomy, two.leads)
    tried = pg.combinations(canal)
    assert len(tried) == 2 * 13
    assert not any({8, 9} <= set(one.contacts) for one in tried)  # the end of one lead and the tip of the next are no bipole
    assert {one.group for one in tried} == {0, 1}


def test_the_map_is_that_of_recruitment(result):
    other = result.case.programs[0].but(contacts={2: -1, 3: 1})
    names, felt, discomfort = map_thresholds(result.lead_field, result.case.fibres, [result.case.programs[0], other], result.case.rules)
    assert names == result.recruitment.dermatome.values.tolist()
    np.testing.assert_array_equal(felt[0], result.recruitment.dermatome_threshold.values[0])
    assert discomfort[0] == float(result.recruitment.discomfort_threshold[0])
    again = ep.run(result.case.but(programs=[other.model_dump(mode="json")]), check_field=False)
    np.testing.assert_array_equal(felt[1], again.recruitment.dermatome_threshold.values[0])
    assert discomfort[1] == float(again.recruitment.discomfort_threshold[0])


def test_a_session_maps_every_combination_and_chooses_by_rule(result, found):
    assert [one.combination.words for one in found.tried] == ["4-5+", *(w for w in (c.words for c in pg.combinations(result.canal)) if w != "4-5+")]
    own = found.tried[0]
    assert own.perception == float(result.recruitment.perception_threshold[0])
    assert own.amplitude == float(result.recruitment.programmed_amplitude[0])
    assert (own.coverage, own.coverable, own.spill) == (reaches(result)[0].coverage, reaches(result)[0].coverable, reaches(result)[0].spill)
    comfortable = [one for one in found.tried if one.comfortable]
    assert found.best.coverage >= max(one.coverage for one in comfortable) - 0.05 - 1e-9
    assert len(found.words) == 5
    # the mapping of the painful places: felt at the amplitude where coverage counts it
    pain = set(result.case.patient.pain.dermatomes())
    felt = found.amplitudes(pain)
    assert sum(level <= found.best.amplitude for level in felt.values()) / len(pain) == pytest.approx(found.best.coverage)


def test_a_guarded_cathode_is_felt_later_than_a_bipole(found):
    # half of the anode current lies on the other side, and nearer anodes pull the field in: the virtual cathode is weaker
    by_words = {one.combination.words: one for one in found.tried}
    assert by_words["3+4-5+"].perception > by_words["4-5+"].perception


def test_the_case_takes_what_was_chosen(result, found):
    changed, sessions = pg.programmed(result)
    assert dict(changed.programs[0].contacts) == dict(sessions[0].best.combination.contacts)
    assert sessions[0].chosen == found.chosen
    assert changed.programs[0].amplitude == result.case.programs[0].amplitude


def test_a_voltage_keeps_its_contacts(case):
    volts = case.but(programs=[{**FIXED["programs"][0], "amplitude": "1 V", "sources": "single"}])
    one = pg.session(ep.run(volts, check_field=False))
    assert len(one.tried) == 1
    assert one.best.amplitude > 0


# --- rules, by hand ---


def tried(words: str, coverage=0.5, spill=0.2, amplitude=2e-3, discomfort=4e-3, perception=1e-3, height=0.0, kind="bipole") -> pg.Tried:
    return pg.Tried(pg.Combination({1: -1.0, 2: 1.0}, kind, 0, height), np.zeros((0, 2)), perception, discomfort, amplitude, coverage, coverage,
                    spill, discomfort / perception)


def felt_rules() -> tuple[pg.Rule, ...]:
    return pg.rules(ep.read(FIXED).programs[0])


@pytest.mark.parametrize(("given", "wanted"), [
    ([{"coverage": 0.6}, {"coverage": 0.9}], 1),                                              # more pain covered
    ([{"coverage": 0.9, "spill": 0.5}, {"coverage": 0.86, "spill": 0.1}], 1),                 # within the tolerance, less beside the pain
    ([{"coverage": 0.9, "spill": 0.5}, {"coverage": 0.84, "spill": 0.1}], 0),                 # beyond it
    ([{"spill": 0.2, "amplitude": 3e-3}, {"spill": 0.29, "amplitude": 2e-3}], 1),             # alike in both: less power
    ([{"amplitude": 2.03e-3, "discomfort": 5e-3}, {"amplitude": 2e-3, "discomfort": 4e-3}], 0),  # 1.5 % of power, wider range
    ([{"coverage": 1.0, "amplitude": 5e-3}, {"coverage": 0.4}], 1),                           # uncomfortable, whatever it covers
    ([{}, {}], 0),                                                                            # the first of equals
])
def test_rules_of_what_is_felt(given, wanted):
    chosen, words = pg.choose([tried(str(k), **one) for k, one in enumerate(given)], felt_rules())
    assert chosen == wanted
    assert len(words) == 5


def test_ten_kilohertz_goes_by_the_level(case, result):
    ten = Program.model_validate(TEN)
    ruled = pg.rules(ten)
    assert [rule.criterion for rule in ruled] == ["level"]
    aim = pg.aims(case, ruled)
    middle = {span.name: span.middle for span in case.anatomy.level().cord.vertebrae}
    assert aim == {"T9/T10": pytest.approx((middle["T9"] + middle["T10"]) / 2)}
    options = [tried("", height=one.height) for one in pg.combinations(result.canal)[:7]]
    k, _ = pg.choose(options, ruled, aim)
    assert k == int(np.abs([one.combination.height - aim["T9/T10"] for one in options]).argmin())
    # leads that lie a step further up take the contact below
    assert pg.choose(options, ruled, aim, shift=7e-3)[0] == k + 1
    # at the neck no such level is known: the one as written
    neck = case.but(anatomy={"kind": "parametric", "vertebra": "C5"}, leads=[{"model": "octrode", "tip_vertebra": "C4"}])
    assert pg.aims(neck, ruled) == {}
    assert pg.choose([tried("", height=0.003, kind="as written"), tried("", height=0.01)], ruled, {})[0] == 0


def test_rules_follow_the_therapy(case):
    tonic = case.programs[0]
    assert pg.rules(tonic)[1].criterion == "coverage"
    assert pg.rules(tonic.but(amplitude="60 % of perception"))[0].criterion == "coverable"
    burst = tonic.but(waveform={"kind": "burst", "frequency": "40 Hz", "intra_frequency": "500 Hz", "pulses": 5, "pulse_width": "1000 us"})
    assert pg.rules(burst)[0].criterion == "coverable"


def test_rows_of_the_rules(monkeypatch):
    rows = table("programming_rules").rows
    for row in rows:
        assert row["evidence"] in EVIDENCE
        assert row["source"]
        assert row["evidence"] == "judgement" or row["doi_or_url"]
    monkeypatch.setattr(pg, "table", lambda name: Table(name, [{**rows[0], "criterion": "beauty"}]))
    with pytest.raises(BadTable, match="a row that is no rule"):
        felt_rules()


# --- virtual patients ---


def test_stepping_along_a_lead_changes_nothing_for_the_columns(result):
    # what the maps at the nodes stand on
    steps = [result.case.programs[0].but(contacts={k: -1, k + 1: 1}) for k in (2, 4, 6)]
    columns = [one for one in result.case.fibres if one.kind == "dorsal-column"]
    _, felt, _ = map_thresholds(result.lead_field, columns, steps, result.case.rules)
    for other in felt[1:]:
        np.testing.assert_allclose(other, felt[0], rtol=0.02)


def test_a_session_between_the_nodes_is_that_of_the_chain(case, found, surrogate, programmer):
    ((by_lines, reach),) = programmer.hold(standing(case))
    assert [one.combination.words for one in by_lines.tried] == [one.combination.words for one in found.tried]
    for mine, full in zip(by_lines.tried, found.tried, strict=True):
        assert mine.perception == pytest.approx(full.perception, rel=0.02)
        assert mine.discomfort == pytest.approx(full.discomfort, rel=0.02)
    assert by_lines.best.combination.words == found.best.combination.words
    assert reach.coverage == by_lines.best.coverage
    assert reach.amplitude == pytest.approx(by_lines.best.amplitude)
    assert reach.coverage >= surrogate.reach(standing(case))[0].coverage - 0.05 - 1e-9


def test_kept_contacts_reach_what_they_reach_without_a_session(case, surrogate, programmer):
    ((session, reach),) = programmer.hold(standing(case), keep=True)
    plain = surrogate.reach(standing(case))[0]
    assert len(session.tried) == 1
    assert replace(reach, inhibition={}) == replace(plain, inhibition={}) or reach.perception == pytest.approx(plain.perception)
    assert reach.coverage == plain.coverage


def test_a_lead_that_has_moved_is_won_back_by_the_next_contact(case, programmer):
    # ten kHz aims at a disc: a lead that slid down by one contact takes the contact above
    one = standing(case)
    ruled = pg.rules(Program.model_validate(TEN))
    aim = pg.aims(case, ruled)
    options = programmer.hold(one)[0][0].tried
    first, later = (pg.choose(options, ruled, aim, shift)[0] for shift in (0.0, -7e-3))
    assert options[later].combination.height == pytest.approx(options[first].combination.height + 7e-3)


def test_dermatomes_above_the_cathode_are_not_felt(case, programmer):
    segments = {span.name: span.z0 for span in case.anatomy.level().cord.segments}
    ((high, _),), ((low, _),) = programmer.hold(standing(case), keep=True), programmer.hold(standing(case), caudal=45e-3, keep=True)
    height = high.tried[0].combination.height - 45e-3
    for name, before, after in zip(high.dermatomes, high.tried[0].felt, low.tried[0].felt, strict=True):
        assert segments[name] <= height + 45e-3  # all of the nodes' run there
        assert np.isinf(after).all() if segments[name] > height else np.isfinite(after).sum() == np.isfinite(before).sum()
    assert 2 <= sum(end > height for end in (segments[name] for name in low.dermatomes)) < len(low.dermatomes)


@pytest.mark.slow
def test_sizes_along_the_spine_are_those_of_the_same_ranks():
    case = ep.read({**TINY, "gate": "off", "firing": "off"})
    nodes = virtual.plan(case, csf=2, lateral=(-1.0, 1.0), minor=())
    made = virtual.Surrogate(nodes, virtual.compute(nodes))
    one = virtual.person(case, 3, 4)
    assert vs.Programmer(made)._sizes(one, "T9") == made.inputs(one)
    row, own = table("vertebrae").row(vertebra="T8"), table("vertebrae").row(vertebra="T9")
    above = vs.Programmer(made)._sizes(one, "T8")
    z = (made.inputs(one)["dorsal_csf"] * 1e3 - float(own["dcsf_mm"])) / float(own["dcsf_sd"])
    assert (above["dorsal_csf"] * 1e3 - float(row["dcsf_mm"])) / float(row["dcsf_sd"]) == pytest.approx(z, abs=2e-3)
    # a lead further up lies under more fluid at T8 than at T9, so it is felt later
    ((here, _),), ((up, _),) = vs.Programmer(made).hold(one, keep=True), vs.Programmer(made).hold(one, caudal=-20e-3, keep=True)
    assert up.tried[0].perception > here.tried[0].perception


def test_the_same_person_is_programmed_the_same(programmer, case):
    one, other = (programmer.hold(virtual.person(case, 3, i))[0] for i in (5, 5))
    assert one[0].chosen == other[0].chosen
    assert replace(one[1], closing=0.0) == replace(other[1], closing=0.0)
    assert one[0].words == other[0].words


def test_nodes_without_maps_hold_no_session(case, surrogate):
    bare = virtual.Surrogate(surrogate.nodes, {node.key: replace(virtual.outcome(ep.run(node.case, check_field=False)))
                                               for node in surrogate.nodes.plan})
    with pytest.raises(BadInput, match="the nodes were not mapped, so no session can be held"):
        vs.Programmer(bare).hold(standing(case))


def test_leads_placed_anew_lie_elsewhere_in_the_same_person():
    case = ep.read({**TINY, "gate": "off", "firing": "off"})
    one, again = virtual.person(case, 3, 4), virtual.person(case, 3, 4, anew=True)
    assert one.case.anatomy == again.case.anatomy
    assert one.case.patient == again.case.patient
    assert one.lateral != again.lateral
    assert one.tip != again.tip
    both = np.array([[virtual.person(case, 3, i, anew=anew).tip for i in range(200)] for anew in (False, True)])
    assert abs(np.corrcoef(both)[0, 1]) < 0.2
    assert both[1].std() == pytest.approx(5e-3, rel=0.2)


def test_a_map_survives_a_file(tmp_path, surrogate):
    kept = virtual.outcome(ep.run(surrogate.nodes.plan[0].case, check_field=False),
                           tried=virtual.mapping(ep.run(surrogate.nodes.plan[0].case, check_field=False)))
    kept.save(tmp_path / "one.npz")
    again = virtual.Outcome.load(tmp_path / "one.npz")
    assert pg.from_text(str(again.tried[0])) == surrogate.tried
    np.testing.assert_array_equal(again.vector, kept.vector)


# --- the command ---


def test_the_command_tells_what_was_tried_and_writes_the_case(tmp_path, capsys, found):
    import json

    import yaml

    from epidura.cli_session import session

    path, changed = tmp_path / "case.yaml", tmp_path / "changed.yaml"
    path.write_text(yaml.safe_dump({**FIXED, "gate": {"seeds": 2}, "firing": {"fibres": 8}}))
    session(path, changed, as_json=True)
    (told,) = json.loads(capsys.readouterr().out)
    assert told["chosen"] == found.best.combination.words
    assert [one["words"] for one in told["tried"]] == [one.combination.words for one in found.tried]
    own = told["tried"][0]
    assert own["amplitude_mA"] == pytest.approx(1e3 * found.tried[0].amplitude, abs=1e-4)
    felt = sum(level is not None and level <= own["amplitude_mA"] + 1e-4 for level in own["felt_from_mA"].values())
    assert felt / len(own["felt_from_mA"]) == pytest.approx(own["coverage"], abs=1e-4)
    new = ep.read(changed)
    assert dict(new.programs[0].contacts) == dict(found.best.combination.contacts)
    assert (new.gate.seeds, new.firing.fibres) == (2, 8)  # all else is as it was
    session(path)
    said = capsys.readouterr().out
    assert "as written: 4-5+" in said
    assert f"chosen: {found.best.combination.words}" in said
