"""From pain in time to what a patient reports: scores, diary, EQ-5D, disability, impression of change, responders.

The course of pain (NRS 0 to 10) is made elsewhere. Here it is turned into everything that goes with it. Nothing is drawn inside: the caller
hands in standard normal numbers, ``len(PERSON)`` for each patient, ``len(VISIT)`` for each visit and ``len(DAY)`` for each day, so the same
numbers give the same patient. Zeros give a patient in the middle of everything.

    people(nrs, z)            baseline: age and PROMIS T scores given pain, from a registry of 21658 patients (data/choir.csv)
    reports(people, nrs, z)   at visits: scores, EQ-5D-5L, disability, relief, impression of change, responders
    diary(people, nrs, z)     day by day: worst, average and least pain, sleep, activity, medication

T scores have mean 50 and SD 10 in the public; more is better for physical function and worse for the rest. How much scores follow a change of
pain within a patient is not known: a slope between people is not an effect of time. That slope is multiplied by the parameter ``transfer``,
a judgement. Every number is a row of data/quality_of_life.csv with its range and evidence; ``parameters(u)`` draws them all within their
ranges, and ``docs/quality-of-life.md`` says which ones are judgements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from epidura import eq5d
from epidura.eq5d import DIMENSIONS, LEVELS, Ints
from epidura.errors import BadInput, BadTable, nearest
from epidura.product import Floats
from epidura.tables import Number, Table, table

Flags = NDArray[np.bool_]
Parameters = Mapping[str, float]

SCORES = ("physical function", "pain interference", "sleep disturbance", "depression", "anxiety")
"""PROMIS domains whose T scores are followed."""

DOMAINS = ("pain", "quality of life", "sleep", "physical function", "emotional function")
"""Of the holistic responder: NRS, EQ-5D index, and the T scores of sleep disturbance, physical function and depression."""

PERSON = ("age", *SCORES, *(f"EQ-5D {name}" for name in DIMENSIONS), "EQ VAS", "ODI-like", "reported relief", "PGIC", "day's SD")
"""What the standard normal numbers of a patient stand for; all stay as they are over time."""

VISIT = (*SCORES, "EQ VAS", "reported relief", "PGIC")
"""What those of a visit stand for."""

DAY = ("pain", "sleep", "activity")
"""What those of a day stand for."""

SUBSETS = ("all", "NRS>=5")
"""Of the registry: everybody, or those who would be let into a trial."""

RATINGS = 11
"""Whole numbers of a rating from 0 to 10."""

TRANSFER = "transfer of a slope between people to a change within one"

_AGREEMENT = 1.96  # limits of agreement lie so many SD of the difference from its mean
_SAME = 1e-9  # 30 % of 10 is 3, whatever floats say
_FILE = "quality_of_life"
_SIGN = np.array([-1.0, 1.0, -1.0, 1.0, -1.0])  # of DOMAINS: more is better


@dataclass(frozen=True)
class Fact:
    """A number of data/quality_of_life.csv and the ends that it may lie between; both are the number itself where none are given."""

    number: Number
    low: float
    high: float

    def at(self, u: float) -> float:
        """Between the ends for a uniform number, half of it below the number itself."""
        value = self.number.value
        return self.low + (value - self.low) * 2 * u if u < 0.5 else value + (self.high - value) * (2 * u - 1)


@cache
def facts(use: str = "model") -> dict[str, Fact]:
    """Every number by name: those of the model, or those of ``check`` that it is only compared with."""
    rows: Table = table(_FILE)
    found = {}
    for row in rows:
        if row["use"] == use:
            number = rows.number(row["quantity"], "value", row["unit"], quantity=row["quantity"])
            found[row["quantity"]] = Fact(number, *(float(row[end] or number.value) for end in ("low", "high")))
    return found


def uncertain() -> tuple[str, ...]:
    """Names of the numbers of the model that are known only between two ends."""
    return tuple(name for name, fact in facts().items() if fact.low < fact.high)


def parameters(u: ArrayLike | None = None, *, transfer: float | None = None) -> dict[str, float]:
    """All numbers of the model by name, which every verb here takes as ``use``; change others by ``parameters() | {name: value}``.

    Args:
        u: (len(uncertain()),) uniform numbers from 0 to 1, which draw each number between its ends; without them each is as in the table.
        transfer: 0 to 3, in place of the table's.

    Raises:
        BadInput: another shape, or a number out of range.
    """
    values = {name: fact.number.value for name, fact in facts().items()}
    if u is not None:
        drawn = _finite(u, "u", 0.0, 1.0)
        if drawn.shape != (len(uncertain()),):
            raise BadInput("u", "one number for each uncertain parameter", got=drawn.shape, allowed=f"shape ({len(uncertain())},)")
        values |= {name: facts()[name].at(float(one)) for name, one in zip(uncertain(), drawn, strict=True)}
    if transfer is not None:
        values[TRANSFER] = float(_finite(transfer, "transfer", 0.0, 3.0))
    return values


def _used(use: Parameters | None) -> Parameters:
    """Those handed in, or the table's.

    Raises:
        BadInput: some are missing.
    """
    if use is None:
        return parameters()
    if missing := [name for name in facts() if name not in use]:
        raise BadInput("use", "numbers of the model are missing", got=f"without {missing[0]!r} and {len(missing) - 1} more",
                       hint="start from parameters() and change what you like")
    return use


# the registry

@dataclass(frozen=True)
class Moments:
    """Means, SDs and correlations of pain (NRS), age (years) and T scores among the patients of a registry.

    Attributes:
        names: "NRS", "age" and SCORES.
        mean, sd: (7,).
        correlation: (7, 7), positive definite.
        numbers: each with its source.
    """

    names: tuple[str, ...]
    mean: Floats
    sd: Floats
    correlation: Floats
    numbers: tuple[Number, ...]

    def slope(self) -> Floats:
        """(5,) T per NRS between people of the same age: the cross-sectional slope."""
        return self.given(2)[0][:, 0]

    def given(self, known: int) -> tuple[Floats, Floats]:
        """Of the others when the first so many are known: (others, known) slopes, and (others, others) root of the covariance that remains."""
        cov = self.correlation * np.outer(self.sd, self.sd)
        slopes = np.linalg.solve(cov[:known, :known], cov[:known, known:]).T
        return np.asarray(slopes, float), np.asarray(np.linalg.cholesky(cov[known:, known:] - slopes @ cov[:known, known:]), float)


@cache
def moments(subset: str = "NRS>=5") -> Moments:
    """Of everybody in the registry ("all") or of those with NRS 5 or more.

    Raises:
        BadInput: another subset.
        BadTable: the correlations are of no possible group of people.
    """
    if subset not in SUBSETS:
        raise BadInput("subset", "no such part of the registry", got=subset, allowed=", ".join(SUBSETS), hint=nearest(subset, SUBSETS))
    names, rows = ("NRS", "age", *SCORES), table("choir")
    numbers: dict[tuple[str, str, str], Number] = {}
    for row in rows:
        if row["subset"] == subset:
            key = (row["quantity"], row["variable"], row["other"])
            numbers[key] = rows.number(" ".join(filter(None, (*key, f"({subset})"))), "value", row["unit"],
                                       subset=subset, quantity=key[0], variable=key[1], other=key[2])
    mean, sd = (np.array([numbers[what, name, ""].value for name in names]) for what in ("mean", "sd"))
    correlation = np.eye(len(names))
    for i, a in enumerate(names):
        for j, b in enumerate(names):
            if i != j:
                correlation[i, j] = numbers[("correlation", a, b) if ("correlation", a, b) in numbers else ("correlation", b, a)].value
    least = float(np.linalg.eigvalsh(correlation)[0])
    if least <= 0:
        raise BadTable("data/choir.csv", f"the correlations of {subset} are not positive definite", got=round(least, 3),
                       allowed="least eigenvalue above 0")
    return Moments(names, mean, sd, correlation, tuple(numbers.values()))


# patients

@dataclass(frozen=True)
class People:
    """Patients before treatment.

    Attributes:
        nrs: (...) average pain, above 0 to 10.
        age: (...) years.
        scores: (..., 5) T scores of SCORES.
        z: (..., len(PERSON)) standard normal numbers of each patient.
    """

    nrs: Floats
    age: Floats
    scores: Floats
    z: Floats

    def noise(self, *names: str) -> Floats:
        """(...) of one name of PERSON, or (..., names)."""
        picked = self.z[..., [PERSON.index(name) for name in names]]
        return picked[..., 0] if len(names) == 1 else picked


def people(nrs: ArrayLike, z: ArrayLike, *, age: ArrayLike | None = None, subset: str = "NRS>=5", use: Parameters | None = None) -> People:
    """Patients with T scores that go with their pain and age as in the registry: a normal law given both.

    Args:
        nrs: (...) average pain before treatment.
        z: (..., len(PERSON)) standard normal numbers.
        age: (...) years; drawn where not given.
        subset: part of the registry.
        use: numbers of ``parameters``.

    Raises:
        BadInput: pain that is not above 0 and up to 10, an age below 18 or above 110, numbers of another shape or not finite.
    """
    p, known = _used(use), moments(subset)
    pain = _finite(nrs, "nrs", 0.0, 10.0)
    if (pain <= 0).any():
        raise BadInput("nrs", "a patient without pain has no relief to report", got=float(pain.min()), allowed="above 0, up to 10")
    draws = _draws(z, PERSON, pain.shape)
    if age is None:
        slope, root = known.given(1)
        years = np.maximum(known.mean[1] + slope[0, 0] * (pain - known.mean[0]) + root[0, 0] * draws[..., 0], p["least age"])
    else:
        years = np.broadcast_to(_finite(age, "age", p["least age"], 110.0), pain.shape)
    slopes, root = known.given(2)
    apart = np.stack([pain, years], -1) - known.mean[:2]
    return People(pain, years, known.mean[2:] + apart @ slopes.T + draws[..., 1:1 + len(SCORES)] @ root.T, draws)


def followed(who: People, nrs: ArrayLike, use: Parameters | None = None) -> Floats:
    """(..., times, 5) T scores at times with pain nrs (..., times), without error of measurement.

    Each score moves by transfer x slope between people x change of NRS. No change of pain: no change of scores.

    Raises:
        BadInput: pain outside 0 to 10, another shape, or a negative transfer.
    """
    p = _used(use)
    pain = _course(who, nrs)
    if p[TRANSFER] < 0:
        raise BadInput("use", "the transfer is negative", got=p[TRANSFER], allowed="0 or more")
    change = pain - who.nrs[..., None]
    return np.asarray(who.scores[..., None, :] + p[TRANSFER] * moments("all").slope() * change[..., None], float)


# diary

@dataclass(frozen=True)
class Diary:
    """What a patient writes down at the end of each day, (..., days).

    Attributes:
        worst, average, least: pain of the day, whole numbers 0 to 10.
        sleep, activity: ratings, whole numbers 0 to 10, 10 is best.
        medication: use against baseline; 1 is as before.
    """

    worst: Ints
    average: Ints
    least: Ints
    sleep: Ints
    activity: Ints
    medication: Floats


def rating(value: ArrayLike) -> Ints:
    """(...) nearest whole number from 0 to 10, halves up."""
    return np.clip(np.floor(np.asarray(value, float) + 0.5), 0, RATINGS - 1).astype(np.int64)


def day_sd(who: People, nrs: ArrayLike, use: Parameters | None = None) -> Floats:
    """(..., days) SD of a day's average pain about its course: greatest in the middle of the scale, none at its ends."""
    p, pain = _used(use), _course(who, nrs)
    own = p["SD of a day's pain in the middle of the scale"] * np.exp(p["spread between people of the day's SD"] * who.noise("day's SD"))
    return np.asarray(own[..., None] * np.sqrt(pain * (10 - pain)) / 5, float)


