"""Look a store over: artifacts, attempts, processes and records, each against the files."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ablate.store.attempts import Attempt
from ablate.store.commit import described
from ablate.store.files import read_json
from ablate.store.findings import Finding, Severity
from ablate.store.layout import Store
from ablate.store.locks import Lock
from ablate.store.manifest import Manifest, damage, read_manifest
from ablate.store.privacy import NAME
from ablate.store.processes import is_alive, kill_session
from ablate.store.pruned import pruned_damage
from ablate.store.reach import PLAN, RUNS, folders, is_running
from ablate.store.room import room
from ablate.store.trash import Trash
from ablate.store.usage import disk_usage

FUTURE_SECONDS = 60.0
"""Two machines that share a store may differ by this much without anyone's harm."""
STATUS = "status.json"
DEPENDENT = ("local", "torchrun")
"""Engines whose jobs end with whoever started them; those of others are found again by name."""


def examine(store: Store, *, hashes: bool = False) -> Iterator[Finding]:
    """Yield everything that is wrong with a store, and what is worth knowing of it.

    Nothing is changed before a finding is repaired; each can be, at once or later, beside studies
    that run. With ``hashes`` every byte of every artifact is read.
    """
    yield from room(store)
    known = {path.name for name in ("artifacts", "pruned") for path in folders(store.root / name)}
    for path in folders(store.root / "artifacts"):
        yield from _artifact(store, path, hashes=hashes)
        yield from _origins(store, path, known)
    for path in folders(store.root / "pruned"):
        if (problem := pruned_damage(path, hashes=hashes)) is not None:
            text = f"records of dropped weights are damaged ({problem}); the job will run again."
            mend = _setting_aside(store, path, why=f"damaged: {problem}")
            yield Finding("damaged", Severity.WARNING, _at(store, path), text, mend=mend)
    yield from _attempts(store)
    yield from _studies(store)
    yield from _sockets(store)
    yield from _leftovers(store)
    yield from _trash(store)


def _at(store: Store, path: Path) -> str:
    return path.relative_to(store.root).as_posix()


@contextmanager
def _claimed(store: Store, name: str) -> Iterator[bool]:
    """Hold a job for the block; False where a controller has it."""
    if not store.job(name).is_dir():
        yield True
        return
    claim = Lock(store.job(name) / "claim")
    held = claim.acquire(purpose="doctor")
    try:
        yield held
    finally:
        claim.release()


def _setting_aside(store: Store, path: Path, *, why: str) -> Callable[[], str | None]:
    def mend() -> str | None:
        name = path.name if NAME.fullmatch(path.name) else ""
        if name and path.parent.parent.name in ("artifacts", "pruned"):
            with _claimed(store, name) as held:
                if not held:
                    return "a study is busy with it"
                store.discard(path, why=why)
                return None
        store.discard(path, why=why)
        return None

    return mend


def _artifact(store: Store, path: Path, *, hashes: bool) -> Iterator[Finding]:
    manifest = None if path.is_symlink() else read_manifest(path)
    problem = _problem(path, manifest, hashes=hashes)
    if problem is not None:
        text = f"the artifact is damaged ({problem}); set aside, it is computed again when needed."
        mend = _setting_aside(store, path, why=f"damaged: {problem}")
        yield Finding("damaged", Severity.ERROR, _at(store, path), text, mend=mend)
    if manifest is None or problem is not None:
        return
    if manifest.ended > time.time() + FUTURE_SECONDS or manifest.ended < manifest.started:
        text = "its times are in the future or run backwards: a clock was changed. They are only "
        yield Finding("clock", Severity.NOTE, _at(store, path), text + "for people to read.")


def _origins(store: Store, path: Path, known: set[str]) -> Iterator[Finding]:
    """Yield a note where what an artifact was made from is gone."""
    manifest = read_manifest(path)
    if manifest is None or manifest.adopted is not None:
        return
    if missing := sorted(set(manifest.inputs.values()) - known):
        text = f"made from {', '.join(missing)}, which the store has no more; it is whole itself."
        yield Finding("inputs", Severity.NOTE, _at(store, path), text)


def _problem(path: Path, manifest: Manifest | None, *, hashes: bool) -> str | None:
    if manifest is None:
        return "no readable manifest"
    if (manifest.stage, manifest.fingerprint) != (path.parent.name, path.name):
        return f"its manifest is that of {manifest.stage}-{manifest.fingerprint}"
    if (problem := damage(path, manifest.files, hashes=hashes)) is not None:
        return problem
    if not hashes or (found := described(manifest)) in (None, manifest.fingerprint):
        return None
    return f"its manifest describes job {found}"


def _attempts(store: Store) -> Iterator[Finding]:
    root = store.root / "attempts"
    for job in sorted(root.iterdir()) if root.is_dir() else ():
        if job.is_dir() and not job.is_symlink() and NAME.fullmatch(job.name):
            for attempt in store.attempts(job.name):
                yield from _attempt(store, attempt)


