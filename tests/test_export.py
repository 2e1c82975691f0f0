"""The field as files: what is in the grid and the mesh, what stands in the files, and what is refused."""

from __future__ import annotations

import gzip
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import yaml
from tiny_case import refused, tiny

from epidura import canal as canal_module
from epidura import cli
from epidura import export as ex
from epidura import field as field_module
from epidura.case import read
from epidura.errors import BadCase, BadInput
from epidura.numerics.section import Loop, Section, circle, mesh_section
from epidura.product import DECLARED, Canal, Contact, Cord, LeadField, Shaft, Tissue
from epidura.program import Program

SIGMA = 0.25
RADIUS = 0.65e-3
LOW, HIGH = np.array([-4e-3, -4e-3, -6e-3]), np.array([4e-3, 4e-3, 6e-3])


class Points:
    """Point sources at the contacts in an infinite medium; nothing is known within the lead and beyond 20 mm."""

    def __init__(self, z: list[float]):
        self.z = z

    def __call__(self, points):
        return np.stack([1 / (4 * np.pi * SIGMA * np.linalg.norm(points - [1e-3, -2e-3, z], axis=1)) for z in self.z])

    def lenient(self, points):
        with np.errstate(divide="ignore"):
            values = self(points)
        outside = (np.hypot(points[:, 0] - 1e-3, points[:, 1] + 2e-3) < RADIUS * 0.9) | (np.abs(points) > 20e-3).any(axis=1)
        values[:, outside] = np.nan
        return values


class Squares(Points):
    """V = (contact + 1) (z^2 + x): its second difference is 2 (contact + 1)."""

    def lenient(self, points):
        return np.stack([(c + 1) * (points[:, 2] ** 2 + points[:, 0]) for c in range(len(self.z))])


@pytest.fixture(scope="module")
def canal() -> Canal:
    """A cylinder of cord in a square of bulk, with a lead beside it."""
    box = np.array([[-10e-3, -10e-3], [10e-3, -10e-3], [10e-3, 10e-3], [-10e-3, 10e-3]])
    loops = [Loop(circle(0.0, 1.5e-3, 2e-3, 60), 0, 1, 0.5e-3, keep=True), Loop(circle(1e-3, -2e-3, RADIUS, 32), -1, 1, 0.2e-3, keep=True),
             Loop(box, 1, -1, 2e-3)]
    section = mesh_section(loops, [0.8e-3, 2e-3])
    shaft = Shaft(0, "two rings", 1e-3, -2e-3, RADIUS, 0.0, (Contact(1, 0, 1e-3, 4e-3, 2 * np.pi * RADIUS * 3e-3),
                                                            Contact(2, 0, -4e-3, -1e-3, 2 * np.pi * RADIUS * 3e-3)), 5e-3)
    cord = Cord(2e-3, 2e-3, box, box, box, (), (), "T9", 0.0)
    return Canal({"canal": 4 / 10 * box, "bulk": box}, (Tissue("cord", 0.1, 0.6, ()), Tissue("bulk", 0.2, 0.2, ())), (shaft,), cord, section, "T9")


@pytest.fixture(scope="module")
def lead_field(canal) -> LeadField:
    return LeadField((1, 2), np.array([[310.0, 60.0], [60.0, 320.0]]), Points([2.5e-3, -2.5e-3]), canal)


@pytest.fixture
def program() -> Program:
    return Program(name="bipole", waveform={"kind": "tonic"}, contacts={1: -1, 2: 0.75, "case": 0.25}, amplitude="2 mA")


@pytest.fixture(scope="module")
def values(lead_field):
    return ex.grid(lead_field, LOW, HIGH, 0.5e-3)


def test_the_grid_is_the_field_at_its_points(values, lead_field):
    assert values.sizes == {"contact": 2, "x": 17, "y": 17, "z": 25, "label": 2}
    for name, (dims, units) in DECLARED["field_grid"].items():
        assert values[name].dims == dims
        assert values[name].attrs.get("units", "") == units
    chosen = values.isel(x=3, y=14, z=20)
    point = np.array([[float(chosen.x), float(chosen.y), float(chosen.z)]])
    assert point[0] == pytest.approx(LOW + 0.5e-3 * np.array([3, 14, 20]), abs=1e-15)
    assert np.array_equal(chosen.potential.values, lead_field.sample(point)[:, 0])
    assert list(values.tissue_name.values) == ["cord", "bulk"]


