"""The commands ``epidura clinic user``, ``demo`` and ``report``, and a record that is encrypted at rest through all that copies it."""

from __future__ import annotations

import csv
import json

import pytest
from argon2 import PasswordHasher
from clinic_course import NAME, course, write

from epidura.clinic import views
from epidura.clinic.people import NotIn, People
from epidura.clinic.record import Record, pseudonym

GOOD = "four fictional words together"


@pytest.fixture(autouse=True)
def _cheap(monkeypatch):
    """Hashes of passwords that take no time."""
    monkeypatch.setattr("epidura.clinic.people.PasswordHasher", lambda: PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def test_user_adds_and_lists_who_logs_in(here, tmp_path, monkeypatch):
    monkeypatch.setenv("EPIDURA_CLINIC", str(tmp_path / "c.sqlite"))
    monkeypatch.setenv("EPIDURA_USER_PASSWORD", GOOD)
    assert here("clinic", "user").returncode == 2  # no record yet
    here("clinic", "init")
    assert here("clinic", "user", "Nina", "--name", "Nina N").stdout == "added: nina (nurse)\n"
    assert here("clinic", "user", "ada", "--role", "administrator").stdout == "added: ada (administrator)\n"
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in here("clinic", "user").stdout.splitlines() if line.startswith("│")]
    assert sorted(rows) == [["ada", "ada", "administrator", "yes"], ["nina", "Nina N", "nurse", "yes"]]
    for words, arguments in (("taken", ("nina",)), ("nobody is given this role", ("paul", "--role", "patient")), ("no login", ("two words",))):
        refused = here("clinic", "user", *arguments)
        assert (refused.returncode, words in refused.stderr) == (2, True)
    monkeypatch.setenv("EPIDURA_USER_PASSWORD", "short")
    short = here("clinic", "user", "paul")
    assert (short.returncode, "15 to 200 characters" in short.stderr, "short" in short.stdout) == (2, True, False)
    record = Record.open(tmp_path / "c.sqlite")
    people = People(record.engine)
    assert people.login("nina", GOOD).person.name == "Nina N"
    with pytest.raises(NotIn):
        people.login("paul", "short")
    record.close()


def test_user_asks_for_a_password_and_takes_none_from_the_command_line(here, tmp_path, monkeypatch):
    monkeypatch.setenv("EPIDURA_CLINIC", str(tmp_path / "c.sqlite"))
    monkeypatch.delenv("EPIDURA_USER_PASSWORD", raising=False)
    here("clinic", "init")
    asked: list[tuple[str, bool]] = []

    def typed(words: str, hide_input: bool, confirmation_prompt: bool, err: bool) -> str:
        asked.append((words, hide_input and confirmation_prompt and err))
        return GOOD

    monkeypatch.setattr("typer.prompt", typed)
    assert here("clinic", "user", "nina").returncode == 0
    assert asked == [("Password of nina", True)]
    assert here("clinic", "user", "paul", "--password", GOOD).returncode == 2


def test_demo_fills_a_record_that_report_shows(here, tmp_path):
    few = ("--patients", "60", "--years", "1", "--seed", "3")
    said = here("clinic", "demo", *few)
    assert (said.returncode, said.stderr) == (0, "")
    first, *stages = said.stdout.splitlines()
    assert first == "record: epidura-demo.sqlite"
    assert sum(int(line.split()[0]) for line in stages) == 60
    record = Record.open(tmp_path / "epidura-demo.sqlite")
    assert record.counts() == {line.split(maxsplit=1)[1]: int(line.split()[0]) for line in stages}
    assert record.verify().breaks == ()
    late = {each.pseudonym for each in views.overview(record, record.clock().date()).late}
    names = [who["family_name"] for who in (record.identity(each["id"]) for each in record.patients()) if who is not None]
    marks = [pseudonym(each["id"]) for each in record.patients()]
    record.close()

    again = here("clinic", "demo", *few)
    assert (again.returncode, "there is a demo already" in again.stderr) == (2, True)
    full = here("clinic", "demo", *few, "--store", "epidura-demo.sqlite")
    assert (full.returncode, "empty record only" in full.stderr) == (2, True)
    assert here("clinic", "demo", "--patients", "59", "--store", "few.sqlite").returncode == 2
    assert here("clinic", "demo", "--years", "11", "--store", "few.sqlite").returncode == 2
    assert not (tmp_path / "few.sqlite").exists()  # it would stand in the way of a better one

    told = here("clinic", "report", "--store", "epidura-demo.sqlite", "--out", "page.html")
    assert (told.returncode, told.stdout) == (0, "page: page.html\n")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert "60 patients on record" in page
    assert {mark for mark in marks if mark in page} >= late
    assert len(names) == 59  # one was erased
    assert not any(name in page for name in names)
    assert here("clinic", "report", "--store", "epidura-demo.sqlite", "--out", "page.txt").returncode == 2
    assert here("clinic", "report", "--store", "none.sqlite").returncode == 2


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_tables_of_the_clinic_and_a_copy_for_research_are_exported(here, tmp_path, monkeypatch, form):
    """What the page shows can be counted again from its tables; the copy for research says of nobody who it is."""
    if form == "parquet":
        pytest.importorskip("pyarrow")
    monkeypatch.setenv("EPIDURA_CLINIC", str(tmp_path / "c.sqlite"))
    here("clinic", "init")
    record = Record.open(tmp_path / "c.sqlite")
    patient = write(record, course()[:22])
    today = record.clock().date()
    found = views.overview(record, today)
    record.close()
    done = here("clinic", "export", "tables", "--as", form)
    assert done.returncode == 0, done.stderr

    def read(folder: str, name: str) -> list[dict]:
        path = tmp_path / folder / f"{name}.{form}"
        if form == "parquet":
            return pyarrow_rows(path)
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    assert [(row["stage"], int(row["patients"])) for row in read("tables", "view_stages")] == [("follow-up", 1)]
    late = [(each.alarm, each.words, each.days) for each in found.late]
    assert late
    assert [(row["alarm"], row["words"], int(row["days"])) for row in read("tables", "view_late")] == late
    assert sum(int(row["n"]) for row in read("tables", "view_run_chart")) == 1
    shares = {row["what"]: (int(row["k"]), int(row["n"])) for row in read("tables", "view_shares")}
    assert shares["trial to implant"] == (found.trial_to_implant.k, found.trial_to_implant.n) == (1, 1)
    assert {row["beside"] for row in read("tables", "view_published")} >= {"trial to implant", "infection within a year", "explants"}
    assert read("tables", "devices")[0]["model"] == "octrode"
    assert here("clinic", "export", "tables", "--as", form).returncode == 2  # nothing is written over
    assert here("clinic", "export", "t", "--as", form, "--opened").returncode == here("clinic", "export", "t", "--as", "xls").returncode == 2

    done = here("clinic", "research", "out", "--as", form, "--dates", "relative", "--mapping", "key.csv")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "people: 1"), done.stderr
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["people"] == 1
    assert {row["stage"] for row in read("out", "people")} == {"follow-up"}
    assert patient in (tmp_path / "key.csv").read_text()
    for folder in ("tables", "out"):
        assert not any(NAME.encode() in path.read_bytes() for path in (tmp_path / folder).iterdir())
    assert not any(patient.encode() in path.read_bytes() for path in (tmp_path / "out").iterdir())


