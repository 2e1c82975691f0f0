"""An independent solution of one spine: curved tetrahedra of NGSolve (LGPL, extra ``test``) on OpenCASCADE solids.

The spine has discs in its wall and a lead that ends at its tip, straight or oblique: what no closed form gives. Every number of
the model stands in ``Spine``. Lengths in mm, conductivities in S/m, currents in mA, potentials in V, resistances in kOhm.
Nothing of epidura is used. Netgen and NGSolve are imported where they are needed: by ``make_ngsolve`` and ``test_ngsolve_live``.
"""

from __future__ import annotations

import csv
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ellipse = tuple[float, float, float, float]
"""Half width, half depth, x and y of the centre, mm."""


@dataclass(frozen=True)
class Spine:
    """Nested elliptic cylinders along z, a wall of bone and discs, and one lead in the dorsal fat (y < 0 is dorsal).

    Attributes:
        cord, dura_inner, dura_outer, canal, bone: ellipses, mm.
        radius, half_length: of the outer cylinder about the z axis, mm; V = 0 on all of it and on both ends.
        sigma: S/m by region; ``cord_along`` is that of the cord along z, ``sigma["cord"]`` that across.
        disc_height: mm, disc in the whole ring of the wall.
        disc_centres: z of the middles of the discs, mm.
        lead_radius, lead_y: mm.
        lead_x: of the centre of a straight lead, or of an oblique one at ``pivot``, mm.
        slope: dx/dz of the centre between ``kink`` and the tip; below the kink the lead runs along z.
        pivot, kink, tip: z, mm. The lead ends flat at the tip; it is an insulator but for its contacts.
        contacts, contact_height, pitch, tip_gap: count; mm; first contact ``tip_gap`` below the tip. Edges are at constant z.
    """

    cord: Ellipse = (4.2, 3.1, 0.0, 0.0)
    dura_inner: Ellipse = (6.6, 6.0, 0.0, 0.6)
    dura_outer: Ellipse = (6.9, 6.3, 0.0, 0.6)
    canal: Ellipse = (9.5, 8.4, 0.0, -0.3)
    bone: Ellipse = (15.5, 14.4, 0.0, -0.3)
    radius: float = 30.0
    half_length: float = 60.0
    sigma: dict[str, float] = field(
        default_factory=lambda: {"cord": 0.3, "csf": 1.7, "dura": 0.6, "fat": 0.25, "bone": 0.02, "disc": 0.65, "bulk": 0.25}
    )
    cord_along: float = 0.3
    disc_height: float = 5.0
    disc_centres: tuple[float, ...] = (-50.0, -25.0, 0.0, 25.0, 50.0)
    lead_radius: float = 0.65
    lead_x: float = 0.8
    lead_y: float = -6.6
    slope: float = 0.0
    pivot: float = 3.5
    kink: float = -16.0
    tip: float = 20.0
    contacts: int = 8
    contact_height: float = 3.0
    pitch: float = 4.0
    tip_gap: float = 1.0

    def edges(self) -> list[tuple[float, float]]:
        """(lower, upper) z of each contact, the one at the tip first, mm."""
        tops = [self.tip - self.tip_gap - self.pitch * i for i in range(self.contacts)]
        return [(top - self.contact_height, top) for top in tops]

    def centre(self, z: float) -> float:
        """x of the centre of the lead at height ``z``, mm."""
        return self.lead_x + self.slope * (min(max(z, self.kink), self.tip) - self.pivot)

    def paths(self) -> list[tuple[float, float]]:
        """(x, y) of lines along z in the dorsal columns: 0.3 and 0.8 mm below the surface of the cord, mm."""
        a, b, x0, y0 = self.cord
        return [(x, y0 - b * float(np.sqrt(1 - ((x - x0) / a) ** 2)) + depth) for x in (0.0, 0.5, 1.5) for depth in (0.3, 0.8)]


