"""What a controller tells the trackers: small records, one JSON line each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ablate.secrets import Masker


@dataclass(frozen=True)
class RunStarted:
    """A run of the study was planned or taken up again; appended before its first job's commit."""

    run: str
    """Key of the run, made by `run_key`."""
    cell: str
    seed: int
    params: Mapping[str, Any]
    """Resolved configuration by stage, nested as in the study file; flattened by the tracker."""
    levels: Mapping[str, str] = field(default_factory=dict)
    """The cell's level of every factor."""


@dataclass(frozen=True)
class JobCommitted:
    """A job's artifact exists, committed just now or found in the store."""

    stage: str
    fingerprint: str
    attempt: int
    artifact: str
    """Folder of the artifact, relative to the store."""
    manifest: str
    """Path of its manifest, relative to the store."""
    config: Mapping[str, Any]
    """Resolved configuration of the stage."""
    inputs: Mapping[str, str]
    """Fingerprints of the jobs it read from, by role."""
    used_by: tuple[str, ...]
    """Keys of the study's runs that use it; one makes it a child of that run."""
    seconds: float | None = None
    """Wall time of the committed attempt; None where it is not known."""


@dataclass(frozen=True)
class RunFinished:
    """Every job of a run is committed."""

    run: str


@dataclass(frozen=True)
class RunFailed:
    """A run cannot go on; it may still finish later, when the study is run again."""

    run: str
    stage: str
    kind: str
    """Class of the failure, such as ``out_of_memory``."""
    message: str


Event = RunStarted | JobCommitted | RunFinished | RunFailed
_CLASSES: dict[str, type[Event]] = {
    "run_started": RunStarted,
    "job_committed": JobCommitted,
    "run_finished": RunFinished,
    "run_failed": RunFailed,
}
_NAMES = {cls: name for name, cls in _CLASSES.items()}


@dataclass(frozen=True)
class Recorded:
    """An event and when it was appended, in milliseconds since the epoch."""

    time_ms: int
    event: Event


def run_key(cell: str, seed: int, fingerprints: Iterable[str]) -> str:
    """Return the key of a run: cell, seed, and a digest of all its jobs' fingerprints.

    An edited study keeps its cell names but computes something else, hence the digest: its runs
    are new ones and the old ones stay as they were.
    """
    digest = hashlib.sha256(" ".join(sorted(set(fingerprints))).encode()).hexdigest()[:12]
    return f"{cell}/{seed}/{digest}"


def subject(event: Event) -> str:
    """Return what the event is about; of several about one subject the last one holds."""
    match event:
        case JobCommitted():
            return f"job {event.fingerprint}"
        case RunStarted():
            return f"start {event.run}"
        case RunFinished() | RunFailed():
            return f"end {event.run}"


def masked(event: Event, masker: Masker) -> Event:
    """Return the event without secrets; what identifies a job stays."""
    kept = {"stage", "fingerprint", "kind", "artifact", "manifest"}
    fields = {name: value for name, value in vars(event).items() if name not in kept}
    clean = masker.tree(fields)
    if "used_by" in clean:
        clean["used_by"] = tuple(clean["used_by"])
    return replace(event, **clean)


def to_line(recorded: Recorded) -> str:
    """Return one line of JSON, newline included; raises ValueError for NaN and infinities."""
    return stamped(body(recorded.event), recorded.time_ms)


def body(event: Event) -> str:
    """Return an event's JSON without its time."""
    # Not asdict, which copies the whole configuration.
    fields = {"event": _NAMES[type(event)], **vars(event)}
    return json.dumps(fields, separators=(",", ":"), allow_nan=False)


def stamped(body: str, time_ms: int) -> str:
    """Return the line of an event's JSON; the time comes first, so that it can be cut off."""
    return f'{{"time_ms":{time_ms},{body[1:]}\n'


def from_line(line: str) -> Recorded | None:
    """Return the record of a line, or None for a torn one or an event of a newer version."""
    try:
        fields = json.loads(line)
        time_ms, cls = fields.pop("time_ms"), _CLASSES[fields.pop("event")]
        if cls is JobCommitted:
            fields["used_by"] = tuple(fields["used_by"])
        return Recorded(time_ms, cls(**fields))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
