"""The fibre engine against NEURON driven here and now, in cases that no file of ``data/`` holds.

NEURON gets the same morphology and conductances and its own text of the gates (``epidura.bench.neuron_peer``), so what is
compared is the solution: elimination of the internodes, modes, gates, kernel. Both take backward Euler steps of 5 us.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from epidura.bench import neuron_peer
from epidura.bench.neuron_peer import NeuronFibre, membrane_numbers
from epidura.errors import Failed
from epidura.single_fibre import Trial, point_source
from epidura.waveform import Course

Floats = NDArray[np.float64]

REASON = neuron_peer.available()
live = pytest.mark.skipif(REASON is not None, reason=str(REASON))

NODES, DT, DURATION = 31, 5e-6, 2.5e-3
MONO = Course.of((90e-6, 1.0))
BIPHASIC = Course.of((60e-6, 1.0), (25e-6, 0.0), (120e-6, -0.5))
ANODIC_FIRST = Course.of((80e-6, -1.0), (80e-6, 1.0))


@dataclass(frozen=True)
class Case:
    """One fibre beside a source that stands ``shift`` internodes away from its middle; amplitudes in A."""

    model: str
    diameter: float
    course: Course
    distance: float
    sigma: tuple[float, float]
    shift: float
    silent: float
    firing: float

    def trial(self) -> Trial:
        return Trial(self.model, self.diameter, self.distance, self.course, *self.sigma, None, DT, "backward-euler", NODES)

    def potentials(self) -> Floats:
        """(compartments,) V per ampere of cathodic amplitude."""
        along = self.trial().axon().compartments(np.array([self.diameter]), NODES)[0]
        internode = along[-1] / (NODES - 1)
        return -point_source(self.distance, along - internode * ((NODES - 1) / 2 + self.shift), *self.sigma)


CASES = {
    "interpolated 6.3 um": Case("mrg-interpolated", 6.3e-6, MONO, 0.8e-3, (0.2, 0.2), 0.0, 1.2e-4, 1.5e-4),
    "10 um in a medium with a grain": Case("mrg", 10e-6, BIPHASIC, 1.5e-3, (0.083, 0.6), 0.0, 0.9e-3, 1.2e-3),
    "6.3 um off centre": Case("mrg-interpolated", 6.3e-6, BIPHASIC, 1.1e-3, (0.2, 0.35), -3.4, 5e-4, 7e-4),
    "10 um between two nodes": Case("mrg", 10e-6, ANODIC_FIRST, 0.4e-3, (0.3, 0.3), 2.5, 1.5e-4, 1.8e-4),
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def ours(case: Case, amplitude: float, nodes: Sequence[int], precision: str) -> Floats:
    """(steps, nodes) mV of the engine."""
    own = case.trial()
    engine = own.axon().engine(np.array([own.diameter]), NODES, case.potentials()[None], own.samples(), DT, own.scheme, precision)
    return engine.traces(np.array([amplitude]), DURATION, nodes)[0, ..., 0]


def our_threshold(case: Case, precision: str) -> float:
    """A."""
    own = case.trial()
    return float(own.axon().thresholds(np.array([own.diameter]), NODES, case.potentials()[None], own.samples(), dt=DT, scheme=own.scheme,
                                       precision=precision, tolerance=1e-5, threads=1)[0, 0])


@contextmanager
def neuron(case: Case, **other: float) -> Iterator[NeuronFibre]:
    """NEURON's fibre, with other numbers of the membrane where given."""
    morphology = case.trial().axon().morphology(np.array([case.diameter]))
    changed = {name.replace("_", " "): value for name, value in other.items()}
    with closing(NeuronFibre(morphology, membrane_numbers() | changed, NODES)) as fibre:
        yield fibre


def theirs(fibre: NeuronFibre, case: Case, amplitude: float, nodes: Sequence[int]) -> Floats:
    """(steps, nodes) mV of NEURON."""
    return fibre.run(case.potentials(), case.trial().samples(), DT, amplitude, DURATION, nodes)


@live
@each_case
def test_traces_are_those_of_neuron(case: Case) -> None:
    nodes = [15, 24]
    with neuron(case) as fibre:
        for amplitude, fires in ((case.silent, False), (case.firing, True)):
            known = theirs(fibre, case, amplitude, nodes)
            assert known.shape == (500, 2)
            assert bool(known.max() > 0.0) == fires
            assert np.abs(ours(case, amplitude, nodes, "float64") - known).max() < 1e-5  # 2.4e-7 with all modes kept
            assert np.abs(ours(case, amplitude, nodes, "float32") - known).max() < 1e-3


@live
@each_case
def test_thresholds_lie_in_the_live_bracket(case: Case) -> None:
    with neuron(case) as fibre:
        below, above = fibre.threshold(case.potentials(), case.trial().samples(), DT, case.silent)
    assert 1.0 < above / below < 1.0006
    for precision in ("float64", "float32"):
        assert below * (1 - 2e-5) < our_threshold(case, precision) < above * (1 + 2e-5)


@live
def test_comparison_sees_a_thousandth_of_the_sodium() -> None:
    case = CASES["interpolated 6.3 um"]
    with neuron(case, fast_sodium_conductance=1.001 * membrane_numbers()["fast sodium conductance"]) as fibre:
        changed = theirs(fibre, case, case.firing, [24])
    assert np.abs(ours(case, case.firing, [24], "float64") - changed).max() > 1e-1


@live
def test_one_fibre_at_a_time() -> None:
    case = CASES["interpolated 6.3 um"]
    with neuron(case), pytest.raises(Failed, match="close it first"), neuron(case):
        pass


@live
def test_psolve_is_timed() -> None:
    with neuron(CASES["interpolated 6.3 um"]) as fibre:
        assert 0.0 < fibre.psolve_seconds(0.5e-3, DT) < 10.0


def test_module_does_not_import_neuron() -> None:
    subprocess.run([sys.executable, "-c", "import epidura.bench.neuron_peer, sys; assert 'neuron' not in sys.modules"], check=True)
