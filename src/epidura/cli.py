"""The command line: parse, one call, show."""

from __future__ import annotations

import csv
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from epidura import cli_clinic, cli_cohort, cli_outcome, cli_serve, cli_session
from epidura.errors import BadInput, EpiduraError

if TYPE_CHECKING:
    from epidura.bench.fibre import Row
    from epidura.generator import Generator
    from epidura.product import LeadField
    from epidura.program import Program
    from epidura.program_file import ProgramFile
    from epidura.result import Result
    from epidura.sheet import Sheet
    from epidura.single_fibre import Trial
    from epidura.waveform import Course

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False, help="""
Epidura: from the electrical impulses of spinal cord stimulation to the fibres that fire and what is felt.

Start with **epidura demo**, then copy one of the cases of the folder examples/ and change it.

Research and education software, not a medical device.
""")
bench = typer.Typer(add_completion=False, help="Measure how fast Epidura is on this machine, beside the peers that are installed.")
app.add_typer(bench, name="bench")
app.add_typer(cli_clinic.clinic, name="clinic")
app.command()(cli_outcome.trial)
app.command()(cli_cohort.cohort)
app.command()(cli_serve.serve)
app.command()(cli_session.session)
out, err = Console(), Console(stderr=True)

CaseFile = Annotated[Path, typer.Argument(metavar="CASE", help="A case in YAML.", show_default=False)]
OutFolder = Annotated[Path | None, typer.Option("--out", help="Folder for the result; results/<case> if left out.")]
Device = Annotated[str, typer.Option(help="Where to compute: auto, cpu or cuda.")]
Accuracy = Annotated[str, typer.Option(help="Of the electric field: fast, standard or reference. All but fast also say how good it is.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, nothing else.")]


def main() -> None:
    """Entry point: an error of ours is one line and exit code 2 (bad input) or 1 (failed)."""
    try:
        app()
    except BadInput as failure:
        _say(failure)
        sys.exit(2)
    except EpiduraError as failure:
        _say(failure)
        sys.exit(1)


