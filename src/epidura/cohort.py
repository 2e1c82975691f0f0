"""Cohorts at scale: a study is a population, arms and visits; each virtual patient goes through the chain and through both stages.

    study = read_study("study.yaml")
    summary = run_study(study, 1000, "results/study", workers=2)

What programs reach in a person is taken from a surrogate of the chain, whose error is measured against the full chain, or from the full chain of
every person. What becomes of the person is ``stages.simulate``, once in each of some **replicates**: a replicate is one draw of the posterior of
the outcome model, of the centre and of the numbers of practice, which all patients share. So the spread between replicates is what the model is
unsure of. The same people live in all replicates and arms: each is a pure function of the seed of the study and their number.

All work is tasks of ``tasks.run_tasks``: runs at the nodes of the surrogate, persons by the full chain, and batches of patients. A batch hangs on
nothing but the study and the numbers of its patients.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

import epidura
from epidura import cohort_costs, cohort_page, cohort_reach, stages, virtual
from epidura import quality_of_life as life
from epidura.anatomy import population
from epidura.battery import YEAR
from epidura.case import Case
from epidura.cohort_costs import Costs
from epidura.cohort_reach import Reached, Spot
from epidura.errors import BadCase, BadGeometry, BadInput, Failed, nearest
from epidura.evidence.model import UNSTIMULATED, Arm, therapies, unfitted_dose
from epidura.evidence.posterior import posterior
from epidura.generator import generator
from epidura.lead_moves import Moved
from epidura.outcome import reach_factor, therapy_of
from epidura.outlook import valued
from epidura.programming import words_of
from epidura.reach import Reach, reaches
from epidura.recipe import Recipe, load, read_recipe
from epidura.study import run, versions
from epidura.tasks import Outcome, Task, run_tasks
from epidura.trial import Population, grade
from epidura.virtual_sessions import Programmer

Floats = NDArray[np.float64]
Progress = Callable[[str, float], None]

FILES = ("study.yaml", "patients.parquet", "visits.parquet", "study.json", "report.html")
"""What stands in the folder of a study beside ``TASKS``. The first is there from the start, the others when all is done."""
TASKS = "tasks"
"""Folder of the results of single tasks."""
USUAL = "usual-care"
RESAMPLES = 25
"""Drawings of the patients with replacement, of each replicate, for intervals."""
RELIEFS = np.round(np.linspace(-0.2, 1.0, 49), 3)
"""Reliefs of the curve of cumulative responders."""
GRID = 61
"""Months at which the curve of explants is told."""
HYPOTHESIS = "none"
"""Of the gate, whose inhibition and closing amplitude are written down; the effect takes all that were run."""


# --- the study ---


class Lines(Recipe):
    """How what programs reach in a person is found.

    Attributes:
        by: ``surrogate``: between nodes at which the full chain is run; ``full-chain``: the full chain of every person.
        csf, lateral, share, minor: of ``virtual.plan``.
        compared: people of another seed in whom the surrogate is held against the full chain.
    """

    by: Literal["surrogate", "full-chain"] = "surrogate"
    csf: int = Field(virtual.CSF, ge=2, le=50)
    lateral: tuple[float, ...] = Field(virtual.LATERAL, min_length=2)
    share: float = Field(1.0, gt=0, le=1)
    minor: tuple[str, ...] = virtual.MINOR
    compared: int = Field(4, ge=0, le=10_000)


class StudyArm(Recipe):
    """One arm.

    Attributes:
        name: what it is called; no two arms share one.
        program: name of a program of the case, or ``usual-care``.
        procedure: what is done, as ``stages.Procedure`` without its therapy, which is that of the program; ``therapy: sham`` is allowed.
        novel: the new therapy of an open comparison, from which more is expected.
    """

    name: str = Field(min_length=1)
    program: str
    procedure: dict[str, Any] = Field(default_factory=dict)
    novel: bool = False


@dataclass(frozen=True)
class Treatment:
    """An arm as it is computed.

    Attributes:
        procedure: with a therapy that ``stages`` knows.
        therapy: of the program; ``sham`` or ``usual-care``.
        stand_in: name of the fitted therapy whose parameter holds the dose of one that was not fitted; "" if it was.
        program: index in ``Study.around``; None without one.
        tried: therapy that is tried, as the program has it.
    """

    procedure: stages.Procedure
    therapy: str
    stand_in: str
    program: int | None
    tried: str


class Study(Recipe):
    """A study of virtual patients.

    Attributes:
        title: one line.
        case: around which people are drawn: anatomy, lead, programs, indication.
        population: pain at enrolment.
        blinding: as in ``trial.Trial``.
        arms: one or more; every patient is in each of them.
        months: of visits after the verdict of the trial stage.
        seed: of the people and of the replicates.
        replicates: draws of the posterior, each shared by all patients.
        batch: patients of a task.
        surrogate: how reach is found.
        programming: ``session``: the contacts of the programs are those that a programming session finds best in each person; ``as-written``.
        costs: unit costs, for cost per QALY; nothing is counted without.
        country: of the value set of EQ-5D-5L.
    """

    title: str = Field("Study", min_length=1)
    case: Case
    population: Population
    blinding: Literal["open", "active", "sham"] = "open"
    arms: tuple[StudyArm, ...] = Field(min_length=1, max_length=20)
    months: tuple[float, ...] = Field((1.0, 3.0, 6.0, 12.0), min_length=1, max_length=50)
    seed: int = Field(1, ge=0, lt=2**63)
    replicates: int = Field(20, ge=1, le=1000)
    batch: int = Field(50, ge=1, le=10_000)
    surrogate: Lines = Lines()
    programming: Literal["session", "as-written"] = "session"
    costs: Costs | None = None
    country: str = "England"

    @field_validator("months")
    @classmethod
    def _times(cls, months: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < month <= 240 for month in months) or list(months) != sorted(set(months)):
            raise BadCase("", "not visits", got=str(list(months)), allowed="months above 0, up to 240, each once, the earliest first")
        return months

    @field_validator("country")
    @classmethod
    def _valued(cls, country: str) -> str:
        return valued(country)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.case.patient is None:
            raise BadCase("case.patient", "a cohort is drawn around a person, and there is none", hint="add patient: with indication and pain")
        if self.case.patient.indication not in (None, self.population.indication):
            raise BadCase("population.indication", "not that of the case", got=self.population.indication, allowed=self.case.patient.indication or "")
        if not grade(self.population.indication)["spread"]:
            raise BadCase("population.indication", f"nothing is known to predict it from: {grade(self.population.indication)['words']}",
                          got=self.population.indication)
        names = [arm.name for arm in self.arms]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise BadCase(f"arms[{i}].name", "two arms share a name", got=name)
        treated = self.treatments
        if self.blinding == "sham" and not any(one.therapy == "sham" for one in treated):
            raise BadCase("blinding", "blinded against sham, but no arm is sham", got="sham", allowed="open, active, or an arm with therapy: sham")
        if self.costs is not None:
            self.costs.check(names, [one.procedure for one in treated])
        if self.surrogate.by == "surrogate":
            self.nodes  # noqa: B018  refused here, not after hours
        return self

    @cached_property
    def treatments(self) -> tuple[Treatment, ...]:
        """Per arm, what is done."""
        return tuple(_treatment(self.case, self.around, arm, f"arms[{i}]") for i, arm in enumerate(self.arms))

    @cached_property
    def around(self) -> Case:
        """The case with the programs that an arm uses: what is run."""
        names = {arm.program for arm in self.arms}
        used = [program for program in self.case.programs if program.name in names] or [self.case.programs[0]]
        found: Case = self.case.but(programs=[program.model_dump(mode="json") for program in used], outcome={"samples": 0})
        return found

    @cached_property
    def nodes(self) -> virtual.Nodes:
        """The runs that the surrogate stands on."""
        of = self.surrogate
        try:
            return virtual.plan(self.around, of.csf, of.lateral, of.share, of.minor)
        except BadInput as failure:
            settings = failure.where in ("csf", "lateral", "share", "minor")
            hint = failure.hint if settings else "say surrogate: {by: full-chain}"
            raise BadCase(f"{'surrogate' if settings else 'case'}.{failure.where}", failure.problem, got=failure.got, allowed=failure.allowed,
                          hint=hint) from None

    def decides(self) -> dict[str, Any]:
        """What results hang on: all but the title."""
        found: dict[str, Any] = self.model_dump(mode="json")
        del found["title"], found["batch"]
        return found

    @property
    def kept(self) -> tuple[str, ...]:
        """Columns that the summary is made of."""
        return KEPT if self.costs is None else (*KEPT, "cost", "qaly", *cohort_costs.PARTS)


def _treatment(case: Case, around: Case, arm: StudyArm, where: str) -> Treatment:
    """What is done in an arm.

    Raises:
        BadCase: no such program, or a procedure that cannot be.
    """
    names = [program.name for program in case.programs]
    if arm.program != USUAL and arm.program not in names:
        raise BadCase(f"{where}.program", "there is no such program in the case", got=arm.program, allowed=", ".join((*names, USUAL)),
                      hint=nearest(arm.program, (*names, USUAL)))
    given = dict(arm.procedure)
    asked = given.pop("therapy", None)
    if asked not in (None, "sham") or (asked and arm.program == USUAL):
        raise BadCase(f"{where}.procedure.therapy", "an arm's therapy is that of its program", got=asked, allowed="sham, or leave it out")
    index = None if arm.program == USUAL else [program.name for program in around.programs].index(arm.program)
    own = USUAL if index is None else therapy_of(around.programs[index])
    fitted = [name for name in therapies() if name not in (given.get("salvage"), given.get("tried"))]
    stand_in = "" if own in (*therapies(), *UNSTIMULATED) else fitted[0]
    computed = stand_in or own
    if asked == "sham":
        given.setdefault("tried", computed)
    if index is not None and case.generator is not None:
        rechargeable = generator(case.generator).battery == "rechargeable"
        if given.setdefault("rechargeable", rechargeable) is not rechargeable:
            raise BadCase(f"{where}.procedure.rechargeable", f"the generator of the case, {case.generator}, says otherwise",
                          got=given["rechargeable"], allowed=str(rechargeable).lower(), hint="leave it out")
    try:
        procedure: stages.Procedure = read_recipe(stages.Procedure, {**given, "therapy": "sham" if asked else computed})
    except BadInput as failure:
        raise failure.at(f"{where}.procedure") from None
    return Treatment(procedure, "sham" if asked else own, stand_in, index, own if procedure.has_trial else "")


def read_study(source: str | Path | dict[str, Any]) -> Study:
    """A study from a YAML file or a mapping; ``case`` may be the path of a case, from the folder of the study.

    Raises:
        BadInput: with the path in the file, what was got and what is allowed.
    """
    given = dict(load(source, "study", Study))
    if isinstance(given.get("case"), str):
        beside = Path(source).parent if not isinstance(source, dict) and "\n" not in str(source) else Path()
        given["case"] = load(beside / given["case"], "case", Case)
    found: Study = read_recipe(Study, given)
    return found


# --- what all patients of a replicate share ---


@dataclass(frozen=True)
class Replicate:
    """One world: what all its patients share.

    Attributes:
        draw: of the posterior.
        parameters: of ``evidence.model``.
        context, neural: factors of the centre.
        unfitted: dose of a therapy that was not fitted, by name.
        practice: of ``stages.rates``.
        use: of ``quality_of_life``.
    """

    draw: int
    parameters: Mapping[str, float]
    context: float
    neural: float
    unfitted: Mapping[str, float]
    practice: Mapping[str, float]
    use: life.Parameters


def replicate(study: Study, r: int) -> Replicate:
    """The r-th world of a study; the same however many there are."""
    def stream(name: str) -> np.random.Generator:
        return np.random.default_rng([study.seed, r, *name.encode()])

    known = posterior()
    draw = int(stream("draw").integers(known.count))
    p = known.draw(draw)
    context, neural = (float(np.exp(p[f"{kind} between trials"] * stream(f"{kind} of the centre").standard_normal()))
                       for kind in ("context", "neural"))
    wider = float(grade(study.population.indication)["spread"]) * stream("indication").standard_normal()
    unfitted = {one: float(unfitted_dose(p, stream(f"dose of {one}").standard_normal()))
                for one in dict.fromkeys(treated.tried or treated.therapy for treated in study.treatments if treated.stand_in)}
    return Replicate(draw, p, context, neural * float(np.exp(wider)), unfitted, stages.rates(stream("practice").random(len(stages.facts()))),
                     life.parameters(stream("quality of life").random(len(life.uncertain()))))


def live(study: Study, treated: Treatment, arm: StudyArm, who: stages.Cohort, factor: Floats, world: Replicate, tried: Floats | None = None,
         moved: Moved | None = None) -> stages.Stages:
    """Patients in one arm of one world.

    Args:
        factor: (n,) on the neural effect, by what the program reaches in each with the leads of the definitive stage.
        tried: (n,) the same with those of the trial stage; as ``factor`` if left out.
        moved: the same once leads have moved.
    """
    p = dict(world.parameters)
    if treated.stand_in:
        p[f"neural {treated.stand_in}"] = world.unfitted[treated.tried or treated.therapy]
    of = study.population
    people = Arm(study.title, arm.name, treated.therapy, "", study.blinding, arm.novel, "none", of.baseline, of.baseline_sd, of.least)
    return stages.simulate(treated.procedure, who, p, people, months=study.months, reach=factor, tried_reach=tried, moved=moved,
                           context_scale=world.context, neural_scale=world.neural, country=study.country, practice=world.practice, use=world.use)


# --- tasks ---

LATER = ("cohort.py", "cohort_reach.py", "cohort_costs.py", "virtual_sessions.py", "lead_moves.py", "stages.py",
         "costs.py", "outcome.py", "outlook.py", "quality_of_life.py", "eq5d.py", "trial.py", "evidence/", "tasks.py",
         "data/outcome_", "data/stage", "data/costs", "data/trial", "data/reach_reference", "data/programming_rules")
"""Sources that the runs of the chain do not hang on."""
SHOWN = ("cli", "bench/", "report.py", "gate_page.py", "outcome_page.py", "cohort_page.py", "program_page.py", "figures.py", "bodymap.py",
         "export.py")
"""Sources that only show."""


@cache
def code(chain: bool) -> str:
    """Hash of the sources and tables of Epidura that results hang on; of the chain only, or of all."""
    home = Path(epidura.__file__).parent
    left_out = (*SHOWN, *(LATER if chain else ()))
    found = hashlib.blake2b(digest_size=16)
    names = sorted(path.relative_to(home).as_posix() for path in home.rglob("*") if path.suffix in (".py", ".csv", ".json", ".cu"))
    for name in names:
        if not name.startswith(left_out):
            found.update(name.encode() + b"\0" + (home / name).read_bytes())
    return found.hexdigest()


def _same_code(chain: bool, wanted: str) -> None:
    if code(chain) != wanted:
        raise BadInput("worker", "has other sources of Epidura than the driver", got=code(chain), allowed=wanted,
                       hint="install the same version everywhere")


def _hash(*parts: object) -> str:
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def node_tasks(study: Study) -> list[Task]:
    """The runs of the surrogate; none where every person is run."""
    if study.surrogate.by == "full-chain":
        return []
    return [Task(_hash("node", key, code(True)), node_run, {"case": case.model_dump(mode="json"), "sources": code(True)}, ".npz")
            for key, case in dict(study.nodes.tasks).items()]


def chain_tasks(study: Study, people: Sequence[virtual.Person]) -> list[Task]:
    """The full chain of people."""
    return [Task(_hash("chain", one.case.key(), code(True)), chain_run, {"case": one.case.model_dump(mode="json"), "sources": code(True)}, ".json")
            for one in people]


def compared(study: Study) -> list[virtual.Person]:
    """People in whom the surrogate is held against the full chain: of another seed than the study's, where no node stands."""
    if study.surrogate.by == "full-chain":
        return []
    found: list[virtual.Person] = []
    i = 0
    while len(found) < study.surrogate.compared:
        with suppress(BadGeometry):  # someone whom the lead does not fit is no one to compare
            found.append(virtual.person(study.around, study.seed + 1, i))
        i += 1
        if i > 100 * study.surrogate.compared:
            raise Failed("the lead of the case fits nearly nobody, so the surrogate cannot be compared")
    return found


