"""What the membrane does to strength and duration: other published axons in NEURON, at the place of the fibre with which something is felt.

    pip install 'epidura[peers]'
    python -m benchmarks.membranes

The engine has the membrane of McIntyre, Richardson and Grill (2002), a motor axon. Channels under the myelin are not linear, so axons that have
them are run by NEURON: the fibre with which something is felt in the field of the T9 bipole of docs/validation.md, same diameter and path, nodes
where its phase puts them. Axons:

* MRG: as the engine has it, to see that NEURON says the same;
* dorsal column, passive: dimensions, capacitance and myelin of the dorsal-column fibre of Gilbert et al. 2022 (10.1523/ENEURO.0058-22.2022, read
  in the code distributed with it, ModelDB 267728), MRG's nodes, no channel under the myelin. Its own sodium channels, which inactivate slowly,
  were not to be had;
* the same at rest at -77.3 mV, where that fibre starts: a slow inward current (kinetics of the next) under the myelin, as large as that takes;
* sensory: Gaines et al. 2018 (J Comput Neurosci 45:29, numbers read in ModelDB 243841), channels at the node and under the myelin.

Backward Euler steps of 5 us.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.validation import lapicque, result
from epidura.axon.base import Morphology
from epidura.axon.mrg_interpolated import MrgInterpolated
from epidura.bench import neuron_peer
from epidura.recruitment import PULSE_WIDTHS, _with_width, fit_weiss, grouped, patterns, place_fibres

Floats = NDArray[np.float64]

DT, REACH, TOLERANCE = 5e-6, 25e-3, 5e-4
NODE, UNDER = "sensory_node", "under_myelin"

_LINOID = """
FUNCTION linoid(x) { : x / (1 - exp(-x)), 1 at 0
    if (fabs(x) < 1e-5) { linoid = 1 + x / 2 } else { linoid = x / (1 - exp(-x)) }
}
"""
_HEATED = """
    warm_m = 2.2 ^ ((celsius - 20) / 10)
    warm_h = 2.9 ^ ((celsius - 20) / 10)
    warm_s = 3.0 ^ ((celsius - 36) / 10)
"""
_POTASSIUM = """
    open_s = warm_s * 0.3 / (1 + exp(-(u + 53) / 5))
    shut_s = warm_s * 0.03 / (1 + exp(-(u + 90)))
    open_n = warm_s * 0.0462 * 1.1 * linoid((u + 83.2) / 1.1)
    shut_n = warm_s * 0.0824 * 10.5 * linoid(-(u + 66) / 10.5)
"""
_HELD = """
    u = at
    if (u < -150) { u = -150 }
    if (u > 150) { u = 150 }
"""


def _gates(names: str) -> str:
    """Start and course of gates with the rates open_ and shut_."""
    start = "".join(f"    {x} = open_{x} / (open_{x} + shut_{x})\n" for x in names)
    course = "".join(f"    {x}' = open_{x} * (1 - {x}) - shut_{x} * {x}\n" for x in names)
    return f"INITIAL {{{_HEATED}    rates(v)\n{start}}}\nDERIVATIVE gates {{\n    rates(v)\n{course}}}"


MECHANISMS = {
    NODE: f"""
TITLE node of a sensory fibre, Gaines et al. (2018): fast and persistent sodium, slow and fast potassium, leak
NEURON {{ SUFFIX {NODE} NONSPECIFIC_CURRENT i THREADSAFE }}
ASSIGNED {{
    v (mV) celsius (degC) i (mA/cm2) warm_m warm_h warm_s
    open_m shut_m open_p shut_p open_h shut_h open_s shut_s open_n shut_n
}}
STATE {{ m p h s n }}
BREAKPOINT {{
    SOLVE gates METHOD cnexp
    i = (3.0 * m * m * m * h + 0.01 * p * p * p) * (v - 50) + (0.04106 * s + 0.02737 * n * n * n * n + 0.006005) * (v + 90)
}}
{_gates("mphsn")}
PROCEDURE rates(at) {{ LOCAL u {_HELD}
    open_m = warm_m * 1.77753 * 10.3 * linoid((u + 20.1795) / 10.3)
    shut_m = warm_m * 0.0823 * 9.16 * linoid(-(u + 25.4746) / 9.16)
    open_p = warm_m * 0.00957 * 10.2 * linoid((u + 26.852) / 10.2)
    shut_p = warm_m * 0.0002401 * 10 * linoid(-(u + 33.8333) / 10)
    open_h = warm_h * 0.075286 * 8.391 * linoid(-(u + 112.7124) / 8.391)
    shut_h = warm_h * 2.8083 / (1 + exp(-(u + 30.5435) / 10.2263)) {_POTASSIUM}
}}
{_LINOID}""",
    UNDER: f"""
