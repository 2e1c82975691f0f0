"""Numerical rating scale: strength of pain from 0 to 10."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from epidura.clinic.instruments.base import Answers, Instrument, Item, Score, rated
from epidura.errors import BadCase

RATINGS = ("average", "worst", "least", "now")


class Nrs(Instrument):
    """Ratings of pain over the last seven days, and now; each stands for itself.

    Attributes:
        asked: which ratings; the first is the one that relief is calculated from.
    """

    kind: Literal["nrs"] = "nrs"
    asked: tuple[Literal["average", "worst", "least", "now"], ...] = Field(("average",), min_length=1)

    title: ClassVar[str] = "Numerical rating scale of pain"
    version: ClassVar[str] = "0-10"
    pain: ClassVar[bool] = True

    @field_validator("asked")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise BadCase("", "a rating asked twice", got=", ".join(value), allowed=", ".join(RATINGS))
        return value

    @property
    def items(self) -> tuple[Item, ...]:
        return rated(self.asked, 0, 10)

    @property
    def every_item(self) -> tuple[Item, ...]:
        return rated(RATINGS, 0, 10)

    def score(self, answers: Answers) -> Score:
        sheet = self.read(answers)
        order = [(name, sheet.points[name]) for name in ("least", "average", "worst") if name in sheet.points]
        notes = [f"{low} pain ({a:g}) is rated above {high} pain ({b:g}): ask again"
                 for (low, a), (high, b) in pairwise(order) if a > b]
        return self.report(sheet, *(self.value(name, sheet.points.get(name), scale="pain") for name in self.asked), notes=notes)
