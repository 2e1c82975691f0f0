"""Before the procedure: site and level, consent, infection bundle, drugs on clotting, anaesthesia, allergies.

    table = shipped().fill(Hold(drug="warfarin", ...)).sign("warfarin", name=..., role=..., registration=..., on=..., review_by=...)
    plan(["warfarin"], procedure=datetime(...), table=table, on=date(...))
    ready(preparation, "trial", on=date(...))

Hold times of drugs are not shipped. The table has the drugs, their class and the guideline to read; a named clinician reads the guideline, fills a
row and signs it. Without a valid signature of that very row no date is computed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from typing import Literal

from pydantic import Field, field_validator, model_validator

from epidura.clinic.selection import YesNo
from epidura.errors import BadCase, BadInput, nearest
from epidura.recipe import Recipe
from epidura.tables import table
from epidura.units import Time

Stage = Literal["trial", "implant"]
PHASES = ("pre-op", "intra-op", "post-op", "follow-up")
SUBSTANCES = ("latex", "chlorhexidine", "iodine", "antibiotics", "local anaesthetics", "contrast medium", "adhesives", "titanium or nickel",
              "silicone")
"""Asked about before the procedure, because the procedure brings them to the patient."""
LEVELS = tuple(f"{region}{k}" for region, count in (("C", 7), ("T", 12), ("L", 5), ("S", 5)) for k in range(1, count + 1))
"""Vertebrae from the head down."""


@dataclass(frozen=True)
class Check:
    """One thing before, during or after the procedure.

    Attributes:
        id, group: what it is about.
        state: ``ok``, ``warning`` (go on only with a reason), ``missing`` (not done or not known), ``refused`` (cannot go on), ``not applicable``.
        words: what was found and what to do.
        source, evidence: whose rule it is, and how sure we are that it says so.
    """

    id: str
    group: str
    state: Literal["ok", "warning", "missing", "refused", "not applicable"]
    words: str
    source: str = ""
    evidence: str = ""


# infection bundle

class Tick(Recipe):
    """What was done about a measure.

    Attributes:
        state: done, not done, or not applicable.
        by, on: who and when.
        note: in words; needed unless done.
    """

    state: Literal["done", "not done", "not applicable"]
    by: str = ""
    on: date | None = None
    note: str = ""

    @model_validator(mode="after")
    def _reasoned(self) -> Tick:
        if self.state == "done" and not (self.by.strip() and self.on):
            raise BadCase("by", "done by nobody or never", got=f"{self.by!r}, {self.on}", hint="say who and when")
        if self.state != "done" and not self.note.strip():
            raise BadCase("note", f"{self.state} without a reason", hint="say why")
        return self


class InfectionBundle(Recipe):
    """Ticks of the measures of data/infection_bundle.csv, by id."""

    ticks: dict[str, Tick] = {}

    @field_validator("ticks")
    @classmethod
    def _known(cls, ticks: dict[str, Tick]) -> dict[str, Tick]:
        known = table("infection_bundle").column("id")
        for name in ticks:
            if name not in known:
                raise BadCase(name, "there is no such measure", got=name, allowed=", ".join(known), hint=nearest(name, known))
        return ticks

    def checks(self, phase: str | None = None) -> tuple[Check, ...]:
        """Of one phase, or of all, in order.

        Raises:
            BadInput: no such phase.
        """
        if phase is not None and phase not in PHASES:
            raise BadInput("phase", "there is no such phase", got=phase, allowed=", ".join(PHASES), hint=nearest(phase, PHASES))
        found = []
        for row in table("infection_bundle"):
            if phase not in (None, row["phase"]):
                continue
            tick = self.ticks.get(row["id"])
            state: Literal["ok", "warning", "missing", "not applicable"] = (
                "missing" if tick is None else "ok" if tick.state == "done" else "warning" if tick.state == "not done" else "not applicable")
            words = row["measure"] + (f"; {row['note']}" if row["note"] else "")
            said = "" if tick is None else f" ({tick.state}" + "".join(f", {one}" for one in (tick.by, tick.on, tick.note) if one) + ")"
            found.append(Check(row["id"], row["phase"], state, words + said, row["source"], row["evidence"]))
        return tuple(found)


def antibiotic_timing(drug: str, given: datetime | None, incision: datetime | None) -> Check:
    """Whether the antibiotic was timed as data/antibiotic_timing.csv says.

    Args:
        drug: its name; vancomycin has its own row.
        given: when the infusion or injection was started.
        incision: when the skin was cut, or is to be.
    """
    name = drug.strip().casefold()
    rows = {row["drug"]: row for row in table("antibiotic_timing")}
    row = rows.get(name, rows["any other"])

    def said(state: Literal["ok", "warning", "missing"], words: str) -> Check:
        return Check("antibiotic-timing", "pre-op", state, words, row["source"], row["evidence"])

    if not name or given is None or incision is None:
        lacks = [word for word, there in (("the drug", name), ("when it was given", given), ("when the incision is", incision)) if not there]
        return said("missing", f"not written down: {', '.join(lacks)}")
    _same_clock(given, incision)
    minutes = (incision - given).total_seconds() / 60
    rule = f"{row['latest']} to {row['earliest']} min before the incision" + (f"; {row['note']}" if row["evidence"] == "judgement" else "")
    if minutes < 0:
        return said("warning", f"{name} was given after the incision; asked for: {rule}")
    fits = float(row["latest"]) <= minutes <= float(row["earliest"])
    return said("ok" if fits else "warning", f"{name} given {minutes:.0f} min before the incision; asked for: {rule}")


def _same_clock(first: datetime, second: datetime) -> None:
    if (first.utcoffset() is None) != (second.utcoffset() is None):
        raise BadInput("time", "one time has a zone and the other has none", got=f"{first.isoformat()}, {second.isoformat()}",
                       hint="give both a zone")


# drugs on clotting

@dataclass(frozen=True)
class Drug:
    """A drug of data/anticoagulants.csv: class and the guideline to read, no times."""

    drug: str
    kind: str
    guideline: str
    doi_or_url: str
    note: str


@cache
def drugs() -> tuple[Drug, ...]:
    """All drugs of the shipped table."""
    return tuple(Drug(row["drug"], row["class"], row["guideline"], row["doi_or_url"], row["note"]) for row in table("anticoagulants"))


def drug(name: str) -> Drug:
    """By name, whatever the case of its letters.

    Raises:
        BadInput: not in the table.
    """
    known = {one.drug.casefold(): one for one in drugs()}
    found = known.get(name.strip().casefold())
    if found is None:
        raise BadInput("drug", "not in the table of drugs on clotting", got=name, allowed=", ".join(one.drug for one in drugs()),
                       hint=nearest(name.casefold(), known))
    return found


class Hold(Recipe):
    """What a clinician filled in for a drug: nothing of it comes with the software.

    Attributes:
        drug: of data/anticoagulants.csv.
        stop_before: from the last dose to the procedure, such as ``12 h``; 0 if it goes on.
        restart_after: from the procedure to the next dose.
        tests: to do before the procedure, and what they must show.
        source_read: edition and page of the guideline that was read.
        conditions: when the row does not hold, such as a poor kidney.
    """

    drug: str
    stop_before: Time
    restart_after: Time
    tests: str = ""
    source_read: str = Field(min_length=1)
    conditions: str = ""

    @field_validator("drug")
    @classmethod
    def _known(cls, value: str) -> str:
        return drug(value).drug

    @field_validator("stop_before", "restart_after")
    @classmethod
    def _forward(cls, value: float) -> float:
        if value < 0 or value > 365 * 86400:
            raise BadCase("", "not a time to hold a drug", got=f"{value:g} s", allowed="0 to a year")
        return value


class RowSignature(Recipe):
    """A named clinician's signature of one row as it stood.

    Attributes:
        drug, row: which row, and ``Hold.key()`` of what stood in it.
        name, role, registration: who signed.
        on: when.
        review_by: last day on which it holds.
    """

    drug: str
    row: str
    name: str
    role: str
    registration: str
    on: date
    review_by: date

    @model_validator(mode="after")
    def _whole(self) -> RowSignature:
        for field in ("name", "role", "registration"):
            if not str(getattr(self, field)).strip():
                raise BadCase(field, "a signature needs a named clinician", got="", hint="name, role and registration number")
        if self.review_by <= self.on:
            raise BadCase("review_by", "reviewed before it was signed", got=str(self.review_by), allowed=f"after {self.on}")
        return self


class AnticoagulantTable(Recipe):
    """A clinic's table: rows that were filled, and signatures of rows. A row that was changed needs a new signature.

    Attributes:
        rows: at most one for each drug.
        signatures: all that were ever given; the last of a drug counts.
    """

    rows: tuple[Hold, ...] = ()
    signatures: tuple[RowSignature, ...] = ()

    @field_validator("rows")
    @classmethod
    def _once(cls, rows: tuple[Hold, ...]) -> tuple[Hold, ...]:
        names = [row.drug for row in rows]
        for name in names:
            if names.count(name) > 1:
                raise BadCase("", "a drug has two rows", got=name, hint="keep one")
        return rows

    def row(self, name: str) -> Hold | None:
        """What was filled in for a drug."""
        known = drug(name).drug
        return next((row for row in self.rows if row.drug == known), None)

    def fill(self, hold: Hold) -> AnticoagulantTable:
        """The table with this row in place of the drug's old one; it is unsigned unless nothing in it changed."""
        return AnticoagulantTable(rows=(*(row for row in self.rows if row.drug != hold.drug), hold), signatures=self.signatures)

    def sign(self, name_of_drug: str, *, name: str, role: str, registration: str, on: date, review_by: date) -> AnticoagulantTable:
        """The table with a signature of one row.

        Raises:
            BadInput: the row is empty, or the signature names nobody.
        """
        row = self.row(name_of_drug)
        if row is None:
            about = drug(name_of_drug)
            raise BadInput(about.drug, "an empty row cannot be signed", hint=f"read {about.guideline} ({about.doi_or_url}) and fill it first")
        return AnticoagulantTable(rows=self.rows, signatures=(*self.signatures, RowSignature(
            drug=row.drug, row=row.key(), name=name, role=role, registration=registration, on=on, review_by=review_by)))

    def signature(self, name: str) -> RowSignature | None:
        """The last one of a drug, whether it holds or not."""
        known = drug(name).drug
        return next((one for one in reversed(self.signatures) if one.drug == known), None)

    def state(self, name: str, on: date, until: date | None = None) -> Literal["empty", "unsigned", "changed", "future", "expired", "signed"]:
        """Of a drug's row on a day; a plan asks that the signature also holds ``until`` its last day."""
        row, signed = self.row(name), self.signature(name)
        if row is None:
            return "empty"
        if signed is None:
            return "unsigned"
        if signed.row != row.key():
            return "changed"
        if signed.on > on:
            return "future"
        return "expired" if signed.review_by < max(on, until or on) else "signed"


