"""How pain goes on with and without stimulation: expectations over people, for fitting and for prediction.

A person with pain ``Y0`` (NRS) at enrolment has, t months later and without stimulation, the pain

    N = M + h + persistence (Y0 - M - h) + spread z                  natural course and regression to the mean

and with it N exp(-c - n), where the **context** and the **neural** part are doses, 0 for none, that multiply what is left:

    c = context * blinding * (1 + novelty) * centre * g_c * (lasting + (1 - lasting) exp(-t / fading))
    n = neural(therapy) * centre * g_n * reach, until the effect is lost

``g_c`` and ``g_n`` are a person's own factors (lognormal, mean 1). What is written down is N exp(-c - n) plus an error of measurement, cut off at
0 and 10. So a relief of 50 % needs doses of 0.69; doses that add up, add up to reliefs that do not exceed all of the pain; without doses there
is nothing but the natural course; and blinding touches the context alone. Loss of effect is a Weibull law in time; a share of those who lose
it have the stimulator taken out, and others for other reasons.

Expectations are taken over fixed quasi-random points and over the error in closed form, so they are smooth in the parameters. The functions
take NumPy or JAX arrays alike: the fit differentiates what the prediction evaluates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from epidura.errors import BadInput, nearest
from epidura.tables import table

Floats = NDArray[np.float64]
Parameters = Mapping[str, Any]
"""Names of data/outcome_priors.csv to values, in the units of that table."""

POINTS = 256
"""Quasi-random people over whom expectations are taken."""

ROOT_2PI = float(np.sqrt(2 * np.pi))
TRIAL_DAYS_SHARE = 0.5
"""Error of a mean over the days of a trial stage, of that of one visit: a judgement, four or more independent days."""

BLINDINGS = ("open", "active", "sham")
"""Nobody is blinded; blinded, but every arm is stimulated; blinded against no stimulation."""
STAGES = ("none", "randomised", "implanted")
"""No trial stage; a trial stage and all who began it are counted; only those who passed it."""
UNSTIMULATED = ("usual-care", "sham")


@dataclass(frozen=True)
class Arm:
    """One arm of a trial.

    Attributes:
        trial, name: what it is called.
        therapy: a therapy of ``therapies()``, ``usual-care`` or ``sham``.
        tried: therapy of the trial stage; "" without one.
        blinding: one of ``BLINDINGS``.
        novel: whether it is the new therapy of an open comparison.
        stage: one of ``STAGES``.
        baseline, baseline_sd: of pain at enrolment, NRS.
        least: pain needed to enrol, NRS.
        candidate: whether people are candidates for stimulation, and not those of a registry.
        n: people.
        reach: how well the stimulation reaches the pain, 1 for the average person of the trials.
    """

    trial: str
    name: str
    therapy: str
    tried: str
    blinding: str
    novel: bool
    stage: str
    baseline: float
    baseline_sd: float
    least: float
    candidate: bool = True
    n: int = 0
    reach: float = 1.0

    @property
    def stimulated(self) -> bool:
        return self.therapy not in UNSTIMULATED


@cache
def therapies() -> tuple[str, ...]:
    """Therapies whose neural effect was fitted."""
    names = (row["parameter"] for row in table("outcome_priors"))
    return tuple(name.removeprefix("neural ") for name in names if name.startswith("neural ") and name not in NOT_THERAPIES)


NOT_THERAPIES = ("neural typical", "neural between therapies", "neural between trials", "neural spread")


@cache
def points() -> Floats:
    """(4, POINTS) the people: share of baseline pain, and standard normals of context, neural effect and natural course."""
    from scipy.stats import qmc  # takes long to import

    shares = qmc.Sobol(4, seed=20261127).random(POINTS).T
    return np.vstack([shares[:1], special.ndtri(np.clip(shares[1:], 1e-9, 1 - 1e-9))])


@cache
def baselines(mean: float, deviation: float, least: float) -> Floats:
    """(POINTS,) pain at enrolment: a beta distribution from ``least`` to 10 with this mean and standard deviation.

    Raises:
        BadInput: no distribution between those ends has them.
    """
    a, b = beta_of(mean, deviation, least)
    return np.asarray(least + (10 - least) * special.betaincinv(a, b, points()[0]))


def beta_of(mean: float, deviation: float, least: float) -> tuple[float, float]:
    """Shape of the beta distribution of baseline pain.

    Raises:
        BadInput: no distribution between those ends has this mean and standard deviation.
    """
    if not 0 <= least < 10:
        raise BadInput("least", "not a pain to enrol with", got=least, allowed="0 to 10, below 10")
    if not least < mean < 10:
        raise BadInput("baseline", "mean pain outside what enrols", got=mean, allowed=f"{least:g} to 10 NRS")
    share, spread = (mean - least) / (10 - least), deviation / (10 - least)
    if not 0 < spread**2 < share * (1 - share):
        raise BadInput("baseline_sd", "no distribution has this spread between those ends", got=deviation,
                       allowed=f"above 0, below {(10 - least) * np.sqrt(share * (1 - share)):.3g} NRS with this mean and least pain")
    total = share * (1 - share) / spread**2 - 1
    return share * total, (1 - share) * total


@dataclass(frozen=True)
class Library:
    """The functions of NumPy or JAX that the model needs."""

    np: Any
    ndtr: Any


NUMPY = Library(np, special.ndtr)


@dataclass(frozen=True)
class Seen:
    """People of one arm at one time, in three states each: stimulated, effect lost, never stimulated.

    Attributes:
        weight: (3, ..., points) adds up to 1 over states and points.
        pain: (3, ..., points) course without the error of measurement, NRS.
        baseline: (..., points) NRS.
        error: of measurement, NRS.
    """

    weight: Any
    pain: Any
    baseline: Any
    error: Any
    library: Library

    def _mean(self, values: Any) -> Any:
        return self.library.np.sum(self.weight * values, axis=(0, -1))

    def responders(self, relief: Any = 0.5) -> Any:
        """Share of people whose pain fell by at least this share."""
        return self._mean(self.library.ndtr(((1 - relief) * self.baseline - self.pain) / self.error))

    @cached_property
    def _moments(self) -> tuple[Any, Any]:
        """(3, ..., points) first and second moment of what is written down: a normal error, cut off at 0 and 10."""
        m, s, ndtr, xp = self.pain, self.error, self.library.ndtr, self.library.np
        low, high = (0 - m) / s, (10 - m) / s
        phi_low, phi_high = xp.exp(-low**2 / 2) / ROOT_2PI, xp.exp(-high**2 / 2) / ROOT_2PI
        above = ndtr(-high)
        inside = 1 - above - ndtr(low)
        first = m * inside + s * (phi_low - phi_high) + 10 * above
        second = (m**2 + s**2) * inside + 2 * m * s * (phi_low - phi_high) + s**2 * (low * phi_low - high * phi_high) + 100 * above
        return first, second

    def pain_left(self) -> tuple[Any, Any]:
        """Mean and standard deviation of pain, NRS."""
        first, second = self._moments
        mean = self._mean(first)
        return mean, self.library.np.sqrt(self._mean(second) - mean**2)

    def change(self) -> tuple[Any, Any]:
        """Mean and standard deviation of pain minus that at enrolment, NRS."""
        first, second = self._moments
        mean = self._mean(first - self.baseline)
        return mean, self.library.np.sqrt(self._mean(second - 2 * first * self.baseline + self.baseline**2) - mean**2)

    def reduction(self) -> tuple[Any, Any]:
        """Mean and standard deviation of the reduction of pain, % of that at enrolment."""
        first, second = self._moments
        mean = self._mean(1 - first / self.baseline)
        square = self._mean(1 - 2 * first / self.baseline + second / self.baseline**2)
        return 100 * mean, 100 * self.library.np.sqrt(square - mean**2)


def context_dose(arm: Arm, p: Parameters, centre: Any = 1.0) -> Any:
    """Mean dose of context at the start."""
    if arm.therapy == "usual-care":
        return 0.0
    blinding = p["blinded"] if arm.blinding == "sham" else 1.0
    novelty = p["novelty"] if arm.novel and arm.blinding == "open" else 0.0
    return p["context"] * blinding * (1 + novelty) * centre


def neural_dose(therapy: str, p: Parameters, centre: Any = 1.0) -> Any:
    """Mean neural dose of a therapy; 0 for none.

    Raises:
        BadInput: a therapy without a parameter.
    """
    if therapy in ("", *UNSTIMULATED):
        return 0.0
    name = f"neural {therapy}"
    if name not in p or name in NOT_THERAPIES:
        known = sorted(key.removeprefix("neural ") for key in p if key.startswith("neural ") and key not in NOT_THERAPIES)
        raise BadInput("therapy", "no neural effect of it is known", got=therapy, allowed=", ".join((*known, *UNSTIMULATED)),
                       hint=nearest(therapy, known))
    return p[name] * centre


def own_factor(spread: Any, z: Any, xp: Any = np) -> Any:
    """A person's own factor on a dose, lognormal with mean 1, from a standard normal number."""
    return xp.exp(spread * z - spread**2 / 2)


