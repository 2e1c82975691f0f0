"""The two stages of stimulation, lived through by virtual patients: trial leads, diary, verdict, generator, years after, explant.

    simulate(procedure, cohort(seed, 1000), p, arm)     one row for each patient, one column for each visit
    value_of_trial(procedure, cohort, p, arm)           what the trial stage is worth, against implanting everybody

The course of pain obeys the laws of ``evidence.model``: there they are expectations, here people are drawn from them. Everything random comes
from one counter-based generator (Philox, 64 bit): its key is (seed of the cohort, index of the patient), its counter holds the name of a stream
and the place in it. So patient 7 is the same alone and among ten thousand, in every arm, whatever the visits and the length of the diary.

Time is in months from the verdict of the trial stage, which is the implantation of those who passed; days of the trial stage count from the
placement of its leads. What is a number of practice, such as the rate of infection, is a row of data/stages.csv with its source; rules of the
verdict are rows of data/stage_rules.csv. docs/two-stages.md names the judgements among them.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema, field_validator, model_validator
from scipy import special

from epidura import eq5d
from epidura import quality_of_life as ql
from epidura.errors import BadCase, BadInput, nearest
from epidura.evidence.model import (
    TRIAL_DAYS_SHARE,
    UNSTIMULATED,
    Arm,
    Parameters,
    beta_of,
    context_dose,
    fading,
    natural_course,
    neural_dose,
    own_factor,
    return_level,
    therapies,
)
from epidura.lead_moves import KEEP, SHARE, Moved, move, with_revision
from epidura.product import Floats
from epidura.quality_of_life import DAY, PERSON, VISIT, Fact, Flags, relief
from epidura.recipe import Recipe
from epidura.tables import Number, table
from epidura.units import parse

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

TECHNIQUES = ("percutaneous", "tunnelled", "on-the-table")
SITES = ("upper-buttock", "abdomen", "flank", "chest")
MONTHS = (1.0, 3.0, 6.0, 12.0, 24.0)
STATES = ("not-implanted", "stimulated", "lost", "salvage", "explanted")
"""Of a patient at a visit. With sham stimulation, too, the state after implantation is ``stimulated``: the patient has a stimulator."""
REASONS = ("", "loss", "infection", "other")
"""Why a stimulator was taken out; "" if it was not."""

QUANTITIES: dict[str, tuple[str, str, bool]] = {
    "relief": ("least", "1", False), "baseline": ("least", "NRS", False), "medication": ("most", "1", True), "activity": ("least", "rating", True),
    "sleep": ("least", "rating", True), "index": ("least", "1", True),
}
"""What a verdict can ask for: whether a limit is the least or the most, its unit, and whether it takes a diary. Relief of the mean of the daily
averages, pain before, mean use of medication against before, change of the mean ratings of activity and sleep, change of the EQ-5D index."""

DAY_S, YEAR_S = 86400.0, 365.25 * 86400.0
TRIAL_MOVES = "migration of trial leads, 30 days"
"""Row of data/stages.csv; no trial stage is longer."""
REVISIONS = 32
"""Revisions of one patient that can be told apart."""
_SAME = 1e-9

_PER_PATIENT, _PER_VISIT, _PER_DAY = ("patient",), ("patient", "visit"), ("patient", "day")
DECLARED: dict[str, tuple[tuple[str, ...], str]] = {
    "baseline": (_PER_PATIENT, "NRS"), "index_before": (_PER_PATIENT, "1"),
    # places among people: of the own factor of the context; share of days stimulated
    "expectation": (_PER_PATIENT, "1"), "adherence": (_PER_PATIENT, "1"),
    # trial stage: quantities of the verdict, verdict, why not, and days from the placement of the leads (NaN: did not happen)
    "trial_relief": (_PER_PATIENT, "1"), "trial_medication": (_PER_PATIENT, "1"), "trial_activity": (_PER_PATIENT, "rating"),
    "trial_sleep": (_PER_PATIENT, "rating"), "trial_index": (_PER_PATIENT, "1"), "tried": (_PER_PATIENT, ""), "passed": (_PER_PATIENT, ""),
    "failure": (_PER_PATIENT, ""), "trial_infection": (_PER_PATIENT, "day"), "trial_migration": (_PER_PATIENT, "day"),
    "trial_dural_puncture": (_PER_PATIENT, ""), "trial_haematoma": (_PER_PATIENT, ""),
    "diary_worst": (_PER_DAY, "NRS"), "diary_average": (_PER_DAY, "NRS"), "diary_least": (_PER_DAY, "NRS"), "diary_sleep": (_PER_DAY, "rating"),
    "diary_activity": (_PER_DAY, "rating"), "diary_medication": (_PER_DAY, "1"),
    # definitive stage: months from the verdict (NaN: did not happen while observed)
    "implanted": (_PER_PATIENT, ""), "dural_puncture": (_PER_PATIENT, ""), "haematoma": (_PER_PATIENT, ""), "pocket_pain": (_PER_PATIENT, ""),
    "infection": (_PER_PATIENT, "month"), "loss": (_PER_PATIENT, "month"), "salvage": (_PER_PATIENT, "month"),
    "second_loss": (_PER_PATIENT, "month"), "migration": (_PER_PATIENT, "month"), "migration_revised": (_PER_PATIENT, ""),
    "explant": (_PER_PATIENT, "month"), "explant_reason": (_PER_PATIENT, ""),
    "battery_life": (_PER_PATIENT, "year"), "revision": (("patient", "revision_number"), "month"),
    "battery": (("patient", "battery_number"), "month"),
    # visits: course of pain without the error of measurement and the doses that made it, then what is written down
    "natural": (_PER_PATIENT, "NRS"), "course": (_PER_VISIT, "NRS"), "context": (_PER_VISIT, "1"), "neural": (_PER_VISIT, "1"),
    "state": (_PER_VISIT, ""), "nrs": (_PER_VISIT, "NRS"), "relief": (_PER_VISIT, "1"), "responder30": (_PER_VISIT, ""),
    "responder50": (_PER_VISIT, ""), "index": (_PER_VISIT, "1"), "vas": (_PER_VISIT, "1"), "odi_like": (_PER_VISIT, "%"), "pgic": (_PER_VISIT, "1"),
    "medication": (_PER_VISIT, "1"), "holistic": (_PER_VISIT, ""),
    "patient": (_PER_PATIENT, ""), "visit": (("visit",), "month"), "day": (("day",), "day"),
}
"""Variables and coordinates of ``Stages.data`` with dims and unit; "" is text or yes and no."""


# numbers of practice

@cache
def facts() -> dict[str, Fact]:
    """Every number of data/stages.csv by name, with the ends that it may lie between."""
    rows, found = table("stages"), {}
    for row in rows:
        number = rows.number(row["quantity"], "value", row["unit"], quantity=row["quantity"])
        found[row["quantity"]] = Fact(number, *(float(row[end] or number.value) for end in ("low", "high")))
    return found


def rates(u: ArrayLike | None = None) -> dict[str, float]:
    """All numbers of practice by name, in the units of data/stages.csv; change one by ``rates() | {name: value}``.

    Args:
        u: (len(facts()),) uniform numbers from 0 to 1, which draw each between its ends; without them each is as in the table.

    Raises:
        BadInput: another shape, or a number out of range.
    """
    if u is None:
        return {name: fact.number.value for name, fact in facts().items()}
    drawn = np.asarray(u, float)
    if drawn.shape != (len(facts()),) or not ((drawn >= 0) & (drawn <= 1)).all():
        raise BadInput("u", "not a uniform number for each number of practice", got=f"shape {drawn.shape}",
                       allowed=f"shape ({len(facts())},), 0 to 1")
    return {name: fact.at(float(one)) for (name, fact), one in zip(facts().items(), drawn, strict=True)}


def rule(name: str) -> dict[str, float]:
    """A rule of the verdict of data/stage_rules.csv: quantity to limit.

    Raises:
        BadInput: no such rule.
    """
    known = list(dict.fromkeys(table("stage_rules").column("rule")))
    if name not in known:
        raise BadInput("rule", "there is no such rule", got=name, allowed=", ".join(known) + ", or a mapping of limits", hint=nearest(name, known))
    return {row["quantity"]: float(row["value"]) for row in table("stage_rules") if row["rule"] == name}


# the recipe

def _read_time(value: object) -> object:
    return value if value is None or isinstance(value, _Seconds) else _Seconds(parse(value, "time"))


class _Seconds(float):
    """Seconds that were written with their unit."""


def _write_time(value: float | None) -> str | None:
    if value is None:
        return None
    for unit, seconds in (("years", YEAR_S), ("days", DAY_S), ("min", 60.0)):
        count = value / seconds
        if abs(count - round(count)) < _SAME and count >= 1:
            return f"{round(count)} {unit}"
    return f"{value!r} s"


Span = Annotated[Any, BeforeValidator(_read_time), PlainSerializer(_write_time, return_type=str | None),
                 WithJsonSchema({"type": "string", "format": "quantity", "x-kind": "time", "x-units": ["days", "min", "years"],
                                 "examples": ["7 days"]})]


def _read_rule(value: object) -> object:
    if isinstance(value, str):
        rule(value)
        return value
    if not isinstance(value, Mapping) or not value:
        raise BadCase("", "neither the name of a rule nor limits", got=str(value), allowed=f"a name, or a mapping of {', '.join(QUANTITIES)}")
    for name, limit in value.items():
        if name not in QUANTITIES:
            raise BadCase(str(name), "a rule cannot ask for this", got=str(name), allowed=", ".join(QUANTITIES), hint=nearest(str(name), QUANTITIES))
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not np.isfinite(limit):
            raise BadCase(str(name), "not a limit", got=str(limit), allowed=f"a number in {QUANTITIES[name][1]}, its {QUANTITIES[name][0]}")
    return {str(name): float(limit) for name, limit in value.items()}


class Procedure(Recipe):
    """What is done with a patient, from the leads of the trial stage to the explant.

    Attributes:
        therapy: of both stages: a therapy whose effect was fitted, ``sham``, or ``usual-care`` (no leads at all).
        tried: therapy of the trial stage; the same one if left out.
        technique: leads that are removed after the trial stage (percutaneous), leads that stay (tunnelled), or a trial stage during the
            operation itself (on-the-table), without a diary.
        duration: of the trial stage: 3 to 30 whole days; on the table 1 to 240 min. 7 days, or 30 min on the table, if left out.
        rule: of the verdict: a name of data/stage_rules.csv, or quantity to limit.
        skip: no trial stage: everybody is implanted.
        salvage: therapy to change to when the effect is lost; none if left out.
        rechargeable: whether the generator is.
        battery_life: shortest and longest life of the generator, as from ``battery.power``; that of data/stages.csv if left out.
        site: where the generator lies.
    """

    therapy: str
    tried: str | None = None
    technique: Literal["percutaneous", "tunnelled", "on-the-table"] = "percutaneous"
    duration: Span = None
    rule: Annotated[Any, BeforeValidator(_read_rule), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}]})] = "relief-50"
    skip: bool = False
    salvage: str | None = None
    rechargeable: bool = True
    battery_life: tuple[Span, Span] | None = None
    site: Literal["upper-buttock", "abdomen", "flank", "chest"] = "upper-buttock"

    @field_validator("therapy", "tried", "salvage")
    @classmethod
    def _known(cls, value: str | None, info: Any) -> str | None:
        allowed = (*therapies(), *UNSTIMULATED) if info.field_name == "therapy" else therapies()
        if value is not None and value not in allowed:
            raise BadCase("", "no such therapy", got=value, allowed=", ".join(allowed), hint=nearest(value, allowed))
        return value

    @model_validator(mode="after")
    def _whole(self) -> Procedure:
        table_top = self.technique == "on-the-table"
        if self.duration is not None:
            if table_top and not 60 <= self.duration <= 240 * 60:
                raise BadCase("duration", "a trial stage on the table takes minutes", got=_write_time(self.duration), allowed="1 min to 240 min")
            days = self.duration / DAY_S
            if not table_top and not (3 <= days <= 30 and abs(days - round(days)) < _SAME):
                raise BadCase("duration", "not a length of a trial stage", got=_write_time(self.duration), allowed="3 to 30 whole days")
        if table_top and not self.skip and (diary := [name for name in self.limits() if QUANTITIES[name][2]]):
            raise BadCase("rule", "this cannot be seen on the table", got=", ".join(diary),
                          allowed=", ".join(name for name, (_, _, days) in QUANTITIES.items() if not days), hint="choose leads that stay for days")
        if self.therapy == "sham" and self.tried is None and not self.skip:
            raise BadCase("tried", "a trial stage before sham stimulation needs the therapy that is tried", allowed=", ".join(therapies()))
        if self.salvage is not None and (self.therapy in UNSTIMULATED or self.salvage == self.therapy):
            raise BadCase("salvage", "not another therapy to change to", got=self.salvage, allowed=f"other than {self.therapy}, which is stimulated")
        if self.battery_life is not None and not (self.battery_life[0] and self.battery_life[1] and 0 < self.battery_life[0] <= self.battery_life[1]):
            raise BadCase("battery_life", "not a shortest and a longest life", got=str([_write_time(one) for one in self.battery_life]),
                          allowed="two times above 0, the shorter first")
        return self

    def limits(self) -> dict[str, float]:
        """The rule of the verdict: quantity to limit."""
        return rule(self.rule) if isinstance(self.rule, str) else dict(self.rule)

    @property
    def has_trial(self) -> bool:
        return not self.skip and self.therapy != "usual-care"

    @property
    def days(self) -> int:
        """Days of the diary; 0 without one."""
        if not self.has_trial or self.technique == "on-the-table":
            return 0
        return 7 if self.duration is None else round(self.duration / DAY_S)

    def arm(self, of: Arm, *, implanted: bool = False) -> Arm:
        """The arm of ``evidence.model`` with the people and blinding of ``of`` and this procedure; ``implanted`` counts only who passed."""
        tried = (self.tried or self.therapy) if self.has_trial else ""
        stage = ("implanted" if implanted else "randomised") if tried else "none"
        return replace(of, therapy=self.therapy, tried=tried, stage=stage)


# people by number

@dataclass(frozen=True)
class Cohort:
    """Virtual patients by their numbers, before anything is done.

    Attributes:
        seed: of the cohort.
        patients: (n,) indices.
        expectation: (n,) in place of the drawn ones: shares from 0 to 1 of people whose own factor of the context is smaller.
        adherence: (n,) in place of the drawn ones: shares of days stimulated, above 0 and below 1.
        baseline: (n,) in place of the drawn ones: pain at enrolment, NRS.
    """

    seed: int
    patients: Ints
    expectation: Floats | None = None
    adherence: Floats | None = None
    baseline: Floats | None = None

    def __len__(self) -> int:
        return len(self.patients)

    def uniform(self, stream: str, count: int, place: int = 0) -> Floats:
        """(n, count) numbers between 0 and 1 of a named stream of each patient, at a place of it."""
        return (np.right_shift(philox(self.seed, self.patients, stream, count, place), np.uint64(11)).astype(float) + 0.5) * 2.0**-53

    def normal(self, stream: str, *shape: int, place: int = 0) -> Floats:
        """(n, *shape) standard normal numbers of a named stream."""
        return np.asarray(special.ndtri(self.uniform(stream, int(np.prod(shape)), place)).reshape(len(self), *shape), float)


def cohort(seed: int, patients: int | Sequence[int] | Ints, *, expectation: ArrayLike | None = None, adherence: ArrayLike | None = None,
           baseline: ArrayLike | None = None) -> Cohort:
    """So many patients, or those with these indices.

    Args:
        seed: 0 to 2^64 - 1.
        patients: how many, or indices from 0.
        expectation, adherence, baseline: (n,) or one for all, in place of what is drawn, see ``Cohort``.

    Raises:
        BadInput: a seed or an index out of range, nobody, the same patient twice, or a share or pain out of range.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**64:
        raise BadInput("seed", "not a seed", got=str(seed), allowed="a whole number from 0, below 2^64")
    if not isinstance(patients, int | np.integer) and np.asarray(patients).dtype.kind not in "iu":
        raise BadInput("patients", "not whole numbers", got=str(patients)[:60], allowed="how many, or a list of indices")
    index = np.arange(patients) if isinstance(patients, int | np.integer) else np.asarray(patients)
    if index.ndim != 1 or not len(index) or (index < 0).any():
        raise BadInput("patients", "nobody, or indices that are none", got=str(patients)[:60], allowed="1 or more, or a list of indices from 0")
    if len(np.unique(index)) < len(index):
        raise BadInput("patients", "a patient is named twice", got=str(patients)[:60], hint="each index once")
    given: dict[str, Floats] = {}
    for name, value, high in (("expectation", expectation, 1.0), ("adherence", adherence, 1.0), ("baseline", baseline, 10.0)):
        if value is None:
            continue
        try:
            given[name] = np.array(np.broadcast_to(np.asarray(value, float), index.shape))
        except ValueError:
            raise BadInput(name, "not one for each patient", got=np.asarray(value).shape, allowed=f"shape ({len(index)},) or one number") from None
        inside = (given[name] > 0) & (given[name] <= high if name == "baseline" else given[name] < high)
        if not inside.all():
            raise BadInput(name, "out of range", got=float(given[name][~inside][0]), allowed=f"above 0, {'up to' if high > 1 else 'below'} {high:g}")
    return Cohort(int(seed), index.astype(np.int64), **given)


