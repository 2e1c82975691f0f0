"""The run beside its products: which fibres the field is checked on, and what is said of its error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy.special import gamma
from tiny_case import SHORT_GATE, TINY, tiny

import epidura as ep
from epidura import study
from epidura.delivery import Electronics
from epidura.errors import BadInput
from epidura.product import Canal, FieldError, LeadField


def point_sources(canal: Canal, scale: float = 1.0) -> LeadField:
    """V/A of a point source in an infinite medium of 0.25 S/m at the middle of each contact."""
    places = np.array([[shaft.x, shaft.y, (c.z0 + c.z1) / 2] for shaft in canal.shafts for c in shaft.contacts])

    def sample(points: np.ndarray) -> np.ndarray:
        return scale / (np.pi * np.linalg.norm(points[None] - places[:, None], axis=2))

    impedance = scale * (500.0 * np.eye(len(places)) + 100.0)
    return LeadField(tuple(c.number for c in canal.contacts), impedance, sample, canal)


@pytest.fixture(scope="module")
def case() -> ep.Case:
    return ep.read(TINY)


@pytest.fixture(scope="module")
def quiet(case) -> ep.Case:
    """The case of a run whose test is about neither the firing in time nor the gate."""
    return case.but(gate="off", firing="off")


@pytest.fixture(scope="module")
def canal(case) -> Canal:
    return ep.build_canal(case.anatomy, case.leads)


def test_the_field_is_checked_beside_the_contacts(case, canal):
    paths = study.checked_paths(case, canal)
    assert len(paths) == 24  # all fibres of the dorsal columns of the tiny case
    low, high = min(c.z0 for c in canal.contacts), max(c.z1 for c in canal.contacts)
    for path in paths:
        assert path[0, 2] == pytest.approx(low - 3e-3)
        assert path[-1, 2] == pytest.approx(high + 3e-3)
        assert np.diff(path[:, 2]) == pytest.approx(1e-3, rel=0.02)
    many = ep.read(tiny("fibres", value=[{"kind": "dorsal-column", "count": 5000}]))
    assert len(study.checked_paths(many, canal)) == 64
    roots = ep.read(tiny("fibres", value=[{"kind": "dorsal-root", "count": 24}]))
    assert 0 < len(study.checked_paths(roots, canal)) <= 24


def test_the_error_is_the_difference_from_the_coarser_field(case, canal, monkeypatch):
    built: list[str] = []

    def solve(coarse: Canal, cache: object = None, device: str = "cpu", **_: object) -> LeadField:
        built.append(coarse.accuracy)
        return point_sources(coarse, 1.02)

    monkeypatch.setattr(study, "solve_field", solve)
    error = study.check(case, point_sources(canal))
    assert built == ["fast"]
    assert error is not None
    assert (error.potential, error.second_difference, error.impedance) == pytest.approx((0.02, 0.02, 0.02), rel=1e-6)
    assert error.notes == ()


def test_a_coarser_field_that_fell_back_is_said(case, canal, monkeypatch):
    notes = {"fallback": 1.0, "stalled_at": 3e-2, "stalled_after": 40.0, "iterations": 17.0}
    monkeypatch.setattr(study, "solve_field", lambda coarse, cache=None, device="cpu", **_: replace(point_sources(coarse), notes=notes))
    error = study.check(case, point_sources(canal))
    assert error is not None
    (words,) = error.notes
    assert words.startswith("check of the field: the field's first method stalled at a residual of 3.0e-02 after 40 steps; multigrid reached")


def test_the_coarsest_field_is_not_checked(case, canal):
    with pytest.raises(BadInput, match="accuracy: there is no coarser one to compare it with; got 'fast'; allowed: standard, reference"):
        study.check(case, point_sources(replace(canal, accuracy="fast")))


def test_a_run_on_cuda_says_where_its_field_was_computed(quiet, monkeypatch):
    asked: list[str] = []

    def solve(canal: Canal, cache: object = None, device: str = "cpu", **_: object) -> LeadField:
        asked.append(device)
        return point_sources(canal)

    monkeypatch.setattr(study, "solve_field", solve)
    monkeypatch.setattr(study, "pick_device", lambda device: (device, ()))
    assert study.ITERATED in ep.run(quiet, device="cuda", cache=False).warnings
    assert asked == ["cuda", "cuda"]  # the field, and the coarser one that it is checked with
    assert study.ITERATED not in ep.run(quiet, device="cpu", cache=False, check_field=False).warnings
    monkeypatch.setattr(study, "direct", lambda canal: True)
    assert study.ITERATED not in ep.run(quiet, device="cuda", cache=False, check_field=False).warnings


def test_a_run_says_how_good_its_field_is(quiet, monkeypatch):
    """In the result, in the summary, in the report and in the timings; not when it is switched off."""
    monkeypatch.setattr(study, "solve_field", lambda canal, **_: point_sources(canal))
    monkeypatch.setattr(study, "check", lambda *_, **__: FieldError(0.0012, 0.034, 0.0056))
    result = ep.run(quiet, cache=False)
    assert result.summary()["accuracy"] == "standard"
    assert result.summary()["field_error"] == {"potential": 0.0012, "second_difference": 0.034, "impedance": 0.0056}
    assert "field check" in result.timings
    from epidura.report import field_words

    words = field_words(result)
    assert "accuracy standard" in words
    for number in ("0.12%", "3.40%", "0.56%"):
        assert number in words
    for other in (ep.run(quiet, cache=False, check_field=False), ep.run(quiet, cache=False, accuracy="fast")):
        assert other.field_error is None
        assert "field check" not in other.timings
        assert "not compared with another one" in field_words(other)
        assert "docs/field.md" in field_words(other)


def with_interface(**changes: object) -> ep.Result:
    """A run of the tiny case at 3 mA, once between 4 and 5 and once, in packets, against the case; 600 ohm around each contact."""
    first = TINY["programs"][0]
    packets = {"name": "packets", "waveform": {"kind": "burst"}, "contacts": {4: -1, "case": 1}, "amplitude": "3 mA"}
    programs = [{**first, "amplitude": "3 mA"}, packets]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "solve_field", lambda canal, **_: point_sources(canal))
        return ep.run(ep.read({**TINY, "programs": programs, "gate": "off", "firing": "off", **changes}), cache=False, accuracy="fast")


@pytest.fixture(scope="module")
def covered() -> ep.Result:
    """A run with the interface of platinum."""
    return with_interface(interface={})


def test_a_run_says_what_the_interface_adds(covered, tmp_path):
    """Numbers by hand from the power law (charge transfer is 0.3 % of it at 32 Hz); kept in the summary and on disk."""
    result = covered
    area = next(contact.area for contact in result.canal.contacts if contact.number == 4)
    own = 1.57 / area * (2 * np.pi * 1e3) ** -0.91 * np.exp(-0.5j * np.pi * 0.91)
    summary = result.summary()
    assert summary["interface"]["measured_at_Hz"] == 1000
    assert summary["interface"]["charge_transfer"] == "20.0 ohm m2"
    assert len(summary["interface"]["unverified"]) == 4
    pair, packets = (program["interface"] for program in summary["programs"])
    (between,) = pair["pairs"]
    assert between["contacts"] == [4, 5]
    assert between["tissue_ohm"] == pytest.approx(1000)
    assert between["measured_ohm"] == pytest.approx(abs(1000 + 2 * own), rel=1e-4)
    assert [row["contact"] for row in pair["to_case"]] == [4, 5]
    assert pair["to_case"][0]["measured_ohm"] == pytest.approx(abs(600 + own), rel=1e-4)
    assert pair["tissue_voltage_V"] == pytest.approx(3)
    assert pair["voltage_V"] == pytest.approx(3 + 2 * 3e-3 * 1.57 * 300e-6**0.91 / gamma(1.91) / area, rel=1e-4)
    assert pair["pulse_frequency_Hz"] == pytest.approx(1 / (2 * np.pi * 300e-6))
    wagner = 1.57 * 300e-6**0.91 / area / 600
    assert pair["wagner"] == pytest.approx({"4": wagner, "5": wagner}, rel=1e-3)
    assert pair["field"].startswith(f"Wagner number {wagner:.2g}, below 1 but not far below")
    assert not pair["uses_case"]
    assert "case" not in pair
    assert packets["pairs"] == []
    assert packets["uses_case"]
    assert "far boundary" in packets["case"]
    assert packets["voltage_V"] == pytest.approx(1.8 + 3e-3 * 1.57 * 1e-3**0.91 / gamma(1.91) / area, rel=1e-3)
    # five pulses of 1 ms before the recharge
    assert packets["wagner"]["4"] == pytest.approx(1.57 * 5e-3**0.91 / area / 600, rel=5e-3)
    assert packets["wagner"]["4"] > 1
    assert [words for words in summary["warnings"] if "Wagner" in words] == [
        f"program packets: Wagner number {packets['wagner']['4']:.2g} of its contacts, not below 1: current leaves the contacts more evenly than in "
        "the field, which is not a good model close to them"]
    assert "interface" in result.timings
    assert {number.table for number in result.numbers} >= {"interface.csv"}
    folder = ep.save(result, tmp_path / "out")
    assert ep.read(folder / "case.yaml") == result.case
    with xr.open_zarr(folder / "products.zarr", group="interface", consolidated=False) as again:
        xr.testing.assert_allclose(again.load(), result.interface)
        assert again.attrs["key"] == result.case.key()
        assert again.voltage.attrs["units"] == "V"


def test_without_an_interface_a_run_is_as_it_was(covered, tmp_path):
    bare = with_interface()
    assert bare.interface is None
    assert "interface" not in bare.summary()
    assert not any("interface" in program for program in bare.summary()["programs"])
    assert "interface" not in bare.timings
    assert not any(number.table == "interface.csv" for number in bare.numbers)
    assert not (ep.save(bare, tmp_path / "out") / "products.zarr" / "interface").exists()
    xr.testing.assert_identical(bare.recruitment, covered.recruitment)  # it changes no threshold


def test_a_program_without_an_amplitude_has_no_voltages(covered):
    silent = covered.interface.assign(voltage=covered.interface.voltage * np.nan, tissue_voltage=covered.interface.tissue_voltage * np.nan)
    program = replace(covered, interface=silent).summary()["programs"][0]["interface"]
    assert program["voltage_V"] is None
    assert program["pairs"][0]["measured_ohm"] > 1000


@pytest.mark.slow
def test_a_run_delivers_and_follows_its_programs(monkeypatch, tmp_path):
    """Of a program with two trains one delivery and one product in time; a generator's limits are warnings; all of it is saved."""
    monkeypatch.setattr(study, "solve_field", lambda canal, **_: point_sources(canal))
    program = {**TINY["programs"][0], "waveform": {"kind": "tonic", "pulse_width": "300 us"}}
    other = {"waveform": {"kind": "tonic", "frequency": "90 Hz", "pulse_width": "90 us"}, "contacts": {2: -1, 3: 1}, "amplitude": "1 mA"}
    programs = [{**program, "interleaved": [other]}, {**program, "name": "strong", "amplitude": "40 mA"}]
    case = ep.read({**TINY, "programs": programs, "generator": "restore", "firing": {"duration": "30 ms", "fibres": 5},
                    "gate": SHORT_GATE})
    result = ep.run(case, cache=False, accuracy="fast")
    levels = result.recruitment.programmed_amplitude.values
    assert [len(levels_) for levels_ in study.amplitudes(case, result.recruitment)] == [2, 1]
    assert [one.amplitude for one in result.deliveries] == [pytest.approx(tuple(levels[:2])), (40e-3,)]
    assert [one.sizes["fibre"] for one in result.firing] == [5, 5]
    assert all(float(one.duration) == 30e-3 for one in result.firing)
    assert "delivery" in result.timings
    assert "firing" in result.timings
    assert [str(one) for i in (0, 1) for one in result.violations(i)] == [words for words in result.warnings if words.startswith("programs[")]
    assert {number.table for number in result.numbers} >= {"generators.csv"}
    folder = ep.save(result, tmp_path / "out")
    with xr.open_zarr(folder / "products.zarr", group="firing/1", consolidated=False) as again:
        xr.testing.assert_allclose(again.load(), result.firing[1])
    silent = ep.run(case.but(firing="off"), cache=False, accuracy="fast")
    assert silent.firing == ()
    assert "firing" not in silent.timings