def natural_course(p: Parameters, baseline: Any, z: Any, level: Any) -> Any:
    """Pain without stimulation, before measurement, NRS; ``level`` is the pain to which these people return."""
    return level + p["persistence"] * (baseline - level) + p["spread"] * z


def return_level(p: Parameters, candidate: bool) -> Any:
    """Pain to which candidates for stimulation, or people of a registry, return, NRS."""
    return p["return level"] + (p["refractory"] if candidate else 0.0)


def unfitted_dose(p: Parameters, z: Any) -> Any:
    """Dose of a therapy that was not fitted, about that of the typical one, from a standard normal number."""
    return p["neural typical"] * np.exp(p["neural between therapies"] * z)


def fading(p: Parameters, months: Any, xp: Any = np) -> Any:
    """Share of the context that is left after this time."""
    return p["lasting"] + (1 - p["lasting"]) * xp.exp(-months / p["fading"])


def lost(p: Parameters, months: Any, xp: Any = np) -> Any:
    """Share of people who have lost the neural effect by then."""
    return 1 - xp.exp(-p["loss rate"] * (months / 12) ** p["loss shape"])


def explanted(p: Parameters, months: Any, xp: Any = np) -> tuple[Any, Any]:
    """Shares whose stimulator has been taken out by then: for loss of effect, for other reasons."""
    return p["explant after loss"] * lost(p, months, xp), 1 - xp.exp(-p["other explants"] * (months / 12) ** p["loss shape"])


