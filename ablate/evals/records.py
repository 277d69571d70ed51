"""What an evaluation leaves: metric rows and one line per scored output."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ablate.evals.tree import Direction, Level

Unit = Literal[
    "percent",
    "points",
    "reward",
    "nats",
    "tokens",
    "characters",
    "fraction",
    "count",
    "correlation",
]

SCORES = "scores.json"
SAMPLES = "samples.jsonl"


@dataclass(frozen=True)
class Metric:
    """One number of an evaluation."""

    metric: str
    level: Level
    value: float
    """NaN where undefined; written as null."""
    n_items: int
    """Documents behind the number, not outputs."""
    direction: Direction
    unit: Unit
    standard_error: float = math.nan
    """Of a published number that states one; left out of the file where it is NaN."""


def write_scores(
    folder: Path,
    metrics: Iterable[Metric],
    *,
    suite: str,
    invalid: Sequence[str] = (),
    alarms: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> None:
    """Write ``scores.json``.

    ``invalid`` are reasons not to believe the numbers at all, ``alarms`` what to look at before
    believing them, ``notes`` what they leave out; a key with nothing to say is not there.
    """
    record: dict[str, object] = {"suite": suite, "metrics": [_row(m) for m in metrics]}
    record |= {"invalid": list(invalid)} if invalid else {}
    record |= {"alarms": list(alarms)} if alarms else {}
    record |= {"notes": list(notes)} if notes else {}
    _write(folder, record)


def write_published(
    folder: Path, metrics: Iterable[Metric], *, source: str, alarms: Sequence[str] = ()
) -> None:
    """Write ``scores.json`` of published numbers, with where they are from."""
    record: dict[str, object] = {"suite": "", "metrics": [_row(m) for m in metrics]}
    record |= {"source": source}
    _write(folder, record | ({"alarms": list(alarms)} if alarms else {}))


def _write(folder: Path, record: Mapping[str, object]) -> None:
    text = json.dumps(record, indent=1, allow_nan=False)
    (folder / SCORES).write_text(text + "\n", encoding="utf-8")


def _row(metric: Metric) -> dict[str, object]:
    row = dict(vars(metric))
    if math.isnan(metric.standard_error):
        del row["standard_error"]
    cleaned: dict[str, object] = clean(row)
    return cleaned


def write_lines(path: Path, records: Iterable[Mapping[str, object]]) -> None:
    """Write one JSON object per line, NaN as null."""
    with open(path, "w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(clean(record), ensure_ascii=False, allow_nan=False) + "\n")


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file that `write_lines` wrote."""
    with open(path, encoding="utf-8") as file:
        yield from map(json.loads, file)


def clean(value: Any) -> Any:
    """Return ``value`` with every float that is not finite replaced by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value


def readable(messages: Sequence[Mapping[str, str]]) -> str:
    """Return the conversation as people read it: the lone user message, or all with their roles."""
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in messages)


def content_hash(value: object) -> str:
    """Return the SHA-256 of a value's JSON text."""
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()
