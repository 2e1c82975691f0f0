"""The record as FHIR and back."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from datetime import date, timedelta
from importlib.resources import files

import fhir_people as people
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epidura import fhir
from epidura.clinic import events as ev
from epidura.clinic.pathway import Refused
from epidura.clinic.record import Record, Unknown, new_id, pseudonym
from epidura.errors import BadInput
from epidura.tables import EVIDENCE, table

COURSE = people.course()


@pytest.fixture(scope="module")
def clinics(tmp_path_factory) -> tuple[Record, Record]:
    folder = tmp_path_factory.mktemp("fhir")
    records = Record.create(folder / "here.sqlite"), Record.create(folder / "there.sqlite")
    yield records
    for record in records:
        record.close()


@pytest.fixture(scope="module")
def told(clinics) -> str:
    """A patient of the first clinic who went the whole way."""
    patient = new_id()
    for each in COURSE:
        clinics[0].commit("nurse-1", patient, [each])
    return patient


@pytest.fixture(scope="module")
def whole(clinics, told) -> str:
    return json.dumps(fhir.bundle(clinics[0], told))


@pytest.fixture
def there(tmp_path) -> Record:
    record = Record.create(tmp_path / "there.sqlite")
    yield record
    record.close()


def events_of(record: Record, patient: str) -> list[tuple]:
    return [(each["version"], each["kind"], each["on"], each["body"]) for each in record.timeline(patient)]


def of(bundle: dict, kind: str) -> list[dict]:
    return [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind]


def codes(value) -> set[tuple[str, str]]:
    """Every coding in a resource."""
    if isinstance(value, list):
        return {pair for each in value for pair in codes(each)}
    if not isinstance(value, dict):
        return set()
    own = {(value["system"], value["code"])} if {"system", "code"} <= value.keys() and "value" not in value else set()
    return own | {pair for each in value.values() for pair in codes(each)}


# round trips

def test_the_course_has_every_kind_of_event_that_can_be_written():
    assert {ev.kind_of(type(each)) for each in COURSE} == set(ev.kinds()) - {"patient.erased"}
    assert set(fhir._WRITES) == set(ev.kinds()) - {"patient.registered", "patient.identified", "patient.erased", "patient.died", "record.corrected"}


def test_a_whole_course_comes_back_equal(clinics, told, whole, there):
    done = fhir.load(there, "importer", json.loads(whole))
    assert (done.patient, done.events, done.repeated) == (told, len(COURSE), False)
    assert events_of(there, told) == events_of(clinics[0], told)
    assert there.state(told) == clinics[0].state(told)
    assert there.identity(told) == clinics[0].identity(told)
    assert there.diary(told) == clinics[0].diary(told)
    assert not there.verify().breaks
    again = fhir.bundle(there, told)
    for kind in fhir.TYPES:
        if kind != "Provenance":  # which names who imported, and the new chain
            assert of(again, kind) == of(json.loads(whole), kind)


def test_a_bundle_is_written_once_however_often_it_comes(clinics, told, whole, there):
    assert not fhir.load(there, "importer", json.loads(whole)).repeated
    before = there.verify()
    assert fhir.load(there, "importer", json.loads(whole)).repeated
    assert there.verify() == before
    with pytest.raises(Refused, match="in the record already"):
        fhir.load(clinics[0], "importer", json.loads(whole))


WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
NRS = st.floats(0, 10) | st.integers(0, 10)


@st.composite
def more_events(draw, after: date):
    """An event of any kind that a patient may have at any time, or in some stages; the pathway says which are possible."""
    on = after + timedelta(days=draw(st.integers(0, 40)))
    least, average, worst = sorted(draw(st.lists(NRS, min_size=3, max_size=3)))
    areas = draw(st.lists(st.sampled_from(ev.areas()), max_size=3, unique=True))
    fraction = st.none() | st.floats(-1, 1)
    amplitude = draw(st.sampled_from(["auto", "4.5 mA", "60 % of perception", "0.3333333333333333 of perception"]))
    program = people.program(draw(st.text(min_size=1, max_size=9)), amplitude=amplitude)
    return draw(st.sampled_from([
        lambda: ev.Noted(on=on, text=draw(WORDS), why=draw(WORDS)),
        lambda: ev.Diary(on=on, worst=worst, average=average, least=least, note=draw(WORDS), tingling=tuple(areas), slot=draw(WORDS),
                         medication=draw(st.none() | st.floats(0, 10))),
        lambda: ev.Visited(on=on, visit=draw(st.sampled_from(["month-1", "unplanned", " "])), nrs=average, reported_relief=draw(fraction),
                           index=draw(fraction), note=draw(WORDS)),
        lambda: ev.Answered(on=on, instrument={"kind": "nrs"}, answers={"average": draw(st.none() | st.integers(0, 10))}),
        lambda: ev.Referred(on=on, indication="crps", pain_areas=tuple(areas), nrs=draw(st.none() | NRS), referrer=draw(WORDS), question=draw(WORDS)),
        lambda: ev.Identified(on=on, identity=ev.Identity(family_name=draw(st.text(min_size=1, max_size=20)), given_name=draw(st.text(min_size=1)),
                                                          birth_date=date(1960, 1, 1), phone=draw(WORDS), address=draw(WORDS),
                                                          identifiers=draw(st.dictionaries(WORDS, WORDS, max_size=3)))),
        lambda: ev.Programmed(on=on, slot=draw(st.text(min_size=1, max_size=5)), program=program, perception_mA=draw(st.none() | st.floats(0, 100)),
                              impedances_ohm=draw(st.dictionaries(st.integers(0, 32), st.floats(0, 1e5), max_size=4)), covered=tuple(areas),
                              charge=draw(st.dictionaries(st.text(max_size=8), st.floats(-1e6, 1e6), max_size=3))),
        lambda: ev.LeadMoved(on=on, lead="left", level=draw(st.sampled_from(["T8", "T10", "?"])), how="migrated",
                             distance_mm=draw(st.none() | st.floats(0, 300))),
        lambda: ev.Complicated(on=on, name=draw(st.text(min_size=1, max_size=9)), complication=ev.Complication(
            kind="pocket-pain", stage="follow-up", onset=on, description=draw(WORDS),
            severity=draw(st.none() | st.sampled_from(["mild", "severe"])))),
        lambda: ev.Discharged(on=on, overnight=draw(st.booleans())),
        lambda: ev.Explanted(on=on, reason=draw(st.sampled_from(["infection", "wish", "other"]))),
        lambda: ev.Corrected(on=on, version=draw(st.integers(2, 60)), why="wrong"),
        lambda: ev.Corrected(on=on, version=draw(st.integers(2, 60)), why="wrong", instead={"on": on.isoformat(), "text": draw(WORDS)}),
        lambda: ev.Corrected(on=on, version=draw(st.integers(2, 60)), why="wrong", instead={"on": on.isoformat(), "worst": 9, "note": draw(WORDS)}),
        lambda: ev.Died(on=on),
    ]))()


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_course_that_the_pathway_allows_comes_back_equal(clinics, data):
    here, there = clinics
    patient, cut = new_id(), data.draw(st.integers(1, len(COURSE)))
    here.commit("nurse-1", patient, COURSE[:cut])
    for _ in range(data.draw(st.integers(0, 12))):
        with suppress(BadInput):
            here.commit(data.draw(WORDS), patient, [data.draw(more_events(COURSE[cut - 1].on))])
    made = fhir.bundle(here, patient)
    done = fhir.load(there, "importer", json.loads(json.dumps(made)))
    assert done.patient == patient
    assert events_of(there, patient) == events_of(here, patient)
    assert there.state(patient) == here.state(patient)
    assert there.identity(patient) == here.identity(patient)
    fhir.checked(fhir.bundle(here, patient, "transaction"))
    fhir.checked(fhir.bundle(here, patient, unsealed=False))


def test_a_correction_may_be_of_an_event_that_is_written_with_it(there):
    patient = new_id()
    there.commit("n", patient, [people.registered(), ev.Referred(on=people.day(1), indication="crps"),
                                ev.Corrected(on=people.day(2), version=2, why="wrong", instead={"on": people.day(1).isoformat(),
                                                                                              "indication": "failed-back-surgery"})])
    assert there.state(patient)["indication"] == "failed-back-surgery"
    with pytest.raises(Unknown):
        there.commit("n", patient, [ev.Noted(on=people.day(3), text="a"), ev.Corrected(on=people.day(3), version=6, why="wrong")])


# what is in a bundle

def test_the_words_of_an_event_are_in_natural_resources(clinics, told, whole):
    made = json.loads(whole)
    (patient,) = of(made, "Patient")
    assert patient["name"] == [{"use": "official", "family": "Exempla-Nova", "given": ["Ada"]}]
    assert patient["deceasedDateTime"] == people.day(700).isoformat()
    assert {"system": fhir.PSEUDONYM, "value": pseudonym(told), "use": "secondary"} in patient["identifier"]
    averages = [each for each in of(made, "Observation") if ("http://loinc.org", "72514-3") in codes(each["code"])
                and each["id"].endswith("pain-average") and each["valueQuantity"]["value"] == 3.5]
    assert len(averages) == 6  # of seven days one was struck out
    assert {each["valueQuantity"]["code"] for each in averages} == {"{score}"}
    assert [each["status"] for each in of(made, "Device")] == ["inactive"] * 4
    assert of(made, "Device")[0]["udiCarrier"] == [{"carrierHRF": "(01)00643169007222"}]
    assert {each["status"] for each in of(made, "Consent")} == {"active"}
    (condition,) = of(made, "Condition")
    assert condition["code"]["coding"][0]["code"] == "failed-back-surgery"  # as corrected
    (event,) = of(made, "AdverseEvent")
    assert event["outcome"]["coding"][0]["code"] == "recovering"
    assert event["suspectEntity"][0]["instance"]["reference"].startswith("urn:uuid:")
    assert len(of(made, "Provenance")) == len(COURSE)
    first = of(made, "Provenance")[0]
    assert first["agent"][0]["who"]["display"] == "nurse-1"
    assert fhir._ours(first, fhir.HASH) == clinics[0].timeline(told)[0]["hash"]
    (phq,) = [each for each in of(made, "Observation") if ("http://loinc.org", "44261-6") in codes(each)]
    assert phq["valueQuantity"]["value"] == 17


def test_every_reference_leads_to_a_resource_of_the_bundle(whole):
    made = json.loads(whole)
    there = {entry["fullUrl"] for entry in made["entry"]}
    assert len(there) == len(made["entry"])
    wanted = set()
    fhir._refer(made, lambda text: wanted.add(text) or text)
    assert wanted
    assert wanted <= there


def test_a_program_has_the_profile_and_its_numbers(whole):
    first, second = [each for each in of(json.loads(whole), "Observation") if each.get("meta", {}).get("profile") == [fhir.PROFILE]]
    parts = [(part["code"]["coding"][-1]["code"], part) for part in first["component"]]
    contacts = {fhir._ours(part, fhir.CONTACT): part["valueQuantity"]["value"] for name, part in parts if name == "contact"}
    assert contacts == {3: -1, 4: 0.5, 5: 0.5}
    number = {name: part["valueQuantity"] for name, part in parts if "valueQuantity" in part}
    assert (number["amplitude"]["value"], number["amplitude"]["code"]) == (4.2, "mA")
    assert (number["pulse-width"]["value"], number["pulse-width"]["code"]) == (300, "us")
    assert (number["frequency"]["value"], number["perception"]["value"], number["discomfort"]["value"]) == (50, 2.1, 6)
    assert len(first["focus"]) == 2
    trains = {fhir._ours(part, fhir.TRAIN) for part in second["component"]} - {None}
    assert trains == {1, 2}
    assert {fhir._ours(part, fhir.CONTACT) for part in second["component"] if fhir._ours(part, fhir.TRAIN) == 2} == {None, 0, 1}


def test_codes_are_verified_or_our_own(whole):
    verified = {(row["system"], row["code"]) for row in table("fhir_codes") if row["evidence"] == "read"}
    own = {fhir.system(name): {each["code"] for each in fhir.code_system(name)["concept"]} for name in fhir.SYSTEMS}
    used = codes(json.loads(whole)["entry"])
    assert {pair for pair in used if pair[0].startswith(fhir.BASE)}
    for system, code in used:
        if system.startswith(fhir.BASE):
            assert code in own[system], (system, code)
        else:
            assert (system, code) in verified or system.startswith(fhir.TERMS) or system == fhir.UCUM, (system, code)


def test_the_table_of_codes_says_where_each_was_read():
    for row in table("fhir_codes"):
        assert row["evidence"] in EVIDENCE
        assert row["source"]
        assert (row["system"] == "own") == (row["evidence"] == "judgement")
    used = {row["concept"] for row in table("fhir_codes")}
    assert used == {row["concept"] for row in table("fhir_codes") if row["system"] == "own"}  # an own code stands beside every other


# who the patient is not

def strings(value) -> set[str]:
    if isinstance(value, dict):
        return {text for each in value.values() for text in strings(each)}
    return {text for each in value for text in strings(each)} if isinstance(value, list) else {value} if isinstance(value, str) else set()


SECRETS = ("Exempla", "Ada", "1960-02-29", "H 12/7", "example.org", "Sample Lane", "her brother", "Ann Other", "Can it help", "good day", "not bold",
           "content\"")


def test_a_bundle_under_a_pseudonym_says_no_name_and_no_free_word(clinics, told):
    made = fhir.bundle(clinics[0], told, unsealed=False)
    text = json.dumps(made, ensure_ascii=False)
    assert [word for word in SECRETS if word in text] == []
    assert [word for word in SECRETS if word in json.dumps(fhir.bundle(clinics[0], told), ensure_ascii=False)]
    (patient,) = of(made, "Patient")
    assert patient["name"] == [{"extension": [{"url": fhir.ABSENT, "valueCode": "masked"}]}]
    assert patient["birthDate"] == "1960"
    assert [each["value"] for each in patient["identifier"]] == [pseudonym(told)]
    with pytest.raises(BadInput, match="does not say who"):
        fhir.load(clinics[1], "importer", made)


def test_an_erased_patient_stays_erased(there):
    patient = new_id()
    there.commit("nurse-1", patient, COURSE[:26])
    there.erase("admin", patient, "a court", "asked for")
    made = fhir.bundle(there, patient)
    text = json.dumps(made, ensure_ascii=False)
    assert [word for word in SECRETS if word in text] == []
    assert of(made, "Patient")[0]["name"][0]["extension"][0]["valueCode"] == "masked"
    assert len(of(made, "Provenance")) == 27
    with pytest.raises(BadInput, match="does not say who"):
        fhir.load(there, "importer", made)


# bundles that were changed

def _first(made: dict, kind: str) -> dict:
    return of(made, kind)[0]


CHANGES = {
    "a number": (lambda made: next(each for each in of(made, "Observation") if "valueQuantity" in each)["valueQuantity"].update(value=1.25),
                 "do not say"),
    "a name": (lambda made: _first(made, "Patient")["name"][0].update(family="Other"), "Patient/"),
    "a resource more": (lambda made: made["entry"].append({"resource": {"resourceType": "Basic", "code": {"text": "x"}}}), "Basic/"),
    "a resource twice": (lambda made: made["entry"].append(copy.deepcopy(made["entry"][2])), "entry 1"),
    "a resource less": (lambda made: made["entry"].pop(2), "do not say"),
    "a profile less": (lambda made: next(each for each in of(made, "Observation") if "meta" in each).pop("meta"), "program"),
    "an event less": (lambda made: made["entry"].remove(next(e for e in made["entry"] if e["resource"]["id"].endswith(".4.provenance"))), "missing"),
    "an event twice": (lambda made: made["entry"].append(next(e for e in made["entry"] if e["resource"]["id"].endswith(".4.provenance"))), "doubled"),
    "an event broken": (lambda made: _first(made, "Provenance")["extension"][0].update(valueString="{"), "cannot be read"),
    "an event of no kind": (lambda made: _first(made, "Provenance")["activity"]["coding"][0].update(code="x"), "cannot be read"),
    "a hash that is none": (lambda made: of(made, "Provenance")[-1]["extension"][1].update(valueString="x"), "cannot be read"),
    "an event with an unknown field": (lambda made: _first(made, "Provenance")["extension"][0].update(valueString='{"shoe": 1}'), "event 1"),
    "two patients": (lambda made: made["entry"].append({"resource": {"resourceType": "Patient"}}), "2 Patient"),
    "no bundle": (lambda made: (made.clear(), made.update(resourceType="Patient")), "takes a Bundle"),
    "no resource": (lambda made: made.update(resourceType="Shoe"), "no resource of FHIR"),
    "an unknown element": (lambda made: _first(made, "Patient").update(shoe=1), "shoe"),
    "half a letter": (lambda made: _first(made, "Patient")["name"][0].update(family="\ud800"), "not JSON"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_bundle_that_was_changed_is_refused_and_nothing_is_written(name, whole, there):
    made = json.loads(whole)
    change, words = CHANGES[name]
    change(made)
    with pytest.raises(BadInput, match=words):
        fhir.load(there, "importer", made)
    assert there.verify().events == 0


@pytest.mark.parametrize("value", [None, 3, [], {}, {"resourceType": 3}, {"resourceType": "Bundle"}, {"resourceType": "Bundle", "type": "collection",
                                                                                                      "entry": 4}])
def test_what_is_no_bundle_is_refused(value, there):
    with pytest.raises(BadInput):
        fhir.load(there, "importer", value)


def test_what_a_server_adds_is_no_change(whole, there):
    made = json.loads(whole)
    for entry in made["entry"]:
        entry["resource"].setdefault("meta", {}).update(versionId="1", lastUpdated="2026-01-01T00:00:00Z")
    assert fhir.load(there, "importer", made).events == len(COURSE)


# bundles of others

def foreign() -> dict:
    def entry(**resource) -> dict:
        return {"resource": resource}

    subject = {"reference": "Patient/1"}
    pain = {"coding": [{"system": "http://loinc.org", "code": "72514-3"}]}
    return {"resourceType": "Bundle", "type": "collection", "entry": [
        entry(resourceType="Patient", id="1", name=[{"family": "Beispiel", "given": ["Eva", "B."]}], birthDate="1971-03-04", gender="female",
              identifier=[{"system": "urn:oid:1.2.3", "value": "77"}], maritalStatus={"text": "married"},
              address=[{"line": ["Weg 1"], "city": "Ort"}]),
        entry(resourceType="Condition", id="2", subject=subject, recordedDate="2025-01-02",
              code={"coding": [{"system": fhir.system("indication"), "code": "crps"}]}),
        entry(resourceType="Condition", id="3", subject=subject, recordedDate="2025-01-02",
              code={"coding": [{"system": "http://snomed.info/sct", "code": "1"}]}),
        entry(resourceType="Observation", id="4", status="final", subject=subject, effectiveDateTime="2025-01-05T08:00:00Z", code=pain,
              valueInteger=7),
        entry(resourceType="Observation", id="5", status="final", subject=subject, effectiveDateTime="2025-01-05", code=pain, valueInteger=6),
        entry(resourceType="Observation", id="6", status="final", subject=subject, effectiveDateTime="2025-01-06", code=pain,
              valueQuantity={"value": 14}),
        entry(resourceType="Observation", id="7", status="entered-in-error", subject=subject, effectiveDateTime="2025-01-07", code=pain,
              valueInteger=2),
        entry(resourceType="Observation", id="8", status="final", subject=subject, effectiveDateTime="2025-01-07", code={"text": "heart rate"},
              valueInteger=70),
        entry(resourceType="QuestionnaireResponse", id="9", status="completed", subject=subject, authored="2025-01-08",
              questionnaire=f"{fhir.BASE}Questionnaire:odi", item=[{"linkId": str(k), "answer": [{"valueInteger": 2}]} for k in range(1, 11)]),
        entry(resourceType="MedicationStatement", id="10", status="active", subject=subject, medicationCodeableConcept={"text": "x"})]}


def test_a_bundle_of_others_is_taken_as_far_as_it_maps_and_the_rest_is_named(there):
    done = fhir.load(there, "importer", foreign())
    assert there.identity(done.patient) == {"family_name": "Beispiel", "given_name": "Eva B.", "birth_date": "1971-03-04", "address": "Weg 1, Ort",
                                            "identifiers": {"urn:oid:1.2.3": "77"}}
    state = there.state(done.patient)
    assert (state["stage"], state["indication"]) == ("referred", "crps")
    assert [(each["day"], each["average"]) for each in there.diary(done.patient)] == [("2025-01-05", 7)]
    assert [each["kind"] for each in there.timeline(done.patient)] == ["patient.registered", "referral.received", "diary.recorded",
                                                                   "instrument.answered"]
    assert there.timeline(done.patient)[3]["body"]["score"] == {"total": 40}
    issues = done.outcome["issue"]
    fhir.checked(done.outcome)
    places = {issue["expression"][0] for issue in issues if "expression" in issue}
    assert places == {"Patient.maritalStatus", "Bundle", *(f"Bundle.entry[{k}].resource" for k in (2, 4, 6, 7, 9))}
    assert any("2025-01-06" in issue["diagnostics"] and "14" in issue["diagnostics"] for issue in issues)
    assert fhir.load(there, "importer", foreign()).patient == done.patient  # once


def test_a_patient_without_a_name_is_nobody(there):
    made = foreign()
    del made["entry"][0]["resource"]["name"]
    with pytest.raises(BadInput, match="family name"):
        fhir.load(there, "importer", made)


def test_a_changed_bundle_of_ours_can_be_read_by_its_resources_alone(whole, there):
    made = json.loads(whole)
    _first(made, "Patient")["name"][0]["family"] = "Other"
    done = fhir.load(there, "importer", made, foreign=True)
    assert there.identity(done.patient)["family_name"] == "Other"
    assert there.state(done.patient)["indication"] == "failed-back-surgery"
    assert len(there.diary(done.patient)) >= 6
    kinds = {resource["resourceType"] for resource in (entry["resource"] for entry in made["entry"])}
    text = json.dumps(done.outcome)
    assert all(kind in text for kind in kinds - {"Patient", "Condition", "Observation", "QuestionnaireResponse"})


# what is published, and errors

def test_published_files_are_what_the_tables_say():
    folder = files("epidura") / "data" / "fhir"
    made = fhir.published()
    assert {path.name for path in folder.iterdir()} == set(made)
    for name, resource in made.items():
        fhir.checked(resource)
        assert json.loads((folder / name).read_text(encoding="utf-8")) == resource, f"{name}: make it anew"


def test_every_kind_and_instrument_has_its_code():
    assert {each["code"] for each in fhir.code_system("event")["concept"]} == set(ev.kinds())
    assert fhir.code_system("concept")["count"] == len(fhir.code_system("concept")["concept"])
    for name in fhir.SYSTEMS:
        found = [each["code"] for each in fhir.code_system(name)["concept"]]
        assert len(found) == len(set(found))
        assert all(fhir._code(code) == code for code in found)


def test_errors_as_outcomes():
    refused = Refused("x", "y")
    refused.missing = ("a consent", "a plan")
    assert [issue["diagnostics"] for issue in fhir.operation_outcome(refused)["issue"]] == ["a consent", "a plan"]
    assert fhir.operation_outcome(Unknown("patient", "no such patient"))["issue"][0]["code"] == "not-found"
    assert fhir.operation_outcome(BadInput("a", "wrong"))["issue"][0]["code"] == "invalid"
    assert "secret" not in json.dumps(fhir.operation_outcome(RuntimeError("secret")))
    fhir.checked(fhir.capability_statement("http://localhost/fhir"))
    assert {each["type"] for each in fhir.capability_statement()["rest"][0]["resource"]} == set(fhir.TYPES)


def test_bundle_of_nobody_and_ids_that_fhir_does_not_take(there):
    with pytest.raises(Unknown):
        fhir.bundle(there, "nobody")
    with pytest.raises(BadInput, match="collection, transaction"):
        fhir.bundle(there, "nobody", "message")
    for wrong in ("", "a.b", "ä", "a" * 33):
        with pytest.raises(BadInput, match="FHIR takes no such id"):
            fhir.fhir_id(wrong)


def test_all_patients(there):
    for number in range(3):
        there.commit("n", f"p{number}", [people.registered()])
    assert [of(each, "Patient")[0]["id"] for each in fhir.bundles(there)] == ["p0", "p1", "p2"]
