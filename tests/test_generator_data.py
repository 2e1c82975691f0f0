"""The tables of generators, of electrical limits and of generator facts: complete, sourced, and consistent with themselves."""

from __future__ import annotations

import math
import re

import pytest

from epidura.tables import EVIDENCE, table
from epidura.units import KINDS, parse

TABLES = {"generators": "quantity", "electrical_limits": "limit", "generator_facts": "fact"}
KIND_OF_UNIT = {unit: kind.name for kind in KINDS.values() for unit in kind.written}
OTHER_UNITS = {"", "1", "years", "days", "cm3", "g", "mAh", "uC", "nJ", "J", "cm2", "uC/cm2", "degC", "1/year", "min", "h",
               "log10(uC/ph * uC/cm2/ph)"}
# Quantity -> units it may be written in; an empty unit means that the value is text.
QUANTITIES = {
    "battery": {""}, "control": {""}, "independent sources": {""}, "contacts": {"1"}, "amplitude": {"mA", "V"}, "amplitude step": {"mA", "V"},
    "contact amplitude": {"mA", "V"}, "pulse width": {"us"}, "pulse width step": {"us"}, "frequency": {"Hz"}, "frequency step": {"Hz"},
    "burst frequency": {"Hz"}, "intra-burst frequency": {"Hz"}, "burst amplitude": {"mA"}, "burst pulse width": {"us"}, "areas": {"1"},
    "compliance": {"V"}, "load limit": {""}, "charge per pulse": {"uC"}, "capacity": {"mAh", "J"}, "cell voltage": {"V"}, "stated life": {"years"},
    "stated recharge interval": {"days"}, "volume": {"cm3"}, "weight": {"g"}, "recharge": {""}, "life at": {"years"}, "recharge at": {"days"},
    "case as electrode": {""}, "frequency of several programs": {"Hz"}, "closed-loop frequency": {"Hz"},
}
CHOICES = {"battery": {"primary", "rechargeable", "external"}, "control": {"current", "voltage"}, "independent sources": {"yes", "no"},
           "recharge": {"passive", "active", "both"}, "case as electrode": {"yes", "anode", "no"}}
SEVERAL = {"load limit", "life at", "recharge at"}
# Setting -> kind of quantity; None for a word or a plain number, "" for a unit that epidura.units does not know.
SETTINGS = {"mode": None, "amplitude": "current", "pulse_width": "time", "frequency": "frequency", "intra_burst_frequency": "frequency",
            "pulses": None, "on": "time", "off": "time", "impedance": "resistance", "hours": None, "areas": None, "leads": None, "charge_time": "",
            "area": "", "charge": "", "k": None, "charge_per_second": ""}
LOAD = re.compile(r"(?P<current>[\d.]+ mA) into (?P<load>\d+ ohm)(?: at (?P<width>\d+ us) and (?P<rate>\d+ Hz))?")


def settings(note: str) -> dict[str, str]:
    """``a=b;c=d`` as a dict; every part must have exactly one equals sign."""
    parts = [part.split("=") for part in note.split(";")]
    assert all(len(part) == 2 for part in parts), note
    assert len({key for key, _ in parts}) == len(parts), note
    return dict(parts)  # type: ignore[arg-type]


def checked(note: str) -> dict[str, str]:
    """Settings whose keys are known and whose quantities parse."""
    found = settings(note)
    assert set(found) <= set(SETTINGS), note
    for key, text in found.items():
        kind = SETTINGS[key]
        if kind:
            assert parse(text, kind, key) > 0
        elif kind is None and key != "mode":
            float(text)
    return found


def numbers(row: dict[str, str]) -> list[float]:
    """low, value, high, as far as they are given."""
    return [float(row[column]) for column in ("low", "value", "high") if row.get(column)]


def rows(quantity: str) -> list[dict[str, str]]:
    return [row for row in table("generators") if row["quantity"] == quantity]


def load_limits(model: str) -> list[float]:
    """Volts of each stated load limit of a model."""
    found = [LOAD.fullmatch(row["value"]) for row in rows("load limit") if row["model"] == model]
    assert found
    assert all(found)
    return [parse(match["current"], "current") * parse(match["load"], "resistance") for match in found if match]


@pytest.mark.parametrize("name", TABLES)
def test_every_row_has_a_source_a_word_of_evidence_and_a_known_unit(name):
    assert len(table(name).rows) > 15
    for row in table(name):
        assert None not in (*row, *row.values()), row  # as many cells as columns
        assert row["evidence"] in EVIDENCE, row
        assert len(row["source"]) > 10, row
        assert row[TABLES[name]], row
        assert all(cell == cell.strip() for cell in row.values()), row
        assert row["unit"] in OTHER_UNITS or row["unit"] in KIND_OF_UNIT, row
        if row["evidence"] == "computed":
            assert row["note"], row


