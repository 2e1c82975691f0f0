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
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from epidura.errors import BadInput, BadUnit
from epidura.product import Floats, LeadField
from epidura.recipe import Recipe
from epidura.tables import Number, table
from epidura.units import SI
from epidura.waveform import Course

Complexes = NDArray[np.complex128]

PLATINUM = "platinum in saline"
TERMS, LATEST = 100, 8.0
"""Terms of the series of a step, and the latest time, in time constants of charge transfer, at which they give 10 digits."""


def numbers() -> tuple[Number, ...]:
    """The numbers of data/interface.csv that the default interface is made of."""
    rows = [row for row in table("interface") if row["material"] == PLATINUM]
    return tuple(table("interface").number(f"{row['quantity']} ({PLATINUM})", "value", row["unit"], quantity=row["quantity"], material=PLATINUM)
                 for row in rows)


def _default(quantity: str) -> float:
    return table("interface").number(quantity, "value", "", quantity=quantity, material=PLATINUM).value


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

    magnitude: Magnitude = Field(default_factory=lambda: 1.0 / _default("constant-phase impedance"))
    exponent: float = Field(default_factory=lambda: _default("constant-phase exponent"), ge=0.5, le=1)
    charge_transfer: SpecificResistance | None = Field(default_factory=lambda: _default("charge-transfer resistance"))

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
        product = self.magnitude * self.charge_transfer
        x = power / product
        if not (x <= LATEST**n).all():
            raise BadInput("time", "is too long for the response with charge transfer", got=f"{np.max(time):.3g} s",
                           allowed=f"up to {LATEST * product ** (1 / n):.3g} s")
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
