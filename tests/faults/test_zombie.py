"""A worker that everybody takes for dead wakes up after another has done its job."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "execution"))

from toy_study import ENTRY_POINTS, OPTIONS, contents, pairs, run

from ablate.execution.beat import EXIT_FENCED
from ablate.execution.listener import Listener
from ablate.plan.job import Job
from ablate.store.attempts import Attempt, new_attempt
from ablate.store.layout import Store

ELSEWHERE = """
import socket, sys
from pathlib import Path
socket.gethostname = lambda: "elsewhere"
from ablate.execution.worker import run_attempt
sys.exit(run_attempt(Path(sys.argv[1])))
"""
"""A worker of another machine, as far as anybody here can tell: it cannot be asked or killed."""


def attempt_of_another_machine(store: Store, job: Job) -> Attempt:
    """Leave what a controller leaves that died there with its machine's network."""
    attempt = new_attempt(store.job(job.fingerprint), 1, carry=None)
    attempt.write_request(
        {
            **{"schema": 1, "attempt": 1, "fingerprint": job.fingerprint, "stage": job.stage},
            **{"config_class": type(job.config).__name__, "config": job.config.model_dump()},
            **{"inputs": {}, "entry": ENTRY_POINTS[job.stage], "threads": 1},
            **{"beat_seconds": 0.05, "stale_seconds": 600.0},
            **{"study": "other", "engine": "other", "code": "", "resources": {"alone": False}},
        }
    )
    return attempt


@pytest.mark.skipif(sys.platform != "linux", reason="stops a process by signals")
def test_a_zombie_of_another_machine_is_fenced_and_its_late_output_reaches_nothing(
    tmp_path: Path,
) -> None:
    store, gate = Store(tmp_path / "store"), tmp_path / "gate"
    store.create()
    job = pairs("wait", location=str(gate))
    first = attempt_of_another_machine(store, job)
    paths = os.pathsep.join([str(Path(__file__).parents[1] / "execution"), *sys.path])
    zombie = subprocess.Popen(
        [sys.executable, "-c", ELSEWHERE, str(first.folder)],
        env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.DEVNULL,
    )
    started = gate.with_suffix(".started")
    while not started.exists():
        assert zombie.poll() is None
        time.sleep(0.01)
    os.kill(zombie.pid, signal.SIGSTOP)  # Its machine hangs: no beat any more.

    class Opener(Listener):
        def job_started(self, job: Job, attempt: int) -> None:
            gate.touch()

    # Only a beat that stays the same for long enough lets the job be started anew.
    patient = replace(OPTIONS, stale_seconds=1.0)
    assert run(store, [job], options=patient, listener=Opener()).complete
    before = contents(store)
    manifest = store.manifest(job.stage, job.fingerprint)
    assert manifest is not None and manifest.attempt == 2

    os.kill(zombie.pid, signal.SIGCONT)
    # It meets the later attempt, or its own folder gone; it ends by itself and never well.
    assert zombie.wait(60) in (EXIT_FENCED, 1)
    late = first.exit()
    assert late is None or late["status"] == "failed"
    assert run(store, [job]).complete
    assert contents(store) == before
    assert store.manifest(job.stage, job.fingerprint) == manifest
