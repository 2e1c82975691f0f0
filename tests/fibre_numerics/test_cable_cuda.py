"""The kernels for graphics processors give the numbers of the Numba engine: run on the host by a C++ compiler, and on a device if there is one."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from host_device import WHERE, host
from numpy.typing import NDArray

from epidura.axon.mrg import Mrg
from epidura.numerics import cable, cable_cuda
from epidura.numerics.cable import Engine
from epidura.numerics.device import Program
from epidura.single_fibre import Trial
from epidura.waveform import Course

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

UM = 1e-6
SCHEMES = ("backward-euler", "second-order")
BIPHASIC = Course.of((100e-6, 1.0), (50e-6, 0.0), (100e-6, -0.6))
TRAIN = Course.of(*[(30e-6, 1.0), (30e-6, -1.0), (40e-6, 0.0)] * 12)
DIAMETERS = (5.7, 8.7, 12.8)
CELL = 1e-3  # ratio of neighbours on the grid, less 1
UNIT = float(np.log1p(CELL))
CEILING = 0.1  # A
LOWEST, HIGHEST = int(np.log(1e-12) / UNIT), int(np.ceil(np.log(CEILING) / UNIT))

CASES: dict[str, dict[str, Any]] = {
    "passive ends": {}, "a long step": {"dt": 12.5e-6}, "live ends": {"sealed": True}, "a train of short pulses": {"course": TRAIN},
    "a current into a node": {"injection": (np.array([5, 5, 5]), np.repeat([0.0, 4e-10, 0.0], [20, 20, 10]))}}


@pytest.fixture(scope="module", params=WHERE)
def device(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> cable_cuda.Device:
    if request.param == "device":
        return cable_cuda.Cupy()
    return host(tmp_path_factory.mktemp("cable"))


@pytest.fixture(autouse=True)
def exact_gates(monkeypatch: pytest.MonkeyPatch) -> None:
    # the kernels have the exponentials, not the tables
    monkeypatch.setattr(cable, "TABLES", False)


def engine(nodes: int, diameters: tuple[float, ...], scheme: str, precision: str, course: Course = BIPHASIC, sealed: bool = False,
           injection: tuple[Ints, Floats] | None = None, distances: tuple[float, ...] = (1e-3,), dt: float = 5e-6) -> Engine:
    """Every diameter at every distance."""
    trials = [Trial("mrg", d * UM, r, course, 0.2, 0.35, None, dt, scheme, nodes) for d in diameters for r in distances]
    own = Mrg().cable(np.array([each.diameter for each in trials]))
    return Engine(own, nodes, np.stack([each.potentials() for each in trials])[:, None], trials[0].samples()[None], dt, scheme == "second-order",
                  precision, sealed, injection)


def whole(own: Engine, plan: Any = None) -> Any:
    """All fibres of an engine in one batch."""
    return cable._Batch(own, np.arange(own.cable.c_node.size), plan or own.plan)


def searched(own: Engine) -> tuple[Ints, Ints]:
    """(f,) k below and above on the grid, by the Numba engine; infinite ones are ``NEVER``."""
    brackets = own.thresholds(CELL, CEILING, 1)[1:]
    below, above = (np.where(np.isfinite(each), np.rint(np.log(np.minimum(each, CEILING)) / UNIT), cable_cuda.NEVER) for each in brackets)
    return below.astype(np.int64), above.astype(np.int64)


def far(own: Engine) -> Ints:
    """(f,) node that must fire: the engine's fibres share their lanes and hence the farthest one's."""
    return np.full(own.cable.c_node.size, own._far().max())


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("nodes", [31, 51, 73])
def test_brackets_are_those_of_the_other_engine(device: cable_cuda.Device, nodes: int, scheme: str) -> None:
    own = engine(nodes, DIAMETERS, scheme, "float64", distances=(6e-4, 1.5e-3))
    below, above = searched(own)
    assert np.array_equal(above - below, np.ones(6))
    # from elsewhere and with other strides: the result does not depend on them
    batch, start = whole(own), above + np.array([-3, -1, 0, 1, 2, 5])
    found = cable_cuda.search(batch, device, start, np.array([1, 1, 2, 2, 3, 3]), False, UNIT, LOWEST, HIGHEST, far(own))
    assert np.array_equal(found[0], below)
    assert np.array_equal(found[1], above)
    flags = [cable_cuda.fires(batch, device, np.exp(UNIT * k), far(own)) for k in (below, above)]
    assert not flags[0].any()
    assert flags[1].all()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("nodes", [31, 51])
def test_single_precision_is_within_a_cell(device: cable_cuda.Device, nodes: int, scheme: str) -> None:
    double, single = (engine(nodes, DIAMETERS, scheme, precision, distances=(6e-4, 1.5e-3)) for precision in ("float64", "float32"))
    exact = searched(double)[1]
    found = cable_cuda.search(whole(single), device, exact - 2, 1, False, UNIT, LOWEST, HIGHEST, far(single))
    assert np.array_equal(found[1] - found[0], np.ones(6))
    assert np.abs(found[1] - exact).max() <= 1


def test_other_courses_have_the_same_brackets(device: cable_cuda.Device) -> None:
    for case in CASES:
        own = engine(31, DIAMETERS, "second-order", "float64", **CASES[case])
        below, above = searched(own)
        assert np.array_equal(above - below, np.ones(3))
        found = cable_cuda.search(whole(own), device, above - 1, 1, False, UNIT, LOWEST, HIGHEST, far(own))
        assert np.array_equal(found, (below, above))


def test_what_never_fires_has_no_upper_end(device: cable_cuda.Device) -> None:
    own = engine(31, DIAMETERS, "backward-euler", "float32", distances=(2e-2,))
    below, above = cable_cuda.search(whole(own), device, np.full(3, LOWEST + 1000), 500, False, UNIT, LOWEST, LOWEST + 3000)
    assert below.tolist() == [LOWEST + 3000] * 3
    assert above.tolist() == [cable_cuda.NEVER] * 3


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("nodes", [31, 73])
def test_voltage_is_that_of_the_other_engine(device: cable_cuda.Device, nodes: int, scheme: str, case: str) -> None:
    own = engine(nodes, DIAMETERS, scheme, "float64", **CASES[case])
    steps = round(1.5 / own.dt)
    amplitude, node = np.array([1.5e-4, 3e-4, 1.2e-4]) * (4 if CASES[case].get("course") else 1), nodes // 2 + 3
    expected = own.traces(amplitude, 1.5e-3, [node])[:, :, 0, 0] - own.cable.membrane.rest
    (fibres,) = cable_cuda.chunks(whole(own, own._plan(steps, steps)), device)
    found = fibres.traces(amplitude, node)
    assert expected.max() > 50.0  # an action potential
    assert np.abs(found - expected).max() < 1e-9


@pytest.mark.parametrize("per_lane", [1, 2, 3, 8])
def test_the_tridiagonal_system_is_solved_exactly(tmp_path: Path, per_lane: int) -> None:
    made = host(tmp_path)
    random, width = np.random.default_rng(per_lane), 32 * per_lane
    lower, upper, given = -random.uniform(0.5, 1.0, width), -random.uniform(0.5, 1.0, width), random.normal(size=width)
    lower[0] = upper[-1] = 0.0
    diagonal = -lower - upper + 1e-3  # so little more that every unknown depends on every other
    matrix = np.diag(diagonal) + np.diag(lower[1:], -1) + np.diag(upper[:-1], 1)
    expected = np.linalg.solve(matrix, given)
    assert np.abs(np.linalg.inv(matrix)[0, -1]) > 1e-4
    library = made.library(Program(cable_cuda.SOURCE, 32, ("-DREAL=double", f"-DNODES_PER_LANE={per_lane}")))
    arrays = [lower, diagonal, upper, given]
    library.solve_one(*(ctypes.c_void_p(each.ctypes.data) for each in arrays))
    assert np.allclose(given, expected, rtol=1e-10, atol=1e-10)


def test_peaks_are_those_of_the_other_engine(device: cable_cuda.Device) -> None:
    own = engine(31, DIAMETERS, "second-order", "float64")
    own.potentials = np.roll(own.potentials, 4, axis=2)  # the source between two nodes, so that its neighbours differ
    batch = whole(own)
    (lanes,) = [lanes for _, lanes in batch.lots()]
    (fibres,) = cable_cuda.chunks(batch, device)
    expected = batch.engine.kernel.peaks(batch.net, lanes, batch.plan.parts, batch.plan.blocks)[:3, :4]
    assert (expected[:, 3] > 0.01 * expected[:, 0]).all()
    assert np.allclose(fibres.peaks, expected, rtol=1e-10, atol=0.0)


def test_chunks_do_not_change_a_fibre(device: cable_cuda.Device) -> None:
    batch = whole(engine(31, DIAMETERS, "second-order", "float32", distances=(6e-4, 1.5e-3)))
    amplitude, peaks = np.geomspace(1e-4, 4e-4, 6), [fibres.peaks for fibres in cable_cuda.chunks(batch, device)]
    parts = list(cable_cuda.chunks(batch, device, most=4))
    assert [part.members.size for part in parts] == [4, 2]
    assert np.array_equal(np.concatenate([part.peaks for part in parts]), peaks[0])
    assert np.array_equal(np.concatenate([part.fires(amplitude[part.members]) for part in parts]), cable_cuda.fires(batch, device, amplitude))


def test_a_search_stops_at_its_ends() -> None:
    lowest, highest = -10, 10
    at = np.array([-50, -10, -9, 0, 10, 11])  # k from which it fires

    def fires(amplitudes: Floats, which: NDArray[np.intp]) -> NDArray[np.bool_]:
        return np.rint(np.log(amplitudes) / UNIT) >= at[which]

    for careful in (False, True):
        for first in (-10, 3, 10, 25):
            below, above = cable_cuda.bracket(fires, np.full(6, first), 2, careful, UNIT, lowest, highest)
            assert above.tolist() == [-10, -10, -9, 0, 10, cable_cuda.NEVER]
            assert below.tolist() == [-cable_cuda.NEVER, -cable_cuda.NEVER, -10, -1, 9, 10]


def test_fibres_without_kernels_are_refused() -> None:
    assert cable_cuda.unfit(Mrg().cable(np.array([8.7e-6])).membrane, 256) is None
    assert "257 nodes" in str(cable_cuda.unfit(Mrg().cable(np.array([8.7e-6])).membrane, 257))
    assert "kind tuple" in str(cable_cuda.unfit((), 31))


def test_why_there_is_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> int:
        raise RuntimeError("no driver")

    for count, said in ((lambda: 0, "no CUDA device"), (fails, "no driver"), (lambda: 1, None)):
        cuda = SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=count), nvrtc=SimpleNamespace(getVersion=lambda: (12, 0)))
        monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=cuda))
        reason = cable_cuda.available()
        assert (reason is None) if said is None else (said in str(reason))
    monkeypatch.setitem(sys.modules, "cupy", None)
    reason = cable_cuda.available()
    assert reason is not None
    assert "epidura[cuda]" in reason
    with pytest.raises(RuntimeError, match="CuPy cannot be imported"):
        cable_cuda.Cupy()


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc to compile the kernels with")
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_kernels_compile_for_devices(tmp_path: Path, architecture: str) -> None:
    made = subprocess.run(["nvcc", f"-arch={architecture}", "-cubin", "-std=c++17", "-Xptxas", "-v", "-DREAL=float", "-DNODES_PER_LANE=2", "-DKEPT=6",
                           "-o", str(tmp_path / "cable.cubin"), str(cable_cuda.SOURCE)], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    # the state of a run stays in registers
    assert made.stderr.count("bytes spill stores") == made.stderr.count(" 0 bytes spill stores") == 4