def _attempt(store: Store, attempt: Attempt) -> Iterator[Finding]:
    where = _at(store, attempt.folder)
    request, ended = attempt.request(), attempt.exit()
    if Lock(attempt.folder.parent / "claim").is_held():
        return
    if request is None:
        text = "an attempt that was never asked for in full; the job starts anew."
        mend = _setting_attempt_aside(store, attempt)
        yield Finding("torn", Severity.WARNING, where, text, mend=mend)
        return
    process = attempt.process()
    alive = is_alive(process) if process is not None else False
    stage = str(request.get("stage", ""))
    done = bool(NAME.fullmatch(stage)) and store.manifest(stage, attempt.fingerprint) is not None
    awaited = not done and _outlives(request) and _is_last(store, attempt)
    if alive and process is not None and awaited:
        text = (
            f"process {process.pid} still runs, as jobs of {request['engine']} do without their "
            "controller; the next `ablate run` of the study takes it over."
        )
        yield Finding("survivor", Severity.NOTE, where, text)
    elif alive and process is not None:
        text = f"process {process.pid} still runs, and its controller does not; it can do no harm."
        mend = _killing(store, attempt)
        yield Finding("zombie", Severity.WARNING, where, text, mend=mend)
    elif alive is None and ended is None and process is not None:
        text = f"its process is of {process.host}, which cannot be asked from here."
        yield Finding("elsewhere", Severity.NOTE, where, text)
    if ended is None and (attempt.exit_file.exists() or (attempt.folder / "verdict.json").exists()):
        if attempt.verdict() is None:
            text = "its record of how it ended cannot be read; the job is tried again."
            yield Finding("torn", Severity.NOTE, where, text)
    started = (ended or {}).get("started")
    if isinstance(started, float) and started > time.time() + FUTURE_SECONDS:
        text = "it says that it started in the future: a clock was changed."
        yield Finding("clock", Severity.NOTE, where, text)
    if done and any(
        path.is_dir() and any(path.iterdir()) for path in (attempt.work, attempt.scratch)
    ):
        size = disk_usage(attempt.work) + disk_usage(attempt.scratch)
        text = "work and checkpoints of a job that is done: `ablate gc` takes them."
        yield Finding("leftover", Severity.NOTE, where, text, bytes=size)


def _outlives(request: Mapping[str, Any]) -> bool:
    """Tell whether the attempt's engine lets it live on without the controller."""
    return request.get("engine") not in (None, *DEPENDENT)


def _is_last(store: Store, attempt: Attempt) -> bool:
    return store.attempts(attempt.fingerprint)[-1] == attempt


def _setting_attempt_aside(store: Store, attempt: Attempt) -> Callable[[], str | None]:
    def mend() -> str | None:
        with _claimed(store, attempt.fingerprint) as held:
            if not held or attempt.request() is not None:
                return "a study is busy with it"
            store.discard(attempt.folder, why="an intent that was never completed")
            return None

    return mend


def _killing(store: Store, attempt: Attempt) -> Callable[[], str | None]:
    def mend() -> str | None:
        with _claimed(store, attempt.fingerprint) as held:
            # Held meanwhile, so that no controller takes the process over just now.
            process = attempt.process()
            if not held or process is None:
                return "a study is busy with it"
            return None if kill_session(process) else "it does not end"

    return mend


def _studies(store: Store) -> Iterator[Finding]:
    root = store.root / "studies"
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if not folder.is_dir() or folder.is_symlink() or not NAME.fullmatch(folder.name):
            text = "no study of this store; it is not looked at."
            yield Finding("stranger", Severity.WARNING, _at(store, folder), text)
            continue
        for name, severity in ((PLAN, Severity.ERROR), (RUNS, Severity.ERROR), (STATUS, None)):
            path = folder / name
            record = read_json(path) if path.exists() else {}
            torn = not isinstance(record, dict)
            if not torn and path.exists() and name != STATUS:
                torn = not isinstance(record.get("jobs"), list)
            if torn:
                text = f"{name} cannot be read; it is written anew from the study file and results."
                where = _at(store, path)
                yield Finding("record", severity or Severity.WARNING, where, text)
            elif name == STATUS and record.get("updated", 0) > time.time() + FUTURE_SECONDS:
                text = "its last word is of the future: a clock was changed."
                yield Finding("clock", Severity.NOTE, _at(store, path), text)


def _leftovers(store: Store) -> Iterator[Finding]:
    """Yield files and folders that a process left half-written when it died."""
    places = [store.root, *sorted((store.root / "studies").glob("*"))]
    found = [path for place in places if place.is_dir() for path in place.glob("*.partial")]
    found += sorted((store.root / "pruned").glob("*/.*.partial"))
    for path in found:
        if time.time() - path.lstat().st_mtime > FUTURE_SECONDS:
            text = "left by a process that died while it wrote."
            where, size = _at(store, path), disk_usage(path)
            mend = _deleting(path)
            yield Finding("partial", Severity.NOTE, where, text, bytes=size, mend=mend)


def _deleting(path: Path) -> Callable[[], str | None]:
    def mend() -> str | None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        return None

    return mend


def _trash(store: Store) -> Iterator[Finding]:
    entries = Trash(store.root).entries()
    if entries:
        size = disk_usage(store.root / "trash")
        text = f"{len(entries)} things were set aside: `ablate gc --trash`, `--empty-trash`."
        yield Finding("trash", Severity.NOTE, "trash", text, bytes=size)


def _sockets(store: Store) -> Iterator[Finding]:
    """Yield records of sockets whose controller is gone."""
    for path in sorted((store.root / "studies").glob("*/socket.json")):
        with store.guard():
            running = is_running(path.parent)
        if not running:
            text = "names the socket of a controller that is gone."
            mend = _deleting(path)
            yield Finding("socket", Severity.NOTE, _at(store, path), text, mend=mend)
