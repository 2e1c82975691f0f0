"""Anatomy of one person: outlines drawn from a label map in NIfTI, such as the Spinal Cord Toolbox writes.

What the map does not show is taken from the parametric model at the same vertebra and laid around what it shows; every such
filling is a sentence in the warnings. How to write the case is in docs/anatomy-from-mri.md.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, field_validator, model_validator

from epidura.anatomy.base import Anatomy, Level, Stretch
from epidura.anatomy.parametric import OptionalLength, Parametric, area
from epidura.errors import BadCase, BadGeometry, BadInput, nearest
from epidura.product import Cord, Span
from epidura.recipe import read_recipe
from epidura.tables import Number, table

if TYPE_CHECKING:
    from epidura.anatomy.contours import Mask

Floats = NDArray[np.float64]

KEYS = ("white-matter", "grey-matter", "cord", "dorsal-columns", "csf", "dura", "epidural-fat", "canal", "bone")
"""What the ids of a map may be. ``cord`` is the cord where white and grey matter are not told apart; ``dorsal-columns`` is part
of it; ``canal`` is anything between the dura and the wall."""

IN_CORD = ("white-matter", "grey-matter", "cord", "dorsal-columns")

LARGEST_TILT = 20.0
"""Degrees between the axes of the map and those of the body; beyond, slices are no cross-sections."""

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


def _ids(value: object) -> object:
    """Ids as they are kept: whole numbers, and ranges as ``32:47`` with both ends."""
    if isinstance(value, str):
        value = [part for part in re.split(r"[,\s]+", value) if part]
    found: list[int | str] = []
    for part in value if isinstance(value, list | tuple) else [value]:
        match = re.fullmatch(r"(\d+)(?:\s*:\s*(\d+))?", str(part)) if not isinstance(part, bool) else None
        if match is None:
            raise BadCase("", "not an id of a label", got=part, allowed="whole numbers from 1 on, or ranges such as 32:47")
        first, last = int(match[1]), int(match[2] or match[1])
        if not 1 <= first <= last:
            raise BadCase("", "0 is the background" if first == 0 else "a range that ends before it starts", got=part,
                          allowed="ids from 1 on, the smaller one first")
        found.append(first if first == last else f"{first}:{last}")
    return tuple(found)


Ids = Annotated[tuple[int | str, ...], BeforeValidator(_ids)]


def _ranges(ids: Iterable[int | str]) -> Iterator[tuple[int, int]]:
    for part in ids:
        first, _, last = str(part).partition(":")
        yield int(first), int(last or first)


def _set(ids: Iterable[int | str]) -> set[int]:
    return {number for first, last in _ranges(ids) for number in range(first, last + 1)}


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
            for number in _set(ids):
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
        return {**value, "digest": _digest([(key, name) for key, name in files if isinstance(name, str) and name])}

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
            same = _digest(files) == self.digest
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


def _digest(files: list[tuple[str, str]]) -> str:
    """Hash of the bytes of the files, given as (key of the recipe, path)."""
    found = hashlib.blake2b(digest_size=16)
    for key, name in files:
        found.update(hashlib.blake2b(_bytes(key, name)).digest())
    return found.hexdigest()


def _bytes(key: str, name: str) -> bytes:
    path = Path(name).expanduser()
    if path.is_dir():
        raise BadCase(key, "a folder, not a label map", got=str(path.resolve()), allowed="a NIfTI file, .nii or .nii.gz")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        near = [p.name for p in path.parent.glob("*.nii*")] if path.parent.is_dir() else []
        raise BadCase(key, "no such file", got=str(path.resolve()), allowed="the path of a NIfTI file, .nii or .nii.gz",
                      hint=nearest(path.name, near)) from None
    except OSError as failure:
        raise BadCase(key, f"cannot be read: {failure.strerror}", got=str(path.resolve())) from None


# ---------------------------------------------------------------------------------------------------------- the file


@dataclass(frozen=True)
class _Map:
    """A label map whose axes are those of the body.

    Attributes:
        name: of the file.
        ids: (i, j, k), to the right, anterior and superior.
        spacing: (3,) m.
        affine: (4, 4) voxel to scanner, m.
    """

    name: str
    ids: NDArray[np.int32]
    spacing: Floats
    affine: Floats
    warnings: tuple[str, ...]

    def scanner(self, voxels: Floats) -> Floats:
        """Places (n, 3) m in the scanner of voxels (n, 3)."""
        return np.asarray(voxels @ self.affine[:3, :3].T + self.affine[:3, 3])

    def voxel(self, places: Floats) -> Floats:
        """The inverse of ``scanner``."""
        return np.asarray(np.linalg.solve(self.affine[:3, :3], (places - self.affine[:3, 3]).T).T)


def _read(where: str, name: str) -> _Map:
    """Read a NIfTI file and turn its axes to right, anterior, superior."""
    import nibabel as nib

    path = Path(name).expanduser()
    try:
        image = nib.load(path)
    except (nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError, OSError, EOFError, ValueError) as failure:
        raise BadCase(where, f"not a NIfTI file: {failure}", got=name, allowed="a label map as .nii or .nii.gz") from None
    if not isinstance(image, nib.Nifti1Pair):
        raise BadCase(where, "not a NIfTI file", got=type(image).__name__, allowed="a label map as .nii or .nii.gz")
    header = image.header
    if not int(header["sform_code"]) and not int(header["qform_code"]):
        raise BadCase(where, "the header does not say where the voxels are", got="sform_code 0 and qform_code 0",
                      allowed="a header with sform or qform", hint="write the map with the header of the image it was drawn on")
    shape = image.shape
    if len(shape) < 3 or any(n != 1 for n in shape[3:]):
        raise BadCase(where, "not one volume", got=" x ".join(map(str, shape)), allowed="a label map of three dimensions")
    affine, warnings = _metres(where, image)
    image = nib.as_closest_canonical(nib.Nifti1Image(_whole(where, image).reshape(shape[:3]), affine))
    affine = np.asarray(image.affine)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    turned = affine[:3, :3] / spacing
    if np.abs(turned.T @ turned - np.eye(3)).max() > 1e-2:
        raise BadGeometry(where, "the axes of the map are sheared", got=str(np.round(turned.T @ turned, 3).tolist()),
                          allowed="axes at right angles", hint="resample the map to the grid of the image")
    tilt = float(np.degrees(np.arccos(np.clip(np.diag(turned), -1.0, 1.0))).max())
    if tilt > LARGEST_TILT:
        raise BadGeometry(where, "the axes of the map are turned away from those of the body", got=f"{tilt:.1f} degrees",
                          allowed=f"up to {LARGEST_TILT:g} degrees", hint="resample the map with axial slices")
    if tilt > 1.0:
        warnings += (f"the slices of {path.name} are tilted by {tilt:.1f} degrees; they are taken as cross-sections",)
    return _Map(path.name, np.asarray(image.dataobj), spacing, affine, warnings)


def _metres(where: str, image: Any) -> tuple[Floats, tuple[str, ...]]:
    """The affine in metres."""
    codes = {"mm": 1e-3, "micron": 1e-6, "meter": 1.0, "unknown": 1e-3}
    unit = image.header.get_xyzt_units()[0]
    warnings = () if unit != "unknown" else ("the header of the label map gives no unit of length; millimetres are assumed",)
    affine = np.diag([codes[unit]] * 3 + [1.0]) @ np.asarray(image.affine, float)
    size = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or size.min() <= 0 or np.linalg.matrix_rank(affine[:3, :3] / size) < 3:
        raise BadCase(where, "voxels without a size", got=str(np.round(size * 1e3, 4).tolist()) + " mm", allowed="three lengths above 0 mm")
    return affine, warnings


def _whole(where: str, image: Any) -> NDArray[np.int32]:
    """The ids as whole numbers."""
    try:
        values = np.asanyarray(image.dataobj)
    except (OSError, EOFError, ValueError) as failure:
        raise BadCase(where, f"the file is not whole: {failure}", hint="copy it again") from None
    if not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
        raise BadCase(where, "values that are not ids", got=str(values.dtype), allowed="whole numbers")
    bad = values[~np.isfinite(values) | (values != np.rint(values)) | (values < 0)] if values.dtype.kind in "fi" else values[:0]
    if bad.size:
        raise BadCase(where, "values that are not ids", got=f"{bad.flat[0]:g} and {bad.size - 1} more", allowed="whole numbers from 0 on",
                      hint="a probability map must be thresholded first")
    return np.asarray(values, np.int32)  # nibabel refuses images of int64


def _check_table(recipe: Labels, found: _Map) -> None:
    """The table names what the map holds, and the map holds what the table names."""
    held = set(np.unique(found.ids).tolist()) - {0}
    for key, ids in recipe.labels.items():
        for first, last in _ranges(ids):
            if not any(first <= number <= last for number in held):
                raise BadCase(f"anatomy.labels.{key}", f"no such id in {found.name}", got=first if first == last else f"{first}:{last}",
                              allowed=_brief(held))
    named = set().union(*map(_set, recipe.labels.values()), _set(recipe.ignore))
    if recipe.levels_file is None:
        named |= set().union(*map(_set, recipe.vertebrae.values()))
    if held - named:
        raise BadCase("anatomy.labels", f"ids in {found.name} that are no tissue", got=_brief(held - named),
                      allowed="every id of the map", hint="say what they are, or list them under ignore")


def _brief(ids: set[int]) -> str:
    """Ids as text, with neighbours as ranges: 1:29, 32."""
    parts: list[list[int]] = []
    for number in sorted(ids):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}:{b}" for a, b in parts)


# ------------------------------------------------------------------------------------------------- heights along the spine


@dataclass(frozen=True)
class _Heights:
    """Where the heights of the parametric spine lie in the map, as fractions of a slice; straight between, as long as there beyond."""

    model: Floats
    slices: Floats
    pitch: float

    def slice(self, z: Floats | float) -> Floats:
        below = np.minimum(np.asarray(z) - self.model[0], 0.0)
        beyond = np.maximum(np.asarray(z) - self.model[-1], 0.0)
        return np.asarray(np.interp(z, self.model, self.slices) + (below + beyond) / self.pitch)

    def spans(self, spans: tuple[Span, ...]) -> tuple[Span, ...]:
        """Spans of the parametric spine at the heights of the map."""
        at = self.slice(0.0)
        return tuple(Span(s.name, *((float(self.slice(z) - at) * self.pitch) for z in (s.z0, s.z1))) for s in spans)


def _heights(recipe: Labels, found: _Map, cord: NDArray[np.bool_], spans: tuple[Span, ...], warnings: list[str]) -> _Heights:
    """From the labels of vertebrae, from the height that was given, or from the middle of the map."""
    pitch = float(found.spacing[2])
    if recipe.vertebrae:
        return _labelled_heights(recipe, found, spans, warnings)
    slices = np.flatnonzero(cord.any(axis=(0, 1)))
    heights = found.scanner(np.array([[*np.argwhere(cord[:, :, k]).mean(axis=0), k] for k in slices]))[:, 2]
    if recipe.z0 is None:
        at = 0.5 * float(slices[0] + slices[-1])
        warnings.append(f"neither vertebrae nor z0 was given: the middle of {recipe.vertebra} was put at the middle of the map, "
                        f"z = {np.interp(at, slices, heights) * 1e3:.1f} mm in the scanner")
        return _Heights(np.zeros(1), np.array([at]), pitch)
    if not heights[0] <= recipe.z0 <= heights[-1]:
        raise BadGeometry("anatomy.z0", f"the cord in {found.name} does not reach this height", got=f"{recipe.z0 * 1e3:.1f} mm",
                          allowed=f"{heights[0] * 1e3:.1f} to {heights[-1] * 1e3:.1f} mm")
    return _Heights(np.zeros(1), np.interp([recipe.z0], heights, slices), pitch)


def _labelled_heights(recipe: Labels, found: _Map, spans: tuple[Span, ...], warnings: list[str]) -> _Heights:
    where = "anatomy.levels_file" if recipe.levels_file else "anatomy.file"
    levels = _read(where, recipe.levels_file) if recipe.levels_file else found
    known: dict[str, tuple[float, list[float]]] = {}
    for name, ids in recipe.vertebrae.items():
        for place, z, at in _landmarks(name, levels, _set(ids), spans):
            known.setdefault(place, (z, []))[1].append(float(found.voxel(levels.scanner(at[None]))[0, 2]))
    if not known:
        raise BadCase("anatomy.vertebrae", "no vertebra is whole in the map", allowed="at least one vertebra or disc")
    order = sorted(known, key=lambda place: known[place][0])
    model, slices = np.array([known[place][0] for place in order]), np.array([np.mean(known[place][1]) for place in order])
    stretched = np.diff(slices) * found.spacing[2] / np.diff(model)
    for lower, upper, ratio in zip(order, order[1:], stretched, strict=False):
        if not 0.5 < ratio < 2.0:
            raise BadCase("anatomy.vertebrae", f"{lower} and {upper} are not where they should be to each other",
                          got=f"{ratio:.2f} times as far apart as in an average adult", allowed="0.5 to 2 times",
                          hint="look at the ids: 0 or less means that the order is wrong")
    if not model[0] <= 0.0 <= model[-1]:
        warnings.append(f"the middle of {recipe.vertebra} is not labelled: it was placed as far from {order[0] if model[0] > 0 else order[-1]} "
                        "as in an average adult")
    return _Heights(model, slices, float(found.spacing[2]))


def _landmarks(name: str, levels: _Map, ids: set[int], spans: tuple[Span, ...]) -> Iterator[tuple[str, float, Floats]]:
    """What a label says: name of a place, its height in the parametric spine (m) and its voxel (3,).

    A disc and a vertebra marked in one slice are their middles; a vertebra filled from end to end gives both of its ends.
    An end at the end of the map is where the map was cut, not where the vertebra ends.
    """
    voxels = np.argwhere(np.isin(levels.ids, sorted(ids)))
    if not len(voxels):
        raise BadCase(f"anatomy.vertebrae.{name}", f"no such id in {levels.name}", got=_brief(ids),
                      allowed=_brief(set(np.unique(levels.ids).tolist()) - {0}))
    names = [span.name for span in spans]
    at = names.index(name.partition("/")[0])
    middle, low, high = voxels.mean(axis=0), voxels[:, 2].min(), voxels[:, 2].max()
    if "/" in name or low == high:
        yield name, spans[at].z0 if "/" in name else spans[at].middle, middle
        return
    if low > 0:
        yield "/".join(names[at:at + 2]), spans[at].z0, np.array([*middle[:2], low - 0.5])
    if high < levels.ids.shape[2] - 1:
        yield "/".join(names[max(at - 1, 0):at + 1]), spans[at].z1, np.array([*middle[:2], high + 0.5])


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
        warnings: of reading.
    """

    recipe: Labels
    name: str
    step: float
    reach: tuple[float, float]
    gaps: Floats
    tubes: dict[str, _Tube]
    model: Level
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
        warnings = list(self.warnings)
        for short, end in ((low - z0, low), (z1 - high, high)):
            if short > 1e-6:
                warnings.append(f"{self.name} ends at z = {_mm(end)}; the canal goes on for {_mm(short)} as it is there")
        z = _stations(max(z0, low), min(z1, high), self.step)
        builder = _Builder(self)
        made = [builder.outlines(float(one)) for one in z]
        origin = int(np.flatnonzero(z == 0.0)[0])
        warnings += builder.repairs()
        numbers = (*_measured(self, made[origin][0]), *_kept(self))
        levels = tuple(Level(self.model.vertebra, outlines, cord, self.model.tissues, False, numbers, tuple(warnings))
                       for outlines, cord in made)
        return Stretch(z, levels, origin=origin)


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
        if key in fitted.tubes:
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
    if "canal" in fitted.tubes:
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
    found = _read("anatomy.file", recipe.file)
    _check_table(recipe, found)
    masks = _masks(recipe, found)
    warnings = list(found.warnings)
    average = _model(recipe)
    heights = _heights(recipe, found, masks["cord"], average.cord.vertebrae, warnings)
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
    return _Fitted(recipe, found.name, float(step), (float(z[0]), float(z[-1])), gaps, tubes, here, warnings)


