"""Pain and quality of life on a page: what may be expected, in words a person can read, with what the uncertainty comes from."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from epidura.evidence.model import therapies
from epidura.figures import ANODE, CATHODE, FELT, HURTS, IDLE, INK, plain, style

YEAR = 12.0
COLOURS = (FELT, CATHODE, ANODE, HURTS)
PART_COLOURS = {"natural course": IDLE, "context": "#d9a441", "neural effect": FELT}
PLAINLY = {"this person's answer to stimulation": "how much stimulation does for you yourself",
           "this person's answer to being treated": "how much being treated does for you yourself",
           "the course without stimulation": "how your pain would go on without it", "what trials leave open": "what studies have not settled",
           "what coverage and the gate mean for relief": "what the lead reaches, and what that means for relief, which nobody has measured",
           "loss of the effect": "whether the effect lasts",
           "error of writing pain down": "that people write the same pain down differently from day to day"}
"""Where uncertainty comes from (``outcome.DRIVERS``), said to the person themselves."""
WORDS = {0.0: "before", 0.25: "trial stage", 1.0: "1 month", 3.0: "3 months", 6.0: "6 months", 12.0: "1 year", 24.0: "2 years"}


def section(found: xr.Dataset, table: Callable[..., str], figure: Callable[[go.Figure, str], str]) -> str:
    """The section of a report; ``table`` and ``figure`` make HTML of rows and of figures."""
    known = [i for i, therapy in enumerate(found.attrs["therapy"]) if therapy]
    if not known:
        words = "".join(f"<p>{escape(one)}</p>" for one in found.attrs["notes"]) or "<p>No program has an amplitude to predict from.</p>"
        return f'<section id="outcome"><h2>Pain and quality of life</h2>{words}</section>'
    parts = [
        "".join(f'<p class="lead">{escape(in_words(found, i))}</p>' for i in known),
        figure(courses(found, known), "outcome-pain"),
        _expected(found, table, known),
        _stages(found, table, known),
        '<div class="pair">' + "".join(f"<div>{one}</div>" for one in (figure(contributions(found, known), "outcome-parts"),
                                                                      figure(drivers(found, known), "outcome-drivers"))) + "</div>",
        f'<p class="small">Evidence for this indication: {escape(found.attrs["grade"])}. The model was fitted to eight published sources '
        "(docs/outcome.md) and is about people, not about this one person: it knows the pain now, what the lead covers and where the gate stands "
        "among virtual patients. Bands are 50 and 90 % of people like this one. Coverage and gate have never been measured against relief; their "
        "weights are drawn between nothing and all. Quality of life follows from pain by relations between people, which is a judgement.</p>"]
    return f'<section id="outcome"><h2>Pain and quality of life</h2>{"".join(parts)}</section>'


def in_words(found: xr.Dataset, i: int) -> str:
    """What may be expected of a program, for the person themselves."""
    at = found.isel(program=i).sel(month=YEAR)
    of = round(100 * float(at.responder50))
    passing = round(100 * float(at.trial_success))
    low, middle, high = (float(at.pain.sel(quantile=q)) for q in (0.25, 0.5, 0.75))
    start, without = float(found.pain_without.isel(month=0).sel(quantile=0.5)), float(found.pain_without.sel(month=YEAR, quantile=0.5))
    name, therapy = str(found.program.values[i]), str(found.attrs["therapy"][i])
    unknown = "" if therapy in therapies() else (f" No trial of {therapy.replace('-', ' ')} stimulation stands behind these numbers: they are "
                                                 "those of a typical therapy, and say nothing about which is better.")
    return (f"With {name}: of 100 people like this one who get the stimulator, about {of} would have lost half of their pain or more after a "
            f"year. Pain is {start:g} of 10 now; in the middle half of these people it would then be {low:.0f} to {high:.0f}, most often near "
            f"{middle:.0f}; without stimulation near {without:.0f}. About {passing} of 100 would pass the trial stage.{unknown}")


def courses(found: xr.Dataset, known: list[int]) -> go.Figure:
    """Pain in time: bands of people with each program and without stimulation."""
    names = [plain(str(found.program.values[i])) for i in known]
    figure = make_subplots(rows=1, cols=len(known) + 1, shared_yaxes=True, horizontal_spacing=0.03, subplot_titles=(*names, "without stimulation"))
    figure.layout.template = "none"
    steps = list(range(found.month.size))
    for column, (values, colour) in enumerate([*((found.pain.values[i], COLOURS[k % len(COLOURS)]) for k, i in enumerate(known)),
                                               (found.pain_without.values, IDLE)], start=1):
        for low, high, opacity in ((0, 4, 0.18), (1, 3, 0.35)):
            figure.add_scatter(x=[*steps, *steps[::-1]], y=[*values[high], *values[low][::-1]], fill="toself", fillcolor=colour, opacity=opacity,
                               line={"width": 0}, mode="lines", hoverinfo="skip", showlegend=False, row=1, col=column)
        figure.add_scatter(x=steps, y=values[2], mode="lines+markers", line={"color": colour, "width": 2.5}, showlegend=False,
                           hovertemplate="%{y:.1f}<extra></extra>", row=1, col=column)
        figure.update_xaxes(tickvals=steps, ticktext=[WORDS.get(float(m), f"{m:g} mo") for m in found.month.values], tickangle=-45, row=1, col=column)
    figure.update_yaxes(range=[0, 10], row=1, col=1, title="pain (NRS)")
    style(figure, "Pain in time: middle, 50 % and 90 % of people like this one", height=400)
    figure.update_annotations(font={"size": 12.5})
    figure.update_layout(margin={"b": 90, "l": 50, "t": 64})
    return figure


def contributions(found: xr.Dataset, known: list[int]) -> go.Figure:
    """What natural course, context and neural effect take from the pain at a year."""
    figure = go.Figure()
    names = [plain(str(found.program.values[i])) for i in known]
    for k, part in enumerate(found.part_name.values):
        figure.add_bar(y=names, x=[float(found.part[i, k].sel(month=YEAR)) for i in known], orientation="h", name=str(part),
                       marker={"color": PART_COLOURS[str(part)]}, hovertemplate=f"{part}: %{{x:.1f}} of 10<extra></extra>")
    style(figure, "What takes pain away after a year (mean)", height=170 + 60 * len(known), barmode="relative",
          legend={"orientation": "h", "y": -0.55})
    figure.update_xaxes(title={"text": "points of 10", "font": {"size": 12}})
    figure.update_layout(margin={"l": 90, "b": 90})
    return figure


def drivers(found: xr.Dataset, known: list[int]) -> go.Figure:
    """Which source explains how much of the variance between people at a year."""
    first = known[0]
    share = found.driver_share.values[first]
    order = np.argsort(share)
    figure = go.Figure(go.Bar(y=[str(found.driver.values[k]) for k in order], x=100 * share[order], orientation="h", marker={"color": INK},
                              hovertemplate="%{x:.0f} %<extra></extra>"))
    style(figure, f"Where the uncertainty comes from ({plain(str(found.program.values[first]))}, pain at a year)", height=300)
    figure.update_xaxes(title={"text": "% of the variance", "font": {"size": 12}}, rangemode="tozero")
    figure.update_layout(margin={"l": 260, "b": 60})
    return figure


def _band(values: xr.DataArray, form: str) -> str:
    low, middle, high = (format(float(values.sel(quantile=q)), form) for q in (0.05, 0.5, 0.95))
    return f"<strong>{middle}</strong>\u00a0<small>({low}\u00a0to\u00a0{high})</small>".replace("-", "−")


def _expected(found: xr.Dataset, table: Callable[..., str], known: list[int]) -> str:
    rows = []
    for i in known:
        for month in (m for m in found.month.values if m >= 1):
            at = found.isel(program=i).sel(month=month)
            shares = [f"{float(at[name]):.0%}" for name in ("responder50", "responder30", "much_improved")]
            rows.append([escape(str(found.program.values[i])) if month == 1 else "", WORDS.get(float(month), f"{month:g} months"),
                         _band(at.pain, ".1f"), *shares, _band(at.eq5d_index, ".2f"), _band(at.odi_like, ".0f"), f"{float(at.effect_kept):.0%}"])
    head = ("program", "after", "pain (NRS)", "half gone", "30 % gone", "much improved", f"EQ-5D index ({escape(found.attrs['country'])})",
            "disability (0–100)", "effect not lost")
    return (f"<h3>What may be expected with a stimulator</h3>{table(head, rows, 'dense')}"
            '<p class="small">Middle and 90 % of people like this one. Shares are chances for one person. Disability is like the Oswestry index.</p>')


def _stages(found: xr.Dataset, table: Callable[..., str], known: list[int]) -> str:
    def share(value: xr.DataArray) -> str:
        return "–" if np.isnan(float(value)) else f"{float(value):.0%}"

    rows = [[escape(str(found.program.values[i])), share(found.trial_success[i]), share(found.responder50_after_success[i].sel(month=YEAR)),
             share(found.responder50_after_failure[i].sel(month=YEAR))] for i in known]
    head = ("program", "trial stage succeeds", "half of the pain gone after a year: if it succeeded", "if it failed, and were implanted all the same")
    middle = {int(m): _band(found.explanted.sel(far_month=m) * 100, ".0f") for m in found.far_month.values}
    told = ", ".join(f"{middle[m]} % after {m // 12} year{'s' if m > 12 else ''}" for m in middle)
    return (f"<h3>The two stages</h3>{table(head, rows)}"
            f"<p>Stimulators taken out again, for any reason: {told} of people. It is fully reversible: without it, pain goes its natural course.</p>"
            '<p class="small">A trial stage of a week, passed with half of the pain gone. Hope is high in that week, so nearly all who will not '
            "answer later pass it too (published: 8 % of them do not, 1 to 25 %). That is the dip of the curves above.</p>")
