"""LANSS: symptoms and signs of neuropathic pain, with two tests at the bedside."""

from __future__ import annotations

from typing import ClassVar, Literal

from epidura.clinic.instruments.base import Answers, Instrument, Item, Score

WEIGHTS = (5, 5, 3, 2, 1, 5, 3)
"""Points of a yes: five questions, then allodynia and altered pin-prick threshold."""


class Lanss(Instrument):
    """Weighted sum of seven yes or no."""

    kind: Literal["lanss"] = "lanss"

    title: ClassVar[str] = "Leeds assessment of neuropathic symptoms and signs"
    version: ClassVar[str] = "LANSS"

    @property
    def items(self) -> tuple[Item, ...]:
        return tuple(Item(str(number), (0, 1), (0, weight)) for number, weight in enumerate(WEIGHTS, 1))

    def score(self, answers: Answers) -> Score:
        sheet = self.read(answers)
        return self.report(sheet, self.value("total", sheet.sum()), notes=self.left_open(sheet, "total"))
