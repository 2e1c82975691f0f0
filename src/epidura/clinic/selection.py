"""Candidate selection: what a rule asks of a candidate, what is known, what is missing, and who signed.

    found = Findings(indication="crps", pain_nrs=7, ...)
    assessment = assess(found, "uk-nice")
    assessment.barriers(), assessment.missing(), assessment.advice()
    signoff_page(assessment, signatures)

The rules are data: data/jurisdictions.csv (whose rule), data/selection_criteria.csv (what it asks), data/indication_positions.csv (what it says of
an indication) and data/indications.csv (how good the evidence is). Every item of an assessment keeps its own source. Advice is words that follow
from the items. There is no score: nothing here is added up, and no item can outweigh another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from html import escape
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from epidura.errors import BadCase, BadInput, nearest
from epidura.recipe import Recipe
from epidura.tables import UNVERIFIED, table

Answer = Literal["yes", "no", "unknown"]
Grade = Literal["none", "mild", "moderate", "severe", "not assessed"]
Kind = Literal["drug", "surgery", "block", "physiotherapy", "psychology", "other"]
Effect = Literal["none", "partial", "good", "not tolerated", "not suitable", "declined"]
State = Literal["met", "not met", "missing", "caution", "not applicable"]

GROUPS = ("indication", "person", "pain", "refractory", "psychosocial", "contraindication", "team", "trial")
"""Of questions, in the order of the checklist."""

FOOT = ("Research and education software, not a medical device. This page shows what people found and signed beside the rules that it names. "
        "It decides nothing and replaces no clinical judgement.")


def _said(value: object) -> object:
    """YAML reads a bare ``yes`` as true."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


YesNo = Annotated[Answer, BeforeValidator(_said)]


# what is known

class Tried(Recipe):
    """One earlier treatment.

    Attributes:
        kind: of treatment.
        what: its name, such as ``pregabalin 600 mg a day``.
        begin, end: when; no end while it goes on.
        effect: on the pain; ``not suitable`` and ``declined`` are treatments that were considered and not given, with the reason in ``note``.
        note: in words.
    """

    kind: Kind
    what: str = ""
    begin: date | None = None
    end: date | None = None
    effect: Effect | None = None
    note: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> Tried:
        if self.begin and self.end and self.end < self.begin:
            raise BadCase("end", "before the treatment began", got=str(self.end), allowed=f"{self.begin} or later")
        return self

    def lacks(self) -> tuple[str, ...]:
        """What this entry would need to be a document."""
        if self.effect in ("not suitable", "declined"):
            return () if self.note.strip() else ("the reason why not",)
        return tuple(word for word, value in (("what", self.what.strip()), ("from when", self.begin), ("with what effect", self.effect)) if not value)

    @property
    def given(self) -> bool:
        return self.effect not in ("not suitable", "declined")


class Member(Recipe):
    """Somebody of the multidisciplinary team.

    Attributes:
        name, role: the person and the profession, such as ``psychologist``.
        experienced: in stimulation of the spinal cord.
        agrees: with a trial stage; left out before the person has said so.
        reason: in words; needed for a no.
    """

    name: str = Field(min_length=1)
    role: str = Field(min_length=1)
    experienced: bool | None = None
    agrees: bool | None = None
    reason: str = ""

    @model_validator(mode="after")
    def _reasoned(self) -> Member:
        if self.agrees is False and not self.reason.strip():
            raise BadCase("reason", "a no without its reason", got="", hint="say why")
        return self


