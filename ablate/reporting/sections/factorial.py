"""What each factor does, alone and together with others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ablate.reporting import text
from ablate.reporting.factor_figures import interactions, main_effects
from ablate.reporting.factor_tables import (
    EXPLORATORY,
    level_table,
    metric_table,
    term_table,
    variance_table,
)
from ablate.reporting.factorial import Analysed, factor_analyses
from ablate.reporting.findings import Findings
from ablate.reporting.section import Section, given
from ablate.stats.factorial import ErrorTerm, Term


def section(found: Findings) -> Section:
    """Return main effects, interactions, and what scores vary by."""
    analyses = factor_analyses(found)
    shown = given(level_table(found), term_table(found), metric_table(found), variance_table(found))
    drawn = given(main_effects(found), interactions(found))
    return Section("factors", "Factors", tuple(_text(analyses)), drawn, shown)


def _text(analyses: Sequence[Analysed]) -> Iterator[str]:
    """Yield what the largest grid shows, against what, and that there are others."""
    for one in analyses[:1]:
        terms = sorted(one.result.terms, key=lambda term: -term.share)
        said = "; ".join(map(_share, terms[:MOST_TERMS]))
        more = f"; {len(terms) - MOST_TERMS} more terms explain less" * (len(terms) > MOST_TERMS)
        yield (
            f"Of the differences between the {len(one.cells)} cells of {one.grid.title}, on"
            f" {text.label(one.metric)}: {said}{more}."
        )
        yield f"{_WHAT[one.result.error]} {EXPLORATORY}"
    if len(analyses) > 1:
        yield (
            f"Some factors exist for some cells only, so the cells make {len(analyses)} grids, each"
            " analysed by itself; the figures show the largest."
        )


def _share(term: Term) -> str:
    p_value = text.p_text(term.p_value)
    shown = f"p {p_value}" if p_value.startswith("<") else f"p = {p_value}"
    return f"{term.name} {text.share(term.share)} ({shown})"


MOST_TERMS = 6
_WHAT = {
    ErrorTerm.RUNS_AND_ITEMS: (
        "Tested against the spread of runs within cells, widened by items that suit one cell more"
        " than another: a claim about these recipes on items like these."
    ),
    ErrorTerm.RUNS: (
        "Tested against the spread of runs within cells alone: a claim about these recipes on these"
        " very items, because item scores are not known or not the same in all cells."
    ),
    ErrorTerm.INTERACTION: (
        "One run a cell: the interaction of highest order is the error. What it truly is makes the"
        " intervals wider and the tests weaker, and whether it is real cannot be told."
    ),
    ErrorTerm.NONE: "Runs of a cell do not differ, so that nothing can be tested.",
}
