"""The report: one self-contained HTML page that a physician can look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from epidura import axon, figures, gate_page, outcome_page
from epidura.bodymap import body_map
from epidura.canal import build_canal
from epidura.firing import REACH
from epidura.generator import phase_of
from epidura.patient import indication_words
from epidura.result import CASE_WORDS, used_numbers
from epidura.tables import Number

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from epidura.case import Case
    from epidura.result import Result

DISCLAIMER = ("Research and education software, not a medical device. It reports what a model computes; it certifies no safety and "
              "replaces no clinical judgement.")
MOST_3D = 6
"""Browsers keep some eight WebGL pictures alive; programs beyond these come without the 3-D view."""

EVIDENCE_WORDS = {"recall": "from memory, source not read", "judgement": "our judgement", "computed": "computed", "read": "read in the source"}


UNITS = {"uC/cm2": "µC/cm²", "uA": "µA", "ohm": "Ω", "log10(uC/ph * uC/cm2/ph)": ""}


def references(case: Case) -> list[dict[str, str]]:
    """The sources of every number that a case uses, unverified ones first.

    Returns:
        rows with the keys source, doi, evidence and used_for.
    """
    return _sources(used_numbers(case, build_canal(case.anatomy, case.leads, accuracy="fast")))


def _sources(numbers: Iterable[Number]) -> list[dict[str, str]]:
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for number in numbers:
        grouped.setdefault((number.source, number.doi, number.evidence), []).append(number.name)
    order = {"judgement": 0, "recall": 1, "computed": 2, "read": 3}
    rows = [{"source": source, "doi": doi, "evidence": evidence, "used_for": "; ".join(names)}
            for (source, doi, evidence), names in grouped.items()]
    return sorted(rows, key=lambda row: (order[row["evidence"]], row["source"]))


def render(result: Result) -> str:
    """The page as text: no file or address outside it is needed to show it."""
    from plotly.offline import get_plotlyjs

    style = (files("epidura") / "data" / "report.css").read_text("utf-8")
    body = "\n".join([_head(result), _summary(result), *(_program(result, i) for i in range(len(result.case.rows))), _strength(result),
                      _stimulation(result), _gate(result), _outcome(result), _leads(result),
                      _impedances(result) + _interface(result), _unverified(result),
                      _references(result), _foot(result)])
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">\n'
            f"<title>{escape(result.case.title)} · Epidura</title>\n<style>{style}</style>\n<script>{get_plotlyjs()}</script>\n"
            f"</head><body><main>\n{body}\n</main></body></html>\n")


def _figure(figure: Figure, name: str) -> str:
    html: str = figure.to_html(full_html=False, include_plotlyjs=False, div_id=name,
                               config={"displaylogo": False, "responsive": True, "displayModeBar": False})
    return f'<div class="figure">{html}</div>'


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """Cells are HTML already."""
    top = "".join(f"<th>{h}</th>" for h in header)
    lines = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table class="{kind}"><thead><tr>{top}</tr></thead><tbody>\n{lines}\n</tbody></table></div>'


def _micro(words: str) -> str:
    return escape(words.replace(" us", " µs"))


def _mA(value: float) -> str:
    return f"{value * 1e3:.2f} mA" if np.isfinite(value) else "not reached"


def _head(result: Result) -> str:
    case, canal = result.case, result.canal
    sentences = []
    if case.patient:
        who = f"A person of {case.patient.age}" if case.patient.age is not None else "A person"
        why = f" with {indication_words(case.patient.indication)}" if case.patient.indication else ""
        areas = ", ".join(area.replace("-", " ") for area in case.patient.pain.areas)
        sentences.append(f"{who}{why}; pain in {areas}, {case.patient.pain.nrs:g} of 10.")
    for shaft in canal.shafts:
        top, bottom = max(c.z1 for c in shaft.contacts), min(c.z0 for c in shaft.contacts)
        leaning = "" if case.leads[shaft.lead].angle == 0.0 else f", leaning {np.rad2deg(case.leads[shaft.lead].angle):+.1f}° to the right upwards"
        sentences.append(f"{shaft.name}, {_beside(shaft.x)}{leaning}, contacts {shaft.contacts[0].number} to {shaft.contacts[-1].number} from "
                         f"{top * 1e3:+.0f} to {bottom * 1e3:+.0f} mm about the middle of {canal.vertebra}.")
    gap = (canal.cord.centre[1] - canal.cord.half_depth - canal.cord.dura_inner[:, 1].min()) * 1e3
    sentences.append(f"Cord segment {canal.cord.level} lies at vertebra {canal.vertebra}; {gap:.1f} mm of cerebrospinal fluid dorsal of the "
                     f"cord, which is {canal.cord.half_width * 2e3:.1f} mm wide and {canal.cord.half_depth * 2e3:.1f} mm deep.")
    if not canal.uniform:
        sentences.append("Canal and cord are the same all along the spine." if canal.course is None else
                         "Canal, cord and the wall between the vertebrae change along the spine.")
    kinds = ", ".join(f"{population.count} {figures.POPULATION_NAME[population.kind]}" for population in case.fibres)
    models = " and ".join(dict.fromkeys(axon.family.members[population.axon].named for population in case.fibres))
    sentences.append(f"{kinds} were simulated, each with every node and internode of the double cable ({models}).")
    about = f'<p class="lead">{escape(case.about)}</p>' if case.about else ""
    notes = "".join(f'<p class="note">{escape(words)}</p>' for words in result.warnings)
    return (f'<header><p class="brand">Epidura report</p><h1>{escape(case.title)}</h1>{about}'
            f'<p>{escape(" ".join(sentences))}</p>{notes}</header>')


def _beside(x: float) -> str:
    """A lateral place in words."""
    return f"{abs(x) * 1e3:.1f} mm {'right' if x > 0 else 'left'} of the midline" if abs(x) > 5e-5 else "at the midline"


def _summary(result: Result) -> str:
    rows = []
    for i, program in enumerate(result.case.rows):
        at = result.recruitment.isel(program=i)
        perception, discomfort = float(at.perception_threshold), float(at.discomfort_threshold)
        ratio = f"{discomfort / perception:.2f}" if np.isfinite(discomfort / perception) else "–"
        rows.append([f'<a href="#program-{i}">{escape(program.name)}</a>', escape(program.words()), _micro(program.waveform.words()),
                     _mA(perception), _mA(discomfort), ratio, _mA(float(at.programmed_amplitude)), _covered(result, i)])
    table = _table(("program", "contacts", "waveform", "perception threshold", "discomfort threshold", "ratio", "runs at", "pain covered"),
                   rows, "programs")
    rules = result.case.rules
    return (f"<section><h2>Programs</h2>{table}{_figure(figures.usage_ranges(result), 'usage')}"
            f'<p class="small">Perception threshold: the lowest amplitude at which the expected number of firing dorsal-column fibres of one '
            f"dermatome and side reaches {rules.felt_fibres:g}. Discomfort threshold: the lowest amplitude at which "
            f"{rules.discomfort_share:.0%} of the simulated thick fibres of one dorsal root fire, or {rules.discomfort_ratio:g} times the "
            f"perception threshold where no roots are simulated. Both rules are judgements. Amplitudes are those of the first phase.</p></section>")


def _covered(result: Result, program: int) -> str:
    if not result.case.patient:
        return "–"
    pain = result.case.patient.pain.dermatomes()
    felt = result.felt(program, float(result.recruitment.programmed_amplitude[program]))
    widest = result.felt(program, float(result.recruitment.discomfort_threshold[program]))
    return f"{len(felt & pain.keys())} of {len(pain)} dermatomes, {len(widest & pain.keys())} up to discomfort"


def _program(result: Result, i: int) -> str:
    program, at = result.case.rows[i], result.recruitment.isel(program=i)
    amplitude = float(at.programmed_amplitude)
    felt = result.felt(i, amplitude)
    pain = result.case.patient.pain.dermatomes() if result.case.patient else {}
    meant = "" if program.waveform.paraesthesia else " This waveform is meant to stay below perception."
    words = (f"{escape(program.words())}; {_micro(program.waveform.words())}; shown at {_mA(amplitude)}.{meant} "
             f"{_deepest(result, i)}")
    drawing = body_map(dict.fromkeys(felt, 1.0), result.case.patient.pain.areas if result.case.patient else (), title=f"Felt at {_mA(amplitude)}")
    three_d = _figure(figures.canal_3d(result, i), f"canal-{i}") if i < MOST_3D else ""
    return (f'<section id="program-{i}"><h2>{escape(program.name)}</h2><p>{words}</p>'
            f'<div class="pair">{three_d}{_figure(figures.axial(result, i), f"axial-{i}")}</div>'
            f"{_figure(figures.recruitment_curve(result, i), f'recruitment-{i}')}"
            f'<h3>Paraesthesia</h3><div class="pair"><div class="figure">{drawing}</div><div>{_dermatomes(result, i, felt, pain)}</div></div>'
            "</section>")


def _deepest(result: Result, i: int) -> str:
    at = result.recruitment.isel(program=i)
    column = (at.fibre_population == "dorsal-column").values
    fires = column & (at.threshold.values <= float(at.programmed_amplitude))
    if not fires.any():
        return "No dorsal-column fibre fires at this amplitude."
    return (f"{float(at.weight.values[fires].sum()):.0f} dorsal-column fibres fire, down to {at.depth.values[fires].max() * 1e3:.2f} mm under the "
            f"surface of the cord.")


def _dermatomes(result: Result, i: int, felt: set[tuple[str, str]], pain: dict[tuple[str, str], tuple[str, ...]]) -> str:
    thresholds = result.recruitment.dermatome_threshold.isel(program=i)
    known = [str(d) for d in thresholds.dermatome.values]
    names = sorted({*known, *(name for name, _ in pain)}, key=lambda name: ("CTLS".index(name[0]), int(name[1:])))
    rows = []
    for name in names:
        cells = [f"<b>{name}</b>"]
        for side in ("left", "right"):
            text = _mA(float(thresholds.sel(dermatome=name, body_side=side))) if name in known else "enters above this level"
            marks = (" felt" if (name, side) in felt else "") + (" pain" if (name, side) in pain else "")
            cells.append(f'<span class="mark{marks}">{text}</span>')
        rows.append(cells)
    note = ('<p class="small">Hatched in the figure is where it hurts. Coverage counts the dermatomes that these areas stand for '
            "(data/pain_areas.csv): of deep or referred pain they are its segments of the cord and not the skin that hurts.</p>" if pain else "")
    return (_table(("dermatome", "left, felt from", "right, felt from"), rows, "dermatomes")
            + f'<p class="small"><span class="mark felt">felt</span> <span class="mark pain">dermatome of the pain</span></p>{note}')


def _strength(result: Result) -> str:
    figure = figures.strength_duration(result)
    if figure is None:
        return ""
    return (f"<section><h2>Strength and duration</h2>{_figure(figure, 'strength')}"
            '<p class="small">Perception threshold of each tonic program with other pulse widths; Weiss: threshold = rheobase × (1 + chronaxie / '
            "width).</p></section>")


def _stimulation(result: Result) -> str:
    """Types of stimulation side by side: at the electrode, at the fibres, at the cell; nothing where nothing was delivered."""
    if not result.deliveries:
        return ""
    one = result.summary()["stimulation"]
    parts = [_waves(result), _charges(result), _fired(result, one), _electrical(result, one), _beside_limits(result, one), _battery(result)]
    return f'<section id="stimulation"><h2>Types of stimulation side by side</h2>{"".join(parts)}</section>'


def _outcome(result: Result) -> str:
    """Pain and quality of life; nothing where they were not predicted."""
    return "" if result.outcome is None or result.case.patient is None else outcome_page.section(result.outcome, _table, _figure)


def _gate(result: Result) -> str:
    """The pain gate; nothing where it was not run."""
    return "" if result.transmission is None else gate_page.section(result.transmission, _table, _figure)


def _doubt(unverified: bool) -> str:
    return ' <span class="doubt" title="not verified">?</span>' if unverified else ""


def _whole(cell: str) -> str:
    """A cell that is not broken."""
    return cell.replace(" ", "\u00a0")


def _figures(value: float | None, unit: str = "", digits: int = 3) -> str:
    """A number with so many figures, without an exponent where it is large."""
    if value is None or not np.isfinite(value):
        return "–"
    return _whole(f"{value:.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}") + (f"\u00a0{unit}" if unit else "")


def _waves(result: Result) -> str:
    rows = []
    for program, delivery in zip(result.case.programs, result.deliveries, strict=True):
        lines = [f"<strong>{escape(program.name)}</strong>",
                 *(f"{_micro(train.waveform.words())}: {escape(train.words())}" for train in program.trains)]
        if program.cycle is not None:
            lines.append(f"on {program.cycle.on:g} s, off {program.cycle.off:g} s")
        if program.ramp_up:
            lines.append(f"ramp of {program.ramp_up:g} s")
        if program.sources == "single":
            lines.append("one source for all contacts")
        words = "<br>".join(lines)
        if delivery is None:
            rows.append([words, "no amplitude: its perception threshold is not reached", ""])
            continue
        shown = delivery.cycle * (1 if delivery.cycle > 1e-3 else 10)
        rows.append([words, figures.waveform_picture(delivery, -0.02 * shown, shown, f"{program.name}: currents over a cycle"),
                     figures.waveform_picture(delivery, *figures.pulse_span(delivery), f"{program.name}: currents of one pulse")])
    return (f'{_table(("program", "currents at the contacts, a cycle", "one pulse of each train"), rows, "waves")}'
            '<p class="small">Into tissue at each contact: red, a cathode of the first phase; blue, an anode or the case. Of a carrier ten periods '
            "are drawn. The largest current stands above each picture; where contacts are joined for passive recharge it can be the recharge, which "
            "depends on the coupling capacitors.</p>")


def _charges(result: Result) -> str:
    """Thresholds in mA and as charge, and who fires at the amplitude of the program; one line a train."""
    rows = []
    for i, row in enumerate(result.case.rows):
        at = result.recruitment.isel(program=i)
        amplitude, perception = float(at.programmed_amplitude), float(at.perception_threshold)
        charge = phase_of(row.waveform) * 1e6
        fires = at.threshold.values <= amplitude
        column = (at.fibre_population == "dorsal-column").values

        def both(value: float, charge: float = charge) -> tuple[str, str]:
            return (_whole(_mA(value)), _figures(value * charge, "µC")) if np.isfinite(value) else ("not reached", "–")

        share = amplitude / perception if np.isfinite(amplitude / perception) else None
        root = f"{fires[~column].mean():.0%}" if (~column).any() and np.isfinite(amplitude) else "–"
        real = f"{at.weight.values[fires & column].sum():.0f}" if np.isfinite(amplitude) else "–"
        rows.append([escape(row.name), *both(perception), *both(float(at.discomfort_threshold)), *both(amplitude),
                     "–" if share is None else f"{share:.0%}", real, root])
    head = ("train", "perception", "per phase", "discomfort", "per phase", "runs at", "per phase", "of perception", "columns firing", "roots firing")
    return (f'<h3>Thresholds as current and as charge</h3>{_table(head, rows, "dense")}'
            '<p class="small">Each train by itself, one pulse or packet. Per phase: charge of the largest phase, all contacts of one sign together. '
            "Columns firing: dorsal-column fibres that the simulated ones stand for; roots firing: share of the simulated root fibres.</p>")


def _fired(result: Result, one: list[dict[str, Any]]) -> str:
    """Firing in time; nothing where it was turned off."""
    if not result.firing:
        return ""
    rows = []
    for program, told in zip(result.case.programs, one, strict=True):
        f = told.get("firing")
        if f is None:
            rows.append([escape(program.name), "no amplitude", *[""] * 8])
            continue
        if not f["fire"]:
            near = "no fibre is near its threshold" if not f["followed"] else f"none of {f['followed']} that are near"
            rows.append([escape(program.name), f"{near}, {f['duration_ms']:.0f} ms", *["–"] * 8])
            continue
        low, high = f["rate_range_Hz"]
        blocked = "–" if f["blocked"] is None else f"{f['blocked']} of {f['asked']} silent"
        rows.append([escape(program.name), f"{f['fire']} of {f['followed']} ({f['real_fibres']:.0f} real), {f['duration_ms']:.0f} ms",
                     f"{_figures(f['rate_Hz'])} ({_figures(low)} to {_figures(high)})", _figures(f["onset_rate_Hz"]), f"{f['answered']:.0%}",
                     _figures(f["latency_ms"]), f"{f['first_pulse']:.0f}", _figures(f["vector_strength"], digits=2),
                     f"{_figures(f['synchrony'], digits=2)} / {'–' if f['together'] is None else format(f['together'], '.0%')}", blocked])
    head = ("program", "fibres that fire", "rate, Hz", "in the first 10 ms, Hz", "pulses answered", "latency, ms", "pulse that fires first",
            "vector strength", "synchrony / within 1 ms", "blocked")
    return (f'<h3>Firing in time</h3>{_table(head, rows, "dense")}'
            f'<p class="small">All trains of a program together, on fibres with a threshold up to {REACH:g} times its amplitude; medians over '
            "the fibres that fire, at their upper end. Rate: in whole cycles after the first 10 ms. Pulses answered: share of the pulses or packets "
            "with an action potential. Pulse that fires first: its number in a packet; the last one also stands for the recharge after it. Vector "
            "strength: 1, always in the same phase of the train that is answered. Synchrony between fibres in bins of 1 ms: 1, all alike; within "
            "1 ms: mean share of the firing fibres that start within 1 ms of a pulse. "
            "Blocked: of the fibres that fired and fell silent under a kilohertz train, those that do not let an action potential pass.</p>")


def _electrical(result: Result, one: list[dict[str, Any]]) -> str:
    head = ("program", "voltage needed", "charge per phase", "charge density", "k of Shannon", "direct current", "power into wires and tissue")
    rows = []
    for told in one:
        if "compliance_V" not in told:
            rows.append([escape(told["name"]), "no amplitude", *[""] * 5])
            continue
        volts = _figures(told["compliance_V"], "V") if told["balanced"] else "grows without end"
        rows.append([escape(told["name"]), volts, _figures(told["charge_per_phase_uC"], "µC"),
                     _figures(told["charge_density_uC_cm2"], "µC/cm²"), f"{told['shannon_k']:.2f}", _figures(told["direct_current_uA"], "µA"),
                     _figures(told["load_power_mW"] * 1e3, "µW") if told["balanced"] else "–"])
    return (f'<h3>At the contacts</h3>{_table(head, rows, "dense")}<p class="small">Of the contact with the most. Voltage needed: between the '
            "terminals of the sources, coupling capacitors and passive recharge included; it grows without end where the charge does not come back. "
            "Power: mean, with turns of on and off.</p>")


def _beside_limits(result: Result, one: list[dict[str, Any]]) -> str:
    """Each figure beside each named limit: a line a limit, a column a program."""
    known = [told["limits"] for told in one if "limits" in told]
    if not known:
        return ""
    rows = []
    for k, limit in enumerate(known[0]):
        cells = []
        for told in one:
            here = told["limits"][k] if "limits" in told else None
            # a least value is passed from above
            marked = here is not None and here["above"] is not here["name"].startswith("clinical impedance, least")
            cells.append("–" if here is None else f'<span class="{"above" if marked else "under"}">{_figures(here["value"])}</span>')
        unit = UNITS.get(limit["unit"], limit["unit"])
        rows.append([escape(limit["name"]) + _doubt(limit["unverified"]), _whole(f"{limit['limit']:g} {escape(unit)}"), *cells,
                     escape(limit["source"])])
    head = ("named limit", "limit", *(escape(told["name"]) for told in one), "source")
    return (f'<h3>Beside named limits</h3>{_table(head, rows, "dense limits")}'
            '<p class="small">Reported, not judged. <span class="above">Marked</span>: above the limit, or below a least value. '
            '<span class="doubt">?</span>: the limit is from memory or a judgement.</p>')


def _battery(result: Result) -> str:
    """Power and battery, and what the generator cannot deliver; nothing where the case names none."""
    own = result.generator
    if own is None:
        return ""

    def span(pair: tuple[float, float] | None, scale: float, unit: str) -> str:
        return "not known" if pair is None else f"{_figures(pair[0] * scale)} to {_figures(pair[1] * scale, unit)}"

    rows: list[list[str]] = []
    told: list[tuple[str, tuple[str, ...]]] = []
    refused: list[str] = []
    for i, program in enumerate(result.case.programs):
        power, violations = result.power(i), result.violations(i)
        if power is None:
            rows.append([escape(program.name), "no amplitude" if not result.deliveries[i] else "the charge does not come back", *[""] * 4])
        else:
            lasts = span(power.life_years, 1, "years") if own.battery == "primary" else span(power.recharge_days, 1, "days")
            rows.append([escape(program.name), span(power.pulse_energy_J, 1e6, "µJ"), span(power.stimulation_W, 1e6, "µW"),
                         span(power.total_W, 1e6, "µW"), lasts, f"{len(violations)}, see below" if violations else "none that is known"])
            told.append((program.name, power.words))
        if violations:
            other, changes = own.nearest(program, result.deliveries[i] if result.deliveries else None)
            near = "; ".join(changes) or "nothing to change"
            refused.append(f"<li>{'<br>'.join(escape(str(v)) + _doubt(v.unverified) for v in violations)}<br>"
                           f"{'nearest program' if other is not None else 'no program near it'}: {escape(near)}</li>")
    lasting = "life" if own.battery == "primary" else "between charges"
    head = ("program", "energy of a pulse", "stimulation", "with base current", lasting, "limits exceeded")
    # what is said of every program is said once
    common = [words for words in (told[0][1] if told else ()) if all(words in other for _, other in told)]
    assumed = f"<p>{escape('; '.join(common))}.</p>" if common else ""
    for name, every in told:
        if own_words := [words for words in every if words not in common]:
            assumed += f"<p><strong>{escape(name)}</strong>: {escape('; '.join(own_words))}.</p>"
    unknown = f" Nothing was found about: {', '.join(own.unknown())}; these are not enforced or not counted." if own.unknown() else ""
    return (f'<h3>Generator: {escape(own.model)}, {escape(own.manufacturer)}</h3>{_table(head, rows, "dense")}'
            + (f'<ul class="refused">{"".join(refused)}</ul>' if refused else "")
            + f'<p class="small">Every range is over what is not known of the generator.{escape(unknown)}</p>'
            f"<details><summary>What these ranges assume</summary>{assumed}</details>")


def _leads(result: Result) -> str:
    """Where the leads lie, what grew around them and what is not sure of them; the canal beside them where it changes."""
    rows = []
    for shaft, lead in zip(result.canal.shafts, result.case.leads, strict=True):
        shape, layer = lead.shape(), lead.layer()
        size = (f"⌀ {shaft.radius * 2e3:.2f} mm" if shaft.half_width is None
                else f"{shape.half_width * 2e3:.1f} mm wide, {shaft.radius * 2e3:.1f} mm thick")
        grown = "none" if layer.thickness == 0 else f"{layer.thickness * 1e3:.2f} mm"
        if layer.conductivity is not None and layer.thickness > 0:
            grown += f", {layer.conductivity:.3g} S/m"
        unsure: dict[str, list[str]] = {}
        for n in (*shape.numbers, *layer.numbers):
            if n.unverified:
                unsure.setdefault(EVIDENCE_WORDS[n.evidence], []).append(escape(n.name.removesuffix(f" of {shape.name}")))
        rows.append([f"<b>{shaft.lead + 1}</b>", escape(shaft.name), size, f"{shaft.contacts[0].number}–{shaft.contacts[-1].number}",
                     escape(f"{lead.tip_vertebra} {lead.tip_offset * 1e3:+.0f} mm" if lead.tip_offset else lead.tip_vertebra),
                     _beside(shaft.x), f"{np.rad2deg(lead.angle):.1f}°", f"{lead.depth * 1e3:.2f} mm", grown,
                     "<br>".join(f"{why}: {', '.join(names)}" for why, names in unsure.items()) or "nothing"])
    table = _table(("lead", "model", "size", "contacts", "tip", "middle of the contacts", "angle", "off the dura", "encapsulation", "not verified"),
                   rows, "leads")
    along = figures.sections(result)
    return f"<section><h2>Leads in the canal</h2>{table}{'' if along is None else _figure(along, 'sections')}</section>"


def _impedances(result: Result) -> str:
    z = result.lead_field.impedance
    numbers = result.lead_field.contacts
    contacts = {contact.number: contact for contact in result.canal.contacts}
    columns: dict[tuple[int, float | None], list[list[str]]] = {}
    for k, number in enumerate(numbers):
        here = contacts[number]
        column = here.lead, here.left
        after = contacts.get(numbers[k + 1]) if k + 1 < len(numbers) else None
        nxt = after is not None and (after.lead, after.left) == column
        pair = f"{z[k, k] + z[k + 1, k + 1] - 2 * z[k, k + 1]:.0f} Ω" if nxt else ""
        columns.setdefault(column, []).append([f"<b>{number}</b>", f"{500 * (here.z0 + here.z1):+.1f} mm", f"{z[k, k]:.0f} Ω", pair])
    tables = "".join(f'<div><h3>{escape(_column_name(result, *column))}</h3>'
                     f"{_table(('contact', 'height', 'to the case', 'to the next'), rows)}</div>" for column, rows in columns.items())
    also = "" if result.interface is None else "; the interface is in the next section"
    return (f'<section><h2>Contact impedances</h2><div class="columns">{tables}</div>'
            f'<p class="small">Height of the middle of the contact above the middle of {escape(result.canal.vertebra)}. '
            "Access resistance of the tissue with the layer around the lead. The interface of metal and tissue and the wires, "
            f"which a generator also measures, are not part of it{also}.</p><p>{escape(field_words(result))}</p></section>")


def _interface(result: Result) -> str:
    """What the interface of the contacts adds, program by program; nothing where the case has none."""
    recipe, programs = result.case.interface, [program.get("interface") for program in result.summary()["programs"]]
    if recipe is None or result.interface is None:
        return ""

    def lines(rows: list[dict[str, Any]], name: Callable[[dict[str, Any]], str]) -> str:
        return whole("<br>".join(f'{name(row)}: {row["tissue_ohm"]:.0f} → {row["measured_ohm"]:.0f} Ω' for row in rows)) or "–"

    def whole(cell: str) -> str:
        return cell.replace(" ", "\u00a0")  # lines are not broken inside

    rows = []
    for program, one in zip(result.case.rows, programs, strict=True):
        volts = (f"{one['tissue_voltage_V']:.2f} → {one['voltage_V']:.2f} V<br>at {one['phase_ends_us']:g} µs"
                 if np.isfinite(float(result.interface.amplitude.sel(program=program.name))) else "not reached")
        wagner = (f"{number}: {value:.2g}" for number, value in one["wagner"].items())
        rows.append([escape(program.name), lines(one["pairs"], lambda row: " to ".join(map(str, row["contacts"]))),
                     lines(one["to_case"], lambda row: str(row["contact"])), whole(volts),
                     whole("<br>".join([*wagner, f"at {one['pulse_frequency_Hz']:.0f} Hz"])),
                     escape(one["field"])])
    table = _table(("program", "between contacts", "to the case", "voltage, first phase", "Wagner number", "field as solved"), rows, "leads")
    beside = "without charge transfer" if recipe.charge_transfer is None else f"with {recipe.charge_transfer:.3g} Ω m² of charge transfer beside it"
    unsure = "; ".join(f"{escape(' '.join((n.name, f'{n.value:g}', n.unit if n.unit != '1' else '')).strip())}, {EVIDENCE_WORDS[n.evidence]}"
                       for n in recipe.numbers() if n.unverified)
    far = f" Programs with the case: {CASE_WORDS}." if any(one["uses_case"] for one in programs) else ""
    return (f"\n<section><h2>Contact interface</h2><p>Each contact has a constant-phase element of {recipe.magnitude:.3g} S sⁿ/m², "
            f"n = {recipe.exponent:g}, {beside}, in series with the tissue. It changes no threshold: contacts are equipotential in the field.</p>"
            f'{table}<p class="small">Tissue alone → with the interface. Impedances: magnitude at {float(result.interface.frequency):g} Hz. '
            "Voltage: highest above lowest contact in use at the end of the first phase, at the amplitude that the program runs at, interfaces at "
            "rest before. Wagner number: impedance of the interface over the resistance of the tissue around the contact, at 1 / (2π t), t the "
            "longest time for which a pulse or packet charges the interface one way. The model is for small signals; at clinical currents the "
            f"impedance of platinum is lower, so these are upper estimates.{far}</p><p>Not verified: {unsure}.</p></section>")


def interface_lines(result: Result) -> list[str]:
    """What the interface adds, a line per program, without HTML; none where the case has no interface."""
    if result.interface is None:
        return []
    found = [f"contact interface, tissue alone -> with it: impedances at {float(result.interface.frequency):g} Hz, voltage at the end of the first "
             "phase"]
    for program in result.summary()["programs"]:
        one = program["interface"]
        pairs = [f"{'-'.join(map(str, pair['contacts']))} {pair['tissue_ohm']:.0f} -> {pair['measured_ohm']:.0f} ohm" for pair in one["pairs"]]
        to_case = [f"{row['contact']}-case {row['tissue_ohm']:.0f} -> {row['measured_ohm']:.0f} ohm" for row in one["to_case"] if one["uses_case"]]
        volts = [] if one["voltage_V"] is None else [f"{one['tissue_voltage_V']:.2f} -> {one['voltage_V']:.2f} V"]
        found.append(f"  {program['name']}: {', '.join([*pairs, *to_case, *volts])}; {one['field']}{'; ' + CASE_WORDS if one['uses_case'] else ''}")
    return found


def _column_name(result: Result, lead: int, left: float | None) -> str:
    """What a column of contacts is called."""
    shaft = result.canal.shafts[lead]
    if left is None:
        return f"lead {lead + 1}"
    right = next(c.right for c in shaft.contacts if c.left == left)
    assert right is not None
    off = 0.5 * (left + right)
    return f"lead {lead + 1}, {_beside(off).replace('of the midline', 'of its middle').replace('at the midline', 'middle column')}"


def field_words(result: Result) -> str:
    """How good the field is, in a sentence."""
    error = result.field_error
    if error is None:
        return (f"The field was solved with accuracy {result.canal.accuracy} and not compared with another one; its errors are those that "
                "docs/field.md states for this accuracy.")
    return (f"The field (accuracy {result.canal.accuracy}) is good to {error.potential:.2%} of the potential, "
            f"{error.second_difference:.2%} of its second difference over 1 mm, which drives fibres, and {error.impedance:.2%} of the impedances "
            "between neighbouring contacts: the largest differences from the next coarser accuracy on the fibres in use, relative to the "
            "largest value on each.")


def _unverified(result: Result) -> str:
    rows = [[escape(n.name), f"{n.value:g} {escape(n.unit if n.unit != '1' else '')}", EVIDENCE_WORDS[n.evidence], escape(n.source)]
            for n in result.numbers if n.unverified]
    return (f"<section><h2>Unverified numbers that this result stands on</h2><p>{len(rows)} of {len(result.numbers)} numbers that were used were "
            f"not read in their source. Change one in the case or in the tables to see what hangs on it.</p>"
            f"<details><summary>Show them</summary>{_table(('number', 'value', 'how sure', 'source'), rows)}</details></section>")


def _references(result: Result) -> str:
    rows = [[escape(row["source"]), _link(row["doi"]), EVIDENCE_WORDS[row["evidence"]], escape(row["used_for"])]
            for row in _sources(result.numbers)]
    return (f"<section><h2>References</h2><details><summary>{len(rows)} sources of the numbers in this result</summary>"
            f"{_table(('source', 'where', 'how sure', 'used for'), rows)}</details></section>")


def _link(doi: str) -> str:
    """A DOI or an address as a link; what is neither stays text."""
    first = doi.split(" ")[0].rstrip(";")
    if first.startswith("10."):
        return f'<a href="https://doi.org/{escape(first)}">{escape(first)}</a>'
    return f'<a href="{escape(first)}">link</a>' if first.startswith("http") else escape(doi)


def _foot(result: Result) -> str:
    spent = ", ".join(f"{verb} {seconds:.2f} s" for verb, seconds in result.timings.items())
    made = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    sizes = ", ".join(f"{name} {value:,.6g}" for name, value in result.lead_field.notes.items())
    return (f"<footer><p>Time: {spent}; on {result.device}. Field: {escape(sizes)}.</p><p>{escape(made)}; case {result.case.key()}.</p>"
            f"<p><b>{DISCLAIMER}</b></p></footer>")
