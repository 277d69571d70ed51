"""Pages of some sections only, which are made in a moment."""

from __future__ import annotations

from pathlib import Path

from ablate.reporting.document import document_of
from ablate.reporting.downloads import downloads_of
from ablate.reporting.exports import encoded, exports_of
from ablate.reporting.findings import analyse
from ablate.reporting.html import render_html
from ablate.reporting.records import StudyRecord
from ablate.reporting.section import SectionMaker


def page_of(study: StudyRecord, folder: Path, *sections: SectionMaker) -> Path:
    """Write a study's page with some sections only, and the downloads that go with them."""
    found = analyse(study)
    document = document_of(found, sections)
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "index.html"
    page.write_bytes(encoded(render_html(document, downloads_of(exports_of(found, document)))))
    return page
