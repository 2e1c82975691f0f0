"""Populations of fibres: one file per kind."""

from epidura.fibre.base import Population
from epidura.recipe import Family

family = Family("epidura.fibre", Population)

__all__ = ["Population", "family"]
