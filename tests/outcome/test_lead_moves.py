"""Leads that move: what is reached from then on, who is revised, by hand and by counting."""

from __future__ import annotations

import numpy as np
import pytest
from outcome_people import ARM, P

from epidura import stages as sg
from epidura.errors import BadInput
from epidura.lead_moves import KEEP, SHARE, Moved, move, with_revision

WHO = sg.cohort(17, 6000)
QUIET = P | {"explant after loss": 0.0, "other explants": 0.0, "loss rate": 0.0, "neural tonic": 0.8}
DIRECT = sg.Procedure(therapy="tonic", skip=True)


def run(procedure=DIRECT, p=QUIET, who=WHO, **more) -> sg.Stages:
    return sg.simulate(procedure, who, p, ARM, **{"months": (1, 3, 6, 12, 24), **more})


def test_a_move_by_hand():
    practice = sg.rates() | {SHARE: 25.0, KEEP: 0.8}
    u = np.array([[0.24, 0.5], [0.26, 0.5], [0.1, 0.25], [0.0, 0.0]])
    found = move(u, np.array([1.0, 1.0, 1.0, 0.5]), np.array([0.8, 0.1, 0.79, 0.6]), practice)
    assert found.when.tolist() == [6.0, np.inf, 3.0, 0.0]
    assert found.revised.tolist() == [False, False, True, False]
    assert found.dose.tolist() == [0.8, 0.1, 1.0, 0.6]  # the second never moves, the third is put back
    assert with_revision(np.array([[5.0, 9.0], [5.0, 9.0], [5.0, 9.0], [5.0, 9.0]]), found).tolist() == [[5, 9], [5, 9], [3, 9], [5, 9]]


def test_without_the_reach_of_moved_leads_nothing_moves():
    plain, same = run().data, run(moved=Moved(1.0)).data
    assert np.isnan(plain.migration.values).all()
    np.testing.assert_array_equal(plain.nrs.values, same.nrs.values)  # moved, and reaching the same
    np.testing.assert_array_equal(plain.revision.values, same.revision.values)
    assert not same.migration_revised.values.any()


def test_as_many_move_as_the_table_says():
    found = run(moved=Moved(0.9)).data.migration.values
    share = sg.rates()[SHARE] / 100
    assert np.isfinite(found).mean() == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / len(WHO)))
    when = found[np.isfinite(found)]
    assert when.mean() == pytest.approx(6, abs=4 * 12 / np.sqrt(12 * len(when)))
    assert when.max() < 12


def test_who_may_move_are_those_who_do_at_the_highest_rates():
    stay = QUIET | {"context": 3.0}  # all pass, and are observed to the end
    data = run(sg.Procedure(therapy="tonic", duration="30 days"), stay, moved=Moved(1.0), practice=sg.rates(np.ones(len(sg.facts())))).data
    may = sg.may_move(WHO)
    assert (np.isfinite(data.migration.values) == may[:, 1] & data.implanted.values).all()
    in_trial = np.isfinite(data.trial_migration.values)
    ended = np.isfinite(data.trial_infection.values) | data.trial_haematoma.values
    assert (in_trial <= may[:, 0]).all()
    assert (in_trial == may[:, 0])[~ended].all()


def test_a_moved_lead_reaches_less_from_then_on():
    before, after = run().data, run(moved=Moved(0.9)).data
    moved = np.isfinite(after.migration.values)
    for v, month in enumerate(after.visit.values):
        slid = moved & (after.migration.values <= month)
        np.testing.assert_allclose(after.neural.values[slid, v], 0.9 * before.neural.values[slid, v])
        np.testing.assert_array_equal(after.neural.values[~slid, v], before.neural.values[~slid, v])
    assert after.course.values[moved, -1].mean() > before.course.values[moved, -1].mean()


