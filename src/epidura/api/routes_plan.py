"""The room Plan: levels for a pain, leads in their canal, slices of the field, uploaded label maps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from tempfile import gettempdir
from typing import Annotated, Any, Literal

import numpy as np
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from fastapi import Path as InPath
from pydantic import Field

from epidura import anatomy as anatomies
from epidura import case as cases
from epidura import lead as leads_
from epidura import maps, scene
from epidura.anatomy import Anatomy
from epidura.anatomy.labels import KEYS
from epidura.anatomy.parametric import RANGES
from epidura.api.errors import Fault
from epidura.api.routes_bench import Written, case_of, told, written
from epidura.api.routes_people import Body
from epidura.api.security import READERS, V1, Who
from epidura.api.service import Service
from epidura.case import Case
from epidura.errors import BadCase, BadInput
from epidura.export import STEP
from epidura.field import solver_warnings
from epidura.lead import Lead
from epidura.lead.base import KIND_OF_TYPE
from epidura.level_advice import advise, at_level, nearest_vertebra, tip_for
from epidura.patient import indication_words, indications
from epidura.product import Contact, LeadField, Shaft, Span
from epidura.tables import UNVERIFIED, Number, table

RULES: dict[tuple[str, str], frozenset[str]] = {
    ("GET", f"{V1}/plan/start"): READERS,
    ("GET", f"{V1}/plan/examples/{{example}}"): READERS,
    ("POST", f"{V1}/plan/advice"): READERS,
    ("POST", f"{V1}/plan/take"): READERS,
    ("POST", f"{V1}/plan/scene"): READERS,
    ("POST", f"{V1}/plan/field"): READERS,
    ("POST", f"{V1}/plan/surface"): READERS,
    ("POST", f"{V1}/plan/slice"): READERS,
    ("POST", f"{V1}/plan/maps"): READERS,
    ("GET", f"{V1}/plan/maps/{{map}}"): READERS,
}

UPLOADS: dict[str, int] = {f"{V1}/plan/maps": maps.LARGEST}
"""Address -> most bytes of a file that is sent to it."""

MOST_NUMBERS = 40
"""Unverified numbers that one answer names. Choice of this project."""

Accuracy = Literal["fast", "standard", "reference"]
Example = Annotated[str, InPath(pattern="^[a-z0-9_]{1,60}$", description="name of an example", examples=["failed_back_surgery"])]
MapName = Annotated[str, InPath(pattern=r"^map-[0-9a-f]{32}\.nii(\.gz)?$", description="of an uploaded map",
                                examples=["map-" + "0" * 32 + ".nii.gz"])]


class AdviceBody(Body):
    """Where it hurts."""

    areas: list[str] = Field(default=[], max_length=60)
    indication: str | None = None


class TakeBody(Body):
    """A case, and the row whose level is to be taken."""

    case: Written
    target: str = Field(max_length=200)


class SceneBody(Body):
    """A case of which anatomy and leads are drawn; ``tissues``: not the leads alone."""

    case: Written
    tissues: bool = True


class FieldBody(Body):
    """A case whose lead field is asked for."""

    case: Written
    accuracy: Accuracy = "standard"


class SliceBody(FieldBody):
    """A plane through the field: at a height (axial) or at a distance to the right of the midline (sagittal), mm."""

    plane: Literal["axial", "sagittal"]
    at: float = Field(ge=-1000, le=1000)


def parts_of(written: dict[str, Any]) -> tuple[Anatomy, tuple[Lead, ...]]:
    """Anatomy and leads of a case whose programs may not fit yet.

    Raises:
        BadInput: with the path in the case.
    """
    whole = maps.opened(written)
    try:
        anatomy: Anatomy = anatomies.family.read(whole.get("anatomy"))
    except BadInput as failure:
        raise failure.at("anatomy") from None
    found = []
    given = whole.get("leads")
    if not isinstance(given, list) or not 1 <= len(given) <= 4:
        raise BadCase("leads", "one to four leads are needed", got=len(given) if isinstance(given, list) else None, allowed="1 to 4")
    for i, each in enumerate(given):
        try:
            lead: Lead = leads_.family.read(each)
        except BadInput as failure:
            raise failure.at(f"leads[{i}]") from None
        found.append(lead)
    return anatomy, tuple(found)


def routes(service: Service) -> APIRouter:
    """Of the room Plan."""
    api = APIRouter(prefix=V1, tags=["workbench"])
    bench, jobs = service.bench, service.jobs
    # without a folder of its own a server keeps maps as long as this machine keeps temporary files
    kept = maps.Maps((service.folder or Path(gettempdir()) / "epidura") / "maps")

    @api.get("/plan/start")
    def start(who: Who) -> dict[str, Any]:
        """What the room offers: leads, vertebrae, indications, sizes of the canal, examples, tissues of maps."""
        parametric = anatomies.family.members["parametric"].model_json_schema()["properties"]
        lists = {name: parametric[name]["enum"] for name in ("extent", "posture", "curve", "tissues")}
        return {"leads": [_catalogue(row) for row in table("leads") if row["id"]], "vertebrae": table("vertebrae").column("vertebra"),
                "indications": [{"id": name, "name": indication_words(name)} for name in indications()],
                "choices": lists, "sizes": [{"name": name, "low": low * 1e3, "high": high * 1e3} for name, (low, high) in RANGES.items()],
                "examples": [{"name": name, "title": found.title, "about": found.about} for name, found in _examples().items()],
                "tissues": list(KEYS), "largest": maps.LARGEST}

    @api.get("/plan/examples/{example}")
    def example(example: Example, who: Who) -> dict[str, Any]:
        """An example case."""
        found = _examples().get(example)
        if found is None:
            raise Fault(404, "example", "there is no such example", got=example, allowed=", ".join(_examples()))
        return {"case": written(found)}

    @api.post("/plan/advice")
    def advice(body: AdviceBody, who: Who) -> dict[str, Any]:
        """Published levels for painful areas, the most fitting first."""
        return {"items": [{**asdict(one), "offset": f"{one.offset * 1e3:g} mm", "unverified": one.unverified}
                          for one in advise(body.areas, body.indication)]}

    @api.post("/plan/take")
    def take(body: TakeBody, who: Who) -> dict[str, Any]:
        """The case with its level and its first lead where a row of the levels says."""
        return {"case": _taken(body.case, body.target)}

    @api.post("/plan/scene", response_class=Response)
    def draw(body: SceneBody, who: Who) -> Response:
        """Surfaces of leads in their canal as Float32: for each its points (mm) and triangles; then heights and edges of the view from behind."""
        anatomy, leads = parts_of(body.case)
        found = scene.scene(anatomy, leads, body.tissues)
        numbers = found.placed.numbers + found.placed.stretch.level.numbers
        level = found.placed.stretch.level
        header: dict[str, Any] = {
            "surfaces": [{"name": one.name, "points": len(one.points), "triangles": len(one.triangles)} for one in found.surfaces],
            "low": found.low * 1e3, "high": found.high * 1e3, "heights": len(found.z), "edges": list(found.edges),
            "leads": [_told_lead(anatomy, shaft, lead, found.low) for shaft, lead in zip(found.placed.shafts, leads, strict=True)],
            "segment": level.cord.level, "vertebra": level.vertebra,
            "vertebrae": _spans(level.cord.vertebrae), "segments": _spans(level.cord.segments),
            "warnings": [*level.warnings, *found.placed.warnings], "numbers": _unverified(numbers)}
        header |= _whole(body.case)
        arrays = [part for one in found.surfaces for part in (one.points * 1e3, one.triangles)]
        arrays += [found.z * 1e3, *(edge * 1e3 for edge in found.edges.values())]
        return _floats(header, arrays)

    def _whole(case: dict[str, Any]) -> dict[str, Any]:
        """What the whole case says: its programs and whether its field is at hand, or what is wrong with it."""
        try:
            found = case_of(case)
        except BadInput as failure:
            return {"trouble": {"where": failure.where, "problem": failure.problem, "got": _plain(failure.got), "allowed": failure.allowed,
                                "hint": failure.hint}, "programs": [], "ready": []}
        numbers = list(range(1, found.contact_count + 1))
        programs = [{"name": row.name, "drive": [float(share) for share in row.drive(numbers)],
                     "mA": None if row.amplitude.current is None else row.amplitude.current * 1e3} for row in found.rows]
        ready = [name for name in ("fast", "standard", "reference") if bench.field_ready(found, name)]
        return {"trouble": None, "programs": programs, "ready": ready}

    @api.post("/plan/field")
    def field(body: FieldBody, who: Who) -> dict[str, Any]:
        """Solve the lead field of the case, as a piece of work; its result says how."""
        found = case_of(body.case)

        def work(progress: Any) -> dict[str, Any]:
            solved = bench.lead_field(found, body.accuracy, progress)
            canal = solved.canal
            return {"contacts": len(solved.contacts), "accuracy": body.accuracy, "warnings": [*canal.warnings, *solver_warnings(solved)],
                    "seconds": solved.notes.get("seconds", 0.0), "low": scene.heights_of(canal)[0] * 1e3, "high": scene.heights_of(canal)[1] * 1e3,
                    "numbers": _unverified(canal.numbers)}

        return told(jobs.start(who.session.person.id, work, "plan-field"))

    def at_hand(body: FieldBody) -> tuple[Case, LeadField]:
        found = case_of(body.case)
        if not bench.field_ready(found, body.accuracy):
            raise Fault(409, "field", "the field of this position is not computed yet", hint="compute it first")
        return found, bench.lead_field(found, body.accuracy)

    @api.post("/plan/surface", response_class=Response)
    def surface(body: FieldBody, who: Who) -> Response:
        """Potential (contacts, points) V/A of the points of cord and dura of the scene, as Float32."""
        found, solved = at_hand(body)
        drawn = [one for one in scene.scene(found.anatomy, found.leads).surfaces if one.name in ("cord", "dura")]
        values = scene.on_points(solved, np.concatenate([one.points for one in drawn]))
        header = {"contacts": list(solved.contacts), "surfaces": [{"name": one.name, "points": len(one.points)} for one in drawn], "unit": "V/A"}
        return _floats(header, [values])

    @api.post("/plan/slice", response_class=Response)
    def slice_(body: SliceBody, who: Who) -> Response:
        """Potential (V/A) and second difference along the spine (V/A/m2) of a plane, both (contacts, rows, columns), then outlines (mm); Float32."""
        _, solved = at_hand(body)
        try:
            found = scene.cut(solved, body.plane, body.at * 1e-3)
        except BadInput as failure:
            raise failure.at("") from None
        header = {"plane": found.plane, "at": body.at, "contacts": list(solved.contacts), "across": [found.across[0] * 1e3, found.across[-1] * 1e3,
                  len(found.across)], "up": [found.up[0] * 1e3, found.up[-1] * 1e3, len(found.up)], "step_mm": STEP * 1e3,
                  "lines": [{"name": name, "points": len(line)} for name, line in found.lines]}
        return _floats(header, [found.potential, found.second, *(line * 1e3 for _, line in found.lines)])

    @api.post("/plan/maps", openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": {
        "schema": {"type": "string", "format": "binary"}}}}})
    async def upload(request: Request, who: Who) -> dict[str, Any]:
        """Keep a label map (NIfTI); says which ids it holds."""
        content = await request.body()
        return await run_sync(kept.keep, content)

    @api.get("/plan/maps/{map}")
    def held(map: MapName, who: Who) -> dict[str, Any]:
        """Which ids a kept map holds."""
        return kept.summary(map)

    return api


def _examples() -> dict[str, Case]:
    folder = files("epidura") / "data" / "cases"
    return {path.name.removesuffix(".yaml"): cases.read(path.read_text("utf-8")) for path in sorted(folder.iterdir(), key=lambda one: one.name)
            if path.name.endswith(".yaml")}


def _catalogue(row: dict[str, str]) -> dict[str, Any]:
    """A lead of the catalogue, with how sure its dimensions are."""
    return {"id": row["id"], "kind": KIND_OF_TYPE[row["type"]], "name": f"{row['manufacturer']} {row['model']}", "contacts": int(row["contacts"]),
            "contact_mm": row["contact_length_mm"], "pitch_mm": row["pitch_mm"], "size": row["diameter_or_size_mm"], "evidence": row["evidence"],
            "unverified": row["evidence"] in UNVERIFIED, "source": row["source"], "note": row["notes"]}


def _taken(written_case: dict[str, Any], target: str) -> dict[str, Any]:
    """A case at the level of a row.

    Raises:
        BadInput: no such row, or a lead that cannot be there.
    """
    patient = written_case.get("patient") or {}
    areas = (patient.get("pain") or {}).get("areas") or table("pain_areas").column("id")
    advice = next((one for one in advise(areas, patient.get("indication")) if one.target == target), None)
    if advice is None:
        raise BadCase("target", "no level of this name speaks of the painful areas", got=target)
    anatomy, _ = parts_of(written_case)
    first: dict[str, Any] = dict(written_case["leads"][0])
    if advice.kind == "drg" and first.get("kind") != "drg":
        model = next(row["id"] for row in table("leads") if row["type"] == "DRG")
        side = "right" if all(area.startswith("right-") for area in advice.covers) else "left"
        first = {"kind": "drg", "model": model, "side": side, "tip_vertebra": advice.vertebra}
    elif advice.kind != "drg" and first.get("kind") == "drg":
        first = {"kind": "percutaneous", "model": "octrode", "tip_vertebra": advice.vertebra}
    lead: Lead = leads_.family.read({**first, "lateral": "0 mm", "angle": "0 deg"})
    opened = maps.opened(written_case)["anatomy"]
    moved = at_level(opened, advice.vertebra) if opened.get("kind", "parametric") == "parametric" else anatomy
    vertebra, offset = tip_for(moved, lead, advice.vertebra)
    first |= {"tip_vertebra": vertebra, "tip_offset": f"{offset * 1e3:g} mm"}
    if first.get("kind") != "drg":
        first |= {"lateral": f"{advice.offset * 1e3:g} mm", "angle": "0 deg"}
    named = {**written_case["anatomy"], "vertebra": advice.vertebra} if moved is not anatomy else written_case["anatomy"]
    return {**written_case, "anatomy": named, "leads": [first, *written_case["leads"][1:]]}


def _told_lead(anatomy: Anatomy, shaft: Shaft, lead: Lead, low: float) -> dict[str, Any]:
    """A placed lead for the view from behind, mm."""
    bottom = max(low, shaft.z_end) if shaft.z_end is not None else low
    z = np.array([bottom, shaft.z_tip]) if shaft.parallel else np.linspace(bottom, shaft.z_tip, 12)
    vertebra, offset = nearest_vertebra(anatomy, shaft.z_tip)
    half = shaft.radius if shaft.half_width is None else shaft.half_width

    def middle(contact: Contact) -> float:
        at = 0.5 * (contact.z0 + contact.z1)
        across = 0.0 if contact.left is None or contact.right is None else 0.5 * (contact.left + contact.right)
        return float((shaft.centre(np.array([at]))[0, 0] + across) * 1e3)

    course = np.round(np.column_stack([shaft.centre(z)[:, 0], z]) * 1e3, 3).tolist()
    return {"name": shaft.name, "course": course,
            "half": half * 1e3, "paddle": shaft.half_width is not None, "tip_vertebra": vertebra, "tip_offset": round(offset * 1e3, 3),
            "tip": shaft.z_tip * 1e3, "beside": lead.beside,
            "contacts": [{"number": c.number, "z0": c.z0 * 1e3, "z1": c.z1 * 1e3, "x": middle(c),
                          "half": (half if c.left is None or c.right is None else 0.5 * (c.right - c.left)) * 1e3} for c in shaft.contacts],
            "notes": list(lead.shape().notes), "numbers": _unverified(lead.shape().numbers)}


def _spans(spans: Sequence[Span]) -> list[dict[str, Any]]:
    return [{"name": span.name, "low": round(span.z0 * 1e3, 3), "high": round(span.z1 * 1e3, 3)} for span in spans]


def _unverified(numbers: Sequence[Number]) -> list[dict[str, Any]]:
    found = {number.name: number for number in numbers if number.unverified}
    return [{"name": name, "evidence": number.evidence, "source": number.source, "value": number.value, "unit": number.unit}
            for name, number in list(found.items())[:MOST_NUMBERS]]


def _plain(value: object) -> Any:
    return value if value is None or isinstance(value, int | float | str) else str(value)


def _floats(header: dict[str, Any], arrays: Sequence[Any]) -> Response:
    """Float32 numbers one after the other, and what they are as ASCII in ``X-Epidura``."""
    body = b"".join(np.ascontiguousarray(array, dtype="<f4").tobytes() for array in arrays)
    return Response(body, media_type="application/octet-stream", headers={"X-Epidura": json.dumps(header, ensure_ascii=True, allow_nan=False)})
