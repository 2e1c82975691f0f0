"""What every population of fibres has in common."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from epidura.product import Cord, Fibres
from epidura.recipe import Recipe
from epidura.tables import Number, table

Floats = NDArray[np.float64]


class Population(Recipe):
    """A population of fibres.

    Attributes:
        count: how many fibres are simulated.
        seed: of the random placement.
        axon: kind of the membrane and morphology model (family ``axon``).
    """

    kind: str
    count: int = Field(ge=1, le=1_000_000)
    seed: int = Field(1, ge=0)
    axon: str = "mrg-interpolated"

    @abstractmethod
    def place(self, cord: Cord, z0: float, z1: float) -> Fibres:
        """Fibres that cover ``z0`` to ``z1`` (m), the stretch in which the leads can excite them."""

    @abstractmethod
    def numbers(self) -> tuple[Number, ...]:
        """The numbers from the tables that decide where the fibres run and how thick they are."""

    def rng(self) -> np.random.Generator:
        """Random numbers that depend on the seed and the kind of population only."""
        return np.random.default_rng([self.seed, *type(self).__name__.encode()])


def stratified(rng: np.random.Generator, count: int) -> Floats:
    """(count,) numbers between 0 and 1, one in each of ``count`` equal strata, in random order."""
    strata = (np.arange(count) + rng.random(count)) / count
    return rng.permutation(strata)


def fact(quantity: str, population: str) -> Number:
    """A row of data/fibre_rules.csv."""
    return table("fibre_rules").number(f"{quantity} ({population})", "value",
                                       table("fibre_rules").row(quantity=quantity, population=population)["unit"],
                                       quantity=quantity, population=population)


