"""Where a study runs: the place that the command line names, and what each job asks of it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from ablate.cli.amounts import deadline, device_seconds
from ablate.cli.output import size
from ablate.errors import StudyError, SurroundingsError, unknown_choice
from ablate.execution.engines.devices import (
    available_cores,
    available_devices,
    device_memory,
    machine_memory,
)
from ablate.execution.engines.places import LocalPlace, SlurmPlace, open_place
from ablate.execution.engines.protocol import Resources
from ablate.execution.stages import WITHOUT_DEVICE
from ablate.plan.capacity import peak_bytes, too_large
from ablate.plan.job import Job
from ablate.plan.memory import Device

USABLE = 0.9
"""Share of a machine's memory that jobs may plan with; the rest is the system's."""

REMOTE_SLOTS = 16
"""Jobs at a time that estimates assume of a cluster that says nothing of its size."""


@dataclass(frozen=True)
class Where:
    """A place, and the limits of a run in it."""

    place: LocalPlace
    asked_slots: int | None
    """As the command line says; None leaves it to the place."""
    until: float | None
    """Seconds since the epoch."""
    budget_seconds: float | None
    """Of accelerators, or of slots where there is none."""

    @cached_property
    def device_names(self) -> tuple[str, ...]:
        """Accelerators of this machine; none where another machine runs the jobs."""
        return available_devices() if self.place.engine == "local" else ()

    @cached_property
    def _device_memory(self) -> dict[str, float]:
        return device_memory() if self.device_names else {}

    def devices(self, job: Job) -> int:
        """Return how many accelerators a job asks for."""
        return 0 if job.stage in WITHOUT_DEVICE else self.place.devices.get(job.stage, 1)

    @cached_property
    def _asked(self) -> dict[str, Resources]:
        return {}

    def resources(self, job: Job) -> Resources:
        """Return what a job asks of the hardware; worked out once, for it is asked very often."""
        found = self._asked.get(job.fingerprint)
        if found is None:
            found = self._asked[job.fingerprint] = self._resources(job)
        return found

    def _resources(self, job: Job) -> Resources:
        devices = self.devices(job)
        hours = self.place.hours
        return Resources(
            devices=devices,
            shares=devices == 1 and self.place.slots_per_device > 1,
            memory_bytes=self.peak(job),
            seconds=None if hours is None else 3600.0 * hours,
        )

    def peak(self, job: Job) -> float:
        """Return the expected peak of a job on its device, or of its process on cores."""
        on_device = bool(self.device_names) and self.devices(job) > 0
        kind: Device = "cuda" if on_device else "cpu"
        return peak_bytes(job, device=kind, devices=self.devices(job) if on_device else 1)

    def room(self, job: Job) -> float | None:
        """Return the bytes that a job can have at most; None where that is not known."""
        if isinstance(self.place, SlurmPlace):
            return None if self.place.memory_gb is None else 1e9 * self.place.memory_gb
        if self.place.engine != "local":
            return None
        if self.device_names and self.devices(job):
            return max(self._device_memory.values(), default=None)
        return machine_memory()

    def slots(self, jobs: Iterable[Job]) -> int:
        """Return how many jobs run at a time, as many as have cores and memory."""
        if given := self.asked_slots or self.place.slots:
            return given
        if self.place.engine != "local":
            return REMOTE_SLOTS
        if self.device_names:
            return len(self.device_names) * self.place.slots_per_device
        cores = max(1, available_cores() // self.place.threads)
        memory = machine_memory()
        largest = max((self.peak(job) for job in jobs), default=0.0)
        if memory is None or not largest:
            return cores
        return min(cores, max(1, int(USABLE * memory / largest)))

    def refusals(self, jobs: Iterable[Job]) -> list[str]:
        """Return a sentence for each stage whose jobs cannot fit here."""
        jobs = list(jobs)
        lines = list(self._too_few_devices(jobs))
        for found in too_large(jobs, self.room, self.peak):
            others = f" and {found.jobs - 1} more" if found.jobs > 1 else ""
            lines.append(
                f"{found.stage}-{found.fingerprint}{others}: needs about "
                f"{size(found.memory_bytes)} of memory; {self._what_there_is()}. Lower "
                "micro_batch_size or max_length, set activation_checkpointing or lora, or run it "
                "where there is more (--engine); --any-size starts it all the same."
            )
        return lines

    def _too_few_devices(self, jobs: Iterable[Job]) -> Iterator[str]:
        """Yield a sentence for each stage that asks for more accelerators than there are."""
        there = len(self.device_names)
        for stage in dict.fromkeys(job.stage for job in jobs) if there else ():
            asked = self.place.devices.get(stage, 1)
            if asked > there:
                yield (
                    f"{stage}: the place gives its jobs {asked} accelerators; this machine has "
                    f"{there}. Lower `devices` of the place, or run it where there are more."
                )

    def _what_there_is(self) -> str:
        if isinstance(self.place, SlurmPlace):
            return f"the place gives a job {self.place.memory_gb:g} GB (memory_gb)"
        if self._device_memory:
            return f"the largest device has {size(max(self._device_memory.values()))}"
        return f"this machine has {size(machine_memory() or 0.0)}"


def where(args: argparse.Namespace) -> Where:
    """Return the place and limits of the command line; raises StudyError for wrong ones."""
    name = args.engine or os.environ.get("ABLATE_ENGINE") or "local"
    return Where(
        place=open_place(name),
        asked_slots=args.slots,
        until=None if args.until is None else deadline(args.until, "--until"),
        budget_seconds=None if args.budget is None else device_seconds(args.budget, "--budget"),
    )


def cell_levels(given: Iterable[str], cells: Mapping[str, str]) -> dict[str, int]:
    """Return the priority of each cell that ``CELL`` or ``CELL=N`` names; the last one holds.

    ``cells`` are the baselines by cell: a raised cell raises its baseline.
    """
    levels: dict[str, int] = {}
    for text in given:
        name, _, level = text.rpartition("=")
        if text in cells:
            name, level = text, "1"
        if name not in cells:
            known = level.removeprefix("-").isdigit() and name not in ("", text)
            # ``beta=0.11`` is more likely a misspelt cell than the level 0.11 of a cell ``beta``.
            raise StudyError(unknown_choice("--priority", name if known else text, cells))
        try:
            levels[name] = int(level)
        except ValueError:
            found = f"--priority {text}: {level!r} is no whole number, such as 1 or -1. Give one."
            raise StudyError(found) from None
    for name, raised in list(levels.items()):
        levels[cells[name]] = max(raised, levels.get(cells[name], 0))
    return levels


def refuse_too_large(place: Where, jobs: Iterable[Job]) -> None:
    """Raise SurroundingsError where a job cannot fit in the memory there is."""
    if lines := place.refusals(jobs):
        raise SurroundingsError("\n".join(lines))
