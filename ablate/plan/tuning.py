"""The plan of a study that tunes: trials as earlier ones make them possible, then the results.

A pure function of the study and of what its trials scored: asked again with the same scores, it
says the same, so a study that was killed finds its trials in the store and needs no record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import fmean

from ablate.plan.build import Plan, Run, RunBuilder, is_tuned, ordered_jobs, plan_study, runs_of
from ablate.plan.cells import Cell
from ablate.plan.job import Job, with_upstream
from ablate.plan.searching import Score, Search, Trial, TrialState
from ablate.plan.trials import (
    Values,
    kept,
    middle,
    rung_count,
    trial_overrides,
    trial_recipe,
)
from ablate.spec.load import LoadedStudy
from ablate.spec.overrides import merged
from ablate.spec.recipes import Recipe, UnresolvedError
from ablate.spec.resolve import Resolver
from ablate.spec.seeding import MAX_SEEDS
from ablate.spec.tune import Tune
from ablate.spec.tune_space import Dimension, space_of

FIRST_TRIAL_SEED = MAX_SEEDS
"""Seeds of trials count from here, those of results from 0: none is both."""
EVALUATION = "evaluation"

ReadJob = Callable[[Job], Score | None]
"""Returns the objective of an evaluation, None where it is not known yet."""


@dataclass
class Arm:
    """A cell that is tuned, and its search so far."""

    cell: Cell
    space: tuple[Dimension, ...]
    search: Search
    runs: dict[tuple[int, int], tuple[Run, ...] | str] = field(default_factory=dict)
    """By trial and rung; a text says why there are none."""


class Tuning:
    """The tuning of one study; `plan` says what is needed now."""

    def __init__(self, loaded: LoadedStudy, base: Plan | None = None) -> None:
        """Begin every arm's search; ``base`` is the study's own plan, made here where left out."""
        study = loaded.study
        assert study.tune is not None, "the study tunes nothing"
        self.tune: Tune = study.tune
        self._seeds = range(study.seeds.n)
        self._base = base = base or plan_study(loaded)
        assert not base.trials, "a plan that has grown has lost what its cells were"
        match = study.match.budget if study.match is not None else None
        self._resolver = Resolver(loaded.files, match)
        self._builder = RunBuilder(study.seeds.vary)
        tuned = [cell for cell in base.cells if is_tuned(study, cell)]
        self.arms: tuple[Arm, ...] = tuple(map(self._arm, tuned))

    def plan(self, read: ReadJob) -> Plan:
        """Return the study's plan as far as the known scores allow."""
        for arm in self.arms:
            arm.search.advance(partial(self._read, arm, read))
        return self._whole(self._winners(), tuple(self._asked()))

    def prospect(self) -> Plan:
        """Return a plan of the size that the whole will have.

        What is not known yet is stood for: trials by values spread over their ranges, results by
        the middle of them. The plan tells what a study costs; it is not run.
        """
        coming = [run for arm in self.arms for run in self._coming(arm)]
        cells = {arm.cell.name: self._likely(arm) for arm in self.arms}
        return self._whole(cells, (*self._asked(), *coming))

    def pending(self) -> dict[str, str]:
        """Return why tuned cells have no runs yet, or never will, by name."""
        found = {}
        for arm in self.arms:
            if not arm.search.is_done:
                ended = sum(t.state is not TrialState.RUNNING for t in arm.search.trials)
                found[arm.cell.name] = f"tuning: {ended} of {self.tune.trials} trials have ended"
            elif arm.search.winner is None:
                found[arm.cell.name] = f"failed: none of {self.tune.trials} trials has a value"
        return found

    def _arm(self, cell: Cell) -> Arm:
        space = space_of(self.tune, cell.overrides)
        # The values of the cell itself say what the arm is; its name may change.
        own = replace(cell, recipe=self._recipe(cell, {}, rung_count(self.tune) - 1))
        jobs = self._builder.run_jobs(own, FIRST_TRIAL_SEED)
        search = Search(self.tune, space, identity=jobs[EVALUATION].fingerprint)
        return Arm(cell, space, search)

    def _recipe(self, cell: Cell, values: Values, rung: int) -> Recipe:
        overrides = dict(cell.overrides)
        return trial_recipe(self.tune, overrides, values, rung, resolver=self._resolver)

    def _winners(self) -> dict[str, Cell]:
        """Return the cells whose values are chosen, with those values, by name."""
        return {
            arm.cell.name: self._with_values(arm, values)
            for arm in self.arms
            if (values := self._chosen(arm)) is not None
        }

    def _chosen(self, arm: Arm) -> Values | None:
        return arm.search.winner.values if arm.search.winner is not None else None

    def _with_values(self, arm: Arm, values: Values) -> Cell:
        overrides = merged(dict(arm.cell.overrides), values)
        return replace(arm.cell, overrides=overrides, recipe=self._resolver.recipe(overrides))

    def _likely(self, arm: Arm) -> Cell:
        """Return a cell with its chosen values, or with what stands for them."""
        try:
            return self._with_values(arm, self._chosen(arm) or middle(arm.space))
        except UnresolvedError:  # The middles of all ranges need not go together.
            return arm.cell

    def _whole(self, chosen: Mapping[str, Cell], trials: Sequence[Run]) -> Plan:
        tuned = {arm.cell.name for arm in self.arms}
        cells = tuple(chosen.get(cell.name, cell) for cell in self._base.cells)
        known = [cell for cell in cells if cell.name not in tuned or cell.name in chosen]
        runs = tuple(runs_of(self._builder, known, self._seeds))
        jobs = dict.fromkeys([*_jobs_of(trials), *ordered_jobs(runs)])
        pending = {name: why for name, why in self.pending().items() if name not in chosen}
        return Plan(
            self._base.study, cells, runs, tuple(jobs), trials=tuple(trials), pending=pending
        )

    def _asked(self) -> Iterator[Run]:
        """Yield the runs of all trials so far: round by round, an arm beside the other."""
        searches = [arm.search for arm in self.arms]
        for number in range(max(len(search.trials) for search in searches)):
            for arm in self.arms:
                if number < len(arm.search.trials):
                    yield from self._asked_of(arm, arm.search.trials[number])

    def _asked_of(self, arm: Arm, trial: Trial) -> Iterator[Run]:
        reached = len(trial.scores) + (trial.state is TrialState.RUNNING)
        for rung in range(reached):
            made = self.runs_of_trial(arm, trial, rung)
            yield from () if isinstance(made, str) else made

    def runs_of_trial(self, arm: Arm, trial: Trial, rung: int) -> tuple[Run, ...] | str:
        """Return a trial's runs on a rung, one a seed, or why there are none."""
        key = (trial.number, rung)
        if key not in arm.runs:
            arm.runs[key] = self._made(arm, trial.number, trial.values, rung)
        return arm.runs[key]

    def _made(self, arm: Arm, number: int, values: Values, rung: int) -> tuple[Run, ...] | str:
        try:
            recipe = self._recipe(arm.cell, values, rung)
        except UnresolvedError as error:
            return f"{error.path}: {error.message}"
        last = rung == rung_count(self.tune) - 1
        name = f"{arm.cell.name}, trial {number}" + ("" if last else f", rung {rung + 1}")
        overrides = trial_overrides(self.tune, dict(arm.cell.overrides), values, rung)
        cell = replace(arm.cell, name=name, overrides=overrides, recipe=recipe, arm=arm.cell.name)
        return tuple(self._run(cell, FIRST_TRIAL_SEED + k) for k in range(self.tune.seeds))

    def _run(self, cell: Cell, seed: int) -> Run:
        """Return the run of a trial: its evaluation and what that needs, nothing else."""
        jobs = self._builder.run_jobs(cell, seed)
        needed = set(with_upstream([jobs[EVALUATION]]))
        return Run(cell, seed, {role: job for role, job in jobs.items() if job in needed})

    def _read(self, arm: Arm, read: ReadJob, trial: Trial, rung: int) -> Score | None:
        """Return a trial's mean over seeds on a rung; the first failure speaks for all."""
        runs = self.runs_of_trial(arm, trial, rung)
        if isinstance(runs, str):
            return Score(float("nan"), reason=runs)
        scores = [read(run.jobs[EVALUATION]) for run in runs]
        known = [score for score in scores if score is not None]
        if len(known) < len(scores):
            return None
        reason = next((score.reason for score in known if score.reason), "")
        return Score(fmean(score.value for score in known), known[0].lower, reason)

    def _coming(self, arm: Arm) -> Iterator[Run]:
        """Yield runs that stand for what the search has not asked for yet."""
        tune, asked = self.tune, len(arm.search.trials)
        for first in range(0, tune.trials, tune.parallel):
            size = min(tune.parallel, tune.trials - first)
            for rung in range(rung_count(tune)):
                for place in range(kept(tune, size, rung)):
                    number = first + place
                    runs_now = first + size == asked and not arm.search.is_done
                    if number >= asked or (runs_now and rung > arm.search.rung):
                        values = middle(arm.space, (number + 0.5) / tune.trials)
                        made = self._made(arm, number, values, rung)
                        yield from () if isinstance(made, str) else made


def _jobs_of(runs: Sequence[Run]) -> Iterator[Job]:
    """Yield what runs need, each once, inputs first."""
    return with_upstream(run.jobs[EVALUATION] for run in runs)
