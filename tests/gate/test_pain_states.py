"""Pain states: a preset for every indication that says what is known, and what a state does to a circuit."""

from __future__ import annotations

import numpy as np
import pytest
from gate_models import small_wiring

from epidura.errors import BadInput
from epidura.numerics.network import Connections
from epidura.pain_state import INHIBITION, PainState, fibre_class, inhibition, of_indication, opened, preset, presets
from epidura.patient import indications
from epidura.recipe import read_recipe
from epidura.tables import EVIDENCE, table


@pytest.mark.parametrize("indication", indications())
def test_every_indication_has_a_preset_that_says_what_is_known_and_assumed(indication):
    found = of_indication(indication)
    assert found.name == indication
    assert found.indication
    for sentence in (found.known, found.assumed):
        assert sentence.endswith(".")
        assert len(sentence) > 30
    assert found.known_source
    assert found.known_evidence in EVIDENCE
    assert found.evidence == "judgement"  # no number of a patient's dorsal horn was measured
    assert all(number.unverified and number.table == "pain_states.csv" for number in found.numbers())


def test_presets_are_the_indications_and_the_recipes():
    assert {one.name for one in presets(True)} == set(indications())
    assert {one.name for one in presets(False)} == {"nociception", "neuropathic", "gaba-off", "glycine-off", "spontaneous", "allodynia",
                                                    "silence", "touch"}
    assert len(presets()) == len(table("pain_states").column("name"))


def test_the_default_is_healthy_nociception():
    assert of_indication(None).state == PainState() == preset("nociception").state
    assert PainState().key() == preset("nociception").state.key()


@pytest.mark.parametrize("one", presets(), ids=lambda one: one.name)
def test_a_state_written_and_read_again_is_equal(one):
    assert read_recipe(PainState, one.state.model_dump(mode="json")) == one.state


@pytest.mark.parametrize(("name", "rates"), [("silence", (0, 0, 0)), ("touch", (8.92, 0, 0)), ("nociception", (8.92, 8.39, 2.65)),
                                             ("spontaneous", (8.92, 0, 0.82)), ("angina", (8.92, 8.39, 2.51))])
def test_rates_of_the_classes(name, rates):
    state = preset(name).state
    assert [state.activity(fibres).rate for fibres in ("Abeta local", "Adelta", "C")] == pytest.approx(rates)


@pytest.mark.parametrize(("name", "expected"), [("intact", [1, 1, 1]), ("gaba0.5", [0.5, 1, 1]), ("gaba0", [0, 1, 1]), ("gly0", [1, 0, 1])])
def test_inhibition_weakens_links_of_its_kind(name, expected):
    gaba, glycine = inhibition(name)
    assert PainState(gaba=gaba, glycine=glycine).links(small_wiring()).tolist() == expected


def test_recipes_have_the_inhibition_of_their_names():
    for recipe, name in (("nociception", "intact"), ("neuropathic", "gaba0.5"), ("gaba-off", "gaba0"), ("glycine-off", "gly0")):
        state = preset(recipe).state
        assert (state.gaba, state.glycine) == INHIBITION[name]


class TestOpenedLink:
    def test_large_fibres_reach_the_cells_that_pain_excites(self):
        before, after = small_wiring(), preset("allodynia").state.rewired(small_wiring())
        own: Connections = after.network.afferent
        count = before.network.afferent.source.size
        assert own.source[count:].tolist() == list(range(15))
        assert set(own.target[count:].tolist()) == {before.cells.index("EX")}  # neither projection nor inhibitory cell
        assert set(own.receptor[count:].tolist()) == {1}
        assert own.weight[count:] == pytest.approx(0.2 * 8e-3)
        assert own.delay[count:].tolist() == [0.25] * 15
        assert own.terminal[count:].tolist() == [3] * 15  # inhibited with the other terminals of the fibre
        for name in ("source", "target", "receptor", "weight", "delay", "terminal"):
            assert np.array_equal(getattr(own, name)[:count], getattr(before.network.afferent, name))

    def test_closed_leaves_the_circuit_alone(self):
        wiring = small_wiring()
        assert PainState().rewired(wiring) is wiring

    def test_a_circuit_without_it_is_refused(self):
        from dataclasses import replace

        wiring = replace(small_wiring(), projection=("WDR", "EX"))
        with pytest.raises(BadInput, match=r"pain_state.opened: this circuit has no such link to open; got '15 fibres .*, 0 cells"):
            opened(wiring, 0.5)


class TestErrors:
    def test_unknown_names_get_a_hint(self):
        with pytest.raises(BadInput, match=r"inhibition: there is no such state; got 'gaba05'; allowed: intact, gaba0.5, gaba0, gly0; did you mean"):
            inhibition("gaba05")
        with pytest.raises(BadInput, match=r"pain_state: there is no such state; got 'neuropathy'; .*did you mean 'neuropathic'"):
            preset("neuropathy")
        with pytest.raises(BadInput, match=r"patient.indication: there is no such indication"):
            of_indication("gout")  # type: ignore[arg-type]
        with pytest.raises(BadInput, match="fibres: of no class whose firing is known; got 'A-beta'"):
            fibre_class("A-beta")

    @pytest.mark.parametrize("change", [{"gaba": 1.5}, {"glycine": -0.1}, {"opened": 2}, {"c": {"rate": "-1 Hz", "variation": 0.4}},
                                        {"c": {"rate": "3", "variation": 0.4}}, {"gabba": 1}])
    def test_numbers_that_cannot_be_are_refused(self, change):
        with pytest.raises(BadInput):
            read_recipe(PainState, change)
