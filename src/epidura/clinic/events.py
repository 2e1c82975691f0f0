"""What can happen to a patient, one class per kind.

An event is a frozen recipe: its fields are the keys of the JSON that the store keeps and that REST takes. Fields marked ``Private`` say who
the patient is, or are free words that might; the store seals them with the patient's own key, so that throwing the key away erases them
while the chain of hashes stays whole. Whoever wrote an event, when, and why belongs to its envelope (``store.log``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from epidura.clinic import instruments
from epidura.clinic.complications import Complication
from epidura.clinic.procedure import Allergies, Anaesthesia, CaseLink, Consent, InfectionBundle, Planning
from epidura.clinic.selection import Findings, Member
from epidura.clinic.verdict import Step
from epidura.errors import BadCase, nearest
from epidura.generator import phase_of
from epidura.patient import SIDES, indications
from epidura.program import CASE
from epidura.program_file import ProgramFile
from epidura.recipe import Recipe, kind_of, read_recipe
from epidura.tables import table

if TYPE_CHECKING:
    from epidura.clinic.instruments import Instrument as AnyInstrument
else:
    AnyInstrument = instruments.family.field


class Sealed:
    """Mark of a field that is kept under the patient's key."""


SEALED = Sealed()
Private = Annotated[str, SEALED]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Words = Annotated[str, Field(max_length=20_000), SEALED]
Scale = Annotated[float, Field(ge=0, le=10)]
Area = Annotated[str, AfterValidator(lambda value: known("", value, areas()))]
Indication = Annotated[str, AfterValidator(lambda value: known("", value, indications()))]
Rule = Annotated[str, AfterValidator(lambda value: known("", value, _rules()))]

Site = Literal["upper-buttock", "abdomen", "flank", "chest"]
Technique = Literal["percutaneous", "tunnelled", "on-the-table", "surgical"]


class Event(Recipe):
    """Base of all events.

    Attributes:
        on: the day it happened, which may be before the day it was written down.
        why: reason, in words; sealed.
    """

    on: date
    why: Words = ""


class Identity(Recipe):
    """Who the patient is. Never leaves the record but to those who treat."""

    family_name: Name
    given_name: Name
    birth_date: date
    identifiers: dict[str, str] = Field({}, description="system -> number, such as the hospital's")
    phone: str = ""
    email: str = ""
    address: str = ""
    contact: str = Field("", description="somebody to call")


class Registered(Event):
    """A patient enters the record."""

    kind: Literal["patient.registered"] = "patient.registered"
    identity: Annotated[Identity, SEALED]
    birth_year: int = Field(ge=1890, le=2100)
    sex: Literal["female", "male", "other", "unknown"] = "unknown"
    language: str = Field("en", min_length=2, max_length=10)

    @model_validator(mode="after")
    def _same_year(self) -> Registered:
        if self.identity.birth_date.year != self.birth_year:
            raise BadCase("birth_year", "not the year of the birth date", got=str(self.birth_year), allowed=str(self.identity.birth_date.year))
        return self


class Identified(Event):
    """The identity was corrected or completed."""

    kind: Literal["patient.identified"] = "patient.identified"
    identity: Annotated[Identity, SEALED]
    birth_year: int | None = Field(None, ge=1890, le=2100)
    sex: Literal["female", "male", "other", "unknown"] | None = None
    language: str | None = Field(None, min_length=2, max_length=10)

    @model_validator(mode="after")
    def _same_year(self) -> Identified:
        if self.birth_year is not None and self.identity.birth_date.year != self.birth_year:
            raise BadCase("birth_year", "not the year of the birth date", got=str(self.birth_year), allowed=str(self.identity.birth_date.year))
        return self


class Erased(Event):
    """The identity fields were erased on lawful request; written by ``Record.erase`` alone."""

    kind: Literal["patient.erased"] = "patient.erased"
    authority: Name


class Died(Event):
    """The patient died."""

    kind: Literal["patient.died"] = "patient.died"
    related: Literal["unrelated", "possibly", "related", "unknown"] = "unknown"


class Referred(Event):
    """A referral arrived."""

    kind: Literal["referral.received"] = "referral.received"
    indication: Indication
    pain_areas: tuple[Area, ...] = ()
    nrs: Scale | None = None
    referrer: Private = ""
    question: Words = ""


