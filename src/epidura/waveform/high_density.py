"""High-density stimulation: many short pulses, weaker than what is felt."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from epidura.units import Frequency, Time
from epidura.waveform.base import Pulses


class HighDensity(Pulses):
    """Sub-perception stimulation at about 1 kHz.

    Fields as ``Pulses``.

    Source: data/waveforms.csv, subkHz / high density: 500-1200 Hz, 60-250 us (1 kHz: 90 us), 40-90 % of the perception
    threshold; the middle is taken. That the second phase is equal to the first is a judgement.
    """

    kind: Literal["high-density"] = "high-density"
    frequency: Frequency = Field(1000.0, gt=0)
    pulse_width: Time = Field(90e-6, gt=0)
    shape: Literal["monophasic", "symmetric", "asymmetric", "passive"] = "symmetric"

    paraesthesia: ClassVar[bool] = False
    clinical: ClassVar[str] = "subkHz / high density"
    usual_amplitude: ClassVar[float] = 0.65
    carrier: ClassVar[float] = 10e-3
