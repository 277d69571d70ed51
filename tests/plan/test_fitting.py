"""What fits before a deadline: whole runs, baselines first."""

from collections.abc import Mapping

from ablate.plan.build import Plan, Run, plan_study
from ablate.plan.fitting import Fit, Limits, fit, job_levels, paired_order
from ablate.plan.job import Job
from ablate.spec.load import study_from_text

STUDY = b"""
study: fitting
base: {model: tiny-instruct, evaluation: {suite: tiny-instruct}}
rows: [sft]
baseline: sft
seeds: 2
grid: {dataset: [human-noisy], algorithm: [dpo, ipo]}
"""


def plan() -> Plan:
    return plan_study(study_from_text(STUDY))


def runs() -> list[Run]:
    return list(plan().runs)


def names(found: list[Run] | tuple[Run, ...]) -> list[tuple[int, str]]:
    return [(run.seed, run.cell.name) for run in found]


def fitted(limits: Limits, *, seconds: Mapping[str, float] | None = None) -> Fit:
    """Every evaluation takes 1 s, every policy 10 s, everything else nothing."""
    ordered = paired_order(runs(), {run.cell.name: "sft" for run in runs()})
    costs = {"evaluation": 1.0, "policy": 10.0}
    jobs = {job.fingerprint: job for run in ordered for job in run.jobs.values()}
    known = seconds or {key: costs.get(job.stage, 0.0) for key, job in jobs.items()}
    return fit(ordered, known, limits, devices=lambda job: int(job.stage == "policy"))


def test_without_limits_everything_fits() -> None:
    found = fitted(Limits(slots=1))
    assert len(found.runs) == 6 and found.left_out == 0


def test_a_deadline_leaves_whole_runs_out_from_the_end() -> None:
    """One slot: sft 1 s a seed, each policy with its evaluation 11 s.

    The first seed takes 1 + 11 + 11 = 23 s; with the second seed's sft (its evaluation is varied)
    24 s, and its first policy 35 s.
    """
    found = names(fitted(Limits(slots=1, seconds=34.9)).runs)
    assert found == [(0, "sft"), (0, "human-noisy, dpo"), (0, "human-noisy, ipo"), (1, "sft")]


def test_a_run_that_cannot_end_in_time_is_not_begun() -> None:
    found = fitted(Limits(slots=1, seconds=11.9))
    assert len(found.runs) == 1 and found.left_out == 5
    assert found.seconds == 1.0


def test_two_slots_fit_more() -> None:
    """Both policies of a seed run beside each other: 11 s, not 22 s, after or beside sft's 1 s."""
    assert len(fitted(Limits(slots=2, seconds=12.0)).runs) >= 3
    assert len(fitted(Limits(slots=1, seconds=12.0)).runs) == 2


def test_a_budget_counts_devices_alone() -> None:
    """25 device seconds pay for two policies of 10; evaluations ask for no device here."""
    found = fitted(Limits(slots=1, device_seconds=25.0))
    assert found.device_seconds == 20.0
    assert sum("policy" in run.jobs for run in found.runs) == 2


def test_finished_jobs_cost_nothing() -> None:
    ordered = runs()
    jobs = {job.fingerprint: job for run in ordered for job in run.jobs.values()}
    seconds = dict.fromkeys(jobs, 5.0)
    limits = Limits(slots=1, seconds=0.0)
    assert len(fit(ordered, seconds, limits, done=set(jobs), devices=_one).runs) == 6


def test_baselines_come_before_what_is_paired_with_them() -> None:
    ordered = runs()
    last = ordered[-1].cell.name
    order = names(paired_order(reversed(ordered), {run.cell.name: last for run in ordered}))
    by_seed = [[name for at, name in order if at == seed] for seed in (0, 1)]
    assert [found[0] for found in by_seed] == [last, last]
    assert sorted(order) == sorted(names(ordered))


def test_a_priority_takes_all_seeds_of_a_cell_and_its_baseline_first() -> None:
    baselines = {run.cell.name: "sft" for run in runs()}
    order = names(paired_order(runs(), baselines, levels={"human-noisy, ipo": 1}))
    wanted = [(0, "sft"), (0, "human-noisy, ipo"), (1, "sft"), (1, "human-noisy, ipo")]
    assert order[:4] == wanted and len(order) == 6


def test_a_job_has_the_highest_priority_of_its_cells() -> None:
    """Both cells share data and reference; only what one of them has alone is lowered or raised."""
    found = {run.cell.name: run for run in runs() if run.seed == 0}
    dpo, ipo = found["human-noisy, dpo"].jobs, found["human-noisy, ipo"].jobs
    raised = job_levels(plan(), {"human-noisy, dpo": 2})
    assert raised[dpo["policy"].fingerprint] == raised[dpo["preferences"].fingerprint] == 2
    assert ipo["policy"].fingerprint not in raised
    lowered = job_levels(plan(), {"human-noisy, dpo": -1})
    assert lowered[dpo["policy"].fingerprint] == -1
    assert dpo["preferences"].fingerprint not in lowered


def _one(job: Job) -> int:
    return 1