@dataclass(frozen=True)
class Sizes:
    """Largest edges, mm, within ``span`` of z; they grow by ``growth`` per mm beyond.

    Attributes:
        contact: on the contacts and the shaft beside them.
        edge: on the edges of contacts.
        tissue: in cord, CSF, dura and fat.
        path: along the paths.
        far: anywhere.
        dura: on the faces of the dura.
        span: mm.
        grading: of Netgen.
    """

    contact: float = 0.45
    edge: float = 0.25
    tissue: float = 1.3
    path: float = 0.9
    far: float = 6.0
    dura: float = 2.2
    span: tuple[float, float] = (-20.0, 26.0)
    growth: float = 0.12
    grading: float = 0.35


FINE, COARSE = Sizes(), Sizes(contact=0.6, edge=0.35, tissue=1.7, path=1.15, far=8.0)


def elliptic_cylinder(ellipse: Ellipse, z0: float, z1: float) -> Any:
    """Solid of OpenCASCADE between two heights, mm."""
    from netgen.occ import Axes, WorkPlane, X, Z

    a, b, x, y = ellipse
    return WorkPlane(Axes((x, y, z0), n=Z, h=X)).Ellipse(a, b).Face().Extrude(z1 - z0)


def sheared_cylinder(x0: float, x1: float, y: float, radius: float, z0: float, z1: float) -> Any:
    """Solid whose section at constant z is a circle with its centre on the line from (x0, y, z0) to (x1, y, z1), mm."""
    from netgen.occ import Axes, Vec, WorkPlane, X, Z

    return WorkPlane(Axes((x0, y, z0), n=Z, h=X)).Circle(radius).Face().Extrude(Vec(x1 - x0, 0.0, z1 - z0))


def lead_pieces(model: Spine) -> list[tuple[str, Any]]:
    """Solids of the lead from below, each named after what its side is: ``shaft`` or ``c0``, ``c1`` ..."""
    stops = sorted({-model.half_length, model.tip, *(z for pair in model.edges() for z in pair), *([model.kink] if model.slope else [])})
    names = {low: f"c{i}" for i, (low, _) in enumerate(model.edges())}
    return [
        (names.get(a, "shaft"), sheared_cylinder(model.centre(a), model.centre(b), model.lead_y, model.lead_radius, a, b))
        for a, b in pairwise(stops)
    ]


def spine_solids(model: Spine) -> Any:
    """The glued solids without the lead: materials after ``Spine.sigma``, faces ``ground``, ``shaft``, ``c0`` ..."""
    from netgen.occ import Cylinder, Glue, Z

    low, high = -model.half_length, model.half_length
    layers = [elliptic_cylinder(e, low, high) for e in (model.cord, model.dura_inner, model.dura_outer, model.canal, model.bone)]
    box = Cylinder((0, 0, low), Z, r=model.radius, h=high - low)
    fat = layers[3] - layers[2]
    for name, piece in lead_pieces(model):
        piece.faces.name = name
        fat = fat - piece
    cuts = sorted({low, high, *(z for c in model.disc_centres for z in (c - model.disc_height / 2, c + model.disc_height / 2))})
    wall = []
    for a, b in pairwise(cuts):
        ring = elliptic_cylinder(model.bone, a, b) - elliptic_cylinder(model.canal, a, b)
        wall.append(ring.mat("disc" if any(abs((a + b) / 2 - c) < 1e-6 for c in model.disc_centres) else "bone"))
    parts = [
        layers[0].mat("cord"), (layers[1] - layers[0]).mat("csf"), (layers[2] - layers[1]).mat("dura"), fat.mat("fat"),
        *wall, (box - layers[4]).mat("bulk"),
    ]  # fmt: skip
    return Glue(parts)


