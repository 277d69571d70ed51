"""What every tripwire looked at and what it found, and how the comparisons are paired."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ablate.reporting import text
from ablate.reporting.checks import TRIPWIRES, Tripwire, tables_of
from ablate.reporting.contrasts import Contrast, contrasts_of
from ablate.reporting.effects import score_of
from ablate.reporting.estimating import common_seeds
from ablate.reporting.evidence import Evidence
from ablate.reporting.findings import Findings
from ablate.reporting.flags import BAND, CHANCE, flags_of
from ablate.reporting.reward_models import alarms_of
from ablate.reporting.tables import Cell, Table

MOST_NAMED = 4
"""Findings of one check that are written out."""
_NONE = "nothing"


def tripwire_table(found: Findings) -> Table | None:
    """Return each check of the study with what it looked at and what it found.

    Comparisons are checked on the primary metric; a pair of cells counts once.
    """
    pairs = compared(found)
    rows = [_row(found, wire, pairs) for wire in TRIPWIRES] if pairs else []
    rows += [*_of_scores(found), *_of_study(found)]
    columns = ("check", "looked at", "found", "what", "then")
    caption = (
        "Every tripwire with what it looked at, on the primary metric, and what it found; a check"
        " that had nothing to look at says so."
    )
    return Table("checks", caption, columns, tuple(rows), sortable=False) if rows else None


def pairing_table(found: Findings) -> Table | None:
    """Return how the items of each comparison pair up on the primary metric."""
    rows = [_pairing(found.evidence, pair, found.study.primary) for pair in compared(found)]
    columns = ("comparison", "seeds", "runs", "items paired", "on one side only", "equal prompts")
    caption = (
        "Pairing audit: items of the primary metric that both sides have, first finished seed of"
        " each, and the share of them that were asked with the same prompt, by its hash."
    )
    return Table("pairing", caption, columns, tuple(rows)) if rows else None


def compared(found: Findings) -> list[Contrast]:
    """Return the contrasts that have results on both sides, each pair of cells once."""
    pairs: dict[tuple[str, str], Contrast] = {}
    shown = {(row.treatment, row.control) for row in found.effects}
    for contrast in contrasts_of(found.study):
        sides = (contrast.treatment, contrast.control)
        if sides in shown:
            pairs.setdefault(sides, contrast)
    return list(pairs.values())


def _row(found: Findings, wire: Tripwire, pairs: Sequence[Contrast]) -> tuple[Cell, ...]:
    evidence, metric = found.evidence, found.study.primary
    seen = [pair for pair in pairs if _looks(evidence, wire, pair, metric)]
    said: list[str] = []
    struck = 0
    for pair in seen:
        one = list(wire.fire(evidence, pair, metric, common_seeds(evidence, pair)))
        struck += bool(one)
        said += one
    then = "the difference is invalid" if wire.invalidates else "named beside the difference"
    if not seen:
        missing = Cell(text.DASH, tone="muted", hint="no evaluation has what it looks at")
        return (Cell(wire.name), Cell("nothing to look at"), missing, Cell(""), Cell(""))
    count = f"{len(seen)} of {len(pairs)} comparisons"
    return _fields(wire.name, count, struck, list(dict.fromkeys(said)), then)


def _looks(evidence: Evidence, wire: Tripwire, pair: Contrast, metric: str) -> bool:
    """Whether both sides have what a tripwire looks at."""
    if not wire.needs:
        return True
    if wire.needs == "items":
        return all(tables_of(evidence, pair, metric))
    sides = (evidence.values(cell, wire.needs) for cell in (pair.treatment, pair.control))
    return all(any(not math.isnan(value) for value in side.values()) for side in sides)


def _fields(
    name: str, looked_at: str, count: int, said: Sequence[str], then: str
) -> tuple[Cell, ...]:
    more = f"; and {len(said) - MOST_NAMED} more" if len(said) > MOST_NAMED else ""
    shown = "; ".join(said[:MOST_NAMED]) + more
    return (
        Cell(name),
        Cell(looked_at),
        Cell(str(count) if count else _NONE, sort=float(count), strong=bool(count)),
        Cell(shown or text.DASH, wide=bool(shown), tone="" if shown else "muted"),
        Cell(then if count else "", tone="" if count else "muted"),
    )


def _of_scores(found: Findings) -> Iterator[tuple[Cell, ...]]:
    """Yield the checks of single scores: no better than chance, outside a target band."""
    evidence = found.evidence
    metrics = [evidence.metrics[name] for name in evidence.headline if name in evidence.metrics]
    said: dict[str, list[str]] = {CHANCE: [], BAND: []}
    count = 0
    for cell in found.study.cells:
        for metric in metrics:
            score = score_of(evidence, cell, metric.metric)
            if math.isnan(score.value):
                continue
            count += 1
            for flag in flags_of(evidence, metric, score):
                where = f"{cell}, {text.label(metric.metric)}"
                said[flag.symbol].append(where)
    if count:
        looked = f"{count} scores"
        for symbol, name in ((CHANCE, "not above chance"), (BAND, "outside the target band")):
            yield _fields(name, looked, len(said[symbol]), said[symbol], f"marked {symbol}")


def _of_study(found: Findings) -> Iterator[tuple[Cell, ...]]:
    evidence, study = found.evidence, found.study
    done = sum(bool(run.folder("evaluation")) for run in study.runs)
    alarms = alarms_of(found)
    yield _fields("alarms of evaluations", f"{done} evaluations", len(alarms), alarms, "at the top")
    if any(role.startswith("contamination_") for run in study.runs for role in run.artifacts):
        said = [f"{one.task}: {one.share:.1%} of its documents" for one in evidence.seen]
        yield _fields(
            *("test documents in the training data", f"{len(evidence.tasks)} tasks", len(said)),
            *(said, "an average without them"),
        )


def _pairing(evidence: Evidence, pair: Contrast, metric: str) -> tuple[Cell, ...]:
    left, right = tables_of(evidence, pair, metric)
    paired = apart = alike = 0
    for name in left.keys() | right.keys():
        sides = [
            dict(zip(side[name].keys, side[name].prompts, strict=True)) if name in side else {}
            for side in (left, right)
        ]
        shared = sides[0].keys() & sides[1].keys()
        paired += len(shared)
        apart += len(sides[0].keys() ^ sides[1].keys())
        alike += sum(sides[0][key] == sides[1][key] for key in shared)
    seeds = common_seeds(evidence, pair)
    runs = [run for cell in (pair.treatment, pair.control) for run in evidence.finished(cell)]
    share = f"{alike / paired:.1%}" if paired else text.DASH
    if alike < paired and share == "100.0%":
        share = "< 100 %"
    return (
        Cell(f"{pair.treatment} − {pair.control}"),
        Cell(", ".join(map(str, seeds)) or text.DASH),
        Cell(str(len(runs)), sort=float(len(runs))),
        Cell(f"{paired:,}", sort=float(paired)),
        Cell(f"{apart:,}", sort=float(apart), strong=bool(apart)),
        Cell(share.replace("%", " %").replace("  ", " "), sort=alike / paired if paired else None)
        if paired
        else Cell(text.DASH, tone="muted", hint="no item scores on both sides"),
    )
