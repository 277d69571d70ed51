"""``ablate doctor``: look a store over, and mend what can be mended."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from typing import Any

from ablate.cli.output import bold, print_json, size
from ablate.cli.rebuilding import rebuild
from ablate.cli.stored import open_store
from ablate.errors import SurroundingsError
from ablate.store.doctor import examine
from ablate.store.findings import Finding, Severity
from ablate.store.layout import Store
from ablate.store.usage import disk_usage

UNWELL = 3
"""Exit code where an error is left that the user must see to."""


def run(args: argparse.Namespace) -> int:
    """Print what is wrong; mend it with ``--repair``."""
    store = open_store(args)
    if not store.root.is_dir():
        raise SurroundingsError(f"{store.root}: no store is here. Name one with --store.")
    findings = list(examine(store, hashes=args.hashes))
    for finding in findings:
        if finding.kind == "record":
            finding.mend = _rebuilding(store, finding.where.split("/")[1])
        if args.repair:
            finding.repair()
    if args.json:
        document = [_document(finding) for finding in findings]
        print_json({"findings": document, "store_bytes": disk_usage(store.root)})
    else:
        _print(store, findings, repaired=args.repair)
    open_ones = (one for one in findings if one.severity is Severity.ERROR and not one.mended)
    return UNWELL if any(open_ones) else 0


def _rebuilding(store: Store, study: str) -> Callable[[], str | None]:
    return lambda: rebuild(store, study)


def _document(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "severity": finding.severity.value,
        "where": finding.where,
        "message": finding.message,
        "bytes": finding.bytes,
        "can_be_mended": finding.mend is not None,
        "mended": finding.mended,
        "problem": finding.problem or None,
    }


def _print(store: Store, findings: list[Finding], *, repaired: bool) -> None:
    for finding in findings:
        taken = f" ({size(finding.bytes)})" if finding.bytes else ""
        where = finding.where or store.root
        print(f"{finding.severity.value}: {where}: {finding.message}{taken}")
        if finding.mended:
            print("  mended")
        elif repaired and finding.problem:
            print(f"  not mended: {finding.problem}")
    counts = Counter(finding.severity for finding in findings)
    words = [f"{counts[kind]} {kind.value}{'s' * (counts[kind] != 1)}" for kind in Severity]
    print(bold(f"{store.root}: {', '.join(words)}; {size(disk_usage(store.root))}"))
    if not repaired and any(finding.mend for finding in findings):
        print("mend what can be mended: ablate doctor --repair")