def rating_probability(mean: ArrayLike, sd: ArrayLike) -> Floats:
    """(..., 11) probability of each rating 0 to 10 of something normal; what lies beyond the ends is rated as the ends."""
    centre, spread = (_finite(value, name)[..., None] for value, name in ((mean, "mean"), (sd, "sd")))
    if (spread < 0).any():
        raise BadInput("sd", "negative", got=float(spread.min()), allowed="0 or more")
    edges = np.arange(RATINGS - 1) + 0.5
    certain = np.where(edges > centre, 1.0, 0.0)
    below = np.where(spread > 0, ndtr((edges - centre) / np.where(spread > 0, spread, 1.0)), certain)
    return np.diff(below, axis=-1, prepend=0.0, append=1.0)


def diary(who: People, nrs: ArrayLike, z: ArrayLike, use: Parameters | None = None) -> Diary:
    """Days of a diary.

    A day's pain strays from its course as an AR(1) process. Worst and least pain lie above and below the average by
    swing x pain x (10 - pain). Sleep and activity follow the T scores of sleep disturbance and physical function, and the day's pain.

    Args:
        who: (...) patients.
        nrs: (..., days) course of average pain.
        z: (..., days, len(DAY)) standard normal numbers.
        use: numbers of ``parameters``.

    Raises:
        BadInput: pain outside 0 to 10, or numbers of another shape or not finite.
    """
    p, pain = _used(use), _course(who, nrs)
    draws = _draws(z, DAY, pain.shape)
    stray, keep = draws[..., 0].copy(), p["correlation of a day's pain with the day before"]
    for day in range(1, pain.shape[-1]):
        stray[..., day] = keep * stray[..., day - 1] + np.sqrt(1 - keep**2) * draws[..., day, 0]
    felt = np.clip(pain + day_sd(who, pain, p) * stray, 0, 10)
    swing = p["swing within a day"] * felt * (10 - felt)
    scores = followed(who, pain, p)
    of_day = p["rating per NRS of the day"] * (felt - pain)[..., None] + p["SD of a rating from day to day"] * draws[..., 1:]
    worse = np.stack([scores[..., SCORES.index("sleep disturbance")] - 50, 50 - scores[..., SCORES.index("physical function")]], -1)
    best = np.array([p["sleep rating at T 50"], p["activity rating at T 50"]])
    ratings = rating(best - p["rating per T"] * worse + of_day)
    return Diary(rating(felt + swing), rating(felt), rating(felt - swing), ratings[..., 0], ratings[..., 1],
                 medication(relief(who.nrs[..., None], pain), p))


