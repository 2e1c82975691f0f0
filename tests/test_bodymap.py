"""The body map: whole, mirrored, the right way round, and honest about what it is told."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from importlib.resources import files

import pytest

from epidura import bodymap
from epidura.bodymap import CENTRES, DERMATOMES, FELT, SIDES, TALL, TOP, UNFELT, VIEWS, WIDE, body_map, views
from epidura.errors import BadInput
from epidura.patient import Pain
from epidura.tables import EVIDENCE, table

SVG = "{http://www.w3.org/2000/svg}"
ASKED = ["head", "occiput", "neck", "shoulder", "arm", "upper-arm", "forearm", "hand", "chest", "precordium", "upper-back",
         "abdomen", "low-back", "low-back-skin", "buttock", "groin", "perineum", "pelvis", "hip", "thigh", "leg", "knee",
         "calf", "foot"]


def drawn(svg: str) -> dict[tuple[str, str, str], ET.Element]:
    """(view, dermatome, side) to its path."""
    return {(view.attrib["data-view"], path.attrib["data-dermatome"], path.attrib["data-side"]): path
            for view in ET.fromstring(svg).iter(f"{SVG}g") if "data-view" in view.attrib
            for path in view.iter(f"{SVG}path") if "data-dermatome" in path.attrib}


def points(path: ET.Element) -> list[tuple[float, float]]:
    numbers = [float(n) for n in re.findall(r"-?[\d.]+", path.attrib["d"])]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def wrong_hand(svg: str) -> list[tuple[str, str, str]]:
    """Regions that are not on the viewer's side where they belong."""
    return [key for key, path in drawn(svg).items()
            if any(x * (1 if (key[0], key[2]) in {("front", "left"), ("back", "right")} else -1) < 0 for x, _ in points(path))]


def area(outline: list[list[float]]) -> float:
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(outline, outline[1:] + outline[:1], strict=True)) / 2


@pytest.fixture(scope="module")
def plain() -> str:
    return body_map({})


def test_every_dermatome_is_there_on_both_sides(plain):
    assert len(DERMATOMES) == 29
    for side in SIDES:
        assert {d for _, d, s in drawn(plain) if s == side} == set(DERMATOMES)
        assert {d for v, d, s in drawn(plain) if (v, s) == ("back", side)} == set(DERMATOMES)


def test_regions_lie_in_the_view_box_and_apart(plain):
    for (view, _, _), path in drawn(plain).items():
        assert all(0 <= x + CENTRES[view] <= WIDE and 0 <= y + TOP <= TALL - 30 for x, y in points(path))
    assert max(x for v in VIEWS for x, _ in views()[v]["silhouette"]) < (CENTRES["back"] - CENTRES["front"]) / 2


@pytest.mark.parametrize("view", VIEWS)
def test_regions_fill_the_silhouette_once(view):
    half = views()[view]
    parts = sum(abs(area(polygon)) for polygons in half["regions"].values() for polygon in polygons)
    whole = abs(area(half["silhouette"]))
    face = 0.053 * whole if view == "front" else 0
    assert parts == pytest.approx(whole - face, rel=0.01)


def inside(x: float, y: float, outline: list[list[float]]) -> bool:
    crossed = [(y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0)
               for (x0, y0), (x1, y1) in zip(outline, outline[1:] + outline[:1], strict=True)]
    return sum(crossed) % 2 == 1


@pytest.mark.parametrize("view", VIEWS)
def test_names_point_into_their_regions(view):
    half = views()[view]
    assert set(half["labels"]) >= set(half["regions"]) - {"T1"}
    for dermatome, places in half["labels"].items():
        x, y = places[-1]
        assert any(inside(abs(x), y, polygon) for polygon in half["regions"][dermatome]), dermatome


def test_left_mirrors_right(plain):
    paths = drawn(plain)
    for (view, dermatome, side), path in paths.items():
        if side == "left":
            assert [(-x, y) for x, y in points(path)] == points(paths[view, dermatome, "right"])


