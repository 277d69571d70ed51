"""From cells to runs to jobs: the DAG of a study, a pure function of its file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ablate.plan.cells import Cell, expand
from ablate.plan.data_jobs import data_of
from ablate.plan.evaluating import compares_with_reference
from ablate.plan.job import Job
from ablate.plan.size import job_size
from ablate.plan.trunk import Jobs, Trunk, new_trunk
from ablate.spec.evaluation import EvaluationConfig
from ablate.spec.load import LoadedStudy
from ablate.spec.study import Study

PRIORITY = {
    "demonstrations": 0,
    "preferences": 0,
    "prompts": 0,
    "model": 1,
    "tokens": 2,
    "contamination": 2,
    "sft": 3,
    "reward_model": 4,
    "evaluation": 5,
    "imported": 5,
    "reward_evaluation": 6,
    "reference": 7,
    "samples": 8,
    "labels": 8,
    "policy": 9,
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
            job
            for role, job in self.jobs.items()
            if role == "reward_evaluation" or role.startswith("evaluation")
        )


@dataclass(frozen=True)
class Plan:
    """Every run of a study and its unique jobs, in the order in which they should start."""

    study: str
    cells: tuple[Cell, ...]
    runs: tuple[Run, ...]
    jobs: tuple[Job, ...]
    trials: tuple[Run, ...] = ()
    """Runs that only choose values of cells: what a study's tuning has asked for so far."""
    pending: Mapping[str, str] = field(default_factory=dict)
    """Why cells that are tuned have no runs yet, or never will, by name."""

    @property
    def every_run(self) -> tuple[Run, ...]:
        """Trials and runs, in the order in which they are needed."""
        return (*self.trials, *self.runs)


class RunBuilder:
    """Builds the jobs of runs; runs that differ only in policy or evaluation share the rest."""

    def __init__(self, vary: Iterable[str]) -> None:
        """Remember which stages the seed reaches."""
        self._jobs = Jobs(vary)
        self._trunks: dict[tuple[object, ...], Trunk] = {}
        self._kept: list[object] = []
        self._checkpoints: dict[tuple[int, int], EvaluationConfig] = {}

    def run_jobs(self, cell: Cell, seed: int) -> dict[str, Job]:
        """Return the jobs of one run by role."""
        if cell.results:
            return {"evaluation": self._jobs.job("imported", cell.results[seed], {}, seed)}
        recipe = cell.recipe
        trunk = self._trunk(cell, seed)
        jobs = dict(trunk.jobs)
        evaluated = trunk.start
        if cell.start == "policy":
            jobs |= self._jobs.chain(recipe, trunk, seed)
            evaluated = jobs["policy"]
        inputs = {"policy": evaluated}
        if cell.start != "base":
            inputs["reference"] = trunk.start
            if cell.start == "policy" and compares_with_reference(recipe.evaluation):
                of_start = {"policy": trunk.start, "reference": trunk.start}
                replies = self._jobs.job("evaluation", recipe.evaluation, of_start, seed)
                inputs["reference_evaluation"] = replies
        jobs["evaluation"] = self._jobs.job("evaluation", recipe.evaluation, inputs, seed)
        for number in range(1, recipe.policy.checkpoints if recipe.policy is not None else 0):
            kept = self._kept_evaluation(recipe.evaluation, number)
            role = f"evaluation_checkpoint_{number}"
            jobs[role] = self._jobs.job("evaluation", kept, inputs, seed)
        tokens = {f"tokens_{n}": job for n, job in enumerate(_tokens(jobs.values()))}
        return jobs | tokens | self._jobs.data.contamination(recipe.evaluation, data_of(jobs))

    def _kept_evaluation(self, config: EvaluationConfig, number: int) -> EvaluationConfig:
        """Return the evaluation of a policy that was kept on the way, one object each."""
        key = (id(config), number)
        if key not in self._checkpoints:
            self._kept.append(config)
            made = config.model_copy(update={"checkpoint": f"kept/{number}"})
            self._checkpoints[key] = made
        return self._checkpoints[key]

    def _trunk(self, cell: Cell, seed: int) -> Trunk:
        key = (*cell.recipe.trunk_identity(), cell.start, seed)
        found = self._trunks.get(key)
        if found is None:
            self._kept.append(cell.recipe)
            found = self._trunks[key] = new_trunk(self._jobs, cell, seed)
        return found


def build_plan(
    study: str,
    cells: Sequence[Cell],
    *,
    seeds: Sequence[int],
    vary: Iterable[str],
) -> Plan:
    """Return the plan of ``cells`` under ``seeds``; the seed reaches the stages in ``vary``."""
    runs = tuple(runs_of(RunBuilder(vary), cells, seeds))
    return Plan(study, tuple(cells), runs, ordered_jobs(runs))


def runs_of(
    builder: RunBuilder,
    cells: Sequence[Cell],
    seeds: Sequence[int],
) -> Iterator[Run]:
    """Yield the runs of cells, breadth first: every cell under a seed before the next seed."""
    for seed in seeds:
        for cell in cells:
            if not cell.results or seed < len(cell.results):
                yield Run(cell, seed, builder.run_jobs(cell, seed))


def with_more_seeds(plan: Plan, more: Mapping[str, int], *, vary: Iterable[str]) -> Plan:
    """Return a plan in which cells have the seeds below a number, by name, beside their own.

    Cells without any run, which are tuned and not chosen yet, stay without. Nothing is taken away.
    """
    there = {(run.cell.name, run.seed) for run in plan.runs}
    started = {name for name, _ in there}
    builder, new = RunBuilder(vary), list[Run]()
    for seed in range(max(more.values(), default=0)):
        wanted = [cell for cell in plan.cells if seed < more.get(cell.name, 0)]
        cells = [c for c in wanted if c.name in started and (c.name, seed) not in there]
        new += runs_of(builder, cells, [seed])
    jobs = dict.fromkeys([*plan.jobs, *ordered_jobs(new)])
    return replace(plan, runs=(*plan.runs, *new), jobs=tuple(jobs))


def is_tuned(study: Study, cell: Cell) -> bool:
    """Return whether the study's tuning chooses values of a cell before it runs."""
    return study.tune is not None and cell.start == "policy"


def plan_study(loaded: LoadedStudy) -> Plan:
    """Return the plan of a checked study; raises as `ablate.plan.cells.expand` does.

    With ``seeds.looks`` it is that of the first look. That of a study that tunes has no runs of the
    cells that are tuned: what they are follows from results, see `ablate.plan.tuning`.
    """
    study = loaded.study
    cells = expand(loaded)
    known = [cell for cell in cells if not is_tuned(study, cell)]
    seeds = range(study.seeds.n)
    plan = build_plan(study.study, known, seeds=seeds, vary=study.seeds.vary)
    return replace(plan, cells=tuple(cells)) if len(known) < len(cells) else plan


def at_last_look(study: Study, plan: Plan) -> Plan:
    """Return the most that a plan can come to by looks: every cell goes on to the last."""
    most = {cell.name: study.seeds.most for cell in plan.cells}
    return with_more_seeds(plan, most, vary=study.seeds.vary)


def _tokens(jobs: Iterable[Job]) -> list[Job]:
    """Return the token jobs that some jobs read, each once."""
    inputs = (upstream for job in jobs for role, upstream in job.inputs if role == "tokens")
    return list(dict.fromkeys(inputs))


def ordered_jobs(runs: Sequence[Run]) -> tuple[Job, ...]:
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
