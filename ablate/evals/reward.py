"""The reward evaluation stage: does a reward prefer what it should?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import numpy as np

from ablate.data import tiny
from ablate.data.gold import gold_scorer
from ablate.data.preferences import load_evaluation_pairs
from ablate.data.records import Document, Pair
from ablate.data.stored import stored_pairs
from ablate.evals.adapter import available_device
from ablate.evals.best_of import Array, best_of_n, powers_of_two
from ablate.evals.real_chat import win
from ablate.evals.records import (
    SAMPLES,
    Metric,
    content_hash,
    readable,
    write_lines,
    write_scores,
)
from ablate.evals.tree import Level, mean
from ablate.models.boundary import Boundary
from ablate.models.loading import LoadedModel, load_policy
from ablate.models.sampling import Request, SamplingParams, sample
from ablate.rewards.responses import Response, Scorer
from ablate.rewards.sources import RewardSource, load_reward
from ablate.spec.shaping import Origin
from ablate.spec.stages import RewardEvaluationConfig
from ablate.store.workspace import Workspace

BEST_OF = "best_of.jsonl"


@dataclass(frozen=True)
class ScoredPair:
    """A pair with the reward's raw scores, which have no common unit and no zero."""

    kind: str
    """``ordinary`` or ``hard``."""
    pair: Pair
    chosen_score: float
    rejected_score: float
    chosen_tokens: int
    rejected_tokens: int
    """Lengths with the end token."""

    @property
    def accuracy(self) -> float:
        """1 where the chosen reply scores higher, 1/2 on a tie, NaN where a score is not finite."""
        return win(self.chosen_score - self.rejected_score)


def run(workspace: Workspace) -> None:
    """Evaluate what scores, whatever it is, and best-of-N on samples of the ``policy`` input.

    Writes ``scores.json``, ``samples.jsonl`` with a line per pair, and, where a gold reward exists,
    ``best_of.jsonl`` with a line per prompt.
    """
    config = workspace.config
    assert isinstance(config, RewardEvaluationConfig)
    reward = load_reward(workspace.inputs, RewardSource.of(config), device=available_device())
    boundary = reward.boundary or _policy(workspace).boundary
    with workspace.timed("scoring"):
        kinds = _pairs(config, workspace.inputs)
        outputs = [
            out
            for kind, pairs in kinds.items()
            for out in score_pairs(reward, pairs, kind=kind, boundary=boundary)
        ]
    asked = sum(len(pairs) for pairs in kinds.values())
    workspace.count(dropped_long=asked - len(outputs))
    workspace.progress(1, 2)
    write_lines(workspace.output / SAMPLES, (_line(out) for out in outputs))
    metrics = list(pair_metrics(outputs))
    world = kinds["ordinary"][0].world if kinds["ordinary"] else None
    if world is not None and config.best_of_prompts:
        samples = _best_of_samples(
            workspace, reward, prompts=best_of_prompts(config.best_of_prompts)
        )
        write_lines(workspace.output / BEST_OF, samples.lines())
        metrics += best_of_metrics(samples.scores, samples.gold)
    write_scores(workspace.output, metrics, suite=config.dataset)
    workspace.count(reward_calls=reward.calls)
    workspace.progress(2, 2)


def _policy(workspace: Workspace) -> LoadedModel:
    return load_policy(workspace.inputs["policy"] / "model", device=available_device())


def _pairs(config: RewardEvaluationConfig, inputs: Mapping[str, Path]) -> dict[str, list[Pair]]:
    if config.dataset == "dataset":
        pairs = stored_pairs(inputs["preferences"])
        return {"ordinary": list(islice(pairs, config.examples))}
    origin = Origin(dataset=config.dataset, content=config.content, location=config.location)
    return load_evaluation_pairs(
        origin, examples=config.examples, seed=config.seed, shaping=config.shaping
    )


def score_pairs(
    reward: Scorer, pairs: Sequence[Pair], *, kind: str, boundary: Boundary
) -> list[ScoredPair]:
    """Score both replies of every pair that the reward can read.

    ``boundary`` measures the replies' lengths, in tokens with the end token.
    """
    responses: list[Response] = []
    kept: list[Pair] = []
    for pair in pairs:
        both = [Response(pair.prompt, t, True, pair.world) for t in (pair.chosen, pair.rejected)]
        if all(reward.fits(response) for response in both):
            kept.append(pair)
            responses += both
    scores = _raw_scores(reward, responses)
    lengths = [len(boundary.completion_ids(response.text)) for response in responses]
    columns = zip(scores[::2], scores[1::2], lengths[::2], lengths[1::2], strict=True)
    return [ScoredPair(kind, pair, *row) for pair, row in zip(kept, columns, strict=True)]


def _raw_scores(reward: Scorer, responses: Sequence[Response]) -> list[float]:
    """Score each distinct reply once: of many samples of one prompt, many are equal."""
    distinct = {response.key: response for response in responses}
    scores = reward.score(list(distinct.values())).tolist() if distinct else []
    by_key = dict(zip(distinct, scores, strict=True))
    return [by_key[response.key] for response in responses]


