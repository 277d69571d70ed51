"""The Slurm engine keeps the contract of engines, on a real cluster of two nodes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ablate.execution.engines.slurm import SlurmEngine
from ablate.execution.engines.slurm_script import SlurmOptions
from ablate.store.layout import Store
from ablate.testing.engines import EngineContract, EngineGround
from ablate.testing.slurm_loopback import SlurmLoopback


class TestSlurmJobs(EngineContract):
    pack = 1

    @pytest.fixture
    def ground(self, slurm: SlurmLoopback, tmp_path: Path) -> Iterator[EngineGround]:
        with EngineGround(Store(tmp_path / "store"), self.open_engine) as ground:
            yield ground

    def open_engine(self, slots: int, devices: int) -> SlurmEngine:
        return SlurmEngine(
            SlurmOptions(
                slots=slots,
                pack=self.pack,
                accelerators="auto" if devices else "none",
                least_seconds=0.1,
                most_seconds=1.0,
                lag_seconds=1.0,
            )
        )
