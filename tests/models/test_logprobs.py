from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import ablate.models.logprobs
from ablate.models.boundary import Row
from ablate.models.loading import LoadedModel, load_reward_model, new_reward_model, save_model
from ablate.models.logprobs import (
    completion_logprobs,
    completion_mask,
    completion_scores,
    completion_statistics,
    logprobs_and_values,
    token_values,
)

LENGTHS = [(3, 5), (1, 1), (12, 2), (4, 30), (7, 7), (2, 9), (20, 1)]


def random_rows(vocabulary: int = 64) -> list[Row]:
    draw = random.Random(0)
    return [
        Row(*(tuple(draw.randrange(6, vocabulary) for _ in range(n)) for n in lengths))
        for lengths in LENGTHS
    ]


def naive(model: Any, row: Row, temperature: float) -> Tensor:
    """Full logits of one unpadded row, every position, log-softmax, gather."""
    ids = torch.tensor([[*row.prompt, *row.completion]])
    logprobs = (model(input_ids=ids).logits / temperature).log_softmax(-1)
    predicted: Tensor = logprobs[0, :-1].gather(1, ids[0, 1:, None])[:, 0]
    return predicted[len(row.prompt) - 1 :]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_equal_full_logits_of_each_row_alone(
    make_llama: Callable[..., Any], temperature: float
) -> None:
    model, rows = make_llama(), random_rows()
    found = completion_logprobs(model, rows, temperature=temperature, grad=False)
    assert found.logprobs.dtype == torch.float32
    assert found.logprobs.shape == found.mask.shape == (7, 30)
    for index, row in enumerate(rows):
        n = len(row.completion)
        expected = naive(model, row, temperature)
        torch.testing.assert_close(found.logprobs[index, :n], expected, atol=2e-5, rtol=0)
        assert found.mask[index].sum() == n and not found.logprobs[index, n:].any()


def test_gradients_equal_those_of_full_logits(make_llama: Callable[..., Any]) -> None:
    model, rows = make_llama(), random_rows()
    torch.autograd.backward(completion_logprobs(model, rows, grad=True).logprobs.sum())
    found = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    model.zero_grad()
    torch.autograd.backward(torch.stack([naive(model, row, 1.0).sum() for row in rows]).sum())
    for name, weight in model.named_parameters():
        torch.testing.assert_close(found[name], weight.grad, atol=2e-3, rtol=1e-3)


def test_absolute_positions_count_from_each_rows_own_start(make_gpt2: Callable[..., Any]) -> None:
    model, rows = make_gpt2(), random_rows()
    found = completion_logprobs(model, rows, grad=False)
    for index, row in enumerate(rows):
        alone = naive(model, row, 1.0)
        torch.testing.assert_close(found.logprobs[index, : len(alone)], alone, atol=2e-5, rtol=0)


@pytest.mark.parametrize("micro_batch", [1, 2, 5])
def test_results_do_not_depend_on_the_split_into_passes(
    make_llama: Callable[..., Any], micro_batch: int
) -> None:
    model, rows = make_llama(), random_rows()
    whole = completion_logprobs(model, rows, grad=False)
    split = completion_logprobs(model, rows, grad=False, micro_batch=micro_batch)
    torch.testing.assert_close(split.logprobs, whole.logprobs, atol=2e-5, rtol=0)
    assert torch.equal(split.mask, whole.mask)


def test_a_row_that_only_adds_padding_changes_no_other_row(make_llama: Callable[..., Any]) -> None:
    model, rows = make_llama(), random_rows()
    longer = [*rows, Row(tuple(range(6, 60)), (7,))]
    found = completion_logprobs(model, longer, grad=False).logprobs[:-1]
    expected = completion_logprobs(model, rows, grad=False).logprobs
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


