"""What the electrodes see: currents and voltages of a program on the contacts of a lead field, its charges and its energy.

``deliver`` follows one cycle of a program that has run for long, ``deliver_stretch`` any stretch of time after switching on: the sources force
their currents (or hold their voltage), contacts are joined for passive recharge, and the tissue between them, from the impedance matrix of the
lead field, and the capacitors of the generator decide the rest, exactly (``numerics.discharge``). ``patterns`` gives the same to the fibres.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from epidura.errors import BadCase, BadInput
from epidura.numerics.discharge import Network, Phase, Record
from epidura.product import Floats, LeadField
from epidura.program import CASE, Program, Train
from epidura.schedule import CLOCK, Controller, Impulse, cycle_of, impulses
from epidura.tables import Number, table
from epidura.units import parse
from epidura.waveform import Course

SEEN = 5e-3
"""Passive recharge that a fibre is shown after the last driven phase, s: what it has not answered by then it does not answer."""

FAINT, ROUNDING = 1e-3, 1e-6
"""Share of all current under which a pattern is left out: a search, whose thresholds are within 5e-3, need not follow what is fainter; the rest is
rounding."""

BALANCED = 1e-9
"""Charge that a cycle adds, relative to that of a phase, from which on it counts as unbalanced."""


SHORTEST = 1e-12
"""What is shorter than this, s, does not happen."""

BATCH = 4096
"""Phases before a stretch that are followed at a time, so that a long time before it needs no memory."""


@dataclass(frozen=True)
class Electronics:
    """What stands between the sources of a generator and the tissue.

    Attributes:
        capacitor: in series with every contact, F; inf: none. The case has none.
        resistance: of wires and switches in series with every contact, ohm.
    """

    capacitor: float = field(default_factory=lambda: _capacitor())
    resistance: float = 0.0


def fact(quantity: str) -> Number:
    """A row of data/generator_facts.csv."""
    row = table("generator_facts").row(fact=quantity)
    return table("generator_facts").number(quantity, "value", row["unit"], fact=quantity)


def _capacitor() -> float:
    number = fact("coupling capacitor")
    return parse(f"{number.value!r} {number.unit}", "capacitance")


@dataclass(frozen=True)
class Delivery:
    """One cycle at the electrodes.

    Attributes:
        program: what was delivered.
        contacts: numbers of the electrodes that take part, the case (0) last.
        area: (e,) m2, nan for the case.
        cycle: s.
        amplitude: (trains,) A or V.
        record: currents, charges and terminals in pieces; see ``numerics.discharge.Record``.
        driven: (k,) pieces in which sources force a current or hold a voltage.
        train: (k,) whose pulse, or whose recharge, each piece is.
        residual: (e,) charge that is left on the capacitors when a cycle begins, C.
        added: (e,) charge that every cycle adds for good, C; 0 when balanced.
    """

    program: Program
    contacts: tuple[int, ...]
    area: Floats
    cycle: float
    amplitude: tuple[float, ...]
    record: Record
    driven: NDArray[np.bool_]
    train: NDArray[np.int64]
    residual: Floats
    added: Floats

    @cached_property
    def _phases(self) -> tuple[Floats, ...]:
        """Per electrode the charges that the sources force in stretches of one sign without a pause, C."""
        found = []
        charge = np.where(self.driven[:, None], np.diff(self.record.charge, axis=0), 0.0)
        for own in charge.T:
            sign = np.sign(np.where(np.abs(own) > 1e-18, own, 0.0))
            starts = np.flatnonzero(np.diff(sign, prepend=0.0) != 0)
            found.append(np.add.reduceat(own, starts) if starts.size else np.zeros(1))
        return tuple(found)

    @property
    def charge_per_phase(self) -> Floats:
        """(e,) largest charge of a phase, C."""
        return np.array([np.abs(own).max() for own in self._phases])

    @property
    def excursion(self) -> Floats:
        """(e,) largest charge that has passed and not yet come back, from the start of a cycle, C: of a packet, that of all its pulses."""
        return np.asarray(np.abs(self.record.charge).max(axis=0))

    @property
    def charge_density(self) -> Floats:
        """(e,) largest charge of a phase over the contact's surface, C/m2; nan for the case."""
        return self.charge_per_phase / self.area

    @property
    def shannon(self) -> float:
        """k of Shannon (1992): the largest log10(D Q), Q in uC per phase and D in uC/cm2 per phase. Reported; it is not a verdict."""
        product = self.charge_density * 1e2 * self.charge_per_phase * 1e6  # 1 C/m2 = 100 uC/cm2
        largest = float(np.nanmax(product))
        return float(np.log10(largest)) if largest > 0 else -np.inf  # a stretch without a pulse

    @property
    def direct_current(self) -> Floats:
        """(e,) mean current over a cycle, A."""
        return np.asarray(self.added / self.cycle)

    @property
    def compliance(self) -> float:
        """Voltage between the highest and the lowest terminal that the sources have to supply, V."""
        return float(self._span.max(initial=0.0))

    @property
    def _span(self) -> Floats:
        """(k, 2) between the highest and the lowest terminal at both ends of each driven piece, V."""
        terminals = self.record.terminals[self.driven]
        return np.asarray(np.nanmax(terminals, axis=2) - np.nanmin(terminals, axis=2)) if len(terminals) else np.zeros((0, 2))

    @property
    def duration(self) -> Floats:
        """(k,) s."""
        return np.diff(self.record.edges)

    @property
    def energy(self) -> float:
        """What the sources put into wires and tissue in one cycle, J."""
        return float((self.record.power * self.duration)[self.driven].sum())

    @property
    def heat(self) -> float:
        """What becomes heat in tissue and series resistances in one cycle, J."""
        return float((self.record.loss * self.duration).sum())

    def supply_energy(self, voltage: float) -> float:
        """What a supply of this voltage gives in one cycle, J: current sources burn what the load does not need."""
        flow = np.clip(self.record.current, 0.0, None).sum(axis=1)
        return float(voltage * (flow * self.duration)[self.driven].sum())

    @property
    def pulses_per_second(self) -> float:
        """Pulses or packets of all trains."""
        return float(sum(1.0 / train.waveform.period for train in self.program.trains))


