"""KTO: desirable and undesirable examples, and a baseline from completions of other prompts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from ablate.algorithms.bradley_terry import wins
from ablate.algorithms.kto import kl_baseline, kto_loss, mismatched
from ablate.errors import StageError
from ablate.models.boundary import Row
from ablate.models.loading import load_policy
from ablate.models.logprobs import completion_logprobs
from ablate.models.ranks import world_size
from ablate.models.token_store import Numbers, StoredRows, joined, lengths_of
from ablate.spec.offline import KtoConfig
from ablate.store.workspace import Workspace
from ablate.training.kto_examples import read_examples
from ablate.training.learner import Share
from ablate.training.offline import OfflineStart
from ablate.training.order import bucketed_batches
from ablate.training.reference import frozen_sums
from ablate.training.trainable import Trainable

CACHE = "kto_reference.safetensors"
Crossing = tuple[int, int]
"""An example's prompt and the other example whose completion is put under it."""


class KtoStep(NamedTuple):
    """What the micro-batches of an optimizer step share."""

    examples: int
    desirable: int
    undesirable: int
    baseline: Tensor
    """The reference point in nats, a scalar without gradient."""


@dataclass(frozen=True)
class KtoReference:
    """Log-probabilities under the frozen reference, in nats."""

    own: Tensor
    """Of every example's completion, (examples,), fp32 on CPU."""
    crossed: Mapping[Crossing, float]
    """Of the mismatched completions of the whole schedule that fit."""


class CrossedSums(Mapping[Crossing, float]):
    """A number for each of many crossings, in flat arrays."""

    def __init__(self, keys: Numbers, sums: Tensor, *, rows: int) -> None:
        """Keep sums, (crossings,), by `crossing_keys` in ascending order."""
        self._keys, self._sums, self._rows = keys, sums, rows

    def __getitem__(self, crossing: Crossing) -> float:
        """Return the number of a crossing."""
        key = crossing[0] * self._rows + crossing[1]
        place = int(np.searchsorted(self._keys, key))
        if place == len(self._keys) or self._keys[place] != key:
            raise KeyError(crossing)
        return float(self._sums[place])

    def __iter__(self) -> Iterator[Crossing]:
        """Yield every crossing."""
        return (divmod(key, self._rows) for key in self._keys.tolist())

    def __len__(self) -> int:
        """Return the crossings."""
        return len(self._keys)


class KtoObjective:
    """The mean KTO loss of an optimizer step's examples."""

    def __init__(
        self,
        model: Any,
        rows: Sequence[Row],
        reference: KtoReference,
        config: KtoConfig,
        *,
        desirable: Tensor | None = None,
    ) -> None:
        """Train ``model`` on rows, some of them ``desirable``, (rows,).

        Without that they are n pairs: the chosen ones, then the rejected ones.
        """
        self.model, self.rows, self.reference, self.config = model, rows, reference, config
        halves = torch.arange(len(rows)) < len(rows) // 2
        self.desirable = halves if desirable is None else desirable

    def tokens(self, batch: Sequence[int]) -> int:
        """Return the completion tokens that are learned from."""
        return sum(len(self.rows[i].completion) for i in batch)

    def weight(self, batch: Sequence[int]) -> KtoStep:
        """Return the step's counts, and its baseline under the weights it starts with."""
        desirable = sum(self._desirable(batch).tolist())
        crossings = [c for c in crossings_of(self.rows, batch) if c in self.reference.crossed]
        baseline = torch.zeros(())
        if crossings:
            rows = [crossed_row(self.rows, crossing) for crossing in crossings]
            scored = completion_logprobs(
                self.model, rows, grad=False, micro_batch=self.config.micro_batch_size
            )
            sums = scored.logprobs.sum(dim=1)
            frozen = torch.tensor([self.reference.crossed[c] for c in crossings]).to(sums)
            baseline = kl_baseline(sums - frozen)
        return KtoStep(len(batch), desirable, len(batch) - desirable, baseline)

    def share(self, micro: Sequence[int], weight: KtoStep) -> Share:
        """Return some examples' part of the mean loss and metrics."""
        scored = completion_logprobs(self.model, [self.rows[i] for i in micro], grad=True)
        policy = scored.logprobs.sum(dim=1)
        logratios = policy - self.reference.own[list(micro)].to(policy)
        desirable = self._desirable(micro).to(policy.device)
        losses = self._losses(logratios, desirable, weight.baseline)
        each = {
            "reward": self.config.beta * logratios,
            "logp": policy,
            "length": scored.mask.sum(dim=1),
        }
        metrics: dict[str, Tensor] = {}
        for name, values in each.items():
            metrics[f"{name}_chosen"] = values[desirable].sum() / weight.desirable
            metrics[f"{name}_rejected"] = values[~desirable].sum() / weight.undesirable
        metrics["reward_margin"] = metrics["reward_chosen"] - metrics["reward_rejected"]
        gain = torch.where(desirable, logratios, -logratios) + torch.where(
            desirable, -weight.baseline, weight.baseline
        )
        metrics["accuracy"] = wins(gain).sum() / weight.examples
        pulls = self._pulls(logratios, desirable, weight.baseline)
        metrics["gradient_weight"] = pulls.sum() / weight.examples
        metrics["kl_baseline"] = weight.baseline * (len(micro) / weight.examples)
        loss = losses.sum() / weight.examples
        return Share(loss, {name: value.detach() for name, value in metrics.items()})

    def _desirable(self, examples: Sequence[int]) -> Tensor:
        return self.desirable[list(examples)]

    def _losses(self, logratios: Tensor, desirable: Tensor, baseline: Tensor) -> Tensor:
        return kto_loss(
            logratios,
            desirable,
            baseline=baseline,
            beta=self.config.beta,
            desirable_weight=self.config.desirable_weight,
            undesirable_weight=self.config.undesirable_weight,
        )

    def _pulls(self, logratios: Tensor, desirable: Tensor, baseline: Tensor) -> Tensor:
        """Return the size of each loss's slope in its reward, (B,)."""
        leaf = logratios.detach().requires_grad_()
        with torch.enable_grad():
            total = self._losses(leaf, desirable, baseline).sum()
            (slopes,) = torch.autograd.grad(total, leaf)
        return slopes.abs() / self.config.beta