def test_a_large_head_in_pieces_gives_the_same_numbers_and_gradients(
    make_llama: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows = make_llama(), random_rows()
    whole = completion_logprobs(model, rows, grad=True).logprobs
    torch.autograd.backward(whole.sum())
    grads = [weight.grad.clone() for weight in model.parameters()]
    model.zero_grad()
    monkeypatch.setattr(ablate.models.logprobs, "HEAD_ELEMENTS", 64 * 8)  # eight positions at once
    pieces = completion_logprobs(model, rows, grad=True).logprobs
    torch.autograd.backward(pieces.sum())
    torch.testing.assert_close(pieces, whole, atol=1e-6, rtol=0)
    for weight, grad in zip(model.parameters(), grads, strict=True):
        torch.testing.assert_close(weight.grad, grad, atol=1e-3, rtol=1e-4)


def test_one_pass_gives_the_logprobs_and_values_of_two(make_llama: Callable[..., Any]) -> None:
    model, rows = make_llama(), random_rows()
    model.score = torch.nn.Linear(model.config.hidden_size, 1, bias=False)
    logprobs, values = logprobs_and_values(model, rows, temperature=0.7, grad=True)
    apart = completion_logprobs(model, rows, temperature=0.7, grad=False).logprobs
    torch.testing.assert_close(logprobs.detach(), apart, atol=1e-6, rtol=0)
    torch.testing.assert_close(values.detach(), token_values(model, rows), atol=1e-6, rtol=0)
    torch.autograd.backward(values.sum())
    assert model.score.weight.grad is not None


def test_entropy_is_that_of_the_distribution_at_each_token(make_llama: Callable[..., Any]) -> None:
    model, rows = make_llama(), random_rows()
    found = completion_statistics(model, rows, temperature=2.0, grad=False)
    row = rows[4]
    logits = model(input_ids=torch.tensor([[*row.prompt, *row.completion]])).logits[0, 6:13] / 2
    probabilities = logits.softmax(-1)
    expected = -(probabilities * probabilities.log()).sum(-1)
    torch.testing.assert_close(found.entropy[4, :7], expected, atol=2e-5, rtol=0)
    plain = completion_logprobs(model, rows, temperature=2.0, grad=False).logprobs
    torch.testing.assert_close(found.logprobs, plain, atol=1e-5, rtol=0)
    assert not found.entropy[~found.mask].any()


def test_numbers_without_a_graph_can_enter_a_loss(make_llama: Callable[..., Any]) -> None:
    model, rows = make_llama(), random_rows()
    old = completion_logprobs(model, rows, grad=False).logprobs
    new = completion_logprobs(model, rows, grad=True).logprobs
    assert not old.requires_grad
    torch.autograd.backward((new * old).sum())  # the product saves both for its backward pass


def test_an_empty_completion_has_no_log_probability(make_llama: Callable[..., Any]) -> None:
    rows = [Row((7, 8), ()), Row((7,), (9, 10))]
    found = completion_logprobs(make_llama(), rows, grad=False)
    assert found.mask.tolist() == [[False, False], [True, True]]
    assert not found.logprobs[0].any()


def test_the_mask_is_made_of_lengths() -> None:
    rows = [Row((1,), (0, 0)), Row((1,), (0,))]
    assert completion_mask(rows).tolist() == [[True, True], [True, False]]


@pytest.fixture
def padded_with_end(tmp_path: Path, tokenizer: Any, make_llama: Callable[..., Any]) -> LoadedModel:
    """A reward model whose padding token is its end token."""
    tokenizer.pad_token = "<eos>"
    save_model(make_llama(pad_token_id=2), tokenizer, tmp_path / "policy")
    fresh = new_reward_model(tmp_path / "policy", layers=None, seed=0)
    save_model(fresh.model, fresh.tokenizer, tmp_path / "reward")
    return load_reward_model(tmp_path / "reward")


def test_scores_are_read_at_the_end_token_even_if_it_is_the_padding_token(
    padded_with_end: LoadedModel,
) -> None:
    model = padded_with_end.model
    rows = [Row((1, 7), (8, 2)), Row((1, 7, 9, 9, 9), (8, 9, 2))]
    scores = completion_scores(model, rows)
    for score, row in zip(scores, rows, strict=True):
        ids = torch.tensor([[*row.prompt, *row.completion]])
        states = model.model(input_ids=ids).last_hidden_state
        torch.testing.assert_close(score, model.score(states)[0, -1, 0], atol=1e-5, rtol=0)
        # The trap: Hugging Face's own pooling takes the token before the end token.
        own = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, 0]
        torch.testing.assert_close(own, model.score(states)[0, -2, 0], atol=1e-5, rtol=0)


def test_scores_do_not_depend_on_order_split_or_padding(padded_with_end: LoadedModel) -> None:
    rows = random_rows()
    scores = completion_scores(padded_with_end.model, rows)
    turned = completion_scores(padded_with_end.model, rows[::-1], micro_batch=2)
    torch.testing.assert_close(turned.flip(0), scores, atol=2e-5, rtol=0)


def test_scores_keep_their_digits_where_the_body_runs_in_bf16(padded_with_end: LoadedModel) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = completion_scores(padded_with_end.model, random_rows())
        values = token_values(padded_with_end.model, random_rows())
    # Rounded to the 8 bits of bf16, a number is what it was before only if it had no more.
    assert not torch.equal(scores.bfloat16().float(), scores)
    assert not torch.equal(values.bfloat16().float(), values)


def test_scores_carry_gradients_only_on_demand(padded_with_end: LoadedModel) -> None:
    rows = random_rows()
    assert not completion_scores(padded_with_end.model, rows).requires_grad
    torch.autograd.backward(completion_scores(padded_with_end.model, rows, grad=True).sum())
    assert padded_with_end.model.score.weight.grad.abs().sum() > 0


def test_an_empty_completion_cannot_be_scored(padded_with_end: LoadedModel) -> None:
    with pytest.raises(ValueError, match="no last token"):
        completion_scores(padded_with_end.model, [Row((1, 2), ())])
    assert completion_scores(padded_with_end.model, []).shape == (0,)


def test_values_are_those_of_the_state_before_each_token(padded_with_end: LoadedModel) -> None:
    model, rows = padded_with_end.model, random_rows()
    values = token_values(model, rows)
    assert values.shape == (7, 30)
    for index, row in enumerate(rows):
        states = model.model(input_ids=torch.tensor([[*row.prompt, *row.completion]]))
        every = model.score(states.last_hidden_state)[0, :, 0]
        # The state before the first completion token is the prompt's last; the last one is unused.
        expected = every[len(row.prompt) - 1 : -1]
        torch.testing.assert_close(
            values[index, : len(row.completion)], expected, atol=2e-5, rtol=0
        )
    assert not values[~completion_mask(rows)].any()
