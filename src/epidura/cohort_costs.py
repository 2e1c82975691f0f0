"""What a cohort costs: unit costs of a study, the bill of each patient, and one arm against another per quality-adjusted life year."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from epidura import costs
from epidura.errors import BadCase, BadInput, nearest
from epidura.recipe import Recipe
from epidura.stages import Procedure, Stages

Floats = NDArray[np.float64]

THRESHOLDS = {"GBP": (20_000.0, 30_000.0)}
"""What NICE is willing to pay for a QALY (TA159 4.2 and the manual PMG36); none is known here in other currencies."""
POINTS = 500
"""Draws that the picture of the cost-effectiveness plane shows."""
COST = "cost of "
"""Before the name of an item, in the table of the patients."""


class Costs(Recipe):
    """Unit costs of a study.

    Attributes:
        currency: of all of them.
        prices: item of ``costs.ITEMS`` to its unit cost; those that data/costs.csv has in this currency can be left out.
        discount: a year, of costs and QALYs.
        against: arm that the others are compared with; the first with usual care, or else the first, if left out.
        thresholds: what a QALY may cost; 20000 and 30000 GBP if left out, none in another currency.
    """

    currency: str = Field("GBP", min_length=1)
    prices: dict[str, float] = Field(default_factory=dict)
    discount: float = Field(costs.DISCOUNT, ge=0, lt=1)
    against: str | None = None
    thresholds: tuple[float, ...] | None = None

    @field_validator("thresholds")
    @classmethod
    def _worth(cls, values: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if values is not None and not all(np.isfinite(value) and value >= 0 for value in values):
            raise BadCase("", "not what a QALY is worth", got=str(list(values)), allowed="amounts of 0 or more")
        return values

    @model_validator(mode="after")
    def _priced(self) -> Self:
        try:
            self.table()
        except BadInput as failure:
            raise BadCase(failure.where, failure.problem, got=failure.got, allowed=failure.allowed, hint=failure.hint) from None
        return self

    def table(self) -> costs.Prices:
        """The unit costs."""
        return costs.prices(self.currency, self.prices)

    @property
    def worth(self) -> tuple[float, ...]:
        """Thresholds that hold."""
        return THRESHOLDS.get(self.currency, ()) if self.thresholds is None else self.thresholds

    def check(self, names: Sequence[str], procedures: Sequence[Procedure]) -> None:
        """Raises:
            BadCase: a price is missing, or there is no such arm.
        """
        items = dict.fromkeys(item for procedure in procedures for item in costs.needed(procedure))
        try:
            self.table().of(tuple(items))
        except BadInput as failure:
            raise BadCase("costs.prices", failure.problem, got=failure.got, allowed=failure.allowed, hint=failure.hint) from None
        if self.against is not None and self.against not in names:
            raise BadCase("costs.against", "there is no such arm", got=self.against, allowed=", ".join(names), hint=nearest(self.against, names))
        if len(names) < 2:
            raise BadCase("costs", "nothing to compare with", got=f"the arm {names[0]}", allowed="two or more arms")

    def columns(self, lived: Stages) -> dict[str, tuple[Floats, str]]:
        """Name to (n,) cost, QALYs and parts of the cost of each patient, with units."""
        found = costs.bill(lived, self.table(), discount=self.discount)
        parts = {f"{COST}{item}": (values, self.currency) for item, values in found.parts.items()}
        return {"cost": (found.cost, self.currency), "qaly": (found.qaly, "year"), **parts}


PARTS = tuple(f"{COST}{item}" for item in costs.ITEMS)
"""Columns of the parts."""


def pairs(names: Sequence[str], procedures: Sequence[Procedure], programs: Sequence[str], against: str | None) -> list[tuple[int, int, str]]:
    """(new, old, why) of the arms that are compared: every arm with one, and arms with a trial stage with those that differ in having none."""
    usual = [k for k, procedure in enumerate(procedures) if procedure.therapy == "usual-care"]
    base = list(names).index(against) if against is not None else (usual or [0])[0]
    found = [(k, base, "against") for k in range(len(names)) if k != base]
    for a, one in enumerate(procedures):
        for b, other in enumerate(procedures):
            same = programs[a] == programs[b] and one.therapy == other.therapy != "usual-care" and one.salvage == other.salvage
            if one.has_trial and not other.has_trial and same:
                found = [pair for pair in found if pair[:2] not in ((a, b), (b, a))]
                found.append((a, b, "trial stage"))
    return found


def compare(study_costs: Costs, cost: Floats, qaly: Floats, chosen: Sequence[tuple[int, int, str]], names: Sequence[str], seed: int,
            resamples: int) -> list[dict[str, Any]]:
    """What one arm costs and brings more than another, a person.

    Args:
        study_costs: thresholds.
        cost, qaly: (arms, patients, replicates).
        chosen: of ``pairs``.
        names: of the arms.
        seed: of the drawings of the patients with replacement.
        resamples: of them, of each replicate.
    """
    _, patients, count = cost.shape
    weight = np.array([[np.bincount(np.random.default_rng([seed, r, b]).integers(patients, size=patients), minlength=patients)
                        for b in range(resamples)] for r in range(count)]) / patients
    found = []
    for new, old, why in chosen:
        more, gained = (np.asarray(of[new] - of[old], float) for of in (cost, qaly))
        costs_of, qalys_of = (np.einsum("rbn,nr->rb", weight, of).ravel() for of in (more, gained))
        one = costs.Comparison(study_costs.currency, float(more.mean()), float(gained.mean()), costs_of, qalys_of)
        step = max(1, len(costs_of) // POINTS)
        found.append({
            "new": names[new], "old": names[old], "why": why, "cost": _ends(one.cost, costs_of, 2), "qaly": _ends(one.qaly, qalys_of, 6),
            "verdict": one.verdict, "ratio": _known(one.ratio), "interval_95": one.interval() and [round(end, 2) for end in one.interval() or ()],
            "shares": {name: round(share, 4) for name, share in one.shares().items()},
            "acceptable": [[value, round(one.acceptable(value), 4)] for value in study_costs.worth],
            "points": [[round(float(q), 5), round(float(c), 1)] for q, c in zip(qalys_of[::step], costs_of[::step], strict=True)]})
    return found


def _ends(mean: float, values: Floats, digits: int) -> dict[str, Any]:
    return {"mean": round(mean, digits), "interval_95": [round(float(end), digits) for end in np.quantile(values, (0.025, 0.975))]}


def _known(value: float) -> float | None:
    return round(value, 2) if np.isfinite(value) else None


def summary(study_costs: Costs, columns: Mapping[str, Any], names: Sequence[str], procedures: Sequence[Procedure], programs: Sequence[str],
            months: float, seed: int, resamples: int) -> dict[str, Any]:
    """The section on costs of a summary.

    Args:
        columns: ``cost``, ``qaly`` and ``PARTS`` to (arms, patients, replicates).
        months: until when costs and QALYs are counted.
    """
    cost, qaly = (np.asarray(columns[name], float) for name in ("cost", "qaly"))
    prices = study_costs.table()
    needed = dict.fromkeys(item for procedure in procedures for item in costs.needed(procedure))
    own = {number.name.rsplit(", ", 1)[0]: number for number in prices.numbers}
    rows = [{"item": item, "per": costs.ITEMS[item][0], "price": prices.values[item], "evidence": own[item].evidence if item in own else "given",
             "source": own[item].source if item in own else "the study"} for item in needed]
    arms = []
    for a, name in enumerate(names):
        parts = {item: round(float(np.mean(columns[f"{COST}{item}"][a])), 2) for item in needed}
        spread = {what: np.quantile(of[a].mean(axis=0), (0.025, 0.975)) for what, of in (("cost", cost), ("qaly", qaly))}
        arms.append({"name": name, "parts": parts,
                     **{what: {"mean": round(float(of[a].mean()), digits), "interval_95": [round(float(end), digits) for end in spread[what]]}
                        for what, of, digits in (("cost", cost, 2), ("qaly", qaly, 5))}})
    return {"currency": study_costs.currency, "discount": study_costs.discount, "months": months, "prices": rows, "arms": arms,
            "comparisons": compare(study_costs, cost, qaly, pairs(names, procedures, programs, study_costs.against), names, seed, resamples)}
