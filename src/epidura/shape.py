"""The shape of a meshed canal at any height: outlines as its mesh carries them along the spine.

Labels of the mesh stand in a fixed order (``canal``): five tissues from the grey matter to the epidural fat, the wall or its
three sectors, the bulk, then what belongs to leads, then the far body.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epidura.errors import BadInput
from epidura.numerics.section import Section
from epidura.numerics.spine import Way
from epidura.product import Canal, Floats

WITHIN = {"grey-matter": 1, "cord": 2, "dura-inner": 3, "dura-outer": 4, "canal": 5}
"""How many labels, from the first on, lie within an outline; leads also lie within the canal."""


def outline_at(canal: Canal, name: str, z: Floats) -> Floats:
    """(s, k, 2) m: an outline of ``WITHIN`` at heights ``z`` (s,), counter-clockwise; point i is the same node at all heights.

    Raises:
        BadInput: an unknown outline.
    """
    if name not in WITHIN:
        raise BadInput("outline", "there is no such outline", got=name, allowed=", ".join(WITHIN))
    heights = np.atleast_1d(np.asarray(z, dtype=float))
    if not isinstance(canal.way, Way):
        return np.tile(canal.outlines[name], (len(heights), 1, 1))
    nodes, _ = _loop(canal, name)
    return np.asarray(canal.way.at(heights)[0][:, nodes])


def wall_of(canal: Canal) -> list[tuple[str, float, float, NDArray[np.intp]]]:
    """Where the wall of the canal is not bone: tissue, from and to which height in m, and its nodes along the outline ``canal``.

    The nodes (k,) are those of ``outline_at`` in order; the stretch ends at -inf or inf where it has no end.
    """
    if not canal.along:
        return []
    _, outside = _loop(canal, "canal")
    borders = np.concatenate([[-np.inf], canal.edges, [np.inf]])
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for row, low, high in zip(canal.along, borders[:-1], borders[1:], strict=True):
        for label in range(5, _bulk(canal)):
            if row[label].name != "bone":
                pieces = found.setdefault((row[label].name, label), [])
                if pieces and pieces[-1][1] == low:
                    low_of_piece = pieces.pop()[0]
                    pieces.append((low_of_piece, high))
                else:
                    pieces.append((low, high))
    out = []
    for (tissue, label), pieces in found.items():
        for run in _runs(outside == label):
            out += [(tissue, low, high, run) for low, high in pieces]
    return out


def _runs(mask: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """Nodes of every run of sides of a closed loop that ``mask`` (k,) picks, side i being from node i to i + 1."""
    if mask.all():
        return [np.arange(len(mask) + 1) % len(mask)]
    starts = np.flatnonzero(mask & ~np.roll(mask, 1))
    out = []
    for start in starts:
        length = int(np.argmin(np.roll(mask, -start)))
        out.append((start + np.arange(length + 1)) % len(mask))
    return out


def _bulk(canal: Canal) -> int:
    return [tissue.name for tissue in canal.tissues].index("bulk")


def _loop(canal: Canal, name: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Nodes (k,) of an outline in order, and the label (k,) outside of the side from each node to the next."""
    section = canal.section
    if not isinstance(section, Section):
        raise BadInput("canal.section", "is not a meshed section", got=type(section).__name__)
    names = [tissue.name for tissue in canal.tissues]
    inside = np.zeros(len(names), dtype=bool)
    inside[: WITHIN[name]] = True
    if name == "canal":
        bulk = names.index("bulk")
        inside[bulk + 1 :] = np.array(names[bulk + 1 :]) != "bulk"
    label_of: dict[tuple[int, int], int] = {}
    middle_of: dict[tuple[int, int], int] = {}
    for triangle, label in zip(section.triangles.tolist(), section.labels.tolist(), strict=True):
        for i in range(3):
            side = triangle[i], triangle[(i + 1) % 3]
            label_of[side], middle_of[side] = label, triangle[3 + i]
    # a side of the outline has a triangle of the inside on its left and none on its right
    following = {a: b for (a, b), label in label_of.items() if inside[label] and (b, a) in label_of and not inside[label_of[b, a]]}
    loops = []
    while following:
        first, at = next(iter(following.items()))
        nodes = [first]
        del following[first]
        while at != first:
            nodes.append(at)
            at = following.pop(at)
        loops.append(nodes)
    corners = max(loops, key=lambda nodes: abs(_area(section.points[nodes])))
    sides = list(zip(corners, corners[1:] + corners[:1], strict=True))
    nodes = [node for side in sides for node in (side[0], middle_of[side])]
    return np.array(nodes), np.repeat([label_of[b, a] for a, b in sides], 2)


def _area(outline: Floats) -> float:
    x, y = outline.T
    return 0.5 * float(x @ np.roll(y, -1) - np.roll(x, -1) @ y)