def spine_mesh(model: Spine, sizes: Sizes, levels: int = 1, factor: float = 0.2, curve: int = 3) -> Any:
    """Tetrahedra, with ``levels`` geometric layers (``factor``) of prisms about the edges of contacts, curved."""
    from netgen.meshing import MeshingParameters, SetMessageImportance
    from netgen.occ import OCCGeometry
    from ngsolve import Mesh

    SetMessageImportance(0)
    solids = spine_solids(model)
    for face in solids.faces:
        end = abs(abs(face.center.z) - model.half_length) < 1e-6
        if end or face.mass > 0.99 * 4 * np.pi * model.radius * model.half_length:  # no other face is as large as the outer one
            face.name = "ground"
    heights = {round(z, 9) for pair in model.edges() for z in pair}
    for edge in solids.edges:
        z = edge.center.z
        if round(z, 6) in heights and np.hypot(edge.center.x - model.centre(z), edge.center.y - model.lead_y) < 0.1 * model.lead_radius:
            edge.hpref = 1
    mp = MeshingParameters(maxh=sizes.far, grading=sizes.grading, curvaturesafety=1.0, segmentsperedge=0.3)

    def grown(size: float, z: float) -> float:
        return min(sizes.far, size + sizes.growth * max(0.0, sizes.span[0] - z, z - sizes.span[1]))

    def restrict(x: float, y: float, z: float, size: float) -> None:
        mp.RestrictH(x=x, y=y, z=z, h=size)

    z = -model.half_length
    while z <= model.half_length:
        size = grown(sizes.tissue, z)
        for a, b, x0, y0 in (model.cord, model.dura_inner, model.dura_outer, model.canal):
            # chords on the two faces of the thin dura must not cross: edge < sqrt(8 radius thickness)
            here = min(size, sizes.dura) if a in (model.dura_inner[0], model.dura_outer[0]) else size
            count = int(np.ceil(2 * np.pi * max(a, b) / here))
            for angle in 2 * np.pi * np.arange(count) / count:
                restrict(x0 + a * np.cos(angle), y0 + b * np.sin(angle), z, here)
        for x, y in model.paths():
            restrict(x, y, z, grown(sizes.path, z))
            restrict(-x, y, z, grown(sizes.path, z))
        for angle in 2 * np.pi * np.arange(4) / 4:
            restrict(model.centre(z) + model.lead_radius * np.cos(angle), model.lead_y + model.lead_radius * np.sin(angle), z, min(0.8, size))
        z += 0.7 * min(size, sizes.dura)
    low, high = model.edges()[-1][0] - 1.0, model.tip
    for z in np.arange(low, high + 1e-9, 0.5):
        size = sizes.edge if min(abs(z - h) for h in (*heights, high)) < 0.3 else sizes.contact
        for angle in 2 * np.pi * np.arange(8) / 8:
            restrict(model.centre(z) + model.lead_radius * np.cos(angle), model.lead_y + model.lead_radius * np.sin(angle), z, size)
    mesh = Mesh(OCCGeometry(solids).GenerateMesh(mp=mp))
    if levels:
        mesh.RefineHP(levels, factor)
    mesh.Curve(curve)
    return mesh


@dataclass(frozen=True)
class Solved:
    """Impedances and potentials along the paths.

    Attributes:
        impedance: (contacts, contacts) kOhm.
        z: heights of the samples, mm.
        potential: (contacts, paths, z) V per mA, other contacts floating.
        unknowns, elements: counts.
        seconds: assembly, factorisation and solution.
    """

    impedance: Floats
    z: Floats
    potential: Floats
    unknowns: int
    elements: int
    seconds: float


SAMPLES = np.linspace(-33.0, 33.0, 661)


