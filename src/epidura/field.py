"""The lead field of a canal: volts per ampere of every contact, solved once and kept.

A canal that is the same at every height is solved directly (``numerics.sweep``), any other by preconditioned conjugate
gradients (``numerics.iteration``); where those stall, with multigrid (``numerics.multigrid``). Results are kept under a key made of
everything that decides them, so a second run of the same geometry and tissues reads files instead of solving.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline

from epidura.canal import ACCURACY, FAR, touching
from epidura.errors import BadGeometry, BadInput, Failed
from epidura.numerics import device as devices
from epidura.numerics.iteration import NotConverged, Touch, Watch, solve_touches
from epidura.numerics.ldlt import threads
from epidura.numerics.locate import SpineSampler, spline_along
from epidura.numerics.multigrid import solve_multigrid
from epidura.numerics.section import Section
from epidura.numerics.spine import Spine, Way, between, graded_axis
from epidura.numerics.sweep import solve_contacts, spline_coefficients
from epidura.product import Canal, Contact, FieldError, Floats, LeadField, Shaft

VERSION = "field-5"  # change it whenever the same canal gives other numbers

# The axis: elements at the edges of contacts, at tips, where tissues change, and elsewhere, m, for the reference accuracy; what
# each costs in impedance and second difference is measured in tests/field.
FINE, TIP, BORDER, COARSE = 0.1e-3, 0.4e-3, 2.0e-3, 2.0e-3
GROWTH, REACH, FAR_GROWTH = 1.0, 8e-3, 0.6
STATION, OBLIQUE = 6e-3, 3e-3
"""Largest distance of stations of a shape that changes along the spine, m: without and with leads that lean."""

TOLERANCE = {"fast": 1e-4, "standard": 1e-4, "reference": 1e-6}
"""Of the conjugate gradients by accuracy, in the norm of the preconditioner. 1e-4 left V along fibres within 2e-5 and second
differences within 1e-4 of the converged ones in two canals (docs/field.md)."""

NEARBY = {"fast": 5e-2, "standard": 5e-2, "reference": 1e-3}
"""Size of the last correction, relative, in the norm of the energy, of a field that starts from one nearby. 5e-2 left V along fibres within 0.3 %,
second differences within 1 %: what these meshes are off themselves."""

_CONSERVED = 1e-6  # largest relative difference of the current that was asked for and the one that flows; of an iteration 10 x its tolerance


def solve_field(canal: Canal, cache: Path | None = None, device: str = "cpu", watch: Watch | None = None, near: LeadField | None = None) -> LeadField:
    """Solve, or read from ``cache``, the lead field of every contact of a canal.

    With ``near``, a field of the same leads elsewhere in the same anatomy, on a mesh that was carried along (``build_canal(..., near=)``), that
    field is carried along as well and corrected until a correction is as small as ``NEARBY``: in a third of the time, V within 0.3 % and
    second differences within 1 % of a field that is solved from nothing (docs/field.md). It depends on where the leads were before, so it is
    neither kept in the cache nor read from it. Where the mesh is another one, or the canal is solved directly, ``near`` has no effect.

    V = 0 ten metres away; contacts are equipotential, contacts without current float. ``notes``: nodes (of the section),
    levels (nodes along z), unknowns, iterations (with ``near``: corrections), seconds, cached (0 or 1), cuda (1 if this call solved it there,
    else 0), residual (of the current, relative) and fallback (1 where the iteration stalled and multigrid took over, with ``stalled_at``, the
    relative residual it reached in ``stalled_after`` steps), carried (1 if it was started from ``near``).

    Args:
        cache: folder that holds ``fields/<key>/``; nothing is kept without. A kept field serves any device.
        device: ``cpu`` or ``cuda``, for a canal that is solved directly (``direct``); the iteration runs on the processor. ``auto`` is
            the cpu: hardly any canal is solved directly, and that takes about a second.
        watch: called before each part of a solve and after each step of an iteration. What it raises ends the solve and comes out here;
            nothing is kept of it.
        near: where to start from.

    Raises:
        BadInput: an unknown device, or cuda where there is none.
        BadGeometry: a canal without contacts, or whose section and shafts do not fit together.
        Failed: current was not conserved to 1e-6 (direct) or ten times the tolerance, neither the iteration nor multigrid converged, or the
            device has too little memory.
    """
    started = time.perf_counter()
    chosen = _device(device)
    section = canal.section
    if not isinstance(section, Section):
        raise BadGeometry("canal.section", "is not a meshed section", got=type(section).__name__)
    if len(section.rings) != len(canal.shafts):
        problem = "do not fit the holes of the section"
        raise BadGeometry("canal.shafts", problem, got=len(canal.shafts), allowed=str(len(section.rings)))
    if int(section.labels.max()) >= len(canal.tissues):
        raise BadGeometry("canal.tissues", "are fewer than the regions of the section", got=len(canal.tissues))
    if not canal.contacts:
        raise BadGeometry("canal.shafts", "hold no contact", hint="add a lead with contacts")
    if near is not None and not _carries(canal, near):
        near = None
    folder = None if cache is None or near is not None else Path(cache) / "fields" / field_key(canal)
    kept = None if folder is None else _read(folder, section, canal)
    if kept is None:
        impedance, knots, coefficients, notes = _solve(canal, section, chosen, watch, near)
        kept = impedance, knots - _origin(canal), coefficients, notes
        if folder is not None:
            _write(folder, *kept)
        cached = 0.0
    else:
        cached = 1.0
    impedance, knots, coefficients, notes = kept
    knots = knots + _origin(canal)
    way = canal.way if isinstance(canal.way, Way) else None
    return LeadField(
        contacts=tuple(contact.number for contact in canal.contacts),
        impedance=impedance,
        sample=_Sample(SpineSampler(section, way, knots, coefficients, _hollow(canal))),
        canal=canal,
        notes={**notes, "cached": cached, "cuda": float(chosen is not None and not cached and direct(canal)),
               "seconds": time.perf_counter() - started},
    )


def direct(canal: Canal) -> bool:
    """Whether the field is solved directly: nothing changes along the spine and contacts go all the way round."""
    return canal.uniform and all(contact.left is None for contact in canal.contacts)


def _carries(canal: Canal, near: LeadField) -> bool:
    """Whether a solution there can be carried here node by node."""
    return canal.section is near.canal.section and not direct(canal) and isinstance(near.sample, _Sample) \
        and tuple(contact.number for contact in canal.contacts) == near.contacts


def _carried(canal: Canal, near: LeadField, z: Floats) -> Floats:
    """(nodes, nz, contacts) V/A of the field nearby, each contact's moved along the spine with its lead.

    Between the nodes that it was solved at it is taken as its elements have it: the spline that it is sampled with overshoots beside contacts.
    """
    assert isinstance(near.sample, _Sample)
    sampler, there = near.sample.sampler, axis_of(near.canal)
    at_nodes = BSpline.design_matrix(np.clip(there, sampler.knots[0], sampler.knots[-1]), sampler.knots, 5)
    out = np.empty((len(sampler.coefficients), len(z), len(near.contacts)))

    def one(c: int) -> None:
        moved = canal.contacts[c].z0 - near.canal.contacts[c].z0
        out[:, :, c] = (between(there, z - moved) @ at_nodes @ sampler.coefficients[:, :, c].T).T

    with ThreadPoolExecutor(threads()) as pool:
        list(pool.map(one, range(len(near.contacts))))
    return out


def _device(name: str) -> devices.Device | None:
    """What a device's name stands for; None is the processor."""
    if name not in ("auto", "cpu", "cuda"):
        raise BadInput("device", "unknown device", got=name, allowed="auto, cpu, cuda")
    if name != "cuda":
        return None
    why = devices.available()
    if why is not None:
        raise BadInput("device", "cannot be used here", got=name, allowed="auto, cpu", hint=why)
    return devices.current()


