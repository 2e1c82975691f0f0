"""Figures of a result, drawn with Plotly: each function takes a result and gives one figure."""

from __future__ import annotations

from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from epidura.export import around, lead_cells
from epidura.program import CASE
from epidura.recruitment import PULSE_WIDTHS
from epidura.shape import outline_at, wall_of

if TYPE_CHECKING:
    from epidura.delivery import Delivery
    from epidura.product import Canal, Shaft
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
WALL_FILL = {"disc": "#5b8db8", "ligament": "#c98f2b", "foramen": "#8fbf6a"}
LAYER, LEAD_STEP = "#e8b4a0", 2e-3
"""Colour of the encapsulation, and the length of a piece of a lead in a picture, m."""

POPULATION_NAME = {"dorsal-column": "dorsal-column fibres", "dorsal-root": "dorsal-root fibres"}


def style(figure: go.Figure, title: str, **layout: Any) -> go.Figure:
    """One look for all figures. Without a template: Plotly validates a whole one for every figure, which takes longer than drawing."""
    axis = {"title_font_size": 13, "gridcolor": GRID, "linecolor": GRID, "zeroline": False, "automargin": True}
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    figure.update_layout(font={"family": "system-ui, sans-serif", "size": 13, "color": INK}, paper_bgcolor="white", plot_bgcolor="white",
                         title={"text": title, "font": {"size": 15}, "x": 0.0, "xanchor": "left"},
                         margin={"l": 60, "r": 20, "t": 48, "b": 50}, **layout)
    return figure


def plain(name: str) -> str:
    """A person's words for Plotly, which takes text as markup."""
    return escape(name, quote=False)


def polarity(result: Result, program: int, contact: int) -> str:
    """Colour of a contact in a program."""
    fraction = result.case.rows[program].contacts.get(contact, 0.0)
    return CATHODE if fraction < 0 else ANODE if fraction > 0 else IDLE


def canal_3d(result: Result, program: int) -> go.Figure:
    """Cord, dura, wall of the canal and leads in space; the cord is coloured by the driving force of the program on fibres."""
    canal = result.canal
    low, high = shown(canal)
    figure = go.Figure(layout={"template": "none"})
    z = np.linspace(low, high, 121)
    x, y, z = _tube(canal, "cord", z)
    figure.add_surface(x=x * 1e3, y=y * 1e3, z=z * 1e3, surfacecolor=_driving(result, program, z[:, 0]),
                       colorscale="RdBu", reversescale=True, cmid=0.0, showscale=True, name="cord",
                       colorbar={"title": {"text": "driving force<br>(mV/mm²)", "side": "top"}, "len": 0.6, "thickness": 12},
                       hovertemplate="%{surfacecolor:.2f} mV/mm²<extra>cord surface</extra>")
    heights = np.array([low, high]) if canal.way is None else np.linspace(low, high, 41)
    for name, colour, opacity in (("dura-inner", "#6aaed6", 0.10), ("canal", "#c9b458", 0.07)):
        x, y, z = _tube(canal, name, heights)
        figure.add_surface(x=x * 1e3, y=y * 1e3, z=z * 1e3, opacity=opacity, showscale=False, hoverinfo="skip",
                           colorscale=[[0, colour], [1, colour]], name=name)
    _wall_3d(figure, canal, low, high)
    for shaft in canal.shafts:
        _lead_3d(figure, result, program, shaft, low, high)
    axis = {"showbackground": False, "gridcolor": GRID, "zeroline": False}
    wall = outline_at(canal, "canal", heights).reshape(-1, 2)
    ranges = 1e3 * np.array([[wall[:, 0].min(), wall[:, 0].max()], [wall[:, 1].min(), wall[:, 1].max()], [low, high]])
    size = np.ptp(ranges, axis=1)
    figure.update_layout(scene={
        # as tall as the picture, whatever the number of contacts
        "aspectmode": "manual", "aspectratio": dict(zip("xyz", (1.7 * size / size[2]).tolist(), strict=True)),
        **{f"{name}axis": {"title": f"{words} (mm)", "range": row.tolist(), "tickfont": {"size": 10}, "nticks": 3 if name != "z" else 8, **axis}
           for name, words, row in zip("xyz", ("right", "anterior", "superior"), ranges, strict=True)},
        "camera": {"eye": {"x": 0.95, "y": -2.0, "z": 0.4}, "up": {"x": 0, "y": 0, "z": 1}},
    }, showlegend=bool(len(canal.along)), legend={"orientation": "h", "y": 0.0})
    return style(figure, "Canal, cord and lead", height=560)


