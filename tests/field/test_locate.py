"""Values at points of a section that moves along z: exact for what the elements hold, refused where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import spine_models as models
from numpy.typing import NDArray

from epidura.numerics import locate
from epidura.numerics.locate import SpineSampler, neighbours, spline_along
from epidura.numerics.section import Section, plane_shapes
from epidura.numerics.spine import Way

Floats = NDArray[np.float64]
MM = models.MM
Z = np.linspace(-12, 12, 25) * MM
STATIONS = np.linspace(-10, 10, 6) * MM


@pytest.fixture(scope="module")
def section() -> Section:
    """The ring of the lead is put on its circle: sides there are bent."""
    section = models.lead_section(False)
    ring, centre = section.rings[0], np.array(models.WHERE) * MM
    points = section.points.copy()
    away = points[ring] - centre
    points[ring] = centre + away * 0.65 * MM / np.hypot(*away.T)[:, None]
    return Section(points, section.triangles, section.labels, section.boundary, section.rings)


@pytest.fixture(scope="module")
def way(section: Section) -> Way:
    """Turned, swaying and squeezed; nothing is straight any more."""
    x, y = section.points.T
    s = STATIONS[:, None] / MM
    sway = np.stack((0.5 * np.sin(0.2 * s + 90 * y), 0.4 * np.cos(0.15 * s + 60 * x)), axis=2) * MM
    return Way(STATIONS, models.turning(section.points, STATIONS) + sway)


def plane(p: Floats) -> Floats:
    """Two quadratic functions, (2, p)."""
    x, y = p.T / (10 * MM)
    return np.stack((1 + 3 * x - 2 * x * y + 5 * y * y, 0.4 - y + x * x + 7 * x * y))


def along(z: Floats) -> Floats:
    t = z / (10 * MM)
    return np.asarray(2 - 3 * t + 0.5 * t**3 + 0.8 * t**5)


def exact_sampler(section: Section, way: Way | None, hollow: list[tuple[int, float, float]] | None = None) -> SpineSampler:
    values = (plane(section.points)[:, None] * along(Z)[:, None]).transpose(2, 1, 0)
    return SpineSampler(section, way, *spline_along(Z, values, np.float64), hollow or ())


def inside(section: Section, way: Way | None, count: int, seed: int = 1) -> tuple[Floats, Floats]:
    """Random points (count, 3) of random triangles and the values (2, count) that the elements have there."""
    rng = np.random.default_rng(seed)
    triangle, bary, z = rng.integers(0, len(section.triangles), count), rng.dirichlet([1, 1, 1], count), rng.uniform(Z[0], Z[-1], count)
    shapes, nodes = plane_shapes(bary), section.triangles[triangle]
    corners = section.points[nodes] if way is None else np.stack([way.at(z[[i]])[0][0, nodes[i]] for i in range(count)])
    where = np.einsum("pi,pia->pa", shapes, corners)
    return np.column_stack((where, z)), np.einsum("pi,kpi->kp", shapes, plane(section.points)[:, nodes]) * along(z)


@pytest.mark.parametrize("moving", [False, True])
def test_elements_are_reproduced(section: Section, way: Way, moving: bool) -> None:
    """Quadratic in the plane where it stands still in the tissue, quintic along z."""
    sample = exact_sampler(section, way if moving else None)
    points, want = inside(section, way if moving else None, 400)
    np.testing.assert_allclose(sample(points), want, atol=1e-10 * np.abs(want).max())
    sample._bent = False  # sides taken as straight
    assert np.nanmax(np.abs(sample(points, lenient=True) - want)) > 1e-6 * np.abs(want).max()


def test_polynomial_of_the_physical_point() -> None:
    """A straight section takes quadratic functions as they are; one that is moved by a cubic sheds no digit either."""
    section = models.lead_section(True)
    points, _ = inside(section, None, 300)
    np.testing.assert_allclose(exact_sampler(section, None)(points), plane(points[:, :2]) * along(points[:, 2]), atol=1e-10)
    ends = Z[[0, -1]]  # one cubic from end to end, so X is a cubic of z and x z² a quintic
    way = Way(ends, section.points + np.array([[-1.0, 2.0], [2.0, 1.0]])[:, None] * MM)
    x = way.at(Z)[0][:, :, 0]
    sample = SpineSampler(section, way, *spline_along(Z, (x * Z[:, None] ** 2 / MM**3).T[:, :, None], np.float64))
    moved, _ = inside(section, way, 300)
    want = moved[:, 0] * moved[:, 2] ** 2 / MM**3
    np.testing.assert_allclose(sample(moved)[0], want, atol=1e-9 * np.abs(want).max())


def test_moving_values_are_found_at_the_nodes(section: Section, way: Way) -> None:
    sample = exact_sampler(section, way)
    for z in (*STATIONS, -11.5 * MM, 3.3 * MM):
        at = way.at(np.array([z]))[0][0]
        free = np.setdiff1d(np.arange(len(at)), section.boundary)
        got = sample(np.column_stack((at[free], np.full(len(free), z))))
        np.testing.assert_allclose(got, plane(section.points[free]) * along(np.array([z])), atol=1e-9)


def test_order_and_threads_do_not_matter(section: Section, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = exact_sampler(section, way)
    points, _ = inside(section, way, 1500)
    want = sample(points)
    mixed = np.random.default_rng(2).permutation(len(points))
    np.testing.assert_allclose(sample(points[mixed]), want[:, mixed], atol=1e-11)
    np.testing.assert_array_equal(sample(points[:1]), sample(points)[:, :1])
    for count in (1, 5):
        monkeypatch.setattr(locate, "threads", lambda count=count: count)
        np.testing.assert_allclose(sample(points), want, atol=1e-11)


def test_second_differences_along_moving_tissue_are_smooth(section: Section, way: Way) -> None:
    """Along the path of a node the value is a quintic spline: fifth differences are those of the polynomial, without kinks."""
    sample = exact_sampler(section, way)
    z = np.arange(-8, 8, 0.1) * MM
    node = int(np.hypot(*section.points.T).argmin())
    path = np.column_stack((way.at(z)[0][:, node], z))
    got, want = np.diff(sample(path), 2), np.diff(plane(section.points[[node]]) * along(z), 2)
    assert np.abs(got - want).max() < 1e-5 * np.abs(want).max()
    straight = np.column_stack((np.repeat(path[:1, :2], len(z), axis=0), z))
    assert np.abs(np.diff(sample(straight), 2) - want).max() > 1e-2 * np.abs(want).max()  # another path, other values


def test_single_precision_keeps_second_differences(section: Section) -> None:
    values = 1 / np.hypot(np.hypot(*(section.points - [0, -8 * MM]).T)[:, None] + 2 * MM, Z)[:, :, None]
    z = np.linspace(-8, 8, 41) * MM
    path = np.column_stack((0 * z, 0 * z - 4 * MM, z))
    short, exact = (models.second(SpineSampler(section, None, *spline_along(Z, values, kind)), path) for kind in (np.float32, np.float64))
    gap = np.abs(short - exact).max() / np.abs(exact).max()
    assert 0 < gap < 1e-4


def test_spline_runs_through_the_nodes() -> None:
    from scipy.interpolate import BSpline

    values = np.random.default_rng(4).normal(size=(1100, len(Z), 2))  # more than one portion
    knots, coefficients = spline_along(Z, values, np.float64)
    np.testing.assert_allclose(BSpline(knots, coefficients[1050], 5)(Z), values[1050], atol=1e-11)
    assert spline_along(Z, values)[1].dtype == np.float32


@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize(
    ("point", "says"),
    [
        ((31.0, 0.0, 0.0), "outside"),
        ((*models.WHERE, 5.0), "outside"),  # in the hollow lead
        ((0.0, 0.0, 12.01), "beyond the ends"),
        ((0.0, 0.0, -12.01), "beyond the ends"),
        ((np.nan, 0.0, 0.0), "outside"),
        ((0.0, 0.0, np.nan), "beyond the ends"),
        ((np.inf, 0.0, 0.0), "outside"),
    ],
)
def test_points_without_a_value_are_named(section: Section, way: Way, moving: bool, point: tuple[float, float, float], says: str) -> None:
    own = way if moving else None
    where = np.array(point) * MM
    if moving and point[:2] == models.WHERE:
        in_lead = np.flatnonzero(section.labels == models.LEAD)[0]
        where[:2] = way.at(where[2:])[0][0][section.triangles[in_lead]].mean(axis=0)
    sample = exact_sampler(section, own, [(models.LEAD, -np.inf, 9 * MM)])
    points = np.array([[0.0, 0.0, 0.0], where, [1 * MM, 0.0, 0.0]])
    with pytest.raises(ValueError, match=f"point 1 .*{says}"):
        sample(points)
    got = sample(points, lenient=True)
    assert np.isnan(got[:, 1]).all()
    assert np.isfinite(got[:, [0, 2]]).all()


def test_the_lead_conducts_beyond_its_tip(section: Section) -> None:
    sample = exact_sampler(section, None, [(models.LEAD, -np.inf, 9 * MM)])
    point = np.array([[*models.WHERE, 9.001]]) * MM
    np.testing.assert_allclose(sample(point), plane(point[:, :2]) * along(point[:, 2]), atol=1e-3)


def test_holes_are_outside_and_walked_around() -> None:
    section = models.lead_section(True)
    sample = exact_sampler(section, None)
    x, y = models.WHERE
    z = 0 * MM
    row = np.column_stack((np.linspace(x - 4, x + 4, 81) * MM, np.full(81, y * MM), np.full(81, z)))
    got = sample(row, lenient=True)
    hole = np.abs(row[:, 0] - x * MM) < 0.6 * MM
    assert np.isnan(got[:, hole]).all()
    beside = np.abs(row[:, 0] - x * MM) > 0.66 * MM
    np.testing.assert_allclose(got[:, beside], (plane(row[:, :2]) * along(row[:, 2]))[:, beside], atol=1e-10)


def test_ends_belong_to_the_mesh(section: Section) -> None:
    ends = np.array([[0.0, 0.0, Z[0]], [0.0, 0.0, Z[-1]]])
    np.testing.assert_allclose(exact_sampler(section, None)(ends), plane(ends[:, :2]) * along(ends[:, 2]), atol=1e-9)


@pytest.mark.parametrize("points", [np.zeros(3), np.zeros((4, 2))])
def test_shape_of_the_points(section: Section, points: Floats) -> None:
    with pytest.raises(ValueError, match=r"points must have the shape \(p, 3\)"):
        exact_sampler(section, None)(points)


def test_no_points_no_values(section: Section) -> None:
    assert exact_sampler(section, None)(np.empty((0, 3))).shape == (2, 0)


def test_neighbours_share_a_side(section: Section) -> None:
    beside = neighbours(section.triangles)
    for t, row in enumerate(beside):
        for corner, other in enumerate(row):
            side = set(np.delete(section.triangles[t, :3], corner))
            if other >= 0:
                assert side <= set(section.triangles[other, :3])
            else:
                assert side <= set(section.boundary)
