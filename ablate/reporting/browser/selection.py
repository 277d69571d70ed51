"""Which cells, pairs and items the page holds, where it cannot hold them all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, zip_longest

import numpy as np
from numpy.typing import NDArray

from ablate.reporting.browser.outcomes import TIE, UNSCORED, Column, TaskBoard, flips
from ablate.reporting.contrasts import Contrast
from ablate.reporting.findings import Findings

MOST_CELLS = 12
"""Cells whose outputs the page holds: 66 pairs, and as many outputs of every item."""
MOST_ITEMS = 900
"""Items over all tasks, before the size of their texts is counted."""
DISCORDANT = 0.7
"""Largest share of a task's places that goes to items on which a declared pair disagrees."""


def ordered_pairs(found: Findings, contrasts: Iterable[Contrast]) -> list[tuple[str, str]]:
    """Return the compared pairs as (control, treatment), each once.

    Declared families come first, one pair of each in turn.
    """
    order = [family.name for family in found.families]
    by_family: dict[str, list[tuple[str, str]]] = {name: [] for name in order}
    for contrast in contrasts:
        by_family.setdefault(contrast.kind, []).append((contrast.control, contrast.treatment))
    turns = chain.from_iterable(zip_longest(*by_family.values()))
    return list(dict.fromkeys(pair for pair in turns if pair is not None))


def chosen_cells(
    cells: Sequence[str], pairs: Iterable[tuple[str, str]], *, most: int = MOST_CELLS
) -> tuple[str, ...]:
    """Return the cells to show, in the study's order: those of the first pairs, then others."""
    wanted = dict.fromkeys(cell for pair in pairs for cell in pair if cell in cells)
    wanted.update(dict.fromkeys(cells))
    kept = set(list(wanted)[: min(most, MOST_CELLS)])
    return tuple(cell for cell in cells if cell in kept)


def chosen_items(
    board: TaskBoard,
    pairs: Sequence[tuple[str, str]],
    *,
    places: int,
    seeds: Mapping[str, Sequence[int]],
    draw: str,
) -> list[str]:
    """Return keys of items, the most telling first.

    Items on which a pair disagrees come first, pair by pair in turn, and in each those that flip
    under every seed; then a draw of the rest, which is the same for the same ``draw``.
    """
    keys = list(dict.fromkeys(key for column in board.columns.values() for key in column.keys))
    drawn = sorted(keys, key=lambda key: _rank(draw, board.name, key))
    rank = {key: place for place, key in enumerate(drawn)}
    queues = [_disagreed(board, pair, seeds, rank) for pair in pairs]
    discordant = list(dict.fromkeys(k for k in chain.from_iterable(zip_longest(*queues)) if k))
    if len(discordant) > places * DISCORDANT and len(keys) > places:
        discordant = discordant[: int(places * DISCORDANT)]
    return list(dict.fromkeys([*discordant, *drawn]))[:places]


def _disagreed(
    board: TaskBoard,
    pair: tuple[str, str],
    seeds: Mapping[str, Sequence[int]],
    rank: Mapping[str, int],
) -> list[str]:
    left, right = (board.columns.get(cell) for cell in pair)
    if left is None or right is None or left.keys != right.keys:
        return []
    if board.kind == "points":
        gap = np.abs(np.nan_to_num(left.scores[0] - right.scores[0]))
        return [left.keys[place] for place in np.argsort(-gap, kind="stable") if gap[place] > 0]
    steady = flips(left.outcomes, right.outcomes, (seeds[pair[0]], seeds[pair[1]])) != 0
    differ = _decided(left) & _decided(right) & (left.outcomes[0] != right.outcomes[0])
    places = sorted(np.flatnonzero(differ), key=lambda at: (not steady[at], rank[left.keys[at]]))
    return [left.keys[at] for at in places]


def _decided(column: Column) -> NDArray[np.bool_]:
    return ~np.isin(column.outcomes[0], (TIE, UNSCORED))


def _rank(draw: str, task: str, key: str) -> str:
    return hashlib.sha256(f"{draw}\n{task}\n{key}".encode(errors="replace")).hexdigest()


def in_turn(queues: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    """Yield (name, key) of the queues in turn until all are empty."""
    for row in zip_longest(*queues.values()):
        for name, key in zip(queues, row, strict=True):
            if key is not None:
                yield name, key
