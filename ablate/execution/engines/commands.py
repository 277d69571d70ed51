"""The command that runs one attempt, for engines that start a fresh process."""

from __future__ import annotations

import sys

from ablate.execution.engines.protocol import Submission

SHUTDOWN_SECONDS = 60
"""For the checkpoint of a job that torchrun is told to stop; torchrun itself would give 30."""


def worker_command(
    submission: Submission, *, devices: int, python: str = sys.executable
) -> list[str]:
    """Return the command of an attempt that was given ``devices`` accelerators.

    One process, or torchrun with one process a device.
    """
    folder = str(submission.folder)
    if devices <= 1:
        return [python, "-m", "ablate.execution.worker", folder]
    launcher = ["ablate.execution.engines.gang", "--standalone", f"--nproc-per-node={devices}"]
    launcher += [f"--shutdown-timeout={SHUTDOWN_SECONDS}"]
    return [python, "-m", *launcher, "-m", "ablate.execution.sharded", "--attempt", folder]