class Findings(Recipe):
    """What is known about a candidate. Everything may be left out; what is left out is missing, never normal.

    Attributes:
        assessed: day of the assessment.
        age: years.
        indication: of data/indications.csv.
        neuropathic: whether examination found a neuropathic component.
        pain_since: when the pain began.
        pain_nrs: numeric scale, 0 to 10.
        pain_vas: visual analogue scale, 0 to 100 mm; taken before the numeric scale where both are given.
        location: of the pain and its spread, in words.
        anatomy: ``yes`` if the spine's anatomy speaks against a lead, ``no`` if it was looked at and does not.
        tried: earlier treatments.
        screens: totals of screening scores of data/neuropathic_screens.csv.
        psychosocial: the eight factors of Thomson 2020, by their ids without ``psychosocial-``.
        contraindications: by their ids without ``contraindication-``.
        communication_needs: ``yes`` if tests had to be adapted.
        tests_adapted: whether they were.
        research: the clinical trial in which stimulation is given, if it is.
        team: multidisciplinary.
        trial_success: verdict of the trial stage, after it.
        least_costly: of equally suitable systems, or ``unknown``.
    """

    assessed: date | None = None
    age: int | None = Field(None, ge=0, le=120)
    indication: str | None = None
    neuropathic: bool | None = None
    pain_since: date | None = None
    pain_nrs: float | None = Field(None, ge=0, le=10)
    pain_vas: float | None = Field(None, ge=0, le=100)
    location: str = ""
    anatomy: YesNo | None = None
    tried: tuple[Tried, ...] = ()
    screens: dict[str, int] = {}
    psychosocial: dict[str, Grade] = {}
    contraindications: dict[str, YesNo] = {}
    communication_needs: YesNo | None = None
    tests_adapted: bool | None = None
    research: str = ""
    team: tuple[Member, ...] = ()
    trial_success: bool | None = None
    least_costly: YesNo | None = None

    @field_validator("indication")
    @classmethod
    def _indication(cls, value: str | None) -> str | None:
        _known(value, table("indications").column("indication"), "indication") if value is not None else None
        return value

    @field_validator("psychosocial", "contraindications")
    @classmethod
    def _asked(cls, value: dict[str, str], info: Any) -> dict[str, str]:
        group = "psychosocial" if info.field_name == "psychosocial" else "contraindication"
        for name in value:
            _known(name, names(group), f"{group} question")
        return value

    @field_validator("screens")
    @classmethod
    def _screened(cls, value: dict[str, int]) -> dict[str, int]:
        for name, total in value.items():
            _known(name, table("neuropathic_screens").column("screen"), "screening score")
            row = table("neuropathic_screens").row(screen=name)
            if not int(row["low"]) <= total <= int(row["high"]):
                raise BadCase(name, f"{row['name']} cannot have this total", got=total, allowed=f"{row['low']} to {row['high']}")
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Findings:
        if self.assessed and self.pain_since and self.pain_since > self.assessed:
            raise BadCase("pain_since", "after the day of the assessment", got=str(self.pain_since), allowed=f"{self.assessed} or earlier")
        if self.assessed:
            for k, one in enumerate(self.tried):
                if one.begin and one.begin > self.assessed:
                    raise BadCase(f"tried[{k}].begin", "after the day of the assessment", got=str(one.begin), allowed=f"{self.assessed} or earlier")
        return self


def _known(name: str, known: Sequence[str], what: str) -> None:
    if name not in known:
        raise BadCase("", f"there is no such {what}", got=name, allowed=", ".join(known), hint=nearest(name, known))


@cache
def names(group: str) -> tuple[str, ...]:
    """Questions of ``psychosocial`` or ``contraindication``, as keys of ``Findings``."""
    return tuple(row["id"].removeprefix(f"{group}-") for row in table("selection_criteria") if row["group"] == group)


# what a rule says

def jurisdictions() -> dict[str, str]:
    """Key to name."""
    return {row["jurisdiction"]: row["name"] for row in table("jurisdictions")}


def _jurisdiction(name: str) -> dict[str, str]:
    known = jurisdictions()
    if name not in known:
        raise BadInput("jurisdiction", "there is no such rule here", got=name, allowed=", ".join(known), hint=nearest(name, known))
    return table("jurisdictions").row(jurisdiction=name)


