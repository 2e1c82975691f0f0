"""The clinic view as one self-contained HTML page, drawn from an ``Overview`` alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from html import escape
from importlib.resources import files

import plotly.graph_objects as go

from epidura.clinic.views import ALARMS, Outcome, Overview, Published, Share
from epidura.figures import ANODE, FELT, HURTS, IDLE, INK, plain, style
from epidura.report import _figure, _table

FOOT = ("Research and education software, not a medical device. This page counts what is on record; it certifies no safety and replaces no "
        "clinical judgement. Patients are shown under pseudonyms of this record: it is for the clinic that keeps it.")
MOST = 60
"""Lines of a list; the rest is counted."""


def overview_page(found: Overview, title: str = "Clinic") -> str:
    """The page as text: no file or address outside it is needed to show it."""
    from plotly.offline import get_plotlyjs

    css = (files("epidura") / "data" / "report.css").read_text("utf-8")
    body = "\n".join([_head(found, title), _where(found), _late(found), _due(found), _outcomes(found), _trials(found), _infections(found),
                      _explants(found), _complications(found), _foot(found)])
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">\n'
            f"<title>{escape(title)} · Epidura</title>\n<style>{css}</style>\n<script>{get_plotlyjs()}</script>\n"
            f"</head><body><main>\n{body}\n</main></body></html>\n")


def _head(found: Overview, title: str) -> str:
    alarms = [f"{sum(each.alarm == name for each in found.late)} × {name}" for name in ALARMS if any(each.alarm == name for each in found.late)]
    said = f"{', '.join(alarms)}." if alarms else "Nobody is late."
    return (f'<header><p class="brand">Epidura clinic</p><h1>{escape(title)} on {found.today}</h1>'
            f'<p class="lead">{found.patients:,} patients on record, {found.died} of them died, {found.erased} erased. {escape(said)} '
            f"{len(found.due)} visits are due.</p></header>")


def _where(found: Overview) -> str:
    names, counts = list(found.stages), list(found.stages.values())
    figure = go.Figure(go.Bar(x=counts, y=[plain(name) for name in names], orientation="h", marker_color=FELT, text=counts, textposition="outside",
                              cliponaxis=False, hovertemplate="%{y}: %{x}<extra></extra>"))
    figure.layout.template = "none"
    style(figure, "Patients by stage", height=80 + 26 * max(len(names), 1), showlegend=False)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_layout(margin={"t": 40, "b": 20, "r": 40})
    figure.update_xaxes(showticklabels=False, showgrid=False)
    return f"<section><h2>Who is where</h2>{_figure(figure, 'stages') if names else '<p>No patients yet.</p>'}</section>"


def _late(found: Overview) -> str:
    rows = [[_kept(f'<span class="above">{escape(each.alarm)}</span>'), _kept(escape(each.pseudonym)), escape(each.words), _kept(each.since),
             f"{each.days:,}"]
            for each in found.late]
    return f"<section><h2>Who is late</h2>{_listed(('what', 'patient', '', 'since', 'days'), rows, 'Nobody is late.')}</section>"


def _kept(cell: str) -> str:
    """A cell that is not broken, at its hyphens either."""
    return f'<span style="white-space:nowrap">{cell}</span>'


def _due(found: Overview) -> str:
    rows = [[_kept(escape(each.pseudonym)), escape(each.visit), _kept(each.opens), _kept(each.closes)] for each in found.due]
    return f"<section><h2>Visits that are due</h2>{_listed(('patient', 'visit', 'from', 'to'), rows, 'No visit is due.')}</section>"


def _listed(head: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> str:
    if not rows:
        return f"<p>{empty}</p>"
    more = f'<p class="small">and {len(rows) - MOST} more</p>' if len(rows) > MOST else ""
    return _table(head, rows[:MOST], "dense") + more


# outcomes

def _share(share: Share) -> str:
    if share.percent is None:
        return f"{share.k} of {share.n}"
    return f"{share.percent:.0f}\u00a0% {_small(f'({share.low:.0f} to {share.high:.0f}; {share.k} of {share.n})')}"


def _small(words: str) -> str:
    return f'<span class="small">{words}</span>'


def _published(found: Iterable[Published], unit: str = "%") -> str:
    rows = []
    for each in found:
        span = f"{each.low:.3g} to {each.high:.3g}" if each.low is not None and each.high is not None else ""
        doubt = ' <span class="doubt" title="not verified: from memory or a judgement">?</span>' if each.unverified else ""
        rows.append([escape(each.name), (f"{each.value:.3g}" if each.value is not None else "") + doubt, span, f"{each.n:,}" if each.n else "",
                     escape(each.words), escape(each.source)])
    return ('<details><summary>Published figures beside it</summary>'
            f"{_table(('of', unit, 'interval or range', 'people', 'what', 'source'), rows, 'dense')}</details>") if rows else ""


def _outcomes(found: Overview) -> str:
    rows = [[_months(one), f"{one.expected}", f"{one.seen}", _share(one.responder50), _share(one.responder30), _share(one.responder50_of_all),
             "" if one.change is None else f"{one.change:+.1f} {_small(f'({one.change_low:+.1f} to {one.change_high:+.1f})')}"]
            for one in found.outcomes]
    head = ("after", "expected", "seen", "half of the pain gone, of those seen", "30 % gone, of those seen", "half gone, of all expected",
            "change of NRS")
    told = [replace(each, name=f"{one.months} mo: {each.name}") for one in found.outcomes for each in one.published]
    drawn = _figure(_responders(found.outcomes), "responders")
    return (f'<section><h2>Outcomes</h2>{drawn}{_table(head, rows, "dense")}'
            '<p class="small">Intervals: 95 %, Wilson for shares, Student for the mean. Of all expected, those not seen or without a system any '
            f"more count as no responders.</p>{_published(told, '% or NRS')}</section>")


def _months(one: Outcome) -> str:
    return f"{one.months}\u00a0month{'' if one.months == 1 else 's'}"


def _responders(outcomes: Sequence[Outcome]) -> go.Figure:
    figure = go.Figure()
    figure.layout.template = "none"
    for name, colour, shift in (("responder50", FELT, -0.06), ("responder30", ANODE, 0.06)):
        shown = [(k, getattr(one, name)) for k, one in enumerate(outcomes) if getattr(one, name).percent is not None]
        figure.add_scatter(
            x=[k + shift for k, _ in shown], y=[share.percent for _, share in shown], mode="markers", marker={"color": colour, "size": 10},
            name="half of the pain gone" if name == "responder50" else "30 % of the pain gone",
            error_y={"type": "data", "symmetric": False, "array": [share.high - share.percent for _, share in shown],
                     "arrayminus": [share.percent - share.low for _, share in shown], "thickness": 1.5, "width": 5},
            hovertemplate="%{y:.0f} %<extra></extra>")
    spots = [(k, each) for k, one in enumerate(outcomes) for each in one.published if each.words.startswith("responder50") and each.value is not None]
    figure.add_scatter(x=[k for k, _ in spots], y=[each.value for _, each in spots], mode="markers", name="published, half of the pain gone",
                       marker={"color": HURTS, "size": 9, "symbol": "diamond-open", "line": {"width": 1.5}},
                       text=[plain(f"{each.name}, {each.words}") for _, each in spots], hovertemplate="%{text}: %{y:.0f} %<extra></extra>")
    style(figure, "Responders of those seen", height=360, legend={"orientation": "h", "y": -0.16}, showlegend=True)
    figure.update_xaxes(tickvals=list(range(len(outcomes))), ticktext=[_months(one) for one in outcomes], range=[-0.5, len(outcomes) - 0.5])
    figure.update_yaxes(title="% of patients", range=[0, 100])
    return figure


def _trials(found: Overview) -> str:
    return (f"<section><h2>From trial to implant</h2><p>{_share(found.trial_to_implant)} of the trials that are over led to an implant; "
            f"{found.trials_waiting} that succeeded wait for theirs.</p>{_published(found.trial_published)}</section>")


# infections, explants, complications

def _infections(found: Overview) -> str:
    chart = found.run_chart
    figure = go.Figure()
    figure.layout.template = "none"
    figure.add_scatter(x=[point.quarter for point in chart.points], y=[point.value for point in chart.points], mode="lines+markers",
                       line={"color": FELT, "width": 2}, marker={"size": 9, "color": ["white" if point.open else FELT for point in chart.points],
                                                                 "line": {"color": FELT, "width": 2}},
                       text=[f"{point.k} of {point.n}" for point in chart.points], hovertemplate="%{x}: %{text}<extra></extra>")
    if chart.median is not None:
        figure.add_hline(y=chart.median, line={"color": IDLE, "width": 1.5, "dash": "dash"}, annotation_text=f"median {chart.median:.3g}",
                         annotation_font_color=INK)
    style(figure, "Infections by quarter of the implant", height=320, showlegend=False)
    figure.update_yaxes(title="% of implants" if chart.unit == "%" else "people with an infection", rangemode="tozero",
                        range=[0, 1.15 * max([1.0, *(point.value for point in chart.points)])])
    if chart.unit == "count" and max((point.value for point in chart.points), default=0) < 8:
        figure.update_yaxes(dtick=1)
    figure.update_xaxes(type="category")
    signals = "".join(f'<p class="note">{escape(each)}</p>' for each in chart.signals)
    drawn = _figure(figure, "infections") if chart.points else ""
    return (f"<section><h2>Infections</h2><p>{_share(found.infection)}: {escape('; '.join(found.infection_words))}.</p>{drawn}{signals}"
            f'<p class="small">{escape(chart.words[:1].upper() + chart.words[1:])}.</p>{_published(found.infection_published)}</section>')


def _explants(found: Overview) -> str:
    one = found.explants
    if not one.n:
        return "<section><h2>Explants</h2><p>Nobody was implanted.</p></section>"
    figure = go.Figure()
    figure.layout.template = "none"
    last = max([12.0, *one.months, *(float(each["month"] or 0) for each in one.at if each["at_risk"])])
    x, y = [0.0, *one.months, last], [100.0, *one.share, one.share[-1] if one.share else 100.0]
    figure.add_scatter(x=x, y=y, mode="lines", line={"shape": "hv", "color": FELT, "width": 2.5}, name="this clinic",
                       hovertemplate="%{y:.1f} %<extra></extra>")
    shown = [each for each in one.at if each["low"] is not None and each["high"] is not None and each["share"] is not None]
    figure.add_scatter(x=[each["month"] for each in shown], y=[each["share"] for each in shown], mode="markers", marker={"color": FELT, "size": 8},
                       name="with 95 % interval", error_y={"type": "data", "symmetric": False, "thickness": 1.5, "width": 5,
                                                           "array": [(each["high"] or 0) - (each["share"] or 0) for each in shown],
                                                           "arrayminus": [(each["share"] or 0) - (each["low"] or 0) for each in shown]})
    years = [(12.0 * int(each.name.split()[-2]), each) for each in one.published
             if each.name.startswith("explant-free") and each.value is not None]
    figure.add_scatter(x=[month for month, _ in years if month <= last], y=[each.value for month, each in years if month <= last], mode="markers",
                       name="published: 10 kHz, two private clinics", marker={"color": HURTS, "size": 9, "symbol": "diamond-open"},
                       hovertemplate="%{y:.1f} %<extra></extra>")
    style(figure, "Share that still has the system", height=360, legend={"orientation": "h", "y": -0.32}, showlegend=True)
    figure.update_xaxes(title="months after the implant", rangemode="tozero", dtick=6)
    theirs = [float(each.value or 100) for month, each in years if month <= last]
    low = min([100.0, *one.share, *(float(each["low"] or 100) for each in shown), *theirs])
    figure.update_yaxes(title="% (Kaplan-Meier)", range=[max(0.0, 10 * (low // 10) - 10), 101])
    rows = [[f"{each['month']}\u00a0months", "too few at risk" if each["share"] is None else f"{each['share']:.1f}\u00a0%",
             "" if each["low"] is None else f"{each['low']:.1f} to {each['high']:.1f}", f"{each['at_risk']}"] for each in one.at]
    reasons = ", ".join(f"{escape(name)} {count}" for name, count in sorted(one.reasons.items(), key=lambda pair: -pair[1])) or "none"
    return (f"<section><h2>Explants</h2><p>{one.explants} of {one.n} systems were taken out: {reasons}.</p>{_figure(figure, 'explants')}"
            f"{_table(('after', 'still has the system', '95 % interval', 'at risk'), rows, 'dense')}{_published(one.published)}</section>")


def _complications(found: Overview) -> str:
    rows = []
    for each in found.complications:
        beside = each.published
        value = ""
        if beside is not None:
            span = f"({beside.low:.3g} to {beside.high:.3g})" if beside.low is not None and beside.high is not None else ""
            middle = f"{beside.value:.3g}" if beside.value is not None else ""
            value = f"{' '.join(one for one in (middle, span) if one)} %, {escape(beside.source)}"
        rows.append([escape(each.kind.replace("-", " ")), _share(each.share), f"{each.events}", value, escape("; ".join(each.words))])
    head = ("kind", "people, of the implanted", "events, trials included", "published", "")
    return f"<section><h2>Complications</h2>{_listed(head, rows, 'None is on record.')}</section>"


def _foot(found: Overview) -> str:
    return f"<footer>{''.join(f'<p>{escape(note)}.</p>' for note in found.notes)}<p><b>{FOOT}</b></p></footer>"
