"""Turn the output of a finished attempt into an artifact."""

from __future__ import annotations

import errno
import logging
import os
from typing import Any

from pydantic import ValidationError

from ablate.plan.fingerprint import STAGE_VERSIONS, fingerprint
from ablate.spec.stages import CONFIG_CLASSES
from ablate.store.attempts import Attempt
from ablate.store.files import surroundings, sync_folder, sync_tree, write_sealed
from ablate.store.layout import Store
from ablate.store.manifest import MANIFEST, FileEntry, Manifest, damage

logger = logging.getLogger(__name__)


class CommitRefused(Exception):
    """The attempt's folder does not hold what its exit record says."""


def commit(store: Store, attempt: Attempt) -> Manifest:
    """Move a finished attempt's output into place and return the artifact's manifest.

    The caller knows that the process is gone: a late writer's open file would still be written
    to after the move. The first commit of a fingerprint wins, and its manifest is returned.
    Raises CommitRefused where the attempt did not succeed, was superseded, its records are
    damaged, or its files differ from the hashes it gave; SurroundingsError where the disk does not
    allow it.
    """
    request, ended = attempt.request(), attempt.exit()
    if request is None or ended is None or ended.get("status") != "ok":
        raise CommitRefused(f"{attempt.name}: no record of success")
    if ended.get("attempt") != attempt.number or store.attempts(attempt.fingerprint)[-1] != attempt:
        raise CommitRefused(f"{attempt.name}: superseded by a later attempt")
    try:
        manifest = _manifest(attempt, request, ended=ended)
    except (KeyError, TypeError, AttributeError) as error:
        text = f"{attempt.name}: request.json or exit.json is damaged ({error!r})"
        raise CommitRefused(text) from error
    if {manifest.fingerprint, described(manifest)} != {attempt.fingerprint}:
        raise CommitRefused(f"{attempt.name}: request.json is damaged; it describes another job")
    # Left by a controller that died right here.
    (attempt.work / f"{MANIFEST}.partial").unlink(missing_ok=True)
    if (problem := damage(attempt.work, manifest.files, hashes=True)) is not None:
        raise CommitRefused(f"{attempt.name}: {problem}")
    with surroundings(attempt.work):
        write_sealed(attempt.work / MANIFEST, manifest.as_json(), durable=False)
        sync_tree(attempt.work)
    return _move(store, attempt, manifest=manifest)


def _move(store: Store, attempt: Attempt, *, manifest: Manifest) -> Manifest:
    target = store.artifact(manifest.stage, manifest.fingerprint)
    with surroundings(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(attempt.work, target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            sync_folder(target.parent)
            return manifest
    first = store.intact(manifest.stage, manifest.fingerprint)
    if first is None:  # What stood there was damaged and is in the trash now.
        return _move(store, attempt, manifest=manifest)
    if first.files != manifest.files:
        logger.warning("%s was computed twice with different bytes; first kept", attempt.name)
    return first


def _manifest(attempt: Attempt, request: dict[str, Any], *, ended: dict[str, Any]) -> Manifest:
    return Manifest(
        fingerprint=request["fingerprint"],
        stage=request["stage"],
        config_class=request["config_class"],
        config=request["config"],
        inputs={role: item["fingerprint"] for role, item in request["inputs"].items()},
        files={name: FileEntry(**entry) for name, entry in ended["files"].items()},
        attempt=attempt.number,
        engine=request["engine"],
        study=request["study"],
        code=request["code"],
        started=ended["started"],
        ended=ended["ended"],
        wall_seconds=ended["wall_seconds"],
        numerics=ended["numerics"],
        timings=ended["timings"],
        counts=ended["counts"],
        peak_memory_bytes=ended.get("peak_memory_bytes"),
        adopted=request.get("adopted"),
    )


def described(manifest: Manifest) -> str | None:
    """Return the fingerprint of the job that a manifest describes.

    None where this version of the package does not know its stage or cannot read its configuration.
    """
    kind = CONFIG_CLASSES.get(manifest.config_class)
    try:
        config = kind.model_validate(manifest.config) if kind is not None else None
    except ValidationError:
        config = None
    if config is None or manifest.stage not in STAGE_VERSIONS:
        return None
    return fingerprint(manifest.stage, config, dict(manifest.inputs))
