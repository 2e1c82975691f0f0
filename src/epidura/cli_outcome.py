"""Commands of the outcome model: trials that are predicted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

out = Console()

WORDS = {"responder50": "half of the pain gone", "responder30": "30 % of the pain gone", "pain": "pain (NRS)", "change": "change of pain (NRS)",
         "percent_reduction": "reduction of pain", "eq5d_index": "EQ-5D index", "eq5d_change": "change of the EQ-5D index",
         "odi_like_change": "change of disability (ODI-like)", "much_improved": "much or very much improved (PGIC)",
         "holistic_responder": "holistic responders"}

MAIN = ("responder50", "responder30", "change", "percent_reduction", "eq5d_change")
"""Lines of the tables; the JSON has all."""


def trial(
    file: Annotated[Path, typer.Argument(metavar="TRIAL", help="A trial in YAML; examples/trials has some.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the prediction as JSON, nothing else.")] = False,
) -> None:
    """What a clinical trial would find, by the outcome model: responders, changes and differences with 50 and 90 % intervals."""
    from epidura.trial import predict, read_trial

    found = predict(read_trial(file))
    if as_json:
        print(json.dumps(found, indent=1))
        return
    show_trial(found)


def show_trial(found: dict[str, Any]) -> None:
    """A prediction as tables."""
    out.print(f"[bold]{found['title']}[/bold]  evidence: {found['evidence']['grade']} ({found['evidence']['words']})")
    for arm in found["arms"]:
        _table(f"{arm['name']} ({arm['therapy']}, n = {arm['n']})", arm["times"])
        if "trial_success" in arm:
            out.print(f"passes the trial stage: {_said(arm['trial_success'])}")
    for difference in found["differences"]:
        _table(f"{difference['arms'][0]} minus {difference['arms'][1]}", difference["times"])
    out.print("Each cell: median and 90 % interval of what a trial of this size would see.")
    for note in found["notes"]:
        out.print(f"note: {note}")


def _table(title: str, times: list[dict[str, Any]]) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("after")
    for time in times:
        table.add_column(f"{time['months']:g} months", justify="right")
    for name in MAIN:
        table.add_row(WORDS[name], *(_said(time[name]) for time in times))
    out.print(table)


def _said(value: dict[str, Any]) -> str:
    low, high = value["interval_90"]
    unit = " %" if value["unit"] == "%" else ""
    return f"{value['median']:g}{unit} ({low:g} to {high:g})"
