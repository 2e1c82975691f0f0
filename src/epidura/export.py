"""The field as files that other programs open: VTK for ParaView, NIfTI for viewers of medical images.

A lead field is sampled on a regular grid or on the swept mesh, mixed into maps (one per contact, or one of a program), and
written. VTK files hold metres, NIfTI files millimetres; both are RAS+: x right, y anterior, z superior.
"""

from __future__ import annotations

import gzip
import os
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from epidura.errors import BadInput, nearest
from epidura.numerics.section import Section
from epidura.numerics.spine import Way
from epidura.product import Canal, Floats, LeadField, Shaft, declare
from epidura.program import Program

Ints = NDArray[np.int64]

STEP = 1e-3
"""Distance of the second difference along z, m: about an internode of the fibres that matter."""

LARGEST = 20_000_000
"""Most values of one grid or mesh, contacts times points: about 1 GB while it is made."""

BEYOND = 15e-3
"""How far the usual region reaches beyond the outermost contacts along the spine, m."""

AROUND = 32
"""Points around a lead in a picture."""

WHAT = {"vti": (".vti",), "vtu": (".vtu",), "nifti": (".nii", ".nii.gz")}
"""Kinds of file, and how their names end."""

QUAD, QUADRATIC_WEDGE = 9, 26
"""Types of cells in the VTK file formats."""

MARK = b"Epidura"
"""Stands near the start of every file that is written here, so that nothing else is ever replaced."""


@dataclass(frozen=True)
class Maps:
    """What to show of a lead field: each map is a mixture of its contacts.

    Attributes:
        names: of the maps, such as ``contact_3`` or the name of a program.
        mixing: (maps, contacts) A.
        per_ampere: whether the maps are per ampere (V/A) or in V.
    """

    names: tuple[str, ...]
    mixing: Floats
    per_ampere: bool

    @property
    def volts(self) -> str:
        """Unit of the potential."""
        return "V/A" if self.per_ampere else "V"

    def of(self, values: Floats) -> Floats:
        """(maps, ...) from (contacts, ...) per ampere."""
        return np.asarray(np.tensordot(self.mixing, values, axes=1))


def drive(lead_field: LeadField, program: Program) -> Floats:
    """(contacts,) current into tissue at each contact per ampere of a program's amplitude, in its first phase.

    Raises:
        BadCase: a contact that does not exist.
    """
    return program.drive(lead_field.contacts)


def contact_maps(lead_field: LeadField, contact: int | None = None) -> Maps:
    """For +1 A into tissue at one contact, or one map for each.

    Raises:
        BadInput: a contact that does not exist.
    """
    known = lead_field.contacts
    if contact is not None and contact not in known:
        raise BadInput("contact", "there is no such contact", got=contact, allowed=f"{known[0]} to {known[-1]}")
    shown = known if contact is None else (contact,)
    return Maps(tuple(f"contact_{number}" for number in shown), np.eye(len(known))[[known.index(number) for number in shown]], True)


def program_maps(lead_field: LeadField, program: Program, amplitude: float | None = None) -> Maps:
    """In the first phase of a program at an amplitude in A; its own if left out.

    Raises:
        BadInput: no amplitude, or one that is not positive.
        BadCase: a contact that does not exist.
    """
    return Maps((program.name,), _current(program, amplitude) * drive(lead_field, program)[None], False)


def find_program(programs: Sequence[Program], name: str, amplitude: float | None = None) -> Program:
    """The program of this name, which must have a current by itself if none is given; asked before a field is solved.

    Raises:
        BadInput: no such program, or no amplitude.
    """
    names = [program.name for program in programs]
    if name not in names:
        raise BadInput("program", "there is no such program", got=name, allowed=", ".join(names), hint=nearest(name, names))
    program = programs[names.index(name)]
    _current(program, amplitude)
    return program


def _current(program: Program, amplitude: float | None) -> float:
    current = program.amplitude.current if amplitude is None else amplitude
    if current is None:
        raise BadInput("amplitude", f"program {program.name} does not say how many mA", got=str(program.amplitude),
                       allowed="a current, such as --amplitude '3 mA'")
    if not 0 < current < np.inf:
        raise BadInput("amplitude", "is not an amplitude", got=f"{current} A", allowed="above 0 mA")
    return float(current)


