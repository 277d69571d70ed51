"""Whether policies that chase a proxy reward lose the gold one, and how far from the start."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ablate.evals.best_of import best_of_kl
from ablate.reporting import text
from ablate.reporting.artifacts import Curve as Steps
from ablate.reporting.block_tables import REWARD
from ablate.reporting.evaluation_figures import KL
from ablate.reporting.figures.reward_kl import (
    BestOf,
    RewardPath,
    Side,
    Texts,
    draw_reward_kl,
    reach,
    shows_peak,
)
from ablate.reporting.figures.save import Drawing
from ablate.reporting.findings import Findings
from ablate.reporting.reward_models import reward_models
from ablate.reporting.reward_ways import BEST_OF
from ablate.reporting.short_names import short_names
from ablate.reporting.tables import Cell, Table, known
from ablate.stats.estimate import Estimate, FloatArray
from ablate.stats.overoptimization import Curve, RewardFit, fit_reward
from ablate.stats.seeds import seed_score

PROXIES = {
    "reward_normalized": "proxy reward (normalized)",
    "reward_raw": "proxy reward (raw)",
}
"""Step metrics of the score that a policy is trained on; the first that all cells have is drawn."""
GOLD = "gold"
DISTANCE = "kl_per_sequence"
SIZES = ("reward_model.size", "reward_model", "reward_model.layers")
"""Factors whose levels are sizes of reward models."""
STRETCHES = 10
"""Means of consecutive rollouts that the thick line joins."""
_NONE: Curve = (np.array([]), np.array([]))


@dataclass(frozen=True)
class Rewards:
    """Everything about proxy and gold over distance in one study."""

    paths: tuple[RewardPath, ...]
    best: tuple[BestOf, ...]
    proxy: str
    """What the proxy's axis says."""
    gold: str
    in_training: bool
    """Whether gold is that of the rollouts; else it is the score of evaluations."""
    levels: tuple[str, ...]
    """What the colours stand for; empty where each cell has its own."""


def rewards_of(found: Findings) -> Rewards | None:
    """Return proxy and gold of every cell that samples while it trains; None without any.

    Gold is the world's reward of the same rollouts. Where a study has none, it is the primary
    metric of the evaluation at the evaluation's distance: a point a seed and no curve.
    """
    curves = {cell: _steps(found, cell) for cell in found.study.cells}
    curves = {cell: seeds for cell, seeds in curves.items() if seeds}
    proxy = next((p for p in PROXIES if all(_has(seeds, p) for seeds in curves.values())), None)
    if not curves or proxy is None:
        return None
    in_training = any(_has(seeds, GOLD) for seeds in curves.values())
    colours, levels = _colours(found, list(curves))
    names = short_names(found, list(curves))
    paths = []
    for cell, seeds in curves.items():
        gold = _side(seeds, GOLD) if in_training else _evaluated(found, cell)
        paths.append(RewardPath(cell, names[cell], colours[cell], _side(seeds, proxy), gold))
    if not any(len(path.gold.mean[0]) for path in paths):
        return None
    primary = found.evidence.metric(found.study.primary)
    label = "gold reward" if in_training or primary is None else text.heading(primary)
    best = _best(found, colours) if in_training else ()
    return Rewards(tuple(paths), best, PROXIES[proxy], label, in_training, levels)


def _steps(found: Findings, cell: str) -> list[Steps]:
    curves = [found.evidence.curve(run) for run in found.study.runs_of(cell)]
    kept = [curve for curve in curves if curve is not None and DISTANCE in curve.metrics]
    return [curve for curve in kept if any(proxy in curve.metrics for proxy in PROXIES)]


def _has(seeds: Sequence[Steps], metric: str) -> bool:
    return all(metric in curve.metrics for curve in seeds)


def _side(seeds: Sequence[Steps], metric: str) -> Side:
    """Return a step metric over √KL, with its fit; empty where the cell does not have it."""
    tables = [
        {
            step: (math.sqrt(max(0.0, kl)), value)
            for step, kl, value in zip(
                curve.steps, curve.metrics[DISTANCE], curve.metrics[metric], strict=True
            )
            if math.isfinite(kl) and math.isfinite(value)
        }
        for curve in seeds
        if metric in curve.metrics
    ]
    tables = [table for table in tables if table]
    if not tables:
        return Side((), _NONE)
    lines = tuple(_curve([table[step] for step in sorted(table)]) for table in tables)
    shared = sorted(set.intersection(*(set(table) for table in tables)))
    means = [np.mean([table[step] for table in tables], axis=0) for step in shared]
    return Side(lines, _curve(_stretches(means)), fit_reward(lines, "rl"))


