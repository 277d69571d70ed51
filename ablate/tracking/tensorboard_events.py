"""What each event becomes in TensorBoard.

Below ``tensorboard/<study>`` a run of the study is ``<cell>/seed-<n>-<digest>``, a session of the
HParams tab: configuration, final scores, how it ended. Step metrics of a job that only this run
uses are in the folder ``<stage>-<fingerprint>`` there, of a shared one in ``shared/``.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ablate.tracking import tensorboard_files as files
from ablate.tracking.events import JobCommitted, Recorded, RunFailed, RunFinished, RunStarted
from ablate.tracking.flatten import final_scores, leaves, steps

logger = logging.getLogger(__name__)

SHARED = "shared"
MOST_VALUES = 50
"""Different values of a setting beyond which the HParams tab's filter lists none."""


class TensorboardDestination:
    """One study's folder of event files."""

    def __init__(self, store: Path, study: str, address: str = "") -> None:
        """Take the folder; every file in it was written whole."""
        self._store = store
        self._root = store / "tensorboard" / study
        self._root.mkdir(parents=True, exist_ok=True)
        self._values: dict[str, dict[Any, None]] = {}
        self._runs: dict[str, None] = {}
        self._metrics: dict[str, None] = {}
        self._first_ms: int | None = None

    def remember(self, recorded: Recorded) -> None:
        """Learn what the HParams tab has to list."""
        match recorded.event:
            case RunStarted() as event:
                self._learn(event, recorded.time_ms)
            case JobCommitted() as event:
                self._metrics.update(dict.fromkeys(self._scores(event)))

    def deliver(self, recorded: Recorded) -> None:
        """Write the event's files where they are missing."""
        event, at = recorded.event, recorded.time_ms
        match event:
            case RunStarted():
                self._learn(event, at)
                self._start(event, at)
            case JobCommitted():
                self._commit(event, at)
            case RunFinished():
                ended = files.session_end(good=True, time_ms=at)
                files.write(self._folder(event.run), "end", time_ms=at, content=[(0, ended)])
            case RunFailed():
                why = files.text("ablate/failure", f"{event.stage}: {event.kind}: {event.message}")
                ended = [(0, files.session_end(good=False, time_ms=at)), (0, why)]
                files.write(self._folder(event.run), "end", time_ms=at, content=ended)

    def flush(self) -> None:
        """Write which settings differ and which scores there are, for the HParams tab."""
        if self._first_ms is None:
            return
        differing = {name: values for name, values in self._values.items() if self._differs(name)}
        shown = {name: v if len(v) <= MOST_VALUES else {} for name, v in sorted(differing.items())}
        content = [(0, files.experiment(shown, sorted(self._metrics)))]
        files.write(self._root, "experiment", time_ms=self._first_ms, content=content)

    def close(self) -> None:
        """Do nothing: no file is left open."""

    def _learn(self, event: RunStarted, at: int) -> None:
        self._first_ms = at if self._first_ms is None else min(at, self._first_ms)
        if event.run in self._runs:
            return
        self._runs[event.run] = None
        for name, value in _hparams(event).items():
            self._values.setdefault(name, {})[value] = None

    def _differs(self, name: str) -> bool:
        return name.startswith("factor.") or len(self._values[name]) > 1

    def _start(self, event: RunStarted, at: int) -> None:
        folder = self._folder(event.run)
        if files.find(folder, "start") is None:
            begun = files.session_start(event.cell, _hparams(event), time_ms=at)
            files.write(folder, "start", time_ms=at, content=[(0, begun)])

    def _commit(self, event: JobCommitted, at: int) -> None:
        name = f"{event.stage}-{event.fingerprint[:8]}"
        users = [self._folder(run) for run in event.used_by]
        own = users[0] if len(users) == 1 else self._root / SHARED
        if own not in users:
            for user in users:  # It was one run's own until another came to use it.
                shutil.rmtree(user / name, ignore_errors=True)
        if not (self._store / event.artifact).is_dir():
            logger.warning("artifact %s is gone; its metrics are not written", event.artifact)
            gone = files.text("ablate/artifact_missing", event.artifact)
            if files.find(own / name, "job") is None:
                files.write(own / name, "missing", time_ms=at, content=[(0, gone)])
            return
        if files.find(own / name, "job") is None:
            files.write(own / name, "job", time_ms=at, content=self._job(event))
            if (marked := files.find(own / name, "missing")) is not None:
                marked.unlink()
        if scores := self._scores(event):
            self._metrics.update(dict.fromkeys(scores))
            for user in users:
                if files.find(user, name) is None:
                    files.write(user, name, time_ms=at, content=[(0, files.scalars(scores))])

    def _job(self, event: JobCommitted) -> Iterator[tuple[int, files.Summary]]:
        facts = {"artifact": event.artifact, "attempt": event.attempt, "inputs": event.inputs}
        content = json.dumps({**facts, "config": event.config}, indent=2)
        yield 0, files.text("ablate/job", f"```json\n{content}\n```")
        for step, values in steps(self._store / event.artifact / "metrics.jsonl"):
            yield step, files.scalars(values)

    def _scores(self, event: JobCommitted) -> dict[str, float]:
        path = self._store / event.artifact / "scores.json"
        return {name: value for _, name, value in final_scores(path, event.stage)}

    def _folder(self, run: str) -> Path:
        cell, seed, digest = run.rsplit("/", 2)
        return self._root / files.folder_name(cell) / f"seed-{seed}-{digest[:6]}"


def _hparams(event: RunStarted) -> dict[str, Any]:
    """Return levels and configuration by dotted name; seeds, which differ in a group, are out."""
    levels = {f"factor.{name}": level for name, level in event.levels.items()}
    found = leaves({**levels, **event.params})
    plain = {name: v for name, v in found.items() if name.rpartition(".")[2] != "seed"}
    return {name: v if isinstance(v, bool | int | float) else _text(v) for name, v in plain.items()}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "none" if value is None else json.dumps(value)
