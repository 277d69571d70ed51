"""Reward modelling from ratings of attributes (helpfulness, correctness, ...)."""

from __future__ import annotations

import torch
from torch import Tensor


def rated(targets: Tensor) -> Tensor:
    """Return true where an attribute was rated, shape as given; NaN stands for no rating."""
    return ~targets.isnan()


def attribute_loss(predicted: Tensor, targets: Tensor, *, total: float) -> Tensor:
    """Return this micro-batch's share of the mean squared error of a rating, a scalar.

    ``predicted`` and ``targets`` have shape (B, attributes). ``total`` counts the ratings of the
    whole optimizer step (see `rated`), so each rating weighs the same however many others its
    completion has. Regression on attributes as in arXiv:2406.08673, section 3; SteerLM itself
    (arXiv:2310.05344) has a language model write the ratings.
    """
    errors = torch.where(rated(targets), predicted - targets.nan_to_num(nan=0.0), 0.0)
    return errors.square().sum() / total


def weighted_score(attributes: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sum of (B, attributes) as scores, (B,); a negative weight is a price."""
    return attributes @ weights.to(attributes)
