"""The command line: what it prints, what it writes, and what it refuses without writing anything."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
import yaml
from tiny_case import SHORT_GATE, TINY, epidura, refused, tiny

from epidura import study
from epidura.case import read
from epidura.lead.percutaneous import models
from epidura.waveform import family

COMMANDS = ["run", "demo", "check", "leads", "waveforms", "cite", "export", "program", "threshold", "bench"]
WRITTEN = ["case.yaml", "products.zarr", "report.html", "run.json"]
FAST = ("--accuracy", "fast")
BE = ("--scheme", "backward-euler", "--dt", "5 us")
SHORT = {**TINY, "gate": SHORT_GATE}


@pytest.fixture(scope="module")
def case_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("case") / "tiny.yaml"
    path.write_text(yaml.safe_dump(SHORT), "utf-8")
    return path


@pytest.fixture(scope="module")
def first(tmp_path_factory, fields, case_file) -> tuple[Path, dict[str, Any]]:
    """The folder that a run with --json wrote, and what it printed."""
    folder = tmp_path_factory.mktemp("first")
    done = epidura("run", case_file, "--out", "out", "--json", *FAST, cwd=folder, cache=fields)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder / "out", json.loads(done.stdout)


def as_json(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """What a command printed with --json; nothing on stderr."""
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.fixture
def threshold(here) -> Callable[..., list[dict[str, Any]]]:
    return lambda *arguments: as_json(here("threshold", *arguments, "--json"))


def test_help_teaches_at_every_step(tmp_path, here):
    top = epidura("--help", cwd=tmp_path)
    assert top.returncode == 0
    assert "not a medical device" in top.stdout
    for command in COMMANDS:
        assert f" {command} " in top.stdout
        done = here(command, "--help")
        assert done.returncode == 0
        assert f"{command} [OPTIONS]" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_help_of_threshold_and_run_name_their_options(here):
    text = here("threshold", "--help").stdout
    for option in ("model", "diameter", "distance", "pulse-width", "sigma", "sigma-long", "waveform", "waveform-csv", "anode-at",
                   "dt",
                   "scheme", "nodes", "tolerance", "precision", "json"):
        assert f"--{option}" in text
    text = here("run", "--help").stdout
    for option in ("out", "device", "accuracy", "json"):
        assert f"--{option}" in text


def test_leads(tmp_path, here):
    rows = json.loads(epidura("leads", "--json", cwd=tmp_path).stdout)
    assert set(models()) <= {row["id"] for row in rows}
    octrode = next(row for row in rows if row["id"] == "octrode")
    assert (octrode["contacts"], octrode["contact_length_mm"], octrode["manufacturer"]) == ("8", "3", "Abbott")
    assert all(row["evidence"] for row in rows)
    done = here("leads")
    assert done.returncode == 0
    assert "octrode" in done.stdout


def test_waveforms(tmp_path, here):
    rows = json.loads(epidura("waveforms", "--json", cwd=tmp_path).stdout)
    assert [row["kind"] for row in rows] == list(family.members)
    used = {row["kind"]: row for row in rows}
    assert used["tonic"]["used"] == "Hz 20-120 (typ 40-60), us 100-500, mA 3.5-8.5; 100-140% perception, below discomfort"
    assert used["fast-acting"]["used"].endswith("40% of perception (unverified)")
    assert "PMC8229652" in used["high-frequency"]["source"]
    assert used["sine"]["used"] == "no clinical use is in the tables"
    assert "target (voltage)" in used["closed-loop"]["parameters"]
    for row in rows:
        for name in family.members[row["kind"]].model_fields:
            assert name == "kind" or name in row["parameters"]
    done = here("waveforms")
    assert done.returncode == 0
    assert "high-frequency" in done.stdout


def test_check_good(tmp_path, case_file):
    done = epidura("check", case_file, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout == f"{case_file}: good; 1 lead(s), 8 contacts, 1 program(s)\n"
    assert list(tmp_path.iterdir()) == []


BAD = [
    (("pateint",), 1, "pateint: unknown key"),
    (("programs", 0, "contacts"), {4: -1, 9: 1}, "programs[0].contacts.9: there is no such contact"),
    (("programs", 0, "contacts"), {4: -1, 5: 0.5}, "the net current does not balance"),
    (("leads", 0, "lateral"), -1, "leads[0].lateral: a bare number has no unit"),
    (("leads", 0, "lateral"), "20 mm", "leads[0].lateral: the lead lies"),
    (("leads", 0, "depth"), "-1 mm", "the lead goes 1.00 mm into the dura"),
    (("programs", 0, "amplitude"), float("nan"), "programs[0].amplitude"),
    (("programs", 0, "contacts"), {4: float("nan"), 5: 1}, "programs[0].contacts.4"),
    (("title",), [1], "title"),
    (("leads", 0, "tip_vertebra"), "T19", "did you mean 'T9'?"),
    (("programs", 0, "waveform", "kind"), ["tonic"], "programs[0].waveform.kind"),
]


@pytest.mark.parametrize(("place", "value", "words"), BAD, ids=lambda one: str(one)[:40])
def test_check_bad(tmp_path, here, place, value, words):
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(tiny(*place, value=value)), "utf-8")
    refused(here("check", path), words)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("command", ["check", "cite", "run"])
def test_files_that_are_no_case(tmp_path, here, command):
    (tmp_path / "good.yaml").write_text("title: x\n")
    (tmp_path / "binary.yaml").write_bytes(bytes(range(256)))
    (tmp_path / "empty.yaml").touch()
    (tmp_path / "list.yaml").write_text("- 1\n- 2\n")
    refused(here(command, "god.yaml"), "god.yaml: no such file", "did you mean 'good.yaml'?")
    refused(here(command, tmp_path), "a folder, not a case file")
    refused(here(command, "binary.yaml"), "binary.yaml: cannot be read")
    refused(here(command, "empty.yaml"), "empty.yaml: a case is a mapping")
    refused(here(command, "list.yaml"), "list.yaml: a case is a mapping; got 'list'")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["binary.yaml", "empty.yaml", "good.yaml", "list.yaml"]


def test_cite(tmp_path, here, case_file):
    done = epidura("cite", case_file, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert all(row["source"] and row["used_for"] for row in rows)
    evidence = [row["evidence"] for row in rows]
    assert set(evidence) <= {"read", "computed", "recall", "judgement"}
    unverified = [one in ("recall", "judgement") for one in evidence]
    assert unverified == sorted(unverified, reverse=True)
    assert any("Feirabend" in row["source"] and row["doi"] == "10.1093/brain/awf111" for row in rows)
    text = here("cite", case_file)
    assert text.returncode == 0
    assert "Feirabend" in text.stdout
    assert list(tmp_path.iterdir()) == []


# NEURON 9: 8.7 um, source at 1 mm, 0.2 S/m, 5 us backward Euler; brackets of shared/reference/fibre/*.csv in mA
NEURON = [
    (("--pulse-width", "60 us"), (0.1863489, 0.1864981)),
    (("--pulse-width", "210 us", "--waveform", "symmetric"), (0.09280988, 0.09288415)),
    (("--pulse-width", "60 us", "--waveform", "symmetric"), (0.222348, 0.222526)),
    (("--pulse-width", "210 us", "--anode-at", "7 mm"), (0.08045326, 0.08051765)),
    (("--pulse-width", "60 us", "--anode-at", "7 mm"), (0.1763564, 0.1764976)),
    (("--pulse-width", "60 us", "--dt", "10 us"), (0.1895896, 0.1897413)),
]


@pytest.mark.parametrize(("options", "bracket"), NEURON, ids=lambda one: " ".join(map(str, one)))
def test_threshold_is_in_the_bracket_of_neuron(threshold, options, bracket):
    (row,) = threshold("--diameter", "8.7 um", "--distance", "1 mm", "--sigma", "0.2 S/m", *BE, *options)
    assert bracket[0] * 0.999 <= row["threshold_mA"] <= bracket[1] * 1.001
    assert row["nodes"] == 51


def test_threshold_echoes_every_input(tmp_path):
    """In a process of its own, as a person calls it."""
    (row,) = as_json(epidura("threshold", "--model", "mrg-interpolated", "--diameter", "9 um", "--distance", "1 mm", "--pulse-width", "0.1 ms",
                             "--sigma", "0.2 S/m", "--sigma-long", "0.6 S/m", "--waveform", "asymmetric", "--interphase-gap", "20 us",
                             "--anode-at", "7 mm", "--dt", "10 us", "--scheme", "second-order", "--nodes", "61", "--tolerance", "0.001",
                             "--precision", "float32", "--json", cwd=tmp_path))
    assert row["threshold_mA"] > 0
    wanted = {"model": "mrg-interpolated", "diameter": "9 um", "distance": "1 mm", "pulse_width": "0.1 ms", "sigma": "0.2 S/m",
              "sigma_long": "0.6 S/m", "waveform": "asymmetric", "interphase_gap": "20 us", "anode_at": "7 mm", "dt": "10 us",
              "dt_us": 10.0, "scheme": "second-order", "nodes": 61, "tolerance": 0.001, "precision": "float32"}
    assert {key: row[key] for key in wanted} == wanted


def test_lists_make_all_combinations(threshold):
    rows = threshold("--diameter", "8.7 um, 10 um", "--distance", "1 mm,2 mm", "--pulse-width", "60 us,210 us", *BE)
    asked = [(row["diameter"], row["distance"], row["pulse_width"]) for row in rows]
    assert asked == [(d, r, w) for d in ("8.7 um", "10 um") for r in ("1 mm", "2 mm") for w in ("60 us", "210 us")]
    found = dict(zip(asked, (row["threshold_mA"] for row in rows), strict=True))
    low, high = NEURON[0][1]
    assert low * 0.999 <= found["8.7 um", "1 mm", "60 us"] <= high * 1.001
    for (d, r, w), value in found.items():  # thick, near and long pulses need less
        assert d == "10 um" or value > found["10 um", r, w]
        assert r == "2 mm" or value < found[d, "2 mm", w]
        assert w == "60 us" or value < found[d, r, "60 us"]
    (alone,) = threshold("--diameter", "10 um", "--distance", "2 mm", "--pulse-width", "60 us", *BE)
    assert alone["threshold_mA"] == pytest.approx(found["10 um", "2 mm", "60 us"], rel=1e-9)


def test_threshold_without_json_is_a_table(here):
    done = here("threshold", "--diameter", "8.7 um,10 um", "--pulse-width", "60 us", *BE)
    assert done.returncode == 0, done.stderr
    assert "8.7 um" in done.stdout
    assert "0.186" in done.stdout


def test_a_rectangle_as_csv_is_the_rectangle(tmp_path, threshold):
    (tmp_path / "one.csv").write_text("time_us,value\n0,-1\n60,0\n")
    (tmp_path / "two.csv").write_text("time_us,value\n0,-2.5\n210,2.5\n420,0\n")  # scaled by its first phase
    common = ("--diameter", "8.7 um", *BE)
    (csv,) = threshold(*common, "--waveform-csv", "one.csv")
    (option,) = threshold(*common, "--pulse-width", "60 us")
    assert csv["threshold_mA"] == option["threshold_mA"]
    assert csv["waveform"].endswith("one.csv")
    (csv,) = threshold(*common, "--waveform-csv", "two.csv")
    (option,) = threshold(*common, "--pulse-width", "210 us", "--waveform", "symmetric")
    assert csv["threshold_mA"] == option["threshold_mA"]


CSVS = [
    ("time,value\n0,-1\n60,0\n", ["columns are missing", "got 'time, value'", "time_us,value"]),
    ("", ["columns are missing"]),
    ("time_us,value\n", ["no rows"]),
    ("time_us,value\n0,-1\n60,-1\n", ["line 3", "the last value is not 0", "got '-1'"]),
    ("time_us,value\n0,-1\n60,1\n60,0\n", ["line 4", "times start at 0 and increase"]),
    ("time_us,value\n0,-1\n60,1\n30,0\n", ["line 4", "got '30 us'"]),
    ("time_us,value\n5,-1\n60,0\n", ["line 2", "times start at 0"]),
    ("time_us,value\n0,nan\n60,0\n", ["line 2", "value is not a finite number", "got 'nan'"]),
    ("time_us,value\n0,-1\ninf,0\n", ["line 3", "time_us is not a finite number"]),
    ("time_us,value\n0,minus\n60,0\n", ["got 'minus'"]),
    ("time_us,value\n0\n60,0\n", ["line 2", "value is not a finite number"]),
    ("time_us,value\n0,1\n60,0\n", ["the first phase is not negative", "turn the signs around"]),
    ("time_us,value\n0,0\n60,0\n", ["the first phase is not negative"]),
]


@pytest.mark.parametrize(("text", "words"), CSVS)
def test_a_bad_csv_is_refused(tmp_path, here, text, words):
    (tmp_path / "bad.csv").write_text(text)
    refused(here("threshold", "--waveform-csv", "bad.csv", "--json"), "bad.csv", *words)


def test_a_csv_that_cannot_be_read_is_refused(tmp_path, here):
    refused(here("threshold", "--waveform-csv", "none.csv"), "none.csv", "cannot be read")
    refused(here("threshold", "--waveform-csv", tmp_path), "cannot be read")
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    refused(here("threshold", "--waveform-csv", "binary.csv"), "binary.csv", "cannot be read")
    assert [p.name for p in tmp_path.iterdir()] == ["binary.csv"]


WRONG = [
    (("--diameter", "30 um"), ["diameter", "um"]),
    (("--model", "mrg-interpolated", "--diameter", "30 um"), ["diameter", "um"]),
    (("--diameter", "9.1 um"), ["9.1", "8.7"]),
    (("--diameter", "10"), ["diameter: a bare number has no unit", "got '10'"]),
    (("--distance", "1"), ["distance: a bare number has no unit"]),
    (("--distance", "0 mm"), ["distance: a distance is positive"]),
    (("--distance", "-1 mm"), ["distance: a distance is positive"]),
    (("--distance", "nan mm"), ["distance: not a finite number"]),
    (("--pulse-width", "100"), ["a bare number has no unit", "write '100 us'"]),
    (("--pulse-width", "100 mm"), ["is not a unit of time"]),
    (("--sigma", "0.2"), ["sigma: a bare number has no unit"]),
    (("--sigma", "0 S/m"), ["sigma"]),
    (("--sigma-long", "-1 S/m"), ["sigma_long"]),
    (("--anode-at", "7"), ["anode_at: a bare number has no unit"]),
    (("--dt", "200 us"), ["dt: the step is longer than the shortest phase", "got '200 us'", "up to 100 us"]),
    (("--dt", "0 us"), ["dt"]),
    (("--model", "mgr"), ["model: unknown", "got 'mgr'", "mrg, mrg-interpolated", "did you mean 'mrg'?"]),
    (("--scheme", "euler"), ["scheme: unknown", "backward-euler"]),
    (("--waveform", "biphasic"), ["waveform: unknown", "monophasic, symmetric, asymmetric"]),
    (("--nodes", "50"), ["nodes", "odd"]),
    (("--nodes", "many"), ["nodes", "got 'many'"]),
    (("--tolerance", "0"), ["tolerance"]),
    (("--tolerance", "nan"), ["tolerance"]),
    (("--precision", "float16"), ["precision: unknown", "float64, float32"]),
    (("--interphase-gap", "-5 us"), ["interphase_gap", "a gap is not negative"]),
    (("--diameter", "10 um,,8.7 um"), ["diameter"]),
]


@pytest.mark.parametrize(("options", "words"), WRONG, ids=lambda one: " ".join(one))
def test_a_wrong_option_is_refused(tmp_path, here, options, words):
    refused(here("threshold", *options), *words)
    assert list(tmp_path.iterdir()) == []


def test_run_writes_case_report_products_and_summary(first, case_file):
    folder, printed = first
    assert sorted(p.name for p in folder.iterdir()) == WRITTEN
    assert [p.name for p in folder.parent.iterdir()] == ["out"]
    case = read(folder / "case.yaml")
    assert case == read(case_file)
    summary = json.loads((folder / "run.json").read_text("utf-8"))
    assert printed == {**summary, "folder": "out"}
    assert summary["key"] == case.key()
    assert set(summary["timings_s"]) == {"canal", "field", "recruitment", "delivery", "firing", "gate", "outcome"}
    assert (summary["accuracy"], summary["field_error"]) == ("fast", None)
    (told,) = summary["outcome"]["programs"]
    assert told["therapy"] == "tonic"
    assert [at["months"] for at in told["months"]] == [0, 0.25, 1, 3, 6, 12, 24]
    assert all(at["pain"] == sorted(at["pain"]) for at in told["months"])
    assert len(summary["impedance_ohm"]) == 8
    assert (folder / "report.html").read_text("utf-8").startswith("<!doctype html>")
    (program,) = summary["programs"]
    with xr.open_zarr(folder / "products.zarr", group="recruitment", consolidated=False) as product:
        assert product.sizes["fibre"] == 36
        assert float(product.perception_threshold[0]) * 1e3 == pytest.approx(program["perception_threshold_mA"], abs=1e-6)
        assert product.threshold.attrs["units"] == "A"
        assert list(product.program.values) == ["tonic"]
        assert product.attrs["key"] == case.key()
    with xr.open_zarr(folder / "products.zarr", group="lead_field", consolidated=False) as product:
        assert product.impedance.shape == (8, 8)
        assert product.impedance.attrs["units"] == "ohm"


def test_a_case_with_an_interface(tmp_path, here, first):
    """The field, the thresholds and all that was printed without one stay as they were."""
    path = tmp_path / "interface.yaml"
    path.write_text(yaml.safe_dump({**SHORT, "interface": {}}), "utf-8")
    printed, before = as_json(here("run", path, "--out", "out", "--json", *FAST)), first[1]
    assert printed.keys() - before.keys() == {"interface"}
    (program,) = printed["programs"]
    added = program.pop("interface")
    assert [program] == before["programs"]
    assert printed["impedance_ohm"] == before["impedance_ohm"]
    assert added["pairs"][0]["contacts"] == [4, 5]
    assert added["pairs"][0]["tissue_ohm"] < added["pairs"][0]["measured_ohm"]
    assert added["tissue_voltage_V"] == pytest.approx(added["pairs"][0]["tissue_ohm"] * program["amplitude_mA"] * 1e-3, rel=1e-5)
    text = here("run", path, "--out", "out", *FAST)
    assert "contact interface, tissue alone -> with it: impedances at 1000 Hz" in text.stdout
    assert added["field"] in " ".join(text.stdout.split())
    with xr.open_zarr(tmp_path / "out" / "products.zarr", group="interface", consolidated=False) as product:
        assert float(product.voltage[0]) == pytest.approx(added["voltage_V"], abs=1e-6)
    assert [row["evidence"] for row in as_json(here("cite", path, "--json")) if "Cantrell" in row["source"]] == ["recall", "recall"]


def test_a_second_run_replaces_the_first_and_gives_the_same(tmp_path, here, case_file, first):
    for _ in range(2):
        done = here("run", case_file, "--out", "deep/out", *FAST)
        assert done.returncode == 0, done.stderr
        assert "perception" in done.stdout
        assert "accuracy fast" in done.stdout
        assert f"report: {Path('deep/out/report.html')}" in done.stdout
        assert "Traceback" not in done.stderr
    again = json.loads((tmp_path / "deep" / "out" / "run.json").read_text("utf-8"))
    assert again["programs"] == first[1]["programs"]
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["out"]
    assert sorted(p.name for p in (tmp_path / "deep" / "out").iterdir()) == WRITTEN


@pytest.mark.parametrize("out", ["other", "other/thesis.txt", "other/thesis.txt/out"])
def test_a_folder_that_holds_something_else_is_left_alone(tmp_path, here, case_file, out):
    """Refused before anything is computed: a person should not wait a minute to learn it."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("five years")
    refused(here("run", case_file, "--out", out, "--json"), out.removesuffix("/out"))
    assert (other / "thesis.txt").read_text() == "five years"
    assert [p.name for p in other.iterdir()] == ["thesis.txt"]
    assert [p.name for p in tmp_path.iterdir()] == ["other"]


