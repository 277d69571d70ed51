"""The reward functions of this package: closed forms, exact and free of charge."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from ablate.data.answers import flexible_answer, same_answer
from ablate.data.gold import gold_scorer
from ablate.data.tiny import words
from ablate.data.tiny.catalogue import WORLD
from ablate.data.tiny.gold import politeness_points
from ablate.rewards.nouns import nouns_of
from ablate.rewards.responses import Response

_MARKED = re.compile(
    r"####[ \t]*(?P<hashes>\S[^\n]*)"
    r"|\\boxed\{(?P<boxed>[^{}]+)\}"
    r"|<answer>(?P<tag>.+?)</answer>",
    re.S,
)


def noun_count(responses: Sequence[Response]) -> list[float]:
    """Return the number of nouns in each reply, repetitions included: D2PO's gold reward.

    D2PO (arXiv:2405.01511) counts with a part-of-speech tagger, which reads words in context. Here
    a word counts where a list has it (`ablate.rewards.nouns`): the same number on every machine and
    nothing to download, but blind to context ("he can book a flight" has two nouns), to rare nouns
    and to proper ones.
    """
    return [float(len(nouns_of(response.text))) for response in responses]


def unique_noun_count(responses: Sequence[Response]) -> list[float]:
    """Return the number of different nouns in each reply, singular and plural being one noun."""
    return [float(len(set(nouns_of(response.text)))) for response in responses]


def gold(responses: Sequence[Response]) -> list[float]:
    """Return the reward that a generated world gives itself.

    Raises ValueError for a prompt of no world, whose gold reward nobody knows.
    """
    return [_verdicts(response)[1] for response in responses]


def verifiable(responses: Sequence[Response]) -> list[float]:
    r"""Return 1 for each reply whose final answer is right, else 0.

    In a generated world that is its own exact check. Elsewhere the prompt's target decides: a
    number is compared with the last ``#### x``, ``\boxed{x}`` or ``<answer>x</answer>``, or with
    the last number where the reply has none of them; any other target with the marked answer, or
    with the whole reply, letter for letter but for white space at the ends. A reply that was cut is
    judged by what is there. Raises ValueError for a prompt with neither world nor target.
    """
    return [_is_right(response) for response in responses]


def answer_format(responses: Sequence[Response]) -> list[float]:
    r"""Return 1 for each reply of the form that a program can read an answer from, else 0.

    In tiny-instruct that is the polite form: the good opener, the closer once and at the end, no
    filler. Elsewhere it is one marked answer (``#### x``, ``\boxed{x}`` or ``<answer>x</answer>``)
    with nothing but punctuation after it. A reply that was cut has no form. What the answer says
    plays no part: use it beside a reward that does, or alone to see a policy learn a form.
    """
    return [float(response.ended and _has_form(response)) for response in responses]


def _verdicts(response: Response) -> tuple[float, float]:
    """Return correctness and reward by the response's world."""
    scorer = gold_scorer(response.world)
    if scorer is None:
        raise ValueError("the prompt is of no generated world, so its gold reward is not known")
    verdict = scorer(response.messages, response.text, response.ended)
    return verdict.correct, verdict.reward


def _is_right(response: Response) -> float:
    if response.world is not None:
        return _verdicts(response)[0]
    if response.target is None:
        raise ValueError("the prompt has no target; give its file a column 'target'")
    marked = final_answer(response.text)
    if _is_number(response.target):
        answer = flexible_answer(response.text if marked is None else marked)
        return same_answer(answer, _plain(response.target))
    return float((response.text if marked is None else marked).strip() == response.target.strip())


def final_answer(text: str) -> str | None:
    """Return the last answer that is marked as one, or None."""
    found = [next(filter(None, match.groups())) for match in _MARKED.finditer(text)]
    return found[-1].strip() if found else None


def _has_form(response: Response) -> bool:
    if response.world == WORLD:
        tokens = response.text.split()
        best = politeness_points(tokens) == _POLITE
        closer = words.CLOSER.split()
        return best and tokens[-len(closer) :] == closer and words.FILLER not in tokens
    found = list(_MARKED.finditer(response.text))
    return len(found) == 1 and not re.search(r"\w", response.text[found[0].end() :])


_POLITE = politeness_points([*words.GOOD_OPENER.split(), *words.CLOSER.split()])


def _plain(target: str) -> str:
    return target.strip().replace("$", "").replace(",", "")


def _is_number(target: str) -> bool:
    try:
        return Decimal(_plain(target)).is_finite()
    except InvalidOperation:
        return False
