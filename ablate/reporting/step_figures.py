"""The numbers of a ladder's figures: its bars, the sequence that reveals them, and DPO with PPO."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from ablate.reporting import text
from ablate.reporting.effects import margin_of, score_of
from ablate.reporting.figures.bars import Bars, draw_bars
from ablate.reporting.figures.cumulative import Climb, draw_cumulative
from ablate.reporting.figures.reveal import Step, draw_frames
from ablate.reporting.figures.save import Drawing
from ablate.reporting.findings import Findings
from ablate.stats.estimate import Claim, Estimate

FRAMES = "stepwise-frames"
UNKNOWN = Estimate(math.nan, math.nan, math.nan)


def step_bars(found: Findings) -> Bars | None:
    """Return the numbers of the additive chart, one series a rung; None for fewer than two.

    Rungs without a result keep their place, so that a series looks the same in every state of a
    study.
    """
    rungs = found.study.rungs
    if sum(bool(found.evidence.finished(cell)) for cell in rungs) < 2:
        return None
    known = found.evidence.metrics
    metrics = [name for name in found.evidence.headline if known[name].unit == "percent"]
    if not metrics:
        return None
    steps = {
        (row.treatment, text.label(metric)): row
        for metric in metrics
        for row in found.rows("step", metric)
        if row.treatment in rungs
    }
    return Bars(
        groups=[text.label(metric) for metric in metrics],
        series=list(rungs),
        scores={
            (cell, text.label(metric)): valid_score(found, cell, metric)
            for metric in metrics
            for cell in rungs
        },
        steps=steps,
        margin=found.study.margin,
        score_label="score (%)",
        step_label="Δ to the rung\nbefore (points)",
        not_final=frozenset(cell for cell in rungs if found.study.preliminary(cell)),
        numbered=True,
    )


def valid_score(found: Findings, cell: str, metric: str) -> Estimate:
    """Return a cell's score; undefined where an evaluation of it cannot be trusted."""
    return UNKNOWN if found.evidence.invalid(cell) else score_of(found.evidence, cell, metric)


def stepwise(found: Findings) -> Drawing | None:
    """Return the additive chart of a ladder: one series a rung over categories and average."""
    bars = step_bars(found)
    if bars is None:
        return None
    caption = _lead(found, "step") + _bar_caption(found, bars.series, "the rung before it")
    return draw_bars(bars, "stepwise", title="Each rung adds one change", caption=caption)


def step_frames(found: Findings) -> tuple[Drawing, ...]:
    """Return the additive chart as slides, one more series a frame; empty for no ladder."""
    bars = step_bars(found)
    if bars is None:
        return ()
    steps = [step_words(found, bars, index) for index in range(len(bars.series))]
    return draw_frames(bars, steps, FRAMES)


def step_words(found: Findings, bars: Bars, index: int) -> Step:
    """Return a rung's title, what was expected of it and what came."""
    cell = bars.series[index]
    title = f"{index}  {cell}" if index else cell
    families = {family.name: family for family in found.families}
    bullets = [found.study.notes.get(cell, "")]
    expected = {
        families[row.kind].expectation
        for row in found.effects
        if row.treatment == cell and row.kind in families
    }
    bullets += [f"Expected: {words}" for words in sorted(expected - {""})]
    if not index and found.study.question:
        bullets.append(found.study.question)
    shown = [(group, row) for group in bars.groups if (row := bars.steps.get((cell, group)))]
    outcome = [
        f"{group} {text.effect(row.shown if row.shown.defined else row.effect)}"
        f" {row.verdict.symbol} {row.verdict.value}"
        for group, row in shown[-1:]
    ]
    counts = Counter(row.verdict.value for _, row in shown[:-1])
    if counts:
        others = ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
        outcome.append(f"The others (exploratory): {others}")
    against = "Against" if found.declared("step") else "Exploratory, against"
    head = [f"{against} {bars.series[index - 1]}:"] if shown else []
    return Step(title, tuple(b for b in bullets if b), tuple([*head, *outcome]))


