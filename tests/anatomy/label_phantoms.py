"""Label maps made for tests: how they are written, and a bony canal whose wall is known."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

UNITS = {"mm": 1.0, "micron": 1e3, "meter": 1e-3}

CORD, CSF, FAT, BONE, DISC = 1, 3, 4, 8, 9
TABLE = {"cord": CORD, "csf": CSF, "epidural-fat": FAT, "bone": BONE, "disc": DISC}
HALF_CORD, HALF_SAC = (4.6, 3.4), (6.4, 5.4)
"""Half widths and depths, mm."""
SHIFT = (0.4, -0.3)
"""Middle of the canal from that of the sac, mm."""
PITCH = 24.0
"""From disc to disc, mm; the middle of a vertebra is at z = 0."""
OPEN = {"ventral": (-15.0, -9.0), "lateral": (-14.0, -2.0), "dorsal": (-19.0, -13.0)}
"""Where the wall is not bone below the middle of every vertebra, mm: disc, foramen, ligament."""
THICK = 5.0
"""Of the bone, mm."""
SPACING = (0.4, 0.5, 1.5)


def within(x: np.ndarray, y: np.ndarray, half: tuple[float, float], middle: tuple[float, float] = (0, 0), turn: float = 0.0) -> np.ndarray:
    """Inside of an ellipse, turned by ``turn`` degrees."""
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    u, v = x - middle[0], y - middle[1]
    return ((u * cos + v * sin) / half[0]) ** 2 + ((v * cos - u * sin) / half[1]) ** 2 <= 1


def save(path: Path, ids: np.ndarray, affine: np.ndarray, codes: str = "RAS", unit: str = "mm") -> str:
    """Write ids in RAS order with the axes in another order."""
    turn = ornt_transform(io_orientation(affine), axcodes2ornt(tuple(codes)))
    image = nib.Nifti1Image(nib.apply_orientation(ids, turn), np.diag([UNITS.get(unit, 1.0)] * 3 + [1.0]) @ affine @ inv_ornt_aff(turn, ids.shape))
    image.header.set_xyzt_units(unit)
    nib.save(image, path)
    return str(path)


def course(z: float) -> np.ndarray:
    """(2,) middle of the sac at a height, mm."""
    return np.array([1.2 * np.sin(2 * np.pi * z / 130), 0.04 * z])


def canal(z: float) -> tuple[float, float]:
    """Half width and depth of the canal at a height, mm."""
    return 9.0 + 0.02 * z, 7.6 - 0.01 * z


def radius(half: tuple[float, float], angle: np.ndarray, power: float = 2.4) -> np.ndarray:
    """Of a superellipse in directions from its middle."""
    return (np.abs(np.cos(angle) / half[0]) ** power + np.abs(np.sin(angle) / half[1]) ** power) ** (-1 / power)


def opening(sector: str, z: float) -> bool:
    low, high = OPEN[sector]
    return low < (z - high) % PITCH - PITCH + high


def vertebral(count: int = 56, fat: bool = True, spacing: tuple[float, float, float] = SPACING) -> tuple[np.ndarray, np.ndarray]:
    """Ids in RAS order and affine (mm) of a bony canal along several vertebrae; z = 0 is at 100 mm in the middle of the map.

    In the foramina there is fat as far out as the bone is thick, and bone (facet joints) behind it; behind the laminae and what lies
    between them there are spinous processes.
    """
    shape = int(44 / spacing[0]), int(48 / spacing[1]), count
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [5.1 - spacing[0] * (shape[0] - 1) / 2, -29.8 - spacing[1] * (shape[1] - 1) / 2, 100 - spacing[2] * (count - 1) / 2]
    ids = np.zeros(shape, np.uint8)
    for k in range(count):
        z = affine[2, 3] + k * spacing[2] - 100
        middle = course(z)
        x, y = np.meshgrid(*(affine[i, 3] + np.arange(shape[i]) * spacing[i] - at for i, at in ((0, 5 + middle[0]), (1, -30 + middle[1]))),
                           indexing="ij")
        u, v = x - SHIFT[0], y - SHIFT[1]
        away, out = np.abs(np.arctan2(u, v)), np.hypot(u, v) - radius(canal(z), np.arctan2(v, u))
        here = ids[:, :, k]
        for sector, part in (("ventral", away < 0.87), ("lateral", (away >= 0.87) & (away <= np.pi - 1.13)), ("dorsal", away > np.pi - 1.13)):
            ring = part & (out > 0) & (out < THICK)
            here[ring] = BONE
            if opening(sector, z):
                here[ring] = {"ventral": DISC, "lateral": FAT if fat else 0, "dorsal": 0}[sector]
                if sector == "lateral":
                    here[part & (out >= THICK) & (out < THICK + 4)] = BONE
        here[(np.abs(u) < 2) & (v < 0) & (out > THICK + 3) & (out < THICK + 8)] = BONE
        here[out <= 0] = FAT if fat else 0
        here[within(x, y, HALF_SAC)] = CSF
        here[within(x, y, HALF_CORD, (0, 0.2))] = CORD
    return ids, affine
