"""The page in a real browser, with the requests it would make refused by its own policy."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ablate.reporting.records import StudyRecord
from ablate.reporting.report import build_report

from .builders import unfinished

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--dump-dom"),
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


def dom_after(page: Path, script: str, profile: Path) -> str:
    """Return the document after ``script`` ran in it."""
    copy = page.with_name("clicked.html")
    copy.write_text(page.read_text().replace("</script>\n</body>", f"{script}</script>\n</body>"))
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", copy.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout


@pytest.mark.parametrize("clicks", [1, 2])
def test_a_click_sorts_by_the_unrounded_value_with_missing_rows_last(
    one_seed_study: StudyRecord, tmp_path: Path, clicks: int
) -> None:
    study = unfinished(one_seed_study, "dpo web-narrow", 0, "not run")
    page = build_report(study, tmp_path / "out").html
    script = (
        'const b = [...document.querySelectorAll("#scores thead button")]'
        '.find((x) => x.textContent === "Average (%)");' + "b.click();" * clicks
    )
    dom = dom_after(page, script, tmp_path / "profile")
    table = dom[dom.index('aria-labelledby="t-comparison"') :]
    body = table[: table.index("</tbody>")]
    heads = re.findall(r'<th scope="row"[^>]*>([^<]+)<', body)
    averages = [row.split("<td")[7] for row in body.split("<tr>")[2:]]
    found = [float(m[1]) for cell in averages if (m := re.search(r'data-sort="([\d.]+)"', cell))]
    assert heads[-1] == "dpo web-narrow" and len(found) == len(heads) - 1 == 8
    assert found == sorted(found, reverse=clicks == 2)
