"""Clinical plausibility: runs the chain, compares with data/validation.csv and writes the table of docs/validation.md.

    python -m benchmarks.validation

Nothing here is tuned: a line that fails stays in the table as a failure.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import epidura as ep
from epidura import axon
from epidura.recruitment import recruit
from epidura.result import Result
from epidura.tables import table
from epidura.waveform import Course

DOC = Path(__file__).parent.parent / "docs" / "validation.md"
BEGIN, END = "<!-- plausibility begins -->", "<!-- plausibility ends -->"
SETS = ("high-dura", "low-dura")
MANY = 3200  # simulated fibres where a comparison asks for the mix of a few hundred real ones


@dataclass(frozen=True)
class Line:
    """One comparison: row of data/validation.csv, what was expected and what came out."""

    id: str
    what: str
    expected: str
    got: str
    good: bool


def result(tissues: str, vertebra: str = "T9", tip: str = "T8", width: str = "210 us", lateral: str = "0 mm",
           waveform: dict[str, Any] | None = None, count: int = 400, **anatomy: str) -> Result:
    """A midline octrode with a bipole at the level of the vertebra; ``count`` dorsal-column fibres."""
    waveform = waveform or {"kind": "tonic", "frequency": "50 Hz", "pulse_width": width}
    return ep.run(ep.read({
        "title": "validation", "anatomy": {"kind": "parametric", "vertebra": vertebra, "tissues": tissues, **anatomy},
        "leads": [{"model": "octrode", "tip_vertebra": tip, "lateral": lateral}],
        "fibres": [{"kind": "dorsal-column", "count": count}, {"kind": "dorsal-root"}],
        "programs": [{"name": "bipole", "waveform": waveform, "contacts": {4: -1, 5: 1}}],
    }))


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


def velocity(diameter: float) -> float:
    """Conduction velocity of the model in a straight fibre, m/s."""
    model, nodes = axon.family.read({"kind": "mrg-interpolated"}), 61
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
    low = [perception(runs[v]) for v in ("T8", "T9", "T10")]
    yield Line("V34", "perception threshold, bipole, 210 us, T8, T9, T10", "2 to 5 mA", _list(low, " mA"), all(2 <= x <= 5 for x in low))
    ratios = [ratio(runs[v]) for v in ("T8", "T9", "T10")]
    yield Line("V34", "discomfort over perception, T8, T9, T10", "1.4 to 1.8", _list(ratios), all(1.4 <= x <= 1.8 for x in ratios))
    chronaxie, rheobase = float(nine.recruitment.chronaxie[0]) * 1e6, float(nine.recruitment.rheobase[0]) * 1e3
    yield Line("V02", "chronaxie of the perception threshold, T9", "295 us (242 to 326)", f"{chronaxie:.0f} us", 242 <= chronaxie <= 326)
    yield Line("V01", "rheobase of the perception threshold, T9", "2.5 mA (1.3 to 3.3)", f"{rheobase:.2f} mA", 1.3 <= rheobase <= 3.3)
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


def _counts(run: Result) -> list[Any]:
    column = run.case.fibres[0]
    return [column, column.but(count=1600)]


def once() -> Iterator[Line]:
    """Comparisons that do not."""
    speeds = [velocity(d) for d in (13.0e-6, 8.3e-6)]
    yield Line("V37", "conduction velocity at 13.0 and 8.3 um", "49 and 20 m/s", _list(speeds, " m/s", 1),
               abs(speeds[0] / 49 - 1) < 0.2 and abs(speeds[1] / 20 - 1) < 0.2)
    ranges = {"C5": (1.5, 4), "T5": (4, 8.5), "T11": (2, 6), "T12": (1.5, 4.5)}
    gaps = {v: float(table("vertebrae").row(vertebra=v)["dcsf_mm"]) for v in ranges}
    yield Line("V38", "dorsal CSF at C5, T5, T11, T12", "1.5-4, 4-8.5, 2-6, 1.5-4.5 mm", _list(gaps.values(), " mm"),
               all(low <= gaps[v] <= high for v, (low, high) in ranges.items()))


def _list(values: Any, unit: str = "", digits: int = 2) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values) + unit


def _rows(lines: list[Line]) -> str:
    known = {row["id"]: row for row in table("validation")}
    text = ["| id | what | expected | computed | | source |", "|---|---|---|---|---|---|"]
    for line in lines:
        source = known[line.id]["source"] if line.id in known else "our own bound"
        text.append(f"| {line.id} | {line.what} | {line.expected} | {line.got} | {'pass' if line.good else '**fail**'} | {source} |")
    return "\n".join(text)


def main() -> None:
    """Run everything and rewrite the table."""
    parts = [f"Written by `python -m benchmarks.validation` ({platform.machine()}, Epidura {_version()}).\n",
             "### Independent of the tissue set\n", _rows(list(once()))]
    for tissues in SETS:
        lines = list(of_set(tissues))
        parts += [f"\n### Tissue set `{tissues}`: {sum(line.good for line in lines)} of {len(lines)} pass\n", _rows(lines)]
    text = DOC.read_text("utf-8")
    DOC.write_text(text[: text.index(BEGIN) + len(BEGIN)] + "\n" + "\n".join(parts) + "\n" + text[text.index(END) :], "utf-8")
    print("\n".join(parts))


def _version() -> str:
    from importlib.metadata import version

    return version("epidura")


if __name__ == "__main__":
    main()
