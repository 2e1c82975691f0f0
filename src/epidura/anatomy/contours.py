"""Smooth outlines from the masks of one slice: contour, closed Fourier curve, and what keeps outlines apart.

Outlines are (k, 2) m, counter-clockwise, first != last; x to the right, y anterior. Two ways to draw one:

* ``round_outline`` for what has no fold (cord, sac, canal): the radius as a function of the eccentric angle, after the
  ellipse of the same second moments is taken out. Point 0 lies to the patient's right, as in the parametric model.
* ``folded_outline`` for the grey matter and the dorsal columns: Fourier descriptors over arc length (Zahn and Roskies 1972,
  doi 10.1109/TC.1972.5008949), started at the dorsal midline, with the ventral midline half way, so that
  left stays left and right stays right however uneven the halves are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epidura.anatomy.parametric import POINTS, area

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

BLUR = 0.7
"""Standard deviation of the blur before a contour is drawn, in voxels: rounds the steps off, keeps what is 2 voxels wide."""

ROUND_ORDER, FOLDED_ORDER = 10, 24
"""Harmonics kept: features down to about 4 mm along a cord of 40 mm girth, and 1.5 mm along the grey matter."""


def largest(mask: Mask) -> tuple[Mask, float]:
    """The largest connected part of a mask with its holes filled, and what share of the mask it leaves out."""
    from scipy.ndimage import binary_fill_holes, label

    parts, count = label(mask, np.ones((3, 3)))
    if count == 0:
        return mask, 0.0
    sizes = np.bincount(parts.ravel())[1:]
    return np.asarray(binary_fill_holes(parts == 1 + sizes.argmax())), float(1.0 - sizes.max() / sizes.sum())


def contour(mask: Mask, spacing: Floats) -> Floats:
    """Closed contour of a connected mask without holes, which encloses the area of its voxels.

    The mask is blurred a little and the level of the contour is chosen by bisection: 0.5 would cut thin horns.

    Args:
        mask: (i, j), i to the right, j anterior; indices are the middles of voxels.
        spacing: (2,) m per voxel.

    Returns:
        (k, 2) m from the middle of voxel (0, 0).
    """
    from contourpy import contour_generator
    from scipy.ndimage import gaussian_filter

    pad = 4
    blurred = gaussian_filter(np.pad(mask.astype(float), pad), BLUR)
    x, y = ((np.arange(n) - pad) * step for n, step in zip(blurred.shape, spacing, strict=True))
    lines = contour_generator(x, y, blurred.T)
    wanted, low, high = mask.sum() * float(np.prod(spacing)), 0.1, 0.9
    found = np.empty((0, 2))
    for _ in range(7):
        middle = 0.5 * (low + high)
        loops = [np.asarray(loop)[:-1] for loop in lines.lines(middle)]
        if not loops:
            high = middle
            continue
        found = max(loops, key=lambda loop: abs(area(loop)))
        low, high = (middle, high) if abs(area(found)) > wanted else (low, middle)
    return found if area(found) > 0 else found[::-1]


def centroid(outline: Floats) -> Floats:
    """Centre of the area of a closed polygon, (2,) m."""
    middle = outline.mean(axis=0)
    a = outline - middle
    b = np.roll(a, -1, axis=0)
    cross = a[:, 0] * b[:, 1] - b[:, 0] * a[:, 1]
    return np.asarray(middle + ((a + b) * cross[:, None]).sum(axis=0) / (3 * cross.sum()))


def middle_and_half(outline: Floats) -> tuple[Floats, Floats]:
    """Middle of the extents of an outline and half of them, (2,) m each."""
    low, high = outline.min(axis=0), outline.max(axis=0)
    return 0.5 * (low + high), 0.5 * (high - low)


def girth(outline: Floats) -> float:
    """Length of a closed polygon, m."""
    return float(np.hypot(*(np.roll(outline, -1, axis=0) - outline).T).sum())


def scaled_to(outline: Floats, wanted: float) -> Floats:
    """The outline about its centroid, scaled to the wanted area in m2."""
    middle = centroid(outline)
    return np.asarray(middle + (outline - middle) * np.sqrt(wanted / area(outline)))


def round_outline(loop: Floats, finest: float) -> Floats:
    """Smooth outline (POINTS, 2) m of a contour without folds; point k lies at the eccentric angle 2 pi k / POINTS.

    Args:
        loop: contour, counter-clockwise.
        finest: m; harmonics shorter than this along the curve are steps of the voxels.
    """
    middle = centroid(loop)
    half = middle_and_half(loop)[1]
    u, v = ((loop - middle) / half).T
    angle = np.arange(POINTS) * (2 * np.pi / POINTS)
    radius = np.interp(angle, np.arctan2(v, u), np.hypot(u, v), period=2 * np.pi)
    terms = np.fft.rfft(radius)
    terms[int(np.clip(girth(loop) / finest, 4, ROUND_ORDER)) + 1:] = 0.0
    smooth = np.fft.irfft(terms, POINTS)
    return scaled_to(middle + half * (smooth * np.array([np.cos(angle), np.sin(angle)])).T, area(loop))


def folded_outline(loop: Floats, finest: float) -> Floats | None:
    """Smooth outline (POINTS, 2) m of any contour that the midline cuts; None if it does not stay a simple curve.

    Args:
        loop: contour, counter-clockwise.
        finest: m; harmonics shorter than this along the curve are noise of the voxels.
    """
    even = halves(loop)
    order = int(np.clip(girth(loop) / finest, 6, FOLDED_ORDER))
    terms = np.fft.fft(even[:, 0] + 1j * even[:, 1])
    terms[order + 1:-order] = 0.0
    curve = np.fft.ifft(terms)
    outline = np.column_stack([curve.real, curve.imag])
    return scaled_to(outline, area(loop)) if area(outline) > 0 and simple(outline) else None


def halves(loop: Floats) -> Floats:
    """A loop resampled evenly on its right half, from the dorsal to the ventral midline, and on its left half; (POINTS, 2) m."""
    x0 = centroid(loop)[0]
    following = np.roll(loop, -1, axis=0)
    cuts = np.flatnonzero((loop[:, 0] > x0) != (following[:, 0] > x0))
    share = (x0 - loop[cuts, 0]) / (following[cuts, 0] - loop[cuts, 0])
    y = loop[cuts, 1] + share * (following[cuts, 1] - loop[cuts, 1])
    dorsal, ventral = cuts[y.argmin()], cuts[y.argmax()]
    ends = np.array([[x0, y.min()], [x0, y.max()]])

    def part(start: int, end: int, first: Floats, last: Floats) -> Floats:
        inner = np.roll(loop, -(start + 1), axis=0)[:(end - start) % len(loop)]
        line = np.vstack([first, inner, last])
        along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
        at = np.arange(POINTS // 2) * (along[-1] / (POINTS // 2))
        return np.column_stack([np.interp(at, along, line[:, 0]), np.interp(at, along, line[:, 1])])

    return np.vstack([part(dorsal, ventral, ends[0], ends[1]), part(ventral, dorsal, ends[1], ends[0])])


def simple(outline: Floats, step: int = 6) -> bool:
    """Whether a closed polygon, thinned to every ``step``-th point, does not cross itself."""
    a = outline[::step]
    b = np.roll(a, -1, axis=0)

    def side(p: Floats, q: Floats, r: Floats) -> Floats:
        """(n, n) which side of the piece p-q the points r lie on."""
        d, e = (q - p)[:, None], r[None] - p[:, None]
        return np.asarray(d[..., 0] * e[..., 1] - d[..., 1] * e[..., 0])

    apart = side(a, b, a) * side(a, b, b) < 0
    return not (apart & apart.T).any()


def contains(outline: Floats, points: Floats) -> Mask:
    """Whether each of (n, 2) points lies in a closed polygon, by counting crossings."""
    x, y = points[:, :1], points[:, 1:]
    (x0, y0), (x1, y1) = outline.T, np.roll(outline, -1, axis=0).T
    crosses = (y0 > y) != (y1 > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = x < x0 + (y - y0) * (x1 - x0) / (y1 - y0)
    return np.asarray((crosses & left).sum(axis=1) % 2 == 1)


def radius_at(outline: Floats, middle: Floats, angle: Floats) -> Floats:
    """Distance from ``middle`` to an outline without folds in the directions ``angle``; m."""
    x, y = (outline - middle).T
    return np.asarray(np.interp(angle, np.arctan2(y, x), np.hypot(x, y), period=2 * np.pi))


def warped(points: Floats, half: Floats, into: Floats) -> Floats:
    """Points (n, 2) in an upright ellipse about the origin, carried into an outline so that the surfaces coincide."""
    middle, extent = middle_and_half(into)
    u, v = (points / half).T
    return np.asarray(middle + points / half * extent
                      * radius_at((into - middle) / extent, np.zeros(2), np.arctan2(v, u))[:, None])


def shell(inner: Floats, model_inner: Floats, model_outer: Floats) -> Floats:
    """What lies around ``inner`` as far off, in every direction, as the outer outline of a model lies around its inner one."""
    middle, model_middle = middle_and_half(inner)[0], middle_and_half(model_inner)[0]
    x, y = (inner - middle).T
    angle = np.arctan2(y, x)
    gap = radius_at(model_outer, model_middle, angle) - radius_at(model_inner, model_middle, angle)
    return np.asarray(inner + (gap * np.array([np.cos(angle), np.sin(angle)])).T)


def outwards(outline: Floats, by: float) -> Floats:
    """An outline moved along its normals by ``by`` m, which is far less than its radii of curvature."""
    along = np.roll(outline, -1, axis=0) - np.roll(outline, 1, axis=0)
    return np.asarray(outline + by * np.column_stack([along[:, 1], -along[:, 0]]) / np.hypot(*along.T)[:, None])


def pushed(outer: Floats, inner: Floats, gap: float) -> tuple[Floats, float]:
    """``outer`` (without folds) moved away from its middle where ``inner`` comes nearer than ``gap`` m, and by how much at most.

    The push is smoothed over some degrees, so that the outline stays smooth; it is never less than needed.
    """
    from scipy.ndimage import maximum_filter1d, uniform_filter1d

    middle = middle_and_half(outer)[0]
    cells, most = 720, 0.0
    for _ in range(4):  # a gap along the ray is a little more than the distance
        lacking = gap - clearance(inner, outer)
        if lacking.max() <= 1e-3 * gap:
            break
        x, y = (inner - middle).T
        cell = np.floor(np.arctan2(y, x) * (cells / (2 * np.pi))).astype(int) % cells
        needed = np.zeros(cells)
        np.maximum.at(needed, cell, 1.1 * np.clip(lacking, 0.0, None))
        smooth = uniform_filter1d(maximum_filter1d(needed, 25, mode="wrap"), 23, mode="wrap")
        x, y = (outer - middle).T
        angle = np.arctan2(y, x)
        push = np.interp(angle, (np.arange(cells) + 0.5) * (2 * np.pi / cells), smooth, period=2 * np.pi)
        outer = outer + (push * np.array([np.cos(angle), np.sin(angle)])).T
        most += float(push.max())
    return outer, most


def clearance(inner: Floats, outer: Floats) -> Floats:
    """(k,) distance of the points of one outline to another, without folds, that should lie around it, - outside; m."""
    from scipy.spatial import cKDTree

    fine = np.vstack([outer, 0.5 * (outer + np.roll(outer, -1, axis=0))])
    distance = cKDTree(fine).query(inner)[0]
    middle = middle_and_half(outer)[0]
    x, y = (inner - middle).T
    inside = np.hypot(x, y) < radius_at(outer, middle, np.arctan2(y, x))
    return np.asarray(np.where(inside, distance, -distance))