def _lead(found: Findings, kind: str) -> str:
    return "" if found.declared(kind) else "Exploratory: not declared before the results. "


def _bar_caption(found: Findings, cells: Sequence[str], other: str) -> str:
    scores = [score_of(found.evidence, cell, found.study.primary) for cell in cells]
    claims = {score.claim for score in scores if score.defined}
    scope = "items and seeds" if claims == {Claim.RECIPE} else "items only where there is one seed"
    whiskers = f"whiskers: 95 % interval ({scope})" if claims else "no intervals are known"
    bare = [cell for cell, score in zip(cells, scores, strict=True) if not score.defined]
    if claims and bare:
        whiskers += ", none where a source states none"
    return (
        f"Bars: mean score; {whiskers}. Below: paired difference to {other} with its 95 %"
        " interval, which is what decides; overlapping whiskers above do not. Open marks: one"
        " seed, so nothing is said about the recipe. Grey band: differences below the margin."
        f" {text.DASH}: no score."
    )


def duel(found: Findings) -> Drawing | None:
    """Return DPO and PPO side by side for each pair of cells that differ in the algorithm only."""
    pairs = found.rows("algorithm")
    if not pairs:
        return None
    name = found.study.primary
    metric = found.evidence.metrics[name]
    scores, steps = {}, {}
    labels = [row.label for row in pairs]
    if len(set(labels)) < len(labels):
        labels = [f"{row.treatment} − {row.control}" for row in pairs]
    for label, row in zip(labels, pairs, strict=True):
        scores["DPO", label] = valid_score(found, row.control, name)
        scores["PPO", label] = valid_score(found, row.treatment, name)
        steps["PPO", label] = row
    early = (found.study.preliminary(c) for row in pairs for c in (row.treatment, row.control))
    bars = Bars(
        groups=labels,
        series=["DPO", "PPO"],
        scores=scores,
        steps=steps,
        margin=margin_of(found.evidence, name),
        score_label=text.heading(metric),
        step_label=f"PPO − DPO\n({'points' if metric.unit == 'percent' else metric.unit})",
        unit=metric.unit,
        not_final=frozenset({"DPO", "PPO"} if any(early) else ()),
    )
    said = _bar_caption(found, [row.treatment for row in pairs], "DPO on the same data")
    caption = _lead(found, "algorithm") + said
    return draw_bars(bars, "dpo-vs-ppo", title="DPO and PPO on the same data", caption=caption)


def cumulative(found: Findings) -> Drawing | None:
    """Return where each step stands on a promoted task and on the average, and what it added."""
    rungs = found.study.rungs
    known = found.evidence.metrics
    first = [name for name in found.evidence.promoted if known[name].unit == "percent"][:1]
    wanted = dict.fromkeys([*first, "average", found.study.primary])
    metrics = [name for name in wanted if name in known and known[name].unit == "percent"][:2]
    if sum(bool(found.evidence.finished(cell)) for cell in rungs) < 2 or not metrics:
        return None
    climbs = [_climb(found, rungs, metric) for metric in metrics]
    caption = _lead(found, "step") + (
        "Marks: mean score with its 95 % interval where one is known, open with one seed. Between"
        " steps: paired difference to the step before with its 95 % interval and verdict;"
        " * over items only. The axes do not start at 0."
    )
    early = any(found.study.preliminary(cell) for cell in rungs)
    names = [f"{cell} *" if found.study.preliminary(cell) else cell for cell in rungs]
    return draw_cumulative(names, climbs, "cumulative", not_final=early, caption=caption)


def _climb(found: Findings, rungs: Sequence[str], metric: str) -> Climb:
    steps = {
        rungs.index(r.treatment): r for r in found.rows("step", metric) if r.treatment in rungs
    }
    scores = [valid_score(found, cell, metric) for cell in rungs]
    return Climb(text.label(metric), scores, steps)
