"""The population gate: what each addition changes, and that with none of them it is the published one."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from epidura.circuit import Wiring, family
from epidura.circuit.dorsal_horn import ADDITIONS, DorsalHorn
from epidura.circuit.zhang_2014 import Zhang2014
from epidura.errors import BadCase
from epidura.numerics.network import LEAST_DELAY, Member, peak, simulate
from epidura.recipe import read_recipe
from epidura.tables import table

Floats = NDArray[np.float64]
Trains = dict[int, Floats]
NONE = dict.fromkeys(ADDITIONS, False)


@cache
def wired(*additions: str) -> Wiring:
    return DorsalHorn(**(NONE | dict.fromkeys(additions, True))).wiring()


def fibres(wiring: Wiring, name: str) -> list[int]:
    return [k for fibre in wiring.fibres if fibre.name == name for k in fibre.members]


def run(wiring: Wiring, trains: Trains, duration: float, currents: dict[str, float] | None = None) -> dict[str, list[Floats]]:
    """Spike times of the neurons of every population; ``currents`` in nA into each neuron of a population."""
    order = sorted(trains)
    current = np.array([(currents or {}).get(cell, 0.0) for cell in wiring.cells])
    member = Member(np.concatenate([trains[k] for k in order]), np.repeat(order, [len(trains[k]) for k in order]), current=current)
    spikes = simulate(wiring.network, [member], duration, 0.025)
    assert np.isnan(spikes.failed).all()
    return {name: [t for t, cell in zip(spikes.times[0], wiring.cells, strict=True) if cell == name] for name in dict.fromkeys(wiring.cells)}


def pulses(who: list[int], frequency: float, ends: float, begins: float = 50.0) -> Trains:
    return {k: np.arange(begins, ends, 1000.0 / frequency) for k in who}


def total(counts: list[Floats]) -> int:
    return sum(len(times) for times in counts)


def same(one: Any, other: Any) -> bool:
    if is_dataclass(one):
        return type(one) is type(other) and all(same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    if isinstance(one, tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else bool(one == other)


def test_without_additions_it_is_the_published_gate() -> None:
    assert same(wired(), Zhang2014().wiring())


@pytest.mark.parametrize("additions", [(name,) for name in ADDITIONS] + [ADDITIONS])
def test_every_wiring_can_be_run(additions: tuple[str, ...]) -> None:
    made = wired(*additions)
    net = made.network
    assert not same(made, wired()), "a switch that changes nothing"
    assert [fibre.first for fibre in made.fibres] == list(np.cumsum([0, *(fibre.count for fibre in made.fibres[:-1])]))
    assert sum(fibre.count for fibre in made.fibres) == net.fibres == len(net.depression.use)  # type: ignore[union-attr]
    assert len(made.cells) == len(net.kind)
    assert len(made.inhibitory) == len(net.links.source)
    for connections, sources in ((net.afferent, net.fibres), (net.links, len(made.cells))):
        assert connections.source.max() < sources
        assert connections.target.max() < len(made.cells)
        assert (connections.weight >= 0).all()
        assert all(r < len(net.kinds[net.kind[t]].receptors) for t, r in zip(connections.target, connections.receptor, strict=True))
    assert (net.links.delay >= LEAST_DELAY).all()
    links = zip(net.links.target, net.links.receptor, made.inhibitory, strict=True)
    named = {(net.kinds[net.kind[target]].receptors[receptor].name, what) for target, receptor, what in links}
    assert named <= {("gaba-a", "gaba"), ("gaba-b", "gaba"), ("glycine", "glycine"), ("ampa", ""), ("nmda", "")}
    assert {*made.projection} <= {*made.cells}


def weights(made: Wiring) -> dict[tuple[str, str, str], float]:
    """uS by source, target and receptor, as the mean over the neurons of the target."""
    net, sums = made.network, {}
    owner = {k: fibre.name for fibre in made.fibres for k in fibre.members}
    for connections, names in ((net.afferent, owner), (net.links, dict(enumerate(made.cells)))):
        for s, t, r, w in zip(connections.source, connections.target, connections.receptor, connections.weight, strict=True):
            key = names[int(s)], made.cells[t], net.kinds[net.kind[t]].receptors[r].name
            sums[key] = sums.get(key, 0.0) + w / made.cells.count(made.cells[t])
    return sums


def test_populations_keep_the_published_total_weights() -> None:
    core, many = weights(wired()), weights(wired("populations"))
    assert many == pytest.approx(core, rel=1e-12)
    assert {name: wired("populations").cells.count(name) for name in ("SG", "SURR", "EX", "WDR")} == {"SG": 8, "SURR": 8, "EX": 4, "WDR": 2}


def test_receptive_fields_are_stretches_of_skin_of_graded_size() -> None:
    made = wired("populations")
    surround = next(fibre for fibre in made.fibres if fibre.target == "surround")
    own = made.network.afferent
    cells = [i for i, cell in enumerate(made.cells) if cell == "SURR"]
    fields_ = [set(own.source[own.target == cell]) for cell in cells]
    assert [len(field) for field in fields_] == [5, 8, 11, 14, 16, 19, 22, 25], "a third to five thirds of 15"
    assert set.union(*fields_) <= set(surround.members)
    assert len(set.union(*fields_)) > 0.8 * surround.count == 60, "together they cover the patch"
    assert not fields_[3] & fields_[7], "opposite neurons see other skin"
    assert all(fields_[k] & fields_[k + 1] for k in range(3, 7)), "neighbours share some"
    # the field of a cell holds as many of the first half of the numbers as chance allows: numbers say nothing about the skin
    assert len([k for k in fields_[-1] if k < surround.first + surround.count // 2]) not in (0, 25)
    wide = own.source[(own.target == made.cells.index("WDR")) & np.isin(own.source, fibres(made, "Abeta local"))]
    assert len(wide) == 2 * 15, "AMPA and NMDA synapses of the same 15 fibres"
    assert len(set(wide)) == 15


def test_the_seed_says_who_is_connected_and_nothing_else() -> None:
    one, other = (DorsalHorn(seed=seed).wiring() for seed in (1, 2))
    assert same(one, DorsalHorn(seed=1).wiring())
    assert not np.array_equal(one.network.afferent.source, other.network.afferent.source)
    assert np.array_equal(one.network.afferent.target, other.network.afferent.target)
    assert weights(one) == pytest.approx(weights(other))


def following(made: Wiring, share: float) -> int:
    """How many neurons of the surround fire at least once per pulse when this share of their fibres is driven at 50 Hz."""
    who = np.random.default_rng(5).permutation(fibres(made, "Abeta surround"))
    counts = [len(times) for times in run(made, pulses([int(k) for k in who[: round(share * len(who))]], 50.0, 450.0), 450.0)["SURR"]]
    return sum(count >= 20 for count in counts)


def test_populations_make_amplitude_grade_inhibition() -> None:
    core = [following(wired(), share) for share in (0.07, 0.13, 0.5, 1.0)]
    many = [following(wired("populations"), share) for share in (0.07, 0.13, 0.2)]
    tired = [following(wired("populations", "depression"), share) for share in (0.07, 0.2, 0.33, 0.53, 1.0)]
    assert core == [0, 1, 1, 1], "one neuron: all from two of 15 fibres on"
    assert many == sorted({*many}), "one neuron after the other, still within the first fifth"
    assert tired == sorted({*tired}), "with depression over the whole range"
    assert (tired[0], tired[-1]) == (0, 8)


def test_depression_ends_following_at_high_rates() -> None:
    for frequency in (100.0, 1000.0):
        strong, weak = (run(made, pulses(fibres(made, "Abeta local"), frequency, 1000.0), 1000.0) for made in (wired(), wired("depression")))
        assert total(weak["SG"]) < 0.85 * total(strong["SG"])
        assert total(weak["WDR"]) < 0.3 * total(strong["WDR"])
    low = [total(run(made, pulses(fibres(made, "Abeta local"), 2.0, 1000.0), 1000.0)["WDR"]) for made in (wired(), wired("depression"))]
    assert low[0] == low[1] > 0, "rested between pulses: nothing changes"


def test_c_fibres_are_not_depressed() -> None:
    counts = [total(run(made, pulses(fibres(made, "C"), 20.0, 800.0), 800.0)["EX"]) for made in (wired(), wired("depression"))]
    assert counts[0] == counts[1] > 5


def silence(made: Wiring) -> float:
    """ms from the last of ten pulses to the surround until the driven projection neuron fires again."""
    trains = {k: 400.0 + np.arange(10) * 10.0 for k in fibres(made, "Abeta surround")}
    (times,) = run(made, trains, 1200.0, {"WDR": 0.06})["WDR"]
    assert ((times > 100) & (times < 400)).sum() > 3, "it has to fire before"
    assert not ((times > 430) & (times < 490)).any()
    return float(times[times > 490][0]) - 490.0


def test_gaba_b_makes_inhibition_outlast_its_cause() -> None:
    without, with_it = silence(wired()), silence(wired("gaba_b"))
    assert with_it > without + 20.0


def test_gaba_b_reaches_its_share_at_the_rate_told() -> None:
    made = wired("gaba_b")
    net = made.network
    names = [net.kinds[net.kind[t]].receptors[r].name for t, r in zip(net.links.target, net.links.receptor, strict=True)]
    slow, fast = ([w for w, name in zip(net.links.weight, names, strict=True) if name == which] for which in ("gaba-b", "gaba-a"))
    assert len(slow) == len(fast) == 4
    mean = np.array(slow) * peak(45.0, 50.0) * (50.0 - 45.0) * 0.05
    assert mean == pytest.approx(0.04 * np.array(fast))
    receptor = next(r for kind in net.kinds for r in kind.receptors if r.name == "gaba-b")
    assert (receptor.rise, receptor.decay, receptor.reversal) == (45.0, 50.0, -95.0)
    assert not any(r.name == "gaba-b" for kind in net.kinds if kind.name == "inhibitory" for r in kind.receptors)


def test_presynaptic_inhibition_weakens_what_follows_a_volley() -> None:
    def rise(made: Wiring, again: float) -> tuple[float, float]:
        """mV that a single large fibre of the field adds to the inhibitory neuron, before and ``again`` ms after all others have fired."""
        first, *others = fibres(made, "Abeta local")
        at = np.array([100.0, 400.0 + again])
        members = [Member(np.concatenate([np.full(14, 400.0), extra]), np.concatenate([others, np.full(extra.size, first)]))
                   for extra in (at, at[:0])]
        traces = simulate(made.network, members, 700.0, 0.025, every=4).traces[:, made.cells.index("SG")]
        more = traces[0] - traces[1]
        steps = np.searchsorted(np.arange(traces.shape[1]) * 0.1, at)
        return tuple(float(more[k : k + 150].max()) for k in steps)  # type: ignore[return-value]

    free, held = rise(wired(), 150.0), rise(wired("presynaptic"), 150.0)
    assert held[0] == pytest.approx(free[0]), "before, nothing is changed"
    s = 0.4 * peak(10.0, 80.0) * (np.exp(-(150.0 - 6.0) / 80.0) - np.exp(-(150.0 - 6.0) / 10.0))
    assert held[1] / free[1] == pytest.approx(1 / (1 + s), abs=0.03)
    assert rise(wired("presynaptic"), 250.0)[1] / rise(wired(), 250.0)[1] > held[1] / free[1]


def test_presynaptic_inhibition_is_of_large_fibres_by_the_neurons_they_drive() -> None:
    made = wired("populations", "presynaptic")
    net, some = made.network, made.network.presynaptic
    assert some is not None
    terminal = {name: set(net.afferent.terminal[np.isin(net.afferent.source, fibres(made, name))]) for name in ("Abeta local", "Abeta surround", "C")}
    assert terminal["C"] == {-1}
    for name, cell in (("Abeta local", "SG"), ("Abeta surround", "SURR")):
        (index,) = terminal[name]
        sources = some.source[some.terminal == index]
        assert {made.cells[k] for k in sources} == {cell}
        assert some.weight[some.terminal == index].sum() == pytest.approx(0.4)


def test_nociceptive_neurons_answer_to_pain_alone_and_are_inhibited() -> None:
    made = wired("nociceptive_path")
    touch = pulses(fibres(made, "Abeta local"), 20.0, 500.0)
    felt = run(made, touch, 500.0)
    assert total(felt["WDR"]) > 5
    assert total(felt["NS"]) == 0
    rng = np.random.default_rng(1)
    hurt = {k: np.sort(rng.uniform(0, 1500.0, 15)) for name in ("Adelta", "C") for k in fibres(made, name)}
    free = run(made, hurt, 1500.0)
    gated = run(made, hurt | pulses(fibres(made, "Abeta surround"), 50.0, 1500.0), 1500.0)
    assert total(free["NS"]) > 5
    assert total(gated["NS"]) < 0.5 * total(free["NS"])
    assert made.projection == ("WDR", "NS")
    core = run(wired(), hurt, 1500.0)
    assert np.array_equal(core["WDR"][0], free["WDR"][0]), "the other path does not notice"


def test_what_unverified_numbers_decide_is_told() -> None:
    made = DorsalHorn(**(NONE | {"depression": True}))
    own = [n for n in made.numbers() if n.table == "horn_population.csv"]
    assert [n.name for n in own] == ["depression: use", "depression: recovery"]
    assert all(n.unverified and n.source for n in own)
    assert len(DorsalHorn().numbers()) > len(made.numbers()) > len(Zhang2014().numbers())
    assert {row["addition"] for row in table("horn_population")} == set(ADDITIONS)


def test_in_a_case() -> None:
    made = family.read({"kind": "dorsal-horn", "gaba_b": False, "dt": "12.5 us"})
    assert isinstance(made, DorsalHorn)
    assert not made.gaba_b
    assert made.dt == pytest.approx(12.5e-6)
    with pytest.raises(BadCase, match=r"gabab: unknown key; .*gaba_b"):
        read_recipe(DorsalHorn, {"kind": "dorsal-horn", "gabab": True})
    with pytest.raises(BadCase, match=r"seed: .*out of range.*from 0 on"):
        read_recipe(DorsalHorn, {"kind": "dorsal-horn", "seed": -1})
