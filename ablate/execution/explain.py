"""Why a job is as it is: its key, its attempts, what it waits for; reads files only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ablate.errors import SurroundingsError
from ablate.execution.status import StudyStatus, study_status
from ablate.plan.fingerprint import identity_of
from ablate.spec.stages import CONFIG_CLASSES
from ablate.store.attempts import Attempt
from ablate.store.files import read_json
from ablate.store.layout import Store


@dataclass(frozen=True)
class Try:
    """One attempt of a job."""

    number: int
    """From 1."""
    outcome: str
    """``ok``, a failure class, or ``running`` while nobody has said how it ended."""
    message: str
    """What was found; empty where nothing went wrong."""
    next: str
    """What was tried next, or why nothing was; empty where it is not known."""
    done: int | None
    """Steps that the job had taken, as far as it said so."""
    total: int | None
    """Of so many."""
    micro_batch: int | None
    """Examples per forward pass; None for a stage without micro-batches."""
    alone: bool
    """Whether it had its place to itself, after running out of memory."""
    engine: str
    """What ran it."""
    study: str
    """The study that asked for it."""
    started: float | None
    """Seconds since the epoch."""
    seconds: float | None
    """Duration; None while it runs."""
    log: Path
    """What it printed."""
    metrics: Path | None
    """Its step metrics; None where there are none, or where they became part of the artifact."""


@dataclass(frozen=True)
class Explained:
    """One job: what it is, where it stands and why."""

    stage: str
    fingerprint: str
    state: str
    """``done``, ``running``, ``waiting``, ``failed`` or ``skipped``."""
    reason: str
    """Why it is in that state, in a sentence."""
    config_class: str
    """Class of its configuration."""
    settings: Mapping[str, Any]
    """Fields that its key depends on and that differ from their defaults, the seed always."""
    inputs: Mapping[str, str]
    """``<stage>-<fingerprint>`` of what it reads, by role; the key depends on all of them."""
    attempts: tuple[Try, ...]
    """Oldest first."""
    waits_for: tuple[str, ...]
    """Inputs that are not there yet, as ``<stage>-<fingerprint>``."""
    roots: tuple[str, ...]
    """Failed jobs upstream for which it was skipped."""

    @property
    def name(self) -> str:
        """Return ``<stage>-<fingerprint>``."""
        return f"{self.stage}-{self.fingerprint}"


class Explainer:
    """Explains jobs of one stored study."""

    def __init__(self, store: Store, study: str) -> None:
        """Read the study's plan and its controller's last word.

        Raises SurroundingsError for a study that was never run in this store.
        """
        self._store = store
        self.status: StudyStatus = study_status(store, study)
        self._path = store.study(study) / "plan.json"
        self._jobs = _planned(read_json(self._path))
        self._failed = {row.fingerprint: row for row in self.status.failed}
        self._running = {row.fingerprint: row for row in self.status.running}
        self._states: dict[str, str] = {}

    def explain(self, fingerprint: str) -> Explained:
        """Return all that is known of a job of the study.

        Raises SurroundingsError for a job that the study's plan does not have, whole.
        """
        if fingerprint not in self._jobs:
            raise SurroundingsError(
                f"{self._path}: it says nothing of job {fingerprint}; it is damaged or of another "
                "version of the study. Mend it: ablate doctor --repair, or run the study again."
            )
        job = self._jobs[fingerprint]
        attempts = tuple(
            tried(attempt)
            for attempt in self._store.attempts(fingerprint)
            if attempt.request() is not None
        )
        missing = [name for name in job["inputs"].values() if self.state(name) != "done"]
        roots = self._roots(fingerprint)
        state = self.state(fingerprint)
        reasons = {
            "done": lambda: self._done(job),
            "running": lambda: self._runs(fingerprint),
            "failed": lambda: self._failure(fingerprint, attempts),
            "skipped": lambda: f"cannot start without {', '.join(map(self._name, roots))}",
            "waiting": lambda: self._waiting(missing, attempts),
        }
        return Explained(
            stage=job["stage"],
            fingerprint=fingerprint,
            state=state,
            reason=reasons[state](),
            config_class=job["config_class"],
            settings=_settings(job),
            inputs={role: self._name(name) for role, name in job["inputs"].items()},
            attempts=attempts,
            waits_for=tuple(map(self._name, missing)) if state == "waiting" else (),
            roots=tuple(map(self._name, roots)) if state == "skipped" else (),
        )

    def state(self, fingerprint: str) -> str:
        """Return where a job stands: by the store, then by the controller's last word."""
        if fingerprint not in self._states:
            self._states[fingerprint] = self._state(fingerprint)
        return self._states[fingerprint]

    def _state(self, fingerprint: str) -> str:
        job = self._jobs[fingerprint]
        if self._store.has(job["stage"], fingerprint):
            return "done"
        if self._store.records(job["stage"], fingerprint) is not None:
            return "done"
        if fingerprint in self._running and self.status.state not in ("ended", "interrupted"):
            return "running"
        attempts = self._store.attempts(fingerprint)
        verdict = (attempts[-1].verdict() or {}) if attempts else {}
        if fingerprint in self._failed or verdict.get("final"):
            return "failed"
        return "skipped" if self._roots(fingerprint) else "waiting"

    def _roots(self, fingerprint: str) -> list[str]:
        """Return the failed jobs for which a job cannot start, in the order of its inputs."""
        found: dict[str, None] = {}
        for name in self._jobs[fingerprint]["inputs"].values():
            if self.state(name) == "failed":
                found[name] = None
            elif self.state(name) == "skipped":
                found.update(dict.fromkeys(self._roots(name)))
        return list(found)

    def _name(self, fingerprint: str) -> str:
        return f"{self._jobs[fingerprint]['stage']}-{fingerprint}"

    def _done(self, job: Mapping[str, Any]) -> str:
        manifest = self._store.manifest(job["stage"], job["fingerprint"])
        if manifest is None:
            return "its records are kept, its weights were set aside since nothing needs them"
        if manifest.adopted is not None:
            return f"adopted from {manifest.adopted.get('path')}"
        when = datetime.fromtimestamp(manifest.ended).strftime("%Y-%m-%d %H:%M")
        other = "" if manifest.study == self.status.study else f" for study {manifest.study}"
        return (
            f"attempt {manifest.attempt} made it{other} by {when} on {manifest.engine}; as its key "
            "is the same, every run takes it from the store"
        )

    def _runs(self, fingerprint: str) -> str:
        row = self._running[fingerprint]
        step = f" at step {row.done:,} of {row.total:,}" if row.done and row.total else ""
        hung = "; it shows no progress" if row.hung else ""
        return f"attempt {row.attempt} runs{step}{hung}"

    def _failure(self, fingerprint: str, attempts: tuple[Try, ...]) -> str:
        row = self._failed.get(fingerprint)
        kind, message = (row.kind, row.message) if row else ("", "")
        if not row and attempts:
            kind, message = attempts[-1].outcome, attempts[-1].message
        return f"{kind}: {message}"

    def _waiting(self, missing: list[str], attempts: tuple[Try, ...]) -> str:
        if missing:
            named = ", ".join(f"{self._name(name)} ({self.state(name)})" for name in missing)
            return f"waits for {named}"
        ended = self.status.state in ("ended", "interrupted")
        before = ""
        if attempts:
            last = attempts[-1]
            said = "no last word" if last.outcome == "running" else last.outcome
            before = f" after attempt {last.number} ({said}{last.next and f'; {last.next}'})"
        if ended:
            why = f": {self.status.reason}" if self.status.reason else ""
            return f"no artifact has its key{before}; the next `ablate run` starts it{why}"
        return f"all it reads is there{before}; waits for a free place ({self.status.state})"