def deliver(program: Program, lead_field: LeadField, amplitude: Sequence[float | None] | None = None, electronics: Electronics | None = None,
            controller: Controller | None = None, where: str = "", finely: bool = False) -> Delivery:
    """One cycle of a program that has run for long, at full level of its ramp.

    Args:
        amplitude: A, or V where the program controls voltage, of each train; None: what the program says, which then must not hang on perception.
        electronics: of the generator.
        controller: of a closed loop.
        where: path of the program in a case, for errors.
        finely: a passive recharge in pieces as fibres want them; charges and energies are exact in any.

    Raises:
        BadCase: contacts that do not exist, an amplitude that is not known, trains that do not fit.
        BadInput: the electrodes are joined without any resistance.
    """
    electronics = electronics or Electronics()
    numbers, network, levels = _prepared(program, lead_field, amplitude, electronics, where)
    cycle = cycle_of(program)
    steady = program.model_copy(update={"cycle": None, "ramp_up": 0.0})
    # the pulse that begins the next cycle may be due half a tick of the clock earlier
    run = list(_sequence(steady, impulses(steady, cycle - 0.6 * CLOCK, controller), cycle, levels, numbers, network))
    phases = [step.phase for step in run]
    start, added = network.settled(phases)
    record = network.run(phases, start, finely)
    size = float(np.abs(np.diff(record.charge, axis=0)).max())
    added = np.where(np.abs(added) > BALANCED * size, added, 0.0)
    return _delivery(program, lead_field, numbers, cycle, levels, run, record, start, added)


