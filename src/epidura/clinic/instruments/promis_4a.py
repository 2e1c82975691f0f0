"""PROMIS short form of four items for one domain."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from epidura.clinic.instruments.base import Answers, Instrument, Item, Score
from epidura.clinic.instruments.t_scores import TScores, items_of, values_of, without


class Promis4a(Instrument):
    """Raw sum of four items from 1 to 5, and the T score if the site has uploaded the table.

    Attributes:
        domain: what it measures.
        t_scores: tables of the site (``read_t_scores``).
    """

    kind: Literal["promis-4a"] = "promis-4a"
    domain: Literal["physical function", "anxiety", "depression", "fatigue", "sleep disturbance", "social participation",
                    "pain interference"] = "pain interference"
    t_scores: TScores | None = None

    title: ClassVar[str] = "PROMIS short form 4a"
    version: ClassVar[str] = "4a"

    @property
    def items(self) -> tuple[Item, ...]:
        return items_of(self.domain)

    @property
    def settings(self) -> dict[str, Any]:
        return {"domain": self.domain, "t_scores": self.t_scores.version if self.t_scores else None}  # not the tables, which are licensed

    def score(self, answers: Answers) -> Score:
        sheet = self.read(answers)
        return self.report(sheet, *values_of(self, sheet, self.domain, self.t_scores), notes=without((self.domain,), self.t_scores))
