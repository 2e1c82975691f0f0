"""A case is text: reading, writing, and one clear sentence for each thing that is wrong."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_case import TINY, tiny

from epidura import anatomy, axon, fibre, lead, waveform
from epidura.canal import place_leads
from epidura.case import Case, json_schema, read, to_text, write
from epidura.errors import BadCase, BadGeometry, BadInput, BadUnit
from epidura.interface import Interface
from epidura.lead.percutaneous import models
from epidura.patient import indications
from epidura.tables import table

INDICATIONS = indications()
VERTEBRAE = table("vertebrae").column("vertebra")
AREAS = [side + area for area in table("pain_areas").column("id") for side in ("", "left-", "right-")]


def quantity(low: float, high: float, *units: str) -> st.SearchStrategy[str]:
    """Text with a unit; what it is in SI does not matter here."""
    return st.builds("{:.12g} {}".format, st.floats(low, high), st.sampled_from(units))


WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40).filter(str.strip)

WAVEFORMS = st.one_of(
    st.fixed_dictionaries({"kind": st.just("tonic"), "frequency": quantity(2, 100, "Hz"), "pulse_width": quantity(50, 600, "us")},
                          optional={"shape": st.sampled_from(["monophasic", "symmetric", "asymmetric"]),
                                    "recharge_ratio": st.floats(1, 10), "interphase_gap": quantity(0, 0.1, "ms")}),
    st.fixed_dictionaries({"kind": st.just("burst")},
                          optional={"frequency": quantity(1, 40, "Hz"), "pulses": st.integers(1, 5),
                                    "pulse_width": quantity(100, 1000, "us"),
                                    "recharge": st.sampled_from(["passive", "active"])}),
    st.fixed_dictionaries({"kind": st.just("high-frequency")},
                          optional={"frequency": quantity(1, 10, "kHz"), "pulse_width": quantity(10, 50, "us")}),
    st.builds(lambda steps, values: {"kind": "sampled", "times": [f"{sum(steps[:i])} us" for i in range(len(steps))],
                                     "values": [1, *values[:len(steps) - 2], 0]},
              st.lists(st.integers(1, 500), min_size=2, max_size=6), st.lists(st.floats(-1, 1), min_size=6, max_size=6)),
)
AMPLITUDES = st.one_of(st.just("auto"), quantity(0.1, 20, "mA"), quantity(100, 9000, "uA"),
                       st.builds("{:.6g} % of perception".format, st.floats(0.1, 300)))


@st.composite
def contacts(draw: st.DrawFn, count: int) -> dict[object, float]:
    """Fractions that balance, with or without the generator's case."""
    names = draw(st.lists(st.sampled_from([*range(1, count + 1), "case"]), min_size=2, max_size=5, unique=True))
    split = draw(st.integers(1, len(names) - 1))
    fractions: dict[object, float] = {}
    for sign, group in ((-1, names[:split]), (1, names[split:])):
        shares = [draw(st.floats(0.05, 1)) for _ in group]
        fractions |= {name: sign * share / sum(shares) for name, share in zip(group, shares, strict=True)}
    return fractions