@pytest.mark.parametrize(("low", "steps", "spacing"), [(-4e-3, 2, 3e-4), (-4e-3, 3, 1e-4), (0.0, 25, 7e-4), (1e-4, 30, 1e-4), (0.0, 1, 3e-3)])
def test_a_whole_number_of_steps_is_not_cut_by_rounding(low, steps, spacing):
    axes = ex._axes(np.full(3, low), np.full(3, low + steps * spacing), spacing)
    assert [len(axis) for axis in axes] == [steps + 1] * 3
    assert len(ex._axes(np.full(3, low), np.full(3, low + (steps + 0.99) * spacing), spacing)[0]) == steps + 1


def test_nothing_is_known_within_a_lead_and_the_tissue_says_so(values, canal):
    x, y = np.meshgrid(values.x, values.y, indexing="ij")
    depth = np.hypot(x - 1e-3, y + 2e-3)
    tissue = values.tissue.values
    assert (tissue == tissue[:, :, :1]).all()
    assert (tissue[depth < RADIUS * 0.98] == -1).all()
    assert (tissue[depth > RADIUS * 1.02] >= 0).all()
    assert np.isnan(values.potential.values[:, depth < RADIUS * 0.85]).all()
    cord = np.hypot(x, y - 1.5e-3)
    assert (tissue[cord < 1.98e-3] == 0).all()
    assert (tissue[(cord > 2.02e-3) & (depth > RADIUS * 1.02)] == 1).all()
    fine = np.arange(-3e-3, 4e-3, 0.03e-3)
    found = ex._labels(canal, fine, fine)
    x, y = np.meshgrid(fine, fine, indexing="ij")
    depth, cord = np.hypot(x - 1e-3, y + 2e-3), np.hypot(x, y - 1.5e-3)
    assert (found[depth < RADIUS * 0.99] == -1).all()
    assert (found[cord < 1.99e-3] == 0).all()
    assert (found[(cord > 2.01e-3) & (depth > RADIUS * 1.01)] == 1).all()
    assert (ex._labels(canal, np.array([-11e-3, 0.0]), np.array([0.0, 12e-3])) == [[-1, -1], [0, -1]]).all()


@pytest.mark.parametrize("turn", range(3))
def test_a_triangle_labels_its_own_side_of_each_edge(canal, turn):
    """One triangle, whichever corner comes first: below the diagonal of a square, nothing above it."""
    corners = np.roll([0, 1, 2], turn)
    none = np.empty(0, np.int64)
    section = Section(np.array([[0.0, 0.0], [1e-3, 0.0], [0.0, 1e-3]]), np.array([[*corners, 0, 0, 0]]), np.array([4]), none, ())
    at = np.linspace(0.05e-3, 0.95e-3, 10)
    found = ex._labels(replace(canal, section=section), at, at)
    assert np.array_equal(found, np.where(at[:, None] + at[None] < 1.0001e-3, 4, -1))


@pytest.mark.parametrize("spacing", [0.7e-3, 2e-3])
def test_second_differences_are_of_the_field_and_not_of_the_grid(canal, spacing):
    found = ex.grid(LeadField((1, 2), np.eye(2), Squares([0.0, 0.0]), canal), LOW, HIGH, spacing)
    for contact in (0, 1):
        assert found.second_difference.values[contact] == pytest.approx(2.0 * (contact + 1), rel=1e-6)


def test_a_program_is_a_mixture_of_its_contacts(values, lead_field, program):
    currents = 2e-3 * ex.drive(lead_field, program)
    assert currents.tolist() == [-2e-3, 1.5e-3]
    assert np.array_equal(ex.drive(lead_field, program), program.drive([1, 2]))  # what recruitment takes
    volts = ex.potential(values, currents)
    p = values.potential.values
    assert np.allclose(volts.values, -2e-3 * p[0] + 1.5e-3 * p[1], rtol=1e-13, atol=1e-15, equal_nan=True)
    assert (volts.dims, volts.attrs["units"]) == (("x", "y", "z"), "V")
    activating = ex.activating_function(values, currents)
    assert activating.attrs["units"] == "V/m2"
    maps = ex.program_maps(lead_field, program)
    assert np.array_equal(maps.of(p)[0], volts.values, equal_nan=True)
    # a fibre along z is depolarised beside the cathode and hyperpolarised beside the anode
    beside = activating.sel(x=2e-3, y=-1.5e-3, method="nearest")
    assert float(beside.sel(z=2.5e-3, method="nearest")) > 0 > float(beside.sel(z=-2.5e-3, method="nearest"))


