"""Commit what was computed elsewhere as the artifact of a job, and where it is from."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ablate.errors import SurroundingsError
from ablate.plan.job import Job
from ablate.store.attempts import Attempt, new_attempt
from ablate.store.code import code_digest
from ablate.store.commit import commit
from ablate.store.files import sha256, tree_files, write_sealed
from ablate.store.layout import Store
from ablate.store.manifest import Manifest
from ablate.store.privacy import private

ENGINE = "adopted"
"""What a manifest names as the engine of an artifact that no job here computed."""


def adopt(
    store: Store,
    job: Job,
    write: Callable[[Path], None],
    *,
    study: str,
    origin: Mapping[str, Any],
) -> Manifest:
    """Commit what ``write`` puts into a folder as the artifact of ``job``; return its manifest.

    ``origin`` says where it is from, in JSON's own types; user and time are added. The artifact
    goes through an attempt as every other: nothing is committed where ``write`` raises, and the
    first commit wins. Raises SurroundingsError where the artifact exists or a study works on it.
    """
    name = f"{job.stage}-{job.fingerprint}"
    store.create()
    claim = store.claim(job.fingerprint)
    if not claim.acquire(study=study, purpose="adopt"):
        raise SurroundingsError(f"{name}: a study works on this job now. Wait for it or stop it.")
    try:
        with private():
            if store.intact(job.stage, job.fingerprint) is not None:
                raise SurroundingsError(
                    f"{name}: the store has this artifact already, and artifacts never change. "
                    "Adopt under another cell or seed, or set it aside: ablate gc --help."
                )
            return _adopt(store, job, write, study=study, origin=origin)
    finally:
        claim.release()


def _adopt(
    store: Store,
    job: Job,
    write: Callable[[Path], None],
    *,
    study: str,
    origin: Mapping[str, Any],
) -> Manifest:
    earlier = store.attempts(job.fingerprint)
    number = earlier[-1].number + 1 if earlier else 1
    attempt = new_attempt(store.job(job.fingerprint), number, carry=None)
    started = time.time()
    try:
        attempt.write_request(
            {
                "schema": 1,
                "attempt": number,
                "fingerprint": job.fingerprint,
                "stage": job.stage,
                "config_class": type(job.config).__name__,
                "config": job.config.model_dump(mode="json"),
                "inputs": {
                    role: {"stage": upstream.stage, "fingerprint": upstream.fingerprint}
                    for role, upstream in job.inputs
                },
                "study": study,
                "engine": ENGINE,
                "code": code_digest(),
                "adopted": {**origin, "when": started, "by": _user()},
            }
        )
        write(attempt.work)
        _seal(attempt, started)
        return commit(store, attempt)
    except BaseException:
        store.discard(attempt.folder, why="an adoption that was refused")
        raise


def _seal(attempt: Attempt, started: float) -> None:
    """Write the exit record that a worker writes; nothing was computed, so nothing was spent."""
    files = {
        name: {"size": path.stat().st_size, "sha256": sha256(path)}
        for name, path in tree_files(attempt.work).items()
    }
    ended = time.time()
    record = {
        "attempt": attempt.number,
        "fingerprint": attempt.fingerprint,
        "status": "ok",
        "failure": None,
        "files": files,
        "started": started,
        "ended": ended,
        "wall_seconds": max(0.0, ended - started),
        "numerics": {},
        "timings": {},
        "counts": {},
    }
    write_sealed(attempt.exit_file, record)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # A container's user without a name.
        return str(os.geteuid())
