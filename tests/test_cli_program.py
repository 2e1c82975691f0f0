"""The command ``epidura program``: what it prints and writes for every example, and what it refuses."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from test_study import point_sources
from tiny_case import epidura, refused

from epidura import cli, field
from epidura.generator import generator, names
from epidura.product import Canal
from epidura.program_file import FORMAT, json_schema
from epidura.samples import HEAD

FOLDER = Path(__file__).parents[1] / "examples" / "programs"
EXAMPLES = sorted(FOLDER.glob("*.json"))
TONIC = FOLDER / "tonic.json"

Call = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def call(here: Call) -> Call:
    """The command in this process; fields are kept for the whole session."""
    return partial(here, "program")


def changed(tmp_path: Path, **changes: Any) -> Path:
    """The tonic example with other keys of its program."""
    value = json.loads(TONIC.read_text("utf-8"))
    value["programs"][0] |= changes
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(value))
    return path


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example(call: Call, path: Path, tmp_path: Path) -> None:
    done = call(path, "--json", "--plot", "p.html")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    shown = json.loads(done.stdout)
    (one,) = shown["programs"]
    assert 0.1 < one["voltage_needed_V"] < 16
    assert all(abs(contact["direct_current_uA"]) < 1e-6 for contact in one["contacts"])
    assert sum(contact["cathodic_mA"] for contact in one["contacts"]) < 0
    assert one["limits"]
    assert all(limit["source"] for limit in one["limits"])
    assert one["mean_power_uW"] > 0
    assert (one["power"] is None) == (shown["generator"] is None)
    if shown["generator"]:
        low, high = one["power"]["total_uW"]
        assert one["mean_power_uW"] < low < high
        assert one["violations"] == []  # examples name generators that can deliver them
    page = (tmp_path / "p.html").read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert "http://" not in page.split("<script>")[0]
    assert shown["title"] in page


def test_figures_follow_from_each_other(call: Call) -> None:
    shown = json.loads(call(TONIC, "--json", "--accuracy", "fast").stdout)
    (one,) = shown["programs"]
    cathode, anode = one["contacts"]
    assert (cathode["contact"], anode["contact"]) == (4, 5)
    assert cathode["cathodic_mA"] == pytest.approx(-4)
    assert cathode["charge_per_phase_uC"] == pytest.approx(1.2)
    assert cathode["charge_density_uC_cm2"] == pytest.approx(1.2 / (cathode["area_mm2"] / 100))
    # ohm and the two capacitors of 18 uF
    assert one["voltage_needed_V"] == pytest.approx(4e-3 * one["resistance_ohm"] + 2 * 1.2e-6 / 18e-6, rel=1e-6)
    # both phases heat the same resistance: the second lasts ten times longer at a tenth
    assert one["mean_power_uW"] == pytest.approx((4e-3) ** 2 * one["resistance_ohm"] * 330e-6 * 50 * 1e6, rel=1e-6)
    assert one["energy_per_pulse_uJ"] == pytest.approx(one["mean_power_uW"] / 50)
    density = next(limit for limit in one["limits"] if limit["name"].startswith("charge-density limit"))
    assert density["value"] == pytest.approx(cathode["charge_density_uC_cm2"])
    assert not density["above"]


def test_what_a_person_reads(call: Call) -> None:
    done = call(FOLDER / "microdosing.json")
    assert done.returncode == 0
    for words in ("Abbott Octrode", "generator Abbott eterna", "in turns: 30 s on, 90 s off (0.25 of the time)", "amplitude rises over 1 s",
                  "charge of a phase uC", "residual nC", "direct uA", "voltage needed", "what eterna can give is not known", "k of Shannon",
                  "unverified 1", "from the cell:", "between charges", "base current", "eterna can deliver it", "not known of eterna"):
        assert words in done.stdout, words


@pytest.mark.parametrize("name", ["tonic", "stacked", "burst_passive", "dorsal_root_ganglion"])
def test_a_terminal_of_80_columns_cuts_nothing(call: Call, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shown = json.loads(call(FOLDER / f"{name}.json", "--json").stdout)
    monkeypatch.setattr(cli.out, "width", 80)
    cli._show_sheet(shown["programs"][0], None if shown["generator"] is None else generator(shown["generator"]))
    text = capsys.readouterr().out
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert "cathodic" in text


def test_a_generator_that_cannot(call: Call, tmp_path: Path) -> None:
    path = changed(tmp_path, amplitude="7.97 mA", contacts={"4": -1, "5": 1}, most="9 mA",
                   waveform={"kind": "tonic", "frequency": "50 Hz", "pulse_width": "800 us", "shape": "symmetric"})
    shown = json.loads(call(path, "--generator", "axium-drg", "--json").stdout)
    (one,) = shown["programs"]
    assert shown["generator"] == "axium-drg"
    assert {violation["quantity"] for violation in one["violations"]} >= {"amplitude", "pulse width"}
    near = one["nearest"]["program"]
    assert near["waveform"]["pulse_width"] == "720 us"
    assert near["amplitude"] == "6 mA"
    done = call(path, "--generator", "axium-drg")
    assert done.returncode == 1
    text = done.stdout
    assert "cannot be delivered: " in text
    assert "nearest program: " in text
    again = json.loads(call(changed(tmp_path, **near), "--generator", "axium-drg", "--json").stdout)
    assert again["programs"][0]["violations"] == []


def test_nothing_is_shown_or_written_of_what_must_not_be(call: Call, tmp_path: Path) -> None:
    path = changed(tmp_path, waveform={"kind": "tonic", "shape": "monophasic"}, amplitude="3 mA")
    done = call(path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "programs[0].contacts.4: the charge does not come back: a net direct current flows; got '-45 uA'; allowed: up to 0.1 uA" in done.stderr
    strong = changed(tmp_path, waveform={"kind": "tonic", "shape": "symmetric"}, amplitude="14 mA", most="20 mA")
    table = tmp_path / "t.csv"
    done = call(strong, "--generator", "nalu", "--table", str(table))
    assert done.returncode == 2
    assert "is not what nalu can deliver" in done.stderr
    assert not table.exists()


@pytest.mark.slow
def test_a_lead_of_the_command_line_and_yaml(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    value = json.loads(TONIC.read_text("utf-8"))
    del value["leads"], value["generator"]
    path = tmp_path / "no_leads.yaml"
    path.write_text(yaml.safe_dump(value))
    shown = json.loads(call(path, "--lead", "octrode", "--generator", "senza", "--json").stdout)
    assert (shown["vertebra"], shown["generator"]) == ("T9", "senza")
    (lead,) = shown["leads"]
    assert lead["tip_vertebra"] == "T9"
    # another level is another canal; its field is not what this is about
    asked: list[Canal] = []
    monkeypatch.setattr(field, "solve_field", lambda canal, cache: asked.append(canal) or point_sources(canal))
    low = json.loads(call(path, "--lead", "octrode", "--vertebra", "T10", "--json").stdout)
    (canal,) = asked
    (at,) = [span for span in canal.cord.vertebrae if span.name == "T10"]
    assert all(at.z0 < contact.z1 and contact.z0 < at.z1 for contact in canal.contacts[3:5])  # the middle of the lead is beside it
    assert low["vertebra"] == "T10"
    assert low["programs"][0]["power"] is None
    refused(call(path), "lead: the file names no leads; allowed: --lead MODEL; epidura leads lists them")
    refused(call(path, "--lead", "octrod"), "lead: there is no lead of this model; got 'octrod'", "did you mean 'octrode'?")
    refused(call(path, "--lead", "quadripolar"), "lead: there is no lead of this model")
    refused(call(path, "--lead", "octrode", "--vertebra", "T99"), "T99")


def test_amplitudes_that_need_fibres(call: Call, tmp_path: Path) -> None:
    for amplitude in ("auto", "60 % of perception"):
        path = changed(tmp_path, amplitude=amplitude)
        refused(call(path), "programs[0].amplitude: is not known without the fibres", "--amplitude '4 mA'", "run that")
        shown = json.loads(call(path, "--amplitude", "2 mA", "--json").stdout)
        assert shown["programs"][0]["contacts"][0]["cathodic_mA"] == pytest.approx(-2)
    train = {"waveform": {"kind": "tonic", "frequency": "50 Hz"}, "contacts": {"6": -1, "7": 1}}
    path = changed(tmp_path, interleaved=[train])
    refused(call(path), "programs[0].interleaved[0].amplitude: is not known without the fibres")
    shown = json.loads(call(path, "--amplitude", "1 mA", "--json").stdout)
    assert [one["amplitude"] for one in shown["programs"][0]["trains"]] == ["1 mA", "1 mA"]
    refused(call(TONIC, "--amplitude", "9 mA"), "amplitude: above the most that the program allows")
    refused(call(TONIC, "--amplitude", "auto"), "amplitude: hangs on the perception threshold")
    refused(call(TONIC, "--amplitude", "3 V"), "amplitude: a voltage needs one source for all contacts")


def test_tables(call: Call, tmp_path: Path) -> None:
    done = call(TONIC, "--table", "t.csv", "--rate", "200 kHz", "--resolution", "10 uA", "--volts")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "t.csv").read_text("utf-8").splitlines()
    assert text[0] == HEAD
    head = next(i for i, line in enumerate(text) if not line.startswith("#"))
    assert text[head] == "time_us,contact_4_mA,contact_5_mA,contact_4_V,contact_5_V"
    rows = np.genfromtxt(text[head + 1:], delimiter=",")
    assert len(rows) == 4000
    assert rows[0, 1] == -4
    assert abs(rows[:, 1].sum()) < 1e-9
    ramp = changed(tmp_path, ramp_up="60 ms", cycle={"on": "100 ms", "off": "50 ms"})
    assert call(ramp, "--table", "t.csv", "--rate", "100 kHz", "--duration", "0.2 s").returncode == 0
    rows = np.genfromtxt([line for line in (tmp_path / "t.csv").read_text().splitlines() if line[0].isdigit()], delimiter=",")
    assert len(rows) == 20_000
    first = rows[::2000, 1]
    np.testing.assert_allclose(first, [0, -4 / 3, -8 / 3, -4, -4, 0, 0, 0, -4 / 6, -2], atol=0.7)
    assert first[0] == 0
    assert not rows[11_000:15_000, 1].any()
    refused(call(TONIC, "--table", "t.csv", "--rate", "1 kHz"), "rate: a phase is shorter than a sample")
    refused(call(TONIC, "--table", "t.txt"), "table: has another ending; got 't.txt'")
    refused(call(TONIC, "--plot", "t.csv"), "plot: has another ending")
    refused(call(TONIC, "--duration", "1 s"), "duration: belongs to a table; allowed: --table FILE.csv --duration ...")
    refused(call(TONIC, "--volts"), "volts: belongs to a table")
    refused(call(TONIC, "--table", "t.csv", "--rate", "1 MA"), "rate: the unit 'MA' is not a unit of frequency")
    refused(call(TONIC, "--table", "t.csv", "--resolution", "-1 uA"), "resolution: a resolution is positive")
    (tmp_path / "mine.csv").write_text("mine\n")
    refused(call(TONIC, "--table", "mine.csv"), "mine.csv: is something else and is not replaced")
    assert (tmp_path / "mine.csv").read_text() == "mine\n"


def test_several_programs(call: Call, tmp_path: Path) -> None:
    value = json.loads(TONIC.read_text("utf-8"))
    value["programs"].append({**value["programs"][0], "name": "other", "amplitude": "2 mA"})
    path = tmp_path / "two.json"
    path.write_text(json.dumps(value))
    assert [one["name"] for one in json.loads(call(path, "--json").stdout)["programs"]] == ["tonic", "other"]
    refused(call(path, "--table", "t.csv"), "table: holds one program; got '2 programs'; allowed: --program NAME; names: tonic, other")
    assert not (tmp_path / "t.csv").exists()
    shown = json.loads(call(path, "--program", "other", "--table", "t.csv", "--json").stdout)
    assert [one["name"] for one in shown["programs"]] == ["other"]
    assert Path(shown["table"]).name == "t.csv"
    refused(call(path, "--program", "othr"), "program: there is no program of this name; got 'othr'", "did you mean 'other'?")


def test_what_is_refused(call: Call, tmp_path: Path) -> None:
    refused(call(), "PROGRAM: is missing")
    refused(call("nothing.json"), "nothing.json: no such file")
    refused(call(TONIC, "--generator", "senzo"), "generator: there is no generator of this name", names()[0], "did you mean 'senza'?")
    refused(call(TONIC, "--accuracy", "best"), "accuracy: unknown")
    refused(call(TONIC, "--lead", "slimtip-drg"), "lead: a lead of this model needs more than its name; got 'slimtip-drg'", "side is missing")
    alone = changed(tmp_path, contacts={"4": -1, "9": 1}, name="x")
    value = json.loads(alone.read_text())
    del value["leads"]
    alone.write_text(json.dumps(value))
    refused(call(alone, "--lead", "octrode"), "programs[0].contacts.9: there is no such contact; got 9; allowed: 1 to 8, or case")
    refused(call(changed(tmp_path, contacts={"4": -1, "5": 0.9})), "programs[0].contacts: the net current does not balance")
    late = {"kind": "tonic", "frequency": "1 kHz", "pulse_width": "300 us"}
    refused(call(changed(tmp_path, waveform=late)), "programs[0].waveform: a pulse with its recharge lasts longer than its period")


def test_schema(tmp_path: Path) -> None:
    done = epidura("program", "--schema", cwd=tmp_path)
    assert done.returncode == 0
    assert json.loads(done.stdout) == json.loads(json.dumps(json_schema()))
    assert json.loads(done.stdout)["properties"]["format"]["const"] == FORMAT
