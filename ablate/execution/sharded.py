"""Run one job on several devices: the worker that torchrun starts once for each of them.

``--attempt FOLDER`` runs an attempt as engines do: its request is written, and the controller holds
the job's claim. By hand it is ``python -m torch.distributed.run --nproc-per-node 8 -m
ablate.execution.sharded JOB``, where JOB is ``<store>/attempts/<fingerprint>``: the job's last
request is tried again as the next attempt, from its last checkpoint, and the claim is taken here.

Rank 0 is a worker like any other: it beats, writes the output and the exit record. Other ranks see
the same job and write into a folder that is thrown away. The store must be visible to all of them.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch.distributed as dist

from ablate.errors import StageError, SurroundingsError
from ablate.execution.failures import Failure, classify, failure_from
from ablate.execution.linux import die_with_parent
from ablate.execution.retry import FRESH_AFTER
from ablate.execution.worker import open_workspace, run_attempt, run_stage
from ablate.models.ranks import joined, rank, world_size
from ablate.store.attempts import Attempt, new_attempt
from ablate.store.code import code_digest
from ablate.store.files import read_json, write_json
from ablate.store.layout import Store
from ablate.store.locks import Lock
from ablate.store.processes import is_alive, process_id
from ablate.store.workspace import CHECKPOINT, Workspace
from ablate.training.device import pick_device

logger = logging.getLogger(__name__)

ENGINE = "torchrun"
"""Name in the request and the manifest of an attempt by hand; no study's engine takes it over."""
SURROUNDINGS = 3
"""Exit status where the job cannot be started as things are."""
TOLD_SECONDS = 2.0
"""How long rank 0 waits for another rank's own words when their connection breaks."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line names; return the exit status of this process."""
    parser = argparse.ArgumentParser(prog="ablate.execution.sharded", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("job", type=Path, nargs="?", help="<store>/attempts/<fingerprint>")
    what.add_argument("--attempt", type=Path, help="<store>/attempts/<fingerprint>/<number>")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    # torchrun puts its workers into sessions of their own, where a kill of torchrun misses them.
    die_with_parent(signal.SIGKILL, os.getppid())
    with joined(pick_device()):
        if given.attempt is not None:
            return _take_part(given.attempt.absolute())
        return _lead(given.job) if rank() == 0 else _follow(_announce(None))


def _take_part(folder: Path) -> int:
    """Run an attempt that a controller has prepared."""
    return run_attempt(folder, _run_and_blame) if rank() == 0 else _follow(folder)


def _lead(job: Path) -> int:
    """Begin the next attempt, tell the others where, and run it as a worker does."""
    try:
        attempt, claim = begin(job)
    except SurroundingsError as refusal:
        _announce(None)
        logger.error("%s", refusal)
        return SURROUNDINGS
    _announce(attempt.folder)
    try:
        return run_attempt(attempt.folder, _run_and_blame)
    finally:
        claim.release()


def begin(job: Path) -> tuple[Attempt, Lock]:
    """Return the next attempt of a job, its request written, and the job's claim, held.

    Raises SurroundingsError where no request exists, or somebody runs the job.
    """
    store = Store(job.absolute().parents[1])
    former = store.attempts(job.name)
    asked = [attempt for attempt in former if attempt.request() is not None]
    if not asked:
        raise SurroundingsError(
            f"{job}: no attempt with a request; a job that `ablate run` has started once is needed."
            " Name <store>/attempts/<fingerprint>; `ablate status` shows fingerprints."
        )
    last = asked[-1]
    request: dict[str, Any] = last.request() or {}
    claim = _claimed(store, last, study=request["study"])
    failure = _failure(last)
    trusted = failure is None or failure.kind not in FRESH_AFTER
    attempt = new_attempt(job.absolute(), former[-1].number + 1, carry=last if trusted else None)
    attempt.write_request(
        {**request, "attempt": attempt.number, "engine": ENGINE, "code": code_digest()}
    )
    last.drop_bulk()
    return attempt, claim


def _claimed(store: Store, last: Attempt, *, study: str) -> Lock:
    claim = store.claim(last.fingerprint)
    holder = None if claim.acquire(study=study) else process_id(claim.holder())
    worker = last.process()
    if holder is None and (worker is None or not is_alive(worker)):
        return claim
    running = holder or worker
    claim.release()
    raise SurroundingsError(
        f"{store.job(last.fingerprint)}: process {running.pid if running else '?'} on "
        f"{running.host if running else '?'} has this job. Wait for it or end it."
    )


def _failure(attempt: Attempt) -> Failure | None:
    record = attempt.verdict() or (attempt.exit() or {}).get("failure")
    return None if record is None else failure_from(record)


def _announce(folder: Path | None) -> Path | None:
    """Return what rank 0 gave, on every rank."""
    told = [None if folder is None else str(folder)]
    dist.broadcast_object_list(told)
    return None if told[0] is None else Path(told[0])


def _follow(folder: Path | None) -> int:
    """Take part in what rank 0 runs; leave nothing but the reason of a failure."""
    # Rank 0 stops all at its next checkpoint.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if folder is None:
        return SURROUNDINGS
    attempt = Attempt(folder)
    request = attempt.request() or {}
    try:
        with tempfile.TemporaryDirectory() as own:
            run_stage(_follower(attempt, request, own=Path(own)), request)
    except BaseException as error:  # Told to rank 0, which judges for all.
        traceback.print_exc()
        write_json(_words(attempt, rank()), classify(error, folder).as_json(), durable=False)
        return 1
    return 0


def _follower(attempt: Attempt, request: Mapping[str, Any], *, own: Path) -> Workspace:
    """Return a view of the job that reads rank 0's checkpoint and writes below ``own``."""
    workspace = open_workspace(attempt, request, report=lambda event: None)
    workspace = replace(workspace, output=own / "output", scratch=own / "scratch")
    workspace.output.mkdir()
    workspace.scratch.mkdir()
    for source in attempt.scratch.iterdir():
        if source.name == CHECKPOINT:
            os.symlink(source, workspace.scratch / CHECKPOINT)
    return workspace


def _run_and_blame(workspace: Workspace, request: Mapping[str, Any]) -> None:
    """Run the stage; where another rank failed first, fail with its reason.

    What rank 0 sees of it is a closed connection, which would be no reason to halve a micro-batch.
    """
    try:
        run_stage(workspace, request)
    except StageError:
        raise
    except Exception as error:
        told = _told(Attempt(workspace.output.parent))
        if told is not None:
            raise StageError(told.message, kind=told.kind) from error
        if _is_parting(error):
            lost = f"another rank was lost without a word ({' '.join(str(error).split())[:200]})"
            raise StageError(lost, kind="worker_lost") from error
        raise


def _is_parting(error: Exception) -> bool:
    """Tell whether ``error`` says that the connection to another rank is gone."""
    # NCCL has a class of its own; gloo raises a plain RuntimeError that names its file.
    return isinstance(error, dist.DistError) or "gloo/transport" in str(error)


def _told(attempt: Attempt) -> Failure | None:
    """Return the first failure that another rank has written down."""
    end = time.monotonic() + TOLD_SECONDS
    while time.monotonic() < end:
        for number in range(1, world_size()):
            if (record := read_json(_words(attempt, number))) is not None:
                return failure_from(record)
        time.sleep(0.05)
    return None


def _words(attempt: Attempt, number: int) -> Path:
    return attempt.folder / f"rank-{number}.json"


if __name__ == "__main__":
    raise SystemExit(main())
