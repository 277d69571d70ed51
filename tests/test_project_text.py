"""What no tracked file may hold: places of one machine, and hosts of package indexes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MACHINE_PATH = re.compile(r"(?<![\w.>})\]*-])/(work|root|home|farm)(?=[/\"'`\s]|$)", re.M)
"""An absolute path; not ``attempts/<n>/work/`` nor ``{attempt}/work``, which are relative."""
INDEX_HOST = re.compile(
    r"pypi\.org|pythonhosted\.org|download\.pytorch\.org|npmjs\.(?:org|com)|conda\.anaconda\.org"
)


def tracked_texts() -> dict[str, str]:
    """Return every tracked text file by its path."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so there are no tracked files")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    texts = {}
    for name in filter(None, listed.stdout.split("\0")):
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        if b"\0" not in content:
            texts[name] = content.decode("utf-8", errors="replace")
    return texts


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}"
        for name, text in tracked_texts().items()
        for match in pattern.finditer(text)
    ]


def test_the_patterns_find_what_they_are_for() -> None:
    for folder in ("work", "root", "home"):
        assert MACHINE_PATH.search(f'"/{folder}/x"') and MACHINE_PATH.search(f"cd /{folder}\n")
        assert not MACHINE_PATH.search(f"attempts/<n>/{folder}/ and {{a}}/{folder}/b")
    assert INDEX_HOST.search("https://" + "pypi" + ".org/simple")


def test_no_file_names_a_place_of_one_machine() -> None:
    assert lines_with(MACHINE_PATH) == []


def test_no_file_names_the_host_of_a_package_index() -> None:
    assert lines_with(INDEX_HOST) == []
