"""What the room "Gate and outlook" shows: the chain on one case, as plain values for a page.

    told = look(case, solved, quick=True)      some of the fibres and of the copies, in seconds
    told = look(case, solved)                  as ``epidura run``

Nothing is computed anew: firing is that of ``transmission``, pain and quality of life those of ``outcome``, what happens on the way those of
``stages`` with people who begin with this person's pain. Sentences are the report's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from epidura import gate_page, outcome_page, stages
from epidura import quality_of_life as life
from epidura.case import Case
from epidura.errors import BadInput
from epidura.evidence.model import Arm, therapies, unfitted_dose
from epidura.evidence.posterior import posterior
from epidura.figures import POPULATION_NAME
from epidura.outcome import UNKNOWN_SPREAD, reach_factor, therapy_of
from epidura.patient import Patient
from epidura.product import LeadField
from epidura.program import Program
from epidura.reach import Reach, reaches
from epidura.result import Result
from epidura.study import run
from epidura.tables import Number
from epidura.transmission import SURE
from epidura.transmission import WORDS as CLAIMS
from epidura.trial import grade

Floats = NDArray[np.float64]
Progress = Callable[[str, float], None]

QUICK_FIBRES, QUICK_FEWEST = 4, 24
"""A quick look follows one fibre in so many, and no fewer than so many of a population."""
QUICK_GATE: dict[str, Any] = {"seeds": 2, "duration": "1 s", "places": 3, "volleys": 0, "levels": 4, "frequencies": []}
"""How the gate is run for a quick look. Choice of this project."""

WORLDS, PEOPLE, QUICK_WORLDS = 30, 100, 10
"""Draws of the model, and people in each, of whom the two stages are told; draws for a quick look."""
YEARS = (1.0, 2.0, 5.0)
"""At which they are told."""

PHASES = (("canal", 0.0, 0.01), ("electric field", 0.01, 0.05), ("fibres", 0.05, 0.55), ("firing", 0.55, 0.63), ("pain gate", 0.63, 0.93),
          ("pain and quality of life", 0.93, 0.94), ("the two stages", 0.94, 1.0))
"""From which share of the work to which, by what it begins with; what begins with none of them is the thresholds of fibres."""

LITTLE = 5.0
"""% by which firing changes that is told to a patient as little. Choice of this project."""

EVENTS = {"revision": "another operation on lead or generator", "infection": "infection", "loss": "the effect was lost",
          "explant": "taken out again"}
"""What may happen after implantation, by the variable of ``stages``."""
REASONS = {"no coverage": "the program could not be set, or the lead not placed", "relief": "relief below the rule", "haematoma": "haematoma",
           "infection": "infection", "loss": "loss of effect", "other": "other reasons"}


def quick_case(case: Case) -> Case:
    """The same case with fewer fibres and a shorter look at the gate."""
    fibres = [one.but(count=min(one.count, max(QUICK_FEWEST, one.count // QUICK_FIBRES))).model_dump(mode="json") for one in case.fibres]
    changes: dict[str, Any] = {"fibres": fibres}
    if case.gate.seeds:
        gate = case.gate.model_dump(mode="json")
        changes["gate"] = {**gate, **QUICK_GATE, **{name: min(gate[name], QUICK_GATE[name]) for name in ("seeds", "places", "levels")}}
    found: Case = case.but(**changes)
    return found


def ready(case: Case) -> None:
    """Refuse a case that has nothing to tell.

    Raises:
        BadInput: no patient.
    """
    if case.patient is None:
        raise BadInput("patient", "there is nobody whose pain could be looked at", hint="say in the room Plan where it hurts, how much, and why")


def look(case: Case, solved: LeadField, quick: bool = False, progress: Progress | None = None) -> dict[str, Any]:
    """The chain on a case, for a page.

    Args:
        case: with a patient.
        solved: its lead field.
        quick: with some of the fibres and copies.
        progress: called with a sentence and a share from 0 to 1.

    Returns:
        plain values; mA, Hz, percent, months and NRS as the keys say. None: not known, or not reached.

    Raises:
        BadInput: no patient, or as ``run``.
    """
    ready(case)
    say = progress or (lambda words, share: None)
    chosen = quick_case(case) if quick else case
    result = run(chosen, progress=_phased(say, chosen), check_field=False, solved=solved)
    reached = reaches(result)
    lived = _stages(result, reached, QUICK_WORLDS if quick else WORLDS, lambda share: say("the two stages", 0.94 + 0.06 * share))
    return {"quick": quick, "title": case.title, "person": _person(case), "fibres": [
        {"kind": POPULATION_NAME[one.kind], "count": one.count} for one in chosen.fibres],
        "programs": [_program(result, i, reached[i]) for i in range(len(case.programs))], "gate": _gate(result), "outcome": _outcome(result),
        "stages": lived, "patient_words": [for_patient(result, i, lived[i]) for i in range(len(case.programs))],
        "warnings": list(result.warnings), **_numbers(result.numbers)}


def _phased(say: Progress, case: Case) -> Progress:
    """Progress of ``run``, whose phases each go from 0 to 1, as one that only rises."""
    names = [program.name for program in case.programs]
    most = 0.0

    def told(words: str, share: float) -> None:
        nonlocal most
        name, low, high = next((phase for phase in PHASES if words.startswith(phase[0])), PHASES[2])
        if name == "firing":
            i = next((k for k, each in enumerate(names) if words == f"firing, program {each}"), 0)
            share = (i + share) / len(names)
        most = max(most, low + (high - low) * share)
        say(words, most)

    return told


def _person(case: Case) -> dict[str, Any]:
    who = case.patient
    assert who is not None
    row = {"name": "no indication given", "grade": "unknown", "words": "", "source": "", "evidence": "read"}
    if who.indication:
        row = grade(who.indication)
    return {"age": who.age, "nrs": who.pain.nrs, "areas": [area.replace("-", " ") for area in who.pain.areas], "indication": row["name"],
            "grade": row["grade"], "grade_words": row["words"], "grade_evidence": {"name": "grade of the evidence", "evidence": row["evidence"],
                                                                                "source": row["source"]}}


def _program(result: Result, i: int, reach: Reach) -> dict[str, Any]:
    program = result.case.programs[i]
    return {"name": program.name, "contacts": "; ".join(train.words() for train in program.trains),
            "waveform": "; ".join(train.waveform.words().replace(" us", " µs") for train in program.trains), "therapy": therapy_of(program),
            "felt": reach.felt, "amplitude_mA": value(1e3 * reach.amplitude), "perception_mA": value(1e3 * reach.perception),
            "discomfort_mA": value(1e3 * reach.discomfort), "coverage_percent": value(100 * reach.coverage),
            "coverable_percent": value(100 * reach.coverable)}


def value(x: Any) -> float | None:
    """A number that JSON has, four figures of it."""
    x = float(x)
    return float(f"{x:.4g}") if np.isfinite(x) else None


def plain(x: Any) -> Any:
    """An array as lists of ``value``."""
    array = np.asarray(x)
    return [plain(one) for one in array] if array.ndim else value(array)


def band(x: Any, axis: int = -1) -> dict[str, Any]:
    """Mean, least and most over copies, as lists; copies that became unstable are left out."""
    array = np.asarray(x, float)
    known = np.isfinite(array)
    count = known.sum(axis=axis)
    mean = np.where(count > 0, np.where(known, array, 0.0).sum(axis=axis) / np.maximum(count, 1), np.nan)
    low, high = (pick.reduce(np.where(known, array, end), axis=axis) for pick, end in ((np.minimum, np.inf), (np.maximum, -np.inf)))
    return {"mean": plain(mean), "low": plain(low), "high": plain(high)}


def _gate(result: Result) -> dict[str, Any] | None:
    found = result.transmission
    if found is None:
        return None
    main = [int(k) for k in found.main_place.values]
    programs: list[dict[str, Any] | None] = []
    for i, at in enumerate(main):
        if at < 0:
            programs.append(None)
            continue
        one = found.isel(program=i)
        programs.append({
            "main": at, "closing": gate_page.closing(found, i), "share_percent": plain(100 * one.recruited_share.values),
            "inhibition_percent": plain(one.inhibition.values), "from_percent": plain(one.inhibition_lower.values),
            "to_percent": plain(one.inhibition_upper.values),
            "rate": {str(cell): band(one.rate.sel(cell=cell).values) for cell in found.cell.values},
            "in_time": band(one.rate_in_time.values),
            "as_fired": [[bool((one.rate[h, p] == one.rate[0, p]).all()) for p in range(found.place.size)] for h in range(found.hypothesis.size)],
            "amplitude_mA": plain(1e3 * one.sweep_amplitude.values), "at_amplitude": band(one.rate_at_amplitude.values),
            "amplitude_share_percent": plain(100 * one.share_at_amplitude.values), "at_frequency": band(one.rate_at_frequency.values),
            "slow_percent": {"middle": plain(100 * one.slow_factor.values), "low": plain(100 * one.slow_lower.values),
                             "high": plain(100 * one.slow_upper.values)},
            "spikes_s": _spikes(found, i + 1)})
    return {"circuit": found.attrs["circuit"], "pain_state": str(found.attrs["pain_state"]).replace("-", " "), "known": found.attrs["pain_known"],
            "assumed": found.attrs["pain_assumed"], "copies": int(found.seed.size), "sure_percent": round(100 * SURE),
            "onset_s": value(found.attrs["onset"]), "counted_from_s": value(found.attrs["counted_from"]),
            "duration_s": value(found.attrs["duration"]),
            "hypotheses": [{"id": str(h), "words": CLAIMS.get(str(h), str(h))} for h in found.hypothesis.values],
            "places": [{"name": str(name), "dermatome": str(d), "side": str(s), "served": bool(served)} for name, d, s, served in zip(
                found.place.values, found.dermatome.values, found.body_side.values, found.served.values, strict=True)],
            "cells": [{"id": str(cell), "words": gate_page.NAMES.get(str(cell), str(cell)), "projection": str(cell) in found.projection.values}
                      for cell in found.cell.values],
            "projection": [str(cell) for cell in found.projection.values], "rate_off": {
                str(cell): band(found.rate_off.sel(cell=cell).values) for cell in found.cell.values},
            "piece_s": plain(found.piece.values), "in_time_off": band(found.rate_in_time_off.values), "frequency_Hz": plain(found.frequency.values),
            "at_frequency_all": band(found.rate_at_frequency_all.values), "moments": [gate_page.MOMENTS.get(float(m), f"{float(m):g} s")
                                                                                      for m in found.moment.values],
            "neurons": [str(name) for name in found.population.values], "spikes_off_s": _spikes(found, 0), "programs": programs}


def _spikes(found: xr.Dataset, which: int) -> list[list[float]]:
    """Of every neuron of the first copy, s."""
    return [[round(float(t), 4) for t in train[np.isfinite(train)]] for train in found.spike_time.values[which]]


def _outcome(result: Result) -> dict[str, Any] | None:
    found = result.outcome
    if found is None:
        return None
    programs: list[dict[str, Any] | None] = []
    for i, therapy in enumerate(found.attrs["therapy"]):
        if not therapy:
            programs.append(None)
            continue
        one = found.isel(program=i)
        programs.append({
            "words": outcome_page.in_words(found, i), "fitted": therapy in therapies(), "pain": plain(one.pain.values),
            "eq5d": plain(one.eq5d_index.values), "disability": plain(one.odi_like.values),
            **{f"{name}_percent": plain(100 * one[name].values) for name in ("responder50", "responder30", "much_improved", "effect_kept")},
            "trial_success_percent": value(100 * one.trial_success), "after_success_percent": plain(100 * one.responder50_after_success.values),
            "after_failure_percent": plain(100 * one.responder50_after_failure.values),
            "parts": {str(name): plain(one.part.sel(part_name=name).values) for name in found.part_name.values},
            "drivers": [{"words": str(name), "percent": value(100 * share)} for name, share in zip(
                found.driver.values, one.driver_share.values, strict=True)]})
    return {"months": plain(found.month.values), "names": [outcome_page.WORDS.get(float(m), f"{float(m):g} months") for m in found.month.values],
            "quantiles_percent": plain(100 * found["quantile"].values), "without": plain(found.pain_without.values),
            "country": found.attrs["country"], "samples": int(found.attrs["samples"]), "far_months": plain(found.far_month.values),
            "explanted_percent": plain(100 * found.explanted.values), "notes": list(found.attrs["notes"]), "programs": programs}


def _stages(result: Result, reached: Sequence[Reach], worlds: int, progress: Callable[[float], None]) -> list[dict[str, Any] | None]:
    """The two stages of each program whose outcome is told."""
    found: list[dict[str, Any] | None] = []
    case = result.case
    known = [] if result.outcome is None else list(result.outcome.attrs["therapy"])
    count = len(case.programs)
    for i, program in enumerate(case.programs):
        if case.patient is None or i >= len(known) or not known[i]:
            found.append(None)
            continue
        found.append(two_stages(case.patient, program, reached[i], case.outcome.country, case.outcome.seed, worlds,
                                progress=lambda share, i=i: progress((i + share) / count)))  # type: ignore[misc]
    return found


def two_stages(patient: Patient, program: Program, reach: Reach, country: str = "England", seed: int = 1, worlds: int = WORLDS, people: int = PEOPLE,
               progress: Callable[[float], None] | None = None) -> dict[str, Any]:
    """What happens to people who begin with this pain: trial stage, implantation, and the years after it.

    Each world is one draw of the fitted model, of the centre and of the numbers of practice, which its people share; intervals are over worlds.

    Args:
        patient: pain now, and the indication.
        program, reach: what is stimulated with, and what it reaches.
        country: of the EQ-5D value set.
        seed: of people and worlds.
        worlds, people: how many.
        progress: called with a share from 0 to 1.

    Returns:
        shares of 100 people as {"middle", "low", "high"} (median and 90 % over worlds): ``passes``, ``implanted``, ``reasons`` of those who do not
        pass, and ``years`` with each of ``EVENTS`` by then, those who have it still, and why it was taken out.
    """
    known, therapy = posterior(), therapy_of(program)
    computed = therapy if therapy in therapies() else next(iter(therapies()))
    row = grade(patient.indication) if patient.indication else {"spread": str(UNKNOWN_SPREAD)}
    spread, nrs = float(row["spread"] or 0.0), float(patient.pain.nrs)
    who = stages.cohort(seed, people, baseline=nrs)
    procedure = stages.Procedure(therapy=computed)
    of = Arm("one person", program.name, computed, "", "open", False, "none", nrs, 1.0, 0.0)
    passes, implanted, failures = [], [], []
    happened: dict[str, list[Floats]] = {name: [] for name in (*EVENTS, "stays", "reasons")}
    reasons = [name for name in stages.REASONS if name]
    numbers: tuple[Number, ...] = ()
    for r in range(worlds):
        if progress:
            progress(r / worlds)
        rng = np.random.default_rng([seed, 3, r])
        p = dict(known.draw(int(rng.integers(known.count))))
        context, neural, wider, dose = rng.standard_normal(4)
        if computed != therapy:
            p[f"neural {computed}"] = float(unfitted_dose(p, dose))
        drawn = who.uniform("reach", 3, place=r)
        lived = stages.simulate(procedure, who, p, of, months=[12 * year for year in YEARS],
                                reach=reach_factor(reach, drawn[:, :2], drawn[:, 2], therapy),
                                context_scale=float(np.exp(p["context between trials"] * context)),
                                neural_scale=float(np.exp(p["neural between trials"] * neural + spread * wider)), country=country,
                                practice=stages.rates(rng.random(len(stages.facts()))), use=life.parameters(rng.random(len(life.uncertain()))))
        data, numbers = lived.data, lived.numbers
        passed, in_place, out = data.passed.values, data.implanted.values, data.explant.values
        passes.append(100 * passed.mean())
        implanted.append(100 * in_place.mean())
        failures.append({name: 100 * float((data.failure.values == name).mean()) for name in np.unique(data.failure.values) if name})
        for name in EVENTS:
            times = data[name].values
            first = np.nanmin(np.where(np.isfinite(times), times, np.inf), axis=1) if times.ndim == 2 else np.where(np.isfinite(times), times, np.inf)
            happened[name].append(np.array([100 * float((in_place & (first <= 12 * year)).mean()) for year in YEARS]))
        happened["stays"].append(np.array([100 * float((in_place & ~(out <= 12 * year)).mean()) for year in YEARS]))
        happened["reasons"].append(np.array([100 * float((data.explant_reason.values == name).mean()) for name in reasons]))

    def by_year(name: str) -> list[dict[str, float]]:
        return [_interval([one[k] for one in happened[name]]) for k in range(len(YEARS))]

    why = sorted({name for one in failures for name in one}, key=lambda name: -sum(one.get(name, 0.0) for one in failures))
    return {"people": people, "worlds": worlds, "passes": _interval(passes), "implanted": _interval(implanted),
            "reasons": [{"words": REASONS.get(name, name), **_interval([one.get(name, 0.0) for one in failures])} for name in why],
            "years": list(YEARS), "events": [{"id": name, "words": words, "by_year": by_year(name)} for name, words in EVENTS.items()],
            "stays": by_year("stays"),
            "explant_reasons": [{"words": REASONS.get(name, name), **_interval([one[k] for one in happened["reasons"]])}
                                for k, name in enumerate(reasons)],
            **_numbers(numbers)}


def for_patient(result: Result, i: int, lived: dict[str, Any] | None) -> list[dict[str, str]]:
    """What a program may do, for the person themselves: short paragraphs of plain words, each with its heading."""
    found, who = result.outcome, result.case.patient
    if found is None or who is None or lived is None:
        why = " ".join(found.attrs["notes"]) if found is not None else "The case asks for no outcome."
        return [{"head": "What can be said", "words": f"Nothing can be predicted for this program. {why}"}]
    at = found.isel(program=i).sel(month=outcome_page.YEAR)
    low, middle, high = (float(at.pain.sel(quantile=q)) for q in (0.25, 0.5, 0.75))
    without = float(found.pain_without.sel(month=outcome_page.YEAR, quantile=0.5))
    half, third = (round(100 * float(at[name])) for name in ("responder50", "responder30"))
    two = list(YEARS).index(2.0)
    events = {one["id"]: round(one["by_year"][two]["middle"]) for one in lived["events"]}
    after = float(at.responder50_after_success)
    told = [{"head": "Your pain", "words": (
        f"Your pain is {who.pain.nrs:g} of 10 now. After a year with the stimulator, the middle half of people like you would have pain between "
        f"{low:.0f} and {high:.0f}, most often near {middle:.0f}. Without a stimulator it would most often be near {without:.0f}.")},
        {"head": "The chance that it helps", "words": (
            f"Of 100 people like you who get the stimulator, about {half} would have lost at least half of their pain after a year, and about "
            f"{third} at least a third of it. That leaves about {100 - third} whom it helps little or not at all.")},
        {"head": "First a trial", "words": (
            "Before anything is implanted for good, you try stimulation for about a week. About "
            f"{round(lived['passes']['middle'])} of 100 people pass this trial. "
            + (f"Passing is no promise: of 100 who pass, about {round(100 * after)} have lost half of their pain after a year." if np.isfinite(after)
               else "Passing is no promise."))},
        {"head": "The years after", "words": (
            f"Of 100 people who begin with the trial, about {round(lived['implanted']['middle'])} get the stimulator. Within two years about "
            f"{events['revision']} of the 100 need another operation on the lead or the stimulator, about {events['infection']} have an infection, "
            f"and about {events['explant']} have it taken out again. It can always be taken out; pain then goes its natural course.")}]
    if result.transmission is not None and int(result.transmission.main_place[i]) >= 0:
        told.append({"head": "How it works", "words": _gate_for_patient(result.transmission, i)})
    first = int(np.argmax(found.driver_share.values[i]))
    name = who.indication and grade(who.indication)
    therapy = str(found.attrs["therapy"][i])
    unknown = "" if therapy in therapies() else (
        f" No study of {therapy.replace('-', ' ')} stimulation stands behind these numbers: they are those of a typical kind of stimulation, and do "
        "not say that this kind is better or worse.")
    told.append({"head": "How sure this is", "words": (
        (f"How well this has been studied for {name['name']}: {name['grade']}. " if name else
         "Why you have this pain was not said, so the numbers are wide. ")
        + f"People differ: the largest part of the uncertainty is {outcome_page.PLAINLY[str(found.driver.values[first])]}. The numbers come from a "
        "model of many people. Nobody can say beforehand which of them you are, and the trial is there to find out." + unknown)})
    return told


def _gate_for_patient(found: xr.Dataset, i: int) -> str:
    """What the gate does, in a sentence or two."""
    change = float(np.nanmean(found.inhibition.isel(program=i, hypothesis=0).values))
    begin = "Pain passes through nerve cells in the spinal cord that work like a gate. In a simulation of these cells, this program "
    if np.isnan(change):
        return begin + "could not be looked at."
    if abs(change) < LITTLE:
        return begin + ("changes little in how strongly they pass pain on. The simulation may miss what this kind of stimulation does, so "
                        "the chances above do not hang on it alone.")
    return begin + f"makes them pass on about {abs(change):.0f} % {'less' if change > 0 else 'more'}."


def _interval(values: Sequence[float] | Sequence[Any]) -> dict[str, float]:
    low, middle, high = np.quantile(np.asarray(values, float), (0.05, 0.5, 0.95))
    return {"middle": round(float(middle), 1), "low": round(float(low), 1), "high": round(float(high), 1)}


def _numbers(numbers: Sequence[Number]) -> dict[str, Any]:
    """How many numbers were used, and those that nobody has checked, for marks."""
    doubtful = [n for n in dict.fromkeys(numbers) if n.unverified]
    return {"numbers_used": len(dict.fromkeys(numbers)), "unverified": [
        {"name": n.name, "evidence": n.evidence, "source": n.source, "note": f"{n.value:.4g} {n.unit}".removesuffix(" 1")} for n in doubtful]}

