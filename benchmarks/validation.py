"""Clinical plausibility: runs the chain, compares with data/validation.csv and writes the tables of docs/validation.md.

    python -m benchmarks.validation [plausibility] [people] [sensory] [field] [types] [gate]

Nothing here is tuned: a line that fails stays in the table as a failure.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit

import epidura as ep
from benchmarks import validation_gate, validation_people
from epidura import axon
from epidura.canal import build_canal
from epidura.delivery import Electronics, deliver
from epidura.fibre.course import follow
from epidura.field import solve_field
from epidura.firing import fire
from epidura.generator import generator
from epidura.product import LeadField, Tissue
from epidura.recruitment import PULSE_WIDTHS, fit_weiss, recruit
from epidura.result import Result
from epidura.tables import table
from epidura.waveform import Course

DOC = Path(__file__).parent.parent / "docs" / "validation.md"
SETS = ("high-dura", "low-dura")
MOTOR, SENSORY = "mrg-interpolated", "gaines-sensory"
MANY = 3200  # simulated fibres where a comparison asks for the mix of a few hundred real ones


@dataclass(frozen=True)
class Line:
    """One comparison: row of data/validation.csv, what was expected and what came out; ``good`` None: nothing measured to hold it against."""

    id: str
    what: str
    expected: str
    got: str
    good: bool | None


def result(tissues: str, vertebra: str = "T9", tip: str = "T8", width: str = "210 us", lateral: str = "0 mm",
           waveform: dict[str, Any] | None = None, count: int = 400, axon: str = MOTOR, **anatomy: str) -> Result:
    """A midline octrode with a bipole at the level of the vertebra; ``count`` dorsal-column fibres, accuracy ``fast``."""
    waveform = waveform or {"kind": "tonic", "frequency": "50 Hz", "pulse_width": width}
    return ep.run(ep.read({
        "title": "validation", "anatomy": {"kind": "parametric", "vertebra": vertebra, "tissues": tissues, **anatomy},
        "leads": [{"model": "octrode", "tip_vertebra": tip, "lateral": lateral}],
        "fibres": [{"kind": "dorsal-column", "count": count, "axon": axon}, {"kind": "dorsal-root", "axon": axon}],
        "programs": [{"name": "bipole", "waveform": waveform, "contacts": {4: -1, 5: 1}}], "firing": "off",
    }), accuracy="fast", check_field=False)


def perception(run: Result) -> float:
    """mA."""
    return float(run.recruitment.perception_threshold[0]) * 1e3


def ratio(run: Result) -> float:
    """Discomfort over perception."""
    return float(run.recruitment.discomfort_threshold[0] / run.recruitment.perception_threshold[0])


def bipolar(run: Result) -> float:
    """Ohm between the active contacts."""
    z = run.lead_field.impedance
    return float(z[3, 3] + z[4, 4] - 2 * z[3, 4])


def depth(run: Result, amplitude: float) -> float:
    """Of the deepest dorsal-column fibre that fires, mm."""
    at = run.recruitment.isel(program=0)
    fires = (at.fibre_population == "dorsal-column").values & (at.threshold.values <= amplitude)
    return float(at.depth.values[fires].max()) * 1e3 if fires.any() else float("nan")


def laterality(run: Result, fibres: float) -> float:
    """Mean distance from the midline of the first ``fibres`` real dorsal-column fibres to fire, mm."""
    at = run.recruitment.isel(program=0)
    column = np.flatnonzero((at.fibre_population == "dorsal-column").values)
    order = column[np.argsort(at.threshold.values[column])]
    chosen = order[np.cumsum(at.weight.values[order]) <= fibres]
    return float(np.average(np.abs(at.x.values[chosen]), weights=at.weight.values[chosen])) * 1e3


def lowest(run: Result, population: str) -> float:
    """Lowest threshold of a population, mA."""
    at = run.recruitment.isel(program=0)
    return float(at.threshold.values[(at.fibre_population == population).values].min()) * 1e3


def velocity(diameter: float, kind: str = MOTOR) -> float:
    """Conduction velocity of the model in a straight fibre, m/s."""
    model, nodes = axon.family.read({"kind": kind}), 61
    d = np.array([diameter])
    along = model.compartments(d, nodes)
    volts = -1.0 / (4 * np.pi * 0.2 * np.hypot(1e-3, along - along[:, 11 * 10 : 11 * 10 + 1]))
    engine = model.engine(d, nodes, volts, Course.of((100e-6, 1.0)).step_means(1e-6), 1e-6, "second-order", "float64")
    trace = engine.traces(np.array([1.5e-3]), 4e-3, [30, 50])[0, :, :, 0]
    times = (trace >= -30).argmax(axis=0) * 1e-6
    return float((along[0, 550] - along[0, 330]) / (times[1] - times[0]))


def of_set(tissues: str) -> Iterator[Line]:
    """Comparisons that depend on the tissue set."""
    runs = {v: result(tissues, v, t) for v, t in (("C5", "C4"), ("T5", "T4"), ("T8", "T7"), ("T9", "T8"), ("T10", "T9"), ("T11", "T10"))}
    nine = runs["T9"]
    yield from thoracic_lines([runs[v] for v in ("T8", "T9", "T10")])
    gaps = ("2 mm", "3 mm", "4 mm", "5 mm", "6 mm")
    by_gap = [result(tissues, dorsal_csf=gap) for gap in gaps]
    grows = [perception(run) for run in by_gap]
    yield Line("V09", "threshold against dorsal CSF of 2, 3, 4, 5, 6 mm, T9", "grows", _list(grows, " mA"), bool((np.diff(grows) > 0).all()))
    levels = [perception(runs[v]) for v in ("T5", "T11", "C5")]
    yield Line("V08", "threshold at T5, T11, C5", "mid thoracic > low thoracic > cervical", _list(levels, " mA"), bool((np.diff(levels) < 0).all()))
    thoracic = min(perception(run) for v, run in runs.items() if v.startswith("T"))
    yield Line("V06", "lowest thoracic threshold against C5", "thoracic > cervical", f"{thoracic:.2f} and {levels[2]:.2f} mA", thoracic > levels[2])
    widths = ("60 us", "210 us", "1000 us")
    away = [laterality(result(tissues, width=w, count=MANY), 300) for w in widths]
    yield Line("V04", "mean distance from the midline of the first 300 fibres at 60, 210, 1000 us", "falls", _list(away, " mm", 3),
               bool((np.diff(away) < 0).all()))
    impedances = [bipolar(runs[v]) for v in ("C5", "T9")]
    yield Line("V32", "bipolar impedance at C5 and T9", "200 to 1000 ohm (351 / 547 measured)", _list(impedances, " ohm", 0),
               all(200 <= x <= 1000 for x in impedances))
    z = [bipolar(run) for run in by_gap]
    change = max(z) / min(z) - 1
    yield Line("V07", "change of impedance with 2 to 6 mm of dorsal CSF", "below 5 %", f"{100 * change:.2f} %", change < 0.05)
    deepest = max(depth(run, float(run.recruitment.perception_threshold[0])) for run in runs.values())
    yield Line("V19", "deepest fibre firing at perception, six levels", "0.3 mm at most", f"{deepest:.2f} mm", deepest <= 0.3)
    deepest = depth(nine, float(nine.recruitment.discomfort_threshold[0]))
    yield Line("V19", "deepest fibre firing at discomfort, T9", "0.25 mm (computed by Holsheimer)", f"{deepest:.2f} mm", deepest <= 0.3)
    beside = result(tissues, lateral="-4 mm")
    share = lowest(beside, "dorsal-root") / lowest(beside, "dorsal-column")
    yield Line("V20", "lowest root over lowest column threshold, lead 4 mm lateral", "below 1", f"{share:.2f}", share < 1)
    fast = perception(result(tissues, waveform={"kind": "high-frequency", "frequency": "10 kHz", "pulse_width": "30 us"}))
    yield Line("V25", "10 kHz, 30 us: perception threshold, T9", "5 mA or more", f"{fast:.2f} mA", fast >= 5)
    at = result(tissues, "T10", "T9", count=MANY).recruitment.isel(program=0)
    felt = {str(d) for d in at.dermatome.values if float(at.dermatome_threshold.sel(dermatome=d).min()) <= float(at.discomfort_threshold)}
    legs = {"L2", "L3", "L4", "L5", "S1"}
    yield Line("V36", "midline bipole at T10: leg dermatomes L2 to S1 felt below discomfort", "all 5", ", ".join(sorted(felt & legs)) or "none",
               legs <= felt)
    small, large = (recruit(nine.lead_field, p, nine.case.programs[0]) for p in _counts(nine))
    spread = abs(float(small.perception_threshold[0] / large.perception_threshold[0]) - 1)
    yield Line("-", "perception threshold with 400 and with 1600 simulated fibres", "within 10 %", f"{100 * spread:.1f} %", spread < 0.1)


def thoracic_lines(runs: Sequence[Result]) -> Iterator[Line]:
    """Of bipoles at T8, T9 and T10."""
    low, ratios = [perception(run) for run in runs], [ratio(run) for run in runs]
    yield Line("V34", "perception threshold, bipole, 210 us, T8, T9, T10", "2 to 5 mA", _list(low, " mA"), all(2 <= x <= 5 for x in low))
    yield Line("V34", "discomfort over perception, T8, T9, T10", "1.4 to 1.8", _list(ratios), all(1.4 <= x <= 1.8 for x in ratios))
    yield from strength_duration_lines(runs[1])


def _counts(run: Result) -> list[Any]:
    column = run.case.fibres[0]
    return [column, column.but(count=1600)]


def lapicque(widths: Floats, thresholds: Floats) -> tuple[float, float]:
    """Rheobase and chronaxie of Lapicque's law I = rheobase / (1 - 2^(-width / chronaxie)), relative errors counting alike; Lapicque 1907."""
    found, _ = curve_fit(lambda width, rheobase, chronaxie: rheobase / (1.0 - 2.0 ** (-width / chronaxie)), widths * 1e6, thresholds * 1e3,
                         p0=(1e3 * thresholds.min(), 300.0), sigma=thresholds)
    return float(found[0]) * 1e-3, float(found[1]) * 1e-6


