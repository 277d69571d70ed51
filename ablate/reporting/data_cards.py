"""What a study's data hold, as the report shows it: a card each, contamination, overlaps."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.data.artifacts import CARD, DROPPED, SUMMARY, read_items
from ablate.data.contamination import RESULT
from ablate.data.hygiene.card import Card, Spread
from ablate.data.hygiene.checks import SAME_PROMPTS
from ablate.data.hygiene.exposure import overlap
from ablate.data.hygiene.harmless import harmless
from ablate.data.inspection import named_drops
from ablate.data.shaping.items import prompt_of
from ablate.data.survey import row_list
from ablate.errors import SurroundingsError
from ablate.reporting import text
from ablate.reporting.records import RunRecord, StudyRecord, listed
from ablate.reporting.tables import Cell, Table
from ablate.store.manifest import read_manifest

ROLES = ("preferences", "reward_preferences", "demonstrations", "prompts", "labels")
"""Roles of data in a run; prompts of a chain's links have a number behind."""
EXCERPT = 600
"""Characters of an example's text that are shown."""
NAME = 80
MOST_PROMPTS = 50_000
"""Larger sets are not compared prompt by prompt: a report is made often and in seconds."""
MOST_LISTED_BYTES = 20_000_000
"""A longer list of rows left out is not read for the first ones' numbers."""


@dataclass(frozen=True)
class DataSet:
    """One data artifact of a study."""

    name: str
    """As the study calls it."""
    stage: str
    fingerprint: str
    folder: Path
    card: Card
    config: Mapping[str, Any]
    cells: tuple[str, ...]
    """That read it, in the order of the study."""


@dataclass(frozen=True)
class DataCard:
    """What the page shows of one data set."""

    title: str
    facts: tuple[tuple[str, str], ...]
    tables: tuple[Table, ...]
    example: tuple[tuple[str, str], ...]
    """Part of a row and its text, cut; untrusted, so the formats escape it."""


@dataclass(frozen=True)
class DataReport:
    """Everything about data."""

    cards: tuple[DataCard, ...] = ()
    tables: tuple[Table, ...] = ()
    warnings: tuple[str, ...] = ()
    """Sentences that a reader must know beside the results."""


def data_report(study: StudyRecord) -> DataReport:
    """Return what the artifacts say of a study's data; empty for studies without data cards."""
    sets = list(_sets(study).values())
    if not sets:
        return DataReport()
    found = list(_contamination(study, {one.fingerprint: one for one in sets}))
    overlaps = list(_overlaps(study, {one.fingerprint: one for one in sets}))
    tables = [_overview(sets)]
    tables += [_contamination_table(found)] if found else []
    tables += [_overlap_table(overlaps)] if overlaps else []
    warnings = (
        *(said for one in sets for said in _set_warnings(one)),
        *(said for one, result in found for said in _seen(one, result)),
        *_covered(overlaps),
        *study.data_notes,
    )
    cards = tuple(_card(one, number) for number, one in enumerate(sets))
    return DataReport(cards, tuple(tables), tuple(dict.fromkeys(warnings)))


def _sets(study: StudyRecord) -> dict[str, DataSet]:
    """Return the data sets by fingerprint; of those that differ in the seed alone the first."""
    found: dict[str, DataSet] = {}
    kept: dict[str, str] = {}
    cells: dict[str, list[str]] = {}
    for run in study.runs:
        for role in _data_roles(run):
            fingerprint = run.fingerprints.get(role, "")
            folder = run.folder(role)
            if folder is None or not (folder / CARD).exists():
                continue
            if fingerprint not in kept:
                one = _set(study, fingerprint, folder)
                same = json.dumps([one.stage, {**one.config, "seed": 0}], sort_keys=True)
                first = next((k for k, other in found.items() if _same(other) == same), fingerprint)
                kept[fingerprint] = first
                found.setdefault(first, one)
            named = cells.setdefault(kept[fingerprint], [])
            if run.cell not in named:
                named.append(run.cell)
    return {key: DataSet(**{**vars(one), "cells": tuple(cells[key])}) for key, one in found.items()}


def _same(one: DataSet) -> str:
    return json.dumps([one.stage, {**one.config, "seed": 0}], sort_keys=True)


def _data_roles(run: RunRecord) -> list[str]:
    return [role for role in run.artifacts if role.startswith(ROLES)]


def _set(study: StudyRecord, fingerprint: str, folder: Path) -> DataSet:
    manifest = read_manifest(folder)
    config = dict(manifest.config) if manifest is not None else {}
    stage = manifest.stage if manifest is not None else ""
    card = _read(folder / CARD, Card.from_json)
    name = study.data_names.get(fingerprint) or str(config.get("dataset") or card.name)
    return DataSet(name, stage, fingerprint, folder, card, config, ())


