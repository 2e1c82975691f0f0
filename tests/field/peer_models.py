"""The spine of ``mesh_peer`` for the solver of epidura, meshed as ``canal`` meshes a canal, and its results along the same paths."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import mesh_peer
import numpy as np
from numpy.typing import NDArray

from epidura import field
from epidura.canal import EDGES, GROWTH, LOOP_EDGES, NEAR_COLUMN, SLIDE, graded
from epidura.numerics.follower import Follower
from epidura.numerics.iteration import Solved, Touch, solve_touches
from epidura.numerics.locate import SpineSampler, spline_along
from epidura.numerics.section import Loop, Section, mesh_section, on_outline
from epidura.numerics.spine import Spine, Way, graded_axis

Floats = NDArray[np.float64]
MM = 1e-3

CORD, CSF, DURA, FAT, WALL, BULK, LEAD = range(7)
TISSUES = ("white-matter", "csf", "dura", "epidural-fat", "bone", "bulk", "lead")
OUTLINES = ("cord", "dura-inner", "dura-outer", "canal", "bone", "bulk")  # each has the tissue of its number within, the next one beyond
SLIDING = ("dura-inner", "dura-outer", "canal")
STEP = 2.0  # of the shape of an oblique lead, mm
BEYOND = 2.0  # an oblique lead goes on as it runs so far beyond its tip, where it is fat; then the mesh comes to rest, mm


@dataclass(frozen=True)
class Sizes:
    """How finely the model is meshed.

    Attributes:
        scale: of edges and elements, relative to those of ``canal`` and ``field`` at the reference accuracy.
        sides: of the mesh around the lead.
        lead: edge beside the lead, mm.
        contact: elements along z at the edges of contacts, mm.
        stations: largest distance of stations of the shape of an oblique lead, mm.
    """

    scale: float
    sides: int
    lead: float
    contact: float
    stations: float = 2.0


@dataclass(frozen=True)
class Model:
    """A spine on an axis, its contacts and how its nodes move, m."""

    spine: Spine
    z: Floats
    touches: tuple[Touch, ...]
    way: Way | None


@dataclass(frozen=True)
class Answer:
    """What the tables of the peer hold, at their heights.

    Attributes:
        impedance: (contacts, contacts) kOhm.
        potential: (contacts, paths, z) V/mA.
        unknowns, iterations: counts.
    """

    impedance: Floats
    potential: Floats
    unknowns: int
    iterations: int


def build(peer: mesh_peer.Spine, sizes: Sizes, tip: bool = True) -> Model:
    """The model; without a ``tip`` the insulation of the lead goes on to the end."""
    section, polygons = _section(peer, sizes, tip)
    way = _way(peer, section, polygons) if peer.slope else None
    discs = [c + half for c, half in product(peer.disc_centres, (-peer.disc_height / 2, peer.disc_height / 2))]
    z = _axis(peer, sizes, discs, way)
    edges = np.array(sorted([*discs, peer.tip])) * MM
    middles = np.concatenate([edges[:1] - MM, 0.5 * (edges[1:] + edges[:-1]), edges[-1:] + MM]) / MM
    transverse = np.tile([peer.sigma[name] for name in ("cord", "csf", "dura", "fat", "bone", "bulk", "fat")], (len(middles), 1))
    transverse[[any(abs(m - c) < peer.disc_height / 2 for c in peer.disc_centres) for m in middles], WALL] = peer.sigma["disc"]
    transverse[middles < peer.tip, LEAD] = 0.0
    transverse = transverse[:, : section.labels.max() + 1]  # a lead without an end is a hole
    longitudinal = transverse.copy()
    longitudinal[:, CORD] = peer.cord_along
    touches = tuple(Touch(section.rings[0], low * MM, high * MM) for low, high in peer.edges())
    if way is None:
        return Model(Spine(section, transverse, longitudinal, edges), z, touches, None)
    ends = z[::2]
    wanted = np.linspace(way.z[0], way.z[-1], round((way.z[-1] - way.z[0]) / MM / sizes.stations) + 1)
    stations = np.unique([ends[np.abs(ends - w).argmin()] for w in wanted])
    return Model(Spine(section, transverse, longitudinal, edges, stations, *way.at(stations)), z, touches, way)


def solve(peer: mesh_peer.Spine, model: Model, heights: Floats, tolerance: float = 1e-4) -> Answer:
    """All contacts, sampled along the paths of the peer at ``heights``, mm."""
    solved: Solved = solve_touches(model.spine, model.z, model.touches, tolerance)
    sample = SpineSampler(model.spine.section, model.way, *spline_along(model.z, solved.at_nodes()))
    points = np.array([[x, y, z] for (x, y), z in product(peer.paths(), heights)]) * MM
    potential = sample(points).reshape(len(model.touches), len(peer.paths()), len(heights))
    return Answer(solved.impedance * 1e-3, potential * 1e-3, len(solved.values) * (len(model.z) - 2), solved.iterations)


def _ellipses(peer: mesh_peer.Spine) -> dict[str, mesh_peer.Ellipse]:
    disc = (peer.radius, peer.radius, 0.0, 0.0)
    return dict(zip(OUTLINES, (peer.cord, peer.dura_inner, peer.dura_outer, peer.canal, peer.bone, disc), strict=True))


def _points(ellipse: mesh_peer.Ellipse, angle: Floats) -> Floats:
    a, b, x, y = ellipse
    return np.stack([x + a * np.cos(angle), y + b * np.sin(angle)], axis=-1)


def _section(peer: mesh_peer.Spine, sizes: Sizes, tip: bool) -> tuple[Section, dict[str, Floats]]:
    """The section half way along the contacts, m, and its polygons."""
    size, lead = sizes.scale, np.array([peer.centre(peer.pivot), peer.lead_y])
    polygons = {}
    for name, ellipse in _ellipses(peer).items():
        fine = _points(ellipse, np.linspace(0, 2 * np.pi, 1440, endpoint=False))
        beside = np.hypot(*(fine - lead).T) - peer.lead_radius
        column = np.min([np.hypot(*(fine - path).T) for x, y in peer.paths() for path in ((x, y), (-x, y))], axis=0)
        edge = np.minimum(size * LOOP_EDGES[name] / MM, sizes.lead + GROWTH * beside)
        polygons[name] = graded(fine, np.minimum(edge, size * NEAR_COLUMN / MM + GROWTH * column)) * MM
    turn = 2 * np.pi / sizes.sides
    polygons["lead"] = (lead + _points((1.0, 1.0, 0.0, 0.0), turn * np.arange(sizes.sides)) * peer.lead_radius * np.sqrt(turn / np.sin(turn))) * MM
    loops = [Loop(polygons[name], k, k + 1 if name != "bulk" else -1, size * LOOP_EDGES[name], keep=True) for k, name in enumerate(OUTLINES)]
    loops.append(Loop(polygons["lead"], LEAD if tip else -1, FAT, sizes.lead * MM, keep=True, ring=True))
    return mesh_section(loops, [size * EDGES[name] for name in (TISSUES if tip else TISSUES[:-1])]), polygons


def _axis(peer: mesh_peer.Spine, sizes: Sizes, discs: list[float], way: Way | None) -> Floats:
    size = sizes.scale
    stops = dict.fromkeys(discs, size * field.BORDER) | {peer.tip: size * field.TIP}
    if way is not None:
        stops |= {z / MM: size * field.COARSE for z in (way.z[0], way.z[-1])}
    stops |= {z: sizes.contact * MM for pair in peer.edges() for z in pair}
    ends = (-peer.half_length * MM, peer.half_length * MM)
    return graded_axis(
        np.array(list(stops)) * MM, np.array(list(stops.values())), ends, size * field.COARSE, field.GROWTH, field.REACH, field.FAR_GROWTH
    )


def _way(peer: mesh_peer.Spine, section: Section, polygons: dict[str, Floats]) -> Way:
    """Nodes of the lead move as it is, turned towards the dura; outlines around it slide along themselves; the rest follows."""
    z = np.arange(peer.kink - 3 * STEP, peer.tip + 3 * STEP + 1e-9, STEP)
    x = peer.lead_x + peer.slope * (np.clip(z, peer.kink, peer.tip + BEYOND) - peer.pivot)
    centres = np.column_stack([x, np.full(len(z), peer.lead_y)])
    here = np.array([[peer.lead_x, peer.lead_y]])
    ellipses = _ellipses(peer)
    points = section.points / MM
    moved = np.zeros((len(z), len(points), 2))
    fixed = np.zeros(len(points), dtype=bool)
    for name, polygon in polygons.items():
        nodes = on_outline(section.points, polygon)
        fixed[nodes] = True
        if name == "lead":
            turns = [np.arctan2(*(_points(peer.dura_outer, _nearest(peer.dura_outer, at)) - at).T[::-1]) for at in (here, centres)]
            angle = (turns[1] - turns[0])[:, None]
            (dx, dy), cos, sin = (points[nodes] - here).T, np.cos(angle), np.sin(angle)
            moved[:, nodes] = centres[:, None] + np.stack([cos * dx - sin * dy, sin * dx + cos * dy], axis=-1) - points[nodes]
        elif name in SLIDING:
            a, b, x0, y0 = ellipses[name]
            angle = np.arctan2((points[nodes, 1] - y0) / b, (points[nodes, 0] - x0) / a)
            start, shift = _nearest(ellipses[name], here), _nearest(ellipses[name], centres) - _nearest(ellipses[name], here)
            away = np.abs(np.angle(np.exp(1j * (angle - start)))) - 1.5 * peer.lead_radius / min(a, b)
            t = 1.0 - np.clip(away / (2 * np.pi * SLIDE), 0.0, 1.0)
            slid = angle + shift[:, None] * t * t * (3 - 2 * t)
            moved[:, nodes] = _points(ellipses[name], slid) - _points(ellipses[name], angle)
    moved *= MM
    Follower(section, fixed).follow(moved)
    return Way(z * MM, section.points + moved)


def _nearest(ellipse: mesh_peer.Ellipse, points: Floats) -> Floats:
    """Angle of the point of an ellipse nearest to each of the points."""
    a, b, x0, y0 = ellipse
    x, y = (points - (x0, y0)).T
    angle = np.arctan2(y / b, x / a)
    for _ in range(8):  # Newton's method
        cos, sin = np.cos(angle), np.sin(angle)
        slope = (b * b - a * a) * sin * cos + x * a * sin - y * b * cos
        angle = angle - slope / ((b * b - a * a) * (cos * cos - sin * sin) + x * a * cos + y * b * sin)
    return angle
