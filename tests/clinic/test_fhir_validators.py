"""Two validators that are not ours accept what we write, and refuse what was broken on purpose."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import fhir_people as people
import pytest

from epidura import fhir
from epidura.clinic.record import Record, new_id

HERE = Path(__file__).parent / "medplum"
PUBLISHED = Path(fhir.__file__).parent / "data" / "fhir"
CORE = Path(os.environ.get("EPIDURA_MEDPLUM", HERE)) / "node_modules" / "@medplum" / "core"

Found = list[tuple[str, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, dict]:
    """Bundles of a whole course: all, under a pseudonym, erased, to be posted; and everything else that is exported or published."""
    record, patient = Record.create(tmp_path_factory.mktemp("fhir") / "clinic.sqlite"), new_id()
    record.commit("nurse-1", patient, people.course())
    bundles = {"whole": fhir.bundle(record, patient), "transaction": fhir.bundle(record, patient, "transaction"),
               "pseudonym": fhir.bundle(record, patient, unsealed=False)}
    record.erase("admin", patient, "a court", "asked for")
    bundles["erased"] = fhir.bundle(record, patient)
    record.close()
    more = {"capability": fhir.capability_statement("http://localhost/fhir"), "outcome": fhir.operation_outcome(ValueError("x"))}
    return json.loads(json.dumps({**bundles, **more, **fhir.published()}))


def pyrofile(resource: dict) -> Found:
    """Severity and words of the issues of pyrofile-validator, which is given what we publish and no network."""
    from pyrofile_validator import Validator
    from pyrofile_validator.config import ValidatorConfig

    config = ValidatorConfig.load_dict({"fhirVersion": "4.0.1", "terminology": {"mode": "local"}, "localPackagePaths": [str(PUBLISHED)]})
    validator = Validator(config, max_external_references=10_000)  # by default it looks at 20 questionnaires and calls the others unresolved
    validator.external_reference_resolver = {each["url"]: each for each in fhir.questionnaires()}.get
    return [(issue.severity.value, f"{issue.code}: {issue.message}") for issue in validator.validate_resource(resource).issues]


def medplum(resources: dict[str, dict]) -> dict[str, Found]:
    """The same of @medplum/core, of many at once."""
    if shutil.which("node") is None or not CORE.is_dir():
        if os.environ.get("EPIDURA_NEEDS_MEDPLUM"):
            pytest.fail("node or @medplum/core is missing")
        pytest.skip("no node or no @medplum/core: 'npm install' in tests/clinic/medplum")
    script = CORE.parents[2] / "validate.mjs"
    if not script.exists() or script.read_text() != (HERE / "validate.mjs").read_text():
        shutil.copy(HERE / "validate.mjs", script)
    lines = "".join(json.dumps({"name": name, "resource": resource}) + "\n" for name, resource in resources.items())
    done = subprocess.run(["node", str(script), str(PUBLISHED)], input=lines, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return {each["name"]: [(issue["severity"], f"{issue['words']} at {issue['where']}") for issue in each["issues"]] for each in told}


def errors(found: Found) -> list[str]:
    return [words for severity, words in found if severity in ("error", "fatal")]


def test_pyrofile_accepts_everything_that_is_exported_and_published(made):
    for name, resource in made.items():
        found = pyrofile(resource)
        assert errors(found) == [], name
        if resource["resourceType"] == "Bundle":
            assert found == [], name


def test_medplum_accepts_everything_that_is_exported_and_published(made):
    found = medplum(made)
    assert set(found) == set(made)
    for name, issues in found.items():
        assert errors(issues) == [], name
        # it knows references as Type/id alone and warns of the urn:uuid that a Bundle has
        assert [words for _, words in issues if 'got "urn:uuid:' not in words] == [], name


def first(bundle: dict, kind: str, key: str = "resourceType") -> dict:
    return next(entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind and key in entry["resource"])


def program(bundle: dict) -> dict:
    return next(entry["resource"] for entry in bundle["entry"] if "meta" in entry["resource"])


FAULTS: dict[str, tuple[Callable[[dict], object], set[str]]] = {
    "a number where text has to be": (lambda b: first(b, "Condition")["code"].update(text=7), {"medplum"}),
    "a required element is missing": (lambda b: first(b, "Observation").pop("status"), {"pyrofile", "medplum"}),
    "one where a list has to be": (lambda b: first(b, "Patient").update(name={"family": "X"}), {"medplum"}),
    "a reference to a wrong type": (lambda b: first(b, "Condition")["subject"].update(reference="Device/1"), {"pyrofile"}),
    "a date that does not exist": (lambda b: first(b, "Patient").update(birthDate="1960-13-45"), {"medplum"}),
    "an unknown element": (lambda b: first(b, "Device").update(shoe="x"), {"pyrofile", "medplum"}),
    "a code outside a required value set": (lambda b: first(b, "Patient").update(gender="f"), {"pyrofile"}),
    "a choice taken twice": (lambda b: first(b, "Observation", "valueQuantity").update(valueString="x"), {"pyrofile"}),
    "a program without its frequency": (lambda b: program(b).update(component=[
        part for part in program(b)["component"] if part["code"]["coding"][0]["code"] != "frequency"]), {"pyrofile", "medplum"}),
    "a list where one has to be": (lambda b: first(b, "Condition").update(subject=[first(b, "Condition")["subject"]]), {"pyrofile", "medplum"}),
    "a word where true or false has to be": (lambda b: first(b, "Patient").update(active="yes"), {"pyrofile", "medplum"}),
    "a moment that is none": (lambda b: b.update(timestamp="yesterday"), {"pyrofile", "medplum"}),
    "an unknown kind of resource": (lambda b: first(b, "Device").update(resourceType="Gadget"), {"pyrofile", "medplum"}),
    "a program without its contacts": (lambda b: program(b).update(component=[
        part for part in program(b)["component"] if part["code"]["coding"][0]["code"] != "contact"]), {"pyrofile", "medplum"}),
    "a code that our code system lacks": (lambda b: first(b, "Device")["type"]["coding"][0].update(code="shoe"), {"pyrofile"}),
}
"""Fault -> how it is made, and which validators refuse it; docs/fhir.md prints the table."""


@pytest.mark.parametrize("name", FAULTS)
def test_pyrofile_refuses_a_seeded_fault(name, made):
    bundle = copy.deepcopy(made["whole"])
    FAULTS[name][0](bundle)
    assert bundle != made["whole"]
    assert bool(errors(pyrofile(bundle))) == ("pyrofile" in FAULTS[name][1]), name


def test_medplum_refuses_seeded_faults(made):
    broken = {name: copy.deepcopy(made["whole"]) for name in FAULTS}
    for name, bundle in broken.items():
        FAULTS[name][0](bundle)
    assert {name for name, found in medplum(broken).items() if errors(found)} == {name for name, (_, who) in FAULTS.items() if "medplum" in who}


def test_each_fault_is_refused_by_somebody_and_eight_by_both():
    assert all(who for _, who in FAULTS.values())
    assert sum(who == {"pyrofile", "medplum"} for _, who in FAULTS.values()) >= 8


def test_the_page_prints_the_table_of_faults():
    page = (Path(__file__).parents[2] / "docs" / "fhir.md").read_text()
    for name, (_, who) in FAULTS.items():
        marks = " | ".join("refused" if each in who else "not seen" for each in ("pyrofile", "medplum"))
        assert f"| {name} | {marks} |" in page
