"""The room Plan behind its page: levels, scenes, fields as work, label maps."""

from __future__ import annotations

import gzip
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "clinic"))
sys.path.insert(0, str(Path(__file__).parents[1]))

from api_clinic import Browser, Clinic
from phantom import phantom
from tiny_case import tiny

from epidura import case as cases
from epidura import maps, scene
from epidura.canal import place_leads
from epidura.errors import BadInput
from epidura.level_advice import advise, tip_for
from epidura.product import Canal, LeadField
from epidura.tables import table


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Clinic:
    return Clinic(tmp_path_factory.mktemp("plan"))


@pytest.fixture
def physician(clinic: Clinic) -> Browser:
    return clinic.browser("physician")


def read(answer: Any) -> tuple[dict[str, Any], np.ndarray]:
    assert answer.status_code == 200, answer.text
    return json.loads(answer.headers["X-Epidura"]), np.frombuffer(answer.content, "<f4")


# ---------------------------------------------------------------------------------------------------------------- levels


def test_every_row_of_advice_speaks_of_areas_and_a_level_that_exist() -> None:
    areas, vertebrae = table("pain_areas").column("id"), table("vertebrae").column("vertebra")
    for row in table("level_advice"):
        level = table("lead_levels").row(pain_target=row["pain_target"])
        assert set(row["areas"].split()) <= set(areas)
        assert row["vertebra"] in vertebrae
        assert level["source"]
        assert abs(float(row["lateral_mm"])) <= 3


def test_levels_for_a_leg_and_a_back() -> None:
    first, *others = advise(["low-back", "left-leg"], "failed-back-surgery")
    assert first.fits
    assert {one.target for one in (first, *others)} >= {"HD back+leg", "leg, radicular (tonic)", "low back axial (tonic)"}
    leg = next(one for one in advise(["left-leg"]) if one.target == "leg, radicular (tonic)")
    assert (leg.vertebra, leg.offset) == ("T10", -2e-3)
    assert next(one for one in advise(["right-leg"]) if one.target == leg.target).offset == 2e-3
    assert next(one for one in advise(["leg"]) if one.target == leg.target).offset == 0  # both sides
    assert leg.unverified  # from memory
    assert not advise([])
    assert all(one.target != "refractory angina" for one in advise(["precordium"], "crps"))


def test_taking_a_level_puts_the_middle_of_the_contacts_there(physician: Browser) -> None:
    taken = physician.post("/plan/take", {"case": tiny(), "target": "leg, radicular (tonic)"}).json()["case"]
    found = cases.read(taken)
    assert found.anatomy.vertebra == "T10"
    (shaft,) = place_leads(found.anatomy, found.leads)
    assert abs(0.5 * (shaft.contacts[0].z1 + shaft.contacts[-1].z0)) < 1e-6  # z = 0 is the middle of T10
    assert found.leads[0].lateral == -2e-3
    assert tip_for(found.anatomy, found.leads[0], "T10") == (found.leads[0].tip_vertebra, pytest.approx(found.leads[0].tip_offset, abs=1e-6))
    answer = physician.post("/plan/take", {"case": tiny(), "target": "entire hand"})
    assert answer.status_code == 422
    ganglion = physician.post("/plan/take", {"case": tiny("patient", "pain", "areas", value=["right-groin"]),
                                             "target": "groin / knee / foot focal (DRG)"}).json()["case"]
    assert ganglion["leads"][0]["kind"] == "drg"
    assert ganglion["leads"][0]["side"] == "right"
    cases.read({**ganglion, "programs": [{**ganglion["programs"][0], "contacts": {"1": -1, "2": 1}}]})


# ---------------------------------------------------------------------------------------------------------------- scene


