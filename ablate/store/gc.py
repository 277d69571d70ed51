"""What of a store nobody needs any more, and how it goes to the trash.

An artifact lives while the plan of any stored study names it, while a report that exists shows it,
while a study runs in whose name it was made, or where it was adopted and cannot be made again.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from ablate.errors import SurroundingsError, nearest
from ablate.store.attempts import Attempt
from ablate.store.layout import Store
from ablate.store.locks import Lock
from ablate.store.manifest import Manifest, read_manifest
from ablate.store.processes import is_alive
from ablate.store.pruned import weights_of, write_pruned
from ablate.store.reach import StoredStudy, folders, is_running, pinned, stored_studies
from ablate.store.trash import Trash, TrashEntry
from ablate.store.usage import Seen, disk_usage

STALE_SECONDS = 3600.0
"""Without a heartbeat of another machine's process, which cannot be asked; a beat takes seconds."""


@dataclass(frozen=True)
class GcOptions:
    """What goes beyond what nobody reaches."""

    studies: tuple[str, ...] = ()
    """Only what was made in the name of these; empty takes all."""
    keep: tuple[str, ...] = ()
    """Starts of fingerprints or of ``stage-fingerprint`` that stay in any case."""
    remove: tuple[str, ...] = ()
    """Studies that go themselves."""
    drop_weights: tuple[str, ...] = ()
    """Stages whose weights go, where no job that must still run reads them; records stay."""
    drop_scratch: bool = False
    """Whether failed jobs lose the checkpoints that they would go on from."""


@dataclass(frozen=True)
class Item:
    """One folder that goes."""

    kind: str
    """``artifact``, ``weights``, ``records``, ``attempts``, ``scratch`` or ``study``."""
    path: Path
    stage: str
    """Of the job; empty where that is not known."""
    name: str
    """Fingerprint, attempt or study."""
    study: str
    """In whose name it was made; empty where that is not known."""
    bytes: int
    """Of disk that emptying the trash will free."""
    why: str
    """Reason, as a clause."""


@dataclass(frozen=True)
class Kept:
    """What stays, by reason."""

    why: str
    count: int
    bytes: int


@dataclass(frozen=True)
class Findings:
    """What `collect` found."""

    items: tuple[Item, ...]
    kept: tuple[Kept, ...]
    trash_bytes: int
    """What is in the trash already."""


class _Look:
    """One look at a store, everything read once."""

    def __init__(self, store: Store, options: GcOptions) -> None:
        self.store, self.options = store, options
        self.seen: Seen = set()
        self.studies = [s for s in stored_studies(store) if s.name not in options.remove]
        self.pins = pinned(store)
        self.kept: dict[str, list[int]] = {}
        self.running = {study.name for study in self.studies if study.running}
        self.reach: dict[str, str] = {}
        for study in self.studies:
            self.reach |= dict.fromkeys(study.jobs.keys() - self.reach.keys(), study.name)

    def reason(self, stage: str, name: str, manifest: Manifest | None) -> str | None:
        """Return why an artifact stays; None where it goes."""
        if self.options.studies and (
            manifest is None or manifest.study not in self.options.studies
        ):
            return "of another study"
        if any(f"{stage}-{name}".startswith(k) or name.startswith(k) for k in self.options.keep):
            return "asked to stay"
        if name in self.reach:
            return "in the plan of a study"
        if name in self.pins:
            return "shown by a report"
        if manifest is not None and manifest.adopted is not None:
            return "adopted"
        if manifest is not None and manifest.study in self.running:
            return "of a study that runs now"
        return None

    def keep(self, why: str, size: int) -> None:
        self.kept.setdefault(why, []).append(size)


def collect(store: Store, options: GcOptions) -> Findings:
    """Return what would go and what stays; nothing is changed.

    Raises SurroundingsError where a stored plan cannot be read, a study is not known, or one to
    remove still runs.
    """
    with store.guard():
        return _collect(store, options)


def _collect(store: Store, options: GcOptions) -> Findings:
    _check(store, options)
    look = _Look(store, options)
    items = [*_removed(look), *_artifacts(look), *_records(look), *_attempts(look)]
    kept = tuple(Kept(why, len(sizes), sum(sizes)) for why, sizes in sorted(look.kept.items()))
    return Findings(tuple(items), kept, disk_usage(Trash(store.root).folder))