def strength_duration_lines(run: Result) -> Iterator[Line]:
    """By both laws: we know of the clinical fit only that it is one of them. A line passes where one of them lies in the clinical range."""
    weiss = float(run.recruitment.rheobase[0]), float(run.recruitment.chronaxie[0])
    laws = weiss, lapicque(PULSE_WIDTHS, run.recruitment.strength_duration.values[0])
    by = "of the perception threshold, T9, by Weiss's and by Lapicque's law"
    yield Line("V02", f"chronaxie {by}", "295 us (242 to 326), by one of the two", _list([1e6 * law[1] for law in laws], " us", 0),
               any(242e-6 <= law[1] <= 326e-6 for law in laws))
    yield Line("V01", f"rheobase {by}", "2.5 mA (1.3 to 3.3), by one of the two", _list([1e3 * law[0] for law in laws], " mA"),
               any(1.3e-3 <= law[0] <= 3.3e-3 for law in laws))


def velocity_lines(kind: str) -> Iterator[Line]:
    """Of fibres in human roots."""
    speeds = [velocity(d, kind) for d in (13.0e-6, 8.3e-6)]
    yield Line("V37", "conduction velocity at 13.0 and 8.3 um", "49 and 20 m/s", _list(speeds, " m/s", 1),
               abs(speeds[0] / 49 - 1) < 0.2 and abs(speeds[1] / 20 - 1) < 0.2)


