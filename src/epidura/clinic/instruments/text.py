"""Words of items: free ones are in the package (data/instruments/KIND.LANGUAGE.yaml), the others a site uploads with its licence.

```yaml
instrument: odi
version: 2.1a
language: en
licence: {holder: Pain Clinic, number: ABC-123, until: 2027-12-31}
instruction: ...
items:
  "1": {text: ..., options: {0: ..., 1: ..., 2: ..., 3: ..., 4: ..., 5: ...}}
```

Items with the same options may leave them out; then ``options`` of the whole text stand for them. Options stand in the order in which they are
printed. A scale of more than eight answers has words at its two ends only. Nothing that is uploaded goes into the package.
"""

from __future__ import annotations

from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from epidura.errors import BadCase, nearest
from epidura.recipe import Recipe, load, read_recipe

if TYPE_CHECKING:
    from epidura.clinic.instruments.base import Instrument


class Licence(Recipe):
    """Under which a site uses a text that is not free.

    Attributes:
        holder: who has it.
        number: of the agreement, or what stands for it, such as the date of a letter.
        until: last day on which it is valid.
    """

    holder: str = Field(min_length=1)
    number: str = Field(min_length=1)
    until: date


class Words(Recipe):
    """One item.

    Attributes:
        text: what is asked.
        options: answer to words, in the order in which they are printed.
    """

    text: str = Field(min_length=1)
    options: dict[int, str] = {}


class ItemText(Recipe):
    """The text of an instrument in one language.

    Attributes:
        instrument: kind.
        version: of the instrument.
        language: such as ``en`` or ``es-MX``.
        title: as printed, if it is.
        instruction: before the items.
        items: item to words.
        options: of all items that have none of their own.
        licence: needed where the text is not free.
        terms: why it is free, where it is.
        source: where the wording is from.
    """

    instrument: str
    version: str
    language: str = Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")
    title: str = ""
    instruction: str = ""
    items: dict[str, Words]
    options: dict[int, str] = {}
    licence: Licence | None = None
    terms: str = ""
    source: str = ""

    @field_validator("items", mode="before")
    @classmethod
    def _numbers_are_names(cls, value: object) -> object:
        return {str(key): words for key, words in value.items()} if isinstance(value, dict) else value

    @field_validator("version", mode="before")
    @classmethod
    def _version_is_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int | float) else value

    def options_of(self, key: str) -> dict[int, str]:
        """The words of the answers of an item."""
        return self.items[key].options or self.options


def read_text(source: str | Path | dict[str, Any], instrument: Instrument, today: date | None = None) -> ItemText:
    """A text that a site uploads, in YAML or JSON.

    Args:
        source: file, text with at least one line break, or mapping.
        instrument: that it has to fit.
        today: on which its licence has to be valid.

    Raises:
        BadCase: it does not fit, or there is no valid licence.
    """
    text: ItemText = read_recipe(ItemText, load(source, "text of an instrument", ItemText))
    check_text(text, instrument, today)
    return text


def check_text(text: ItemText, instrument: Instrument, today: date | None = None) -> None:
    """Whether a text fits an instrument and may be used.

    Raises:
        BadCase: of another instrument or version, an item that is missing or unknown, wrong options, no licence, or one that ran out.
    """
    for name in ("instrument", "version"):
        needed = instrument.kind if name == "instrument" else instrument.version
        if getattr(text, name) != needed:
            raise BadCase(name, f"a text of another {name}", got=getattr(text, name), allowed=needed)
    items = {item.key: item for item in instrument.every_item}
    for key in text.items:
        if key not in items:
            raise BadCase(f"items.{key}", f"{instrument.kind} has no such item", allowed=", ".join(items), hint=nearest(key, items))
    if missing := [key for key in items if key not in text.items]:
        raise BadCase("items", f"items of {instrument.kind} are missing", got=f"without {', '.join(missing)}", allowed=f"all {len(items)}")
    for key, item in items.items():
        options = text.options_of(key)
        if set(options) != set(item.labelled):
            raise BadCase(f"items.{key}.options", f"{len(options)} options, {len(item.labelled)} needed", got=", ".join(map(str, options)) or "none",
                          allowed=", ".join(map(str, item.labelled)))
        if blank := [answer for answer, words in options.items() if not words.strip()]:
            raise BadCase(f"items.{key}.options.{blank[0]}", "an option without words")
    if instrument.free:
        return
    if text.licence is None:
        raise BadCase("licence", f"the text of {instrument.kind} is not free: {instrument.licence}", allowed="holder, number, until")
    if text.licence.until < (today or date.today()):
        raise BadCase("licence.until", f"the licence of {text.licence.holder} ran out", got=str(text.licence.until), hint="renew it")


@cache
def embedded(kind: str, language: str) -> ItemText | None:
    """The text of the package, if there is one in this language."""
    path = files("epidura") / "data" / "instruments" / f"{kind}.{language}.yaml"
    if not path.is_file():
        return None
    found: ItemText = read_recipe(ItemText, load(path.read_text(encoding="utf-8"), path.name, ItemText))
    return found
