"""Program files: round trips over every waveform, what is refused, the schema, the way from and into a case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tiny_case import TINY

from epidura import case, lead, program_file
from epidura.errors import BadInput
from epidura.program_file import FORMAT, ProgramFile, from_case, into_case, json_schema, read, to_text, write
from epidura.units import format_quantity
from epidura.waveform import family

EXAMPLES = sorted((Path(__file__).parents[1] / "examples" / "programs").glob("*.json"))

LEAD = {"model": "octrode", "tip_vertebra": "T8"}
PROGRAM = {"name": "one", "waveform": {"kind": "tonic"}, "contacts": {"4": -1, "5": 1}, "amplitude": "4 mA"}


def small(**more: Any) -> dict[str, Any]:
    return {"format": FORMAT, "title": "Small", "programs": [PROGRAM], **more}


def _value(name: str, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """What a field of a waveform may hold, as it is written in a file."""
    kind = schema.get("x-kind") or next((one["x-kind"] for one in schema.get("anyOf", []) if "x-kind" in one), None)
    spans = {"frequency": (400.0, 2000.0) if name == "intra_frequency" else (1.0, 300.0), "time": (1e-6, 4e-4), "voltage": (1e-6, 1e-3)}
    if kind:
        return st.floats(*spans[kind]).map(lambda value: format_quantity(value, kind))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    return st.integers(1, 3) if schema.get("type") == "integer" else st.floats(1, 5)


@st.composite
def waveforms(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    fields = {name: schema for name, schema in family.members[kind].model_json_schema()["properties"].items() if name != "kind"}
    chosen = {name: draw(_value(name, schema)) for name, schema in fields.items() if name not in ("times", "values") and draw(st.booleans())}
    if kind == "sampled":
        times = draw(st.lists(st.floats(1e-7, 2e-3), min_size=1, max_size=5, unique=True))
        chosen["times"] = ["0 s", *(format_quantity(t, "time") for t in sorted(times))]
        chosen["values"] = [1.0, *draw(st.lists(st.floats(-1, 1), min_size=len(times) - 1, max_size=len(times) - 1)), 0.0]
    return {"kind": kind, **chosen}


amplitudes = st.one_of(st.just("auto"), st.floats(1e-6, 0.02).map(lambda a: format_quantity(a, "current", "mA")),
                       st.floats(0.01, 3).map(lambda share: f"{share!r} of perception"))


@st.composite
def trains(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    share = draw(st.floats(0.05, 0.95))
    other = draw(st.sampled_from(["case", "8", "1"]))
    return {"waveform": draw(waveforms(kind)), "contacts": {"3": -share, "4": -(1 - share), other: 1.0}, "amplitude": draw(amplitudes)}


@st.composite
def files(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    program = {"name": draw(st.text(min_size=1, max_size=8)), **draw(trains(kind))}
    if draw(st.booleans()):
        program["cycle"] = {key: format_quantity(draw(st.floats(0.5, 100)), "time") for key in ("on", "off")}
        program["ramp_up"] = format_quantity(draw(st.floats(0.0, 0.5)), "time")
    if draw(st.booleans()):
        program["most"] = format_quantity(draw(st.floats(0.02, 0.1)), "current")
    if draw(st.booleans()):
        program["interleaved"] = [draw(trains(draw(st.sampled_from(list(family.members))))) for _ in range(draw(st.integers(1, 3)))]
    if draw(st.booleans()):
        program["sources"] = "single"
        program["amplitude"] = format_quantity(draw(st.floats(0.1, 10)), "voltage", "V")
    leads = [{**LEAD, "lateral": format_quantity(draw(st.floats(-3e-3, 3e-3)), "length")}] if draw(st.booleans()) else []
    return {"format": FORMAT, "title": draw(st.text(min_size=1, max_size=12)), "about": draw(st.text(max_size=12)), "leads": leads,
            "generator": draw(st.sampled_from([None, "senza", "evoke"])), "programs": [program]}


@pytest.mark.parametrize("kind", family.members)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_there_and_back(kind: str, data: st.DataObject) -> None:
    try:
        made = read(data.draw(files(kind)))
    except BadInput:
        assume(False)
    again = read(json.loads(to_text(made)))
    assert again == made
    assert again.key() == made.key()
    assert to_text(again) == to_text(made)
    assert read(yaml.safe_load(yaml.safe_dump(json.loads(to_text(made))))) == made


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_through_files(path: Path, tmp_path: Path) -> None:
    made = read(path)
    assert "data/waveforms.csv" in made.about
    assert read(write(made, tmp_path / "again.json")) == made
    (tmp_path / "same.yaml").write_text(yaml.safe_dump(json.loads(path.read_text("utf-8"))), "utf-8")
    assert read(tmp_path / "same.yaml") == made


def test_there_is_an_example_of_every_waveform() -> None:
    used = {train.waveform.kind for path in EXAMPLES for one in read(path).programs for train in one.trains}
    assert used == set(family.members)


@pytest.mark.parametrize(("value", "words"), [
    ({"title": "t"}, "format: this is not a program file; got 'nothing'; allowed: epidura-program/1"),
    (small(format="epidura-program/2"), "format: this is of another version; got 'epidura-program/2'; allowed: epidura-program/1"),
    (small(format=["epidura-program/1"]), "format: this is not a program file"),
    ({**TINY}, "a case has programs too"),
    (small(program=[]), "program: unknown key; got []; allowed: format, title, about, leads, generator, programs; did you mean 'programs'?"),
    (small(programs=[]), "programs: "),
    (small(generator="senzo"), "generator: there is no generator of this name; got 'senzo'"),
    (small(generator="senzo"), "did you mean 'senza'?"),
    (small(programs=[{**PROGRAM, "amplitude": "4"}]), "programs[0].amplitude: a bare number has no unit"),
    (small(programs=[{**PROGRAM, "waveform": {"kind": "tonic", "witdh": "1 us"}}]), "programs[0].waveform.witdh: unknown key"),
    (small(programs=[{**PROGRAM, "contacts": {"4": -1, "5": 0.5}}]), "programs[0].contacts: the net current does not balance"),
    (small(leads=[LEAD], programs=[{**PROGRAM, "contacts": {"4": -1, "9": 1}}]),
     "programs[0].contacts.9: there is no such contact; got 9; allowed: 1 to 8, or case"),
    (small(leads=[LEAD], programs=[{**PROGRAM, "interleaved": [{"waveform": {"kind": "tonic"}, "contacts": {"12": -1, "5": 1}}]}]),
     "programs[0].interleaved[0].contacts.12: there is no such contact"),
    (small(programs=[PROGRAM, PROGRAM]), "programs[1].name: a name that is taken; got 'one'"),
    (small(leads=[{"model": "octrod", "tip_vertebra": "T8"}]), "leads[0].model: there is no lead of this model; got 'octrod'"),
])
def test_what_is_refused(value: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput) as failure:
        read(value)
    assert words in str(failure.value)


@pytest.mark.parametrize(("name", "text", "words"), [
    ("a.json", "{", "a.json, line 1: not JSON: "),
    ("a.json", "[1]", "a.json: a program file is a mapping; got 'list'"),
    ("a.json", '{"format": "epidura-program/1", "format": "x"}', "a.json: a key given twice; got 'format'"),
    ("a.json", '{"format": NaN}', "a.json: not a finite number; got 'NaN'"),
    ("a.json", "[" * 100_000, "a.json"),
    ("a.yaml", "a: [", "a.yaml, line 1: not YAML"),
    ("a.yaml", "a: 1\na: 2\n", "a.yaml, line 2: a key given twice; got 'a'"),
    ("a.yml", "- 1", "a.yml: a program file is a mapping"),
])
def test_what_cannot_be_read(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput) as failure:
        read(tmp_path / name)
    assert words in str(failure.value)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "tonic.json").write_text("{}")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    for path, words in ((tmp_path / "tonc.json", "no such file"), (tmp_path / "tonc.json", "did you mean 'tonic.json'?"),
                        (tmp_path, "a folder, not a program file"), (tmp_path / "bytes.json", "cannot be read")):
        with pytest.raises(BadInput) as failure:
            read(path)
        assert words in str(failure.value)


def test_writing_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, path = read(small()), tmp_path / "p.json"
    write(made, path)
    before = path.read_text()

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(program_file.os, "replace", fails)
        with pytest.raises(BadInput, match="cannot be written to: No space left on device"):
            write(read(small(title="Other")), path)
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]
    mine = tmp_path / "mine.json"
    mine.write_text('{"precious": 1}')
    with pytest.raises(BadInput, match="is something else and is not replaced"):
        write(made, mine)
    assert mine.read_text() == '{"precious": 1}'
    with pytest.raises(BadInput, match="a folder, not a file"):
        write(made, tmp_path)


def test_from_a_case_and_into_one() -> None:
    whole = case.read({**TINY, "about": "words"})
    taken = from_case(whole)
    assert taken.programs == whole.programs
    assert taken.leads == whole.leads
    assert (taken.title, taken.about) == ("Tiny", "words")
    assert into_case(taken, whole) == whole
    other = into_case(read(small()), whole)
    assert [one.name for one in other.programs] == ["one"]
    assert other.leads == whole.leads
    assert other.fibres == whole.fibres
    moved = into_case(read(small(leads=[{**LEAD, "tip_vertebra": "T10"}])), whole)
    assert moved.leads[0].tip_vertebra == "T10"
    with pytest.raises(BadInput, match=r"programs\[0\].contacts.9: there is no such contact"):
        into_case(read(small(programs=[{**PROGRAM, "contacts": {"4": -1, "9": 1}}])), whole)


def _check(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """Whether a value fits a schema, as far as the words that this schema uses go."""
    if "$ref" in schema:
        part = root
        for name in schema["$ref"].removeprefix("#/").split("/"):
            part = part[name]
        return _check(value, part, root)
    if "anyOf" in schema:
        return any(_check(value, one, root) for one in schema["anyOf"])
    if "const" in schema and value != schema["const"]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    types: Any = schema.get("type", [])
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "null": type(None)}
    wanted = [types] if isinstance(types, str) else types
    if wanted and not any(isinstance(value, kinds[one]) for one in wanted):
        return False
    if isinstance(value, dict):
        known = schema.get("properties", {})
        if any(key not in value for key in schema.get("required", ())):
            return False
        if schema.get("additionalProperties") is False and value.keys() - known.keys():
            return False
        return all(_check(own, known[key], root) for key, own in value.items() if key in known)
    if isinstance(value, list) and "items" in schema:
        return all(_check(own, schema["items"], root) for own in value)
    return True


def test_the_schema_holds_examples_and_refuses_others() -> None:
    schema = json_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert set(schema["properties"]) == set(ProgramFile.model_fields)
    assert len(schema["$defs"]["lead"]["anyOf"]) == len(lead.family.members)
    for path in EXAMPLES:
        assert _check(json.loads(path.read_text("utf-8")), schema, schema), path.name
        assert _check(json.loads(to_text(read(path))), schema, schema), path.name
    good = small(leads=[LEAD])
    assert _check(good, schema, schema)
    for bad in ({**good, "format": "epidura-program/2"}, {**good, "x": 1}, {**good, "programs": [{**PROGRAM, "waveform": {"kind": "tonik"}}]},
                {**good, "programs": [{**PROGRAM, "amplitude": 4}]}, {**good, "leads": [{"model": "octrode"}]},
                {**good, "programs": [{**PROGRAM, "waveform": {"kind": "tonic", "pulse_width": 300}}]}):
        assert not _check(bad, schema, schema)
