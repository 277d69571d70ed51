"""A study's report on disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ablate.errors import SurroundingsError
from ablate.reporting.document import Document, document_of
from ablate.reporting.downloads import downloads_of
from ablate.reporting.exports import encoded, exports_of
from ablate.reporting.figures.save import Drawing
from ablate.reporting.figures.style import SCREEN, drawn_in
from ablate.reporting.findings import Findings, analyse
from ablate.reporting.html import render_html
from ablate.reporting.markdown import render_markdown
from ablate.reporting.records import StudyRecord
from ablate.reporting.study_figures import all_figures


@dataclass(frozen=True)
class ReportFiles:
    """Where the parts of a report are."""

    html: Path
    markdown: Path
    results: Path
    effects: Path
    figures: tuple[Path, ...]
    tables: tuple[Path, ...]
    """LaTeX of every table."""


def build_report(study: StudyRecord, out: Path, *, style: str = SCREEN) -> ReportFiles:
    """Write the page, its Markdown, CSV and JSON, ``figures/`` and ``tables/`` into ``out``.

    Every file is replaced whole, so a reader never sees half of one. A partial study gives a
    partial report that says so. The same artifacts give the same bytes. ``style`` is of the files
    in ``figures/``; the page always shows figures made for it. Raises SurroundingsError where
    ``out`` cannot be written, ValueError for an unknown style.
    """
    found = analyse(study)
    document = document_of(found)
    contents = _contents(found, document, style)
    try:
        _write(contents, out)
    except OSError as error:
        raise SurroundingsError(
            f"{out}: the report cannot be written ({error.strerror}). Mend that, or name another "
            "folder with --reports."
        ) from error
    names = list(contents)
    figures = tuple(out / name for name in names if name.startswith("figures/"))
    tables = tuple(out / name for name in names if name.endswith(".tex"))
    html, markdown = out / "index.html", out / "report.md"
    return ReportFiles(html, markdown, out / "results.csv", out / "effects.csv", figures, tables)


def _write(contents: Mapping[str, bytes], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=out))
    try:
        for name, content in contents.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            (partial / name).write_bytes(content)
        for name in contents:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(partial / name, out / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _contents(found: Findings, document: Document, style: str) -> dict[str, bytes]:
    contents = exports_of(found, document)
    contents["report.md"] = encoded(render_markdown(document))
    for figure in _figures(found, document, style):
        contents |= {f"figures/{name}": content for name, content in figure.files.items()}
    contents["index.html"] = encoded(render_html(document, downloads_of(contents)))
    return contents


def _figures(found: Findings, document: Document, style: str) -> Iterator[Drawing]:
    """Yield what goes into ``figures/``; the slide sequence is always one of slides."""
    with drawn_in(style):
        if style != SCREEN:
            yield from all_figures(found)
        else:
            yield from (figure for section in document.sections for figure in section.figures)
    yield from (frame for section in document.sections for frame in section.frames)
