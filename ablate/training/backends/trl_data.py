"""The data of a job as TRL's trainers take it: our token ids, in our order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ablate.errors import StageError
from ablate.models.batching import row_lengths
from ablate.models.boundary import Boundary, Row
from ablate.spec.offline import DpoConfig, KtoConfig
from ablate.spec.online import GrpoConfig, RlooConfig
from ablate.spec.stages import RewardModelConfig, SftConfig
from ablate.spec.training import TrainingConfig
from ablate.training.backends.contract import Job
from ablate.training.backends.trl_settings import updates_per_rollout
from ablate.training.kto import crossed_row, crossings_of, kto_batches
from ablate.training.order import bucketed_batches, cycled


@dataclass(frozen=True)
class Schedule:
    """What a trainer reads, one example after the other."""

    examples: list[dict[str, Any]]
    """Every distinct example once."""
    order: list[int]
    """Positions of examples for the whole training, batch after batch."""
    steps: int
    """Optimizer steps."""
    uneven: bool = False
    """Whether some batch of the native order is smaller or larger than the others."""
    pairs: Sequence[int] = field(default=())
    """Which preference pair each example is from; empty where they are no pairs."""
    lengths: Sequence[int] = field(default=())
    """Completion tokens that each example trains on; empty for prompts."""

    @property
    def tokens(self) -> float:
        """Completion tokens of the whole training."""
        return float(sum(self.lengths[i] for i in self.order)) if self.lengths else 0.0

    def used_preferences(self, batch_size: int) -> list[float]:
        """Return how many different pairs were seen up to each step."""
        seen: set[int] = set()
        counts = []
        for step in range(self.steps):
            batch = self.order[step * batch_size : (step + 1) * batch_size]
            seen.update(self.pairs[i] for i in batch)
            counts.append(float(len(seen)))
        return counts


def schedule(job: Job, config: TrainingConfig, boundary: Boundary) -> Schedule:
    """Return the examples of a job in the order of the native loop."""
    match config:
        case SftConfig():
            return _demonstrations(_read(job.data.demonstrations), config)
        case RewardModelConfig() | DpoConfig():
            return _pairs(_read(job.data.pairs), config)
        case KtoConfig():
            return _unpaired(_read(job.data.pairs), config)
        case RlooConfig() | GrpoConfig():
            return _prompts(_read(job.data.prompts), config)
    raise TypeError(f"backend trl: {type(config).__name__} is not what it trains")


def _read(path: str | None) -> list[dict[str, Any]]:
    assert path is not None
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def _scheduled(
    examples: list[dict[str, Any]],
    batches: Sequence[Sequence[int]],
    config: TrainingConfig,
    *,
    lengths: Sequence[int],
    pairs: Sequence[int] = (),
) -> Schedule:
    order = [i for batch in batches for i in batch]
    uneven = any(len(batch) != config.batch_size for batch in batches[:-1])
    steps = -(-len(order) // config.batch_size)
    return Schedule(examples, order, steps, uneven, pairs, lengths)


def _batches(lengths: Sequence[int], config: TrainingConfig) -> list[list[int]]:
    return bucketed_batches(lengths, config.batch_size, epochs=config.epochs, seed=config.seed)


def _row(item: dict[str, Any], side: str) -> Row:
    return Row(tuple(item["prompt_ids"]), tuple(item[f"{side}_ids"]))


def _demonstrations(items: list[dict[str, Any]], config: SftConfig) -> Schedule:
    rows = [_row(item, "completion") for item in items]
    examples = [
        {
            "input_ids": [*row.prompt, *row.completion],
            "labels": [-100] * len(row.prompt) + list(row.completion),
        }
        for row in rows
    ]
    lengths = [len(row.completion) for row in rows]
    return _scheduled(examples, _batches(row_lengths(rows), config), config, lengths=lengths)


def _pairs(items: list[dict[str, Any]], config: RewardModelConfig | DpoConfig) -> Schedule:
    sides = [row_lengths([_row(item, side) for item in items]) for side in ("chosen", "rejected")]
    lengths = [max(both) for both in zip(*sides, strict=True)]
    of_policy = isinstance(config, DpoConfig)
    examples = [_compared(item) if of_policy else _ranked(item, config) for item in items]
    learned = [len(item["chosen_ids"]) + len(item["rejected_ids"]) for item in items]
    batches = _batches(lengths, config)
    return _scheduled(examples, batches, config, lengths=learned, pairs=range(len(items)))


def _compared(item: dict[str, Any]) -> dict[str, Any]:
    if "reference_chosen_logp" not in item:
        raise StageError("backend trl: dpo: the pairs have no stored reference log-probabilities.")
    return {
        **{name: item[name] for name in ("prompt_ids", "chosen_ids", "rejected_ids")},
        "ref_chosen_logps": item["reference_chosen_logp"],
        "ref_rejected_logps": item["reference_rejected_logp"],
    }


def _ranked(item: dict[str, Any], config: TrainingConfig) -> dict[str, Any]:
    assert isinstance(config, RewardModelConfig)
    made: dict[str, Any] = {
        f"{side}_ids": item["prompt_ids"] + item[f"{side}_ids"] for side in ("chosen", "rejected")
    }
    return {**made, "margin": config.margin} if config.margin else made


def _unpaired(items: list[dict[str, Any]], config: KtoConfig) -> Schedule:
    """Each example is laid out once per use, because its mismatched completion differs."""
    rows = [_row(item, side) for side in ("chosen", "rejected") for item in items]
    batches = kto_batches(rows, config)
    examples: list[dict[str, Any]] = []
    for batch in batches:
        for crossing in crossings_of(rows, batch):
            row, crossed = rows[crossing[0]], crossed_row(rows, crossing)
            examples.append(
                {
                    "prompt_ids": list(row.prompt),
                    "completion_ids": list(row.completion),
                    "KL_completion_ids": list(crossed.completion),
                    "label": crossing[0] < len(items),
                }
            )
    pairs = [i % len(items) for batch in batches for i in batch]
    lengths = [len(example["completion_ids"]) for example in examples]
    laid = _scheduled(examples, batches, config, lengths=lengths, pairs=pairs)
    return replace(laid, order=list(range(len(examples))))


def _prompts(items: list[dict[str, Any]], config: RlooConfig | GrpoConfig) -> Schedule:
    per_step = config.rollouts_per_step // config.samples_per_prompt
    rollouts = config.steps or config.epochs * max(len(items) // per_step, 1)
    order = cycled(len(items), 0, rollouts * per_step, seed=config.seed)
    examples = [{"prompt": item["messages"], "row": i} for i, item in enumerate(items)]
    return Schedule(examples, order, rollouts * updates_per_rollout(config))
