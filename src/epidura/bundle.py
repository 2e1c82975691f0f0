"""Any fibres in any potentials: what they do, output by output.

    bundle = ep.Bundle("mrg-interpolated", diameter, potentials, course)
    ep.excite(bundle, ("threshold", "initiation"))

Fibres may differ in diameter, length and path; a field may be a sum of patterns, each with a course of its own
(interleaved programs, several sources). Everything is computed by the exact engine in groups that fit one processor's
vector unit; how fibres are grouped changes no result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from epidura import axon
from epidura.axon import Axon
from epidura.errors import BadInput, nearest
from epidura.numerics import cable_cuda
from epidura.numerics.cable import Engine
from epidura.numerics.guessing import Learner
from epidura.product import declare
from epidura.waveform import Course

Floats = NDArray[np.float64]

OUTPUTS = ("threshold", "fires", "spikes", "trace", "current", "evoked", "velocity", "initiation", "block")
AFTER = 5e-3  # s, that runs go on after the last edge unless a duration is given
SURELY = 1.05  # times the threshold, where velocity and site of initiation are read unless an amplitude is given
NEAR_END = 3  # nodes from an end, up to which an action potential has begun at the end
AWAY = (0.7, 0.9)  # of the nodes, between which velocity is measured
BLOCK_FROM = 1.5  # times the activation threshold, where the search for a block begins: below it the fibre fires by itself
MOST = 1000  # action potentials kept of one node
CHUNK = 8192  # fibres made ready together


@dataclass(frozen=True)
class Injection:
    """A current into a node, whatever the amplitude of the field.

    Attributes:
        node: which one.
        course: in ampere, +1 depolarises.
    """

    node: int
    course: Course


@dataclass(frozen=True)
class Bundle:
    """Fibres with the potentials outside them.

    Attributes:
        axon: kind of the model, or a model.
        diameter: (f,) m.
        potentials: one array per fibre: (compartments,) or (patterns, compartments) V per ampere of amplitude. A myelinated fibre
            of N nodes has 11 (N - 1) + 1 compartments, an unmyelinated one N. Or a function from (n,) places of fibres to their
            (n, compartments) or (n, patterns, compartments), asked for ``CHUNK`` fibres at a time: a million fibres need no
            more memory than that.
        course: of the amplitude, one or one per pattern.
        dt: s.
        scheme: second-order or backward-euler (NEURON's own).
        precision: float32 or float64.
        ends: passive or sealed; None as the model has it.
        injection: of a current, or None.
        node_count: of every fibre, where ``potentials`` is a function.
        threads: of the processor.
        device: cpu or cuda (thresholds only; falls back to the cpu and says so in ``warnings``).
    """

    axon: str | Axon
    diameter: Floats
    potentials: Sequence[Floats] | Floats | Callable[[NDArray[np.intp]], Floats]
    course: Course | Sequence[Course]
    dt: float = 5e-6
    scheme: str = "second-order"
    precision: str = "float32"
    ends: str | None = None
    injection: Injection | None = None
    node_count: int | None = None
    threads: int = 2
    device: str = "cpu"

    @cached_property
    def model(self) -> Axon:
        """The axon model."""
        return self.axon if isinstance(self.axon, Axon) else axon.family.read({"kind": self.axon})

    @cached_property
    def courses(self) -> tuple[Course, ...]:
        """One per pattern."""
        courses = (self.course,) if isinstance(self.course, Course) else tuple(self.course)
        if not courses:
            raise BadInput("course", "there is none", got=0, allowed="one, or one per pattern")
        return courses

    @cached_property
    def patterns(self) -> tuple[Floats, ...]:
        """(patterns, compartments) of each fibre; empty where they come from a function.

        Raises:
            BadInput: not one per diameter, a shape that is no fibre, or a number that is not finite.
        """
        if callable(self.potentials):
            return ()
        if len(self.potentials) != len(self.diameter):
            raise BadInput("potentials", "not one for every fibre", got=len(self.potentials), allowed=str(len(self.diameter)))
        return tuple(self._fibre(i, given) for i, given in enumerate(self.potentials))

    def _fibre(self, i: int, given: Floats) -> Floats:
        """(patterns, compartments) of one fibre, checked."""
        one, per = np.atleast_2d(np.asarray(given, float)), self.model.per_node
        if one.ndim != 2 or len(one) != len(self.courses) or (one.shape[1] - 1) % per or (one.shape[1] - 1) // per + 1 < 5:
            raise BadInput(f"potentials[{i}]", "this is no fibre", got=f"shape {np.shape(given)}",
                           allowed=f"{len(self.courses)} patterns of {per} (N - 1) + 1 compartments, N at least 5")
        if not np.isfinite(one).all():
            raise BadInput(f"potentials[{i}]", "a potential is not finite", got=float(one[~np.isfinite(one)][0]), allowed="finite V/A")
        return one

    def of(self, members: NDArray[np.intp]) -> Floats:
        """(n, patterns, compartments) of some fibres of one number of nodes."""
        if not callable(self.potentials):
            return np.stack([self.patterns[i] for i in members])
        given = self.potentials(members)
        if len(given) != members.size:
            raise BadInput("potentials", "the function does not give one for every fibre", got=len(given), allowed=str(members.size))
        result = np.stack([self._fibre(int(i), one) for i, one in zip(members, given, strict=True)])
        if result.shape[2] != self.model.per_node * (self.nodes[0] - 1) + 1:
            raise BadInput("potentials", "the function gives other fibres than node_count says", got=f"{result.shape[2]} compartments",
                           allowed=str(self.model.per_node * (self.nodes[0] - 1) + 1))
        return result

    @cached_property
    def nodes(self) -> NDArray[np.int64]:
        """(f,) nodes of each fibre."""
        if callable(self.potentials):
            if self.node_count is None or self.node_count < 5:
                raise BadInput("node_count", "a function of potentials needs it", got=self.node_count, allowed="5 and more")
            return np.full(len(self.diameter), self.node_count)
        return np.array([(one.shape[1] - 1) // self.model.per_node + 1 for one in self.patterns])

    @cached_property
    def samples(self) -> Floats:
        """(patterns, steps) courses on the time grid of the scheme."""
        if not 0 < self.dt < np.inf:
            raise BadInput("dt", "a step must be longer than nothing", got=self.dt, allowed="above 0 s")
        named = [(f"course {k}", course) for k, course in enumerate(self.courses)]
        for name, course in [*named, *([("the injection", self.injection.course)] if self.injection else [])]:
            if self.dt > course.shortest * (1 + 1e-9):
                raise BadInput("dt", f"the step is longer than the shortest phase of {name}", got=f"{self.dt * 1e6:g} us",
                               allowed=f"up to {course.shortest * 1e6:g} us", hint="take a smaller dt")
        each = [self._on_grid(course) for course in self.courses]
        result = np.zeros((len(each), max(map(len, each))))
        for row, values in zip(result, each, strict=True):
            row[: len(values)] = values
        return result

    def _on_grid(self, course: Course) -> Floats:
        return course.step_means(self.dt) if self.scheme == "second-order" else course.at_step_starts(self.dt)

    def engines(self) -> Iterator[tuple[NDArray[np.intp], Engine]]:
        """Members and engine of the fibres of each number of nodes, at most ``CHUNK`` at a time.

        Raises:
            BadInput: anything that cannot be run.
        """
        if self.ends not in (None, "passive", "sealed"):
            raise BadInput("ends", "there are no such ends", got=self.ends, allowed="passive, sealed")
        if self.ends == "passive" and self.model.sealed:
            raise BadInput("ends", "an unmyelinated fibre has live ends", got=self.ends, allowed="sealed")
        if not len(self.diameter):
            raise BadInput("diameter", "there are no fibres", got=0, allowed="one and more")
        if self.device not in ("cpu", "cuda"):
            raise BadInput("device", "there is no such device", got=self.device, allowed="cpu, cuda")
        self.model.check(np.asarray(self.diameter))
        for count in np.unique(self.nodes):
            if self.injection is not None and not 0 <= self.injection.node < count:
                raise BadInput("injection.node", "there is no such node", got=self.injection.node, allowed=f"0 to {count - 1}")
            same = np.flatnonzero(self.nodes == count)
            for members in (same[k : k + CHUNK] for k in range(0, same.size, CHUNK)):
                injection = None
                if self.injection is not None:
                    injection = np.full(members.size, self.injection.node), self._on_grid(self.injection.course)
                sealed = None if self.ends is None else self.ends == "sealed"
                yield members, self.model.engine(np.asarray(self.diameter)[members], int(count), self.of(members), self.samples, self.dt,
                                                 self.scheme, self.precision, sealed, injection)


def excite(bundle: Bundle, outputs: Sequence[str] = ("threshold",), *, amplitude: float | Floats | None = None, nodes: Sequence[int] | None = None,
           duration: float | None = None, weights: Sequence[Floats] | None = None, window: tuple[float, float] | None = None,
           tolerance: float = 1e-3, ceiling: float = 1.0) -> xr.Dataset:
    """What the fibres of a bundle do.

    Args:
        bundle: fibres and field.
        outputs: which of these, each with what it needs:
            ``threshold``: lowest amplitude at which a fibre fires, found from below, and its bracket; a fibre fires when the node
            at 0.9 of its length crosses -30 mV upwards. inf above the ceiling, and why in ``reason``;
            ``fires``: whether, at each ``amplitude``;
            ``spikes``: times at ``nodes``; ``trace``: V and gates at ``nodes``;
            ``current``: through the axolemma of every compartment, outward;
            ``evoked``: the same weighted with ``weights``, the potential at a recording contact;
            ``velocity``: between 0.7 and 0.9 of the nodes; ``initiation``: node that fires first, and whether it is an end;
            ``block``: lowest amplitude at which the injected action potential does not arrive within ``window``, from ``amplitude``
            or 1.5 times the threshold on.
        amplitude: A; one, (f,) one per fibre, or for ``fires`` (k,) or (f, k). ``velocity`` and ``initiation`` take 1.05 times the
            threshold without it.
        nodes: places of ``spikes`` and ``trace``; negative ones count from the end.
        duration: s of a run; 5 ms after the last edge without it.
        weights: per fibre (recordings, compartments) V/A.
        window: s, from and to.
        tolerance: relative width of threshold brackets.
        ceiling: A.

    Returns:
        the product ``excitation`` (see ``product.DECLARED``).

    Raises:
        BadInput: an output that does not exist or lacks what it needs, or a bundle that cannot be run.
    """
    outputs = (outputs,) if isinstance(outputs, str) else tuple(outputs)
    for name in outputs:
        if name not in OUTPUTS:
            raise BadInput("outputs", "there is no such output", got=name, allowed=", ".join(OUTPUTS), hint=nearest(name, OUTPUTS))
    needs = {"fires": (amplitude, "amplitude"), "spikes": (nodes, "nodes"), "trace": (nodes, "nodes"), "evoked": (weights, "weights"),
             "block": (window, "window")}
    for name, (value, what) in needs.items():
        if name in outputs and value is None:
            raise BadInput(what, f"{name} needs it", allowed=f"excite(..., {what}=...)")
    if "block" in outputs and bundle.injection is None:
        raise BadInput("injection", "block needs an action potential to stop", allowed="Bundle(..., injection=Injection(node, course))")
    if window is not None and not 0 <= window[0] < window[1] < np.inf:
        raise BadInput("window", "not a stretch of time", got=str(window), allowed="(from, to) in s, from before to")
    if duration is not None and not 0 < duration < np.inf:
        raise BadInput("duration", "not a duration", got=duration, allowed="above 0 s")
    if not (np.isfinite(tolerance) and tolerance > 0 and np.isfinite(ceiling) and ceiling > 0):
        raise BadInput("tolerance", "tolerance and ceiling are positive", got=f"{tolerance}, {ceiling} A")
    return _Run(bundle, amplitude, nodes, duration, weights, window, tolerance, ceiling).all(outputs)


class _Again:
    """The engines of a bundle, made anew for each output unless there are few fibres."""

    def __init__(self, bundle: Bundle):
        self.bundle = bundle
        self.kept = list(bundle.engines()) if len(bundle.diameter) <= CHUNK else None

    def __iter__(self) -> Iterator[tuple[NDArray[np.intp], Engine]]:
        return iter(self.kept) if self.kept is not None else self.bundle.engines()


class _Run:
    """One call of ``excite``; each method gives the variables and coordinates of one output."""

    def __init__(self, bundle: Bundle, amplitude: float | Floats | None, nodes: Sequence[int] | None, duration: float | None,
                 weights: Sequence[Floats] | None, window: tuple[float, float] | None, tolerance: float, ceiling: float):
        self.bundle, self.nodes, self.weights, self.window = bundle, nodes, weights, window
        self.tolerance, self.ceiling, self.given = tolerance, ceiling, None if amplitude is None else np.asarray(amplitude, float)
        self.size = len(bundle.diameter)
        ends = [course.end for course in bundle.courses] + ([bundle.injection.course.end] if bundle.injection else [])
        self.duration = max(ends) + AFTER if duration is None else duration
        self.engines = _Again(bundle)
        self.warnings: list[str] = []
        self.coords: dict[str, object] = {"diameter": bundle.diameter}
        if self.given is not None and not np.isfinite(self.given).all():
            raise BadInput("amplitude", "an amplitude is not finite", got=str(self.given), allowed="finite A")

    def all(self, outputs: Sequence[str]) -> xr.Dataset:
        variables: dict[str, object] = {}
        for name in outputs:
            variables |= getattr(self, name)()
        return declare("excitation", variables, self.coords, warnings="; ".join(self.warnings))

    def _each(self, shape: tuple[int, ...], fill: Callable[[NDArray[np.intp], Engine], Any]) -> Any:
        """(f, *shape) filled group by group."""
        result = np.full((self.size, *shape), np.nan)
        for members, engine in self.engines:
            result[members] = fill(members, engine)
        return result

    @cached_property
    def _thresholds(self) -> Floats:
        """(3, f) A."""
        learner = Learner.of(self.bundle.courses[0].shortest)
        return np.asarray(self._each((3,), lambda members, engine: self._search(engine, learner).T).T)

    def _search(self, engine: Engine, learner: Learner) -> Floats:
        device = None
        if self.bundle.device == "cuda":
            device, why = cable_cuda.pick(engine.cable.membrane, engine.nodes)
            if device is None:
                self._warn(f"thresholds were computed on the cpu: {why}")
        return engine.thresholds(self.tolerance, self.ceiling, self.bundle.threads, learner, device)

    def _warn(self, words: str) -> None:
        if words not in self.warnings:
            self.warnings.append(words)

    def threshold(self) -> dict[str, object]:
        middle, below, above = self._thresholds
        why = np.where(np.isfinite(middle), "", f"does not fire up to the ceiling of {self.ceiling:g} A")
        if not np.isfinite(middle).all():
            self.warnings.append(f"{int((~np.isfinite(middle)).sum())} of {self.size} fibres do not fire up to {self.ceiling:g} A")
        return {"threshold": middle, "threshold_lower": below, "threshold_upper": above, "reason": why}

    def fires(self) -> dict[str, object]:
        assert self.given is not None
        if self.given.ndim > 2 or (self.given.ndim == 2 and len(self.given) not in (1, self.size)):
            raise BadInput("amplitude", "not some for every fibre", got=f"shape {self.given.shape}", allowed=f"(k,) or ({self.size}, k)")
        wanted = self.given if self.given.ndim == 2 else np.atleast_1d(self.given)[None]
        grid = np.broadcast_to(wanted, (self.size, wanted.shape[1]))
        self.coords["amplitude"] = grid
        return {"fires": self._each(grid.shape[1:], lambda members, engine: engine.fires(grid[members], self.bundle.threads)).astype(bool)}

    @cached_property
    def _amplitude(self) -> Floats:
        """(f,) A of single runs."""
        if self.given is not None:
            if self.given.ndim > 1 or self.given.size not in (1, self.size):
                raise BadInput("amplitude", "not one for every fibre", got=f"shape {self.given.shape}", allowed=f"one, or ({self.size},)")
            return np.broadcast_to(self.given.ravel(), self.size).copy()
        if not self.bundle.injection:
            return np.asarray(SURELY * np.where(np.isfinite(self._thresholds[0]), self._thresholds[0], 0.0))
        return np.zeros(self.size)

    def _places(self, engine: Engine) -> list[int]:
        assert self.nodes is not None
        for node in self.nodes:
            if not -engine.nodes <= node < engine.nodes:
                raise BadInput("nodes", "there is no such node", got=node, allowed=f"{-engine.nodes} to {engine.nodes - 1}")
        return [node % engine.nodes for node in self.nodes]

    def spikes(self) -> dict[str, object]:
        assert self.nodes is not None
        times = self._each((len(self.nodes), MOST), lambda members, engine: engine.spikes(
            self._amplitude[members], self.duration, self._places(engine), MOST, self.bundle.threads))
        self.coords["node"] = list(self.nodes)
        most = int(np.isfinite(times).sum(axis=2).max(initial=0))
        return {"spike_time": times[:, :, :most], "spike_count": np.isfinite(times).sum(axis=2)}

    def trace(self) -> dict[str, object]:
        assert self.nodes is not None
        found = {int(members[0]): (members, engine.traces(self._amplitude[members], self.duration, self._places(engine)))
                 for members, engine in self.engines}
        result = np.empty((self.size, *next(iter(found.values()))[1].shape[1:]))
        for members, values in found.values():
            result[members] = values
        self.coords |= {"node": list(self.nodes), "time": self._times(result.shape[1])}
        return {"voltage": np.moveaxis(result[..., 0], 1, 2) * 1e-3, "gates": np.moveaxis(result[..., 1:], 1, 2)}

    def _times(self, steps: int) -> Floats:
        return np.asarray(self.bundle.dt * np.arange(1, steps + 1))

    def current(self) -> dict[str, object]:
        widest = self.bundle.model.per_node * (int(self.bundle.nodes.max()) - 1) + 1
        steps = round(self.duration / self.bundle.dt)
        result = np.full((self.size, steps, widest), np.nan)
        for members, engine in self.engines:
            result[members, :, : engine.potentials.shape[2]] = engine.currents(self._amplitude[members], self.duration, None, self.bundle.threads)
        self.coords["time"] = self._times(steps)
        return {"current": result}

    def evoked(self) -> dict[str, object]:
        assert self.weights is not None
        sizes = self.bundle.model.per_node * (self.bundle.nodes - 1) + 1
        if len(self.weights) != self.size or any(np.shape(w)[-1:] != (size,) for w, size in zip(self.weights, sizes, strict=False)):
            raise BadInput("weights", "not one row of every compartment for every fibre", got=f"{len(self.weights)} for {self.size} fibres",
                           allowed="(recordings, compartments) per fibre")
        each = [np.atleast_2d(np.asarray(w, float)) for w in self.weights]
        if len({w.shape[0] for w in each}) > 1 or any(w.ndim != 2 for w in each) or not all(np.isfinite(w).all() for w in each):
            raise BadInput("weights", "not the same recordings of every fibre, or not finite", got=str([w.shape for w in each][:3]),
                           allowed="(recordings, compartments) per fibre, finite V/A")
        result = self._each((round(self.duration / self.bundle.dt), len(each[0])), lambda members, engine: engine.currents(
            self._amplitude[members], self.duration, np.stack([each[i] for i in members]), self.bundle.threads))
        self.coords["time"] = self._times(result.shape[1])
        return {"evoked": np.moveaxis(result, 1, 2)}

    def _first(self, members: NDArray[np.intp], engine: Engine) -> Floats:
        """(members, nodes) s, first action potential of every node; nan without one."""
        return engine.spikes(self._amplitude[members], self.duration, range(engine.nodes), 1, self.bundle.threads)[:, :, 0]

    @cached_property
    def _arrivals(self) -> list[tuple[NDArray[np.intp], int, Floats]]:
        return [(members, engine.nodes, self._first(members, engine)) for members, engine in self.engines]

    def velocity(self) -> dict[str, object]:
        result = np.full(self.size, np.nan)
        internode = self.bundle.model.internode(np.asarray(self.bundle.diameter))
        for members, nodes, first in self._arrivals:
            a, b = (int(share * (nodes - 1)) for share in AWAY)
            with np.errstate(divide="ignore", invalid="ignore"):
                result[members] = (b - a) * internode[members] / (first[:, b] - first[:, a])
        return {"velocity": result}

    def initiation(self) -> dict[str, object]:
        node, time, end = np.full(self.size, -1), np.full(self.size, np.nan), np.zeros(self.size, bool)
        for members, nodes, first in self._arrivals:
            some = np.isfinite(first).any(axis=1)
            at = np.argmin(np.where(np.isfinite(first), first, np.inf), axis=1)
            node[members[some]], time[members[some]] = at[some], first[some, at[some]]
            end[members] = some & ((at <= NEAR_END) | (at >= nodes - 1 - NEAR_END))
        if end.any():
            self.warnings.append(f"{int(end.sum())} of {self.size} fibres fire first at their end: they are too short for this field")
        return {"initiation_node": node, "initiation_time": time, "fires_at_end": end}

    def block(self) -> dict[str, object]:
        assert self.window is not None
        if self.given is not None and not (self.given.ndim < 2 and self.given.size in (1, self.size) and (self.given > 0).all()
                                           and (self.given <= self.ceiling).all()):
            raise BadInput("amplitude", "a search for a block cannot begin there", got=str(self.given),
                           allowed=f"one, or ({self.size},), above 0 and up to the ceiling of {self.ceiling:g} A")
        start = np.broadcast_to(np.ravel(self.given) if self.given is not None else BLOCK_FROM * self._activation(), self.size)
        low, high = np.full(self.size, self.ceiling), np.full(self.size, np.inf)
        for members, engine in self.engines:
            for place, k in enumerate(members):
                if start[k] <= self.ceiling:
                    low[k], high[k] = self._copies(int(k), place, engine).block_threshold(float(start[k]), self.window, BLOCK_RESOLUTION,
                                                                                          self.tolerance, self.ceiling)
        if np.isnan(low).any():
            self.warnings.append(f"{int(np.isnan(low).sum())} of {self.size} fibres: no action potential arrives where the search begins; "
                                 "take another amplitude or window")
        return {"block_lower": low, "block_upper": high}

    def _activation(self) -> Floats:
        """(f,) thresholds of the field alone."""
        from dataclasses import replace

        alone = replace(self.bundle, injection=None)
        return np.asarray(_Run(alone, None, None, None, None, None, 0.01, self.ceiling)._thresholds[0])

    def _copies(self, k: int, place: int, engine: Engine) -> Engine:
        """The k-th fibre in every lane."""
        from dataclasses import replace

        n = engine.lanes
        several = replace(self.bundle, diameter=np.full(n, np.asarray(self.bundle.diameter)[k]), potentials=[engine.potentials[place]] * n)
        return next(iter(several.engines()))[1]


BLOCK_RESOLUTION = 5e-4
"""Ratio between amplitudes tried for a block, less 1: near the edge of a block open and blocked amplitudes alternate."""


def travelling_wave(model: str | Axon, diameter: float, *, dt: float = 5e-6, scheme: str = "second-order", precision: str = "float64",
                    nodes: int = 31) -> xr.Dataset:
    """The axolemma currents of one internode period as an action potential travels through it, far from both ends.

    Every other period has the same currents, later by internode over velocity: what an evoked potential needs of a fibre that
    fires without being simulated again.

    Args:
        model: kind or model.
        diameter: m.
        dt: s.
        scheme, precision: of the engine.
        nodes: of the fibre.

    Returns:
        the product ``excitation`` with ``current`` (1, time, compartments of one period, from a node on) and ``velocity``.
    """
    own = model if isinstance(model, Axon) else axon.family.read({"kind": model})
    zero = np.zeros((1, own.per_node * (nodes - 1) + 1))
    start = Injection(2, Course.of((1e-4, INJECTED)))
    bundle = Bundle(own, np.array([diameter]), zero, Course.of((1e-4, 1.0)), dt, scheme, precision, injection=start)
    found = excite(bundle, ("current", "velocity"), duration=WAVE)
    first = own.per_node * ((nodes - 1) // 2)
    return found.isel(compartment=slice(first, first + own.per_node))


INJECTED, WAVE = 5e-9, 6e-3
"""A that starts a travelling wave, and s that it is followed."""
