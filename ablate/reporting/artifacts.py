"""Reading what stages left: metric rows, item scores, step metrics. Nothing here computes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import orjson

from ablate.errors import SurroundingsError
from ablate.stats.estimate import FloatArray

Direction = Literal["higher", "lower", "none"]


@dataclass(frozen=True)
class MetricRow:
    """One number of ``scores.json``."""

    metric: str
    level: str
    value: float
    """NaN where the file has null."""
    n_items: int
    direction: Direction
    unit: str
    standard_error: float = math.nan
    """Of a published number, where its source or the study states one; in the metric's unit."""


@dataclass(frozen=True)
class Items:
    """Item scores of one stratum under one run, resamples averaged; sorted by key."""

    keys: tuple[str, ...]
    """``doc_hash/doc_id``: what pairs an item across runs."""
    prompts: tuple[str, ...]
    """Hash of the prompt as the model saw it."""
    values: FloatArray
    clusters: tuple[str, ...] = ()
    """What ties items together, such as a passage; empty where every item stands alone."""
    subsets: tuple[str, ...] = ()
    """Fixed subset of each item, such as a subject, where the task declares strata; else empty."""
    outputs: tuple[int, int] = (1, 1)
    """Fewest and most outputs of an item that the score is the mean of."""


Stratum = tuple[str, str]
"""Category and task."""


@dataclass(frozen=True)
class ItemTable:
    """Item scores of one evaluation."""

    scores: Mapping[tuple[str, str], Mapping[Stratum, Items]]
    """By mode (``sampled``, ``greedy``, ``main``, ``choices``, ``pair``) and name of the score."""
    fields: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By task which of ``cluster`` and ``subset`` at least one sample has."""


@dataclass(frozen=True)
class ScoreFile:
    """What ``scores.json`` says."""

    suite: str
    rows: Mapping[str, MetricRow]
    """By name, in file order."""
    invalid: tuple[str, ...] = ()
    """Reasons why the scores cannot be trusted."""
    alarms: tuple[str, ...] = ()
    """What a reader must see first."""
    notes: tuple[str, ...] = ()
    """What the numbers leave out."""
    source: str = ""
    """Where published numbers are from; empty for scores of outputs that are there."""


def read_scores(folder: Path) -> ScoreFile:
    """Return the metric rows of an evaluation and what it says of them."""
    path = folder / "scores.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        rows = {row["metric"]: _metric_row(row) for row in record["metrics"]}
        said = [tuple(map(str, record.get(name) or ())) for name in ("invalid", "alarms", "notes")]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SurroundingsError(
            f"{path}: cannot be read as metric rows ({error}); remove the artifact and run again"
        ) from error
    source = str(record.get("source") or "")
    invalid, alarms, notes = said
    return ScoreFile(str(record.get("suite") or ""), rows, invalid, alarms, notes, source)


def read_file(path: Path, make: Any) -> Any:
    """Return what ``make`` makes of a file's text; SurroundingsError where it cannot."""
    try:
        return make(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SurroundingsError(
            f"{path}: cannot be read ({error}); remove the artifact and run again"
        ) from error


def _metric_row(row: Mapping[str, Any]) -> MetricRow:
    return MetricRow(
        metric=str(row["metric"]),
        level=str(row["level"]),
        value=number(row["value"]),
        n_items=int(row.get("n_items") or 0),
        direction=cast(Direction, row.get("direction", "none")),
        unit=str(row.get("unit", "")),
        standard_error=number(row.get("standard_error")),
    )


def number(value: object) -> float:
    """Return a JSON number as float; null and everything else is NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value)


def read_lines(path: Path, *, exact: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON-lines file; nothing where it is missing.

    An incomplete last line, as a killed writer leaves, is passed over. Whole numbers beyond 64 bits
    come back as floats unless ``exact``, which takes five times as long. Raises SurroundingsError
    for any other line that is no JSON.
    """
    if not path.exists():
        return
    loads: Callable[[bytes], Any] = json.loads if exact else orjson.loads
    with open(path, "rb") as file:
        for line in file:
            try:
                record = loads(line)
            except ValueError:
                try:
                    # NaN and halves of surrogate pairs: Python writes them, orjson refuses them.
                    record = json.loads(line)
                except ValueError as error:
                    if line.endswith(b"\n"):
                        raise SurroundingsError(
                            f"{path}: cannot be read as JSON lines ({error}); remove the artifact "
                            "and run again"
                        ) from error
                    return
            if isinstance(record, dict):
                yield record


@dataclass(frozen=True)
class Curve:
    """Step metrics of one training stage."""

    steps: FloatArray
    metrics: Mapping[str, FloatArray]
    """NaN where a step has no value."""


def read_curve(folder: Path | None) -> Curve | None:
    """Return the step metrics of a training artifact, or None where it has none."""
    lines = list(read_lines(folder / "metrics.jsonl")) if folder is not None else []
    if not lines:
        return None
    names = dict.fromkeys(name for line in lines for name in line if name != "step")
    columns = {name: np.array([number(line.get(name)) for line in lines]) for name in names}
    steps = np.array([number(line.get("step", index)) for index, line in enumerate(lines)])
    return Curve(steps, columns)
