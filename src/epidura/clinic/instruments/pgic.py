"""Patient global impression of change."""

from __future__ import annotations

from typing import ClassVar, Literal

from epidura.clinic.instruments.base import Answers, Instrument, Item, Score, rated


class Pgic(Instrument):
    """1 very much improved to 7 very much worse. Some forms count the other way; this is the order of Farrar 2001."""

    kind: Literal["pgic"] = "pgic"

    title: ClassVar[str] = "Patient global impression of change"
    version: ClassVar[str] = "7 points, 1 is best"
    of_change: ClassVar[bool] = True

    @property
    def items(self) -> tuple[Item, ...]:
        return rated(("change",), 1, 7)

    def score(self, answers: Answers) -> Score:
        sheet = self.read(answers)
        return self.report(sheet, self.value("change", sheet.points.get("change")))
