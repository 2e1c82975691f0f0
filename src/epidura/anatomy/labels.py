"""Anatomy of one person: outlines drawn from a label map in NIfTI, such as the Spinal Cord Toolbox writes.

What the map does not show is taken from the parametric model at the same vertebra and laid around what it shows; every such
filling is a sentence in the warnings. How to write the case is in docs/anatomy-from-mri.md. Where the vertebrae lie is found in
``label_heights``, the bony wall of the canal in ``label_wall``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from epidura.anatomy.base import Anatomy, Level, Stretch, Wall
from epidura.anatomy.label_heights import heights_of
from epidura.anatomy.label_map import Ids, LabelMap, check_table, digest_of, id_set, read_map
from epidura.anatomy.parametric import OptionalLength, Parametric, area
from epidura.errors import BadCase, BadGeometry, BadInput, nearest
from epidura.product import Cord
from epidura.recipe import read_recipe
from epidura.tables import Number, table

if TYPE_CHECKING:
    from epidura.anatomy.contours import Mask
    from epidura.anatomy.label_wall import BonyWall

Floats = NDArray[np.float64]

KEYS = ("white-matter", "grey-matter", "cord", "dorsal-columns", "csf", "dura", "epidural-fat", "canal", "bone", "disc")
"""What the ids of a map may be. ``cord`` is the cord where white and grey matter are not told apart; ``dorsal-columns`` is part
of it; ``canal`` is anything between the dura and the wall; ``disc`` is what lies between vertebral bodies."""

IN_CORD = ("white-matter", "grey-matter", "cord", "dorsal-columns")

SMOOTHED = {"grey-matter": 20e-3, "cord": 20e-3, "dorsal-columns": 20e-3, "dura-inner": 10e-3, "dura-outer": 10e-3, "canal": 10e-3}
"""Waves along the spine of this length, m, are halved, of three times the length kept to 1 %: jitter from slice to slice goes,
bends and the narrowing of the canal at a disc stay."""

STEP = 2e-3
"""Least distance of stations, m."""

BEYOND = 60e-3
"""How far a stretch may reach beyond the map, m: it goes on as at its end, which leads need for their leads' tails only."""

LARGEST_REPAIR = 1.5e-3
"""Outlines that must be pushed further than this to lie inside each other are wrong labels, m."""

CORD_AREAS = (10e-6, 200e-6)
"""Cross-sections that a cord can have, m2; outside, the units of the map are wrong. Adult cords have 35 to 90 mm2."""

LEAST_VOXELS = 12
"""Cord voxels that a slice needs to be drawn."""