def sweep(store: Store, options: GcOptions) -> tuple[Findings, list[TrashEntry]]:
    """Move what nobody needs to the trash; return what was found and what went.

    No plan is written meanwhile, so nothing goes that a study has just begun to rely on.
    """
    batch = f"gc-{time.time_ns()}"
    with store.guard():
        found = _collect(store, options)
        went = [entry for item in found.items if (entry := _set_aside(store, item, batch))]
    return found, went


def undo(store: Store, which: str = "") -> tuple[list[TrashEntry], list[str]]:
    """Move things back: those of the last `sweep`, or of the entry or sweep named.

    Returns what went back, and why others could not. Raises SurroundingsError for a name that the
    trash does not have.
    """
    trash = Trash(store.root)
    entries = trash.entries()
    batches = [entry.batch for entry in entries if entry.batch]
    wanted = which or (batches[-1] if batches else "")
    chosen = [entry for entry in entries if wanted and wanted in (entry.id, entry.batch)]
    if not chosen:
        hint = nearest(wanted, {*batches, *(entry.id for entry in entries)}) if wanted else ""
        found = f"{which!r} is not in the trash.{hint}" if which else "nothing was set aside."
        raise SurroundingsError(f"{trash.folder}: {found} See `ablate gc --trash`.")
    back, problems = [], []
    with store.guard():
        # Last first: a study's folder before what was moved on account of its absence.
        for entry in reversed(chosen):
            try:
                _put_back(store, trash, entry)
                back.append(entry)
            except SurroundingsError as error:
                problems.append(str(error))
    return back, problems


def _put_back(store: Store, trash: Trash, entry: TrashEntry) -> None:
    place = trash.restore(entry)
    records = store.root / "pruned" / place.parent.name / place.name
    if place.parent.parent == store.root / "artifacts" and records.exists():
        trash.delete([trash.put(records)])


def empty(store: Store, *, older_seconds: float = 0.0) -> list[TrashEntry]:
    """Delete what has been in the trash for at least so long, for good; return what is gone."""
    trash = Trash(store.root)
    now = time.time()
    # A clock that was set back makes entries of the future; those are new.
    old = [e for e in trash.entries() if not older_seconds or now - e.when >= older_seconds]
    return trash.delete(old)


def _check(store: Store, options: GcOptions) -> None:
    names = {path.name for path in (store.root / "studies").glob("*")}
    for name in options.remove:
        if name not in names:
            raise SurroundingsError(
                f"{store.root}: no study {name!r} is stored.{nearest(name, names)}"
            )
        if is_running(store.study(name)):
            raise SurroundingsError(
                f"study {name}: a controller runs it. Stop it first, or wait for its end."
            )


def _removed(look: _Look) -> Iterator[Item]:
    for name in look.options.remove:
        path = look.store.study(name)
        yield Item("study", path, "", name, name, disk_usage(path, look.seen), "asked to go")


def _artifacts(look: _Look) -> Iterator[Item]:
    unread = _unread(look) if look.options.drop_weights else set()
    for path in folders(look.store.root / "artifacts"):
        stage, name = path.parent.name, path.name
        manifest = None if path.is_symlink() else read_manifest(path)
        why = look.reason(stage, name, manifest)
        size = disk_usage(path, look.seen)
        study = manifest.study if manifest is not None else ""
        if why is None:
            yield Item("artifact", path, stage, name, study, size, "no plan or report names it")
        elif _can_drop(look, manifest, unread=unread, why=why):
            yield Item("weights", path, stage, name, study, size, "asked to go; its records stay")
        else:
            look.keep(why, size)


def _can_drop(look: _Look, manifest: Manifest | None, *, unread: set[str], why: str) -> bool:
    return (
        manifest is not None
        and manifest.stage in look.options.drop_weights
        and manifest.fingerprint in unread
        and why in ("in the plan of a study", "shown by a report")
        and manifest.adopted is None
        and bool(weights_of(manifest))
    )


def _unread(look: _Look) -> set[str]:
    """Return the jobs that no job which must still run reads, in no study, and none that runs."""
    everything = {name for study in look.studies for name in study.jobs}
    needed: set[str] = set()
    for study in look.studies:
        needed |= set(study.jobs) if study.running else _needed(look.store, study)
    return (everything | look.pins.keys()) - needed


