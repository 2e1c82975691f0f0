"""Backups, restores, exports and imports on both databases; encryption at rest; the commands."""

from __future__ import annotations

import gzip
import json
import shutil
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from clinic_course import NAME, WORDS, course, diary, write
from sqlalchemy import select

from epidura.clinic import events as ev
from epidura.clinic.record import Record
from epidura.clinic.store import backup as backups
from epidura.clinic.store import schema, transfer
from epidura.clinic.store.backup import BadBackup
from epidura.clinic.store.projection import differences
from epidura.errors import BadInput, Failed


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """A weak derivation of keys: what is tested here is not its strength."""
    strong = dict(backups.SCRYPT)
    backups.SCRYPT["n"] = 2
    yield
    backups.SCRYPT.update(strong)


def same(first: Record, second: Record) -> None:
    """Every row that a backup keeps, and every state and day."""
    for table in (*backups.TABLES, schema.head, schema.patient, schema.diary):
        order = list(table.primary_key.columns)
        with first.engine.connect() as one, second.engine.connect() as other:
            rows, others = ([tuple(row) for row in connection.execute(select(table).order_by(*order))] for connection in (one, other))
        if table is schema.patient:
            rows, others = ([(*row[:-1], json.loads(row[-1])) for row in some] for some in (rows, others))
        assert rows == others, table.name


def filled(record: Record) -> list[str]:
    patients = [write(record), write(record, course()[:14]), write(record, course()[:2])]
    record.commit("n", patients[1], [ev.Corrected(on=course()[0].on, version=13, why="x", instead={"on": "2024-01-13", "average": 1, "note": WORDS})],
                  request="once")
    with record.engine.begin() as connection:
        connection.execute(schema.person.insert().values(id="1", name="N", login="n", role="nurse", password="x", active=True, created="2024"))
        connection.execute(schema.session.insert().values(token="t", person="1", csrf="c", created="2024", seen="2024", expires="2025"))
        connection.execute(schema.link.insert().values(token="t", patient=patients[0], person="1", created="2024", expires="2025"))
        for number in range(3):
            connection.execute(schema.access.insert().values(at="2024", person="n", role="nurse", address="", method="GET", route="/",
                                                             status=200 + number))
    return patients