def test_front_right_is_on_the_viewers_left(plain):
    assert wrong_hand(plain) == []
    for view in ET.fromstring(plain).iter(f"{SVG}g"):
        if name := view.attrib.get("data-view"):
            marks = {t.text: float(t.attrib["x"]) for t in view.iter(f"{SVG}text")}
            assert (marks["R"] < 0 < marks["L"]) == (name == "front")
            assert name in marks


def test_swapped_sides_would_be_noticed(monkeypatch):
    true = bodymap.hand
    monkeypatch.setattr(bodymap, "hand", lambda view, side: -true(view, side))
    assert len(wrong_hand(body_map({}))) == len(drawn(body_map({})))


@pytest.mark.parametrize(("upper", "lower"), [("C4", "T2"), ("T4", "T6"), ("T6", "T10"), ("T10", "L1"), ("L1", "L2"),
                                              ("L2", "L3"), ("L3", "L4"), ("L4", "S1")])
def test_front_goes_down_the_body(plain, upper, lower):
    paths = drawn(plain)
    mean = [sum(y for _, y in points(paths["front", d, "left"])) / len(points(paths["front", d, "left"])) for d in (upper, lower)]
    assert mean[0] < mean[1]


def test_thumb_is_c6_and_sole_side_is_s1(plain):
    paths = drawn(plain)
    reach = {d: max(x for x, _ in points(paths["front", d, "left"])) for d in DERMATOMES if ("front", d, "left") in paths}
    assert max(reach, key=reach.__getitem__) == "C6"
    assert max(y for _, y in points(paths["back", "S1", "left"])) == max(y for _, y in views()["back"]["silhouette"])


def test_felt_changes_the_colour_of_one_side_only():
    paths = drawn(body_map({("L4", "left"): 1.0, ("L5", "left"): 0.5}))
    assert paths["front", "L4", "left"].attrib["fill"] == FELT
    assert paths["front", "L4", "right"].attrib["fill"] == UNFELT
    assert paths["front", "L5", "left"].attrib["fill"] not in (FELT, UNFELT)


def hatched(svg: str) -> dict[tuple[str, str], ET.Element]:
    """(view, side and area) to what is hatched."""
    return {(view.attrib["data-view"], path.attrib["data-pain"]): path for view in ET.fromstring(svg).iter(f"{SVG}g") if "data-view" in view.attrib
            for path in view.iter(f"{SVG}path") if "data-pain" in path.attrib}


def test_pain_is_marked_and_said():
    svg = body_map({("L4", "left"): 1.0}, ["left-knee"])  # L3 L4
    assert set(hatched(svg)) == {("front", "left knee")}
    assert all(x >= 0 for x, _ in points(hatched(svg)["front", "left knee"]))
    titles = {key[1:]: path.find(f"{SVG}title").text for key, path in drawn(svg).items()}
    assert titles["L4", "left"] == "left L4: felt 100%, of the pain"
    assert titles["L3", "left"] == "left L3: not felt, of the pain"
    assert titles["L4", "right"] == "right L4: not felt"
    said = ET.fromstring(svg).attrib["aria-label"]
    assert "painful: left knee, anterior. 1 of the 2 dermatomes of the pain felt" in said
    assert "data-pain" not in body_map({("L4", "left"): 1.0})


def test_pain_that_is_deep_or_referred_is_drawn_where_it_is_felt():
    svg = body_map({}, ["low-back", "left-precordium", "pelvis"])
    for (view, name), path in hatched(svg).items():
        x, y = zip(*points(path), strict=True)
        if "low-back" in name:  # L1 to S1, and no leg hurts
            assert view == "back"
            assert (min(y), max(y)) == (pytest.approx(186, abs=2), pytest.approx(246, abs=2))
        elif "precordium" in name:  # C8 to T5, and neither hand nor arm hurts
            assert (view, name) == ("front", "left precordium")
            assert 0 <= min(x) <= max(x) < 50
        else:  # S2 runs down the leg
            assert max(y) <= 290
    assert len(hatched(svg)) == 2 + 1 + 4
    assert "painful: low back, axial; left precordium (angina); pelvis" in ET.fromstring(svg).attrib["aria-label"]
    assert hatched(body_map({}, ["low-back", "left-low-back"])).keys() == hatched(body_map({}, ["low-back"])).keys()


