"""Rankings and ratings of tiny-instruct: what its labellers say of more than two replies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ablate.data.records import Judged, Pair, Ranking, RatedReply, user
from ablate.data.streams import Draws
from ablate.data.tiny.catalogue import WORLD, TaskSampler, evenly
from ablate.data.tiny.personas import reply
from ablate.data.tiny.preferences import GOOD_SHARE, LABELLERS, Labeller
from ablate.data.tiny.tasks import Task

DRAWS_PER_REPLY = 8
"""Replies drawn at most for each that is asked for. Nine different scores then come together for
95 % of the prompts, four for all."""
UNIT = 10_000
"""A labeller's score is counted in so many parts of a reward of 1."""


def judged(
    name: str, seed: int, examples: int, *, replies: int
) -> tuple[list[Judged], Counter[str]]:
    """Return so many prompts of a data set with ``replies`` ranked and rated replies each.

    A reply that ties with an earlier one is drawn again, and counted. The pair of a prompt is the
    best reply against a random other one (as in Nectar, Zhu et al. 2023), its margin the gap
    between both scores: of a mistaken pair too, because a labeller errs about the order, not about
    the distance. With another number of replies a prompt has other replies.
    """
    labeller = LABELLERS[name]
    purpose = "tiny-instruct/preferences"
    flips, others, ratings = (
        Draws(seed, f"{purpose}/{part}") for part in ("flips", "others", "ratings")
    )
    dropped: Counter[str] = Counter()
    source = _several(labeller, Draws(seed, f"{purpose}/replies"), dropped, replies=replies)
    rows: list[Judged] = []
    while len(rows) < examples:
        task, best_first = next(source)
        order = noisy_order(replies, labeller.flip, flips)
        ranked = [best_first[place] for place in order]
        other = others.choice(ranked[1:])
        margin = abs(labeller.score(task, ranked[0]) - labeller.score(task, other)) / UNIT
        shared = (f"{name}-{seed}-{len(rows)}", user(task.prompt))
        kind = (task.category, WORLD)
        rows.append(
            Judged(
                Pair(*shared, ranked[0], other, *kind, margin),
                Ranking(*shared, tuple(ranked), *kind),
                tuple(
                    RatedReply(*shared, text, rating, *kind)
                    for text, rating in zip(
                        ranked, rated(labeller, task, ranked, ratings), strict=True
                    )
                ),
            )
        )
    return rows, dropped


def noisy_order(replies: int, flip: float, draws: Draws) -> list[int]:
    """Return the order that a labeller gives to replies 0, 1, ..., truly from best to worst.

    Mallows' model (1957): every comparison of two replies is turned round with probability
    ``flip``, given that no comparisons contradict each other. An order with d comparisons turned
    round is (flip / (1 - flip)) ** d as likely as the true one, so two replies change places with
    probability ``flip``. Drawn by repeated insertion, one uniform for each reply but the first.
    """
    odds = flip / (1.0 - flip)
    order: list[int] = []
    for place in range(replies):
        weights = [odds**above for above in range(place, -1, -1)]  # How many it is put before.
        left = draws.unit() * sum(weights) if place else 0.0
        at = 0
        while at < place and left >= weights[at]:
            left -= weights[at]
            at += 1
        order.insert(at, place)
    return order


def rated(
    labeller: Labeller, task: Task, replies: list[str], draws: Draws
) -> Iterator[dict[str, float]]:
    """Yield the ratings of each reply: the terms of the labeller's score, whose sum is the score.

    With the labeller's probability of a flip a rating is that of another reply to the prompt: the
    two are mistaken for each other in that attribute.
    """
    terms = [labeller.terms(task, text) for text in replies]
    for own in range(len(replies)):
        others = [of_reply for place, of_reply in enumerate(terms) if place != own]
        yield {
            name: (draws.choice(others) if draws.chance(labeller.flip) else terms[own])[name] / UNIT
            for name in terms[own]
        }


def _several(
    labeller: Labeller, draws: Draws, dropped: Counter[str], *, replies: int
) -> Iterator[tuple[Task, list[str]]]:
    """Yield a task with replies of different scores, the best first, without end."""
    sampler = TaskSampler("train", evenly(labeller.categories))
    while True:
        task = sampler.draw(draws)
        by_score: dict[int, str] = {}
        for _ in range(DRAWS_PER_REPLY * replies):
            text = reply(task, good_share=GOOD_SHARE, draws=draws)
            score = labeller.score(task, text)
            dropped["tie"] += score in by_score
            by_score.setdefault(score, text)
            if len(by_score) == replies:
                yield task, [by_score[score] for score in sorted(by_score, reverse=True)]
                break
        else:
            dropped["too_few_different_replies"] += 1