def philox(seed: int, patients: Ints, stream: str, count: int, place: int = 0) -> Words:
    """(n, count) random words: Philox4x64 of ten rounds (Salmon 2011), key (seed, patient), counter (block from 1, place, 0, stream).

    The same words as ``numpy.random.Philox(key=[seed, patient], counter=[0, place, 0, crc32(stream)]).random_raw(count)``, for all patients at once.
    """
    blocks = -(-count // 4)
    shape = (len(patients), blocks)
    key = [np.full(shape, seed, np.uint64), np.broadcast_to(np.asarray(patients, np.uint64)[:, None], shape).copy()]
    c = [np.broadcast_to(np.arange(1, blocks + 1, dtype=np.uint64), shape).copy(), np.full(shape, place, np.uint64), np.zeros(shape, np.uint64),
         np.full(shape, zlib.crc32(stream.encode()), np.uint64)]
    for _ in range(10):
        (high0, low0), (high1, low1) = _product(0xD2E7470EE14C6C93, c[0]), _product(0xCA5A826395121157, c[2])
        c = [high1 ^ c[1] ^ key[0], low1, high0 ^ c[3] ^ key[1], low0]
        key = [key[0] + np.uint64(0x9E3779B97F4A7C15), key[1] + np.uint64(0xBB67AE8584CAA73B)]
    return np.stack(c, -1).reshape(len(patients), 4 * blocks)[:, :count]


def _product(factor: int, words: Words) -> tuple[Words, Words]:
    """High and low word of a product of 64-bit words, from four products of halves."""
    half, low = np.uint64(32), np.uint64(0xFFFFFFFF)
    a1, a0, b1, b0 = np.uint64(factor >> 32), np.uint64(factor & 0xFFFFFFFF), words >> half, words & low
    middle = a1 * b0 + (a0 * b0 >> half)
    other = a0 * b1 + (middle & low)
    return a1 * b1 + (middle >> half) + (other >> half), words * np.uint64(factor)


# the time line

@dataclass(frozen=True)
class Stages:
    """What happened to a cohort.

    Attributes:
        procedure, cohort, arm: what was asked for; the arm is that of ``Procedure.arm``.
        data: variables and coordinates of ``DECLARED``.
        until: month to which patients were observed.
        numbers: of practice and of the rule of the verdict, with their sources.
    """

    procedure: Procedure
    cohort: Cohort
    arm: Arm
    data: xr.Dataset
    until: float
    numbers: tuple[Number, ...]

    def counted(self, implanted: bool = False) -> Flags:
        """(n,) everybody, or those who were implanted."""
        return np.asarray(self.data.implanted.values) if implanted else np.ones(len(self.cohort), bool)

    def explant_free(self) -> tuple[Floats, Floats]:
        """(k,) times of explants in months, and (k,) share of the implanted who still have the stimulator then: Kaplan and Meier.

        Raises:
            BadInput: nobody was implanted.
        """
        chosen = self.counted(implanted=True)
        if not chosen.any():
            raise BadInput("stages", "nobody was implanted, so there is nothing to take out")
        return kaplan_meier(self.data.explant.values[chosen], np.full(int(chosen.sum()), self.until))


def kaplan_meier(event: ArrayLike, observed: ArrayLike) -> tuple[Floats, Floats]:
    """(k,) times of events and (k,) share without one after them.

    Args:
        event: (n,) when it happened; NaN where it did not.
        observed: (n,) until when each was observed.
    """
    at, until = np.asarray(event, float), np.asarray(observed, float)
    happened = np.isfinite(at) & (at <= until)
    if not happened.any():
        return np.zeros(0), np.zeros(0)
    from scipy import stats  # takes long to import

    curve = stats.ecdf(stats.CensoredData.right_censored(np.where(happened, at, until), ~happened)).sf
    falls = np.isin(curve.quantiles, at[happened])
    return np.asarray(curve.quantiles[falls], float), np.asarray(curve.probabilities[falls], float)


def simulate(procedure: Procedure, who: Cohort, p: Parameters, arm: Arm, *, months: Sequence[float] = MONTHS, until: float | None = None,
             reach: ArrayLike | None = None, tried_reach: ArrayLike | None = None, moved: Moved | None = None,
             context_scale: ArrayLike = 1.0, neural_scale: ArrayLike = 1.0, events: bool = True, country: str = "England",
             practice: Mapping[str, float] | None = None, use: ql.Parameters | None = None) -> Stages:
    """A cohort goes through a procedure.

    Args:
        procedure: what is done.
        who: to whom.
        p: parameters of ``evidence.model``: one draw.
        arm: pain at enrolment, blinding, novelty, and whether people are candidates; its therapy, trial stage and reach are not used.
        months: of visits, rising.
        until: month to which they are observed; the last visit if left out.
        reach: (n,) how well the stimulation reaches the pain with the leads of the definitive stage; 1 if left out. 0: it does not.
        tried_reach: (n,) the same in the trial stage; as ``reach`` if left out. Leads that stay cannot have another.
        moved: what they reach once leads have moved; if left out, leads of the definitive stage do not, and those of the trial stage only in name.
        context_scale, neural_scale: factors of a centre on context and neural effect.
        events: whether the trial stage can have complications; those of the definitive stage are part of the fitted laws and stay.
        country: of the EQ-5D value set.
        practice: numbers of ``rates``.
        use: numbers of ``quality_of_life.parameters``.

    Raises:
        BadInput: visits that do not rise, a reach that is negative or of another shape, parameters without the therapy.
    """
    n, practice, use = len(who), _practice(practice), ql.parameters() if use is None else use
    visits, until = _visits(months, until)
    own = procedure.arm(arm)
    at = _factors(reach, n, "reach", 1.0)
    at_trial = _factors(tried_reach, n, "tried_reach", at)
    if procedure.technique != "percutaneous" and procedure.has_trial and not np.array_equal(at, at_trial):
        raise BadInput("tried_reach", "the leads stay where they are", got="another reach in the trial stage",
                       allowed=f"the same as reach with {procedure.technique} leads")
    c_scale, n_scale = _factors(context_scale, n, "context_scale", 1.0), _factors(neural_scale, n, "neural_scale", 1.0)
    gone_to, gone_to_trial = _moved_reach(moved, procedure, at, at_trial)
    made = _people(who, p, own, practice, use, country)
    trial = _trial(procedure, who, made, own, p, practice, use, (at_trial, gone_to_trial), c_scale, n_scale, country, events)
    passed = trial["passed"]
    implanted = passed & (procedure.therapy != "usual-care")
    stays = procedure.has_trial and procedure.technique != "percutaneous"
    if moved is not None and stays:
        # a lead that stays has moved already; where too little was won back it was put back when the generator was implanted
        kept = np.isfinite(trial["trial_migration"]) & (gone_to >= practice[KEEP] * at - _SAME)
        at = np.where(kept, gone_to, at)
    life = _definitive(procedure, who, made, own, p, practice, implanted, at, None if moved is None else gone_to, c_scale, n_scale, until)

    t = visits[None, :]
    out, gone, second = (life[name][:, None] for name in ("explant", "loss", "second loss"))
    inside = implanted[:, None] & (t < out)
    changed = inside & (t >= gone) & life["salvaged"][:, None]
    slid = np.where(t >= life["migration"][:, None], life["slid"][:, None], 1.0)
    neural = slid * np.where(inside & (t < gone), life["dose"][:, None], np.where(changed & (t < second), life["second dose"][:, None], 0.0))
    context = np.where(inside, life["context"][:, None] * fading(p, t), 0.0)
    course = made.natural[:, None] * np.exp(-context - neural)
    state = np.select([~implanted[:, None] | np.zeros_like(inside), t >= out, t < gone, changed & (t < second)],
                      [STATES[0], STATES[4], STATES[1], STATES[3]], STATES[2])
    noise = np.stack([who.normal("visit", 1 + len(VISIT), place=_place(month)) for month in visits], 1)
    nrs = np.clip(course + p["error"] * noise[..., 0], 0, 10)
    seen = ql.reports(made.people, nrs, noise[..., 1:], country=country, use=use)

    def when(name: str) -> Floats:
        """Only what happened while somebody had the stimulator and was observed."""
        return np.where(implanted & (life[name] <= np.minimum(life["explant"], until)), life[name], np.nan)

    variables: dict[str, Any] = {
        "baseline": made.people.nrs, "index_before": made.index, "expectation": made.expectation, "adherence": made.adherence,
        **{name: trial[name] for name in DECLARED if name in trial},
        "implanted": implanted, **{name: life[name] for name in ("dural_puncture", "haematoma", "pocket_pain", "battery_life")},
        "infection": when("infection"), "loss": when("loss"), "salvage": when("salvage"), "second_loss": when("second loss"),
        "migration": when("migration"),
        "migration_revised": life["migration_revised"] & np.isfinite(when("migration")),
        "explant": when("explant"), "explant_reason": np.where(np.isfinite(when("explant")), life["reason"], ""),
        "revision": life["revision"], "battery": life["battery"],
        "natural": made.natural, "course": course, "context": context, "neural": neural, "state": state,
        "nrs": nrs, "relief": seen.relief, "responder30": seen.responder30, "responder50": seen.responder50, "index": seen.index, "vas": seen.vas,
        "odi_like": seen.odi_like, "pgic": seen.pgic, "medication": seen.medication, "holistic": seen.holistic.responder}
    coords = {"patient": who.patients, "visit": visits, "day": np.arange(1, trial["diary_average"].shape[1] + 1)}
    data = xr.Dataset(_labelled(variables), coords=_labelled(coords), attrs={"product": "stages", "seed": str(who.seed),
                                                                            "procedure": procedure.key(), "therapy": procedure.therapy})
    return Stages(procedure, who, own, data, until, (*(fact.number for fact in facts().values()), *_rule_numbers(procedure)))


def may_move(who: Cohort) -> Flags:
    """(n, 2) whether leads of the trial stage and of the definitive stage move at the highest rates of ``rates``: the others never do, so what they
    would reach somewhere else need not be known."""
    of_trial = who.uniform("trial", 4)[:, 1] < facts()[TRIAL_MOVES].high / 100
    return np.stack([of_trial, who.uniform("lead", 2)[:, 0] < facts()[SHARE].high / 100], axis=1)


def _moved_reach(moved: Moved | None, procedure: Procedure, at: Floats, at_trial: Floats) -> tuple[Floats, Floats]:
    """(n,) reach of moved leads in the definitive and in the trial stage; as before where they do not move.

    Raises:
        BadInput: another shape, negative, or leads that stay and yet reach something else.
    """
    if moved is None:
        return at, at_trial
    n = len(at)
    there = _factors(moved.reach, n, "moved.reach", 1.0)
    trial = _factors(moved.tried_reach, n, "moved.tried_reach", there)
    if procedure.technique != "percutaneous" and procedure.has_trial and not np.array_equal(there, trial):
        raise BadInput("moved.tried_reach", "the leads stay where they are", got="another reach in the trial stage",
                       allowed=f"the same as moved.reach with {procedure.technique} leads")
    return there, trial


def _rule_numbers(procedure: Procedure) -> tuple[Number, ...]:
    """Limits of a named rule, if there is a verdict."""
    if not procedure.has_trial or not isinstance(procedure.rule, str):
        return ()
    rows = table("stage_rules")
    return tuple(rows.number(f"{procedure.rule}, {name}", "value", QUANTITIES[name][1], rule=procedure.rule, quantity=name)
                 for name in procedure.limits())


def _labelled(values: Mapping[str, Any]) -> dict[str, Any]:
    """With dims and units of ``DECLARED``."""
    return {name: (DECLARED[name][0], value, {"units": DECLARED[name][1]} if DECLARED[name][1] else {}) for name, value in values.items()}


@dataclass(frozen=True)
class _People:
    people: ql.People
    index: Floats  # EQ-5D before
    expectation: Floats
    adherence: Floats
    context: Floats  # own factors, mean 1
    neural: Floats
    second: Floats  # of the therapy of the salvage
    natural: Floats  # NRS


def _people(who: Cohort, p: Parameters, arm: Arm, practice: Mapping[str, float], use: ql.Parameters, country: str) -> _People:
    """Who they are: pain, expectation, adherence, own factors, natural course."""
    u = who.uniform("person", 6)
    a, b = beta_of(arm.baseline, arm.baseline_sd, arm.least)
    baseline = arm.least + (10 - arm.least) * special.betaincinv(a, b, u[:, 0]) if who.baseline is None else who.baseline
    expectation = u[:, 1] if who.expectation is None else who.expectation
    mean, sd = practice["mean adherence"], practice["SD of adherence between people"]
    total = mean * (1 - mean) / sd**2 - 1
    shape = mean * total, (1 - mean) * total
    quantile = u[:, 2] if who.adherence is None else np.clip(special.betainc(*shape, who.adherence), 1e-12, 1 - 1e-12)
    z_use, z_rest, z_other, z_natural = (special.ndtri(value) for value in (quantile, u[:, 3], u[:, 4], u[:, 5]))
    r, r_other = practice["correlation of adherence and neural effect"], practice["correlation of neural effect between therapies"]
    z_neural = r * z_use + np.sqrt(1 - r**2) * z_rest
    z_second = r_other * z_neural + np.sqrt(1 - r_other**2) * z_other

    def factor(spread: str, z: Floats) -> Floats:
        return np.asarray(own_factor(p[spread], z), float)

    natural = natural_course(p, baseline, z_natural, return_level(p, arm.candidate))
    people = ql.people(baseline, who.normal("reports", len(PERSON)), use=use)
    before = ql.profile(people.nrs, people.scores, people.noise(*(f"EQ-5D {name}" for name in eq5d.DIMENSIONS)), use)
    return _People(people, eq5d.index(before, country), np.asarray(expectation), np.asarray(special.betaincinv(*shape, quantile)),
                   factor("context spread", special.ndtri(np.clip(expectation, 1e-12, 1 - 1e-12))), factor("neural spread", z_neural),
                   factor("neural spread", z_second), natural)


def _trial(procedure: Procedure, who: Cohort, made: _People, arm: Arm, p: Parameters, practice: Mapping[str, float], use: ql.Parameters,
           reaches: tuple[Floats, Floats], context_scale: Floats, neural_scale: Floats, country: str, events: bool) -> dict[str, Any]:
    """Trial stage: diary, complications, verdict; by the names of ``DECLARED``. ``reaches``: of the leads, and once they have moved."""
    n, days, before = len(who), procedure.days, made.people.nrs
    nothing, nan = np.zeros(n, bool), np.full(n, np.nan)
    found: dict[str, Any] = {f"trial_{name}": nan for name in ("relief", "medication", "activity", "sleep", "index", "infection", "migration")}
    found |= {"tried": nothing, "passed": np.full(n, procedure.therapy != "usual-care"), "failure": np.full(n, ""), "trial_dural_puncture": nothing,
              "trial_haematoma": nothing, **{f"diary_{name}": np.zeros((n, 0)) for name in ("worst", "average", "least", *DAY[1:], "medication")}}
    if not procedure.has_trial:
        return found
    u = who.uniform("trial", 4)
    rates_of_day = [-np.log1p(-practice[f"{name} of trial leads, 30 days"] / 100) / 30 for name in ("infection", "migration")]
    infection, migration = (_waiting(u[:, k], rate) if events else np.full(n, np.inf) for k, rate in enumerate(rates_of_day))
    context = context_dose(arm, {**p, "blinded": 1.0}) * (1 + p["trial boost"]) * context_scale * made.context
    before_move, moved = (made.natural * np.exp(-context - neural_dose(arm.tried, p) * neural_scale * reach * made.neural) for reach in reaches)
    reach, course, z = reaches[0], before_move, who.normal("verdict", 1)[:, 0]
    if days:
        keep, whole = use["correlation of a day's pain with the day before"], practice["days of a trial stage whose mean has the error of the model"]
        share = TRIAL_DAYS_SHARE * np.sqrt(_variance_of_mean(days, keep) / _variance_of_mean(round(whole), keep))
        daily = np.where(np.arange(1, days + 1) > migration[:, None], moved[:, None], course[:, None])
        level = np.clip(daily + share * p["error"] * z[:, None], 0, 10)
        pages = ql.diary(made.people, level, _about_mean(who.normal("diary", days, len(DAY)), keep), use)
        start = ql.diary(made.people, before[:, None], np.zeros((n, 1, len(DAY))), use)
        felt = pages.average.mean(1)
        later = ql.reports(made.people, felt[:, None], np.zeros((n, 1, len(VISIT))), country=country, use=use)
        asked = {"relief": relief(before, felt), "medication": pages.medication.mean(1), "activity": pages.activity.mean(1) - start.activity[:, 0],
                 "sleep": pages.sleep.mean(1) - start.sleep[:, 0], "index": later.index[:, 0] - made.index, "baseline": before}
        found |= {f"diary_{name}": getattr(pages, name).astype(float) for name in ("worst", "average", "least", "sleep", "activity", "medication")}
    else:
        asked = {"relief": relief(before, np.clip(course + p["error"] * z, 0, 10)), "baseline": before}

    puncture, haematoma = (events & (u[:, k] < practice[f"{name}, one placement of leads"] / 100)
                           for k, name in ((2, "dural puncture"), (3, "haematoma")))
    end = np.where(haematoma, 0.0, np.where(infection <= days, infection, np.inf))
    unmet = {name: ~_meets(asked[name], limit, QUANTITIES[name][0]) for name, limit in procedure.limits().items()}
    failure = np.full(n, "", dtype=object)
    for name, missed in unmet.items():
        failure = np.where(missed, np.where(failure == "", name, failure + f", {name}"), failure)
    failure = np.select([haematoma, np.isfinite(end), reach == 0], ["haematoma", "infection", "no coverage"], failure)
    left = np.isinf(end)
    found |= {f"trial_{name}": np.where(left, values, np.nan) for name, values in asked.items() if name != "baseline"}
    found |= {name: np.where(np.arange(1, days + 1) < end[:, None], values, np.nan) for name, values in found.items() if name.startswith("diary_")}
    return found | {"tried": ~nothing, "passed": failure == "", "failure": failure.astype(str), "trial_dural_puncture": puncture,
                    "trial_haematoma": haematoma, "trial_infection": np.where((infection <= days) & ~haematoma, infection, np.nan),
                    "trial_migration": np.where((migration <= days) & (migration <= end), migration, np.nan)}


def _definitive(procedure: Procedure, who: Cohort, made: _People, arm: Arm, p: Parameters, practice: Mapping[str, float], implanted: Flags,
                reach: Floats, there: Floats | None, context_scale: Floats, neural_scale: Floats, until: float) -> dict[str, Any]:
    """Definitive stage if the stimulator of everybody stayed under observation for ever: times in months, inf for never, and doses. ``there``:
    reach of leads that have moved; None: they do not."""
    n, u, never = len(who), who.uniform("device", 11), np.full(len(who), np.inf)
    context = np.broadcast_to(context_dose(arm, p) * context_scale * made.context, n)
    dose = np.broadcast_to(neural_dose(procedure.therapy, p) * neural_scale * reach * made.neural, n)
    second_dose = np.broadcast_to(neural_dose(procedure.salvage or "", p) * neural_scale * reach * made.second, n)
    moving = move(np.ones((n, 2)), reach, reach, practice) if there is None else move(who.uniform("lead", 2), reach, there, practice)
    slid = np.divide(moving.dose, reach, out=np.ones(n), where=reach > 0)
    shape = p["loss shape"]
    loss = 12 * _waiting(u[:, 0], p["loss rate"], shape) if arm.stimulated else never
    second = loss + 12 * _waiting(u[:, 8], p["loss rate"], shape)
    gives_up = u[:, 1] < p["explant after loss"]
    if procedure.salvage is None:
        salvaged, for_loss = np.zeros(n, bool), np.where(gives_up, loss, np.inf)
    else:
        finite = np.where(np.isfinite(loss), loss, 0.0)
        left = made.natural * np.exp(-context * fading(p, finite) - second_dose * np.where(moving.when <= finite, slid, 1.0))
        kept = _meets(1 - left / made.people.nrs, practice["relief that keeps a stimulator after salvage"], "least")
        salvaged, for_loss = kept | ~gives_up, np.where(gives_up, np.where(kept, second, loss), np.inf)
    other = 12 * _waiting(u[:, 2], p["other explants"], shape)
    explant = np.minimum(for_loss, other)
    septic = (other <= 12) & (u[:, 3] < practice["share of other explants of the first year that are for infection"])
    reason = np.where(for_loss <= other, "loss", np.where(septic, "infection", "other"))

    # infections that the stimulator survives: what the published rate leaves over the explants for infection
    taken = practice["share of other explants of the first year that are for infection"] * (1 - np.exp(-p["other explants"]))
    rest = max(0.0, (practice["infection after implantation, first year"] / 100 - taken) / (1 - taken))
    infection = np.where(septic & (reason == "infection"), explant, np.where(u[:, 4] < rest, 12 * u[:, 5], np.inf))

    placed = implanted & (procedure.technique == "percutaneous" or not procedure.has_trial)
    kind = "rechargeable generator" if procedure.rechargeable else "primary cell"
    shortest, longest = ((value / YEAR_S for value in procedure.battery_life) if procedure.battery_life
                         else (practice[f"life of a {kind}, {end}"] for end in ("shortest", "longest")))
    life = shortest + (longest - shortest) * u[:, 7]
    batteries = 12 * life[:, None] * np.arange(1, 1 + int(until / (12 * shortest)))
    revisions = 12 * np.cumsum(_waiting(who.uniform("revision", REVISIONS).ravel(), p["revision rate"]).reshape(n, REVISIONS), 1)
    revisions = with_revision(revisions, moving)
    if (revisions[implanted, -1] <= until).any():
        raise BadInput("until", f"more than {REVISIONS} revisions of one patient", got=until, hint="a shorter time or a lower revision rate")
    last = np.minimum(explant, until)[:, None]
    return {"dose": dose, "second dose": second_dose, "context": context, "loss": loss, "second loss": np.where(salvaged, second, np.inf),
            "migration": moving.when, "migration_revised": moving.revised, "slid": slid,
            "salvage": loss if procedure.salvage else never, "salvaged": salvaged, "explant": explant, "reason": reason, "infection": infection,
            "pocket_pain": implanted & (u[:, 6] < practice[f"pocket pain, {procedure.site}"] / 100), "battery_life": life,
            "dural_puncture": placed & (u[:, 9] < practice["dural puncture, one placement of leads"] / 100),
            "haematoma": placed & (u[:, 10] < practice["haematoma, one placement of leads"] / 100),
            **{name: np.where(implanted[:, None] & (times <= last) & (times < explant[:, None]), times, np.nan)
               for name, times in (("revision", revisions), ("battery", batteries))}}


def _waiting(u: Floats, rate: float, shape: float = 1.0) -> Floats:
    """Times with the cumulative hazard rate t^shape; inf for a rate of 0."""
    if rate <= 0:
        return np.full(len(u), np.inf)
    return np.asarray((-np.log1p(-u) / rate) ** (1 / shape), float)


def _meets(values: Floats, limit: float, end: str) -> Flags:
    return np.asarray(values >= limit - _SAME if end == "least" else values <= limit + _SAME)


def _variance_of_mean(days: int, keep: float) -> float:
    """Of the mean of so many days of an AR(1) process of variance 1."""
    apart = np.arange(1, days)
    return float(days + 2 * ((days - apart) * keep**apart).sum()) / days**2


def _about_mean(z: Floats, keep: float) -> Floats:
    """(n, days, 3) numbers for a diary whose days of pain stray about a mean of zero: how the days went as a whole is drawn apart from them."""
    fresh, stray = np.sqrt(1 - keep**2), z[..., 0].copy()
    for day in range(1, stray.shape[1]):
        stray[:, day] = keep * stray[:, day - 1] + fresh * z[:, day, 0]
    stray -= stray.mean(1, keepdims=True)
    about = z.copy()
    about[:, 0, 0] = stray[:, 0]
    about[:, 1:, 0] = (stray[:, 1:] - keep * stray[:, :-1]) / fresh
    return about


# what the trial stage is worth

@dataclass(frozen=True)
class TrialValue:
    """A trial stage against implanting everybody, in the same people with the same draws.

    Attributes:
        months: when responders are counted.
        table: (2, 2) people: (responds if implanted, does not) x (passes the trial stage, fails).
        with_trial, without_trial, usual_care: share of responders among all, after a trial stage, without one, and without stimulation.
        harmed: share with an infection, a haematoma or a dural puncture in the trial stage.
    """

    months: float
    table: Ints
    with_trial: float
    without_trial: float
    usual_care: float
    harmed: float

    @property
    def sensitivity(self) -> float:
        """Of those who respond if implanted, the share that passes; NaN if nobody does."""
        return _share(self.table[0, 0], self.table[0].sum())

    @property
    def specificity(self) -> float:
        """Of those who do not respond, the share that fails."""
        return _share(self.table[1, 1], self.table[1].sum())

    @property
    def positive_predictive(self) -> float:
        """Of those who pass, the share that responds."""
        return _share(self.table[0, 0], self.table[:, 0].sum())

    @property
    def negative_predictive(self) -> float:
        """Of those who fail, the share that would not have responded."""
        return _share(self.table[1, 1], self.table[:, 1].sum())

    @property
    def trial_to_implant(self) -> float:
        """Share of those who are tried that is implanted."""
        return _share(self.table[:, 0].sum(), self.table.sum())

    @property
    def number_needed_to_try(self) -> float:
        """People to try for one more responder than usual care brings; inf if it brings as many."""
        return _number_needed(self.with_trial - self.usual_care)

    @property
    def number_needed_to_implant(self) -> float:
        """The same without a trial stage, where each is implanted."""
        return _number_needed(self.without_trial - self.usual_care)

    @property
    def missed(self) -> float:
        """Share of people who would have responded and were not implanted."""
        return _share(self.table[0, 1], self.table.sum())

    @property
    def spared(self) -> float:
        """Share of people who would not have responded and were not implanted."""
        return _share(self.table[1, 1], self.table.sum())


def value_of_trial(procedure: Procedure, who: Cohort, p: Parameters, arm: Arm, *, months: float = 6.0, share: float = 0.5, **more: Any) -> TrialValue:
    """What the trial stage of a procedure brings.

    Args:
        procedure, who, p, arm: as in ``simulate``; with a trial stage.
        months: when responders are counted.
        share: relief of a responder.
        more: of ``simulate``.

    Raises:
        BadInput: a procedure without a trial stage.
    """
    if not procedure.has_trial:
        raise BadInput("procedure.skip" if procedure.skip else "procedure.therapy", "there is no trial stage to judge",
                       got=procedure.therapy, hint="give the procedure that has one")
    every = replace_therapy(procedure, "usual-care"), procedure.but(skip=True), procedure
    nobody, everybody, tried = (simulate(one, who, p, arm, months=(months,), **more) for one in every)
    responds = {name: ql.responder(run.data.baseline.values, run.data.nrs.values[:, 0], share)
                for name, run in (("nobody", nobody), ("everybody", everybody), ("tried", tried))}
    good, passed = responds["everybody"], tried.data.passed.values
    counts = np.array([[(row & column).sum() for column in (passed, ~passed)] for row in (good, ~good)])
    harmed = np.isfinite(tried.data.trial_infection.values) | tried.data.trial_haematoma.values | tried.data.trial_dural_puncture.values
    return TrialValue(months, counts, float(responds["tried"].mean()), float(good.mean()), float(responds["nobody"].mean()), float(harmed.mean()))


def replace_therapy(procedure: Procedure, therapy: str) -> Procedure:
    """The same procedure with another therapy; without salvage where there is nothing to salvage."""
    changes = {"therapy": therapy} | ({"salvage": None} if therapy in UNSTIMULATED or therapy == procedure.salvage else {})
    changed: Procedure = procedure.but(**changes)
    return changed


def wilson(k: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share of k of n people (Wilson)."""
    from scipy import stats  # as above

    ends = stats.binomtest(int(k), int(n)).proportion_ci(level, method="wilson")
    return float(ends.low), float(ends.high)


def _share(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else float("nan")


def _number_needed(gain: float) -> float:
    return 1 / gain if gain > 0 else float("inf")


# what is handed in

def _practice(given: Mapping[str, float] | None) -> Mapping[str, float]:
    """Those handed in, or the table's.

    Raises:
        BadInput: one is missing, or a share or a correlation that cannot be.
    """
    practice = rates() if given is None else given
    if missing := [name for name in facts() if name not in practice]:
        raise BadInput("practice", "numbers of practice are missing", got=f"without {missing[0]!r}",
                       hint="start from rates() and change what you like")
    for name, fact in facts().items():
        high = 100.0 if fact.number.unit == "%" else 1.0 if fact.number.unit == "1" else np.inf
        if not 0 <= practice[name] <= high:
            raise BadInput(f"practice.{name}", "out of range", got=practice[name], allowed=f"0 to {high:g} {fact.number.unit}")
    mean, sd = practice["mean adherence"], practice["SD of adherence between people"]
    if not 0 < sd**2 < mean * (1 - mean):
        raise BadInput("practice.SD of adherence between people", "no distribution from 0 to 1 has it", got=sd,
                       allowed=f"above 0, below {np.sqrt(mean * (1 - mean)):.3g} with this mean")
    return practice


def _visits(months: Sequence[float], until: float | None) -> tuple[Floats, float]:
    """Visits and the end of observation.

    Raises:
        BadInput: none, visits that do not rise or are before the verdict, or an end before the last of them.
    """
    visits = np.asarray(months, float)
    if visits.ndim != 1 or not len(visits) or not np.isfinite(visits).all() or (visits < 0).any() or (np.diff(visits) <= 0).any():
        raise BadInput("months", "not visits", got=str(months), allowed="one or more months from 0, rising")
    end = float(visits[-1]) if until is None else float(until)
    if not np.isfinite(end) or end < visits[-1]:
        raise BadInput("until", "ends before the last visit", got=end, allowed=f"{visits[-1]:g} months or later")
    return visits, end


def _place(month: float) -> int:
    """Of a visit in the streams of a patient: the visit at six months is the same whatever other visits there are."""
    return round(month * 4096)


def _factors(value: ArrayLike | None, n: int, where: str, default: ArrayLike) -> Floats:
    """(n,) factors of 0 or more.

    Raises:
        BadInput: another shape, negative or not finite.
    """
    try:
        found = np.array(np.broadcast_to(np.asarray(default if value is None else value, float), (n,)))
    except ValueError:
        raise BadInput(where, "not one for each patient", got=np.asarray(value).shape, allowed=f"shape ({n},) or one number") from None
    if not (np.isfinite(found) & (found >= 0)).all():
        raise BadInput(where, "negative or not finite", got=float(found[~(np.isfinite(found) & (found >= 0))][0]), allowed="0 or more")
    return found
