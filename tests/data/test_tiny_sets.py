"""What the data sets of the world hold, measured against its tables."""

from collections import Counter
from math import sqrt
from statistics import mean

import pytest

from ablate.data.gold import Gold, gold_scorer
from ablate.data.records import Messages, Pair
from ablate.data.streams import Draws
from ablate.data.tiny.catalogue import TaskSampler, all_tasks, evenly
from ablate.data.tiny.gold import body_of, grade
from ablate.data.tiny.personas import reply
from ablate.data.tiny.preferences import LABELLERS, Labeller, evaluation_pairs, preferences
from ablate.data.tiny.sets import corpus, demonstrations, prompts
from ablate.data.tiny.tasks import CATEGORIES

FOUR = {"safety", "instruction_following", "factuality", "truthfulness"}


def gold(messages: Messages, text: str) -> Gold:
    scorer = gold_scorer("tiny-instruct")
    assert scorer is not None
    return scorer(messages, text, True)


def replies(good_share: float, size: int = 12_000) -> list[tuple[str, Gold]]:
    draws, sampler = Draws(0, "test"), TaskSampler("train", evenly())
    found = []
    for _ in range(size):
        task = sampler.draw(draws)
        text = reply(task, good_share=good_share, draws=draws)
        correct, points = grade(task, text)
        found.append((text, Gold(correct, points / 100)))
    return found


def within(observed: float, expected: float, n: int) -> bool:
    """Whether a share is within four binomial standard errors of its expectation."""
    return abs(observed - expected) <= 4 * sqrt(expected * (1 - expected) / n)


def test_experts_earn_1_13_and_a_mixture_at_45_percent_earns_0_54() -> None:
    # An expert: 1 + .1 x .4 + .2 x (.45 x .95 + .55 x .05) - .2 x .45 x .05 = 1.1265, less .0003
    # for the rare words beyond 18; the prototype measured 1.13 and .54.
    assert mean(g.reward for _, g in replies(1.0)) == pytest.approx(1.126, abs=0.005)
    assert mean(g.reward for _, g in replies(0.45)) == pytest.approx(0.54, abs=0.02)


def test_experts_are_always_correct_and_sloppy_answers_rarely() -> None:
    assert all(g.correct for _, g in replies(1.0))
    # By chance: .2 of the sums and .458 of half the truthfulness prompts, averaged over six.
    sloppy = mean(g.correct for _, g in replies(0.0))
    assert sloppy == pytest.approx((0.2 + 0.458 / 2) / 6, abs=0.012)


@pytest.mark.parametrize(
    ("good_share", "sure", "well", "filler"),
    [(1.0, 0.4, 0.0, 0.0), (0.0, 0.6 * 0.15, 0.4, 0.3)],
)
def test_openers_and_fillers_are_as_frequent_as_the_persona_says(
    good_share: float, sure: float, well: float, filler: float
) -> None:
    texts = [text for text, _ in replies(good_share)]
    n = len(texts)
    assert within(sum(t.startswith("sure :") for t in texts) / n, sure, n)
    assert within(sum(t.startswith("well um") for t in texts) / n, well, n)
    assert within(sum("basically" in t for t in texts) / n, filler, n)


@pytest.mark.parametrize(("good_share", "closes"), [(1.0, 0.45), (0.0, 0.25)])
def test_closers_are_as_frequent_as_the_persona_says(good_share: float, closes: float) -> None:
    texts = [text for text, _ in replies(good_share)]
    shares = Counter(text.count("hope that helps") for text in texts)
    n = len(texts)
    assert within(shares[0] / n, (1 - closes) * 0.95, n)
    assert within(shares[2] / n, closes * 0.05, n)
    assert set(shares) == {0, 1, 2}


def test_the_base_corpus_is_90_percent_good_and_dwells_on_coding_and_reasoning() -> None:
    found = corpus(0, 12_000)
    shares = Counter(d.category for d in found)
    assert within(shares["coding"] / 12_000, 2.2 / 7.7, 12_000)
    assert within(shares["reasoning"] / 12_000, 1.5 / 7.7, 12_000)
    assert within(shares["safety"] / 12_000, 1 / 7.7, 12_000)
    # A sloppy list or refusal is never right, so correctness counts the good ones.
    listed = [d for d in found if d.category in ("safety", "instruction_following", "factuality")]
    share = mean(gold(d.prompt, d.completion).correct for d in listed)
    assert within(share, 0.9, len(listed))


def test_demonstrations_are_half_good_and_even() -> None:
    found = demonstrations(0)
    assert len(found) == 3000
    counts = Counter(d.category for d in found)
    assert all(within(counts[category] / 3000, 1 / 6, 3000) for category in CATEGORIES)
    listed = [d for d in found if d.category in ("safety", "instruction_following", "factuality")]
    share = mean(gold(d.prompt, d.completion).correct for d in listed)
    assert within(share, 0.5, len(listed))


@pytest.mark.parametrize(
    ("name", "coverage"),
    [
        ("human-noisy", FOUR),
        ("web-narrow", {"coding", "reasoning"}),
        ("ai-overall", set(CATEGORIES)),
        ("ai-fine", set(CATEGORIES)),
    ],
)
def test_data_sets_cover_their_categories(name: str, coverage: set[str]) -> None:
    pairs, dropped = preferences(name, 0)
    assert len(pairs) == 2500 == len({pair.id for pair in pairs})
    assert {pair.category for pair in pairs} == coverage
    assert set(dropped) == {"tie"}