@st.composite
def cases(draw: st.DrawFn) -> dict[str, object]:
    """A valid case as it comes out of YAML."""
    vertebra = draw(st.sampled_from(VERTEBRAE))
    canal = {"kind": "parametric", "vertebra": vertebra} | draw(st.fixed_dictionaries({}, optional={
        "tissues": st.sampled_from(["low-dura", "high-dura"]), "dorsal_csf": quantity(0.5, 8, "mm"), "dura": quantity(60, 1900,
                                                                                                                      "um"),
        "cord_width": st.one_of(st.none(), quantity(3, 19, "mm")), "segment_shift": st.integers(-3, 3)}))
    leads = draw(st.lists(st.fixed_dictionaries(
        {"model": st.sampled_from(models()), "tip_vertebra": st.just(vertebra)},
        optional={"kind": st.just("percutaneous"), "lateral": quantity(-5, 5, "mm"), "tip_offset": quantity(-2, 2, "cm"),
                  "depth": quantity(0.05, 1, "mm"), "encapsulation": quantity(0, 0.5, "mm")}), min_size=1, max_size=4))
    count = sum(len(lead.family.read({**one}).shape().contacts) for one in leads)
    names = draw(st.lists(WORDS, min_size=1, max_size=3, unique=True))
    programs = [draw(st.fixed_dictionaries({"name": st.just(name), "waveform": WAVEFORMS, "contacts": contacts(count)},
                                           optional={"amplitude": AMPLITUDES})) for name in names]
    return {"title": draw(WORDS), "anatomy": canal, "leads": leads,
            "programs": programs} | draw(st.fixed_dictionaries({}, optional={
        "about": WORDS,
        "patient": st.fixed_dictionaries(
            {"pain": st.fixed_dictionaries({"areas": st.lists(st.sampled_from(AREAS), min_size=1, max_size=4),
                                            "nrs": st.floats(0, 10)})},
            optional={"age": st.integers(0, 120), "indication": st.sampled_from(INDICATIONS)}),
        "fibres": st.lists(st.fixed_dictionaries(
            {"kind": st.sampled_from(list(fibre.family.members))},
            optional={"count": st.integers(1, 1_000_000), "seed": st.integers(0, 2**40),
                      "axon": st.sampled_from(list(axon.family.members))},
        ), min_size=1, max_size=2, unique_by=lambda one: one["kind"]),
        "rules": st.fixed_dictionaries({}, optional={"felt_fibres": st.floats(0.01, 100), "discomfort_share": st.floats(0.01, 1),
                                                     "discomfort_ratio": st.floats(1, 10)}),
        "interface": st.fixed_dictionaries({}, optional={
            "magnitude": st.builds("{!r} S s^n/m2".format, st.floats(0.01, 10)), "exponent": st.floats(0.5, 1),
            "charge_transfer": st.one_of(st.none(), st.builds("{!r} ohm m2".format, st.floats(5, 1e3)))}),
    }))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(cases())
def test_what_is_written_reads_back_equal(value):
    case = read(value)
    again = read(to_text(case))
    assert again == case
    assert again.key() == case.key()
    assert to_text(again) == to_text(case)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(cases())
def test_yaml_and_mapping_are_the_same_case(value):
    assert read(yaml.safe_dump(value, allow_unicode=True)) == read(value)


def test_files_and_texts_and_mappings_are_the_same_case(tmp_path):
    case = read(TINY)
    path = tmp_path / "case.yaml"
    write(case, path)
    assert read(path) == read(str(path)) == read(path.read_text("utf-8")) == case
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # a byte order mark, as editors on Windows write it
    assert read(path) == case


def test_equal_quantities_make_equal_keys_and_others_do_not():
    case = read(TINY)
    same = read(tiny("leads", 0, "lateral", value="-1000 um"))
    assert same == case
    assert same.key() == case.key()
    others = [tiny("title", value="Other"), tiny("leads", 0, "lateral", value="-1.0000001 mm"),
              tiny("programs", 0, "contacts", value={4: 1, 5: -1}), tiny("fibres", 0, "seed", value=2),
              tiny("programs", 0, "waveform", "pulse_width", value="301 us"), tiny("patient", "age", value=51),
              tiny("rules", value={"felt_fibres": 1.5})]
    keys = {case.key(), *(read(other).key() for other in others)}
    assert len(keys) == len(others) + 1


def test_the_interface_is_an_option():
    """Absent, all defaults, and written out: each is kept; an absent one leaves text and key as they were before there was any."""
    absent, default = read(TINY), read({**TINY, "interface": {}})
    written = read({**TINY, "interface": {"magnitude": "0.5 S s^n/m2", "exponent": 0.8, "charge_transfer": None}})
    assert absent.interface is None
    assert default.interface == Interface()
    assert (written.interface.magnitude, written.interface.exponent, written.interface.charge_transfer) == (0.5, 0.8, None)
    for case in (absent, default, written):
        again = read(to_text(case))
        assert again == case
        assert again.key() == case.key()
        assert again.but(title="Tiny") == case
    assert len({absent.key(), default.key(), written.key()}) == 3
    assert "interface" not in to_text(absent)
    assert "interface" not in absent.model_dump(mode="json")
    assert "charge_transfer: null" in to_text(written)
    assert default.but(interface=None) == absent
    assert read("interface: {exponent: 0.7}\n" + to_text(absent)).interface == Interface(exponent=0.7)


