"""T scores of PROMIS: only by a table that a licensed site uploads."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from pydantic import field_validator

from epidura.clinic.instruments.base import Instrument, Item, Sheet, Value, rated
from epidura.clinic.instruments.text import Licence
from epidura.errors import BadCase, nearest
from epidura.quality_of_life import facts
from epidura.recipe import Recipe, load, read_recipe

DOMAINS = ("physical function", "anxiety", "depression", "fatigue", "sleep disturbance", "social participation", "pain interference")
FUNCTION = ("physical function", "social participation")
"""Where more is better."""
ITEMS = 4
_RAW = range(ITEMS, 5 * ITEMS + 1)  # four items from 1 to 5
_IMPORTANT = {"physical function": "MCID of physical function", "sleep disturbance": "MCID of sleep", "depression": "MCID of emotional function"}


class TScores(Recipe):
    """From raw scores of four items (4 to 20) to T scores.

    Attributes:
        version: of the tables.
        licence: under which the site uses them.
        domains: domain to raw score to T.
        source: where the tables are from.
    """

    version: str
    licence: Licence
    domains: dict[str, dict[int, float]]
    source: str = ""

    @field_validator("domains")
    @classmethod
    def _whole(cls, value: dict[str, dict[int, float]]) -> dict[str, dict[int, float]]:
        for name, row in value.items():
            if name not in DOMAINS:
                raise BadCase(name, "no such domain", allowed=", ".join(DOMAINS), hint=nearest(name, DOMAINS))
            if sorted(row) != list(_RAW):
                raise BadCase(name, "not one T score for each raw score", got=", ".join(map(str, sorted(row))),
                              allowed=f"{_RAW[0]} to {_RAW[-1]}")
            if any(row[raw + 1] <= row[raw] for raw in _RAW[:-1]):
                raise BadCase(name, "T scores do not rise with the raw score", hint="raw scores and T scores rise with the name of the domain")
        return value


def read_t_scores(source: str | Path | dict[str, Any], today: date | None = None) -> TScores:
    """Tables that a site uploads, in YAML or JSON.

    Raises:
        BadCase: they are not whole, or the licence ran out.
    """
    tables: TScores = read_recipe(TScores, load(source, "table of T scores", TScores))
    if tables.licence.until < (today or date.today()):
        raise BadCase("licence.until", f"the licence of {tables.licence.holder} ran out", got=str(tables.licence.until), hint="renew it")
    return tables


def items_of(domain: str) -> tuple[Item, ...]:
    """Four items, answered by the points beside the words: more is more of the domain."""
    return rated((f"{domain} {number}" for number in range(1, ITEMS + 1)), 1, 5)


def values_of(instrument: Instrument, sheet: Sheet, domain: str, tables: TScores | None) -> tuple[Value, ...]:
    """The raw score and, with a table, the T score of a domain; both only if all four items were answered."""
    way = "function" if domain in FUNCTION else "symptoms"
    raw = sheet.sum(item.key for item in items_of(domain))
    values = [instrument.value(f"{domain} raw", raw, scale=f"raw {way}")]
    row = tables.domains.get(domain) if tables else None
    if row is not None:
        important = facts()[_IMPORTANT[domain]].number if domain in _IMPORTANT else None
        t = None if raw is None else row[round(raw)]
        values.insert(0, instrument.value(f"{domain} T", t, scale=f"T {way}", span=(row[_RAW[0]], row[_RAW[-1]]), important=important))
    return tuple(values)


def without(domains: tuple[str, ...], tables: TScores | None) -> list[str]:
    """A note on domains without T scores."""
    bare = [name for name in domains if tables is None or name not in tables.domains]
    return [f"no T score of {', '.join(bare)}: upload the table under a licence"] if bare else []