def node_run(case: dict[str, Any], sources: str) -> bytes:
    """What the surrogate needs of one run, as an npz file."""
    _same_code(True, sources)
    result = _run(case)
    found = virtual.outcome(result, tried=virtual.mapping(result))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "node.npz"
        found.save(path)
        return path.read_bytes()


def chain_run(case: dict[str, Any], sources: str) -> bytes:
    """What programs reach in a person, by the full chain, as JSON."""
    _same_code(True, sources)
    return json.dumps([asdict(one) for one in reaches(_run(case))]).encode()


def _run(case: dict[str, Any]) -> Any:
    return run(read_recipe(Case, case), check_field=False)


def session_run(case: dict[str, Any], sources: str) -> bytes:
    """What programs reach in a person after a session, by the full chain, as JSON."""
    _same_code(False, sources)
    return cohort_reach.to_text(cohort_reach.by_chain(read_recipe(Case, case))).encode()


def person_tasks(study: Study, people: Sequence[virtual.Person]) -> list[Task]:
    """The full chain of the people of a study, with a session where one is held."""
    if study.programming == "as-written":
        return chain_tasks(study, people)
    return [Task(_hash("session", one.case.key(), code(False)), session_run, {"case": one.case.model_dump(mode="json"), "sources": code(False)},
                 ".json") for one in people]


