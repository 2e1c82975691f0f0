"""REST over the record: what each address answers, and how two who write at once are kept apart."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from api_clinic import V1, Browser, Clinic, password, wrong
from clinic_course import set_aside

from epidura.api.routes_patients import due_visits
from epidura.clinic import events as E
from epidura.clinic.record import new_id, pseudonym
from epidura.clinic.store.projection import differences

REGISTER = {"kind": "patient.registered", "on": "2026-05-01", "birth_year": 1960,
            "identity": {"family_name": "Muster", "given_name": "Eva", "birth_date": "1960-02-03"}}


@pytest.fixture
def clinic(tmp_path: Path) -> Clinic:
    return Clinic(tmp_path)


def note(words: str) -> dict[str, Any]:
    return {"events": [{"kind": "note.added", "on": "2026-05-02", "text": words}]}


def keyed(key: str, revision: int | None = None) -> dict[str, str]:
    return {"Idempotency-Key": key} | ({} if revision is None else {"If-Match": f'"{revision}"'})


def selected(clinic: Clinic) -> str:
    """A patient on the way to the trial stage, with the gates of the pathway set aside by the team."""
    patient = clinic.patient()
    clinic.record.commit("seed", patient, [E.Assessed.model_validate({"on": "2026-02-01", "findings": {"indication": "failed-back-surgery"}})])
    return patient


def test_registering_reading_and_writing(clinic: Clinic) -> None:
    nurse = clinic.browser("nurse")
    made = nurse.post("/patients", {"events": [REGISTER]}, headers=keyed("register-1"))
    assert made.status_code == 201, made.text
    patient = made.json()["id"]
    assert made.headers["location"] == f"{V1}/patients/{patient}"
    assert made.headers["etag"] == '"1"'
    read = nurse.get(f"/patients/{patient}")
    assert (read.headers["etag"], read.json()["state"]["stage"]) == ('"1"', "registered")
    assert nurse.get(f"/patients/{patient}/identity").json()["identity"]["family_name"] == "Muster"
    body = {"events": [{"kind": "referral.received", "on": "2026-05-02", "indication": "failed-back-surgery", "nrs": 7}]}
    done = nurse.post(f"/patients/{patient}/events", body, headers=keyed("refer-0001", 1))
    assert (done.status_code, done.json()["stage"], done.headers["etag"]) == (201, "referred", '"2"')
    row = clinic.record.timeline(patient)[-1]
    assert (row["kind"], row["actor"]) == ("referral.received", clinic.ids["nurse"])
    assert clinic.seen(patient=patient)[0]["route"] == f"{V1}/patients"  # the row of the registration says who was registered


def test_a_registration_that_is_sent_twice_makes_one_patient(either: Clinic) -> None:
    nurse = either.browser("nurse")
    first, second = (nurse.post("/patients", {"events": [REGISTER]}, headers=keyed("register-1")).json() for _ in range(2))
    assert (first["id"], first["repeated"], second["repeated"]) == (second["id"], False, True)
    assert len(either.record.patients()) == 1
    other = {**REGISTER, "identity": {**REGISTER["identity"], "family_name": "Other"}}
    assert "idempotency key" in wrong(nurse.post("/patients", {"events": [other]}, headers=keyed("register-1")), 422)["problem"]
    assert wrong(nurse.post("/patients", note("x"), headers=keyed("register-2")), 422)["where"] == "events[0].kind"
    colleague = either.browser("physician").post("/patients", {"events": [REGISTER]}, headers=keyed("register-1"))
    assert colleague.json()["id"] != first["id"]  # keys of two people never meet


def test_two_who_write_at_once(either: Clinic) -> None:
    """The second is told, and nothing of it is written."""
    patient = either.patient()
    nurse, physician = either.browser("nurse"), either.browser("physician")
    seen = nurse.get(f"/patients/{patient}").json()["state"]["revision"]
    assert nurse.post(f"/patients/{patient}/events", note("first"), headers=keyed("note-0001", seen)).status_code == 201
    late = wrong(physician.post(f"/patients/{patient}/events", note("second"), headers=keyed("note-0002", seen)), 412)
    assert "somebody else" in late["problem"]
    assert [row["body"].get("text") for row in either.record.timeline(patient)].count("second") == 0
    repeated = nurse.post(f"/patients/{patient}/events", note("first"), headers=keyed("note-0001", seen))
    assert repeated.json()["repeated"] is True  # though the revision is old by now
    assert wrong(nurse.post(f"/patients/{patient}/events", note("other"), headers=keyed("note-0001", seen)), 422)


def at_once(count: int, deed: Callable[[int], httpx.Response]) -> list[httpx.Response]:
    """What some clients get who ask in the same moment."""
    begin = threading.Barrier(count)

    def client(number: int) -> httpx.Response:
        begin.wait()
        return deed(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(client, range(count)))


def test_of_many_who_saw_the_same_one_writes(either: Clinic) -> None:
    patient = either.patient()
    path = f"/patients/{patient}/events"
    browsers = [either.browser(role, address=f"10.0.1.{number}") for number, role in enumerate(["nurse", "physician"] * 3)]
    for revision, after in ((3, 5), (5, 6)):  # the number of the last event but for the patient's own
        assert browsers[0].get(f"/patients/{patient}").headers["etag"] == f'"{revision}"'
        found = at_once(6, lambda number, revision=revision: browsers[number].post(
            path, note(f"{revision} of {number}"), headers=keyed(f"note-{revision}-by-{number}", revision)))
        assert sorted(each.status_code for each in found) == [201, *[412] * 5]
        winner = next(number for number, each in enumerate(found) if each.status_code == 201)
        assert found[winner].headers["etag"] == f'"{after}"'
        for each in found:
            if each.status_code == 412:
                assert wrong(each, 412)["allowed"] == f"revision {after}"
        assert either.record.timeline(patient)[-1]["body"]["text"] == f"{revision} of {winner}"
    assert either.record.state(patient)["version"] == 6
    assert either.record.verify().breaks == ()


def test_a_key_that_comes_many_times_at_once_is_written_once(either: Clinic) -> None:
    patient = either.patient()
    nurses = [either.browser("nurse", address=f"10.0.1.{number}") for number in range(6)]
    made = at_once(6, lambda number: nurses[number].post("/patients", {"events": [REGISTER]}, headers=keyed("register-at-once")))
    assert {each.status_code for each in made} == {201}
    assert sorted(each.json()["repeated"] for each in made) == [False, *[True] * 5]
    assert len({each.json()["id"] for each in made}) == 1
    assert len(either.record.patients()) == 2
    bodies = [note("this"), note("that")]
    found = at_once(6, lambda number: nurses[number].post(f"/patients/{patient}/events", bodies[number % 2], headers=keyed("note-at-once", 3)))
    written = next(number for number, each in enumerate(found) if each.status_code == 201 and not each.json()["repeated"])
    assert [each.status_code for each in found] == [201 if number % 2 == written % 2 else 422 for number in range(6)]
    assert either.record.state(patient)["version"] == 5
    assert either.record.timeline(patient)[-1]["body"]["text"] == bodies[written % 2]["events"][0]["text"]


def test_days_that_two_phones_send_at_once_are_written_once(either: Clinic) -> None:
    patient = either.patient()
    phones = [either.browser("patient", patient) for _ in range(4)]
    entries = [{"key": f"kept-day-{day}", "day": f"2026-05-{day}", "answers": {"worst": 5, "average": day - 20, "note": "rain"}}
               for day in (21, 22, 23)]
    found = at_once(4, lambda number: phones[number].post(f"/patients/{patient}/diary/sync", {"entries": entries}))
    states = [[each["state"] for each in one.json()["entries"]] for one in found]
    for k in range(3):
        assert sorted(each[k] for each in states) == ["repeated", "repeated", "repeated", "written"]
    assert [each["average"] for each in either.record.diary(patient, "2026-05-01")] == [1.0, 2.0, 3.0]
    assert either.record.state(patient)["version"] == 7
    with either.record.engine.connect() as connection:
        assert differences(connection) == ()


def test_if_match_is_asked_for_where_it_counts(clinic: Clinic) -> None:
    patient, nurse = clinic.patient(), clinic.browser("nurse")
    path = f"/patients/{patient}/events"
    assert wrong(nurse.post(path, note("x"), headers=keyed("note-0001")), 428)["where"] == "If-Match"
    assert wrong(nurse.post(path, note("x"), headers=keyed("note-0001") | {"If-Match": "*"}), 400)["where"] == "If-Match"
    day = {"events": [{"kind": "diary.recorded", "on": "2026-05-01", "worst": 5}]}
    assert nurse.post(path, day, headers=keyed("note-0002")).status_code == 201
    assert wrong(nurse.post(path, note("x")), 422)["where"] == "Idempotency-Key"
    assert wrong(nurse.post(path, note("x"), headers=keyed("short", 3)), 422)["where"] == "Idempotency-Key"


def test_all_events_of_a_request_or_none(either: Clinic) -> None:
    patient, nurse = either.patient(), either.browser("nurse")
    body = {"events": [*note("kept?")["events"], {"kind": "trial.begun", "on": "2026-05-02", "baseline_nrs": 7}]}
    error = wrong(nurse.post(f"/patients/{patient}/events", body, headers=keyed("both-0001", 3)), 409)
    assert error["missing"]
    assert "provisional implant" in error["missing"][0]
    assert either.record.state(patient)["version"] == 4
    unknown = {"events": [{"kind": "note.add", "on": "2026-05-02"}]}
    error = wrong(nurse.post(f"/patients/{patient}/events", unknown, headers=keyed("both-0002", 3)), 422)
    assert (error["where"], error["hint"]) == ("events[0].kind", "did you mean 'note.added'?")


def test_a_correction_is_an_event(either: Clinic) -> None:
    patient, nurse = either.patient(), either.browser("nurse")
    body = {"events": [{"kind": "record.corrected", "on": "2026-05-02", "version": 2, "why": "typo",
                        "instead": {"on": "2026-01-03", "indication": "crps"}}]}
    assert nurse.post(f"/patients/{patient}/events", body, headers=keyed("right-001", 3)).status_code == 201
    assert nurse.get(f"/patients/{patient}").json()["state"]["indication"] == "crps"


def test_unknown_patients(clinic: Clinic) -> None:
    nurse, nobody = clinic.browser("nurse"), "0" * 32
    for path in ("", "/identity", "/timeline", "/next", "/checklist", "/sign-off", "/verdict", "/visits", "/complications", "/diary"):
        assert wrong(nurse.get(f"/patients/{nobody}{path}"), 404)["problem"] == "no such patient"
    assert wrong(nurse.post(f"/patients/{nobody}/events", {"events": [REGISTER]}, headers=keyed("register-1", 0)), 404)
    assert wrong(nurse.get("/patients/not-an-id"), 422)["where"] == "patient"


def test_pages_of_a_list(clinic: Clinic) -> None:
    nurse, made = clinic.browser("nurse"), sorted(clinic.patient() for _ in range(5))
    found, after = [], ""
    while True:
        answer = nurse.get(f"/patients?limit=2&after={after}").json()
        found += [each["id"] for each in answer["items"]]
        if answer["next"] is None:
            break
        after = answer["next"]
    assert found == made
    assert nurse.get("/patients?stage=registered").json()["items"] == []
    assert wrong(nurse.get("/patients?stage=nowhere"), 422)["where"] == "stage"
    assert wrong(nurse.get("/patients?limit=1000"), 422)["where"] == "limit"
    events = nurse.get(f"/patients/{made[0]}/timeline?limit=3").json()
    assert [each["version"] for each in events["items"]] == [1, 2, 3]
    assert [each["version"] for each in nurse.get(f"/patients/{made[0]}/timeline?after={events['next']}").json()["items"]] == [4]


def test_what_may_come_next(clinic: Clinic) -> None:
    patient, nurse = clinic.patient(), clinic.browser("nurse")
    told = nurse.get(f"/patients/{patient}/next?kind=trial.begun").json()
    assert "assessment.recorded" in told["kinds"]
    assert "note.added" in told["kinds"]
    assert "trial.begun" not in told["kinds"]
    assert any("provisional implant" in each for each in told["missing"])
    for kind in E.kinds():
        assert nurse.get(f"/patients/{patient}/next?kind={kind}").status_code == 200
    assert wrong(nurse.get(f"/patients/{patient}/next?kind=nothing"), 422)


def test_checklist_and_sign_off(clinic: Clinic) -> None:
    patient, nurse = selected(clinic), clinic.browser("nurse")
    told = nurse.get(f"/patients/{patient}/checklist?jurisdiction=uk-nice").json()
    assert told["assessment"]["jurisdiction"] == "uk-nice"
    assert told["advice"]
    assert wrong(nurse.get(f"/patients/{patient}/checklist?jurisdiction=mars"), 422)
    clinic.record.commit("seed", patient, [E.Signed.model_validate(
        {"on": "2026-02-02", "member": {"name": "<script>alert(1)</script>", "role": "psychologist", "agrees": True}})])
    page = nurse.get(f"/patients/{patient}/sign-off")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text
    assert pseudonym(patient) in page.text
    assert "script-src" not in page.headers["content-security-policy"]
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "'unsafe-inline'" not in page.headers["content-security-policy"]


def test_the_verdict_of_a_trial(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    patient, nurse = selected(clinic), clinic.browser("nurse")
    monkeypatch.setattr("epidura.clinic.record.pathway.refusals", lambda *_: ())  # what comes before is tested with the pathway
    clinic.record.commit("seed", patient, [
        E.TrialBegun(on="2026-05-01", baseline_nrs=8), E.Diary(on="2026-05-02", worst=4, average=3), E.Diary(on="2026-05-03", worst=4, average=3),
        E.TrialEnded(on="2026-05-08", reported_relief=0.6)])
    told = nurse.get(f"/patients/{patient}/verdict").json()
    assert told["rule"] == "relief-50"
    assert (told["passed"], told["reported_relief"]) == (True, 0.6)
    assert told["calculated_relief"] == pytest.approx(0.5)  # from 6 to 3: the entry of January counts as a day before, not the 8 that was typed
    assert told["caveat"]["specificity"][0] == 8  # %
    assert wrong(nurse.get(f"/patients/{patient}/verdict?rule=none-such"), 422)


def test_visits_complications_and_recalls(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    patient, nurse = selected(clinic), clinic.browser("nurse")
    monkeypatch.setattr("epidura.clinic.record.pathway.refusals", lambda *_: ())
    clinic.record.commit("seed", patient, [
        E.LeadIn(on="2026-02-10", stage="trial", lead="left", model="pisces-quad", serial="AB100", level="T9"),
        E.TrialBegun(on="2026-02-10", baseline_nrs=8), E.TrialEnded(on="2026-02-17"), E.Judged(on="2026-02-18", succeeded=True),
        E.GeneratorIn(on="2026-03-01", model="own model", manufacturer="Medtronic", serial="G-7", site="abdomen"),
        E.Visited(on="2026-03-12", visit="wound"), E.Visited(on="2026-04-02", visit="unplanned"),
        E.Complicated.model_validate({"on": "2026-04-02", "name": "first", "complication": {
            "kind": "infection", "stage": "implant", "onset": "2026-04-01"}})])
    visits = {each["visit"]: each["state"] for each in nurse.get(f"/patients/{patient}/visits").json()["items"]}
    assert visits["wound"] == "done"
    assert "overdue" in visits.values()
    one, = nurse.get(f"/patients/{patient}/complications").json()["items"]
    assert (one["name"], one["complication"]["kind"]) == ("first", "infection")
    assert one["open"]
    recall = {"manufacturer": "Medtronic", "serials": ["AB100"], "on": "2026-05-01", "action": "look", "source": "notice 1"}
    told = nurse.post("/recalls/affected", {"recalls": [recall]}).json()["items"]
    assert [(each["patient"], each["part"], each["sure"]) for each in told if each["sure"]] == [(patient, "lead left", True)]
    assert "id" not in told[0]["device"]
    row, = nurse.get("/pathway/patients").json()["items"]
    assert row["overdue"]
    # the device is out: nothing is asked for any more, also where the pathway begins again; a next one has a schedule of its own
    clinic.record.commit("seed", patient, [E.Explanted(on="2026-05-20", reason="infection"), E.Referred(on="2026-05-25", indication="crps", nrs=7)])
    assert {each["state"] for each in nurse.get(f"/patients/{patient}/visits").json()["items"]} == {"done"}
    row, = nurse.get("/pathway/patients").json()["items"]
    assert (row["stage"], row["due"], row["overdue"]) == ("referred", [], [])
    state = clinic.record.state(patient) | {"implanted": "2026-05-28"}
    assert [each.state for each in due_visits(state, date(2026, 6, 11))][:2] == ["due", "due"]
    assert due_visits(state | {"died": "2026-06-01"}, date(2026, 6, 11)) == ()


def test_a_diary_by_phone(either: Clinic) -> None:
    """Days that were kept offline are written once, however often they are sent, also after a new link."""
    patient = either.patient()
    phone = either.browser("patient", patient)
    put = phone.put(f"/patients/{patient}/diary/2026-05-20", {"worst": 6, "note": "rain"}, headers=keyed("day-20-abc"))
    assert put.json()["repeated"] is False
    entries = [{"key": f"kept-day-{day}", "day": f"2026-05-{day}", "answers": {"worst": 5, "average": 4}} for day in (21, 22)]
    entries.append({"key": "kept-bad-1", "day": "2026-05-23", "answers": {"worst": 1, "average": 4}})
    entries.append({"key": "kept-day-9", "day": "2027-05-23", "answers": {"worst": 1}})
    first = phone.post(f"/patients/{patient}/diary/sync", {"entries": entries}).json()["entries"]
    assert [each["state"] for each in first] == ["written", "written", "refused", "refused"]
    assert "order" in first[2]["problem"]
    again = either.browser("patient", patient).post(f"/patients/{patient}/diary/sync", {"entries": entries[:2]}).json()["entries"]
    assert [each["state"] for each in again] == ["repeated", "repeated"]
    days = phone.get(f"/patients/{patient}/diary?first=2026-05-01").json()["items"]
    assert [(each["day"], each["worst"]) for each in days] == [("2026-05-20", 6.0), ("2026-05-21", 5.0), ("2026-05-22", 5.0)]
    assert either.record.state(patient)["revision"] == 3  # no other writer has to see a diary day
    assert wrong(phone.put(f"/patients/{patient}/diary/2026-05-20", {"worst": 11}, headers=keyed("day-20-abd")), 422)["where"] == "worst"


def test_links_to_a_diary(clinic: Clinic) -> None:
    patient, nurse = clinic.patient(), clinic.browser("nurse")
    made = nurse.post(f"/patients/{patient}/diary-links").json()
    assert made["path"] == f"/diary#{made['link']}"
    phone = Browser(clinic, "10.0.0.9")
    phone.csrf = phone.post("/diary-login", {"link": made["link"]}).json()["csrf"]
    assert phone.get("/me").json()["patient"] == patient
    assert wrong(Browser(clinic, "10.0.0.9").post("/diary-login", {"link": made["link"]}), 401)["got"] is None
    assert nurse.ask("DELETE", f"/patients/{patient}/diary-links").status_code == 204
    assert wrong(phone.get("/me"), 401)


def test_instruments(clinic: Clinic, tmp_path: Path) -> None:
    nurse, administrator = clinic.browser("nurse"), clinic.browser("administrator")
    kinds = {each["kind"]: each for each in nurse.get("/instruments").json()["items"]}
    assert kinds["phq-9"]["free"]
    assert not kinds["odi"]["free"]
    assert nurse.get("/instruments/odi/form").json()["x-text"] == "none"
    scored = nurse.post("/instruments/peg/score", {"answers": {"pain": 6, "enjoyment": 6, "activity": 6}}).json()
    assert any(value["number"] == 6 for value in scored["values"])
    assert wrong(nurse.post("/instruments/peg/score", {"answers": {"4": 6}}), 422)["where"]
    assert "did you mean" in wrong(nurse.get("/instruments/odl/form"), 404)["hint"]
    options = {str(number): f"answer {number}" for number in range(6)}
    text = {"instrument": "odi", "version": clinic_version("odi"), "language": "de", "options": options,
            "items": {key: {"text": f"Frage {key}"} for key in nurse.get("/instruments/odi/form").json()["x-order"]},
            "licence": {"holder": "Clinic", "number": "1", "until": "2027-01-01"}}
    assert administrator.put("/instruments/odi/text/de", text).status_code == 200
    assert nurse.get("/instruments/odi/form?language=de").json()["x-text"] == "uploaded"
    assert [path.name for path in (tmp_path / "texts").iterdir()] == ["odi.de.json"]
    assert (tmp_path / "texts" / "odi.de.json").stat().st_mode & 0o077 == 0
    assert wrong(administrator.put("/instruments/odi/text/fr", text), 422)["where"] == "language"
    assert wrong(administrator.put("/instruments/odi/text/de", {**text, "licence": None}), 422)["where"] == "licence"


def clinic_version(kind: str) -> str:
    from epidura.clinic import instruments

    return str(instruments.family.read({"kind": kind}).version)


def test_the_table_of_drugs_on_clotting(clinic: Clinic, tmp_path: Path) -> None:
    """Empty as it comes; filled and signed by a named physician; a changed row needs a new signature; the file only grows."""
    physician, nurse = clinic.browser("physician"), clinic.browser("nurse")
    rows = {each["drug"]: each for each in nurse.get("/anticoagulants").json()["items"]}
    assert {each["state"] for each in rows.values()} == {"empty"}
    drug = next(iter(rows))
    fill = {"stop_before": "12 h", "restart_after": "24 h", "source_read": "page 1"}
    sign = {"profession": "anaesthetist", "registration": "123", "review_by": "2027-01-01"}
    question = {"drugs": [drug], "procedure": "2026-06-10T09:00:00"}
    assert wrong(physician.post(f"/anticoagulants/{drug}/sign", {**sign, "row": "x"}), 422)
    filled = physician.put(f"/anticoagulants/{drug}", fill)
    assert filled.json()["state"] == "unsigned"
    assert nurse.post("/anticoagulants/plan", question).json()["items"][0]["state"] == "unsigned"
    assert wrong(physician.post(f"/anticoagulants/{drug}/sign", {**sign, "row": "another"}), 422)["where"] == "row"
    signed = physician.post(f"/anticoagulants/{drug}/sign", {**sign, "row": filled.json()["key"]}).json()
    assert (signed["state"], signed["signature"]["name"]) == ("signed", "A physician")
    assert nurse.post("/anticoagulants/plan", question).json()["items"][0]["last_dose"] == "2026-06-09T21:00:00"
    assert physician.put(f"/anticoagulants/{drug}", {**fill, "stop_before": "24 h"}).json()["state"] == "changed"
    file = tmp_path / "anticoagulants.jsonl"
    lines = file.read_text().splitlines()
    assert [json.loads(line)["deed"] for line in lines] == ["filled", "signed", "filled"]
    file.write_text("\n".join([lines[0].replace("page 1", "page 2"), *lines[1:]]) + "\n")
    assert wrong(nurse.get("/anticoagulants"), 503)
    assert wrong(physician.put("/anticoagulants/no-such-drug", fill), 404)["where"] == "drug"


def test_no_dates_are_planned_from_a_row_that_nobody_signed(clinic: Clinic) -> None:
    """The lock is the record's too: dates that somebody types are refused as long as the row of the drug is not signed."""
    patient, physician, nurse = clinic.patient(), clinic.browser("physician"), clinic.browser("nurse")
    clinic.record.commit("seed", patient, [
        E.Assessed.model_validate({"on": "2026-02-01", "findings": {"indication": "failed-back-surgery"}}),
        E.Selected(on=date(2026, 2, 2), decision="selected", despite=set_aside(), why="the fictional team sets it aside")])

    def planned(browser: Browser, what: dict[str, Any]) -> Any:
        headers = {"Idempotency-Key": new_id(), "If-Match": f'"{clinic.record.state(patient)["revision"]}"'}
        return browser.post(f"/patients/{patient}/events", {"events": [what]}, headers=headers)

    plan = {"kind": "procedure.planned", "on": "2026-05-01", "stage": "trial", "planning": {}, "drugs": ["warfarin"]}
    typed = plan | {"hold": {"warfarin": "last dose on Monday"}}
    assert "the row is empty" in wrong(planned(physician, typed), 409)["missing"][0]
    filled = physician.put("/anticoagulants/warfarin", {"stop_before": "12 h", "restart_after": "24 h", "source_read": "page 1"}).json()
    assert "the row is unsigned" in wrong(planned(physician, typed), 409)["missing"][0]
    assert planned(nurse, plan).status_code == 201  # that it is taken may be said; the procedure then waits for its dates
    physician.post("/anticoagulants/warfarin/sign", {"row": filled["key"], "profession": "anaesthetist", "registration": "123",
                                                     "review_by": "2026-07-01"})
    done = planned(nurse, typed)
    assert done.status_code == 201, done.text
    clinic.clock.go(days=60)
    nurse, physician = clinic.browser("nurse"), clinic.browser("physician")
    assert "the row is expired" in wrong(planned(nurse, typed), 409)["missing"][0]
    right = {"kind": "record.corrected", "on": "2026-07-20", "version": done.json()["version"], "why": "another level",
             "instead": {**typed, "planning": {"target_level": "T9"}}}
    assert planned(nurse, right).status_code == 201
    right["instead"] = {**typed, "hold": {"warfarin": "last dose on Tuesday"}}
    assert "the row is expired" in wrong(planned(nurse, right), 409)["missing"][0]
    other = plan | {"drugs": ["warfarine"], "hold": {"warfarine": "last dose on Monday"}}
    assert "did you mean 'warfarin'" in wrong(planned(nurse, other), 409)["missing"][0]
    assert planned(physician, other).status_code == 201


