"""A page with pictures of programs at the electrodes: it needs nothing outside itself."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from epidura.product import Floats
from epidura.program import CASE
from epidura.schedule import level_at
from epidura.sheet import current_course, schedule_words, train_words

if TYPE_CHECKING:
    from epidura.delivery import Delivery
    from epidura.program import Program
    from epidura.sheet import Sheet

INK, GRID, ZERO = "#1f2933", "#e4e7eb", "#9aa5b1"
COLOURS = ("#c0392b", "#1f6feb", "#0f766e", "#b45309", "#7c3aed", "#4d7c0f", "#be185d", "#0e7490", "#9aa5b1", "#854d0e", "#4338ca", "#15803d",
           "#a21caf", "#334155", "#e11d48", "#2563eb", "#52606d")
DISCLAIMER = "Research and education software, not a medical device. It reports what a model computes; it certifies no safety."

MARK = "<title>Epidura program"
"""By which an earlier page is known."""

DASHES = ("solid", "solid", "dash", "dot")
"""Of the lines, in turns: electrodes that carry the same lie on each other."""


def page(title: str, about: Sequence[str], sheets: Sequence[Sheet]) -> str:
    """Currents and voltages of every program over one cycle, and near its first pulse.

    Args:
        title: of the file.
        about: lines below it, such as the lead.
    """
    from plotly.offline import get_plotlyjs

    style = (files("epidura") / "data" / "report.css").read_text("utf-8")
    head = (f'<header><p class="brand">Epidura · programs</p><h1>{escape(title)}</h1>'
            + "".join(f'<p class="lead">{_micro(line)}</p>' for line in about if line) + "</header>")
    body = "\n".join(_section(sheet, i) for i, sheet in enumerate(sheets))
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{MARK}: {escape(title)}</title>\n'
            f'<meta name="viewport" content="width=device-width">\n<style>{style}</style>\n<script>{get_plotlyjs()}</script>\n'
            f"</head><body><main>\n{head}\n{body}\n<footer>{escape(DISCLAIMER)}</footer></main></body></html>\n")


def _section(sheet: Sheet, number: int) -> str:
    d = sheet.delivery
    words = [*train_words(sheet.program), *schedule_words(sheet.program)]
    words.append(f"voltage needed {d.compliance:.3g} V; largest charge of a phase {d.charge_per_phase.max() * 1e6:.3g} µC")
    words += [str(one) for one in sheet.violations]
    lines = "".join(f"<li>{_micro(line)}</li>" for line in words)
    pictures = _html(waves(d), f"program-{number}")
    if sheet.program.cycle is not None or sheet.program.ramp_up:
        pictures += _html(turns(sheet.program), f"turns-{number}")
    return f"<section><h2>{escape(sheet.program.name)}</h2><ul>{lines}</ul>{pictures}</section>"


def _micro(words: str) -> str:
    return escape(words.replace(" us", " µs"))


def _html(figure: go.Figure, name: str) -> str:
    html: str = figure.to_html(full_html=False, include_plotlyjs=False, div_id=name,
                               config={"displaylogo": False, "responsive": True, "displayModeBar": False})
    return f'<div class="figure">{html}</div>'


def waves(delivery: Delivery) -> go.Figure:
    """Current and voltage of each electrode over what was delivered, and beside it the first pulse, where that is short."""
    first = _first_pulse(delivery)
    ends = [delivery.cycle, 2 * first] if 2 * first < delivery.cycle else [delivery.cycle]
    names = ["one cycle", "its beginning"][: len(ends)]
    figure = make_subplots(rows=2, cols=len(ends), column_titles=names, shared_xaxes="columns", vertical_spacing=0.09, horizontal_spacing=0.09,
                           figure=go.Figure(layout={"template": "none"}))
    for column, end in enumerate(ends, 1):
        scale, unit = (1e6, "µs") if end < 2e-3 else (1e3, "ms")
        for k, number in enumerate(delivery.contacts):
            label = "case" if number == CASE else f"contact {number}"
            for row, ((x, y), what) in enumerate(((_milli(current_course(delivery, k)), "mA"), (voltage_line(delivery, k), "V")), 1):
                figure.add_scatter(x=x * scale, y=y, mode="lines", name=label, legendgroup=label, showlegend=row == column == 1,
                                   line={"color": COLOURS[k % len(COLOURS)], "width": 1.8, "dash": DASHES[k % len(DASHES)]},
                                   connectgaps=False, row=row, col=column,
                                   hovertemplate=f"%{{x:.4g}} {unit}: %{{y:.4g}} {what}<extra>{label}</extra>")
        figure.update_xaxes(range=[0.0, end * scale], row=1, col=column, showticklabels=True)
        figure.update_xaxes(range=[0.0, end * scale], title_text=f"time ({unit})", row=2, col=column)
    figure.update_yaxes(title_text="current into tissue (mA)", row=1, col=1)
    figure.update_yaxes(title_text="terminal against the case (V)", row=2, col=1)
    return _style(figure, 520)


def _milli(line: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    return line[0], line[1] * 1e3


def _first_pulse(delivery: Delivery) -> float:
    """When the first pulse is over, with its active recharge, s; of a packet that of its first pulse."""
    pulse = delivery.program.waveform.pulse()
    rises = np.flatnonzero((pulse.values[1:] > 0) & (pulse.values[:-1] <= 0)) + 1
    return float(pulse.times[rises[0]]) if rises.size else pulse.end


def voltage_line(delivery: Delivery, electrode: int) -> tuple[Floats, Floats]:
    """Points of the line of a terminal: s, V; nan where it is open."""
    edges, ends = delivery.record.edges, delivery.record.terminals[:, :, electrode]
    return np.column_stack([edges[:-1], edges[1:]]).ravel(), ends.ravel()


def turns(program: Program) -> go.Figure:
    """Share of the amplitude against time, over two turns, or over the ramp."""
    length = 1.5 * program.ramp_up if program.cycle is None else 2 * (program.cycle.on + program.cycle.off)
    time = np.linspace(0.0, length, 2001)
    level = [level_at(program, t) or 0.0 for t in time.tolist()]
    figure = go.Figure(layout={"template": "none"})
    figure.add_scatter(x=time, y=level, mode="lines", line={"color": COLOURS[2], "width": 1.8}, fill="tozeroy", showlegend=False,
                       hovertemplate="%{x:.4g} s: %{y:.0%} of the amplitude<extra></extra>")
    figure.update_xaxes(title_text="time after switching on (s)", range=[0.0, length])
    figure.update_yaxes(title_text="share of amplitude", range=[0.0, 1.08], tickformat=".0%")
    return _style(figure, 240)


def _style(figure: go.Figure, height: int) -> go.Figure:
    axis: dict[str, Any] = {"title_font_size": 13, "gridcolor": GRID, "linecolor": GRID, "zeroline": True, "zerolinecolor": ZERO,
                            "automargin": True}
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    figure.update_layout(font={"family": "system-ui, sans-serif", "size": 13, "color": INK}, paper_bgcolor="white", plot_bgcolor="white",
                         height=height, margin={"l": 60, "r": 20, "t": 40, "b": 50},
                         legend={"orientation": "h", "y": -0.14, "x": 0.0})
    return figure
