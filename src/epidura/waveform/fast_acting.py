"""Fast-acting sub-perception stimulation."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from epidura.units import Frequency, Time
from epidura.waveform.base import Pulses


class FastActing(Pulses):
    """Relief within minutes below perception, over contacts that surround the target.

    Fields as ``Pulses``.

    Source: data/waveforms.csv, FAST: 90 Hz, 210-250 us, 40 % of the perception threshold (recall).
    """

    kind: Literal["fast-acting"] = "fast-acting"
    frequency: Frequency = Field(90.0, gt=0)
    pulse_width: Time = Field(210e-6, gt=0)

    paraesthesia: ClassVar[bool] = False
    clinical: ClassVar[str] = "FAST"
    usual_amplitude: ClassVar[float] = 0.4
