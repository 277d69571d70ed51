"""What TRL's online trainers ask for a score: the study's own reward, on text, by our rules."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ablate.algorithms.token_rewards import end_rule
from ablate.models.boundary import Boundary
from ablate.rewards.responses import Response
from ablate.rewards.sources import RewardSource, load_reward
from ablate.spec.online import OnlineConfig
from ablate.training.backends.contract import Job


class TrlReward:
    """Scores the completions of a rollout batch and counts what it saw."""

    def __init__(self, job: Job, config: OnlineConfig, boundary: Boundary) -> None:
        """Load what the configuration names as its reward, and the prompts."""
        assert job.data.prompts is not None
        inputs = {role: Path(folder) for role, folder in job.inputs.items()}
        self.reward = load_reward(inputs, RewardSource.of(config), device=job.device)
        self.config, self.boundary = config, boundary
        lines = Path(job.data.prompts).read_text(encoding="utf-8").splitlines()
        self.prompts: list[dict[str, Any]] = [json.loads(line) for line in lines]
        self.tokens = 0
        """Completion tokens sampled, end tokens included."""
        self.calls = 0
        """Completions scored, by each model of an ensemble."""

    def score(
        self, completion_ids: Sequence[Sequence[int]], row: Sequence[int], **others: Any
    ) -> list[float]:
        """Return the score of each completion: normalized, and after the end rule."""
        responses = [
            self._response(self.prompts[i], ids) for ids, i in zip(completion_ids, row, strict=True)
        ]
        before = self.reward.calls
        raw = self.reward.score(responses).float()
        self.calls += self.reward.calls - before
        self.tokens += sum(map(len, completion_ids))
        ended = torch.tensor([response.ended for response in responses], device=raw.device)
        final = end_rule(
            self.reward.normalized(raw),
            ended,
            rule=self.config.missing_eos,
            penalty=self.config.missing_eos_score,
        )
        scores: list[float] = final.tolist()
        return scores

    def counts(self) -> dict[str, float]:
        """Return the budgets spent."""
        return {
            "generated_tokens": float(self.tokens),
            "reward_calls": float(self.calls),
            "trained_tokens": float(self.tokens),
        }

    def _response(self, prompt: dict[str, Any], ids: Sequence[int]) -> Response:
        ended = bool(ids) and ids[-1] in self.boundary.end_ids
        text = self.boundary.text(ids)
        return Response(prompt["messages"], text, ended, prompt.get("world"), prompt.get("target"))