class Labels(Anatomy):
    """The canal of one person, from a label map.

    Attributes:
        file: NIfTI file; a relative path counts from the folder in which Epidura was started.
        vertebra: C2 to L1, whose middle is z = 0.
        labels: which ids of the map are which tissue (``KEYS``).
        ignore: ids of the map that are left out.
        vertebrae: id of each labelled vertebra (``C5``; filled from end to end, or its middle marked) or disc (``C4/C5``).
        levels_file: NIfTI file with the ids of ``vertebrae``; without it they are in ``file``.
        z0: height in the image (z of the scanner) of the middle of the vertebra, where ``vertebrae`` is not given.
        tissues: set of conductivities, as in the parametric anatomy.
        segment_shift: how many segments further caudal (+) the cord segment at the vertebra is than in the table.
        digest: hash of what the files hold; taken when the case is read. Given, the files must still be the same when used.
    """

    kind: Literal["labels"] = "labels"
    file: str = Field(min_length=1)
    vertebra: str
    labels: dict[str, Ids]
    ignore: Ids = ()
    vertebrae: dict[str, Ids] = {}
    levels_file: str | None = None
    z0: OptionalLength = None
    tissues: Literal["low-dura", "high-dura"] = "high-dura"
    segment_shift: int = Field(0, ge=-3, le=3)
    digest: str = ""

    @field_validator("vertebra", mode="before")
    @classmethod
    def _known(cls, value: object) -> object:
        return _vertebra("", value)

    @field_validator("labels")
    @classmethod
    def _table(cls, value: dict[str, tuple[int | str, ...]]) -> dict[str, tuple[int | str, ...]]:
        for key in value:
            if key not in KEYS:
                raise BadCase(key, "there is no such tissue", allowed=", ".join(KEYS), hint=nearest(key, KEYS))
        if not {"cord", "white-matter"} & set(value):
            raise BadCase("", "no label is the cord", got=", ".join(value), allowed="white-matter, or cord for both kinds of matter")
        if "dura" in value and "csf" not in value:
            raise BadCase("dura", "the dura without the fluid inside it", hint="name the ids of csf too, or leave dura out")
        owner: dict[int, str] = {}
        for key, ids in value.items():
            for number in id_set(ids):
                if {owner.get(number, key), key} not in ({key}, {"dorsal-columns", "white-matter"}, {"dorsal-columns", "cord"}):
                    raise BadCase(key, f"an id that is {owner[number]} already", got=number, allowed="one tissue per id")
                owner[number] = key
        return value

    @field_validator("vertebrae")
    @classmethod
    def _levels(cls, value: dict[str, tuple[int | str, ...]]) -> dict[str, tuple[int | str, ...]]:
        names = table("vertebrae").column("vertebra")
        for key in value:
            upper, _, lower = key.partition("/")
            _vertebra(key, upper)
            if lower and (upper == names[-1] or names[names.index(upper) + 1] != lower):
                raise BadCase(key, "not a disc between two neighbours", allowed=f"such as {names[2]}/{names[3]}")
        return value

    @model_validator(mode="before")
    @classmethod
    def _digested(cls, value: Any) -> Any:
        if not isinstance(value, dict) or value.get("digest"):
            return value
        files = [(key, value.get(key)) for key in ("file", "levels_file")]
        return {**value, "digest": digest_of([(key, name) for key, name in files if isinstance(name, str) and name])}

    @model_validator(mode="after")
    def _one_height(self) -> Self:
        if self.vertebrae and self.z0 is not None:
            raise BadCase("z0", "given beside vertebrae, which say where the vertebra is", hint="leave one of them out")
        if self.levels_file is not None and not self.vertebrae:
            raise BadCase("levels_file", "no id in it is named", hint="name the ids under vertebrae")
        return self

    def but(self, **changes: Any) -> Any:
        """As for every recipe; the digest is taken again, unless it is given."""
        return super().but(**{"digest": "", **changes})

    def level(self) -> Level:
        return self.stretch(0.0, 0.0).level

    def stretch(self, z0: float, z1: float) -> Stretch:
        """The canal from ``z0`` to ``z1``, in stations at least ``STEP`` apart.

        Raises:
            BadCase: files that cannot be used, changed since the case was read, or do not fit the table of labels.
            BadGeometry: slices without cord, too few of them, a stretch far beyond the map, or labels that cross each other.
        """
        return self._fitted.stretch(z0, z1)

    @cached_property
    def _fitted(self) -> _Fitted:
        """Reading and drawing are done once; the file is looked at once per recipe, to see that it is still the same."""
        files = [(key, name) for key, name in (("file", self.file), ("levels_file", self.levels_file)) if name]
        try:
            same = digest_of(files) == self.digest
        except BadInput as failure:
            raise failure.at("anatomy") from None
        if not same:
            raise BadCase("anatomy.digest", f"{self.file} is not what it was when the case was read",
                          got=self.digest, hint="get the file back, or leave digest out to take it as it is now")
        key = self.key()
        if key not in _FITTED:
            while len(_FITTED) >= 4:
                _FITTED.pop(next(iter(_FITTED)))
            _FITTED[key] = _fit(self)
        return _FITTED[key]


_FITTED: dict[str, _Fitted] = {}
"""The last maps that were drawn, by the key of their recipe, which holds the hash of the file: a copy of a case draws nothing again."""


def _vertebra(where: str, value: object) -> object:
    names = table("vertebrae").column("vertebra")
    if value not in names:
        raise BadCase(where, "there is no such vertebra", got=value, allowed=f"{names[0]} to {names[-1]}",
                      hint=nearest(str(value).upper(), names))
    return value


# ------------------------------------------------------------------------------------------------------- outlines along z


@dataclass(frozen=True)
class _Tube:
    """An outline along the spine; beyond its ends as at them.

    Attributes:
        z: first and last height, m.
        points: z to (k, 2) m.
        grown: z to the logarithm of the area that smoothing lost.
    """

    z: tuple[float, float]
    points: Callable[[float], Floats]
    grown: Callable[[float], Floats]

    def __call__(self, z: float) -> Floats:
        from epidura.anatomy.contours import scaled_to

        at = float(np.clip(z, *self.z))
        outline = np.asarray(self.points(at))
        return scaled_to(outline, area(outline) * float(np.exp(self.grown(at))))


def _tube(z: Floats, outlines: list[Floats], areas: Floats, smoothed: float) -> _Tube:
    """Outlines (s) at heights (s,) smoothed along z, with the areas (s,) of the voxels."""
    smooth = _along(z, np.stack(outlines), smoothed)
    lost = np.log(areas / np.array([area(smooth(one)) for one in z]))
    return _Tube((float(z[0]), float(z[-1])), smooth, _along(z, lost, 0.0))