def once() -> Iterator[Line]:
    """Comparisons that do not."""
    yield from velocity_lines(MOTOR)
    ranges = {"C5": (1.5, 4), "T5": (4, 8.5), "T11": (2, 6), "T12": (1.5, 4.5)}
    gaps = {v: float(table("vertebrae").row(vertebra=v)["dcsf_mm"]) for v in ranges}
    yield Line("V38", "dorsal CSF at C5, T5, T11, T12", "1.5-4, 4-8.5, 2-6, 1.5-4.5 mm", _list(gaps.values(), " mm"),
               all(low <= gaps[v] <= high for v, (low, high) in ranges.items()))


Floats = NDArray[np.float64]
Pattern = dict[int | Literal["case"], float]
BIPOLE: Pattern = {4: -1, 5: 1}


def field(tissues: str, *laterals: str, vertebra: str = "T9", tip: str = "T8", accuracy: str = "fast", tips: bool = False,
          sigma: dict[str, float] | None = None, **anatomy: str) -> LeadField:
    """Octrodes side by side, at the midline unless told otherwise.

    Args:
        sigma: conductivities that replace those of the set, S/m.
    """
    case = _case(tissues, laterals or ("0 mm",), vertebra, tip, anatomy)
    canal = build_canal(case.anatomy, case.leads, accuracy, tips)
    if sigma:
        canal = replace(canal, tissues=_replaced(canal.tissues, sigma), along=tuple(_replaced(row, sigma) for row in canal.along))
    return solve_field(canal)


@cache
def standard(tissues: str, vertebra: str) -> LeadField:
    """One octrode with its tip, accuracy ``standard``."""
    return field(tissues, vertebra=vertebra, tip={"C5": "C4", "T9": "T8"}[vertebra], accuracy="standard", tips=True)