def region(canal: Canal) -> tuple[Floats, Floats]:
    """The usual corners (3,), (3,) m: the wall of the canal and ``BEYOND`` the contacts."""
    wall = canal.outlines["canal"]
    low, high = (min(c.z0 for c in canal.contacts) - BEYOND, max(c.z1 for c in canal.contacts) + BEYOND)
    return np.append(wall.min(axis=0), low), np.append(wall.max(axis=0), high)


def grid(lead_field: LeadField, low: Floats, high: Floats, spacing: float) -> xr.Dataset:
    """The product ``field_grid`` on points from ``low`` (3,) m in steps of ``spacing`` m up to ``high`` (3,) m.

    Second differences are of the field itself, not of the grid, so that they do not depend on the spacing.

    Raises:
        BadInput: corners that are no box, a spacing that is not positive, or a grid that is too large.
    """
    axes = _axes(low, high, spacing)
    shape = tuple(len(axis) for axis in axes)
    count = len(lead_field.contacts) * int(np.prod(shape))
    if count > LARGEST:
        raise BadInput("spacing", "makes a grid that is too large", got=f"{spacing * 1e3:g} mm: {' x '.join(map(str, shape))} points",
                       allowed=f"at least {spacing * 1e3 * (count / LARGEST) ** (1 / 3):.2g} mm")
    # z runs fastest, which is how a field is sampled fastest
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    below, here, above = (lead_field.sample_or_nan(points + np.array([0.0, 0.0, dz])) for dz in (-STEP, 0.0, STEP))
    second = (above - 2 * here + below) / STEP**2
    names, tissue_of = tissues_along(lead_field.canal, axes[2])
    labels = _labels_along(lead_field.canal, *axes)
    tissue = np.where(labels < 0, -1, tissue_of[np.arange(shape[2]), labels]).astype(np.int16)
    return declare("field_grid", {"potential": here.reshape(-1, *shape), "second_difference": second.reshape(-1, *shape), "tissue": tissue},
                   {"contact": list(lead_field.contacts), **dict(zip("xyz", axes, strict=True)), "tissue_name": names},
                   vertebra=lead_field.canal.vertebra)


def tissues_along(canal: Canal, z: Floats) -> tuple[list[str], Ints]:
    """Names of the tissues, and (s, labels) which of them each label of the mesh is at heights ``z`` (s,) m; -1 in a lead."""
    if not canal.along:
        return [tissue.name for tissue in canal.tissues], np.tile(np.arange(len(canal.tissues)), (len(z), 1))
    names = list(dict.fromkeys(tissue.name for row in canal.along for tissue in row if tissue.transverse > 0))
    table = np.array([[names.index(tissue.name) if tissue.transverse > 0 else -1 for tissue in row] for row in canal.along])
    return names, table[np.searchsorted(canal.edges, z, side="right")]


def potential(field_grid: xr.Dataset, currents: Floats) -> xr.DataArray:
    """(x, y, z) V while ``currents`` (contacts,) A flow into the tissue, such as an amplitude times ``drive``."""
    return _mixed(field_grid, "potential", currents, "V")


def activating_function(field_grid: xr.Dataset, currents: Floats) -> xr.DataArray:
    """(x, y, z) V/m2: second difference over 1 mm along z of ``potential``; a fibre along z is depolarised where it is positive.

    Source: F. Rattay 1986 IEEE Trans. Biomed. Eng. 33:974, 10.1109/TBME.1986.325670 (recall). 1 V/m2 is 1e-3 mV/mm2.
    """
    return _mixed(field_grid, "second_difference", currents, "V/m2")


def _mixed(field_grid: xr.Dataset, name: str, currents: Floats, units: str) -> xr.DataArray:
    given = np.asarray(currents, float)
    if given.shape != (field_grid.sizes["contact"],):
        raise BadInput("currents", "are not one for every contact", got=str(given.shape), allowed=f"({field_grid.sizes['contact']},) in A")
    mixed = np.tensordot(given, field_grid[name].values, axes=1)
    return xr.DataArray(mixed, {axis: field_grid[axis] for axis in "xyz"}, ("x", "y", "z"), name, {"units": units})


