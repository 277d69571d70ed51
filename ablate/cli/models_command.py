"""``ablate models``: the models that a study can name, and everything about one of them."""

from __future__ import annotations

import argparse
import os
import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ablate.cli.output import bold, print_json, size, table
from ablate.errors import StudyError, nearest
from ablate.plan.model_memory import (
    DTYPES,
    LORA_RANK,
    ROW_TOKENS,
    training_memory,
    weight_bytes,
)
from ablate.spec.hub import MODEL_VARIABLE, HubModel, chat_template, local_copy, unpinned
from ablate.spec.local_files import find_file
from ablate.spec.names import Missing
from ablate.spec.registry import NO_SUCH_MODEL, ModelEntry, hub_models, registry
from ablate.spec.shapes import ModelShape

EXAMPLE = (
    {"role": "user", "content": "What is two and two?"},
    {"role": "assistant", "content": "Four."},
    {"role": "user", "content": "And one more?"},
)
"""The conversation that a template is shown on; the reply to its last turn is asked for."""
LEAVE_OUT = ("template", "int8", "fp32", "licence", "nf4", "bf16")
"""Columns of the list that a narrow terminal goes without, the first of them first."""
_FOOT = (
    "GB of weights by dtype. * gated: the hub asks for an account that has accepted the licence."
)


@dataclass(frozen=True)
class Standing:
    """Whether a model can be used on this machine."""

    word: str
    """``yes``, ``download`` or ``no``."""
    reason: str
    """Where it is, or what is missing."""
    short: str = ""
    """The same in a few words, for many models at once."""


def run(args: argparse.Namespace) -> int:
    """Print the list, or one model."""
    models = registry().models
    if args.name is None:
        standings = {name: standing(name, entry) for name, entry in models.items()}
        if args.json:
            print_json([_document(name, models[name], found) for name, found in standings.items()])
        else:
            _print_list(standings)
        return 0
    name = hub_models().get(args.name.partition("@")[0], args.name)
    if name not in models:
        close = nearest(name, [*models, *hub_models()])
        raise StudyError(f"models: {args.name!r} {NO_SUCH_MODEL}{close}")
    found = standing(name, models[name])
    if args.json:
        print_json(_document(name, models[name], found))
    else:
        print("\n".join(_page(name, models[name], found)))
    return 0


def standing(name: str, entry: ModelEntry) -> Standing:
    """Return whether and from where this machine gets a model."""
    if entry.world is not None:
        return Standing("yes", "trained here from scratch, on a generated corpus")
    found = _hub_standing(name, entry.hub) if entry.hub is not None else _package_standing(name)
    memory, shape = _machine_bytes(), entry.shape
    # An import reads every weight in fp32 and copies it once.
    needed = 8.0 * shape.parameters if shape is not None else 0.0
    if memory is None or needed <= memory:
        return found
    reason = f"its import takes {size(needed)} of memory, and this machine has {size(memory)}"
    if found.word == "no":
        reason = f"{found.reason} Also, {reason}."
    return Standing("no", reason, f"imports that take more memory than {size(memory)}")


def _package_standing(name: str) -> Standing:
    found = find_file("model", name, Path())
    if isinstance(found, Missing):
        return Standing("no", found.reason, "a Python package that is not installed")
    return Standing("yes", "in an installed package")


def _hub_standing(name: str, hub: HubModel) -> Standing:
    if (folder := local_copy(hub)) is not None:
        if (folder / "config.json").is_file():
            return Standing("yes", f"a copy below {MODEL_VARIABLE}")
        lacks = f"the folder below {MODEL_VARIABLE} has no config.json"
        return Standing("no", f"{lacks}.", lacks)
    if hub.revision is None:
        short = f"no commit on record and no copy below {MODEL_VARIABLE}"
        return Standing("no", unpinned(name, hub), short)
    snapshot = _hub_cache() / f"models--{hub.id.replace('/', '--')}" / "snapshots" / hub.revision
    if (snapshot / "config.json").exists():
        return Standing("yes", "in the hub's cache")
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        missing = "not in the hub's cache, and HF_HUB_OFFLINE is set"
        return Standing("no", f"{missing}.", missing)
    return Standing("download", f"from the hub when a job needs it.{hub.terms}")


def _hub_cache() -> Path:
    """Return the folder of downloaded models, as huggingface_hub finds it."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or f"{base}/huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or f"{home}/hub").expanduser()


def _machine_bytes() -> float | None:
    """Return the machine's memory, None where the system does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return None


def _document(name: str, entry: ModelEntry, found: Standing) -> dict[str, Any]:
    document = {"name": name, **entry.model_dump(mode="json"), "usable": asdict(found)}
    if entry.shape is not None:
        shape = entry.shape
        document["parameters"] = shape.parameters
        document["weight_bytes"] = {dtype: weight_bytes(shape, dtype) for dtype in DTYPES}
        document["training_bytes"] = [asdict(row) for row in training_memory(shape)]
    return document


def _print_list(standings: dict[str, Standing]) -> None:
    header = ["model", "weights", "licence", *DTYPES, "template", "here"]
    rows: list[list[Any]] = [_row(name, found) for name, found in standings.items()]
    width = shutil.get_terminal_size((120, 24)).columns
    text, left_out = table(header, rows), []
    for column in LEAVE_OUT:
        if max(map(len, text.splitlines())) <= width:
            break
        index = header.index(column)
        left_out.append(column)
        header, *rows = ([*row[:index], *row[index + 1 :]] for row in (header, *rows))
        text = table(header, rows)
    print(text)
    notes = [_FOOT, *_reasons(standings)]
    if left_out:
        notes.append(f"Left out, for the width of the terminal: {', '.join(left_out)}.")
    notes.append("Everything about one: ablate models NAME")
    print()
    for note in notes:
        print(textwrap.fill(note, width))