def _planned(record: Any) -> dict[str, Mapping[str, Any]]:
    """Return a plan's jobs by fingerprint, without those whose row, or an input's, is damaged."""
    rows = record.get("jobs") if isinstance(record, dict) else None
    found: dict[str, Mapping[str, Any]] = {}
    for row in rows if isinstance(rows, list) else []:  # Inputs come first.
        if isinstance(row, dict) and row.keys() >= {"fingerprint", "stage", "config_class"}:
            config, inputs = row.get("config"), row.get("inputs")
            if not isinstance(config, dict) or not isinstance(inputs, dict):
                continue
            if set(inputs.values()) <= found.keys():
                found[str(row["fingerprint"])] = row
    return found


def tried(attempt: Attempt) -> Try:
    """Return what is known of one attempt."""
    request, ended = attempt.request() or {}, attempt.exit() or {}
    verdict = attempt.verdict()
    failure = verdict or ended.get("failure") or {}
    progress = ended.get("progress") or attempt.heartbeat().get("progress") or {}
    config = request.get("config") or {}
    size = None
    if "micro_batch_size" in config:
        size = config["micro_batch_size"] or config.get("batch_size")
    started = ended.get("started") or _moment(attempt.folder / "request.json")
    over = ended.get("ended") or _moment(attempt.folder / "verdict.json")
    return Try(
        number=attempt.number,
        outcome=str(failure.get("kind") or ended.get("status") or "running"),
        message=str(failure.get("message", "")),
        next=str(failure.get("next", "")),
        done=progress.get("done"),
        total=progress.get("total"),
        micro_batch=size,
        alone=bool((request.get("resources") or {}).get("alone")),
        engine=str(request.get("engine", "")),
        study=str(request.get("study", "")),
        started=started,
        seconds=ended.get("wall_seconds")
        or (None if over is None or started is None else max(0.0, over - started)),
        log=attempt.log,
        metrics=attempt.metrics if attempt.metrics.exists() else None,
    )


def _moment(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _settings(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that make a job's key what it is."""
    given: dict[str, Any] = dict(job["config"])
    cls = CONFIG_CLASSES.get(job["config_class"])
    try:
        config = cls.model_validate(given) if cls is not None else None
    except ValidationError:  # Another version of the program wrote it.
        config = None
    if config is None:
        return given
    fields = type(config).model_fields
    return {
        name: given[name]
        for name in identity_of(config)
        if name == "seed" or getattr(config, name) != fields[name].default
    }