def shown(canal: Canal) -> tuple[float, float]:
    """The stretch of the spine that pictures show, m."""
    return min(c.z0 for c in canal.contacts) - 12e-3, max(c.z1 for c in canal.contacts) + 12e-3


def _tube(canal: Canal, name: str, z: Floats) -> tuple[Floats, Floats, Floats]:
    """An outline at heights ``z`` (s,) m as (s, k + 1) coordinate grids."""
    loops = _thinned(outline_at(canal, name, z))
    return loops[..., 0], loops[..., 1], np.tile(z[:, None], (1, loops.shape[1]))


def _thinned(loops: Floats) -> Floats:
    """Closed loops (s, k, 2) with at most some hundred points, the first one repeated at the end."""
    few = loops[:, :: max(1, loops.shape[1] // 96)]
    return np.concatenate([few, few[:, :1]], axis=1)


def _driving(result: Result, program: int, z: Floats) -> Floats:
    """Second difference of the potential along the surface of the cord over 1 mm at the programmed amplitude, mV/mm2."""
    volts = []
    for step in (-1e-3, 0.0, 1e-3):
        loops = _thinned(outline_at(result.canal, "cord", z + step))
        middle = loops.mean(axis=1, keepdims=True)
        inside = middle + 0.995 * (loops - middle)  # just inside the surface, where the fibres are
        points = np.concatenate([inside, np.broadcast_to((z + step)[:, None, None], (*loops.shape[:2], 1))], axis=2)
        volts.append(program_potential(result, program, points.reshape(-1, 3)).reshape(loops.shape[:2]))
    return np.asarray((volts[0] - 2 * volts[1] + volts[2]) * 1e3)


def program_potential(result: Result, program: int, points: Floats) -> Floats:
    """(p,) V at the programmed amplitude in the first phase; at 1 mA where that amplitude is not known."""
    amplitude = float(result.recruitment.programmed_amplitude[program])
    fractions = result.case.rows[program].contacts
    mixing = np.array([fractions.get(number, 0.0) for number in result.lead_field.contacts])
    return np.asarray((amplitude if np.isfinite(amplitude) else 1e-3) * mixing @ result.lead_field.sample(points))


def _wall_3d(figure: go.Figure, canal: Canal, low: float, high: float) -> None:
    """Discs, ligament and foramina as patches of the wall, one trace for each tissue."""
    patches: dict[str, list[tuple[Floats, NDArray[np.integer[Any]]]]] = {}
    for tissue, z0, z1, nodes in wall_of(canal):
        if max(z0, low) < min(z1, high):
            z = np.linspace(max(z0, low), min(z1, high), 4)
            grid = np.concatenate([outline_at(canal, "canal", z)[:, nodes], np.broadcast_to(z[:, None, None], (4, len(nodes), 1))], axis=2)
            at = np.arange(4 * len(nodes)).reshape(4, -1)
            quads = np.stack([at[:-1, :-1], at[:-1, 1:], at[1:, 1:], at[1:, :-1]], axis=-1).reshape(-1, 4)
            patches.setdefault(tissue, []).append((grid.reshape(-1, 3), quads))
    for tissue, parts in patches.items():
        starts = np.cumsum([0, *(len(points) for points, _ in parts)])
        _mesh_3d(figure, np.concatenate([points for points, _ in parts]),
                 np.concatenate([quads + start for (_, quads), start in zip(parts, starts[:-1], strict=True)]),
                 WALL_FILL.get(tissue, IDLE), tissue, opacity=0.28, showlegend=True)


def _lead_3d(figure: go.Figure, result: Result, program: int, shaft: Shaft, low: float, high: float) -> None:
    cells = lead_cells(shaft, low, high, LEAD_STEP)
    quads = cells.cells[0]
    # the contacts of a paddle look away from the back: its body lets them be seen
    clear = 1.0 if shaft.half_width is None else 0.35
    for number in np.unique(cells.contact):
        share = result.case.rows[program].contacts.get(int(number), 0.0)
        words = plain(shaft.name) if number < 0 else f"contact {number}" + (f" ({share:+.0%})" if share else "")
        colour = "#d0d5db" if number < 0 else polarity(result, program, int(number))
        mine = quads[cells.contact == number]
        nodes, flat = np.unique(mine, return_inverse=True)
        points = cells.points[nodes]
        if number >= 0:  # a hair outside the insulation, so that it is seen
            middle = np.column_stack([shaft.centre(points[:, 2]), points[:, 2]])
            points = middle + (points - middle) * 1.03
        _mesh_3d(figure, points, flat.reshape(-1, 4), colour, words, opacity=clear if number < 0 else 1.0)
    for end in (cells.points[:, 2].min(), cells.points[:, 2].max()):
        ring = cells.points[cells.points[:, 2] == end]
        around = np.arange(len(ring))
        fan = np.column_stack([around, np.roll(around, -1), np.full((len(ring), 2), len(ring))])
        _mesh_3d(figure, np.vstack([ring, ring.mean(axis=0)]), fan, "#d0d5db", plain(shaft.name), opacity=clear)
    if shaft.encapsulation > 0:
        layer = lead_cells(_padded(shaft), low, high, LEAD_STEP)
        _mesh_3d(figure, layer.points, layer.cells[0], LAYER, "encapsulation", opacity=0.15, hover=False)


def _padded(shaft: Shaft) -> Shaft:
    """A lead as thick as it is with its encapsulation, without contacts."""
    wide = None if shaft.half_width is None else shaft.half_width + shaft.encapsulation
    return replace(shaft, radius=shaft.radius + shaft.encapsulation, half_width=wide, contacts=())


def _mesh_3d(figure: go.Figure, points: Floats, quads: NDArray[np.integer[Any]], colour: str, words: str, hover: bool = True, **more: Any) -> None:
    """Quadrilaterals (q, 4) of points (n, 3) m as a surface of one colour."""
    x, y, z = points.T * 1e3
    i, j, k = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).T
    figure.add_mesh3d(x=x, y=y, z=z, i=i, j=j, k=k, color=colour, name=words, flatshading=True,
                      **({"hovertemplate": f"{words}<extra></extra>"} if hover else {"hoverinfo": "skip"}), **more)


def axial(result: Result, program: int) -> go.Figure:
    """Cross-section at the level with every dorsal-column fibre coloured by its threshold."""
    figure = go.Figure(layout={"template": "none"})
    for name, words in TISSUE_NAME.items():
        _filled(figure, result.canal.outlines[name], TISSUE_FILL[name], words)
    for shaft in result.canal.shafts:
        _lead_in_plane(figure, result, program, shaft, 0.0)
    figure.add_trace(_fibre_dots(result, program))
    canal = result.canal.outlines["canal"] * 1e3
    figure.update_xaxes(title="left — right (mm)", range=[canal[:, 0].min() - 1.5, canal[:, 0].max() + 1.5], constrain="domain")
    figure.update_yaxes(title="dorsal — ventral (mm)", scaleanchor="x", range=[canal[:, 1].min() - 1.5, canal[:, 1].max() + 1.5])
    return style(figure, "Cross-section: thresholds of dorsal-column fibres", height=560,
                  legend={"orientation": "h", "y": -0.14})


def _filled(figure: go.Figure, loop: Floats, fill: str, words: str, hover: bool = False, legend: bool = True, **place: Any) -> None:
    x, y = np.vstack([loop, loop[:1]]).T * 1e3
    figure.add_scatter(x=x, y=y, fill="toself", mode="lines", fillcolor=fill, line={"color": "#8a7f72", "width": 0.8}, name=words,
                       showlegend=legend, **({"hovertemplate": f"{words}<extra></extra>"} if hover else {"hoverinfo": "skip"}), **place)


def _lead_in_plane(figure: go.Figure, result: Result, program: int | None, shaft: Shaft, z: float, **place: Any) -> None:
    """A lead cut at height ``z`` m with its encapsulation, coloured as its cathodes and anodes; one that ends before is left open."""
    centre = shaft.centre(np.array([z]))[0]
    there = z < shaft.z_tip and (shaft.z_end is None or z > shaft.z_end)
    words = plain(shaft.name) + ("" if there else ", above or below this section")
    if there and shaft.encapsulation > 0:
        _filled(figure, centre + around(_padded(shaft))[0], LAYER, "encapsulation", legend=False, **place)
    rim, lateral = around(shaft)
    fractions = {} if program is None else result.case.rows[program].contacts
    rings = [fractions.get(c.number, 0.0) for c in shaft.contacts if c.left is None]
    fill = CATHODE if min(rings, default=0.0) < 0 else ANODE if max(rings, default=0.0) > 0 else "#d0d5db"
    _filled(figure, centre + rim, fill if there else "rgba(0,0,0,0)", words, hover=True, legend=False, **place)
    following = np.roll(rim, -1, axis=0)
    for left, right in sorted({(c.left, c.right) for c in shaft.contacts if c.left is not None and c.right is not None}) if there else []:
        column = [c for c in shaft.contacts if c.left == left]
        shares = [fractions.get(c.number, 0.0) for c in column]
        colour = CATHODE if min(shares) < 0 else ANODE if max(shares) > 0 else IDLE
        on = (lateral > left) & (lateral < right)
        ends = centre + np.stack([rim[on], following[on]], axis=1).reshape(-1, 2)
        figure.add_scatter(x=ends[:, 0] * 1e3, y=ends[:, 1] * 1e3, mode="lines", line={"color": colour, "width": 4}, showlegend=False,
                           hovertemplate=f"contacts {column[0].number} to {column[-1].number}<extra></extra>", **place)


def sections(result: Result) -> go.Figure | None:
    """Cross-sections beside the leads, from caudal to rostral; None where all are the same."""
    canal = result.canal
    if canal.way is None:
        return None
    low, high = min(c.z0 for c in canal.contacts), max(c.z1 for c in canal.contacts)
    heights = np.linspace(low, high, 5)
    vertebrae = [next((span.name for span in canal.cord.vertebrae if span.z0 <= z < span.z1), "") for z in heights]
    figure = make_subplots(rows=1, cols=5, horizontal_spacing=0.01, shared_yaxes=True,
                           subplot_titles=[f"{name}, {round(z * 1e3) + 0:+d} mm" for name, z in zip(vertebrae, heights, strict=True)])
    figure.update_layout(template="none")
    widest = np.concatenate([outline_at(canal, "canal", heights).reshape(-1, 2), canal.outlines["canal"]]) * 1e3
    for column, z in enumerate(heights, 1):
        for name, words in TISSUE_NAME.items():
            if name != "bone":
                _filled(figure, outline_at(canal, name, z)[0], TISSUE_FILL[name], words, hover=True, legend=False, row=1, col=column)
        for shaft in canal.shafts:
            _lead_in_plane(figure, result, None, shaft, float(z), row=1, col=column)
        figure.update_xaxes(range=[widest[:, 0].min() - 1, widest[:, 0].max() + 1], constrain="domain", tickvals=[-5, 0, 5],
                            row=1, col=column)
        figure.update_yaxes(scaleanchor="x" if column == 1 else f"x{column}", range=[widest[:, 1].min() - 1, widest[:, 1].max() + 1],
                            constrain="domain", row=1, col=column)
    return style(figure, "Cross-sections along the leads, from caudal to rostral (mm)", height=320)


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
    return style(figure, "Recruitment", height=420, legend={"orientation": "h", "y": -0.25})


def strength_duration(result: Result) -> go.Figure | None:
    """Perception threshold against pulse width with the fitted law of Weiss; None without tonic programs."""
    figure = go.Figure(layout={"template": "none"})
    widths = PULSE_WIDTHS * 1e6
    fine = np.geomspace(widths[0], widths[-1], 200)
    palette = (FELT, "#7c3aed", HURTS, "#1f6feb", "#be185d")
    for i, program in enumerate(result.case.rows):
        at = result.recruitment.isel(program=i)
        if not np.isfinite(float(at.rheobase)):
            continue
        colour = palette[i % len(palette)]
        rheobase, chronaxie = float(at.rheobase) * 1e3, float(at.chronaxie) * 1e6
        figure.add_scatter(x=widths, y=at.strength_duration.values * 1e3, mode="markers", marker={"color": colour, "size": 9},
                           name=plain(program.name), hovertemplate="%{x:.0f} µs: %{y:.2f} mA<extra></extra>")
        figure.add_scatter(x=fine, y=rheobase * (1 + chronaxie / fine), mode="lines", line={"color": colour, "width": 1.5},
                           name=f"rheobase {rheobase:.2f} mA, chronaxie {chronaxie:.0f} µs")
        figure.add_scatter(x=[chronaxie], y=[2 * rheobase], mode="markers", showlegend=False,
                           marker={"color": "white", "size": 10, "line": {"color": colour, "width": 2}},
                           hovertemplate="chronaxie %{x:.0f} µs<extra></extra>")
    if not figure.data:
        return None
    figure.update_xaxes(title="pulse width (µs)", type="log", tickvals=[50, 100, 200, 300, 500, 1000])
    figure.update_yaxes(title="perception threshold (mA)", rangemode="tozero")
    return style(figure, "Strength and duration, with the law of Weiss", height=420, legend={"orientation": "h", "y": -0.25})


def usage_ranges(result: Result) -> go.Figure:
    """Perception to discomfort for every program, with the programmed amplitude."""
    figure = go.Figure(layout={"template": "none"})
    names = [plain(program.name) for program in result.case.rows]
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
    return style(figure, "Usage range of each program", height=150 + 70 * len(names),
                  legend={"orientation": "h", "y": -78 / (52 + 70 * len(names))})


PICTURE = (236, 78)
"""Width and height of the small picture of a waveform, px."""


def waveform_picture(delivery: Delivery, start: float, end: float, words: str) -> str:
    """Inline SVG of the currents of the electrodes from ``start`` to ``end`` s of the cycle, which is drawn again and again; mA."""
    wide, tall = PICTURE
    left, right, top, bottom = 6.0, wide - 6.0, 15.0, tall - 16.0
    edges, current = delivery.record.edges, delivery.record.current
    first, count = int(np.floor(start / delivery.cycle + 1e-9)), int(np.ceil((end - start) / delivery.cycle - 1e-9)) + 1
    times = np.concatenate([edges[:-1] + k * delivery.cycle for k in range(first, first + count)] + [[(first + count) * delivery.cycle]])
    values = np.tile(current, (count, 1))
    largest = float(np.abs(current).max())
    middle, scale = 0.5 * (top + bottom), 0.5 * (bottom - top) / max(largest, 1e-30)
    parts = [f'<line x1="{left}" x2="{right}" y1="{middle}" y2="{middle}" stroke="{GRID}"/>']
    for k, number in enumerate(delivery.contacts):
        shares = [train.contacts.get(number, 0.0) for train in delivery.program.trains]
        colour = CATHODE if min(shares) < 0 else ANODE
        inside = np.flatnonzero((times[1:] > start) & (times[:-1] < end))
        x = left + (right - left) * (np.clip(np.column_stack([times[inside], times[inside + 1]]), start, end) - start) / (end - start)
        y = middle - scale * values[inside, k]
        corners = [point for (a, b), h in zip(x.tolist(), y.tolist(), strict=True) for point in ((a, h), (b, h))]
        kept = [p for i, p in enumerate(corners) if i in (0, len(corners) - 1) or not p[1] == corners[i - 1][1] == corners[i + 1][1]]
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in kept)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.3" stroke-linejoin="round" stroke-opacity="0.85"/>')
    span = end - start
    length = f"{span * 1e3:.3g} ms" if span >= 1e-3 else f"{span * 1e6:.3g} µs"
    parts.append(f'<text x="{left}" y="{top - 4}">±{largest * 1e3:.3g} mA</text>'
                 f'<text x="{right}" y="{tall - 4}" text-anchor="end">{length}</text>')
    return (f'<svg class="wave" viewBox="0 0 {wide} {tall}" width="{wide}" height="{tall}" role="img" aria-label="{escape(words)}">'
            f"{''.join(parts)}</svg>")


def pulse_span(delivery: Delivery) -> tuple[float, float]:
    """From and to of the stretch that shows one pulse of every train, the first of a packet, with its recharge; s in the cycle."""
    train = delivery.program.trains[0]
    course = train.waveform.pulse()
    on = course.values > 0
    starts = course.times[on & ~np.append(False, on[:-1])]
    end = float(starts[1]) if len(starts) > 1 else course.end
    if len(delivery.program.trains) > 1:
        driven = np.flatnonzero(delivery.driven)
        firsts = [driven[delivery.train[driven] == k] for k in range(len(delivery.program.trains))]
        end = max(float(delivery.record.edges[own[0]]) + train.waveform.pulse().end
                  for own, train in zip(firsts, delivery.program.trains, strict=True) if own.size)
    if train.waveform.passive and len(starts) == 1:
        end *= 4  # some of the recharge
    return -0.06 * end, float(min(1.06 * end, delivery.cycle))


def contact_label(number: int) -> str:
    """A contact as people write it."""
    return "case" if number == CASE else str(number)
