"""Fibres with channels under the myelin, made ready for ``active_kernel``: every compartment is stepped, nothing is eliminated.

The interface is that of ``cable``: an ``Engine`` of such fibres searches thresholds, follows trains and writes down currents like any other.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from epidura.numerics import active_kernel as kernel
from epidura.numerics import cable as shared
from epidura.numerics import course as courses
from epidura.numerics import simd
from epidura.numerics.cable import KINDS, PER_INTERNODE, REST_DT, REST_STEPS, ActiveCable, Engine
from epidura.numerics.shelf import Shelf

Floats = NDArray[np.float64]

_KNOWN_REST = Shelf(1024)  # of fibres by what describes them, some 25 kB each


class _Compartments(shared._Internodes):
    """As ``_Internodes`` where nothing is eliminated: what drives the compartments, and no modes."""

    def __init__(self, cable: ActiveCable, sealed: bool):
        self.cable, self.sealed, self.axial = cable, sealed, cable.g_axial[:, 0] / cable.c_node

    def chain(self) -> Floats:
        """(f, CHAIN) what the compartments of an internode are, in the order of the kernel."""
        own = self.cable
        return np.concatenate([own.g_axial, own.g_periaxonal, own.c_axolemma, own.c_myelin, own.g_myelin, own.c_node[:, None]], axis=1)


class ActiveBatch(shared._Batch):
    """Fibres made ready together; ``every_mode`` where currents are wanted."""

    rooms: ClassVar[int] = 2  # a burst with its recharge, of 51 nodes; found anew for every run it takes half as long again

    def __init__(self, engine: Engine, members: NDArray[np.intp], plan: courses.Course, every_mode: bool = False):
        self.engine, self.members, self.plan, self.every_mode = engine, members, plan, every_mode
        self.different: ActiveCable
        different, self.which = shared._different(shared._part(engine.cable, members))
        assert isinstance(different, ActiveCable)
        self.different = different
        self.internodes = compartments = _Compartments(self.different, engine.sealed)
        self.net = self._net(0.5 if engine.second_order else 1.0, engine.dt / np.array(plan.levels), plan)
        self.membrane = engine.membrane(plan, engine.dtype.name)
        self.of_cable = {"rest": self._at_rest(), "chain": shared._last([compartments.chain()])}
        drives = [self._drive(one * 1e3) for one in engine.potentials[members].swapaxes(0, 1)]
        fixed = np.zeros((members.size, 2 * self.net.width * (engine.injection is not None)))
        if engine.injection is not None:
            fixed[np.arange(members.size), engine.injection[0][members] * engine.per_node] = 1.0
        self.of_fibre = {"drive": shared._last(drives), "fixed_drive": shared._last([fixed])}
        self.has_fixed = engine.injection is not None

    def _net(self, theta: float, lengths: Floats, plan: courses.Course) -> Any:
        engine, none = self.engine, np.zeros((lengths.size, KINDS), np.int64)
        width = engine.per_node * (engine.nodes - 1) + 1
        return engine.net(none, theta, lengths, plan)._replace(width=width, apart=engine.per_node,
                                                               rest_under=kernel.under_at_rest(engine.cable.membrane))

    def _drive(self, outside: Floats) -> Floats:
        """(f, 2 C) nA per unit of (f, C) mV: into the axon of each compartment, and the sum of that and of what goes into the periaxonal space."""
        nodes, f = self.engine.nodes, len(outside)
        node, force = self.internodes.forces(nodes, outside, self.which, self.engine.onwards)
        result = np.zeros((f, 2, nodes, self.engine.per_node))
        result[:, 0, :, 0] = node * self.different.c_node[self.which, None]
        inner, outer = force[..., :PER_INTERNODE], force[..., PER_INTERNODE:]
        result[:, 0, :-1, 1:], result[:, 1, :-1, 1:] = inner, inner + outer
        return result.reshape(f, 2, -1)[:, :, : self.net.width].reshape(f, -1)

    def _sizes(self) -> dict[str, int]:
        width = self.net.width
        return {"state": len(self.of_cable["rest"]), "work": kernel.WORK * width, "response": 2 * width, "fine": self.plan.fine * width,
                "given": 0, "fixed_given": 0, "kept": self.every_mode * self.plan.longest * width}

    def _lanes(self, arrays: dict[str, Any]) -> Any:
        return kernel.ActiveLanes(**arrays, spans=self.engine.dt / np.array(self.plan.divisors))

    def _along(self, place: int, fibre: int, state: Floats, amplitude: float) -> Floats:
        nodes, per = self.engine.nodes, self.engine.per_node
        inside = np.empty((len(state), nodes - 1, per + 1))
        inside[:, :, :-1], inside[:, :, -1] = state[:, :-1].reshape(len(state), nodes - 1, per), state[:, per::per]
        return self._arriving(inside, self._outside(fibre, len(state), amplitude), int(self.which[place]))

    def _at_rest(self) -> Floats:
        """(state, cables) after long steps without stimulus."""
        engine = self.engine
        plan = courses.plan(np.zeros((1, 1)), np.empty((0, 0)), REST_DT, REST_STEPS, REST_STEPS, False)
        net, membrane = self._net(1.0, np.array([REST_DT]), plan), engine.membrane(plan, "float64")
        own = engine.cable.membrane._replace(steps=())
        return _KNOWN_REST.rows([(own, engine.nodes, engine.sealed, key) for key in shared._keys(self.different)],
                                lambda missing: self._settled_state(net, membrane, plan, shared._part(self.different, missing))).T

    def _settled_state(self, net: Any, membrane: Any, plan: courses.Course, cable: ActiveCable) -> Floats:
        """(f, state) of some of the cables after the steps of ``plan``."""
        width, lanes, nodes, f = net.width, 8, net.nodes, cable.c_node.size
        size = 2 * width + net.gates * nodes + kernel.UNDER_GATES * PER_INTERNODE * (nodes - 1) + 2 * nodes
        chain, found = _Compartments(cable, self.engine.sealed).chain(), np.empty((size, f))
        for first in range(0, f, lanes):
            at = np.minimum(np.arange(first, first + lanes), f - 1)
            state, none = simd.zeros(size * lanes, float), np.empty(0)
            kernel.settle_gates(net, membrane, state)
            arrays = kernel.ActiveLanes(
                rest=state, state=simd.aligned(state), work=simd.zeros(kernel.WORK * width * lanes, float),
                chain=simd.aligned(shared._last([chain[at]])),
                **dict.fromkeys(("spans", "drive", "fixed_drive", "given", "fixed_given", "response", "fixed_response", "fine", "rows", "fixed_rows",
                                 "kept", "fixed_kept"), none),
                slot=np.zeros(1, np.int64), rows_at=np.zeros(2, np.int64), ready=np.ones(1, np.int64), resident=np.full(1, -1),
                strongest=np.full(lanes, np.inf), marks=simd.zeros(3 * lanes, float))
            self.engine.kernel.simulate(net, membrane, arrays, plan.parts, plan.blocks, np.zeros(lanes), np.zeros(2), False,
                                        self.engine._watch(dtype=np.dtype("float64")))
            kernel.catch_up(net, membrane, arrays.state)
            found[:, at] = arrays.state.reshape(-1, lanes)
        found[-2 * nodes :] = 0.0  # how the first gate moved in long steps tells nothing about short ones
        return found.T
