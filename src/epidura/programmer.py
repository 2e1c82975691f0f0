"""The clinician programmer: what a change of contacts, of the type of stimulation or of the amplitude does, soon enough to turn a knob by.

    laid = lay(lead_field, case.fibres)              # fibres with the potential of every contact along them: once per position of the leads
    programmer = Programmer(laid)
    programmer.preview(program)                      # (f,) A, an estimate within some per cent
    programmer.exact(program)                        # the numbers of recruit

Where fibres run and what each contact does along them does not depend on the program, so that a change of contacts costs a mixture and a search.
The search itself starts from what was learnt of the same course in time before (``numerics.guessing``); guesses change no result.

The preview runs few fibres once a type of stimulation is known. A fibre's threshold times the highest second difference of the potential at its
nodes, smoothed along the nodes, is nearly one number for one course; what is left follows the neighbouring nodes and the diameter. A quadratic in
these is fitted to the fibres that were searched with that type; the length of the smoothing is the one that leaves least. One lot of fibres of each
population then says by how much it is off for the contacts. docs/workbench-program.md has its error.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epidura import axon
from epidura.axon import Axon
from epidura.delivery import Electronics, patterns
from epidura.fibre import Population
from epidura.fibre.course import along
from epidura.numerics.guessing import Guide, Learner
from epidura.product import Fibres, Floats, LeadField
from epidura.program import CASE, Program
from epidura.recruitment import (
    PLACED,
    REACH,
    Engine,
    Group,
    Nodes,
    Task,
    grouped,
    nodes_of,
    place_fibres,
    search,
)
from epidura.waveform import Course

Progress = Callable[[str, float], None]

KEPT = 48
"""Answers of one position of the leads that are kept, and courses that are. Choice of this project."""

SAMPLED = 64
"""Fibres whose potentials are sampled at a time, between two looks at whether somebody cancelled."""

FIRST = 16
"""With a type of stimulation of which nothing is known, one fibre in so many is searched for a preview."""

SOME = 16
"""With contacts that are new so many fibres of each population are searched for a preview: one lot of the vector unit."""

ROUGH = 0.03
"""Relative width of their brackets."""

LENGTHS = (0.5, 1.0, 1.7, 2.5, 4.0)
"""Lengths of smoothing along the nodes that are tried, in nodes."""

SMOOTHED = 6
"""Nodes to each side that the smoothing takes in."""


# fibres with the potentials of all contacts


@dataclass(frozen=True)
class Laid:
    """Placed fibres, and the potential of every contact along all nodes that any program can take.

    Attributes:
        lead_field: of the leads.
        populations: as placed.
        fibres: placed as ``recruit`` does.
        models: of the axons, by population.
        first: (f,) number of the first node that is kept, from the start of the path.
        potentials: of each fibre (contacts, compartments), V/A.
        step: (f,) compartments from node to node.
    """

    lead_field: LeadField
    populations: tuple[Population, ...]
    fibres: Fibres
    models: dict[str, Axon]
    first: NDArray[np.int64]
    potentials: list[Floats]
    step: NDArray[np.int64]

    def groups(self, driven: dict[int, float], mixing: Floats) -> list[Group]:
        """As ``recruitment.grouped``, from what is kept."""
        def known(members: NDArray[np.intp], taken: Nodes, mixing: Floats) -> Floats:
            step, count = int(self.step[members[0]]), int(taken.count[members[0]])
            own = np.empty((members.size, len(mixing), step * (count - 1) + 1))
            for place, i in zip(own, members.tolist(), strict=True):
                begin = int(taken.first[i] - self.first[i]) * step
                np.matmul(mixing, self.potentials[i][:, begin : begin + own.shape[2]], out=place)
            return own

        return list(grouped(self.lead_field, self.fibres, self.models, driven, mixing, known))


def lay(lead_field: LeadField, populations: Sequence[Population], progress: Progress | None = None) -> Laid:
    """Place fibres and sample every contact along them.

    Args:
        progress: called with a sentence and a share from 0 to 1; may raise.
    """
    progress = progress or (lambda words, share: None)
    progress("fibres are placed", 0.0)
    fibres = place_fibres(lead_field.canal, populations)
    models = {population.kind: axon.family.read({"kind": population.axon}) for population in populations}
    first, last = _widest(lead_field, fibres, models)
    course, sample = lead_field.canal.course, lead_field.sample
    potentials: list[Floats] = [np.empty(0)] * len(fibres.diameter)
    steps = np.empty(len(fibres.diameter), np.int64)
    done = 0
    for kind, model in models.items():
        of_kind = np.flatnonzero(fibres.population == kind)
        of_kind = of_kind[np.argsort(last[of_kind] - first[of_kind], kind="stable")]  # alike ones together
        for k in range(0, of_kind.size, SAMPLED):
            members = of_kind[k : k + SAMPLED]
            count = int((last - first)[members].max())
            internode = model.internode(fibres.diameter[members])
            at = model.compartments(fibres.diameter[members], count) + ((first[members] + fibres.phase[members]) * internode)[:, None]
            points = np.stack([along(fibres.paths[i], s, course) for i, s in zip(members, at, strict=True)])
            values = sample(points.reshape(-1, 3)).reshape(-1, *at.shape)
            steps[members] = (at.shape[1] - 1) // (count - 1)
            for place, i in enumerate(members.tolist()):
                potentials[i] = np.ascontiguousarray(values[:, place])
            done += members.size
            progress("potentials along the fibres", done / len(potentials))
    return Laid(lead_field, tuple(populations), fibres, models, first, potentials, steps)


def _widest(lead_field: LeadField, fibres: Fibres, models: dict[str, Axon]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(f,) first node that any program takes, and one past the last one."""
    contacts = lead_field.canal.contacts
    lows = sorted({c.z0: c.number for c in contacts}.items())
    highs = sorted({c.z1: c.number for c in contacts}.items())
    # the lowest and highest contact of a program decide; every pair of them
    pairs = {(low, high) for z0, low in lows for z1, high in highs if z1 > z0}
    taken = [nodes_of(lead_field, fibres, models, dict.fromkeys(pair, 1.0), reach) for pair in sorted(pairs) for reach in (REACH, PLACED)]
    return np.min([one.first for one in taken], axis=0), np.max([one.first + one.count for one in taken], axis=0)


