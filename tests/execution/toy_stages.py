"""Small deterministic stages for tests of the controller; run in workers, never in tests."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

from ablate.errors import StageError
from ablate.spec.stages import EvaluationConfig, PreferencesConfig, SftConfig
from ablate.store.workspace import Workspace

STEPS, CHECKPOINT_EVERY = 24, 4


def preferences(workspace: Workspace) -> None:
    """Do what the name of the data set says."""
    config = workspace.config
    assert isinstance(config, PreferencesConfig)
    BEHAVIOURS.get(config.dataset, _write)(workspace)


def sft(workspace: Workspace) -> None:
    """Chain hashes over some steps with checkpoints, so that a resume can go wrong visibly."""
    config = workspace.config
    assert isinstance(config, SftConfig)
    _write_micro_batch(workspace, config)
    step, digest = _resume(workspace)
    metrics = workspace.output / "metrics.jsonl"
    while step < STEPS:
        digest = hashlib.sha256(f"{digest} {workspace.fingerprint} {step}".encode()).hexdigest()
        step += 1
        with metrics.open("a") as file:
            file.write(json.dumps({"step": step, "digest": digest}) + "\n")
        workspace.progress(step, STEPS)
        if step % CHECKPOINT_EVERY == 0:
            _checkpoint(workspace, {"step": step, "metrics": metrics.read_text()})
        time.sleep(0.004)
    (workspace.output / "weights").write_text(digest * 100)


def evaluation(workspace: Workspace) -> None:
    """Hash every byte of the inputs."""
    assert isinstance(workspace.config, EvaluationConfig)
    digest = hashlib.sha256()
    for role, folder in sorted(workspace.inputs.items()):
        for path in sorted(folder.rglob("*")):
            if path.name != "manifest.json" and path.is_file():
                digest.update(f"{role} {path.relative_to(folder)}".encode() + path.read_bytes())
    (workspace.output / "scores.json").write_text(json.dumps(digest.hexdigest()))


def _write(workspace: Workspace) -> None:
    with workspace.timed("rollout"):
        (workspace.output / "nested").mkdir()
        (workspace.output / "nested" / "pairs").write_text(workspace.fingerprint * 50)
    workspace.count(preferences=50)


def _fail_with(kind: str) -> None:
    raise StageError(f"a {kind} on purpose", kind=kind)


def _bug(workspace: Workspace) -> None:
    raise KeyError(f"missing {workspace.fingerprint}")


def _die_once(workspace: Workspace) -> None:
    if workspace.scratch.parent.name == "1":
        (workspace.scratch / "checkpoint.pt").write_text("kept")
        os.kill(os.getpid(), signal.SIGKILL)
    _write(workspace)


def _crawl(workspace: Workspace) -> None:
    """Get one step further in each attempt."""
    steps = workspace.scratch / "steps"
    done = len(steps.read_text()) if steps.exists() else 0
    if done < 5:
        steps.write_text("x" * (done + 1))
        workspace.report({"event": "checkpoint"})
        os.kill(os.getpid(), signal.SIGKILL)
    _write(workspace)


def _die_always(workspace: Workspace) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _gate(workspace: Workspace) -> Path:
    config = workspace.config
    assert isinstance(config, PreferencesConfig)
    return Path(config.location)


def _wait(workspace: Workspace) -> None:
    """Run until the file at the configuration's location exists, checkpointing all the time."""
    _gate(workspace).with_suffix(".started").touch()
    while not _gate(workspace).exists():
        workspace.report({"event": "checkpoint"})
        time.sleep(0.005)
    _write(workspace)


def _helper(workspace: Workspace) -> None:
    """Leave a helper process behind, in the worker's own group."""
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    process.start()
    _gate(workspace).write_text(str(process.pid))
    _write(workspace)
    os._exit(3)


