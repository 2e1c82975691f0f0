"""Speed and size: ``python -m benchmarks`` prints a Markdown table for docs/benchmarks.md. Ratios, never limits.

``python -m benchmarks demo`` runs one demo in this process and prints its figures as JSON (used by the former).
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np


def best(what: Callable[[], object], times: int = 5) -> float:
    """Shortest of some runs, s."""
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        what()
        spent.append(time.perf_counter() - start)
    return min(spent)


def fibre_rows() -> list[tuple[str, str]]:
    """The full cable written out plainly, then everything that ``epidura bench fibre`` measures."""
    from epidura.bench import fibre
    from epidura.numerics import cable_reference
    from epidura.single_fibre import Trial

    trial = Trial("mrg", fibre.DIAMETER, 1e-3, fibre.PULSE, fibre.SIGMA, fibre.SIGMA, nodes=fibre.NODES, scheme="backward-euler")
    cable, volts, samples = trial.axon().cable(np.array([fibre.DIAMETER])), trial.potentials(), trial.samples()
    plain = best(lambda: cable_reference.run(cable, fibre.NODES, volts, samples, fibre.DT, 1.34e-4, round(fibre.DURATION / fibre.DT)), 2)
    rows = [("full cable, plain NumPy/SciPy, 5 ms at 5 us", f"{plain * 1e3:.0f} ms: {plain / fibre.simulation():,.0f} x the engine in float32")]
    for row in fibre.measure():
        goals = f" (floor {row.floor:,g}, goal {row.goal:,g})" if row.floor is not None else ""
        value = "" if row.value is None else f"{row.value:,.4g} {row.unit}" if row.value < 1000 else f"{row.value:,.0f} {row.unit}"
        rows.append((row.name, "; ".join(filter(None, (value + goals if value else "", row.ratio, row.note)))))
    return rows


def field_rows() -> list[tuple[str, str]]:
    """The field of the demo without a tip, with the batched factorisation and with SuperLU."""
    import epidura as ep
    from epidura.field import axis_of
    from epidura.numerics.sweep import solve_contacts

    case = ep.read(str(Path(__file__).parent.parent / "examples" / "failed_back_surgery.yaml"))
    canal = ep.build_canal(case.anatomy, case.leads, tips=False)
    z = axis_of(canal)

    def on(height: float) -> float:
        return float(z[np.abs(z - height).argmin()])

    places = [(shaft.lead, on(c.z0), on(c.z1)) for shaft in canal.shafts for c in shaft.contacts]
    sigma = [np.array([getattr(t, name) for t in canal.tissues]) for name in ("transverse", "longitudinal")]
    spent = {solver: best(lambda solver=solver: solve_contacts(canal.section, z, *sigma, places, solver=solver), 2)  # type: ignore[misc]
             for solver in ("ldlt", "splu")}
    unknowns = len(canal.section.points) * len(z)
    return [("field, mesh of the canal", f"{best(lambda: ep.build_canal(case.anatomy, case.leads), 3):.2f} s"),
            (f"field without tip, 8 contacts, {unknowns:,} unknowns, batched LDL^T, two threads", f"{spent['ldlt']:.1f} s"),
            ("the same with SuperLU", f"{spent['splu']:.1f} s: {spent['splu'] / spent['ldlt']:.1f} x as long")]


def demo_rows() -> list[tuple[str, str]]:
    """The whole demo in processes of their own: nothing cached, then everything."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        inside = {**os.environ, "EPIDURA_CACHE": f"{folder}/fields", "NUMBA_CACHE_DIR": f"{folder}/numba"}
        for words in ("cold: nothing compiled, no field", "warm"):
            start = time.perf_counter()
            done = subprocess.run([sys.executable, "-m", "benchmarks", "demo", f"{folder}/result"], env=inside, check=True,
                                  capture_output=True, text=True, cwd=Path(__file__).parent.parent)
            spent, figures = time.perf_counter() - start, json.loads(done.stdout)
            verbs = ", ".join(f"{verb} {seconds:.1f}" for verb, seconds in figures["timings_s"].items())
            rows.append((f"demo, {words}", f"{spent:.1f} s ({verbs}); peak memory {figures['memory_gb']:.2f} GB"))
    imports = min(float(subprocess.run([sys.executable, "-c", "import time; t = time.perf_counter(); import epidura; print(time.perf_counter() - t)"],
                                       check=True, capture_output=True, text=True).stdout) for _ in range(5))
    return [*rows, ("import epidura", f"{imports * 1e3:.0f} ms")]


def demo(folder: str) -> None:
    """One demo in this process."""
    import epidura as ep

    result = ep.run(ep.read(str(Path(__file__).parent.parent / "examples" / "failed_back_surgery.yaml")))
    ep.save(result, folder)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({**result.summary(), "memory_gb": memory}))


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["demo"]:
        demo(sys.argv[2])
        return
    names = ("epidura", "numpy", "scipy", "numba", "llvmlite", "netgen-mesher")
    print(f"{_processor()}, {os.cpu_count()} cores; Python {platform.python_version()}, " + ", ".join(f"{n} {version(n)}" for n in names) + "\n")
    print("| what | measured |\n|---|---|")
    for rows in (fibre_rows, field_rows, demo_rows):
        for what, measured in rows():
            print(f"| {what} | {measured} |", flush=True)


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
