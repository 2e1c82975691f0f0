"""Patients for the tests of FHIR: a whole course with every kind of event, and random ones."""

from __future__ import annotations

from datetime import date, timedelta

from epidura import eq5d
from epidura.clinic import events as ev
from epidura.clinic.complications import Action, Complication
from epidura.clinic.instruments.eq_5d_5l import VAS
from epidura.clinic.procedure import SUBSTANCES, Allergies, Anaesthesia, CaseLink, Consent, InfectionBundle, Planning, risks_to_name
from epidura.clinic.selection import Findings, Member, Tried, names
from epidura.clinic.verdict import Step

BEGIN = date(2024, 1, 8)
EQ = {**dict.fromkeys(eq5d.DIMENSIONS, 2), VAS: 71}


def day(number: int) -> date:
    return BEGIN + timedelta(days=number)


def registered(number: int = 0, **more) -> ev.Registered:
    identity = {"family_name": "Exempla", "given_name": "Ada Zoë", "birth_date": date(1960, 2, 29), "identifiers": {"hospital": "H 12/7"},
                "phone": "+00 1", "email": "ada@example.org", "address": "1 Sample Lane\nNowhere", "contact": "her brother", **more}
    return ev.Registered(on=day(number), identity=ev.Identity(**identity), birth_year=identity["birth_date"].year, sex="female", language="de")


def findings() -> Findings:
    tried = tuple(Tried(kind=kind, what=f"{kind} A", begin=date(2022, 1, 1), end=date(2022, 6, 1), effect="none")
                  for kind in ("drug", "surgery", "block", "physiotherapy", "psychology"))
    return Findings(assessed=day(10), age=63, indication="failed-back-surgery", neuropathic=True, pain_since=date(2020, 2, 1), pain_vas=72.0,
                    pain_nrs=7, location="left leg more than back", anatomy="no", screens={"dn4": 6}, tried=tried,
                    psychosocial=dict.fromkeys(names("psychosocial"), "none"), contraindications=dict.fromkeys(names("contraindication"), "no"),
                    communication_needs="no", least_costly="yes")


def consent(stage: str, number: int) -> ev.Consented:
    return ev.Consented(on=day(number), consent=Consent(stage=stage, text_version="3.1", language="de", risks=tuple(risks_to_name()),
                                                        explained_by="Dr. Demo", role="pain physician", explained_on=day(number),
                                                        signed_on=day(number), alternatives=True, reversibility=True))


def planned(stage: str, number: int) -> ev.Planned:
    planning = Planning(target="leg, radicular (tonic)", target_level="T9", entry_level="L1", side="left", leads=2, generator_site="upper-buttock")
    return ev.Planned(on=day(number), stage=stage, planning=planning, drugs=("warfarin",),
                      hold={"warfarin": "last dose and restart as signed"}, anaesthesia=Anaesthesia(kind="local with sedation"),
                      allergies=Allergies(answers=dict.fromkeys(SUBSTANCES, "no")))


def checked(stage: str, number: int) -> ev.Checked:
    from epidura.tables import table

    ids = table("infection_bundle").column("id")
    return ev.Checked(on=day(number), stage=stage, bundle=InfectionBundle.model_validate(
        {"ticks": {each: {"state": "done", "by": "nurse", "on": day(number).isoformat()} for each in dict.fromkeys(ids)}}))


def program(name: str = "legs", **more) -> dict:
    one = {"name": name, "waveform": {"kind": "tonic", "frequency": "50 Hz", "pulse_width": "300 us"}, "contacts": {"3": -1, "4": 0.5, "5": 0.5},
           "amplitude": "4.2 mA", **more}
    return {"format": "epidura-program/1", "title": f"program {name}", "programs": [one]}


def programmed(number: int, slot: str = "A", **more) -> ev.Programmed:
    return ev.Programmed(on=day(number), slot=slot, program=program(**more), perception_mA=2.1, discomfort_mA=6.0, set_mA=4.2,
                         impedances_ohm={3: 640, 4: 655.5}, covered=("leg",), charge={"charge_per_phase_uC": 1.26, "battery_years": 7.5})


