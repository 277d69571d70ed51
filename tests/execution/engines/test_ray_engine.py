"""The Ray engine on a real cluster of two nodes: the contract of engines, and Ray's own ways."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ray_controller import BASE, TRAINING, contents, run_on_ray
from safetensors.torch import load_file

from ablate.errors import SurroundingsError
from ablate.execution.controller import run_study
from ablate.execution.engines.local import LocalOptions
from ablate.execution.engines.protocol import Engine, Resources, State, Submission
from ablate.execution.engines.ray_engine import RayEngine, RayOptions
from ablate.execution.options import Outcome, RunOptions
from ablate.execution.stages import ENTRY_POINTS as STAGES
from ablate.plan.job import Job
from ablate.store.attempts import Attempt
from ablate.store.layout import Store
from ablate.store.processes import identify, is_alive
from ablate.testing.engines import (
    CORES,
    DEVICE,
    EngineContract,
    EngineGround,
    is_silent,
    pairs,
    starts,
)
from ablate.testing.ray_loopback import Machine, RayLoopback, missing, ray_loopback

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"needs Ray: {missing()}")

WEIGHTS = "model/model.safetensors"
SHARED = Resources(devices=1, shares=True, memory_bytes=4e9)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayLoopback]:
    with ray_loopback([Machine(cpus=4, gpus=2), Machine(cpus=4)]) as cluster:
        yield cluster
    assert not cluster.processes()


@pytest.fixture
def ground(cluster: RayLoopback, tmp_path: Path) -> Iterator[EngineGround]:
    def open_engine(slots: int, devices: int) -> RayEngine:
        return RayEngine(RayOptions(address=cluster.address, slots=slots))

    with EngineGround(Store(tmp_path / "store"), open_engine) as ground:
        yield ground


class TestRayJobs(EngineContract):
    """The suite of all engines."""


def opened(ground: EngineGround, options: RayOptions) -> RayEngine:
    """Open an engine that the ground closes at the end."""
    ground.engines.append(engine := RayEngine(options))
    return engine


def wait_for(condition: Callable[[], bool], *, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def worker(ground: EngineGround, handle: str) -> int:
    """Return the process of a worker that runs."""
    process = Attempt(ground.store.root / "attempts" / handle.partition("/")[2]).process()
    assert process is not None and is_alive(process)
    return process.pid


def parent(pid: int) -> int:
    """Return the actor's process, which started the worker."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def variables(pid: int) -> dict[str, str]:
    pairs_ = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(pair.split("=", 1) for pair in pairs_ if "=" in pair)


def started(ground: EngineGround, engine: Engine, resources: Resources) -> tuple[str, Path]:
    """Start a waiting job that asks for ``resources``; return its handle and its gate."""
    gate = ground.store.root / f"own-gate-{len(ground.handles)}"
    job = pairs("wait", location=str(gate), seed=100 + len(ground.handles))
    handle = ground.submit(engine, ground.prepare(job, resources=resources))
    ground.await_start(engine, handle, gate)
    return handle, gate


def test_the_worker_of_a_killed_actor_dies_with_it_and_the_terminal_stays_silent(
    ground: EngineGround, capfd: pytest.CaptureFixture[str]
) -> None:
    engine = ground.open()
    handle, submission, _ = ground.waiting(engine)
    process = identify(worker(ground, handle))
    os.kill(parent(process.pid), signal.SIGKILL)
    word = ground.ended(engine, handle)
    # Ray has seen the actor's process end, and the kernel has killed the worker by then.
    assert (word.code, word.certain, word.blameless) == (None, True, False)
    assert "worker process has died" in word.reason
    assert not is_alive(process)
    assert is_silent(Attempt(submission.folder))
    assert capfd.readouterr() == ("", "")


def test_attempts_go_on_while_the_process_that_speaks_to_ray_is_started_anew(
    ground: EngineGround,
) -> None:
    engine = ground.open()
    handle, _, gate = ground.waiting(engine)
    bridges = [
        int(path.name)
        for path in Path("/proc").iterdir()
        if path.name.isdigit() and path.exists() and "ray_bridge" in _command(path)
        if parent(int(path.name)) == os.getpid()
    ]
    os.kill(bridges[-1], signal.SIGKILL)
    lost = engine.poll([handle], timeout_seconds=0.1)[handle]
    assert (lost.state, lost.certain, lost.blameless) == (State.GONE, False, True)
    assert engine.capacity(CORES) == 0
    gate.touch()
    wait_for(lambda: ground.ended(engine, handle).certain)
    assert ground.ended(engine, handle).code == 0 and starts(gate) == 1


def _command(process: Path) -> str:
    try:
        return (process / "cmdline").read_text()
    except OSError:
        return ""


