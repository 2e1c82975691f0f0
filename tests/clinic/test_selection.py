"""Candidate selection: rules as data, missing is not normal, words and never a score."""

from __future__ import annotations

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epidura.clinic import selection as sl
from epidura.errors import BadInput
from epidura.recipe import read_recipe
from epidura.tables import EVIDENCE, table

DAY = date(2026, 3, 1)
RULES = sorted(sl.jurisdictions())
INDICATIONS = table("indications").column("indication")
TABLES = ("jurisdictions", "indication_positions", "selection_criteria", "neuropathic_screens")


def tried(kind: str, **more) -> sl.Tried:
    return sl.Tried(**{"kind": kind, "what": f"{kind} A", "begin": date(2024, 1, 1), "end": date(2024, 6, 1), "effect": "none"} | more)


WHOLE = {
    "assessed": DAY, "age": 54, "indication": "failed-back-surgery", "neuropathic": True, "pain_since": date(2024, 2, 1), "pain_vas": 72.0,
    "location": "left leg more than back", "anatomy": "no", "screens": {"dn4": 6},
    "tried": tuple(tried(kind) for kind in ("drug", "surgery", "block", "physiotherapy", "psychology")),
    "psychosocial": dict.fromkeys(sl.names("psychosocial"), "none"), "contraindications": dict.fromkeys(sl.names("contraindication"), "no"),
    "communication_needs": "no", "least_costly": "yes",
    "team": (sl.Member(name="A", role="pain physician", experienced=True, agrees=True), sl.Member(name="B", role="psychologist", agrees=True)),
}


def found(**more) -> sl.Findings:
    return sl.Findings(**WHOLE | more)


def item(assessment: sl.Assessment, name: str) -> sl.Item:
    (one,) = [one for one in assessment.items if one.id == name]
    return one


@pytest.mark.parametrize("name", TABLES)
def test_every_row_has_evidence_and_source(name):
    for row in table(name):
        assert row["evidence"] in EVIDENCE, row
        assert row["source"], row


def test_every_check_of_the_table_is_known_and_ids_are_unique_in_a_rule():
    for row in table("selection_criteria"):
        assert row["check"].startswith("tried:") or row["check"] in sl._CHECKS
    for rule in RULES:
        ids = [one.id for one in sl.assess(sl.Findings(), rule).items]
        assert len(ids) == len(set(ids))
        groups = [sl.GROUPS.index(one.group) for one in sl.assess(sl.Findings(), rule).items]
        assert groups == sorted(groups)


@pytest.mark.parametrize("rule", RULES)
def test_every_indication_of_the_mission_has_a_position_in_every_rule(rule):
    assert {"failed-back-surgery", "failed-neck-surgery", "amputation", "plexus-injury", "crps", "postherpetic-neuralgia", "limb-ischaemia", "angina",
            "headache", "pelvic-pain", "diabetic-neuropathy"} <= {about.indication for about in sl.positions(rule)}
    assert all(about.grade and about.words and about.source for about in sl.positions(rule))


@pytest.mark.parametrize("rule", RULES)
def test_a_whole_candidate_is_complete_and_an_empty_one_misses_nearly_everything(rule):
    whole, empty = sl.assess(found(), rule), sl.assess(sl.Findings(), rule)
    assert not whole.missing()
    assert not whole.barriers()
    assert whole.advice()[0] == "complete: nothing speaks against a trial"
    assert {one.state for one in empty.items} == {"missing"}
    assert not any(words.startswith("complete") for words in empty.advice())
    assert all(one.why and one.to_do for one in empty.missing("implant"))