def test_the_activating_function_of_a_point_source(lead_field, values):
    """1/(4 pi sigma) of the second difference of 1/r, by hand."""
    found = ex.activating_function(values, np.array([-1e-3, 0.0])).sel(x=-2e-3, y=1e-3, z=1e-3, method="nearest")
    r = [np.sqrt(3e-3**2 + 3e-3**2 + (z - 2.5e-3) ** 2) for z in (0.0, 1e-3, 2e-3)]
    assert float(found) == pytest.approx(-1e-3 / (4 * np.pi * SIGMA) * (1 / r[0] - 2 / r[1] + 1 / r[2]) / 1e-6, rel=1e-9)


def test_maps_are_refused_that_cannot_be(lead_field, program, values):
    with pytest.raises(BadInput, match="there is no such contact; got 3; allowed: 1 to 2"):
        ex.contact_maps(lead_field, 3)
    with pytest.raises(BadCase, match=r"contacts.5: there is no such contact"):
        ex.drive(lead_field, program.but(contacts={5: -1, 2: 1}))
    with pytest.raises(BadInput, match="does not say how many mA; got 'auto'"):
        ex.program_maps(lead_field, program.but(amplitude="auto"))
    assert ex.program_maps(lead_field, program.but(amplitude="auto"), 1e-3).mixing.tolist() == [[-1e-3, 0.75e-3]]
    with pytest.raises(BadInput, match="above 0 mA"):
        ex.program_maps(lead_field, program, 0.0)
    with pytest.raises(BadInput, match="are not one for every contact"):
        ex.potential(values, np.ones(3))


@pytest.mark.parametrize(("low", "high", "spacing", "words"), [
    (LOW, HIGH, 0.0, "is not a spacing"), (LOW, HIGH, np.nan, "is not a spacing"), (HIGH, LOW, 1e-3, "is not a box"),
    (LOW[:2], HIGH[:2], 1e-3, "is not a box"), (LOW * np.nan, HIGH, 1e-3, "is not a box"), (LOW, HIGH, 1e-2, "is not a box"),
    (LOW, HIGH, 1e-5, "makes a grid that is too large; got '0.01 mm: 801 x 801 x 1201 points'; allowed: at least 0.0"),
])
def test_grids_are_refused_that_cannot_be(lead_field, low, high, spacing, words):
    with pytest.raises(BadInput, match=words):
        ex.grid(lead_field, low, high, spacing)


# ---- the mesh ----


def test_the_swept_mesh_fills_its_space_with_wedges_as_vtk_wants_them(canal):
    low, high = np.array([-20e-3, -20e-3, -2e-3]), np.array([20e-3, 20e-3, 3e-3])
    mesh = ex.swept_cells(canal, low, high, 1e-3)
    (wedges,) = mesh.cells
    assert mesh.types == (26,)
    assert wedges.shape == (5 * len(canal.section.triangles), 15)
    assert np.array_equal(np.unique(wedges), np.arange(len(mesh.points)))
    p = mesh.points[wedges]
    # nodes 6 to 14 are the middles of these edges (file formats of VTK, checked once with VTK 9.7.2 itself)
    for node, (a, b) in enumerate([(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3), (0, 3), (1, 4), (2, 5)], 6):
        assert np.allclose(p[:, node], 0.5 * (p[:, a] + p[:, b]), atol=1e-12)
    # positive volume: counter-clockwise below, the same above
    u, v, w = p[:, 1] - p[:, 0], p[:, 2] - p[:, 0], p[:, 3] - p[:, 0]
    volume = 0.5 * np.einsum("ij,ij->i", np.cross(u, v), w)
    assert (volume > 0).all()
    polygon = 0.5 * 32 * RADIUS**2 * np.sin(2 * np.pi / 32)
    assert volume.sum() == pytest.approx(5e-3 * (20e-3**2 - polygon), rel=1e-9)
    assert np.array_equal(mesh.tissue, np.tile(canal.section.labels, 5))
    assert (mesh.contact == 0).all()


