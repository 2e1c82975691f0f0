"""The solver against fields known in closed form or by series (``data/``), and each check against seeded faults."""

from __future__ import annotations

import field_models as models
import pytest

VALUE, BAND = 0.001, 0.005  # largest errors promised of V and of contact impedances
DIFFERENCE = {"iso": 0.01, "homog": 0.01, "aniso": 0.02}  # of the 1 mm second difference

POINTS = ["V_iso_0.25", "V_aniso_0.083_0.083_0.6", "V_iso_1.7"]
PLANES = ["V_two_fat0.04_csf1.7", "V_two_csf1.7_fat0.04", "V_slab_fat_dura0.03x0.3_csf", "V_slab_fat_dura0.60x0.3_csf"]
CYLINDERS = [("iso", "inf"), ("iso", "R30_L120"), ("aniso", "R30_L120"), ("homog", "R30_L120")]


@pytest.mark.parametrize("medium", POINTS)
def test_point_source_in_an_infinite_medium(medium: str) -> None:
    assert models.worst_point(medium) < VALUE


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["sign", "unit slip", "swapped axes"])
def test_point_source_check_catches(fault: str) -> None:
    assert models.worst_point("V_aniso_0.083_0.083_0.6", fault) > VALUE


@pytest.mark.parametrize("medium", PLANES)
def test_point_source_near_planes(medium: str) -> None:
    assert models.worst_plane(medium) < VALUE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("medium", "fault"), [(PLANES[2], "sign"), (PLANES[2], "dura twice"), (PLANES[3], "unit slip"), (PLANES[3], "media swapped")]
)
def test_planes_check_catches(medium: str, fault: str) -> None:
    assert models.worst_plane(medium, fault) > VALUE


@pytest.mark.parametrize(("case", "domain"), CYLINDERS)
def test_point_source_in_cylinders(case: str, domain: str) -> None:
    value, difference = models.worst_cylinder(case, domain)
    assert value < VALUE
    assert difference < DIFFERENCE[case]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "domain", "fault"),
    [
        ("aniso", "R30_L120", "sign"),
        ("aniso", "R30_L120", "unit slip"),
        ("aniso", "R30_L120", "swapped axes"),
        ("aniso", "R30_L120", "dura twice"),
        ("iso", "R30_L120", "dura twice"),
        ("iso", "inf", "dura twice"),
    ],
)
def test_cylinder_check_catches(case: str, domain: str, fault: str) -> None:
    value, difference = models.worst_cylinder(case, domain, fault)
    assert value > VALUE
    # a current of the wrong sign or a wrong length or layer also shows where fibres look
    assert difference > DIFFERENCE[case]


def test_access_resistance_of_bands() -> None:
    assert models.worst_band() < BAND


@pytest.mark.parametrize("fault", ["sign", "unit slip", "conductivity twice"])
def test_band_check_catches(fault: str) -> None:
    assert models.worst_band(fault) > BAND