def _axes(low: Floats, high: Floats, spacing: float) -> list[Floats]:
    corners = np.array([low, high], float)
    if not 0 < spacing < np.inf:
        raise BadInput("spacing", "is not a spacing", got=f"{spacing} m", allowed="above 0 mm")
    if corners.shape != (2, 3) or not np.isfinite(corners).all() or not (corners[1] - corners[0] >= spacing).all():
        raise BadInput("region", "is not a box of at least one spacing along each axis", got=str(corners.tolist()), allowed="(3,) and (3,) m")
    # a whole number of steps in exact arithmetic must not become one less by rounding
    counts = np.floor((corners[1] - corners[0]) / spacing * (1 + 1e-12)).astype(int) + 1
    return [start + spacing * np.arange(count) for start, count in zip(corners[0], counts, strict=True)]


def _section(canal: Canal) -> Section:
    if not isinstance(canal.section, Section):
        raise BadInput("canal.section", "is not a meshed section", got=type(canal.section).__name__)
    return canal.section


def _labels_along(canal: Canal, x: Floats, y: Floats, z: Floats) -> NDArray[np.int16]:
    """(x, y, z) label of the triangle that each point lies in; -1 in none."""
    if not isinstance(canal.way, Way):
        return np.repeat(_labels(canal, x, y)[:, :, None], len(z), axis=2)
    return np.stack([_labels(canal, x, y, points) for points in canal.way.at(z)[0]], axis=2)


def _labels(canal: Canal, x: Floats, y: Floats, points: Floats | None = None) -> NDArray[np.int16]:
    """(x, y) label of the triangle that each point of a plane lies in, with the nodes at ``points`` (n, 2); -1 in none."""
    section = _section(canal)
    nodes = section.points if points is None else points
    labels = np.full((len(x), len(y)), -1, dtype=np.int16)
    for (a, b, c), label in zip(nodes[section.triangles[:, :3]], section.labels, strict=True):
        low, high = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)
        i, j = (slice(np.searchsorted(axis, low[k]), np.searchsorted(axis, high[k], side="right")) for k, axis in enumerate((x, y)))
        if i.start == i.stop or j.start == j.stop:
            continue
        px, py = x[i, None] - a[0], y[None, j] - a[1]
        u, v = b - a, c - a
        area = u[0] * v[1] - u[1] * v[0]
        s, t = (px * v[1] - py * v[0]) / area, (py * u[0] - px * u[1]) / area
        labels[i, j][(s >= -1e-9) & (t >= -1e-9) & (s + t <= 1 + 1e-9)] = label
    return labels


@dataclass(frozen=True)
class Cells:
    """An unstructured grid in the conventions of VTK.

    Attributes:
        points: (n, 3) m.
        cells: one (k, nodes) per type.
        types: VTK type of each entry of ``cells``.
        tissue: (cells,) label of the mesh; -1 on leads.
        contact: (cells,) number of the contact; 0 in tissue, -1 on the insulation of a lead.
    """

    points: Floats
    cells: tuple[Ints, ...]
    types: tuple[int, ...]
    tissue: Ints
    contact: Ints


def swept_cells(canal: Canal, low: Floats, high: Floats, spacing: float) -> Cells:
    """The mesh of the section swept along z in layers of ``spacing`` m, as quadratic wedges of 15 nodes.

    Triangles whose middle lies between ``low`` and ``high`` (3,) m are kept whole; where the section moves along the spine they
    move with it. ``tissue`` numbers the tissues as ``tissues_along`` names them.

    Raises:
        BadInput: corners without a triangle between them, no box, or a mesh that is too large.
    """
    section = _section(canal)
    levels = _axes(low, high, spacing)[2]
    middles = section.points[section.triangles[:, :3]].mean(axis=1)
    chosen = np.flatnonzero(((middles >= low[:2]) & (middles <= high[:2])).all(axis=1))
    if not len(chosen):
        raise BadInput("region", "holds nothing of the mesh", got=str([list(low), list(high)]))
    nodes, flat = np.unique(section.triangles[chosen], return_inverse=True)
    triangles = flat.reshape(-1, 6)
    corners, of_corner = np.unique(triangles[:, :3], return_inverse=True)
    upright = of_corner.reshape(-1, 3)
    plane = section.points[nodes]
    layer, between = len(nodes), len(corners)
    count = len(canal.contacts) * len(levels) * (layer + between)
    if count > LARGEST:
        raise BadInput("spacing", "makes a mesh that is too large", got=f"{spacing * 1e3:g} mm: {len(levels)} levels of {layer} points",
                       allowed=f"at least {spacing * 1e3 * count / LARGEST:.2g} mm")
    half = 0.5 * (levels[:-1] + levels[1:])
    # all nodes of all levels, then the corners half way between levels
    points = np.concatenate([_raised(plane, levels), _raised(plane[corners], half)])
    if isinstance(canal.way, Way):
        points[:, :2] = np.concatenate([canal.way.at(levels)[0][:, nodes].reshape(-1, 2), canal.way.at(half)[0][:, nodes[corners]].reshape(-1, 2)])
    first = len(levels) * layer
    wedges = []
    for k in range(len(levels) - 1):
        lower, upper, middle = triangles + k * layer, triangles + (k + 1) * layer, upright + first + k * between
        wedges.append(np.hstack([lower[:, :3], upper[:, :3], lower[:, 3:], upper[:, 3:], middle]))
    tissue = tissues_along(canal, half)[1][:, section.labels[chosen]].ravel()
    return Cells(points, (np.concatenate(wedges),), (QUADRATIC_WEDGE,), tissue, np.zeros(len(tissue), np.int64))


