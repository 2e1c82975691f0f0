"""Seeded faults in the fibre engine: each must move it outside NEURON's brackets or away from its action potential."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import test_cable_oracle as oracle

from epidura.axon import base
from epidura.axon.mrg import Mrg
from epidura.numerics import cable as engine
from epidura.numerics import cable_reference as reference
from epidura.numerics import course
from epidura.numerics.kinetics import Mrg as Membrane
from epidura.numerics.shelf import Shelf
from epidura.single_fibre import Trial
from epidura.waveform import Course

Patch = pytest.MonkeyPatch
REAL_CABLE = base._cable


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: Patch) -> None:
    """What was computed without the fault must not hide it, nor what was computed with it outlive it."""
    for name in ("_KNOWN_MODES", "_KNOWN_REST"):
        monkeypatch.setattr(engine, name, Shelf(2048))


def _few() -> list[oracle.Row]:
    """Rows of every kind, few enough to be run for each fault."""
    wanted = [("monophasic_thresholds", "8.7", "1000", "60"), ("monophasic_thresholds", "14.0", "1000", "210"),
              ("monophasic_thresholds", "5.7", "5000", "60"), ("biphasic_thresholds", "12.8", "1000", "60"),
              ("bipolar_thresholds", "16.0", "1000", "60"), ("bipolar_thresholds", "5.7", "3000", "210")]
    return [row for name, diameter, far, width in wanted
            for row in oracle.rows(name, diameter_um=diameter, distance_um=far, pulse_width_us=width, model="MRG_DISCRETE")]


def worst_bracket() -> float:
    """Worst relative distance outside NEURON's brackets; inf for a wrong node count."""
    chosen = _few()
    if any(oracle.trial(row).node_count() != int(row["n_nodes"]) for row in chosen):
        return float("inf")
    return oracle.distance(oracle.thresholds(chosen), chosen)


def worst_trace() -> float:
    """mV from NEURON's action potential at two nodes."""
    return max(oracle.trace_distance("8.7", "5.0", node)[0] for node in ("25", "35"))


def worst_short_fibre() -> float:
    """mV from the plain cable (itself held to NEURON in test_cable_laws) in a fibre so short that its ends matter."""
    own = Trial("mrg", 2e-6, 0.5e-3, oracle.course("mono", 100), 0.2, 0.2, None, 5e-6, "backward-euler", 9)
    at, potentials, samples = np.array([own.diameter]), own.potentials(), own.samples()
    found = own.axon().engine(at, 9, potentials[None], samples, own.dt, own.scheme, "float64").traces(np.array([2e-4]), 1e-3, range(9))
    return float(np.abs(found[0, ..., 0] - reference.run(REAL_CABLE(Mrg().morphology(at)), 9, potentials, samples, own.dt, 2e-4, 200)).max())


def worst_arrival() -> float:
    """Steps from NEURON's time at 0.9 of the fibre."""
    return max(abs(oracle.arrival(row)) for row in _few())


def _cable(change: Callable[[engine.Cable], dict[str, Any]]) -> Callable[[Patch], None]:
    def fault(patch: Patch) -> None:
        real = base._cable

        def wrong(shape: base.Morphology) -> engine.Cable:
            cable = real(shape)
            return dataclasses.replace(cable, **change(cable))

        patch.setattr(base, "_cable", wrong)

    return fault


def _membrane(change: Callable[[Membrane], dict[str, Any]]) -> Callable[[Patch], None]:
    def fault(patch: Patch) -> None:
        real = base.Myelinated.membrane
        patch.setattr(base.Myelinated, "membrane", lambda self: real(self)._replace(**change(real(self))))

    return fault


def _published(change: Callable[[str], str]) -> Callable[[Patch], None]:
    def fault(patch: Patch) -> None:
        real = base._published
        base.membrane()  # kept: only the cable gets the wrong numbers
        patch.setattr(base, "_published", lambda quantity: real(change(quantity)))

    return fault


def _swapped_gaps(quantity: str) -> str:
    names = ["periaxonal gap at node and MYSA", "periaxonal gap at FLUT and STIN"]
    return names[1 - names.index(quantity)] if quantity in names else quantity


def _lamellae(patch: Patch) -> None:
    real = Mrg.morphology
    patch.setattr(Mrg, "morphology", lambda self, d: dataclasses.replace(real(self, d), lamellae=real(self, d).lamellae / 2))


