"""From cells to runs to jobs: the DAG of a study, a pure function of its file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ablate.plan.cells import Cell, expand
from ablate.plan.job import Job
from ablate.spec.config import Config
from ablate.spec.load import LoadedStudy
from ablate.spec.resolve import Recipe
from ablate.spec.stages import (
    DpoConfig,
    EmbeddedModelConfig,
    EvaluationConfig,
    PpoConfig,
    PreferencesConfig,
    ReferenceConfig,
    RewardEvaluationConfig,
    RewardModelConfig,
    SftConfig,
)

UNKNOWN_EXAMPLES = 2500
"""Rows taken for a data set whose size the study does not say."""

PRIORITY = {
    "preferences": 0,
    "model": 1,
    "sft": 2,
    "reward_model": 3,
    "evaluation": 4,
    "reward_evaluation": 5,
    "reference": 6,
    "policy": 7,
}
"""Preparation first, then what many jobs wait for, then what completes a row, then training."""


@dataclass(frozen=True)
class Run:
    """A cell and a seed, end to end: the unit of n."""

    cell: Cell
    seed: int
    jobs: Mapping[str, Job]
    """The run's jobs by role; roles that the cell does not use are absent."""

    @property
    def final(self) -> tuple[Job, ...]:
        """The jobs whose results the report reads."""
        return tuple(
            job for role, job in self.jobs.items() if role in ("evaluation", "reward_evaluation")
        )


@dataclass(frozen=True)
class Plan:
    """Every run of a study and its unique jobs, in the order in which they should start."""

    study: str
    cells: tuple[Cell, ...]
    runs: tuple[Run, ...]
    jobs: tuple[Job, ...]
    users: Mapping[str, tuple[str, ...]] = field(repr=False)
    """Names of the cells that use each job, by fingerprint."""


class _JobTable:
    """Builds each distinct job once: equal configuration objects and inputs give one object."""

    def __init__(self, seeds: Sequence[int], vary: Iterable[str]) -> None:
        self.seeds = seeds
        self.vary = frozenset(vary)
        self._jobs: dict[tuple[object, ...], Job] = {}
        self._seeded: dict[tuple[int, int], Config] = {}
        self._kept: list[Config] = []
        self._references: dict[int, ReferenceConfig] = {}

    def job(self, stage: str, config: Config, inputs: Mapping[str, Job], *, seed: int) -> Job:
        used = self._with_seed(config, seed) if stage in self.vary else config
        key = (stage, id(used), *((role, id(job)) for role, job in inputs.items()))
        found = self._jobs.get(key)
        if found is None:
            self._kept.append(used)
            found = self._jobs[key] = Job(stage, used, tuple(sorted(inputs.items())))
        return found

    def reference_config(self, max_length: int) -> ReferenceConfig:
        if max_length not in self._references:
            self._references[max_length] = ReferenceConfig(max_length=max_length)
        return self._references[max_length]

    def _with_seed(self, config: Config, seed: int) -> Config:
        key = (id(config), seed)
        if key not in self._seeded:
            self._kept.append(config)
            self._seeded[key] = config.model_copy(update={"seed": seed})
        return self._seeded[key]


def build_plan(
    study: str, cells: Sequence[Cell], *, seeds: Sequence[int], vary: Iterable[str]
) -> Plan:
    """Return the plan of ``cells`` under ``seeds``; the seed reaches the stages in ``vary``."""
    table = _JobTable(seeds, vary)
    runs = tuple(Run(cell, seed, _jobs_of(cell, seed, table)) for seed in seeds for cell in cells)
    ordered, users = _ordered_jobs(runs)
    return Plan(study, tuple(cells), runs, ordered, users)


def plan_study(loaded: LoadedStudy) -> Plan:
    """Return the plan of a checked study; raises as `ablate.plan.cells.expand` does."""
    study = loaded.study
    cells = expand(loaded)
    return build_plan(study.study, cells, seeds=range(study.seeds.n), vary=study.seeds.vary)


def _jobs_of(cell: Cell, seed: int, table: _JobTable) -> dict[str, Job]:
    """Return the jobs of one run by role."""
    recipe = cell.recipe
    jobs: dict[str, Job] = {"model": table.job("model", recipe.model, {}, seed=seed)}
    sft = jobs["model"]
    if recipe.sft is not None and cell.start != "base":
        sft = jobs["sft"] = table.job("sft", recipe.sft, {"model": sft}, seed=seed)
    evaluated = sft
    if cell.start == "policy" and recipe.policy is not None:
        evaluated = jobs["policy"] = _policy_job(recipe, sft, jobs, (table, seed))
    inputs = {"policy": evaluated}
    if cell.start != "base":
        inputs["reference"] = sft
    jobs["evaluation"] = table.job("evaluation", recipe.evaluation, inputs, seed=seed)
    return jobs