def _replaced(tissues: tuple[Tissue, ...], sigma: dict[str, float]) -> tuple[Tissue, ...]:
    return tuple(replace(t, transverse=sigma[t.name], longitudinal=sigma[t.name]) if t.name in sigma else t for t in tissues)


def _case(tissues: str, laterals: tuple[str, ...], vertebra: str, tip: str, anatomy: dict[str, str]) -> ep.Case:
    return ep.read({
        "title": "validation", "anatomy": {"kind": "parametric", "vertebra": vertebra, "tissues": tissues, **anatomy},
        "leads": [{"model": "octrode", "tip_vertebra": tip, "lateral": lateral} for lateral in laterals],
        "fibres": [{"kind": "dorsal-column", "count": 400}],
        "programs": [{"name": "one", "waveform": {"kind": "tonic", "frequency": "50 Hz", "pulse_width": "210 us"},
                      "contacts": BIPOLE}],
    })


def felt(lead_field: LeadField, contacts: Pattern = BIPOLE) -> float:
    """Perception threshold at 210 us of a program, of 400 dorsal-column fibres, mA."""
    case = _case("high-dura", ("0 mm",) * len(lead_field.canal.shafts), "T9", "T8", {})
    program = case.programs[0].but(contacts=contacts)
    return float(recruit(lead_field, case.fibres, program).perception_threshold[0]) * 1e3


def between(lead_field: LeadField, a: int = 4, b: int = 5) -> float:
    """Impedance between two contacts, ohm."""
    z = lead_field.impedance
    return float(z[a - 1, a - 1] + z[b - 1, b - 1] - 2 * z[a - 1, b - 1])


DEPTH = 0.2e-3  # below the dorsal surface of the cord at the midline, m
APART = 0.05e-3  # of the points, m


def column(lead_field: LeadField, contacts: Pattern | None = None, middle: int = 4) -> tuple[Floats, Floats, Floats]:
    """Along the dorsal column at the midline, from 40 mm below to 40 mm above the middle of a contact: distance (mm), -V (V/A) and its
    1 mm second difference (V/A/mm2), both positive beneath a cathode; contact 4 alone unless told otherwise."""
    canal = lead_field.canal
    at = canal.contacts[middle - 1]
    centre = 0.5 * (at.z0 + at.z1)
    s = np.arange(-820, 821) * APART
    z = centre + s
    y = float(canal.outlines["cord"][:, 1].min()) + DEPTH
    # keeps its place in the cord where that changes along the spine
    path, = follow(canal.course, canal.cord, None, [np.array([[0.0, y, z[0]], [0.0, y, z[-1]]])])
    volts = lead_field.sample(np.column_stack([*(np.interp(z, path[:, 2], path[:, i]) for i in (0, 1)), z]))
    weights = np.zeros(len(volts))
    for number, share in (contacts or {middle: -1}).items():
        weights[int(number) - 1] = -share
    v, step = weights @ volts, round(1e-3 / APART)
    second = -(v[2 * step:] - 2 * v[step:-step] + v[:-2 * step])
    return np.asarray(s[step:-step] * 1e3), v[step:-step], second


def half(distance: Floats, values: Floats) -> float:
    """Distance beyond the middle at which values have fallen to half of their largest, towards the head, mm."""
    top = int(values.argmax())
    below = top + int((values[top:] < 0.5 * values[top]).argmax())
    share = (values[below - 1] - 0.5 * values[top]) / (values[below - 1] - values[below])
    return float(distance[below - 1] + share * (distance[below] - distance[below - 1]))


def impedance_lines(tissues: str) -> Iterator[Line]:
    """Against measured impedances; the computed ones are those of the tissue alone."""
    for vertebra, (mean, spread) in {"C5": (351, 90), "T9": (547, 151)}.items():
        z = between(standard(tissues, vertebra))
        yield Line("V32", f"bipolar impedance, contacts 4 and 5, {vertebra}", f"{mean} ohm (SD {spread})", f"{z:.0f} ohm", abs(z - mean) <= spread)
    ratio = between(standard(tissues, "T9")) / between(standard(tissues, "C5"))
    yield Line("V32", "T9 over C5", "1.56, at least 1.1", f"{ratio:.2f}", ratio > 1.1)
    lone = [standard(tissues, vertebra).impedance[3, 3] for vertebra in ("C5", "T9")]
    yield Line("-", "monopolar impedance of contact 4, C5 and T9", "none found", _list(lone, " ohm", 0), None)