def _axial(cable: engine.Cable) -> dict[str, Any]:
    axial = cable.g_axial.copy()
    axial[:, [0, -1]] *= 2
    return {"g_axial": axial}


def _odd_drive(patch: Patch) -> None:
    real, sign = engine._Internodes.drives, np.where(np.arange(engine.MODES) < engine.MODES // 2, 1.0, -1.0)

    def wrong(self: Any, *given: Any) -> Any:
        node, modal = real(self, *given)
        return node, modal * sign

    patch.setattr(engine._Internodes, "drives", wrong)


def _end_sign(patch: Patch) -> None:
    real, sign = engine._end, np.where(np.arange(engine.MODES) < engine.MODES // 2, 1.0, -1.0)

    def wrong(cable: engine.Cable, left: bool) -> Any:
        kind = real(cable, left)
        return dataclasses.replace(kind, shape=kind.shape * sign) if left else kind

    patch.setattr(engine, "_end", wrong)


def _end_open(patch: Patch) -> None:
    # an end internode like any other one
    patch.setattr(engine, "_end", lambda cable, left: engine._middle(cable))


def _slow_mode_dropped(patch: Patch) -> None:
    real = engine._Internodes.steps_of_w

    def wrong(self: Any, *given: Any) -> Any:
        modes, *others = real(self, *given)
        modes[..., 4, 1] = 0.0
        return modes, *others

    patch.setattr(engine._Internodes, "steps_of_w", wrong)


def _sign(patch: Patch) -> None:
    real = Trial.potentials
    patch.setattr(Trial, "potentials", lambda self: -real(self))


def _media_swapped(patch: Patch) -> None:
    real = Trial.potentials
    patch.setattr(Trial, "potentials", lambda self: real(dataclasses.replace(self, sigma=self.sigma_long, sigma_long=self.sigma)))


def _centres(patch: Patch) -> None:
    # potentials taken at where a compartment ends
    real = base.Myelinated.compartments

    def wrong(self: base.Myelinated, diameter: Any, nodes: int) -> Any:
        along = real(self, diameter, nodes)
        return along + 0.5 * np.diff(along, append=along[:, -1:])

    patch.setattr(base.Myelinated, "compartments", wrong)


def _sampled(change: Callable[[Any], Any]) -> Callable[[Patch], None]:
    def fault(patch: Patch) -> None:
        real = Course.at_step_starts
        patch.setattr(Course, "at_step_starts", lambda self, dt: change(real(self, dt)))

    return fault


def _engine(change: Callable[[engine.Engine], None]) -> Callable[[Patch], None]:
    def fault(patch: Patch) -> None:
        class Wrong(engine.Engine):
            def __init__(self, *given: Any):
                super().__init__(*given)
                change(self)

        patch.setattr(base, "Engine", Wrong)

    return fault


def _dt(factor: float) -> Callable[[engine.Engine], None]:
    def change(own: engine.Engine) -> None:
        own.dt *= factor

    return change


def _middle_node(own: engine.Engine) -> None:
    own.detect = own.nodes // 2


def _next_node(own: engine.Engine) -> None:
    own.detect += 1


def _quiet(own: engine.Engine) -> None:
    own.quiet_from = own.steps = own.samples.size  # stops with the pulse


def _fewer(patch: Patch) -> None:
    real = Trial.node_count
    patch.setattr(Trial, "node_count", lambda self: real(self) - 2)


def _scheme(patch: Patch) -> None:
    real = engine._Internodes.step
    patch.setattr(engine._Internodes, "step", lambda self, dt, second: real(self, dt, True))


def _wrong_parts(patch: Patch, name: str) -> None:
    real = course._Builder.parts
    patch.setattr(course, "plan", course._plan)  # which keeps nothing
    patch.setattr(course._Builder, "parts", lambda self: real(self)._replace(**{name: np.zeros_like(getattr(real(self), name))}))


def _no_fold(patch: Patch) -> None:
    # the linear response forgotten when the stimulus is over
    _wrong_parts(patch, "folds")


def _no_current_of_response(patch: Patch) -> None:
    # the channels do not see the linear response as a voltage that drives current
    _wrong_parts(patch, "mean")


BRACKET_FAULTS: dict[str, Callable[[Patch], None]] = {
    "sodium conductance + 10 %": _membrane(lambda m: {"g_naf": 1.1 * m.g_naf}),
    "no persistent sodium": _membrane(lambda m: {"g_nap": 0.0}),
    "leak conductance doubled": _membrane(lambda m: {"g_l": 2 * m.g_l}),
    "sodium reversal not relative to rest": _membrane(lambda m: {"e_na": m.e_na - 80.0}),
    "temperature 36 instead of 37 C, m and p": _membrane(lambda m: {"q_m": m.q_m / 2.2**0.1}),
    "temperature 36 instead of 37 C, h": _membrane(lambda m: {"q_h": m.q_h / 2.9**0.1}),
    "temperature factors of m and h swapped": _membrane(lambda m: {"q_m": m.q_h, "q_h": m.q_m}),
    "gaps swapped": _published(_swapped_gaps),
    "lamellae halved": _lamellae,
    "node area from the radius": _cable(lambda c: {"c_node": 0.5 * c.c_node}),
    "node length 10 um": _cable(lambda c: {"c_node": 10 * c.c_node}),
    "axial conductance between node and MYSA doubled": _cable(_axial),
    "periaxonal conductance a tenth": _cable(lambda c: {"g_periaxonal": 0.1 * c.g_periaxonal}),
    "capacitance of the axolemma 1 uF/cm2": _cable(lambda c: {"c_axolemma": 0.5 * c.c_axolemma}),
    "leak of the MYSA like that of the STIN": _cable(lambda c: {"g_axolemma": np.minimum(c.g_axolemma, c.c_axolemma * 0.05)}),
    "drive of the odd modes with the wrong sign": _odd_drive,
    "a slow mode dropped": _slow_mode_dropped,
    "linear response not added to the rest": _no_fold,
    "linear response drives no channel current": _no_current_of_response,
    "modes by exponentials in a backward Euler run": _scheme,
    "potential with the wrong sign": _sign,
    "conductivities along and across swapped": _media_swapped,
    "potentials beside the compartments' ends": _centres,
    "course sampled at the end of the step": _sampled(lambda s: np.append(s[1:], 0.0)),
    "course one step too long": _sampled(lambda s: np.append(s[:1], s)),
    "milliseconds for seconds": _engine(_dt(1e-3)),
    "step doubled": _engine(_dt(2.0)),
    "stops with the pulse": _engine(_quiet),
    "two nodes fewer": _fewer,
}

TRACE_FAULTS: dict[str, Callable[[Patch], None]] = {
    "temperature 36 instead of 37 C, slow potassium": _membrane(lambda m: {"q_s": m.q_s / 3.0**0.1}),
    "potassium conductance + 1 %": _membrane(lambda m: {"g_k": 1.01 * m.g_k}),
    "course one step late": _sampled(lambda s: np.insert(s, 0, 0.0)),
}

END_FAULTS: dict[str, Callable[[Patch], None]] = {
    "left end's odd modes with the wrong sign": _end_sign,
    "ends not sealed": _end_open,
}

DETECTION_FAULTS: dict[str, Callable[[Patch], None]] = {
    "detected at the middle node": _engine(_middle_node),
    "detected one node further": _engine(_next_node),
}


def test_without_a_fault_all_checks_pass() -> None:
    assert worst_bracket() < oracle.MEASURED
    assert worst_trace() < 2e-6
    assert worst_short_fibre() < 1e-6
    assert worst_arrival() < 1.5


@pytest.mark.slow
@pytest.mark.parametrize("fault", BRACKET_FAULTS)
def test_brackets_catch(fault: str, monkeypatch: Patch) -> None:
    BRACKET_FAULTS[fault](monkeypatch)
    worst = worst_bracket()
    print(f"{fault}: {worst:.2e}")
    assert worst > oracle.PROMISE


@pytest.mark.parametrize("fault", TRACE_FAULTS)
def test_action_potential_catches(fault: str, monkeypatch: Patch) -> None:
    TRACE_FAULTS[fault](monkeypatch)
    worst = worst_trace()
    print(f"{fault}: {worst:.2e} mV")
    assert worst > 1e-3


@pytest.mark.parametrize("fault", END_FAULTS)
def test_short_fibre_catches(fault: str, monkeypatch: Patch) -> None:
    END_FAULTS[fault](monkeypatch)
    worst = worst_short_fibre()
    print(f"{fault}: {worst:.2e} mV")
    assert worst > 1e-3


@pytest.mark.parametrize("fault", DETECTION_FAULTS)
def test_arrival_catches(fault: str, monkeypatch: Patch) -> None:
    DETECTION_FAULTS[fault](monkeypatch)
    worst = worst_arrival()
    print(f"{fault}: {worst:.1f} steps")
    assert worst > 2.5
