"""From cells to runs to jobs: the DAG of a study, a pure function of its file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class _Trunk:
    """What a run shares with the runs that differ only in policy or evaluation."""

    jobs: Mapping[str, Job]
    start: Job
    """The model that the policy starts from, and its reference."""
    inputs: Mapping[str, Job]
    """What the policy reads, by role."""


class _Builder:
    """Builds each distinct job once: equal configuration objects and inputs give one object."""

    def __init__(self, vary: Iterable[str]) -> None:
        self.vary = frozenset(vary)
        self._jobs: dict[tuple[object, ...], Job] = {}
        self._trunks: dict[tuple[object, ...], _Trunk] = {}
        self._seeded: dict[tuple[int, int], Config] = {}
        self._kept: list[object] = []
        self._references: dict[int, ReferenceConfig] = {}

    def run_jobs(self, cell: Cell, seed: int) -> dict[str, Job]:
        """Return the jobs of one run by role."""
        recipe = cell.recipe
        trunk = self._trunk(cell, seed)
        jobs = dict(trunk.jobs)
        evaluated = trunk.start
        if cell.start == "policy" and recipe.policy is not None:
            evaluated = jobs["policy"] = self._job("policy", recipe.policy, trunk.inputs, seed)
        inputs = {"policy": evaluated}
        if cell.start != "base":
            inputs["reference"] = trunk.start
        jobs["evaluation"] = self._job("evaluation", recipe.evaluation, inputs, seed)
        return jobs

    def _trunk(self, cell: Cell, seed: int) -> _Trunk:
        recipe, policy = cell.recipe, cell.recipe.policy
        parts = (recipe.model, recipe.sft, recipe.preferences, recipe.reward_preferences)
        scored = (recipe.reward_model, recipe.reward_evaluation)
        reads = (
            policy.max_length if isinstance(policy, DpoConfig) else None,
            policy.prompts == "dataset" if isinstance(policy, PpoConfig) else None,
        )
        key = (*map(id, parts), *map(id, scored), cell.start, reads, seed)
        found = self._trunks.get(key)
        if found is None:
            self._kept.append(recipe)
            found = self._trunks[key] = self._new_trunk(cell, seed)
        return found

    def _new_trunk(self, cell: Cell, seed: int) -> _Trunk:
        recipe = cell.recipe
        jobs: dict[str, Job] = {"model": self._job("model", recipe.model, {}, seed)}
        start = jobs["model"]
        if recipe.sft is not None and cell.start != "base":
            start = jobs["sft"] = self._job("sft", recipe.sft, {"model": start}, seed)
        inputs = {"policy": start}
        if cell.start == "policy":
            inputs |= self._policy_inputs(recipe, start, jobs, seed)
        return _Trunk(jobs, start, inputs)

    def _policy_inputs(
        self, recipe: Recipe, start: Job, jobs: dict[str, Job], seed: int
    ) -> dict[str, Job]:
        """Add what comes before the policy to ``jobs``; return what the policy reads of it."""
        inputs: dict[str, Job] = {}
        if recipe.preferences is not None:
            jobs["preferences"] = self._job("preferences", recipe.preferences, {}, seed)
        if recipe.reward_model is not None:
            inputs["reward_model"] = self._reward_model(recipe, start, jobs, seed)
        policy = recipe.policy
        if isinstance(policy, DpoConfig):
            inputs["preferences"] = jobs["preferences"]
            config = self._reference_config(policy.max_length)
            read = {"policy": start, "preferences": jobs["preferences"]}
            inputs["reference"] = jobs["reference"] = self._job("reference", config, read, seed)
        elif isinstance(policy, PpoConfig) and policy.prompts == "dataset":
            inputs["preferences"] = jobs["preferences"]
        return inputs

    def _reward_model(self, recipe: Recipe, start: Job, jobs: dict[str, Job], seed: int) -> Job:
        """Add the reward model, its data and its evaluation to ``jobs``; return the first."""
        role = "preferences"
        if recipe.reward_preferences is not None:
            role = "reward_preferences"
            jobs[role] = self._job("preferences", recipe.reward_preferences, {}, seed)
        read = {"policy": start, "preferences": jobs[role]}
        config = recipe.reward_model
        if config is None:
            raise TypeError("the recipe has no reward model")
        job = jobs["reward_model"] = self._job("reward_model", config, read, seed)
        measured = recipe.reward_evaluation
        if measured is not None:
            inputs = {"reward_model": job, "policy": start}
            if measured.dataset == "dataset":
                inputs["preferences"] = jobs[role]
            jobs["reward_evaluation"] = self._job("reward_evaluation", measured, inputs, seed)
        return job

    def _job(self, stage: str, config: Config, inputs: Mapping[str, Job], seed: int) -> Job:
        used = self._with_seed(config, seed) if stage in self.vary else config
        key = (stage, id(used), *inputs, *map(id, inputs.values()))
        found = self._jobs.get(key)
        if found is None:
            self._kept.append(used)
            found = self._jobs[key] = Job(stage, used, tuple(sorted(inputs.items())))
        return found

    def _reference_config(self, max_length: int) -> ReferenceConfig:
        if max_length not in self._references:
            self._references[max_length] = ReferenceConfig(max_length=max_length)
        return self._references[max_length]

    def _with_seed(self, config: Config, seed: int) -> Config:
        if config.__dict__["seed"] == seed:
            return config
        key = (id(config), seed)
        if key not in self._seeded:
            self._kept.append(config)
            self._seeded[key] = config.model_copy(update={"seed": seed})
        return self._seeded[key]


def build_plan(
    study: str, cells: Sequence[Cell], *, seeds: Sequence[int], vary: Iterable[str]
) -> Plan:
    """Return the plan of ``cells`` under ``seeds``; the seed reaches the stages in ``vary``."""
    builder = _Builder(vary)
    runs = tuple(Run(cell, seed, builder.run_jobs(cell, seed)) for seed in seeds for cell in cells)
    return Plan(study, tuple(cells), runs, _ordered_jobs(runs))


def plan_study(loaded: LoadedStudy) -> Plan:
    """Return the plan of a checked study; raises as `ablate.plan.cells.expand` does."""
    study = loaded.study
    cells = expand(loaded)
    return build_plan(study.study, cells, seeds=range(study.seeds.n), vary=study.seeds.vary)


def _ordered_jobs(runs: Sequence[Run]) -> tuple[Job, ...]:
    """Return unique jobs by priority, breadth first over cells.

    The order is a priority, not a schedule: an evaluation stands before the training it waits for,
    so that a finished policy is evaluated before the next one starts.
    """
    first: dict[str, tuple[Job, int]] = {}
    order = {seed: index for index, seed in enumerate(dict.fromkeys(run.seed for run in runs))}
    for run in runs:
        place = order[run.seed]
        for job in run.jobs.values():
            first.setdefault(job.fingerprint, (job, place))
    ranked = sorted(
        first.values(), key=lambda found: (found[1], PRIORITY[found[0].stage], -_urgency(found[0]))
    )
    return tuple(job for job, _ in ranked)


def _urgency(job: Job) -> float:
    """Return the work that the job ends: long ones first, so that none is left over at the end."""
    if job.stage == "evaluation":
        job = dict(job.inputs)["policy"]
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
