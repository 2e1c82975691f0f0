"""The MRG fibre at any diameter, by quadratics through the published ones."""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from epidura.axon.base import UM, Morphology, Myelinated
from epidura.errors import BadInput
from epidura.tables import Number, table

Floats = NDArray[np.float64]


class MrgInterpolated(Myelinated):
    """Diameters from 2 to 16 um, dimensions by the fits of data/mrg_interpolation.csv."""

    kind: Literal["mrg-interpolated"] = "mrg-interpolated"

    def morphology(self, diameter: Floats) -> Morphology:
        d = np.asarray(diameter) / UM
        thick, thin = _fit("internode_um (thick)"), _fit("internode_um (thin)")
        internode = np.where(d >= _bounds("internode_um (thick)")[0], np.polyval(thick, d), np.polyval(thin, d))
        flut, axon, node, lamellae = (np.asarray(np.polyval(_fit(name), d)) for name in ("flut_um", "axon_um", "node_um", "lamellae"))
        return Morphology(d, internode, flut, axon, node, lamellae)

    def check(self, diameter: Floats, where: str = "diameter") -> None:
        low, high = _bounds("flut_um")
        for value in diameter:
            if not low * (1 - 1e-9) <= value / UM <= high * (1 + 1e-9):
                raise BadInput(where, "the interpolated model does not reach this diameter", got=f"{value / UM:g} um",
                               allowed=f"{low:g} to {high:g} um")

    def fit(self, diameter: Floats) -> Floats:
        low, high = _bounds("flut_um")
        return np.clip(diameter, low * UM, high * UM)

    def numbers(self) -> tuple[Number, ...]:
        return (table("mrg_interpolation").number("morphology between the published diameters", "linear", "um/um", quantity="flut_um"),)


@cache
def _fit(quantity: str) -> tuple[float, float, float]:
    row = table("mrg_interpolation").row(quantity=quantity)
    return float(row["square"]), float(row["linear"]), float(row["constant"])


@cache
def _bounds(quantity: str) -> tuple[float, float]:
    row = table("mrg_interpolation").row(quantity=quantity)
    return float(row["from_um"]), float(row["to_um"])
