"""Studies behind a page, without a browser: what may be asked for, what outlives a server, and who may do what."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from clinic.api_clinic import Clinic, wrong
from outcome.kill_cohort import quick, small

from epidura import case as cases
from epidura import cli_cohort, cohort_study, desk_studies
from epidura.api import security
from epidura.desk_studies import Busy, Studies, about, alive, examples, read
from epidura.errors import BadInput

pq = pytest.importorskip("pyarrow.parquet")

TEXT = yaml.safe_dump(small(batch=20), sort_keys=False)
SLEEPS = [sys.executable, "-c", "import time; time.sleep(120)"]


@pytest.fixture
def asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies whose process does nothing, for long."""
    monkeypatch.setattr(desk_studies, "command", lambda note: SLEEPS)


@pytest.fixture
def desk(tmp_path: Path):
    desk = Studies(tmp_path / "studies")
    yield desk
    for name in desk.names():
        desk.stop(name)


def test_shipped_studies_are_those_of_the_examples() -> None:
    folder = Path(__file__).parents[2] / "examples" / "studies"
    assert {each["id"] for each in examples()} == {path.stem for path in folder.glob("*.yaml")}
    for each in examples():
        assert read(each["text"]).decides() == cohort_study.read_study(folder / f"{each['id']}.yaml").decides()


