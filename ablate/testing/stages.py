"""Small deterministic stages for trying an engine: a worker runs them, no model and no torch.

What a ``preferences`` job does is named by its data set; see `BEHAVIOURS`. A file that a test
opens or that a job leaves is named by the job's ``location``.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from ablate.errors import StageError
from ablate.spec.stages import EvaluationConfig, PreferencesConfig, SftConfig
from ablate.store.workspace import Workspace

ENTRY_POINTS: Mapping[str, str] = MappingProxyType(
    {stage: f"{__name__}:{stage}" for stage in ("preferences", "sft", "evaluation")}
)
"""For `ablate.execution.options.RunOptions.entry_points`."""
STEPS, CHECKPOINT_EVERY = 24, 4
SHOWN = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "PYTHONHASHSEED",
    "TOKENIZERS_PARALLELISM",
    "HF_HUB_OFFLINE",
    "CUDA_VISIBLE_DEVICES",
    "WORLD_SIZE",
)
"""Variables that a job of ``environment`` writes down."""


def preferences(workspace: Workspace) -> None:
    """Do what the name of the data set says; write some bytes where it says nothing."""
    config = workspace.config
    assert isinstance(config, PreferencesConfig)
    BEHAVIOURS.get(config.dataset, _write)(workspace)


def sft(workspace: Workspace) -> None:
    """Chain hashes over some steps with checkpoints: a resume that goes wrong changes them."""
    assert isinstance(workspace.config, SftConfig)
    step, digest, metrics = 0, "", ""
    state = workspace.scratch / "state.json"
    if state.exists():
        step, digest, metrics = json.loads(state.read_text())
    while step < STEPS:
        digest = hashlib.sha256(f"{digest} {workspace.fingerprint} {step}".encode()).hexdigest()
        step += 1
        metrics += json.dumps({"step": step, "digest": digest}) + "\n"
        workspace.progress(step, STEPS)
        if step % CHECKPOINT_EVERY == 0:
            _replace(state, json.dumps([step, digest, metrics]))
            workspace.report({"event": "checkpoint"})
        time.sleep(0.004)
    (workspace.output / "metrics.jsonl").write_text(metrics)
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
    (workspace.output / "nested").mkdir()
    (workspace.output / "nested" / "pairs").write_text(workspace.fingerprint * 50)
    workspace.count(preferences=50)


def _location(workspace: Workspace) -> Path:
    config = workspace.config
    assert isinstance(config, PreferencesConfig)
    return Path(config.location)


def _wait(workspace: Workspace) -> None:
    """Run until the file at the location exists, checkpointing all the time.

    Every start adds a line to ``<location>.started``.
    """
    gate = _location(workspace)
    with open(f"{gate}.started", "a", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")
    while not gate.exists():
        workspace.report({"event": "checkpoint"})
        time.sleep(0.02)
    _write(workspace)


def _hang(workspace: Workspace) -> None:
    """Do nothing for ever: no checkpoint, and no end when asked to stop."""
    with open(f"{_location(workspace)}.started", "a", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")
    while True:
        time.sleep(0.1)


def _environment(workspace: Workspace) -> None:
    """Write down what the engine set, and one line to the log."""
    found = {name: os.environ.get(name) for name in SHOWN}
    (workspace.output / "environment.json").write_text(json.dumps(found))
    sys.stdout.write("said on standard output\n")


def _raise(workspace: Workspace) -> None:
    raise StageError("diverged on purpose", kind="non_finite_loss")


def _die(workspace: Workspace) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_once(workspace: Workspace) -> None:
    if workspace.scratch.parent.name == "1":
        _die(workspace)
    _write(workspace)


BEHAVIOURS: Mapping[str, Callable[[Workspace], None]] = {
    "wait": _wait,
    "hang": _hang,
    "environment": _environment,
    "diverge": _raise,
    "die always": _die,
    "die once": _die_once,
}
"""What a ``preferences`` job does, by its data set."""


def _replace(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    os.replace(partial, path)
