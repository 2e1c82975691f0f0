"""S-LANSS: the LANSS that patients fill in themselves."""

from __future__ import annotations

from typing import ClassVar, Literal

from epidura.clinic.instruments.base import Answers, Instrument, Item, Score
from epidura.clinic.instruments.lanss import WEIGHTS


class SLanss(Instrument):
    """Weighted sum of seven yes or no; the last two are tried by the patient."""

    kind: Literal["s-lanss"] = "s-lanss"

    title: ClassVar[str] = "Self-report LANSS"
    version: ClassVar[str] = "S-LANSS"

    @property
    def items(self) -> tuple[Item, ...]:
        return tuple(Item(str(number), (0, 1), (0, weight)) for number, weight in enumerate(WEIGHTS, 1))

    def score(self, answers: Answers) -> Score:
        sheet = self.read(answers)
        return self.report(sheet, self.value("total", sheet.sum()), notes=self.left_open(sheet, "total"))
