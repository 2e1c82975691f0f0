"""What is about no patient alone: instruments, the table of drugs on clotting, recalls, programs, lists."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi import Path as InPath
from pydantic import Field, WithJsonSchema

from epidura import generator as generators
from epidura import waveform
from epidura.api.errors import Fault
from epidura.api.routes_people import Body
from epidura.api.security import V1, Who
from epidura.api.service import Service
from epidura.clinic import instruments, selection
from epidura.clinic.complications import Affected, Device, Recall, affected
from epidura.clinic.instruments import Instrument, ItemText, read_text
from epidura.clinic.procedure import Hold, drugs, plan
from epidura.clinic.procedure import drug as drug_of
from epidura.clinic.record import Record, pseudonym
from epidura.clinic.store.log import stamp
from epidura.errors import BadInput, nearest
from epidura.program import CASE, Program
from epidura.program_file import ProgramFile
from epidura.recipe import load, read_recipe
from epidura.tables import table

LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
"""Of a text: all that a file's name takes from a caller, and no letter in it means anything to a file system."""

KindPath = Annotated[str, InPath(max_length=40, pattern="^[a-z0-9-]+$", description="of instrument", examples=["odi"])]
LanguagePath = Annotated[str, InPath(max_length=30, pattern=f"^{LANGUAGE.pattern}$", examples=["en"])]
DrugPath = Annotated[str, InPath(max_length=100, description="of the list of drugs on clotting")]
Mapping = Annotated[dict[str, Any], WithJsonSchema({"type": "object"})]


class Answers(Body):
    """Answers to an instrument; ``settings`` as an instrument has them, such as a country."""

    answers: dict[str, float | None] = Field(max_length=200)
    settings: Mapping = {}


class Row(Body):
    """A row of the table of drugs on clotting, as a clinician fills it from the guideline."""

    stop_before: str = Field(max_length=40, examples=["12 h"])
    restart_after: str = Field(max_length=40, examples=["24 h"])
    source_read: str = Field(min_length=1, max_length=1000)
    tests: str = Field("", max_length=2000)
    conditions: str = Field("", max_length=2000)


class Sign(Body):
    """A signature of a row as it was read: ``row`` is the key that stood beside it."""

    row: str = Field(min_length=1, max_length=64)
    profession: str = Field(min_length=1, max_length=200)
    registration: str = Field(min_length=1, max_length=200)
    review_by: date


class Question(Body):
    """Drugs that a patient takes, and when the procedure is."""

    drugs: list[Annotated[str, Field(max_length=100)]] = Field(max_length=30)
    procedure: datetime


class Notices(Body):
    """Field safety notices."""

    recalls: list[Recall] = Field(min_length=1, max_length=100)


class Programs(Body):
    """A program file, as ``epidura program --schema`` describes it; ``generator`` instead of the file's own."""

    file: Annotated[dict[str, Any], WithJsonSchema({"type": "object", "required": ["format", "title", "programs"], "properties": {
        "format": {"const": "epidura-program/1"}, "title": {"type": "string"}, "programs": {"type": "array", "items": {"type": "object"}}}})]
    generator: str | None = Field(None, max_length=100)


