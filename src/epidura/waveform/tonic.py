"""Tonic stimulation: the same pulse again and again, felt as paraesthesia."""

from __future__ import annotations

from typing import ClassVar, Literal

from epidura.waveform.base import Pulses


class Tonic(Pulses):
    """Conventional stimulation: what is felt as tingling.

    Fields as ``Pulses``.

    Source of the usual amplitude: data/waveforms.csv, tonic, 100-140 % of the perception threshold.
    """

    kind: Literal["tonic"] = "tonic"

    paraesthesia: ClassVar[bool] = True
    clinical: ClassVar[str] = "tonic (conventional)"
    usual_amplitude: ClassVar[float] = 1.2
