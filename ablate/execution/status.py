"""What can be read about a study without touching it: works for any reader, at any time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.errors import SurroundingsError, nearest
from ablate.store.attempts import Attempt
from ablate.store.files import read_json, surroundings
from ablate.store.layout import Store
from ablate.store.processes import is_alive, process_id


@dataclass(frozen=True)
class StageRow:
    """Jobs of one stage, by state."""

    stage: str
    waiting: int = 0
    running: int = 0
    cached: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class RunningRow:
    """A job that runs now."""

    stage: str
    fingerprint: str
    attempt: int
    seconds: float
    """Since it was handed to the engine, when the status was written."""
    done: int | None
    """In the job's own steps; None before it says so."""
    total: int | None
    """In the job's own steps; None before it says so."""
    hung: bool
    """Its process exists but shows no sign of life."""
    stopping: bool = False
    """It was told to stop after its next checkpoint."""
    first_fraction: float = 0.0
    """Share done when the attempt first said how far it was."""
    first_seconds: float = 0.0
    """When that was, since it was handed to the engine."""
    tokens_per_second: float | None = None
    """As it says itself; None where it does not."""


@dataclass(frozen=True)
class FailedRow:
    """A job that was given up."""

    stage: str
    fingerprint: str
    kind: str
    message: str
    log: Path | None
    """Log of the last attempt; None where there was none."""


@dataclass(frozen=True)
class Settings:
    """What a user has set while the study runs."""

    paused: bool = False
    """Nothing new is started."""
    slots: int | None = None
    """Jobs at a time, where a user changed it."""
    until: float | None = None
    """Deadline in seconds since the epoch; None without one."""
    budget_seconds: float | None = None
    """Of accelerators, or of slots where there is none; None without a budget."""
    priorities: Mapping[str, int] = field(default_factory=dict)
    """By fingerprint, where it is not 0."""


@dataclass(frozen=True)
class JobDetail:
    """Single jobs as the controller last knew them, by fingerprint."""

    took: Mapping[str, float]
    """Seconds of every job whose artifact exists."""
    cached: frozenset[str]
    """Those of `took` that were there already."""
    skipped: Mapping[str, str]
    """Why jobs were skipped."""


@dataclass(frozen=True)
class StudyStatus:
    """The last word of a study's controller, and whether that controller still lives."""

    study: str
    state: str
    """``running``, ``draining``, ``stopping``, ``ended``, or ``interrupted``: the controller died
    without a last word."""
    reason: str
    """Why it stops or stopped; empty if nothing stopped it."""
    started: float
    """Seconds since the epoch."""
    updated: float
    """Seconds since the epoch."""
    holder: Mapping[str, Any]
    """Process, host and time of the present or last controller."""
    stages: tuple[StageRow, ...]
    running: tuple[RunningRow, ...]
    failed: tuple[FailedRow, ...]
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True)
class StageTimings:
    """Where the time of one stage's committed jobs went, in seconds over all of them."""

    stage: str
    jobs: int
    wall_seconds: float
    """Duration of the attempts that were committed."""
    rollout_seconds: float
    """Sampling."""
    scoring_seconds: float
    """Rewards and log-probabilities."""
    update_seconds: float
    """Optimizer steps."""
    other: Mapping[str, float] = field(default_factory=dict)
    """Further activities that stages timed."""
    counts: Mapping[str, float] = field(default_factory=dict)
    """Budgets spent, such as generated tokens."""


@dataclass(frozen=True)
class JobLog:
    """One attempt of a job, for reading its log."""

    stage: str
    fingerprint: str
    attempt: int
    state: str
    """``ok``, a failure class, or ``running`` while it has not said how it ended."""
    log: Path


def study_names(store: Store) -> list[str]:
    """Return the studies that were ever run in ``store``, sorted.

    Raises SurroundingsError for a store that this user may not read.
    """
    folder = store.root / "studies"
    with surroundings(folder):
        found = folder.iterdir() if folder.is_dir() else iter(())
        return sorted(path.name for path in found if (path / "plan.json").exists())


def study_status(store: Store, study: str) -> StudyStatus:
    """Return where a study stands.

    Raises SurroundingsError for a study that was never run in this store.
    """
    return study_view(store, study)[0]


def study_view(store: Store, study: str) -> tuple[StudyStatus, JobDetail]:
    """Return where a study stands, with every job, from one reading of one file.

    Raises SurroundingsError for a study that was never run in this store.
    """
    folder = _folder(store, study)
    with surroundings(folder):
        record = _mapping(read_json(folder / "status.json"))
        holder = _mapping(read_json(folder / "lease"))
    try:
        return _status(store, study, record, holder=holder), _detail(record)
    except (AttributeError, KeyError, TypeError, ValueError):  # A damaged record says nothing.
        return _status(store, study, {}, holder=holder), _detail({})


def _detail(record: Mapping[str, Any]) -> JobDetail:
    return JobDetail(
        took={str(name): float(seconds) for name, seconds in record.get("took", {}).items()},
        cached=frozenset(record.get("cached", [])),
        skipped=dict(record.get("skipped", {})),
    )


