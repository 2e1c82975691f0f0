"""What came out of a study of virtual patients: its tables, joined from batches, and the summary that the report shows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from epidura import cohort_costs, stages, virtual
from epidura.cohort_study import USUAL, Study, replicate
from epidura.evidence.rows import rows as rows_of_trials
from epidura.programming import words_of
from epidura.tasks import clean, mark_of
from epidura.trial import grade

Floats = NDArray[np.float64]

TABLES = ("patients.parquet", "visits.parquet")
RESAMPLES = 25
"""Drawings of the patients with replacement, of each replicate, for intervals."""
RELIEFS = np.round(np.linspace(-0.2, 1.0, 49), 3)
"""Reliefs of the curve of cumulative responders."""
GRID = 61
"""Months at which the curve of explants is told."""
SEEN = ("nrs", "relief", "responder30", "responder50", "index", "vas", "odi_like", "pgic", "medication", "holistic", "state", "context", "neural")
"""What is seen at a visit."""
COVARIATES = {"coverage": "1", "coverable": "1", "recruited": "1", "inhibition": "1", "closing": "1", "usage_range": "1", "reach_factor": "1",
              "dorsal_csf": "mm", "lateral": "mm", "baseline": "NRS", "expectation": "1", "adherence": "1"}
"""What may tell who fails, with the unit in which it is told."""
KEPT = (*COVARIATES, "tried", "passed", "failure", "implanted", "explant", "explant_reason", "loss", "relief", "nrs", "index", "contacts",
        "combinations_tried", "as_written_coverage", "migration", "migration_revised")
"""What the summary is made of."""


def kept(study: Study) -> tuple[str, ...]:
    """Columns that the summary of a study is made of."""
    return KEPT if study.costs is None else (*KEPT, "cost", "qaly", *cohort_costs.PARTS)



# --- tables ---


class Tables:
    """The tables of patients and visits, written while batches come in; each file is whole or as it was.

    Args:
        study: whose they are.
        home: folder that gets them.
    """

    def __init__(self, study: Study, home: Path):
        self.study, self.home = study, home
        clean(home)
        self._parts = {name: home / f".part-{mark_of()}-{name}" for name in TABLES}
        self._writers: dict[str, Any] = {}
        self._kept: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._writers.values():
            writer.close()
        for part in self._parts.values():
            part.unlink(missing_ok=True)

    def add(self, batch: str | Path) -> None:
        """The next batch, in the order of the patients."""
        import pyarrow.parquet as pq

        table = pq.read_table(batch)
        self._kept.append({name: _numpy(table[name], len(self.study.months)) for name in kept(self.study)})
        for name, rows in zip(TABLES, (table.drop_columns(list(SEEN)), _visits(table, self.study.months)), strict=True):
            if name not in self._writers:
                self._writers[name] = pq.ParquetWriter(str(self._parts[name]), rows.schema, compression="zstd")
            self._writers[name].write_table(rows, row_group_size=max(len(rows), 1))

    def columns(self) -> dict[str, Any]:
        """``kept`` of all patients, for ``summarise``."""
        return {name: np.concatenate([_cube(self.study, one[name]) for one in self._kept], axis=1) for name in kept(self.study)}

    def place(self) -> None:
        """Put both under their names."""
        for name, writer in self._writers.items():
            writer.close()
            os.replace(self._parts[name], self.home / name)


def _visits(table: Any, months: Sequence[float]) -> Any:
    """One row per arm, patient, replicate and visit."""
    import pyarrow as pa

    count = len(months)
    rows = np.repeat(np.arange(len(table)), count)
    head = table.select(["arm", "patient", "replicate"]).take(pa.array(rows))
    found = head.append_column(pa.field("month", pa.float64(), metadata={"units": "month"}), pa.array(np.tile(np.array(months, float), len(table))))
    for name in SEEN:
        of = table.schema.field(name)
        found = found.append_column(pa.field(name, of.type.value_type, metadata=of.metadata), table[name].combine_chunks().flatten())
    return found.combine_chunks()


def _numpy(column: Any, months: int) -> Any:
    import pyarrow as pa

    array = column.combine_chunks()
    if pa.types.is_list(array.type):
        return array.flatten().to_numpy(zero_copy_only=False).reshape(-1, months).astype(np.float32)
    values = array.to_numpy(zero_copy_only=False)
    return values.astype(np.float32) if values.dtype.kind == "f" else values.astype(str) if values.dtype.kind == "O" else values


def _cube(study: Study, values: Any) -> Any:
    """(arms, patients, replicates, ...) of the rows of a batch."""
    return values.reshape(len(study.arms), -1, study.replicates, *values.shape[1:])


# --- what came out ---


def summarise(study: Study, columns: Mapping[str, Any]) -> dict[str, Any]:
    """The summary of a study: what the report shows.

    Args:
        columns: ``kept`` to (arms, patients, replicates) or (arms, patients, replicates, visits).
    """
    patients = columns["passed"].shape[1]
    graded = grade(study.population.indication)
    return {"title": study.title, "patients": patients, "replicates": study.replicates, "seed": study.seed, "months": list(study.months),
            "indication": study.population.indication, "evidence": {key: graded[key] for key in ("name", "grade", "words")}, "country": study.country,
            "draws": [replicate(study, r).draw for r in range(study.replicates)], "notes": _notes(study, patients, graded),
            "arms": [_arm(study, a, {name: values[a] for name, values in columns.items()}) for a in range(len(study.arms))],
            "trial_value": _trial_value(study, columns), "trial_value_published": published_value(),
            "costs": None if study.costs is None else cohort_costs.summary(
                study.costs, columns, [arm.name for arm in study.arms], [one.procedure for one in study.treatments],
                [arm.program for arm in study.arms], study.months[-1], study.seed, RESAMPLES)}


def _arm(study: Study, a: int, at: Mapping[str, Any]) -> dict[str, Any]:
    """One arm: shares with intervals, curves, who fails and why."""
    treated, last = study.treatments[a], len(study.months) - 1
    implanted, all_of = at["implanted"].astype(float), np.ones(at["implanted"].shape)
    rows: dict[str, tuple[Floats, Floats]] = {}
    for name, share in (("responder50", 0.5), ("responder30", 0.3)):
        good = (at["relief"] >= np.float32(share) - np.float32(1e-6)).astype(float)
        for v, month in enumerate(study.months):
            rows[f"{name} {month:g}"] = good[..., v], all_of
            rows[f"{name} implanted {month:g}"] = good[..., v] * implanted, implanted
    for v, month in enumerate(study.months):
        rows[f"nrs {month:g}"] = at["nrs"][..., v].astype(float), all_of
        rows[f"index {month:g}"] = at["index"][..., v].astype(float), all_of
    rows["passed"] = at["passed"] * at["tried"].astype(float), at["tried"].astype(float)
    rows["implanted"] = implanted, all_of
    rows["lost"] = np.isfinite(at["loss"]) * implanted, implanted
    for k, relief in enumerate(RELIEFS):
        rows[f"relief {k}"] = (at["relief"][..., last] >= np.float32(relief) - np.float32(1e-6)).astype(float), all_of
    until = study.months[-1]
    grid = np.linspace(0.0, until, GRID)
    told, curves = _bands(study.seed, rows, (at["explant"], implanted, until, grid))
    shares = [name for name in told if not name.startswith("relief ")]
    return {"name": study.arms[a].name, "program": study.arms[a].program, "therapy": treated.therapy,
            "procedure": treated.procedure.model_dump(mode="json"), "fitted": not treated.stand_in,
            "tried": bool(at["tried"].any()), "stimulated": treated.therapy != USUAL,
            **{name: told[name] for name in shares},
            "cumulative": {"relief": RELIEFS.tolist(), **{key: [told[f"relief {k}"][key] for k in range(len(RELIEFS))] for key in BANDS}},
            "explant_free": None if curves is None else {"month": grid.tolist(), **curves},
            "programming": _programming(study, a, at), "failures": _failures(at), "explants": _explants(at), "apart": _apart(at, last)}


def _programming(study: Study, a: int, at: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the sessions of the definitive stage did, and what became of leads that moved."""
    if study.treatments[a].program is None:
        return None
    as_written = _contacts_of(study, a)
    one = at["contacts"][:, 0]
    known = np.isfinite(at["coverage"][:, 0]) & np.isfinite(at["as_written_coverage"][:, 0])
    moved, implanted = np.isfinite(at["migration"]), at["implanted"]
    kinds, counts = np.unique(one[one != ""], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:5]

    def mean(values: Any) -> float | None:
        return round(float(values.mean()), 4) if values.size else None

    return {"by": study.programming, "tried": int(at["combinations_tried"].max(initial=0)), "as_written": as_written,
            "changed": mean((one != as_written)[one != ""].astype(float)), "coverage": mean(at["coverage"][known, 0].astype(float)),
            "coverage_as_written": mean(at["as_written_coverage"][known, 0].astype(float)),
            "commonest": [[str(kinds[k]), round(float(counts[k] / counts.sum()), 4)] for k in order],
            "moved": mean(moved[implanted].astype(float)), "revised": mean(at["migration_revised"][moved].astype(float))}


