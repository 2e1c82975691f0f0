"""The clinician programmer: kept potentials give the numbers of recruit, estimates come close to them, work ends when it is cancelled."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from tiny_case import tiny

from epidura import desk_program, programmer
from epidura.canal import build_canal
from epidura.case import Case, read
from epidura.errors import BadInput
from epidura.field import solve_field
from epidura.product import LeadField
from epidura.programmer import Programmer
from epidura.recruitment import recruit
from epidura.result import Result

PROGRAMS = [
    {"name": "bipole", "waveform": {"kind": "tonic", "shape": "monophasic"}, "contacts": {"4": -1, "5": 1}},
    {"name": "guarded", "waveform": {"kind": "tonic", "shape": "monophasic"}, "contacts": {"3": 0.5, "4": -1, "5": 0.5}},
    {"name": "wide", "waveform": {"kind": "tonic", "shape": "monophasic"}, "contacts": {"1": -1, "8": 1}, "amplitude": "60 % of perception"},
    {"name": "two trains", "waveform": {"kind": "tonic", "shape": "monophasic", "frequency": "20 Hz"}, "contacts": {"2": -1, "case": 1},
     "amplitude": "2 mA", "interleaved": [
         {"waveform": {"kind": "tonic", "shape": "monophasic", "frequency": "40 Hz"}, "contacts": {"6": -1, "7": 1}, "amplitude": "3 mA"}]},
    {"name": "silent", "waveform": {"kind": "fast-acting"}, "contacts": {"4": -1, "5": 1}},
]


@pytest.fixture(scope="module")
def case() -> Case:
    return read({**tiny("programs", value=PROGRAMS), "fibres": [{"kind": "dorsal-column", "count": 96}, {"kind": "dorsal-root", "count": 24}],
                 "gate": {"seeds": 2, "settle": "0.2 s", "duration": "0.5 s"}})


@pytest.fixture(scope="module")
def lead_field(case: Case) -> LeadField:
    return solve_field(build_canal(case.anatomy, case.leads, accuracy="fast"))


@pytest.fixture(scope="module")
def own(case: Case, lead_field: LeadField) -> Programmer:
    return Programmer(programmer.lay(lead_field, case.fibres))


def test_exact_thresholds_are_those_of_recruit(case: Case, lead_field: LeadField, own: Programmer) -> None:
    found = recruit(lead_field, case.fibres, case.programs[:4], case.rules)
    for k, row in enumerate(case.rows[:5]):
        exact = own.exact(row)
        np.testing.assert_array_equal(exact[0], found.threshold.values[k])
        np.testing.assert_array_equal(exact[2], found.threshold_upper.values[k])
    told = [train for i in range(4) for train in desk_program.answer(case, own, i, "exact")["trains"]]
    keys = {"perception_mA": "perception_threshold", "discomfort_mA": "discomfort_threshold", "amplitude_mA": "programmed_amplitude"}
    for k, train in enumerate(told):
        for name, key in keys.items():
            value = float(found[key][k]) * 1e3
            assert train[name] == (pytest.approx(value, rel=1e-12) if math.isfinite(value) else None)


def test_a_search_as_far_as_anybody_looks_has_the_marks_of_a_whole_one(case: Case, lead_field: LeadField) -> None:
    fresh, row, electronics = Programmer(programmer.lay(lead_field, case.fibres)), case.rows[0], desk_program.electronics_of(case)
    whole = Programmer(fresh.laid).exact(row, electronics)
    (told,) = desk_program.answer(case, fresh, 0, "exact")["trains"]
    marks = desk_program.felt_of(case, fresh.laid, row, whole[0])
    up_to = told["searched_mA"] * 1e-3
    assert marks["top_mA"] * 1e-3 <= up_to < 1.2 * marks["top_mA"] * 1e-3
    for name in ("perception_mA", "discomfort_mA", "amplitude_mA", "top_mA"):
        assert told[name] == marks[name]
    found = fresh.found(row, electronics)
    assert found is not None
    beyond = np.isinf(found.thresholds[0])
    assert 0.2 < beyond.mean() < 0.8
    np.testing.assert_array_equal(found.thresholds[:, ~beyond], whole[:, ~beyond])
    assert (whole[0, beyond] > up_to).all()
    assert (found.thresholds[1, beyond] == up_to).all()
    for name, start in marks["felt_mA"].items():
        assert told["felt_mA"][name] == (start if start is not None and start <= up_to * 1e3 else None)
    # an amplitude beyond is searched on from there, and in the end all is known
    guess = fresh.preview(row, electronics)
    np.testing.assert_array_equal(guess[~beyond], whole[0, ~beyond])
    assert (guess[beyond] >= up_to).all()
    far = case.but(programs=[{**PROGRAMS[0], "amplitude": f"{3 * up_to * 1e3:.3f} mA"}])
    assert desk_program.answer(far, fresh, 0, "preview")["quality"] == "preview"
    (told,) = desk_program.answer(far, fresh, 0, "exact")["trains"]
    assert told["searched_mA"] > 3.2 * up_to * 1e3
    np.testing.assert_array_equal(fresh.exact(row, electronics), whole)
    assert desk_program.answer(far, fresh, 0, "preview")["quality"] == "exact"


@pytest.mark.parametrize("wrong", [0.5, 2.0])
def test_marks_are_exact_however_wrong_the_preview_is(case: Case, lead_field: LeadField, monkeypatch: pytest.MonkeyPatch, wrong: float) -> None:
    fresh, row, electronics = Programmer(programmer.lay(lead_field, case.fibres)), case.rows[1], desk_program.electronics_of(case)
    whole = Programmer(fresh.laid).exact(row, electronics)[0]
    monkeypatch.setattr(Programmer, "preview", lambda self, *args: wrong * whole)
    shares: list[float] = []
    (told,) = desk_program.answer(case, fresh, 1, "exact", lambda words, share: shares.append(share))["trains"]
    marks = desk_program.felt_of(case, fresh.laid, row, whole)
    for name in ("perception_mA", "discomfort_mA", "amplitude_mA", "top_mA"):
        assert told[name] == marks[name]
    assert told["searched_mA"] >= marks["top_mA"]
    assert shares == sorted(shares)


def test_coverage_at_any_amplitude_is_that_of_a_result(case: Case, lead_field: LeadField, own: Programmer) -> None:
    found = recruit(lead_field, case.fibres, case.programs[:1], case.rules)
    result = Result(case, lead_field.canal, lead_field, found)
    told = desk_program.answer(case, own, 0, "exact")["trains"]
    seen = set()
    for level in np.linspace(0.2, 1.5, 9) * float(found.discomfort_threshold[0]):
        felt = {f"{name} {side}" for name, side in result.felt(0, level)}
        assert set(desk_program.covered(case, told, [level * 1e3])["felt"]) == felt
        seen.add(len(felt))
    assert len(seen) > 3


def test_a_preview_is_within_some_per_cent_and_says_that_it_is_one(case: Case, lead_field: LeadField) -> None:
    fresh = Programmer(programmer.lay(lead_field, case.fibres))
    first = desk_program.answer(case, fresh, 0, "preview")
    assert first["quality"] == "preview"
    desk_program.answer(case, fresh, 0, "exact")
    assert desk_program.answer(case, fresh, 0, "preview")["quality"] == "exact"
    told = desk_program.answer(case, fresh, 1, "preview")
    assert told["quality"] == "preview"
    exact = desk_program.answer(case, fresh, 1, "exact")
    for name, within in (("perception_mA", 0.1), ("discomfort_mA", 0.2)):
        assert told["trains"][0][name] == pytest.approx(exact["trains"][0][name], rel=within)
        assert told["trains"][0][name] != exact["trains"][0][name]
    guess, known = np.array(told["trains"][0]["thresholds_mA"], float), fresh.exact(case.rows[1])[0] * 1e3
    assert np.sqrt(np.mean(np.log(guess / known) ** 2)) < 0.1


def test_a_preview_of_a_known_type_under_another_load(case: Case, lead_field: LeadField, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current of a passive recharge hangs on the load, and in a burst it decides the threshold: a few fibres tell by how much."""
    waveform = {"kind": "burst", "recharge": "passive"}
    sets = ({"3": -1, "5": 1}, {"1": -0.5, "2": -0.5, "7": 0.5, "8": 0.5})
    both = read({**tiny("programs", value=[{"name": str(k), "waveform": waveform, "contacts": one} for k, one in enumerate(sets)]),
                 "fibres": [{"kind": "dorsal-column", "count": 96}]})
    first, second = both.rows
    fresh, electronics = Programmer(programmer.lay(lead_field, both.fibres)), desk_program.electronics_of(both)
    fresh.exact(first, electronics)
    guess = fresh.preview(second, electronics)
    monkeypatch.setattr(Programmer, "_scaled", lambda self, guess, *args: guess)
    fresh._previews.clear()
    unscaled = fresh.preview(second, electronics)
    known = fresh.exact(second, electronics)[0]
    off, off_unscaled = (float(np.median(np.abs(np.log(one / known)))) for one in (guess, unscaled))
    print(f"off by {off:.3f}, without a lot of fibres by {off_unscaled:.3f}")
    assert off < 0.1
    assert off < 0.7 * off_unscaled