def _model(recipe: Labels, **sizes: str) -> Level:
    try:
        model: Parametric = read_recipe(Parametric, {"vertebra": recipe.vertebra, "tissues": recipe.tissues,
                                                     "segment_shift": recipe.segment_shift, **sizes})
        return model.level()
    except BadGeometry as failure:
        raise failure.at("anatomy") if not failure.where.startswith("anatomy") else failure from None


def _masks(recipe: Labels, found: _Map) -> dict[str, NDArray[np.bool_]]:
    """What each outline encloses, (i, j, k) each; only outlines that the table of labels gives."""
    def mask(*keys: str) -> NDArray[np.bool_]:
        ids = set().union(*(_set(recipe.labels.get(key, ())) for key in keys))
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


def _run(recipe: Labels, found: _Map, count: NDArray[np.int64], at: float) -> tuple[NDArray[np.intp], Floats]:
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


def _tubes(found: _Map, masks: dict[str, NDArray[np.bool_]], run: NDArray[np.intp], z: Floats, average: Level,
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

    def __init__(self, name: str, found: _Map, average: Level, tubes: dict[str, _Tube]):
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
    bone = "its labels are not used" if "bone" in recipe.labels else "not in the map"
    return [*found, f"bone: {bone}; it is as thick as in {model}"]