def test_the_schema_describes_the_interface():
    schema = json.loads(json.dumps(json_schema()))
    assert "interface" not in schema["required"]
    one = schema["$defs"]["Interface"]
    assert set(one["properties"]) == set(Interface.model_fields)
    assert (one["properties"]["exponent"]["minimum"], one["properties"]["exponent"]["maximum"]) == (0.5, 1)
    assert one["properties"]["magnitude"]["examples"] == ["0.64 S s^n/m2"]
    # as the reader has it, null is no interface
    assert schema["properties"]["interface"] == {"$ref": "#/$defs/Interface"}


def test_the_key_is_the_same_in_every_process():
    script = "import json, sys, epidura as ep; print(ep.read(json.load(sys.stdin)).key())"
    keys = {subprocess.run([sys.executable, "-c", script], input=json.dumps(TINY), text=True, capture_output=True, check=True,
                           env={**os.environ, "PYTHONHASHSEED": seed}).stdout.strip() for seed in ("1", "4242")}
    assert keys == {read(TINY).key()}
    assert len(keys.pop()) == 32


def test_a_case_does_not_change():
    case = read(TINY)
    with pytest.raises(Exception, match="frozen"):
        case.title = "other"
    changed = case.but(title="other")
    assert changed.title == "other"
    assert case.title == TINY["title"]
    with pytest.raises(BadCase, match="did you mean 'title'"):
        case.but(titel="other")


def test_default_fibres_and_rules_are_complete():
    case = read({key: value for key, value in TINY.items() if key not in ("fibres", "patient")})
    assert [population.kind for population in case.fibres] == ["dorsal-column", "dorsal-root"]
    assert sum(population.count for population in case.fibres) >= 400
    assert case.patient is None
    assert case.contact_count == 8
    assert read(tiny("fibres", value={"kind": "dorsal-root", "count": 3})).fibres[0].count == 3


def test_contacts_are_numbered_on_from_lead_to_lead():
    two = [{"model": "pisces-quad", "tip_vertebra": "T9", "lateral": f"{x} mm"} for x in (-2, 2)]
    case = read(tiny("leads", value=two) | {"programs": [{**TINY["programs"][0], "contacts": {"8": -1, "case": 1}}]})
    assert case.contact_count == 8
    assert case.programs[0].contacts == {8: -1.0, 0: 1.0}
    assert read(to_text(case)) == case


def test_a_case_knows_every_indication_that_is_graded():
    assert table("indications").column("indication") == list(INDICATIONS)
    for name in INDICATIONS:
        assert read(tiny("patient", value={"indication": name, "pain": {"areas": ["left-foot"], "nrs": 7}})).patient.indication == name
    schema = json.loads(json.dumps(json_schema()))["$defs"]["Patient"]["properties"]["indication"]
    assert schema["anyOf"][0] == {"type": "string", "enum": list(INDICATIONS)}
    assert (schema["anyOf"][1], schema["default"]) == ({"type": "null"}, None)


def test_the_schema_names_every_kind_of_every_family():
    schema = json.loads(json.dumps(json_schema()))
    assert set(schema["properties"]) == set(Case.model_fields)
    for family in (anatomy.family, lead.family, fibre.family, waveform.family):
        kinds = {one["properties"]["kind"]["const"] for one in schema["$defs"][family.name]["oneOf"]}
        assert kinds == set(family.members)
    tonic = next(one for one in schema["$defs"]["waveform"]["oneOf"] if one["properties"]["kind"]["const"] == "tonic")
    assert tonic["properties"]["pulse_width"]["x-kind"] == "time"
    assert tonic["properties"]["pulse_width"]["x-units"][0] == "us"


PROGRAM = ("programs", 0)
WAVE = (*PROGRAM, "waveform")

