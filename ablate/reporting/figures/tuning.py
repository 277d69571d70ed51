"""Best-of-k curves: what a number of trials finds, arm by arm on one axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ablate.reporting import text
from ablate.reporting.figures.legends import fitted, legend_above
from ablate.reporting.figures.save import Drawing, canvas, paged, rendered
from ablate.reporting.figures.style import BLUE, GREY, INK, current
from ablate.stats.estimate import FloatArray
from ablate.stats.tuning_curves import TuningCurve

BAND = "#BFD9EC"
PANEL = (2.6, 2.3)
"""Inches of a panel."""
ACROSS = {"screen": 4, "paper": 2, "slides": 3}
DOWN = 3


@dataclass(frozen=True)
class ArmCurve:
    """One arm's trials."""

    arm: str
    trials: FloatArray
    """Number of each trial, from 1."""
    scores: FloatArray
    """What each reached; NaN for one without a value at full training."""
    best: FloatArray
    """Best so far after each trial; NaN before the first that has a value."""
    curve: TuningCurve | None
    """Median of the best of k draws with its band; None where draws are not independent."""
    step: int
    """Trials of a draw."""


def draw_tuning(arms: Sequence[ArmCurve], name: str, *, unit: str, metric: str) -> Drawing:
    """Return a panel an arm, over as many pages as that takes, all on one axis."""
    low, high = _limits(arms)
    columns = min(len(arms), ACROSS[current().name])
    each = columns * DOWN
    drawn = []
    for page in range(math.ceil(len(arms) / each)):
        part = arms[page * each : (page + 1) * each]
        rows = math.ceil(len(part) / columns)
        with canvas(max(5.0, 0.8 + PANEL[0] * columns), 1.2 + PANEL[1] * rows) as figure:
            size = 0.9 * float(matplotlib.rcParams["axes.titlesize"])
            grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
            room = figure.get_figwidth() / columns - 0.3
            for axes, arm in zip(grid.flat, part, strict=False):
                _panel(axes, arm, (low, high))
                axes.set_title(fitted(arm.arm, room, size), fontsize=size)
            for axes in list(grid.flat)[len(part) :]:
                axes.set_axis_off()
            figure.supxlabel("trials", fontsize="medium")
            figure.supylabel(f"validation {text.label(metric)}{_unit(unit)}", fontsize="medium")
            legend_above(figure, _keys(any(arm.curve is not None for arm in arms)))
            title = "Best of k trials"
            alt = f"{title}: {'; '.join(_said(arm, unit) for arm in part)}."
            file = name if not page else f"{name}-{page + 1}"
            drawn.append(rendered(figure, file, title=title, caption=_caption(arms), alt=alt))
    return paged(drawn)


def _unit(unit: str) -> str:
    named = text.unit_name(unit)
    return f" ({named})" if named else ""


def _limits(arms: Sequence[ArmCurve]) -> tuple[float, float]:
    """Return the axis of all panels: what was reached, with some room."""
    finite = np.concatenate([arm.scores[np.isfinite(arm.scores)] for arm in arms])
    if not len(finite):
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    room = 0.15 * (high - low) or 0.05 * max(abs(high), 1.0)
    return low - room, high + room


def _panel(axes: Any, arm: ArmCurve, limits: tuple[float, float]) -> None:
    if arm.curve is not None and len(arm.curve.k):
        k = arm.curve.k * arm.step
        # A bound that is not there goes beyond the axis; so does what no search surely finds.
        low, high = (np.clip(bound, *limits) for bound in (arm.curve.low, arm.curve.high))
        axes.fill_between(k, low, high, color=BAND, linewidth=0, step="mid" if len(k) < 2 else None)
        median = np.where(np.isfinite(arm.curve.median), arm.curve.median, np.nan)
        axes.plot(k, median, color=BLUE, linewidth=1.4, marker="o", markersize=2.5)
    axes.step(arm.trials, arm.best, where="post", color=INK, linewidth=0.9, linestyle="--")
    axes.plot(arm.trials, arm.scores, "o", color=GREY, markersize=3.5, markerfacecolor="white")
    axes.set_ylim(*limits)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _keys(has_curve: bool) -> list[Any]:
    keys: list[Any] = []
    if has_curve:
        keys.append(Line2D([], [], color=BLUE, linewidth=1.4, label="best of k, median"))
        keys.append(Patch(color=BAND, label="95 % band"))
    keys.append(Line2D([], [], color=INK, linestyle="--", linewidth=0.9, label="best so far"))
    keys.append(Line2D([], [], color=GREY, linestyle="", marker="o", label="trial"))
    keys[-1].set_markerfacecolor("white")
    return keys


def _caption(arms: Sequence[ArmCurve]) -> str:
    if all(arm.curve is None for arm in arms):
        return (
            "Circles: trials trained in full, in order; dashed: the best so far. Trials that learn"
            " from earlier ones, or that are spread evenly, are no independent draws, so that no"
            " band stands around what another search would find."
        )
    many = next(arm.step for arm in arms if arm.curve is not None)
    draws = "trials" if many == 1 else f"rounds of {many} trials, which are pruned together,"
    return (
        f"Line: half of all searches of so many {draws} find something this good; band: 95 % for"
        " the whole line (order statistics, arXiv:2311.09480), cut where the trials set no bound."
        " Circles: trials trained in full, in order; dashed: the best so far. Trials without a"
        " value count as the worst."
    )


def _said(arm: ArmCurve, unit: str) -> str:
    known = arm.best[np.isfinite(arm.best)]
    if not len(known):
        return f"{arm.arm}: no trial has a value"
    return f"{arm.arm}: {text.plain(float(known[-1]), unit)} after {len(arm.trials)} trials"
