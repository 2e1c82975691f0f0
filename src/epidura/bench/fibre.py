"""``epidura bench fibre``: how fast the fibre engine is on this machine, beside the peers that are installed. Ratios, no limits.

Unless a row says otherwise it is about a fibre of 8.7 um (``mrg``) with 51 nodes, 5 ms in steps of 5 us, and about one core. Times
of one core are CPU seconds, so that other work on the machine shows as little as possible, and the best of several; what
concerns several cores is by the clock on the wall. A simulation counts the linear response and every step of a run, as NEURON's
``psolve`` does; potentials, coefficients and rest are set-up in both programs and are not counted. Thresholds count everything.
"""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from epidura.axon import Axon
from epidura.axon.gaines_sensory import GainesSensory
from epidura.axon.mrg import Mrg
from epidura.bench import jaxon_peer, neuron_peer, sensory_peer
from epidura.errors import BadInput, Failed
from epidura.numerics import simd
from epidura.numerics.cable import Engine, _Batch
from epidura.single_fibre import Trial, point_source, point_source_thresholds
from epidura.waveform import Course

Floats = NDArray[np.float64]
Progress = Callable[[str, float], None]

DIAMETER, NODES, DT, DURATION = 8.7e-6, 51, 5e-6, 5e-3  # m, nodes, s, s
SIGMA = 0.2  # S/m
PULSE = Course.of((1e-4, 1.0))
NEURON_S = 0.338
"""s: one such run in bare NEURON 9.0.2 on one core of an AMD Zen 5, measured once, elsewhere; for machines without NEURON."""