class Assessed(Event):
    """Somebody assessed the patient: what was found."""

    kind: Literal["assessment.recorded"] = "assessment.recorded"
    jurisdiction: str = "unspecified"
    findings: Findings


class Signed(Event):
    """A member of the multidisciplinary team said yes or no."""

    kind: Literal["team.signed"] = "team.signed"
    member: Member

    @model_validator(mode="after")
    def _said(self) -> Signed:
        if self.member.agrees is None:
            raise BadCase("member.agrees", "a signature without a yes or a no", hint="write true or false")
        return self


class Selected(Event):
    """The decision after the assessment.

    Attributes:
        despite: ids of hard criteria that are not met and that the team sets aside; ``why`` says the reason.
    """

    kind: Literal["selection.decided"] = "selection.decided"
    decision: Literal["selected", "optimise-first", "not-suitable"]
    to_do: tuple[str, ...] = ()
    despite: tuple[str, ...] = ()


class Consented(Event):
    """A consent was explained, signed or withdrawn."""

    kind: Literal["consent.recorded"] = "consent.recorded"
    consent: Consent


class Planned(Event):
    """What is planned for a procedure: site and level, drugs on clotting, anaesthesia, allergies.

    Attributes:
        drugs: on clotting that the patient takes; an empty list says that none are taken.
        hold: for each drug the last dose and the restart as planned by a clinician from the clinic's own signed table.
    """

    kind: Literal["procedure.planned"] = "procedure.planned"
    stage: Literal["trial", "implant"]
    planning: Planning
    drugs: tuple[str, ...] | None = None
    hold: dict[str, str] = {}
    anaesthesia: Anaesthesia | None = None
    allergies: Allergies | None = None


class Checked(Event):
    """The bundle against infection around a procedure, as far as it was ticked."""

    kind: Literal["infection.checked"] = "infection.checked"
    stage: Literal["trial", "implant"]
    bundle: InfectionBundle


class LeadIn(Event):
    """A lead was placed in the epidural space.

    Attributes:
        lead: name of the lead within the record, such as ``left``.
        model: of data/leads.csv, or another with ``manufacturer``.
        level: vertebra at the tip.
    """

    kind: Literal["lead.implanted"] = "lead.implanted"
    stage: Literal["trial", "implant"]
    lead: Name
    model: Name
    manufacturer: str = ""
    serial: str = ""
    lot: str = ""
    udi: str = ""
    technique: Technique = "percutaneous"
    entry: str = ""
    level: Name
    side: Literal["midline", "left", "right"] = "midline"


class LeadOut(Event):
    """A lead was removed."""

    kind: Literal["lead.removed"] = "lead.removed"
    lead: Name
    outcome: Literal["complete", "fragment left"] = "complete"


class LeadMoved(Event):
    """A lead was seen somewhere else than it was put, or was put somewhere else."""

    kind: Literal["lead.moved"] = "lead.moved"
    lead: Name
    level: Name
    how: Literal["migrated", "repositioned"]
    distance_mm: float | None = Field(None, ge=0, le=300)


class TrialBegun(Event):
    """The diary of the provisional stage begins.

    Attributes:
        rule: of data/stage_rules.csv that the verdict will be by.
        days: planned.
        baseline_nrs: average pain before, NRS.
        index_before: EQ-5D index before.
    """

    kind: Literal["trial.begun"] = "trial.begun"
    rule: Rule = "relief-50"
    days: int = Field(7, ge=1, le=60)
    baseline_nrs: Scale
    baseline_activity: Scale | None = None
    baseline_medication: float | None = Field(None, ge=0)
    index_before: float | None = Field(None, ge=-1, le=1)