def _environment(workspace: Workspace) -> None:
    names = ("OMP_NUM_THREADS", "PYTHONHASHSEED", "TOKENIZERS_PARALLELISM", "HF_HUB_OFFLINE")
    found = {name: os.environ.get(name) for name in names}
    found["CUDA_VISIBLE_DEVICES"] = os.environ["CUDA_VISIBLE_DEVICES"]
    found["leader"] = str(os.getsid(0) == os.getpid())
    (workspace.output / "environment.json").write_text(json.dumps(found))
    sys.stdout.write("said on standard output\n")


def _checkpoint_and_die(workspace: Workspace) -> None:
    """Save a real checkpoint, die, and finish from it in the next attempt."""
    state = workspace.load_checkpoint()
    if state is None:
        workspace.log_metrics(1, {"loss": 0.5})
        workspace.save_checkpoint({"step": 1})
        workspace.log_metrics(2, {"loss": 0.25})
        os.kill(os.getpid(), signal.SIGKILL)
    workspace.log_metrics(2, {"loss": 0.25})


def _greedy(workspace: Workspace) -> None:
    """Ask for more memory than any machine has, unless nothing runs beside."""
    request = json.loads((workspace.scratch.parent / "request.json").read_text())
    if not request["resources"]["alone"]:
        bytearray(1 << 62)
    _write(workspace)


def _stall_once(workspace: Workspace) -> None:
    """Take a step and no other, in the first attempt; beats go on meanwhile."""
    workspace.progress(1, 100)
    if workspace.scratch.parent.name == "1":
        time.sleep(600)
    _write(workspace)


def _freeze_once(workspace: Workspace) -> None:
    """Stop the whole process, beats and all, in the first attempt."""
    if workspace.scratch.parent.name == "1":
        os.kill(os.getpid(), signal.SIGSTOP)
    _write(workspace)


def _long(workspace: Workspace) -> None:
    """Take 25 steps of a tenth of a second, with a checkpoint after each."""
    path = workspace.scratch / "steps"
    done = len(path.read_text()) if path.exists() else 0
    while done < 25:
        time.sleep(0.1)
        done += 1
        path.write_text("x" * done)
        workspace.report({"event": "checkpoint"})
    _write(workspace)


def _endless(workspace: Workspace) -> None:
    """Save nothing and never end."""
    workspace.log_metrics(1, {"loss": 0.5})
    time.sleep(600)


def _own_manifest(workspace: Workspace) -> None:
    (workspace.output / "manifest.json").write_text("{}")


BEHAVIOURS = {
    "bug": _bug,
    "crawl": _crawl,
    "die once": _die_once,
    "die always": _die_always,
    "diverge": lambda workspace: _fail_with("non_finite_loss"),
    "endless": _endless,
    "environment": _environment,
    "freeze once": _freeze_once,
    "greedy": _greedy,
    "helper": _helper,
    "checkpoint": _checkpoint_and_die,
    "long": _long,
    "manifest": _own_manifest,
    "stall once": _stall_once,
    "wait": _wait,
}


def _write_micro_batch(workspace: Workspace, config: SftConfig) -> None:
    size = config.micro_batch_size or config.batch_size
    if config.dataset == "large" and size > 8:
        raise MemoryError(f"{size} examples do not fit")
    workspace.numerics["micro_batch"] = size


def _resume(workspace: Workspace) -> tuple[int, str]:
    path = workspace.scratch / "state.json"
    if not path.exists():
        return 0, ""
    state = json.loads(path.read_text())
    (workspace.output / "metrics.jsonl").write_text(state["metrics"])
    return state["step"], json.loads(state["metrics"].splitlines()[-1])["digest"]


def _checkpoint(workspace: Workspace, state: dict[str, object]) -> None:
    partial = workspace.scratch / "state.json.partial"
    partial.write_text(json.dumps(state))
    os.replace(partial, workspace.scratch / "state.json")
    workspace.report({"event": "checkpoint"})
