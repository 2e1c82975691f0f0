"""The kernels for graphics processors give the modes of the direct solver: run on the host by a C++ compiler, and on a device if there is one."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import field_models as models
import numpy as np
import pytest
from host_device import WHERE, host
from numpy.typing import NDArray
from test_field_laws import BANDS, LONGITUDINAL, TRANSVERSE, small_section
from test_field_solve import canal  # noqa: F401

from epidura import field as fields
from epidura.errors import BadInput, Failed
from epidura.field import field_key, solve_field
from epidura.numerics import device as devices
from epidura.numerics import modes_cuda, sweep
from epidura.numerics.device import Device
from epidura.numerics.ldlt import LANES, Factor, Plan, plan
from epidura.numerics.modes_cuda import Modes
from epidura.numerics.section import Section
from epidura.numerics.sweep import Solution, solve_contacts, solve_sources
from epidura.product import Canal

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MM = 1e-3
PLACES = [(ring, a * MM, b * MM) for ring, a, b in BANDS]
Z = models.axis([e for band in PLACES for e in band[1:]], 50 * MM, 0.6 * MM, 3 * MM, 0.8)
SHAPES = [(4, 256), (1, 96), (8, 64), (32, 32)]  # modes and threads of a block: many warps, single modes, few warps, one warp


@pytest.fixture(scope="module", params=WHERE)
def device(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Device:
    return devices.Cupy() if request.param == "device" else host(tmp_path_factory.mktemp("modes"))


@pytest.fixture(scope="module")
def section() -> Section:
    return small_section()


@pytest.fixture(scope="module")
def expected(section: Section) -> Solution:
    return solve_contacts(section, Z, TRANSVERSE, LONGITUDINAL, PLACES)


def problem(size: int, last: int, seed: int) -> tuple[Plan, Floats, Floats, Floats, Floats]:
    """Plan, K and M in the order of the pattern, and (size, size) of both: a sparse positive definite matrix."""
    from scipy.sparse import csc_array

    random = np.random.default_rng(seed)
    pattern = np.triu(random.random((size, size)) < 2.5 / size, 1)
    pattern = pattern | pattern.T | np.eye(size, dtype=bool)
    off = np.tril(np.where(pattern, random.normal(size=(size, size)), 0.0), -1)
    k = off + off.T + np.diag(np.abs(off + off.T).sum(axis=0) + 1.0)
    m = np.diag(random.random(size) + 0.5)
    structure = csc_array(pattern.astype(float))
    structure.sort_indices()
    columns = np.repeat(np.arange(size), np.diff(structure.indptr))
    made = plan(structure.indptr.astype(np.int64), structure.indices.astype(np.int64), random.permutation(size)[:last])
    return made, k[structure.indices, columns], m[structure.indices, columns], k, m


@pytest.mark.parametrize(("batch", "threads"), SHAPES)
@pytest.mark.parametrize(("size", "last"), [(3, 1), (70, 5), (400, 30)])
def test_inverses_are_exact(device: Device, batch: int, threads: int, size: int, last: int) -> None:
    planned, stiffness, mass, k, m = problem(size, last, size)
    values = np.geomspace(0.1, 100.0, 7)  # not a whole number of blocks
    modes = Modes(planned, stiffness, mass, values, device, batch, threads)
    inverse = np.linalg.inv(k + values[:, None, None] * m)
    tail = planned.order[-last:]
    assert np.abs(modes.last_block() - inverse[:, tail[:, None], tail]).max() < 1e-12
    random = np.random.default_rng(1)
    loads = random.normal(size=(7, size, 3))
    everywhere, ends = np.arange(size), np.arange(size - last, size)
    want = inverse @ loads
    assert np.abs(modes.solve(loads[:, planned.order], everywhere, everywhere) - want[:, planned.order]).max() < 1e-12
    only = inverse[:, :, tail] @ loads[:, tail]
    assert np.abs(modes.solve(loads[:, tail], ends, everywhere) - only[:, planned.order]).max() < 1e-12
    assert np.abs(modes.solve(loads[:, tail], ends, ends) - only[:, tail]).max() < 1e-12
    assert np.abs(modes.solve(loads[:, planned.order], everywhere, ends) - want[:, tail]).max() < 1e-12
    # loads that are left out and values that are zero
    assert np.abs(modes.solve(loads[:, :2], np.array([-1, size - 1]), np.array([-1, 0, size - 1, -1]))
                  - (inverse[:, planned.order[[0, 0, -1, 0]], tail[-1], None] * loads[:, None, 1]) * np.array([0, 1, 1, 0])[:, None]).max() < 1e-12


def contacts_plane(section: Section) -> sweep._Batched:
    system = sweep.sweep(section, Z, TRANSVERSE, LONGITUDINAL)
    return sweep._Batched(system, np.concatenate(section.rings))


@pytest.mark.parametrize(("batch", "threads"), SHAPES)
def test_factors_are_those_of_the_processor(device: Device, section: Section, batch: int, threads: int) -> None:
    plane = contacts_plane(section)
    values = plane.system.eigenvalues[[0, 1, 5, 10, 20, 40, 60, -1]]
    assert len(values) == LANES
    factor = Factor(plane.plan)
    factor.factorise(plane.stiffness, plane.mass, np.ascontiguousarray(values))
    found = Modes(plane.plan, plane.stiffness, plane.mass, values, device, batch, threads)._factors(0, LANES)
    panels, diagonal = (np.moveaxis(device.get(found[name]), 2, 1).reshape(-1, length)[:LANES].T
                        for name, length in (("panels", plane.plan.groups), ("diagonal", plane.plan.size)))
    assert (np.diff(plane.plan.column) > 16).any()  # there are wide panels, and narrow ones below
    below = np.ones(plane.plan.groups, dtype=bool)  # above and on the diagonal of a panel nothing is meant
    for c0, c1, start in zip(plane.plan.column[:-1], plane.plan.column[1:], plane.plan.panel_start[:-1], strict=True):
        width = c1 - c0
        below[start : start + width * width] = np.tril(np.ones((width, width), dtype=bool), -1).ravel()
    np.testing.assert_allclose(diagonal, factor.diagonal.reshape(-1, LANES), rtol=1e-11)
    np.testing.assert_allclose(panels[below], factor.panels.reshape(-1, LANES)[below], rtol=1e-9, atol=1e-13)


def apart(found: Floats, expected: Floats) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def test_contacts_have_the_same_field(device: Device, section: Section, expected: Solution) -> None:
    found = solve_contacts(section, Z, TRANSVERSE, LONGITUDINAL, PLACES, device=device)
    np.testing.assert_allclose(found.impedance, expected.impedance, rtol=1e-9)
    assert found.modal.values.shape == expected.modal.values.shape
    assert apart(found.modal.values, expected.modal.values) < 1e-9
    assert apart(found.modal.potential(), expected.modal.potential()) < 1e-9
    assert (found.modal.values[:, section.boundary] == 0).all()
    assert np.abs(found.modal.outflow() - 1.0).max() < 1e-6


def test_sources_have_the_same_field(device: Device, section: Section) -> None:
    loads = np.random.default_rng(2).normal(size=(2, len(Z), len(section.points)))
    found, want = (solve_sources(section, Z, TRANSVERSE, LONGITUDINAL, loads, device=where) for where in (device, None))
    assert apart(found.values, want.values) < 1e-9


def test_the_order_of_threads_does_not_matter(section: Section, tmp_path: Path) -> None:
    one, other = (solve_contacts(section, Z, TRANSVERSE, LONGITUDINAL, PLACES, device=where)
                  for where in (host(tmp_path), host(tmp_path, "-DEPIDURA_BACKWARDS")))
    assert np.array_equal(one.modal.values, other.modal.values)
    assert np.array_equal(one.impedance, other.impedance)


def test_few_modes_at_a_time_give_the_same(section: Section, tmp_path: Path) -> None:
    plane = contacts_plane(section)
    modes, planned = len(plane.system.eigenvalues), plane.plan
    factor = 8 * (planned.groups + planned.size)
    blocks = -(-modes // modes_cuda.BATCH)
    roomy = host(tmp_path)
    whole = solve_contacts(section, Z, TRANSVERSE, LONGITUDINAL, PLACES, device=roomy)
    # the factors of all modes stay
    assert roomy.launches == [("factorise", blocks), ("solve", blocks), ("solve", blocks)]
    tight = host(tmp_path, memory=30 * factor)
    found = solve_contacts(section, Z, TRANSVERSE, LONGITUDINAL, PLACES, device=tight)
    kernels = [name for name, _ in tight.launches]
    assert kernels.count("factorise") == kernels.count("solve") > 5
    assert sum(count for name, count in tight.launches if name == "solve") == 2 * blocks
    assert np.array_equal(found.modal.values, whole.modal.values)
    # the factors stay, but not all right-hand sides fit beside them
    full = host(tmp_path)
    own = Modes(planned, plane.stiffness, plane.mass, plane.system.eigenvalues, full)
    loads = np.random.default_rng(3).normal(size=(modes, planned.size, 2))
    everywhere = np.arange(planned.size)
    want = own.solve(loads, everywhere, everywhere)
    full.memory = 10 * 8 * 3 * 2 * planned.size
    assert np.array_equal(own.solve(loads, everywhere, everywhere), want)
    assert [name for name, _ in full.launches].count("factorise") == 1
    assert [name for name, _ in full.launches].count("solve") > 5


def test_too_little_memory_is_said(section: Section, tmp_path: Path) -> None:
    with pytest.raises(MemoryError, match=r"4 modes of the field need \S+ GB on the graphics processor, which has 0.001 GB left"):
        solve_contacts(section, Z, TRANSVERSE, LONGITUDINAL, PLACES, device=host(tmp_path, memory=10**6))


def test_a_canal_on_cuda(canal: Canal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    mine = host(tmp_path)
    monkeypatch.setattr(devices, "available", lambda: None)
    monkeypatch.setattr(devices, "current", lambda: mine)
    want = solve_field(canal)
    assert (want.notes["cuda"], mine.launches) == (0.0, [])
    assert solve_field(canal, device="auto").notes["cuda"] == 0.0
    assert mine.launches == []
    found = solve_field(canal, tmp_path, device="cuda")
    assert [name for name, _ in mine.launches] == ["factorise", "solve", "solve"]
    assert found.notes["cuda"] == 1.0
    np.testing.assert_allclose(found.impedance, want.impedance, rtol=1e-9)
    points = np.column_stack([np.zeros(41), np.full(41, -4 * MM), np.linspace(-20 * MM, 20 * MM, 41)])
    np.testing.assert_allclose(found.sample(points), want.sample(points), rtol=1e-6)  # single precision is kept
    # what is kept serves any device
    assert (tmp_path / "fields" / field_key(canal)).is_dir()
    for where in ("cpu", "cuda"):
        again = solve_field(canal, tmp_path, device=where)
        assert (again.notes["cached"], again.notes["cuda"]) == (1.0, 0.0)
        assert np.array_equal(again.impedance, found.impedance)
    mine.memory = 10**6
    with pytest.raises(Failed, match=r"field: 4 modes of the field need .*--device cpu"):
        solve_field(canal, device="cuda")


def test_the_iteration_stays_on_the_processor(canal: Canal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    mine = host(tmp_path)
    monkeypatch.setattr(devices, "available", lambda: None)
    monkeypatch.setattr(devices, "current", lambda: mine)
    section = canal.section
    assert isinstance(section, Section)
    other = replace(canal, edges=(0.0,), along=(canal.tissues, canal.tissues))
    assert not fields.direct(other)
    monkeypatch.setattr(fields, "_iterated", lambda other, section, watch, near: fields._direct(canal, section, None))  # short; the others test it
    assert solve_field(other, device="cuda").notes["cuda"] == 0.0
    assert mine.launches == []


def test_a_device_that_is_not_there_is_refused(canal: Canal, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    with pytest.raises(BadInput, match="device: unknown device; got 'tpu'; allowed: auto, cpu, cuda"):
        solve_field(canal, device="tpu")
    monkeypatch.setattr(devices, "available", lambda: "there is no CUDA device")
    with pytest.raises(BadInput, match="device: cannot be used here; got 'cuda'; allowed: auto, cpu; there is no CUDA device"):
        solve_field(canal, device="cuda")


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc to compile the kernels with")
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_kernels_compile_for_devices(tmp_path: Path, architecture: str) -> None:
    made = subprocess.run(["nvcc", f"-arch={architecture}", "-cubin", "-std=c++17", "-Xptxas", "-v", f"-DBATCH={modes_cuda.BATCH}",
                           f"-DTHREADS={modes_cuda.THREADS}", "-o", str(tmp_path / "modes.cubin"), str(modes_cuda.SOURCE)],
                          capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert made.stderr.count("bytes spill stores") == made.stderr.count(" 0 bytes spill stores") == 2
