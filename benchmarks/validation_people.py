"""Strength and duration of virtual patients beside those of patients.

What was measured are medians and quartiles of 19 patients with back and leg pain, implanted for months, whose pulse width alone was changed in
the program that they came with (Yearwood 2010); one average canal is one patient. So here are three times as many people drawn around the
demo case (failed back surgery, octrode with its tip at T8, ``virtual.person``), in a canal that varies along the spine. Each is programmed by a
session, by the rules of data/programming_rules.csv, and then the pulse width is changed. Their posture, leads and contacts are not told, nor which
law was fitted; so people lie and stand, and a line passes where the median by one of the two laws is within the quartiles of the patients, as for
the average canal.

This was written down and committed before the first run of it. So was the same with sensory fibres (``gaines-sensory``) in place of the motor
ones, with as many people as were measured, since a session with them takes four times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

import epidura as ep
from epidura.case import Case, read
from epidura.errors import BadGeometry
from epidura.programming import programmed
from epidura.recruitment import PULSE_WIDTHS, recruit
from epidura.virtual import person

Floats = NDArray[np.float64]
Fit = Callable[[Floats, Floats], tuple[float, float]]

PEOPLE = 57  # three times the 19 who were measured
FEWER = 19  # with sensory fibres
SEED = 1  # the cohort of data/reach_reference.csv
POSTURES = ("supine", "standing")
CHRONAXIE, RHEOBASE = (242e-6, 326e-6), (1.3e-3, 3.3e-3)  # V02, V01: quartiles of the patients


def average(posture: str) -> Case:
    """The case that people are drawn around: tonic alone, one canal along the spine."""
    case = read((files("epidura") / "data" / "demo.yaml").read_text(encoding="utf-8"))
    return case.but(programs=[case.programs[0]], firing="off", anatomy=case.anatomy.but(extent="spine", posture=posture))


def with_axon(case: Case, axon: str) -> Case:
    """The case with fibres of this kind."""
    return case.but(fibres=[{**population.model_dump(mode="json"), "axon": axon} for population in case.fibres])


def strength_duration(case: Case, axon: str | None = None) -> Floats:
    """(widths,) perception thresholds in A of the contacts that a session chooses, with fibres of another kind if one is named."""
    result = ep.run(case, accuracy="fast", check_field=False)
    chosen, _ = programmed(result if axon is None else replace(result, case=with_axon(case, axon)))
    return np.asarray(recruit(result.lead_field, chosen.fibres, chosen.programs[0], chosen.rules).strength_duration.values[0])


def curves(posture: str, people: int = PEOPLE, axon: str | None = None) -> tuple[Floats, int]:
    """(people, widths) A of those who feel anything at every width, and how many of the people were left out."""
    found = []
    for index in range(people):
        try:
            found.append(strength_duration(person(average(posture), SEED, index).case, axon))
        except BadGeometry:  # the lead does not fit into this person
            continue
    kept = np.array([one for one in found if np.isfinite(one).all()])
    return kept, people - len(kept)


def lines(laws: dict[str, Fit], people: int = PEOPLE, axon: str | None = None) -> Iterator[tuple[str, str, str, str, bool | None]]:
    """Lines of the table: id, what, expected, computed, whether it holds. ``laws``: name to (rheobase in A, chronaxie in s)."""
    for posture in POSTURES:
        thresholds, out = curves(posture, people, axon)
        of = "" if axon is None else f", {axon}"
        who = f"{len(thresholds)} programmed people, {posture}{of}" + (f" ({out} left out)" if out else "")
        fitted = {name: np.array([law(PULSE_WIDTHS, one) for one in thresholds]) for name, law in laws.items()}
        at = float(np.median(thresholds[:, np.flatnonzero(np.isclose(PULSE_WIDTHS, 210e-6))[0]])) * 1e3
        yield "V34", f"perception threshold at 210 us, median of {who}", "2 to 5 mA", f"{at:.2f} mA", 2 <= at <= 5
        yield ("V02", f"chronaxie, median and quartiles of {who}", "295 us (242 to 326), by one of the two laws",
               _quartiles(fitted, 1, 1e6, " us", 0), _within(fitted, 1, CHRONAXIE))
        yield ("V01", f"rheobase, median and quartiles of {who}", "2.5 mA (1.3 to 3.3), by one of the two laws",
               _quartiles(fitted, 0, 1e3, " mA", 2), _within(fitted, 0, RHEOBASE))


def _quartiles(fitted: dict[str, Floats], column: int, scale: float, unit: str, digits: int) -> str:
    parts = []
    for name, values in fitted.items():
        low, middle, high = scale * np.percentile(values[:, column], (25, 50, 75))
        parts.append(f"{name} {middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})")
    return ", ".join(parts) + unit


def _within(fitted: dict[str, Floats], column: int, limits: tuple[float, float]) -> bool:
    return any(limits[0] <= float(np.median(values[:, column])) <= limits[1] for values in fitted.values())