def batches(count: int, size: int) -> Iterator[range]:
    """Numbers of the patients of each task: those of a whole batch do not hang on how many patients there are."""
    for start in range(0, count, size):
        yield range(start, min(start + size, count))


def batch_tasks(study: Study, patients: int) -> list[Task]:
    """The patients of a study."""
    text, sources = study.model_dump_json(), code(False)
    chain = [task.key for task in node_tasks(study)]
    return [Task(_hash("batch", study.decides(), chain, code(True), sources, [of.start, of.stop]), batch_run,
                 {"study": text, "first": of.start, "end": of.stop, "sources": sources}, ".parquet", into="path")
            for of in batches(patients, study.batch)]


@lru_cache(maxsize=2)
def _study(text: str) -> Study:
    found: Study = read_recipe(Study, json.loads(text))
    return found


@lru_cache(maxsize=2)
def _programmer(text: str, home: str) -> Programmer:
    return Programmer(surrogate(_study(text), home))


def surrogate(study: Study, home: str | Path) -> virtual.Surrogate:
    """From what stands in the folder of the tasks."""
    keys = list(dict(study.nodes.tasks))
    found = {key: virtual.Outcome.load(task.path(home)) for key, task in zip(keys, node_tasks(study), strict=True)}
    return virtual.Surrogate(study.nodes, found)