def _needed(store: Store, study: StoredStudy) -> set[str]:
    needed: set[str] = set()
    for name, job in reversed(list(study.jobs.items())):
        there = store.records(job.stage, name) is not None
        if not there or (name in needed and not store.has(job.stage, name)):
            needed.update(job.inputs)
    return needed


def _records(look: _Look) -> Iterator[Item]:
    """Yield records of dropped weights that nobody reaches, or that stand beside the artifact."""
    for path in folders(look.store.root / "pruned"):
        stage, name = path.parent.name, path.name
        size = disk_usage(path, look.seen)
        manifest = read_manifest(path)
        study = manifest.study if manifest is not None else ""
        why = look.reason(stage, name, manifest)
        if look.store.has(stage, name):
            yield Item("records", path, stage, name, study, size, "the artifact is there again")
        elif why is None:
            yield Item("records", path, stage, name, study, size, "no plan or report names it")
        else:
            look.keep(why, size)


def _attempts(look: _Look) -> Iterator[Item]:
    """Yield what attempts left: all of it for a job nobody reaches, else bulk that is of no use."""
    root = look.store.root / "attempts"
    committed = {path.name for path in folders(look.store.root / "artifacts")}
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if not path.is_dir() or path.is_symlink():
            continue
        attempts = look.store.attempts(path.name)
        request = (attempts[-1].request() if attempts else None) or {}
        stage, study = str(request.get("stage", "")), str(request.get("study", ""))
        why = _why_attempts_stay(look, attempts, committed=committed, study=study, name=path.name)
        if why is None:
            size = disk_usage(path, look.seen)
            text = "no plan or report names the job"
            yield Item("attempts", path, stage, path.name, study, size, text)
            continue
        spare = list(_spare_bulk(look, attempts, committed=path.name in committed))
        yield from (Item(*fields) for fields in spare)
        look.keep(why, disk_usage(path, look.seen))


def _why_attempts_stay(
    look: _Look, attempts: list[Attempt], *, committed: Collection[str], study: str, name: str
) -> str | None:
    if look.options.studies and study not in look.options.studies:
        return "of another study"
    if name in look.reach or study in look.running:
        return "in the plan of a study"
    if name in committed and name in look.pins:
        return "log of an artifact that stays"
    return "a process may still write there" if any(map(_may_run, attempts)) else None


def _may_run(attempt: Attempt) -> bool:
    """Tell whether an attempt's process lives; of another machine, whether it beat in an hour."""
    process = attempt.process()
    alive = False if process is None or attempt.exit() is not None else is_alive(process)
    if alive is not None:
        return alive
    try:
        return time.time() - attempt.heartbeat_file.stat().st_mtime < STALE_SECONDS
    except OSError:
        return False


def _spare_bulk(
    look: _Look, attempts: list[Attempt], *, committed: bool
) -> Iterator[tuple[str, Path, str, str, str, int, str]]:
    for attempt in attempts:
        is_last = attempt is attempts[-1]
        failed = attempt.verdict() is not None
        if is_last and not committed and not (failed and look.options.drop_scratch):
            continue
        request = attempt.request() or {}
        why = "left by a job that is done" if committed else "checkpoints of a failed attempt"
        for folder in (attempt.work, attempt.scratch):
            # An empty one is one block that is not worth a line.
            if folder.is_dir() and any(folder.iterdir()):
                size = disk_usage(folder, look.seen)
                of = (str(request.get("stage", "")), attempt.name, str(request.get("study", "")))
                yield ("scratch", folder, *of, size, why)


def _set_aside(store: Store, item: Item, batch: str) -> TrashEntry | None:
    """Move one thing to the trash; None where somebody holds it or it is gone."""
    claim: Lock | None = None
    if item.kind in ("attempts", "scratch", "artifact", "weights"):
        fingerprint = item.name.partition("/")[0]
        if store.job(fingerprint).is_dir():
            claim = Lock(store.job(fingerprint) / "claim")
            if not claim.acquire(purpose="gc"):
                return None
    try:
        if item.kind == "weights":
            manifest = store.intact(item.stage, item.name)
            if manifest is None:
                return None
            write_pruned(item.path, store.pruned(item.stage, item.name), manifest)
        if not item.path.exists():
            return None
        return Trash(store.root).put(item.path, why=item.why, batch=batch)
    finally:
        if claim is not None:
            claim.release()
