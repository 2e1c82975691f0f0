"""Leads placed in the canal, and the canal meshed around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from epidura.anatomy import Anatomy
from epidura.anatomy.base import OUTLINES, TISSUES, Level
from epidura.errors import BadGeometry, nearest
from epidura.lead import Lead
from epidura.product import Canal, Contact, Shaft
from epidura.tables import Number, table

if TYPE_CHECKING:
    from epidura.numerics.section import Loop

Floats = NDArray[np.float64]

RING = 32
"""Points around a lead. The polygon encloses the area of the circle."""

EDGES = {"grey-matter": 0.4e-3, "white-matter": 0.35e-3, "csf": 0.5e-3, "dura": 0.5e-3, "epidural-fat": 0.8e-3,
         "bone": 2.5e-3, "bulk": 8e-3, "encapsulation": 0.2e-3}
"""Largest edge in each tissue, m."""

LOOP_EDGES = {"grey-matter": 0.35e-3, "cord": 0.5e-3, "dura-inner": 0.7e-3, "dura-outer": 0.7e-3, "canal": 1e-3,
              "bone": 3e-3, "bulk": 8e-3}
"""Largest edge along each outline, m; shorter near the leads and the dorsal columns."""

NEAR_LEAD, NEAR_COLUMN, GROWTH = 0.16e-3, 0.25e-3, 0.2
"""Edge at a lead and at the dorsal columns, m, and its growth per distance from there."""


def place_leads(anatomy: Anatomy, leads: Sequence[Lead]) -> tuple[Shaft, ...]:
    """The leads in the dorsal epidural space of the anatomy, without a mesh.

    Raises:
        BadGeometry: an unknown vertebra, or a lead through the dura, the bone or another lead.
    """
    return _place(anatomy, leads).shafts


def build_canal(anatomy: Anatomy, leads: Sequence[Lead]) -> Canal:
    """The leads in the canal, and the cross-section meshed; labels are positions in ``Canal.tissues``.

    Raises:
        BadGeometry: as ``place_leads``, or outlines that cannot be meshed.
    """
    from epidura.numerics.section import mesh_section  # Netgen is slow to import

    placed = _place(anatomy, leads)
    level = placed.level
    try:
        section = mesh_section(_loops(level, placed.shafts), [EDGES[name] for name in TISSUES], grading=0.3)
    except ValueError as failure:
        raise BadGeometry("anatomy", f"the canal cannot be meshed: {failure}",
                          hint="change the lengths that were given, or move the leads") from None
    return Canal(
        outlines=level.outlines,
        tissues=tuple(level.tissues[name] for name in TISSUES),
        shafts=placed.shafts,
        cord=level.cord,
        section=section,
        vertebra=level.vertebra,
        numbers=tuple(dict.fromkeys((*level.numbers, *placed.numbers))),
        warnings=(*level.warnings, *placed.warnings),
    )


@dataclass(frozen=True)
class _Placed:
    level: Level
    shafts: tuple[Shaft, ...]
    numbers: tuple[Number, ...]
    warnings: tuple[str, ...]


def _place(anatomy: Anatomy, leads: Sequence[Lead]) -> _Placed:
    level = anatomy.level()
    limits = _Limits()
    shafts: list[Shaft] = []
    warnings: list[str] = []
    numbers: list[Number] = list(limits.numbers)
    widening = 0.0
    first = 1
    for i, lead in enumerate(leads):
        shape = lead.shape()
        z_tip = _tip(level, lead, i)
        y, wider = _fit(level, lead, shape.radius, limits, i)
        contacts = tuple(Contact(first + k, i, z_tip - end, z_tip - start, 2 * np.pi * shape.radius * (end - start))
                         for k, (start, end) in enumerate(shape.contacts))
        shaft = Shaft(i, shape.name, lead.lateral, y, shape.radius, lead.encapsulation, contacts, z_tip)
        for other in shafts:
            _apart(shaft, other, limits)
        shafts.append(shaft)
        warnings += _misplaced(level, shaft, lead, limits)
        numbers += shape.numbers
        widening = max(widening, wider)
        first += len(contacts)
    if widening > 0:
        level = level.widened(widening)
        warnings.append(f"the dorsal epidural space at {level.vertebra} was widened by {widening * 1e3:.2f} mm "
                        "to make room for the leads")
    return _Placed(level, tuple(shafts), tuple(numbers), tuple(warnings))


class _Limits:
    """Rules of placing, from data/canal_facts.csv, in m."""

    def __init__(self) -> None:
        self.gap, self.widening, self.far = (self._fact(name) for name in ("least gap", "largest widening", "far from level"))

    @property
    def numbers(self) -> tuple[Number, ...]:
        return tuple(table("canal_facts").number(name, "value", "mm", quantity=name)
                     for name in ("least gap", "largest widening", "far from level"))

    @staticmethod
    def _fact(name: str) -> float:
        return table("canal_facts").number(name, "value", "mm", quantity=name).value * 1e-3


def _tip(level: Level, lead: Lead, i: int) -> float:
    """z of the tip, m."""
    spans = {span.name: span for span in level.cord.vertebrae}
    if lead.tip_vertebra not in spans:
        names = list(spans)
        raise BadGeometry(f"leads[{i}].tip_vertebra", "there is no such vertebra", got=lead.tip_vertebra,
                          allowed=f"{names[0]} to {names[-1]}", hint=nearest(lead.tip_vertebra.upper(), names))
    return float(spans[lead.tip_vertebra].middle + lead.tip_offset)


def _fit(level: Level, lead: Lead, radius: float, limits: _Limits, i: int) -> tuple[float, float]:
    """y of the lead's centre, and by how much the dorsal wall must move to make room; m."""
    if 0 < lead.encapsulation < limits.gap or lead.encapsulation < 0:
        raise BadGeometry(f"leads[{i}].encapsulation", "a layer too thin to exist", got=_mm(lead.encapsulation),
                          allowed=f"0 mm, or at least {_mm(limits.gap)}")
    if lead.depth < limits.gap:
        raise BadGeometry(f"leads[{i}].depth", f"the lead goes {_mm(-lead.depth)} into the dura" if lead.depth < 0
                          else "the lead touches the dura", got=_mm(lead.depth), allowed=f"at least {_mm(limits.gap)}")
    thick = radius + lead.encapsulation
    found = _room(level, lead.lateral, thick, lead.depth, limits)
    if found is None:
        dura, canal = level.outlines["dura-outer"], level.outlines["canal"]
        beyond = thick - _inside(canal, lead.lateral, float(dura[dura[:, 0].argmax(), 1]))
        raise BadGeometry(f"leads[{i}].lateral", f"the lead {_overlap(beyond, 0.0)} the wall of the canal" if beyond > 0 else
                          f"the lead lies {_mm(abs(lead.lateral) - dura[:, 0].max())} beside the dural sac, not dorsal of it",
                          got=_mm(lead.lateral), allowed=_lateral(level, thick, lead.depth, limits))
    y, lacking, wider = found
    if wider == 0.0 or (np.isfinite(wider) and not level.fixed_wall):
        return y, wider
    sideways = _lateral(level, thick, lead.depth, limits)
    if level.fixed_wall:
        hint = "make dorsal_epidural larger, or leave it out to have the space widened"
    else:
        hint = "move the lead towards the midline" if sideways else "make depth or encapsulation smaller"
    raise BadGeometry(f"leads[{i}]", f"the lead {_overlap(lacking, limits.gap)} the wall of the canal",
                      got=f"{_mm(2 * thick)} thick with its encapsulation, {_mm(lead.lateral)} lateral, "
                          f"{_mm(lead.depth)} off the dura",
                      allowed=f"lateral {sideways}" if sideways else "", hint=hint)