@lru_cache(maxsize=2)
def _worlds(text: str) -> tuple[Replicate, ...]:
    study = _study(text)
    return tuple(replicate(study, r) for r in range(study.replicates))


def batch_run(path: Path, study: str, first: int, end: int, sources: str) -> None:
    """Patients ``first`` to ``end`` - 1 of a study, as a Parquet file: one row per arm, patient and replicate; visits are lists."""
    _same_code(False, sources)
    one, home = _study(study), Path(path).parent.parent
    numbers = list(range(first, end))
    people = [cohort_reach.persons(one.around, one.seed, i) for i in numbers]
    found = [_reached(one, both, study, home) for both in people]
    lives = _programmer(study, str(home)).battery_lives() if one.surrogate.by == "surrogate" else ()
    _write(_rows(one, numbers, people, found, _worlds(study), lives), path)


Persons = tuple[virtual.Person | None, virtual.Person | None]


def _reached(study: Study, people: Persons, text: str, home: Path) -> Reached:
    session = study.programming == "session"
    if study.surrogate.by == "surrogate":
        return cohort_reach.between_nodes(_programmer(text, str(home)), people, session)
    spots: list[tuple[Spot, ...] | None] = []
    for who in people:
        if who is None:
            spots.append(None)
            continue
        (task,) = person_tasks(study, [who])
        kept = task.path(home).read_text(encoding="utf-8")
        spots.append(cohort_reach.from_text(kept) if session else tuple(
            cohort_reach.plain(Reach(**each), who.case, i) for i, each in enumerate(json.loads(kept))))
    return Reached(*spots)