def test_a_program_is_checked(clinic: Clinic) -> None:
    nurse = clinic.browser("nurse")
    file = yaml.safe_load("""
format: epidura-program/1
title: tonic
programs:
- name: A
  waveform: {kind: tonic, frequency: 50 Hz, pulse_width: 300 us}
  contacts: {"3": -1, "5": 0.25, "6": 0.75}
  amplitude: 4 mA
""")
    told = nurse.post("/program/check", {"file": file, "generator": "proclaim-xr-5"})
    assert told.status_code == 200, told.text
    train = told.json()["programs"][0]["trains"][0]
    assert train["charge_per_phase_uC"] == {"3": pytest.approx(1.2), "5": pytest.approx(0.3), "6": pytest.approx(0.9)}  # 4 mA x 300 us
    assert "charge density" in told.json()["left_out"]
    file["programs"][0]["amplitude"] = "400 mA"
    over = nurse.post("/program/check", {"file": file, "generator": "proclaim-xr-5"}).json()["programs"][0]["violations"]
    assert any("amplitude" in each["where"] for each in over)
    file["programs"][0]["contacts"] = {"3": -1}
    assert wrong(nurse.post("/program/check", {"file": file}), 422)["where"] == "file.programs[0].contacts"
    assert wrong(nurse.post("/program/check", {"file": file, "generator": "none"}), 422)


