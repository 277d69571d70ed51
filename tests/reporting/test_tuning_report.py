"""What a report says of tuning: counts, values, curves by hand, rows of cells without values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from ablate.plan.searching import Score, Trial, TrialState
from ablate.reporting.document import document_of
from ablate.reporting.evidence import Evidence
from ablate.reporting.findings import Findings
from ablate.reporting.records import RunRecord, StudyRecord
from ablate.reporting.sections.tuning import section
from ablate.reporting.study_figures import make_figure
from ablate.reporting.study_tables import frame_of
from ablate.reporting.tuned import Tuned, TunedArm
from ablate.reporting.tuning import arm_curve, trial_table, tuning_curves, tuning_table, tuning_text
from ablate.spec.tune import Tune

STATES = TrialState
RATE = {"policy.learning_rate": {"low": 1e-6, "high": 1e-3, "log": True}}


def tune(**fields: object) -> Tune:
    return Tune.model_validate({"trials": 4, "parallel": 2, "search": RATE, **fields})


def trial(number: int, *scores: float, state: TrialState = STATES.FINISHED) -> Trial:
    made = [Score(score, reason="diverged" if math.isnan(score) else "") for score in scores]
    return Trial(number, {"policy.learning_rate": 1.23456e-5 * (number + 1)}, made, state)


def arm(name: str, trials: Sequence[Trial], *, done: bool = True) -> TunedArm:
    full = [t for t in trials if t.state is STATES.FINISHED]
    best = max(full, key=lambda t: t.scores[-1].goodness, default=None)
    return TunedArm(name, tuple(trials), best if done else None, done)


MIXED = [
    trial(0, 40.0, 50.0),
    trial(1, 30.0, state=STATES.PRUNED),
    trial(2, math.nan, state=STATES.FAILED),
    trial(3, 41.0, 60.0),
]
PRUNE = {"rungs": [{"policy.epochs": 1}]}


def plain(study: StudyRecord) -> Findings:
    """Return findings without effects: what is said of tuning rests on none."""
    return Findings(study, Evidence(study), (), ())


def found(study: StudyRecord, *arms: TunedArm, **fields: object) -> Findings:
    return plain(replace(study, tuned=Tuned(tune(**fields), arms)))


def test_the_table_counts_what_became_of_trials_and_names_what_was_chosen(
    grid_study: StudyRecord,
) -> None:
    none = arm("bad", [trial(n, math.nan, state=STATES.FAILED) for n in range(4)])
    table = tuning_table(found(grid_study, arm("mixed", MIXED), none, prune=PRUNE))
    assert table is not None
    first, second = ([field.text for field in row] for row in table.rows)
    # Two of four in full, at 50 and 60: the median is 55; trial 3's rate is 4 x 1.23456e-5.
    assert first == ["mixed", "4", "2", "1", "1", "55.0", "60.0", "policy.learning_rate 4.938e-5"]
    assert second == ["bad", "4", "0", "0", "4", "–", "–", "–"]
    assert table.rows[1][-1].hint == "every trial failed"
    assert table.notes == ()


def test_every_trial_is_listed_with_its_rungs_and_why_it_failed(grid_study: StudyRecord) -> None:
    table = trial_table(found(grid_study, arm("mixed", MIXED), prune=PRUNE))
    assert table is not None and table.columns[2:4] == ("rung 1", "in full")
    shown = [[field.text for field in row] for row in table.rows]
    assert [row[2:] for row in shown] == [
        ["40.0", "50.0", "finished"],
        ["30.0", "–", "pruned"],
        ["–", "–", "failed"],
        ["41.0", "60.0", "finished"],
    ]
    assert table.rows[2][-1].sub == "diverged"
    assert frame_of(table).shape == (4, 4)


def test_independent_trials_have_a_band_and_failed_ones_are_the_worst() -> None:
    # Draws: none, 1, 2, 4. Quantiles .5, .707, .794, .841 of four are the 2nd, 3rd, 4th and 4th.
    trials = [trial(0, 4.0), trial(1, math.nan, state=STATES.FAILED), trial(2, 1.0), trial(3, 2.0)]
    drawn = arm_curve(arm("a", trials), Tuned(tune(), ()))
    assert drawn.curve is not None and drawn.curve.median.tolist() == [1.0, 2.0, 4.0, 4.0]
    np.testing.assert_array_equal(drawn.scores, [4.0, math.nan, 1.0, 2.0])
    assert drawn.best.tolist() == [4.0, 4.0, 4.0, 4.0] and drawn.step == 1


def test_trials_pruned_together_are_one_draw() -> None:
    # Rounds of two: the best are 50 and 60. The median of one draw is the lower of two, of two
    # draws, at .707, the higher.
    drawn = arm_curve(arm("mixed", MIXED), Tuned(tune(prune=PRUNE), ()))
    assert drawn.curve is not None and drawn.curve.median.tolist() == [50.0, 60.0]
    assert drawn.step == 2
    # A third round of one trial is no draw of the same distribution.
    longer = arm_curve(arm("mixed", [*MIXED, trial(4, 1.0, 99.0)]), Tuned(tune(prune=PRUNE), ()))
    assert longer.curve is not None and longer.curve.median.tolist() == [50.0, 60.0]


@pytest.mark.parametrize("sampler", ["tpe", "qmc"])
def test_trials_that_are_no_independent_draws_have_no_band(
    sampler: str, grid_study: StudyRecord
) -> None:
    results = found(grid_study, arm("mixed", MIXED), sampler=sampler)
    assert results.study.tuned is not None
    assert arm_curve(results.study.tuned.arms[0], results.study.tuned).curve is None
    drawing = tuning_curves(results)
    assert drawing is not None and "no independent draws" in drawing.caption


def test_where_lower_is_better_the_curve_falls() -> None:
    trials = [trial(0, 3.0), trial(1, 2.0), trial(2, 5.0), trial(3, 1.0)]
    for one in trials:
        one.scores[-1] = one.scores[-1]._replace(lower=True)
    drawn = arm_curve(arm("a", trials), Tuned(tune(), ()))
    assert drawn.best.tolist() == [3.0, 2.0, 2.0, 1.0]
    assert drawn.curve is not None and drawn.curve.median.tolist() == [3.0, 2.0, 1.0, 1.0]
    assert (drawn.curve.low <= drawn.curve.high).all()


def test_the_figure_names_arms_and_what_the_best_trial_reached(grid_study: StudyRecord) -> None:
    results = found(grid_study, arm("mixed", MIXED), arm("open", MIXED[:2], done=False))
    drawing = make_figure("tuning", results)
    assert drawing is not None and "open" not in drawing.alt
    assert drawing.alt == "Best of k trials: mixed: 60.0 after 4 trials."
    table = tuning_table(results)
    assert table is not None and table.notes == ("Not all trials have ended: open.",)


def test_the_page_says_that_values_were_chosen_on_validation(grid_study: StudyRecord) -> None:
    results = found(grid_study, arm("mixed", MIXED), prune=PRUNE)
    words = " ".join(tuning_text(results))
    assert "policy.learning_rate was chosen on the validation split" in words
    assert "4 trials for every arm, drawn at random in rounds of 2, each with one seed" in words
    assert "every arm has 2 rungs" in words and "the best 50% (rounded down" in words
    page = document_of(results, [section])
    assert [one.name for one in page.sections] == ["tuning"]
    assert words.split(". ")[0] in " ".join(page.methods)


def test_a_study_that_tunes_nothing_says_nothing_of_it(grid_study: StudyRecord) -> None:
    results = plain(grid_study)
    assert tuning_table(results) is None and trial_table(results) is None
    assert make_figure("tuning", results) is None and list(tuning_text(results)) == []


def test_a_cell_without_values_keeps_its_row_and_says_why(grid_study: StudyRecord) -> None:
    last = grid_study.cells[-1]
    (first, *_) = grid_study.runs_of(last)
    why = "failed: none of 4 trials has a value"
    bare: RunRecord = replace(first, artifacts={}, fingerprints={}, missing=why, spent={})
    runs = (*(run for run in grid_study.runs if run.cell != last), bare)
    page = document_of(plain(replace(grid_study, runs=runs)), [section])
    assert "1 failed" in page.state