def medication(gained: ArrayLike, use: Parameters | None = None) -> Floats:
    """(...) use against baseline at a relief (1 is no pain left, negative is more pain)."""
    p = _used(use)
    return np.asarray(np.clip(1 - p["medication saved per relief"] * _finite(gained, "relief"), 0, p["most medication"]), float)


# EQ-5D and disability

def severities(nrs: ArrayLike, scores: ArrayLike) -> Floats:
    """(..., 5) what the levels of the five dimensions are read from; more is worse: -T of physical function twice, T of pain interference, NRS,
    the greater T of depression and anxiety."""
    t = np.asarray(scores, float)
    return np.stack([-t[..., 0], -t[..., 0], t[..., 1], np.broadcast_to(np.asarray(nrs, float), t.shape[:-1]), t[..., 3:5].max(-1)], -1)


def _edges(p: Parameters) -> tuple[Floats, Floats]:
    """(5, 4) edges of levels 2 to 5 in what ``severities`` gives, rising, and (5,) their spread between people."""
    sign = np.array([-1.0, -1.0, 1.0, 1.0, 1.0])
    edges = np.array([[p[f"EQ-5D {name}, edge of level {level}"] for level in range(2, LEVELS + 1)] for name in DIMENSIONS]) * sign[:, None]
    if (np.diff(edges, axis=-1) <= 0).any():
        raise BadInput("use", "edges of EQ-5D levels are out of order", got=edges.tolist())
    in_nrs = np.array([name == "pain/discomfort" for name in DIMENSIONS])
    return edges, np.where(in_nrs, p["EQ-5D spread of edges between people, NRS"], p["EQ-5D spread of edges between people, T"])


