"""The command for cohorts of virtual patients."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

out, err = Console(), Console(stderr=True)


def cohort(
    file: Annotated[Path, typer.Argument(metavar="STUDY", help="A study in YAML; examples/studies has some.", show_default=False)],
    patients: Annotated[int, typer.Option(help="How many; those of a smaller cohort are the first of a larger one.")] = 1000,
    workers: Annotated[int, typer.Option(help="Processes on this machine.")] = 1,
    cluster: Annotated[str | None, typer.Option(help="Address of a running Dask scheduler, such as tcp://host:8786.", show_default=False)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what is in the folder; also with more patients.")] = False,
    folder: Annotated[Path | None, typer.Option("--out", help="Folder for the results; results/<study> if left out.")] = None,
    progress_file: Annotated[Path | None, typer.Option("--progress", help="Keep how far it is in this file, as JSON with words and share.",
                                                       show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON, nothing else.")] = False,
) -> None:
    """Let virtual patients go through the arms of a study: trial stage, implant, visits, explants; writes Parquet tables and a report.

    Killed workers and a killed driver lose nothing that was finished: run again with --resume.
    """
    from epidura.workers import Workers

    # the workers read Epidura while this process does
    started = Workers(workers, load="epidura.cohort:get_ready") if workers > 1 and cluster is None else nullcontext(workers)
    with started as crew:
        from epidura.cohort import run_study
        from epidura.cohort_study import read_study

        study = read_study(file)
        target = folder or Path("results") / file.stem
        with _progress(as_json) as progress:
            found = run_study(study, patients, target, crew, cluster, resume, _kept(progress, progress_file))
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        show(found, target)


def _kept(progress: Callable[[str, float], None], file: Path | None) -> Callable[[str, float], None]:
    """The same, which also writes how far it is into a file, twice a second at most: the whole of it or nothing."""
    if file is None:
        return progress
    last = 0.0

    def told(words: str, share: float) -> None:
        nonlocal last
        progress(words, share)
        if time.monotonic() - last > 0.5 or share >= 0.95:
            last = time.monotonic()
            part = file.with_name(f".{file.name}-{os.getpid()}")
            part.write_text(json.dumps({"words": words, "share": round(share, 4)}), encoding="utf-8")
            os.replace(part, file)

    return told


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[str, float], None]]:
    """A progress bar on stderr, or nothing."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    if quiet:
        yield lambda words, share: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("reading", total=1.0)
        yield lambda words, share: bar.update(task, description=words, completed=share)


def show(found: dict[str, Any], folder: Path) -> None:
    """The summary as a table."""
    table = Table(title=f"{found['title']}: {found['patients']} patients, {found['replicates']} replicates", title_justify="left")
    for name in ("arm", "passes the trial", "implanted", *(f"half gone, {month:g} mo" for month in found["months"]), "explanted"):
        table.add_column(name, justify="left" if name == "arm" else "right")
    for arm in found["arms"]:
        free = arm["explant_free"]
        gone = None if free is None else {"median": 1 - free["median"][-1], "interval_90": [1 - end for end in free["interval_90"][-1][::-1]]}
        table.add_row(arm["name"], *(_said(one) for one in (arm["passed"], arm["implanted"] if arm["stimulated"] else None)),
                      *(_said(arm[f"responder50 {month:g}"]) for month in found["months"]), _said(gone))
    out.print(table)
    out.print("Each cell: median and 90 % interval over draws of the model and of the patients.", style="dim")
    for note in found["notes"]:
        out.print(f"note: {note}", markup=False)
    out.print(f"report: {folder / 'report.html'}", markup=False, soft_wrap=True)


def _said(value: dict[str, Any] | None) -> str:
    if value is None or value["median"] is None:
        return "-"
    low, high = value["interval_90"]
    return f"{value['median']:.0%} ({low:.0%} to {high:.0%})"
