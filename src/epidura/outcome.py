"""The last step of the chain: from what stimulation reaches to pain and quality of life, as distributions, for one person.

    found = predict_outcome(patient, programs, reaches, outlook)

What the fitted model (``evidence``) says of the average person of a trial is turned to this one: pain as it is now, and a neural effect that is
larger or smaller by how much of the pain the lead covers and by where the inhibition of the gate stands among virtual patients. How much these
two say about relief has never been measured. So their weights are drawn between nothing and all, and the share of the uncertainty that comes
from them is shown. The gate itself is not fitted to any trial.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from epidura import quality_of_life as life
from epidura.evidence.model import (
    TRIAL_DAYS_SHARE,
    Floats,
    explanted,
    fading,
    lost,
    natural_course,
    own_factor,
    return_level,
    therapies,
    unfitted_dose,
)
from epidura.evidence.posterior import Posterior, posterior
from epidura.outlook import Outlook
from epidura.patient import Patient
from epidura.product import declare
from epidura.program import Program
from epidura.reach import PROGRAMMED, Reach, rank, reference
from epidura.tables import table

if TYPE_CHECKING:
    from numpy.typing import NDArray

MONTHS = (0.0, 0.25, 1.0, 3.0, 6.0, 12.0, 24.0)
"""When it is looked at: before, at the end of a trial stage of a week, and at the visits of practice."""
TRIAL_END = 1
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
PARTS = ("natural course", "context", "neural effect")
DRIVERS = ("this person's answer to stimulation", "this person's answer to being treated", "the course without stimulation",
           "what trials leave open", "what coverage and the gate mean for relief", "loss of the effect", "error of writing pain down")
FAR = (60.0, 120.0)
"""Months at which explants are told as well."""
KILOHERTZ, TEN = 5000.0, 8000.0
"""Hz from which a rate counts as that of the 5.9 kHz arm, and as 10 kHz."""
UNKNOWN_SPREAD = 0.6
"""Of a person without an indication: as where evidence is low. A judgement."""


def therapy_of(program: Program) -> str:
    """What the outcome model calls the therapy of a program: its waveform's kind, several trains ``multiplexed``, kilohertz by rate."""
    if len(program.trains) > 1:
        return "multiplexed"
    waveform = program.trains[0].waveform
    kind = str(waveform.kind)
    frequency = float(getattr(waveform, "frequency", 0.0) or 0.0)
    if kind in ("high-frequency", "high-density", "tonic") and frequency >= KILOHERTZ:
        return "high-frequency" if frequency >= TEN else "kilohertz"
    return kind


@dataclass(frozen=True)
class _Draws:
    """Everything that is drawn for ``samples`` people like this one, each group from a stream of its own.

    Attributes:
        which: (samples,) draw of the posterior.
        centre: (samples, 4) standard normals of context and neural effect of the centre, of a therapy, of an indication.
        own: (samples, 3) standard normals of context, neural effect, natural course.
        weights: (samples, 2) of coverage and gate, 0 to 1.
        hypothesis: (samples,) share, 0 to 1.
        loss: (samples,) share, 0 to 1.
        error: (samples, times) standard normals.
    """

    which: NDArray[np.int64]
    centre: Floats
    own: Floats
    weights: Floats
    hypothesis: Floats
    loss: Floats
    error: Floats

    @classmethod
    def of(cls, samples: int, draws: int, seed: Sequence[int]) -> _Draws:
        streams = [np.random.default_rng([*seed, k]) for k in range(7)]
        return cls(streams[0].integers(0, draws, samples), streams[1].standard_normal((samples, 4)), streams[2].standard_normal((samples, 3)),
                   streams[3].random((samples, 2)), streams[4].random(samples), streams[5].random(samples),
                   streams[6].standard_normal((samples, len(MONTHS))))


@dataclass(frozen=True)
class _Course:
    """Pain of the drawn people.

    Attributes:
        pain: (samples, times) as written down, NRS.
        parts: (samples, times, 3) what natural course, context and neural effect take from the pain at the start, NRS, before measurement.
        passes: (samples,) whether the trial stage succeeds.
        effect: (samples, times) whether the neural effect is there.
        factor: (samples,) on the neural effect by reach.
    """

    pain: Floats
    parts: Floats
    passes: NDArray[np.bool_]
    effect: NDArray[np.bool_]
    factor: Floats


