"""EQ-5D-5L: from a profile of five levels to the index of a country's value set (data/eq5d5l_value_sets.csv).

    index = start + intercept (any level above 1) + sum over dimensions of the term of its level
            + terms of dimensions at level 4 or 5 + a term if any is at 4 or 5 + a term if any is at 5

Most countries have only the terms of the levels. The Netherlands, Belgium, Uruguay, Japan and South Korea have an intercept. South Korea has a
term if any level is 4 or 5 (N4), Australia one if any is 5 (N5). Canada has linear terms that also count at level 1, so that its best state is
0.949, a term for each dimension at level 4 or 5, and a term times (how many are at 4 or 5, less one) squared (Num45sq). This reading of the terms
is that of the R package eq5d (github.com/fragla/eq5d, R/eq5d5l.R). Nothing is rounded; published indices are, to three decimals.

The names of the five dimensions are all that is here of the questionnaire, whose text is EuroQol's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epidura.errors import BadInput, BadTable, nearest
from epidura.product import Floats
from epidura.tables import Number, Table, table

Ints = NDArray[np.int64]

DIMENSIONS = ("mobility", "self-care", "usual activities", "pain/discomfort", "anxiety/depression")
LEVELS = 5

_CODES = ("MO", "SC", "UA", "PD", "AD")
_FILE = "data/eq5d5l_value_sets.csv"


@dataclass(frozen=True)
class ValueSet:
    """How the people of one country value the 3125 states.

    Attributes:
        country: as in ``countries()``.
        start: value before anything is taken off; 1 except in Canada.
        intercept: if any level is above 1.
        terms: (5, 5) of each dimension at each level, not above 0.
        severe: (5,) of each dimension at level 4 or 5.
        severe_square: times (dimensions at level 4 or 5, less one) squared, if there is one.
        any_severe: if any level is 4 or 5.
        any_extreme: if any level is 5.
        numbers: every coefficient with its source.
    """

    country: str
    start: float
    intercept: float
    terms: Floats
    severe: Floats
    severe_square: float
    any_severe: float
    any_extreme: float
    numbers: tuple[Number, ...]

    def index(self, profile: ArrayLike) -> Floats:
        """(...) index of profiles (..., 5) of levels 1 to 5.

        Raises:
            BadInput: another shape, or a level that is not 1 to 5.
        """
        levels = checked(profile)
        severe, count = levels >= 4, (levels >= 4).sum(-1)
        value = self.start + self.terms[np.arange(len(DIMENSIONS)), levels - 1].sum(-1) + (severe * self.severe).sum(-1)
        value = value + np.where((levels > 1).any(-1), self.intercept, 0.0) + np.where(count > 0, self.severe_square * (count - 1) ** 2, 0.0)
        return np.asarray(value + np.where(count > 0, self.any_severe, 0.0) + np.where((levels == 5).any(-1), self.any_extreme, 0.0), float)

    @property
    def cite(self) -> str:
        """Paper and DOI of the value set."""
        return f"{self.numbers[0].source}, {self.numbers[0].doi}"


def countries() -> tuple[str, ...]:
    """All countries with a value set, in the order of the table."""
    return tuple(dict.fromkeys(table("eq5d5l_value_sets").column("country")))


@cache
def value_set(country: str) -> ValueSet:
    """The value set of a country.

    Raises:
        BadInput: there is none.
        BadTable: a coefficient is missing, or one that is not known.
    """
    if country not in countries():
        raise BadInput("country", "there is no EQ-5D-5L value set of it here", got=country, allowed=", ".join(countries()),
                       hint=nearest(country, countries()))
    rows: Table = table("eq5d5l_value_sets")
    numbers = {row["term"]: rows.number(f"EQ-5D-5L {country} {row['term']}", "value", "1", country=country, term=row["term"])
               for row in rows if row["country"] == country}
    left = {term: number.value for term, number in numbers.items()}
    try:
        start = left.pop("StartValue")
        terms = np.array([[left.pop(f"{code}1", 0.0), *(left.pop(f"{code}{level}") for level in range(2, LEVELS + 1))] for code in _CODES])
    except KeyError as missing:
        raise BadTable(_FILE, f"a coefficient of {country} is missing", got=str(missing)) from None
    found = ValueSet(country, start, left.pop("Intercept", 0.0), terms, np.array([left.pop(f"{code}45", 0.0) for code in _CODES]),
                     left.pop("Num45sq", 0.0), left.pop("N4", 0.0), left.pop("N5", 0.0), tuple(numbers.values()))
    if left:
        raise BadTable(_FILE, f"coefficients of {country} without a rule", got=", ".join(left))
    return found


def index(profile: ArrayLike, country: str) -> Floats:
    """(...) EQ-5D-5L index of profiles (..., 5) by the value set of a country, see ``ValueSet.index``."""
    return value_set(country).index(profile)


def checked(profile: ArrayLike) -> Ints:
    """(..., 5) levels as whole numbers.

    Raises:
        BadInput: another shape, or a level that is not 1 to 5.
    """
    given = np.asarray(profile)
    if given.ndim == 0 or given.shape[-1] != len(DIMENSIONS):
        raise BadInput("profile", "a profile has five levels along its last axis", got=given.shape, allowed=", ".join(DIMENSIONS),
                       hint="text such as '21232' goes through parse first")
    if given.dtype.kind not in "iuf":
        raise BadInput("profile", "levels are not numbers", got=str(given.dtype), allowed="1, 2, 3, 4 or 5")
    bad = ~np.isin(given, range(1, LEVELS + 1))
    if bad.any():
        where = np.argwhere(bad)[0]
        raise BadInput("profile" + "".join(f"[{i}]" for i in where), f"no level of {DIMENSIONS[where[-1]]}", got=given[tuple(where)],
                       allowed="1, 2, 3, 4 or 5")
    return given.astype(np.int64)


def parse(text: str) -> Ints:
    """(5,) levels of a profile written as ``21232``.

    Raises:
        BadInput: not five digits from 1 to 5.
    """
    if not isinstance(text, str) or len(text) != len(DIMENSIONS) or not set(text) <= set("12345"):
        raise BadInput("profile", "not a profile", got=text, allowed="five digits from 1 to 5, such as '21232'")
    return np.array([int(digit) for digit in text])


def write(profile: ArrayLike) -> str:
    """The text of one profile (5,), such as ``21232``.

    Raises:
        BadInput: more than one profile, or not a profile.
    """
    levels = checked(profile)
    if levels.ndim != 1:
        raise BadInput("profile", "one profile at a time", got=levels.shape, allowed="shape (5,)")
    return "".join(str(level) for level in levels)


def every_state() -> Ints:
    """(3125, 5) all profiles, the last dimension fastest."""
    return np.stack(np.meshgrid(*[np.arange(1, LEVELS + 1)] * len(DIMENSIONS), indexing="ij"), -1).reshape(-1, len(DIMENSIONS))
