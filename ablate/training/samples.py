"""Completions of a policy, sampled and scored once for everything that uses them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ablate.data.records import Messages
from ablate.models.loading import load_policy
from ablate.rewards.sources import RewardSource, load_reward
from ablate.spec.stages import SamplesConfig
from ablate.store.workspace import Workspace
from ablate.training.device import autocast, pick_device, record_numerics
from ablate.training.experience import Scores, score
from ablate.training.loop import write_summary
from ablate.training.rollouts import Rollouts, read_prompts

SAMPLES = "samples.jsonl"
PROMPTS_AT_ONCE = 64
"""Prompts that are sampled together."""
CHECKPOINTS = 20
"""Checkpoints of a pass over the prompts. Each holds all samples so far, so it is their number that
must be bounded, not the prompts between two of them."""


class Sample(NamedTuple):
    """One sampled completion and its score."""

    prompt: int
    """Number of its prompt, counted on in further passes; samples of one follow each other."""
    messages: Messages
    text: str
    ended: bool
    score: float


def run(workspace: Workspace) -> None:
    """Write ``samples.jsonl``: a line a completion, those of one prompt side by side."""
    config = workspace.config
    assert isinstance(config, SamplesConfig)
    device = pick_device()
    record_numerics(workspace, device, None)
    loaded = load_policy(workspace.inputs["policy"] / "model", device=device)
    reward = load_reward(workspace.inputs, RewardSource.of(config), device=device)
    prompts = read_prompts(workspace, config, loaded.boundary)
    state = workspace.load_checkpoint() or {"lines": [], "prompts": 0}
    lines: list[str] = state["lines"]
    done, total = int(state["prompts"]), len(prompts.prompts)
    saved, apart = done, max(PROMPTS_AT_ONCE, total // CHECKPOINTS)
    while not _enough(workspace, done, total):
        # Only a budget can ask for more than one pass; another step draws other completions.
        step, first = divmod(done, total)
        chosen = range(first, min(first + PROMPTS_AT_ONCE, total))
        before = reward.calls
        model, boundary = loaded.model, loaded.boundary
        with workspace.timed("rollout"), autocast(device):
            rollouts = prompts.sampled(model, boundary, config, chosen=chosen, step=step)
        with workspace.timed("scoring"), autocast(device):
            scores = score(rollouts, reward, config)
        lines += _lines(rollouts, scores, first=done)
        workspace.count(generated_tokens=rollouts.tokens, reward_calls=reward.calls - before)
        done += len(chosen)
        if done - saved >= apart and not _enough(workspace, done, total):
            workspace.save_checkpoint({"lines": lines, "prompts": done})
            saved = done
        workspace.progress(min(done, total), total)
    (workspace.output / SAMPLES).write_text("".join(lines), encoding="utf-8")
    write_summary(workspace, prompts=done, samples=len(lines))


def _enough(workspace: Workspace, done: int, total: int) -> bool:
    """Return whether every prompt has its completions, or the budget is spent."""
    config = workspace.config
    assert isinstance(config, SamplesConfig)
    if config.budget is None:
        return done >= total
    return workspace.counts.get(config.budget.unit, 0.0) >= config.budget.amount


def _lines(rollouts: Rollouts, scores: Scores, *, first: int) -> Iterator[str]:
    """Yield a batch's lines; ``first`` is the number of its first prompt."""
    final = scores.final.tolist()
    for number, response in enumerate(rollouts.responses):
        record: dict[str, Any] = {
            "prompt": first + number // rollouts.samples_per_prompt,
            "messages": [dict(message) for message in response.messages],
            "text": response.text,
            "ended": response.ended,
            "score": final[number],
        }
        yield json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"


def read_samples(folder: Path) -> list[list[Sample]]:
    """Return the samples of an artifact by prompt, in their order."""
    grouped: dict[int, list[Sample]] = {}
    with open(folder / SAMPLES, encoding="utf-8") as file:
        for line in file:
            sample = Sample(**json.loads(line))
            grouped.setdefault(sample.prompt, []).append(sample)
    return list(grouped.values())


def mean_score(groups: Sequence[Sequence[Sample]]) -> float:
    """Return the mean score of all samples, NaN without any."""
    scores = [sample.score for group in groups for sample in group]
    return sum(scores) / len(scores) if scores else float("nan")
