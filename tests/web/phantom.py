"""A label map as a person would upload it."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np


def phantom(path: Path) -> bytes:
    """Ellipses of cord, fluid and canal around z, 0.5 mm, as ids 1, 2, 3."""
    x, y = np.meshgrid((np.arange(48) - 23.5) * 0.5, (np.arange(44) - 21.5) * 0.5, indexing="ij")
    plane = np.zeros(x.shape, np.uint8)
    for number, (a, b) in ((3, (10, 8)), (2, (8, 6.5)), (1, (5, 3.5))):
        plane[(x / a) ** 2 + (y / b) ** 2 < 1] = number
    ids = np.repeat(plane[:, :, None], 60, axis=2)
    affine = np.diag([0.5, 0.5, 2.0, 1.0])
    affine[:3, 3] = -0.5 * 23.5, -0.5 * 21.5, -60
    image = nib.Nifti1Image(ids, affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path.read_bytes()