def lead_cells(shaft: Shaft, low: float, high: float, spacing: float) -> Cells:
    """The surface of a lead between heights ``low`` and ``high`` m, without its ends, as quadrilaterals of about ``spacing`` m.

    Raises:
        BadInput: the lead does not reach there.
    """
    top = min(high, shaft.z_tip)
    bottom = low if shaft.z_end is None else max(low, shaft.z_end)
    if not bottom < top:
        raise BadInput("region", f"holds nothing of lead {shaft.lead}", got=f"{low * 1e3:g} to {high * 1e3:g} mm")
    edges = [z for c in shaft.contacts for z in (c.z0, c.z1) if bottom < z < top]
    stops = np.unique(np.round([bottom, *edges, top], 9))
    levels = np.unique(np.concatenate([np.linspace(a, b, max(2, round((b - a) / spacing) + 1)) for a, b in pairwise(stops)]))
    rim, lateral = around(shaft)
    count = len(rim)
    points = _raised(rim, levels)
    points[:, :2] += np.repeat(shaft.centre(levels), count, axis=0)
    at = np.arange(count)
    ring = np.stack([at, np.roll(at, -1), np.roll(at, -1) + count, at + count], axis=1)
    quads = np.concatenate([ring + k * count for k in range(len(levels) - 1)])
    z, x = 0.5 * (levels[:-1] + levels[1:])[:, None], lateral[None]
    contact = np.full((len(levels) - 1, count), -1, dtype=np.int64)
    for c in shaft.contacts:
        side = np.ones(x.shape, bool) if c.left is None or c.right is None else (x > c.left) & (x < c.right)
        contact[(z > c.z0) & (z < c.z1) & side] = c.number
    return Cells(points, (quads,), (QUAD,), np.full(len(quads), -1, dtype=np.int64), contact.ravel())