def _read(path: Path, make: Any) -> Any:
    try:
        return make(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SurroundingsError(
            f"{path}: cannot be read ({error}); remove the artifact and run again"
        ) from error


def _overview(sets: list[DataSet]) -> Table:
    rows = tuple(
        (
            Cell(_title(one), sub=one.stage),
            _count(one.card.rows),
            _count(sum(_faulty(one.card).values())),
            Cell(_steps(one.card), wide=True),
            _count(sum(check.status == "fail" for check in one.card.checks)),
            _count(sum(check.status == "warn" for check in one.card.checks)),
            Cell(_cells(one.cells), wide=True),
        )
        for one in sets
    )
    columns = ("data set", "rows", "unusable", "filters", "checks failed", "warnings", "cells")
    caption = "Data sets of the study, after filters and caps."
    return Table("data", caption, columns, rows)


def _title(one: DataSet) -> str:
    is_path = one.name.startswith((".", "/", "~"))
    return harmless(one.name.rstrip("/").rpartition("/")[2] if is_path else one.name, NAME)


def _count(number: int) -> Cell:
    return Cell(f"{number:,}", sort=float(number))


def _cells(cells: tuple[str, ...]) -> str:
    return ", ".join(cells[:4]) + (f" and {len(cells) - 4} more" if len(cells) > 4 else "")


def _faulty(card: Card) -> dict[str, int]:
    return {k: n for k, n in card.dropped.items() if not k.startswith("filter:")}


def _steps(card: Card) -> str:
    return ", ".join(f"{s.step} {s.before:,} → {s.after:,}" for s in card.filters) or text.DASH


def _card(one: DataSet, number: int) -> DataCard:
    card = one.card
    facts = [("stage", one.stage), ("rows", f"{card.rows:,}")]
    for title, counts in (("sources", card.sources), ("holds", card.holds)):
        if said := _counts(counts):
            facts.append((title, said))
    if faulty := _faulty(card):
        facts.append(("left out", _left_out(faulty, one.folder / DROPPED)))
    if card.filters:
        facts.append(("filters", _steps(card)))
    if one.stage == "labels":
        facts.append(("labels", _labels(_read(one.folder / SUMMARY, json.loads))))
    good = [check.name for check in card.checks if check.status == "ok"]
    if good:
        facts.append(("checks that found nothing", ", ".join(good)))
    example = tuple(
        (said.part, harmless(said.text, EXCERPT, characters=said.characters))
        for said in card.example
    )
    tables = tuple(filter(None, (_lengths(card, number), _checks(card, number))))
    return DataCard(_title(one), tuple(facts), tables, example)


def _labels(summary: Mapping[str, Any]) -> str:
    """Return how far the new labels are from the data set's own, and how likely the replies are."""
    said = f"{summary['flipped']:,} of {summary['pairs']:,} turned round, {summary['ties']:,} ties"
    known = [
        f"{side} {summary[key]:.2f}"
        for side, key in (
            ("chosen", "logp_per_token_chosen"),
            ("rejected", "logp_per_token_rejected"),
        )
        if summary.get(key) is not None
    ]
    likely = f"; nats per token under the starting policy: {', '.join(known)}" if known else ""
    return said + likely


def _left_out(faulty: Mapping[str, int], path: Path) -> str:
    """Return counts by reason with the first rows, unless the artifact lists too many."""
    is_short = path.exists() and path.stat().st_size < MOST_LISTED_BYTES
    named = named_drops(path) if is_short else {}
    said = []
    for reason, count in faulty.items():
        rows = named.get(reason)
        known = f" ({row_list(rows)})" if rows is not None and any(rows.rows) else ""
        said.append(f"{harmless(reason, NAME)} {count:,}{known}")
    return ", ".join(said)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{harmless(name, NAME)} {n:,}" for name, n in counts.items() if name)


def _lengths(card: Card, number: int) -> Table | None:
    rows = tuple(
        (Cell(f"{part.part}, {unit}"), _count(part.texts), *_spread(spread))
        for part in card.lengths
        for unit, spread in (("words", part.words), ("characters", part.characters))
    )
    columns = ("lengths", "texts", "mean", "median", "95 %", "longest")
    return Table(f"data-lengths-{number}", "Lengths.", columns, rows) if rows else None


def _spread(spread: Spread) -> tuple[Cell, ...]:
    values = (spread.mean, spread.median, spread.p95, spread.max)
    return tuple(
        Cell(text.DASH) if math.isnan(value) else Cell(f"{value:,.1f}", sort=value)
        for value in values
    )


def _checks(card: Card, number: int) -> Table | None:
    rows = tuple(
        (
            Cell(check.name),
            Cell(check.status, tone="worse" if check.status == "fail" else ""),
            Cell(harmless(check.found, 400), wide=True),
            Cell(", ".join(harmless(row, NAME) for row in check.rows[:5]), wide=True),
        )
        for check in card.checks
        if check.status in ("warn", "fail")
    )
    caption = "Checks that found something."
    columns = ("check", "status", "found", "first rows")
    return Table(f"data-checks-{number}", caption, columns, rows) if rows else None


def _contamination(
    study: StudyRecord, sets: Mapping[str, DataSet]
) -> Iterator[tuple[DataSet, Mapping[str, Any]]]:
    """Yield each comparison of a data set with a suite, once."""
    seen: set[Path] = set()
    for run in study.runs:
        for role, folder in run.artifacts.items():
            if not role.startswith("contamination_") or folder is None or folder in seen:
                continue
            seen.add(folder)
            data = sets.get(run.fingerprints.get(role.removeprefix("contamination_"), ""))
            if data is not None and (folder / RESULT).exists():
                yield data, _read(folder / RESULT, json.loads)


def _contamination_table(found: list[tuple[DataSet, Mapping[str, Any]]]) -> Table:
    rows = []
    for one, result in found:
        exact, grams, documents = result["exact"], result["ngram"], result["documents"]
        share = (exact + grams) / documents if documents else math.nan
        rows.append(
            (
                Cell(_title(one), sub=one.stage),
                Cell(f"{result['suite']}, {result['split']}"),
                *(_count(documents), _count(exact), _count(grams)),
                Cell(text.DASH) if math.isnan(share) else Cell(f"{share:.1%}", sort=share),
                _count(result["rows"]),
                Cell(_first_seen(result), wide=True),
            )
        )
    return Table(
        "contamination",
        "Documents of the suites that training data hold: whole, or half of their words in 8-grams"
        " that both share (arXiv:2411.15124, section 3.2).",
        ("data set", "suite", "documents", "whole", "in n-grams", "share", "rows", "first found"),
        tuple(rows),
    )


def _first_seen(result: Mapping[str, Any]) -> str:
    shown = (f"{found['item']} in {found['row']}" for found in result["seen"][:3])
    return ", ".join(harmless(said, NAME) for said in shown)


def _seen(one: DataSet, result: Mapping[str, Any]) -> Iterator[str]:
    seen = result["exact"] + result["ngram"]
    if seen:
        yield (
            f"Contamination: {_title(one)} ({one.stage}) holds {seen:,} of the "
            f"{result['documents']:,} documents of {result['suite']}, {result['split']}; scores of "
            f"{_cells(one.cells)} on them may be memory."
        )


def _set_warnings(one: DataSet) -> Iterator[str]:
    cap = one.config.get("cap")
    if isinstance(cap, int) and one.card.rows < cap:
        yield (
            f"{_title(one)} ({one.stage}) has {one.card.rows:,} rows, fewer than its cap of "
            f"{cap:,}: a set smaller than the cap is kept whole, so sizes are not equal."
        )
    failed = [check.name for check in one.card.checks if check.status == "fail"]
    if failed:
        yield f"{_title(one)} ({one.stage}) failed {listed(failed)}: see its data card."


@dataclass(frozen=True)
class _Common:
    cell: str
    reward: DataSet
    policy: DataSet
    exact: float
    like: float


def _overlaps(study: StudyRecord, sets: Mapping[str, DataSet]) -> Iterator[_Common]:
    """Yield for the first seed of each cell what its policy's prompts share with its reward's."""
    made: dict[tuple[str, str], tuple[float, float]] = {}
    for cell in study.cells:
        for run in study.runs_of(cell)[:1]:
            reward = run.fingerprints.get("reward_preferences") or run.fingerprints.get(
                "preferences", ""
            )
            for role, key in run.fingerprints.items():
                known = reward in sets and key in sets
                if not role.startswith("prompts") or "reward_model" not in run.artifacts:
                    continue
                if not known or max(sets[k].card.rows for k in (reward, key)) > MOST_PROMPTS:
                    continue
                if (reward, key) not in made:
                    common = overlap(_prompts(sets[reward]), _prompts(sets[key]))
                    made[reward, key] = (common.right_in_left, common.right_like_left)
                yield _Common(cell, sets[reward], sets[key], *made[reward, key])


def _prompts(one: DataSet) -> list[str]:
    return ["\n".join(m["content"] for m in prompt_of(item)) for item in read_items(one.folder)]


def _covered(found: list[_Common]) -> Iterator[str]:
    """Yield a sentence for each prompt set that the reward model's training covers."""
    cells: dict[tuple[str, str, float], list[str]] = {}
    for common in found:
        if common.like > SAME_PROMPTS:
            key = (_title(common.policy), _title(common.reward), common.like)
            cells.setdefault(key, []).append(common.cell)
    for (policy, reward, share), names in cells.items():
        yield (
            f"{share:.0%} of the prompts of {policy} are in {reward}, the reward model's data, too:"
            f" its scores of {_cells(tuple(names))} are those of prompts that it knows."
        )


def _overlap_table(found: list[_Common]) -> Table:
    rows = tuple(
        (
            Cell(common.cell),
            Cell(_title(common.reward)),
            Cell(_title(common.policy)),
            Cell(f"{common.exact:.0%}", sort=common.exact),
            Cell(f"{common.like:.0%}", sort=common.like),
        )
        for common in found
    )
    return Table(
        "prompt-overlap",
        "Share of the policy's prompts that the reward model's data hold too.",
        ("cell", "reward model's data", "policy's prompts", "the same", "in large part"),
        rows,
    )
