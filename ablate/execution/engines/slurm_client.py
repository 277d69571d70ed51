"""Slurm's own commands: submit, ask, signal; what went wrong, in Slurm's words.

No accounting is needed. One ``squeue`` tells about all jobs of this user, ended ones for as long as
slurmctld remembers them (``MinJobAge``, 300 seconds by default).
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.errors import SurroundingsError

COMMANDS = ("sbatch", "squeue", "scancel", "srun")
"""What has to be on PATH; submitit looks for srun although no job step is made."""
LONGEST_SECONDS = 120.0
"""For one command; Slurm's own patience (``MessageTimeout``) is shorter."""
FIELDS = {
    "JobArrayID": 40,
    "Name": 80,
    "State": 24,
    "exit_code": 12,
    "RestartCnt": 8,
    "Reason": 60,
    "NodeList": 200,
}
"""Columns of ``squeue -O`` and their widths: a longer value is cut."""
PASSING = re.compile(
    r"unable to contact slurm controller|socket timed out|connection (refused|reset|timed out)"
    r"|temporarily unable|resource temporarily unavailable|zero bytes were transmitted"
    r"|slurm_persist_conn|transport endpoint|backup controller|slurm backup"
    r"|submit ?limit|MaxSubmit|MaxJob|maximum number of jobs|out of memory on",
    re.IGNORECASE,
)
"""Refusals that pass by themselves: a controller that is down, or a queue that is full."""
GONE = re.compile(r"invalid job id|already completing or completed|no job", re.IGNORECASE)
"""What scancel says about a job that has ended."""


class Unreachable(Exception):
    """Slurm cannot be asked just now; nothing is known to have changed."""


@dataclass(frozen=True)
class Row:
    """What Slurm knows about one job, or one task of an array."""

    job: str
    """Number, with the task's behind an underscore."""
    name: str
    """As we gave it."""
    state: str
    """Such as ``RUNNING``."""
    status: int = 0
    """Of the batch script, as wait(2) gives it."""
    restarts: int = 0
    """How often Slurm started it again."""
    reason: str = ""
    """Why it waits, or why it ended."""
    nodes: str = ""
    """Where it runs or ran."""

    @property
    def task(self) -> int | None:
        """Its place in an array; None for a job of its own."""
        task = self.job.partition("_")[2]
        return int(task) if task.isdigit() else None

    @property
    def number(self) -> int:
        """Number of the job, without the task's."""
        return int(self.job.partition("_")[0])


