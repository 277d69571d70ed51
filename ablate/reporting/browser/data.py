"""What the sample browser shows, within what a page may weigh."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from ablate.reporting.browser.examples import Example, examples_of
from ablate.reporting.browser.outcomes import CODES, PairTable, TaskBoard, boards, pair_table
from ablate.reporting.browser.plain import script_json, visible
from ablate.reporting.browser.selection import (
    MOST_CELLS,
    MOST_ITEMS,
    chosen_cells,
    chosen_items,
    in_turn,
    ordered_pairs,
)
from ablate.reporting.browser.texts import Replies, Reply, read_replies
from ablate.reporting.contrasts import contrasts_of
from ablate.reporting.findings import Findings
from ablate.reporting.text import label

BUDGET = 2_000_000
"""Bytes that the browser's data may take of the page's 5 MB."""
ENOUGH = 40
"""Items of a task that are worth more than further cells."""
FEWEST_CELLS = 4
SIDE = 120
"""Bytes of an output beside its text, about."""


@dataclass(frozen=True)
class Browser:
    """The outputs of some cells on some items, and the tables of all items."""

    data: str
    """JSON that can stand in a script element; the page's script reads it."""
    pair: tuple[str, str]
    """Cells that are shown first."""
    examples: tuple[Example, ...]
    """Of that pair, for readers without scripts."""
    notes: tuple[str, ...]
    """What the numbers are of, and what was left out."""


@dataclass(frozen=True)
class Chosen:
    """What the page holds."""

    cells: tuple[str, ...]
    seeds: Mapping[str, tuple[int, ...]]
    pairs: tuple[tuple[str, str], ...]
    """Compared pairs of these cells as (control, treatment), that shown first at the front."""
    boards: tuple[TaskBoard, ...]
    left_out: int
    """Cells with outputs that the page does not hold."""


def browser_of(found: Findings, *, budget: int = BUDGET) -> Browser | None:
    """Return the sample browser of a study; None where fewer than two cells have item scores."""
    chosen = _chosen(found, MOST_CELLS)
    if len(chosen.cells) < 2 or not chosen.pairs:
        return None
    keys = {board.name: _keys(found, board, chosen) for board in chosen.boards}
    replies = _replies(found, chosen, keys)
    fitting = _fitting(chosen, replies, budget)
    if fitting < len(chosen.cells):
        chosen = _chosen(found, fitting)
        keys = {board.name: _keys(found, board, chosen) for board in chosen.boards}
        replies = _replies(found, chosen, keys)
    tasks = {board.name: _task(board, chosen) for board in chosen.boards}
    records: dict[str, list[dict[str, Any]]] = {name: [] for name in tasks}
    spent = sum(len(script_json(task)) for task in tasks.values())
    items = {board.name: _Items(board, chosen, replies) for board in chosen.boards}
    for name, key in in_turn(keys):
        record = items[name].record(key)
        if record is None:
            continue
        spent += len(script_json(record).encode())
        if spent > budget:
            break
        records[name].append(record)
    if not any(records.values()):
        return None
    data = {
        "cells": [visible(cell) for cell in chosen.cells],
        "seeds": [chosen.seeds[cell] for cell in chosen.cells],
        "pairs": [[chosen.cells.index(cell) for cell in pair] for pair in chosen.pairs],
        "tasks": [{**task, "items": records[name]} for name, task in tasks.items()],
    }
    pair = chosen.pairs[0]
    shown = {name: [record["k"] for record in of_task] for name, of_task in records.items()}
    examples = examples_of(chosen.boards, pair, shown, replies)
    return Browser(script_json(data), pair, tuple(examples), tuple(_notes(chosen)))


def _fitting(chosen: Chosen, replies: Replies, budget: int) -> int:
    """Return how many cells leave room for `ENOUGH` items of every task."""
    sizes = [len(reply.output[0]) + SIDE for reply in replies.values()]
    mean = sum(sizes) / max(1, len(sizes))
    return max(FEWEST_CELLS, int(budget / (len(chosen.boards) * ENOUGH * mean)))


def _chosen(found: Findings, most: int) -> Chosen:
    """Return what the page holds of at most so many cells."""
    evidence, study = found.evidence, found.study
    runs = {cell: evidence.finished(cell) for cell in study.cells}
    runs = {
        cell: of_cell
        for cell, of_cell in runs.items()
        if of_cell and evidence.items(of_cell[0]).scores
    }
    pairs = [
        pair for pair in ordered_pairs(found, contrasts_of(study)) if all(c in runs for c in pair)
    ]
    # A base model differs in everything: what the study trained is more to look at.
    pairs.sort(key=lambda pair: any(runs[cell][0].kind == "base" for cell in pair))
    cells = chosen_cells(list(runs), pairs, most=most)
    kept = [pair for pair in pairs if all(cell in cells for cell in pair)]
    if not kept and len(cells) > 1:
        kept = [(cells[0], cells[1])]
    return Chosen(
        cells,
        {cell: tuple(run.seed for run in runs[cell]) for cell in cells},
        tuple(kept),
        tuple(boards(evidence, {cell: runs[cell] for cell in cells})),
        len(runs) - len(cells),
    )


