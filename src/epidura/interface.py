"""The contact interface: the double layer of a platinum-iridium contact as a constant-phase element.

Per contact of area A, Z = 1 / (Q A (j w)^n), beside it the resistance R / A of charge transfer; both lie in series with the
tissue. It adds to what a generator measures and to the voltage that it must supply. It does not change where current goes:
contacts stay equipotential surfaces in the tissue, as the field was solved. How far that is true is said by
``interface_share``, the Wagner number |Z| / R of a contact and the tissue around it: far below 1 the current is spread as
solved, far above 1 evenly over the contact. Both have the same total. Seen from a distance d across a ring contact of length
L <= d they differ by about L^2 / (48 d^2) of the potential (arcsine against even density along the contact, second moments
L^2/8 and L^2/12): 1.5 % at 3.5 mm from a contact of 3 mm as an upper bound; the true field lies between. That a contact
without current shunts less through its interface is not in this bound.

The numbers are for small signals. At clinical currents the interface of platinum is no longer linear and its impedance is
lower (Wei & Grill 2009 J Neural Eng 6:046008, 10.1088/1741-2560/6/4/046008, abstract; Cantrell 2008, abstract), so that
voltages from here are an upper estimate.

In a case it is an option, ``interface:``; ``at_contacts`` is what a run then adds to its result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from epidura.errors import BadInput, BadUnit
from epidura.product import Floats, LeadField, declare
from epidura.program import BALANCE, Program
from epidura.recipe import Recipe
from epidura.tables import Number, table
from epidura.units import SI
from epidura.waveform import Course

Complexes = NDArray[np.complex128]

PLATINUM = "platinum in saline"
TERMS, LATEST = 100, 8.0
"""Terms of the series of a step, and the latest time, in time constants of charge transfer, at which they give 10 digits."""
QUANTITIES = {"magnitude": "constant-phase impedance", "exponent": "constant-phase exponent", "charge_transfer": "charge-transfer resistance"}
"""Field of ``Interface`` to the quantity of data/interface.csv that its default comes from."""
FAR_BELOW = 0.1
"""Wagner number up to which a contact is called equipotential; the theory says only 'far below 1', so this is a judgement."""


def numbers() -> tuple[Number, ...]:
    """The numbers of data/interface.csv that the default interface is made of."""
    return tuple(_number(quantity) for quantity in QUANTITIES.values())


def _number(quantity: str) -> Number:
    row = table("interface").row(quantity=quantity, material=PLATINUM)
    return table("interface").number(f"{quantity} ({PLATINUM})", "value", row["unit"], quantity=quantity, material=PLATINUM)


def measuring_frequency() -> Number:
    """Hz at which impedances are told with the interface in them."""
    return table("interface").number("frequency at which impedances with the interface are told", "value", "Hz",
                                     quantity="measuring frequency", material="any")


def _default(field: str) -> float:
    return _number(QUANTITIES[field]).value


def _reader(unit: str, example: str) -> BeforeValidator:
    """Reads a positive number in a unit that ``units`` has no kind for; a bare number is refused as everywhere."""
    def read(value: object) -> float:
        number = math.nan
        if isinstance(value, SI):
            number = value.si
        elif isinstance(value, str) and value.strip().endswith(unit):
            with suppress(ValueError):
                number = float(value.strip().removesuffix(unit))
        if not 0 < number < math.inf:
            raise BadUnit("", f"not a positive number in {unit}", got=value, allowed=f"such as '{example}'")
        return number

    return BeforeValidator(read)


Magnitude = Annotated[
    float, _reader("S s^n/m2", "0.64 S s^n/m2"), PlainSerializer(lambda value: f"{value!r} S s^n/m2", return_type=str),
    WithJsonSchema({"type": "string", "format": "quantity", "examples": ["0.64 S s^n/m2"]})]
SpecificResistance = Annotated[
    float, _reader("ohm m2", "20 ohm m2"), PlainSerializer(lambda value: f"{value!r} ohm m2", return_type=str),
    WithJsonSchema({"type": "string", "format": "quantity", "examples": ["20 ohm m2"]})]


class Interface(Recipe):
    """The interface of one square metre of contact; defaults from data/interface.csv.

    Attributes:
        magnitude: Q, S s^n/m2.
        exponent: n, 0.5 to 1; 1 is a capacitor of Q F/m2.
        charge_transfer: R, ohm m2; None: the double layer alone.

    Source: Cantrell et al. 2008 J Neural Eng 5:54, eqs. 3 and 5, 10.1088/1741-2560/5/1/006.
    """

    magnitude: Magnitude = Field(default_factory=lambda: 1.0 / _default("magnitude"))
    exponent: float = Field(default_factory=lambda: _default("exponent"), ge=0.5, le=1)
    charge_transfer: SpecificResistance | None = Field(default_factory=lambda: _default("charge_transfer"))

    def numbers(self) -> tuple[Number, ...]:
        """The sources of the fields that were left at their defaults, and of the frequency at which impedances are told."""
        default = Interface()
        kept = tuple(_number(quantity) for field, quantity in QUANTITIES.items() if getattr(self, field) == getattr(default, field))
        return (*kept, measuring_frequency())

    @property
    def latest(self) -> float:
        """Time up to which ``step`` is exact, s."""
        return math.inf if self.charge_transfer is None else LATEST * (self.magnitude * self.charge_transfer) ** (1 / self.exponent)

    def impedance(self, area: float, frequency: float | Floats) -> Complexes:
        """(n,) ohm of a contact of ``area`` m2 at ``frequency`` (n,) Hz.

        Raises:
            BadInput: an area or frequency that is not positive.
        """
        omega = 2 * np.pi * _frequencies(frequency)
        admittance = self.magnitude * (1j * omega) ** self.exponent
        if self.charge_transfer is not None:
            admittance = admittance + 1.0 / self.charge_transfer
        return np.asarray(1.0 / (_area(area) * admittance))

    def step(self, area: float, time: float | Floats) -> Floats:
        """V across the interface per ampere switched on at 0, at ``time`` s of any shape; 0 before.

        Without charge transfer t^n / (Q A Gamma(1 + n)). With it (R / A) (1 - E_n(-x)), x = t^n / (Q R), E_n the
        Mittag-Leffler function as its power series, whose first term is the law without.
        Source: K. B. Oldham & J. Spanier, The Fractional Calculus (1974); both forms are the inverse Laplace transform of
        Z(s) / s.

        Raises:
            BadInput: an area that is not positive, or a time so long that the series loses its digits.
        """
        n = self.exponent
        power = np.maximum(np.asarray(time, float), 0.0) ** n
        alone = power / (self.magnitude * _area(area))
        if self.charge_transfer is None:
            return np.asarray(alone / math.gamma(1 + n))
        x = power / (self.magnitude * self.charge_transfer)
        if not (x <= LATEST**n).all():
            raise BadInput("time", "is too long for the response with charge transfer", got=f"{np.max(time):.3g} s",
                           allowed=f"up to {self.latest:.3g} s")
        # (1 - E_n(-x)) / x; by logarithms, since Gamma overflows
        weights = [(-1.0) ** k * math.exp(-math.lgamma(1 + n * (k + 1))) for k in range(TERMS)]
        return np.asarray(alone * np.polynomial.polynomial.polyval(x, weights))

    def voltage(self, area: float, current: float, course: Course, time: float | Floats) -> Floats:
        """V across the interface of a contact of ``area`` m2 that carries ``current`` A times the ``course``, at ``time`` s.

        Exact for a piecewise constant course: every edge is a step. + is the metal above the tissue for current into the
        tissue. The interface is at rest before the course; long trains approach a shifted baseline that a generator removes.

        Raises:
            BadInput: as ``step``.
        """
        at = np.asarray(time, float)
        edges = np.diff(course.values, prepend=0.0)
        return np.asarray(current * sum((edge * self.step(area, at - start) for start, edge in zip(course.times, edges, strict=True)),
                                        start=np.zeros_like(at)))


def measured(lead_field: LeadField, interface: Interface, frequency: float | Floats) -> Complexes:
    """(n, contacts, contacts) ohm at ``frequency`` (n,) Hz: volts at one contact per ampere of another, return far away.

    The impedance matrix of the tissue, taken as resistive, and the interface of every contact on its diagonal. What the
    far return itself adds (the generator's case) is not in it; it drops out between two contacts.

    Raises:
        BadInput: a frequency that is not positive.
    """
    f = _frequencies(frequency)
    own = np.stack([interface.impedance(area, f) for area in areas(lead_field)], axis=1)
    return np.asarray(lead_field.impedance + own[:, :, None] * np.eye(len(lead_field.contacts)))


def measured_pair(lead_field: LeadField, interface: Interface, contacts: tuple[int, int], frequency: float | Floats) -> Complexes:
    """(n,) ohm between two contacts, by number, at ``frequency`` (n,) Hz.

    Raises:
        BadInput: the same contact twice or one that does not exist; a frequency that is not positive.
    """
    a, b = _pair(lead_field, contacts)
    matrix = measured(lead_field, interface, frequency)
    return np.asarray(matrix[:, a, a] + matrix[:, b, b] - matrix[:, a, b] - matrix[:, b, a])


def supplied(lead_field: LeadField, interface: Interface, contacts: tuple[int, int], current: float, course: Course,
             time: float | Floats) -> Floats:
    """V of the first contact above the second, while ``current`` A times the course flows from the first to the second.

    At every ``time`` s: the tissue follows at once, the two interfaces as in ``Interface.voltage``.

    Raises:
        BadInput: as ``measured_pair`` and ``Interface.step``.
    """
    a, b = _pair(lead_field, contacts)
    at = np.asarray(time, float)
    z = lead_field.impedance
    index = np.searchsorted(course.times, at, side="right") - 1
    flowing = current * np.where(index >= 0, course.values[np.maximum(index, 0)], 0.0)
    area = areas(lead_field)
    return np.asarray((z[a, a] + z[b, b] - z[a, b] - z[b, a]) * flowing
                      + interface.voltage(area[a], current, course, at) + interface.voltage(area[b], current, course, at))


def interface_share(lead_field: LeadField, interface: Interface, frequency: float | Floats) -> Floats:
    """(n, contacts) Wagner number: |Z| of the interface over the resistance of the tissue, both of the contact alone.

    Far below 1: current leaves the contact as the field was solved; see the module for what it means otherwise.
    """
    own = np.stack([np.abs(interface.impedance(area, frequency)) for area in areas(lead_field)], axis=1)
    return np.asarray(own / np.diag(lead_field.impedance))


def first_phase(course: Course) -> tuple[float, float]:
    """End of the first phase, s, and what flows just before it, per ampere of amplitude; a phase ends where the sign changes."""
    sign = np.sign(course.values)
    begin = int(np.flatnonzero(sign)[0])
    end = begin + int(np.flatnonzero(sign[begin:] != sign[begin])[0])
    return float(course.times[end]), float(course.values[end - 1])


def pulse_frequency(course: Course) -> float:
    """Hz at which |Z| of the interface stands for a course: 1 / (2 pi t), t the time for which it has been charged at most.

    There a capacitor has as many ohms as it has volts per ampere after t; a constant-phase element has 1 / Gamma(1 + n) times as
    many volts, 4 % more with n = 0.91. t is the largest charge that has flowed one way, over the strongest current: the pulse
    width where each pulse is recharged, that of all pulses together where a packet is recharged at its end.
    """
    charge = np.cumsum(course.values[:-1] * np.diff(course.times))
    return float(np.abs(course.values).max() / (2 * np.pi * np.abs(charge).max()))


def at_contacts(lead_field: LeadField, interface: Interface, programs: Sequence[Program], amplitudes: Sequence[float] | Floats) -> xr.Dataset:
    """What the interface adds to impedances and voltages, and how far the field may do without it.

    Args:
        lead_field: of the tissue alone.
        interface: of every contact.
        programs: at least one.
        amplitudes: (programs,) A; without a finite one a program has no voltages.

    Returns:
        the product ``interface`` (see ``product.DECLARED``). The generator's case is the far boundary; its own interface is not in it.

    Raises:
        BadInput: a program with a contact that does not exist, or a first phase that outlasts ``Interface.latest``.
    """
    frequency = measuring_frequency().value
    drive = np.array([program.drive(lead_field.contacts, f"programs[{i}].") for i, program in enumerate(programs)])
    amplitude = np.where(np.isfinite(amplitudes), amplitudes, np.nan)
    courses = [program.waveform.unit() for program in programs]
    voltages = [_voltages(lead_field, interface, *each) for each in zip(drive, amplitude, courses, strict=True)]
    frequencies = np.array([pulse_frequency(course) for course in courses])
    numbers = list(lead_field.contacts)
    return declare(
        "interface",
        {
            "frequency": frequency, "tissue_impedance": _between(lead_field.impedance),
            "measured_impedance": np.abs(_between(measured(lead_field, interface, frequency)[0])),
            "drive": drive, "amplitude": amplitude, "phase": [first_phase(course)[0] for course in courses],
            "tissue_voltage": [one[0] for one in voltages], "voltage": [one[1] for one in voltages],
            "pulse_frequency": frequencies, "wagner": interface_share(lead_field, interface, frequencies),
        },
        {"program": [program.name for program in programs], "contact": numbers, "contact_": numbers},
    )


def _between(z: NDArray[np.generic]) -> NDArray[np.generic]:
    """(contacts, contacts) ohm between two contacts of an impedance matrix, on the diagonal from one to the far boundary."""
    own = np.diag(z)
    return np.asarray(np.where(np.eye(len(z), dtype=bool), z, own[:, None] + own[None, :] - z - z.T))


def _voltages(lead_field: LeadField, interface: Interface, drive: Floats, amplitude: float, course: Course) -> tuple[float, float]:
    """V of the highest above the lowest active contact at the end of the first phase: in the tissue, and with the interfaces."""
    end, flowing = first_phase(course)
    tissue = lead_field.impedance @ (drive * amplitude * flowing)
    own = [float(interface.voltage(area, current, course, end)) for area, current in zip(areas(lead_field), drive * amplitude, strict=True)]
    active = drive != 0
    far = [0.0] if returns_far(drive) else []
    return float(np.ptp([*tissue[active], *far])), float(np.ptp([*(tissue + own)[active], *far]))


def returns_far(drive: Floats) -> bool:
    """Whether a program with this drive (contacts,) uses the generator's case."""
    return bool(abs(np.sum(drive)) > BALANCE)


def verdict(wagner: float) -> str:
    """Whether the field, solved with equipotential contacts, is a good model at this Wagner number, in words."""
    if wagner <= FAR_BELOW:
        return f"far below 1 (up to {FAR_BELOW:g}): contacts as equipotentials, as in the field, are a good model"
    if wagner < 1:
        return "below 1 but not far below: current leaves the contacts somewhat more evenly than in the field, which is a fair model"
    return "not below 1: current leaves the contacts more evenly than in the field, which is not a good model close to them"


def areas(lead_field: LeadField) -> Floats:
    """(contacts,) m2, in the order of the lead field."""
    by_number = {contact.number: contact.area for contact in lead_field.canal.contacts}
    return np.array([by_number[number] for number in lead_field.contacts])


def _pair(lead_field: LeadField, contacts: tuple[int, int]) -> tuple[int, int]:
    known = list(lead_field.contacts)
    if len(contacts) != 2 or contacts[0] == contacts[1] or not set(contacts) <= set(known):
        raise BadInput("contacts", "are not two different contacts", got=str(tuple(contacts)), allowed=f"two of {known[0]} to {known[-1]}")
    return known.index(contacts[0]), known.index(contacts[1])


def _frequencies(frequency: float | Floats) -> Floats:
    f = np.atleast_1d(np.asarray(frequency, float))
    if f.ndim != 1 or not (np.isfinite(f) & (f > 0)).all():
        raise BadInput("frequency", "is not a list of frequencies", got=str(frequency)[:60], allowed="above 0 Hz")
    return f


def _area(area: float) -> float:
    if not 0 < area < math.inf:
        raise BadInput("area", "is not an area", got=area, allowed="above 0 m2")
    return float(area)
