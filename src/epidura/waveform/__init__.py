"""Types of stimulation: one file per kind."""

from epidura.recipe import Family
from epidura.waveform.base import Course, Waveform

family = Family("epidura.waveform", Waveform)

__all__ = ["Course", "Waveform", "family"]