def predict_outcome(patient: Patient, programs: Sequence[Program], reaches: Sequence[Reach], outlook: Outlook | None = None,
                    known: Posterior | None = None) -> xr.Dataset:
    """Pain and quality of life of one person with each program, and without stimulation.

    Args:
        patient: pain as it is now, and the indication.
        programs, reaches: what is stimulated with, and what it reaches.
        outlook: how.
        known: posterior of the outcome model; the stored one if None.

    Returns:
        the product ``outcome`` (see ``product.DECLARED``); without programs where nothing is known of the indication, which the attribute
        ``notes`` then says.
    """
    outlook, known = outlook or Outlook(), known or posterior()
    spread, notes = _grade(patient)
    if spread is None or patient.pain.nrs <= 0:
        return _product(patient, [], [], outlook, known, [*notes, *([] if patient.pain.nrs > 0 else ["no pain, nothing to predict"])])
    found: list[_Found | None] = []
    for program, reach in zip(programs, reaches, strict=True):
        if not np.isfinite(reach.amplitude):
            notes.append(f"program {program.name}: its amplitude is not known, so no outcome is predicted")
            found.append(None)
            continue
        therapy = therapy_of(program)
        if therapy not in therapies():
            notes.append(f"program {program.name}: no trial of {therapy} was fitted; it is taken as one more therapy about the typical one")
        found.append(_of_program(patient, therapy, reach, outlook, known, spread))
    return _product(patient, programs, found, outlook, known, notes)


@dataclass(frozen=True)
class _Found:
    course: _Course
    told: life.Reports
    driver: Floats
    therapy: str


def _of_program(patient: Patient, therapy: str, reach: Reach, outlook: Outlook, known: Posterior, spread: float) -> _Found:
    n = outlook.samples
    # the same people for every program; therapies that were not fitted stand equally far from the typical one
    one, other = (_Draws.of(n, known.count, [outlook.seed, k]) for k in (0, 1))
    course = _course(patient, therapy, reach, known, spread, one)
    rng = np.random.default_rng([outlook.seed, 2])
    z, visit = rng.standard_normal((n, len(life.PERSON))), rng.standard_normal((n, len(MONTHS), len(life.VISIT)))
    told = life.reports(life.people(np.full(n, patient.pain.nrs), z), course.pain, visit, country=outlook.country)
    return _Found(course, told, _drivers(patient, therapy, reach, known, spread, one, other, course), therapy)


def _course(patient: Patient, therapy: str, reach: Reach | None, known: Posterior, spread: float, drawn: _Draws) -> _Course:
    """The laws of ``evidence.model`` with a draw of the parameters for each person; without stimulation where ``reach`` is None."""
    p = {name: values[drawn.which] for name, values in known.draws.items()}
    months = np.array(MONTHS)
    start = float(patient.pain.nrs)
    course = natural_course(p, start, drawn.own[:, 2], return_level(p, candidate=True))
    natural = np.where(months > 0, course[:, None], start)
    n = len(natural)
    context, neural, factor = np.zeros(natural.shape), np.zeros(n), np.zeros(n)
    effect, passes = np.zeros(natural.shape, bool), np.zeros(n, bool)
    if reach is not None:
        own = [own_factor(p[f"{name} spread"], drawn.own[:, k]) for k, name in enumerate(("context", "neural"))]
        centre = [np.exp(p[f"{name} between trials"] * drawn.centre[:, k]) for k, name in enumerate(("context", "neural"))]
        dose = p[f"neural {therapy}"] if therapy in therapies() else unfitted_dose(p, drawn.centre[:, 2])
        factor = reach_factor(reach, drawn.weights, drawn.hypothesis, therapy)
        neural = dose * own[1] * centre[1] * factor * np.exp(spread * drawn.centre[:, 3])
        steady = p["context"] * own[0] * centre[0]
        trial = steady * (1 + p["trial boost"])
        context = steady[:, None] * fading({name: p[name][:, None] for name in ("lasting", "fading")}, months)
        context[:, TRIAL_END] = trial
        context[:, 0] = 0.0
        effect = (drawn.loss[:, None] > lost({name: p[name][:, None] for name in ("loss rate", "loss shape")}, months)) & (months > 0)
        at_end = natural[:, TRIAL_END] * np.exp(-trial - neural) + TRIAL_DAYS_SHARE * p["error"] * drawn.error[:, TRIAL_END]
        passes = np.clip(at_end, 0, 10) <= 0.5 * start
    with_context = natural * np.exp(-context)
    latent = with_context * np.exp(-neural[:, None] * effect)
    written = np.clip(latent + np.where(months > 0, p["error"][:, None] * drawn.error, 0.0), 0, 10)
    parts = np.stack([start - natural, natural - with_context, with_context - latent], axis=-1)
    return _Course(written, parts, passes, effect, factor)


