"""Run one attempt, in a process of its own.

The worker writes only inside its attempt's folder; ``exit.json`` is its last act. It never
commits: the controller does, once this process is gone.
"""

from __future__ import annotations

import json
import logging
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ablate.errors import StageError
from ablate.execution.beat import EXIT_DISK_FULL, Heart
from ablate.execution.engines.lifeline import hold_lifeline
from ablate.execution.failures import FailureClass, classify
from ablate.execution.numerics import numerics
from ablate.execution.stages import load_entry_point
from ablate.plan.fingerprint import fingerprint
from ablate.secrets import masked_output
from ablate.spec.stages import CONFIG_CLASSES
from ablate.store.attempts import Attempt
from ablate.store.files import sha256, sync_tree, tree_files, write_sealed
from ablate.store.layout import ALWAYS_HASHED_BYTES, Store
from ablate.store.manifest import MANIFEST, damage, read_manifest
from ablate.store.privacy import umask
from ablate.store.workspace import Workspace

logger = logging.getLogger(__name__)

LARGE_BYTES = 1 << 20
"""Files from this size on are flushed to disk by the worker."""


class Stop:
    """Whether this process was asked to stop at its next checkpoint."""

    def __init__(self) -> None:
        """Listen to SIGTERM from now on."""
        self.asked = False
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _ask(self, number: int, frame: object) -> None:
        self.asked = True


@masked_output()
def run_attempt(
    folder: Path, run: Callable[[Workspace, Mapping[str, Any]], None] | None = None
) -> int:
    """Run the attempt in ``folder`` to its end; return the exit status of the process.

    ``run`` takes the place of `run_stage` where several processes run the stage together.
    """
    os.umask(umask())  # Wherever an engine started it.
    attempt = Attempt(folder)
    request = attempt.request()
    if request is None:
        return 1
    # A worker is a process of its own and its standard error is the attempt's log.
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, force=True)
    clock, started = time.monotonic(), time.time()
    stop = Stop()
    record: dict[str, Any] = {"attempt": attempt.number, "fingerprint": request["fingerprint"]}
    workspace: Workspace | None = None
    heart: Heart | None = None
    try:
        heart = Heart(
            attempt, every_seconds=request["beat_seconds"], stale_seconds=request["stale_seconds"]
        )
        workspace = open_workspace(attempt, request, report=_reporter(attempt, heart, stop=stop))
        heart.count(workspace.counts)
        _check_large_inputs(Store(attempt.root), request)
        (run or run_stage)(workspace, request)
        record |= {"status": "ok", "failure": None, "files": _seal(workspace.output)}
    except BaseException as error:  # A job's failure must not end the study.
        traceback.print_exc()
        failure = classify(error, attempt.folder)
        record |= {"status": "failed", "failure": failure.as_json(), "files": {}}
    if heart is not None:
        heart.stop()
        record["progress"] = dict(heart.last_progress)
    record |= {"started": started, "ended": time.time(), "wall_seconds": time.monotonic() - clock}
    return _finish(attempt, record, workspace=workspace, request=request)


def _finish(
    attempt: Attempt,
    record: dict[str, Any],
    *,
    workspace: Workspace | None,
    request: Mapping[str, Any],
) -> int:
    record["timings"] = dict(workspace.timings) if workspace else {}
    record["counts"] = dict(workspace.counts) if workspace else {}
    record["peak_memory_bytes"] = _peak_memory_bytes()
    record["numerics"] = numerics(request["threads"], workspace.numerics if workspace else {})
    if (request.get("resources") or {}).get("alone"):
        record["numerics"]["alone"] = True
    if asked := request.get("micro_batch_asked"):
        record["numerics"]["micro_batch_asked"] = asked
    try:
        # Not durable: the controller makes the artifact so, and a power cut ends it as well.
        write_sealed(attempt.exit_file, record, durable=False)
    except OSError as error:
        traceback.print_exc()
        full = classify(error, attempt.folder).kind is FailureClass.DISK_FULL
        return EXIT_DISK_FULL if full else 1
    return 0 if record["status"] == "ok" else 1


