"""``ablate run --engine NAME`` on real clusters: the same file, the same bytes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.store.layout import Store
from ablate.testing import ray_loopback, slurm_loopback
from ablate.testing.engines import contents

STUDY = """
study: two-rows
baseline: first
imported:
  first: {source: a table, scores: {reasoning: 40.0, average: 40.0}}
  second: {source: a table, scores: {reasoning: 42.0, average: 42.0}}
"""


def run(folder: Path, place: str, environment: dict[str, str]) -> dict[str, str]:
    """Run the study as a user does; return its artifacts."""
    (folder / "study.yaml").write_text(STUDY)
    command = [sys.executable, "-m", "ablate", "run", "study.yaml", "--engine", place]
    done = subprocess.run(
        [*command, "--no-report", "--no-tracking"],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "2 jobs run" in done.stdout
    return contents(Store(folder / ".ablate"))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    found = run(tmp_path_factory.mktemp("local"), "local", {})
    assert len(found) > 0
    return found


def test_a_study_runs_on_slurm_by_name(here: dict[str, str], tmp_path: Path) -> None:
    if (reason := slurm_loopback.missing()) is not None:
        pytest.skip(reason)
    with slurm_loopback.SlurmLoopback(tmp_path / "cluster") as cluster:
        assert run(tmp_path, "slurm", dict(cluster.environment)) == here


def test_a_study_runs_on_ray_by_name(here: dict[str, str], tmp_path: Path) -> None:
    if (reason := ray_loopback.missing()) is not None:
        pytest.skip(reason)
    with ray_loopback.ray_loopback([ray_loopback.Machine(cpus=2)]) as cluster:
        assert run(tmp_path, "ray", {"RAY_ADDRESS": cluster.address}) == here