def _keys(found: Findings, board: TaskBoard, chosen: Chosen) -> list[str]:
    places = max(1, MOST_ITEMS // len(chosen.boards))
    draw = found.study.name
    return chosen_items(board, chosen.pairs, places=places, seeds=chosen.seeds, draw=draw)


def _replies(found: Findings, chosen: Chosen, keys: Mapping[str, Sequence[str]]) -> Replies:
    wanted = {(board.stratum, board.mode): set(keys[board.name]) for board in chosen.boards}
    names = {board.stratum: board.name for board in chosen.boards}
    replies: Replies = {}
    for cell in chosen.cells:
        folder = found.evidence.finished(cell)[0].folder("evaluation")
        assert folder is not None, "a finished run has an evaluation"
        for (stratum, key), reply in read_replies(folder, wanted).items():
            replies[names[stratum], cell, key] = reply
    return replies


def _task(board: TaskBoard, chosen: Chosen) -> dict[str, Any]:
    """Return what is said of a task before its items: its tables of all pairs of cells."""
    tables = {}
    for a, b in combinations(range(len(chosen.cells)), 2):
        names = chosen.cells[a], chosen.cells[b]
        if (table := pair_table(board, *names, seeds=chosen.seeds)) is not None:
            tables[f"{a},{b}"] = _numbers(table)
    name = visible(board.name)
    return {"name": name, "title": visible(label(name)), "kind": board.kind, "pairs": tables}


def _numbers(table: PairTable) -> list[object]:
    counts = (table.only_a, table.only_b, table.both, table.neither, table.ties, table.unscored)
    other = (table.unpaired, table.flipped_a, table.flipped_b)
    estimate = table.difference
    values = (estimate.value, estimate.low, estimate.high, table.p_value)
    return [*counts, *other, *(float(f"{value:.6g}") for value in values)]


class _Items:
    """Records of a task's items as the page's script reads them.

    Of an item: ``k`` key, ``p`` prompt, ``t`` target, ``c`` by cell. Of a cell's: ``o`` output,
    ``s`` score, ``z`` outcomes by seed, ``n`` tokens, ``l`` KL in nats, ``f`` flags, ``m`` scores
    beside the counted one, ``j`` the judge's words. ``w`` is the whole length of a text that was
    cut.
    """

    def __init__(self, board: TaskBoard, chosen: Chosen, replies: Replies) -> None:
        self._board = board
        self._chosen = chosen
        self._replies = replies
        self._at = {
            cell: {key: place for place, key in enumerate(column.keys)}
            for cell, column in board.columns.items()
        }

    def record(self, key: str) -> dict[str, Any] | None:
        """Return an item; None where no cell's reply was found."""
        cells: dict[str, dict[str, Any]] = {}
        first: Reply | None = None
        for number, cell in enumerate(self._chosen.cells):
            reply = self._replies.get((self._board.name, cell, key))
            place = self._at.get(cell, {}).get(key)
            if reply is not None and place is not None:
                first = first or reply
                cells[str(number)] = self._side(cell, place, reply)
        if first is None:
            return None
        text, whole = first.prompt
        record = {"k": visible(key), "p": text, "w": whole, "t": first.target, "c": cells}
        return {name: value for name, value in record.items() if value not in (0, "")}

    def _side(self, cell: str, place: int, reply: Reply) -> dict[str, Any]:
        column = self._board.columns[cell]
        text, whole = reply.output
        others = {visible(n): round(v, 4) for n, v in reply.scores.items() if n != "acc"}
        found = {
            "s": round(float(column.scores[0, place]), 4),
            "z": "".join(CODES[code] for code in column.outcomes[:, place]),
            "o": text,
            "w": whole,
            "n": reply.tokens,
            "l": round(reply.kl_nats, 2),
            "f": list(reply.flags),
            "m": others,
            "j": list(reply.judged),
        }
        return {name: v for name, v in found.items() if name in "so" or _says(v)}


def _says(value: object) -> bool:
    return value == value and value not in (0, "", [], {})


def _notes(chosen: Chosen) -> Iterator[str]:
    yield (
        "Counts, test and interval are of all items that both cells have, under the first finished"
        " seed of each: a claim about these two checkpoints. Where a task has greedy outputs they"
        " are the ones compared; an item with several outputs is right where at least half of them"
        " are, and the first of them is shown."
    )
    if any(board.kind == "judged" for board in chosen.boards):
        yield "Judged items: right is a win against the reference; ties stand outside the test."
    if chosen.left_out:
        yield (
            f"The browser holds the {len(chosen.cells)} cells of the comparisons that the study"
            f" declares first; {chosen.left_out} more have outputs. `ablate report --samples`"
            " writes all outputs of all cells beside this page."
        )
