"""Relief of pain in the patient's words, in per cent. It agrees only roughly with relief calculated from ratings (``change``)."""

from __future__ import annotations

from typing import ClassVar, Literal

from epidura.clinic.instruments.base import Answers, Instrument, Item, Score, rated


class ReportedRelief(Instrument):
    """How much of the pain is gone, 0 to 100 %. More pain than before is not on this scale; the impression of change has it."""

    kind: Literal["reported-relief"] = "reported-relief"

    title: ClassVar[str] = "Relief reported by the patient"
    version: ClassVar[str] = "0-100 %"
    of_change: ClassVar[bool] = True

    @property
    def items(self) -> tuple[Item, ...]:
        return rated(("relief",), 0, 100)

    def score(self, answers: Answers) -> Score:
        sheet = self.read(answers)
        return self.report(sheet, self.value("relief", sheet.points.get("relief")))
