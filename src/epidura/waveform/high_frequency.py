"""High-frequency stimulation: a kilohertz carrier that is not felt."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from epidura.units import Frequency, Time, format_quantity
from epidura.waveform.base import Course, Waveform


class HighFrequency(Waveform):
    """Symmetric biphasic pulses at a kilohertz frequency.

    Attributes:
        frequency: pulses per second.
        pulse_width: of each phase.
        interphase_gap: silence between the phases.
        train: length of carrier that is simulated to decide whether a fibre fires; at threshold an MRG fibre fires within
            the first 3 ms of 10 kHz (NEURON 9.0.2, 5.7 to 12.8 um).

    Source: data/waveforms.csv, 10 kHz: 30 us, symmetric biphasic, below the perception threshold. The share
    of the perception threshold that ``auto`` takes is a judgement: the table says only 'below'.
    """

    kind: Literal["high-frequency"] = "high-frequency"
    frequency: Frequency = Field(10e3, gt=0)
    pulse_width: Time = Field(30e-6, gt=0)
    interphase_gap: Time = Field(0.0, ge=0)
    train: Time = Field(10e-3, gt=0)

    paraesthesia: ClassVar[bool] = False
    clinical: ClassVar[str] = "10 kHz (HF10)"
    usual_amplitude: ClassVar[float] = 0.8

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self.pulse_fits(self.pulse().end, self.period, "a pulse with its recharge")
        return self

    def pulse(self) -> Course:
        return Course.of((self.pulse_width, 1.0), (self.interphase_gap, 0.0), (self.pulse_width, -1.0))

    def unit(self) -> Course:
        return self.pulse().repeated(max(1, round(self.train * self.frequency)), self.period)

    def words(self) -> str:
        return (f"high frequency, {format_quantity(self.frequency, 'frequency')}, "
                f"{format_quantity(self.pulse_width, 'time', 'us')} per phase")
