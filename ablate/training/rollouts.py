"""Prompts of a policy stage, and the completions that the policy samples for them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ablate.data.prompts import prompts_of
from ablate.data.records import Prompt
from ablate.data.stored import stored_judgements
from ablate.models.boundary import Boundary, Messages, Row
from ablate.models.sampling import Request, SamplingParams, sample
from ablate.models.token_store import StoredPrompts
from ablate.models.tokenizing import prompt_table
from ablate.rewards.responses import Response
from ablate.spec.online import OnlineConfig
from ablate.spec.stages import SamplesConfig
from ablate.store.workspace import Workspace
from ablate.training.examples import count_kept
from ablate.training.order import cycled
from ablate.training.streams import derived_seed, permutation

DATASET = "dataset"
"""The prompt set that is the prompts of the cell's preference data."""

SamplingConfig = OnlineConfig | SamplesConfig


@dataclass(frozen=True)
class Rollouts:
    """B completions, those of one prompt side by side; T is the longest completion."""

    rows: list[Row]
    responses: list[Response]
    worlds: list[str | None]
    """Where each prompt's gold reward comes from."""
    ended: Tensor  # (B,) true where an end token came
    logprobs: Tensor  # (B, T) of the sampler, 0 where padded
    mask: Tensor  # (B, T) 1.0 on completion tokens
    samples_per_prompt: int = 1

    @property
    def prompts(self) -> int:
        """Groups of completions of one prompt."""
        return len(self.rows) // self.samples_per_prompt

    def grouped(self, values: Tensor) -> Tensor:
        """Return one number a completion, (B,), as (prompts, samples)."""
        return values.reshape(self.prompts, self.samples_per_prompt)

    @property
    def tokens(self) -> int:
        """Completion tokens, end tokens included."""
        return int(self.mask.sum())


class PromptSet:
    """Prompts with their token ids, in an endless seeded shuffle."""

    def __init__(self, prompts: Sequence[Prompt], ids: Sequence[tuple[int, ...]]) -> None:
        """Keep prompts beside their token ids."""
        self.prompts, self.ids = prompts, ids

    def collect(
        self, model: nn.Module, boundary: Boundary, config: OnlineConfig, *, step: int
    ) -> Rollouts:
        """Sample the completions of a step.

        A prompt that comes up twice in one step, because the set is small, gets other sample
        numbers and so other completions.
        """
        count = config.rollouts_per_step // config.samples_per_prompt
        chosen = cycled(len(self.prompts), step * count, count, seed=config.seed)
        return self.sampled(model, boundary, config, chosen=chosen, step=step)

    def sampled(
        self,
        model: nn.Module,
        boundary: Boundary,
        config: SamplingConfig,
        *,
        chosen: Sequence[int],
        step: int,
        before: Sequence[int] = (),
    ) -> Rollouts:
        """Sample ``samples_per_prompt`` completions of each chosen prompt.

        ``before`` names the prompt of every completion that this step has sampled already.
        """
        seen = Counter(self.ids[index] for index in before)
        requests: list[Request] = []
        owners = [index for index in chosen for _ in range(config.samples_per_prompt)]
        for index in owners:
            requests.append(Request(self.ids[index], sample=seen[self.ids[index]]))
            seen[self.ids[index]] += 1
        params = SamplingParams(
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            seed=derived_seed(config.seed, "rollouts"),
            step=step,
            logprob_temperature=logprob_temperature(config),
        )
        completions = sample(model, boundary, requests, params)
        lengths = torch.tensor([len(completion.tokens) for completion in completions])
        return Rollouts(
            rows=[Row(r.prompt, c.tokens) for r, c in zip(requests, completions, strict=True)],
            responses=[
                Response.to(self.prompts[i], boundary.text(c.tokens), ended=c.ended)
                for i, c in zip(owners, completions, strict=True)
            ],
            worlds=[self.prompts[i].world for i in owners],
            ended=torch.tensor([completion.ended for completion in completions]),
            logprobs=torch.nn.utils.rnn.pad_sequence(
                [completion.logprobs for completion in completions], batch_first=True
            ),
            mask=(torch.arange(int(lengths.max())) < lengths.unsqueeze(1)).float(),
            samples_per_prompt=config.samples_per_prompt,
        )


def logprob_temperature(config: SamplingConfig) -> float:
    """Return what logits are divided by in every log-probability of the stage."""
    own = config.logprob_temperature if isinstance(config, OnlineConfig) else None
    return config.temperature if own is None else own


def read_prompts(workspace: Workspace, config: SamplingConfig, boundary: Boundary) -> PromptSet:
    """Return the stage's prompts, without those that are too long, which are counted."""
    prompts = _all_prompts(workspace, config)
    table = prompt_table(boundary, (prompt.messages for prompt in prompts))
    limit = min(config.max_prompt_length, config.max_length)
    kept = np.flatnonzero(table.lengths("prompt") <= limit)
    count_kept(workspace, "prompts", kept=len(kept), total=len(prompts))
    return PromptSet([prompts[i] for i in kept], StoredPrompts(table, kept))


def _all_prompts(workspace: Workspace, config: SamplingConfig) -> list[Prompt]:
    size = config.prompts_examples
    if config.prompts != DATASET:
        return prompts_of(workspace.inputs, config)
    pairs = stored_judgements(workspace.inputs["preferences"])
    # Several pairs may share a prompt; it is one prompt, with the id of the last of them.
    rows = list({_key(pair.prompt): row for row, pair in enumerate(pairs)}.values())
    if size is not None and size < len(rows):
        chosen = permutation(len(rows), config.seed, "subsample")[:size]
        rows = [rows[i] for i in sorted(chosen)]
    wanted = set(rows)
    found = {
        row: Prompt(pair.id, pair.prompt, pair.category, pair.world)
        for row, pair in enumerate(pairs)
        if row in wanted
    }
    return [found[row] for row in rows]


def _key(prompt: Messages) -> bytes:
    text = repr([dict(message) for message in prompt])
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