def _policy_job(
    recipe: Recipe, sft: Job, jobs: dict[str, Job], context: tuple[_JobTable, int]
) -> Job:
    table, seed = context
    inputs: dict[str, Job] = {"policy": sft}
    if recipe.preferences is not None:
        jobs["preferences"] = table.job("preferences", recipe.preferences, {}, seed=seed)
    if recipe.reward_model is not None:
        inputs["reward_model"] = _reward_model_job(recipe, recipe.reward_model, jobs, context)
    policy = recipe.policy
    if isinstance(policy, DpoConfig):
        pairs = jobs["preferences"]
        reference = table.reference_config(policy.max_length)
        jobs["reference"] = table.job(
            "reference", reference, {"policy": sft, "preferences": pairs}, seed=seed
        )
        inputs |= {"preferences": pairs, "reference": jobs["reference"]}
    elif isinstance(policy, PpoConfig) and policy.prompts == "dataset":
        inputs["preferences"] = jobs["preferences"]
    if policy is None:
        raise TypeError("a policy cell has a policy configuration")
    return table.job("policy", policy, inputs, seed=seed)


def _reward_model_job(
    recipe: Recipe,
    config: RewardModelConfig,
    jobs: dict[str, Job],
    context: tuple[_JobTable, int],
) -> Job:
    """Add the reward model, its data and its evaluation to ``jobs``; return the reward model."""
    table, seed = context
    sft = jobs.get("sft", jobs["model"])
    pairs = jobs.get("preferences")
    if recipe.reward_preferences is not None:
        pairs = table.job("preferences", recipe.reward_preferences, {}, seed=seed)
        jobs["reward_preferences"] = pairs
    if pairs is None:
        raise TypeError("a reward model needs preference data")
    job = table.job("reward_model", config, {"policy": sft, "preferences": pairs}, seed=seed)
    jobs["reward_model"] = job
    if recipe.reward_evaluation is not None:
        inputs = {"reward_model": job, "policy": sft}
        if recipe.reward_evaluation.dataset == "dataset":
            inputs["preferences"] = pairs
        evaluated = table.job("reward_evaluation", recipe.reward_evaluation, inputs, seed=seed)
        jobs["reward_evaluation"] = evaluated
    return job


def _ordered_jobs(runs: Sequence[Run]) -> tuple[tuple[Job, ...], dict[str, tuple[str, ...]]]:
    """Return unique jobs by priority, breadth first over cells, and who uses each.

    The order is a priority, not a schedule: an evaluation stands before the training it waits for,
    so that a finished policy is evaluated before the next one starts.
    """
    rank: dict[str, tuple[int, int, float]] = {}
    users: dict[str, dict[str, None]] = {}
    unique: dict[str, Job] = {}
    seed_order = {seed: index for index, seed in enumerate(dict.fromkeys(r.seed for r in runs))}
    for run in runs:
        order, name = seed_order[run.seed], run.cell.name
        for job in run.jobs.values():
            key = job.fingerprint
            if key not in unique:
                unique[key] = job
                rank[key] = (order, PRIORITY[job.stage], -_urgency(job))
                users[key] = {}
            users[key][name] = None
    ordered = sorted(unique.values(), key=lambda job: rank[job.fingerprint])
    return tuple(ordered), {key: tuple(cells) for key, cells in users.items()}


def _urgency(job: Job) -> float:
    """Return the work that the job ends: long ones first, so that none is left over at the end."""
    if job.stage == "evaluation":
        return max(job_size(upstream) for _, upstream in job.inputs)
    return job_size(job)


def job_size(job: Job) -> float:
    """Return the work of a job in its stage's own unit, for ordering and estimates.

    Sequences for supervised stages (a pair counts twice), completions for sampling ones.
    """
    config = job.config
    match config:
        case PpoConfig():
            steps = config.steps or config.epochs
            return float(steps * config.rollouts_per_step * (1 + config.ppo_epochs))
        case DpoConfig() | RewardModelConfig():
            return float(2 * _upstream_examples(job) * config.epochs)
        case SftConfig():
            return float((config.examples or UNKNOWN_EXAMPLES) * config.epochs)
        case EmbeddedModelConfig():
            return float(config.examples)
        case EvaluationConfig():
            return float((config.limit or 100) * (1 + config.samples))
        case PreferencesConfig():
            return float(config.examples or UNKNOWN_EXAMPLES)
        case RewardEvaluationConfig():
            return float(config.examples)
        case _:
            return float(_upstream_examples(job))


def _upstream_examples(job: Job) -> int:
    for _, upstream in job.inputs:
        if isinstance(upstream.config, PreferencesConfig):
            return upstream.config.examples or UNKNOWN_EXAMPLES
    return UNKNOWN_EXAMPLES