def test_an_empty_folder_may_be_the_result(tmp_path, fields, case_file):
    """Also the one that the person stands in."""
    done = epidura("run", case_file, "--out", ".", "--json", *FAST, cwd=tmp_path, cache=fields)
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == (WRITTEN if done.returncode == 0 else [])


def test_files_of_a_person_in_an_earlier_result_are_not_deleted(tmp_path, here, case_file, first):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "run.json").write_bytes((first[0] / "run.json").read_bytes())
    (folder / "notes.txt").write_text("seen by the surgeon")
    here("run", case_file, "--out", "out", "--json", *FAST)
    assert (folder / "notes.txt").read_text() == "seen by the surgeon"


@pytest.mark.parametrize(("place", "value", "words"), BAD[:5], ids=lambda one: str(one)[:40])
def test_a_bad_case_writes_nothing(tmp_path, here, place, value, words):
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(tiny(*place, value=value)), "utf-8")
    refused(here("run", path, "--out", "out"), words)
    refused(here("run", path, "--json"), words)
    assert list(tmp_path.iterdir()) == [path]


def test_a_device_that_does_not_exist_is_refused(tmp_path, here, case_file):
    for done in (epidura("run", case_file, "--device", "gpu", "--out", "out", cwd=tmp_path), here("demo", "--device", "gpu", "--out", "out")):
        refused(done, "device", "allowed: auto, cpu, cuda")
    assert list(tmp_path.iterdir()) == []


def test_an_accuracy_that_does_not_exist_is_refused(tmp_path, here, case_file):
    for command in (("run", case_file), ("demo",)):
        refused(here(*command, "--accuracy", "best", "--out", "out", "--json"), "accuracy: unknown", "got 'best'",
                "allowed: fast, standard, reference")
    assert list(tmp_path.iterdir()) == []


def test_without_a_gpu_the_cpu_computes_and_says_so(monkeypatch):
    from epidura.numerics import cable_cuda

    monkeypatch.setattr(cable_cuda, "available", lambda: "there is none")
    assert study.pick_device("cuda") == ("cpu", ("computed on the cpu instead of cuda: there is none",))
    monkeypatch.setattr(cable_cuda, "available", lambda: None)
    assert study.pick_device("cuda") == ("cuda", ())
    assert study.pick_device("auto") == study.pick_device("cpu") == ("cpu", ())