FIBRES = 2000  # of the population whose thresholds are counted
NEAR, FAR = 0.3e-3, 6e-3  # m, sources of the population
SEED = 1
WITHIN = 1e-3  # of the converged threshold
CHUNK = 10_000  # fibres whose potentials stand in memory at once when many are streamed
JAXON_FIBRES, GPU_FIBRES = 128, 100_000
# a processor with AVX2 and nothing wider
AVX2 = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+bmi,+bmi2,+popcnt,+lzcnt,+f16c,+sse4.2"}


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: what is measured.
        value: the figure in ``unit``, which ``floor`` and ``goal`` are about; None where it was not measured, and ``note`` says why.
        unit: of value, floor and goal.
        ratio: the figure in words: what stands against what.
        floor, goal: of the project, or None.
        note: how it was measured, and what limits it.
    """

    name: str
    value: float | None
    unit: str
    ratio: str = ""
    floor: float | None = None
    goal: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Neuron:
    """What the ratios are against: CPU seconds of one 5 ms run at 5 us, and whether they are from this machine."""

    seconds: float
    live: bool

    @property
    def note(self) -> str:
        """What a row must say of it."""
        return "" if self.live else f"against the stated {NEURON_S:g} s of an AMD Zen 5 core: NEURON did not run here"


def measure(quick: bool = False, long: bool = False, progress: Progress = lambda words, share: None) -> list[Row]:
    """Every row of the table.

    Args:
        quick: small sizes, no other processes, no peers; to see that everything runs.
        long: up to a million fibres.
        progress: called with what comes next and the share that is done.
    """
    progress("NEURON", 0.0)
    neuron = _neuron(quick)
    groups: list[tuple[str, Callable[[], list[Row]]]] = [
        ("simulation", lambda: simulation_rows(neuron, quick)), ("population", lambda: population_rows(quick)),
        ("sensory fibre", lambda: sensory_rows(quick)),
        ("accuracy", lambda: accuracy_rows(neuron, quick)), ("roofline", lambda: roofline_rows(quick)), ("growth", lambda: growth_rows(quick))]
    if not quick:
        groups += [("peers", lambda: peer_rows(neuron)), ("AVX2", lambda: avx2_rows(neuron)), ("first call", start_rows),
                   ("graphics processor", lambda: gpu_rows(neuron))]
    if long and not quick:
        groups.append(("many fibres", lambda: long_rows(100_000, 1_000_000)))
    rows = []
    for done, (name, group) in enumerate(groups):
        progress(name, (done + 1) / (len(groups) + 1))
        rows += group()
    return rows


def best(what: Callable[[], object], times: int, clock: Callable[[], float] = time.process_time) -> float:
    """Shortest of some runs, s."""
    spent = []
    for _ in range(times):
        start = clock()
        what()
        spent.append(clock() - start)
    return min(spent)


# Simulations


def simulation(scheme: str = "backward-euler", precision: str = "float32", *, nodes: int = NODES, duration: float = DURATION, dt: float = DT,
               driven: bool = True, response: bool = True, times: int = 60, model: str = "mrg") -> float:
    """CPU seconds of one simulation of one fibre; a vector of them runs together, from ones that stay silent to ones that fire.

    Args:
        scheme, precision: as in ``Axon.engine``.
        nodes: of the fibre.
        duration, dt: s.
        driven: whether there is a stimulus; without one every step is like the others.
        response: whether the linear response is found anew each time, as in the first run of a fibre.
        times: the best of so many.
        model: of the fibre.
    """
    engine, plan = _group(scheme, precision, nodes, duration, dt, driven, model)
    batch = engine.batch(np.arange(engine.lanes), plan)
    _, lanes = next(batch.lots())
    amplitude, watch = np.linspace(0.7e-4, 2.1e-4, engine.lanes), engine._watch()

    def run() -> None:
        if response:
            lanes.resident[:] = -1
        engine._simulate(batch, lanes, amplitude, watch)

    run()
    return best(run, times) / engine.lanes


def _group(scheme: str, precision: str, nodes: int, duration: float, dt: float, driven: bool, model: str = "mrg") -> tuple[Engine, Any]:
    """A vector of equal fibres 1 mm from a source, and the course of a run without an early end."""
    trial = Trial(model, DIAMETER, 1e-3, PULSE, SIGMA, SIGMA, nodes=nodes, scheme=scheme, dt=dt)
    lanes = 64 // np.dtype(precision).itemsize
    samples = trial.samples() if driven else np.zeros(1)
    engine = trial.axon().engine(np.full(lanes, DIAMETER), nodes, np.repeat(trial.potentials()[None], lanes, axis=0), samples, dt, scheme, precision)
    steps = round(duration / dt)
    return engine, engine._plan(steps, steps)


def simulation_rows(neuron: Neuron, quick: bool) -> list[Row]:
    """One run of one fibre, against NEURON at the same step and scheme, and in the scheme that is used by default."""
    rows = []
    for scheme in ("backward-euler", "second-order"):
        for precision, floor, goal in (("float32", 2000.0, 4000.0), ("float64", 700.0, 1200.0)):
            same, times = scheme == "backward-euler", 3 if quick else 60
            whole, again = (simulation(scheme, precision, response=response, times=times) for response in (True, False))
            rows.append(Row(f"simulation against NEURON, {scheme}, {precision}", neuron.seconds / whole, "x",
                            f"{1e3 * whole:.4f} ms against {1e3 * neuron.seconds:.0f} ms", floor if same else None, goal if same else None,
                            _joined(f"{1e3 * again:.4f} ms ({neuron.seconds / again:,.0f} x) where the linear response is known", neuron.note)))
    return rows


# Thresholds of a population


def population(count: int, seed: int = SEED, model: Axon | None = None) -> Floats:
    """(count, compartments) V/A of fibres that all differ: a source 0.3 to 6 mm away, up to half an internode off the middle node."""
    random = np.random.default_rng(seed)
    along = (model or Mrg()).compartments(np.array([DIAMETER]), NODES)[0]
    distance, offset = random.uniform(NEAR, FAR, (count, 1)), random.uniform(-0.5, 0.5, (count, 1)) * along[-1] / (NODES - 1)
    return -point_source(distance, along - 0.5 * along[-1] - offset, SIGMA, SIGMA)  # type: ignore[arg-type]


def _thresholds(potentials: Floats, threads: int, learner: Any = None, model: Axon | None = None) -> Floats:
    """(f,) A, to 0.1 %."""
    return (model or Mrg()).thresholds(np.full(len(potentials), DIAMETER), NODES, potentials, PULSE.step_means(DT), dt=DT, tolerance=WITHIN,
                                       threads=threads, learner=learner)[0]


def population_rows(quick: bool) -> list[Row]:
    """Thresholds per minute of one core, and two cores against one."""
    count, times = (512, 1) if quick else (FIBRES, 3)
    potentials = population(count)
    cpu = best(lambda: _thresholds(potentials, 1), times)
    rows = [Row("thresholds per minute and core, to 0.1 %", 60.0 * count / cpu, "/min", f"{1e3 * cpu / count:.3f} ms each", 80_000.0, 250_000.0,
                f"{count} fibres that all differ, sources {NEAR * 1e3:g} to {FAR * 1e3:g} mm away, pulse of 100 us, second-order, float32; "
                "everything counted, from the potentials on")]
    if (os.cpu_count() or 1) < 2:
        return [*rows, Row("two cores against one", None, "x", "", 1.8, 1.95, "not measured: this machine has one core")]
    one, two, got = math.inf, math.inf, 0.0
    for _ in range(times + 1):  # in turn, so that other work on the machine meets both alike
        one = min(one, best(lambda: _thresholds(potentials, 1), 1, time.perf_counter))
        cpu = time.process_time()
        spent = best(lambda: _thresholds(potentials, 2), 1, time.perf_counter)
        if spent < two:
            two, got = spent, (time.process_time() - cpu) / spent
    return [*rows, Row("two cores against one", one / two, "x", f"{one:.3f} s against {two:.3f} s", 1.8, 1.95,
                       f"the same population, by the clock; the two threads got {got:.2f} cores, fewer than 2 where other work has some of them")]


def sensory_rows(quick: bool) -> list[Row]:
    """The fibre with channels under the myelin: against NEURON's own, and against the one that has none."""
    model, times, rows = GainesSensory(), 3 if quick else 20, []
    whole = simulation("backward-euler", times=times, model=model.kind)
    if quick or neuron_peer.available() is not None:
        rows.append(Row("sensory fibre: simulation against NEURON", None, "x", note="not measured: NEURON did not run here"))
    else:
        fibre = sensory_peer.sensory_fibre(model.morphology(np.array([DIAMETER])), NODES)
        try:
            theirs = min(fibre.psolve_seconds(DURATION, DT) for _ in range(5))
        finally:
            fibre.close()
        rows.append(Row("sensory fibre: simulation against NEURON", theirs / whole, "x", f"{1e3 * whole:.3f} ms against {1e3 * theirs:.0f} ms",
                        note="channels under the myelin, every compartment stepped; backward Euler, float32, as the first row"))
    count = 256 if quick else 1000
    own, plain = population(count, model=model), population(count)
    cpu, other = best(lambda: _thresholds(own, 1, model=model), 2), best(lambda: _thresholds(plain, 1), 2)
    return [*rows, Row("sensory fibre: thresholds per minute and core, to 0.1 %", 60.0 * count / cpu, "/min",
                       f"{1e3 * cpu / count:.2f} ms each, {cpu / other:.1f} times those of a fibre without channels there")]


