"""What a study of virtual patients is: a case, a population, arms and visits, and the worlds in which its patients live.

What is computed of it is in ``cohort``, what came out in ``cohort_summary``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from epidura import quality_of_life as life
from epidura import stages, virtual
from epidura.case import Case
from epidura.cohort_costs import Costs
from epidura.errors import BadCase, BadInput, nearest
from epidura.evidence.model import UNSTIMULATED, Arm, therapies, unfitted_dose
from epidura.evidence.posterior import posterior
from epidura.generator import generator
from epidura.lead_moves import Moved
from epidura.outcome import therapy_of
from epidura.outlook import valued
from epidura.recipe import Recipe, load, read_recipe
from epidura.trial import Population, grade

Floats = NDArray[np.float64]

USUAL = "usual-care"


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