def profile(nrs: ArrayLike, scores: ArrayLike, z: ArrayLike, use: Parameters | None = None) -> Ints:
    """(..., 5) EQ-5D-5L levels; z (..., 5) are the patient's own and shift all edges of a dimension together."""
    edges, spread = _edges(_used(use))
    own = severities(nrs, scores) + spread * _finite(z, "z")
    return np.asarray(1 + (own[..., None] > edges).sum(-1), np.int64)


def profile_probability(nrs: ArrayLike, scores: ArrayLike, use: Parameters | None = None) -> Floats:
    """(..., 5, 5) probability of each level of each dimension over people with these scores: an ordered probit."""
    edges, spread = _edges(_used(use))
    above = ndtr((severities(nrs, scores)[..., None] - edges) / spread[:, None])
    return -np.diff(above, axis=-1, prepend=1.0, append=0.0)


def eq_vas(levels: ArrayLike, noise: ArrayLike = 0.0, use: Parameters | None = None) -> Floats:
    """(...) EQ VAS 0 to 100 from profiles (..., 5): it falls with the sum of the levels. noise (...) is added, in points."""
    p = _used(use)
    steps = eq5d.checked(levels).sum(-1) - len(DIMENSIONS)
    return np.asarray(np.clip(p["EQ VAS without problems"] - p["EQ VAS per level"] * steps + _finite(noise, "noise"), 0, 100), float)


