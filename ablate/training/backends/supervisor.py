"""Run a command so that its whole process tree ends when it does, or when its job does.

``python -m ablate.training.backends.supervisor DESCRIPTOR PROGRAM ARGUMENT...``. The descriptor is
the reading end of a pipe that only the job's process holds open: its end of file, by intention or
by the job's death, ends the command. The exit status is the command's, 128 + n after signal n.

On Linux every descendant is found, also one that left the process group; elsewhere the group is
killed. Standard library only: it must start in an instant.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
"""Both from <sys/prctl.h>."""
POLL_SECONDS = 0.02
NOT_STARTED = 127
"""Exit status where the program cannot be started, as in shells."""


def main() -> int:
    """Run the command on this process's own command line."""
    lifeline, command = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(lifeline, False)
    linux = sys.platform == "linux"
    prctl = ctypes.CDLL(None).prctl if linux else None
    if prctl is not None:
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        # This process has one thread, so code may run between fork and exec.
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=(lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL)) if prctl else None,  # noqa: PLW1509
        )
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return NOT_STARTED
    while child.poll() is None:
        if select.select([lifeline], [], [], POLL_SECONDS)[0]:
            break
    end_tree(child)
    code = child.wait()
    return code if code >= 0 else 128 - code


def end_tree(child: subprocess.Popen[bytes]) -> None:
    """Kill the command, its process group and, on Linux, every process that came from it."""
    while True:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        for pid in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        child.poll()
        if not _reaped_all(child):
            select.select([], [], [], POLL_SECONDS)
            continue
        return


def _reaped_all(child: subprocess.Popen[bytes]) -> bool:
    """Reap what is dead; return whether no child of this process, adopted ones included, is left.

    The command itself is left to its own object, which keeps the exit status.
    """
    if child.returncode is None:
        return False
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return False
        except ChildProcessError:
            return True


def descendants(ancestor: int) -> list[int]:
    """Return the ids of all processes below one, where /proc tells; elsewhere none."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name, in parentheses, may hold spaces and parentheses itself.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            parents[int(entry.name)] = int(fields[1])
    found: list[int] = []
    wanted = {ancestor}
    while wanted:
        wanted = {pid for pid, parent in parents.items() if parent in wanted}
        found += wanted
    return found


if __name__ == "__main__":
    raise SystemExit(main())