def test_a_search_that_is_cancelled_ends_soon_and_keeps_nothing(case: Case, lead_field: LeadField) -> None:
    class Enough(Exception):
        pass

    many = read({**tiny("programs", value=PROGRAMS), "fibres": [{"kind": "dorsal-column", "count": 1200}]})
    fresh = Programmer(programmer.lay(lead_field, many.fibres))
    chunks = []

    def stop(words: str, share: float) -> None:
        chunks.append(share)
        raise Enough

    start = time.perf_counter()
    with pytest.raises(Enough):
        fresh.exact(many.programs[0], progress=stop)
    cancelled = time.perf_counter() - start
    assert len(chunks) == 1
    assert fresh.found(many.programs[0]) is None
    start = time.perf_counter()
    fresh.exact(many.programs[0])
    assert cancelled < 0.7 * (time.perf_counter() - start)  # of 19 chunks two to four were begun


def test_figures_are_at_the_amplitude_that_is_asked_for(case: Case, lead_field: LeadField) -> None:
    one, two = (desk_program.figures(case, lead_field, 0, [level]) for level in (1.0, 2.0))
    assert one is not None
    assert two is not None
    assert one["charge_per_phase_uC"] == pytest.approx(0.3, rel=1e-9)  # 1 mA for 300 us
    assert two["charge_density_uC_cm2"] == pytest.approx(2 * one["charge_density_uC_cm2"])
    assert two["shannon_k"] == pytest.approx(one["shannon_k"] + math.log10(4))
    (line,) = [each for each in two["wave"]["lines"] if each["contact"] == 4]
    assert min(line["mA"]) == pytest.approx(-2.0)
    assert desk_program.figures(case, lead_field, 0, [None]) is None
    with pytest.raises(BadInput, match="one for each train"):
        desk_program.figures(case, lead_field, 3, [1.0])


