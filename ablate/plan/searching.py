"""The trials of one arm: asked for in rounds, run, told in order; a function of what they scored.

Nothing is stored. Replaying a search from its beginning gives the trials it had, because the
sampler is seeded by what the arm is and is asked only once all results of earlier rounds are known.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from ablate.plan.trials import kept, rung_count
from ablate.spec.tune import Tune
from ablate.spec.tune_space import Dimension


class Score(NamedTuple):
    """What a trial scored on a rung, the mean over its seeds."""

    value: float
    """NaN where it failed or where the score is not finite."""
    lower: bool = False
    """Whether lower is better."""
    reason: str = ""
    """Why there is no value."""

    @property
    def goodness(self) -> float:
        """The value, turned round where lower is better."""
        return -self.value if self.lower else self.value


class TrialState(StrEnum):
    """Where a trial is."""

    RUNNING = "running"
    """A result of its is missing still."""
    FINISHED = "finished"
    """Trained in full."""
    PRUNED = "pruned"
    """Others of its round were better on an earlier rung."""
    FAILED = "failed"
    """A job failed, the score is not finite, or its values go not together."""


@dataclass
class Trial:
    """One set of values of an arm, and what became of it."""

    number: int
    """From 0, in the order in which trials were asked for: ties go to the lower one."""
    values: Mapping[str, object]
    """By path."""
    scores: list[Score] = field(default_factory=list)
    """By rung reached."""
    state: TrialState = TrialState.RUNNING

    @property
    def reason(self) -> str:
        """Why it failed; empty where it did not."""
        return self.scores[-1].reason if self.state is TrialState.FAILED else ""


ReadScore = Callable[[Trial, int], Score | None]
"""Returns what a trial scored on a rung, None where that is not known yet."""


class Search:
    """The trials of one arm so far. `advance` goes on as far as known scores allow."""

    def __init__(self, tune: Tune, space: Sequence[Dimension], *, identity: str) -> None:
        """Ask for the first round; ``identity`` says what the arm computes and seeds the sampler.

        Optuna is imported here: a study that tunes nothing does not wait for it.
        """
        self.tune, self.space = tune, tuple(space)
        self.trials: list[Trial] = []
        self._study, self._distributions = _new_study(tune, space, identity)
        self._asked: list[Any] = []
        self._live: list[Trial] = []
        self._rung = 0
        self._ask()

    @property
    def is_done(self) -> bool:
        """Whether every trial of the budget has ended."""
        return not self._live

    @property
    def rung(self) -> int:
        """The rung of the round that runs now."""
        return self._rung

    @property
    def running(self) -> tuple[Trial, ...]:
        """Trials whose results of `rung` are waited for."""
        return tuple(self._live)

    @property
    def winner(self) -> Trial | None:
        """The best trial that was trained in full; None before the end, or where none was."""
        finished = [trial for trial in self.trials if trial.state is TrialState.FINISHED]
        if not self.is_done or not finished:
            return None
        return max(finished, key=lambda trial: (trial.scores[-1].goodness, -trial.number))

    def advance(self, read: ReadScore) -> None:
        """Take the scores that are known, and ask for what they make possible."""
        while self._live:
            scores = [read(trial, self._rung) for trial in self._live]
            known = [score for score in scores if score is not None]
            if len(known) < len(scores):
                return
            for trial, score in zip(self._live, known, strict=True):
                trial.scores.append(score)
            self._climb()
            if not self._live:
                self._tell()
                self._ask()

    def _climb(self) -> None:
        """Decide who of the round goes on to the next rung."""
        sound = [t for t in self._live if math.isfinite(t.scores[-1].value)]
        for trial in self._live:
            if trial not in sound:
                trial.state = TrialState.FAILED
        self._rung += 1
        if self._rung == rung_count(self.tune):
            for trial in sound:
                trial.state = TrialState.FINISHED
            self._live = []
            return
        # Out of those asked for, not of those that are left: a failure spends its share.
        room = kept(self.tune, len(self._asked), self._rung)
        ranked = sorted(sound, key=lambda trial: (-trial.scores[-1].goodness, trial.number))
        for trial in ranked[room:]:
            trial.state = TrialState.PRUNED
        self._live = sorted(ranked[:room], key=lambda trial: trial.number)

    def _ask(self) -> None:
        """Ask for a round; nothing where the budget is spent."""
        self._rung = 0
        first = len(self.trials)
        count = min(self.tune.parallel, self.tune.trials - first)
        self._asked = [self._study.ask(self._distributions) for _ in range(count)]
        for number, asked in enumerate(self._asked, start=first):
            values = {d.path: d.value(asked.params[d.path]) for d in self.space}
            self.trials.append(Trial(number, values))
        self._live = self.trials[first:]

    def _tell(self) -> None:
        """Tell the sampler of the round, in the order of its trials."""
        import optuna.trial

        states = optuna.trial.TrialState
        first = len(self.trials) - len(self._asked)
        for trial, asked in zip(self.trials[first:], self._asked, strict=True):
            for rung, score in enumerate(trial.scores):
                if math.isfinite(score.value):
                    asked.report(score.goodness, rung)
            if trial.state is TrialState.FINISHED:
                self._study.tell(asked, trial.scores[-1].goodness)
            else:
                pruned = trial.state is TrialState.PRUNED
                self._study.tell(asked, state=states.PRUNED if pruned else states.FAIL)


def seed_of(tune: Tune, space: Sequence[Dimension], identity: str) -> int:
    """Return the sampler's seed: of the study's, of what the arm computes, of its space."""
    text = f"{tune.seed}\n{identity}\n{tune.sampler}\n{tuple(space)!r}"
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)


def _new_study(tune: Tune, space: Sequence[Dimension], identity: str) -> tuple[Any, dict[str, Any]]:
    """Return an Optuna study in memory, which maximizes, and the distributions to ask with."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seed = seed_of(tune, space, identity)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        samplers = optuna.samplers
        sampler: Any
        if tune.sampler == "tpe":
            sampler = samplers.TPESampler(seed=seed, n_startup_trials=tune.startup)
        elif tune.sampler == "qmc":
            sampler = samplers.QMCSampler(seed=seed, scramble=True)
        else:
            sampler = samplers.RandomSampler(seed=seed)
        study = optuna.create_study(
            storage=optuna.storages.InMemoryStorage(), sampler=sampler, direction="maximize"
        )
    return study, {dimension.path: _distribution(dimension) for dimension in space}


def _distribution(dimension: Dimension) -> Any:
    from optuna import distributions

    if dimension.choices:
        # Positions and not values: to Optuna 1, 1.0 and true are one choice.
        return distributions.CategoricalDistribution(tuple(range(len(dimension.choices))))
    if dimension.whole:
        low, high = int(dimension.low), int(dimension.high)
        return distributions.IntDistribution(low, high, log=dimension.log)
    return distributions.FloatDistribution(dimension.low, dimension.high, log=dimension.log)
