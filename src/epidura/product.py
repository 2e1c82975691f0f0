"""Products: what the verbs give. Public arrays are xarray datasets, declared here once.

Coordinates are RAS+ in metres: x to the patient's right, y anterior, z superior; dorsal is low y.
The origin is the centre of the cord in the plane and the middle of the case's vertebra along the
spine. Currents are in ampere, cathodic negative; lead fields in V/A for +1 A into tissue.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from epidura.errors import EpiduraError
from epidura.tables import Number

Floats = NDArray[np.float64]

# variable or coordinate -> (dims, units); "1" is dimensionless, "" is text
DECLARED: dict[str, dict[str, tuple[tuple[str, ...], str]]] = {
    "lead_field": {
        "impedance": (("contact", "contact_"), "ohm"),
        "contact": (("contact",), ""),
        "contact_": (("contact_",), ""),
        # along any points, for +1 A into tissue at one contact
        "potential": (("contact", "point"), "V/A"),
        "point_x": (("point",), "m"),
        "point_y": (("point",), "m"),
        "point_z": (("point",), "m"),
    },
    "field_grid": {
        # on a regular grid, for +1 A into tissue at one contact; NaN in a lead and outside the model
        "potential": (("contact", "x", "y", "z"), "V/A"),
        # along z over 1 mm: (V(z + 1 mm) - 2 V(z) + V(z - 1 mm)) / (1 mm)^2
        "second_difference": (("contact", "x", "y", "z"), "V/A/m2"),
        # label of the mesh, an index into tissue_name; -1 in a lead and outside
        "tissue": (("x", "y", "z"), "1"),
        "tissue_name": (("label",), ""),
        "contact": (("contact",), ""),
        "x": (("x",), "m"),
        "y": (("y",), "m"),
        "z": (("z",), "m"),
    },
    "recruitment": {
        # per program and fibre: lowest amplitude at which the fibre fires, and its bracket
        "threshold": (("program", "fibre"), "A"),
        "threshold_lower": (("program", "fibre"), "A"),
        "threshold_upper": (("program", "fibre"), "A"),
        # per program: the marks on the amplitude slider and the amplitude that the program runs at
        "perception_threshold": (("program",), "A"),
        "discomfort_threshold": (("program",), "A"),
        "programmed_amplitude": (("program",), "A"),
        # per program and dermatome: amplitude from which it is felt
        "dermatome_threshold": (("program", "dermatome", "body_side"), "A"),
        # against amplitude
        "amplitude": (("program", "step"), "A"),
        "firing_fibres": (("program", "population", "step"), "1"),
        "firing_share": (("program", "population", "step"), "1"),
        "felt": (("program", "dermatome", "body_side", "step"), "1"),
        # strength and duration, tonic programs only
        "strength_duration": (("program", "pulse_width"), "A"),
        "rheobase": (("program",), "A"),
        "chronaxie": (("program",), "s"),
        "program": (("program",), ""),
        "population": (("population",), ""),
        "dermatome": (("dermatome",), ""),
        "body_side": (("body_side",), ""),
        "pulse_width": (("pulse_width",), "s"),
        "fibre_population": (("fibre",), ""),
        "segment": (("fibre",), ""),
        "side": (("fibre",), ""),
        "diameter": (("fibre",), "m"),
        "x": (("fibre",), "m"),
        "y": (("fibre",), "m"),
        "depth": (("fibre",), "m"),
        "weight": (("fibre",), "1"),
        "nodes": (("program", "fibre"), "1"),
    },
    "outcome": {
        # quantiles over people like this one: pain as written down, with each program and without stimulation
        "pain": (("program", "quantile", "month"), "NRS"),
        "pain_without": (("quantile", "month"), "NRS"),
        # mean of what each part takes from the pain at the start, before it is written down
        "part": (("program", "part_name", "month"), "NRS"),
        # chances, 0 to 1: half or 30 % of the pain gone, much or very much improved
        "responder50": (("program", "month"), "1"),
        "responder30": (("program", "month"), "1"),
        "much_improved": (("program", "month"), "1"),
        "eq5d_index": (("program", "quantile", "month"), "1"),
        "odi_like": (("program", "quantile", "month"), "1"),
        # of the trial stage, and half of the pain gone if it succeeds, or if it fails and the person is implanted all the same
        "trial_success": (("program",), "1"),
        "responder50_after_success": (("program", "month"), "1"),
        "responder50_after_failure": (("program", "month"), "1"),
        # chance that the neural effect is not lost
        "effect_kept": (("program", "month"), "1"),
        # on the neural effect, against the average virtual patient
        "reach_factor": (("program", "quantile"), "1"),
        # share of the variance of pain at a year that each group explains by itself
        "driver_share": (("program", "driver"), "1"),
        # share of people whose stimulator is out, whatever the program
        "explanted": (("quantile", "far_month"), "1"),
        "program": (("program",), ""),
        "month": (("month",), "month"),
        "far_month": (("far_month",), "month"),
        "quantile": (("quantile",), "1"),
        "part_name": (("part_name",), ""),
        "driver": (("driver",), ""),
    },
    "firing": {
        # per fibre and action potential: when the node at its upper end fires, where and when it began; nan where there are fewer
        "spike_time": (("fibre", "spike"), "s"),
        "initiation_time": (("fibre", "spike"), "s"),
        # the pulse that began last before it did, -1 where there is none
        "spike_pulse": (("fibre", "spike"), "1"),
        "spike_count": (("fibre",), "1"),
        # in whole cycles after the first 10 ms, and in these
        "rate": (("fibre",), "Hz"),
        "onset_rate": (("fibre",), "Hz"),
        # median time from the start of the pulse to the upper end
        "latency": (("fibre",), "s"),
        # number in its packet of the pulse that fires first, from 1 on; 0 where nothing does
        "first_pulse": (("fibre",), "1"),
        # share of the pulses or packets with an action potential
        "answered": (("fibre",), "1"),
        # with the period of the train that each action potential answers, packets of a burst counting as one
        "vector_strength": (("fibre",), "1"),
        # 1: silent, and an action potential from below does not pass; 0: it passes; nan: not asked
        "blocked": (("fibre",), "1"),
        # share of the fibres, by weight, that begin to fire within 1 ms of each pulse
        "together": (("pulse",), "1"),
        # between the fibres that fire, in bins of 1 ms
        "synchrony": ((), "1"),
        "pulse_time": (("pulse",), "s"),
        "pulse_train": (("pulse",), "1"),
        "pulse_packet": (("pulse",), "1"),
        "pulse_number": (("pulse",), "1"),
        "duration": ((), "s"),
        "cycle": ((), "s"),
        "fibre_index": (("fibre",), "1"),
        "fibre_population": (("fibre",), ""),
        "segment": (("fibre",), ""),
        "side": (("fibre",), ""),
        "diameter": (("fibre",), "m"),
        "depth": (("fibre",), "m"),
        "weight": (("fibre",), "1"),
    },
    "transmission": {
        # per population of neurons, mean of its neurons, with stimulation and without; one value per seed
        "rate": (("program", "hypothesis", "place", "cell", "seed"), "Hz"),
        "rate_off": (("cell", "seed"), "Hz"),
        # by how much the firing of projection neurons falls, mean over seeds and the interval of the mean (90 %); negative: it rises
        "inhibition": (("program", "hypothesis", "place", "projection"), "percent"),
        "inhibition_lower": (("program", "hypothesis", "place", "projection"), "percent"),
        "inhibition_upper": (("program", "hypothesis", "place", "projection"), "percent"),
        # of the real large fibres of each place, and what enters the dorsal horn per fibre, background included
        "recruited_share": (("program", "place", "target"), "1"),
        "arriving_rate": (("program", "place", "target"), "Hz"),
        # the same in time, from the start of the run: in pieces of about 0.1 s that begin at `piece`
        "rate_in_time": (("program", "hypothesis", "place", "projection", "piece", "seed"), "Hz"),
        "rate_in_time_off": (("projection", "piece", "seed"), "Hz"),
        # with touch alone
        "touch_rate": (("program", "hypothesis", "projection", "seed"), "Hz"),
        "touch_rate_off": (("projection", "seed"), "Hz"),
        # number of the place where a program recruits most, -1 where its amplitude is not known; what follows is seen there
        "main_place": (("program",), "1"),
        "sweep_amplitude": (("program", "level"), "A"),
        "rate_at_amplitude": (("program", "level", "projection", "seed"), "Hz"),
        "share_at_amplitude": (("program", "level"), "1"),
        # with the share of the fibres that a program recruits, and with every large fibre driven
        "rate_at_frequency": (("program", "frequency", "projection", "seed"), "Hz"),
        "rate_at_frequency_all": (("frequency", "projection", "seed"), "Hz"),
        # what multiplies the inhibition at some moments after switching on for good: wash-in and habituation, with bounds
        "slow_factor": (("program", "moment"), "1"),
        "slow_lower": (("program", "moment"), "1"),
        "slow_upper": (("program", "moment"), "1"),
        "moment": (("moment",), "s"),
        # action potentials of the first seed: run 0 without stimulation, run i + 1 with program i; nan where there are fewer
        "spike_time": (("run", "neuron", "spike"), "s"),
        "population": (("neuron",), ""),
        # action potentials in answer to C fibres, one volley of the nerve a second
        "c_component": (("program", "hypothesis", "projection", "volley", "seed"), "1"),
        "c_component_off": (("projection", "volley", "seed"), "1"),
        "c_inhibition": (("program", "hypothesis", "projection"), "percent"),
        "c_inhibition_lower": (("program", "hypothesis", "projection"), "percent"),
        "c_inhibition_upper": (("program", "hypothesis", "projection"), "percent"),
        "program": (("program",), ""),
        "hypothesis": (("hypothesis",), ""),
        "place": (("place",), ""),
        "dermatome": (("place",), ""),
        "body_side": (("place",), ""),
        "served": (("place",), "1"),
        "cell": (("cell",), ""),
        "projection": (("projection",), ""),
        "target": (("target",), ""),
        "seed": (("seed",), "1"),
        "frequency": (("frequency",), "Hz"),
        "piece": (("piece",), "s"),
    },
    "interface": {
        # magnitude at `frequency` between two contacts, on the diagonal from one to the generator's case: tissue alone, with interfaces
        "tissue_impedance": (("contact", "contact_"), "ohm"),
        "measured_impedance": (("contact", "contact_"), "ohm"),
        "frequency": ((), "Hz"),
        # into the tissue in the first phase, per ampere of amplitude; what is left goes through the case
        "drive": (("program", "contact"), "1"),
        "amplitude": (("program",), "A"),
        # at the end of the first phase, which is at `phase`: highest above lowest active contact
        "phase": (("program",), "s"),
        "tissue_voltage": (("program",), "V"),
        "voltage": (("program",), "V"),
        # |Z| of the interface over the resistance of the tissue, at the frequency that stands for the pulse
        "pulse_frequency": (("program",), "Hz"),
        "wagner": (("program", "contact"), "1"),
        "program": (("program",), ""),
        "contact": (("contact",), ""),
        "contact_": (("contact_",), ""),
    },
    "excitation": {
        "threshold": (("fibre",), "A"),
        "threshold_lower": (("fibre",), "A"),
        "threshold_upper": (("fibre",), "A"),
        # why a threshold is infinite
        "reason": (("fibre",), ""),
        "fires": (("fibre", "amplitude_step"), "1"),
        "amplitude": (("fibre", "amplitude_step"), "A"),
        "spike_time": (("fibre", "node", "spike"), "s"),
        "spike_count": (("fibre", "node"), "1"),
        "voltage": (("fibre", "node", "time"), "V"),
        "gates": (("fibre", "node", "time", "gate"), "1"),
        # through the axolemma of every compartment, outward
        "current": (("fibre", "time", "compartment"), "A"),
        "evoked": (("fibre", "recording", "time"), "V"),
        "velocity": (("fibre",), "m/s"),
        "initiation_node": (("fibre",), "1"),
        "initiation_time": (("fibre",), "s"),
        "fires_at_end": (("fibre",), "1"),
        "block_lower": (("fibre",), "A"),
        "block_upper": (("fibre",), "A"),
        "diameter": (("fibre",), "m"),
        "node": (("node",), "1"),
        "time": (("time",), "s"),
    },
}


def declare(product: str, variables: dict[str, object], coords: dict[str, object], **attrs: object) -> xr.Dataset:
    """A dataset of a declared product; dims and units come from ``DECLARED``.

    Raises:
        EpiduraError: a variable that is not declared, or whose shape does not fit.
    """
    table = DECLARED[product]
    unknown = [name for name in (*variables, *coords) if name not in table]
    if unknown:
        raise EpiduraError(f"product {product}: {', '.join(unknown)} not declared")

    def labelled(name: str, values: object) -> tuple[tuple[str, ...], object, dict[str, str]]:
        dims, units = table[name]
        return dims, np.asarray(values), {"units": units} if units else {}

    return xr.Dataset(
        {name: labelled(name, values) for name, values in variables.items()},
        coords={name: labelled(name, values) for name, values in coords.items()},
        attrs={"product": product, **attrs},
    )


@dataclass(frozen=True)
class Tissue:
    """One tissue of the canal, with the sources of its conductivities.

    Attributes:
        name: such as ``white-matter``.
        transverse: S/m across the spine.
        longitudinal: S/m along the spine.
        numbers: the numbers it was taken from.
    """

    name: str
    transverse: float
    longitudinal: float
    numbers: tuple[Number, ...]


@dataclass(frozen=True)
class Contact:
    """One contact of a lead.

    Attributes:
        number: as in the case file.
        lead: index of the lead in the case.
        z0, z1: extent along the spine, z0 < z1, m.
        area: m2.
        left, right: lateral range on the face towards the dura, m from the lead's middle, + to the patient's right;
            None for a ring.
    """

    number: int
    lead: int
    z0: float
    z1: float
    area: float
    left: float | None = None
    right: float | None = None


@dataclass(frozen=True)
class Shaft:
    """A placed lead: a cylinder, or a paddle (a slab with round sides) with contacts on its face towards the dura.

    Attributes:
        lead: index of the lead in the case.
        name: what it is called for a person.
        x, y: centre in the plane half way between its outermost contacts, m.
        radius: of the cylinder and its ring contacts, or half the thickness of the paddle, m.
        encapsulation: thickness of the layer around it, m (0 without).
        contacts: rostral (tip) first.
        z_tip: z of the tip, m.
        half_width: half its width, m; None: a cylinder.
        turn: angle of its width from the x axis in the plane, rad (a paddle that lies on the side of the dura).
        course: (k, 3) rising z, centre of the lead along the spine, m; straight between, and as at the ends beyond.
            None: parallel to the spine at x, y.
        z_end: caudal end of a lead that ends inside the canal (a paddle), m; None: it runs on caudally.
    """

    lead: int
    name: str
    x: float
    y: float
    radius: float
    encapsulation: float
    contacts: tuple[Contact, ...]
    z_tip: float
    half_width: float | None = None
    turn: float = 0.0
    course: Floats | None = None
    z_end: float | None = None

    @property
    def parallel(self) -> bool:
        """Whether it keeps its place in the plane all along the spine."""
        return self.course is None or bool(np.ptp(self.course[:, :2], axis=0).max() == 0.0)

    @property
    def leans(self) -> bool:
        """Whether it moves sideways along the spine."""
        return self.course is not None and bool(np.ptp(self.course[:, 0]) > 1e-6)

    def centre(self, z: Floats) -> Floats:
        """(n, 2) centre in the plane at heights ``z`` (n,), m."""
        if self.course is None:
            return np.broadcast_to(np.array([self.x, self.y]), (*np.shape(z), 2)).copy()
        return np.stack([np.interp(z, self.course[:, 2], self.course[:, i]) for i in (0, 1)], axis=-1)


@dataclass(frozen=True)
class Span:
    """A named stretch of the spine, a vertebra or a cord segment, from ``z0`` up to ``z1`` in m."""

    name: str
    z0: float
    z1: float

    @property
    def middle(self) -> float:
        return 0.5 * (self.z0 + self.z1)


@dataclass(frozen=True)
class Cord:
    """What fibres need to know of the cord.

    Attributes:
        half_width, half_depth: of the cord ellipse, m.
        dorsal_column: outline of both dorsal columns together, (k, 2) m, closed, first != last.
        grey_matter: outline of the grey matter, (k, 2) m.
        dura_inner: outline of the inner face of the dura, (k, 2) m.
        segments: cord segments, rostral first, by z.
        vertebrae: vertebrae, rostral first, by z.
        level: name of the cord segment at z = 0.
        entry_angle: eccentric angle a of the dorsal root entry zone from straight dorsal, rad: it lies at
            x = half_width sin(a), y = -half_depth cos(a) from the centre.
        centre: of the cord ellipse, (x, y) m; outlines are not relative to it.
    """

    half_width: float
    half_depth: float
    dorsal_column: Floats
    grey_matter: Floats
    dura_inner: Floats
    segments: tuple[Span, ...]
    vertebrae: tuple[Span, ...]
    level: str
    entry_angle: float
    centre: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Course:
    """How the cord runs along the spine, against the level of the case; as at the first and the last height beyond them.

    Attributes:
        z: (s,) rising heights, m.
        centre: (s, 2) of the cord, m.
        scale: (s, 2) width and depth of the cord as shares of those of the level.
        bend: (s,) curvature of the spine in the sagittal plane, 1/m, + concave ventrally. Coordinates are those of the
            straightened spine.
    """

    z: Floats
    centre: Floats
    scale: Floats
    bend: Floats


@dataclass(frozen=True)
class Canal:
    """Geometry, tissues and mesh of the canal with its leads.

    Attributes:
        outlines: closed loops by name at z = 0, (k, 2) m: grey-matter, cord, dura-inner, dura-outer, canal, bone, bulk.
        tissues: in the order of the labels of the mesh, at z = 0.
        shafts: the placed leads.
        cord: what fibres need to know.
        section: the meshed cross-section (``numerics.section.Section``).
        numbers: every number from the tables that shaped it.
        warnings: what a reader should know, such as a widened epidural space.
        edges: (e,) rising heights at which tissues change, m.
        along: tissues by label below, between and above the ``edges``; empty: ``tissues`` everywhere.
        way: how the nodes of the section move along z (``numerics.spine.Way``); None: they stay.
        course: how the cord runs; None: as at z = 0 everywhere.
        accuracy: ``fast``, ``standard`` or ``reference``, of the mesh and of the field on it.
        mesh: what ``canal.build_canal`` needs to carry the section to other places of the leads, such as where it was meshed;
            None: it is not known. Canals on the same mesh share it.
    """

    outlines: dict[str, Floats]
    tissues: tuple[Tissue, ...]
    shafts: tuple[Shaft, ...]
    cord: Cord
    section: object
    vertebra: str
    numbers: tuple[Number, ...] = ()
    warnings: tuple[str, ...] = ()
    edges: Floats = field(default_factory=lambda: np.zeros(0))
    along: tuple[tuple[Tissue, ...], ...] = ()
    way: object | None = None
    course: Course | None = None
    accuracy: str = "standard"
    mesh: object | None = field(default=None, repr=False, compare=False)

    @property
    def uniform(self) -> bool:
        """Whether it is the same at every height, but for the contacts."""
        return self.way is None and not len(self.edges)

    @property
    def contacts(self) -> tuple[Contact, ...]:
        """All contacts of all leads, in the order of their numbers."""
        return tuple(contact for shaft in self.shafts for contact in shaft.contacts)


@dataclass(frozen=True)
class LeadField:
    """Volts per ampere of every contact, for any program.

    Attributes:
        contacts: numbers of the contacts, in the order of the first axis.
        impedance: (contacts, contacts) ohm: potential of one contact per ampere of another, return at the boundary.
        sample: points (p, 3) m -> (contacts, p) V/A.
        canal: where it was solved.
        notes: sizes and timings of the solve.
    """

    contacts: tuple[int, ...]
    impedance: Floats
    sample: Callable[[Floats], Floats]
    canal: Canal
    notes: dict[str, float] = field(default_factory=dict)

    def sample_or_nan(self, points: Floats) -> Floats:
        """As ``sample``, but NaN at points in a lead or outside the modelled body: for pictures."""
        lenient = getattr(self.sample, "lenient", None)
        if lenient is None:
            raise EpiduraError("this lead field cannot be sampled outside of the model")
        values: Floats = lenient(points)
        return values

    def impedances(self) -> xr.Dataset:
        """``impedance`` (contact, contact_) in ohm."""
        numbers = list(self.contacts)
        return declare("lead_field", {"impedance": self.impedance}, {"contact": numbers, "contact_": numbers})

    def potentials(self, points: Floats) -> xr.Dataset:
        """``potential`` (contact, point) in V/A at points (p, 3) in m.

        Raises:
            BadGeometry: a point in a lead or outside the modelled body.
        """
        x, y, z = np.asarray(points, float).T
        return declare("lead_field", {"potential": self.sample(np.asarray(points, float))},
                       {"contact": list(self.contacts), "point_x": x, "point_y": y, "point_z": z})


@dataclass(frozen=True)
class FieldError:
    """How far a lead field is from the one of the next coarser accuracy, relative; its own error is smaller.

    Attributes:
        potential: of V, against the largest on each path.
        second_difference: of the 1 mm second difference of V along the paths, against the largest on each path.
        impedance: of the bipolar impedances of neighbouring contacts.
        notes: what a reader should know of how the coarser one was solved.
    """

    potential: float
    second_difference: float
    impedance: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fibres:
    """A placed population, one entry per fibre.

    Attributes:
        population: kind of each fibre: dorsal-column, dorsal-root.
        diameter: outer diameter, m.
        segment: cord segment (dermatome) whose skin it serves.
        side: left or right.
        paths: one (k, 3) polyline per fibre in m, caudal or peripheral end first, rostral end last. The last
            piece runs along z and may be prolonged.
        phase: position of the first node along the path as a fraction of an internode, 0 to 1.
        depth: distance of its intramedullary part under the dorsal surface of the cord, m.
        weight: how many real fibres one simulated fibre stands for.
        numbers: every number from the tables that placed it.
    """

    population: NDArray[np.str_]
    diameter: Floats
    segment: NDArray[np.str_]
    side: NDArray[np.str_]
    paths: tuple[Floats, ...]
    phase: Floats
    depth: Floats
    weight: Floats
    numbers: tuple[Number, ...] = ()
