"""What a program takes from the cell of a generator, and how long that lasts.

What a cell of voltage U gives for stimulation is

    P = I max(V + h, U) / e

with the mean current I that the sources force, the voltage V that the electrodes need, the headroom h of a current source (Foutz 2012: 1-2 V)
and the efficiency e of a converter (0.45-0.85; 1 where the cell suffices and is used as it is). To it comes the base current at U. None of h, e, U
and the base current is known for a product, so that every result is an interval over all of them; where a statement of the manufacturer is scaled,
the same unknown generator stands on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product

from epidura.delivery import Delivery, Electronics
from epidura.program import Program
from epidura.ranges import Interval, Range
from epidura.tables import Number, table
from epidura.units import parse

DAY, YEAR = 86400.0, 365.25 * 86400.0


def _fact(name: str) -> Range:
    """A row of data/generator_facts.csv as a range, SI."""
    return Range.of(table("generator_facts").row(fact=name), name, "generator_facts")


@dataclass(frozen=True)
class Statement:
    """A life or an interval between charges that the manufacturer states.

    Attributes:
        quantity: as in data/generators.csv.
        low, high: years or days; 0 and inf where it says 'up to' or 'at least'.
        settings: key to text, as far as they are named.
        number: source and evidence.
        note: of the table.
    """

    quantity: str
    low: float
    high: float
    settings: dict[str, str]
    number: Number
    note: str

    @classmethod
    def of(cls, row: dict[str, str], model: str) -> Statement:
        own = Range.of(row, f"{row['quantity']} of {model}")
        low, high = own.low, own.high
        if row["quantity"].endswith(" at"):
            settings = dict(part.split("=") for part in row["note"].split(";"))
        else:
            settings = {}
        return cls(row["quantity"], low, high, settings, own.number, row["note"])

    @property
    def complete(self) -> bool:
        """Whether its settings say what it takes from the cell."""
        return {"amplitude", "pulse_width", "frequency", "impedance"} <= self.settings.keys()

    @property
    def current(self) -> float:
        """Mean current of its first phases, A; recharge is taken as passive, as in a burst (data/waveforms.csv)."""
        on, off = (parse(self.settings.get(key, zero), "time") for key, zero in (("on", "1 s"), ("off", "0 s")))
        share = on / (on + off) * float(self.settings.get("hours", 24)) / 24
        return self.packet * parse(self.settings["frequency"], "frequency") * share

    @property
    def packet(self) -> float:
        """Charge of a pulse or packet, C."""
        return (parse(self.settings["amplitude"], "current") * parse(self.settings["pulse_width"], "time")
                * float(self.settings.get("pulses", 1)))

    def voltage(self, electronics: Electronics) -> Interval:
        """What the electrodes need, V: the stated impedance alone, or with two capacitors charged by packet after packet."""
        ohm = parse(self.settings["impedance"], "resistance")
        ohmic = parse(self.settings["amplitude"], "current") * ohm
        pulses = float(self.settings.get("pulses", 1))
        inside = (pulses - 1) / parse(self.settings["intra_burst_frequency"], "frequency") if pulses > 1 else 0.0
        rest = 1.0 / parse(self.settings["frequency"], "frequency") - inside - parse(self.settings["pulse_width"], "time")
        # joined for the rest of the period, what is on them falls by this share; again and again it settles
        left = math.exp(-2 * rest / (ohm * electronics.capacitor))
        return ohmic, ohmic + 2 * self.packet / electronics.capacitor / (1.0 - left)

    def words(self) -> str:
        """One line for a person."""
        unit = self.number.unit
        span = f"{self.low:g} {unit}" if self.low == self.high else f"at least {self.low:g} {unit}" if self.high == math.inf else \
            f"up to {self.high:g} {unit}" if self.low == 0 else f"{self.low:g} to {self.high:g} {unit}"
        what = "life" if "life" in self.quantity else "interval between charges"
        named = f"; {self.note.replace(';', ', ')}" if self.note else ""
        return f"the manufacturer states: {what} {span} ({self.number.source}{', unverified' if self.number.unverified else ''}{named})"


@dataclass(frozen=True)
class Power:
    """What a program takes from the cell; every pair is (low, high) over what is not known about the generator.

    Attributes:
        pulse_energy_J: from the cell for one pulse or packet, mean over the trains.
        stimulation_W: mean, with turns of on and off, without the base current.
        total_W: with the base current.
        life_years: of a primary cell; None where the capacity is not known.
        recharge_days: between charges; None where it cannot be told.
        words: what is assumed, what is unknown, which statement of the manufacturer it is compared with.
        numbers: of the tables that it rests on.
    """

    pulse_energy_J: Interval
    stimulation_W: Interval
    total_W: Interval
    life_years: Interval | None
    recharge_days: Interval | None
    words: tuple[str, ...]
    numbers: tuple[Number, ...] = ()


@dataclass(frozen=True)
class _Design:
    """A generator as it might be inside: A, share, V, V, and whether the cell is used as it is where it suffices."""

    base: float
    efficiency: float
    headroom: float
    cell: float
    bypass: bool

    def current(self, current: float, voltage: float) -> float:
        """From the cell for stimulation, A."""
        supply = max(voltage + self.headroom, self.cell)
        efficiency = 1.0 if self.bypass and voltage + self.headroom <= self.cell else self.efficiency
        return current * supply / (efficiency * self.cell)


@dataclass(frozen=True)
class Battery:
    """What is known of the supply of a generator.

    Attributes:
        kind: ``primary``, ``rechargeable`` or ``external``.
        capacity: of the cell, C or J; None where it is not known.
        cell: its voltage, V.
        statements: of the manufacturer on life and charging.
    """

    kind: str
    capacity: Range | None
    cell: Range | None
    statements: tuple[Statement, ...]


def _designs(cell: Range | None, voltages: Iterable[float], holds_voltage: bool) -> tuple[list[_Design], tuple[Number, ...]]:
    """All corners of what is not known; every result is monotone between them.

    Args:
        voltages: that electrodes need, V; where the cell just suffices for one is a corner too.
        holds_voltage: whether the generator needs no headroom for a current source.
    """
    bases = [_fact("base current of a rodent stimulator"), _fact("base current that a statement leaves")]
    efficiency, headroom = _fact("efficiency of a high-voltage charger from the cell"), _fact("headroom of the current source")
    cells = _fact("cell voltage")
    numbers = [*(base.number for base in bases), efficiency.number, headroom.number, cells.number]
    low, high = cells.low, cells.high
    if cell is not None:
        numbers.append(cell.number)
        high = min(cell.high, high)
        low = max(cell.low, low)
    heads = [0.0 if holds_voltage else headroom.low, headroom.high]
    places = set(product(heads, (low, high)))
    for volts in voltages:
        turns = [(h, volts + h) for h in heads] + [(cell - volts, cell) for cell in (low, high)]
        places |= {(h, min(max(cell * side, low), high)) for h, cell in turns if heads[0] <= h <= heads[1] and low <= cell <= high
                   for side in (1 - 1e-9, 1 + 1e-9)}
    designs = [_Design(base, share, h, cell, bypass) for base in (bases[0].low, bases[1].high) for share in (efficiency.low, efficiency.high)
               for h, cell in sorted(places) for bypass in (False, True)]
    return designs, tuple(numbers)


def power(battery: Battery, delivery: Delivery, program: Program, electronics: Electronics) -> Power:
    """What a program takes from the cell, and how long that lasts; see the head of this module.

    Args:
        battery: of the generator.
        delivery: of the program on this generator's electronics.
        program: its turns of on and off count.
        electronics: of the generator.
    """
    share = 1.0 if program.cycle is None else program.cycle.share
    current, volts = delivery.supply_energy(1.0) / delivery.cycle * share, delivery.compliance
    statement = next((s for s in battery.statements if s.quantity == "recharge at" and s.complete), None)
    # what is alike but for rounding is the same: a cell cannot suffice for one and not for the other
    stated = tuple(volts if math.isclose(one, volts, rel_tol=1e-6) else one for one in statement.voltage(electronics)) if statement else ()
    holds = any(train.amplitude.voltage is not None for train in program.trains)
    designs, numbers = _designs(battery.cell, (volts, *stated), holds)

    def over(value: Callable[[_Design], float]) -> Interval:
        every = [value(design) for design in designs]
        return min(every), max(every)

    stimulation = over(lambda d: d.current(current, volts) * d.cell)
    total = over(lambda d: (d.current(current, volts) + d.base) * d.cell)
    pulses = delivery.pulses_per_second * share
    words = _assumed(volts, share, designs, numbers, program, holds)
    life = recharge = None
    if battery.kind == "external":
        words.append("power comes from outside; what the way through the skin loses is not counted, and there is no cell to last")
    elif battery.capacity is not None:
        recharge = _lasting(battery.capacity, designs, current, volts)
        words.append(f"the whole capacity, {battery.capacity.text(battery.capacity.low)} to {battery.capacity.text(battery.capacity.high)}, "
                     "is counted as usable and none as lost with age")
        numbers = (*numbers, battery.capacity.number)
        if battery.kind == "primary":
            leak = _fact("self-discharge of lithium manganese dioxide cells")
            life, recharge = _lasting(battery.capacity, designs, current, volts, leak.low, YEAR), None
            words.append(f"self-discharge up to {leak.low:.3g} per year (another chemistry)")
            numbers = (*numbers, leak.number)
    elif statement is not None:
        ratios = [(d.base + d.current(statement.current, before)) / (d.base + d.current(current, volts)) for d in designs for before in stated]
        recharge = (statement.low * min(ratios), statement.low * max(ratios))
        least = "; the manufacturer says at least, so these are least intervals" if statement.high == math.inf else ""
        words.append(f"interval between charges scaled from a statement: {statement.low:g} days x the power at its settings over that of the "
                     f"program, {min(ratios):.3g} to {max(ratios):.3g}{least}")
        numbers = (*numbers, statement.number)
    else:
        what = "life" if battery.kind == "primary" else "interval between charges"
        words.append(f"{what}: not told, because neither the capacity of the cell nor a statement with all its settings is known")
    words += [statement.words() for statement in battery.statements]
    return Power((stimulation[0] / pulses, stimulation[1] / pulses), stimulation, total, life, recharge, tuple(words), numbers)


def _lasting(capacity: Range, designs: list[_Design], current: float, volts: float, leak: float = 0.0, unit: float = DAY) -> Interval:
    """How long the capacity lasts; ``leak``: share that a year takes at most."""
    every = []
    for design, amount, rate in product(designs, (capacity.low, capacity.high), (0.0, leak)):
        charge = amount / design.cell if capacity.number.unit == "J" else amount
        every.append(charge / (design.base + design.current(current, volts) + charge * rate / YEAR) / unit)
    return min(every), max(every)


def _assumed(volts: float, share: float, designs: list[_Design], numbers: tuple[Number, ...], program: Program, holds: bool) -> list[str]:
    def span(name: str, scale: float = 1.0) -> str:
        every = [getattr(design, name) * scale for design in designs]
        return f"{min(every):.3g} to {max(every):.3g}"

    fixed = _fact("fixed compliance of constant-current stimulators")
    head = f"the {volts:.3g} V that are held" if holds else f"the {volts:.3g} V that are needed"
    words = [f"one supply follows {head} with a headroom of {span('headroom')} V, never below the cell's {span('cell')} V; a fixed supply of "
             f"{fixed.low:g} to {fixed.high:g} V would take more",
             f"a converter passes {span('efficiency')} of the energy, or the cell is used as it is where it suffices",
             f"base current {span('base', 1e6)} uA; telemetry and charging losses are not counted"]
    if program.cycle is not None:
        words.append(f"stimulation is on for {share:.3g} of the time")
    if program.ramp_up:
        words.append("ramps are counted at full level")
    doubtful = [number.name for number in numbers if number.unverified]
    if doubtful:
        words.append(f"unverified: {', '.join(doubtful)}")
    return words