def odi_weights(use: Parameters | None = None) -> tuple[Floats, float]:
    """(2,) % per T of physical function and of pain interference, and the SD of what they leave: the regression that follows from the
    published correlations with the ODI, the registry's SDs and their correlation, and the SD of the ODI."""
    p, known = _used(use), moments("all")
    pick = [known.names.index(name) for name in SCORES[:2]]
    r = np.array([p["correlation of ODI and physical function"], p["correlation of ODI and pain interference"]])
    beta = np.linalg.solve(known.correlation[np.ix_(pick, pick)], r)
    left = 1 - float(beta @ r)
    if left < 0:
        raise BadInput("use", "correlations with the ODI that cannot both be", got=r.tolist())
    return p["SD of the ODI"] * beta / known.sd[pick], p["SD of the ODI"] * float(np.sqrt(left))


def odi_like(scores: ArrayLike, z: ArrayLike = 0.0, use: Parameters | None = None) -> Floats:
    """(...) a disability from 0 to 100 that behaves like the Oswestry index, from T scores (..., 5). It is not that index."""
    p, known = _used(use), moments("all")
    slopes, left = odi_weights(p)
    apart = np.asarray(scores, float)[..., :2] - known.mean[[known.names.index(name) for name in SCORES[:2]]]
    return np.asarray(np.clip(p["ODI-like at the registry's mean scores"] + apart @ slopes + left * _finite(z, "z"), 0, 100), float)


# relief, impression of change, responders

def relief(baseline: ArrayLike, now: ArrayLike) -> Floats:
    """(...) calculated relief (baseline - now) / baseline; NaN where there was no pain at baseline."""
    before, after = np.broadcast_arrays(_finite(baseline, "baseline", 0.0, 10.0), _finite(now, "now", 0.0, 10.0))
    return np.divide(before - after, before, out=np.full(before.shape, np.nan), where=before > 0)


def responder(baseline: ArrayLike, now: ArrayLike, share: float) -> Flags:
    """(...) whether pain fell by at least this share: exactly 30 % of relief is a 30 % responder. Without pain at baseline nobody is one.

    Raises:
        BadInput: pain outside 0 to 10, or a share that is not above 0 and up to 1.
    """
    if not 0 < share <= 1:
        raise BadInput("share", "not a share of relief", got=share, allowed="above 0, up to 1, such as 0.5")
    before, after = _finite(baseline, "baseline", 0.0, 10.0), _finite(now, "now", 0.0, 10.0)
    return np.asarray((before > 0) & (before - after >= share * before - _SAME))


def reported_relief(calculated: ArrayLike, z: ArrayLike, use: Parameters | None = None) -> Floats:
    """(...) relief that patients report (0 to 1) when it is calculated so; z (...) standard normal.

    A regression in trials of stimulation: slope, mean and noise follow from both means and SDs and from the limits of agreement.
    It is no effect: where nothing changed it still says a fifth, because in those trials nearly everybody got better.
    """
    p = _used(use)
    m, s, m2, s2 = (p[f"{who} relief, {what}"] / 100 for who in ("calculated", "reported") for what in ("mean", "SD"))
    lower, upper = (p[f"reported less calculated relief, {end} limit of agreement"] / 100 for end in ("lower", "upper"))
    apart = (upper - lower) / (2 * _AGREEMENT)
    r = (s**2 + s2**2 - apart**2) / (2 * s * s2)
    line = m2 + r * s2 / s * (_finite(calculated, "calculated") - m)
    return np.asarray(np.clip(line + s2 * np.sqrt(1 - r**2) * _finite(z, "z"), 0, 1), float)