def test_people_are_managed(clinic: Clinic) -> None:
    administrator = clinic.browser("administrator")
    new = {"name": "Bea", "login": "bea", "role": "nurse", "password": "five words that all differ"}
    made = administrator.post("/people", new)
    assert made.status_code == 201, made.text
    assert "password" not in made.text
    assert wrong(administrator.post("/people", new), 422)["where"] == "login"
    bea = Browser(clinic, "10.0.0.3")
    assert bea.login("bea", new["password"]).status_code == 200
    changed = bea.put("/me/password", {"old": new["password"], "new": "six other words that all differ"})
    assert changed.status_code == 204
    assert wrong(bea.get("/me"), 401)
    assert bea.login("bea", "six other words that all differ").status_code == 200
    assert administrator.put(f"/people/{made.json()['id']}/password", {"password": "a third one for all of us"}).status_code == 204
    assert wrong(bea.get("/me"), 401)
    assert administrator.post(f"/people/{made.json()['id']}/deactivate").status_code == 204
    assert wrong(bea.login("bea", "a third one for all of us"), 401)
    assert [each["active"] for each in administrator.get("/people").json()["items"] if each["login"] == "bea"] == [False]
    assert wrong(administrator.post(f"/people/{'0' * 32}/deactivate"), 404)
    assert wrong(administrator.post(f"/people/{clinic.ids['administrator']}/deactivate"), 422)
    vouched = {"name": "Cy", "login": "cy", "role": "nurse", "issuer": "https://issuer", "subject": "17"}
    assert administrator.post("/people", vouched).status_code == 201
    assert wrong(administrator.post("/people", {**vouched, "login": "dy", "issuer": None}), 422)["where"] == "subject"


