"""How well a program reaches a patient's pain, in a few numbers: what a model of outcome takes from the chain.

    for one in reaches(run(case)):
        one.coverage, one.inhibition["none"], one.closing

Nothing here is computed anew: perception, discomfort and coverage are those of ``recruitment``, inhibition and the sweep of amplitudes those
of ``transmission``. ``rank`` says where a value stands among the virtual patients of data/reach_reference.csv.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from epidura.errors import BadInput, nearest
from epidura.result import Result
from epidura.tables import table

Floats = NDArray[np.float64]
Place = tuple[str, str]

HALF = 0.5
"""What is left of the firing of projection neurons where the gate counts as closed."""


@dataclass(frozen=True)
class Reach:
    """One program and one person's pain.

    Attributes:
        program: its name.
        felt: whether its amplitude is above the perception threshold: based on paraesthesia, or below perception.
        coverage: share of the painful dermatomes and sides that are felt; 0 below perception, where nothing is felt by definition, which says
            nothing about such a therapy. nan without a person or an amplitude.
        coverable: the same at the discomfort threshold: what the lead could cover. It has a meaning below perception too.
        spill: share of what is felt that does not hurt; nan where nothing is felt.
        usage_range: discomfort over perception threshold; nan where nothing is ever felt.
        margin: amplitude over discomfort threshold; above 1 it is uncomfortable.
        recruited: share of the large fibres of the painful dermatomes that fire (all simulated ones without a person).
        inhibition: per hypothesis, by which share the firing of projection neurons falls, mean over painful places and projection neurons;
            negative where it rises. nan where the gate was not run.
        closing: amplitude at which the gate halves the firing where the program recruits most, over the program's amplitude; inf where no
            amplitude of the sweep does, nan without a sweep.
        amplitude, perception, discomfort: A, of the first train; nan and inf where they are not reached.
    """

    program: str
    felt: bool
    coverage: float
    coverable: float
    spill: float
    usage_range: float
    margin: float
    recruited: float
    inhibition: Mapping[str, float]
    closing: float
    amplitude: float
    perception: float
    discomfort: float


def reaches(result: Result) -> tuple[Reach, ...]:
    """What each program of a result reaches."""
    return tuple(_of_result(result, i) for i in range(len(result.case.programs)))


def _of_result(result: Result, i: int) -> Reach:
    rows = result.rows_of(i)
    at = result.recruitment.isel(program=list(rows))
    amplitude = at.programmed_amplitude.values
    pain = set(result.case.patient.pain.dermatomes()) if result.case.patient else None
    felt = set[Place]().union(*(result.felt(row, float(level)) for row, level in zip(rows, amplitude, strict=True)))
    # a discomfort that is never reached does not make felt what never is
    most = np.minimum(at.discomfort_threshold.values, np.finfo(float).max)
    widest = set[Place]().union(*(result.felt(row, float(level)) for row, level in zip(rows, most, strict=True)))
    found = result.transmission
    return assemble(result.case.programs[i].name, pain, felt, widest, at.perception_threshold.values, at.discomfort_threshold.values, amplitude,
                    recruited(at, pain), {} if found is None else inhibition(found, i), float("nan") if found is None else closing(found, i))


def assemble(program: str, pain: Collection[Place] | None, felt: Collection[Place], widest: Collection[Place], perception: Floats,
             discomfort: Floats, amplitude: Floats, share: float, blocked: Mapping[str, float], closes: float) -> Reach:
    """The numbers of one program, from what is felt and recruited.

    Args:
        program: its name.
        pain: painful (dermatome, side); None without a person.
        felt, widest: (dermatome, side) that are felt as programmed, and at the discomfort threshold.
        perception, discomfort, amplitude: (trains,) A.
        share, blocked, closes: ``recruited``, ``inhibition`` and ``closing`` of ``Reach``.
    """
    known = bool(np.isfinite(amplitude).all())
    hurts, here = set(pain or ()), set(felt)
    reached = np.isfinite(perception)
    ratio = np.divide(discomfort, perception, where=reached, out=np.full(len(perception), np.nan))
    return Reach(
        program=program,
        felt=known and bool(here),
        coverage=len(here & hurts) / len(hurts) if known and hurts else float("nan"),
        coverable=len(set(widest) & hurts) / len(hurts) if hurts else float("nan"),
        spill=len(here - hurts) / len(here) if hurts and here else float("nan"),
        usage_range=float(ratio[reached].min()) if reached.any() else float("nan"),
        margin=float((amplitude / discomfort).max()) if known else float("nan"),
        recruited=share,
        inhibition=dict(blocked),
        closing=closes,
        amplitude=float(amplitude[0]), perception=float(perception[0]), discomfort=float(discomfort[0]),
    )


def recruited(rows: xr.Dataset, pain: Collection[Place] | None) -> float:
    """Share, by weight, of the dorsal-column fibres of the painful dermatomes that a program's trains make fire; nan where an amplitude is not
    known, 0 where no fibre of these dermatomes passes the lead."""
    level = rows.programmed_amplitude.values
    if not np.isfinite(level).all():
        return float("nan")
    places = list(zip(rows.segment.values.tolist(), rows.side.values.tolist(), strict=True))
    own = (rows.fibre_population.values == "dorsal-column") & np.array([pain is None or place in pain for place in places], bool)
    weight = rows.weight.values[own]
    fires = (rows.threshold.values[:, own] <= level[:, None]).any(axis=0)
    return float(weight[fires].sum() / weight.sum()) if own.any() else 0.0


def inhibition(transmission: xr.Dataset, program: int) -> dict[str, float]:
    """Per hypothesis, by which share firing falls: mean over places and projection neurons; nan where none of them has a value."""
    found = 0.01 * transmission.inhibition.isel(program=program)
    return {str(name): _mean(found.sel(hypothesis=name).values) for name in transmission.hypothesis.values}


def _mean(values: Floats) -> float:
    kept = values[np.isfinite(values)]
    return float(kept.mean()) if kept.size else float("nan")


def left(transmission: xr.Dataset, program: int) -> tuple[Floats, Floats]:
    """(levels,) amplitudes of the sweep over the programmed one, and the share of firing that is left, mean over seeds and projection neurons."""
    at = transmission.isel(program=program)
    amplitude = at.sweep_amplitude.values
    with np.errstate(invalid="ignore", divide="ignore"):
        off = transmission.rate_off.sel(cell=transmission.projection.values).mean("seed", skipna=True).values
        kept = at.rate_at_amplitude.mean("seed", skipna=True).values / np.where(off > 0, off, np.nan)
    return amplitude, np.asarray(np.mean(kept, axis=1))


def closing(transmission: xr.Dataset, program: int) -> float:
    """Amplitude at which the firing has fallen to half, over the first that the program runs at; inf where none of the sweep does that."""
    if not transmission.sizes["level"] or int(transmission.main_place[program]) < 0:
        return float("nan")
    amplitude, kept = left(transmission, program)
    # the sweep begins at half of the programmed amplitude
    return crossing(amplitude / (2.0 * amplitude[0]), kept)


def crossing(factor: Floats, kept: Floats, level: float = HALF) -> float:
    """The first factor at which ``kept`` has fallen to ``level``, on straight lines over the logarithm of the factor; inf if it never does,
    the first factor if it is there already."""
    if not np.isfinite(kept).any():
        return float("nan")
    below = np.flatnonzero(kept <= level)
    if not below.size:
        return float("inf")
    k = int(below[0])
    if k == 0 or not np.isfinite(kept[k - 1]):
        return float(factor[k])
    share = (kept[k - 1] - level) / (kept[k - 1] - kept[k])
    return float(factor[k - 1] * (factor[k] / factor[k - 1]) ** share)


PROGRAMMED = " after a session"
"""After the name of a program in data/reach_reference.csv: with the contacts that a programming session chose in each person."""

RANKED = ("coverage", "coverable", "recruited", "inhibition", "closing")
"""Quantities of data/reach_reference.csv."""


@cache
def reference(program: str, quantity: str, hypothesis: str = "none") -> tuple[Floats, Floats]:
    """Shares of the virtual patients, 0 to 1, and the values that they do not exceed.

    Raises:
        BadInput: there is no such program, quantity or hypothesis in data/reach_reference.csv.
    """
    rows = table("reach_reference").rows
    wanted = {"program": program, "quantity": quantity, "hypothesis": hypothesis if quantity == "inhibition" else ""}
    for column, value in wanted.items():
        kept = [row for row in rows if row[column] == value]
        if not kept:
            known = sorted({row[column] for row in rows} - {""})
            raise BadInput(column, "there is no such row in data/reach_reference.csv", got=value, allowed=", ".join(known),
                           hint=nearest(value, known))
        rows = kept
    return np.array([float(row["percent"]) / 100 for row in rows]), np.array([float(row["value"]) for row in rows])


def rank(value: float, program: str, quantity: str, hypothesis: str = "none") -> float:
    """Share of the virtual patients whose value is lower, 0 to 1; one that many share stands in their middle.

    Raises:
        BadInput: a value that is not a number, or as in ``reference``.
    """
    return standing(value, *reference(program, quantity, hypothesis))


def standing(value: float, share: Floats, quantile: Floats) -> float:
    """Where a value stands in a distribution given by its quantiles, 0 to 1: the middle of all shares at which it is reached.

    Args:
        value: may be infinite.
        share: (k,) rising, 0 to 1.
        quantile: (k,) not falling.

    Raises:
        BadInput: a value that is not a number.
    """
    if np.isnan(value):
        raise BadInput("value", "is not a number", got=value, allowed="a number, or inf for a closing amplitude that is not reached")
    same = np.flatnonzero(quantile == value)
    if same.size:
        return float(0.5 * (share[same[0]] + share[same[-1]]))
    k = int(np.searchsorted(quantile, value))
    if k in (0, len(quantile)):
        return float(share[0] if k == 0 else share[-1])
    low, high = quantile[k - 1], quantile[k]
    part = (value - low) / (high - low) if np.isfinite(high) and np.isfinite(low) else 0.5
    return float(share[k - 1] + part * (share[k] - share[k - 1]))
