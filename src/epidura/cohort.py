"""Cohorts at scale: a study is a population, arms and visits; each virtual patient goes through the chain and through both stages.

    study = read_study("study.yaml")
    summary = run_study(study, 1000, "results/study", workers=2)

What programs reach in a person is taken from a surrogate of the chain, whose error is measured against the full chain, or from the full chain of
every person. What becomes of the person is ``stages.simulate``, once in each of some **replicates**: a replicate is one draw of the posterior of
the outcome model, of the centre and of the numbers of practice, which all patients share. So the spread between replicates is what the model is
unsure of. The same people live in all replicates and arms: each is a pure function of the seed of the study and their number.

All work is tasks of ``tasks.run_tasks``: runs at the nodes of the surrogate, persons by the full chain, and batches of patients. A batch hangs on
nothing but the study and the numbers of its patients. What a study is stands in ``cohort_study``, what came out in ``cohort_summary``.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

import epidura
from epidura import cohort_costs, cohort_reach, stages, units, virtual
from epidura.anatomy import population
from epidura.battery import YEAR
from epidura.case import Case
from epidura.cohort_reach import Reached, Spot
from epidura.cohort_study import Replicate, Study, Treatment, live, read_study, replicate
from epidura.cohort_summary import SEEN, TABLES, Tables, errors, summarise, warnings
from epidura.errors import BadGeometry, BadInput, Failed
from epidura.evidence.posterior import posterior
from epidura.lead_moves import Moved
from epidura.outcome import reach_factor
from epidura.reach import Reach, reaches
from epidura.recipe import read_recipe
from epidura.study import run, versions
from epidura.tasks import Outcome, Task, run_tasks
from epidura.virtual_sessions import Programmer
from epidura.workers import Workers

Floats = NDArray[np.float64]
Progress = Callable[[str, float], None]

FILES = ("study.yaml", *TABLES, "study.json", "report.html")
"""What stands in the folder of a study beside ``TASKS``. The first is there from the start, the others when all is done."""
TASKS = "tasks"
"""Folder of the results of single tasks."""
HYPOTHESIS = "none"
"""Of the gate, whose inhibition and closing amplitude are written down; the effect takes all that were run."""
LOAD = "epidura.cohort:get_ready"
"""What ``Workers`` load that are given to ``run_study``."""


# --- tasks ---

LATER = ("cohort", "virtual_sessions.py", "lead_moves.py", "stages.py", "costs.py", "outcome.py", "outlook.py", "quality_of_life.py", "eq5d.py",
         "trial.py", "evidence/", "tasks.py", "workers.py", "data/outcome_", "data/stage", "data/costs", "data/trial", "data/reach_reference",
         "data/programming_rules")
"""Sources that the runs of the chain do not hang on."""
SHOWN = ("cli", "bench/", "report.py", "gate_page.py", "outcome_page.py", "cohort_page.py", "program_page.py", "figures.py", "bodymap.py",
         "export.py", "clinic/", "api/", "fhir.py", "compare.py", "workbench.py", "desk_",
         "programmer.py", "patient_view.py", "scene.py", "maps.py", "level_advice.py")
"""Sources that only show, or that keep the record of real patients."""


@cache
def code(chain: bool) -> str:
    """Hash of the sources and tables of Epidura that results hang on; of the chain only, or of all."""
    home = Path(epidura.__file__).parent
    left_out = (*SHOWN, *(LATER if chain else ()))
    found = hashlib.blake2b(digest_size=16)
    names = sorted(path.relative_to(home).as_posix() for path in home.rglob("*") if path.suffix in (".py", ".csv", ".json", ".cu"))
    for name in names:
        if not name.startswith(left_out):
            found.update(name.encode() + b"\0" + (home / name).read_bytes())
    return found.hexdigest()


def get_ready() -> None:
    """Read what every batch needs: once, in the process whose forks compute them; sizes with a unit among it, whose library is slow."""
    units.parse("1 mm", "length")
    code(True)
    code(False)
    posterior()
    with suppress(ImportError):
        importlib.import_module("pyarrow.parquet")


def _same_code(chain: bool, wanted: str) -> None:
    if code(chain) != wanted:
        raise BadInput("worker", "has other sources of Epidura than the driver", got=code(chain), allowed=wanted,
                       hint="install the same version everywhere")


def _hash(*parts: object) -> str:
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def node_tasks(study: Study) -> list[Task]:
    """The runs of the surrogate; none where every person is run."""
    if study.surrogate.by == "full-chain":
        return []
    return [Task(_hash("node", key, code(True)), node_run, {"case": case.model_dump(mode="json"), "sources": code(True)}, ".npz")
            for key, case in dict(study.nodes.tasks).items()]


def chain_tasks(study: Study, people: Sequence[virtual.Person]) -> list[Task]:
    """The full chain of people."""
    return [Task(_hash("chain", one.case.key(), code(True)), chain_run, {"case": one.case.model_dump(mode="json"), "sources": code(True)}, ".json")
            for one in people]


def compared(study: Study) -> list[virtual.Person]:
    """People in whom the surrogate is held against the full chain: of another seed than the study's, where no node stands."""
    if study.surrogate.by == "full-chain":
        return []
    found: list[virtual.Person] = []
    i = 0
    while len(found) < study.surrogate.compared:
        with suppress(BadGeometry):  # someone whom the lead does not fit is no one to compare
            found.append(virtual.person(study.around, study.seed + 1, i))
        i += 1
        if i > 100 * study.surrogate.compared:
            raise Failed("the lead of the case fits nearly nobody, so the surrogate cannot be compared")
    return found