def shipped() -> AnticoagulantTable:
    """The table as it comes: every drug locked, no times."""
    return AnticoagulantTable()


@dataclass(frozen=True)
class HoldLine:
    """The plan for one drug.

    Attributes:
        drug: as it was asked for.
        state: ``planned``, or why not: ``unknown``, or a state of ``AnticoagulantTable.state`` other than signed.
        last_dose, restart: when; None unless planned, and both None where the drug goes on.
        tests, warnings: in words.
        to_do: what unlocks it.
        signed: by whom, when, and what was read.
    """

    drug: str
    state: str
    last_dose: datetime | None = None
    restart: datetime | None = None
    tests: str = ""
    warnings: tuple[str, ...] = ()
    to_do: str = ""
    signed: str = ""


_LOCKED = {"empty": "the row is empty", "unsigned": "nobody signed the row", "changed": "the row was changed after it was signed",
           "future": "the signature is dated later than this plan", "expired": "the signature is past its review date on the day of the procedure"}


def plan(taken: Sequence[str], procedure: datetime, table: AnticoagulantTable, on: date | datetime) -> tuple[HoldLine, ...]:
    """When to stop and restart each drug, from signed rows alone.

    Args:
        taken: drugs on clotting that the patient takes.
        procedure: its start; also taken as the time from which to restart.
        table: of the clinic.
        on: when the plan is made; with its time of day a last dose of the same day is told apart.

    Raises:
        BadInput: the plan is made after the procedure.
    """
    today = on.date() if isinstance(on, datetime) else on
    if today > procedure.date():
        raise BadInput("on", "the plan is made after the procedure", got=str(today), allowed=f"{procedure.date()} or earlier")
    lines = []
    for name in taken:
        try:
            about = drug(name)
        except BadInput as unknown:
            lines.append(HoldLine(name, "unknown", to_do=f"not in the table; ask a pharmacist and the prescriber before any date is set"
                                                         f"{'; ' + unknown.hint if unknown.hint else ''}"))
            continue
        state = table.state(about.drug, today, procedure.date())
        row, signed = table.row(about.drug), table.signature(about.drug)
        if state != "signed" or row is None or signed is None:
            lines.append(HoldLine(about.drug, state, to_do=f"{_LOCKED[state]}: a named clinician reads {about.guideline} ({about.doi_or_url}), "
                                                           f"fills the row and signs it"))
            continue
        warnings = [f"the row does not hold for: {row.conditions}"] if row.conditions else []
        goes_on = row.stop_before == 0
        last = None if goes_on else procedure - timedelta(seconds=row.stop_before)
        restart = None if goes_on else procedure + timedelta(seconds=row.restart_after)
        if goes_on:
            warnings.append("goes on through the procedure, as signed")
        elif last is not None and (last.date() < today or (isinstance(on, datetime) and _before(last, on))):
            warnings.append("the last dose should already have been taken: ask the patient, or move the procedure")
        elif last is not None and last.date() == today:
            warnings.append("the last dose falls on the day of this plan: look at the hour")
        warnings.append("stopping is agreed with the prescriber; the restart waits for a person who has seen the wound and the legs")
        lines.append(HoldLine(about.drug, "planned", last, restart, row.tests, tuple(warnings), signed=(
            f"{signed.name}, {signed.role}, {signed.registration}, {signed.on.isoformat()}; read: {row.source_read}; review by {signed.review_by}")))
    if len(lines) > 1:
        lines = [HoldLine(**{**vars(one), "warnings": (*one.warnings, "several drugs on clotting: rows were signed one by one, not together")})
                 for one in lines]
    return tuple(lines)


