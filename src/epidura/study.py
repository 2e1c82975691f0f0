"""The work: run a case through the chain, keep what came out, reuse what is already known."""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr

from epidura.canal import build_canal
from epidura.case import Case, to_text
from epidura.delivery import Delivery, Electronics, deliver, volts_per_ampere
from epidura.errors import BadInput
from epidura.field import direct, field_error, solve_field, solver_warnings
from epidura.firing import choose, fire
from epidura.generator import Generator, generator, require_balanced
from epidura.interface import at_contacts, verdict
from epidura.numerics import cable_cuda
from epidura.outcome import predict_outcome
from epidura.product import Canal, FieldError, Floats, LeadField
from epidura.reach import reaches
from epidura.recruitment import Engine, place_fibres, recruit
from epidura.result import Result, used_numbers
from epidura.transmission import transmit

Progress = Callable[[str, float], None]

DEVICES = ("auto", "cpu", "cuda")


COARSER = {"standard": "fast", "reference": "standard"}
"""What an accuracy of the field is compared with to say how good it is."""

ITERATED = "the electric field was computed on the cpu: cuda serves only canals without tips in which nothing changes along the spine"
"""What a run on cuda says of a field that is iterated."""

CHECKED = 64
"""Most fibres on which two fields are compared."""


def run(case: Case, device: str = "auto", progress: Progress | None = None, cache: bool = True,
        engine: Engine | None = None, accuracy: str = "standard", check_field: bool = True, solved: LeadField | None = None) -> Result:
    """The chain: from the text of a case to what the person feels.

    Args:
        case: what to run.
        device: ``auto``, ``cpu`` or ``cuda``; never part of the case, recorded in the result.
        progress: called with a sentence and a share from 0 to 1, while a field is solved from other threads, too; what it raises ends the run.
        cache: reuse a lead field that is already on disk.
        engine: numerical settings of the fibres.
        accuracy: of the field: ``fast``, ``standard`` or ``reference``; never part of the case, recorded in the result.
        check_field: solve the field once more, one accuracy coarser, and say how far the two differ on the fibres; not with
            ``fast``, which has no coarser one.
        solved: lead field of this case, where it is there already; then ``accuracy`` and ``cache`` say nothing of it.

    Raises:
        BadInput: with path, what was got and what is allowed.
    """
    chosen, fallen_back = pick_device(device)
    engine = replace(engine or Engine(), device=chosen)
    progress = progress or (lambda words, share: None)
    timings: dict[str, float] = {}
    made = None if case.generator is None else generator(case.generator)
    for i, program in enumerate(case.programs):
        if made is not None:
            made.require(program, where=f"programs[{i}]")  # before anything is computed
    with _timed("canal", timings):
        progress("canal", 0.0)
        canal = build_canal(case.anatomy, case.leads, accuracy=accuracy) if solved is None else solved.canal
    with _timed("field", timings):
        progress("electric field", 0.0)
        lead_field = solved if solved is not None else solve_field(canal, cache=cache_folder() if cache else None, device=chosen,
                                                                   watch=_within("electric field", progress))
    electronics = Electronics() if made is None else made.electronics()
    if made is not None:
        refuse(case, made, lead_field)
    error = None
    if check_field and accuracy in COARSER:
        with _timed("field check", timings):
            progress("check of the field", 0.0)
            error = check(case, lead_field, cache=cache, device=chosen, progress=progress)
    with _timed("recruitment", timings):
        recruitment = recruit(lead_field, case.fibres, case.programs, case.rules, engine, progress, electronics)
    with _timed("delivery", timings):
        deliveries = deliver_all(case, lead_field, recruitment, electronics)
    fired: tuple[xr.Dataset | None, ...] = ()
    if case.firing.fibres:
        with _timed("firing", timings):
            fired = fire_all(case, lead_field, recruitment, engine, electronics, progress)
    transmission = None
    if case.gate.seeds and case.firing.fibres and any(population.kind == "dorsal-column" for population in case.fibres):
        with _timed("gate", timings):
            column = next(population for population in case.fibres if population.kind == "dorsal-column")
            transmission = transmit(case.circuit, case.gate, recruitment, fired, case.programs, canal, case.patient, column.axon, engine.threads,
                                    progress)
    interface = None
    if case.interface is not None:
        with _timed("interface", timings):
            interface = at_contacts(lead_field, case.interface, case.rows, recruitment.programmed_amplitude.values)
    numbers = used_numbers(case, canal)
    if chosen == "cuda" and not direct(canal):
        fallen_back = (*fallen_back, ITERATED)
    warnings = (*canal.warnings, *solver_warnings(lead_field), *(error.notes if error else ()), *fallen_back, *_program_warnings(recruitment),
                *_interface_warnings(interface), *_charge_warnings(deliveries),
                *(() if transmission is None else transmission.attrs["notes"]))
    result = Result(case, canal, lead_field, recruitment, timings, versions(), chosen, warnings, numbers, error, interface, deliveries, fired,
                    transmission)
    if case.patient and case.outcome.samples:
        with _timed("outcome", timings):
            progress("pain and quality of life", 1.0)
            outcome = predict_outcome(case.patient, case.programs, reaches(result), case.outcome)
        result = replace(result, outcome=outcome)
        warnings = (*warnings, *outcome.attrs["notes"])
    return replace(result, warnings=(*warnings, *(str(one) for i in range(len(case.programs)) for one in result.violations(i))))


