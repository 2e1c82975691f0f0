"""Instruments: a contract that every kind keeps, published worked examples, missing answers, texts of a site, and change."""

from __future__ import annotations

import csv
import json
from datetime import date
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epidura import eq5d, quality_of_life
from epidura.clinic.instruments import Score, change, family, holistic, read_text
from epidura.clinic.instruments.base import Instrument
from epidura.clinic.instruments.t_scores import DOMAINS, read_t_scores
from epidura.errors import BadInput
from epidura.tables import EVIDENCE

KINDS = ("dn4", "eq-5d-5l", "gad-7", "hads", "lanss", "nrs", "odi", "paindetect", "peg", "pgic", "phq-9", "promis-29", "promis-4a",
         "reported-relief", "rmdq", "s-lanss", "vas")
FREE = {"gad-7", "nrs", "peg", "pgic", "phq-9", "reported-relief", "rmdq", "vas"}
TODAY = date(2026, 11, 1)
LICENCE = {"holder": "Pain Clinic", "number": "ABC-123", "until": "2027-12-31"}
# not the real tables, which are licensed: T from 20 to 80, in steps of 3.75
T_SCORES = read_t_scores({"version": "made up", "licence": LICENCE, "domains": {d: {raw: 20 + 3.75 * (raw - 4) for raw in range(4, 21)}
                                                                                for d in DOMAINS}}, TODAY)
EVERY = [*({"kind": kind} for kind in KINDS), {"kind": "dn4", "part": "interview"}, {"kind": "eq-5d-5l", "country": "Canada"},
         {"kind": "nrs", "asked": ["average", "worst", "least", "now"]}, {"kind": "promis-29", "t_scores": T_SCORES.model_dump(mode="json")},
         {"kind": "promis-4a", "domain": "physical function", "t_scores": T_SCORES.model_dump(mode="json")}]


def read(case: dict | str, **fields) -> Instrument:
    return family.read({"kind": case, **fields} if isinstance(case, str) else case)


def filled(instrument: Instrument, end: int) -> dict[str, int]:
    """Every item at the answer that counts least (0) or most (-1)."""
    return {item.key: sorted(zip(item.points, item.answers, strict=True))[end][1] for item in instrument.items}


every = pytest.mark.parametrize("instrument", [read(case) for case in EVERY], ids=lambda i: f"{i.kind} {i.key()[:4]}")


# contract

def test_the_family_has_a_schema_and_says_what_it_is():
    assert len(json.loads(json.dumps(family.json_schema()))["oneOf"]) == len(KINDS)
    with pytest.raises(BadInput, match=r"there is no instrument of this kind; got 'phq9'.*did you mean 'phq-9'"):
        read("phq9")


def test_these_instruments_are_there():
    assert tuple(family.members) == KINDS
    assert {kind for kind in KINDS if read(kind).free} == FREE


@every
def test_the_range_is_reached_and_the_number_lies_in_a_published_band(instrument):
    ends = [instrument.score(filled(instrument, end)) for end in (0, -1)]
    for low, high in zip(ends[0].values, ends[1].values, strict=True):
        assert sorted([low.number, high.number]) == pytest.approx([low.low, low.high], abs=1e-12), low.name
        assert (low.number < high.number) or low.name == "index"
        if low.band or high.band:
            assert low.band
            assert high.band
            assert low.band.label != high.band.label
    assert all(score.complete and not score.missing for score in ends)


@every
def test_without_answers_there_is_no_number_and_every_item_is_named(instrument):
    for answers in ({}, {item.key: None for item in instrument.items}):
        score = instrument.score(answers)
        assert [value.number for value in score.values] == [None] * len(score.values)
        assert [value.band for value in score.values] == [None] * len(score.values)
        assert score.missing == tuple(item.key for item in instrument.items)
        assert not score.complete
        assert instrument.missing_rule in score.notes[0]


