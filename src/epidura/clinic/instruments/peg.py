"""PEG: pain, enjoyment of life and general activity; three items out of the Brief Pain Inventory."""

from __future__ import annotations

from typing import ClassVar, Literal

from epidura.clinic.instruments.base import Answers, Instrument, Item, Score, rated


class Peg(Instrument):
    """Mean of three ratings from 0 to 10."""

    kind: Literal["peg"] = "peg"

    title: ClassVar[str] = "PEG scale of pain and interference"
    version: ClassVar[str] = "2009"

    @property
    def items(self) -> tuple[Item, ...]:
        return rated(("pain", "enjoyment", "activity"), 0, 10)

    def score(self, answers: Answers) -> Score:
        sheet = self.read(answers)
        total = sheet.sum(most_missing=self.most_missing)
        return self.report(sheet, self.value("total", None if total is None else total / len(self.items)))