def _stretches(means: Sequence[FloatArray]) -> list[FloatArray]:
    """Return the first rollout, of the policy that training starts from, and means of the rest.

    Single rollouts are too noisy for a line that runs forwards.
    """
    rest = np.array_split(np.arange(1, len(means)), min(STRETCHES, len(means) - 1) or 1)
    return [*means[:1], *(np.mean([means[i] for i in part], axis=0) for part in rest if len(part))]


def _curve(points: Sequence[FloatArray] | Sequence[tuple[float, float]]) -> Curve:
    table = np.array(points, np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _evaluated(found: Findings, cell: str) -> Side:
    """Return the final evaluation's primary metric over its distance, a point a seed."""
    scores = found.evidence.values(cell, found.study.primary)
    distance = found.evidence.values(cell, KL)
    seeds = [s for s in scores if math.isfinite(distance.get(s, math.nan) + scores[s])]
    if not seeds or found.evidence.invalid(cell):
        return Side((), _NONE)
    points = [(math.sqrt(max(0.0, distance[seed])), scores[seed]) for seed in seeds]
    return Side(tuple(_curve([point]) for point in points), _curve([np.mean(points, axis=0)]))


def _colours(found: Findings, cells: Sequence[str]) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return a number of a colour by cell: the reward model's size, where sizes differ."""
    for factor in SIZES:
        levels = [found.study.levels_of(cell).get(factor) for cell in cells]
        different = list(dict.fromkeys(levels))
        if None not in levels and len(different) > 1:
            number = {level: index for index, level in enumerate(different)}
            colours = {cell: number[level] for cell, level in zip(cells, levels, strict=True)}
            return colours, tuple(f"{factor} {level}" for level in different)
    return {cell: index for index, cell in enumerate(cells)}, ()


def _best(found: Findings, colours: Mapping[str, int]) -> tuple[BestOf, ...]:
    """Return best-of-N of every reward model whose evaluation has it."""
    points = []
    for model in reward_models(found):
        gold: dict[int, list[float]] = {}
        for run in found.study.runs_of(model.cells[0]):
            for name, row in found.evidence.scores(run, REWARD).items():
                size = name.removeprefix(BEST_OF)
                if name.startswith(BEST_OF) and size.isdecimal() and math.isfinite(row.value):
                    gold.setdefault(int(size), []).append(row.value)
        colour = next((colours[cell] for cell in model.cells if cell in colours), None)
        if len(gold) < 2 or colour is None:
            continue
        sizes = sorted(gold)
        distance = np.sqrt([best_of_kl(n) for n in sizes])
        means = np.array([np.mean(gold[n]) for n in sizes])
        fit = fit_reward([(distance, means)], "best_of_n")
        points.append(BestOf(model.name, colour, tuple(sizes), distance, means, fit))
    return tuple(points)


def reward_kl(found: Findings) -> Drawing | None:
    """Return proxy and gold against √KL of every cell that samples while it trains."""
    known_rewards = rewards_of(found)
    if known_rewards is None:
        return None
    return draw_reward_kl(
        known_rewards.paths,
        known_rewards.best,
        "over-optimization",
        texts=Texts(
            *(known_rewards.proxy, known_rewards.gold, known_rewards.levels),
            caption=_caption(known_rewards),
        ),
    )


def _caption(shown: Rewards) -> str:
    fits = (
        " Dashed: least-squares fits R = R₀ + d(α − β ln d), d = √KL (Gao et al. 2022), over all"
        " seeds; a star marks the fitted peak, filled with its 95 % interval over seeds where that"
        " establishes one, hollow with one seed, and none where it lies outside the data."
    )
    if not shown.in_training:
        return (
            "Left: the score that the policy is trained on, by rollout; right: the evaluation's"
            f" score, a point for the mean over seeds. No gold reward is known.{fits}"
        )
    best = (
        " Hexagons: the gold reward of best-of-N by the same reward models, at the analytic"
        " KL = ln N − (N − 1)/N; its prompts are the reward model's test prompts."
        if shown.best
        else ""
    )
    return (
        "Left: the score that the policy is trained on; right: the gold reward of the same"
        f" rollouts. Thin lines are seeds; thick lines are their mean over stretches of consecutive"
        f" rollouts.{fits}{best}"
    )


def reward_kl_table(found: Findings) -> Table | None:
    """Return a row for each online cell: gains, their gap at the end, and the fits of gold."""
    shown = rewards_of(found)
    if shown is None or not shown.in_training:
        return None
    rows = [_row(path) for path in shown.paths]
    columns = (
        *("cell", "√KL at the end (√nats)", "proxy gain", "gold gain", "gap at the end"),
        *("gold lost since its best", "α of gold", "β of gold", "R²", "fitted peak (√nats)"),
    )
    notes = (
        "The end is the last tenth of the rollouts and the start the first one; means over seeds"
        " with the half width of a 95 % interval over seeds. The gap is proxy gain − gold gain,"
        " each in its own reward's unit: compare it between cells with the same reward model.",
        "Best: the highest point of the chart's thick line, which is the luckiest of several, so"
        " that what is lost since then is above 0 by chance too.",
        "Fits are those of the chart; a peak is given where the seeds' 95 % interval of β lies"
        " above 0 (with one seed: without interval), and its interval supposes that the form"
        " holds, which R² tells.",
    )
    caption = "Proxy and gold reward of the rollouts while each policy trained."
    return Table("over-optimization", caption, columns, tuple(rows), notes)


def _row(path: RewardPath) -> tuple[Cell, ...]:
    ends = [_end(distance) for distance, _ in path.proxy.seeds]
    gains = {s: _gains(side) for s, side in (("proxy", path.proxy), ("gold", path.gold))}
    gap = [a - b for a, b in zip(gains["proxy"], gains["gold"], strict=False)]
    if len(gains["proxy"]) != len(gains["gold"]):
        gap = []
    reward = path.gold.mean[1]
    lost = float(reward.max() - reward[-1]) if len(reward) else math.nan
    return (
        Cell(path.cell),
        _field(seed_score(ends)),
        _field(seed_score(gains["proxy"])),
        _field(seed_score(gains["gold"])),
        _field(seed_score(gap)),
        _field(Estimate(lost, math.nan, math.nan)),
        *_fitted(path.gold),
    )


def _gains(side: Side) -> list[float]:
    return [_end(reward) - float(reward[0]) for _, reward in side.seeds]


def _end(values: FloatArray) -> float:
    return float(np.mean(values[-max(1, len(values) // 10) :]))


def _field(estimate: Estimate) -> Cell:
    if math.isnan(estimate.value):
        return Cell(text.DASH, tone="muted", hint="not measured")
    width = text.half_width(estimate, "nats")
    return Cell(text.plain(estimate.value, "nats"), sub=width, sort=estimate.value)


def _fitted(side: Side) -> tuple[Cell, ...]:
    fit = side.fit
    if fit is None or not fit.defined:
        reason = "not measured" if fit is None else f"no fit: {fit.refused}"
        return (Cell(text.DASH, tone="muted", hint=reason),) * 4
    numbers = (fit.alpha, fit.beta, fit.r_squared)
    plain = (Cell(text.plain(value, "correlation"), sort=known(value)) for value in numbers)
    return (*plain, _peak(fit, side))


def _peak(fit: RewardFit, side: Side) -> Cell:
    if math.isnan(fit.peak.value):
        return Cell("none", tone="muted", hint="β is not above 0: the fitted curve has no peak")
    if fit.peak.n_seeds > 1 and not fit.peak.defined:
        hint = "the seeds' interval of β holds 0: no peak is established"
        return Cell(text.DASH, tone="muted", hint=hint)
    ends = reach(side)
    if not shows_peak(fit, ends):
        return Cell("outside the data", tone="muted", hint=f"the data end at {ends[1]:.2f}")
    peak = fit.peak
    interval = f"[{peak.low:.2f}, {peak.high:.2f}]" if peak.defined else "one seed: no interval"
    return Cell(text.plain(peak.value, "nats"), sub=interval, sort=peak.value)
