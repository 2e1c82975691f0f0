"""Recipes: frozen, complete descriptions; families: their interchangeable kinds.

A recipe is a pydantic model whose fields are the keys of the case file. A family is a folder of
modules, one final recipe class each, told apart by ``kind``. Adding a file to the folder (or an
entry point in the group ``epidura.<family>``) adds a kind everywhere: case file, JSON schema,
command help, forms.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import pkgutil
from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError, WithJsonSchema

from epidura.errors import BadCase, BadInput, BadUnit, nearest


class Recipe(BaseModel):
    """Base of everything that a case is made of. Equal text means equal recipes and equal keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def key(self) -> str:
        """A hash of the canonical text; the same in every process and on every machine."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(f"{type(self).__name__}:{text}".encode(), digest_size=16).hexdigest()

    def but(self, **changes: Any) -> Any:
        """A copy with some fields replaced (written as in a case file) and validated again."""
        return read_recipe(type(self), {**self.model_dump(mode="json"), **changes})


R = TypeVar("R", bound=Recipe)


class Family(Generic[R]):
    """The kinds of one family, found in the folder ``package`` and among the entry points.

    Args:
        package: dotted name of the folder, such as ``epidura.waveform``.
        base: the abstract recipe class that every kind derives from.
        default: the kind taken when a case leaves ``kind`` out, if any.
    """

    def __init__(self, package: str, base: type[R], default: str = ""):
        self.package, self.base, self.default = package, base, default
        self.name = package.rsplit(".", 1)[-1]

    @cached_property
    def members(self) -> dict[str, type[R]]:
        """Kind to class, sorted by kind."""
        package = importlib.import_module(self.package)
        modules = [importlib.import_module(f"{self.package}.{info.name}")
                   for info in pkgutil.iter_modules(package.__path__) if info.name != "base"]
        classes = [value for module in modules for value in vars(module).values()
                   if self._is_member(value) and value.__module__ == module.__name__]
        classes += [point.load() for point in entry_points(group=self.package)]
        return dict(sorted((kind_of(member), member) for member in classes))

    def _is_member(self, value: object) -> bool:
        return isinstance(value, type) and issubclass(value, self.base) and "kind" in value.model_fields

    def read(self, value: object) -> R:
        """The recipe that a mapping with ``kind:`` describes; a recipe passes through."""
        if isinstance(value, self.base):
            return value
        if not isinstance(value, dict):
            raise BadCase("", f"{_article(self.name)} is a mapping with kind", got=_brief(value), allowed=self.allowed())
        kind = value.get("kind", self.default)
        if not kind:
            raise BadCase("kind", f"this {self.name} has no kind", allowed=self.allowed())
        if not isinstance(kind, str) or kind not in self.members:
            raise BadCase("kind", f"there is no {self.name} of this kind", got=kind, allowed=self.allowed(),
                          hint=nearest(str(kind), self.members))
        recipe: R = read_recipe(self.members[kind], value)
        return recipe

    def allowed(self) -> str:
        """The kinds, for messages and help."""
        return ", ".join(self.members)

    @property
    def field(self) -> Any:
        """The annotated type for a pydantic field that holds any member."""
        return Annotated[
            Any,
            BeforeValidator(self.read),
            PlainSerializer(lambda recipe: recipe.model_dump(mode="json"), return_type=dict),
            WithJsonSchema({"type": "object", "title": self.name.capitalize(), "x-family": self.name}),
        ]

    def json_schema(self) -> dict[str, Any]:
        """One JSON schema per kind, under ``oneOf``."""
        return {"oneOf": [member.model_json_schema() for member in self.members.values()]}


def _article(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def kind_of(member: type[Recipe]) -> str:
    """The value of a class's ``kind: Literal[...]``."""
    (kind,) = get_args(member.model_fields["kind"].annotation)
    return str(kind)


def read_recipe(cls: type[Recipe], value: dict[str, Any]) -> Any:
    """Validate a mapping; a failure is one ``BadInput`` with path, what was got and what is allowed."""
    try:
        return cls.model_validate(value)
    except ValidationError as failure:
        raise explain(failure, cls, value) from None


