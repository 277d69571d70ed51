"""Run a training command beside a job: its words to the job's log, its whole tree ended with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ablate.errors import StageError
from ablate.training.backends.supervisor import NOT_STARTED

PASSED = frozenset(
    {
        *("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "TERM"),
        *("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHASHSEED", "PYTHONUNBUFFERED"),
        *("LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"),
        *("NVIDIA_VISIBLE_DEVICES", "PYTORCH_NVML_BASED_CUDA_CHECK", "CUBLAS_WORKSPACE_CONFIG"),
        *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
        *("TOKENIZERS_PARALLELISM", "TQDM_DISABLE", "HF_HOME", "HF_HUB_OFFLINE"),
        "ABLATE_DATA_DIR",
    }
)
"""Variables that a command inherits. Tokens and keys are not among them: a script that needs one
must find it where its author put it."""
FIXED = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_DATASETS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "WANDB_MODE": "disabled",
}
POLL_SECONDS = 0.05
CLOSING_SECONDS = 10.0
"""How long the last words are waited for; a process that escaped may hold the pipe open."""
TAIL_LINES = 12
LINE_CHARACTERS = 300


@dataclass(frozen=True)
class Command:
    """What is run, and where."""

    arguments: Sequence[str]
    """Program and arguments, placeholders filled."""
    folder: Path
    """Working directory."""
    timeout_seconds: float | None = None
    """After which it is killed; None waits for ever."""


def command_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a command sees of an environment: variables on the list, telemetry off."""
    passed = {name: value for name, value in environment.items() if name in PASSED}
    offline = passed.get("HF_HUB_OFFLINE", "1")
    return {**passed, "HF_HUB_OFFLINE": offline, **FIXED}


def run_command(command: Command, between: Callable[[], None] = lambda: None) -> None:
    """Run a command to its end, ``between`` called every now and then, which may raise.

    Whatever ends this function ends every process of the command. Raises StageError where the
    program cannot be started, takes too long, or ends with a status that is not 0.
    """
    environment = command_environment(os.environ)
    program = _program(command, environment.get("PATH", os.defpath))
    watched, lifeline = os.pipe()
    supervisor = [sys.executable, "-m", f"{__package__}.supervisor", str(watched)]
    process = subprocess.Popen(
        [*supervisor, program, *command.arguments[1:]],
        cwd=command.folder,
        env=_with_package(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[watched],
        start_new_session=True,
    )
    os.close(watched)
    assert process.stdout is not None
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    reader = threading.Thread(target=_copy_words, args=(process.stdout, tail), daemon=True)
    reader.start()
    try:
        _wait(process, command.timeout_seconds, between)
    except StageError as error:
        os.close(lifeline)
        lifeline = -1
        process.wait()
        reader.join(CLOSING_SECONDS)
        raise StageError(f"{error}{_words(tail)}", kind=error.kind) from None
    finally:
        if lifeline >= 0:
            os.close(lifeline)
        process.wait()
    reader.join(CLOSING_SECONDS)
    if process.returncode:
        raise StageError(_ended(process.returncode) + _words(tail), kind=_kind(tail))


def _program(command: Command, path: str) -> str:
    name = command.arguments[0]
    found = shutil.which(name, path=path)
    if found is None:
        raise StageError(
            f"command: {name!r} is no program that can be run; looked for it on PATH ({path}). "
            "Install it, give its path, or use {python}.",
            kind="surroundings",
        )
    return found


def _with_package(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which the supervisor finds this package, wherever it lies."""
    root = str(Path(__file__).parents[3])
    paths = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {**environment, "PYTHONPATH": os.pathsep.join([*paths, root])}


def _wait(
    process: subprocess.Popen[bytes], timeout_seconds: float | None, between: Callable[[], None]
) -> None:
    end = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    while process.poll() is None:
        between()
        if end is not None and time.monotonic() > end:
            raise StageError(
                f"command: it ran for more than {timeout_seconds:g} seconds and was killed. "
                "Raise command_timeout_seconds, or find out what it waits for."
            )
        time.sleep(POLL_SECONDS)


def _copy_words(source: IO[bytes], tail: deque[str]) -> None:
    """Write every line to the job's log as it comes, and keep the last ones."""
    with source:
        for line in source:
            text = line.decode("utf-8", errors="replace")
            sys.stderr.write(text)
            sys.stderr.flush()
            if text.strip():
                tail.append(text.rstrip()[:LINE_CHARACTERS])


def _words(tail: Sequence[str]) -> str:
    return " Its last words: " + " | ".join(tail) if tail else " It said nothing."


def _ended(status: int) -> str:
    if status == NOT_STARTED:
        return "command: it could not be started (status 127); a program is needed."
    how = f"signal {status - 128}" if status > 128 else f"exit status {status}"
    return f"command: it ended with {how}; 0 is needed. See the job's log: ablate logs."


def _kind(tail: Sequence[str]) -> str:
    """Return the failure class that the last words name; out of memory is worth another try."""
    text = "\n".join(tail)
    memory = "OutOfMemoryError" in text or "CUDA out of memory" in text or "MemoryError" in text
    return "out_of_memory" if memory else "bug"
