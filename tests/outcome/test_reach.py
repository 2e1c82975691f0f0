"""What a program reaches in one patient: each number beside the product that it comes from, and the rank among virtual patients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_case import TINY

import epidura as ep
from epidura import reach
from epidura.errors import BadInput
from epidura.recruitment import Engine
from epidura.result import Result

SUB = {"name": "burst", "waveform": {"kind": "burst", "frequency": "40 Hz", "intra_frequency": "500 Hz", "pulses": 2, "pulse_width": "500 us"},
       "contacts": {4: -1, 5: 1}, "amplitude": "60 % of perception"}
GATE = {"seeds": 2, "settle": "0.05 s", "duration": "0.2 s", "places": 3, "volleys": 0, "levels": 4, "frequencies": []}


@pytest.fixture(scope="module")
def result() -> Result:
    tiny = {**TINY, "programs": [*TINY["programs"], SUB], "gate": GATE, "firing": {"fibres": 8, "duration": "60 ms"}}
    return ep.run(ep.read(tiny), check_field=False)


@pytest.fixture(scope="module")
def found(result) -> tuple[reach.Reach, ...]:
    return reach.reaches(result)


def test_coverage_is_that_of_the_report(result, found):
    told = result.summary()["programs"]
    for one, row in zip(found, told, strict=True):
        assert one.coverage == pytest.approx(row["pain_covered"], abs=1e-6)
        assert one.coverable == pytest.approx(row["pain_covered_at_discomfort"], abs=1e-6)
        assert one.amplitude * 1e3 == pytest.approx(row["amplitude_mA"], abs=1e-5)
        assert one.usage_range == pytest.approx(row["discomfort_threshold_mA"] / row["perception_threshold_mA"], rel=1e-4)
        assert one.margin == pytest.approx(row["amplitude_mA"] / row["discomfort_threshold_mA"], rel=1e-4)


def test_spill_counts_what_is_felt_and_does_not_hurt(result, found):
    tonic = found[0]
    names = {(side, name) for side, name in (place.split() for place in result.summary()["programs"][0]["felt"])}
    pain = {(side, name) for name, side in result.case.patient.pain.dermatomes()}
    assert tonic.felt
    assert 0 < tonic.spill == pytest.approx(len(names - pain) / len(names))


def test_below_perception_nothing_is_felt_by_definition(found):
    burst = found[1]
    assert not burst.felt
    assert burst.coverage == 0
    assert np.isnan(burst.spill)
    assert burst.coverable > 0
    assert burst.amplitude == pytest.approx(0.6 * burst.perception)


def test_recruited_fibres_are_counted_by_weight_where_it_hurts(result, found):
    at, pain = result.recruitment.isel(program=0), set(result.case.patient.pain.dermatomes())
    fires = total = 0.0
    for k in range(at.sizes["fibre"]):
        if at.fibre_population[k].item() == "dorsal-column" and (at.segment[k].item(), at.side[k].item()) in pain:
            total += float(at.weight[k])
            fires += float(at.weight[k]) * (float(at.threshold[k]) <= float(at.programmed_amplitude))
    assert 0 < found[0].recruited == pytest.approx(fires / total)
    assert reach.recruited(result.recruitment.isel(program=[0]), set()) == 0


def test_inhibition_is_the_mean_over_places_and_neurons(result, found):
    for i, one in enumerate(found):
        for name, value in one.inhibition.items():
            values = result.transmission.inhibition.isel(program=i).sel(hypothesis=name).values
            assert value == pytest.approx(np.nanmean(values) / 100)
    assert set(found[0].inhibition) == set(result.transmission.hypothesis.values)


def test_the_gate_closes_where_half_of_the_firing_is_left(result):
    gate = result.transmission.copy(deep=True)
    programmed = float(result.recruitment.programmed_amplitude[0])
    amplitude = gate.sweep_amplitude.values[0]
    assert amplitude[0] == pytest.approx(0.5 * programmed)
    off = gate.rate_off.sel(cell=gate.projection.values).mean("seed").values
    for k, kept in enumerate((1.0, 0.75, 0.25, 0.1)):
        gate.rate_at_amplitude.values[0, k] = kept * off[:, None]
    assert reach.closing(gate, 0) == pytest.approx(np.sqrt(amplitude[1] * amplitude[2]) / programmed)
    gate.rate_at_amplitude.values[0] = off[:, None]
    assert reach.closing(gate, 0) == np.inf
    gate.main_place.values[0] = -1
    assert np.isnan(reach.closing(gate, 0))


def test_crossing():
    factor = np.array([0.5, 1.0, 2.0, 4.0])
    assert reach.crossing(factor, np.array([1.0, 1.0, 0.6, 0.4])) == pytest.approx(2 * 2**0.5)
    assert reach.crossing(factor, np.array([0.4, 1.0, 1.0, 1.0])) == 0.5
    assert reach.crossing(factor, np.array([1.0, 0.5, 0.9, 0.1])) == 1.0  # the first of several
    assert np.isnan(reach.crossing(factor, np.full(4, np.nan)))


def test_without_a_patient_there_is_nothing_to_cover(result):
    alone = reach.reaches(replace(result, case=result.case.but(patient=None), transmission=None))[0]
    assert np.isnan([alone.coverage, alone.coverable, alone.spill, alone.closing]).all()
    assert alone.felt
    assert alone.recruited > 0
    assert alone.inhibition == {}


def test_a_perception_that_is_not_reached():
    case = ep.read({**TINY, "gate": "off", "firing": "off"})
    one = reach.reaches(ep.run(case, check_field=False, engine=Engine(ceiling=1e-5)))[0]
    assert one.perception == np.inf
    assert not one.felt
    assert one.coverable == 0
    assert np.isnan([one.coverage, one.spill, one.usage_range, one.margin, one.recruited, one.amplitude]).all()


def test_ties_stand_in_their_middle():
    share = np.linspace(0, 1, 11)
    quantile = np.array([0, 0, 0, 0, 0, 0, 0, 0.1, 0.2, 0.2, np.inf])
    assert reach.standing(0.0, share, quantile) == pytest.approx(0.3)
    assert reach.standing(0.2, share, quantile) == pytest.approx(0.85)
    assert reach.standing(0.15, share, quantile) == pytest.approx(0.75)
    assert reach.standing(5.0, share, quantile) == pytest.approx(0.95)
    assert reach.standing(-1.0, share, quantile) == 0.0
    assert reach.standing(np.inf, share, quantile) == 1.0
    with pytest.raises(BadInput, match="value: is not a number"):
        reach.standing(float("nan"), share, quantile)


def test_all_the_same_is_the_middle():
    assert reach.standing(3.0, np.linspace(0, 1, 21), np.full(21, 3.0)) == 0.5


def test_the_reference_holds_every_quantity_of_three_programs():
    for program in ("tonic", "burst", "10 kHz"):
        for quantity in reach.RANKED:
            hypotheses = ("none", "asynchronous-fibres", "direct-interneuron") if quantity == "inhibition" else ("none",)
            for hypothesis in hypotheses:
                share, value = reach.reference(program, quantity, hypothesis)
                assert share == pytest.approx(np.linspace(0, 1, 21))
                assert (np.sort(value) == value).all()
                assert 0 <= reach.rank(float(value[10]), program, quantity, hypothesis) <= 1


@pytest.mark.parametrize(("given", "words"), [
    (("tonik", "coverage"), "program: there is no such row in data/reach_reference.csv; got 'tonik'; allowed: 10 kHz, 10 kHz after a session, "
                              "burst, burst after a session, tonic, tonic after a session"),
    (("tonic", "cover"), "quantity: there is no such row"),
    (("tonic", "inhibition", "nothing"), "hypothesis: there is no such row"),
])
def test_what_the_reference_does_not_hold(given, words):
    with pytest.raises(BadInput) as failure:
        reach.rank(0.5, *given)
    assert words in str(failure.value)
