"""Preference pairs whose labels are made in the study, of the data set's replies or of samples."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ablate.algorithms.token_rewards import end_rule
from ablate.data.artifacts import read_items
from ablate.data.records import Pair, Prompt
from ablate.data.shaping.items import as_prompt
from ablate.data.stored import Stored, stored_pairs
from ablate.errors import StageError
from ablate.models.boundary import Row
from ablate.models.loading import LoadedModel, load_policy
from ablate.models.logprobs import completion_logprobs
from ablate.rewards.responses import Response, Scorer
from ablate.rewards.sources import RewardSource, load_reward
from ablate.spec.data import OWN_LABELS, LabelsConfig
from ablate.spec.stages import SamplesConfig
from ablate.store.workspace import Workspace
from ablate.training.device import autocast, pick_device, record_numerics
from ablate.training.labelled import Compared, Tally, best_and_worst, write_labelled
from ablate.training.order import chunks
from ablate.training.rollouts import PromptSet
from ablate.training.samples import CHECKPOINTS, PROMPTS_AT_ONCE

PAIRS_AT_ONCE = 128
"""Pairs that are scored together, which decides a scorer's batches and so its rounding."""
Scored = tuple[str, float, float]
"""Why a pair is dropped, if it is, and the scores of its chosen and its rejected reply."""


def run(workspace: Workspace) -> None:
    """Write a preference artifact: ``pairs.jsonl``, ``dropped.jsonl`` and ``summary.json``.

    A pair's scores are the scorer's, on the scale that reinforcement learning uses, and its margin
    is their difference. Raises StageError (``bad_data``) where no pair is left.
    """
    config = workspace.config
    assert isinstance(config, LabelsConfig)
    if config.reward == OWN_LABELS:
        raise ValueError("labels: the data set's own labels need no stage")
    device = pick_device()
    record_numerics(workspace, device, None)
    loaded = load_policy(workspace.inputs["policy"] / "model", device=device)
    reward = load_reward(workspace.inputs, RewardSource.of(config), device=device)
    labeller = _Labeller(workspace, config, loaded, reward, device)
    label = _on_policy if config.generations == "on_policy" else _off_policy
    rows, tally = label(labeller)
    write_labelled(workspace, rows, tally)


@dataclass(frozen=True)
class _Labeller:
    """What scores replies, and the policy that samples them or tells how stale they are."""

    workspace: Workspace
    config: LabelsConfig
    loaded: LoadedModel
    reward: Scorer
    device: str

    def scores(self, responses: Sequence[Response]) -> list[float]:
        """Return normalized scores after the rule for missing ends, (B,).

        Raises StageError (``bad_data``) for one that is not finite: it would order nothing.
        """
        if not responses:
            return []
        before = self.reward.calls
        with self.workspace.timed("scoring"), autocast(self.device):
            raw = self.reward.normalized(self.reward.score(responses).float()).cpu()
        self.workspace.count(reward_calls=self.reward.calls - before)
        if found := int((~raw.isfinite()).sum()):
            raise StageError(
                f"labels: {found} of {len(raw)} replies got a score that is not finite; numbers"
                f" that are order replies. Look at the reward {self.config.reward!r}.",
                kind="bad_data",
            )
        ended = torch.tensor([response.ended for response in responses])
        rule, penalty = self.config.missing_eos, self.config.missing_eos_score
        scores: list[float] = end_rule(raw, ended, rule=rule, penalty=penalty).tolist()
        return scores

    def logps(self, rows: Sequence[Row]) -> list[float]:
        """Return each completion's log-probability under the sampling policy, in nats, (B,)."""
        if not rows:
            return []
        with self.workspace.timed("scoring"), autocast(self.device):
            scored = completion_logprobs(
                self.loaded.model, rows, temperature=self.config.temperature, grad=False
            )
        sums: list[float] = scored.logprobs.sum(dim=1).tolist()
        return sums

    def too_long(self, responses: Sequence[Response], rows: Sequence[Row]) -> str:
        """Return why replies to one prompt cannot be compared, or an empty string."""
        prompt, longest = len(rows[0].prompt), max(len(row.completion) for row in rows)
        if prompt > self.config.max_prompt_length:
            return "long_prompt"
        if prompt + longest > self.config.max_length:
            return "long"
        return "" if all(map(self.reward.fits, responses)) else "over_window"


