"""What `ablate plan` says of a deadline or a budget."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ablate.cli.opening import OpenStudy
from ablate.cli.output import counted, duration
from ablate.cli.where import Where, cell_levels
from ablate.plan.baseline import baseline_cells
from ablate.plan.estimate import Estimator
from ablate.plan.fitting import Fit, Limits, fit, whole_order

SHOWN = 6
"""Cells of a seed that are named."""


@dataclass(frozen=True)
class Fitting:
    """What can be completed of a study."""

    limits: Limits
    found: Fit
    all_seconds: float
    """What the whole study still takes."""
    all_device_seconds: float
    """What it still takes of accelerators."""
    cells: int
    unit: str
    """What a budget counts: ``devices``, or ``slots`` where there is none."""

    def lines(self) -> Iterator[str]:
        """Yield the sentences for people."""
        limits, found = self.limits, self.found
        if limits.seconds is not None:
            yield (
                f"\ndeadline in {duration(limits.seconds)}: all takes "
                f"{duration(self.all_seconds)}, what fits {duration(found.seconds)}"
            )
        if limits.device_seconds is not None:
            yield (
                f"\nbudget {duration(limits.device_seconds)} of {self.unit}: all takes "
                f"{duration(self.all_device_seconds)}, what fits {duration(found.device_seconds)}"
            )
        if not found.left_out:
            yield "  everything fits"
            return
        by_seed = Counter(run.seed for run in found.runs)
        whole = [seed for seed, count in by_seed.items() if count == self.cells]
        if whole:
            yield f"  complete for all cells: seed {', '.join(map(str, sorted(whole)))}"
        for seed, count in by_seed.items():
            if count < self.cells:
                names = [run.cell.name for run in found.runs if run.seed == seed]
                more = f" and {count - SHOWN} more" if count > SHOWN else ""
                shown = ", ".join(names[:SHOWN])
                yield f"  seed {seed}: {count} of {self.cells} cells ({shown}{more})"
        yield f"  left out: {counted(found.left_out, 'run')}; the same command goes on later"

    def as_json(self) -> dict[str, Any]:
        """Return the same for programs."""
        return {
            "seconds": self.limits.seconds,
            "device_seconds": self.limits.device_seconds,
            "runs": [{"cell": run.cell.name, "seed": run.seed} for run in self.found.runs],
            "left_out": self.found.left_out,
            "fitting_seconds": self.found.seconds,
            "fitting_device_seconds": self.found.device_seconds,
            "all_seconds": self.all_seconds,
            "all_device_seconds": self.all_device_seconds,
        }


def what_fits(
    opened: OpenStudy,
    place: Where,
    estimator: Estimator,
    *,
    cached: Collection[str],
    first: Iterable[str] = (),
) -> Fitting | None:
    """Return what can be completed where the command line names a limit, else None.

    ``first`` are priorities as the command line gives them.
    """
    if place.until is None and place.budget_seconds is None:
        return None
    plan = opened.plan
    baselines = baseline_cells(opened.loaded.study, plan.cells)
    levels = cell_levels(first, baselines)
    runs = whole_order(plan, baselines, levels=levels)
    seconds = {job.fingerprint: estimator.job(job).seconds for job in plan.jobs}
    slots = place.slots(plan.jobs)
    left = None if place.until is None else max(0.0, place.until - time.time())
    limits = Limits(slots, left, place.budget_seconds)
    every = fit(runs, seconds, Limits(slots), done=cached, devices=place.devices)
    found = fit(runs, seconds, limits, done=cached, devices=place.devices)
    on_cores = place.place.engine == "local" and not place.device_names
    unit = "slots" if on_cores else "devices"
    return Fitting(limits, found, every.seconds, every.device_seconds, len(plan.cells), unit)