@pytest.mark.parametrize("indication", ["limb-ischaemia", "angina"])
def test_nice_allows_ischaemic_pain_only_in_research(indication):
    barred = sl.assess(found(indication=indication, neuropathic=None), "uk-nice")
    assert [one.id for one in barred.barriers()] == ["indication"]
    assert "research" in barred.advice()[0]
    assert barred.advice()[0].startswith("not suitable under NICE TA159")
    allowed = sl.assess(found(indication=indication, neuropathic=None, research="trial X"), "uk-nice")
    assert not allowed.barriers()
    assert "trial X" in item(allowed, "indication").why
    assert not sl.assess(found(indication=indication, neuropathic=None), "europe").barriers()
    assert "NICE" in item(sl.assess(found(indication=indication, neuropathic=None)), "indication").why


@pytest.mark.parametrize(("rule", "since", "state"), [
    ("uk-nice", date(2025, 9, 1), "met"), ("uk-nice", date(2025, 9, 2), "not met"), ("uk-bnssg", date(2025, 12, 1), "met"),
    ("uk-bnssg", date(2025, 12, 2), "not met"), ("europe", date(2026, 2, 28), "met"),
])
def test_duration_of_each_rule(rule, since, state):
    assert item(sl.assess(found(pain_since=since), rule), "duration").state == state


@pytest.mark.parametrize(("more", "state"), [
    ({"pain_vas": 50.0}, "met"), ({"pain_vas": 49.0}, "not met"), ({"pain_vas": None, "pain_nrs": 5}, "met"),
    ({"pain_vas": None, "pain_nrs": 4}, "not met"), ({"pain_vas": None}, "missing"),
])
def test_intensity_of_nice(more, state):
    assert item(sl.assess(found(**more), "uk-nice"), "pain-intensity").state == state


def test_refractory_is_documented_or_missing():
    def drugs(*entries: sl.Tried) -> sl.Item:
        return item(sl.assess(found(tried=entries)), "tried-drugs")

    assert drugs().state == "missing"
    bare = drugs(sl.Tried(kind="drug", what="gabapentin"))
    assert bare.state == "missing"
    assert "gabapentin lacks from when, with what effect" in bare.why
    assert drugs(tried("drug")).state == "met"
    assert drugs(tried("drug", effect="good", end=None)).state == "caution"
    assert drugs(tried("drug", effect="good")).state == "met"
    assert drugs(sl.Tried(kind="drug", effect="not suitable")).state == "missing"
    assert drugs(sl.Tried(kind="drug", effect="not suitable", note="renal failure")).state == "met"
    assert drugs(sl.Tried(kind="drug", effect="declined", note="fear of dependence")).state == "caution"
    assert drugs(tried("block")).state == "missing"


@pytest.mark.parametrize("factor", sl.names("psychosocial"))
def test_each_psychosocial_factor_stands_for_itself(factor):
    states = {grade: item(sl.assess(found(psychosocial=WHOLE["psychosocial"] | {factor: grade})), f"psychosocial-{factor}").state
              for grade in ("none", "mild", "moderate", "severe", "not assessed")}
    assert states == {"none": "met", "mild": "caution", "moderate": "caution", "severe": "not met", "not assessed": "missing"}
    severe = sl.assess(found(psychosocial=WHOLE["psychosocial"] | {factor: "severe"}))
    assert severe.advice()[0].startswith("optimise first: severe")
    assert not severe.barriers()


@pytest.mark.parametrize("name", sl.names("contraindication"))
def test_each_contraindication_bars_or_is_optimised_by_its_weight(name):
    there = sl.assess(found(contraindications=WHOLE["contraindications"] | {name: "yes"}))
    one = item(there, f"contraindication-{name}")
    assert one.state == "not met"
    assert there.advice()[0].startswith("not suitable" if one.weight == "hard" else "optimise first")
    assert (one in there.barriers()) == (one.weight == "hard")
    unknown = sl.assess(found(contraindications=WHOLE["contraindications"] | {name: "unknown"}))
    assert [left.id for left in unknown.missing()] == [f"contraindication-{name}"]


def test_eight_psychosocial_factors_and_twelve_contraindications():
    assert len(sl.names("psychosocial")) == 8
    assert len(sl.names("contraindication")) == 12
    assert item(sl.assess(found(neuropathic=False)), "neuropathic") in sl.assess(found(neuropathic=False)).barriers()


