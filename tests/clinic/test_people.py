"""People: passwords, lockout, sessions, links, and a clock that goes backwards."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from api_clinic import QUICK, Clock, empty_record
from clinic_course import Place
from in_line import together
from sqlalchemy import delete, select, text
from sqlalchemy.exc import DBAPIError

from epidura.clinic import people as module
from epidura.clinic.people import ADDRESS_FAILURES, DIARY_SESSION, IDLE, LINK, LOGIN_FAILURES, SHORTEST, WHOLE, WINDOW, Locked, NotIn, People, Person
from epidura.clinic.record import Record, new_id
from epidura.clinic.store import schema
from epidura.errors import BadInput

GOOD = "four words that differ"


@dataclass
class House:
    record: Record
    people: People
    clock: Clock

    def again(self) -> People:
        """The same record after a restart."""
        return People(self.record.engine, self.clock, QUICK, self.clock.ticks)


@pytest.fixture
def house(tmp_path: Path) -> House:
    clock = Clock()
    for name, content in empty_record().items():
        (tmp_path / name).write_bytes(content)
    record = Record.open(tmp_path / "clinic.sqlite", clock=clock)
    return House(record, People(record.engine, clock, QUICK, clock.ticks), clock)


def test_a_person_comes_in_and_goes_out(house: House) -> None:
    ann = house.people.add("Ann", " Ann.Lee ", "nurse", GOOD)
    assert ann.login == "ann.lee"
    session = house.people.login("ANN.LEE", GOOD)
    assert house.people.session(session.token).person == ann
    house.people.logout(session.key)
    with pytest.raises(NotIn, match="nobody is logged in"):
        house.people.session(session.token)


def test_only_hashes_are_kept(house: House, tmp_path: Path) -> None:
    """Neither passwords nor tokens are in the file; passwords are argon2id."""
    strong = People(house.record.engine, house.clock)
    strong.add("Ann", "ann", "nurse", GOOD)
    session = strong.login("ann", GOOD)
    link, _ = strong.link(new_id(), "x")
    with house.record.engine.connect() as connection:
        hashed = str(connection.execute(select(schema.person.c.password)).scalar())
    assert hashed.startswith("$argon2id$v=19$m=65536,t=3,p=4$")  # RFC 9106, second recommended option
    house.record.close()
    whole = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in (GOOD, session.token, link):
        assert secret.encode() not in whole


@pytest.mark.parametrize(("password", "words"), [
    ("x" * (SHORTEST - 1), "another length"), ("ab" * 101, "another length"), ("aaaaaaaaaaaaaaaaaaa", "easily guessed"),
    ("my login is ann.lee, ok", "easily guessed")])
def test_weak_passwords_are_refused(house: House, password: str, words: str) -> None:
    with pytest.raises(BadInput, match=words) as error:
        house.people.add("Ann", "ann.lee", "nurse", password)
    assert password not in str(error.value)


def test_bad_people_are_refused(house: House) -> None:
    house.people.add("Ann", "ann", "nurse", GOOD)
    for login in ("ann", "ANN", "a b", "", "x" * 101, "diary:1", "a\x00"):
        with pytest.raises(BadInput, match="login"):
            house.people.add("Bea", login, "nurse", GOOD)
    with pytest.raises(BadInput, match="nobody is given this role"):
        house.people.add("Bea", "bea", "patient", GOOD)
    with pytest.raises(BadInput, match="neither a password nor"):
        house.people.add("Bea", "bea", "nurse")
    assert len(house.people.roll()) == 1


def test_one_spelling_of_a_password(house: House) -> None:
    house.people.add("Ann", "ann", "nurse", "caf\u00e9 and three other words")
    assert house.people.login("ann", "cafe\u0301 and three other words").person.name == "Ann"


def test_a_wrong_password_and_an_unknown_login_look_alike(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same words, same work: a hash is verified in both."""
    house.people.add("Ann", "ann", "nurse", GOOD)
    gone = house.people.add("Bea", "bea", "nurse", GOOD)
    house.people.deactivate(gone.id)
    verified = []
    real = QUICK.verify
    monkeypatch.setattr(type(QUICK), "verify", lambda self, *given: verified.append(given) or real(*given))
    words = set()
    for login, password in (("ann", "wrong"), ("nobody", "wrong"), ("bea", GOOD), ("bad login", "wrong"), ("nobody2", GOOD)):
        with pytest.raises(NotIn) as error:
            house.people.login(login, password)
        words.add(str(error.value))
    assert words == {"password: login or password is wrong"}
    assert len(verified) == 5