REACHED = {"coverage": "1", "coverable": "1", "spill": "1", "usage_range": "1", "margin": "1", "recruited": "1", "closing": "1", "amplitude": "A",
           "perception": "A", "discomfort": "A"}
LIVED = ("baseline", "index_before", "expectation", "adherence", "tried", "passed", "failure", "trial_relief", "trial_infection", "trial_migration",
         "trial_dural_puncture", "trial_haematoma", "implanted", "dural_puncture", "haematoma", "pocket_pain", "infection", "loss", "salvage",
         "second_loss", "migration", "migration_revised", "explant", "explant_reason", "battery_life")
SEEN = ("nrs", "relief", "responder30", "responder50", "index", "vas", "odi_like", "pgic", "medication", "holistic", "state", "context", "neural")


def _rows(study: Study, numbers: Sequence[int], people: Sequence[Persons], found: Sequence[Reached], worlds: Sequence[Replicate],
          lives: Sequence[tuple[float, float] | None] = ()) -> Any:
    """The table of a batch: arm by arm, patient by patient, replicate by replicate. ``lives``: of the generator in years, per program."""
    import pyarrow as pa

    who, n, count = stages.cohort(study.seed, list(numbers)), len(numbers), len(worlds)
    nothing = dict.fromkeys((*population.DRAWN, "lateral", "tip"), np.nan)
    someone = [first or anew for first, anew in people]
    areas = ["" if one is None or one.case.patient is None else " ".join(one.case.patient.pain.areas) for one in someone]
    draws = np.stack([who.uniform("reach", 3, place=r) for r in range(count)], axis=1)
    held = study.programming == "session"
    tables = []
    for arm, treated in zip(study.arms, study.treatments, strict=True):
        stays = treated.procedure.has_trial and treated.procedure.technique != "percutaneous"
        bodies = [nothing if one is None else {**{name: float(getattr(one.case.anatomy, name, None) or np.nan) for name in population.DRAWN},
                                               "lateral": one.lateral, "tip": one.tip}
                  for one in (pair[0 if stays else 1] for pair in people)]
        spots = [[None if each is None or treated.program is None else each[treated.program] for each in one.stages(treated.procedure)]
                 for one in found]
        of_trial, factor, of_moved_trial, of_moved = (np.array([_factor(one[k], draw, treated, held) for one, draw in zip(spots, draws, strict=True)])
                                                      for k in range(4))
        # where a moved lead is not known, or was never placed, it reaches what it did
        of_moved_trial, of_moved = (np.where([[one[k] is None] for one in spots], before, after)
                                    for k, before, after in ((2, of_trial, of_moved_trial), (3, factor, of_moved)))
        follows = treated.program is not None and any(one[3] is not None for one in spots)
        treated = _with_life(treated, lives)
        runs = [live(study, treated, arm, who, factor[:, r], world, of_trial[:, r],
                     Moved(of_moved[:, r], of_moved_trial[:, r]) if follows else None) for r, world in enumerate(worlds)]
        lived, at = [one.data for one in runs], [None if one[1] is None else one[1].reach for one in spots]
        columns: dict[str, tuple[Any, str]] = {
            "arm": (np.repeat(arm.name, n * count), ""), "patient": (np.repeat(np.array(numbers, np.int64), count), ""),
            "replicate": (np.tile(np.arange(count, dtype=np.int32), n), ""), "draw": (np.tile(np.array([w.draw for w in worlds], np.int32), n), ""),
            "therapy": (np.repeat(treated.therapy, n * count), ""), "areas": (np.repeat(areas, count), "")}
        columns |= {name: (np.repeat([body[name] for body in bodies], count), "m") for name in nothing}
        columns |= {name: (np.repeat([np.nan if one is None else getattr(one, name) for one in at], count), unit) for name, unit in REACHED.items()}
        columns["inhibition"] = np.repeat([np.nan if one is None else one.inhibition.get(HYPOTHESIS, np.nan) for one in at], count), "1"
        columns["reach_factor"] = factor.ravel(), "1"
        columns |= {name: (values.ravel(), "1") for name, values in (("tried_reach_factor", of_trial), ("moved_reach_factor", of_moved))}
        columns["tried_coverage"] = np.repeat([np.nan if one[0] is None else one[0].reach.coverage for one in spots], count), "1"
        columns["as_written_coverage"] = np.repeat([np.nan if one[1] is None else one[1].as_written for one in spots], count), "1"
        columns["contacts"] = np.repeat(["" if one[1] is None else one[1].contacts for one in spots], count), ""
        columns["combinations_tried"] = np.repeat(np.array([0 if one[1] is None else one[1].tried for one in spots], np.int32), count), ""
        columns |= {name: (_by_patient(lived, name), stages.DECLARED[name][1]) for name in LIVED}
        columns["revisions"] = np.isfinite(np.stack([one.revision.values for one in lived], axis=1)).sum(-1).ravel().astype(np.int32), ""
        if study.costs is not None:
            bills = [study.costs.columns(one) for one in runs]
            for name in ("cost", "qaly", *cohort_costs.PARTS):
                unit = "year" if name == "qaly" else study.costs.currency
                columns[name] = np.stack([one[name][0] if name in one else np.zeros(n) for one in bills], axis=1).ravel(), unit
        columns |= {name: (_by_patient(lived, name), stages.DECLARED[name][1]) for name in SEEN}
        tables.append(pa.table([_array(values) for values, _ in columns.values()],
                               schema=pa.schema([pa.field(name, _array(values).type, metadata={"units": unit} if unit else None)
                                                 for name, (values, unit) in columns.items()])))
    return pa.concat_tables(tables)


