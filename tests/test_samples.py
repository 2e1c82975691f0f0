"""Stretches of time from switching on, and tables of samples for generators on a bench."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_delivery import field, program

from epidura.delivery import Electronics, deliver, deliver_stretch, volts_per_ampere
from epidura.errors import BadInput
from epidura.samples import HEAD, Samples, check_balance, lines, sampled, write
from epidura.schedule import impulses
from epidura.waveform import family

PASSIVE = {"kind": "tonic", "shape": "passive", "pulse_width": "300 us"}


def charges(delivery: Any, at: Any) -> Any:
    return np.column_stack([np.interp(at, delivery.record.edges, own) for own in delivery.record.charge.T])


@pytest.mark.parametrize("kind", family.members)
class TestEveryType:
    def test_a_late_cycle_is_the_settled_one(self, kind: str) -> None:
        made = program(kind)
        settled = deliver(made, field(), electronics=Electronics(1e-6))
        late = deliver_stretch(made, field(), electronics=Electronics(1e-6), start=2000 * settled.cycle, duration=settled.cycle)
        at = np.linspace(0, settled.cycle, 301)
        # periods that are no whole microseconds begin up to one late
        slack = 2.1e-6 * np.abs(settled.record.current).max()
        np.testing.assert_allclose(charges(late, at), charges(settled, at), atol=slack)
        assert late.compliance == pytest.approx(settled.compliance, rel=1e-6)

    def test_pieces_of_time_add_up(self, kind: str) -> None:
        made = program(kind)
        period = made.waveform.period
        cuts = np.array([0.0, 0.1, 0.61, 1.003, 2.7]) * period
        begun = np.zeros(3)
        for a, b in pairwise(cuts):
            part = deliver_stretch(made, field(), start=float(a), duration=float(b - a))
            np.testing.assert_allclose(part.residual, begun, atol=1e-13)
            begun = begun + part.record.charge[-1]
            until = deliver_stretch(made, field(), duration=float(b))
            np.testing.assert_allclose(begun, until.record.charge[-1], atol=1e-13)
            assert part.record.edges[-1] == pytest.approx(b - a, abs=1e-12)

    @settings(deadline=None, max_examples=10)
    @given(data=st.data())
    def test_samples_keep_the_charge(self, kind: str, data: st.DataObject) -> None:
        d = deliver(program(kind), field())
        rate = data.draw(st.floats(40e3, 3e6))
        step = data.draw(st.one_of(st.none(), st.floats(1e-7, 5e-5)))
        made = sampled(d, rate, resolution=step)
        assert made.current.shape == (len(made.time), len(d.contacts))
        passed = np.cumsum(made.current, axis=0) / rate
        want = charges(d, np.minimum(made.time + 1 / rate, d.cycle))
        scale = d.charge_per_phase.max()
        np.testing.assert_allclose(passed, want, atol=1e-9 * scale + (0 if step is None else step / rate))
        assert np.abs(passed[-1]).max() < 1e-9 * scale  # balanced programs stay so, rounded or not
        assert np.abs(made.current.sum(axis=1)).max() < 1e-9 * np.abs(made.current).max()
        if step is not None:
            np.testing.assert_allclose(made.current / step, np.rint(made.current / step), atol=1e-6)


def test_from_rest_a_bipole_discharges_as_one_time_constant_says() -> None:
    made = program(PASSIVE, {3: -1, 5: 1})
    electronics = Electronics(capacitor=2e-6, resistance=15.0)
    tau = volts_per_ampere(made, field(), electronics) * 1e-6
    d = deliver_stretch(made, field(), electronics=electronics, duration=40e-3)
    assert not d.residual.any()
    first = 2e-3 * 300e-6
    resting = (d.record.edges >= 300e-6) & (d.record.edges <= 20e-3)
    left, after = d.record.charge[resting, 1], d.record.edges[resting] - 300e-6
    assert resting.sum() > 10
    np.testing.assert_allclose(left, first * np.exp(-after / tau), rtol=1e-9, atol=1e-9 * first)
    # between edges the current is taken as constant
    np.testing.assert_allclose(charges(d, [1.3e-3])[0, 1], first * np.exp(-1e-3 / tau), rtol=0.02)
    # a cut is an edge, where it is exact
    cut = deliver_stretch(made, field(), electronics=electronics, duration=300e-6 + 1e-3)
    assert cut.record.charge[-1, 1] == pytest.approx(first * np.exp(-1e-3 / tau), rel=1e-9)


def test_trains_that_follow_each_other_at_once_all_discharge() -> None:
    other = {"waveform": PASSIVE, "contacts": {4: -1, 6: 1}, "amplitude": "3 mA"}
    made = program(PASSIVE, {1: -1, 2: 1}, interleaved=[other])
    d = deliver(made, field())
    assert not d.direct_current.any()
    pair = np.ptp(d.record.edges[1:][np.diff(d.record.charge[:, 0], prepend=0.0)[1:] != 0])
    assert pair > 10e-3  # contact 1 is discharged in the long pause
    late = deliver_stretch(made, field(), start=0.5, duration=20e-3)
    np.testing.assert_allclose(late.record.charge[-1], 0.0, atol=1e-12)


def test_turns_and_ramp() -> None:
    made = program("tonic", cycle={"on": "0.5 s", "off": "0.3 s"}, ramp_up="0.2 s")
    d = deliver_stretch(made, field(), duration=1.2)
    start, end = d.record.edges[:-1], d.record.edges[1:]
    assert not d.driven[(start >= 0.5) & (end <= 0.8 - 1e-9)].any()
    cathode = np.where(d.driven, d.record.current[:, d.contacts.index(3)], 0.0)
    first_phases = cathode < 0
    np.testing.assert_allclose(-cathode[first_phases] / 2e-3, [i.factor for i in impulses(made, 1.2) if i.factor > 0])
    assert cathode[first_phases][1] == pytest.approx(-2e-3 * 0.2)
    assert d.record.edges[-1] == pytest.approx(1.2)
    with pytest.raises(BadInput, match="not within what was delivered"):
        sampled(d, 1e5, duration=1.3)
    assert len(sampled(d, 1e5, duration=0.9).time) == 90_000


def test_a_stretch_inside_a_pause_is_silent() -> None:
    made = program("tonic", cycle={"on": "0.5 s", "off": "0.3 s"})
    d = deliver_stretch(made, field(), start=0.6, duration=0.1)
    assert not d.record.current.any()
    assert d.compliance == 0
    assert d.shannon == -np.inf


def test_a_closed_loop_is_asked() -> None:
    d = deliver_stretch(program("closed-loop"), field(), duration=0.1, controller=lambda number, time: 1 + number)
    cathode = d.record.current[d.driven, d.contacts.index(3)]
    np.testing.assert_allclose(cathode[cathode < 0], -2e-3 * np.arange(1, 6))


@pytest.mark.parametrize("waveform", [{"kind": "sine", "frequency": "3 kHz"}, {"kind": "tonic", "frequency": "90 Hz"}])
def test_the_clock_does_not_drift(waveform: dict[str, str]) -> None:
    made = program(waveform)
    d = deliver_stretch(made, field(), duration=0.4)
    begins = d.record.edges[:-1][np.diff(d.driven.astype(int), prepend=0) == 1] if waveform["kind"] == "tonic" else None
    due = np.array([i.time for i in impulses(made, 0.4)])
    if begins is None:  # a sine has no pauses: the first of its 32 pieces
        size = np.abs(d.record.current[:, 0])
        assert (size > 0).sum() >= 32 * (len(due) - 1)
        assert d.record.edges[-1] == pytest.approx(0.4, abs=1e-12)
        net = charges(d, due + 0.5e-6)
        assert np.abs(net).max() < 1.6e-6 * 2e-3
    else:
        np.testing.assert_allclose(begins, due, atol=1e-9)


def test_a_long_time_before_needs_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    made = program(PASSIVE)
    whole = deliver_stretch(made, field(), start=0.1, duration=0.02)
    monkeypatch.setattr("epidura.delivery.BATCH", 3)
    assert deliver_stretch(made, field(), start=0.1, duration=0.02).residual == pytest.approx(whole.residual, rel=1e-12)


@pytest.mark.parametrize(("given_time", "word"), [({"start": -1.0}, "start"), ({"duration": 0.0}, "duration"), ({"start": np.nan}, "start"),
                                                  ({"duration": np.inf}, "duration")])
def test_no_such_stretch(given_time: dict[str, float], word: str) -> None:
    with pytest.raises(BadInput) as failure:
        deliver_stretch(program(), field(), **given_time)
    assert str(failure.value).startswith(word)


def test_edges_on_samples_are_exact() -> None:
    d = deliver(program({"kind": "tonic", "shape": "symmetric", "pulse_width": "200 us"}), field())
    made = sampled(d, 100e3)
    cathode = made.current[:, d.contacts.index(3)]
    np.testing.assert_allclose(cathode[:40], [-2e-3] * 20 + [2e-3] * 20, rtol=1e-12)
    assert not cathode[40:].any()
    assert made.notes == ()


def test_what_it_says_of_itself() -> None:
    d = deliver(program({"kind": "tonic", "shape": "symmetric", "frequency": "90 Hz", "pulse_width": "205 us"}), field())
    slower, smeared = sampled(d, 100e3).notes
    assert slower == "the table lasts 11120 us where the program's stretch lasts 11111.111111 us: repeated, it runs 0.08% slower"
    assert smeared == "edges fall between samples, which hold the mean; the largest charge of a phase is 0.4 uC of 0.41 uC"
    unbalanced = sampled(deliver(program({"kind": "tonic", "shape": "monophasic"}), field()), 1e6)
    assert unbalanced.notes[0].startswith("the program itself leaves 600 nC at contact 3 in this time, a mean of 30 uA")


def test_voltages_are_those_of_ohm() -> None:
    made = program("tonic", {3: -1, "case": 1})
    d = deliver(made, field(), electronics=Electronics(np.inf, 20.0))
    table = sampled(d, 1e6, volts=True)
    assert table.volts is not None
    driven = np.isfinite(table.volts[:, 0])
    assert driven.sum() == 3300
    np.testing.assert_allclose(table.volts[driven, 0], (field().impedance[2, 2] + 20) * table.current[driven, 0], rtol=1e-9)
    np.testing.assert_allclose(table.volts[driven, 1], 0.0, atol=1e-12)


def test_a_rate_that_loses_a_phase() -> None:
    d = deliver(program("high-frequency"), field())
    with pytest.raises(BadInput) as failure:
        sampled(d, 30e3)
    assert str(failure.value) == ("rate: a phase is shorter than a sample; got 'a phase of 30 us, samples of 33.3333 us'; "
                                  "allowed: at least 34000 Hz; ten samples in a phase keep its shape")
    sampled(d, 34e3)


def test_rounding_that_leaves_charge_names_a_rate_that_does() -> None:
    # a stretch that ends in a discharge: what is left of it is rounded
    d = deliver_stretch(program({**PASSIVE, "pulse_width": "450 us"}), field(), duration=0.0012)
    with pytest.raises(BadInput) as failure:
        sampled(d, 10e3, resolution=1e-3)
    words = str(failure.value)
    assert words.startswith("rate: sampling leaves charge at contact ")
    assert "allowed: up to 0.12 nC (net direct current of 0.1 uA" in words
    rate = float(words.split("take a rate of ")[1].split(" Hz")[0])
    assert np.abs(sampled(d, rate, resolution=1e-3).imbalance).max() <= 0.1e-6 * 0.0012


def test_a_lost_sample_is_found() -> None:
    made = sampled(deliver(program(), field()), 1e6)
    check_balance(made)
    current = made.current.copy()
    current[10] = 0.0
    with pytest.raises(BadInput, match="sampling leaves charge at contact 3") as failure:
        check_balance(Samples(made.time, 3 * current, None, made.contacts, made.rate, None, made.own, ()))
    assert "got '6 nC in 20 ms, 0.3 uA'; allowed: up to 2 nC (net direct current of 0.1 uA" in str(failure.value)
    assert "take a rate of 3e+06 Hz or more" in str(failure.value)
    check_balance(Samples(made.time, 0.9 * current, None, made.contacts, made.rate, None, made.own, ()))


@pytest.mark.parametrize(("more", "word"), [({"rate": 0.0}, "rate"), ({"rate": np.nan}, "rate"), ({"rate": 1e12}, "rate"),
                                            ({"rate": 1e6, "resolution": 0.0}, "resolution"), ({"rate": 1e6, "duration": -1.0}, "duration")])
def test_what_is_no_table(more: dict[str, float], word: str) -> None:
    with pytest.raises(BadInput) as failure:
        sampled(deliver(program(), field()), **more)
    assert str(failure.value).startswith(f"{word}: ")


def test_the_file(tmp_path: Any) -> None:
    d = deliver(program({"kind": "burst"}, {3: -1, 5: 0.5, "case": 0.5}), field())
    made = sampled(d, 200e3, resolution=1e-5, volts=True)
    path = write(made, "a burst\nof mine", tmp_path / "new" / "t.csv")
    text = path.read_text("utf-8").splitlines()
    assert text[0] == HEAD
    assert text[1] == "# program: a burst of mine"
    head = next(i for i, line in enumerate(text) if not line.startswith("#"))
    assert text[head] == "time_us,contact_3_mA,contact_5_mA,case_mA,contact_3_V,contact_5_V,case_V"
    back = np.genfromtxt(text[head + 1:], delimiter=",")
    np.testing.assert_allclose(back, np.hstack([made.time[:, None] * 1e6, made.current * 1e3, made.volts]), rtol=1e-11, atol=1e-15)
    assert "\n".join(text) + "\n" == "".join(lines(made, "a burst of mine"))
    assert list(path.parent.iterdir()) == [path]
    write(made, "again", path)
    other = tmp_path / "mine.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(BadInput, match="is something else and is not replaced"):
        write(made, "p", other)
    assert other.read_text() == "a,b\n1,2\n"
