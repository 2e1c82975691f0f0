"""Figures of a result, drawn with Plotly: each function takes a result and gives one figure."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from epidura.program import CASE
from epidura.recruitment import PULSE_WIDTHS

if TYPE_CHECKING:
    from epidura.product import Shaft
    from epidura.result import Result

Floats = NDArray[np.float64]

INK, GRID = "#1f2933", "#e4e7eb"
CATHODE, ANODE, IDLE = "#c0392b", "#1f6feb", "#9aa5b1"
FELT, HURTS = "#0f766e", "#b45309"
TISSUE_FILL = {
    "bulk": "#f6efe6", "bone": "#e9e2d0", "canal": "#fdf3cf", "dura-outer": "#cbb8a0", "dura-inner": "#d9ecf7",
    "cord": "#f4e3e3", "grey-matter": "#d9c2c6",
}
TISSUE_NAME = {"bone": "bone", "canal": "epidural space", "dura-outer": "dura", "dura-inner": "cerebrospinal fluid",
               "cord": "white matter", "grey-matter": "grey matter"}
POPULATION_NAME = {"dorsal-column": "dorsal-column fibres", "dorsal-root": "dorsal-root fibres"}


def _style(figure: go.Figure, title: str, **layout: Any) -> go.Figure:
    """One look for all figures. Without a template: Plotly validates a whole one for every figure, which takes longer than drawing."""
    axis = {"title_font_size": 13, "gridcolor": GRID, "linecolor": GRID, "zeroline": False, "automargin": True}
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    figure.update_layout(font={"family": "system-ui, sans-serif", "size": 13, "color": INK}, paper_bgcolor="white", plot_bgcolor="white",
                         title={"text": title, "font": {"size": 15}, "x": 0.0, "xanchor": "left"},
                         margin={"l": 60, "r": 20, "t": 48, "b": 50}, **layout)
    return figure


def _plain(name: str) -> str:
    """A person's words for Plotly, which takes text as markup."""
    return escape(name, quote=False)


def polarity(result: Result, program: int, contact: int) -> str:
    """Colour of a contact in a program."""
    fraction = result.case.programs[program].contacts.get(contact, 0.0)
    return CATHODE if fraction < 0 else ANODE if fraction > 0 else IDLE


def canal_3d(result: Result, program: int) -> go.Figure:
    """Cord, dura and leads in space; the cord is coloured by the driving force of the program on fibres."""
    contacts = result.canal.contacts
    low, high = min(c.z0 for c in contacts) - 12e-3, max(c.z1 for c in contacts) + 12e-3
    figure = go.Figure(layout={"template": "none"})
    x, y, z = _tube(result.canal.outlines["cord"], low, high, 121)
    figure.add_surface(x=x * 1e3, y=y * 1e3, z=z * 1e3, surfacecolor=_driving(result, program, x, y, z),
                       colorscale="RdBu", reversescale=True, cmid=0.0, showscale=True, name="cord",
                       colorbar={"title": {"text": "driving force<br>(mV/mm²)", "side": "top"}, "len": 0.6, "thickness": 12},
                       hovertemplate="%{surfacecolor:.2f} mV/mm²<extra>cord surface</extra>")
    for name, colour, opacity in (("dura-inner", "#6aaed6", 0.10), ("canal", "#c9b458", 0.07)):
        x, y, z = _tube(result.canal.outlines[name], low, high, 2)
        figure.add_surface(x=x * 1e3, y=y * 1e3, z=z * 1e3, opacity=opacity, showscale=False, hoverinfo="skip",
                           colorscale=[[0, colour], [1, colour]], name=name)
    for shaft in result.canal.shafts:
        _lead_3d(figure, result, program, shaft, low)
    axis = {"showbackground": False, "gridcolor": GRID, "zeroline": False}
    figure.update_layout(scene={
        "aspectmode": "data", "xaxis": {"title": "right (mm)", **axis}, "yaxis": {"title": "anterior (mm)", **axis},
        "zaxis": {"title": "superior (mm)", **axis},
        "camera": {"eye": {"x": 1.0, "y": -2.1, "z": 0.5}, "up": {"x": 0, "y": 0, "z": 1}},
    }, showlegend=False)
    return _style(figure, "Canal, cord and lead", height=560)