REFUSED = [
    # where in the case, what is put there, kind of error, path in the message, words in the message
    (("generator",), "etrna", BadInput, "generator", ["there is no generator of this name", "got 'etrna'", "did you mean 'eterna'?"]),
    (("firing",), {"fibres": -1}, BadCase, "firing.fibres", ["got -1"]),
    (("firing",), {"duraton": "1 s"}, BadCase, "firing.duraton", ["unknown key", "did you mean 'duration'?"]),
    (("interface",), {"exponent": 1.2}, BadCase, "interface.exponent", ["out of range", "got 1.2", "up to 1"]),
    (("interface",), {"exponnt": 0.9}, BadCase, "interface.exponnt",
     ["unknown key", "allowed: magnitude, exponent, charge_transfer", "did you mean 'exponent'?"]),
    (("interface",), {"magnitude": 0.64}, BadUnit, "interface.magnitude", ["not a positive number in S s^n/m2", "got 0.64"]),
    (("interface",), {"charge_transfer": "20 ohm"}, BadUnit, "interface.charge_transfer", ["in ohm m2", "such as '20 ohm m2'"]),
    (("interface",), {"charge_transfer": "1e-5 ohm m2"}, BadCase, "interface.charge_transfer",
     ["too small for a phase that ends after 300 us", "got '1e-05 ohm m2'", "from 0.000147 ohm m2 on"]),
    (("interface",), None, BadCase, "interface", ["nothing stands here", "write {} for the interface of platinum"]),
    (("interface",), "platinum", BadCase, "interface", ["not a mapping of keys", "got 'platinum'"]),
    (("pateint",), 1, BadCase, "pateint", ["unknown key", "got 1", "allowed: title, about, patient", "did you mean 'patient'?"]),
    (("leads", 0, "latral"), "1 mm", BadCase, "leads[0].latral", ["unknown key", "got '1 mm'", "did you mean 'lateral'?"]),
    ((*WAVE, "pulsewidth"), "1 us", BadCase, "programs[0].waveform.pulsewidth", ["unknown key", "did you mean 'pulse_width'?"]),
    (("patient", "pain", "ares"), ["leg"], BadCase, "patient.pain.ares", ["unknown key", "allowed: areas, nrs", "'areas'?"]),
    (("rules",), {"felt_fibre": 1}, BadCase, "rules.felt_fibre", ["unknown key", "did you mean 'felt_fibres'?"]),
    (("anatomy", "vertebre"), "T9", BadCase, "anatomy.vertebre", ["unknown key", "did you mean 'vertebra'?"]),
    (("leads", 0, "lateral"), -1, BadUnit, "leads[0].lateral", ["a bare number has no unit", "got -1", "write '-1 mm'"]),
    ((*WAVE, "pulse_width"), 300, BadUnit, "programs[0].waveform.pulse_width",
     ["a bare number has no unit", "got 300", "write '300 us'"]),
    ((*WAVE, "frequency"), "50", BadUnit, "programs[0].waveform.frequency", ["a bare number has no unit", "write '50 Hz'"]),
    ((*PROGRAM, "amplitude"), 4.5, BadUnit, "programs[0].amplitude", ["a bare number has no unit", "write '4.5 mA'"]),
    (("anatomy", "dorsal_csf"), 3, BadUnit, "anatomy.dorsal_csf", ["a bare number has no unit", "write '3 mm'"]),
    ((*PROGRAM, "amplitude"), "4 V", BadCase, "programs[0].amplitude",
     ["a voltage needs one source for all contacts", "got '4 V'", "say sources: single"]),
    ((*PROGRAM, "amplitude"), "4 s", BadUnit, "programs[0].amplitude", ["is not a unit of current", "got '4 s'"]),
    ((*PROGRAM, "amplitude"), "nan mA", BadUnit, "programs[0].amplitude", ["not a finite number", "got 'nan mA'"]),
    ((*PROGRAM, "amplitude"), "inf mA", BadUnit, "programs[0].amplitude", ["not a finite number"]),
    ((*PROGRAM, "amplitude"), math.nan, BadUnit, "programs[0].amplitude", ["got nan"]),
    ((*PROGRAM, "amplitude"), "0 mA", BadCase, "programs[0].amplitude", ["a positive current", "got '0 mA'", "above 0 mA"]),
    ((*PROGRAM, "amplitude"), "-2 mA", BadCase, "programs[0].amplitude", ["a positive current", "signs of the contacts"]),
    ((*PROGRAM, "amplitude"), "0 % of perception", BadCase, "programs[0].amplitude", ["no share of the perception threshold"]),
    ((*PROGRAM, "amplitude"), "nan % of perception", BadCase, "programs[0].amplitude", ["no share of the perception threshold"]),
    ((*PROGRAM, "contacts"), {4: -1, 9: 1}, BadCase, "programs[0].contacts.9",
     ["no such contact", "got 9", "allowed: 1 to 8, or case"]),
    ((*PROGRAM, "contacts"), {4: -1, 0: 1}, BadCase, "programs[0].contacts.0", ["got", "case"]),
    ((*PROGRAM, "contacts"), {4: -1, "A": 1}, BadCase, "programs[0].contacts.A", ["not a contact", "got 'A'"]),
    ((*PROGRAM, "contacts"), {4: -1, "²": 1}, BadCase, "programs[0].contacts.²", ["not a contact"]),
    ((*PROGRAM, "contacts"), {4: -1, "4": 1}, BadCase, "programs[0].contacts.4", []),
    ((*PROGRAM, "contacts"), {4: -1, 5: 0.5}, BadCase, "programs[0].contacts",
     ["the net current does not balance", "cathodes -1, anodes +0.5", "allowed: a sum of 0", "case: +0.5"]),
    ((*PROGRAM, "contacts"), {4: -0.5, 5: 0.5}, BadCase, "programs[0].contacts",
     ["do not carry the whole amplitude", "got '-0.5'"]),
    ((*PROGRAM, "contacts"), {4: -1, 5: 2}, BadCase, "programs[0].contacts.5", ["more than the whole amplitude", "got 2"]),
    ((*PROGRAM, "contacts"), {4: -1, 5: math.nan}, BadCase, "programs[0].contacts.5", ["not a fraction", "got nan", "-1 to 1"]),
    ((*PROGRAM, "contacts"), {4: -1, 5: "1"}, BadCase, "programs[0].contacts.5", ["not a fraction", "got '1'"]),
    ((*PROGRAM, "contacts"), {4: -1, 5: True}, BadCase, "programs[0].contacts.5", ["not a fraction"]),
    ((*PROGRAM, "contacts"), {}, BadCase, "programs[0].contacts", ["a mapping from number to fraction"]),
    ((*PROGRAM, "contacts"), [4, 5], BadCase, "programs[0].contacts", ["a mapping from number to fraction", "got '[4, 5]'"]),
    ((*WAVE, "kind"), "tonik", BadCase, "programs[0].waveform.kind",
     ["there is no waveform of this kind", "got 'tonik'", "burst, closed-loop, dorsal-root-ganglion, fast-acting", "did you mean 'tonic'?"]),
    ((*WAVE, "kind"), ["tonic"], BadCase, "programs[0].waveform.kind", ["burst, closed-loop, dorsal-root-ganglion, fast-acting"]),
    (WAVE, {"frequency": "50 Hz"}, BadCase, "programs[0].waveform.kind", ["this waveform has no kind"]),
    (WAVE, "tonic", BadCase, "programs[0].waveform", ["a mapping with kind", "got 'tonic'"]),
    (("anatomy", "kind"), "parametrik", BadCase, "anatomy.kind", ["did you mean 'parametric'?"]),
    (("fibres", 0, "kind"), "dorsal-colum", BadCase, "fibres[0].kind", ["did you mean 'dorsal-column'?"]),
    (("fibres", 0, "axon"), "mgr", BadCase, "fibres[0].axon",
     ["got 'mgr'", "allowed: gaines-sensory, mrg, mrg-interpolated", "did you mean 'mrg'?"]),
    (("fibres", 0, "count"), 0, BadCase, "fibres[0].count", ["out of range", "got 0", "from 1 on"]),
    (("fibres", 0, "count"), "many", BadCase, "fibres[0].count", ["got 'many'"]),
    (("leads", 0, "kind"), "percutanous", BadCase, "leads[0].kind", ["did you mean 'percutaneous'?"]),
    (("leads", 0, "model"), "octrod", BadCase, "leads[0].model",
     ["there is no lead of this model", "got 'octrod'", "'octrode'?"]),
    (("leads", 0, "model"), ["octrode"], BadCase, "leads[0].model", ["there is no lead of this model"]),
    (("leads", 0), {"kind": "percutaneous", "model": "penta", "tip_vertebra": "T8"}, BadCase, "leads[0].model",
     ["this is a paddle lead, not a percutaneous lead", "got 'penta'", "write kind: paddle, or leave kind out"]),
    (("anatomy", "vertebra"), "T99", BadCase, "anatomy.vertebra",
     ["no such vertebra", "got 'T99'", "C2 to L1", "did you mean 'T9'?"]),
    (("anatomy", "vertebra"), ["T9"], BadCase, "anatomy.vertebra", ["no such vertebra"]),
    (("patient", "pain", "areas"), ["low-bakc"], BadCase, "patient.pain.areas[0]",
     ["unknown pain area", "got 'low-bakc'", "did you mean 'low-back'?"]),
    (("patient", "pain", "areas"), ["leg", "left-kne"], BadCase, "patient.pain.areas[1]", ["did you mean 'left-knee'?"]),
    (("patient", "pain", "areas"), [], BadCase, "patient.pain.areas", ["at least 1"]),
    (("patient", "pain", "nrs"), 11, BadCase, "patient.pain.nrs", ["out of range", "got 11", "up to 10"]),
    (("patient", "pain", "nrs"), math.nan, BadUnit, "patient.pain.nrs", ["finite", "got nan"]),
    (("patient", "indication"), "angna", BadCase, "patient.indication", ["got 'angna'", "'angina'"]),
    (WAVE, {"kind": "tonic", "frequency": "1 kHz", "pulse_width": "1100 us", "shape": "monophasic"}, BadCase,
     "programs[0].waveform",
     ["a pulse with its recharge lasts longer than its period", "got '1100 us'", "up to 1000 us", "lower the frequency"]),
    (WAVE, {"kind": "burst", "pulse_width": "3 ms"}, BadCase, "programs[0].waveform",
     ["longer than its period", "got '3000 us'"]),
    (WAVE, {"kind": "high-frequency", "pulse_width": "60 us"}, BadCase, "programs[0].waveform", ["longer than its period"]),
    (WAVE, {"kind": "sampled", "times": ["0 us", "90 us"], "values": [1, math.nan]}, BadUnit, "programs[0].waveform.values[1]",
     ["finite"]),
    (WAVE, {"kind": "sampled", "times": ["0 us", "90 us"], "values": [1, 1]}, BadCase, "programs[0].waveform.values[1]",
     ["not 0"]),
    ((*WAVE, "frequency"), "0 Hz", BadCase, "programs[0].waveform.frequency", ["out of range", "got '0 Hz'", "above 0 Hz"]),
    (("fibres", 1), {"kind": "dorsal-column"}, BadCase, "fibres[1]", ["a name that is taken", "got 'dorsal-column'"]),
    (("fibres",), [], BadCase, "fibres", ["at least 1"]),
    (("programs",), [TINY["programs"][0]] * 2, BadCase, "programs[1]", ["a name that is taken", "got 'tonic'"]),
    (("programs",), [], BadCase, "programs", ["at least 1"]),
    (("programs",), "tonic", BadCase, "programs", ["got 'tonic'"]),
    (("leads",), None, BadCase, "leads", []),
    (("leads",), TINY["leads"] * 5, BadCase, "leads", ["at most 4"]),
    (("anatomy",), "T9", BadCase, "anatomy", ["a mapping with kind", "got 'T9'"]),
    (("patient",), "Bob", BadCase, "patient", ["got 'Bob'"]),
    (("title",), "", BadCase, "title", ["at least 1 character"]),
    (("rules",), {"felt_fibres": math.nan}, BadUnit, "rules.felt_fibres", ["finite"]),
]


