"""A patient's whole course as events, for the tests of the record."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path

from epidura.clinic import events as ev
from epidura.clinic.procedure import SUBSTANCES, Allergies, Consent, InfectionBundle, Planning, risks_to_name
from epidura.clinic.record import Record, new_id
from epidura.clinic.selection import Findings, Member, assess
from epidura.program_file import ProgramFile, read

START = date(2024, 1, 1)
NAME, WORDS = "Zyxwolniak", "asked whether the fictional dog may stay"
"""What is sealed, and is searched for in files."""


@dataclass(frozen=True)
class Place:
    """Where a test's record is: ``where`` as ``Record.create`` takes it, and the file of the clinic's key."""

    where: str
    key: Path

    @property
    def sqlite(self) -> bool:
        return "://" not in self.where

    def create(self, clock: Callable[[], datetime] = ev.now) -> Record:
        return Record.create(self.where, self.key, clock=clock)

    def open(self, clock: Callable[[], datetime] = ev.now) -> Record:
        return Record.open(self.where, self.key, clock=clock)


def registered(on: date = START, family: str = NAME) -> ev.Registered:
    return ev.Registered(on=on, birth_year=1960, sex="female",
                         identity=ev.Identity(family_name=family, given_name="Quirina", birth_date=date(1960, 2, 3), phone="+00 555 0100"))


def diary(day: int, pain: float = 5.0, **more) -> ev.Diary:
    return ev.Diary(on=START + timedelta(days=day), average=pain, **more)


@cache
def program() -> ProgramFile:
    return read(Path(__file__).parents[2] / "examples" / "programs" / "tonic.json")


def programmed(on: date, slot: str = "A") -> ev.Programmed:
    return ev.Programmed(on=on, slot=slot, program=program(), perception_mA=2.0, discomfort_mA=6.0, set_mA=3.5)


def consent(stage: str, on: date, signed: bool = True) -> ev.Consented:
    return ev.Consented(on=on, consent=Consent(
        stage=stage, text_version="1", language="en", risks=tuple(risks_to_name()), explained_by="Dr Example", role="physician", explained_on=on,
        signed_on=on if signed else None, alternatives=True, reversibility=True))


def planned(stage: str, on: date) -> ev.Planned:
    return ev.Planned(on=on, stage=stage, planning=Planning(target_level="T9", leads=1), drugs=(),
                      allergies=Allergies(answers=dict.fromkeys(SUBSTANCES, "no")))


def checked(stage: str, on: date) -> ev.Checked:
    return ev.Checked(on=on, stage=stage, bundle=InfectionBundle())


@cache
def set_aside() -> tuple[str, ...]:
    """Hard criteria that a nearly empty assessment leaves open."""
    items = assess(Findings(indication="failed-back-surgery"), "unspecified")
    return tuple(item.id for item in (*items.barriers(), *items.missing()) if item.weight == "hard")


def course(start: date = START, family: str = NAME) -> list[ev.Event]:
    """From referral to follow-up and explant, one event a day."""
    def day(k: int) -> date:
        return start + timedelta(days=k)

    return [
        registered(day(0), family), ev.Referred(on=day(1), indication="failed-back-surgery", nrs=8, question=WORDS),
        ev.Assessed(on=day(2), findings=Findings(indication="failed-back-surgery")),
        ev.Signed(on=day(3), member=Member(name="Dr Example", role="physician", agrees=True)),
        ev.Signed(on=day(4), member=Member(name="Dr Sample", role="psychologist", agrees=True)),
        ev.Selected(on=day(5), decision="selected", despite=set_aside(), why="the fictional team sets it aside"),
        consent("trial", day(6)), planned("trial", day(7)), checked("trial", day(8)),
        ev.LeadIn(on=day(9), stage="trial", lead="left", model="octrode", level="T9"), programmed(day(10)),
        ev.TrialBegun(on=day(11), baseline_nrs=8), ev.Diary(on=day(12), average=3, worst=4, note=WORDS), ev.Diary(on=day(13), average=2),
        ev.TrialEnded(on=day(18), reported_relief=0.7), ev.Judged(on=day(19), succeeded=True),
        consent("implant", day(20)), planned("implant", day(21)), checked("implant", day(22)),
        ev.GeneratorIn(on=day(23), model="proclaim-xr-5", site="abdomen"), ev.Discharged(on=day(24)),
        ev.Visited(on=day(54), visit="1 month", nrs=3), ev.Explanted(on=day(90), reason="wish")]


def write(record: Record, events: list[ev.Event] | None = None, patient: str | None = None, actor: str = "nurse") -> str:
    """Commit a course one event at a time; whose."""
    patient = patient or new_id()
    for each in events if events is not None else course():
        record.commit(actor, patient, [each])
    return patient


def told(record: Record, patient: str) -> list[dict]:
    return json.loads(json.dumps(record.timeline(patient)))
