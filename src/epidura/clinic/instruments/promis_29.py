"""PROMIS-29: seven domains of four items each, and the strength of pain."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from epidura.clinic.instruments.base import Answers, Instrument, Item, Score, rated
from epidura.clinic.instruments.t_scores import DOMAINS, TScores, items_of, values_of, without

PAIN = "pain intensity"


class Promis29(Instrument):
    """Raw sums, T scores if the site has uploaded the tables, and pain from 0 to 10.

    Attributes:
        t_scores: tables of the site (``read_t_scores``).
    """

    kind: Literal["promis-29"] = "promis-29"
    t_scores: TScores | None = None

    title: ClassVar[str] = "PROMIS-29 profile"
    version: ClassVar[str] = "2.1"

    @property
    def items(self) -> tuple[Item, ...]:
        return (*(item for domain in DOMAINS for item in items_of(domain)), *rated((PAIN,), 0, 10))

    @property
    def settings(self) -> dict[str, Any]:
        return {"t_scores": self.t_scores.version if self.t_scores else None}  # not the tables, which are licensed

    def score(self, answers: Answers) -> Score:
        sheet = self.read(answers)
        values = [value for domain in DOMAINS for value in values_of(self, sheet, domain, self.t_scores)]
        return self.report(sheet, *values, self.value(PAIN, sheet.points.get(PAIN)), notes=without(DOMAINS, self.t_scores))
