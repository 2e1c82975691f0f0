"""Models with known fields, and the worst error of the solver on each.

Each ``worst_*`` returns errors as fractions; the keyword ``fault`` seeds a mistake that the same bound must catch.
Reference potentials are V per mA with lengths in mm, which is V/A after a factor 1000.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epidura.numerics.locate import SpineSampler
from epidura.numerics.section import Loop, Section, _quadratic, circle, mesh_section, plane_shapes
from epidura.numerics.spine import QUADRATURE, WEIGHTS, graded_axis
from epidura.numerics.sweep import Solution, solve_contacts, solve_sources, spline_coefficients

Floats = NDArray[np.float64]
DATA = Path(__file__).parent / "data"
MM = 1e-3


@cache
def table(name: str) -> tuple[dict[str, str], ...]:
    with (DATA / name).open() as lines:
        return tuple(csv.DictReader(lines))


# ---------------------------------------------------------------- loads and grids


def bump(section: Section, z: Floats, centre: Sequence[float], radii: Sequence[float]) -> Floats:
    """Loads (1, nz, n2) of 1 A spread over an ellipsoid with the density (1 - s²)³, s the scaled distance.

    Outside the ellipsoid it is a point source when its layer is uniform and the radii go as the roots of σ.
    """
    corners = section.points[section.triangles[:, :3]]
    near = np.flatnonzero(
        np.all(
            [(corners[:, :, i].max(1) > centre[i] - radii[i]) & (corners[:, :, i].min(1) < centre[i] + radii[i]) for i in (0, 1)],
            0,
        )
    )
    corners = corners[near]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    size = 0.5 * (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    # each triangle in sixteen, each with the twelve-point rule
    fine = [(i, j, s) for i in range(4) for j in range(4 - i) for s in (1, -1) if s == 1 or i + j < 3]
    barycentric = []
    for i, j, s in fine:
        low = np.array([i, j]) / 4 if s == 1 else np.array([i + 1, j + 1]) / 4
        uv = low + s * QUADRATURE[:, 1:] / 4
        barycentric.append(np.column_stack((1 - uv.sum(1), uv)))
    where = np.concatenate(barycentric)
    weight = np.tile(WEIGHTS, len(fine)) / len(fine)
    plane = np.einsum("qa,mai->mqi", where, corners)
    t, w = np.polynomial.legendre.leggauss(8)
    rhs = np.zeros((1, len(z), len(section.points)))
    shapes = plane_shapes(where)
    flat = ((plane - np.asarray(centre)[:2]) / np.asarray(radii)[:2]) ** 2
    for e in range(0, len(z) - 2, 2):
        if z[e + 2] < centre[2] - radii[2] or z[e] > centre[2] + radii[2]:
            continue
        h = z[e + 2] - z[e]
        along = np.stack((t * (t - 1) / 2, 1 - t * t, t * (t + 1) / 2))
        at = ((z[e] + 0.5 * h * (1 + t) - centre[2]) / radii[2]) ** 2
        density = np.maximum(0.0, 1 - flat.sum(-1)[:, :, None] - at) ** 3
        load = np.einsum("mqt,q,t,qi,at,m->mia", density, weight, w * 0.5 * h, shapes, along, size, optimize=True)
        for k in range(3):
            np.add.at(rhs[0, e + k], section.triangles[near], load[:, :, k])
    return rhs / rhs.sum()


def grid_section(x: Floats, y: Floats, label: Callable[[float], int], grounded: Callable[[Floats], NDArray[np.bool_]]) -> Section:
    """A rectangle of right triangles with exact layers: ``label(y)`` of cell middles, ``grounded(points)`` of nodes."""
    nx, ny = len(x), len(y)
    corners = np.column_stack((np.repeat(x, ny), np.tile(y, nx)))
    i, j = (k.ravel() for k in np.meshgrid(np.arange(nx - 1), np.arange(ny - 1), indexing="ij"))
    p = i * ny + j
    triangles = np.concatenate([np.column_stack((p, p + ny, p + ny + 1)), np.column_stack((p, p + ny + 1, p + 1))])
    labels = np.array([label(0.5 * (y[k] + y[k + 1])) for k in j] * 2)
    points, quadratic = _quadratic(corners, triangles)
    return Section(points, quadratic, labels, np.flatnonzero(grounded(points)), ())


def away(core: float, step: float, far: float, ratio: float = 1.3) -> Floats:
    """Lines from 0: equal ``step`` to ``core``, then growing by ``ratio`` to ``far``."""
    lines = list(np.linspace(0, core, round(core / step) + 1))
    while lines[-1] < far:
        step *= ratio
        lines.append(lines[-1] + step)
    return np.array(lines)


def both(lines: Floats) -> Floats:
    return np.concatenate((-lines[:0:-1], lines))


def axis(edges: Sequence[float], half_length: float, fine: float, coarse: float, growth: float) -> Floats:
    """An axis with elements of ``fine`` at the edges, growing on by ``growth`` from 20 mm beyond them to ``half_length`` away."""
    ends = min(edges) - half_length, max(edges) + half_length
    return graded_axis(np.array(edges), np.full(len(edges), fine), ends, coarse, growth, 20 * MM, growth)


def with_middles(ends: Floats) -> Floats:
    z = np.empty(2 * len(ends) - 1)
    z[::2], z[1::2] = ends, 0.5 * (ends[1:] + ends[:-1])
    return z


def flipped(sample: SpineSampler, fault: str) -> Callable[[Floats], Floats]:
    """Values (p,) at points (p, 3) in m; a current of the wrong sign and a wrong unit need no other solution."""
    unit, sign = 0.1 if fault == "unit slip" else 1.0, -1.0 if fault == "sign" else 1.0
    return lambda points: sign * sample(points * unit)[0]


def sampler(section: Section, z: Floats, transverse: Sequence[float], longitudinal: Sequence[float], rhs: Floats) -> SpineSampler:
    modal = solve_sources(section, z, transverse, longitudinal, rhs)
    return SpineSampler(section, None, *spline_coefficients(modal))


# ---------------------------------------------------------------- a: point source, infinite media


def worst_point(medium: str, fault: str = "") -> float:
    """Largest relative error of V over the points of ``a_point_infinite.csv``."""
    st, sz = {"V_iso_0.25": (0.25, 0.25), "V_aniso_0.083_0.083_0.6": (0.083, 0.6), "V_iso_1.7": (1.7, 1.7)}[medium]
    if fault == "swapped axes":
        st, sz = sz, st
    sample = flipped(_point_sampler(st, sz), fault)
    rows = table("a_point_infinite.csv")
    points = np.array([[float(r[k]) for k in ("x_mm", "y_mm", "z_mm")] for r in rows])
    want = 1e3 * np.array([float(r[medium]) for r in rows])
    return float(np.abs(sample(points * MM) / want - 1).max())


@cache
def _point_sampler(st: float, sz: float) -> SpineSampler:
    stretch = np.sqrt(sz / st)
    radius = 0.3 * MM / max(1.0, 1.0 / stretch)
    far = FAR
    lines = away(0.6 * MM, 0.12 * MM, far)
    # a quarter of the plane: the other three are mirror images, so a quarter of the current
    section = grid_section(lines, lines, lambda _: 0, lambda p: (p > 0.999 * lines[-1]).any(axis=1))
    z = with_middles(both(away(0.6 * MM * stretch, 0.12 * MM * stretch, far)))
    rhs = 0.25 * bump(section, z, (0, 0, 0), (radius, radius, radius * stretch))
    return sampler(section, z, [st], [sz], rhs)


# ---------------------------------------------------------------- b: planes


def worst_plane(medium: str, fault: str = "") -> float:
    """Largest relative error of V over the points of ``b_planar.csv``; the sweep runs along the plane."""
    upper, layer, lower = {
        "V_two_fat0.04_csf1.7": (0.04, 1.7, 1.7),
        "V_two_csf1.7_fat0.04": (1.7, 0.04, 0.04),
        "V_slab_fat_dura0.03x0.3_csf": (0.04, 0.03, 1.7),
        "V_slab_fat_dura0.60x0.3_csf": (0.04, 0.60, 1.7),
    }[medium]
    if fault == "dura twice":
        layer *= 2
    if fault == "media swapped":
        upper, lower = lower, upper
    sample = flipped(_plane_sampler(upper, layer, lower), fault)
    rows = table("b_planar.csv")
    points = np.array([[0.0, float(r["z_mm"]), float(r["rho_mm"])] for r in rows])
    want = 1e3 * np.array([float(r[medium]) for r in rows])
    return float(np.abs(sample(points * MM) / want - 1).max())


@cache
def _plane_sampler(upper: float, layer: float, lower: float) -> SpineSampler:
    far = FAR
    x = away(1.2 * MM, 0.2 * MM, far, 1.35)
    up = away(1.2 * MM, 0.2 * MM, far, 1.35) + 2 * MM
    down = -0.3 * MM - away(0.6 * MM, 0.15 * MM, far, 1.35)
    layers = np.array([-0.2, -0.1, 0.0, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8]) * MM
    y = np.concatenate((down[::-1], layers, up))
    section = grid_section(
        x, y, lambda m: 0 if m > 0 else 1 if m > -0.3 * MM else 2, lambda p: (p[:, 0] > 0.999 * x[-1]) | (np.abs(p[:, 1]) > far)
    )
    z = with_middles(both(away(1.2 * MM, 0.2 * MM, far, 1.35)))
    rhs = 0.5 * bump(section, z, (0, 2 * MM, 0), (0.9 * MM,) * 3)
    return sampler(section, z, [upper, layer, lower], [upper, layer, lower], rhs)


# ---------------------------------------------------------------- c: concentric cylinders

CYLINDERS = {
    "iso": ([0.3, 1.7, 0.03, 0.04, 0.02], [0.3, 1.7, 0.03, 0.04, 0.02]),
    "aniso": ([0.083, 1.7, 0.03, 0.04, 0.02], [0.6, 1.7, 0.03, 0.04, 0.02]),
    "homog": ([0.04] * 5, [0.04] * 5),
}


FAR = 2e5 * MM  # stands for infinity: V is off by what it is there, 0.08 % at 30 mm if it were 40 m


def _far_loops(inner: int, start: float, first: int = 6) -> list[Loop]:
    """Circles that lead the mesh out to infinity: Netgen alone loses its grading over so many orders of magnitude.

    The region within ``start`` has the label ``inner``, those beyond ``first``, ``first`` + 1 ...
    """
    radii = [start]
    while radii[-1] < FAR:
        radii.append(min(FAR, radii[-1] * 3.5))
    labels = [inner, *range(first, first + len(radii) - 1)]
    outside = [*labels[1:], -1]
    return [Loop(circle(0, 0, r, 720), a, b, 0.25 * r) for r, a, b in zip(radii, labels, outside, strict=True)]


SCALE = {"fast": 1.6, "standard": 1.0, "reference": 0.7}  # of every edge length below


@cache
def cylinder_section(domain: str, scale: float = 1.0) -> Section:
    """Labels: cord, CSF, dura, fat, bone, and 5 for the fat around the source at (8, 0) mm.

    Every region has its own largest edge, so that all of them shrink with ``scale``: a region left to the grading does not.
    """
    s = scale * MM
    loops = [
        *([Loop(circle(0, 0, 30 * MM, 720), 4, -1, 2.5 * s)] if domain == "R30_L120" else _far_loops(4, 15 * MM)),
        Loop(circle(0, 0, 10 * MM, 720), 3, 4, 0.9 * s),
        Loop(circle(0, 0, 7.3 * MM, 720), 2, 3, 0.15 * s),
        Loop(circle(0, 0, 7 * MM, 720), 1, 2, 0.15 * s),
        Loop(circle(0, 0, 5 * MM, 720), 0, 1, 0.5 * s),
        Loop(circle(8 * MM, 0, 0.62 * MM, 720), 5, 3, 0.16 * s),
    ]
    far = [FAR] * 12  # of the regions between the far loops
    return mesh_section(loops, [0.7 * s, 0.7 * s, 0.15 * s, 0.45 * s, 2.5 * s, 0.16 * s, *far], grading=0.2)


def cylinder_axis(domain: str, scale: float = 1.0) -> Floats:
    limit = 60 * MM if domain == "R30_L120" else FAR
    s = scale * MM
    ends = [0.0, 0.2 * s, 0.4 * s, 0.6 * s]
    while ends[-1] < limit:
        here = ends[-1]
        step = min(s, 0.2 * s + 0.25 * scale * (here - ends[3])) if here < 16 * MM else s + 0.2 * scale * (here - 16 * MM)
        if domain == "R30_L120":
            step = min(step, 3 * s)
            if limit - here < 1.5 * step:
                step = limit - here
        ends.append(here + step)
    return with_middles(both(np.array(ends)))


@cache
def _cylinder_sampler(case: str, domain: str, fault: str, scale: float) -> SpineSampler:
    transverse, longitudinal = (list(s) for s in CYLINDERS[case])
    if fault == "swapped axes":
        transverse, longitudinal = longitudinal, transverse
    if fault == "dura twice":
        transverse[2], longitudinal[2] = 0.06, 0.06
    for sigma in transverse, longitudinal:
        sigma.append(sigma[3])
        sigma.extend([sigma[4]] * 12)
    section, z = cylinder_section(domain, scale), cylinder_axis(domain, scale)
    return sampler(section, z, transverse, longitudinal, bump(section, z, (8 * MM, 0, 0), (0.6 * MM,) * 3))


def worst_cylinder(case: str, domain: str, fault: str = "", scale: float = 1.0) -> tuple[float, float]:
    """Largest error on |z| <= 30 mm of V (of each value) and of its 1 mm second difference (of the largest of its line).

    Second differences are those of the V of the table, so for |z| <= 9 mm, where it has points at a distance of 1 mm. Its
    derivative is no substitute: it differs from the difference by up to 0.2 % beyond 9 mm and by 5 % beside the source.
    """
    sample = flipped(_cylinder_sampler(case, domain, fault if fault in ("swapped axes", "dura twice") else "", scale), fault)
    lines: dict[tuple[float, float], list[tuple[float, float]]] = {}
    for row in table("c_cylinder.csv"):
        if row["case"] == case and row["domain"] == domain and float(row["z_mm"]) <= 30:
            key = float(row["r_mm"]), np.deg2rad(float(row["phi_deg"]))
            lines.setdefault(key, []).append((float(row["z_mm"]), float(row["V_volt_per_mA"])))
    value, difference = 0.0, 0.0
    for (r, phi), rows in lines.items():
        at, want = np.array(rows).T

        def v(height: Floats, r: float = r, phi: float = phi) -> Floats:
            points = np.column_stack((np.full(len(height), r * np.cos(phi)), np.full(len(height), r * np.sin(phi)), height))
            return 1e-3 * sample(points * MM)

        value = max(value, float(np.abs(v(at) / want - 1).max()))
        close = np.flatnonzero(at <= 9.0)  # every 0.5 mm from 0 on, mirrored at 0
        second = want[close + 2] - 2 * want[close] + want[np.abs(close - 2)]
        got = v(at[close] + 1) - 2 * v(at[close]) + v(at[close] - 1)
        difference = max(difference, float(np.abs(got - second).max() / np.abs(second).max()))
    return value, difference


# ---------------------------------------------------------------- d: bands on a rod


@cache
def rod_section(size: float = 0.1 * MM) -> Section:
    """A rod of radius 0.65 mm in a medium that is infinite for practical purposes."""
    loops = [*_far_loops(0, 5 * MM, first=1), Loop(circle(0, 0, 0.65 * MM, 720), -1, 0, size)]
    return mesh_section(loops, [5 * MM] + [FAR] * 12, grading=0.2)


def solve_rod(
    contacts: int, sigma: float = 1.0, fine: float = 0.1 * MM, size: float = 0.1 * MM, growth: float = 0.6
) -> Solution:
    """Contacts of 3 mm at a pitch of 4 mm."""
    bands = [(0, 4 * MM * i, 4 * MM * i + 3 * MM) for i in range(contacts)]
    z = axis([e for b in bands for e in b[1:]], FAR, fine, 1.0 * MM, growth)
    bands = [(ring, float(z[np.argmin(np.abs(z - a))]), float(z[np.argmin(np.abs(z - b))])) for ring, a, b in bands]
    return solve_contacts(rod_section(size), z, [sigma] * 13, [sigma] * 13, bands)


@cache
def _rod_impedance(contacts: int, **options: float) -> Floats:
    return solve_rod(contacts, **options).impedance


def worst_band(fault: str = "", **options: float) -> float:
    """Largest relative error of the three access resistances of bands."""
    rows = {r["electrode"]: 1e3 * float(r["R_times_sigma_kOhm_S_per_m"]) for r in table("d_access_resistance.csv")}
    one, eight = (_rod_impedance(n, **options) for n in (1, 8))
    pairs = [
        (one[0, 0], "band_on_insulating_rod r=0.65 L=3 mm"),
        (eight[0, 0], "band_on_rod with 7 floating neighbours pitch 4 (end contact Z11)"),
        (eight[3, 3], "band_on_rod with 7 floating neighbours pitch 4 (4th contact Z44)"),
    ]
    scale = {"sign": -1.0, "unit slip": 1e3, "conductivity twice": 0.5}.get(fault, 1.0)
    return max(abs(scale * got / rows[name] - 1) for got, name in pairs)