class Programmed(Event):
    """A program was set, and what was felt and measured with it.

    Attributes:
        slot: name of the program on the device.
        program: as in a program file of Epidura; one program.
        perception_mA, discomfort_mA, set_mA: thresholds felt, and the amplitude left with the patient.
        impedances_ohm: by contact.
        covered: areas that tingle, of data/pain_areas.csv.
        charge: figures computed by the impulse generator's rules, such as ``charge_per_phase_uC``; the record adds what ``figures`` knows.
    """

    kind: Literal["program.set"] = "program.set"
    slot: Name
    program: ProgramFile
    perception_mA: float | None = Field(None, ge=0, le=100)
    discomfort_mA: float | None = Field(None, ge=0, le=100)
    set_mA: float | None = Field(None, ge=0, le=100)
    impedances_ohm: dict[int, Annotated[float, Field(ge=0, le=100_000)]] = {}
    covered: tuple[Area, ...] = ()
    charge: dict[str, float] = {}

    @model_validator(mode="after")
    def _ordered(self) -> Programmed:
        if len(self.program.programs) != 1:
            raise BadCase("program.programs", "an event sets one program", got=str(len(self.program.programs)), allowed="1")
        if self.perception_mA is not None and self.discomfort_mA is not None and self.discomfort_mA < self.perception_mA:
            raise BadCase("discomfort_mA", "below the perception threshold", got=str(self.discomfort_mA), allowed=f"{self.perception_mA} or more")
        return self

    def figures(self) -> dict[str, float]:
        """Charge of a phase at the contact of the lead that carries most, uC, at the amplitude that was left with the patient, or else at that of
        the program; empty where neither is known in mA."""
        largest = 0.0
        for number, train in enumerate(self.program.programs[0].trains):
            level = train.amplitude.current
            if level is None and train.amplitude.of_perception is not None and self.perception_mA is not None:
                level = train.amplitude.of_perception * self.perception_mA / 1e3
            if number == 0 and self.set_mA is not None:
                level = self.set_mA / 1e3
            if level is None:
                return {}
            share = max((abs(part) for contact, part in train.contacts.items() if contact != CASE), default=0.0)
            largest = max(largest, 1e6 * share * level * phase_of(train.waveform))
        return {"charge_per_phase_uC": round(largest, 6)}


class Unprogrammed(Event):
    """A program was taken off the device."""

    kind: Literal["program.removed"] = "program.removed"
    slot: Name


class Linked(Event):
    """A case of Epidura that simulates a program of this patient, and what it found, beside what was observed.

    Attributes:
        slot: the program.
        case: its text.
        predicted: figures of the simulation, such as ``perception_mA`` with ``low`` and ``high``.
    """

    kind: Literal["case.linked"] = "case.linked"
    slot: Name
    case: CaseLink
    predicted: dict[str, float] = {}


class Diary(Event):
    """A day of the patient's diary. ``on`` is the day; a later entry for the same day replaces the earlier one.

    Attributes:
        worst, average, least: pain of the day, NRS 0 to 10.
        sleep, activity: 0 (worst) to 10.
        medication: doses of painkillers taken that day relative to the usual ones; 1: as usual, 0: none.
        tingling: areas where the patient feels it, of data/pain_areas.csv.
        stimulation_hours: on that day.
        slot: the program in use.
    """

    kind: Literal["diary.recorded"] = "diary.recorded"
    worst: Scale | None = None
    average: Scale | None = None
    least: Scale | None = None
    sleep: Scale | None = None
    activity: Scale | None = None
    medication: float | None = Field(None, ge=0, le=10)
    tingling: tuple[Area, ...] = ()
    stimulation_hours: float | None = Field(None, ge=0, le=24)
    slot: str = ""
    note: Words = ""

    @model_validator(mode="after")
    def _ordered(self) -> Diary:
        given = [value for value in (self.least, self.average, self.worst) if value is not None]
        if given != sorted(given):
            raise BadCase("worst", "least, average and worst pain are not in this order",
                          got=f"least {self.least}, average {self.average}, worst {self.worst}", allowed="least <= average <= worst")
        if not given and all(value is None for value in (self.sleep, self.activity, self.medication, self.stimulation_hours)):
            raise BadCase("", "a day of the diary without any answer", hint="give at least one")
        return self


class Answered(Event):
    """A questionnaire was answered; the score is computed, not typed in.

    Attributes:
        instrument: kind and settings of an instrument, such as ``{kind: odi}``.
        answers: item -> answer as given.
        moment: ``baseline``, ``trial``, or the visit's name.
    """

    kind: Literal["instrument.answered"] = "instrument.answered"
    instrument: AnyInstrument
    answers: dict[str, float | None]
    moment: str = "baseline"
    by: Literal["patient", "staff"] = "patient"

    @model_validator(mode="after")
    def _scored(self) -> Answered:
        self.score()
        return self

    def score(self) -> instruments.Score:
        return self.instrument.score(self.answers)


