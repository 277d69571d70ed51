"""The report as one self-contained page: no request leaves it, and all text is escaped."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ablate import __version__
from ablate.reporting.browser.plain import visible
from ablate.reporting.document import Document
from ablate.reporting.downloads import Entry
from ablate.reporting.images import images_of
from ablate.reporting.section import Section
from ablate.reporting.tables import Table

_TEMPLATES = "templates"
_SCRIPTS = ("sort.js", "page.js", "diff.js", "browser.js")


def render_html(document: Document, downloads: Sequence[tuple[str, Sequence[Entry]]] = ()) -> str:
    """Return the page; what a study, a cell or a model says appears as text, never as markup.

    Its policy allows no request and no script or style but its own two, by their hashes.
    """
    template = _environment().get_template("page.html.j2")
    style = _own("style.css") + "\n".join(_widths(document.sections))
    script = "\n".join(('"use strict";', *map(_own, _SCRIPTS)))
    page: str = template.render(
        doc=document,
        style=Markup(style),
        script=Markup(script),
        policy=Markup(_policy(script, style)),
        images=images_of(document.sections),
        downloads=downloads,
        version=__version__,
    )
    return page


def _policy(script: str, style: str) -> str:
    hashes = (base64.b64encode(hashlib.sha256(t.encode()).digest()) for t in (script, style))
    scripts, styles = (f"'sha256-{digest.decode()}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {scripts}; style-src {styles}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _widths(sections: Iterable[Section]) -> Iterable[str]:
    """Yield a rule for each figure: its text stays readable on narrow screens, in its own box."""
    figures = (figure for section in sections for figure in section.figures)
    pages = {page.name: page for figure in figures for page in (figure, *figure.pages)}
    for name, page in pages.items():
        place = re.sub(r"[^\w-]", "", name)
        yield f"#figure-{place} img {{ min-width: min(44rem, {page.width}px); }}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("ablate.reporting", _TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["numeric"] = _numeric
    environment.filters["trusted"] = Markup
    return environment


def _numeric(table: Table) -> frozenset[int]:
    """Return which columns hold numbers: at least half of their fields sort by one."""
    columns = zip(*table.rows, strict=False)
    return frozenset(
        place
        for place, fields in enumerate(columns)
        if place and 2 * sum(field.sort is not None for field in fields) >= len(fields)
    )


def _own(name: str) -> str:
    """Return a file of ours, which is trusted."""
    return (files("ablate.reporting") / _TEMPLATES / name).read_text(encoding="utf-8")
