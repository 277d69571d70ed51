import math
from collections.abc import Callable
from typing import get_args

import pytest
import torch
from torch import Tensor

from ablate.algorithms.kl import KlEstimator
from ablate.algorithms.policy_gradient import (
    Normalization,
    Samples,
    StepTotals,
    kl_loss,
    reinforce_loss,
    sequence_clipped_loss,
    token_clipped_loss,
    token_weights,
)

MASK = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
OLD = torch.tensor([[-1.0, -2.0, 0.0], [-0.5, -0.1, -3.0], [-0.7, 0.0, 0.0]])
NEW = torch.tensor([[-0.9, -2.4, 0.0], [-0.7, -0.1, -2.8], [-0.2, 0.0, 0.0]])
REFERENCE = OLD - 0.3 * MASK
SAMPLES = Samples(OLD, torch.tensor([1.0, -2.0, 0.5]), MASK)
TOTALS = StepTotals(completions=3.0, tokens=6.0, max_length=4.0)
Loss = Callable[[Tensor, Samples], Tensor]


def weights(mask: Tensor, rule: Normalization = "sequence") -> Tensor:
    return token_weights(mask, rule=rule, totals=TOTALS)


def reinforce(logprobs: Tensor, samples: Samples) -> Tensor:
    return reinforce_loss(logprobs, samples, total=3.0)


def sequence(logprobs: Tensor, samples: Samples) -> Tensor:
    return sequence_clipped_loss(logprobs, samples, clip_ratio=0.2, total=3.0).loss


def token(logprobs: Tensor, samples: Samples) -> Tensor:
    return token_clipped_loss(logprobs, samples, weights=weights(samples.mask), clip_ratio=0.2).loss


def penalty(logprobs: Tensor, samples: Samples) -> Tensor:
    return kl_loss(logprobs, samples.logprobs - 0.3, weights=weights(samples.mask), estimator="k3")


def weighed_penalty(logprobs: Tensor, samples: Samples) -> Tensor:
    held = samples.logprobs - 0.3
    share = weights(samples.mask)
    return kl_loss(logprobs, held, weights=share, estimator="k3", sampled=samples.logprobs)


every_loss = pytest.mark.parametrize("loss", [reinforce, sequence, token, penalty, weighed_penalty])


def gradient(loss: Loss, logprobs: Tensor, samples: Samples) -> Tensor:
    leaf = logprobs.clone().requires_grad_()
    (found,) = torch.autograd.grad(loss(leaf, samples), leaf)
    return found


@every_loss
def test_d3_shares_of_micro_batches_add_up(loss: Loss) -> None:
    parts = [
        loss(NEW[rows], Samples(*(column[rows] for column in SAMPLES)))
        for rows in (slice(0, 1), slice(1, 3))
    ]
    torch.testing.assert_close(sum(parts), loss(NEW, SAMPLES))


@every_loss
def test_more_padding_and_what_stands_there_change_nothing(loss: Loss) -> None:
    junk = torch.full((3, 2), 7.0)
    wide = Samples(
        torch.cat([OLD, junk], 1), SAMPLES.advantages, torch.cat([MASK, torch.zeros(3, 2)], 1)
    )
    padded = torch.cat([NEW, torch.full((3, 2), 1e3)], 1)
    torch.testing.assert_close(loss(padded, wide), loss(NEW, SAMPLES))
    found = gradient(loss, padded, wide)
    torch.testing.assert_close(found[:, :3], gradient(loss, NEW, SAMPLES))
    assert found[:, 3:].abs().sum().item() == 0.0


@pytest.mark.parametrize("loss", [reinforce, sequence, token])
def test_a_step_raises_what_was_better_and_lowers_what_was_worse(loss: Loss) -> None:
    found = gradient(loss, OLD, SAMPLES)
    signs = torch.tensor([[-1.0], [1.0], [-1.0]]) * MASK
    torch.testing.assert_close(found.sign(), signs)


@pytest.mark.parametrize("loss", [sequence, token, penalty, weighed_penalty])
def test_a_masked_completion_moves_nothing_and_still_counts_in_the_mean(loss: Loss) -> None:
    mask = MASK.clone()
    mask[1] = 0.0
    found = gradient(loss, NEW, SAMPLES._replace(mask=mask))
    assert found[1].abs().sum().item() == 0.0
    torch.testing.assert_close(found[0], gradient(loss, NEW, SAMPLES)[0])


def test_reinforce_is_the_advantage_times_the_log_probability_of_the_whole_completion() -> None:
    # -(1 * -3.3 + -2 * -3.6 + 0.5 * -0.2) / 3 = -3.8 / 3.
    assert reinforce(NEW, SAMPLES).item() == pytest.approx(-3.8 / 3)


def test_p13_at_ratio_one_the_sequence_surrogate_has_the_gradient_of_reinforce() -> None:
    torch.testing.assert_close(gradient(sequence, OLD, SAMPLES), gradient(reinforce, OLD, SAMPLES))


def test_p13_the_sequence_ratio_is_that_of_the_whole_completion() -> None:
    """Log-ratios -0.3, 0 and 0.5: ratios 0.741, 1 and 1.649, which is held at 1.2."""
    found = sequence_clipped_loss(NEW, SAMPLES, clip_ratio=0.2, total=3.0)
    ratios = torch.tensor([math.exp(-0.3), 1.0, math.exp(0.5)])
    torch.testing.assert_close(found.ratio, ratios)
    assert found.clipped.tolist() == [0.0, 0.0, 1.0]
    expected = -(math.exp(-0.3) - 2.0 + 0.5 * 1.2) / 3
    assert found.loss.item() == pytest.approx(expected)
    assert gradient(sequence, NEW, SAMPLES)[2].abs().sum().item() == 0.0