# To the same accuracy


def accuracy_rows(neuron: Neuron, quick: bool) -> list[Row]:
    """The time of a simulation that is within 0.1 % of the limit of small steps, against NEURON at the step that it needs for that."""
    cases = [(1e-3, 1e-4)] if quick else [(d, w) for d in (0.5e-3, 1e-3, 3e-3) for w in (60e-6, 100e-6, 210e-6)]

    def found(dt: float, scheme: str, precision: str) -> Floats:
        trials = [Trial("mrg", DIAMETER, d, Course.of((w, 1.0)), SIGMA, SIGMA, dt=dt, scheme=scheme, nodes=NODES) for d, w in cases]
        return point_source_thresholds(trials, precision, tolerance=2e-5, threads=1)

    limit = found(1e-6, "second-order", "float64")
    at_1, at_2 = (found(dt, "backward-euler", "float64") for dt in (1e-6, 2e-6))
    slope = float(np.max((at_2 - at_1) / limit))  # per us
    theirs = 1e-6 * WITHIN / slope
    check = float(np.max(np.abs(2.0 * at_1 - at_2 - limit) / limit))
    name, tried, ours = "simulation to 0.1 % of the converged threshold against NEURON", [], None
    for dt in (10e-6, 5e-6, 2.5e-6):
        error = float(np.max(np.abs(found(dt, "second-order", "float32") / limit - 1.0)))
        tried.append(f"{100 * error:.3f} % at {dt * 1e6:g} us")
        if error < WITHIN:
            ours = dt
            break
    how = _joined(
        f"largest errors of {len(cases)} case{'s' * (len(cases) > 1)}, sources {_span(1e3, [d for d, _ in cases])} mm away, pulses of "
        f"{_span(1e6, [w for _, w in cases])} us: second-order {', '.join(tried)}; backward Euler {100 * slope:.2f} % per us, from our own runs at 1 "
        f"and 2 us, which give NEURON's numbers: NEURON needs {theirs * 1e6:.2f} us, and 1/dt of its time at 5 us; straight lines through "
        f"those runs end {100 * check:.3f} % or less from the limit", neuron.note)
    if ours is None:
        return [Row(name, None, "x", "", 15_000.0, 50_000.0, f"not reached at any step that was tried; {how}")]
    one, other = simulation("second-order", "float32", dt=ours, times=3 if quick else 60), neuron.seconds * DT / theirs
    return [Row(name, other / one, "x", f"{1e3 * one:.4f} ms at {ours * 1e6:g} us against {other:.2f} s at {theirs * 1e6:.2f} us", 15_000.0, 50_000.0,
                how)]