def _before(first: datetime, second: datetime) -> bool:
    _same_clock(first, second)
    return first < second


# consent, allergies, anaesthesia, planning

class Consent(Recipe):
    """Consent to one stage; that to the trial stage is none to the implant.

    Attributes:
        stage: trial or implant.
        text_version, language: of the text that the patient was given.
        risks: that were named, as kinds of data/complications.csv.
        explained_by, role: who explained.
        explained_on: when.
        signed_on: when the patient signed; left out before that.
        withdrawn_on: when it was taken back.
        alternatives, reversibility: whether other treatments, and that the system can be taken out again, were explained.
        questions: of the patient, and the answers.
    """

    stage: Stage
    text_version: str = Field(min_length=1)
    language: str = Field(min_length=1)
    risks: tuple[str, ...] = ()
    explained_by: str = Field(min_length=1)
    role: str = Field(min_length=1)
    explained_on: date
    signed_on: date | None = None
    withdrawn_on: date | None = None
    alternatives: bool = False
    reversibility: bool = False
    questions: str = ""

    @field_validator("risks")
    @classmethod
    def _known(cls, risks: tuple[str, ...]) -> tuple[str, ...]:
        known = list(dict.fromkeys(table("complications").column("kind")))
        for k, name in enumerate(risks):
            if name not in known:
                raise BadCase(f"[{k}]", "there is no such kind of complication", got=name, allowed=", ".join(known), hint=nearest(name, known))
        return risks

    @model_validator(mode="after")
    def _ordered(self) -> Consent:
        if self.signed_on and self.signed_on < self.explained_on:
            raise BadCase("signed_on", "signed before it was explained", got=str(self.signed_on), allowed=f"{self.explained_on} or later")
        if self.withdrawn_on and self.withdrawn_on < (self.signed_on or self.explained_on):
            raise BadCase("withdrawn_on", "taken back before it was given", got=str(self.withdrawn_on))
        return self


