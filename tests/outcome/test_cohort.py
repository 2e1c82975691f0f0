"""Cohorts: the same people in every size, order and interruption; curves by hand; what the report holds; bad input."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import kill_cohort
import numpy as np
import pytest
import yaml
from kill_cohort import small
from tiny_case import refused

from epidura import cohort, cohort_page, cohort_study, cohort_summary, stages, virtual
from epidura.cohort_reach import Spot
from epidura.errors import BadInput, Failed
from epidura.evidence.posterior import Posterior, posterior
from epidura.outcome import reach_factor
from epidura.reach import Reach, reaches
from epidura.tasks import run_tasks

pq = pytest.importorskip("pyarrow.parquet")

PATIENTS = 5


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in kill_cohort.NAMES:
            patch.setattr(cohort, name, getattr(kill_cohort, name))
        yield


@pytest.fixture(scope="module")
def study() -> cohort_study.Study:
    return cohort_study.read_study(small(surrogate={**small()["surrogate"], "compared": 1}))


@pytest.fixture(scope="module")
def made(study, tmp_path_factory) -> Path:
    """A study of five patients: two batches of two, and one."""
    folder = tmp_path_factory.mktemp("cohort") / "study"
    cohort.run_study(study, PATIENTS, folder)
    return folder


@pytest.fixture(scope="module")
def summary(made) -> dict[str, Any]:
    return json.loads((made / "study.json").read_text())


def changed(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / cohort.TASKS).rglob("*.*") if path.is_file()}


# --- who is in it ---


def test_tables_have_a_row_for_each_patient_arm_replicate_and_visit(made, study):
    patients, visits = (pq.read_table(made / name) for name in ("patients.parquet", "visits.parquet"))
    assert len(patients) == 2 * PATIENTS * 3
    assert len(visits) == 2 * PATIENTS * 3 * 3
    keys = list(zip(*(visits[name].to_pylist() for name in ("arm", "patient", "replicate", "month")), strict=True))
    assert len(set(keys)) == len(keys)
    assert set(visits["month"].to_pylist()) == {1.0, 6.0, 12.0}
    assert patients.schema.field("dorsal_csf").metadata == {b"units": b"m"}
    assert set(patients["dorsal_csf"].to_pylist()) == {5e-3}
    usual = [row for row in patients.to_pylist() if row["arm"] == "usual care"]
    assert not any(row["implanted"] or row["tried"] for row in usual)
    assert all(row["explant"] is None and row["coverage"] is None for row in usual)
    tonic = [row for row in patients.to_pylist() if row["arm"] == "tonic"]
    assert all(row["tried"] and 0 <= row["coverage"] <= 1 and row["amplitude"] > 0 for row in tonic)


def test_a_patient_is_the_same_in_a_cohort_of_any_size(made, study, tmp_path):
    surely = made / cohort.TASKS
    # a whole batch, a partial one, and one that begins elsewhere
    other = cohort.batch_tasks(study, 3)
    for task in [*other, replace(other[0], arguments={**other[0].arguments, "first": 1, "end": 5})]:
        path = surely / "aa" / f"again-{task.key}.parquet"
        path.parent.mkdir(exist_ok=True)
        cohort.batch_run(path, **task.arguments)
        again = pq.read_table(path).to_pylist()
        path.unlink()
        first, end = task.arguments["first"], task.arguments["end"]
        before = [row for batch in cohort.batch_tasks(study, PATIENTS) for row in pq.read_table(batch.path(surely)).to_pylist()
                  if first <= row["patient"] < end]
        key = lambda row: (row["arm"], row["patient"], row["replicate"])  # noqa: E731
        assert sorted(again, key=key) == sorted(before, key=key)
        assert len(again) == 2 * 3 * (end - first)
    assert [task.key for task in cohort.batch_tasks(study, 4)] == [task.key for task in cohort.batch_tasks(study, PATIENTS)][:2]


def test_another_seed_makes_other_people(study):
    one, other = (virtual.person(study.around, seed, 0) for seed in (study.seed, study.seed + 1))
    assert one.lateral != other.lateral
    assert {task.key for task in cohort.batch_tasks(study, 2)}.isdisjoint(
        task.key for task in cohort.batch_tasks(cohort_study.read_study(small(seed=2)), 2))


def test_a_replicate_is_the_same_however_many_there_are(study):
    more = cohort_study.read_study(small(replicates=9))
    for r in range(3):
        one, other = cohort_study.replicate(study, r), cohort_study.replicate(more, r)
        assert (one.draw, one.context, one.neural, one.practice) == (other.draw, other.context, other.neural, other.practice)
    assert len({cohort_study.replicate(more, r).draw for r in range(9)}) > 4


def test_resume_computes_only_what_is_missing(made, study):
    before, files = changed(made), {name: (made / name).read_bytes() for name in cohort.FILES}
    victim = cohort.batch_tasks(study, PATIENTS)[1].path(made / cohort.TASKS)
    bytes_of = victim.read_bytes()
    victim.unlink()
    cohort.run_study(study, PATIENTS, made, resume=True)
    after = changed(made)
    assert {name for name in after if after[name] != before.get(name)} == {victim.name}
    assert victim.read_bytes() == bytes_of
    assert {name: (made / name).read_bytes() for name in cohort.FILES} == files


def test_a_cohort_grows(study, tmp_path):
    few = cohort.run_study(study, 2, tmp_path / "study")
    before = changed(tmp_path / "study")
    more = cohort.run_study(study, 4, tmp_path / "study", resume=True)
    after = changed(tmp_path / "study")
    assert few["patients"], more["patients"] == (2, 4)
    assert all(after[name] == before[name] for name in before)
    assert len(after) == len(before) + 1


# --- what comes out ---


def test_an_arm_without_any_effect_is_usual_care(monkeypatch, tmp_path):
    known = posterior()
    nothing = {name: np.zeros_like(values) if name == "context" or name.startswith("neural ") else values for name, values in known.draws.items()}
    one = cohort_study.read_study(small(arms=[{"name": "tonic", "program": "tonic", "procedure": {"skip": True}},
                                        {"name": "usual care", "program": "usual-care"}]))

    def pains() -> list[list[float]]:
        who = stages.cohort(one.seed, 40)
        world = cohort_study.replicate(one, 0)
        return [cohort_study.live(one, treated, arm, who, np.ones(40), world).data.nrs.values.tolist()
                for arm, treated in zip(one.arms, one.treatments, strict=True)]

    tonic, usual = pains()
    assert np.mean(tonic) < np.mean(usual) - 0.2
    monkeypatch.setattr(cohort_study, "posterior", lambda: Posterior(nothing, known.provenance))
    tonic, usual = pains()
    assert tonic == usual


def test_a_therapy_that_was_not_fitted_has_a_dose_of_its_own(monkeypatch):
    case = small()["case"]
    burst = {"name": "burst", "contacts": {4: -1, 5: 1}, "waveform": {"kind": "burst", "frequency": "40 Hz", "intra_frequency": "500 Hz", "pulses": 5,
                                                                     "pulse_width": "1000 us"}}
    one = cohort_study.read_study(small(case={**case, "programs": [*case["programs"], burst]},
                                  arms=[{"name": "b", "program": "burst", "procedure": {"skip": True}}]))
    (treated,), world, who = one.treatments, cohort_study.replicate(one, 0), stages.cohort(1, 30)
    assert (treated.therapy, treated.program) == ("burst", 0)
    assert [program.name for program in one.around.programs] == ["burst"]
    assert treated.stand_in

    def pain(of: cohort_study.Replicate) -> float:
        return float(cohort_study.live(one, treated, one.arms[0], who, np.ones(30), of).data.nrs.values.mean())

    assert pain(world) == pain(replace(world, parameters={**world.parameters, f"neural {treated.stand_in}": 9.0}))
    assert pain(world) > pain(replace(world, unfitted={"burst": world.unfitted["burst"] + 1.0})) + 0.3
    assert any("no trial of burst was fitted" in words for words in cohort_summary._notes(one, 100, {"spread": "0"}))


def test_reach_of_each_kind_of_therapy_stands_among_virtual_patients(study, made):
    (felt,) = cohort.surrogate(study, made / cohort.TASKS).reach(virtual.person(study.around, 1, 0))
    for therapy, reach in (("tonic", felt), ("burst", replace(felt, felt=False)), ("high-frequency", replace(felt, felt=False))):
        treated = replace(study.treatments[0], therapy=therapy, tried=therapy)
        none, all_of = cohort._factor(Spot(reach, "4-5+", 1, reach.coverage), np.array([[0.0, 0.0, 0.5], [1.0, 1.0, 0.5]]), treated)
        assert none == 1.0
        assert all_of != 1.0


def test_a_program_without_an_amplitude_reaches_nobody(study):
    treated, draws = study.treatments[0], np.full((2, 3), 0.5)
    assert (cohort._factor(None, draws, treated) == 0).all()
    assert (cohort._factor(None, draws, study.treatments[1]) == 1).all()


def test_explants_as_kaplan_and_meier_by_hand():
    # 6 people; out at 2 and 5, and at 5 again; observed until 3, 10, 10
    times, share = stages.kaplan_meier([2, 5, 5, np.nan, np.nan, np.nan], [10, 10, 10, 3, 10, 10])
    assert times.tolist() == [2, 5]
    assert share == pytest.approx([5 / 6, 5 / 6 * 2 / 4])
    assert cohort_summary.step(times, share, np.array([0, 1.9, 2, 4.9, 5, 12])) == pytest.approx([1, 1, 5 / 6, 5 / 6, 5 / 12, 5 / 12])


def test_bands_hold_patients_and_replicates():
    n, explants = 400, (np.full((400, 2), np.nan), np.zeros((400, 2)), 12.0, np.array([0.0, 12.0]))
    half = np.zeros((n, 2))
    half[: n // 2] = 1.0
    apart = np.zeros((n, 2))
    apart[:, 1] = 1.0
    all_of, none = np.ones((n, 2)), np.zeros((n, 2))
    told, curve = cohort_summary._bands(1, {"half": (half, all_of), "apart": (apart, all_of), "none": (half, none)}, explants)
    low, high = told["half"]["interval_90"]
    assert (low, high) == pytest.approx((0.5 - 1.645 * 0.025, 0.5 + 1.645 * 0.025), abs=0.02)
    assert told["apart"]["interval_90"] == [0.0, 1.0]
    assert told["none"]["median"] is None
    assert curve is None


def test_the_summary_is_that_of_the_tables(summary, made):
    rows = [row for row in pq.read_table(made / "visits.parquet").to_pylist() if row["arm"] == "usual care" and row["month"] == 12.0]
    usual = summary["arms"][1]
    share = np.mean([row["relief"] >= 0.5 for row in rows])
    low, high = usual["responder50 12"]["interval_90"]
    assert low <= share <= high
    at_half = usual["cumulative"]["relief"].index(0.5)
    assert usual["cumulative"]["median"][at_half] == usual["responder50 12"]["median"]
    assert usual["cumulative"]["median"] == sorted(usual["cumulative"]["median"], reverse=True)
    tonic = summary["arms"][0]
    told = pq.read_table(made / "patients.parquet").to_pylist()
    failed = [row for row in told if row["arm"] == "tonic" and not row["passed"]]
    assert sum(one["share"] for one in tonic["failures"]) == pytest.approx(len(failed) / (PATIENTS * 3), abs=1e-4)
    assert tonic["explant_free"]["median"][0] == 1.0
    assert usual["explant_free"] is None


def test_the_report_is_whole_and_holds_the_figures(made, summary):
    page = (made / "report.html").read_text(encoding="utf-8")
    for words in ("Small study", "Responders", "Cumulative responders", "Kaplan-Meier", "From trial to implant", "Who fails, and why", "2 nodes",
                  "not a medical device", "who stand at no node (1 of them)", "The gate is off in the case", 'id="responders"', 'id="explants"'):
        assert words in page
    shown = re.sub("<script.*?</script>", "", page, flags=re.DOTALL)  # the drawing library itself names addresses
    assert "http" not in shown
    assert "src=" not in shown
    value = summary["arms"][1]["nrs 12"]
    assert f"<strong>{value['median']:.1f}</strong>" in page
    assert page == cohort_page.render(summary)


def test_an_indication_is_told_as_people_call_it(summary):
    assert summary["evidence"]["name"] == "failed back surgery"
    page = cohort_page.render({**summary, "indication": "non-surgical-back"})
    assert "virtual patients with chronic back pain without surgery" in page


def test_words_of_a_person_are_not_markup(summary):
    page = cohort_page.render({**summary, "title": "<b>x</b>", "arms": [{**summary["arms"][0], "name": "<i>y</i>"}, summary["arms"][1]]})
    assert "<b>x</b>" not in page
    assert "<i>y</i>" not in page
    assert "&lt;i&gt;y&lt;/i&gt;" in page


def test_the_error_of_the_surrogate_is_against_the_full_chain(study, made, summary):
    (one,) = cohort.compared(study)
    with kill_cohort.quick():
        full = reaches(cohort._run(one.case.model_dump(mode="json")))[0]
    by_lines = cohort.surrogate(study, made / cohort.TASKS).reach(one)[0]
    line = next(row for row in summary["surrogate"]["errors"] if row[:2] == ["tonic", "perception"])
    assert line[3] == f"{100 * abs(np.log(by_lines.perception / full.perception)):.1f} %"
    assert summary["surrogate"]["nodes"] == 2


def test_a_surrogate_that_is_far_off_is_told_first():
    full = Reach(**{**dict.fromkeys((one.name for one in fields(Reach)), 0.5), "program": "tonic", "inhibition": {}, "felt": True, "perception": 2e-3,
                    "discomfort": 3e-3})
    near, far = replace(full, perception=2.2e-3, coverage=0.65), replace(full, discomfort=4e-3, coverage=0.75)
    assert not cohort_summary.warnings([virtual.Compared(i, full, near) for i in range(3)])
    (note,) = cohort_summary.warnings([virtual.Compared(0, full, near), virtual.Compared(1, full, far), virtual.Compared(2, full, far)])
    assert note.startswith("tonic: the surrogate is far from the full chain in coverage, discomfort (")


def test_the_full_chain_of_every_person_instead_with_leads_that_move(tmp_path):
    one = cohort_study.read_study(small(surrogate={"by": "full-chain"}, replicates=1, programming="as-written", seed=46))
    who = stages.cohort(46, 1)
    assert stages.may_move(who).all()
    found = cohort.run_study(one, 1, tmp_path / "study")
    (row, _) = pq.read_table(tmp_path / "study" / "patients.parquet").to_pylist()
    here, there = (virtual.person(one.around, 46, 0, migrated=migrated, anew=True) for migrated in (False, True))
    with kill_cohort.quick():
        full, moved = (reaches(cohort._run(person.case.model_dump(mode="json")))[0] for person in (here, there))
    assert row["perception"] == full.perception
    assert row["contacts"] == "4-5+"
    assert found["surrogate"] == {"by": "full-chain"}
    assert there.migration > 0.02  # to the next vertebra, where the same contacts reach something else
    assert moved.coverage > row["coverage"] + 0.1
    draw = who.uniform("reach", 3, place=0)
    assert row["moved_reach_factor"] == reach_factor(moved, draw[:, :2], draw[:, 2], "tonic")[0] != row["reach_factor"]


def test_only_whose_leads_may_move_are_run_somewhere_else():
    one = cohort_study.read_study(small(surrogate={"by": "full-chain"}))
    may = stages.may_move(stages.cohort(one.seed, 60))
    for (first, anew), people in zip(may, cohort._elsewhere(one, range(60)), strict=True):
        assert [person is not None for person in people] == [first or anew, anew]


# --- bad input ---


@pytest.mark.parametrize(("changes", "words"), [
    ({"arms": [{"name": "a", "program": "tonik"}]}, "arms[0].program: there is no such program in the case; got 'tonik'; allowed: tonic"),
    ({"arms": [{"name": "a", "program": "tonic"}] * 2}, "arms[1].name: two arms share a name"),
    ({"arms": [{"name": "a", "program": "tonic", "procedure": {"therapy": "high-frequency"}}]}, "arms[0].procedure.therapy: an arm's therapy is"),
    ({"arms": [{"name": "a", "program": "tonic", "procedure": {"duration": "2 days"}}]}, "arms[0].procedure.duration: not a length of a trial stage"),
    ({"arms": [{"name": "a", "program": "tonic", "procedure": {"tecnique": "tunnelled"}}]}, "arms[0].procedure.tecnique: unknown key"),
    ({"blinding": "sham"}, "blinding: blinded against sham, but no arm is sham"),
    ({"months": [6, 3]}, "months: not visits"),
    ({"population": {"indication": "complex-regional-pain", "baseline": 7.5}}, "population.indication"),
    ({"case": {**small()["case"], "patient": None}}, "case.patient: a cohort is drawn around a person"),
    ({"case": {**small()["case"], "anatomy": {"kind": "parametric", "vertebra": "T9", "extent": "spine"}}}, "anatomy: the surrogate does not"),
    ({"surrogate": {"minor": ["tip"]}}, "surrogate.minor: there is no such input"),
    ({"patients": 10}, "patients: unknown key"),
])
def test_a_study_that_cannot_be(changes, words):
    with pytest.raises(BadInput) as failure:
        cohort_study.read_study(small(**changes))
    assert words in str(failure.value)


def test_nobody_is_no_cohort(study, tmp_path):
    with pytest.raises(BadInput, match="patients: nobody to study; got 0"):
        cohort.run_study(study, 0, tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_another_study_is_not_mixed_with_this_one(made):
    other = cohort_study.read_study(small(seed=7, months=[1, 6], surrogate={**small()["surrogate"], "compared": 1}))
    before = (made / "study.yaml").read_bytes()
    with pytest.raises(BadInput) as failure:
        cohort.run_study(other, PATIENTS, made, resume=True)
    assert "another study is in this folder; what differs: months ([1.0, 6.0, 12.0], now [1.0, 6.0]), seed (1, now 7)" in str(failure.value)
    assert (made / "study.yaml").read_bytes() == before


def test_an_earlier_run_is_not_gone_over_without_being_asked(study, made):
    with pytest.raises(BadInput, match=r"an earlier run of this study is in this folder; go on with --resume"):
        cohort.run_study(study, PATIENTS, made)


def test_a_folder_with_something_else_is_left_alone(study, tmp_path):
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(BadInput, match=r"this folder holds something else; got 'letters\.txt'"):
        cohort.run_study(study, PATIENTS, tmp_path)


@pytest.mark.parametrize(("missing", "given", "words"), [
    ("distributed", {"cluster": "tcp://127.0.0.1:1"}, "cluster: needs Dask"),
    ("pyarrow", {}, r"needs pyarrow, which is not installed; pip install 'epidura\[cohort\]'"),
])
def test_a_missing_extra_is_named(study, tmp_path, monkeypatch, missing, given, words):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(BadInput, match=words):
        cohort.run_study(study, PATIENTS, tmp_path / "study", **given)


def test_a_worker_with_other_sources_is_refused_and_what_failed_is_said(study, tmp_path):
    (task, *_) = cohort.node_tasks(study)
    other = replace(task, arguments={**task.arguments, "sources": "0" * 32})
    outcome = run_tasks([other], tmp_path)
    assert "has other sources of Epidura than the driver" in outcome.failed[task.key]
    with pytest.raises(Failed, match=r"1 of 1 runs failed; the first, .*other sources.*run again with --resume"):
        cohort._complete(outcome, "runs", tmp_path)


# --- the command ---


def test_the_command_reads_a_case_beside_the_study_and_prints_json(here, tmp_path):
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "case.yaml").write_text(yaml.safe_dump(small()["case"]))
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(small(case="cases/case.yaml")))
    done = here("cohort", "my.yaml", "--patients", 2, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["patients"] == 2
    assert (tmp_path / "results" / "my" / "report.html").exists()
    again = here("cohort", "my.yaml", "--patients", 2, "--resume")
    assert again.returncode == 0
    assert "2 patients, 3 replicates" in again.stdout
    refused(here("cohort", "my.yaml", "--patients", 2), "an earlier run of this study is in this folder", "--resume")
    refused(here("cohort", "my.yaml", "--workers", 0, "--resume"), "workers")


def test_the_examples_can_be_read():
    folder = Path(__file__).parents[2] / "examples" / "studies"
    found = [cohort_study.read_study(path) for path in sorted(folder.glob("*.yaml"))]
    assert len(found) >= 2
    assert all(one.treatments for one in found)


@pytest.mark.slow
def test_the_bench_measures_all_it_names(tmp_path):
    bench = pytest.importorskip("epidura.bench.cohort")
    with kill_cohort.quick():
        rows = bench.measure(quick=True)
    assert [row.name for row in rows] == ["runs of the chain", "patients, per 1,000 and arm", "16 patients against 4, each",
                                          "16 patients, 12 months, two cores", "largest memory", "two processes against one"]
    assert all(row.value is not None and row.value > 0 for row in rows[:-1])
    assert rows[-1].value is None
    bench.save(rows, tmp_path / "bench.json")
    assert json.loads((tmp_path / "bench.json").read_text())["what"] == "epidura bench cohort"


def test_a_sham_arm_is_tried_with_its_program_and_then_not_stimulated():
    one = cohort_study.read_study(small(blinding="sham", arms=[{"name": "on", "program": "tonic"},
                                                         {"name": "off", "program": "tonic", "procedure": {"therapy": "sham"}}]))
    on, off = one.treatments
    assert (off.therapy, off.tried, off.procedure.tried, off.procedure.therapy) == ("sham", "tonic", "tonic", "sham")
    who, world = stages.cohort(1, 60), cohort_study.replicate(one, 0)
    lived = [cohort_study.live(one, treated, arm, who, np.ones(60), world).data for treated, arm in zip(one.treatments, one.arms, strict=True)]
    assert (lived[0].passed.values == lived[1].passed.values).all()
    assert lived[1].neural.values.max() == 0.0
    assert lived[0].neural.values.max() > 0.0
    assert on.therapy == "tonic"


def test_from_how_many_patients_two_processes_are_worth_it():
    bench = pytest.importorskip("epidura.bench.cohort")
    # 4 + 0.010 n against 1.8 (4 + 0.005 n): 3.2 s are won back at 1 ms each
    assert bench.from_which({1: 4.0, 2: 4.0}, {1: 0.010, 2: 0.005}) == pytest.approx(3200)
    assert bench.from_which({1: 9.0, 2: 4.0}, {1: 0.010, 2: 0.005}) == 0
    assert bench.from_which({1: 4.0, 2: 4.0}, {1: 0.010, 2: 0.006}) is None


@pytest.mark.slow
def test_the_bench_compares_the_command_with_itself(monkeypatch, tmp_path):
    """One process and two, each from nodes that are done; small, and with the real command."""
    bench = pytest.importorskip("epidura.bench.cohort")
    for name, value in (("LONG", (2, 4)), ("TURNS", 1)):
        monkeypatch.setattr(bench, name, value)
    one = cohort_study.read_study(small())
    with kill_cohort.quick():
        run_tasks(cohort.node_tasks(one), tmp_path / "nodes")
    rows = bench._workers(one, tmp_path)
    assert [row.name for row in rows] == ["two processes against one, 2 patients", "two processes against one, 4 patients",
                                          "patients from which it is 1.8 x"]
    assert all(0.1 < row.value < 10 for row in rows[:2])