@dataclass(frozen=True)
class Position:
    """What a rule says of an indication, beside how good the evidence is.

    Attributes:
        indication, name: key and words.
        origin: of the pain: neuropathic, ischaemic, mixed or other.
        grade, grade_words, grade_evidence: of the evidence, as data/indications.csv grades it.
        position: recommended, rated, if-neuropathic, research, not-named or not-covered.
        words, evidence, source, doi_or_url: of the position.
    """

    indication: str
    name: str
    origin: str
    grade: str
    grade_words: str
    grade_evidence: str
    position: str
    words: str
    evidence: str
    source: str
    doi_or_url: str


def position(indication: str, jurisdiction: str) -> Position:
    """The row of the indication itself, or else of the origin of its pain.

    Raises:
        BadInput: no such rule or indication.
    """
    _jurisdiction(jurisdiction)
    known = table("indications").column("indication")
    if indication not in known:
        raise BadInput("indication", "there is no such indication", got=indication, allowed=", ".join(known), hint=nearest(indication, known))
    about = table("indications").row(indication=indication)
    rows = {row["of"]: row for row in table("indication_positions") if row["jurisdiction"] == jurisdiction}
    row = rows.get(indication) or rows[about["origin"]]
    return Position(indication, about["name"], about["origin"], about["grade"], about["words"], about["evidence"], row["position"], row["words"],
                    row["evidence"], row["source"], row["doi_or_url"])


def positions(jurisdiction: str) -> tuple[Position, ...]:
    """Of all indications."""
    return tuple(position(name, jurisdiction) for name in table("indications").column("indication"))


# the assessment

class Item(Recipe):
    """One question of the checklist.

    Attributes:
        id, group, question: of data/selection_criteria.csv.
        state: ``met`` speaks for going on, ``caution`` is to be weighed, ``missing`` was not answered.
        why: in words.
        to_do: what to do about it; empty where nothing is to be done.
        weight: a hard criterion bars, a relative one asks to optimise first.
        needed: before the trial stage or before the implant.
        rule, doi_or_url, evidence: whose question it is, and how sure we are that it asks so.
    """

    id: str
    group: str
    question: str
    state: State
    why: str
    to_do: str = ""
    weight: Literal["hard", "relative"]
    needed: Literal["trial", "implant"]
    rule: str
    doi_or_url: str = ""
    evidence: str

    @property
    def unverified(self) -> bool:
        return self.evidence in UNVERIFIED


class Assessment(Recipe):
    """The checklist of one candidate under one rule. Only words: no number stands for the person.

    Attributes:
        jurisdiction, name: key and name of the rule.
        caveat: what this rule's data cannot say.
        team: whether the rule demands a multidisciplinary team.
        source, doi_or_url: of the rule.
        items: the questions, by group.
    """

    jurisdiction: str
    name: str
    caveat: str
    team: Literal["demanded", "not stated"]
    source: str
    doi_or_url: str
    items: tuple[Item, ...]

    def missing(self, needed: str = "trial") -> tuple[Item, ...]:
        """Not answered, of what is needed before the trial stage, or before the ``implant``."""
        return self._of(needed, "missing")

    def barriers(self, needed: str = "trial") -> tuple[Item, ...]:
        """Hard criteria that are not met."""
        return tuple(item for item in self._of(needed, "not met") if item.weight == "hard")

    def optimise(self, needed: str = "trial") -> tuple[Item, ...]:
        """Relative criteria that are not met: what to mend first."""
        return tuple(item for item in self._of(needed, "not met") if item.weight == "relative")

    def cautions(self, needed: str = "trial") -> tuple[Item, ...]:
        """What is to be weighed."""
        return self._of(needed, "caution")

    def _of(self, needed: str, state: str) -> tuple[Item, ...]:
        return tuple(item for item in self.items if item.state == state and (needed == "implant" or item.needed == "trial"))

    def advice(self, needed: Literal["trial", "implant"] = "trial") -> tuple[str, ...]:
        """Sentences that follow from the items."""
        step = "a trial" if needed == "trial" else "an implant"
        found = [f"not suitable under {self.name} because {item.why}" + (f"; {item.to_do}" if item.to_do else "") for item in self.barriers(needed)]
        found += [f"optimise first: {item.why}; {item.to_do}" for item in self.optimise(needed)]
        found += [f"still missing: {item.why}; {item.to_do}" for item in self.missing(needed)]
        open_ends = bool(found)
        found += [f"weigh: {item.why}" for item in self.cautions(needed)]
        if not open_ends:
            found.insert(0, f"complete: nothing speaks against {step}" + (", once this is weighed" if found else ""))
        return (*found, *((f"note: {self.caveat}",) if self.caveat else ()))


