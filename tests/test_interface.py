"""The interface of a contact against closed forms, and what a generator measures."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import gamma

from epidura.errors import BadInput
from epidura.interface import Interface, areas, interface_share, measured, measured_pair, numbers, supplied
from epidura.product import Contact, LeadField
from epidura.recipe import read_recipe
from epidura.units import SI
from epidura.waveform import Course

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


@pytest.mark.parametrize(("call", "words"), [
    (lambda f: measured(f, ALONE, 0.0), "frequency: is not a list of frequencies"), (lambda f: measured(f, ALONE, -1.0), "above 0 Hz"),
    (lambda f: measured(f, ALONE, np.nan), "frequency"), (lambda f: measured(f, ALONE, np.ones((2, 2))), "frequency"),
    (lambda f: measured_pair(f, ALONE, (1, 1), 1.0), "contacts: are not two different contacts"),
    (lambda f: measured_pair(f, ALONE, (1, 4), 1.0), "allowed: two of 1 to 3"), (lambda f: ALONE.impedance(0.0, 1.0), "area: is not an area"),
    (lambda f: ALONE.step(np.nan, 1.0), "area"),
])
def test_what_cannot_be_measured_is_refused(lead_field, call, words):
    with pytest.raises(BadInput, match=words):
        call(lead_field)
