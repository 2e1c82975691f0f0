"""The room Program: thresholds, figures at the electrodes, comparison, the gate in short, program files, and a program for the record."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date
from typing import Annotated, Any

import yaml
from fastapi import APIRouter
from pydantic import Field

from epidura import desk_program, program_file, programmer
from epidura import generator as generators
from epidura.api.jobs import Progress
from epidura.api.routes_bench import CaseBody, case_of, told, written
from epidura.api.security import READERS, TEAM, V1, Who
from epidura.api.service import Service
from epidura.case import Case, to_text
from epidura.clinic.events import Linked, Programmed
from epidura.clinic.procedure import CaseLink
from epidura.compare import program_from_case
from epidura.errors import BadCase
from epidura.program_file import ProgramFile
from epidura.programmer import Programmer
from epidura.recipe import UniqueKeys
from epidura.tables import UNVERIFIED
from epidura.workbench import case_key

RULES: dict[tuple[str, str], frozenset[str]] = {
    ("GET", f"{V1}/program/types"): READERS,
    ("GET", f"{V1}/program/generators"): READERS,
    ("POST", f"{V1}/program/leads"): READERS,
    ("POST", f"{V1}/program/recruit"): READERS,
    ("POST", f"{V1}/program/recruit/exact"): READERS,
    ("POST", f"{V1}/program/figures"): READERS,
    ("POST", f"{V1}/program/compare"): READERS,
    ("POST", f"{V1}/program/gate"): READERS,
    ("POST", f"{V1}/program/write"): READERS,
    ("POST", f"{V1}/program/open"): READERS,
    ("POST", f"{V1}/program/event"): TEAM,
}

ON = ("anatomy", "leads", "fibres")
"""Parts of a case that the fibres and what contacts do along them depend on."""

MOST_COMPARED = 4

Level = Annotated[float, Field(ge=0, le=1000)]


class One(CaseBody):
    """A program of a case; ``have``: key of the fibres that the page has already."""

    program: int = Field(0, ge=0, le=1000)
    have: str = Field("", max_length=80)


class AtLevels(CaseBody):
    """A program of a case at an amplitude of each train, mA."""

    program: int = Field(0, ge=0, le=1000)
    amplitudes: list[Level | None] = Field(min_length=1, max_length=16)


class Several(CaseBody):
    """Programs of a case by their place."""

    programs: list[Annotated[int, Field(ge=0, le=1000)]] = Field(min_length=1, max_length=MOST_COMPARED)


class ToOpen(CaseBody):
    """The text of a program file, and the case that its programs go into."""

    text: str = Field(min_length=1, max_length=1_000_000)
    leads: bool = False


class ToRecord(CaseBody):
    """A program for a patient's record, and what was felt with it; what was not felt is left out."""

    program: int = Field(0, ge=0, le=1000)
    on: date
    slot: str = Field("", max_length=200)
    perception_mA: float | None = Field(None, ge=0, le=100)
    discomfort_mA: float | None = Field(None, ge=0, le=100)
    set_mA: float | None = Field(None, ge=0, le=100)
    covered: list[Annotated[str, Field(max_length=60)]] = Field([], max_length=100)
    keep_case: bool = True


def key_of(case: Case) -> str:
    """Of what the fibres of a case depend on."""
    return case_key(case, *ON)


def programmer_of(service: Service, case: Case, progress: Progress | None = None) -> Programmer:
    """The fibres of a case with what every contact does along them; made where they are not there yet, with the field."""
    def make() -> Programmer:
        said = progress or (lambda words, share: None)
        lead_field = service.bench.lead_field(case, watch=said)
        return Programmer(programmer.lay(lead_field, case.fibres, said))

    found: Programmer = service.bench.keep("programmer", key_of(case), make)
    return found


def ready(service: Service, case: Case) -> bool:
    """Whether the fibres of a case are there, so that it can be answered at once."""
    return service.bench.has("programmer", key_of(case))


