"""Pseudonymised research export: what was measured, without who, when exactly, which device, or any free word.

    manifest = export(record, "for-the-study", dates="shifted")

Nothing is taken out of the record: each column is put in, from closed lists of words and from numbers, so that a field that is added to an
event tomorrow stays at home until somebody lists it here. What is not on its list becomes ``other``. Pseudonyms and offsets are random and
made anew in each export; they are kept nowhere, unless a file for them is named, which lies outside the export.
"""

from __future__ import annotations

import csv
import json
import os
import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, get_args

from sqlalchemy import select

from epidura.clinic import complications, events
from epidura.clinic.instruments import family as instruments
from epidura.clinic.pathway import STAGES, State
from epidura.clinic.procedure import LEVELS
from epidura.clinic.record import Record
from epidura.clinic.store import schema
from epidura.clinic.views import Rows, told, write_tables
from epidura.errors import BadInput
from epidura.program_file import ProgramFile
from epidura.tables import table

BAND = 5
"""Years of birth in one band."""
OLDEST = 89
"""Age above which all are pooled, as in the de-identification rule of the US (45 CFR 164.514(b)(2)(i)(C))."""
FARTHEST = 182
"""Most days by which dates are shifted, to either side."""
SMALLEST = 5
"""People in a group of quasi-identifiers below which it is listed as small."""
QUASI = ("born", "sex", "indication")
OTHER = "other"

Dates = Literal["shifted", "relative"]


@dataclass(frozen=True)
class Manifest:
    """What an export is.

    Attributes:
        head, events: hash of the last event of the record, and their number, when it was made.
        made: day.
        versions: of Epidura.
        dates: ``shifted`` by a random number of days of each person; ``relative``: days after the implant, or after the referral.
        people, left_out: how many; those who were erased, and those in small groups if asked.
        smallest: group asked for; small_groups: quasi-identifiers, and how many share them.
        rows: of each table.
        done: in words.
    """

    head: str
    events: int
    made: str
    versions: dict[str, str]
    dates: str
    people: int
    left_out: dict[str, int]
    smallest: int
    small_groups: tuple[dict[str, Any], ...]
    rows: dict[str, int]
    done: tuple[str, ...]


# closed lists

def coded(value: Any, allowed: Iterable[str]) -> str:
    """The word if it is on the list, ``other`` if not, empty if there is none."""
    if value in (None, ""):
        return ""
    return value if isinstance(value, str) and value in allowed else OTHER


@cache
def _column(name: str, column: str) -> frozenset[str]:
    return frozenset(table(name).column(column))


def _moment(value: Any) -> str:
    """Of a visit or a questionnaire."""
    if isinstance(value, str) and re.fullmatch(r"year-\d{1,2}", value):
        return value
    return coded(value, _column("follow_up", "visit") | {"baseline", "trial", "unplanned"})


@cache
def _literals(event: type[events.Event], name: str) -> frozenset[str]:
    """Words that a field of an event allows."""
    return frozenset(one for one in get_args(event.model_fields[name].annotation) if isinstance(one, str))


def _flag(value: Any) -> str:
    return {True: "yes", False: "no"}.get(value, "")


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def born(birth_year: int | None, today: date) -> str:
    """Years of birth in bands of five; all who are, or will this year be, over 89 together."""
    if birth_year is None:
        return ""
    limit = today.year - OLDEST - 1
    if birth_year <= limit:
        return f"to {limit}"
    first = birth_year - birth_year % BAND
    return f"{max(first, limit + 1)}-{first + BAND - 1}"


# one person

@dataclass
class _Person:
    """A person under a pseudonym of this export."""

    pseudonym: str
    day: Callable[[str | None], str | int | None]

    def row(self, on: str | None, **values: Any) -> dict[str, Any]:
        return {"person": self.pseudonym, "day": self.day(on), **values}