def refuse(case: Case, made: Generator, lead_field: LeadField) -> None:
    """Stop before the fibres where a generator cannot deliver a program, or its charge does not come back.

    A program whose amplitude hangs on the fibres is held against the limits with 1 mA for the balance only; what it then runs at is
    compared afterwards, and said in the warnings.

    Raises:
        BadInput: naming the program, what was got, the limit and its source.
    """
    for i, program in enumerate(case.programs):
        known = all(train.amplitude.current is not None or train.amplitude.voltage is not None for train in program.trains)
        path = f"programs[{i}]"
        delivery = deliver(program, lead_field, None if known else [1e-3] * len(program.trains), made.electronics(), where=f"{path}.")
        require_balanced(delivery, path)
        if known:
            made.require(program, delivery, path)


def amplitudes(case: Case, recruitment: xr.Dataset) -> list[Floats]:
    """(trains,) amplitudes in A that each program runs at; nan where one hangs on a perception threshold that is not reached."""
    ends = np.cumsum([len(program.trains) for program in case.programs])
    return np.split(recruitment.programmed_amplitude.values, ends[:-1])


def deliver_all(case: Case, lead_field: LeadField, recruitment: xr.Dataset, electronics: Electronics) -> tuple[Delivery | None, ...]:
    """One cycle of each program at its amplitudes; None where one is not known."""
    def one(i: int, levels: Floats) -> Delivery | None:
        program = case.programs[i]
        if not np.isfinite(levels).all():
            return None
        # a train that controls voltage is delivered in V
        given = [level if train.amplitude.voltage is None else level * volts_per_ampere(program.alone(k), lead_field, electronics)
                 for k, (train, level) in enumerate(zip(program.trains, levels.tolist(), strict=True))]
        return deliver(program, lead_field, given, electronics, where=f"programs[{i}].")

    return tuple(one(i, levels) for i, levels in enumerate(amplitudes(case, recruitment)))


def fire_all(case: Case, lead_field: LeadField, recruitment: xr.Dataset, engine: Engine, electronics: Electronics,
             progress: Progress) -> tuple[xr.Dataset | None, ...]:
    """The product ``firing`` of each program, of some fibres near its amplitude; None where that is not known."""
    found: list[xr.Dataset | None] = []
    first = 0
    for i, levels in enumerate(amplitudes(case, recruitment)):
        rows = slice(first, first + len(levels))
        first = rows.stop
        if not np.isfinite(levels).all():
            found.append(None)
            continue
        chosen, weight = choose(recruitment.threshold.values[rows], recruitment.weight.values, levels, case.firing.fibres)
        found.append(fire(lead_field, case.fibres, case.programs[i], levels.tolist(), case.firing.duration, engine, electronics, chosen=chosen,
                          weight=weight, progress=progress, where=f"programs[{i}]."))
    return tuple(found)


