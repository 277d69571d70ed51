"""The Ray engine keeps the contract of engines, on a real cluster of two nodes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ablate.execution.engines.ray_engine import RayEngine, RayOptions
from ablate.store.layout import Store
from ablate.testing.engines import EngineContract, EngineGround
from ablate.testing.ray_loopback import Machine, RayLoopback, missing, ray_loopback

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"needs Ray: {missing()}")


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayLoopback]:
    with ray_loopback([Machine(cpus=4, gpus=1), Machine(cpus=4, gpus=1)]) as cluster:
        yield cluster


class TestRayJobs(EngineContract):
    @pytest.fixture
    def ground(self, cluster: RayLoopback, tmp_path: Path) -> Iterator[EngineGround]:
        def open_engine(slots: int, devices: int) -> RayEngine:
            return RayEngine(RayOptions(address=cluster.address, slots=slots))

        with EngineGround(Store(tmp_path / "store"), open_engine) as ground:
            yield ground