def _with_life(treated: Treatment, lives: Sequence[tuple[float, float] | None]) -> Treatment:
    """With the life of the generator at the program of an arm, where it is known and the study does not say another."""
    life = None if treated.program is None or not lives else lives[treated.program]
    if life is None or treated.procedure.battery_life is not None or treated.procedure.rechargeable:
        return treated
    own: stages.Procedure = treated.procedure.but(battery_life=[f"{end * YEAR!r} s" for end in life])
    return replace(treated, procedure=own)


def _factor(spot: Spot | None, draw: Floats, treated: Treatment, session: bool = False) -> Floats:
    """(replicates,) on the neural effect of a patient, from (replicates, 3) own draws; 0 where the program cannot be set or the lead not placed."""
    if treated.program is None:
        return np.ones(len(draw))
    if spot is None or not np.isfinite(spot.reach.amplitude):
        return np.zeros(len(draw))
    return reach_factor(spot.reach, draw[:, :2], draw[:, 2], treated.tried or treated.therapy, session)


def _by_patient(lived: Sequence[Any], name: str) -> Any:
    """(patients * replicates, ...) values of a variable."""
    values = np.stack([one[name].values for one in lived], axis=1)
    return values.reshape(-1, *values.shape[2:])


def _array(values: Any) -> Any:
    """As Arrow: what did not happen is null; visits are lists."""
    import pyarrow as pa

    if values.ndim == 2:
        ends = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
        return pa.ListArray.from_arrays(pa.array(ends), _array(values.ravel()))
    if values.dtype.kind in "UO":
        return pa.array(values.astype(object), pa.string())
    return pa.array(values, from_pandas=True)


def _write(table: Any, path: str | Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, str(path), compression="zstd")


def need_arrow() -> None:
    """Raises:
        BadInput: the library for Parquet is not installed.
    """
    try:
        importlib.import_module("pyarrow")
    except ImportError:
        raise BadInput("cohort", "needs pyarrow, which is not installed", hint="pip install 'epidura[cohort]'") from None


# --- the driver ---


