"""Measure what the controller, the fork server and the commit cost per job.

``python scripts/bench/overhead.py [jobs] [slots]`` runs jobs that write one small file, in a fresh
store, and prints milliseconds per job; the server's start is left out by a job run ahead.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from ablate.execution.controller import run_study
from ablate.execution.engines.local import LocalEngine, LocalOptions
from ablate.execution.engines.protocol import Engine
from ablate.execution.options import RunOptions
from ablate.plan.job import Job
from ablate.spec.stages import PreferencesConfig
from ablate.store.layout import Store
from ablate.store.workspace import Workspace


def nothing(workspace: Workspace) -> None:
    """Write one file of a few bytes."""
    (workspace.output / "summary.json").write_text("{}")


def jobs(count: int, *, first: int = 0) -> list[Job]:
    """Return ``count`` independent jobs that do nothing."""
    seeds = range(first, first + count)
    return [Job("preferences", PreferencesConfig(dataset="nothing", seed=n)) for n in seeds]


def family_seconds() -> float:
    """Return the CPU seconds of this process's children and of all that they reaped."""
    ticks = 0
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(field) for field in fields[11:15])  # utime stime cutime cstime
    return ticks / os.sysconf("SC_CLK_TCK")


def timed(name: str, work: list[Job], store: Store, engine: Engine) -> tuple[float, float]:
    """Run ``work``; return wall and controller CPU seconds per job."""
    options = RunOptions(engine=engine, entry_points={"preferences": "overhead:nothing"})
    start, spent = time.perf_counter(), time.process_time()
    outcome = run_study(work, store=store, study_name=name, options=options)
    if not outcome.complete:
        raise SystemExit(f"not complete: {outcome.failures}")
    wall, cpu = time.perf_counter() - start, time.process_time() - spent
    return wall / len(work), cpu / len(work)


def main() -> None:
    """Print the figures for a bare and for a fully loaded server."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    slots = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    loaded = ("torch", "transformers.models.llama.modeling_llama", "datasets", "lm_eval")
    for label, modules in {"bare": (), "loaded": loaded}.items():
        preload = (*modules, "ablate.execution.worker", "overhead")
        here = (str(Path(__file__).parent),)
        local = LocalOptions(slots=slots, preload=preload, python_path=here)
        engine = LocalEngine(local)
        with tempfile.TemporaryDirectory() as folder:
            store = Store(folder)
            start, _ = timed("warm-up", jobs(1), store, engine)
            before = family_seconds()
            wall, cpu = timed("measured", jobs(count, first=1), store, engine)
            workers = (family_seconds() - before) / count
        engine.close()
        print(
            f"{label:7} server and first job {start:5.2f} s; then {count} jobs on {slots} slots: "
            f"{wall * 1e3:5.1f} ms per job; CPU {cpu * 1e3:4.1f} ms controller, "
            f"{workers * 1e3:4.1f} ms fork and worker"
        )
    print(f"controller memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
