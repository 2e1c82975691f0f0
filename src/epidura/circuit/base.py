"""What every circuit of the dorsal horn has in common."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from epidura.errors import BadInput
from epidura.numerics.network import Network
from epidura.recipe import Recipe
from epidura.tables import Number
from epidura.units import Time

Floats = NDArray[np.float64]

COARSEST = 50e-6
"""Longest time step, s."""


@dataclass(frozen=True)
class Fibre:
    """Afferent fibres of one class, as a circuit numbers them.

    Attributes:
        name: such as ``Abeta local``; stimulation of ``local`` and ``surround`` fibres is told apart by it.
        first, count: their numbers.
        target: ``local`` for large fibres of the receptive field, ``surround`` for those around it, empty for fibres that no lead drives.
        painful: whether they carry the painful input (thin fibres).
    """

    name: str
    first: int
    count: int
    target: str = ""
    painful: bool = False

    @property
    def members(self) -> range:
        return range(self.first, self.first + self.count)


@dataclass(frozen=True)
class Wiring:
    """A circuit ready to be run.

    Attributes:
        network: neurons, synapses, afferent fibres.
        fibres: its classes of fibres, in order, without gaps.
        cells: (n,) name of the population of each neuron, such as ``WDR``, ``EX``, ``SG``, ``SURR``; neurons of one name are averaged.
        projection: names of the populations that leave the segment.
        inhibitory: (links,) "gaba", "glycine" or "" for each link: what a loss of inhibition weakens.
    """

    network: Network
    fibres: tuple[Fibre, ...]
    cells: tuple[str, ...]
    projection: tuple[str, ...]
    inhibitory: tuple[str, ...]


class Circuit(Recipe):
    """A circuit of one segment of the dorsal horn, for one patch of skin.

    Attributes:
        dt: time step of the simulation; what is reported needs 25 us or less.
    """

    kind: str
    dt: Time = 25e-6

    @field_validator("dt")
    @classmethod
    def _resolves(cls, dt: float) -> float:
        if not 0 < dt <= COARSEST * (1 + 1e-9):
            raise BadInput("", "not a time step that follows these neurons", got=f"{dt * 1e6:g} us",
                           allowed=f"above 0 us, up to {COARSEST * 1e6:g} us")
        return dt

    @abstractmethod
    def wiring(self) -> Wiring:
        """Neurons, synapses and fibres, with inhibition intact."""

    @abstractmethod
    def numbers(self) -> tuple[Number, ...]:
        """The numbers from the tables that decide what the circuit does."""