def assess(findings: Findings, jurisdiction: str = "unspecified") -> Assessment:
    """The checklist of a rule for what is known.

    Args:
        findings: about the candidate.
        jurisdiction: of data/jurisdictions.csv.

    Raises:
        BadInput: no such rule.
    """
    rule = _jurisdiction(jurisdiction)
    rows = sorted((row for row in table("selection_criteria") if row["jurisdiction"] in ("all", jurisdiction)),
                  key=lambda row: GROUPS.index(row["group"]))
    return Assessment(jurisdiction=jurisdiction, name=rule["name"], caveat=rule["caveat"], team=rule["team"], source=rule["source"],
                      doi_or_url=rule["doi_or_url"], items=tuple(_item(row, findings, rule) for row in rows))


def _item(row: Mapping[str, str], findings: Findings, rule: Mapping[str, str]) -> Item:
    check = row["check"]
    words = row["question"].removeprefix("Free of ").removesuffix("?")
    said = _tried(findings, check.removeprefix("tried:")) if check.startswith("tried:") else _CHECKS[check](findings, row, words, rule)
    source = {"rule": row["source"], "doi_or_url": row["doi_or_url"], "evidence": row["evidence"]}
    if check == "indication" and findings.indication is not None:
        about = position(findings.indication, rule["jurisdiction"])
        source = {"rule": about.source, "doi_or_url": about.doi_or_url, "evidence": about.evidence}
    weight = "hard" if row["group"] == "team" and check in ("team", "votes") and rule["team"] == "demanded" else row["weight"]
    to_do = (said.to_do or row["to_do"]) if said.state in ("missing", "not met") else said.to_do
    return Item(id=row["id"], group=row["group"], question=row["question"], state=said.state, why=said.why, to_do=to_do,
                weight="hard" if weight == "hard" else "relative", needed="implant" if row["needed"] == "implant" else "trial", **source)


@dataclass(frozen=True)
class _Said:
    state: State
    why: str
    to_do: str = ""


def _indication(f: Findings, row: Mapping[str, str], words: str, rule: Mapping[str, str]) -> _Said:
    if f.indication is None:
        return _Said("missing", "the indication is not named")
    about = position(f.indication, rule["jurisdiction"])
    said = f"{about.name}: {about.words}; evidence is {about.grade} ({about.grade_words})"
    if about.position in ("recommended", "rated"):
        return _Said("met", said)
    if about.position == "research":
        if f.research.strip():
            return _Said("caution", f"{said}; given in the clinical trial {f.research.strip()}")
        return _Said("not met", said, "enrol in a clinical trial, or do not stimulate")
    if about.position == "if-neuropathic":
        if f.neuropathic is None:
            return _Said("missing", f"{said}; whether it is neuropathic is not written down", "examine, and write down the neuropathic component")
        return _Said("met", said) if f.neuropathic else _Said("not met", f"{said}; no neuropathic component was found", "treat the pain otherwise")
    if about.position == "not-covered":
        return _Said("not met", said, "ask a tertiary centre")
    return _Said("caution", said)


