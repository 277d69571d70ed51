import math
from typing import Any, Literal

import pytest
import torch

from ablate.algorithms.advantages import gae, masked_mean, whiten
from ablate.algorithms.kl import adapted_kl_coef, kl_per_token
from ablate.algorithms.ppo import Experience, policy_loss, value_loss
from ablate.algorithms.token_rewards import (
    end_rule,
    sequence_rewards,
    token_rewards,
    without_truncated,
)

ONE = torch.ones(1, 1)


def experience(
    *, logprobs: float = 0.0, values: float = 0.0, advantages: float = 0.0, returns: float = 0.0
) -> Experience:
    return Experience(logprobs * ONE, values * ONE, advantages * ONE, returns * ONE, ONE)


def test_l7_k1_k2_k3_of_a_ratio_of_two() -> None:
    logprobs, reference = torch.tensor([math.log(0.5)]), torch.tensor([math.log(0.25)])
    ln2 = math.log(2)
    assert kl_per_token(logprobs, reference, estimator="k1").item() == pytest.approx(ln2)
    assert kl_per_token(logprobs, reference, estimator="k2").item() == pytest.approx(ln2**2 / 2)
    # k3 = r - 1 - log r with r = pi_ref / pi = 1/2.
    assert kl_per_token(logprobs, reference, estimator="k3").item() == pytest.approx(ln2 - 0.5)


@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_l7_k1_and_k3_average_to_the_exact_divergence(estimator: Literal["k1", "k3"]) -> None:
    policy, reference = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.2, 0.3, 0.5])
    exact = (policy * (policy / reference).log()).sum()
    mean = (policy * kl_per_token(policy.log(), reference.log(), estimator=estimator)).sum()
    torch.testing.assert_close(mean, exact)


def test_l7_k3_is_never_negative() -> None:
    logprobs = torch.linspace(-8, 0, 50)
    assert kl_per_token(logprobs, torch.full((50,), -4.0), estimator="k3").min().item() >= 0.0


def test_p11_the_controller_raises_the_price_when_the_divergence_is_above_its_target() -> None:
    kwargs: dict[str, Any] = {"target": 6.0, "rollouts": 100, "horizon": 10_000}
    # 10 % above: 1 + 0.1 * 0.01; far above or below: clipped at 0.2.
    assert adapted_kl_coef(0.2, 6.6, **kwargs) == pytest.approx(0.2 * 1.001)
    assert adapted_kl_coef(0.2, 60.0, **kwargs) == pytest.approx(0.2 * 1.002)
    assert adapted_kl_coef(0.2, 0.0, **kwargs) == pytest.approx(0.2 * 0.998)


def test_p1_the_score_lands_on_the_last_real_token() -> None:
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    kl = torch.tensor([[0.5, 1.0, 77.0], [0.0, 0.0, 2.0]])
    rewards = token_rewards(torch.tensor([10.0, 20.0]), kl, mask, kl_coef=0.1)
    expected = torch.tensor([[-0.05, 9.9, 0.0], [0.0, 0.0, 19.8]])
    torch.testing.assert_close(rewards, expected)


def test_l7_a_completion_as_one_action_pays_for_the_sum_of_its_tokens() -> None:
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    kl = torch.tensor([[0.5, 1.0, 77.0], [0.0, 0.0, 2.0]])
    rewards = sequence_rewards(torch.tensor([10.0, 20.0]), kl, mask, kl_coef=0.1)
    torch.testing.assert_close(rewards, torch.tensor([9.85, 19.8]))


def test_without_a_kl_price_even_an_infinite_divergence_costs_nothing() -> None:
    kl = torch.tensor([[torch.inf, torch.inf]])
    rewards = token_rewards(torch.tensor([3.0]), kl, torch.ones(1, 2), kl_coef=0.0)
    assert rewards.tolist() == [[0.0, 3.0]]