def _status(
    store: Store, study: str, record: Mapping[str, Any], *, holder: Mapping[str, Any]
) -> StudyStatus:
    state = str(record.get("state", "running"))
    if (
        state == "ended"
        and _lives(holder)
        and holder.get("since", 0.0) > record.get("updated", 0.0)
    ):
        state, record = "running", {}  # the next controller has not yet said a word
    if state != "ended" and not _lives(holder):
        state = "interrupted"
    stages = record.get("stages", {})
    names = set(StageRow.__dataclass_fields__)
    return StudyStatus(
        study=study,
        state=state,
        reason=str(record.get("reason", "")),
        started=float(record.get("started", 0.0)),
        updated=float(record.get("updated", 0.0)),
        holder=holder,
        stages=tuple(
            StageRow(stage=stage, **{key: row[key] for key in row.keys() & names})
            for stage, row in stages.items()
        ),
        running=tuple(_running(row) for row in record.get("running", [])),
        failed=tuple(_failed(store, row) for row in record.get("failed", [])),
        settings=_settings(_mapping(record.get("settings"))),
    )


def _settings(record: Mapping[str, Any]) -> Settings:
    return Settings(**{key: record[key] for key in record.keys() & set(Settings.__annotations__)})


def stage_timings(store: Store, study: str) -> list[StageTimings]:
    """Return the time spent by stage, in the plan's order; stages without a commit are left out.

    Shared jobs count fully, whichever study ran them.
    """
    totals: dict[str, dict[str, float]] = {}
    counts: dict[str, dict[str, float]] = {}
    for stage, fingerprint in _jobs(store, study):
        manifest = store.manifest(stage, fingerprint)
        if manifest is None:
            continue
        spent = {"jobs": 1.0, "wall": manifest.wall_seconds, **manifest.timings}
        _add(totals.setdefault(stage, {}), spent)
        _add(counts.setdefault(stage, {}), manifest.counts)
    return [_timings(stage, dict(total), counts=counts[stage]) for stage, total in totals.items()]


def job_logs(store: Store, study: str, job: str = "") -> list[JobLog]:
    """Return every attempt of the study's jobs whose stage or fingerprint starts with ``job``.

    ``<stage>-<fingerprint>`` is understood too. Raises SurroundingsError where no job matches.
    """
    names = {f"{stage}-{found}": (stage, found) for stage, found in _jobs(store, study)}
    chosen = [
        pair for name, pair in names.items() if name.startswith(job) or pair[1].startswith(job)
    ]
    if not chosen:
        hint = nearest(job, names)
        raise SurroundingsError(f"study {study}: no job {job!r}.{hint} See `ablate plan`.")
    return [
        JobLog(stage, found, attempt.number, _state(attempt), attempt.log)
        for stage, found in chosen
        for attempt in store.attempts(found)
        if attempt.request() is not None
    ]


def _folder(store: Store, study: str) -> Path:
    folder = store.study(study)
    if not (folder / "plan.json").exists():
        hint = nearest(study, study_names(store))
        raise SurroundingsError(f"{store.root}: study {study!r} was never run here.{hint}")
    return folder


def _jobs(store: Store, study: str) -> Iterator[tuple[str, str]]:
    plan = _mapping(read_json(_folder(store, study) / "plan.json"))
    jobs = plan.get("jobs")
    for job in map(_mapping, jobs if isinstance(jobs, list) else []):
        if isinstance(job.get("stage"), str) and isinstance(job.get("fingerprint"), str):
            yield job["stage"], job["fingerprint"]


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _lives(holder: Mapping[str, Any]) -> bool:
    """Tell whether a controller lives; one on another machine is believed to."""
    process = process_id(holder)
    return process is not None and is_alive(process) is not False


def _running(row: Mapping[str, Any]) -> RunningRow:
    progress, first = row["progress"], row.get("first", {})
    return RunningRow(
        stage=row["stage"],
        fingerprint=row["fingerprint"],
        attempt=row["attempt"],
        seconds=row["seconds"],
        done=progress.get("done"),
        total=progress.get("total"),
        hung=row["hung"],
        stopping=bool(row.get("stopping")),
        first_fraction=float(first.get("fraction", 0.0)),
        first_seconds=float(first.get("seconds", 0.0)),
        tokens_per_second=progress.get("tokens_per_second"),
    )


def _failed(store: Store, row: Mapping[str, Any]) -> FailedRow:
    attempts = store.attempts(row["fingerprint"])
    log = attempts[-1].log if attempts else None
    return FailedRow(row["stage"], row["fingerprint"], row["kind"], row["message"], log)


def _timings(stage: str, total: dict[str, float], *, counts: dict[str, float]) -> StageTimings:
    return StageTimings(
        stage=stage,
        jobs=int(total.pop("jobs")),
        wall_seconds=total.pop("wall"),
        rollout_seconds=total.pop("rollout", 0.0),
        scoring_seconds=total.pop("scoring", 0.0),
        update_seconds=total.pop("update", 0.0),
        other=total,
        counts=counts,
    )


def _add(total: dict[str, float], amounts: Mapping[str, float]) -> None:
    for name, amount in amounts.items():
        total[name] = total.get(name, 0.0) + amount


def _state(attempt: Attempt) -> str:
    judged, record = attempt.verdict(), attempt.exit()
    if judged is not None:
        return str(judged.get("kind"))
    return "running" if record is None else str(record.get("status"))