def _along(z: Floats, values: Floats, smoothed: float) -> Any:
    """Cubic smoothing spline through values (s, ...): halves waves of the length ``smoothed``, or of four slices."""
    from scipy.interpolate import make_interp_spline, make_smoothing_spline

    if len(z) < 5:
        return make_interp_spline(z, values, k=min(3, len(z) - 1))
    pitch = float(np.diff(z).min())
    length = max(smoothed, 4 * pitch)
    # per sample, (y - f)^2 + lam f''^2 / pitch leaves 1 / (1 + lam pitch w^4) of a wave of the angular frequency w
    return make_smoothing_spline(z, values, lam=(length / (2 * np.pi)) ** 4 / pitch, axis=0)


@dataclass
class _Fitted:
    """A map drawn: outlines as functions of the height, and what fills the rest.

    Attributes:
        recipe: whose map it is.
        name: of the file.
        step: distance of stations, m.
        reach: heights between which every slice shows the cord, m.
        gaps: heights of slices without cord that lie between slices with one.
        tubes: cord, and of grey-matter, dorsal-columns, dura-inner, dura-outer, canal what is labelled.
        model: parametric level of the same vertebra.
        wall: what bone and discs of the map say about the wall; None where the map has neither.
        warnings: of reading.
    """

    recipe: Labels
    name: str
    step: float
    reach: tuple[float, float]
    gaps: Floats
    tubes: dict[str, _Tube]
    model: Level
    wall: BonyWall | None = None
    warnings: list[str] = field(default_factory=list)

    def stretch(self, z0: float, z1: float) -> Stretch:
        low, high = self.reach
        here = self.gaps[(self.gaps >= min(z0, 0.0)) & (self.gaps <= max(z1, 0.0))]
        if here.size:
            raise BadGeometry("anatomy.file", f"slices without cord in {self.name}", allowed="cord in every slice of the stretch",
                              got=f"{here.size} slices between z = {_mm(here.min())} and {_mm(here.max())}",
                              hint="fill them, or choose a shorter stretch")
        if low - z0 > BEYOND or z1 - high > BEYOND:
            raise BadGeometry("anatomy.file", f"{self.name} does not reach so far", got=f"z = {_mm(z0)} to {_mm(z1)}",
                              allowed=f"{_mm(low - BEYOND)} to {_mm(high + BEYOND)}, of which it shows {_mm(low)} to {_mm(high)}",
                              hint="use a longer map, or a level nearer to its middle")
        self._bone_outside(min(z0, 0.0), max(z1, 0.0))
        warnings = list(self.warnings)
        for short, end in ((low - z0, low), (z1 - high, high)):
            if short > 1e-6:
                warnings.append(f"{self.name} ends at z = {_mm(end)}; the canal goes on for {_mm(short)} as it is there")
        z = _stations(max(z0, low), min(z1, high), self.step)
        builder = _Builder(self)
        made = [builder.outlines(float(one)) for one in z]
        origin = int(np.flatnonzero(z == 0.0)[0])
        warnings += builder.repairs()
        walls, of_walls = self._walls(float(z[0]), float(z[-1]), warnings)
        numbers = (*_measured(self, made[origin][0]), *_kept(self), *of_walls)
        levels = tuple(Level(self.model.vertebra, outlines, cord, self.model.tissues, False, numbers, tuple(warnings))
                       for outlines, cord in made)
        return Stretch(z, levels, walls, origin=origin)

    def canal_filled(self, z: float | None = None) -> bool:
        """Whether the border of the canal comes from the parametric model at height ``z``, or anywhere."""
        if self.wall is None or "bone" not in self.recipe.labels or not self.wall.draws:
            return False
        own = self.wall.own
        return bool(not own.all() if z is None else not own[np.abs(self.wall.z - z).argmin()])

    def _bone_outside(self, z0: float, z1: float) -> None:
        """Bone in the stretch does not lie deep in what it must surround."""
        if self.wall is None or "bone" not in self.recipe.labels:
            return
        here = np.where((self.wall.z >= z0) & (self.wall.z <= z1), self.wall.inside, 0.0)
        if here.max() > LARGEST_REPAIR:
            name = next(name for name in _CALLED if name in self.tubes)
            raise BadGeometry("anatomy.labels.bone", f"at z = {_mm(self.wall.z[here.argmax()])} bone lies inside the {_CALLED[name]}",
                              got=f"{_mm(here.max())} deep", allowed=f"up to {_mm(LARGEST_REPAIR)}, which is mended",
                              hint="look at the labels there: bone must surround the canal")

    def _walls(self, z0: float, z1: float, warnings: list[str]) -> tuple[tuple[Wall, ...], tuple[Number, ...]]:
        """What the wall consists of from ``z0`` to ``z1`` (m): from the bone of the map, and from the tables where it says nothing."""
        from epidura.anatomy.label_wall import tissues_along
        from epidura.anatomy.spine import joined

        if self.wall is None or z1 <= z0:
            return (), ()
        found, said = tissues_along(self.wall, z0, z1, self.recipe.labels, bool(self.recipe.vertebrae), self.model.cord.vertebrae)
        warnings += said
        walls, used = joined(z0, z1, found)
        if not walls:
            return (), used
        facts = table("canal_facts")
        tissues = {tissue for wall in walls for tissue in (wall.ventral, wall.lateral, wall.dorsal)} - {"bone"}
        sectors = [facts.number(f"{name} sector", "value", "rad", quantity=f"{name} sector") for name in ("ventral", "dorsal")]
        return walls, (*used, *sectors, *(number for name in sorted(tissues) for number in self.model.tissues[name].numbers))