def test_the_token_surrogate_clips_token_by_token() -> None:
    """Completion 1, A = 1: ratios e^0.1 = 1.105 and e^-0.4, neither held: the sum over 2 tokens.

    Completion 2, A = -2: e^-0.2 = 0.819 > 0.8 free, 1, e^0.2 = 1.221 free: over 3 tokens.
    Completion 3, A = 1/2: e^0.5 held at 1.2.
    """
    found = token_clipped_loss(NEW, SAMPLES, weights=weights(MASK), clip_ratio=0.2)
    first = (math.exp(0.1) + math.exp(-0.4)) / 2
    second = -2 * (math.exp(-0.2) + 1 + math.exp(0.2)) / 3
    assert found.loss.item() == pytest.approx(-(first + second + 0.5 * 1.2) / 3)
    assert found.clipped.tolist() == [[0.0] * 3, [0.0] * 3, [1.0, 0.0, 0.0]]
    assert found.ratio[0, 2].item() == 1.0


def test_metrics_of_the_surrogates_keep_no_graph_alive() -> None:
    logprobs = NEW.clone().requires_grad_()
    for found in (
        token_clipped_loss(logprobs, SAMPLES, weights=weights(MASK), clip_ratio=0.2),
        sequence_clipped_loss(logprobs, SAMPLES, clip_ratio=0.2, total=3.0),
    ):
        assert found.loss.requires_grad
        assert not found.ratio.requires_grad and not found.clipped.requires_grad


def test_the_upper_clip_may_be_wider_than_the_lower() -> None:
    found = token_clipped_loss(
        NEW, SAMPLES, weights=weights(MASK), clip_ratio=0.2, clip_ratio_high=0.7
    )
    assert found.clipped.sum().item() == 0.0  # e^0.5 = 1.649 < 1.7


def test_p7_huge_log_ratios_stay_finite() -> None:
    assert math.isfinite(sequence(OLD + 500 * MASK, SAMPLES).item())
    assert math.isfinite(token(OLD + 500 * MASK, SAMPLES).item())


def test_token_weights_follow_their_rule() -> None:
    # Lengths 2, 3 and 1, three completions, six tokens, at most four each.
    per_completion = torch.tensor([[1 / 6], [1 / 9], [1 / 3]]) * MASK
    torch.testing.assert_close(weights(MASK, "sequence"), per_completion)
    torch.testing.assert_close(weights(MASK, "token"), MASK / 6)
    torch.testing.assert_close(weights(MASK, "constant"), MASK / 12)


@pytest.mark.parametrize("rule", get_args(Normalization))
def test_token_weights_of_micro_batches_are_those_of_the_step(rule: Normalization) -> None:
    parts = torch.cat([weights(MASK[:1].bool(), rule), weights(MASK[1:].bool(), rule)])
    torch.testing.assert_close(parts, weights(MASK, rule))


def test_l7_k3_as_a_loss_is_the_mean_of_its_estimates() -> None:
    # k3 of log-ratio 0.3 is e^-0.3 - 1 + 0.3 at each token, so its mean is too.
    loss = kl_loss(OLD, REFERENCE, weights=weights(MASK), estimator="k3")
    assert loss.item() == pytest.approx(math.exp(-0.3) - 0.7)


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_l7_expected_gradients_of_kl_losses_are_those_of_known_divergences(
    estimator: KlEstimator,
) -> None:
    """Over all tokens weighed by the policy's own, held probability: no divergence for k1,
    KL(policy || reference) for k2, KL(reference || policy) for k3."""
    logits = torch.tensor([[0.3, -1.0, 0.8]], requires_grad=True)
    reference = torch.tensor([[-0.5, 0.4, 0.1]]).log_softmax(dim=1)
    policy = logits.log_softmax(dim=1)
    exact = {
        "k1": 0.0 * logits.sum(),
        "k2": (policy.exp() * (policy - reference)).sum(),
        "k3": (reference.exp() * (reference - policy)).sum(),
    }[estimator]
    loss = kl_loss(policy, reference, weights=policy.detach().exp(), estimator=estimator)
    (found,) = torch.autograd.grad(loss, logits, retain_graph=True)
    (expected,) = torch.autograd.grad(exact, logits)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_l7_weighed_by_the_ratio_unbiased_estimates_have_the_gradient_of_the_divergence(
    estimator: KlEstimator,
) -> None:
    """Over the tokens of another policy, both value and gradient are KL(policy || reference)'s."""
    logits = torch.tensor([[0.3, -1.0, 0.8]], requires_grad=True)
    sampled = torch.tensor([[0.9, 0.2, -0.4]]).log_softmax(dim=1)
    reference = torch.tensor([[-0.5, 0.4, 0.1]]).log_softmax(dim=1)
    policy = logits.log_softmax(dim=1)
    exact = (policy.exp() * (policy - reference)).sum()
    loss = kl_loss(policy, reference, weights=sampled.exp(), estimator=estimator, sampled=sampled)
    torch.testing.assert_close(loss, exact)
    (found,) = torch.autograd.grad(loss, logits, retain_graph=True)
    (expected,) = torch.autograd.grad(exact, logits)
    torch.testing.assert_close(found, expected)
