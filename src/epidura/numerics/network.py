"""A network of neurons of the dorsal horn: many copies of it at once, each neuron in one vector lane.

A neuron is an unbranched cable with channels; synapses sit at one place of it. Neurons talk only by action potentials that arrive at least
``LEAST_DELAY`` later, so within such a stretch each is on its own: the kernel follows one lot of neurons through the stretch with
everything in cache, then the action potentials are handed on. Lots hold neurons of one kind, of whatever copy they are.

Units: mV, ms, um, uS, nA, nF, mM. Gates and voltages are stepped as the published model does (docs/gate.md): voltages by backward
Euler, then the gates by the exact exponential at the new voltage. ``network_reference`` is the plain version that checks this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CHANNELS = ("na", "kdri", "na-hh2", "k-hh2", "nap", "cal", "kca", "caan")
"""Names of the channels that a neuron may have."""


@dataclass(frozen=True)
class Channel:
    """A channel along a contiguous stretch of compartments.

    Attributes:
        name: one of ``CHANNELS``.
        first: compartment where it begins.
        conductance: (k,) uS at full opening; of ``cal`` the permeability times the area, cm/s um2.
        reversal: (k,) mV; unused by ``cal``, which follows the constant-field equation.
    """

    name: str
    first: int
    conductance: Floats
    reversal: Floats


@dataclass(frozen=True)
class Pool:
    """Calcium below the membrane of a contiguous stretch of compartments.

    Attributes:
        first: compartment where it begins.
        decay: (k,) ms.
        area: (k,) um2.
    """

    first: int
    decay: Floats
    area: Floats


@dataclass(frozen=True)
class Receptor:
    """A kind of synapse: two exponentials whose peak is the weight.

    Attributes:
        name: as connections refer to it.
        rise, decay: ms.
        reversal: mV.
        blocked: whether magnesium blocks it as it does NMDA receptors.
        calcium: share of its current that enters the calcium pool.
    """

    name: str
    rise: float
    decay: float
    reversal: float
    blocked: bool = False
    calcium: float = 0.0


@dataclass(frozen=True)
class Neuron:
    """A kind of neuron: an unbranched cable of n compartments.

    Attributes:
        name: of the kind.
        capacitance: (n,) nF.
        axial: (n - 1,) uS between the middles of neighbouring compartments.
        leak: (n,) uS.
        leak_reversal: mV.
        channels: any number.
        pool: calcium, where a channel or receptor needs it.
        receptors: that connections may address.
        site: compartment of the synapses.
        sends: compartment whose upward crossing of ``fires`` starts the action potential that others receive.
        records: compartment whose crossings are counted, and whose voltage is recorded.
        starts: mV, everywhere at time 0.
        fires: mV.
    """

    name: str
    capacitance: Floats
    axial: Floats
    leak: Floats
    leak_reversal: float
    channels: tuple[Channel, ...]
    pool: Pool | None
    receptors: tuple[Receptor, ...]
    site: int
    sends: int
    records: int
    starts: float = -65.0
    fires: float = -30.0


@dataclass(frozen=True)
class Connections:
    """Synapses, one per row.

    Attributes:
        source: (c,) fibre, or neuron of the network.
        target: (c,) neuron.
        receptor: (c,) index into the receptors of the target's kind.
        weight: (c,) uS at the peak.
        delay: (c,) ms from the source's action potential to the synapse. Between neurons at least ``LEAST_DELAY``.
        terminal: (c,) index of the presynaptic inhibition that scales each event as it arrives, -1 for none.
    """

    source: Ints
    target: Ints
    receptor: Ints
    weight: Floats
    delay: Floats
    terminal: Ints


@dataclass(frozen=True)
class Presynaptic:
    """Inhibition of the terminals of fibres by neurons: each event is scaled by 1 / (1 + s), s the sum of the events of its sources,
    as two exponentials with the peak ``weight`` each.

    Attributes:
        source: (k,) neuron.
        terminal: (k,) index that ``Connections.terminal`` refers to.
        weight: (k,) dimensionless.
        delay: (k,) ms.
        rise, decay: (terminals,) ms.
    """

    source: Ints
    terminal: Ints
    weight: Floats
    delay: Floats
    rise: Floats
    decay: Floats


@dataclass(frozen=True)
class Depression:
    """How an event of a connection is weakened by the ones before it from the same fibre.

    Resources R recover towards 1 with ``recovery`` and each event uses the share ``use`` of them; an event's factor is R before it.
    With ``use`` 1 it is 1 - exp(-gap / recovery).

    Attributes:
        use: (fibres,) 0 to 1.
        recovery: (fibres,) ms.
    """

    use: Floats
    recovery: Floats


@dataclass(frozen=True)
class Network:
    """Neurons and what connects them.

    Attributes:
        kinds: kinds of neuron.
        kind: (n,) of each neuron.
        fibres: number of afferent fibres.
        afferent: from fibres to neurons.
        links: from neurons to neurons.
        depression: of the afferent events.
        presynaptic: of fibres' terminals, if any.
    """

    kinds: tuple[Neuron, ...]
    kind: Ints
    fibres: int
    afferent: Connections
    links: Connections
    depression: Depression | None = None
    presynaptic: Presynaptic | None = None


@dataclass(frozen=True)
class Member:
    """One copy of the network in a batch.

    Attributes:
        times: (e,) ms at which fibres fire, in order within each fibre.
        fibre: (e,) which one.
        afferent: (c,) factor of each afferent connection; 1 if None.
        links: (c,) factor of each link; 1 if None.
        current: (n,) nA into the recording compartment of each neuron, from ``current_from`` until ``current_until``; none if None.
        current_from, current_until: ms.
    """

    times: Floats
    fibre: Ints
    afferent: Floats | None = None
    links: Floats | None = None
    current: Floats | None = None
    current_from: float = 0.0
    current_until: float = np.inf


@dataclass(frozen=True)
class Spikes:
    """What a batch gives.

    Attributes:
        times: per member and neuron, ms.
        traces: (members, neurons, rows) mV at the recording compartments, every ``every`` steps; empty if not asked for.
        trace_times: (rows,) ms.
        failed: (members,) ms at which a member became unstable, nan where it did not; it counts from there on as silent.
    """

    times: tuple[tuple[Floats, ...], ...]
    traces: Floats = field(default_factory=lambda: np.empty((0, 0, 0)))
    trace_times: Floats = field(default_factory=lambda: np.empty(0))
    failed: Floats = field(default_factory=lambda: np.empty(0))


LEAST_DELAY = 1.0
"""ms between an action potential and its arrival at another neuron, at least."""
