"""A synthetic clinic: fictional patients over some years, so that a newcomer sees a living record in one command.

    done = populate(Record.create("demo.sqlite"), patients=300, years=3, seed=1)

Pain, diary, verdict, loss of effect, complications and explants are those of the virtual patients (``epidura.stages``, the fitted outcome
model, published rates); answers to questionnaires are of ``epidura.quality_of_life``. Waiting times and the like, which no source gives, are
rows of data/clinic_demo.csv that say so. Every event goes through ``Record`` as one of a real clinic would: the pathway refuses what cannot be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import groupby
from typing import Any, Literal

import numpy as np

from epidura import eq5d, stages
from epidura import quality_of_life as ql
from epidura.clinic import events, verdict
from epidura.clinic.complications import Action, Complication, published
from epidura.clinic.instruments import family as instruments
from epidura.clinic.pathway import IMPLANTED, STAGES, Stage
from epidura.clinic.procedure import SUBSTANCES, Allergies, Anaesthesia, Consent, InfectionBundle, Planning, Tick, risks_to_name
from epidura.clinic.record import Record
from epidura.clinic.selection import Findings, Member, Tried, names
from epidura.clinic.verdict import Step
from epidura.errors import BadInput
from epidura.evidence.model import Arm
from epidura.evidence.posterior import posterior
from epidura.program_file import FORMAT, ProgramFile
from epidura.tables import table

DAYS_OF_MONTH = 365.25 / 12
NOTICE = "DEMO-FSN-1"
"""Number of the safety notice that the clinic receives."""
RECALLED = "DEMO-LOT-07"
"""Lot of generators that the notice is about."""

FAMILY = ("Exampleton", "Samplewood", "Testerman", "Fictionby", "Placeholder", "Imaginari", "Mockford", "Demoworth", "Pretendson", "Nullborough")
FEMALE = ("Ada", "Bella", "Cora", "Dora", "Ella", "Flora", "Greta", "Hanna", "Ida", "Juno", "Kira", "Lena", "Mara", "Nora", "Olga")
MALE = ("Adam", "Boris", "Cato", "Dan", "Emil", "Finn", "Gus", "Hugo", "Ivan", "Jon", "Karl", "Leo", "Max", "Nils", "Otto")

PHYSICIANS, NURSES, PATIENT = ("demo-physician-1", "demo-physician-2"), ("demo-nurse-1", "demo-nurse-2"), "demo-patient"


@dataclass(frozen=True)
class _System:
    """What a clinic implants together: leads and generator of one maker, and the therapy it gives."""

    therapy: str
    maker: str
    lead: str
    generator: str
    rechargeable: bool
    waveform: dict[str, Any]
    salvage: str


_TONIC = {"kind": "tonic", "frequency": "50 Hz", "pulse_width": "300 us"}
_SYSTEMS = (
    _System("tonic", "Abbott", "octrode", "proclaim-xr-5", False, _TONIC, "high-density"),
    _System("tonic", "Boston Scientific", "linear-st", "wavewriter-alpha", True, _TONIC, "high-density"),
    _System("high-density", "Medtronic", "vectris-compact", "intellis", True, {"kind": "high-density"}, "tonic"),
    _System("high-frequency", "Nevro", "nevro-lead1058", "senza", True, {"kind": "high-frequency"}, "tonic"),
)


@dataclass(frozen=True)
class _Complaint:
    """An indication as this clinic sees it: how often, where it hurts, and where the leads go."""

    share: float
    indication: str
    areas: tuple[str, ...]
    target: str
    level: str
    tip: str
    entry: str
    rule: str


_COMPLAINTS = (
    _Complaint(0.50, "failed-back-surgery", ("low-back", "{side}-leg"), "low back axial (tonic)", "T9", "T8", "L1", "uk-nice"),
    _Complaint(0.12, "crps", ("{side}-foot", "{side}-calf"), "foot (tonic)", "T12", "T11", "L2", "uk-nice"),
    _Complaint(0.06, "crps", ("{side}-hand", "{side}-forearm"), "upper limb / CRPS arm", "C5", "C4", "T3", "uk-nice"),
    _Complaint(0.12, "diabetic-neuropathy", ("left-foot", "right-foot"), "foot (tonic)", "T11", "T10", "L1", "unspecified"),
    _Complaint(0.08, "non-surgical-back", ("low-back",), "low back axial (tonic)", "T9", "T8", "L1", "unspecified"),
    _Complaint(0.04, "failed-neck-surgery", ("neck", "{side}-arm"), "upper limb / CRPS arm", "C4", "C3", "T3", "unspecified"),
    _Complaint(0.04, "limb-ischaemia", ("{side}-foot",), "peripheral limb ischaemia (leg)", "T11", "T10", "L2", "unspecified"),
    _Complaint(0.04, "angina", ("precordium",), "refractory angina", "T1", "C7", "T5", "unspecified"),
)


@cache
def _row(quantity: str) -> tuple[float, float]:
    row = table("clinic_demo").row(quantity=quantity)
    return float(row["low"]), float(row["high"])


# one patient

@dataclass
class _Deed:
    """What is written on one day by one person."""

    on: date
    actor: str
    events: tuple[events.Event, ...]
    stage: Stage


@dataclass
class _Life:
    """One patient's draws of the virtual patients: numbers as of ``stages.Stages``, one row."""

    number: int
    system: _System
    complaint: _Complaint
    days: int
    at: dict[str, Any]
    reports: ql.Reports