def _say(failure: EpiduraError) -> None:
    err.print(f"epidura: {failure}", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[str, float], None]]:
    """A progress bar on stderr, or nothing."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    if quiet:
        yield lambda words, share: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("reading", total=1.0)
        yield lambda words, share: bar.update(task, description=words, completed=share)


@app.command()
def run(case: CaseFile, out_folder: OutFolder = None, device: Device = "auto", accuracy: Accuracy = "standard", as_json: AsJson = False,
        no_cache: Annotated[bool, typer.Option("--no-cache", help="Solve the field again even if it is known.")] = False) -> None:
    """Run a case: electric field, fibres that fire, thresholds, paraesthesia; writes a report."""
    _run(case, out_folder, device, accuracy, as_json, no_cache)


@app.command()
def demo(out_folder: OutFolder = None, device: Device = "auto", accuracy: Accuracy = "standard", as_json: AsJson = False) -> None:
    """Run the case of failed back surgery that comes with Epidura and say where the report is."""
    from importlib.resources import as_file, files

    with as_file(files("epidura") / "data" / "demo.yaml") as case:
        _run(case, out_folder, device, accuracy, as_json, no_cache=False)


def _run(path: Path, folder: Path | None, device: str, accuracy: str, as_json: bool, no_cache: bool) -> None:
    from epidura import study
    from epidura.case import read

    _choose("accuracy", accuracy, ("fast", "standard", "reference"))
    case = read(path)
    folder = folder or Path("results") / path.stem
    study.check_folder(folder)
    with _progress(as_json) as progress:
        result = study.run(case, device=device, progress=progress, cache=not no_cache, accuracy=accuracy)
        progress("report", 0.95)
        study.save(result, folder)
    if as_json:
        print(json.dumps(result.summary() | {"folder": str(folder)}, indent=2))
    else:
        _show(result, folder)


def _show(result: Result, saved: Path) -> None:
    from epidura.report import field_words, interface_lines

    summary = result.summary()
    table = Table(title=summary["title"], title_justify="left")
    for column in ("program", "perception", "discomfort", "runs at", "chronaxie", "covered", "at most"):
        table.add_column(column, justify="left" if column == "program" else "right", no_wrap=column != "program")
    for program in summary["programs"]:
        table.add_row(program["name"], *(_cell(program[key], unit, scale) for key, unit, scale in (
            ("perception_threshold_mA", "mA", 1), ("discomfort_threshold_mA", "mA", 1), ("amplitude_mA", "mA", 1),
            ("chronaxie_us", "us", 1), ("pain_covered", "%", 100), ("pain_covered_at_discomfort", "%", 100))))
    out.print(table)
    out.print("covered: painful dermatomes that are felt at the program's amplitude, and at most, up to discomfort", style="dim")
    for warning in summary["warnings"]:
        out.print(f"note: {warning}", markup=False)
    out.print(field_words(result), style="dim", markup=False)
    for line in interface_lines(result):
        out.print(line, style="dim", markup=False)
    spent = ", ".join(f"{verb} {seconds:.1f} s" for verb, seconds in result.timings.items())
    out.print(f"{spent}\nreport: {saved / 'report.html'}", markup=False, soft_wrap=True)


def _cell(value: float | None, unit: str, scale: float) -> str:
    return "-" if value is None else f"{value * scale:.3g} {unit}"


@app.command()
def check(case: CaseFile) -> None:
    """Read a case and place its leads, without computing anything."""
    from epidura.canal import place_leads
    from epidura.case import read

    one = read(case)
    place_leads(one.anatomy, one.leads)
    out.print(f"{case}: good; {len(one.leads)} lead(s), {one.contact_count} contacts, {len(one.programs)} program(s)",
              markup=False, soft_wrap=True)


@app.command()
def leads(as_json: AsJson = False) -> None:
    """List the lead models that a case can name."""
    from epidura.tables import table as read_table

    rows = [row for row in read_table("leads") if row["id"]]
    keys = ("id", "type", "manufacturer", "contacts", "contact_length_mm", "edge_spacing_mm",
            "diameter_or_size_mm", "evidence")
    _list(rows, keys, as_json, "Leads; lengths in mm")


@app.command()
def waveforms(as_json: AsJson = False) -> None:
    """List the types of stimulation, their parameters, and how they are used in the clinic, with sources."""
    from epidura.tables import UNVERIFIED, table
    from epidura.waveform import family

    rows = []
    for kind, member in family.members.items():
        fields = {name: f for name, f in member.model_fields.items() if name != "kind"}
        schema = member.model_json_schema()["properties"]
        words = [f"{name} ({schema[name].get('x-kind') or _options(schema[name])})" for name in fields]
        used = table("waveforms").row(type=member.clinical) if member.clinical else {}
        settings = ", ".join(f"{name} {used[key]}" for key, name in (("frequency_hz", "Hz"), ("pulse_width_us", "us"), ("amplitude_mA", "mA"))
                             if used.get(key, "")[:1].isdigit())
        settings = "; ".join(filter(None, (settings, used.get("amplitude_rule", "").replace("PT", "perception"))))
        doubt = " (unverified)" if used.get("evidence") in UNVERIFIED else ""
        rows.append({"kind": kind, "what": (member.__doc__ or "").splitlines()[0], "parameters": ", ".join(words),
                     "used": settings + doubt if used else "no clinical use is in the tables",
                     "source": f"{used['source']} ({', '.join(filter(None, (used['evidence'], used['note'])))})" if used else ""})
    keys = ("kind", "what", "parameters", "used", "source") if as_json else ("kind", "what", "used", "parameters")
    _list(rows, keys, as_json, "Types of stimulation")


def _options(schema: dict[str, Any]) -> str:
    """Of a parameter: what may be chosen, or what it is; of an optional one, of what it is when it is there."""
    if "anyOf" in schema:
        schema = schema["anyOf"][0]
    return " | ".join(schema["enum"]) if "enum" in schema else str(schema.get("x-kind") or schema.get("type", "list"))


def _list(rows: list[dict[str, str]], keys: tuple[str, ...], as_json: bool, title: str) -> None:
    if as_json:
        print(json.dumps([{key: row[key] for key in keys} for row in rows], indent=2))
        return
    table = Table(title=title, title_justify="left")
    for key in keys:
        table.add_column(key.replace("_", " "), no_wrap=key == keys[0] and key != "source")
    for row in rows:
        table.add_row(*(row[key] for key in keys))
    out.print(table)


@app.command()
def cite(case: CaseFile, as_json: AsJson = False) -> None:
    """Print the sources of every number that a case uses, unverified ones first."""
    from epidura.case import read
    from epidura.report import references

    rows = references(read(case))
    _list(rows, ("source", "doi", "evidence", "used_for"), as_json, "Sources")


@app.command()
def export(
    case: CaseFile,
    what: Annotated[str, typer.Option(help="vti (grid for ParaView), vtu (mesh and leads for ParaView) or nifti.")],
    file: Annotated[Path, typer.Option("--out", help="File to write; ends with .vti, .vtu, .nii or .nii.gz.")],
    program: Annotated[str | None, typer.Option(help="The first phase of this program, in V; the contacts by themselves if left out.")] = None,
    amplitude: Annotated[str | None, typer.Option(help="Of the program, such as '3 mA'; as in the case if left out.")] = None,
    contact: Annotated[int | None, typer.Option(help="This contact alone, in V/A.")] = None,
    spacing: Annotated[str, typer.Option(help="Of the grid, or of the layers of the mesh.")] = "0.5 mm",
) -> None:
    """Write the electric field of a case as a file for ParaView or for viewers of medical images.

    The file covers the canal around the contacts. Without a program or contact it holds the field of every contact, in V/A.
    """
    from epidura import export as files
    from epidura import study
    from epidura.canal import build_canal
    from epidura.case import read
    from epidura.field import solve_field

    if program is not None and contact is not None:
        raise BadInput("contact", "a program and a contact cannot be shown together", allowed="--program or --contact")
    if amplitude is not None and program is None:
        raise BadInput("amplitude", "belongs to a program", got=amplitude, allowed="--program NAME --amplitude '3 mA'")
    one = read(case)
    files.check_file(what, file)
    step = _positive(spacing, "length", "spacing")
    current = None if amplitude is None else _positive(amplitude, "current", "amplitude")
    chosen = None if program is None else files.find_program(one.programs, program, current)
    if contact is not None and not 1 <= contact <= one.contact_count:
        raise BadInput("contact", "there is no such contact", got=contact, allowed=f"1 to {one.contact_count}")
    with _progress(quiet=False) as progress:
        progress("electric field", 0.0)
        lead_field = solve_field(build_canal(one.anatomy, one.leads), cache=study.cache_folder())
        progress("file", 0.9)
        maps = files.contact_maps(lead_field, contact) if chosen is None else files.program_maps(lead_field, chosen, current)
        files.export(lead_field, what, file, maps, spacing=step)
    out.print(str(file), markup=False, highlight=False, soft_wrap=True)


@app.command()
def program(
    file: Annotated[Path | None, typer.Argument(metavar="PROGRAM", help="Programs in JSON (or YAML with the same keys).", show_default=False)] = None,
    lead: Annotated[str | None, typer.Option(help="Model of a lead, its contacts about the vertebra, instead of the leads of the file.")] = None,
    generator: Annotated[str | None, typer.Option(help="Model of a pulse generator; that of the file if left out.")] = None,
    vertebra: Annotated[str | None, typer.Option(help="Level of the canal around the lead; that of the first lead's tip, or T9.")] = None,
    accuracy: Annotated[str, typer.Option(help="Of the electric field: fast, standard or reference.")] = "fast",
    amplitude: Annotated[str | None, typer.Option(help="Of all trains, such as '4 mA', instead of what the file says.")] = None,
    name: Annotated[str | None, typer.Option("--program", help="This program of the file only.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Page with pictures to write, ends with .html.")] = None,
    table: Annotated[Path | None, typer.Option(help="Table of currents for a bench generator to write, ends with .csv.")] = None,
    rate: Annotated[str, typer.Option(help="Samples per second of the table.")] = "1 MHz",
    resolution: Annotated[str | None, typer.Option(help="Of the bench's converter, such as '10 uA', for the table.")] = None,
    duration: Annotated[str | None, typer.Option(help="Of the table, from switching on; one settled cycle if left out.")] = None,
    volts: Annotated[bool, typer.Option("--volts", help="Voltages in the table too.")] = False,
    as_json: AsJson = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of program files, nothing else.")] = False,
) -> None:
    """Show what programs are at the electrodes: currents, voltages, charges, limits, energy, and what a generator says to them.

    The folder examples/programs has one file for each type of stimulation. The exit status is 1 where the generator cannot deliver a program,
    and 2, with nothing shown or written, for a mistake, such as a charge that does not come back.
    """
    from epidura import program_file

    if schema:
        print(json.dumps(program_file.json_schema(), indent=2))
        return
    if file is None:
        raise BadInput("PROGRAM", "is missing", allowed="the path of a program file", hint="epidura program --schema prints the format")
    _choose("accuracy", accuracy, ("fast", "standard", "reference"))
    for option, given_to in (("resolution", resolution), ("duration", duration), ("volts", volts or None)):
        if table is None and given_to is not None:
            raise BadInput(option, "belongs to a table", allowed=f"--table FILE.csv --{option} ...")
    given = program_file.read(file)
    _programs(given, str(file), _Wanted(lead, generator, vertebra, accuracy, amplitude, name, as_json),
              None if plot is None else _ending("plot", plot, ".html"), None if table is None else _bench(table, rate, resolution, duration, volts))


class _Wanted(NamedTuple):
    """Options of ``program`` that say what to examine."""

    lead: str | None
    generator: str | None
    vertebra: str | None
    accuracy: str
    amplitude: str | None
    name: str | None
    as_json: bool


class _Bench(NamedTuple):
    """Options of ``program`` that say what table to write: Hz, A, s."""

    path: Path
    rate: float
    resolution: float | None
    duration: float | None
    volts: bool


def _bench(path: Path, rate: str, resolution: str | None, duration: str | None, volts: bool) -> _Bench:
    return _Bench(_ending("table", path, ".csv"), _positive(rate, "frequency", "rate"),
                  None if resolution is None else _positive(resolution, "current", "resolution"),
                  None if duration is None else _positive(duration, "time", "duration"), volts)


def _ending(where: str, path: Path, ending: str) -> Path:
    if path.suffix.lower() != ending:
        raise BadInput(where, "has another ending", got=str(path), allowed=f"a file name that ends with {ending}")
    return path


def _programs(file: ProgramFile, path: str, wanted: _Wanted, plot: Path | None, bench: _Bench | None) -> None:
    """Examine the programs of a file, write what is asked for, show."""
    from epidura import program_file, program_page, samples, sheet
    from epidura.generator import generator as find_generator
    from epidura.generator import require_balanced

    chosen = _chosen(file, wanted)
    if bench is not None and len(chosen) > 1:
        raise BadInput("table", "holds one program", got=f"{len(chosen)} programs", allowed="--program NAME",
                       hint="names: " + ", ".join(one.name for one in chosen.values()))
    if plot is not None:
        program_file.check_target(plot, program_page.MARK)
    if bench is not None:
        program_file.check_target(bench.path, samples.HEAD)
    model = wanted.generator or file.generator
    own = None if model is None else find_generator(model)
    anatomy, leads = _around(file, wanted)
    program_file.check_contacts(file.programs, leads)
    lead_field = _quick_field(anatomy, leads, wanted.accuracy, wanted.as_json)
    sheets = [sheet.examine(one, lead_field, own, where) for where, one in chosen.items()]
    for where, made in zip(chosen, sheets, strict=True):
        require_balanced(made.delivery, where)
        if own is not None and bench is not None:
            own.require(made.program, made.delivery, where)  # a bench does not play what the generator cannot
    about = "; ".join(filter(None, [" + ".join(f"{one.shape().name}, tip at {one.tip_vertebra}" for one in leads) + f"; canal at {anatomy.vertebra}",
                                    "" if own is None else f"generator {own.manufacturer} {own.model}"]))
    written = {}
    if bench is not None:
        (one,) = sheets
        written["table"] = str(_write_table(one, lead_field, bench))
    if plot is not None:
        text = program_page.page(file.title, [file.about, about], sheets)
        written["plot"] = str(program_file.write_whole(plot, text, program_page.MARK))
    if wanted.as_json:
        print(json.dumps({"file": path, "title": file.title, "leads": [one.model_dump(mode="json") for one in leads], "vertebra": anatomy.vertebra,
                          "accuracy": wanted.accuracy, "generator": model, "programs": [one.summary() for one in sheets], **written}, indent=2))
        _deliverable(sheets)
        return
    out.print(f"{file.title}\n{about}", style="bold", markup=False, highlight=False)
    for one in sheets:
        _show_sheet(one.summary(), one.generator)
    for what, where in written.items():
        out.print(f"{what}: {where}", markup=False, highlight=False, soft_wrap=True)
    _deliverable(sheets)


def _deliverable(sheets: list[Sheet]) -> None:
    """End with status 1 where the generator cannot deliver a program; what it said is printed already."""
    if any(one.violations for one in sheets):
        raise typer.Exit(1)


def _chosen(file: ProgramFile, wanted: _Wanted) -> dict[str, Program]:
    """Programs by their paths in the file, with the amplitude that was asked for."""
    from epidura import sheet
    from epidura.errors import nearest

    every = {f"programs[{i}]": one for i, one in enumerate(file.programs)}
    names = [one.name for one in file.programs]
    if wanted.name is not None and wanted.name not in names:
        raise BadInput("program", "there is no program of this name", got=wanted.name, allowed=", ".join(names), hint=nearest(wanted.name, names))
    chosen = {where: one for where, one in every.items() if wanted.name in (None, one.name)}
    if wanted.amplitude is not None:
        return {where: sheet.at_amplitude(one, wanted.amplitude) for where, one in chosen.items()}
    for where, one in chosen.items():
        for path in sheet.unknown_amplitudes(one):
            raise BadInput(f"{where}.{path}", "is not known without the fibres", got="auto or a share of the perception threshold",
                           allowed="--amplitude '4 mA'", hint="or put the program into a case and run that: it finds the perception threshold")
    return chosen


def _around(file: ProgramFile, wanted: _Wanted) -> tuple[Any, tuple[Any, ...]]:
    """The canal and the leads in it."""
    from epidura import anatomy
    from epidura import lead as lead_room
    from epidura.units import SI

    if wanted.lead is None and not file.leads:
        raise BadInput("lead", "the file names no leads", allowed="--lead MODEL; epidura leads lists them")
    vertebra = wanted.vertebra or ("T9" if wanted.lead is not None else file.leads[0].tip_vertebra)
    around = anatomy.family.read({"kind": "parametric", "vertebra": vertebra})
    if wanted.lead is None:
        return around, file.leads
    try:
        one = lead_room.family.read({"model": wanted.lead, "tip_vertebra": vertebra})
    except BadInput as failure:
        if failure.where not in ("", "model"):  # a lead that needs more than its model
            raise BadInput("lead", "a lead of this model needs more than its name", got=wanted.lead,
                           hint=f"describe it under leads in the file: {failure.where} is missing") from None
        raise BadInput("lead", failure.problem, got=failure.got, allowed=failure.allowed, hint=failure.hint) from None
    contacts = one.shape().contacts
    middle = 0.5 * (min(pad.start for pad in contacts) + max(pad.end for pad in contacts))
    return around, (one.model_copy(update={"tip_offset": SI(middle).si}),)


def _quick_field(anatomy: Any, leads: tuple[Any, ...], accuracy: str, quiet: bool) -> LeadField:
    from epidura import study
    from epidura.canal import build_canal
    from epidura.field import solve_field

    with _progress(quiet) as progress:
        progress("electric field", 0.0)
        return solve_field(build_canal(anatomy, leads, accuracy=accuracy), cache=study.cache_folder())


def _write_table(one: Sheet, lead_field: LeadField, bench: _Bench) -> Path:
    from epidura import samples
    from epidura.delivery import deliver_stretch
    from epidura.sheet import train_words

    delivery = one.delivery
    if bench.duration is not None:
        electronics = None if one.generator is None else one.generator.electronics()
        delivery = deliver_stretch(one.program, lead_field, electronics=electronics, duration=bench.duration)
    made = samples.sampled(delivery, bench.rate, resolution=bench.resolution, volts=bench.volts)
    return samples.write(made, f"{one.program.name}: {'; '.join(train_words(one.program))}", bench.path)


def _show_sheet(sheet: dict[str, Any], generator: Generator | None) -> None:
    """One program as tables and lines."""
    def say(words: str, style: str = "") -> None:
        out.print(words, style=style or None, markup=False, highlight=False)

    say(f"\n{sheet['name']}", "bold")
    for line in (*sheet["words"], *sheet["schedule"]):
        say(f"  {line}")
    contacts = Table(padding=0)
    keys = ("contact", "cathodic mA", "anodic mA", "lowest V", "highest V", "charge of a phase uC", "density uC/cm2", "residual nC", "direct uA")
    for key in keys:  # all nine fit into a terminal of 80 columns, and no figure is cut
        contacts.add_column(key, justify="right", min_width=max(7, *map(len, key.split())))
    for row in sheet["contacts"]:
        values = (row["cathodic_mA"], row["anodic_mA"], row["lowest_V"], row["highest_V"], row["charge_per_phase_uC"],
                  row["charge_density_uC_cm2"], row["residual_charge_nC"], row["direct_current_uA"])
        contacts.add_row(str(row["contact"]), *("-" if value is None else f"{round(value, 4) + 0.0:.3g}" for value in values))
    out.print(contacts)
    limit = sheet["voltage_limit"]
    beside = "" if generator is None else f"; what {generator.model} can give is not known" if limit is None else \
        f"; {generator.model} gives {limit['words']} ({limit['source']}{_doubt(limit)})"
    say(f"voltage needed {sheet['voltage_needed_V']:.3g} V ({sheet['resistance_ohm']:.4g} ohm between the sides){beside}")
    _show_limits(sheet["limits"], say)
    say(f"energy into wires and tissue {_figure(sheet['energy_per_pulse_uJ'])} uJ per pulse or packet, "
        f"mean power {_figure(sheet['mean_power_uW'])} uW")
    if sheet["power"] is not None:
        _show_power(sheet["power"], say)
    if generator is None:
        say("no generator named: nothing is compared with what one can deliver")
        return
    for one in sheet["violations"]:
        say(f"cannot be delivered: {one['words']}", "red")
    if not sheet["violations"]:
        say(f"{generator.model} can deliver it, as far as its limits are known")
    else:
        near = sheet["nearest"]
        say(f"no program near it: {'; '.join(near['words'])}" if near["program"] is None else f"nearest program: {'; '.join(near['words'])}")
    if unknown := generator.unknown():
        say(f"not known of {generator.model}, so not enforced or counted: {', '.join(unknown)}", "dim")


def _show_limits(rows: list[dict[str, Any]], say: Callable[..., None]) -> None:
    shown = Table(title="beside named limits: reported, no verdict", title_justify="left")
    for key in ("limit", "figure", "value", "limit is", "", "source"):
        shown.add_column(key, justify="right" if key in ("value", "source") else "left", overflow="fold")
    sources = list(dict.fromkeys(one["source"] for one in rows))
    for one in rows:
        value = "-" if one["value"] is None else f"{one['value']:.3g}"
        shown.add_row(one["name"], one["quantity"], value, f"{one['limit']:g} {one['unit']}", "above" if one["above"] else "below",
                      f"{'unverified ' if one['unverified'] else ''}{sources.index(one['source']) + 1}")
    out.print(shown)
    for number, source in enumerate(sources, 1):
        say(f"  {number}: {source}", "dim")


def _show_power(power: dict[str, Any], say: Callable[..., None]) -> None:
    def span(pair: list[float | None], unit: str) -> str:
        low, high = ("unlimited" if value is None else _figure(value) for value in pair)
        return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"

    say(f"from the cell: {span(power['pulse_energy_uJ'], 'uJ')} per pulse or packet, {span(power['stimulation_uW'], 'uW')} for stimulation, "
        f"{span(power['total_uW'], 'uW')} in all")
    if power["life_years"] is not None:
        say(f"battery life {span(power['life_years'], 'years')}")
    if power["recharge_days"] is not None:
        say(f"between charges {span(power['recharge_days'], 'days')}")
    for line in power["words"]:
        say(f"  {line}", "dim")


def _doubt(row: dict[str, Any]) -> str:
    return ", unverified" if row["unverified"] else ""


Listed = "A comma-separated list makes a table of all combinations."


@app.command()
def threshold(
    model: Annotated[str, typer.Option(help="mrg, mrg-interpolated, gaines-sensory, mrg-small (thin myelinated) or sundt (C fibre).")] = "mrg",
    diameter: Annotated[str, typer.Option(help="Fibre diameter, such as '10 um'.")] = "10 um",
    distance: Annotated[str, typer.Option(help="Of the source from the fibre, such as '1 mm'.")] = "1 mm",
    pulse_width: Annotated[str, typer.Option(help="Of the first phase, such as '100 us'.")] = "100 us",
    sigma: Annotated[str, typer.Option(help="Conductivity across the fibre, such as '0.2 S/m'.")] = "0.2 S/m",
    sigma_long: Annotated[str | None, typer.Option(help="Conductivity along the fibre; as across if left out.")] = None,
    waveform: Annotated[str, typer.Option(help="monophasic, symmetric or asymmetric (recharge 10 x longer and weaker).")] = "monophasic",
    interphase_gap: Annotated[str, typer.Option(help="Silence between the phases, such as '100 us'.")] = "0 us",
    waveform_csv: Annotated[Path | None, typer.Option(help="Rows time_us,value: constant from each time on, first phase "
                                                           "negative, ending at 0; takes the place of --waveform and --pulse-width.")] = None,
    anode_at: Annotated[str | None, typer.Option(help="An equal anode this far along the fibre, such as '7 mm'.")] = None,
    dt: Annotated[str, typer.Option(help="Time step, such as '5 us'.")] = "5 us",
    scheme: Annotated[str, typer.Option(help="backward-euler (as NEURON) or second-order.")] = "second-order",
    nodes: Annotated[str | None, typer.Option(help="Number of nodes, odd; by the rule of the reference data if left out.")] = None,
    tolerance: Annotated[float, typer.Option(help="Relative width of the threshold bracket.")] = 5e-4,
    precision: Annotated[str, typer.Option(help="float64 or float32.")] = "float64",
    as_json: AsJson = False,
) -> None:
    """Threshold of a straight fibre beside a point source.

    The source lies beside the centre node in an infinite medium. The threshold is the lowest magnitude of
    the first, cathodic phase at which an action potential reaches the node at nine tenths of the fibre.
    Every option up to --nodes takes a comma-separated list; all combinations are computed.
    """
    from epidura.single_fibre import point_source_thresholds

    _choose("precision", precision, ("float64", "float32"))
    if not 1e-6 <= tolerance <= 0.1:
        raise BadInput("tolerance", "not a tolerance", got=tolerance, allowed="0.000001 to 0.1")
    options = {"model": model, "diameter": diameter, "distance": distance, "pulse_width": pulse_width, "sigma": sigma,
               "sigma_long": sigma_long, "waveform": waveform, "interphase_gap": interphase_gap, "anode_at": anode_at,
               "dt": dt, "scheme": scheme, "nodes": nodes}
    course = None
    if waveform_csv is not None:
        course = _course_from_csv(waveform_csv)
        options |= {"waveform": str(waveform_csv), "pulse_width": None, "interphase_gap": None}
    lists = [[None] if text is None else [one.strip() for one in text.split(",")] for text in options.values()]
    rows = [dict(zip(options, values, strict=True)) for values in itertools.product(*lists)]
    trials = [_trial(row, course) for row in rows]
    with _progress(as_json) as progress:
        found = point_source_thresholds(trials, precision=precision, tolerance=tolerance, progress=progress)
    results: list[dict[str, Any]] = [
        {**row, "sigma_long": row["sigma_long"] or row["sigma"], "tolerance": tolerance, "precision": precision,
         "dt_us": round(trial.dt * 1e6, 9), "nodes": trial.node_count(),
         "threshold_mA": float(value) * 1e3 if value < float("inf") else None}
        for row, trial, value in zip(rows, trials, found, strict=True)]
    if as_json:
        print(json.dumps(results, indent=2))
    else:
        _threshold_table(results, {name: text for name, text in options.items() if text is not None})


def _threshold_table(results: list[dict[str, Any]], options: dict[str, str]) -> None:
    varied = [name for name in options if len({row[name] for row in results}) > 1] or ["model", "diameter"]
    fixed = {name: results[0][name] for name in options if name not in varied}
    table = Table(title=", ".join(f"{name.replace('_', ' ')} {value}" for name, value in fixed.items()), title_justify="left")
    for name in [*varied, "nodes", "threshold"]:
        table.add_column(name.replace("_", " "))
    for row in results:
        value = row["threshold_mA"]
        table.add_row(*(str(row[name]) for name in varied), str(row["nodes"]),
                      "above 1 A" if value is None else f"{value:.6g} mA")
    out.print(table)


@app.command()
def gate(
    circuit: Annotated[str, typer.Option(help="zhang-2014 (the published four neurons) or dorsal-horn (populations).")] = "zhang-2014",
    frequency: Annotated[str, typer.Option(help="Of stimulation in Hz, comma-separated; 0 is none.")] = "0,10,20,50,100",
    target: Annotated[str, typer.Option(help="Large fibres that are driven: surround, local (of the receptive field) or both.")] = "both",
    inhibition: Annotated[str, typer.Option(help="intact, gaba0.5 (half of GABA-A), gaba0 (none) or gly0 (no glycine).")] = "intact",
    seeds: Annotated[int, typer.Option(help="Copies of the circuit, each with input of its own: seeds 1 to this.")] = 5,
    dt: Annotated[str, typer.Option("--dt", help="Time step, such as '25 us'.")] = "25 us",
    share: Annotated[float, typer.Option(help="Of the fibres of each target that are driven.")] = 1.0,
    pattern: Annotated[str, typer.Option(help="tonic, burst (packets of 5 at 500 Hz) or asynchronous (independent, same mean rate).")] = "tonic",
    pain: Annotated[str, typer.Option(help="Pain state, such as nociception, neuropathic, allodynia or an indication.")] = "nociception",
    duration: Annotated[str, typer.Option(help="Of each run; stimulation and counting begin at 2 s.")] = "6 s",
    published: Annotated[bool, typer.Option("--published", help="Gates of inhibitory neurons from the coarse table of the published code.")] = False,
    threads: Annotated[int, typer.Option(help="To use.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Firing of the neurons that pass pain on, against the frequency of stimulation.

    Every driven fibre follows every pulse, as in the published circuit; `epidura run` takes the fibres that a lead really recruits instead.
    Options --frequency, --target and --inhibition take comma-separated lists; all combinations are computed.
    """
    from epidura.circuit import family
    from epidura.transmission import sweep

    step = _positive(dt, "time", "dt")
    one = family.read({"kind": circuit, "dt": f"{step * 1e6:.9g} us"})
    length = _positive(duration, "time", "duration")
    frequencies = [_number(text, "frequency", "0 or a positive number of Hz") for text in frequency.split(",")]
    if not 0 < share <= 1:
        raise BadInput("share", "not a share of the fibres", got=share, allowed="above 0, up to 1")
    if not 1 <= threads <= 1024:
        raise BadInput("threads", "not a number of threads", got=threads, allowed="1 to 1024")
    with _progress(as_json) as progress:
        found = []
        cases = list(itertools.product(target.split(","), inhibition.split(",")))
        for k, (of, state) in enumerate(cases):
            progress(f"{circuit}, {of}, {state}", k / len(cases))
            found += sweep(one, frequencies, of.strip(), state.strip(), range(1, seeds + 1), duration=length, share=share, pattern=pattern,
                           pain=pain, published=published, threads=threads)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        _show_gate(found)


