"""What every instrument is: items with allowed answers, a rule for answers that are missing, and a score with its source.

An instrument is a recipe: its fields are what can be chosen (a country, which ratings are asked). ``score`` takes what a person gave,
item to answer, and returns a ``Score``. An item may be left out or be None: then the instrument's own rule decides whether there is a score,
and the items that are missing are named. Ranges, cut-offs, minimal important changes and licences are rows of data/instruments.csv.

Text of items is here only where it is free. For the others the keys are numbers, and a site uploads the text it has a licence for
(``epidura.clinic.instruments.text``).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any, ClassVar, Literal

from epidura.clinic.instruments.text import ItemText, check_text, embedded
from epidura.errors import BadInput, BadTable, join_path, nearest
from epidura.recipe import Recipe
from epidura.tables import EVIDENCE, UNVERIFIED, Number, table

Answers = Mapping[str, float | None] | Mapping[int, float | None]
Better = Literal["lower", "higher", "neither"]

_FILE = "instruments"
_LABELLED = 8  # an item with more answers than this has words at its two ends only


@dataclass(frozen=True)
class Item:
    """One question.

    Attributes:
        key: its name in the answers.
        answers: what may be given; for a line, its two ends.
        points: what each answer counts, in the same order.
        line: any number between the ends may be given.
    """

    key: str
    answers: tuple[int, ...]
    points: tuple[float, ...]
    line: bool = False

    @property
    def labelled(self) -> tuple[int, ...]:
        """The answers that have words of their own: all, or the two ends of a long scale."""
        return self.answers if len(self.answers) <= _LABELLED else (self.answers[0], self.answers[-1])

    @property
    def allowed(self) -> str:
        """For messages, such as ``0, 1, 2, 3`` or ``0 to 10, whole numbers``."""
        ends = f"{self.answers[0]} to {self.answers[-1]}"
        return ends if self.line else ", ".join(map(str, self.answers)) if len(self.answers) <= _LABELLED else f"{ends}, whole numbers"

    def counts(self, answer: object, where: str) -> float:
        """Points of an answer.

        Raises:
            BadInput: not a number, or not allowed.
        """
        if isinstance(answer, bool) or not isinstance(answer, int | float):
            raise BadInput(where, "not a number", got=answer, allowed=self.allowed, hint="leave an item out if it was not answered")
        if self.line and math.isfinite(answer) and self.answers[0] <= answer <= self.answers[-1]:
            return float(answer)
        if self.line or answer not in self.answers:
            raise BadInput(where, "an answer that does not exist", got=answer, allowed=self.allowed)
        return self.points[self.answers.index(int(answer))]


def rated(keys: Iterable[object], low: int, high: int) -> tuple[Item, ...]:
    """Items answered by whole numbers that count as they are."""
    scale = tuple(range(low, high + 1))
    return tuple(Item(str(key), scale, scale) for key in keys)


@dataclass(frozen=True)
class Sheet:
    """Answers that were checked.

    Attributes:
        items: all that were asked.
        given: item to answer, as given.
        points: item to what it counts.
    """

    items: tuple[Item, ...]
    given: dict[str, int | float]
    points: dict[str, float]

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(item.key for item in self.items if item.key not in self.points)

    def sum(self, keys: Iterable[str] | None = None, most_missing: int = 0) -> float | None:
        """Sum of points; up to so many missing items count as the mean of the others. None if more are missing, or all."""
        names = self._names(keys)
        found = [self.points[key] for key in names if key in self.points]
        if not found or len(names) - len(found) > most_missing:
            return None
        return math.fsum(found) * len(names) / len(found)

    def span(self, keys: Iterable[str] | None = None) -> tuple[float, float]:
        """The least and the greatest sum that the missing answers leave open."""
        names = self._names(keys)
        ends = [(self.points[i.key],) * 2 if i.key in self.points else (min(i.points), max(i.points)) for i in self.items if i.key in names]
        return math.fsum(low for low, _ in ends), math.fsum(high for _, high in ends)

    def _names(self, keys: Iterable[str] | None) -> tuple[str, ...]:
        return tuple(keys) if keys is not None else tuple(item.key for item in self.items)


class Mark(Recipe):
    """A number from the world beside a score: the band it lies in, or the change that matters.

    Attributes:
        label: in words.
        value: where the band begins, or the size of the change.
        evidence: read, computed, recall or judgement.
    """

    label: str
    value: float
    unit: str
    evidence: Literal["read", "computed", "recall", "judgement"]
    source: str
    doi: str = ""

    @property
    def unverified(self) -> bool:
        return self.evidence in UNVERIFIED


class Value(Recipe):
    """One number of a score.

    Attributes:
        name: such as ``total``.
        number: None if too much is missing.
        low, high: the least and the greatest there can be.
        better: which way is better for the patient.
        band: published severity or cut-off that it lies in, if there is one.
        important_change: the least change that matters to patients, if one is known.
        responders: shares of improvement in % that make a responder, if they are used.
    """

    name: str
    number: float | None
    low: float
    high: float
    unit: str
    better: Better
    band: Mark | None = None
    important_change: Mark | None = None
    responders: tuple[Mark, ...] = ()


class Score(Recipe):
    """What a filled instrument says.

    Attributes:
        instrument: kind.
        version: of the instrument.
        settings: its fields, such as the country of a value set.
        values: total first, then subscales.
        missing: items without an answer.
        complete: whether none is missing.
        alerts: what somebody has to act on today, whatever the total is.
        notes: what one has to know to read the values.
        answers: as given.
        pain: whether it is a strength of pain, of which relief can be calculated.
        of_change: whether it says by itself what changed.
    """

    instrument: str
    title: str
    version: str
    settings: dict[str, Any]
    values: tuple[Value, ...]
    missing: tuple[str, ...]
    complete: bool
    alerts: tuple[str, ...]
    notes: tuple[str, ...]
    answers: dict[str, int | float]
    pain: bool = False
    of_change: bool = False

    def __getitem__(self, name: str) -> Value:
        """The value of this name.

        Raises:
            BadInput: there is none.
        """
        for value in self.values:
            if value.name == name:
                return value
        names = [value.name for value in self.values]
        raise BadInput(self.instrument, "no such value", got=name, allowed=", ".join(names), hint=nearest(name, names))

    @property
    def unverified(self) -> tuple[Mark, ...]:
        """Bands and changes in it that rest on memory or judgement, to be shown as such."""
        marks = [mark for value in self.values for mark in (value.band, value.important_change, *value.responders) if mark is not None]
        return tuple(dict.fromkeys(mark for mark in marks if mark.unverified))

    def number(self, name: str = "") -> float | None:
        """The number of a value, of the first one without a name."""
        return self[name].number if name else self.values[0].number


class Instrument(Recipe):
    """A questionnaire, a rating or an examination that gives numbers.

    Attributes:
        kind: its name.
    """

    kind: str

    title: ClassVar[str]
    version: ClassVar[str]
    pain: ClassVar[bool] = False
    """Whether it is a strength of pain, of which relief can be calculated."""
    of_change: ClassVar[bool] = False
    """Whether it says by itself what changed."""

    @property
    @abstractmethod
    def items(self) -> tuple[Item, ...]:
        """The items that are asked, in order."""

    @property
    def every_item(self) -> tuple[Item, ...]:
        """The items that a text has to have, also those that are not asked now."""
        return self.items

    @property
    def settings(self) -> dict[str, Any]:
        """Its fields, as a score keeps them; scores with others cannot be compared."""
        return self.model_dump(mode="json", exclude={"kind"})

    @abstractmethod
    def score(self, answers: Answers) -> Score:
        """The score of what a person gave.

        Args:
            answers: item to answer; None or left out if it was not answered.

        Raises:
            BadInput: an item that does not exist, or an answer that is not allowed.
        """

    # what data/instruments.csv says

    @property
    def licence(self) -> str:
        """Who may use it, in words."""
        return _one(self.kind, "", "licence")["label"]

    @property
    def missing_rule(self) -> str:
        """What happens if answers are missing, in words."""
        return _one(self.kind, "", "missing")["label"]

    @property
    def most_missing(self) -> int:
        """How many items of one sum may be missing."""
        return int(_one(self.kind, "", "missing")["value"])

    @property
    def free(self) -> bool:
        """Whether its text is free and part of the package."""
        return _one(self.kind, "", "text")["value"] == "1"

    # for the members

    def read(self, answers: Answers) -> Sheet:
        """Answers checked against the items, see ``score``."""
        if not isinstance(answers, Mapping):
            raise BadInput(self.kind, "answers are a mapping", got=type(answers).__name__, allowed="item: answer")
        items = {item.key: item for item in self.items}
        given: dict[str, int | float] = {}
        seen: set[str] = set()
        for key, answer in answers.items():
            name = str(key)
            where = join_path(self.kind, name)
            if name not in items:
                raise BadInput(where, "no such item", allowed=", ".join(items), hint=nearest(name, items))
            if name in seen:
                raise BadInput(where, "an item answered twice", hint="keep one")
            seen.add(name)
            if answer is not None:
                items[name].counts(answer, where)
                given[name] = answer
        return Sheet(self.items, given, {name: items[name].counts(answer, name) for name, answer in given.items()})

    def value(self, name: str, number: float | None, *, scale: str = "", important: Number | None = None,
              span: tuple[float, float] | None = None) -> Value:
        """A value with what data/instruments.csv says of its scale.

        Args:
            name: of the value.
            number: None if it is missing.
            scale: in the table, if it is called otherwise there.
            important: the least change that matters, if it stands in another table.
            span: least and greatest, where the table does not have them.
        """
        rows = _rows(self.kind, scale or name)
        extent = _one(self.kind, scale or name, "range")
        low, high = span or (float(extent["value"]), float(extent["to"]))
        better: Any = extent["label"]
        changes = [_mark(row) for row in rows if row["quantity"] == "important change"]
        if important is not None:
            changes = [mark_of(important)]
        shares = tuple(_mark(row) for row in rows if row["quantity"] == "responder")
        return Value(name=name, number=number, low=low, high=high, unit=extent["unit"], better=better, band=_band(rows, number),
                     important_change=changes[0] if changes else None, responders=shares)

    def report(self, sheet: Sheet, *values: Value, alerts: Iterable[str] = (), notes: Iterable[str] = ()) -> Score:
        """The score, with the items that are missing and the rule that was used."""
        missing = sheet.missing
        said = (f"not answered: {', '.join(missing)}. {self.missing_rule}",) if missing else ()
        return Score(instrument=self.kind, title=self.title, version=self.version, settings=self.settings, values=values,
                     missing=missing, complete=not missing, alerts=tuple(alerts), notes=(*said, *notes), answers=sheet.given, pain=self.pain,
                     of_change=self.of_change)

    def left_open(self, sheet: Sheet, scale: str) -> tuple[str, ...]:
        """A note on what the missing answers can still make of a plain sum; none if nothing is missing."""
        if not sheet.missing:
            return ()
        rows, ends = _rows(self.kind, scale), sheet.span()
        bands = [band.label for band in (_band(rows, end) for end in ends) if band]
        sure = f"; either way: {bands[0]}" if len(bands) == 2 and bands[0] == bands[1] else ""
        return (f"the missing answers leave a total from {ends[0]:g} to {ends[1]:g}{sure}",)

    # the form

    def text(self, language: str = "en") -> ItemText | None:
        """The free text of the package in a language, if it has one."""
        found = embedded(self.kind, language) if self.free else None
        if found is not None:
            check_text(found, self)
        return found

    def form(self, text: ItemText | None = None, language: str = "en", today: date | None = None) -> dict[str, Any]:
        """A JSON schema for a web form: items in order, allowed answers, words where they are free or uploaded.

        Args:
            text: uploaded by the site; without it the free text of the package, if there is one.
            language: of the free text.
            today: on which a licence has to be valid; the day itself if not given.

        Raises:
            BadInput: the text is of another instrument or its licence ran out.
        """
        words = text if text is not None else self.text(language)
        if words is not None:
            check_text(words, self, today)
        fields = {item.key: _field(item, words) for item in self.items}
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": words.title if words and words.title else self.title,
            "description": words.instruction if words else "",
            "type": "object",
            "properties": fields,
            "additionalProperties": False,
            "x-instrument": self.kind,
            "x-version": self.version,
            "x-order": list(fields),
            "x-language": words.language if words else "",
            "x-text": "uploaded" if text is not None else "free" if words else "none",
            "x-source": words.source if words else "",
            "x-licence": self.licence,
        }


def _field(item: Item, words: ItemText | None) -> dict[str, Any]:
    """The part of a form that one item is; null stands for no answer."""
    labels = words.options_of(item.key) if words else {}
    title = words.items[item.key].text if words else item.key
    if len(item.labelled) == len(item.answers) and not item.line:
        choices: list[dict[str, Any]] = [{"const": answer, "title": labels.get(answer, str(answer))} for answer in item.answers]
        order = list(labels) or list(item.answers)  # as the words are printed, which need not be by number
        choices.sort(key=lambda choice: order.index(choice["const"]))
        return {"title": title, "oneOf": [*choices, {"type": "null", "title": ""}]}
    kind = "number" if item.line else "integer"
    return {"title": title, "type": [kind, "null"], "minimum": item.answers[0], "maximum": item.answers[-1],
            "x-ends": {str(end): labels.get(end, "") for end in item.labelled}}


def mark_of(number: Number) -> Mark:
    """A number of another table as a mark."""
    return Mark.model_validate({"label": number.name, "value": number.value, "unit": number.unit, "evidence": number.evidence,
                                "source": number.source, "doi": number.doi})


def _mark(row: dict[str, str]) -> Mark:
    if row["evidence"] not in EVIDENCE:
        raise BadTable(f"data/{_FILE}.csv", f"evidence of {row['instrument']} {row['scale']} {row['quantity']}", got=row["evidence"],
                       allowed=", ".join(EVIDENCE))
    return Mark.model_validate({"label": row["label"], "value": float(row["value"]), "unit": row["unit"], "evidence": row["evidence"],
                                "source": row["source"], "doi": row["doi_or_url"]})


def _band(rows: Iterable[dict[str, str]], number: float | None) -> Mark | None:
    """The last band that begins at or below the number (quantity ``band``), or below it (``band above``)."""
    if number is None:
        return None
    begun = [row for row in rows if (row["quantity"] == "band" and number >= float(row["value"]))
             or (row["quantity"] == "band above" and number > float(row["value"]))]
    return _mark(max(begun, key=lambda row: (float(row["value"]), row["quantity"]))) if begun else None


@cache
def _rows(kind: str, scale: str) -> tuple[dict[str, str], ...]:
    return tuple(row for row in table(_FILE) if row["instrument"] == kind and row["scale"] == scale)


def _one(kind: str, scale: str, quantity: str) -> dict[str, str]:
    return table(_FILE).row(instrument=kind, scale=scale, quantity=quantity)
