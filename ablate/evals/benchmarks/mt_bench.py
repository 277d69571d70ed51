"""MT-Bench: 80 questions of two turns, each reply graded from 1 to 10 (Zheng et al. 2023).

Departures: the grading judge is the study's, and decoding is the suite's in every category, where
the original samples at temperatures of each category's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ablate.data.reading.columns import MalformedRow, text
from ablate.data.reading.files import bad_row
from ablate.data.reading.limits import Row
from ablate.data.records import user
from ablate.evals.benchmarks.judged import (
    diagnostic,
    failures,
    items_of,
    judge_of,
    judgeable,
    keep_words,
    note_missing,
    repeats,
)
from ablate.evals.benchmarks.kind import Finishing, Kind, Source
from ablate.evals.judging.judge import Question
from ablate.evals.rates import count_items
from ablate.evals.records import Metric
from ablate.evals.tasks import Item, Scored, Scores
from ablate.stats.agreement import krippendorff_alpha
from ablate.stats.win_rates import repeat_noise

TURNS = 2
REFERENCE = "reference"
"""Role of the file with right answers, which the original gives for math, reasoning and coding."""


def items(source: Source) -> list[Item]:
    """Return the first turns; there are none for validation."""
    if source.split != "test":
        return []
    references = _references(source) if REFERENCE in source.task.files else {}
    return items_of(source, lambda row: _item(row, references))


def _item(numbered: Row, references: Mapping[str, list[str]]) -> Item:
    _, row = numbered
    question = _question(row)
    first, second = _two(row.get("turns"), "column 'turns'")
    return Item(
        f"mt_bench-{question}",
        user(first),
        category=text(row, "category"),
        cluster=question,
        info={"turn": 1, "next": second, "references": references.get(question, [])},
    )


def _question(row: Mapping[str, Any]) -> str:
    found = row.get("question_id")
    if isinstance(found, bool) or not isinstance(found, int | str):
        raise MalformedRow(f"column 'question_id' is {type(found).__name__}; a number is needed")
    return str(found)


def _two(turns: Any, where: str) -> tuple[str, str]:
    if not isinstance(turns, list) or len(turns) != TURNS:
        found = f"{len(turns)} of them" if isinstance(turns, list) else type(turns).__name__
        raise MalformedRow(f"{where} is {found}; a list of {TURNS} texts is needed")
    first, second = (text({where: turn}, where) for turn in turns)
    return first, second


def _references(source: Source) -> dict[str, list[str]]:
    """Return right answers by question, one for each turn."""
    found: dict[str, list[str]] = {}
    for number, row in source.rows(REFERENCE):
        try:
            choices = row.get("choices")
            if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
                raise MalformedRow("column 'choices' is no list of an object with 'turns'")
            found[_question(row)] = list(_two(choices[0].get("turns"), "'turns' of a choice"))
        except MalformedRow as error:
            raise bad_row(source.path(REFERENCE), number, str(error)) from error
    return found


def follow_up(out: Scored) -> Item | None:
    """Return the second turn, which goes on from the policy's own first reply."""
    if out.item.info["turn"] == TURNS:
        return None
    return Item(
        f"{out.item.id}-2",
        (
            *out.item.messages,
            {"role": "assistant", "content": str(out.generation or "")},
            *user(out.item.info["next"]),
        ),
        category=out.item.category,
        cluster=out.item.cluster,
        info={"turn": 2, "references": out.item.info["references"]},
    )


def score(item: Item, output: Any) -> Scores:
    """Return that a reply has no rating until it is judged; ``acc`` is the rating in points."""
    return {"acc": math.nan}


def finish(outputs: Sequence[Scored], finishing: Finishing) -> None:
    """Have every reply graded inside its conversation, with the right answer where there is one."""
    judge = judge_of(outputs, finishing)
    if judge is None:
        return
    asked = judgeable(outputs)
    questions = [
        Question(out.item.messages, str(out.generation), _reference(out.item)) for out in asked
    ]
    reasons: list[str] = []
    for out, grade in zip(asked, judge.grade(questions), strict=True):
        out.scores["acc"] = grade.value
        keep_words(out, grade)
        reasons += [grade.reason] * math.isnan(grade.value)
    note_missing(outputs, reasons, finishing)


def _reference(item: Item) -> str | None:
    """Return the right answer; of a second turn, which may lean on the first, those to both."""
    answers = item.info["references"]
    if not answers:
        return None
    if item.info["turn"] == 1:
        return str(answers[0])
    return f"To the first question:\n{answers[0]}\n\nTo the second question:\n{answers[1]}"


def details(outputs: Sequence[Scored], name: str) -> list[Metric]:
    """Return mean ratings by turn and by category, and what they may owe to the judge.

    Replies without a grade are left out and counted.
    """
    groups = {"rating": list(outputs)}
    for turn in range(1, TURNS + 1):
        groups[f"turn_{turn}"] = [out for out in outputs if out.item.info["turn"] == turn]
    for category in sorted({str(out.item.category) for out in outputs}):
        groups[category] = [out for out in outputs if out.item.category == category]
    noise = repeat_noise(repeats(outputs))
    agreement = krippendorff_alpha(repeats(outputs), "interval")
    count = count_items(outputs)
    return [
        *(_rating(f"{name}_{group}", found) for group, found in groups.items()),
        diagnostic(f"{name}_judge_repeat_sd", noise.mean_sd, noise.questions, "points"),
        diagnostic(f"{name}_judge_agreement", agreement, noise.questions, "correlation"),
        diagnostic(f"{name}_judge_failures", float(failures(outputs)), count, "count"),
    ]


def _rating(name: str, outputs: Iterable[Scored]) -> Metric:
    rated = [out for out in outputs if not math.isnan(out.scores["acc"])]
    ratings = [out.scores["acc"] for out in rated]
    value = math.fsum(ratings) / len(ratings) if ratings else math.nan
    return Metric(name, "task", value, count_items(rated), "higher", "points")


KIND = Kind(items=items, score=score, finish=finish, details=details, follow_up=follow_up)
