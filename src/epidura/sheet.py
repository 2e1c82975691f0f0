"""Everything that a program is at the electrodes, on one sheet: contacts, charges, voltages, limits, energy, and what a generator says to it.

Numbers beside named limits; nothing here is a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from epidura.delivery import Delivery, Electronics, deliver, volts_per_ampere
from epidura.errors import BadCase
from epidura.generator import Generator, Limit, Power, Violation, limits
from epidura.product import Floats, LeadField
from epidura.program import CASE, Amplitude, Program
from epidura.recipe import read_recipe
from epidura.schedule import cycle_of
from epidura.units import format_quantity


@dataclass(frozen=True)
class Sheet:
    """One program on one lead field.

    Attributes:
        program: as it was examined.
        delivery: one cycle, settled, at full amplitude.
        resistance: V per A between the sides of its own train, ohm.
        limits: its figures beside the named limits.
        generator: that it was examined for; None: none, and what follows is empty.
        violations: limits of the generator that it exceeds.
        nearest: the nearest program that the generator can deliver, and what was changed or why there is none.
        power: from the cell.
    """

    program: Program
    delivery: Delivery
    resistance: float
    limits: tuple[Limit, ...]
    generator: Generator | None = None
    violations: tuple[Violation, ...] = ()
    nearest: tuple[Program | None, tuple[str, ...]] = (None, ())
    power: Power | None = None

    def summary(self) -> dict[str, Any]:
        """The sheet as JSON; units are in the keys."""
        d, share = self.delivery, 1.0 if self.program.cycle is None else self.program.cycle.share
        energy = d.energy / d.cycle
        return {
            "name": self.program.name,
            "trains": [{"waveform": train.waveform.words(), "contacts": train.words(), "amplitude": str(train.amplitude)}
                       for train in self.program.trains],
            "words": list(train_words(self.program)),
            "sources": self.program.sources,
            "schedule": list(schedule_words(self.program)),
            "cycle_ms": d.cycle * 1e3,
            "pulses_per_second": d.pulses_per_second,
            "contacts": list(self._contacts()),
            "resistance_ohm": self.resistance,
            "voltage_needed_V": d.compliance,
            "voltage_limit": self._voltage_limit(),
            "shannon_k": _finite(d.shannon),
            "limits": [{"name": one.name, "quantity": one.quantity, "value": _finite(one.value), "limit": one.limit, "unit": one.unit,
                        "above": one.above, "source": one.source, "unverified": one.unverified, "note": one.note} for one in self.limits],
            "energy_per_pulse_uJ": energy / d.pulses_per_second * 1e6,
            "mean_power_uW": energy * share * 1e6,
            "power": None if self.power is None else {
                "pulse_energy_uJ": _pair(self.power.pulse_energy_J, 1e6), "stimulation_uW": _pair(self.power.stimulation_W, 1e6),
                "total_uW": _pair(self.power.total_W, 1e6), "life_years": _pair(self.power.life_years),
                "recharge_days": _pair(self.power.recharge_days), "words": list(self.power.words)},
            "violations": [{"where": one.where, "quantity": one.quantity, "got": one.got, "allowed": one.allowed, "source": one.source,
                            "unverified": one.unverified, "words": str(one)} for one in self.violations],
            "nearest": self._nearest(),
        }

    def _contacts(self) -> Iterator[dict[str, Any]]:
        d = self.delivery
        for k, number in enumerate(d.contacts):
            current, terminals = current_course(d, k)[1], d.record.terminals[:, :, k]
            there = terminals[np.isfinite(terminals)]
            yield {
                "contact": "case" if number == CASE else number,
                "cathodic_mA": float(current.min()) * 1e3, "anodic_mA": float(current.max()) * 1e3,
                "lowest_V": float(there.min(initial=0.0)), "highest_V": float(there.max(initial=0.0)),
                "charge_per_phase_uC": float(d.charge_per_phase[k]) * 1e6,
                "area_mm2": None if number == CASE else float(d.area[k]) * 1e6,
                "charge_density_uC_cm2": None if number == CASE else float(d.charge_density[k]) * 1e2,
                "residual_charge_nC": float(d.residual[k]) * 1e9, "direct_current_uA": float(d.direct_current[k]) * 1e6,
            }

    def _voltage_limit(self) -> dict[str, Any] | None:
        if self.generator is None:
            return None
        found = [one for train in self.program.trains if (one := self.generator.voltage_limit(train.waveform)) is not None]
        if not found:
            return None
        volts, words, source, unverified = min(found, key=lambda one: one[0])
        return {"limit_V": volts, "words": words, "source": source, "unverified": unverified, "above": self.delivery.compliance > volts}

    def _nearest(self) -> dict[str, Any] | None:
        if not self.violations:
            return None
        program, words = self.nearest
        return {"program": None if program is None else program.model_dump(mode="json"), "words": list(words)}


def _pair(pair: tuple[float, float] | None, scale: float = 1.0) -> list[float | None] | None:
    return None if pair is None else [_finite(value * scale) for value in pair]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def examine(program: Program, lead_field: LeadField, generator: Generator | None = None, where: str = "") -> Sheet:
    """All figures of a program on a lead field, and on a generator if one is given.

    Args:
        where: path of the program in its file, for errors.

    Raises:
        BadCase: contacts that do not exist, an amplitude that is not known without the fibres, trains that do not fit.
    """
    electronics = Electronics() if generator is None else generator.electronics()
    front = f"{where}." if where else ""
    delivery = deliver(program, lead_field, electronics=electronics, where=front)
    found = limits(delivery)
    resistance = volts_per_ampere(program, lead_field, electronics)
    if generator is None:
        return Sheet(program, delivery, resistance, found)
    violations = generator.violations(program, delivery, where)
    nearest = generator.nearest(program, delivery) if violations else (program, ())
    return Sheet(program, delivery, resistance, found, generator, violations, nearest, generator.power(delivery, program))


def at_amplitude(program: Program, amplitude: str, where: str = "") -> Program:
    """The program with this amplitude in all its trains.

    Raises:
        BadInput: no current or voltage, or one that the program does not allow.
    """
    text = program.model_dump(mode="json")
    changed: Program = read_recipe(Program, {**text, "amplitude": amplitude,
                                             "interleaved": [{**train, "amplitude": amplitude} for train in text["interleaved"]]})
    if changed.amplitude.current is None and changed.amplitude.voltage is None:
        raise BadCase("amplitude", "hangs on the perception threshold", got=amplitude, allowed="a current such as 4 mA, or a voltage such as 3 V")
    return changed


def current_course(delivery: Delivery, electrode: int) -> tuple[Floats, Floats]:
    """Points of a line: s, A. Constant where sources force a current; where it decays, through the middles of its pieces.

    The ends of a decay are extrapolated from the two pieces next to them; at the beginning that is within 1 % of the current there.
    """
    edges, current = delivery.record.edges, delivery.record.current[:, electrode]
    starts = np.flatnonzero(np.diff(delivery.record.phase, prepend=-1))
    x, y = [], []
    for a, b in zip(starts, [*starts[1:], len(current)], strict=True):
        own, at = current[a:b], edges[a : b + 1]
        if b - a == 1:
            x.append(at)
            y.append(np.repeat(own, 2))
            continue
        middle = 0.5 * (at[1:] + at[:-1])
        first = own[0] + (own[0] - own[1]) * (middle[0] - at[0]) / (middle[1] - middle[0])
        last = own[-1] + (own[-1] - own[-2]) * (at[-1] - middle[-1]) / (middle[-1] - middle[-2])
        x.append(np.concatenate([at[:1], middle, at[-1:]]))
        y.append(np.concatenate([[first], own, [last if last * own[-1] > 0 else own[-1]]]))  # it does not decay beyond 0
    return np.concatenate(x), np.concatenate(y)


def train_words(program: Program) -> tuple[str, ...]:
    """Waveform, contacts and amplitude, one line a train."""
    lines = tuple(f"{train.waveform.words()}; {train.words()}; {train.amplitude}" for train in program.trains)
    return lines if len(lines) == 1 else tuple(f"train {i}: {line}" for i, line in enumerate(lines, 1))


def schedule_words(program: Program) -> tuple[str, ...]:
    """When pulses come, one line for each thing."""
    lines = []
    for i, train in enumerate(program.trains):
        one = train.waveform
        name = "" if len(program.trains) == 1 else f"train {i + 1}: "
        rest = "contacts joined in between" if one.passive else "contacts open in between"
        lasting = one.pulse().end
        full = abs(lasting - one.period) < 1e-9
        lines.append(f"{name}a pulse or packet of {_micro(lasting)} every {_micro(one.period)}" + ("" if full else f", {rest}"))
    if len(program.trains) > 1:
        lines.append(f"{len(program.trains)} trains run together and never overlap; all repeat after {_micro(cycle_of(program))}")
    if program.cycle is not None:
        lines.append(f"in turns: {format_quantity(program.cycle.on, 'time')} on, {format_quantity(program.cycle.off, 'time')} off "
                     f"({program.cycle.share:.3g} of the time)")
    else:
        lines.append("always on")
    if program.ramp_up:
        lines.append(f"amplitude rises over {format_quantity(program.ramp_up, 'time')} whenever it is switched on")
    if program.most is not None:
        lines.append(f"the patient can set at most {format_quantity(program.most, 'current', 'mA')}")
    return tuple(lines)


def _micro(time: float) -> str:
    return format_quantity(round(time, 9), "time")


def unknown_amplitudes(program: Program) -> list[str]:
    """Paths of the amplitudes that hang on the perception threshold."""
    paths = ["amplitude", *(f"interleaved[{i}].amplitude" for i in range(len(program.interleaved)))]
    return [path for path, train in zip(paths, program.trains, strict=True) if _hangs(train.amplitude)]


def _hangs(amplitude: Amplitude) -> bool:
    return amplitude.current is None and amplitude.voltage is None