@pytest.mark.parametrize("name", ["generators", "generator_facts"])
def test_a_row_gives_a_number_in_order_or_a_text_without_unit(name):
    for row in table(name):
        assert row["value"] or row["low"] or row["high"], row
        if row["unit"]:
            found = numbers(row)
            assert all(math.isfinite(x) and x >= 0 for x in found), row
            assert found == sorted(found), row
            if kind := KIND_OF_UNIT.get(row["unit"]):
                for x in (row[column] for column in ("low", "value", "high") if row[column]):
                    assert parse(f"{x} {row['unit']}", kind) == pytest.approx(float(x) * parse(f"1 {row['unit']}", kind))
        else:
            assert row["value"], row
            assert (row["low"], row["high"]) == ("", ""), row


@pytest.mark.parametrize("name", ["electrical_limits", "generator_facts"])
def test_names_are_unique(name):
    names = table(name).column(TABLES[name])
    assert len(set(names)) == len(names)


def test_quantities_of_a_generator_are_known_single_and_in_their_units():
    seen = set()
    for row in table("generators"):
        quantity, key = row["quantity"], (row["model"], row["quantity"])
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", row["model"]), row
        assert row["unit"] in QUANTITIES[quantity], row
        if quantity in CHOICES:
            assert row["value"] in CHOICES[quantity], row
        assert quantity in SEVERAL or key not in seen, row
        seen.add(key)
    makers = {(row["model"], row["manufacturer"]) for row in table("generators")}
    models = {model for model, _ in makers}
    assert len(models) == len(makers) == 23
    assert all((model, "battery") in seen for model in models)


def test_a_voltage_controlled_generator_has_its_amplitude_in_volts():
    control = {row["model"]: row["value"] for row in rows("control")}
    for row in rows("amplitude"):
        assert row["unit"] == {"current": "mA", "voltage": "V"}[control[row["model"]]], row


def test_settings_of_stated_lives_parse():
    stated = rows("life at") + rows("recharge at")
    assert len(stated) >= 4
    for row in stated:
        assert checked(row["note"])["mode"], row
    (eterna,) = (settings(row["note"]) for row in rows("recharge at") if row["model"] == "eterna" and "impedance" in row["note"])
    assert parse(eterna["impedance"], "resistance") == 525
    # the burst fits between two bursts, and the cycle is 30 s of 120 s
    burst = int(eterna["pulses"]) / parse(eterna["intra_burst_frequency"], "frequency")
    assert burst < 1 / parse(eterna["frequency"], "frequency")
    assert parse(eterna["pulse_width"], "time") < 1 / parse(eterna["intra_burst_frequency"], "frequency")
    on, off = parse(eterna["on"], "time"), parse(eterna["off"], "time")
    assert on / (on + off) == 0.25


@pytest.mark.parametrize("model", ["senza", "hfx-iq", "opennerve"])
def test_compliance_is_the_stated_current_into_the_stated_load(model):
    row, volts = table("generators").row(model=model, quantity="compliance"), load_limits(model)
    assert row["evidence"] == "computed"
    assert float(row["value"]) == pytest.approx(min(volts))
    assert float(row["high"] or row["value"]) == pytest.approx(max(volts))
    most = table("generators").row(model=model, quantity="amplitude")
    assert all(parse(found["current"], "current") <= float(most["high"]) * 1e-3 for found in
               (LOAD.fullmatch(r["value"]) for r in rows("load limit") if r["model"] == model) if found)


def test_nalu_states_its_output_voltage_rounded():
    row = table("generators").row(model="nalu", quantity="compliance")
    assert load_limits("nalu") == [pytest.approx(float(row["low"]), abs=0.05)]