def deliver_stretch(program: Program, lead_field: LeadField, amplitude: Sequence[float | None] | None = None,
                    electronics: Electronics | None = None, start: float = 0.0, duration: float | None = None,
                    controller: Controller | None = None, where: str = "") -> Delivery:
    """A stretch of time after a program has been switched on with empty capacitors: with its turns, its ramp and a closed loop.

    Of what is returned ``cycle`` is the length of the stretch, ``residual`` what is on the capacitors when it begins, and ``added`` all charge
    that passes in it, so that ``direct_current`` is the mean of the stretch. Pulses that its ends cut are cut. In a pause contacts that are
    joined for passive recharge stay so. A pulse that is due a part of a microsecond before the last one ends begins when that ends.

    Args:
        start, duration: of the stretch, s after switching on; without a duration one cycle.
        amplitude, electronics, controller, where: as for ``deliver``.

    Raises:
        BadCase, BadInput: as ``deliver``.
        BadInput: a stretch before switching on, or of no length.
    """
    length = cycle_of(program) if duration is None else duration
    if not (np.isfinite(start) and start >= 0):
        raise BadInput("start", "is not a time after switching on", got=start, allowed="from 0 s on")
    if not (np.isfinite(length) and length > 0):
        raise BadInput("duration", "is not the length of a stretch", got=length, allowed="above 0 s")
    electronics = electronics or Electronics()
    numbers, network, levels = _prepared(program, lead_field, amplitude, electronics, where)
    end = start + length
    before: list[Phase] = []
    run: list[_Step] = []
    charge, t = np.zeros(len(numbers)), 0.0
    for step in _sequence(program, impulses(program, end, controller), end, levels, numbers, network):
        head = min(step.phase.duration, max(0.0, start - t))
        t += step.phase.duration
        if head > SHORTEST:
            before.append(replace(step.phase, duration=head))
        if step.phase.duration - head > SHORTEST:
            run.append(replace(step, phase=replace(step.phase, duration=step.phase.duration - head)))
        if before and (run or len(before) == BATCH):  # what is over is kept as charges only
            charge = charge + network.run(before, charge).charge[-1]
            before = []
    record = network.run([step.phase for step in run], charge)
    return _delivery(program, lead_field, numbers, length, levels, run, record, charge, record.charge[-1])


@dataclass(frozen=True)
class _Step:
    """A phase, whether sources drive it, and whose it is."""

    phase: Phase
    driven: bool
    train: int


def _sequence(program: Program, due: Iterable[Impulse], end: float, levels: Sequence[float], numbers: tuple[int, ...],
              network: Network) -> Iterator[_Step]:
    """The phases of the pulses that are due, with the rests between them, from 0 to ``end`` s."""
    units = [_driven(train, program.sources, 1.0, numbers, network) for train in program.trains]
    t, last = 0.0, 0
    for impulse in due:
        if impulse.time - t > SHORTEST:
            yield _Step(_rest(program.trains, impulse.time - t, numbers), False, last)
            t = impulse.time
        last = impulse.train
        size = levels[last] * impulse.factor
        for unit in units[last]:
            phase = _scaled(unit, size) if t + unit.duration <= end + SHORTEST else replace(_scaled(unit, size), duration=end - t)
            if phase.duration <= SHORTEST:
                break
            yield _Step(phase, size > 0 and (unit.current is not None or bool(unit.held)), last)
            t += phase.duration
    if end - t > SHORTEST:
        yield _Step(_rest(program.trains, end - t, numbers), False, last)


def _scaled(unit: Phase, size: float) -> Phase:
    """A phase of a pulse of amplitude 1 as one of another amplitude."""
    return replace(unit, current=None if unit.current is None else size * unit.current,
                   voltage=None if unit.voltage is None else size * unit.voltage)


def _delivery(program: Program, lead_field: LeadField, numbers: tuple[int, ...], length: float, levels: tuple[float, ...], run: Sequence[_Step],
              record: Record, residual: Floats, added: Floats) -> Delivery:
    area = {contact.number: contact.area for contact in lead_field.canal.contacts}
    return Delivery(program, numbers, np.array([area.get(n, np.nan) for n in numbers]), length, levels, record,
                    np.array([step.driven for step in run])[record.phase], np.array([step.train for step in run])[record.phase], residual, added)


