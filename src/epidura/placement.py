"""Leads placed in the epidural space of a canal that may change along the spine.

A lead dorsal of the dural sac lies ``depth`` off the dura at every height: a thin cylinder follows the dura, a paddle is rigid
and keeps to one straight line. Where the wall of the canal is in the way, its dorsal part is moved. A lead at a dorsal root
ganglion lies between the side of the sac and the wall, which is never moved there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from epidura.anatomy import Anatomy
from epidura.anatomy.base import Level, Stretch
from epidura.errors import BadGeometry, nearest
from epidura.lead import Lead, LeadShape
from epidura.lead.base import Layer
from epidura.product import Contact, Shaft
from epidura.tables import Number, table

Floats = NDArray[np.float64]

BELOW = 10e-3
"""How far below its last contact a lead that runs on still follows the dura, m."""

STEP, SIDESTEP = 3e-3, 0.3e-3
"""Largest distance between the heights at which a lead is placed, m: along the spine, and sideways for a lead at an angle,
which keeps the chord of a round dura within 2 um of it."""

FINE = 0.3e-3
"""Distance between the points across a paddle, or along two leads, at which their gap is taken, m. Between them the gap to a
dura of 6 mm radius is less than 2 um smaller."""

HALVINGS = 36
"""Bisections of a range of about 10 mm for a position: to 1e-13 m."""


@dataclass(frozen=True)
class Placed:
    """Leads in their canal.

    Attributes:
        stretch: the canal, widened by the same amount everywhere if the leads needed it.
        shafts: the leads; contacts are numbered on from lead to lead.
        layers: the encapsulation of each lead.
        numbers: every number of leads and rules that was used.
        warnings: what a reader should know.
        beside: numbers, from 0, of the leads that lie beside the dural sac.
    """

    stretch: Stretch
    shafts: tuple[Shaft, ...]
    layers: tuple[Layer, ...]
    numbers: tuple[Number, ...]
    warnings: tuple[str, ...]
    beside: tuple[int, ...] = ()


def span(anatomy: Anatomy, leads: Sequence[Lead]) -> tuple[float, float]:
    """Heights (lowest, highest) in m between which the leads have contacts, a tip or a paddle.

    Raises:
        BadGeometry: an unknown vertebra.
    """
    level = anatomy.level()
    tips = [_tip(level, lead, i) for i, lead in enumerate(leads)]
    return min(_end(lead, lead.shape(), tip) for lead, tip in zip(leads, tips, strict=True)), max(tips)


def place(stretch: Stretch, leads: Sequence[Lead]) -> Placed:
    """The leads in the epidural space of a stretch of the canal.

    Raises:
        BadGeometry: an unknown vertebra; a lead beyond the stretch, through the dura, the bone or another lead; a lead
            too steep, or with an impossible depth or encapsulation.
    """
    limits = _Limits()
    shafts: list[Shaft] = []
    layers: list[Layer] = []
    warnings: list[str] = []
    numbers: list[Number] = [limits.numbers[name] for name in ("least gap", "least wall gap", "largest widening", "far from level")]
    widening = 0.0
    first = 1
    for i, lead in enumerate(leads):
        shape, layer = lead.shape(), lead.layer()
        shaft, wider = _Seat(stretch, lead, shape, layer, limits, i).shaft(first)
        for other in shafts:
            _apart(shaft, other, limits, stretch)
        shafts.append(shaft)
        layers.append(layer)
        warnings += _misplaced(stretch, shaft, lead, limits)
        warnings += [f"leads[{i}]: {note}" for note in shape.notes]
        numbers += [*shape.numbers, *layer.numbers]
        if shape.length is not None:
            numbers.append(limits.numbers["largest laminotomy"])
        widening = max(widening, wider)
        first += len(shape.contacts)
    if widening > 0:
        at = "" if len(stretch.z) > 1 else f" at {stretch.level.vertebra}"
        paddle = " (a laminotomy)" if any(shaft.half_width is not None for shaft in shafts) else ""
        warnings.append(f"the dorsal epidural space{at} was widened by {widening * 1e3:.2f} mm to make room for the leads{paddle}")
        stretch = replace(stretch, levels=tuple(level.widened(widening) for level in stretch.levels))
    beside = tuple(i for i, lead in enumerate(leads) if lead.beside)
    return Placed(stretch, tuple(shafts), tuple(layers), tuple(numbers), tuple(warnings), beside)


class _Limits:
    """Rules of placing, from data/canal_facts.csv, in m and rad."""

    def __init__(self) -> None:
        facts = table("canal_facts")
        self.numbers = {name: facts.number(name, "value", unit, quantity=name) for name, unit in (
            ("least gap", "mm"), ("least wall gap", "mm"), ("largest widening", "mm"), ("far from level", "mm"), ("largest laminotomy", "mm"),
            ("largest angle", "deg"))}
        self.gap, self.wall, self.widening, self.far, self.laminotomy = (
            self.numbers[name].value * 1e-3 for name in ("least gap", "least wall gap", "largest widening", "far from level", "largest laminotomy"))
        self.angle = float(np.deg2rad(self.numbers["largest angle"].value))


class _Slice:
    """The canal at one height, interpolated between two stations of a stretch."""

    def __init__(self, stretch: Stretch, z: float):
        last = len(stretch.z) - 1
        i = int(np.clip(np.searchsorted(stretch.z, z, side="right") - 1, 0, last))
        j = min(i + 1, last)
        self.z = z
        self.share = float(np.clip((z - stretch.z[i]) / (stretch.z[j] - stretch.z[i]), 0.0, 1.0)) if j > i else 0.0
        self.levels = stretch.levels[i], stretch.levels[j]
        self.dura = self._mixed("dura-outer", self.levels)

    def canal(self, wider: float) -> Floats:
        """Outline of the canal once its dorsal wall is moved by ``wider`` m."""
        if wider == 0.0:
            return self._mixed("canal", self.levels)
        below = self.levels[0].widened(wider)
        return self._mixed("canal", (below, below if self.share == 0.0 else self.levels[1].widened(wider)))

    def _mixed(self, name: str, levels: tuple[Level, Level]) -> Floats:
        below = levels[0].outlines[name]
        return below if self.share == 0.0 else below + self.share * (levels[1].outlines[name] - below)


class _Seat:
    """One lead on its way to its place; all heights in m, x(k,) and y(k,) at the heights ``z`` (k,) from below."""

    def __init__(self, stretch: Stretch, lead: Lead, shape: LeadShape, layer: Layer, limits: _Limits, i: int,
                 advise: bool = True):
        self.stretch, self.lead, self.shape, self.limits, self.i = stretch, lead, shape, limits, i
        self.layer, self.advise = layer.thickness, advise
        self._check()
        self.thick = shape.radius + self.layer
        self.rigid = shape.length is not None
        # a plane across the spine cuts a paddle at an angle obliquely
        self.flat = shape.half_width / np.cos(lead.angle) - shape.radius if self.rigid else 0.0
        self.z_tip = _tip(stretch.level, lead, i)
        self.bottom = _end(lead, shape, self.z_tip)
        self._covered()
        self.z = self._heights()
        self.slices = [_Slice(stretch, float(z)) for z in self.z]
        self.x = lead.lateral + np.tan(lead.angle) * (np.clip(self.z, self.bottom - BELOW, self.z_tip) - self.z_tip)
        self.turn = self._turn(self.slices[len(self.z) // 2].dura, float(self.x[len(self.z) // 2])) if self.rigid else 0.0
        self.most = limits.laminotomy if self.rigid else limits.widening
        self.fixed = any(level.fixed_wall for level in stretch.levels)

    def shaft(self, first: int) -> tuple[Shaft, float]:
        """The placed lead, its contacts numbered from ``first`` on, and by how much the dorsal wall must move, m."""
        x, y, wider = self._beside() if self.lead.beside else self._dorsal()
        lead, shape = self.lead, self.shape
        cos, sin = float(np.cos(lead.angle)), float(np.sin(lead.angle))
        contacts = []
        for k, pad in enumerate(shape.contacts):
            left, right = (None, None) if pad.left is None or pad.right is None else (pad.left / cos, pad.right / cos)
            # the pads of a leaning paddle are parallelograms here, drawn as rectangles of the same area and middle
            up = 0.0 if pad.left is None or pad.right is None else -0.5 * (pad.left + pad.right) * sin
            contacts.append(Contact(first + k, self.i, self.z_tip - pad.end * cos + up, self.z_tip - pad.start * cos + up,
                                    shape.area(pad), left, right))
        course = None if len(self.z) == 1 else np.column_stack([x, y, self.z])
        middle = 0.5 * (min(c.z0 for c in contacts) + max(c.z1 for c in contacts))
        return Shaft(self.i, shape.name, float(np.interp(middle, self.z, x)), float(np.interp(middle, self.z, y)), shape.radius, self.layer,
                     tuple(contacts), self.z_tip, self.flat + shape.radius if self.rigid else None, self.turn, course,
                     self.bottom if self.rigid else None), wider

    def _check(self) -> None:
        lead, gap, where = self.lead, self.limits.gap, f"leads[{self.i}]"
        if 0 < self.layer < gap or self.layer < 0:
            raise BadGeometry(f"{where}.encapsulation", "a layer too thin to exist", got=_mm(self.layer), allowed=f"0 mm, or at least {_mm(gap)}")
        if lead.depth < gap:
            raise BadGeometry(f"{where}.depth", f"the lead goes {_mm(-lead.depth)} into the dura" if lead.depth < 0
                              else "the lead touches the dura", got=_mm(lead.depth), allowed=f"at least {_mm(gap)}")
        if abs(lead.angle) > self.limits.angle:
            most = np.rad2deg(self.limits.angle)
            raise BadGeometry(f"{where}.angle", "a lead too steep to lie in the epidural space", got=f"{np.rad2deg(lead.angle):.1f} deg",
                              allowed=f"-{most:.1f} deg to {most:.1f} deg")

    def _covered(self) -> None:
        """A canal that changes along the spine must be known wherever the lead has contacts."""
        z = self.stretch.z
        if len(z) > 1 and not z[0] - 1e-9 <= self.bottom <= self.z_tip <= z[-1] + 1e-9:
            raise BadGeometry(f"leads[{self.i}].tip_vertebra", "the lead reaches beyond the stretch of the spine that is modelled",
                              got=f"{_mm(self.bottom)} to {_mm(self.z_tip)} along the spine", allowed=f"{_mm(z[0])} to {_mm(z[-1])}",
                              hint="move the tip, take a shorter lead, or model a longer stretch")

    def _heights(self) -> Floats:
        """Heights at which the lead is placed, rising; only that of the tip if it is the same everywhere."""
        z, slope = self.stretch.z, abs(float(np.tan(self.lead.angle)))
        if len(z) == 1 and slope == 0.0:
            return np.array([self.z_tip])
        low = self.bottom if self.rigid else self.bottom - BELOW
        step = min(STEP, SIDESTEP / slope) if slope > 0 and not self.rigid else STEP
        even = np.linspace(low, self.z_tip, int(np.ceil((self.z_tip - low) / step)) + 1)
        # a lead that runs on follows the dura as far as the canal is known; above the tip only its place is kept free, which
        # the mesh needs
        stations = z[(z > low) & (z < self.z_tip)] if self.rigid or len(z) == 1 else z
        far = np.abs(stations[:, None] - even).min(axis=1) > 1e-6
        return np.sort(np.concatenate([even, stations[far]]))

    def _turn(self, dura: Floats, x: float) -> float:
        """Angle of the back of the dura at ``x``, rad: a paddle lies flat on it."""
        dorsal = dura[dura[:, 1] < dura[dura[:, 0].argmax(), 1]]
        order = np.argsort(dorsal[:, 0])
        a, b = np.clip([x - 1e-3, x + 1e-3], dorsal[:, 0].min(), dorsal[:, 0].max())
        ends = np.interp([a, b], dorsal[order, 0], dorsal[order, 1])
        return round(float(np.arctan2(ends[1] - ends[0], b - a)), 9) if b > a else 0.0

    def _across(self, turn: float) -> Floats:
        """(m, 2) points along the middle of the cross-section, m from its centre: the lead is all within its thickness of them."""
        if self.flat == 0.0:
            return np.zeros((1, 2))
        along = np.linspace(-self.flat, self.flat, int(np.ceil(2 * self.flat / FINE)) + 1)
        return np.column_stack([along * np.cos(turn), along * np.sin(turn)])

    def _rest(self, here: _Slice, x: float, depth: float, across: Floats) -> float | None:
        """y at which the lead lies ``depth`` dorsal of the dura; None: there is no dura ventral of it to lie on."""
        dura, thick = here.dura, self.thick
        if abs(x) >= dura[:, 0].max():
            return None
        low, high = dura[:, 1].min() - thick - depth - 1e-3 - across[:, 1].max(), dura[dura[:, 0].argmax(), 1]
        for _ in range(HALVINGS):
            y = 0.5 * (low + high)
            low, high = (y, high) if -inside(dura, x + across[:, 0], y + across[:, 1]).max() > thick + depth else (low, y)
        return float(low)

    def _lacking(self, here: _Slice, x: float, y: float, across: Floats, wider: float) -> float:
        """What is missing to the least gap from the wall once it is moved by ``wider``, m."""
        return self.thick + self.limits.wall - float(inside(here.canal(wider), x + across[:, 0], y + across[:, 1]).min())

    def _wider(self, here: _Slice, x: float, y: float, across: Floats) -> float:
        """By how much the dorsal wall must move for a lead that lacks room, m; inf: that is not possible."""
        if self._lacking(here, x, y, across, self.most) > 0:
            return np.inf
        less, more = 0.0, self.most
        for _ in range(30):
            middle = 0.5 * (less + more)
            less, more = (less, middle) if self._lacking(here, x, y, across, middle) <= 0 else (middle, more)
        return more

    def _dorsal(self) -> tuple[Floats, Floats, float]:
        """x, y and widening of a lead that lies on the back of the dural sac."""
        across = self._across(self.turn)
        real = self.z >= self.bottom - BELOW - 1e-9
        real &= self.z <= self.z_tip + 1e-9
        y = np.full(len(self.z), np.nan)
        for i, (here, x) in enumerate(zip(self.slices, self.x, strict=True)):
            found = self._rest(here, float(x), self.lead.depth, across)
            if found is not None:
                y[i] = found
            elif real[i]:
                raise self._beyond_dura(here, float(x), across)
        y = np.interp(self.z, self.z[np.isfinite(y)], y[np.isfinite(y)])
        if self.rigid and len(y) > 1:
            y = self._straight(y, across)
        widening = 0.0
        for here, x, at, there in zip(self.slices, self.x, y, real, strict=True):
            if self._lacking(here, float(x), float(at), across, widening) <= 0:
                continue
            wider = self._wider(here, float(x), float(at), across)
            if not there and (self.fixed or not np.isfinite(wider)):
                continue  # no lead lies there: the mesh has to do without room
            if self.fixed or not np.isfinite(wider):
                raise self._hits_wall(here, float(x), self._lacking(here, float(x), float(at), across, 0.0))
            widening = wider
        return self.x, y, widening

    def _straight(self, y: Floats, across: Floats) -> Floats:
        """The straight line of least squares through y(z), moved dorsally until it keeps the least gap from the dura."""
        from_middle = self.z - self.z.mean()
        line = y.mean() + from_middle * float(from_middle @ y) / float(from_middle @ from_middle)
        ventral = 0.0
        for here, x, at in zip(self.slices, self.x, line, strict=True):
            gap = -float(inside(here.dura, x + across[:, 0], at + across[:, 1]).max()) - self.thick
            if gap < self.limits.gap:
                ventral = max(ventral, float(at) - self._found(here, float(x), self.limits.gap, across))
        return np.asarray(line - ventral)

    def _found(self, here: _Slice, x: float, depth: float, across: Floats) -> float:
        y = self._rest(here, x, depth, across)
        if y is None:
            raise self._beyond_dura(here, x, across)
        return y

    def _beside(self) -> tuple[Floats, Floats, float]:
        """x and y of a lead beside the dural sac, at its widest part or as near to that as there is room at every height."""
        side, across = self.lead.beside, np.zeros(1)
        best: tuple[float, Floats, Floats] | None = None
        for shift in sorted(np.arange(-28, 29) * 0.25e-3, key=abs):
            y = np.array([here.dura[(side * here.dura[:, 0]).argmax(), 1] for here in self.slices]) + shift
            x = np.array([self._abeam(here, float(at)) for here, at in zip(self.slices, y, strict=True)])
            lacking = max(self._lacking(here, float(a), float(b), across[:, None] * np.zeros(2), 0.0)
                          for here, a, b in zip(self.slices, x, y, strict=True))
            if best is None or lacking < best[0]:
                best = lacking, x, y
            if lacking <= 0:
                break
        assert best is not None
        lacking, x, y = best
        if lacking > 0:
            raise BadGeometry(f"leads[{self.i}]", f"the lead {_overlap(lacking, self.limits.wall)} the wall of the canal beside the dural sac",
                              got=f"{_mm(2 * self.thick)} thick with its encapsulation, {_mm(self.lead.depth)} off the dura",
                              allowed=f"at most {_mm(2 * self.thick - lacking)} thick there", hint="make encapsulation or depth smaller")
        return x, y, 0.0

    def _abeam(self, here: _Slice, y: float) -> float:
        """x at which the lead lies beside the dura at height ``y`` of the plane."""
        side, dura = self.lead.beside, here.dura
        low, high = 0.0, float((side * dura[:, 0]).max()) + self.thick + self.lead.depth + 1e-3
        for _ in range(HALVINGS):
            out = 0.5 * (low + high)
            low, high = (low, out) if -inside(dura, side * out, y) > self.thick + self.lead.depth else (out, high)
        return side * high

    def _beyond_dura(self, here: _Slice, x: float, across: Floats) -> BadGeometry:
        if not self.advise:
            return BadGeometry("", "")
        dura = here.dura
        beyond = self.thick - float(inside(here.canal(0.0), x + across[:, 0], dura[dura[:, 0].argmax(), 1] + across[:, 1]).min())
        what = f"the lead {_overlap(beyond, 0.0)} the wall of the canal" if beyond > 0 else \
            f"the lead lies {_mm(abs(x) - dura[:, 0].max())} beside the dural sac, not dorsal of it"
        if self.lead.angle == 0.0:
            return BadGeometry(f"leads[{self.i}].lateral", what + self._where(here), got=_mm(self.lead.lateral), allowed=self._lateral(here))
        return BadGeometry(f"leads[{self.i}].angle", what + self._where(here),
                           got=f"{np.rad2deg(self.lead.angle):.1f} deg, which leads to {_mm(x)} lateral there", allowed=self._fitting(here),
                           hint="lean less, or move lateral so that it crosses the midline")

    def _hits_wall(self, here: _Slice, x: float, lacking: float) -> BadGeometry:
        if not self.advise:
            return BadGeometry("", "")
        fitting = self._fitting(here)
        if self.fixed:
            hint = "make dorsal_epidural larger, or leave it out to have the space widened"
        elif fitting:
            hint = f"move the {'paddle' if self.rigid else 'lead'} towards the midline" + (", or lean less" if self.lead.angle else "")
        else:
            hint = "make depth or encapsulation smaller" + (", or take a narrower paddle" if self.rigid else "")
        wide = f"{_mm(2 * (self.flat + self.thick))} wide and " if self.rigid else ""
        return BadGeometry(f"leads[{self.i}]", f"the lead {_overlap(lacking, self.limits.wall)} the wall of the canal" + self._where(here),
                           got=f"{wide}{_mm(2 * self.thick)} thick with its encapsulation, {_mm(x)} lateral, {_mm(self.lead.depth)} off the dura",
                           allowed=fitting, hint=hint)

    def _where(self, here: _Slice) -> str:
        """The height, where it matters."""
        return "" if len(self.z) == 1 else f" at {_height(self.stretch, here.z)}"

    def _farthest(self, here: _Slice) -> float | None:
        """The largest lateral offset at which the lead fits at this height, m."""
        def fits(x: float) -> bool:
            across = self._across(self._turn(here.dura, x) if self.rigid else 0.0)
            y = self._rest(here, x, self.lead.depth, across)
            return y is not None and self._lacking(here, x, y, across, 0.0 if self.fixed else self.most) <= 0

        steps = np.arange(0.0, here.canal(0.0)[:, 0].max(), 0.1e-3)
        good = [float(x) for x in steps if fits(float(x))]
        return good[-1] if good else None

    def _lateral(self, here: _Slice) -> str:
        """The range of lateral offsets where the lead fits, or an empty text."""
        farthest = self._farthest(here)
        return "" if farthest is None else f"-{_mm(farthest)} to {_mm(farthest)}"

    def _fitting(self, here: _Slice) -> str:
        """The angles, or without an angle or where none fits the lateral offsets, with which the lead fits; or an empty text."""
        if self.lead.angle and self._leans(0.0):
            good, bad = 0.0, self.lead.angle
            while abs(bad - good) > 2e-3:
                middle = 0.5 * (good + bad)
                good, bad = (middle, bad) if self._leans(middle) else (good, middle)
            # towards 0, so that what is offered fits
            most = np.trunc(np.rad2deg(good) * 10) / 10
            return f"angle {min(0.0, most):.1f} deg to {max(0.0, most):.1f} deg"
        sideways = self._lateral(here)
        return f"lateral {sideways}" if sideways else ""

    def _leans(self, angle: float) -> bool:
        """Whether the lead fits everywhere at this angle, rad."""
        lead = self.lead.model_copy(update={"angle": angle})
        try:
            _Seat(self.stretch, lead, self.shape, Layer(self.layer), self.limits, self.i, advise=False)._dorsal()
        except BadGeometry:
            return False
        return True


def _tip(level: Level, lead: Lead, i: int) -> float:
    """z of the tip, m."""
    spans = {span.name: span for span in level.cord.vertebrae}
    if lead.tip_vertebra not in spans:
        names = list(spans)
        raise BadGeometry(f"leads[{i}].tip_vertebra", "there is no such vertebra", got=lead.tip_vertebra,
                          allowed=f"{names[0]} to {names[-1]}", hint=nearest(lead.tip_vertebra.upper(), names))
    return float(spans[lead.tip_vertebra].middle + lead.tip_offset)


def _end(lead: Lead, shape: LeadShape, z_tip: float) -> float:
    """z of the end of a paddle, or of the last contact of a lead that runs on, m."""
    return float(z_tip - (shape.reach if shape.length is None else shape.length) * np.cos(lead.angle))


def inside(outline: Floats, x: Floats | float, y: Floats | float) -> Floats:
    """Distance of points (m,) to a closed polygon (k, 2), + inside and - outside; m. A single point gives a number."""
    from epidura.numerics.outline import signed_distance  # Numba is slow to import

    points = np.stack(np.broadcast_arrays(np.atleast_1d(np.asarray(x, float)), np.atleast_1d(np.asarray(y, float))), axis=-1)
    signed = signed_distance(np.ascontiguousarray(outline, dtype=float), points)
    return np.asarray(signed) if np.ndim(x) or np.ndim(y) else np.asarray(signed)[0]


def _apart(shaft: Shaft, other: Shaft, limits: _Limits, stretch: Stretch) -> None:
    """Leads run on caudally, so they must lie apart in the plane up to the lower tip; a paddle ends."""
    top = min(shaft.z_tip, other.z_tip)
    ends = [one.z_end for one in (shaft, other) if one.z_end is not None]
    starts = [float(one.course[0, 2]) for one in (shaft, other) if one.course is not None]
    bottom = max(ends) if ends else min([*starts, top])
    if bottom > top:
        return
    z = np.array([top]) if not starts else np.linspace(bottom, top, int(np.ceil((top - bottom) / FINE)) + 1)
    distances = np.minimum(_between(shaft, other, z), _between(other, shaft, z))
    k = int(distances.argmin())
    distance = float(distances[k])
    needed = shaft.radius + shaft.encapsulation + other.radius + other.encapsulation + limits.gap
    if distance < needed:
        flat = shaft.half_width is not None or other.half_width is not None
        raise BadGeometry(
            f"leads[{shaft.lead}]", f"the lead {_overlap(needed - distance, limits.gap)} leads[{other.lead}]"
            + (f" at {_height(stretch, float(z[k]))}" if starts else ""),
            got=f"{_mm(distance - needed + limits.gap)} between their surfaces" if flat else f"{_mm(distance)} between their centres",
            allowed=f"at least {_mm(limits.gap if flat else needed)} with their encapsulations",
            hint="change lateral or angle" if starts else "change lateral")


def _between(one: Shaft, other: Shaft, z: Floats) -> Floats:
    """Least distance (n,) from points across ``one`` to the middle line across ``other`` at heights ``z`` (n,), m."""
    def half(shaft: Shaft) -> Floats:
        flat = 0.0 if shaft.half_width is None else shaft.half_width - shaft.radius
        return flat * np.array([np.cos(shaft.turn), np.sin(shaft.turn)])

    reach, line = half(one), half(other)
    steps = int(np.ceil(2 * np.hypot(*reach) / FINE)) + 1
    share = np.linspace(-1.0, 1.0, steps) if steps > 1 else np.zeros(1)
    to = one.centre(z)[:, None, :] + share[:, None] * reach - other.centre(z)[:, None, :]
    size = float(line @ line)
    if size > 0:
        to = to - np.clip(to @ line / size, -1.0, 1.0)[..., None] * line
    return np.asarray(np.hypot(to[..., 0], to[..., 1]).min(axis=1))


def _misplaced(stretch: Stretch, shaft: Shaft, lead: Lead, limits: _Limits) -> list[str]:
    """Whether a lead leaves out the level that is modelled."""
    if len(stretch.z) > 1:
        return []
    level = stretch.level
    top, bottom = max(c.z1 for c in shaft.contacts), min(c.z0 for c in shaft.contacts)
    where = f"leads[{shaft.lead}]: the tip at {lead.tip_vertebra}"
    if abs(shaft.z_tip) > limits.far:
        return [f"{where} is {_mm(abs(shaft.z_tip))} from {level.vertebra}, whose cross-section is modelled"]
    here = next(span for span in level.cord.vertebrae if span.name == level.vertebra)
    if bottom > here.z1 or top < here.z0:
        return [f"{where} leaves every contact at least {_mm(max(bottom - here.z1, here.z0 - top))} off {level.vertebra}"]
    return []


def _height(stretch: Stretch, z: float) -> str:
    """A height for a person: the vertebra and z."""
    spans = stretch.level.cord.vertebrae
    name = next((span.name for span in spans if span.z0 <= z <= span.z1), "")
    return f"{name} (z = {_mm(z)})" if name else f"z = {_mm(z)}"


def _overlap(lacking: float, gap: float) -> str:
    """What is wrong when ``lacking`` m are missing to a distance of ``gap`` m, without the object."""
    return f"lies {_mm(lacking - gap)} inside" if lacking > gap else f"lies {_mm(lacking)} too near to"


def _mm(length: float) -> str:
    return f"{length * 1e3:.2f} mm"