def _tube(outline: Floats, low: float, high: float, steps: int) -> tuple[Floats, Floats, Floats]:
    """A loop swept along z as (steps, k + 1) coordinate grids."""
    loop = outline[:: max(1, len(outline) // 96)]
    loop = np.vstack([loop, loop[:1]])
    z = np.linspace(low, high, steps)
    return np.tile(loop[:, 0], (steps, 1)), np.tile(loop[:, 1], (steps, 1)), np.tile(z[:, None], (1, len(loop)))


def _driving(result: Result, program: int, x: Floats, y: Floats, z: Floats) -> Floats:
    """Second difference of the potential along the spine over 1 mm at the programmed amplitude, mV/mm2."""
    inwards = 0.995  # just inside the surface, where the fibres are
    points = np.stack([x * inwards, y * inwards, z], axis=-1).reshape(-1, 3)
    step = np.array([0.0, 0.0, 1e-3])
    volts = [program_potential(result, program, points + k * step) for k in (-1, 0, 1)]
    return np.asarray((volts[0] - 2 * volts[1] + volts[2]).reshape(x.shape) * 1e3)


def program_potential(result: Result, program: int, points: Floats) -> Floats:
    """(p,) V at the programmed amplitude in the first phase; at 1 mA where that amplitude is not known."""
    amplitude = float(result.recruitment.programmed_amplitude[program])
    fractions = result.case.programs[program].contacts
    mixing = np.array([fractions.get(number, 0.0) for number in result.lead_field.contacts])
    return np.asarray((amplitude if np.isfinite(amplitude) else 1e-3) * mixing @ result.lead_field.sample(points))


def _lead_3d(figure: go.Figure, result: Result, program: int, shaft: Shaft, low: float) -> None:
    pieces = [(low, shaft.z_tip, "#d0d5db", shaft.radius * 0.97, _plain(shaft.name))]
    for contact in shaft.contacts:
        share = result.case.programs[program].contacts.get(contact.number, 0.0)
        pieces.append((contact.z0, contact.z1, polarity(result, program, contact.number), shaft.radius,
                       f"contact {contact.number}" + (f" ({share:+.0%})" if share else "")))
    angle = np.linspace(0, 2 * np.pi, 25)
    ring = np.column_stack([np.cos(angle), np.sin(angle)])
    for z0, z1, colour, radius, words in pieces:
        x, y, z = _tube(np.array([shaft.x, shaft.y]) + radius * ring[:-1], z0, z1, 2)
        figure.add_surface(x=x * 1e3, y=y * 1e3, z=z * 1e3, colorscale=[[0, colour], [1, colour]], showscale=False,
                           hovertemplate=f"{words}<extra></extra>", name=words)


def axial(result: Result, program: int) -> go.Figure:
    """Cross-section at the level with every dorsal-column fibre coloured by its threshold."""
    figure = go.Figure(layout={"template": "none"})
    for name, words in TISSUE_NAME.items():
        loop = result.canal.outlines[name] * 1e3
        figure.add_scatter(x=[*loop[:, 0], loop[0, 0]], y=[*loop[:, 1], loop[0, 1]], fill="toself", mode="lines", hoverinfo="skip",
                           fillcolor=TISSUE_FILL[name], line={"color": "#8a7f72", "width": 0.8}, name=words)
    angle = np.linspace(0, 2 * np.pi, 61)
    for shaft in result.canal.shafts:
        active = [c for c in shaft.contacts if result.case.programs[program].contacts.get(c.number, 0.0) < 0]
        figure.add_scatter(x=(shaft.x + shaft.radius * np.cos(angle)) * 1e3, y=(shaft.y + shaft.radius * np.sin(angle)) * 1e3,
                           fill="toself", mode="lines", line={"color": INK, "width": 1},
                           fillcolor=CATHODE if active else "#d0d5db", name=_plain(shaft.name), showlegend=False,
                           hovertemplate=_plain(shaft.name) + "<extra></extra>")
    figure.add_trace(_fibre_dots(result, program))
    canal = result.canal.outlines["canal"] * 1e3
    figure.update_xaxes(title="left — right (mm)", range=[canal[:, 0].min() - 1.5, canal[:, 0].max() + 1.5], constrain="domain")
    figure.update_yaxes(title="dorsal — ventral (mm)", scaleanchor="x", range=[canal[:, 1].min() - 1.5, canal[:, 1].max() + 1.5])
    return _style(figure, "Cross-section: thresholds of dorsal-column fibres", height=560,
                  legend={"orientation": "h", "y": -0.14})


def _fibre_dots(result: Result, program: int) -> go.Scatter:
    at = result.recruitment.isel(program=program)
    chosen = (at.fibre_population == "dorsal-column").values
    threshold = at.threshold.values[chosen] * 1e3
    top = 3 * np.nan_to_num(float(at.perception_threshold) * 1e3, posinf=np.nanmax([10.0, np.min(threshold)]))
    words = [f"{d * 1e6:.1f} µm, {s} {n}, depth {h * 1e3:.2f} mm<br>threshold " + (f"{t:.2f} mA" if np.isfinite(t) else "not reached")
             for d, s, n, h, t in zip(at.diameter.values[chosen], at.side.values[chosen], at.segment.values[chosen],
                                      at.depth.values[chosen], threshold, strict=True)]
    return go.Scatter(
        x=at.x.values[chosen] * 1e3, y=at.y.values[chosen] * 1e3, mode="markers", text=words, hovertemplate="%{text}<extra></extra>",
        name="fibres", showlegend=False,
        marker={"size": 2.0 + 0.5 * (at.diameter.values[chosen] * 1e6 - 5), "color": np.minimum(threshold, top), "colorscale": "Viridis",
                "cmin": np.floor(threshold.min()) if np.isfinite(threshold.min()) else 0, "cmax": top, "line": {"width": 0},
                "colorbar": {"title": {"text": "threshold<br>(mA)", "side": "top"}, "thickness": 12, "len": 0.7}})


def recruitment_curve(result: Result, program: int) -> go.Figure:
    """Firing fibres against amplitude, with perception, discomfort and the programmed amplitude."""
    at = result.recruitment.isel(program=program)
    amplitude = at.amplitude.values * 1e3
    figure = go.Figure(layout={"template": "none"})
    for population in at.population.values:
        here = at.sel(population=population)
        is_column = population == "dorsal-column"
        figure.add_scatter(x=amplitude, y=here.firing_fibres.values if is_column else 100 * here.firing_share.values,
                           yaxis="y" if is_column else "y2", mode="lines", name=POPULATION_NAME.get(str(population), str(population)),
                           line={"color": FELT if is_column else HURTS, "width": 2.5, "dash": None if is_column else "dash"})
    marks = (("perception", at.perception_threshold, FELT), ("discomfort", at.discomfort_threshold, HURTS),
             ("programmed", at.programmed_amplitude, INK))
    for i, (words, value, colour) in enumerate(marks):
        if np.isfinite(float(value)):
            figure.add_vline(x=float(value) * 1e3, line={"color": colour, "width": 1.2, "dash": "dot"})
            figure.add_annotation(x=float(value) * 1e3, y=1.0 - 0.07 * i, yref="paper", text=f"{words} {float(value) * 1e3:.2f}",
                                  showarrow=False, xanchor="left", xshift=4, font={"color": colour, "size": 12})
    figure.update_xaxes(title="amplitude (mA)", range=[0, amplitude[-1]])
    figure.update_layout(yaxis={"title": "dorsal-column fibres firing", "rangemode": "tozero"},
                         yaxis2={"title": "dorsal-root fibres firing (%)", "overlaying": "y", "side": "right",
                                 "range": [0, 105], "tickvals": [0, 25, 50, 75, 100],
                                 "showgrid": False})
    return _style(figure, "Recruitment", height=420, legend={"orientation": "h", "y": -0.25})


def strength_duration(result: Result) -> go.Figure | None:
    """Perception threshold against pulse width with the fitted law of Weiss; None without tonic programs."""
    figure = go.Figure(layout={"template": "none"})
    widths = PULSE_WIDTHS * 1e6
    fine = np.geomspace(widths[0], widths[-1], 200)
    palette = (FELT, "#7c3aed", HURTS, "#1f6feb", "#be185d")
    for i, program in enumerate(result.case.programs):
        at = result.recruitment.isel(program=i)
        if not np.isfinite(float(at.rheobase)):
            continue
        colour = palette[i % len(palette)]
        rheobase, chronaxie = float(at.rheobase) * 1e3, float(at.chronaxie) * 1e6
        figure.add_scatter(x=widths, y=at.strength_duration.values * 1e3, mode="markers", marker={"color": colour, "size": 9},
                           name=_plain(program.name), hovertemplate="%{x:.0f} µs: %{y:.2f} mA<extra></extra>")
        figure.add_scatter(x=fine, y=rheobase * (1 + chronaxie / fine), mode="lines", line={"color": colour, "width": 1.5},
                           name=f"rheobase {rheobase:.2f} mA, chronaxie {chronaxie:.0f} µs")
        figure.add_scatter(x=[chronaxie], y=[2 * rheobase], mode="markers", showlegend=False,
                           marker={"color": "white", "size": 10, "line": {"color": colour, "width": 2}},
                           hovertemplate="chronaxie %{x:.0f} µs<extra></extra>")
    if not figure.data:
        return None
    figure.update_xaxes(title="pulse width (µs)", type="log", tickvals=[50, 100, 200, 300, 500, 1000])
    figure.update_yaxes(title="perception threshold (mA)", rangemode="tozero")
    return _style(figure, "Strength and duration, with the law of Weiss", height=420, legend={"orientation": "h", "y": -0.25})


def usage_ranges(result: Result) -> go.Figure:
    """Perception to discomfort for every program, with the programmed amplitude."""
    figure = go.Figure(layout={"template": "none"})
    names = [_plain(program.name) for program in result.case.programs]
    low = result.recruitment.perception_threshold.values * 1e3
    high = result.recruitment.discomfort_threshold.values * 1e3
    known = np.isfinite(low) & np.isfinite(high) & (high > low)
    low_bar, high_bar = np.where(known, low, 0.0), np.where(known, high, 0.0)
    figure.add_bar(y=names, x=high_bar - low_bar, base=low_bar, orientation="h", marker={"color": "#9fd3cc"},
                   name="usage range", width=0.45, hovertemplate="%{base:.2f} to %{x:.2f} mA<extra></extra>")
    for words, value, colour, symbol in (("perception", low, FELT, "line-ns"), ("discomfort", high, HURTS, "line-ns"),
                                         ("programmed", result.recruitment.programmed_amplitude.values * 1e3, INK, "diamond")):
        figure.add_scatter(y=names, x=np.where(np.isfinite(value), value, np.nan), mode="markers", name=words,
                           marker={"symbol": symbol, "size": 10 if symbol == "diamond" else 24, "color": colour,
                                   "line": {"width": 0 if symbol == "diamond" else 3, "color": colour}},
                           hovertemplate=words + " %{x:.2f} mA<extra></extra>")
    figure.update_xaxes(title="amplitude (mA)", rangemode="tozero")
    figure.update_yaxes(autorange="reversed")
    return _style(figure, "Usage range of each program", height=150 + 70 * len(names), legend={"orientation": "h", "y": -0.4})


def contact_label(number: int) -> str:
    """A contact as people write it."""
    return "case" if number == CASE else str(number)