def test_nothing_is_read_from_the_disk_of_the_server(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(TEXT)
    (tmp_path / "case.yaml").write_text(yaml.safe_dump(small()["case"]))
    for text in (str(tmp_path / "study.yaml"), yaml.safe_dump({**small(), "case": str(tmp_path / "case.yaml")}),
                 yaml.safe_dump({**small(), "case": {**small()["case"], "anatomy": {"kind": "labels", "file": str(tmp_path / "x.nii")}}})):
        with pytest.raises(BadInput, match=r"says nothing here|not a mapping|mapping"):
            read(text)


def test_around_a_draft_and_with_another_seed() -> None:
    draft = cases.read({**small()["case"], "title": "Draft"})
    found = read(TEXT, draft, 7)
    assert found.case.title == "Draft"
    assert found.seed == 7
    assert read(TEXT).seed == 1
    assert about(found)["runs"] == 2
    with pytest.raises(BadInput, match="no such program"):
        read(TEXT.replace("program: tonic", "program: tonik"))


@pytest.mark.usefixtures("asleep")
def test_a_study_outlives_its_server_and_can_be_stopped_by_another(desk: Studies, tmp_path: Path) -> None:
    note = desk.start(read(TEXT), 10, 1, "ada", "Ada")
    other = Studies(tmp_path / "studies")  # as after a restart
    told = other.told(note.id)
    assert told["state"] == "running"
    assert told["name"] == "Ada"
    assert told["words"] == "reading the study"
    (tmp_path / "studies" / note.id / "progress.json").write_text('{"words": "patients: 3 of 7 tasks", "share": 0.7}')
    assert (other.told(note.id)["words"], other.told(note.id)["share"]) == ("patients: 3 of 7 tasks", 0.7)
    other.stop(note.id)
    assert other.told(note.id)["state"] == "stopped"
    assert not alive(note.process, note.born)
    again = other.resume(note.id, "ada")
    assert again.process != note.process
    assert other.told(note.id)["state"] == "running"
    with pytest.raises(Busy):
        other.remove(note.id)
    other.stop(note.id)
    other.remove(note.id)
    assert other.all() == []
    with pytest.raises(KeyError):
        other.told(note.id)


@pytest.mark.usefixtures("asleep")
def test_one_a_person_and_two_a_server(desk: Studies) -> None:
    study = read(TEXT)
    desk.start(study, 10, 1, "ada")
    with pytest.raises(Busy, match="one of your studies"):
        desk.start(study, 10, 1, "ada")
    desk.start(study, 10, 1, "bea")
    with pytest.raises(Busy, match="2 studies"):
        desk.start(study, 10, 1, "cleo")
    for bad in ({"patients": 9}, {"patients": 10_001}, {"workers": 0}, {"workers": desk_studies.cores() + 1}):
        with pytest.raises(BadInput):
            desk.start(study, **{"patients": 10, "workers": 1, **bad}, owner="cleo")


def test_a_study_that_cannot_run_says_why_without_the_folder_of_the_server(desk: Studies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_studies, "command", lambda note: [
        sys.executable, "-c", "import os, sys; sys.exit('epidura: the disk is full at ' + os.getcwd())"])
    note = desk.start(read(TEXT), 10, 1, "ada")
    until = time.monotonic() + 20
    while (told := desk.told(note.id))["state"] == "running" and time.monotonic() < until:
        time.sleep(0.02)
    assert (told["state"], told["problem"]) == ("failed", "the disk is full at its folder")
    (desk.folder / note.id / "log.txt").write_text("")
    assert desk.told(note.id)["state"] == "interrupted"


def test_a_number_that_was_given_to_another_process_is_not_the_study() -> None:
    import os

    state, born = desk_studies._stat(os.getpid())
    assert alive(os.getpid(), born)
    assert not alive(os.getpid(), born + 1)
    assert state


def done(folder: Path, owner: str, run: bool = True) -> str:
    """A study that was run, in this process and on quick fields, as its own process would; ``run``: or was only asked for."""
    name = "0123456789abcdef"
    home = folder / "studies" / name
    home.mkdir(parents=True)
    (home / "asked.yaml").write_text(yaml.safe_dump(read(TEXT).model_dump(mode="json")))
    if run:
        with quick():
            cli_cohort.cohort(home / "asked.yaml", patients=10, resume=True, folder=home / "results", progress_file=home / "progress.json",
                              as_json=True)
    (folder / "studies" / name / "note.json").write_text(json.dumps({
        "id": name, "title": "Small study", "patients": 10, "workers": 1, "seed": 1, "owner": owner, "name": "A physician",
        "begun": "2026-06-01T08:00:00+00:00"}))
    return name


def test_results_are_opened_and_taken_along(tmp_path: Path) -> None:
    clinic = Clinic(tmp_path)
    name = done(tmp_path, clinic.ids["physician"])
    physician, researcher = clinic.browser("physician"), clinic.browser("researcher")
    told: dict[str, Any] = researcher.get("/cohorts").json()
    assert [(one["state"], one["mine"], "owner" in one) for one in told["studies"]] == [("done", False, False)]
    assert json.loads((tmp_path / "studies" / name / "progress.json").read_text())["share"] >= 0.95
    summary = physician.get(f"/cohorts/{name}/summary").json()
    assert summary["patients"] == 10
    assert summary["covariate_words"]["lateral"]
    report = physician.get(f"/cohorts/{name}/report")
    policy = report.headers["content-security-policy"]
    assert report.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert "sandbox allow-scripts" in policy
    assert "allow-same-origin" not in policy
    for file, mark in (("patients.parquet", b"PAR1"), ("visits.csv", b'"arm"'), ("study.yaml", b"title"), ("study.json", b"{")):
        answer = physician.get(f"/cohorts/{name}/files/{file}")
        assert answer.content.startswith(mark)
        assert "attachment" in answer.headers["content-disposition"]
    rows = physician.get(f"/cohorts/{name}/files/visits.csv").text.strip().split("\n")
    assert len(rows) == 1 + pq.read_table(tmp_path / "studies" / name / "results" / "visits.parquet").num_rows
    assert physician.get(f"/cohorts/{name}/files/note.json").status_code == 422
    assert physician.get(f"/cohorts/{'f' * 16}").status_code == 404
    assert physician.get("/cohorts/..%2f..%2fetc").status_code in (404, 422)
    assert wrong(researcher.ask("DELETE", f"/cohorts/{name}"), 403)["problem"] == "somebody else started this study"
    assert physician.ask("DELETE", f"/cohorts/{name}").status_code == 200
    assert physician.get("/cohorts").json()["studies"] == []


@pytest.mark.usefixtures("asleep")
def test_over_rest(tmp_path: Path) -> None:
    clinic = Clinic(tmp_path)
    physician, researcher = clinic.browser("physician"), clinic.browser("researcher")
    assert len(physician.get("/cohorts/examples").json()["examples"]) == 3
    assert physician.post("/cohorts/check", {"text": TEXT}).json()["runs"] == 2
    assert wrong(physician.post("/cohorts/check", {"text": TEXT.replace("failed-back-surgery", "failed")}), 422)["where"]
    assert physician.post("/cohorts", {"text": TEXT, "patients": 9}).status_code == 422
    made = physician.post("/cohorts", {"text": TEXT, "patients": 10}).json()
    try:
        assert made["state"] == "running"
        assert made["mine"]
        assert wrong(physician.post("/cohorts", {"text": TEXT, "patients": 10}), 409)["problem"].startswith("one of your studies")
        assert researcher.post(f"/cohorts/{made['id']}/stop").status_code == 403
        assert physician.get(f"/cohorts/{made['id']}/summary").status_code == 404
    finally:
        assert physician.post(f"/cohorts/{made['id']}/stop").json()["state"] == "stopped"
    for role in ("nurse", "administrator"):
        assert clinic.browser(role).get("/cohorts").status_code == 403


def test_watching_is_one_row_of_the_access_log_and_not_one_a_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clinic = Clinic(tmp_path)
    name = done(tmp_path, clinic.ids["physician"], run=False)
    physician, researcher, patient = clinic.browser("physician"), clinic.browser("researcher"), clinic.patient()

    def rows(path: str) -> list[tuple[str, int]]:
        return [(row["person"], row["status"]) for row in clinic.seen() if row["route"] == f"/api/v1{path}" and row["method"] == "GET"]

    for path, template in (("/cohorts", "/cohorts"), (f"/cohorts/{name}", "/cohorts/{study}")):
        for _ in range(5):
            for browser in (physician, researcher):
                assert browser.get(path).status_code == 200
            clinic.clock.go(seconds=59)
        one, other = (clinic.ids["physician"], 200), (clinic.ids["researcher"], 200)
        assert rows(template) == [one, other]
        clinic.clock.go(seconds=2)  # somebody who comes back later begins to watch again
        physician.get(path)
        assert rows(template) == [one, other, one]
        again = clinic.browser("physician")  # and so does a new session
        again.get(path)
        assert rows(template) == [one, other, one, one]
    # another study, what is refused, and what is of patients: a row each
    for _ in range(2):
        assert physician.get(f"/cohorts/{'0' * 16}").status_code == 404
        assert clinic.browser().get("/cohorts").status_code == 401
        assert physician.get(f"/patients/{patient}").status_code == 200
    assert [row[1] for row in rows("/cohorts/{study}")][-2:] == [404, 404]
    assert [row[1] for row in rows("/cohorts")][-2:] == [401, 401]
    assert rows("/patients/{patient}") == [(clinic.ids["physician"], 200)] * 2
    # a look that could not be written down is no beginning
    clinic.clock.go(minutes=2)
    with monkeypatch.context() as broken:
        broken.setattr(clinic.people, "saw", lambda *_: 1 / 0)
        wrong(physician.get("/cohorts"), 500)
    count = len(rows("/cohorts"))
    assert physician.get("/cohorts").status_code == 200
    assert len(rows("/cohorts")) == count + 1


def test_only_what_holds_nobodys_data_may_be_watched_without_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {("GET", path) for path in security.WATCHED} <= set(Clinic(tmp_path).app.state.rules)
    assert not any("{patient}" in path or "research" in path or "result" in path for path in security.WATCHED)
    monkeypatch.setattr(security, "MOST_WATCHED", 1)  # what is forgotten is written again
    (tmp_path / "other").mkdir()
    clinic = Clinic(tmp_path / "other")
    physician, researcher = clinic.browser("physician"), clinic.browser("researcher")
    for _ in range(2):
        physician.get("/cohorts")
        researcher.get("/cohorts")
    assert sum(row["route"] == "/api/v1/cohorts" for row in clinic.seen()) == 4


def test_research_says_what_is_told_and_what_is_not(tmp_path: Path) -> None:
    told = Clinic(tmp_path).browser("researcher").get("/research/fields").json()
    fields = {each["kind"]: each["fields"] for each in told["kinds"]}
    assert "birth_decade" in fields["patient.registered"]
    assert "serial" not in {name for names in fields.values() for name in names}
    assert all(each["why"] for each in told["left_out"])
