"""The example of docs/rewards.md, executed as a package that is installed for one process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "rewards.md"
BLOCK = re.compile(r"<!-- example: (\S+) -->\n```\w*\n(.*?)^```$", re.S | re.M)
BLOCKS = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return a folder with the page's package, as an installer leaves it."""
    for name in ("brevity.py", "brief.yaml", "try.py"):
        (tmp_path / name).write_text(BLOCKS[name], encoding="utf-8")
    project = tomllib.loads(BLOCKS["pyproject.toml"])["project"]
    info = tmp_path / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir()
    lines = [f"Name: {project['name']}", f"Version: {project['version']}"]
    (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *lines, ""]))
    points = [f"[{group}]" + "".join(f"\n{name} = {value}" for name, value in found.items())
              for group, found in project["entry-points"].items()]  # fmt: skip
    (info / "entry_points.txt").write_text("\n".join(points) + "\n")
    return tmp_path


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ, "PYTHONPATH": str(folder), "ABLATE_STORE": str(folder / "store"),
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_the_pages_function_scores_what_the_page_prints(installed: Path) -> None:
    done = python(installed, "try.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout == BLOCKS["output"]


def test_the_pages_project_names_its_module() -> None:
    """The page's folder has try.py too: left to itself, setuptools refuses several modules."""
    project = tomllib.loads(BLOCKS["pyproject.toml"])
    assert project["tool"]["setuptools"]["py-modules"] == ["brevity"]


def test_the_pages_study_finds_the_function_without_importing_it(installed: Path) -> None:
    (installed / "brevity.py").write_text("raise RuntimeError('imported')\n")
    done = python(installed, "-m", "ablate", "check", "brief.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_the_package_the_study_is_refused(installed: Path) -> None:
    (installed / "brevity-1.2.dist-info" / "entry_points.txt").unlink()
    done = python(installed, "-m", "ablate", "check", "brief.yaml")
    assert done.returncode != 0
    assert "'brevity'" in done.stdout + done.stderr


def test_an_upgraded_package_is_refused_by_the_job(installed: Path) -> None:
    (installed / "brevity-1.2.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: brevity\nVersion: 1.3\n"
    )
    done = python(installed, "try.py")
    assert "planned with brevity==1.2, but here is brevity==1.3" in done.stderr


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("raise RuntimeError('broken')", "cannot be imported: RuntimeError: broken"),
        ("other = 1", "cannot be imported: AttributeError"),
        ("brevity = 1", "'brevity:brevity' is int; a function is needed"),
    ],
)
def test_a_function_that_cannot_be_loaded_is_named(
    installed: Path, content: str, found: str
) -> None:
    (installed / "brevity.py").write_text(content + "\n")
    done = python(installed, "try.py")
    assert "StageError: reward 'brevity': " in done.stderr and found in done.stderr


def test_a_package_cannot_take_the_name_of_the_reward_model(installed: Path) -> None:
    """An entry point called reward_model gave every trained reward model another identity."""
    points = "[ablate.rewards]\nreward_model = brevity:brevity\nbrevity = brevity:brevity\n"
    (installed / "brevity-1.2.dist-info" / "entry_points.txt").write_text(points)
    code = "from ablate.spec.rewards import reward_functions as f; print(sorted(f()))"
    done = python(installed, "-c", code)
    assert "'brevity'" in done.stdout and "'reward_model'" not in done.stdout
