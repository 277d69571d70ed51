"""AlpacaEval: how often a judge prefers the policy's reply to a reference's (Li et al. 2023).

Departures: the judge is the study's, both orders are asked where it says so (a disagreement is then
a draw), and the length-controlled rate is the minimal model's, with a bootstrap error.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ablate.data.reading.columns import MalformedRow, category_of, listed, text
from ablate.data.reading.limits import Row
from ablate.data.records import user
from ablate.data.streams import generator
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
from ablate.evals.judging.judge import Comparison, Preference
from ablate.evals.rates import count_items
from ablate.evals.records import Metric
from ablate.evals.tasks import Item, Scored, Scores
from ablate.stats.agreement import krippendorff_alpha
from ablate.stats.estimate import FloatArray
from ablate.stats.length_control import length_controlled_with_error
from ablate.stats.win_rates import WinRate, position_consistency, repeat_noise, win_rate

logger = logging.getLogger(__name__)

BASELINES = ("text_davinci_003", "output")
"""Columns of the reply to compare with, the first that a row has."""
NO_REPLY = "the reference policy has no reply to this prompt"


def items(source: Source) -> list[Item]:
    """Return the prompts with the file's replies; there are none for validation."""
    return items_of(source, _item) if source.split == "test" else []


def _item(numbered: Row) -> Item:
    number, row = numbered
    column = next((name for name in BASELINES if row.get(name) is not None), None)
    if column is None:
        allowed = " or ".join(map(repr, BASELINES))
        raise MalformedRow(f"a reply to compare with is needed, in {allowed}; {listed(row)}")
    prompt = row.get("prompt_id")
    return Item(
        f"alpaca_eval-{number - 1 if prompt is None else prompt}",
        user(text(row, "instruction")),
        category=row["dataset"] if isinstance(row.get("dataset"), str) else category_of(row),
        info={"baseline": text(row, column)},
    )


def score(item: Item, output: Any) -> Scores:
    """Return that a reply has no scores until it stands beside the reference's.

    Lengths will be in characters.
    """
    return dict.fromkeys(("acc", "consistent", "length_difference", "reference_length"), math.nan)


def finish(outputs: Sequence[Scored], finishing: Finishing) -> None:
    """Have every reply compared with the reference's; 1 where the policy's is better."""
    asked: list[tuple[Scored, Comparison]] = []
    reasons: list[str] = []
    for out in judgeable(outputs):
        reply = _reference(out, finishing)
        if reply is None:
            _settle(out, Preference(math.nan, reason=NO_REPLY))
            reasons.append(NO_REPLY)
            continue
        out.scores |= {
            "length_difference": float(len(str(out.generation)) - len(reply)),
            "reference_length": float(len(reply)),
        }
        asked.append((out, Comparison(out.item.messages, reply, str(out.generation))))
    judge = judge_of(outputs, finishing)
    if judge is None:
        return
    answers = judge.compare([comparison for _, comparison in asked])
    for (out, _), answer in zip(asked, answers, strict=True):
        _settle(out, answer)
        reasons += [answer.reason] * math.isnan(answer.value)
    note_missing(outputs, reasons, finishing)


def _reference(out: Scored, finishing: Finishing) -> str | None:
    if not finishing.references:
        return str(out.item.info["baseline"])
    return finishing.references.get(f"{out.task}/{out.item.id}")


def _settle(out: Scored, answer: Preference) -> None:
    consistent = math.nan if answer.consistent is None else float(answer.consistent)
    out.scores |= {"acc": answer.value, "consistent": consistent}
    keep_words(out, answer)


def details(outputs: Sequence[Scored], name: str) -> list[Metric]:
    """Return win rates in percent with their errors, and what they may owe to the judge.

    Comparisons without a verdict are left out and counted. The judge's noise is the SD of the win
    rate between repeats, a share of its error that the errors over prompts do not hold.
    """
    preferences = [out.scores["acc"] for out in outputs]
    clusters = [out.item.cluster or out.item.id for out in outputs]
    plain = win_rate(preferences, clusters)
    controlled = length_controlled_with_error(
        preferences,
        [out.scores["length_difference"] for out in outputs],
        clusters,
        rng=generator(0, f"length-controlled win rate of {name}"),
    )
    if controlled.reason:
        logger.warning("%s: length-controlled win rate: %s", name, controlled.reason)
    count = count_items([out for out in outputs if not math.isnan(out.scores["acc"])])
    rates = {
        "win_rate": plain.value,
        "discrete_win_rate": plain.discrete,
        "lc_win_rate": controlled.value,
    }
    errors = {
        "win_rate_se": plain.standard_error,
        "lc_win_rate_se": controlled.standard_error,
        "judge_repeat_sd": repeat_noise(repeats(outputs)).mean_sd,
    }
    return [
        *(
            Metric(f"{name}_{key}", "task", 100.0 * value, count, "higher", "percent")
            for key, value in rates.items()
        ),
        *(
            diagnostic(f"{name}_{key}", 100.0 * value, count, "percent")
            for key, value in errors.items()
        ),
        *_circumstances(outputs, name, plain),
    ]


def _circumstances(outputs: Sequence[Scored], name: str, plain: WinRate) -> list[Metric]:
    """Return counts, the judge's agreement with itself, and both sides' lengths in characters."""
    agreeing = [out.scores["consistent"] for out in outputs]
    consistency = position_consistency(
        [None if math.isnan(value) else bool(value) for value in agreeing]
    )
    theirs = np.array([out.scores["reference_length"] for out in outputs])
    ours = theirs + np.array([out.scores["length_difference"] for out in outputs])
    lengths = {"length": ours, "reference_length": theirs}
    count = count_items(outputs)
    shares = {"position_consistency": consistency, "draw_share": plain.draw_share}
    counts = {"judge_failures": failures(outputs), "verdicts": plain.verdicts}
    agreement = krippendorff_alpha(repeats(outputs), "interval")
    return [
        *(diagnostic(f"{name}_{key}", v, count, "fraction") for key, v in shares.items()),
        *(diagnostic(f"{name}_{key}", float(v), count, "count") for key, v in counts.items()),
        *(diagnostic(f"{name}_{key}", _mean(v), count, "characters") for key, v in lengths.items()),
        diagnostic(f"{name}_judge_agreement", agreement, count, "correlation"),
    ]


def _mean(lengths: FloatArray) -> float:
    """Return the mean of what is known; NaN where nothing is."""
    known = lengths[~np.isnan(lengths)]
    return float(known.mean()) if len(known) else math.nan


KIND = Kind(items=items, score=score, finish=finish, details=details)
