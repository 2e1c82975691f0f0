"""Where the vertebrae lie in a label map: from their labels, from a height that was given, or from the middle of the map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from epidura.anatomy.label_map import LabelMap, brief, id_set, read_map
from epidura.errors import BadCase, BadGeometry
from epidura.product import Span

if TYPE_CHECKING:
    from epidura.anatomy.labels import Labels

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Heights:
    """Where the heights of the parametric spine lie in the map, as fractions of a slice; straight between, as long as there beyond."""

    model: Floats
    slices: Floats
    pitch: float

    def slice(self, z: Floats | float) -> Floats:
        """Slice, with its fraction, of heights of the parametric spine, m."""
        below = np.minimum(np.asarray(z) - self.model[0], 0.0)
        beyond = np.maximum(np.asarray(z) - self.model[-1], 0.0)
        return np.asarray(np.interp(z, self.model, self.slices) + (below + beyond) / self.pitch)

    def spans(self, spans: tuple[Span, ...]) -> tuple[Span, ...]:
        """Spans of the parametric spine at the heights of the map."""
        at = self.slice(0.0)
        return tuple(Span(s.name, *((float(self.slice(z) - at) * self.pitch) for z in (s.z0, s.z1))) for s in spans)


def heights_of(recipe: Labels, found: LabelMap, cord: NDArray[np.bool_], spans: tuple[Span, ...], warnings: list[str]) -> Heights:
    """From the labels of vertebrae, from the height that was given, or from the middle of the map.

    Args:
        cord: (i, j, k) mask.
        spans: the vertebrae of the parametric spine, rostral first.
        warnings: takes what a reader should know.

    Raises:
        BadCase: labels of vertebrae that are not in the map, or in an impossible order.
        BadGeometry: a height that the cord does not reach.
    """
    pitch = float(found.spacing[2])
    if recipe.vertebrae:
        return _labelled_heights(recipe, found, spans, warnings)
    slices = np.flatnonzero(cord.any(axis=(0, 1)))
    heights = found.scanner(np.array([[*np.argwhere(cord[:, :, k]).mean(axis=0), k] for k in slices]))[:, 2]
    if recipe.z0 is None:
        at = 0.5 * float(slices[0] + slices[-1])
        warnings.append(f"neither vertebrae nor z0 was given: the middle of {recipe.vertebra} was put at the middle of the map, "
                        f"z = {np.interp(at, slices, heights) * 1e3:.1f} mm in the scanner")
        return Heights(np.zeros(1), np.array([at]), pitch)
    if not heights[0] <= recipe.z0 <= heights[-1]:
        raise BadGeometry("anatomy.z0", f"the cord in {found.name} does not reach this height", got=f"{recipe.z0 * 1e3:.1f} mm",
                          allowed=f"{heights[0] * 1e3:.1f} to {heights[-1] * 1e3:.1f} mm")
    return Heights(np.zeros(1), np.interp([recipe.z0], heights, slices), pitch)


def _labelled_heights(recipe: Labels, found: LabelMap, spans: tuple[Span, ...], warnings: list[str]) -> Heights:
    where = "anatomy.levels_file" if recipe.levels_file else "anatomy.file"
    levels = read_map(where, recipe.levels_file) if recipe.levels_file else found
    known: dict[str, tuple[float, list[float]]] = {}
    for name, ids in recipe.vertebrae.items():
        for place, z, at in _landmarks(name, levels, id_set(ids), spans):
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
    return Heights(model, slices, float(found.spacing[2]))


def _landmarks(name: str, levels: LabelMap, ids: set[int], spans: tuple[Span, ...]) -> Iterator[tuple[str, float, Floats]]:
    """What a label says: name of a place, its height in the parametric spine (m) and its voxel (3,).

    A disc and a vertebra marked in one slice are their middles; a vertebra filled from end to end gives both of its ends.
    An end at the end of the map is where the map was cut, not where the vertebra ends.
    """
    voxels = np.argwhere(np.isin(levels.ids, sorted(ids)))
    if not len(voxels):
        raise BadCase(f"anatomy.vertebrae.{name}", f"no such id in {levels.name}", got=brief(ids),
                      allowed=brief(set(np.unique(levels.ids).tolist()) - {0}))
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