def patterns(program: Program, lead_field: LeadField, electronics: Electronics | None = None, where: str = "") -> tuple[Floats, tuple[Course, ...]]:
    """What the fibres see of a program of one train, per ampere of its first phase: the sum over p of mixing[p] x course[p].

    Returns:
        (p, contacts) currents into tissue, in the order of the lead field, and as many courses on the same times. With active recharge it is one,
        the fractions. Passive recharge brings others where more than two contacts take part: they discharge each at its own speed.
    """
    train = program.trains[0]
    mixing = program.drive(lead_field.contacts, where)
    passive = train.waveform.passive
    if program.sources == "independent" and not passive:
        return mixing[None], (train.waveform.unit(),)
    numbers = _electrodes(program.alone(0), lead_field, where)
    network = _network(lead_field, numbers, electronics or Electronics())
    controls_voltage = train.amplitude.voltage is not None
    first = _shares(train, program.sources, numbers, network)
    level = 1.0
    if controls_voltage:
        level = 1.0 / float(np.abs(_held_start(train, numbers, network)).sum() / 2)  # V for 1 A at the start
    pulse = list(_driven(train, program.sources, level, numbers, network))
    rest = train.waveform.period - train.waveform.pulse().end
    start, _ = network.settled([*pulse, _rest((train,), rest, numbers)])
    count = 1 + round((train.waveform.unit().end - train.waveform.pulse().end) / train.waveform.period)
    phases: list[Phase] = []
    for k in range(count):
        phases += [*pulse, _rest((train,), rest if k < count - 1 else min(rest, SEEN if passive else 0.0), numbers)]
    record = network.run(phases, start, finely=True)
    return separated(record, numbers, lead_field, first=first, least=FAINT)


def separated(record: Record, numbers: tuple[int, ...], lead_field: LeadField, scale: float = 1.0,
              first: Floats | None = None, least: float = ROUNDING) -> tuple[Floats, tuple[Course, ...]]:
    """Currents into tissue as the sum over p of a pattern times its course, by singular values.

    Args:
        numbers: electrodes of the record, the case among them.
        scale: by which the currents are multiplied.
        first: (e,) a pattern that stands first as it is, the others with what it leaves; None: all by singular values.
        least: share of the whole under which a pattern is left out.

    Returns:
        (p, contacts) patterns in the order of the lead field, and as many courses on the edges of the record.
    """
    places = [i for i, number in enumerate(numbers) if number != CASE]
    current = scale * record.current[:, places]
    own = np.zeros((0, len(places))) if first is None else first[places][None]
    main = current @ own.T / (own**2).sum(axis=1)
    u, s, v = np.linalg.svd(current - main @ own, full_matrices=False)
    kept = int((s > least * np.linalg.norm(current)).sum())
    rows = np.zeros((len(own) + kept, len(lead_field.contacts)))
    rows[:, [list(lead_field.contacts).index(numbers[i]) for i in places]] = np.concatenate([own, v[:kept]])
    values = np.column_stack([main, u[:, :kept] * s[:kept]])
    values[np.abs(values) <= ROUNDING * np.abs(values).max(initial=0.0)] = 0.0  # what is left of rounding between pulses would count as driven
    return rows, tuple(Course(record.edges, np.append(column, 0.0)) for column in values.T)


def volts_per_ampere(program: Program, lead_field: LeadField, electronics: Electronics | None = None) -> float:
    """Between the terminals of both sides at the start of a pulse, V per A of amplitude: access resistance with wires."""
    numbers = _electrodes(program.alone(0), lead_field, "")
    network = _network(lead_field, numbers, electronics or Electronics())
    current = _shares(program, program.sources, numbers, network)
    terminals = network.series @ current
    return float(terminals[current > 0].max() - terminals[current < 0].min())


def _paths(program: Program) -> list[str]:
    return ["", *(f"interleaved[{i}]." for i in range(len(program.interleaved)))]


def _level(train: Train, given: float | None, where: str) -> float:
    level = given if given is not None else train.amplitude.current if train.amplitude.current is not None else train.amplitude.voltage
    if level is None or not np.isfinite(level) or level <= 0:
        raise BadCase(f"{where}amplitude", "is not known without the fibres", got=str(train.amplitude), allowed="a current such as 4.5 mA",
                      hint="run the case, which finds the perception threshold")
    return float(level)


