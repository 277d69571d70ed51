"""``ablate run --detach``: a study that needs no terminal, with a first and a last record.

The command is started again in a session of its own. What it says until it holds the study comes to
the caller; from then on it goes to ``run.log`` in the study's folder, whose first line is the
launch record and whose last line, however the run ends, is the done record. A log without one is
that of a process that crashed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ablate.cli.codes import INTERRUPTED, said
from ablate.cli.output import plain
from ablate.execution.hooks import EventHook, QueuedHook
from ablate.execution.listener import Listener
from ablate.execution.runlog import RUN_LOG
from ablate.execution.socket_server import listening
from ablate.execution.steering import Wishes
from ablate.plan.build import Plan
from ablate.plan.job import Job
from ablate.store.files import surroundings
from ablate.store.layout import Store
from ablate.store.processes import this_process

LAUNCH = "ABLATE_LAUNCH_FD"
"""Tells a detached process where its caller waits for the launch record."""
BUG = 1


def detach(args: argparse.Namespace) -> int | None:
    """Start the command again without a terminal; None in the process so started.

    Returns once the study is held and its socket listens, or with the exit code of a study that
    could not be started.
    """
    if LAUNCH in os.environ:
        return None
    reader, writer = os.pipe()
    with tempfile.TemporaryFile() as words, open(reader, "rb") as launched:
        process = subprocess.Popen(
            [sys.executable, "-m", "ablate", *args.argv],
            stdin=subprocess.DEVNULL,
            # A file and not our own output: what outlives us must not hold a pipe of the caller.
            stdout=words,
            stderr=words,
            env={**os.environ, LAUNCH: str(writer)},
            pass_fds=[writer],
            start_new_session=True,
        )
        os.close(writer)
        try:
            record = launched.read()
            code = 0 if record.endswith(b"\n") else process.wait()
        except KeyboardInterrupt:
            process.terminate()
            record, code = b"", process.wait() and INTERRUPTED
        # What goes on is nobody's child soon; without this it would be complained about.
        process.returncode = code
        words.seek(0)
        sys.stderr.write(words.read().decode(errors="replace"))
    if record.endswith(b"\n"):
        print(record.decode().strip(), flush=True)
        return 0
    if code < 0:
        print(f"the study was ended by signal {-code} before it started", file=sys.stderr)
    return code if code > 0 else BUG


class Session:
    """What surrounds one run: its socket, its hook, and its records where it is detached."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Take over from the caller that waits, if there is one."""
        self.wishes = Wishes()
        self._args = args
        self._caller: BinaryIO | None = None
        self._is_detached = self._was_held = False
        self._started, self._clock = time.time(), time.monotonic()
        self._record: dict[str, Any] = {}
        self._hook: QueuedHook | None = None
        self._users: dict[str, list[str]] = {}
        # Jobs and hooks, which inherit the environment, may run `ablate` themselves.
        descriptor = os.environ.pop(LAUNCH, "")
        if descriptor.isdecimal():
            os.set_inheritable(int(descriptor), False)
            self._caller = open(int(descriptor), "wb")  # noqa: SIM115

    def listener(self, plan: Plan, store: Store) -> Listener:
        """Return what hears of events for the user's command; raises StudyError for a bad one."""
        command = self._args.on_event or os.environ.get("ABLATE_ON_EVENT")
        if not command:
            return Listener()
        self.extend(plan)

        def cells(job: Job) -> list[str]:
            return self._users.get(job.fingerprint, [])

        hook = EventHook(command, study=plan.study, store=store.root, cells=cells)
        self._hook = QueuedHook(hook)
        return self._hook

    def extend(self, plan: Plan) -> None:
        """Let events name the cells of a plan that has grown, trials among them."""
        for run in plan.every_run:
            for job in run.jobs.values():
                names = self._users.setdefault(job.fingerprint, [])
                if run.cell.name not in names:
                    names.append(run.cell.name)

    @contextlib.contextmanager
    def held(self, store: Store, study: str, first: Callable[[], None]) -> Iterator[None]:
        """Listen while the study is held, and tell the caller and the hook that it starts.

        ``first`` is called once nobody else can run the study.
        """
        first()
        self._record = {"study": study}
        with listening(store, study, self.wishes) as path:
            record = self._launch_record(store, study, path)
            if self._caller is not None:
                self._let_go(store.study(study) / RUN_LOG, record)
            if self._hook is not None:
                self._was_held = True
                told = {key: value for key, value in record.items() if key != "event"}
                self._hook.send("study_started", **told)
            yield

    def outcome(self, record: dict[str, Any]) -> None:
        """Keep what the done record and the last event tell; it may be added to."""
        self._record = record

    def run(self, command: Callable[[], int]) -> int:
        """Run ``command``; where it is detached its last word is the done record."""
        code, problem = BUG, "a bug; see the traceback above"
        try:
            if self._caller is None:
                code = command()
                problem = ""
                return code
            try:
                code, problem = command(), ""
            except BaseException as error:
                problem = str(error) or type(error).__name__
                code = _said(error)
            return code
        finally:
            self._end(code, problem)

    def _end(self, code: int, problem: str) -> None:
        record = {**self._record, "exit_code": code, "error": problem}
        record["seconds"] = time.monotonic() - self._clock
        if record.get("report"):  # who reads it may be elsewhere
            record["report"] = str(Path(record["report"]).absolute())
        if self._hook is not None and self._was_held:
            self._hook.end(**plain(record))
        if self._is_detached:
            done = {"event": "done", "time": time.time(), **plain(record)}
            # A full disk: the log then has no last record, and says what it can say.
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            with contextlib.suppress(OSError):
                os.write(1, f"{json.dumps(done)}\n".encode())
        if self._caller is not None and not self._caller.closed:
            self._caller.close()  # without a record: the study never started

    def _launch_record(self, store: Store, study: str, path: Path | None) -> dict[str, Any]:
        words = [shlex.quote(study), "--store", shlex.quote(str(store.root))]
        where = " ".join(words)
        return {
            "event": "launch",
            "time": self._started,
            "study": study,
            "pid": os.getpid(),
            "process": this_process().as_json(),
            "socket": None if path is None else str(path),
            "log": str(store.study(study) / RUN_LOG) if self._caller is not None else None,
            "store": str(store.root),
            "reports": str(Path(self._args.reports).absolute() / study),
            "watch": f"ablate watch {where}",
            "stop": f"ablate ctl {shlex.quote(study)} stop --store {words[-1]}",
        }

    def _let_go(self, log: Path, record: Mapping[str, Any]) -> None:
        """Write to the log from now on, and let the caller go."""
        assert self._caller is not None
        line = f"{json.dumps(record)}\n".encode()
        with surroundings(log):
            if log.exists():
                os.replace(log, log.with_name(f"{RUN_LOG}.1"))
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.write(descriptor, line)
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.close(descriptor)
        self._is_detached = True
        with contextlib.suppress(BrokenPipeError):  # The caller's terminal is closed by now.
            self._caller.write(line)
            self._caller.close()


def _said(error: BaseException) -> int:
    try:
        return said(error)
    except BaseException:
        traceback.print_exc()
        return BUG