@pytest.mark.parametrize("view", VIEWS)
def test_every_area_lies_within_the_silhouette(view):
    assert {name for one in VIEWS for name in views()[one]["areas"]} == set(table("pain_areas").column("id"))
    half = views()[view]
    for name, polygons in half["areas"].items():
        for polygon in polygons:
            assert abs(area(polygon)) > 100, name
            own = [(x + 0.5, y + 0.5) for x in range(0, 130, 2) for y in range(0, 530, 2) if inside(x + 0.5, y + 0.5, polygon)]
            assert sum(inside(x, y, half["silhouette"]) for x, y in own) > 0.98 * len(own), name


def test_is_one_self_contained_image():
    svg = body_map({("T9", "right"): 0.2}, ["right-abdomen"], width=300, title='Back & leg <"left">')
    root = ET.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"].startswith('Back & leg <"left">')
    assert root.attrib["width"] == "300"
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")
    ids = re.findall(r'id="([^"]+)"', svg)
    assert set(re.findall(r"url\(#([^)]+)\)", svg)) <= set(ids)
    assert len(set(ids)) == len(ids)
    assert not set(ids) & set(re.findall(r'id="([^"]+)"', body_map({})))


@pytest.mark.parametrize(("felt", "pain", "says"), [
    ({("L6", "left"): 1.0}, (), "unknown dermatome; got 'L6'; .*did you mean 'L5'"),
    ({("l4", "left"): 1.0}, (), "did you mean 'L4'"),
    ({}, ["left-calv"], r"pain\[0\]: unknown pain area; got 'left-calv'; .*did you mean 'left-calf'"),
    ({}, [("L4", "left")], r"pain\[0\]: unknown pain area"),
    ({("L4", "lefft"): 1.0}, (), "unknown side; got 'lefft'; allowed: left, right; did you mean 'left'"),
    ({("L4", "left"): 1.2}, (), "not a share; got 1.2; allowed: 0 to 1"),
    ({("L4", "left"): float("nan")}, (), "not a share"),
])
def test_bad_input_is_said_clearly(felt, pain, says):
    with pytest.raises(BadInput, match=says):
        body_map(felt, pain)


def test_width_must_be_positive():
    with pytest.raises(BadInput, match="width"):
        body_map({}, width=0)


def test_drawing_says_what_it_is():
    meta = json.loads((files("epidura") / "data" / "bodymap.json").read_text("utf-8"))["meta"]
    assert meta["evidence"] == "judgement"
    assert "own drawing" in meta["drawing"]


def test_pain_areas_are_all_there_with_sources():
    areas = table("pain_areas")
    assert areas.column("id") == ASKED
    for row in areas:
        assert row["dermatomes"].split()
        assert set(row["dermatomes"].split()) <= set(DERMATOMES)
        assert row["evidence"] in EVIDENCE
        assert row["source"].startswith("dermatomes.csv: ")
        assert (row["doi_or_url"] != "") or row["evidence"] != "read"


def test_axial_and_skin_low_back_differ():
    axial, skin = (set(table("pain_areas").row(id=i)["dermatomes"].split()) for i in ("low-back", "low-back-skin"))
    assert "T12" in skin - axial
    assert "S1" in axial - skin


def test_pain_of_a_patient_can_be_drawn():
    pain = Pain(areas=("low-back", "left-leg"), nrs=8)
    svg = body_map(dict.fromkeys(pain.dermatomes(), 1.0), pain.areas)
    assert set(hatched(svg)) == {("back", "left low-back"), ("back", "right low-back"), ("front", "left leg"), ("back", "left leg")}
    count = len(pain.dermatomes())
    assert f"{count} of the {count} dermatomes of the pain felt" in ET.fromstring(svg).attrib["aria-label"]