def _neuropathic(f: Findings, row: Mapping[str, str], words: str, rule: Mapping[str, str]) -> _Said:
    ischaemic = f.indication is not None and table("indications").row(indication=f.indication)["origin"] == "ischaemic"
    if f.neuropathic:
        return _Said("met", "examination found a neuropathic component")
    if ischaemic:
        return _Said("not applicable", "the pain is ischaemic")
    if f.neuropathic is None:
        return _Said("missing", "whether there is a neuropathic component is not written down")
    return _Said("not met", "examination found no neuropathic component", "treat the pain otherwise")


def _screen(f: Findings, row: Mapping[str, str], words: str, rule: Mapping[str, str]) -> _Said:
    if f.indication is not None and table("indications").row(indication=f.indication)["origin"] == "ischaemic":
        return _Said("not applicable", "the pain is ischaemic")
    if not f.screens:
        return _Said("missing", "no screening score for neuropathic pain")
    said, likely = [], []
    for name, total in f.screens.items():
        about = table("neuropathic_screens").row(screen=name)
        word = "likely" if total >= int(about["likely"]) else "unlikely" if total <= int(about["unlikely"]) else "unclear"
        doubt = " (cut-off from memory)" if about["evidence"] == "recall" else ""
        said.append(f"{about['name']} {total} of {about['high']}: neuropathic pain {word}{doubt}")
        likely.append(word == "likely")
    return _Said("met" if all(likely) else "caution", "; ".join(said))


def _adult(f: Findings, row: Mapping[str, str], words: str, rule: Mapping[str, str]) -> _Said:
    if f.age is None:
        return _Said("missing", "the age is not written down")
    return _Said("met", "an adult") if f.age >= float(row["limit"]) else _Said("not met", f"{f.age} years old", "ask a centre for children and youth")


def _level(f: Findings) -> tuple[float | None, str]:
    """Pain on a scale to 10, and as it was written."""
    if f.pain_vas is not None:
        return f.pain_vas / 10, f"pain {f.pain_vas:g} mm of 100 mm"
    return (f.pain_nrs, f"pain {f.pain_nrs:g} of 10") if f.pain_nrs is not None else (None, "the intensity of pain is not written down")


def _intensity(f: Findings, row: Mapping[str, str], words: str, rule: Mapping[str, str]) -> _Said:
    level, said = _level(f)
    if level is None:
        return _Said("missing", said)
    if level >= float(row["limit"]):
        return _Said("met", said)
    return _Said("not met", f"{said}, under what the rule asks for", "go on with other treatment; assess again if pain is worse")


def _recorded_intensity(f: Findings, row: Mapping[str, str], words: str, rule: Mapping[str, str]) -> _Said:
    level, said = _level(f)
    return _Said("missing" if level is None else "met", said)


def _lasted(f: Findings) -> tuple[int | None, str]:
    """Whole months of pain, and why there are none."""
    if f.pain_since is None:
        return None, "when the pain began is not written down"
    if f.assessed is None:
        return None, "the day of the assessment is not written down"
    months = 12 * (f.assessed.year - f.pain_since.year) + f.assessed.month - f.pain_since.month - (f.assessed.day < f.pain_since.day)
    return months, f"pain since {f.pain_since.isoformat()}"


def _duration(f: Findings, row: Mapping[str, str], words: str, rule: Mapping[str, str]) -> _Said:
    months, said = _lasted(f)
    if months is None:
        return _Said("missing", said, "write down the day of the assessment" if f.pain_since else "")
    if months >= int(row["limit"]):
        return _Said("met", said)
    return _Said("not met", f"{said}, shorter than {row['limit']} months", "go on with conventional management, assess again then")


def _recorded_duration(f: Findings, row: Mapping[str, str], words: str, rule: Mapping[str, str]) -> _Said:
    return _Said("missing", "when the pain began is not written down") if f.pain_since is None else _Said("met", f"pain since {f.pain_since}")


