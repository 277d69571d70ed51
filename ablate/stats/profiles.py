"""Runs x benchmarks tables as a whole: performance profiles, the middle half, who improves on whom.

The quantities of Agarwal et al. (2021, arXiv:2108.13264), which do not hang on a few extreme runs.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ablate.stats.estimate import FloatArray

FEWEST_BENCHMARKS = 8
"""Below this many a profile is a staircase of its single benchmarks."""


def interquartile_mean(scores: ArrayLike) -> float:
    """Return the mean of the middle half of all scores, whatever run or benchmark they are of."""
    values = np.asarray(scores, np.float64).ravel()
    return float(stats.trim_mean(values, 0.25)) if len(values) else math.nan


def improvement_probability(treatment: ArrayLike, control: ArrayLike) -> float:
    """Return how likely a run of one cell beats a run of another, mean over benchmarks.

    Both of shape (runs, benchmarks), with the same benchmarks; a tie counts one half. Raises
    ValueError where the benchmarks differ in number.
    """
    left, right = np.asarray(treatment, np.float64), np.asarray(control, np.float64)
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[1]:
        raise ValueError(f"runs x benchmarks of shapes {left.shape} and {right.shape} do not match")
    wins = left[:, None, :] > right[None, :, :]
    ties = left[:, None, :] == right[None, :, :]
    return float((wins + ties / 2).mean())


def performance_profile(scores: ArrayLike, thresholds: ArrayLike) -> FloatArray:
    """Return the share of all scores above each threshold, shape of ``thresholds``."""
    values = np.sort(np.asarray(scores, np.float64).ravel())
    at = np.asarray(thresholds, np.float64)
    above = len(values) - np.searchsorted(values, at, side="right")
    return np.asarray(above / len(values) if len(values) else np.full(at.shape, np.nan), np.float64)