def solve_spine(model: Spine, mesh: Any, order: int, path_order: int = 0, z: Floats = SAMPLES, log: bool = False) -> Solved:
    """Every contact, on a mesh of the model, by one sparse Cholesky factorisation.

    Each contact at 1 V in turn, the others and the ground at 0 V; currents from the energies a(u_i, u_j), whose error is the square
    of that of the fields; the inverse gives impedances, and superposition the potentials for unit currents.
    Elements of the cord that the paths run through, and their neighbours, may have a higher order, because second differences of
    cubic elements are noisy.
    """
    from ngsolve import H1, BilinearForm, CoefficientFunction, GridFunction, InnerProduct, dx, grad

    start = time.perf_counter()
    contacts = [f"c{i}" for i in range(model.contacts)]
    space = H1(mesh, order=order, dirichlet="|".join([*contacts, "ground"]))
    if path_order > order:
        _raise_order(model, mesh, space, path_order, z)
    u, v = space.TnT()
    across = mesh.MaterialCF(model.sigma)
    along = mesh.MaterialCF({**model.sigma, "cord": model.cord_along})
    form = BilinearForm(space, symmetric=True)
    flux = CoefficientFunction((across * grad(u)[0], across * grad(u)[1], along * grad(u)[2]))
    form += InnerProduct(flux, grad(v)) * dx
    form.Assemble()
    inverse = form.mat.Inverse(space.FreeDofs(), "sparsecholesky")
    if log:
        print(f"  {space.ndof} unknowns, {mesh.ne} elements, ready after {time.perf_counter() - start:.0f} s", flush=True)
    fields, images = [], []
    for name in contacts:
        g = GridFunction(space)
        g.Set(1.0, definedon=mesh.Boundaries(name))
        residual = (-form.mat * g.vec).Evaluate()
        g.vec.data += inverse * residual
        fields.append(g)
        images.append((form.mat * g.vec).Evaluate())
    charge = np.array([[InnerProduct(g.vec, image) for image in images] for g in fields])
    impedance = np.linalg.inv(0.5 * (charge + charge.T))
    raw = np.empty((model.contacts, len(model.paths()), len(z)))
    for p, (x, y) in enumerate(model.paths()):
        at = mesh(np.full(len(z), x), np.full(len(z), y), z)
        for i, g in enumerate(fields):
            raw[i, p] = np.asarray(g(at)).ravel()
    potential = np.einsum("ij,jpz->ipz", impedance, raw)
    return Solved(impedance, z, potential, space.ndof, mesh.ne, time.perf_counter() - start)


def _raise_order(model: Spine, mesh: Any, space: Any, order: int, z: Floats) -> None:
    """Order of the elements of the cord with a vertex in common with one that a path crosses."""
    from ngsolve import CELL, VOL, ElementId, NodeId

    crossed = {int(mesh(x, y, float(height)).nr) for x, y in model.paths() for height in z}
    near = {vertex.nr for nr in crossed for vertex in mesh[ElementId(VOL, nr)].vertices}
    for element in mesh.Elements(VOL):
        if element.mat == "cord" and any(vertex.nr in near for vertex in element.vertices):
            for node in (*element.edges, *element.faces):
                space.SetOrder(node, order)
            space.SetOrder(NodeId(CELL, element.nr), order)
    space.UpdateDofTables()


def read(name: str) -> list[dict[str, str]]:
    """Rows of a table in ``data/`` whose first line is a comment."""
    with (Path(__file__).parent / "data" / name).open() as lines:
        return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def smooth(z: Floats, values: Floats, at: Floats, half_width: float = 4.0, degree: int = 8) -> Floats:
    """Polynomials fitted to ``values`` (..., z) by least squares within ``half_width`` mm of each of ``at``, (..., at)."""
    out = np.empty((*values.shape[:-1], len(at)))
    for k, here in enumerate(at):
        near = np.abs(z - here) <= half_width + 1e-9
        weights = np.linalg.pinv(np.vander((z[near] - here) / half_width, degree + 1, increasing=True))[0]
        out[..., k] = values[..., near] @ weights
    return out


def second_difference(v: Floats) -> Floats:
    """v(z + 1 mm) - 2 v(z) + v(z - 1 mm) of values 1 mm apart."""
    return v[..., 2:] - 2 * v[..., 1:-1] + v[..., :-2]
