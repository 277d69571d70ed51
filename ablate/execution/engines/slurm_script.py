"""The batch script of one Slurm job or array, made by submitit; it runs workers and nothing else.

submitit's own way would be to pickle a function into a shared folder, and to unpickle it and its
result there. Nothing is unpickled here: of submitit only the making of scripts is used, with the
worker's command in place of its own. Its signals and requeues are left aside as well: a job that
Slurm started again would be the same attempt twice (see `ablate.execution.engines.slurm`).
"""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.errors import SurroundingsError
from ablate.execution.engines.commands import worker_command
from ablate.execution.engines.environment import device_environment, job_variables
from ablate.execution.engines.protocol import Resources, Submission

RESTARTED = '[ "${SLURM_RESTART_COUNT:-0}" = 0 ] || exit 75'
"""First line of a script: a job that Slurm starts again is the same attempt, which must not be."""
EARLIEST_SECONDS, LARGEST_SHARE = 300, 10
"""SIGTERM comes so long before the time limit, or a tenth of it. Slurm may send it up to 60 s
early, so that a limit of minutes may stop a job at its first checkpoint."""
MEMORY_MARGIN, MEMORY_MORE = 1.2, 1 << 30
"""A process's expected peak is asked for with a fifth more and a gibibyte for the interpreter."""


@dataclass(frozen=True)
class SlurmOptions:
    """How jobs are submitted."""

    slots: int = 64
    """Attempts in the queue or running at a time."""
    threads: int = 1
    """Threads, and cores, of an attempt."""
    partition: str | None = None
    """None for the cluster's default."""
    account: str | None = None
    """None for the user's default."""
    memory_gb: float | None = None
    """Of an attempt; None takes the estimate."""
    pack: int = 1
    """Attempts on cores that share an allocation."""
    slots_per_device: int = 1
    """Attempts that share an accelerator, and its allocation."""
    accelerators: str = "auto"
    """Generic resource, such as ``gpu:a100``; ``none``, or ``auto`` for what there is."""
    setup: tuple[str, ...] = ()
    """Shell lines before the worker."""
    options: Mapping[str, str | int] = field(default_factory=dict)
    """Further long options of sbatch."""
    python: str = sys.executable
    """Interpreter on the nodes."""
    network: bool = False
    """Let jobs ask the model hub."""
    python_path: tuple[str, ...] = ()
    """Folders that jobs import from besides the installed packages."""
    least_seconds: float = 2.0
    """Between two questions to slurmctld while things change."""
    most_seconds: float = 30.0
    """Between two questions to slurmctld while nothing does."""
    lag_seconds: float = 15.0
    """For a record that another machine wrote to become visible."""


@dataclass(frozen=True)
class Unit:
    """What one Slurm job, or one task of an array, runs."""

    submissions: tuple[Submission, ...]
    """One attempt, or several side by side."""
    devices: int
    """Accelerators of the unit, after it is known whether there are any."""

    @property
    def resources(self) -> Resources:
        """What each of them asks for."""
        return self.submissions[0].resources


def script(name: str, units: Sequence[Unit], *, options: SlurmOptions, folder: Path) -> str:
    """Return the batch script of a job ``name``, an array where there is more than one unit.

    All units ask for the same. The job's own messages go to ``folder``, or to the attempt's log
    where there is only one attempt.
    """
    try:
        import submitit
    except ImportError:
        raise SurroundingsError(
            "engine slurm: submitit is not installed. Install it with "
            "`pip install ablate-studies[slurm]`."
        ) from None
    executor = submitit.SlurmExecutor(folder=folder)
    executor.update_parameters(**_parameters(name, units, options=options, folder=folder))
    if len(units) > 1:
        executor.parameters["map_count"] = len(units)
    text: str = executor._make_submission_file_text(_command(units, options), "")
    return text