@pytest.mark.parametrize(("model", "quantity", "low", "value", "high", "evidence"), [
    ("proclaim-xr-5", "amplitude", "0", "", "25.5", "read"), ("proclaim-xr-7", "burst amplitude", "0", "", "12.75", "read"),
    ("proclaim-xr-5", "burst frequency", "10", "", "60", "read"), ("proclaim-xr-5", "intra-burst frequency", "250", "", "1000", "read"),
    ("proclaim-xr-5", "stated life", "", "5", "", "recall"), ("proclaim-xr-7", "stated life", "", "7", "", "recall"),
    ("axium-drg", "amplitude step", "0.025", "0.025", "0.05", "read"), ("axium-drg", "pulse width", "40", "", "720", "read"),
    ("intellis", "frequency", "10", "", "1200", "read"), ("vanta", "pulse width", "60", "", "450", "read"),
    ("inceptiv", "contact amplitude", "", "", "25.5", "read"), ("inceptiv", "stated life", "", "15", "", "read"),
    ("prime-advanced", "amplitude", "0", "", "10.5", "recall"), ("restore-sensor", "volume", "", "22", "", "recall"),
    ("wavewriter-alpha", "frequency", "2", "", "1200", "read"), ("precision-spectra", "contact amplitude", "", "", "12.7", "recall"),
    ("senza", "frequency", "2", "", "10000", "read"), ("evoke", "amplitude step", "0.05", "", "4", "read"),
    ("nalu", "amplitude", "0", "", "10.2", "read"), ("eterna", "amplitude", "0", "", "25.5", "read"),
    ("eterna", "frequency", "2", "", "1200", "read"),
    ("eterna", "burst pulse width", "", "1000", "", "read"), ("intellis", "contact amplitude", "", "", "25.5", "read"),
    ("evoke", "closed-loop frequency", "10", "", "250", "read"), ("evoke", "case as electrode", "", "no", "", "read"),
    ("restore-sensor", "frequency of several programs", "2", "", "260", "recall"), ("restore", "capacity", "", "300", "", "recall"),
    ("precision-spectra", "capacity", "", "200", "", "judgement"), ("prime-advanced", "capacity", "", "6300", "", "recall"),
])
def test_numbers_as_collected(model, quantity, low, value, high, evidence):
    row = table("generators").row(model=model, quantity=quantity)
    assert (row["low"], row["value"], row["high"], row["evidence"]) == (low, value, high, evidence)


def test_limits_as_collected():
    limits = table("electrical_limits")
    shannon = limits.number("Shannon k", "value", "1", limit="Shannon k, damage boundary (lowest observed)")
    assert (shannon.value, shannon.unverified) == (1.85, False)
    area = limits.number("contact area", "value", "cm2", limit="contact area of an octrode")
    assert area.value == pytest.approx(math.pi * 0.127 * 0.3, abs=0.005)
    for limit, value in (("net direct current", 0.1), ("charge-density warning in some generator manuals", 30), ("compliance, largest typical", 20)):
        number = limits.number(limit, "value", "", limit=limit)
        assert (number.value, number.unverified) == (value, True)


def test_worked_examples_follow_from_their_settings():
    worked = [row for row in table("electrical_limits") if row["limit"].startswith("worked: ")]
    assert len(worked) == 5
    for row in worked:
        given = checked(row["note"])
        charge = parse(given["amplitude"], "current") * parse(given["pulse_width"], "time") * 1e6
        density = charge / float(given["area"].removesuffix(" cm2"))
        assert charge == pytest.approx(float(given["charge"].removesuffix(" uC")), rel=1e-6)
        assert density == pytest.approx(float(row["value"]), abs=0.005)
        assert math.log10(charge * density) == pytest.approx(float(given["k"]), abs=0.005)
        rate = parse(given["frequency"], "frequency")
        assert charge * rate == pytest.approx(float(given["charge_per_second"].removesuffix(" uC")), rel=1e-6)


def test_a_limit_stands_in_a_row_of_its_own_and_not_in_a_note():
    """What restricts a program has to be enforced; a note is not read."""
    for row in table("generators"):
        if row["model"] in ("evoke", "restore-sensor"):
            assert not re.search(r"several programs|closed loop|for recording only", row["note"]) or row["quantity"] == "case as electrode", row


def test_two_cells_of_the_open_generator_are_two_of_the_makers():
    cell = float(table("generator_facts").row(fact="capacity of an implantable lithium ion cell")["value"])
    row = table("generators").row(model="opennerve", quantity="capacity")
    assert row["evidence"] == "computed"
    assert float(row["value"]) == 2 * cell


def test_computed_facts_follow_from_the_numbers_in_their_notes():
    facts = {row["fact"]: row for row in table("generator_facts")}
    capacitor = float(facts["coupling capacitor, size for 8 mA and 1 ms"]["value"])
    # of the default: two in series with the impedance of Alo hold a packet back for as long as its pulses last
    load = float(facts["bipolar lead impedance, lower thoracic"]["value"])
    assert float(facts["coupling capacitor"]["value"]) == pytest.approx(2 * 5e-3 / load * 1e6, abs=0.5)
    assert float(facts["voltage drop allowed on the coupling capacitor"]["value"]) == pytest.approx(8 * 1 / capacitor)
    for ending, loaded, supply in (("adjusted compliance", 218, 416), ("compliance follows the pulse", 192, 396)):
        row = facts[f"share of the pulse's energy that reaches the load, {ending}"]
        assert row["note"].startswith(f"{loaded} of {supply}")
        assert float(row["value"]) == pytest.approx(loaded / supply, abs=5e-4)
    # savings that the paper prints beside its energies
    least = float(facts["energy per pulse at least compliance"]["value"])
    for volts, saving in ((20, 90), (10, 77), (5, 53)):
        assert 100 * (1 - least / float(facts[f"energy per pulse at {volts} V compliance"]["value"])) == pytest.approx(saving, abs=0.5)