def _mm(length: float) -> str:
    return f"{length * 1e3:.2f} mm"


def _stations(low: float, high: float, step: float) -> Floats:
    """Heights from ``low`` to ``high`` with 0 among them, ``step`` apart but for the ends."""
    low, high = min(low, 0.0), max(high, 0.0)
    inner = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    inner = inner[(inner == 0.0) | ((inner - low > 0.4 * step) & (high - inner > 0.4 * step))]
    return np.unique(np.concatenate([[low], inner, [high]]) + 0.0)


class _Builder:
    """Makes the outlines of one height after the other and remembers what had to be pushed."""

    def __init__(self, fitted: _Fitted):
        facts = table("canal_facts")
        self.fitted, self.model = fitted, fitted.model
        self.least_csf, self.least_fat, self.horn = (facts.number(name, "value", "mm", quantity=name).value * 1e-3
                                                     for name in ("least csf", "least fat", "horn gap"))
        drawn = self.model.outlines
        self.thickness = float(drawn["dura-inner"][:, 1].min() - drawn["dura-outer"][:, 1].min())
        self.most: dict[tuple[str, str, float], tuple[float, float]] = {}

    def outlines(self, z: float) -> tuple[dict[str, Floats], Cord]:
        """The outlines and the cord at height ``z``."""
        from epidura.anatomy.contours import outwards, shell

        tubes, model = self.fitted.tubes, self.model.outlines
        cord = tubes["cord"](z)
        share = area(model["grey-matter"]) / area(model["cord"])
        grey = tubes["grey-matter"](z) if "grey-matter" in tubes else _butterfly(self.model, cord, share * area(cord))
        cord = self._pushed(z, "cord", cord, "grey-matter", grey, 2 * self.horn)
        canal = tubes["canal"](z) if "canal" in tubes else None
        outer = tubes["dura-outer"](z) if "dura-outer" in tubes else None
        if "dura-inner" in tubes:
            inner = tubes["dura-inner"](z)
        elif canal is not None:
            inner = outwards(shell(canal, model["canal"], model["dura-outer"]), -self.thickness)
        else:
            inner = shell(cord, model["cord"], model["dura-inner"])
        inner = self._pushed(z, "dura-inner", inner, "cord", cord, self.least_csf)
        if outer is None:
            outer = outwards(inner, self.thickness)
        else:
            outer = self._pushed(z, "dura-outer", outer, "dura-inner", inner, min(self.thickness, 0.1e-3))
        if canal is None:
            canal = shell(outer, model["dura-outer"], model["canal"])
        canal = self._pushed(z, "canal", canal, "dura-outer", outer, self.least_fat)
        bone = shell(canal, model["canal"], model["bone"])
        bulk = model["bulk"]
        if np.hypot(*bone.T).max() > 0.9 * np.hypot(*bulk.T).min():
            raise BadGeometry("anatomy.file", f"at z = {_mm(z)} the canal leaves the modelled body", got=_mm(float(np.hypot(*bone.T).max())),
                              allowed=f"up to {_mm(0.9 * float(np.hypot(*bulk.T).min()))} from the cord at z = 0",
                              hint="choose a shorter stretch, or straighten the map")
        made = dict(zip(("grey-matter", "cord", "dura-inner", "dura-outer", "canal", "bone", "bulk"),
                        (grey, cord, inner, outer, canal, bone, bulk), strict=True))
        return made, self._cord(z, made)

    def _cord(self, z: float, made: dict[str, Floats]) -> Cord:
        from epidura.anatomy.contours import middle_and_half, warped

        cord, old = made["cord"], self.model.cord
        middle, half = middle_and_half(cord)
        angle = old.entry_angle
        if "dorsal-columns" in self.fitted.tubes:
            column = self._inside(self.fitted.tubes["dorsal-columns"](z), cord, made["grey-matter"])
            angle = float(np.arcsin(min(0.95, middle_and_half(column)[1][0] / half[0])))
        else:
            column = self._inside(warped(old.dorsal_column, np.array([old.half_width, old.half_depth]), cord), cord, made["grey-matter"])
        return Cord(float(half[0]), float(half[1]), column, made["grey-matter"], made["dura-inner"], old.segments, old.vertebrae,
                    old.level, angle, (float(middle[0]), float(middle[1])))

    @staticmethod
    def _inside(column: Floats, cord: Floats, grey: Floats) -> Floats:
        """The dorsal columns drawn in towards their centroid where they leave the cord or enter the grey matter."""
        from epidura.anatomy.contours import centroid, contains, middle_and_half, radius_at

        middle, core = centroid(column), middle_and_half(cord)[0]
        column, out = column.copy(), np.arange(len(column))
        for _ in range(40):
            x, y = (column[out] - core).T
            out = out[(np.hypot(x, y) > 0.999 * radius_at(cord, core, np.arctan2(y, x))) | contains(grey, column[out])]
            if not out.size:
                break
            column[out] = middle + (column[out] - middle) * 0.98
        return column

    def _pushed(self, z: float, name: str, outer: Floats, inner_name: str, inner: Floats, gap: float) -> Floats:
        from epidura.anatomy.contours import pushed

        outer, most = pushed(outer, inner, gap)
        if most > LARGEST_REPAIR:
            raise BadGeometry("anatomy.labels", f"at z = {_mm(z)} {inner_name} leaves {name}", got=f"by {_mm(most - gap)}",
                              allowed=f"up to {_mm(LARGEST_REPAIR - gap)}, which is mended",
                              hint="look at the labels there: each tissue must surround the one inside it")
        key = (name, inner_name, gap)
        if most > max(1e-6, self.most.get(key, (0.0, 0.0))[0]):
            self.most[key] = most, z
        return outer

    def repairs(self) -> list[str]:
        """One sentence per outline that was pushed."""
        return [f"the outline {name} was pushed outwards by up to {_mm(most)} (at z = {_mm(z)}), so that {inner} "
                f"lies at least {_mm(gap)} inside it" for (name, inner, gap), (most, z) in self.most.items()]


