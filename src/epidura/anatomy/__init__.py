"""Anatomy sources: one file per kind."""

from epidura.anatomy.base import Anatomy
from epidura.anatomy.population import sample
from epidura.recipe import Family

family = Family("epidura.anatomy", Anatomy)

__all__ = ["Anatomy", "family", "sample"]
