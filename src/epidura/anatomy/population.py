"""People for studies of a population: sizes drawn around the average adult of the tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from epidura.anatomy.parametric import RANGES, Parametric
from epidura.errors import BadCase
from epidura.recipe import read_recipe
from epidura.tables import table
from epidura.units import SI

DRAWN = {"dorsal_csf": ("dcsf_mm", "dcsf_sd"), "cord_width": ("cord_rl_mm", "cord_rl_sd"), "cord_depth": ("cord_ap_mm", "cord_ap_sd"),
         "dura": ("dura_mm", ""), "canal_depth": ("canal_depth_mm", "canal_ap_ct_sd")}
"""What is drawn: columns of data/vertebrae.csv with mean and standard deviation; new ones go to the end, to keep the draws."""


def sample(vertebra: str, count: int, seed: int, **given: Any) -> list[Parametric]:
    """People whose sizes at the vertebra are drawn from normal distributions; the same seed gives the same people.

    Means and standard deviations are those of data/vertebrae.csv: cord by MRI (n = 58), canal by CT (Kang 2012, n = 83; no
    spread at C2, so the canal is not drawn there), dorsal fluid with a spread that is a judgement. The dura varies by 0.122 mm
    (Hong 2011). Distributions are cut off at 3 standard deviations and where a size cannot be; the canal is also drawn no
    shallower than the person's dura needs (``Parametric.least_canal_depth``), which makes it deeper than the table's on
    average. Correlations are not known: sizes are drawn independently. A sac in which the drawn cord and fluid do not fit is
    enlarged by ``Parametric.level``, with a warning.

    Args:
        vertebra: C2 to L1.
        count: how many people; the first k of n people are the same for every n.
        seed: of the random numbers, not negative.
        given: other keys of the case (``extent="spine"``, ``cord_width="8 mm"``); a size that is given is not drawn.

    Returns:
        ``count`` recipes, sizes in whole micrometres.

    Raises:
        BadCase, BadGeometry: an unknown vertebra or key, a size that cannot be, a negative count or seed.
    """
    for name, number in (("count", count), ("seed", seed)):
        if number < 0:
            raise BadCase(name, "a number of people or a seed is not negative", got=number, allowed="0 or more")
    read_recipe(Parametric, {"vertebra": vertebra, **given})
    shares = np.random.default_rng(seed).random((count, len(DRAWN)))
    return [_person({"vertebra": vertebra, **given}, dict(zip(DRAWN, row, strict=True))) for row in shares.tolist()]


def _person(given: dict[str, Any], shares: dict[str, float]) -> Parametric:
    """The person at these shares (0 to 1) of the distributions."""
    case = dict(given)
    for name, share in shares.items():
        low, high = RANGES[name]
        if name == "canal_depth":
            low = read_recipe(Parametric, case).least_canal_depth()
        if name not in given and (spread := _spread(given["vertebra"], name)):
            case[name] = SI(round(_truncated_normal(share, *spread, low, high), 6))
    person: Parametric = read_recipe(Parametric, case)
    return person


def _spread(vertebra: str, name: str) -> tuple[float, float] | None:
    """Mean and standard deviation at the vertebra, m; None where the table has none."""
    mean, deviation = DRAWN[name]
    row = table("vertebrae").row(vertebra=vertebra)
    spread = row[deviation] if deviation else table("canal_facts").row(quantity=f"{name} spread")["value"]
    return (float(row[mean]) * 1e-3, float(spread) * 1e-3) if spread else None


def _truncated_normal(share: float, mean: float, deviation: float, low: float, high: float) -> float:
    """The value below which ``share`` of the distribution lies that is cut off at low, high and the largest deviation."""
    from scipy.special import ndtr, ndtri

    widest = float(table("canal_facts").row(quantity="largest deviation")["value"])
    upper = min((high - mean) / deviation, widest)
    # a lower limit beyond the upper one leaves a single value, which Parametric enlarges
    lower = min(max((low - mean) / deviation, -widest), upper)
    return float(mean + deviation * ndtri(ndtr(lower) + share * (ndtr(upper) - ndtr(lower))))