def node_run(case: dict[str, Any], sources: str) -> bytes:
    """What the surrogate needs of one run, as an npz file."""
    _same_code(True, sources)
    result = _run(case)
    found = virtual.outcome(result, tried=virtual.mapping(result))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "node.npz"
        found.save(path)
        return path.read_bytes()


def chain_run(case: dict[str, Any], sources: str) -> bytes:
    """What programs reach in a person, by the full chain, as JSON."""
    _same_code(True, sources)
    return json.dumps([asdict(one) for one in reaches(_run(case))]).encode()


def _run(case: dict[str, Any]) -> Any:
    return run(read_recipe(Case, case), check_field=False)


def session_run(case: dict[str, Any], sources: str) -> bytes:
    """What programs reach in a person after a session, by the full chain, as JSON."""
    _same_code(False, sources)
    return cohort_reach.to_text(cohort_reach.by_chain(read_recipe(Case, case))).encode()


def person_tasks(study: Study, people: Sequence[virtual.Person]) -> list[Task]:
    """The full chain of the people of a study, with a session where one is held."""
    if study.programming == "as-written":
        return chain_tasks(study, people)
    return [Task(_hash("session", one.case.key(), code(False)), session_run, {"case": one.case.model_dump(mode="json"), "sources": code(False)},
                 ".json") for one in people]


def batches(count: int, size: int) -> Iterator[range]:
    """Numbers of the patients of each task: those of a whole batch do not hang on how many patients there are."""
    for start in range(0, count, size):
        yield range(start, min(start + size, count))


def batch_tasks(study: Study, patients: int) -> list[Task]:
    """The patients of a study."""
    text, sources = study.model_dump_json(), code(False)
    chain = [task.key for task in node_tasks(study)]
    return [Task(_hash("batch", study.decides(), chain, code(True), sources, [of.start, of.stop]), batch_run,
                 {"study": text, "first": of.start, "end": of.stop, "sources": sources}, ".parquet", into="path")
            for of in batches(patients, study.batch)]


@lru_cache(maxsize=2)
def _study(text: str) -> Study:
    found: Study = read_recipe(Study, json.loads(text))
    return found


@lru_cache(maxsize=2)
def _programmer(text: str, home: str) -> Programmer:
    return Programmer(surrogate(_study(text), home))


def surrogate(study: Study, home: str | Path) -> virtual.Surrogate:
    """From what stands in the folder of the tasks."""
    keys = list(dict(study.nodes.tasks))
    found = {key: virtual.Outcome.load(task.path(home)) for key, task in zip(keys, node_tasks(study), strict=True)}
    return virtual.Surrogate(study.nodes, found)