@pytest.mark.parametrize("login", ["ann", "nobody"])
def test_a_login_is_locked_after_failures(house: House, login: str) -> None:
    """Whether it exists or not; the right password does not help; time does."""
    house.people.add("Ann", "ann", "nurse", GOOD)
    for number in range(LOGIN_FAILURES):
        with pytest.raises(NotIn):
            house.people.login(login, "wrong", f"10.0.0.{number}")
        house.clock.go(seconds=10)
    with pytest.raises(Locked) as error:
        house.people.login(login, GOOD, "10.0.0.99")
    assert error.value.seconds == WINDOW.seconds - 10 * LOGIN_FAILURES
    house.clock.go(seconds=error.value.seconds + 1)
    if login == "ann":
        assert house.people.login(login, GOOD).person.name == "Ann"


def test_an_address_is_locked_whatever_logins_it_tries(house: House) -> None:
    house.people.add("Ann", "ann", "nurse", GOOD)
    for number in range(ADDRESS_FAILURES):
        with pytest.raises(NotIn):
            house.people.login(f"guess{number}", "wrong", "10.0.0.1")
    with pytest.raises(Locked):
        house.people.login("ann", GOOD, "10.0.0.1")
    assert house.people.login("ann", GOOD, "10.0.0.2").person.name == "Ann"


def test_a_right_login_does_not_free_its_address(house: House) -> None:
    """Who has an account cannot use it to go on guessing at another."""
    house.people.add("Ann", "ann", "nurse", GOOD)
    for number in range(ADDRESS_FAILURES):
        house.people.login("ann", GOOD, "10.0.0.1")
        with pytest.raises(NotIn):
            house.people.login(f"guess{number}", "wrong", "10.0.0.1")
    with pytest.raises(Locked):
        house.people.login("ann", GOOD, "10.0.0.1")