def test_a_scene_holds_the_canal_and_its_leads(physician: Browser) -> None:
    header, numbers = read(physician.post("/plan/scene", {"case": tiny("anatomy", "extent", value="spine")}))
    names = [one["name"] for one in header["surfaces"]]
    assert names[:2] == ["cord", "dura"]
    assert {"bone", "disc", "lead 1", "contact 8"} <= set(names)
    at, found = 0, {}
    for one in header["surfaces"]:
        points = numbers[at: at + 3 * one["points"]].reshape(-1, 3)
        at += points.size
        triangles = numbers[at: at + 3 * one["triangles"]].reshape(-1, 3)
        at += triangles.size
        assert triangles.min() == 0
        assert triangles.max() == len(points) - 1
        found[one["name"]] = points
    assert at + header["heights"] * (1 + 2 * len(header["edges"])) == numbers.size
    case = cases.read(tiny("anatomy", "extent", value="spine"))
    (shaft,) = place_leads(case.anatomy, case.leads)
    contact = found["contact 4"]
    assert contact[:, 2].min() == pytest.approx(shaft.contacts[3].z0 * 1e3, abs=1e-3)
    assert header["leads"][0]["contacts"][3]["z1"] == pytest.approx(shaft.contacts[3].z1 * 1e3)
    # the lead lies behind the dura, which lies around the cord
    assert contact[:, 1].max() < found["dura"][:, 1].min() + 0.1 or contact[:, 1].mean() < found["dura"][:, 1].mean()
    assert found["bone"][:, 1].min() > found["dura"][:, 1].min()  # the dorsal half is left out
    assert header["trouble"] is None
    assert header["programs"][0]["drive"] == [0, 0, 0, -1, 1, 0, 0, 0]
    assert any(number["name"].startswith("contact pitch") for number in header["leads"][0]["numbers"])
    alone, few = read(physician.post("/plan/scene", {"case": tiny(), "tissues": False}))
    assert {one["name"].split()[0] for one in alone["surfaces"]} == {"lead", "contact"}
    assert few.size < numbers.size / 10


def test_surfaces_are_closed_and_face_outwards() -> None:
    case = cases.read(tiny("leads", value=[{"model": "octrode", "tip_vertebra": "T8", "angle": "3 deg"}]))
    for one in scene.scene(case.anatomy, case.leads).surfaces:
        a, b, c = (one.points[one.triangles[:, k]] for k in range(3))
        volume = np.einsum("ij,ij->", a, np.cross(b, c)) / 6
        if one.name.startswith(("lead", "contact")):
            edges = {tuple(edge) for t in one.triangles for edge in ((t[0], t[1]), (t[1], t[2]), (t[2], t[0]))}
            assert all((v, u) in edges for u, v in edges), one.name
            assert volume > 0
        if one.name == "contact 1":
            contact = case.leads[0].shape().contacts[0]
            radius = case.leads[0].shape().radius * 1.06
            # as long along the spine as it leans, and as large in every plane across it
            assert volume == pytest.approx(np.pi * radius**2 * (contact.end - contact.start) * np.cos(np.deg2rad(3)), rel=0.03)


@pytest.mark.parametrize(("path", "value", "where"), [
    (("leads", 0, "depth"), "-1 mm", "leads[0].depth"),
    (("leads", 0, "lateral"), "9 mm", "leads[0].lateral"),
    (("leads", 0, "tip_vertebra"), "T13", "leads[0].tip_vertebra"),
    (("leads", 0, "lateral"), "2", "leads[0].lateral"),
    (("anatomy", "dorsal_csf"), "40 mm", "anatomy.dorsal_csf"),
    (("leads",), [], "leads")])
def test_what_cannot_be_is_said_where_it_is(physician: Browser, path: tuple[Any, ...], value: Any, where: str) -> None:
    answer = physician.post("/plan/scene", {"case": tiny(*path, value=value)})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["where"].startswith(where)
    assert error["problem"]


def test_a_case_whose_programs_do_not_fit_is_drawn_all_the_same(physician: Browser) -> None:
    header, _ = read(physician.post("/plan/scene", {"case": tiny("leads", value=[{"model": "pisces-quad", "tip_vertebra": "T8"}])}))
    assert header["trouble"]["where"] == "programs[0].contacts.5"
    assert header["programs"] == []