def _prepared(program: Program, lead_field: LeadField, amplitude: Sequence[float | None] | None, electronics: Electronics,
              where: str) -> tuple[tuple[int, ...], Network, tuple[float, ...]]:
    """Electrodes, what is between them, and the amplitude of each train."""
    numbers = _electrodes(program, lead_field, where)
    network = _network(lead_field, numbers, electronics)
    given = [None] * len(program.trains) if amplitude is None else list(amplitude)
    levels = tuple(_level(train, own, f"{where}{path}") for train, own, path in zip(program.trains, given, _paths(program), strict=True))
    return numbers, network, levels


def _electrodes(program: Program, lead_field: LeadField, where: str) -> tuple[int, ...]:
    """Numbers of the electrodes that take part, in order, the case last."""
    for train, path in zip(program.trains, _paths(program), strict=True):
        for number in train.contacts:
            if number != CASE and number not in lead_field.contacts:
                raise BadCase(f"{where}{path}contacts.{number}", "there is no such contact", got=number,
                              allowed=f"{lead_field.contacts[0]} to {lead_field.contacts[-1]}, or case")
    used = {number for train in program.trains for number, fraction in train.contacts.items() if fraction != 0}
    return (*sorted(used - {CASE}), *({CASE} & used))


def _network(lead_field: LeadField, numbers: tuple[int, ...], electronics: Electronics) -> Network:
    at = [list(lead_field.contacts).index(n) for n in numbers if n != CASE]
    impedance = np.zeros((len(numbers),) * 2)
    impedance[: len(at), : len(at)] = lead_field.impedance[np.ix_(at, at)]
    capacity = np.array([np.inf if n == CASE else electronics.capacitor for n in numbers])
    resistance = np.array([0.0 if n == CASE else electronics.resistance for n in numbers])
    try:
        return Network(impedance, capacity, resistance)
    except ValueError as failure:
        raise BadInput("electronics", str(failure)) from None


def _fractions(train: Train, numbers: tuple[int, ...]) -> Floats:
    return np.array([train.contacts.get(number, 0.0) for number in numbers])


def _side(train: Train, numbers: tuple[int, ...]) -> tuple[tuple[int, ...], Floats]:
    """Electrodes of a train, by place, and 1 V at its anodes against its cathodes."""
    fractions = _fractions(train, numbers)
    held = tuple(int(i) for i in np.flatnonzero(fractions))
    return held, (fractions[list(held)] > 0).astype(float)


def _held_start(train: Train, numbers: tuple[int, ...], network: Network) -> Floats:
    """(e,) A that flow at once when 1 V is put between the sides, capacitors empty."""
    held, volt = _side(train, numbers)
    out = np.zeros(len(numbers))
    out[list(held)] = network.part(held).conductance @ volt
    return out


def _shares(train: Train, sources: str, numbers: tuple[int, ...], network: Network) -> Floats:
    """(e,) fraction of the amplitude at each electrode in the first phase."""
    if sources == "independent":
        return _fractions(train, numbers)
    flowing = _held_start(train, numbers, network)
    return np.asarray(flowing / (np.abs(flowing).sum() / 2))


def _driven(train: Train, sources: str, level: float, numbers: tuple[int, ...], network: Network) -> list[Phase]:
    """The phases of one pulse."""
    shares = _shares(train, sources, numbers, network)
    held, volt = _side(train, numbers)
    out = []
    for duration, value in train.waveform.pulse().phases():
        if value == 0.0:
            out.append(Phase(duration))
        elif train.amplitude.voltage is not None:
            out.append(Phase(duration, held=held, voltage=level * value * volt))
        else:
            out.append(Phase(duration, current=level * value * shares))
    return out


def _rest(trains: Sequence[Train], duration: float, numbers: tuple[int, ...]) -> Phase:
    """Between pulses: the contacts of all trains with passive recharge are joined, or nothing is.

    All of them, because the pulse of one train may follow that of another at once: its charge flows back in the next pause that there is.
    """
    held = tuple(sorted({place for train in trains if train.waveform.passive for place in _side(train, numbers)[0]}))
    return Phase(duration, held=held, voltage=np.zeros(len(held))) if held else Phase(duration)
