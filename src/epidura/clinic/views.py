"""The clinic at a glance: who is where, who is late, how people do, beside published rates; and tables for a spreadsheet.

    overview(record, date.today()).late
    trends(record, patient)["nrs"]
    export(record, "tables", "csv")

Everything is computed from the states that the events add up to. Where fewer than ten people are counted no percentage is given
(``smallest group`` of data/clinic_benchmarks.csv); published rates beside them are of other people and never a verdict on the clinic.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.special import stdtrit

from epidura import quality_of_life as ql
from epidura.clinic import complications, verdict
from epidura.clinic.complications import wilson
from epidura.clinic.pathway import STAGES, State
from epidura.clinic.record import Record, pseudonym
from epidura.errors import BadInput
from epidura.stages import kaplan_meier
from epidura.tables import UNVERIFIED, table

MONTHS = (1, 3, 6, 12)
"""Visits whose outcomes are shown."""
YEAR = 365.25
ALARMS = ("visit overdue", "trial too long", "diary missing", "decision waiting", "effect lost", "recall open")


@cache
def benchmark(quantity: str) -> int:
    """A number of data/clinic_benchmarks.csv."""
    return int(table("clinic_benchmarks").row(quantity=quantity)["value"])


# what is shown

@dataclass(frozen=True)
class Share:
    """k of n; ``percent`` and its 95 % interval after Wilson are None where too few are counted."""

    k: int
    n: int
    percent: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, k: int, n: int) -> Share:
        if n < benchmark("smallest group"):
            return cls(k, n, None, None, None)
        low, high = wilson(k, n)
        return cls(k, n, 100 * k / n, 100 * low, 100 * high)

    def __str__(self) -> str:
        if self.percent is None:
            return f"{self.k} of {self.n} (too few for a percentage)"
        return f"{self.percent:.0f} % ({self.low:.0f} to {self.high:.0f} %), {self.k} of {self.n}"


@dataclass(frozen=True)
class Published:
    """A published figure beside the clinic's own; None where it was not read. ``words`` say of whom and how sure."""

    value: float | None
    low: float | None
    high: float | None
    n: int | None
    name: str
    words: str
    source: str
    unverified: bool


@dataclass(frozen=True)
class Late:
    """Something that waits for somebody.

    Attributes:
        patient, pseudonym: who.
        alarm: of ``ALARMS``.
        words: what.
        since: day (ISO); days: so long ago.
    """

    patient: str
    pseudonym: str
    alarm: str
    words: str
    since: str
    days: int


@dataclass(frozen=True)
class Due:
    """A visit whose days have come: from ``opens`` to ``closes`` (ISO)."""

    patient: str
    pseudonym: str
    visit: str
    opens: str
    closes: str


@dataclass(frozen=True)
class Outcome:
    """Pain at a visit.

    Attributes:
        months: after the implant.
        expected: implanted people whose visit is over by now, explanted ones included.
        seen: of them, whose pain at that visit is on record.
        responder50, responder30: of those seen.
        responder50_of_all: of all expected; who was not seen, or has no stimulator any more, counts as no responder.
        change, change_low, change_high: mean of NRS then less NRS before, and its 95 % interval (Student); None if too few.
        published: figures of the same month.
    """

    months: int
    expected: int
    seen: int
    responder50: Share
    responder30: Share
    responder50_of_all: Share
    change: float | None
    change_low: float | None
    change_high: float | None
    published: tuple[Published, ...]


@dataclass(frozen=True)
class Point:
    """A quarter of a run chart: events among people whose procedure was in it. ``open``: some were observed for less than the full time."""

    quarter: str
    k: int
    n: int
    value: float
    open: bool


@dataclass(frozen=True)
class RunChart:
    """Values quarter by quarter.

    Attributes:
        unit: ``%``, or ``count`` where a quarter has too few people for a percentage.
        median: of the points.
        signals: what the rules of run charts see; empty if nothing.
        words: how to read it.
    """

    points: tuple[Point, ...]
    unit: Literal["%", "count"]
    median: float | None
    signals: tuple[str, ...]
    words: str