def run_study(study: Study, patients: int, folder: str | Path, workers: int = 1, cluster: str | None = None, resume: bool = False,
              progress: Progress | None = None) -> dict[str, Any]:
    """Compute what is missing of a study, join it, and write patients, visits, summary and report.

    The files do not depend on workers, cluster, interruptions, or on whether it was done at once.

    Args:
        study: what to do.
        patients: how many; those of a smaller cohort are the first of a larger one.
        folder: of the study; on a cluster one that all machines see under the same path.
        workers, cluster: as in ``tasks.run_tasks``.
        resume: go on with what is in the folder.
        progress: called with a sentence and a share from 0 to 1.

    Returns:
        the summary, as in study.json.

    Raises:
        BadInput: no patients, another study in the folder, an earlier run of this one without ``resume``, a missing extra.
        Failed: tasks that failed; what is done is kept.
    """
    need_arrow()
    if isinstance(patients, bool) or not isinstance(patients, int) or patients < 1:
        raise BadInput("patients", "nobody to study", got=patients, allowed="1 or more")
    say = progress or (lambda words, share: None)
    home = _claim(study, Path(folder).absolute(), resume)
    tasks = home / TASKS

    def part(low: float, high: float, what: str) -> Progress:
        return lambda words, share: say(f"{what}: {words}", low + (high - low) * share)

    def work(chosen: Sequence[Task], told: Progress, what: str) -> None:
        if chosen:
            _complete(run_tasks(chosen, tasks, workers, cluster, True, progress=told), what, tasks)

    if study.surrogate.by == "surrogate":
        work([*node_tasks(study), *chain_tasks(study, compared(study))], part(0.0, 0.6, "runs of the chain"), "runs of the chain")
        found = _compare(study, tasks)
    else:
        everyone = [one for i in range(patients) for one in cohort_reach.persons(study.around, study.seed, i) if one is not None]
        work(person_tasks(study, everyone), part(0.0, 0.6, "full chain of every person"), "persons")
        found = []
    work(batch_tasks(study, patients), part(0.6, 0.95, "patients"), "batches")
    say("report", 0.95)
    return _join(study, patients, home, found)


def _complete(outcome: Outcome, what: str, tasks: Path) -> None:
    if outcome.failed:
        key, words = next(iter(outcome.failed.items()))
        raise Failed(f"{len(outcome.failed)} of {len(outcome.failed) + len(outcome.done) + len(outcome.reused)} {what} failed; the first, {key[:8]}: "
                     f"{words}; what is done is kept, see {tasks / 'failures.jsonl'}, and run again with --resume")


def _claim(study: Study, home: Path, resume: bool) -> Path:
    """The folder, with the study written down in it.

    Raises:
        BadInput: another study or something else is in it, or an earlier run without ``resume``.
    """
    above = next(parent for parent in home.parents if parent.exists())
    if not above.is_dir() or (home.exists() and not home.is_dir()):
        raise BadInput(str(home), "no folder can be made here", got=str(above), allowed="a folder that can be written to")
    told = home / FILES[0]
    if told.is_file():
        earlier = read_study(told)
        if other := differs(earlier.decides(), study.decides()):
            raise BadInput(str(home), f"another study is in this folder; what differs: {', '.join(other[:5])}",
                           allowed="a new folder, or the same study")
        if not resume:
            raise BadInput(str(home), "an earlier run of this study is in this folder", hint="go on with --resume, or give another --out")
    elif home.is_dir():
        strange = sorted(entry.name for entry in home.iterdir() if not entry.name.startswith("."))
        if strange:
            raise BadInput(str(home), "this folder holds something else", got=", ".join(strange[:3]), allowed="a new or empty folder")
    try:
        home.mkdir(parents=True, exist_ok=True)
        _replace(told, yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True).encode())
    except OSError as failure:
        raise BadInput(str(home), f"cannot be written to: {failure.strerror}", allowed="a folder that can be written to") from None
    return home


