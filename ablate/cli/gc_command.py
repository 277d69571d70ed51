"""``ablate gc``: set aside what no study needs, bring it back, or delete it for good."""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from ablate.cli.amounts import span
from ablate.cli.output import bold, duration, print_json, size, table
from ablate.cli.stored import open_store
from ablate.errors import StudyError, SurroundingsError
from ablate.store.gc import Findings, GcOptions, Item, collect, empty, sweep, undo
from ablate.store.layout import Store
from ablate.store.trash import Trash, TrashEntry
from ablate.store.usage import disk_usage

MOST_SHOWN = 30
"""Lines of a table; more things are counted by kind."""
REFUSED = 3


def run(args: argparse.Namespace) -> int:
    """Collect, or do one of the things with the trash."""
    store = open_store(args)
    if not store.root.is_dir():
        raise SurroundingsError(f"{store.root}: no store is here. Name one with --store.")
    if args.older is not None and not args.empty_trash:
        raise StudyError("--older: it goes with --empty-trash. Give both, or neither.")
    if args.trash:
        return _list_trash(store, as_json=args.json)
    if args.undo is not None:
        return _undo(store, args.undo, as_json=args.json)
    if args.empty_trash:
        return _empty(store, args)
    options = GcOptions(
        studies=tuple(args.studies),
        keep=tuple(args.keep),
        remove=tuple(args.remove),
        drop_weights=tuple(args.drop_weights),
        drop_scratch=args.drop_scratch,
    )
    if args.dry_run:
        found, went = collect(store, options), None
    else:
        found, went = sweep(store, options)
    _print_json(store, found, went) if args.json else _print(store, found, went)
    return 0


def _print_json(store: Store, found: Findings, went: list[TrashEntry] | None) -> None:
    items = [
        {**asdict(item), "path": item.path.relative_to(store.root).as_posix()}
        for item in found.items
    ]
    print_json(
        {
            "items": items,
            "bytes": sum(item.bytes for item in found.items),
            "kept": [asdict(kept) for kept in found.kept],
            "trash_bytes": found.trash_bytes,
            "store_bytes": disk_usage(store.root),
            "set_aside": None if went is None else [asdict(entry) for entry in went],
        }
    )


def _print(store: Store, found: Findings, went: list[TrashEntry] | None) -> None:
    if found.items:
        print(_items(found.items))
        total = size(sum(item.bytes for item in found.items))
        print(f"\n{len(found.items)} would go to the trash, {total}" if went is None else "")
    else:
        print("nothing to collect")
    if went is not None and found.items:
        held = len(found.items) - len(went)
        print(f"{len(went)} set aside, {size(sum(e.bytes for e in went))}; back: ablate gc --undo")
        if held:
            print(f"{held} left alone, because a study is busy with them")
    for kept in found.kept:
        print(f"stays: {kept.count} {kept.why}, {size(kept.bytes)}")
    # What was set aside just now takes its place in the trash until that is emptied.
    trash = store.root / "trash"
    if trash.is_dir() and any(trash.iterdir()):  # an empty folder takes 4 kB too
        print(f"trash: {size(disk_usage(trash))} (ablate gc --empty-trash)")


def _items(items: Sequence[Item]) -> str:
    if len(items) <= MOST_SHOWN:
        rows: list[list[Any]] = [
            [item.kind, _job(item), item.study or None, size(item.bytes), item.why]
            for item in items
        ]
        return table(["kind", "job", "study", "size", "why"], rows)
    groups: dict[tuple[str, str, str, str], list[int]] = defaultdict(list)
    for item in items:
        groups[item.kind, item.stage, item.study, item.why].append(item.bytes)
    rows = [
        [kind, stage or None, study or None, len(sizes), size(sum(sizes)), why]
        for (kind, stage, study, why), sizes in groups.items()
    ]
    return table(["kind", "stage", "study", "number", "size", "why"], rows)


def _job(item: Item) -> str:
    return f"{item.stage}-{item.name}" if item.stage else item.name


def _list_trash(store: Store, *, as_json: bool) -> int:
    entries = Trash(store.root).entries()
    if as_json:
        print_json({"entries": [asdict(entry) for entry in entries]})
        return 0
    print(_entries(entries) if entries else "the trash is empty")
    return 0


def _entries(entries: Iterable[TrashEntry]) -> str:
    now = time.time()
    rows = [
        [entry.id, entry.origin or None, size(entry.bytes), _age(now - entry.when), entry.why]
        for entry in entries
    ]
    return table(["id", "from", "size", "age", "why"], rows)


def _age(seconds: float) -> str:
    return f"{seconds / 86400:.0f} d" if seconds >= 86400 else duration(max(0.0, seconds))


def _undo(store: Store, which: str, *, as_json: bool) -> int:
    back, problems = undo(store, which)
    if as_json:
        print_json({"back": [asdict(entry) for entry in back], "problems": problems})
    else:
        for entry in back:
            print(f"back: {entry.origin}")
        for problem in problems:
            print(problem)
    return REFUSED if problems else 0


def _empty(store: Store, args: argparse.Namespace) -> int:
    age = span(args.older, "older") if args.older is not None else 0.0
    before = Trash(store.root).entries()
    if args.dry_run:
        now = time.time()
        gone = [entry for entry in before if not age or now - entry.when >= age]
    else:
        gone = empty(store, older_seconds=age)
    total = sum(entry.bytes for entry in gone)
    if args.json:
        print_json({"deleted": [asdict(entry) for entry in gone], "bytes": total})
        return 0
    if gone:
        print(_entries(gone) + "\n")
    word = "would be deleted" if args.dry_run else "deleted"
    left = len(before) - len(gone)
    print(bold(f"{len(gone)} {word}, {size(total)}") + (f"; {left} stay" if left else ""))
    return 0