# Roofline


@dataclass(frozen=True)
class Operations:
    """Of one vector of fibres: additions, multiplications and comparisons alone, fused multiply-adds, divisions, picks from tables."""

    alone: int
    fused: int
    divisions: int
    picks: int

    @property
    def arithmetic(self) -> int:
        """Operations of each lane; a fused multiply-add is two."""
        return self.alone + 2 * self.fused + self.divisions

    @property
    def issued(self) -> int:
        """Vector instructions but for divisions."""
        return self.alone + self.fused + self.picks


def operations(kept: int) -> tuple[Operations, Operations, Operations]:
    """What ``cable_kernel.run`` does in a step without stimulus for a node, for its gates from tables, and for an internode with
    ``kept`` modes of each parity. Counted in the source: ``a * b + c`` is one fused multiply-add, what moves data is not counted.

    Node: four gates to their bases 4, conductances 7 and 1 fused, their sum 2, the pull 2 and 1 fused; right side 1 and 1 fused;
    off-diagonal 1, pivot 1 and 2 fused and the division, what goes on to the next node 2 and 1 fused; back substitution 1 and 1
    fused; highest and lowest V 2.
    Gates: two places in the tables, each 5 and 2 fused; eight polynomials, whose coefficients are picked; m, p, h each 1 and 1
    fused; s 2 and 4 fused.
    Internode: sums and differences over it 6, what follows them 2 and 2 fused; each mode 1 and 2 fused; what goes to the nodes 3.
    """
    terms = simd.POLYNOMIAL[32]
    return (Operations(alone=4 + 7 + 2 + 2 + 1 + 1 + 1 + 2 + 1 + 2, fused=1 + 1 + 1 + 2 + 1 + 1, divisions=1, picks=0),
            Operations(alone=2 * 5 + 3 + 2, fused=2 * 2 + 8 * (terms - 1) + 3 + 4, divisions=0, picks=8 * terms),
            Operations(alone=6 + 2 + 2 * kept + 3, fused=2 + 4 * kept, divisions=0, picks=0))