def run_kto(workspace: Workspace, config: KtoConfig) -> None:
    """Train the ``policy`` input on the thumbs of the ``preferences`` input, or on its pairs.

    The reference is the ``reference_policy`` input where there is one, else the policy itself
    before its first step. It is gone before training starts.
    """
    start = OfflineStart.read(workspace, config)
    examples = read_examples(start, config)
    rows = examples.rows
    batches = kto_batches(rows, config)
    reference = kto_reference(start, rows, batches)
    trainable = Trainable.of(start.loaded, config)
    objective = KtoObjective(trainable.model, rows, reference, config, desirable=examples.desirable)
    start.fit(trainable, objective, batches, examples.labels)


def kto_batches(rows: Sequence[Row], config: KtoConfig) -> list[list[int]]:
    """Return the examples of every optimizer step; in each, two prompts at least.

    A batch of one prompt, such as the last example of an epoch, has nothing to mismatch. It is
    joined to the batch before it, or the first one to the batch after it. Raises StageError
    (``bad_data``) where all examples have one prompt.
    """
    if all(row.prompt == rows[0].prompt for row in rows):
        raise StageError(
            f"kto: {len(rows)} examples of one prompt; the KL baseline needs completions of other"
            " prompts. Use data with more prompts.",
            kind="bad_data",
        )
    made: list[list[int]] = []
    cut = bucketed_batches(
        lengths_of(rows), config.batch_size, epochs=config.epochs, seed=config.seed
    )
    for batch in cut:
        lonely = len({rows[i].prompt for i in batch}) < 2
        if made and (lonely or len({rows[i].prompt for i in made[-1]}) < 2):
            made[-1] = made[-1] + batch
        else:
            made.append(batch)
    return made


def crossings_of(rows: Sequence[Row], batch: Sequence[int]) -> list[Crossing]:
    """Return, for each example of a batch, its prompt's and its mismatched completion's number."""
    others = mismatched([rows[i].prompt for i in batch])
    return [(i, batch[other]) for i, other in zip(batch, others, strict=True)]


def crossed_row(rows: Sequence[Row], crossing: Crossing) -> Row:
    """Return the prompt of one example with the completion of the other."""
    prompt, completion = crossing
    return Row(rows[prompt].prompt, rows[completion].completion)


def kto_reference(
    start: OfflineStart, rows: Sequence[Row], batches: Sequence[Sequence[int]]
) -> KtoReference:
    """Score all completions that the schedule needs under the reference, once for all attempts.

    A mismatched completion that does not fit under its prompt in ``max_length`` is left out of the
    baseline.
    """
    keys = crossing_keys(rows, batches)
    keys = keys[lengths_of(_crossed_rows(rows, keys)) <= start.config.max_length]
    scored = _scores(start, joined(rows, _crossed_rows(rows, keys)))
    sums = CrossedSums(keys, scored[len(rows) :], rows=len(rows))
    return KtoReference(scored[: len(rows)], sums)


def crossing_keys(rows: Sequence[Row], batches: Sequence[Sequence[int]]) -> Numbers:
    """Return each different crossing of a schedule as ``prompt * rows + completion``, ascending."""
    made = (
        np.array(crossings_of(rows, batch), dtype=np.int64) @ np.array([len(rows), 1])
        for batch in batches
    )
    return np.unique(np.concatenate([*made]))


def _crossed_rows(rows: Sequence[Row], keys: Numbers) -> Sequence[Row]:
    prompts, completions = np.divmod(keys, len(rows))
    if isinstance(rows, StoredRows):
        return rows.crossed(prompts, completions)
    crossings = zip(prompts.tolist(), completions.tolist(), strict=True)
    return [crossed_row(rows, crossing) for crossing in crossings]


def _scores(start: OfflineStart, rows: Sequence[Row]) -> Tensor:
    workspace = start.workspace
    cache = workspace.scratch / CACHE
    # Several ranks score together, so none may find a file that the others lack.
    kept = world_size() == 1
    if kept and cache.exists():
        stored: Tensor = safetensors.torch.load_file(cache)["sums"]
        return stored
    model = start.loaded.model
    other = workspace.inputs.get("reference_policy")
    if other is not None or world_size() > 1:
        # Over several ranks a model is spread at its first pass; adapters must come before that.
        folder = other or workspace.inputs["policy"]
        model = load_policy(folder / "model", device=start.device).model
    sums = frozen_sums(workspace, model, rows, device=start.device)
    if kept:
        partial = cache.with_suffix(".partial")
        safetensors.torch.save_file({"sums": sums}, partial)
        partial.replace(cache)
    return sums
