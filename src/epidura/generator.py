"""The catalogue of pulse generators at work: what each can deliver, what a program takes from its cell, and what has a named limit.

Everything is read from data/generators.csv, data/generator_facts.csv and data/electrical_limits.csv. What a table does not know about a generator
is not enforced; ``Generator.unknown`` lists it. Figures stand beside named limits; nothing here says that a program is safe.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from epidura.battery import Battery, Statement, power
from epidura.battery import Power as Power
from epidura.delivery import Delivery, Electronics
from epidura.errors import BadCase, BadInput, join_path, nearest
from epidura.program import CASE, Amplitude, Program, Train
from epidura.ranges import SAME, SCALE, Range, number_of
from epidura.recipe import read_recipe
from epidura.schedule import cycle_of, impulses
from epidura.tables import UNVERIFIED, Number, table
from epidura.units import SI, parse
from epidura.waveform import Waveform

FINEST = {"mA": 1e-6, "V": 1e-3, "us": 1e-6}
"""To what a value that has to fit something is rounded down where no step is known, SI."""

ENFORCED = ("control", "independent sources", "contacts", "case as electrode", "areas", "amplitude", "amplitude step", "contact amplitude",
            "charge per pulse", "pulse width", "pulse width step", "frequency", "frequency step", "frequency of several programs",
            "closed-loop frequency", "burst frequency", "intra-burst frequency", "burst amplitude", "burst pulse width", "recharge", "compliance")
"""Quantities of data/generators.csv that decide whether a program can be delivered."""
ENERGY = ("capacity", "cell voltage")
STATED = ("stated life", "life at", "stated recharge interval", "recharge at")

_LOAD = re.compile(r"(?P<current>[\d.]+ mA) into (?P<load>\d+ ohm)(?: at (?P<width>\d+ us) and (?P<rate>\d+ Hz))?")


@dataclass(frozen=True)
class Violation:
    """One limit of a generator that a program exceeds.

    Attributes:
        where: path of the value.
        quantity: which limit.
        got, allowed: with units.
        source: of the limit.
        unverified: whether the limit is from memory or a judgement.
        model: of the generator.
    """

    where: str
    quantity: str
    got: str
    allowed: str
    source: str
    unverified: bool
    model: str = ""

    def __str__(self) -> str:
        front = f"{self.where}: " if self.where else ""
        doubt = ", unverified" if self.unverified else ""
        return f"{front}{self.quantity} {self.got}; {self.model} allows {self.allowed} ({self.source}{doubt})"


@dataclass(frozen=True)
class Load:
    """A stated output: a current into a resistance, for pulses up to a width and a rate if they are named.

    Attributes:
        voltage: V.
        width, rate: s and Hz; inf where they are not named.
        row: of data/generators.csv.
    """

    voltage: float
    width: float
    rate: float
    row: dict[str, str]

    @classmethod
    def of(cls, row: dict[str, str]) -> Load:
        found = _LOAD.fullmatch(row["value"])
        assert found, row
        named = found["width"] is not None
        return cls(parse(found["current"], "current") * parse(found["load"], "resistance"),
                   parse(found["width"], "time") if named else math.inf, parse(found["rate"], "frequency") if named else math.inf, row)


@dataclass(frozen=True)
class Limit:
    """A figure beside a named limit. Reported; it is not a verdict.

    Attributes:
        name: of the limit, a row of data/electrical_limits.csv.
        quantity: what was compared.
        value, limit: in ``unit``.
        above: whether the value is above the limit; of a least value that is as it should be.
        source: of the limit.
        unverified: whether the limit is from memory or a judgement.
        note: of the table.
    """

    name: str
    quantity: str
    value: float
    limit: float
    unit: str
    above: bool
    source: str
    unverified: bool
    note: str


@dataclass(frozen=True)
class _Setting:
    """One setting of a waveform, the field of the recipe that holds it, and the range of the generator."""

    field: str
    quantity: str
    value: float
    range: Range | None

    @property
    def held(self) -> bool:
        return self.range is None or self.range.holds(self.value)


@dataclass(frozen=True)
class Generator:
    """A model of the catalogue.

    Attributes:
        model, manufacturer: names.
        battery: ``primary``, ``rechargeable`` or ``external``.
        control: ``current`` or ``voltage``; empty where it is not known.
        contacts: most that its leads can have; of several models of one name that with the most.
        case: ``yes``, ``anode`` or ``no``: what the case can be in the first phase of a pulse; empty where it is not known.
        amplitude: of a program, A or V; ``contact_amplitude`` of one contact.
        pulse_width, frequency: s and Hz, of all but bursts; several_frequency of trains that run together, loop_frequency in closed loop.
        burst_frequency, intra_frequency, burst_amplitude, burst_pulse_width: of packets. Where these or the last two are not stated those of
            other pulses are taken.
        areas: most trains of a program.
        compliance: V, as in the table; ``voltage_limit`` says what holds for a waveform.
        independent: whether every contact has a source of its own.
        recharge: ``active``, ``passive`` or ``both``; empty where it is not known.
        charge: of a phase, C.
        capacity: of the cell, C or J. ``cell``: its voltage, V.
        loads: stated outputs.
        statements: of the manufacturer on life and charging.
        rows: of data/generators.csv.
    """

    model: str
    manufacturer: str
    battery: str
    control: str
    contacts: int | None
    case: str
    amplitude: Range | None
    contact_amplitude: Range | None
    pulse_width: Range | None
    frequency: Range | None
    several_frequency: Range | None
    loop_frequency: Range | None
    burst_frequency: Range | None
    intra_frequency: Range | None
    burst_amplitude: Range | None
    burst_pulse_width: Range | None
    areas: Range | None
    compliance: Range | None
    independent: bool | None
    recharge: str
    charge: Range | None
    capacity: Range | None
    cell: Range | None
    loads: tuple[Load, ...] = field(repr=False, compare=False)
    statements: tuple[Statement, ...] = field(repr=False, compare=False)
    rows: tuple[dict[str, str], ...] = field(repr=False, compare=False)

    def _row(self, quantity: str) -> dict[str, str]:
        return next(row for row in self.rows if row["quantity"] == quantity)

    def numbers(self) -> tuple[Number, ...]:
        """All numbers of the table that are enforced or that the power rests on."""
        return tuple(number_of(f"{row['quantity']} of {self.model}", row, "generators")
                     for row in self.rows if row["quantity"] in (*ENFORCED, *ENERGY, *STATED) and row["unit"])

    def unknown(self) -> tuple[str, ...]:
        """Quantities that nothing was found about: they are not enforced, or not counted."""
        have = {row["quantity"] for row in self.rows} | ({"compliance"} if self.loads else set())
        return tuple(quantity for quantity in (*ENFORCED, *ENERGY) if quantity not in have)

    def electronics(self) -> Electronics:
        """Capacitors and wires. No value of a commercial generator was found: what data/generator_facts.csv has for all."""
        return Electronics()

    # what it can deliver

    def _settings(self, waveform: Waveform, several: bool) -> tuple[_Setting, ...]:
        """What the generator limits of a waveform, of one train or of several that run together."""
        rate, width = 1.0 / waveform.period, width_of(waveform)
        own = "pulse_width" if "pulse_width" in type(waveform).model_fields else ""
        if not _packets(waveform):
            name, rates = "frequency", self.frequency
            if several and self.several_frequency:
                name, rates = "frequency of several programs", self.several_frequency
            elif "target" in type(waveform).model_fields and self.loop_frequency:
                name, rates = "closed-loop frequency", self.loop_frequency
            return (_Setting("frequency", name, rate, rates), _Setting(own, "pulse width", width, self.pulse_width))
        found = [_Setting("frequency", "burst frequency", rate, self.burst_frequency or self.frequency),
                 _Setting(own, "burst pulse width", width, self.burst_pulse_width or self.pulse_width)]
        if waveform.pulses > 1:  # type: ignore[attr-defined]
            found.append(_Setting("intra_frequency", "intra-burst frequency", fastest(waveform), self.intra_frequency or self.frequency))
        return tuple(found)

    def _amplitude(self, waveform: Waveform) -> tuple[str, Range | None]:
        if _packets(waveform) and self.burst_amplitude:
            return "burst amplitude", self.burst_amplitude
        return "amplitude", self.amplitude

    def voltage_limit(self, waveform: Waveform) -> tuple[float, str, str, bool] | None:
        """Largest voltage between the electrodes: V, in words, source, unverified; None where it is not known.

        Of several stated outputs the largest that is stated for pulses as wide and as fast as these or more so; without one the smallest.
        """
        width, rate = width_of(waveform), fastest(waveform)
        found: list[tuple[float, dict[str, str]]] = []
        if self.loads:
            fit = [load for load in self.loads if width <= load.width * (1 + SAME) and rate <= load.rate * (1 + SAME)]
            chosen = max(fit, key=lambda load: load.voltage) if fit else min(self.loads, key=lambda load: load.voltage)
            found.append((chosen.voltage, chosen.row))
        note = ""
        if self.compliance is not None:
            row = self._row("compliance")
            note = row["note"]
            if row["evidence"] != "computed" or not self.loads:  # a computed one repeats the stated outputs
                found.append((float(row["value"] or row["low"] or row["high"]), row))
        if not found:
            return None
        volts, row = max(found, key=lambda pair: pair[0])
        stated = "; ".join(text for text in (row["value"] if row["quantity"] == "load limit" else "", note) if text)
        return volts, f"up to {volts:.4g} V" + (f" [{stated}]" if stated else ""), row["source"], row["evidence"] in UNVERIFIED

    def violations(self, program: Program, delivery: Delivery | None = None, where: str = "") -> tuple[Violation, ...]:
        """Every limit of the generator that a program exceeds.

        Args:
            delivery: of the program; gives amplitudes that hang on perception, currents of single contacts, and the voltage that is needed.
            where: path of the program.
        """
        return tuple(self._violations(program, delivery, where))

    def _violations(self, program: Program, delivery: Delivery | None, where: str) -> Iterator[Violation]:
        def against(path: str, quantity: str, value: float, own: Range, most: str = "") -> Violation:
            number = own.number
            return Violation(join_path(where, path), quantity, own.text(value), most or own.words(), number.source, number.unverified, self.model)

        def choice(path: str, quantity: str, got: str, allowed: str, of: str) -> Violation:
            row = self._row(of)
            return Violation(join_path(where, path), quantity, got, allowed, row["source"], row["evidence"] in UNVERIFIED, self.model)

        used = {number for train in program.trains for number, fraction in train.contacts.items() if fraction and number != CASE}
        if self.contacts is not None and len(used) > self.contacts:
            row = self._row("contacts")
            yield choice("contacts", "number of contacts", str(len(used)), f"up to {row['high'] or row['value']}", "contacts")
        role = self._case_role(program)
        if role:
            yield choice("contacts.case", "case as electrode", role, {"no": "none", "anode": "anode only"}[self.case], "case as electrode")
        if self.areas is not None and len(program.trains) > self.areas.high:
            yield against("interleaved", "number of areas (trains)", len(program.trains), self.areas, f"up to {self.areas.high:g}")
        if self._sources(program) != program.sources:
            yield choice("sources", "sources", program.sources, "single", "independent sources" if self.independent is False else "control")
        if program.most is not None and self.control != "voltage":
            quantity, own = self._amplitude(program.waveform)
            if own is not None and not own.holds(program.most):
                yield against("most", f"largest {quantity} of the patient", program.most, own)
        for i, train in enumerate(program.trains):
            front = "" if i == 0 else f"interleaved[{i - 1}]"
            for setting in self._settings(train.waveform, len(program.trains) > 1):
                if setting.range is not None and not setting.held:
                    path = f"waveform.{setting.field}" if setting.field else "waveform"
                    yield against(join_path(front, path), setting.quantity, setting.value, setting.range)
            if other := self._other_recharge(train.waveform):
                yield choice(join_path(front, "waveform"), "recharge", recharge_of(train.waveform), other, "recharge")
            level = self._level(train, delivery, i)
            if level is None:
                continue
            path = join_path(front, "amplitude")
            control = "voltage" if train.amplitude.voltage is not None else "current"
            if self.control and control != self.control:
                unit = "V" if control == "voltage" else "mA"
                yield choice(path, "control", f"by {control}, {level / float(SCALE[unit]):.6g} {unit}",
                             f"by {self.control} only; the impedance decides how much that is", "control")
                continue
            quantity, own = self._amplitude(train.waveform)
            if own is not None and not own.holds(level):
                yield against(path, quantity, level, own)
            share = self._share(program, train, delivery, i)
            if self.contact_amplitude is not None and share is not None and share * level > self.contact_amplitude.high * (1 + SAME):
                yield against(path, "amplitude of one contact", share * level, self.contact_amplitude)
            if self.charge is not None and control == "current" and phase_of(train.waveform) * level > self.charge.high * (1 + SAME):
                yield against(path, "charge of a phase", phase_of(train.waveform) * level, self.charge)
            limit = self.voltage_limit(train.waveform)
            if delivery is not None and limit is not None and (need := _needed(delivery, i)) > limit[0] * (1 + SAME):
                yield Violation(join_path(where, path), "voltage needed", f"{need:.4g} V", limit[1], limit[2], limit[3], self.model)

    def _case_role(self, program: Program) -> str:
        """What the case is in the first phases and cannot be; nothing where all is well or it is not known."""
        sides = {"cathode" if fraction < 0 else "anode" for train in program.trains for number, fraction in train.contacts.items()
                 if number == CASE and fraction}
        return " and ".join(sorted(sides - {"no": set(), "anode": {"anode"}}.get(self.case, sides)))

    def _other_recharge(self, waveform: Waveform) -> str:
        """The recharge that a waveform has to have instead of its own; nothing where its own will do or it is not known."""
        kind = recharge_of(waveform)
        if kind == self.recharge or not self.recharge or (self.recharge == "both" and kind != "none"):
            return ""
        return "active" if self.recharge == "both" else self.recharge

    def _sources(self, program: Program) -> str:
        """What the sources of a program have to be on this generator; what they are where both will do or it is not known."""
        several = any(abs(fraction) < 1 for train in program.trains for fraction in train.contacts.values() if fraction)
        return "single" if several and (self.independent is False or self.control == "voltage") else program.sources

    def _level(self, train: Train, delivery: Delivery | None, which: int) -> float | None:
        """Amplitude of a train, A or V, as far as it is known."""
        if delivery is not None:
            return delivery.amplitude[which]
        return train.amplitude.current if train.amplitude.current is not None else train.amplitude.voltage

    def _share(self, program: Program, train: Train, delivery: Delivery | None, which: int) -> float | None:
        """Largest current of one contact per amplitude; None where tissue that is not known decides it, or a voltage."""
        if train.amplitude.voltage is not None:
            return None
        if delivery is not None:
            pieces = delivery.driven & (delivery.train == which)
            at = [k for k, number in enumerate(delivery.contacts) if number != CASE]
            flow = np.abs(delivery.record.current[pieces][:, at]).max(initial=0.0) / delivery.amplitude[which]
            return float(flow / np.abs(train.waveform.pulse().values).max())
        sides = [[abs(f) for n, f in train.contacts.items() if f * sign > 0] for sign in (-1, 1)]
        if program.sources == "single" and max(map(len, sides)) > 1:
            return None
        return max((abs(f) for n, f in train.contacts.items() if n != CASE), default=0.0)

    def require(self, program: Program, delivery: Delivery | None = None, where: str = "") -> None:
        """Refuse a program that the generator cannot deliver.

        Raises:
            BadInput: naming the first limit, its source, and how many more there are.
        """
        found = self.violations(program, delivery, where)
        if found:
            first = found[0]
            more = f"; {len(found) - 1} more" if len(found) > 1 else ""
            raise BadInput(first.where, f"{first.quantity} is not what {self.model} can deliver", got=first.got, allowed=first.allowed,
                           hint=f"source: {first.source}{' (unverified)' if first.unverified else ''}{more}")

    # the nearest program

    def nearest(self, program: Program, delivery: Delivery | None = None) -> tuple[Program | None, tuple[str, ...]]:
        """The nearest program that the generator can deliver, and in words what was changed; None and why where there is none.

        Amplitudes are only lowered. Widths and rates go to the nearest setting; a recharge that then does not fit is refitted.

        Args:
            delivery: of the program as it is; amplitudes are then lowered, all alike, to the voltage that the generator has. Where widths were
                changed as well the result wants a delivery of its own.
        """
        hopeless = [v for v in self.violations(program, delivery) if v.quantity in
                    ("number of contacts", "number of areas (trains)", "control", "case as electrode")]
        if hopeless:
            return None, tuple(map(str, hopeless))
        changes: list[str] = []
        try:
            made = self._fitted(program, delivery, changes)
            if changes and len(made.trains) > 1:
                for _ in impulses(made.model_copy(update={"cycle": None, "ramp_up": 0.0}), cycle_of(made)):
                    pass  # refuses trains that do not fit between each other
        except BadInput as failure:
            return None, (str(failure),)
        left = self.violations(made)
        return (None, tuple(map(str, left))) if left else (made, tuple(changes))

    def _fitted(self, program: Program, delivery: Delivery | None, changes: list[str]) -> Program:
        scale = 1.0
        if delivery is not None:
            for i, train in enumerate(program.trains):
                limit = self.voltage_limit(train.waveform)
                if limit is not None and (need := _needed(delivery, i)) > limit[0] * (1 + SAME):
                    scale = min(scale, limit[0] / need * (1 - SAME))
        sources = self._sources(program)
        if sources != program.sources:
            changes.append(f"sources: {program.sources} -> {sources}; the tissue now decides how the current splits")
            program = program.model_copy(update={"sources": sources})
        trains = []
        for i, train in enumerate(program.trains):
            front = "" if i == 0 else f"interleaved[{i - 1}]"
            waveform = self._waveform(train.waveform, len(program.trains) > 1, join_path(front, "waveform"), changes)
            amplitude = self._lowered(program, train, waveform, delivery, i, scale, join_path(front, "amplitude"), changes)
            trains.append({"waveform": waveform.model_dump(mode="json"), "amplitude": str(amplitude)})
        update: dict[str, Any] = dict(trains[0])
        if program.most is not None and self.control != "voltage":
            _, own = self._amplitude(program.waveform)
            if own is not None and not own.holds(program.most):
                most = own.below(program.most)
                if not most:
                    raise BadCase("most", f"is below what {self.model} can do", got=own.text(program.most), allowed=own.words())
                changes.append(f"most: {own.text(program.most)} -> {own.text(most)} ({own.words()})")
                update["most"] = own.text(most)
        if not changes:
            return program
        text = program.model_dump(mode="json")
        text["interleaved"] = [{**old, **new} for old, new in zip(text["interleaved"], trains[1:], strict=True)]
        made: Program = read_recipe(Program, {**text, **update})
        return made

    def _waveform(self, waveform: Waveform, several: bool, path: str, changes: list[str]) -> Waveform:
        """A waveform with settings that there are, and a recharge that fits."""
        wanted: dict[str, Any] = {}
        for setting in self._settings(waveform, several):
            if setting.range is None or setting.held or not setting.field:
                continue  # what has no field of its own stays, and is found when all is looked at again
            to = setting.range.nearest(setting.value)
            wanted[setting.field] = SI(to)
            changes.append(f"{path}.{setting.field}: {setting.range.text(setting.value)} -> {setting.range.text(to)} "
                           f"({setting.quantity} {setting.range.words()})")
        if other := self._other_recharge(waveform):
            name, shape = _recharge_field(waveform, other)
            if not name:
                raise BadCase(path, f"{self.model} cannot recharge this waveform", got=recharge_of(waveform), allowed=other)
            wanted[name] = shape
            changes.append(f"{path}.{name}: {getattr(waveform, name)} -> {shape} (recharge {self.recharge})")
        if not wanted:
            return waveform
        try:
            made: Waveform = waveform.but(**wanted)
        except BadInput as failure:
            own = next((s.range for s in self._settings(waveform, several) if s.field == "pulse_width"), None)
            more = _squeezed(waveform, wanted, own)
            if not more:
                raise failure.at(path) from None
            made = waveform.but(**{**wanted, **more})
            changes += [f"{path}.{key}: {_plain(value)}, so that a pulse with its recharge fits its period" for key, value in more.items()]
        return made

    def _lowered(self, program: Program, train: Train, waveform: Waveform, delivery: Delivery | None, which: int, scale: float, path: str,
                 changes: list[str]) -> Amplitude:
        """The amplitude, or the largest below it that the generator has."""
        level = self._level(train, delivery, which)
        asked: Amplitude = train.amplitude
        if level is None:
            return asked
        voltage = train.amplitude.voltage is not None
        quantity, own = self._amplitude(waveform)
        caps = [(level * scale, "the voltage that it has")]
        if own is not None:
            caps.append((own.high, f"{quantity} {own.words()}"))
        share = self._share(program, train, delivery, which)
        if self.contact_amplitude is not None and share:
            caps.append((self.contact_amplitude.high / share, f"of one contact {self.contact_amplitude.words()}"))
        if self.charge is not None and not voltage:
            caps.append((self.charge.high / phase_of(waveform), f"charge of a phase {self.charge.words()}"))
        cap, why = min(caps, key=lambda pair: pair[0])
        unit = "V" if voltage else "mA"
        to: float | None = level
        if cap < level * (1 - 0.1 * SAME):
            to = math.floor(cap / FINEST[unit] * (1 + SAME)) * FINEST[unit]
        if own is not None and to is not None and not own.holds(to):
            why = f"{quantity} {own.words()}" if to == level else why
            to = own.below(to)
        if to == level:
            return asked
        written = f"{level / float(SCALE[unit]):.6g} {unit}"
        if not to:
            raise BadCase(path, f"{self.model} has no amplitude this low", got=written, allowed=why)
        text = f"{round(to / float(SCALE[unit]), 9):.9g} {unit}"
        changes.append(f"{path}: {written} -> {text} ({why})")
        return Amplitude(voltage=parse(text, "voltage")) if voltage else Amplitude(current=parse(text, "current"))
    # energy

    def power(self, delivery: Delivery, program: Program) -> Power:
        """What a program takes from the cell, and how long that lasts; see ``epidura.battery``.

        Args:
            delivery: of the program on this generator's electronics.
            program: its turns of on and off count.
        """
        return power(Battery(self.battery, self.capacity, self.cell, self.statements), delivery, program, self.electronics())


# waveforms as a generator sees them


def _packets(waveform: Waveform) -> bool:
    return "intra_frequency" in type(waveform).model_fields


def fastest(waveform: Waveform) -> float:
    """Pulses per second, in a packet those inside, Hz."""
    if _packets(waveform) and waveform.pulses > 1:  # type: ignore[attr-defined]
        return float(waveform.intra_frequency)  # type: ignore[attr-defined]
    return 1.0 / waveform.period


def _stretches(waveform: Waveform) -> list[list[tuple[float, float]]]:
    """Phases of one sign without a pause."""
    found: list[list[tuple[float, float]]] = []
    last = 0.0
    for duration, value in waveform.pulse().phases():
        sign = float(np.sign(value))
        if sign and sign == last:
            found[-1].append((duration, value))
        elif sign:
            found.append([(duration, value)])
        last = sign
    return found


def width_of(waveform: Waveform) -> float:
    """Width of the first phase, s."""
    own = getattr(waveform, "pulse_width", None)
    return float(own) if own is not None else sum(duration for duration, _ in _stretches(waveform)[0])


def phase_of(waveform: Waveform) -> float:
    """Largest charge of a phase per ampere, s."""
    return max(abs(sum(duration * value for duration, value in stretch)) for stretch in _stretches(waveform))


def recharge_of(waveform: Waveform) -> str:
    """``passive``, ``active``, or ``none`` where nothing takes the charge back."""
    if waveform.passive:
        return "passive"
    course = waveform.pulse()
    whole = float(np.sum(np.abs(course.values[:-1]) * np.diff(course.times)))
    return "active" if abs(course.charge) <= 1e-6 * whole else "none"


def _recharge_field(waveform: Waveform, kind: str) -> tuple[str, str]:
    """Which field makes a waveform recharge in this way, and its value; nothing where there is none."""
    fields = type(waveform).model_fields
    if "shape" in fields:
        return "shape", "symmetric" if kind == "active" else "passive"
    return ("recharge", kind) if "recharge" in fields else ("", "")


def _squeezed(waveform: Waveform, wanted: dict[str, Any], own: Range | None) -> dict[str, Any]:
    """What else to change so that a pulse fits its period: first a recharge that is stronger, then no gap, then fewer or shorter pulses."""
    fields = type(waveform).model_fields
    now = {name: getattr(waveform, name) for name in fields} | {key: getattr(value, "si", value) for key, value in wanted.items()}
    if "pulse_width" not in fields:
        return {}
    width, period = float(now["pulse_width"]), 1.0 / float(now["frequency"])

    def shorter(room: float) -> float | None:
        whole = math.floor(room / FINEST["us"] * (1 + SAME)) * FINEST["us"]
        to = min(whole, width) if own is None else own.below(min(whole, width))
        return to if to else None

    if _packets(waveform):
        phases, inside = 2 if now["recharge"] == "active" else 1, 1.0 / float(now["intra_frequency"])
        room = min(inside, period)
        gap = float(now["interphase_gap"]) if phases == 2 else 0.0
        to = width if phases * width <= room else shorter(room / phases)
        if to is None:
            return {}
        left = max(0.0, math.floor((room - phases * to) / FINEST["us"] * (1 + SAME)) * FINEST["us"])
        kept = min(gap, left)
        count = min(int(now["pulses"]), math.floor((period - phases * to - kept) / inside * (1 + SAME)) + 1)
        return (({"pulse_width": SI(to)} if to != width else {}) | ({"interphase_gap": SI(kept)} if kept < gap else {})
                | ({"pulses": count} if count != now["pulses"] else {}))
    gap, shape = float(now.get("interphase_gap", 0.0)), now.get("shape", "symmetric")
    if shape in ("monophasic", "passive"):
        to = shorter(period)
        return {"pulse_width": SI(to)} if to is not None else {}
    more: dict[str, Any] = {}
    if shape == "asymmetric":
        more["recharge_ratio"] = max(1.0, math.floor((period - width - gap) / width * 1e3) / 1e3)
    if gap and 2 * width + gap > period:
        more["interphase_gap"] = SI(max(0.0, math.floor((period - 2 * width) / FINEST["us"]) * FINEST["us"]))
    if 2 * width > period:
        to = shorter(period / 2)
        if to is None:
            return {}
        more["pulse_width"] = SI(to)
    return more


def _plain(value: Any) -> str:
    return f"{value.si * 1e6:.6g} us" if isinstance(value, SI) else str(value)


def _needed(delivery: Delivery, which: int) -> float:
    """Voltage between the highest and the lowest terminal that the pulses of one train need, V."""
    terminals = delivery.record.terminals[delivery.driven & (delivery.train == which)]
    return float((np.nanmax(terminals, axis=2) - np.nanmin(terminals, axis=2)).max(initial=0.0)) if len(terminals) else 0.0


# the catalogue


@cache
def names() -> tuple[str, ...]:
    """Models of the catalogue, sorted."""
    return tuple(sorted(set(table("generators").column("model"))))


@cache
def generator(name: str) -> Generator:
    """A model of the catalogue.

    Raises:
        BadInput: there is none of this name.
    """
    if name not in names():
        raise BadInput("generator", "there is no generator of this name", got=name, allowed=", ".join(names()), hint=nearest(name, names()))
    rows = tuple(row for row in table("generators") if row["model"] == name)
    by = {row["quantity"]: row for row in rows}

    def span(quantity: str) -> Range | None:
        return Range.of(by[quantity], f"{quantity} of {name}", steps=by.get(f"{quantity} step")) if quantity in by else None

    def text(quantity: str) -> str:
        return by[quantity]["value"] if quantity in by else ""

    contacts = span("contacts")
    return Generator(
        model=name, manufacturer=rows[0]["manufacturer"], battery=text("battery"), control=text("control"),
        contacts=round(contacts.high) if contacts else None, case=text("case as electrode"), amplitude=span("amplitude"),
        contact_amplitude=span("contact amplitude"), pulse_width=span("pulse width"), frequency=span("frequency"),
        several_frequency=span("frequency of several programs"), loop_frequency=span("closed-loop frequency"),
        burst_frequency=span("burst frequency"), intra_frequency=span("intra-burst frequency"), burst_amplitude=span("burst amplitude"),
        burst_pulse_width=span("burst pulse width"), areas=span("areas"), compliance=span("compliance"),
        independent={"yes": True, "no": False}.get(text("independent sources")), recharge=text("recharge"), charge=span("charge per pulse"),
        capacity=span("capacity"), cell=span("cell voltage"), loads=tuple(Load.of(row) for row in rows if row["quantity"] == "load limit"),
        statements=tuple(Statement.of(row, name) for row in rows if row["quantity"] in STATED), rows=rows)


# figures beside limits

_DENSITY = ("charge-density warning in some generator manuals", "charge-density warning of Abbott Proclaim",
            "charge-density limit of most commercial stimulators")
_IMPEDANCE = ("clinical impedance, least", "clinical impedance, least typical", "clinical impedance, largest typical", "clinical impedance, largest",
              "high-impedance flag of Precision")
_DIRECT = "net direct current"


def limits(delivery: Delivery) -> tuple[Limit, ...]:
    """Each figure of a delivery beside each named limit of data/electrical_limits.csv that it can be compared with.

    Charge density and direct current are those of the contact with the most. The resistance is that of the largest pulse between its two sides,
    without capacitors: heat over the square of the current.
    """
    rows = [(name, "charge density of a phase", float(np.nanmax(delivery.charge_density, initial=0.0)) * 1e2) for name in _DENSITY]
    rows += [(name, "k of Shannon", delivery.shannon) for name in ("Shannon k, damage boundary (lowest observed)", "Shannon k, conservative")]
    rows.append((_DIRECT, "mean current of a contact", float(np.abs(delivery.direct_current).max()) * 1e6))
    rows += [(name, "resistance between the sides of the program", resistance(delivery)) for name in _IMPEDANCE]
    rows += [(f"compliance, {which} typical", "voltage needed", delivery.compliance) for which in ("least", "largest")]
    found = []
    for name, quantity, value in rows:
        row = table("electrical_limits").row(limit=name)
        number = table("electrical_limits").number(name, "value", row["unit"], limit=name)
        note = "; ".join(text for text in (row["basis"], row["note"]) if text)
        above = value > number.value * (1 + SAME)
        found.append(Limit(name, quantity, value, number.value, row["unit"], above, row["source"], number.unverified, note))
    return tuple(found)


def resistance(delivery: Delivery) -> float:
    """Between the two sides of the largest pulse, ohm: what turns its current to heat, wires included."""
    flow = np.clip(delivery.record.current, 0.0, None).sum(axis=1) * delivery.driven
    at = int(np.argmax(flow))
    return float(delivery.record.loss[at] / flow[at] ** 2)


def require_balanced(delivery: Delivery, where: str = "") -> None:
    """Refuse a program whose charge does not come back.

    Raises:
        BadInput: a contact whose mean current is above the limit on net direct current.
    """
    row = table("electrical_limits").row(limit=_DIRECT)
    number = table("electrical_limits").number(_DIRECT, "value", row["unit"], limit=_DIRECT)
    current = delivery.direct_current * 1e6
    at = int(np.argmax(np.abs(current)))
    if abs(current[at]) > number.value * (1 + SAME):
        contact = "case" if delivery.contacts[at] == CASE else str(delivery.contacts[at])
        raise BadInput(join_path(where, f"contacts.{contact}"), "the charge does not come back: a net direct current flows",
                       got=f"{current[at]:.4g} {row['unit']}",
                       allowed=f"up to {number.value:g} {row['unit']} ({row['basis']}{', unverified' if number.unverified else ''})",
                       hint="choose a waveform with active or passive recharge")
