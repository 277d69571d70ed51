"""Sets with a row for each reply: HelpSteer and PRM800K. Neighbouring rows of a prompt are joined.

Rows of one prompt that do not follow each other make a record each time, so that a file of any size
passes through; the filter ``duplicates`` of prompts keeps the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from ablate.data.converters.common import (
    Columns,
    Context,
    Converter,
    draw,
    judged,
    mapping,
    pair_of,
    score,
)
from ablate.data.reading.columns import MalformedRow, answer, short, text
from ablate.data.reading.limits import Row
from ablate.data.records import Dropped, Judged, RatedReply, user
from ablate.data.shaping.items import Item

HELPSTEER = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
"""Ratings from 0 to 4, higher is more."""
_AVERAGED = HELPSTEER[:4]  # The published conversion leaves verbosity out of the mean.


class Answer(NamedTuple):
    """One row: a reply and what is said of it."""

    row: int
    prompt: str
    reply: str
    ratings: Mapping[str, float] = {}
    wrong: bool = False
    """Whether an error was found in it."""
    solution: str = ""
    """A right reply to the same prompt; empty where there is none."""


Group = list[Answer]
Read = Callable[[int, Columns], Answer]
Join = Callable[[Group, Context], Judged | str]


def _grouped(read: Read, join: Join) -> Converter:
    """Return the converter that makes one record of neighbouring rows with one prompt."""

    def joined(group: Group, source: str) -> Iterator[Item | Dropped]:
        if group:
            first = group[0].row
            found = join(group, Context(f"{source}-{first}", source, user(group[0].prompt)))
            yield Dropped(first, found) if isinstance(found, str) else found

    def converter(rows: Iterable[Row], source: str) -> Iterator[Item | Dropped]:
        group: Group = []
        for number, row in rows:
            try:
                said = read(number, row)
            except MalformedRow:
                # Where such rows are skipped it begins anew after this one: nothing held is lost.
                yield from joined(group, source)
                raise
            if group and said.prompt != group[0].prompt:
                yield from joined(group, source)
                group = []
            group.append(said)
        yield from joined(group, source)

    return converter


def _helpsteer_row(number: int, row: Columns) -> Answer:
    ratings = {name: score(row, name) for name in HELPSTEER}
    return Answer(number, text(row, "prompt"), text(row, "response"), ratings)


def _helpsteer(group: Group, context: Context, *, inverted: bool = False) -> Judged | str:
    """Return the best reply by the mean of four ratings against a random other, and all ratings.

    We depart from the published conversion (EasyLM, conversion_scripts/convert_preference_data.py),
    which sorts upwards and so takes the *worst* as chosen; ``inverted`` does as published.
    """
    if len(group) < 2:
        return "single_reply"
    means = [sum(answer.ratings[name] for name in _AVERAGED) / 4 for answer in group]
    first = means.index(min(means) if inverted else max(means))
    other = [at for at in range(len(group)) if at != first][draw(context.id, len(group) - 1)]
    replies = group[first].reply, group[other].reply
    scores = means[first], means[other]
    pair = pair_of(context, replies, scores=scores, margin=not inverted)
    if isinstance(pair, str):
        return pair
    said = context.id, pair.prompt
    rated = [RatedReply(*said, a.reply.strip(), a.ratings, source=context.source) for a in group]
    return Judged(pair, rated=tuple(rated))


def _prm800k_row(number: int, row: Columns) -> Answer:
    question = mapping(row.get("question"), "column 'question'")
    finished = mapping(row.get("label"), "column 'label'").get("finish_reason")
    steps = question.get("pre_generated_steps") or []
    if not isinstance(steps, list) or not all(isinstance(step, str) for step in steps):
        raise MalformedRow(f"'pre_generated_steps' is {short(steps)}; a list of texts is needed")
    return Answer(
        number,
        text(question, "problem"),
        "\n".join(steps),
        wrong=finished == "found_error",
        solution=answer(question, "ground_truth_solution") or "",
    )


def _prm800k(group: Group, context: Context) -> Judged | str:
    """Return the problem's solution against a random generation in which an error was found.

    Phase 2 only, whose generations are whole. Right generations are not used, as published.
    """
    wrong = [answer.reply for answer in group if answer.wrong]
    if not wrong:
        return "no_wrong_reply"
    if not group[0].solution:
        return "no_solution"
    return judged(context, (group[0].solution, wrong[draw(context.id, len(wrong))]))


CONVERTERS = {
    "helpsteer": _grouped(_helpsteer_row, _helpsteer),
    "helpsteer_as_published": _grouped(_helpsteer_row, partial(_helpsteer, inverted=True)),
    "prm800k": _grouped(_prm800k_row, _prm800k),
}
"""By layout."""
