"""Item scores out of ``samples.jsonl``: each line is looked at once, nothing of it is kept.

A study scores the same items under every cell and seed, so files differ in their scores alone. What
the lines say beside them, the heads, is sorted into a `Layout` once; a further file with equal
heads is one array of numbers in the order that the layout has.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.reporting.artifacts import Items, ItemTable, Stratum, number, read_lines
from ablate.stats.estimate import FloatArray

SAMPLES = "samples.jsonl"
SUBSET = "subset"
"""Field that an item's own category is written as: ``category`` is its task's in the suite."""
KEPT_LAYOUTS = 4
"""Layouts that a reader remembers; a study has one, and a few while its suite is in change."""
_SORTED = frozenset({int, float, type(None)})
"""Types of scores that numpy reads as we do; it would also take true as 1 and text as a number."""

Head = tuple[Any, ...]
"""Category, task, key, prompt hash, mode, cluster, subset and names of the scores of a line."""


@dataclass(frozen=True)
class Block:
    """The items of one score and stratum, without the scores."""

    kind: tuple[str, str]
    """Mode and name of the score."""
    stratum: Stratum
    items: Items
    """Values are left empty."""


@dataclass(frozen=True)
class Layout:
    """The items of a file, block after block."""

    blocks: tuple[Block, ...]
    fields: Mapping[str, frozenset[str]]
    """By task which of ``cluster`` and ``subset`` its samples have, as `ItemTable` says."""
    digest: str
    """Equal where everything is equal."""

    def table(self, values: FloatArray) -> ItemTable:
        """Return the item scores from the values of all blocks, which are shared and not copied."""
        found: dict[tuple[str, str], dict[Stratum, Items]] = {}
        start = 0
        for block in self.blocks:
            end = start + len(block.items.keys)
            named = block.items
            items = replace(named, values=values[start:end])
            found.setdefault(block.kind, {})[block.stratum] = items
            start = end
        return ItemTable(found, self.fields)


@dataclass(frozen=True)
class _Known:
    """A layout and the way to it."""

    heads: Sequence[Head]
    layout: Layout
    order: NDArray[np.intp]
    """Place in the file of every score, block after block and item after item."""
    starts: NDArray[np.intp]
    """Where each item's scores begin in ``order``."""


class ItemReader:
    """Reads files one after another, those of one study quicker than the first."""

    def __init__(self) -> None:
        """Know no layout yet."""
        self._known: list[_Known] = []

    def read(self, path: Path, subsets: Mapping[str, str]) -> tuple[Layout, FloatArray]:
        """Return the layout of a file and its scores, samples of an item averaged.

        ``subsets`` names by task the field that tells fixed subsets apart. A file that is missing
        has no items; an incomplete last line, as a killed writer leaves, is passed over. Raises
        SurroundingsError for every other line that is not JSON.
        """
        heads, scores = _columns(path, subsets, exact=False)
        known = self._find(heads)
        if known is None:
            if any(_is_inexact(head) for head in heads):
                heads, scores = _columns(path, subsets, exact=True)
            known = self._shared(_known(heads))
            self._known = [known, *self._known[: KEPT_LAYOUTS - 1]]
        return known.layout, _averaged(_numbers(scores)[known.order], known.starts)

    def _find(self, heads: Sequence[Head]) -> _Known | None:
        return next((known for known in self._known if known.heads == heads), None)

    def _shared(self, new: _Known) -> _Known:
        """Return the same with the layout of an earlier file whose lines have another order."""
        layouts = (known.layout for known in self._known)
        same = (layout for layout in layouts if layout.digest == new.layout.digest)
        return replace(new, layout=next(same, new.layout))


def read_table(path: Path, subsets: Mapping[str, str]) -> ItemTable:
    """Return the item scores of one file; see `ItemReader.read`."""
    layout, values = ItemReader().read(path, subsets)
    return layout.table(values)


def _columns(
    path: Path, subsets: Mapping[str, str], *, exact: bool
) -> tuple[list[Head], list[Any]]:
    """Return the head of every line and all scores, line after line."""
    heads: list[Head] = []
    scores: list[Any] = []
    for line in read_lines(path, exact=exact):
        get = line.get
        named, task = get("scores"), get("task")
        if not isinstance(named, dict):
            named = {}
        subset = get(subsets[task]) if isinstance(task, str) and task in subsets else None
        key = f"{get('doc_hash', '')}/{get('doc_id', '')}"
        about = (get("prompt_hash"), get("mode"), get("cluster"), subset)
        heads.append((get("category"), task, key, *about, tuple(named)))
        scores += named.values()
    return heads, scores


