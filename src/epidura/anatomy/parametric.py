"""Anatomy from population tables: smooth outlines drawn through published widths and depths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, field_validator, model_validator

from epidura.anatomy.base import TISSUES, Anatomy, Level
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

_RANGES: dict[str, tuple[float, float]] = {"dorsal_csf": (0.3e-3, 15e-3), "dorsal_epidural": (0.1e-3, 10e-3),
                                           "dura": (0.05e-3, 2e-3), "cord_width": (2e-3, 20e-3), "cord_depth": (2e-3, 15e-3)}


class Parametric(Anatomy):
    """The canal of an average adult at one vertebra (data/vertebrae.csv), with what is known of the person put in.

    Attributes:
        vertebra: C2 to L1.
        tissues: set of conductivities (data/tissue_sets.csv); published sets disagree most about the dura.
        dorsal_csf: fluid between cord and dura at the dorsal midline. The sac keeps its size: the cord moves in it.
        dorsal_epidural: space between dura and dorsal wall of the canal at the midline; never widened when given.
        dura: thickness of the dura.
        cord_width, cord_depth: of the spinal cord; grey matter and dorsal columns scale along.
        segment_shift: how many segments further caudal (+) the cord segment at the vertebra is than in the table.
    """

    kind: Literal["parametric"] = "parametric"
    vertebra: str
    tissues: Literal["low-dura", "high-dura"] = "high-dura"
    dorsal_csf: OptionalLength = None
    dorsal_epidural: OptionalLength = None
    dura: OptionalLength = None
    cord_width: OptionalLength = None
    cord_depth: OptionalLength = None
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
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise BadGeometry(name, "not a possible length here", got=format_quantity(value, "length", "mm"),
                                  allowed=f"{low * 1e3:g} to {high * 1e3:g} mm")
        return self

    def level(self) -> Level:
        numbers = _Numbers(self.vertebra)
        warnings: list[str] = []
        sizes = _sizes(self, numbers, warnings)
        half_width, half_depth = 0.5 * sizes["cord_width"], 0.5 * sizes["cord_depth"]
        column = _dorsal_column(half_width, half_depth, sizes["dc_width"], sizes["dc_depth"], numbers)
        fraction = numbers.of("gm_fraction", "1")
        grey = _grey_matter(half_width, half_depth, column, fraction, numbers)
        dura_inner = ellipse(0.5 * sizes["sac_width"], 0.5 * sizes["sac_depth"],
                             0.5 * sizes["sac_depth"] - half_depth - sizes["dorsal_csf"])
        dura_outer = _offset(dura_inner, sizes["dura"])
        canal = _canal(dura_outer, sizes, numbers, warnings)
        segments, vertebrae, name = _spans(self.vertebra, self.segment_shift, numbers)
        cord = Cord(half_width, half_depth, column.outline(), grey, dura_inner, segments, vertebrae, name, column.angle)
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
        tissues = {name: _tissue(self.tissues, name) for name in TISSUES}
        used = (*numbers.used, *(number for tissue in tissues.values() for number in tissue.numbers))
        return Level(self.vertebra, outlines, cord, tissues, self.dorsal_epidural is not None, used, tuple(warnings))


class _Numbers:
    """Reads numbers of one vertebra, in SI, and remembers which."""

    def __init__(self, vertebra: str):
        self.vertebra, self.used = vertebra, list[Number]()

    def of(self, column: str, unit: str = "mm", what: str = "", evidence_column: str = "evidence") -> float:
        """A column of data/vertebrae.csv; ``evidence`` of a row is that of its weakest cell."""
        number = table("vertebrae").number(f"{what or column.replace('_', ' ')} at {self.vertebra}", column, unit,
                                           evidence_column, vertebra=self.vertebra)
        return self._keep(number)

    def fact(self, quantity: str) -> float:
        """A row of data/canal_facts.csv."""
        facts = table("canal_facts")
        return self._keep(facts.number(quantity, "value", facts.row(quantity=quantity)["unit"], quantity=quantity))

    def _keep(self, number: Number) -> float:
        if number not in self.used:
            self.used.append(number)
        return number.value * 1e-3 if number.unit == "mm" else number.value


def _sizes(recipe: Parametric, numbers: _Numbers, warnings: list[str]) -> dict[str, float]:
    """Widths and depths in m: what was given, else the table's."""
    def given(name: str, column: str, what: str, evidence_column: str = "evidence") -> float:
        value = getattr(recipe, name)
        return numbers.of(column, "mm", what, evidence_column) if value is None else float(value)

    rest = "evidence_except_width"  # the row's evidence counts the canal's width too, which is the weakest above T1
    width, depth = numbers.of("cord_rl_mm", "mm", "cord width", rest), numbers.of("cord_ap_mm", "mm", "cord depth", rest)
    dorsal = numbers.of("dcsf_mm", "mm", "dorsal CSF", rest)
    sizes = {
        "cord_width": width if recipe.cord_width is None else recipe.cord_width,
        "cord_depth": depth if recipe.cord_depth is None else recipe.cord_depth,
        "dorsal_csf": dorsal if recipe.dorsal_csf is None else recipe.dorsal_csf,
        "dura": given("dura", "dura_mm", "dura thickness"),
        "dorsal_epidural": given("dorsal_epidural", "dorsal_epidural_mm", "dorsal epidural space"),
        "sac_width": numbers.of("sac_rl_mm", "mm", "width of the dural sac", rest),
        "sac_depth": dorsal + depth + numbers.of("vcsf_mm", "mm", "ventral CSF", rest),
        "canal_width": numbers.of("canal_width_mm", "mm", "canal width", "canal_width_evidence"),
        "canal_depth": numbers.of("canal_depth_mm", "mm", "canal depth", "canal_depth_evidence"),
    }
    sizes["dc_width"] = numbers.of("dc_width_mm", "mm", "width of the dorsal columns", rest) * sizes["cord_width"] / width
    sizes["dc_depth"] = numbers.of("dc_depth_mm", "mm", "depth of the dorsal columns", rest) * sizes["cord_depth"] / depth
    least = numbers.fact("least csf")
    short = sizes["dorsal_csf"] + sizes["cord_depth"] + least - sizes["sac_depth"]
    if short > 0:
        sizes["sac_depth"] += short
        warnings.append(f"the dural sac was made {short * 1e3:.2f} mm deeper than at an average {recipe.vertebra}, "
                        "so that cord and dorsal fluid fit in")
    cord = _offset(ellipse(0.5 * sizes["cord_width"], 0.5 * sizes["cord_depth"], 0.0), least)
    middle = 0.5 * (sizes["sac_depth"] - sizes["cord_depth"]) - sizes["dorsal_csf"]
    wide = 2 * _least_half_width(cord, middle, 0.5 * sizes["sac_depth"], 2.0) - sizes["sac_width"]
    if wide > 0:
        sizes["sac_width"] += wide
        warnings.append(f"the dural sac was made {wide * 1e3:.2f} mm wider than at an average {recipe.vertebra}, "
                        "so that the cord fits in")
    return sizes


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


