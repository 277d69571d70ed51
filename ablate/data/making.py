"""From the configuration of a data stage to its rows, and to the artifact that they make."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from ablate.data.artifacts import CARD, DROPPED, SUMMARY, ItemWriter
from ablate.data.hygiene.card import CardBuilder
from ablate.data.reading.files import resolve
from ablate.data.shaping.items import Item, Kind
from ablate.data.shaping.ledger import Ledger
from ablate.data.shaping.pipeline import Source, shaped
from ablate.data.shaping.select import Wanted
from ablate.data.sources import GENERATED, generated_items, source_items, source_name
from ablate.data.suite_index import suite_index
from ablate.errors import StageError
from ablate.spec.config import Config
from ablate.spec.data import DataConfig, PreferencesConfig, PromptsConfig
from ablate.spec.shaping import Origin, Shaping


class Job(Protocol):
    """What a data stage uses of its workspace."""

    @property
    def config(self) -> Config:
        """The stage's configuration."""

    @property
    def output(self) -> Path:
        """Folder of the artifact."""

    @property
    def scratch(self) -> Path:
        """Folder for what is put aside while rows are chosen."""

    def count(self, **amounts: float) -> None:
        """Add to the budgets spent."""


@dataclass(frozen=True)
class Wish:
    """What is asked of a data set beside its shaping; see the stages' configurations."""

    kind: Kind
    seed: int = 0
    examples: int | None = None
    replies: int = 2
    part: str = "train"
    """Which part of a set that has parts of its own."""

    @classmethod
    def of(cls, config: DataConfig) -> Wish:
        """Return the wish of a data stage."""
        if isinstance(config, PreferencesConfig):
            return cls("preferences", config.seed, config.examples, config.replies)
        kind: Kind = "prompts" if isinstance(config, PromptsConfig) else "demonstrations"
        return cls(kind, config.seed, config.examples)


def made_items(
    origin: Origin, shaping: Shaping, wish: Wish, *, ledger: Ledger, scratch: Path
) -> Iterator[Item]:
    """Yield the rows that are kept of a data set, in a fixed order.

    ``origin`` is the one data set; where ``shaping`` is a mixture its name alone counts. What is
    left out is in the ledger once the last row was asked for.
    """
    # What a mixture says of bad rows holds for all of its parts.
    skip = {"bad_rows": "skip"} if shaping.bad_rows == "skip" else {}
    sources = [
        _source(part.model_copy(update=skip), wish, whole=shaping.is_plain, ledger=ledger)
        for part in (shaping.mix or (origin,))
    ]
    # A generated set has exactly the rows that are asked for.
    exact = shaping.is_plain and origin.dataset in GENERATED
    wanted = Wanted(origin.dataset, wish.seed, None if exact else wish.examples)
    return shaped(
        sources, shaping, wanted=wanted, ledger=ledger, scratch=scratch, indexes=suite_index
    )


def _source(origin: Origin, wish: Wish, *, whole: bool, ledger: Ledger) -> Source:
    """Return the rows of one origin; a generated one is made in full where it is drawn from."""
    generated = generated_items(
        origin.dataset,
        wish.kind,
        seed=wish.seed,
        examples=wish.examples if whole else getattr(origin, "examples", None),
        replies=wish.replies,
    )
    if generated is None:
        return Source(source_name(origin), source_items(origin, wish.kind, part=wish.part))
    items, left_out = generated
    ledger.dropped.update(left_out)
    return Source(origin.dataset, items)


def loaded(
    origin: Origin, wish: Wish, shaping: Shaping | None = None
) -> tuple[list[Item], Counter[str]]:
    """Return all rows that are kept of a data set, and how many were left out, by reason.

    A shaping says how the origin is read as well: its layout, columns, slice and split.
    """
    kept = shaping or Shaping()
    if shaping is not None:
        said = Origin.model_fields.keys() & Shaping.model_fields.keys()
        origin = origin.model_copy(update={name: getattr(shaping, name) for name in said})
    with TemporaryDirectory() as scratch, Ledger() as ledger:
        items = list(made_items(origin, kept, wish, ledger=ledger, scratch=Path(scratch)))
    return items, ledger.dropped


def local_origin(name: str, location: str = "") -> Origin:
    """Return the origin of a data set that is generated, or lies in a file or folder here."""
    if name in GENERATED:
        return Origin(dataset=name)
    return Origin(dataset=name, location=str(resolve(name, location)))


def origin_of(config: DataConfig) -> Origin:
    """Return where the rows of a data stage are."""
    values = {name: getattr(config, name) for name in Origin.model_fields}
    return Origin(**values)


def make(workspace: Job) -> None:
    """Write a data artifact: records, ``dropped.jsonl``, ``card.json`` and ``summary.json``.

    ``pairs.jsonl``, ``rankings.jsonl`` (replies from best to worst), ``attributes.jsonl`` (a line
    for each rated reply), ``feedback.jsonl`` (thumbs), ``demonstrations.jsonl``, ``prompts.jsonl``:
    those of which there is something. Generated worlds have rankings and ratings with more than
    two replies a prompt; a pair is then the best reply against a random other one.
    """
    config = workspace.config
    if not isinstance(config, DataConfig):
        raise TypeError(f"the stage takes a configuration of data, not {type(config).__name__}")
    out = workspace.output
    wish, origin = Wish.of(config), origin_of(config)
    builder, rows = CardBuilder(config.dataset), 0
    with Ledger(out / DROPPED) as ledger, ItemWriter(out) as writer:
        for item in made_items(origin, config, wish, ledger=ledger, scratch=workspace.scratch):
            writer.add(item)
            builder.add(item)
            rows += 1
    if not rows:
        slices = " No row meets where." if config.where and not ledger.read else ""
        raise StageError(
            f"data set {config.dataset!r}: no usable row is left; dropped: "
            f"{dict(sorted(ledger.dropped.items()))}.{slices} Check the file and the filters.",
            kind="bad_data",
        )
    files = {name.partition(".")[0]: n for name, n in sorted(writer.counts.items())}
    summary = {"rows": rows, **files, **ledger.as_json()}
    (out / SUMMARY).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    (out / CARD).write_text(builder.card(ledger=ledger).to_json(), encoding="utf-8")
    if wish.kind == "preferences":
        workspace.count(preferences=writer.labels)
