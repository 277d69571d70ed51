"""Which figures a study gets, and the numbers each is drawn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ablate.errors import unknown_choice
from ablate.reporting.effect_figures import forest, seeds
from ablate.reporting.evaluation_figures import accuracy, epochs, win_rates
from ablate.reporting.factor_figures import interactions, main_effects
from ablate.reporting.figures.save import Drawing
from ablate.reporting.figures.style import SCREEN, drawn_in
from ablate.reporting.findings import Findings, analyse
from ablate.reporting.heatmap import heatmap, heatmap_steps
from ablate.reporting.over_optimization import reward_kl
from ablate.reporting.pareto import costs, trade_offs
from ablate.reporting.ranking_figures import critical_difference, performance_profile, ranks
from ablate.reporting.records import StudyRecord
from ablate.reporting.reward_outcome import reward_policy
from ablate.reporting.step_figures import cumulative, duel, step_frames, stepwise
from ablate.reporting.task_levels import task_levels
from ablate.reporting.training_figures import offline_curves, online_curves
from ablate.reporting.tuning import tuning_curves

FIGURES: dict[str, Callable[[Findings], Drawing | None]] = {
    "stepwise": stepwise,
    "cumulative": cumulative,
    "dpo-vs-ppo": duel,
    "forest": forest,
    "seeds": seeds,
    "heatmap": heatmap,
    "heatmap-steps": heatmap_steps,
    "main-effects": main_effects,
    "interactions": interactions,
    "ranks": ranks,
    "critical-difference": critical_difference,
    "performance-profile": performance_profile,
    "training-online": online_curves,
    "training-offline": offline_curves,
    "over-optimization": reward_kl,
    "tuning": tuning_curves,
    "costs": costs,
    "trade-offs": trade_offs,
    "task-levels": task_levels,
    "win-rate-length": win_rates,
    "reward-accuracy": accuracy,
    "reward-outcome": reward_policy,
    "evaluation-epochs": epochs,
}
"""Every figure by name; each returns None for a study that does not have it."""


def make_figure(name: str, study: StudyRecord | Findings, *, style: str = SCREEN) -> Drawing | None:
    """Return one figure of a study, or None where the study does not have it.

    ``style`` is ``screen``, ``paper`` (one or two columns) or ``slides`` (16:9). Raises ValueError
    for an unknown name or style.
    """
    if name not in FIGURES:
        raise ValueError(unknown_choice("figure", name, FIGURES))
    found = study if isinstance(study, Findings) else analyse(study)
    with drawn_in(style):
        return FIGURES[name](found)


def make_frames(study: StudyRecord | Findings) -> tuple[Drawing, ...]:
    """Return the additive chart of a ladder as slides, one more series a frame.

    Empty where the study has no steps.
    """
    return step_frames(study if isinstance(study, Findings) else analyse(study))


def all_figures(found: Findings) -> Iterator[Drawing]:
    """Yield the figures that a study has, in the order of the page."""
    for make in FIGURES.values():
        drawing = make(found)
        if drawing is not None:
            yield drawing