def test_a_part_of_the_mesh_keeps_whole_triangles(canal):
    mesh = ex.swept_cells(canal, LOW, HIGH, 2e-3)
    middle = mesh.points[mesh.cells[0][:, :6]].mean(axis=1)
    assert ((middle[:, :2] > LOW[:2]) & (middle[:, :2] < HIGH[:2])).all()
    outside = np.hypot(middle[:, 0], middle[:, 1] - 1.5e-3) > 2e-3
    assert np.array_equal(mesh.tissue, outside.astype(int))
    assert np.array_equal(np.unique(mesh.cells[0]), np.arange(len(mesh.points)))
    with pytest.raises(BadInput, match="holds nothing of the mesh"):
        ex.swept_cells(canal, LOW + 50e-3, HIGH + 50e-3, 1e-3)


def quad_areas(cells: ex.Cells) -> np.ndarray:
    p = cells.points[cells.cells[0]]
    return 0.5 * np.linalg.norm(np.cross(p[:, 2] - p[:, 0], p[:, 3] - p[:, 1]), axis=1)


def outwards(cells: ex.Cells, centre: np.ndarray) -> np.ndarray:
    p = cells.points[cells.cells[0]]
    normal = np.cross(p[:, 1] - p[:, 0], p[:, 3] - p[:, 0])
    return np.einsum("ij,ij->i", normal, p.mean(axis=1) - centre) > 0


def test_the_surface_of_a_cylinder_has_its_contacts(canal):
    (shaft,) = canal.shafts
    cells = ex.lead_cells(shaft, -6e-3, 8e-3, 0.7e-3)
    assert cells.points[:, 2].max() == pytest.approx(shaft.z_tip)
    assert np.allclose(np.hypot(cells.points[:, 0] - 1e-3, cells.points[:, 1] + 2e-3), RADIUS)
    areas = quad_areas(cells)
    for contact in shaft.contacts:
        assert areas[cells.contact == contact.number].sum() == pytest.approx(contact.area, rel=2e-3)  # a polygon of 32
        z = cells.points[cells.cells[0][cells.contact == contact.number]][:, :, 2]
        assert (z.min(), z.max()) == pytest.approx((contact.z0, contact.z1), abs=1e-9)
    assert set(cells.contact) == {-1, 1, 2}
    for z in (-5e-3, 0.0):
        near = np.abs(cells.points[cells.cells[0]][:, :, 2].mean(axis=1) - z) < 1e-3
        assert outwards(cells, np.array([1e-3, -2e-3, z]))[near].all()
    with pytest.raises(BadInput, match="holds nothing of lead 0"):
        ex.lead_cells(shaft, 6e-3, 8e-3, 1e-3)


@pytest.mark.parametrize("turn", [0.0, 0.4])
def test_the_contacts_of_a_paddle_lie_on_its_face_towards_the_dura(turn):
    pads = tuple(Contact(k + 1, 0, -2e-3, 2e-3, 1.5e-3 * 4e-3, left, left + 1.5e-3) for k, left in enumerate((-2.5e-3, 1e-3)))
    shaft = Shaft(0, "paddle", 1e-3, -5e-3, 0.9e-3, 0.0, pads, 4e-3, half_width=4e-3, turn=turn, z_end=-5e-3)
    cells = ex.lead_cells(shaft, -30e-3, 30e-3, 1e-3)
    assert (cells.points[:, 2].min(), cells.points[:, 2].max()) == pytest.approx((-5e-3, 4e-3))
    areas = quad_areas(cells)
    normal = np.array([-np.sin(turn), np.cos(turn)])
    for contact in pads:
        mine = cells.contact == contact.number
        assert areas[mine].sum() == pytest.approx(contact.area, rel=1e-9)
        middle = cells.points[cells.cells[0][mine]].mean(axis=(0, 1))[:2] - [1e-3, -5e-3]
        assert middle @ normal == pytest.approx(0.9e-3)
        assert middle @ [np.cos(turn), np.sin(turn)] == pytest.approx(contact.left + 0.75e-3)
    assert outwards(cells, np.array([1e-3, -5e-3, 0.0]))[np.abs(cells.points[cells.cells[0]][:, :, 2].mean(axis=1)) < 0.6e-3].all()
    # all of the outline: two flat sides and two half circles
    assert areas.sum() == pytest.approx(9e-3 * (4 * 3.1e-3 + 2 * np.pi * 0.9e-3), rel=2e-3)


