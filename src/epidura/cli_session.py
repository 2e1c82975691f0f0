"""The command for a programming session with one case."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from epidura.programming import Session, Tried

out = Console()


def session(
    file: Annotated[Path, typer.Argument(metavar="CASE", help="A case in YAML.", show_default=False)],
    target: Annotated[Path | None, typer.Option("--out", help="Write the case with the contacts that were chosen here.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was tried as JSON, nothing else.")] = False,
) -> None:
    """Hold a programming session: try the combinations of contacts along the leads, map what is felt, choose by the rules of practice."""
    from epidura import study
    from epidura.case import read, to_text
    from epidura.programming import programmed

    case = read(file)
    # fibres and field are all that is felt
    plain = case.but(gate={"seeds": 0}, firing={"fibres": 0}, outcome={"samples": 0})
    changed, found = programmed(study.run(plain, check_field=False))
    if target is not None:
        programs = [one.model_dump(mode="json") for one in changed.programs]
        target.write_text(to_text(case.but(programs=programs)), encoding="utf-8")
    pain = sorted(case.patient.pain.dermatomes()) if case.patient else []
    if as_json:
        print(json.dumps([told(one, pain) for one in found], indent=1))
        return
    for one in found:
        show(one)
    if target is not None:
        out.print(f"case: {target}", markup=False, soft_wrap=True)


def told(one: Session, pain: list[tuple[str, str]]) -> dict[str, Any]:
    """A session as JSON: amplitudes in mA, null where they are not reached or not known."""
    def of(k: int, tried: Tried) -> dict[str, Any]:
        amounts = {name: _plain(1e3 * getattr(tried, name)) for name in ("perception", "discomfort", "amplitude")}
        shares = {name: _plain(getattr(tried, name)) for name in ("coverage", "coverable", "spill", "usage_range")}
        felt = {f"{d} {s}": _plain(1e3 * level) for (d, s), level in one.amplitudes(pain, k).items()}
        return {**asdict(tried.combination), "words": tried.combination.words, **{f"{name}_mA": value for name, value in amounts.items()}, **shares,
                "felt_from_mA": felt}

    return {"program": one.program, "chosen": one.best.combination.words, "rules": list(one.words),
            "tried": [of(k, t) for k, t in enumerate(one.tried)]}


def _plain(value: float) -> float | None:
    return round(float(value), 4) if abs(value) < float("inf") else None


def show(one: Session) -> None:
    """A session as a table."""
    table = Table(title=f"program {one.program}", title_justify="left")
    for name in ("contacts", "perception", "discomfort", "runs at", "pain covered", "at most", "beside the pain"):
        table.add_column(name, justify="left" if name == "contacts" else "right")
    for k, tried in enumerate(one.tried):
        cells = [_said(1e3 * value, "mA") for value in (tried.perception, tried.discomfort, tried.amplitude)]
        cells += [_said(100 * value, "%") for value in (tried.coverage, tried.coverable, tried.spill)]
        table.add_row(tried.combination.words, *cells, style="bold" if k == one.chosen else None)
    out.print(table)
    for words in one.words:
        out.print(f"rule: {words}", style="dim", markup=False)
    out.print(f"as written: {one.tried[0].combination.words}", markup=False)
    out.print(f"chosen: {one.best.combination.words}", markup=False)


def _said(value: float, unit: str) -> str:
    if not abs(value) < float("inf"):
        return "-"
    return f"{value:.2f} {unit}" if unit == "mA" else f"{value:.0f} {unit}"