def test_a_team_is_a_barrier_only_where_one_is_demanded():
    against = (*WHOLE["team"], sl.Member(name="C", role="surgeon", agrees=False, reason="canal too narrow"))
    assert "canal too narrow" in sl.assess(found(team=against), "uk-nice").barriers()[0].why
    assert not sl.assess(found(team=against), "europe").barriers()
    assert item(sl.assess(found(team=WHOLE["team"][:1]), "uk-nice"), "team-assessed").state == "missing"
    silent = (*WHOLE["team"], sl.Member(name="C", role="surgeon"))
    assert item(sl.assess(found(team=silent), "uk-nice"), "team-agrees").state == "missing"


def test_an_implant_needs_more_than_a_trial():
    nice = sl.assess(found(least_costly=None), "uk-nice")
    assert not nice.missing()
    assert {one.id for one in nice.missing("implant")} == {"trial-success", "least-costly"}
    failed = sl.assess(found(trial_success=False), "uk-nice")
    assert failed.advice("implant")[0].startswith("not suitable")
    assert failed.advice()[0].startswith("complete")


def test_the_european_table_is_said_to_be_missing():
    assert any("not retrieved" in words for words in sl.assess(found(), "europe").advice())
    assert not any("recommended" in one.why for one in sl.assess(found(), "europe").items)


FIELDS = st.fixed_dictionaries({}, optional={name: st.just(value) for name, value in WHOLE.items() if name not in ("psychosocial", "tried")} | {
    "indication": st.sampled_from(INDICATIONS), "neuropathic": st.booleans(), "pain_nrs": st.floats(0, 10), "pain_vas": st.floats(0, 100),
    "psychosocial": st.dictionaries(st.sampled_from(sl.names("psychosocial")), st.sampled_from(["none", "mild", "severe"])),
    "contraindications": st.dictionaries(st.sampled_from(sl.names("contraindication")), st.sampled_from(["yes", "no"])),
    "tried": st.lists(st.sampled_from([tried("drug"), tried("block", effect="good"), tried("surgery", effect="declined", note="no")])).map(tuple),
    "research": st.just("trial X"), "trial_success": st.booleans(), "tests_adapted": st.booleans(),
    "communication_needs": st.sampled_from(["yes", "no"]),
})


@given(FIELDS, FIELDS, st.sampled_from(RULES))
def test_adding_an_answer_never_makes_more_missing(some, others, rule):
    more = dict(some)
    for name, value in others.items():
        if name in ("psychosocial", "contraindications"):
            more[name] = value | some.get(name, {})
        elif name == "tried":
            more[name] = (*some.get(name, ()), *value)
        else:
            more.setdefault(name, value)
    before, after = sl.assess(sl.Findings(**some), rule), sl.assess(sl.Findings(**more), rule)
    assert {one.id for one in after.missing("implant")} <= {one.id for one in before.missing("implant")}


def leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for one in value.values() for leaf in leaves(one)]
    if isinstance(value, list | tuple):
        return [leaf for one in value for leaf in leaves(one)]
    return [value]


@given(FIELDS, st.sampled_from(RULES))
def test_no_number_stands_for_the_person(fields, rule):
    assessment = sl.assess(sl.Findings(**fields), rule)
    assert {type(leaf) for leaf in leaves(assessment.model_dump())} == {str}
    assert not re.search(r"\b(score|total|points|risk|probability)\b|\d ?%", " ".join(assessment.advice()).replace("screening score", "")
                         .replace("HbA1c above 8 to 9 %", ""))