def _peak_memory_bytes() -> int:
    """Return the largest resident size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in kibibytes.


def _reporter(attempt: Attempt, heart: Heart, *, stop: Stop) -> Callable[[Mapping[str, Any]], None]:
    """Return what takes a stage's events: progress to the heartbeat, others to the event file."""

    def report(event: Mapping[str, Any]) -> None:
        if event.get("event") == "progress":
            heart.progress({key: event[key] for key in ("done", "total")})
            return
        with open(attempt.events, "a", encoding="utf-8") as file:
            file.write(json.dumps({"time": time.time(), **event}) + "\n")
        if event.get("event") == "checkpoint" and stop.asked:
            raise StageError("stopped after a checkpoint, as asked", kind="preempted")

    return report


def open_workspace(
    attempt: Attempt, request: Mapping[str, Any], *, report: Callable[[Mapping[str, Any]], None]
) -> Workspace:
    """Return what a stage sees of the attempt; refuse a request that describes another job."""
    store = Store(attempt.root)
    config = CONFIG_CLASSES[request["config_class"]].model_validate(request["config"])
    inputs = request["inputs"]
    upstream = {role: item["fingerprint"] for role, item in inputs.items()}
    if (found := fingerprint(request["stage"], config, upstream)) != request["fingerprint"]:
        raise RuntimeError(f"the request describes job {found}, not {request['fingerprint']}")
    return Workspace(
        stage=request["stage"],
        config=config,
        inputs={
            role: store.artifact(item["stage"], item["fingerprint"])
            for role, item in inputs.items()
        },
        output=attempt.work,
        scratch=attempt.scratch,
        cache=store.root / "cache",
        fingerprint=request["fingerprint"],
        report=report,
    )


def _check_large_inputs(store: Store, request: Mapping[str, Any]) -> None:
    """Refuse an input of other content than was written.

    Small artifacts are hashed by the controller when it finds them; large ones only here, by who
    reads every byte anyway.
    """
    for role, item in request["inputs"].items():
        folder = store.artifact(item["stage"], item["fingerprint"])
        manifest = read_manifest(folder)
        files = manifest.files if manifest is not None else {}
        if sum(entry.size for entry in files.values()) <= ALWAYS_HASHED_BYTES:
            continue
        if (problem := damage(folder, files, hashes=True)) is not None:
            raise StageError(
                f"input {role}: {folder} is damaged ({problem}). Set it aside with `ablate doctor "
                "--hashes --repair` and run the same command again: it is computed anew.",
                kind="surroundings",
            )


def run_stage(workspace: Workspace, request: Mapping[str, Any]) -> None:
    """Run the function that the request names, global generators seeded."""
    run = load_entry_point(request["entry"])
    _seed_globals(workspace.fingerprint, request["threads"])
    workspace.report({"event": "started", "pid": os.getpid()})
    run(workspace)


def _seed_globals(fingerprint: str, threads: int) -> None:
    """Seed the global generators, which forked siblings would otherwise share.

    Stages draw from generators of their own; this keeps a library that does not from making
    results depend on the engine.
    """
    seed = int(fingerprint, 16) % 2**32
    random.seed(seed)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(seed)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(threads)
        torch.manual_seed(seed)


def _seal(output: Path) -> dict[str, dict[str, Any]]:
    """Return size and hash of every file of the output."""
    files = tree_files(output)
    if MANIFEST in files:
        raise RuntimeError(f"{MANIFEST} is the store's own; the stage must name its file otherwise")
    # Written out here, in parallel, so that the controller's own turn at it is short.
    sync_tree(output, least_bytes=LARGE_BYTES)
    return {
        name: {"size": path.stat().st_size, "sha256": sha256(path)} for name, path in files.items()
    }


def main() -> int:
    """Run the attempt named on the command line; end with the process that started this one."""
    hold_lifeline()
    return run_attempt(Path(sys.argv[1]))


if __name__ == "__main__":
    raise SystemExit(main())
