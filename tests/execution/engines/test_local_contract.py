"""The local engine keeps the contract of engines, forked and spawned."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ablate.execution.engines.local import LocalEngine, LocalOptions
from ablate.store.layout import Store
from ablate.testing.engines import EngineContract, EngineGround


class TestForkedJobs(EngineContract):
    style = "fork"

    @pytest.fixture
    def ground(self, tmp_path: Path) -> Iterator[EngineGround]:
        with EngineGround(Store(tmp_path / "store"), self.open_engine) as ground:
            yield ground

    def open_engine(self, slots: int, devices: int) -> LocalEngine:
        options = LocalOptions(
            slots=slots,
            devices=tuple(str(number) for number in range(devices)),
            style=self.style,
            preload=("ablate.execution.worker", "ablate.testing.stages"),
        )
        return LocalEngine(options)


class TestSpawnedJobs(TestForkedJobs):
    style = "spawn"