def _room(level: Level, x: float, thick: float, depth: float, limits: _Limits) -> tuple[float, float, float] | None:
    """y of a lead ``thick`` m in radius at ``x``, what it lacks to the wall, and the widening that it needs (inf: no use).

    None: there is no dura ventral of it to lie on.
    """
    dura = level.outlines["dura-outer"]
    low, high = dura[:, 1].min() - thick - depth - 1e-3, dura[dura[:, 0].argmax(), 1]
    if abs(x) >= dura[:, 0].max():
        return None
    for _ in range(48):
        y = 0.5 * (low + high)
        low, high = (y, high) if -_inside(dura, x, y) > thick + depth else (low, y)
    y = float(low)
    needed = thick + limits.gap

    def lacking(wider: float) -> float:
        return needed - _inside(level.widened(wider).outlines["canal"], x, y)

    if lacking(0.0) <= 0:
        return y, 0.0, 0.0
    if lacking(limits.widening) > 0:
        return y, lacking(0.0), np.inf
    less, more = 0.0, limits.widening
    for _ in range(30):
        middle = 0.5 * (less + more)
        less, more = (less, middle) if lacking(middle) <= 0 else (middle, more)
    return y, lacking(0.0), more


def _lateral(level: Level, thick: float, depth: float, limits: _Limits) -> str:
    """The range of lateral offsets where such a lead fits, or an empty text."""
    def fits(x: float) -> bool:
        found = _room(level, x, thick, depth, limits)
        return found is not None and found[2] <= (0.0 if level.fixed_wall else limits.widening)

    steps = np.arange(0.0, level.outlines["canal"][:, 0].max(), 0.1e-3)
    good = [x for x in steps if fits(float(x))]
    return f"-{_mm(good[-1])} to {_mm(good[-1])}" if good else ""


