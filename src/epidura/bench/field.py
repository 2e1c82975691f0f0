"""``epidura bench field``: how fast the field solver is on this machine, beside the peers that are installed. Ratios, no limits.

Every field is solved in a process of its own, with the kernels loaded, so that the peak memory is that of the figure; it counts
interpreter and libraries. Seconds are by the clock with all cores of the process; processor time is summed over threads and says
more where other work has some of the cores. Meshes are made before the clock starts, except where a row says otherwise.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epidura.bench import fibre, field_peers
from epidura.bench.fibre import Row, _elsewhere, _joined, versions
from epidura.errors import Failed
from epidura.product import Canal, LeadField

Floats = NDArray[np.float64]
Progress = Callable[[str, float], None]
Figures = dict[str, float]

ACCURACIES = ("fast", "standard", "reference")
OBLIQUE = {"lateral": "4 mm", "angle": "8 deg"}
"""Of the lead in the canal along the spine: as steep as fits."""

FIBRES, POINTS = 2000, 500
HALF_PATH = 60e-3  # m, of the paths on either side of the level of the case
SHIFT = "3 mm"
WITHIN, EVERYWHERE = 0.03, 0.1
"""Largest errors of the second difference against the oracle: in the cord, and on all lines, as those of the tetrahedra."""

# Tetrahedra: order, largest edge in mm; the cheapest found near WITHIN
TETRAHEDRA = ((3, 2.0), (3, 1.5))

# Ours on the same oracle: largest edges in cord, csf, dura, fat, bone and at the source, then elements along z at the source, at most,
# and their growth; mm, coarsest first
OURS = (((3.0, 3.0, 1.5, 3.0, 8.0, 0.4), 0.4, 2.0, 0.6), ((2.0, 2.0, 1.0, 2.0, 8.0, 0.3), 0.3, 2.0, 0.6),
        ((1.5, 1.5, 0.7, 1.2, 8.0, 0.3), 0.3, 2.0, 0.6), ((1.5, 1.5, 0.5, 1.0, 5.0, 0.3), 0.3, 2.0, 0.4))

ORACLE = Path(__file__).parents[3] / "tests" / "field" / "data" / "c_cylinder.csv"


def measure(quick: bool = False, progress: Progress = lambda words, share: None) -> list[Row]:
    """Every row of the table.

    Args:
        quick: small sizes, no other processes, no peers; to see that everything runs.
        progress: called with what comes next and the share that is done.
    """
    groups: list[tuple[str, Callable[[], list[Row]]]] = [
        ("uniform canal", lambda: uniform_rows(quick)), ("graphics processor", lambda: gpu_rows(quick)),
        ("canal that varies", lambda: varying_rows(quick)), ("peers", lambda: peer_rows(quick)),
        ("sampling", lambda: sampling_rows(quick)), ("new position", lambda: position_rows(quick))]
    rows = []
    for done, (name, group) in enumerate(groups):
        progress(name, done / len(groups))
        try:
            rows += group()
        except Failed as failure:  # the others are worth having
            rows.append(Row(name, None, "", note=f"not measured: {failure}"))
    return rows


# Models


def product(extent: str, accuracy: str, lead: dict[str, str], tips: bool = True, near: Canal | None = None) -> Canal:
    """The canal of an average adult at T9 with an octrode, as a case makes it.

    Args:
        near: the same with the lead elsewhere, whose mesh is carried along.
    """
    from epidura.anatomy.parametric import Parametric
    from epidura.canal import build_canal
    from epidura.lead.percutaneous import Percutaneous

    anatomy = Parametric.model_validate({"vertebra": "T9", "extent": extent})
    leads = [Percutaneous.model_validate({"model": "octrode", "tip_vertebra": "T8", **lead})]
    return build_canal(anatomy, leads, accuracy, tips, near=near)


def ellipses(size: float = 2.0, varies: bool = True, contacts: int = 8) -> Canal:
    """Elliptic canal of tests/field/mesh_peer.py, but in a body that goes on for 10 m: eight contacts from 1 mm below the tip.

    Args:
        size: edges of the mesh, relative to those of the reference accuracy.
        varies: full rings of disc in the bone, a tip, and a lead that runs 10 degrees obliquely; else nothing changes along z.
        contacts: how many of the eight are kept; the mesh of the section is the same.
    """
    from epidura.anatomy.base import Level, Stretch, Wall
    from epidura.canal import _Meshed
    from epidura.lead.base import Layer
    from epidura.placement import Placed
    from epidura.product import Contact, Cord, Shaft, Tissue

    angle = np.arange(720) * (2 * np.pi / 720)

    def ellipse(a: float, b: float, y: float = 0.0) -> Floats:
        return 1e-3 * np.column_stack([a * np.cos(angle), y + b * np.sin(angle)])

    outlines = {"grey-matter": ellipse(2.4, 1.6), "cord": ellipse(4.2, 3.1), "dura-inner": ellipse(6.6, 6.0, 0.6),
                "dura-outer": ellipse(6.9, 6.3, 0.6), "canal": ellipse(9.5, 8.4, -0.3), "bone": ellipse(15.5, 14.4, -0.3),
                "bulk": ellipse(30.0, 30.0)}
    sigma = {"grey-matter": 0.3, "white-matter": 0.3, "csf": 1.7, "dura": 0.6, "epidural-fat": 0.25, "bone": 0.02, "bulk": 0.25, "disc": 0.65,
             "encapsulation": 0.25}
    tissues = {name: Tissue(name, value, value, ()) for name, value in sigma.items()}
    column = 1e-3 * np.array([[-1.6, -2.6], [1.6, -2.6], [0.8, -1.8], [-0.8, -1.8]])
    cord = Cord(4.2e-3, 3.1e-3, column, outlines["grey-matter"], outlines["dura-inner"], (), (), "T9", 0.4)
    level = Level("T9", outlines, cord, tissues, True, ())
    discs = tuple(Wall(1e-3 * (z - 2.5), 1e-3 * (z + 2.5), "disc", "disc", "disc") for z in (-50, -25, 0, 25, 50)) if varies else ()
    tops = [19e-3 - 4e-3 * i for i in range(8)]
    bands = tuple(Contact(i + 1, 0, top - 3e-3, top, 2 * np.pi * 0.65e-3 * 3e-3) for i, top in enumerate(tops))
    ends = np.array([-16e-3, 20e-3])
    slope = math.tan(math.radians(10)) if varies else 0.0
    course = np.column_stack([0.8e-3 + slope * (ends - 3.5e-3), np.full(2, -6.6e-3), ends])
    middle = 0.5 * (bands[-1].z0 + bands[0].z1)
    shaft = Shaft(0, "octrode", 0.8e-3 + slope * (middle - 3.5e-3), -6.6e-3, 0.65e-3, 0.0, bands, 20e-3, course=course if varies else None)
    placed = Placed(Stretch(np.zeros(1), (level,), discs), (shaft,), (Layer(0.0),), (), ())
    canal = _Meshed(placed, size, varies).canal("fast")
    return replace(canal, shafts=(replace(shaft, contacts=bands[(8 - contacts) // 2 :][:contacts]),))


def small(contacts: int = 3) -> tuple[Any, Floats, list[Any]]:
    """Spine, axis and some contacts in the middle of ``ellipses`` on a coarse mesh, for ``solve_touches``."""
    from epidura.field import _touch, spine_of
    from epidura.numerics.section import Section
    from epidura.numerics.spine import graded_axis

    canal = ellipses(4.0, contacts=contacts)
    assert isinstance(canal.section, Section)
    near = [z for z in canal.edges if abs(z) < 24e-3]  # discs farther away melt into elements of the axis
    stops = np.unique(np.round([*(z for contact in canal.contacts for z in (contact.z0, contact.z1)), *near], 9))
    z = graded_axis(stops, np.full(len(stops), 2.5e-3), (-1.0, 1.0), 8e-3, 1.0, 8e-3, 1.0)
    return spine_of(canal, z), z, [_touch(canal.section, 0, canal.shafts[0], contact, z) for contact in canal.contacts]


def warm() -> None:
    """Load, or compile, the kernels of both solvers."""
    from epidura.numerics.iteration import solve_touches
    from epidura.numerics.section import Section
    from epidura.numerics.sweep import solve_contacts

    spine, z, touches = small(1)
    solve_touches(spine, z, touches, 1e-1)
    canal = ellipses(5.0, varies=False, contacts=1)
    contact = canal.contacts[0]
    assert isinstance(canal.section, Section)
    solve_contacts(canal.section, np.array([-1.0, -0.5, contact.z0, 0.5 * (contact.z0 + contact.z1), contact.z1, 0.5, 1.0]),
                   [t.transverse for t in canal.tissues], [t.longitudinal for t in canal.tissues], [(0, contact.z0, contact.z1)])


# What is timed; each returns figures and runs in a process of its own


def memory() -> float:
    """Most memory that this process had, GB."""
    import resource  # not on every system

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)  # Linux counts kB


def timed(what: Callable[[], Any]) -> tuple[Any, Figures]:
    """What it returns, and seconds by the clock and of the processors."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = what()
    return found, {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def solved(canal: Canal, times: int = 1, device: str = "cpu") -> Figures:
    """The lead field of a canal, the best of some times."""
    from epidura.field import solve_field

    best: Figures = {}
    for _ in range(times):
        lead_field, spent = timed(lambda: solve_field(canal, device=device))
        if not best or spent["wall"] < best["wall"]:
            best = spent
    return {**best, "gb": memory(), **{name: lead_field.notes[name] for name in ("unknowns", "iterations")}}


def uniform(accuracy: str, device: str = "cpu") -> Figures:
    """Eight contacts in a canal that is the same everywhere."""
    warm()
    return solved(product("vertebra", accuracy, {}, tips=False), 3, device)


def varying(model: str, tolerance: float | None = None) -> Figures:
    """Eight contacts with discs, tip and an oblique lead: ``ellipses``, or the canal along the spine at an accuracy.

    Args:
        tolerance: of the iteration; None: as the product has it.
    """
    from epidura import field

    warm()
    canal = ellipses() if model == "ellipses" else product("spine", model, OBLIQUE)
    if tolerance is not None:
        field.TOLERANCE[canal.accuracy] = tolerance
    return {**solved(canal), "tolerance": field.TOLERANCE[canal.accuracy]}


def moved(extent: str) -> Figures:
    """A lead, then the same one 3 mm further up: what the product does for each, mesh included, and how far that is from a field of its own."""
    from epidura.field import field_error, solve_field

    warm()
    tips, accuracy = extent == "spine", "standard" if extent == "vertebra" else "fast"
    lead = OBLIQUE if tips else {}
    with tempfile.TemporaryDirectory() as cache:

        def whole(offset: str, near: LeadField | None = None) -> LeadField:
            canal = product(extent, accuracy, {"tip_offset": offset, **lead}, tips, None if near is None else near.canal)
            return solve_field(canal, Path(cache), near=near)

        there, first = timed(lambda: whole("0 mm"))
        here, second = timed(lambda: whole(SHIFT, there))
    off = field_error(solve_field(here.canal), here, list(paths(here.canal, 60, 121)))
    return {"full wall": first["wall"], "full cpu": first["cpu"], "full iterations": there.notes["iterations"], "wall": second["wall"],
            "cpu": second["cpu"], "iterations": here.notes["iterations"], "potential": off.potential, "second": off.second_difference}


def sampled(extent: str, fibres: int = FIBRES, points: int = POINTS, times: int = 5) -> Figures:
    """Potentials of all contacts on paths in the dorsal columns."""
    from epidura.field import solve_field

    moves = extent == "spine"
    return sampling(solve_field(product(extent, "fast", OBLIQUE if moves else {}, moves)), fibres, points, times)


def sampling(lead_field: LeadField, fibres: int, points: int, times: int) -> Figures:
    """Seconds for the points of some fibres, the best of some times."""
    where = paths(lead_field.canal, fibres, points).reshape(-1, 3)
    lead_field.sample(where[:1000])
    runs = [timed(lambda: lead_field.sample(where))[1] for _ in range(times)]
    return {**min(runs, key=lambda one: one["wall"]), "points": float(len(where)), "contacts": float(len(lead_field.contacts))}


def paths(canal: Canal, fibres: int, points: int) -> Floats:
    """(fibres, points, 3) m: lines in the dorsal columns that move with the cord."""
    random = np.random.default_rng(1)
    column = canal.cord.dorsal_column
    middle = column.mean(axis=0)
    at = middle + (column[random.integers(0, len(column), fibres)] - middle) * 0.9 * np.sqrt(random.uniform(0, 1, (fibres, 1)))
    z = np.linspace(-HALF_PATH, HALF_PATH, points)
    plane = np.repeat(at[:, None], points, axis=1)
    if canal.course is not None:
        course = canal.course
        centre, scale = (np.stack([np.interp(z, course.z, of[:, i]) for i in (0, 1)], axis=1) for of in (course.centre, course.scale))
        plane = centre + (plane - np.array(canal.cord.centre)) * scale
    return np.concatenate([plane, np.broadcast_to(z[:, None], (fibres, points, 1))], axis=2)


def cylinders(which: int, times: int = 3) -> Figures:
    """Our solver on the point source in cylinders with the sizes ``OURS[which]``, mesh included; errors as those of the tetrahedra."""
    from epidura.numerics.locate import SpineSampler
    from epidura.numerics.sweep import solve_sources, spline_coefficients

    sigma = [*field_peers.SIGMA.values(), field_peers.SIGMA["fat"]]
    best: Figures = {}

    def whole() -> tuple[SpineSampler, int]:
        section, z, loads = _source(*OURS[which])
        modal = solve_sources(section, z, sigma, sigma, loads)
        return SpineSampler(section, None, *spline_coefficients(modal)), modal.sweep.unknowns

    for _ in range(times + 1):  # the first one loads kernels
        (sample, unknowns), spent = timed(whole)
        if not best or spent["cpu"] < best["cpu"]:
            best = spent
    errors = field_peers.cylinder_errors(ORACLE, "iso", lambda points: np.asarray(1e-3 * sample(1e-3 * points)[0]))
    return {**best, "unknowns": float(unknowns), **asdict(errors)}


def _source(edges: tuple[float, ...], fine: float, coarse: float, growth: float) -> tuple[Any, Floats, Floats]:
    """Section, axis and loads (1, nz, nodes) of a ball of current of 1 A in cylinders; sizes in mm."""
    from epidura.numerics.section import Loop, circle, mesh_section, plane_shapes

    radii, source, ball = list(field_peers.RADII.values()), 1e-3 * field_peers.SOURCE, 1e-3 * field_peers.BALL
    loops = [Loop(circle(0, 0, 1e-3 * r, 360), i, i + 1 if r < radii[-1] else -1, 1e-3 * edges[i]) for i, r in enumerate(radii)]
    loops.append(Loop(circle(source, 0, 1.03 * ball, 120), len(radii), 3, 1e-3 * edges[-1]))
    section = mesh_section(loops, [1e-3 * edge for edge in edges], grading=0.3)
    ends = [0.0]
    while ends[-1] < field_peers.HALF_LENGTH:
        here = ends[-1]
        step = min(max(fine, growth * (here - 2 * fine)), coarse) if here < 16 else min(coarse + 0.25 * (here - 16), 6.0)
        ends.append(field_peers.HALF_LENGTH if field_peers.HALF_LENGTH - here < 1.5 * step else here + step)
    half = 1e-3 * np.array(ends)
    z = np.empty(4 * len(half) - 3)
    z[::2] = np.concatenate([-half[:0:-1], half])
    z[1::2] = 0.5 * (z[2::2] + z[:-2:2])
    # points of a rule of Gauss in the ball: distance, height over distance, angle
    t, w = np.polynomial.legendre.leggauss(10)
    s, u, a = (grid.ravel() for grid in np.meshgrid(0.5 * (1 + t), t, 2 * np.pi * np.arange(24) / 24, indexing="ij"))
    weight = (w[:, None, None] * w[None, :, None] * np.ones(24)).ravel() * s**2 * (1 - s**2) ** 3
    across = ball * s * np.sqrt(1 - u**2)
    x, y, height = source + across * np.cos(a), across * np.sin(a), ball * s * u
    inside = np.flatnonzero(section.labels == len(radii))
    corner = section.points[section.triangles[inside, :3]]
    frame = np.linalg.inv(np.stack([corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]], axis=2))
    local = np.einsum("tij,ptj->pti", frame, np.column_stack([x, y])[:, None] - corner[:, 0])
    share = np.concatenate([1 - local.sum(axis=2, keepdims=True), local], axis=2)
    at = share.min(axis=2).argmax(axis=1)
    shapes = plane_shapes(share[np.arange(len(at)), at])
    element = np.clip(np.searchsorted(z[::2], height, side="right") - 1, 0, len(z) // 2 - 1)
    c = 2 * (height - z[2 * element]) / (z[2 * element + 2] - z[2 * element]) - 1
    along = np.stack([c * (c - 1) / 2, 1 - c * c, c * (c + 1) / 2], axis=1)
    loads = np.zeros((1, len(z), len(section.points)))
    np.add.at(loads[0], (2 * element[:, None, None] + np.arange(3)[:, None], section.triangles[inside[at]][:, None, :]),
              weight[:, None, None] * along[:, :, None] * shapes[:, None, :])
    return section, z, loads / loads.sum()


def tetrahedra(order: int, size: float) -> Figures:
    """One run of the peer on one core."""
    found = field_peers.tetrahedra(order, size, ORACLE)
    return {"wall": found.seconds, "cpu": found.processor, "unknowns": float(found.unknowns), **asdict(found.errors)}


def multigrid(contacts: int = 3, tolerance: float = 1e-6) -> Figures:
    """Our iteration and algebraic multigrid on the same matrix, contacts merged in both; seconds of processor time, set-up included."""
    from scipy.sparse import coo_array

    from epidura.numerics.iteration import _mask, solve_touches

    warm()
    spine, z, touches = small(contacts)
    ours, spent = timed(lambda: solve_touches(spine, z, touches, tolerance))
    operator = ours.operator
    rings, inner = operator.layout.plan.last, len(z) - 2
    number = np.zeros((operator.layout.size, inner), dtype=np.int64)
    for c, band in enumerate(_mask(operator.layout, z, operator.padded, touches)):
        number[-rings:][band[:, 1 : inner + 1]] = c + 1
    alone = number == 0
    number[alone] = contacts + 1 + np.arange(alone.sum())
    join = coo_array((np.ones(number.size), (np.arange(number.size), number.ravel() - 1))).tocsr()
    whole = (join.T @ operator.matrix() @ join).tocsr()
    conducts = np.flatnonzero(whole.diagonal() > 0)  # nothing flows in the lead
    matrix = whole[conducts][:, conducts]
    theirs, other = timed(lambda: field_peers.amg(matrix, np.eye(len(conducts), contacts), tolerance))
    apart = np.abs(theirs.solution[:contacts] - ours.impedance).max() / np.abs(ours.impedance).max()
    return {"ours": spent["cpu"], "theirs": other["cpu"], "unknowns": float(len(conducts)), "iterations": float(ours.iterations),
            "their iterations": float(max(theirs.iterations)), "apart": float(apart)}


# Rows


def _there(call: str) -> Figures:
    return _elsewhere(f"from epidura.bench import field; print(json.dumps(field.{call}))")


def _words(found: Figures) -> str:
    return f"{found['unknowns']:,.0f} unknowns; {found['cpu']:.2f} s of processor time"


def _busy(found: Figures) -> str:
    """How many cores it got: few where other work has some of them, or where one thread works."""
    return f"{found['cpu'] / found['wall']:.2f} of {os.cpu_count()} cores used"


def _exponent(runs: list[Figures], clock: str) -> float:
    """Of time against unknowns, a line through their logarithms."""
    unknowns, spent = (np.log(np.array([run[name] for run in runs])) for name in ("unknowns", clock))
    return float(np.polyfit(unknowns, spent, 1)[0])


def _growth(name: str, runs: list[Figures]) -> Row:
    words = ", ".join(f"{run['unknowns'] / 1e6:.2f} M in {run['cpu']:.2f} s ({run['iterations']:.0f} iterations)" for run in runs)
    return Row(f"growth of time with unknowns, {name}", _exponent(runs, "cpu"), "", words, 1.3, 1.1,
               f"exponent, of processor time; by the clock {_exponent(runs, 'wall'):.2f}; the lower the better")


def uniform_rows(quick: bool) -> list[Row]:
    """The direct solver."""
    if quick:
        runs = [solved(ellipses(size, varies=False, contacts=1)) for size in (5.0, 3.0)]
        found, name = runs[-1], "uniform canal of ellipses, 1 contact"
    else:
        runs = [_there(f"uniform('{accuracy}')") for accuracy in ACCURACIES]
        found, name = runs[1], "uniform canal, 8 contacts"
    return [Row(f"{name}, direct", found["wall"], "s", _words(found), 5.0, 1.5, _joined("the lower the better", _busy(found))),
            Row(f"{name}, peak memory", found["gb"], "GB", "", 1.0, 0.5, "the lower the better"), _growth("direct", runs)]


def gpu_rows(quick: bool) -> list[Row]:
    """The direct solver with its modes on a graphics processor; no row where there is none."""
    from epidura.numerics.device import available

    if available() is not None:
        return []
    if quick:
        name, found = "uniform canal of ellipses, 1 contact", solved(ellipses(5.0, varies=False, contacts=1), 2, "cuda")
    else:
        name, found = "uniform canal, 8 contacts", _there("uniform('standard', 'cuda')")
    return [Row(f"{name}, direct, on a graphics processor", found["wall"], "s", _words(found), note="contacts and splines on the processor")]


def varying_rows(quick: bool) -> list[Row]:
    """The iteration."""
    if quick:
        from epidura.numerics.iteration import solve_touches

        spine, z, touches = small(1)
        got, spent = timed(lambda: solve_touches(spine, z, touches, 1e-2))
        found = {**spent, "gb": memory(), "unknowns": float(got.operator.layout.size * (len(z) - 2)), "iterations": float(got.iterations)}
        return _varying("ellipses, coarse, 1 contact", {**found, "tolerance": 1e-2})
    runs = [_there(f"varying('{accuracy}', 1e-6)") for accuracy in ACCURACIES]
    return [*_varying("ellipses, 10 degrees, 8 contacts", _there("varying('ellipses')"), _there("varying('ellipses', 1e-6)")),
            *_varying("canal along the spine, 8 degrees, 8 contacts", _there("varying('fast')"), runs[0]), _growth("iteration to 1e-6", runs)]


def _varying(name: str, found: Figures, tight: Figures | None = None) -> list[Row]:
    words = "" if tight is None else f"{tight['iterations']:.0f} to {tight['tolerance']:.0e}, in {tight['wall']:.1f} s"
    note = "discs and bone in turn, tip, oblique lead, tolerance of the product; the lower the better"
    return [Row(f"{name}, iteration", found["wall"], "s", _words(found), 20.0, 6.0, _joined(note, _busy(found))),
            Row(f"{name}, iterations to {found['tolerance']:.0e}", found["iterations"], "", words, 20.0, 15.0, note),
            Row(f"{name}, peak memory", found["gb"], "GB", "", 1.5, 0.8, note)]


def peer_rows(quick: bool) -> list[Row]:
    """Tetrahedra at an equal error, and multigrid on an equal matrix."""
    name = "tetrahedra (NGSolve) against us, equal error of the second difference"
    if not ORACLE.exists():
        rows = [Row(name, None, "x", floor=20.0, goal=100.0, note="not measured: its oracle is in the source tree only")]
        return rows if quick else [*rows, *multigrid_rows()]
    if quick:
        found = cylinders(0, 1)
        return [Row("point source in cylinders, coarse", 1e3 * found["cpu"], "ms", f"second difference {100 * found['difference']:.1f} % off")]
    tried = [_there(f"cylinders({which})") for which in range(len(OURS))]
    ours = min((one for one in tried if one["difference"] <= WITHIN and one["everywhere"] <= EVERYWHERE), key=lambda one: one["cpu"])
    here = f"{ours['unknowns']:,.0f} unknowns, V {100 * ours['value']:.2f} %, second difference {100 * ours['difference']:.1f} % off"
    rows = []
    reason = field_peers.available("ngsolve")
    if reason is not None:
        rows.append(Row(name, None, "x", f"ours {ours['cpu']:.2f} s", 20.0, 100.0, f"not measured: {reason}; {here}"))
    else:
        runs = [(order, size, _there(f"tetrahedra({order}, {size})")) for order, size in TETRAHEDRA]
        good = [run for run in runs if run[2]["difference"] <= 1.2 * WITHIN]
        if good:
            order, size, best = min(good, key=lambda run: run[2]["cpu"])
            words = "; ".join(f"order {o}, {s:g} mm: {one['unknowns']:,.0f} unknowns, {one['cpu']:.1f} s, V {100 * one['value']:.2f} %, "
                              f"second difference {100 * one['difference']:.1f} % off (all lines {100 * one['everywhere']:.0f} %)"
                              for o, s, one in runs)
            rows.append(Row(name, best["cpu"] / ours["cpu"], "x",
                            f"{ours['cpu']:.2f} s against {best['cpu']:.1f} s (order {order}, {size:g} mm)", 20.0, 100.0,
                            "point source in concentric cylinders, mesh and one right-hand side, processor time, error in the cord about "
                            f"{100 * WITHIN:g} % or less, ours the best of four runs, theirs one; ours {here} (all lines "
                            f"{100 * ours['everywhere']:.0f} %), kernels loaded; NGSolve {version('ngsolve')}, BDDC, one thread, {words}"))
        else:
            rows.append(Row(name, None, "x", "", 20.0, 100.0, "not reached by any of the tetrahedra that were tried"))
    return [*rows, *multigrid_rows()]


def multigrid_rows() -> list[Row]:
    """Algebraic multigrid on our matrix."""
    name = "multigrid (PyAMG) against us, equal matrix"
    reason = field_peers.available("pyamg")
    if reason is not None:
        return [Row(name, None, "x", note=f"not measured: {reason}")]
    found = _there("multigrid()")
    return [Row(name, found["theirs"] / found["ours"], "x", f"{found['ours']:.2f} s against {found['theirs']:.1f} s",
                note=f"{found['unknowns']:,.0f} unknowns, discs, tip, oblique, 3 contacts, both to 1e-6, set-up included, processor time; "
                     f"{found['iterations']:.0f} against {found['their iterations']:.0f} iterations; impedances {found['apart']:.0e} apart; "
                     f"PyAMG {version('pyamg')}, smoothed aggregation")]


def sampling_rows(quick: bool) -> list[Row]:
    """A million points."""
    from epidura.field import solve_field

    rows = []
    for extent, name in (("vertebra", "uniform section"), ("spine", "section that moves")):
        if quick and extent == "spine":
            continue
        found = sampling(solve_field(ellipses(5.0, varies=False, contacts=1)), 4, 50, 1) if quick else _there(f"sampled('{extent}')")
        rows.append(Row(f"potentials at {found['points']:,.0f} points, {found['contacts']:.0f} contacts, {name}", found["wall"], "s",
                        f"{1e9 * found['cpu'] / found['points']:.0f} ns of processor time a point", 0.8, 0.2,
                        _joined("paths in the dorsal columns; the lower the better", _busy(found))))
    return rows


def position_rows(quick: bool) -> list[Row]:
    """A lead that is moved along the spine."""
    rows = []
    for extent, name in (("vertebra", "uniform canal"), ("spine", "canal along the spine")):
        title = f"lead moved {SHIFT} along the spine against a first solve, {name}"
        if quick:
            rows.append(Row(title, None, "", floor=1 / 3, goal=1 / 10, note="not measured: quick"))
            continue
        found = _there(f"moved('{extent}')")
        words = f"{found['cpu']:.2f} s against {found['full cpu']:.2f} s, {found['iterations']:.0f} against {found['full iterations']:.0f} iterations"
        rows.append(Row(title, found["cpu"] / found["full cpu"], "", words, 1 / 3, 1 / 10,
                        f"processor time, mesh included; by the clock {found['wall']:.2f} s against {found['full wall']:.2f} s; "
                        f"V within {found['potential']:.1e}, 1 mm second difference within {found['second']:.1e} of a solve on the same mesh; "
                        "the lower the better"))
    return rows


# What is written


def save(rows: list[Row], path: str | Path) -> Path:
    """Write rows, machine, versions and date as JSON; the whole file or nothing.

    Raises:
        BadInput: the file cannot be written.
    """
    return fibre.save(rows, path, "epidura bench field", used())


def used() -> dict[str, str]:
    """Versions of Python and what the field stands on."""
    return {**versions(), "scipy": version("scipy"), "netgen-mesher": version("netgen-mesher")}
