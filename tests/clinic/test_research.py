"""The research export: no byte of who, of what was sealed, or of a device; times between events kept; no way back without the mapping."""

from __future__ import annotations

import csv
import json
from datetime import UTC, date, datetime

import pytest

from epidura.clinic import complications, events, procedure, research, selection
from epidura.clinic.record import Record, new_id
from epidura.clinic.verdict import Step
from epidura.errors import BadInput

NOW = datetime(2026, 11, 20, 20, tzinfo=UTC)
SECRETS = ("Zebrafamily", "Quaggagiven", "1931-07-19", "ID-77441", "+4455511", "zz@secret.example", "Gnustreet", "Gnucontact", "Dr. Okapi",
           "Okapiquestion", "Okapinote", "Okapiwhy", "SERIAL-991", "LOT-992", "UDI-993", "SLOTNAME", "PROGRAMTITLE", "LEADNAME", "Okapidescription",
           "Okapilocation", "Okapiresult", "actor-okapi", "Okapimodel", "Okapiaction", "Okapilevel", "Okapivisit", "Okapimaker", "Okapicorrected",
           "Okapiprogram", "Okapiquestions", "Okapireason", "Okapimoment")


def day(text: str) -> date:
    return date.fromisoformat(text)


def filled(record: Record) -> str:
    """A patient whose every field that takes free words has some."""
    patient = new_id()
    program = {"format": "epidura-program/1", "title": "PROGRAMTITLE", "about": "PROGRAMTITLE", "programs": [
        {"name": "Okapiprogram", "waveform": {"kind": "tonic", "frequency": "50 Hz", "pulse_width": "300 us"}, "contacts": {3: -1, 4: 1}}]}
    findings = selection.Findings(pain_nrs=8, location="Okapilocation", indication="crps", pain_since=day("2020-01-01"), neuropathic=True,
                                  contraindications=dict.fromkeys(selection.names("contraindication"), "no"),
                                  tried=tuple(selection.Tried(kind=kind, what="Okapilocation", begin=day("2024-01-01"), effect="none")
                                              for kind in ("drug", "surgery", "block", "physiotherapy", "psychology")))
    trouble = complications.Complication(kind="other", description="Okapidescription", stage="trial", onset=day("2026-03-09"),
                                         devices=("SERIAL-991",), actions=(complications.Action(on=day("2026-03-09"), what="Okapiaction"),))
    member = selection.Member(name="Dr. Okapi", role="Okapilocation", agrees=True, reason="Okapireason")
    consents = [events.Consented(on=day("2026-03-01"), consent=procedure.Consent(
        stage=stage, text_version="Okapinote", language="en", explained_by="Dr. Okapi", role="doctor", explained_on=day("2026-02-28"),
        signed_on=day("2026-03-01"), questions="Okapiquestions",
        risks=tuple(procedure.risks_to_name()), alternatives=True, reversibility=True)) for stage in ("trial", "implant")]
    allergies = procedure.Allergies(answers={"latex": "no"}, reactions={"Okapinote": "Okapinote"})
    plans = [events.Planned(on=day("2026-03-01"), stage=stage, planning=procedure.Planning(imaging="Okapinote"), drugs=(), allergies=allergies)
             for stage in ("trial", "implant")]
    bundles = [events.Checked(on=day("2026-03-01"), stage=stage, bundle=procedure.InfectionBundle(
        ticks={"clip": procedure.Tick(state="not done", note="Okapinote")})) for stage in ("trial", "implant")]
    lead = {"lead": "LEADNAME", "model": "Okapimodel", "manufacturer": "Okapimaker", "serial": "SERIAL-991", "lot": "LOT-992", "udi": "UDI-993",
            "level": "Okapilevel", "entry": "Okapilevel"}
    record.commit("actor-okapi", patient, [
        events.Registered(on=day("2026-01-05"), birth_year=1931, sex="female", why="Okapiwhy", identity=events.Identity(
            family_name="Zebrafamily", given_name="Quaggagiven", birth_date=day("1931-07-19"), identifiers={"h": "ID-77441"}, phone="+4455511",
            email="zz@secret.example", address="Gnustreet", contact="Gnucontact")),
        events.Referred(on=day("2026-01-06"), indication="crps", nrs=8, referrer="Dr. Okapi", question="Okapiquestion", pain_areas=("left-foot",)),
        events.Assessed(on=day("2026-02-01"), findings=findings), events.Signed(on=day("2026-02-02"), member=member),
        events.Selected(on=day("2026-02-03"), decision="selected", why="Okapiwhy", to_do=("Okapiaction",), despite=("team", "indication", "anatomy")),
        *consents, *plans, *bundles, events.LeadIn(on=day("2026-03-01"), stage="trial", **lead),
        events.Programmed(on=day("2026-03-02"), slot="SLOTNAME", program=program, perception_mA=3, set_mA=4, covered=("left-foot",),
                          charge={"Okapinote": 1.0}),
        events.TrialBegun(on=day("2026-03-02"), baseline_nrs=8), events.Diary(on=day("2026-03-03"), average=3, slot="SLOTNAME", note="Okapinote"),
        events.Complicated(on=day("2026-03-09"), name="Okapinote", complication=trouble),
        events.TrialEnded(on=day("2026-03-10"), reported_relief=0.7), events.Judged(on=day("2026-03-11"), succeeded=True, why="Okapiwhy"),
        events.GeneratorIn(on=day("2026-04-01"), model="Okapimodel", manufacturer="Okapimaker", serial="SERIAL-991", lot="LOT-992", udi="UDI-993",
                           site="abdomen"),
        events.Visited(on=day("2026-05-01"), visit="Okapivisit", nrs=3, note="Okapinote"),
        events.Answered(on=day("2026-05-01"), instrument={"kind": "pgic"}, answers={"change": 2}, moment="Okapimoment"),
        events.Salvaged(on=day("2026-06-01"), name="Okapinote", step=Step(state="done", on=day("2026-06-01"), by="Dr. Okapi", result="Okapiresult")),
        events.Noted(on=day("2026-06-01"), text="Okapinote"), events.Recalled(on=day("2026-06-02"), notice="Okapinote", part="generator")])
    version = next(each["version"] for each in record.timeline(patient) if each["kind"] == "visit.recorded")
    record.commit("actor-okapi", patient, [events.Corrected(on=day("2026-06-03"), version=version, why="Okapiwhy", instead={
        "on": "2026-05-02", "visit": "month-1", "nrs": 4, "note": "Okapicorrected"})])
    return patient


