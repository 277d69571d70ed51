"""Safety patterns: who refuses what should be refused, and who answers what should be answered."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ablate.evals.refusals import GOOD_RATE, behaviour
from ablate.reporting import text
from ablate.reporting.block_tables import reward_score
from ablate.reporting.effects import score_of
from ablate.reporting.findings import Findings
from ablate.reporting.marks import badge, sources_of
from ablate.reporting.reward_models import reward_models
from ablate.reporting.tables import Cell, RowGroup, Table, invalid_text, score_cell
from ablate.stats.estimate import Estimate


@dataclass(frozen=True)
class Leaf:
    """One set of prompts and what is right on it."""

    title: str
    policy: str
    """End of the policy's metric."""
    reward: str
    """A reward model's metric: how often it prefers the right kind of reply."""
    refuse: bool
    """Whether a refusal is right."""


LEAVES = (
    Leaf("dangerous", "", "accuracy_refusals-dangerous", True),
    Leaf("offensive", "", "accuracy_refusals-offensive", True),
    Leaf("XSTest", "_unsafe_refused", "accuracy_xstest-should-refuse", True),
    Leaf("Do-Not-Answer", "do-not-answer", "accuracy_donotanswer", True),
    Leaf("XSTest", "_safe_responded", "accuracy_xstest-should-respond", False),
)
_NOTE = (
    "Pattern: “both” where the mean of should-refuse and of should-respond is each"
    f" {100 * GOOD_RATE:.0f} % or more, “refuses only” or “responds only” where one is. The"
    " threshold is ours, and a rate near it makes the label no finding."
)
Row = tuple[Cell, list[Estimate], str]
"""Head, a rate per leaf, and the column's reason for a dash."""


def safety_table(found: Findings) -> Table | None:
    """Return refusals and replies of each policy, and the preferences of each reward model.

    None where nothing says both what is refused that should be, and what is answered.
    """
    blocks = [
        ("Policies: share of prompts that are refused, or answered, as they should", _policies),
        ("Reward models: share of pairs whose right kind of reply scores higher", _rewards),
    ]
    made = [(title, list(rows(found))) for title, rows in blocks]
    made = [(title, rows) for title, rows in made if _shows(rows)]
    if not made:
        return None
    rows = [row for _, block in made for row in block]
    used = [
        place
        for place in range(len(LEAVES))
        if any(not math.isnan(rates[place].value) for _, rates, _ in rows)
    ]
    refuse = sum(LEAVES[place].refuse for place in used)
    return Table(
        "safety",
        "Does it refuse what it should, and only that? Rates in %; below, half widths of their 95 %"
        " intervals.",
        ("", *(LEAVES[place].title for place in used), "pattern"),
        tuple(_line(row, used) for row in rows),
        (_NOTE, *sources_of(found, found.study.cells)),
        groups=tuple(RowGroup(title, len(block)) for title, block in made),
        spans=(("", 1), ("should refuse", refuse), ("should respond", len(used) - refuse), ("", 1)),
    )


def _shows(rows: Sequence[Row]) -> bool:
    """Whether any row knows both sides."""
    return any(not math.isnan(sum(_sides(rates))) for _, rates, _ in rows)


def _sides(rates: Sequence[Estimate]) -> tuple[float, float]:
    """Return the mean rate of the leaves on either side; NaN where none is known."""
    sides = []
    for side in (True, False):
        known = [
            rate.value
            for leaf, rate in zip(LEAVES, rates, strict=True)
            if leaf.refuse == side and not math.isnan(rate.value)
        ]
        sides.append(math.fsum(known) / len(known) if known else math.nan)
    return sides[0], sides[1]


def _policies(found: Findings) -> Iterator[Row]:
    names = [_policy_metric(found, leaf.policy) for leaf in LEAVES]
    for cell in found.study.cells:
        if not found.evidence.finished(cell):
            continue
        rates = [score_of(found.evidence, cell, name) for name in names]
        yield Cell(cell, sub=badge(found, cell)), rates, invalid_text(found, cell)


def _policy_metric(found: Findings, end: str) -> str:
    """Return the metric of a leaf; empty where the suite has none."""
    known = found.evidence.metrics
    return next((name for name in known if end and name.endswith(end)), "")


def _rewards(found: Findings) -> Iterator[Row]:
    for model in reward_models(found):
        cell = model.cells[0]
        rates = [reward_score(found, cell, leaf.reward) for leaf in LEAVES]
        yield Cell(model.name, sub=badge(found, cell)), rates, ""


def _line(row: Row, used: Sequence[int]) -> tuple[Cell, ...]:
    head, rates, invalid = row
    fields = [_rate(rates[place], invalid) for place in used]
    if invalid:
        return (head, *fields, Cell(text.DASH, tone="muted", hint=f"invalid: {invalid}"))
    refuse, respond = _sides(rates)
    found = behaviour(respond / 100, refuse / 100)
    if found is None:
        return (head, *fields, Cell(text.DASH, tone="muted", hint="one side was not measured"))
    return (head, *fields, Cell(found))


def _rate(rate: Estimate, invalid: str) -> Cell:
    if math.isnan(rate.value):
        return Cell(text.DASH, tone="muted", hint="not measured")
    field = score_cell(rate, "percent")
    if invalid:
        return Cell(f"✕ {field.text}", tone="invalid", hint=f"invalid: {invalid}")
    return field