def _show_gate(rows: list[dict[str, Any]]) -> None:
    first = rows[0]
    cells = [name for name in first if name.endswith("_hz") and name != "frequency_hz"]
    count = len(first["seeds"])
    varied = [name for name in ("target", "inhibition") if len({row[name] for row in rows}) > 1]
    fixed = [f"{name} {first[name]}" for name in ("target", "inhibition") if name not in varied]
    about = ", ".join([first["circuit"], first["pain"], first["pattern"], *fixed, f"{count} seed{'s' if count > 1 else ''}"])
    out.print(f"{about}: action potentials per second, mean ± SD", soft_wrap=True)
    table = Table()
    for name in (*varied, "Hz", *(name.removesuffix("_hz").upper() for name in cells)):
        table.add_column(name, justify="left" if name in varied else "right", no_wrap=True)
    for row in rows:
        values = ["–" if row[name] is None else f"{row[name]:.1f}" + ("" if row[f"{name}_sd"] is None else f" ± {row[f'{name}_sd']:.1f}")
                  for name in cells]
        table.add_row(*(row[name] for name in varied), f"{row['frequency_hz']:g}", *values)
    out.print(table)
    for row in rows:
        for words in row["failed"]:
            err.print(f"{row['frequency_hz']:g} Hz, {row['target']}, {row['inhibition']}: {words}", style="yellow", markup=False)


