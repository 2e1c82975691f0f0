"""Closed-loop stimulation: tonic pulses whose amplitude follows what the last one evoked."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from epidura.units import Frequency, Voltage
from epidura.waveform.base import Pulses


class ClosedLoop(Pulses):
    """Pulses of which each may have another amplitude, as a controller says.

    Fields as ``Pulses``.

    The amplitude of a program is that of the first pulse. What follows is the answer of a controller, a function of the number of the
    pulse and its time, which ``program.impulses`` asks before every pulse; without one the amplitude stays.

    Attributes:
        target: evoked compound action potential that a controller holds, peak to peak.

    Source: data/waveforms.csv, ECAP closed-loop: 10-1500 Hz (usually 40-60), 20-1000 us (200-300), between perception and
    the most that is tolerated.
    """

    kind: Literal["closed-loop"] = "closed-loop"
    frequency: Frequency = Field(50.0, gt=0)
    target: Voltage | None = None

    paraesthesia: ClassVar[bool] = True
    clinical: ClassVar[str] = "ECAP closed-loop"
    usual_amplitude: ClassVar[float] = 1.2
