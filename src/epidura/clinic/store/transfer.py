"""A whole record as JSON lines that other programs read, and a record made from them.

A line is an event: ``seq, patient, version, kind, on, recorded, actor, request, previous, hash``, its open ``body``, and either ``private``
(what is kept under the patient's key, opened) or ``sealed: true`` where that stays closed or was erased.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from epidura.clinic import events, pathway
from epidura.clinic.pathway import Happened, State
from epidura.clinic.record import Record
from epidura.clinic.store import log, schema
from epidura.clinic.store.engine import WRITE
from epidura.clinic.store.log import Draft
from epidura.clinic.store.projection import rebuild
from epidura.clinic.store.vault import opened
from epidura.errors import BadInput

COMPUTED = ("score", "alerts")
"""Keys of a body that are computed when an event is written."""


def lines(record: Record, unsealed: bool = False) -> Iterator[str]:
    """Every event, in order.

    Args:
        unsealed: open what is kept under the patients' keys. The file then says who the patients are.
    """
    keys: dict[str, bytes | None] = {}
    with record.engine.connect() as connection:
        if unsealed:
            everybody = [row.patient for row in connection.execute(schema.secret.select())]
            keys = {patient: record.vault.key(connection, patient) for patient in everybody}
        for each in log.read(connection):
            body = each.content
            sealed = body.pop("sealed", None)
            told: dict[str, Any] = {"seq": each.seq, "patient": each.patient, "version": each.version, "kind": each.kind, "on": each.day,
                                    "recorded": each.recorded, "actor": each.actor, "request": each.request, "body": body}
            if sealed is not None:
                key = keys.get(each.patient)
                told |= {"private": opened(key, each.patient, sealed)} if key is not None else {"sealed": True}
            yield json.dumps({**told, "previous": each.previous, "hash": each.hash}, ensure_ascii=False)


def load(record: Record, given: Iterable[str]) -> int:
    """Make an empty record from exported lines: every event is checked by the pathway as if it were written now, and keeps its time.

    Names and words that were not opened in the export are gone; the hashes are new ones, since what is sealed is sealed anew.

    Returns:
        Events written.

    Raises:
        BadInput: the record is not empty, or a line is no event of an export; nothing is written then.
        Refused: an event that the pathway does not allow.
    """
    states: dict[str, State] = {}
    count = 0
    with record.engine.execution_options(**{WRITE: True}).begin() as connection:
        log.hold(connection)
        if connection.execute(schema.event.select().limit(1)).first() is not None:
            raise BadInput("store", "an import needs an empty record", hint="'epidura clinic init' makes one")
        drafts: list[Draft] = []
        moment = ""
        for number, text in enumerate(given, 1):
            if not text.strip():
                continue
            told = _line(text, number)
            if told["recorded"] != moment and drafts:
                log.append(connection, drafts, _moment(moment, number))
                drafts = []
            moment = told["recorded"]
            body = dict(told["body"])
            state = states.setdefault(told["patient"], pathway.blank())
            if told["version"] != state["version"] + 1:
                raise BadInput(f"line {number}", "events of this patient are missing or out of order", got=f"version {told['version']}",
                               allowed=str(state["version"] + 1))
            lacks = pathway.refusals(state, told["kind"], body, told["on"])
            if lacks:
                raise pathway.refuse(f"line {number} ({told['kind']})", state, lacks)
            if told.get("private"):
                body["sealed"] = record.vault.seal(connection, told["patient"], told["private"])
            elif told.get("sealed"):
                body["sealed"] = ""  # there was something, which is gone
            drafts.append(Draft(told["patient"], told["version"], told["kind"], told["on"], told["actor"],
                                json.dumps(body, ensure_ascii=False, separators=(",", ":"), sort_keys=True), told.get("request")))
            happened = Happened(told["version"], told["kind"], told["on"], body)
            if told["kind"] == "record.corrected":
                log.append(connection, drafts, _moment(moment, number))
                drafts = []
                states[told["patient"]] = pathway.replay(
                    Happened(each.version, each.kind, each.day, each.content) for each in log.read(connection, told["patient"]))
            else:
                pathway.fold(state, happened)
            if told["kind"] == "patient.erased":
                record.vault.throw_away(connection, told["patient"])
            count += 1
        if drafts:
            log.append(connection, drafts, _moment(moment, count))
        rebuild(connection)
    return count


def _line(text: str, number: int) -> Mapping[str, Any]:
    where = f"line {number}"
    try:
        told = json.loads(text)
    except ValueError:
        raise BadInput(where, "not JSON", got=text[:60].strip()) from None
    needed = {"patient": str, "version": int, "kind": str, "on": str, "recorded": str, "actor": str, "body": dict}
    if not isinstance(told, dict) or any(not isinstance(told.get(name), kind) for name, kind in needed.items()):
        raise BadInput(where, "not an event of an export", allowed=", ".join(needed))
    private = told.get("private")
    if told["kind"] == "patient.erased" and told["kind"] in events.kinds():
        return told
    if told["kind"] not in events.kinds():
        raise BadInput(f"{where}.kind", "there is no event of this kind", got=told["kind"])
    if not told.get("sealed"):  # one whose private part is gone is not whole any more
        whole = {key: value for key, value in told["body"].items() if key not in (*COMPUTED, "request", "open")}
        if told["kind"] == "record.corrected":
            right = told["body"].get("open")
            whole |= {"instead": events.join(right, (private or {}).get("instead") or {})} if right is not None else {}
            private = {key: value for key, value in (private or {}).items() if key != "instead"}
        try:
            events.read({**events.join(whole, private or {}), "kind": told["kind"], "on": told["on"]})
        except BadInput as error:
            raise error.at(where) from None
    return told


def _moment(text: str, number: int) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"line {number}.recorded", "not a time", got=text, allowed="such as 2026-05-03T08:00:00.000000Z") from None
