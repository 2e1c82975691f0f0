"""Of the record: several patients in one write, areas of one side, and devices that a notice is about."""

from __future__ import annotations

import threading
import time
from datetime import UTC, date, datetime

import pytest
from in_line import together

from epidura.clinic import events
from epidura.clinic.pathway import Happened, Refused, blank, fold
from epidura.clinic.record import Record, Unknown, new_id
from epidura.clinic.store.engine import WRITE
from epidura.clinic.store.line import Line
from epidura.errors import BadInput, Failed

DAY = date(2026, 1, 5)


@pytest.fixture
def record(tmp_path):
    made = Record.create(tmp_path / "clinic.sqlite", clock=lambda: datetime(2026, 1, 6, 9, tzinfo=UTC))
    yield made
    made.close()


def registered(name: str = "Muster") -> events.Registered:
    return events.Registered(on=DAY, identity=events.Identity(family_name=name, given_name="Eva", birth_date=date(1960, 2, 3)), birth_year=1960)


def test_one_write_of_several_patients_is_all_or_nothing(record):
    one, other = new_id(), new_id()
    referred = events.Referred(on=DAY, indication="crps")
    done = record.commit_all([("import", one, [registered(), referred]), ("import", other, [registered("Beispiel")])])
    assert [each.version for each in done] == [2, 1]
    third = new_id()
    with pytest.raises(Refused, match="not registered"):
        record.commit_all([("import", third, [registered()]), ("import", new_id(), [events.Referred(on=DAY, indication="crps")])])
    with pytest.raises(Unknown):
        record.state(third)
    verified = record.verify()
    assert (verified.events, verified.breaks) == (3, ())
    with pytest.raises(BadInput, match="erasure"):
        record.commit_all([("import", one, [events.Erased(on=DAY, authority="court")])])


def test_a_writer_that_is_stopped_holds_up_nobody():
    """Those it wrote for are told, and the next in line goes on."""
    done: list[list[str]] = []

    def work(jobs: list[str]) -> None:
        if "stop" in jobs:
            raise KeyboardInterrupt
        done.append(jobs)

    line, told = Line(work), dict[str, str]()

    def client(job: str) -> None:
        try:
            line.do(job)
            told[job] = "done"
        except (Failed, KeyboardInterrupt) as error:
            told[job] = type(error).__name__

    together(line, [threading.Thread(target=client, args=(job,)) for job in ("stop", "with it")])
    assert told == {"stop": "KeyboardInterrupt", "with it": "Failed"}
    client("after")
    assert (told["after"], done) == ("done", [["after"]])


def test_who_writes_to_sqlite_waits_in_this_process(tmp_path):
    """SQLite would be asked again and again, after up to 0.1 s: who waits goes on as soon as the other is done."""
    record = Record.create(tmp_path / "clinic.sqlite")
    writer, waited = record.engine.execution_options(**{WRITE: True}), list[float]()

    def wait() -> None:
        with writer.begin():
            waited.append(time.perf_counter())

    for _ in range(5):
        thread = threading.Thread(target=wait)
        with writer.begin():
            thread.start()
            time.sleep(0.3)
        end = time.perf_counter()
        thread.join()
        waited[-1] -= end
    assert min(waited) < 0.02
    with pytest.raises(ZeroDivisionError), writer.begin():  # whatever ends a write lets the next one in
        raise ZeroDivisionError
    wait()
    record.close()


def test_an_area_may_be_of_one_side():
    assert events.Referred(on=DAY, indication="crps", pain_areas=("left-leg", "low-back")).pain_areas == ("left-leg", "low-back")
    with pytest.raises(BadInput, match="did you mean 'left-leg'"):
        events.read({"kind": "referral.received", "on": "2026-01-05", "indication": "crps", "pain_areas": ["leftt-leg"]})


def test_a_notice_is_about_a_device_that_is_on_record(record):
    patient = new_id()
    record.commit("nurse", patient, [registered()])
    with pytest.raises(Refused, match="no generator is on record"):
        record.commit("nurse", patient, [events.Recalled(on=DAY, notice="FSN 1", part="generator")])
    state = fold({**blank(), "stage": "follow-up", "generator": {"model": "senza"}},
                 Happened(1, "device.recalled", "2026-01-05", {"notice": "FSN 1", "part": "generator"}))
    state = fold(state, Happened(2, "device.recalled", "2026-01-09", {"notice": "FSN 1", "part": "generator", "state": "checked"}))
    assert [each["state"] for each in state["recalls"].values()] == ["checked"]
