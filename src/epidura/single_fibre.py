"""One straight fibre beside a point source: the set-up in which fibre models are compared.

The source lies beside the centre node in an infinite, possibly anisotropic medium; an equal anode may lie
further along the fibre. Used by ``epidura threshold`` and by the oracle tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epidura import axon
from epidura.axon import Axon
from epidura.errors import BadInput
from epidura.waveform import Course

Floats = NDArray[np.float64]

SHORTEST, FEWEST, MOST = 36e-3, 51, 151
"""Node count of the reference data: smallest odd number from FEWEST on with SHORTEST metres, at most MOST."""

SEGMENTS = 401
"""The same of an unmyelinated fibre."""


@dataclass(frozen=True)
class Trial:
    """One fibre, one source, one course.

    Attributes:
        model: kind of the axon model.
        diameter: m.
        distance: of the source from the fibre, m.
        course: in time, cathodic first phase +1.
        sigma: conductivity across the fibre, S/m.
        sigma_long: conductivity along the fibre, S/m.
        anode_at: place of the anode along the fibre from the cathode, m, or None.
        dt: s.
        scheme: ``backward-euler`` or ``second-order``.
        nodes: number of nodes, or None for the rule of the reference data.
    """

    model: str
    diameter: float
    distance: float
    course: Course
    sigma: float
    sigma_long: float
    anode_at: float | None = None
    dt: float = 5e-6
    scheme: str = "second-order"
    nodes: int | None = None

    def axon(self) -> Axon:
        """The axon model."""
        return axon.family.read({"kind": self.model})

    def node_count(self) -> int:
        """Number of nodes of the fibre."""
        if self.nodes is not None:
            return self.nodes
        if self.axon().per_node == 1:
            return SEGMENTS
        wanted = int(np.ceil(SHORTEST / float(self.axon().internode(np.array([self.diameter]))[0]) - 1e-9)) + 1
        return min(max(wanted + (wanted + 1) % 2, FEWEST), MOST)

    def samples(self) -> Floats:
        """The course on the time grid of the scheme, (steps,).

        Raises:
            BadInput: a step longer than the shortest phase.
        """
        if self.dt > self.course.shortest * (1 + 1e-9):
            raise BadInput("dt", "the step is longer than the shortest phase of the waveform", got=f"{self.dt * 1e6:g} us",
                           allowed=f"up to {self.course.shortest * 1e6:g} us")
        if self.scheme == "backward-euler":
            return self.course.at_step_starts(self.dt)
        return self.course.step_means(self.dt)

    def potentials(self) -> Floats:
        """(compartments,) V per ampere of cathodic amplitude."""
        along = self.axon().compartments(np.array([self.diameter]), self.node_count())[0]
        # the cathode lies beside the middle node
        z = along - along[self.axon().per_node * ((self.node_count() - 1) // 2)]
        volts = -point_source(self.distance, z, self.sigma, self.sigma_long)
        if self.anode_at is not None:
            volts = volts + point_source(self.distance, z - self.anode_at, self.sigma, self.sigma_long)
        return volts


def point_source(distance: float, z: Floats, sigma: float, sigma_long: float) -> Floats:
    """V/A of a point source in an infinite medium that conducts ``sigma_long`` along z and ``sigma`` across.

    phi = 1 / (4 pi sqrt(sigma sigma_long distance^2 + sigma^2 z^2))
    """
    return np.asarray(1.0 / (4 * np.pi * np.sqrt(sigma * sigma_long * distance**2 + sigma**2 * z**2)))


def point_source_thresholds(trials: Sequence[Trial], precision: str = "float64", tolerance: float = 5e-4,
                            ceiling: float = 1.0, threads: int = 2,
                            progress: Callable[[str, float], None] | None = None) -> Floats:
    """Threshold of each trial: magnitude of the first phase in A, inf above the ceiling.

    Trials that share model, node count, step and course go through the kernel together; each result is the
    same as if it were computed alone.
    """
    groups: dict[object, list[int]] = {}
    for i, trial in enumerate(trials):
        key = (trial.model, trial.node_count(), trial.dt, trial.scheme, trial.samples().tobytes())
        groups.setdefault(key, []).append(i)
    result = np.empty(len(trials))
    for done, members in enumerate(groups.values()):
        if progress:
            progress("thresholds", done / len(groups))
        first = trials[members[0]]
        result[members] = first.axon().thresholds(
            np.array([trials[i].diameter for i in members]), first.node_count(),
            np.stack([trials[i].potentials() for i in members]), first.samples(), dt=first.dt, scheme=first.scheme,
            precision=precision, tolerance=tolerance, ceiling=ceiling, threads=threads)[0]
    return result