def risks_to_name() -> dict[str, str]:
    """Kinds of complication that a consent names, with their words: the rows of data/complications.csv marked so."""
    found: dict[str, str] = {}
    for row in table("complications"):
        if row["consent"] == "yes":
            found[row["kind"]] = f"{found[row['kind']]}; {row['name']}" if row["kind"] in found else row["name"]
    return found


def consent_checks(consents: Iterable[Consent], stage: Stage, on: date) -> tuple[Check, ...]:
    """Whether there is a whole consent to a stage on a day; the last one explained by then counts."""
    given = sorted((one for one in consents if one.stage == stage and one.explained_on <= on), key=lambda one: one.explained_on)
    if not given:
        return (Check("consent", "consent", "refused", f"no consent to the {stage}: explain, give the text, let the patient sign"),)
    last = given[-1]
    if last.withdrawn_on and last.withdrawn_on <= on:
        return (Check("consent", "consent", "refused", f"consent to the {stage} was taken back on {last.withdrawn_on}"),)
    if last.signed_on is None or last.signed_on > on:
        return (Check("consent", "consent", "refused", f"consent to the {stage} was explained on {last.explained_on} and not signed"),)
    found = [Check("consent", "consent", "ok", f"{stage}: text {last.text_version} ({last.language}), explained by {last.explained_by}, {last.role}, "
                                               f"on {last.explained_on}, signed on {last.signed_on}")]
    if left := [words for kind, words in risks_to_name().items() if kind not in last.risks]:
        found.append(Check("consent-risks", "consent", "missing", f"not named: {'; '.join(left)}", "data/complications.csv", "judgement"))
    if not last.alternatives:
        found.append(Check("consent-alternatives", "consent", "missing", "other treatments were not explained"))
    if not last.reversibility:
        found.append(Check("consent-reversibility", "consent", "missing", "that the system can be taken out again was not explained"))
    return tuple(found)