def reach_factor(reach: Reach, weights: Floats, hypothesis: Floats, therapy: str, session: bool = False) -> Floats:
    """(samples,) how much larger than in the average virtual patient the neural effect is.

    A weight of 0 says that a quantity means nothing for relief, 1 that relief is proportional to coverage, or to twice the rank of the
    inhibition. Below perception it is what the lead could cover that counts.

    Args:
        reach: of the program.
        weights: (samples, 2) of coverage and of the gate.
        hypothesis: (samples,) share, picks one of those that were run.
        therapy: of the program.
        session: whether its contacts were chosen in a programming session, as those of the average patient that it is held against then.
    """
    like = ("burst" if therapy == "burst" else "tonic" if reach.felt else "10 kHz") + (PROGRAMMED if session else "")
    quantity, value = ("coverage", reach.coverage) if reach.felt else ("coverable", reach.coverable)
    factor = np.ones(len(weights))
    if np.isfinite(value):
        shares, values = reference(like, quantity)
        mean = float(np.trapezoid(values, shares))
        if mean > 0:
            factor = (1 - weights[:, 0]) + weights[:, 0] * value / mean
    names = [name for name, share in reach.inhibition.items() if np.isfinite(share)]
    if names:
        ranks = np.array([rank(reach.inhibition[name], like, "inhibition", name) for name in names])
        picked = ranks[np.minimum((hypothesis * len(names)).astype(int), len(names) - 1)]
        factor = factor * ((1 - weights[:, 1]) + weights[:, 1] * 2 * picked)
    return np.asarray(factor)


def _drivers(patient: Patient, therapy: str, reach: Reach, known: Posterior, spread: float, one: _Draws, other: _Draws, course: _Course) -> Floats:
    """(DRIVERS,) share of the variance of pain at a year that each group explains by itself: how two sets of people go together that share it."""
    groups: tuple[dict[str, tuple[int, ...]], ...] = ({"own": (1,)}, {"own": (0,)}, {"own": (2,)}, {"which": (), "centre": (0, 1, 2, 3)},
                                                       {"weights": (0, 1), "hypothesis": ()}, {"loss": ()}, {"error": ()})
    at = MONTHS.index(12.0)
    here = course.pain[:, at]
    found = []
    for group in groups:
        changed = {name: getattr(other, name).copy() for name in ("which", "centre", "own", "weights", "hypothesis", "loss", "error")}
        for name, columns in group.items():
            if columns:
                changed[name][:, columns] = getattr(one, name)[:, columns]
            else:
                changed[name] = getattr(one, name)
        there = _course(patient, therapy, reach, known, spread, _Draws(**changed)).pain[:, at]
        found.append(float(np.clip(np.mean((here - here.mean()) * (there - there.mean())) / max(here.std() * there.std(), 1e-12), 0, 1)))
    return np.array(found)