def check(case: Case, lead_field: LeadField, cache: bool = True, device: str = "cpu", progress: Progress | None = None) -> FieldError | None:
    """How far the lead field of a case differs from one of the next coarser accuracy, on some of the fibres of the case.

    None where no fibre runs beside the contacts.

    Args:
        progress: as of ``run``.

    Raises:
        BadInput: there is no coarser one.
    """
    accuracy = lead_field.canal.accuracy
    if accuracy not in COARSER:
        raise BadInput("accuracy", "there is no coarser one to compare it with", got=accuracy, allowed=", ".join(COARSER))
    paths = checked_paths(case, lead_field.canal)
    if not paths:
        return None
    coarse = solve_field(build_canal(case.anatomy, case.leads, accuracy=COARSER[accuracy]), cache=cache_folder() if cache else None, device=device,
                         watch=None if progress is None else _within("check of the field", progress))
    return replace(field_error(lead_field, coarse, paths), notes=tuple(f"check of the field: {words}" for words in solver_warnings(coarse)))


def checked_paths(case: Case, canal: Canal) -> tuple[Floats, ...]:
    """Paths (k, 3) m of at most ``CHECKED`` fibres, beside the contacts, with points about 1 mm apart.

    Those of the dorsal columns, or where a case has none, of its first population.
    """
    population = next((one for one in case.fibres if one.kind == "dorsal-column"), case.fibres[0])
    fibres = place_fibres(canal, [population.but(count=min(population.count, CHECKED))])
    low, high = min(c.z0 for c in canal.contacts) - 3e-3, max(c.z1 for c in canal.contacts) + 3e-3
    z = np.linspace(low, high, round((high - low) / 1e-3) + 1)
    heights = [z[z >= path[0, 2]] for path in fibres.paths]
    return tuple(np.column_stack([*(np.interp(h, path[:, 2], path[:, i]) for i in (0, 1)), h])
                 for path, h in zip(fibres.paths, heights, strict=True) if len(h) > 5)


def _program_warnings(recruitment: xr.Dataset) -> list[str]:
    """Programs that are felt nowhere, or uncomfortable before they are felt."""
    found = []
    for program in recruitment.program.values:
        perception, discomfort = (float(recruitment[name].sel(program=program)) for name in ("perception_threshold", "discomfort_threshold"))
        if perception == float("inf"):
            found.append(f"program {program}: nothing is felt at any amplitude that was tried")
        elif discomfort < perception:
            found.append(f"program {program}: roots become uncomfortable ({discomfort * 1e3:.2f} mA) before a dermatome of the dorsal columns "
                         f"is felt ({perception * 1e3:.2f} mA); it has no usage range")
    return found


def _charge_warnings(deliveries: Sequence[Delivery | None]) -> list[str]:
    """Programs whose charge does not come back."""
    return [f"program {one.program.name}: the charge of its pulses does not come back, a mean current of "
            f"{float(np.abs(one.direct_current).max()) * 1e6:.3g} uA would flow; capacitors of a generator do not let it, their voltage grows until "
            "stimulation stops" for one in deliveries if one is not None and one.added.any()]


def _interface_warnings(interface: xr.Dataset | None) -> list[str]:
    """Programs for which contacts are no equipotentials."""
    if interface is None:
        return []
    largest = interface.wagner.where(interface.drive != 0).max("contact")
    return [f"program {name}: Wagner number {float(value):.2g} of its contacts, {verdict(float(value))}"
            for name, value in zip(interface.program.values, largest.values, strict=True) if value >= 1]


def pick_device(device: str) -> tuple[Literal["cpu", "cuda"], tuple[str, ...]]:
    """The device that a run takes, and what to say where it is not the one that was asked for.

    ``auto`` is the cpu: the GPU kernels give the same thresholds and fields in emulation, but have not been timed on a GPU.

    Raises:
        BadInput: an unknown device.
    """
    if device not in DEVICES:
        raise BadInput("device", "unknown device", got=device, allowed=", ".join(DEVICES))
    if device != "cuda":
        return "cpu", ()
    why = cable_cuda.available()
    return ("cuda", ()) if why is None else ("cpu", (f"computed on the cpu instead of cuda: {why}",))


