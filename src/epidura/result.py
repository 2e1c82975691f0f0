"""What a run gives, and the numbers from the world that it stands on."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import xarray as xr

from epidura import axon
from epidura.case import Case
from epidura.product import Canal, FieldError, LeadField
from epidura.tables import Number


@dataclass(frozen=True)
class Result:
    """Everything that a run gave.

    Attributes:
        case: what was run.
        canal: geometry, tissues and mesh.
        lead_field: volts per ampere of every contact.
        recruitment: thresholds, perception, discomfort, coverage.
        timings: seconds per verb.
        versions: of Epidura and of what computed it.
        device: where it was computed.
        warnings: what a reader should know.
        numbers: every number from the tables that was used.
        field_error: how far the field differs from a coarser one on the fibres in use; None: not compared.
    """

    case: Case
    canal: Canal
    lead_field: LeadField
    recruitment: xr.Dataset
    timings: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    device: str = "cpu"
    warnings: tuple[str, ...] = ()
    numbers: tuple[Number, ...] = ()
    field_error: FieldError | None = None

    def summary(self) -> dict[str, Any]:
        """The main figures as plain values, amplitudes in mA."""
        return {
            "title": self.case.title,
            "key": self.case.key(),
            "programs": [self._program(i) for i in range(len(self.case.programs))],
            "impedance_ohm": self.lead_field.impedance.diagonal().round(3).tolist(),
            "timings_s": {verb: round(seconds, 3) for verb, seconds in self.timings.items()},
            "device": self.device,
            "accuracy": self.canal.accuracy,
            "field_error": None if self.field_error is None else {name: _finite(value) for name, value in asdict(self.field_error).items()},
            "versions": self.versions,
            "warnings": list(self.warnings),
        }

    def _program(self, i: int) -> dict[str, Any]:
        at = self.recruitment.isel(program=i)
        pain = self.case.patient.pain.dermatomes() if self.case.patient else {}
        amplitude = float(at.programmed_amplitude)
        felt, widest = self.felt(i, amplitude), self.felt(i, float(at.discomfort_threshold))
        return {
            "name": self.case.programs[i].name,
            "perception_threshold_mA": _milli(at.perception_threshold),
            "discomfort_threshold_mA": _milli(at.discomfort_threshold),
            "amplitude_mA": _milli(at.programmed_amplitude),
            "rheobase_mA": _milli(at.rheobase),
            "chronaxie_us": _finite(float(at.chronaxie) * 1e6),
            "felt": [f"{side} {name}" for name, side in sorted(felt, key=lambda place: ("CTLS".index(place[0][0]), int(place[0][1:]), place[1]))],
            "pain_covered": _finite(len(felt & pain.keys()) / len(pain)) if pain else None,
            "pain_covered_at_discomfort": _finite(len(widest & pain.keys()) / len(pain)) if pain else None,
        }

    def felt(self, program: int, amplitude: float) -> set[tuple[str, str]]:
        """(dermatome, side) that are felt at an amplitude in A."""
        thresholds = self.recruitment.dermatome_threshold.isel(program=program)
        return {(str(d), str(s)) for d in thresholds.dermatome.values for s in thresholds.body_side.values
                if float(thresholds.sel(dermatome=d, body_side=s)) <= amplitude}


def _milli(value: Any) -> float | None:
    return _finite(float(value) * 1e3)


def _finite(value: float) -> float | None:
    """JSON has no infinity: a threshold that is not reached is null."""
    return round(value, 6) if abs(value) < float("inf") else None


def used_numbers(case: Case, canal: Canal) -> tuple[Number, ...]:
    """Every number from the tables that a case uses, each once."""
    used = [*canal.numbers, *(n for tissues in (canal.tissues, *canal.along) for tissue in tissues for n in tissue.numbers),
            *(n for population in case.fibres for n in population.numbers()), *case.rules.numbers()]
    for kind in dict.fromkeys(population.axon for population in case.fibres):
        used += axon.family.read({"kind": kind}).numbers()
    if case.patient:
        used += case.patient.pain.numbers()
    return tuple(dict.fromkeys(used))
