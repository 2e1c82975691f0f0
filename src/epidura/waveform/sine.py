"""Sinusoidal stimulation."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from epidura.units import Frequency, Time, format_quantity
from epidura.waveform.base import Course, Waveform

STEPS = 32
"""Pieces of one period, each with the mean of the sine over it: charge is kept exactly."""


class Sine(Waveform):
    """A sine without a pause.

    Attributes:
        frequency: periods per second.
        train: length that is simulated to decide whether a fibre fires.

    No clinical use is in data/waveforms.csv; the share of perception that ``auto`` takes is a judgement, as for 10 kHz.
    """

    kind: Literal["sine"] = "sine"
    frequency: Frequency = Field(1000.0, gt=0)
    train: Time = Field(10e-3, gt=0)

    paraesthesia: ClassVar[bool] = False
    usual_amplitude: ClassVar[float] = 0.8

    def pulse(self) -> Course:
        edges = np.arange(STEPS + 1) / STEPS
        means = -np.diff(np.cos(2 * np.pi * edges)) * STEPS / (2 * np.pi)
        means = 0.5 * (means - means[::-1])  # both halves alike to the last digit
        return Course(edges / self.frequency, np.append(means, 0.0))

    def unit(self) -> Course:
        return self.pulse().repeated(max(1, round(self.train * self.frequency)), self.period)

    def words(self) -> str:
        return f"sine, {format_quantity(self.frequency, 'frequency')}"