def pyarrow_rows(path) -> list[dict]:
    from pyarrow import parquet

    return parquet.read_table(path).to_pylist()


def test_report_of_an_empty_record_says_so(here, tmp_path):
    here("clinic", "init", "--store", "c.sqlite")
    assert here("clinic", "report", "--store", "c.sqlite").returncode == 0
    page = (tmp_path / "clinic.html").read_text("utf-8")
    assert "0 patients on record" in page
    assert "No patients yet." in page


def test_an_encrypted_record_is_exported_backed_up_and_restored(here, tmp_path, monkeypatch):
    pytest.importorskip("sqlcipher3")
    monkeypatch.setenv("EPIDURA_CLINIC_PASSWORD", "it's a fictional pass'word")
    monkeypatch.setenv("EPIDURA_USER_PASSWORD", GOOD)
    monkeypatch.setenv("EPIDURA_CLINIC", str(tmp_path / "c.sqlite"))
    assert here("clinic", "init").returncode == 0
    record = Record.open(tmp_path / "c.sqlite", password="it's a fictional pass'word")
    patient = write(record, course()[:6])
    head = record.verify().head
    record.close()
    assert here("clinic", "user", "nina").returncode == 0
    assert here("clinic", "backup", "a.backup").returncode == 0
    assert here("clinic", "export", "closed.jsonl").stdout == "events: 6\n"
    assert here("clinic", "export", "open.jsonl", "--opened").stdout == "events: 6\n"
    assert NAME not in (tmp_path / "closed.jsonl").read_text()
    assert json.loads((tmp_path / "open.jsonl").read_text().splitlines()[0])["private"]["identity"]["family_name"] == NAME
    for path in (tmp_path / "c.sqlite", tmp_path / "a.backup"):  # neither says anything without the password
        raw = path.read_bytes()
        assert not any(words in raw for words in (b"SQLite format", b"patient.registered", patient.encode(), b"failed-back-surgery", b"nina"))
    assert (tmp_path / "a.backup").read_bytes()[:2] != b"\x1f\x8b"  # gzip

    def restored(to: str) -> tuple[int, str]:
        done = here("clinic", "restore", "a.backup", "--store", to, "--key", "c.key")
        return done.returncode, done.stderr + done.stdout

    monkeypatch.setenv("EPIDURA_CLINIC_PASSWORD", "another fictional word")
    code, words = restored("wrong.sqlite")
    assert (code, "password" in words, (tmp_path / "wrong.sqlite").exists()) == (1, True, False)
    monkeypatch.delenv("EPIDURA_CLINIC_PASSWORD")
    code, words = restored("plain.sqlite")
    assert (code, "password" in words, (tmp_path / "plain.sqlite").exists()) == (2, True, False)
    monkeypatch.setenv("EPIDURA_CLINIC_PASSWORD", "it's a fictional pass'word")
    code, words = restored("d.sqlite")
    assert (code, f"head: {head}" in words) == (0, True)
    assert b"SQLite format" not in (tmp_path / "d.sqlite").read_bytes()
    verified = json.loads(here("clinic", "verify", "--store", "d.sqlite", "--json").stdout)
    assert (verified["head"], verified["breaks"], verified["projection"]) == (head, [], [])
    assert "nina" in here("clinic", "user", "--store", "d.sqlite", "--key", "c.key").stdout
    assert NAME in here("clinic", "export", "-", "--opened", "--store", "d.sqlite", "--key", "c.key").stdout
    here("clinic", "init", "--store", "e.sqlite")
    assert here("clinic", "import", "open.jsonl", "--store", "e.sqlite").stdout == "events: 6\n"
    assert b"SQLite format" not in (tmp_path / "e.sqlite").read_bytes()
