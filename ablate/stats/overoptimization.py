"""How a reward moves with the distance from the policy that training began from.

Gao, Schulman and Hilton 2022 (arXiv:2210.10760, equations 1 and 2), with d the square root of the
KL divergence in nats::

    best-of-N               R(d) = R0 + d (alpha - beta d)         peak at alpha / (2 beta)
    reinforcement learning  R(d) = R0 + d (alpha - beta ln d)      peak at exp(alpha / beta - 1)

One departure: the paper centres rewards so that R0 is 0; here the reward at d = 0 is fitted as a
third unknown, because a study's rewards have whatever origin their reward model has.

Points of one training run follow one another and are no sample of their own, so every interval is
from the delete-one-seed jackknife of the fit to all seeds, with Student's t at seeds - 1. Intervals
suppose that the form holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ablate.stats.estimate import Claim, Estimate, FloatArray, from_error

Form = Literal["rl", "best_of_n"]
Curve = tuple[FloatArray, FloatArray]
"""Distances and rewards of one seed, shape (T,) each."""

FEWEST_POINTS = 5
"""Distinct distances below which three unknowns leave nothing to judge the fit by."""
LEAST_SPAN = 0.5
"""Least range of the distances, as a share of the largest: a short arc does not tell its bend."""


@dataclass(frozen=True)
class RewardFit:
    """A fitted curve of reward against distance; every number is NaN where it was refused."""

    form: Form
    start: float
    """Reward at distance 0."""
    alpha: float
    """Reward a unit of distance that the first steps bring, in units of the reward."""
    beta: float
    """How fast that gain wears off; above 0 the curve has a peak."""
    r_squared: float
    """Share of the points' variance about their mean that the curve explains."""
    peak: Estimate
    """Distance of the highest reward; NaN where beta is not above 0. No interval with one seed, or
    where beta's own interval holds 0."""
    n_points: int
    refused: str = ""
    """Why there is no fit."""

    @property
    def defined(self) -> bool:
        """Whether there is a curve."""
        return not self.refused

    def at(self, distance: FloatArray) -> FloatArray:
        """Return the fitted reward at some distances."""
        return np.asarray(_design(distance, self.form) @ [self.start, self.alpha, self.beta])


def fit_reward(curves: Sequence[Curve], form: Form) -> RewardFit:
    """Return the least-squares fit to all seeds' points, or a refusal with its reason.

    Points that are not finite or of negative distance are left out.
    """
    seeds = [_clean(*curve) for curve in curves]
    seeds = [curve for curve in seeds if len(curve[0])]
    distance, reward = _pooled(seeds)
    if refused := _refusal(distance, reward):
        return _refused(form, len(distance), refused)
    start, alpha, beta = _least_squares(distance, reward, form)
    residual = reward - _design(distance, form) @ [start, alpha, beta]
    about_mean = float(np.sum((reward - reward.mean()) ** 2))
    return RewardFit(
        form,
        start,
        alpha,
        beta,
        r_squared=1 - float(residual @ residual) / about_mean,
        peak=_peak(seeds, form, alpha=alpha, beta=beta),
        n_points=len(distance),
    )


def peak_of(alpha: float, beta: float, form: Form) -> float:
    """Return the distance of the highest reward; NaN where the curve has no peak."""
    if not beta > 0 or (form == "best_of_n" and not alpha > 0):
        return math.nan
    if form == "best_of_n":
        return alpha / (2 * beta)
    exponent = alpha / beta - 1
    return math.exp(exponent) if exponent < 700 else math.inf


def _design(distance: FloatArray, form: Form) -> FloatArray:
    d = np.asarray(distance, np.float64)
    # d ln d tends to 0 with d.
    bend = d * (d if form == "best_of_n" else np.log(np.where(d > 0, d, 1.0)))
    return np.stack([np.ones_like(d), d, -bend], axis=1, dtype=np.float64)


def _least_squares(distance: FloatArray, reward: FloatArray, form: Form) -> FloatArray:
    solution = np.linalg.lstsq(_design(distance, form), reward, rcond=None)[0]
    return np.asarray(solution, np.float64)


def _clean(distance: FloatArray, reward: FloatArray) -> Curve:
    d, r = np.asarray(distance, np.float64), np.asarray(reward, np.float64)
    keep = np.isfinite(d) & np.isfinite(r) & (d >= 0)
    return d[keep], r[keep]


def _pooled(seeds: Sequence[Curve]) -> Curve:
    if not seeds:
        return np.array([]), np.array([])
    return np.concatenate([d for d, _ in seeds]), np.concatenate([r for _, r in seeds])


def _refusal(distance: FloatArray, reward: FloatArray) -> str:
    distinct = len(np.unique(distance))
    if distinct < FEWEST_POINTS:
        return f"{distinct} distances; {FEWEST_POINTS} are needed"
    if np.ptp(distance) < LEAST_SPAN * distance.max():
        return f"distances from {distance.min():.2f} to {distance.max():.2f} span too little"
    if np.ptp(reward) <= 1e-12 * max(1.0, float(np.abs(reward).max())):
        return "the reward does not move"
    return ""


def _refused(form: Form, points: int, reason: str) -> RewardFit:
    nan = math.nan
    return RewardFit(form, nan, nan, nan, nan, Estimate(nan, nan, nan), points, reason)


def _peak(seeds: Sequence[Curve], form: Form, *, alpha: float, beta: float) -> Estimate:
    """Return the peak with the delta method's interval, symmetric in the peak's logarithm."""
    value = peak_of(alpha, beta, form)
    alone = Estimate(value, math.nan, math.nan, n_seeds=len(seeds), claim=Claim.RECIPE)
    if not 0 < value < math.inf or len(seeds) < 2:
        return alone
    covariance = _jackknife(seeds, form, np.array([alpha, beta]))
    sizes, degrees = (0, len(seeds)), len(seeds) - 1
    claim = Claim.RECIPE
    bend_error = math.sqrt(covariance[1, 1])
    bend = from_error(beta, bend_error, degrees=degrees, sizes=sizes, claim=claim)
    if not bend.defined or bend.low <= 0:
        return alone
    slope = [1 / alpha, -1 / beta] if form == "best_of_n" else [1 / beta, -alpha / beta**2]
    error = math.sqrt(max(0.0, float(np.array(slope) @ covariance @ slope)))
    log = from_error(math.log(value), error, degrees=degrees, sizes=sizes, claim=claim)
    low, high = (math.exp(min(bound, 700.0)) for bound in (log.low, log.high))
    return Estimate(value, low, high, value * error, degrees, 0, len(seeds), claim)


def _jackknife(seeds: Sequence[Curve], form: Form, whole: FloatArray) -> FloatArray:
    """Return the covariance of alpha and beta from fits without one seed each."""
    count = len(seeds)
    left_out = [
        _least_squares(*_pooled([*seeds[:n], *seeds[n + 1 :]]), form)[1:] - whole
        for n in range(count)
    ]
    moved = np.array(left_out)
    covariance: FloatArray = (count - 1) / count * moved.T @ moved
    return covariance
