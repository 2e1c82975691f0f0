"""The interface of a contact against closed forms, and what a generator measures."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import gamma

from epidura.errors import BadInput
from epidura.interface import (
    FAR_BELOW,
    Interface,
    areas,
    at_contacts,
    first_phase,
    interface_share,
    measured,
    measured_pair,
    numbers,
    pulse_frequency,
    supplied,
    verdict,
)
from epidura.product import Contact, LeadField
from epidura.program import Program
from epidura.recipe import read_recipe
from epidura.units import SI
from epidura.waveform import Course, family

AREA = 12e-6
ALONE = Interface(charge_transfer=None)
TISSUE = np.array([[300.0, 70.0, 50.0], [70.0, 310.0, 80.0], [50.0, 80.0, 320.0]])


@pytest.fixture
def lead_field() -> LeadField:
    contacts = tuple(Contact(n, 0, 0.0, 1e-3, area) for n, area in ((3, 3e-6), (1, 1e-6), (2, 2e-6)))
    return LeadField((1, 2, 3), TISSUE, lambda points: points.T, SimpleNamespace(contacts=contacts))  # type: ignore[arg-type]


def test_defaults_come_from_the_table_and_say_that_they_are_unverified():
    one = Interface()
    assert one.magnitude == pytest.approx(1 / 1.57)
    assert (one.exponent, one.charge_transfer) == (0.91, 20.0)
    assert len(numbers()) == 3
    for number in numbers():
        assert number.unverified
        assert number.doi == "10.1088/1741-2560/5/1/006"
    # R T / (n F I0) as in the table's note
    wanted = 8.314462618 * 298 / (2 * 96485.33 * 6.41e-4)
    assert Interface().charge_transfer == pytest.approx(wanted, rel=3e-3)


def test_only_defaults_have_a_source():
    def names(one: Interface) -> set[str]:
        assert all(number.unverified for number in one.numbers())
        return {number.name.split(" (")[0] for number in one.numbers()}

    told = "frequency at which impedances with the interface are told"
    assert names(Interface()) == {"constant-phase impedance", "constant-phase exponent", "charge-transfer resistance", told}
    assert names(ALONE) == {"constant-phase impedance", "constant-phase exponent", told}
    assert names(Interface(magnitude=SI(0.5), exponent=0.8)) == {"charge-transfer resistance", told}
    again = read_recipe(Interface, Interface().model_dump(mode="json"))
    assert names(again) == names(Interface())  # defaults that were written out are still those of the table


def test_the_text_of_an_interface_is_read_back():
    one = read_recipe(Interface, {"magnitude": "0.5 S s^n/m2", "exponent": 0.8, "charge_transfer": "3 ohm m2"})
    assert (one.magnitude, one.exponent, one.charge_transfer) == (0.5, 0.8, 3.0)
    for interface in (one, Interface(), ALONE):
        again = read_recipe(Interface, interface.model_dump(mode="json"))
        assert again == interface
        assert again.key() == interface.key()
    assert Interface(magnitude=SI(0.5)).magnitude == 0.5


@pytest.mark.parametrize(("given", "words"), [
    ({"magnitude": 0.5}, "magnitude: not a positive number in S s"), ({"magnitude": "0.5"}, "magnitude"), ({"magnitude": "-1 S s^n/m2"}, "magnitude"),
    ({"magnitude": "x S s^n/m2"}, "such as '0.64 S s"), ({"charge_transfer": "20 ohm"}, "charge_transfer: not a positive number in ohm m2"),
    ({"exponent": 1.2}, "exponent"), ({"exponent": 0.3}, "exponent"), ({"alpha": 1}, "alpha: unknown key"),
])
def test_what_is_no_interface_is_refused(given, words):
    with pytest.raises(BadInput, match=words):
        read_recipe(Interface, given)


def test_impedance_by_hand():
    f = np.array([1.0, 1e3, 1e4])
    z = ALONE.impedance(AREA, f)
    assert np.abs(z) == pytest.approx(1.57 / AREA / (2 * np.pi * f) ** 0.91)
    assert np.angle(z, deg=True) == pytest.approx(-0.91 * 90)
    assert np.abs(z[1]) == pytest.approx(45.8, rel=2e-3)  # a contact of 12 mm2 at 1 kHz
    # with charge transfer: a resistor at low, the double layer alone at high frequencies
    both = Interface().impedance(AREA, np.array([1e-9, 1e4]))
    assert both[0] == pytest.approx(20.0 / AREA, rel=1e-4)
    assert both[1] == pytest.approx(z[2], rel=1e-4)
    assert 1 / both[1] == pytest.approx(1 / z[2] + AREA / 20.0)
    assert ALONE.impedance(2 * AREA, 1e3).shape == (1,)
    assert ALONE.impedance(2 * AREA, 1e3)[0] == pytest.approx(z[1] / 2)


def test_a_capacitor_charges_as_a_capacitor():
    t = np.array([-1.0, 0.0, 1e-4, 0.3, 1.0])
    alone = Interface(magnitude=SI(0.4), exponent=1.0, charge_transfer=None)
    assert alone.step(AREA, t) == pytest.approx(np.maximum(t, 0) / (0.4 * AREA))
    leaky = Interface(magnitude=SI(0.4), exponent=1.0, charge_transfer=SI(0.5))
    assert leaky.step(AREA, t) == pytest.approx(0.5 / AREA * -np.expm1(-np.maximum(t, 0) / 0.2), rel=1e-12)
    assert leaky.step(AREA, 8 * 0.2) == pytest.approx(0.5 / AREA * -np.expm1(-8.0), rel=1e-10)


def test_a_step_is_the_power_law():
    t = np.array([1e-5, 1e-3, 1.0])
    assert ALONE.step(AREA, t) == pytest.approx(1.57 * t**0.91 / (AREA * gamma(1.91)), rel=1e-13)
    # charge transfer hardly matters within a pulse
    assert Interface().step(AREA, 1e-3) == pytest.approx(float(ALONE.step(AREA, 1e-3)), rel=2e-4)


@pytest.mark.parametrize("exponent", [0.5, 0.75, 0.91, 1.0])
@pytest.mark.parametrize("resistance", [None, 0.02])
def test_the_step_has_the_transform_of_the_impedance(exponent, resistance):
    """The integral of exp(-s t) V(t) is Z(s) / s; independent of how V(t) is computed."""
    q = 0.5
    one = Interface(magnitude=SI(q), exponent=exponent, charge_transfer=None if resistance is None else SI(resistance))
    tau = (q * 0.02) ** (1 / exponent)
    for s in (6 / tau, 20 / tau):
        # substituted t = u^4 / s, for the power at 0 has no derivative there
        found, _ = quad(lambda u, s=s: np.exp(-(u**4)) * float(one.step(AREA, u**4 / s)) * 4 * u**3 / s, 0, 48**0.25, epsabs=0, epsrel=1e-10)
        wanted = 1 / (AREA * (q * s**exponent + (0 if resistance is None else 1 / resistance))) / s
        assert found == pytest.approx(wanted, rel=1e-8)


def test_a_time_is_refused_at_which_the_series_is_no_longer_exact():
    leaky = Interface(magnitude=SI(0.4), exponent=1.0, charge_transfer=SI(0.5))
    with pytest.raises(BadInput, match=r"time: is too long for the response with charge transfer; got '1.7 s'; allowed: up to 1.6 s"):
        leaky.step(AREA, 1.7)
    with pytest.raises(BadInput, match="time"):
        leaky.step(AREA, np.nan)


def test_a_pulse_is_the_sum_of_its_edges():
    course = Course.of((200e-6, 1.0), (100e-6, 0.0), (200e-6, -1.0))
    t = np.array([-1e-4, 0.0, 1e-4, 2e-4, 2.5e-4, 5e-4, 2e-3])
    v = ALONE.voltage(AREA, -3e-3, course, t)
    step = ALONE.step
    wanted = -3e-3 * (step(AREA, t) - step(AREA, t - 2e-4) - step(AREA, t - 3e-4) + step(AREA, t - 5e-4))
    assert v == pytest.approx(wanted, abs=1e-15)
    assert (v[:2] == 0).all()
    assert (v[2:4] < 0).all()
    # a balanced pulse of an ideal capacitor ends at rest; this one is left with a little of the other sign, and forgets it
    assert ALONE.voltage(AREA, 1.0, course, 2e-3) == pytest.approx(2 * ALONE.voltage(AREA, 0.5, course, 2e-3))
    ideal = Interface(magnitude=SI(0.5), exponent=1.0, charge_transfer=None)
    assert ideal.voltage(AREA, 1.0, course, t)[-2:] == pytest.approx([0.0, 0.0], abs=1e-12)
    assert abs(v[-1]) < abs(v[-2]) < abs(v[3])


def test_a_generator_measures_tissue_and_interfaces(lead_field):
    f = np.array([10.0, 1e3])
    z = measured(lead_field, Interface(), f)
    assert z.shape == (2, 3, 3)
    assert areas(lead_field).tolist() == [1e-6, 2e-6, 3e-6]  # by number, not by place
    for i, area in enumerate((1e-6, 2e-6, 3e-6)):
        assert z[:, i, i] - TISSUE[i, i] == pytest.approx(Interface().impedance(area, f))
    off = ~np.eye(3, dtype=bool)
    assert np.array_equal(z[:, off], np.broadcast_to(TISSUE[off], (2, 6)).astype(complex))
    assert np.array_equal(z, z.transpose(0, 2, 1))
    pair = measured_pair(lead_field, Interface(), (3, 1), f)
    assert pair == pytest.approx(300 + 320 - 2 * 50 + Interface().impedance(1e-6, f) + Interface().impedance(3e-6, f))
    assert pair == pytest.approx(measured_pair(lead_field, Interface(), (1, 3), f))
    assert (pair.imag < 0).all()
    assert measured_pair(lead_field, Interface(), (1, 3), 1e12)[0] == pytest.approx(520, rel=1e-5)


def test_the_voltage_that_a_generator_supplies(lead_field):
    course = Course.of((200e-6, 1.0))
    t = np.array([-1e-6, 0.0, 199e-6, 201e-6])
    v = supplied(lead_field, Interface(), (2, 1), 2e-3, course, t)
    own = Interface().voltage(2e-6, 2e-3, course, t) + Interface().voltage(1e-6, 2e-3, course, t)
    assert v - own == pytest.approx([0, 2e-3 * 470, 2e-3 * 470, 0], abs=1e-12)
    assert supplied(lead_field, Interface(), (1, 2), -2e-3, course, t) == pytest.approx(-v)
    assert supplied(lead_field, ALONE, (2, 1), 1.0, course, 199e-6) == pytest.approx(
        470 + 1.57 * 199e-6**0.91 / gamma(1.91) * (1 / 1e-6 + 1 / 2e-6))


def test_the_share_of_the_interface(lead_field):
    share = interface_share(lead_field, ALONE, np.array([1e2, 1e4]))
    assert share.shape == (2, 3)
    assert share[0] == pytest.approx(1.57 / (2 * np.pi * 1e2) ** 0.91 / (np.array([1e-6, 2e-6, 3e-6]) * np.diag(TISSUE)))
    assert (share[1] < share[0]).all()


def test_how_far_an_even_and_an_arcsine_density_differ():
    """The bound of the module: line charges of 3 mm seen from 3.5 mm beside their middle, and the rule L^2 / (48 d^2)."""
    length = 3e-3
    for d, largest in ((3.5e-3, 0.0155), (7e-3, 0.004)):
        even, _ = quad(lambda s, d=d: 1 / np.hypot(d, s * length / 2) / 2, -1, 1)
        arcsine, _ = quad(lambda a, d=d: 1 / np.hypot(d, np.sin(a) * length / 2) / np.pi, -np.pi / 2, np.pi / 2)
        difference = even / arcsine - 1
        assert 0 < difference < largest
        assert difference == pytest.approx(length**2 / (48 * d**2), rel=0.25)


PULSES = [
    # waveform, end of the first phase, what flows before it, time for which the interface is charged
    ({"kind": "tonic", "pulse_width": "300 us"}, 300e-6, 1.0, 300e-6),
    ({"kind": "tonic", "pulse_width": "200 us", "shape": "monophasic"}, 200e-6, 1.0, 200e-6),
    ({"kind": "high-frequency"}, 30e-6, 1.0, 30e-6), ({"kind": "burst"}, 1e-3, 1.0, 5e-3), ({"kind": "burst", "recharge": "active"}, 1e-3, 1.0, 1e-3),
    # a phase of two heights, the second one the weaker: 100 us at 1 and 100 us at 0.5
    ({"kind": "sampled", "times": ["0 us", "100 us", "200 us", "350 us"], "values": [1, 0.5, -1, 0]}, 200e-6, 0.5, 150e-6),
    # silence first, and a second phase that takes more charge than the first gave: 0.05 - 0.2 = -0.15 ms at 1
    ({"kind": "sampled", "times": ["0 us", "50 us", "150 us", "350 us"], "values": [0, 0.5, -1, 0]}, 150e-6, 0.5, 150e-6),
]


@pytest.mark.parametrize(("written", "end", "flowing", "charged"), PULSES)
def test_what_of_a_course_counts(written, end, flowing, charged):
    course = family.read(written).unit()
    assert first_phase(course) == pytest.approx((end, flowing))
    assert pulse_frequency(course) == pytest.approx(1 / (2 * np.pi * charged))


def program(name: str, contacts: dict[object, float], **waveform: object) -> Program:
    return read_recipe(Program, {"name": name, "contacts": contacts, "waveform": {"kind": "tonic", "pulse_width": "300 us", **waveform}})


def test_what_the_interface_adds_to_programs(lead_field):
    """Every number by hand: law of the power, complex impedances, sums over the matrix of the tissue."""
    programs = [program("pair", {1: -1, 3: 1}), program("three", {1: -0.4, 2: 1, 3: -0.6}), program("case", {2: -1, "case": 1}),
                program("silent", {1: -1, 2: 1})]
    currents = [2e-3, 3e-3, 1e-3, np.inf]
    found = at_contacts(lead_field, ALONE, programs, currents)
    assert found.attrs["product"] == "interface"
    assert list(found.program.values) == ["pair", "three", "case", "silent"]
    assert (float(found.frequency), found.frequency.attrs["units"]) == (1000, "Hz")
    area = np.array([1e-6, 2e-6, 3e-6])
    own = 1.57 / area * (2 * np.pi * 1e3) ** -0.91 * np.exp(-0.5j * np.pi * 0.91)
    for a in range(3):
        for b in range(3):
            tissue = TISSUE[a, a] if a == b else TISSUE[a, a] + TISSUE[b, b] - 2 * TISSUE[a, b]
            extra = own[a] if a == b else own[a] + own[b]
            assert float(found.tissue_impedance[a, b]) == pytest.approx(tissue)
            assert float(found.measured_impedance[a, b]) == pytest.approx(abs(tissue + extra))
    per_ampere = 1.57 * 300e-6**0.91 / gamma(1.91) / area  # V across each interface after 300 us
    # from 1 to 3: the four entries of the matrix, and both interfaces
    assert float(found.tissue_voltage[0]) == pytest.approx(2e-3 * 520)
    assert float(found.voltage[0]) == pytest.approx(2e-3 * (520 + per_ampere[0] + per_ampere[2]))
    assert float(found.voltage[0]) == pytest.approx(abs(float(supplied(lead_field, ALONE, (1, 3), 2e-3, Course.of((1.0, 1.0)), 300e-6))))
    # with three, the anode 2 stands above the lower of the cathodes
    volts = 3e-3 * (np.array([[300 * -0.4 + 70 - 50 * 0.6], [70 * -0.4 + 310 - 80 * 0.6], [50 * -0.4 + 80 - 320 * 0.6]])[:, 0])
    assert float(found.tissue_voltage[1]) == pytest.approx(volts[1] - min(volts[0], volts[2]))
    both = volts + 3e-3 * np.array([-0.4, 1, -0.6]) * per_ampere
    assert float(found.voltage[1]) == pytest.approx(both[1] - min(both[0], both[2]))
    # the case is at 0 V
    assert float(found.tissue_voltage[2]) == pytest.approx(1e-3 * 310)
    assert float(found.voltage[2]) == pytest.approx(1e-3 * (310 + per_ampere[1]))
    assert np.isnan([float(found.voltage[3]), float(found.tissue_voltage[3])]).all()
    # Wagner number at w t = 1, where |Z| is K t^n / A
    assert found.pulse_frequency.values == pytest.approx(1 / (2 * np.pi * 300e-6))
    assert found.wagner.values == pytest.approx(np.tile(1.57 * 300e-6**0.91 / area / np.diag(TISSUE), (4, 1)))
    assert found.drive.values.tolist() == [[-1, 0, 1], [-0.4, 1, -0.6], [0, -1, 0], [-1, 1, 0]]
    assert found.phase.values == pytest.approx(300e-6)


def test_a_verdict_says_how_good_the_field_is():
    assert (FAR_BELOW, verdict(0.1)) == (0.1, verdict(0.0))
    assert "a good model" in verdict(0.1)
    assert "not a good" not in verdict(0.1)
    assert verdict(0.1001) == verdict(0.999)
    assert "a fair model" in verdict(0.5)
    assert verdict(1.0) == verdict(50.0)
    assert "not a good model" in verdict(1.0)


@pytest.mark.parametrize(("call", "words"), [
    (lambda f: at_contacts(f, ALONE, [program("far", {1: -1, 4: 1})], [1e-3]), r"programs\[0\].contacts.4: there is no such contact"),
    (lambda f: at_contacts(f, Interface(charge_transfer=SI(1e-5)), [program("long", {1: -1, 2: 1})], [1e-3]), "time: is too long"),
    (lambda f: measured(f, ALONE, 0.0), "frequency: is not a list of frequencies"), (lambda f: measured(f, ALONE, -1.0), "above 0 Hz"),
    (lambda f: measured(f, ALONE, np.nan), "frequency"), (lambda f: measured(f, ALONE, np.ones((2, 2))), "frequency"),
    (lambda f: measured_pair(f, ALONE, (1, 1), 1.0), "contacts: are not two different contacts"),
    (lambda f: measured_pair(f, ALONE, (1, 4), 1.0), "allowed: two of 1 to 3"), (lambda f: ALONE.impedance(0.0, 1.0), "area: is not an area"),
    (lambda f: ALONE.step(np.nan, 1.0), "area"),
])
def test_what_cannot_be_measured_is_refused(lead_field, call, words):
    with pytest.raises(BadInput, match=words):
        call(lead_field)