@dataclass
class _Writer:
    """Writes one patient's course, day by day, to the day of ``end``."""

    life: _Life
    start: date
    end: date
    rng: np.random.Generator
    late: bool = False
    deeds: list[_Deed] = field(default_factory=list)
    day: date = date.min
    stage: Stage = "registered"
    count: int = 0
    last_visit: date = date.min

    def __post_init__(self) -> None:
        self.day = self.start

    # small words

    def one_of(self, among: Sequence[str]) -> str:
        return among[int(self.rng.integers(len(among)))]

    def between(self, quantity: str) -> float:
        low, high = _row(quantity)
        return float(self.rng.uniform(low, high))

    def chance(self, quantity: str) -> bool:
        return bool(self.rng.random() < _row(quantity)[0])

    def wait(self, quantity: str) -> None:
        self.day += timedelta(days=round(self.between(quantity)))

    def write(self, actor: str, *what: events.Event, stage: Stage | None = None) -> int:
        """The version of the last event within the record of this patient."""
        self.stage = stage or self.stage
        self.deeds.append(_Deed(self.day, actor, what, self.stage))
        self.count += len(what)
        return self.count

    # the course

    def referral(self) -> Iterator[Stage]:
        rng, on = self.rng, self.day
        sex: Literal["female", "male"] = "female" if self.chance("share of people who are women") else "male"
        born = date(on.year - round(self.between("age at referral")), int(rng.integers(1, 13)), int(rng.integers(1, 29)))
        number = self.life.number
        who = events.Identity(
            family_name=f"{FAMILY[number % len(FAMILY)]}-{number:03d}", given_name=self.one_of(FEMALE if sex == "female" else MALE), birth_date=born,
            identifiers={"https://example.org/demo-hospital": f"DEMO-{number:05d}"}, phone=f"+1 202 555 01{number % 100:02d}",
            email=f"patient{number}@example.org", address=f"{number} Nowhere Street, Fictionville", contact="a fictional neighbour")
        self.age, self.sex = on.year - born.year, sex
        self.write(self.one_of(NURSES), events.Registered(on=on, identity=who, birth_year=born.year, sex=sex))
        side = self.one_of(("left", "right"))
        self.areas = tuple(area.format(side=side) for area in self.life.complaint.areas)
        self.nrs = float(round(self.life.at["baseline"]))
        self.write(self.one_of(NURSES), events.Referred(
            on=on, indication=self.life.complaint.indication, pain_areas=self.areas, nrs=self.nrs, referrer=f"Dr. {self.one_of(FAMILY)}",
            question=f"Would stimulation help {who.given_name} {who.family_name}?"), stage="referred")
        yield "referred"
        self.wait("wait for the assessment")
        yield from self.assessment()

    def findings(self, bad: str) -> Findings:
        on, complaint = self.day, self.life.complaint
        begun = on - timedelta(days=int(self.rng.integers(500, 3000)))
        given = (("drug", "gabapentinoid and antidepressant", "partial", ""), ("physiotherapy", "course of physiotherapy", "none", ""),
                 ("block", "nerve block", "partial", ""), ("surgery", "", "not suitable", "nothing that an operation would mend"),
                 ("psychology", "pain management programme", "partial", ""))
        tried = tuple(Tried.model_validate({"kind": kind, "what": what, "begin": begun + timedelta(days=30 * k), "effect": effect, "note": note})
                      for k, (kind, what, effect, note) in enumerate(given[:-1] if bad == "optimise-first" else given))
        psychosocial = dict.fromkeys(names("psychosocial"), "none")
        contra = dict.fromkeys(names("contraindication"), "no")
        if bad == "not-suitable":
            contra[self.one_of(("coagulopathy", "substance-misuse", "untreated-psychiatric", "cannot-operate"))] = "yes"
        if bad == "optimise-first":
            psychosocial[self.one_of(names("psychosocial"))] = "severe"
        return Findings.model_validate({
            "assessed": on, "age": self.age, "indication": complaint.indication, "neuropathic": True, "pain_since": begun, "pain_nrs": self.nrs,
            "location": ", ".join(self.areas), "anatomy": "no", "tried": tried, "screens": {"dn4": int(self.rng.integers(4, 9))},
            "psychosocial": psychosocial, "contraindications": contra, "communication_needs": "no", "least_costly": "unknown",
            "team": (Member(name="Demo physician", role="pain physician", experienced=True, agrees=not bad, reason=bad),
                     Member(name="Demo psychologist", role="psychologist", agrees=not bad, reason=bad))})

    def assess(self, bad: str) -> None:
        on = self.day
        assessed = events.Assessed(on=on, jurisdiction=self.life.complaint.rule, findings=self.findings(bad))
        self.write(self.one_of(PHYSICIANS), assessed, stage="assessed")
        if not bad:
            self.write(self.one_of(PHYSICIANS), *(events.Signed(on=on, member=Member(name=name, role=role, experienced=True, agrees=True))
                                                  for name, role in (("Demo physician", "pain physician"), ("Demo psychologist", "psychologist"))))

    def assessment(self) -> Iterator[Stage]:
        lot = self.rng.random()
        unsuitable, optimise = _row("share found not suitable")[0], _row("share to optimise first")[0]
        bad: Literal["", "not-suitable", "optimise-first"] = (
            "not-suitable" if lot < unsuitable else "optimise-first" if lot < unsuitable + optimise else "")
        self.answer("baseline", None)
        self.assess(bad)
        yield "assessed"
        self.wait("wait for the decision")
        if bad:
            said: Stage = "not suitable" if bad == "not-suitable" else "optimise first"
            self.write(self.one_of(PHYSICIANS), events.Selected(on=self.day, decision=bad, why="see the assessment", to_do=(
                "pain management programme",) if bad == "optimise-first" else ()), stage=said)
            yield said
            if bad == "not-suitable" or not self.chance("share that comes back after optimising"):
                return
            self.wait("wait for the second look after optimising")
            self.assess("")
        self.write(self.one_of(PHYSICIANS), events.Selected(on=self.day, decision="selected"), stage="selected")
        yield "selected"
        yield from self.trial()

    def prepare(self, stage: Literal["trial", "implant"]) -> tuple[events.Event, ...]:
        on, complaint = self.day, self.life.complaint
        before = on - timedelta(days=1)
        site = {"generator_site": self.site} if stage == "implant" else {}
        ticks = {row["id"]: Tick(state="done", by="Demo nurse", on=on) for row in table("infection_bundle") if row["phase"] in ("pre-op", "intra-op")}
        return (
            events.Consented(on=on, consent=Consent(stage=stage, text_version="demo 1", language="en", risks=tuple(risks_to_name()),
                                                    explained_by="Demo physician", role="pain physician", explained_on=before, signed_on=on,
                                                    alternatives=True, reversibility=True)),
            events.Planned(on=on, stage=stage, planning=Planning.model_validate({
                "target": complaint.target, "target_level": complaint.level, "entry_level": complaint.entry, "side": "midline", "leads": self.leads,
                "imaging": "MRI of the spine: room for a lead", **site}), drugs=(), anaesthesia=Anaesthesia(
                    kind="local with sedation", fasting=True, feedback=True, by="Demo anaesthetist"),
                allergies=Allergies.model_validate({"answers": dict.fromkeys(SUBSTANCES, "no")})),
            events.Checked(on=on, stage=stage, bundle=InfectionBundle(ticks=ticks)))

    def place(self, stage: Literal["trial", "implant"]) -> tuple[events.Event, ...]:
        sides: tuple[Literal["midline", "left", "right"], ...] = ("midline",) if self.leads == 1 else ("left", "right")
        system, n = self.life.system, self.life.number
        return tuple(events.LeadIn(on=self.day, stage=stage, lead=side, model=system.lead, manufacturer=system.maker,
                                   serial=f"DEMO-L-{stage[0].upper()}{n:04d}{k}", lot=f"DEMO-LOT-{n % 9:02d}",
                                   udi=f"(01)00000000000000(21)DEMOL{stage[0].upper()}{n:04d}{k}",
                                   entry=self.life.complaint.entry, level=self.life.complaint.tip, side=side)
                     for k, side in enumerate(sides))

    def program(self, slot: str, waveform: dict[str, Any]) -> events.Programmed:
        perception = round(self.between("perception threshold"), 1)
        discomfort = round(perception * self.between("discomfort over perception threshold"), 1)
        tonic = waveform["kind"] == "tonic"
        # tonic stimulation is felt, between the two thresholds; the others stay below the first
        amplitude = round(min(1.2 * perception, discomfort) if tonic else 0.8 * perception, 1)
        cathode = int(self.rng.integers(3, 6))
        low, high = _row("impedance of a contact")
        one = ProgramFile.model_validate({"format": FORMAT, "title": f"program {slot}", "programs": [{
            "name": slot, "waveform": waveform, "contacts": {cathode: -1, cathode + 1: 1}, "amplitude": f"{amplitude} mA"}]})
        covered = tuple(area for area in self.areas if self.rng.random() < 0.85) if tonic else ()
        return events.Programmed(on=self.day, slot=slot, program=one, perception_mA=perception, discomfort_mA=discomfort, set_mA=amplitude,
                                 covered=covered, impedances_ohm={k: float(round(self.rng.uniform(low, high))) for k in range(1, 9)})

    def trial(self) -> Iterator[Stage]:
        at = self.life.at
        self.leads = 1 if self.life.system.therapy == "tonic" and self.rng.random() < 0.5 else 2
        self.site: Literal["upper-buttock", "abdomen"] = "upper-buttock" if self.rng.random() < 0.8 else "abdomen"
        self.wait("wait for the trial leads")
        doctor = self.one_of(PHYSICIANS)
        self.write(doctor, *self.prepare("trial"))
        self.write(doctor, *self.place("trial"), stage="provisional implant")
        if at["trial_dural_puncture"]:
            self.complicate("dural-puncture", "with headache", "trial", "rest and fluids")
        if at["trial_haematoma"]:
            self.complicate("haematoma", "epidural", "trial", "leads out, imaging, watched", hospital=True)
        yield "provisional implant"
        self.day += timedelta(days=1)
        self.write(self.one_of(NURSES), self.program("A", self.life.system.waveform))
        begun = self.day
        self.write(self.one_of(NURSES), events.TrialBegun(on=begun, days=self.life.days, baseline_nrs=round(at["baseline"], 1),
                                                          baseline_activity=None, baseline_medication=1.0,
                                                          index_before=round(float(at["index_before"]), 3)), stage="trial running")
        yield "trial running"
        kept = float(self.between("share of diary days kept"))
        felt = []
        stop = self.life.days if np.isnan(at["trial_infection"]) else max(1, int(at["trial_infection"]))
        stop = 1 if at["trial_haematoma"] else stop
        for k in range(stop):
            self.day = begun + timedelta(days=k)
            if not np.isfinite(at["diary_average"][k]) or self.rng.random() > kept:
                continue
            felt.append(float(at["diary_average"][k]))
            hours = round(float(np.clip(24 * at["adherence"], 0, 24)), 1)
            self.write(PATIENT, events.Diary(on=self.day, **{name: float(at[f"diary_{name}"][k]) for name in (
                "worst", "average", "least", "sleep", "activity")}, medication=round(float(at["diary_medication"][k]), 2),
                tingling=self.areas if self.life.system.therapy == "tonic" else (), stimulation_hours=hours, slot="A",
                note="slept through, walked the dog" if k == stop - 1 else ""))
            yield "trial running"
        self.day = begun + timedelta(days=stop)
        yield from self.judged(felt)

    def judged(self, felt: list[float]) -> Iterator[Stage]:
        at = self.life.at
        infected, bled, passed = bool(np.isfinite(at["trial_infection"])), bool(at["trial_haematoma"]), bool(at["passed"])
        if infected:
            self.complicate("infection", "superficial", "trial", "leads out, antibiotics")
        if np.isfinite(at["trial_migration"]):
            lead = "midline" if self.leads == 1 else "left"
            self.write(self.one_of(PHYSICIANS), events.LeadMoved(on=self.day, lead=lead, level=_below(self.life.complaint.tip), how="migrated"))
            self.complicate("migration", "on imaging", "trial", "program changed")
        calculated = None if not felt or not at["baseline"] else float(ql.relief(at["baseline"], float(np.mean(felt))))
        index = None if not np.isfinite(at["trial_index"]) else round(float(np.clip(at["index_before"] + at["trial_index"], -1, 1)), 3)
        reported = None if calculated is None else round(float(np.clip(calculated + self.rng.normal(0, 0.08), -1, 1)), 2)
        early: Literal["", "infection", "other"] = "infection" if infected else "other" if bled else ""
        ended = events.TrialEnded(on=self.day, reported_relief=reported, index_during=index, early=early)
        self.write(self.one_of(NURSES), ended, stage="trial ended")
        yield "trial ended"
        self.day += timedelta(days=3)
        limit = stages.rule("relief-50")["relief"]
        says = None if calculated is None else calculated >= limit
        self.write(self.one_of(PHYSICIANS), events.Judged(on=self.day, succeeded=passed, rule_says=says,
                                                          why="" if says == passed else "whole diary seen with the patient"),
                   *(events.LeadOut(on=self.day, lead=lead) for lead in (("midline",) if self.leads == 1 else ("left", "right"))),
                   stage="trial succeeded" if passed else "trial failed")
        yield "trial succeeded" if passed else "trial failed"
        if passed:
            yield from self.implant()

    def generator(self) -> events.GeneratorIn:
        system, n = self.life.system, self.life.number
        self.generators += 1
        lot = RECALLED if n % 7 == 0 and self.generators == 1 else f"DEMO-LOT-{n % 7:02d}x"
        return events.GeneratorIn(on=self.day, model=system.generator, manufacturer=system.maker, serial=f"DEMO-G-{n:04d}{self.generators}", lot=lot,
                                  udi=f"(01)00000000000001(21)DEMOG{n:04d}{self.generators}", site=self.site, side=self.one_of(("left", "right")),
                                  rechargeable=system.rechargeable, stay="day case" if self.rng.random() < 0.7 else "overnight")

    def implant(self) -> Iterator[Stage]:
        at = self.life.at
        self.wait("wait for the generator")
        self.implanted, self.generators = self.day, 0
        doctor = self.one_of(PHYSICIANS)
        self.write(doctor, *self.prepare("implant"))
        self.write(doctor, *self.place("implant"), self.generator(), self.program("A", self.life.system.waveform), stage="definitive implant")
        for name, kind, subkind in (("dural_puncture", "dural-puncture", "with headache"), ("haematoma", "haematoma", "pocket")):
            if at[name]:
                self.complicate(kind, subkind, "implant", "watched")
        self.write(self.one_of(NURSES), events.Discharged(on=self.day))
        yield "definitive implant"
        for on, _, what in sorted(self.later(), key=lambda one: (one[0], one[1])):
            self.day = max(on, self.day)
            if what() is False:
                yield self.stage
                return
            yield self.stage

    # the years after

    def month(self, months: float) -> date:
        return self.implanted + timedelta(days=max(1, round(months * DAYS_OF_MONTH)))

    def later(self) -> Iterator[tuple[date, int, Callable[[], bool | None]]]:
        """(day, rank on that day, deed) of everything after the implant, in any order; a deed that says False is the last one."""
        at, rng = self.life.at, self.rng
        shut = [one for one in verdict.due(self.implanted, {}, self.end) if one.state != "later"]
        for k, visit in enumerate(shut):
            inside = (visit.closes - visit.opens).days
            on = visit.opens + timedelta(days=min(int(rng.integers(inside + 1)), int(rng.integers(inside + 1))))
            skipped = self.late and k >= len(shut) - 2
            if not skipped and not self.chance("share of visits that nobody came to"):
                yield on, 1, lambda name=visit.visit: self.visit(name)  # type: ignore[misc]
        if at["pocket_pain"]:
            yield self.month(2), 2, lambda: self.complicate("pocket-pain", "", "follow-up", "cushion, watched")
        if np.isfinite(at["infection"]) and at["explant_reason"] != "infection":
            yield self.month(at["infection"]), 2, lambda: self.complicate("infection", "superficial", "follow-up", "antibiotics")
        for k, months in enumerate(at["revision"]):
            if np.isfinite(months):
                yield self.month(months), 3, lambda k=k: self.revise(k)  # type: ignore[misc]
        for months in at["battery"]:
            if np.isfinite(months):
                yield self.month(months), 3, self.exchange
        lost = at["loss"]
        if np.isfinite(lost):
            for k in (1, 2):
                yield self.month(lost) + timedelta(days=25 * k), 2, lambda: self.visit("unplanned")
            yield self.month(lost) + timedelta(days=55), 4, self.salvage
        if np.isfinite(at["explant"]):
            on = self.month(at["explant"])
            if at["explant_reason"] == "loss":
                on = max(on, self.month(lost if np.isfinite(lost) else at["explant"]) + timedelta(days=90))
            yield on, 5, self.explant
        if self.life.number % 7 == 0:
            notice = self.end - timedelta(days=150)
            if self.implanted < notice:
                yield notice, 6, lambda: self.notice("affected")
                if self.life.number % 3:
                    yield notice + timedelta(days=12), 6, lambda: self.notice("patient told")

    def visit(self, name: str) -> None:
        if self.day <= self.last_visit:  # two on one day say nothing more
            return
        self.last_visit = self.day
        k = int(np.clip(round((self.day - self.implanted).days / DAYS_OF_MONTH), 1, len(self.life.at["nrs"]))) - 1
        seen = self.life.reports
        early = name in ("wound", "programming")
        battery = None if early else round(float(self.rng.uniform(0.4, 1.0)), 2)
        text = {"wound": "wound dry and closed", "unplanned": "came because the pain is back"}.get(name, "")
        visit = events.Visited(on=self.day, visit=name, note=text, battery=battery, **({} if name == "wound" else {
            "nrs": round(float(self.life.at["nrs"][k]), 1), "reported_relief": round(float(np.clip(seen.reported[k], -1, 1)), 2)}),
            **({} if early else {"index": round(float(seen.index[k]), 3)}))
        wrong = not early and name != "unplanned" and self.life.number % 25 == 3
        if wrong:
            visit = visit.but(nrs=round(10 - (visit.nrs or 0), 1))
        version = self.write(self.one_of(NURSES), visit, stage="follow-up" if self.stage == "definitive implant" else self.stage)
        if wrong:
            right = {"on": self.day.isoformat(), "visit": name, "nrs": round(10 - (visit.nrs or 0), 1), "reported_relief": visit.reported_relief,
                     "index": visit.index, "battery": battery}
            self.write(self.one_of(NURSES), events.Corrected(on=self.day, version=version, why="scale read from the wrong end", instead=right))
        if name == "programming" or (name.startswith(("month", "year")) and self.rng.random() < 0.4):
            self.write(self.one_of(NURSES), self.program("A", self.life.system.waveform))
        if not early:
            self.answer(name, k)

    def answer(self, moment: str, k: int | None) -> None:
        """Questionnaires at a visit (column of the monthly reports), or before stimulation."""
        seen = self.life.reports
        j = 0 if k is None else k + 1
        levels = self.life.at["profile"][j]
        vas = int(np.clip(round(float(self.life.at["vas"][j])), 0, 100))
        told = [("eq-5d-5l", {**dict(zip(eq5d.DIMENSIONS, map(int, levels), strict=True)), "vas": vas}),
                ("odi", _shared(round(float(self.life.at["odi"][j]) / 2), 10, 5, self.rng)), ("phq-9", self.phq(j))]
        if k is not None:
            told.append(("pgic", {"change": int(seen.pgic[k])}))
        self.write(PATIENT, *(events.Answered(on=self.day, instrument=instruments.read({"kind": kind}), answers=dict(answers), moment=moment)
                              for kind, answers in told))

    def phq(self, j: int) -> dict[str, int]:
        """Answers that follow the T score of depression; the last item, on self-harm, stays at 0 but for a few."""
        zero, step = _row("T score of depression of an answer of 0")[0], _row("T score of depression for one point more")[0]
        level = (float(self.life.at["depression"][j]) - zero) / step
        answers = {str(k): int(np.clip(round(level + self.rng.normal(0, 0.6)), 0, 3)) for k in range(1, 9)}
        return {**answers, "9": int(level > 2 and self.rng.random() < 0.3)}

    def complicate(self, kind: str, subkind: str, stage: Literal["trial", "implant", "follow-up"], action: str, *, hospital: bool = False,
                   deficiency: bool = False) -> None:
        self.troubles = getattr(self, "troubles", 0) + 1
        self.write(self.one_of(PHYSICIANS), events.Complicated(on=self.day, name=f"{kind} {self.troubles}", complication=Complication(
            kind=kind, subkind=subkind, stage=stage, onset=self.day, reported=self.day, severity="severe" if hospital else "moderate",
            criteria=("hospital",) if hospital else (), device="possible", procedure="probable", anticipated=True, deficiency=deficiency,
            actions=(Action(on=self.day, what=action),), outcome="recovered", ended=self.day)))

    def revise(self, k: int) -> None:
        """A lead is put back or exchanged, whichever of migration and fracture it was by their published rates."""
        moved, broken = published(kind="migration", stage="implant")[0].rate, published(kind="fracture", stage="implant")[0]
        of_broken = ((broken.low or 0) + (broken.high or 0)) / 2
        lead, doctor, tip = "midline" if self.leads == 1 else "left", self.one_of(PHYSICIANS), self.life.complaint.tip
        if self.rng.random() < (moved or 0) / ((moved or 0) + of_broken):
            self.write(doctor, events.LeadMoved(on=self.day, lead=lead, level=_below(tip), how="migrated", distance_mm=12.5))
            self.complicate("migration", "with loss of coverage", "follow-up", "lead put back")
            self.write(doctor, events.LeadMoved(on=self.day, lead=lead, level=tip, how="repositioned"),
                       events.Revised(on=self.day, what=("lead",)), stage="revised")
        else:
            self.complicate("fracture", "lead", "follow-up", "lead exchanged", deficiency=True)
            new = next(each for each in self.place("implant") if isinstance(each, events.LeadIn) and each.lead == lead)
            self.write(doctor, *self.prepare("implant"), events.LeadOut(on=self.day, lead=lead),
                       new.but(serial=f"{new.serial}R{k}", udi=f"{new.udi}R{k}"), events.Revised(on=self.day, what=("lead",)), stage="revised")

    def exchange(self) -> None:
        doctor = self.one_of(PHYSICIANS)
        self.write(doctor, *self.prepare("implant"), events.GeneratorOut(on=self.day, replaced=True, reason="battery"), self.generator(),
                   events.Revised(on=self.day, what=("generator",)), stage="revised")

    def salvage(self) -> None:
        steps = table("salvage").column("step")
        done = Step(state="done", on=self.day, by="Demo nurse", result="tried; see the visits after it")
        chosen = steps if self.life.at["explant_reason"] == "loss" else steps[: 1 + int(self.rng.integers(len(steps)))]
        self.salvaged = set(chosen)
        self.write(self.one_of(NURSES), *(events.Salvaged(on=self.day, name=name, step=done) for name in chosen))
        other = next(one.waveform for one in _SYSTEMS if one.therapy == self.life.system.salvage)
        self.write(self.one_of(NURSES), self.program("B", other))

    def explant(self) -> Literal[False]:
        why = str(self.life.at["explant_reason"])
        if why == "infection":
            self.complicate("infection", "deep", "follow-up", "system taken out, antibiotics", hospital=True)
        if why == "loss" and getattr(self, "salvaged", set()) != set(table("salvage").column("step")):
            self.salvage()
        others = ("MRI", "wish", "pain at device", "no longer needed")
        reason: Any = {"loss": "loss of effect", "infection": "infection"}.get(why) or self.one_of(others)
        self.write(self.one_of(PHYSICIANS), events.Explanted(on=self.day, reason=reason), stage="explanted")
        return False

    def notice(self, state: Literal["affected", "patient told"]) -> None:
        self.write(self.one_of(PHYSICIANS), events.Recalled(on=self.day, notice=NOTICE, part="generator", state=state))


