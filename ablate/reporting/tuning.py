"""What a study's tuning tried, found and chose, as text, tables and curves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from ablate.plan.searching import Score, Trial, TrialState
from ablate.reporting import text
from ablate.reporting.figures.save import Drawing
from ablate.reporting.figures.tuning import ArmCurve, draw_tuning
from ablate.reporting.findings import Findings
from ablate.reporting.records import listed
from ablate.reporting.tables import Cell, RowGroup, Table, known
from ablate.reporting.tuned import Tuned, TunedArm
from ablate.spec.factors import label
from ablate.stats.tuning_curves import TuningCurve, best_so_far, tuning_curve

STATES = TrialState
SAMPLERS = {
    "random": "drawn at random",
    "tpe": "proposed by Optuna's TPE sampler",
    "qmc": "spread by a scrambled Sobol sequence",
}


def objective_unit(found: Findings, tuned: Tuned) -> str:
    """Return the unit of the objective; percent where no result says."""
    metric = found.evidence.metric(tuned.tune.objective)
    return "percent" if metric is None else metric.unit


def tuning_text(found: Findings) -> Iterator[str]:
    """Yield what was tuned, on what, at which budget; nothing for a study that tunes nothing."""
    tuned = found.study.tuned
    if tuned is None:
        return
    tune = tuned.tune
    seeds = "one seed" if tune.seeds == 1 else f"{tune.seeds} seeds, whose mean counts"
    were = "was" if len(tune.search) == 1 else "were"
    yield (
        f"{listed(list(tune.search))} {were} chosen on the validation split by"
        f" {text.label(tune.objective)}, not on what is reported: {tune.trials} trials for every"
        f" arm, {SAMPLERS[tune.sampler]} in rounds of {tune.parallel}, each with {seeds}. The"
        " values of the best trial were then run again under seeds that no trial had; its own"
        " score, the best of many, flatters it and is no result."
    )
    if tune.prune is not None:
        yield (
            f"Pruning at equal budgets: every arm has {tuned.rungs} rungs of rising training with"
            f" as many trials on each; of a round, the best {tune.prune.keep:.0%} (rounded down,"
            " one at least) go on. Failed trials count and are not replaced."
        )


def tuning_table(found: Findings) -> Table | None:
    """Return each arm's trials, what became of them, and the values chosen."""
    tuned = found.study.tuned
    if tuned is None:
        return None
    unit = objective_unit(found, tuned)
    rows = tuple(_arm_row(arm, unit) for arm in tuned.arms)
    columns = ("arm", "trials", "in full", "pruned", "failed", "median", "best", "values chosen")
    metric = text.label(tuned.tune.objective)
    caption = f"Tuning on the validation split by {metric}: median and best of the trials in full."
    return Table("tuning", caption, columns, rows, notes=tuple(_unequal(tuned)))


def _arm_row(arm: TunedArm, unit: str) -> tuple[Cell, ...]:
    scores = [t.scores[-1].value for t in arm.trials if t.state is STATES.FINISHED]
    ended = sum(trial.state is not STATES.RUNNING for trial in arm.trials)
    counts = [ended, *map(arm.count, (STATES.FINISHED, STATES.PRUNED, STATES.FAILED))]
    middle = float(np.median(scores)) if scores else math.nan
    best = arm.winner.scores[-1].value if arm.winner is not None else math.nan
    why = "every trial failed" if arm.is_done else "trials are missing"
    chosen = Cell(text.DASH, tone="muted", hint=why)
    if arm.winner is not None:
        chosen = Cell(_values(arm.winner), sub=f"trial {arm.winner.number}", wide=True)
    numbers = (Cell(str(count), sort=float(count)) for count in counts)
    shown = (Cell(text.plain(value, unit), sort=known(value)) for value in (middle, best))
    return (Cell(arm.cell), *numbers, *shown, chosen)


def _values(trial: Trial) -> str:
    """Return a trial's values in four digits, as tables show them."""
    shown = {
        path: label(float(f"{value:.4g}")) if isinstance(value, float) else label(value)
        for path, value in trial.values.items()
    }
    return ", ".join(f"{path} {value}" for path, value in shown.items())


def _unequal(tuned: Tuned) -> Iterator[str]:
    """Say what of the budget is not spent yet."""
    open_arms = [arm.cell for arm in tuned.arms if not arm.is_done]
    if open_arms:
        yield f"Not all trials have ended: {listed(open_arms)}."


def trial_table(found: Findings) -> Table | None:
    """Return every trial of every arm in the order asked for."""
    tuned = found.study.tuned
    if tuned is None:
        return None
    unit = objective_unit(found, tuned)
    rows, groups = [], []
    for arm in tuned.arms:
        rows += [_trial_row(trial, tuned.rungs, unit) for trial in arm.trials]
        groups.append(RowGroup(arm.cell, len(arm.trials)))
    rungs = [f"rung {rung + 1}" for rung in range(tuned.rungs - 1)]
    return Table(
        "tuning-trials",
        f"Every trial: {text.label(tuned.tune.objective)} on the validation split.",
        ("trial", "values", *rungs, "in full", "state"),
        tuple(rows),
        groups=tuple(groups),
        sortable=False,
    )


def _trial_row(trial: Trial, rungs: int, unit: str) -> tuple[Cell, ...]:
    none = Score(math.nan)
    scores = [*trial.scores, *[none] * rungs][:rungs]
    numbers = (Cell(text.plain(score.value, unit), sort=known(score.value)) for score in scores)
    state = Cell(str(trial.state), sub=trial.reason, wide=bool(trial.reason))
    return (Cell(str(trial.number)), Cell(_values(trial), wide=True), *numbers, state)


def tuning_curves(found: Findings) -> Drawing | None:
    """Return the best-of-k curve of every arm that has ended."""
    tuned = found.study.tuned
    if tuned is None:
        return None
    arms = [arm_curve(arm, tuned) for arm in tuned.arms if arm.is_done]
    if not any(np.isfinite(arm.scores).any() for arm in arms):
        return None
    unit = objective_unit(found, tuned)
    return draw_tuning(arms, "tuning", unit=unit, metric=tuned.tune.objective)


def arm_curve(arm: TunedArm, tuned: Tuned) -> ArmCurve:
    """Return what is drawn of an arm; where lower is better the curve goes down."""
    lower = any(trial.scores[0].lower for trial in arm.trials if trial.scores)
    sign = -1.0 if lower else 1.0
    good = np.array([_goodness(trial) for trial in arm.trials])
    best = sign * best_so_far(good.tolist())
    numbers = np.arange(1, len(good) + 1, dtype=float)
    step = tuned.tune.parallel if tuned.tune.prune is not None else 1
    curve = None
    if tuned.tune.sampler == "random":
        curve = _turned(tuning_curve(_draws(good.tolist(), step)), lower)
    return ArmCurve(arm.cell, numbers, sign * good, best, curve, step)


def _goodness(trial: Trial) -> float:
    return trial.scores[-1].goodness if trial.state is STATES.FINISHED else math.nan


def _draws(good: Sequence[float], step: int) -> list[float]:
    """Return independent draws: trials, or the best of each round that is pruned together.

    Rounds of one size are draws of one distribution; a shorter last one is none of them.
    """
    rounds = [good[first : first + step] for first in range(0, len(good), step)]
    return [
        max((score for score in one if not math.isnan(score)), default=math.nan)
        for one in rounds
        if len(one) == step
    ]


def _turned(curve: TuningCurve, lower: bool) -> TuningCurve:
    if not lower:
        return curve
    return TuningCurve(curve.k, -curve.median, -curve.high, -curve.low)