def _grade(patient: Patient) -> tuple[float | None, list[str]]:
    """How much wider the neural effect is drawn (log), None where nothing is known; and what to say of it."""
    if patient.indication is None:
        return UNKNOWN_SPREAD, ["no indication is given; intervals are as wide as where evidence is low"]
    row = table("indications").row(indication=patient.indication)
    if not row["spread"]:
        return None, [f"no outcome is predicted of {row['name']}: {row['words']}"]
    notes = [] if not float(row["spread"]) else [f"{row['name']}: evidence {row['grade']} ({row['words']}); intervals are drawn wider"]
    if patient.pain.nrs < 5:
        notes.append(f"pain is {patient.pain.nrs:g}; the model was fitted to people with 5 or more")
    return float(row["spread"]), notes


def _product(patient: Patient, programs: Sequence[Program], found: Sequence[_Found | None], outlook: Outlook, known: Posterior,
             notes: Sequence[str]) -> xr.Dataset:
    names = [program.name for program in programs]
    months, quantiles = np.array(MONTHS), np.array(QUANTILES)
    nothing = np.full(len(months), np.nan)

    def over(ask: object, empty: Floats) -> Floats:
        return np.array([empty if one is None else ask(one) for one in found]).reshape(len(names), *empty.shape)  # type: ignore[operator]

    def quantile(values: Floats) -> Floats:
        return np.quantile(values, quantiles, axis=0)

    empty = np.full((len(quantiles), len(months)), np.nan)
    without = _course(patient, "", None, known, 0.0, _Draws.of(max(outlook.samples, 100), known.count, [outlook.seed, 0])) \
        if patient.pain.nrs > 0 else None
    far = np.concatenate([months[months >= 12], FAR])
    out = np.array([_explanted(known, month) for month in far])
    data: dict[str, object] = {
        "pain": over(lambda one: quantile(one.course.pain), empty),
        "pain_without": empty if without is None else quantile(without.pain),
        "part": over(lambda one: one.course.parts.mean(axis=0).T, np.full((len(PARTS), len(months)), np.nan)),
        "responder50": over(lambda one: one.told.responder50.mean(axis=0), nothing),
        "responder30": over(lambda one: one.told.responder30.mean(axis=0), nothing),
        "much_improved": over(lambda one: (one.told.pgic <= 2).mean(axis=0), nothing),
        "eq5d_index": over(lambda one: quantile(one.told.index), empty),
        "odi_like": over(lambda one: quantile(one.told.odi_like), empty),
        "trial_success": over(lambda one: np.array(one.course.passes.mean()), np.array(np.nan)),
        "responder50_after_success": over(lambda one: _given(one.told.responder50, one.course.passes), nothing),
        "responder50_after_failure": over(lambda one: _given(one.told.responder50, ~one.course.passes), nothing),
        "effect_kept": over(lambda one: one.course.effect.mean(axis=0), nothing),
        "reach_factor": over(lambda one: quantile(one.course.factor), np.full(len(quantiles), np.nan)),
        "driver_share": over(lambda one: one.driver, np.full(len(DRIVERS), np.nan)),
        "explanted": out.reshape(len(far), len(quantiles)).T,
    }
    coordinates: dict[str, object] = {"program": names, "month": months, "far_month": far, "quantile": quantiles, "part_name": list(PARTS),
                                      "driver": list(DRIVERS)}
    return declare("outcome", data, coordinates, notes=list(notes), therapy=["" if one is None else one.therapy for one in found],
                   country=outlook.country, samples=outlook.samples, seed=outlook.seed, fitted_to=known.provenance["fitted_to"],
                   grade=table("indications").row(indication=patient.indication)["grade"] if patient.indication else "unknown")


def _given(responds: NDArray[np.bool_], kept: NDArray[np.bool_]) -> Floats:
    """Share of responders among those kept; nan where they are too few to say."""
    return np.asarray(responds[kept].mean(axis=0) if kept.sum() >= 30 else np.full(responds.shape[1], np.nan))


def _explanted(known: Posterior, month: float) -> Floats:
    """(QUANTILES,) share of people whose stimulator is out by then, for any reason."""
    for_loss, other = explanted(known.draws, month)
    return np.quantile(1 - (1 - for_loss) * (1 - other), QUANTILES)