@pytest.mark.parametrize(("place", "value", "error", "where", "words"), REFUSED, ids=lambda one: str(one)[:40])
def test_a_bad_case_is_one_line_with_path_and_what_is_allowed(place, value, error, where, words):
    with pytest.raises(BadInput) as failure:
        read(tiny(*place, value=value))
    message = str(failure.value)
    assert type(failure.value) is error
    assert failure.value.where == where
    assert message.startswith(f"{where}: ")
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(("key", "where"),
                         [("title", "title"), ("anatomy", "anatomy"), ("leads", "leads"), ("programs", "programs")])
def test_a_missing_key_is_named(key, where):
    with pytest.raises(BadCase) as failure:
        read({name: value for name, value in TINY.items() if name != key})
    assert str(failure.value) == f"{where}: this key is missing; add it"


WHERE_LEADS_LIE = [
    (("leads", 0, "lateral"), "20 mm", "leads[0].lateral",
     ["inside the wall of the canal", "got '20.00 mm'", "allowed: -", " mm to "]),
    (("leads", 0, "lateral"), "-20 mm", "leads[0].lateral", ["inside the wall of the canal", "got '-20.00 mm'"]),
    (("leads", 0, "depth"), "-1 mm", "leads[0].depth",
     ["the lead goes 1.00 mm into the dura", "got '-1.00 mm'", "allowed: at least"]),
    (("leads", 0, "depth"), "0 mm", "leads[0].depth", ["the lead touches the dura"]),
    (("leads", 0, "tip_vertebra"), "T19", "leads[0].tip_vertebra",
     ["no such vertebra", "got 'T19'", "C2 to L1", "did you mean 'T9'?"]),
    (("leads",), [TINY["leads"][0]] * 2, "leads[1]",
     ["inside leads[0]", "got '0.00 mm between their centres'", "change lateral"]),
]