def routes(service: Service) -> APIRouter:
    """Of the room Program."""
    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        threading.Thread(target=programmer.warm, name="epidura-warm", daemon=True).start()
        yield

    api = APIRouter(prefix=V1, tags=["workbench"], lifespan=lifespan)

    def started(who: Any, slot: str, work: Callable[[Progress], Any]) -> dict[str, Any]:
        return told(service.jobs.start(who.session.person.id, work, f"program {slot}"))

    def answered(case: Case, own: Programmer, index: int, quality: desk_program.Quality, have: str,
                 progress: Progress | None = None) -> dict[str, Any]:
        found = {"ready": True, "key": key_of(case), **desk_program.answer(case, own, index, quality, progress)}
        if have != found["key"]:
            found["fibres"] = desk_program.fibres_of(own.laid)
        return found

    @api.get("/program/types")
    def types(who: Who) -> dict[str, Any]:
        """Types of stimulation with their settings, units, usual ranges and how sure these are."""
        return {"items": desk_program.kinds()}

    @api.get("/program/generators")
    def models(who: Who) -> dict[str, Any]:
        """Generators of the catalogue, in short."""
        items = []
        for name in generators.names():
            one = generators.generator(name)
            items.append({"model": name, "manufacturer": one.manufacturer, "battery": one.battery, "control": one.control,
                          "unverified": sum(row["evidence"] in UNVERIFIED for row in one.rows), "limits": len(one.rows)})
        return {"items": items}

    @api.post("/program/leads")
    def leads(body: CaseBody, who: Who) -> dict[str, Any]:
        """The leads as they lie, with their contacts; nothing is computed."""
        return {"leads": desk_program.layout(case_of(body.case))}

    @api.post("/program/recruit")
    def recruit(body: One, who: Who) -> dict[str, Any]:
        """Thresholds of every fibre at once: exact where known, else an estimate; ``ready`` is false where the field has to be solved first."""
        case = case_of(body.case)
        desk_program.program_of(case, body.program)
        if not ready(service, case):
            return {"ready": False}
        return answered(case, programmer_of(service, case), body.program, "preview", body.have)

    @api.post("/program/recruit/exact")
    def exact(body: One, who: Who) -> dict[str, Any]:
        """The same, searched at least as far as the slider goes (``top_mA``): a job. Beyond ``searched_mA`` a threshold is null."""
        case = case_of(body.case)
        desk_program.program_of(case, body.program)
        return started(who, "thresholds", lambda progress: answered(case, programmer_of(service, case, progress), body.program, "exact", body.have,
                                                                    progress))

    @api.post("/program/figures")
    def figures(body: AtLevels, who: Who) -> dict[str, Any]:
        """Charges beside named limits, voltages, power and battery at an amplitude; ``ready`` is false where the field has to be solved first."""
        case = case_of(body.case)
        desk_program.program_of(case, body.program)
        if not ready(service, case):
            return {"ready": False}
        found = desk_program.figures(case, programmer_of(service, case).laid.lead_field, body.program, body.amplitudes)
        return {"ready": True, "figures": found}

    @api.post("/program/compare")
    def compare(body: Several, who: Who) -> dict[str, Any]:
        """Up to four programs side by side, each at its own amplitude: a job."""
        case = case_of(body.case)
        for index in body.programs:
            desk_program.program_of(case, index)
        return started(who, "comparison", lambda progress: {
            "programs": desk_program.compare(case, programmer_of(service, case, progress), body.programs, progress)})

    @api.post("/program/gate")
    def gate(body: AtLevels, who: Who) -> dict[str, Any]:
        """A quick look at what the pain gate does under a program: a job."""
        case = case_of(body.case)
        desk_program.program_of(case, body.program)
        return started(who, "gate", lambda progress: desk_program.gate(case, programmer_of(service, case, progress), body.program, body.amplitudes,
                                                                     progress))

    @api.post("/program/write")
    def write(body: CaseBody, who: Who) -> dict[str, str]:
        """The programs and leads of a case as a program file."""
        return {"text": program_file.to_text(program_file.from_case(case_of(body.case)))}

    @api.post("/program/open")
    def take(body: ToOpen, who: Who) -> dict[str, Any]:
        """A case with the programs of a file, and with its leads and generator if ``leads``."""
        file, case = _file(body.text), case_of(body.case)
        if not body.leads:
            program_file.check_contacts(file.programs, case.leads)
            file = file.model_copy(update={"leads": (), "generator": None})
        other = bool(file.leads) and [one.model_dump(mode="json") for one in file.leads] != [one.model_dump(mode="json") for one in case.leads]
        return {"case": written(program_file.into_case(file, case)), "other_leads": other, "programs": len(file.programs)}

    @api.post("/program/event")
    def event(body: ToRecord, who: Who) -> dict[str, Any]:
        """The events that put a program of a case into a patient's record; nothing is written here."""
        case = case_of(body.case)
        program = desk_program.program_of(case, body.program)
        made = program_from_case(case, program.name, on=body.on, slot=body.slot)
        full = made.model_dump(mode="json") | {"perception_mA": body.perception_mA, "discomfort_mA": body.discomfort_mA, "set_mA": body.set_mA,
                                               "covered": body.covered}
        events: list[Any] = [Programmed.model_validate(full)]
        if body.keep_case:
            events.append(Linked(on=body.on, slot=made.slot, case=CaseLink(title=case.title, text=to_text(case.but(programs=[
                program.model_dump(mode="json")]))), predicted=_predicted(service, case, body.program),
                why="assumed: the canal and the place of the leads are as they were set in the workbench"))
        return {"events": [one.model_dump(mode="json", exclude_none=True) for one in events]}

    return api


def _file(text: str) -> ProgramFile:
    """A program file from what a page read.

    Raises:
        BadCase: not JSON nor YAML, or not a program file.
    """
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        try:
            value = yaml.load(text, Loader=UniqueKeys)
        except (yaml.YAMLError, RecursionError):
            raise BadCase("file", "neither JSON nor YAML", allowed=f"a program file: {program_file.FORMAT}") from None
    if not isinstance(value, dict):
        raise BadCase("file", "a program file is a mapping", got=type(value).__name__, allowed="keys " + ", ".join(ProgramFile.model_fields))
    return program_file.read(value)


def _predicted(service: Service, case: Case, index: int) -> dict[str, float]:
    """What the model says of a program that a clinic can observe; nothing where it was not searched yet."""
    if not ready(service, case):
        return {}
    own, program = programmer_of(service, case), case.programs[index]
    if program.interleaved or own.found(program, desk_program.electronics_of(case)) is None:
        return {}
    seen = desk_program.answer(case, own, index, "preview")
    if seen["quality"] != "exact":  # searched, but not as far as this amplitude: no estimate goes into a record
        return {}
    train = seen["trains"][0]
    found = {name: train[name] for name in ("perception_mA", "discomfort_mA", "amplitude_mA") if train[name] is not None}
    share = desk_program.covered(case, [train], [train["amplitude_mA"]])["covered"]
    return found if share is None else {**found, "covered": share}

