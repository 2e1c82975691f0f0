"""Complications, what they led to, published rates beside a clinic's own, and recalls of devices.

    Complication(kind="infection", subkind="deep", ...).classification()
    beside(3, 120, rate("infection (all SSI)", source="Hoelzer"))
    affected(devices, recalls)

Kinds, severities and the criteria of a serious event are data: data/complications.csv, data/severities.csv, data/seriousness.csv. Published rates
are data/safety_rates.csv.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Literal

from pydantic import Field, field_validator, model_validator

from epidura import stages
from epidura.errors import BadCase, BadInput, nearest
from epidura.recipe import Recipe
from epidura.tables import UNVERIFIED, table

Relation = Literal["not related", "possible", "probable", "causal", "not assessed"]
Outcome = Literal["recovered", "recovering", "not recovered", "recovered with sequelae", "fatal", "unknown"]


# what happened

@dataclass(frozen=True)
class Kind:
    """A row of data/complications.csv."""

    kind: str
    subkind: str
    name: str
    definition: str
    usual_actions: str
    consent: bool
    evidence: str
    source: str
    doi_or_url: str


@cache
def kinds() -> tuple[Kind, ...]:
    """All kinds with their subkinds."""
    return tuple(Kind(row["kind"], row["subkind"], row["name"], row["definition"], row["usual_actions"], row["consent"] == "yes", row["evidence"],
                      row["source"], row["doi_or_url"]) for row in table("complications"))


def _subkinds(kind: str) -> list[str]:
    return [one.subkind for one in kinds() if one.kind == kind]


class Action(Recipe):
    """Something that was done about a complication, and when."""

    on: date
    what: str = Field(min_length=1)


class Complication(Recipe):
    """An event that was not wanted.

    Attributes:
        kind, subkind: of data/complications.csv; no subkind while it is not known.
        stage: trial, implant or after it.
        onset, reported: days.
        description: in words; needed for ``other``.
        severity: how strong it is, of data/severities.csv; not the same as serious.
        criteria: what it led to, of data/seriousness.csv; an empty list if asked and none, left out if not assessed.
        device, procedure: relation to each.
        anticipated: whether the consent named it or the protocol lists it.
        deficiency: whether a device was found wanting.
        devices: serial numbers.
        actions: in order of time.
        outcome: and the day on which it was so.
        ended: day.
    """

    kind: str
    subkind: str = ""
    stage: Literal["trial", "implant", "follow-up"]
    onset: date
    reported: date | None = None
    description: str = ""
    severity: str | None = None
    criteria: tuple[str, ...] | None = None
    device: Relation = "not assessed"
    procedure: Relation = "not assessed"
    anticipated: bool | None = None
    deficiency: bool | None = None
    devices: tuple[str, ...] = ()
    actions: tuple[Action, ...] = ()
    outcome: Outcome = "unknown"
    ended: date | None = None

    @field_validator("kind")
    @classmethod
    def _kind(cls, value: str) -> str:
        known = list(dict.fromkeys(one.kind for one in kinds()))
        if value not in known:
            raise BadCase("", "there is no such kind of complication", got=value, allowed=", ".join(known), hint=nearest(value, known))
        return value

    @field_validator("severity")
    @classmethod
    def _severity(cls, value: str | None) -> str | None:
        known = table("severities").column("severity")
        if value is not None and value not in known:
            raise BadCase("", "there is no such severity", got=value, allowed=", ".join(known), hint=nearest(value, known))
        return value

    @field_validator("criteria")
    @classmethod
    def _criteria(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        known = table("seriousness").column("criterion")
        for k, name in enumerate(value or ()):
            if name not in known:
                raise BadCase(f"[{k}]", "no criterion of a serious event", got=name, allowed=", ".join(known), hint=nearest(name, known))
        return value

    @model_validator(mode="after")
    def _whole(self) -> Complication:
        known = [name for name in _subkinds(self.kind) if name]
        if self.subkind and self.subkind not in known:
            raise BadCase("subkind", f"{self.kind} has no such subkind", got=self.subkind, allowed=", ".join(known) or "none",
                          hint=nearest(self.subkind, known))
        if self.kind == "other" and not self.description.strip():
            raise BadCase("description", "something else, and not said what", hint="describe it")
        if self.reported and self.reported < self.onset:
            raise BadCase("reported", "reported before it began", got=str(self.reported), allowed=f"{self.onset} or later")
        if self.ended and self.ended < self.onset:
            raise BadCase("ended", "ended before it began", got=str(self.ended), allowed=f"{self.onset} or later")
        if (self.outcome == "fatal") != ("death" in (self.criteria or ())) and self.criteria is not None:
            raise BadCase("outcome", "outcome and criteria disagree about death", got=f"{self.outcome}, {', '.join(self.criteria) or 'no criterion'}",
                          allowed="fatal with the criterion death, or neither")
        return self

    @property
    def serious(self) -> bool | None:
        """Whether it led to any criterion of ISO 14155; None if that was not assessed and it was not fatal."""
        return True if self.outcome == "fatal" else None if self.criteria is None else bool(self.criteria)

    @property
    def effect_of_device(self) -> bool | None:
        """Whether the device or its placement may have led to it; None if a relation is not assessed and the other says no."""
        found = (self.device, self.procedure)
        if any(one in ("possible", "probable", "causal") for one in found):
            return True
        return None if "not assessed" in found else False

    def classification(self) -> str:
        """In the terms of ISO 14155: adverse event, adverse device effect, each serious or not, and whether it was anticipated."""
        if self.serious is None or self.effect_of_device is None:
            return "not classified: " + ", ".join(self.open())
        if not self.effect_of_device:
            return "serious adverse event" if self.serious else "adverse event"
        if not self.serious:
            return "adverse device effect"
        if self.anticipated is None:
            return "serious adverse device effect; whether anticipated is not known"
        return f"{'anticipated' if self.anticipated else 'unanticipated'} serious adverse device effect"

    def open(self) -> tuple[str, ...]:
        """What is not known yet."""
        asked = {"subkind": bool(self.subkind) or _subkinds(self.kind) == [""], "severity": self.severity is not None,
                 "what it led to": self.serious is not None, "relation to the device": self.device != "not assessed",
                 "relation to the procedure": self.procedure != "not assessed", "whether it was anticipated": self.anticipated is not None,
                 "whether a device was deficient": self.deficiency is not None, "what was done": bool(self.actions),
                 "outcome": self.outcome != "unknown"}
        return tuple(words for words, known in asked.items() if not known)

    def usual_actions(self) -> tuple[str, ...]:
        """What is usually done, of the rows that fit."""
        return tuple(one.usual_actions for one in kinds() if one.kind == self.kind and self.subkind in ("", one.subkind))


# rates

@dataclass(frozen=True)
class Rate:
    """A row of data/safety_rates.csv.

    Attributes:
        event, definition, stage, horizon: of what, until when.
        kind: of data/complications.csv, or empty.
        k, n: who had it and who was counted; None if not read.
        rate, low, high: %; None if not read. A row may have a range without a rate.
        interval: what ``low`` and ``high`` are.
        evidence, source, doi_or_url, note: of the row.
    """

    event: str
    kind: str
    definition: str
    stage: str
    k: int | None
    n: int | None
    rate: float | None
    low: float | None
    high: float | None
    interval: str
    horizon: str
    evidence: str
    source: str
    doi_or_url: str
    note: str

    @property
    def unverified(self) -> bool:
        return self.evidence in UNVERIFIED

    def __str__(self) -> str:
        value = f"{self.rate:g} %" if self.rate is not None else ""
        span = f"{self.low:g} to {self.high:g} % ({self.interval})" if self.low is not None and self.high is not None else ""
        count = f"{self.k}/{self.n}" if self.k is not None and self.n is not None else ""
        said = ", ".join(one for one in (value, span, count, self.horizon) if one)
        return f"{self.event}, {self.definition or self.stage}: {said}; {self.source}{' (from memory)' if self.unverified else ''}"


@cache
def rates() -> tuple[Rate, ...]:
    """All published rates."""
    def number(text: str) -> float | None:
        return float(text) if text else None

    return tuple(Rate(row["event"], row["kind"], row["definition"], row["stage"], int(row["k"]) if row["k"] else None,
                      int(row["n"]) if row["n"] else None, number(row["rate"]), number(row["low"]), number(row["high"]), row["interval"],
                      row["horizon"], row["evidence"], row["source"], row["doi_or_url"], row["note"]) for row in table("safety_rates"))


def published(event: str = "", *, kind: str = "", stage: str = "", source: str = "") -> tuple[Rate, ...]:
    """Rates whose event, kind and stage are these and whose source has these words; what is empty is not asked for.

    Raises:
        BadInput: no such event or kind in the table.
    """
    for where, word, known in (("event", event, [one.event for one in rates()]), ("kind", kind, [one.kind for one in rates()])):
        if word and word not in known:
            names = list(dict.fromkeys(filter(None, known)))
            raise BadInput(where, "no published rate of this", got=word, allowed=", ".join(names), hint=nearest(word, names))
    return tuple(one for one in rates() if event in ("", one.event) and kind in ("", one.kind) and source.casefold() in one.source.casefold()
                 and (not stage or one.stage == "both" or one.stage.split(" ")[0] == stage))


def wilson(k: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share of k of n people after Wilson, from 0 to 1.

    Raises:
        BadInput: nobody was counted, or more had it than were counted.
    """
    if isinstance(k, bool) or isinstance(n, bool) or int(k) != k or int(n) != n or n < 1 or not 0 <= k <= n:
        raise BadInput("k, n", "not a count of people", got=f"{k} of {n}", allowed="whole numbers, 0 or more of 1 or more")
    if not 0 < level < 1:
        raise BadInput("level", "not a level of confidence", got=level, allowed="above 0, below 1, such as 0.95")
    return stages.wilson(int(k), int(n), level)


