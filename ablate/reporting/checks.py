"""Tripwires: what makes a difference invalid, and what a reader must know beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ablate.reporting.artifacts import Items, Stratum
from ablate.reporting.contrasts import Contrast
from ablate.reporting.evidence import Evidence

ENDED_GAP = 0.02
"""Gap in the share of outputs that ended, or whose answer was found, that may pass for quality."""
LENGTH_RATIO = 1.5
_OF_A_BACKEND = frozenset({"backend", "command"})
"""Last names of the fields that say what trains."""


@dataclass(frozen=True)
class Findings:
    """What the tripwires of one contrast and metric found."""

    invalid: tuple[str, ...]
    """Reasons not to read the difference as an effect."""
    warnings: tuple[str, ...]
    """Confounds to name beside it."""


def inspect(evidence: Evidence, contrast: Contrast, metric: str, seeds: Sequence[int]) -> Findings:
    """Return what the tripwires say about one contrast and metric over the seeds given."""
    invalid = [*_failures(evidence, contrast), *_untrusted(evidence, contrast, seeds)]
    invalid += _undefined(evidence, contrast, metric, seeds)
    invalid += _different_items(evidence, contrast, metric)
    warnings = [*_backends(evidence, contrast)]
    warnings += [*_confounds(evidence, contrast, seeds), *_left_out(evidence, contrast, seeds)]
    warnings += _edges(evidence, contrast, metric)
    return Findings(tuple(invalid), tuple(warnings))


def _failures(evidence: Evidence, contrast: Contrast) -> Iterator[str]:
    """A failed run is not missing at random: dropping its seed would flatter the cell."""
    for cell in (contrast.treatment, contrast.control):
        for run in evidence.study.runs_of(cell):
            if run.failed:
                yield f"{cell}, seed {run.seed}: {run.missing}"


def _untrusted(evidence: Evidence, contrast: Contrast, seeds: Sequence[int]) -> Iterator[str]:
    """What an evaluation said of itself holds for every metric it measured."""
    for cell in (contrast.treatment, contrast.control):
        for seed, reasons in evidence.invalid(cell).items():
            if seed in seeds:
                yield from (f"{cell}, seed {seed}: {reason}" for reason in reasons)


def _left_out(evidence: Evidence, contrast: Contrast, seeds: Sequence[int]) -> Iterator[str]:
    for cell in (contrast.treatment, contrast.control):
        for run in evidence.study.runs_of(cell):
            if run.seed not in seeds and not run.failed:
                reason = run.missing or "the other side has no such run"
                yield f"{cell}, seed {run.seed} left out: {reason}"


def _undefined(
    evidence: Evidence, contrast: Contrast, metric: str, seeds: Sequence[int]
) -> Iterator[str]:
    for cell in (contrast.treatment, contrast.control):
        values = evidence.values(cell, metric)
        # A published row has numbers and no seeds.
        asked = list(values) if evidence.source(cell) else seeds
        bad = [seed for seed in asked if math.isnan(values.get(seed, math.nan))]
        if bad:
            yield f"{cell}: {metric} is undefined for seed {', '.join(map(str, bad))}"


def _different_items(evidence: Evidence, contrast: Contrast, metric: str) -> Iterator[str]:
    left, right = (_table(evidence, c, metric) for c in (contrast.treatment, contrast.control))
    if not left or not right:
        return
    if {name: items.keys for name, items in left.items()} != {
        name: items.keys for name, items in right.items()
    }:
        yield "the two sides were scored on different items"
    elif any(items.prompts != right[name].prompts for name, items in left.items()):
        yield "the two sides were asked with different prompts"


def _table(evidence: Evidence, cell: str, metric: str) -> dict[Stratum, Items]:
    for run in evidence.finished(cell):
        return evidence.strata(run, metric)
    return {}


def _backends(evidence: Evidence, contrast: Contrast) -> Iterator[str]:
    """A stage that was trained by different programs differs in more than was declared.

    Where the backend is all that the two cells differ in, it is the effect and no confound.
    """
    sides = contrast.treatment, contrast.control
    levels = [evidence.study.levels_of(cell) for cell in sides]
    changed = {
        name
        for name in levels[0].keys() | levels[1].keys()
        if levels[0].get(name) != levels[1].get(name)
    }
    if changed and all(name.rpartition(".")[2] in _OF_A_BACKEND for name in changed):
        return
    left, right = (evidence.backends(cell) for cell in sides)
    for role in sorted(left.keys() & right.keys()):
        if left[role] != right[role]:
            shown = " and ".join("/".join(sorted(names)) for names in (left[role], right[role]))
            yield f"confounded: backend ({role}: {shown})"


def _confounds(evidence: Evidence, contrast: Contrast, seeds: Sequence[int]) -> Iterator[str]:
    ended = _means(evidence, contrast, "ended_fraction", seeds)
    if abs(ended[0] - ended[1]) > ENDED_GAP:
        yield f"outputs that ended: {ended[0]:.1%} and {ended[1]:.1%}"
    lost = _means(evidence, contrast, "unextracted_fraction", seeds)
    if abs(lost[0] - lost[1]) > ENDED_GAP:
        yield f"outputs without a readable answer: {lost[0]:.1%} and {lost[1]:.1%}"
    length = _means(evidence, contrast, "length_tokens", seeds)
    if min(length) > 0 and max(length) / min(length) > LENGTH_RATIO:
        yield f"mean length: {length[0]:.1f} and {length[1]:.1f} tokens"


def _means(
    evidence: Evidence, contrast: Contrast, metric: str, seeds: Sequence[int]
) -> tuple[float, float]:
    def mean(cell: str) -> float:
        values = evidence.values(cell, metric)
        kept = [values[seed] for seed in seeds if seed in values]
        return math.fsum(kept) / len(kept) if kept else math.nan

    return mean(contrast.treatment), mean(contrast.control)


def _edges(evidence: Evidence, contrast: Contrast, metric: str) -> Iterator[str]:
    row = evidence.metric(metric)
    if row is None or row.unit != "percent":
        return
    for cell in (contrast.treatment, contrast.control):
        values = evidence.values(cell, metric).values()
        if values and all(value in (0.0, 100.0) for value in values):
            yield f"{cell} scores exactly {next(iter(values)):.0f} %"
