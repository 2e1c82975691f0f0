"""Leads: one file per kind."""

from epidura.lead.base import KIND_OF_TYPE, Lead, LeadShape, models
from epidura.recipe import Family
from epidura.tables import table


class _Leads(Family[Lead]):
    """The family of leads, in which the name of a model stands for its kind."""

    def read(self, value: object) -> Lead:
        model = value.get("model") if isinstance(value, dict) else None
        if isinstance(value, dict) and "kind" not in value and isinstance(model, str) and model in models():
            value = {**value, "kind": KIND_OF_TYPE[table("leads").row(id=model)["type"]]}
        return super().read(value)


family = _Leads("epidura.lead", Lead, default="percutaneous")

__all__ = ["Lead", "LeadShape", "family", "models"]