def _within(part: str, progress: Progress) -> Progress:
    """What watches the solver of a field, for who watches the run."""
    return lambda words, share: progress(f"{part}: {words}", share)


@contextmanager
def _timed(verb: str, timings: dict[str, float]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    timings[verb] = time.perf_counter() - start


def versions() -> dict[str, str]:
    """Of Epidura, Python and the libraries that compute."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in ("epidura", "numpy", "scipy", "numba", "xarray"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a source tree that is not installed
            found[name] = "unknown"
    return found


def cache_folder() -> Path:
    """Where products are kept between runs: ``EPIDURA_CACHE``, or the user's cache folder."""
    chosen = os.environ.get("EPIDURA_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "epidura"


OURS = ("case.yaml", "products.zarr", "run.json", "report.html")
"""What ``save`` writes; nothing else may stand in a folder that it replaces."""


def check_folder(folder: str | Path) -> Path:
    """The full path of a folder that a result may be written to.

    Raises:
        BadInput: it holds something that is not ours, or lies under a file.
    """
    target = Path(folder).absolute()
    above = next(parent for parent in target.parents if parent.exists())
    if not above.is_dir():
        raise BadInput(str(folder), "no folder can be made here", got=str(above), allowed="a folder that can be written to")
    if not target.exists():
        return target
    if not target.is_dir():
        raise BadInput(str(folder), "this is a file", allowed="a new or empty folder, or an earlier result")
    strange = sorted({p.name for p in target.iterdir()} - set(OURS))
    if strange:
        raise BadInput(str(folder), "this folder holds something else", got=", ".join(strange[:3]),
                       allowed="a new or empty folder, or an earlier result")
    return target


def save(result: Result, folder: str | Path) -> Path:
    """Write case, products, summary and report into a folder; all of it or nothing.

    Raises:
        BadInput: the folder holds something that is not an earlier result, or cannot be written to.
    """
    target = check_folder(folder)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as failure:
        raise BadInput(str(folder), f"cannot be written to: {failure.strerror}", allowed="a folder that can be written to") from None
    try:
        (work / "case.yaml").write_text(to_text(result.case), encoding="utf-8")
        attrs = {"case": to_text(result.case), "key": result.case.key(), "device": result.device,
                 "versions": json.dumps(result.versions), "timings": json.dumps(result.timings),
                 "warnings": json.dumps(result.warnings)}
        store = work / "products.zarr"
        products = {"recruitment": result.recruitment, "lead_field": result.lead_field.impedances()}
        if result.interface is not None:
            products["interface"] = result.interface
        products |= {f"firing/{i}": one for i, one in enumerate(result.firing) if one is not None}
        if result.transmission is not None:
            products["transmission"] = result.transmission
        if result.outcome is not None:
            products["outcome"] = result.outcome
        for name, product in products.items():
            _plain_text(product.assign_attrs(attrs)).to_zarr(store, group=name, mode="a", consolidated=False)
        (work / "run.json").write_text(json.dumps(result.summary(), indent=2), encoding="utf-8")
        from epidura.report import render  # slow to read, and most runs of a cohort show nothing

        (work / "report.html").write_text(render(result), encoding="utf-8")
        _swap(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _plain_text(product: xr.Dataset) -> xr.Dataset:
    """The dataset with text of any length, which Zarr version 3 has a specification for (fixed lengths have none)."""
    text = {name: (values.dims, values.values.astype(np.dtypes.StringDType()), values.attrs)
            for name, values in product.variables.items() if values.dtype.kind in "UO"}
    return product.assign_coords({name: value for name, value in text.items() if name in product.coords})


def _swap(work: Path, target: Path) -> None:
    """Put the finished folder where an earlier result may stand."""
    work.chmod(0o755)
    if not target.exists():
        work.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
    try:
        if target == Path.cwd() or target.is_mount():
            # this folder itself cannot be exchanged, so what is in it is
            for name in OURS:
                if (target / name).exists():
                    (target / name).rename(old / name)
                (work / name).rename(target / name)
        else:
            target.rename(old / "result")
            work.rename(target)
    finally:
        shutil.rmtree(old, ignore_errors=True)