@lru_cache(maxsize=2)
def _worlds(text: str) -> tuple[Replicate, ...]:
    study = _study(text)
    return tuple(replicate(study, r) for r in range(study.replicates))


def batch_run(path: Path, study: str, first: int, end: int, sources: str) -> None:
    """Patients ``first`` to ``end`` - 1 of a study, as a Parquet file: one row per arm, patient and replicate; visits are lists."""
    _same_code(False, sources)
    one, home = _study(study), Path(path).parent.parent
    numbers = list(range(first, end))
    people = [cohort_reach.persons(one.around, one.seed, i) for i in numbers]
    elsewhere = _elsewhere(one, numbers)
    found = [_reached(one, both, there, study, home) for both, there in zip(people, elsewhere, strict=True)]
    lives = _programmer(study, str(home)).battery_lives() if one.surrogate.by == "surrogate" else ()
    _write(_rows(one, numbers, people, found, _worlds(study), lives), path)


Persons = tuple[virtual.Person | None, virtual.Person | None]


def _elsewhere(study: Study, numbers: Sequence[int]) -> list[Persons]:
    """People whose leads may move, once they have; the surrogate needs no runs for that."""
    if study.surrogate.by == "surrogate":
        return [(None, None)] * len(numbers)
    may = stages.may_move(stages.cohort(study.seed, list(numbers)))
    return [cohort_reach.moved_persons(study.around, study.seed, i, bool(either.any()), bool(either[1]))
            for i, either in zip(numbers, may, strict=True)]


def _reached(study: Study, people: Persons, elsewhere: Persons, text: str, home: Path) -> Reached:
    session = study.programming == "session"
    if study.surrogate.by == "surrogate":
        return cohort_reach.between_nodes(_programmer(text, str(home)), people, session)
    spots: list[tuple[Spot, ...] | None] = []
    for who in (*people, *elsewhere):
        if who is None:
            spots.append(None)
            continue
        (task,) = person_tasks(study, [who])
        kept = task.path(home).read_text(encoding="utf-8")
        spots.append(cohort_reach.from_text(kept) if session else tuple(
            cohort_reach.plain(Reach(**each), who.case, i) for i, each in enumerate(json.loads(kept))))
    return Reached(*spots)


REACHED = {"coverage": "1", "coverable": "1", "spill": "1", "usage_range": "1", "margin": "1", "recruited": "1", "closing": "1", "amplitude": "A",
           "perception": "A", "discomfort": "A"}
LIVED = ("baseline", "index_before", "expectation", "adherence", "tried", "passed", "failure", "trial_relief", "trial_infection", "trial_migration",
         "trial_dural_puncture", "trial_haematoma", "implanted", "dural_puncture", "haematoma", "pocket_pain", "infection", "loss", "salvage",
         "second_loss", "migration", "migration_revised", "explant", "explant_reason", "battery_life")


