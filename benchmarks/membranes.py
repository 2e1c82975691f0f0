"""What the membrane does to strength and duration: other published axons in NEURON, at the place of the fibre with which something is felt.

    pip install 'epidura[peers]'
    python -m benchmarks.membranes

The engine's fibres are those of McIntyre, Richardson and Grill (2002), whose node is that of a motor axon, unless a case asks for sensory ones
(``gaines-sensory``). Here other axons are run by NEURON: the fibre with which something is felt in the field of the T9 bipole of
docs/validation.md, same diameter and path, nodes where its phase puts them. Axons:

* MRG: as the engine has it, to see that NEURON says the same;
* dorsal column, passive: dimensions, capacitance and myelin of the dorsal-column fibre of Gilbert et al. 2022 (10.1523/ENEURO.0058-22.2022, read
  in the code distributed with it, ModelDB 267728), MRG's nodes, no channel under the myelin. Its own sodium channels, which inactivate slowly,
  were not to be had;
* the same at rest at -77.3 mV, where that fibre starts: a slow inward current (kinetics of the next) under the myelin, as large as that takes;
* sensory: Gaines et al. 2018 (J Comput Neurosci 45:29, numbers read in ModelDB 243841), channels at the node and under the myelin; that one is
  in the engine, too.

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
from epidura.axon.base import Axon, Morphology
from epidura.axon.gaines_sensory import GainesSensory
from epidura.axon.mrg_interpolated import MrgInterpolated
from epidura.bench import neuron_peer
from epidura.bench.sensory_peer import MECHANISMS, SENSORY, put_channels
from epidura.recruitment import PULSE_WIDTHS, _with_width, fit_weiss, grouped, patterns, place_fibres

Floats = NDArray[np.float64]

DT, REACH, TOLERANCE = 5e-6, 25e-3, 5e-4


class Shaped(MrgInterpolated):
    """An axon of other dimensions, for where its compartments lie."""

    shape: Any

    def morphology(self, diameter: Floats) -> Morphology:
        return cast(Morphology, self.shape(np.asarray(diameter) * 1e6))


def dorsal_column(d: Floats) -> Morphology:
    """Gilbert et al. 2022, d in um; three dimensions are cut to whole numbers there."""
    return Morphology(d, np.floor(92.765 * d + 108.97), np.floor(2.581 * d + 19.59), 0.73 * d - 0.75, 0.29 * d + 0.36, np.floor(6.372 * d + 51.823))


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

    def engine_curve(self, model: Axon) -> Floats:
        """(widths,) A of the fibre with another model in the engine, ends as NEURON has them."""
        nodes, outside = self._outside(model)
        given = [_with_width(self.program.waveform, width).step_means(DT) for width in PULSE_WIDTHS]
        return np.array([model.thresholds(np.array([self.diameter]), nodes, outside[None], samples, dt=DT, tolerance=TOLERANCE, threads=1)[0, 0]
                         for samples in given])

    def _outside(self, model: Axon) -> tuple[int, Floats]:
        """Number of nodes, and V/A along the fibre."""
        models = dict.fromkeys(self.fibres.population, model)
        for group in grouped(self.field, self.fibres, models, self.program.contacts, self.mixing, reach=REACH):
            if self.fibre in group.members:
                return group.nodes, group.potentials[list(group.members).index(self.fibre), 0]
        raise AssertionError("every fibre is in a group")

    def run(self, membrane: Membrane, measure: Callable[[Any, Floats], Any]) -> Any:
        """``measure(fibre, outside)`` of the fibre in NEURON."""
        nodes, outside = self._outside(Shaped(shape=membrane.shape))
        numbers = neuron_peer.membrane_numbers() | membrane.numbers
        with closing(neuron_peer.NeuronFibre(membrane.shape(np.array([self.diameter * 1e6])), numbers, nodes, MECHANISMS)) as fibre:
            put_channels(fibre, membrane.under, membrane.own_nodes)
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
                 with_inward_current(low), Membrane("sensory", lambda d: GainesSensory().morphology(d * 1e-6), {}, SENSORY, own_nodes=True)]
    print(f"fibre of {peer.diameter * 1e6:.1f} um\n\n| axon | rest | at 210 us | Weiss | Lapicque |\n|---|---|---|---|---|")
    print(_row("MRG, by the engine", None, peer.known))
    print(_row("sensory, by the engine", None, peer.engine_curve(GainesSensory())))
    for membrane in membranes:
        print(_row(membrane.name, peer.rest(membrane), peer.curve(membrane)), flush=True)


def _row(name: str, rest: float | None, found: Floats) -> str:
    fitted = fit_weiss(PULSE_WIDTHS, found), lapicque(PULSE_WIDTHS, found)
    laws = " | ".join(f"{1e6 * chronaxie:.0f} us, {1e3 * rheobase:.2f} mA" for rheobase, chronaxie in fitted)
    at = 1e3 * float(found[np.isclose(PULSE_WIDTHS, 210e-6)][0])
    return f"| {name} | {'-' if rest is None else f'{rest:.1f} mV'} | {at:.2f} mA | {laws} |"


if __name__ == "__main__":
    main()