@dataclass(frozen=True)
class Course:
    """Arms with a set of parameters: who passes the trial stage, and what is seen when. One arm, or a stack of them along a first axis.

    Attributes:
        baseline: (..., points) NRS.
        level: (..., 1) to which pain returns, NRS.
        context, neural: (..., 1) doses.
        tried_context, tried_neural: (..., 1) doses in the trial stage.
        tried: (..., 1) 1 with a trial stage, 0 without.
        implanted: (..., 1) 1 if only those who passed are counted, 0 if all.
        stimulated: (..., 1) 1 if there is an effect to lose, 0 if not.
        p: parameters.
        library: NumPy or JAX.
    """

    baseline: Any
    level: Any
    context: Any
    neural: Any
    tried_context: Any
    tried_neural: Any
    tried: Any
    implanted: Any
    stimulated: Any
    p: Parameters
    library: Library = NUMPY

    @classmethod
    def of(cls, arms: Sequence[Arm], p: Parameters, centres: Sequence[tuple[Any, Any]] | None = None, library: Library = NUMPY) -> Course:
        """A stack of arms, each with the factors of its trial on context and neural effect.

        Raises:
            BadInput: a therapy without a neural effect, a baseline that cannot be.
        """
        centres = [(1.0, 1.0)] * len(arms) if centres is None else centres
        unblinded = {**p, "blinded": 1.0}
        doses = [(return_level(p, arm.candidate), context_dose(arm, p, centre[0]),
                  neural_dose(arm.therapy, p, centre[1]) * arm.reach, context_dose(arm, unblinded, centre[0]) * (1 + p["trial boost"]),
                  neural_dose(arm.tried, p, centre[1]) * arm.reach, float(bool(arm.tried)), float(arm.stage == "implanted"), float(arm.stimulated))
                 for arm, centre in zip(arms, centres, strict=True)]
        level, context, neural, tried_context, tried_neural, tried, implanted, stimulated = (
            library.np.stack([library.np.asarray(value) for value in column])[:, None] for column in zip(*doses, strict=True))
        base = library.np.asarray(np.array([baselines(arm.baseline, arm.baseline_sd, arm.least) for arm in arms]))
        return cls(base, level, context, neural, tried_context, tried_neural, tried, implanted, stimulated, p, library)

    @cached_property
    def own(self) -> tuple[Any, Any]:
        """(points,) factors of each person on context and neural effect, mean 1."""
        p, (_, z_context, z_neural, _) = self.p, points()
        one, other = (own_factor(p[name], z, self.library.np) for name, z in (("context spread", z_context), ("neural spread", z_neural)))
        return one, other

    @cached_property
    def natural(self) -> Any:
        """(..., points) pain without stimulation, before measurement, NRS."""
        return natural_course(self.p, self.baseline, points()[3], self.level)

    @cached_property
    def passes(self) -> Any:
        """(..., points) chance of each person to pass the trial stage; 1 without one."""
        dose = self.tried_context * self.own[0] + self.tried_neural * self.own[1]
        margin = 0.5 * self.baseline - self.natural * self.library.np.exp(-dose)
        return 1 - self.tried * self.library.ndtr(-margin / (TRIAL_DAYS_SHARE * self.p["error"]))

    def trial_success(self) -> Any:
        return self.library.np.mean(self.passes, axis=-1)

    def seen(self, months: Any, everyone: bool = False) -> Seen:
        """What is seen after ``months``, a number or (..., 1); with ``everyone`` all are implanted whatever the trial stage said."""
        p, xp = self.p, self.library.np
        chance = xp.ones_like(self.baseline) if everyone else self.passes
        gone = self.stimulated * lost(p, months, xp)
        left = self.natural * xp.exp(-self.context * self.own[0] * fading(p, months, xp))
        weight = xp.stack([chance * (1 - gone), chance * gone, (1 - self.implanted) * (1 - chance)])
        courses = xp.stack([left * xp.exp(-self.neural * self.own[1]), left, self.natural])
        return Seen(weight / xp.sum(weight, axis=(0, -1), keepdims=True), courses, self.baseline, p["error"], self.library)

    def accuracy(self, months: Any, relief: float = 0.5) -> tuple[Any, Any]:
        """Sensitivity and specificity of the trial stage for responders after ``months`` if all were implanted."""
        everyone, xp = self.seen(months, everyone=True), self.library.np
        responds = xp.sum(everyone.weight * self.library.ndtr(((1 - relief) * everyone.baseline - everyone.pain) / everyone.error), axis=0)
        fails = xp.sum(everyone.weight, axis=0) - responds
        return xp.sum(responds * self.passes, -1) / xp.sum(responds, -1), xp.sum(fails * (1 - self.passes), -1) / xp.sum(fails, -1)