@pytest.mark.parametrize(("place", "value", "where", "words"), WHERE_LEADS_LIE, ids=lambda one: str(one)[:30])
def test_a_lead_that_cannot_lie_there_says_by_how_much(place, value, where, words):
    case = read(tiny(*place, value=value))
    with pytest.raises(BadGeometry) as failure:
        place_leads(case.anatomy, case.leads)
    assert failure.value.where == where
    assert "\n" not in str(failure.value)
    for word in words:
        assert word in str(failure.value)


TEXTS = [
    ("title: a\ntitle: b\n", ["line 2", "a key given twice", "got 'title'"]),
    ("title: a\nanatomy:\n  kind: parametric\n  kind: parametric\n", ["line 4", "a key given twice", "got 'kind'"]),
    ("- a\n- b\n", ["a case is a mapping", "got 'list'", "keys title, about"]),
    ("\n", ["a case is a mapping", "NoneType"]),
    ("just words\n", ["a case is a mapping", "got 'str'"]),
    ("title: [1\nb: }\n", ["line 2", "not YAML"]),
    ("title: !!python/object:os.system x\n", ["not YAML"]),
    ("title: a\n? [a, b]\n: 1\n", []),
    ("? {a: 1}\n: 1\n", []),
    ("3: 1\ntitle: a\n", ["3"]),
]