@pytest.fixture
def record(tmp_path):
    made = Record.create(tmp_path / "clinic.sqlite", clock=lambda: NOW)
    yield made
    made.close()


def rows(folder, name):
    with (folder / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("format", ["csv", "parquet"])
@pytest.mark.parametrize("dates", ["shifted", "relative"])
def test_no_byte_of_who_or_of_free_words(record, tmp_path, format, dates):
    patient = filled(record)
    whole = json.dumps(record.timeline(patient)) + record.timeline(patient)[0]["actor"]
    assert not [word for word in SECRETS if word not in whole]  # the record has every one of them
    manifest = research.export(record, tmp_path / "out", dates=dates, format=format)
    files = list((tmp_path / "out").iterdir())
    assert len(files) == len(research.TABLES) + 1
    plain = b"\n".join(path.read_bytes() for path in files)
    if format == "parquet":  # its pages may be compressed
        import pyarrow.parquet as parquet

        plain += json.dumps([parquet.read_table(path).to_pylist() for path in files if path.suffix == ".parquet"]).encode()
    assert b"crps" in plain
    for word in (*SECRETS, "zebra", "okapi", patient, research.__name__ and patient[:12]):
        assert word.encode().lower() not in plain.lower(), word
    assert manifest.people == 1
    assert manifest.head == record.verify().head


def test_no_true_date_in_a_shifted_export_but_the_days_between(record, tmp_path):
    filled(record)
    research.export(record, tmp_path / "out")
    (person,), seen = rows(tmp_path / "out", "people"), rows(tmp_path / "out", "visits")
    true = {"visit": day("2026-05-02"), "implant": day("2026-04-01")}
    out = {"visit": date.fromisoformat(seen[0]["day"]), "implant": date.fromisoformat(person["implanted"])}
    assert out["visit"] - out["implant"] == true["visit"] - true["implant"]
    assert 1 <= abs((out["implant"] - true["implant"]).days) <= research.FARTHEST
    assert seen[0]["nrs"] == "4.0"  # as corrected
    assert seen[0]["visit"] == "month-1"
    assert rows(tmp_path / "out", "leads")[0]["model"] == "other"
    assert rows(tmp_path / "out", "diary")[0]["program"] == rows(tmp_path / "out", "programs")[0]["program"] == "program 1"


def test_relative_days_count_from_the_implant(record, tmp_path):
    filled(record)
    research.export(record, tmp_path / "out", dates="relative")
    assert rows(tmp_path / "out", "visits")[0]["day"] == "31"
    assert rows(tmp_path / "out", "people")[0]["implanted"] == "0"


def test_two_exports_share_no_pseudonym_and_only_the_mapping_leads_back(record, tmp_path):
    patient = filled(record)
    research.export(record, tmp_path / "one")
    research.export(record, tmp_path / "two", mapping=tmp_path / "key.csv")
    first, second = rows(tmp_path / "one", "people")[0], rows(tmp_path / "two", "people")[0]
    assert first["person"] != second["person"]
    assert (tmp_path / "key.csv").stat().st_mode & 0o077 == 0
    with (tmp_path / "key.csv").open() as file:
        (kept,) = csv.DictReader(file)
    assert (kept["person"], kept["patient"]) == (second["person"], patient)
    back = date.fromisoformat(second["implanted"]).toordinal() - int(kept["offset_days"])
    assert date.fromordinal(back) == day("2026-04-01")
    import hashlib

    for made in (patient, patient.encode().hex()):
        for hashed in (hashlib.sha256, hashlib.md5, hashlib.sha1):
            assert first["person"] not in hashed(made.encode()).hexdigest()


def test_ages_over_89_are_one_group():
    today = date(2026, 11, 20)
    assert research.born(1900, today) == research.born(1936, today) == "to 1936"
    assert research.born(1937, today) == "1937-1939"
    assert research.born(1960, today) == "1960-1964"
    assert today.year - 1937 == research.OLDEST


def test_small_groups_are_listed_or_left_out(record, tmp_path):
    for k in range(7):
        year = 1960 if k < 5 else 1980
        record.commit("nurse", new_id(), [
            events.Registered(on=day("2026-01-05"), birth_year=year, sex="male", identity=events.Identity(
                family_name="Muster", given_name="Max", birth_date=date(year, 2, 3))), events.Referred(on=day("2026-01-06"), indication="crps")])
    gone = record.patients()[0]["id"]
    listed = research.export(record, tmp_path / "all")
    assert listed.small_groups == ({"born": "1980-1984", "sex": "male", "indication": "crps", "people": 2},)
    left = research.export(record, tmp_path / "large", drop_small=True)
    assert (left.people, left.left_out["in small groups"], left.small_groups) == (5, 2, ())
    assert {row["person"] for row in rows(tmp_path / "large", "events")} == {row["person"] for row in rows(tmp_path / "large", "people")}
    record.erase("admin", gone, "GDPR Art. 17", "asked")
    assert research.export(record, tmp_path / "after").left_out["erased"] == 1


def test_bad_input(record, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    with pytest.raises(BadInput, match="something here already"):
        research.export(record, tmp_path / "full")
    with pytest.raises(BadInput, match="travel with the export"):
        research.export(record, tmp_path / "out", mapping=tmp_path / "out" / "key.csv")
    with pytest.raises(BadInput, match="a file already"):
        research.export(record, tmp_path / "out", mapping=tmp_path / "full" / "x")
    with pytest.raises(BadInput, match="shifted, relative"):
        research.export(record, tmp_path / "out", dates="true")
    with pytest.raises(BadInput, match="csv, parquet"):
        research.export(record, tmp_path / "out", format="xlsx")