def _rows(study: Study, numbers: Sequence[int], people: Sequence[Persons], found: Sequence[Reached], worlds: Sequence[Replicate],
          lives: Sequence[tuple[float, float] | None] = ()) -> Any:
    """The table of a batch: arm by arm, patient by patient, replicate by replicate. ``lives``: of the generator in years, per program."""
    import pyarrow as pa

    who, n, count = stages.cohort(study.seed, list(numbers)), len(numbers), len(worlds)
    nothing = dict.fromkeys((*population.DRAWN, "lateral", "tip"), np.nan)
    someone = [first or anew for first, anew in people]
    areas = ["" if one is None or one.case.patient is None else " ".join(one.case.patient.pain.areas) for one in someone]
    draws = np.stack([who.uniform("reach", 3, place=r) for r in range(count)], axis=1)
    held = study.programming == "session"
    tables = []
    for arm, treated in zip(study.arms, study.treatments, strict=True):
        stays = treated.procedure.has_trial and treated.procedure.technique != "percutaneous"
        bodies = [nothing if one is None else {**{name: float(getattr(one.case.anatomy, name, None) or np.nan) for name in population.DRAWN},
                                               "lateral": one.lateral, "tip": one.tip}
                  for one in (pair[0 if stays else 1] for pair in people)]
        spots = [[None if each is None or treated.program is None else each[treated.program] for each in one.stages(treated.procedure)]
                 for one in found]
        of_trial, factor, of_moved_trial, of_moved = (np.array([_factor(one[k], draw, treated, held) for one, draw in zip(spots, draws, strict=True)])
                                                      for k in range(4))
        # where a moved lead is not known, or was never placed, it reaches what it did
        of_moved_trial, of_moved = (np.where([[one[k] is None] for one in spots], before, after)
                                    for k, before, after in ((2, of_trial, of_moved_trial), (3, factor, of_moved)))
        follows = treated.program is not None and any(one[3] is not None for one in spots)
        treated = _with_life(treated, lives)
        runs = [live(study, treated, arm, who, factor[:, r], world, of_trial[:, r],
                     Moved(of_moved[:, r], of_moved_trial[:, r]) if follows else None) for r, world in enumerate(worlds)]
        lived, at = [one.data for one in runs], [None if one[1] is None else one[1].reach for one in spots]
        columns: dict[str, tuple[Any, str]] = {
            "arm": (np.repeat(arm.name, n * count), ""), "patient": (np.repeat(np.array(numbers, np.int64), count), ""),
            "replicate": (np.tile(np.arange(count, dtype=np.int32), n), ""), "draw": (np.tile(np.array([w.draw for w in worlds], np.int32), n), ""),
            "therapy": (np.repeat(treated.therapy, n * count), ""), "areas": (np.repeat(areas, count), "")}
        columns |= {name: (np.repeat([body[name] for body in bodies], count), "m") for name in nothing}
        columns |= {name: (np.repeat([np.nan if one is None else getattr(one, name) for one in at], count), unit) for name, unit in REACHED.items()}
        columns["inhibition"] = np.repeat([np.nan if one is None else one.inhibition.get(HYPOTHESIS, np.nan) for one in at], count), "1"
        columns["reach_factor"] = factor.ravel(), "1"
        columns |= {name: (values.ravel(), "1") for name, values in (("tried_reach_factor", of_trial), ("moved_reach_factor", of_moved))}
        columns["tried_coverage"] = np.repeat([np.nan if one[0] is None else one[0].reach.coverage for one in spots], count), "1"
        columns["as_written_coverage"] = np.repeat([np.nan if one[1] is None else one[1].as_written for one in spots], count), "1"
        columns["contacts"] = np.repeat(["" if one[1] is None else one[1].contacts for one in spots], count), ""
        columns["combinations_tried"] = np.repeat(np.array([0 if one[1] is None else one[1].tried for one in spots], np.int32), count), ""
        columns |= {name: (_by_patient(lived, name), stages.DECLARED[name][1]) for name in LIVED}
        columns["revisions"] = np.isfinite(np.stack([one.revision.values for one in lived], axis=1)).sum(-1).ravel().astype(np.int32), ""
        if study.costs is not None:
            bills = [study.costs.columns(one) for one in runs]
            for name in ("cost", "qaly", *cohort_costs.PARTS):
                unit = "year" if name == "qaly" else study.costs.currency
                columns[name] = np.stack([one[name][0] if name in one else np.zeros(n) for one in bills], axis=1).ravel(), unit
        columns |= {name: (_by_patient(lived, name), stages.DECLARED[name][1]) for name in SEEN}
        tables.append(pa.table([_array(values) for values, _ in columns.values()],
                               schema=pa.schema([pa.field(name, _array(values).type, metadata={"units": unit} if unit else None)
                                                 for name, (values, unit) in columns.items()])))
    return pa.concat_tables(tables)


def _with_life(treated: Treatment, lives: Sequence[tuple[float, float] | None]) -> Treatment:
    """With the life of the generator at the program of an arm, where it is known and the study does not say another."""
    life = None if treated.program is None or not lives else lives[treated.program]
    if life is None or treated.procedure.battery_life is not None or treated.procedure.rechargeable:
        return treated
    own: stages.Procedure = treated.procedure.but(battery_life=[f"{end * YEAR!r} s" for end in life])
    return replace(treated, procedure=own)


