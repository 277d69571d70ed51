import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ablate.algorithms.attributes import attribute_loss, rated, weighted_score
from ablate.algorithms.bradley_terry import bradley_terry_loss
from ablate.algorithms.ensembles import ensemble_mean, uncertainty_weighted, worst_case
from ablate.algorithms.ranking import all_pairs_loss, plackett_luce_loss

NAN = math.nan
LN2 = math.log(2)
RankingLoss = Callable[[Tensor, Tensor], Tensor]


@pytest.mark.parametrize("loss", [plackett_luce_loss, all_pairs_loss])
def test_a_ranking_of_two_is_a_pair(loss: RankingLoss) -> None:
    scores = torch.tensor([[1.5, 0.2], [-1.0, 3.0]])
    expected = bradley_terry_loss(scores[:, 0], scores[:, 1])
    torch.testing.assert_close(loss(scores, torch.ones(2, 2)), expected)


def test_plackett_luce_draws_one_after_the_other() -> None:
    """Weights 4, 2, 2: 4/8 for the first, then 2/4: probability 1/4."""
    scores = torch.tensor([[2 * LN2, LN2, LN2]])
    loss = plackett_luce_loss(scores, torch.ones(1, 3))
    assert loss.item() == pytest.approx(2 * LN2)


def test_plackett_luce_probabilities_of_all_orders_add_up_to_one() -> None:
    scores = torch.tensor([0.3, -1.0, 2.0, 0.5])
    orders = torch.stack([scores[list(order)] for order in itertools.permutations(range(4))])
    probabilities = (-plackett_luce_loss(orders, torch.ones(24, 4))).exp()
    assert probabilities.sum().item() == pytest.approx(1.0)


def test_all_pairs_weigh_the_same() -> None:
    """Margins log 3, log 3 and 2 log 3: log 4/3 twice and log 10/9; their mean."""
    ln3 = math.log(3)
    loss = all_pairs_loss(torch.tensor([[2 * ln3, ln3, 0.0]]), torch.ones(1, 3))
    assert loss.item() == pytest.approx((2 * math.log(4 / 3) + math.log(10 / 9)) / 3)


@pytest.mark.parametrize("padding", [-1e4, 0.0, 1e4, NAN])
@pytest.mark.parametrize("loss", [plackett_luce_loss, all_pairs_loss])
def test_shorter_rankings_are_padded_without_effect(loss: RankingLoss, padding: float) -> None:
    short = torch.tensor([[1.0, 0.5, -0.3]], requires_grad=True)
    expected = loss(short, torch.ones(1, 3))
    (slope,) = torch.autograd.grad(expected.sum(), short)
    padded = torch.tensor([[1.0, 0.5, -0.3, padding], [4.0, 3.0, 2.0, 1.0]], requires_grad=True)
    found = loss(padded, torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]]))
    torch.testing.assert_close(found[:1], expected)
    (wide,) = torch.autograd.grad(found.sum(), padded)
    torch.testing.assert_close(wide[:1, :3], slope)
    assert wide[0, 3].item() == 0.0


@pytest.mark.parametrize("loss", [plackett_luce_loss, all_pairs_loss])
def test_a_step_raises_the_best_and_lowers_the_worst(loss: RankingLoss) -> None:
    scores = torch.zeros(1, 4, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(scores, torch.ones(1, 4)).sum(), scores)
    assert slope[0, 0] < 0 < slope[0, 3]
    assert slope.sum().item() == pytest.approx(0.0, abs=1e-6)


def test_a_ranking_of_one_says_nothing() -> None:
    scores, mask = torch.tensor([[1.0, 5.0]]), torch.tensor([[1, 0]])
    assert plackett_luce_loss(scores, mask).item() == 0.0
    assert all_pairs_loss(scores, mask).isnan().all()


def test_attributes_that_were_not_rated_do_not_count() -> None:
    # Errors 1, 2 and -3 over three ratings: 14 / 3.
    predicted = torch.tensor([[1.0, 9.0], [5.0, 0.0]], requires_grad=True)
    targets = torch.tensor([[0.0, NAN], [3.0, 3.0]])
    total = float(rated(targets).sum())
    loss = attribute_loss(predicted, targets, total=total)
    assert total == 3.0
    assert loss.item() == pytest.approx(14 / 3)
    (slope,) = torch.autograd.grad(loss, predicted)
    torch.testing.assert_close(slope, torch.tensor([[2 / 3, 0.0], [4 / 3, -2.0]]))


def test_d3_attribute_shares_add_up_to_the_mean_over_ratings() -> None:
    predicted, targets = torch.randn(4, 3), torch.tensor([[0.0, NAN, 1.0]] * 3 + [[NAN] * 3])
    parts = [attribute_loss(predicted[i : i + 1], targets[i : i + 1], total=6.0) for i in range(4)]
    seen = torch.tensor([True, False, True])
    expected = (predicted[:3, seen] - targets[:3, seen]).square().mean()
    torch.testing.assert_close(sum(parts), expected)


def test_an_undefined_prediction_is_not_taken_for_a_missing_rating() -> None:
    assert attribute_loss(torch.tensor([[NAN]]), torch.ones(1, 1), total=1.0).isnan()


def test_a_score_is_the_weighted_sum_of_attributes() -> None:
    attributes = torch.tensor([[4.0, 1.0], [2.0, 3.0]])
    assert weighted_score(attributes, torch.tensor([0.5, -1])).tolist() == [1.0, -2.0]


def test_ensembles_take_mean_worst_and_mean_minus_variance() -> None:
    # Members 1, 2, 6: mean 3, population variance (4 + 1 + 9) / 3 = 14/3.
    scores = torch.tensor([[1.0, 0.0], [2.0, 0.0], [6.0, 0.0]])
    assert ensemble_mean(scores).tolist() == [3.0, 0.0]
    assert worst_case(scores).tolist() == [1.0, 0.0]
    found = uncertainty_weighted(scores, variance_coef=0.5)
    torch.testing.assert_close(found, torch.tensor([3.0 - 7 / 3, 0.0]))


def pessimistic(scores: Tensor) -> Tensor:
    return uncertainty_weighted(scores, variance_coef=1.0)


@pytest.mark.parametrize("combine", [ensemble_mean, worst_case, pessimistic])
def test_an_ensemble_of_one_is_its_member_and_a_missing_score_stays_missing(
    combine: Callable[[Tensor], Tensor],
) -> None:
    assert combine(torch.tensor([[1.0, -2.0]])).tolist() == [1.0, -2.0]
    assert combine(torch.tensor([[1.0], [NAN]])).isnan().all()
