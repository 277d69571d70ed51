"""What was asked and answered, read for the chosen items only."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.reporting.artifacts import Stratum, number
from ablate.reporting.browser.plain import shortened

_HASH = re.compile(r'"doc_hash": ?"([^"\\]*)"')
"""A quote inside a JSON text has a backslash before it, so this finds fields only."""
_HEAD = 3_000
"""Characters of a line that the hash is looked for in; lines that have it later are read whole."""
_RATIONALE = 1_200
"""Characters of a judge's words that the page holds."""


@dataclass(frozen=True)
class Reply:
    """One output of one cell."""

    prompt: tuple[str, int]
    """Text and, where it was cut, its whole length."""
    target: str
    output: tuple[str, int]
    tokens: float
    """NaN where unknown."""
    kl_nats: float
    scores: Mapping[str, float]
    flags: tuple[str, ...]
    judged: tuple[str, ...]
    """What a judge said, and why there is no verdict."""


Replies = dict[tuple[str, str, str], Reply]
"""By task, cell and key of the item."""
Wanted = Mapping[tuple[Stratum, str], Collection[str]]
"""Keys of items by stratum and mode."""


def read_replies(folder: Path, wanted: Wanted) -> dict[tuple[Stratum, str], Reply]:
    """Return the first reply to each wanted item, by stratum and key.

    Every other line is passed over without being parsed, where its hash shows that it can be.
    """
    replies: dict[tuple[Stratum, str], Reply] = {}
    first: dict[tuple[Stratum, str], int] = {}
    hashes = {key.partition("/")[0] for keys in wanted.values() for key in keys}
    for line in _lines(folder / "samples.jsonl", hashes):
        stratum = (str(line.get("category") or ""), str(line.get("task") or ""))
        key = f"{line.get('doc_hash', '')}/{line.get('doc_id', '')}"
        if key not in wanted.get((stratum, str(line.get("mode") or "sampled")), ()):
            continue
        sample = int(number(line.get("sample")) if line.get("sample") is not None else 0)
        if (stratum, key) not in replies or sample < first[stratum, key]:
            replies[stratum, key] = _reply(line)
            first[stratum, key] = sample
    return replies


def _lines(path: Path, hashes: Collection[str]) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file whose document may be one of these."""
    if not path.exists():
        return
    with open(path, encoding="utf-8") as file:
        for line in file:
            found = _HASH.search(line[:_HEAD])
            if found is not None and found[1] not in hashes:
                continue
            try:
                record = json.loads(line)
            except ValueError:
                break  # Where this is not a killed writer's last line, reading the scores says so.
            if isinstance(record, dict):
                yield record


def _reply(line: Mapping[str, Any]) -> Reply:
    scores = {str(name): number(value) for name, value in (line.get("scores") or {}).items()}
    judged = line.get("judged") or {}
    said = judged.get("rationale") or []
    words = [said] if isinstance(said, str) else list(said)
    words += [str(judged[name]) for name in ("reason", "message") if judged.get(name)]
    return Reply(
        prompt=shortened(line.get("prompt")),
        target=shortened(line.get("target"))[0],
        output=shortened(line.get("output")),
        tokens=number(line.get("length_tokens")),
        kl_nats=number(line.get("kl_nats")),
        scores=scores,
        flags=tuple(_flags(line, scores)),
        judged=tuple(shortened(text, _RATIONALE)[0] for text in words),
    )


def _flags(line: Mapping[str, Any], scores: Mapping[str, float]) -> Iterator[str]:
    if line.get("mode") != "choices" and not line.get("logprobs"):
        if not str(line.get("output") or "").strip():
            yield "empty"
    else:
        yield "choices compared by likelihood; no text was generated"
    if line.get("ended") is False:
        yield "cut at the length limit"
    if scores.get("extracted") == 0:
        yield "no readable answer"
    if scores.get("refused") == 1:
        yield "refusal"
    if scores.get("repetition") == 1:
        yield "loop"
