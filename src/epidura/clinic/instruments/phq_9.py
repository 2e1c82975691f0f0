"""PHQ-9: how often signs of depression troubled a person over two weeks."""

from __future__ import annotations

from typing import ClassVar, Literal

from epidura.clinic.instruments.base import Answers, Instrument, Item, Score, rated

HARM = "9"
"""The item on thoughts of being better off dead or of hurting oneself."""
ALERT = "answered above zero on the item about being better off dead: talk to the patient today"
UNASKED = "the item about being better off dead was not answered: ask the patient today"


class Phq9(Instrument):
    """Sum of nine items from 0 to 3. The last one is an alert of its own, never only a part of the total."""

    kind: Literal["phq-9"] = "phq-9"

    title: ClassVar[str] = "Patient health questionnaire, depression"
    version: ClassVar[str] = "PHQ-9"

    @property
    def items(self) -> tuple[Item, ...]:
        return rated(range(1, 10), 0, 3)

    def score(self, answers: Answers) -> Score:
        sheet = self.read(answers)
        harm = sheet.points.get(HARM)
        alerts = [ALERT] if harm else [UNASKED] if harm is None else []
        return self.report(sheet, self.value("total", sheet.sum(most_missing=self.most_missing)), alerts=alerts)