def test_a_role_is_changed(clinic: Clinic) -> None:
    administrator, nurse = clinic.browser("administrator"), clinic.browser("nurse")
    patient, path = clinic.patient(), f"/people/{clinic.ids['nurse']}/role"
    assert wrong(nurse.put(path, {"role": "administrator"}), 403)["where"] == "role"
    for bad in ({"role": "patient"}, {"role": "owner"}, {}, {"role": "physician", "active": True}):
        assert wrong(administrator.put(path, bad), 422)
    assert nurse.get(f"/patients/{patient}").status_code == 200
    changed = administrator.put(path, {"role": "researcher"})
    assert (changed.status_code, changed.json()["role"], changed.json()["login"]) == (200, "researcher", "nurse")
    assert wrong(nurse.get(f"/patients/{patient}"), 401)
    assert nurse.login("nurse", password("nurse")).status_code == 200
    assert wrong(nurse.get(f"/patients/{patient}"), 403)["where"] == "role"
    mine = f"/people/{clinic.ids['administrator']}/role"
    assert "last administrator" in wrong(administrator.put(mine, {"role": "nurse"}), 422)["problem"]
    assert wrong(administrator.put(f"/people/{'0' * 32}/role", {"role": "nurse"}), 404)
    rows = [(row["method"], row["route"]) for row in clinic.seen(person=clinic.ids["administrator"]) if row["status"] == 200]
    assert rows[1:] == [  # after the login
        ("ROLE", f"{clinic.ids['nurse']}: nurse to researcher"), ("PUT", f"{V1}/people/{{person}}/role")]


