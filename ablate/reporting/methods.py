"""The methods text of a report, written from what its numbers were made with."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ablate.reporting import text
from ablate.reporting.effects import Basis
from ablate.reporting.factorial import main_analysis
from ablate.reporting.findings import Findings
from ablate.reporting.marks import declared_when
from ablate.reporting.ranking import ranking_of
from ablate.reporting.records import listed
from ablate.reporting.scope import scope_of
from ablate.reporting.tables import points
from ablate.reporting.tuning import tuning_text
from ablate.stats.verdicts import Verdict

_BASES = {
    Basis.CROSSED: (
        "Intervals cross items and seeds: SE² = max(V_item + V_seed − V_both, V_item, V_seed), with"
        " Student's t on Satterthwaite degrees of freedom. An average of categories has one stratum"
        " a category; its seed variance is taken over each seed's average."
    ),
    Basis.MATCHED: (
        "Seeds are matched by design, as the study declares: the item and seed mean squares of the"
        " paired differences less their residual give the error."
    ),
    Basis.BORROWED: (
        "A cell with one seed borrows the spread over seeds: SE² = V_item + s² (1/S_A + 1/S_B),"
        " with s pooled over the trained cells that have several seeds, or declared."
    ),
    Basis.ITEMS: (
        "Where intervals are over items only they claim something about these checkpoints, and"
        " nothing about the recipes behind them: paired t over items, and Bonett and Price's"
        " interval for right-or-wrong items of one task."
    ),
    Basis.SEEDS: "Where a metric has no item scores the interval is Welch's over seeds alone.",
    Basis.PUBLISHED: (
        "Published numbers have neither items nor seeds and are paired with nothing; they have an"
        " interval only where the study states their standard errors, and then for these models"
        " only."
    ),
}
_VERDICTS = {
    Verdict.BETTER: "better or worse when the corrected p is below α",
    Verdict.TRIVIAL: "trivial when it is, but the {level:g} % interval lies inside the margin",
    Verdict.EQUIVALENT: "equivalent when only that interval does",
    Verdict.INCONCLUSIVE: (
        "inconclusive otherwise, with the difference that would have been found 8 times in 10"
    ),
    Verdict.INVALID: "invalid when a tripwire fired",
}


def methods(found: Findings) -> list[str]:
    """Return the methods text in paragraphs."""
    used = dict.fromkeys(row.basis for row in found.effects)
    first = [
        "The unit of n is the training run. Scores of the same item are paired across cells;"
        " sampled completions of an item are averaged first."
    ]
    if set(used) <= {Basis.PUBLISHED, Basis.NONE}:
        first = []
    return [
        *first,
        *(said for basis, said in _BASES.items() if basis in used),
        scope_of(found),
        _declared(found),
        *_further(found),
        _verdicts(found),
    ]


def _declared(found: Findings) -> str:
    study = found.study
    analysis = study.analysis
    metric = found.evidence.metric(study.primary)
    unit = "percent" if metric is None else metric.unit
    margin = points(analysis.margins.get(study.primary, study.margin), unit)
    sentence = (
        f"{declared_when(found)}: primary metric {study.primary}, margin"
        f" {margin}, α {study.alpha:g}, {text.correction_name(study.correction)}"
        " within each family of comparisons"
    )
    if analysis.claim == "checkpoints":
        sentence += ", and that verdicts are about these checkpoints"
    if analysis.margins:
        own = [f"{text.label(name)} {margin:g}" for name, margin in analysis.margins.items()]
        sentence += f"; margins of single metrics: {listed(own)}"
    families = [family.title for family in found.families if family.declared]
    if analysis.contrasts is not None:
        sentence += f"; families: {listed(families) if families else 'none'}"
    return sentence + (
        ". Everything else is exploratory and corrected by Benjamini-Hochberg. A pair of cells that"
        " stands in several declared families takes its strictest correction in all."
    )


def _further(found: Findings) -> Iterator[str]:
    if found.study.correction == "max-t":
        yield (
            "Adjusted p-values are those of the largest t of the family under joint resampling of"
            " items and seeds, stepped down (Romano and Wolf 2005); Holm's where items are missing."
        )
    yield from tuning_text(found)
    yield from _looks(found)
    if any(not math.isnan(row.shrunken) for row in found.effects):
        yield (
            "What to expect of the best cell again: its difference drawn towards the mean of its"
            " family by the share of the spread that noise explains (empirical Bayes, variance by"
            " Paule and Mandel 1982)."
        )
    if (one := main_analysis(found)) is not None:
        yield (
            "Factors: type II sums of squares over full blocks of cells, marginal means with every"
            f" combination counted alike, tested against {one.result.error_name}; exploratory."
        )
    if ranking_of(found) is not None:
        yield (
            "Ranks: joint redraws of items and seeds. Which cells may be the best: differences to"
            " the best score, adjusted over all pairs of cells by the smallest p of joint redraws."
        )
    if any(not math.isnan(row.tipping_seed_sd) for row in found.effects):
        yield (
            "The tipping seed SD of a one-seed difference is the seed-to-seed SD above which it"
            f" would no longer be significant at {found.study.alpha:g}, even without correction."
        )


def _looks(found: Findings) -> Iterator[str]:
    """Say how seeds were added, what each look may spend, and where comparisons stopped."""
    looks, alpha = found.study.looks, found.study.alpha
    if looks is None:
        return
    levels = listed([f"{level:.2g}" for level in looks.levels(alpha)])
    how = "evenly"
    if looks.spend != "even":
        how = "as O'Brien and Fleming, little early (spending function of Lan and DeMets 1983)"
    yield (
        f"Seeds were added at looks declared beforehand, at {listed(list(map(str, looks.counts)))}"
        " seeds a cell, where a declared comparison was inconclusive. The looks share α"
        f" {how}, without credit for correlated looks: levels {levels}. p-values count all looks,"
        " whichever a comparison stopped at, and are then corrected over its family; intervals are"
        " repeated confidence intervals (Jennison and Turnbull 1989), 95 % over all looks."
        f"{_ends(found)}"
    )


def _ends(found: Findings) -> str:
    """Count the declared comparisons by the look that they stand at."""
    rows = {
        (row.treatment, row.control): row.standing
        for row in found.effects
        if row.confirmatory and row.standing is not None
    }
    total = len(found.study.looks.counts) if found.study.looks is not None else 0
    said = []
    for number in range(1, total + 1):
        there = [one for one in rows.values() if one.is_reached and one.look.number == number]
        ended = sum(not one.is_open for one in there)
        if ended:
            said.append(f"{ended} stopped at look {number}")
        if len(there) > ended:
            said.append(f"{len(there) - ended} inconclusive at look {number} and not yet further")
    early = sum(not one.is_reached for one in rows.values())
    said += [f"{early} before the first"] if early else []
    return f" Of {len(rows)} comparisons: {', '.join(said)}." if rows else ""


def _verdicts(found: Findings) -> str:
    level = 100 * (1 - 2 * found.study.alpha)
    said = [sentence.format(level=level) for sentence in _VERDICTS.values()]
    return f"Verdicts: {'; '.join(said)}."


REFERENCES = (
    "Ivison et al. 2024, Unpacking DPO and PPO, arXiv:2406.09279.",
    "Miller 2024, Adding Error Bars to Evals, arXiv:2411.00640.",
    "Satterthwaite 1946; Welch 1947; Holm 1979; Benjamini and Hochberg 1995.",
    "Bonett and Price 2012, Adjusted Wald Confidence Interval for a Difference of Binomial"
    " Proportions Based on Paired Data.",
    "Gao et al. 2022, Scaling Laws for Reward Model Overoptimization, arXiv:2210.10760.",
)
