"""A delivery as a table of samples, for generators on a bench.

A sample is the mean of the current over its interval, so the charge of every phase is kept at any rate, and with it the balance. Where the
converter of the bench has steps, what rounding takes from one sample is given to the next: the charge that has passed is never wrong by more
than one step for one sample, and the electrodes still add up to nothing in every sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from epidura.delivery import Delivery
from epidura.errors import BadInput
from epidura.product import Floats
from epidura.program import CASE
from epidura.program_file import write_whole
from epidura.tables import Number, table
from epidura.units import format_quantity

MOST = 20_000_000
"""Samples of a table; more would not fit into memory."""

HEAD = "# Epidura table of currents"
"""First words of a file, by which an earlier one is known."""


@dataclass(frozen=True)
class Samples:
    """Currents at equal intervals.

    Attributes:
        time: (n,) start of each interval, s.
        current: (n, e) mean over the interval, + into tissue, A.
        volts: (n, e) mean at the generator's side of each electrode against the case, over the part of the interval in which it is
            connected; nan where it is not. None if not asked for.
        contacts: (e,) numbers of the electrodes, the case 0.
        rate: samples per second.
        resolution: A per step of the converter that it was rounded for; None: not rounded.
        own: (e,) charge that the program itself passes in this time, C; 0 where it is balanced.
        notes: what a person should know of it.
    """

    time: Floats
    current: Floats
    volts: Floats | None
    contacts: tuple[int, ...]
    rate: float
    resolution: float | None
    own: Floats
    notes: tuple[str, ...]

    @property
    def imbalance(self) -> Floats:
        """(e,) charge that sampling adds, C."""
        return np.asarray(self.current.sum(axis=0) / self.rate - self.own)


def direct_current_limit() -> Number:
    """The mean current that is named as a limit, uA; from memory."""
    return table("electrical_limits").number("net direct current", "value", "uA", limit="net direct current")


def sampled(delivery: Delivery, rate: float, duration: float | None = None, resolution: float | None = None, volts: bool = False) -> Samples:
    """A cycle, or the stretch of time that ``deliver_stretch`` gives, as samples.

    Args:
        rate: samples per second.
        duration: how much of it, s; None: all. A last interval that goes on beyond it holds 0 there.
        resolution: A per step of the converter.
        volts: also the terminals.

    Raises:
        BadInput: a rate at which a phase is shorter than a sample, a table that is too long, a duration that is not covered, or rounding
            that leaves more charge than ``check_balance`` allows.
    """
    if not (np.isfinite(rate) and rate > 0):
        raise BadInput("rate", "is not a number of samples per second", got=rate, allowed="above 0 Hz")
    if resolution is not None and not (np.isfinite(resolution) and resolution > 0):
        raise BadInput("resolution", "is not the step of a converter", got=resolution, allowed="above 0 A")
    edges = delivery.record.edges
    length = float(edges[-1]) if duration is None else duration
    if not 0 < length <= edges[-1] * (1 + 1e-9):
        raise BadInput("duration", "is not within what was delivered", got=f"{length:g} s", allowed=f"above 0 s, up to {edges[-1]:g} s",
                       hint="deliver_stretch gives any stretch of time")
    count = max(1, int(np.ceil(length * rate * (1 - 1e-9))))
    if count > MOST:
        raise BadInput("rate", "makes too long a table", got=f"{count} samples", allowed=f"up to {MOST}", hint="lower the rate or the duration")
    _no_lost_phase(delivery, rate)
    marks = np.minimum(np.arange(count + 1) / rate, length)
    passed = np.column_stack([np.interp(marks, edges, own) for own in delivery.record.charge.T])
    current = np.diff(passed, axis=0) * rate
    if resolution is not None:
        current = np.diff(_whole(passed * (rate / resolution)), axis=0) * resolution
    made = Samples(np.arange(count) / rate, current, _means(delivery, marks) if volts else None, delivery.contacts, rate, resolution,
                   passed[-1] - passed[0], tuple(_notes(delivery, current, passed, rate, length, count)))
    check_balance(made)
    return made


def check_balance(samples: Samples) -> None:
    """Refuse a table whose sampling adds more charge than the direct current that is named as a limit would in its time.

    Raises:
        BadInput: with the electrode, the imbalance, the limit and the rate that would do.
    """
    extra = np.abs(samples.imbalance)
    worst = int(extra.argmax())
    time = len(samples.time) / samples.rate
    number = direct_current_limit()
    most = number.value * 1e-6 * time
    if extra[worst] > most:
        # rounding leaves less than one step for one sample
        rate = samples.rate * float(extra[worst]) / most if samples.resolution is None else samples.resolution / most
        raise BadInput("rate", f"sampling leaves charge at {_name(samples.contacts[worst])}",
                       got=f"{extra[worst] * 1e9:.3g} nC in {time * 1e3:.4g} ms, {extra[worst] / time * 1e6:.3g} uA",
                       allowed=f"up to {most * 1e9:.3g} nC (net direct current of {number.value:g} uA, {number.source})",
                       hint=f"take a rate of {_round_up(rate):g} Hz or more" + ("" if samples.resolution is None else ", or a finer resolution"))


def _whole(steps: Floats) -> Floats:
    """(t, e) whole numbers less than 1 away from ``steps``, whose rows all add up to 0, as theirs do."""
    low = np.floor(steps)
    missing = np.rint(-low.sum(axis=1)).astype(int)
    # the largest remainders go up
    rank = np.argsort(np.argsort(low - steps, axis=1, kind="stable"), axis=1)
    return np.asarray(low + (rank < missing[:, None]))


def _means(delivery: Delivery, marks: Floats) -> Floats:
    """(n, e) terminals, averaged over the part of each interval in which they are connected."""
    edges, ends = delivery.record.edges, delivery.record.terminals
    there = np.isfinite(ends).all(axis=1)
    held = np.diff(edges)[:, None]
    middle = np.where(there, ends.mean(axis=1), 0.0)
    columns = []
    for area, time in zip((middle * held).T, (there * held).T, strict=True):
        sums = [np.diff(np.interp(marks, edges, np.concatenate([[0.0], np.cumsum(own)]))) for own in (area, time)]
        columns.append(np.where(sums[1] > 1e-12, sums[0] / np.where(sums[1] > 1e-12, sums[1], 1.0), np.nan))
    return np.column_stack(columns)


def _runs(charge: Floats) -> list[Floats]:
    """Per electrode the charge of each stretch of one sign."""
    found = []
    for own in charge.T:
        sign = np.sign(np.where(np.abs(own) > 1e-18, own, 0.0))
        found.append(np.add.reduceat(own, np.concatenate([[0], np.flatnonzero(np.diff(sign) != 0) + 1])))
    return found


def _no_lost_phase(delivery: Delivery, rate: float) -> None:
    """Refuse a rate at which a driven phase is shorter than a sample."""
    shortest = min(length for train in delivery.program.trains for length in _phase_lengths(train.waveform.pulse().phases()))
    if shortest < (1 - 1e-6) / rate:
        raise BadInput("rate", "a phase is shorter than a sample", got=f"a phase of {shortest * 1e6:.6g} us, samples of {1e6 / rate:.6g} us",
                       allowed=f"at least {_round_up(1 / shortest):g} Hz", hint="ten samples in a phase keep its shape")


def _phase_lengths(steps: Iterable[tuple[float, float]]) -> list[float]:
    """Lengths of the stretches of one sign, s."""
    return [sum(length for length, _ in own) for sign, own in groupby(steps, key=lambda step: np.sign(step[1])) if sign]


def _notes(delivery: Delivery, current: Floats, passed: Floats, rate: float, length: float, count: int) -> Iterator[str]:
    if abs(count / rate - length) > 1e-12:
        yield (f"the table lasts {format_quantity(round(count / rate, 12), 'time')} where the program's stretch lasts "
               f"{format_quantity(round(length, 12), 'time')}: repeated, it runs {1 - length * rate / count:.2%} slower")
    steps = delivery.record.edges[:-1][np.diff(delivery.record.phase, prepend=-1) != 0] * rate
    if (np.abs(steps - np.rint(steps)) > 1e-6).any():
        ours, theirs = (max(float(np.abs(sums).max()) for sums in _runs(charge))
                        for charge in (current / rate, np.diff(delivery.record.charge, axis=0)))
        yield f"edges fall between samples, which hold the mean; the largest charge of a phase is {ours * 1e6:.4g} uC of {theirs * 1e6:.4g} uC"
    net = np.abs(passed[-1] - passed[0])
    worst = int(net.argmax())
    most = direct_current_limit()
    if net[worst] / length > most.value * 1e-6:
        yield (f"the program itself leaves {net[worst] * 1e9:.4g} nC at {_name(delivery.contacts[worst])} in this time, a mean of "
               f"{net[worst] / length * 1e6:.3g} uA: do not repeat it without a recharge")


def _round_up(rate: float) -> float:
    """To two digits, never down."""
    size = 10.0 ** (np.floor(np.log10(rate)) - 1)
    return float(np.ceil(rate / size * (1 - 1e-9)) * size)


def _name(number: int) -> str:
    return "the case" if number == CASE else f"contact {number}"


def _column(number: int, unit: str) -> str:
    return f"case_{unit}" if number == CASE else f"contact_{number}_{unit}"


def lines(samples: Samples, program: str) -> Iterator[str]:
    """The table as CSV: comments that start with #, names, numbers.

    Args:
        program: what it is, in a line.
    """
    yield f"{HEAD}\n# program: {' '.join(program.split())}\n"
    yield "# units: time in us, the start of each sample; currents in mA into tissue (cathodic negative), means over the sample"
    yield "; voltages in V at the generator against the case, nothing where it is open\n" if samples.volts is not None else "\n"
    yield f"# rate: {format_quantity(samples.rate, 'frequency', 'Hz')}; samples: {len(samples.time)}\n"
    if samples.resolution is not None:
        yield f"# resolution: {format_quantity(samples.resolution, 'current', 'mA')} per step\n"
    yield (f"# charge check: sampling adds at most {np.abs(samples.imbalance).max() * 1e9:.3g} nC per table at an electrode; "
           f"the program leaves {np.abs(samples.own).max() * 1e9:.3g} nC\n")
    for note in samples.notes:
        yield f"# note: {note}\n"
    names = ["time_us", *(_column(n, "mA") for n in samples.contacts)]
    blocks = [samples.time[:, None] * 1e6, samples.current * 1e3]
    if samples.volts is not None:
        names += [_column(n, "V") for n in samples.contacts]
        blocks.append(samples.volts)
    yield ",".join(names) + "\n"
    for row in np.hstack(blocks):
        yield ",".join("" if value != value else f"{value + 0.0:.12g}" for value in row.tolist()) + "\n"


def write(samples: Samples, program: str, path: str | Path) -> Path:
    """Write the table as CSV, whole or not at all; nothing is replaced but an earlier table.

    Raises:
        BadInput: something else is there, or the place cannot be written to.
    """
    return write_whole(path, lines(samples, program), HEAD)
