"""Show what a report costs: seconds and memory of the first ``ablate report`` of a large study.

``python scripts/bench/report_time.py --folder SCRATCH [--rates 11] [--seeds 10] [--items 5000]``

Makes a store with 9 cells a rate and one starting point, 100 cells by default, under each seed:
1,000 runs of 5,000 samples, 3.5 GB that are deleted afterwards. Then ``ablate report`` runs in a
process of its own as a user runs it, and its memory is looked at, with that of its children, every
twentieth of a second; Linux only. ``--parts`` also times each part inside one process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import report_store

RESULTS = Path(__file__).parent / "results"
EVERY = 0.05
"""Seconds between two looks at the memory."""


def resident(root: int) -> int:
    """Return the resident bytes of a process and all its descendants together."""
    children: dict[int, list[int]] = {}
    sizes: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(entry.name))
        sizes[int(entry.name)] = int(fields[21]) * resource.getpagesize()
    total, left = 0, [root]
    while left:
        process = left.pop()
        total += sizes.get(process, 0)
        left += children.get(process, [])
    return total


def watched(command: list[str]) -> dict[str, Any]:
    """Run a command and return its seconds and its largest memory, children included."""
    peak = [0]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:

        def look() -> None:
            while process.poll() is None:
                peak[0] = max(peak[0], resident(process.pid))
                time.sleep(EVERY)

        watcher = threading.Thread(target=look)
        watcher.start()
        watcher.join()
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "wall_seconds": round(wall, 1),
        "cpu_seconds": round(cpu, 1),
        "peak_bytes": peak[0],
        "peak_bytes_of_one_process": 1024 * after.ru_maxrss,
    }


def parts(study: Path, store: Path, out: Path) -> dict[str, dict[str, float]]:
    """Return the seconds of each part of a report that is made in this process."""
    from ablate.plan.build import plan_study
    from ablate.reporting import report
    from ablate.reporting.collect import study_record
    from ablate.spec.load import load_study
    from ablate.store.layout import Store

    found: dict[str, dict[str, float]] = {}

    def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def inner(*given: Any, **named: Any) -> Any:
            wall, cpu = time.perf_counter(), _cpu()
            result = work(*given, **named)
            spent = {"wall": time.perf_counter() - wall, "cpu": _cpu() - cpu}
            found[name] = {clock: round(seconds, 2) for clock, seconds in spent.items()}
            print(f"{name:32s} {spent['wall']:8.2f} s wall {spent['cpu']:8.2f} s CPU", flush=True)
            return result

        return inner

    plan = timed("plan", lambda: plan_study(loaded))
    loaded = load_study(study, ())
    record = timed("record", study_record)(loaded, plan(), Store(store))
    for name in ("analyse", "document_of", "render_html", "render_markdown", "results_frame"):
        if hasattr(report, name):
            setattr(report, name, timed(name, getattr(report, name)))
    timed("build_report", report.build_report)(record, out)
    return found


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    """Make the store, measure, print, write ``results/report_time.json``, delete the store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="for the store; 4 GB")
    parser.add_argument("--rates", type=int, default=11, help="nine cells each")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--items", type=int, default=5000)
    parser.add_argument("--parts", action="store_true", help="time each part too")
    parser.add_argument("--keep", action="store_true", help="keep the store, use one that is there")
    options = parser.parse_args()
    root = options.folder / f"scale-{options.rates}-{options.seeds}-{options.items}"
    size = {"seeds": options.seeds, "items": options.items, "rates": options.rates}
    if not root.exists():
        report_store.make(root, **size)
    runs = (report_store.CELLS_PER_RATE * options.rates + 1) * options.seeds
    data = sum(path.stat().st_size for path in root.rglob("samples.jsonl"))
    load = round(os.getloadavg()[0], 1)
    print(f"{runs} runs, {data / 1e9:.2f} GB of samples, load {load}", flush=True)
    study, store, out = root / "scale.yaml", root / "store", root / "reports"
    command = [str(Path(sys.executable).with_name("ablate")), "report", str(study)]
    taken = watched([*command, "--store", str(store), "--reports", str(out)])
    print(json.dumps(taken), flush=True)
    content: dict[str, Any] = {
        "machine": {"cores": len(os.sched_getaffinity(0)), "python": platform.python_version()},
        "load_before": load,
        "runs": runs,
        "items": options.items,
        "bytes": data,
        **taken,
    }
    if options.parts:
        content["parts"] = parts(study, store, out / "parts")
    if not options.keep:
        shutil.rmtree(root)
    if (runs, options.items) == (1000, 5000):
        path = RESULTS / "report_time.json"
        path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