# -------------------------------------------------------------------------------------------------------------- numbers


def _measured(fitted: _Fitted, outlines: dict[str, Floats]) -> Iterator[Number]:
    """Sizes at z = 0 that came from the map."""
    names = {"cord": "cord", "grey-matter": "grey matter", "dura-inner": "dural sac", "canal": "canal"}
    for key, name in names.items():
        if key in fitted.tubes and not (key == "canal" and fitted.canal_filled(0.0)):
            width, depth = np.ptp(outlines[key], axis=0) * 1e3
            for what, value, unit in ((f"width of the {name}", width, "mm"), (f"depth of the {name}", depth, "mm"),
                                      (f"area of the {name}", area(outlines[key]) * 1e6, "mm2")):
                yield Number(f"{what} at {fitted.recipe.vertebra} in the label map", float(value), unit, "computed",
                             f"label map {fitted.name}, content {fitted.recipe.digest}", "", fitted.name)


def _kept(fitted: _Fitted) -> Iterator[Number]:
    """Numbers of the parametric model, without those that the map replaced."""
    replaced = ["cord width", "cord depth"]
    if "dura-inner" in fitted.tubes or "canal" in fitted.tubes:
        replaced += ["dorsal CSF", "ventral CSF", "vcsf", "width of the dural sac"]
    if "canal" in fitted.tubes and not fitted.canal_filled():
        replaced += ["canal"]
    if {"canal", "dura-inner"} <= set(fitted.tubes):
        replaced += ["dorsal epidural"]
    if "grey-matter" in fitted.tubes:
        replaced += ["gm fraction", "grey commissure", "ventral horn", "dorsal horn"]
    if "dorsal-columns" in fitted.tubes:
        replaced += ["width of the dorsal columns", "depth of the dorsal columns", "dorsal column base"]
    for number in fitted.model.numbers:
        if not number.name.startswith(tuple(replaced)):
            yield number


# -------------------------------------------------------------------------------------------------------------- fitting