def _calendar(state: State, dates: Dates, offset: int) -> Callable[[str | None], str | int | None]:
    """How a day (ISO) is written for a person."""
    anchor = date.fromisoformat(state.get("implanted") or state.get("dates", {}).get("referred") or state["since"])

    def day(on: str | None) -> str | int | None:
        if on is None:
            return None
        that = date.fromisoformat(on)
        return (that - anchor).days if dates == "relative" else (that + timedelta(days=offset)).isoformat()

    return day


def _person_rows(who: _Person, state: State, today: date) -> dict[str, Any]:
    trial, gone = state.get("trial") or {}, state.get("explant") or {}
    return {"person": who.pseudonym, "born": born(state.get("birth_year"), today),
            "sex": coded(state.get("sex"), _literals(events.Registered, "sex")),
            "indication": coded(state.get("indication"), _column("indications", "indication")), "stage": coded(state["stage"], STAGES),
            "referral_nrs": _number(state.get("referral_nrs")), "baseline_nrs": _number(trial.get("baseline_nrs")),
            "trial_succeeded": _flag(trial.get("succeeded")), "implanted": who.day(state.get("implanted")), "explanted": who.day(gone.get("on")),
            "explant_reason": coded(gone.get("reason"), _literals(events.Explanted, "reason")), "revisions": int(state.get("revisions", 0)),
            "died": who.day(state.get("died"))}


TABLES = ("people", "events", "diary", "visits", "scores", "programs", "leads", "generators", "complications")


class _Names:
    """Names that people gave to leads and programs, as numbers."""

    def __init__(self, what: str):
        self.what, self.known = what, dict[str, str]()

    def __call__(self, name: Any) -> str:
        return "" if name in (None, "") else self.known.setdefault(str(name), f"{self.what} {len(self.known) + 1}")


def _event_rows(who: _Person, each: Mapping[str, Any], slots: _Names, leads: _Names, found: dict[str, Rows]) -> None:
    """What of an event goes out, and into which table."""
    kind, on, body = each["kind"], each["on"], each["body"]
    if kind == "diary.recorded":
        return  # the days that count are in the projection
    found["events"].append(who.row(on, kind=coded(kind, events.kinds())))
    if kind == "visit.recorded":
        found["visits"].append(who.row(on, visit=_moment(body.get("visit")), **{
            name: _number(body.get(name)) for name in ("nrs", "reported_relief", "index", "battery")}))
    elif kind == "instrument.answered":
        instrument, moment = coded(body["instrument"].get("kind"), instruments.members), _moment(body.get("moment", "baseline"))
        found["scores"] += [who.row(on, instrument=instrument, moment=moment, score=name if re.fullmatch(r"[A-Za-z0-9 \-]{1,40}", name) else OTHER,
                                    value=_number(value)) for name, value in body.get("score", {}).items()]
    elif kind == "program.set":
        found["programs"].append(_program_row(who, on, body, slots))
    elif kind == "lead.implanted":
        found["leads"].append(who.row(on, lead=leads(body.get("lead")), stage=coded(body.get("stage"), ("trial", "implant")),
                                      model=coded(body.get("model"), _column("leads", "id")),
                                      technique=coded(body.get("technique", "percutaneous"), _literals(events.LeadIn, "technique")),
                                      level=coded(body.get("level"), LEVELS), side=coded(body.get("side", "midline"), ("midline", "left", "right"))))
    elif kind == "generator.implanted":
        found["generators"].append(who.row(on, model=coded(body.get("model"), _column("generators", "model")),
                                           site=coded(body.get("site"), _literals(events.GeneratorIn, "site")),
                                           rechargeable=_flag(body.get("rechargeable")),
                                           stay=coded(body.get("stay", "day case"), _literals(events.GeneratorIn, "stay"))))