@pytest.mark.parametrize(("change", "words"), [
    ({"indication": "crsp"}, "did you mean 'crps'"), ({"screens": {"dn4": 11}}, "0 to 10"), ({"screens": {"dn5": 1}}, "dn4"),
    ({"psychosocial": {"coping": "none"}}, "dysfunctional-coping"), ({"contraindications": {"pregnant": "no"}}, "pregnancy"),
    ({"pain_since": "2027-01-01"}, "2026-03-01 or earlier"), ({"pain_nrs": 11}, "pain_nrs"), ({"pain": 3}, "pain_nrs"),
    ({"team": [{"name": "A", "role": "surgeon", "agrees": False}]}, "without its reason"),
    ({"tried": [{"kind": "drug", "begin": "2024-02-01", "end": "2024-01-01"}]}, "2024-02-01 or later"),
])
def test_bad_findings_say_what_is_allowed(change, words):
    with pytest.raises(BadInput, match=words):
        read_recipe(sl.Findings, {"assessed": "2026-03-01", **change})


def test_yaml_truth_is_yes():
    assert sl.Findings(anatomy=True, contraindications={"pregnancy": False}).contraindications == {"pregnancy": "no"}


def test_an_unknown_rule_is_refused():
    with pytest.raises(BadInput, match="uk-nice"):
        sl.assess(sl.Findings(), "uk-nise")


def test_findings_round_trip():
    assert read_recipe(sl.Findings, found().model_dump(mode="json")) == found()


# sign-off

def sign(assessment: sl.Assessment, name="A", role="pain physician", agrees=True, **more) -> sl.Signature:
    return sl.Signature(name=name, role=role, on=DAY, agrees=agrees, assessment=assessment.key(), **more)


def test_signoff_needs_two_professions_who_agree_to_this_version():
    nice = sl.assess(found(), "uk-nice")
    one, other = sign(nice), sign(nice, "B", "psychologist")
    assert not sl.signoff(nice, []).complete
    assert not sl.signoff(nice, [one, sign(nice, "C", "Pain physician ")]).complete
    whole = sl.signoff(nice, [one, other])
    assert whole.complete
    assert whole.demanded
    assert not sl.signoff(nice, [one, sign(nice, "B", "psychologist", agrees=False, reason="wait")]).complete
    later = sl.assess(found(pain_vas=80.0), "uk-nice")
    stale = sl.signoff(later, [one, other])
    assert not stale.complete
    assert stale.outdated == (one, other)
    assert sl.assess(found(), "europe").team != "demanded"


def test_a_yes_against_a_barrier_needs_a_reason():
    barred = sl.assess(found(indication="angina"), "uk-nice")
    open_ends = sl.signoff(barred, [sign(barred), sign(barred, "B", "psychologist", reason="compassionate use")]).open
    assert len(open_ends) == 1
    assert "A (pain physician) agrees although" in open_ends[0]


def test_page_escapes_everything_and_shows_every_item():
    nasty = "<script>alert(1)</script>"
    assessment = sl.assess(found(location=nasty, team=(*WHOLE["team"], sl.Member(name=nasty, role=nasty, agrees=False, reason=nasty))), "europe")
    page = sl.signoff_page(assessment, [sign(assessment, nasty, nasty, reason=nasty)], person=nasty)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 6
    for one in assessment.items:
        assert sl.escape(one.question) in page
    assert assessment.key() in page
    assert "not verified" in page
    assert sl.FOOT in page
    assert not re.search(r"(src|href)=", page)


def test_screens_have_the_cut_offs_of_the_instruments() -> None:
    """Two tables say them, since a screen may be a total from elsewhere; they must not part."""
    named = {"dn4": ("dn4", "full"), "dn4-interview": ("dn4", "interview"), "paindetect": ("paindetect", "total"), "lanss": ("lanss", "total")}
    for screen, (kind, part) in named.items():
        bands = [float(each["value"]) for each in table("instruments")
                 if (each["instrument"], each["scale"], each["quantity"]) == (kind, part, "band")]
        row = table("neuropathic_screens").row(screen=screen)
        assert float(row["likely"]) == max(bands), screen
        assert float(row["low"]) == min(bands), screen
