"""The published fibre diameters of McIntyre, Richardson and Grill (2002)."""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from epidura.axon.base import UM, Morphology, Myelinated
from epidura.errors import BadInput
from epidura.tables import Number, table

Floats = NDArray[np.float64]

_COLUMNS = ("diameter_um", "internode_um", "flut_um", "axon_um", "node_um", "lamellae")


class Mrg(Myelinated):
    """Eleven diameters from 1 to 16 um, each with its own measured dimensions (data/mrg_discrete.csv)."""

    kind: Literal["mrg"] = "mrg"

    def morphology(self, diameter: Floats) -> Morphology:
        known = _dimensions()
        row = np.abs(known[:, 0] * UM - np.asarray(diameter)[:, None]).argmin(axis=1)
        return Morphology(*known[row].T)

    def check(self, diameter: Floats, where: str = "diameter") -> None:
        known = _dimensions()[:, 0] * UM
        for value in diameter:
            if not np.abs(known - value).min() < 1e-9:
                nearest = known[np.nanargmin(np.abs(known - value))] / UM if np.isfinite(value) else known[-1] / UM
                raise BadInput(where, "the discrete model was not published for this diameter", got=f"{value / UM:g} um",
                               allowed=", ".join(f"{d / UM:g}" for d in known) + " um",
                               hint=f"take {nearest:g} um, or the model mrg-interpolated")

    def fit(self, diameter: Floats) -> Floats:
        return self.morphology(diameter).fibre * UM

    def numbers(self) -> tuple[Number, ...]:
        return (table("mrg_discrete").number("morphology of the published diameters", "internode_um", "um", diameter_um="10.0"),)


@cache
def _dimensions() -> Floats:
    """(11, 6) dimensions in um."""
    return np.array([[float(row[column]) for column in _COLUMNS] for row in table("mrg_discrete")])
