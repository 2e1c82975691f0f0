"""Circuits of the dorsal horn: the gate between painful input and the neurons that pass it on."""

from epidura.circuit.base import Circuit, Fibre, Wiring
from epidura.recipe import Family

family: Family[Circuit] = Family("epidura.circuit", Circuit)

__all__ = ["Circuit", "Fibre", "Wiring", "family"]