def pgic(gained: ArrayLike, z: ArrayLike, use: Parameters | None = None) -> Ints:
    """(...) patient's global impression of change, 1 very much improved to 7 very much worse, from relief; z (...) standard normal.

    Raises:
        BadInput: relief that is not a number (no pain at baseline).
    """
    p = _used(use)
    least = np.array([p[f"PGIC {k}, least relief"] for k in range(1, 7)])
    if (np.diff(least) >= 0).any():
        raise BadInput("use", "edges of the impression of change are out of order", got=least.tolist())
    seen = _finite(gained, "relief") + p["PGIC noise"] * _finite(z, "z")
    return np.asarray(1 + (seen[..., None] < least).sum(-1), np.int64)


@dataclass(frozen=True)
class Holistic:
    """The holistic responder of Levy 2023 and Taylor 2024, with our scores in place of theirs.

    Attributes:
        impaired: (..., 5) domains worse than the norm at baseline.
        gained: (..., 5) improvement in minimal clinically important differences.
        eligible: (...) whether any domain was impaired.
        responder: (...) whether every impaired domain gained at least one; nobody who was not impaired.
        total: (...) sum of the gains of impaired domains.
        mean: (...) their mean; 0 where none was impaired.
    """

    impaired: Flags
    gained: Floats
    eligible: Flags
    responder: Flags
    total: Floats
    mean: Floats


def holistic(baseline: ArrayLike, now: ArrayLike, use: Parameters | None = None) -> Holistic:
    """From what DOMAINS names before and after, (..., 5) each.

    Raises:
        BadInput: another shape, or not finite.
    """
    p = _used(use)
    before, after = (_finite(value, name) for value, name in ((baseline, "baseline"), (now, "now")))
    for name, value in (("baseline", before), ("now", after)):
        if value.ndim == 0 or value.shape[-1] != len(DOMAINS):
            raise BadInput(name, "one number for each domain", got=value.shape, allowed=", ".join(DOMAINS))
    norm, least = (np.array([p[f"{what} of {name}"] for name in DOMAINS]) for what in ("norm", "MCID"))
    before, after = np.broadcast_arrays(before, after)
    impaired, gained = _SIGN * before < _SIGN * norm, _SIGN * (after - before) / least
    count = impaired.sum(-1)
    total = np.where(impaired, gained, 0.0).sum(-1)
    good = (count > 0) & (~impaired | (gained >= 1 - _SAME)).all(-1)
    return Holistic(impaired, gained, count > 0, good, total, total / np.maximum(count, 1))


@dataclass(frozen=True)
class Reports:
    """What patients report at visits, (..., visits).

    Attributes:
        nrs: average pain, as handed in.
        scores: (..., visits, 5) T scores of SCORES without error.
        measured: (..., visits, 5) with error of measurement.
        profile: (..., visits, 5) EQ-5D-5L levels.
        index: EQ-5D index.
        vas: EQ VAS, 0 to 100.
        odi_like: disability like the Oswestry index, 0 to 100.
        relief: calculated, 1 is no pain left.
        reported: relief in the patient's words.
        pgic: impression of change, 1 best to 7.
        responder30, responder50: by calculated relief.
        medication: against baseline.
        holistic: from pain, index, and measured scores against those at baseline.
    """

    nrs: Floats
    scores: Floats
    measured: Floats
    profile: Ints
    index: Floats
    vas: Floats
    odi_like: Floats
    relief: Floats
    reported: Floats
    pgic: Ints
    responder30: Flags
    responder50: Flags
    medication: Floats
    holistic: Holistic


