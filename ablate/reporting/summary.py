"""What was observed, in sentences no stronger than the statistics behind them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from ablate.errors import nearest
from ablate.reporting import text
from ablate.reporting.block_tables import duel_mean, wins_sentence
from ablate.reporting.effects import Basis, EffectRow
from ablate.reporting.findings import Findings
from ablate.reporting.records import interval_scope, listed
from ablate.reporting.tables import invalid_text, points
from ablate.stats.verdicts import Verdict


def observed(found: Findings) -> list[str]:
    """Return the paragraph's sentences; says so where nothing could be compared yet."""
    sentences = []
    for family in found.families:
        rows = found.rows(family.name)
        if rows:
            on = text.label(found.study.primary)
            sentences.append(f"{family.title} on {on}: {_counts(rows)}.")
    if not sentences:
        sentences = _unmeasured(found) or [
            "No pair of cells has finished yet, so nothing can be compared."
        ]
    return (
        sentences
        + _largest(found)
        + _duel(found)
        + _one_seed(found)
        + _invalid(found)
        + _partial(found)
    )


def _unmeasured(found: Findings) -> list[str]:
    primary, measured = found.study.primary, found.evidence.metrics
    if not measured or primary in measured:
        return []
    return [
        f"No evaluation measured the primary metric {primary!r}, so nothing is compared; measured "
        f"are {', '.join(measured)}.{nearest(primary, measured)} Correct analysis.primary."
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
    best = max(rows, key=lambda row: row.effect.value)
    sentence = (
        f"The largest gain of a trained cell over {best.control} is that of {best.treatment}:"
        f" {text.difference(best.effect, _primary_unit(found))}"
    )
    if len(rows) > 1:
        sentence += "; as the largest of several it is likely to overstate"
    return [sentence + "."]


def _primary_unit(found: Findings) -> str:
    metric = found.evidence.metric(found.study.primary)
    return "percent" if metric is None else metric.unit


def _duel(found: Findings) -> list[str]:
    pairs = [row for row in found.rows("algorithm") if row.verdict is not Verdict.INVALID]
    if len(pairs) < 2:
        return []
    mean = duel_mean(found, found.study.primary)
    return [
        f"Over {len(pairs)} pairs, PPO minus DPO averages"
        f" {text.difference(mean, _primary_unit(found))}. {wins_sentence(pairs)}"
    ]


def _one_seed(found: Findings) -> list[str]:
    rows = [row for row in found.effects if row.confirmatory and row.effect.n_seeds < 2]
    if not rows:
        return []
    smallest = [row.detectable for row in rows if not math.isnan(row.detectable)]
    extra = f"; items alone let it see {text.plain(min(smallest))} points" if smallest else ""
    return [
        f"{len(rows)} comparisons rest on one seed a side: they speak about these checkpoints, not"
        f" about the recipes{extra}."
    ]


def _invalid(found: Findings) -> list[str]:
    named = [
        f"{cell} ({said})" for cell in found.study.cells if (said := invalid_text(found, cell))
    ]
    if not named:
        return []
    return [f"Scores that cannot be trusted, and no comparison with them: {listed(named)}."]


def _partial(found: Findings) -> list[str]:
    missing = [run for run in found.study.runs if run.missing]
    if not missing:
        return []
    failed = sum(run.failed for run in missing)
    tail = f", {failed} of them failed" if failed else ""
    total = len(found.study.runs)
    return [f"This is a partial report: {len(missing)} of {total} runs have no result{tail}."]


def methods(found: Findings) -> list[str]:
    """Return the methods text, written from what was used."""
    study = found.study
    correction = text.correction_name(study.correction)
    sentences = [
        "The unit of n is the training run. Scores of the same item are paired across cells;"
        " sampled completions of an item are averaged first.",
        "Intervals cross items and seeds: SE² = max(V_item + V_seed − V_both, V_item, V_seed), with"
        " Student's t on Satterthwaite degrees of freedom. An average of categories has one stratum"
        " a category; its seed variance is taken over each seed's average.",
        interval_scope(study),
        f"Primary metric, declared before the results: {study.primary}, margin"
        f" {points(study.margin)}, α {study.alpha:g}, {correction} within each family of"
        " comparisons; other metrics are exploratory and corrected by Benjamini-Hochberg. A pair"
        " of cells that stands in several families takes its strictest correction in all.",
        "Verdicts: better or worse when the corrected p is below α; trivial when it is, but the"
        f" {100 * (1 - 2 * study.alpha):g} % interval lies inside the margin; equivalent when only"
        " that interval does; inconclusive otherwise, with the difference that would have been"
        " found 8 times in 10; invalid when a tripwire fired.",
    ]
    if any(row.basis is Basis.SEEDS for row in found.effects):
        sentences.append(
            "Where a metric has no item scores the interval is Welch's over seeds alone."
        )
    return sentences


REFERENCES = (
    "Ivison et al. 2024, Unpacking DPO and PPO, arXiv:2406.09279.",
    "Miller 2024, Adding Error Bars to Evals, arXiv:2411.00640.",
    "Satterthwaite 1946; Welch 1947; Holm 1979; Benjamini and Hochberg 1995.",
    "Gao et al. 2022, Scaling Laws for Reward Model Overoptimization, arXiv:2210.10760.",
)
