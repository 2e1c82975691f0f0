"""EQ-5D-5L: five dimensions at five levels, the index of a country's value set, and EQ VAS."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import field_validator

from epidura import eq5d
from epidura.clinic.instruments.base import Answers, Instrument, Item, Score, rated
from epidura.quality_of_life import facts

VAS = "vas"


class Eq5d5l(Instrument):
    """Levels 1 to 5 and a rating of health from 0 to 100. The index needs all five levels; the rating stands for itself.

    Attributes:
        country: whose value set the index is of (``epidura.eq5d``).
    """

    kind: Literal["eq-5d-5l"] = "eq-5d-5l"
    country: str = "England"

    title: ClassVar[str] = "EQ-5D-5L"
    version: ClassVar[str] = "5L"

    @field_validator("country")
    @classmethod
    def _known(cls, value: str) -> str:
        return eq5d.value_set(value).country

    @property
    def items(self) -> tuple[Item, ...]:
        return (*rated(eq5d.DIMENSIONS, 1, eq5d.LEVELS), *rated((VAS,), 0, 100))

    def score(self, answers: Answers) -> Score:
        sheet = self.read(answers)
        levels = [int(sheet.points[name]) for name in eq5d.DIMENSIONS if name in sheet.points]
        whole = len(levels) == len(eq5d.DIMENSIONS)
        worst, best = eq5d.index([[eq5d.LEVELS] * len(eq5d.DIMENSIONS), [1] * len(eq5d.DIMENSIONS)], self.country).tolist()
        index = self.value("index", float(eq5d.index(levels, self.country)) if whole else None, span=(worst, best),
                           important=facts()["MCID of quality of life"].number)
        said = [f"profile {eq5d.write(levels)}, value set of {self.country}: {eq5d.value_set(self.country).cite}"] if whole else []
        return self.report(sheet, index, self.value("EQ VAS", sheet.points.get(VAS)), notes=said)
