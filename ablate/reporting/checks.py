"""Tripwires: what makes a difference invalid, and what a reader must know beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ablate.reporting.arms import same_items
from ablate.reporting.artifacts import Items, Stratum
from ablate.reporting.contrasts import Contrast
from ablate.reporting.evidence import Evidence
from ablate.reporting.records import RunRecord

Fire = Callable[[Evidence, Contrast, str, Sequence[int]], Iterator[str]]
"""Says of a contrast, a metric and seeds what is wrong; nothing where all is well."""
ItemsByStratum = Mapping[Stratum, Items]
ENDED_GAP = 0.02
"""Gap in the share of outputs that ended, or whose answer was found, that may pass for quality."""
REPLY_GAP = 0.05
"""Gap in the share of refusals, loops or empty replies: these may be what was trained for, so only
a larger one is named."""
LENGTH_RATIO = 1.5
FEWEST_ALIKE = 50
"""Items from which on equal scores of all of them are no chance."""
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
    invalid: list[str] = []
    warnings: list[str] = []
    for wire in TRIPWIRES:
        said = invalid if wire.invalidates else warnings
        said += wire.fire(evidence, contrast, metric, seeds)
    return Findings(tuple(invalid), tuple(warnings))


def _failures(
    evidence: Evidence, contrast: Contrast, metric: str, seeds: Sequence[int]
) -> Iterator[str]:
    """A failed run is not missing at random: dropping its seed would flatter the cell."""
    for cell in (contrast.treatment, contrast.control):
        for run in _runs(evidence, contrast, cell):
            if run.failed:
                yield f"{cell}, seed {run.seed}: {run.missing}"


def _runs(evidence: Evidence, contrast: Contrast, cell: str) -> list[RunRecord]:
    """Return a cell's runs that the comparison is about: with looks, those of its own look."""
    standing = evidence.standing(contrast.treatment, contrast.control)
    runs = evidence.study.runs_of(cell)
    return [run for run in runs if standing is None or standing.counts(run.seed)]


def _untrusted(
    evidence: Evidence, contrast: Contrast, metric: str, seeds: Sequence[int]
) -> Iterator[str]:
    """What an evaluation said of itself holds for every metric it measured."""
    for cell in (contrast.treatment, contrast.control):
        for seed, reasons in evidence.invalid(cell).items():
            if seed in seeds:
                yield from (f"{cell}, seed {seed}: {reason}" for reason in reasons)


def _left_out(
    evidence: Evidence, contrast: Contrast, metric: str, seeds: Sequence[int]
) -> Iterator[str]:
    for cell in (contrast.treatment, contrast.control):
        for run in _runs(evidence, contrast, cell):
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


def _different_items(
    evidence: Evidence, contrast: Contrast, metric: str, seeds: Sequence[int]
) -> Iterator[str]:
    left, right = tables_of(evidence, contrast, metric)
    if not left or not right or same_items(left, right):
        return
    one, other = ({(n, key) for n, t in table.items() for key in t.keys} for table in (left, right))
    yield (
        f"the two sides were scored on different items: {len(one):,} and {len(other):,}, of which"
        f" {len(one & other):,} are the same"
    )


def _different_prompts(
    evidence: Evidence, contrast: Contrast, metric: str, seeds: Sequence[int]
) -> Iterator[str]:
    left, right = tables_of(evidence, contrast, metric)
    if not left or not right or not same_items(left, right):
        return
    pairs = [(items.prompts, right[name].prompts) for name, items in left.items()]
    if any(one is not other and one != other for one, other in pairs):
        asked = [a == b for one, other in pairs for a, b in zip(one, other, strict=True)]
        yield (
            "the two sides were asked with different prompts: equal for"
            f" {sum(asked):,} of {len(asked):,} items"
        )


def _different_categories(
    evidence: Evidence, contrast: Contrast, metric: str, seeds: Sequence[int]
) -> Iterator[str]:
    """Means of different categories are different quantities; an average alone tells none."""
    row = evidence.metric(metric)
    if row is None or row.level != "average":
        return
    one, other = (evidence.categories_of(c) for c in (contrast.treatment, contrast.control))
    if one and other and set(one) != set(other):
        yield f"averages of different categories: {', '.join(one)} against {', '.join(other)}"


def _outputs(
    evidence: Evidence, contrast: Contrast, metric: str, seeds: Sequence[int]
) -> Iterator[str]:
    """Means over more samples of an item are quieter: no bias, but not the same measurement."""
    left, right = tables_of(evidence, contrast, metric)
    differing = [
        f"{'/'.join(filter(None, name))}: {_span(items.outputs)} and {_span(right[name].outputs)}"
        for name, items in left.items()
        if name in right and items.outputs != right[name].outputs
    ]
    if differing:
        yield f"outputs of an item differ ({'; '.join(differing)})"


