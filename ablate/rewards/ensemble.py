"""Several reward models as one (Coste et al. 2023, arXiv:2310.02743)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from ablate.algorithms.ensembles import ensemble_mean, uncertainty_weighted, worst_case
from ablate.rewards.responses import Response, Scorer

Rule = Literal["mean", "worst", "uncertainty"]


class Ensemble:
    """Combines its members' normalized scores, so that no member counts more for its scale."""

    def __init__(
        self, members: Sequence[Scorer], *, rule: Rule, uncertainty_coef: float = 0.5
    ) -> None:
        """Take two or more members; the coefficient weighs their variance under its rule."""
        if len(members) < 2:
            raise ValueError(f"an ensemble has two members at least, not {len(members)}")
        self.members = tuple(members)
        self.boundary = self.members[0].boundary
        self.rule, self.uncertainty_coef = rule, uncertainty_coef

    @property
    def calls(self) -> int:
        """Responses scored so far, once for each member."""
        return sum(member.calls for member in self.members)

    def member_scores(self, responses: Sequence[Response]) -> Tensor:
        """Return every member's normalized scores, shape (members, B)."""
        return torch.stack([m.normalized(m.score(responses)) for m in self.members])

    def score(self, responses: Sequence[Response]) -> Tensor:
        """Return the combined scores, shape (B,), on the members' common scale."""
        scores = self.member_scores(responses)
        if self.rule == "worst":
            return worst_case(scores)
        if self.rule == "uncertainty":
            return uncertainty_weighted(scores, variance_coef=self.uncertainty_coef)
        return ensemble_mean(scores)

    def normalized(self, raw: Tensor) -> Tensor:
        """Return the scores themselves: what they consist of was normalized."""
        return raw

    def fits(self, response: Response) -> bool:
        """Return whether a response fits into the context window of every member."""
        return all(member.fits(response) for member in self.members)
