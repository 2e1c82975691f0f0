"""painDETECT: a screen for a neuropathic component of pain."""

from __future__ import annotations

from typing import ClassVar, Literal

from epidura.clinic.instruments.base import Answers, Instrument, Item, Score, rated

PICTURES = (0, -1, 1, 1)
"""What the four pictures of the course of pain count: persistent with slight fluctuations, persistent with attacks, attacks without pain
between them, attacks with pain between them."""


class PainDetect(Instrument):
    """Seven sensory items from 0 to 5, the picture of the course (1 to 4), and whether pain radiates (0 no, 1 yes, counts 2)."""

    kind: Literal["paindetect"] = "paindetect"

    title: ClassVar[str] = "painDETECT"
    version: ClassVar[str] = "9 items"

    @property
    def items(self) -> tuple[Item, ...]:
        return (*rated(range(1, 8), 0, 5), Item("course", (1, 2, 3, 4), PICTURES), Item("radiation", (0, 1), (0, 2)))

    def score(self, answers: Answers) -> Score:
        sheet = self.read(answers)
        return self.report(sheet, self.value("total", sheet.sum()), notes=self.left_open(sheet, "total"))