def roofline_rows(quick: bool) -> list[Row]:
    """Share of the core's arithmetic that a step reaches, and what bounds it."""
    name = "share of the arithmetic peak of the core"
    if not simd.permutes():
        return [Row(name, None, "%", note="not measured: the count is of gates from tables, which this processor does not have the instructions for")]
    times = 3 if quick else 40
    engine, plan = _group("second-order", "float32", NODES, DURATION, DT, driven=False)
    kept, lanes, live = _Batch(engine, np.arange(engine.lanes), plan).net.kept[0], engine.lanes, NODES - 2
    of = {kind: operations(int(kept[kind])) for kind in range(3)}
    inner = [of[0][2], *[of[1][2]] * (NODES - 3), of[2][2]]
    node, gates = of[1][0], of[1][1]

    def whole(count: Callable[[Operations], int]) -> float:
        return (live * (count(node) + count(gates)) + sum(count(one) for one in inner)) / NODES

    per_node = 1e9 * simulation("second-order", "float32", driven=False, response=False, times=times) * lanes / (NODES * DURATION / DT)
    small = 1e9 * simulation("second-order", "float32", nodes=21, driven=False, response=False, times=times) * lanes / (21 * DURATION / DT)
    issue, chain = (1e9 * seconds for seconds in _speeds(times))
    flops, slots = whole(lambda one: one.arithmetic), whole(lambda one: one.issued)
    peak, reached = 2 * lanes / issue, lanes * flops / per_node
    busy, waits = issue * slots, chain * live / NODES
    both = 100 * (busy + waits) / per_node
    bound = "the issue of vector instructions" if busy > waits else "the divisions of the sweep, each of which waits for the one before"
    return [
        Row("arithmetic peak of the core, float32", peak, "GFLOP/s", f"{1 / issue:.2f} fused multiply-adds of {lanes} lanes per ns",
            note="12 independent chains of multiply-adds in registers"),
        Row(name, 100 * reached / peak, "%", f"{reached:.0f} GFLOP/s; {per_node:.1f} ns per node and step of {lanes} fibres",
            note=f"{flops:.0f} operations per lane, node and step: node {node.arithmetic}, gates {gates.arithmetic}, modes {of[1][2].arithmetic} of "
                 "an internode, less at the ends; counted in the source, a fused multiply-add as 2, a division or comparison as 1"),
        Row("instructions of a node and step at the rate of the peak", busy, "ns",
            f"{slots:.0f} of them, {whole(lambda one: one.picks):.0f} picks from tables",
            note=f"the divisions of the sweep over the nodes, one after another: {waits:.1f} ns; both {both:.0f} % of the time. "
                 f"21 nodes, with a state of {_state_kb(21):.0f} instead of {_state_kb(NODES):.0f} kB, take {small:.1f} ns per node instead of "
                 f"{per_node:.1f}. What bounds a step first is {bound}; the rest are loads of tables and state from the core's own caches, and waits "
                 "for results.")]


def _state_kb(nodes: int) -> float:
    """What a step of one vector of fibres reads and writes, kB."""
    engine, plan = _group("second-order", "float32", nodes, DURATION, DT, driven=False)
    rest = _Batch(engine, np.arange(engine.lanes), plan).of_cable["rest"]
    return (rest.shape[0] + nodes) * engine.lanes * engine.dtype.itemsize / 1e3


# Typed by Numba: mypy sees their definitions, which take the typing context too.
_load: Any = simd.load
_store: Any = simd.store


@nb.njit(nogil=True, error_model="numpy")
def _multiply_adds(values: Any, rounds: int) -> None:
    """12 ``rounds`` independent multiply-adds."""
    x, y = _load(values, 12), _load(values, 13)
    a, b, c, d = _load(values, 0), _load(values, 1), _load(values, 2), _load(values, 3)
    e, f, g, h = _load(values, 4), _load(values, 5), _load(values, 6), _load(values, 7)
    p, q, r, s = _load(values, 8), _load(values, 9), _load(values, 10), _load(values, 11)
    for _ in range(rounds):
        a, b, c, d = a * x + y, b * x + y, c * x + y, d * x + y
        e, f, g, h = e * x + y, f * x + y, g * x + y, h * x + y
        p, q, r, s = p * x + y, q * x + y, r * x + y, s * x + y
    _store(values, 0, ((a + b) + (c + d)) + ((e + f) + (g + h)) + ((p + q) + (r + s)))


