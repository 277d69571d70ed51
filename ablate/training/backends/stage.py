"""A stage trained elsewhere: by TRL, or by a command of the user's, through the same contract."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ablate.data.stored import stored_pairs
from ablate.errors import StageError, SurroundingsError
from ablate.models.loading import LoadedModel, load_policy, load_reward_model
from ablate.models.ranks import world_size
from ablate.spec.commands import command_name, file_arguments, filled
from ablate.spec.local_files import find_file
from ablate.spec.names import LocalFile
from ablate.spec.policies import PolicyConfig
from ablate.spec.stages import RewardModelConfig, SftConfig
from ablate.spec.training import TrainingConfig
from ablate.store.workspace import CHECKPOINT_FOLDER, Workspace
from ablate.training.backends.acceptance import (
    accept_metrics,
    accept_model,
    check_tree,
    shown_differences,
)
from ablate.training.backends.contract import (
    COMPLETE,
    JOB,
    LONGEST_TEXT,
    MODEL,
    Job,
    Result,
    read_result,
)
from ablate.training.backends.materials import Materials, write_materials
from ablate.training.backends.process import Command, run_command
from ablate.training.device import pick_device, record_numerics
from ablate.training.loop import write_summary
from ablate.training.reward_scale import write_scale

Launch = Callable[[Command, Callable[[], None]], None]


@dataclass(frozen=True)
class Places:
    """Folders of one attempt, below its scratch folder."""

    job: Path
    """Working directory of the command."""
    output: Path
    """Where the command writes."""
    checkpoint: Path
    """Survives a restart."""

    @classmethod
    def made(cls, scratch: Path) -> Places:
        """Create the folders; what an earlier run of this attempt left in them is removed."""
        job = scratch / "job"
        if job.exists():
            shutil.rmtree(job)
        places = cls(job.absolute(), (job / "output").absolute(), scratch / CHECKPOINT_FOLDER)
        places.output.mkdir(parents=True)
        places.checkpoint.mkdir(exist_ok=True)
        return places


def run_elsewhere(
    workspace: Workspace, config: TrainingConfig, launch: Launch = run_command
) -> None:
    """Train the stage by its backend; write model, metrics and summary as a native stage does.

    ``launch`` runs the command, and calls its second argument every now and then.
    """
    if world_size() > 1:
        raise StageError(
            f"backend {config.backend}: {world_size()} processes of torchrun; one is needed, whose "
            "command may start others itself. Start this job without torchrun.",
            kind="surroundings",
        )
    device = pick_device()
    start = load_policy(workspace.inputs[_start(config)] / "model")
    places = Places.made(workspace.scratch)
    materials = write_materials(workspace, start.boundary, places.job)
    job = _job(workspace, config, start, materials, places)
    job.write(places.job / JOB)
    command = Command(
        arguments_of(config, places), places.job, timeout_seconds=config.command_timeout_seconds
    )
    with workspace.timed("command"):
        launch(command, _watch(workspace, places.checkpoint / COMPLETE))
    check_tree(places.output)
    _record(workspace, config, read_result(places.output), device=device)
    reward = isinstance(config, RewardModelConfig)
    accept_model(places.output, start, materials, reward=reward, target=workspace.output / MODEL)
    lines = accept_metrics(workspace, places.output)
    if reward:
        pairs = stored_pairs(workspace.inputs["preferences"])
        loaded = load_reward_model(workspace.output / MODEL, device=device)
        write_scale(workspace, loaded, pairs, device=device)
    write_summary(workspace, backend=config.backend, metric_lines=lines, **materials.kept)
    shutil.rmtree(places.job)


def _start(config: TrainingConfig) -> str:
    return "model" if isinstance(config, SftConfig) else "policy"


def arguments_of(config: TrainingConfig, places: Places) -> list[str]:
    """Return program and arguments, files at their place and placeholders filled.

    Raises StageError where a file is no longer what the study was planned with.
    """
    values = {"job": str(places.job / JOB), "output": str(places.output), "python": sys.executable}
    if config.backend == "trl":
        _need_trl()
        return [sys.executable, "-m", f"{__package__}.trl_main", values["job"]]
    folder = Path(config.command_location)
    found = find_file("command", command_name(config.command), folder)
    if not isinstance(found, LocalFile) or found.content != config.command_content:
        what = getattr(found, "reason", "its files have changed since the study was planned.")
        raise StageError(
            f"command: {what} Run the study again, so that it is planned with what is there.",
            kind="bad_data",
        )
    arguments = list(config.command)
    for argument in file_arguments(config.command):
        path = (folder / Path(argument.path).expanduser()).absolute()
        arguments[argument.position] = f"{argument.option}{path}"
    return filled(arguments, values)


def _need_trl() -> None:
    if importlib.util.find_spec("trl") is None:
        raise SurroundingsError(
            "backend trl: the Python package trl is not installed; trl >= 1.0, < 2 is needed. "
            "Install it: pip install 'ablate-studies[trl]'."
        )


def _job(
    workspace: Workspace,
    config: TrainingConfig,
    start: LoadedModel,
    materials: Materials,
    places: Places,
) -> Job:
    policy = config if isinstance(config, PolicyConfig) else None
    initial = workspace.inputs[_start(config)].absolute()
    reference = workspace.inputs.get("reference_policy", initial).absolute()
    budget = policy.budget if policy is not None else None
    return Job.model_validate(
        {
            "stage": workspace.stage,
            "algorithm": getattr(config, "algorithm", workspace.stage),
            "model": str(initial / "model"),
            "reference": str(reference / "model") if policy is not None else None,
            "inputs": {role: str(path.absolute()) for role, path in workspace.inputs.items()},
            "data": materials.data,
            "end_token": start.tokenizer.eos_token,
            "pad_token_id": start.boundary.pad_id,
            "config_class": type(config).__name__,
            "config": config.model_dump(mode="json"),
            "seed": config.seed,
            "budget": budget.model_dump(mode="json") if budget is not None else None,
            "device": pick_device(),
            "threads": torch.get_num_threads(),
            "output": str(places.output),
            "checkpoint": str(places.checkpoint.absolute()),
        }
    )


def _watch(workspace: Workspace, marker: Path) -> Callable[[], None]:
    """Return what reports the command's own checkpoints; it raises where the job should stop."""
    seen = [_stamp(marker)]

    def between() -> None:
        stamp = _stamp(marker)
        if stamp != seen[0]:
            seen[0] = stamp
            workspace.report({"event": "checkpoint"})

    return between


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _record(workspace: Workspace, config: TrainingConfig, result: Result, *, device: str) -> None:
    """Keep what the command says of itself; raises StageError where it says that it failed."""
    if result.status == "failed":
        message = " ".join(result.message.split())[:LONGEST_TEXT] or "no reason given"
        raise StageError(f"command: it reports a failure: {message}", kind=result.kind)
    counts = {name: amount for name, amount in result.counts.items() if name != "preferences"}
    if "preferences" not in workspace.counts and "preferences" in result.counts:
        counts["preferences"] = result.counts["preferences"]
    _check_budget(config, result)
    workspace.count(**counts)
    for activity, seconds in result.seconds.items():
        workspace.timings[f"command_{activity}"] = seconds
    if config.backend == "trl":  # Of a command nobody here knows how it computes.
        record_numerics(workspace, device, config.micro_batch_size)
    workspace.numerics.update(
        backend=config.backend,
        device=device,
        backend_versions=dict(result.versions),
        differences=shown_differences(result.differences),
    )


def _check_budget(config: TrainingConfig, result: Result) -> None:
    """Refuse an arm that spent more than the others, or does not say what it spent.

    TRL ends with the step that passes the budget, as the native loop does.
    """
    budget = config.budget if isinstance(config, PolicyConfig) else None
    if budget is None or budget.unit not in ("generated_tokens", "reward_calls"):
        return
    spent = result.counts.get(budget.unit)
    if spent is None or (spent > budget.amount and config.backend != "trl"):
        found = "is not there" if spent is None else f"is {spent:g}"
        raise StageError(
            f"command: result.json: counts.{budget.unit} {found}; the study equalizes it at "
            f"{budget.amount:g}. Let the script count it, and stop before it would exceed it.",
            kind="bad_data",
        )