def _location(f: Findings, row: Mapping[str, str], words: str, rule: Mapping[str, str]) -> _Said:
    where = f.location.strip()
    return _Said("met", f"described: {where}") if where else _Said("missing", "where the pain is and spreads is not described")


def _anatomy(f: Findings, row: Mapping[str, str], words: str, rule: Mapping[str, str]) -> _Said:
    if f.anatomy in (None, "unknown"):
        return _Said("missing", "whether the anatomy of the spine speaks against a lead is not known")
    return _Said("met", "the anatomy does not speak against it") if f.anatomy == "no" else _Said("caution", "an abnormality of the anatomy was found")


def _response(f: Findings, row: Mapping[str, str], words: str, rule: Mapping[str, str]) -> _Said:
    blocks = [one for one in f.tried if one.kind == "block" and not one.lacks()]
    if not blocks:
        return _Said("missing", "no response to a treatment of pain processing, such as a nerve block, is documented")
    given = [f"{one.what}: effect {one.effect}" for one in blocks if one.given]
    return _Said("met", "; ".join(given)) if given else _Said("caution", f"no block was given: {blocks[0].note}")


def _tried(f: Findings, kind: str) -> _Said:
    entries = [one for one in f.tried if one.kind == kind]
    whole = [one for one in entries if not one.lacks()]
    if not entries:
        return _Said("missing", f"no {kind} treatment is documented")
    if not whole:
        return _Said("missing", "; ".join(f"{one.what or kind} lacks {', '.join(one.lacks())}" for one in entries))
    helped = [one.what for one in whole if one.effect == "good" and one.end is None]
    if helped:
        return _Said("caution", f"{', '.join(helped)} helps well and goes on: is the pain refractory?")
    said = "; ".join(f"{one.what or kind}: {f'effect {one.effect}' if one.given else f'{one.effect}, {one.note}'}" for one in whole)
    return _Said("caution" if all(one.effect == "declined" for one in whole) else "met", said)


def _psychosocial(f: Findings, row: Mapping[str, str], words: str, rule: Mapping[str, str]) -> _Said:
    grade = f.psychosocial.get(row["id"].removeprefix("psychosocial-"), "not assessed")
    if grade == "not assessed":
        return _Said("missing", f"{words} was not assessed", "assess it")
    if grade == "none":
        return _Said("met", f"no {words}")
    return _Said("not met" if grade == "severe" else "caution", f"{grade} {words}")


def _contraindication(f: Findings, row: Mapping[str, str], words: str, rule: Mapping[str, str]) -> _Said:
    answer = f.contraindications.get(row["id"].removeprefix("contraindication-"), "unknown")
    if answer == "unknown":
        return _Said("missing", f"it is not known whether there is {words}", "find out")
    return _Said("met", "no") if answer == "no" else _Said("not met", f"there is {words}")


def _adapted(f: Findings, row: Mapping[str, str], words: str, rule: Mapping[str, str]) -> _Said:
    if f.communication_needs in (None, "unknown"):
        return _Said("missing", "it is not known whether tests have to be adapted to a disability or language")
    if f.communication_needs == "no":
        return _Said("not applicable", "no need was found")
    if f.tests_adapted is None:
        return _Said("missing", "whether tests were adapted to the person's needs is not written down")
    return _Said("met", "tests were adapted") if f.tests_adapted else \
        _Said("not met", "tests were not adapted to the person's needs", "repeat adapted tests")


def _cost(f: Findings, row: Mapping[str, str], words: str, rule: Mapping[str, str]) -> _Said:
    if f.least_costly in (None, "unknown"):
        return _Said("missing", "costs of equally suitable systems were not compared")
    return _Said("met", "the least costly of equally suitable systems, or no other suits equally") if f.least_costly == "yes" else \
        _Said("not met", "a system that suits equally costs less", "take it, or say why the systems do not suit equally")