def field_error(lead_field: LeadField, coarse: LeadField, paths: Sequence[Floats]) -> FieldError:
    """How far two lead fields of one canal are apart on paths, worst over contacts and paths.

    The mesh of the coarser one has edges 1.4 times as long. Errors fall with the square of the edges or faster, so that of the
    finer field is about as large as the difference, or smaller.

    Args:
        coarse: the same case solved with a coarser accuracy.
        paths: (k, 3) polylines in m, such as fibres.

    Raises:
        BadGeometry: other contacts, a path outside the model or shorter than 4 mm.
    """
    if lead_field.contacts != coarse.contacts:
        raise BadGeometry("field", "the two fields have other contacts", got=len(coarse.contacts), allowed=str(len(lead_field.contacts)))
    potential = second = 0.0
    for i, path in enumerate(paths):
        along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
        if along[-1] < 4e-3:
            raise BadGeometry(f"paths[{i}]", "is too short for second differences", got=f"{along[-1] * 1e3:.2f} mm", allowed="at least 4 mm")
        at = np.arange(0.0, along[-1], 1e-3)
        points = np.column_stack([np.interp(at, along, path[:, k]) for k in range(3)])
        fine, other = lead_field.sample(points), coarse.sample(points)
        potential = max(potential, _apart(fine, other))
        second = max(second, _apart(np.diff(fine, 2, axis=1), np.diff(other, 2, axis=1)))
    return FieldError(potential, second, _apart(_bipolar(lead_field)[None], _bipolar(coarse)[None]))