@dataclass(frozen=True)
class Beside:
    """A clinic's own count beside a published rate.

    Attributes:
        k, n: the clinic's.
        rate, low, high: the clinic's, %, with its 95 % interval after Wilson.
        published: the row.
        words: how they lie to each other, and what keeps them from being compared.
    """

    k: int
    n: int
    rate: float
    low: float
    high: float
    published: Rate
    words: tuple[str, ...]


def beside(k: int, n: int, row: Rate) -> Beside:
    """Own k of n beside a published row; no verdict on the clinic.

    Raises:
        BadInput: not a count of people.
    """
    low, high = (100 * end for end in wilson(k, n))
    theirs_low, theirs_high = (end if end is not None else row.rate for end in (row.low, row.high))
    words = []
    if theirs_low is None or theirs_high is None:
        words.append("nothing to compare with was read")
    elif low > theirs_high:
        words.append("the clinic's interval lies above the published one: look into it")
    elif high < theirs_low:
        words.append("the clinic's interval lies below the published one: are all events on record?")
    else:
        words.append("the intervals overlap: this count cannot tell them apart")
    if row.low is None:
        words.append("the published rate came without an interval")
    elif row.interval == "range":
        words.append("the published interval is a range over reports, not an interval of confidence")
    words.append(f"published for: {row.definition or row.event}; {row.stage}; {row.horizon or 'horizon not read'}")
    if row.unverified:
        words.append("the published row is from memory")
    if row.note:
        words.append(row.note)
    return Beside(int(k), int(n), 100 * k / n, low, high, row, tuple(words))