def _canal(dura_outer: Floats, sizes: dict[str, float], numbers: _Numbers, warnings: list[str]) -> Floats:
    """Superellipse of the table's width and depth, enlarged where the dura would not fit in with a little fat."""
    power, fat = numbers.fact("canal roundness"), numbers.fact("least fat")
    around = _offset(dura_outer, fat)
    dorsal = dura_outer[:, 1].min() - sizes["dorsal_epidural"]
    ventral = max(dorsal + sizes["canal_depth"], around[:, 1].max())
    middle, half_depth = 0.5 * (ventral + dorsal), 0.5 * (ventral - dorsal)
    half_width = max(0.5 * sizes["canal_width"], _least_half_width(around, middle, half_depth, power))
    for what, got, table_value in (("deeper", ventral - dorsal, sizes["canal_depth"]),
                                   ("wider", 2 * half_width, sizes["canal_width"])):
        if got - table_value > 1e-6:
            warnings.append(f"the canal was made {(got - table_value) * 1e3:.2f} mm {what} than at an average "
                            f"{numbers.vertebra}, so that the dura fits in")
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
    """Butterfly of the wanted area, (k, 2) m counter-clockwise.

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
    # closer together at the tips, which are round
    y = 0.5 * (tip + end) - 0.5 * (end - tip) * np.cos(np.linspace(0.0, np.pi, 481))
    side = column.border(y) + gap
    step = np.clip((y - column.y_base) / (floor - column.y_base), 0.0, 1.0)
    base = np.where(y <= column.y_base, side, side + (offset - side) * step**2 * (3 - 2 * step))
    # quarter ellipses take the medial side to the midline and away from it again
    medial = base * np.sqrt(np.clip(1.0 - np.clip((y - column.y_base) / gap, 0.0, 1.0) ** 2, 0.0, 1.0))
    away = 0.5 * (end - floor)
    medial = np.maximum(medial, base * np.sqrt(np.clip(1.0 - np.clip((floor + away - y) / away, 0.0, 1.0) ** 2, 0.0, 1.0)))
    profile = _horns(y, tip, roof, floor, end, share)
    limit = half_width * np.sqrt(np.clip(1.0 - (y / half_depth) ** 2, 0.0, 1.0)) - 2 * gap

    def outline(scale: float) -> Floats:
        lateral = np.maximum(medial, np.minimum(base + scale * profile, limit))
        right_dorsal = np.column_stack([medial, y])[y <= roof]
        right_ventral = np.column_stack([medial, y])[y >= floor]
        out = np.column_stack([lateral, y])[1:-1]
        # dorsal midline, back to the dorsal tip, along the lateral side to the ventral tip, back to the midline
        right = np.vstack([[[0.0, roof]], right_dorsal[right_dorsal[:, 0] > 0][::-1], out,
                           right_ventral[right_ventral[:, 0] > 0][::-1], [[0.0, floor]]])
        return np.vstack([right, right[-2:0:-1] * [-1.0, 1.0]])

    return _scaled(outline, fraction * np.pi * half_width * half_depth, half_width)


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


def _scaled(outline: Callable[[float], Floats], wanted: float, largest: float) -> Floats:
    """The outline whose area is the wanted one, by bisection of its scale between 0 and ``largest``."""
    low, high = 0.0, largest
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if area(outline(middle)) < wanted else (low, middle)
    found = outline(high)
    if abs(area(found) - wanted) > 0.005 * wanted:
        raise BadGeometry("anatomy", "the grey matter does not fit in the cord",
                          got=f"{area(found) * 1e6:.2f} mm2", allowed=f"{wanted * 1e6:.2f} mm2")
    return found


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
