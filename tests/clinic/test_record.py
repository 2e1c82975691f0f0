"""The record on both databases: append-only, chained, projected, corrected, erased; the same tests on SQLite and PostgreSQL."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import in_line
import pytest
from clinic_course import NAME, START, WORDS, checked, consent, course, diary, planned, programmed, registered, write
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from epidura.clinic import events as ev
from epidura.clinic import pathway
from epidura.clinic.record import Committed, Conflict, Record, Repeated, Unknown, new_id
from epidura.clinic.store import log, schema
from epidura.clinic.store.engine import BadStore, connect, migrate
from epidura.clinic.store.projection import differences
from epidura.errors import BadInput, Failed


def events_of(record: Record, patient: str | None = None) -> list[log.Stored]:
    with record.engine.connect() as connection:
        return list(log.read(connection, patient))


def replayed(record: Record, patient: str) -> pathway.State:
    return pathway.replay(pathway.Happened(each.version, each.kind, each.day, each.content) for each in events_of(record, patient))


def whole(record: Record) -> None:
    """The chain is whole and the projections are what the events add up to."""
    assert record.verify().breaks == ()
    with record.engine.connect() as connection:
        assert differences(connection) == ()


def test_a_whole_course_is_kept_projected_and_rebuilt(record):
    patient = write(record)
    state = record.state(patient)
    assert state["stage"] == "explanted"
    assert list(state["dates"]) == ["registered", "referred", "assessed", "selected", "provisional implant", "trial running", "trial ended",
                                    "trial succeeded", "definitive implant", "follow-up", "explanted"]
    assert state == replayed(record, patient)
    assert [each["average"] for each in record.diary(patient)] == [3, 2]
    assert record.identity(patient)["family_name"] == NAME
    assert record.timeline(patient)[1]["body"]["question"] == WORDS
    assert "question" not in record.timeline(patient, unsealed=False)[1]["body"]
    whole(record)
    before = dict(record.states()), record.diary(patient)
    assert record.rebuild() == len(course())
    assert (dict(record.states()), record.diary(patient)) == before
    assert record.verify().events == len(course())


def test_a_spoilt_projection_is_seen_and_rebuilt(record):
    patient = write(record, course()[:14])
    with record.engine.begin() as connection:
        connection.execute(schema.diary.update().where(schema.diary.c.day == "2024-01-13").values(average=9))
    with record.engine.connect() as connection:
        assert differences(connection) == (patient,)
    record.rebuild()
    with record.engine.begin() as connection:
        connection.execute(schema.patient.update().values(stage="follow-up"))
    with record.engine.connect() as connection:
        assert differences(connection) == (patient,)
    record.rebuild()
    whole(record)


DEEDS = ["UPDATE event SET actor = 'x'", "UPDATE event SET body = '{}' WHERE seq = 1", "DELETE FROM event WHERE seq = 2", "DELETE FROM event",
         "UPDATE access SET person = 'x'", "DELETE FROM access",
         "INSERT INTO event SELECT seq + 5, patient, version + 90, kind, day, recorded, actor, NULL, body, previous, hash FROM event WHERE seq = 1"]
ONLY = {"sqlite": ["INSERT OR REPLACE INTO event SELECT * FROM event WHERE seq = 1", "REPLACE INTO access SELECT * FROM access",
                   "UPDATE OR IGNORE event SET actor = 'x'"],
        "postgresql": ["TRUNCATE event", "TRUNCATE access", "TRUNCATE event, head",
                       "INSERT INTO event SELECT * FROM event WHERE seq = 1 ON CONFLICT (seq) DO UPDATE SET actor = 'x'"]}


def test_nothing_changes_or_removes_what_was_written(record):
    write(record, course()[:3])
    with record.engine.begin() as connection:
        connection.execute(schema.access.insert().values(at="2024", person="n", role="nurse", address="", method="GET", route="/", status=200))
    before = events_of(record)
    for deed in DEEDS + ONLY[record.engine.dialect.name]:
        with pytest.raises(DBAPIError, match="append-only"), record.engine.begin() as connection:
            connection.execute(text(deed))
    assert events_of(record) == before
    with record.engine.connect() as connection:
        assert connection.execute(select(schema.access.c.person)).scalars().all() == ["n"]


def test_the_service_refuses_to_start_without_each_trigger_and_init_puts_it_back(place):
    record = place.create()
    write(record, course()[:3])
    for name in schema.triggers(record.engine.dialect.name):
        on = "" if place.sqlite else f" ON {name.split('_')[0]}"
        with record.engine.begin() as connection:
            connection.execute(text(f"DROP TRIGGER {name}{on}"))
        with pytest.raises(BadStore, match=name):
            place.open()
        migrate(record.engine)
        place.open().close()
    assert record.verify().breaks == ()
    record.close()


def test_a_trigger_that_was_hollowed_out_counts_as_missing(place):
    record = place.create()
    with record.engine.begin() as connection:
        if place.sqlite:
            connection.execute(text("DROP TRIGGER event_no_update"))
            connection.execute(text("CREATE TRIGGER event_no_update BEFORE UPDATE ON event WHEN 0 BEGIN SELECT RAISE(ABORT, 'no'); END"))
        else:
            connection.execute(text("ALTER TABLE event DISABLE TRIGGER event_no_change"))
    with pytest.raises(BadStore, match="event_no"):
        place.open()
    record.close()


def test_a_newer_record_is_refused(place):
    record = place.create()
    with record.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    record.close()
    with pytest.raises(BadStore, match="newer"):
        place.create()


def test_a_file_that_is_no_record_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no such record"):
        Record.open(tmp_path / "none.sqlite")
    sqlite3.connect(tmp_path / "other.sqlite").execute("CREATE TABLE t (x)").connection.close()
    Record.create(tmp_path / "a.sqlite").close()
    with pytest.raises(BadStore, match="this is no record"):
        Record.open(tmp_path / "other.sqlite", tmp_path / "a.key")
    (tmp_path / "text.sqlite").write_text("not a database, and long enough to be looked at " * 20)
    with pytest.raises(BadInput, match="no record"):
        Record.open(tmp_path / "text.sqlite", tmp_path / "a.key")


# writing

def test_a_commit_is_all_or_nothing(record):
    patient = new_id()
    with pytest.raises(pathway.Refused) as error:
        record.commit("n", patient, [registered(), ev.TrialBegun(on=START, baseline_nrs=7)])
    assert any("provisional implant" in words for words in error.value.missing)
    assert events_of(record) == []
    with pytest.raises(Unknown):
        record.state(patient)
    with record.engine.connect() as connection:
        assert connection.execute(select(schema.secret)).all() == []  # no key was left behind


def test_the_same_request_is_written_once(record):
    patient = write(record, course()[:2])
    first = record.commit("phone", patient, [diary(3), diary(4, note=WORDS)], request="k")
    again = record.commit("phone", patient, [diary(3), diary(4, note=WORDS)], request="k")
    assert again.repeated
    assert again.events == first.events
    with pytest.raises(Repeated):
        record.commit("phone", patient, [diary(3, 6.0)], request="k")
    with pytest.raises(Repeated):
        record.commit("phone", write(record, course()[:1]), [diary(3), diary(4, note=WORDS)], request="k")
    assert record.verify().events == 5


def test_of_two_nurses_who_saw_the_same_only_one_writes(record):
    patient = write(record, course()[:2])
    seen = record.state(patient)["revision"]
    done: list[str] = []
    begin = threading.Barrier(2)

    def nurse(name: str, sex: str) -> None:
        begin.wait()
        try:
            record.commit(name, patient, [ev.Noted(on=START, text=sex)], seen=seen)
            done.append("written")
        except Conflict as error:
            done.append("conflict" if "somebody else" in str(error) else str(error))

    threads = [threading.Thread(target=nurse, args=(f"nurse {k}", "x")) for k in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(done) == ["conflict", "written"]
    record.commit("phone", patient, [diary(4)])  # a diary is no change that a nurse has to see
    record.commit("nurse", patient, [ev.Noted(on=START, text="y")], seen=record.state(patient)["revision"])


def test_two_records_on_one_database_write_in_turn(place):
    first, second = place.create(), place.open()
    patient = write(first, course()[:2])
    errors: list[BaseException] = []

    def phone(record: Record, base: int) -> None:
        try:
            for k in range(15):
                record.commit("phone", patient, [diary(base + k)])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=phone, args=(record, 30 * number)) for number, record in enumerate((first, second, first))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert errors == []
    assert len(first.diary(patient)) == 45
    whole(first)
    first.close()
    second.close()


def test_writers_who_come_together_share_a_commit_and_fail_alone(record):
    patient = write(record, course()[:2])
    results: list[str] = []

    def client(number: int) -> None:
        for k in range(5):
            try:
                record.commit("phone", patient, [diary(20 * number + k) if number % 3 else ev.TrialBegun(on=START, baseline_nrs=7)])
                results.append("written")
            except pathway.Refused:
                results.append("refused")

    threads = [threading.Thread(target=client, args=(number,)) for number in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(timeout=60)
    assert (results.count("written"), results.count("refused")) == (40, 20)
    assert record.verify().events == 42
    whole(record)


def together(record: Record, *commits: Callable[[], Committed]) -> list[Committed | Exception]:
    """What commits gave that were written as one batch, in this order."""
    found: list[Committed | Exception] = [ValueError("never called")] * len(commits)

    def run(number: int) -> None:
        try:
            found[number] = commits[number]()
        except Exception as error:
            found[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(commits))]
    in_line.together(record._line, threads)
    return found


def test_commits_of_one_batch_see_each_other(record, monkeypatch):
    """Nothing of a batch is in the database before all of it is: a later commit rests on an earlier one all the same."""
    patient, fresh = write(record, course()[:2]), new_id()
    seen = record.state(patient)["revision"]

    def what(*each: ev.Event, who: str = patient, **more) -> Callable[[], Committed]:
        return lambda: record.commit("n", who, list(each), **more)

    batches: list[int] = []
    own = record._write
    monkeypatch.setattr(record._line, "_work", lambda jobs: (batches.append(len(jobs)), own(jobs)))
    found = together(
        record, what(diary(3), diary(4, note=WORDS), request="k"), what(diary(3), diary(4, note=WORDS), request="k"), what(diary(5), request="k"),
        what(ev.Noted(on=START, text="x"), seen=seen), what(ev.Noted(on=START, text="y"), seen=seen), what(diary(3, 7.0)),
        what(ev.Corrected(on=START, version=3, instead={"on": "2024-01-06", "average": 9.0}, why="another day"), request="c"),
        what(registered(), ev.TrialBegun(on=START, baseline_nrs=7), who=fresh), what(registered(), who=fresh), what(registered(), who=fresh))
    assert [type(each).__name__ for each in found] == [
        "Committed", "Committed", "Repeated", "Committed", "Conflict", "Committed", "Committed", "Refused", "Committed", "Refused"]
    assert batches == [10]  # and not one by one, since the database did not take them together
    assert [each.version for each in found if isinstance(each, Committed)] == [4, 4, 5, 6, 7, 1]
    assert found[1].repeated
    assert found[1].events == found[0].events
    assert [(each["day"], each["average"]) for each in record.diary(patient)] == [("2024-01-04", 7.0), ("2024-01-05", 5.0), ("2024-01-06", 9.0)]
    assert record.identity(fresh)["family_name"] == NAME
    assert record.timeline(patient)[3]["body"]["note"] == WORDS
    whole(record)
    with record.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(schema.secret)).scalar_one() == 2


def test_what_the_database_does_not_take_is_of_one_alone(record):
    patient, spoilt = write(record, course()[:2]), write(record, course()[:3])
    with record.engine.begin() as connection:  # the next event gets a version that is taken
        state = json.dumps({**record.state(spoilt), "version": 2})
        connection.execute(schema.patient.update().where(schema.patient.c.id == spoilt).values(state=state))
    found = together(record, *(partial(record.commit, "n", who, [diary(day)]) for who, day in ((patient, 3), (spoilt, 3), (patient, 4))))
    assert [type(each).__name__ for each in found] == ["Committed", "Conflict", "Committed"]
    assert [each["day"] for each in record.diary(patient)] == ["2024-01-04", "2024-01-05"]
    assert record.verify().events == 7
    record.rebuild()
    whole(record)


def test_a_correction_stands_beside_what_was_wrong(record):
    patient = write(record, course()[:14])
    wrong = next(each for each in events_of(record, patient) if each.kind == "lead.implanted")
    right = {"on": "2024-01-10", "stage": "trial", "lead": "right", "model": "octrode", "level": "T8"}
    record.commit("n", patient, [ev.Corrected(on=START, version=wrong.version, instead=right, why="the other side")])
    assert list(record.state(patient)["leads"]) == ["right"]
    record.commit("n", patient, [ev.LeadMoved(on=START + timedelta(days=14), lead="right", level="T10", how="migrated")])
    strike = next(each.version for each in events_of(record, patient) if each.kind == "diary.recorded")
    record.commit("n", patient, [ev.Corrected(on=START, version=strike, why="somebody else's")])
    assert [each["day"] for each in record.diary(patient)] == ["2024-01-14"]
    assert wrong in events_of(record, patient)
    state = record.state(patient)
    whole(record)
    record.rebuild()  # a fold of the wrong lead would not know the right one
    assert record.state(patient) == state
    with pytest.raises(pathway.Refused, match="after the correction could not have happened"):
        record.commit("n", patient, [ev.Corrected(on=START, version=2, why="never referred")])
    with pytest.raises(Unknown):
        record.commit("n", patient, [ev.Corrected(on=START, version=99, why="x")])
    whole(record)


def test_time_never_runs_backwards_in_the_record(place):
    moments = iter([datetime(2025, 5, 2, 12, tzinfo=UTC)] * 4 + [datetime(2025, 5, 1, 12, tzinfo=UTC)] * 40)
    record = place.create(clock=lambda: next(moments))
    write(record, course()[:3])
    stamps = [each.recorded for each in events_of(record)]
    assert stamps == sorted(stamps)
    assert {stamp[:10] for stamp in stamps} == {"2025-05-02"}
    assert record.verify().breaks == ()
    record.close()


def test_a_day_in_the_future_is_refused(record):
    patient = write(record, course()[:2])
    with pytest.raises(BadInput, match="future"):
        record.commit("n", patient, [ev.Diary(on=date.today() + timedelta(days=3), average=4)])


# erasing

def test_an_erased_patient_has_no_name_and_the_chain_is_whole(record):
    patient, other = write(record), write(record, course(family="Otherfictional"))
    assert record.erasures is not None
    record.erase("admin", patient, "GDPR article 17", "asked for in writing")
    assert record.identity(patient) is None
    assert record.identity(other)["family_name"] == "Otherfictional"
    assert all(WORDS not in json.dumps(each) for each in record.timeline(patient))
    assert record.state(patient)["stage"] == "explanted"
    whole(record)
    assert record.erasures.read_text().split() == [patient]
    with pytest.raises(BadInput, match="erased before"):
        record.erase("admin", patient, "again", "again")
    with pytest.raises(pathway.Refused, match="erased"):
        record.commit("n", patient, [ev.Noted(on=START, text="x")])
    with pytest.raises(Unknown):
        record.erase("admin", new_id(), "x", "x")


def test_the_key_of_an_erased_patient_is_nowhere_in_the_files(tmp_path):
    record = Record.create(tmp_path / "clinic.sqlite")
    patient, other = write(record, course()[:4]), write(record, course()[:2])
    with record.engine.connect() as connection:
        wrapped = {whose: bytes(key) for whose, key in connection.execute(select(schema.secret))}
        open_key = record.vault.key(connection, patient)

    def files() -> bytes:
        return b"".join(path.read_bytes() for path in sorted(tmp_path.iterdir()))

    assert wrapped[patient] in files()  # or this test would see nothing
    assert NAME.encode() not in files()
    assert WORDS.encode() not in files()
    record.erase("admin", patient, "GDPR article 17", "asked")
    assert wrapped[patient] not in files()
    assert wrapped[patient][12:44] not in files()
    assert open_key not in files()
    assert wrapped[other] in files()
    record.close()


# tampering

def _opened_up(record: Record, tmp_path: Path) -> sqlite3.Connection:
    """A copy of the file from which somebody took the triggers."""
    record.close()
    shutil.copy(tmp_path / "clinic.sqlite", tmp_path / "copy.sqlite")
    shutil.copy(tmp_path / "clinic.key", tmp_path / "copy.key")
    connection = sqlite3.connect(tmp_path / "copy.sqlite", isolation_level=None)
    for name in schema.triggers("sqlite"):
        connection.execute(f"DROP TRIGGER {name}")
    return connection


def _verified(tmp_path: Path, anchors: dict[int, str] | None = None) -> log.Verified:
    engine = connect(tmp_path / "copy.sqlite")
    try:
        with engine.connect() as connection:
            return log.verify(connection, anchors)
    finally:
        engine.dispose()


@pytest.mark.parametrize(("deed", "number", "words"), [
    ("UPDATE event SET body = replace(body, '\"nrs\":8.0', '\"nrs\":3.0') WHERE seq = 2", 2, "was changed"),
    ("UPDATE event SET actor = 'nursf' WHERE seq = 5", 5, "was changed"),
    ("UPDATE event SET day = '2024-01-07' WHERE seq = 5", 5, "was changed"),
    ("UPDATE event SET recorded = '2020' WHERE seq = 3", 3, "was changed"),
    ("DELETE FROM event WHERE seq = 4", 5, "events 4 to 4 are missing"),
    ("DELETE FROM event WHERE seq = 6", 7, "the record says it ends at event 6, the chain ends at 5"),
    ("UPDATE event SET seq = 9 WHERE seq = 6", 9, "events 6 to 8 are missing"),
    ("UPDATE head SET seq = 5", 7, "the record says it ends at event 5")])
def test_what_was_tampered_with_is_named(tmp_path, deed, number, words):
    record = Record.create(tmp_path / "clinic.sqlite")
    write(record, course()[:6])
    file = _opened_up(record, tmp_path)
    assert _verified(tmp_path).breaks == ()
    assert file.execute(deed).rowcount == 1
    file.close()
    found = _verified(tmp_path).breaks
    if number == 7 and "ends at" in words and "DELETE" in deed:
        number = 6
    assert any(where == number and words in said for where, said in found), found


def test_a_chain_that_was_written_anew_is_seen_by_an_anchor(tmp_path):
    record = Record.create(tmp_path / "clinic.sqlite")
    write(record, course()[:6])
    noted = {6: record.verify().head}
    file = _opened_up(record, tmp_path)
    rows = [log.Stored(*row) for row in file.execute(f"SELECT {', '.join(column.name for column in log.COLUMNS)} FROM event ORDER BY seq")]
    last = log.START
    for each in rows:
        body = each.body.replace('"nrs":8.0', '"nrs":3.0')
        own = log.digest(last, each.seq, each.patient, each.version, each.kind, each.day, each.recorded, each.actor, each.request, body)
        file.execute("UPDATE event SET body = ?, previous = ?, hash = ? WHERE seq = ?", (body, last, own, each.seq))
        last = own
    file.execute("UPDATE head SET hash = ?", (last,))
    file.close()
    assert _verified(tmp_path).breaks == ()  # which is why the head hash is kept elsewhere
    assert _verified(tmp_path, noted).breaks == ((6, "is not the one that was noted elsewhere"),)
    assert _verified(tmp_path, {7: "0" * 64}).breaks == ((7, "was noted elsewhere and is not there"),)


def test_a_sealed_part_that_was_changed_does_not_open(tmp_path):
    record = Record.create(tmp_path / "clinic.sqlite")
    patient = write(record, course()[:2])
    file = _opened_up(record, tmp_path)
    body = json.loads(file.execute("SELECT body FROM event WHERE seq = 1").fetchone()[0])
    body["sealed"] = body["sealed"][:-8] + "AAAAAAA="
    file.execute("UPDATE event SET body = ? WHERE seq = 1", (json.dumps(body),))
    file.close()
    engine = connect(tmp_path / "copy.sqlite")
    migrate(engine)
    engine.dispose()
    again = Record.open(tmp_path / "copy.sqlite")
    with pytest.raises(Failed, match="sealed part was changed"):
        again.identity(patient)
    again.close()


# the state machine

def _random_event(draw_kind: str, on: date) -> ev.Event:
    made = {
        "refer": lambda: ev.Referred(on=on, indication="crps"), "note": lambda: ev.Noted(on=on, text=WORDS),
        "assess": lambda: course(on)[2], "sign": lambda: course(on)[3], "sign2": lambda: course(on)[4],
        "optimise": lambda: ev.Selected(on=on, decision="optimise-first", to_do=("diet",)),
        "refuse": lambda: ev.Selected(on=on, decision="not-suitable"),
        "select": lambda: ev.Selected(on=on, decision="selected", despite=course(on)[5].despite, why="fiction"),
        "select bare": lambda: ev.Selected(on=on, decision="selected"),
        "consent": lambda: consent("trial", on), "consent unsigned": lambda: consent("trial", on, signed=False),
        "consent 2": lambda: consent("implant", on), "plan": lambda: planned("trial", on), "plan 2": lambda: planned("implant", on),
        "bundle": lambda: checked("trial", on), "bundle 2": lambda: checked("implant", on),
        "lead": lambda: ev.LeadIn(on=on, stage="trial", lead="left", model="octrode", level="T9"),
        "lead 2": lambda: ev.LeadIn(on=on, stage="implant", lead="right", model="octrode", level="T9"),
        "lead out": lambda: ev.LeadOut(on=on, lead="left"), "moved": lambda: ev.LeadMoved(on=on, lead="left", level="T10", how="migrated"),
        "program": lambda: programmed(on), "unprogram": lambda: ev.Unprogrammed(on=on, slot="A"),
        "begin": lambda: ev.TrialBegun(on=on, baseline_nrs=8), "diary": lambda: ev.Diary(on=on, average=4),
        "end": lambda: ev.TrialEnded(on=on, reported_relief=0.5), "yes": lambda: ev.Judged(on=on, succeeded=True),
        "no": lambda: ev.Judged(on=on, succeeded=False), "generator": lambda: ev.GeneratorIn(on=on, model="x", site="abdomen"),
        "generator out": lambda: ev.GeneratorOut(on=on, replaced=True, reason="battery"), "home": lambda: ev.Discharged(on=on),
        "visit": lambda: ev.Visited(on=on, visit="1 month", nrs=3), "revise": lambda: ev.Revised(on=on, what=("lead",)),
        "explant": lambda: ev.Explanted(on=on, reason="infection"), "explant loss": lambda: ev.Explanted(on=on, reason="loss of effect"),
        "death": lambda: ev.Died(on=on)}
    return made[draw_kind]()


PATH = ("refer", "assess", "sign", "sign2", "select", "consent", "plan", "bundle", "lead", "program", "begin", "diary", "end", "yes", "consent 2",
        "plan 2", "bundle 2", "generator", "visit", "explant")
ANY = tuple(dict.fromkeys((*PATH, "note", "optimise", "refuse", "select bare", "consent unsigned", "lead 2", "lead out", "moved", "unprogram", "no",
                           "generator out", "home", "revise", "explant loss", "death")))


class Pathway(RuleBasedStateMachine):
    """Allowed and forbidden events in any order, beside a model that knows the stages only."""

    record: Record

    @initialize()
    def register(self) -> None:
        self.patient, self.day, self.step = new_id(), START, 0
        self.state = self.record.commit("n", self.patient, [registered()]).state
        self.kinds = ["patient.registered"]

    def _try(self, kind: str) -> None:
        self.day += timedelta(days=1)
        event = _random_event(kind, self.day)
        body, _ = ev.split(event)
        lacks = pathway.refusals(self.state, event.kind, body, self.day.isoformat())
        before = self.record.state(self.patient)
        if lacks:
            with pytest.raises(pathway.Refused) as error:
                self.record.commit("n", self.patient, [event])
            assert error.value.missing == lacks
            assert all(words in str(error.value) for words in lacks)
            assert self.record.state(self.patient) == before
            assert len(events_of(self.record, self.patient)) == len(self.kinds)
            return
        done = self.record.commit("n", self.patient, [event])
        self.kinds.append(event.kind)
        self.state = done.state
        assert done.version == len(self.kinds)

    @rule(kind=st.sampled_from(ANY))
    def anything(self, kind: str) -> None:
        self._try(kind)

    @rule(steps=st.integers(1, 5))
    def onwards(self, steps: int) -> None:
        for _ in range(steps):
            self._try(PATH[self.step % len(PATH)])
            self.step += 1

    @rule(version=st.integers(2, 12))
    def strike_out(self, version: int) -> None:
        try:
            done = self.record.commit("n", self.patient, [ev.Corrected(on=self.day, version=version, why="by mistake")])
        except (pathway.Refused, Unknown, BadInput):
            assert len(events_of(self.record, self.patient)) == len(self.kinds)
            return
        self.kinds.append("record.corrected")
        self.state = done.state

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "patient"):
            return
        state = self.record.state(self.patient)
        assert state == self.state == replayed(self.record, self.patient)
        assert state["stage"] in pathway.STAGES
        assert state["version"] == len(self.kinds)
        if state["stage"] in pathway.IMPLANTED:
            assert {"selection.decided", "lead.implanted", "trial.judged", "generator.implanted"} <= set(self.kinds)
            assert state["trial"]["succeeded"] is True
        if state["stage"] in pathway.ON_TRIAL:
            assert "lead.implanted" in self.kinds
        if state["stage"] == "explanted":
            assert not pathway.implanted_leads(state)

    def teardown(self) -> None:
        if hasattr(self, "patient"):
            before = dict(self.record.states())
            self.record.rebuild()
            assert dict(self.record.states()) == before
            whole(self.record)


def test_the_pathway_holds_whatever_is_tried(record):
    class Here(Pathway):
        pass
    Here.record = record
    run_state_machine_as_test(Here, settings=settings(max_examples=10, stateful_step_count=18, deadline=None, derandomize=True, database=None,
                                                      suppress_health_check=list(HealthCheck)))
    assert record.verify().events > 100
