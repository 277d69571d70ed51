"""What a report leaves beside its page: tables, frames and where the numbers come from."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from ablate.reporting.document import Document
from ablate.reporting.findings import Findings
from ablate.reporting.latex import latex_table
from ablate.reporting.results import effects_of, results_frame
from ablate.reporting.table_csv import table_csv
from ablate.reporting.tables import Table


def exports_of(found: Findings, document: Document) -> dict[str, bytes]:
    """Return every file of numbers by name: CSV and JSON, and CSV and TeX of every table."""
    results, effects = results_frame(found.evidence), effects_of(found)
    contents = {
        "results.csv": encoded(results.to_csv(index=False)),
        "effects.csv": encoded(effects.to_csv(index=False)),
        "results.json": json_bytes(records(results)),
        "effects.json": json_bytes(records(effects)),
        "provenance.json": json_bytes(provenance(document)),
    }
    for table in tables_of(document):
        contents[f"tables/{table.name}.csv"] = encoded(table_csv(table))
        contents[f"tables/{table.name}.tex"] = encoded(latex_table(table))
    return contents


def tables_of(document: Document) -> Iterator[Table]:
    """Yield the tables of all sections, those of data cards aside."""
    for section in document.sections:
        yield from section.tables


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a frame's rows; what is undefined or infinite is None."""
    rows = frame.astype(object).to_dict("records")
    return [{str(name): _plain(value) for name, value in row.items()} for row in rows]


def _plain(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return None if value is pd.NA else value


def provenance(document: Document) -> dict[str, object]:
    """Return what the provenance section says, with the fingerprint of every job of every run."""
    study, known = document.study, document.provenance
    return {
        "study": study.name,
        "digest": study.digest,
        "file": study.source_text,
        "facts": dict(known.facts),
        "warnings": list(known.warnings),
        "stages": _rows(known.stages) if known.stages is not None else [],
        "runs": [
            {
                "run": run.run_id,
                "cell": run.cell,
                "seed": run.seed,
                "levels": dict(run.levels),
                "jobs": dict(run.fingerprints),
                "missing": run.missing,
            }
            for run in study.runs
        ],
    }


def _rows(table: Table) -> list[Mapping[str, str]]:
    titles = table.columns
    return [
        {title: field.text for title, field in zip(titles, row, strict=True)} for row in table.rows
    ]


def json_bytes(value: object) -> bytes:
    """Return JSON text that any reader accepts: no NaN, and half surrogates as escapes."""
    text = json.dumps(value, indent=1, ensure_ascii=True, allow_nan=False, default=str)
    return (text + "\n").encode()


def encoded(text: str) -> bytes:
    """Return a text as UTF-8; half surrogates, which have no such form, become question marks."""
    return text.encode("utf-8", "replace")
