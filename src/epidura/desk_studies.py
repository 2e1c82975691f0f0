"""Studies of virtual patients behind a page: started, watched, stopped, gone on with, opened.

    desk = Studies(folder)
    name = desk.start(text, 1000, 2, "whoever").id
    desk.told(name)["state"]        running, done, stopped, failed or interrupted

A study is a process of its own, ``epidura cohort``, in a session of its own: it outlives the server that started it. How it is doing is read from
its folder and its process number alone, so another server says the same. What is finished is kept in the folder in any case.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from epidura.case import Case
from epidura.cohort import need_arrow
from epidura.cohort_page import REASONS, WORDS
from epidura.cohort_study import Study, read_study
from epidura.errors import BadInput
from epidura.patient import indication_words
from epidura.recipe import load

MINE, ALL, KEPT = 1, 2, 100
"""Most studies that run at once for a person and for a server, and that a server keeps. Choice of this project."""
PATIENTS = (10, 10_000)
NAME = re.compile("[0-9a-f]{16}")
PARQUET = "application/vnd.apache.parquet"
DOWNLOADS = {"patients.parquet": PARQUET, "visits.parquet": PARQUET, "study.yaml": "application/yaml", "study.json": "application/json"}
"""What can be taken from the folder of a study that is done, and its media type."""
GRACE = 10.0
"""s. What a study that shall stop may take to end."""


class Busy(Exception):
    """As many studies run as may."""


@dataclass(frozen=True)
class Note:
    """What is written down beside the results of a study.

    Attributes:
        id: made here.
        title: of the study.
        patients, workers, seed: as asked for.
        owner, name: who started it.
        begun: when it was first started, ISO 8601.
        process, born: number of its process, and when that began by the clock of the kernel; 0: none.
        asked: it was told to stop.
    """

    id: str
    title: str
    patients: int
    workers: int
    seed: int
    owner: str
    name: str
    begun: str
    process: int = 0
    born: int = 0
    asked: bool = False


@cache
def examples() -> tuple[dict[str, str], ...]:
    """The shipped studies: id, title and text, with their case in it."""
    home = files("epidura") / "data"
    case = (home / "demo.yaml").read_text("utf-8").rstrip().replace("\n", "\n  ")
    found = []
    for path in sorted((home / "studies").iterdir(), key=lambda each: each.name):
        text = path.read_text("utf-8")
        title = str(yaml.safe_load(text)["title"])
        found.append({"id": path.name.removesuffix(".yaml"), "title": title, "text": text.replace("case: ../demo.yaml", f"case:\n  {case}")})
    return tuple(sorted(found, key=lambda each: each["id"] != "tonic_beside_usual_care"))


def read(text: str, case: Case | None = None, seed: int | None = None) -> Study:
    """A study from the text that a page sent.

    Args:
        text: YAML. Its case must stand in it: nothing is read from the disk of this machine.
        case: in place of the one in the text.
        seed: in place of the one in the text.

    Raises:
        BadInput: with the path in the text.
    """
    given = dict(load(text + "\n", "study", Study))
    if case is not None:
        given["case"] = case.model_dump(mode="json")
    if isinstance(given.get("case"), str):
        raise BadInput("case", "the path of a file says nothing here", got=given["case"], allowed="the case itself, indented under case:",
                       hint="or draw people around the draft")
    anatomy = given["case"].get("anatomy") if isinstance(given.get("case"), dict) else None
    if case is None and isinstance(anatomy, dict) and "file" in anatomy:
        raise BadInput("case.anatomy.file", "the path of a file says nothing here", got=anatomy["file"], allowed="an anatomy in numbers")
    if seed is not None:
        given["seed"] = seed
    return read_study(given)


def about(study: Study) -> dict[str, Any]:
    """What a study will do, for a page."""
    return {"title": study.title, "arms": [{"name": arm.name, "program": arm.program} for arm in study.arms], "months": list(study.months),
            "indication": indication_words(study.population.indication), "replicates": study.replicates, "seed": study.seed,
            "programming": study.programming, "by": study.surrogate.by,
            "runs": len(dict(study.nodes.tasks)) + study.surrogate.compared if study.surrogate.by == "surrogate" else None}


class Studies:
    """The studies in a folder.

    Args:
        folder: of all of them; made when the first is started.
    """

    def __init__(self, folder: Path):
        self.folder, self._lock = folder, threading.Lock()

    def start(self, study: Study, patients: int, workers: int, owner: str, name: str = "") -> Note:
        """Start a study.

        Args:
            study: read already.
            patients: how many.
            workers: processes, up to the processors of this machine.
            owner, name: id and name of who starts it.

        Raises:
            BadInput: too few or too many of something, or the library for the tables is missing.
            Busy: as many run as may.
        """
        need_arrow()
        low, high = PATIENTS
        if not low <= patients <= high:
            raise BadInput("patients", "too few or too many", got=patients, allowed=f"{low} to {high}")
        if not 1 <= workers <= cores():
            raise BadInput("workers", "not so many processes", got=workers, allowed=f"1 to {cores()}, the processors of this machine")
        note = Note(secrets.token_hex(8), study.title, patients, workers, study.seed, owner, name, datetime.now(UTC).isoformat(timespec="seconds"))
        with self._lock:
            self._require_room(owner)
            if len(self.names()) >= KEPT:
                raise Busy(f"{KEPT} studies are kept already; remove one")
            home = self.folder / note.id
            home.mkdir(parents=True)
            (home / "asked.yaml").write_text(yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True), "utf-8")
            return self._launch(note)

    def resume(self, name: str, owner: str) -> Note:
        """Go on with a study that does not run and is not done.

        Raises:
            KeyError: there is none of this name.
            Busy: as many run as may, this one among them, or it is done.
        """
        with self._lock:
            note = self.note(name)
            if (state := self._state(note)) in ("running", "done"):
                raise Busy(f"this study is {state}")
            self._require_room(owner)
            return self._launch(note)

    def stop(self, name: str) -> None:
        """End a study that runs; what is finished is kept.

        Raises:
            KeyError: there is none of this name.
        """
        with self._lock:
            note = self.note(name)
            if not self._lives(note):
                return
            self._write(Note(**{**asdict(note), "asked": True}))
            _signal(note.process, signal.SIGTERM)
        until = time.monotonic() + GRACE
        while self._lives(note) and time.monotonic() < until:
            time.sleep(0.05)
        if self._lives(note):
            _signal(note.process, signal.SIGKILL)

    def remove(self, name: str) -> None:
        """Delete a study that does not run, with all its results.

        Raises:
            KeyError: there is none of this name.
            Busy: it runs.
        """
        with self._lock:
            if self._lives(self.note(name)):
                raise Busy("this study is running")
            shutil.rmtree(self.folder / name)

    def names(self) -> list[str]:
        """Of all studies."""
        if not self.folder.is_dir():
            return []
        return [entry.name for entry in os.scandir(self.folder) if NAME.fullmatch(entry.name) and (Path(entry.path) / "note.json").is_file()]

    def told(self, name: str) -> dict[str, Any]:
        """How a study is doing: its note, ``state``, ``words`` and ``share`` of the work, and what went wrong.

        Raises:
            KeyError: there is none of this name.
        """
        note = self.note(name)
        state = self._state(note)
        words, share = self._progress(name)
        found = {key: value for key, value in asdict(note).items() if key not in ("process", "born", "asked")}
        return found | {"state": state, "words": "" if state == "done" else words, "share": 1.0 if state == "done" else share,
                        "problem": self._problem(name) if state == "failed" else ""}

    def all(self) -> list[dict[str, Any]]:
        """All studies, the newest first."""
        found = []
        for name in self.names():
            with contextlib.suppress(KeyError):  # removed meanwhile
                found.append(self.told(name))
        return sorted(found, key=lambda one: str(one["begun"]), reverse=True)

    def summary(self, name: str) -> dict[str, Any]:
        """What came out of a study that is done, with words for what is named by short names.

        Raises:
            KeyError: there is none of this name, or it is not done.
        """
        found: dict[str, Any] = json.loads(self.result(name, "study.json").read_text("utf-8"))
        return found | {"reason_words": REASONS, "covariate_words": WORDS}

    def result(self, name: str, file: str) -> Path:
        """A file of a study that is done.

        Raises:
            KeyError: no such study or file, or it is not done.
        """
        home = self._results(name)
        if file not in (*DOWNLOADS, "report.html") or not (home / "report.html").is_file() or not (home / file).is_file():
            raise KeyError(file)
        return home / file

    def csv(self, name: str, table: str) -> Iterator[bytes]:
        """A table (``patients`` or ``visits``) as CSV, piece by piece: that of a large study does not fit into memory twice.

        Raises:
            KeyError: as ``result``.
        """
        from io import BytesIO

        import pyarrow as pa
        import pyarrow.csv as arrow_csv
        import pyarrow.parquet as pq

        file = pq.ParquetFile(self.result(name, f"{table}.parquet"))
        for k in range(file.num_row_groups):
            piece = BytesIO()
            arrow_csv.write_csv(pa.table(file.read_row_group(k)), piece, arrow_csv.WriteOptions(include_header=k == 0))
            yield piece.getvalue()

    def note(self, name: str) -> Note:
        """What is written down of a study.

        Raises:
            KeyError: there is none of this name.
        """
        if not NAME.fullmatch(name):
            raise KeyError(name)
        try:
            return Note(**json.loads((self.folder / name / "note.json").read_text("utf-8")))
        except FileNotFoundError:
            raise KeyError(name) from None

    def _results(self, name: str) -> Path:
        self.note(name)
        return self.folder / name / "results"

    def _require_room(self, owner: str) -> None:
        running = [note for note in map(self.note, self.names()) if self._lives(note)]
        if sum(note.owner == owner for note in running) >= MINE:
            raise Busy("one of your studies is running; wait for it, or stop it")
        if len(running) >= ALL:
            raise Busy(f"{ALL} studies are running on this server; wait for one of them")

    def _launch(self, note: Note) -> Note:
        """Start the process of a study, in a session of its own so that no signal to the server reaches it."""
        home = self.folder / note.id
        for left in ("progress.json", "log.txt"):
            (home / left).unlink(missing_ok=True)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        with (home / "log.txt").open("wb") as log:
            process = subprocess.Popen(command(note), cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, env=environment,
                                       start_new_session=True)
        threading.Thread(target=process.wait, daemon=True).start()  # so that its end is noticed
        made = Note(**{**asdict(note), "process": process.pid, "born": _born(process.pid), "asked": False})
        self._write(made)
        return made

    def _write(self, note: Note) -> None:
        path = self.folder / note.id / "note.json"
        part = path.with_name(f".note-{secrets.token_hex(4)}")
        part.write_text(json.dumps(asdict(note)), "utf-8")
        os.replace(part, path)

    def _lives(self, note: Note) -> bool:
        return note.process > 0 and alive(note.process, note.born)

    def _state(self, note: Note) -> str:
        if self._lives(note):
            return "running"
        if (self.folder / note.id / "results" / "report.html").is_file():
            return "done"
        if note.asked:
            return "stopped"
        return "failed" if self._problem(note.id) else "interrupted"

    def _problem(self, name: str) -> str:
        """The last line that the process left behind, without the folder of this machine."""
        try:
            lines = (self.folder / name / "log.txt").read_text("utf-8", "replace").strip().splitlines()
        except FileNotFoundError:
            return ""
        return lines[-1].removeprefix("epidura: ").replace(str(self.folder / name), "its folder")[:500] if lines else ""

    def _progress(self, name: str) -> tuple[str, float]:
        try:
            found = json.loads((self.folder / name / "progress.json").read_text("utf-8"))
            return str(found["words"]), float(found["share"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return "reading the study", 0.0


def command(note: Note) -> list[str]:
    """What runs a study, in its folder."""
    return [sys.executable, "-m", "epidura.cli", "cohort", "asked.yaml", "--patients", str(note.patients), "--workers", str(note.workers),
            "--resume", "--out", "results", "--progress", "progress.json", "--json"]


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def alive(process: int, born: int) -> bool:
    """Whether a process lives and is the one that began then: numbers are given again."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False  # somebody else's: the number was given again
    state, now = _stat(process)
    return state not in ("Z", "X") and (born == 0 or now == 0 or born == now)


def _born(process: int) -> int:
    return _stat(process)[1]


def _stat(process: int) -> tuple[str, int]:
    """State of a process and when it began, in ticks of the kernel; "" and 0 where nobody says."""
    try:
        after = Path(f"/proc/{process}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        return after[0], int(after[19])
    except (OSError, IndexError, ValueError):
        return "", 0


def _signal(process: int, which: int) -> None:
    """To a process and all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process, which)
