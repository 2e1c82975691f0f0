"""Programs in a file of their own: what a clinic, a bench and a case exchange.

``read`` makes a ``ProgramFile`` from JSON, from YAML with the same keys or from a mapping; ``write`` makes JSON, whole or not at all. Reading
back what was written gives an equal file. docs/impulse.md describes the format, ``json_schema`` is its schema.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import yaml
from pydantic import Field, field_validator, model_validator

from epidura import lead, waveform
from epidura.errors import BadCase, BadInput, nearest
from epidura.generator import generator as generator_of
from epidura.program import CASE, Program
from epidura.recipe import Recipe, UniqueKeys, read_recipe

if TYPE_CHECKING:
    from epidura.case import Case
    from epidura.lead import Lead as AnyLead
else:
    AnyLead = lead.family.field

FORMAT = "epidura-program/1"
"""The first key of every file. The number changes when a file of the old one would mean something else."""

YAML = (".yaml", ".yml")


class ProgramFile(Recipe):
    """Programs, and what they are for.

    Attributes:
        format: ``epidura-program/1``.
        title: one line.
        about: what these programs are, and where their numbers come from.
        leads: as in a case, up to four; contacts are numbered on from lead to lead. Without any, whoever uses the file says on which lead.
        generator: its name in data/generators.csv; None: any.
        programs: as in a case, at least one.
    """

    format: Literal["epidura-program/1"]
    title: str = Field(min_length=1)
    about: str = ""
    leads: tuple[AnyLead, ...] = Field((), max_length=4)
    generator: str | None = None
    programs: tuple[Program, ...] = Field(min_length=1)

    @field_validator("generator")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        try:
            return value if value is None else generator_of(value).model
        except BadInput as failure:  # whose path is the key that pydantic says already
            raise BadCase("", failure.problem, got=failure.got, allowed=failure.allowed, hint=failure.hint) from None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [program.name for program in self.programs]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise BadCase(f"programs[{i}].name", "a name that is taken", got=name, allowed="different names of programs")
        if self.leads:
            check_contacts(self.programs, self.leads)
        return self


def check_contacts(programs: Iterable[Program], leads: Iterable[AnyLead]) -> None:
    """Refuse programs on contacts that these leads do not have.

    Raises:
        BadCase: with the path of the contact.
    """
    count = sum(len(one.shape().contacts) for one in leads)
    for i, program in enumerate(programs):
        for k, train in enumerate(program.trains):
            for number in train.contacts:
                if number != CASE and number > count:
                    place = f"programs[{i}]." + (f"interleaved[{k - 1}]." if k else "")
                    raise BadCase(f"{place}contacts.{number}", "there is no such contact", got=number, allowed=f"1 to {count}, or case")


def read(source: str | Path | dict[str, Any]) -> ProgramFile:
    """The programs in a file (``.json``; ``.yaml`` or ``.yml`` with the same keys) or in a mapping.

    Raises:
        BadCase, BadUnit: with the path in the file, what was got and what is allowed.
    """
    value = source if isinstance(source, dict) else _load(Path(source))
    given = value.get("format")
    if given != FORMAT:
        what = "of another version" if isinstance(given, str) and given.startswith("epidura-program/") else "not a program file"
        raise BadCase("format", f"this is {what}", got="nothing" if given is None else given, allowed=FORMAT,
                      hint="a case has programs too: run it, or take them out with program_file.from_case" if "anatomy" in value else "")
    file: ProgramFile = read_recipe(ProgramFile, value)
    return file


def _load(path: Path) -> dict[str, Any]:
    if path.is_dir():
        raise BadCase(str(path), "a folder, not a program file")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadCase(str(path), "no such file", allowed="the path of a program file in JSON", hint=nearest(path.name, _siblings(path))) from None
    except (OSError, UnicodeDecodeError) as failure:
        raise BadCase(str(path), f"cannot be read: {failure}", allowed="a JSON file in UTF-8") from None
    value = _yaml(text, path.name) if path.suffix.lower() in YAML else _json(text, path.name)
    if not isinstance(value, dict):
        raise BadCase(path.name, "a program file is a mapping", got=type(value).__name__, allowed="keys " + ", ".join(ProgramFile.model_fields))
    return value


def _siblings(path: Path) -> list[str]:
    try:
        return [p.name for p in path.parent.iterdir() if p.suffix in (".json", *YAML)]
    except OSError:
        return []


def _json(text: str, name: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        twice = next((key for i, key in enumerate(keys) if key in keys[:i]), None)
        if twice is not None:
            raise BadCase(name, "a key given twice", got=twice, hint="keep one")
        return dict(pairs)

    def no_number(word: str) -> Any:
        raise BadCase(name, "not a finite number", got=word)

    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=no_number)
    except json.JSONDecodeError as failure:
        raise BadCase(f"{name}, line {failure.lineno}", f"not JSON: {failure.msg}", allowed="JSON; YAML in a file that ends with .yaml") from None
    except RecursionError:
        raise BadCase(name, "not a program file: nested too deep") from None


def _yaml(text: str, name: str) -> Any:
    try:
        return yaml.load(text, Loader=UniqueKeys)
    except BadCase as failure:
        raise BadCase(f"{name}, {failure.where}", failure.problem, got=failure.got, allowed=failure.allowed, hint=failure.hint) from None
    except yaml.YAMLError as failure:
        mark = getattr(failure, "problem_mark", None)
        raise BadCase(f"{name}, line {mark.line + 1}" if mark else name,
                      f"not YAML: {getattr(failure, 'problem', None) or 'unreadable'}") from None


def to_text(file: ProgramFile) -> str:
    """The file as JSON; ``read`` gives an equal one back."""
    kept = {key: _said(value) for key, value in file.model_dump(mode="json").items() if value not in (None, "", [])}
    return json.dumps(kept, indent=2, ensure_ascii=False) + "\n"


def _said(value: Any) -> Any:
    """Without the keys that say nothing."""
    if isinstance(value, dict):
        return {key: _said(own) for key, own in value.items() if own is not None and own != []}
    return [_said(own) for own in value] if isinstance(value, list) else value


def write(file: ProgramFile, path: str | Path) -> Path:
    """Write the file as JSON, whole or not at all. Nothing is replaced but an earlier program file.

    Raises:
        BadInput: something else is there, or the place cannot be written to.
    """
    return write_whole(path, to_text(file), FORMAT)


def check_target(path: str | Path, mark: str) -> Path:
    """The full path of a file that may be written; asked before anything is computed.

    Args:
        mark: words near the beginning of an earlier file of the same sort, which may be replaced.

    Raises:
        BadCase: something else is there.
    """
    target = Path(path).resolve()
    if target.is_dir():
        raise BadCase(str(path), "a folder, not a file", allowed="the path of a file")
    try:
        if target.exists() and target.stat().st_size:
            with target.open(encoding="utf-8", errors="replace") as file:
                if mark not in file.read(400):
                    raise BadCase(str(path), "is something else and is not replaced", allowed="a new file, or an earlier one of the same sort")
    except OSError as failure:
        raise BadCase(str(path), f"cannot be written to: {failure.strerror}", allowed="a file that can be written to") from None
    return target


def write_whole(path: str | Path, text: str | Iterable[str], mark: str) -> Path:
    """Write a text, or its pieces, under another name first, so that an earlier file is whole until the new one is; see ``check_target``."""
    target = check_target(path, mark)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as work:
            beside = Path(work) / target.name
            with beside.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines([text] if isinstance(text, str) else text)
            check_target(path, mark)  # it may have appeared meanwhile
            os.replace(beside, target)
    except OSError as failure:
        raise BadCase(str(path), f"cannot be written to: {failure.strerror}", allowed="a file that can be written to") from None
    return target


def from_case(case: Case) -> ProgramFile:
    """The programs and leads of a case."""
    shared = {key: value for key, value in case.model_dump(mode="json").items() if key in ProgramFile.model_fields}
    return read({"format": FORMAT, **shared})


def into_case(file: ProgramFile, case: Case) -> Case:
    """A case with the programs of a file, and with its leads and generator where it names them.

    Raises:
        BadCase: programs on contacts that the case does not have.
    """
    given = {key: value for key, value in file.model_dump(mode="json").items()
             if key in ("leads", "generator", "programs") and value and key in type(case).model_fields}
    changed: Case = case.but(**given)
    return changed


def json_schema() -> dict[str, Any]:
    """JSON schema of a program file, with the kinds of leads and waveforms under ``$defs``."""
    schema = ProgramFile.model_json_schema()
    parts = schema.setdefault("$defs", {})
    for family in (lead.family, waveform.family):
        kinds = [member.model_json_schema() for member in family.members.values()]
        for kind in kinds:
            parts.update(kind.pop("$defs", {}))
        # any, not one: a lead may leave out its kind where the name of its model says it
        parts[family.name] = {"title": family.name.capitalize(), "anyOf": kinds}
    _refer(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _refer(part: Any) -> None:
    """Put the kinds of a family where the schema only names the family; leave out defaults that are not as they would be written."""
    if isinstance(part, list):
        for own in part:
            _refer(own)
    elif isinstance(part, dict):
        family = part.pop("x-family", None)
        if isinstance(family, str):
            part.clear()
            part["$ref"] = f"#/$defs/{family}"
        if part.get("type") == "string" and not isinstance(part.get("default", ""), str):
            del part["default"]
        for own in part.values():
            _refer(own)