class TrialEnded(Event):
    """The diary of the provisional stage ends.

    Attributes:
        reported_relief: what the patient says, a fraction.
        index_during: EQ-5D index at the end.
    """

    kind: Literal["trial.ended"] = "trial.ended"
    reported_relief: float | None = Field(None, ge=-1, le=1)
    index_during: float | None = Field(None, ge=-1, le=1)
    early: Literal["", "infection", "migration", "failure", "wish", "other"] = ""


class Judged(Event):
    """The decision after the trial stage; the verdict by the rule stands beside it (``pathway.trial_of``).

    Attributes:
        succeeded: the team's decision, which may differ from the rule's verdict; ``why`` then says the reason.
        rule_says: the verdict as computed when the decision was made.
    """

    kind: Literal["trial.judged"] = "trial.judged"
    succeeded: bool
    rule_says: bool | None = None


class GeneratorIn(Event):
    """A pulse generator was implanted."""

    kind: Literal["generator.implanted"] = "generator.implanted"
    model: Name
    manufacturer: str = ""
    serial: str = ""
    lot: str = ""
    udi: str = ""
    site: Site
    side: Literal["left", "right", ""] = ""
    rechargeable: bool | None = None
    stay: Literal["day case", "overnight", "longer"] = "day case"


class GeneratorOut(Event):
    """A pulse generator was removed, in exchange for another (``replaced``) or as part of an explant."""

    kind: Literal["generator.removed"] = "generator.removed"
    replaced: bool = False
    reason: Literal["battery", "infection", "pocket pain", "fault", "upgrade", "MRI", "other"] = "other"


class Discharged(Event):
    """The patient went home."""

    kind: Literal["patient.discharged"] = "patient.discharged"
    overnight: bool = False


class Visited(Event):
    """A follow-up visit.

    Attributes:
        visit: its id in data/follow_up.csv, or ``unplanned``.
        reported_relief: a fraction.
        battery: of full, a fraction.
    """

    kind: Literal["visit.recorded"] = "visit.recorded"
    visit: Name
    nrs: Scale | None = None
    reported_relief: float | None = Field(None, ge=-1, le=1)
    index: float | None = Field(None, ge=-1, le=1)
    battery: float | None = Field(None, ge=0, le=1)
    note: Words = ""


class Complicated(Event):
    """A complication; a later event with the same name replaces what is known of it.

    Attributes:
        name: within the record, such as ``pocket infection 1``.
    """

    kind: Literal["complication.recorded"] = "complication.recorded"
    name: Name
    complication: Complication


class Revised(Event):
    """An operation on the system that leaves it in place."""

    kind: Literal["revision.recorded"] = "revision.recorded"
    what: tuple[Literal["lead", "generator", "anchor", "extension", "pocket"], ...] = Field(min_length=1)


class Salvaged(Event):
    """A step of the checklist that comes before an explant for loss of effect."""

    kind: Literal["salvage.tried"] = "salvage.tried"
    name: Name
    step: Step


class Explanted(Event):
    """The whole system was taken out. Closes the device's life, not the patient's record."""

    kind: Literal["system.explanted"] = "system.explanted"
    reason: Literal["loss of effect", "infection", "pain at device", "MRI", "wish", "no longer needed", "fault", "other"]
    complete: bool = True


class Recalled(Event):
    """A safety notice is about a device of this patient; a later event with the same notice replaces what is known.

    Attributes:
        notice: number or address of the notice.
        part: name of the lead, or ``generator``.
        state: what was done; ``affected`` while nothing was.
    """

    kind: Literal["device.recalled"] = "device.recalled"
    notice: Name
    part: Name
    state: Literal["affected", "patient told", "checked", "exchanged", "not affected after all"] = "affected"


class Noted(Event):
    """A note."""

    kind: Literal["note.added"] = "note.added"
    text: Words


class Corrected(Event):
    """An earlier event was wrong. It stays; what counts is this.

    Attributes:
        version: of the event within this patient's record.
        instead: the right event, of the same kind; None strikes the wrong one out.
    """

    kind: Literal["record.corrected"] = "record.corrected"
    version: int = Field(ge=1)
    instead: Annotated[dict[str, Any], SEALED] | None = None

    @model_validator(mode="after")
    def _reason(self) -> Corrected:
        if not self.why.strip():
            raise BadCase("why", "a correction without its reason", hint="say why")
        return self


