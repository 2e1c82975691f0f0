"""A label map as a file: NIfTI read with the axes of the body, and the table that says which ids are which tissue."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator

from epidura.errors import BadCase, BadGeometry, nearest

Floats = NDArray[np.float64]

LARGEST_TILT = 20.0
"""Degrees between the axes of the map and those of the body; beyond, slices are no cross-sections."""


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


def id_set(ids: Iterable[int | str]) -> set[int]:
    """All numbers that ids and ranges stand for."""
    return {number for first, last in _ranges(ids) for number in range(first, last + 1)}


def digest_of(files: list[tuple[str, str]]) -> str:
    """Hash of the bytes of the files, given as (key of the recipe, path).

    Raises:
        BadCase: a file that is not there or cannot be read.
    """
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


@dataclass(frozen=True)
class LabelMap:
    """A label map whose axes are those of the body.

    Attributes:
        name: of the file.
        ids: (i, j, k), to the right, anterior and superior.
        spacing: (3,) m.
        affine: (4, 4) voxel to scanner, m.
        warnings: what a reader should know of the file.
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


def read_map(where: str, name: str) -> LabelMap:
    """Read a NIfTI file and turn its axes to right, anterior, superior; ``where`` is the key of the case that names it.

    Raises:
        BadCase: not a NIfTI file of one volume of whole numbers that says where its voxels are.
        BadGeometry: axes that are sheared, or turned by more than ``LARGEST_TILT``.
    """
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
    return LabelMap(path.name, np.asarray(image.dataobj), spacing, affine, warnings)


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


def check_table(found: LabelMap, labels: Mapping[str, tuple[int | str, ...]], others: set[int]) -> None:
    """The table names what the map holds, and the map holds what the table names.

    Args:
        labels: ids of each tissue.
        others: ids that may be in the map and are no tissue.

    Raises:
        BadCase: an id that the map does not hold, or one of the map without a name.
    """
    held = set(np.unique(found.ids).tolist()) - {0}
    for key, ids in labels.items():
        for first, last in _ranges(ids):
            if not any(first <= number <= last for number in held):
                raise BadCase(f"anatomy.labels.{key}", f"no such id in {found.name}", got=first if first == last else f"{first}:{last}",
                              allowed=brief(held))
    named = set().union(*map(id_set, labels.values()), others)
    if held - named:
        raise BadCase("anatomy.labels", f"ids in {found.name} that are no tissue", got=brief(held - named),
                      allowed="every id of the map", hint="say what they are, or list them under ignore")


def brief(ids: set[int]) -> str:
    """Ids as text, with neighbours as ranges: 1:29, 32."""
    parts: list[list[int]] = []
    for number in sorted(ids):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}:{b}" for a, b in parts)