def differs(one: Any, other: Any, where: str = "") -> list[str]:
    """Paths at which two mappings differ, with both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [words for key in dict.fromkeys((*one, *other))
                for words in differs(one.get(key), other.get(key), f"{where}.{key}" if where else str(key))]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [words for i, (a, b) in enumerate(zip(one, other, strict=True)) for words in differs(a, b, f"{where}[{i}]")]
    return [] if one == other else [f"{where} ({str(one)[:40]}, now {str(other)[:40]})"]


def _replace(path: Path, content: bytes) -> None:
    """Write a file, the whole of it or nothing."""
    part = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _compare(study: Study, tasks: Path) -> list[virtual.Compared]:
    """The surrogate beside the full chain, which is done."""
    people = compared(study)
    if not people:
        return []
    by_lines, found = surrogate(study, tasks), []
    for one, task in zip(people, chain_tasks(study, people), strict=True):
        full = [Reach(**each) for each in json.loads(task.path(tasks).read_text(encoding="utf-8"))]
        found += [virtual.Compared(one.index, a, b) for a, b in zip(full, by_lines.reach(one), strict=True)]
    return found


def _join(study: Study, patients: int, home: Path, found: Sequence[virtual.Compared]) -> dict[str, Any]:
    """Patients, visits, summary and report from the batches; each file whole or as it was, the report last."""
    import pyarrow.parquet as pq

    tasks = batch_tasks(study, patients)
    parts = {name: home / f".{name}-{os.getpid()}" for name in FILES[1:3]}
    writers: dict[str, Any] = {}
    kept: list[dict[str, Any]] = []
    try:
        for task in tasks:
            table = pq.read_table(task.path(home / TASKS))
            kept.append({name: _numpy(table[name], len(study.months)) for name in study.kept})
            for name, rows in zip(parts, (table.drop_columns(list(SEEN)), _visits(table, study.months)), strict=True):
                if name not in writers:
                    writers[name] = pq.ParquetWriter(str(parts[name]), rows.schema, compression="zstd")
                writers[name].write_table(rows, row_group_size=max(len(rows), 1))
        for writer in writers.values():
            writer.close()
        columns = {name: np.concatenate([_cube(study, one[name]) for one in kept], axis=1) for name in study.kept}
        summary = summarise(study, columns)
        summary |= {"surrogate": _errors(study, found), "versions": versions(), "sources": {"chain": code(True), "all": code(False)},
                    "keys": {"nodes": [task.key for task in node_tasks(study)], "batches": [task.key for task in tasks]}}
        text = json.dumps(summary, indent=1, allow_nan=False)
        page = cohort_page.render(summary)
        for name, part in parts.items():
            os.replace(part, home / name)
        _replace(home / "study.json", text.encode())
        _replace(home / "report.html", page.encode())
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    return summary


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


COVARIATES = {"coverage": "1", "coverable": "1", "recruited": "1", "inhibition": "1", "closing": "1", "usage_range": "1", "reach_factor": "1",
              "dorsal_csf": "mm", "lateral": "mm", "baseline": "NRS", "expectation": "1", "adherence": "1"}
"""What may tell who fails, with the unit in which it is told."""
KEPT = (*COVARIATES, "tried", "passed", "failure", "implanted", "explant", "explant_reason", "loss", "relief", "nrs", "index", "contacts",
        "combinations_tried", "as_written_coverage", "migration", "migration_revised")
"""What the summary is made of."""


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
        columns: ``Study.kept`` to (arms, patients, replicates) or (arms, patients, replicates, visits).
    """
    patients = columns["passed"].shape[1]
    graded = grade(study.population.indication)
    return {"title": study.title, "patients": patients, "replicates": study.replicates, "seed": study.seed, "months": list(study.months),
            "indication": study.population.indication, "evidence": {"grade": graded["grade"], "words": graded["words"]}, "country": study.country,
            "draws": [replicate(study, r).draw for r in range(study.replicates)], "notes": _notes(study, patients, graded),
            "arms": [_arm(study, a, {name: values[a] for name, values in columns.items()}) for a in range(len(study.arms))],
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
    kept = [name for name in told if not name.startswith("relief ")]
    return {"name": study.arms[a].name, "program": study.arms[a].program, "therapy": treated.therapy,
            "procedure": treated.procedure.model_dump(mode="json"), "fitted": not treated.stand_in,
            "tried": bool(at["tried"].any()), "stimulated": treated.therapy != USUAL,
            **{name: told[name] for name in kept},
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


def _errors(study: Study, found: Sequence[virtual.Compared]) -> dict[str, Any]:
    """How the surrogate was made and how far it is off."""
    if study.surrogate.by == "full-chain":
        return {"by": "full-chain"}
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in virtual.error_table(found).splitlines()] if found else []
    nodes, cases = study.nodes, dict(study.nodes.tasks)
    return {"by": "surrogate", "nodes": len(cases), "gated": sum(bool(case.gate.seeds) for case in cases.values()), "share": study.surrogate.share,
            "csf_mm": [round(1e3 * float(x), 3) for x in nodes.csf], "lateral_mm": [round(1e3 * float(x), 3) for x in nodes.lateral],
            "minor": list(study.surrogate.minor), "compared": len({one.index for one in found}), "head": table[0] if table else [],
            "errors": table[2:]}


def _notes(study: Study, patients: int, graded: Mapping[str, str]) -> list[str]:
    """What a reader should know, judgements first."""
    found = ["How far coverage and inhibition of the gate decide relief has never been measured: each patient has a weight of each, drawn between "
             "nothing and all, in each replicate (a judgement).",
             "Pain at enrolment, expectation, adherence and own answer to stimulation are drawn without regard to anatomy (a judgement).",
             "Where leads end up against the plan, and how far they move, are drawn from few data (judgements among them)."]
    if study.surrogate.by == "full-chain":
        found.append("With the full chain of every person, leads that move are counted as an event only.")
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
