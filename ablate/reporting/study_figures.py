"""Which figures a study gets, and the numbers each is drawn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ablate.errors import unknown_choice
from ablate.reporting import text
from ablate.reporting.effects import score_of
from ablate.reporting.evaluation_figures import accuracy, epochs, win_rates
from ablate.reporting.factor_figures import interactions, main_effects
from ablate.reporting.figures.bars import Bars, draw_bars
from ablate.reporting.figures.curves import CellCurves, draw_curves
from ablate.reporting.figures.forest import draw_forest
from ablate.reporting.figures.save import Drawing
from ablate.reporting.figures.style import SCREEN, drawn_in
from ablate.reporting.findings import Findings, analyse
from ablate.reporting.heatmap import heatmap, heatmap_steps
from ablate.reporting.over_optimization import reward_kl
from ablate.reporting.pareto import costs, trade_offs
from ablate.reporting.ranking_figures import critical_difference, performance_profile, ranks
from ablate.reporting.records import StudyRecord
from ablate.stats.estimate import Claim

ONLINE_PANELS = (
    *("reward_normalized", "gold", "kl_per_sequence"),
    *("length_tokens", "entropy", "ended_fraction"),
)
OFFLINE_PANELS = (
    *("loss", "reward_margin", "accuracy"),
    *("reward_chosen", "reward_rejected", "gradient_weight"),
)


SAMPLED = "reward_normalized"
"""Metric that tells the curves of an algorithm that samples."""


def stepwise(found: Findings) -> Drawing | None:
    """Return the additive chart of a ladder: one series a rung over categories and average."""
    rungs = [cell for cell in found.study.rungs if found.evidence.finished(cell)]
    if len(rungs) < 2 or not found.evidence.headline:
        return None
    percents = [m for m in found.evidence.headline if found.evidence.metrics[m].unit == "percent"]
    return draw_bars(
        _bars(found, rungs, percents, "step"),
        "stepwise",
        title="Each rung adds one change",
        caption=_bar_caption(found, rungs, "the rung before it"),
    )


def _bars(found: Findings, cells: Sequence[str], metrics: Sequence[str], kind: str) -> Bars:
    scores, steps = {}, {}
    for metric in metrics:
        group = text.label(metric)
        for cell in cells:
            if not found.evidence.invalid(cell):
                scores[cell, group] = score_of(found.evidence, cell, metric)
        for row in found.rows(kind, metric):
            steps[row.treatment, group] = row
    return Bars(
        groups=[text.label(metric) for metric in metrics],
        series=list(cells),
        scores=scores,
        steps={key: row for key, row in steps.items() if key[0] in cells},
        margin=found.study.margin,
        score_label="score (%)",
        step_label="Δ to the rung before\n(points)",
    )


def _bar_caption(found: Findings, cells: Sequence[str], other: str) -> str:
    claims = {score_of(found.evidence, cell, found.study.primary).claim for cell in cells}
    scope = "items and seeds" if claims == {Claim.RECIPE} else "items only where there is one seed"
    return (
        f"Bars: mean score; whiskers: 95 % interval ({scope}). Below: paired difference to {other}"
        " with its 95 % interval, which is what decides; overlapping whiskers above do not."
        " Filled marks are decided, open ones are not. Grey band: differences below the margin."
    )


def duel(found: Findings) -> Drawing | None:
    """Return DPO and PPO side by side for each pair of cells that differ in the algorithm only."""
    pairs = found.rows("algorithm")
    if not pairs:
        return None
    metric = found.study.primary
    scores, steps = {}, {}
    for row in pairs:
        scores["DPO", row.label] = score_of(found.evidence, row.control, metric)
        scores["PPO", row.label] = score_of(found.evidence, row.treatment, metric)
        steps["PPO", row.label] = row
    bars = Bars(
        groups=list(dict.fromkeys(row.label for row in pairs)),
        series=["DPO", "PPO"],
        scores=scores,
        steps=steps,
        margin=found.study.margin,
        score_label=f"{text.label(metric)} (%)",
        step_label="PPO − DPO (points)",
    )
    caption = _bar_caption(found, [row.treatment for row in pairs], "DPO on the same data")
    return draw_bars(bars, "dpo-vs-ppo", title="DPO and PPO on the same data", caption=caption)


def forest(found: Findings) -> Drawing | None:
    """Return the effects on the primary metric against the baseline."""
    rows = found.rows("baseline")
    if not rows:
        return None
    baseline = found.study.baseline if isinstance(found.study.baseline, str) else "the baseline"
    correction = text.correction_name(found.study.correction)
    caption = (
        f"Paired differences to {baseline}: thick bars 50 %, thin bars 95 % intervals."
        f" Correction of p-values: {correction}. Open marks: nothing decided."
    )
    if any(row.effect.n_seeds < 2 for row in rows):
        caption += " * one seed: the interval is over items only and claims these checkpoints only."
    metric = found.evidence.metric(rows[0].metric)
    unit = "percent" if metric is None else metric.unit
    margin = found.study.margin if unit == "percent" else 0.0
    return draw_forest(rows, "forest", unit=unit, margin=margin, caption=caption)


def curves_of(found: Findings, *, sampled: bool) -> list[CellCurves]:
    """Return the policy training curves of every cell that samples while it trains, or does not."""
    result = []
    for cell in found.study.cells:
        curves = [found.evidence.curve(run) for run in found.study.runs_of(cell)]
        kept = tuple(curve for curve in curves if curve is not None)
        if kept and any(SAMPLED in curve.metrics for curve in kept) == sampled:
            result.append(CellCurves(cell, kept))
    return result


def online_curves(found: Findings) -> Drawing | None:
    """Return the step metrics of algorithms that sample while they train."""
    cells = curves_of(found, sampled=True)
    return draw_curves(cells, ONLINE_PANELS, "training-online", title="Online training")


def offline_curves(found: Findings) -> Drawing | None:
    """Return the step metrics of algorithms that learn from fixed pairs."""
    cells = curves_of(found, sampled=False)
    return draw_curves(cells, OFFLINE_PANELS, "training-offline", title="Offline training")


FIGURES: dict[str, Callable[[Findings], Drawing | None]] = {
    "stepwise": stepwise,
    "dpo-vs-ppo": duel,
    "forest": forest,
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
    "costs": costs,
    "trade-offs": trade_offs,
    "win-rate-length": win_rates,
    "reward-accuracy": accuracy,
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


def all_figures(found: Findings) -> Iterator[Drawing]:
    """Yield the figures that a study has, in the order of the page."""
    for make in FIGURES.values():
        drawing = make(found)
        if drawing is not None:
            yield drawing
