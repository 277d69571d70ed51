"""What a training command is given: data of the stage, rendered, tokenized and cut to fit."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ablate.data.demonstrations import demonstrations_of
from ablate.data.records import Demonstration, Pair
from ablate.data.stored import stored_pairs
from ablate.models.batching import row_lengths
from ablate.models.boundary import Boundary, Messages, Row
from ablate.spec.online import OnlineConfig
from ablate.spec.stages import RewardModelConfig, SftConfig
from ablate.store.workspace import Workspace
from ablate.training.backends.contract import Data
from ablate.training.examples import PairRows, count_kept, fitting_pairs, read_pair_table
from ablate.training.offline import read_reference
from ablate.training.rollouts import read_prompts

PROBES = 32
"""Prompts and completions by which a returned tokenizer is compared with the one handed out."""


@dataclass(frozen=True)
class Materials:
    """The files of a stage, and what they hold."""

    data: Data
    kept: Mapping[str, int]
    """Numbers for the stage's summary."""
    messages: tuple[Messages, ...]
    """Some prompts."""
    texts: tuple[str, ...]
    """Some completions."""


def write_materials(workspace: Workspace, boundary: Boundary, folder: Path) -> Materials:
    """Write the stage's data below ``folder``; count what was dropped and what labels it uses."""
    config = workspace.config
    if isinstance(config, SftConfig):
        return _demonstrations(workspace, config, boundary, folder)
    pairs = prompts = None
    kept: dict[str, int] = {}
    messages: list[Messages] = []
    texts: list[str] = []
    reads_pairs = isinstance(config, RewardModelConfig) or getattr(config, "reads_pairs", False)
    if reads_pairs:
        found = stored_pairs(workspace.inputs["preferences"])
        table = read_pair_table(workspace.inputs, boundary)
        rows = fitting_pairs(table, getattr(config, "max_length", 0))
        fitting, total = len(rows.kept), len(table)
        count_kept(workspace, "pairs", kept=fitting, total=total)
        described = _described_pairs(workspace, boundary, found, rows=rows, total=total)
        pairs = _written(folder / "pairs.jsonl", described)
        kept |= {"pairs": fitting, "dropped_long": total - fitting}
        workspace.count(preferences=fitting)
        first = list(itertools.islice(found, PROBES))
        messages += [pair.prompt for pair in first]
        texts += [pair.chosen for pair in first]
    if isinstance(config, OnlineConfig) and not config.reads_samples:
        found_prompts = read_prompts(workspace, config, boundary)
        prompts = _written(
            folder / "prompts.jsonl",
            (
                {
                    "id": prompt.id,
                    **_prompt(boundary, prompt.messages),
                    "world": prompt.world,
                    "target": prompt.target,
                }
                for prompt in found_prompts.prompts
            ),
        )
        kept["prompts"] = len(found_prompts.prompts)
        messages += [prompt.messages for prompt in found_prompts.prompts[:PROBES]]
    data = Data(pairs=pairs, prompts=prompts)
    return Materials(data, kept, tuple(messages), tuple(texts))


def _demonstrations(
    workspace: Workspace, config: SftConfig, boundary: Boundary, folder: Path
) -> Materials:
    found = demonstrations_of(workspace.inputs, config)
    rows = [row for item in found if (row := _demonstration(boundary, item, config.max_length))]
    count_kept(workspace, "demonstrations", kept=len(rows), total=len(found))
    return Materials(
        Data(demonstrations=_written(folder / "demonstrations.jsonl", rows)),
        {"demonstrations": len(rows), "dropped_long": len(found) - len(rows)},
        tuple(item.prompt for item in found[:PROBES]),
        tuple(item.completion for item in found[:PROBES]),
    )


def _demonstration(
    boundary: Boundary, item: Demonstration, max_length: int
) -> dict[str, Any] | None:
    prompt = _prompt(boundary, item.prompt)
    ids = boundary.completion_ids(item.completion)
    if row_lengths([Row(tuple(prompt["prompt_ids"]), ids)])[0] > max_length:
        return None
    return {**prompt, "completion": item.completion, "completion_ids": ids}


def _described_pairs(
    workspace: Workspace, boundary: Boundary, pairs: Iterable[Pair], *, rows: PairRows, total: int
) -> Iterator[dict[str, Any]]:
    """Yield the kept ones of all pairs, as text and as token ids, with their reference."""
    stored = workspace.inputs.get("reference")
    reference = read_reference(stored, rows, total=total) if stored is not None else None
    fits = np.zeros(total, dtype=bool)
    fits[rows.kept] = True
    for position, pair in enumerate(itertools.compress(pairs, fits)):
        row = {
            "id": pair.id,
            **_prompt(boundary, pair.prompt),
            "chosen": pair.chosen,
            "rejected": pair.rejected,
            "chosen_ids": rows.chosen[position].completion,
            "rejected_ids": rows.rejected[position].completion,
        }
        if reference is not None:
            row["reference_chosen_logp"] = float(reference.chosen[position])
            row["reference_rejected_logp"] = float(reference.rejected[position])
        yield row


def _prompt(boundary: Boundary, messages: Messages) -> dict[str, Any]:
    """Return a prompt as messages, as rendered text and as token ids."""
    plain = [dict(message) for message in messages]
    text = boundary.tokenizer.apply_chat_template(plain, add_generation_prompt=True, tokenize=False)
    return {"messages": plain, "prompt": text, "prompt_ids": boundary.prompt_ids(messages)}


def _written(path: Path, rows: Iterable[Mapping[str, Any]]) -> str:
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
    return str(path)