def _parameters(
    name: str, units: Sequence[Unit], *, options: SlurmOptions, folder: Path
) -> dict[str, Any]:
    unit = units[0]
    seconds, count = unit.resources.seconds, len(unit.submissions)
    alone = len(units) == 1 and count == 1
    log = unit.submissions[0].folder / "log.txt" if alone else folder / "slurm-%A_%a.out"
    ours = {
        # Where the controller does not run, a preempted job or a lost node's ends; the next
        # controller starts its next attempt, whose number fences off whatever still runs.
        "no-requeue": True,
        "signal": f"B:TERM@{_lead_seconds(seconds)}",
        "output": str(log if alone or len(units) > 1 else folder / "slurm-%j.out"),
        "nice": max(0, -100 * unit.submissions[0].priority),
    }
    cores = options.threads * (count if not unit.devices else max(count, unit.devices))
    asked = {
        "job_name": name,
        "partition": options.partition,
        "account": options.account,
        "time": None if seconds is None else max(1, math.ceil(seconds / 60)),
        "nodes": 1,
        "ntasks_per_node": 1,
        "cpus_per_task": cores,
        "gres": _gres(options, unit.devices),
        "mem": _memory(unit, options),
        "exclusive": True if unit.resources.alone and not unit.devices else None,
    }
    return {
        **asked,
        "array_parallelism": len(units),
        "setup": [RESTARTED, *options.setup],
        "use_srun": False,
        "stderr_to_stdout": True,
        "additional_parameters": {**options.options, **ours},
    }


def _lead_seconds(seconds: float | None) -> int:
    if seconds is None:
        return EARLIEST_SECONDS
    return max(1, min(EARLIEST_SECONDS, int(seconds) // LARGEST_SHARE))


def _gres(options: SlurmOptions, devices: int) -> str | None:
    kind = "gpu" if options.accelerators == "auto" else options.accelerators
    return f"{kind}:{devices}" if devices else None


def _memory(unit: Unit, options: SlurmOptions) -> str | None:
    """Return the memory of a node; an estimate of an accelerator's says nothing about it."""
    each = 0.0 if options.memory_gb is None else 1e9 * options.memory_gb
    if not each and not unit.devices and unit.resources.memory_bytes:
        each = MEMORY_MARGIN * unit.resources.memory_bytes + MEMORY_MORE
    return f"{math.ceil(each * len(unit.submissions) / 2**20)}M" if each else None


def _command(units: Sequence[Unit], options: SlurmOptions) -> str:
    variables = job_variables(threads=options.threads, network=options.network)
    if not units[0].devices:
        # The submitting machine's accelerators are none of the job's; Slurm names those it lends.
        variables |= device_environment(())
    lines = [f"export {key}={shlex.quote(value)}" for key, value in variables.items()]
    if options.python_path:
        paths = ":".join(options.python_path)
        lines.append(f'export PYTHONPATH={shlex.quote(paths)}"${{PYTHONPATH:+:$PYTHONPATH}}"')
    lines.append('case "${SLURM_ARRAY_TASK_ID:-0}" in')
    for task, unit in enumerate(units):
        # exec: the worker is the script's own process, so a signal to the script reaches it.
        lines.append(f"{task}) exec {_unit_command(unit, options)} ;;")
    return "\n".join([*lines, "esac"])


def _unit_command(unit: Unit, options: SlurmOptions) -> str:
    first, count = unit.submissions[0], len(unit.submissions)
    if count == 1:
        command = worker_command(first, devices=unit.devices, python=options.python)
        log = shlex.quote(str(first.folder / "log.txt"))
        return f"{shlex.join(command)} >>{log} 2>&1"
    command = [options.python, "-m", "ablate.execution.engines.slurm_pack"]
    command += ["--slots", str(count), "--threads", str(options.threads)]
    if unit.devices:
        command += ["--places", str(options.slots_per_device)]
        command += ["--memory-bytes", str(first.resources.memory_bytes)]
    return shlex.join([*command, *(str(item.folder) for item in unit.submissions)])