def routes(service: Service) -> APIRouter:
    """Of rules and lists."""
    api, record = APIRouter(prefix=V1), service.record

    @api.get("/instruments", tags=["instruments"])
    def kinds(who: Who) -> dict[str, Any]:
        """Instruments, with their licence and whether their text is here."""
        items = []
        for kind in instruments.family.members:
            one = _instrument(kind, {})
            here = sorted(path.name.split(".")[1] for path in service.texts.glob(f"{kind}.*.json")) if service.texts else []
            items.append({"kind": kind, "title": one.title, "version": one.version, "free": one.free, "licence": one.licence, "uploaded": here})
        return {"items": items}

    @api.get("/instruments/{kind}/form", tags=["instruments"])
    def form(kind: KindPath, who: Who, language: Annotated[str, Query(max_length=30, pattern=f"^{LANGUAGE.pattern}$")] = "en") -> dict[str, Any]:
        """A JSON schema for a form: the uploaded text if there is one, else the free one, else keys only."""
        one = _instrument(kind, {})
        return one.form(_uploaded(service, one, language), language, service.today())

    @api.post("/instruments/{kind}/score", tags=["instruments"])
    def score(kind: KindPath, body: Answers, who: Who) -> dict[str, Any]:
        """Score answers; nothing is written."""
        found: dict[str, Any] = _instrument(kind, body.settings).score(body.answers).model_dump(mode="json")
        return found

    @api.put("/instruments/{kind}/text/{language}", tags=["instruments"])
    def upload(kind: KindPath, language: LanguagePath, body: Mapping, who: Who) -> dict[str, Any]:
        """Put the text of an instrument that the site has a licence for beside the record."""
        if service.texts is None:
            raise Fault(409, "text", "this server was given no folder for texts", hint="epidura serve has one")
        one = _instrument(kind, {})
        text = read_text(body, one, service.today())
        if text.language != language:
            raise Fault(422, "language", "the text says another language than the address", got=text.language, allowed=language)
        path = _text_path(service.texts, one, language)
        _put(path, text.model_dump_json())
        return {"kind": one.kind, "language": language, "items": len(text.items), "until": text.licence.until if text.licence else None}

    @api.get("/anticoagulants", tags=["procedure"])
    def rows(who: Who) -> dict[str, Any]:
        """The clinic's table: every drug, what was filled in, and whether a signature holds today."""
        held, today = service.table().table(), service.today()
        return {"items": [_drug_row(held, each, today) for each in drugs()]}

    @api.put("/anticoagulants/{drug}", tags=["procedure"])
    def fill(drug: DrugPath, body: Row, who: Who) -> dict[str, Any]:
        """Fill a row. It holds nothing until somebody signs it."""
        known = _drug(drug)
        hold: Hold = read_recipe(Hold, {"drug": known.drug, **body.model_dump()})
        held = service.table().fill(hold, who.person.id, stamp(service.people.now()))
        return _drug_row(held, known, service.today())

    @api.post("/anticoagulants/{drug}/sign", tags=["procedure"])
    def sign(drug: DrugPath, body: Sign, who: Who) -> dict[str, Any]:
        """Sign a row with one's own name."""
        known = _drug(drug)
        held = service.table().sign(known.drug, who.person.id, stamp(service.people.now()), name=who.person.name, role=body.profession,
                                    registration=body.registration, on=service.today(), review_by=body.review_by, row=body.row)
        return _drug_row(held, known, service.today())

    @api.post("/anticoagulants/plan", tags=["procedure"])
    def holds(body: Question, who: Who) -> dict[str, Any]:
        """When to stop and restart, from signed rows alone."""
        return {"items": [asdict(line) for line in plan(body.drugs, body.procedure, service.table().table(), service.today())]}

    @api.post("/recalls/affected", tags=["clinic"])
    def recalled(body: Notices, who: Who) -> dict[str, Any]:
        """Patients whose parts a notice is about, or may be. Parts that others took the place of, such as exchanged generators, are not looked at."""
        owners: dict[str, str] = {}
        devices = []
        for patient, device in _devices(record):
            owners[device.id] = patient
            devices.append(device)
        return {"items": [_affected(each, owners[each.device.id]) for each in affected(devices, body.recalls)]}

    @api.post("/program/check", tags=["programs"])
    def check(body: Programs, who: Who) -> dict[str, Any]:
        """Charge and limits of a generator, as far as no electric field is needed for them."""
        try:
            file: ProgramFile = read_recipe(ProgramFile, body.file)
        except BadInput as error:
            raise error.at("file") from None
        model = body.generator or file.generator
        if body.generator is not None and body.generator not in generators.names():
            raise Fault(422, "generator", "there is no such generator", got=body.generator, allowed=", ".join(generators.names()),
                        hint=nearest(body.generator, generators.names()))
        return {"generator": model, "programs": [_checked(program, model) for program in file.programs],
                "left_out": ["voltage needed and compliance", "charge density", "Shannon k", "net direct current", "power and battery"],
                "hint": "these need the electric field around the lead: epidura program FILE"}

    _lists(api)
    return api


def _lists(api: APIRouter) -> None:
    @api.get("/jurisdictions", tags=["lists"])
    def jurisdictions(who: Who) -> dict[str, Any]:
        """Rules of selection."""
        return {"items": [{"id": key, "name": name} for key, name in selection.jurisdictions().items()]}

    @api.get("/indications", tags=["lists"])
    def indications(who: Who, jurisdiction: Annotated[str | None, Query(max_length=60)] = None) -> dict[str, Any]:
        """Indications with the grade of their evidence; with a jurisdiction, what its rule says of each."""
        if jurisdiction is not None:
            return {"items": [asdict(each) for each in selection.positions(jurisdiction)]}
        return {"items": [{key: row[key] for key in ("indication", "name", "origin", "grade", "words", "evidence", "source")}
                          for row in table("indications")]}

    @api.get("/areas", tags=["lists"])
    def areas(who: Who) -> dict[str, Any]:
        """Areas of the body that pain and tingling are drawn in."""
        return {"items": [{"id": row["id"], "name": row["name"], "dermatomes": row["dermatomes"]} for row in table("pain_areas")]}

    @api.get("/leads", tags=["lists"])
    def leads(who: Who) -> dict[str, Any]:
        """Models of leads."""
        keys = ("id", "type", "manufacturer", "model", "contacts", "contact_length_mm", "edge_spacing_mm", "diameter_or_size_mm", "evidence",
                "source")
        return {"items": [{key: row[key] for key in keys} for row in table("leads") if row["id"]]}

    @api.get("/generators", tags=["lists"])
    def models(who: Who) -> dict[str, Any]:
        """Models of pulse generators, with every limit and its source."""
        return {"items": [{"model": name, "manufacturer": (rows := list(generators.generator(name).rows))[0]["manufacturer"], "limits": [
            {key: row[key] for key in ("quantity", "value", "low", "high", "unit", "evidence", "source", "note")} for row in rows]}
            for name in generators.names()]}

    @api.get("/waveforms", tags=["lists"])
    def waveforms(who: Who) -> dict[str, Any]:
        """Types of stimulation and their parameters."""
        return {"items": [{"kind": kind, "what": (member.__doc__ or "").splitlines()[0], "schema": member.model_json_schema()}
                          for kind, member in waveform.family.members.items()]}