def _contacts_of(study: Study, a: int) -> str:
    """Contacts of the program of an arm."""
    which = study.treatments[a].program
    return "" if which is None else words_of(study.around.programs[which].contacts)


VALUE = ("sensitivity", "specificity", "positive_predictive", "implanted", "missed", "spared", "gain", "gain_without")
"""What is told of a trial stage, as ``stages.TrialValue``; gains are of responders over usual care, of all who are tried or implanted directly."""
JUDGED = 6.0
"""Months at which TRIAL-STIM judged the trial stage."""


def _trial_value(study: Study, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the trial stage of an arm is worth beside the arm that differs in having none: the same people, so who would have responded is known."""
    names, procedures = [arm.name for arm in study.arms], [one.procedure for one in study.treatments]
    chosen = cohort_costs.pairs(names, procedures, [arm.program for arm in study.arms], None)
    usual = next((a for a, one in enumerate(study.treatments) if one.therapy == USUAL), None)
    v = study.months.index(JUDGED) if JUDGED in study.months else len(study.months) - 1
    responds = columns["relief"][..., v] >= np.float32(0.5) - np.float32(1e-6)
    found = []
    for a, b, why in chosen:
        if why != "trial stage":
            continue
        good, passed, everybody = responds[b], columns["passed"][a] & columns["tried"][a], np.ones(responds[b].shape)
        rows: dict[str, tuple[Any, Any]] = {
            "sensitivity": (good & passed, good), "specificity": (~good & ~passed, ~good), "positive_predictive": (good & passed, passed),
            "implanted": (passed, everybody), "missed": (good & ~passed, everybody), "spared": (~good & ~passed, everybody)}
        if usual is not None:
            rows |= {"gain": (responds[a] * 1.0 - responds[usual], everybody), "gain_without": (good * 1.0 - responds[usual], everybody)}
        told, _ = _bands(study.seed, {name: (top.astype(float), below.astype(float)) for name, (top, below) in rows.items()},
                         (columns["explant"][a], np.zeros(everybody.shape), study.months[-1], np.zeros(1)))
        found.append({"arm": names[a], "without": names[b], "months": study.months[v], **{name: told.get(name) for name in VALUE},
                      "number_needed_to_try": _needed(told.get("gain")), "number_needed_to_implant": _needed(told.get("gain_without"))})
    return found


def _needed(gain: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """People for one more responder; None for an end at which there is none more."""
    if gain is None or gain["median"] is None:
        return None

    def of(value: float) -> float | None:
        return round(1 / value, 2) if value > 0 else None

    return {"median": of(gain["median"]), **{name: [of(gain[name][1]), of(gain[name][0])] for name in BANDS[1:]}}


def published_value() -> dict[str, dict[str, float]]:
    """Sensitivity and specificity that TRIAL-STIM found, %, with its 95 % interval."""
    return {row.measure: {"value": row.value, "low": row.low, "high": row.high} for row in rows_of_trials()
            if row.trial == "TRIAL-STIM" and row.measure in VALUE}


BANDS = ("median", "interval_50", "interval_90")


def _bands(seed: int, rows: Mapping[str, tuple[Floats, Floats]], explants: tuple[Any, Any, float, Floats]) -> tuple[dict[str, Any], Any]:
    """Median and intervals of weighted shares, over replicates and over drawings of the patients with replacement.

    Args:
        rows: name to what is summed and what it is divided by, each (patients, replicates).
        explants: month of each, whether implanted, end of observation, months at which the curve is told.
    """
    event, implanted, until, grid = explants
    patients, count = event.shape
    tops, bottoms = (np.stack([pair[k] for pair in rows.values()], axis=-1) for k in (0, 1))
    found, free = [], []
    for r in range(count):
        for b in range(RESAMPLES):
            chosen = np.random.default_rng([seed, r, b]).integers(patients, size=patients)
            weight = np.bincount(chosen, minlength=patients).astype(float)
            below = weight @ bottoms[:, r]
            found.append(np.divide(weight @ tops[:, r], below, out=np.full(len(below), np.nan), where=below > 0))
            own = chosen[implanted[chosen, r] > 0]
            if len(own):
                free.append(step(*stages.kaplan_meier(event[own, r], np.full(len(own), until)), grid))
    values = np.array(found)
    told = {name: _told(values[:, k]) for k, name in enumerate(rows)}
    if not free:
        return told, None
    lines = [_told(column) for column in np.array(free).T]
    return told, {key: [line[key] for line in lines] for key in BANDS}


def step(times: Floats, share: Floats, at: Floats) -> Floats:
    """A curve that falls at ``times`` to ``share``, at other times; 1 before the first."""
    return np.concatenate([[1.0], share])[np.searchsorted(times, at, side="right")]


def _told(values: Floats) -> dict[str, Any]:
    known = values[np.isfinite(values)]
    if not known.size:
        return dict.fromkeys(BANDS)
    ends = [round(float(q), 5) for q in np.quantile(known, (0.05, 0.25, 0.5, 0.75, 0.95))]
    return {"median": ends[2], "interval_50": [ends[1], ends[3]], "interval_90": [ends[0], ends[4]]}


def _failures(at: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Reasons for not passing the trial stage, the commonest first, as shares of those tried."""
    tried = at["tried"]
    if not tried.any():
        return []
    reasons, counts = np.unique(at["failure"][tried & ~at["passed"]], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [{"reason": str(reasons[k]), "share": round(float(counts[k] / tried.sum()), 5)} for k in order]


def _explants(at: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Reasons for explants, as shares of those implanted."""
    out = np.isfinite(at["explant"]) & at["implanted"]
    reasons, counts = np.unique(at["explant_reason"][out], return_counts=True)
    return [{"reason": str(reason), "share": round(float(count / at["implanted"].sum()), 5)} for reason, count in zip(reasons, counts, strict=True)]


def _apart(at: Mapping[str, Any], last: int) -> dict[str, list[dict[str, Any]]]:
    """How those who fail differ from the others: of the trial stage, and at the last visit among the implanted."""
    responds = at["relief"][..., last] >= np.float32(0.5)
    groups = {"trial": (at["tried"] & ~at["passed"], at["tried"] & at["passed"]),
              "last visit": (at["implanted"] & ~responds, at["implanted"] & responds)}
    found: dict[str, list[dict[str, Any]]] = {}
    for name, (bad, good) in groups.items():
        rows = []
        for covariate, unit in COVARIATES.items():
            values = at[covariate].astype(float) * (1e3 if unit == "mm" else 1.0)
            if covariate == "lateral":
                values = np.abs(values)
            one, other = (values[mask & np.isfinite(values)] for mask in (bad, good))
            if len(one) < 2 or len(other) < 2:
                continue
            spread = np.sqrt(0.5 * (one.var() + other.var()))
            rows.append({"covariate": covariate, "unit": unit, "failed": float(f"{one.mean():.4g}"), "others": float(f"{other.mean():.4g}"),
                         "standardised": round(float((one.mean() - other.mean()) / spread), 3) if spread > 0 else 0.0})
        found[name] = sorted(rows, key=lambda row: -abs(row["standardised"]))
    return found


def errors(study: Study, found: Sequence[virtual.Compared]) -> dict[str, Any]:
    """How the surrogate was made and how far it is off."""
    if study.surrogate.by == "full-chain":
        return {"by": "full-chain"}
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in virtual.error_table(found).splitlines()] if found else []
    nodes, cases = study.nodes, dict(study.nodes.tasks)
    return {"by": "surrogate", "nodes": len(cases), "gated": sum(bool(case.gate.seeds) for case in cases.values()), "share": study.surrogate.share,
            "csf_mm": [round(1e3 * float(x), 3) for x in nodes.csf], "lateral_mm": [round(1e3 * float(x), 3) for x in nodes.lateral],
            "minor": list(study.surrogate.minor), "compared": len({one.index for one in found}), "head": table[0] if table else [],
            "errors": table[2:]}


FAR_OFF = 0.2
"""Median error of the surrogate that is told among the notes: of coverage, and of the logarithm of perception and discomfort. A judgement."""


def warnings(found: Sequence[virtual.Compared]) -> list[str]:
    """What a reader must know of a surrogate that is far from the full chain."""
    notes = []
    for name in dict.fromkeys(one.full.program for one in found):
        own = [one for one in found if one.full.program == name]
        gaps = {"coverage": [one.surrogate.coverage - one.full.coverage for one in own]}
        for quantity in ("perception", "discomfort"):
            pairs = [(getattr(one.surrogate, quantity), getattr(one.full, quantity)) for one in own]
            gaps[quantity] = [float(np.log(a / b)) for a, b in pairs if np.isfinite(a) and np.isfinite(b)]
        if far := [quantity for quantity, values in gaps.items() if values and np.median(np.abs(values)) > FAR_OFF]:
            notes.append(f"{name}: the surrogate is far from the full chain in {', '.join(far)} (see its error), so what the program reaches in "
                         "these people is not to be relied on. More nodes (surrogate: csf, lateral, minor) help.")
    return notes


def _notes(study: Study, patients: int, graded: Mapping[str, str]) -> list[str]:
    """What a reader should know, judgements first."""
    found = ["How far coverage and inhibition of the gate decide relief has never been measured: each patient has a weight of each, drawn between "
             "nothing and all, in each replicate (a judgement).",
             "Pain at enrolment, expectation, adherence and own answer to stimulation are drawn without regard to anatomy (a judgement).",
             "Where leads end up against the plan, and how far they move, are drawn from few data (judgements among them)."]
    if study.surrogate.by == "full-chain":
        found.append("With the full chain of every person, those whose leads move are run at the new place too; where a lead has no room there, it "
                     "is taken to reach what it did.")
    known = [treated for treated in study.treatments if treated.program is not None and treated.procedure.battery_life is None]
    if known and study.case.generator is None:
        found.append("No generator is named in the case; the life of its battery is the published range of its kind.")
    elif any(treated.procedure.rechargeable for treated in known):
        found.append(f"{study.case.generator} is recharged; its life is the published range of its kind, which does not hang on the program.")
    for arm, treated in zip(study.arms, study.treatments, strict=True):
        if treated.stand_in:
            found.append(f"{arm.name}: no trial of {treated.tried or treated.therapy} was fitted; its effect is drawn about the typical one with "
                         "the spread between therapies.")
    if study.case.gate.seeds == 0 and any(treated.program is not None for treated in study.treatments):
        found.append("The gate is off in the case, so coverage alone decides what a program reaches.")
    if float(graded["spread"]):
        found.append(f"{graded['name']}: evidence {graded['grade']} ({graded['words']}); the neural effect is drawn wider by "
                     f"exp({graded['spread']}), a judgement.")
    if study.months[-1] > 24:
        found.append("Beyond 24 months pain is carried on from the laws; only explants were fitted that far.")
    if study.replicates < 20:
        found.append(f"{study.replicates} replicates are few: what the model is unsure of shows only in part in the intervals.")
    if patients < 100:
        found.append(f"{patients} patients are few; intervals hold how they happen to be drawn.")
    return found