def _below(level: str) -> str:
    """The next vertebra down."""
    from epidura.clinic.procedure import LEVELS

    return LEVELS[LEVELS.index(level) + 1]


def _shared(total: int, items: int, most: int, rng: np.random.Generator) -> dict[str, int]:
    """So many points over so many items, as even as can be."""
    total = int(np.clip(total, 0, items * most))
    more = set(rng.permutation(items)[: total % items].tolist())
    return {str(k + 1): total // items + (k in more) for k in range(items)}


# all patients

def lives(patients: int, years: float, seed: int) -> list[_Life]:
    """Who they are and what the virtual patients say of them, month by month."""
    rng = np.random.default_rng([seed, 1])
    known = posterior()
    p = {name: known.interval(name)[1] for name in known.draws}
    of = table("trial_arms").row(trial="PROCESS", arm="SCS")
    shares = np.array([one.share for one in _COMPLAINTS])
    complaint = rng.choice(len(_COMPLAINTS), patients, p=shares / shares.sum())
    system, days = rng.integers(len(_SYSTEMS), size=patients), rng.choice((7, 10, 14), patients)
    months = tuple(float(month) for month in range(1, int(12 * years) + 3))
    made: dict[int, _Life] = {}
    for s, one in enumerate(_SYSTEMS):
        for length in (7, 10, 14):
            index = np.flatnonzero((system == s) & (days == length))
            if not len(index):
                continue
            procedure = stages.Procedure.model_validate({"therapy": one.therapy, "duration": f"{length} day", "rechargeable": one.rechargeable,
                                                         "salvage": one.salvage})
            who = stages.cohort(seed, index)
            arm = Arm("synthetic clinic", "", one.therapy, one.therapy, "open", False, "randomised", float(of["baseline"]), float(of["baseline_sd"]),
                      float(of["least"]))
            found = stages.simulate(procedure, who, p, arm, months=months)
            people = ql.people(found.data.baseline.values, who.normal("reports", len(ql.PERSON)))
            course = np.concatenate([found.data.baseline.values[:, None], found.data.nrs.values], 1)
            seen = ql.reports(people, course, who.normal("synthetic clinic", course.shape[1], len(ql.VISIT)))
            for k, i in enumerate(index.tolist()):
                at = {str(name): found.data[name].values[k] for name in found.data.data_vars}
                at |= {"profile": seen.profile[k], "vas": seen.vas[k], "odi": seen.odi_like[k],
                       "depression": seen.measured[k, :, ql.SCORES.index("depression")]}
                made[i] = _Life(i, one, _COMPLAINTS[complaint[i]], length, at, _after(seen, k))
    return [made[i] for i in range(patients)]


def _after(seen: ql.Reports, k: int) -> ql.Reports:
    """One patient's reports without the first column, which is before stimulation."""
    from dataclasses import replace

    return replace(seen, reported=seen.reported[k, 1:], index=seen.index[k, 1:], pgic=seen.pgic[k, 1:])


@dataclass(frozen=True)
class Populated:
    """What was written.

    Attributes:
        patients, events: how many.
        stages: stage to patients, at the end.
        first, last: days.
        erased: the patient who was erased.
    """

    patients: int
    events: int
    stages: dict[str, int]
    first: date
    last: date
    erased: str


def patient_id(seed: int, number: int) -> str:
    """Of a fictional patient; the same for the same seed."""
    return hashlib.sha256(f"epidura synthetic patient {seed} {number}".encode()).hexdigest()[:32]


def populate(record: Record, patients: int = 300, years: float = 3, seed: int = 1, end: date | None = None) -> Populated:
    """Fill an empty record with fictional patients.

    The same arguments write the same events; only keys and sealed texts differ, which are random in every record. There is at least one
    patient in each stage at the end.

    Args:
        record: without any patient, so that nobody fictional stands between real ones.
        patients: how many, 60 or more.
        years: that the clinic is old, 1 to 10.
        seed: of everything that is drawn.
        end: last day; today if left out.

    Raises:
        BadInput: a record with patients, too few patients, or an end in the future.
    """
    now = record.clock()
    end = now.date() if end is None else end
    if record.patients(limit=1):
        raise BadInput("record", "there are patients in this record; a synthetic clinic goes into one of its own", hint="make a new record")
    if isinstance(patients, bool) or not 60 <= patients <= 100_000:
        raise BadInput("patients", "not a size of a synthetic clinic", got=patients, allowed="60 to 100000")
    if not 1 <= years <= 10:
        raise BadInput("years", "not an age of a synthetic clinic", got=years, allowed="1 to 10")
    if end > now.date():
        raise BadInput("end", "a day in the future", got=str(end), allowed=f"{now.date()} or before")
    told = _told(lives(patients, years, seed), years, seed, end)
    everything = sorted(((deed.on, number, k, deed) for number, deeds in told.items() for k, deed in enumerate(deeds) if deed.on <= end),
                        key=lambda one: one[:3])
    clock, written = record.clock, 0
    try:
        for day, group in groupby(everything, key=lambda one: one[0]):
            moment = min(datetime.combine(day, time(17), UTC), now)
            record.clock = lambda moment=moment: moment  # type: ignore[misc]
            batch = [(deed.actor, patient_id(seed, number), deed.events) for _, number, _, deed in group]
            done = record.commit_all(batch)
            written += sum(len(each.events) for each in done)
        closed = next(number for number in sorted(told) if told[number] and told[number][-1].stage == "not suitable" and told[number][-1].on <= end)
        record.clock = lambda: min(datetime.combine(end, time(18), UTC), now)
        record.erase("demo-administrator", patient_id(seed, closed), "GDPR Art. 17", "request of the patient, fictional")
    finally:
        record.clock = clock
    return Populated(patients, written + 1, record.counts(), everything[0][0], end, patient_id(seed, closed))


def _told(known: Sequence[_Life], years: float, seed: int, end: date) -> dict[int, list[_Deed]]:
    """Number of a patient to what is written of them; some are moved in time so that no stage is empty at the end."""
    span = round(365.25 * years)
    told: dict[int, list[_Deed]] = {}
    for one in known:
        rng = np.random.default_rng([seed, 2, one.number])
        start = end - timedelta(days=int(rng.integers(2, span)))
        told[one.number] = _course(one, start, end, seed)
    free = [one for one in known if one.number % 7 and one.number % 25 != 3]
    for stage in STAGES:
        if stage == "registered":
            one = free.pop()
            first = told[one.number][0]
            told[one.number] = [_Deed(end - timedelta(days=1), first.actor, (first.events[0].but(on=end - timedelta(days=1)),), "registered")]
            continue
        if stage in ("not suitable", "explanted", "follow-up", "revised"):
            continue  # last stages, in which many are anyhow
        for _ in range(2):
            _move(free, told, stage, end, seed)
    _forgotten(free, told, end, seed)
    return told


def _forgotten(free: list[_Life], told: dict[int, list[_Deed]], end: date, seed: int) -> None:
    """One trial whose planned days were over four days ago and that nobody ended."""
    for one in free:
        whole = _course(one, end - timedelta(days=4000), end, seed)
        running = [deed for deed in whole if deed.stage == "trial running"]
        over = next((deed.on for deed in whole if deed.stage == "trial ended"), None)
        if running and over is not None:
            start = end - timedelta(days=4) - (over - whole[0].on)
            told[one.number] = [deed for deed in _course(one, start, end, seed) if STAGES.index(deed.stage) <= STAGES.index("trial running")]
            free.remove(one)
            return


def _move(free: list[_Life], told: dict[int, list[_Deed]], stage: Stage, end: date, seed: int) -> None:
    """Shift one patient's course in time so that the stage holds at the end."""
    for one in free:
        whole = _course(one, end - timedelta(days=4000), end, seed)
        enter = next((k for k, deed in enumerate(whole) if deed.stage == stage), None)
        if enter is None:
            continue
        leave = next((deed.on for deed in whole[enter:] if deed.stage != stage), None)
        room = 6 if leave is None else (leave - whole[enter].on).days - 1
        if room < 0:
            continue
        start = end - timedelta(days=min(room, 6) // 2) - (whole[enter].on - whole[0].on)
        moved = [deed for deed in _course(one, start, end, seed) if deed.on <= end]
        if moved and moved[-1].stage == stage:
            told[one.number] = moved
            free.remove(one)
            return


def _course(one: _Life, start: date, end: date, seed: int) -> list[_Deed]:
    """All that is written of a patient who is referred on a day; what lies after the end is cut off by the caller."""
    writer = _Writer(one, start, end, np.random.default_rng([seed, 3, one.number]), late=one.number % 20 == 7)
    for _ in writer.referral():
        if writer.day > end:
            break
    if one.number == 11 and writer.deeds[-1].stage in ("not suitable", "trial failed", *IMPLANTED):
        writer.day = min(end, writer.deeds[-1].on + timedelta(days=20))
        writer.write(writer.one_of(NURSES), events.Died(on=writer.day, related="unrelated"))
    return writer.deeds
