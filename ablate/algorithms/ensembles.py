"""One score from several reward models (Coste et al. 2023, arXiv:2310.02743, section 3).

Scores have shape (members, B). Members must share a scale: normalize each before. A missing score
is NaN, and so is what follows from it.
"""

from __future__ import annotations

from torch import Tensor


def ensemble_mean(scores: Tensor) -> Tensor:
    """Return the mean over members, (B,): what "mean optimization" maximizes."""
    return scores.mean(dim=0)


def worst_case(scores: Tensor) -> Tensor:
    """Return the lowest score of any member, (B,): worst-case optimization (WCO)."""
    return scores.amin(dim=0)


def uncertainty_weighted(scores: Tensor, *, variance_coef: float) -> Tensor:
    """Return the mean minus ``variance_coef`` times the members' variance, (B,).

    Uncertainty-weighted optimization (UWO): the variance, not the standard deviation, dividing by
    the number of members. It grows with the square of the scores' scale, hence so must the
    coefficient shrink.
    """
    return scores.mean(dim=0) - variance_coef * scores.var(dim=0, correction=0)
