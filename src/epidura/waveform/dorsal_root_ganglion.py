"""Stimulation of a dorsal root ganglion."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from epidura.units import Frequency, Time
from epidura.waveform.base import Pulses


class DorsalRootGanglion(Pulses):
    """Slow pulses over a lead at the foramen.

    Fields as ``Pulses``.

    Source: data/waveforms.csv, DRG: 4-80 Hz (usually 20), 40-1000 us (200-300), at or just below perception (recall). That it runs at
    90 % of perception by itself is a judgement.
    """

    kind: Literal["dorsal-root-ganglion"] = "dorsal-root-ganglion"
    frequency: Frequency = Field(20.0, gt=0)
    pulse_width: Time = Field(260e-6, gt=0)

    paraesthesia: ClassVar[bool] = False
    clinical: ClassVar[str] = "DRG"
    usual_amplitude: ClassVar[float] = 0.9
