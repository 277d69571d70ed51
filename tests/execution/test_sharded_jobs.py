"""One job under torchrun, by the command of the documentation."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from toy_study import LOCAL, OPTIONS

from ablate.errors import SurroundingsError
from ablate.execution.controller import run_study
from ablate.execution.engines.protocol import Resources
from ablate.execution.options import Outcome
from ablate.execution.sharded import begin
from ablate.execution.stages import ENTRY_POINTS
from ablate.plan.job import Job
from ablate.spec.stages import EmbeddedModelConfig, SftConfig
from ablate.store.attempts import Attempt
from ablate.store.layout import Store
from ablate.store.processes import this_process
from ablate.store.workspace import Workspace
from ablate.training import sft

BASE = Job(
    "model",
    EmbeddedModelConfig(
        hidden_size=16, layers=2, heads=2, intermediate_size=16, examples=64, batch_size=8
    ),
)
SFT = Job(
    "sft",
    SftConfig(
        dataset="tiny-demonstrations", examples=40, epochs=2, batch_size=8, micro_batch_size=1,
        learning_rate=1e-3, max_length=64, checkpoint_every_steps=3,
    ),
    (("model", BASE),),
)  # fmt: skip


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store in which the job ran out of memory after a checkpoint."""
    store = Store(tmp_path_factory.mktemp("failed") / "store")
    outcome = run(store)
    assert outcome.failures[SFT.fingerprint].kind == "out_of_memory"
    return store


@pytest.fixture
def store(failed: Store, tmp_path: Path) -> Store:
    """Return a copy of that store."""
    shutil.copytree(failed.root, tmp_path / "store")
    return Store(tmp_path / "store")


def run(
    store: Store,
    *,
    job: Job = SFT,
    entry: str = "too_large_for_one",
    devices: tuple[str, ...] = (),
) -> Outcome:
    """Run a job on one core, or under torchrun with a process a device."""
    preload = ("ablate.execution.worker", "ablate.training.base")
    local = replace(LOCAL, preload=preload, slots=1, devices=devices)
    entries = {**ENTRY_POINTS, "sft": f"sharded_stages:{entry}"}
    return run_study(
        [job],
        store=store,
        study_name="toy",
        options=replace(
            OPTIONS,
            local=local,
            entry_points=entries,
            resources=lambda job: Resources(devices=len(devices)),
            budget_retries=0,
        ),
    )


def torchrun(job: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "ablate.execution.sharded", str(job)]
    tests = str(Path(__file__).parent)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": tests}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)


def attempts(store: Store) -> list[Attempt]:
    return store.attempts(SFT.fingerprint)


def undisturbed(store: Store, folder: Path) -> Path:
    """Return the output of the job in one process that is large enough."""
    inputs = {"model": store.artifact("model", BASE.fingerprint)}
    for name in ("output", "scratch"):
        (folder / name).mkdir()
    sft.run(Workspace("sft", SFT.config, inputs, folder / "output", folder / "scratch"))
    return folder / "output"


def test_a_job_too_large_for_one_device_is_finished_on_two_and_committed(
    store: Store, tmp_path: Path
) -> None:
    ended = torchrun(store.job(SFT.fingerprint))

    assert ended.returncode == 0, ended.stderr
    assert run(store).complete
    manifest = store.intact("sft", SFT.fingerprint, hashes=True)
    assert manifest is not None
    assert (manifest.attempt, manifest.engine) == (2, "torchrun")
    assert manifest.numerics["ranks"] == 2
    expected, folder = undisturbed(store, tmp_path), store.artifact("sft", SFT.fingerprint)
    assert set(manifest.files) == {
        p.relative_to(expected).as_posix() for p in expected.rglob("*") if p.is_file()
    }
    weights = load_file(folder / "model" / "model.safetensors")
    for name, weight in load_file(expected / "model" / "model.safetensors").items():
        torch.testing.assert_close(weights[name], weight, atol=1e-5, rtol=0, msg=name)
    lines = [(root / "metrics.jsonl").read_text().splitlines() for root in (folder, expected)]
    # The checkpoint of the process that failed holds the first three of the ten steps.
    assert len(lines[0]) == len(lines[1]) == 10
    assert lines[0][:3] == lines[1][:3]


def test_the_engine_gives_a_job_two_devices_and_replaces_a_rank_that_is_killed(
    store: Store, tmp_path: Path
) -> None:
    outcome = run(store, entry="rank_1_dies_once", devices=("0", "1"))

    assert outcome.complete, outcome.failures
    lost = attempts(store)[1].verdict() or {}
    assert lost["kind"] == "worker_lost" and "another rank was lost" in lost["message"]
    manifest = store.intact("sft", SFT.fingerprint, hashes=True)
    assert manifest is not None
    assert (manifest.attempt, manifest.engine) == (3, "local")
    assert manifest.numerics["ranks"] == 2
    expected, folder = undisturbed(store, tmp_path), store.artifact("sft", SFT.fingerprint)
    weights = load_file(folder / "model" / "model.safetensors")
    for name, weight in load_file(expected / "model" / "model.safetensors").items():
        torch.testing.assert_close(weights[name], weight, atol=1e-5, rtol=0, msg=name)
    # Steps 3 to 6 were checkpointed by the second attempt, so the third took the last four.
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 10


def test_a_failure_of_another_rank_is_the_reason_that_is_recorded(store: Store) -> None:
    last = attempts(store)[-1]
    last.write_request({**(last.request() or {}), "entry": "sharded_stages:too_large_for_rank_1"})

    assert torchrun(store.job(SFT.fingerprint)).returncode == 1

    record = attempts(store)[-1].exit() or {}
    assert record["attempt"] == 2
    assert record["failure"]["kind"] == "out_of_memory"
    assert "rank 1 is too small" in record["failure"]["message"]


def test_a_job_that_was_never_started_has_no_request_to_run(store: Store) -> None:
    with pytest.raises(SurroundingsError, match="no attempt with a request"):
        begin(store.job("0123456789ab"))


def test_a_job_that_somebody_runs_is_left_alone(store: Store) -> None:
    holder = store.claim(SFT.fingerprint)
    assert holder.acquire(study="another")
    with pytest.raises(SurroundingsError, match=f"process {this_process().pid} on .* has this job"):
        begin(store.job(SFT.fingerprint))
    holder.release()
    assert len(attempts(store)) == 1


def test_training_that_becomes_nan_stops_its_job_and_leaves_its_record(store: Store) -> None:
    config = SFT.config.model_copy(update={"learning_rate": 1e30, "warmup_fraction": 0.0})
    job = Job("sft", config, SFT.inputs)
    failure = run(store, job=job).failures[job.fingerprint]
    assert failure.kind == "non_finite_loss" and "Lower the learning rate" in failure.message
    (attempt,) = store.attempts(job.fingerprint)
    assert (attempt.verdict() or {})["final"] is True
    # The step that made the weights useless was still finite itself.
    lines = [json.loads(line) for line in attempt.metrics.read_text().splitlines()]
    assert lines and lines[0]["loss"] > 0
