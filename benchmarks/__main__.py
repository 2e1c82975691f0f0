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

NEURON_S = 0.338
"""One 5 ms run of one 8.7 um fibre of 51 nodes at 5 us in bare NEURON 9.0.2, one core of an AMD Zen 5: measured once, elsewhere."""


def best(what: Callable[[], object], times: int = 5) -> float:
    """Shortest of some runs, s."""
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        what()
        spent.append(time.perf_counter() - start)
    return min(spent)


def fibre_rows() -> list[tuple[str, str]]:
    """Time of one 5 ms run of one fibre, and thresholds per minute."""
    from epidura.numerics import cable_kernel as kernel
    from epidura.numerics import cable_reference
    from epidura.numerics.cable import _Lot, _plan
    from epidura.single_fibre import Trial, point_source_thresholds
    from epidura.waveform import Course

    rows = []
    trial = Trial("mrg", 8.7e-6, 1e-3, Course.of((1e-4, 1.0)), 0.2, 0.2, nodes=51, scheme="backward-euler")
    volts, samples = trial.potentials()[None], trial.samples()
    plain = best(lambda: cable_reference.run(trial.axon().cable(np.array([8.7e-6])), 51, volts[0], samples, 5e-6, 1.34e-4, 1000), 2)
    rows.append(("full cable, plain NumPy/SciPy, 5 ms at 5 us", f"{plain * 1e3:.0f} ms"))
    for scheme, second in (("backward-euler", False), ("second-order", True)):
        for precision, lanes in (("float32", 16), ("float64", 8)):
            engine = trial.axon().engine(np.full(lanes, 8.7e-6), 51, np.repeat(volts, lanes, 0), samples, 5e-6, scheme, precision)
            lot = _Lot(engine, np.arange(lanes))
            plan = _plan(engine.samples, engine.dt, 1000, 1000, second).tuple()
            amplitude, nothing = np.full(lanes, 1.34e-4, lot.state.dtype), np.empty(0, lot.state.dtype)

            def run(lot: _Lot = lot, plan: object = plan, amplitude: object = amplitude, nothing: object = nothing) -> None:
                kernel.run(51, lot.state.copy(), lot.work, lot.modes, lot.sums, lot.drive, amplitude, plan, *lot.shared, 45, False,
                           np.empty(0, np.int64), nothing)

            one = best(run) / lanes
            ratios = f"{plain / one:,.0f} x plain, {NEURON_S / one:,.0f} x NEURON"
            rows.append((f"engine, {scheme}, {precision}, one core", f"{one * 1e3:.3f} ms: {ratios}"))
    trials = [Trial("mrg", 8.7e-6, d, Course.of((1e-4, 1.0)), 0.2, 0.2) for d in np.geomspace(0.5e-3, 5e-3, 320)]
    spent = best(lambda: point_source_thresholds(trials, "float32", 1e-3), 2)
    rows.append(("thresholds to 0.1 %, second-order, float32, two threads", f"{60 * len(trials) / spent:,.0f} per minute"))
    return rows


def field_rows() -> list[tuple[str, str]]:
    """The field of the demo, with the batched factorisation and with SuperLU."""
    import epidura as ep
    from epidura import field
    from epidura.numerics.sweep import axis, solve_contacts

    case = ep.read(str(Path(__file__).parent.parent / "examples" / "failed_back_surgery.yaml"))
    canal = ep.build_canal(case.anatomy, case.leads)
    places = [(shaft.lead, c.z0, c.z1) for shaft in canal.shafts for c in shaft.contacts]
    z = axis(sorted({edge for _, z0, z1 in places for edge in (z0, z1)}), field.HALF_LENGTH, field.FINE, field.COARSE, field.GROWTH, field.REACH)
    sigma = [np.array([getattr(t, name) for t in canal.tissues]) for name in ("transverse", "longitudinal")]
    spent = {solver: best(lambda solver=solver: solve_contacts(canal.section, z, *sigma, places, solver=solver), 2)  # type: ignore[misc]
             for solver in ("ldlt", "splu")}
    unknowns = len(canal.section.points) * len(z)
    return [("field, mesh of the canal", f"{best(lambda: ep.build_canal(case.anatomy, case.leads), 3):.2f} s"),
            (f"field, 8 contacts, {unknowns:,} unknowns, batched LDL^T, two threads", f"{spent['ldlt']:.1f} s"),
            ("field, the same with SuperLU", f"{spent['splu']:.1f} s: {spent['splu'] / spent['ldlt']:.1f} x as long")]


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
