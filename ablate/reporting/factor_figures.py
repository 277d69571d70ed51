"""The numbers behind the figures of a factorial analysis."""

from __future__ import annotations

from itertools import combinations

from ablate.reporting import text
from ablate.reporting.factorial import Analysed, main_analysis
from ablate.reporting.figures.interactions import PairPanel, draw_interactions
from ablate.reporting.figures.main_effects import FactorPanel, draw_main_effects
from ablate.reporting.figures.save import Drawing
from ablate.reporting.findings import Findings
from ablate.stats.factorial import marginal_means

MOST_PAIRS = 6
_SCOPE = "95 % intervals, for holding means against each other"
_SHARES = "Percentages: of the sum of squares between cells."


def main_effects(found: Findings) -> Drawing | None:
    """Return the marginal means of every factor of the largest grid."""
    one = main_analysis(found)
    if one is None:
        return None
    caption = (
        f"Mean over all combinations of the other factors, each counted alike; {_SCOPE}."
        f" Small grey dots: single runs. {_SHARES} Error term: {one.result.error_name}."
    )
    panels = [_factor(one, name, place) for place, name in enumerate(one.result.levels)]
    title = f"Main effects on {text.label(one.metric)}{_held(one)}"
    measure = _measure(found, one.metric)
    return draw_main_effects(panels, "main-effects", title=title, measure=measure, caption=caption)


def _factor(one: Analysed, name: str, place: int) -> FactorPanel:
    means = {level.level: level.mean for level in one.result.means if level.factor == name}
    runs: dict[str, list[float]] = {level: [] for level in means}
    for levels, scores in one.result.scores.items():
        runs[levels[place]] += scores
    return FactorPanel(name, _said(one, (name,)), means, runs)


def _said(one: Analysed, factors: tuple[str, ...]) -> str:
    """Return a term's share and p; without a test where it is the error."""
    term = next((term for term in one.result.terms if set(term.factors) == set(factors)), None)
    if term is None:
        return "not tested: it is the error"
    p_value = text.p_text(term.p_value)
    shown = f"p {p_value}" if p_value.startswith("<") else f"p = {p_value}"
    return f"{text.share(term.share)} of differences, {shown}"


def _held(one: Analysed) -> str:
    fixed = ", ".join(f"{name} = {level}" for name, level in one.grid.held.items())
    return f" ({fixed})" if fixed else ""


def _measure(found: Findings, name: str) -> str:
    return text.heading(found.evidence.metrics[name])


def interactions(found: Findings) -> Drawing | None:
    """Return the means at every combination of two factors of the largest grid.

    Of more pairs than a figure holds, those that explain most.
    """
    one = main_analysis(found)
    if one is None:
        return None
    pairs = list(combinations(one.result.levels, 2))
    shares = {frozenset(term.factors): term.share for term in one.result.terms}
    chosen = sorted(pairs, key=lambda pair: -shares.get(frozenset(pair), 0.0))[:MOST_PAIRS]
    panels = [_pair(one, pair) for pair in pairs if pair in chosen]
    left = f" {len(pairs) - len(chosen)} pairs that explain less are left out." * (
        len(pairs) > len(chosen)
    )
    caption = (
        f"Means at every combination of two factors; {_SCOPE}. Parallel lines: no interaction."
        f" {_SHARES} Error term: {one.result.error_name}.{left}"
    )
    title = f"Interactions on {text.label(one.metric)}{_held(one)}"
    measure = _measure(found, one.metric)
    return draw_interactions(panels, "interactions", title=title, measure=measure, caption=caption)


def _pair(one: Analysed, pair: tuple[str, str]) -> PairPanel:
    """Return a pair with the factor of more levels along the axis."""
    across, by = sorted(pair, key=lambda name: -len(one.result.levels[name]))
    means = marginal_means(one.result, (by, across))
    lines = {
        line: {level: means[line, level] for level in one.result.levels[across]}
        for line in one.result.levels[by]
    }
    return PairPanel(across, by, _said(one, pair), lines)
