"""Roland-Morris disability questionnaire: how much back pain keeps a person from doing."""

from __future__ import annotations

from typing import ClassVar, Literal

from epidura.clinic.instruments.base import Answers, Instrument, Item, Score, rated


class Rmdq(Instrument):
    """Number of sentences ticked, of 24. A sentence that is not ticked is a no; a sheet without any answer is no score."""

    kind: Literal["rmdq"] = "rmdq"

    title: ClassVar[str] = "Roland-Morris disability questionnaire"
    version: ClassVar[str] = "24 items, 1983"

    @property
    def items(self) -> tuple[Item, ...]:
        return rated(range(1, 25), 0, 1)

    def score(self, answers: Answers) -> Score:
        sheet = self.read(answers)
        return self.report(sheet, self.value("total", sum(sheet.points.values()) if sheet.points else None))
