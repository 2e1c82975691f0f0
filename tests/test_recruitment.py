"""Who fires and what is felt: every derived figure recomputed from the thresholds by brute force.

The field is a closed form, point sources in an infinite medium at the places of the contacts, so that nothing here
depends on the field solver.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import epidura as ep
from epidura import anatomy, fibre, lead, recruitment
from epidura.errors import BadCase, EpiduraError
from epidura.fibre.dorsal_column import depth_below_surface, half_width_at, in_polygon
from epidura.product import DECLARED, Canal, LeadField, declare
from epidura.program import Program
from epidura.recipe import read_recipe
from epidura.recruitment import (
    PULSE_WIDTHS,
    Engine,
    Rules,
    cumulative_threshold,
    fit_weiss,
    place_fibres,
    recruit,
    resolve_amplitude,
)

TOLERANCE = 1e-3
ENGINE = Engine(tolerance=TOLERANCE)
SIGMA = 0.25
TONIC = {"kind": "tonic", "pulse_width": "300 us", "shape": "monophasic"}


def program(contacts: dict, name: str = "p", amplitude: str = "auto", **waveform: str) -> Program:
    return read_recipe(Program, {"name": name, "waveform": TONIC | waveform, "contacts": contacts, "amplitude": amplitude})


def population(kind: str, count: int, **more: object) -> fibre.Population:
    return fibre.family.read({"kind": kind, "count": count, **more})


def point_sources(canal: Canal, scale: float = 1.0) -> LeadField:
    """V/A of a point source in an infinite medium at the middle of each contact."""
    places = np.array([[shaft.x, shaft.y, (c.z0 + c.z1) / 2] for shaft in canal.shafts for c in shaft.contacts])

    def sample(points: np.ndarray) -> np.ndarray:
        distance = np.linalg.norm(points[None] - places[:, None], axis=2)
        return scale / (4 * np.pi * SIGMA * distance)

    return LeadField(tuple(c.number for c in canal.contacts), np.eye(len(places)) * 800.0, sample, canal)


@pytest.fixture(scope="module")
def canal() -> Canal:
    return ep.build_canal(anatomy.family.read({"kind": "parametric", "vertebra": "T9"}),
                          [lead.family.read({"model": "octrode", "tip_vertebra": "T8", "lateral": "-1 mm"})])


@pytest.fixture(scope="module")
def field(canal) -> LeadField:
    return point_sources(canal)


FIBRES = (population("dorsal-column", 60), population("dorsal-root", 24))
BIPOLE, WIDE = program({4: -1, 5: 1}, "bipole"), program({3: 0.5, 4: -1, 5: 0.5}, "guarded", pulse_width="450 us")


@pytest.fixture(scope="module")
def both(field):
    return recruit(field, FIBRES, [BIPOLE, WIDE], engine=ENGINE)


def test_a_threshold_is_its_own_whatever_else_is_computed(field, both):
    alone = recruit(field, FIBRES[0], BIPOLE, engine=ENGINE)
    column = both.fibre_population.values == "dorsal-column"
    np.testing.assert_allclose(alone.threshold[0], both.threshold[0][column], rtol=1e-6)
    other = recruit(field, [FIBRES[0], population("dorsal-root", 7, seed=5)], [WIDE, BIPOLE], engine=ENGINE)
    column = other.fibre_population.values == "dorsal-column"
    np.testing.assert_allclose(other.threshold.sel(program="bipole")[column], alone.threshold[0], rtol=1e-6)
    np.testing.assert_allclose(other.threshold.sel(program="guarded")[column], both.threshold.sel(program="guarded")[:60],
                               rtol=1e-6)


def test_more_threads_change_nothing(field):
    few = population("dorsal-column", 12)
    one, two = (recruit(field, few, BIPOLE, engine=replace(ENGINE, threads=n)).threshold.values for n in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_a_threshold_lies_in_its_narrow_bracket(both):
    low, middle, high = (both[name].values for name in ("threshold_lower", "threshold", "threshold_upper"))
    finite = np.isfinite(middle)
    assert finite.mean() > 0.9
    assert (low[finite] > 0).all()
    assert (low[finite] <= middle[finite]).all()
    assert (middle[finite] <= high[finite]).all()
    assert (high[finite] / low[finite] <= 1 + TOLERANCE * 1.01).all()
    assert (~finite == ~np.isfinite(high)).all()


def test_only_the_sum_of_the_contacts_counts(field):
    """What is added to one cathode's field and taken from another's of equal share cancels."""
    few = population("dorsal-column", 12)
    mixed = program({3: -0.5, 4: -0.5, 5: 1})

    def moved(points: np.ndarray) -> np.ndarray:
        rows = field.sample(points)
        rows[2] += rows[6]
        rows[3] -= rows[6]
        return rows

    there = recruit(field, few, mixed, engine=ENGINE)
    here = recruit(replace(field, sample=moved), few, mixed, engine=ENGINE)
    np.testing.assert_allclose(here.threshold, there.threshold, rtol=2 * TOLERANCE)


def test_a_mix_of_contacts_is_the_mixed_field(field, monkeypatch):
    """A program with mixed contacts equals one contact that carries the mixed field, return at the case."""
    monkeypatch.setattr(recruitment, "REACH", 40e-3)  # contact 4 alone lies less far from the end than contacts 3 to 6
    few = (population("dorsal-column", 12), population("dorsal-root", 6))
    fractions = {3: -0.7, 4: -0.3, 5: 0.4, 6: 0.6}

    def mixed(points: np.ndarray) -> np.ndarray:
        rows = field.sample(points)
        total = -sum(f * rows[n - 1] for n, f in fractions.items())
        return np.stack([total * (n == 4) for n in field.contacts])

    one = recruit(field, few, program(fractions), engine=ENGINE)
    other = recruit(replace(field, sample=mixed), few, program({4: -1, "case": 1}), engine=ENGINE)
    np.testing.assert_allclose(other.threshold, one.threshold, rtol=5e-3)


@pytest.mark.parametrize("contacts", [{4: 1, "case": -1}, {4: -1, "case": 1}, {2: 1, 4: -0.6, "case": -0.4}])
def test_no_threshold_depends_on_how_far_fibres_are_simulated(field, monkeypatch, contacts):
    """Least of all where an anode returns by the case: its potential is felt far along the spine, and no cut end may fire on it."""
    few = (population("dorsal-column", 12), population("dorsal-root", 6))
    near = recruit(field, few, program(contacts), engine=ENGINE)
    monkeypatch.setattr(recruitment, "REACH", 60e-3)
    far = recruit(field, few, program(contacts), engine=ENGINE)
    np.testing.assert_allclose(near.threshold, far.threshold, rtol=5e-3)


def test_twice_the_field_halves_the_thresholds(canal, both):
    twice = recruit(point_sources(canal, 2.0), FIBRES, [BIPOLE, WIDE], engine=ENGINE)
    finite = np.isfinite(both.threshold.values)
    np.testing.assert_allclose(2 * twice.threshold.values[finite], both.threshold.values[finite], rtol=2 * TOLERANCE)
    for name in ("perception_threshold", "discomfort_threshold", "rheobase"):
        np.testing.assert_allclose(2 * twice[name], both[name], rtol=4 * TOLERANCE)
    np.testing.assert_allclose(twice.chronaxie, both.chronaxie, rtol=2e-2)


def test_a_shift_of_the_potential_changes_nothing(field):
    """Only differences of potential drive a fibre."""
    few = population("dorsal-column", 12)
    lifted = replace(field, sample=lambda points: field.sample(points) + 300.0 * np.arange(8)[:, None])
    one, other = (recruit(f, few, BIPOLE, engine=replace(ENGINE, precision="float64")) for f in (field, lifted))
    np.testing.assert_allclose(other.threshold, one.threshold, rtol=2 * TOLERANCE)


def test_thick_and_near_fibres_fire_first(both):
    column = both.fibre_population.values == "dorsal-column"
    # the cathode lies 1 mm left of the midline
    distance = np.hypot(both.x.values[column] + 1e-3, both.y.values[column] - both.y.values[column].min())
    thick, thresholds = both.diameter.values[column], both.threshold.values[0][column]
    ranks = [np.argsort(np.argsort(one)) for one in (thresholds, distance, -thick)]
    correlation = np.corrcoef(np.where(np.isfinite(ranks), ranks, 60))
    assert correlation[0, 1] > 0.2
    assert correlation[0, 2] > 0.2


def test_recruitment_grows_with_the_amplitude(both):
    firing = both.firing_fibres.values
    assert (firing[..., 0] == 0).all()
    assert (np.diff(firing, axis=-1) >= 0).all()
    assert (np.diff(both.amplitude.values, axis=-1) > 0).all()
    assert (both.amplitude.values[:, 0] == 0).all()
    for p in range(2):
        for k, kind in enumerate(both.population.values):
            here = both.fibre_population.values == kind
            weight, thresholds = both.weight.values[here], both.threshold.values[p][here]
            wanted = [weight[thresholds <= a].sum() for a in both.amplitude.values[p]]
            np.testing.assert_allclose(firing[p, k], wanted)
            np.testing.assert_allclose(both.firing_share.values[p, k], np.array(wanted) / weight.sum())
    assert (both.amplitude.values[:, -1] >= both.perception_threshold.values).all()
    assert (both.amplitude.values[:, -1] >= both.programmed_amplitude.values).all()


def lowest(thresholds: np.ndarray, weights: np.ndarray, needed: float) -> float:
    """Lowest amplitude at which fibres of total weight ``needed`` fire, by trying each."""
    good = [t for t in thresholds if np.isfinite(t) and weights[thresholds <= t].sum() >= needed * (1 - 1e-9)]
    return min(good, default=np.inf)


@pytest.mark.parametrize("felt", [1.0, 0.3, 4.0])
def test_perception_is_where_the_first_dermatome_has_enough_fibres(field, both, felt):
    product = both if felt == 1.0 else recruit(field, FIBRES[0], BIPOLE, Rules(felt_fibres=felt), ENGINE)
    column = product.fibre_population.values == "dorsal-column"
    for p in range(product.sizes["program"]):
        each = {}
        for d in product.dermatome.values:
            for s in ("left", "right"):
                here = column & (product.segment.values == d) & (product.side.values == s)
                each[d, s] = lowest(product.threshold.values[p][here], product.weight.values[here], felt)
                assert float(product.dermatome_threshold[p].sel(dermatome=d, body_side=s)) == each[d, s]
        assert float(product.perception_threshold[p]) == min(each.values())
    assert set(product.segment.values[column]) == set(product.dermatome.values)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_discomfort_is_where_the_first_root_has_its_share(field, both, share):
    product = both if share == 0.1 else recruit(field, FIBRES, BIPOLE, Rules(discomfort_share=share), ENGINE)
    root = product.fibre_population.values == "dorsal-root"
    for p in range(product.sizes["program"]):
        each = []
        for d in set(product.segment.values[root]):
            for s in ("left", "right"):
                here = root & (product.segment.values == d) & (product.side.values == s)
                assert np.ptp(product.weight.values[here]) == 0  # so the plain quantile of few samples is the oracle
                each.append(np.quantile(product.threshold.values[p][here], share, method="hazen"))
        assert float(product.discomfort_threshold[p]) == pytest.approx(min(each), rel=1e-12)


def test_without_roots_discomfort_is_a_stated_ratio(field):
    product = recruit(field, FIBRES[0], BIPOLE, Rules(discomfort_ratio=1.5), ENGINE)
    assert float(product.discomfort_threshold[0]) == pytest.approx(1.5 * float(product.perception_threshold[0]))


def test_felt_is_where_the_amplitude_reaches_the_dermatome(both):
    thresholds = both.dermatome_threshold.values
    for p in range(2):
        for step, amplitude in enumerate(both.amplitude.values[p]):
            np.testing.assert_array_equal(both.felt.values[p, ..., step], thresholds[p] <= amplitude)
    assert not both.felt.values[..., 0].any()
    assert both.felt.values[..., -1].any()


def test_a_field_too_weak_reaches_nothing_and_says_so(canal):
    product = recruit(point_sources(canal, 1e-6), FIBRES, [BIPOLE, program({4: -1, 5: 1}, "fixed", "3 mA")], engine=ENGINE)
    assert np.isinf(product.threshold.values).all()
    assert np.isinf(product.perception_threshold.values).all()
    assert np.isinf(product.discomfort_threshold.values).all()
    assert np.isnan(product.programmed_amplitude.values[0])
    assert product.programmed_amplitude.values[1] == 3e-3
    assert np.isfinite(product.amplitude.values).all()
    assert not product.firing_fibres.values.any()
    assert np.isnan(product.rheobase.values).all()


def test_strength_and_duration_is_what_other_pulse_widths_give(field, both):
    widths = both.pulse_width.values
    np.testing.assert_allclose(widths, PULSE_WIDTHS)
    at = {round(width * 1e6): float(value) for width, value in zip(widths, both.strength_duration.values[0], strict=True)}
    assert at[300] == pytest.approx(float(both.perception_threshold[0]), rel=2 * TOLERANCE)
    for width in (50, 1000):
        other = recruit(field, FIBRES, program({4: -1, 5: 1}, pulse_width=f"{width} us"), engine=ENGINE)
        assert at[width] == pytest.approx(float(other.perception_threshold[0]), rel=2 * TOLERANCE)
    assert (np.diff(both.strength_duration.values, axis=1) < 0).all()
    for p in range(2):
        rheobase, chronaxie = fit_weiss(widths, both.strength_duration.values[p])
        assert (float(both.rheobase[p]), float(both.chronaxie[p])) == (rheobase, chronaxie)
    assert (both.chronaxie > 50e-6).all()
    assert (both.chronaxie < 1e-3).all()


def test_other_waveforms_have_no_strength_and_duration(field):
    burst = read_recipe(Program, {"name": "b", "waveform": {"kind": "burst", "pulses": 1}, "contacts": {4: -1, 5: 1}})
    product = recruit(field, population("dorsal-column", 6), burst, engine=ENGINE)
    assert np.isnan(product.strength_duration.values).all()
    assert np.isnan(product.chronaxie.values).all()


# a zone in which Feirabend counted: 24 fibres thicker than 10.7 um per mm of width, in the superficial 0.3 mm
DENSITY = 24 / (1e-3 * 0.3e-3)


def simulated_area(canal: Canal, deepest: float) -> float:
    """Of the dorsal columns down to a depth, m2, on a grid of 20 um."""
    low, high = canal.cord.dorsal_column.min(axis=0), canal.cord.dorsal_column.max(axis=0)
    step = 20e-6
    grid = np.stack(np.meshgrid(*(np.arange(a, b, step) for a, b in zip(low, high, strict=True))), axis=-1).reshape(-1, 2)
    inside = in_polygon(grid, canal.cord.dorsal_column)
    return float((depth_below_surface(canal.cord, grid[inside]) <= deepest).sum()) * step**2


def test_the_weights_are_the_density_of_feirabend(canal):
    fibres = place_fibres(canal, [population("dorsal-column", 20_000)])
    chosen = (fibres.diameter > 10.7e-6) & (fibres.depth <= 0.3e-3)
    expected = DENSITY * simulated_area(canal, 0.3e-3)
    assert fibres.weight[chosen].sum() == pytest.approx(expected, rel=0.15)
    assert 50 < expected < 400
    for side in ("left", "right"):
        assert fibres.weight[chosen & (fibres.side == side)].sum() == pytest.approx(expected / 2, rel=0.15)


@pytest.mark.parametrize("counts", [(100, 400), (400, 4000)])
def test_the_total_weight_does_not_depend_on_how_many_are_simulated(canal, counts):
    few, many = (place_fibres(canal, [population("dorsal-column", n)]).weight.sum() for n in counts)
    assert few == pytest.approx(many, rel=0.1)


def test_more_caudal_segments_lie_more_medially(canal):
    fibres = place_fibres(canal, [population("dorsal-column", 4000)])
    rostral_first = [span.name for span in canal.cord.segments]
    below = rostral_first[rostral_first.index(canal.cord.level):]
    assert set(fibres.segment) == set(below)
    assert below[-1].startswith("S")
    points = np.array([path[0, :2] for path in fibres.paths])
    lateral = np.abs(points[:, 0]) / half_width_at(canal.cord.dorsal_column, points[:, 1])
    for side in ("left", "right"):
        mean = [lateral[(fibres.segment == name) & (fibres.side == side)].mean() for name in below]
        assert (np.diff(mean) < 0).all()
        assert mean[-1] < 0.1
        assert mean[0] > 0.9
    assert ((points[:, 0] > 0) == (fibres.side == "right")).all()


def test_fibres_are_inside_and_reach_beyond_the_leads(canal):
    fibres = place_fibres(canal, FIBRES)
    assert (fibres.weight > 0).all()
    assert ((fibres.phase >= 0) & (fibres.phase < 1)).all()
    for kind, path, depth in zip(fibres.population, fibres.paths, fibres.depth, strict=True):
        assert (np.diff(path[:, 2]) > 0).all()
        assert path[-1, 2] > max(c.z1 for c in canal.contacts) + 20e-3
        if kind == "dorsal-column":
            assert in_polygon(path[:1, :2], canal.cord.dorsal_column).all()
            assert 0 <= depth <= 1e-3
            assert path[0, 2] < min(c.z0 for c in canal.contacts) - 20e-3


def test_a_seed_places_the_same_fibres_and_another_seed_others(canal):
    one, same, other = (place_fibres(canal, [population("dorsal-column", 50, seed=s)]) for s in (3, 3, 4))
    np.testing.assert_array_equal(one.diameter, same.diameter)
    assert not np.array_equal(one.diameter, other.diameter)


@given(rheobase=st.floats(1e-5, 1e-1), chronaxie=st.floats(1e-5, 5e-3))
def test_weiss_is_recovered_exactly(rheobase, chronaxie):
    found = fit_weiss(PULSE_WIDTHS, rheobase * (1 + chronaxie / PULSE_WIDTHS))
    assert found == pytest.approx((rheobase, chronaxie), rel=1e-6)


@given(st.lists(st.tuples(st.one_of(st.floats(1e-4, 1e-1), st.just(np.inf)), st.floats(1e-3, 10)), min_size=1, max_size=30),
       st.floats(1e-3, 50))
def test_the_cumulative_threshold_is_the_lowest_that_suffices(fibres, needed):
    thresholds, weights = np.array(fibres).T
    found = cumulative_threshold(thresholds, weights, needed)
    assert found == lowest(thresholds, weights, needed)


def test_an_amplitude_in_words_becomes_amperes():
    contacts = {4: -1, 5: 1}

    def resolved(amplitude: str, perception: float, discomfort: float, **waveform: str) -> float:
        return resolve_amplitude(program(contacts, amplitude=amplitude, **waveform), perception, discomfort)

    assert resolved("4.5 mA", np.inf, np.inf) == 4.5e-3
    assert resolved("4.5 mA", 2e-3, 3e-3) == 4.5e-3
    assert resolved("60 % of perception", 2e-3, 3e-3) == pytest.approx(1.2e-3)
    assert resolved("150% of perception", 2e-3, 2.1e-3) == pytest.approx(3e-3)
    assert np.isnan(resolved("60 % of perception", np.inf, np.inf))
    assert np.isnan(resolved("auto", np.inf, np.inf))
    assert resolved("auto", 2e-3, 4e-3) == pytest.approx(2.4e-3)  # 1.2 times perception
    assert resolved("auto", 2e-3, np.inf) == pytest.approx(2.4e-3)
    assert resolved("auto", 2e-3, 2.2e-3) == pytest.approx(2.1e-3)  # the middle of a narrow usage range
    assert resolved("auto", 2e-3, 1.5e-3) == pytest.approx(2e-3)  # never below perception
    quiet = read_recipe(Program, {"name": "b", "waveform": {"kind": "burst"}, "contacts": contacts})
    assert resolve_amplitude(quiet, 2e-3, 2.1e-3) == pytest.approx(1.5e-3)


def test_every_variable_of_the_product_has_its_units_and_dimensions(both):
    assert set(both.variables) == set(DECLARED["recruitment"])
    for name, (dims, units) in DECLARED["recruitment"].items():
        assert both[name].dims == dims
        assert both[name].attrs.get("units", "") == units
        assert units or both[name].dtype.kind in "UO"
    assert all(both[name].attrs["units"] for name in both.data_vars)
    assert both.attrs["product"] == "recruitment"


def test_what_is_not_declared_is_refused():
    with pytest.raises(EpiduraError, match="volume not declared"):
        declare("recruitment", {"volume": 1.0}, {})


def test_a_contact_that_the_leads_do_not_have_is_refused(field):
    with pytest.raises(BadCase, match=r"programs\[1\]\.contacts\.9: there is no such contact; got 9; allowed: 1 to 8, or case"):
        recruit(field, FIBRES, [BIPOLE, program({4: -1, 9: 1}, "nine")], engine=ENGINE)


def test_progress_is_told_in_words_and_shares(field):
    told = []
    recruit(field, population("dorsal-column", 6), BIPOLE, engine=ENGINE, progress=lambda words,
            share: told.append((words, share)))
    assert told
    assert all(words and 0 <= share <= 1 for words, share in told)
    assert any("bipole" in words for words, _ in told)


def test_sensory_fibres_of_a_case_answer_earlier_and_to_longer_pulses(field, both):
    """``axon: gaines-sensory``: the same fibres at the same places, another membrane."""
    sensory = tuple(population(each.kind, each.count, axon="gaines-sensory") for each in FIBRES)
    own, motor = recruit(field, sensory, BIPOLE, engine=ENGINE).isel(program=0), both.isel(program=0)
    assert np.array_equal(own.diameter, motor.diameter)
    below = np.isfinite(motor.threshold.values)
    share = own.threshold.values[below] / motor.threshold.values[below]
    assert 0.6 < np.median(share) < 0.98
    assert float(own.chronaxie) > 1.1 * float(motor.chronaxie)
    assert 0.6 < float(own.perception_threshold / motor.perception_threshold) < 0.98
