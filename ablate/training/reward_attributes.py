"""Reward models from ratings: one output an attribute in training, one scalar afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ablate.algorithms.attributes import attribute_loss, rated, weighted_score
from ablate.data.preferences import read_rated_replies
from ablate.data.records import Demonstration, RatedReply
from ablate.errors import StageError
from ablate.models.backbone import score_head
from ablate.models.boundary import Boundary
from ablate.models.logprobs import completion_outputs
from ablate.models.lora import merged
from ablate.models.sharding import collected
from ablate.models.token_store import Numbers, StoredRows
from ablate.models.tokenizing import demonstration_table
from ablate.spec.stages import RewardModelConfig
from ablate.training.learner import Share


@dataclass(frozen=True)
class RatedRows:
    """The rated replies that are not too long."""

    rows: StoredRows
    ratings: Tensor  # (replies, attributes), NaN where unrated
    kept: list[int]
    """Positions of these replies among all."""

    def lengths(self) -> Numbers:
        """Return tokens of each row, (replies,)."""
        return self.rows.lengths()

    def tokens(self, replies: Sequence[int]) -> int:
        """Return the completion tokens of some replies."""
        return int(self.rows.take(replies).completion_lengths().sum())


class RatingLesson:
    """What a reward model learns from ratings."""

    what = "replies"

    def __init__(self, inputs: Mapping[str, Path], config: RewardModelConfig) -> None:
        """Read the ``preferences`` input; raise StageError (``bad_data``) where one is missing."""
        self.config = config
        found = read_rated_replies(inputs["preferences"])
        known = list(dict.fromkeys(name for item in found for name in item.attributes))
        self.names = list(config.attributes) or known
        missing = [repr(name) for name in self.names if name not in known]
        if missing or not known:
            raise _unrated(missing or ["any attribute"], known)
        self.examples = [r for r in found if not r.attributes.keys().isdisjoint(self.names)]
        weights = config.attribute_weights or (1.0,) * len(self.names)
        self.weights = torch.tensor(weights, dtype=torch.float32)

    @property
    def outputs(self) -> int:
        """Return the attributes, each of which is one output in training."""
        return len(self.names)

    def rows(self, boundary: Boundary) -> RatedRows:
        """Return the rated replies that are not too long; raise where an attribute has none."""
        rows = rated_rows(
            boundary, self.examples, names=self.names, max_length=self.config.max_length
        )
        counts = rated(rows.ratings).sum(dim=0).tolist()
        lost = [name for name, count in zip(self.names, counts, strict=True) if not count]
        if lost and rows.kept:
            kept = [name for name in self.names if name not in lost]
            raise _unrated([repr(name) for name in lost], kept)
        return rows

    def labels(self, rows: RatedRows) -> int:
        """Return the preferences used: one a rated reply, whatever it is rated on."""
        return len(rows.kept)

    def objective(self, model: Any, rows: RatedRows) -> AttributeObjective:
        """Return what is minimized over the rows."""
        return AttributeObjective(model, rows, names=self.names, weights=self.weights)


def rated_rows(
    boundary: Boundary, replies: Sequence[RatedReply], *, names: Sequence[str], max_length: int
) -> RatedRows:
    """Return the replies that fit, with their ratings; a longer one is dropped, never cut."""
    table = demonstration_table(boundary, (Demonstration(r.prompt, r.reply) for r in replies))
    lengths = table.lengths("prompt") + table.lengths("completion")
    fitting = np.flatnonzero(lengths <= max_length)
    rows, kept = table.rows("completion", fitting), fitting.tolist()
    ratings = [[replies[i].attributes.get(name, torch.nan) for name in names] for i in kept]
    return RatedRows(rows, torch.tensor(ratings).reshape(len(kept), len(names)), kept)


def _unrated(missing: Sequence[str], known: Sequence[str]) -> StageError:
    return StageError(
        f"reward_model: the preference data has no ratings of {', '.join(missing)} on replies that "
        f"fit; it has {', '.join(known) or 'none'}. Give the data a column 'attributes', or change "
        "reward_model.attributes, max_length or the objective.",
        kind="bad_data",
    )


class StepRatings(NamedTuple):
    """What an optimizer step is a mean over."""

    replies: int
    by_attribute: Tensor  # (attributes,)


class AttributeObjective:
    """The mean squared error of an optimizer step's ratings.

    Outputs are deviations from an attribute's mean rating over the data: the head has no bias, and
    the mean stands for it.
    """

    def __init__(
        self, model: Any, rows: RatedRows, *, names: Sequence[str], weights: Tensor
    ) -> None:
        """Train ``model``, with one output for each of ``names``, on rated replies."""
        self.model, self.rows, self.names, self.weights = model, rows, names, weights
        self.means = rows.ratings.nanmean(dim=0)  # (attributes,)
        self.targets = rows.ratings - self.means
        self.variances = self.targets.square().nanmean(dim=0)  # (attributes,)

    @property
    def level(self) -> float:
        """Return what the weighted outputs lack to be the weighted ratings."""
        return float(self.means.double() @ self.weights.double())

    def tokens(self, batch: Sequence[int]) -> int:
        """Return the completion tokens of the replies."""
        return self.rows.tokens(batch)

    def weight(self, batch: Sequence[int]) -> StepRatings:
        """Return the step's replies and ratings."""
        return StepRatings(len(batch), rated(self.targets[list(batch)]).sum(dim=0))

    def share(self, micro: Sequence[int], weight: StepRatings) -> Share:
        """Return some replies' part of the loss and metrics.

        ``r2_*`` is 1 - squared error / variance over the data, NaN where a step has no rating.
        """
        outputs = completion_outputs(
            self.model, [self.rows.rows[i] for i in micro], grad=True
        )  # (replies, attributes)
        targets = self.targets[list(micro)].to(outputs)
        loss = attribute_loss(outputs, targets, total=float(weight.by_attribute.sum()))
        errors = (outputs.detach() - targets).square().nan_to_num(nan=0.0).sum(dim=0)
        here, counts = rated(targets).sum(dim=0), weight.by_attribute.to(errors.device)
        explained = (here - errors / self.variances.to(errors)) / counts
        metrics = {f"r2_{name}": r2 for name, r2 in zip(self.names, explained, strict=True)}
        score = weighted_score(outputs.detach(), self.weights.to(outputs))
        metrics["score_mean"] = score.sum() / weight.replies + self.level * (
            len(micro) / weight.replies
        )
        return Share(loss, metrics)


def fold(model: nn.Module, weights: Tensor) -> nn.Module | None:
    """Return the model with one output, the weighted sum of its outputs; None but on rank 0.

    A weighted sum of linear maps is one linear map, so the scalar is the weighted score to
    rounding. Without adapters and ranks it is the model itself that is changed.
    """
    whole = collected(model)
    if whole is None:
        return None
    plain: Any = merged(whole)
    head = score_head(plain).weight.detach()  # (attributes, d)
    scalar = nn.Linear(head.shape[1], 1, bias=False, device=head.device, dtype=head.dtype)
    with torch.no_grad():
        scalar.weight.copy_(weighted_score(head.double().T, weights.double()).unsqueeze(0))
    plain.score = scalar
    plain.config.num_labels = plain.num_labels = 1
    return plain  # type: ignore[no-any-return]
