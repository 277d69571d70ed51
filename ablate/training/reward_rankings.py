"""Reward models from rankings of several replies: the Plackett-Luce objective."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ablate.algorithms.bradley_terry import wins
from ablate.algorithms.ranking import plackett_luce_loss
from ablate.data.records import Demonstration, Ranking
from ablate.data.stored import stored_rankings
from ablate.errors import StageError
from ablate.models.boundary import Boundary, Row
from ablate.models.logprobs import completion_scores
from ablate.models.token_store import Numbers, StoredRows
from ablate.models.tokenizing import demonstration_table
from ablate.spec.stages import RewardModelConfig
from ablate.training.learner import Share


@dataclass(frozen=True)
class RankingRows:
    """The completions of every ranking of which none is too long, from best to worst."""

    rows: StoredRows
    """Every reply, ranking after ranking."""
    sizes: Numbers  # (rankings,)
    """Replies of each ranking."""
    kept: Numbers
    """Positions of these rankings among all."""

    @cached_property
    def firsts(self) -> Numbers:
        """Return the number of each ranking's best reply among all, (rankings,)."""
        return _firsts(self.sizes)

    def lengths(self) -> Numbers:
        """Return tokens of each ranking's longest row, (rankings,)."""
        return _longest(self.rows.lengths(), self.firsts)

    def places(self, rankings: Sequence[int]) -> list[tuple[int, int]]:
        """Return (number among these rankings, rank) of every reply: all best ones first."""
        sizes = self.sizes[list(rankings)].tolist()
        return [(i, k) for k in range(max(sizes)) for i, size in enumerate(sizes) if k < size]

    def of(self, rankings: Sequence[int]) -> list[Row]:
        """Return the rows of some rankings in the order of `places`."""
        return [self.rows[int(self.firsts[rankings[i]]) + k] for i, k in self.places(rankings)]

    def tokens(self, rankings: Sequence[int]) -> int:
        """Return the completion tokens of some rankings."""
        return sum(len(row.completion) for row in self.of(rankings))


def ranking_rows(boundary: Boundary, rankings: Iterable[Ranking], max_length: int) -> RankingRows:
    """Return the rankings whose completions all fit; the others are dropped whole."""
    counts: list[int] = []

    def replies() -> Iterator[Demonstration]:
        for ranking in rankings:
            counts.append(len(ranking.replies))
            yield from (Demonstration(ranking.prompt, text) for text in ranking.replies)

    table = demonstration_table(boundary, replies())
    sizes = np.array(counts, dtype=np.int64)
    lengths = table.lengths("prompt") + table.lengths("completion")
    fits = _longest(lengths, _firsts(sizes)) <= max_length
    rows = table.rows("completion", np.flatnonzero(np.repeat(fits, sizes)))
    return RankingRows(rows, sizes[fits], np.flatnonzero(fits))


def _firsts(sizes: Numbers) -> Numbers:
    found: Numbers = np.cumsum(sizes) - sizes
    return found


def _longest(lengths: Numbers, firsts: Numbers) -> Numbers:
    found: Numbers = np.maximum.reduceat(lengths, firsts) if len(firsts) else firsts
    return found


class RankingLesson:
    """What a reward model learns from rankings."""

    what = "rankings"
    outputs = 1

    def __init__(self, inputs: Mapping[str, Path], config: RewardModelConfig) -> None:
        """Read the ``preferences`` input; raise StageError (``bad_data``) if it ranks nothing."""
        self.config = config
        self.examples = stored_rankings(inputs["preferences"])
        if not self.examples:
            raise StageError(
                "reward_model: the preference data has no rankings; plackett_luce needs them. "
                "Give the data a column 'ranking', or use bradley_terry.",
                kind="bad_data",
            )

    def rows(self, boundary: Boundary) -> RankingRows:
        """Return the rankings that are not too long."""
        return ranking_rows(boundary, self.examples, self.config.max_length)

    def labels(self, rows: RankingRows) -> int:
        """Return the preferences used: K - 1 choices for K replies, so one for two."""
        return int((rows.sizes - 1).sum())

    def objective(self, model: Any, rows: RankingRows) -> RankingObjective:
        """Return what is minimized over the rows."""
        return RankingObjective(model, rows, self.config)


class RankingObjective:
    """The mean Plackett-Luce loss of an optimizer step's rankings.

    Centring squares twice a ranking's mean score, so that for two replies all is as for a pair.
    """

    def __init__(self, model: Any, rows: RankingRows, config: RewardModelConfig) -> None:
        """Train ``model`` on rankings."""
        self.model, self.rows, self.config = model, rows, config

    def tokens(self, batch: Sequence[int]) -> int:
        """Return the completion tokens of all replies."""
        return self.rows.tokens(batch)

    def weight(self, batch: Sequence[int]) -> float:
        """Return the step's rankings, over which the loss is a mean."""
        return float(len(batch))

    def share(self, micro: Sequence[int], weight: float) -> Share:
        """Return some rankings' part of the mean loss and metrics."""
        flat = completion_scores(self.model, self.rows.of(micro), grad=True)
        scores, mask = self._table(micro, flat)
        mean = scores.sum(dim=1) / mask.sum(dim=1)  # (rankings,)
        loss = plackett_luce_loss(scores, mask)
        if self.config.centering_coef:
            loss = loss + self.config.centering_coef * (2.0 * mean).square()
        each = {**agreement(scores.detach(), mask), "score_mean": mean.detach()}
        metrics = {name: value.sum() / weight for name, value in each.items()}
        return Share(loss.sum() / weight, metrics)

    def _table(self, micro: Sequence[int], flat: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores (rankings, K) from best to worst, 0 where there is none, and the mask."""
        index = torch.tensor(self.rows.places(micro), device=flat.device).T
        shape = (len(micro), int(index[1].max()) + 1)
        scores = flat.new_zeros(shape).index_put((index[0], index[1]), flat)
        mask = torch.zeros(shape, dtype=torch.bool, device=flat.device)
        mask[index[0], index[1]] = True
        return scores, mask


def agreement(scores: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Return how far scores agree with their rankings, each (rankings,).

    ``accuracy`` is the share of a ranking's pairs in the right order, a tie counting half;
    ``kendall_tau`` is Kendall's tau, 2 accuracy - 1; ``margin`` is the mean gap of a pair.
    """
    both = (mask.unsqueeze(2) & mask.unsqueeze(1)).triu(diagonal=1)  # (rankings, better, worse)
    gaps = scores.unsqueeze(2) - scores.unsqueeze(1)
    pairs = both.sum(dim=(1, 2))
    accuracy = (wins(gaps) * both).sum(dim=(1, 2)) / pairs
    margin = (gaps * both).sum(dim=(1, 2)) / pairs
    return {"accuracy": accuracy, "kendall_tau": 2.0 * accuracy - 1.0, "margin": margin}