# estimates


class Estimate:
    """Thresholds of one course guessed from the potentials at the nodes, fitted to fibres that were searched."""

    def __init__(self) -> None:
        self._learners = {length: Learner(1.0, peak=False) for length in LENGTHS}

    def learn(self, groups: Sequence[Group], thresholds: Floats) -> None:
        """Take in fibres with (f,) thresholds in A; nan for those that were not searched."""
        for length, learner in self._learners.items():
            features, members = _features(groups, length)
            own = thresholds[members]
            kept = np.isfinite(own) & np.isfinite(features).all(axis=1) & (features[:, 0] > 0)
            if kept.sum() >= 10:
                learner.learn(features[kept], np.log(own[kept]))

    @property
    def length(self) -> float | None:
        """The smoothing that leaves least; None while nothing was learnt."""
        known = {length: learner.model[1] for length, learner in self._learners.items() if learner.model is not None}
        return min(known, key=lambda length: known[length]) if known else None

    def guess(self, groups: Sequence[Group], count: int) -> Floats:
        """(count,) A; inf where a fibre is not depolarised anywhere."""
        length = self.length
        assert length is not None
        features, members = _features(groups, length)
        out = np.full(count, np.inf)
        good = features[:, 0] > 0
        out[members[good]] = np.exp(self._learners[length].guess(features[good])[0])
        return out


def _features(groups: Sequence[Group], length: float) -> tuple[Floats, NDArray[np.intp]]:
    """(n, 5) highest smoothed second difference at a node, V/A, means of its neighbours and of theirs, half its neighbours' difference,
    and the diameter in um; and whose they are."""
    found, members = [], []
    near = np.arange(-SMOOTHED, SMOOTHED + 1)
    smooth = np.exp(-np.abs(near) / length)
    for group in groups:
        step = (group.potentials.shape[2] - 1) // (group.nodes - 1)
        bend = np.diff(group.potentials[:, 0, ::step], 2, axis=1)
        padded = np.pad(bend, ((0, 0), (SMOOTHED, SMOOTHED)))
        smoothed = sum(weight * padded[:, SMOOTHED + k : SMOOTHED + k + bend.shape[1]] for k, weight in zip(near, smooth, strict=True))
        at, row = np.clip(np.argmax(smoothed, axis=1), 2, bend.shape[1] - 3), np.arange(len(bend))
        sides = [0.5 * (smoothed[row, at - away] + smoothed[row, at + away]) for away in (1, 2)]
        uneven = 0.5 * np.abs(smoothed[row, at + 1] - smoothed[row, at - 1])
        found.append(np.column_stack([smoothed[row, at], *sides, uneven, group.diameter * 1e6]))
        members.append(group.members)
    return np.concatenate(found), np.concatenate(members)