class SlurmClient:
    """Runs Slurm's commands with this process's environment."""

    def __init__(self) -> None:
        """Raise SurroundingsError where the commands are not there."""
        absent = [name for name in COMMANDS if shutil.which(name) is None]
        if absent:
            raise SurroundingsError(
                f"engine slurm: {', '.join(absent)} not found on PATH. Run this on a login node of "
                "the cluster, or load its Slurm module first."
            )
        self._user = getpass.getuser()
        self._accounting = shutil.which("sacct") is not None

    def submit(self, script: Path) -> str:
        """Submit a script; return the number of the job.

        Raises Unreachable where it may be worth another try (the job may be submitted all the
        same: ask by name first), SurroundingsError with Slurm's words where it is refused.
        """
        done = _run(["sbatch", "--parsable", str(script)])
        if done.returncode == 0:
            return done.stdout.strip().partition(";")[0]
        words = _words(done)
        if PASSING.search(words):
            raise Unreachable(words)
        raise SurroundingsError(
            f"engine slurm: the cluster refused a job: {words}. Correct the place file "
            "(partition, account, hours, memory_gb, options), or ask who runs the cluster."
        )

    def ask(self) -> Question:
        """Ask for all jobs of this user; raises Unreachable."""
        form = ",".join(f"{name}:{width}" for name, width in FIELDS.items())
        command = ["squeue", "--noheader", "--array", "--states=all", f"--user={self._user}"]
        return Question([*command, f"--Format={form}"])

    def rows(self, question: Question) -> list[Row]:
        """Return all jobs of this user that Slurm remembers; raises Unreachable."""
        done = question.result()
        if done.returncode:
            raise Unreachable(_words(done))
        return [row for line in done.stdout.splitlines() if (row := parse_row(line)) is not None]

    def ended(self, job: str) -> Row | None:
        """Return what accounting says of a forgotten job; None where there is none."""
        if not self._accounting:
            return None
        columns = "--format=JobName,State,ExitCode,NodeList"
        command = ["sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={job}", columns]
        try:
            done = _run(command)
        except Unreachable:
            return None
        if done.returncode:
            self._accounting = False  # A cluster without accounting says so every time.
            return None
        for line in done.stdout.splitlines():
            name, state, code, nodes = (line.split("|") + [""] * 4)[:4]
            status, _, number = code.partition(":")
            if status.isdigit() and number.isdigit():
                # "CANCELLED by 1000" names who did it.
                word = state.split()[0] if state else ""
                return Row(job, name, word, int(status) << 8 | int(number), nodes=nodes)
        return None

    def cancel(self, job: str) -> None:
        """End a job; one that runs at once, its helpers too."""
        # Plain scancel, and SIGKILL for all steps, send SIGTERM first, which workers take as a
        # wish; for the batch step alone it is what it says, and Slurm then clears up behind it.
        self._scancel("--signal=KILL", "--batch", job)
        self._scancel(job)

    def cancel_if_waiting(self, job: str) -> None:
        """Take a job out of the queue; one that has started goes on."""
        self._scancel("--state=PENDING", job)

    def ask_to_stop(self, job: str) -> None:
        """Send SIGTERM to the worker, which is the batch script's own process."""
        self._scancel("--signal=TERM", "--batch", job)

    def lends_accelerators(self, partition: str | None) -> bool:
        """Tell whether a node of the partition has a ``gpu`` resource; raises Unreachable."""
        command = ["sinfo", "--noheader", "--format=%G"]
        done = _run([*command, f"--partition={partition}"] if partition else command)
        if done.returncode:
            raise Unreachable(_words(done))
        return any(line.startswith("gpu") or ",gpu" in line for line in done.stdout.splitlines())

    def _scancel(self, *arguments: str) -> None:
        done = _run(["scancel", *arguments])
        words = _words(done)
        if done.returncode and PASSING.search(words) and not GONE.search(words):
            raise Unreachable(words)


def parse_row(line: str) -> Row | None:
    """Return the row that a line of `SlurmClient.rows` says; None for one that is none."""
    values, start = [], 0
    for width in FIELDS.values():
        values.append(line[start : start + width].strip())
        start += width
    job, name, state, status, restarts, reason, nodes = values
    if not job[:1].isdigit() or not state:
        return None
    return Row(job, name, state, _number(status), _number(restarts), reason, nodes)


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


class Question:
    """A command that is being run; a slurmctld that is down keeps one waiting for many seconds."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start it; raises Unreachable where that is impossible."""
        self._command = command
        self._deadline = time.monotonic() + LONGEST_SECONDS
        # Files and not pipes: nobody reads while it runs, and a pipe would fill up.
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=self._out, stderr=self._err
            )
        except OSError as error:
            raise Unreachable(f"{command[0]}: {error.strerror or error}") from None

    def is_over(self) -> bool:
        """Tell whether `result` returns at once."""
        return self._process.poll() is not None or time.monotonic() > self._deadline

    def result(self) -> subprocess.CompletedProcess[str]:
        """Wait for the end; raises Unreachable where it does not come."""
        try:
            code = self._process.wait(max(0.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.drop()
            name = self._command[0]
            raise Unreachable(f"{name} did not answer in {LONGEST_SECONDS:.0f} s") from None
        texts = []
        for file in (self._out, self._err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
            file.close()
        return subprocess.CompletedProcess(self._command, code, *texts)

    def drop(self) -> None:
        """End it unanswered."""
        self._process.kill()
        self._process.wait()
        self._out.close()
        self._err.close()


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return Question(command).result()


def _words(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command complained of, in one line, without its own name in front."""
    lines = [re.sub(r"^\w+: (error: )?", "", line) for line in done.stderr.splitlines()]
    text = "; ".join(line.strip() for line in lines if line.strip())
    return text.removesuffix(".") or f"status {done.returncode} of {os.path.basename(done.args[0])}"
