"""One try of a job: a folder that one worker writes and one controller reads."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.store.files import read_json, read_sealed, surroundings, write_json
from ablate.store.processes import ProcessId, process_id
from ablate.store.workspace import CHECKPOINT, CHECKPOINT_FOLDER, KEPT, METRICS


@dataclass(frozen=True)
class Attempt:
    """Attempt ``number`` of a job; the number is the token that fences late writers off."""

    folder: Path
    """``<store>/attempts/<fingerprint>/<number>``."""

    @property
    def number(self) -> int:
        """Position among the job's attempts, from 1."""
        return int(self.folder.name)

    @property
    def fingerprint(self) -> str:
        """Identity of the job."""
        return self.folder.parent.name

    @property
    def name(self) -> str:
        """Return ``<fingerprint>/<number>``, unique in a store."""
        return f"{self.fingerprint}/{self.number}"

    @property
    def root(self) -> Path:
        """Folder of the store."""
        return self.folder.parents[2]

    @property
    def work(self) -> Path:
        """Becomes the artifact."""
        return self.folder / "work"

    @property
    def scratch(self) -> Path:
        """Checkpoints."""
        return self.folder / "scratch"

    @property
    def log(self) -> Path:
        """What the worker printed."""
        return self.folder / "log.txt"

    @property
    def events(self) -> Path:
        """One JSON object a line, appended by the worker."""
        return self.folder / "events.jsonl"

    @property
    def heartbeat_file(self) -> Path:
        """Replaced by the worker every few seconds."""
        return self.folder / "heartbeat"

    @property
    def exit_file(self) -> Path:
        """Written by the worker as its last act."""
        return self.folder / "exit.json"

    @property
    def metrics(self) -> Path:
        """Step metrics of an attempt that failed: in its output, or kept when that was removed."""
        kept = self.folder / METRICS
        return kept if kept.exists() else self.work / METRICS

    def request(self) -> dict[str, Any] | None:
        """Return what was asked for; None when the intent was never completed."""
        return _mapping(read_json(self.folder / "request.json"))

    def heartbeat(self) -> dict[str, Any]:
        """Return the last beat; empty before the first."""
        return _mapping(read_json(self.heartbeat_file)) or {}

    def exit(self) -> dict[str, Any] | None:
        """Return how the attempt ended in its own words; None while it has not said so, whole."""
        return _mapping(read_sealed(self.exit_file))

    def verdict(self) -> dict[str, Any] | None:
        """Return the controller's judgement of a failed attempt; None where there is none."""
        return _mapping(read_json(self.folder / "verdict.json"))

    def got_further(self) -> bool:
        """Tell whether this attempt saved a checkpoint of its own."""
        try:
            return b'"event": "checkpoint"' in self.events.read_bytes()
        except FileNotFoundError:
            return False

    def process(self) -> ProcessId | None:
        """Return the worker's identity, once it has beaten."""
        return process_id(self.heartbeat())

    def write_request(self, request: Mapping[str, Any]) -> None:
        """Declare the intent; from here on the attempt may run."""
        with surroundings(self.folder):
            write_json(self.folder / "request.json", dict(request))

    def write_verdict(self, verdict: Mapping[str, Any]) -> None:
        """Record why the attempt failed: a killed worker cannot say so itself."""
        with surroundings(self.folder):
            write_json(self.folder / "verdict.json", dict(verdict), durable=False)

    def drop_bulk(self) -> None:
        """Remove output and checkpoints of an attempt that is over; its records stay.

        Its step metrics are among them: how a run diverged can be looked at afterwards.
        """
        with suppress(OSError):
            os.replace(self.work / METRICS, self.folder / METRICS)
        for folder in (self.work, self.scratch):
            shutil.rmtree(folder, ignore_errors=True)


def new_attempt(parent: Path, number: int, *, carry: Attempt | None) -> Attempt:
    """Create an attempt's folders, with a copy of the checkpoints of ``carry``."""
    attempt = Attempt(parent / str(number))
    with surroundings(attempt.folder):
        attempt.work.mkdir(parents=True)
        attempt.scratch.mkdir()
        if carry is not None and carry.scratch.is_dir():
            for source in sorted(carry.scratch.iterdir()):
                _carry(source, attempt.scratch / source.name)
    return attempt


def _carry(source: Path, target: Path) -> None:
    if source.name in (CHECKPOINT_FOLDER, KEPT) and source.is_dir() and not source.is_symlink():
        # Of a command, which may have left links, copied as links and never followed, or pipes,
        # which cannot be copied: the next attempt then starts afresh.
        try:
            shutil.copytree(source, target, symlinks=True)
        except shutil.Error:
            shutil.rmtree(target, ignore_errors=True)
        return
    if source.name.endswith(".partial") or not source.is_file():
        return
    if source.name == CHECKPOINT:
        # Checkpoints are replaced and never written in place, so a late writer of the old
        # attempt cannot reach the bytes behind the new name.
        try:
            os.link(source, target)
            return
        except OSError:
            pass
    shutil.copyfile(source, target)


def attempts_in(parent: Path) -> list[Attempt]:
    """Return the attempts below ``attempts/<fingerprint>/``, oldest first."""
    try:
        names = [name for name in os.listdir(parent) if name.isdigit()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [Attempt(parent / name) for name in sorted(names, key=int)]


def _mapping(value: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None