class Allergies(Recipe):
    """Answers about substances; a substance without an answer was not asked about.

    Attributes:
        answers: of ``SUBSTANCES``.
        reactions: substance, in any words, to what happened.
    """

    answers: dict[str, YesNo] = {}
    reactions: dict[str, str] = {}

    @field_validator("answers")
    @classmethod
    def _known(cls, answers: dict[str, str]) -> dict[str, str]:
        for name in answers:
            if name not in SUBSTANCES:
                raise BadCase(name, "not one of the substances that are asked about", got=name, allowed=", ".join(SUBSTANCES),
                              hint=nearest(name, SUBSTANCES) or "write others under reactions")
        return answers

    def checks(self, drugs_planned: Iterable[str] = ()) -> tuple[Check, ...]:
        """Allergies found, questions left, and planned drugs that a reaction names. Cross-reactions of a class are not known here."""
        left = [name for name in SUBSTANCES if self.answers.get(name, "unknown") == "unknown"]
        found = [Check("allergy", "allergies", "missing", f"not known: {', '.join(left)}")] if left else []
        found += [Check("allergy", "allergies", "warning", f"{name}: {self.reactions.get(name, 'reaction not described')}; plan without it")
                  for name, answer in self.answers.items() if answer == "yes"]
        for planned in drugs_planned:
            name = planned.strip().casefold()
            hits = [one for one in self.reactions if name and (name in one.casefold() or (one.strip() and one.strip().casefold() in name))]
            found += [Check("allergy", "allergies", "refused", f"{planned} is planned and a reaction to {one} is on record: {self.reactions[one]}")
                      for one in hits]
        return tuple(found) or (Check("allergy", "allergies", "ok", "asked about every substance, none found"),)


