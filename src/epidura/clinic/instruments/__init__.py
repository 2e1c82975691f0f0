"""Instruments: one file per kind. ``family.read({"kind": "phq-9"}).score(answers)`` scores one."""

from epidura.clinic.instruments.base import Instrument, Item, Mark, Score, Value
from epidura.clinic.instruments.change import Change, Relief, change, holistic
from epidura.clinic.instruments.text import ItemText, Licence, read_text
from epidura.recipe import Family

family = Family("epidura.clinic.instruments", Instrument)
family.name = "instrument"  # as it is called in errors and schemas

__all__ = ["Change", "Instrument", "Item", "ItemText", "Licence", "Mark", "Relief", "Score", "Value", "change", "family", "holistic", "read_text"]
