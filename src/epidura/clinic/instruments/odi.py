"""Oswestry disability index: how much back pain keeps a person from doing, in per cent."""

from __future__ import annotations

from typing import ClassVar, Literal

from epidura.clinic.instruments.base import Answers, Instrument, Item, Score, rated


class Odi(Instrument):
    """Sum of ten sections from 0 to 5, in % of what the answered sections can give."""

    kind: Literal["odi"] = "odi"

    title: ClassVar[str] = "Oswestry disability index"
    version: ClassVar[str] = "2.1a"

    @property
    def items(self) -> tuple[Item, ...]:
        return rated(range(1, 11), 0, 5)

    def score(self, answers: Answers) -> Score:
        sheet = self.read(answers)
        possible = 5 * len(sheet.points)
        return self.report(sheet, self.value("total", 100 * sum(sheet.points.values()) / possible if possible else None))