class Anaesthesia(Recipe):
    """How the patient is kept comfortable.

    Attributes:
        kind: of anaesthesia.
        drugs: planned.
        fasting: confirmed.
        feedback: whether the patient can tell what is felt during placement.
        by: who is responsible.
    """

    kind: Literal["local", "local with sedation", "spinal", "general"]
    drugs: tuple[str, ...] = ()
    fasting: bool | None = None
    feedback: bool | None = None
    by: str = ""

    def checks(self) -> tuple[Check, ...]:
        """Usual is local anaesthesia with light sedation, as a day case or with one night."""
        found = []
        if not self.by.strip():
            found.append(Check("anaesthesia", "anaesthesia", "missing", "nobody is named as responsible"))
        if self.kind != "local" and self.fasting is not True:
            found.append(Check("fasting", "anaesthesia", "missing" if self.fasting is None else "warning",
                               "fasting is not confirmed" if self.fasting is None else "not fasting"))
        if self.kind in ("spinal", "general") or self.feedback is False:
            found.append(Check("feedback", "anaesthesia", "warning", "the patient cannot tell what is felt: coverage is judged by anatomy or by "
                                                                     "recording, and a warning by pain of nerve or cord is lost"))
        return tuple(found) or (Check("anaesthesia", "anaesthesia", "ok", f"{self.kind}, {self.by}"),)


class CaseLink(Recipe):
    """A case that was planned with the simulator: its text as it was, and the SHA-256 of it.

    Attributes:
        title: of the case.
        text: the case file.
        digest: hexadecimal; computed if left out, and refused if it is not that of the text.
    """

    title: str = ""
    text: str = Field(min_length=1)
    digest: str = ""

    @model_validator(mode="before")
    @classmethod
    def _digested(cls, value: object) -> object:
        if isinstance(value, Mapping) and isinstance(value.get("text"), str):
            own = hashlib.sha256(value["text"].encode()).hexdigest()
            if value.get("digest") not in (None, "", own):
                raise BadCase("digest", "not that of the text: the case was changed", got=str(value["digest"]), allowed=own)
            return {**value, "digest": own}
        return value


class Planning(Recipe):
    """Site and level.

    Attributes:
        target: a pain target of data/lead_levels.csv, if one fits.
        target_level: vertebra of the active cathode that is aimed at.
        entry_level: vertebra below which the needle enters the epidural space.
        side: of the leads.
        leads: how many.
        generator_site: of the generator, for the implant.
        imaging: what was looked at, and what it showed.
        case: the simulated one.
    """

    target: str = ""
    target_level: str | None = None
    entry_level: str | None = None
    side: Literal["midline", "left", "right", "both"] | None = None
    leads: int | None = Field(None, ge=1, le=4)
    generator_site: Literal["upper-buttock", "abdomen", "flank", "chest"] | None = None
    imaging: str = ""
    case: CaseLink | None = None

    @field_validator("target")
    @classmethod
    def _target(cls, value: str) -> str:
        if value and value not in table("lead_levels").column("pain_target"):
            known = table("lead_levels").column("pain_target")
            raise BadCase("", "there is no such target", got=value, allowed=", ".join(known), hint=nearest(value, known) or "levels_for() finds one")
        return value

    @field_validator("target_level", "entry_level")
    @classmethod
    def _level(cls, value: str | None) -> str | None:
        if value is not None and value not in LEVELS:
            raise BadCase("", "not a vertebra", got=value, allowed="C1 to C7, T1 to T12, L1 to L5, S1 to S5", hint=nearest(value, LEVELS))
        return value

    def checks(self, stage: Stage) -> tuple[Check, ...]:
        """What is left open, a level that no published row names, an entry above the target."""
        asked = {"target_level": self.target_level, "entry_level": self.entry_level, "side": self.side, "leads": self.leads,
                 "imaging": self.imaging.strip()}
        if stage == "implant":
            asked["generator_site"] = self.generator_site
        left = [name.replace("_", " ") for name, value in asked.items() if not value]
        found = [Check("planning", "planning", "missing", f"not planned: {', '.join(left)}")] if left else []
        if self.target and self.target_level:
            row = table("lead_levels").row(pain_target=self.target)
            known = levels_in(row["vertebral_level_of_active_cathode"])
            said = f"{self.target}: {row['vertebral_level_of_active_cathode']} {row['lateral_position']}".strip()
            if known:
                fits = self.target_level in known
                found.append(Check("level", "planning", "ok" if fits else "warning",
                                   said if fits else f"{self.target_level} is not a level that was read for {said}", row["source"], row["evidence"]))
        if self.target_level and self.entry_level and LEVELS.index(self.entry_level) <= LEVELS.index(self.target_level):
            found.append(Check("entry", "planning", "warning", f"entry at {self.entry_level} is not below the target {self.target_level}: "
                                                               f"is the lead meant to run downwards?"))
        return tuple(found) or (Check("planning", "planning", "ok", "site and level are planned"),)


