"""When a run is driven: the time course of a stimulus as parts with a linear response and stretches without any.

After an edge of the course the nodes charge within a microsecond or two, and the gates of a short pulse move by much of
their range in a few steps. So the linear response begins in fine steps that grow, and what the channels add goes in
parts of a step for the first steps after an edge (``FINER``), then in whole ones. The gates stand half a step beside the
voltage: where an edge falls inside their step, it is divided there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from epidura.numerics.cable_kernel import Blocks, Parts

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

EDGE = 0.02  # change between steps, relative to the largest value, from which it is an edge
SETTLES = 0.02  # ms after the last edge of a part until what it left is smooth
SETTLE_STEPS = 6  # the same for backward Euler: until a mode without a memory of its own has forgotten the edge
LONGEST = 256  # steps of one part; longer ones are divided, so that memory stays bounded
TINY = 1e-300
CALM_LONGEST = 32  # the same where a run may stop, so that little of the response is found in vain
CALM = 0.25  # share of a course's largest value, at or under which it may be calm
LITTLE = 0.02  # share of the largest value of several courses, under which one may grow or turn round in the calm: it counts as what is left

LEVELS = (1, 2, 4, 8)
"""Divisors of the step; a level is the place in this list."""
FINER = ((2, 4), (1, 12))
"""Level, and for how many whole steps after an edge."""
SHORT, FINER_WHEN_SHORT = 8, ((3, 4), (2, 8), (1, 12))
"""Where edges are this few steps apart or fewer, the gates move by much of their range in each."""
TRAIN, FINER_IN_TRAIN = 20, ((1, 1),)
"""In a train of more edges than this the errors of both signs cancel."""

# Divisors of the whole step for the linear response in the first and the following steps of a level after an edge. The
# first two fine steps are backward Euler, which damps what trapezoidal steps would make ring.
AFTER_EDGE = {1: ((64, 64, 32, 16, 8, 4, 2), (2, 2)), 2: ((64, 64, 32, 16, 8, 4), (4, 4)), 4: ((64, 64, 32, 16, 8), (8, 8), (8, 8)),
              8: ((64, 64, 32, 32, 32), (16, 16), (16, 16))}
DAMPED = 64
COARSER, COARSER_UP_TO = ((2, 0.12), (4, 0.75)), 0.005
"""Whole steps at once, and from how many ms after the finer steps after an edge on, where a run only decides whether a fibre fires; and ms that a
whole step has at most for it."""
DIVISORS = (1, 2, 4, 8, 16, 32, 64, *(1 / many for many, _ in COARSER))
PIECES = (0.0, 0.125, 0.5)  # of a step after an edge: bounds of the pieces of the gates' half step


@dataclass(frozen=True)
class Course:
    """A run: its driven parts, its blocks, and how much room the largest part needs.

    Attributes:
        parts, blocks: for the kernel.
        fine, rows, longest: largest number of fine points, of rows and of steps.
        divisors: of the step, one table each.
        levels: divisors of the step, one level each; the first is 1.
        gate_steps: (steps,) ms that the gates make at once.
        by, lag: (levels,) which of them with each step, and to catch up with V after one.
        rows_out: whole steps of the run.
    """

    parts: Parts
    blocks: Blocks
    fine: int
    rows: int
    longest: int
    divisors: tuple[float, ...]
    levels: tuple[float, ...]
    gate_steps: Floats
    by: Ints
    lag: Ints
    rows_out: int


def _largest(courses: Floats, together: bool) -> Floats:
    """(patterns, 1) by what each of the (patterns, steps) courses is judged: its own largest value, or that of all ``together``."""
    own = np.abs(courses).max(axis=1, keepdims=True, initial=0.0)
    return np.full_like(own, own.max(initial=0.0)) if together else own


def edges(course: Floats, together: bool = False) -> NDArray[np.bool_]:
    """(steps,) whether any of the (patterns, steps) courses jumps at the start of a step."""
    return np.asarray((np.abs(np.diff(course, axis=1, prepend=0.0)) > EDGE * _largest(course, together)).any(axis=0))


def calm_from(push: Floats, fixed: Floats, together: bool = False) -> int:
    """Step from which nothing new drives a fibre: every course of (patterns, samples) keeps its sign, never grows and stays at or under ``CALM`` of
    its largest value; one of ``fixed`` is over. A recharge that runs out is calm; the second of two equal phases is not.

    Args:
        together: the largest value is that of all courses, and what is ``LITTLE`` of it may grow or turn round.
    """
    first, little = 0, LITTLE if together else 0.0
    for course, most in zip(push, _largest(push, together)[:, 0], strict=True):
        size = np.abs(course)
        new = (np.diff(size) > 1e-9 * most) | (course[1:] * course[:-1] < 0.0)  # means over steps are rounded
        loud = size > CALM * most
        loud[1:] |= new & (size[1:] > little * most)
        first = max(first, int(np.flatnonzero(loud).max(initial=-1)) + 1)
    return max([first, *(int(np.flatnonzero(course).max(initial=-1)) + 1 for course in fixed)])


def _stretches(on: NDArray[np.bool_], settle: int) -> list[tuple[int, int]]:
    """[first, end) of each driven stretch: while anything is on and ``settle`` steps longer."""
    held = on.copy()
    for k in range(1, settle + 1):
        held[k:] |= on[:-k]
    change = np.flatnonzero(np.diff(np.concatenate([[False], held, [False]]).astype(int)))
    return [(int(a), int(b)) for a, b in zip(change[::2], change[1::2], strict=True)]


def _coarsen(level: Ints, bounds: list[int], coarser: int, dt: float) -> None:
    """Put the levels from ``coarser`` on into (steps,) levels where they are 0 between bounds: those of ``COARSER``, each after its time."""
    for first, end in pairwise(bounds):
        of = level[first:end] == 0
        starts = np.flatnonzero(np.diff(of.astype(int), prepend=0) == 1)
        ends = np.flatnonzero(np.diff(of.astype(int), append=0) == -1) + 1
        for a, b in zip((starts + first).tolist(), (ends + first).tolist(), strict=True):
            for k, (many, wait) in reversed(list(enumerate(COARSER))):
                # whole ones up to the end, or up to where longer ones begin
                if (whole := (b - a - int(np.ceil(wait / dt - 1e-9))) // many * many) > 0:
                    level[b - whole : b] = coarser + k
                    b -= whole


def _at_steps(values: Floats, finer: float) -> Floats:
    """(steps, patterns) values of whole steps for each of ``finer`` parts of them, or their mean over several."""
    if finer >= 1:
        return np.repeat(values, round(finer), axis=0)
    several = values.reshape(round(len(values) * finer), round(1 / finer), values.shape[1])
    return np.asarray(several.mean(axis=1))


def _begins(jump: NDArray[np.bool_], finer: float) -> NDArray[np.bool_]:
    """(steps,) flags of whole steps as flags of their first part; there are none where steps are longer."""
    inside = np.zeros(round(len(jump) * finer), bool)
    inside[:: max(1, round(finer))] = jump if finer >= 1 else False
    return inside


def _runs(values: Ints, first: int, end: int, calm: int, longest: int = LONGEST) -> list[tuple[int, int]]:
    """[first, end) of the runs of equal values, none longer than ``longest``, and from ``calm`` on, where one begins, than CALM_LONGEST."""
    cuts = sorted({first, end, *(first + 1 + int(k) for k in np.flatnonzero(np.diff(values[first:end]))), min(max(calm, first), end)})
    pieces = [range(a, b, CALM_LONGEST if a >= calm else longest) for a, b in pairwise(cuts)]
    starts = [a for piece in pieces for a in piece] + [end]
    return list(pairwise(starts))


def _over(times: Floats, low: float, high: float) -> tuple[Ints, Floats]:
    """Indices and weights with which values at ``times``, joined by straight lines, give their mean from low to high."""
    first = max(int(np.searchsorted(times, low, side="right")) - 1, 0)
    last = min(int(np.searchsorted(times, high, side="left")), times.size - 1)
    weight = np.zeros(last - first + 1)
    for k in range(first, last):
        a, b, h = max(times[k], low), min(times[k + 1], high), times[k + 1] - times[k]
        right = ((b - times[k]) ** 2 - (a - times[k]) ** 2) / (2 * h)
        weight[k + 1 - first] += right
        weight[k - first] += (b - a) - right
    return np.arange(first, last + 1), weight / weight.sum()


class _GateSteps:
    """The different steps that gates make, in whole steps."""

    def __init__(self) -> None:
        self.known: list[float] = []

    def place(self, length: float) -> int:
        """Of this step in the list."""
        if length not in self.known:
            self.known.append(length)
        return self.known.index(length)


class _Builder:
    """One driven part after the other, joined in ``parts``."""

    def __init__(self, gates: _GateSteps, second_order: bool):
        self.gates, self.second_order = gates, second_order
        self.lists: dict[str, list[NDArray[np.generic]]] = {name: [] for name in Parts._fields}
        self.at, self.fine, self.rows, self.longest = [[0] * 7], 0, 0, 0

    def add(self, push: Floats, fixed: Floats, jump: NDArray[np.bool_], divisor: float, carries: float, after: float | None) -> None:
        """A part of the (steps, patterns) courses with its edges, in parts of 1 / ``divisor`` of a whole step.

        carries: divisor of the part that goes before, or 0; after: divisor of the first fine step of the part that follows, or None.
        """
        steps = len(jump)
        divisors = [[divisor] for _ in range(steps)]
        if self.second_order:
            for at in np.flatnonzero(jump):
                for k, within in enumerate(AFTER_EDGE[round(divisor)][: steps - at]):
                    if len(within) > len(divisors[at + k]):
                        divisors[at + k] = list(within)
        flat = np.concatenate([np.array(each) for each in divisors])
        times = np.concatenate([[0.0], np.cumsum(divisor / flat)])
        whole = np.cumsum([0, *(len(each) for each in divisors)])
        times[whole] = np.arange(steps + 1)
        chosen: list[tuple[Ints, Floats]] = []
        mean, end, gate, gate_row, gate_by = np.empty(steps, np.int64), np.empty(steps, np.int64), [0], [], []

        def row(low: float, high: float) -> int:
            chosen.append(_over(times, low, high) if high > low else (np.array([np.searchsorted(times, low)]), np.ones(1)))
            return len(chosen) - 1

        for n in range(steps):
            end[n] = row(n + 1.0, n + 1.0)
            mean[n] = row(n, n + 1.0) if self.second_order else end[n]
            if not self.second_order:
                gate_row.append(end[n - 1] if n else row(0.0, 0.0))
                gate_by.append(self.gates.place(1.0))
            else:
                split = jump[n] or n == 0
                for low, high in ((-0.5, 0.0), *pairwise(PIECES)) if split else ((-0.5, 0.5),):
                    if n == 0 and high == 0.0 and carries and not jump[0]:
                        back = 0.25 * divisor / carries / times[1]  # the middle of the piece, on the first line prolonged
                        chosen.append((np.arange(2), np.array([1.0 + back, -back])))
                        gate_row.append(len(chosen) - 1)
                    else:
                        gate_row.append(row(max(n + low, 0.0), n + high))
                    gate_by.append(self.gates.place((high - low) / divisor))
            gate.append(len(gate_row))
        self.fine, self.rows, self.longest = max(self.fine, times.size), max(self.rows, len(chosen)), max(self.longest, steps)
        new = {"table": np.array([DIVISORS.index(d) for d in (*flat, after or 1)]), "push_row": np.repeat(np.arange(steps), np.diff(whole)),
               "push": push, "fixed": fixed,
               "start": np.cumsum([0, *(len(i) for i, _ in chosen)]), "index": np.concatenate([i for i, _ in chosen]),
               "weight": np.concatenate([w for _, w in chosen]), "mean": mean, "end": end, "gate": np.array(gate),
               "gate_row": np.array(gate_row), "gate_by": np.array(gate_by), "carries": np.array([carries > 0]), "folds": np.array([after is None])}
        for name, values in new.items():
            self.lists[name].append(values)
        sizes = [len(new[name]) for name in ("table", "push_row", "push", "start", "index", "gate", "gate_row")]
        self.at.append([a + b for a, b in zip(self.at[-1], sizes, strict=True)])

    def parts(self) -> Parts:
        """All of them."""
        return Parts(**{name: np.ascontiguousarray(np.concatenate(self.lists[name])) for name in Parts._fields if name != "at"},
                     at=np.array(self.at))


def plan(push: Floats, fixed: Floats, dt: float, steps: int, quiet_from: int, second_order: bool, calm: int | None = None,
         coarser: bool = False, together: bool = False) -> Course:
    """As ``_plan``; many engines have the same course, so it is kept."""
    return _kept(push.shape, push.tobytes(), fixed.shape, fixed.tobytes(), dt, steps, quiet_from, second_order, calm, coarser, together)


@lru_cache(maxsize=64)
def _kept(push_shape: tuple[int, int], push: bytes, fixed_shape: tuple[int, int], fixed: bytes, dt: float, steps: int, quiet_from: int,
          second_order: bool, calm: int | None, coarser: bool, together: bool) -> Course:
    return _plan(np.frombuffer(push).reshape(push_shape), np.frombuffer(fixed).reshape(fixed_shape), dt, steps, quiet_from, second_order, calm,
                 coarser, together)


def _plan(push: Floats, fixed: Floats, dt: float, steps: int, quiet_from: int, second_order: bool, calm: int | None = None,
          coarser: bool = False, together: bool = False) -> Course:
    """Of (patterns, samples) and (fixed patterns, samples) courses; 0 after their end.

    Args:
        push: courses relative to the amplitude.
        fixed: courses of what does not grow with the amplitude.
        dt: ms.
        steps: of the run.
        quiet_from: step from which a run may stop because nothing will fire any more.
        second_order: scheme.
        calm: step from which it may do so while it is driven; nothing new drives the fibres from there on. Only within the first driven stretch:
            how strongly another one drives is not known before it begins. None: not at all.
        coarser: whether steps grow away from edges, see ``COARSER``; then nothing can be written down step by step. Second order only.
        together: whether what is an edge is judged by the largest value of all patterns, or by that of each.
    """
    every = np.zeros((len(push) + len(fixed), steps))
    for row, course in zip(every, (*push, *fixed), strict=True):
        row[: min(course.size, steps)] = course[:steps]
    jump, level = edges(every[: len(push)], together) | edges(every[len(push) :]), np.zeros(steps, np.int64)
    jump &= second_order
    apart = np.diff(np.flatnonzero(jump))
    finer = FINER_IN_TRAIN if jump.sum() > TRAIN else FINER_WHEN_SHORT if apart.min(initial=SHORT + 1) <= SHORT else FINER
    for k, length in reversed(finer):
        for at in np.flatnonzero(jump):
            level[at : at + length] = np.maximum(level[at : at + length], k)
    settle = max(int(np.ceil(SETTLES / dt)), max(length for _, length in finer)) if second_order else SETTLE_STEPS
    gates, behind = _GateSteps(), 0.5 if second_order else 1.0
    stretches = _stretches((every != 0.0).any(axis=0), settle)
    if calm is None or not stretches or calm >= stretches[0][1]:
        calm = steps
    levels: tuple[float, ...] = LEVELS[: level.max(initial=0) + 1]
    if coarser and second_order and dt <= COARSER_UP_TO * (1 + 1e-9):
        bounds = sorted({0, steps, min(calm, steps), min(quiet_from, steps), *(each for stretch in stretches for each in stretch)})
        _coarsen(level, bounds, len(levels), dt)
        levels += tuple(1.0 / many for many, _ in COARSER)
    by, lag = [gates.place(1.0 / d) for d in levels], [gates.place(behind / d) for d in levels]
    builder, done = _Builder(gates, second_order), 0
    # pulses of a train are alike but for the rounding of their means
    alike = np.round(every / np.maximum(np.abs(every).max(axis=1, keepdims=True), TINY), 9) + 0.0
    blocks: list[tuple[float, ...]] = []
    known: dict[bytes, int] = {}
    pushed, held = np.ascontiguousarray(every[: len(push)].T), np.ascontiguousarray(every[len(push) :].T)

    def first_by(level: int, driven: bool) -> int:
        caught_up = behind / levels[int(blocks[-1][1]) if blocks else level]
        return gates.place(caught_up if driven else caught_up + (1.0 - behind) / levels[level])

    def add(a: int, b: int, part: int, stop: int) -> None:
        finer = levels[level[a]]
        blocks.append((round((b - a) * finer), level[a], part, stop, a, max(1, round(finer)), first_by(int(level[a]), part >= 0), a * dt))

    def free(first: int, end: int) -> None:
        for a, b in ((first, min(end, quiet_from)), (max(first, quiet_from), end)):
            if b > a:
                for c, d in _runs(level, a, b, steps, steps):
                    add(c, d, -1, 2 if a >= quiet_from else 1)

    for first, end in stretches:
        free(done, first)
        key, runs = alike[:, first:end].tobytes(), _runs(level, first, end, calm)
        if key not in known:
            known[key] = len(builder.at) - 1
            before = 0.0
            for a, b in runs:
                d = levels[level[a]]
                after = None if b == end else AFTER_EDGE[LEVELS[level[b]]][0][0] if jump[b] else levels[level[b]]
                builder.add(_at_steps(pushed[a:b], d), _at_steps(held[a:b], d), _begins(jump[a:b], d), d, before, after)
                before = d
        for k, (a, b) in enumerate(runs):
            add(a, b, known[key] + k, 3 if a >= calm else 1)
        done = end
    free(done, steps)
    if len(builder.at) == 1:
        builder.add(pushed[:1], held[:1], jump[:1], 1, 0, None)
    table = list(zip(*blocks, strict=True))
    columns = (np.array(row, float if name == "time" else np.int64) for name, row in zip(Blocks._fields, table, strict=True))
    return Course(builder.parts(), Blocks(*columns), builder.fine, builder.rows, builder.longest, DIVISORS if second_order else (1,), levels,
                  dt * np.array(gates.known), np.array(by), np.array(lag), steps)
