"""Trials described in text and predicted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from epidura.errors import BadInput
from epidura.trial import Trial, arm_of, known_therapies, predict, read_trial

EXAMPLES = Path(__file__).parents[2] / "examples" / "trials"
BASE: dict[str, Any] = {
    "title": "T", "population": {"baseline": 7.5}, "months": [3, 12],
    "arms": [{"name": "SCS", "therapy": "tonic", "n": 50}, {"name": "care", "therapy": "usual-care", "n": 50}],
}


def but(**changes: Any) -> dict[str, Any]:
    return {**BASE, **changes}


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return predict(read_trial(BASE))


def test_a_prediction_says_everything_in_json(found: dict[str, Any]) -> None:
    again = json.loads(json.dumps(found))
    assert [arm["name"] for arm in again["arms"]] == ["SCS", "care"]
    at = again["arms"][0]["times"][1]
    assert at["months"] == 12
    for name in ("responder50", "responder30", "pain", "change", "percent_reduction", "eq5d_change", "odi_like_change", "much_improved"):
        one = at[name]
        assert one["interval_90"][0] <= one["interval_50"][0] <= one["median"] <= one["interval_50"][1] <= one["interval_90"][1], name
        assert one["interval_90"][1] - one["interval_90"][0] >= one["of_means_90"][1] - one["of_means_90"][0] - 0.1
    assert again["differences"][0]["arms"] == ["SCS", "care"]
    assert again["differences"][0]["times"][0]["responder50"]["median"] > 15
    assert again["arms"][0]["trial_success"]["median"] > 80
    assert "trial_success" not in again["arms"][1]


def test_the_same_file_gives_the_same_prediction(found: dict[str, Any]) -> None:
    assert predict(read_trial(BASE)) == found
    other = predict(read_trial(but(seed=2)))
    assert other != found
    assert other["arms"][0]["times"][0]["responder50"]["median"] == pytest.approx(found["arms"][0]["times"][0]["responder50"]["median"], abs=4)


def test_an_arm_does_not_hang_on_its_neighbours(found: dict[str, Any]) -> None:
    alone = predict(read_trial(but(arms=[BASE["arms"][0]])))
    one, other = (each["arms"][0]["times"][0]["responder50"] for each in (found, alone))
    assert one["of_means_90"] == other["of_means_90"]
    assert one["median"] == other["median"]


def test_a_larger_trial_sees_the_same_with_less_noise() -> None:
    arms = [{"name": str(n), "therapy": "tonic", "n": n} for n in (20, 2000)]
    small, large = (arm["times"][0]["responder50"] for arm in predict(read_trial(but(arms=arms)))["arms"])
    assert small["of_means_90"] == large["of_means_90"]
    width = [one["interval_90"][1] - one["interval_90"][0] for one in (small, large)]
    assert width[0] > width[1] + 8


def test_blinding_against_sham_lowers_both_arms_by_the_context() -> None:
    arms = [{"name": "on", "therapy": "tonic", "tried": "tonic"}, {"name": "off", "therapy": "sham", "tried": "tonic"}]
    blinded, open_label = (predict(read_trial(but(arms=arms, blinding=how))) for how in ("sham", "open"))
    for a in range(2):
        low, high = (each["arms"][a]["times"][0]["percent_reduction"]["median"] for each in (blinded, open_label))
        assert low < high - 3


def test_thin_evidence_is_wider_and_said() -> None:
    strong, low = (predict(read_trial(but(population={"baseline": 7.5, "indication": name}))) for name in ("failed-back-surgery", "amputation"))
    width = [each["arms"][0]["times"][0]["responder50"]["of_means_90"] for each in (strong, low)]
    assert width[1][1] - width[1][0] > width[0][1] - width[0][0]
    assert any("evidence low" in note for note in low["notes"])
    assert not strong["notes"]


def test_nothing_is_predicted_where_nothing_is_known() -> None:
    with pytest.raises(BadInput, match="occipital"):
        predict(read_trial(but(population={"baseline": 7, "indication": "headache"})))


def test_a_therapy_that_was_not_fitted_says_so_and_is_wider() -> None:
    arms = [{"name": "tonic", "therapy": "tonic"}, {"name": "burst", "therapy": "burst"}]
    told = predict(read_trial(but(arms=arms)))
    tonic, burst = (arm["times"][0]["responder50"]["of_means_90"] for arm in told["arms"])
    assert burst[1] - burst[0] > tonic[1] - tonic[0]
    assert any("burst" in note for note in told["notes"])


def test_no_reach_is_the_context_alone() -> None:
    arms = [{"name": "none", "therapy": "tonic", "reach": 0, "tried": "none"}, {"name": "sham", "therapy": "sham", "tried": "none"}]
    one, other = (arm["times"][1]["responder50"]["of_means_90"] for arm in predict(read_trial(but(arms=arms, blinding="open")))["arms"])
    assert one == other


@pytest.mark.parametrize(("changes", "where", "words"), [
    ({"arms": [{"name": "x", "therapy": "tonik"}]}, "arms[0].therapy", "tonic"),
    ({"arms": [{"name": "x", "therapy": "tonic"}, {"name": "x", "therapy": "burst"}]}, "arms[1].name", "share a name"),
    ({"arms": []}, "arms", "at least 1"),
    ({"months": [3, 3]}, "months", "in order"),
    ({"months": [0]}, "months[0]", "above 0"),
    ({"population": {"baseline": 4}}, "population.baseline", "mean pain"),
    ({"population": {"baseline": 7, "baseline_sd": 4}}, "population.baseline_sd", "spread"),
    ({"population": {"baseline": 7, "indication": "crsp"}}, "population.indication", "crps"),
    ({"blinding": "sham"}, "blinding", "no arm is sham"),
    ({"country": "Englnd"}, "country", "England"),
    ({"arms": [{"name": "x", "therapy": "sham"}]}, "arms[0].tried", "trial stage"),
    ({"arms": [{"name": "x", "therapy": "tonic", "n": 0}]}, "arms[0].n", "1"),
    ({"colour": 1}, "colour", "title"),
])
def test_bad_trials_say_where_and_what(changes: dict[str, Any], where: str, words: str) -> None:
    with pytest.raises(BadInput) as failure:
        read_trial(but(**changes))
    assert failure.value.where == where, failure.value
    assert words in str(failure.value)


def test_arms_become_those_of_the_model() -> None:
    trial = read_trial(but(arms=[{"name": "x", "therapy": "tonic", "counted": "implanted", "novel": True}, {"name": "c", "therapy": "usual-care"},
                                 {"name": "n", "therapy": "tonic", "tried": "none"}]))
    one, care, direct = (arm_of(trial, arm) for arm in trial.arms)
    assert (one.tried, one.stage, one.novel) == ("tonic", "implanted", True)
    assert (care.tried, care.stage, care.stimulated) == ("", "none", False)
    assert (direct.tried, direct.stage) == ("", "none")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_examples_are_read(path: Path) -> None:
    trial = read_trial(path)
    assert isinstance(trial, Trial)
    assert {arm.therapy for arm in trial.arms} <= set(known_therapies())


def test_the_command_prints_what_python_gives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import yaml

    from epidura.cli_outcome import trial

    file = tmp_path / "t.yaml"
    file.write_text(yaml.safe_dump(BASE))
    trial(file, as_json=True)
    assert json.loads(capsys.readouterr().out) == predict(read_trial(BASE))
    trial(file, as_json=False)
    shown = capsys.readouterr().out
    assert "SCS minus care" in shown
    assert "half of the pain gone" in shown