def _apart(a: Floats, b: Floats) -> float:
    """Largest difference of two (rows, points) against the largest value of each row."""
    return float((np.abs(a - b).max(axis=1) / np.abs(a).max(axis=1)).max()) if a.size else 0.0


def _bipolar(lead_field: LeadField) -> Floats:
    """Impedance between contacts that follow each other, ohm."""
    z = lead_field.impedance
    own = np.diag(z)
    return np.asarray(own[1:] + own[:-1] - 2 * np.diag(z, 1))


def field_key(canal: Canal) -> str:
    """Hexadecimal digest of everything that decides the lead field of a canal.

    In a canal that is the same all along the spine a lead that is moved along it has the same field, moved: heights count from the
    lowest contact there.
    """
    section = canal.section
    assert isinstance(section, Section)
    origin = _origin(canal)

    def height(z: float) -> float:
        return round(z - origin, 10)

    digest = hashlib.blake2b(digest_size=16)
    settings = [VERSION, ACCURACY[canal.accuracy], FINE, TIP, BORDER, COARSE, GROWTH, REACH, FAR_GROWTH, STATION, OBLIQUE,
                TOLERANCE[canal.accuracy], FAR]
    tissues = [[(t.transverse, t.longitudinal) for t in row] for row in canal.along or (canal.tissues,)]
    bands = [[(c.number, height(c.z0), height(c.z1), c.left, c.right) for c in shaft.contacts] for shaft in canal.shafts]
    digest.update(json.dumps([settings, tissues, bands, [height(z) for z in canal.edges]]).encode())
    arrays = [section.points, section.triangles, section.labels, section.boundary, *section.rings]
    if isinstance(canal.way, Way):
        arrays += [canal.way.z, canal.way.coefficients] + ([] if canal.way.bend is None else [canal.way.bend])
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _origin(canal: Canal) -> float:
    """Height that the heights of a kept field count from, m."""
    # edges of the wall are the canal's own; only tips move with the leads
    moves = canal.way is None and len(canal.edges) <= len(_tips(canal))
    return min(contact.z0 for contact in canal.contacts) if moves else 0.0


def _hollow(canal: Canal) -> list[tuple[int, float, float]]:
    """(label, z0, z1) where there is no conductor."""
    borders = np.concatenate([[-np.inf], canal.edges, [np.inf]])
    found = []
    for label in range(len(canal.tissues)):
        there = [i for i, row in enumerate(canal.along) if row[label].transverse == 0.0]
        if there:
            found.append((label, float(borders[there[0]]), float(borders[there[-1] + 1])))
    return found


class _Sample:
    """Points (p, 3) m -> (contacts, p) V/A; says in the words of a person which point is outside."""

    def __init__(self, sampler: SpineSampler):
        self.sampler = sampler

    def __call__(self, points: Floats) -> Floats:
        try:
            return self.sampler(points)
        except ValueError as error:
            raise BadGeometry("field", str(error), hint="a fibre may not run through a lead or leave the canal model") from error

    def lenient(self, points: Floats) -> Floats:
        return self.sampler(points, lenient=True)


_Kept = tuple[Floats, Floats, NDArray[np.floating], dict[str, float]]


