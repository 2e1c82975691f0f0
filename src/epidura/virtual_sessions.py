"""Programming sessions of virtual patients: between the nodes of a surrogate, at the height at which each contact lies.

    found = Programmer(surrogate).hold(person(case, seed=1, index=7))       # per program the session, and what is reached
    moved = Programmer(surrogate).hold(person(case, 1, 7), caudal=12e-3)    # after the leads have slid down, with another session
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epidura import virtual
from epidura.anatomy import population
from epidura.case import Case
from epidura.errors import BadInput
from epidura.program import Program
from epidura.programming import Rule, Session, Tried, aims, choose, held, kinds, mapped, place_of, rules
from epidura.reach import PROGRAMMED, Reach
from epidura.tables import table
from epidura.virtual import Person, Surrogate

Floats = NDArray[np.float64]


class Programmer:
    """Holds sessions with the people of a surrogate.

    Args:
        surrogate: whose nodes were mapped.
    """

    def __init__(self, surrogate: Surrogate):
        self.of = surrogate
        self._last: tuple[tuple[int, int], dict[str, dict[str, float]]] = (-1, -1), {}

    def hold(self, one: Person, caudal: float = 0.0, keep: bool = False) -> tuple[tuple[Session, Reach], ...]:
        """Per program what a programming session finds in a person, and what the chosen combination reaches.

        The cross-section is that of the height at which a cathode lies: on a line between what is found with the person's sizes at the middles of
        the vertebrae around it. Of a combination the nodes know how its thresholds stand to those of the program's own contacts, with a pulse that
        is felt; the same ratios are taken for every program.

        Args:
            one: whose leads lie where they were placed.
            caudal: how far they have moved down the spine since, m.
            keep: the contacts of the programs as they are; nothing else is tried.

        Raises:
            BadInput: nodes without maps, or someone else's anatomy, leads or programs.
        """
        if not self.of.tried:
            raise BadInput("results", "the nodes were not mapped, so no session can be held", hint="run them again")
        shift = _raised(self.of.nodes.case, one.case) - caudal
        heights = np.array([combination.height for combination in self.of.tried]) + shift
        parts, below = self._along(one, heights)
        names, which = [str(name) for name in self.of.shape.dermatomes], kinds(self.of.tried)
        pain = set(one.case.patient.pain.dermatomes()) if one.case.patient else None
        found = []
        for i, program in enumerate(one.case.programs):
            own = place_of(self.of.tried, program.contacts)
            order = [own, *(k for k in range(len(self.of.tried)) if k != own and not keep and not held(program))]
            tried, fitted = list[Tried](), []
            for k in order:
                (felt, curve, discomfort, amplitude, weight), (column, steps) = parts[k]
                ratio = column[which[k]] / column[which[own]]
                here = np.where(below[k][:, None], felt[i] * ratio, np.inf)
                uneasy = float(discomfort[i] * steps[k] / steps[own])
                tried.append(mapped(_measured(program, float(amplitude[i])), self.of.tried[k], names, here, uneasy, pain))
                fitted.append((here, np.where(below[k][:, None, None], curve[i] * ratio[..., None], np.inf), uneasy, float(amplitude[i]), weight))
            ruled, aimed = self._rules[i]
            chosen, words = choose(tried, ruled, aimed, shift)
            found.append((Session(program.name, tuple(names), tuple(tried), chosen, words), self.of._program(one, i, *fitted[chosen])))
        return tuple(found)

    def battery_lives(self) -> tuple[tuple[float, float] | None, ...]:
        """Per program the least and the most years that the battery of the generator lasts, in the average person: at the node nearest to the centre
        of the sizes, with the lead as planned. None where it is not known."""
        aim = {**self.of.nodes.centre, "lateral": virtual._middle(self.of.nodes.case)}
        gap = [sum(abs(node.at[name] - aim[name]) for name in aim) for node in self.of.nodes.plan]
        own = self.of.lives[int(np.argmin(gap))]
        return tuple((float(low), float(high)) if np.isfinite([low, high]).all() and low > 0 else None for low, high in own)

    @cached_property
    def _rules(self) -> list[tuple[tuple[Rule, ...], dict[str, float]]]:
        """Per program its rules and their aims."""
        own = [rules(program) for program in self.of.nodes.case.programs]
        return [(ruled, aims(self.of.nodes.case, ruled)) for ruled in own]

    @cached_property
    def _levels(self) -> tuple[list[tuple[str, float]], Floats]:
        """Vertebrae and the heights of their middles, rising, and (d,) the heights at which the segments of the dermatomes end below, m."""
        cord, known = virtual._serves(self.of.nodes.case).level().cord, set(table("vertebrae").column("vertebra"))
        spans = sorted(((span.name, span.middle) for span in cord.vertebrae if span.name in known), key=lambda span: span[1])
        end = {segment.name: segment.z0 for segment in cord.segments}
        return spans, np.array([end.get(str(name), -np.inf) for name in self.of.shape.dermatomes])

    def _along(self, one: Person, heights: Floats) -> tuple[list[tuple[Any, tuple[Floats, Floats]]], list[NDArray[np.bool_]]]:
        """Per height in m the parts of the vector there, with ``column`` and ``steps`` in A, and (d,) which dermatomes run there: those whose segment
        reaches the height or lies below it."""
        spans, ends = self._levels
        middles = np.array([middle for _, middle in spans])
        at: dict[int, Floats] = {}
        seen: dict[float, tuple[Any, tuple[Floats, Floats]]] = {}
        for z in heights:
            if z in seen:
                continue
            right = int(np.clip(np.searchsorted(middles, z), 1, len(middles) - 1))
            share = float(np.clip((z - middles[right - 1]) / (middles[right] - middles[right - 1]), 0.0, 1.0))
            vector = np.zeros_like(self.of.shape.vector)
            for k, weight in ((right - 1, 1.0 - share), (right, share)):
                if weight > 0:
                    if k not in at:
                        at[k] = self.of.vector(self._sizes(one, spans[k][0]))
                    vector = vector + weight * at[k]
            seen[z] = self.of._parts(vector), self._maps(vector)
        return [seen[z] for z in heights], [ends <= z for z in heights]

    def _sizes(self, one: Person, vertebra: str) -> dict[str, float]:
        """The inputs of a person at another vertebra, where sizes that are drawn have the same ranks."""
        here = self.of.inputs(one)
        case = self.of.nodes.case
        if vertebra == virtual._serves(case).vertebra:
            return here
        # the same person comes again, with leads elsewhere
        if self._last[0] != (one.seed, one.index):
            self._last = (one.seed, one.index), {}
        known = self._last[1]
        if vertebra not in known:
            there = virtual._anatomy(case.but(anatomy=case.anatomy.but(vertebra=vertebra)), one.seed, one.index)
            known[vertebra] = {name: float(size) for name in population.DRAWN if (size := getattr(there, name)) is not None}
        return {**here, **known[vertebra]}

    def _maps(self, vector: Floats) -> tuple[Floats, Floats]:
        """``column`` and ``steps``, A."""
        count, own = self.of.shape.steps.size, self.of.shape.column
        return np.exp(vector[-count - own.size : -count]).reshape(own.shape), np.exp(vector[-count:])


def _measured(program: Program, amplitude: float) -> Program:
    """A program that holds a voltage, with the current that this is."""
    if program.amplitude.voltage is None or not np.isfinite(amplitude):
        return program
    return program.model_copy(update={"amplitude": replace(program.amplitude, voltage=None, current=amplitude)})


def _raised(planned: Case, case: Case) -> float:
    """How much higher the leads of a case lie than planned, m."""
    return float(np.mean([there.tip_offset - here.tip_offset for here, there in zip(planned.leads, case.leads, strict=True)]))


def both(surrogate: Surrogate, one: Person) -> list[Reach]:
    """What is reached with the contacts as written and after a session, under the names that the reference has."""
    return [*surrogate.reach(one), *(replace(reach, program=f"{reach.program}{PROGRAMMED}") for _, reach in Programmer(surrogate).hold(one))]


if __name__ == "__main__":
    virtual.main(reach=both)
