"""Burst stimulation: packets of close pulses, weaker than what is felt."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from epidura.units import Frequency, Time, format_quantity
from epidura.waveform.base import SNAP, Course, Waveform


class Burst(Waveform):
    """Packets of pulses.

    Attributes:
        frequency: packets per second.
        intra_frequency: pulses per second inside a packet.
        pulses: pulses in a packet.
        pulse_width: of each pulse.
        recharge: ``passive``, the contacts are joined from the end of a packet to the next one; ``active``, an equal phase of the other sign
            after every pulse.
        interphase_gap: silence between a pulse and its active recharge.

    Source: data/waveforms.csv, burst (BurstDR): 40 Hz, 500 Hz, 5 pulses of 1000 us, passive recharge after
    the burst, 60-90 % of the perception threshold.
    """

    kind: Literal["burst"] = "burst"
    frequency: Frequency = Field(40.0, gt=0)
    intra_frequency: Frequency = Field(500.0, gt=0)
    pulses: int = Field(5, ge=1, le=64)
    pulse_width: Time = Field(1e-3, gt=0)
    recharge: Literal["passive", "active"] = "passive"
    interphase_gap: Time = Field(0.0, ge=0)

    paraesthesia: ClassVar[bool] = False
    clinical: ClassVar[str] = "burst (BurstDR)"
    usual_amplitude: ClassVar[float] = 0.75

    @model_validator(mode="after")
    def _fits(self) -> Self:
        width = self.pulse_width if self.recharge == "passive" else 2 * self.pulse_width + self.interphase_gap
        self.pulse_fits(width, 1.0 / self.intra_frequency, "a pulse inside the burst")
        self.pulse_fits(self.pulse().end, self.period, "a burst with its recharge")
        return self

    def pulse(self) -> Course:
        step = 1.0 / self.intra_frequency
        if self.recharge == "active":
            rest = step - 2 * self.pulse_width - self.interphase_gap
            rest = rest if rest > SNAP else 0.0
            pulse = [(self.pulse_width, 1.0), (self.interphase_gap, 0.0), (self.pulse_width, -1.0), (rest, 0.0)]
            return Course.of(*(pulse * self.pulses)[:-1])
        return Course.of(*([(self.pulse_width, 1.0), (step - self.pulse_width, 0.0)] * self.pulses)[:-1])

    @property
    def passive(self) -> bool:
        return self.recharge == "passive"

    def words(self) -> str:
        return (f"burst, {format_quantity(self.frequency, 'frequency')} packets of {self.pulses} pulses at "
                f"{format_quantity(self.intra_frequency, 'frequency')}, "
                f"{format_quantity(self.pulse_width, 'time', 'us')}, {self.recharge} recharge"
                + (f" after {format_quantity(self.interphase_gap, 'time', 'us')}" if self.recharge == "active" and self.interphase_gap else ""))
