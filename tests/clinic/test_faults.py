"""What may go wrong with a machine: nothing that was acknowledged is lost, and the chain is whole. Figures: docs/reliability.md."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from clinic_course import Place, course, diary, write

from epidura.clinic.record import Full, Record
from epidura.clinic.store import log
from epidura.clinic.store.projection import differences

HERE = Path(__file__).parent


def writers(place: Place, patients: list[str], most: int = 0) -> subprocess.Popen[str]:
    """A group of processes, one for each patient."""
    path = os.pathsep.join([str(HERE), *filter(None, sys.path)])
    return subprocess.Popen([sys.executable, str(HERE / "clinic_writer.py"), place.where, str(place.key), str(most), *patients],
                            stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}, start_new_session=True)


def heard(process: subprocess.Popen[str]) -> list[str]:
    """What killed writers had acknowledged; a line that was cut off was not heard."""
    assert process.stdout is not None
    text = process.stdout.read()
    process.stdout.close()
    process.wait()
    return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]


def hashes(lines: Iterable[str]) -> set[str]:
    return {line.strip() for line in lines if len(line.strip()) == 64}


def written(record: Record, patient: str) -> tuple[set[str], str]:
    """Days written until the disk is full: hashes of what was acknowledged, and what was said in the end."""
    done = set()
    for k in range(5000):
        try:
            done.add(record.commit("phone", patient, [diary(k % 300)]).events[0].hash)
        except Full as error:
            return done, str(error)
    raise AssertionError("the disk was never full")


def kept(record: Record) -> set[str]:
    with record.engine.connect() as connection:
        assert differences(connection) == ()
        return {each.hash for each in log.read(connection)}


def test_three_writers_are_killed_and_nothing_acknowledged_is_lost(place):
    record = place.create()
    patients = [write(record, course()[:2]) for _ in range(3)]
    record.close()
    process = writers(place, patients)
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(10)].count("ready\n") >= 1
    time.sleep(0.7)
    os.killpg(process.pid, signal.SIGKILL)
    acknowledged = hashes(heard(process))
    again = place.open()
    assert len(acknowledged) > 10
    assert acknowledged <= kept(again)
    assert again.verify().breaks == ()
    # of the ten lines read before, and one of each process that nobody heard of
    assert again.verify().events <= len(acknowledged) + 6 + 10 + 3
    for patient in patients:
        again.commit("nurse", patient, [diary(301)])
    again.close()


def test_power_is_cut_at_any_moment(tmp_path):
    """The files as they stand on the disk at some moment, with the write-ahead file cut off anywhere behind what was synced."""
    record = Record.create(tmp_path / "clinic.sqlite")
    patients = [write(record, course()[:2]) for _ in range(3)]
    stop, said, lock = threading.Event(), list[tuple[str, int]](), threading.Lock()
    wal = tmp_path / "clinic.sqlite-wal"

    def phone(patient: str) -> None:
        k = 0
        while not stop.is_set():
            done = record.commit("phone", patient, [diary(k % 300)])
            with lock:
                said.append((done.events[0].hash, wal.stat().st_size))
            k += 1

    threads = [threading.Thread(target=phone, args=(patient,)) for patient in patients]
    for each in threads:
        each.start()
    dice, seen = random.Random(1), 0
    try:
        for cut in range(12):
            time.sleep(dice.uniform(0.01, 0.12))
            with lock:
                acknowledged = {each for each, _ in said}
            folder = tmp_path / f"cut{cut}"
            folder.mkdir()
            # the main file first: a checkpoint moves what was synced from the write-ahead file into it, and only then begins that file anew
            with record.engine.connect() as connection:  # holds off a checkpoint that would tear this copy, which no power cut does
                connection.exec_driver_sql("SELECT count(*) FROM event")
                shutil.copy(tmp_path / "clinic.sqlite", folder)
                shutil.copy(wal, folder)
            shutil.copy(tmp_path / "clinic.key", folder)
            if cut % 2:  # what was being appended reached the disk in part, or as rubbish
                with open(folder / "clinic.sqlite-wal", "ab") as file:
                    file.write(dice.randbytes(dice.randrange(1, 9000)))
            again = Record.open(folder / "clinic.sqlite")
            there = kept(again)
            assert acknowledged <= there
            assert again.verify().breaks == ()
            again.commit("phone", patients[0], [diary(5)])
            again.close()
            seen = len(acknowledged)
    finally:
        stop.set()
        for each in threads:
            each.join()
    assert seen > 20
    record.close()


def test_a_write_ahead_file_cut_off_anywhere_gives_a_whole_earlier_record(tmp_path):
    record = Record.create(tmp_path / "clinic.sqlite")
    patient = write(record, course()[:2])
    wal, sizes = tmp_path / "clinic.sqlite-wal", []
    for k in range(12):
        done = record.commit("phone", patient, [diary(k)])
        sizes.append((wal.stat().st_size, done.events[0].hash))
    base, whole = (tmp_path / "clinic.sqlite").read_bytes(), wal.read_bytes()
    dice = random.Random(2)
    fewest = 12
    for cut in [dice.randrange(len(whole) // 2, len(whole)) for _ in range(12)]:
        folder = tmp_path / f"cut{cut}"
        folder.mkdir(exist_ok=True)
        (folder / "clinic.sqlite").write_bytes(base)
        (folder / "clinic.sqlite-wal").write_bytes(whole[:cut])
        shutil.copy(tmp_path / "clinic.key", folder)
        again = Record.open(folder / "clinic.sqlite")
        synced = {own for size, own in sizes if size <= cut}
        assert synced <= kept(again)
        assert again.verify().breaks == ()
        fewest = min(fewest, len(synced))
        again.close()
    assert fewest < 12  # something was cut off
    record.close()


def test_a_full_database_takes_nothing_by_halves(tmp_path):
    record = Record.create(tmp_path / "clinic.sqlite")
    patient = write(record, course()[:2])
    record.engine.dispose()
    from sqlalchemy import event

    most = [0]

    @event.listens_for(record.engine, "begin")
    def _small(connection) -> None:
        if most[0]:
            connection.exec_driver_sql(f"PRAGMA max_page_count = {most[0]}")

    with record.engine.connect() as connection:
        most[0] = int(connection.exec_driver_sql("PRAGMA page_count").scalar_one()) + 3
    done, words = written(record, patient)
    assert "make room and write again" in words
    before = record.verify()
    assert before.breaks == ()
    assert done <= kept(record)
    with pytest.raises(Full):
        record.commit("phone", patient, [diary(k) for k in range(200)])
    assert record.verify() == before
    most[0] += 1000
    record.commit("phone", patient, [diary(301)])  # room was made
    assert record.verify().events == before.events + 1
    record.close()


def test_a_disk_that_takes_no_more_bytes(tmp_path):
    """The limit on a file's size stands for a full disk: it is met while SQLite writes ahead."""
    record = Record.create(tmp_path / "clinic.sqlite")
    patient = write(record, course()[:2])
    record.close()
    size = (tmp_path / "clinic.sqlite").stat().st_size
    process = writers(Place(str(tmp_path / "clinic.sqlite"), tmp_path / "clinic.key"), [patient], size + 200_000)
    lines = heard(process)
    assert process.returncode == 0
    assert "disk is full or failed" in lines[-1]
    again = Record.open(tmp_path / "clinic.sqlite")
    assert len(hashes(lines)) > 5
    assert hashes(lines) <= kept(again)
    assert again.verify().breaks == ()
    again.commit("phone", patient, [diary(301)])
    again.close()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="a small disk can be mounted by root alone")
def test_a_disk_that_is_full(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a disk")
    try:
        record = Record.create(folder / "clinic.sqlite")
        patient = write(record, course()[:2])
        done, _ = written(record, patient)
        assert done <= kept(record)
        assert record.verify().breaks == ()
        subprocess.run(["mount", "-o", "remount,size=4m", str(folder)], check=True)
        record.commit("phone", patient, [diary(301)])
        assert record.verify().breaks == ()
        record.close()
    finally:
        subprocess.run(["umount", str(folder)], check=False)


def test_a_clock_that_goes_backwards(place):
    dice = random.Random(3)
    base = datetime(2025, 6, 1, tzinfo=UTC)
    record = place.create(clock=lambda: base + timedelta(hours=dice.uniform(-40, 40)))
    patient = write(record, course()[:2])
    for k in range(30):
        record.commit("phone", patient, [diary(k)])
    with record.engine.connect() as connection:
        stamps = [each.recorded for each in log.read(connection)]
    assert stamps == sorted(stamps)
    assert record.verify().breaks == ()
    record.close()
