import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ablate.algorithms.dpo import PairLogprobs, PairRewards, dpo_loss, implicit_rewards
from ablate.algorithms.pairwise import (
    hinge_loss,
    ipo_loss,
    log1m_exp,
    log_odds_ratio,
    no_reference,
    offset_dpo_loss,
    orpo_loss,
    per_token,
    robust_dpo_loss,
    score_gap_offset,
    simpo_loss,
)

BETA = 0.5
LN3 = math.log(3.0)


def rewards(*margins: float) -> PairRewards:
    return PairRewards(chosen=torch.tensor(margins), rejected=torch.zeros(len(margins)))


def robust(margins: PairRewards) -> Tensor:
    return robust_dpo_loss(margins, label_smoothing=0.1)


def ipo(margins: PairRewards) -> Tensor:
    return ipo_loss(margins, beta=BETA)


def offset(margins: PairRewards) -> Tensor:
    return offset_dpo_loss(margins, offset=1.0)


def simpo(margins: PairRewards) -> Tensor:
    return simpo_loss(margins, beta=BETA, gamma_beta_ratio=0.5)


def orpo(means: PairRewards) -> Tensor:
    """Take rewards for log-probabilities, moved to where those are negative."""
    return orpo_loss(PairLogprobs(means.chosen - 5.0, means.rejected - 5.0), beta=BETA)


ALL = [robust, ipo, hinge_loss, offset, simpo, orpo]
every_loss = pytest.mark.parametrize("loss", ALL)


@every_loss
def test_a_step_raises_the_chosen_and_lowers_the_rejected(
    loss: Callable[[PairRewards], Tensor],
) -> None:
    chosen = torch.zeros(1, requires_grad=True)
    rejected = torch.zeros(1, requires_grad=True)
    torch.autograd.backward(loss(PairRewards(chosen, rejected)).sum())
    assert chosen.grad is not None and chosen.grad.item() < 0
    assert rejected.grad is not None and rejected.grad.item() > 0


@every_loss
def test_d3_a_pairs_loss_does_not_depend_on_the_other_pairs(
    loss: Callable[[PairRewards], Tensor],
) -> None:
    margins = [0.3, -2.0, 1.7]
    alone = [loss(rewards(margin)).item() for margin in margins]
    assert loss(rewards(*margins)).tolist() == pytest.approx(alone)


def test_d6_robust_dpo_divides_by_the_rate_of_clean_labels() -> None:
    # At margin 1: kept = log(1 + 1/e) = 0.3133, flipped = kept + 1.
    # (3/4 kept - 1/4 flipped) / (1 - 1/2) = 2 (kept / 2 - 1/4) = kept - 1/2.
    expected = math.log(1 + 1 / math.e) - 0.5
    assert robust_dpo_loss(rewards(1.0), label_smoothing=0.25).item() == pytest.approx(expected)


def test_robust_dpo_averages_to_the_loss_on_clean_labels() -> None:
    rate = 0.2
    clean, flipped = rewards(1.3), rewards(-1.3)
    mean = (1 - rate) * robust_dpo_loss(clean, label_smoothing=rate) + rate * robust_dpo_loss(
        flipped, label_smoothing=rate
    )
    torch.testing.assert_close(mean, dpo_loss(clean))


def test_d2_ipo_is_the_squared_distance_of_mean_log_ratios_to_half_the_inverse_of_beta() -> None:
    """Log-ratios 6 over 3 tokens and 1 over 2: margin 2 - 1/2 = 3/2; target 1 / (2 * 1/2) = 1."""
    policy = PairLogprobs(torch.tensor([-3.0]), torch.tensor([-1.0]))
    reference = PairLogprobs(torch.tensor([-9.0]), torch.tensor([-2.0]))
    lengths = PairLogprobs(torch.tensor([3]), torch.tensor([2]))
    means = implicit_rewards(per_token(policy, lengths), per_token(reference, lengths), beta=BETA)
    assert ipo_loss(means, beta=BETA).item() == pytest.approx(0.25)


def test_ipo_pulls_back_a_margin_beyond_its_target() -> None:
    beyond = torch.tensor([10.0], requires_grad=True)
    torch.autograd.backward(ipo_loss(PairRewards(beyond, torch.zeros(1)), beta=BETA).sum())
    assert beyond.grad is not None and beyond.grad.item() > 0


