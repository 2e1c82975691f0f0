"""Models of a myelinated fibre: one file per kind."""

from epidura.axon.base import Axon
from epidura.recipe import Family

family = Family("epidura.axon", Axon)

__all__ = ["Axon", "family"]
