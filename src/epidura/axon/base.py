"""What every model of a fibre has in common, and every myelinated one: the double cable of McIntyre, Richardson and Grill (2002)."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from epidura.errors import BadInput
from epidura.numerics import cable_cuda, kinetics
from epidura.numerics.cable import PER_INTERNODE, Cable, Engine, Segments
from epidura.numerics.guessing import Learner
from epidura.recipe import Recipe
from epidura.tables import Number, table

Floats = NDArray[np.float64]

UM = 1e-6
SCHEMES = ("second-order", "backward-euler")
PRECISIONS = ("float32", "float64")

# Of the ten compartments between two nodes.
_MYSA = np.array([1, 0, 0, 0, 0, 0, 0, 0, 0, 1], bool)
_FLUT = np.array([0, 1, 0, 0, 0, 0, 0, 0, 1, 0], bool)
_STIN = ~(_MYSA | _FLUT)


@dataclass(frozen=True)
class Morphology:
    """Dimensions of (f) fibres in um: outer diameter, node to node, length of a FLUT, diameter of the axon in FLUT and
    STIN and in node and MYSA, and the number of myelin lamellae."""

    fibre: Floats
    internode: Floats
    flut: Floats
    axon: Floats
    node: Floats
    lamellae: Floats

    def lengths(self) -> Floats:
        """(f, 10) lengths of the compartments between two nodes, um."""
        node, mysa = _published("node length"), _published("MYSA length")
        stin = (self.internode - node - 2 * mysa - 2 * self.flut) / _STIN.sum()
        return np.where(_MYSA, mysa, np.where(_FLUT, self.flut[:, None], stin[:, None]))


class Axon(Recipe):
    """A membrane and morphology model of a fibre of any diameter it was published for."""

    per_node: ClassVar[int] = PER_INTERNODE + 1
    """Compartments from one node to the next; 1 where every compartment is active."""
    named: ClassVar[str]
    """Whose model it is, for a report."""
    sealed: ClassVar[bool] = False
    """Whether a fibre ends with live nodes. Myelinated ones end with passive nodes, as in the tools they are compared with."""

    @abstractmethod
    def check(self, diameter: Floats, where: str = "diameter") -> None:
        """Raise BadInput where one of the (f,) diameters in m is outside what was published."""

    @abstractmethod
    def fit(self, diameter: Floats) -> Floats:
        """The diameters nearest to ``diameter`` that the model was published for; (f,) m."""

    @abstractmethod
    def numbers(self) -> tuple[Number, ...]:
        """The numbers that the model stands on."""

    @abstractmethod
    def internode(self, diameter: Floats) -> Floats:
        """(f,) distance from node to node, m."""

    @abstractmethod
    def compartments(self, diameter: Floats, nodes: int) -> Floats:
        """(f, per_node (nodes - 1) + 1) distance of each compartment's centre from the first node's, m."""

    @abstractmethod
    def cable(self, diameter: Floats) -> Cable | Segments:
        """The electrical description that the engine takes."""

    def engine(self, diameter: Floats, nodes: int, potentials: Floats, samples: Floats, dt: float, scheme: str = "second-order",
               precision: str = "float32", sealed: bool | None = None, injection: tuple[NDArray[np.int64], Floats] | None = None,
               onwards: bool = False, together: bool = False) -> Engine:
        """Fibres with their potentials, ready to be run.

        Args:
            diameter: (f,) m.
            nodes: of every fibre.
            potentials: (f, per_node (nodes - 1) + 1) V per ampere of amplitude, or (f, patterns, ...) for patterns with a course each.
            samples: (steps,) course on the time grid of the scheme, or (patterns, steps).
            dt: s.
            scheme: second-order or backward-euler.
            precision: float32 or float64.
            sealed: whether the end nodes are live; as the model has it if None.
            injection: (f,) node and (steps,) current into it in A, whatever the amplitude.
            onwards: whether the fibres go on beyond their ends, where the potential is taken as straight, or are cut there, which drives the ends.
            together: whether the patterns are of one size, so that the largest course says what is an edge; else each is judged by itself.

        Raises:
            BadInput: a diameter, scheme or precision that does not exist, a potential that is not finite.
        """
        self.check(diameter)
        for name, value, allowed in (("scheme", scheme, SCHEMES), ("precision", precision, PRECISIONS)):
            if value not in allowed:
                raise BadInput(name, f"there is no such {name}", got=value, allowed=", ".join(allowed))
        if not dt > 0:
            raise BadInput("dt", "a step must be longer than nothing", got=dt, allowed="above 0 s")
        potentials = np.asarray(potentials, float)
        try:
            return Engine(self.cable(diameter), nodes, potentials[:, None] if potentials.ndim == 2 else potentials,
                          np.atleast_2d(np.asarray(samples, float)), dt, scheme == "second-order", precision,
                          self.sealed if sealed is None else sealed, injection, onwards, together)
        except ValueError as failure:
            raise BadInput("fibres", str(failure)) from None

    def thresholds(self, diameter: Floats, nodes: int, potentials: Floats, samples: Floats, *, dt: float, scheme: str = "second-order",
                   precision: str = "float32", tolerance: float = 0.004, ceiling: float = 1.0, threads: int = 2,
                   learner: Learner | None = None, device: str = "cpu", onwards: bool = False, together: bool = False) -> Floats:
        """(3, f) lowest amplitude at which each fibre fires and its bracket, A; inf above the ceiling.

        A fibre fires when the node at 0.9 of its length crosses -30 mV upwards. Arguments as in ``engine``;
        a ``learner`` saves runs where many calls have the same course. ``device`` is cpu or cuda; a fibre that cannot be run there,
        for lack of a graphics processor or for its kind, is run on the cpu.
        """
        engine = self.engine(diameter, nodes, potentials, samples, dt, scheme, precision, onwards=onwards, together=together)
        try:
            chosen = cable_cuda.pick(engine.cable.membrane, nodes)[0] if device == "cuda" else None
            return engine.thresholds(tolerance, ceiling, threads, learner, chosen)
        except ValueError as failure:
            raise BadInput("thresholds", str(failure)) from None


class Myelinated(Axon):
    """The double cable of McIntyre, Richardson and Grill (2002), in one of its dimensions."""

    named: ClassVar[str] = "motor axon of McIntyre, Richardson and Grill (2002)"

    @abstractmethod
    def morphology(self, diameter: Floats) -> Morphology:
        """Dimensions at (f,) diameters in m that ``check`` has let pass."""

    def membrane(self) -> kinetics.Mrg:
        """Of the nodes."""
        return membrane()

    def internode(self, diameter: Floats) -> Floats:
        return self.morphology(diameter).internode * UM

    def compartments(self, diameter: Floats, nodes: int) -> Floats:
        shape = self.morphology(diameter)
        lengths = shape.lengths()
        starts = 0.5 * _published("node length") + np.cumsum(lengths, axis=1) - lengths
        within = np.concatenate([np.zeros((len(diameter), 1)), starts + 0.5 * lengths], axis=1)
        along = (shape.internode[:, None, None] * np.arange(nodes - 1)[None, :, None] + within[:, None, :]).reshape(len(diameter), -1)
        return np.concatenate([along, shape.internode[:, None] * (nodes - 1)], axis=1) * UM

    def cable(self, diameter: Floats) -> Cable:
        return replace(_cable(self.morphology(diameter)), membrane=self.membrane())


def published(quantity: str) -> Number:
    """A row of data/mrg_membrane.csv."""
    row = table("mrg_membrane").row(quantity=quantity)
    return table("mrg_membrane").number(quantity, "value", row["unit"], quantity=quantity)


@cache
def _published(quantity: str) -> float:
    return published(quantity).value


@cache
def membrane(**other: float) -> kinetics.Mrg:
    """The node's membrane, with other conductances in S/cm2 where given; its gates are written out in ``numerics.kinetics``."""
    capacitance, rest = _published("membrane capacitance"), _published("resting potential")
    # S/cm2 over uF/cm2 is 1e3 per ms
    per_ms = {name: 1e3 * other.get(name.replace(" ", "_"), _published(f"{name} conductance")) / capacitance
              for name in ("fast sodium", "persistent sodium", "slow potassium", "leak")}
    reversal = {name: _published(f"{name} reversal") - rest for name in ("sodium", "potassium", "leak")}
    warm = _published("temperature")
    q = (2.2 ** ((warm - 20) / 10), 2.9 ** ((warm - 20) / 10), 3.0 ** ((warm - 36) / 10))
    return kinetics.Mrg(per_ms["fast sodium"], per_ms["persistent sodium"], per_ms["slow potassium"], per_ms["leak"],
                        reversal["sodium"], reversal["potassium"], reversal["leak"], *q, rest, np.ones(1))