def _factor(spot: Spot | None, draw: Floats, treated: Treatment, session: bool = False) -> Floats:
    """(replicates,) on the neural effect of a patient, from (replicates, 3) own draws; 0 where the program cannot be set or the lead not placed."""
    if treated.program is None:
        return np.ones(len(draw))
    if spot is None or not np.isfinite(spot.reach.amplitude):
        return np.zeros(len(draw))
    return reach_factor(spot.reach, draw[:, :2], draw[:, 2], treated.tried or treated.therapy, session)


def _by_patient(lived: Sequence[Any], name: str) -> Any:
    """(patients * replicates, ...) values of a variable."""
    values = np.stack([one[name].values for one in lived], axis=1)
    return values.reshape(-1, *values.shape[2:])


def _array(values: Any) -> Any:
    """As Arrow: what did not happen is null; visits are lists."""
    import pyarrow as pa

    if values.ndim == 2:
        ends = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
        return pa.ListArray.from_arrays(pa.array(ends), _array(values.ravel()))
    if values.dtype.kind in "UO":
        return pa.array(values.astype(object), pa.string())
    return pa.array(values, from_pandas=True)


def _write(table: Any, path: str | Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, str(path), compression="zstd")


def need_arrow() -> None:
    """Raises:
        BadInput: the library for Parquet is not installed.
    """
    try:
        importlib.import_module("pyarrow")
    except ImportError:
        raise BadInput("cohort", "needs pyarrow, which is not installed", hint="pip install 'epidura[cohort]'") from None


# --- the driver ---


def run_study(study: Study, patients: int, folder: str | Path, workers: int | Workers = 1, cluster: str | None = None, resume: bool = False,
              progress: Progress | None = None) -> dict[str, Any]:
    """Compute what is missing of a study, join it, and write patients, visits, summary and report.

    The files do not depend on workers, cluster, interruptions, or on whether it was done at once.

    Args:
        study: what to do.
        patients: how many; those of a smaller cohort are the first of a larger one.
        folder: of the study; on a cluster one that all machines see under the same path.
        workers, cluster: as in ``tasks.run_tasks``.
        resume: go on with what is in the folder.
        progress: called with a sentence and a share from 0 to 1.

    Returns:
        the summary, as in study.json.

    Raises:
        BadInput: no patients, another study in the folder, an earlier run of this one without ``resume``, a missing extra.
        Failed: tasks that failed; what is done is kept.
    """
    need_arrow()
    if isinstance(patients, bool) or not isinstance(patients, int) or patients < 1:
        raise BadInput("patients", "nobody to study", got=patients, allowed="1 or more")
    say = progress or (lambda words, share: None)
    home = _claim(study, Path(folder).absolute(), resume)
    tasks = home / TASKS

    def part(low: float, high: float, what: str) -> Progress:
        return lambda words, share: say(f"{what}: {words}", low + (high - low) * share)

    def work(chosen: Sequence[Task], crew: int | Workers, told: Progress, what: str) -> None:
        if chosen:
            _complete(run_tasks(chosen, tasks, crew, cluster, True, progress=told), what, tasks)

    with Workers(workers, load=LOAD) if isinstance(workers, int) and workers > 1 and cluster is None else nullcontext(workers) as crew:
        if study.surrogate.by == "surrogate":
            work([*node_tasks(study), *chain_tasks(study, compared(study))], crew, part(0.0, 0.6, "runs of the chain"), "runs of the chain")
            found = _compare(study, tasks)
        else:
            moved = _elsewhere(study, range(patients))
            everyone = [one for i in range(patients) for one in (*cohort_reach.persons(study.around, study.seed, i), *moved[i]) if one is not None]
            work(person_tasks(study, everyone), crew, part(0.0, 0.6, "full chain of every person"), "persons")
            found = []
        if crew != 1 or cluster is not None:  # summary and page need libraries that are slow to read, and this process has nothing to do
            threading.Thread(target=lambda: [importlib.import_module(name) for name in ("scipy.stats", "epidura.cohort_page")]).start()
        with Tables(study, home) as tables:
            batched = batch_tasks(study, patients)
            left = deque(task.path(tasks) for task in batched)

            def join(words: str, share: float) -> None:
                say(f"patients: {words}", 0.6 + 0.35 * share)
                while left and left[0].is_file():
                    tables.add(left.popleft())

            work(batched, crew, join, "batches")
            say("report", 0.95)
            for path in left:
                tables.add(path)
            return _finish(study, batched, home, tables, found)