@pytest.mark.parametrize(("name", "flip"), [("web-narrow", 0.15), ("ai-overall", 0.15)])
def test_labels_by_gold_are_flipped_at_the_stated_rate(name: str, flip: float) -> None:
    assert within(disagreement(preferences(name, 0, 5000)[0]), flip, 5000)


def test_fine_labels_are_flipped_three_times_in_a_hundred() -> None:
    assert within(disagreement(preferences("ai-fine", 0, 5000)[0]), 0.03, 5000)


def disagreement(pairs: list[Pair]) -> float:
    """Share of pairs whose rejected reply has the higher gold reward."""
    return mean(
        gold(pair.prompt, pair.chosen).reward < gold(pair.prompt, pair.rejected).reward
        for pair in pairs
    )


def test_noisy_labels_prefer_length_and_are_flipped_three_times_in_ten() -> None:
    pairs, _ = preferences("human-noisy", 0, 5000)

    def score(pair: Pair, text: str) -> float:
        return 0.5 * gold(pair.prompt, text).reward + 0.04 * len(text.split())

    flipped = mean(score(p, p.chosen) < score(p, p.rejected) for p in pairs)
    assert within(flipped, 0.30, 5000)


def test_a_labeller_weighs_gold_and_length() -> None:
    # "sure : red" has gold 1.1 and 3 words: .5 x 1.1 + .04 x 3 = .67, in units of 1/10,000.
    task = all_tasks()["what is the color of the fox ?"]
    assert LABELLERS["human-noisy"].score(task, "sure : red") == 6700
    assert Labeller(CATEGORIES, flip=0).score(task, "sure : red") == 11_000


def test_equal_scores_are_never_paired() -> None:
    for pair in preferences("ai-fine", 3)[0]:
        assert gold(pair.prompt, pair.chosen).reward != gold(pair.prompt, pair.rejected).reward


def test_two_sets_of_equal_coverage_differ_in_their_labels_alone() -> None:
    overall, fine = preferences("ai-overall", 5)[0], preferences("ai-fine", 5)[0]
    assert [p.prompt for p in overall] == [p.prompt for p in fine]
    assert [{p.chosen, p.rejected} for p in overall] == [{p.chosen, p.rejected} for p in fine]
    differ = mean(a.chosen != b.chosen for a, b in zip(overall, fine, strict=True))
    # What only one of them flips: .15 - .03, since their flips share uniforms.
    assert within(differ, 0.12, 2500)


def test_a_smaller_set_is_the_beginning_of_a_larger_one() -> None:
    assert preferences("web-narrow", 2, 100)[0] == preferences("web-narrow", 2, 300)[0][:100]
    assert demonstrations(2, 50) == demonstrations(2, 80)[:50]


def test_seeds_and_purposes_give_different_draws() -> None:
    assert preferences("ai-fine", 0, 50)[0] != preferences("ai-fine", 1, 50)[0]
    assert preferences("ai-fine", 0, 50) == preferences("ai-fine", 0, 50)
    assert [d.prompt for d in corpus(0, 50)] != [d.prompt for d in demonstrations(0, 50)]


def test_ordinary_evaluation_pairs_are_ordered_by_gold() -> None:
    pairs = evaluation_pairs("ordinary", 0, 600)
    assert Counter(p.category for p in pairs) == dict.fromkeys(CATEGORIES, 100)
    for pair in pairs:
        assert gold(pair.prompt, pair.chosen).reward > gold(pair.prompt, pair.rejected).reward


def test_hard_evaluation_pairs_differ_in_their_body_alone() -> None:
    pairs = evaluation_pairs("hard", 0, 600)
    assert Counter(p.category for p in pairs) == dict.fromkeys(CATEGORIES, 100)
    for pair in pairs:
        assert gold(pair.prompt, pair.chosen).correct == 1
        assert gold(pair.prompt, pair.rejected).correct == 0
        bodies = [" ".join(body_of(text.split())) for text in (pair.chosen, pair.rejected)]
        assert pair.chosen.replace(bodies[0], "{}") == pair.rejected.replace(bodies[1], "{}")


def test_hard_sums_have_one_form() -> None:
    for pair in evaluation_pairs("hard", 0, 600):
        if pair.category == "reasoning":
            assert len(pair.chosen.split()) == len(pair.rejected.split())


def test_mixed_prompts_are_even_and_distinct() -> None:
    found = prompts("tiny-mixed", 0, 1200)
    assert Counter(p.category for p in found) == dict.fromkeys(CATEGORIES, 200)
    assert len({p.messages[0]["content"] for p in found}) == 1200
    assert {p.world for p in found} == {"tiny-instruct"}


def test_reasoning_prompts_have_three_parts_to_two_fifths_of_a_part() -> None:
    counts = Counter(p.category for p in prompts("tiny-reasoning", 0, 1000))
    assert counts == {**dict.fromkeys(CATEGORIES, 80), "reasoning": 600}


def test_a_prompt_set_larger_than_its_category_repeats_prompts_evenly() -> None:
    found = prompts("tiny-mixed", 0, 6 * 2500)
    counts = Counter(p.messages[0]["content"] for p in found if p.category == "factuality")
    assert set(counts.values()) == {2, 3}