def _is_inexact(head: Head) -> bool:
    """Return whether an id may be a whole number that lost its last digits."""
    return "e+" in head[2] or any(isinstance(value, float) for value in head)


def _known(heads: Sequence[Head]) -> _Known:
    """Sort the heads of a file into blocks."""
    places: dict[tuple[str, str], dict[Stratum, dict[str, list[int]]]] = {}
    about: dict[tuple[Stratum, str], tuple[str, str, str]] = {}
    fields: dict[str, set[str]] = {}
    place = 0
    for category, task, key, prompt, mode, cluster, subset, names in heads:
        stratum = (str(category or ""), str(task or ""))
        has_cluster, has_subset = cluster not in (None, ""), subset not in (None, "")
        before = about.get((stratum, key), ("", "", ""))
        tie = str(cluster) if has_cluster else before[1]
        of = str(subset) if has_subset else before[2]
        about[stratum, key] = (str(prompt or ""), tie, of)
        said = fields.setdefault(stratum[1], set())
        said |= {name for name, has in (("cluster", has_cluster), (SUBSET, has_subset)) if has}
        for name in names:
            kind = (str(mode or "sampled"), name)
            places.setdefault(kind, {}).setdefault(stratum, {}).setdefault(key, []).append(place)
            place += 1
    blocks: list[Block] = []
    order: list[int] = []
    starts: list[int] = []
    for kind, by_stratum in places.items():
        for stratum, rows in by_stratum.items():
            keys = tuple(sorted(rows))
            items = _named(keys, [about[stratum, key] for key in keys], map(len, rows.values()))
            blocks.append(Block(kind, stratum, items))
            for key in keys:
                starts.append(len(order))
                order += rows[key]
    named = {task: frozenset(said) for task, said in fields.items()}
    layout = Layout(tuple(blocks), named, _digest(blocks, fields))
    return _Known(heads, layout, np.array(order, np.intp), np.array(starts, np.intp))


def _digest(blocks: Sequence[Block], fields: Mapping[str, set[str]]) -> str:
    had = sorted((task, *sorted(said)) for task, said in fields.items())
    digest = hashlib.sha256(repr(had).encode())
    for block in blocks:
        items = block.items
        said = (block.kind, block.stratum, items.keys, items.prompts, items.clusters, items.subsets)
        digest.update(repr((*said, items.outputs)).encode())
    return digest.hexdigest()


def _named(
    keys: tuple[str, ...], about: Sequence[tuple[str, str, str]], outputs: Iterable[int]
) -> Items:
    """Return items without scores; clusters and subsets are left out where they say nothing."""
    counts = set(outputs)
    ties = tuple(tie or key for key, (_, tie, _) in zip(keys, about, strict=True))
    subsets = tuple(subset for _, _, subset in about)
    return Items(
        keys=keys,
        prompts=tuple(prompt for prompt, _, _ in about),
        values=np.empty(0),
        clusters=ties if len(set(ties)) < len(keys) else (),
        subsets=subsets if len(set(subsets)) > 1 else (),
        outputs=(min(counts), max(counts)),
    )


def _numbers(scores: Sequence[Any]) -> FloatArray:
    """Return JSON values as floats; null and everything else that is no number is NaN."""
    if not _SORTED.issuperset(map(type, scores)):
        scores = [number(score) for score in scores]
    return np.array(scores, np.float64)


def _averaged(ordered: FloatArray, starts: NDArray[np.intp]) -> FloatArray:
    """Return the mean of each item's scores, correctly rounded before the division."""
    if len(starts) == len(ordered):
        return ordered
    counts = np.diff(starts, append=len(ordered))
    if counts.max() <= 2:
        sums = np.add.reduceat(ordered, starts)
    else:
        parts: Iterable[FloatArray] = np.split(ordered, starts[1:])
        sums = np.array([math.fsum(part) for part in parts])
    return np.asarray(sums / counts, np.float64)