def test_erasing_takes_everything_twice(clinic: Clinic) -> None:
    patient, administrator = clinic.patient(), clinic.browser("administrator")
    phone = clinic.browser("patient", patient)
    ask = {"authority": "court 7", "why": "on request", "pseudonym": pseudonym(patient), "password": password("administrator")}
    path = f"/patients/{patient}/erase"
    for name in ("authority", "why", "pseudonym", "password"):
        assert wrong(administrator.post(path, {key: value for key, value in ask.items() if key != name}), 422)["where"] == name
    assert wrong(administrator.post(path, {**ask, "pseudonym": "P-0000000000"}), 422)
    assert wrong(administrator.post(path, {**ask, "password": "wrong"}), 401)
    assert clinic.record.identity(patient) is not None
    done = administrator.post(path, ask)
    assert done.status_code == 200, done.text
    assert clinic.record.identity(patient) is None
    assert clinic.browser("nurse").get(f"/patients/{patient}/identity").json()["identity"] is None
    assert wrong(phone.get(f"/patients/{patient}/diary"), 401)
    assert administrator.get("/verify").json()["whole"] is True
    assert wrong(clinic.browser("nurse").post(f"/patients/{patient}/diary-links"), 409)


def test_the_access_log_is_read(clinic: Clinic) -> None:
    patient = clinic.patient()
    clinic.browser("nurse").get(f"/patients/{patient}")
    clinic.browser("researcher").get(f"/patients/{patient}")
    rows = clinic.browser("administrator").get(f"/access?patient={patient}").json()["items"]
    assert [(row["role"], row["status"], row["route"]) for row in rows] == [
        ("nurse", 200, f"{V1}/patients/{{patient}}"), ("researcher", 403, f"{V1}/patients/{{patient}}")]
    mine = clinic.browser("administrator").get(f"/access?person={clinic.ids['nurse']}").json()["items"]
    assert [row["route"] for row in mine] == [f"{V1}/login", f"{V1}/patients/{{patient}}"]


