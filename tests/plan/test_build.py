"""From cells to jobs: what runs share, in which order jobs start, what an edit changes."""

from collections import Counter

import pytest

from ablate.plan.build import Plan, build_plan
from ablate.plan.cells import expand
from ablate.plan.diff import diff_plans
from ablate.plan.estimate import Estimator, Measured, job_kind, wall_seconds
from ablate.plan.job import Job
from ablate.plan.record import plan_document
from ablate.plan.summary import summarize
from ablate.spec.load import study_from_text
from ablate.spec.stages import EmbeddedModelConfig, SftConfig

GRID = """
study: toy
base: {model: tiny-instruct}
rows: [base, sft]
baseline: sft
seeds: 2
grid:
  dataset: [human-noisy, ai-fine]
  algorithm: [dpo, ppo]
"""


def plan_of(text: str) -> Plan:
    loaded = study_from_text(text)
    seeds = loaded.study.seeds
    return build_plan("toy", expand(loaded), seeds=range(seeds.n), vary=seeds.vary)


def stages(plan: Plan) -> Counter[str]:
    return Counter(job.stage for job in plan.jobs)


def test_runs_share_the_jobs_that_compute_the_same():
    # 2 seeds. One base and SFT for all; one preference set a data set; one reference a data set;
    # tokens of each data set and of the demonstrations; nothing is compared with the suite, which
    # is of the world that made the data;
    # reward models and policies per data set and seed; evaluations of base, SFT and 4 cells.
    assert stages(plan_of(GRID)) == {
        "model": 1,
        "sft": 1,
        "demonstrations": 1,
        "preferences": 2,
        "tokens": 3,
        "reference": 2,
        "reward_model": 4,
        "reward_evaluation": 4,
        "policy": 8,
        "evaluation": 12,
    }


def test_a_seed_that_reaches_sft_shares_only_the_base():
    text = GRID.replace("seeds: 2", "seeds: {n: 2, vary: [sft, policy]}")
    counts = stages(plan_of(text))
    assert (counts["model"], counts["sft"], counts["preferences"]) == (1, 2, 2)


def test_dpo_does_not_depend_on_the_reward_model():
    small = plan_of(GRID + "  reward_model.size: [small]\n")
    large = plan_of(GRID + "  reward_model.size: [large]\n")
    found = diff_plans(small, large)
    # Per seed and data set: a reward model, its evaluation, the PPO policy and its evaluation.
    expected = {"reward_model": 4, "reward_evaluation": 4, "policy": 4, "evaluation": 4}
    assert found.added_jobs == found.removed_jobs == expected


def test_adding_a_level_adds_only_its_own_jobs():
    more = plan_of(GRID.replace("human-noisy, ", "human-noisy, web-narrow, "))
    found = diff_plans(plan_of(GRID), more)
    assert found.removed_jobs == {}
    assert found.added_cells == ("web-narrow, dpo", "web-narrow, ppo")
    assert found.added_jobs["preferences"] == 1
    assert "sft" not in found.added_jobs


def test_equal_plans_have_no_difference():
    found = diff_plans(plan_of(GRID), plan_of(GRID))
    assert not found.added_jobs and not found.removed_jobs and not found.changed_cells


def test_the_first_seed_of_every_cell_comes_before_the_second_seed_of_any():
    plan = plan_of(GRID)
    seeds = [job.config.seed for job in plan.jobs if job.stage == "policy"]
    assert seeds == sorted(seeds)


def test_preparation_starts_first_and_reward_models_before_policies():
    first = [job.stage for job in plan_of(GRID).jobs if job.config.seed == 0]
    assert first[:4] == ["demonstrations", "preferences", "preferences", "model"]
    assert first.index("tokens") < first.index("sft")
    assert first.index("reward_model") < first.index("policy")


