"""HADS: hospital anxiety and depression scale."""

from __future__ import annotations

from typing import ClassVar, Literal

from epidura.clinic.instruments.base import Answers, Instrument, Item, Score, rated

SUBSCALES = {"anxiety": tuple(map(str, range(1, 15, 2))), "depression": tuple(map(str, range(2, 15, 2)))}
"""Odd items are of anxiety, even ones of depression."""


class Hads(Instrument):
    """Two sums of seven items. An answer is the points that stand beside it on the form (0 to 3), so nothing is reversed here."""

    kind: Literal["hads"] = "hads"

    title: ClassVar[str] = "Hospital anxiety and depression scale"
    version: ClassVar[str] = "HADS"

    @property
    def items(self) -> tuple[Item, ...]:
        return rated(range(1, 15), 0, 3)

    def score(self, answers: Answers) -> Score:
        sheet = self.read(answers)
        return self.report(sheet, *(self.value(name, sheet.sum(keys, self.most_missing)) for name, keys in SUBSCALES.items()))
