"""A real Slurm for the tests that need one: one cluster a test file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ablate.testing.slurm_loopback import SlurmLoopback, missing


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmLoopback]:
    """Return a running cluster; this process's Slurm commands talk to it."""
    if reason := missing():
        pytest.skip(reason)
    with (
        SlurmLoopback(tmp_path_factory.mktemp("slurm") / "cluster") as cluster,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name in ("SLURM_CONF", "PATH"):
            patch.setenv(name, cluster.environment[name])
        yield cluster


@pytest.fixture
def slurm_store(tmp_path: Path) -> Path:
    """Return a folder for a store."""
    return tmp_path / "store"