def _inside(outline: Floats, x: float, y: float) -> float:
    """Distance of a point to a closed polygon, + inside and - outside; m."""
    a, b = outline, np.roll(outline, -1, axis=0)
    along, to = b - a, np.array([x, y]) - a
    share = np.clip((to * along).sum(axis=1) / (along * along).sum(axis=1), 0.0, 1.0)
    distance = float(np.hypot(*(to - share[:, None] * along).T).min())
    crosses = (a[:, 1] > y) != (b[:, 1] > y)
    at = a[crosses, 0] + (y - a[crosses, 1]) * along[crosses, 0] / along[crosses, 1]
    return distance if int((at > x).sum()) % 2 else -distance


def _apart(shaft: Shaft, other: Shaft, limits: _Limits) -> None:
    """Leads run on caudally in parallel, so they must lie apart in the plane, wherever their tips are."""
    distance = float(np.hypot(shaft.x - other.x, shaft.y - other.y))
    needed = shaft.radius + shaft.encapsulation + other.radius + other.encapsulation + limits.gap
    if distance < needed:
        raise BadGeometry(f"leads[{shaft.lead}]", f"the lead {_overlap(needed - distance, limits.gap)} leads[{other.lead}]",
                          got=f"{_mm(distance)} between their centres",
                          allowed=f"at least {_mm(needed)} with their encapsulations", hint="change lateral")


def _misplaced(level: Level, shaft: Shaft, lead: Lead, limits: _Limits) -> list[str]:
    """Whether a lead leaves out the level that is modelled."""
    top, bottom = max(c.z1 for c in shaft.contacts), min(c.z0 for c in shaft.contacts)
    where = f"leads[{shaft.lead}]: the tip at {lead.tip_vertebra}"
    if abs(shaft.z_tip) > limits.far:
        return [f"{where} is {_mm(abs(shaft.z_tip))} from {level.vertebra}, whose cross-section is modelled"]
    here = next(span for span in level.cord.vertebrae if span.name == level.vertebra)
    if bottom > here.z1 or top < here.z0:
        return [f"{where} leaves every contact at least {_mm(max(bottom - here.z1, here.z0 - top))} off {level.vertebra}"]
    return []


def _overlap(lacking: float, gap: float) -> str:
    """What is wrong when ``lacking`` m are missing to a distance of ``gap`` m, without the object."""
    return f"lies {_mm(lacking - gap)} inside" if lacking > gap else f"lies {_mm(lacking)} too near to"


