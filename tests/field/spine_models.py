"""Small spines whose section moves, bends and changes conductivity along z, and slow exact answers to compare with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import field_models as models
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.linalg import cg, splu

from epidura.numerics.iteration import Touch, _mask
from epidura.numerics.section import Loop, Section, circle, mesh_section
from epidura.numerics.spine import Layout, Operator, Spine, Way, graded_axis

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MM = 1e-3

# ---------------------------------------------------------------- a block whose map and physics are known


@dataclass(frozen=True)
class Shape:
    """A map of the plane along z: (points (n, 2), z) -> positions and slopes; and the curvature of the axis, 1/m."""

    at: Callable[[Floats, float], tuple[Floats, Floats]]
    bend: float = 0.0

    def physical(self, points: Floats, z: float) -> Floats:
        """(n, 3) where nodes at ``points`` are at height z, m."""
        x, y = self.at(points, z)[0].T
        if self.bend == 0:
            return np.column_stack((x, y, np.full_like(x, z)))
        r = 1.0 / self.bend
        return np.column_stack((x, r - (r - y) * np.cos(z / r), (r - y) * np.sin(z / r)))


def still(points: Floats, z: float) -> tuple[Floats, Floats]:
    return points, np.zeros_like(points)


def oblique(points: Floats, z: float) -> tuple[Floats, Floats]:
    slope = np.tan(np.deg2rad(10.0)) * np.array([1.0, -0.5])
    return points + slope * z, np.zeros_like(points) + slope


def swaying(points: Floats, z: float) -> tuple[Floats, Floats]:
    a, w = np.array([1.5, -1.0]) * MM, 1 / (6 * MM)
    return points + a * np.sin(w * z), np.zeros_like(points) + a * w * np.cos(w * z)


def dilated(points: Floats, z: float) -> tuple[Floats, Floats]:
    w = 1 / (7 * MM)
    return points * (1 + 0.2 * np.sin(w * z)), points * 0.2 * w * np.cos(w * z)


def twisted(points: Floats, z: float) -> tuple[Floats, Floats]:
    a, rate = 0.4 * np.sin(z / (8 * MM)), 0.4 / (8 * MM) * np.cos(z / (8 * MM))
    turn = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    quarter = np.array([[0.0, 1.0], [-1.0, 0.0]])
    return points @ turn, rate * points @ quarter @ turn


SHAPES = {
    "straight": Shape(still),
    "oblique": Shape(oblique),
    "swaying": Shape(swaying),
    "dilated": Shape(dilated),
    "twisted": Shape(twisted),
    "bent": Shape(still, 25.0),
    "bent and twisted": Shape(twisted, -25.0),
}


def block(cells: int, half: float = 10 * MM) -> Section:
    """A square of right triangles."""
    lines = np.linspace(-half, half, cells + 1)
    return models.grid_section(lines, lines, lambda _: 0, lambda p: (np.abs(p) > 0.999 * half).any(axis=1))


def block_operator(shape: Shape, cells: int, sigma: tuple[float, float], half: float = 10 * MM, fault: str = "") -> Operator:
    """A homogeneous block with a station at every end of an element; ``fault`` seeds a mistake in the map."""
    section = block(cells, half)
    ends = np.linspace(-half, half, cells + 1)
    positions, slopes = (np.array(a) for a in zip(*(shape.at(section.points, s) for s in ends), strict=True))
    slopes = {"no slopes": 0 * slopes, "slopes turned": -slopes}.get(fault, slopes)
    bend = {"no bend": 0.0, "bend turned": -shape.bend}.get(fault, shape.bend)
    spine = Spine(section, np.array([[sigma[0]]]), np.array([[sigma[1]]]), z=ends, positions=positions, slopes=slopes,
                  bend=np.full(len(ends), bend))  # fmt: skip
    return Operator(spine, Layout(section, np.empty(0, dtype=np.int64)), models.with_middles(ends))


def nodal(operator: Operator, shape: Shape, f: Callable[[Floats], Floats]) -> Floats:
    """A function of physical points at the free nodes, (rows, 1, padded), also at both ends."""
    points = operator.spine.section.points[operator.layout.node]
    out = operator.zeros(1)
    for k, z in enumerate(operator.z):
        out[:, 0, k] = f(shape.physical(points, float(z)))
    return out


def energy_error(shape: Shape, cells: int, fault: str = "", sigma: tuple[float, float] = (0.3, 1.0)) -> float:
    """Energy of a Gaussian off the axis of the block against its closed form, relative.

    With u = exp(-|p|² / 2s²) it is (σ_x + σ_y + σ_z) π^(3/2) s / 2.
    """
    if shape.bend:
        sigma = (0.7, 0.7)
    s, centre = 1.6 * MM, np.array([2.0, 2.5, 1.0]) * MM
    operator = block_operator(shape, cells, sigma, fault=fault)
    x = nodal(operator, shape, lambda p: np.exp(-((p - centre) ** 2).sum(axis=1) / (2 * s * s)))
    x[:, :, [0, len(operator.z) - 1]] = 0.0
    want = (2 * sigma[0] + sigma[1]) * np.pi**1.5 * s / 2
    return float(abs(np.vdot(x, operator.apply(x)) / want - 1))


def harmonic_error(shape: Shape, cells: int, fault: str = "", sigma: tuple[float, float] = (0.3, 1.0)) -> float:
    """A block with the potential of a point source outside it given in its outermost elements: error within, relative."""
    if shape.bend:
        sigma = (0.7, 0.7)
    half, source = 5 * MM, np.array([7.0, 6.0, -9.0]) * MM
    operator = block_operator(shape, cells, sigma, half, fault)
    stretch = np.array([1.0, 1.0, np.sqrt(sigma[0] / sigma[1])])
    u = nodal(operator, shape, lambda p: 1 * MM / np.sqrt((((p - source) * stretch) ** 2).sum(axis=1)))
    section, nz = operator.spine.section, len(operator.z)
    edge = section.triangles[np.isin(section.triangles, section.boundary).any(axis=1)]
    given = np.zeros((operator.layout.size, nz), dtype=bool)
    rows = operator.layout.row[np.unique(edge)]
    given[rows[rows >= 0]] = True
    given[:, [1, 2, -3, -2]] = True
    given = given[:, 1:-1].ravel()
    matrix, exact = operator.matrix(), u[:, 0, 1 : nz - 1].ravel()
    free = np.flatnonzero(~given)
    inner = matrix[free][:, free]
    diagonal = 1 / inner.diagonal()
    found, _ = cg(inner, -(matrix[free][:, np.flatnonzero(given)] @ exact[given]), rtol=1e-10, M=csr_array((diagonal, (np.arange(len(free)),) * 2)))
    return float(np.abs(found - exact[free]).max() / np.abs(exact[free]).max())


# ---------------------------------------------------------------- a spine with a lead

CORD, CSF, FAT, BONE, BULK, LEAD = range(6)
TRANSVERSE = np.array([0.083, 1.7, 0.04, 0.02, 0.25, 0.04])
LONGITUDINAL = np.array([0.6, 1.7, 0.04, 0.02, 0.25, 0.04])
DISC = 0.65
CONTACTS = [(-6.0, -3.0), (-2.0, 1.0), (2.0, 5.0)]  # mm
DISCS, TIP = (-20.0, -15.0, 7.0, 12.0), 9.0  # mm
WHERE = (1.5, -8.2)  # the lead, mm


@cache
def lead_section(hole: bool, bone: float = 5.0) -> Section:
    """Cord, CSF, fat, bone and bulk around a lead that is a hole or is meshed within; ``bone`` is the edge length there, mm."""
    loops = [
        Loop(circle(0, 0, 30 * MM, 16), BULK, -1, 12 * MM, keep=True),
        Loop(circle(0, 0, 14 * MM, 16), BONE, BULK, 6 * MM, keep=True),
        Loop(circle(0, 0, 10 * MM, 18), FAT, BONE, 4 * MM, keep=True),
        Loop(circle(0, 0, 7 * MM, 16), CSF, FAT, 3 * MM, keep=True),
        Loop(circle(0, 0, 5 * MM, 12), CORD, CSF, 3 * MM, keep=True),
        Loop(circle(*(w * MM for w in WHERE), 0.65 * MM, 10), -1 if hole else LEAD, FAT, 0.5 * MM, keep=True, ring=True),
    ]
    return mesh_section(loops, [4 * MM, 2.5 * MM, 3 * MM, bone * MM, 12 * MM, 0.5 * MM], grading=0.6)


def turning(points: Floats, z: Floats, degrees: float = 10.0) -> Floats:
    """(s, n, 2) positions of a lead that runs at an angle to z around the canal: all of it turns, the bulk less and less."""
    r = np.hypot(*points.T)
    w = np.where(r <= 14 * MM, 1.0, np.cos(0.5 * np.pi * np.clip((r / MM - 14) / 16, 0, 1)) ** 2)
    a = np.tan(np.deg2rad(degrees)) / np.hypot(*WHERE) * np.clip(z / MM, -13, 13)[:, None] * w
    c, s = np.cos(a), np.sin(a)
    return np.stack((c * points[:, 0] - s * points[:, 1], s * points[:, 0] + c * points[:, 1]), axis=2)


@dataclass(frozen=True)
class Model:
    """A spine on an axis, its contacts and how its nodes move."""

    spine: Spine
    z: Floats
    touches: tuple[Touch, ...]
    way: Way | None = None

    def operator(self) -> Operator:
        return Operator(self.spine, Layout(self.spine.section, np.concatenate(self.spine.section.rings)), self.z)

    def mask(self, operator: Operator) -> NDArray[np.bool_]:
        return _mask(operator.layout, self.z, operator.padded, self.touches)


def lead_model(*kinds: str, contacts: Sequence[tuple[float, float]] = CONTACTS, tip: float = TIP, bone: float = 5.0) -> Model:
    """``discs``, ``tip``, ``oblique`` in any mixture; ``bone`` is the edge length there, mm."""
    section = lead_section("tip" not in kinds, bone)
    edges = np.array(sorted([*(DISCS if "discs" in kinds else ()), *([tip] if "tip" in kinds else [])]))
    transverse, longitudinal = conductivities(section, edges, "discs" in kinds, DISCS, tip if "tip" in kinds else None)
    stations = np.linspace(-15, 15, 11) if "oblique" in kinds else np.zeros(0)
    stops = [*np.ravel(contacts), *edges, *stations]
    sizes = [0.6] * np.size(contacts) + [1.0] * len(edges) + [3.0] * len(stations)
    kept = [i for i, s in enumerate(stops) if all(abs(s - t) > 1e-9 for t in stops[:i])]
    z = graded_axis(np.array(stops)[kept] * MM, np.array(sizes)[kept] * MM, (-70 * MM, 70 * MM), 3 * MM, 0.9, 8 * MM, 0.6)
    touches = tuple(Touch(section.rings[0], a * MM, b * MM) for a, b in contacts)
    if not len(stations):
        return Model(Spine(section, transverse, longitudinal, edges * MM), z, touches)
    way = Way(stations * MM, turning(section.points, stations * MM))
    return Model(Spine(section, transverse, longitudinal, edges * MM, way.z, *way.at(way.z)), z, touches, way)


def conductivities(section: Section, edges: Floats, discs: bool, where: Sequence[float], tip: float | None) -> tuple[Floats, Floats]:
    """(edges + 1, labels) S/m with discs in the bone between pairs of ``where`` and a lead that ends at its tip."""
    labels = int(section.labels.max()) + 1
    middles = np.concatenate([edges[:1] - 1, 0.5 * (edges[1:] + edges[:-1]), edges[-1:] + 1]) if len(edges) else np.zeros(1)
    transverse, longitudinal = (np.tile(sigma[:labels], (len(edges) + 1, 1)) for sigma in (TRANSVERSE, LONGITUDINAL))
    for row, m in enumerate(middles):
        if discs and any(low < m < high for low, high in zip(where[::2], where[1::2], strict=True)):
            transverse[row, BONE] = longitudinal[row, BONE] = DISC
        if tip is not None and m < tip:
            transverse[row, LEAD] = longitudinal[row, LEAD] = 0.0
    return transverse, longitudinal


# ---------------------------------------------------------------- a duct of squares: coarse, yet with everything in it

DUCT_CONTACTS = [(-4.0, -2.0), (0.0, 2.0)]  # mm
DUCT_DISC, DUCT_TIP = (2.0, 6.0), 4.0


def duct_section(level: int) -> Section:
    """12 x 12 mm in squares of 2 mm / 2^level: cord, CSF, fat, bone from below, and a lead of 4 x 2 mm in the fat."""
    lines = np.linspace(-6, 6, 6 * 2**level + 1) * MM
    section = models.grid_section(lines, lines, lambda y: CORD if y < -2 * MM else CSF if y < 0 else FAT if y < 4 * MM else BONE,
                                  lambda p: (np.abs(p) > 5.999 * MM).any(axis=1))  # fmt: skip
    x, y = section.points[section.triangles[:, :3]].mean(axis=1).T / MM
    labels = np.where((np.abs(x) < 2) & (y > 0) & (y < 2), LEAD, section.labels)
    labels = np.where((y > 4) & (x > 4), BULK, labels)
    x, y = section.points.T / MM
    rim = (np.abs(x) < 2.001) & (y > -0.001) & (y < 2.001) & ~((np.abs(x) < 1.999) & (y > 0.001) & (y < 1.999))
    return replace(section, labels=labels, rings=(np.flatnonzero(rim),))


def sway(points: Floats, z: Floats) -> Floats:
    """(s, n, 2) positions: pushed sideways and turned, by unlike amounts."""
    x, y = points.T / MM
    s = z[:, None] / MM
    return points + np.stack((0.4 * np.sin(0.25 * s) * (1 + 0.1 * y), 0.3 * np.cos(0.3 * s) * (1 + 0.05 * x)), axis=2) * MM


def duct(*kinds: str, level: int = 0, halves: bool = False, bands: Sequence[tuple[float, float]] = DUCT_CONTACTS) -> Model:
    """``discs``, ``tip``, ``moving``, ``bent`` in any mixture; ``halves``: contacts that take the right or the left of the ring in turn."""
    section = duct_section(level)
    edges = np.array(sorted([*(DUCT_DISC if "discs" in kinds else ()), *([DUCT_TIP] if "tip" in kinds else [])]))
    transverse, longitudinal = conductivities(section, edges, "discs" in kinds, DUCT_DISC, DUCT_TIP if "tip" in kinds else None)
    ends = np.linspace(-8, 8, 8 * 2**level + 1) * MM
    ring = section.rings[0]
    x = section.points[ring, 0] / MM
    sides = [ring[x > 0.5], ring[x < -0.5]] if halves else [ring]
    touches = tuple(Touch(side, a * MM, b * MM) for a, b in bands for side in sides)
    shape: dict[str, Floats | None] = {}
    way = None
    if {"moving", "bent"} & set(kinds):
        at = ends[1:-1]
        way = Way(at, sway(section.points, at if "moving" in kinds else 0 * at), 40 * (1 - (at / at[-1]) ** 2) if "bent" in kinds else None)
        positions, slopes = way.at(at)
        shape = {"z": at, "positions": positions, "slopes": slopes, "bend": way.bend}
    return Model(Spine(section, transverse, longitudinal, edges * MM, **shape), models.with_middles(ends), touches, way)  # type: ignore[arg-type]


def mirrored(model: Model) -> Model:
    """x -> -x with the same numbers of nodes."""
    spine, flip = model.spine, np.array([-1.0, 1.0])
    triangles = np.ascontiguousarray(spine.section.triangles[:, [0, 2, 1, 5, 4, 3]])
    section = replace(spine.section, points=spine.section.points * flip, triangles=triangles)
    if spine.positions is None or spine.slopes is None:
        return replace(model, spine=replace(spine, section=section))
    return replace(model, spine=replace(spine, section=section, positions=spine.positions * flip, slopes=spine.slopes * flip))


def merged(operator: Operator, mask: NDArray[np.bool_]) -> csr_array:
    """(unknowns of the operator, unknowns): ones that merge every contact into one unknown; the contacts come last."""
    size, inner = operator.layout.size, len(operator.z) - 2
    number = np.full((size, inner), -1)
    first = size - mask.shape[1]
    for c, band in enumerate(mask):
        number[first:][band[:, 1 : inner + 1]] = -2 - c
    free = number == -1
    number[free] = np.arange(free.sum())
    number = np.where(number < 0, free.sum() - 2 - number, number).ravel()
    return coo_array((np.ones(number.size), (np.arange(number.size), number))).tocsr()


def solve_directly(operator: Operator, mask: NDArray[np.bool_], load: Floats | None = None) -> tuple[Floats, Floats]:
    """By SuperLU: potentials (rows, k, nz) and those of the contacts (contacts, k), of unit currents or of a load (rows, k, nz)."""
    join = merged(operator, mask)
    matrix = (join.T @ operator.matrix() @ join).tocsc()
    conducts = matrix.diagonal() > 0
    k = len(mask) if load is None else load.shape[1]
    if load is None:
        rhs = np.zeros((join.shape[1], k))
        rhs[join.shape[1] - k + np.arange(k), np.arange(k)] = 1.0
    else:
        rhs = join.T @ load[:, :, 1:-1].transpose(0, 2, 1).reshape(-1, k)
    kept = np.flatnonzero(conducts)
    x = np.zeros_like(rhs)
    x[kept] = splu(matrix[kept][:, kept], permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve(rhs[kept])
    values = np.zeros((operator.layout.size, k, len(operator.z)))
    values[:, :, 1:-1] = (join @ x).reshape(operator.layout.size, -1, k).transpose(0, 2, 1)
    return values, x[len(x) - len(mask) :]


def second(sample: Callable[[Floats], Floats], points: Floats) -> Floats:
    """1 mm second difference along z of the values (k, p)."""
    up = np.array([0.0, 0.0, MM])
    return sample(points + up) - 2 * sample(points) + sample(points - up)