def test_a_job_sees_its_nodes_variables_without_rays_and_no_secret(
    ground: EngineGround, cluster: RayLoopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hidden")
    monkeypatch.setenv("HF_HOME", "/models")
    monkeypatch.setenv("MKL_NUM_THREADS", "1")
    own = {"OF_THE_PLACE": "1", "PYTHONHASHSEED": "7"}
    options = RayOptions(address=cluster.address, threads=3, environment=own)
    handle, _ = started(ground, opened(ground, options), CORES)
    found = variables(worker(ground, handle))
    assert not [name for name in found if name.startswith("RAY_")]
    assert "PYTHONBREAKPOINT" not in found and "HF_TOKEN" not in found
    expected = {"HF_HOME": "/models", "OF_THE_PLACE": "1"}
    expected |= {"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "3", "PYTHONHASHSEED": "0"}
    assert expected.items() <= found.items()


def test_two_jobs_share_an_accelerator_where_their_memory_fits(
    ground: EngineGround, cluster: RayLoopback
) -> None:
    # Two GPUs of 10 GB, two places each, 4 GB a job: half a GPU each, so four jobs in all.
    options = RayOptions(address=cluster.address, slots_per_device=2, device_bytes=10e9)
    engine = opened(ground, options)
    assert engine.capacity(SHARED) == 4
    # 6 of 10 GB: no other job of that size fits beside it.
    assert engine.capacity(replace(SHARED, memory_bytes=6e9)) == 2
    handles = [started(ground, engine, SHARED)[0] for _ in range(2)]
    names = [variables(worker(ground, handle))["CUDA_VISIBLE_DEVICES"] for handle in handles]
    assert names == ["0", "0"]
    # What does not share, such as a retry after running out of memory, gets one to itself.
    wait_for(lambda: engine.capacity(DEVICE) == 1, seconds=5.0)
    alone = variables(worker(ground, started(ground, engine, DEVICE)[0]))
    assert alone["CUDA_VISIBLE_DEVICES"] == "1"


def test_without_sizes_the_next_sharing_job_waits_for_the_first_step_of_the_last(
    ground: EngineGround, cluster: RayLoopback
) -> None:
    engine = opened(ground, RayOptions(address=cluster.address, slots_per_device=2))
    assert engine.capacity(SHARED) == 4
    started(ground, engine, SHARED)  # which never says that it made a step
    assert engine.capacity(SHARED) == 0


def test_what_no_node_has_is_refused_and_says_what_there_is(
    ground: EngineGround, cluster: RayLoopback
) -> None:
    engine = ground.open(slots=2)
    for resources in (Resources(devices=3), Resources(memory_bytes=1e15)):
        assert engine.capacity(resources) == 1
        submission = ground.prepare(pairs(seed=resources.devices), resources=resources)
        with pytest.raises(SurroundingsError, match="which no node has; the nodes have 4 CPUs"):
            engine.submit(submission)


def test_a_job_that_is_to_be_alone_asks_for_all_cores_of_a_node(
    ground: EngineGround, cluster: RayLoopback
) -> None:
    engine = opened(ground, RayOptions(address=cluster.address))
    alone = Resources(alone=True)
    assert engine.capacity(alone) == 2
    started(ground, engine, alone)
    wait_for(lambda: engine.capacity(CORES) == 4, seconds=5.0)
    assert engine.capacity(alone) == 1


def test_where_nodes_come_on_demand_jobs_queue_and_are_taken_back_unbegun(
    ground: EngineGround, cluster: RayLoopback
) -> None:
    options = RayOptions(address=cluster.address, autoscaling=True, slots=3, threads=4)
    engine = opened(ground, options)
    for _ in range(2):
        started(ground, engine, CORES)
    assert engine.capacity(Resources(devices=64)) == 1
    gate = ground.store.root / "third"
    handle = ground.submit(engine, ground.prepare(pairs("wait", location=str(gate))))
    assert engine.poll([handle], timeout_seconds=1.0)[handle].state is State.PENDING
    assert engine.capacity(CORES) == 0
    engine.cancel(handle, gently=True)
    word = ground.ended(engine, handle)
    assert word.certain and starts(gate) == 0


def test_a_node_that_does_not_see_the_store_says_so(ground: EngineGround, tmp_path: Path) -> None:
    engine = ground.open()
    folder = tmp_path / "elsewhere" / "attempts" / "0123456789ab" / "1"
    word = ground.ended(engine, engine.submit(Submission("0123456789ab/1", folder)))
    assert word.certain and word.reason.endswith(f"does not see {folder}")


def test_a_job_is_told_to_stop_at_its_time_limit(ground: EngineGround) -> None:
    engine = ground.open()
    job = pairs("wait", location=str(ground.store.root / "gate"))
    submission = ground.prepare(job, resources=Resources(seconds=2.0))
    word = ground.ended(engine, ground.submit(engine, submission))
    # Stopped after a checkpoint; on a slow machine before it can take SIGTERM as a wish.
    assert word.code in (1, -signal.SIGTERM) and word.certain
    assert word.reason == "reached its time limit of 2 s"


def test_without_a_cluster_the_error_says_what_to_do() -> None:
    with pytest.raises(SurroundingsError, match="no Ray cluster at address '127.0.0.1:9'"):
        RayEngine(RayOptions(address="127.0.0.1:9"))


def test_without_the_package_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ray.py").write_text("raise ImportError('there is none')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(SurroundingsError, match=r"pip install \"ablate-studies\[ray\]\""):
        RayEngine(RayOptions())


def test_a_job_outlives_a_killed_controller_and_the_next_one_commits_it(
    cluster: RayLoopback, tmp_path: Path
) -> None:
    store, gate = Store(tmp_path / "store"), tmp_path / "gate"
    job = pairs("wait", location=str(gate))
    script = Path(__file__).with_name("ray_controller.py")
    command = [sys.executable, str(script), cluster.address, str(store.root), str(gate)]
    former = subprocess.Popen(command)
    wait_for(lambda: starts(gate) == 1)
    former.kill()
    former.wait()
    threading.Timer(2.0, gate.touch).start()
    assert run_on_ray(RayOptions(address=cluster.address), store, [job]).complete
    assert starts(gate) == 1 and len(store.attempts(job.fingerprint)) == 1
    manifest = store.intact(job.stage, job.fingerprint, hashes=True)
    assert manifest is not None and manifest.engine == "ray"


@pytest.fixture(scope="module")
def trained_here(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store with the small study, run by the local engine."""
    store = Store(tmp_path_factory.mktemp("local") / "store")
    local = LocalOptions(
        slots=1, devices=(), preload=("ablate.execution.worker", "ablate.training.base")
    )
    options = RunOptions(local=local, beat_seconds=0.1, handle_signals=False)
    assert run_study([TRAINING], store=store, study_name="local", options=options).complete
    return store


def test_a_study_on_ray_leaves_the_same_bytes_as_on_this_machine(
    cluster: RayLoopback, trained_here: Store, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    options = RayOptions(address=cluster.address, slots=2)
    assert run_on_ray(options, store, [TRAINING], entry_points=STAGES).complete
    assert contents(store) == contents(trained_here)


def test_a_job_of_two_accelerators_runs_under_torchrun_on_one_node(
    cluster: RayLoopback, trained_here: Store, tmp_path: Path
) -> None:
    root = tmp_path / "store"
    model, job = BASE, TRAINING
    source = trained_here.artifact(model.stage, model.fingerprint)
    shutil.copytree(source, Store(root).artifact(model.stage, model.fingerprint))
    outcome = run_on_ray(
        RayOptions(address=cluster.address),
        store := Store(root),
        [job],
        entry_points=STAGES,
        resources=lambda job: Resources(devices=2),
    )
    assert outcome.complete, outcome.failures
    manifest = store.intact(job.stage, job.fingerprint, hashes=True)
    assert manifest is not None and manifest.engine == "ray"
    assert manifest.numerics["ranks"] == 2
    # Two processes add up in another order than one, so equal to rounding.
    alone = load_file(trained_here.artifact(job.stage, job.fingerprint) / WEIGHTS)
    for name, weight in load_file(store.artifact(job.stage, job.fingerprint) / WEIGHTS).items():
        torch.testing.assert_close(weight, alone[name], atol=1e-5, rtol=0, msg=name)


def test_a_job_whose_node_is_lost_runs_again_elsewhere_without_blame(
    cluster: RayLoopback, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    gates = {seed: tmp_path / f"gate-{seed}" for seed in range(2)}
    jobs = [pairs("wait", location=str(gates[seed]), seed=seed) for seed in gates]
    # Each takes all CPUs of a node, so there is one on each.
    options = RayOptions(address=cluster.address, threads=4)
    outcomes: list[Outcome] = []
    controller = threading.Thread(
        target=lambda: outcomes.append(run_on_ray(options, store, jobs, stale_seconds=3.0))
    )
    controller.start()
    wait_for(lambda: all(starts(gate) == 1 for gate in gates.values()))
    raylet = cluster.raylet("127.0.0.3")
    on_it = [parent(parent(_process(store, job))) == raylet for job in jobs]
    lost, other = on_it.index(True), on_it.index(False)
    os.kill(raylet, signal.SIGKILL)
    verdict = store.job(jobs[lost].fingerprint) / "1" / "verdict.json"
    wait_for(verdict.exists)
    gates[other].touch()
    wait_for(lambda: starts(gates[lost]) == 2)
    gates[lost].touch()
    controller.join(60.0)
    assert outcomes and outcomes[0].complete
    first, second = store.attempts(jobs[lost].fingerprint)
    assert (first.verdict() or {})["kind"] == "preempted" and first.exit() is None
    assert (second.exit() or {})["status"] == "ok"
    assert starts(gates[other]) == 1


def _process(store: Store, job: Job) -> int:
    process = store.attempts(job.fingerprint)[-1].process()
    assert process is not None
    return process.pid
