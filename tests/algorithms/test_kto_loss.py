import math

import pytest
import torch

from ablate.algorithms.kto import kl_baseline, kto_loss, mismatched

LN3 = math.log(3.0)


def test_d7_the_loss_follows_equation_8() -> None:
    """Gains +-(log 3 / 0.5 + 1 - 1) * 0.5 = +-log 3: sigmoid 3/4 and 1/4, losses 1/4 and 3/4."""
    ratio = 2 * LN3 + 1.0
    loss = kto_loss(
        torch.tensor([ratio, ratio]),
        torch.tensor([True, False]),
        baseline=torch.tensor(1.0),
        beta=0.5,
        desirable_weight=2.0,
        undesirable_weight=4.0,
    )
    torch.testing.assert_close(loss, torch.tensor([0.5, 3.0]))


def test_a_step_raises_desirable_and_lowers_undesirable_examples() -> None:
    ratios = torch.zeros(2, requires_grad=True)
    labels = torch.tensor([True, False])
    loss = kto_loss(ratios, labels, baseline=torch.tensor(0.0), beta=0.4)
    torch.autograd.backward(loss.sum())
    # At the reference point the slope is beta * sigmoid(0)^2 = 0.1.
    torch.testing.assert_close(ratios.grad, torch.tensor([-0.1, 0.1]))


def test_d3_shares_of_micro_batches_add_up_under_one_baseline() -> None:
    ratios, labels = torch.tensor([0.2, -1.0, 3.0]), torch.tensor([True, False, False])
    baseline = kl_baseline(torch.tensor([0.5, 0.1, 0.3]))
    whole = kto_loss(ratios, labels, baseline=baseline, beta=0.1).sum()
    parts = [
        kto_loss(ratios[part], labels[part], baseline=baseline, beta=0.1).sum()
        for part in (slice(0, 1), slice(1, 3))
    ]
    torch.testing.assert_close(sum(parts), whole)


def test_d7_the_baseline_is_a_mean_clamped_at_zero_without_gradient() -> None:
    ratios = torch.tensor([3.0, -1.0], requires_grad=True)
    assert kl_baseline(ratios).item() == 1.0
    assert not kl_baseline(ratios).requires_grad
    assert kl_baseline(torch.tensor([-3.0, 1.0])).item() == 0.0


def test_d7_every_prompt_meets_the_completion_after_its_own() -> None:
    assert mismatched(["a", "b", "c"]) == [1, 2, 0]


def test_d7_repeated_prompts_do_not_meet_their_own_completions() -> None:
    # Both sides of three pairs, side by side: a shift of 1 would meet the same prompt three times.
    prompts = ["a", "a", "b", "b", "c", "c"]
    partners = mismatched(prompts)
    assert partners == [2, 3, 4, 5, 0, 1]
    assert sorted(partners) == list(range(6))


def test_d7_a_prompt_of_the_majority_meets_itself_as_rarely_as_possible() -> None:
    prompts = ["a", "a", "a", "b"]
    assert sum(prompts[i] == prompts[j] for i, j in enumerate(mismatched(prompts))) == 2


@pytest.mark.parametrize("prompts", [[], ["a"], ["a", "a"]])
def test_d7_one_prompt_cannot_be_mismatched(prompts: list[str]) -> None:
    with pytest.raises(ValueError, match="at least two prompts"):
        mismatched(prompts)