def _complete(outcome: Outcome, what: str, tasks: Path) -> None:
    if outcome.failed:
        key, words = next(iter(outcome.failed.items()))
        raise Failed(f"{len(outcome.failed)} of {len(outcome.failed) + len(outcome.done) + len(outcome.reused)} {what} failed; the first, {key[:8]}: "
                     f"{words}; what is done is kept, see {tasks / 'failures.jsonl'}, and run again with --resume")


def _claim(study: Study, home: Path, resume: bool) -> Path:
    """The folder, with the study written down in it.

    Raises:
        BadInput: another study or something else is in it, or an earlier run without ``resume``.
    """
    above = next(parent for parent in home.parents if parent.exists())
    if not above.is_dir() or (home.exists() and not home.is_dir()):
        raise BadInput(str(home), "no folder can be made here", got=str(above), allowed="a folder that can be written to")
    told = home / FILES[0]
    if told.is_file():
        earlier = read_study(told)
        if other := differs(earlier.decides(), study.decides()):
            raise BadInput(str(home), f"another study is in this folder; what differs: {', '.join(other[:5])}",
                           allowed="a new folder, or the same study")
        if not resume:
            raise BadInput(str(home), "an earlier run of this study is in this folder", hint="go on with --resume, or give another --out")
    elif home.is_dir():
        strange = sorted(entry.name for entry in home.iterdir() if not entry.name.startswith("."))
        if strange:
            raise BadInput(str(home), "this folder holds something else", got=", ".join(strange[:3]), allowed="a new or empty folder")
    try:
        home.mkdir(parents=True, exist_ok=True)
        _replace(told, yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True).encode())
    except OSError as failure:
        raise BadInput(str(home), f"cannot be written to: {failure.strerror}", allowed="a folder that can be written to") from None
    return home


def differs(one: Any, other: Any, where: str = "") -> list[str]:
    """Paths at which two mappings differ, with both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [words for key in dict.fromkeys((*one, *other))
                for words in differs(one.get(key), other.get(key), f"{where}.{key}" if where else str(key))]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [words for i, (a, b) in enumerate(zip(one, other, strict=True)) for words in differs(a, b, f"{where}[{i}]")]
    return [] if one == other else [f"{where} ({str(one)[:40]}, now {str(other)[:40]})"]


def _replace(path: Path, content: bytes) -> None:
    """Write a file, the whole of it or nothing."""
    part = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _compare(study: Study, tasks: Path) -> list[virtual.Compared]:
    """The surrogate beside the full chain, which is done."""
    people = compared(study)
    if not people:
        return []
    by_lines, found = surrogate(study, tasks), []
    for one, task in zip(people, chain_tasks(study, people), strict=True):
        full = [Reach(**each) for each in json.loads(task.path(tasks).read_text(encoding="utf-8"))]
        found += [virtual.Compared(one.index, a, b) for a, b in zip(full, by_lines.reach(one), strict=True)]
    return found


def _finish(study: Study, batched: Sequence[Task], home: Path, tables: Tables, found: Sequence[virtual.Compared]) -> dict[str, Any]:
    """Summary and report; each file whole or as it was, the report last."""
    from epidura import cohort_page

    summary = summarise(study, tables.columns())
    summary["notes"] = [*warnings(found), *summary["notes"]]
    summary |= {"surrogate": errors(study, found), "versions": versions(), "sources": {"chain": code(True), "all": code(False)},
                "keys": {"nodes": [task.key for task in node_tasks(study)], "batches": [task.key for task in batched]}}
    text = json.dumps(summary, indent=1, allow_nan=False)
    page = cohort_page.render(summary)
    tables.place()
    _replace(home / "study.json", text.encode())
    _replace(home / "report.html", page.encode())
    return summary
