"""The problem of ``iteration`` once more, where that one stalls: conjugate gradients preconditioned by algebraic multigrid (PyAMG).

The matrix that multigrid coarsens is assembled, with every contact merged into one unknown, and it is not that of the quadratic elements:
it is that of linear elements on the same nodes, every triangle cut into four and every element of the axis into two, with lumped masses
and without the slopes. Both have the same energy to within a small factor however stretched the elements are (Orszag 1980,
doi:10.1016/0021-9991(80)90005-4), but the linear one has nine entries a row instead of 44, few of them positive off the diagonal,
and that is what multigrid is made for. The conjugate gradients take the product with the quadratic elements, so the
answer is that of ``iteration`` and only the way to it differs: nothing here averages over z, needs columns that conduct all along, or
shares search directions between contacts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix

from epidura.numerics.iteration import ASSEMBLED, PREPARED, SOLVED, NotConverged, Solved, Touch, Watch, galerkin, problem, silent
from epidura.numerics.spine import Layout, Operator, Part, Spine

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LIMIT = 400
"""Most steps."""

STRENGTH = ("classical", {"theta": 0.25, "norm": "min"})
"""Which couplings multigrid coarsens along: those at least so large, relative to the most negative one of the row."""

COARSEST = 500
"""Unknowns that are solved directly."""

TURN = 4
"""Contacts solved together, as the kernels of the product take them; more are solved in turns, to bound the memory."""

ENTRY_BYTES, GROWTH = 12, 6.0
"""Of an entry of a sparse matrix, and how many times those of the linear matrix are held at the peak: triplets and their sum while it is
assembled (16 bytes each, twice), then all levels with interpolations (3.5 times the first in two models)."""

_CUTS = np.array([[0, 3, 5], [3, 1, 4], [5, 4, 2], [3, 4, 5]])  # of a triangle of six nodes


def solve_multigrid(spine: Spine, z: Floats, touches: Sequence[Touch], tolerance: float = 1e-8, limit: int | None = None,
                    watch: Watch | None = None) -> Solved:
    """As ``iteration.solve_touches``, by other means: for what that one cannot do.

    Measured, both from scratch: 28 steps against 31 and 1.4 times the processor time (0.19 million unknowns, full rings of bone and disc,
    oblique lead, three contacts, to 1e-6); 27 against 21 and 2.1 times (1.1 million, canal along the spine, four contacts, to 1e-4). The
    multigrid runs on one core. On the assembled matrix of the quadratic elements themselves, the first of the two after 150 steps: Ruge-Stüben
    1.5e-5 by negative couplings and 4e-4 by all, smoothed aggregation with energy 7e-5, rootnode 6e-5 and 1.8e-5 by evolution;
    smoothed aggregation by symmetric strength needs 352 steps, without one more than 400.

    Args:
        z: (nz,) nodes of the quadratic axis; stations and contact edges are ends of elements.
        tolerance: of the residual, relative, in the norm of the preconditioner.
        limit: most steps; None: ``LIMIT``.
        watch: as in ``iteration.solve_touches``; called after each step, too.

    Raises:
        NotConverged: not in ``limit`` steps.
        ValueError: contacts that are not on the mesh, or a matrix that does not fit in memory.
    """
    import pyamg  # loads for a second

    say: Watch = watch or silent
    say("multigrid: assembling the matrix", 0.0)
    operator, mask = problem(spine, z, touches)
    layout = operator.layout
    _fits(needed(layout, len(z), len(touches)), available())
    matrix, number = linear_matrix(operator, mask)
    say("multigrid: preparing the iteration", ASSEMBLED)
    levels = pyamg.ruge_stuben_solver(matrix, strength=STRENGTH, max_coarse=COARSEST)
    cycle = levels.aspreconditioner(cycle="V").matvec
    count, inner = len(touches), len(z) - 2
    there = number >= 0

    def spread(x: Floats) -> Floats:
        """(k, unknowns) -> (rows, k, padded)."""
        out = operator.zeros(len(x))
        values = np.where(there, x[:, np.maximum(number, 0)], 0.0)  # (k, rows, inner)
        out[:, :, 1 : inner + 1] = values.transpose(1, 0, 2)
        return out

    def gather(load: Floats) -> Floats:
        """(rows, k, padded) -> (k, unknowns): the loads of a contact add up."""
        at = number[there]
        return np.array([np.bincount(at, load[:, c, 1 : inner + 1][there], matrix.shape[0]) for c in range(load.shape[1])])

    found, iterations, residual = np.zeros((count, matrix.shape[0])), 0, 0.0
    for low in range(0, count, TURN):
        unit = np.zeros((TURN, matrix.shape[0]))
        some = np.arange(low, min(low + TURN, count))
        unit[some - low, some] = 1.0  # the unknowns of the contacts come first

        def step(number: int, left: float, low: int = low) -> None:
            share = (low + TURN * min(max(np.log(left) / np.log(tolerance), 0.0), 1.0)) / (TURN * -(-count // TURN))
            say(f"multigrid, step {number}: residual {left:.0e} of {tolerance:.0e}", PREPARED + (SOLVED - PREPARED) * share)

        x, steps, left = _conjugate(lambda v: gather(operator.apply(spread(v))), cycle, unit, len(some), tolerance, LIMIT if limit is None else limit,
                                    None if watch is None else step)
        found[some] = x[: len(some)]
        iterations, residual = max(iterations, steps), max(residual, left)
    say("multigrid: putting the contacts together", SOLVED)
    values = np.concatenate([spread(found[low : low + TURN])[:, :, : len(z)] for low in range(0, count, TURN)], axis=1)
    return galerkin(operator, mask, touches, values, iterations, residual)


def linear_matrix(operator: Operator, mask: NDArray[np.bool_]) -> tuple[csr_matrix, Ints]:
    """Linear elements on the nodes of the quadratic ones, contacts merged; and (rows, inner nz) the unknown of each node.

    The unknowns of the contacts come first. Nodes where nothing conducts have none, -1.
    """
    layout, z, section = operator.layout, operator.z, operator.spine.section
    inner, parts = len(z) - 2, operator.parts
    cut = section.triangles[:, _CUTS].reshape(-1, 3)
    rows = layout.row[cut]
    one, two = rows[:, :, None].repeat(3, axis=2).ravel(), rows[:, None, :].repeat(3, axis=1).ravel()
    pairs = np.flatnonzero((one >= 0) & (two >= 0))
    key, place = np.unique(one[pairs] * layout.size + two[pairs], return_inverse=True)
    stiffness, mass = np.empty((len(key), len(parts))), np.empty((layout.size, len(parts)))
    for k, part in enumerate(parts):
        plane, lumped = _plane(operator, part, cut)
        stiffness[:, k] = np.bincount(place, plane.ravel()[pairs], len(key))
        mass[:, k] = np.bincount(rows[rows >= 0], lumped[rows >= 0], layout.size)
    # along z: lumped mass of every node (Simpson's rule, that of the quadratic element), conductance between neighbours
    ends = np.stack([part.weight for part in parts])  # (parts, elements, 2)
    length = z[2::2] - z[:-2:2]
    weight = np.zeros((len(parts), len(z)))
    weight[:, :-2:2] += length * ends[:, :, 0] / 6
    weight[:, 2::2] += length * ends[:, :, 1] / 6
    weight[:, 1::2] = length * ends.mean(axis=2) * (4 / 6)
    link = np.empty((len(parts), len(z) - 1))
    for half, share in enumerate(((0.75, 0.25), (0.25, 0.75))):
        link[:, half::2] = ends @ np.array(share) * (2 / length)
    across = stiffness @ weight[:, 1:-1]  # (plane entries, inner)
    along = mass @ link  # (rows, nz - 1)
    i, j = np.divmod(key, layout.size)
    across[i == j] += along[i[i == j], :-1] + along[i[i == j], 1:]
    diagonal = np.zeros((layout.size, inner))
    diagonal[i[i == j]] = across[i == j]
    number = np.full((layout.size, inner), -1)
    number[diagonal > 0] = -2
    first = layout.size - mask.shape[1]
    for c, band in enumerate(mask):
        number[first:][band[:, 1 : inner + 1]] = c
    alone = number == -2
    number[alone] = len(mask) + np.arange(int(alone.sum()))
    up = -along[:, 1:-1]
    row = np.concatenate([number[i].ravel(), number[:, :-1].ravel(), number[:, 1:].ravel()]).astype(np.int32)
    column = np.concatenate([number[j].ravel(), number[:, 1:].ravel(), number[:, :-1].ravel()]).astype(np.int32)
    entries = np.concatenate([across.ravel(), up.ravel(), up.ravel()])
    kept = (entries != 0) & (row >= 0) & (column >= 0)
    size = len(mask) + int(alone.sum())
    return csr_matrix(coo_matrix((entries[kept], (row[kept], column[kept])), shape=(size, size))), number


def _plane(operator: Operator, part: Part, cut: Ints) -> tuple[Floats, Floats]:
    """Of a part: stiffness (cuts, 3, 3) and lumped mass (cuts, 3) of linear triangles ``cut``; the slopes and the bend are left out."""
    spine = operator.spine
    group = spine.groups[part.group]
    if part.group == 0:
        transverse, longitudinal = spine.transverse[0] * group, spine.longitudinal[0] * group
    else:
        top, most, _ = spine.profile(int(np.flatnonzero(group)[0]))
        transverse, longitudinal = top * group, most * group
    points = spine.section.points if spine.positions is None else spine.positions[part.station]
    label = spine.section.labels.repeat(len(_CUTS))
    corner = points[cut]
    side = np.roll(corner, -2, axis=1) - np.roll(corner, -1, axis=1)  # opposite to each corner
    a, b = side[:, 0], side[:, 1]
    area = 0.5 * np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    plane = np.einsum("tid,tjd->tij", side, side) * (transverse[label] / (4 * area))[:, None, None]
    return plane, np.repeat((longitudinal[label] * area / 3)[:, None], 3, axis=1)


def _conjugate(
    product: Callable[[Floats], Floats], cycle: Callable[[Floats], Floats], load: Floats, used: int, tolerance: float, limit: int,
    step_done: Callable[[int, float], None] | None = None,
) -> tuple[Floats, int, float]:
    """Conjugate gradients for each of the first ``used`` loads (k, unknowns) by itself, one product for all: solutions, steps, residual."""
    x, r = np.zeros_like(load), load.copy()
    s = np.zeros_like(load)

    def smooth() -> Floats:
        for c in range(used):
            s[c] = cycle(r[c])
        return np.einsum("kn,kn->k", r[:used], s[:used])

    rho = start = smooth()
    p, left = s.copy(), 1.0
    for steps in range(1, limit + 1):
        q = product(p)
        step = rho / np.einsum("kn,kn->k", p[:used], q[:used])
        x[:used] += step[:, None] * p[:used]
        r[:used] -= step[:, None] * q[:used]
        new = smooth()
        left = float(np.sqrt(np.maximum(new, 0.0) / start).max())
        if step_done is not None:
            step_done(steps, left)
        if left < tolerance:
            return x, steps, left
        p[:used] = s[:used] + (new / rho)[:, None] * p[:used]
        rho = new
    raise NotConverged(f"multigrid reached {left:.1e} of {tolerance:.1e} in {limit} steps", left, limit)


def needed(layout: Layout, nz: int, contacts: int) -> float:
    """Bytes of the matrix, its levels and the vectors, beside the product itself."""
    unknowns = layout.size * nz
    entries = 9.0 * unknowns  # seven neighbours in the plane, two along z
    vectors = (8 * TURN + 2 * contacts) * 8.0 * unknowns
    return entries * ENTRY_BYTES * GROWTH + vectors


def available() -> float:
    """Bytes of memory that can be had now; of the whole machine where the system does not say; infinite where it says nothing."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * float(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    try:
        return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return float("inf")


def _fits(need: float, room: float) -> None:
    if need > room:
        raise ValueError(f"multigrid needs about {need / 1e9:.1f} GB of memory, {room / 1e9:.1f} GB are free; a coarser accuracy needs less")