def test_p2_a_missing_end_replaces_or_lowers_the_score() -> None:
    scores, ended = torch.tensor([2.0, 2.0]), torch.tensor([True, False])
    assert end_rule(scores, ended, rule="replace", penalty=-10.0).tolist() == [2.0, -10.0]
    assert end_rule(scores, ended, rule="subtract", penalty=-10.0).tolist() == [2.0, -8.0]


def test_p5_gae_of_two_tokens_by_hand() -> None:
    rewards, values = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 0.25]])
    estimate = gae(rewards, values, torch.ones(1, 2), gamma=0.5, lam=0.5)
    # delta_1 = 1 - 0.25 = 0.75; delta_0 = 0 + 0.5 * 0.25 - 0.5 = -0.375.
    # A_0 = -0.375 + 0.5 * 0.5 * 0.75 = -0.1875; returns = A + V.
    torch.testing.assert_close(estimate.advantages, torch.tensor([[-0.1875, 0.75]]))
    torch.testing.assert_close(estimate.returns, torch.tensor([[0.3125, 1.0]]))


def test_p4_values_and_rewards_after_the_end_do_not_leak() -> None:
    mask = torch.tensor([[1, 1, 0, 0]])
    short = gae(
        torch.tensor([[0.0, 1.0]]),
        torch.tensor([[0.5, 0.25]]),
        torch.ones(1, 2),
        gamma=1.0,
        lam=1.0,
    )
    padded = gae(
        torch.tensor([[0.0, 1.0, 9.0, 9.0]]),
        torch.tensor([[0.5, 0.25, 7.0, 7.0]]),
        mask,
        gamma=1.0,
        lam=1.0,
    )
    torch.testing.assert_close(padded.advantages[:, :2], short.advantages)
    assert padded.advantages[:, 2:].abs().sum().item() == 0.0
    assert padded.returns[:, 2:].abs().sum().item() == 0.0


