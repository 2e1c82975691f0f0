"""The report of a cohort: one self-contained HTML page, drawn from the summary alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

import plotly.graph_objects as go

from epidura.figures import ANODE, CATHODE, FELT, HURTS, IDLE, plain, style
from epidura.patient import indication_words
from epidura.report import DISCLAIMER, _figure, _table

COLOURS = (FELT, CATHODE, ANODE, HURTS, "#7c3aed", "#0891b2")
REASONS = {"no coverage": "the program could not be set, or the lead not placed", "relief": "relief below the rule", "haematoma": "haematoma",
           "infection": "infection", "loss": "loss of effect", "other": "other reasons"}
WORDS = {"coverage": "painful dermatomes covered", "coverable": "painful dermatomes that could be covered", "recruited": "large fibres that fire",
         "inhibition": "inhibition by the gate", "closing": "amplitude that closes the gate, over the program's",
         "usage_range": "discomfort over perception threshold", "reach_factor": "reach: factor on the neural effect",
         "dorsal_csf": "fluid dorsal of the cord", "lateral": "lead from where it was aimed at, to a side", "baseline": "pain at enrolment",
         "expectation": "own place in expectation", "adherence": "share of days stimulated"}


TRIED_FIRST = " (trial stage first against implanting directly)"


def render(found: Mapping[str, Any]) -> str:
    """The page as text, from the summary of ``cohort.summarise``: no file or address outside it is needed to show it."""
    from plotly.offline import get_plotlyjs

    css = (files("epidura") / "data" / "report.css").read_text("utf-8")
    body = "\n".join([_head(found), _responders(found), _cumulative(found), _two_stages(found), _explants(found), _costs(found),
                      _who_fails(found), _programming(found), _chain(found), _foot(found)])
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">\n'
            f"<title>{escape(found['title'])} · Epidura</title>\n<style>{css}</style>\n<script>{get_plotlyjs()}</script>\n"
            f"</head><body><main>\n{body}\n</main></body></html>\n")


def colours(found: Mapping[str, Any]) -> list[str]:
    """One for each arm; grey where nothing is stimulated."""
    bright = iter(COLOURS * 4)
    return [next(bright) if arm["stimulated"] else IDLE for arm in found["arms"]]


def _head(found: Mapping[str, Any]) -> str:
    months = ", ".join(f"{month:g}" for month in found["months"])
    arms = "; ".join(f"{arm['name']} ({arm['therapy'].replace('-', ' ')})" for arm in found["arms"])
    notes = "".join(f'<p class="note">{escape(words)}</p>' for words in found["notes"])
    return (f'<header><p class="brand">Epidura cohort</p><h1>{escape(found["title"])}</h1>'
            f"<p>{found['patients']:,} virtual patients with {escape(indication_words(found['indication']))}, the same people in every arm: "
            f"{escape(arms)}. Visits {months} months after the verdict of the trial stage. Everything happens in {found['replicates']} replicates, "
            f"each with one draw of the fitted outcome model that all patients share.</p>"
            f"<p>Intervals are 50 and 90 % over replicates and over drawings of the patients with replacement: what the model is unsure of, and what "
            f"a study of this size cannot tell.</p>{notes}</header>")


def band_figure(lines: Sequence[tuple[str, str, Sequence[float], Mapping[str, Any]]], title: str, x_title: str, y_title: str, markers: bool = True,
                scale: float = 100.0, step: bool = False) -> go.Figure:
    """Lines with 50 and 90 % bands; each is (name, colour, places, bands)."""
    figure = go.Figure()
    figure.layout.template = "none"
    shape = {"shape": "hv"} if step else {}
    fainter = min(1.0, 2.0 / max(len(lines), 1))  # bands of many lines lie over each other
    for name, colour, x, bands in lines:
        places = list(x)
        for key, opacity in (("interval_90", 0.14), ("interval_50", 0.26)):
            low, high = ([scale * pair[k] for pair in bands[key]] for k in (0, 1))
            figure.add_scatter(x=places, y=low, mode="lines", line={"width": 0, **shape}, hoverinfo="skip", showlegend=False, legendgroup=name)
            figure.add_scatter(x=places, y=high, mode="lines", line={"width": 0, **shape}, fill="tonexty", hoverinfo="skip", showlegend=False,
                               fillcolor=_faint(colour, fainter * opacity), legendgroup=name)
        figure.add_scatter(x=places, y=[scale * value for value in bands["median"]], mode="lines+markers" if markers else "lines", name=plain(name),
                           line={"color": colour, "width": 2.5, **shape}, legendgroup=name, hovertemplate="%{y:.0f}<extra></extra>")
    style(figure, title, height=420, legend={"orientation": "h", "y": -0.24}, showlegend=True, hovermode="x unified")
    figure.update_layout(margin={"b": 90})
    figure.update_xaxes(title=x_title)
    figure.update_yaxes(title=y_title, range=[0, 100] if scale == 100.0 else None)
    return figure


def _faint(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def _over_time(arm: Mapping[str, Any], name: str, months: Sequence[float]) -> dict[str, list[Any]]:
    """Bands of a quantity at the visits."""
    return {key: [arm[f"{name} {month:g}"][key] for month in months] for key in ("median", "interval_50", "interval_90")}


def _responders(found: Mapping[str, Any]) -> str:
    months, pairs = found["months"], list(zip(found["arms"], colours(found), strict=True))
    lines = [(arm["name"], colour, months, _over_time(arm, "responder50", months)) for arm, colour in pairs]
    figure = band_figure(lines, "Half of the pain gone: share of everybody who was enrolled", "months after the verdict", "% of patients")
    figure.update_xaxes(tickvals=list(months), rangemode="tozero")
    rows = []
    for arm in found["arms"]:
        for month in months:
            rows.append([escape(arm["name"]) if month == months[0] else "", f"{month:g}\u00a0month{'' if month == 1 else 's'}",
                         *(_percent(arm[f"{name} {month:g}"]) for name in ("responder50", "responder50 implanted", "responder30")),
                         _number(arm[f"nrs {month:g}"], 1), _number(arm[f"index {month:g}"], 2)])
    head = ("arm", "after", "half of the pain gone", "the same, of the implanted", "30 % gone", "mean pain (NRS)",
            f"mean EQ-5D index ({escape(found['country'])})")
    return (f"<section><h2>Responders</h2>{_figure(figure, 'responders')}{_table(head, rows, 'dense')}"
            '<p class="small">Middle and 90 % interval. Everybody who was enrolled counts, those without a stimulator included, unless a column says '
            "otherwise.</p></section>")


def _cumulative(found: Mapping[str, Any]) -> str:
    last = found["months"][-1]
    lines = [(arm["name"], colour, [100 * x for x in arm["cumulative"]["relief"]], arm["cumulative"])
             for arm, colour in zip(found["arms"], colours(found), strict=True)]
    figure = band_figure(lines, f"Cumulative responders after {last:g} months", "relief of at least, % of the pain at enrolment", "% of patients",
                         markers=False)
    for limit in (30, 50):
        figure.add_vline(x=limit, line={"color": IDLE, "width": 1, "dash": "dot"})
    return (f"<section><h2>Cumulative responders</h2>{_figure(figure, 'cumulative')}"
            '<p class="small">For every relief, the share of all enrolled who have it or more; dotted: 30 % and 50 %.</p></section>')


def _two_stages(found: Mapping[str, Any]) -> str:
    rows = []
    for arm in found["arms"]:
        procedure = arm["procedure"]
        way = "no trial stage" if procedure["skip"] or not arm["tried"] else f"{procedure['technique']}, rule {_rule(procedure['rule'])}"
        rows.append([escape(arm["name"]), escape(way) if arm["stimulated"] else "–", _percent(arm["passed"]) if arm["tried"] else "–",
                     _percent(arm["implanted"]) if arm["stimulated"] else "–", _percent(arm["lost"]) if arm["stimulated"] else "–",
                     _last(arm["explant_free"])])
    last = found["months"][-1]
    head = ("arm", "trial stage", "implanted of those tried", "implanted of all", f"lost the effect within {last:g} months, of the implanted",
            f"explanted within {last:g} months, of the implanted")
    return f"<section><h2>From trial to implant</h2>{_table(head, rows)}{_trial_value(found)}</section>"


def _trial_value(found: Mapping[str, Any]) -> str:
    """What trial stages are worth, where the study has an arm without one."""
    values = found.get("trial_value")
    if not values:
        return ""
    seen = found["trial_value_published"]
    rows = [[escape(one["arm"]), _percent(one["sensitivity"]), _percent(one["specificity"]), _percent(one["positive_predictive"]),
             _percent(one["implanted"]), _percent(one["missed"], 1), _percent(one["spared"], 1), _needed(one["number_needed_to_try"]),
             _needed(one["number_needed_to_implant"])] for one in values]
    published = [f"{of['value']:g}\u00a0% <small>({of['low']:g} to {of['high']:g})</small>" for of in (seen["sensitivity"], seen["specificity"])]
    rows.append(["TRIAL-STIM, published (95 %)", *published, *["–"] * 6])
    head = ("arm with a trial stage", "sensitivity", "specificity", "of those who pass, respond", "implanted of those tried",
            "responders who are missed", "others who are spared", "to try for one more responder", "to implant directly for one more")
    months = values[0]["months"]
    return (f"<h3>What the trial stage is worth</h3>{_table(head, rows, 'dense')}"
            f'<p class="small">Who responds (half of the pain gone after {months:g} months) is seen in the same people in the arm without a trial '
            "stage. One more responder than with usual care, if the study has such an arm. The model was fitted to TRIAL-STIM's two numbers, so "
            "that they agree proves nothing new. Where leads stay after the trial stage, the two arms differ in where they lie, too.</p>")


def _needed(value: Mapping[str, Any] | None) -> str:
    """A number of people; without an upper end where there may be no gain."""
    if value is None or value["median"] is None:
        return "–"
    low, high = value["interval_90"]
    most = "no end" if high is None else f"{high:.1f}"
    return f"<strong>{value['median']:.1f}</strong>\u00a0<small>({low:.1f}\u00a0to\u00a0{most})</small>"


def _rule(rule: object) -> str:
    return rule if isinstance(rule, str) else ", ".join(f"{name} {limit:g}" for name, limit in dict(rule).items())  # type: ignore[call-overload]


def _last(curve: Mapping[str, Any] | None) -> str:
    if curve is None:
        return "–"
    low, high = curve["interval_90"][-1]
    return _percent({"median": 1 - curve["median"][-1], "interval_90": [1 - high, 1 - low]}, 1)


def _explants(found: Mapping[str, Any]) -> str:
    lines = [(arm["name"], colour, arm["explant_free"]["month"], arm["explant_free"])
             for arm, colour in zip(found["arms"], colours(found), strict=True) if arm["explant_free"] is not None]
    if not lines:
        return "<section><h2>Explants</h2><p>Nobody was implanted.</p></section>"
    figure = band_figure(lines, "Kaplan-Meier: still has the stimulator", "months after implantation", "% of the implanted", markers=False, step=True)
    lowest = min(pair[0] for _, _, _, bands in lines for pair in bands["interval_90"])
    figure.update_yaxes(range=[max(0.0, 100 * lowest - 5), 100.5])
    rows = [[escape(arm["name"]) if k == 0 else "", escape(REASONS.get(one["reason"], one["reason"])), f"{one['share']:.1%}"]
            for arm in found["arms"] for k, one in enumerate(arm["explants"])]
    table = _table(("arm", "explanted for", "share of the implanted"), rows) if rows else "<p>No stimulator was taken out.</p>"
    return f"<section><h2>Explants</h2>{_figure(figure, 'explants')}{table}</section>"


def _who_fails(found: Mapping[str, Any]) -> str:
    parts = []
    for arm in found["arms"]:
        if not arm["stimulated"]:
            continue
        inner = ""
        if arm["failures"]:
            inner += "<p>The trial stage:</p>"
            rows = [[escape(REASONS.get(one["reason"], one["reason"])), f"{one['share']:.1%}"] for one in arm["failures"]]
            inner += _table(("why the trial stage failed", "of those tried"), rows)
        for key, heads in (("trial", ("those who fail the trial stage", "those who pass")),
                           ("last visit", (f"implanted, less than half gone at {found['months'][-1]:g} months", "implanted, half gone"))):
            rows = [[escape(WORDS[one["covariate"]]), _value(one["failed"], one["unit"]), _value(one["others"], one["unit"]),
                     f"{one['standardised']:+.2f}".replace("-", "−")] for one in arm["apart"][key]]
            if rows:
                inner += "<p>" + ("Who fails the trial stage:" if key == "trial" else "Who has the stimulator and no half of the pain gone:") + "</p>"
                inner += _table(("mean of", *heads, "difference in SD"), rows, "dense")
        parts.append(f"<h3>{escape(arm['name'])}</h3>{inner or '<p>Nobody fails, or too few to tell.</p>'}")
    words = ('<p class="small">Means over patients and replicates, the largest difference first. In the model, relief comes from pain, expectation, '
             "own answer and reach; anatomy acts through what the program reaches. That is an assumption, not a finding.</p>")
    return f"<section><h2>Who fails, and why</h2>{''.join(parts)}{words}</section>"


def _programming(found: Mapping[str, Any]) -> str:
    told = [(arm["name"], arm["programming"]) for arm in found["arms"] if arm.get("programming")]
    if not told:
        return ""
    rows = [[escape(name), str(of["tried"]), _share(of["changed"]), _share(of["coverage_as_written"]), _share(of["coverage"]),
             escape(", ".join(f"{words} ({share:.0%})" for words, share in of["commonest"])), _share(of["moved"]), _share(of["revised"])]
            for name, of in told]
    head = ("arm", "combinations tried", "people with other contacts than written", "painful dermatomes covered as written", "covered as chosen",
            "commonest choices", "leads that moved, of the implanted", "of these revised")
    held = any(of["by"] == "session" for _, of in told)
    words = ("A programming session tries the combinations that step along the lead, and keeps one by the rules of data/programming_rules.csv. "
             if held else "Programs keep the contacts of the case. ")
    return (f"<section><h2>Programming</h2>{_table(head, rows, 'dense')}"
            f'<p class="small">{words}The leads of the definitive stage. Means over patients. Leads that moved are programmed anew; where too '
            "little of the reach is won back they are revised.</p></section>")


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _costs(found: Mapping[str, Any]) -> str:
    of = found.get("costs")
    if of is None:
        return ""
    unit = escape(of["currency"])
    items = [row["item"] for row in of["prices"]]
    prices = _table(("unit cost", "per", unit, "evidence", "source"),
                    [[escape(row["item"]), row["per"], _amount(row["price"]), escape(row["evidence"]), escape(row["source"])]
                     for row in of["prices"]], "dense")
    bills = _table(("arm", f"cost, {unit} a patient", "QALYs a patient", *(escape(item) for item in items)),
                   [[escape(arm["name"]), _span(arm["cost"], _amount), _span(arm["qaly"], lambda x: f"{x:.3f}".replace("-", "−")),
                     *(_amount(arm["parts"][item]) if item in arm["parts"] else "–" for item in items)] for arm in of["arms"]], "dense")
    rows = [[escape(f"{one['new']} against {one['old']}") + (TRIED_FIRST if one["why"] == "trial stage" else ""),
             _span(one["cost"], _amount), _span(one["qaly"], lambda x: f"{x:.4f}".replace("-", "−")), _per_qaly(one, unit), _verdicts(one["shares"]),
             ", ".join(f"{share:.0%} at {_amount(value)}" for value, share in one["acceptable"]) or "–"] for one in of["comparisons"]]
    head = ("comparison", f"more cost, {unit}", "more QALYs", "cost of a QALY", "share of the draws", "worth its cost")
    words = (f"Until {of['months']:g} months after the verdict, discounted at {of['discount']:.1%} a year. Mean and 95 % interval over draws of the "
             "model and drawings of the patients. No ratio is given where one arm is better on both sides, and no interval of a ratio where the "
             "draws do not agree on which side they lie.")
    return (f"<section><h2>Cost and QALYs</h2>{bills}{_table(head, rows, 'dense')}{_figure(plane(of), 'plane')}{prices}"
            f'<p class="small">{words}</p></section>')


def plane(of: Mapping[str, Any]) -> go.Figure:
    """The cost-effectiveness plane: every draw of each comparison, means, and lines of what a QALY may cost."""
    figure = go.Figure()
    figure.layout.template = "none"
    for one, colour in zip(of["comparisons"], COLOURS * 4, strict=False):
        name = plain(f"{one['new']} against {one['old']}")
        x, y = ([point[k] for point in one["points"]] for k in (0, 1))
        figure.add_scatter(x=x, y=y, mode="markers", name=name, legendgroup=name, hoverinfo="skip",
                           marker={"color": _faint(colour, 0.35), "size": 5})
        figure.add_scatter(x=[one["qaly"]["mean"]], y=[one["cost"]["mean"]], mode="markers", showlegend=False, legendgroup=name, name=name,
                           marker={"color": colour, "size": 13, "symbol": "diamond", "line": {"color": "white", "width": 1.5}},
                           hovertemplate="%{x:.4f} QALYs, %{y:,.0f}<extra></extra>")
    reach = max((abs(point[0]) for one in of["comparisons"] for point in one["points"]), default=0.0) or 0.01
    for value in dict.fromkeys(value for one in of["comparisons"] for value, _ in one["acceptable"]):
        figure.add_scatter(x=[-reach, reach], y=[-reach * value, reach * value], mode="lines", showlegend=False, hoverinfo="skip",
                           line={"color": IDLE, "width": 1, "dash": "dot"})
    style(figure, "Cost-effectiveness plane: every draw", height=440, legend={"orientation": "h", "y": -0.24}, showlegend=True)
    figure.update_layout(margin={"b": 90})
    figure.update_xaxes(title="more QALYs a patient", zeroline=True, zerolinecolor=IDLE)
    figure.update_yaxes(title=f"more cost a patient, {plain(of['currency'])}", zeroline=True, zerolinecolor=IDLE)
    return figure


def _amount(value: float) -> str:
    return f"{value:,.0f}".replace("-", "−") if abs(value) >= 100 else f"{value:.4g}".replace("-", "−")


def _span(value: Mapping[str, Any], form: Any) -> str:
    low, high = value["interval_95"]
    return f"<strong>{form(value['mean'])}</strong>\u00a0<small>({form(low)}\u00a0to\u00a0{form(high)})</small>"


def _per_qaly(one: Mapping[str, Any], unit: str) -> str:
    if one["ratio"] is None:
        return escape(one["verdict"])
    interval = one["interval_95"]
    more = f"\u00a0<small>({_amount(interval[0])}\u00a0to\u00a0{_amount(interval[1])})</small>" if interval else ""
    saved = " saved for each QALY less" if one["verdict"] == "saves and loses" else ""
    return f"<strong>{_amount(one['ratio'])} {unit}</strong>{saved}{more}"


def _verdicts(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{escape(name)} {share:.0%}" for name, share in shares.items() if share > 0)


def _chain(found: Mapping[str, Any]) -> str:
    of = found["surrogate"]
    if of["by"] == "full-chain":
        return "<section><h2>What programs reach</h2><p>The full chain was run for every person.</p></section>"
    fluid, across = (", ".join(f"{value:g}".replace("-", "−") for value in of[name]) for name in ("csf_mm", "lateral_mm"))
    minor = ", ".join(WORDS.get(name, name.replace("_", " ")) for name in of["minor"])
    alone = f", and {escape(minor)} each alone" if minor else ""
    words = (f"<p>The full chain (field, fibres, gate) was run at {of['nodes']} nodes with {of['share']:.0%} of the fibres, at {of['gated']} of them "
             f"with the gate: fluid dorsal of the cord {fluid} mm by lateral place {across} mm{alone}. "
             "Patients stand between the nodes.</p>")
    if of["errors"]:
        rows = [[escape(cell) for cell in row] for row in of["errors"]]
        words += (f"<p>Error of the surrogate, against the full chain of people who stand at no node ({of['compared']} of them):</p>"
                  + _table([escape(cell) for cell in of["head"]], rows, "dense"))
    else:
        words += '<p class="note">The surrogate was not compared with the full chain; its error is not known.</p>'
    return f"<section><h2>What programs reach</h2>{words}</section>"


def _foot(found: Mapping[str, Any]) -> str:
    made = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    grade, words = (escape(found["evidence"][name]) for name in ("grade", "words"))
    return (f"<footer><p>Evidence for this indication: {grade} ({words}). Seed {found['seed']}; "
            f"{escape(made)}; sources {found['sources']['all'][:16]}.</p><p><b>{DISCLAIMER}</b></p></footer>")


def _percent(value: Mapping[str, Any], digits: int = 0) -> str:
    return _with_interval(value, lambda x: f"{100 * x:.{digits}f}", "\u00a0%")


def _number(value: Mapping[str, Any], digits: int) -> str:
    return _with_interval(value, lambda x: f"{x:.{digits}f}".replace("-", "−"), "")


def _with_interval(value: Mapping[str, Any], form: Any, unit: str) -> str:
    if value["median"] is None:
        return "–"
    low, high = value["interval_90"]
    return f"<strong>{form(value['median'])}{unit}</strong>\u00a0<small>({form(low)}\u00a0to\u00a0{form(high)})</small>"


def _value(value: float, unit: str) -> str:
    shown = f"{value:.3g}".replace("-", "−")
    return shown if unit == "1" else f"{shown}\u00a0{unit}"
