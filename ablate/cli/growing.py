"""Plans that grow: what results ask for next, and who has to know of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from ablate.cli.forecast import Ahead, write_forecast
from ablate.cli.opening import OpenStudy
from ablate.cli.output import counted
from ablate.execution.book import JobState
from ablate.execution.failures import Failure, FailureClass
from ablate.execution.options import RunOptions
from ablate.execution.tuning import TuningGrowth
from ablate.plan.build import Plan, is_tuned
from ablate.plan.estimate import Estimator
from ablate.plan.job import Job
from ablate.plan.summary import PlanSummary
from ablate.plan.trials import rung_count
from ablate.plan.tuning import Tuning
from ablate.reporting.tuned import tuned_plan
from ablate.store.layout import Store

OF_THE_NUMBERS = (FailureClass.NON_FINITE_LOSS, FailureClass.DIVERGED)
"""Failures of a trial that say what its values are worth."""


class Growth(Protocol):
    """Something that adds to a plan by results: a function of the plan and of the artifacts."""

    def grow(self, plan: Plan, states: Mapping[str, JobState]) -> Plan:
        """Return the plan with what is needed now, of which nothing is taken away."""
        ...

    def expected(self, plan: Plan) -> Plan:
        """Return the plan at the size that it will have, as far as that can be told."""
        ...


class Growing:
    """What `RunOptions.grow` calls: every piece adds to what the piece before it returned."""

    def __init__(self, plan: Plan, pieces: Sequence[Growth], grew: Callable[[Plan], None]) -> None:
        """Start from the study's own plan; ``grew`` is told each time that there is more of it."""
        self._first, self._pieces, self._grew = plan, tuple(pieces), grew
        self.plan = plan
        """As it is now."""

    def __call__(self, states: Mapping[str, JobState]) -> Iterable[Job]:
        """Return every job that is needed now, known ones among them."""
        plan = self._first
        for piece in self._pieces:
            plan = piece.grow(plan, states)
        more, self.plan = _size(plan) != _size(self.plan), plan
        if more:
            self._grew(plan)
        return plan.jobs

    def expected(self) -> Plan:
        """Return the plan at the size that it will have, as far as that can be told."""
        plan = self.plan
        for piece in self._pieces:
            plan = piece.expected(plan)
        return plan


def standing_trials(growing: Growing) -> Callable[[Job, Failure], bool]:
    """Return what tells a trial's failure that stands when a study is run again.

    A trial at a learning rate too large for its arm has ended as it would again: tried anew, it
    would hold up the search on every resume. `ablate retry` tries it all the same.
    """

    def stands(job: Job, failure: Failure) -> bool:
        if failure.kind not in OF_THE_NUMBERS:
            return False
        plan = growing.plan
        for_trials = any(job in run.jobs.values() for run in plan.trials)
        return for_trials and not any(job in run.jobs.values() for run in plan.runs)

    return stands


def pieces_of(opened: OpenStudy, store: Store) -> list[Growth]:
    """Return what makes a study's plan grow; nothing for most studies."""
    loaded, found = opened.loaded, list[Growth]()
    if loaded.study.tune is not None:
        found.append(TuningGrowth(loaded, opened.plan, store))
    if loaded.study.seeds.looks:
        # Imported here: what reads results takes longer than most studies take to start.
        from ablate.cli.more_seeds import MoreSeeds

        found.append(MoreSeeds(loaded, store))
    return found


def growing_of(opened: OpenStudy, store: Store, grew: Callable[[Plan], None]) -> Growing | None:
    """Return what makes a study's plan grow while it runs; None where nothing does."""
    pieces = pieces_of(opened, store)
    return Growing(opened.plan, pieces, grew) if pieces else None


def as_grown(
    opened: OpenStudy, store: Store, reasons: Mapping[str, str] | None = None
) -> OpenStudy:
    """Return a study with its plan as far as the store's artifacts allow it to grow.

    ``reasons`` says by fingerprint why jobs failed; without it they are waited for.
    """
    loaded, plan = opened.loaded, opened.plan
    if loaded.study.tune is not None:
        plan, _ = tuned_plan(loaded, plan, store, reasons=reasons or {})
    if loaded.study.seeds.looks:
        from ablate.reporting.looks import grown_plan

        plan = grown_plan(loaded, plan, store, reasons=reasons or {})
    return replace(opened, plan=plan)


def whole(opened: OpenStudy, store: Store | None = None) -> OpenStudy:
    """Return a study with a plan of the size that the whole will have, for what it will cost.

    Jobs that are not known yet are stood for, see `ablate.plan.tuning.Tuning.prospect`; without a
    store all of them are.
    """
    if opened.loaded.study.tune is None:
        return opened
    tuning = Tuning(opened.loaded, opened.plan)
    if store is not None:
        _, tuning = tuned_plan(opened.loaded, opened.plan, store, reasons={})
    return replace(opened, plan=tuning.prospect())


def foretell(store: Store, plan: Plan, coming: Plan, estimator: Estimator, *, slots: int) -> None:
    """Write down what a plan's jobs are expected to take, and what will come besides."""
    known = {job.fingerprint: estimator.job(job).seconds for job in plan.jobs}
    unknown = [job for job in coming.jobs if job.fingerprint not in known]
    seconds = sum(estimator.job(job).seconds for job in unknown)
    ahead = Ahead(len(unknown), len(coming.every_run) - len(plan.every_run), seconds)
    write_forecast(store, plan.study, known, slots=slots, ahead=ahead)


def fuse_of(opened: OpenStudy) -> int:
    """Return after how many equal early failures a study stops.

    A first round of trials may fail as a whole, at learning rates that are too large for any arm;
    stopped by the usual fuse such a study could never come to its second round.
    """
    study, usual = opened.loaded.study, RunOptions().fuse
    if study.tune is None:
        return usual
    arms = sum(is_tuned(study, cell) for cell in opened.plan.cells)
    return max(usual, 1 + arms * min(study.tune.parallel, study.tune.trials))


def tuning_lines(opened: OpenStudy, summary: PlanSummary) -> Iterator[str]:
    """Yield what a study's tuning will run, and what of the plan is a guess for it."""
    tune = opened.loaded.study.tune
    if tune is None:
        return
    arms = sum(is_tuned(opened.loaded.study, cell) for cell in opened.plan.cells)
    seeds = f", {tune.seeds} seeds each" if tune.seeds > 1 else ""
    rungs = rung_count(tune)
    stairs = f" on {rungs} rungs" if rungs > 1 else ""
    yield (
        f"tuning: {counted(arms, 'arm')} × {counted(tune.trials, 'trial')}{stairs}{seeds} = "
        f"{counted(summary.trials, 'run')} on the validation split, "
        f"{tune.parallel} trials of an arm at a time; counted above"
    )
    yield "  what is searched costs what values in the middle of its range do, as long as unknown"


def _size(plan: Plan) -> tuple[int, int, int]:
    return len(plan.jobs), len(plan.runs), len(plan.trials)
