"""Thin myelinated fibres (A-delta): the MRG fibre with dimensions and conductances for small diameters."""

from __future__ import annotations

from functools import cache
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from epidura.axon.base import UM, Morphology, Myelinated, membrane
from epidura.errors import BadInput
from epidura.numerics import kinetics
from epidura.tables import Number, table

Floats = NDArray[np.float64]

_SHAPE = ("internode_um", "flut_um", "axon_um", "node_um")


class MrgSmall(Myelinated):
    """Diameters from 1.011 to 16 um by the fits of Pena, Pelot and Grill (2024), data/mrg_small.csv; meant for up to some 6 um."""

    kind: Literal["mrg-small"] = "mrg-small"
    named: ClassVar[str] = "thin axon of Pena, Pelot and Grill (2024)"

    def morphology(self, diameter: Floats) -> Morphology:
        d = np.asarray(diameter) / UM
        internode, flut, axon, node = (np.asarray(np.polyval(_fit(name), d)) for name in _SHAPE)
        # published as a whole number of lamellae, cut
        return Morphology(d, internode, flut, axon, node, np.floor(np.polyval(_fit("lamellae"), d)))

    def membrane(self) -> kinetics.Mrg:
        sodium, potassium = (_fit(f"{name} conductance")[2] for name in ("fast sodium", "slow potassium"))
        return membrane(fast_sodium=sodium, slow_potassium=potassium)

    def check(self, diameter: Floats, where: str = "diameter") -> None:
        low, high = _bounds()
        for value in diameter:
            if not low * (1 - 1e-9) <= value / UM <= high * (1 + 1e-9):
                raise BadInput(where, "the model of thin myelinated fibres does not reach this diameter", got=f"{value / UM:g} um",
                               allowed=f"{low:g} to {high:g} um")

    def fit(self, diameter: Floats) -> Floats:
        low, high = _bounds()
        return np.clip(diameter, low * UM, high * UM)

    def numbers(self) -> tuple[Number, ...]:
        return (table("mrg_small").number("morphology of thin myelinated fibres", "linear", "um/um", quantity="flut_um"),
                table("mrg_small").number("fast sodium conductance of thin myelinated fibres", "constant", "S/cm2",
                                          quantity="fast sodium conductance"))


@cache
def _fit(quantity: str) -> tuple[float, float, float]:
    row = table("mrg_small").row(quantity=quantity)
    return float(row["square"]), float(row["linear"]), float(row["constant"])


@cache
def _bounds() -> tuple[float, float]:
    row = table("mrg_small").row(quantity="flut_um")
    return float(row["from_um"]), float(row["to_um"])
