"""What a plan says about the smallest difference it will see."""

import pytest

from ablate.plan.cells import expand
from ablate.plan.power import sight
from ablate.spec.load import study_from_text

TEXT = """
study: toy
base: {model: tiny-instruct, dataset: ai-fine, algorithm: dpo}
rows: [sft]
baseline: sft
seeds: 3
grid:
  policy.beta: [0.05, 0.1]
"""


def seen(text: str):
    loaded = study_from_text(text)
    return sight(loaded.study, expand(loaded))


def test_the_baseline_is_not_compared_with_itself():
    assert seen(TEXT).comparisons == 2


def test_items_are_those_of_the_split_and_the_limit():
    assert seen(TEXT).items == 6 * 128
    assert seen(TEXT.replace("dpo}", "dpo, evaluation: {split: validation}}")).items == 6 * 64
    assert seen(TEXT.replace("dpo}", "dpo, evaluation: {limit: 10}}")).items == 60


def test_more_seeds_see_smaller_differences():
    few, many = (seen(TEXT.replace("seeds: 3", f"seeds: {n}")) for n in (3, 12))
    assert many.detectable_points < few.detectable_points


def test_one_seed_sees_what_items_alone_allow():
    # sqrt(0.2 * 100^2 / 768) = 1.61 points; with two comparisons (z_.9875 + z_.8) * 1.61 = 4.97,
    # and Student's t with 762 degrees is 0.3 % wider.
    found = seen(TEXT.replace("seeds: 3", "seeds: 1")).detectable_points
    assert found == pytest.approx((2.2414 + 0.8416) * 1.6137, rel=0.005)
