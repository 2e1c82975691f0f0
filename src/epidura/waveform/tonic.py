"""Tonic stimulation: the same pulse again and again, felt as paraesthesia."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from epidura.units import Frequency, Time, format_quantity
from epidura.waveform.base import Course, Waveform


class Tonic(Waveform):
    """Equal pulses at one frequency.

    Attributes:
        frequency: pulses per second.
        pulse_width: of the first phase.
        shape: ``monophasic``; ``symmetric``, an equal phase of the other sign; ``asymmetric``, a longer and
            weaker one of equal charge.
        recharge_ratio: how many times longer and weaker the second phase of ``asymmetric`` is.
        interphase_gap: silence between the two phases.

    Source of the usual amplitude: data/waveforms.csv, tonic, 100-140 % of the perception threshold.
    """

    kind: Literal["tonic"] = "tonic"
    frequency: Frequency = Field(50.0, gt=0)
    pulse_width: Time = Field(300e-6, gt=0)
    shape: Literal["monophasic", "symmetric", "asymmetric"] = "asymmetric"
    recharge_ratio: float = Field(10.0, ge=1)
    interphase_gap: Time = Field(0.0, ge=0)

    paraesthesia: ClassVar[bool] = True
    usual_amplitude: ClassVar[float] = 1.2

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self.pulse_fits(self.unit().end, self.period, "a pulse with its recharge")
        return self

    def unit(self) -> Course:
        ratio = {"monophasic": 0.0, "symmetric": 1.0, "asymmetric": self.recharge_ratio}[self.shape]
        if ratio == 0.0:
            return Course.of((self.pulse_width, 1.0))
        return Course.of((self.pulse_width, 1.0), (self.interphase_gap, 0.0), (self.pulse_width * ratio, -1.0 / ratio))

    @property
    def period(self) -> float:
        return 1.0 / self.frequency

    def words(self) -> str:
        return (f"tonic, {format_quantity(self.frequency, 'frequency')}, "
                f"{format_quantity(self.pulse_width, 'time', 'us')}, {self.shape}")
