"""Whether reward models that order pairs better also make better policies."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ablate.reporting import text
from ablate.reporting.block_tables import reward_score
from ablate.reporting.effects import score_of
from ablate.reporting.figures.reward_policy import (
    FEWEST_FOR_A_LINE,
    Outcome,
    Panel,
    draw_reward_policy,
)
from ablate.reporting.figures.save import Drawing
from ablate.reporting.findings import Findings
from ablate.reporting.rank_correlation import FEWEST, RankCorrelation, rank_correlation
from ablate.reporting.reward_models import reward_models
from ablate.reporting.reward_ways import (
    BENCHMARK,
    BEST_OF,
    UNKNOWN,
    RewardModel,
    metrics_of,
)
from ablate.stats.estimate import Estimate
from ablate.stats.rank_order import spearman_p

AGREE, LOOSE = 0.8, 0.5
"""Rank correlations from which orders agree, and below which they say little."""


@dataclass(frozen=True)
class Measure:
    """One number of every reward model."""

    title: str
    scores: tuple[Estimate, ...]


def reward_policy(found: Findings) -> Drawing | None:
    """Return accuracy against best-of-N and against the policy; None below two reward models."""
    panels = panels_of(found)
    if not panels:
        return None
    return draw_reward_policy(panels, "reward-outcome", caption=_caption(panels))


def panels_of(found: Findings) -> tuple[Panel, ...]:
    """Return a panel for each outcome that two reward models or more have, with its sentence."""
    models = reward_models(found)
    accuracy = _accuracy(found, models)
    if accuracy is None:
        return ()
    panels = []
    for measure in _outcomes(found, models):
        rows = zip(models, accuracy.scores, measure.scores, strict=True)
        points = tuple(
            Outcome(model.name, x, y)
            for model, x, y in rows
            if math.isfinite(x.value) and math.isfinite(y.value)
        )
        if len(points) > 1:
            panels.append(
                Panel(accuracy.title, measure.title, points, _short(_correlation(points)))
            )
    return tuple(panels)


def _plain(name: str) -> str:
    return name.replace("-", "_")


def _measure(found: Findings, models: Sequence[RewardModel], name: str, title: str) -> Measure:
    return Measure(title, tuple(reward_score(found, model.cells[0], name) for model in models))


def _accuracy(found: Findings, models: Sequence[RewardModel]) -> Measure | None:
    """Return the score of a benchmark of reward models where they have one, else pair accuracy."""
    rows = metrics_of(found, models)
    benchmarks = [name for name in rows if _plain(name).startswith(BENCHMARK)]
    whole = [name for name in benchmarks if rows[name].level == "average"] or benchmarks
    for name in [*whole[:1], "accuracy"]:
        if name not in rows:
            continue
        title = "pair accuracy (%)" if name == "accuracy" else text.heading(rows[name])
        measure = _measure(found, models, name, title)
        if sum(math.isfinite(score.value) for score in measure.scores) > 1:
            return measure
    return None


def _outcomes(found: Findings, models: Sequence[RewardModel]) -> Iterator[Measure]:
    rows = metrics_of(found, models)
    sizes = {
        int(size): name
        for name in rows
        if (size := _plain(name).removeprefix(BEST_OF)).isdecimal() and _plain(name) != size
    }
    if sizes:
        row = rows[sizes[max(sizes)]]
        kind = "gold reward" if row.unit == "reward" else text.unit_name(row.unit)
        yield _measure(found, models, row.metric, f"best of {max(sizes)} ({kind})")
    primary = found.evidence.metric(found.study.primary)
    if primary is not None:
        scores = tuple(_policies(found, model, primary.metric) for model in models)
        arrow = " ↓" if primary.direction == "lower" else ""
        yield Measure(f"policy: {text.heading(primary)}{arrow}", scores)


def _policies(found: Findings, model: RewardModel, metric: str) -> Estimate:
    """Return the score of a model's policy, or the mean over the cells that train on it.

    That mean has no interval: the cells differ in more than their draw.
    """
    cells = [cell for cell in model.cells if not found.evidence.invalid(cell)]
    scores = [score_of(found.evidence, cell, metric) for cell in cells]
    known = [score for score in scores if math.isfinite(score.value)]
    if len(known) < 2:
        return known[0] if known else UNKNOWN
    mean = math.fsum(score.value for score in known) / len(known)
    return Estimate(mean, math.nan, math.nan)


def _correlation(points: Sequence[Outcome]) -> RankCorrelation:
    return rank_correlation(
        [point.accuracy.value for point in points], [point.outcome.value for point in points]
    )


def _short(found: RankCorrelation) -> str:
    if math.isnan(found.spearman):
        return f"n = {found.n} reward models"
    return f"ρ = {text.signed(found.spearman, 'correlation')}, n = {found.n}"


def sentences(panels: Sequence[Panel]) -> tuple[str, ...]:
    """Say of each outcome whether accuracy and it order the reward models alike."""
    return tuple(_sentence(panel) for panel in panels)


def _sentence(panel: Panel) -> str:
    found = _correlation(panel.points)
    head = f"{panel.accuracy} and {panel.outcome} of {found.n} reward models: "
    if found.n < FEWEST:
        return head + f"a rank correlation is undefined below {FEWEST}."
    if math.isnan(found.spearman):
        return head + "one of them does not differ between the models."
    value = text.signed(found.spearman, "correlation")
    if found.spearman >= AGREE - 1e-9:  # Four models give 0.8 to rounding.
        said = "they order the models alike"
    elif found.spearman >= LOOSE - 1e-9:
        said = "they order the models alike in part"
    elif found.spearman <= 1e-9 - LOOSE:
        said = "they order the models the other way round"
    else:
        said = "they decouple: one order says little about the other"
    p_value = spearman_p(
        [point.accuracy.value for point in panel.points],
        [point.outcome.value for point in panel.points],
    )
    chance = f"{100 * p_value:.0f} % of random orders are as far from 0 (n = {found.n})"
    return f"{head}rank correlation {value}, {said}; {chance}."


def _caption(panels: Sequence[Panel]) -> str:
    lines = any(len(panel.points) >= FEWEST_FOR_A_LINE for panel in panels)
    fitted = " Dashed: least squares." if lines else ""
    return (
        "Each point is a reward model, with 95 % intervals where they are defined; a policy's score"
        " is the mean over the cells that train on it, then without interval."
        f"{fitted} No line is fitted to fewer than {FEWEST_FOR_A_LINE} points. "
        + " ".join(sentences(panels))
    )
