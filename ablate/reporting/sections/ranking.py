"""How far the order of the cells can be trusted."""

from __future__ import annotations

from ablate.reporting import text
from ablate.reporting.findings import Findings
from ablate.reporting.ranking import Ranking, ranking_of
from ablate.reporting.ranking_figures import critical_difference, performance_profile, ranks
from ablate.reporting.ranking_tables import benchmark_table, pair_matrix, ranking_table
from ablate.reporting.section import Section, given


def section(found: Findings) -> Section:
    """Return ranks, pairs of cells, and what each benchmark can tell apart."""
    ranking = ranking_of(found)
    shown = given(ranking_table(found), pair_matrix(found), benchmark_table(found))
    drawn = given(ranks(found), critical_difference(found), performance_profile(found))
    said = (band(ranking, found.study.primary),) if ranking is not None else ()
    return Section("ranking", "Ranking", said, drawn, shown)


def band(ranking: Ranking, metric: str) -> str:
    """Return the sentence on which cells may be the best one."""
    best = [cell for cell, is_best in zip(ranking.cells, ranking.best, strict=True) if is_best]
    first, others = ranking.cells[0], best[1:]
    lead = f"{first} has the best {text.label(metric)}"
    scope = " With one seed this is about these checkpoints." if ranking.has_one_seed else ""
    if not others:
        return f"{lead}, and every other cell is told apart from it (exploratory).{scope}"
    count = f"{len(others)} other cell{'' if len(others) == 1 else 's'}"
    named = "; ".join(others[:6]) + (f"; and {len(others) - 6} more" if len(others) > 6 else "")
    return f"{lead}, but {count} cannot be told from it: {named} (exploratory).{scope}"
