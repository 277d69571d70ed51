import math

import pytest
import torch

from ablate.algorithms.bradley_terry import bradley_terry_loss
from ablate.algorithms.dpo import (
    PairLogprobs,
    PairRewards,
    dpo_loss,
    gradient_weight,
    implicit_rewards,
)
from ablate.algorithms.supervised import negative_log_likelihood


def rewards_of(margin_per_beta: float, *, beta: float) -> PairRewards:
    reference = PairLogprobs(chosen=torch.tensor([-1.0]), rejected=torch.tensor([-2.0]))
    policy = PairLogprobs(
        chosen=torch.tensor([-1.0 + margin_per_beta]), rejected=torch.tensor([-2.0])
    )
    return implicit_rewards(policy, reference, beta=beta)


def test_d1_dpo_loss_follows_equation_7_on_sums() -> None:
    # Margins 0 and 10 at beta 0.1: sigmoid(0) = 1/2, sigmoid(1) = e / (1 + e).
    torch.testing.assert_close(dpo_loss(rewards_of(0.0, beta=0.1)), torch.tensor([math.log(2)]))
    expected = torch.tensor([math.log((1 + math.e) / math.e)])
    torch.testing.assert_close(dpo_loss(rewards_of(10.0, beta=0.1)), expected)


def test_d6_label_smoothing_mixes_both_labels_and_does_not_divide() -> None:
    # At margin 1: kept = log(1 + 1/e), flipped = log(1 + e) = kept + 1; mixed 3 to 1.
    expected = math.log(1 + 1 / math.e) + 0.25 * 1.0
    loss = dpo_loss(rewards_of(1.0, beta=1.0), label_smoothing=0.25)
    torch.testing.assert_close(loss, torch.tensor([expected]))


def test_implicit_reward_is_beta_times_the_log_ratio() -> None:
    rewards = rewards_of(4.0, beta=0.5)
    assert rewards.chosen.item() == 2.0
    assert rewards.rejected.item() == 0.0
    assert rewards.margin.item() == 2.0


def test_gradient_weight_is_a_half_at_the_start_and_equals_the_gradient_of_the_loss() -> None:
    assert gradient_weight(rewards_of(0.0, beta=0.1)).item() == 0.5
    logprob = torch.tensor([2.0], requires_grad=True)
    policy = PairLogprobs(chosen=logprob, rejected=torch.tensor([0.0]))
    rewards = implicit_rewards(policy, PairLogprobs(*torch.zeros(2, 1)), beta=0.5)
    torch.autograd.backward(dpo_loss(rewards).sum())
    # d loss / d logp_chosen = -beta * sigmoid(-margin).
    torch.testing.assert_close(logprob.grad, -0.5 * gradient_weight(rewards).detach())


def test_dpo_raises_the_chosen_and_lowers_the_rejected() -> None:
    chosen = torch.tensor([-3.0], requires_grad=True)
    rejected = torch.tensor([-3.0], requires_grad=True)
    reference = PairLogprobs(*torch.zeros(2, 1))
    loss = dpo_loss(implicit_rewards(PairLogprobs(chosen, rejected), reference, beta=0.1))
    torch.autograd.backward(loss.sum())
    assert chosen.grad is not None and chosen.grad.item() < 0  # descent raises it
    assert rejected.grad is not None and rejected.grad.item() > 0


def test_bradley_terry_loss_follows_equation_1() -> None:
    # Difference log 3: sigmoid = 3/4.
    loss = bradley_terry_loss(torch.tensor([math.log(3.0)]), torch.tensor([0.0]))
    torch.testing.assert_close(loss, torch.tensor([math.log(4 / 3)]))


def test_r5_margin_stands_inside_the_sigmoid() -> None:
    loss = bradley_terry_loss(torch.tensor([5.0]), torch.tensor([3.0]), margin=2.0)
    torch.testing.assert_close(loss, torch.tensor([math.log(2)]))


def test_r5_every_pair_may_have_its_own_margin() -> None:
    chosen, rejected = torch.tensor([5.0, 5.0]), torch.tensor([3.0, 3.0])
    margins = torch.tensor([2.0, 2.0 - math.log(3)])
    # Differences minus margins: 0 and log 3.
    loss = bradley_terry_loss(chosen, rejected, margin=margins)
    torch.testing.assert_close(loss, torch.tensor([math.log(2), math.log(4 / 3)]))


def test_r5_centering_adds_the_squared_sum_of_the_scores() -> None:
    plain = bradley_terry_loss(torch.tensor([2.0]), torch.tensor([1.0]))
    centred = bradley_terry_loss(torch.tensor([2.0]), torch.tensor([1.0]), centering_coef=0.01)
    torch.testing.assert_close(centred - plain, torch.tensor([0.09]))


def test_bradley_terry_raises_the_chosen_score() -> None:
    chosen = torch.tensor([0.0], requires_grad=True)
    torch.autograd.backward(bradley_terry_loss(chosen, torch.tensor([0.0])).sum())
    assert chosen.grad is not None and chosen.grad.item() == -0.5


def test_nll_is_the_mean_over_real_tokens() -> None:
    logprobs = torch.tensor([[-1.0, -2.0], [-6.0, -99.0]])
    mask = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    assert negative_log_likelihood(logprobs, mask, total_tokens=3).item() == 3.0


def test_d3_nll_shares_of_uneven_micro_batches_add_up_to_the_token_mean() -> None:
    logprobs = torch.tensor([[-1.0, -2.0], [-6.0, -99.0]])
    mask = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    shares = [
        negative_log_likelihood(logprobs[i : i + 1], mask[i : i + 1], total_tokens=3).item()
        for i in range(2)
    ]
    # A mean of micro-batch means would be (1.5 + 6) / 2.
    assert sum(shares) == pytest.approx(3.0)
