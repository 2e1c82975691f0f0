"""Unmyelinated C fibres, to show that fibres that carry pain do not fire."""

from __future__ import annotations

from functools import cache
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from epidura.axon.base import UM, Axon
from epidura.errors import BadInput
from epidura.numerics import kinetics
from epidura.numerics.cable import Segments
from epidura.tables import Number, table
from epidura.units import Length

Floats = NDArray[np.float64]

# Peripheral, central and stem axon of the published cell are 0.8, 0.4 and 1.4 um.
NARROWEST, WIDEST = "central axon diameter", "stem axon diameter"


class Sundt(Axon):
    """Single cable of equal active segments, 0.4 to 1.4 um (Sundt, Gamper and Jaffe 2015, data/sundt_membrane.csv).

    Attributes:
        segment: length of a segment. 5, 10 and, 1 mm from the source, 20 um give the same thresholds within 0.1 %.
    """

    kind: Literal["sundt"] = "sundt"
    named: ClassVar[str] = "C fibre of Sundt, Gamper and Jaffe (2015)"
    segment: Length = Field(10e-6, gt=0)

    per_node: ClassVar[int] = 1
    sealed: ClassVar[bool] = True

    def internode(self, diameter: Floats) -> Floats:
        return np.full(len(diameter), float(self.segment))

    def compartments(self, diameter: Floats, nodes: int) -> Floats:
        return np.tile(float(self.segment) * np.arange(nodes), (len(diameter), 1))

    def cable(self, diameter: Floats) -> Segments:
        d, length = np.asarray(diameter) / UM, float(self.segment) / UM
        # an area of 1 um2 is 1e-8 cm2: 1 uF/cm2 on it is 1e-5 nF; 1 ohm cm over 1 um is 1e-2 megaohm
        capacity = 1e-5 * _value("membrane capacitance") * np.pi * d * length
        along = np.pi * d**2 / (4 * 1e-2 * _value("axial resistivity") * length)
        return Segments(c_node=capacity, g_axial=along, membrane=_membrane())

    def check(self, diameter: Floats, where: str = "diameter") -> None:
        low, high = _value(NARROWEST), _value(WIDEST)
        for value in diameter:
            if not low * (1 - 1e-9) <= value / UM <= high * (1 + 1e-9):
                raise BadInput(where, "the C fibre was not published for this diameter", got=f"{value / UM:g} um", allowed=f"{low:g} to {high:g} um")

    def fit(self, diameter: Floats) -> Floats:
        return np.clip(diameter, _value(NARROWEST) * UM, _value(WIDEST) * UM)

    def numbers(self) -> tuple[Number, ...]:
        return tuple(table("sundt_membrane").number(f"C fibre, {name}", "value", table("sundt_membrane").row(quantity=name)["unit"], quantity=name)
                     for name in ("sodium conductance", "potassium conductance", "sodium reversal", "potassium reversal"))


@cache
def _value(name: str) -> float:
    return float(table("sundt_membrane").row(quantity=name)["value"])


@cache
def _membrane() -> kinetics.Sundt:
    """The published membrane at its temperature; its leak reversal makes the current vanish at rest."""
    capacitance, rest, celsius = _value("membrane capacitance"), _value("resting potential"), _value("temperature")
    sodium, potassium, leak = (1e3 * _value(f"{name} conductance") / capacitance for name in ("sodium", "potassium", "leak"))
    q = _value("rate factor per 10 K") ** ((celsius - _value("reference temperature of the rates")) / 10)
    # the published steepness is per mV, with the constants as its code has them
    steep = 1e-3 * _value("Faraday constant as used") / (_value("gas constant as used") * (_value("zero of the Celsius scale as used") + celsius))
    return kinetics.Sundt(sodium, potassium, leak, _value("sodium reversal") - rest, _value("potassium reversal") - rest,
                          _value("leak reversal at 35 degC") - rest, q, steep, rest, np.ones(1))
