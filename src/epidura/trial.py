"""A clinical trial described in text, and what the outcome model expects of it.

    found = predict(read_trial("trial.yaml"))

Every number comes as median with 50 and 90 % intervals, once as the mean over infinitely many people (what the model is unsure of) and once as a
trial of this size would see it. A trial or a therapy that the model was not fitted to is predicted with the spread between trials or between
therapies, and an indication with thin evidence with a wider one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from epidura import quality_of_life as life
from epidura.errors import BadCase, BadInput, nearest
from epidura.evidence.model import POINTS, UNSTIMULATED, Arm, Course, Seen, beta_of, therapies
from epidura.evidence.posterior import Posterior, posterior
from epidura.outlook import valued
from epidura.patient import indications
from epidura.recipe import Recipe, load, read_recipe
from epidura.tables import table

Floats = NDArray[np.float64]

UNFITTED = ("burst", "dorsal-root-ganglion", "fast-acting")
"""Therapies that are known and have no parameter of their own: predicted as one more therapy about the typical one."""
LIVES = 100
"""Draws in which quality of life is looked at, which takes longer than pain."""
SHARES = (0.5, 0.9)
"""Of the intervals."""


def known_therapies() -> tuple[str, ...]:
    """What an arm may be treated with."""
    return (*therapies(), *UNFITTED, *UNSTIMULATED)


class Population(Recipe):
    """Who is enrolled.

    Attributes:
        indication: of data/indications.csv; decides how much wider intervals are.
        baseline: mean pain at enrolment, NRS.
        baseline_sd: its standard deviation.
        least: pain needed to enrol, NRS.
    """

    indication: str = "failed-back-surgery"
    baseline: float = Field(gt=0, lt=10)
    baseline_sd: float = Field(1.3, gt=0, lt=5)
    least: float = Field(5.0, ge=0, lt=10)

    @field_validator("indication")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in indications():
            raise BadCase("", "there is no such indication", got=value, allowed=", ".join(indications()),
                          hint=nearest(value, indications()))
        return value

    @model_validator(mode="after")
    def _possible(self) -> Self:
        beta_of(self.baseline, self.baseline_sd, self.least)
        return self


class TrialArm(Recipe):
    """One arm.

    Attributes:
        name: what it is called; no two arms share one.
        therapy: one of ``known_therapies()``.
        n: people who are analysed.
        tried: therapy of the trial stage; that of the arm if None, and ``none`` without a trial stage.
        counted: everyone who was ``randomised``, those without a definitive implant included, or only those ``implanted``.
        novel: the new therapy of an open comparison, from which more is expected.
        reach: how well the stimulation reaches the pain; 1 in the trials that were fitted.
    """

    name: str = Field(min_length=1)
    therapy: str
    n: int = Field(50, ge=1, le=1_000_000)
    tried: str | None = None
    counted: Literal["randomised", "implanted"] = "randomised"
    novel: bool = False
    reach: float = Field(1.0, ge=0, le=5)

    @field_validator("therapy", "tried")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        allowed = (*known_therapies(), "none")
        if value is not None and value not in allowed:
            raise BadCase("", "there is no such therapy", got=value, allowed=", ".join(allowed), hint=nearest(value, allowed))
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.therapy == "none":
            raise BadCase("therapy", "an arm has a treatment", got="none", allowed=", ".join(known_therapies()), hint="usual-care is one")
        if self.tried in UNSTIMULATED:
            raise BadCase("tried", "no therapy of a trial stage", got=self.tried, allowed=", ".join((*therapies(), *UNFITTED, "none")))
        if self.therapy == "sham" and self.tried is None:
            raise BadCase("tried", "a sham arm does not say what the trial stage was done with", allowed=", ".join((*therapies(), *UNFITTED, "none")))
        return self

    @property
    def trial_stage(self) -> str:
        """Therapy of the trial stage; "" without one."""
        if self.therapy == "usual-care" or self.tried == "none":
            return ""
        return self.tried or self.therapy


class Trial(Recipe):
    """A trial to be predicted.

    Attributes:
        title: one line.
        population: who is enrolled.
        blinding: ``open``; ``active``: blinded, but every arm is stimulated; ``sham``: blinded, and some are not stimulated.
        arms: one or more.
        months: after the start, at which is looked.
        country: of the value set of EQ-5D-5L.
        seed: of the draws.
    """

    title: str = "Trial"
    population: Population
    blinding: Literal["open", "active", "sham"] = "open"
    arms: tuple[TrialArm, ...] = Field(min_length=1, max_length=20)
    months: tuple[float, ...] = Field((3.0, 6.0, 12.0), min_length=1, max_length=50)
    country: str = "England"
    seed: int = Field(1, ge=0)

    @field_validator("months")
    @classmethod
    def _times(cls, months: tuple[float, ...]) -> tuple[float, ...]:
        for i, month in enumerate(months):
            if not 0 < month <= 240:
                raise BadCase(f"[{i}]", "not a time to look at", got=f"{month:g} months", allowed="above 0, up to 240 months")
        if list(months) != sorted(set(months)):
            raise BadCase("", "times are not in order, or one stands twice", got=months, allowed="each once, the earliest first")
        return months

    @field_validator("country")
    @classmethod
    def _valued(cls, country: str) -> str:
        return valued(country)

    @model_validator(mode="after")
    def _apart(self) -> Self:
        names = [arm.name for arm in self.arms]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise BadCase(f"arms[{i}].name", "two arms share a name", got=name)
        if self.blinding == "sham" and not any(arm.therapy == "sham" for arm in self.arms):
            raise BadCase("blinding", "blinded against sham, but no arm is sham", got="sham", allowed="open, active, or an arm with therapy: sham")
        return self


def read_trial(source: Path | str | dict[str, Any]) -> Trial:
    """A trial from a YAML file or a mapping.

    Raises:
        BadInput: with the path in the file, what was got and what is allowed.
    """
    found: Trial = read_recipe(Trial, load(source, "trial", Trial))
    return found


def grade(indication: str) -> dict[str, str]:
    """The row of data/indications.csv."""
    return table("indications").row(indication=indication)


def predict(trial: Trial, known: Posterior | None = None) -> dict[str, Any]:
    """What the outcome model expects of a trial.

    Returns:
        a mapping as ``epidura trial --json`` prints it: ``arms`` with one row per time, ``differences`` of every arm from every later one, each
        number as ``{"median", "interval_50", "interval_90", "of_means_50", "of_means_90", "unit"}``; ``notes``; ``evidence``.

    Raises:
        BadInput: an indication of which nothing is known.
    """
    known = known or posterior()
    graded = grade(trial.population.indication)
    if not graded["spread"]:
        raise BadInput("population.indication", f"nothing to predict {graded['name']} from: {graded['words']}", got=trial.population.indication,
                       allowed=", ".join(row["indication"] for row in table("indications") if row["spread"]))
    seen, stage = _draws(trial, known, float(graded["spread"]))
    sampled = np.random.default_rng([trial.seed, 2])
    arms, drawn = [], []
    for a, arm in enumerate(trial.arms):
        at = []
        for values in seen[a]:
            at.append({name: (_UNITS[name], means, _sample(name, means, values, arm.n, sampled)) for name, means in values.items()
                       if name in _UNITS})
        drawn.append(at)
        row: dict[str, Any] = {"name": arm.name, "therapy": arm.therapy, "n": arm.n,
                               "times": [{"months": month, **{name: _told(*one) for name, one in each.items()}}
                                         for month, each in zip(trial.months, at, strict=True)]}
        if arm.trial_stage:
            row["trial_success"] = _told("%", 100 * stage[a], 100 * sampled.binomial(arm.n, np.clip(stage[a], 0, 1)) / arm.n)
        arms.append(row)
    differences = [{"arms": [trial.arms[a].name, trial.arms[b].name],
                    "times": [{"months": month, **{name: _told(one[0], one[1] - other[1], one[2] - other[2])
                                                   for name, one, other in ((name, x[name], y[name]) for name in x)}}
                              for month, x, y in zip(trial.months, drawn[a], drawn[b], strict=True)]}
                   for a in range(len(trial.arms)) for b in range(a + 1, len(trial.arms))]
    return {"title": trial.title, "indication": trial.population.indication, "evidence": {"grade": graded["grade"], "words": graded["words"]},
            "arms": arms, "differences": differences, "notes": _notes(trial, graded), "posterior": known.provenance}


_UNITS = {"responder50": "%", "responder30": "%", "pain": "NRS", "change": "NRS", "percent_reduction": "%", "eq5d_index": "1", "eq5d_change": "1",
          "odi_like_change": "points", "much_improved": "%", "holistic_responder": "%"}
_SHARES = ("responder50", "responder30", "much_improved", "holistic_responder")
_SPREADS = {"pain": "pain_sd", "change": "change_sd", "percent_reduction": "percent_reduction_sd", "eq5d_index": "eq5d_sd",
            "eq5d_change": "eq5d_change_sd", "odi_like_change": "odi_like_change_sd"}


def _draws(trial: Trial, known: Posterior, wider: float) -> tuple[list[list[dict[str, Floats]]], list[Floats]]:
    """Expected measures per arm and time, each (draws,), and the share that passes the trial stage per arm."""
    rng = np.random.default_rng([trial.seed, 0])
    context, neural = known.new(rng)
    neural = neural * np.exp(wider * rng.standard_normal(known.count))
    doses = {therapy: known.dose(therapy, np.random.default_rng([trial.seed, 1, i])) for i, therapy in enumerate((*therapies(), *UNFITTED))}
    arms = [arm_of(trial, arm) for arm in trial.arms]
    found: list[list[dict[str, list[float]]]] = [[{} for _ in trial.months] for _ in arms]
    stage: list[list[float]] = [[] for _ in arms]
    lived = set(np.linspace(0, known.count - 1, min(LIVES, known.count)).round().astype(int).tolist())
    for k in range(known.count):
        p = {**known.draw(k), **{f"neural {therapy}": float(dose[k]) for therapy, dose in doses.items()}}
        course = Course.of(arms, p, [(context[k], neural[k])] * len(arms))
        for a, success in enumerate(course.trial_success()):
            stage[a].append(float(success))
        for t, month in enumerate(trial.months):
            at = course.seen(month)
            measures = {"responder50": at.responders(0.5), "responder30": at.responders(0.3)}
            for name, (mean, sd) in (("pain", at.pain_left()), ("change", at.change()), ("percent_reduction", at.reduction())):
                measures |= {name: mean, f"{name}_sd": sd}
            for name, values in measures.items():
                for a, value in enumerate(values):
                    found[a][t].setdefault(name, []).append(float(value) * (100 if name in _SHARES else 1))
            if k in lived:
                for a, values_of in enumerate(_lives(at, p["error"], known, trial, k)):
                    for name, value in values_of.items():
                        found[a][t].setdefault(name, []).append(value)
    return [[{name: np.array(values) for name, values in at.items()} for at in times] for times in found], [np.array(one) for one in stage]


def _lives(seen: Seen, error: float, known: Posterior, trial: Trial, k: int) -> list[dict[str, float]]:
    """Quality of life of the people of one draw, per arm: the same people in every arm."""
    rng = np.random.default_rng([trial.seed, 3, k])
    use = life.parameters(rng.random(len(life.uncertain())))
    z, visit = rng.standard_normal((POINTS, len(life.PERSON))), rng.standard_normal((POINTS, 2, len(life.VISIT)))
    state, noise = rng.random(POINTS), rng.standard_normal(POINTS)
    found = []
    for a in range(seen.baseline.shape[0]):
        weight, course = seen.weight[:, a], seen.pain[:, a]
        total = weight.sum(axis=0)
        within = np.cumsum(weight, axis=0) / np.where(total > 0, total, 1.0)  # who counts nothing may be in any state
        pain = np.take_along_axis(course, np.minimum((state > within).sum(axis=0), 2)[None], axis=0)[0]
        base = np.maximum(seen.baseline[a], 0.1)
        nrs = np.stack([base, np.clip(pain + error * noise, 0, 10)], axis=1)
        who = life.people(base, z, use=use)
        told = life.reports(who, nrs, visit, country=trial.country, use=use)
        share = total / total.sum()
        index, odi = told.index, told.odi_like
        gained, function = index[:, 1] - index[:, 0], odi[:, 1] - odi[:, 0]
        found.append({
            "eq5d_index": float(share @ index[:, 1]), "eq5d_sd": _spread(share, index[:, 1]),
            "eq5d_change": float(share @ gained), "eq5d_change_sd": _spread(share, gained),
            "odi_like_change": float(share @ function), "odi_like_change_sd": _spread(share, function),
            "much_improved": 100 * float(share @ (told.pgic[:, 1] <= 2)), "holistic_responder": 100 * float(share @ told.holistic.responder[:, 1])})
    return found


def _spread(share: Floats, values: Floats) -> float:
    """Standard deviation between people who count with these shares."""
    return float(np.sqrt(share @ (values - share @ values) ** 2))


def arm_of(trial: Trial, arm: TrialArm) -> Arm:
    """The arm as the model takes it."""
    who = trial.population
    stage: str = "none" if not arm.trial_stage else arm.counted
    return Arm(trial.title, arm.name, arm.therapy, arm.trial_stage, trial.blinding, arm.novel, stage, who.baseline, who.baseline_sd, who.least,
               n=arm.n, reach=arm.reach)


def _sample(name: str, means: Floats, values: dict[str, Floats], n: int, rng: np.random.Generator) -> Floats:
    """What a trial with n people would see, one for each draw."""
    if name in _SHARES:
        return np.asarray(100 * rng.binomial(n, np.clip(means / 100, 0, 1)) / n)
    return np.asarray(means + values[_SPREADS[name]] / np.sqrt(n) * rng.standard_normal(len(means)))


def _told(unit: str, means: Floats, sampled: Floats) -> dict[str, Any]:
    """A number with its intervals."""
    digits = {"%": 1, "NRS": 2, "points": 1}.get(unit, 3)
    found: dict[str, Any] = {"median": round(float(np.median(means)), digits)}
    for name, values in (("interval", sampled), ("of_means", means)):
        for share in SHARES:
            ends = np.quantile(values, [(1 - share) / 2, (1 + share) / 2])
            found[f"{name}_{round(100 * share)}"] = [round(float(end), digits) for end in ends]
    return {**found, "unit": unit}


def _notes(trial: Trial, graded: dict[str, str]) -> list[str]:
    """What a reader should know of a prediction."""
    found = []
    for arm in trial.arms:
        if arm.therapy in UNFITTED:
            found.append(f"{arm.name}: no trial of {arm.therapy} was fitted; predicted as one more therapy about the typical one")
        if arm.therapy == "usual-care" and arm.tried not in (None, "none"):
            found.append(f"{arm.name}: usual care has no trial stage; tried is left out")
    if float(graded["spread"]):
        found.append(f"{graded['name']}: evidence {graded['grade']} ({graded['words']}); the neural effect is drawn wider by a factor of "
                     f"exp({graded['spread']}), a judgement")
    if max(trial.months) > 24:
        found.append("beyond 24 months pain is carried on from the laws; only explants were fitted that far")
    if trial.population.least < 5:
        found.append("people with pain below 5 may enrol; the natural course was fitted to people with 5 or more")
    return found