def test_lists(clinic: Clinic) -> None:
    nurse = clinic.browser("nurse")
    for path, key in (("jurisdictions", "id"), ("indications", "indication"), ("areas", "id"), ("leads", "id"), ("generators", "model"),
                      ("waveforms", "kind")):
        items = nurse.get(f"/{path}").json()["items"]
        assert len(items) > 3
        assert all(each[key] for each in items)
    angina, = (each for each in nurse.get("/indications?jurisdiction=uk-nice").json()["items"] if each["indication"] == "angina")
    assert "research" in json.dumps(angina)
    assert nurse.get("/clinic/overview").json()["today"] == "2026-06-01"


def test_what_a_server_without_folders_says(tmp_path: Path) -> None:
    from epidura.api import create_app
    from epidura.api.security import Policy

    clinic = Clinic(tmp_path)
    clinic.app = create_app(clinic.record, clinic.people, policy=Policy(("clinic",)))
    assert wrong(clinic.browser("nurse").get("/anticoagulants"), 409)["where"] == "anticoagulants"
    assert wrong(clinic.browser("administrator").put("/instruments/odi/text/en", {}), 409)["where"] == "text"


def test_pages(clinic: Clinic) -> None:
    page = Browser(clinic, "10.0.0.1").get("//")
    assert "/web/app.js" in page.text
    assert Browser(clinic, "10.0.0.1").get("//", headers={"If-None-Match": page.headers["etag"]}).status_code == 304
    assert "plotly" in Browser(clinic, "10.0.0.1").get("//web/plotly.min.js").text[:400]
    for outside in ("//web/../app.py", "//web/%2e%2e/app.py", "//web/rooms/", "//web/nothing.js"):
        assert wrong(Browser(clinic, "10.0.0.1").get(outside), 404)["where"] == "route"
    described = Browser(clinic, "10.0.0.1").get("/openapi.json").json()
    assert described["paths"][f"{V1}/patients/{{patient}}"]["get"]["responses"]["4XX"]
