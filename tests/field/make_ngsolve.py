"""Regenerates ``data/ngsolve_*.csv``: ``python tests/field/make_ngsolve.py`` (extra ``test``; 2 threads, 7 GB, some 20 minutes).

``python tests/field/make_ngsolve.py straight aniso fine FOLDER`` solves one only and leaves its result in the folder;
``python tests/field/make_ngsolve.py write FOLDER`` writes the tables from there.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from dataclasses import replace
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np
from mesh_peer import COARSE, FINE, SAMPLES, Spine, second_difference, smooth, solve_spine, spine_mesh

DATA = Path(__file__).parent / "data"
ORDER, PATH_ORDER, LEVELS, FACTOR = 3, 5, 2, 0.2
OBLIQUE = float(np.tan(np.deg2rad(10.0)))
FITS = {"coarse": (4.0, 8), "fine": (4.0, 8), "paths": (2.0, 6)}  # half width in mm and degree, along z
HEIGHTS = np.arange(-31.0, 32.0)  # mm
CASES = ("iso", "aniso")
GRADES = ("coarse", "fine", "paths")


def model(shape: str, case: str) -> Spine:
    """A lead ``straight`` or ``oblique``, a cord ``iso`` or ``aniso``."""
    spine = Spine(slope=OBLIQUE if shape == "oblique" else 0.0)
    return spine if case == "iso" else replace(spine, sigma={**spine.sigma, "cord": 0.083}, cord_along=0.6)


def solve(shape: str, case: str, grade: str, folder: Path) -> None:
    """Solve on one mesh."""
    from ngsolve import SetNumThreads, TaskManager

    SetNumThreads(2)
    with TaskManager():
        mesh = spine_mesh(model(shape, case), FINE if grade == "fine" else COARSE, LEVELS, FACTOR, ORDER)
        solved = solve_spine(model(shape, case), mesh, ORDER, PATH_ORDER if grade == "paths" else ORDER, log=True)
    print(f"{shape} {case} {grade}: {solved.seconds:.0f} s", flush=True)
    np.savez(folder / f"{shape}_{case}_{grade}.npz", impedance=solved.impedance, potential=solved.potential, unknowns=solved.unknowns)


def write(folder: Path) -> None:
    """The tables: impedances of the fine mesh, potentials of the one with high order at the paths; errors are differences of two meshes."""
    head = f"# ngsolve {version('ngsolve')}, netgen-mesher {version('netgen-mesher')}, order {ORDER}; model: mesh_peer.Spine; see make_ngsolve.py"
    with (DATA / "ngsolve_spine_impedance.csv").open("w", newline="") as one, (DATA / "ngsolve_spine_paths.csv").open("w", newline="") as two:
        impedances, paths = csv.writer(one, lineterminator="\n"), csv.writer(two, lineterminator="\n")
        one.write(head + "\n")
        two.write(head + f"; V fitted along z (mm, degree: {FITS})\n")
        impedances.writerow(["lead", "cord", "i", "j", "Z_kOhm", "error_kOhm"])
        paths.writerow(["lead", "cord", "contact", "x_mm", "y_mm", "z_mm", "V_volt_per_mA", "error_V", "second_difference_error_V"])
        for shape in ("straight", "oblique"):
            for case in CASES:
                files = {grade: folder / f"{shape}_{case}_{grade}.npz" for grade in GRADES}
                runs = {grade: np.load(file) for grade, file in files.items() if file.exists()}
                if len(runs) < 2 or "coarse" not in runs:
                    print(f"{shape} {case} left out: not solved on two meshes")
                    continue
                best = "paths" if "paths" in runs else "fine"
                check = "fine" if best == "paths" and "fine" in runs else "coarse"
                z, other = (runs[grade]["impedance"] for grade in (("fine" if "fine" in runs else "paths"), "coarse"))
                for i in range(len(z)):
                    for j in range(i, len(z)):
                        impedances.writerow([shape, case, i + 1, j + 1, f"{z[i, j]:.7f}", f"{abs(z[i, j] - other[i, j]):.1e}"])
                v, rough = (smooth(SAMPLES, runs[grade]["potential"], HEIGHTS, *FITS[grade]) for grade in (best, check))
                error = np.abs(v - rough).max(axis=-1)
                curve = np.abs(second_difference(v) - second_difference(rough)).max(axis=-1)
                largest = np.abs(second_difference(v)).max(axis=-1)
                raw = second_difference(runs[best]["potential"][..., 20:-19:10])
                noise = np.abs(raw - second_difference(v)).max(axis=-1) / largest
                print(shape, case, {grade: int(run["unknowns"]) for grade, run in runs.items()}, "impedance", float(np.abs(z / other - 1).max()),
                      f"V, {best} against {check}", float((error / v.max(axis=-1)).max()),
                      "difference", float((curve / largest)[[0, 3, 7]].max()), "fitted against raw", float(noise[[0, 3, 7]].max()))  # fmt: skip
                for contact in (1, 4, 8):
                    for p, (x, y) in enumerate(model(shape, case).paths()):
                        for k, height in enumerate(HEIGHTS):
                            paths.writerow([shape, case, contact, f"{x:g}", f"{y:.6f}", f"{height:g}", f"{v[contact - 1, p, k]:.8e}",
                                            f"{error[contact - 1, p]:.1e}", f"{curve[contact - 1, p]:.1e}"])  # fmt: skip


def main(words: list[str]) -> None:
    """See the module."""
    if words and words[0] == "write":
        write(Path(words[1]))
    elif words:
        solve(words[0], words[1], words[2], Path(words[3]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            for shape, case, grade in product(("straight", "oblique"), CASES, GRADES):
                subprocess.run([sys.executable, __file__, shape, case, grade, folder], check=True)  # each gives its memory back
            write(Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
