"""Pulses that rise and fall slowly."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from epidura.errors import BadCase
from epidura.units import Frequency, Time, format_quantity
from epidura.waveform.base import Course, Waveform

STEPS = 16
"""Steps of equal height that a slope is made of, as by a generator with a converter; their mean is that of the slope."""


class Ramp(Waveform):
    """Trapezoids and triangles.

    Attributes:
        frequency: pulses per second.
        rise, hold, fall: of the first phase.
        recharge: ``active``, the same course with the other sign after it; ``passive``; ``none``.
        interphase_gap: silence before an active recharge.

    No clinical use is in data/waveforms.csv; the defaults are a judgement.
    """

    kind: Literal["ramp"] = "ramp"
    frequency: Frequency = Field(50.0, gt=0)
    rise: Time = Field(200e-6, ge=0)
    hold: Time = Field(100e-6, ge=0)
    fall: Time = Field(0.0, ge=0)
    recharge: Literal["active", "passive", "none"] = "active"
    interphase_gap: Time = Field(0.0, ge=0)

    paraesthesia: ClassVar[bool] = True
    usual_amplitude: ClassVar[float] = 1.2

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.rise + self.hold + self.fall > 0:
            raise BadCase("hold", "the pulse has no length", got="rise, hold and fall of 0", allowed="at least one above 0 us")
        self.pulse_fits(self.pulse().end, self.period, "a pulse with its recharge")
        return self

    def pulse(self) -> Course:
        up = [(self.rise / STEPS, (k + 0.5) / STEPS) for k in range(STEPS)]
        down = [(self.fall / STEPS, 1 - (k + 0.5) / STEPS) for k in range(STEPS)]
        one = [*up, (self.hold, 1.0), *down]
        back = [(self.interphase_gap, 0.0), *((length, -value) for length, value in one)] if self.recharge == "active" else []
        return Course.of(*one, *back)

    @property
    def passive(self) -> bool:
        return self.recharge == "passive"

    def words(self) -> str:
        parts = ", ".join(f"{name} {format_quantity(value, 'time', 'us')}"
                          for name, value in (("rise", self.rise), ("hold", self.hold), ("fall", self.fall)) if value)
        return f"ramp, {format_quantity(self.frequency, 'frequency')}, {parts}, {self.recharge} recharge"