def around(shaft: Shaft) -> tuple[Floats, Floats]:
    """Outline of a lead about its centre (k, 2) m, and for each of its edges the lateral place on the face (NaN elsewhere)."""
    if shaft.half_width is None:
        angle = np.arange(AROUND) * (2 * np.pi / AROUND)
        return shaft.radius * np.column_stack([np.cos(angle), np.sin(angle)]), np.full(AROUND, np.nan)
    flat = shaft.half_width - shaft.radius
    sides = [v for c in shaft.contacts for v in (c.left, c.right) if v is not None]
    # the face towards the dura lies anterior; its points are where contacts begin and end
    face = np.unique(np.round(np.clip([-flat, *sides, flat], -flat, flat), 9))
    bow = np.linspace(-np.pi / 2, np.pi / 2, AROUND // 2 + 1)[1:-1]
    side, middle = shaft.radius * np.column_stack([np.cos(bow), np.sin(bow)]), np.array([flat, 0.0])
    outline = np.concatenate([np.column_stack([[-flat, flat], [-shaft.radius] * 2]), middle + side,
                              np.column_stack([face[::-1], np.full(len(face), shaft.radius)]), -middle - side])
    following = np.roll(outline, -1, axis=0)
    on_face = (outline[:, 1] > shaft.radius * (1 - 1e-9)) & (following[:, 1] > shaft.radius * (1 - 1e-9))
    lateral = np.where(on_face, 0.5 * (outline[:, 0] + following[:, 0]), np.nan)
    cos, sin = np.cos(shaft.turn), np.sin(shaft.turn)
    return outline @ np.array([[cos, sin], [-sin, cos]]), lateral


def _raised(plane: Floats, levels: Floats) -> Floats:
    """(levels * n, 3) the points (n, 2) of a plane at every level, level by level."""
    return np.column_stack([np.tile(plane, (len(levels), 1)), np.repeat(levels, len(plane))])


def joined(parts: list[Cells]) -> Cells:
    """Several grids as one."""
    starts = np.cumsum([0, *(len(part.points) for part in parts)])
    cells = tuple(block + start for part, start in zip(parts, starts[:-1], strict=True) for block in part.cells)
    return Cells(np.concatenate([part.points for part in parts]), cells, tuple(kind for part in parts for kind in part.types),
                 np.concatenate([part.tissue for part in parts]), np.concatenate([part.contact for part in parts]))


def export(lead_field: LeadField, what: str, path: str | Path, maps: Maps, *, spacing: float = 0.5e-3,
           low: Floats | None = None, high: Floats | None = None) -> Path:
    """Write maps of a lead field: all of the file or nothing. Only an earlier export is replaced.

    Args:
        what: ``vti``, a regular grid with potential, activating function and tissue at its points; ``vtu``, the swept mesh and
            the surfaces of the leads with potential at points, tissue and contact of cells; ``nifti``, the potential, one
            volume per map.
        path: ending as ``WHAT`` says.
        maps: from ``contact_maps`` or ``program_maps``.
        spacing: of the grid, or of the layers of the mesh, m.
        low, high: corners (3,) m; ``region`` without them.

    Returns:
        the full path.

    Raises:
        BadInput: an unknown kind, a name that does not fit it, a place that cannot be written to, or a grid that is too large.
    """
    target = check_file(what, path)
    corners = region(lead_field.canal)
    box = (corners[0] if low is None else np.asarray(low, float), corners[1] if high is None else np.asarray(high, float))
    ending = next(end for end in WHAT[what] if target.name.endswith(end))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as work:
            beside = Path(work) / f"field{ending}"
            if what == "vtu":
                _write_vtu(lead_field, beside, maps, *box, spacing)
            else:
                values = grid(lead_field, *box, spacing)
                (_write_vti if what == "vti" else _write_nifti)(values, beside, maps)
            check_file(what, path)  # it may have appeared while the field was sampled
            os.replace(beside, target)
    except OSError as failure:
        raise BadInput(str(path), f"cannot be written to: {failure.strerror}", allowed="a file that can be written to") from None
    return target


def check_file(what: str, path: str | Path) -> Path:
    """The full path of a file that may be written; asked before anything is computed.

    Raises:
        BadInput: an unknown kind, a name that does not fit it, something that is not an earlier export, or no place for it.
    """
    if what not in WHAT:
        raise BadInput("what", "there is no such kind of file", got=what, allowed=", ".join(WHAT), hint=nearest(what, WHAT))
    target = Path(path).absolute()
    if not target.name.endswith(WHAT[what]):
        raise BadInput(str(path), f"is no name for {what}", allowed=f"a name that ends with {' or '.join(WHAT[what])}")
    above = next(parent for parent in target.parents if parent.exists())
    if target.is_dir():
        raise BadInput(str(path), "this is a folder", allowed="a file to write to")
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise BadInput(str(path), "no file can be made here", got=str(above), allowed="a folder that can be written to")
    if target.exists() and not _ours(target):
        raise BadInput(str(path), "this file was not made by epidura export", allowed="a new name, or an earlier export",
                       hint="choose another name, or move it away")
    return target


def _ours(path: Path) -> bool:
    """Whether a file is an earlier export."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return MARK in file.read(512)
    except (OSError, EOFError, zlib.error):
        return False


def _sign(path: Path, maps: Maps) -> None:
    """Put a comment into a VTK file that says what wrote it and in which units."""
    declaration, body = path.read_bytes().split(b"\n", 1)
    words = f"<!-- {MARK.decode()}: metres, RAS+ (x right, y anterior, z superior); potential in {maps.volts} -->"
    path.write_bytes(b"\n".join([declaration, words.encode(), body]))


def _write_vti(field_grid: xr.Dataset, path: Path, maps: Maps) -> None:
    from pyevtk.hl import imageToVTK

    arrays: dict[str, Any] = {}
    for name, variable in (("potential", "potential"), ("activating_function", "second_difference")):
        for title, values in zip(_titles(name, maps), maps.of(field_grid[variable].values), strict=True):
            arrays[title] = np.asfortranarray(values)
    arrays["tissue"] = np.asfortranarray(field_grid.tissue.values)
    axes = [field_grid[axis].values for axis in "xyz"]
    imageToVTK(str(path.with_suffix("")), tuple(float(axis[0]) for axis in axes), tuple(float(axis[1] - axis[0]) for axis in axes),
               pointData=arrays)
    _sign(path, maps)


def _write_vtu(lead_field: LeadField, path: Path, maps: Maps, low: Floats, high: Floats, spacing: float) -> None:
    from pyevtk.hl import unstructuredGridToVTK

    canal = lead_field.canal
    tissue = swept_cells(canal, low, high, spacing)
    leads = [lead_cells(shaft, low[2], high[2], spacing) for shaft in canal.shafts if min(high[2], shaft.z_tip) > low[2]]
    cells = joined([tissue, *leads])
    values = np.full((len(lead_field.contacts), len(cells.points)), np.nan)
    values[:, : len(tissue.points)] = lead_field.sample_or_nan(tissue.points)
    # contacts are equipotential, and the impedance matrix says at what potential; insulation has none that is known
    kinds = [np.full(len(block), kind) for block, kind in zip(cells.cells, cells.types, strict=True)]
    quads = np.concatenate([block for block, kind in zip(cells.cells, cells.types, strict=True) if kind == QUAD] or [np.empty((0, 4), int)])
    for i, number in enumerate(lead_field.contacts):
        values[:, quads[cells.contact[len(tissue.tissue):] == number].ravel()] = lead_field.impedance[i][:, None]
    points = {title: np.ascontiguousarray(one) for title, one in zip(_titles("potential", maps), maps.of(values), strict=True)}
    sizes = np.concatenate([np.full(len(block), block.shape[1]) for block in cells.cells])
    x, y, z = (np.ascontiguousarray(axis) for axis in cells.points.T)
    unstructuredGridToVTK(str(path.with_suffix("")), x, y, z, np.concatenate([block.ravel() for block in cells.cells]), np.cumsum(sizes),
                          np.concatenate(kinds).astype(np.uint8), pointData=points,
                          cellData={"tissue": cells.tissue.astype(np.int16), "contact": cells.contact.astype(np.int16)})
    _sign(path, maps)


def _write_nifti(field_grid: xr.Dataset, path: Path, maps: Maps) -> None:
    import nibabel

    # float32: the field is kept with six digits, and viewers of images expect it
    volumes = np.moveaxis(maps.of(field_grid.potential.values), 0, -1).astype(np.float32)
    axes = [field_grid[axis].values * 1e3 for axis in "xyz"]
    affine = np.diag([*(axis[1] - axis[0] for axis in axes), 1.0])
    affine[:3, 3] = [axis[0] for axis in axes]
    image = nibabel.Nifti1Image(volumes[..., 0] if len(maps.names) == 1 else volumes, affine)
    image.header.set_xyzt_units("mm")
    # 2: coordinates of the body as the case defines them, not of a scanner
    image.set_sform(affine, code=2)
    image.set_qform(affine, code=2)
    image.header.set_intent("estimate", name=f"potential {maps.volts}")
    image.header["descrip"] = f"{MARK.decode()} potential in {maps.volts}: {', '.join(maps.names)}".encode("ascii", "replace")[:79]
    nibabel.save(image, path)


def _titles(what: str, maps: Maps) -> list[str]:
    """Names of arrays with their units; several maps are told apart by their names."""
    units = {"potential": maps.volts, "activating_function": f"{maps.volts}/m2"}[what].replace("/", "_per_")
    return [f"{what}_{units}" if len(maps.names) == 1 else f"{what}_{name}_{units}" for name in maps.names]