def _program_row(who: _Person, on: str, body: Mapping[str, Any], slots: _Names) -> dict[str, Any]:
    program = ProgramFile.model_validate(body["program"]).programs[0]
    wave = program.waveform.model_dump(mode="json")
    shown = {name: wave.get(name) for name in ("frequency", "pulse_width")}
    contacts = " ".join(f"{'case' if number == 0 else number}:{fraction:+g}" for number, fraction in sorted(program.contacts.items()))
    return who.row(on, program=slots(body.get("slot")), waveform=coded(wave.get("kind"), _waveforms()), **shown, contacts=contacts,
                   trains=len(program.trains), **{name: _number(body.get(name)) for name in ("perception_mA", "discomfort_mA", "set_mA")},
                   covered=" ".join(coded(area, events.areas()) for area in body.get("covered", ())))


@cache
def _waveforms() -> frozenset[str]:
    from epidura.waveform import family

    return frozenset(family.members)


def _diary_rows(who: _Person, days: Iterable[Mapping[str, Any]], slots: _Names) -> Rows:
    asked = ("worst", "average", "least", "sleep", "activity", "medication", "stimulation_hours")
    return [who.row(each["day"], **{name: _number(each[name]) for name in asked}, program=slots(each["slot"]),
                    tingling=" ".join(coded(area, events.areas()) for area in each["tingling"])) for each in days]


def _complication_rows(who: _Person, state: State) -> Rows:
    kinds = {one.kind for one in complications.kinds()}
    subkinds = {one.subkind for one in complications.kinds()}
    found = []
    for each in state.get("complications", {}).values():
        found.append(who.row(each.get("onset"), kind=coded(each.get("kind"), kinds), subkind=coded(each.get("subkind"), subkinds),
                             stage=coded(each.get("stage"), ("trial", "implant", "follow-up")),
                             severity=coded(each.get("severity"), _column("severities", "severity")),
                             criteria=" ".join(coded(one, _column("seriousness", "criterion")) for one in each.get("criteria") or ()),
                             outcome=coded(each.get("outcome", "unknown"), get_args(complications.Outcome)), ended=who.day(each.get("ended"))))
    return found


# the export

def small_groups(people: Sequence[Mapping[str, Any]], smallest: int = SMALLEST) -> tuple[dict[str, Any], ...]:
    """Groups of quasi-identifiers that fewer people than ``smallest`` share: their values and ``people``."""
    counts = Counter(tuple(str(one[name]) for name in QUASI) for one in people)
    return tuple({**dict(zip(QUASI, group, strict=True)), "people": count} for group, count in sorted(counts.items()) if count < smallest)


