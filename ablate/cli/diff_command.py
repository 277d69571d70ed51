"""``ablate diff``: what one study, or one cell, changes against another."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from ablate.cli.diff_text import cell_lines, study_lines
from ablate.cli.output import print_json
from ablate.cli.stored import open_store
from ablate.errors import StudyError, SurroundingsError, nearest
from ablate.reporting.diff import StudyDiff, compare_studies
from ablate.reporting.diff_cells import CellDiff, CellOf, compare_cells
from ablate.reporting.opened import record_of, stored_studies
from ablate.reporting.records import StudyRecord
from ablate.reporting.results import effect_record
from ablate.store.layout import Store

NARROWEST = 60


def run(args: argparse.Namespace) -> int:
    """Compare two studies, or two cells; B minus A."""
    store = open_store(args)
    left, right = _opened(args.a, store, args.study), _opened(args.b, store, args.study)
    width = max(NARROWEST, shutil.get_terminal_size().columns)
    if isinstance(left, CellOf) and isinstance(right, CellOf):
        _check_finished(left, right)
        cells = compare_cells(left, right)
        document, lines = _cell_document(cells), cell_lines(cells, width, everything=args.all)
    elif isinstance(left, StudyRecord) and isinstance(right, StudyRecord):
        studies = compare_studies(left, right)
        document, lines = _study_document(studies), study_lines(studies, width, everything=args.all)
    else:
        cell = args.a if isinstance(left, CellOf) else args.b
        raise StudyError(
            f"{args.a!r} and {args.b!r}: {cell!r} is a cell, the other a whole study; two studies, "
            "or two cells, can be compared. Write cells as STUDY:CELL, or add --study."
        )
    if args.json:
        print_json(document)
    else:
        print("\n".join(lines))
    return 0


def _opened(name: str, store: Store, study: str | None) -> StudyRecord | CellOf:
    """Return the study or the cell that an argument names."""
    if study is not None:
        return _cell(name.removeprefix(f"{study}:"), record_of(study, store))
    known = stored_studies(store)
    if Path(name).is_file() or name in known:
        return record_of(name, store)
    # A study's name has no colon, but the path of its file may have one.
    for at in (index for index, letter in enumerate(name) if letter == ":"):
        if name[:at] in known or Path(name[:at]).is_file():
            return _cell(name[at + 1 :].strip(), record_of(name[:at], store))
    listed = ", ".join(known) or "none"
    raise SurroundingsError(
        f"{name!r}: no study file, and no study of {store.root}; stored studies: {listed}."
        f"{nearest(name.partition(':')[0], known)} A cell is written STUDY:CELL, or with --study."
    )


def _cell(name: str, record: StudyRecord) -> CellOf:
    if name not in record.cells:
        listed = ", ".join(repr(cell) for cell in record.cells)
        raise StudyError(
            f"{name!r} is no cell of study {record.name}; cells: {listed}."
            f"{nearest(name, record.cells)}"
        )
    return CellOf(record, name)


def _check_finished(*sides: CellOf) -> None:
    for side in sides:
        runs = side.study.runs_of(side.cell)
        if all(run.missing is not None for run in runs):
            reason = next(run.missing for run in runs)
            raise SurroundingsError(
                f"{side.study.name}: no run of cell {side.cell!r} has a result ({reason}). Run "
                "it first: ablate run FILE"
            )
    if any(r.kind == "imported" for s in sides for r in s.study.runs_of(s.cell)):
        return
    seeds = [{r.seed for r in s.study.runs_of(s.cell) if r.missing is None} for s in sides]
    if sides[0].study is sides[1].study and not seeds[0] & seeds[1]:
        raise SurroundingsError(
            f"{sides[0].study.name}: {sides[0].cell!r} and {sides[1].cell!r} have no finished seed "
            "in common. Go on with the study: ablate run FILE"
        )


def _study_document(diff: StudyDiff) -> dict[str, Any]:
    return {**vars(diff), "effects": [effect_record(row) for row in diff.effects]}


def _cell_document(diff: CellDiff) -> dict[str, Any]:
    costs = [{**vars(cost), "ratio": cost.ratio} for cost in diff.costs]
    rows = {
        name: [effect_record(row) for row in found]
        for name, found in (("effects", diff.effects), ("declared", diff.declared))
    }
    return {**vars(diff), **rows, "costs": costs}