# ---------------------------------------------------------------------------------------------------------------- field


def sources(canal: Canal) -> LeadField:
    """Point sources in a medium of 0.3 S/m, one at each contact."""
    places = [[*shaft.centre(np.array([0.5 * (c.z0 + c.z1)]))[0], 0.5 * (c.z0 + c.z1)] for shaft in canal.shafts for c in shaft.contacts]

    class Sample:
        def __call__(self, points: np.ndarray) -> np.ndarray:
            return self.lenient(points)

        def lenient(self, points: np.ndarray) -> np.ndarray:
            return np.array([1 / (4 * np.pi * 0.3 * np.linalg.norm(points - place, axis=1)) for place in places])

    return LeadField(tuple(c.number for c in canal.contacts), np.eye(len(places)), Sample(), canal)


@pytest.fixture(scope="module")
def solved(clinic: Clinic) -> dict[str, Any]:
    """A case whose field lies on the bench: that of point sources, which is known."""
    written = tiny("leads", value=[{"model": "quattrode", "tip_vertebra": "T8"}])
    written["programs"][0]["contacts"] = {2: -1, 3: 1}
    bench = clinic.app.state.service.bench
    from epidura.workbench import case_key

    case = cases.read(written)
    bench.keep("field", f"fast {case_key(case, 'anatomy', 'leads')}", lambda: sources(bench.canal(case, "fast")))
    return {"case": json.loads(json.dumps(written)), "accuracy": "fast"}


def test_the_field_on_cord_and_dura_is_that_of_each_contact(physician: Browser, solved: dict[str, Any]) -> None:
    header, numbers = read(physician.post("/plan/scene", {"case": solved["case"]}))
    assert header["ready"] == ["fast"]
    n = header["surfaces"][0]["points"]
    points = numbers[:3 * n].reshape(-1, 3) * 1e-3
    told, values = read(physician.post("/plan/surface", solved))
    total = sum(one["points"] for one in told["surfaces"])
    values = values.reshape(4, total)
    case = cases.read(solved["case"])
    want = sources_at(case, points)
    np.testing.assert_allclose(values[:, :n], want, rtol=1e-3)


def sources_at(case: Any, points: np.ndarray) -> np.ndarray:
    (shaft,) = place_leads(case.anatomy, case.leads)
    return np.array([1 / (4 * np.pi * 0.3 * np.linalg.norm(points - [shaft.x, shaft.y, 0.5 * (c.z0 + c.z1)], axis=1)) for c in shaft.contacts])


@pytest.mark.parametrize(("plane", "at"), [("axial", 2.0), ("sagittal", 0.5)])
def test_slices_hold_potential_and_second_difference(physician: Browser, solved: dict[str, Any], plane: str, at: float) -> None:
    header, numbers = read(physician.post("/plan/slice", {**solved, "plane": plane, "at": at}))
    (u0, u1, columns), (v0, v1, rows) = header["across"], header["up"]
    size = 4 * rows * columns
    potential, second = numbers[:size].reshape(4, rows, columns), numbers[size:2 * size].reshape(4, rows, columns)
    i, j = rows // 3, columns // 3
    u, v = np.linspace(u0, u1, columns)[j], np.linspace(v0, v1, rows)[i]
    point = np.array([[u, v, at] if plane == "axial" else [at, u, v]]) * 1e-3
    case = cases.read(solved["case"])
    below, here, above = (sources_at(case, point + np.array([0.0, 0.0, k * 1e-3])) for k in (-1, 0, 1))
    np.testing.assert_allclose(potential[:, i, j], here[:, 0], rtol=1e-3)
    np.testing.assert_allclose(second[:, i, j], ((above - 2 * here + below) / 1e-6)[:, 0], rtol=0.01, atol=1e-3 * np.abs(second).max())
    assert 2 * size + 2 * sum(line["points"] for line in header["lines"]) == numbers.size
    names = [line["name"] for line in header["lines"]]
    assert {"cord", "dura-inner", "canal"} <= set(names)
    beyond = physician.post("/plan/slice", {**solved, "plane": plane, "at": 300})
    assert beyond.status_code == 422
    assert "allowed" in beyond.json()["error"]