def decay_lines(tissues: str) -> Iterator[Line]:
    """How fast the field falls along the dorsal columns."""
    for vertebra in ("C5", "T9"):
        s, v, second = column(standard(tissues, vertebra))
        yield Line("-", f"half of V and of its second difference, contact 4 alone, {vertebra}", "none found",
                   f"{half(s, v):.1f} and {half(s, second):.2f} mm", None)
    s, v, _ = column(standard(tissues, "C5"), BIPOLE)
    along = np.abs(np.gradient(v, s))
    yield Line("V39", "the field along z falls to half of its peak, bipole, C5", "8 mm, another model",
               f"{half(s, along) - s[along.argmax()]:.1f} mm", None)


def sensitivity_lines(tissues: str) -> Iterator[Line]:
    """What the two tissues in which published sets differ do to the field."""
    for name, low, high in (("dura", 0.03, 0.6), ("epidural-fat", 0.04, 0.25)):
        one, other = (field(tissues, sigma={name: s}) for s in (low, high))
        (_, v, second), (_, v_, second_) = column(one), column(other)
        drop = [100 * float(np.abs(b - a).max() / np.abs(a).max()) for a, b in ((v, v_), (second, second_))]
        peak = 100 * float(second_.max() / second.max() - 1)
        change = 100 * (felt(other) / felt(one) - 1)
        expected = "d2 about 15 % (fat 0.04), 80 % (fat 0.25) in exact cylinders" if name == "dura" else "none found"
        yield Line("-", f"{name} {low:g} to {high:g} S/m, T9: V, d2 (largest change), d2 (peak), bipolar impedance, perception", expected,
                   f"{drop[0]:.0f} %, {drop[1]:.0f} %, {peak:+.0f} %, {between(one):.0f} to {between(other):.0f} ohm, {change:+.0f} %", None)


def posture_lines(tissues: str) -> Iterator[Line]:
    """Perception thresholds supine, standing and prone."""
    for vertebra, tip in (("T9", "T8"), ("T11", "T10"), ("C5", "C4")):
        low, middle, high = (felt(field(tissues, vertebra=vertebra, tip=tip, posture=p)) for p in ("supine", "standing", "prone"))
        if vertebra == "C5":
            yield Line("V05", "perception supine, standing, prone, C5: no shift of the cord in our tables", "lowest supine",
                       f"{low:.2f}, {middle:.2f}, {high:.2f} mA", low < middle)
            continue
        yield Line("V05", f"perception supine, standing, prone, {vertebra}", "lowest supine",
                   f"{low:.2f}, {middle:.2f}, {high:.2f} mA", low < middle < high)
        charge = (middle - low) * 0.21
        yield Line("V06", f"charge from supine to standing, {vertebra}, 210 us", "0.494 uC (SD 0.297)", f"{charge:.2f} uC",
                   abs(charge - 0.494) <= 0.297)
        if vertebra == "T9":
            yield Line("V10", "supine below standing, T9", "66 % (ECAP threshold, seated)", f"{100 * (1 - low / middle):.0f} %", None)


def lead_lines(tissues: str) -> Iterator[Line]:
    """Several leads and guarded patterns against one."""
    one, two, three = field(tissues), field(tissues, "-2 mm", "2 mm"), field(tissues, "0 mm", "-3 mm", "3 mm")
    dual: Pattern = {4: -0.5, 12: -0.5, 5: 0.5, 13: 0.5}
    mine, both = felt(one), felt(two, dual)
    yield Line("V23", "perception, one lead at the midline and two at 2 mm to either side", "lower with one", f"{mine:.2f}, {both:.2f} mA",
               mine < both)
    peaks = column(one, BIPOLE)[2].max(), column(two, dual)[2].max()
    yield Line("-", "second difference at the midline, two leads over one", "none found", f"{peaks[1] / peaks[0]:.2f}", None)
    alone: Pattern = {4: -1.0, "case": 1.0}
    got = felt(one, alone), mine, felt(one, {3: 0.5, 4: -1.0, 5: 0.5})
    yield Line("-", "perception, monopole, bipole, guarded cathode (anodes above and below)", "none found", _list(got, " mA"), None)
    got = felt(three, alone), felt(three), felt(three, {4: -1.0, 12: 0.5, 20: 0.5})
    yield Line("V21", "perception, transverse tripole (leads 3 mm apart) over monopole, bipole", "above 2",
               f"{got[2] / got[0]:.2f}, {got[2] / got[1]:.2f}", got[2] > 2 * max(got[0], got[1]))