def _mm(length: float) -> str:
    return f"{length * 1e3:.2f} mm"


def _loops(level: Level, shafts: tuple[Shaft, ...]) -> list[Loop]:
    """Loops for ``mesh_section``: the outlines from within, then every lead."""
    from epidura.numerics.section import Loop

    loops: list[Loop] = []
    for label, name in enumerate(OUTLINES):
        points = graded(level.outlines[name], _edges(level.outlines[name], name, level, shafts))
        loops.append(Loop(points, label, label + 1 if name != "bulk" else -1, LOOP_EDGES[name], keep=True))
    fat, layer = TISSUES.index("epidural-fat"), TISSUES.index("encapsulation")
    angle = np.arange(RING) * (2 * np.pi / RING)
    circle = np.column_stack([np.cos(angle), np.sin(angle)]) * np.sqrt(angle[1] / np.sin(angle[1]))
    for shaft in shafts:
        centre = np.array([shaft.x, shaft.y])
        around = fat
        if shaft.encapsulation > 0:
            thick = shaft.radius + shaft.encapsulation
            loops.append(Loop(centre + thick * circle, layer, fat, NEAR_LEAD, keep=True))
            around = layer
        loops.append(Loop(centre + shaft.radius * circle, -1, around, NEAR_LEAD, keep=True))
    return loops


def _edges(outline: Floats, name: str, level: Level, shafts: tuple[Shaft, ...]) -> Floats:
    """Wanted edge length at each point of an outline, m: short at the leads and at the dorsal columns."""
    wanted = np.full(len(outline), LOOP_EDGES[name])
    for shaft in shafts:
        distance = np.hypot(outline[:, 0] - shaft.x, outline[:, 1] - shaft.y) - shaft.radius - shaft.encapsulation
        wanted = np.minimum(wanted, NEAR_LEAD + GROWTH * np.clip(distance, 0.0, None))
    column = level.cord.dorsal_column
    beside = np.clip(np.abs(outline[:, 0]) - column[:, 0].max(), 0.0, None)
    above = np.clip(outline[:, 1] - column[:, 1].max(), 0.0, None) + np.clip(column[:, 1].min() - outline[:, 1], 0.0, None)
    return np.asarray(np.minimum(wanted, NEAR_COLUMN + GROWTH * np.hypot(beside, above)))


def graded(outline: Floats, edges: Floats) -> Floats:
    """A finely sampled smooth outline resampled to the wanted edge lengths, enclosing the same area.

    Chords cut the convex parts of a curve; each point is moved outwards by what its chords cut off on average,
    so that thin layers such as the dura keep their thickness.

    Args:
        outline: (k, 2) m, closed, counter-clockwise.
        edges: (k,) wanted length of an edge at each point, m.
    """
    closed = np.vstack([outline, outline[:1]])
    piece = np.hypot(*np.diff(closed, axis=0).T)
    count = np.concatenate([[0.0], np.cumsum(piece * 0.5 * (1 / edges + 1 / np.roll(edges, -1)))])
    swept = np.concatenate([[0.0], np.cumsum(0.5 * _cross(closed[:-1], closed[1:]))])
    at = np.linspace(0.0, count[-1], max(12, round(count[-1])) + 1)
    points = np.column_stack([np.interp(at, count, closed[:, 0]), np.interp(at, count, closed[:, 1])])
    chord = np.diff(points, axis=0)
    length = np.hypot(*chord.T)
    cut = (np.diff(np.interp(at, count, swept)) - 0.5 * _cross(points[:-1], points[1:])) / length
    outwards = np.column_stack([chord[:, 1], -chord[:, 0]]) / length[:, None]
    push = cut[:, None] * outwards
    return np.asarray(points[:-1] + 0.5 * (push + np.roll(push, 1, axis=0)))


def _cross(a: Floats, b: Floats) -> Floats:
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