def _cable(shape: Morphology) -> Cable:
    """Dimensions to nF and uS. An area of 1 um2 is 1e-8 cm2: 1 uF/cm2 on it is 1e-5 nF, 1 S/cm2 is 1e-2 uS."""
    farad, siemens = 1e-5, 1e-2
    length = shape.lengths()
    inner = np.where(_MYSA, shape.node[:, None], shape.axon[:, None])
    area, outer = np.pi * inner * length, np.pi * shape.fibre[:, None] * length
    leak = np.where(_MYSA, _published("MYSA axolemma conductance"), _published("FLUT and STIN axolemma conductance"))
    turns = 2 * shape.lamellae[:, None]
    narrow, wide = _published("periaxonal gap at node and MYSA"), _published("periaxonal gap at FLUT and STIN")
    gap = np.where(_MYSA, narrow, wide)
    node = shape.node[:, None]
    axial = _resistance(length, 0 * inner, inner / 2)
    periaxonal = _resistance(length, inner / 2, inner / 2 + gap)
    one = np.full_like(node, _published("node length"))
    node_axial = _resistance(one, 0 * node, node / 2)
    node_periaxonal = _resistance(one, node / 2, node / 2 + narrow)
    capacity = _published("membrane capacitance")
    return Cable(
        c_axolemma=farad * capacity * area,
        g_axolemma=siemens * leak * area,
        c_myelin=farad * _published("myelin capacitance per lamella membrane") / turns * outer,
        g_myelin=siemens * _published("myelin conductance per lamella membrane") / turns * outer,
        g_axial=_between(node_axial, axial),
        g_periaxonal=_between(node_periaxonal, periaxonal),
        c_node=farad * capacity * np.pi * shape.node * _published("node length"),
        membrane=membrane(),
    )


def _resistance(length: Floats, inner: Floats, outer: Floats) -> Floats:
    """Of a tube of these radii in um along its length; megaohm (1 ohm cm over 1 um is 1e-2 megaohm)."""
    return np.asarray(1e-2 * _published("axial and periaxonal resistivity") * length / (np.pi * (outer**2 - inner**2)))


def _between(node: Floats, compartments: Floats) -> Floats:
    """(f, 11) conductance between neighbours from node to node: centre to centre, uS."""
    chain = np.concatenate([node, compartments, node], axis=1)
    return np.asarray(2.0 / (chain[:, :-1] + chain[:, 1:]))