def _solve(canal: Canal, section: Section, device: devices.Device | None = None, watch: Watch | None = None, near: LeadField | None = None) -> _Kept:
    return _direct(canal, section, device, watch) if direct(canal) else _iterated(canal, section, watch, near)


def axis_of(canal: Canal) -> Floats:
    """Nodes of the axis that the field of a canal is solved on, m."""
    size = ACCURACY[canal.accuracy]
    contacts = [z for contact in canal.contacts for z in (contact.z0, contact.z1)]
    inner = [z for z in canal.edges if not any(abs(z - tip) < 1e-12 for tip in _tips(canal))]
    stops, sizes = list(contacts), [FINE * size] * len(contacts)
    stops += _tips(canal)
    sizes += [TIP * size] * len(_tips(canal))
    stops += inner
    sizes += [BORDER * size] * len(inner)
    if isinstance(canal.way, Way):
        stops += [float(canal.way.z[0]), float(canal.way.z[-1])]
        sizes += [COARSE * size] * 2
    low, high = min(contacts), max(contacts)
    # stops nearer to each other than this are one: the field does not tell them apart
    kept: list[int] = []
    for i in np.argsort(sizes, kind="stable"):
        if all(abs(stops[i] - stops[j]) > 0.02e-3 for j in kept):
            kept.append(int(i))
    return graded_axis(np.array([stops[i] for i in kept]), np.array([sizes[i] for i in kept]), (low - FAR, high + FAR), COARSE * size, GROWTH,
                       REACH, FAR_GROWTH)


def _tips(canal: Canal) -> list[float]:
    return [z for shaft in canal.shafts for z in (shaft.z_tip, shaft.z_end) if z is not None and len(canal.edges)]


def _direct(canal: Canal, section: Section, device: devices.Device | None, watch: Watch | None = None) -> _Kept:
    z = axis_of(canal)
    bands = [(ring, _on(z, c.z0), _on(z, c.z1)) for ring, shaft in enumerate(canal.shafts) for c in shaft.contacts]
    try:
        solution = solve_contacts(section, z, [t.transverse for t in canal.tissues], [t.longitudinal for t in canal.tissues], bands, device=device,
                                  watch=watch)
    except MemoryError as failure:
        if device is None:
            raise
        raise Failed(f"field: {failure}; --device cpu needs none of it") from None
    residual = float(np.abs(solution.modal.outflow() - 1.0).max())
    _check(residual)
    knots, coefficients = spline_coefficients(solution.modal)
    return solution.impedance, knots, coefficients, _notes(section, z, solution.modal.sweep.unknowns, solution.iterations, residual)


def _iterated(canal: Canal, section: Section, watch: Watch | None = None, near: LeadField | None = None) -> _Kept:
    z = axis_of(canal)
    touches = [_touch(section, ring, shaft, c, z) for ring, shaft in enumerate(canal.shafts) for c in shaft.contacts]
    spine, tolerance = spine_of(canal, z), _tolerance(canal, near is not None)
    start = None if near is None else partial(_carried, canal, near, z)
    stalled: dict[str, float] = {}
    try:
        solved = solve_touches(spine, z, touches, tolerance, watch=watch, start=start)
    except NotConverged as first:
        stalled = {"fallback": 1.0, "stalled_at": first.residual, "stalled_after": float(first.steps)}
        try:
            solved = solve_multigrid(spine, z, touches, tolerance, watch=watch)
        except ValueError as second:
            raise Failed(f"field: {first}; multigrid instead: {second}") from None
    except ValueError as failure:
        raise Failed(f"field: {failure}") from None
    flow = np.array([part.sum(axis=(0, 1)) for part in solved.currents])
    residual = float(np.abs(flow - np.eye(len(flow))).max())
    _check(residual, 10 * tolerance)
    knots, coefficients = spline_along(z, solved.at_nodes())
    notes = _notes(section, z, len(solved.values) * (len(z) - 2), solved.iterations, residual)
    return solved.impedance, knots, coefficients, {**notes, **stalled, "carried": float(near is not None)}


def _tolerance(canal: Canal, carried: bool) -> float:
    return (NEARBY if carried else TOLERANCE)[canal.accuracy]


