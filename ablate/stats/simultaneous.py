"""p-values of a whole family at once, from how its differences vary together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import special

from ablate.stats.crossed import Arm, crossed_difference
from ablate.stats.estimate import FloatArray
from ablate.stats.paired import checkpoint_difference
from ablate.stats.resampling import score_draws

DRAWS = 2000


def max_t(
    treatments: Sequence[Arm],
    control: Arm,
    *,
    p_values: Sequence[float] | None = None,
    draws: int = DRAWS,
    seed: int,
) -> tuple[float, ...]:
    """Return the adjusted p of every ``treatment - control``: `max_t_of` with one control."""
    arms = {"": control, **{str(number): arm for number, arm in enumerate(treatments)}}
    contrasts = [(str(number), "") for number in range(len(treatments))]
    return max_t_of(arms, contrasts, p_values=p_values, draws=draws, seed=seed)


def max_t_of(
    arms: Mapping[str, Arm],
    contrasts: Sequence[tuple[str, str]],
    *,
    p_values: Sequence[float] | None = None,
    draws: int = DRAWS,
    seed: int,
) -> tuple[float, ...]:
    """Return the adjusted p of each (treatment, control) by step-down max-t (Romano and Wolf 2005).

    The joint distribution of the differences under the null comes from `score_draws`, centred and
    studentized, so that differences which share items or a control count as the fewer questions
    they are; Holm supposes nothing about them and pays for it. What is compared is not t but its p
    (the same where all have equal degrees): three seeds give t heavier tails than draws have, and
    the p of the crossed interval knows them. ``p_values`` replaces these p, for example by those of
    matched seeds; NaN stays NaN and does not count. Never below the p that it adjusts.
    """
    given = p_values if p_values is not None else [own_p(arms[a], arms[b]) for a, b in contrasts]
    raw = np.asarray(given, np.float64)
    known = [int(index) for index in np.flatnonzero(~np.isnan(raw))]
    adjusted = np.full(len(raw), np.nan)
    if known:
        names = list(dict.fromkeys(name for index in known for name in contrasts[index]))
        rng = np.random.default_rng(seed)
        scores = score_draws([arms[name] for name in names], draws=draws, rng=rng)
        columns = [[names.index(name) for name in contrasts[index]] for index in known]
        left, right = np.transpose(columns)
        null = two_sided(scores[:, left] - scores[:, right])
        adjusted[known] = _stepped_down(raw[known], null)
    return tuple(float(value) for value in adjusted)


def two_sided(deviations: FloatArray) -> FloatArray:
    """Return the p of each studentized deviation, (draws, contrasts); 1 where nothing varies."""
    spread = deviations.std(axis=0)
    scaled = np.divide(deviations, spread, out=np.zeros_like(deviations), where=spread > 0)
    return np.asarray(2 * special.ndtr(-np.abs(scaled)), np.float64)


def own_p(treatment: Arm, control: Arm) -> float:
    """Return the p of a difference by itself: crossed, or with one seed over items only."""
    several = min(treatment.n_seeds, control.n_seeds) > 1
    difference = crossed_difference if several else checkpoint_difference
    return difference(treatment, control).p_value


def _stepped_down(raw: FloatArray, null: FloatArray) -> FloatArray:
    """Adjust the smallest p by the smallest of all draws, the next by that of the rest, and on."""
    order = np.argsort(raw, kind="stable")
    smallest = np.minimum.accumulate(null[:, order[::-1]], axis=1)[:, ::-1]
    below = (smallest <= raw[order]).sum(axis=0)
    stepped = np.maximum((below + 1) / (len(null) + 1), raw[order])
    result = np.empty(len(raw))
    result[order] = np.maximum.accumulate(stepped)
    return result