def _fit(recipe: Labels) -> _Fitted:
    """Read the map, choose the slices and draw what it shows."""
    found = read_map("anatomy.file", recipe.file)
    others = id_set(recipe.ignore)
    if recipe.levels_file is None:
        others = others.union(*map(id_set, recipe.vertebrae.values()))
    check_table(found, recipe.labels, others)
    masks = _masks(recipe, found)
    warnings = list(found.warnings)
    average = _model(recipe)
    heights = heights_of(recipe, found, masks["cord"], average.cord.vertebrae, warnings)
    at = float(heights.slice(0.0))
    count = masks["cord"].sum(axis=(0, 1))
    run, gaps = _run(recipe, found, count, at)
    z = (run - at) * found.spacing[2]
    voxel = float(np.prod(found.spacing[:2]))
    typical = float(np.median(count[run])) * voxel
    if not CORD_AREAS[0] <= typical <= CORD_AREAS[1]:
        raise BadGeometry("anatomy.file", "not the size of a spinal cord", got=f"{typical * 1e6:.4g} mm2 in the middle slice",
                          allowed=f"{CORD_AREAS[0] * 1e6:g} to {CORD_AREAS[1] * 1e6:g} mm2",
                          hint="look at the unit of length in the header, and at the ids of the cord")
    tubes = _tubes(found, masks, run, z, average, warnings)
    wall = None
    if {"bone", "disc"} & set(recipe.labels):
        wall = _wall(recipe, found, masks.get("canal"), run, z, average, tubes, warnings)
    origin = _origin(tubes["cord"])
    tubes = {name: _moved(tube, origin) for name, tube in tubes.items()}
    model = average
    if "dura-inner" not in tubes and "canal" not in tubes:
        half = 0.5 * np.ptp(tubes["cord"](0.0), axis=0) * 1e3
        model = _model(recipe, cord_width=f"{2 * half[0]:.4f} mm", cord_depth=f"{2 * half[1]:.4f} mm")
        warnings += [one for one in model.warnings if one.startswith("the dural sac")]
    warnings += _filled(recipe, tubes)
    cord = model.cord
    cord = Cord(cord.half_width, cord.half_depth, cord.dorsal_column, cord.grey_matter, cord.dura_inner, heights.spans(cord.segments),
                heights.spans(cord.vertebrae), cord.level, cord.entry_angle)
    here = Level(model.vertebra, model.outlines, cord, model.tissues, False, model.numbers)
    step = found.spacing[2] * np.ceil(STEP / found.spacing[2] - 1e-6)
    return _Fitted(recipe, found.name, float(step), (float(z[0]), float(z[-1])), gaps, tubes, here, wall, warnings)


def _model(recipe: Labels, **sizes: str) -> Level:
    try:
        model: Parametric = read_recipe(Parametric, {"vertebra": recipe.vertebra, "tissues": recipe.tissues,
                                                     "segment_shift": recipe.segment_shift, **sizes})
        return model.level()
    except BadGeometry as failure:
        raise failure.at("anatomy") if not failure.where.startswith("anatomy") else failure from None


def _masks(recipe: Labels, found: LabelMap) -> dict[str, NDArray[np.bool_]]:
    """What each outline encloses, (i, j, k) each; only outlines that the table of labels gives."""
    def mask(*keys: str) -> NDArray[np.bool_]:
        ids = set().union(*(id_set(recipe.labels.get(key, ())) for key in keys))
        return np.isin(found.ids, sorted(ids))

    cord = mask(*IN_CORD)
    made = {"cord": cord}
    made.update({key: mask(key) for key in ("grey-matter", "dorsal-columns") if key in recipe.labels})
    within = cord
    for name, keys in (("dura-inner", ("csf",)), ("dura-outer", ("dura",)), ("canal", ("epidural-fat", "canal"))):
        ring = mask(*keys)
        if ring.any():
            within = within | ring
            made[name] = within & ring.any(axis=(0, 1))  # slices without the ring do not show this outline
    return made


