"""GAD-7: how often signs of anxiety troubled a person over two weeks."""

from __future__ import annotations

from typing import ClassVar, Literal

from epidura.clinic.instruments.base import Answers, Instrument, Item, Score, rated


class Gad7(Instrument):
    """Sum of seven items from 0 to 3."""

    kind: Literal["gad-7"] = "gad-7"

    title: ClassVar[str] = "Generalised anxiety disorder scale"
    version: ClassVar[str] = "GAD-7"

    @property
    def items(self) -> tuple[Item, ...]:
        return rated(range(1, 8), 0, 3)

    def score(self, answers: Answers) -> Score:
        sheet = self.read(answers)
        return self.report(sheet, self.value("total", sheet.sum(most_missing=self.most_missing)))
