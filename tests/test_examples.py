"""The cases that come with Epidura: complete, reasoned, and at the levels where clinicians put leads."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

from epidura.canal import place_leads
from epidura.case import Case, read, to_text
from epidura.tables import table

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.yaml"))

# example -> rows of data/lead_levels.csv whose targets it treats, and the lateral offsets (mm) that these rows allow
TARGETS = {
    "failed_back_surgery": (["low back axial (tonic)"], (-1.5, 1.5)),
    "bilateral_legs": (["leg, radicular (tonic)"], (-3, 3)),
    "crps_arm": (["upper limb / CRPS arm"], (0, 3)),
    "refractory_angina": (["refractory angina"], (-2, 0)),
    "paddle_back_pain": (["low back axial (tonic)"], (0, 0)),
    "oblique_leads_legs": (["leg, radicular (tonic)"], (-3, 3)),
    "types_of_stimulation": (["low back axial (tonic)"], (-1.5, 1.5)),
    "drg_knee": (["groin / knee / foot focal (DRG)"], (0, 0)),
}


def order(vertebra: str) -> int:
    """C1 is 0, T1 is 7, L1 is 19."""
    return {"C": -1, "T": 6, "L": 18}[vertebra[0]] + int(vertebra[1:])


def levels(text: str) -> tuple[int, int]:
    """First and last vertebra of the leading range, ``T9-T11`` in ``T9-T11 (tip ...)``."""
    first, last = re.match(r"([CTL]\d+)-([CTL]\d+)", text).groups()
    return order(first), order(last)


def cathodes(case: Case) -> set[str]:
    """Vertebrae beside which the cathodes of all programs lie."""
    spans = case.anatomy.level().cord.vertebrae
    middle = {c.number: (c.z0 + c.z1) / 2 for shaft in place_leads(case.anatomy, case.leads) for c in shaft.contacts}
    return {span.name for program in case.programs for number, fraction in program.contacts.items() if fraction < 0
            for span in spans if span.z0 <= middle[number] < span.z1}


def test_at_least_four_examples_each_with_a_target():
    assert len(EXAMPLES) >= 4
    assert {path.stem for path in EXAMPLES} == set(TARGETS)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_says_why_and_is_at_its_level(path):
    case = read(path)
    assert len(case.about.split()) >= 12
    assert case.about.strip().endswith(".")
    assert case.patient is not None
    assert case.patient.indication is not None
    assert case.patient.pain.dermatomes()
    assert read(to_text(case)) == case
    names, (low, high) = TARGETS[path.stem]
    for name in names:
        row = table("lead_levels").row(pain_target=name)
        first, last = levels(row["vertebral_level_of_active_cathode"])
        found = cathodes(case)
        assert found
        assert all(first <= order(vertebra) <= last for vertebra in found), (found, row)
        assert case.anatomy.vertebra in found
    assert all(low <= lead.lateral * 1e3 <= high for lead in case.leads)
    sides = {area.split("-")[0] for area in case.patient.pain.areas} & {"left", "right"}
    if len(sides) == 1 and path.stem not in ("failed_back_surgery", "types_of_stimulation"):
        assert all(lead.lateral * (1 if sides == {"right"} else -1) >= 0 for lead in case.leads)


def test_the_tips_are_where_the_issue_puts_them():
    tips = {path.stem: {lead.tip_vertebra for lead in read(path).leads} for path in EXAMPLES}
    assert tips["failed_back_surgery"] <= {"T8", "T9"}
    assert tips["refractory_angina"] <= {"C7", "T1"}  # 'C7-T2 (tip C7-T1)'
    assert all(order("C2") <= order(tip) <= order("C6") for tip in tips["crps_arm"])
    assert len(read(FOLDER / "bilateral_legs.yaml").leads) == 2


def test_every_kind_of_lead_and_of_canal_has_an_example():
    cases = {path.stem: read(path) for path in EXAMPLES}
    assert {lead.kind for case in cases.values() for lead in case.leads} == {"percutaneous", "paddle", "drg"}
    assert cases["oblique_leads_legs"].anatomy.extent == "spine"
    assert all(lead.angle != 0 for lead in cases["oblique_leads_legs"].leads)
    # a target on one side has its DRG lead there
    (lead,) = cases["drg_knee"].leads
    assert cases["drg_knee"].patient.pain.areas == (f"{lead.side}-knee",)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_check_finds_an_example_good(path, here, tmp_path):
    done = here("check", path)
    assert done.returncode == 0, done.stderr
    case = read(path)
    assert done.stdout == (f"{path}: good; {len(case.leads)} lead(s), {case.contact_count} contacts, "
                           f"{len(case.programs)} program(s)\n")
    assert list(tmp_path.iterdir()) == []


def test_the_types_of_stimulation_are_all_there():
    case = read(FOLDER / "types_of_stimulation.yaml")
    kinds = [program.waveform.kind for program in case.programs]
    assert kinds == ["tonic", "high-density", "burst", "burst", "high-frequency", "fast-acting", "tonic"]
    assert [program.waveform.recharge for program in case.programs if program.waveform.kind == "burst"] == ["passive", "active"]
    assert len(case.programs[-1].trains) == 3
    assert case.generator is not None


def test_the_demo_is_the_example_of_failed_back_surgery():
    demo = (files("epidura") / "data" / "demo.yaml").read_bytes()
    assert demo == (FOLDER / "failed_back_surgery.yaml").read_bytes()
