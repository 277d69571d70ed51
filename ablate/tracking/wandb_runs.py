"""One W&B run, written whole: into a folder that `wandb sync` takes later, or to a server.

Nothing but what is said here is sent: no code, no git state, no console, no packages, no machine.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import wandb

TAG_LENGTH = 64
"""Longest tag that W&B 0.31 takes."""
FINISH_SECONDS = 120.0
"""For an upload to end; after it the run is sent again later."""
BUILDING = ".building"
DIGEST = "ablate-digest"


@dataclass(frozen=True)
class WholeRun:
    """Everything of one run."""

    id: str
    """Derived from what the run is, so that the same run is never there twice."""
    name: str
    group: str
    job_type: str
    started_ms: int
    config: Mapping[str, Any]
    tags: tuple[str, ...] = ()
    steps: Iterable[tuple[int, Mapping[str, float]]] = ()
    """Steps in order, each once, with the metrics' values; NaN is kept."""
    summary: Mapping[str, Any] = field(default_factory=dict)
    failed: bool = False

    @property
    def digest(self) -> str:
        """Tells whether the run says something else than before; steps never change."""
        said = json.dumps([self.config, self.summary, self.failed], sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()


def find(folder: Path, run_id: str) -> list[Path]:
    """Return the offline folders of a run below a study's folder; empty where there is none."""
    return sorted(folder.glob(f"offline-run-*-{run_id}"))


def said(folder: Path, run_id: str) -> str | None:
    """Return the digest of a run as it was written offline; None where it was not."""
    for found in find(folder, run_id):
        try:
            return (found / DIGEST).read_text(encoding="utf-8")
        except OSError:
            continue
    return None


def write_offline(run: WholeRun, folder: Path, project: str) -> Path:
    """Return the run's folder, built aside and put in place of an earlier one in one step."""
    building = folder / BUILDING
    building.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=building))
    try:
        file = _log(run, aside, project, "offline")
        shutil.rmtree(file.parent / "logs", ignore_errors=True)  # The client's own.
        shutil.rmtree(file.parent / "tmp", ignore_errors=True)
        (file.parent / DIGEST).write_text(run.digest, encoding="utf-8")
        _sync(file)
        begun = datetime.fromtimestamp(run.started_ms / 1000, UTC)
        target = folder / f"offline-run-{begun:%Y%m%d_%H%M%S}-{run.id}"
        for earlier in find(folder, run.id):
            shutil.rmtree(earlier)
        os.rename(file.parent, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def send_online(run: WholeRun, folder: Path, project: str) -> None:
    """Send the run; what an interrupted try has sent already is passed over by its step.

    Raises what the client raises where the server does not answer or the upload does not end.
    """
    building = folder / BUILDING
    building.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=building))
    try:
        _log(run, aside, project, "online")
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Delete what killed processes were building."""
    shutil.rmtree(folder / BUILDING, ignore_errors=True)


def shorten(tag: str) -> str:
    """Return a tag that W&B takes."""
    return tag[:TAG_LENGTH] or "_"


def _log(run: WholeRun, aside: Path, project: str, mode: Literal["online", "offline"]) -> Path:
    """Log everything; return the run's transaction log."""
    sent = wandb.init(
        id=run.id,
        project=project,
        group=run.group,
        job_type=run.job_type,
        name=run.name,
        tags=[shorten(tag) for tag in run.tags],
        config=dict(run.config),
        mode=mode,
        resume="allow" if mode == "online" else None,
        settings=_settings(aside),
    )
    seconds = run.started_ms / 1000
    for step, values in run.steps:
        sent.log({**{_key(k): v for k, v in values.items()}, "_timestamp": seconds}, step=step)
    for name, value in run.summary.items():
        sent.summary[_key(name)] = _in_summary(value)
    file = Path(sent.settings.sync_file)
    sent.finish(exit_code=int(run.failed))
    return file


def _settings(aside: Path) -> wandb.Settings:
    return wandb.Settings(
        allow_val_change=True,
        console="off",
        disable_code=True,
        disable_git=True,
        disable_job_creation=True,
        finish_timeout=FINISH_SECONDS,
        finish_timeout_raises=True,
        host="",
        init_timeout=30.0,
        reinit="create_new",
        root_dir=str(aside),
        sagemaker_disable=True,
        save_code=False,
        silent=True,
        symlink=False,
        use_dot_wandb=False,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )


def _key(name: str) -> str:
    """Return a metric's name; a leading underscore belongs to W&B itself."""
    return f"metric{name}" if name.startswith("_") else name


def _in_summary(value: Any) -> Any:
    """Return a value as W&B writes it of a step: JSON has no undefined numbers."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
