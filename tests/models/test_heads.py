"""The vocabulary head under autocast: factors of low precision, sums and results in fp32."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from ablate.models.boundary import Row
from ablate.models.heads import fp32_logits
from ablate.models.loading import LoadedModel
from ablate.models.logprobs import completion_logprobs
from ablate.models.sampling import Request, SamplingParams, sample


@pytest.fixture
def head() -> nn.Linear:
    made = nn.Linear(64, 40)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in made.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator))
    return made


def states() -> torch.Tensor:
    return torch.randn(5, 64, generator=torch.Generator().manual_seed(1)).requires_grad_()


def autocast() -> Any:
    return torch.autocast("cpu", dtype=torch.bfloat16)


def test_without_autocast_the_head_is_called_as_it_is(head: nn.Linear) -> None:
    assert torch.equal(fp32_logits(head, states()), head(states()))


def test_under_autocast_only_the_factors_are_rounded(head: nn.Linear) -> None:
    given = states()
    with autocast():
        found, plain = fp32_logits(head, given), head(given)
    rounded = given.detach().bfloat16().double(), head.weight.detach().bfloat16().double()
    exact = rounded[0] @ rounded[1].T + head.bias.detach().double()
    assert found.dtype == torch.float32 and plain.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), exact, atol=1e-5, rtol=0)
    # Logits are around 8, where bf16 has steps of 1/32 or 1/16.
    assert (plain.double() - exact).abs().max() > 1e-2


def test_gradients_are_autocast_s_with_one_rounding_less(head: nn.Linear) -> None:
    given, same = states(), states()
    weights = torch.randn(5, 40, generator=torch.Generator().manual_seed(2))
    with autocast():
        torch.autograd.backward((fp32_logits(head, given) * weights).sum())
    found = [given.grad, head.weight.grad, head.bias.grad]
    head.zero_grad(set_to_none=True)
    torch.autograd.backward((head(same) * weights).sum())  # fp32 throughout
    for gradient, exact in zip(found, [same.grad, head.weight.grad, head.bias.grad], strict=True):
        assert gradient is not None and exact is not None and gradient.dtype == torch.float32
        # Factors are rounded to 8 bits (2^-9 each), sums of up to 64 of them are not.
        torch.testing.assert_close(gradient, exact, atol=0.06, rtol=0.02)


def test_log_probabilities_under_autocast_have_fp32_digits(policy: LoadedModel) -> None:
    rows = [Row((1, 7), tuple(range(8, 40)))]
    with autocast():
        found = completion_logprobs(policy.model, rows, grad=False).logprobs[0]
        hidden = policy.model.model(torch.tensor([[1, 7, *range(8, 40)]])).last_hidden_state[0]
    weight = policy.model.lm_head.weight.detach().bfloat16().double()
    logits = hidden[1:-1].bfloat16().double() @ weight.T
    expected = logits.log_softmax(-1).gather(1, torch.arange(8, 40)[:, None])[:, 0]
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=0)


def test_the_sampler_s_log_probabilities_under_autocast_have_them_too(policy: LoadedModel) -> None:
    with autocast():
        params = SamplingParams(12, 1.0, seed=0)
        completion = sample(policy.model, policy.boundary, [Request((1, 7))], params)[0]
        row = [Row((1, 7), completion.tokens)]
        again = completion_logprobs(policy.model, row, grad=False).logprobs[0]
    # Hidden states of the two passes differ by roundings to bf16 of their own.
    torch.testing.assert_close(completion.logprobs, again, atol=0.1, rtol=0)
    assert not torch.equal(completion.logprobs, completion.logprobs.bfloat16().float())