def _number(text: str, where: str, allowed: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadInput(where, "not a number", got=text.strip(), allowed=allowed) from None


@bench.callback(invoke_without_command=True)
def _benches(context: typer.Context) -> None:
    """Measure how fast Epidura is on this machine, beside the peers that are installed. Alone it lists what can be measured."""
    if context.invoked_subcommand is None:
        rows = [{"bench": command.name or "", "what": (command.callback.__doc__ or "").splitlines()[0]}
                for command in bench.registered_commands if command.callback]
        _list(rows, ("bench", "what"), False, "epidura bench ...")


@bench.command("fibre")
def bench_fibre(
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes, no peers, no other processes: whether everything runs.")] = False,
    long: Annotated[bool, typer.Option("--long", help="Up to a million fibres too; takes many minutes.")] = False,
    path: Annotated[Path, typer.Option("--json", help="File for all figures.")] = Path("results/bench-fibre.json"),
) -> None:
    """How fast the fibre engine is, against NEURON and jaxon where they are installed.

    Prints a table and writes it as JSON, with machine and versions. The project's floors and goals stand beside
    the figures; nothing fails on them.
    """
    from epidura.bench import fibre

    _measured(path, lambda say: fibre.measure(quick, long, say), fibre.save, fibre.versions, vectors=True)


@bench.command("field")
def bench_field(
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes, no peers, no other processes: whether everything runs.")] = False,
    path: Annotated[Path, typer.Option("--json", help="File for all figures.")] = Path("results/bench-field.json"),
) -> None:
    """How fast the field solver is, against NGSolve and PyAMG where they are installed.

    Prints a table and writes it as JSON, with machine and versions. The project's floors and goals stand beside
    the figures; nothing fails on them. Takes some ten minutes.
    """
    from epidura.bench import field

    _measured(path, lambda say: field.measure(quick, say), field.save, field.used)


@bench.command("gate")
def bench_gate(
    quick: Annotated[bool, typer.Option("--quick", help="Short runs, no NEURON: whether everything runs.")] = False,
    long: Annotated[bool, typer.Option("--long", help="The whole sweep of a thousand circuits instead of a part of it.")] = False,
    path: Annotated[Path, typer.Option("--json", help="File for all figures.")] = Path("results/bench-gate.json"),
) -> None:
    """How fast the pain gate is, against NEURON where it is installed.

    Prints a table and writes it as JSON, with machine and versions. The project's floors and goals stand beside
    the figures; nothing fails on them. Takes a minute or two.
    """
    from epidura.bench import gate

    _measured(path, lambda say: gate.measure(quick, long, say), gate.save, gate.used)


@bench.command("cohort")
def bench_cohort(
    quick: Annotated[bool, typer.Option("--quick", help="Few patients and nodes, no second process: whether everything runs.")] = False,
    path: Annotated[Path, typer.Option("--json", help="File for all figures.")] = Path("results/bench-cohort.json"),
) -> None:
    """How long a study of 1,000 virtual patients takes, how it grows, and what a second process brings.

    Prints a table and writes it as JSON, with machine and versions. The project's floors and goals stand beside
    the figures; nothing fails on them. Takes ten minutes and more.
    """
    from epidura.bench import cohort
    from epidura.cohort import need_arrow

    need_arrow()
    _measured(path, lambda say: cohort.measure(quick, say), cohort.save, cohort.used)


@bench.command("clinic")
def bench_clinic(
    quick: Annotated[bool, typer.Option("--quick", help="Few events and seconds: whether everything runs.")] = False,
    postgres: Annotated[str, typer.Option("--postgres", help="Address of an empty PostgreSQL database, which is filled.", show_default=False)] = "",
    patients: Annotated[int, typer.Option(min=20, help="Of the record that is filled.")] = 10_000,
    events: Annotated[int, typer.Option(min=100, help="Of all patients.")] = 2_000_000,
    rest: Annotated[bool, typer.Option("--rest", help="Write diary days through 'epidura serve', too.")] = False,
    path: Annotated[Path, typer.Option("--json", help="File for all figures.")] = Path("results/bench-clinic.json"),
) -> None:
    """How fast the clinic's record is: writes of 1, 8 and 20 clients, a timeline, projections made anew.

    Prints a table and writes it as JSON, with machine and versions. The project's floors stand beside the figures; nothing fails on them.
    Takes some minutes and 4 GB of disk in the folder for temporary files.
    """
    from epidura.bench import clinic

    _measured(path, lambda say: clinic.measure(quick, postgres, patients, events, rest, say), clinic.save, clinic.used)


def _measured(path: Path, measure: Callable[[Callable[[str, float], None]], list[Row]], save: Callable[[list[Row], Path], object],
              used: Callable[[], dict[str, str]], vectors: bool = False) -> None:
    """Measure, write the figures and show them, with machine and versions."""
    from epidura.bench import fibre

    fibre.check_target(path)
    # lines instead of a bar, whose redrawing would be measured with the rest
    rows = measure(lambda words, share: err.print(f"{words} ...", style="dim"))
    save(rows, path)
    about, versions = fibre.machine(), ", ".join(f"{name} {number}" for name, number in used().items())
    wide = f", {'AVX-512' if about['avx512'] else 'no AVX-512'}" if vectors else ""
    _bench_table(rows, f"{about['processor']}, {about['cores']} core(s){wide}; {versions}")
    out.print(f"figures: {path}", markup=False, soft_wrap=True)


def _bench_table(rows: list[Row], title: str) -> None:
    table = Table(title=title, title_justify="left", show_lines=True)
    for name in ("", "measured", "floor", "goal", "note"):
        table.add_column(name, justify="right" if name else "left", no_wrap=bool(name))
    notes = list(dict.fromkeys(row.note for row in rows if row.note))
    for row in rows:
        cells = ("-" if value is None else f"{_figure(value)} {row.unit}" for value in (row.value, row.floor, row.goal))
        table.add_row("\n".join(filter(None, (row.name, row.ratio))), *cells, str(notes.index(row.note) + 1) if row.note else "")
    out.print(table)
    for number, note in enumerate(notes, 1):
        out.print(f"{number}: {note}", markup=False, highlight=False)


def _figure(value: float) -> str:
    """Four digits, and no fewer than the whole ones."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _choose(where: str, value: str, allowed: tuple[str, ...]) -> str:
    from epidura.errors import nearest

    if value not in allowed:
        raise BadInput(where, "unknown", got=value, allowed=", ".join(allowed), hint=nearest(value, allowed))
    return value


def _positive(text: str, kind: str, where: str) -> float:
    from epidura.units import parse

    value = parse(text, kind, where)
    if value <= 0:
        raise BadInput(where, f"{'an' if where[0] in 'aeiou' else 'a'} {where.replace('_', ' ')} is positive", got=text, allowed="above 0")
    return value


def _trial(row: dict[str, Any], course: Course | None) -> Trial:
    """One combination of the options of ``threshold``."""
    import numpy as np

    from epidura import axon
    from epidura.single_fibre import Trial
    from epidura.units import parse

    sigma = _positive(row["sigma"], "conductivity", "sigma")
    trial = Trial(
        model=_choose("model", row["model"], tuple(axon.family.members)),
        diameter=_positive(row["diameter"], "length", "diameter"),
        distance=_positive(row["distance"], "length", "distance"),
        course=course or _pulse(row),
        sigma=sigma,
        sigma_long=_positive(row["sigma_long"], "conductivity", "sigma_long") if row["sigma_long"] else sigma,
        anode_at=parse(row["anode_at"], "length", "anode_at") if row["anode_at"] else None,
        dt=_positive(row["dt"], "time", "dt"),
        scheme=_choose("scheme", row["scheme"], ("backward-euler", "second-order")),
        nodes=_node_count(row["nodes"]),
    )
    trial.axon().check(np.array([trial.diameter]))
    trial.samples()
    return trial


def _node_count(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdigit() or not 5 <= int(text) <= 100_001 or int(text) % 2 == 0:
        raise BadInput("nodes", "not a number of nodes", got=text, allowed="an odd number from 5 on")
    return int(text)


def _pulse(row: dict[str, Any]) -> Course:
    from epidura.units import SI, parse
    from epidura.waveform.tonic import Tonic

    shape = _choose("waveform", row["waveform"], ("monophasic", "symmetric", "asymmetric"))
    width = _positive(row["pulse_width"], "time", "pulse_width")
    gap = parse(row["interphase_gap"], "time", "interphase_gap")
    if gap < 0:
        raise BadInput("interphase_gap", "a gap is not negative", got=row["interphase_gap"])
    slow = 1.0 / (20 * width + gap)
    return Tonic(frequency=SI(slow), pulse_width=SI(width), shape=shape, interphase_gap=SI(gap)).unit()


def _course_from_csv(path: Path) -> Course:
    """Rows ``time_us,value`` as a course whose first phase is +1 at a cathode."""
    import numpy as np

    from epidura.waveform import Course
    from epidura.waveform.sampled import read_course

    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as failure:
        raise BadInput(str(path), f"cannot be read: {failure}", allowed="a CSV file with columns time_us and value") from None
    course = read_course(rows, str(path))
    return Course(course.times, -course.values / np.abs(course.values[course.values != 0][0]))


if __name__ == "__main__":
    main()
