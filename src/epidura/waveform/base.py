"""What every type of stimulation has in common: a course in time, relative to its amplitude."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from epidura.errors import BadCase
from epidura.recipe import Recipe

Floats = NDArray[np.float64]

# A time that lies closer than this to a step is on it: 1 ns is far below every generator's clock.
SNAP = 1e-9


@dataclass(frozen=True)
class Course:
    """A piecewise constant course, relative to the amplitude; the first phase is +1.

    The sign of a contact's fraction makes the polarity, so +1 here is cathodic at a cathode.

    Attributes:
        times: (k,) s, starting at 0, increasing.
        values: (k,) relative to the amplitude, each held from its time on; the last one is 0.
    """

    times: Floats
    values: Floats

    @classmethod
    def of(cls, *phases: tuple[float, float]) -> Course:
        """From (duration in s, value) phases, one after the other."""
        kept = [(duration, value) for duration, value in phases if duration > 0.0]
        times = np.concatenate([[0.0], np.cumsum([duration for duration, _ in kept])])
        return cls(times, np.array([value for _, value in kept] + [0.0]))

    @property
    def end(self) -> float:
        """Time of the last edge, s."""
        return float(self.times[-1])

    @property
    def charge(self) -> float:
        """Net charge per ampere of amplitude, s (0 when balanced)."""
        return float(np.sum(self.values[:-1] * np.diff(self.times)))

    @property
    def shortest(self) -> float:
        """The shortest phase, s."""
        return float(np.diff(self.times).min())

    def repeated(self, count: int, period: float) -> Course:
        """The course ``count`` times, every ``period`` seconds."""
        times = (self.times[None, :] + period * np.arange(count)[:, None]).ravel()
        # where a copy ends as the next one starts, only the start is an edge
        kept = np.append(np.diff(times) > SNAP, True)
        return Course(times[kept], np.tile(self.values, count)[kept])

    def at_step_starts(self, dt: float) -> Floats:
        """Values at the start of each step up to the last edge, as NEURON samples them; (steps,)."""
        steps = int(np.ceil((self.end - SNAP) / dt))
        which = np.searchsorted(self.times - SNAP, dt * np.arange(steps), side="right") - 1
        return np.asarray(self.values[which])

    def step_means(self, dt: float) -> Floats:
        """Mean over each step, so that charge is kept when edges fall between steps; (steps,)."""
        steps = int(np.ceil((self.end - SNAP) / dt))
        charge = np.concatenate([[0.0], np.cumsum(self.values[:-1] * np.diff(self.times))])
        return np.diff(np.interp(dt * np.arange(steps + 1), self.times, charge)) / dt


class Waveform(Recipe):
    """A type of stimulation."""

    paraesthesia: ClassVar[bool]
    """Whether patients are meant to feel it."""
    usual_amplitude: ClassVar[float]
    """Amplitude that ``auto`` takes, as a multiple of the perception threshold (data/waveforms.csv)."""

    @abstractmethod
    def unit(self) -> Course:
        """The stretch that decides whether a fibre fires: one pulse, one burst, or enough of a carrier."""

    @property
    @abstractmethod
    def period(self) -> float:
        """Time from one unit to the next, s."""

    @abstractmethod
    def words(self) -> str:
        """One line for a person, with units."""

    def pulse_fits(self, duration: float, period: float, what: str) -> None:
        """Refuse a pulse that does not end before the next one begins."""
        if duration > period * (1 + 1e-9):
            raise BadCase("", f"{what} lasts longer than its period", got=f"{duration * 1e6:g} us",
                          allowed=f"up to {period * 1e6:g} us", hint="shorten the pulse or lower the frequency")
