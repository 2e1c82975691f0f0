"""What every type of stimulation has in common: a course in time, relative to its amplitude."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from epidura.errors import BadCase
from epidura.recipe import Recipe
from epidura.units import Frequency, Time, format_quantity

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
        # where a copy ends as the next one starts, only the start is an edge; a short gap within a pulse is no such place
        ends = np.arange(1, count) * self.times.size - 1
        kept = np.ones(times.size, bool)
        kept[ends] = np.diff(times)[ends] > SNAP
        return Course(times[kept], np.tile(self.values, count)[kept])

    def phases(self) -> tuple[tuple[float, float], ...]:
        """(duration in s, value) one after the other."""
        return tuple(zip(np.diff(self.times).tolist(), self.values[:-1].tolist(), strict=True))

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
    """A type of stimulation.

    Attributes:
        kind: its name in a case; the first key of every kind.
        frequency: pulses or packets per second.
    """

    kind: str
    frequency: Frequency

    paraesthesia: ClassVar[bool]
    """Whether patients are meant to feel it."""
    usual_amplitude: ClassVar[float]
    """Amplitude that ``auto`` takes, as a multiple of the perception threshold (data/waveforms.csv)."""
    clinical: ClassVar[str] = ""
    """The row of data/waveforms.csv that says how it is used; empty where none does."""

    @abstractmethod
    def pulse(self) -> Course:
        """What the current sources force, again and again: one pulse with its active recharge, or one packet.

        Passive recharge is not in it, because it depends on what the contacts are joined through (``epidura.delivery``).
        """

    def unit(self) -> Course:
        """The stretch that decides whether a fibre fires: one pulse, one burst, or enough of a carrier; without passive recharge."""
        return self.pulse()

    @property
    def passive(self) -> bool:
        """Whether the contacts are joined after every pulse or packet, so that its charge flows back by itself."""
        return False

    @property
    def period(self) -> float:
        """Time from one pulse or packet to the next, s."""
        return 1.0 / self.frequency

    @abstractmethod
    def words(self) -> str:
        """One line for a person, with units."""

    def pulse_fits(self, duration: float, period: float, what: str) -> None:
        """Refuse a pulse that does not end before the next one begins."""
        if duration > period * (1 + 1e-9):
            raise BadCase("", f"{what} lasts longer than its period", got=f"{duration * 1e6:g} us",
                          allowed=f"up to {period * 1e6:g} us", hint="shorten the pulse or lower the frequency")


class Pulses(Waveform):
    """Equal pulses at one frequency.

    Attributes:
        frequency: pulses per second.
        pulse_width: of the first phase.
        shape: ``monophasic``; ``symmetric``, an equal phase of the other sign; ``asymmetric``, a longer and
            weaker one of equal charge; ``passive``, the contacts are joined until the next pulse.
        recharge_ratio: how many times longer and weaker the second phase of ``asymmetric`` is.
        interphase_gap: silence between the two phases.
    """

    frequency: Frequency = Field(50.0, gt=0)
    pulse_width: Time = Field(300e-6, gt=0)
    shape: Literal["monophasic", "symmetric", "asymmetric", "passive"] = "asymmetric"
    recharge_ratio: float = Field(10.0, ge=1)
    interphase_gap: Time = Field(0.0, ge=0)

    carrier: ClassVar[float] = 0.0
    """How long a train of pulses is simulated to decide whether a fibre fires, s; 0: one pulse."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self.pulse_fits(self.pulse().end, self.period, "a pulse with its recharge")
        return self

    def pulse(self) -> Course:
        ratio = {"symmetric": 1.0, "asymmetric": self.recharge_ratio}.get(self.shape, 0.0)
        if ratio == 0.0:
            return Course.of((self.pulse_width, 1.0))
        return Course.of((self.pulse_width, 1.0), (self.interphase_gap, 0.0), (self.pulse_width * ratio, -1.0 / ratio))

    def unit(self) -> Course:
        return self.pulse().repeated(max(1, round(self.carrier * self.frequency)), self.period)

    @property
    def passive(self) -> bool:
        return self.shape == "passive"

    def words(self) -> str:
        return (f"{self.kind.replace('-', ' ')}, {format_quantity(self.frequency, 'frequency')}, "
                f"{format_quantity(self.pulse_width, 'time', 'us')}, {self.shape}")
