"""The data sets that can be named, and which of them this machine has."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import wrap

from ablate.cli.data_names import registry_names
from ablate.cli.output import table
from ablate.spec.data_sources import data_entry
from ablate.spec.local_files import find_file
from ablate.spec.names import Missing
from ablate.spec.registry import PromptsEntry, registry

NARROWEST = 8
"""Columns of a field that is cut; below it says nothing."""
HERE = {"yes": "", "hub": "downloaded from the hub when first read", "no": ""}
_SHORT = {"preferences": "pairs", "demonstrations": "demos", "reward_evaluation": "held-out"}


@dataclass(frozen=True)
class Listed:
    """A line of the list."""

    name: str
    kinds: tuple[str, ...]
    description: str
    group: str
    rows: int | None
    """As its source states; None where it does not, and for generated data."""
    license: str
    labeller: str
    here: str
    """``yes``, ``hub`` (read from there) or ``no``."""
    reason: str
    """Why this machine has it not, and what to do; empty where it has."""


def listed() -> list[Listed]:
    """Return every data set and prompt set of the registry."""
    return [_listed(name) for name in registry_names()]


def _listed(name: str) -> Listed:
    entry = data_entry(name)
    assert entry is not None
    prompts = isinstance(entry, PromptsEntry) or name in registry().prompts
    kinds = (*getattr(entry, "kinds", ()), *(("prompts",) if prompts else ()))
    here, reason = _here(name)
    license_ = entry.license or (entry.data.license if entry.data is not None else "")
    return Listed(
        name,
        kinds,
        entry.description,
        getattr(entry, "group", "") or ("Generated" if entry.world is not None else ""),
        entry.rows,
        license_ or ("none needed" if entry.world is not None else ""),
        getattr(entry, "labeller", "") or ("a rule" if entry.world is not None else ""),
        here,
        reason,
    )


def _here(name: str) -> tuple[str, str]:
    """Return whether a data set can be used, and why not; a mixture is what its parts are."""
    entry = data_entry(name)
    parts = [part.dataset for part in getattr(entry, "mix", ())] or [name]
    states = []
    for part in parts:
        found = find_file("data", part, Path("."))
        if isinstance(found, Missing):
            return "no", found.reason
        states.append("hub" if found is not None and not found.location else "yes")
    return ("hub" if "hub" in states else "yes"), ""


def print_list(sets: Sequence[Listed]) -> None:
    """Print the list within the terminal's width."""
    width = shutil.get_terminal_size((100, 24)).columns
    header = ["name", "kind", "group", "rows", "licence", "labeller", "here"]
    rows = [
        [
            *(one.name, _kinds(one.kinds), one.group or "–"),
            *(None if one.rows is None else f"{one.rows:,}", one.license or "–"),
            *(one.labeller or "–", one.here),
        ]
        for one in sets
    ]
    print(fitted(header, rows, width, flexible=(5, 4, 1, 2)))
    counts = {state: sum(one.here == state for one in sets) for state in HERE}
    print()
    for line in _footer(counts):
        print("\n".join(wrap(line, width - 1, subsequent_indent="  ")))


def _footer(counts: dict[str, int]) -> Iterator[str]:
    yield f"{sum(counts.values())} data sets, {counts['yes']} on this machine."
    if counts["hub"]:
        yield f"hub: {counts['hub']} are downloaded at their pinned commit when first read."
    if counts["no"]:
        yield f"no: {counts['no']} are not here; `ablate data NAME` says what each needs."
    yield "Files are named too: ablate data ./pairs.jsonl. About one: ablate data NAME."


def _kinds(kinds: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(_SHORT.get(kind, kind) for kind in kinds))


def fitted(
    header: Sequence[str], rows: Sequence[Sequence[object]], width: int, *, flexible: Sequence[int]
) -> str:
    """Return a table of at most ``width`` columns, the flexible fields cut in their order.

    Where that is not enough they are left out, the first ones first.
    """
    cells = [[*row] for row in rows]
    for column in flexible:
        over = max(map(len, table(header, cells).splitlines())) - width
        if over <= 0:
            break
        longest = max(len(str(row[column])) for row in cells)
        limit = max(NARROWEST, longest - over)
        for row in cells:
            if len(str(row[column])) > limit:
                row[column] = str(row[column])[: limit - 1] + "…"
    shown = list(range(len(header)))
    for column in flexible:
        text = table([header[n] for n in shown], [[row[n] for n in shown] for row in cells])
        if max(map(len, text.splitlines())) <= width:
            return text
        shown.remove(column)
    return table([header[n] for n in shown], [[row[n] for n in shown] for row in cells])


def as_json(sets: Sequence[Listed]) -> dict[str, object]:
    """Return the list as a document."""
    return {"datasets": [asdict(one) for one in sets]}