def _trial(f: Findings, row: Mapping[str, str], words: str, rule: Mapping[str, str]) -> _Said:
    if f.trial_success is None:
        return _Said("missing", "there is no verdict of a trial stage")
    return _Said("met", "the trial stage was judged a success") if f.trial_success else \
        _Said("not met", "the trial stage was judged no success", "no implant on this trial")


def _team(f: Findings, row: Mapping[str, str], words: str, rule: Mapping[str, str]) -> _Said:
    if not f.team:
        return _Said("missing", "no team is named")
    roles = {one.role.strip().casefold() for one in f.team}
    if len(roles) < 2:
        return _Said("missing", "the team has one profession only", "add members of another profession")
    if not any(one.experienced for one in f.team):
        return _Said("missing", "nobody in the team is noted as experienced in stimulation", "note who is experienced, or ask somebody who is")
    return _Said("met", ", ".join(f"{one.name} ({one.role})" for one in f.team))


def _votes(f: Findings, row: Mapping[str, str], words: str, rule: Mapping[str, str]) -> _Said:
    against = [f"{one.name} ({one.role}) says no: {one.reason}" for one in f.team if one.agrees is False]
    if against:
        return _Said("not met", "; ".join(against), "meet again about the reasons")
    silent = [one.name for one in f.team if one.agrees is None]
    if silent or not f.team:
        return _Said("missing", f"no yes or no from {', '.join(silent)}" if silent else "no team is named")
    return _Said("met", "everybody said yes")


_CHECKS: dict[str, Callable[[Findings, Mapping[str, str], str, Mapping[str, str]], _Said]] = {
    "indication": _indication, "neuropathic": _neuropathic, "screen": _screen, "adult": _adult, "intensity": _intensity,
    "recorded-intensity": _recorded_intensity, "duration": _duration, "recorded-duration": _recorded_duration, "location": _location,
    "anatomy": _anatomy, "response": _response, "psychosocial": _psychosocial, "contraindication": _contraindication, "adapted": _adapted,
    "cost": _cost, "trial": _trial, "team": _team, "votes": _votes,
}


# the sign-off

class Signature(Recipe):
    """A member's word on one assessment.

    Attributes:
        name, role, registration: who.
        on: when.
        agrees: with a trial stage.
        reason: needed for a no, and for a yes against a hard criterion that is not met.
        assessment: ``key()`` of the assessment that was read; a later one needs a new signature.
    """

    name: str = Field(min_length=1)
    role: str = Field(min_length=1)
    registration: str = ""
    on: date
    agrees: bool
    reason: str = ""
    assessment: str = Field(min_length=1)

    @model_validator(mode="after")
    def _reasoned(self) -> Signature:
        if not self.agrees and not self.reason.strip():
            raise BadCase("reason", "a no without its reason", hint="say why")
        return self


class SignOff(Recipe):
    """Who signed an assessment.

    Attributes:
        demanded: whether the rule demands a multidisciplinary team.
        signatures: of this assessment.
        outdated: of another version of it; they do not count.
        open: what is still to do.
        complete: two professions or more signed this version, all agree, and nothing is open.
    """

    demanded: bool
    signatures: tuple[Signature, ...]
    outdated: tuple[Signature, ...]
    open: tuple[str, ...]
    complete: bool


