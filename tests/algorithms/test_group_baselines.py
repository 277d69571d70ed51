import math

import pytest
import torch

from ablate.algorithms.baselines import (
    GROUP_STD_EPSILON,
    batch_mean_advantages,
    group_relative_advantages,
    leave_one_out_advantages,
    moving_average,
    without_signal,
)

NAN = math.nan


def test_p13_leave_one_out_subtracts_the_mean_of_the_others() -> None:
    # 1 - (2 + 6) / 2, 2 - (1 + 6) / 2, 6 - (1 + 2) / 2.
    advantages = leave_one_out_advantages(torch.tensor([[1.0, 2.0, 6.0]]))
    torch.testing.assert_close(advantages, torch.tensor([[-3.0, -1.5, 4.5]]))


def test_p13_a_missing_reward_leaves_its_siblings_baselines_alone() -> None:
    advantages = leave_one_out_advantages(torch.tensor([[1.0, NAN, 5.0], [NAN, 2.0, NAN]]))
    torch.testing.assert_close(advantages, torch.tensor([[-4.0, 0.0, 4.0], [0.0, 0.0, 0.0]]))


def test_the_group_baseline_divides_by_the_sample_standard_deviation() -> None:
    # Mean 3, deviations -2, -1, 3; variance (4 + 1 + 9) / 2 = 7.
    advantages = group_relative_advantages(torch.tensor([[1.0, 2.0, 6.0]]))
    scale = math.sqrt(7) + GROUP_STD_EPSILON
    torch.testing.assert_close(advantages, torch.tensor([[-2.0, -1.0, 3.0]]) / scale)


def test_without_scaling_a_group_is_only_centred() -> None:
    advantages = group_relative_advantages(torch.tensor([[1.0, 2.0, 6.0]]), scale=False)
    assert advantages.tolist() == [[-2.0, -1.0, 3.0]]


def test_groups_do_not_see_each_other() -> None:
    rewards = torch.tensor([[1.0, 3.0], [100.0, 300.0]])
    for function in (group_relative_advantages, leave_one_out_advantages):
        torch.testing.assert_close(function(rewards)[:1], function(rewards[:1]))


def test_a_group_of_missing_rewards_but_two_is_the_group_of_these_two() -> None:
    # Mean 3, sample variance (4 + 4) / 1 = 8.
    advantages = group_relative_advantages(torch.tensor([[1.0, NAN, 5.0]]))
    expected = 2.0 / (math.sqrt(8) + GROUP_STD_EPSILON)
    torch.testing.assert_close(advantages, torch.tensor([[-expected, 0.0, expected]]))


@pytest.mark.parametrize("scale", [True, False])
def test_equal_rewards_give_exactly_no_advantage(scale: bool) -> None:
    # 0.1 is no binary fraction: the mean of seven is another number than each.
    rewards = torch.full((1, 7), 0.1)
    assert (rewards - rewards.mean()).abs().sum().item() > 0
    assert group_relative_advantages(rewards, scale=scale).abs().sum().item() == 0.0


@pytest.mark.parametrize("group", [[2.0, NAN], [NAN, NAN], [2.0]])
def test_a_reward_without_siblings_gives_no_advantage(group: list[float]) -> None:
    rewards = torch.tensor([group])
    for function in (group_relative_advantages, leave_one_out_advantages):
        assert function(rewards).tolist() == [[0.0] * len(group)]


def test_groups_that_teach_nothing_are_told() -> None:
    rewards = torch.tensor([[1.0, 1.0], [1.0, 2.0], [NAN, 1.0], [NAN, NAN]])
    assert without_signal(rewards).tolist() == [True, False, True, True]


def test_the_batch_mean_is_subtracted_from_what_has_a_reward() -> None:
    assert batch_mean_advantages(torch.tensor([1.0, NAN, 5.0])).tolist() == [-2.0, 0.0, 2.0]


def test_the_moving_average_starts_at_the_first_mean_and_survives_empty_steps() -> None:
    first = moving_average(None, torch.tensor([1.0, NAN, 3.0]), decay=0.9)
    assert first == 2.0
    assert moving_average(first, torch.tensor([12.0]), decay=0.9) == pytest.approx(3.0)
    assert moving_average(first, torch.tensor([NAN]), decay=0.9) == 2.0
    assert moving_average(None, torch.tensor([NAN]), decay=0.9) is None