@cache
def kinds() -> dict[str, type[Event]]:
    """Kind -> class of every event."""
    return {kind_of(each): each for each in Event.__subclasses__() if each.__module__ == __name__}


def read(value: Mapping[str, Any]) -> Any:
    """The event that a mapping with ``kind`` describes.

    Raises:
        BadCase: no kind, an unknown one, or a field that is missing, unknown or out of range.
    """
    if not isinstance(value, Mapping):
        raise BadCase("", "an event is a mapping with kind", got=type(value).__name__)
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in kinds():
        raise BadCase("kind", "there is no event of this kind", got=kind, allowed=", ".join(kinds()), hint=nearest(str(kind), kinds()))
    return read_recipe(kinds()[kind], dict(value))


@cache
def sealed_fields(event: type[Event]) -> tuple[str, ...]:
    """Names of the fields that are kept under the patient's key."""
    return tuple(name for name, field in event.model_fields.items()
                 if any(isinstance(mark, Sealed) for mark in field.metadata) or _inner(field.annotation))


def _inner(annotation: Any) -> bool:
    """Whether a type, such as that of an optional field, has the mark inside."""
    return any(isinstance(mark, Sealed) for mark in getattr(annotation, "__metadata__", ())) or any(_inner(each) for each in get_args(annotation))


HIDDEN = "(sealed)"
"""Stands in the open body where free words were: that something was said is known, and what it was is under the key."""

_WORDS = tuple(path.split(".") for path in (
    "findings.location", "findings.tried.*.what", "findings.tried.*.note", "findings.team.*.reason", "member.reason",
    "consent.questions", "planning.imaging", "planning.case.title", "planning.case.text", "case.title", "case.text", "allergies.reactions.*",
    "bundle.ticks.*.note", "complication.description", "complication.actions.*.what", "step.result", "program.title", "program.about"))
"""Free words inside of recipes that are not ours to mark. Names of staff stay open: they are no patient's, and who did what must stay known."""


def split(event: Event) -> tuple[dict[str, Any], dict[str, Any]]:
    """What of an event is kept open, and what is sealed. Kind and day stand in the envelope; what was left out is in neither."""
    whole = event.model_dump(mode="json", exclude_unset=True, exclude_defaults=True)
    sealed = {name: whole.pop(name) for name in sealed_fields(type(event)) if name in whole}
    words: dict[str, str] = {}
    for path in _WORDS:
        _hide(whole, path, "", words)
    if words:
        sealed["words"] = words
    return {name: value for name, value in whole.items() if name not in ("kind", "on")}, sealed


def join(body: Mapping[str, Any], sealed: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of ``split``."""
    whole = json.loads(json.dumps({**body, **{name: value for name, value in sealed.items() if name != "words"}}))
    for path, words in sealed.get("words", {}).items():
        *way, last = json.loads(path)
        at = whole
        for step in way:
            at = at[step]
        at[last] = words
    return dict(whole)


def _hide(at: Any, path: list[str], way: str, words: dict[str, str]) -> None:
    first, *rest = path
    steps: list[Any] = ([first] if isinstance(at, dict) and first in at else []) if first != "*" else (
        list(at) if isinstance(at, dict) else list(range(len(at))) if isinstance(at, list) else [])
    for step in steps:
        here = f"{way}, {json.dumps(step)}" if way else json.dumps(step)
        if rest:
            _hide(at[step], rest, here, words)
        elif isinstance(at[step], str) and at[step]:
            words[f"[{here}]"], at[step] = at[step], HIDDEN


def known(where: str, value: str, names: tuple[str, ...]) -> str:
    if value not in names:
        raise BadCase(where, "unknown name", got=value, allowed=", ".join(names), hint=nearest(value, names))
    return value


@cache
def areas() -> tuple[str, ...]:
    """Names of the areas of the body that pain, tingling and coverage are drawn in, each also with ``left-`` or ``right-`` for one side."""
    whole = tuple(dict.fromkeys(row["id"] for row in table("pain_areas")))
    return (*whole, *(f"{side}-{area}" for side in SIDES for area in whole))


@cache
def _rules() -> tuple[str, ...]:
    return tuple(dict.fromkeys(row["rule"] for row in table("stage_rules")))


def now() -> datetime:
    """The clock, UTC."""
    return datetime.now(UTC)