@pytest.mark.parametrize(("model", "waveform", "amplitude", "words", "solved"), [
    ("vanta", {"kind": "high-frequency"}, "auto", "programs[0].waveform.frequency: frequency is not what vanta can deliver; got '10000 Hz'", False),
    ("senza", {"kind": "tonic", "shape": "monophasic"}, "auto", "programs[0].contacts.4: the charge does not come back", True),
    ("hfx-iq", {"kind": "tonic"}, "12 mA", "programs[0].amplitude: voltage needed is not what hfx-iq can deliver", True),
    ("nonesuch", {"kind": "tonic"}, "auto", "generator: ", False),
])
def test_what_a_generator_cannot_do_stops_a_run_before_the_fibres(monkeypatch, model, waveform, amplitude, words, solved):
    done = []
    monkeypatch.setattr(study, "solve_field", lambda canal, **_: done.append("field") or point_sources(canal))
    monkeypatch.setattr(study, "recruit", lambda *_: done.append("fibres"))
    program = {**TINY["programs"][0], "waveform": waveform, "amplitude": amplitude}
    with pytest.raises(ep.BadInput) as failure:
        ep.run(ep.read({**TINY, "programs": [program], "generator": model}), cache=False, accuracy="fast")
    assert str(failure.value).startswith(words)
    assert done == (["field"] if solved else [])


