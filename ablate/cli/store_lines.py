"""What a plan says of the store: room on its disk, and artifacts that were adopted."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ablate.plan.build import Plan
from ablate.store.disk import shortage
from ablate.store.layout import Store

ADOPTED_STAGES = ("sft", "policy")
"""Stages whose artifacts `ablate adopt` makes; other manifests need not be read."""


@dataclass(frozen=True)
class StoreNotes:
    """What is worth saying before a study runs."""

    shortage: str
    """Why the jobs will not fit on the disk; empty where they will."""
    adopted: tuple[str, ...]
    """Jobs that were not computed here, each with where it is from."""

    def lines(self) -> list[str]:
        """Return the notes as text."""
        warning = [f"disk: {self.shortage}"] if self.shortage else []
        return [*warning, *(f"adopted: {line}" for line in self.adopted)]

    def as_json(self) -> dict[str, Any]:
        """Return the notes for a document."""
        return {"disk_shortage": self.shortage or None, "adopted": list(self.adopted)}


def store_notes(store: Store, plan: Plan, *, cached: Collection[str], slots: int) -> StoreNotes:
    """Return what the store says of a plan whose jobs ``cached`` need not run."""
    missing = [job for job in plan.jobs if job.fingerprint not in cached]
    adopted = []
    for job in plan.jobs:
        if job.stage in ADOPTED_STAGES and job.fingerprint in cached:
            manifest = store.manifest(job.stage, job.fingerprint)
            if manifest is not None and manifest.adopted is not None:
                where = manifest.adopted.get("path")
                adopted.append(f"{job.stage}-{job.fingerprint} from {where}")
    return StoreNotes(shortage(store.root, missing, slots=slots), tuple(adopted))