def model_lines(tissues: str) -> Iterator[Line]:
    """What the model's own choices do: the tip, what changes along the spine, and the accuracy."""
    with_tip, without = standard(tissues, "T9"), field(tissues, accuracy="standard")
    pair: Pattern
    for number, other in ((1, 2), (4, 5)):
        pair = {number: -1, other: 1}
        (_, v, second), (_, v_, second_) = (column(f, middle=number) for f in (with_tip, without))
        impedance = 100 * (between(without, number, other) / between(with_tip, number, other) - 1)
        yield Line("-", f"tip continuing, contact {number}, T9, `standard`: V, d2; bipole: impedance, perception", "none found",
                   f"{_off(v_, v):.2g} %, {_off(second_, second):.2g} %; {impedance:+.2g} %, "
                   f"{100 * (felt(without, pair) / felt(with_tip, pair) - 1):+.2g} %", None)
    plain = field(tissues, tips=True)
    spine = field(tissues, tips=True, extent="spine")
    for a in (2, 4, 6):
        (_, v, second), (_, v_, second_) = (column(f, middle=a) for f in (plain, spine))
        pair = {a: -1, a + 1: 1}
        yield Line("-", f"spine with discs over one cross-section, T9, contacts {a} and {a + 1}: V, d2 (peaks); impedance, perception", "none found",
                   f"{100 * (v_.max() / v.max() - 1):+.0f} %, {100 * (second_.max() / second.max() - 1):+.0f} %; "
                   f"{between(plain, a, a + 1):.0f} to {between(spine, a, a + 1):.0f} ohm, "
                   f"{felt(plain, pair):.2f} to {felt(spine, pair):.2f} mA", None)
    finest = field(tissues, tips=True, accuracy="reference")
    for name, coarse in (("fast", plain), ("standard", with_tip)):
        (_, v, second), (_, v_, second_) = column(finest), column(coarse)
        yield Line("-", f"`{name}` against `reference`, T9, contact 4: V, d2; bipole: impedance, perception", "none found",
                   f"{_off(v_, v):.2g} %, {_off(second_, second):.2g} %; {100 * (between(coarse) / between(finest) - 1):+.2g} %, "
                   f"{100 * (felt(coarse) / felt(finest) - 1):+.2g} %", None)


def _off(values: Floats, exact: Floats) -> float:
    """Largest difference against the largest value, %."""
    return 100 * float(np.abs(values - exact).max() / np.abs(exact).max())


OF_FIELD: dict[str, tuple[Callable[[str], Iterator[Line]], ...]] = {
    "high-dura": (impedance_lines, decay_lines, sensitivity_lines, posture_lines, lead_lines, model_lines),
    "low-dura": (impedance_lines, decay_lines, sensitivity_lines),
}


def _list(values: Any, unit: str = "", digits: int = 2) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values) + unit


def _rows(lines: list[Line], otherwise: str = "our own bound") -> str:
    known = {row["id"]: row for row in table("validation")}
    text = ["| id | what | expected | computed | | source |", "|---|---|---|---|---|---|"]
    verdicts = {True: "pass", False: "**fail**", None: "-"}
    for line in lines:
        source = known[line.id]["source"] if line.id in known else otherwise
        text.append(f"| {line.id} | {line.what} | {line.expected} | {line.got} | {verdicts[line.good]} | {source} |")
    return "\n".join(text)


def plausibility() -> str:
    """The table of the whole chain."""
    parts = [f"Written by `python -m benchmarks.validation` ({platform.machine()}, Epidura {_version()}, accuracy `fast`).\n",
             "### Independent of the tissue set\n", _rows(list(once()))]
    for tissues in SETS:
        lines = list(of_set(tissues))
        parts += [f"\n### Tissue set `{tissues}`: {sum(bool(line.good) for line in lines)} of {len(lines)} pass\n", _rows(lines)]
    return "\n".join(parts)


def of_field() -> str:
    """The table of the field."""
    parts = [f"Written by `python -m benchmarks.validation field` ({platform.machine()}, Epidura {_version()}). Accuracy: `standard` for impedances, "
             "distances and the tip, `fast` for the rest, with tips only where spine or accuracies are compared."]
    for tissues, kinds in OF_FIELD.items():
        lines = [line for kind in kinds for line in kind(tissues)]
        judged = [line.good for line in lines if line.good is not None]
        parts += [f"\n### Field, tissue set `{tissues}`: {sum(judged)} of {len(judged)} that can be judged pass\n",
                  _rows(lines, "our own, no measurement")]
    return "\n".join(parts)