def levels_in(text: str) -> tuple[str, ...]:
    """Vertebrae that a text such as ``T8-T9 (T7-T10)`` names, ranges filled."""
    found: set[str] = set()
    for first, second in re.findall(r"\b([CTLS]\d{1,2})(?:-([CTLS]\d{1,2}))?\b", text):
        if first in LEVELS and (not second or second in LEVELS):
            found.update(LEVELS[LEVELS.index(first) : LEVELS.index(second or first) + 1])
    return tuple(level for level in LEVELS if level in found)


def levels_for(words: str) -> tuple[dict[str, str], ...]:
    """Rows of data/lead_levels.csv whose target has one of these words."""
    asked = {word for word in re.findall(r"[a-z]+", words.casefold()) if len(word) > 2}
    return tuple(row for row in table("lead_levels") if asked & set(re.findall(r"[a-z]+", row["pain_target"].casefold())))


class Preparation(Recipe):
    """Everything before one procedure; what is left out is missing.

    Attributes:
        planning, consents, bundle, allergies, anaesthesia: see there.
        takes: drugs on clotting; an empty list if asked and none, left out if not asked.
        antibiotic: that is planned.
    """

    planning: Planning = Planning()
    consents: tuple[Consent, ...] = ()
    bundle: InfectionBundle = InfectionBundle()
    allergies: Allergies = Allergies()
    anaesthesia: Anaesthesia | None = None
    takes: tuple[str, ...] | None = None
    antibiotic: str = ""


def ready(preparation: Preparation, stage: Stage, procedure: datetime, holds: AnticoagulantTable, on: date | datetime) -> tuple[Check, ...]:
    """Everything that has to stand before the procedure, in one list.

    Args:
        preparation: what is known.
        stage: trial or implant.
        procedure: its start.
        holds: the clinic's table of drugs on clotting.
        on: when this is asked.
    """
    today = on.date() if isinstance(on, datetime) else on
    found = [*preparation.planning.checks(stage), *consent_checks(preparation.consents, stage, today), *preparation.bundle.checks("pre-op")]
    used = [name for name in (preparation.antibiotic, *(preparation.anaesthesia.drugs if preparation.anaesthesia else ())) if name.strip()]
    found += preparation.allergies.checks(used)
    found += preparation.anaesthesia.checks() if preparation.anaesthesia else [Check("anaesthesia", "anaesthesia", "missing", "not planned")]
    if preparation.takes is None:
        found.append(Check("clotting", "clotting", "missing", "not asked which drugs on clotting the patient takes"))
    elif not preparation.takes:
        found.append(Check("clotting", "clotting", "ok", "takes no drug on clotting"))
    else:
        for line in plan(preparation.takes, procedure, holds, on):
            found.append(Check("clotting", "clotting", "ok" if line.state == "planned" else "refused",
                               f"{line.drug}: " + (_dates(line) if line.state == "planned" else line.to_do), line.signed))
    return tuple(found)


def _dates(line: HoldLine) -> str:
    if line.last_dose is None or line.restart is None:
        return "; ".join(line.warnings)
    said = f"last dose {line.last_dose:%Y-%m-%d %H:%M}, restart not before {line.restart:%Y-%m-%d %H:%M}"
    return "; ".join([said, *([line.tests] if line.tests else []), *line.warnings])
