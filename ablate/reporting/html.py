"""The report as one self-contained page: no request leaves it, and all text is escaped."""

from __future__ import annotations

import base64
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ablate import __version__
from ablate.reporting.document import Document

_TEMPLATES = "templates"


def render_html(document: Document) -> str:
    """Return the page; what a study, a cell or a model says appears as text, never as markup."""
    template = _environment().get_template("page.html.j2")
    page: str = template.render(
        doc=document,
        style=_own("style.css"),
        script=_own("sort.js"),
        version=__version__,
    )
    return page


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("ablate.reporting", _TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    return environment


def _own(name: str) -> Markup:
    """Return a file of ours as trusted markup."""
    return Markup((files("ablate.reporting") / _TEMPLATES / name).read_text(encoding="utf-8"))