def test_what_has_no_amplitude_is_neither_delivered_nor_followed(case, canal):
    field = point_sources(canal)
    nothing = xr.Dataset({"programmed_amplitude": ("program", [np.nan]), "threshold": (("program", "fibre"), np.full((1, 2), np.inf)),
                          "weight": ("fibre", np.ones(2))})
    assert study.deliver_all(case, field, nothing, Electronics()) == (None,)
    assert study.fire_all(case, field, nothing, ep.Engine(), Electronics(), lambda words, share: None) == (None,)


def test_a_run_says_that_multigrid_took_over(quiet, monkeypatch):
    """In the warnings, which report, summary and command line show."""
    notes = {"fallback": 1.0, "stalled_at": 0.02, "stalled_after": 100.0, "iterations": 31.0}
    monkeypatch.setattr(study, "solve_field", lambda canal, **_: replace(point_sources(canal), notes=notes))
    result = ep.run(quiet, cache=False, check_field=False)
    words = "the field's first method stalled at a residual of 2.0e-02 after 100 steps; multigrid reached 1e-04 in 31 iterations"
    assert words in result.summary()["warnings"]
    from epidura.report import render

    assert "stalled at a residual of 2.0e-02" in render(result)


def test_a_run_says_how_far_its_field_is_and_can_be_ended_there() -> None:
    class Enough(Exception):
        pass

    said: list[tuple[str, float]] = []

    def progress(words: str, share: float) -> None:
        said.append((words, share))
        if words.startswith("electric field: ") and share > 0:
            raise Enough

    with pytest.raises(Enough):
        ep.run(ep.read(TINY), progress=progress, cache=False, accuracy="fast")
    assert [words for words, _ in said][:2] == ["canal", "electric field"]
    assert 0 < said[-1][1] < 1
    assert not any(words.startswith("fibres") for words, _ in said)