@pytest.fixture(params=["sqlite", "postgresql"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a backup is restored to: each database from each."""
    return str(tmp_path / "new" / "clinic.sqlite") if request.param == "sqlite" else request.getfixturevalue("postgres")()


def test_a_backup_restores_into_either_database(record, place, elsewhere, tmp_path):
    (tmp_path / "new").mkdir()
    patients = filled(record)
    kept = backups.backup(record, tmp_path / "a.backup")
    assert (kept.events, kept.head) == (record.verify().events, record.verify().head)
    assert kept.rows == {"event": kept.events, "secret": 3, "person": 1, "access": 3}
    done = backups.restore(tmp_path / "a.backup", elsewhere, place.key)
    assert (done.events, done.head, done.erased) == (kept.events, kept.head, ())
    again = Record.open(elsewhere, place.key)
    same(record, again)
    assert again.identity(patients[0])["family_name"] == NAME
    with again.engine.connect() as connection:  # nobody stays logged in, no link works
        assert connection.execute(select(schema.session)).all() == connection.execute(select(schema.link)).all() == []
    again.commit("n", patients[1], [diary(20)])
    with again.engine.begin() as connection:
        connection.execute(schema.access.insert().values(at="2024", person="n", role="nurse", address="", method="GET", route="/", status=200))
    with pytest.raises(BadInput, match="which no backup replaces"):
        backups.restore(tmp_path / "a.backup", elsewhere, place.key)
    assert again.verify().events == kept.events + 1
    assert [path.name for path in (tmp_path / "new").iterdir() if path.name.startswith(".")] == []
    again.close()


def test_a_backup_has_no_names_and_not_the_clinics_key(record, place, tmp_path):
    filled(record)
    backups.backup(record, tmp_path / "a.backup")
    plain = gzip.decompress((tmp_path / "a.backup").read_bytes())
    for words in (NAME.encode(), WORDS.encode(), place.key.read_bytes().strip()):
        assert words not in plain
    assert (tmp_path / "a.backup").stat().st_mode & 0o077 == 0


def test_who_was_erased_stays_erased(record, place, elsewhere, tmp_path):
    (tmp_path / "new").mkdir()
    patients = filled(record)
    kept = backups.backup(record, tmp_path / "a.backup")
    record.erase("admin", patients[0], "GDPR article 17", "asked")
    done = backups.restore(tmp_path / "a.backup", elsewhere, place.key, erased=record.erasures)
    assert done.erased == (patients[0],)
    assert done.events == kept.events + 1
    again = Record.open(elsewhere, place.key)
    assert again.identity(patients[0]) is None
    assert again.identity(patients[1])["family_name"] == NAME
    assert again.state(patients[0])["erased"]
    assert again.verify().breaks == ()
    with again.engine.connect() as connection:
        assert differences(connection) == ()
    assert patients[0] in again.erasures.read_text()
    again.close()


def test_the_list_beside_the_record_is_found(tmp_path):
    record = Record.create(tmp_path / "clinic.sqlite")
    patient = write(record, course()[:3])
    backups.backup(record, tmp_path / "a.backup")
    record.erase("admin", patient, "GDPR article 17", "asked")
    record.close()
    (tmp_path / "clinic.sqlite").unlink()
    assert backups.restore(tmp_path / "a.backup", tmp_path / "clinic.sqlite").erased == (patient,)


def test_a_backup_under_load_is_of_one_moment(record, place, elsewhere, tmp_path):
    (tmp_path / "new").mkdir()
    patient = write(record, course()[:2])
    stop, acknowledged = threading.Event(), []

    def phone(number: int) -> None:
        k = 0
        while not stop.is_set():
            acknowledged.append(record.commit("phone", patient, [diary(3 * (k % 150) + number)]).version)
            k += 1

    threads = [threading.Thread(target=phone, args=(number,)) for number in range(3)]
    for each in threads:
        each.start()
    while len(acknowledged) < 20:
        stop.wait(0.01)
    before = max(acknowledged)
    kept = backups.backup(record, tmp_path / "a.backup")
    backups.restore(tmp_path / "a.backup", elsewhere, place.key)
    stop.set()
    for each in threads:
        each.join()
    again = Record.open(elsewhere, place.key)
    assert kept.events >= before
    assert record.verify().events >= max(acknowledged) > before
    assert again.verify().breaks == record.verify().breaks == ()
    assert [each["version"] for each in again.timeline(patient)] == list(range(1, kept.events + 1))
    again.close()


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a record and its backups, plain and encrypted."""
    folder = tmp_path_factory.mktemp("one")
    record = Record.create(folder / "clinic.sqlite")
    write(record, course()[:8])
    backups.backup(record, folder / "plain.backup")
    backups.backup(record, folder / "locked.backup", "a secret")
    record.close()
    return folder


def _same_lines(file: Path, other: Path) -> bool:
    try:
        return gzip.decompress(file.read_bytes()) == gzip.decompress(other.read_bytes())
    except (OSError, EOFError, ValueError, zlib.error):
        return False


@pytest.mark.parametrize("name", ["plain", "locked"])
def test_every_damage_to_a_backup_is_seen(one, tmp_path, name):
    whole = (one / f"{name}.backup").read_bytes()
    password = "a secret" if name == "locked" else ""
    assert backups.look(one / f"{name}.backup", password).events == 8
    file, seen = tmp_path / "bad.backup", 0
    for place in range(0, len(whole), max(1, len(whole) // 60)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1:])
        if name == "locked" or not _same_lines(file, one / "plain.backup"):  # some bits of gzip's head and padding mean nothing
            with pytest.raises((BadBackup, BadInput)):
                backups.look(file, password)
            seen += 1
        file.write_bytes(whole[:place])
        with pytest.raises((BadBackup, BadInput)):
            backups.look(file, password)
    assert seen > 50


def test_a_line_that_was_changed_or_left_out_is_seen(one, tmp_path):
    lines = gzip.decompress((one / "plain.backup").read_bytes()).splitlines(keepends=True)
    file = tmp_path / "bad.backup"
    assert lines[9].startswith(b'["secret"')
    for changed in ([*lines[:9], lines[9].replace(lines[9][-20:-18], b"AB"), *lines[10:]],
                    lines[:3] + lines[4:], [*lines[:2], lines[2].replace(b"nurse", b"nursf"), *lines[3:]], [*lines, lines[1]], lines[:-1],
                    [lines[0].replace(b'"version":1', b'"version":2'), *lines[1:]], [lines[0].replace(b'"kind"', b'"kin"'), *lines[1:]]):
        assert changed != lines
        file.write_bytes(gzip.compress(b"".join(changed)))
        with pytest.raises(BadBackup):
            backups.look(file)
        with pytest.raises(BadBackup):
            backups.restore(file, tmp_path / "r.sqlite", one / "clinic.key")
        assert not (tmp_path / "r.sqlite").exists()


def test_a_restore_says_what_it_lacks(one, tmp_path):
    plain, target = one / "plain.backup", tmp_path / "r.sqlite"
    with pytest.raises(BadInput, match="key file is missing"):
        backups.restore(plain, target)
    Record.create(tmp_path / "other.sqlite").close()
    with pytest.raises(Failed, match="does not open this record"):
        backups.restore(plain, target, tmp_path / "other.key")
    assert not target.exists()
    with pytest.raises(BadInput, match="encrypted"):
        backups.restore(one / "locked.backup", target, one / "clinic.key")
    with pytest.raises(BadBackup, match="the password is another one"):
        backups.restore(one / "locked.backup", target, one / "clinic.key", "wrong")
    (tmp_path / "r.sqlite-wal").write_bytes(b"of a record that was there")
    with pytest.raises(BadInput, match="no backup replaces"):
        backups.restore(plain, target, one / "clinic.key")
    with pytest.raises(BadInput, match="no such file"):
        backups.restore(tmp_path / "none", tmp_path / "s.sqlite", one / "clinic.key")
    with pytest.raises(BadInput, match="no backup replaces"):
        backups.backup(Record.open(one / "clinic.sqlite"), plain)
    assert {path.name for path in tmp_path.iterdir()} == {"other.sqlite", "other.key", "r.sqlite-wal"}


# export and import

def test_an_export_makes_the_same_record(record, place, elsewhere, tmp_path):
    (tmp_path / "new").mkdir()
    patients = filled(record)
    record.erase("admin", patients[2], "GDPR article 17", "asked")
    lines = list(transfer.lines(record, unsealed=True))
    assert sum(NAME in line for line in lines) == 2
    assert not any(NAME in line or WORDS in line for line in transfer.lines(record))
    again = Record.create(elsewhere, tmp_path / "new.key")
    assert transfer.load(again, lines) == len(lines)
    assert dict(again.states()) == dict(record.states())
    for patient in patients:
        told, retold = ([{**each, "hash": ""} for each in some.timeline(patient)] for some in (record, again))
        assert told == retold
        assert again.diary(patient) == record.diary(patient)
    assert again.identity(patients[2]) is None
    assert again.verify().breaks == ()
    with pytest.raises(BadInput, match="empty record"):
        transfer.load(again, lines)
    again.close()


@pytest.mark.parametrize(("change", "words"), [
    (lambda told: told.update(kind="patient.fired"), "no event of this kind"), (lambda told: told.update(version=7), "missing or out of order"),
    (lambda told: told["body"].update(nrs=11), "nrs"), (lambda told: told.pop("actor"), "not an event of an export"),
    (lambda told: told.update(recorded="yesterday"), "not a time"),
    (lambda told: told.update(kind="trial.begun", body={"baseline_nrs": 3}, private={}), "cannot happen")])
def test_a_bad_line_imports_nothing(one, tmp_path, change, words):
    record = Record.open(one / "clinic.sqlite")
    lines = list(transfer.lines(record, unsealed=True))
    record.close()
    told = json.loads(lines[1])
    change(told)
    empty = Record.create(tmp_path / "new.sqlite")
    with pytest.raises(BadInput, match=words):
        transfer.load(empty, [lines[0], json.dumps(told), *lines[2:]])
    assert empty.verify().events == 0
    with empty.engine.connect() as connection:
        assert connection.execute(select(schema.secret)).all() == []
    with pytest.raises(BadInput, match="line 1: not JSON"):
        transfer.load(empty, ["{"])
    empty.close()


# encryption at rest

def test_an_encrypted_file_says_nothing_without_its_password(tmp_path, capfd):
    password = "it's a fictional pass'word"
    record = Record.create(tmp_path / "clinic.sqlite", password=password)
    patient = write(record, course()[:6])
    backups.backup(record, tmp_path / "a.backup", password)
    raw = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for words in (b"SQLite format", b"patient.registered", patient.encode(), b"failed-back-surgery", b"CREATE TABLE"):
        assert words not in raw
    record.close()
    again = Record.open(tmp_path / "clinic.sqlite", password=password)
    assert again.state(patient)["stage"] == "selected"
    again.close()
    for wrong in ("", "wrong word"):
        with pytest.raises(BadInput, match="password") as error:
            Record.open(tmp_path / "clinic.sqlite", password=wrong)
        assert "pass'word" not in str(error.value)
        assert not wrong or wrong not in str(error.value)
    backups.restore(tmp_path / "a.backup", tmp_path / "b.sqlite", tmp_path / "clinic.key", password)
    restored = Record.open(tmp_path / "b.sqlite", tmp_path / "clinic.key", password)
    assert restored.verify().breaks == ()
    restored.close()
    said = capfd.readouterr()
    assert said.out == said.err == ""
    with pytest.raises(BadInput, match="NUL"):
        Record.open(tmp_path / "clinic.sqlite", password="a\0b")
    with pytest.raises(BadInput, match="PostgreSQL"):
        Record.create("postgresql://nobody@127.0.0.1:1/none", tmp_path / "k.key", password="x")


# the commands

def test_the_commands_keep_a_record(here, tmp_path, monkeypatch):
    monkeypatch.setenv("EPIDURA_CLINIC", str(tmp_path / "c.sqlite"))
    assert here("clinic", "verify").returncode == 2
    assert "key: " in here("clinic", "init").stdout
    record = Record.open(tmp_path / "c.sqlite")
    patient = write(record, course()[:4])
    head = record.verify().head
    record.close()
    said = here("clinic", "verify").stdout
    assert f"anchor: 4 {head}" in said
    (tmp_path / "anchors").write_text(f"anchor: 4 {head}\n")
    assert here("clinic", "verify", "--anchor", "anchors").returncode == 0
    (tmp_path / "anchors").write_text(f"3 {head}\n")
    wrong = here("clinic", "verify", "--anchor", "anchors")
    assert (wrong.returncode, "noted elsewhere" in wrong.stdout) == (1, True)
    (tmp_path / "anchors").write_text("three\n")
    assert here("clinic", "verify", "--anchor", "anchors").returncode == 2
    assert json.loads(here("clinic", "backup", "a.backup", "--json").stdout)["head"] == head
    assert here("clinic", "backup", "a.backup").returncode == 2
    assert here("clinic", "export", "e.jsonl", "--opened").returncode == 0
    assert NAME in (tmp_path / "e.jsonl").read_text()
    assert here("clinic", "erase", patient, "--authority", "GDPR 17", "--why", "asked", "--yes").returncode == 0
    assert NAME not in here("clinic", "export", "-", "--opened").stdout
    monkeypatch.setenv("EPIDURA_CLINIC", str(tmp_path / "d.sqlite"))
    back = here("clinic", "restore", "a.backup", "--key", "c.key", "--erased", "c.sqlite.erased")
    assert f"erased again: {patient}" in back.stdout
    monkeypatch.setenv("EPIDURA_CLINIC", str(tmp_path / "f.sqlite"))
    here("clinic", "init")
    assert here("clinic", "import", "e.jsonl").stdout == "events: 4\n"
    assert here("clinic", "rebuild").stdout == "events: 4\n"
    verified = json.loads(here("clinic", "verify", "--json").stdout)
    assert (verified["events"], verified["breaks"], verified["projection"]) == (4, [], [])
    assert here("clinic", "import", "e.jsonl").returncode == 2


def test_verify_looks_at_a_record_without_triggers(here, tmp_path, monkeypatch):
    record = Record.create(tmp_path / "c.sqlite")
    write(record, course()[:3])
    with record.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER event_no_update")
        connection.exec_driver_sql("UPDATE event SET body = '{}' WHERE seq = 2")
    record.close()
    said = here("clinic", "verify", "--store", "c.sqlite")
    assert said.returncode == 1
    assert "event 2: was changed" in said.stdout
    assert "trigger event_no_update is missing" in said.stdout
    assert "the chain is broken" in said.stderr


def test_passwords_come_from_the_environment_or_a_prompt(here, tmp_path, monkeypatch):
    monkeypatch.setenv("EPIDURA_CLINIC_PASSWORD", "fictional")
    assert here("clinic", "init", "--store", "c.sqlite").returncode == 0
    assert b"SQLite format" not in (tmp_path / "c.sqlite").read_bytes()
    assert here("clinic", "verify", "--store", "c.sqlite").returncode == 0
    monkeypatch.setenv("EPIDURA_CLINIC_PASSWORD", "other")
    wrong = here("clinic", "verify", "--store", "c.sqlite")
    assert (wrong.returncode, "does not open this record" in wrong.stderr) == (2, True)
    assert "other" not in wrong.stderr
    shutil.rmtree(tmp_path, ignore_errors=True)
