"""DN4: signs of neuropathic pain, asked and examined."""

from __future__ import annotations

from typing import ClassVar, Literal

from epidura.clinic.instruments.base import Answers, Instrument, Item, Score, rated

ITEMS, INTERVIEW = 10, 7


class Dn4(Instrument):
    """Number of yes. Items 1 to 7 are asked, 8 to 10 examined.

    Attributes:
        part: ``full``, or ``interview`` without the examination, which has a cut-off of its own.
    """

    kind: Literal["dn4"] = "dn4"
    part: Literal["full", "interview"] = "full"

    title: ClassVar[str] = "DN4, neuropathic pain in four questions"
    version: ClassVar[str] = "DN4"

    @property
    def items(self) -> tuple[Item, ...]:
        return self.every_item if self.part == "full" else self.every_item[:INTERVIEW]

    @property
    def every_item(self) -> tuple[Item, ...]:
        return rated(range(1, ITEMS + 1), 0, 1)

    def score(self, answers: Answers) -> Score:
        sheet = self.read(answers)
        return self.report(sheet, self.value("total", sheet.sum(), scale=self.part), notes=self.left_open(sheet, self.part))