def test_the_plan_holds_every_job_of_every_run_once():
    plan = plan_of(GRID)
    used = {job.fingerprint for run in plan.runs for job in run.jobs.values()}
    assert sorted(job.fingerprint for job in plan.jobs) == sorted(used)


def test_the_document_holds_every_run_and_job():
    plan = plan_of(GRID)
    document = plan_document(plan)
    assert len(document["runs"]) == 12
    assert [job["fingerprint"] for job in document["jobs"]] == [j.fingerprint for j in plan.jobs]


def chain(count: int) -> list[Job]:
    jobs = [Job("model", EmbeddedModelConfig())]
    for seed in range(count - 1):
        jobs.append(Job("sft", SftConfig(seed=seed), (("model", jobs[0]),)))
    return jobs


def test_wall_time_is_the_makespan_of_a_greedy_schedule():
    jobs = chain(4)  # one job, then three that wait for it
    seconds = {job.fingerprint: 10.0 for job in jobs}
    assert wall_seconds(jobs, seconds, slots=1) == 40.0
    assert wall_seconds(jobs, seconds, slots=2) == 30.0
    assert wall_seconds(jobs, seconds, slots=3) == 20.0


def test_done_jobs_take_no_time():
    jobs = chain(3)
    seconds = {job.fingerprint: 10.0 for job in jobs}
    assert wall_seconds(jobs, seconds, slots=1, done={jobs[0].fingerprint}) == 20.0


def test_an_estimate_follows_measured_jobs_of_the_same_model():
    job = Job("model", EmbeddedModelConfig(examples=2_000))
    history = [Measured("model", job_kind(job), 1_000.0, 5.0, model=job.fingerprint)]
    estimate = Estimator(history).job(job)
    assert estimate.seconds == pytest.approx(10.0)
    assert estimate.basis == "measured, 1 job"


def test_an_estimate_says_when_it_rests_on_another_model_or_on_nothing():
    job = Job("model", EmbeddedModelConfig())
    other = [Measured("model", job_kind(job), 1_000.0, 5.0, model="another")]
    assert Estimator(other).job(job).basis == "scaled from 1 job"
    assert Estimator([]).job(job).basis == "built-in rate"


def test_reward_models_of_different_depth_cost_apart():
    plan = plan_of(GRID + "  reward_model.size: [small, large]\n")
    kinds = {job_kind(job) for job in plan.jobs if job.stage in ("reward_model", "policy")}
    assert kinds == {
        "reward_model, 1 layers",
        "reward_model, 3 layers",
        "ppo, 1 layers",
        "ppo, 3 layers",
        "dpo",
    }


def test_the_summary_counts_what_is_cached_and_what_sharing_saves():
    plan = plan_of(GRID)
    sft = next(job.fingerprint for job in plan.jobs if job.stage == "sft")
    found = summarize(plan, Estimator([]), cached={sft}, slots=2)
    rows = {row.stage: (row.unique, row.cached, row.to_run) for row in found.stages}
    assert rows["sft"] == (1, 1, 0)
    # A run alone: base 2; sft 5 (model, demonstrations and their tokens, sft, evaluation); dpo 9
    # (data and its tokens, reference and policy more); ppo 10.
    assert found.one_at_a_time_jobs == 2 * (2 + 5 + 2 * 9 + 2 * 10)
    assert len(found.order) == len(plan.jobs) - 1


def test_a_large_grid_resolves_each_stage_once():
    rates = ", ".join(f"{index}e-6" for index in range(1, 51))
    betas = ", ".join(f"0.{index:02d}" for index in range(1, 41))
    text = f"""
study: large
base: {{model: tiny-instruct, dataset: ai-fine, algorithm: dpo}}
grid:
  policy.learning_rate: [{rates}]
  policy.beta: [{betas}]
"""
    plan = plan_of(text)
    assert len(plan.cells) == 2_000
    assert stages(plan)["policy"] == 2_000
    assert stages(plan)["reference"] == 1