def test_what_is_not_won_back_is_revised_and_then_as_before():
    before, after = run().data, run(moved=Moved(0.3)).data
    moved = np.isfinite(after.migration.values)
    assert (after.migration_revised.values == moved).all()
    np.testing.assert_array_equal(after.neural.values, before.neural.values)
    # every one has its operation, at that moment; it takes the place of the first that was drawn
    has = (after.revision.values == after.migration.values[:, None]).any(1)
    assert (has == moved).all()
    drawn = np.isfinite(before.revision.values).sum(1)
    assert (np.isfinite(after.revision.values).sum(1)[moved] == np.maximum(drawn[moved], 1)).all()
    np.testing.assert_array_equal(after.revision.values[~moved], before.revision.values[~moved])


def test_a_threshold_between_people():
    there = np.where(np.arange(len(WHO)) % 2 == 0, 0.85, 0.75)
    found = run(moved=Moved(there)).data
    moved = np.isfinite(found.migration.values)
    assert (found.migration_revised.values == (moved & (there < 0.8))).all()


def test_the_diary_changes_on_the_day_that_the_trial_leads_move():
    procedure = sg.Procedure(therapy="tonic", duration="14 days")
    practice = sg.rates() | {"migration of trial leads, 30 days": 90.0}
    before = run(procedure, practice=practice).data
    after = run(procedure, practice=practice, moved=Moved(1.0, 0.0)).data
    when = after.trial_migration.values
    np.testing.assert_array_equal(when, before.trial_migration.values)
    day = after.day.values
    same = (after.diary_average.values == before.diary_average.values) | np.isnan(after.diary_average.values)
    for k in np.flatnonzero(np.isfinite(when))[:300]:
        assert same[k][day <= when[k]].all()
    moved = np.isfinite(when) & (when < 7)
    assert (after.trial_relief.values[moved] < before.trial_relief.values[moved]).mean() > 0.5
    assert not (after.trial_relief.values > before.trial_relief.values + 1e-9).any()
    assert after.passed.values.sum() < before.passed.values.sum()
    np.testing.assert_array_equal(after.trial_relief.values[np.isnan(when)], before.trial_relief.values[np.isnan(when)])


def test_leads_that_stay_begin_where_they_moved_to_unless_they_were_put_back():
    practice = sg.rates() | {"migration of trial leads, 30 days": 90.0, SHARE: 0.0}
    procedure = sg.Procedure(therapy="tonic", technique="tunnelled", rule={"relief": -9.0})
    plain = run(procedure, practice=practice).data
    kept, back = (run(procedure, practice=practice, moved=Moved(there)).data for there in (0.9, 0.5))
    gone = np.isfinite(kept.trial_migration.values)
    assert 0.2 < gone.mean() < 0.9
    both = kept.implanted.values & plain.implanted.values
    np.testing.assert_allclose(kept.neural.values[gone & both], 0.9 * plain.neural.values[gone & both])
    np.testing.assert_array_equal(kept.neural.values[~gone & both], plain.neural.values[~gone & both])
    np.testing.assert_array_equal(back.neural.values[both], plain.neural.values[both])


def test_on_the_table_no_trial_lead_has_time_to_move():
    found = run(sg.Procedure(therapy="tonic", technique="on-the-table"), moved=Moved(0.9)).data
    assert np.isnan(found.trial_migration.values).all()
    assert np.isfinite(found.migration.values).any()


def test_a_patient_moves_the_same_alone():
    alone = sg.simulate(DIRECT, sg.cohort(17, [41]), QUIET, ARM, moved=Moved(0.3)).data
    among = sg.simulate(DIRECT, WHO, QUIET, ARM, moved=Moved(0.3)).data
    for name in ("migration", "migration_revised", "revision"):
        np.testing.assert_array_equal(alone[name].values[0], among[name].values[41])


@pytest.mark.parametrize(("moved", "procedure", "words"), [
    (Moved(-1.0), DIRECT, "moved.reach: negative or not finite"),
    (Moved([1.0, 1.0]), DIRECT, "moved.reach: not one for each patient"),
    (Moved(1.0, 0.5), sg.Procedure(therapy="tonic", technique="tunnelled"), "moved.tried_reach: the leads stay where they are"),
])
def test_bad_input(moved, procedure, words):
    with pytest.raises(BadInput) as failure:
        run(procedure, moved=moved)
    assert words in str(failure.value)
