"""The lead field of a canal: volts per ampere of every contact, solved once and kept.

The canal is swept along z; see ``numerics.sweep`` for the method. Results are kept under a key made of everything
that decides them, so a second run of the same geometry and tissues reads files instead of solving.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epidura.errors import BadGeometry, Failed
from epidura.numerics.section import Section
from epidura.numerics.sweep import Sampler, axis, solve_contacts, spline_coefficients
from epidura.product import Canal, Floats, LeadField

VERSION = "field-1"  # change it whenever the same canal gives other numbers

# The axis. Elements in m; what each costs in impedance and second difference is measured in tests/field.
FINE, COARSE, GROWTH, REACH = 0.15e-3, 1.0e-3, 0.6, 20e-3
HALF_LENGTH = 0.25  # beyond the outermost contacts: V depends on it, second differences do not
_CONSERVED = 1e-6  # largest relative difference of injected and outflowing current


def solve_field(canal: Canal, cache: Path | None = None) -> LeadField:
    """Solve, or read from ``cache``, the lead field of every contact of a canal.

    V = 0 on the outermost loop and at both ends of the axis, 250 mm beyond the contacts; contacts are equipotential,
    contacts without current float. ``notes``: nodes, modes, unknowns, seconds, cached (0 or 1) and residual (of the
    current through the boundary, relative).

    Args:
        cache: folder that holds ``fields/<key>/``; nothing is kept without.

    Raises:
        BadGeometry: a canal without contacts, or whose section and shafts do not fit together.
        Failed: current was not conserved to 1e-6.
    """
    started = time.perf_counter()
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
    folder = None if cache is None else Path(cache) / "fields" / field_key(canal)
    kept = None if folder is None else _read(folder, section, canal)
    if kept is None:
        kept = _solve(canal, section)
        if folder is not None:
            _write(folder, *kept)
        cached = 0.0
    else:
        cached = 1.0
    impedance, knots, coefficients, notes = kept
    return LeadField(
        contacts=tuple(contact.number for contact in canal.contacts),
        impedance=impedance,
        sample=_Sample(Sampler(section, knots, coefficients)),
        canal=canal,
        notes={**notes, "cached": cached, "seconds": time.perf_counter() - started},
    )


def field_key(canal: Canal) -> str:
    """Hexadecimal digest of everything that decides the lead field of a canal."""
    section = canal.section
    assert isinstance(section, Section)
    digest = hashlib.blake2b(digest_size=16)
    settings = [VERSION, FINE, COARSE, GROWTH, REACH, HALF_LENGTH]
    tissues = [(t.transverse, t.longitudinal) for t in canal.tissues]
    bands = [[(c.number, c.z0, c.z1) for c in shaft.contacts] for shaft in canal.shafts]
    digest.update(json.dumps([settings, tissues, bands]).encode())
    for array in (section.points, section.triangles, section.labels, section.boundary, *section.rings):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


class _Sample:
    """Points (p, 3) m -> (contacts, p) V/A; says in the words of a person which point is outside."""

    def __init__(self, sampler: Sampler):
        self.sampler = sampler

    def __call__(self, points: Floats) -> Floats:
        try:
            return self.sampler(points)
        except ValueError as error:
            raise BadGeometry("field", str(error), hint="a fibre may not run through a lead or leave the canal model") from error


_Kept = tuple[Floats, Floats, NDArray[np.floating], dict[str, float]]


def _solve(canal: Canal, section: Section) -> _Kept:
    edges = [z for contact in canal.contacts for z in (contact.z0, contact.z1)]
    z = axis(edges, HALF_LENGTH, FINE, COARSE, GROWTH, REACH)
    bands = [
        (ring, _on(z, contact.z0), _on(z, contact.z1)) for ring, shaft in enumerate(canal.shafts) for contact in shaft.contacts
    ]
    solution = solve_contacts(section, z, [t.transverse for t in canal.tissues], [t.longitudinal for t in canal.tissues], bands)
    residual = float(np.abs(solution.modal.outflow() - 1.0).max())
    if not residual < _CONSERVED:
        raise Failed(f"field: current is not conserved, {residual:.1e} of it is lost; allowed {_CONSERVED:.0e}")
    knots, coefficients = spline_coefficients(solution.modal)
    system = solution.modal.sweep
    notes = {
        "nodes": float(len(section.points)),
        "modes": float(len(system.eigenvalues)),
        "unknowns": float(system.unknowns),
        "iterations": float(solution.iterations),
        "residual": residual,
    }
    return solution.impedance, knots, coefficients, notes


def _on(z: Floats, value: float) -> float:
    """The node of the axis that an edge was rounded to."""
    return float(z[np.argmin(np.abs(z - value))])


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
