"""What trials found: the rows that the outcome model is fitted to, and those that it is only held against (data/trials.csv)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from epidura.errors import BadTable
from epidura.evidence.model import BLINDINGS, NUMPY, STAGES, Arm, Course, Library, Parameters, explanted
from epidura.tables import EVIDENCE, table

PER_PERSON = ("responder50", "responder30", "pain", "change", "percent_reduction")
"""Measures of the pain of people; those of one arm at several times or sites are of the same people."""
DEVICE = ("explant", "explant_for_loss", "revision")
MEASURES = (*PER_PERSON, "trial_success", "sensitivity", "specificity", *DEVICE)
ALIKE = 0.6
"""Correlation between such measures of the same people: a judgement, near that of pain three months apart in the CHOIR registry (0.45 to 0.57)."""
FROM_MEMORY = 0.5
"""Weight of a row that was not read but remembered: a judgement."""


@dataclass(frozen=True)
class Row:
    """One published number.

    Attributes:
        trial, arm: whose.
        months: after the start.
        measure: one of ``MEASURES`` if fitted.
        site: of the pain; "" if none.
        value: in ``unit``.
        unit: % or NRS or another.
        n: people; 0 if not known.
        sd: standard deviation between people; nan if not given.
        fitted: whether the model is fitted to it.
        evidence: read, computed or recall.
        notes: what to know of it.
    """

    trial: str
    arm: str
    months: float
    measure: str
    site: str
    value: float
    unit: str
    n: int
    sd: float
    low: float
    high: float
    fitted: bool
    evidence: str
    source: str
    notes: str

    @property
    def name(self) -> str:
        return " ".join(word for word in (self.trial, self.arm, self.measure, self.site, f"{self.months:g} mo") if word)


@cache
def rows() -> tuple[Row, ...]:
    """All rows of data/trials.csv.

    Raises:
        BadTable: a row that cannot be used as it says.
    """
    found = []
    for row in table("trials"):
        where = f"{row['trial']} {row['arm']} {row['measure']}"
        if row["use"] not in ("fit", "check"):
            raise BadTable("data/trials.csv", f"use of {where}", got=row["use"], allowed="fit, check")
        if row["evidence"] not in EVIDENCE:
            raise BadTable("data/trials.csv", f"evidence of {where}", got=row["evidence"], allowed=", ".join(EVIDENCE))
        sd, low, high = (float(row[name] or "nan") for name in ("sd", "low", "high"))
        one = Row(row["trial"], row["arm"], float(row["months"]), row["measure"], row["site"], float(row["value"]), row["unit"],
                  int(row["n"] or 0), sd, low, high, row["use"] == "fit", row["evidence"], row["source"], row["notes"])
        if one.fitted and (one.measure not in MEASURES or one.n < 1):
            raise BadTable("data/trials.csv", f"{where} cannot be fitted", got=f"measure {one.measure}, n {one.n}", allowed=", ".join(MEASURES))
        found.append(one)
    return tuple(found)


@cache
def arms() -> dict[tuple[str, str], Arm]:
    """(trial, arm) to the arms of data/trial_arms.csv.

    Raises:
        BadTable: an unknown blinding or stage.
    """
    found = {}
    for row in table("trial_arms"):
        for column, known in (("blinding", BLINDINGS), ("stage", STAGES)):
            if row[column] not in known:
                raise BadTable("data/trial_arms.csv", f"{column} of {row['trial']} {row['arm']}", got=row[column], allowed=", ".join(known))
        found[row["trial"], row["arm"]] = Arm(row["trial"], row["arm"], row["therapy"], row["tried"], row["blinding"], row["novel"] == "yes",
                                              row["stage"], float(row["baseline"]), float(row["baseline_sd"]), float(row["least"]),
                                              row["population"] == "candidates", int(row["n"]))
    return found


def weights(kept: tuple[Row, ...]) -> list[float]:
    """How much of its information each row brings: m measures of the same people bring m / (1 + (m - 1) ALIKE) rows' worth."""
    def same(row: Row) -> int:
        return sum(other.trial == row.trial and other.arm == row.arm and other.measure in PER_PERSON for other in kept)

    return [(1 / (1 + (same(row) - 1) * ALIKE) if row.measure in PER_PERSON else 1.0) * (FROM_MEMORY if row.evidence == "recall" else 1.0)
            for row in kept]


def expected(kept: Sequence[Row], of: Mapping[tuple[str, str], Arm], p: Parameters, centres: Mapping[str, tuple[Any, Any]],
             library: Library = NUMPY) -> list[tuple[Any, Any]]:
    """What the model expects of each row, in its unit, and the standard deviation between people (None for shares).

    Args:
        kept: rows that can be fitted.
        of: their arms.
        p: parameters.
        centres: trial to its factors on context and neural effect; 1 where there are none.
        library: NumPy or JAX.
    """
    xp = library.np
    found: dict[int, tuple[Any, Any]] = {}
    for measures, ask in (*_ASKED.items(),):
        chosen = [i for i, row in enumerate(kept) if row.measure in measures]
        if not chosen:
            continue
        months = xp.asarray([[kept[i].months] for i in chosen])
        if measures == DEVICE:
            for_loss, other = explanted(p, months, xp)
            values = {"explant": 1 - (1 - for_loss) * (1 - other), "explant_for_loss": for_loss / (for_loss + other),
                      "revision": 1 - xp.exp(-p["revision rate"] * months / 12)}
            found |= {i: (100 * values[kept[i].measure][k, 0], None) for k, i in enumerate(chosen)}
            continue
        course = Course.of([_arm(kept[i], of) for i in chosen], p, [centres.get(kept[i].trial, (1.0, 1.0)) for i in chosen], library)
        found |= dict(zip(chosen, ask(course, months, [kept[i] for i in chosen], xp), strict=True))
    return [found[i] for i in range(len(kept))]


def _arm(row: Row, of: Mapping[tuple[str, str], Arm]) -> Arm:
    """The arm of a row. A change at four weeks is of those who are stimulated, whatever the trial counts later."""
    arm = of[row.trial, row.arm]
    return replace(arm, stage="implanted") if row.trial == "PROCESS" and row.measure == "change" else arm


def _responders(course: Course, months: Any, kept: Sequence[Row], xp: Any) -> list[tuple[Any, Any]]:
    reliefs = xp.asarray([[int(row.measure[-2:]) / 100] for row in kept])
    return [(100 * value, None) for value in course.seen(months).responders(reliefs)]


def _pain(course: Course, months: Any, kept: Sequence[Row], xp: Any) -> list[tuple[Any, Any]]:
    seen = course.seen(months)
    of = {"pain": seen.pain_left(), "change": seen.change(), "percent_reduction": seen.reduction()}
    return [(of[row.measure][0][k], of[row.measure][1][k]) for k, row in enumerate(kept)]


def _stage(course: Course, months: Any, kept: Sequence[Row], xp: Any) -> list[tuple[Any, Any]]:
    of = {"trial_success": course.trial_success(), **dict(zip(("sensitivity", "specificity"), course.accuracy(months), strict=True))}
    return [(100 * of[row.measure][k], None) for k, row in enumerate(kept)]


_ASKED: dict[tuple[str, ...], Any] = {("responder50", "responder30"): _responders, ("pain", "change", "percent_reduction"): _pain,
                                     ("trial_success", "sensitivity", "specificity"): _stage, DEVICE: None}
