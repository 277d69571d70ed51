"""The stage that makes a preference data set, and what later stages read of it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from ablate.data.columns import MalformedRow, conversation, drop_reason, reply
from ablate.data.files import bad_row, read_rows, resolve
from ablate.data.hh import NAME as HH_HARMLESS
from ablate.data.hh import read_hh
from ablate.data.records import Pair
from ablate.data.sampling import subsample
from ablate.data.tiny.catalogue import WORLD
from ablate.data.tiny.preferences import EXAMPLES, LABELLERS, evaluation_pairs, preferences
from ablate.errors import StageError
from ablate.spec.config import Config
from ablate.spec.stages import PreferencesConfig

PAIRS = "pairs.jsonl"


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
    """Write ``pairs.jsonl`` and ``summary.json`` of the configured data set."""
    config = workspace.config
    if not isinstance(config, PreferencesConfig):
        raise TypeError(f"the stage takes a PreferencesConfig, not {type(config).__name__}")
    pairs, dropped = load_pairs(
        config.dataset, examples=config.examples, seed=config.seed, location=config.location
    )
    if not pairs:
        raise StageError(
            f"data set {config.dataset!r}: no usable pair is left; dropped: {dict(dropped)}. "
            "Check the file.",
            kind="bad_data",
        )
    write_pairs(pairs, workspace.output)
    summary = {"rows": len(pairs), "dropped": dict(sorted(dropped.items()))}
    text = json.dumps(summary, indent=1) + "\n"
    (workspace.output / "summary.json").write_text(text, encoding="utf-8")
    workspace.count(preferences=len(pairs))


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
    """Return the pairs of a file with columns ``prompt``, ``chosen`` and ``rejected``.

    Each is a string or messages. Replies may be whole conversations; the prompt is then what comes
    before the last message, and a ``prompt`` column is not needed.
    """
    pairs: list[Pair] = []
    dropped: Counter[str] = Counter()
    for number, row in read_rows(path):
        try:
            pair = _pair(row, f"{path.name.partition('.')[0]}-{number}")
        except MalformedRow as error:
            raise bad_row(path, number, str(error)) from error
        if isinstance(pair, Pair):
            pairs.append(pair)
        else:
            dropped[pair] += 1
    return pairs, dropped


def _pair(row: dict[str, Any], id_: str) -> Pair | str:
    """Return a pair, or the reason to drop it."""
    before_chosen, chosen = reply(row, "chosen")
    before_rejected, rejected = reply(row, "rejected")
    if not before_chosen and not before_rejected:
        before_chosen = before_rejected = conversation(row, "prompt")
    if reason := drop_reason((before_chosen, before_rejected), (chosen, rejected)):
        return reason
    category = row.get("category")
    known = category if isinstance(category, str) else None
    return Pair(id_, before_chosen, chosen, rejected, known)


def write_pairs(pairs: list[Pair], folder: Path) -> None:
    """Write the pairs as JSON lines."""
    with open(folder / PAIRS, "w", encoding="utf-8", newline="\n") as file:
        for pair in pairs:
            file.write(json.dumps(asdict(pair), ensure_ascii=False) + "\n")


def read_pairs(folder: Path) -> list[Pair]:
    """Return the pairs of a preference artifact, in file order."""
    with open(folder / PAIRS, encoding="utf-8") as file:
        # Not splitlines, which also splits at U+2028 and the like inside a reply.
        rows = [json.loads(line) for line in file]
    return [Pair(**{**row, "prompt": tuple(row["prompt"])}) for row in rows]