@every
def test_one_missing_answer_is_named_and_the_rest_is_kept(instrument):
    answers = filled(instrument, -1)
    for key in answers:
        score = instrument.score({**answers, key: None})
        assert score.missing == (key,)
        assert not score.complete
        assert key in score.notes[0]
        assert score.answers == {name: answer for name, answer in answers.items() if name != key}


@every
def test_an_unknown_item_is_refused(instrument):
    with pytest.raises(BadInput, match="no such item") as error:
        instrument.score({**filled(instrument, 0), "shoe size": 1})
    assert f"{instrument.kind}.shoe size" in str(error.value)
    assert instrument.items[0].key in error.value.allowed


@every
def test_an_answer_out_of_range_is_refused_with_what_is_allowed(instrument):
    for item in instrument.items:
        low, high = item.answers[0], item.answers[-1]
        for bad in (low - 1, high + 1, float("nan"), float("inf"), *([] if item.line else [low + 0.5])):
            with pytest.raises(BadInput, match="does not exist") as error:
                instrument.score({item.key: bad})
            assert error.value.where == f"{instrument.kind}.{item.key}"
            assert str(low) in error.value.allowed
            assert str(high) in error.value.allowed
        for bad in ("1", True, [1]):
            with pytest.raises(BadInput, match="not a number"):
                instrument.score({item.key: bad})


@every
def test_the_form_lists_every_item_with_its_answers(instrument):
    form = json.loads(json.dumps(instrument.form(today=TODAY)))
    assert form["x-order"] == list(form["properties"]) == [item.key for item in instrument.items]
    assert form["additionalProperties"] is False
    assert form["x-text"] == ("free" if instrument.free else "none")
    assert form["x-language"] == ("en" if instrument.free else "")
    for item in instrument.items:
        field = form["properties"][item.key]
        if "oneOf" in field:
            *choices, none = field["oneOf"]
            assert {choice["const"] for choice in choices} == set(item.answers)
            assert none["type"] == "null"
            assert all(choice["title"] for choice in choices)
        else:
            assert (field["minimum"], field["maximum"]) == (item.answers[0], item.answers[-1])
            assert field["type"] == ["number" if item.line else "integer", "null"]
            assert all(field["x-ends"].values()) == instrument.free
        assert (field["title"] != item.key) == instrument.free  # nothing of a text that is not free


@every
def test_json_and_back(instrument):
    for answers in ({}, filled(instrument, 0), filled(instrument, -1)):
        score = instrument.score(answers)
        assert Score.model_validate_json(score.model_dump_json()) == score
    assert read(instrument.model_dump(mode="json")) == instrument


@every
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_more_of_an_item_never_lowers_a_value(instrument, data):
    answers = {item.key: data.draw(st.sampled_from(item.answers), label=item.key) for item in instrument.items}
    item = data.draw(st.sampled_from(instrument.items))
    order = sorted(zip(item.points, item.answers, strict=True))
    less, more = sorted(data.draw(st.tuples(*[st.integers(0, len(order) - 1)] * 2)))
    low, high = (instrument.score({**answers, item.key: order[place][1]}) for place in (less, more))
    for a, b in zip(low.values, high.values, strict=True):
        sign = -1 if a.name == "index" else 1
        assert sign * (b.number - a.number) >= -1e-12
        if a.band and sign == 1:
            assert b.band.value >= a.band.value


@every
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_value_with_missing_answers_lies_within_its_range(instrument, data):
    answers = {item.key: data.draw(st.sampled_from([None, *item.answers])) for item in instrument.items}
    for value in instrument.score(answers).values:
        assert value.number is None or value.low - 1e-9 <= value.number <= value.high + 1e-9