# the programmer


@dataclass(frozen=True)
class Found:
    """Thresholds of one program of one train as they were searched.

    Attributes:
        thresholds: (3, f) threshold and bracket, A; inf for fibres that do not fire at ``up_to``.
        up_to: A.
    """

    thresholds: Floats
    up_to: float


@dataclass
class Programmer:
    """Thresholds of the fibres of one position of the leads, for any program.

    Attributes:
        laid: fibres with the potentials of all contacts.
        engine: numerical settings of the fibres.
    """

    laid: Laid
    engine: Engine = field(default_factory=Engine)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[str, Found] = OrderedDict()
        self._previews: OrderedDict[str, Floats] = OrderedDict()
        self._known: OrderedDict[str, tuple[dict[str, Guide], Estimate]] = OrderedDict()
        self._mixed: tuple[str, list[Group]] = ("", [])
        self._last: dict[str, str] = {}  # by type of stimulation: whose search its guides took part in last

    def found(self, program: Program, electronics: Electronics | None = None) -> Found | None:
        """What was searched of a program of one train before, if anything."""
        mixing, courses = patterns(program, self.laid.lead_field, electronics)
        with self._lock:
            return self._found.get(_key(program, mixing, courses))

    def exact(self, program: Program, electronics: Electronics | None = None, progress: Progress | None = None, up_to: float | None = None) -> Floats:
        """(3, f) threshold and bracket of each fibre, A: those of ``recruit``; a program of one train.

        Args:
            progress: called with a sentence and a share from 0 to 1; may raise, which ends the search.
            up_to: A, as far as anybody will look. A fibre that does not fire there takes one run instead of a search; its threshold is inf and its
                bracket begins there, or further up where more was searched before. None: up to the ceiling of the engine.

        Raises:
            BadCase: contacts that do not exist.
        """
        mixing, courses = patterns(program, self.laid.lead_field, electronics)
        key, limit = _key(program, mixing, courses), self.engine.ceiling if up_to is None else min(up_to, self.engine.ceiling)
        with self._lock:
            known, expected = self._found.get(key), self._previews.get(key)
        if known is not None and known.up_to >= limit:
            return known.thresholds
        groups = self._groups(key, program, mixing)
        wanted = np.ones(len(self.laid.potentials), bool) if known is None else np.isinf(known.thresholds[0])
        learners, estimate = self._of(program)
        shortest, again = program.waveform.pulse().shortest, self._again(program, key)
        task = Task(groups, courses, shortest, wanted, f"fibres, {program.name}", learners, expected, again)
        found = search([task], replace(self.engine, ceiling=limit), progress or (lambda words, share: None))[0]
        if known is not None:
            found = np.where(wanted, found, known.thresholds)
        with self._lock:
            estimate.learn(groups, np.where(wanted, found[0], np.nan))
            _put(self._found, key, Found(found, limit))
        return found

    def preview(self, program: Program, electronics: Electronics | None = None) -> Floats:
        """(f,) A, estimated; exact where it is known. A program of one train, of a course that is new, searches some of the fibres."""
        mixing, courses = patterns(program, self.laid.lead_field, electronics)
        key = _key(program, mixing, courses)
        with self._lock:
            known, guess = self._found.get(key), self._previews.get(key)
        if guess is None and (known is None or known.up_to < self.engine.ceiling):
            guess = self._guess(program, mixing, courses)
            with self._lock:
                _put(self._previews, key, guess)
        if known is None:
            assert guess is not None
            return guess
        beyond = np.isinf(known.thresholds[0])
        return np.asarray(known.thresholds[0] if guess is None else np.where(beyond, np.maximum(guess, known.up_to), known.thresholds[0]))

    def _guess(self, program: Program, mixing: Floats, courses: Sequence[Course]) -> Floats:
        """(f,) A, of a program that was not searched yet."""
        count = len(self.laid.potentials)
        learners, estimate = self._of(program)
        key = _key(program, mixing, courses)
        groups = self._groups(key, program, mixing)
        self._again(program, key)
        if estimate.length is None:
            some = np.zeros(count, bool)
            order = np.lexsort((self.laid.fibres.diameter, self.laid.fibres.side, self.laid.fibres.segment, self.laid.fibres.population))
            # Learner.FEWEST fibres at least: with fewer it does not fit
            some[order[:: max(1, min(FIRST, count // (Learner.FEWEST + FIRST)))]] = True
            searched = search([Task(groups, courses, program.waveform.pulse().shortest, some, program.name, learners)], self.engine,
                              lambda words, share: None)[0][0]
            with self._lock:
                estimate.learn(groups, searched)
            if estimate.length is None:  # too few fibres for a fit
                return self._rest(searched, groups, courses, program, learners)
            guess = estimate.guess(groups, count)
            return np.where(np.isnan(searched), guess, searched)
        with self._lock:
            guess = estimate.guess(groups, count)
        return self._scaled(guess, groups, courses, program, learners)

    def _scaled(self, guess: Floats, groups: Sequence[Group], courses: Sequence[Course], program: Program, learners: dict[str, Guide]) -> Floats:
        """What other contacts guess, by as much higher or lower in each population as a lot of its fibres is that are searched."""
        some, scaled = np.zeros(guess.size, bool), guess.copy()
        for population in {group.population for group in groups}:
            members = max((group.members for group in groups if group.population == population), key=len)
            some[members[np.unique(np.linspace(0, members.size - 1, SOME).round().astype(int))]] = True
        searched = search([Task(groups, courses, program.waveform.pulse().shortest, some, program.name, learners)],
                          replace(self.engine, tolerance=ROUGH), lambda words, share: None)[0][0]
        for population in {group.population for group in groups}:
            own = np.concatenate([group.members for group in groups if group.population == population])
            seen = own[np.isfinite(searched[own]) & np.isfinite(guess[own])]
            if seen.size:
                scaled[own] *= np.exp(np.median(np.log(searched[seen] / guess[seen])))
        return scaled

    def _rest(self, searched: Floats, groups: Sequence[Group], courses: Sequence[Course], program: Program, learners: dict[str, Guide]) -> Floats:
        """The rest of so few fibres that no fit is possible is searched, too."""
        rest = search([Task(groups, courses, program.waveform.pulse().shortest, np.isnan(searched), program.name, learners)], self.engine,
                      lambda words, share: None)[0][0]
        return np.where(np.isnan(searched), rest, searched)

    def _of(self, program: Program) -> tuple[dict[str, Guide], Estimate]:
        """What is known of a type of stimulation, by whose fibres ever it was learnt. A passive recharge hangs on the load, so that every set of
        contacts has a course of its own; they are alike enough to guess by."""
        key = program.waveform.model_dump_json()
        with self._lock:
            if key not in self._known:
                _put(self._known, key, ({}, Estimate()))
            return self._known[key]

    def _groups(self, key: str, program: Program, mixing: Floats) -> list[Group]:
        """Of a program; those of the last one are kept, since its search follows its preview."""
        with self._lock:
            last, groups = self._mixed
        if last != key:
            groups = self.laid.groups(program.contacts, mixing)
            with self._lock:
                self._mixed = key, groups
        return groups

    def _again(self, program: Program, key: str) -> bool:
        """Whether the guides of a type took part in a search of the same contacts last; from now on they have."""
        of = program.waveform.model_dump_json()
        with self._lock:
            before = self._last.get(of)
            self._last[of] = key
        return before == key


def _digest(*arrays: Floats) -> str:
    made = hashlib.sha256()
    for one in arrays:
        made.update(str(one.shape).encode() + np.ascontiguousarray(one, float).tobytes())
    return made.hexdigest()


def _key(program: Program, mixing: Floats, courses: Sequence[Course]) -> str:
    active = np.array(sorted(number for number, share in program.contacts.items() if share and number != CASE), float)
    return _digest(active, mixing, *(part for course in courses for part in (course.times, course.values)))


def _put(shelf: OrderedDict[str, Any], key: str, value: Any) -> None:
    shelf[key] = value
    while len(shelf) > KEPT:
        shelf.popitem(last=False)


def warm() -> None:
    """Load the compiled kernels by a search of a few fibres beside a point source, so that the first click does not wait for it."""
    from epidura.single_fibre import point_source

    model = axon.family.read({"kind": "mrg-interpolated"})
    diameter = np.full(2, 10e-6)
    at = model.compartments(diameter, 41)
    volts = -point_source(3e-3, at - at[:, [at.shape[1] // 2]], 0.2, 0.2)
    course = Course.of((300e-6, 1.0), (3e-3, -0.1))
    group = Group(model, np.arange(2), 41, diameter, volts[:, None])
    search([Task([group], [course], course.shortest, np.ones(2, bool), "")], Engine(), lambda words, share: None)

