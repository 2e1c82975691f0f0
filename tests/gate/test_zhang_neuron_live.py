"""The published circuit against NEURON driven here and now, with mechanisms written from docs/gate.md (``epidura.bench.neuron_gate``).

Unlike the reference data these are runs with exact rates of KDRI, and of any trains.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import gate_reference as gate
import numpy as np
import pytest

from epidura.bench import neuron_gate, neuron_peer
from epidura.bench.neuron_gate import NeuronGate
from epidura.errors import Failed
from epidura.numerics.network import simulate

REASON = neuron_peer.available()
live = pytest.mark.skipif(REASON is not None, reason=str(REASON))


@pytest.fixture(scope="module")
def neuron() -> Iterator[NeuronGate]:
    with closing(NeuronGate()) as made:
        yield made


@live
@pytest.mark.parametrize(("condition", "seed", "dt"), [("none_surrbg", 7, 0.025), ("none", 8, 0.0125), ("both50", 9, 0.025)])
def test_action_potentials_are_those_of_neuron(neuron: NeuronGate, condition: str, seed: int, dt: float) -> None:
    duration = 2300.0 if condition == "both50" else 1000.0
    member = gate.condition(condition, seed, duration)
    theirs, seconds = neuron.run(member, duration, dt)
    own = simulate(gate.network(), [member], duration, dt).times[0]
    assert seconds > 0.0
    for mine, known in zip(own, theirs, strict=True):
        assert len(mine) == len(known)
        assert np.abs(mine - known).max(initial=0.0) <= dt * 1.01
    assert sum(len(known) for known in theirs) > 50


@live
def test_comparison_sees_a_hundredth_of_a_conductance(neuron: NeuronGate) -> None:
    member = gate.condition("none", 7, 500.0)
    hillock = neuron._cells["WDR"]["hillock"]
    before = hillock.g_gate_na_hh2
    hillock.g_gate_na_hh2 = 0.99 * before
    theirs = neuron.run(member, 500.0, 0.025)[0][3]
    hillock.g_gate_na_hh2 = before
    own = simulate(gate.network(), [member], 500.0, 0.025).times[0][3]
    assert len(own) != len(theirs) or np.abs(own - theirs).max() > 0.05


@live
def test_one_circuit_at_a_time(neuron: NeuronGate) -> None:
    with pytest.raises(Failed, match="close it first"):
        NeuronGate()


def test_module_does_not_import_neuron() -> None:
    subprocess.run([sys.executable, "-c", "import epidura.bench.neuron_gate, sys; assert 'neuron' not in sys.modules"], check=True)


def test_synapse_without_calcium_names_none() -> None:
    # made from the other one by taking calcium out
    text = neuron_gate._MODS["gate_plain_synapse"]
    assert "ica" not in text
    assert "share" not in text
    assert "i = total" in text
