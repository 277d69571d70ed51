"""What was observed, in sentences no stronger than the statistics behind them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from ablate.errors import nearest
from ablate.reporting import text
from ablate.reporting.answers import answers
from ablate.reporting.effects import EffectRow
from ablate.reporting.findings import Findings
from ablate.reporting.pair_tables import pair_sentences
from ablate.reporting.records import listed
from ablate.reporting.tables import invalid_text
from ablate.stats.verdicts import Verdict

MOST_NAMED = 8
"""Cells that a sentence lists."""
_UNFINISHED = "No pair of cells has finished yet, so nothing can be compared."
_UNDECLARED = "No comparison that the study declares has results; whatever is shown is exploratory."


def observed(found: Findings) -> list[str]:
    """Return the paragraph's sentences; says so where nothing could be compared yet."""
    sentences = []
    for family in found.families:
        rows = found.rows(family.name)
        if rows and family.declared:
            on = text.label(found.study.primary)
            sentences.append(f"{family.title} on {on}: {_counts(rows)}.")
    if sentences:
        sentences = _undirected(found) + sentences
    else:
        sentences = _unmeasured(found) or [_UNDECLARED if found.effects else _UNFINISHED]
    return (
        sentences
        + _largest(found)
        + _over_pairs(found)
        + _one_seed(found)
        + _invalid(found)
        + _partial(found)
    )


def _over_pairs(found: Findings) -> list[str]:
    """Return the means over pairs, which the answers to declared questions hold already."""
    return [] if answers(found) else list(pair_sentences(found))


def _unmeasured(found: Findings) -> list[str]:
    primary, measured = found.study.primary, found.evidence.metrics
    if not measured or primary in measured:
        return []
    return [
        f"No evaluation measured the primary metric {primary!r}, so nothing is compared; measured "
        f"are {', '.join(measured)}.{nearest(primary, measured)} Correct analysis.primary."
    ]


def _undirected(found: Findings) -> list[str]:
    metric = found.evidence.metric(found.study.primary)
    if metric is None or metric.direction != "none":
        return []
    return [
        f"{text.label(found.study.primary)} has no good direction: here better is more of it, worse"
        " less."
    ]


def _counts(rows: Sequence[EffectRow]) -> str:
    counts = Counter(row.verdict for row in rows)
    parts = [f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict]]
    return f"{listed(parts)} of {len(rows)}"


def _largest(found: Findings) -> list[str]:
    trained = {run.cell for run in found.study.runs if run.kind == "policy"}
    rows = [
        row
        for row in found.rows("baseline")
        if row.verdict is Verdict.BETTER and row.treatment in trained
    ]
    if not rows:
        return []
    # All of them are better, so the largest is the one farthest from 0 on either side.
    best = max(rows, key=lambda row: abs(row.effect.value))
    lead = "The" if found.declared(best.kind) else "Exploratory: the"
    sentence = (
        f"{lead} largest decided gain of a trained cell over {best.control} is that of"
        f" {best.treatment}: {text.difference(best.effect, _primary_unit(found))}"
    )
    if len(rows) > 1:
        sentence += "; as the largest of several it is likely to overstate"
    if not math.isnan(best.shrunken):
        sentence += f" (expected again: {text.signed(best.shrunken, _primary_unit(found))})"
    return [sentence + "."]


def _primary_unit(found: Findings) -> str:
    metric = found.evidence.metric(found.study.primary)
    return "percent" if metric is None else metric.unit


def _one_seed(found: Findings) -> list[str]:
    rows = [row for row in found.effects if row.confirmatory and row.is_one_seed]
    if not rows:
        return []
    smallest = [row.detectable for row in rows if not math.isnan(row.detectable)]
    least = text.amount(min(smallest), _primary_unit(found)) if smallest else ""
    extra = f"; items alone let it see {least}" if smallest else ""
    count = "1 comparison rests" if len(rows) == 1 else f"{len(rows)} comparisons rest"
    it = "it speaks" if len(rows) == 1 else "they speak"
    return [f"{count} on one seed a side: {it} about these checkpoints, not the recipes{extra}."]


def _invalid(found: Findings) -> list[str]:
    named = [cell for cell in found.study.cells if invalid_text(found, cell)]
    if not named:
        return []
    shown = listed(named[:MOST_NAMED])
    if len(named) > MOST_NAMED:
        shown = f"{', '.join(named[:MOST_NAMED])} and {len(named) - MOST_NAMED} more"
    return [
        f"Scores that cannot be trusted, and no comparison with them: {shown}. The reasons stand"
        " beside the cells."
    ]


def _partial(found: Findings) -> list[str]:
    missing = [run for run in found.study.runs if run.missing]
    if not missing:
        return []
    failed = sum(run.failed for run in missing)
    tail = f", {failed} of them failed" if failed else ""
    total = len(found.study.runs)
    return [f"This is a partial report: {len(missing)} of {total} runs have no result{tail}."]
