"""Money and quality-adjusted life years of ``stages``: what a QALY costs, against another course of action in the same people.

    prices("GBP", {"implantation": ...})   unit costs: those of data/costs.csv in one currency, and those that the user gives
    bill(stages, prices)                   cost and QALYs of each patient
    cost_per_qaly(new, old)                increments, ratio, dominance, intervals by draws

QALYs are the area under the EQ-5D index (trapezoids between the start and the visits). Costs and QALYs are discounted to the implantation with one
rate, by default 3.5 % a year, that of NICE's reference case (PMG9 5.6 and PMG36 4.5). A price that is not in the table in the wanted currency has
to be given: nothing is converted between currencies or carried from one year to another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from epidura.errors import BadInput, BadTable, nearest
from epidura.product import Floats
from epidura.stages import Procedure, Stages
from epidura.tables import EVIDENCE, Number, table

DISCOUNT = 0.035
"""A year, of costs and QALYs: the reference case of NICE."""

ITEMS: dict[str, tuple[str, str]] = {
    "trial stage": ("each", "trial leads, their placement, days and removal, for each patient who is tried"),
    "rechargeable system": ("each", "leads, rechargeable generator, charger and remote control"),
    "primary-cell system": ("each", "leads, generator that is not recharged and remote control"),
    "implantation": ("each", "operation in which the system is implanted, without the system"),
    "generator replacement": ("each", "new generator and its operation when the battery is at its end"),
    "revision": ("each", "operation on leads or generator, with what is replaced"),
    "infection": ("each", "treatment of an infection that the stimulator survives"),
    "explant": ("each", "operation in which the system is taken out, whatever for"),
    "follow-up": ("year", "visits and programming while the system is in"),
    "medical management": ("year", "drugs and other treatment of pain at the use of medication before; falls and rises with that use"),
}
"""Unit costs: each or a year, and what they are of."""

VERDICTS = ("dominant", "dominated", "costs more and gains", "saves and loses", "no difference")


@dataclass(frozen=True)
class Prices:
    """Unit costs in one currency.

    Attributes:
        currency: such as GBP.
        values: item of ``ITEMS`` to what it costs.
        numbers: those of them that come from data/costs.csv, with source and year.
    """

    currency: str
    values: Mapping[str, float]
    numbers: tuple[Number, ...]

    def of(self, items: tuple[str, ...]) -> tuple[float, ...]:
        """What these items cost.

        Raises:
            BadInput: some have no price.
        """
        if missing := [item for item in items if item not in self.values]:
            hints = [f"{item}: {ITEMS[item][1]}, {ITEMS[item][0]}{_known_end(item, self.currency)}" for item in missing]
            raise BadInput("prices", "no price was found for these, so they have to be given", got=f"no {', '.join(missing)}",
                           allowed=f"amounts in {self.currency}", hint="; ".join(hints))
        return tuple(float(self.values[item]) for item in items)


def prices(currency: str = "GBP", given: Mapping[str, float] | None = None) -> Prices:
    """Unit costs of data/costs.csv in this currency, and those given, which come first.

    Raises:
        BadInput: an unknown item, or an amount that is negative or no number.
        BadTable: a row of the table that is of no item.
    """
    values, numbers = {}, []
    for row in table("costs"):
        if row["item"] not in ITEMS or row["unit"] != ITEMS[row["item"]][0] or row["evidence"] not in EVIDENCE:
            raise BadTable("data/costs.csv", "a row of no item", got=f"{row['item']}, {row['unit']}", allowed=", ".join(ITEMS))
        if row["currency"] == currency and row["value"]:
            values[row["item"]] = float(row["value"])
            numbers.append(Number(f"{row['item']}, {row['year']}", float(row["value"]), f"{currency} {row['unit']}", row["evidence"], row["source"],
                                  row["doi_or_url"], "costs.csv"))
    for item, amount in (given or {}).items():
        if item not in ITEMS:
            raise BadInput("prices", "there is no such item", got=str(item), allowed=", ".join(ITEMS), hint=nearest(str(item), ITEMS))
        if isinstance(amount, bool) or not isinstance(amount, int | float) or not np.isfinite(amount) or amount < 0:
            raise BadInput(f"prices.{item}", "not an amount", got=str(amount), allowed=f"0 or more {currency}")
        values[item] = float(amount)
    return Prices(currency, values, tuple(number for number in numbers if number.name.rsplit(", ", 1)[0] not in (given or {})))


def _known_end(item: str, currency: str) -> str:
    """What is known of a price that has no value."""
    rows = [row for row in table("costs") if row["item"] == item]
    parts = [f"at least {row['low']} {row['currency']} ({row['source']}, {row['year']})" for row in rows if row["low"] and not row["value"]]
    parts += [f"{row['value']} {row['currency']} ({row['source']}, {row['year']})" for row in rows if row["value"] and row["currency"] != currency]
    return f" [{', '.join(parts)}]" if parts else ""


def needed(procedure: Procedure) -> tuple[str, ...]:
    """Items that a procedure needs prices of."""
    if procedure.therapy == "usual-care":
        return ("medical management",)
    system = "rechargeable system" if procedure.rechargeable else "primary-cell system"
    return (*(("trial stage",) if procedure.has_trial else ()), system,
            "implantation", "generator replacement", "revision", "infection", "explant", "follow-up", "medical management")


# years and money

def _rate(discount: float) -> float:
    if isinstance(discount, bool) or not np.isfinite(discount) or not 0 <= discount < 1:
        raise BadInput("discount", "not a rate of discount", got=discount, allowed="0 or more a year, below 1, such as 0.035")
    return float(discount)


def qalys(months: ArrayLike, index: ArrayLike, discount: float = DISCOUNT) -> Floats:
    """(...) quality-adjusted life years: area under the discounted index.

    Args:
        months: (k,) rising times.
        index: (..., k) EQ-5D index at these times.
        discount: a year.

    Raises:
        BadInput: times that do not rise, fewer than two, or an index of another shape.
    """
    at, value, rate = np.asarray(months, float), np.asarray(index, float), _rate(discount)
    if at.ndim != 1 or len(at) < 2 or (np.diff(at) <= 0).any():
        raise BadInput("months", "no stretch of time", got=str(months)[:60], allowed="two or more times, rising")
    if value.ndim == 0 or value.shape[-1] != len(at):
        raise BadInput("index", "not one for each time", got=value.shape, allowed=f"(..., {len(at)})")
    return np.asarray(np.trapezoid(value * (1 + rate) ** (-at / 12), at / 12, axis=-1), float)


def present(months: ArrayLike, discount: float = DISCOUNT) -> Floats:
    """(...) worth at the start of 1 spent at these times; 0 where it is never spent (NaN)."""
    at = np.asarray(months, float)
    return np.where(np.isfinite(at), (1 + _rate(discount)) ** (-np.where(np.isfinite(at), at, 0.0) / 12), 0.0)


def present_years(months: ArrayLike, discount: float = DISCOUNT) -> Floats:
    """(...) worth at the start of 1 a year spent evenly until these times."""
    years, rate = np.asarray(months, float) / 12, _rate(discount)
    return np.asarray(years if rate == 0 else (1 - (1 + rate) ** -years) / np.log1p(rate), float)


@dataclass(frozen=True)
class Bill:
    """Cost and QALYs of each patient until the last visit.

    Attributes:
        currency: of the cost.
        cost: (n,), or (draws, n) with one row for each draw of the parameters.
        qaly: as ``cost``.
        parts: item to its part of the cost, as ``cost``.
    """

    currency: str
    cost: Floats
    qaly: Floats
    parts: Mapping[str, Floats]


def bill(stages: Stages, costs: Prices, *, discount: float = DISCOUNT) -> Bill:
    """Cost and QALYs of each patient from the verdict of the trial stage to the last visit; what the trial stage costs falls on the verdict.

    Raises:
        BadInput: a price is missing, no visit after the start, or a rate of discount that is none.
    """
    d, items = stages.data, needed(stages.procedure)
    price = dict(zip(items, costs.of(items), strict=True))
    visits = d.visit.values
    if visits[-1] <= 0:
        raise BadInput("stages", "no visit after the start", got=str(visits), allowed="a last visit after month 0")
    first = visits[0] > 0
    at = np.concatenate([[0.0], visits]) if first else visits
    index, use = d.index.values, d.medication.values
    if first:
        index = np.concatenate([d.index_before.values[:, None], index], 1)
        use = np.concatenate([np.ones((len(use), 1)), use], 1)
    end, tried, implanted = visits[-1], d.tried.values, d.implanted.values

    def worth(times: Floats) -> Floats:
        return present(np.where(times <= end, times, np.nan), discount)

    explant = d.explant.values
    survived = np.where(d.explant_reason.values == "infection", np.nan, d.infection.values)
    once = {item: implanted.astype(float) for item in ("rechargeable system", "primary-cell system", "implantation")}
    count = {"trial stage": tried.astype(float), **once, "generator replacement": worth(d.battery.values).sum(1),
             "revision": worth(d.revision.values).sum(1), "infection": worth(survived), "explant": worth(explant),
             "follow-up": np.where(implanted, present_years(np.fmin(explant, end), discount), 0.0), "medical management": qalys(at, use, discount)}
    parts = {item: price[item] * count[item] for item in items}
    return Bill(costs.currency, np.asarray(sum(parts.values()), float), qalys(at, index, discount), parts)


def stacked(bills: list[Bill]) -> Bill:
    """Bills of the same people under several draws of the parameters, as one with a row for each draw.

    Raises:
        BadInput: none, or of other people or currencies.
    """
    if not bills or len({(one.currency, one.cost.shape) for one in bills}) > 1 or bills[0].cost.ndim != 1:
        raise BadInput("bills", "not of the same people in the same currency", got=f"{len(bills)} bills", allowed="one or more of bill()")
    items = bills[0].parts
    return Bill(bills[0].currency, np.stack([one.cost for one in bills]), np.stack([one.qaly for one in bills]),
                {item: np.stack([one.parts[item] for one in bills]) for item in items})


# one against another

@dataclass(frozen=True)
class Comparison:
    """One course of action against another.

    Attributes:
        currency: of the costs.
        cost, qaly: what it costs and brings more, a person.
        costs, qalys: (draws,) the same in each draw.
    """

    currency: str
    cost: float
    qaly: float
    costs: Floats
    qalys: Floats

    @property
    def verdict(self) -> str:
        """One of ``VERDICTS``: dominant is no dearer and no worse, and better in one of both."""
        return VERDICTS[int(_verdicts(np.array([self.cost]), np.array([self.qaly]))[0])]

    @property
    def ratio(self) -> float:
        """Cost of one more QALY, or saved for one less; NaN where one dominates, since such a ratio says nothing."""
        return self.cost / self.qaly if self.verdict in VERDICTS[2:4] else float("nan")

    def shares(self) -> dict[str, float]:
        """Verdict to the share of draws that come to it."""
        found = _verdicts(self.costs, self.qalys)
        return {name: float((found == k).mean()) for k, name in enumerate(VERDICTS)}

    def interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """Of the ratio over the draws; None unless all draws come to the same verdict and have one."""
        found = np.unique(_verdicts(self.costs, self.qalys))
        if len(found) > 1 or VERDICTS[int(found[0])] not in VERDICTS[2:4]:
            return None
        low, high = np.quantile(self.costs / self.qalys, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    def acceptable(self, threshold: float) -> float:
        """Share of draws in which it is worth its cost when a QALY is worth ``threshold``."""
        if not np.isfinite(threshold) or threshold < 0:
            raise BadInput("threshold", "not what a QALY is worth", got=threshold, allowed=f"0 or more {self.currency} for a QALY")
        return float((threshold * self.qalys - self.costs > 0).mean())


def _verdicts(cost: Floats, qaly: Floats) -> Floats:
    """Places in ``VERDICTS``."""
    same = (cost == 0) & (qaly == 0)
    return np.select([same, (cost <= 0) & (qaly >= 0), (cost >= 0) & (qaly <= 0), cost > 0], [4, 0, 1, 2], 3)


def cost_per_qaly(new: Bill, old: Bill, *, draws: int = 2000, seed: int = 1) -> Comparison:
    """What one course of action costs and brings against another.

    Args:
        new, old: bills of the same people (same cohort, same draws of the parameters). With (draws, n) each row is a draw; with (n,) people are
            drawn again with replacement, each with both courses, so that the interval is that of a trial of n people and no more.
        draws: how often people are drawn again.
        seed: of that.

    Raises:
        BadInput: other currencies, other people, or no draws.
    """
    if new.currency != old.currency:
        raise BadInput("old.currency", "another currency", got=old.currency, allowed=new.currency, hint="nothing is converted")
    if new.cost.shape != old.cost.shape:
        raise BadInput("old", "not the same people", got=old.cost.shape, allowed=str(new.cost.shape))
    if draws < 1:
        raise BadInput("draws", "no draws", got=draws, allowed="1 or more")
    cost, qaly = new.cost - old.cost, new.qaly - old.qaly
    if cost.ndim == 2:
        costs, years = cost.mean(1), qaly.mean(1)
    else:
        rng, n = np.random.default_rng(seed), len(cost)
        weight = rng.multinomial(n, np.full(n, 1 / n), draws) / n
        costs, years = weight @ cost, weight @ qaly
    return Comparison(new.currency, float(cost.mean()), float(qaly.mean()), costs, years)