TITLE axolemma under the myelin, Gaines et al. (2018): slow and fast potassium, slow inward current, leak
NEURON {{ SUFFIX {UNDER} NONSPECIFIC_CURRENT i RANGE g_s, g_n, g_q, g_l, e_l THREADSAFE }}
PARAMETER {{ g_s (S/cm2) g_n (S/cm2) g_q (S/cm2) g_l (S/cm2) e_l (mV) }}
ASSIGNED {{ v (mV) celsius (degC) i (mA/cm2) warm_m warm_h warm_s open_s shut_s open_n shut_n open_q shut_q }}
STATE {{ s n q }}
BREAKPOINT {{
    SOLVE gates METHOD cnexp
    i = (g_s * s + g_n * n * n * n * n) * (v + 90) + g_q * q * (v + 54.9) + g_l * (v - e_l)
}}
{_gates("snq")}
PROCEDURE rates(at) {{ LOCAL u {_HELD} {_POTASSIUM}
    open_q = warm_s * 0.00522 * exp(-(u + 94.2) / 12.2)
    shut_q = warm_s * 0.00522 * exp((u + 94.2) / 12.2)
}}
{_LINOID}""",
}


class Shaped(MrgInterpolated):
    """An axon of other dimensions, for where its compartments lie."""

    shape: Any

    def morphology(self, diameter: Floats) -> Morphology:
        return cast(Morphology, self.shape(np.asarray(diameter) * 1e6))


def dorsal_column(d: Floats) -> Morphology:
    """Gilbert et al. 2022, d in um; three dimensions are cut to whole numbers there."""
    return Morphology(d, np.floor(92.765 * d + 108.97), np.floor(2.581 * d + 19.59), 0.73 * d - 0.75, 0.29 * d + 0.36, np.floor(6.372 * d + 51.823))


def sensory(d: Floats) -> Morphology:
    """Gaines et al. 2018, d in um."""
    return Morphology(d, 969.3 * np.log(d) - 1144.6, 2.5811 * d + 19.59, 0.889 * d - 1.9104, 0.3449 * d - 0.1484, 65.897 * np.log(d) - 32.666)


@dataclass(frozen=True)
class Membrane:
    """An axon: its dimensions, what differs from data/mrg_membrane.csv, channels under the myelin, and whether its nodes are those of Gaines.

    Attributes:
        under: per compartment between two nodes (MYSA, FLUT, STIN) the conductances of ``UNDER``; none: passive.
    """

    name: str
    shape: Callable[[Floats], Morphology]
    numbers: Mapping[str, float] = field(default_factory=dict)
    under: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    own_nodes: bool = False


PASSIVE = {"membrane capacitance": 1.0, "myelin conductance per lamella membrane": 0.002}
_ALIKE = {"g_s": 0.001324, "g_q": 0.003102, "e_l": -90.0}
SENSORY = {"MYSA": {**_ALIKE, "g_l": 0.001716, "g_n": 0.1642}, "FLUT": {**_ALIKE, "g_l": 0.0001716, "g_n": 0.02737},
           "STIN": {**_ALIKE, "g_l": 0.0001716, "g_n": 0.02737}}
RESTING = -77.3  # mV, of Gilbert et al.


def with_inward_current(siemens: float) -> Membrane:
    """The dorsal-column fibre with ``siemens`` S/cm2 of the slow inward current in its STIN."""
    return Membrane(f"dorsal column, rests at {RESTING:g} mV", dorsal_column, PASSIVE, {"STIN": {"g_l": 1e-4, "e_l": -80.0, "g_q": siemens}})


class Peer:
    """The fibre with which something is felt, in NEURON with another membrane."""

    def __init__(self) -> None:
        run = result("high-dura")
        program, at = run.case.programs[0], run.recruitment.isel(program=0)
        column = np.flatnonzero((at.fibre_population == "dorsal-column").values)
        # felt is a sum over fibres that stand for less than one each: the last that it takes
        self.fibre = int(column[np.argmin(np.abs(at.threshold.values[column] - float(at.perception_threshold)))])
        self.diameter = float(at.diameter.values[self.fibre])
        self.field, self.program, self.fibres = run.lead_field, program, place_fibres(run.canal, run.case.fibres)
        self.mixing, _ = patterns(program, run.lead_field, None, "")
        self.known = run.recruitment.strength_duration.values[0]

    def _outside(self, membrane: Membrane) -> tuple[int, Floats]:
        """Number of nodes, and V/A along the fibre."""
        models = dict.fromkeys(self.fibres.population, Shaped(shape=membrane.shape))
        for group in grouped(self.field, self.fibres, models, self.program.contacts, self.mixing, reach=REACH):
            if self.fibre in group.members:
                return group.nodes, group.potentials[list(group.members).index(self.fibre), 0]
        raise AssertionError("every fibre is in a group")

    def run(self, membrane: Membrane, measure: Callable[[Any, Floats], Any]) -> Any:
        """``measure(fibre, outside)`` of the fibre in NEURON."""
        nodes, outside = self._outside(membrane)
        numbers = neuron_peer.membrane_numbers() | membrane.numbers
        with closing(neuron_peer.NeuronFibre(membrane.shape(np.array([self.diameter * 1e6])), numbers, nodes, MECHANISMS)) as fibre:
            places = {1: "MYSA", 10: "MYSA", 2: "FLUT", 9: "FLUT"}
            for k, section in enumerate(fibre.sections[1:-1], 1):
                place = k % neuron_peer.PERIOD
                if place == 0 and membrane.own_nodes:
                    section.uninsert("mrg_node")
                    section.insert(NODE)
                elif place and (own := membrane.under.get(places.get(place, "STIN"))):
                    section.uninsert("pas")
                    section.insert(UNDER)
                    for name, value in own.items():
                        setattr(getattr(section(0.5), UNDER), name, value)
            return measure(fibre, outside)

    def rest(self, membrane: Membrane) -> float:
        """mV of a node in the middle."""
        return float(self.run(membrane, lambda fibre, outside: fibre.run(outside, np.zeros(1), DT, 0.0, DT, [len(fibre.sections) // 22])[0, 0]))

    def curve(self, membrane: Membrane) -> Floats:
        """(widths,) A."""
        def thresholds(fibre: Any, outside: Floats) -> Floats:
            found, guess = [], float(self.known[0])
            for width in PULSE_WIDTHS:
                samples = _with_width(self.program.waveform, width).step_means(DT)
                guess = float(np.sqrt(np.prod(fibre.threshold(outside, samples, DT, guess, TOLERANCE))))
                found.append(guess)
            return np.array(found)

        return np.asarray(self.run(membrane, thresholds))


def main() -> None:
    """Print the table."""
    peer = Peer()
    low, high = 0.0, 1e-3
    while high - low > 1e-6:  # of the inward current that brings the rest to where it was published
        middle = 0.5 * (low + high)
        low, high = (low, middle) if peer.rest(with_inward_current(middle)) > RESTING else (middle, high)
    membranes = [Membrane("MRG", lambda d: MrgInterpolated().morphology(d * 1e-6)), Membrane("dorsal column, passive", dorsal_column, PASSIVE),
                 with_inward_current(low), Membrane("sensory", sensory, {}, SENSORY, own_nodes=True)]
    print(f"fibre of {peer.diameter * 1e6:.1f} um\n\n| axon | rest | at 210 us | Weiss | Lapicque |\n|---|---|---|---|---|")
    print(_row("MRG, by the engine", None, peer.known))
    for membrane in membranes:
        print(_row(membrane.name, peer.rest(membrane), peer.curve(membrane)), flush=True)


def _row(name: str, rest: float | None, found: Floats) -> str:
    fitted = fit_weiss(PULSE_WIDTHS, found), lapicque(PULSE_WIDTHS, found)
    laws = " | ".join(f"{1e6 * chronaxie:.0f} us, {1e3 * rheobase:.2f} mA" for rheobase, chronaxie in fitted)
    at = 1e3 * float(found[np.isclose(PULSE_WIDTHS, 210e-6)][0])
    return f"| {name} | {'-' if rest is None else f'{rest:.1f} mV'} | {at:.2f} mA | {laws} |"


if __name__ == "__main__":
    main()
