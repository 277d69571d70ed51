"""The page in a real browser, under its own policy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ablate.reporting.records import StudyRecord
from ablate.reporting.report import build_report

from .builders import unfinished
from .chromium import CHROMIUM, Chromium, browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with browser() as page:
        yield page


@pytest.fixture(scope="module")
def grid_page(one_seed_study: StudyRecord, tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = unfinished(one_seed_study, "dpo web-narrow", 0, "not run")
    return build_report(study, tmp_path_factory.mktemp("page")).html


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
