"""The page in a real browser, under its own policy."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ablate.reporting.figures.save import Drawing
from ablate.reporting.findings import Findings
from ablate.reporting.records import StudyRecord
from ablate.reporting.section import Section
from ablate.reporting.sections import checks, samples, scores

from .builders import unfinished
from .chromium import CHROMIUM, Chromium, browser
from .page_builders import page_of

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with browser() as page:
        yield page


def figure(found: Findings) -> Section:
    """Return a section with a figure that is wider than a telephone."""
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="1200" height="300"/>'
    drawing = Drawing("wide", "Wide", "A caption.", "an empty figure", 1200, svg, b"", b"")
    return Section("figures", "Figures", figures=(drawing,))


@pytest.fixture(scope="module")
def grid_page(one_seed_study: StudyRecord, tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = unfinished(one_seed_study, "dpo web-narrow", 0, "not run")
    shown = (scores.section, figure, samples.section, checks.section)
    return page_of(study, tmp_path_factory.mktemp("page"), *shown)


def test_a_click_sorts_by_the_unrounded_value_with_missing_rows_last(
    chromium: Chromium, grid_page: Path
) -> None:
    chromium.open(grid_page.as_uri())
    for descending in (False, True):
        chromium.run(
            '[...document.querySelectorAll("#scores thead button")]'
            '.find((x) => x.textContent === "Average (%)").click()'
        )
        rows: list[list[str | None]] = chromium.run(
            '[...document.querySelectorAll("#scores table")][0].tBodies[0].rows.length && '
            '[...document.querySelector("#scores table").tBodies[0].rows]'
            ".map((row) => [row.cells[0].firstChild.textContent, row.cells[7].dataset.sort])"
        )
        found = [float(value) for _, value in rows if value is not None]
        assert rows[-1][0] == "dpo web-narrow" and len(found) == len(rows) - 1 == 8
        assert found == sorted(found, reverse=descending)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [320, 768, 1280])
def test_the_page_fits_every_width_in_both_themes_and_asks_for_nothing(
    chromium: Chromium, grid_page: Path, width: int, dark: bool
) -> None:
    chromium.open(grid_page.as_uri(), width=width, dark=dark)
    assert chromium.run("document.documentElement.scrollWidth") == width
    shade = chromium.run("getComputedStyle(document.body).backgroundColor")
    light = sum(map(int, re.findall(r"\d+", shade)[:3])) > 3 * 128
    assert light is not dark
    assert chromium.asked() == []
    # Nothing was refused either: the page does not try.
    assert chromium.said("Log.entryAdded", "Runtime.exceptionThrown") == []


def test_what_the_page_holds_of_its_files_is_what_a_reader_saves(
    chromium: Chromium, grid_page: Path
) -> None:
    chromium.open(grid_page.as_uri())
    link = "#downloads a[download='comparison.csv']"
    assert chromium.run(f"document.querySelector(\"{link}\").href.startsWith('data:text/csv')")
    text = chromium.run(f"atob(document.querySelector(\"{link}\").href.split(',')[1])")
    rows = list(csv.reader(io.StringIO(text)))
    heads = [row[0] for row in rows]
    assert heads[0] == "cell" and any(head.startswith("ppo ai-fine") for head in heads)
    assert len({len(row) for row in rows}) == 1


def test_headings_go_down_one_level_at_a_time_and_everything_has_a_name(
    chromium: Chromium, grid_page: Path
) -> None:
    chromium.open(grid_page.as_uri())
    levels: list[int] = chromium.run(
        "[...document.querySelectorAll('h1, h2, h3, h4')].map((h) => Number(h.tagName[1]))"
    )
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))
    nameless = chromium.run(
        "[...document.querySelectorAll('button, select, input, a, img, [role=region]')]"
        ".filter((e) => !(e.textContent.trim() || e.alt || e.ariaLabel"
        " || e.getAttribute('aria-labelledby') || e.labels?.length)).length"
    )
    assert nameless == 0
