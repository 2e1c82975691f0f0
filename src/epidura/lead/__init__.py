"""Leads: one file per kind."""

from epidura.lead.base import Lead, LeadShape
from epidura.recipe import Family

family = Family("epidura.lead", Lead, default="percutaneous")

__all__ = ["Lead", "LeadShape", "family"]
