"""Label maps that people upload: checked before they are kept, kept under the hash of what they hold.

A case of the page names a map as ``map-HASH.nii.gz``; what else it names is refused, so that a page cannot ask for other files of this
machine. Only the content is kept, not the name of the file, which may be that of a person.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import re
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from epidura.anatomy.label_map import read_map
from epidura.errors import BadCase, BadInput

LARGEST = 64 * 2**20
"""Bytes of an uploaded file. Choice of this project: a map of the whole spine at 0.5 mm packs into a few MB."""

UNPACKED = 256 * 2**20
"""Bytes that a packed file may unpack to, so that a small file cannot fill the memory. Choice of this project."""

HEADERS = {348: ("<", ">"), 540: ("<", ">")}
"""Sizes of the headers of NIfTI-1 and NIfTI-2 in bytes, which they begin with."""

NAME = re.compile(r"map-[0-9a-f]{32}\.nii(\.gz)?")

_FOLDERS: dict[Path, None] = {}
"""Where maps of this process lie. A name is the hash of a content, so it means the same in all of them."""
_LOCK = threading.Lock()


class Maps:
    """The uploaded maps of a server.

    Args:
        folder: they are kept in.
    """

    def __init__(self, folder: Path):
        self.folder = folder.resolve()
        with _LOCK:
            _FOLDERS[self.folder] = None

    def keep(self, content: bytes) -> dict[str, Any]:
        """Check a file and keep it; gives ``file`` (its name here) and what ``summary`` says.

        Raises:
            BadInput: too large, or not a label map as ``anatomy.label_map.read_map`` takes it.
        """
        packed = content[:2] == b"\x1f\x8b"
        _check(content, packed)
        name = f"map-{hashlib.sha256(content).hexdigest()[:32]}.nii{'.gz' if packed else ''}"
        path = self.folder / name
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(prefix=".writing-", suffix=".nii.gz" if packed else ".nii", dir=self.folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            said = summary(Path(beside))
            os.replace(beside, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside)
        return {"file": name, **said}

    def summary(self, name: str) -> dict[str, Any]:
        """What a kept map holds.

        Raises:
            BadInput: there is none of this name.
        """
        return {"file": name, **summary(find(name))}


def summary(path: Path) -> dict[str, Any]:
    """Ids with their numbers of voxels and heights, size, spacing and warnings of a map.

    Raises:
        BadInput: as ``read_map``.
    """
    try:
        found = read_map("map", str(path))
    except BadInput as failure:
        # the name is that of a file of this machine
        raise type(failure)(failure.where, failure.problem.replace(str(path), "the file"), got=None if failure.got == str(path) else failure.got,
                            allowed=failure.allowed, hint=failure.hint) from None
    ids, counts = np.unique(found.ids, return_counts=True)
    heights = []
    for number in ids[:200]:
        slices = np.flatnonzero((found.ids == number).any(axis=(0, 1)))
        x, y = 0.5 * found.ids.shape[0], 0.5 * found.ids.shape[1]
        middle = np.array([[x, y, slices[0]], [x, y, slices[-1]]])
        heights.append(found.scanner(middle)[:, 2] * 1e3)
    return {"ids": [{"id": int(number), "voxels": int(count), "low_mm": round(float(z.min()), 2), "high_mm": round(float(z.max()), 2)}
                    for number, count, z in zip(ids[:200], counts, heights, strict=False) if number != 0],
            "left_out": max(0, len(ids) - 200), "shape": [int(n) for n in found.ids.shape],
            "spacing_mm": [round(float(s) * 1e3, 4) for s in found.spacing],
            "warnings": [words.replace(path.name, "the map") for words in found.warnings]}


def _check(content: bytes, packed: bool) -> None:
    """Refuse by size and header, before anything is written."""
    if len(content) > LARGEST:
        raise BadInput("map", "a file too large", got=f"{len(content) / 2**20:.0f} MB", allowed=f"{LARGEST // 2**20} MB", hint="pack it as .nii.gz")
    head = content[:1024]
    if packed:
        try:
            with gzip.open(io.BytesIO(content)) as file:
                head = file.read(1024)
                size = len(head)
                while part := file.read(2**20):
                    size += len(part)
                    if size > UNPACKED:
                        raise BadInput("map", "a file that unpacks to too much", allowed=f"{UNPACKED // 2**20} MB", hint="cut the map to the canal")
        except (OSError, EOFError, ValueError) as failure:
            if isinstance(failure, BadInput):
                raise
            raise BadInput("map", f"not a whole packed file: {failure}", allowed="a label map as .nii or .nii.gz", hint="copy it again") from None
    sizes = {int.from_bytes(head[:4], order) for order in ("little", "big")} if len(head) >= 4 else set()
    if not sizes & set(HEADERS):
        raise BadInput("map", "not a NIfTI file", got="no header of NIfTI", allowed="a label map as .nii or .nii.gz",
                       hint="DICOM and images without labels are not read; docs/anatomy-from-mri.md says how a map is made")


def find(name: str) -> Path:
    """The kept map of this name.

    Raises:
        BadInput: not such a name, or not here.
    """
    if NAME.fullmatch(name):
        with _LOCK:
            folders = list(_FOLDERS)
        for folder in folders:
            if (folder / name).is_file():
                return folder / name
        raise BadCase("anatomy.file", "this server does not have this map", got=name, hint="upload it again: the same file gets the same name")
    raise BadCase("anatomy.file", "not an uploaded map", got=name, allowed="map-….nii.gz, as an upload gives it", hint="upload the label map here")


def opened(written: Mapping[str, Any]) -> dict[str, Any]:
    """A case as a page wrote it, the names of its maps replaced by their paths.

    Raises:
        BadCase: a file that is not an uploaded map.
    """
    anatomy = written.get("anatomy")
    if not isinstance(anatomy, dict) or anatomy.get("kind") != "labels":
        return dict(written)
    found = dict(anatomy)
    for key in ("file", "levels_file"):
        if found.get(key) is not None:
            try:
                found[key] = str(find(str(found[key])))
            except BadCase as failure:
                raise BadCase(f"anatomy.{key}", failure.problem, got=failure.got, allowed=failure.allowed, hint=failure.hint) from None
    return {**written, "anatomy": found}


def closed(written: dict[str, Any]) -> dict[str, Any]:
    """A case for a page: the paths of maps replaced by their names."""
    anatomy = written.get("anatomy")
    if not isinstance(anatomy, dict) or anatomy.get("kind") != "labels":
        return written
    return {**written, "anatomy": {key: Path(value).name if key in ("file", "levels_file") and value is not None else value
                                   for key, value in anatomy.items()}}