def pair_metrics(outputs: Sequence[ScoredPair]) -> Iterator[Metric]:
    """Yield accuracy in percent of each kind and category, and the bias towards length."""
    for kind in ("ordinary", "hard"):
        name = "accuracy" if kind == "ordinary" else f"accuracy_{kind}"
        of_kind = [out for out in outputs if out.kind == kind]
        if of_kind or kind == "ordinary":
            yield _accuracy(name, of_kind, level="task")
        categories = dict.fromkeys(out.pair.category for out in of_kind)
        for category in (found for found in categories if found is not None):
            chosen = [out for out in of_kind if out.pair.category == category]
            yield _accuracy(f"{name}_{category}", chosen, level="category")
    ordinary = [out for out in outputs if out.kind == "ordinary"]
    value = length_correlation(ordinary)
    yield Metric(
        "score_length_correlation", "diagnostic", value, len(ordinary), "none", "correlation"
    )
    broken = sum(math.isnan(out.accuracy) for out in outputs)
    yield Metric("nonfinite", "diagnostic", float(broken), len(outputs), "lower", "count")


def _accuracy(name: str, outputs: Sequence[ScoredPair], *, level: Level) -> Metric:
    value = 100.0 * mean(out.accuracy for out in outputs)
    return Metric(name, level, value, len(outputs), "higher", "percent")


def length_correlation(outputs: Sequence[ScoredPair]) -> float:
    """Return Pearson's correlation of raw score and length in tokens over all replies.

    NaN where it is undefined: under two replies, no spread, or a score that is not finite.
    """
    scores = [score for out in outputs for score in (out.chosen_score, out.rejected_score)]
    tokens = [float(n) for out in outputs for n in (out.chosen_tokens, out.rejected_tokens)]
    if len(scores) < 2 or not np.isfinite(scores).all() or not np.std(scores) * np.std(tokens):
        return math.nan
    return float(np.corrcoef(scores, tokens)[0, 1])


@dataclass(frozen=True)
class BestOfSamples:
    """Samples of every prompt with both rewards."""

    prompts: Sequence[Document]
    scores: Array
    """Raw scores of what is evaluated, shape (P, S)."""
    gold: Array
    """Gold rewards, shape (P, S)."""

    def lines(self) -> Iterator[dict[str, object]]:
        """Yield one record per prompt, so that best-of-N can be computed again without a model."""
        for prompt, scores, gold in zip(self.prompts, self.scores, self.gold, strict=True):
            yield {
                "doc_id": prompt.id,
                "category": prompt.category,
                "scores": scores.tolist(),
                "gold": gold.tolist(),
            }


def best_of_prompts(number: int) -> list[Document]:
    """Return test prompts, the categories in turn."""
    documents = tiny.documents("test")
    by_category = [list(group) for _, group in groupby(documents, lambda doc: doc.category)]
    in_turn = [document for row in zip(*by_category, strict=True) for document in row]
    return in_turn[:number]


def _best_of_samples(
    workspace: Workspace, reward: Scorer, *, prompts: Sequence[Document]
) -> BestOfSamples:
    """Sample ``best_of`` replies of the policy to each prompt and score them both ways."""
    config = workspace.config
    assert isinstance(config, RewardEvaluationConfig)
    policy = _policy(workspace)
    ids = [policy.boundary.prompt_ids(prompt.messages) for prompt in prompts]
    requests = [Request(prompt, n) for prompt in ids for n in range(config.best_of)]
    params = SamplingParams(config.max_new_tokens, temperature=1.0, seed=config.seed)
    with workspace.timed("rollout"):
        outputs = sample(policy.model, policy.boundary, requests, params)
    workspace.count(generated_tokens=sum(len(output.tokens) for output in outputs))
    asked = [prompt for prompt in prompts for _ in range(config.best_of)]
    responses = [
        Response(p.messages, policy.boundary.text(out.tokens), out.ended, p.world, p.target)
        for p, out in zip(asked, outputs, strict=True)
    ]
    shape = (len(prompts), config.best_of)
    with workspace.timed("scoring"):
        scores = np.array(_raw_scores(reward, responses)).reshape(shape)
    scorer = gold_scorer(tiny.WORLD)
    assert scorer is not None
    gold = [scorer(r.messages, r.text, r.ended).reward for r in responses]
    return BestOfSamples(prompts, scores, np.array(gold).reshape(shape))


def best_of_metrics(scores: Array, gold: Array) -> Iterator[Metric]:
    """Yield the mean gold reward of best-of-N for N = 1, 2, 4, ... samples."""
    prompts, samples = scores.shape
    for n in powers_of_two(samples):
        value = mean(best_of_n(scores, gold, n=n))
        yield Metric(f"best_of_{n}", "diagnostic", value, prompts, "higher", "reward")


def _line(out: ScoredPair) -> dict[str, object]:
    return {
        "task": out.kind,
        "category": out.pair.category,
        "doc_id": out.pair.id,
        "doc_hash": content_hash([out.pair.prompt, out.pair.chosen, out.pair.rejected]),
        "prompt_hash": content_hash(out.pair.prompt),
        "mode": "pair",
        "sample": 0,
        "prompt": readable(out.pair.prompt),
        "chosen": out.pair.chosen,
        "rejected": out.pair.rejected,
        "scores": {"acc": out.accuracy},
        "chosen_score": out.chosen_score,
        "rejected_score": out.rejected_score,
        "length_chosen_tokens": out.chosen_tokens,
        "length_rejected_tokens": out.rejected_tokens,
    }
