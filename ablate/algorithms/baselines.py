"""From the rewards of completions to their advantages, without a critic.

A group is the completions of one prompt: rewards have shape (prompts, samples). A missing reward is
NaN: it enters no baseline, and that completion's advantage is 0, so that it moves nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

GROUP_STD_EPSILON = 1e-4
"""Added to a group's standard deviation. Nearly equal rewards then give small advantages, and not
their noise at full size. TRL's value; the paper has none."""


def batch_mean_advantages(rewards: Tensor) -> Tensor:
    """Return the rewards minus their mean, any shape.

    The mean holds each sample's own reward, which shortens the expected gradient by 1/B; with
    B = 1 nothing is left.
    """
    return torch.where(rewards.isnan(), 0.0, rewards - rewards.nanmean())


def moving_average(previous: float | None, rewards: Tensor, *, decay: float) -> float | None:
    """Return the next baseline, to subtract from later rewards: reinforcement comparison.

    Williams 1992, section 6. ``previous`` is None before the first rewards, whose mean starts the
    average. A step without any reward leaves it as it was.
    """
    if rewards.isnan().all():
        return previous
    mean = float(rewards.nanmean())
    return mean if previous is None else decay * previous + (1.0 - decay) * mean


def leave_one_out_advantages(rewards: Tensor) -> Tensor:
    """Return each reward minus the mean of its siblings', (prompts, samples).

    The RLOO baseline of Kool et al. 2019 and arXiv:2402.14740; unbiased, as it does not depend on
    the sample itself. 0 for a completion without siblings.
    """
    scored = ~rewards.isnan()
    siblings = scored.sum(dim=1, keepdim=True) - 1
    others = rewards.nansum(dim=1, keepdim=True) - rewards
    return torch.where(scored & (siblings > 0), rewards - others / siblings, 0.0)


def group_relative_advantages(rewards: Tensor, *, scale: bool = True) -> Tensor:
    """Return each reward minus its group's mean, over its std: arXiv:2402.03300, section 4.1.2.

    Without ``scale`` the division is left out (Dr. GRPO, arXiv:2503.20783), so that groups of
    nearly equal rewards do not weigh more. The std divides by n - 1, as TRL's does; the paper does
    not say. Exactly 0 in a group whose rewards are all equal.
    """
    centred = rewards - rewards.nanmean(dim=1, keepdim=True)
    if scale:
        count = (~rewards.isnan()).sum(dim=1, keepdim=True)
        variance = centred.square().nansum(dim=1, keepdim=True) / (count - 1)
        centred = centred / (variance.sqrt() + GROUP_STD_EPSILON)
    # Rounding of the mean would leave a trace of a signal.
    silent = without_signal(rewards).unsqueeze(1) | rewards.isnan()
    return torch.where(silent, 0.0, centred)


def without_signal(rewards: Tensor) -> Tensor:
    """Return true for each group that cannot teach anything: all its rewards equal, (prompts,).

    Also where fewer than two completions have a reward.
    """
    lowest = rewards.nan_to_num(nan=torch.inf).amin(dim=1)
    highest = rewards.nan_to_num(nan=-torch.inf).amax(dim=1)
    return lowest >= highest
