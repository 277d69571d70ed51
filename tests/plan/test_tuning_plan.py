"""How the plan of a study that tunes grows: trials on validation, then fresh seeds on test."""

from __future__ import annotations

import math
from collections import Counter

from ablate.plan.build import Plan, plan_study
from ablate.plan.fitting import job_levels, whole_order
from ablate.plan.job import Job
from ablate.plan.searching import Score
from ablate.plan.tuning import FIRST_TRIAL_SEED, ReadJob, Tuning
from ablate.spec.load import LoadedStudy, study_from_text

STUDY = """\
study: tuned
base: {model: tiny-instruct, dataset: ai-fine}
rows: [sft]
baseline: sft
seeds: 2
grid: {algorithm: [dpo, simpo]}
tune:
  trials: 6
  parallel: 4
  search:
    policy.learning_rate: {low: 1e-5, high: 1e-3, log: true}
    dpo.beta: [0.03, 0.1, 0.3]
    simpo.beta: {low: 1, high: 10}
"""
PRUNE = "  prune: {rungs: [{policy.epochs: 1}]}\n"


def loaded(text: str = STUDY) -> LoadedStudy:
    return study_from_text(text, name="s.yaml")


def tuning(text: str = STUDY) -> Tuning:
    study = loaded(text)
    return Tuning(study, plan_study(study))


def quality(job: Job) -> Score:
    """Best at a learning rate of 1e-4, whatever else there is."""
    rate = float(dict(job.inputs)["policy"].config.learning_rate)  # type: ignore[attr-defined]
    return Score(-abs(math.log(rate / 1e-4)))


def grown(found: Tuning, *, most: int = 99, read: ReadJob = quality) -> Plan:
    """Return the plan after some rounds in which everything asked for has ended."""
    done: set[str] = set()

    def known(job: Job) -> Score | None:
        return read(job) if job.fingerprint in done else None

    for _ in range(most):
        plan = found.plan(known)
        ended = {run.jobs["evaluation"].fingerprint for run in plan.trials}
        if ended <= done:
            break
        done |= ended
    return plan


def test_before_anything_ran_there_are_rows_and_a_round_of_every_arm() -> None:
    plan = grown(tuning(), most=1)
    assert [(run.cell.name, run.seed) for run in plan.runs] == [("sft", 0), ("sft", 1)]
    names = [run.cell.name for run in plan.trials]
    assert names == [f"{arm}, trial {n}" for n in range(4) for arm in ("dpo", "simpo")]
    assert [cell.name for cell in plan.cells] == ["sft", "dpo", "simpo"]


def test_a_cells_priority_is_its_trials_too_and_puts_them_first() -> None:
    plan = grown(tuning(), most=1)
    levels = job_levels(plan, {"simpo": 1})
    for run in plan.trials:
        assert levels.get(run.jobs["policy"].fingerprint, 0) == (run.cell.arm == "simpo")
    order = [run.cell.name for run in whole_order(plan, {}, levels={"simpo": 1})]
    arms = [f"{arm}, trial {n}" for arm in ("simpo", "dpo") for n in range(4)]
    assert order == [*arms, "sft", "sft"]


def test_trials_are_evaluated_on_validation_and_results_on_test_under_other_seeds() -> None:
    plan = grown(tuning())
    assert len(plan.trials) == 12 and len(plan.runs) == 6
    for run in plan.trials:
        evaluation, policy = run.jobs["evaluation"].config, run.jobs["policy"].config
        assert evaluation.split == "validation"  # type: ignore[attr-defined]
        assert policy.seed == FIRST_TRIAL_SEED  # type: ignore[attr-defined]
    for run in plan.runs:
        assert run.jobs["evaluation"].config.split == "test"  # type: ignore[attr-defined]
    assert {run.seed for run in plan.runs} == {0, 1}


def test_results_have_the_values_of_the_best_trial() -> None:
    found = tuning()
    plan = grown(found)
    for arm in found.arms:
        rates = [float(str(t.values["policy.learning_rate"])) for t in arm.search.trials]
        best = min(rates, key=lambda rate: abs(math.log(rate / 1e-4)))
        (first, second) = [run for run in plan.runs if run.cell.name == arm.cell.name]
        for run in (first, second):
            assert run.jobs["policy"].config.learning_rate == best  # type: ignore[attr-defined]
        assert first.jobs["policy"].fingerprint != second.jobs["policy"].fingerprint


