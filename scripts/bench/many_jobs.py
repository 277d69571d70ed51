"""Measure a study of very many jobs that do nothing, tracked and not.

``python scripts/bench/many_jobs.py [jobs] [slots] [mlflow,tensorboard,wandb|none]`` runs jobs that
write a few bytes, each a run of its own, in a fresh store, and prints what a job costs the
controller and its workers, how far the trackers were when the jobs ended and when they were done,
and how long the same study takes when everything is there, and ``ablate status``. Wall times of a
machine that does other work say little: the median gap between two commits and the CPU seconds
stand beside them.
"""

from __future__ import annotations

import gc
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from overhead import family_seconds, jobs

from ablate.cli.tracking import Tracking
from ablate.execution.controller import run_study
from ablate.execution.engines.local import LocalEngine, LocalOptions
from ablate.execution.listener import Guarded, Listener
from ablate.execution.options import RunOptions
from ablate.plan.build import Plan, Run
from ablate.plan.cells import expand
from ablate.plan.job import Job
from ablate.plan.record import RUNS, plan_document
from ablate.spec.load import study_from_text
from ablate.store.files import write_json
from ablate.store.layout import Store
from ablate.store.manifest import Manifest
from ablate.tracking.process import drain, pending

STUDY = "study: many\nbase: {model: tiny-instruct, dataset: ai-fine}\ngrid: {algorithm: [dpo]}\n"


class Gaps(Listener):
    """Notes when each job was committed."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.times: list[float] = []

    def job_committed(self, job: Job, manifest: Manifest) -> None:
        """Note the moment."""
        self.times.append(time.perf_counter())

    @property
    def median_ms(self) -> float:
        """Middle of the gaps between commits, in milliseconds; commits come in bursts of two."""
        pairs = zip(self.times, self.times[2:], strict=False)
        return statistics.median(later - earlier for earlier, later in pairs) / 2 * 1e3


def plan_of(count: int) -> Plan:
    """Return a plan whose every run is one job that does nothing."""
    cell = expand(study_from_text(STUDY))[0]
    work = jobs(count)
    runs = tuple(Run(cell, job.config.seed, {"preferences": job}) for job in work)
    return Plan("many", (cell,), runs, tuple(work))


def timed_run(plan: Plan, store: Store, names: tuple[str, ...], slots: int) -> None:
    """Run the study once and print what it cost."""
    here = (str(Path(__file__).parent),)
    preload = ("ablate.execution.worker", "overhead")
    engine = LocalEngine(LocalOptions(slots=slots, preload=preload, python_path=here))
    options = RunOptions(engine=engine, entry_points={"preferences": "overhead:nothing"})
    gaps, count = Gaps(), len(plan.jobs)
    wall, cpu, family = time.perf_counter(), time.process_time(), family_seconds()
    tracking = Tracking(plan, store.root, names)
    announced = time.process_time() - cpu
    listener = Guarded(gaps, *tracking.listeners)
    outcome = run_study(
        plan.jobs, store=store, study_name="many", options=options, listener=listener
    )
    if not outcome.complete:
        raise SystemExit(f"not complete: {outcome.failures}")
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    family = family_seconds() - family
    engine.close()
    median = gaps.median_ms if len(gaps.times) > 2 else 0.0
    print(
        f"  {wall:7.2f} s, {wall / count * 1e3:6.1f} ms a job, median {median:6.1f} ms; CPU a "
        f"job: controller {cpu / count * 1e3:5.2f} ms (announcing {announced / count * 1e3:.2f}), "
        f"children {family / count * 1e3:5.1f} ms"
    )
    for name in names:
        left = pending(store.root, "many", name).events
        print(f"    {name}: {left} of {2 * count + len(plan.runs)} events not sent yet")
    tracking.close()


def timed_rest(store: Path, names: tuple[str, ...]) -> None:
    """Send what is left and print how long each tracker takes for it."""
    for name in names:
        left, wall = pending(store, "many", name).events, time.perf_counter()
        cpu = resource.getrusage(resource.RUSAGE_CHILDREN)
        drain(store, "many", [name], seconds=3600.0)
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = spent.ru_utime + spent.ru_stime - cpu.ru_utime - cpu.ru_stime
        each = f", {seconds / left * 1e3:.1f} ms CPU an event" if left else ""
        print(f"    {name}: the last {left} events in {time.perf_counter() - wall:.1f} s{each}")


def main() -> None:
    """Print the figures of a first run, of a second one, and of the status."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    slots = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    named = sys.argv[3] if len(sys.argv) > 3 else "none"
    names = () if named == "none" else tuple(named.split(","))
    plan = plan_of(count)
    gc.freeze()  # As the commands do with a plan that they have read.
    if len(sys.argv) > 4:
        timed_run(plan, Store(sys.argv[4]), names, slots)
        return
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        print(f"{count} jobs on {slots} slots, tracked by {named}; load {os.getloadavg()[0]:.1f}")
        timed_run(plan, store, names, slots)
        timed_rest(store.root, names)
        write_json(store.study("many") / RUNS, plan_document(plan))  # As `ablate run` does.
        print("the same study again, in a process of its own", flush=True)
        start = time.perf_counter()
        again = [sys.executable, __file__, str(count), str(slots), named, folder]
        subprocess.run(again, check=True)
        print(f"  {time.perf_counter() - start:.2f} s with imports and the plan")
        start = time.perf_counter()
        command = [sys.executable, "-m", "ablate", "status", "many", "--store", folder]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        print(f"status {time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    main()