def signoff(assessment: Assessment, signatures: Iterable[Signature]) -> SignOff:
    """What the team has signed, and what is open."""
    given = tuple(signatures)
    valid = tuple(one for one in given if one.assessment == assessment.key())
    outdated = tuple(one for one in given if one.assessment != assessment.key())
    todo = [f"{one.name} ({one.role}) signed another version: sign again" for one in outdated
            if one.name not in {other.name for other in valid}]
    if len({one.name for one in valid}) < len(valid):
        todo.append("somebody signed twice: keep one signature each")
    if len({one.role.strip().casefold() for one in valid}) < 2:
        todo.append("signatures of two professions or more" if assessment.team == "demanded"
                    else "signatures of two professions or more, if a team decides: the rule does not state it")
    todo += [f"{one.name} ({one.role}) does not agree: {one.reason}" for one in valid if not one.agrees]
    if barriers := assessment.barriers():
        todo += [f"{one.name} ({one.role}) agrees although a hard criterion is not met ({', '.join(item.id for item in barriers)}): say why"
                 for one in valid if one.agrees and not one.reason.strip()]
    return SignOff(demanded=assessment.team == "demanded", signatures=valid, outdated=outdated, open=tuple(todo), complete=not todo)


def signoff_page(assessment: Assessment, signatures: Iterable[Signature] = (), *, person: str = "", lines: int = 4) -> str:
    """The assessment and its signatures as one printable HTML page without anything from outside.

    Args:
        assessment: to be signed.
        signatures: given so far.
        person: name or number to print.
        lines: empty ones to sign by hand.
    """
    signed = signoff(assessment, signatures)
    css = (files("epidura") / "data" / "report.css").read_text("utf-8")
    advice = "".join(f"<li>{escape(words)}</li>" for words in assessment.advice())
    before = "".join(f"<li>{escape(item.question)} {escape(item.why)}</li>" for item in assessment.missing("implant") if item.needed == "implant")
    rows = "".join(
        f"<tr><td>{item.group}</td><td>{escape(item.question)}</td><td><b>{item.state}</b></td><td>{escape(item.why)}</td><td>{escape(item.to_do)}</td>"
        f"<td>{item.weight}</td><td>{escape(item.rule)}{' <span class=doubt>not verified</span>' if item.unverified else ''}<br>"
        f"{escape(item.doi_or_url)}</td></tr>" for item in assessment.items)
    hands = "".join(
        f"<tr><td>{escape(one.name)}</td><td>{escape(one.role)}</td><td>{escape(one.registration)}</td><td>{one.on.isoformat()}</td>"
        f"<td>{'agrees' if one.agrees else 'does not agree'}{note}</td><td>{escape(one.reason)}</td></tr>"
        for group, note in ((signed.signatures, ""), (signed.outdated, ", another version: does not count")) for one in group)
    hands += "<tr><td>&nbsp;</td><td></td><td></td><td></td><td></td><td></td></tr>" * lines
    todo = "".join(f"<li>{escape(words)}</li>" for words in signed.open)
    state = "Complete." if signed.complete else f"Open:<ul>{todo}</ul>"
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">\n'
            f"<title>Selection · {escape(assessment.name)}</title>\n<style>{css}</style></head><body><main>\n"
            f'<header><p class="brand">Epidura selection</p><h1>{escape(person) or "Candidate"}</h1><p>Rule: {escape(assessment.name)}; '
            f"{escape(assessment.source)} {escape(assessment.doi_or_url)}. A multidisciplinary team is "
            f"{'demanded' if signed.demanded else 'not stated'} by it.</p></header>\n"
            f"<section><h2>What follows</h2><ul>{advice}</ul>{f'<p>Before an implant:</p><ul>{before}</ul>' if before else ''}</section>\n"
            f'<section><h2>Checklist</h2><div class="wide"><table class="dense"><tr><th>about</th><th>question</th><th>state</th><th>why</th>'
            f"<th>to do</th><th>weight</th><th>rule</th></tr>{rows}</table></div></section>\n"
            f"<section><h2>Team</h2><p>{state}</p><table><tr><th>name</th><th>profession</th><th>registration</th><th>date</th><th>word</th>"
            f"<th>reason</th></tr>{hands}</table><p class=small>Version {assessment.key()}</p></section>\n"
            f"<footer><p><b>{FOOT}</b></p></footer>\n</main></body></html>\n")