def types_of_stimulation(tissues: str, axon: str = MOTOR) -> Iterator[Line]:
    """What is known of types of stimulation, on one lead field: the bipole at T9; with fibres of this kind."""
    tonic = {"kind": "tonic", "frequency": "50 Hz", "pulse_width": "300 us"}
    waves = {
        "tonic": tonic, "twice": {**tonic, "frequency": "100 Hz"}, "active": {"kind": "burst", "recharge": "active"},
        "passive": {"kind": "burst"}, "10 kHz": {"kind": "high-frequency"},
    }
    run = ep.run(ep.read({
        "title": "validation", "anatomy": {"kind": "parametric", "vertebra": "T9", "tissues": tissues},
        "leads": [{"model": "octrode", "tip_vertebra": "T8"}], "firing": "off",
        "fibres": [{"kind": "dorsal-column", "count": 400, "axon": axon}, {"kind": "dorsal-root", "axon": axon}],
        "programs": [{"name": name, "waveform": wave, "contacts": {4: -1, 5: 1}, "amplitude": "2 mA"} for name, wave in waves.items()],
    }), accuracy="fast", check_field=False)
    at = {name: run.recruitment.sel(program=name) for name in waves}
    felt_at = {name: float(one.perception_threshold) * 1e3 for name, one in at.items()}
    width = {"tonic": 0.3, "active": 1.0, "passive": 1.0, "10 kHz": 0.03}  # ms, so that mA times it is uC
    for name in ("active", "passive"):
        pair = felt_at[name], felt_at["tonic"]
        yield Line("-", f"burst with {name} recharge against tonic of 300 us: perception threshold", "below tonic", _list(pair, " mA"),
                   pair[0] < pair[1])
        charge = pair[0] * width[name], pair[1] * width["tonic"]
        yield Line("-", f"burst with {name} recharge against tonic: charge of a phase at the threshold", "above tonic", _list(charge, " uC"),
                   charge[0] > charge[1])
        packet = 5 * charge[0], charge[1]
        yield Line("-", f"burst with {name} recharge against tonic: charge of a packet at the threshold", "above tonic", _list(packet, " uC"),
                   packet[0] > packet[1])
    peak = next(float(np.abs(one.record.current).max()) for one in run.deliveries if one is not None and one.program.name == "passive") / 2e-3
    small = recruit(run.lead_field, run.case.fibres, run.case.programs[3], electronics=Electronics(capacitor=4e-6))
    yield Line("-", f"burst with passive recharge through {Electronics().capacitor * 1e6:.0f} uF: strongest current over that of a pulse",
               "not known", f"{peak:.1f}", None)
    yield Line("-", "burst with passive recharge through 4 uF, which comes back five times as strong: perception threshold", "not known",
               f"{float(small.perception_threshold[0]) * 1e3:.2f} mA", None)
    fast = at["10 kHz"]
    kinds = [float(fast.threshold.values[(fast.fibre_population == kind).values].min()) * 1e3 for kind in ("dorsal-column", "dorsal-root")]
    yield Line("V25", "10 kHz, 30 us: lowest threshold of a dorsal-column and of a root fibre", "upper end of 0.5-5 mA or above", _list(kinds, " mA"),
               min(kinds) >= 4)
    chosen = np.argsort(fast.threshold.values)[:16]
    clinical = fire(run.lead_field, run.case.fibres, run.case.programs[4], 5e-3, 50e-3, chosen=chosen)
    yield Line("V35", "10 kHz at 5 mA, the top of the clinical range: action potentials of the 16 most excitable fibres in 50 ms", "none",
               str(int(clinical.spike_count.sum())), not clinical.spike_count.values.any())
    order = np.argsort(fast.threshold.values)
    nth = float(fast.threshold.values[order[20]])
    driven = fire(run.lead_field, run.case.fibres, run.case.programs[4], 1.3 * nth, 50e-3, chosen=order[:20])
    strength = float(np.nanmedian(driven.vector_strength))
    yield Line("-", "10 kHz at 1.3 times a threshold: vector strength with the carrier, rate after the onset, median of 20 fibres",
               "asynchronous: well below 1", f"{strength:.2f}, {float(driven.rate.median()):.0f} Hz", strength < 0.5)
    locked = fire(run.lead_field, run.case.fibres, run.case.programs[0], 1.5 * float(np.sort(at["tonic"].threshold.values)[20]), 0.2,
                  chosen=np.argsort(at["tonic"].threshold.values)[:20])
    strength = float(np.nanmedian(locked.vector_strength))
    yield Line("-", "tonic, 1.5 times a threshold: vector strength, rate, median of 20 fibres", "1, 50 Hz",
               f"{strength:.3f}, {float(locked.rate.median()):.0f} Hz", strength > 0.99 and abs(float(locked.rate.median()) - 50) < 1)
    power = [one.energy / one.cycle for one in run.deliveries[:2] if one is not None]
    yield Line("-", "power into the tissue at 100 Hz over that at 50 Hz", "2", f"{power[1] / power[0]:.4f}", abs(power[1] / power[0] - 2) < 1e-6)
    eterna = generator("eterna")
    cycled = run.case.programs[3].but(cycle={"on": "30 s", "off": "90 s"}, amplitude="0.6 mA")
    low, high = eterna.power(deliver(cycled, run.lead_field), cycled).recharge_days or (np.nan, np.nan)
    yield Line("-", "Eterna: interval between charges, burst of 0.6 mA, 1 ms, 30 s on, 90 s off, on this field",
               "21 days or more: the statement that intervals are scaled from", f"{low:.1f} to {high:.1f} days", None)


