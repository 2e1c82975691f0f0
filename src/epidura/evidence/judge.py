"""How well the outcome model answers to the rows that it was fitted to, and to those that were left out.

    python -m epidura.evidence.judge             posterior predictive table
    python -m epidura.evidence.judge --refit     also: one trial left out at a time, and priors half and twice as wide

A row is met if what was published lies in the 90 % interval of what a study of its size would see.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from epidura.evidence.model import Arm, Floats
from epidura.evidence.posterior import Posterior, posterior
from epidura.evidence.rows import MEASURES, PER_PERSON, Row, arms, expected, rows

SEED = 20261128
BETWEEN = {("SENZA-RCT", "responder_ratio"): ("responder50", "10 kHz", "traditional"),
           ("TRIAL-STIM", "difference"): ("pain", "screening trial", "no trial")}
"""Numbers that compare two arms: of which measure, and of which arms; ratios of shares, differences of means. They are never fitted."""


@dataclass(frozen=True)
class Judged:
    """A row with what the model expects.

    Attributes:
        row: as published.
        low, middle, high: 90 % interval and median of what a study of its size would see.
        mean_low, mean_high: 90 % interval of the expectation itself.
    """

    row: Row
    low: float
    middle: float
    high: float
    mean_low: float
    mean_high: float

    @property
    def met(self) -> bool:
        # half a digit of what was printed, and an edge that is reached
        return self.low - 0.05 <= self.row.value <= self.high + 0.05


def judged(known: Posterior, kept: Sequence[Row], new: bool = False, of: Mapping[tuple[str, str], Arm] | None = None) -> list[Judged]:
    """What the model expects of rows.

    Args:
        known: posterior.
        kept: rows of measures that the model has.
        new: as trials that were not fitted: their factors are drawn.
        of: their arms; those of data/trial_arms.csv if None.
    """
    rng, of = np.random.default_rng(SEED), arms() if of is None else of
    trials = tuple(dict.fromkeys(row.trial for row in kept))
    drawn = {trial: known.new(rng) for trial in trials}
    doses = {name: known.dose(name.removeprefix("neural "), rng) for name in (f"neural {arm.therapy}" for arm in of.values() if arm.stimulated)}
    means, sampled = np.empty((known.count, len(kept))), np.empty((known.count, len(kept)))
    for k in range(known.count):
        p = {**{name: float(dose[k]) for name, dose in doses.items()}, **known.draw(k)}
        centres = {trial: (float(drawn[trial][0][k]), float(drawn[trial][1][k])) if new else known.centre(trial, k) for trial in trials}
        for i, (row, (value, sd)) in enumerate(zip(kept, expected(kept, of, p, centres), strict=True)):
            means[k, i] = value
            sampled[k, i] = (100 * rng.binomial(row.n, np.clip(value / 100, 0, 1)) / row.n if sd is None
                             else value + sd / np.sqrt(row.n) * rng.standard_normal())
    ends, within = np.quantile(sampled, [0.05, 0.5, 0.95], axis=0).T, np.quantile(means, [0.05, 0.95], axis=0).T
    return [Judged(row, *(float(x) for x in (*ends[i], *within[i]))) for i, row in enumerate(kept)]


def between_arms(known: Posterior) -> list[Judged]:
    """What the model expects of published ratios and differences between arms of trials that were fitted."""
    rng, kept = np.random.default_rng([SEED, 1]), [row for row in rows() if (row.trial, row.measure) in BETWEEN]
    sides: list[Row] = []
    for row in kept:
        measure, *pair = BETWEEN[row.trial, row.measure]
        sides += [replace(row, arm=arm, measure=measure, n=row.n // 2 or arms()[row.trial, arm].n) for arm in pair]
    means, sampled = np.empty((known.count, len(kept))), np.empty((known.count, len(kept)))
    for k in range(known.count):
        centres = {trial: known.centre(trial, k) for trial in dict.fromkeys(row.trial for row in sides)}
        found = [(value, value + sd / np.sqrt(row.n) * rng.standard_normal() if sd is not None
                  else 100 * rng.binomial(row.n, np.clip(value / 100, 0, 1)) / row.n)
                 for row, (value, sd) in zip(sides, expected(sides, arms(), known.draw(k), centres), strict=True)]
        for i, row in enumerate(kept):
            one, other = found[2 * i], found[2 * i + 1]
            means[k, i], sampled[k, i] = (a / b if row.measure == "responder_ratio" else a - b for a, b in zip(one, other, strict=True))
    ends, within = np.quantile(sampled, [0.05, 0.5, 0.95], axis=0).T, np.quantile(means, [0.05, 0.95], axis=0).T
    return [Judged(row, *(float(x) for x in (*ends[i], *within[i]))) for i, row in enumerate(kept)]


def modelled(row: Row) -> bool:
    """Whether the model has a number for a row."""
    return row.measure in MEASURES and row.n > 0 and ((row.trial, row.arm) in arms() or row.measure not in (*PER_PERSON, "trial_success"))


def table(found: Sequence[Judged]) -> str:
    """The rows as Markdown."""
    lines = ["| row | n | published | expected (90 %) | |", "|---|---|---|---|---|"]
    for one in found:
        unit = " %" if one.row.unit == "%" else ""
        sure = "" if one.row.evidence != "recall" else ", from memory"
        lines.append(f"| {one.row.name}{sure} | {one.row.n or '-'} | {one.row.value:g}{unit} | {one.middle:.3g} ({one.low:.3g} to {one.high:.3g}) | "
                     f"{'met' if one.met else '**not met**'} |")
    return "\n".join(lines)


def left_out(trial: str, **sampler: Any) -> list[Judged]:
    """The rows of a trial as a model sees them that was not fitted to it."""
    from epidura.evidence.fit import fit

    kept = [row for row in rows() if row.fitted and row.trial != trial]
    found = fit(kept, **sampler)
    return judged(Posterior(_thin(found.draws), {}), [row for row in rows() if row.fitted and row.trial == trial], new=True)


def _thin(draws: dict[str, Floats], kept: int = 300) -> dict[str, Floats]:
    total = len(next(iter(draws.values())))
    chosen = np.linspace(0, total - 1, min(kept, total)).round().astype(int)
    return {name: values[chosen] for name, values in draws.items()}


def widened(factor: float, **sampler: Any) -> dict[str, tuple[float, float, float]]:
    """5, 50 and 95 % of every parameter with priors wider by a factor."""
    from epidura.evidence.fit import fit

    draws = fit(widened=factor, **sampler).draws
    return {name: (float(a), float(b), float(c)) for name, values in draws.items() for a, b, c in (np.quantile(values, [0.05, 0.5, 0.95]),)}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m epidura.evidence.judge", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--refit", action="store_true", help="also fit without each trial, and with other priors")
    given = parser.parse_args(arguments)
    print(table(judged(posterior(), [row for row in rows() if modelled(row)])), flush=True)
    print(f"\nBetween arms:\n\n{table(between_arms(posterior()))}", flush=True)
    if given.refit:
        sampler = {"chains": 1, "warmup": 300, "draws": 400}
        for trial in dict.fromkeys(row.trial for row in rows() if row.fitted):
            print(f"\nWithout {trial}:\n\n{table(left_out(trial, **sampler))}", flush=True)
        usual = {name: posterior().interval(name) for name in posterior().draws}
        others = {factor: widened(factor, **sampler) for factor in (0.5, 2.0)}
        print("\n| parameter | as fitted | priors half as wide | twice as wide |\n|---|---|---|---|")
        for name in usual:
            told = " | ".join(f"{m:.3g} ({a:.3g} to {b:.3g})" for a, m, b in (usual[name], *(other[name] for other in others.values())))
            print(f"| {name} | {told} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
