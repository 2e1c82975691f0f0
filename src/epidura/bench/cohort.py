"""``epidura bench cohort``: how long a study of virtual patients takes on this machine, and how it grows. Figures, no limits.

The study is the case of ``epidura demo``, tonic beside usual care, visits up to a year, 20 replicates. Runs of the chain are made once, with lead
fields that are already on the disk if they were solved before; patients are timed with all of them done. CPU seconds where one process works; by
the clock, which a busy machine falsifies, where two work.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from epidura.bench.fibre import Row, versions
from epidura.bench.fibre import save as _save
from epidura.cohort import TASKS, node_tasks, run_study
from epidura.cohort_study import Study, read_study
from epidura.recipe import UniqueKeys
from epidura.tasks import run_tasks

Progress = Callable[[str, float], None]

SIZES = (250, 500, 1000)
LONG = (1000, 4000)
"""Patients of the comparison of one process with two: of few, what is done once weighs more."""
TURNS = 2
GAIN = 1.8
"""How many times as fast two processes should be."""
LIMIT_S, MEMORY = 15 * 60.0, 4.0
"""s and GB: of 1,000 patients in two arms over a year on two cores, with lead fields on the disk."""
WHAT = "epidura bench cohort"


def study(quick: bool = False) -> Study:
    """What is measured; ``quick``: a few fibres, no gate, two nodes."""
    import yaml

    case: dict[str, Any] = yaml.load((files("epidura") / "data" / "demo.yaml").read_text(encoding="utf-8"), Loader=UniqueKeys)
    case["programs"] = [one for one in case["programs"] if one["name"] == "tonic"]
    given: dict[str, Any] = {"title": "Bench", "case": case, "population": {"indication": case["patient"]["indication"], "baseline": 7.5},
                             "arms": [{"name": "tonic", "program": "tonic"}, {"name": "usual care", "program": "usual-care"}],
                             "months": [1, 3, 6, 12], "replicates": 2 if quick else 20, "surrogate": {"compared": 0}}
    if quick:
        case |= {"fibres": [{"kind": "dorsal-column", "count": 24}, {"kind": "dorsal-root", "count": 12}], "gate": "off", "firing": "off"}
        case["anatomy"] = {**case["anatomy"], "dorsal_csf": "5 mm"}
        given |= {"surrogate": {"compared": 0, "lateral": [-1, 1], "minor": [], "share": 1.0}, "batch": 4}
    return read_study(given)


def measure(quick: bool = False, progress: Progress = lambda words, share: None) -> list[Row]:
    """Every row of the table.

    Args:
        quick: few patients and nodes, no second process; to see that everything runs.
        progress: called with what comes next and the share that is done.
    """
    one, sizes = study(quick), (4, 8, 16) if quick else SIZES
    with tempfile.TemporaryDirectory(prefix="epidura-bench-") as name:
        base = Path(name)
        progress(f"{len(node_tasks(one))} runs of the chain", 0.0)
        before, wall = _cpu(), time.perf_counter()
        run_tasks(node_tasks(one), base / "nodes", workers=1 if quick else 2)
        nodes, nodes_wall = _cpu() - before, time.perf_counter() - wall
        spent = {}
        for k, count in enumerate(sizes):
            progress(f"{count} patients", 0.5 + 0.1 * k)
            _with_nodes(one, base, f"of-{count}")
            start = time.process_time()
            run_study(one, count, base / f"of-{count}", resume=True)
            spent[count] = time.process_time() - start
        most, least = sizes[-1], sizes[0]
        rows = [
            Row("runs of the chain", nodes, "s", f"{len(node_tasks(one))} nodes; {nodes_wall:,.0f} s by the clock with {1 if quick else 2} processes",
                note="CPU seconds of all processes; lead fields as they were on the disk"),
            Row("patients, per 1,000 and arm", 1000 * spent[most] / (most * len(one.arms)), "s",
                f"{spent[most]:.3g} s for {most} patients in {len(one.arms)} arms, {one.replicates} replicates",
                note="CPU seconds of one process, tables and report included"),
            Row(f"{most} patients against {least}, each", (spent[most] / most) / (spent[least] / least), "x",
                ", ".join(f"{count}: {seconds:.3g} s" for count, seconds in spent.items()), 1.1, 1.0,
                "1 is linear; below it, what is done once shows"),
            Row(f"{most:,} patients, 12 months, two cores", nodes + spent[most] if quick else (nodes + spent[most]) / 2, "s",
                "runs of the chain and patients" + ("" if quick else ", CPU seconds of each core"), LIMIT_S, None, "the lower the better"),
            Row("largest memory", _memory(), "GB", "of this process, or of its largest worker", MEMORY, None,
                "with everything that was measured above"),
        ]
        if quick:
            rows.append(Row("two processes against one", None, "x", note="not measured: quick"))
        else:
            progress("one process and two", 0.85)
            rows += _workers(one, base)
    return rows


def _workers(one: Study, base: Path) -> list[Row]:
    """How much sooner the command is done with two processes than with one: each from nothing, in turns, the best of ``TURNS``."""
    wall: dict[tuple[int, int], float] = {}
    cpu: dict[tuple[int, int], float] = {}
    for turn in range(TURNS):
        for key in ((count, workers) for count in LONG for workers in (1, 2)):
            name = f"by-{turn}-{key[0]}-{key[1]}"
            _with_nodes(one, base, name)
            start, before = time.perf_counter(), _cpu()
            _command(base / name, *key)
            took, spent = time.perf_counter() - start, _cpu() - before
            wall[key], cpu[key] = min(took, wall.get(key, took)), min(spent, cpu.get(key, spent))
            shutil.rmtree(base / name)
    rows = [Row(f"two processes against one, {count:,} patients", wall[count, 1] / wall[count, 2], "x",
                f"{wall[count, 1]:.3g} against {wall[count, 2]:.3g} s, the whole command", GAIN if count == LONG[-1] else None, 2.0,
                f"by the clock, which other work on the machine falsifies; CPU seconds {cpu[count, 1]:.3g} against {cpu[count, 2]:.3g}")
            for count in LONG]
    few, many = LONG
    each = {workers: (wall[many, workers] - wall[few, workers]) / (many - few) for workers in (1, 2)}
    first = {workers: wall[few, workers] - few * each[workers] for workers in (1, 2)}
    enough = from_which(first, each)
    rows.append(Row(f"patients from which it is {GAIN} x", enough, "", f"once {first[1]:.2g} and {first[2]:.2g} s, each patient "
                    f"{1e3 * each[1]:.3g} and {1e3 * each[2]:.3g} ms", None, None, "lines through the two rows above"
                    if enough is not None else "never, by lines through the two rows above"))
    return rows


def from_which(first: dict[int, float], each: dict[int, float]) -> float | None:
    """Patients from which two processes are ``GAIN`` times as fast as one; None: never.

    Args:
        first: s that go by however many patients there are, by the number of processes.
        each: s for each patient.
    """
    gained, lost = each[1] - GAIN * each[2], GAIN * first[2] - first[1]
    return None if gained <= 0 else max(lost / gained, 0.0)


def _command(folder: Path, patients: int, workers: int) -> None:
    given = ["cohort", str(folder / "study.yaml"), "--patients", str(patients), "--workers", str(workers), "--resume", "--json", "--out", str(folder)]
    subprocess.run([sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; from epidura.cli import main; main()", *given], check=True,
                   stdout=subprocess.DEVNULL)


def _with_nodes(one: Study, base: Path, name: str) -> None:
    """A folder in which the runs of the chain are done."""
    import yaml

    shutil.copytree(base / "nodes", base / name / TASKS, ignore=shutil.ignore_patterns(".*"))
    # the folder of a study begins with what the study is
    text = yaml.safe_dump(one.model_dump(mode="json"))
    (base / name / "study.yaml").write_text(text, encoding="utf-8")


def _cpu() -> float:
    """CPU seconds of this process and of those that it has started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _memory() -> float:
    """GB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) * unit / 1e9


def used() -> dict[str, str]:
    """Versions of what was measured."""
    return versions() | {name: version(name) for name in ("pyarrow",) if find_spec(name)}


def save(rows: list[Row], path: str | Path) -> None:
    """As ``fibre.save``, of this bench."""
    _save(rows, path, WHAT, used())
