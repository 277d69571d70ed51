"""The Markdown of what data sets hold of evaluation suites."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ablate.data.hygiene.exposure import Exposure, Finding
from ablate.data.hygiene.harmless import markdown

_COLUMNS = ("training set", "evaluation set", "items", "exact", "n-gram", "share", "rows")
_EXCERPT = 160


def exposure_markdown(exposures: Sequence[Exposure], *, empty: bool = False) -> str:
    """Return a table with one line for each data set and suite; ``empty`` ones too if asked.

    ``exact`` and ``n-gram`` count a suite's items by their best match, ``share`` is the fraction of
    the items found either way, ``rows`` are the data set's that hold any of them.
    """
    lines = [_line(_COLUMNS), _line(["---", "---"] + ["---:"] * 5)]
    for exposure in exposures:
        if exposure.best or empty:
            lines.append(_line(_fields(exposure)))
    return "\n".join(lines) + "\n"


def examples_markdown(
    exposures: Sequence[Exposure], texts: Mapping[tuple[str, str], str], *, most: int = 3
) -> str:
    """Return up to ``most`` findings of each line, whole ones first, as a list.

    ``texts`` holds an item's text by suite and id; without one its text is not shown.
    """
    lines = []
    for exposure in (exposure for exposure in exposures if exposure.best):
        lines.append(f"- {markdown(exposure.training, 80)} × {markdown(exposure.suite, 80)}")
        for finding in strongest(exposure)[:most]:
            text = markdown(texts.get((finding.suite, finding.item), ""), _EXCERPT)
            lines.append(
                f"  - {markdown(finding.item, 80)} in the {finding.side} of "
                f"{markdown(finding.row, 80)}, {finding.kind}, {finding.share:.0%}: {text}"
            )
    return "\n".join(lines) + "\n" if lines else ""


def strongest(exposure: Exposure) -> list[Finding]:
    """Return the best match of each item found: whole ones first, then by share and id."""
    return sorted(exposure.best.values(), key=lambda f: (f.kind != "exact", -f.share, f.item))


def _fields(exposure: Exposure) -> list[str]:
    share = "n/a" if math.isnan(exposure.share) else f"{exposure.share:.1%}"
    counts = (exposure.items, exposure.count("exact"), exposure.count("ngram"))
    names = (markdown(exposure.training, 80), markdown(exposure.suite, 80))
    return [*names, *map(str, counts), share, str(exposure.rows)]


def _line(fields: Sequence[str]) -> str:
    return "| " + " | ".join(fields) + " |"
