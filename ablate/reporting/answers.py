"""Each question of a study: what was expected beside what was observed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ablate.reporting import text
from ablate.reporting.contrasts import Family
from ablate.reporting.findings import Findings
from ablate.reporting.over_pairs import over_pairs
from ablate.reporting.tables import Cell, Table
from ablate.stats.estimate import Estimate
from ablate.stats.verdicts import Verdict

AS_EXPECTED, OTHERWISE = "as expected", "not as expected"
UNDECIDED, UNMEASURED = "undecided", "nothing measured yet"


@dataclass(frozen=True)
class Answer:
    """A question that a study declares, and what came of it."""

    question: str
    expected: str
    observed: str
    agreement: str
    """Whether the one bears out the other; empty where the expectation is in words only."""


def answers(found: Findings) -> tuple[Answer, ...]:
    """Return an answer for every declared family that asks or expects something."""
    return tuple(
        _answer(found, family)
        for family in found.families
        if family.question or family.expectation or family.expect is not None
    )


def questions(found: Findings) -> Table | None:
    """Return one row a declared question; None where the study declares none."""
    rows = tuple(
        (
            Cell(answer.question, wide=True),
            Cell(answer.expected or text.DASH, wide=True),
            Cell(answer.observed, wide=True),
            Cell(answer.agreement or text.DASH),
        )
        for answer in answers(found)
    )
    columns = ("question", "expected", "observed", "agreement")
    caption = (
        "Expectations that the study declares, beside what was observed on"
        f" {text.label(found.study.primary)}. An expectation in words alone is not judged."
    )
    return Table("questions", caption, columns, rows) if rows else None


def _answer(found: Findings, family: Family) -> Answer:
    rows = [row for row in found.rows(family.name) if row.verdict is not Verdict.INVALID]
    metric = found.evidence.metric(found.study.primary)
    unit = "percent" if metric is None else metric.unit
    expected = "; ".join(filter(None, (family.expectation, _words(family))))
    question = family.question or family.title
    if not rows or metric is None:
        return Answer(question, expected, UNMEASURED, "" if family.expect is None else UNMEASURED)
    if len(rows) > 1:
        over = over_pairs(found, family.name, metric)
        observed = f"{text.difference(over.mean, unit)}, over {over.said}: {over.verdict.value}"
        return Answer(question, expected, observed, _agreement(family, over.mean, over.verdict))
    row = rows[0]
    only = " (these checkpoints only)" if row.shown is not row.effect and row.shown.defined else ""
    observed = f"{text.difference(row.shown, unit)}{only}: {row.verdict.value}"
    # An interval over items of one seed says nothing about the recipes that were asked about.
    return Answer(question, expected, observed, _agreement(family, row.effect, row.verdict))


def _words(family: Family) -> str:
    if isinstance(family.expect, tuple):
        low, high = (f"{bound:+g}".replace("-", text.MINUS) for bound in family.expect)
        return f"between {low} and {high}"
    return family.expect or ""


def _agreement(family: Family, effect: Estimate, verdict: Verdict) -> str:
    expect = family.expect
    if expect is None:
        return ""
    if isinstance(expect, tuple):
        return _inside(effect, *expect)
    borne_out = {
        "better": {Verdict.BETTER},
        "worse": {Verdict.WORSE},
        "no difference": {Verdict.EQUIVALENT, Verdict.TRIVIAL},
    }[expect]
    if verdict in borne_out:
        return AS_EXPECTED
    return UNDECIDED if verdict in (Verdict.INCONCLUSIVE, Verdict.INVALID) else OTHERWISE


def _inside(effect: Estimate, low: float, high: float) -> str:
    """A range is borne out by an interval inside it, and refuted by one beside it."""
    if math.isnan(effect.low) or math.isnan(effect.high):
        return UNDECIDED
    if low <= effect.low and effect.high <= high:
        return AS_EXPECTED
    return OTHERWISE if effect.high < low or high < effect.low else UNDECIDED
