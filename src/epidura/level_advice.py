"""Where leads for a pain usually lie: the published levels that speak of it, and a place to begin with.

The levels themselves, with their sources, are rows of ``data/lead_levels.csv``. Which row speaks of which area, and the one vertebra and
lateral offset that "take it" means, are readings of this project in ``data/level_advice.csv``: the middle of a range, the rostral one
of two. A row that stands for an indication comes first where the indication is asked for.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from epidura.anatomy import Anatomy
from epidura.anatomy import family as anatomies
from epidura.lead import Lead
from epidura.patient import SIDES, split_side
from epidura.tables import UNVERIFIED, table


@dataclass(frozen=True)
class Advice:
    """A published level that speaks of at least one of the painful areas.

    Attributes:
        target: pain target as the source words it.
        levels, lateral, difficulty: as the source words them.
        evidence, source, doi: of the level.
        notes: of the source, and how this project reads it.
        vertebra: to begin with, for the middle of the contacts.
        offset: to begin with, m from the midline, + to the patient's right.
        kind: of lead; empty: any that lies dorsal of the cord.
        covers: the painful areas that the target speaks of.
        fits: whether it stands for the indication.
    """

    target: str
    levels: str
    lateral: str
    difficulty: str
    evidence: str
    source: str
    doi: str
    notes: str
    vertebra: str
    offset: float
    kind: str
    covers: tuple[str, ...]
    fits: bool

    @property
    def unverified(self) -> bool:
        return self.evidence in UNVERIFIED


def advise(areas: Collection[str], indication: str | None = None) -> tuple[Advice, ...]:
    """Levels for painful areas, the most fitting first: for the indication, covering more areas, read rather than remembered.

    Args:
        areas: as in ``Pain.areas``.
        indication: as in ``Patient.indication``.
    """
    found = []
    for row in table("level_advice"):
        named = set(row["areas"].split())
        covers = tuple(area for area in areas if split_side(area)[1] in named)
        wanted = row["indications"].split()
        if not covers or (wanted == ["angina"] and indication not in (None, "angina")):
            continue
        level = table("lead_levels").row(pain_target=row["pain_target"])
        lateral, sides = float(row["lateral_mm"]), {side for area in covers for side in split_side(area)[0]}
        side = 0 if len(sides) != 1 else 1 if sides == {SIDES[1]} else -1
        # a negative offset is one to the left whatever hurts
        offset = lateral if lateral < 0 else lateral * side
        found.append(Advice(row["pain_target"], level["vertebral_level_of_active_cathode"], level["lateral_position"], level["difficulty"],
                            level["evidence"], level["source"], level["doi_or_url"],
                            "; ".join(part for part in (level["notes"], row["notes"]) if part), row["vertebra"], offset * 1e-3, row["kind"],
                            covers, indication is not None and indication in wanted))
    return tuple(sorted(found, key=lambda one: (not one.fits, -len(one.covers), bool(one.kind), one.unverified)))


def tip_for(anatomy: Anatomy, lead: Lead, vertebra: str) -> tuple[str, float]:
    """Tip vertebra and offset (m) with which the middle of a lead's contacts lies at the middle of a vertebra."""
    spans = anatomy.level().cord.vertebrae
    pads = lead.shape().contacts
    middle = 0.5 * (min(pad.start for pad in pads) + max(pad.end for pad in pads))
    at = next(span.middle for span in spans if span.name == vertebra) + middle
    return nearest_vertebra(anatomy, at)


def nearest_vertebra(anatomy: Anatomy, z: float) -> tuple[str, float]:
    """The vertebra whose middle is nearest to a height, and the height above that middle; m."""
    span = min(anatomy.level().cord.vertebrae, key=lambda one: abs(one.middle - z))
    return span.name, round(z - span.middle, 6) + 0.0


def at_level(anatomy: dict[str, Any], vertebra: str) -> Anatomy:
    """A recipe of anatomy, as written in a case, at another vertebra."""
    found: Anatomy = anatomies.read({**anatomy, "vertebra": vertebra})
    return found