def test_a_slanted_lead_is_drawn_along_its_course():
    course = np.array([[-2e-3, 0.0, -10e-3], [2e-3, 1e-3, 10e-3]])
    shaft = Shaft(0, "slanted", 0.0, 0.5e-3, RADIUS, 0.0, (Contact(1, 0, -1e-3, 2e-3, 1e-5),), 10e-3, course=course)
    cells = ex.lead_cells(shaft, -10e-3, 10e-3, 5e-3)
    for z, x, y in ((-10e-3, -2e-3, 0.0), (10e-3, 2e-3, 1e-3)):
        level = cells.points[np.isclose(cells.points[:, 2], z)]
        assert level[:, :2].mean(axis=0) == pytest.approx([x, y], abs=1e-12)


# ---- the files ----


def vtk_file(path: Path) -> tuple[ET.Element, dict[str, np.ndarray]]:
    """Header and arrays of an XML file of VTK with appended raw data."""
    raw = path.read_bytes()
    start = raw.index(b"_", raw.index(b"<AppendedData")) + 1
    head = ET.fromstring(raw[: raw.index(b"<AppendedData")] + b"</VTKFile>")
    assert head.attrib["byte_order"] == "LittleEndian"
    counter = np.dtype("<u8" if head.attrib["header_type"] == "UInt64" else "<u4")
    kinds = {"Float64": "<f8", "Int64": "<i8", "Int32": "<i4", "Int16": "<i2", "UInt8": "u1"}
    arrays = {}
    for one in head.iter("DataArray"):
        at = start + int(one.attrib["offset"])
        size = int(np.frombuffer(raw, counter, 1, at)[0])
        found = np.frombuffer(raw, kinds[one.attrib["type"]], size // np.dtype(kinds[one.attrib["type"]]).itemsize, at + counter.itemsize)
        arrays[one.attrib["Name"]] = found.reshape(-1, 3) if one.attrib["NumberOfComponents"] == "3" else found
    return head, arrays


def test_a_vti_file_holds_the_grid(tmp_path, lead_field, program, values):
    path = ex.export(lead_field, "vti", tmp_path / "new" / "field.vti", ex.program_maps(lead_field, program), low=LOW, high=HIGH)
    assert [p.name for p in path.parent.iterdir()] == ["field.vti"]
    head, arrays = vtk_file(path)
    image = head.find("ImageData")
    assert image is not None
    assert image.attrib["WholeExtent"].split() == ["0", "16", "0", "16", "0", "24"]
    assert np.array(image.attrib["Origin"].split(), float) == pytest.approx(LOW, abs=1e-15)
    assert np.array(image.attrib["Spacing"].split(), float) == pytest.approx([0.5e-3] * 3)
    assert list(arrays) == ["potential_V", "activating_function_V_per_m2", "tissue"]
    currents = np.array([-2e-3, 1.5e-3])
    # x runs fastest in VTK
    assert np.array_equal(arrays["potential_V"], ex.potential(values, currents).values.ravel("F"), equal_nan=True)
    assert np.array_equal(arrays["activating_function_V_per_m2"], ex.activating_function(values, currents).values.ravel("F"), equal_nan=True)
    assert np.array_equal(arrays["tissue"], values.tissue.values.ravel("F"))
    assert b"<!-- Epidura: metres, RAS+" in path.read_bytes()[:300]


def test_a_vti_file_of_all_contacts_names_them(tmp_path, lead_field, values):
    path = ex.export(lead_field, "vti", tmp_path / "all.vti", ex.contact_maps(lead_field), low=LOW, high=HIGH)
    _, arrays = vtk_file(path)
    for i in (0, 1):
        assert np.array_equal(arrays[f"potential_contact_{i + 1}_V_per_A"], values.potential.values[i].ravel("F"), equal_nan=True)
        assert f"activating_function_contact_{i + 1}_V_per_A_per_m2" in arrays


def test_a_vtu_file_holds_mesh_and_leads(tmp_path, lead_field, program, canal):
    path = ex.export(lead_field, "vtu", tmp_path / "field.vtu", ex.program_maps(lead_field, program), low=LOW, high=HIGH, spacing=1e-3)
    head, arrays = vtk_file(path)
    piece = head.find("UnstructuredGrid/Piece")
    assert piece is not None
    count = int(piece.attrib["NumberOfCells"])
    points, types, tissue, contact = arrays["points"], arrays["types"], arrays["tissue"], arrays["contact"]
    assert len(points) == int(piece.attrib["NumberOfPoints"])
    assert len(types) == len(tissue) == len(contact) == len(arrays["offsets"]) == count
    assert np.array_equal(np.diff(arrays["offsets"], prepend=0), np.where(types == 26, 15, 4))
    assert set(types) == {9, 26}
    assert (tissue[types == 9] == -1).all()
    assert set(contact[types == 9]) == {-1, 1, 2}
    cells = np.split(arrays["connectivity"], arrays["offsets"][:-1])
    mesh = ex.swept_cells(canal, LOW, HIGH, 1e-3)
    assert np.array_equal(points[: len(mesh.points)], mesh.points)
    assert np.array_equal(np.stack([cells[i] for i in np.flatnonzero(types == 26)]), mesh.cells[0])
    volts = arrays["potential_V"]
    inner = lead_field.sample_or_nan(mesh.points)
    assert np.allclose(volts[: len(mesh.points)], -2e-3 * inner[0] + 1.5e-3 * inner[1], rtol=1e-12, atol=1e-14, equal_nan=True)
    # a contact is equipotential: -2 mA here and 1.5 mA there
    for number, value in ((1, -2e-3 * 310 + 1.5e-3 * 60), (2, -2e-3 * 60 + 1.5e-3 * 320)):
        nodes = np.concatenate([cells[i] for i in np.flatnonzero(contact == number)])
        assert volts[nodes] == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("name", ["field.nii", "field.nii.gz"])
def test_a_nifti_file_lies_where_the_grid_lies(tmp_path, lead_field, program, values, name):
    path = ex.export(lead_field, "nifti", tmp_path / name, ex.program_maps(lead_field, program), low=LOW, high=HIGH)
    image: Any = nibabel.load(path)
    assert nibabel.aff2axcodes(image.affine) == ("R", "A", "S")
    assert image.shape == (17, 17, 25)
    voxel = image.affine @ [3, 14, 20, 1]
    assert voxel[:3] == pytest.approx((LOW + 0.5e-3 * np.array([3, 14, 20])) * 1e3, abs=1e-5)
    assert np.allclose(image.get_fdata(), ex.potential(values, np.array([-2e-3, 1.5e-3])).values, rtol=1e-6, equal_nan=True)
    head = image.header
    assert head.get_xyzt_units()[0] == "mm"
    assert (int(head["sform_code"]), int(head["qform_code"])) == (2, 2)
    assert head.get_intent()[0] == "estimate"
    assert head.get_intent()[2] == "potential V"
    assert bytes(head["descrip"]).rstrip(b"\0") == b"Epidura potential in V: bipole"
    assert np.allclose(head.get_qform(), image.affine, atol=1e-5)


def test_a_nifti_file_of_all_contacts_has_a_volume_for_each(tmp_path, lead_field, values):
    image: Any = nibabel.load(ex.export(lead_field, "nifti", tmp_path / "all.nii", ex.contact_maps(lead_field), low=LOW, high=HIGH))
    assert image.shape == (17, 17, 25, 2)
    assert np.allclose(image.get_fdata()[..., 1], values.potential.values[1], rtol=1e-6, equal_nan=True)
    alone: Any = nibabel.load(ex.export(lead_field, "nifti", tmp_path / "one.nii", ex.contact_maps(lead_field, 2), low=LOW, high=HIGH))
    assert np.array_equal(alone.get_fdata(), image.get_fdata()[..., 1], equal_nan=True)
    assert alone.header.get_intent()[2] == "potential V/A"


def test_the_region_is_the_canal_around_the_contacts(canal):
    low, high = ex.region(canal)
    assert low == pytest.approx([-4e-3, -4e-3, -19e-3])
    assert high == pytest.approx([4e-3, 4e-3, 19e-3])


@pytest.mark.parametrize(("what", "name", "words"), [
    ("vtk", "a.vtk", "there is no such kind of file; got 'vtk'; allowed: vti, vtu, nifti"),
    ("vti", "a.vtu", "is no name for vti; allowed: a name that ends with .vti"),
    ("nifti", "a.gz", "allowed: a name that ends with .nii or .nii.gz"),
    ("vti", "folder.vti", "this is a folder"), ("vti", "notes.txt/a.vti", "no file can be made here"),
    ("nifti", "patient.nii", "was not made by epidura export"), ("nifti", "patient.nii.gz", "was not made by epidura export"),
    ("vti", "other.vti", "was not made by epidura export"), ("nifti", "broken.nii.gz", "was not made by epidura export"),
])
def test_a_file_is_refused_before_anything_is_computed(tmp_path, what, name, words):
    (tmp_path / "folder.vti").mkdir()
    (tmp_path / "notes.txt").write_text("five years")
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2), np.float32), np.eye(4)), tmp_path / "patient.nii")
    (tmp_path / "patient.nii.gz").write_bytes(gzip.compress((tmp_path / "patient.nii").read_bytes()))
    (tmp_path / "broken.nii.gz").write_bytes(b"\x1f\x8b\x08 not gzip")
    (tmp_path / "other.vti").write_text('<?xml version="1.0"?>\n<VTKFile/>')
    before = {p: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    with pytest.raises(BadInput, match=words):
        ex.check_file(what, tmp_path / name)
    assert {p: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before


@pytest.mark.parametrize(("what", "name"), [("vti", "a.vti"), ("vtu", "a.vtu"), ("nifti", "a.nii"), ("nifti", "a.nii.gz")])
def test_an_earlier_export_is_replaced_and_a_failed_one_leaves_it(tmp_path, lead_field, what, name):
    path = tmp_path / name
    for contact in (1, 2):
        assert ex.export(lead_field, what, path, ex.contact_maps(lead_field, contact), low=LOW, high=HIGH, spacing=2e-3) == path
    before = path.read_bytes()
    with pytest.raises(BadInput, match="too large"):
        ex.export(lead_field, what, path, ex.contact_maps(lead_field), spacing=5e-6)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_field_without_a_mesh_is_refused(lead_field, canal):
    class Other:
        pass

    with pytest.raises(BadInput, match=r"canal.section: is not a meshed section; got 'Other'"):
        ex.swept_cells(replace(canal, section=Other()), LOW, HIGH, 1e-3)
    assert isinstance(canal.section, Section)


# ---- the command line ----


@pytest.fixture
def here(tmp_path, monkeypatch, capsys, canal):
    """The command line in this process, with a field that need not be solved; the contacts are those of the case."""
    case = tiny("programs", 0, "contacts", value={1: -1, 2: 1})
    case["programs"].append({**case["programs"][0], "name": "strong", "amplitude": "4 mA"})
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(case), "utf-8")
    count = read(path).contact_count
    solved: list[object] = []

    def solve(canal, cache):
        solved.append(cache)
        z = np.linspace(-4e-3, 4e-3, count).tolist()
        return LeadField(tuple(range(1, count + 1)), np.eye(count), Points(z), canal)

    monkeypatch.setattr(canal_module, "build_canal", lambda anatomy, leads: canal)
    monkeypatch.setattr(field_module, "solve_field", solve)
    monkeypatch.setenv("EPIDURA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr("sys.argv", ["epidura", "export", "tiny.yaml", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, end.value.code or 0, said.out, said.err)

    call.solved = solved  # type: ignore[attr-defined]
    return call


def test_export_writes_the_file_and_prints_its_path(here, tmp_path):
    done = here("--what", "vti", "--out", "deep/a.vti", "--program", "tonic", "--amplitude", "2 mA", "--spacing", "1 mm")
    assert (done.returncode, done.stdout) == (0, "deep/a.vti\n")
    _, of_tonic = vtk_file(tmp_path / "deep" / "a.vti")
    assert here("--what", "vti", "--out", "b.vti", "--program", "strong", "--spacing", "1 mm").returncode == 0
    _, of_strong = vtk_file(tmp_path / "b.vti")
    assert np.allclose(of_strong["potential_V"], 2 * of_tonic["potential_V"], equal_nan=True)
    assert here("--what", "nifti", "--out", "c.nii.gz", "--contact", 3, "--spacing", "2 mm").returncode == 0
    assert here("--what", "vtu", "--out", "d.vtu", "--contact", 3, "--spacing", "4 mm").returncode == 0
    assert set(here.solved) == {tmp_path / "cache"}


@pytest.mark.parametrize(("arguments", "words"), [
    (("--what", "vtk", "--out", "a.vtk"), "what: there is no such kind of file"),
    (("--what", "vti", "--out", "a.nii"), "is no name for vti"),
    (("--what", "vti", "--out", "a.vti", "--program", "tonik"), "program: there is no such program; got 'tonik'; allowed: tonic, strong; did you"),
    (("--what", "vti", "--out", "a.vti", "--program", "tonic"), "amplitude: program tonic does not say how many mA; got 'auto'"),
    (("--what", "vti", "--out", "a.vti", "--program", "tonic", "--amplitude", "3"), "amplitude: a bare number has no unit"),
    (("--what", "vti", "--out", "a.vti", "--program", "tonic", "--amplitude", "-3 mA"), "amplitude: an amplitude is positive"),
    (("--what", "vti", "--out", "a.vti", "--amplitude", "3 mA"), "amplitude: belongs to a program"),
    (("--what", "vti", "--out", "a.vti", "--program", "tonic", "--contact", "3"), "cannot be shown together"),
    (("--what", "vti", "--out", "a.vti", "--contact", "9"), "contact: there is no such contact; got 9; allowed: 1 to 8"),
    (("--what", "vti", "--out", "a.vti", "--spacing", "1"), "spacing: a bare number has no unit"),
    (("--what", "vti", "--out", "a.vti", "--spacing", "0 mm"), "spacing: a spacing is positive"),
])
def test_export_refuses_before_it_solves(here, tmp_path, arguments, words):
    before = sorted(p.name for p in tmp_path.iterdir())
    refused(here(*arguments), words)
    assert here.solved == []
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_a_spacing_that_is_too_fine_is_one_line(here, tmp_path):
    done = here("--what", "vti", "--out", "a.vti", "--spacing", "1 um")
    assert done.returncode == 2
    assert "too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "a.vti").exists()


def test_along_a_spine_tissues_are_where_the_anatomy_has_them(tmp_path):
    """Cord, sac and disc of an anatomy that changes, at heights between two stations and across a disc."""
    from epidura import anatomy, lead
    from epidura.canal import build_canal
    from epidura.placement import inside
    from epidura.shape import outline_at, wall_of

    canal = build_canal(anatomy.family.read({"kind": "parametric", "vertebra": "T9", "extent": "spine"}),
                        [lead.family.read({"model": "octrode", "tip_vertebra": "T8", "lateral": "-1 mm"})], accuracy="fast")
    disc = next((low, high) for tissue, low, high, _ in wall_of(canal) if tissue == "disc" and low > -30e-3)
    x, y = np.array([-3.05e-3, 0.03e-3, 4.02e-3]), np.linspace(-9e-3, 9.5e-3, 40)
    z = np.array([disc[0] - 1e-3, 0.5 * sum(disc), disc[1] + 1e-3])
    names, tissue_of = ex.tissues_along(canal, z)
    assert {"disc", "ligament", "foramen", "bone"} <= set(names)
    assert len(set(names)) == len(names)
    labels = ex._labels_along(canal, x, y, z)
    points = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    for k in range(len(z)):
        found = np.array([names[tissue_of[k, label]] if tissue_of[k, label] >= 0 else "lead" for label in labels[:, :, k].ravel()])
        depth = {name: inside(outline_at(canal, name, z[k : k + 1])[0], *points.T) for name in ("cord", "dura-inner", "dura-outer", "canal")}
        sure = np.min([np.abs(one) for one in depth.values()], axis=0) > 0.05e-3
        fluid = (depth["cord"] < 0) & (depth["dura-inner"] > 0)
        assert fluid.sum() > 20
        np.testing.assert_array_equal((found == "csf")[sure], fluid[sure])
        np.testing.assert_array_equal((found == "dura")[sure], ((depth["dura-inner"] < 0) & (depth["dura-outer"] > 0))[sure])
        ventral = (points[:, 1] > 0) & (np.abs(points[:, 0]) < 1e-3) & (depth["canal"] < -0.2e-3) & (depth["canal"] > -2e-3)
        assert ventral.any()
        assert set(found[ventral]) == ({"disc"} if k == 1 else {"bone"})
    low, high = np.array([-2e-3, -3e-3, z[0]]), np.array([2e-3, 3e-3, z[2]])
    mesh = ex.swept_cells(canal, low, high, 1e-3)
    at_top = mesh.points[np.isclose(mesh.points[:, 2], mesh.points[:, 2].max())]
    there = canal.way.at(np.array([at_top[0, 2]]))[0][0]
    assert np.abs(at_top[:, None, :2] - there[None]).sum(axis=2).min(axis=1).max() < 1e-12
