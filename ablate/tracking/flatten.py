"""Configurations, metrics files and scores in the shape that trackers take."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

NAME_LENGTH = 250
"""Longest name of a parameter, metric or tag that MLflow 3.17 takes."""
VALUE_LENGTH = 6000
"""Longest parameter value that MLflow 3.17 takes."""
_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9_\-. :/]")


def clean_name(name: str) -> str:
    """Return a name that MLflow takes: no brackets, no path tricks, at most 250 characters.

    A name that had to change ends in six digits of its hash, so that two names never become one.
    """
    clean = _NOT_ALLOWED.sub("_", name)
    clean = "/".join(part for part in clean.split("/") if part.strip(".")) or "_"
    if clean == name and len(name) <= NAME_LENGTH:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"{clean[: NAME_LENGTH - 7]}-{digest}"


def flatten(nested: Mapping[str, Any]) -> dict[str, str]:
    """Return parameters by dotted name: mappings and lists are opened, None is ``none``."""
    return {name: _text(value)[:VALUE_LENGTH] for name, value in leaves(nested).items()}


def leaves(nested: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by dotted name: mappings and lists are opened, empty ones are values."""
    return {clean_name(name): value for name, value in _leaves(nested, "")}


def step_metrics(path: Path) -> Iterator[tuple[int, str, float]]:
    """Yield (step, name, value) of a metrics file; null is NaN. Nothing where there is no file.

    Of a step written twice, by an attempt that was taken up again, the last line holds.
    """
    if not path.exists():
        return
    steps: dict[int, dict[str, float | None]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        values = json.loads(line)
        steps[int(values.pop("step"))] = values
    for step, values in steps.items():
        for name, value in values.items():
            if value is None or isinstance(value, int | float):
                yield step, clean_name(name), _number(value)


def steps(path: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield each step of a metrics file with its values by name, in order of steps."""
    found: dict[int, dict[str, float]] = {}
    for step, name, value in step_metrics(path):
        found.setdefault(step, {})[name] = value
    yield from sorted(found.items())


def final_scores(path: Path, stage: str) -> list[tuple[int, str, float]]:
    """Return (0, ``stage/metric``, value) of a scores file; an undefined score is NaN."""
    if not path.exists():
        return []
    scores = json.loads(path.read_text(encoding="utf-8"))["metrics"]
    return [(0, clean_name(f"{stage}/{row['metric']}"), _number(row["value"])) for row in scores]


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    prefix = f"{name}." if name else ""
    if isinstance(value, Mapping) and (value or not name):
        for key, item in value.items():
            yield from _leaves(item, f"{prefix}{key}")
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        for index, item in enumerate(value):
            yield from _leaves(item, f"{prefix}{index}")
    else:
        yield name, value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "none" if value is None else json.dumps(value)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
