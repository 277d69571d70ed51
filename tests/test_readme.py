"""The pages are tried: marked blocks run, studies load, links lead somewhere.

``<!-- file: NAME -->`` above a block saves it; ``<!-- run -->`` runs it with bash, where the files
saved before it are. Blocks of one page run in order in one folder.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.spec.load import load_study

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"<!-- (?:(?P<run>run)|file: (?P<file>\S+)) -->\n+```\w*\n(?P<text>.*?)^```$", re.S | re.M
)
LINK = re.compile(r"(?<!!)!?\[[^\]]*\]\(([^)\s]+)\)")
SCRIPT = re.compile(r"\bscripts/[\w-]+")
HEADING = re.compile(r"^#+ (.+)$", re.M)


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M)


def anchors(page: Path) -> set[str]:
    """Return the anchors that a page's headings get."""
    titles = HEADING.findall(without_code(page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_marked_blocks_run(page: Path, tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path, "ABLATE_STORE": str(tmp_path / "store")}
    for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
        if block["file"]:
            (tmp_path / block["file"]).write_text(block["text"], encoding="utf-8")
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block["text"]],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{block['text']}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_study_of_a_page_loads(page: Path, tmp_path: Path) -> None:
    blocks = [block for block in BLOCK.finditer(page.read_text(encoding="utf-8")) if block["file"]]
    for block in blocks:
        (tmp_path / block["file"]).write_text(block["text"], encoding="utf-8")
    for block in blocks:
        if block["file"].endswith(".yaml"):
            assert load_study(tmp_path / block["file"]).study.study


def test_the_readme_has_a_study_and_commands_that_run() -> None:
    found = [block for block in BLOCK.finditer(PAGES[0].read_text(encoding="utf-8"))]
    assert any(block["file"] for block in found) and any(block["run"] for block in found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    missing = []
    for link in LINK.findall(without_code(page.read_text(encoding="utf-8"))):
        target, _, anchor = link.partition("#")
        if "://" in link or target.startswith("mailto:"):
            continue
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            missing.append(link)
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_scripts_that_a_page_names_can_be_started(page: Path) -> None:
    names = set(SCRIPT.findall(page.read_text(encoding="utf-8")))
    assert [name for name in names if not os.access(ROOT / name, os.X_OK)] == []