def _row(name: str, found: Standing) -> list[Any]:
    entry = registry().models[name]
    shape, hub = entry.shape, entry.hub
    mark = "*" if hub is not None and hub.gated else ""
    licence = f"{hub.license}{mark}" if hub is not None else None
    sizes = [f"{weight_bytes(shape, d) / 1e9:.1f}" if shape else None for d in DTYPES]
    parameters = hub.parameters if hub is not None else shape.parameters if shape else None
    count = _count(parameters) if parameters is not None else None
    return [name, count, licence, *sizes, entry.template, found.word]


def _count(parameters: int) -> str:
    """Return a number of weights as ``135M`` or ``6.7B``."""
    millions = parameters / 1e6
    return f"{millions:.0f}M" if millions < 999.5 else f"{millions / 1e3:.1f}B"


def _reasons(standings: dict[str, Standing]) -> Iterator[str]:
    """Yield why models cannot be used here, equal reasons together."""
    names: dict[str, list[str]] = {}
    for name, found in standings.items():
        if found.word == "no":
            names.setdefault(found.short, []).append(name)
    for reason, group in names.items():
        yield f"no: {reason}: {', '.join(group)}."


def _page(name: str, entry: ModelEntry, found: Standing) -> Iterator[str]:
    width = shutil.get_terminal_size((100, 24)).columns
    yield bold(name)
    yield from textwrap.wrap(entry.description, width)
    yield ""
    for label, text in _facts(entry, found):
        lines = textwrap.wrap(text, max(20, width - 12), break_on_hyphens=False)
        yield f"{label:<12}{lines[0]}"
        yield from (f"{'':<12}{line}" for line in lines[1:])
    if entry.shape is not None:
        yield ""
        yield from _memory(entry.shape, width)
    if entry.template is not None:
        yield ""
        yield from _template(entry, width)


def _facts(entry: ModelEntry, found: Standing) -> Iterator[tuple[str, str]]:
    if (hub := entry.hub) is not None:
        yield "hub", f"{hub.id}@{hub.revision}" if hub.revision else f"{hub.id}, no commit known"
        yield "licence", f"{hub.license}{', gated' if hub.gated else ''}"
    yield "here", f"{found.word}: {found.reason}"
    yield "preset", entry.preset
    if (shape := entry.shape) is not None:
        published = f"; published {hub.parameters:,}" if hub is not None else ""
        yield "weights", f"{shape.parameters:,} without norms and biases{published}"
        yield "shape", _described(shape)
    sizes = [f"{label} of {_size(entry, blocks)}" for label, blocks in entry.sizes.items()]
    if sizes:
        yield "rewards", f"reward models: {', '.join(sizes)}"


def _size(entry: ModelEntry, blocks: int | None) -> str:
    """Return a reward-model size: its blocks, and its weights where the shape is known."""
    shape = entry.shape
    if shape is None:
        return f"the first {blocks} blocks" if blocks else "all blocks"
    kept = shape.model_copy(update={"layers": blocks or shape.layers, "tied": True})
    return f"{kept.layers} blocks ({_count(kept.parameters)})"


def _described(shape: ModelShape) -> str:
    parts = [
        f"{shape.layers} blocks of width {shape.width:,}",
        f"queries {shape.query:,}, keys and values {shape.keys:,}",
        f"feed-forward {shape.intermediate:,}{', gated' if shape.gated else ''}",
        f"vocabulary {shape.vocabulary:,}",
        "the head is the embeddings" if shape.tied else "a head of its own",
    ]
    if shape.positions:
        parts.append(f"{shape.positions:,} learned positions")
    return "; ".join(parts)


def _memory(shape: ModelShape, width: int) -> Iterator[str]:
    sizes = ", ".join(f"{dtype} {size(weight_bytes(shape, dtype))}" for dtype in DTYPES)
    yield from textwrap.wrap(f"weights in memory: {sizes}", width)
    about = (
        f"training on a GPU, one row of {ROW_TOKENS:,} tokens at a time, activations computed "
        f"again; adapters of rank {LORA_RANK}, qlora over 4-bit weights:"
    )
    yield from textwrap.wrap(about, width)
    rows = [
        [row.stage, *(size(peak) for peak in (row.full, row.lora, row.qlora))]
        for row in training_memory(shape)
    ]
    yield table(["", "full", "lora", "qlora"], rows)


def _template(entry: ModelEntry, width: int) -> Iterator[str]:
    kept = "the tokenizer's own" if entry.own_template else "imported with the weights"
    eos = entry.tokens.eos if entry.tokens is not None else "the end token"
    yield from textwrap.wrap(
        f"chat template {entry.template}, {kept}; a prompt of two turns, "
        f"which the reply and {eos} follow:",
        width,
    )
    for line in rendered(entry).split("\n"):
        parts = textwrap.wrap(line, max(20, width - 6))
        yield f"  | {parts[0]}" if parts else "  |"
        yield from (f"  |   {part}" for part in parts[1:])


def rendered(entry: ModelEntry) -> str:
    """Return the prompt that a registered template makes of `EXAMPLE`, with its special tokens."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # Slow to import, and seldom needed.

    # As transformers renders chat templates.
    rules = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    tokens = entry.tokens.model_dump(exclude_none=True) if entry.tokens is not None else {}
    return rules.from_string(chat_template(entry.template or "")).render(
        messages=EXAMPLE,
        add_generation_prompt=True,
        **{f"{name}_token": token for name, token in tokens.items()},
    )