def test_many_guesses_at_once_are_counted(house: House) -> None:
    house.people.add("Ann", "ann", "nurse", GOOD)
    told: list[type] = []

    def guess() -> None:
        try:
            house.people.login("ann", "wrong", "10.0.0.1")
        except BadInput as error:
            told.append(type(error))

    threads = [threading.Thread(target=guess) for _ in range(3 * LOGIN_FAILURES)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert told.count(NotIn) == LOGIN_FAILURES
    assert told.count(Locked) == 2 * LOGIN_FAILURES


def test_sessions_run_out(house: House) -> None:
    house.people.add("Ann", "ann", "nurse", GOOD)
    idle = house.people.login("ann", GOOD)
    house.clock.go(seconds=IDLE.total_seconds() - 1)
    assert house.people.session(idle.token)
    house.clock.go(seconds=IDLE.total_seconds())
    with pytest.raises(NotIn, match="ran out"):
        house.people.session(idle.token)
    busy = house.people.login("ann", GOOD)
    for _ in range(int(WHOLE / (IDLE / 2)) - 1):
        house.clock.go(seconds=IDLE.total_seconds() / 2)
        assert house.people.session(busy.token)
    house.clock.go(seconds=IDLE.total_seconds() / 2)
    with pytest.raises(NotIn, match="ran out"):
        house.people.session(busy.token)


def test_a_new_password_or_leaving_ends_all_sessions(house: House) -> None:
    house.people.add("Root", "root", "administrator", GOOD)
    for deed in (lambda who: house.people.set_password(who, "five other words that differ"), house.people.deactivate):
        ann = house.people.add("Ann", f"ann{len(house.people.roll())}", "nurse", GOOD)
        sessions = [house.people.login(ann.login, GOOD) for _ in range(2)]
        deed(ann.id)
        for session in sessions:
            with pytest.raises(NotIn):
                house.people.session(session.token)
        with pytest.raises(NotIn):
            house.people.login(ann.login, GOOD)


def test_the_last_administrator_stays(house: House) -> None:
    root = house.people.add("Root", "root", "administrator", GOOD)
    with pytest.raises(BadInput, match="last administrator"):
        house.people.deactivate(root.id)
    house.people.add("Second", "second", "administrator", GOOD)
    house.people.deactivate(root.id)


def test_another_role_ends_all_sessions_and_is_written_down(house: House) -> None:
    root, ann = house.people.add("Root", "root", "administrator", GOOD), house.people.add("Ann", "ann", "nurse", GOOD)
    inside, other = house.people.login("ann", GOOD), house.people.login("root", GOOD)
    assert house.people.set_role(ann.id, "nurse", root) == ann
    assert house.people.session(inside.token).person == ann  # the same role changes nothing
    assert house.people.seen() == []
    changed = house.people.set_role(ann.id, "physician", root, "10.0.0.7")
    assert (changed.id, changed.role, changed.name) == (ann.id, "physician", "Ann")
    with pytest.raises(NotIn):
        house.people.session(inside.token)
    assert house.people.session(other.token).person == root
    assert house.people.login("ann", GOOD).person.role == "physician"
    row, = house.people.seen()
    assert (row["person"], row["role"], row["address"], row["method"]) == (root.id, "administrator", "10.0.0.7", "ROLE")
    assert row["route"] == f"{ann.id}: nurse to physician"


def test_roles_that_are_not_given(house: House) -> None:
    root = house.people.add("Root", "root", "administrator", GOOD)
    link, _ = house.people.link(new_id(), root.id)
    patient = house.people.exchange(link).person
    for person, role, words in ((root.id, "nurse", "the last administrator cannot get another role"), (root.id, "patient", "nobody is given"),
                                (root.id, "owner", "nobody is given"), (patient.id, "nurse", "a patient has no other role"),
                                (new_id(), "nurse", "no such person")):
        with pytest.raises(BadInput, match=words):
            house.people.set_role(person, role, root)
    gone = house.people.add("Gone", "gone", "administrator", GOOD)
    house.people.deactivate(gone.id)
    with pytest.raises(BadInput, match="last administrator"):  # one who left does not count
        house.people.set_role(root.id, "nurse", root)
    assert {each.login: each.role for each in house.people.roll() if each.role != "patient"} == {"root": "administrator", "gone": "administrator"}
    assert house.people.seen() == []


def test_two_administrators_cannot_remove_each_other(place: Place) -> None:
    """At once, on both databases: one of them stays."""
    record = place.create()
    people = People(record.engine, hasher=QUICK)
    for _ in range(5):
        pair = [people.add("Root", f"root{len(people.roll())}", "administrator", GOOD) for _ in range(2)]
        for other in people.roll():
            if other.role == "administrator" and other.active and other not in pair:
                people.deactivate(other.id)
        begin, done = threading.Barrier(2), list[str]()

        def remove(number: int, pair: list[Person] = pair, begin: threading.Barrier = begin, done: list[str] = done) -> None:
            begin.wait()
            try:
                if number:
                    people.set_role(pair[0].id, "nurse", pair[1])
                else:
                    people.deactivate(pair[1].id)
                done.append("done")
            except BadInput as error:
                done.append(error.problem)

        threads = [threading.Thread(target=remove, args=(number,)) for number in range(2)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert len(done) == 2
        assert sorted(word.startswith("the last administrator") for word in done) == [False, True]
        assert sum(each.role == "administrator" and each.active for each in people.roll()) == 1
    record.close()


def _back(house: House, **much: float) -> None:
    house.clock.at -= timedelta(**much)


@pytest.mark.parametrize("restart", [False, True])
def test_a_clock_that_goes_back_revives_nothing(house: House, restart: bool) -> None:
    """Neither in the process nor after a restart; what the record saw last counts."""
    house.people.add("Ann", "ann", "nurse", GOOD)
    old = house.people.login("ann", GOOD)
    link, _ = house.people.link(new_id(), "ann")
    house.clock.go(hours=13)
    fresh = house.people.login("ann", GOOD)
    house.clock.go(hours=48)
    house.people.saw("", "", "", "GET", "/", "", 200)  # any row tells the time
    _back(house, hours=61)
    people = house.again() if restart else house.people
    for session in (old, fresh):
        with pytest.raises(NotIn):
            people.session(session.token)
    with pytest.raises(NotIn, match="link"):
        people.exchange(link)


def test_time_goes_on_while_the_clock_is_behind(house: House) -> None:
    """A session made before the clock was set back ends when its time has passed by the clock that nobody sets."""
    house.people.add("Ann", "ann", "nurse", GOOD)
    session = house.people.login("ann", GOOD)
    _back(house, days=400)
    assert house.people.session(session.token)
    house.clock.go(seconds=IDLE.total_seconds() + 1)
    with pytest.raises(NotIn, match="ran out"):
        house.people.session(session.token)


def test_failures_count_while_the_clock_is_behind(house: House) -> None:
    for _ in range(LOGIN_FAILURES):
        with pytest.raises(NotIn):
            house.people.login("ann", "wrong")
        _back(house, hours=1)
    with pytest.raises(Locked):
        house.people.login("ann", "wrong")


def test_a_link_opens_one_diary_once(house: House) -> None:
    patient = new_id()
    token, _ = house.people.link(patient, "nurse")
    session = house.people.exchange(token)
    assert (session.person.role, session.person.patient) == ("patient", patient)
    with pytest.raises(NotIn, match="link"):
        house.people.exchange(token)
    second = house.people.exchange(house.people.link(patient, "nurse")[0])
    assert second.person == session.person  # entries that a phone kept meet those it sent before
    house.clock.go(seconds=DIARY_SESSION.total_seconds() - 1)
    assert house.people.session(session.token)
    house.clock.go(seconds=2)
    with pytest.raises(NotIn):
        house.people.session(session.token)


def test_a_link_used_by_many_at_once_opens_for_one(house: House) -> None:
    token, _ = house.people.link(new_id(), "nurse")
    told: list[str] = []

    def use() -> None:
        try:
            house.people.exchange(token)
            told.append("in")
        except NotIn:
            told.append("out")

    threads = [threading.Thread(target=use) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(told) == ["in"] + ["out"] * 7


def test_a_link_runs_out_and_can_be_taken_back(house: House) -> None:
    patient = new_id()
    late, _ = house.people.link(patient, "nurse")
    house.clock.go(seconds=LINK.total_seconds() + 1)
    with pytest.raises(NotIn):
        house.people.exchange(late)
    session = house.people.exchange(house.people.link(patient, "nurse")[0])
    waiting, _ = house.people.link(patient, "nurse")
    house.people.revoke(patient)
    with pytest.raises(NotIn):
        house.people.exchange(waiting)
    with pytest.raises(NotIn):
        house.people.session(session.token)


def test_a_patient_has_no_password(house: House) -> None:
    session = house.people.exchange(house.people.link(new_id(), "nurse")[0])
    with pytest.raises(BadInput, match="no password"):
        house.people.set_password(session.person.id, GOOD)
    for password in ("", GOOD):
        with pytest.raises(NotIn):
            house.people.login(session.person.login, password)


def test_the_first_administrator(house: House) -> None:
    stale = house.people.first()
    token = house.people.first()
    with pytest.raises(NotIn):
        house.people.set_up(stale, "Root", "root", GOOD)
    with pytest.raises(NotIn):
        house.people.exchange(token)  # it opens no diary
    with pytest.raises(BadInput, match="another length"):
        house.people.set_up(token, "Root", "root", "short")
    assert house.people.set_up(token, "Root", "root", GOOD).role == "administrator"
    with pytest.raises(BadInput, match="people already"):
        house.people.first()
    diary, _ = house.people.link(new_id(), "x")
    with pytest.raises(NotIn):
        house.people.set_up(diary, "Root", "root2", GOOD)


def test_two_cannot_be_the_first(house: House) -> None:
    token = house.people.first()
    house.people.add("Ann", "ann", "administrator", GOOD)
    with pytest.raises(NotIn, match="people already"):
        house.people.set_up(token, "Root", "root", GOOD)
    assert [each.login for each in house.people.roll()] == ["ann"]


def test_openid_connect_adds_nobody(house: House) -> None:
    with pytest.raises(NotIn, match="nobody of this clinic"):
        house.people.by_subject("https://issuer", "17")
    ann = house.people.add("Ann", "ann", "nurse", subject="https://issuer 17")
    assert house.people.by_subject("https://issuer", "17").person == ann
    with pytest.raises(NotIn):
        house.people.by_subject("https://other", "17")
    with pytest.raises(NotIn):
        house.people.login("ann", "")
    house.people.add("Root", "root", "administrator", GOOD)
    house.people.deactivate(ann.id)
    with pytest.raises(NotIn):
        house.people.by_subject("https://issuer", "17")


def test_the_access_log_takes_nothing_back(house: House) -> None:
    house.people.saw("p", "nurse", "10.0.0.1", "GET", "/x", "0" * 32, 200)
    row, = house.people.seen(patient="0" * 32)
    assert (row["person"], row["route"], row["status"]) == ("p", "/x", 200)
    for deed in (delete(schema.access), schema.access.update().values(person="q"), text("INSERT OR REPLACE INTO access SELECT * FROM access")):
        with pytest.raises(DBAPIError, match="append-only"), house.record.engine.begin() as connection:
            connection.execute(deed)


def test_rows_of_the_access_log_that_come_together_share_a_write_and_fail_alone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    record = place.create()
    people = People(record.engine, hasher=QUICK)
    line, errors, batches = people._visits, list[str](), list[int]()
    own = line._work
    monkeypatch.setattr(line, "_work", lambda visits: (batches.append(len(visits)), own(visits)))

    def visit(number: int) -> None:
        try:
            people.saw("p", "nurse", "10.0.0.1", "GET", f"/{number}", "", None if number == 2 else 200)  # type: ignore[arg-type]
        except DBAPIError as error:
            errors.append(type(error).__name__)

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(5)]
    together(line, threads)
    assert batches == [5]
    assert errors == ["IntegrityError"]
    assert [row["route"] for row in people.seen()] == ["/0", "/1", "/3", "/4"]
    people.saw("p", "nurse", "10.0.0.1", "GET", "/5", "", 200)  # nobody is left in line
    assert batches == [5, 1]
    record.close()


def test_few_passwords_are_hashed_at_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of logins does not take all memory."""
    house.people.add("Ann", "ann", "nurse", GOOD)
    now, most, lock, real = [0], [0], threading.Lock(), QUICK.verify

    def slow(self: object, *given: str) -> bool:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        threading.Event().wait(0.02)
        try:
            return real(*given)
        finally:
            with lock:
                now[0] -= 1

    monkeypatch.setattr(type(QUICK), "verify", slow)
    call: Callable[[int], object] = lambda number: house.people.login("ann", GOOD, f"10.0.0.{number}")  # noqa: E731
    threads = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert most[0] <= module.AT_ONCE
