"""The fast network against the plain one: the published circuit, and random networks with everything that a network may have.

Voltages differ by what float32 tables of rates lose, some 1e-5 of a share: 1e-4 mV between action potentials, more where the voltage rises by
hundreds of mV per ms.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import gate_reference as gate
import numpy as np
import pytest

from epidura.circuit.zhang_2014 import neuron
from epidura.numerics import network_reference as reference
from epidura.numerics.network import (
    Channel,
    Connections,
    Depression,
    Member,
    Network,
    Neuron,
    Pool,
    Presynaptic,
    Receptor,
    Spikes,
    simulate,
    weakened,
)

QUIET, STEEP = 3e-4, 0.3  # mV: between action potentials, and anywhere


def assert_same(own: Spikes, plain: Spikes, m: int = 0, quiet: float = QUIET) -> None:
    """Action potentials within a step, voltages alike where they move by less than 0.2 mV per step."""
    step = plain.trace_times[1]
    for mine, theirs in zip(own.times[m], plain.times[0], strict=True):
        assert len(mine) == len(theirs)
        assert np.abs(mine - theirs).max(initial=0.0) <= step * (1 + 1e-9)
    apart = np.abs(own.traces[m] - plain.traces[0])
    slow = np.abs(np.diff(plain.traces[0], axis=1, prepend=plain.traces[0][:, :1])) < 0.2
    # what an action potential a little early leaves behind is not what is asked here
    assert np.quantile(apart[slow], 0.98) < quiet
    assert apart.max() < STEEP


@pytest.mark.parametrize("published", [True, False])
def test_published_circuit(published: bool) -> None:
    member = gate.condition("none_surrbg", duration=120.0)
    plain = reference.simulate(gate.network(), member, 120.0, 0.025, 1, published)
    assert all(len(own) > 1 for own in plain.times[0])
    assert_same(simulate(gate.network(), [member], 120.0, 0.025, 1, 1, published), plain)


def point(area: float) -> Neuron:
    """A soma without any length: one compartment."""
    one = np.array([area])
    channels = (Channel("na-hh2", 0, 5e-4 * one, np.array([50.0])), Channel("k-hh2", 0, 5e-5 * one, np.array([-90.0])))
    return Neuron("point", 1e-5 * one, np.empty(0), 1e-6 * one, -65.0, channels, None, (Receptor("ampa", 0.1, 5.0, 0.0),), 0, 0, 0, -66.0, -20.0)


def patchy() -> Neuron:
    """Five compartments with every channel somewhere, and calcium in the middle ones only."""
    area, ones = np.array([300.0, 200.0, 250.0, 150.0, 100.0]), np.ones(3)
    channels = (Channel("na", 3, 2e-3 * area[3:], np.array([55.0, 60.0])), Channel("kdri", 2, 4e-4 * area[2:], np.full(3, -80.0)),
                Channel("nap", 0, 1e-6 * area[:1], np.array([50.0])), Channel("cal", 1, 1e-4 * area[1:4], 0 * ones),
                Channel("kca", 1, 3e-6 * area[1:3], np.full(2, -75.0)), Channel("caan", 2, 2e-6 * area[2:4], np.full(2, -10.0)))
    receptors = (Receptor("ampa", 0.2, 4.0, 0.0, calcium=0.05), Receptor("nmda", 3.0, 60.0, 5.0, blocked=True, calcium=0.1),
                 Receptor("gaba-b", 45.0, 50.0, -95.0))
    return Neuron("patchy", 1e-5 * area, np.array([0.05, 0.1, 0.04, 0.08]), 4e-7 * area, -68.0, channels,
                  Pool(1, np.array([2.0, 1.0, 3.0]), area[1:4]), receptors, 1, 4, 2, -64.0)


@cache
def random_network(seed: int) -> tuple[Network, Member]:
    """Several cells of a kind, in mixed order, with delays, depression, presynaptic and slow inhibition, and a current of some ms."""
    random = np.random.default_rng(seed)
    wdr = neuron("wide-dynamic-range")
    kinds = (neuron("inhibitory"), replace(wdr, receptors=(*wdr.receptors, Receptor("gaba-b", 45.0, 50.0, -95.0)), site=9), point(1200.0), patchy(),
             neuron("excitatory"))
    kind = random.permutation([0, 0, 0, 1, 1, 2, 2, 3, 3, 4])
    count = [len(kinds[k].receptors) for k in kind]

    def wires(number: int, sources: int, weight: float, delay: tuple[float, float], terminals: int) -> Connections:
        target = random.integers(len(kind), size=number)
        receptor = np.array([random.integers(count[t]) for t in target])
        weights = weight * random.uniform(0.2, 1.0, number)
        return Connections(random.integers(sources, size=number), target, receptor, weights, random.uniform(*delay, number),
                           random.integers(-1, terminals, number))

    links = wires(14, len(kind), 6e-3, (1.0, 7.0), 0)
    presynaptic = Presynaptic(random.integers(len(kind), size=5), random.integers(3, size=5), random.uniform(0.5, 2.0, 5),
                              random.uniform(1.0, 4.0, 5), np.array([1.0, 5.0, 10.0]), np.array([20.0, 30.0, 80.0]))
    network = Network(kinds, kind, 12, wires(60, 12, 4e-3, (0.0, 3.0), 3), links,
                      Depression(random.uniform(0.1, 1.0, 12), random.uniform(1.0, 200.0, 12)), presynaptic)
    fibre = random.integers(12, size=40)
    member = Member(np.sort(random.uniform(0.0, 60.0, 40)), fibre, random.uniform(0.0, 2.0, 60), random.uniform(0.0, 2.0, 14),
                    random.uniform(-0.02, 0.1, len(kind)), 7.3, 31.0)
    return network, member


@pytest.mark.parametrize(("seed", "dt", "published"), [(1, 0.025, False), (2, 0.025, True), (3, 0.05, False)])
def test_random_network(seed: int, dt: float, published: bool) -> None:
    network, member = random_network(seed)
    plain = reference.simulate(network, member, 60.0, dt, 1, published)
    assert sum(len(own) for own in plain.times[0]) > 10
    own = simulate(network, [member], 60.0, dt, 1, 1, published)
    assert own.traces.shape == (1, 10, round(60 / dt) + 1)
    assert_same(own, plain)


def other_members(network: Network, first: Member, number: int) -> list[Member]:
    """``first``, then ones that differ in everything that a member has."""
    random = np.random.default_rng(9)
    made = [first]
    for k in range(number - 1):
        times = np.sort(random.uniform(0.0, 60.0, 5 * k))
        made.append(Member(times, random.integers(12, size=len(times)), random.uniform(0.0, 2.0, 60) if k % 2 else None,
                           random.uniform(0.0, 2.0, 14) if k % 3 else None, random.uniform(-0.1, 0.3, 10) if k % 5 else None, k, 40.0 + k))
    return made


@cache
def alone() -> Spikes:
    network, member = random_network(1)
    return simulate(network, [member], 60.0, 0.025, 1, 4)


@pytest.mark.parametrize(("members", "threads"), [(1, 3), (7, 1), (8, 2), (9, 1), (17, 2)])
def test_result_does_not_depend_on_the_batch(members: int, threads: int) -> None:
    network, member = random_network(1)
    batch = other_members(network, member, members)
    order = np.random.default_rng(members).permutation(members)
    found = simulate(network, [batch[k] for k in order], 60.0, 0.025, threads, 4)
    at = int(np.flatnonzero(order == 0)[0])
    assert len(found.times) == members
    assert (found.traces[at] == alone().traces[0]).all()
    assert all((a == b).all() for a, b in zip(found.times[at], alone().times[0], strict=True))


def test_no_two_members_of_a_batch_are_mixed_up() -> None:
    network, member = random_network(1)
    batch = other_members(network, member, 17)
    together = simulate(network, batch, 60.0, 0.025, 2, 4)
    for k in (5, 8, 16):
        lonely = simulate(network, [batch[k]], 60.0, 0.025, 1, 4)
        assert (together.traces[k] == lonely.traces[0]).all()
        assert not np.array_equal(lonely.traces[0], alone().traces[0])


def test_voltages_recorded_rarely_are_among_those_recorded_often() -> None:
    network, member = random_network(1)
    often, rarely = (simulate(network, [member], 20.0, 0.025, 1, every) for every in (1, 7))
    assert (often.traces[0][:, ::7] == rarely.traces[0]).all()
    assert rarely.trace_times == pytest.approx(0.175 * np.arange(115), abs=1e-12)
    assert simulate(network, [member], 20.0, 0.025).traces.size == 0


def test_depression_is_what_was_left_by_the_events_before() -> None:
    network, member = random_network(2)
    assert network.depression is not None
    assert weakened(member.times, member.fibre, network.depression) == pytest.approx(reference.depressed(network, member), rel=1e-12)
    twice = Depression(np.array([0.25]), np.array([40.0]))
    assert weakened(np.array([5.0, 15.0]), np.zeros(2, np.int64), twice) == pytest.approx([1.0, 1 - 0.25 * np.exp(-0.25)])


# What a network is by itself


def one(current: float = 0.0, leak: float = 1e-3) -> tuple[Network, Neuron]:
    """A cell of one compartment that only leaks, 0.02 nF."""
    cell = Neuron("leak", np.array([0.02]), np.empty(0), np.array([leak]), -60.0, (), None, (Receptor("slow", 2.0, 30.0, 20.0),), 0, 0, 0, -60.0)
    return gate.isolated((cell,), [(0, 0, 0, 4e-4)]), cell


def test_current_charges_a_leak_to_ohms_law_with_its_time_constant() -> None:
    network, _ = one()
    given = Member(np.empty(0), np.empty(0, np.int64), current=np.array([0.01]), current_from=10.0, current_until=110.0)
    found = simulate(network, [given], 200.0, 0.01, every=100)
    v = found.traces[0, 0] + 60.0
    assert v[10] == 0.0
    assert v[30] == pytest.approx(10.0 * (1 - np.exp(-1.0)), rel=5e-4)  # 0.02 nF / 1 nS = 20 ms; backward Euler
    assert v[110] == pytest.approx(10.0 * (1 - np.exp(-5.0)), rel=1e-4)
    assert v[130] == pytest.approx(v[110] * np.exp(-1.0), rel=5e-4)


def test_conductance_of_an_event_peaks_at_the_weight() -> None:
    # so large a leak that the voltage follows: v - e_leak = g (e - v) / (g + leak)
    network, _ = one(leak=1.0)
    found = simulate(network, [Member(np.array([5.0]), np.array([0]))], 60.0, 0.01, every=1)
    v = found.traces[0, 0]
    g = (v + 60.0) / (20.0 - v)
    assert g.max() == pytest.approx(4e-4, rel=1e-3)
    assert 0.01 * np.argmax(g) == pytest.approx(5.0 + 60.0 / 28.0 * np.log(15.0), abs=0.05)
    assert (v[:501] == -60.0).all()


@pytest.mark.parametrize(("time", "step"), [(0.0, 0), (0.99, 40), (1.0, 40), (1.01, 40), (1.0126, 41), (1.02, 41)])
def test_an_event_acts_from_the_step_that_begins_nearest(time: float, step: int) -> None:
    network, _ = one(leak=1.0)
    found = simulate(network, [Member(np.array([time]), np.array([0]))], 3.0, 0.025, every=1)
    # the step at which it arrives sees two exponentials that still cancel
    assert np.argmax(found.traces[0, 0] > -60.0) == step + 2
    assert reference.before_step(time, 0.025) == step


# Errors


def member(times: list[float], fibre: list[int]) -> Member:
    return Member(np.array(times), np.array(fibre))


@pytest.mark.parametrize(("given", "words"), [
    ((member([2.0, 1.0], [0, 0]), 10.0, 0.025), "member 0: times of a fibre that are out of order"),
    ((member([-1.0], [0]), 10.0, 0.025), "member 0: times that are negative"),
    ((member([np.nan], [0]), 10.0, 0.025), "member 0: times that are negative or no numbers"),
    ((member([1.0], [75]), 10.0, 0.025), "member 0: fibre 75; there are 75"),
    ((member([1.0, 2.0], [0]), 10.0, 0.025), "member 0: 2 times, 1 fibres"),
    ((member([1.0], [0]), 10.0, 0.6), r"the step is 0.6 ms; allowed: above 0, up to 0.5 ms"),
    ((member([1.0], [0]), 10.0, 0.0), "the step is 0 ms"),
    ((member([1.0], [0]), 0.01, 0.025), "the duration is 0.01 ms"),
])
def test_bad_input_is_refused(given: tuple[Member, float, float], words: str) -> None:
    bad, duration, dt = given
    with pytest.raises(ValueError, match=words):
        simulate(gate.network(), [bad], duration, dt)


def test_fibres_may_be_given_in_any_order() -> None:
    a = simulate(gate.network(), [member([3.0, 1.0, 2.0], [1, 0, 0])], 5.0, 0.025, every=1)
    b = simulate(gate.network(), [member([1.0, 2.0, 3.0], [0, 0, 1])], 5.0, 0.025, every=1)
    assert (a.traces == b.traces).all()


def test_a_batch_without_members_and_a_fast_link_are_refused() -> None:
    with pytest.raises(ValueError, match="the batch has no members"):
        simulate(gate.network(), [], 10.0, 0.025)
    fast = replace(gate.network(), links=replace(gate.network().links, delay=np.full(len(gate.network().links.source), 0.5)))
    with pytest.raises(ValueError, match="delay below 1 ms"):
        simulate(fast, [member([], [])], 10.0, 0.025)


def test_a_channel_of_calcium_without_a_pool_and_an_unknown_one_are_refused() -> None:
    network, given = random_network(1)

    def with_channel(name: str, first: int) -> Network:
        extra = Channel(name, first, np.array([1e-5]), np.array([0.0]))
        return replace(network, kinds=(*network.kinds[:3], replace(network.kinds[3], channels=(extra,)), *network.kinds[4:]))

    with pytest.raises(ValueError, match="patchy: kca where there is no calcium pool"):
        simulate(with_channel("kca", 4), [given], 10.0, 0.025)
    with pytest.raises(ValueError, match="patchy: no channel sodium; there are na, kdri"):
        simulate(with_channel("sodium", 1), [given], 10.0, 0.025)
    simulate(with_channel("kca", 3), [given], 10.0, 0.025)


# What becomes unstable


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("what", ["current up", "current down", "current is no number", "weights so large that nothing is left", "negative weights"])
def test_an_unstable_member_is_reported_falls_silent_and_harms_nobody(what: str, published: bool) -> None:
    good = gate.condition("none_surrbg", duration=100.0)
    size = len(gate.network().afferent.source)
    current = {"current up": 1e3, "current down": -1e3, "current is no number": np.nan}.get(what)
    weights = {"weights so large that nothing is left": 1e308, "negative weights": -1.0}.get(what)
    bad = (replace(good, current=np.array([0.0, 0.0, 0.0, current]), current_from=50.0, current_until=60.0) if current is not None
           else replace(good, afferent=np.full(size, weights)))
    found = simulate(gate.network(), [good, bad, good], 100.0, 0.025, 1, 4, published)
    alone = simulate(gate.network(), [good], 100.0, 0.025, 1, 4, published)
    failed = found.failed[1]
    assert np.isnan(found.failed[[0, 2]]).all()
    assert 50.0 < failed <= 51.0 if current is not None else 0.0 < failed < 50.0
    assert all((own <= failed).all() for own in found.times[1])
    for m in (0, 2):
        assert (found.traces[m] == alone.traces[0]).all()
        assert all((a == b).all() for a, b in zip(found.times[m], alone.times[0], strict=True))
    if current is not None:
        # what it did before stays: the traces up to the current are those of a sound member
        assert (found.traces[1][:, :501] == alone.traces[0][:, :501]).all()
        assert sum(len(own) for own in found.times[1]) > 0


def test_the_plain_network_fails_when_the_fast_one_does() -> None:
    member = replace(gate.condition("none", duration=40.0), current=np.array([0.0, 0.0, 1e3, 0.0]), current_from=30.0)
    plain, own = reference.simulate(gate.network(), member, 40.0, 0.025), simulate(gate.network(), [member], 40.0, 0.025)
    # the fast one looks once in a ms
    assert 0.0 <= own.failed[0] - plain.failed[0] <= 1.0


# Each feature is seen by the comparison: without it the fast network is somewhere else


def _no_calcium(network: Network) -> Network:
    kinds = tuple(replace(kind, receptors=tuple(replace(receptor, calcium=0.0) for receptor in kind.receptors)) for kind in network.kinds)
    return replace(network, kinds=kinds)


def _no_block(network: Network) -> Network:
    kinds = tuple(replace(kind, receptors=tuple(replace(receptor, blocked=False) for receptor in kind.receptors)) for kind in network.kinds)
    return replace(network, kinds=kinds)


def _later(network: Network, links: bool) -> Network:
    wires = network.links if links else network.afferent
    return replace(network, **{"links" if links else "afferent": replace(wires, delay=wires.delay + 0.1)})


def _fast_slow(network: Network) -> Network:
    def change(kind: Neuron) -> Neuron:
        return replace(kind, receptors=tuple(replace(r, decay=55.0) if r.name == "gaba-b" else r for r in kind.receptors))

    return replace(network, kinds=tuple(change(kind) for kind in network.kinds))


FEATURES = {
    "presynaptic inhibition": lambda n, m: (replace(n, afferent=replace(n.afferent, terminal=np.full(60, -1))), m),
    "delay of the presynaptic inhibition": lambda n, m: (replace(n, presynaptic=replace(n.presynaptic, delay=n.presynaptic.delay + 0.5)), m),
    "depression": lambda n, m: (replace(n, depression=None), m),
    "calcium of synapses": lambda n, m: (_no_calcium(n), m),
    "magnesium": lambda n, m: (_no_block(n), m),
    "gaba-b": lambda n, m: (_fast_slow(n), m),
    "delay of links": lambda n, m: (_later(n, True), m),
    "delay of fibres": lambda n, m: (_later(n, False), m),
    "factors of fibres": lambda n, m: (n, replace(m, afferent=None)),
    "factors of links": lambda n, m: (n, replace(m, links=None)),
    "current": lambda n, m: (n, replace(m, current_until=30.9)),
}


@pytest.mark.parametrize("feature", FEATURES)
def test_comparison_sees(feature: str) -> None:
    network, member = random_network(1)
    changed, given = FEATURES[feature](network, member)
    other = simulate(changed, [given], 60.0, 0.025, 1, 4)
    with pytest.raises(AssertionError):
        assert_same(other, alone())
