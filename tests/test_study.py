"""The run beside its products: which fibres the field is checked on, and what is said of its error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_case import TINY, tiny

import epidura as ep
from epidura import study
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

    def solve(coarse: Canal, cache: object = None) -> LeadField:
        built.append(coarse.accuracy)
        return point_sources(coarse, 1.02)

    monkeypatch.setattr(study, "solve_field", solve)
    error = study.check(case, point_sources(canal))
    assert built == ["fast"]
    assert error is not None
    assert (error.potential, error.second_difference, error.impedance) == pytest.approx((0.02, 0.02, 0.02), rel=1e-6)


def test_the_coarsest_field_is_not_checked(case, canal):
    with pytest.raises(BadInput, match="accuracy: there is no coarser one to compare it with; got 'fast'; allowed: standard, reference"):
        study.check(case, point_sources(replace(canal, accuracy="fast")))


def test_a_run_says_how_good_its_field_is(case, monkeypatch):
    """In the result, in the summary, in the report and in the timings; not when it is switched off."""
    monkeypatch.setattr(study, "solve_field", lambda canal, cache=None: point_sources(canal))
    monkeypatch.setattr(study, "check", lambda *_, **__: FieldError(0.0012, 0.034, 0.0056))
    result = ep.run(case, cache=False)
    assert result.summary()["accuracy"] == "standard"
    assert result.summary()["field_error"] == {"potential": 0.0012, "second_difference": 0.034, "impedance": 0.0056}
    assert "field check" in result.timings
    from epidura.report import field_words

    words = field_words(result)
    assert "accuracy standard" in words
    for number in ("0.12%", "3.40%", "0.56%"):
        assert number in words
    for other in (ep.run(case, cache=False, check_field=False), ep.run(case, cache=False, accuracy="fast")):
        assert other.field_error is None
        assert "field check" not in other.timings
        assert "not compared with another one" in field_words(other)
        assert "docs/field.md" in field_words(other)


def test_a_run_says_that_multigrid_took_over(case, monkeypatch):
    """In the warnings, which report, summary and command line show."""
    notes = {"fallback": 1.0, "stalled_at": 0.02, "stalled_after": 100.0, "iterations": 31.0}
    monkeypatch.setattr(study, "solve_field", lambda canal, cache=None: replace(point_sources(canal), notes=notes))
    result = ep.run(case, cache=False, check_field=False)
    words = "the field's first method stalled at a residual of 2.0e-02 after 100 steps; multigrid reached 1e-04 in 31 iterations"
    assert words in result.summary()["warnings"]
    from epidura.report import render

    assert "stalled at a residual of 2.0e-02" in render(result)