def test_every_row_of_the_table_has_its_source():
    with (files("epidura") / "data" / "instruments.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["instrument"] for row in rows} == set(KINDS)
    for row in rows:
        assert row["evidence"] in EVIDENCE
        assert row["source"], row
        assert row["quantity"] in {"licence", "text", "missing", "range", "band", "band above", "important change", "responder"}
        if row["evidence"] == "read":
            assert row["doi_or_url"], row


def test_texts_of_the_package_are_the_free_ones():
    names = {path.name for path in (files("epidura") / "data" / "instruments").iterdir()}
    assert names == {f"{kind}.en.yaml" for kind in FREE}
    for kind in FREE:
        text = read(kind).text()
        assert text.terms
        assert text.source
    assert read("phq-9").text("tlh") is None
    assert read("phq-9").form(language="tlh")["x-text"] == "none"


def test_the_page_has_every_instrument_with_its_rule():
    page = (Path(__file__).parents[2] / "docs" / "instruments.md").read_text(encoding="utf-8")
    rows = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `")}
    assert set(rows) == set(KINDS)
    for kind, row in rows.items():
        assert f"| {read(kind).missing_rule} |" in row
        assert ("| yes" in row) == (kind in FREE)


def test_answers_can_have_numbers_as_keys_but_not_twice():
    assert read("gad-7").score(dict.fromkeys(range(1, 8), 1)).number() == 7
    with pytest.raises(BadInput, match="answered twice"):
        read("gad-7").score({1: 1, "1": 2})
    with pytest.raises(BadInput, match="answers are a mapping"):
        read("gad-7").score([1] * 7)


def test_answers_are_kept_as_given():
    kept = read("vas").score({"average": 36.5}).answers | read("nrs").score({"average": 4}).answers
    assert kept == {"average": 4}
    assert isinstance(kept["average"], int)


def test_what_rests_on_memory_or_judgement_is_listed():
    assert [mark.label for mark in read("nrs").score({"average": 5}).unverified] == ["moderate"]
    assert read("phq-9").score(dict.fromkeys(range(1, 10), 1)).unverified == ()
    assert [mark.evidence for mark in read("dn4", part="interview").score(dict.fromkeys(range(1, 8), 1)).unverified] == ["recall"]


# published

@pytest.mark.parametrize(("country", "profile", "index"), [
    ("England", "55555", -0.285),  # Devlin 2018, abstract
    ("England", "11211", 0.950),  # the same: second best states
    ("England", "23245", 0.247), ("Canada", "23145", 0.275), ("Germany", "12345", 0.141),  # tests of the R package eq5d
])
def test_eq_5d_5l_index(country, profile, index):
    score = read("eq-5d-5l", country=country).score(dict(zip(eq5d.DIMENSIONS, map(int, profile), strict=True)) | {"vas": 40})
    assert score.number("index") == pytest.approx(index, abs=0.00051)
    assert score.number("EQ VAS") == 40
    assert f"profile {profile}" in score.notes[0]


def test_eq_5d_5l_needs_all_five_and_a_known_country():
    score = read("eq-5d-5l").score(dict.fromkeys(eq5d.DIMENSIONS[:4], 1) | {"vas": 70})
    assert score.number("index") is None
    assert score.number("EQ VAS") == 70
    assert score.missing == ("anxiety/depression",)
    with pytest.raises(BadInput, match="no EQ-5D-5L value set"):
        read("eq-5d-5l", country="Atlantis")


@pytest.mark.parametrize(("answered", "total", "percent"), [
    (10, 16, 32.0),  # printed under the form: 16 of 50
    (9, 16, 35.6),  # 16 of 45, printed there cut off as 35.5
    (10, 22, 44.0),
])
def test_odi_divides_by_what_was_answered(answered, total, percent):
    sections = [5] * (total // 5) + [total % 5] + [0] * 10
    score = read("odi").score({i + 1: sections[i] for i in range(answered)})
    assert score.number() == pytest.approx(percent, abs=0.05)
    assert len(score.missing) == 10 - answered


@pytest.mark.parametrize(("percent", "band"), [(0, "minimal"), (20, "minimal"), (22, "moderate"), (40, "moderate"), (42, "severe"), (60, "severe"),
                                               (62, "crippled"), (80, "crippled"), (82, "bed-bound"), (100, "bed-bound")])
def test_odi_bands(percent, band):
    points = percent // 2
    sections = [5] * (points // 5) + [points % 5] + [0] * 10
    assert read("odi").score({i + 1: sections[i] for i in range(10)})["total"].band.label.startswith(band)


@pytest.mark.parametrize(("kind", "total", "band"), [
    ("phq-9", 0, "none or minimal"), ("phq-9", 4, "none or minimal"), ("phq-9", 5, "mild"), ("phq-9", 9, "mild"), ("phq-9", 10, "moderate"),
    ("phq-9", 14, "moderate"), ("phq-9", 15, "moderately severe"), ("phq-9", 19, "moderately severe"), ("phq-9", 20, "severe"),
    ("phq-9", 27, "severe"), ("gad-7", 4, "minimal"), ("gad-7", 5, "mild"), ("gad-7", 9, "mild"), ("gad-7", 10, "moderate"),
    ("gad-7", 14, "moderate"), ("gad-7", 15, "severe"), ("gad-7", 21, "severe"),
])
def test_bands_of_phq_9_and_gad_7(kind, total, band):
    instrument = read(kind)
    count = len(instrument.items)
    score = instrument.score({i + 1: total // count + (i < total % count) for i in range(count)})
    assert score.number() == total
    assert score["total"].band.label == band


def test_phq_9_says_the_last_item_beside_the_total():
    calm = dict.fromkeys(range(1, 10), 0)
    for answer in (1, 2, 3):
        score = read("phq-9").score({**calm, 9: answer})
        assert score["total"].band.label == "none or minimal"
        assert score.alerts == ("answered above zero on the item about being better off dead: talk to the patient today",)
    assert read("phq-9").score(dict.fromkeys(range(1, 9), 3) | {9: 0}).alerts == ()
    assert "ask the patient today" in read("phq-9").score(dict.fromkeys(range(1, 9), 0)).alerts[0]
    assert read("phq-9").score({9: 1}).alerts  # also where there is no total


@pytest.mark.parametrize(("kind", "count"), [("phq-9", 9), ("gad-7", 7)])
def test_phq_9_and_gad_7_allow_two_missing(kind, count):
    for missing, total in ((1, 2 * count), (2, 2 * count), (3, None)):
        score = read(kind).score(dict.fromkeys(range(1 + missing, count + 1), 2))
        assert score.number() == total
        assert len(score.missing) == missing
    assert read(kind).score({i: 1 if i % 2 else 0 for i in range(2, count + 1)}).number() == pytest.approx((count - 1) / 2 * count / (count - 1))


def test_paindetect_total():
    sensory = dict.fromkeys(range(1, 8), 2)
    totals = [read("paindetect").score({**sensory, "course": picture, "radiation": radiates}).number()
              for picture in (1, 2, 3, 4) for radiates in (0, 1)]
    assert totals == [14, 16, 13, 15, 15, 17, 15, 17]
    for total, band in ((12, "neuropathic component unlikely"), (13, "unclear"), (18, "unclear"), (19, "neuropathic component likely")):
        score = read("paindetect").score({i + 1: total // 7 + (i < total % 7) for i in range(7)} | {"course": 1, "radiation": 0})
        assert (score.number(), score["total"].band.label) == (total, band)


@pytest.mark.parametrize("kind", ["lanss", "s-lanss"])
def test_lanss_weights(kind):
    weights = [read(kind).score({i: int(i == j) for i in range(1, 8)}).number() for j in range(1, 8)]
    assert weights == [5, 5, 3, 2, 1, 5, 3]
    assert sum(weights) == 24
    for yes, total, likely in (({1, 2, 5}, 11, False), ({1, 2, 4}, 12, True)):
        score = read(kind).score({i: int(i in yes) for i in range(1, 8)})
        assert score.number() == total
        assert ("not " not in score["total"].band.label and "unlikely" not in score["total"].band.label) == likely


@pytest.mark.parametrize(("part", "count", "cut"), [("full", 10, 4), ("interview", 7, 3)])
def test_dn4_cut(part, count, cut):
    for yes in range(count + 1):
        score = read("dn4", part=part).score({i: int(i <= yes) for i in range(1, count + 1)})
        assert score.number() == yes
        assert score["total"].band.label == ("neuropathic pain likely" if yes >= cut else "neuropathic pain unlikely")


def test_what_missing_answers_leave_open_is_said():
    sure = read("dn4").score(dict.fromkeys(range(1, 6), 1))
    assert sure.number() is None
    assert sure.notes[1] == "the missing answers leave a total from 5 to 10; either way: neuropathic pain likely"
    assert read("lanss").score(dict.fromkeys(range(2, 8), 0)).notes[1] == (
        "the missing answers leave a total from 0 to 5; either way: neuropathic mechanisms unlikely")
    assert read("paindetect").score(dict.fromkeys(range(1, 8), 2)).notes[1] == "the missing answers leave a total from 13 to 17; either way: unclear"
    assert read("lanss").score(dict.fromkeys(range(3, 8), 0) | {1: 1}).notes[1].endswith("from 5 to 10; either way: neuropathic mechanisms unlikely")
    assert read("lanss").score({1: 1, 2: 1}).notes[1].endswith("from 10 to 24")


def test_rmdq_counts_ticks():
    assert read("rmdq").score({i: int(i <= 11) for i in range(1, 25)}).number() == 11
    assert read("rmdq").score({3: 1, 5: 1}).number() == 2  # a sentence without a tick is a no
    assert read("rmdq").score({}).number() is None


def test_hads_subscales_and_the_half_rule():
    anxious = {i: 2 if i % 2 else 0 for i in range(1, 15)}
    score = read("hads").score(anxious)
    assert (score.number("anxiety"), score.number("depression")) == (14, 0)
    assert (score["anxiety"].band.label, score["depression"].band.label) == ("probable case", "no case")
    for answered, expected in ((4, 14), (3, None)):
        left = {i: a for i, a in anxious.items() if i % 2 == 0 or i in range(1, 2 * answered, 2)}
        score = read("hads").score(left)
        assert (score.number("anxiety"), score.number("depression")) == (expected, 0)
    for total, band in ((7, "no case"), (8, "possible case"), (10, "possible case"), (11, "probable case")):
        low = {2 * i + 2: total // 7 + (i < total % 7) for i in range(7)}
        assert read("hads").score(low)["depression"].band.label == band


def test_peg_is_a_mean():
    assert read("peg").score({"pain": 7, "enjoyment": 5, "activity": 6}).number() == 6
    assert read("peg").score({"pain": 7, "enjoyment": 5}).number() is None


def test_ratings_of_pain():
    nrs = read("nrs", asked=["average", "worst", "least"])
    assert nrs.score({"average": 6, "worst": 8, "least": 3}).notes == ()
    assert nrs.score({"average": 6, "worst": 6, "least": 6}).notes == ()
    assert "ask again" in nrs.score({"average": 6, "worst": 5, "least": 3}).notes[0]
    assert [read("nrs").score({"average": i})["average"].band.label for i in (0, 1, 3, 4, 7, 8, 10)] == [
        "no pain", "mild", "mild", "moderate", "moderate", "severe", "severe"]
    assert [read("vas").score({"average": mm})["average"].band.label for mm in (34, 35, 74, 75)] == ["mild", "moderate", "moderate", "severe"]
    with pytest.raises(BadInput, match="asked twice"):
        read("nrs", asked=["now", "now"])
    labels = [read("pgic").score({"change": i})["change"].band.label for i in range(1, 8)]
    assert [label.startswith("responder") for label in labels] == [True, True] + [False] * 5


# PROMIS

def test_promis_has_t_scores_only_with_a_table():
    answers = {item.key: 3 for item in read("promis-29").items}
    bare = read("promis-29").score(answers)
    assert [value.name for value in bare.values] == [f"{domain} raw" for domain in DOMAINS] + ["pain intensity"]
    assert all(value.number == 12 for value in bare.values[:-1])
    assert "no T score" in bare.notes[-1]
    score = read("promis-29", t_scores=T_SCORES).score(answers)
    assert score.number("sleep disturbance T") == 50
    assert score.number("pain intensity") == 3
    assert score["sleep disturbance T"].important_change.value == 3.9
    assert score["physical function T"].better == "higher"
    assert score.settings == {"t_scores": "made up"}  # the table itself is licensed
    assert "27.5" not in score.model_dump_json()
    one = read("promis-29", t_scores=T_SCORES).score({**answers, "anxiety 2": None})
    assert one.number("anxiety T") is one.number("anxiety raw") is None
    assert one.number("depression T") == 50


@pytest.mark.parametrize(("t", "symptoms", "function"), [(50, "within normal limits", "within normal limits"), (57.5, "mild", "within normal limits"),
                                                         (42.5, "within normal limits", "mild"), (65, "moderate", "within normal limits"),
                                                         (35, "within normal limits", "moderate"), (72.5, "severe", "within normal limits"),
                                                         (27.5, "within normal limits", "severe")])
def test_promis_bands(t, symptoms, function):
    raw = {r: 0.5 * (r - 12) + t for r in range(4, 21)}  # made up: raw 12 is t
    tables = {"version": "made up", "licence": LICENCE, "domains": {"fatigue": raw, "physical function": raw}}
    for domain, band in (("fatigue", symptoms), ("physical function", function)):
        instrument = read("promis-4a", domain=domain, t_scores=tables)
        assert instrument.score({item.key: 3 for item in instrument.items}).values[0].band.label == band


@pytest.mark.parametrize(("change_to", "message"), [
    ({"licence": {**LICENCE, "until": "2025-01-01"}}, "ran out"), ({"domains": {"joy": {}}}, "no such domain"),
    ({"domains": {"fatigue": {4: 30.0}}}, "not one T score for each raw score"),
    ({"domains": {"fatigue": dict.fromkeys(range(4, 21), 50.0)}}, "do not rise"), ({"licence": None}, "licence"),
])
def test_a_table_of_t_scores_that_does_not_hold_is_refused(change_to, message):
    with pytest.raises(BadInput, match=message):
        read_t_scores({**T_SCORES.model_dump(mode="json"), **change_to}, TODAY)


# text of a site

def upload(kind: str, **changes) -> dict:
    """A text of made-up words that fits."""
    instrument = read(kind)
    return {"instrument": kind, "version": instrument.version, "language": "en", "licence": LICENCE,
            "items": {item.key: {"text": f"question {item.key}", "options": {a: f"answer {a}" for a in item.labelled}}
                      for item in instrument.every_item}} | changes


@pytest.mark.parametrize("kind", sorted(set(KINDS) - FREE))
def test_a_site_uploads_text_with_a_licence(kind, tmp_path):
    path = tmp_path / "text.json"
    path.write_text(json.dumps(upload(kind)), encoding="utf-8")
    text = read_text(path, read(kind), TODAY)
    form = read(kind).form(text, today=TODAY)
    assert form["x-text"] == "uploaded"
    assert [field["title"] for field in form["properties"].values()] == [f"question {key}" for key in form["x-order"]]
    assert type(text).model_validate_json(text.model_dump_json()) == text


def test_a_text_stands_in_the_order_it_is_printed():
    texts = upload("hads")
    texts["items"]["2"]["options"] = {3: "d", 2: "c", 1: "b", 0: "a"}
    form = read("hads").form(read_text(texts, read("hads"), TODAY), today=TODAY)
    assert [choice.get("const") for choice in form["properties"]["2"]["oneOf"]] == [3, 2, 1, 0, None]
    assert [choice.get("const") for choice in form["properties"]["1"]["oneOf"]] == [0, 1, 2, 3, None]


def test_a_yaml_text_with_shared_options():
    items = "\n".join(f'  "{i}": {{text: "section {i}"}}' for i in range(1, 11))
    options = "{0: a, 1: b, 2: c, 3: d, 4: e, 5: f}"
    head = "instrument: odi\nversion: 2.1a\nlanguage: de\nlicence: {holder: X, number: '1', until: 2026-11-01}\n"
    source = f"{head}options: {options}\nitems:\n{items}\n"
    text = read_text(source, read("odi"), TODAY)
    assert text.options_of("7") == {0: "a", 1: "b", 2: "c", 3: "d", 4: "e", 5: "f"}
    with pytest.raises(BadInput, match="ran out"):
        read("odi").form(text, today=date(2026, 11, 2))


def broken(path: tuple[str, ...], value: object) -> dict:
    text = json.loads(json.dumps(upload("odi")))
    part = text
    for key in path[:-1]:
        part = part[key]
    if value is None:
        del part[path[-1]]
    else:
        part[path[-1]] = value
    return text


@pytest.mark.parametrize(("path", "value", "message"), [
    (("licence",), None, "is not free: copyright Fairbank.*allowed: holder, number, until"),
    (("licence", "number"), "", "licence.number"),
    (("licence", "until"), "2026-10-31", r"licence.until: the licence of Pain Clinic ran out; got '2026-10-31'"),
    (("items", "3"), None, "items: items of odi are missing; got 'without 3'; allowed: all 10"),
    (("items", "11"), {"text": "x"}, "items.11: odi has no such item"),
    (("items", "4", "options", "5"), None, "items.4.options: 5 options, 6 needed; got '0, 1, 2, 3, 4'; allowed: 0, 1, 2, 3, 4, 5"),
    (("items", "4", "options", "6"), "x", "items.4.options: 7 options, 6 needed"),
    (("items", "4", "options", "5"), " ", "items.4.options.5: an option without words"),
    (("items", "4", "text"), "", "items.4.text"),
    (("instrument",), "rmdq", "instrument: a text of another instrument; got 'rmdq'; allowed: odi"),
    (("version",), "1.0", "version: a text of another version; got '1.0'; allowed: 2.1a"),
    (("language",), "English!", "language"),
    (("colour",), "red", "unknown key"),
])
def test_a_text_that_does_not_fit_is_refused(path, value, message):
    with pytest.raises(BadInput, match=message):
        read_text(broken(path, value), read("odi"), TODAY)


def test_a_translation_of_a_free_text_needs_no_licence():
    text = upload("gad-7", language="es-MX", licence=None)
    assert read("gad-7").form(read_text(text, read("gad-7"), TODAY))["x-language"] == "es-MX"


def test_the_words_of_a_few_free_items():
    assert read("phq-9").text().items["9"].text == "Thoughts that you would be better off dead or of hurting yourself in some way"
    assert read("gad-7").text().options[0] == "Not at all"  # the anchor has to be this
    assert len(read("rmdq").text().items) == len({words.text for words in read("rmdq").text().items.values()}) == 24
    assert all("back" in words.text for words in read("rmdq").text().items.values())


# change

def nrs(value: float | None) -> Score:
    return read("nrs").score({"average": value})


@pytest.mark.parametrize(("before", "after", "responders", "improved", "worsened"), [
    (10, 7, {30: True, 50: False}, True, False), (8, 4, {30: True, 50: True}, True, False), (3, 2, {30: True, 50: False}, False, False),
    (8, 6, {30: False, 50: False}, True, False), (6, 8, {30: False, 50: False}, False, True), (0, 0, {30: False, 50: False}, False, False),
    (7, 5, {30: False, 50: False}, True, False), (10, 5, {30: True, 50: True}, True, False),
])
def test_change_of_pain(before, after, responders, improved, worsened):
    found = change(nrs(before), nrs(after)).values[0]
    assert (found.absolute, found.gain) == (after - before, before - after)
    assert found.percent == (pytest.approx(100 * (after - before) / before) if before else None)
    assert found.responders == responders
    assert (found.improved, found.worsened) == (improved, worsened)
    assert found.important_change.value == 2


def test_calculated_relief_stands_beside_the_reported_one():
    relief = change(nrs(8), nrs(4), reported=read("reported-relief").score({"relief": 80})).relief
    assert (relief.calculated, relief.reported, relief.difference) == (50, 80, 30)
    assert [limit.value for limit in relief.limits] == [-30, 41]
    assert relief.agrees is True
    assert change(nrs(8), nrs(4), reported=95).relief.agrees is False  # 45 above
    assert change(nrs(10), nrs(1), reported=55).relief.agrees is False  # 35 below
    assert change(nrs(0), nrs(4), reported=10).relief.calculated is None
    assert change(nrs(8), nrs(4)).relief.reported is None
    assert change(nrs(None), nrs(4), reported=10).relief.agrees is None
    vas = change(read("vas").score({"average": 80}), read("vas").score({"average": 56}))
    assert vas.relief.calculated == pytest.approx(30)
    assert vas.values[0].responders == {30: True, 50: False}
    assert vas.values[0].improved  # 24 mm against 15


def test_change_is_towards_better_whichever_way_the_scale_goes():
    before, after = (read("eq-5d-5l").score(dict.fromkeys(eq5d.DIMENSIONS, level) | {"vas": vas}) for level, vas in ((3, 30), (2, 60)))
    index, vas = change(before, after).values
    assert index.gain == index.absolute > 0
    assert index.before > 0
    assert index.improved is True
    assert index.percent is None  # the scale does not begin at 0
    assert vas.gain == 30
    assert vas.percent == pytest.approx(100)
    assert vas.improved is None  # no important change is known
    odi = change(read("odi").score(dict.fromkeys(range(1, 11), 3)), read("odi").score(dict.fromkeys(range(1, 11), 2))).values[0]
    assert (odi.absolute, odi.gain, odi.improved, odi.worsened) == (-20, 20, True, False)
    assert odi.responders == {30: True}


def test_change_with_a_missing_score():
    found = change(nrs(8), nrs(None))
    assert found.values[0].absolute is found.values[0].improved is None
    assert found.values[0].responders == {}
    assert found.notes == ("answers are missing after",)


@pytest.mark.parametrize(("before", "after", "reported", "message"), [
    (nrs(5), read("vas").score({"average": 40}), None, "after.instrument: scores that cannot be compared"),
    (read("eq-5d-5l").score({}), read("eq-5d-5l", country="Spain").score({}), None, "after.settings: scores that cannot be compared"),
    (read("pgic").score({"change": 1}), read("pgic").score({"change": 2}), None, "says by itself what changed"),
    (nrs(5), nrs(4), 120, "reported: not a relief; got 120; allowed: 0 to 100 %"), (nrs(5), nrs(4), True, "not a relief"),
    (nrs(5), nrs(4), nrs(4), "not a score of relief"), (read("odi").score({}), read("odi").score({}), 10, "strength of pain only"),
])
def test_scores_that_cannot_be_compared_are_refused(before, after, reported, message):
    with pytest.raises(BadInput, match=message):
        change(before, after, reported)


def test_the_holistic_responder_is_that_of_quality_of_life():
    def visit(pain: int, level: int, answer: int, function: int) -> list[Score]:
        answers = {item.key: function if item.key.startswith("physical") else answer for item in read("promis-29").items}
        return [nrs(pain), read("eq-5d-5l").score(dict.fromkeys(eq5d.DIMENSIONS, level)), read("promis-29", t_scores=T_SCORES).score(answers)]

    before, after = visit(8, 4, 5, 1), visit(3, 2, 3, 3)
    found = holistic(before, after)
    rows = [[s[0].number(), s[1].number("index"), s[2].number("sleep disturbance T"), s[2].number("physical function T"), s[2].number("depression T")]
            for s in (before, after)]
    same = quality_of_life.holistic(*rows)
    np.testing.assert_array_equal(found.gained, same.gained)
    assert bool(found.responder) is True
    assert not holistic(before, before).responder
    with pytest.raises(BadInput, match="the domain sleep is missing; allowed: a score of promis-29"):
        holistic(before[:2], after)


def test_a_value_of_another_name_is_refused():
    with pytest.raises(BadInput, match="did you mean 'anxiety'"):
        read("hads").score({})["anxeity"]
