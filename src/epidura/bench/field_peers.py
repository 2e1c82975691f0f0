"""What the field solver is raced against: tetrahedra of NGSolve (LGPL, extra ``peers``) and algebraic multigrid of PyAMG (MIT).

Tetrahedra solve a point source in concentric cylinders (``tests/field/data/c_cylinder.csv``, domain R30_L120), where the answer is known.
The source is a ball of current (1 - s²)³ of 0.6 mm: outside it is exactly a point source, so that nothing singular is meshed.
Lengths in mm, conductivities in S/m, 1 mA: V is per mA.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epidura.errors import Failed

Floats = NDArray[np.float64]

RADII = {"cord": 5.0, "csf": 7.0, "dura": 7.3, "fat": 10.0, "bone": 30.0}  # mm
HALF_LENGTH = 60.0  # mm
SIGMA = {"cord": 0.3, "csf": 1.7, "dura": 0.03, "fat": 0.04, "bone": 0.02}  # S/m
CORD = {"iso": (0.3, 0.3), "aniso": (0.083, 0.6)}  # across, along, S/m
SOURCE, BALL = 8.0, 0.6  # mm from the axis, radius
REACH = 30.0  # mm, of the heights that count
DURA_EDGE = 2.2  # mm: chords of the two faces of the dura must not cross


def available(name: str) -> str | None:
    """None if ``ngsolve`` or ``pyamg`` can be used here, else why not."""
    return None if find_spec(name) is not None else f"{name} is not installed (pip install 'epidura[peers]')"


# Tetrahedra


@dataclass(frozen=True)
class Errors:
    """Largest errors on |z| <= 30 mm, as fractions.

    Attributes:
        value: of V, of each value, on the lines in the cord.
        difference: of the 1 mm second difference on the lines in the cord, of the largest of its line.
        everywhere: as ``difference``, on all lines of the table.
    """

    value: float
    difference: float
    everywhere: float


@dataclass(frozen=True)
class Tetrahedra:
    """One run.

    Attributes:
        order, size: of the elements, and largest edge in and about the cord, mm.
        unknowns, elements: counts.
        meshing, solving: seconds by the clock; ``solving`` is assembly, factorisation or preconditioner, and one right-hand side.
        processor: seconds of processor time of both, summed over threads.
        errors: against the table.
    """

    order: int
    size: float
    unknowns: int
    elements: int
    meshing: float
    solving: float
    processor: float
    errors: Errors

    @property
    def seconds(self) -> float:
        """Everything, by the clock."""
        return self.meshing + self.solving


def cylinder_errors(oracle: Path, case: str, potential: Callable[[Floats], Floats]) -> Errors:
    """Errors of any solver on the point source in cylinders.

    Args:
        oracle: ``c_cylinder.csv``.
        case: ``iso`` or ``aniso``.
        potential: V per mA at points (n, 3) mm from the axis and the height of the source, which is at (8, 0, 0).
    """
    lines: dict[tuple[float, float], list[tuple[float, float, float]]] = {}
    with oracle.open() as rows:
        for row in csv.DictReader(rows):
            if row["case"] == case and row["domain"] == "R30_L120" and float(row["z_mm"]) <= REACH:
                line = float(row["r_mm"]), math.radians(float(row["phi_deg"]))
                lines.setdefault(line, []).append((float(row["z_mm"]), float(row["V_volt_per_mA"]), float(row["d2Vdz2_V_per_mm2_per_mA"])))
    value, difference, everywhere = 0.0, 0.0, 0.0
    for (r, angle), found in lines.items():
        z, want, second = np.array(found).T
        at = np.column_stack([np.full(3 * len(z), r * math.cos(angle)), np.full(3 * len(z), r * math.sin(angle)), np.concatenate([z - 1, z, z + 1])])
        before, here, after = potential(at).reshape(3, -1)
        # within 9 mm the table gives the second difference itself, beyond it the derivative is as good
        close = np.flatnonzero(z <= 9.0)
        second[close] = want[close + 2] - 2 * want[close] + want[np.abs(close - 2)]
        off = float(np.abs(before - 2 * here + after - second).max() / np.abs(second).max())
        everywhere = max(everywhere, off)
        if r < RADII["cord"]:
            difference = max(difference, off)
            value = max(value, float(np.abs(here / want - 1).max()))
    return Errors(value, difference, everywhere)


def tetrahedra(order: int, size: float, oracle: Path, case: str = "iso", *, source: float = 0.3, growth: float = 0.15, far: float = 8.0,
               solver: str = "bddc", cores: int = 1) -> Tetrahedra:  # fmt: skip
    """Mesh, solve and compare; potentials are taken from the elements as they are.

    Args:
        order: of the elements, whose sides are curved alike.
        size: largest edge in cord, CSF, dura and fat within 12 mm of the source along z, mm.
        oracle: ``c_cylinder.csv``.
        case: ``iso`` or ``aniso`` cord.
        source: edge at the source, mm.
        growth: of edges per mm, beyond 12 mm.
        far: largest edge anywhere, mm.
        solver: ``bddc`` (conjugate gradients to 1e-8) or ``sparsecholesky`` (direct).
        cores: threads of NGSolve; idle ones spin, so that processor time is only fair with one on a busy machine.

    Raises:
        Failed: NGSolve is not here.
    """
    reason = available("ngsolve")
    if reason is not None:
        raise Failed(reason)
    import ngsolve as ng

    across, along = CORD[case]
    ng.SetNumThreads(cores)
    start, used = time.perf_counter(), time.process_time()
    with ng.TaskManager():
        mesh = _cylinders(size, source, growth, far, order)
        meshed = time.perf_counter()
        space = ng.H1(mesh, order=order, dirichlet="ground")
        u, v = space.TnT()
        transverse, axial = mesh.MaterialCF({**SIGMA, "cord": across}), mesh.MaterialCF({**SIGMA, "cord": along})
        form = ng.BilinearForm(space, symmetric=True)
        flux = ng.CoefficientFunction((transverse * ng.grad(u)[0], transverse * ng.grad(u)[1], axial * ng.grad(u)[2]))
        form += ng.InnerProduct(flux, ng.grad(v)) * ng.dx
        preconditioner = ng.Preconditioner(form, "bddc") if solver == "bddc" else None
        form.Assemble()
        s2 = ((ng.x - SOURCE) ** 2 + ng.y**2 + ng.z**2) / BALL**2
        density = ng.IfPos(1 - s2, (1 - s2) ** 3, 0.0)
        load = ng.LinearForm(space)
        load += density * v * ng.dx(definedon=mesh.Materials("fat"), bonus_intorder=6)
        load.Assemble()
        one = ng.GridFunction(space)
        one.vec[:] = 0.0
        one.vec[: mesh.nv] = 1.0  # functions of vertices sum to 1, others do not count
        current = ng.InnerProduct(one.vec, load.vec)
        inverse = (form.mat.Inverse(space.FreeDofs(), "sparsecholesky") if preconditioner is None
                   else ng.CGSolver(form.mat, preconditioner.mat, tol=1e-8, maxiter=1000))  # fmt: skip
        field = ng.GridFunction(space)
        field.vec.data = (1.0 / current) * (inverse * load.vec)
    solved, spent = time.perf_counter(), time.process_time()

    def potential(points: Floats) -> Floats:
        return np.asarray(field(mesh(*(np.ascontiguousarray(c) for c in points.T))), dtype=float).ravel()

    return Tetrahedra(order, size, space.ndof, mesh.ne, meshed - start, solved - meshed, spent - used, cylinder_errors(oracle, case, potential))


def _cylinders(size: float, source: float, growth: float, far: float, curve: int) -> Any:
    """Curved mesh of the concentric cylinders, edges in mm."""
    from netgen.meshing import MeshingParameters, SetMessageImportance
    from netgen.occ import Cylinder, Glue, OCCGeometry, Z
    from ngsolve import Mesh

    SetMessageImportance(0)
    solids = [Cylinder((0, 0, -HALF_LENGTH), Z, r=r, h=2 * HALF_LENGTH) for r in RADII.values()]
    parts = [outer if inner is None else outer - inner for outer, inner in zip(solids, [None, *solids[:-1]], strict=True)]
    whole = Glue([part.mat(name) for part, name in zip(parts, RADII, strict=True)])
    for face in whole.faces:
        if abs(abs(face.center.z) - HALF_LENGTH) < 1e-6 or face.mass > 0.99 * 4 * math.pi * RADII["bone"] * HALF_LENGTH:
            face.name = "ground"
    wanted = MeshingParameters(maxh=far, grading=0.35, curvaturesafety=1.0, segmentsperedge=0.3)
    z = -HALF_LENGTH
    while z <= HALF_LENGTH:
        here = min(far, size + growth * max(0.0, abs(z) - 12.0))
        for name in ("cord", "csf", "dura", "fat"):
            edge = min(here, DURA_EDGE) if name in ("csf", "dura") else here
            for angle in np.arange(0, 2 * np.pi, edge / RADII[name]):
                wanted.RestrictH(x=RADII[name] * math.cos(angle), y=RADII[name] * math.sin(angle), z=z, h=edge)
        for r in np.arange(0, RADII["cord"], here):
            for angle in np.arange(0, 2 * np.pi, here / max(r, here)):
                wanted.RestrictH(x=r * math.cos(angle), y=r * math.sin(angle), z=z, h=here)
        z += 0.7 * min(here, DURA_EDGE)
    for x, y, height in np.array(np.meshgrid(*[[-BALL, -0.3, 0, 0.3, BALL]] * 3)).reshape(3, -1).T:
        wanted.RestrictH(x=SOURCE + x, y=y, z=height, h=source)
    mesh = Mesh(OCCGeometry(whole).GenerateMesh(mp=wanted))
    mesh.Curve(curve)
    return mesh


# Algebraic multigrid


@dataclass(frozen=True)
class Amg:
    """One run of conjugate gradients with smoothed aggregation.

    Attributes:
        solution: as the right-hand sides.
        iterations: of each right-hand side.
        setup, solving: seconds by the clock; ``solving`` for all right-hand sides.
        residual: largest relative residual.
        complexity: entries of all levels over those of the matrix.
    """

    solution: Floats
    iterations: tuple[int, ...]
    setup: float
    solving: float
    residual: float
    complexity: float


def amg(matrix: Any, rhs: Floats, tolerance: float = 1e-8, most: int = 1000) -> Amg:
    """Solve ``matrix`` x = ``rhs`` with PyAMG.

    Args:
        matrix: symmetric positive definite, scipy.sparse, known nodes removed.
        rhs: (n,) or (n, k), one after the other.
        tolerance: relative residual.
        most: iterations.

    Raises:
        Failed: PyAMG is not here, or it did not converge.
    """
    reason = available("pyamg")
    if reason is not None:
        raise Failed(reason)
    import pyamg
    from scipy.sparse import csr_matrix

    start = time.perf_counter()
    rows = csr_matrix(matrix)
    rows.indices, rows.indptr = rows.indices.astype(np.int32), rows.indptr.astype(np.int32)
    levels = pyamg.smoothed_aggregation_solver(rows, strength="symmetric", max_coarse=500)
    ready = time.perf_counter()
    columns = rhs[:, None] if rhs.ndim == 1 else rhs
    solution, counts = np.empty(columns.shape), []
    for k in range(columns.shape[1]):
        history: list[float] = []
        solution[:, k] = levels.solve(np.ascontiguousarray(columns[:, k]), tol=tolerance, maxiter=most, accel="cg", residuals=history)
        counts.append(len(history) - 1)
    done = time.perf_counter()
    left = np.linalg.norm(columns - rows @ solution, axis=0) / np.linalg.norm(columns, axis=0)
    if left.max() > 10 * tolerance:
        raise Failed(f"multigrid left a residual of {left.max():.1e} after {max(counts)} iterations")
    return Amg(solution.reshape(rhs.shape), tuple(counts), ready - start, done - ready, float(left.max()), float(levels.operator_complexity()))