def explain(failure: ValidationError, cls: type[Recipe], value: object) -> BadInput:
    """The first failure of pydantic as one sentence of ours.

    An error of ours raised inside a validator carries its own inner path, which is appended to
    pydantic's outer one.
    """
    error = min(failure.errors(include_url=False), key=lambda e: e["type"] == "missing")
    where = _path(error["loc"])
    ours = error.get("ctx", {}).get("error")
    if isinstance(ours, BadInput):
        return ours.at(where)
    if error["type"] == "extra_forbidden":
        names = list(_fields_at(cls, error["loc"][:-1]))
        return BadCase(where, "unknown key", got=_brief(error["input"]), allowed=", ".join(names),
                       hint=nearest(str(error["loc"][-1]), names))
    if error["type"] == "missing":
        return BadCase(where, "this key is missing", hint="add it")
    if error["type"] == "literal_error":
        words = [word.strip(" '") for word in error["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return BadCase(where, "there is no such choice", got=_brief(error["input"]), allowed=", ".join(words),
                       hint=nearest(str(error["input"]), words))
    if error["type"] in _SHAPES:
        return BadCase(where, f"this is not {_SHAPES[error['type']]}", got=_brief(error["input"]), allowed=_SHAPES[error["type"]])
    if error["type"] in _BOUNDS:
        key, allowed = _BOUNDS[error["type"]]
        return BadCase(where, "out of range", got=_brief(_given(value, error["loc"], error["input"])),
                       allowed=allowed.format(_in_units(cls, error["loc"], error["ctx"][key])))
    if error["type"] in _LENGTHS:
        key, allowed = _LENGTHS[error["type"]]
        if not error["input"]:
            return BadCase(where, "nothing is given", allowed=allowed.format(error["ctx"][key]))
        return BadCase(where, "too few entries" if key == "min_length" else "too many entries", got=error["ctx"]["actual_length"],
                       allowed=allowed.format(error["ctx"][key]))
    kind = BadUnit if error["type"] == "finite_number" else BadCase
    message = error["msg"].removeprefix("Value error, ")
    return kind(where, message[:1].lower() + message[1:], got=_brief(error["input"]))


_SHAPES = {"tuple_type": "a list", "list_type": "a list", "model_type": "a mapping of keys", "model_attributes_type": "a mapping of keys",
           "dict_type": "a mapping of keys", "string_type": "text", "int_type": "a whole number", "int_parsing": "a whole number",
           "int_from_float": "a whole number", "float_type": "a number", "float_parsing": "a number"}


_BOUNDS = {"greater_than": ("gt", "above {}"), "greater_than_equal": ("ge", "from {} on"), "less_than": ("lt", "below {}"),
           "less_than_equal": ("le", "up to {}")}
_LENGTHS = {"too_short": ("min_length", "at least {}"), "too_long": ("max_length", "at most {}")}


def _given(value: Any, loc: Sequence[object], otherwise: object) -> object:
    """What stands at the path, as it was written; what pydantic saw where there is no such place."""
    for part in loc:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return otherwise
    return value


def _in_units(cls: type[BaseModel], loc: Sequence[object], bound: float) -> str:
    """A bound as it would be written in a recipe, with its unit."""
    model, name = _model_at(cls, loc[:-1]), loc[-1] if loc else ""
    for each in model.model_fields[str(name)].metadata if model and name in model.model_fields else ():
        if isinstance(each, PlainSerializer):
            return str(each.func(bound))  # type: ignore[call-arg]
    return f"{bound:g}"


def _path(loc: Iterable[object]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _brief(value: object) -> object:
    text = value if isinstance(value, str) else repr(value)
    return value if len(text) <= 80 else text[:77] + "..."


def _fields_at(cls: type[BaseModel], loc: Iterable[object]) -> list[str]:
    """Names of the fields of the model that the path leads to."""
    model = _model_at(cls, loc)
    return list(model.model_fields) if model else []


def _model_at(cls: type[BaseModel], loc: Iterable[object]) -> type[BaseModel] | None:
    """The model that the path leads to, if it is one."""
    model: Any = cls
    for part in loc:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        models = [a for a in (annotation, *_deep_args(annotation)) if isinstance(a, type) and issubclass(a, BaseModel)]
        if not models:
            return None
        model = models[0]
    return model


def _deep_args(annotation: Any) -> list[Any]:
    found: list[Any] = []
    for argument in get_args(annotation):
        found += [argument, *_deep_args(argument)]
    return found


class UniqueKeys(yaml.SafeLoader):
    """YAML that refuses a key given twice instead of keeping the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise BadCase(f"line {key.start_mark.line + 1}", "a key that is not a word or number", allowed="name: value")
            if key.value in seen:
                raise BadCase(f"line {key.start_mark.line + 1}", "a key given twice", got=key.value, hint="keep one")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load(source: str | Path | dict[str, Any], what: str, cls: type[BaseModel]) -> dict[str, Any]:
    """The mapping in a YAML file, in a YAML text with at least one line break, or the mapping itself.

    Args:
        source: of it.
        what: it is called in errors, such as ``case``.
        cls: whose keys it may have, for errors.

    Raises:
        BadCase: no such file, one that cannot be read, or no YAML mapping.
    """
    if isinstance(source, dict):
        return source
    if isinstance(source, str) and "\n" in source:
        return _parse(source, f"{what} text", what, cls)
    path = Path(source)
    return _parse(_text(path, what), path.name, what, cls)


def _text(path: Path, what: str) -> str:
    if path.is_dir():
        raise BadCase(str(path), f"a folder, not a {what} file")
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = nearest(path.name, _siblings(path))
        raise BadCase(str(path), "no such file", allowed=f"the path of a {what} in YAML", hint=near) from None
    except (OSError, UnicodeDecodeError) as failure:
        raise BadCase(str(path), f"cannot be read: {failure}", allowed="a YAML file in UTF-8") from None


def _siblings(path: Path) -> Iterable[str]:
    try:
        return [p.name for p in path.parent.iterdir() if p.suffix in (".yaml", ".yml")]
    except OSError:
        return []


def _parse(text: str, name: str, what: str, cls: type[BaseModel]) -> dict[str, Any]:
    try:
        value = yaml.load(text, Loader=UniqueKeys)
    except BadCase as failure:
        raise BadCase(f"{name}, {failure.where}", failure.problem, got=failure.got, allowed=failure.allowed, hint=failure.hint) from None
    except yaml.YAMLError as failure:
        mark = getattr(failure, "problem_mark", None)
        where = f"{name}, line {mark.line + 1}" if mark else name
        raise BadCase(where, f"not YAML: {getattr(failure, 'problem', None) or 'unreadable'}") from None
    if not isinstance(value, dict):
        raise BadCase(name, f"a {what} is a mapping", got=type(value).__name__, allowed="keys " + ", ".join(cls.model_fields))
    return value