def test_p3_a_cut_completion_may_end_in_the_value_of_its_last_state() -> None:
    rewards, values = torch.zeros(2, 3), torch.tensor([[0.5, 0.25, 9.0], [0.5, 0.25, 0.0]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    bootstrap = torch.tensor([2.0, 0.0])
    estimate = gae(rewards, values, mask, gamma=0.5, lam=0.5, bootstrap=bootstrap)
    # Row 0: delta_1 = 0.5 * 2 - 0.25 = 0.75 and on as in the example by hand.
    torch.testing.assert_close(estimate.advantages[0], torch.tensor([-0.1875, 0.75, 0.0]))
    terminal = gae(rewards, values, mask, gamma=0.5, lam=0.5)
    torch.testing.assert_close(estimate.advantages[1], terminal.advantages[1])


def test_p3_a_bootstrapped_return_is_the_discounted_value() -> None:
    """One row as wide as the tensor: with lambda 1 the return is gamma^2 times the bootstrap."""
    estimate = gae(
        torch.zeros(1, 2), torch.randn(1, 2), torch.ones(1, 2),
        gamma=0.5, lam=1.0, bootstrap=torch.tensor([8.0]),
    )  # fmt: skip
    torch.testing.assert_close(estimate.returns, torch.tensor([[2.0, 4.0]]))


def test_p3_completions_that_were_cut_can_be_left_out() -> None:
    mask = torch.tensor([[True, True], [True, False]])
    assert without_truncated(mask, torch.tensor([True, False])).tolist() == [[1, 1], [0, 0]]


def test_p3_a_completion_that_was_left_out_earns_nothing() -> None:
    """The first row pays 0.5 * 0.2 for each token and earns 2 at its last; the second is masked."""
    mask = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    rewards = token_rewards(torch.tensor([2.0, 7.0]), torch.full((2, 3), 0.2), mask, kl_coef=0.5)
    torch.testing.assert_close(rewards, torch.tensor([[-0.1, 1.9, 0.0], [0.0, 0.0, 0.0]]))


def test_gae_without_discounts_is_the_return_minus_the_value() -> None:
    rewards, values = torch.randn(3, 5), torch.randn(3, 5)
    estimate = gae(rewards, values, torch.ones(3, 5), gamma=1.0, lam=1.0)
    to_go = rewards.flip(1).cumsum(1).flip(1)
    torch.testing.assert_close(estimate.returns, to_go)


def test_p6_whitening_uses_the_population_variance_of_real_tokens() -> None:
    x, mask = torch.tensor([[1.0, 3.0, 99.0]]), torch.tensor([[1.0, 1.0, 0.0]])
    # Mean 2, population variance ((-1)^2 + 1^2) / 2 = 1; the sample variance would be 2.
    torch.testing.assert_close(whiten(x, mask), torch.tensor([[-1.0, 1.0, 0.0]]))
    assert masked_mean(x, mask).item() == 2.0


def test_p6_what_is_constant_whitens_to_zeros() -> None:
    assert whiten(torch.full((2, 2), 3.0), torch.ones(2, 2)).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_p6_whitening_without_the_shift_keeps_the_mean() -> None:
    x = torch.tensor([[10.0, 30.0]])
    whitened = whiten(x, torch.ones(1, 2), shift_mean=False)
    torch.testing.assert_close(whitened, torch.tensor([[19.0, 21.0]]))


def test_p7_the_policy_clip_binds_only_where_it_lowers_the_objective() -> None:
    up = torch.tensor([[math.log(1.5)]])
    kwargs: dict[str, Any] = {"clip_ratio": 0.2, "total_tokens": 1}
    # min(1.5 * 2, 1.2 * 2) = 2.4, and the clip takes the gradient away.
    bound = policy_loss(up, experience(advantages=2.0), **kwargs)
    assert bound.loss.item() == pytest.approx(-2.4)
    assert bound.clipped.item() == 1.0
    # min(1.5 * -2, 1.2 * -2) = -3: the clip does not bind.
    free = policy_loss(up, experience(advantages=-2.0), **kwargs)
    assert free.loss.item() == pytest.approx(3.0)
    assert free.clipped.item() == 0.0
    assert free.ratio.item() == pytest.approx(1.5)


def test_the_policy_gradient_raises_tokens_with_a_positive_advantage() -> None:
    logprobs = torch.zeros(1, 1, requires_grad=True)
    objective = policy_loss(logprobs, experience(advantages=3.0), clip_ratio=0.2, total_tokens=1)
    torch.autograd.backward(objective.loss)
    # At ratio 1 the gradient of -A * ratio is -A.
    assert logprobs.grad is not None and logprobs.grad.item() == pytest.approx(-3.0)


def test_p7_a_huge_log_ratio_stays_finite() -> None:
    huge = policy_loss(
        torch.tensor([[500.0]]), experience(advantages=-1.0), clip_ratio=0.2, total_tokens=1
    )
    assert huge.loss.item() == pytest.approx(math.exp(20.0))


def test_padding_does_not_touch_the_policy_or_value_loss() -> None:
    both = torch.tensor([[0.5, 8.0]])
    old = Experience(both, both, both, both, mask=torch.tensor([[1.0, 0.0]]))
    for padding in (0.0, 1e6):
        new = torch.tensor([[0.5, padding]])
        assert policy_loss(new, old, clip_ratio=0.2, total_tokens=1).loss.item() == -0.5
        assert value_loss(new, old, clip=None, total_tokens=1).item() == 0.0


def test_p7_value_loss_has_the_factor_one_half() -> None:
    loss = value_loss(3.0 * ONE, experience(returns=1.0), clip=None, total_tokens=1)
    assert loss.item() == 2.0


def test_p7_the_value_clip_takes_the_larger_error() -> None:
    # The new value reached the return, but from 0 it may move by 0.2 only: (0.2 - 1)^2 / 2.
    loss = value_loss(1.0 * ONE, experience(values=0.0, returns=1.0), clip=0.2, total_tokens=1)
    assert loss.item() == pytest.approx(0.32)


def test_value_descent_moves_towards_the_return() -> None:
    values = torch.zeros(1, 1, requires_grad=True)
    torch.autograd.backward(value_loss(values, experience(returns=1.0), clip=None, total_tokens=1))
    assert values.grad is not None and values.grad.item() == -1.0
