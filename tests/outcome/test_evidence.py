"""The laws of the outcome model: against plain draws of people, against closed forms, and against known parameters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from epidura.errors import BadInput, BadTable
from epidura.evidence import model
from epidura.evidence import posterior as stored
from epidura.evidence.fit import fit, log_likelihood
from epidura.evidence.judge import between_arms, judged, modelled, table
from epidura.evidence.model import Arm, Course, beta_of, explanted, fading, lost, therapies
from epidura.evidence.posterior import fingerprint, posterior
from epidura.evidence.rows import Row, arms, expected, rows, weights

P = {"return level": 5.7, "persistence": 0.67, "refractory": 0.45, "spread": 1.35, "error": 1.5, "context": 0.55, "blinded": 0.68, "novelty": 0.5,
     "trial boost": 3.2, "lasting": 0.68, "fading": 5.5, "context spread": 0.77, "neural spread": 1.05, "neural typical": 0.5,
     "neural between therapies": 0.8, "neural tonic": 0.35, "neural high-frequency": 1.2, "loss rate": 0.105, "loss shape": 0.62,
     "explant after loss": 0.5, "other explants": 0.023, "revision rate": 0.18, "context between trials": 0.2, "neural between trials": 0.2}
TONIC = Arm("T", "SCS", "tonic", "tonic", "open", False, "randomised", 7.6, 1.3, 5.0)


def drawn(arm: Arm, months: float, n: int = 400_000, p: dict[str, float] = P) -> dict[str, float]:
    """The same laws, person by person, with every error drawn."""
    rng = np.random.default_rng(5)
    a, b = beta_of(arm.baseline, arm.baseline_sd, arm.least)
    base = arm.least + (10 - arm.least) * rng.beta(a, b, n)
    level = p["return level"] + p["refractory"]
    pain = level + p["persistence"] * (base - level) + p["spread"] * rng.standard_normal(n)
    context, neural = (np.exp(p[name] * rng.standard_normal(n) - p[name] ** 2 / 2) for name in ("context spread", "neural spread"))
    dose = p[f"neural {arm.therapy}"] * neural
    steady = p["context"] * context
    trial = pain * np.exp(-steady * (1 + p["trial boost"]) - dose) + 0.5 * p["error"] * rng.standard_normal(n)
    passes = trial <= 0.5 * base
    keeps = rng.random(n) < np.exp(-p["loss rate"] * (months / 12) ** p["loss shape"])
    later = pain * np.exp(-steady * (p["lasting"] + (1 - p["lasting"]) * np.exp(-months / p["fading"])) - dose * keeps)
    later = np.where(passes, later, pain)
    seen = np.clip(later + p["error"] * rng.standard_normal(n), 0, 10)
    return {"success": passes.mean(), "responders": (seen <= 0.5 * base).mean(), "pain": seen.mean(), "pain sd": seen.std(),
            "change": (seen - base).mean(), "change sd": (seen - base).std(), "reduction": 100 * (1 - seen / base).mean(),
            "reduction sd": 100 * (1 - seen / base).std()}


@pytest.mark.parametrize("months", [1.0, 24.0])
def test_expectations_are_those_of_people_drawn_one_by_one(months: float) -> None:
    course = Course.of([TONIC], P)
    seen, want = course.seen(months), drawn(TONIC, months)
    found = {"success": course.trial_success()[0], "responders": seen.responders()[0],
             **{k: v[0] for k, v in zip(("pain", "pain sd"), seen.pain_left(), strict=True)},
             **{k: v[0] for k, v in zip(("change", "change sd"), seen.change(), strict=True)},
             **{k: v[0] for k, v in zip(("reduction", "reduction sd"), seen.reduction(), strict=True)}}
    for name, tolerance in (("success", 0.012), ("responders", 0.012), ("pain", 0.05), ("pain sd", 0.06), ("change", 0.05), ("change sd", 0.06),
                            ("reduction", 0.8), ("reduction sd", 0.9)):
        assert found[name] == pytest.approx(want[name], abs=tolerance), name


def test_accuracy_of_the_trial_stage_is_that_of_people_drawn_one_by_one() -> None:
    rng, n = np.random.default_rng(6), 400_000
    a, b = beta_of(7.6, 1.3, 5.0)
    base = 5 + 5 * rng.beta(a, b, n)
    level = P["return level"] + P["refractory"]
    pain = level + P["persistence"] * (base - level) + P["spread"] * rng.standard_normal(n)
    context, neural = (P[k] * np.exp(P[s] * rng.standard_normal(n) - P[s] ** 2 / 2)
                       for k, s in (("context", "context spread"), ("neural tonic", "neural spread")))
    passes = pain * np.exp(-context * (1 + P["trial boost"]) - neural) + 0.75 * rng.standard_normal(n) <= 0.5 * base
    keeps = rng.random(n) < 1 - lost(P, 6.0)
    responds = pain * np.exp(-context * fading(P, 6.0) - neural * keeps) + P["error"] * rng.standard_normal(n) <= 0.5 * base
    sensitivity, specificity = Course.of([TONIC], P).accuracy(6.0)
    assert sensitivity[0] == pytest.approx(passes[responds].mean(), abs=0.01)
    assert specificity[0] == pytest.approx((~passes[~responds]).mean(), abs=0.015)


def test_no_neural_effect_and_no_context_is_usual_care() -> None:
    control = replace(TONIC, therapy="usual-care", tried="", stage="none")
    nothing = {**P, "context": 0.0, "neural tonic": 0.0}
    for months in (1.0, 12.0):
        treated, untreated = (Course.of([arm], p).seen(months) for arm, p in ((TONIC, nothing), (control, P)))
        assert treated.responders()[0] == pytest.approx(untreated.responders()[0], abs=1e-12)
        assert treated.change()[0] == pytest.approx(untreated.change()[0], abs=1e-12)


def test_a_sham_arm_is_the_therapy_without_its_neural_effect() -> None:
    real = replace(TONIC, blinding="sham", stage="implanted")
    sham = replace(real, therapy="sham")
    treated, untreated = (Course.of([arm], p).seen(3.0).responders()[0] for arm, p in ((real, {**P, "neural tonic": 0.0}), (sham, P)))
    # the trial stage was done with the therapy, so with its effect: people who passed it are others
    assert treated != untreated
    no_trial = [replace(arm, tried="", stage="none") for arm in (real, sham)]
    treated, untreated = (Course.of([arm], p).seen(3.0).responders()[0] for arm, p in zip(no_trial, ({**P, "neural tonic": 0.0}, P), strict=True))
    assert treated == untreated


def test_blinding_changes_the_context_and_nothing_else() -> None:
    one, other = (Course.of([replace(TONIC, blinding=blinding)], P) for blinding in ("open", "sham"))
    assert other.context[0] == P["blinded"] * one.context[0]
    for name in ("neural", "tried_neural", "tried_context", "level", "baseline", "stimulated"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert other.seen(3.0).responders()[0] < one.seen(3.0).responders()[0]


def test_novelty_counts_only_where_nobody_is_blinded() -> None:
    base, new = (Course.of([replace(TONIC, novel=novel)], P).context[0] for novel in (False, True))
    assert new == pytest.approx(1.5 * base)
    assert Course.of([replace(TONIC, novel=True, blinding="active")], P).context[0] == base


def test_arms_in_a_stack_do_not_touch_each_other() -> None:
    other = replace(TONIC, therapy="high-frequency", tried="", stage="none", baseline=6.5)
    together = Course.of([TONIC, other], P, [(1.2, 0.8), (0.9, 1.1)]).seen(6.0).responders()
    alone = [Course.of([arm], P, [centre]).seen(6.0).responders()[0] for arm, centre in ((TONIC, (1.2, 0.8)), (other, (0.9, 1.1)))]
    assert together == pytest.approx(alone, abs=1e-14)


def test_more_of_an_effect_is_more_relief() -> None:
    shares = [Course.of([replace(TONIC, reach=reach)], P).seen(6.0).responders()[0] for reach in (0.0, 0.5, 1.0, 2.0)]
    assert shares == sorted(shares)
    assert shares[-1] - shares[0] > 0.1


def test_baseline_pain_has_the_mean_and_spread_that_were_asked_for() -> None:
    base = Course.of([TONIC], P).baseline[0]
    assert base.mean() == pytest.approx(7.6, abs=0.01)
    assert base.std() == pytest.approx(1.3, abs=0.02)
    assert base.min() >= 5
    assert base.max() <= 10


@pytest.mark.parametrize(("mean", "sd", "least", "where"), [(4.0, 1.0, 5.0, "baseline"), (7.0, 3.0, 5.0, "baseline_sd"), (7.0, 1.0, 10.0, "least")])
def test_a_baseline_that_cannot_be_is_refused(mean: float, sd: float, least: float, where: str) -> None:
    with pytest.raises(BadInput) as failure:
        Course.of([replace(TONIC, baseline=mean, baseline_sd=sd, least=least)], P)
    assert failure.value.where == where


def test_an_unknown_therapy_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadInput, match="tonic"):
        Course.of([replace(TONIC, therapy="tonik")], P)


def test_loss_and_explants_by_hand() -> None:
    assert lost(P, 12.0) == pytest.approx(1 - np.exp(-0.105))
    for_loss, other = explanted(P, 60.0)
    assert for_loss == pytest.approx(0.5 * (1 - np.exp(-0.105 * 5**0.62)))
    assert other == pytest.approx(1 - np.exp(-0.023 * 5**0.62))


def row(trial: str, arm: str, months: float, measure: str, value: float, n: int, sd: float = float("nan")) -> Row:
    return Row(trial, arm, months, measure, "", value, "%", n, sd, float("nan"), float("nan"), True, "read", "", "")


def test_likelihoods_by_hand() -> None:
    from scipy import stats

    one = row("T", "SCS", 6, "responder50", 40.0, 50)
    difference = log_likelihood(one, 45.0, None) - log_likelihood(one, 30.0, None)
    assert difference == pytest.approx(stats.binom.logpmf(20, 50, 0.45) - stats.binom.logpmf(20, 50, 0.30))
    two = row("T", "SCS", 6, "change", -3.0, 49, 2.0)
    shifted = log_likelihood(two, -3.5, 2.1) - log_likelihood(two, -3.0, 2.1)
    assert shifted == pytest.approx(stats.norm.logpdf(-3.0, -3.5, 0.3) - stats.norm.logpdf(-3.0, -3.0, 0.3))


def test_measures_of_the_same_people_count_less() -> None:
    kept = (row("T", "SCS", 3, "responder50", 40, 50), row("T", "SCS", 6, "change", -3, 50), row("T", "CMM", 3, "responder50", 9, 50),
            row("T", "SCS", 0, "trial_success", 90, 50))
    assert weights(kept) == pytest.approx([1 / 1.6, 1 / 1.6, 1.0, 1.0])


def test_every_row_that_is_fitted_has_an_expectation() -> None:
    kept = [one for one in rows() if one.fitted]
    found = expected(kept, arms(), {**P, **{f"neural {name}": 0.5 for name in therapies()}}, {})
    assert len(found) == len(kept) == 45
    for one, (value, sd) in zip(kept, found, strict=True):
        assert (0 <= value <= 100) if one.unit == "%" else (-10 <= value <= 10), one.name
        assert sd is None or sd > 0


def test_only_the_named_sources_are_fitted() -> None:
    assert {one.trial for one in rows()} == {"CHOIR", "PROCESS", "SENZA-RCT", "EVOKE", "Al-Kaisy 2018", "TRIAL-STIM", "DTM RCT", "London"}


@pytest.fixture
def few_points(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """64 people instead of 256: the laws are the same, and what is made and fitted stands on the same people."""
    monkeypatch.setattr(model, "POINTS", 64)
    for kept in (model.points, model.baselines):
        kept.cache_clear()
    yield
    for kept in (model.points, model.baselines):
        kept.cache_clear()


@pytest.mark.usefixtures("few_points")
@pytest.mark.parametrize("truth", [(0.3, 0.8), (0.6, 0.3)])
def test_two_parameters_are_recovered_where_the_others_are_known(truth: tuple[float, float]) -> None:
    """The likelihood of the fit on a grid, without its sampler: both lie in the 90 % interval, and it is narrow."""
    designs = {("A", name): Arm("A", name, therapy, "", "open", False, "none", 7.5, 1.3, 5.0)
               for name, therapy in (("10 kHz", "high-frequency"), ("sham", "sham"))}
    names, rng = ("context", "neural high-frequency"), np.random.default_rng(4)
    asked = [row("A", arm, 3.0, measure, 0.0, 300, 1.0) for _, arm in designs for measure in ("responder50", "change")]
    made = [replace(one, value=100 * rng.binomial(one.n, value / 100) / one.n, sd=float("nan")) if sd is None
            else replace(one, value=float(value + sd / np.sqrt(one.n) * rng.standard_normal()), sd=float(sd))
            for one, (value, sd) in zip(asked, expected(asked, designs, {**P, **dict(zip(names, truth, strict=True))}, {}), strict=True)]
    grid = np.linspace(0.05, 1.45, 29)
    height = np.array([[sum(weight * log_likelihood(one, *found) for one, weight, found in
                            zip(made, weights(tuple(made)), expected(made, designs, {**P, names[0]: a, names[1]: b}, {}), strict=True))
                        for b in grid] for a in grid])
    share = np.exp(height - height.max())
    for axis, true in enumerate(truth):
        below = np.cumsum(share.sum(axis=1 - axis)) / share.sum()
        low, high = (grid[np.searchsorted(below, q)] for q in (0.05, 0.95))
        assert low <= true <= high
        assert high - low < 0.5


@pytest.mark.slow
@pytest.mark.usefixtures("few_points")
def test_parameters_are_recovered() -> None:
    """Rows made from known parameters, with large numbers of people; the parameters must lie where the posterior says."""
    truth = {**P, **{f"neural {name}": 0.5 for name in therapies()}, "neural tonic": 0.3, "neural high-frequency": 1.0}
    designs = {("A", "care"): Arm("A", "care", "usual-care", "", "open", False, "none", 7.5, 1.3, 5.0),
               ("A", "tonic"): Arm("A", "tonic", "tonic", "tonic", "open", False, "implanted", 7.5, 1.3, 5.0),
               ("A", "10 kHz"): Arm("A", "10 kHz", "high-frequency", "high-frequency", "active", False, "implanted", 7.5, 1.3, 5.0),
               ("A", "sham"): Arm("A", "sham", "sham", "", "sham", False, "none", 7.5, 1.3, 5.0)}
    rng = np.random.default_rng(3)
    asked = [row("A", arm, months, measure, 0.0, 400, 1.0) for _, arm in designs for months in (3.0, 12.0) for measure in ("responder50", "change")]
    asked += [row("A", "tonic", 0.0, "trial_success", 0.0, 400)]
    made = []
    for one, (value, sd) in zip(asked, expected(asked, designs, truth, {}), strict=True):
        if sd is None:
            made.append(replace(one, value=100 * rng.binomial(one.n, value / 100) / one.n, sd=float("nan")))
        else:
            made.append(replace(one, value=float(value + sd / 20 * rng.standard_normal()), sd=float(sd)))
    found = fit(made, designs, seed=1, chains=1, warmup=200, draws=200)
    inside = {name: float(np.quantile(found.draws[name], 0.05)) <= truth[name] <= float(np.quantile(found.draws[name], 0.95))
              for name in ("context", "neural tonic", "neural high-frequency", "return level", "persistence", "error", "spread", "trial boost",
                           "blinded", "lasting")}
    assert sum(inside.values()) >= 8, inside
    tonic, ten = found.draws["neural tonic"] * found.draws["neural centre A"], found.draws["neural high-frequency"] * found.draws["neural centre A"]
    assert np.quantile(ten - tonic, 0.05) < 0.7 < np.quantile(ten - tonic, 0.95)
    assert np.quantile(ten - tonic, 0.05) > 0.1  # it has learnt which is stronger
    assert found.divergences < 10


def test_the_stored_posterior_belongs_to_the_tables_and_its_chains_agree() -> None:
    known = posterior()
    assert known.provenance["fitted_to"] == fingerprint()
    assert known.provenance["largest_rhat"] <= 1.01
    assert known.provenance["divergences"] == 0
    assert known.count == known.provenance["stored"] >= 300
    low, middle, high = known.interval("neural tonic")
    assert 0 < low < middle < high


def test_a_posterior_of_other_tables_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    posterior.cache_clear()
    monkeypatch.setattr(stored, "fingerprint", lambda: "something else")
    with pytest.raises(BadTable, match=r"epidura\.evidence\.fit"):
        posterior()
    monkeypatch.undo()
    posterior.cache_clear()


def test_therapies_that_were_not_fitted_are_drawn_about_the_typical_one() -> None:
    known = posterior()
    burst, tonic = (known.dose(name, np.random.default_rng(1)) for name in ("burst", "tonic"))
    assert np.array_equal(tonic, known.draws["neural tonic"])
    ratio = np.log(burst / known.draws["neural typical"])
    assert ratio.std() == pytest.approx(np.sqrt(np.mean(known.draws["neural between therapies"] ** 2)), rel=0.2)


def test_rows_that_were_fitted_are_met_as_the_docs_say() -> None:
    found = judged(posterior(), [one for one in rows() if modelled(one)])
    missed = [one.row.name for one in found if not one.met and one.row.fitted]
    assert missed == ["PROCESS SCS change leg 1 mo"]
    assert table(found).count("**not met**") == sum(not one.met for one in found) == 1
    assert all(one.low <= one.middle <= one.high for one in found)


def test_rows_between_arms_are_as_the_docs_say_and_every_row_is_in_them() -> None:
    page = (Path(__file__).parents[2] / "docs" / "validation.md").read_text(encoding="utf-8")
    found = between_arms(posterior())
    assert table(found) in page
    assert all(one.low <= one.middle <= one.high for one in found)
    ratio = found[0]
    assert ratio.mean_low > 1.0  # 10 kHz above tonic, in the model too
    told = {one.row for one in found} | {one for one in rows() if modelled(one)}
    for one in rows():
        assert f"| {one.name}" in page if one in told else f"{one.value:g}" in page, one.name