def _run(recipe: Labels, found: LabelMap, count: NDArray[np.int64], at: float) -> tuple[NDArray[np.intp], Floats]:
    """Slices around ``at`` that show the cord, and the heights of those beyond that do not although others after them do."""
    usable = count >= LEAST_VOXELS
    shown = np.flatnonzero(usable)
    if len(shown) < 3:
        raise BadGeometry("anatomy.file", f"too few slices of {found.name} show the cord", got=len(shown),
                          allowed=f"at least 3 with {LEAST_VOXELS} voxels of it")
    nearest_slice = int(np.clip(round(at), 0, len(usable) - 1))
    z = (np.arange(len(usable)) - at) * found.spacing[2]
    if not shown[0] - 0.5 <= at <= shown[-1] + 0.5:
        raise BadGeometry("anatomy.vertebra", f"{found.name} does not show the middle of {recipe.vertebra}",
                          got=f"cord from {_mm(z[shown[0]])} to {_mm(z[shown[-1]])} of it", hint="name a vertebra that the map shows")
    if not usable[nearest_slice]:
        raise BadGeometry("anatomy.vertebra", f"no cord in the slice at the middle of {recipe.vertebra}",
                          allowed="cord in every slice of the stretch", hint="fill the slice, or name another vertebra")
    empty = np.flatnonzero(~usable)
    first = int(empty[empty < nearest_slice].max(initial=-1)) + 1
    last = int(empty[empty > nearest_slice].min(initial=len(usable))) - 1
    run = np.arange(first, last + 1)
    if len(run) < 3:
        raise BadGeometry("anatomy.file", f"too few slices on end show the cord at {recipe.vertebra}", got=len(run), allowed="at least 3")
    gaps = empty[(empty > shown[0]) & (empty < shown[-1])]
    return run, np.asarray(z[gaps])


def _wall(recipe: Labels, found: LabelMap, space: Mask | None, run: NDArray[np.intp], z: Floats, average: Level, tubes: dict[str, _Tube],
          warnings: list[str]) -> BonyWall:
    """What bone and discs of the map say about the wall; the border of the canal that follows from bone goes to ``tubes``."""
    from epidura.anatomy.label_wall import LEAST_SEEN, bony_wall

    bone, disc = (np.isin(found.ids[:, :, run], sorted(id_set(recipe.labels.get(key, ())))) for key in ("bone", "disc"))
    name = next(name for name in ("dura-outer", "dura-inner", "cord") if name in tubes)
    wall = bony_wall(bone, disc, None if space is None else space[:, :, run], z, found.spacing[:2], tubes[name],
                     average.outlines[name], average.outlines["canal"])
    if "bone" not in recipe.labels:
        return wall
    shows = wall.seen >= LEAST_SEEN
    if not wall.draws:
        warnings.append(f"bone lies at the canal in {shows.sum()} slices only; the border of the canal was not taken from it")
        return wall
    tubes["canal"] = _tube(z, list(wall.outlines), wall.areas, SMOOTHED["canal"])
    inner, count = _CALLED[name], len(z)
    beside = "" if space is None else ", or ends where the labelled space around the dura does"
    warnings.append(f"canal: its border is the inner side of the bone, which {shows.sum()} of {count} slices show, in "
                    f"{wall.seen[shows].mean():.0%} of the directions on average; in openings it was carried over from the bone around them{beside}")
    if not wall.own.all():
        warnings.append(f"canal: {count - wall.own.sum()} of {count} slices show nothing of its wall; there it is as far from the {inner} "
                        f"as in the parametric model at {recipe.vertebra}")
    into = (wall.inside > max(found.spacing[:2])) & (wall.inside <= LARGEST_REPAIR)
    if into.any():
        k = int(np.where(into, wall.inside, 0.0).argmax())
        warnings.append(f"in {into.sum()} of {count} slices bone reaches into the {inner}, by up to {_mm(wall.inside[k])} (at z = {_mm(z[k])}); "
                        f"the {inner} was kept")
    return wall


_CALLED = {"dura-outer": "dura", "dura-inner": "dural sac", "cord": "cord"}


def _tubes(found: LabelMap, masks: dict[str, NDArray[np.bool_]], run: NDArray[np.intp], z: Floats, average: Level,
           warnings: list[str]) -> dict[str, _Tube]:
    """Every labelled outline as a function of the height."""
    tubes: dict[str, _Tube] = {}
    for name, mask in masks.items():
        drawn = _Drawn(name, found, average, tubes)
        at, outlines, areas = [], [], []
        for k, height in zip(run, z, strict=True):
            outline, size = drawn.slice(mask[:, :, k], float(height))
            if outline is not None:
                at.append(height)
                outlines.append(outline)
                areas.append(size)
        if len(at) < 3:
            warnings.append(f"{name} could be drawn in {len(at)} slices only and was left to the parametric model")
            continue
        tubes[name] = _tube(np.array(at), outlines, np.array(areas), SMOOTHED[name])
        warnings += drawn.remarks(len(run), len(at))
    return tubes