@nb.njit(nogil=True, error_model="numpy")
def _pivots(values: Any, rounds: int) -> None:
    """``rounds`` pivots of a sweep, each from the one before."""
    off, diagonal = _load(values, 12), _load(values, 13)
    before = _load(values, 0)
    for _ in range(rounds):
        before = off * (1.0 / (diagonal - off * before))
    _store(values, 0, before)


def _speeds(times: int) -> tuple[float, float]:
    """Seconds of a multiply-add of one vector, and from one pivot to the next."""
    values, rounds = simd.aligned(np.full(14 * simd.BYTES // 4, 0.25, np.float32)), 400_000
    values[-2 * simd.BYTES // 4 :] = 0.5  # multiply-adds go to 1, pivots to a fixed point too
    values[-simd.BYTES // 4 :] = 1.5
    for kernel in (_multiply_adds, _pivots):
        kernel(values.copy(), 1)
    copy = simd.aligned(values)
    return best(lambda: _multiply_adds(copy, rounds), times) / (12 * rounds), best(lambda: _pivots(copy, rounds), times) / rounds


# Growth


def growth_rows(quick: bool) -> list[Row]:
    """How time grows with fibres, nodes and duration."""
    rows = []
    for count in (1, 16) if quick else (1, 16, 100, 1_000, 10_000):
        potentials = population(count)
        spent = best(lambda potentials=potentials: _thresholds(potentials, 1), 1 if quick or count > FIBRES else 3)  # type: ignore[misc]
        rows.append(Row(f"thresholds of {count:,} fibre{'s' * (count > 1)}", 1e3 * spent, "ms", f"{1e3 * spent / count:.3f} ms each"))
    times = 3 if quick else 9
    for nodes in (25, 51) if quick else (25, 51, 101, 201, 401):
        spent = 1e3 * simulation("second-order", nodes=nodes, times=times)
        rows.append(Row(f"simulation of {nodes} nodes", spent, "ms", f"{1e3 * spent / nodes:.2f} us per node", note="second-order, float32"))
    for duration in (1e-3, 5e-3) if quick else (1e-3, 5e-3, 20e-3, 100e-3):
        spent = 1e3 * simulation("second-order", duration=duration, times=times)
        rows.append(Row(f"simulation of {1e3 * duration:g} ms", spent, "ms", f"{spent / duration:.2f} us per ms", note="second-order, float32"))
    return rows


def streamed(count: int) -> dict[str, float]:
    """CPU seconds of the thresholds of many fibres, without those of their potentials, and the most memory in GB.

    Potentials are made ``CHUNK`` fibres at a time; what is learned of thresholds is kept.
    """
    import resource  # not on every system

    learner, spent, fire = None, 0.0, 0
    for first in range(0, count, CHUNK):
        potentials = population(min(CHUNK, count - first), SEED + first)
        if learner is None:
            learner = Mrg().engine(np.array([DIAMETER]), NODES, potentials[:1], PULSE.step_means(DT), DT).learner()
        start = time.process_time()
        fire += int(np.isfinite(_thresholds(potentials, 1, learner)).sum())
        spent += time.process_time() - start
    per_gb = 1e9 if sys.platform == "darwin" else 1e6  # Linux counts kB
    return {"seconds": spent, "gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / per_gb, "fire": float(fire)}


def long_rows(*counts: int) -> list[Row]:
    """Thresholds of many fibres in streamed batches, each size in a process of its own for its memory."""
    rows = []
    for count in counts:
        found = _elsewhere(f"from epidura.bench.fibre import streamed; print(json.dumps(streamed({count})))")
        rows.append(Row(f"thresholds of {count:,} fibres, streamed", found["seconds"], "s", f"{1e3 * found['seconds'] / count:.3f} ms each",
                        note=f"{found['fire']:,.0f} fire; at most {found['gb']:.2f} GB of memory, potentials of {CHUNK:,} fibres at a time"))
    return rows


# Peers


def _neuron(quick: bool) -> Neuron:
    """NEURON's time for one run, measured if it can be."""
    if quick or neuron_peer.available() is not None:
        return Neuron(NEURON_S, live=False)
    fibre = neuron_peer.NeuronFibre(Mrg().morphology(np.array([DIAMETER])), neuron_peer.membrane_numbers(), NODES)
    try:
        return Neuron(min(fibre.psolve_seconds(DURATION, DT) for _ in range(7)), live=True)
    finally:
        fibre.close()


def peer_rows(neuron: Neuron) -> list[Row]:
    """What the peers take for one fibre."""
    how = f"bare psolve, NEURON {version('neuron')}, this machine" if neuron.live else _joined(neuron.note, neuron_peer.available() or "")
    rows = [Row("NEURON, one simulation", 1e3 * neuron.seconds, "ms", note=how)]
    reason = jaxon_peer.available()
    if reason is not None:
        return [*rows, Row("jaxon, one simulation", None, "ms", note=f"not measured: {reason}")]
    theirs, ours = jaxon_peer.seconds_per_fibre(JAXON_FIBRES), simulation("backward-euler", "float64")
    return [*rows, Row("jaxon, one simulation", 1e3 * theirs, "ms", f"Epidura in float64 {theirs / ours:,.0f} x",
                       note=f"jaxon-nerve {version('jaxon-nerve')}, {JAXON_FIBRES} fibres together, float64, CPU seconds of all cores")]


# Other processes


def _elsewhere(code: str, **environment: str) -> dict[str, float]:
    """What a process of its own prints as JSON."""
    # Python may keep its own compiled text, as it does for a user
    inside = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | environment
    done = subprocess.run([sys.executable, "-c", f"import json\n{code}"], env=inside, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"a process that was to be timed ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def avx2_rows(neuron: Neuron) -> list[Row]:
    """The same simulation where the kernel is compiled for a processor with AVX2."""
    name = "simulation against NEURON, backward-euler, float32, compiled for AVX2"
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return [Row(name, None, "x", note=f"not measured: the processor is of another family ({platform.machine()})")]
    with tempfile.TemporaryDirectory() as cache:
        found = _elsewhere("from epidura.bench.fibre import simulation\nfrom epidura.numerics import simd\n"
                           "print(json.dumps({'seconds': simulation(), 'wide': simd.permutes()}))", NUMBA_CACHE_DIR=cache, **AVX2)
    if found["wide"]:
        raise Failed("the kernel that was to be compiled for AVX2 uses AVX-512")
    return [Row(name, neuron.seconds / found["seconds"], "x", f"{1e3 * found['seconds']:.4f} ms against {1e3 * neuron.seconds:.0f} ms",
                note=_joined("registers half as wide and gates from exponentials instead of tables", neuron.note))]


_START = """
import time
zero = time.perf_counter()
import numba
one = time.perf_counter()
from epidura.numerics import cable_kernel
from epidura.single_fibre import Trial, point_source_thresholds
from epidura.waveform import Course
two = time.perf_counter()
trial = Trial("mrg", 8.7e-6, 1e-3, Course.of((1e-4, 1.0)), 0.2, 0.2, nodes=51)
spent = []
for _ in range(6):
    start = time.perf_counter()
    point_source_thresholds([trial], "float32", 1e-3, threads=1)
    spent.append(time.perf_counter() - start)
print(json.dumps({"numba": one - zero, "import": two - one, "first": spent[0], "steady": min(spent[1:])}))
"""


def start_rows() -> list[Row]:
    """The first threshold after an installation, and later ones with the compiled kernel on disk."""
    with tempfile.TemporaryDirectory() as cache:
        cold = _elsewhere(_START, NUMBA_CACHE_DIR=cache)
        warm = [_elsewhere(_START, NUMBA_CACHE_DIR=cache) for _ in range(3)]
    load = min(one["first"] - one["steady"] for one in warm)
    imported, numba = (min(one[name] for one in warm) for name in ("import", "numba"))
    return [Row("first call after an installation", cold["first"], "s", "compile and one threshold", 30.0, 10.0, "the lower the better"),
            Row("later: the kernel from the disk", load, "s", "first threshold less the next ones", 0.5, 0.2,
                f"the lower the better; a steady threshold of one fibre takes {1e3 * min(one['steady'] for one in warm):.1f} ms"),
            Row("later: import of the fibre modules", imported, "s", note=f"after {numba:.2f} s for numba and numpy themselves")]


def gpu_rows(neuron: Neuron) -> list[Row]:
    """A graphics processor against one core of NEURON."""
    name, floor, goal = "graphics processor against one NEURON core", 150_000.0, 400_000.0
    try:
        from epidura.numerics import cable_cuda
    except ImportError as failure:
        return [Row(name, None, "x", "", floor, goal, f"not measured: {failure}")]
    reason = cable_cuda.available()
    if reason is not None:
        return [Row(name, None, "x", "", floor, goal, f"not measured: {reason}")]
    one = gpu_simulation(cable_cuda.Cupy(), GPU_FIBRES)
    return [Row(name, neuron.seconds / one, "x", f"{1e6 * one:.2f} us against {1e3 * neuron.seconds:.0f} ms", floor, goal, _joined(
        f"{GPU_FIBRES:,} fibres that all differ, backward-euler, float32, silent so that none ends early; linear response known", neuron.note))]


def gpu_simulation(device: Any, count: int) -> float:
    """Seconds by the clock of one simulation of one of ``count`` fibres on a device of ``numerics.cable_cuda``."""
    from epidura.numerics import cable_cuda

    engine = Mrg().engine(np.full(count, DIAMETER), NODES, population(count), PULSE.at_step_starts(DT), DT, "backward-euler", "float32")
    steps, spent = round(DURATION / DT), 0.0
    for fibres in cable_cuda.chunks(_Batch(engine, np.arange(count), engine._plan(steps, steps)), device):
        silent = np.full(fibres.members.size, 1e-9)  # A
        fibres.fires(silent)
        spent += best(lambda fibres=fibres, silent=silent: fibres.fires(silent), 3, time.perf_counter)  # type: ignore[misc]
    return spent / count


# What is written


def check_target(path: str | Path) -> Path:
    """The full path of a file that may be written.

    Raises:
        BadInput: it is a folder, lies under a file, or its folder may not be written to.
    """
    target = Path(path).absolute()
    above = next(parent for parent in target.parents if parent.exists())
    if target.is_dir():
        raise BadInput(str(path), "this is a folder", allowed="a file to write to")
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise BadInput(str(path), "no file can be made here", got=str(above), allowed="a folder that can be written to")
    return target


def save(rows: list[Row], path: str | Path, what: str = "epidura bench fibre", used: dict[str, str] | None = None) -> Path:
    """Write rows, machine, versions and date as JSON; the whole file or nothing.

    Args:
        what: the command that made them.
        used: versions; None: those of the fibre engine.

    Raises:
        BadInput: the file cannot be written.
    """
    target = check_target(path)
    text = json.dumps({"what": what, "date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(),
                       "versions": versions() if used is None else used, "rows": [asdict(row) for row in rows]}, indent=2, allow_nan=False)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as work:
            beside = Path(work) / target.name
            beside.write_text(text + "\n", encoding="utf-8")
            os.replace(beside, target)
    except OSError as failure:
        raise BadInput(str(path), f"cannot be written to: {failure.strerror}", allowed="a file that can be written to") from None
    return target


def machine() -> dict[str, Any]:
    """Name of the processor and how many cores there are."""
    try:
        known = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        known = ""
    names = [line.split(":", 1)[1].strip() for line in known.splitlines() if line.startswith("model name")]
    return {"processor": names[0] if names else platform.processor() or platform.machine(), "cores": os.cpu_count() or 1,
            "system": f"{platform.system()} {platform.machine()}", "avx512": simd.permutes()}


def versions() -> dict[str, str]:
    """Of Python and what the engine stands on."""
    return {"python": platform.python_version(), **{name: version(name) for name in ("epidura", "numpy", "numba", "llvmlite")}}


def _span(scale: float, values: list[float]) -> str:
    low, high = scale * min(values), scale * max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _joined(*words: str) -> str:
    return "; ".join(filter(None, words))
