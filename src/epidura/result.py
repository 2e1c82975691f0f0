"""What a run gives, and the numbers from the world that it stands on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from epidura import axon
from epidura import firing as follow
from epidura import transmission as gate
from epidura.case import Case
from epidura.delivery import Delivery, fact
from epidura.generator import Generator, Power, Violation, generator, limits
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
        deliveries: one cycle of each program at the electrodes, at the amplitudes of ``recruitment``; None where one is not known.
        firing: of each program in time; None where an amplitude is not known or none was asked for.
        transmission: what the pain gate makes of it; None where it was not run.
        outcome: pain and quality of life; None without a patient, or where none was asked for.
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
    deliveries: tuple[Delivery | None, ...] = ()
    firing: tuple[xr.Dataset | None, ...] = ()
    transmission: xr.Dataset | None = None
    outcome: xr.Dataset | None = None

    @property
    def generator(self) -> Generator | None:
        """That of the case."""
        return None if self.case.generator is None else generator(self.case.generator)

    def rows_of(self, program: int) -> range:
        """The rows of the trains of a program."""
        before = sum(len(one.trains) for one in self.case.programs[:program])
        return range(before, before + len(self.case.programs[program].trains))

    def power(self, program: int) -> Power | None:
        """What a program takes from the cell; None without a generator, an amplitude or charge that comes back."""
        delivery, own = self.deliveries[program] if self.deliveries else None, self.generator
        return None if delivery is None or own is None or delivery.added.any() else own.power(delivery, self.case.programs[program])

    def violations(self, program: int) -> tuple[Violation, ...]:
        """Limits of the generator that a program exceeds.

        An amplitude that follows from the fibres is not held against the generator's steps, nor a voltage that grows without end against its limit.
        """
        delivery, own, one = self.deliveries[program] if self.deliveries else None, self.generator, self.case.programs[program]
        if own is None:
            return ()
        found = own.violations(one, delivery, f"programs[{program}]")
        if delivery is None:
            return found

        def is_left_out(violation: Violation) -> bool:
            if violation.quantity == "voltage needed" and delivery.added.any():
                return True
            for k, (train, level) in enumerate(zip(one.trains, delivery.amplitude, strict=True)):
                path = f"programs[{program}]." + (f"interleaved[{k - 1}]." if k else "") + "amplitude"
                span = {"amplitude": own.amplitude, "burst amplitude": own.burst_amplitude}.get(violation.quantity)
                if violation.where == path and span is not None and train.amplitude.current is None and train.amplitude.voltage is None:
                    return span.low <= level <= span.high
            return False

        return tuple(violation for violation in found if not is_left_out(violation))

    def summary(self) -> dict[str, Any]:
        """The main figures as plain values, amplitudes in mA; ``interface`` only where the case has one."""
        found = {
            "title": self.case.title,
            "key": self.case.key(),
            "programs": [self._program(i) for i in range(len(self.case.rows))],
            "stimulation": [self._stimulation(i) for i in range(len(self.case.programs))],
            "gate": None if self.transmission is None else gate.summary(self.transmission),
            "outcome": None if self.outcome is None else _outcome(self.outcome),
            "impedance_ohm": self.lead_field.impedance.diagonal().round(3).tolist(),
            "timings_s": {verb: round(seconds, 3) for verb, seconds in self.timings.items()},
            "device": self.device,
            "accuracy": self.canal.accuracy,
            "field_error": None if self.field_error is None else {name: _finite(getattr(self.field_error, name))
                                                                  for name in ("potential", "second_difference", "impedance")},
            "versions": self.versions,
            "warnings": list(self.warnings),
        }
        if self.interface is not None and self.case.interface is not None:
            unverified = [f"{n.name}: {n.value:g} {n.unit}".removesuffix(" 1") for n in self.case.interface.numbers() if n.unverified]
            found["interface"] = {**self.case.interface.model_dump(mode="json"), "measured_at_Hz": float(self.interface.frequency),
                                  "unverified": unverified}
        return found

    def _stimulation(self, i: int) -> dict[str, Any]:
        """A program with all its trains: at the electrode, at the fibres, at the cell."""
        program = self.case.programs[i]
        delivery, fired = self.deliveries[i] if self.deliveries else None, self.firing[i] if self.firing else None
        found: dict[str, Any] = {"name": program.name}
        if delivery is not None:
            share = 1.0 if program.cycle is None else program.cycle.share
            # where charge stays behind, the voltage of the capacitors grows from cycle to cycle and has no value
            steady = not delivery.added.any()
            found |= {
                "balanced": steady,
                "compliance_V": _finite(delivery.compliance) if steady else None,
                "charge_per_phase_uC": _finite(float(delivery.charge_per_phase.max()) * 1e6),
                "charge_density_uC_cm2": _finite(float(delivery.charge_density[~np.isnan(delivery.charge_density)].max()) * 1e2),
                "shannon_k": _finite(delivery.shannon),
                "direct_current_uA": _finite(float(abs(delivery.direct_current).max()) * 1e6),
                "load_power_mW": _finite(delivery.energy / delivery.cycle * share * 1e3) if steady else None,
                "limits": [{"name": one.name, "value": None if one.unit == "V" and not steady else _finite(one.value), "limit": one.limit,
                            "unit": one.unit, "above": one.above, "unverified": one.unverified, "source": one.source}
                           for one in limits(delivery)],
            }
        if fired is not None:
            found["firing"] = follow.summary(fired)
        if self.generator is not None:
            found["violations"] = [str(one) for one in self.violations(i)]
            power = self.power(i)
            if power is not None:
                found["power"] = {"pulse_energy_J": power.pulse_energy_J, "stimulation_W": power.stimulation_W, "total_W": power.total_W,
                                  "life_years": power.life_years, "recharge_days": power.recharge_days, "words": list(power.words)}
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
        """(dermatome, side) that are felt at an amplitude in A; what no amplitude reaches is felt at none, infinity included."""
        thresholds = self.recruitment.dermatome_threshold.isel(program=program)
        return {(str(d), str(s)) for d in thresholds.dermatome.values for s in thresholds.body_side.values
                if np.isfinite(level := float(thresholds.sel(dermatome=d, body_side=s))) and level <= amplitude}


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


def _outcome(found: xr.Dataset) -> dict[str, Any]:
    """The main figures of the outcome: quantiles are 5, 25, 50, 75 and 95 %."""
    def told(values: xr.DataArray) -> list[float | None]:
        return [None if np.isnan(value) else round(float(value), 4) for value in values.values]

    programs = [{"name": str(name), "therapy": therapy, "trial_success": _finite(float(found.trial_success[i])) if therapy else None,
                 "months": [{"months": float(month), "pain": told(at.pain), "eq5d_index": told(at.eq5d_index), "odi_like": told(at.odi_like),
                             **{share: _finite(float(at[share])) if therapy else None for share in ("responder50", "responder30", "much_improved")}}
                            for month in found.month.values for at in (found.isel(program=i).sel(month=month),)],
                 "drivers": {str(one): _finite(float(found.driver_share[i].sel(driver=one))) if therapy else None for one in found.driver.values}}
                for i, (name, therapy) in enumerate(zip(found.program.values, found.attrs["therapy"], strict=True))]
    return {"programs": programs, "without_stimulation": [{"months": float(month), "pain": told(found.pain_without.sel(month=month))}
                                                          for month in found.month.values],
            "grade": found.attrs["grade"], "notes": list(found.attrs["notes"])}


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
    used.append(fact("coupling capacitor"))
    if case.generator is not None:
        used += generator(case.generator).numbers()
    if case.patient:
        used += case.patient.pain.numbers()
    if case.gate.seeds and case.firing.fibres:
        used += gate.used_numbers(case.circuit, case.gate, case.patient, case.programs)
    if case.patient and case.outcome.samples:
        used += case.outcome.numbers(case.patient)
    return tuple(dict.fromkeys(used))
