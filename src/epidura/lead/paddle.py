"""Paddle leads: flat slabs with columns of contacts on the face towards the dura, put in through an opening in a lamina."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import field_validator

from epidura.lead.base import Lead, LeadShape, Pad, known_model
from epidura.tables import table

TYPE = "paddle"


class Paddle(Lead):
    """A paddle lead of a known make.

    Contacts are numbered column by column, from the patient's left to the right, and from the tip downwards in each column.
    Every column is centred on the middle of the array, so that columns that differ by one contact are staggered by half a row.

    Attributes:
        model: its name in data/leads.csv (column id), such as specify-5-6-5.
    """

    kind: Literal["paddle"] = "paddle"
    model: str

    @field_validator("model", mode="before")
    @classmethod
    def _known(cls, value: object) -> object:
        return known_model(value, TYPE)

    def shape(self) -> LeadShape:
        leads, paddles = table("leads"), table("paddles")
        row, plan = leads.row(id=self.model), paddles.row(model=self.model)
        name = f"{row['manufacturer']} {row['model']}"
        count, length, pitch = (
            leads.number(f"{what} of {name}", column, unit, id=self.model)
            for what, column, unit in (("contacts", "contacts", "1"), ("contact length", "contact_length_mm", "mm"), ("row pitch", "pitch_mm", "mm")))
        wide, across, tip, width, thickness, long = (
            paddles.number(f"{what} of {name}", column, "mm", evidence, model=self.model)
            for what, column, evidence in (
                ("contact width", "contact_width_mm", "evidence"), ("column pitch", "column_pitch_mm", "evidence"),
                ("tip to first contact", "tip_mm", "tip_evidence"), ("paddle width", "width_mm", "width_evidence"),
                ("paddle thickness", "thickness_mm", "evidence"), ("paddle length", "length_mm", "evidence")))
        columns = [int(n) for n in plan["rows"].split("-")]
        disc = plan["contact_shape"] == "disc"
        # a square as large as the disc; the pitch of the middles stays
        shrunk = np.sqrt(np.pi) / 2 if disc else 1.0
        half = 0.5 * shrunk * np.array([length.value, wide.value])
        middle = tip.value + 0.5 * length.value + 0.5 * (max(columns) - 1) * pitch.value
        pads = []
        for column, rows in enumerate(columns):
            x = (column - 0.5 * (len(columns) - 1)) * across.value
            for i in range(rows):
                s = middle + (i - 0.5 * (rows - 1)) * pitch.value
                pads.append(Pad(*(float(v) * 1e-3 for v in (s - half[0], s + half[0], x - half[1], x + half[1]))))
        notes = ("its round contacts are drawn as squares of equal area",) if disc else ()
        return LeadShape(name, 0.5e-3 * thickness.value, 0.5e-3 * width.value, tuple(pads),
                         (count, length, pitch, wide, across, tip, width, thickness, long), 1e-3 * long.value, notes)