def test_hinge_counts_only_what_is_missing_to_a_margin_of_one() -> None:
    assert hinge_loss(rewards(-1.0, 0.25, 1.0, 3.0)).tolist() == [2.0, 0.75, 0.0, 0.0]


def test_offsets_stand_inside_the_sigmoid_one_for_each_pair() -> None:
    # Margin minus offset: 0 and log 3, so -log 1/2 and -log 3/4.
    loss = offset_dpo_loss(rewards(1.0, 1.0 + LN3), offset=torch.tensor([1.0, 1.0]))
    torch.testing.assert_close(loss, torch.tensor([math.log(2), math.log(4 / 3)]))
    torch.testing.assert_close(offset_dpo_loss(rewards(0.7), offset=0.0), dpo_loss(rewards(0.7)))


def test_the_offset_grows_with_the_log_of_the_score_gap() -> None:
    gaps = score_gap_offset(torch.tensor([3.0, 2.0, 1.0, 0.0]), torch.ones(4), scale=0.5)
    expected = [0.5 * math.log(2), 0.0, -math.inf, math.nan]
    torch.testing.assert_close(gaps, torch.tensor(expected), equal_nan=True)
    assert offset_dpo_loss(rewards(0.0), offset=gaps[2:3]).item() == 0.0


def test_simpo_normalizes_by_length_and_subtracts_gamma() -> None:
    """Means -2/2 = -1 and -12/4 = -3, beta 2: margin 4; gamma = 4 - log 3 leaves log 3."""
    policy = PairLogprobs(torch.tensor([-2.0]), torch.tensor([-12.0]))
    means = per_token(policy, PairLogprobs(torch.tensor([2]), torch.tensor([4])))
    scored = implicit_rewards(means, no_reference(means), beta=2.0)
    loss = simpo_loss(scored, beta=2.0, gamma_beta_ratio=2.0 - LN3 / 2)
    assert loss.item() == pytest.approx(math.log(4 / 3))


def test_without_a_reference_the_reward_is_the_scaled_log_probability() -> None:
    policy = PairLogprobs(torch.tensor([-2.0]), torch.tensor([-12.0]))
    scored = implicit_rewards(policy, no_reference(policy), beta=0.25)
    assert (scored.chosen.item(), scored.rejected.item()) == (-0.5, -3.0)


def test_normalization_leaves_no_trace_of_length() -> None:
    sums = PairLogprobs(torch.tensor([-2.0, -20.0]), torch.tensor([-3.0, -30.0]))
    means = per_token(sums, PairLogprobs(torch.tensor([1, 10]), torch.tensor([1, 10])))
    assert means.chosen.tolist() == [-2.0, -2.0]
    assert means.rejected.tolist() == [-3.0, -3.0]
    nothing = PairLogprobs(*torch.zeros(2, 2))
    assert per_token(nothing, nothing).chosen.isnan().all()


def test_orpo_adds_the_nll_and_the_odds_ratio() -> None:
    """Odds of 3/4 are 3, of 1/2 are 1: log 3, and -log sigmoid(log 3) = log(4/3)."""
    means = PairLogprobs(torch.tensor([0.75]).log(), torch.tensor([0.5]).log())
    assert log_odds_ratio(means).item() == pytest.approx(LN3)
    expected = math.log(4 / 3) + 0.5 * math.log(4 / 3)
    assert orpo_loss(means, beta=0.5).item() == pytest.approx(expected)


def test_log_of_one_minus_exp_is_accurate_at_both_ends() -> None:
    points = torch.tensor([-1e-5, -0.5, -math.log(2), -3.0, -50.0])
    exact = (-points.double().expm1()).log().float()
    exact[-1] = -math.exp(-50)  # the first term of the series: 1 - e^-50 is 1 in double too
    torch.testing.assert_close(log1m_exp(points), exact, rtol=1e-6, atol=0.0)


def test_certain_completions_leave_orpo_and_its_gradient_finite() -> None:
    sides = torch.tensor([[0.0, 0.0, -1e-9, -90.0], [0.0, -1e-30, -90.0, 0.0]], requires_grad=True)
    loss = orpo_loss(PairLogprobs(*sides), beta=1.0)
    torch.autograd.backward(loss.sum())
    assert loss.isfinite().all()
    assert sides.grad is not None and sides.grad.isfinite().all()
