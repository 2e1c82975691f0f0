"""``solve_field`` on a canal made by hand: product, cache, complaints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from epidura.errors import BadGeometry
from epidura.field import field_key, solve_field
from epidura.numerics.section import Loop, circle, mesh_section
from epidura.product import Canal, Contact, Cord, LeadField, Shaft, Tissue

MM = 1e-3


@pytest.fixture(scope="session")
def canal() -> Canal:
    """Concentric circles and one lead of four contacts, tip first."""
    loops = [
        Loop(circle(0, 0, 40 * MM, 200), 4, -1, 8 * MM),
        Loop(circle(0, 0, 11 * MM, 200), 3, 4, 1.5 * MM),
        Loop(circle(0, 0, 7.3 * MM, 200), 2, 3, 0.8 * MM),
        Loop(circle(0, 0, 7 * MM, 200), 1, 2, 0.8 * MM),
        Loop(circle(0, 0, 5 * MM, 200), 0, 1, 1 * MM),
        Loop(circle(0, -8.7 * MM, 0.65 * MM, 200), -1, 3, 0.3 * MM),
    ]
    section = mesh_section(loops, [1.2 * MM, 1 * MM, 0.8 * MM, 1 * MM, 8 * MM])
    names = ["white-matter", "csf", "dura", "fat", "bone"]
    sigma = [(0.083, 0.6), (1.7, 1.7), (0.03, 0.03), (0.04, 0.04), (0.02, 0.02)]
    tissues = tuple(Tissue(n, t, z, ()) for n, (t, z) in zip(names, sigma, strict=True))
    edges = [(4.5, 7.5), (0.5, 3.5), (-3.5, -0.5), (-7.5, -4.5)]
    contacts = tuple(Contact(i + 1, 0, a * MM, b * MM, 2 * np.pi * 0.65 * 3 * MM**2) for i, (a, b) in enumerate(edges))
    shaft = Shaft(0, "lead", 0.0, -8.7 * MM, 0.65 * MM, 0.0, contacts, 8 * MM)
    none = np.empty((0, 2))
    cord = Cord(5 * MM, 5 * MM, none, none, none, (), (), "T9", 0.5)
    return Canal({}, tissues, (shaft,), cord, section, "T9")


@pytest.fixture(scope="session")
def field(canal: Canal) -> LeadField:
    return solve_field(canal)


def test_field_of_a_symmetric_lead(canal: Canal, field: LeadField) -> None:
    assert field.contacts == (1, 2, 3, 4)
    assert field.notes["cached"] == 0.0
    assert field.notes["residual"] < 1e-6
    assert field.notes["unknowns"] > 1e5
    z = field.impedance
    assert np.abs(z - z.T).max() < 1e-9 * z.max()
    np.testing.assert_allclose(z, z[::-1, ::-1], rtol=1e-6)  # contacts mirror each other at z = 0
    h = np.linspace(-60, 60, 121) * MM
    v = field.sample(np.column_stack((0 * h, 0 * h - 4 * MM, h)))
    assert v.shape == (4, 121)
    np.testing.assert_allclose(v, v[::-1, ::-1], rtol=1e-4)
    assert (v > 0).all()
    assert np.argmax(v[0]) == np.argmin(np.abs(h - 6 * MM))  # highest beside the contact


def test_points_near_a_contact_carry_its_impedance(field: LeadField) -> None:
    at = np.array([[0.68 * MM, -8.7 * MM, 2 * MM]])  # 30 um off contact 2, clear of the corners of the polygon
    np.testing.assert_allclose(field.sample(at)[1, 0], field.impedance[1, 1], rtol=0.03)
    np.testing.assert_allclose(field.sample(at)[0, 0], field.impedance[1, 0], rtol=0.03)


def test_dataset(field: LeadField) -> None:
    dataset = field.impedances()
    assert dataset.attrs["product"] == "lead_field"
    assert dataset.impedance.dims == ("contact", "contact_")
    assert dataset.impedance.attrs["units"] == "ohm"
    assert list(dataset.contact.values) == [1, 2, 3, 4]
    points = np.array([[0.0, -4 * MM, 0.0], [1 * MM, -3 * MM, 9 * MM]])
    along = field.potentials(points)
    assert along.potential.dims == ("contact", "point")
    assert along.potential.attrs["units"] == "V/A"
    np.testing.assert_array_equal(along.potential.values, field.sample(points))
    np.testing.assert_array_equal(along.point_z.values, points[:, 2])


def test_cache_gives_the_same_field(canal: Canal, field: LeadField, tmp_path: Path) -> None:
    points = np.array([[0.0, -4 * MM, 0.0], [1 * MM, -3 * MM, 9 * MM]])
    first, second = solve_field(canal, tmp_path), solve_field(canal, tmp_path)
    assert (first.notes["cached"], second.notes["cached"]) == (0.0, 1.0)
    np.testing.assert_array_equal(first.sample(points), second.sample(points))
    np.testing.assert_array_equal(first.impedance, second.impedance)
    np.testing.assert_allclose(first.impedance, field.impedance, rtol=1e-12)
    assert [p.name for p in (tmp_path / "fields").iterdir()] == [field_key(canal)]


@pytest.mark.parametrize("harm", ["missing", "truncated", "empty", "nonsense", "shape"])
def test_broken_cache_is_solved_again(canal: Canal, tmp_path: Path, harm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import epidura.field as module

    kept = module._solve(canal, canal.section)  # type: ignore[arg-type]
    monkeypatch.setattr(module, "_solve", lambda *_: kept)  # fast
    solve_field(canal, tmp_path)
    folder = tmp_path / "fields" / field_key(canal)
    file = folder / "coefficients.npy"
    if harm == "missing":
        (folder / "knots.npy").unlink()
    elif harm == "truncated":
        file.write_bytes(file.read_bytes()[:5000])
    elif harm == "empty":
        (folder / "impedance.npy").write_bytes(b"")
    elif harm == "nonsense":
        (folder / "notes.json").write_text("[]")
    else:
        np.save(folder / "impedance.npy", np.eye(3))
    again = solve_field(canal, tmp_path)
    assert again.notes["cached"] == 0.0
    assert solve_field(canal, tmp_path).notes["cached"] == 1.0


def test_unwritable_cache_does_not_stop_a_study(canal: Canal, field: LeadField, tmp_path: Path) -> None:
    (tmp_path / "fields").write_text("a file where the folder should be")
    np.testing.assert_allclose(solve_field(canal, tmp_path).impedance, field.impedance, rtol=1e-12)


def test_key_changes_with_what_decides(canal: Canal) -> None:
    key = field_key(canal)
    softer = replace(canal, tissues=(*canal.tissues[:2], replace(canal.tissues[2], longitudinal=0.6), *canal.tissues[3:]))
    shaft = canal.shafts[0]
    longer = replace(shaft, contacts=(replace(shaft.contacts[0], z1=shaft.contacts[0].z1 + 1e-4), *shaft.contacts[1:]))
    renamed = replace(canal, warnings=("something to read",))
    assert field_key(softer) != key
    assert field_key(replace(canal, shafts=(longer,))) != key
    assert field_key(renamed) == key


@pytest.mark.parametrize(
    ("point", "says"),
    [
        ((0.0, -8.7 * MM, 0.0), "outside"),
        ((0.0, 0.0, 11.0), "beyond"),
        ((0.1, 0.0, 0.0), "outside"),
        ((np.nan, 0.0, 0.0), "outside"),
    ],
)
def test_points_outside_are_named(field: LeadField, point: tuple[float, float, float], says: str) -> None:
    with pytest.raises(BadGeometry, match=f"point 1 .*{says}"):
        field.sample(np.array([[0.0, 0.0, 0.0], point]))


def test_misfits_are_refused(canal: Canal) -> None:
    with pytest.raises(BadGeometry, match="holes"):
        solve_field(replace(canal, shafts=()))
    with pytest.raises(BadGeometry, match="tissues"):
        solve_field(replace(canal, tissues=canal.tissues[:2]))
    with pytest.raises(BadGeometry, match="section"):
        solve_field(replace(canal, section=None))
    with pytest.raises(BadGeometry, match="no contact"):
        solve_field(replace(canal, shafts=(replace(canal.shafts[0], contacts=()),)))
