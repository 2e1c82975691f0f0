"""When each pulse of a program begins: trains that run together without overlap, turns of on and off, ramps.

Times are whole microseconds, as a generator's clock counts them: the k-th pulse of a train is due at its offset + k times the period,
rounded. A pulse that is due while another one lasts waits until that one has ended; its train keeps its rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from epidura.errors import BadCase
from epidura.program import Program

CLOCK = 1e-6
"""s; pulses begin on it."""

LONGEST_CYCLE = 0.2
"""Trains whose common period is longer than this, s, are looked at for so long."""

Controller = Callable[[int, float], float]
"""(number of the pulse, its time in s) -> amplitude relative to the program's: asked before every pulse of a closed loop."""


@dataclass(frozen=True)
class Impulse:
    """One pulse or packet.

    Attributes:
        time: of its start, s.
        end: when its driven phases have ended, s.
        train: which of the program's trains.
        factor: of the amplitude.
    """

    time: float
    end: float
    train: int
    factor: float


def cycle_of(program: Program) -> float:
    """After how long the pulses repeat themselves, s: one period, or what all trains have in common (at most ``LONGEST_CYCLE``)."""
    if len(program.trains) == 1:
        return program.waveform.period
    # frequencies as fractions of whole numbers: periods a / b and c / d have lcm(a, c) / gcd(b, d) in common
    periods = [1 / Fraction(1.0 / train.waveform.period).limit_denominator(1000) for train in program.trains]
    return min(math.lcm(*(p.numerator for p in periods)) / math.gcd(*(p.denominator for p in periods)), LONGEST_CYCLE)


def impulses(program: Program, duration: float, controller: Controller | None = None, start: float = 0.0) -> Iterator[Impulse]:
    """The pulses that begin from ``start`` to ``start + duration`` s after switching on, in order of time.

    Args:
        controller: of the amplitude of a closed loop; without, it stays.

    Raises:
        BadCase: trains that need more time than there is.
    """
    trains = program.trains
    ends = [train.waveform.pulse().end for train in trains]
    lengths = [math.ceil(end / CLOCK - 1e-6) for end in ends]
    periods = [train.waveform.period / CLOCK for train in trains]
    if len(trains) > 1:
        busy = sum(length / period for length, period in zip(lengths, periods, strict=True))
        longest = min(periods) - max(lengths)
        if busy > 1 or longest < 0:
            raise BadCase("interleaved", "the trains do not fit between each other", got=f"pulses that take {busy:.0%} of the time",
                          allowed="less than all, and none longer than the shortest period", hint="shorten pulses or lower a frequency")
    first = np.cumsum([0, *lengths[:-1]])  # each train starts where the pulse before it ends
    count = [0] * len(trains)
    free, number = 0, 0
    while True:
        due = [round(first[i] + count[i] * periods[i]) for i in range(len(trains))]
        # of those that wait the one that was due first; the program's own train before others
        which = min(range(len(trains)), key=lambda i: (max(due[i], free), due[i], i))
        begin = max(due[which], free) if len(trains) > 1 else due[which]
        if begin * CLOCK >= start + duration - 1e-12:
            return
        if len(trains) > 1 and begin - due[which] > periods[which]:
            raise BadCase("interleaved", "a train falls behind by more than a period", got=f"{(begin - due[which]) * CLOCK * 1e3:.3g} ms",
                          allowed=f"up to {periods[which] * CLOCK * 1e3:.3g} ms", hint="shorten pulses or lower a frequency")
        count[which] += 1
        free = begin + lengths[which]
        time = begin * CLOCK
        level = level_at(program, time)
        if time < start - 1e-12 or level is None:
            continue
        factor = level if controller is None or which else level * controller(number, time)
        number += which == 0
        yield Impulse(time, time + ends[which], which, factor)


def level_at(program: Program, time: float) -> float | None:
    """Share of the amplitude at a time after switching on, s; None while a cycle is off."""
    since = time
    if program.cycle is not None:
        since = math.fmod(time, program.cycle.on + program.cycle.off)
        if since >= program.cycle.on - 1e-12:
            return None
    return 1.0 if program.ramp_up == 0 else min(1.0, since / program.ramp_up)
