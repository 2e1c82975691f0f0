"""The person: indication, where it hurts, how much."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from epidura.errors import BadCase, nearest
from epidura.recipe import Recipe
from epidura.tables import Number, table

SIDES = ("left", "right")


def indications() -> tuple[str, ...]:
    """What data/indications.csv grades: all that a person can be treated for here."""
    return tuple(table("indications").column("indication"))


def indication_words(indication: str) -> str:
    """What people call an indication: ``failed back surgery``."""
    return table("indications").row(indication=indication)["name"]


def _indication(value: str) -> str:
    if value not in indications():
        raise BadCase("", "there is no such choice", got=value[:80], allowed=", ".join(indications()), hint=nearest(value, indications()))
    return value


# the table is read when a value or a schema is asked for, not at import
Indication = Annotated[str, AfterValidator(_indication), Field(json_schema_extra=lambda schema: schema.update(enum=list(indications())))]


def split_side(area: str) -> tuple[tuple[str, ...], str]:
    """``left-leg`` is the left side of ``leg``; ``low-back`` is both sides of it."""
    for side in SIDES:
        if area.startswith(f"{side}-"):
            return (side,), area.removeprefix(f"{side}-")
    return SIDES, area


def check_area(area: str, where: str) -> None:
    """Whether it is an id of data/pain_areas.csv, with ``left-`` or ``right-`` in front or nothing.

    Raises:
        BadCase: it is none.
    """
    known = table("pain_areas").column("id")
    if not isinstance(area, str) or split_side(area)[1] not in known:
        raise BadCase(where, "unknown pain area", got=area, allowed=", ".join(known) + " with left- or right- in front for one side",
                      hint=nearest(str(area), [*known, *(f"{side}-{k}" for side in SIDES for k in known)]))


class Pain(Recipe):
    """Where it hurts and how much.

    Attributes:
        areas: ids of data/pain_areas.csv, with ``left-`` or ``right-`` in front for one side.
        nrs: numeric rating scale, 0 to 10.
    """

    areas: tuple[str, ...] = Field(min_length=1)
    nrs: float = Field(ge=0, le=10)

    @field_validator("areas")
    @classmethod
    def _known(cls, areas: tuple[str, ...]) -> tuple[str, ...]:
        for i, area in enumerate(areas):
            check_area(area, f"[{i}]")
        return areas

    def dermatomes(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """(dermatome, side) to the areas that it belongs to."""
        found: dict[tuple[str, str], tuple[str, ...]] = {}
        for area in self.areas:
            sides, name = split_side(area)
            for dermatome in table("pain_areas").row(id=name)["dermatomes"].split():
                for side in sides:
                    found[dermatome, side] = (*found.get((dermatome, side), ()), area)
        return found

    def numbers(self) -> tuple[Number, ...]:
        """The rows that say which dermatomes the areas are, as countable numbers."""
        rows = [table("pain_areas").row(id=split_side(area)[1]) for area in self.areas]
        return tuple(Number(f"dermatomes of {row['id']}: {row['dermatomes']}", float(len(row["dermatomes"].split())), "",
                            row["evidence"], row["source"], row["doi_or_url"], "pain_areas.csv") for row in rows)


class Patient(Recipe):
    """The person.

    Attributes:
        age: years.
        indication: why stimulation is considered, of data/indications.csv.
        pain: where and how much.
    """

    age: int | None = Field(None, ge=0, le=120)
    indication: Indication | None = None
    pain: Pain