@pytest.mark.parametrize(("text", "words"), TEXTS)
def test_text_that_is_no_case(text, words):
    with pytest.raises(BadCase) as failure:
        read(text)
    assert "\n" not in str(failure.value)
    for word in words:
        assert word in str(failure.value)


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "angina.yaml").write_text("title: x\n")
    with pytest.raises(BadCase, match=r"angna\.yaml: no such file; .*did you mean 'angina.yaml'\?$"):
        read(tmp_path / "angna.yaml")
    with pytest.raises(BadCase, match="no such file"):
        read(tmp_path / "nowhere" / "angina.yaml")
    with pytest.raises(BadCase, match="a folder, not a case file"):
        read(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(bytes(range(256)))
    with pytest.raises(BadCase, match=r"binary\.yaml: cannot be read: .*; allowed: a YAML file in UTF-8"):
        read(tmp_path / "binary.yaml")
    (tmp_path / "zeros.yaml").write_bytes(bytes(99))
    with pytest.raises(BadCase, match=r"zeros\.yaml.*not YAML"):
        read(tmp_path / "zeros.yaml")
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(BadCase, match=r"empty\.yaml: a case is a mapping"):
        read(tmp_path / "empty.yaml")


def test_the_message_has_five_parts():
    with pytest.raises(BadCase) as failure:
        read(tiny("programs", 0, "contacts", value={4: -1, 5: 0.25}))
    assert str(failure.value) == ("programs[0].contacts: the net current does not balance; got 'cathodes -1, anodes +0.25'; "
                                  "allowed: a sum of 0; give the rest to the generator: case: +0.75")
    with pytest.raises(BadUnit) as failure:
        read(tiny("leads", 0, "lateral", value=-1))
    assert str(failure.value) == ("leads[0].lateral: a bare number has no unit; got -1; "
                                  "allowed: a length in mm or um or m or cm, "
                                  "such as '3 mm'; write '-1 mm'")


def test_writing_leaves_nothing_half_done(tmp_path, monkeypatch):
    path = tmp_path / "case.yaml"
    write(read(tiny()), path)
    before = path.read_text("utf-8")
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("no space")))
    with pytest.raises(OSError, match="no space"):
        write(read(tiny("title", value="another")), path)
    assert path.read_text("utf-8") == before


@pytest.mark.parametrize(("place", "value", "message"), [
    (("patient",), {"indication": "crp", "pain": {"areas": ["leg"], "nrs": 5}}, "patient.indication: there is no such choice; got 'crp'"),
    (("leads",), 4, "leads: this is not a list; got 4"),
    (("rules",), 3, "rules: this is not a mapping of keys; got 3"),
])
def test_wrong_shapes_are_said_in_plain_words(place, value, message):
    with pytest.raises(BadInput) as failure:
        read(tiny(*place, value=value))
    assert str(failure.value).startswith(message)
    assert "allowed: " in str(failure.value)
