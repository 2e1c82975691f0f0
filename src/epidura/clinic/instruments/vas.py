"""Visual analogue scale: strength of pain as a mark on a line of 100 mm."""

from __future__ import annotations

from typing import ClassVar, Literal

from epidura.clinic.instruments.base import Answers, Instrument, Item, Score


class Vas(Instrument):
    """Average pain over the last seven days, in mm from the end without pain."""

    kind: Literal["vas"] = "vas"

    title: ClassVar[str] = "Visual analogue scale of pain"
    version: ClassVar[str] = "100 mm"
    pain: ClassVar[bool] = True

    @property
    def items(self) -> tuple[Item, ...]:
        return (Item("average", (0, 100), (0, 100), line=True),)

    def score(self, answers: Answers) -> Score:
        sheet = self.read(answers)
        return self.report(sheet, self.value("average", sheet.points.get("average"), scale="pain"))