def course() -> list[ev.Event]:
    """A patient who goes the whole way: every kind of event that can be written, corrections included."""
    burst = {"waveform": {"kind": "burst"}, "amplitude": "60 % of perception", "cycle": {"on": "30 s", "off": "90 s"}, "ramp_up": "2 s",
             "interleaved": [{"waveform": {"kind": "tonic"}, "contacts": {"1": -1, "case": 1}}]}
    return [
        registered(),
        ev.Referred(on=day(1), indication="crps", pain_areas=("leg", "low-back"), nrs=8, referrer="Dr. Ann Other", question="Can it help her?",
                    why="typed from the letter"),
        ev.Identified(on=day(2), identity=ev.Identity(family_name="Exempla-Nova", given_name="Ada", birth_date=date(1960, 2, 29))),
        ev.Corrected(on=day(3), version=2, why="the letter says so", instead={"on": day(1).isoformat(), "indication": "failed-back-surgery", "nrs": 8,
                                                                            "referrer": "Dr. Ann Other"}),
        ev.Answered(on=day(9), instrument={"kind": "odi"}, answers={str(k): 3 for k in range(1, 11)}),
        ev.Answered(on=day(9), instrument={"kind": "phq-9"}, answers={**{str(k): 2 for k in range(1, 9)}, "9": 1}),
        ev.Assessed(on=day(10), jurisdiction="unspecified", findings=findings()),
        ev.Signed(on=day(11), member=Member(name="A", role="pain physician", experienced=True, agrees=True)),
        ev.Signed(on=day(11), member=Member(name="B", role="psychologist", agrees=True, reason="ready")),
        ev.Selected(on=day(12), decision="selected", to_do=("photograph of the pain drawing",)),
        consent("trial", 13), planned("trial", 14), checked("trial", 15),
        ev.LeadIn(on=day(15), stage="trial", lead="left", model="standard-1x8", manufacturer="Medtronic", serial="S1", lot="L1",
                  udi="(01)00643169007222", technique="tunnelled", entry="L1", level="T9", side="left"),
        ev.LeadIn(on=day(15), stage="trial", lead="right", model="standard-1x8", level="T9"),
        programmed(16), programmed(16, "B", name="burst", **burst),
        ev.TrialBegun(on=day(16), days=7, baseline_nrs=8, baseline_activity=3, baseline_medication=1.0, index_before=0.31),
        *(ev.Diary(on=day(17 + k), worst=5, average=3.5, least=1, sleep=7, activity=6, medication=0.5, tingling=("leg", "left-foot"),
                   stimulation_hours=20.5, slot="A", note="a good day\n\n“really”") for k in range(7)),
        ev.Corrected(on=day(24), version=19, why="entered twice"),
        ev.LeadMoved(on=day(24), lead="right", level="T10", how="migrated", distance_mm=12.5),
        ev.LeadOut(on=day(24), lead="right"),
        ev.Unprogrammed(on=day(24), slot="B"),
        ev.TrialEnded(on=day(25), reported_relief=0.6, index_during=0.62), ev.Judged(on=day(26), succeeded=True, rule_says=True),
        consent("implant", 27), planned("implant", 28), checked("implant", 30),
        ev.GeneratorIn(on=day(30), model="Intellis", manufacturer="Medtronic", serial="G1", udi="(01)00643169007239", site="upper-buttock",
                       side="left", rechargeable=True, stay="overnight"),
        ev.Discharged(on=day(31), overnight=True),
        ev.Visited(on=day(60), visit="month-1", nrs=3, reported_relief=0.6, index=0.7, battery=0.9, note="content"),
        ev.Answered(on=day(60), instrument={"kind": "eq-5d-5l"}, answers=EQ, moment="month-1"),
        ev.Complicated(on=day(70), name="pocket 1", complication=Complication(
            kind="infection", subkind="superficial", stage="follow-up", onset=day(69), severity="moderate", criteria=("intervention",),
            device="possible", procedure="probable", devices=("G1",), actions=(Action(on=day(70), what="antibiotics"),), outcome="recovering")),
        ev.Linked(on=day(80), slot="A", case=CaseLink(title="her case", text="title: her case\n"), predicted={"perception_mA": 2.4}),
        ev.Revised(on=day(200), what=("pocket",), why="pain"),
        ev.Recalled(on=day(201), notice="FSN-1", part="generator", state="checked"),
        *(ev.Salvaged(on=day(400), name=step, step=Step(state="done", on=day(400), by="Dr. Demo", result="no change"))
          for step in ("reprogram", "waveform", "holiday", "lead-check", "impedance")),
        planned("implant", 499), checked("implant", 500), ev.GeneratorOut(on=day(500), replaced=True, reason="battery"),
        ev.GeneratorIn(on=day(500), model="Intellis", site="abdomen"),
        ev.Explanted(on=day(600), reason="loss of effect", complete=False),
        ev.Noted(on=day(601), text="<b>not bold</b> & \u0007 done"),
        ev.Died(on=day(700), related="unrelated"),
    ]