def _span(outputs: tuple[int, int]) -> str:
    return str(outputs[0]) if outputs[0] == outputs[1] else f"{outputs[0]} to {outputs[1]}"


def _alike(
    evidence: Evidence, contrast: Contrast, metric: str, seeds: Sequence[int]
) -> Iterator[str]:
    """Two checkpoints that score alike on every item may be one that was evaluated twice."""
    left, right = tables_of(evidence, contrast, metric)
    if not left or not same_items(left, right):
        return
    one, other = (np.concatenate([table[name].values for name in left]) for table in (left, right))
    spread = len(np.unique(one)) > 1
    if spread and len(one) >= FEWEST_ALIKE and np.array_equal(one, other, equal_nan=True):
        yield f"all {len(one):,} items have the same score on both sides"


def tables_of(
    evidence: Evidence, contrast: Contrast, metric: str
) -> tuple[ItemsByStratum, ItemsByStratum]:
    """Return the items behind a metric on either side, of the first finished run of each."""
    return evidence.table(contrast.treatment, metric), evidence.table(contrast.control, metric)


def _backends(
    evidence: Evidence, contrast: Contrast, metric: str, seeds: Sequence[int]
) -> Iterator[str]:
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


def _gap(name: str, said: str, most: float) -> Fire:
    """Return a tripwire on the gap between the sides in a share of outputs."""

    def fire(
        evidence: Evidence, contrast: Contrast, metric: str, seeds: Sequence[int]
    ) -> Iterator[str]:
        shares = _means(evidence, contrast, name, seeds)
        if abs(shares[0] - shares[1]) > most:
            yield f"{said}: {shares[0]:.1%} and {shares[1]:.1%}"

    return fire


def _length(
    evidence: Evidence, contrast: Contrast, metric: str, seeds: Sequence[int]
) -> Iterator[str]:
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


def _edges(
    evidence: Evidence, contrast: Contrast, metric: str, seeds: Sequence[int]
) -> Iterator[str]:
    row = evidence.metric(metric)
    if row is None or row.unit != "percent":
        return
    for cell in (contrast.treatment, contrast.control):
        values = evidence.values(cell, metric).values()
        if values and all(value in (0.0, 100.0) for value in values):
            yield f"{cell} scores exactly {next(iter(values)):.0f} %"


@dataclass(frozen=True)
class Tripwire:
    """One thing that every comparison is checked for."""

    name: str
    fire: Fire
    invalidates: bool = False
    """Whether the difference is no effect then; otherwise it is named beside the difference."""
    needs: str = ""
    """Metric that it looks at; ``items`` for scores of single items."""


TRIPWIRES: tuple[Tripwire, ...] = (
    Tripwire("runs that failed", _failures, invalidates=True),
    Tripwire("evaluations that distrust themselves", _untrusted, invalidates=True),
    Tripwire("undefined scores", _undefined, invalidates=True),
    Tripwire("different items", _different_items, invalidates=True, needs="items"),
    Tripwire("different prompts", _different_prompts, invalidates=True, needs="items"),
    Tripwire("different categories", _different_categories, invalidates=True),
    Tripwire("outputs of an item", _outputs, needs="items"),
    Tripwire("different training backends", _backends),
    Tripwire(
        "outputs that ended",
        _gap("ended_fraction", "outputs that ended", ENDED_GAP),
        needs="ended_fraction",
    ),
    Tripwire(
        "answers that could not be read",
        _gap("unextracted_fraction", "outputs without a readable answer", ENDED_GAP),
        needs="unextracted_fraction",
    ),
    Tripwire("length of outputs", _length, needs="length_tokens"),
    Tripwire("refusals", _gap("refused_fraction", "refusals", REPLY_GAP), needs="refused_fraction"),
    Tripwire(
        "loops",
        _gap("repetition_fraction", "outputs in a loop", REPLY_GAP),
        needs="repetition_fraction",
    ),
    Tripwire(
        "empty outputs", _gap("empty_fraction", "empty outputs", REPLY_GAP), needs="empty_fraction"
    ),
    Tripwire("equal scores on every item", _alike, needs="items"),
    Tripwire("seeds left out", _left_out),
    Tripwire("scores of exactly 0 or 100 %", _edges),
)
"""Every tripwire, in the order in which what they find is said."""
