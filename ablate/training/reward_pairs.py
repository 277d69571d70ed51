"""Reward models from pairs: the Bradley-Terry objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ablate.algorithms.bradley_terry import bradley_terry_loss, wins
from ablate.data.stored import stored_pairs
from ablate.errors import StageError
from ablate.models.boundary import Boundary
from ablate.models.logprobs import completion_scores
from ablate.spec.stages import RewardModelConfig
from ablate.training.examples import PairRows, fitting_pairs, read_pair_table
from ablate.training.learner import Share


class PairLesson:
    """What a reward model learns from pairs."""

    what = "pairs"
    outputs = 1

    def __init__(self, inputs: Mapping[str, Path], config: RewardModelConfig) -> None:
        """Learn from the stage's inputs: a preference artifact, and its tokens if any."""
        self.config, self._inputs = config, inputs
        self.examples = stored_pairs(inputs["preferences"])

    def rows(self, boundary: Boundary) -> PairRows:
        """Return the pairs that are not too long."""
        return fitting_pairs(read_pair_table(self._inputs, boundary), self.config.max_length)

    def labels(self, rows: PairRows) -> int:
        """Return the preferences used: one a pair."""
        return len(rows.kept)

    def objective(self, model: Any, rows: PairRows) -> RewardObjective:
        """Return what is minimized over the rows."""
        margins = self._margins(rows) if self.config.pair_margins else None
        return RewardObjective(model, rows, self.config, margins=margins)

    def _margins(self, rows: PairRows) -> Tensor:
        """Return each kept pair's own margin, shape (pairs,)."""
        if missing := int(np.isnan(rows.margins).sum()):
            raise StageError(
                f"reward_model: {missing} of {len(rows.margins)} pairs have no margin; with pair"
                "_margins each needs one. Give the data a column 'margin', or unset pair_margins.",
                kind="bad_data",
            )
        return torch.from_numpy(rows.margins).float() * (self.config.margin or 1.0)


class RewardObjective:
    """The mean Bradley-Terry loss of an optimizer step's pairs."""

    def __init__(
        self,
        model: Any,
        rows: PairRows,
        config: RewardModelConfig,
        *,
        margins: Tensor | None = None,
    ) -> None:
        """Train ``model`` on pairs; ``margins``, (pairs,), replaces the configured one."""
        self.model, self.rows, self.config, self.margins = model, rows, config, margins

    def tokens(self, batch: Sequence[int]) -> int:
        """Return the completion tokens of both sides."""
        return self.rows.tokens(batch)

    def weight(self, batch: Sequence[int]) -> float:
        """Return the step's pairs, over which the loss is a mean."""
        return float(len(batch))

    def share(self, micro: Sequence[int], weight: float) -> Share:
        """Return some pairs' part of the mean loss and metrics."""
        scores = completion_scores(self.model, self.rows.of(micro), grad=True)
        chosen, rejected = scores.chunk(2)  # each (pairs,)
        loss = bradley_terry_loss(
            chosen,
            rejected,
            margin=self._margin(micro, scores.device),
            centering_coef=self.config.centering_coef,
        )
        margin = (chosen - rejected).detach()
        each = {
            "accuracy": wins(margin),
            "margin": margin,
            "score_mean": 0.5 * (chosen + rejected).detach(),
        }
        metrics = {name: value.sum() / weight for name, value in each.items()}
        return Share(loss.sum() / weight, metrics)

    def _margin(self, micro: Sequence[int], device: torch.device) -> Tensor | float:
        if self.margins is None:
            return self.config.margin
        return self.margins[list(micro)].to(device)