def test_a_generator_says_what_it_cannot_and_what_is_near(case: Case, lead_field: LeadField) -> None:
    fast = case.but(generator="proclaim-xr-5", programs=[{"name": "fast", "waveform": {"kind": "high-frequency"}, "contacts": {"4": -1, "5": 1}}])
    found = desk_program.figures(fast, lead_field, 0, [2.0])
    assert found is not None
    assert found["violations"]
    assert all(each["allowed"] and each["source"] for each in found["violations"])
    assert found["nearest"] is not None
    assert found["power"] is not None


def test_comparison_tells_each_program_at_its_own_amplitude(case: Case, own: Programmer) -> None:
    shares: list[float] = []
    found = desk_program.compare(case, own, [0, 2], lambda words, share: shares.append(share))
    assert [each["name"] for each in found] == ["bipole", "wide"]
    assert shares == sorted(shares)
    perception = found[1]["perception_mA"][0]
    assert perception is None or found[1]["levels_mA"][0] == pytest.approx(0.6 * perception)
    assert found[1]["felt"] == []
    assert set(found[0]["felt"]) & set(found[0]["pain"])
    assert not set(found[0]["spill"]) & set(found[0]["pain"])
    with pytest.raises(BadInput, match="no such program"):
        desk_program.compare(case, own, [9])


def test_the_gate_is_told_under_every_hypothesis(case: Case, own: Programmer) -> None:
    level = desk_program.answer(case, own, 4, "exact")["trains"][0]["amplitude_mA"]
    found = desk_program.gate(case, own, 4, [level])
    assert {row["hypothesis"] for row in found["transmission"]} == {"none", "asynchronous-fibres", "direct-interneuron"}
    assert all(row["WDR"]["hz_without"] > 0 for row in found["transmission"])
    assert found["seeds"] == 2
    with pytest.raises(BadInput, match="not known"):
        desk_program.gate(case, own, 4, [None])


def test_every_type_says_its_settings() -> None:
    found = {each["kind"]: each for each in desk_program.kinds()}
    assert {"tonic", "burst", "high-frequency", "fast-acting"} <= found.keys()
    for kind, each in found.items():
        made = read(tiny("programs", value=[{"name": "x", "waveform": {"kind": kind, **each["start"]}, "contacts": {"4": -1, "5": 1}}]))
        assert made.programs[0].waveform.kind == kind
        assert all(setting["help"] for setting in each["settings"]), kind
    assert not found["burst"]["felt"]
    assert found["burst"]["unverified"]
    width = next(each for each in found["tonic"]["settings"] if each["name"] == "pulse_width")
    assert width["default"] == "300 us"


def test_leads_are_drawn_as_they_lie() -> None:
    case = read({**tiny(), "leads": [{"kind": "paddle", "model": "specify-5-6-5", "tip_vertebra": "T8"}]})
    (lead,) = desk_program.layout(case)
    assert [each["number"] for each in lead["contacts"]] == list(range(1, 17))
    left, right = lead["contacts"][0], lead["contacts"][15]
    assert left["x_mm"] < 0 < right["x_mm"]
    assert lead["contacts"][0]["z_mm"] > lead["contacts"][4]["z_mm"]


def test_an_amplitude_that_follows_from_fibres_is_not_held_against_steps(case: Case, lead_field: LeadField) -> None:
    def quantities(amplitude: str, level: float) -> set[str]:
        own = case.but(generator="evoke", programs=[{"name": "x", "waveform": {"kind": "tonic", "shape": "symmetric"}, "contacts": {"4": -1, "5": 1},
                                                     "amplitude": amplitude}])
        found = desk_program.figures(own, lead_field, 0, [level])
        assert found is not None
        return {each["quantity"] for each in found["violations"]}

    assert "amplitude" in quantities("3 mA", 3.012)
    assert "amplitude" not in quantities("auto", 3.012)
    assert "amplitude" in quantities("auto", 400.0)
