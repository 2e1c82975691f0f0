"""The pain gate on a page: the gate as a picture, what each program does to it, and how that hangs on amplitude and frequency."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from epidura.figures import ANODE, CATHODE, FELT, HURTS, IDLE, INK, plain, style
from epidura.transmission import SURE, WORDS

NAMES = {"SG": "inhibitory neurons of this place", "SURR": "inhibitory neurons around it", "EX": "relay of the pain fibres",
         "WDR": "pain and touch, to the brain", "NS": "pain alone, to the brain"}
"""Populations in plain words."""

CLOSES = 0.2
"""Share by which firing has fallen where the gate is called closing, in the words of a report."""

MOMENTS = {600.0: "10 min", 3600.0: "1 h", 86400.0: "1 day", 30 * 86400.0: "30 days", 365.25 * 86400.0: "1 year", 5 * 365.25 * 86400.0: "5 years"}
"""Moments after switching on for good, s, in words."""

COLOURS = (FELT, CATHODE, ANODE, HURTS, "#7a4fb5", IDLE, "#4d7c0f", "#be185d", "#0e7490", "#713f12")


def section(found: xr.Dataset, table: Callable[..., str], figure: Callable[[go.Figure, str], str]) -> str:
    """The section of a report; ``table`` and ``figure`` make HTML of rows and of figures."""
    known = [i for i in range(found.program.size) if int(found.main_place[i]) >= 0]
    pictures = "".join(f"<div>{diagram(found, i)}</div>" for i in known[:4])
    state = str(found.attrs["pain_state"]).replace("-", " ")
    parts = [
        f"<p>Pain fibres excite neurons that pass pain on to the brain; large fibres, which the lead drives, excite neurons that inhibit these. "
        f"That is the gate. It was run as the circuit <code>{escape(found.attrs['circuit'])}</code> in the state <em>{escape(state)}</em>, "
        f"{found.seed.size} copies with input of their own, each with and without stimulation.</p>",
        f'<div class="pair">{pictures}</div>',
        _verdicts(found, table),
        *(f"<p>{escape(words)}</p>" for words in (closing(found, i) for i in known) if words),
    ]
    if known:
        parts.append(figure(rasters(found, known[0]), "gate-rasters"))
        parts.append('<div class="pair">' + "".join(f"<div>{one}</div>" for one in (
            figure(against_amplitude(found, known), "gate-amplitude") if found.sizes["level"] else "",
            figure(against_frequency(found, known), "gate-frequency") if found.sizes["frequency"] else "") if one) + "</div>")
    parts += [_slowly(found, table), _c_fibres(found, table, known), _touch(found, table, known),
              f'<p class="small"><strong>Known of this state:</strong> {escape(found.attrs["pain_known"])} <strong>Assumed:</strong> '
              f'{escape(found.attrs["pain_assumed"])}</p>',
              '<p class="small">Firing of simulated neurons, not pain: what a person feels hangs on more, and is not derived from it here. Intervals '
              f"are those of the mean over the copies ({SURE:.0%}, Student); they say nothing about how well the circuit stands for a person.</p>"]
    return f'<section id="gate"><h2>The pain gate</h2>{"".join(parts)}</section>'


def _mean(values: xr.DataArray) -> float:
    kept = values.values[np.isfinite(values.values)]
    return float(kept.mean()) if kept.size else float("nan")


def _percent(middle: Any, low: Any, high: Any) -> str:
    middle, low, high = float(middle), float(low), float(high)
    if np.isnan(middle):
        return "–"
    middle = 0.0 if abs(middle) < 0.5 else middle
    words = f"<strong>−{middle:.0f} %</strong>" if middle > 0 else f"+{-middle:.0f} %" if middle < 0 else "no change"
    bounds = "" if np.isnan(low) or high - low < 0.5 else f" <small>({-high:+.0f} to {-low:+.0f})</small>".replace("-", "−").replace("+0 ", "0 ")
    return (words + bounds).replace(" ", "\u00a0")


def diagram(found: xr.Dataset, program: int) -> str:
    """The gate of one program as a picture: what fires, with and without stimulation, where the program recruits most."""
    place, cells = int(found.main_place[program]), [str(name) for name in found.cell.values]
    name = str(found.program.values[program])
    on = {cell: _mean(found.rate.isel(program=program, hypothesis=0, place=place).sel(cell=cell)) for cell in cells}
    off = {cell: _mean(found.rate_off.sel(cell=cell)) for cell in cells}
    share = found.recruited_share.isel(program=program, place=place).values
    leaving = [cell for cell in cells if cell in found.projection.values]
    middle = [cell for cell in cells if cell not in leaving]
    height = 78 * max(len(middle), len(leaving)) + 40
    step_m, step_l = (height - 30) / max(len(middle), 1), (height - 30) / len(leaving)
    y_of = {cell: 30 + step_m * (k + 0.5) for k, cell in enumerate(middle)} | {cell: 30 + step_l * (k + 0.5) for k, cell in enumerate(leaving)}
    large, thin = 30 + 0.25 * (height - 30), 30 + 0.78 * (height - 30)
    lines, boxes = [], []

    def line(x0: float, y0: float, x1: float, y1: float, blocks: bool, strong: float) -> None:
        end = "stop" if blocks else "go"
        colour = CATHODE if blocks else "#5c7a99"
        lines.append(f'<line x1="{x0:.0f}" y1="{y0:.0f}" x2="{x1:.0f}" y2="{y1:.0f}" stroke="{colour}" stroke-width="{1 + 3 * strong:.1f}" '
                     f'opacity="{0.35 + 0.65 * strong:.2f}" marker-end="url(#{end}-{program})"/>')

    def box(x: float, y: float, width: float, title: str, below: str, fill: str) -> None:
        boxes.append(f'<rect x="{x:.0f}" y="{y - 27:.0f}" width="{width:.0f}" height="54" rx="8" fill="{fill}" stroke="#cbd2d9"/>'
                     f'<text x="{x + width / 2:.0f}" y="{y - 6:.0f}" class="name">{escape(title)}</text>'
                     f'<text x="{x + width / 2:.0f}" y="{y + 13:.0f}" class="rate">{escape(below)}</text>')

    def activity(cell: str) -> float:
        return 0.0 if np.isnan(on[cell]) else min(1.0, on[cell] / max(off[cell], on[cell], 20.0))

    def told(cell: str) -> str:
        return f"{off[cell]:.0f} → {on[cell]:.0f} per second" if not np.isnan(on[cell]) else "–"

    for cell in middle:
        if cell == "EX":
            line(142, thin, 196, y_of[cell], False, 0.6)
        else:
            line(142, large, 196, y_of[cell], False, min(1.0, 0.2 + float(share.max())))
        for last in leaving:
            line(406, y_of[cell], 458, y_of[last] + (8 if cell == "EX" else -8), cell != "EX", activity(cell))
    box(4, large, 136, "large fibres", f"lead drives {_share(share[0])}", "#e6f3f1")
    box(4, thin, 136, "pain fibres", "painful input", "#fbeee0")
    for cell in middle:
        box(200, y_of[cell], 204, NAMES.get(cell, cell), told(cell), "#f3f5f8")
    for cell in leaving:
        box(462, y_of[cell], 214, NAMES.get(cell, cell), told(cell), "#f3f5f8")
    marks = "".join(f'<marker id="{end}-{program}" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="9" markerHeight="9" '
                    f'markerUnits="userSpaceOnUse" orient="auto">{shape}</marker>'
                    for end, shape in (("go", '<path d="M0 0 L10 5 L0 10 z" fill="#5c7a99"/>'),
                                       ("stop", f'<rect x="5" y="0" width="3.5" height="10" fill="{CATHODE}"/>')))
    title = f"{name}, {found.place.values[place]}: firing without → with stimulation"
    return (f'<svg class="gate" viewBox="0 0 680 {height:.0f}" role="img" aria-label="{escape(title)}"><defs>{marks}</defs>'
            f'<text x="4" y="16" class="title">{escape(title)}</text>{"".join(lines)}{"".join(boxes)}</svg>')


def _verdicts(found: xr.Dataset, table: Callable[..., str]) -> str:
    """By how much the firing of projection neurons changes: a line a program and place, a column a hypothesis."""
    rows = []
    several = found.projection.size > 1
    for i, name in enumerate(found.program.values):
        if int(found.main_place[i]) < 0:
            rows.append([escape(str(name)), "no amplitude", *[""] * (2 + found.hypothesis.size)])
            continue
        for p, place in enumerate(found.place.values):
            at = found.isel(program=i, place=p)
            share = "not reached" if not float(found.served[p]) else " / ".join(_share(x) for x in at.recruited_share.values)
            for cell in found.projection.values:
                one = at.sel(projection=cell)
                where = (escape(str(place)) + (f", {cell}" if several else "")).replace(" ", "\u00a0")
                rows.append([escape(str(name)) if p == 0 else "", where, share,
                             f"{_mean(found.rate_off.sel(cell=cell)):.0f}",
                             *("as fired" if h and bool((one.rate[h] == one.rate[0]).all()) else
                               _percent(one.inhibition[h], one.inhibition_lower[h], one.inhibition_upper[h]) for h in range(found.hypothesis.size))])
    heads = [escape(WORDS.get(str(h), str(h))) for h in found.hypothesis.values]
    head = ("program", "pain at", "large fibres that fire: here / around", "projection neurons alone, per s", *heads)
    return (f'<h3>Transmission of pain</h3>{table(head, rows, "dense")}'
            '<p class="small">Change of the firing of projection neurons with stimulation. Columns to the right: what else might happen with '
            "therapies below perception; these are competing claims, switched on one at a time; <em>as fired</em>: the claim is not about this "
            "program. "
            "Large fibres: share of the real fibres of the dorsal columns of this dermatome, and of its neighbours, whose threshold is below the "
            "amplitude.</p>")


def closing(found: xr.Dataset, program: int) -> str:
    """From which amplitude on the gate closes, in words; nothing where no amplitudes were tried."""
    if not found.sizes["level"]:
        return ""
    cell = found.projection.values[0]
    off = _mean(found.rate_off.sel(cell=cell))
    left = np.nanmean(found.rate_at_amplitude.isel(program=program).sel(projection=cell).values, axis=1) / off
    amplitude, share = 1e3 * found.sweep_amplitude.values[program], found.share_at_amplitude.values[program]
    name, place = str(found.program.values[program]), str(found.place.values[int(found.main_place[program])])
    below = np.flatnonzero(left < 1 - CLOSES)
    if not below.size:
        return (f"{name}: at {place}, up to {amplitude[-1]:.2f} mA, where {_share(share[-1])} of its large fibres fire, the firing of {cell} neurons "
                f"does not fall by {CLOSES:.0%}.")
    k = int(below[0])
    tried = f"; at {amplitude[k - 1]:.2f} mA ({_share(share[k - 1])}) it does not yet" if k else ""
    return (f"{name}: at {place} the firing of {cell} neurons has fallen by {CLOSES:.0%} at {amplitude[k]:.2f} mA, where {_share(share[k])} of its "
            f"large fibres fire{tried}.")


def _share(x: float) -> str:
    return "0" if x == 0 else f"{x:.1%}" if x < 0.095 else f"{x:.0%}"


def _c_fibres(found: xr.Dataset, table: Callable[..., str], known: Sequence[int]) -> str:
    if not found.sizes["volley"] or not known:
        return ""
    rows = []
    for cell in found.projection.values:
        off = found.c_component_off.sel(projection=cell).mean("seed").values
        rows.append(["no stimulation", escape(str(cell)), f"{off.sum():.0f}", f"{off[0]:.0f} → {off[-1]:.0f}", ""])
        for i in known:
            on = found.c_component.isel(program=i, hypothesis=0).sel(projection=cell).mean("seed").values
            one = found.isel(program=i, hypothesis=0).sel(projection=cell)
            rows.append([escape(str(found.program.values[i])), escape(str(cell)), f"{on.sum():.0f}", f"{on[0]:.0f} → {on[-1]:.0f}",
                         _percent(one.c_inhibition, one.c_inhibition_lower, one.c_inhibition_upper)])
    return (f'<h3>Answer to C fibres, and wind-up</h3>'
            f'{table(("program", "neurons", "action potentials in all volleys", "first → last volley", "change"), rows, "dense")}'
            f'<p class="small">{found.sizes["volley"]} volleys of the nerve, one a second; counted from 0.1 to 1 s after each, which is the answer '
            "to C fibres. A rise from the first to the last is wind-up.</p>")


def _slowly(found: xr.Dataset, table: Callable[..., str]) -> str:
    """Wash-in and habituation of each program."""
    rows = [[escape(str(found.program.values[i])),
             *(f"{float(f):.0%} <small>({float(low):.0%} to {float(high):.0%})</small>".replace("% <", "%\u00a0<").replace(" to ", "\u00a0to\u00a0")
               for f, low, high in zip(found.slow_factor.values[i], found.slow_lower.values[i], found.slow_upper.values[i], strict=True))]
            for i in range(found.program.size)]
    head = ("program", *(MOMENTS.get(float(m), f"{float(m):g} s") for m in found.moment.values))
    return (f'<h3>How much of the inhibition is there in time</h3>{table(head, rows, "dense")}'
            '<p class="small">After switching on for good: wash-in over minutes to days, habituation over years, both of first order, with bounds '
            "over the ranges of their constants, of which most are unverified. The circuit has no such memory; these multiply what it gives.</p>")


def _touch(found: xr.Dataset, table: Callable[..., str], known: Sequence[int]) -> str:
    rows = []
    for i in known:
        for cell in found.projection.values:
            rows.append([escape(str(found.program.values[i])), escape(str(cell)), f"{_mean(found.touch_rate_off.sel(projection=cell)):.1f}",
                         f"{_mean(found.touch_rate.isel(program=i, hypothesis=0).sel(projection=cell)):.1f}"])
    head = ("program", "neurons", "touch alone, per s", "touch and stimulation, per s")
    return (f'<h3>Is touch spared?</h3>{table(head, rows, "dense")}'
            '<p class="small">The same circuit without painful input. Touch reaches the brain through the dorsal columns too, which are not part '
            "of it.</p>") if rows else ""


def rasters(found: xr.Dataset, program: int, span: float = 1.0) -> go.Figure:
    """When each neuron fires in the first copy: without stimulation above, with it below."""
    onset, names = float(found.attrs["onset"]), [str(name) for name in found.population.values]
    shown = (onset - 0.3, min(onset + span, float(found.attrs["duration"])))
    with_it = f"{plain(str(found.program.values[program]))}, {found.place.values[int(found.main_place[program])]}"
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.12, subplot_titles=("without stimulation", with_it))
    figure.layout.template = "none"
    colour = {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(dict.fromkeys(names))}
    for row, run in ((1, 0), (2, program + 1)):
        for k, name in enumerate(names):
            times = found.spike_time.values[run, k]
            times = times[np.isfinite(times) & (times > shown[0]) & (times < shown[1])]
            figure.add_scatter(x=1e3 * (times - onset), y=np.full(times.size, k), mode="markers", name=name, showlegend=False,
                               marker={"symbol": "line-ns", "size": 11, "line": {"width": 1.2, "color": colour[name]}},
                               hovertemplate=f"{name}, %{{x:.1f}} ms<extra></extra>", row=row, col=1)
        ticks = [k for k in range(len(names)) if k == 0 or names[k] != names[k - 1]]
        figure.update_yaxes(tickvals=ticks, ticktext=[names[k] for k in ticks], range=[len(names) - 0.4, -0.6], row=row, col=1)
    figure.add_vline(x=0, line={"color": INK, "width": 1, "dash": "dot"})
    figure.update_xaxes(title_text="time from the start of stimulation (ms)", row=2, col=1)
    return style(figure, "When the neurons fire", height=150 + 26 * max(2 * len(names), 8))


def _tall(programs: int) -> int:
    """Height of a chart whose legend may need a line for each program, px."""
    return 340 + 24 * programs


def against_amplitude(found: xr.Dataset, known: Sequence[int]) -> go.Figure:
    """Firing of the first projection population against amplitude, with the interval over the copies."""
    figure = go.Figure(layout={"template": "none"})
    cell = str(found.projection.values[0])
    for n, i in enumerate(known):
        x = 1e3 * found.sweep_amplitude.values[i]
        y = found.rate_at_amplitude.isel(program=i).sel(projection=cell).values
        shares = found.share_at_amplitude.values[i]
        figure.add_scatter(x=x, y=np.nanmean(y, axis=1), mode="lines+markers", name=plain(str(found.program.values[i])),
                           line={"color": COLOURS[n % len(COLOURS)]}, customdata=shares,
                           error_y={"type": "data", "array": np.nanstd(y, axis=1), "thickness": 1},
                           hovertemplate="%{x:.2f} mA, %{customdata:.1%} of the large fibres: %{y:.0f} per s")
    off = _mean(found.rate_off.sel(cell=cell))
    figure.add_hline(y=off, line={"color": IDLE, "dash": "dot"}, annotation_text="without stimulation", annotation_font_color="#52606d")
    figure.update_xaxes(title_text="amplitude (mA)")
    figure.update_yaxes(title_text=f"{cell}, action potentials per second", rangemode="tozero")
    return style(figure, "Against amplitude", height=_tall(len(known)), legend={"orientation": "h", "y": -0.25})


def against_frequency(found: xr.Dataset, known: Sequence[int]) -> go.Figure:
    """The same against frequency: with the fibres that a tonic program recruits, and with every large fibre driven."""
    figure = go.Figure(layout={"template": "none"})
    cell = str(found.projection.values[0])
    x = found.frequency.values
    curves = [("every large fibre driven", found.rate_at_frequency_all.sel(projection=cell).values, INK, "dash")]
    curves += [(f"fibres of {plain(str(found.program.values[i]))}", found.rate_at_frequency.isel(program=i).sel(projection=cell).values,
                COLOURS[n % len(COLOURS)], "solid") for n, i in enumerate(known)]
    for name, y, colour, dash in curves:
        if np.isfinite(y).any():
            figure.add_scatter(x=x, y=np.nanmean(y, axis=1), mode="lines+markers", name=name, line={"color": colour, "dash": dash},
                               error_y={"type": "data", "array": np.nanstd(y, axis=1), "thickness": 1}, hovertemplate="%{x:g} Hz: %{y:.0f} per s")
    figure.add_hline(y=_mean(found.rate_off.sel(cell=cell)), line={"color": IDLE, "dash": "dot"})
    figure.update_xaxes(title_text="frequency (Hz)", type="log", tickvals=x, ticktext=[f"{f:g}" for f in x])
    figure.update_yaxes(title_text=f"{cell}, action potentials per second", rangemode="tozero")
    return style(figure, "Against frequency", height=_tall(len(known)), legend={"orientation": "h", "y": -0.25})