def test_a_field_that_a_cell_does_not_use_drops_out_of_its_space() -> None:
    spaces = {a.cell.name: [d.path for d in a.space] for a in tuning().arms}
    assert spaces == {
        "dpo": ["policy.learning_rate", "dpo.beta"],
        "simpo": ["policy.learning_rate", "simpo.beta"],
    }


def test_trials_follow_from_what_a_cell_computes_and_not_from_its_name() -> None:
    cells = "cells: {NAME: {algorithm: dpo}, other: {algorithm: dpo, policy.epochs: 4}}\n"
    text = STUDY.replace("grid: {algorithm: [dpo, simpo]}\n", cells)
    text = text.replace("    simpo.beta: {low: 1, high: 10}\n", "")
    one, two = (tuning(text.replace("NAME", name)) for name in ("mine", "yours"))
    first = [[t.values for t in found.arms[0].search.trials] for found in (one, two)]
    assert first[0] == first[1]
    assert first[0] != [t.values for t in one.arms[1].search.trials]


def test_what_the_plan_counts_beforehand_is_what_runs() -> None:
    # Rounds of 4 and 2 with half kept: 6 trainings on the first rung, 2 + 1 in full, in each of
    # two arms, with two seeds: 2 x 9 x 2 = 36 runs of trials.
    text = STUDY + PRUNE + "  seeds: 2\n"
    before, after = tuning(text).prospect(), grown(tuning(text))
    assert len(before.trials) == len(after.trials) == 36
    assert len(before.runs) == len(after.runs) == 6
    count = [Counter(job.stage for job in plan.jobs) for plan in (before, after)]
    assert count[0] == count[1] and count[0]["policy"] == 36 + 4


def test_the_count_stays_while_the_study_goes_on() -> None:
    text = STUDY + PRUNE
    sizes = []
    for rounds in range(1, 7):
        found = tuning(text)
        grown(found, most=rounds)
        whole = found.prospect()
        sizes.append((len(whole.trials), len(whole.runs)))
    assert sizes == [(18, 6)] * 6


def test_every_arm_has_as_many_trials_on_every_rung_whatever_they_score() -> None:
    plan = grown(tuning(STUDY + PRUNE))
    rungs = Counter(
        (run.cell.name.partition(",")[0], "rung" in run.cell.name) for run in plan.trials
    )
    assert rungs == {("dpo", True): 6, ("simpo", True): 6, ("dpo", False): 3, ("simpo", False): 3}


def test_values_that_go_not_together_make_a_failed_trial() -> None:
    # Of 8 rollouts a step, minibatches of 16 cannot be taken; neither 8 nor 16 is wrong by itself.
    search = "{ppo.batch_size: [4, 8, 16], ppo.rollouts_per_step: [8, 16, 32]}"
    text = STUDY[: STUDY.index("tune:")].replace("[dpo, simpo]", "[ppo]")
    found = tuning(f"{text}tune: {{trials: 12, search: {search}, parallel: 12}}\n")
    grown(found, read=lambda job: Score(1.0))
    for trial in found.arms[0].search.trials:
        together = trial.values["ppo.batch_size"] <= trial.values["ppo.rollouts_per_step"]  # type: ignore[operator]
        assert (trial.state == "finished") is together
        assert together or "minibatch" in trial.reason
    assert {t.state for t in found.arms[0].search.trials} == {"finished", "failed"}


def test_an_arm_without_a_winner_says_why_and_the_other_goes_on() -> None:
    def read(job: Job) -> Score:
        failed = dict(job.inputs)["policy"].config.algorithm == "dpo"  # type: ignore[attr-defined]
        return Score(math.nan, reason="diverged") if failed else quality(job)

    found = tuning()
    plan = grown(found, read=read)
    assert [run.cell.name for run in plan.runs] == ["sft", "simpo", "sft", "simpo"]
    assert found.pending() == {"dpo": "failed: none of 6 trials has a value"}


def test_the_mean_over_seeds_counts_and_one_failed_seed_fails_the_trial() -> None:
    def read(job: Job) -> Score:
        seed = job.config.seed - FIRST_TRIAL_SEED  # type: ignore[attr-defined]
        return Score(10.0 * seed)  # 0 and 10: the mean is 5.

    found = tuning(STUDY + "  seeds: 2\n")
    grown(found, read=read)
    assert found.arms[0].search.trials[0].scores == [Score(5.0)]

    broken = tuning(STUDY + "  seeds: 2\n")
    grown(broken, read=lambda job: read(job) if read(job).value else Score(math.nan, reason="x"))
    assert broken.arms[0].search.trials[0].reason == "x"
