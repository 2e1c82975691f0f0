"""How an outcome is predicted: what a case may say about it."""

from __future__ import annotations

from pydantic import Field, field_validator

from epidura import eq5d
from epidura import quality_of_life as life
from epidura.errors import BadCase, nearest
from epidura.evidence.posterior import posterior
from epidura.patient import Patient
from epidura.recipe import Recipe
from epidura.tables import Number, table


def valued(country: str) -> str:
    """A country that has a value set, for a field of a recipe.

    Raises:
        BadCase: it has none here.
    """
    if country not in eq5d.countries():
        raise BadCase("", "there is no EQ-5D-5L value set of it here", got=country, allowed=", ".join(eq5d.countries()),
                      hint=nearest(country, eq5d.countries()))
    return country


class Outlook(Recipe):
    """How the outcome is predicted.

    Attributes:
        samples: people like this one who are drawn; 0: no outcome is predicted.
        country: of the value set of EQ-5D-5L.
        seed: of the draws.
    """

    samples: int = Field(4000, ge=0, le=200_000)
    country: str = "England"
    seed: int = Field(1, ge=0)

    @field_validator("samples")
    @classmethod
    def _enough(cls, samples: int) -> int:
        if 0 < samples < 100:
            raise BadCase("", "too few to tell a distribution", got=samples, allowed="0 for none, or 100 and more")
        return samples

    @field_validator("country")
    @classmethod
    def _valued(cls, country: str) -> str:
        return valued(country)

    def numbers(self, patient: Patient) -> tuple[Number, ...]:
        """What a prediction for a person rests on."""
        rows = [table("indications").number(f"spread of the neural effect in {patient.indication} (log)", "spread", "1",
                                            indication=patient.indication)] \
            if patient.indication and table("indications").row(indication=patient.indication)["spread"] else []
        return (*posterior().numbers(), *rows, *life.used_numbers(self.country))