def export(record: Record, folder: str | Path, *, dates: Dates = "shifted", format: Literal["csv", "parquet"] = "csv", smallest: int = SMALLEST,
           drop_small: bool = False, mapping: str | Path | None = None) -> Manifest:
    """Write a pseudonymised copy to a new or empty folder: a table a file, and ``manifest.json``.

    Args:
        record: whose.
        folder: new or empty.
        dates: ``shifted``: every date of a person by the same random number of days, up to half a year to either side; ``relative``: days
            after the implant, or after the referral of who has none.
        format: of the tables.
        smallest: people who should share age band, sex and indication; smaller groups are listed in the manifest.
        drop_small: leave out the people in smaller groups.
        mapping: file for pseudonym, patient and offset, for whoever may go back; not inside ``folder``, never over another file. Without it
            nobody can.

    Raises:
        BadInput: a folder with something in it, an unknown choice, or a mapping in the export.
    """
    if dates not in ("shifted", "relative"):
        raise BadInput("dates", "no such choice", got=dates, allowed="shifted, relative")
    if isinstance(smallest, bool) or smallest < 1:
        raise BadInput("smallest", "not a size of a group", got=smallest, allowed="1 or more")
    target = Path(folder)
    key = _mapping_path(mapping, target)
    today = record.clock().date()
    random = secrets.SystemRandom()
    chosen, erased = [], 0
    for patient, state in record.states():
        if state.get("erased"):
            erased += 1
        else:
            chosen.append((patient, state))
    random.shuffle(chosen)  # the order of the record would tell pseudonyms of two exports apart
    names = {patient: secrets.token_hex(8) for patient, _ in chosen}
    offsets = {patient: random.choice([k for k in range(-FARTHEST, FARTHEST + 1) if k]) for patient, _ in chosen}
    found: dict[str, Rows] = {name: [] for name in TABLES}
    made = {patient: _Person(names[patient], _calendar(state, dates, offsets[patient])) for patient, state in chosen}
    found["people"] = [_person_rows(made[patient], state, today) for patient, state in chosen]
    small = small_groups(found["people"], smallest)
    dropped: set[str] = set()
    if drop_small:
        rare = {tuple(group[name] for name in QUASI) for group in small}
        dropped = {one["person"] for one in found["people"] if tuple(str(one[name]) for name in QUASI) in rare}
        found["people"] = [one for one in found["people"] if one["person"] not in dropped]
        small = ()
    for patient, state in chosen:
        who = made[patient]
        if who.pseudonym in dropped:
            continue
        slots, leads = _Names("program"), _Names("lead")
        for each in told(record, patient):
            _event_rows(who, each, slots, leads, found)
        found["diary"] += _diary_rows(who, record.diary(patient), slots)
        found["complications"] += _complication_rows(who, state)
    with record.engine.connect() as connection:
        head = connection.execute(select(schema.head.c.seq, schema.head.c.hash).where(schema.head.c.id == 1)).one()
    manifest = Manifest(str(head.hash), int(head.seq), today.isoformat(), _versions(), dates, len(found["people"]),
                        {"erased": erased, "in small groups": len(dropped)}, smallest, small, {name: len(rows) for name, rows in found.items()},
                        _words(dates, key is not None, smallest, small, drop_small))
    write_tables(found, target, format)
    part = target / ".manifest.json.part"
    part.write_text(json.dumps(asdict(manifest), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(target / "manifest.json")
    if key is not None:
        _write_mapping(key, [(names[patient], patient, offsets[patient] if dates == "shifted" else 0) for patient, _ in chosen
                             if names[patient] not in dropped])
    return manifest


def _words(dates: Dates, kept: bool, smallest: int, small: Sequence[object], drop_small: bool) -> tuple[str, ...]:
    return (
        "pseudonyms are random and of this export alone",
        f"dates of each person are shifted by the same random number of days, up to {FARTHEST} to either side; times between them are true"
        if dates == "shifted" else "days are counted from the implant, or from the referral of who has none",
        f"years of birth in bands of {BAND}; ages over {OLDEST} together",
        "no names, addresses, numbers of persons or devices, actors, notes or other free words; what is not on a closed list is 'other'",
        "people who were erased from the record are left out",
        "pseudonyms and offsets were written to a file apart" if kept else "pseudonyms and offsets were kept nowhere",
        f"groups of fewer than {smallest} who share {', '.join(QUASI)}: " + (
            "left out" if drop_small else f"{len(small)}, listed under small_groups" if small else "none"),
        "pseudonymised is not anonymous: whoever knows a person's course well may still recognise it")


def _versions() -> dict[str, str]:
    try:
        return {"epidura": version("epidura")}
    except PackageNotFoundError:  # run from a source tree that is not installed
        return {"epidura": "unknown"}


def _mapping_path(mapping: str | Path | None, folder: Path) -> Path | None:
    if mapping is None:
        return None
    path = Path(mapping).resolve()
    if path.is_relative_to(folder.resolve()):
        raise BadInput("mapping", "it would travel with the export", got=str(mapping), allowed=f"a file outside {folder}")
    if path.exists():
        raise BadInput("mapping", "there is a file already", got=str(mapping), hint="take another name")
    if not path.parent.is_dir():
        raise BadInput("mapping", "no such folder", got=str(path.parent), hint="make it first")
    return path


def _write_mapping(path: Path, rows: Iterable[tuple[str, str, int]]) -> None:
    """For its owner alone."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", newline="", encoding="utf-8") as file:
        sheet = csv.writer(file, lineterminator="\n")
        sheet.writerow(("person", "patient", "offset_days"))
        sheet.writerows(rows)