def reports(who: People, nrs: ArrayLike, z: ArrayLike, *, country: str = "England", use: Parameters | None = None) -> Reports:
    """Visits of patients.

    Args:
        who: (...) patients.
        nrs: (..., visits) average pain at each visit.
        z: (..., visits, len(VISIT)) standard normal numbers.
        country: whose value set the EQ-5D index is of.
        use: numbers of ``parameters``.

    Raises:
        BadInput: pain outside 0 to 10, numbers of another shape or not finite, or a country without value set.
    """
    p, pain = _used(use), _course(who, nrs)
    draws = _draws(z, VISIT, pain.shape)
    here = dict(zip(VISIT, np.moveaxis(draws, -1, 0), strict=True))
    scores = followed(who, pain, p)
    measured = scores + p["standard error of a T score"] * draws[..., :len(SCORES)]
    own = who.noise(*(f"EQ-5D {name}" for name in DIMENSIONS))
    levels, before = profile(pain, scores, own[..., None, :], p), profile(who.nrs, who.scores, own, p)
    index, vas_noise = eq5d.index(levels, country), p["EQ VAS spread between people"] * who.noise("EQ VAS")[..., None]
    gained, share = relief(who.nrs[..., None], pain), p["person's share of the noise of relief and PGIC"]
    mixed = {name: np.sqrt(share) * who.noise(name)[..., None] + np.sqrt(1 - share) * here[name] for name in ("reported relief", "PGIC")}
    domains = [SCORES.index(name) for name in ("sleep disturbance", "physical function", "depression")]
    start = np.concatenate([who.nrs[..., None], eq5d.index(before, country)[..., None], who.scores[..., domains]], -1)
    end = np.concatenate([pain[..., None], index[..., None], measured[..., domains]], -1)
    return Reports(pain, scores, measured, levels, index, eq_vas(levels, vas_noise + p["EQ VAS spread between visits"] * here["EQ VAS"], p),
                   odi_like(scores, who.noise("ODI-like")[..., None], p), gained, reported_relief(gained, mixed["reported relief"], p),
                   pgic(gained, mixed["PGIC"], p), responder(who.nrs[..., None], pain, 0.3), responder(who.nrs[..., None], pain, 0.5),
                   medication(gained, p), holistic(start[..., None, :], end, p))


def used_numbers(country: str = "England", subset: str = "NRS>=5") -> tuple[Number, ...]:
    """Every number that people, reports and diary rest on: for citing, and for saying which are unverified."""
    registry = {number.name: number for part in (subset, "all") for number in moments(part).numbers}
    return (*(fact.number for fact in facts().values()), *registry.values(), *eq5d.value_set(country).numbers)


# what is handed in

def _finite(value: ArrayLike, where: str, low: float = -np.inf, high: float = np.inf) -> Floats:
    """Numbers between two ends.

    Raises:
        BadInput: one that is not.
    """
    try:
        given = np.asarray(value, float)
    except (TypeError, ValueError):
        raise BadInput(where, "not numbers", got=str(value)) from None
    bad = ~np.isfinite(given) | (given < low) | (given > high)
    if bad.any():
        at = np.argwhere(bad)[0]
        ends = f"{low:g} to {high:g}" if np.isfinite(low) else "finite numbers"
        raise BadInput(where + "".join(f"[{i}]" for i in at), "out of range" if np.isfinite(given[tuple(at)]) else "not a finite number",
                       got=float(given[tuple(at)]), allowed=ends)
    return given


def _draws(z: ArrayLike, names: tuple[str, ...], shape: tuple[int, ...]) -> Floats:
    """z as (*shape, len(names)); zeros and other single rows serve everybody."""
    given = _finite(z, "z")
    if given.ndim and given.shape[-1] == len(names):
        try:
            return np.broadcast_to(given, (*shape, len(names)))
        except ValueError:
            pass
    raise BadInput("z", "standard normal numbers of another shape", got=given.shape, allowed=f"shape {(*shape, len(names))}",
                   hint=f"the last axis stands for {', '.join(names)}")


def _course(who: People, nrs: ArrayLike) -> Floats:
    """(..., times) pain of each patient.

    Raises:
        BadInput: outside 0 to 10, or another shape.
    """
    pain = _finite(nrs, "nrs", 0.0, 10.0)
    if pain.ndim != who.nrs.ndim + 1 or pain.shape[:-1] != who.nrs.shape:
        raise BadInput("nrs", "not a course of pain for each patient", got=pain.shape,
                       allowed=f"shape {(*who.nrs.shape, 'times')}", hint="one time: nrs[..., None]")
    return pain
