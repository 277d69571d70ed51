"""What the studies of a store need: every job of every stored plan, and what reports show."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.errors import SurroundingsError
from ablate.store.files import read_json, write_json
from ablate.store.layout import Store
from ablate.store.locks import Lock
from ablate.store.privacy import NAME, make_private
from ablate.store.processes import is_alive, process_id

PLAN = "plan.json"
RUNS = "runs.json"
"""As `ablate.plan.record` calls it."""


@dataclass(frozen=True)
class StoredJob:
    """A job as a stored plan names it."""

    stage: str
    fingerprint: str
    inputs: tuple[str, ...] = ()
    """Fingerprints."""


@dataclass(frozen=True)
class StoredStudy:
    """A study of the store, and whether somebody runs it now."""

    name: str
    jobs: Mapping[str, StoredJob] = field(default_factory=dict)
    """By fingerprint, inputs first."""
    running: bool = False
    """A controller lives, or nobody can tell that it does not."""


def stored_studies(store: Store) -> list[StoredStudy]:
    """Return every study of a store, sorted by name.

    Raises SurroundingsError where a plan is there and cannot be read: what it needs is not known.
    """
    folder = store.root / "studies"
    found = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return [StoredStudy(path.name, study_jobs(path), is_running(path)) for path in found]


def study_jobs(folder: Path) -> dict[str, StoredJob]:
    """Return the jobs of a study's plan and of its runs; none where it never ran.

    Raises SurroundingsError where one of the records is there and cannot be read.
    """
    jobs: dict[str, StoredJob] = {}
    for name in (PLAN, RUNS):
        path = folder / name
        if not path.exists():
            continue
        record = read_json(path)
        rows = record.get("jobs") if isinstance(record, dict) else None
        if not isinstance(rows, list):
            raise SurroundingsError(
                f"{path}: the plan of study {folder.name} cannot be read, so what it needs is not "
                "known. Mend it: ablate doctor --repair."
            )
        grown = record.get("grown", []) if name == PLAN else []
        for job in _jobs([*rows, *(grown if isinstance(grown, list) else [])]):
            jobs.setdefault(job.fingerprint, job)
    return jobs


def _jobs(rows: Iterable[Any]) -> Iterator[StoredJob]:
    for row in rows:
        if isinstance(row, dict) and isinstance(row.get("fingerprint"), str):
            inputs = row.get("inputs")
            names = inputs.values() if isinstance(inputs, dict) else ()
            upstream = tuple(name for name in names if isinstance(name, str))
            yield StoredJob(str(row.get("stage")), row["fingerprint"], upstream)


def is_running(folder: Path) -> bool:
    """Tell whether a controller may run the study now; asked while the store is held.

    One on another machine, whose lock may not be seen here, is believed until it says that it has
    ended.
    """
    lease = Lock(folder / "lease")
    if lease.is_held():
        return True
    process, status = process_id(lease.holder()), read_json(folder / "status.json")
    ended = isinstance(status, dict) and status.get("state") == "ended"
    return process is not None and is_alive(process) is None and not ended


def merge_grown(folder: Path, record: dict[str, Any], *, base: Iterable[str]) -> dict[str, Any]:
    """Return a plan's record with the jobs that earlier runs of the same plan grew by.

    A study that starts anew knows only what its file asks for until it has read its results again;
    what had grown is needed meanwhile. ``base`` are the fingerprints of the file's own jobs.
    """
    digest = hashlib.sha256("\n".join(sorted(base)).encode()).hexdigest()[:16]
    former = read_json(folder / PLAN)
    known = {job["fingerprint"] for job in record["jobs"]}
    grown = []
    if isinstance(former, dict) and former.get("base") == digest:
        rows = [*former.get("jobs", []), *former.get("grown", [])]
        grown = [row for row in rows if row.get("fingerprint") not in known]
    return {**record, "base": digest, "grown": grown}


def pin(store: Store, report: Path, fingerprints: Iterable[str]) -> None:
    """Keep what a report shows for as long as its page exists; a later page takes its place."""
    folder = store.root / "pins"
    page = str(report.absolute())
    name = hashlib.sha256(page.encode()).hexdigest()[:16]
    make_private(folder)
    document = {"report": page, "jobs": sorted(set(fingerprints))}
    write_json(folder / f"{name}.json", document, durable=False)


def pinned(store: Store) -> dict[str, str]:
    """Return the page that shows a job, by fingerprint, of every report that still exists."""
    found: dict[str, str] = {}
    folder = store.root / "pins"
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        record = read_json(path)
        if not isinstance(record, dict) or not isinstance(record.get("jobs"), list):
            continue
        page = str(record.get("report"))
        if Path(page).exists():
            found |= {str(name): page for name in record["jobs"]}
    return found


def folders(root: Path) -> Iterator[Path]:
    """Yield ``<root>/<stage>/<fingerprint>`` folders, sorted; names that are none of ours are not.

    Links are yielded too: whoever looks decides about them.
    """
    for stage in sorted(root.iterdir()) if root.is_dir() else ():
        if NAME.fullmatch(stage.name) and stage.is_dir() and not stage.is_symlink():
            yield from (path for path in sorted(stage.iterdir()) if NAME.fullmatch(path.name))
