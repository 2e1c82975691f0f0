"""What a program takes from the cell of a generator, and how long that lasts.

What a cell of voltage U gives for stimulation is the current

    I max(V + h, U) / (e U)

with the mean current I that the sources force, the voltage V that the electrodes need, the headroom h of a current source (Foutz 2012: 1-2 V)
and the efficiency e of a converter (0.45-0.85; 1 where the cell suffices and is used as it is). To it comes the base current b, whatever the
program. A cell with the charge Q of which the share s per year leaks away lasts

    Q / (b + I max(V + h, U) / (e U) + s Q)

Q is the capacity of the table; where it has none but a statement of the manufacturer with all its settings, Q is what would last as long as is
stated at those settings. None of b, h, e and U is known for a product, so that every result is an interval over all of them; where Q comes from
a statement the same unknown generator stands on both sides, and at the settings of the statement what is stated comes back.
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
        """Mean current that the sources force, A: of first phases, and of as much again where the recharge is named as active."""
        on, off = (parse(self.settings.get(key, zero), "time") for key, zero in (("on", "1 s"), ("off", "0 s")))
        share = on / (on + off) * float(self.settings.get("hours", 24)) / 24
        return self.packet * parse(self.settings["frequency"], "frequency") * share * (2 if self.active else 1)

    @property
    def active(self) -> bool:
        """Whether sources take the charge back; else it flows back by itself, as in a burst (data/waveforms.csv)."""
        return self.settings.get("recharge") == "active"

    @property
    def ends(self) -> tuple[float, ...]:
        """The ends that are stated, years or days."""
        return tuple(end for end in sorted({self.low, self.high}) if 0 < end < math.inf)

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
        left = 0.0 if self.active else math.exp(-2 * rest / (ohm * electronics.capacitor))
        return ohmic, ohmic + 2 * self.packet / electronics.capacitor / (1.0 - left)

    def words(self) -> str:
        """One line for a person."""
        unit = self.number.unit
        one = unit.removesuffix("s") if self.low == 1 else unit
        span = f"{self.low:g} {one}" if self.low == self.high else f"at least {self.low:g} {unit}" if self.high == math.inf else \
            f"up to {self.high:g} {unit}" if self.low == 0 else f"{self.low:g} to {self.high:g} {unit}"
        what = "life" if "life" in self.quantity else "interval between charges"
        named = "; " + ", ".join(part.strip() for part in self.note.split(";")) if self.note else ""
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

    def charge(self, current: float, voltage: float, time: float, leak: float) -> float:
        """What lasts for a time, s, when a share ``leak`` of it per year leaks away, C."""
        return (self.base + self.current(current, voltage)) * time / (1 - leak * time / YEAR)


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
    bases = [_fact("base current of a rodent stimulator"), _fact("base current that charging times leave")]
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
    wanted = "life at" if battery.kind == "primary" else "recharge at"
    statement = None if battery.capacity else next((s for s in battery.statements if s.quantity == wanted and s.complete), None)
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
    words = _assumed(volts, share, designs, program, holds)
    what = "life" if battery.kind == "primary" else "interval between charges"
    lasts: Interval | None = None
    if battery.kind == "external":
        words.append("power comes from outside; what the way through the skin loses is not counted, and there is no cell to last")
    elif battery.capacity is None and statement is None:
        words.append(f"{what}: not told, because neither the capacity of the cell nor a statement with all its settings is known")
    else:
        lasts, said, more = _lasting(battery, statement, stated, designs, current, volts)
        words += [f"{what} {said[0]}" if statement else said[0], said[1]]
        numbers = (*numbers, *more)
    doubtful = [number.name for number in numbers if number.unverified]
    words += [f"unverified: {', '.join(doubtful)}", *(statement.words() for statement in battery.statements)]
    life, recharge = (lasts, None) if battery.kind == "primary" else (None, lasts)
    return Power((stimulation[0] / pulses, stimulation[1] / pulses), stimulation, total, life, recharge, tuple(words), numbers)


def _lasting(battery: Battery, statement: Statement | None, stated: tuple[float, ...], designs: list[_Design], current: float,
             volts: float) -> tuple[Interval, tuple[str, str], tuple[Number, ...]]:
    """How long the cell lasts, in years or days, from its capacity or else from a statement; in words, and the numbers that it rests on.

    Args:
        stated: V that the electrodes need at the settings of the statement.
        current, volts: A and V of the program.
    """
    leak, aged, numbers, leaks = _cell(battery)
    unit = YEAR if battery.kind == "primary" else DAY
    if statement is None:
        own = battery.capacity
        assert own is not None
        joule, ends = own.number.unit == "J", (own.low * (1 - aged), own.high)
        charges = [(d, end / d.cell if joule else end, rate) for d in designs for end in ends for rate in (0.0, leak)]
        known = own.text(own.low) if own.low == own.high else f"{own.text(own.low)} to {own.text(own.high)}"
        said = (f"the whole capacity, {known}, is counted as usable"
                f"{f', of which age takes up to {aged:.0%} (another cell)' if aged else ' and none as lost with age'}")
        number = own.number
    else:
        charges = [(d, d.charge(statement.current, before, end * unit, rate), rate)
                   for d in designs for before in stated for end in statement.ends for rate in (0.0, leak)]
        said, number = "", statement.number
    every = [charge / (d.base + d.current(current, volts) + charge * rate / YEAR) / unit for d, charge, rate in charges]
    low, high = min(every), max(every)
    if statement is not None:
        said = (f"scaled from a statement, which comes back at its own settings: {' and '.join(f'{end:g}' for end in statement.ends)} "
                f"{number.unit} x {_times(low / statement.ends[0], high / statement.ends[-1])}"
                + ("; the manufacturer says at least, so these are least intervals" if statement.high == math.inf else "")
                + ("; the manufacturer says up to, so these are longest lives" if statement.low == 0 else ""))
    return (low, high), (said, leaks), (*numbers, number)


def _times(low: float, high: float) -> str:
    ends = f"{low:.3g}", f"{high:.3g}"
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def _cell(battery: Battery) -> tuple[float, float, tuple[Number, ...], str]:
    """Share that leaks away in a year and share that age takes, at most; their numbers; and in words."""
    if battery.kind == "primary":
        leak = _fact("self-discharge of lithium manganese dioxide cells")
        return leak.low, 0.0, (leak.number,), f"self-discharge up to {leak.low:.3g} per year (another chemistry)"
    leak, aged = _fact("self-discharge of implantable lithium ion cells"), _fact("capacity that age takes from implantable lithium ion cells")
    return leak.high, aged.high, (leak.number, aged.number), f"self-discharge up to {leak.high:.3g} per year (another cell)"


def drawn(statement: Statement, electronics: Electronics, cell: Range | None = None) -> Interval:
    """Mean current from the cell, with the base current, at the settings of a statement, A: what the model says of them, not what is stated."""
    volts = statement.voltage(electronics)
    designs, _ = _designs(cell, volts, False)
    every = [design.base + design.current(statement.current, one) for design in designs for one in volts]
    return min(every), max(every)


def _assumed(volts: float, share: float, designs: list[_Design], program: Program, holds: bool) -> list[str]:
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
    return words
