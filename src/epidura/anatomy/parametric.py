"""Anatomy from population tables: smooth outlines drawn through published widths and depths, at one level or along the spine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, field_validator, model_validator

from epidura.anatomy import spine
from epidura.anatomy.base import TISSUES, WALL_TISSUES, Anatomy, Level, Stretch
from epidura.errors import BadCase, BadGeometry, BadTable, nearest
from epidura.product import Cord, Span, Tissue
from epidura.tables import Number, table
from epidura.units import SI, format_quantity, parse

Floats = NDArray[np.float64]

POINTS = 720
"""Points of a smooth outline; chords then lie within a micrometre of the curve."""

# a length, or nothing for the value of the table
OptionalLength = Annotated[
    float | None,
    BeforeValidator(lambda value: value.si if isinstance(value, SI) else None if value is None else parse(value, "length")),
    PlainSerializer(lambda value: None if value is None else format_quantity(value, "length"), return_type=str | None),
    WithJsonSchema({"type": ["string", "null"], "format": "quantity", "x-kind": "length", "x-units": ["mm", "um", "m", "cm"],
                    "examples": ["3 mm"]}),
]

RANGES: dict[str, tuple[float, float]] = {"dorsal_csf": (0.3e-3, 15e-3), "dorsal_epidural": (0.1e-3, 10e-3),
                                          "dura": (0.05e-3, 2e-3), "cord_width": (2e-3, 20e-3), "cord_depth": (2e-3, 15e-3),
                                          "canal_depth": (8e-3, 30e-3)}
"""What a person may give for a size, m."""

# what a size given at the named vertebra does elsewhere: it scales the table's there (the dorsal fluid is shifted instead)
_SCALED = {"cord_width": "cord width", "cord_depth": "cord depth", "dura": "dura thickness",
           "dorsal_epidural": "dorsal epidural space", "canal_depth": "canal depth"}


class Parametric(Anatomy):
    """The canal of an average adult (data/vertebrae.csv), with what is known of the person put in.

    Sizes that are given hold at the named vertebra. Along the spine they change the sizes of the tables everywhere:
    ``dorsal_csf`` by the same difference, because the cord moves as a whole, all others by the same ratio.

    Attributes:
        vertebra: C2 to L1.
        tissues: set of conductivities (data/tissue_sets.csv); published sets disagree most about the dura.
        extent: ``vertebra``: the cross-section at the vertebra, everywhere. ``spine``: sizes follow the tables along the spine,
            with discs, foramina and ligament between the vertebrae (data/junctions.csv).
        posture: the tables are supine. ``prone`` moves the cord ventrally in its sac by data/posture.csv, ``standing`` by half
            of that, which is a judgement.
        curve: ``physiological``: the spine is bent as in adults standing (data/curvature.csv); needs extent spine.
        dorsal_csf: fluid between cord and dura at the dorsal midline, supine as in MRI; posture comes on top.
            The sac keeps its size: the cord moves in it.
        dorsal_epidural: space between dura and dorsal wall of the canal at the midline; never widened when given.
        dura: thickness of the dura.
        cord_width, cord_depth: of the spinal cord; grey matter and dorsal columns scale along.
        canal_depth: of the bony canal, dorsal to ventral; enlarged where the dura would not fit in.
        segment_shift: how many segments further caudal (+) the cord segment at the vertebra is than in the table.
    """

    kind: Literal["parametric"] = "parametric"
    vertebra: str
    tissues: Literal["low-dura", "high-dura"] = "high-dura"
    extent: Literal["vertebra", "spine"] = "vertebra"
    posture: Literal["supine", "prone", "standing"] = "supine"
    curve: Literal["straight", "physiological"] = "straight"
    dorsal_csf: OptionalLength = None
    dorsal_epidural: OptionalLength = None
    dura: OptionalLength = None
    cord_width: OptionalLength = None
    cord_depth: OptionalLength = None
    canal_depth: OptionalLength = None
    segment_shift: int = Field(0, ge=-3, le=3)

    @field_validator("vertebra", mode="before")
    @classmethod
    def _known(cls, value: object) -> object:
        names = table("vertebrae").column("vertebra")
        if value not in names:
            raise BadCase("", "there is no such vertebra", got=value, allowed=f"{names[0]} to {names[-1]}",
                          hint=nearest(str(value).upper(), names))
        return value

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise BadGeometry(name, "not a possible length here", got=format_quantity(value, "length", "mm"),
                                  allowed=f"{low * 1e3:g} to {high * 1e3:g} mm")
        if self.curve != "straight" and self.extent != "spine":
            raise BadCase("curve", "one cross-section has no curve", got=self.curve, allowed="straight",
                          hint="write extent: spine")
        return self

    def level(self) -> Level:
        numbers = _Numbers(self.vertebra)
        own = _average(numbers, self.posture)
        # what replaces a size of the table leaves no trace of it; cord and dorsal fluid still shape the sac
        numbers.forget(_SCALED[name] for name in ("dura", "dorsal_epidural", "canal_depth") if getattr(self, name) is not None)
        mends = _Mends()
        sizes = _personal(self, own, own, numbers, mends)
        outlines, cord = _draw(self, sizes, _spans(self.vertebra, self.segment_shift, numbers), numbers, mends)
        tissues = {name: _tissue(self.tissues, name) for name in (*TISSUES, *WALL_TISSUES[1:])}
        used = (*numbers.used, *(number for name in TISSUES for number in tissues[name].numbers))
        warnings = (*_posture_warnings(self, numbers.used), *mends.warnings_at(self.vertebra))
        return Level(self.vertebra, outlines, cord, tissues, self.dorsal_epidural is not None, used, warnings)

    def least_canal_depth(self) -> float:
        """Depth of the canal at the vertebra in which the dura just fits, m."""
        numbers, mends = _Numbers(self.vertebra), _Mends()
        own = _average(numbers, self.posture)
        sizes = _personal(self, own, own, numbers, mends)
        return sizes["dorsal_epidural"] + 2 * sizes["dura"] + sizes["sac_depth"] + numbers.fact("least fat")

    def stretch(self, z0: float, z1: float) -> Stretch:
        """The canal from ``z0`` up to ``z1``, m; see ``extent``. The level at z = 0 is always among the stations.

        Numbers and warnings of the whole stretch stand at the level of the origin, the other levels carry none.

        Raises:
            BadGeometry: z1 below z0, or a grey matter that does not fit in the cord.
        """
        if self.extent == "vertebra":
            return super().stretch(z0, z1)
        if z1 < z0:
            raise BadGeometry("anatomy", "a stretch of the spine goes upwards", got=f"{z0 * 1e3:g} to {z1 * 1e3:g} mm")
        return _along(self, min(z0, 0.0), max(z1, 0.0))


class _Numbers:
    """Reads numbers of one vertebra, in SI, and remembers which."""

    def __init__(self, vertebra: str):
        self.vertebra, self.used = vertebra, list[Number]()

    def of(self, column: str, unit: str = "mm", what: str = "", evidence_column: str = "evidence", source: str = "vertebrae") -> float:
        """A column of data/vertebrae.csv or ``source``; ``evidence`` of a row is that of its weakest cell."""
        number = table(source).number(f"{what or column.replace('_', ' ')} at {self.vertebra}", column, unit,
                                      evidence_column, vertebra=self.vertebra)
        return self._keep(number)

    def fact(self, quantity: str) -> float:
        """A row of data/canal_facts.csv."""
        facts = table("canal_facts")
        return self._keep(facts.number(quantity, "value", facts.row(quantity=quantity)["unit"], quantity=quantity))

    def forget(self, what: Iterable[str]) -> None:
        """Numbers of the vertebra that were not used after all."""
        names = {f"{one} at {self.vertebra}" for one in what}
        self.used = [number for number in self.used if number.name not in names]

    def _keep(self, number: Number) -> float:
        if number not in self.used:
            self.used.append(number)
        return number.value * 1e-3 if number.unit == "mm" else number.value


class _Mends:
    """What was changed so that everything fits: sentences with ``{by}`` and ``{average}``, where (z, m) and by how much (m)."""

    def __init__(self) -> None:
        self.found: dict[str, list[tuple[float, float]]] = {}

    def add(self, sentence: str, z: float, by: float) -> None:
        self.found.setdefault(sentence, []).append((z, by))

    def warnings_at(self, vertebra: str) -> list[str]:
        """For a single level."""
        return [sentence.format(by=f"{by * 1e3:.2f} mm", average=f"at an average {vertebra}")
                for sentence, places in self.found.items() for _, by in places]

    def warnings_along(self, vertebrae: tuple[Span, ...]) -> list[str]:
        """One for all levels of a stretch that needed the same."""
        def name(z: float) -> str:
            return next((span.name for span in vertebrae if z >= span.z0), vertebrae[-1].name)

        found = []
        for sentence, places in self.found.items():
            upper, lower = name(max(z for z, _ in places)), name(min(z for z, _ in places))
            where = f"at an average {upper}" if upper == lower else f"on average from {upper} to {lower}"
            found.append(sentence.format(by=f"up to {max(by for _, by in places) * 1e3:.2f} mm", average=where))
        return found


def _average(numbers: _Numbers, posture: str) -> dict[str, float]:
    """Sizes of an average adult lying supine, and how far the cord moves into the posture, from the tables; m and 1."""
    rest = "evidence_except_width"  # the row's evidence counts the canal's width too, which is the weakest above T1
    return {
        "cord_width": numbers.of("cord_rl_mm", "mm", "cord width", rest),
        "cord_depth": numbers.of("cord_ap_mm", "mm", "cord depth", rest),
        "dorsal_csf": numbers.of("dcsf_mm", "mm", "dorsal CSF", rest),
        "dura": numbers.of("dura_mm", "mm", "dura thickness"),
        "dorsal_epidural": numbers.of("dorsal_epidural_mm", "mm", "dorsal epidural space"),
        "sac_width": numbers.of("sac_rl_mm", "mm", "width of the dural sac", rest),
        "ventral_csf": numbers.of("vcsf_mm", "mm", "ventral CSF", rest),
        "canal_width": numbers.of("canal_width_mm", "mm", "canal width", "canal_width_evidence"),
        "canal_depth": numbers.of("canal_depth_mm", "mm", "canal depth", "canal_depth_evidence"),
        "dc_width": numbers.of("dc_width_mm", "mm", "width of the dorsal columns", rest),
        "dc_depth": numbers.of("dc_depth_mm", "mm", "depth of the dorsal columns", rest),
        "grey_fraction": numbers.of("gm_fraction", "1"),
        "moved": 0.0 if posture == "supine" else numbers.of("prone_mm", "mm", _SHIFT, source="posture")
        * (numbers.fact("standing share") if posture == "standing" else 1.0),
    }


_SHIFT = "shift of the cord from supine to prone"


def _posture_warnings(recipe: Parametric, used: Iterable[Number]) -> list[str]:
    shifts = [number for number in used if number.name.startswith(_SHIFT)]
    warnings = ["standing: no measurement of the dorsal fluid was found; the cord was put half way between supine and prone"
                ] if recipe.posture == "standing" else []
    if any(number.unverified for number in shifts):
        largest = max(number.value for number in shifts)
        warnings.append(f"{recipe.posture}: how far the cord moves from supine to prone was measured at T11 and T12 only; "
                        f"{'up to ' if len(shifts) > 1 else ''}{largest:.2f} mm was taken here")
    return warnings


def _personal(recipe: Parametric, table_sizes: dict[str, float], own: dict[str, float], numbers: _Numbers, mends: _Mends,
              z: float = 0.0) -> dict[str, float]:
    """Sizes at height ``z`` with what is known of the person put in, in m; cord and dorsal fluid fit in the sac.

    Args:
        table_sizes: those of the average adult at ``z``.
        own: those at the named vertebra, where the sizes hold that were given.
    """
    sizes = dict(table_sizes)
    for name in _SCALED:
        given = getattr(recipe, name)
        if given is not None:  # written so that it is the given number itself at the named vertebra
            sizes[name] = given + (table_sizes[name] - own[name]) * given / own[name]
    for name, along in (("dc_width", "cord_width"), ("dc_depth", "cord_depth")):
        sizes[name] = table_sizes[name] * sizes[along] / table_sizes[along]
    sizes["sac_depth"] = table_sizes["dorsal_csf"] + table_sizes["cord_depth"] + table_sizes["ventral_csf"]
    least = numbers.fact("least csf")
    if recipe.dorsal_csf is not None:
        sizes["dorsal_csf"] = recipe.dorsal_csf + (table_sizes["dorsal_csf"] - own["dorsal_csf"])
        if sizes["dorsal_csf"] < least:
            mends.add("the cord lies {by} less dorsal than dorsal_csf would have it {average}, to leave some fluid",
                      z, least - sizes["dorsal_csf"])
            sizes["dorsal_csf"] = least
    room = max(sizes["sac_depth"] - sizes["cord_depth"] - least - sizes["dorsal_csf"], 0.0)
    if sizes["moved"] - room > 1e-6:
        mends.add(f"{recipe.posture}: the cord moves {{by}} less ventrally than {{average}}, because there the sac ends",
                  z, sizes["moved"] - room)
    sizes["dorsal_csf"] += min(sizes["moved"], room)
    short = sizes["dorsal_csf"] + sizes["cord_depth"] + least - sizes["sac_depth"]
    if short > 1e-12:
        sizes["sac_depth"] += short
        mends.add("the dural sac was made {by} deeper than {average}, so that cord and dorsal fluid fit in", z, short)
    cord = _offset(ellipse(0.5 * sizes["cord_width"], 0.5 * sizes["cord_depth"], 0.0), least)
    middle = 0.5 * (sizes["sac_depth"] - sizes["cord_depth"]) - sizes["dorsal_csf"]
    wide = 2 * _least_half_width(cord, middle, 0.5 * sizes["sac_depth"], 2.0) - sizes["sac_width"]
    if wide > 0:
        sizes["sac_width"] += wide
        mends.add("the dural sac was made {by} wider than {average}, so that the cord fits in", z, wide)
    return sizes


def _draw(recipe: Parametric, sizes: dict[str, float], spans: tuple[tuple[Span, ...], tuple[Span, ...], str], numbers: _Numbers,
          mends: _Mends, z: float = 0.0) -> tuple[dict[str, Floats], Cord]:
    """Outlines and cord of a cross-section of these sizes.

    Point k of an outline is the same place of the tissue whatever the sizes: shares of angles and heights are fixed.
    """
    half_width, half_depth = 0.5 * sizes["cord_width"], 0.5 * sizes["cord_depth"]
    column = _dorsal_column(half_width, half_depth, sizes["dc_width"], sizes["dc_depth"], numbers)
    grey = _grey_matter(half_width, half_depth, column, sizes["grey_fraction"], numbers)
    dura_inner = ellipse(0.5 * sizes["sac_width"], 0.5 * sizes["sac_depth"],
                         0.5 * sizes["sac_depth"] - half_depth - sizes["dorsal_csf"])
    dura_outer = _offset(dura_inner, sizes["dura"])
    canal = _canal(dura_outer, sizes, recipe.canal_depth is not None, numbers, mends, z)
    radius = numbers.fact("bulk radius")
    outlines = {
        "grey-matter": grey,
        "cord": ellipse(half_width, half_depth, 0.0),
        "dura-inner": dura_inner,
        "dura-outer": dura_outer,
        "canal": canal,
        "bone": _offset(canal, numbers.fact("bone thickness")),
        "bulk": ellipse(radius, radius, 0.0),
    }
    return outlines, Cord(half_width, half_depth, column.outline(), grey, dura_inner, *spans, column.angle)


def _along(recipe: Parametric, z0: float, z1: float) -> Stretch:
    """The canal along the spine from ``z0`` to ``z1``, m.

    Sizes of the tables stand at the middles of the vertebrae; between them runs a monotone cubic (PCHIP), which is smooth
    and makes nothing thinner or thicker than at both vertebrae beside; beyond the tables they stay the same.
    """
    from scipy.interpolate import PchipInterpolator

    own = recipe.level()
    vertebrae = own.cord.vertebrae
    readers = [_Numbers(span.name) for span in reversed(vertebrae)]
    averages = [_average(reader, recipe.posture) for reader in readers]
    middles, z = spine.middles(vertebrae), spine.stations(z0, z1, vertebrae)
    # a knot more of the same at each end, so that the course arrives there without a slope
    knots = [middles[0] - spine.STEP, *middles, middles[-1] + spine.STEP]
    courses = {name: PchipInterpolator(knots, [one[name] for one in (averages[0], *averages, averages[-1])]) for name in averages[0]}
    named = averages[[reader.vertebra for reader in readers].index(recipe.vertebra)]
    spans = own.cord.segments, vertebrae, own.cord.level
    facts, mends = _Numbers(recipe.vertebra), _Mends()
    drawn: dict[float, tuple[dict[str, Floats], Cord]] = {}
    inside = np.clip(z, middles[0], middles[-1])
    for height in np.unique(inside):
        average = {name: float(course(height)) for name, course in courses.items()}
        sizes = _personal(recipe, average, named, facts, mends, height)
        drawn[height] = _draw(recipe, sizes, spans, facts, mends, height)
    walls, of_walls = spine.walls(z[0], z[-1], vertebrae)
    bend, of_bend = spine.bend(z, vertebrae) if recipe.curve == "physiological" else (None, ())
    for sector in ("ventral sector", "dorsal sector") if walls else ():
        facts.fact(sector)
    # a cubic depends on two vertebrae at each side
    first, last = np.searchsorted(middles, z[0]) - 2, np.searchsorted(middles, z[-1]) + 2
    of_sizes = [number for reader in readers[max(first, 0):last] for number in reader.used]
    of_tissues = [number for tissue in own.tissues.values() for number in tissue.numbers]
    warnings = [*_posture_warnings(recipe, of_sizes), *mends.warnings_along(vertebrae)]
    for end, beyond, way in ((vertebrae[-1], middles[0] - z[0], "below"), (vertebrae[0], z[-1] - middles[-1], "above")):
        if beyond > 0:
            warnings.append(f"the tables end at {end.name}: the canal stays the same over {beyond * 1e3:.2f} mm {way} its middle")
    levels = [replace(own, outlines=outlines, cord=cord, numbers=(), warnings=())
              for outlines, cord in (drawn[height] for height in inside)]
    origin = int(np.flatnonzero(z == 0.0)[0])
    used = dict.fromkeys((*own.numbers, *of_sizes, *facts.used, *of_walls, *of_bend, *of_tissues))
    levels[origin] = replace(levels[origin], numbers=tuple(used), warnings=tuple(warnings))
    return Stretch(z, tuple(levels), walls, bend, origin)


def ellipse(half_width: float, half_depth: float, y: float) -> Floats:
    """Outline of an upright ellipse centred at (0, y), counter-clockwise; (POINTS, 2) m."""
    angle = np.arange(POINTS) * (2 * np.pi / POINTS)
    return np.column_stack([half_width * np.cos(angle), y + half_depth * np.sin(angle)])


def _offset(outline: Floats, by: float) -> Floats:
    """A counter-clockwise convex outline moved outwards by ``by`` m."""
    along = np.roll(outline, -1, axis=0) - np.roll(outline, 1, axis=0)
    outwards = np.column_stack([along[:, 1], -along[:, 0]]) / np.hypot(*along.T)[:, None]
    return np.asarray(outline + by * outwards)


def _least_half_width(around: Floats, middle: float, half_depth: float, power: float) -> float:
    """Half width of the narrowest superellipse centred at (0, middle) that holds the points ``around``; m."""
    x, y = np.abs(around.T[0]), np.abs(around.T[1] - middle) / half_depth
    off = x > 1e-3 * x.max()  # at the midline the depth decides, not the width
    return float((x[off] / np.clip(1.0 - y[off] ** power, 1e-9, 1.0) ** (1.0 / power)).max())


def _canal(dura_outer: Floats, sizes: dict[str, float], given: bool, numbers: _Numbers, mends: _Mends, z: float) -> Floats:
    """Superellipse of the wanted width and depth, enlarged where the dura would not fit in with a little fat.

    ``given``: the depth is not the table's.
    """
    power, fat = numbers.fact("canal roundness"), numbers.fact("least fat")
    around = _offset(dura_outer, fat)
    dorsal = dura_outer[:, 1].min() - sizes["dorsal_epidural"]
    ventral = max(dorsal + sizes["canal_depth"], around[:, 1].max())
    middle, half_depth = 0.5 * (ventral + dorsal), 0.5 * (ventral - dorsal)
    half_width = max(0.5 * sizes["canal_width"], _least_half_width(around, middle, half_depth, power))
    for what, got, wanted in (("deeper", ventral - dorsal, sizes["canal_depth"]), ("wider", 2 * half_width, sizes["canal_width"])):
        if got - wanted > 1e-6:
            than = "canal_depth" if given and what == "deeper" else "{average}"
            mends.add(f"the canal was made {{by}} {what} than {than}, so that the dura fits in", z, got - wanted)
    angle = np.arange(POINTS) * (2 * np.pi / POINTS)
    cos, sin = np.cos(angle), np.sin(angle)
    # in polar form: the usual parametrisation crowds its points where the curve is flat
    radius = (np.abs(cos / half_width) ** power + np.abs(sin / half_depth) ** power) ** (-1.0 / power)
    return np.column_stack([radius * cos, middle + radius * sin])


@dataclass(frozen=True)
class _Column:
    """Both dorsal columns: a wedge between the dorsal horns, from the surface to the grey commissure.

    Attributes:
        half_width, half_depth: of the cord.
        x, y: where the border of the right column meets the surface.
        x_base, y_base: ventral end of that border.
    """

    half_width: float
    half_depth: float
    x: float
    y: float
    x_base: float
    y_base: float

    @property
    def angle(self) -> float:
        """Angle of the entry zone from straight dorsal, rad: eccentric, that is (half_width sin, -half_depth cos)."""
        return float(np.arcsin(self.x / self.half_width))

    def border(self, y: Floats) -> Floats:
        """x of the lateral border of the right column at each height."""
        return np.interp(y, [self.y, self.y_base], [self.x, self.x_base])

    def outline(self) -> Floats:
        """Counter-clockwise, (k, 2) m; a hair within the surface, so that chords of the cord do not cut it."""
        angle = np.linspace(-self.angle, self.angle, 121)
        surface = np.column_stack([self.half_width * np.sin(angle), -self.half_depth * np.cos(angle)])
        y = np.linspace(self.y, self.y_base, 41)[1:]
        right = np.column_stack([self.border(y), y])
        left = right[::-1] * [-1.0, 1.0]
        return np.vstack([surface * (1.0 - 1e-4), right, left])


def _dorsal_column(half_width: float, half_depth: float, width: float, depth: float, numbers: _Numbers) -> _Column:
    x, base = 0.5 * width, numbers.fact("dorsal column base")
    return _Column(half_width, half_depth, x, -half_depth * np.sqrt(1.0 - (x / half_width) ** 2),
                   base * width, depth - half_depth)


def _grey_matter(half_width: float, half_depth: float, column: _Column, fraction: float, numbers: _Numbers) -> Floats:
    """Butterfly of the wanted area, (k, 2) m counter-clockwise from the dorsal midline; k is the same whatever the sizes.

    Each half lies between two functions of y: a medial side along the dorsal column, the midline and the ventral
    fissure, and a lateral side as far from it as the profile of the horns says. The profile is scaled until the
    area is right.
    """
    gap, share = numbers.fact("horn gap"), numbers.fact("dorsal horn width")
    tip = column.y + numbers.fact("dorsal horn tip") * (column.y_base - column.y)
    roof = column.y_base + gap
    floor = roof + numbers.fact("grey commissure") * 2 * half_depth
    end = max(numbers.fact("ventral horn tip") * half_depth, floor + 0.25 * half_depth)
    offset = numbers.fact("ventral horn offset") * half_width
    away = 0.5 * (end - floor)

    def base(y: Floats) -> Floats:
        """Medial side without its way to the midline."""
        side = column.border(y) + gap
        step = np.clip((y - column.y_base) / (floor - column.y_base), 0.0, 1.0)
        return np.where(y <= column.y_base, side, side + (offset - side) * step**2 * (3 - 2 * step))

    def along(y: Floats) -> Floats:
        return np.column_stack([base(y), y])

    # quarter ellipses take the medial side to the midline, dorsally within the gap and ventrally within the way to the tip
    turn, straight = np.linspace(0.0, 0.5 * np.pi, 25), np.linspace(0.0, 1.0, 25)[1:]
    rising = roof - gap * (1.0 - np.cos(turn))
    right_dorsal = np.vstack([np.column_stack([base(rising) * np.sin(turn), rising]),
                              along(column.y_base + (tip - column.y_base) * straight)])
    falling = floor + away * (1.0 - np.cos(turn))
    right_ventral = np.vstack([np.column_stack([offset * np.sin(turn), falling]),
                               along(floor + away + (end - floor - away) * straight)])[::-1]

    # closer together at the tips, which are round
    y = 0.5 * (tip + end) - 0.5 * (end - tip) * np.cos(np.linspace(0.0, np.pi, 481))
    beside = base(y)
    medial = beside * np.sqrt(1.0 - np.clip((y - column.y_base) / gap, 0.0, 1.0) ** 2)
    medial = np.maximum(medial, beside * np.sqrt(1.0 - np.clip((floor + away - y) / away, 0.0, 1.0) ** 2))
    profile = _horns(y, tip, roof, floor, end, share)
    limit = half_width * np.sqrt(np.clip(1.0 - (y / half_depth) ** 2, 0.0, 1.0)) - 2 * gap

    def lateral(scale: float) -> Floats:
        return np.maximum(medial, np.minimum(beside + scale * profile, limit))

    def outline(scale: float) -> Floats:
        # dorsal midline, back to the dorsal tip, along the lateral side to the ventral tip, back to the midline
        right = np.vstack([right_dorsal, np.column_stack([lateral(scale), y])[1:-1], right_ventral])
        return np.vstack([right, right[-2:0:-1] * [-1.0, 1.0]])

    slimmest, thin = area(outline(0.0)), lateral(0.0)

    def grown(scale: float) -> float:
        """Area of ``outline(scale)``, m2."""
        return slimmest + 2.0 * float(np.trapezoid(lateral(scale) - thin, y))

    return outline(_scale(grown, fraction * np.pi * half_width * half_depth, half_width))


def _horns(y: Floats, tip: float, roof: float, floor: float, end: float, share: float) -> Floats:
    """Width of the horns over y, 1 at its largest; round at both tips."""
    from scipy.interpolate import PchipInterpolator

    neck = tip + 0.75 * (roof - tip)
    knots = [tip, tip + 0.35 * (roof - tip), neck, 0.5 * (floor + end), end]
    smooth = PchipInterpolator(knots, [0.9 * share, share, 0.85 * share, 1.0, 0.8])(y)
    reach = 0.3 * (roof - tip), 0.35 * (end - floor)
    nearness = np.clip((y - tip) / reach[0], 0.0, 1.0), np.clip((end - y) / reach[1], 0.0, 1.0)
    rounding = [np.sqrt(np.clip(1.0 - (1.0 - near) ** 2, 0.0, 1.0)) for near in nearness]
    return np.asarray(smooth * rounding[0] * rounding[1])


def _scale(area_at: Callable[[float], float], wanted: float, largest: float) -> float:
    """The scale that gives the wanted area, by bisection between 0 and ``largest``."""
    low, high = 0.0, largest
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if area_at(middle) < wanted else (low, middle)
    if abs(area_at(high) - wanted) > 0.005 * wanted:
        raise BadGeometry("anatomy", "the grey matter does not fit in the cord",
                          got=f"{area_at(high) * 1e6:.2f} mm2", allowed=f"{wanted * 1e6:.2f} mm2")
    return high


def area(outline: Floats) -> float:
    """Signed area of a closed polygon, + counter-clockwise; m2."""
    x, y = outline.T
    return 0.5 * float(np.dot(x, np.roll(y, -1)) - np.dot(np.roll(x, -1), y))


def _spans(vertebra: str, shift: int, numbers: _Numbers) -> tuple[tuple[Span, ...], tuple[Span, ...], str]:
    """Cord segments and vertebrae by z (m), and the name of the segment at z = 0.

    The segments are one chain, laid beside the chain of vertebrae so that every segment's middle lies in the
    vertebra that data/cord_by_segment.csv names; what freedom this leaves is halved.
    """
    heights, lengths = table("vertebrae"), table("cord_by_segment")
    names = heights.column("vertebra")
    tops = np.cumsum([0.0, *(heights.number("vertebra pitch", "pitch_mm", "mm", vertebra=name).value for name in names)])
    segments = lengths.column("segment")
    starts = np.cumsum([0.0, *(lengths.number("length", "pam50_length_mm", "mm", segment=name).value for name in segments)])
    middles = 0.5 * (starts[:-1] + starts[1:])
    owner = [lengths.row(segment=name)["vertebra_mid"] for name in segments]
    allowed = np.array([[tops[names.index(v)] - m, tops[names.index(v) + 1] - m]
                        for v, m in zip(owner, middles, strict=True) if v in names])
    low, high = allowed[:, 0].max(), allowed[:, 1].min()
    if low > high:
        raise BadTable("data/cord_by_segment.csv", "no position of the cord puts every segment into its vertebra_mid")
    starts = starts + 0.5 * (low + high)
    level = names.index(vertebra)
    origin = 0.5 * (tops[level] + tops[level + 1])
    at = int(np.clip(np.searchsorted(starts, origin, side="right") - 1, 0, len(segments) - 1))
    to = at + shift
    if not 0 <= to < len(segments):
        raise BadGeometry("anatomy.segment_shift", "the cord has no segment there", got=shift,
                          allowed=f"{-at} to {len(segments) - 1 - at} at {vertebra}")
    within = (origin - starts[at]) / (starts[at + 1] - starts[at])
    starts = starts - (starts[to] + within * (starts[to + 1] - starts[to]) - origin)
    numbers.of("pitch_mm", "mm", "vertebra pitch")
    numbers.used.append(lengths.number(f"length of cord segment {segments[to]}", "pam50_length_mm", "mm", segment=segments[to]))
    return _chain(segments, starts, origin), _chain(names, tops, origin), segments[to]


def _chain(names: list[str], tops: Floats, origin: float) -> tuple[Span, ...]:
    z = (origin - tops) * 1e-3
    return tuple(Span(name, float(z[i + 1]), float(z[i])) for i, name in enumerate(names))


def _tissue(chosen: str, name: str) -> Tissue:
    """A row of data/tissue_sets.csv."""
    keys: dict[str, Any] = {"set": chosen, "tissue": name}
    transverse, longitudinal = (table("tissue_sets").number(f"{way} conductivity of {name} ({chosen})", way, "S/m", **keys)
                                for way in ("transverse", "longitudinal"))
    numbers = (transverse,) if transverse.value == longitudinal.value else (transverse, longitudinal)
    return Tissue(name, transverse.value, longitudinal.value, numbers)