def test_a_field_that_was_not_computed_is_asked_for_first(physician: Browser) -> None:
    answer = physician.post("/plan/surface", {"case": tiny(), "accuracy": "reference"})
    assert answer.status_code == 409
    assert "not computed" in answer.json()["error"]["problem"]


def test_computing_a_field_is_work_that_tells_and_ends(physician: Browser, clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    """The solver is stood in for; that it tells and can be ended is tested in tests/field/test_watch.py."""
    import threading

    go, told = threading.Event(), []

    def solve(canal: Canal, cache: object = None, device: str = "cpu", watch: Any = None) -> LeadField:
        told.append(canal)
        while not go.wait(0.01):
            watch("conjugate gradients, step 3", 0.5)
        return sources(canal)

    monkeypatch.setattr("epidura.workbench.solve_field", solve)
    monkeypatch.setattr(clinic.app.state.service.bench, "canal", lambda case, accuracy="standard": "canal")
    body = {"case": tiny("leads", 0, "lateral", value="0.7 mm"), "accuracy": "fast"}

    def state(job: dict[str, Any], *wanted: str) -> dict[str, Any]:
        for _ in range(500):
            found = physician.get(f"/jobs/{job['id']}").json()
            if found["state"] in wanted and (found["state"] != "running" or found["words"].startswith("conj")):
                return found
            time.sleep(0.01)
        raise AssertionError(found)

    job = physician.post("/plan/field", body).json()
    assert state(job, "running")["share"] == pytest.approx(0.525)
    assert physician.ask("DELETE", f"/jobs/{job['id']}").status_code == 200
    state(job, "cancelled")
    assert not clinic.app.state.service.bench.field_ready(cases.read(body["case"]), "fast")
    case = cases.read(body["case"])
    from epidura.canal import build_canal

    monkeypatch.setattr(clinic.app.state.service.bench, "canal", lambda one, accuracy="standard": build_canal(case.anatomy, case.leads, "fast"))
    go.set()
    job = physician.post("/plan/field", body).json()
    state(job, "done")
    result = physician.get(f"/jobs/{job['id']}/result").json()
    assert result["contacts"] == 8
    assert result["low"] < 0 < result["high"]
    assert physician.post("/plan/scene", {"case": body["case"]}).headers["X-Epidura"].count('"fast"') == 1


# ---------------------------------------------------------------------------------------------------------------- maps


def test_a_label_map_is_kept_and_drawn(physician: Browser, tmp_path: Path) -> None:
    content = phantom(tmp_path / "Anna Private.nii.gz")
    answer = physician.ask("POST", "/plan/maps", content=content, headers={"content-type": "application/octet-stream"})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert maps.NAME.fullmatch(told["file"])
    assert [one["id"] for one in told["ids"]] == [1, 2, 3]
    assert told["spacing_mm"] == [0.5, 0.5, 2.0]
    assert told["ids"][0]["low_mm"] == -60
    assert physician.get(f"/plan/maps/{told['file']}").json() == told
    written = tiny("anatomy", value={"kind": "labels", "file": told["file"], "vertebra": "T9", "labels": {"cord": [1], "csf": [2], "canal": [3]},
                                     "z0": "0 mm"})
    header, numbers = read(physician.post("/plan/scene", {"case": written}))
    cord = numbers[:3 * header["surfaces"][0]["points"]].reshape(-1, 3)
    assert np.ptp(cord[:, 0]) == pytest.approx(10, abs=0.7)
    assert any("bone" in words or "grey" in words for words in header["warnings"])  # what was filled is said
    checked = physician.post("/case/check", {"case": written}).json()["case"]
    assert checked["anatomy"]["file"] == told["file"]
    text = physician.post("/case/write", {"case": checked}).json()["text"]
    assert told["file"] in text
    assert str(tmp_path) not in text
    again = physician.post("/case/read", {"text": text}).json()["case"]
    assert again == checked


@pytest.mark.parametrize("name", ["/etc/passwd", "../clinic.sqlite", "map-../../clinic.sqlite", "map-" + "0" * 32 + ".nii.gz", "clinic.sqlite"])
def test_no_other_file_can_be_asked_for(physician: Browser, name: str) -> None:
    written = tiny("anatomy", value={"kind": "labels", "file": name, "vertebra": "T9", "labels": {"cord": [1]}})
    for path, body in (("/plan/scene", {"case": written}), ("/case/check", {"case": written}), ("/case/write", {"case": written}),
                       ("/plan/field", {"case": written}), ("/case/read", {"text": json.dumps(written)}), ("/case/read", {"text": name})):
        answer = physician.post(path, body)
        assert answer.status_code == 422, (path, answer.text)
        assert "root:" not in answer.text
        assert answer.json()["error"]["where"] in ("anatomy.file", "case text", "case text, line 1", "case text, line 2")


@pytest.mark.parametrize(("content", "problem"), [
    (b"hello, this is no map at all", "not a NIfTI file"),
    (b"", "not a NIfTI file"),
    (gzip.compress(b"hello"), "not a NIfTI file"),
    (gzip.compress(np.random.default_rng(1).bytes(5000))[:3000], "not a whole packed file"),
    ((348).to_bytes(4, "little") + bytes(900), "NIfTI")], ids=["text", "nothing", "packed text", "half", "empty header"])
def test_what_is_no_map_is_refused_and_not_kept(clinic: Clinic, physician: Browser, content: bytes, problem: str) -> None:
    before = sorted((clinic.folder / "maps").glob("*")) if (clinic.folder / "maps").is_dir() else []
    answer = physician.ask("POST", "/plan/maps", content=content, headers={"content-type": "application/octet-stream"})
    assert answer.status_code == 422
    assert problem in answer.json()["error"]["problem"]
    assert str(clinic.folder) not in answer.text
    assert (sorted((clinic.folder / "maps").glob("*")) if (clinic.folder / "maps").is_dir() else []) == before


def test_a_small_file_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(maps, "UNPACKED", 2**20)
    bomb = gzip.compress((348).to_bytes(4, "little") + bytes(4 * 2**20))
    with pytest.raises(BadInput, match="unpacks to too much"):
        maps.Maps(tmp_path).keep(bomb)
    monkeypatch.setattr(maps, "LARGEST", 1000)
    with pytest.raises(BadInput, match="too large"):
        maps.Maps(tmp_path).keep(bomb)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------------------------------------------- examples


def test_examples_of_the_package_are_those_of_the_project_and_open(physician: Browser) -> None:
    start = physician.get("/plan/start").json()
    assert len(start["examples"]) >= 4
    folder = Path(__file__).parents[2]
    for one in start["examples"]:
        found = physician.get(f"/plan/examples/{one['name']}").json()["case"]
        assert found["title"] == one["title"]
        assert (folder / "examples" / f"{one['name']}.yaml").read_bytes() == (folder / "src/epidura/data/cases" / f"{one['name']}.yaml").read_bytes()
        header, _ = read(physician.post("/plan/scene", {"case": found}))
        assert header["trouble"] is None
    assert start["indications"] == [{"id": row["indication"], "name": row["name"]} for row in table("indications")]
    assert {"percutaneous", "paddle", "drg"} == {one["kind"] for one in start["leads"]}
    assert all("source" in one and isinstance(one["unverified"], bool) for one in start["leads"])
    assert physician.get("/plan/examples/nothing_here").status_code == 404