class _Drawn:
    """Draws one outline slice by slice and counts what went otherwise than hoped."""

    def __init__(self, name: str, found: LabelMap, average: Level, tubes: dict[str, _Tube]):
        self.name, self.found, self.average, self.tubes = name, found, average, tubes
        self.folded = name in ("grey-matter", "dorsal-columns")
        self.standard = self.torn = self.cut = 0

    def slice(self, mask: Mask, z: float) -> tuple[Floats | None, float]:
        """The outline in one slice, (POINTS, 2) m, and its area; None where the slice does not show it."""
        from scipy.ndimage import binary_closing

        from epidura.anatomy.contours import contour, folded_outline, halves, largest, round_outline

        spacing = self.found.spacing[:2]
        if mask.sum() < LEAST_VOXELS:
            return None, 0.0
        self.cut += bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())
        low, high = np.argwhere(mask).min(axis=0), np.argwhere(mask).max(axis=0) + 1
        mask, corner = np.pad(mask[low[0]:high[0], low[1]:high[1]], 3), (low - 3) * spacing
        whole = float(mask.sum() * np.prod(spacing))
        if self.name == "dorsal-columns":
            mask = binary_closing(mask, np.ones((3, 3)))  # the septum between them
        part, left_out = largest(mask)
        self.torn += left_out > 0.01 and not self.folded
        size = float(part.sum() * np.prod(spacing))
        loop = contour(part, spacing)
        if not self.folded:
            return corner + round_outline(loop, 8 * float(max(spacing))), size
        outline = folded_outline(loop, 4 * float(max(spacing))) if left_out < 0.05 else None
        if outline is not None and self._off(outline, part, spacing) < 0.2:
            return corner + outline, size
        if self.name == "dorsal-columns":
            return None, 0.0
        self.standard += 1
        return halves(_butterfly(self.average, self.tubes["cord"](z), whole)), whole

    @staticmethod
    def _off(outline: Floats, part: Mask, spacing: Floats) -> float:
        """Area that is in one of outline and mask only, as a share of the mask."""
        from epidura.anatomy.contours import contains

        i, j = np.indices(part.shape)
        at = np.column_stack([i.ravel(), j.ravel()]) * spacing
        return float((contains(outline[::4], at) != part.ravel()).sum() / part.sum())

    def remarks(self, slices: int, drawn: int) -> list[str]:
        """What a reader should know of this outline."""
        found = []
        if drawn < slices:
            found.append(f"{self.name} is labelled in {drawn} of {slices} slices; between and beyond them it was interpolated")
        if self.standard:
            found.append(f"in {self.standard} of {slices} slices the grey matter is in pieces or too rough to draw: "
                         "the parametric butterfly of the same area was put there")
        if self.torn:
            found.append(f"in {self.torn} of {slices} slices {self.name} is in pieces; the largest one was drawn")
        if self.cut:
            found.append(f"in {self.cut} of {slices} slices {self.name} reaches the edge of {self.found.name} and may be cut off")
        return found


def _butterfly(model: Level, cord: Floats, wanted: float) -> Floats:
    """The grey matter of a model in another cord, with the wanted area in m2 as far as it fits."""
    from epidura.anatomy.contours import middle_and_half, warped

    half, grey = middle_and_half(model.outlines["cord"])[1], model.cord.grey_matter
    share = np.sqrt(wanted / area(warped(grey, half, cord)))
    return warped(grey * min(share, 0.97 / float(np.hypot(*(grey / half).T).max())), half, cord)


def _origin(cord: _Tube) -> Floats:
    from epidura.anatomy.contours import middle_and_half

    return middle_and_half(cord(0.0))[0]


def _moved(tube: _Tube, origin: Floats) -> _Tube:
    """A tube in coordinates whose origin is ``origin``."""
    return _Tube(tube.z, lambda z: np.asarray(tube.points(z)) - origin, tube.grown)


def _filled(recipe: Labels, tubes: dict[str, _Tube]) -> list[str]:
    """One sentence for each thing that the parametric model had to give."""
    model = f"the parametric model at {recipe.vertebra}"
    said = {
        "grey-matter": f"grey matter: not in the map; that of {model} was fitted into this cord",
        "dorsal-columns": f"dorsal columns: not in the map; those of {model} were fitted into this cord",
        "dura-inner": f"cerebrospinal fluid: not in the map; taken from {model} "
                      + ("between this cord and this canal" if "canal" in tubes else "around this cord"),
        "dura-outer": f"dura: not in the map; its thickness is that of {model}",
        "canal": f"epidural space and wall of the canal: not in the map; as far from the dura as in {model}",
    }
    found = [sentence for name, sentence in said.items() if name not in tubes]
    bone = "only its inner side is used" if "bone" in recipe.labels else "not in the map"
    return [*found, f"bone: {bone}; it is as thick as in {model}"]
