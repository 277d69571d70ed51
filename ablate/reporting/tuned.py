"""What a study's tuning came to, replayed from the artifacts that are there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ablate.plan.build import Plan
from ablate.plan.job import Job
from ablate.plan.searching import Score, Trial, TrialState
from ablate.plan.trials import rung_count
from ablate.plan.tuning import Tuning
from ablate.spec.load import LoadedStudy
from ablate.spec.tune import Tune
from ablate.store.layout import Store
from ablate.store.scores import objective_of


@dataclass(frozen=True)
class TunedArm:
    """A cell whose values are chosen, with all its trials."""

    cell: str
    trials: tuple[Trial, ...]
    """In the order in which they were asked for."""
    winner: Trial | None
    """None before the end, and where no trial was trained in full."""
    is_done: bool
    """Whether all trials of the budget have ended."""

    def count(self, state: TrialState) -> int:
        """Return how many trials are in a state."""
        return sum(trial.state is state for trial in self.trials)


@dataclass(frozen=True)
class Tuned:
    """A study's tuning."""

    tune: Tune
    arms: tuple[TunedArm, ...]

    @property
    def rungs(self) -> int:
        """Trainings of a trial that is never pruned."""
        return rung_count(self.tune)


def tuned_plan(
    loaded: LoadedStudy, plan: Plan | None, store: Store, *, reasons: Mapping[str, str]
) -> tuple[Plan, Tuning]:
    """Return the plan of a study that tunes as far as the store allows, and its trials.

    ``plan`` is the study's own, before it grew; None makes it. ``reasons`` says by fingerprint why
    a job has no artifact; of others it is waited for.
    """
    tuning = Tuning(loaded, plan)
    metric = tuning.tune.objective

    def read(job: Job) -> Score | None:
        score = objective_of(store, job, metric)
        if score is None and job.fingerprint in reasons:
            return Score(math.nan, reason=reasons[job.fingerprint])
        return score

    return tuning.plan(read), tuning


def tuned_record(loaded: LoadedStudy, store: Store, *, reasons: Mapping[str, str]) -> Tuned | None:
    """Return what a study's tuning came to so far; None for one that tunes nothing."""
    if loaded.study.tune is None:
        return None
    _, tuning = tuned_plan(loaded, None, store, reasons=reasons)
    arms = (
        TunedArm(arm.cell.name, tuple(arm.search.trials), arm.search.winner, arm.search.is_done)
        for arm in tuning.arms
    )
    return Tuned(loaded.study.tune, tuple(arms))
