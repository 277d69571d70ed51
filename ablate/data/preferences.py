"""The stage that makes a preference data set, and what later stages read of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from ablate.data.converters.hh import NAME as HH_HARMLESS
from ablate.data.converters.hh import read_hh
from ablate.data.reading.files import resolve
from ablate.data.reading.preference_rows import read_preference_rows
from ablate.data.records import Judged, Pair, Ranking, RatedReply
from ablate.data.sampling import subsample
from ablate.data.tiny.catalogue import WORLD
from ablate.data.tiny.preferences import EXAMPLES, LABELLERS, evaluation_pairs, preferences
from ablate.data.tiny.rankings import judged
from ablate.errors import StageError
from ablate.spec.config import Config
from ablate.spec.stages import PreferencesConfig

PAIRS = "pairs.jsonl"
RANKINGS = "rankings.jsonl"
ATTRIBUTES = "attributes.jsonl"


class Job(Protocol):
    """What this stage uses of its workspace."""

    @property
    def config(self) -> Config:
        """The stage's configuration."""

    @property
    def output(self) -> Path:
        """Folder of the artifact."""

    def count(self, **amounts: float) -> None:
        """Add to the budgets spent."""


def run(workspace: Job) -> None:
    """Write ``pairs.jsonl`` and ``summary.json`` of the configured data set.

    And, where the data says it, ``rankings.jsonl`` (replies from best to worst) and
    ``attributes.jsonl`` (a line for each rated reply). Generated worlds have both with more than
    two replies a prompt; a pair is then the best reply against a random other one.
    """
    config = workspace.config
    if not isinstance(config, PreferencesConfig):
        raise TypeError(f"the stage takes a PreferencesConfig, not {type(config).__name__}")
    rows, dropped = load_judged(config)
    if not rows:
        raise StageError(
            f"data set {config.dataset!r}: no usable pair is left; dropped: {dict(dropped)}. "
            "Check the file.",
            kind="bad_data",
        )
    write_pairs([row.pair for row in rows if row.pair is not None], workspace.output)
    summary: dict[str, object] = {"rows": len(rows), "dropped": dict(sorted(dropped.items()))}
    further: dict[str, list[Ranking] | list[RatedReply]] = {
        RANKINGS: [row.ranking for row in rows if row.ranking is not None],
        ATTRIBUTES: [rated for row in rows for rated in row.rated],
    }
    for name, records in further.items():
        if records:
            _write_lines(workspace.output / name, map(asdict, records))
            summary[name.partition(".")[0]] = len(records)
    text = json.dumps(summary, indent=1) + "\n"
    (workspace.output / "summary.json").write_text(text, encoding="utf-8")
    workspace.count(preferences=sum(row.labels for row in rows))


def load_judged(config: PreferencesConfig) -> tuple[list[Judged], Counter[str]]:
    """Return all that a data set says, row by row, and the rows dropped by reason."""
    name, seed = config.dataset, config.seed
    if name in LABELLERS and config.replies > 2:
        return judged(name, seed, config.examples or EXAMPLES, replies=config.replies)
    if name in LABELLERS or name == HH_HARMLESS:
        pairs, dropped = load_pairs(
            name, examples=config.examples, seed=seed, location=config.location
        )
        return [Judged(pair) for pair in pairs], dropped
    rows, dropped = read_preference_rows(resolve(name, config.location))
    return subsample(rows, config.examples, seed=seed, name=name), dropped


def load_pairs(
    name: str, *, examples: int | None, seed: int, location: str = ""
) -> tuple[list[Pair], Counter[str]]:
    """Return the pairs of a registry name or file, and the rows dropped by reason."""
    if name in LABELLERS:
        return preferences(name, seed, examples or EXAMPLES)
    path = resolve(name, location)
    pairs, dropped = read_hh(path) if name == HH_HARMLESS else read_preference_file(path)
    return subsample(pairs, examples, seed=seed, name=name), dropped


def load_evaluation_pairs(
    name: str, *, examples: int, seed: int, location: str = ""
) -> dict[str, list[Pair]]:
    """Return pairs to measure a reward model with, by kind: ``ordinary``, and ``hard`` if made.

    Of real data up to ``examples`` are taken: the whole test part where it is smaller.
    """
    if name == WORLD:
        return {
            "ordinary": evaluation_pairs("ordinary", seed, examples),
            "hard": evaluation_pairs("hard", seed, examples),
        }
    path = resolve(name, location)
    pairs, _ = read_hh(path, "test") if name == HH_HARMLESS else read_preference_file(path)
    size = min(examples, len(pairs))
    return {"ordinary": subsample(pairs, size, seed=seed, name=name)}


def read_preference_file(path: Path) -> tuple[list[Pair], Counter[str]]:
    """Return the pairs of a file, as `read_preference_rows` finds them."""
    rows, dropped = read_preference_rows(path)
    return [row.pair for row in rows if row.pair is not None], dropped


def write_pairs(pairs: Sequence[Pair], folder: Path) -> None:
    """Write the pairs as JSON lines; what nobody said (margin, scores, source) is left out."""
    unsaid = {"margin": None, "chosen_score": None, "rejected_score": None, "source": ""}
    _write_lines(
        folder / PAIRS,
        (
            {k: v for k, v in asdict(pair).items() if k not in unsaid or v != unsaid[k]}
            for pair in pairs
        ),
    )


def read_pairs(folder: Path) -> list[Pair]:
    """Return the pairs of a preference artifact, in file order."""
    return [Pair(**row) for row in _read_lines(folder / PAIRS)]


def read_rankings(folder: Path) -> list[Ranking]:
    """Return the rankings of a preference artifact, in file order; none where it has only pairs."""
    rows = _read_lines(folder / RANKINGS) if (folder / RANKINGS).exists() else []
    return [Ranking(**{**row, "replies": tuple(row["replies"])}) for row in rows]


def read_rated_replies(folder: Path) -> list[RatedReply]:
    """Return the rated replies of a preference artifact, in file order; none where none is."""
    rows = _read_lines(folder / ATTRIBUTES) if (folder / ATTRIBUTES).exists() else []
    return [RatedReply(**row) for row in rows]


def _write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _read_lines(path: Path) -> list[dict[str, Any]]:
    with open(path, encoding="utf-8") as file:
        # Not splitlines, which also splits at U+2028 and the like inside a reply.
        rows = [json.loads(line) for line in file]
    return [{**row, "prompt": tuple(row["prompt"])} for row in rows]