# recalls

class Device(Recipe):
    """A part that was implanted, as its label says."""

    id: str = Field(min_length=1)
    manufacturer: str = Field(min_length=1)
    model: str = ""
    serial: str = ""
    lot: str = ""
    implanted: date | None = None
    explanted: date | None = None


class Recall(Recipe):
    """A field safety notice.

    Attributes:
        manufacturer, models: of the parts; no model means every model.
        serials, lots: that are listed.
        serial_ranges: first and last, both included.
        on: day of the notice.
        reason, action: what is wrong and what to do.
        source: where the notice can be read.
    """

    manufacturer: str = Field(min_length=1)
    models: tuple[str, ...] = ()
    serials: tuple[str, ...] = ()
    serial_ranges: tuple[tuple[str, str], ...] = ()
    lots: tuple[str, ...] = ()
    on: date
    reason: str = ""
    action: str = Field(min_length=1)
    source: str = Field(min_length=1)

    @field_validator("serial_ranges")
    @classmethod
    def _ordered(cls, ranges: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        for k, (first, last) in enumerate(ranges):
            low, high = _counted(first), _counted(last)
            if low is None or high is None or low[0] != high[0] or low[1] > high[1]:
                raise BadCase(f"[{k}]", "not a range of serial numbers", got=f"{first} to {last}",
                              allowed="the same letters and as many digits, the lower first; list others under serials")
        return ranges


@dataclass(frozen=True)
class Affected:
    """A device that a recall is about, or may be.

    Attributes:
        device, recall: which.
        sure: False where it has to be looked up by hand.
        why: in words.
    """

    device: Device
    recall: Recall
    sure: bool
    why: str


def affected(devices: Iterable[Device], recalls: Iterable[Recall]) -> tuple[Affected, ...]:
    """Devices that recalls are about; one that cannot be ruled out is listed as not sure. Explanted ones are listed and said so."""
    notices, found = tuple(recalls), []
    for device in devices:
        for recall in notices:
            said = _match(device, recall)
            if said:
                gone = f"; explanted on {device.explanted}" if device.explanted else ""
                found.append(Affected(device, recall, said[0], said[1] + gone))
    return tuple(found)


def _match(device: Device, recall: Recall) -> tuple[bool, str] | None:
    """Whether it is sure and why; None if the recall is not about this device."""
    makers = _plain(device.manufacturer), _plain(recall.manufacturer)
    model_known = bool(_plain(device.model))
    open_model = bool(recall.models) and not model_known
    serial, lot = _plain(device.serial), _plain(device.lot)
    listed = bool(serial) and serial in {_plain(one) for one in recall.serials}
    other_maker = not (makers[0].startswith(makers[1]) or makers[1].startswith(makers[0]))  # Abbott is Abbott Medical
    if other_maker or (recall.models and model_known and _plain(device.model) not in {_plain(name) for name in recall.models}):
        return (False, f"serial {device.serial} is listed, for another maker or model: compare by hand") if listed else None
    if listed:
        return True, f"serial {device.serial} is listed"
    if lot and lot in {_plain(one) for one in recall.lots}:
        return not open_model, f"lot {device.lot} is listed" + ("; its model is not on record" if open_model else "")
    odd = []
    for first, last in recall.serial_ranges if serial else ():
        place = _within(device.serial, first, last)
        if place:
            return not open_model, f"serial {device.serial} is from {first} to {last}" + ("; its model is not on record" if open_model else "")
        if place is None:
            odd.append(f"{first} to {last}")
    by_serial, by_lot = bool(recall.serials or recall.serial_ranges), bool(recall.lots)
    if not by_serial and not by_lot:
        return not open_model, "its model is not on record" if open_model else f"every device of {device.model or device.manufacturer} is meant"
    if odd:
        return False, f"serial {device.serial} is written in another way than {', '.join(odd)}: compare by hand"
    if by_serial and not serial:
        return False, "its serial number is not on record: look it up"
    if by_lot and not lot:
        return False, "its lot is not on record: look it up"
    return None


def _plain(text: str) -> str:
    """Capital letters and digits alone: ``nkx 001-A`` is ``NKX001A``."""
    return re.sub(r"[^0-9A-Z]", "", text.upper())


def _counted(serial: str) -> tuple[tuple[str, int, str], int] | None:
    """Shape (letters before, number of digits, letters after) and number of a serial that has one run of digits."""
    parts = re.fullmatch(r"([A-Z]*)(\d+)([A-Z]*)", _plain(serial))
    return None if parts is None else ((parts[1], len(parts[2]), parts[3]), int(parts[2]))


def _within(serial: str, first: str, last: str) -> bool | None:
    """Whether a serial lies in a range; None if it is written so differently that this cannot be said."""
    own, low, high = _counted(serial), _counted(first), _counted(last)
    if own is None or low is None or high is None or own[0] != low[0]:
        return None
    return low[1] <= own[1] <= high[1]
