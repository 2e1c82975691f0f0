"""Sensory fibres: the double cable with the channels of a sensory axon, under the myelin, too."""

from __future__ import annotations

from functools import cache
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from epidura.axon.base import UM, Morphology, Myelinated, published
from epidura.errors import BadInput
from epidura.numerics import kinetics
from epidura.numerics.cable import ActiveCable, Cable
from epidura.tables import Number, table

Floats = NDArray[np.float64]


class GainesSensory(Myelinated):
    """Diameters from 5.7 to 16 um (Gaines et al. 2018, data/gaines_sensory.csv).

    Slow and fast potassium channels and a slow inward current lie under the myelin, so that no internode can be eliminated and a threshold takes
    four to five times as long as that of ``mrg-interpolated``, whose node is that of a motor axon. Gaps, lengths, resistivity, myelin and capacitance
    are those of data/mrg_membrane.csv. Runs on the cpu only.
    """

    kind: Literal["gaines-sensory"] = "gaines-sensory"
    named: ClassVar[str] = "sensory axon of Gaines et al. (2018)"

    def morphology(self, diameter: Floats) -> Morphology:
        d = np.asarray(diameter) / UM
        flut, axon, node = (_value(f"{name} at 0 um") + _value(f"{name} per diameter") * d for name in ("FLUT", "axon", "node"))
        internode, lamellae = (_value(f"{name} at 1 um") + _value(f"{name} per logarithm of the diameter") * np.log(d)
                               for name in ("internode", "lamellae"))
        return Morphology(d, internode, flut, axon, node, lamellae)

    def check(self, diameter: Floats, where: str = "diameter") -> None:
        low, high = _value("thinnest fibre"), _value("thickest fibre")
        for value in diameter:
            if not low * (1 - 1e-9) <= value / UM <= high * (1 + 1e-9):
                raise BadInput(where, "the sensory fibre was not published for this diameter", got=f"{value / UM:g} um",
                               allowed=f"{low:g} to {high:g} um", hint="mrg-interpolated goes down to 2 um")

    def fit(self, diameter: Floats) -> Floats:
        return np.clip(diameter, _value("thinnest fibre") * UM, _value("thickest fibre") * UM)

    def numbers(self) -> tuple[Number, ...]:
        return (_number("internode per logarithm of the diameter"), _number("slow potassium conductance under the myelin"),
                _number("slow inward conductance under the myelin"))

    def cable(self, diameter: Floats) -> ActiveCable:
        plain, channels = super().cable(diameter), _membrane()
        named = {name: getattr(plain, name) for name in Cable.__dataclass_fields__ if name != "membrane"}
        return ActiveCable(**named | {"g_axolemma": plain.c_axolemma * _at_rest(channels)}, membrane=channels)


def _number(quantity: str) -> Number:
    row = table("gaines_sensory").row(quantity=quantity)
    return table("gaines_sensory").number(f"sensory fibre, {quantity}", "value", row["unit"], quantity=quantity)


@cache
def _value(quantity: str) -> float:
    return float(table("gaines_sensory").row(quantity=quantity)["value"])


@cache
def _membrane() -> kinetics.Sensory:
    """Conductances over capacitance in 1/ms (S/cm2 over uF/cm2 is 1e3 per ms), reversals relative to rest."""
    capacitance, rest, warm = (published(name).value for name in ("membrane capacitance", "resting potential", "temperature"))

    def per_ms(quantity: str) -> float:
        return 1e3 * _value(quantity) / capacitance

    sodium, potassium, inward, leak = (_value(f"{name} reversal") - rest for name in ("sodium", "potassium", "slow inward", "leak"))
    q = (2.2 ** ((warm - 20) / 10), 2.9 ** ((warm - 20) / 10), 3.0 ** ((warm - 36) / 10))
    return kinetics.Sensory(
        g_naf=per_ms("fast sodium conductance"), g_nap=per_ms("persistent sodium conductance"), g_s=per_ms("slow potassium conductance"),
        g_n=per_ms("fast potassium conductance"), g_l=per_ms("leak conductance"), e_na=sodium, e_k=potassium, e_q=inward, e_l=leak,
        under_s=per_ms("slow potassium conductance under the myelin"), under_q=per_ms("slow inward conductance under the myelin"),
        mysa_n=per_ms("fast potassium conductance of MYSA"), mysa_l=per_ms("leak conductance of MYSA"),
        under_n=per_ms("fast potassium conductance of FLUT and STIN"), under_l=per_ms("leak conductance of FLUT and STIN"), under_e_l=leak,
        q_m=q[0], q_h=q[1], q_s=q[2], rest=rest, steps=np.ones(1))


def _at_rest(channels: kinetics.Sensory) -> Floats:
    """(10,) conductance over capacitance under the myelin where v has long been at rest, 1/ms."""
    opening, closing = kinetics.sensory_rates((channels.q_m, channels.q_h, channels.q_s), np.array([channels.rest]))
    s, n, q = (opening / (opening + closing))[[3, 4, 5], 0]
    shared = s * channels.under_s + q * channels.under_q
    mysa, other = shared + n**4 * channels.mysa_n + channels.mysa_l, shared + n**4 * channels.under_n + channels.under_l
    return np.array([mysa, *[other] * 8, mysa])