def solver_warnings(lead_field: LeadField) -> tuple[str, ...]:
    """What a reader should know of how a lead field was solved, in words."""
    notes = lead_field.notes
    if not notes.get("fallback"):
        return ()
    return (f"the field's first method stalled at a residual of {notes['stalled_at']:.1e} after {notes['stalled_after']:.0f} steps; multigrid "
            f"reached {_tolerance(lead_field.canal, bool(notes.get('carried'))):.0e} in {notes['iterations']:.0f} iterations",)


def spine_of(canal: Canal, z: Floats) -> Spine:
    """The canal on an axis, as ``numerics`` takes it."""
    section = canal.section
    assert isinstance(section, Section)
    rows = canal.along or (canal.tissues,)
    transverse, longitudinal = (np.array([[getattr(t, way) for t in row] for row in rows]) for way in ("transverse", "longitudinal"))
    edges = np.array([_on(z, edge) for edge in canal.edges])
    double = np.flatnonzero(np.diff(edges) <= 0)  # edges that the axis does not tell apart: what is between them is left out
    edges = np.delete(edges, double)
    transverse, longitudinal = np.delete(transverse, double + 1, axis=0), np.delete(longitudinal, double + 1, axis=0)
    if not isinstance(canal.way, Way):
        return Spine(section, transverse, longitudinal, edges)
    way = canal.way
    step = OBLIQUE if any(shaft.leans for shaft in canal.shafts) else STATION
    wanted = np.linspace(way.z[0], way.z[-1], int(np.ceil((way.z[-1] - way.z[0]) / step)) + 1)
    stations = np.unique([_on(z, w) for w in wanted])
    positions, slopes = way.at(stations)
    return Spine(section, transverse, longitudinal, edges, stations, positions, slopes, None if way.bend is None else way.bend_at(stations))


def _touch(section: Section, ring: int, shaft: Shaft, contact: Contact, z: Floats) -> Touch:
    nodes = section.rings[ring]
    around = section.points[nodes]
    middle = 0.5 * (around.min(axis=0) + around.max(axis=0))
    return Touch(nodes[touching(shaft, around - middle, contact.left, contact.right)], _on(z, contact.z0), _on(z, contact.z1))


def _check(residual: float, allowed: float = _CONSERVED) -> None:
    if not residual < allowed:
        raise Failed(f"field: current is not conserved, {residual:.1e} of it is lost; allowed {allowed:.0e}")


def _notes(section: Section, z: Floats, unknowns: int, iterations: int, residual: float) -> dict[str, float]:
    return {"nodes": float(len(section.points)), "levels": float(len(z)), "unknowns": float(unknowns), "iterations": float(iterations),
            "residual": residual, "fallback": 0.0, "carried": 0.0}


def _on(z: Floats, value: float) -> float:
    """The end of an element of the axis that a height was rounded to; a middle may be nearer."""
    return float(z[::2][np.argmin(np.abs(z[::2] - value))])


def _write(folder: Path, impedance: Floats, knots: Floats, coefficients: NDArray[np.floating], notes: dict[str, float]) -> None:
    """Write into a folder beside, then rename: another process sees all of it or nothing."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))
    except OSError:
        return  # the cache only saves time; a read-only disk does not stop a study
    try:
        np.save(beside / "impedance.npy", impedance)
        np.save(beside / "knots.npy", knots)
        np.save(beside / "coefficients.npy", coefficients)
        (beside / "notes.json").write_text(json.dumps(notes))
        if folder.exists():
            shutil.rmtree(folder, ignore_errors=True)  # broken, or it would have been read
        os.rename(beside, folder)
    except OSError:
        shutil.rmtree(beside, ignore_errors=True)  # a full disk, or another process was faster


def _read(folder: Path, section: Section, canal: Canal) -> _Kept | None:
    """A kept field, its coefficients mapped; None when it is missing or broken."""
    try:
        notes = {str(k): float(v) for k, v in json.loads((folder / "notes.json").read_text()).items()}
        impedance = np.load(folder / "impedance.npy")
        knots = np.load(folder / "knots.npy")
        coefficients = np.load(folder / "coefficients.npy", mmap_mode="r")
    except (OSError, ValueError, EOFError, AttributeError, TypeError):
        return None
    count = len(canal.contacts)
    if impedance.shape != (count, count) or coefficients.shape != (len(section.points), len(knots) - 6, count):
        return None
    return impedance, knots, coefficients, notes
