"""What a run gives, and the numbers from the world that it stands on."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import xarray as xr

from epidura import axon
from epidura.case import Case
from epidura.interface import returns_far, verdict
from epidura.product import Canal, FieldError, LeadField
from epidura.tables import Number

CASE_WORDS = "the case of the generator is the far boundary of the model: what its own surface and interface add is not in these numbers"


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
        interface: what the interface of the contacts adds; None: the case has none.
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
    interface: xr.Dataset | None = None

    def summary(self) -> dict[str, Any]:
        """The main figures as plain values, amplitudes in mA; ``interface`` only where the case has one."""
        found = {
            "title": self.case.title,
            "key": self.case.key(),
            "programs": [self._program(i) for i in range(len(self.case.rows))],
            "impedance_ohm": self.lead_field.impedance.diagonal().round(3).tolist(),
            "timings_s": {verb: round(seconds, 3) for verb, seconds in self.timings.items()},
            "device": self.device,
            "accuracy": self.canal.accuracy,
            "field_error": None if self.field_error is None else {name: _finite(value) for name, value in asdict(self.field_error).items()},
            "versions": self.versions,
            "warnings": list(self.warnings),
        }
        if self.interface is not None and self.case.interface is not None:
            unverified = [f"{n.name}: {n.value:g} {n.unit}".removesuffix(" 1") for n in self.case.interface.numbers() if n.unverified]
            found["interface"] = {**self.case.interface.model_dump(mode="json"), "measured_at_Hz": float(self.interface.frequency),
                                  "unverified": unverified}
        return found

    def _program(self, i: int) -> dict[str, Any]:
        at = self.recruitment.isel(program=i)
        pain = self.case.patient.pain.dermatomes() if self.case.patient else {}
        amplitude = float(at.programmed_amplitude)
        felt, widest = self.felt(i, amplitude), self.felt(i, float(at.discomfort_threshold))
        found = {
            "name": self.case.rows[i].name,
            "perception_threshold_mA": _milli(at.perception_threshold),
            "discomfort_threshold_mA": _milli(at.discomfort_threshold),
            "amplitude_mA": _milli(at.programmed_amplitude),
            "rheobase_mA": _milli(at.rheobase),
            "chronaxie_us": _finite(float(at.chronaxie) * 1e6),
            "felt": [f"{side} {name}" for name, side in sorted(felt, key=lambda place: ("CTLS".index(place[0][0]), int(place[0][1:]), place[1]))],
            "pain_covered": _finite(len(felt & pain.keys()) / len(pain)) if pain else None,
            "pain_covered_at_discomfort": _finite(len(widest & pain.keys()) / len(pain)) if pain else None,
        }
        return found if self.interface is None else {**found, "interface": _at_interface(self.interface.isel(program=i))}

    def felt(self, program: int, amplitude: float) -> set[tuple[str, str]]:
        """(dermatome, side) that are felt at an amplitude in A."""
        thresholds = self.recruitment.dermatome_threshold.isel(program=program)
        return {(str(d), str(s)) for d in thresholds.dermatome.values for s in thresholds.body_side.values
                if float(thresholds.sel(dermatome=d, body_side=s)) <= amplitude}


def _at_interface(at: xr.Dataset) -> dict[str, Any]:
    """What the interface adds for one program: only the contacts in use."""
    drive = {int(number): float(value) for number, value in zip(at.contact.values, at.drive.values, strict=True) if value != 0}
    wagner = {number: float(at.wagner.sel(contact=number)) for number in drive}
    far = returns_far(at.drive.values)

    def ohm(a: int, b: int) -> dict[str, float | None]:
        return {f"{name}_ohm": _finite(float(at[f"{name}_impedance"].sel(contact=a, contact_=b))) for name in ("tissue", "measured")}

    return {
        "pairs": [{"contacts": [a, b], **ohm(a, b)} for a in drive for b in drive if drive[a] < 0 < drive[b]],
        "to_case": [{"contact": a, **ohm(a, a)} for a in drive],
        "uses_case": far,
        "phase_ends_us": _finite(float(at.phase) * 1e6),
        "tissue_voltage_V": _finite(float(at.tissue_voltage)),
        "voltage_V": _finite(float(at.voltage)),
        "pulse_frequency_Hz": _finite(float(at.pulse_frequency)),
        "wagner": {str(number): _finite(value) for number, value in wagner.items()},
        "field": f"Wagner number {max(wagner.values()):.2g}, {verdict(max(wagner.values()))}",
        **({"case": CASE_WORDS} if far else {}),
    }


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
    if case.interface is not None:
        used += case.interface.numbers()
    if case.patient:
        used += case.patient.pain.numbers()
    return tuple(dict.fromkeys(used))