def of_types() -> str:
    """The tables of types of stimulation, of both kinds of fibre."""
    parts = [f"Written by `python -m benchmarks.validation types` ({platform.machine()}, Epidura {_version()}, accuracy `fast`, tissue set "
             "`high-dura`)."]
    for kind in (MOTOR, SENSORY):
        lines = list(types_of_stimulation("high-dura", kind))
        judged = [line.good for line in lines if line.good is not None]
        parts += [f"\n### Fibres `{kind}`: {sum(judged)} of {len(judged)} that can be judged pass\n", _rows(lines, "clinical use; our own bound")]
    return "\n".join(parts)


def of_gate() -> str:
    """The tables of the pain gate: the published one and its populations beside facts from animals, and what each addition does."""
    gates = [validation_gate.Gate(circuit) for circuit in validation_gate.GATES]
    parts = [f"Written by `python -m benchmarks.validation gate` ({platform.machine()}, Epidura {_version()}, two seeds, step 25 us)."]
    for gate in gates:
        lines = [Line(*judged) for judged in validation_gate.of_gate(gate)]
        known = [line.good for line in lines if line.good is not None]
        parts += [f"\n### Gate `{gate.circuit.kind}`: {sum(known)} of {len(known)} that can be judged pass\n",
                  _rows(lines, "run of the published model")]
    lines = [Line(*judged) for judged in validation_gate.of_minutes()]
    parts.append(f"\n### Minutes\n\n{_rows(lines)}")
    parts.append("\n### Each addition by itself, spikes/s\n\n" + validation_gate.of_additions(gates))
    return "\n".join(parts)


def of_people() -> str:
    """The table of programmed people."""
    lines = [Line(*each) for each in validation_people.lines({"Weiss": fit_weiss, "Lapicque": lapicque})]
    return (f"Written by `python -m benchmarks.validation people` ({platform.machine()}, Epidura {_version()}, accuracy `fast`): "
            f"{sum(bool(line.good) for line in lines)} of {len(lines)} pass.\n\n{_rows(lines)}")


def of_sensory() -> str:
    """The table of sensory fibres: the average canal with both tissue sets, and people."""
    lines = []
    for tissues in SETS:
        runs = [result(tissues, v, t, axon=SENSORY) for v, t in (("T8", "T7"), ("T9", "T8"), ("T10", "T9"))]
        lines += [replace(line, what=f"{line.what}, {tissues}") for line in thoracic_lines(runs)]
    lines += velocity_lines(SENSORY)
    lines += [Line(*each) for each in validation_people.lines({"Weiss": fit_weiss, "Lapicque": lapicque}, validation_people.FEWER, SENSORY)]
    return (f"Written by `python -m benchmarks.validation sensory` ({platform.machine()}, Epidura {_version()}, accuracy `fast`): "
            f"{sum(bool(line.good) for line in lines)} of {len(lines)} pass.\n\n{_rows(lines)}")


PARTS = {"plausibility": plausibility, "people": of_people, "sensory": of_sensory, "field": of_field, "types": of_types, "gate": of_gate}


def main() -> None:
    """Run everything, or the parts that are named, and rewrite their tables."""
    for name in sys.argv[1:] or PARTS:
        written = PARTS[name]()
        print(written, flush=True)
        begin, end = f"<!-- {name} begins -->", f"<!-- {name} ends -->"
        text = DOC.read_text("utf-8")
        DOC.write_text(text[: text.index(begin) + len(begin)] + "\n" + written + "\n" + text[text.index(end) :], "utf-8")


def _version() -> str:
    from importlib.metadata import version

    return version("epidura")


if __name__ == "__main__":
    main()