def _instrument(kind: str, settings: dict[str, Any]) -> Instrument:
    if kind not in instruments.family.members:
        raise Fault(404, "kind", "there is no such instrument", got=kind, allowed=instruments.family.allowed(),
                    hint=nearest(kind, instruments.family.members))
    return instruments.family.read({**settings, "kind": kind})


def _text_path(folder: Path, instrument: Instrument, language: str) -> Path:
    """Where a text stands: a kind of the catalogue and a language, nothing else of what was sent."""
    path = folder / f"{instrument.kind}.{language}.json"
    if LANGUAGE.fullmatch(language) is None or path.resolve().parent != folder.resolve():
        raise Fault(422, "language", "this is no language", got=language, allowed="such as en or es-MX")
    return path


def _uploaded(service: Service, instrument: Instrument, language: str) -> ItemText | None:
    if service.texts is None:
        return None
    path = _text_path(service.texts, instrument, language)
    if not path.is_file():
        return None
    text: ItemText = read_recipe(ItemText, load(path, "text of an instrument", ItemText))
    return text


def _put(path: Path, text: str) -> None:
    """Write a file whole or not at all, for its owner alone."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".new")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _drug(name: str) -> Any:
    try:
        return drug_of(name)
    except BadInput as unknown:
        raise Fault(404, "drug", unknown.problem, got=name, hint=unknown.hint) from None


def _drug_row(held: Any, about: Any, today: date) -> dict[str, Any]:
    row, signature = held.row(about.drug), held.signature(about.drug)
    return {"drug": about.drug, "about": asdict(about), "state": held.state(about.drug, today),
            "row": None if row is None else row.model_dump(mode="json"), "key": None if row is None else row.key(),
            "signature": None if signature is None else signature.model_dump(mode="json")}


def _devices(record: Record) -> Iterator[tuple[str, Device]]:
    """Parts of every patient, by the label or by the catalogue."""
    makers = {row["id"]: row["manufacturer"] for row in table("leads")} | {row["model"]: row["manufacturer"] for row in table("generators")}
    for patient, state in record.states():
        parts = [(f"lead {name}", each) for name, each in state.get("leads", {}).items()]
        parts += [("generator", state["generator"])] if state.get("generator") else []
        for name, part in parts:
            maker = part.get("manufacturer") or makers.get(part["model"]) or "not recorded"
            yield patient, Device(id=f"{patient} {name}", manufacturer=maker, model=part["model"], serial=part.get("serial", ""),
                                  lot=part.get("lot", ""), implanted=part["on"], explanted=part.get("out"))


def _affected(each: Affected, patient: str) -> dict[str, Any]:
    device = each.device.model_dump(mode="json")
    return {"patient": patient, "pseudonym": pseudonym(patient), "part": each.device.id.removeprefix(f"{patient} "),
            "device": {key: value for key, value in device.items() if key != "id"}, "sure": each.sure, "why": each.why,
            "action": each.recall.action, "source": each.recall.source}


def _checked(program: Program, model: str | None) -> dict[str, Any]:
    """Of one program: charge of a phase at each contact, and what a generator does not deliver."""
    trains = []
    for train in program.trains:
        level = train.amplitude.current
        per_ampere = generators.phase_of(train.waveform)
        contacts = {("case" if number == CASE else str(number)): None if level is None else abs(fraction) * level * per_ampere * 1e6
                    for number, fraction in train.contacts.items() if fraction}
        trains.append({"waveform": train.waveform.kind, "amplitude": str(train.amplitude), "contacts": train.words(),
                       "pulse_width_us": generators.width_of(train.waveform) * 1e6, "fastest_Hz": generators.fastest(train.waveform),
                       "recharge": generators.recharge_of(train.waveform), "charge_per_phase_uC": contacts})
    found = [] if model is None else [
        {"where": each.where, "quantity": each.quantity, "got": each.got, "allowed": each.allowed, "source": each.source,
         "unverified": each.unverified} for each in generators.generator(model).violations(program)]
    unknown = [] if model is None else list(generators.generator(model).unknown())
    return {"name": program.name, "trains": trains, "violations": found, "unknown_limits": unknown}
