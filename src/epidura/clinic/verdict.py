"""The verdict of the trial stage, loss of effect, salvage before an explant, and the visits that are due.

    judge(Trial(before=days, during=days, reported_relief=0.6), "expert-panel")
    loss_of_effect(records, baseline=8)
    due(implanted, done={"wound": date(...)}, today=date(...))

Rules of the verdict are those of the virtual patients, data/stage_rules.csv. A verdict always says how good such verdicts are: the sensitivity and
specificity of TRIAL-STIM. Rules of loss are data/loss_rules.csv, steps of salvage data/salvage.csv, visits data/follow_up.csv.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from itertools import pairwise
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from epidura import quality_of_life as ql
from epidura.errors import BadCase, BadInput, nearest
from epidura.recipe import Recipe
from epidura.stages import QUANTITIES, rule
from epidura.tables import UNVERIFIED, table

_SAME = 1e-9


# the diary and its quantities

class DiaryDay(Recipe):
    """One day of the diary; what was not written down is left out.

    Attributes:
        day: which.
        worst, average, least: pain, NRS.
        activity, sleep: ratings from 0 to 10, more is better.
        medication: of the day, in one unit for the whole diary.
    """

    day: date
    worst: float | None = Field(None, ge=0, le=10)
    average: float | None = Field(None, ge=0, le=10)
    least: float | None = Field(None, ge=0, le=10)
    activity: float | None = Field(None, ge=0, le=10)
    sleep: float | None = Field(None, ge=0, le=10)
    medication: float | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> DiaryDay:
        known = [(name, value) for name, value in (("least", self.least), ("average", self.average), ("worst", self.worst)) if value is not None]
        for (low, less), (high, more) in pairwise(known):
            if less > more:
                raise BadCase(low, f"{low} pain above {high} pain", got=f"{less:g} and {more:g}", hint="one of them is mistyped")
        return self


class Trial(Recipe):
    """What is known of a trial stage.

    Attributes:
        before, during: days of the diary before the leads and with stimulation.
        days: of stimulation, as planned; tells how much of the diary was kept.
        reported_relief: that the patient reports, 0 to 1 (negative: worse).
        index_before, index_during: EQ-5D.
    """

    before: tuple[DiaryDay, ...] = ()
    during: tuple[DiaryDay, ...] = ()
    days: int | None = Field(None, ge=1, le=60)
    reported_relief: float | None = Field(None, ge=-1, le=1)
    index_before: float | None = Field(None, ge=-1, le=1)
    index_during: float | None = Field(None, ge=-1, le=1)

    @model_validator(mode="after")
    def _once(self) -> Trial:
        seen: set[date] = set()
        for where, part in (("before", self.before), ("during", self.during)):
            for k, one in enumerate(part):
                if one.day in seen:
                    raise BadCase(f"{where}[{k}].day", "a day is written twice", got=str(one.day), hint="keep one")
                seen.add(one.day)
        if self.before and self.during and max(one.day for one in self.before) > min(one.day for one in self.during):
            raise BadCase("before", "a day before stimulation is later than one with it", got=str(max(one.day for one in self.before)))
        return self

    def mean(self, part: Literal["before", "during"], name: str) -> float | None:
        """Of one field over the days on which it was written down; None if on none."""
        values = [value for one in getattr(self, part) if (value := getattr(one, name)) is not None]
        return float(np.mean(values)) if values else None

    def kept(self) -> str:
        """How much of the diary was kept, in words."""
        written = sum(one.average is not None for one in self.during)
        return (f"average pain is written down on {written} of {self.days or len(self.during)} days with stimulation, "
                f"{len(self.before)} days before it")


def quantities(trial: Trial) -> dict[str, float | None]:
    """What a rule can ask for, in the units of ``stages.QUANTITIES``; None where the diary does not say."""
    found: dict[str, float | None] = dict.fromkeys(QUANTITIES)
    before, during = trial.mean("before", "average"), trial.mean("during", "average")
    found["baseline"] = before
    if before and during is not None:
        found["relief"] = float(ql.relief(before, during))
    used, uses = trial.mean("before", "medication"), trial.mean("during", "medication")
    if used is not None and uses is not None:
        found["medication"] = uses / used if used > 0 else 1.0 if uses == 0 else float("inf")
    for name in ("activity", "sleep"):
        first, then = trial.mean("before", name), trial.mean("during", name)
        if first is not None and then is not None:
            found[name] = then - first
    if trial.index_before is not None and trial.index_during is not None:
        found["index"] = trial.index_during - trial.index_before
    return found


# the verdict

WORDS = {"relief": "relief of mean average pain", "baseline": "average pain before", "medication": "medication, of that before",
         "activity": "change of activity", "sleep": "change of sleep", "index": "change of the EQ-5D index"}
NEEDS = {"relief": "average pain on days before and during", "baseline": "average pain on days before",
         "medication": "medication on days before and during", "activity": "activity on days before and during",
         "sleep": "sleep on days before and during", "index": "EQ-5D before and during"}


@dataclass(frozen=True)
class Line:
    """One limit of the rule.

    Attributes:
        quantity, end, limit, unit: such as relief, least, 0.5, 1.
        found: None if missing.
        state: met, not met or missing.
        words: what was found against the limit, or what is missing.
        source, evidence: of the limit.
    """

    quantity: str
    end: str
    limit: float
    unit: str
    found: float | None
    state: Literal["met", "not met", "missing"]
    words: str
    source: str
    evidence: str


@dataclass(frozen=True)
class Caveat:
    """How good a verdict of a trial stage is.

    Attributes:
        sensitivity, specificity: %, each with (low, high).
        words: the sentence to print beside every verdict.
        source, doi_or_url: of the numbers.
    """

    sensitivity: tuple[float, float, float]
    specificity: tuple[float, float, float]
    words: str
    source: str
    doi_or_url: str


@cache
def caveat() -> Caveat:
    """Of TRIAL-STIM, from data/trials.csv."""
    found = {}
    for measure in ("sensitivity", "specificity"):
        row = table("trials").row(trial="TRIAL-STIM", measure=measure)
        found[measure] = (float(row["value"]), float(row["low"]), float(row["high"]))
    said = {name: f"{value:g} % ({low:g} to {high:g})" for name, (value, low, high) in found.items()}
    words = (f"In TRIAL-STIM a trial stage had sensitivity {said['sensitivity']} and specificity {said['specificity']}: of those who did not gain at "
             f"6 months nearly all had passed it. A passed trial stage does not tell who will gain.")
    return Caveat(found["sensitivity"], found["specificity"], words, row["source"], row["doi_or_url"])


@dataclass(frozen=True)
class Verdict:
    """Of a trial stage under a rule.

    Attributes:
        rule: its name, or ``own limits``.
        passed: None if something is missing and nothing is not met.
        lines: one for each limit.
        words: the verdict in words.
        calculated_relief, reported_relief: 0 to 1, side by side; None if missing.
        agreement: what the two say together, with published limits of agreement.
        kept: how much of the diary was kept.
        caveat: always.
    """

    rule: str
    passed: bool | None
    lines: tuple[Line, ...]
    words: str
    calculated_relief: float | None
    reported_relief: float | None
    agreement: str
    kept: str
    caveat: Caveat


def judge(trial: Trial, by: str | Mapping[str, float] = "relief-50") -> Verdict:
    """The diary against a rule.

    Args:
        trial: what is known.
        by: a rule of data/stage_rules.csv, or limits of ``stages.QUANTITIES``.

    Raises:
        BadInput: no such rule or quantity.
    """
    limits = rule(by) if isinstance(by, str) else dict(by)
    if not limits:
        raise BadInput("by", "a rule without limits", allowed=f"one or more of {', '.join(QUANTITIES)}")
    for name in limits:
        if name not in QUANTITIES:
            raise BadInput("by", "a rule cannot ask for this", got=name, allowed=", ".join(QUANTITIES), hint=nearest(name, QUANTITIES))
    found = quantities(trial)
    lines = tuple(_line(name, limit, found[name], by if isinstance(by, str) else "") for name, limit in limits.items())
    failed, missing = [one for one in lines if one.state == "not met"], [one for one in lines if one.state == "missing"]
    passed = False if failed else None if missing else True
    title = f"rule {by}" if isinstance(by, str) else "own limits"
    words = (f"does not meet the {title}: " + "; ".join(one.words for one in failed) if failed
             else f"cannot be judged by the {title}: " + "; ".join(one.words for one in missing) if missing else f"meets the {title}")
    return Verdict(by if isinstance(by, str) else "own limits", passed, lines, words, found["relief"], trial.reported_relief,
                   _agreement(found["relief"], trial.reported_relief), trial.kept(), caveat())


def _line(name: str, limit: float, value: float | None, by: str) -> Line:
    end, unit, _ = QUANTITIES[name]
    row = table("stage_rules").row(rule=by, quantity=name) if by else {"source": "own limit", "evidence": "judgement"}
    if value is None:
        return Line(name, end, limit, unit, None, "missing", f"{WORDS[name]} is missing ({NEEDS[name]})", row["source"], row["evidence"])
    met = value >= limit - _SAME if end == "least" else value <= limit + _SAME
    doubt = " (limit not verified)" if row["evidence"] in UNVERIFIED else ""
    words = f"{WORDS[name]} {_shown(value, unit)}, at {end} {_shown(limit, unit)} asked for{doubt}"
    return Line(name, end, limit, unit, value, "met" if met else "not met", words, row["source"], row["evidence"])


def _shown(value: float, unit: str) -> str:
    return f"{value:.3g}" if unit == "1" else f"{value:.3g} {unit}"


def _agreement(calculated: float | None, reported: float | None) -> str:
    rows = [table("quality_of_life").row(quantity=f"reported less calculated relief, {end} limit of agreement") for end in ("lower", "upper")]
    low, high = (float(row["value"]) for row in rows)
    if calculated is None or reported is None:
        lacks = [word for word, value in (("calculated", calculated), ("reported", reported)) if value is None]
        return f"{' and '.join(lacks)} relief is missing, so the two cannot be compared"
    apart = 100 * (reported - calculated)
    said = (f"reported relief {100 * reported:.0f} %, calculated {100 * calculated:.0f} %: apart by {apart:+.0f} points; published limits of "
            f"agreement {low:g} to {high:g} ({rows[0]['source']})")
    return said if low <= apart <= high else said + "; outside them: ask what the patient means"


# loss of effect

class Seen(Recipe):
    """One record of the time after implantation: relief (0 to 1), or pain to calculate it from."""

    on: date
    relief: float | None = Field(None, ge=-9, le=1)
    nrs: float | None = Field(None, ge=0, le=10)


class Step(Recipe):
    """What was done about a step of salvage.

    Attributes:
        state: done, or not possible.
        on, by: when and who.
        result: in words; the reason where it was not possible.
    """

    state: Literal["done", "not possible"]
    on: date
    by: str = Field(min_length=1)
    result: str = Field(min_length=1)


@dataclass(frozen=True)
class Salvage:
    """A step of the checklist before an explant for loss of effect.

    Attributes:
        step, name, what: of data/salvage.csv.
        done: what was done, or None while it is open.
        source, evidence: of the step.
    """

    step: str
    name: str
    what: str
    done: Step | None
    source: str
    evidence: str


def salvage_checklist(done: Mapping[str, Step] | None = None) -> tuple[Salvage, ...]:
    """Every step, with what was done about it.

    Raises:
        BadInput: something was done that is no step.
    """
    known = table("salvage").column("step")
    for name in done or {}:
        if name not in known:
            raise BadInput("done", "there is no such step of salvage", got=name, allowed=", ".join(known), hint=nearest(name, known))
    return tuple(Salvage(row["step"], row["name"], row["what"], (done or {}).get(row["step"]), row["source"], row["evidence"])
                 for row in table("salvage"))


def open_before_explant(done: Mapping[str, Step] | None = None) -> tuple[str, ...]:
    """Names of the steps that are open before an explant for loss of effect. An infection does not wait for them."""
    return tuple(one.name for one in salvage_checklist(done) if one.done is None)


def loss_rule(name: str = "lost-30") -> dict[str, float]:
    """A rule of data/loss_rules.csv: ``had`` and ``below`` (relief, 1), ``records`` (count), ``apart`` (days).

    Raises:
        BadInput: no such rule.
    """
    known = list(dict.fromkeys(table("loss_rules").column("rule")))
    if name not in known:
        raise BadInput("rule", "there is no such rule of loss", got=name, allowed=", ".join(known), hint=nearest(name, known))
    return {row["quantity"]: float(row["value"]) for row in table("loss_rules") if row["rule"] == name}


@dataclass(frozen=True)
class Alert:
    """Whether the effect was lost.

    Attributes:
        state: ``lost``; ``watch`` (low, not for long enough); ``kept``; ``never reached``; ``unknown``, without records.
        since: first record of the loss.
        words: what was seen and what the rule says.
        checklist: steps of salvage; empty unless lost.
        rule, evidence: its name, and how sure its limits are.
    """

    state: Literal["lost", "watch", "kept", "never reached", "unknown"]
    since: date | None
    words: str
    checklist: tuple[Salvage, ...]
    rule: str
    evidence: str


def loss_of_effect(series: Sequence[Seen], baseline: float | None = None, *, by: str = "lost-30", done: Mapping[str, Step] | None = None) -> Alert:
    """The records against a rule of loss.

    Args:
        series: records in any order.
        baseline: pain before stimulation, NRS above 0 to 10; needed where a record has pain alone.
        by: name of the rule.
        done: steps of salvage so far.

    Raises:
        BadInput: no such rule, two records of one day, or pain without a baseline.
    """
    limits = loss_rule(by)
    evidence = "judgement" if any(row["evidence"] in UNVERIFIED for row in table("loss_rules") if row["rule"] == by) else "read"
    records = [(one.on, value) for one in sorted(series, key=lambda one: one.on) if (value := _relief(one, baseline)) is not None]
    days = [on for on, _ in records]
    if len(set(days)) < len(days):
        raise BadInput("series", "two records of one day", got=str(next(on for on in days if days.count(on) > 1)), hint="keep one")
    said = (f"rule {by} ({evidence}): {limits['records']:.0f} records one after the other, {limits['apart']:.0f} days or more apart, under "
            f"{100 * limits['below']:.0f} % relief after {100 * limits['had']:.0f} % was reached")

    def alert(state: Literal["lost", "watch", "kept", "never reached", "unknown"], since: date | None, words: str) -> Alert:
        return Alert(state, since, f"{words}; {said}", salvage_checklist(done) if state == "lost" else (), by, evidence)

    if not records:
        return alert("unknown", None, "no record of relief")
    reached = next((k for k, (_, value) in enumerate(records) if value >= limits["had"] - _SAME), None)
    if reached is None:
        return alert("never reached", None, "the relief that could be lost is not on record: this is no loss, the effect did not come")
    low: list[date] = []
    for on, value in reversed(records[reached + 1 :]):
        if value >= limits["below"] - _SAME:
            break
        low.insert(0, on)
    if not low:
        return alert("kept", None, f"last record {100 * records[-1][1]:.0f} % relief on {days[-1]}")
    if len(low) >= limits["records"] and (low[-1] - low[0]).days >= limits["apart"]:
        return alert("lost", low[0], f"relief is low since {low[0]}, {len(low)} records to {low[-1]}: go through the checklist before an explant")
    return alert("watch", low[0], f"relief is low since {low[0]}, {len(low)} record{'s' if len(low) > 1 else ''}: see the patient again")


def _relief(one: Seen, baseline: float | None) -> float | None:
    if one.relief is not None or one.nrs is None:
        return one.relief
    if baseline is None or not 0 < baseline <= 10:
        raise BadInput("baseline", "pain cannot be made relief without it", got=baseline, allowed="NRS above 0, up to 10")
    return float(ql.relief(baseline, one.nrs))


# follow-up

@dataclass(frozen=True)
class Visit:
    """A visit after implantation.

    Attributes:
        visit, name: key and words.
        opens, closes: first and last day on which it is due; after that it is overdue.
        state: done, due, overdue or later.
        done: day on which it was.
    """

    visit: str
    name: str
    opens: date
    closes: date
    state: Literal["done", "due", "overdue", "later"]
    done: date | None


def due(implanted: date, done: Mapping[str, date], today: date, *, schedule: str = "routine", until: date | None = None) -> tuple[Visit, ...]:
    """The visits of a schedule and where each stands.

    Args:
        implanted: day of implantation.
        done: visit to day.
        today: day of the question.
        schedule: of data/follow_up.csv.
        until: day of the explant, or of the death; from that day on only visits that were kept are left: nothing is asked for any more.

    Raises:
        BadInput: no such schedule or visit, or a visit before implantation or after today.
    """
    names = list(dict.fromkeys(table("follow_up").column("schedule")))
    if schedule not in names:
        raise BadInput("schedule", "there is no such schedule", got=schedule, allowed=", ".join(names), hint=nearest(schedule, names))
    plan = [place for row in table("follow_up") if row["schedule"] == schedule for place in _places(row, implanted, done, today)]
    known = [visit for visit, *_ in plan]
    for visit, on in done.items():
        if visit not in known:
            raise BadInput("done", "there is no such visit in the schedule", got=visit, allowed=", ".join(known), hint=nearest(visit, known))
        if not implanted <= on <= today:
            raise BadInput(f"done.{visit}", "before implantation or after today", got=str(on), allowed=f"{implanted} to {today}")
    found = []
    for visit, name, opens, closes in plan:
        if until is not None and visit not in done and (opens > until or until <= today):
            continue
        state: Literal["done", "due", "overdue", "later"] = (
            "done" if visit in done else "later" if today < opens else "due" if today <= closes else "overdue")
        found.append(Visit(visit, name, opens, closes, state, done.get(visit)))
    return tuple(found)


def _places(row: Mapping[str, str], implanted: date, done: Mapping[str, date], today: date) -> list[tuple[str, str, date, date]]:
    """(visit, name, opens, closes) of a row; one that repeats goes on to the first that opens after today, or after the last one done."""
    def at(text: str, months: int = 0) -> date:
        count = int(text)
        if row["unit"] == "months":
            return later(implanted, count + months)
        return implanted + timedelta(days=count * (7 if row["unit"] == "weeks" else 1))

    grace = timedelta(days=int(row["grace"]))
    found = [(row["visit"], row["name"], at(row["from"]), at(row["to"]) + grace)]
    if row["every"]:
        step, k = int(row["every"]), 1
        last = max([today, *(on for on in done.values())])
        while found[-1][2] <= last:
            year = (int(row["from"]) + k * step) // 12
            found.append((f"year-{year}", f"{year} years", at(row["from"], k * step), at(row["to"], k * step) + grace))
            k += 1
    return found


def later(day: date, months: int) -> date:
    """The same day so many months on, or the last day of that month."""
    years, month = divmod(day.month - 1 + months, 12)
    return date(day.year + years, month + 1, min(day.day, calendar.monthrange(day.year + years, month + 1)[1]))