def _off_policy(labeller: _Labeller) -> tuple[Iterator[tuple[Pair, Compared]], Tally]:
    """Score both replies of every pair; return the rows as they are to be written, and the tally.

    The pairs are read twice and never held.
    """
    workspace = labeller.workspace
    pairs = _own_pairs(workspace.inputs["preferences"])
    total = len(pairs)
    state = workspace.load_checkpoint() or {"found": [], "tally": vars(Tally())}
    found: list[Scored] = state["found"]
    tally = Tally(**state["tally"])
    saved, apart = len(found), max(PAIRS_AT_ONCE, total // CHECKPOINTS)
    remaining = itertools.islice(pairs, len(found), None)
    while some := list(itertools.islice(remaining, PAIRS_AT_ONCE)):
        found += _scored(labeller, some, tally)
        if len(found) - saved >= apart and len(found) < total:
            workspace.save_checkpoint({"found": found, "tally": vars(tally)})
            saved = len(found)
        workspace.progress(len(found), total)
    verdicts = zip(pairs, found, strict=True)
    return ((pair, _ordered(pair, *scored)) for pair, scored in verdicts), tally


def _own_pairs(folder: Path) -> Stored[Pair]:
    """Return the data set's pairs; raise StageError (``bad_data``) where it has none."""
    pairs = stored_pairs(folder)
    if pairs.size:
        return pairs
    raise StageError(
        "labels: the data set has no pairs, and only pairs can be labelled anew. Use data of pairs,"
        " or set labels.generations: on_policy.",
        kind="bad_data",
    )


def _scored(labeller: _Labeller, pairs: Sequence[Pair], tally: Tally) -> list[Scored]:
    """Return what was found of some pairs, which are counted."""
    boundary = labeller.loaded.boundary
    rows, responses = [], []
    for pair in pairs:
        prompt, sides = boundary.prompt_ids(pair.prompt), (pair.chosen, pair.rejected)
        rows.append([Row(prompt, boundary.completion_ids(text)) for text in sides])
        asked = Prompt(pair.id, pair.prompt, world=pair.world)
        responses.append([Response.to(asked, text, ended=True) for text in sides])
    found = [(labeller.too_long(*both), 0.0, 0.0) for both in zip(responses, rows, strict=True)]
    kept = [i for i, (reason, _, _) in enumerate(found) if not reason]
    labeller.workspace.count(dropped_long=len(pairs) - len(kept))
    scores = chunks(labeller.scores([response for i in kept for response in responses[i]]), 2)
    logps = chunks(labeller.logps([row for i in kept for row in rows[i]]), 2)
    for i, (own, other), both in zip(kept, scores, logps, strict=True):
        found[i] = ("", own, other)
        tally.add((own, other), both, rows[i])
    return found


def _ordered(pair: Pair, dropped: str, own: float, other: float) -> Compared:
    """Return a pair's replies in the scorer's order; among equals the data set's order stays."""
    if dropped:
        return Compared(dropped=dropped)
    if other > own:
        return Compared(pair.rejected, pair.chosen, other, own)
    return Compared(pair.chosen, pair.rejected, own, other)


def _on_policy(labeller: _Labeller) -> tuple[Iterator[tuple[Pair, Compared]], Tally]:
    """Sample replies to every distinct prompt; return its best and worst, and the tally."""
    workspace, boundary = labeller.workspace, labeller.loaded.boundary
    prompts = _distinct_prompts(workspace)
    ids = [boundary.prompt_ids(prompt.messages) for prompt in prompts]
    limit = min(labeller.config.max_prompt_length, labeller.config.max_length)
    asked = [i for i, tokens in enumerate(ids) if len(tokens) <= limit]
    table = PromptSet([prompts[i] for i in asked], [ids[i] for i in asked])
    state = workspace.load_checkpoint() or {"found": [], "tally": vars(Tally())}
    found = [Compared(*values) for values in state["found"]]
    tally = Tally(**state["tally"])
    saved, apart = len(found), max(PROMPTS_AT_ONCE, len(asked) // CHECKPOINTS)
    while len(found) < len(asked):
        some = range(len(found), min(len(found) + PROMPTS_AT_ONCE, len(asked)))
        found += _sampled(labeller, table, some, tally)
        if len(found) - saved >= apart and len(found) < len(asked):
            held = [tuple(compared) for compared in found]
            workspace.save_checkpoint({"found": held, "tally": vars(tally)})
            saved = len(found)
        workspace.progress(len(found), len(asked))
    workspace.count(dropped_long=len(prompts) - len(asked))
    compared = dict(zip(asked, found, strict=True))
    long = Compared(dropped="long_prompt")
    return ((_row(prompt), compared.get(i, long)) for i, prompt in enumerate(prompts)), tally


def _sampled(
    labeller: _Labeller, table: PromptSet, some: Sequence[int], tally: Tally
) -> list[Compared]:
    """Return the best against the worst sample of some prompts; their pairs are counted."""
    workspace, loaded = labeller.workspace, labeller.loaded
    with workspace.timed("rollout"), autocast(labeller.device):
        asked = _sampling(labeller.config)
        rollouts = table.sampled(loaded.model, loaded.boundary, asked, chosen=some, step=0)
    workspace.count(generated_tokens=rollouts.tokens)
    size = labeller.config.samples_per_prompt
    rows = chunks(rollouts.rows, size)
    responses = chunks(rollouts.responses, size)
    logps = chunks(rollouts.logprobs.sum(dim=1).tolist(), size)
    reasons = [labeller.too_long(*group) for group in zip(responses, rows, strict=True)]
    kept = [i for i, reason in enumerate(reasons) if not reason]
    workspace.count(dropped_long=len(reasons) - len(kept))
    found = [Compared(dropped=reason) for reason in reasons]
    scores = chunks(labeller.scores([response for i in kept for response in responses[i]]), size)
    for i, of_group in zip(kept, scores, strict=True):
        picked = best_and_worst(responses[i], of_group)
        if isinstance(picked, str):
            found[i] = Compared(dropped=picked)
            continue
        high, low = (of_group[k] for k in picked)
        chosen, rejected = (responses[i][k] for k in picked)
        found[i] = Compared(chosen.text, rejected.text, high, low)
        tally.add((high, low), [logps[i][k] for k in picked], [rows[i][k] for k in picked])
        tally.rejected_cut += not rejected.ended
    return found


def _sampling(config: LabelsConfig) -> SamplesConfig:
    """Return what is sampled, as the stage of samples says it."""
    return SamplesConfig(
        samples_per_prompt=config.samples_per_prompt,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        seed=config.seed,
    )


def _distinct_prompts(workspace: Workspace) -> list[Prompt]:
    """Return the prompts of whatever the data set says, each once, as its first row has it."""
    found: dict[str, Prompt] = {}
    for item in read_items(workspace.inputs["preferences"]):
        prompt = as_prompt(item)
        found.setdefault(repr([dict(message) for message in prompt.messages]), prompt)
    return list(found.values())


def _row(prompt: Prompt) -> Pair:
    """Return the row of a prompt, its replies yet to be filled in."""
    return Pair(
        prompt.id,
        prompt.messages,
        chosen="",
        rejected="",
        category=prompt.category,
        world=prompt.world,
        source=prompt.source,
    )