@dataclass(frozen=True)
class Survival:
    """Share of the implanted who still have the system, %, after Kaplan and Meier.

    Attributes:
        n, explants: people, and systems taken out.
        months, share: of the steps.
        at: month, share, 95 % interval (Greenwood, log-log) and number at risk; no share where too few are at risk.
        reasons: reason to systems taken out.
        published: explant-free shares or cumulative explants.
    """

    n: int
    explants: int
    months: tuple[float, ...]
    share: tuple[float, ...]
    at: tuple[dict[str, float | int | None], ...]
    reasons: dict[str, int]
    published: tuple[Published, ...]


@dataclass(frozen=True)
class Kind:
    """A kind of complication: people who had it, of those who were implanted, beside a published rate if there is one."""

    kind: str
    share: Share
    events: int
    published: Published | None
    words: tuple[str, ...]


@dataclass(frozen=True)
class Overview:
    """A clinic on a day."""

    today: str
    patients: int
    stages: dict[str, int]
    died: int
    erased: int
    late: tuple[Late, ...]
    due: tuple[Due, ...]
    trial_to_implant: Share
    trials_waiting: int
    trial_published: tuple[Published, ...]
    outcomes: tuple[Outcome, ...]
    infection: Share
    infection_published: tuple[Published, ...]
    infection_words: tuple[str, ...]
    run_chart: RunChart
    explants: Survival
    complications: tuple[Kind, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


# one patient

@dataclass(frozen=True)
class _One:
    """What the overview asks of a state."""

    id: str
    state: State
    baseline: float | None
    implanted: date | None
    explant: date | None
    reason: str
    last: date

    @classmethod
    def of(cls, patient: str, state: State, today: date) -> _One:
        trial = state.get("trial") or {}
        baseline = trial.get("baseline_nrs") or state.get("referral_nrs")
        implanted = date.fromisoformat(state["implanted"]) if state.get("implanted") else None
        gone = state.get("explant") or {}
        out = date.fromisoformat(gone["on"]) if gone.get("after") == "implant" else None
        if out is not None and implanted is not None and out < implanted:  # of an earlier system
            out = None
        last = min([today, *(date.fromisoformat(state[end]) for end in ("died",) if state.get(end))])
        return cls(patient, state, baseline, implanted, out, str(gone.get("reason", "")) if out else "", last)

    def nrs_at(self, visit: str) -> float | None:
        return next((each["nrs"] for each in self.state.get("visits", {}).get(visit, ()) if each.get("nrs") is not None), None)

    def seen(self) -> Iterator[tuple[date, dict[str, Any]]]:
        for visits in self.state.get("visits", {}).values():
            for each in visits:
                yield date.fromisoformat(each["on"]), each


def overview(record: Record, today: date) -> Overview:
    """The clinic on a day."""
    return summarise(record.states(), today)


def summarise(states: Iterable[tuple[str, State]], today: date) -> Overview:
    """The clinic on a day, from (patient, state)."""
    people = [_One.of(patient, state, today) for patient, state in states]
    implanted = [one for one in people if one.implanted is not None]
    late: list[Late] = []
    due: list[Due] = []
    closed: dict[str, list[_One]] = {f"month-{month}": [] for month in MONTHS}
    for one in people:
        _visits(one, today, late, due, closed)
        _alarms(one, today, late)
    ratio, waiting = _ratio(people)
    infection, told, words = _infection(implanted, today)
    return Overview(
        today.isoformat(), len(people), _by_stage(people), sum(bool(one.state.get("died")) for one in people),
        sum(bool(one.state.get("erased")) for one in people),
        tuple(sorted(late, key=lambda each: (ALARMS.index(each.alarm), -each.days, each.pseudonym))),
        tuple(sorted(due, key=lambda each: (each.closes, each.pseudonym))), ratio, waiting, _trial_published(),
        tuple(_outcome(month, closed[f"month-{month}"]) for month in MONTHS), infection, told, words, _chart(implanted, today),
        _survival(implanted), _kinds(people, implanted), _notes(people))


def _by_stage(people: Sequence[_One]) -> dict[str, int]:
    counts = Counter(one.state["stage"] for one in people)
    return {stage: counts[stage] for stage in STAGES if counts[stage]}


def _notes(people: Sequence[_One]) -> tuple[str, ...]:
    few = benchmark("smallest group")
    said = [f"no percentage is given where fewer than {few} people are counted",
            "published rates are of other people, other criteria and other times; they are no limits and no verdict on a clinic",
            "a patient who was referred again counts with the latest course"]
    again = sum(one.state.get("generators", 0) > 0 and one.implanted is None for one in people)
    return (*said, *([f"{again} systems are on record without the day of their implant"] if again else []))


# who is late

def _visits(one: _One, today: date, late: list[Late], due: list[Due], closed: dict[str, list[_One]]) -> None:
    if one.implanted is None or one.implanted > today:
        return
    done: dict[str, date] = {}
    for name, visits in one.state.get("visits", {}).items():
        on = min(date.fromisoformat(each["on"]) for each in visits)
        if name != "unplanned" and one.implanted <= on <= today:
            done[name] = on
    plan = verdict.due(one.implanted, {name: on for name, on in done.items() if _routine(name)}, today)
    # an explant ends the schedule for good, whatever stage the pathway is at by now: who was referred again waits for another implant
    stopped = one.state["stage"] == "explanted" or one.explant is not None or one.state.get("died") or one.state.get("erased")
    missed: list[verdict.Visit] = []
    for visit in plan:
        if visit.visit in closed and (visit.state in ("done", "overdue")) and (one.last >= visit.closes or visit.state == "done"):
            closed[visit.visit].append(one)
        if stopped or visit.state not in ("due", "overdue"):
            continue
        if visit.state == "due":
            due.append(Due(one.id, pseudonym(one.id), visit.name, visit.opens.isoformat(), visit.closes.isoformat()))
        else:
            missed.append(visit)
    # a visit that was missed is late until a later one was kept
    kept = max(done.values(), default=date.min)
    for visit in missed[-1:]:
        if visit.closes > kept:
            late.append(_late(one, "visit overdue", f"{visit.name}, until {visit.closes}", visit.closes, today))


@cache
def _routine(visit: str) -> bool:
    """Whether it is a visit of the schedule ``routine``."""
    return visit in {row["visit"] for row in table("follow_up") if row["schedule"] == "routine"} or bool(re.fullmatch(r"year-([2-9]|[1-9]\d)", visit))


def _late(one: _One, alarm: str, words: str, since: date, today: date) -> Late:
    return Late(one.id, pseudonym(one.id), alarm, words, since.isoformat(), (today - since).days)


def _alarms(one: _One, today: date, late: list[Late]) -> None:
    state = one.state
    if state.get("died") or state.get("erased"):
        return
    if state["stage"] == "trial running":
        planned = date.fromisoformat(state["trial"]["begun"]) + timedelta(days=int(state["trial"].get("days", 7)))
        if today > planned:
            late.append(_late(one, "trial too long", f"planned for {state['trial'].get('days', 7)} days, to {planned}", planned, today))
        told = max(state["trial"]["begun"], state.get("diary", {}).get("last", ""))
        if (today - date.fromisoformat(told)).days > benchmark("diary, days without an entry"):
            late.append(_late(one, "diary missing", f"no day of the diary after {told}", date.fromisoformat(told), today))
    if state["stage"] == "trial ended" and (ended := date.fromisoformat(state["trial"]["ended"])) < today:
        late.append(_late(one, "decision waiting", f"the trial ended on {ended} and was not judged", ended, today))
    if one.implanted is not None and one.explant is None and state["stage"] != "explanted":
        alert = _lost(one)
        if alert is not None and alert.since is not None:
            left = [each.name for each in alert.checklist if each.done is None]
            late.append(_late(one, "effect lost", f"low relief since {alert.since}; " + (
                f"before an explant: {', '.join(left)}" if left else "every step of the salvage was tried"), alert.since, today))
    for each in state.get("recalls", {}).values():
        if each["state"] == "affected":
            late.append(_late(one, "recall open", f"{each['notice']}: {each['part']}", date.fromisoformat(each["on"]), today))


def _lost(one: _One) -> verdict.Alert | None:
    """The alert, if the effect was lost."""
    if not one.baseline:
        return None
    pain: dict[date, float] = {}
    for on, each in one.seen():
        if each.get("nrs") is not None and one.implanted is not None and on >= one.implanted:
            pain[on] = each["nrs"]
    if len(pain) < 2 or (one.baseline - pain[max(pain)]) / one.baseline >= _low():  # the last record is not low: nothing is lost now
        return None
    done = {name: verdict.Step.model_construct(**step) for name, step in one.state.get("salvage", {}).items()}
    alert = verdict.loss_of_effect([verdict.Seen(on=on, nrs=nrs) for on, nrs in pain.items()], one.baseline, done=done)
    return alert if alert.state == "lost" else None


@cache
def _low() -> float:
    return verdict.loss_rule()["below"]


# trial to implant

def _ratio(people: Sequence[_One]) -> tuple[Share, int]:
    tried = [one for one in people if one.state.get("trial", {}).get("begun")]
    over = [one for one in tried if one.state["stage"] not in ("provisional implant", "trial running", "trial ended", "trial succeeded")]
    waiting = sum(one.state["stage"] == "trial succeeded" for one in tried)
    return Share.of(sum(one.implanted is not None for one in over), len(over)), waiting


@cache
def _trial_published() -> tuple[Published, ...]:
    found = []
    for row in table("clinic_benchmarks"):
        if row["quantity"] != "trial-to-implant ratio":
            continue
        k, n = (int(row[name]) if row[name] else None for name in ("k", "n"))
        value, low, high = (float(row[name]) if row[name] else None for name in ("value", "low", "high"))
        if k is not None and n:
            value = 100 * k / n
            low, high = (100 * end for end in wilson(k, n))
        found.append(Published(value, low, high, n, row["name"], row["note"], row["source"], row["evidence"] in UNVERIFIED))
    return tuple(found)


# outcomes

def _outcome(month: int, people: Sequence[_One]) -> Outcome:
    before, then = [], []
    for one in people:
        nrs = one.nrs_at(f"month-{month}")
        if nrs is not None and one.baseline:
            before.append(one.baseline)
            then.append(nrs)
    a, b = np.array(before), np.array(then)
    half, third = (int(ql.responder(a, b, share).sum()) if len(a) else 0 for share in (0.5, 0.3))
    change, low, high = None, None, None
    if len(a) >= benchmark("smallest group"):
        gained = b - a
        change = float(gained.mean())
        error = float(stdtrit(len(a) - 1, 0.975) * gained.std(ddof=1) / np.sqrt(len(a)))
        low, high = change - error, change + error
    return Outcome(month, len(people), len(a), Share.of(half, len(a)), Share.of(third, len(a)), Share.of(half, len(people)), change, low, high,
                   _outcomes_published(month))


@cache
def _outcomes_published(month: int) -> tuple[Published, ...]:
    """Arms with stimulation of the trials that the outcome model is fitted to or checked against."""
    arms = {(row["trial"], row["arm"]): row["therapy"] for row in table("trial_arms")}
    found = []
    for row in table("trials"):
        stimulated = arms.get((row["trial"], row["arm"]), "usual-care") not in ("usual-care", "sham")
        if not stimulated or row["measure"] not in ("responder50", "responder30", "change") or float(row["months"] or -1) != month:
            continue
        value, low, high = (float(row[name]) if row[name] else None for name in ("value", "low", "high"))
        unit = "NRS" if row["measure"] == "change" else "%"
        said = ", ".join(one for one in (row["measure"], unit, row["site"], row["population"]) if one)
        found.append(Published(value, low, high, int(float(row["n"])) if row["n"] else None, f"{row['trial']}, {row['arm']}", said, row["source"],
                               row["evidence"] in UNVERIFIED))
    return tuple(found)


# complications

def _had(one: _One, kind: str) -> list[date]:
    """Days on which a kind began."""
    return sorted(date.fromisoformat(each["onset"]) for each in one.state.get("complications", {}).values() if each["kind"] == kind)


def _infected(one: _One) -> bool:
    """In the first year after the implant."""
    return one.implanted is not None and any(0 <= (on - one.implanted).days <= YEAR for on in _had(one, "infection"))


def _infection(implanted: Sequence[_One], today: date) -> tuple[Share, tuple[Published, ...], tuple[str, ...]]:
    whole = [one for one in implanted if one.implanted and (today - one.implanted).days >= YEAR]
    k, n = sum(_infected(one) for one in whole), len(whole)
    rows = complications.published(kind="infection", stage="implant")
    said = ["of people implanted a year ago or more, infections within that year"]
    if n:
        row = next(each for each in rows if each.k is not None)
        said += complications.beside(k, n, row).words[:1] if n >= benchmark("smallest group") else []
    return Share.of(k, n), tuple(_rate(row) for row in rows), tuple(said)


def _rate(row: complications.Rate) -> Published:
    words = ", ".join(one for one in (row.definition, row.interval, row.horizon, row.note) if one)
    return Published(row.rate, row.low, row.high, row.n, row.event, words, row.source, row.unverified)


def _quarter(day: date) -> str:
    return f"{day.year} Q{(day.month + 2) // 3}"


def _chart(implanted: Sequence[_One], today: date) -> RunChart:
    """Infections of the first year by the quarter of the implant."""
    quarters: dict[str, list[_One]] = {}
    for one in implanted:
        quarters.setdefault(_quarter(one.implanted or today), []).append(one)
    if not quarters:
        return RunChart((), "count", None, (), "nobody was implanted")
    names = []
    first = min(one.implanted for one in implanted if one.implanted)
    year, k = first.year, (first.month + 2) // 3
    while (year, k) <= (today.year, (today.month + 2) // 3):
        names.append(f"{year} Q{k}")
        year, k = (year, k + 1) if k < 4 else (year + 1, 1)
    enough = all(len(quarters.get(name, ())) >= benchmark("smallest group") for name in names)
    points = []
    for name in names:
        among = quarters.get(name, [])
        hit = sum(_infected(one) for one in among)
        fresh = name == _quarter(today) or any(one.implanted and (today - one.implanted).days < YEAR for one in among)
        points.append(Point(name, hit, len(among), 100 * hit / len(among) if enough else float(hit), fresh))
    return run_chart(points, "%" if enough else "count")


def run_chart(points: Sequence[Point], unit: Literal["%", "count"]) -> RunChart:
    """Points with their median and what the rules of Perla 2011 see: a shift (so many points on one side of the median, those on it passed
    over) and a trend (so many points that go one way, a value like the one before passed over)."""
    values = [point.value for point in points]
    median = float(np.median(values)) if values else None
    least = benchmark("run chart, least points")
    row = table("clinic_benchmarks").row(quantity="run chart, shift")
    source = f"{row['source']} ({row['doi_or_url']})"
    words = "infections within a year of the implant, by the quarter of the implant; hollow points are not a year old yet"
    if unit == "count":
        words += f"; counts, since a quarter has fewer than {benchmark('smallest group')} people"
    if median is None or len(values) < least:
        return RunChart(tuple(points), unit, median, (), f"{words}; fewer than {least} points: the rules of run charts are not used")
    signals = []
    sides = [value > median for value in values if value != median]
    if (run := _longest(sides)) >= benchmark("run chart, shift"):
        signals.append(f"shift: {run} points one after the other on one side of the median")
    moved = [value for k, value in enumerate(values) if k == 0 or value != values[k - 1]]
    steps = [later > earlier for earlier, later in pairwise(moved)]
    if steps and (run := _longest(steps) + 1) >= benchmark("run chart, trend"):
        signals.append(f"trend: {run} points one after the other that go one way")
    return RunChart(tuple(points), unit, median, tuple(signals), f"{words}; rules of {source}: " + (
        "look into it" if signals else "neither a shift nor a trend"))


def _longest(flags: Sequence[bool]) -> int:
    """Length of the longest run of equal flags."""
    best = run = 0
    for k, flag in enumerate(flags):
        run = run + 1 if k and flag == flags[k - 1] else 1
        best = max(best, run)
    return best


_COMPARED = {"migration": "West 2023", "pocket-pain": "Baranidharan", "fracture": "ASRA News 2019", "haematoma": "Petraglia",
             "dural-puncture": "Eldabe", "seroma": "reviews"}
"""Kind of complication to the source of the published row it is shown beside."""


def _kinds(people: Sequence[_One], implanted: Sequence[_One]) -> tuple[Kind, ...]:
    names = list(dict.fromkeys(each["kind"] for one in people for each in one.state.get("complications", {}).values()))
    found = []
    for name in sorted(names):
        events = sum(each["kind"] == name for one in people for each in one.state.get("complications", {}).values())
        k = sum(any(on >= one.implanted for on in _had(one, name)) for one in implanted if one.implanted)
        rows = complications.published(kind=name, source=_COMPARED[name]) if name in _COMPARED else ()
        beside = None if not rows or len(implanted) < benchmark("smallest group") else complications.beside(k, len(implanted), rows[0])
        found.append(Kind(name, Share.of(k, len(implanted)), events, _rate(rows[0]) if rows else None, beside.words[:1] if beside else ()))
    return tuple(found)


# explants

def _survival(implanted: Sequence[_One]) -> Survival:
    shown = tuple(_rate(row) for row in complications.rates() if row.event.startswith("explant"))
    if not implanted:
        return Survival(0, 0, (), (), (), {}, shown)
    out, seen = [], []
    for one in implanted:
        assert one.implanted is not None
        until = (one.last - one.implanted).days * 12 / YEAR
        gone = (one.explant - one.implanted).days * 12 / YEAR if one.explant else float("nan")
        out.append(gone)
        seen.append(max(until, gone if one.explant else 0.0, 0.0))
    times, share = kaplan_meier(out, seen)
    reasons = Counter(one.reason for one in implanted if one.explant)
    return Survival(len(implanted), int(np.isfinite(out).sum()), tuple(np.round(times, 2).tolist()), tuple(np.round(100 * share, 2).tolist()),
                    tuple(at_month(month, np.array(out), np.array(seen)) for month in (12, 24, 36, 60)), dict(sorted(reasons.items())), shown)


def at_month(month: float, event: Any, observed: Any) -> dict[str, float | int | None]:
    """Share in % without an event at a month with its 95 % interval (Greenwood, on the log-log scale), and how many are at risk.

    Args:
        month: at which.
        event: (n,) months of events, NaN where none was.
        observed: (n,) months until which each was observed.
    """
    at = np.where(np.isfinite(event) & (event <= observed), event, np.inf)
    left = np.minimum(at, observed)
    risk = int((left >= month).sum())
    if risk < benchmark("smallest group"):
        return {"month": month, "share": None, "low": None, "high": None, "at_risk": risk}
    share, variance = 1.0, 0.0
    for when in np.unique(at[at <= month]):
        n, d = int((left >= when).sum()), int((at == when).sum())
        share *= 1 - d / n
        variance += d / (n * (n - d)) if n > d else 0.0
    if share in (0.0, 1.0):
        return {"month": month, "share": 100 * share, "low": None, "high": None, "at_risk": risk}
    spread = 1.959964 * np.sqrt(variance) / abs(np.log(share))
    return {"month": month, "share": 100 * share, "low": float(100 * share ** np.exp(spread)), "high": float(100 * share ** np.exp(-spread)),
            "at_risk": risk}


# one patient over time

def told(record: Record, patient: str, unsealed: bool = False) -> list[dict[str, Any]]:
    """A patient's events that count: a corrected one as it was corrected, none that was struck out.

    Args:
        unsealed: with what is kept under the patient's key.

    Returns:
        Mappings with ``version, kind, on, recorded, actor`` and ``body``.
    """
    whole = record.timeline(patient, unsealed=unsealed)
    instead = {each["body"]["version"]: each["body"].get("instead", each["body"].get("open")) for each in whole if each["kind"] == "record.corrected"}
    found = []
    for each in whole:
        if each["kind"] == "record.corrected":
            continue
        body = instead.get(each["version"], each["body"])
        if body is None:
            continue
        kept = {name: value for name, value in body.items() if name not in ("on", "sealed")}
        found.append({**{name: each[name] for name in ("version", "kind", "recorded", "actor")}, "on": body.get("on", each["on"]), "body": kept})
    return found


def trends(record: Record, patient: str) -> dict[str, list[dict[str, Any]]]:
    """Series over time, each a list of ``on`` (ISO), ``value`` and ``from``: NRS, relief (reported and calculated, 1), EQ-5D index, and the
    first score of every instrument that was answered, such as ``odi``.

    Raises:
        Unknown: no such patient.
    """
    state = record.state(patient)
    baseline = (state.get("trial") or {}).get("baseline_nrs") or state.get("referral_nrs")
    series: dict[str, list[dict[str, Any]]] = {"nrs": [], "relief": [], "relief calculated": [], "eq5d": []}

    def add(name: str, on: str, value: float | None, source: str) -> None:
        if value is not None:
            series.setdefault(name, []).append({"on": on, "value": value, "from": source})

    for day in record.diary(patient):
        add("nrs", day["day"], day["average"], "diary")
    for each in told(record, patient):
        body = each["body"]
        if each["kind"] == "referral.received":
            add("nrs", each["on"], body.get("nrs"), "referral")
        elif each["kind"] == "visit.recorded":
            add("nrs", each["on"], body.get("nrs"), body["visit"])
            add("relief", each["on"], body.get("reported_relief"), body["visit"])
            add("eq5d", each["on"], body.get("index"), body["visit"])
            if body.get("nrs") is not None and baseline:
                add("relief calculated", each["on"], round(float(ql.relief(baseline, body["nrs"])), 4), body["visit"])
        elif each["kind"] == "trial.ended":
            add("relief", each["on"], body.get("reported_relief"), "trial")
            add("eq5d", each["on"], body.get("index_during"), "trial")
        elif each["kind"] == "trial.begun":
            add("eq5d", each["on"], body.get("index_before"), "before the trial")
        elif each["kind"] == "instrument.answered":
            kind, scores = body["instrument"]["kind"], body.get("score", {})
            first = "index" if kind == "eq-5d-5l" else next(iter(scores), "")
            name = "eq5d" if kind == "eq-5d-5l" else kind
            if not any(one["on"] == each["on"] for one in series.get(name, ())):
                add(name, each["on"], scores.get(first), body.get("moment", "baseline"))
    return {name: sorted(values, key=lambda one: one["on"]) for name, values in series.items()}


# tables

Rows = list[dict[str, Any]]


def tables(record: Record) -> dict[str, Rows]:
    """Tables of the record without names and without any sealed part: ``patients, events, diary, visits, complications, devices``.

    Serial numbers are in ``devices`` and open words, such as the description of a complication, in ``events``: for use within the clinic.
    ``research.export`` is for others.
    """
    found: dict[str, Rows] = {name: [] for name in ("patients", "events", "diary", "visits", "complications", "devices")}
    for patient, state in record.states():
        who = {"patient": patient, "pseudonym": pseudonym(patient)}
        dates = state.get("dates", {})
        found["patients"].append({
            **who, "stage": state["stage"], "since": state.get("since"), "indication": state.get("indication"), "sex": state.get("sex"),
            "birth_year": state.get("birth_year"), "referred": dates.get("referred"), "referral_nrs": state.get("referral_nrs"),
            "trial_begun": (state.get("trial") or {}).get("begun"), "trial_succeeded": (state.get("trial") or {}).get("succeeded"),
            "baseline_nrs": (state.get("trial") or {}).get("baseline_nrs"), "implanted": state.get("implanted"),
            "explanted": (state.get("explant") or {}).get("on"), "explant_reason": (state.get("explant") or {}).get("reason"),
            "revisions": state.get("revisions", 0), "died": state.get("died"), "erased": state.get("erased")})
        for visit, seen in state.get("visits", {}).items():
            found["visits"] += [{**who, "visit": visit, **{name: each.get(name) for name in ("on", "nrs", "reported_relief", "index", "battery")}}
                                for each in seen]
        for name, each in state.get("complications", {}).items():
            found["complications"].append({**who, "name": name, **{key: each.get(key) for key in (
                "kind", "subkind", "stage", "onset", "reported", "severity", "device", "procedure", "anticipated", "deficiency", "outcome", "ended")},
                "criteria": " ".join(each.get("criteria") or ())})
        parts = [*state.get("leads", {}).items(), *([("generator", state["generator"])] if state.get("generator") else [])]
        for name, each in parts:
            found["devices"].append({**who, "part": name, "type": "generator" if name == "generator" else "lead", "implanted": each.get("on"),
                                     "removed": each.get("out"), **{key: each.get(key) for key in (
                                         "model", "manufacturer", "serial", "lot", "udi", "level", "side", "site", "rechargeable")}})
        found["diary"] += [{**who, **{name: day[name] for name in (
            "day", "worst", "average", "least", "sleep", "activity", "medication", "stimulation_hours", "slot")},
            "tingling": " ".join(day["tingling"])} for day in record.diary(patient)]
        found["events"] += [{**who, **{name: each[name] for name in ("version", "kind", "on", "recorded", "actor")},
                             "body": json.dumps(each["body"], ensure_ascii=False, sort_keys=True)} for each in told(record, patient)]
    return found


def export(record: Record, folder: str | Path, format: Literal["csv", "parquet"] = "csv") -> dict[str, Path]:
    """Write ``tables`` to a new or empty folder; name to file.

    Raises:
        BadInput: another format, a folder with something in it, or Parquet without pyarrow.
    """
    return write_tables(tables(record), folder, format)


def write_tables(found: Mapping[str, Rows], folder: str | Path, format: str) -> dict[str, Path]:
    """Write each table to a file of its own; an empty one has no columns."""
    if format not in ("csv", "parquet"):
        raise BadInput("format", "no such format", got=format, allowed="csv, parquet")
    if format == "parquet":
        _arrow()
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BadInput(str(folder), "there is something here already", allowed="a new or empty folder")
    target.mkdir(parents=True, exist_ok=True)
    written = {}
    for name, rows in found.items():
        path = target / f"{name}.{format}"
        part = path.with_name(f".{path.name}.part")
        if format == "csv":
            with part.open("w", newline="", encoding="utf-8") as file:
                sheet = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator="\n")
                sheet.writeheader()
                sheet.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
        else:
            pyarrow = _arrow()
            import pyarrow.parquet as parquet

            columns = {key: [row[key] for row in rows] for key in (rows[0] if rows else {})}
            parquet.write_table(pyarrow.table({key: pyarrow.array(values) for key, values in columns.items()}), part)
        part.replace(path)
        written[name] = path
    return written


def _cell(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula gets an apostrophe in front."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value


def _arrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise BadInput("format", "Parquet needs pyarrow", hint="pip install 'epidura[cohort]', or take csv") from None
    return pyarrow
