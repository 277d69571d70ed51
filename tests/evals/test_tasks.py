import logging
import math
from dataclasses import replace

import lm_eval.evaluator
import pytest
import torch
from lm_eval.tasks import TaskManager

from ablate.evals import tasks
from ablate.evals.adapter import Generation, SharedModel
from ablate.evals.tasks import Item, Scores, Task, run_tasks
from ablate.models.boundary import Boundary
from ablate.models.loading import LoadedModel


def conversation(text: str) -> tuple[dict[str, str], ...]:
    return ({"role": "user", "content": text},)


ITEMS = tuple(
    Item(f"item-{n}", conversation(f"say {word} 3 times"), target=word, choices=(word, "white"))
    for n, word in enumerate(("apple", "owl", "fox", "brown", "hammer"))
)


def word_count(item: Item, output: Generation) -> Scores:
    return {"acc": float(len(output.split()) % 2), "words": float(len(output.split()))}


def likelier(item: Item, logprobs: list[float]) -> Scores:
    return {"acc": float(logprobs[0] > logprobs[1])}


SAMPLED = Task(
    "count",
    category="counting",
    items=ITEMS,
    score=word_count,
    repeats=3,
    temperature=1.0,
    max_new_tokens=16,
)
CHOICES = Task("choose", category=None, items=ITEMS, score=likelier, mode="choices")


def test_every_repeat_is_scored(policy: LoadedModel) -> None:
    outputs = run_tasks([SAMPLED], SharedModel(policy), limit=None)
    assert [(out.item.id, out.sample) for out in outputs] == [
        (item.id, sample) for item in ITEMS for sample in range(3)
    ]
    for out in outputs:
        assert out.generation is not None
        assert out.scores["words"] == len(out.generation.split())
    assert len({out.generation for out in outputs}) > len(ITEMS)


def test_lm_evals_own_aggregate_is_the_mean_of_our_records(policy: LoadedModel) -> None:
    model = SharedModel(policy)
    outputs = run_tasks([SAMPLED], model, limit=None)
    config = tasks._config(SAMPLED, model)
    loaded = TaskManager(include_defaults=False).load([config])
    results = lm_eval.evaluator.evaluate(model, loaded, bootstrap_iters=0)
    expected = sum(out.scores["acc"] for out in outputs) / len(outputs)
    assert results["results"]["count/sampled"]["scores,keep_all"] == pytest.approx(expected)


def test_the_limit_takes_the_first_items_of_each_task(policy: LoadedModel) -> None:
    outputs = run_tasks([SAMPLED, CHOICES], SharedModel(policy), limit=2)
    assert [out.item.id for out in outputs if out.task == "choose"] == ["item-0", "item-1"]
    assert len([out for out in outputs if out.task == "count"]) == 2 * 3


def test_choices_are_compared_by_the_log_probability_of_the_whole_reply(
    policy: LoadedModel,
) -> None:
    model = SharedModel(policy)
    outputs = run_tasks([CHOICES], model, limit=None)
    for out in outputs:
        prompt = policy.boundary.prompt_ids(out.item.messages)
        rows = [(prompt, policy.boundary.completion_ids(text)) for text in out.item.choices]
        right, wrong = (_logprob(policy, *row) for row in rows)
        assert out.scores["acc"] == float(right > wrong)


def _logprob(policy: LoadedModel, prompt: tuple[int, ...], reply: tuple[int, ...]) -> float:
    with torch.inference_mode():
        logprobs = policy.model(torch.tensor([[*prompt, *reply]])).logits[0].log_softmax(-1)
    positions = range(len(prompt) - 1, len(prompt) + len(reply) - 1)
    return float(logprobs[list(positions), list(reply)].sum())


def test_a_diverged_model_has_no_score_instead_of_a_perfect_one(policy: LoadedModel) -> None:
    class Diverged(SharedModel):
        def _score(self, rows: object) -> list[tuple[float, bool]]:
            return [(math.nan, False) for _ in super()._score(rows)]  # type: ignore[arg-type]

    def first_is_largest(item: Item, logprobs: list[float]) -> Scores:
        return {"acc": float(int(torch.tensor(logprobs).argmax()) == 0)}

    task = Task("trap", category=None, items=ITEMS, score=first_is_largest, mode="choices")
    # The argmax of NaNs is the first of them, which is the right one.
    assert first_is_largest(ITEMS[0], [math.nan, math.nan]) == {"acc": 1.0}
    outputs = run_tasks([task], Diverged(policy), limit=None)
    assert all(math.isnan(out.scores["acc"]) for out in outputs)


def test_texts_from_broken_numbers_have_no_score(policy: LoadedModel) -> None:
    broken = LoadedModel(_broken(policy), policy.tokenizer, Boundary(policy.tokenizer))
    model = SharedModel(broken)
    outputs = run_tasks([replace(SAMPLED, mode="greedy", temperature=0.0)], model, limit=None)
    assert all(math.isnan(out.scores["acc"]) for out in outputs)
    assert model.nonfinite == len(outputs)


def _broken(policy: LoadedModel) -> torch.nn.Module:
    model: torch.nn.Module = type(policy.model)(policy.model.config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(math.nan)
    return model.eval()


def test_document_hashes_follow_the_content(policy: LoadedModel) -> None:
    model = SharedModel(policy)
    first = run_tasks([SAMPLED], model, limit=1)[0]
    changed = Task(
        "count",
        category="counting",
        items=(Item("item-0", conversation("say owl 2 times")),),
        score=word_count,
        max_new_tokens=4,
    )
    other = run_tasks([changed], model, limit=None)[0]
    assert first.doc_hash != other.doc_hash and first.prompt_hash != other.prompt_hash
    assert first.doc_hash == run_tasks([SAMPLED], model, limit=1)[0].doc_hash


def test_nothing_is_written_to_the_terminal(
    policy: LoadedModel, capfd: pytest.CaptureFixture[str]
) -> None:
    level = logging.getLogger("lm_eval").level
    run_tasks([SAMPLED, CHOICES], SharedModel(policy), limit=None)
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("lm_eval").level == level
