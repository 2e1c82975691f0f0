"""The verb ``transmit``, the sweep of the published circuit, and both in a case, a run and a report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from gate.gate_models import products
from scipy.stats import t as student
from tiny_case import TINY, epidura, refused

import epidura as ep
from epidura.circuit import family
from epidura.errors import BadInput
from epidura.gate_page import diagram, section
from epidura.patient import Patient
from epidura.product import Canal
from epidura.program import Program
from epidura.recipe import read_recipe
from epidura.report import _figure, _table
from epidura.transmission import Gate, inhibition, places_of, summary, sweep, transmit

ZHANG = family.read({"kind": "zhang-2014"})
THRESHOLD, WEIGHT = np.linspace(1e-3, 4e-3, 300), 1.0 + np.arange(300) % 7
FAST = {"seeds": 2, "settle": "0.4 s", "duration": "1 s", "volleys": 2, "levels": 3, "frequencies": ["20 Hz"]}


@pytest.fixture(scope="module")
def canal() -> Canal:
    case = ep.read(TINY)
    return ep.build_canal(case.anatomy, case.leads, accuracy="fast")


def program(frequency: str = "50 Hz", kind: str = "tonic") -> Program:
    shape = {"pulse_width": "200 us", "shape": "symmetric"} if kind == "tonic" else {"pulse_width": "30 us"}
    made: Program = read_recipe(Program, {"name": "p", "waveform": {"kind": kind, "frequency": frequency, **shape}, "contacts": {4: -1, 5: 1}})
    return made


def patient(*areas: str, indication: str | None = None) -> Patient:
    made: Patient = read_recipe(Patient, {"pain": {"areas": list(areas), "nrs": 7}, **({"indication": indication} if indication else {})})
    return made


def with_marks(recruitment: xr.Dataset) -> xr.Dataset:
    """With the thresholds that a run adds."""
    level = recruitment.programmed_amplitude
    return recruitment.assign(discomfort_threshold=level * 1.5, perception_threshold=level * 0.7)


def through(canal: Canal, level: float, one: Program | None = None, person: Patient | None = None, **gate: object) -> xr.Dataset:
    one = one or program()
    firing, recruitment = products(THRESHOLD, WEIGHT, np.arange(0, 300, 3), level, period=min(one.waveform.period, 0.02))
    made: Gate = read_recipe(Gate, {**FAST, **gate})
    return transmit(ZHANG, made, with_marks(recruitment), [firing], [one], canal, person or patient("left-leg"))


@pytest.fixture(scope="module")
def weak(canal) -> xr.Dataset:
    """A third of the fibres of each dermatome fire."""
    return through(canal, 2e-3)


class TestTransmit:
    def test_recruited_fibres_close_the_gate(self, weak):
        assert weak.product == "transmission"
        served = weak.served.values > 0
        assert {"left L5", "left S1"} <= set(weak.place.values[served])
        share = weak.recruited_share.isel(program=0).values[served]
        # a third of the thresholds lie below 2 mA; weights turn with a period of 7
        np.testing.assert_allclose(share[:, 0], 1 / 3, atol=0.04)
        change = weak.inhibition.isel(program=0, hypothesis=0, projection=0).values
        assert (change[served] > 60).all()
        rate = weak.rate.isel(program=0, hypothesis=0, place=int(np.argmax(served)))
        assert float(rate.sel(cell="SURR").mean()) > 20 > float(weak.rate_off.sel(cell="SURR").max())

    def test_a_place_that_no_fibre_serves_is_left_exactly_as_it_is(self, weak):
        unserved = weak.served.values == 0
        assert unserved.any()
        np.testing.assert_array_equal(weak.rate.isel(program=0, hypothesis=0).values[unserved], np.broadcast_to(
            weak.rate_off.values, (int(unserved.sum()), *weak.rate_off.shape)))
        assert (weak.inhibition.isel(program=0, hypothesis=0).values[unserved] == 0).all()
        assert any("passes the leads" in note for note in weak.attrs["notes"])

    def test_numbers_come_from_the_copies(self, weak):
        """Mean and interval of the change, rate of the raster, and what the sweep gives at the programmed amplitude."""
        place = int(weak.main_place[0])
        on, off = weak.rate.isel(program=0, hypothesis=0, place=place).sel(cell="WDR").values, weak.rate_off.sel(cell="WDR").values
        change = 100 * (1 - on / off)
        half = student.ppf(0.95, 1) * change.std(ddof=1) / np.sqrt(2)
        one = weak.isel(program=0, hypothesis=0, place=place, projection=0)
        np.testing.assert_allclose([one.inhibition, one.inhibition_lower, one.inhibition_upper],
                                   [change.mean(), change.mean() - half, change.mean() + half])
        wdr = list(weak.population.values).index("WDR")
        counted = weak.spike_time.values[:, wdr] > weak.attrs["counted_from"]
        np.testing.assert_allclose(counted.sum(axis=1) / 1.0, [off[0], on[0]])
        low, at_own, high = weak.rate_at_amplitude.isel(program=0, projection=0).mean("seed").values
        np.testing.assert_allclose(weak.sweep_amplitude.values[0][[0, -1]], [1e-3, 2e-3 * 1.5], rtol=0.35)
        assert low > at_own
        assert high < 0.5 * low
        assert (np.diff(weak.share_at_amplitude.values[0]) > 0).all()

    def test_touch_and_c_fibres(self, weak):
        assert float(weak.touch_rate_off.mean()) < 0.3 * float(weak.rate_off.sel(cell="WDR").mean())
        off, on = weak.c_component_off.sum("volley").values, weak.c_component.isel(program=0, hypothesis=0).sum("volley").values
        assert (off > 15).all()  # 12 and 13 in the reference run of the first two volleys
        assert (on < 0.5 * off).all()

    def test_a_claim_about_carriers_changes_nothing_of_a_tonic_program(self, weak):
        for claim in ("asynchronous-fibres", "direct-interneuron"):
            np.testing.assert_array_equal(weak.rate.sel(hypothesis=claim).values, weak.rate.sel(hypothesis="none").values)

    def test_claims_about_10_kHz_side_by_side(self, canal):
        """Where no fibre fires, nothing changes unless a claim is switched on; then it does, each in its own way."""
        found = through(canal, 0.5e-3, program("10 kHz", "high-frequency"), volleys=0, levels=0)
        at = found.isel(program=0, place=int(found.main_place[0]))
        assert found.recruited_share.values.max() == 0
        np.testing.assert_array_equal(at.rate.sel(hypothesis="none").values, found.rate_off.values)
        assert float(at.inhibition.sel(hypothesis="asynchronous-fibres", projection="WDR")) > 20
        direct = at.rate.sel(hypothesis="direct-interneuron")
        assert float(direct.sel(cell="SURR").mean()) > 5 > float(found.rate_off.sel(cell="SURR").max())
        assert float(at.rate.sel(hypothesis="asynchronous-fibres", cell="SURR").mean()) > 1
        words = [row for one in summary(found)["programs"] for row in one["transmission"]]
        assert {row["hypothesis"] for row in words} == {"none", "asynchronous-fibres", "direct-interneuron"}

    def test_copies_do_not_depend_on_what_else_is_asked(self, canal, weak):
        alone = through(canal, 2e-3, places=1, volleys=0, levels=0, frequencies=[], hypotheses=["none"])
        place = str(alone.place.values[0])
        k = list(weak.place.values).index(place)
        np.testing.assert_array_equal(alone.rate.values[0, 0, 0], weak.rate.values[0, 0, k])

    def test_the_state_of_pain_is_that_of_the_indication_or_the_one_that_is_named(self, canal):
        plain = through(canal, 2e-3, None, patient("left-leg"), places=1, volleys=0, levels=0, frequencies=[])
        crps = through(canal, 2e-3, None, patient("left-leg", indication="crps"), places=1, volleys=0, levels=0, frequencies=[])
        named = through(canal, 2e-3, None, patient("left-leg", indication="crps"), pain="nociception", places=1, volleys=0, levels=0, frequencies=[])
        assert (plain.attrs["pain_state"], crps.attrs["pain_state"], named.attrs["pain_state"]) == ("nociception", "crps", "nociception")
        np.testing.assert_array_equal(plain.rate_off.values, named.rate_off.values)
        assert float(crps.rate_off.sel(cell="WDR").mean()) > 1.2 * float(plain.rate_off.sel(cell="WDR").mean())

    def test_a_program_without_an_amplitude_has_no_rates(self, canal):
        _, recruitment = products(THRESHOLD, WEIGHT, np.arange(300), 2e-3)
        gate: Gate = read_recipe(Gate, {**FAST, "volleys": 0})
        found = transmit(ZHANG, gate, with_marks(recruitment), [None], [program()], canal, patient("left-leg"))
        assert np.isnan(found.rate.values).all()
        assert int(found.main_place[0]) == -1
        assert "no amplitude" in section(found, _table, _figure)

    def test_a_gate_without_seeds_is_refused(self, canal):
        with pytest.raises(BadInput, match=r"gate\.seeds: there is none"):
            through(canal, 2e-3, seeds=0)

    def test_places_are_thinned_evenly_and_it_is_said(self):
        _, recruitment = products(THRESHOLD, WEIGHT, np.arange(300), 2e-3)
        person = patient("left-leg")
        every = list(person.pain.dermatomes())
        kept, words = places_of(recruitment, person, 3)
        assert [place.dermatome for place in kept] == [every[0][0], every[round((len(every) - 1) / 2)][0], every[-1][0]]
        assert words == f"the gate was looked at in 3 of {len(every)} painful dermatomes and sides"
        assert places_of(recruitment, None, 10)[0][0].name == "left L4"


class TestInhibition:
    def test_interval_of_the_mean(self):
        mean, low, high = inhibition(np.array([50.0, 20.0, 40.0]), np.array([100.0, 100.0, 80.0]))
        change = np.array([50.0, 80.0, 50.0])
        half = student.ppf(0.95, 2) * change.std(ddof=1) / np.sqrt(3)
        np.testing.assert_allclose([mean, low, high], [60.0, 60.0 - half, 60.0 + half])

    def test_excitation_is_negative_and_silence_says_nothing(self):
        assert inhibition(np.array([150.0]), np.array([100.0]))[0] == -50.0
        assert np.isnan(inhibition(np.array([0.0]), np.array([0.0]))[0])
        assert inhibition(np.array([1.0, np.nan]), np.array([2.0, 5.0]))[0] == 50.0


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, str, float], dict]:
    cases = [("both", "intact"), ("surround", "intact"), ("surround", "gaba0"), ("surround", "gly0")]
    return {(of, state, row["frequency_hz"]): row for of, state in cases
            for row in sweep(ZHANG, [0, 5, 20, 50, 100], of, state, [1, 2], duration=4.0)}


class TestSweep:
    def test_an_optimum_band_only_where_the_receptive_field_is_driven_too(self, rows):
        both = [rows["both", "intact", f]["wdr_hz"] for f in (0.0, 5.0, 20.0, 50.0, 100.0)]
        around = [rows["surround", "intact", f]["wdr_hz"] for f in (0.0, 5.0, 20.0, 50.0, 100.0)]
        assert both[2] < 0.5 * both[0]
        assert both[4] > 2 * both[2]
        assert around == sorted(around, reverse=True)
        assert around[-1] < 2

    def test_without_gaba_the_surround_does_nothing_and_without_glycine_it_still_does(self, rows):
        off, on = rows["surround", "gaba0", 0.0]["wdr_hz"], rows["surround", "gaba0", 50.0]["wdr_hz"]
        assert on == off > 1.5 * rows["surround", "intact", 0.0]["wdr_hz"]
        assert rows["surround", "gly0", 50.0]["wdr_hz"] < 5 < rows["surround", "gly0", 0.0]["wdr_hz"]

    def test_a_row_holds_every_input_and_all_cells(self, rows):
        row = rows["both", "intact", 50.0]
        assert {name: row[name] for name in ("circuit", "target", "inhibition", "seeds", "dt_us", "duration_s", "share", "pattern")} == {
            "circuit": "zhang-2014", "target": "both", "inhibition": "intact", "seeds": [1, 2], "dt_us": 25.0, "duration_s": 4.0, "share": 1.0,
            "pattern": "tonic"}
        for cell in ("sg", "surr", "ex", "wdr"):
            by_seed = row[f"{cell}_hz_by_seed"]
            assert row[f"{cell}_hz"] == pytest.approx(np.mean(by_seed))
            assert row[f"{cell}_hz_sd"] == pytest.approx(np.std(by_seed, ddof=1))
        assert row["failed"] == []

    @pytest.mark.parametrize(("change", "words"), [
        ({"seeds": []}, "seeds: there is none"), ({"frequencies": []}, "frequency: there is none"),
        ({"frequencies": [10_001]}, "frequency: not one that the time step resolves; got '10001 Hz'; allowed: 0 to 10000 Hz"),
        ({"frequencies": [-1]}, "frequency: not one that the time step resolves"), ({"target": "all"}, "target: there is no such target"),
        ({"inhibition": "none"}, "inhibition: there is no such state"), ({"duration": 2.0}, "duration: stimulation does not begin within it"),
        ({"pain": "itch"}, "pain_state: there is no such state")])
    def test_inputs_that_cannot_be(self, change, words):
        given = {"frequencies": [50], "target": "both", "inhibition": "intact", "seeds": [1], **change}
        with pytest.raises(BadInput) as failure:
            sweep(ZHANG, **given)
        assert str(failure.value).startswith(words)


class TestInACase:
    def test_defaults_say_nothing_so_that_keys_of_cases_stay(self):
        case = ep.read(TINY)
        assert "circuit" not in case.model_dump(mode="json")
        assert "gate" not in case.model_dump(mode="json")
        assert case.key() == ep.read({**TINY, "circuit": {"kind": "zhang-2014"}, "gate": {}}).key()

    def test_round_trip(self, tmp_path):
        case = ep.read({**TINY, "circuit": {"kind": "zhang-2014", "dt": "12.5 us"}, "gate": {"seeds": 7, "pain": "crps", "frequencies": ["3 Hz"]}})
        ep.write(case, tmp_path / "c.yaml")
        assert ep.read(tmp_path / "c.yaml") == case
        assert ep.read({**TINY, "gate": "off"}).gate.seeds == 0

    @pytest.mark.parametrize(("change", "words"), [
        ({"circuit": {"kind": "zhang"}}, "circuit.kind: there is no circuit of this kind; got 'zhang'; allowed: dorsal-horn, zhang-2014"),
        ({"circuit": {"kind": "zhang-2014", "dt": "60 us"}}, "circuit.dt: not a time step that follows these neurons; got '60 us'"),
        ({"gate": {"pain": "itch"}}, "gate.pain"), ({"gate": {"frequencies": ["0 Hz"]}}, "gate.frequencies[0]"),
        ({"gate": {"hypotheses": ["magic"]}}, "gate.hypotheses")])
    def test_inputs_that_cannot_be(self, change, words):
        with pytest.raises(BadInput) as failure:
            ep.read({**TINY, **change})
        assert str(failure.value).startswith(words)


def fast_run(fields: Path, **changes: object) -> ep.Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EPIDURA_CACHE", str(fields))
        return ep.run(ep.read({**TINY, **changes}), accuracy="fast", check_field=False)


@pytest.fixture(scope="module")
def result(fields):
    return fast_run(fields, gate=FAST, firing={"fibres": 8, "duration": "60 ms"})


class TestInARun:
    def test_run_reaches_transmission(self, result, tmp_path):
        assert result.timings["gate"] > 0
        folder = ep.save(result, tmp_path / "out")
        with xr.open_zarr(folder / "products.zarr", group="transmission", consolidated=False) as again:
            xr.testing.assert_allclose(again.load(), result.transmission)
        told = json.loads((folder / "run.json").read_text())["gate"]
        assert told["circuit"] == "zhang-2014"
        assert told["pain_state"] == "failed-back-surgery"
        page = (folder / "report.html").read_text()
        assert '<section id="gate">' in page
        assert any(number.table == "gate_synapses.csv" for number in result.numbers)
        assert any("Zhang" in number.source for number in result.numbers)

    def test_off(self, fields):
        off = fast_run(fields, gate="off", firing={"fibres": 4, "duration": "60 ms"})
        assert off.transmission is None
        assert off.summary()["gate"] is None
        assert not any(number.table.startswith("gate_") for number in off.numbers)

    def test_the_page_tells_the_numbers(self, weak):
        page = section(weak, _table, _figure)
        picture = diagram(weak, 0)
        off = float(weak.rate_off.sel(cell="WDR").mean())
        on = float(weak.rate.isel(program=0, hypothesis=0, place=int(weak.main_place[0])).sel(cell="WDR").mean())
        assert f"{off:.0f} → {on:.0f} per second" in picture
        assert picture in page
        assert "has fallen by 20%" in page
        assert "as fired" in page
        assert "gate-rasters" in page


class TestCommand:
    def test_rows_as_json(self, tmp_path):
        done = epidura("gate", "--circuit", "zhang-2014", "--frequency", "0,50", "--target", "surround,both", "--inhibition", "intact",
                       "--seeds", "1", "--dt", "25 us", "--duration", "3 s", "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        rows = json.loads(done.stdout)
        assert [(row["target"], row["frequency_hz"]) for row in rows] == [("surround", 0), ("surround", 50), ("both", 0), ("both", 50)]
        again = sweep(ZHANG, [0, 50], "both", "intact", [1], duration=3.0)
        assert rows[2:] == again

    def test_table(self, here):
        done = here("gate", "--frequency", "0", "--seeds", "2", "--duration", "2.5 s")
        assert done.returncode == 0, done.stderr
        assert "zhang-2014, nociception, tonic, target both, inhibition intact, 2 seeds" in done.stdout
        assert "WDR" in done.stdout

    @pytest.mark.parametrize(("arguments", "words"), [
        (("--circuit", "zang-2014"), ("there is no circuit of this kind", "did you mean 'zhang-2014'?")),
        (("--frequency", "20000"), ("frequency", "not one that the time step resolves", "10000 Hz")),
        (("--seeds", "0"), ("seeds: there is none",)), (("--dt", "0.025"), ("dt: a bare number has no unit",)),
        (("--frequency", "ten"), ("frequency: not a number",)), (("--share", "2"), ("share: not a share",)),
        (("--target", "here"), ("target: there is no such target",)), (("--pattern", "wave"), ("pattern: there is no such pattern",))])
    def test_errors(self, here, arguments, words):
        refused(here("gate", *arguments), *words)

