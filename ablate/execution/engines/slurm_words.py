"""What Slurm's word about a job means for an attempt; pure."""

from __future__ import annotations

import os

from ablate.execution.engines.protocol import Observation, State
from ablate.execution.engines.slurm_client import Row

WAITING = frozenset(
    {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"}
    | {"RESV_DEL_HOLD"}
)
"""Not started, or about to start once more."""
RUNNING = frozenset(
    {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING", "STAGE_OUT"}
)
"""Processes may exist. ``COMPLETING`` ends when the node has reported the last one gone."""
LOST = frozenset({"NODE_FAIL", "BOOT_FAIL"})
"""Slurm gave the node up: what ran there may run on (a zombie writer), so this is no proof."""
BLAMELESS = LOST | {"PREEMPTED", "REVOKED"}
"""No fault of the job."""
RECORDED_CODES = (0, 1)
"""Statuses with which a worker leaves an exit record."""


def judge(row: Row, *, recorded: bool) -> Observation:
    """Return the word about an attempt that Slurm still knows.

    ``recorded`` says that its exit record exists, after which a worker writes nothing more.
    """
    if row.state in WAITING:
        if row.restarts or "launch failed" in row.reason.replace("_", " ").lower():
            # Started once already: a job of ours is never started again, its next attempt is.
            why = f"Slurm would start it again ({row.reason})"
            return Observation(State.GONE, None, recorded, why, blameless=True)
        return Observation(State.PENDING, reason=row.reason)
    if row.state in RUNNING:
        return Observation(State.RUNNING, reason=row.nodes)
    code = None if row.state in LOST else exit_code(row.status)
    if code == 0 and row.state != "COMPLETED":
        code = None  # As after scancel: nobody has seen the worker's status.
    reason = said(row)
    certain = recorded or row.state not in LOST
    return Observation(State.GONE, code, certain, reason, row.state in BLAMELESS)


def forgotten(*, recorded: bool, found: Row | None) -> Observation:
    """Return the word about an attempt that slurmctld has forgotten.

    ``found`` is what accounting knows, where there is any.
    """
    if found is not None and found.state not in WAITING | RUNNING:
        return judge(found, recorded=recorded)
    reason = "Slurm no longer knows the job"
    return Observation(State.GONE, 0 if recorded else None, recorded, reason)


def is_unrecorded(word: Observation, *, recorded: bool) -> bool:
    """Tell whether an ended worker's record should be there and cannot be seen (yet).

    Another machine's new file may stay unseen for a while on a network file system.
    """
    return word.state is State.GONE and not recorded and word.code in RECORDED_CODES


def exit_code(status: int) -> int | None:
    """Return an exit status, negative for a signal, of what wait(2) gave."""
    try:
        return os.waitstatus_to_exitcode(status)
    except ValueError:
        return None


def said(row: Row) -> str:
    """Return how Slurm says that a job ended."""
    why = f", {row.reason}" if row.reason not in ("", "None", "NonZeroExitCode") else ""
    where = f" on {row.nodes}" if row.nodes else ""
    return f"Slurm job {row.job}{where}: {row.state}{why}"
